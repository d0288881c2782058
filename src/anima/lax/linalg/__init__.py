"""Linear algebra: factorisations, triangular systems, eigenvalues and singular values.

Invariant: a name is public by being imported here as itself. Matrices are the last two dimensions of an array; the dimensions
before them are a stack of matrices, each treated by itself. On CPU devices LAPACK does the work, by the kernels of
`native/linalg`.
"""

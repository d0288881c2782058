"""Linear algebra as SciPy has it.

Invariant: a name is public by being imported here as itself. Matrices are the last two dimensions of an array; where SciPy
takes a single matrix, these functions also take a stack of them.
"""

"""Linear algebra: factorisations, triangular systems, eigenvalues and singular values.

Invariant: a name is public by being imported here as itself. Matrices are the last two dimensions of an array; the dimensions
before them are a stack of matrices, each treated by itself. On CPU devices LAPACK does the work, by the kernels of
`native/linalg`.
"""

from anima.lax.linalg.cholesky import (
    cholesky as cholesky,
    cholesky_p as cholesky_p,
    cholesky_update as cholesky_update,
    cholesky_update_p as cholesky_update_p,
)
from anima.lax.linalg.eigen import (
    EighImplementation as EighImplementation,
    eigh as eigh,
    eigh_p as eigh_p,
    tridiagonal as tridiagonal,
    tridiagonal_p as tridiagonal_p,
)
from anima.lax.linalg.general import (
    EigImplementation as EigImplementation,
    eig as eig,
    eig_p as eig_p,
    hessenberg as hessenberg,
    hessenberg_p as hessenberg_p,
    schur as schur,
    schur_p as schur_p,
)
from anima.lax.linalg.householder import (
    householder_product as householder_product,
    householder_product_p as householder_product_p,
    ormqr as ormqr,
    ormqr_p as ormqr_p,
)
from anima.lax.linalg.lu import (
    lu as lu,
    lu_p as lu_p,
    lu_pivots_to_permutation as lu_pivots_to_permutation,
    lu_pivots_to_permutation_p as lu_pivots_to_permutation_p,
)
from anima.lax.linalg.polar import qdwh as qdwh
from anima.lax.linalg.products import (
    symmetric_product as symmetric_product,
    symmetric_product_p as symmetric_product_p,
)
from anima.lax.linalg.qr import (
    qr as qr,
    qr_p as qr_p,
)
from anima.lax.linalg.singular import (
    SvdAlgorithm as SvdAlgorithm,
    svd as svd,
    svd_p as svd_p,
)
from anima.lax.linalg.triangular import (
    triangular_solve as triangular_solve,
    triangular_solve_p as triangular_solve_p,
)
from anima.lax.linalg.tridiagonal_solve import (
    tridiagonal_solve as tridiagonal_solve,
    tridiagonal_solve_p as tridiagonal_solve_p,
)

"""Linear algebra as SciPy has it.

Invariant: a name is public by being imported here as itself. Matrices are the last two dimensions of an array; where SciPy
takes a single matrix, these functions also take a stack of them.
"""

from anima.scipy.linalg.functions import (
    expm as expm,
    expm_frechet as expm_frechet,
    funm as funm,
    solve_sylvester as solve_sylvester,
    sqrtm as sqrtm,
)
from anima.scipy.linalg.spectral import (
    eigh as eigh,
    eigh_tridiagonal as eigh_tridiagonal,
    hessenberg as hessenberg,
    polar as polar,
    rsf2csf as rsf2csf,
    schur as schur,
    svd as svd,
)

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
from anima.scipy.linalg.matrices import (
    block_diag as block_diag,
    circulant as circulant,
    companion as companion,
    convolution_matrix as convolution_matrix,
    dft as dft,
    fiedler as fiedler,
    fiedler_companion as fiedler_companion,
    hadamard as hadamard,
    hankel as hankel,
    helmert as helmert,
    hilbert as hilbert,
    invhilbert as invhilbert,
    invpascal as invpascal,
    leslie as leslie,
    pascal as pascal,
    toeplitz as toeplitz,
)
from anima.scipy.linalg.solving import (
    cho_factor as cho_factor,
    cho_solve as cho_solve,
    cholesky as cholesky,
    det as det,
    inv as inv,
    lu as lu,
    lu_factor as lu_factor,
    lu_solve as lu_solve,
    qr as qr,
    qr_multiply as qr_multiply,
    solve as solve,
    solve_triangular as solve_triangular,
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

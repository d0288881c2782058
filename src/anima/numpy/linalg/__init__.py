"""Linear algebra as NumPy has it.

Invariant: a name is public by being imported here as itself. Matrices are the last two dimensions of an array, whose other
dimensions are a stack of them.

>>> import anima.numpy as np
>>> print(np.linalg.norm(np.array([3.0, 4.0])))
5.0
"""

from anima.numpy.linalg.determinants import det as det, slogdet as slogdet
from anima.numpy.linalg.least_squares import lstsq as lstsq
from anima.numpy.linalg.products import (
    cross as cross,
    diagonal as diagonal,
    matmul as matmul,
    matrix_norm as matrix_norm,
    matrix_power as matrix_power,
    matrix_transpose as matrix_transpose,
    multi_dot as multi_dot,
    norm as norm,
    outer as outer,
    tensordot as tensordot,
    trace as trace,
    vecdot as vecdot,
    vector_norm as vector_norm,
)
from anima.numpy.linalg.solving import (
    cholesky as cholesky,
    inv as inv,
    qr as qr,
    solve as solve,
    tensorinv as tensorinv,
    tensorsolve as tensorsolve,
)
from anima.numpy.linalg.spectral import (
    cond as cond,
    eig as eig,
    eigh as eigh,
    eigvals as eigvals,
    eigvalsh as eigvalsh,
    matrix_rank as matrix_rank,
    pinv as pinv,
    svd as svd,
    svdvals as svdvals,
)

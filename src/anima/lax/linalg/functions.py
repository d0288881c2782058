"""Functions of matrices that are computed from Schur forms, and Sylvester's equation, by which they are differentiated.

Invariant: these are for CPU devices, since Schur forms exist there only.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Zero
from anima.interpreters.zeros import add as add_zeros
from anima.lax.arithmetic import neg
from anima.lax.declare import COMPLEX, check_dtype, declare, is_linear, same_dtypes, widening
from anima.lax.linalg.calls import NARROW, SPECTRAL, is_empty, on_host
from anima.lax.linalg.matrices import batch_first, check_batch, check_matrix, matmul, mt
from anima.lowering.module import Context, Value

# --- a x + x b = c ----------------------------------------------------------------------------


def _sylvester_shape(a: ShapedArray, b: ShapedArray, c: ShapedArray) -> ShapedArray:
    check_matrix("sylvester", a, "a", SPECTRAL, square=True)
    check_matrix("sylvester", b, "b", SPECTRAL, square=True)
    check_matrix("sylvester", c, "c", SPECTRAL)
    same_dtypes("sylvester", (a, b, c))
    check_batch("sylvester", a=(a, 2), b=(b, 2), c=(c, 2))
    if c.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise ValueError(
            f"sylvester: c must have the rows of a and the columns of b, got shapes {a.shape}, {b.shape} and {c.shape}"
        )
    return ShapedArray(c.shape, c.dtype)


def _sylvester_lower(ctx: Context, a: Value, b: Value, c: Value) -> Value:
    if is_empty(c.aval):
        return c
    return on_host(ctx, "anima_sylvester", [a, b, c], ctx.out_avals)[0]


def _sylvester_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    a, b, c = primals
    x = sylvester(a, b, c)
    da, db, right = tangents
    if type(da) is not Zero:
        right = add_zeros(right, neg(matmul(da, x)))
    if type(db) is not Zero:
        right = add_zeros(right, neg(matmul(x, db)))
    return x, right if type(right) is Zero else sylvester(a, b, right)


def _sylvester_transpose(ct: Any, a: Any, b: Any, c: Any) -> list[Any]:
    assert is_linear(c)
    return [None, None, sylvester(mt(a), mt(b), ct)]


sylvester_p = declare(
    "sylvester",
    shape=_sylvester_shape,
    lower=widening(NARROW, _sylvester_lower),
    jvp=_sylvester_jvp,
    transpose=_sylvester_transpose,
    batch=batch_first,
    dtypes=SPECTRAL,
)


def sylvester(a: Any, b: Any, c: Any) -> Any:
    """The solutions `x` of `a @ x + x @ b == c` (Bartels and Stewart, 1972); NaN where there is not one alone.

    Args:
      a, b: stacks of square matrices, of shapes `(..., m, m)` and `(..., n, n)`.
      c: matrices of shape `(..., m, n)`; all have one dtype.

    >>> import anima.numpy as np
    >>> from anima.lax.linalg.functions import sylvester
    >>> print(sylvester(np.array([[1.0]]), np.array([[3.0]]), np.array([[8.0]])))
    [[2.]]
    """
    return sylvester_p.bind(a, b, c)


# --- square roots -----------------------------------------------------------------------------


def _sqrtm_shape(x: ShapedArray) -> ShapedArray:
    check_matrix("sqrtm", x, "x", COMPLEX, square=True)
    return ShapedArray(x.shape, x.dtype)


def _sqrtm_lower(ctx: Context, x: Value) -> Value:
    if is_empty(x.aval):
        return x
    return on_host(ctx, "anima_sqrtm", [x], ctx.out_avals)[0]


def _sqrtm_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    root = sqrtm(primals[0])
    (dx,) = tangents
    # The derivative of root @ root = x.
    return root, dx if type(dx) is Zero else sylvester(root, root, dx)


sqrtm_p = declare(
    "sqrtm",
    shape=_sqrtm_shape,
    lower=_sqrtm_lower,
    jvp=_sqrtm_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dtypes=COMPLEX,
)


def sqrtm(x: Any) -> Any:
    """The principal square roots of a stack of square complex matrices.

    By the Schur form (Bjorck and Hammarling, 1983). Matrices with a NaN or an infinity have NaN for a root, as have singular
    ones without a root.
    """
    return sqrtm_p.bind(x)


# --- functions of triangular matrices ---------------------------------------------------------


def _parlett_shape(t: ShapedArray, values: ShapedArray) -> list[ShapedArray]:
    check_matrix("parlett", t, "t", COMPLEX, square=True)
    check_dtype("parlett", values, COMPLEX, "values")
    same_dtypes("parlett", (t, values))
    if values.shape != t.shape[:-1]:
        raise ValueError(
            f"parlett: values must have one element for each eigenvalue, shape {t.shape[:-1]}, got {values.shape}"
        )
    return [ShapedArray(t.shape, t.dtype), ShapedArray(t.shape[:-2], dtypes.to_real_dtype(t.dtype))]


def _parlett_lower(ctx: Context, t: Value, values: Value) -> list[Value]:
    return on_host(ctx, "anima_parlett", [t, values], ctx.out_avals)


parlett_p = declare(
    "parlett",
    shape=_parlett_shape,
    lower=_parlett_lower,
    jvp=Missing("functions of matrices by Parlett's recurrence have no derivative known here"),
    transpose=Missing("it is not linear"),
    batch=batch_first,
    multiple_results=True,
    dtypes=COMPLEX,
)


def parlett(t: Any, values: Any) -> tuple[Any, Any]:
    """Functions of a stack of upper triangular complex matrices, from their values at the diagonals.

    Golub and Van Loan, Matrix Computations, 9.1.4.

    Returns:
      The functions, and for each the smallest difference of eigenvalues that was divided by, infinite if there is none.
    """
    f, least = parlett_p.bind(t, values)
    return f, least

"""Symmetric products of matrices.

Invariant: the whole result is written, both triangles of it, whatever the device.
"""

from __future__ import annotations

from typing import Any

from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Zero
from anima.core.trace import aval_of
from anima.interpreters.zeros import add as add_tangents
from anima.lax.arithmetic import add, mul
from anima.lax.declare import FLOAT, declare, lowered_by, operand, same_dtypes
from anima.lax.linalg.matrices import batch_first, check_batch, check_matrix, matmul, mt, triangle
from anima.lax.operands import typed_scalar
from anima.lax.shape import dtype_of

_NAME = "symmetric_product"


def _shape(a: ShapedArray, c: ShapedArray, *, alpha: float, beta: float) -> ShapedArray:
    same_dtypes(_NAME, (a, c))
    check_matrix(_NAME, a, "a_matrix", FLOAT)
    check_matrix(_NAME, c, "c_matrix", FLOAT)
    check_batch(_NAME, a_matrix=(a, 2), c_matrix=(c, 2))
    if c.shape[-2:] != (a.shape[-2], a.shape[-2]):
        raise ValueError(
            f"{_NAME}: c_matrix must be square with as many rows as a_matrix, got shapes {a.shape} and {c.shape}"
        )
    return ShapedArray(c.shape, c.dtype, a.weak_type and c.weak_type)


def _scaled(x: Any, factor: float) -> Any:
    return mul(x, typed_scalar(factor, dtype_of(x)))


def _computed(a: Any, c: Any, alpha: float, beta: float) -> Any:
    return add(_scaled(matmul(a, mt(a)), alpha), _scaled(c, beta))


def _jvp(primals: Any, tangents: Any, *, alpha: float, beta: float) -> tuple[Any, Any]:
    (a, c), (ta, tc) = primals, tangents
    out = symmetric_product_p.bind(a, c, alpha=alpha, beta=beta)
    slope: Any = Zero(aval_of(out).tangent_aval())
    if type(ta) is not Zero:
        once = _scaled(matmul(ta, mt(a)), alpha)
        slope = add(once, mt(once))
    if type(tc) is not Zero:
        slope = add_tangents(slope, _scaled(tc, beta))
    return out, slope


symmetric_product_p = declare(
    _NAME,
    shape=_shape,
    lower=lowered_by(_computed),
    jvp=_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dtypes=FLOAT,
)


def symmetric_product(
    a_matrix: Any, c_matrix: Any, *, alpha: float = 1.0, beta: float = 0.0, symmetrize_output: bool = False
) -> Any:
    """The matrices `alpha * a @ a^T + beta * c`.

    Args:
      a_matrix: matrices of real numbers.
      c_matrix: symmetric matrices with as many rows as `a_matrix`.
      alpha, beta: numbers.
      symmetrize_output: copy the lower triangle of the result to the upper one, should `c_matrix` not be symmetric.
    Raises:
      TypeError: dtypes differ or are not real, or the stacks differ. ValueError: the sizes do not fit.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> print(lax.linalg.symmetric_product(np.array([[1.0], [2.0]]), np.zeros((2, 2))))
    [[1. 2.]
     [2. 4.]]
    """
    factors: tuple[Any, ...] = (alpha, beta)
    if any(isinstance(factor, str) for factor in factors):
        raise TypeError(f"symmetric_product: alpha and beta must be numbers, got {alpha!r} and {beta!r}")
    out = symmetric_product_p.bind(operand(a_matrix), operand(c_matrix), alpha=float(alpha), beta=float(beta))
    if not symmetrize_output:
        return out
    return add(triangle(out, lower=True), mt(triangle(out, lower=True, offset=-1)))

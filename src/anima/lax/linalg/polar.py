"""The polar decomposition by QDWH, the QR-based dynamically weighted Halley iteration.

Invariant: all but the last steps are fixed before the iteration runs: their weights follow from a lower bound of the smallest
singular value, which is one unit of rounding (Nakatsukasa, Bai and Gygi, 2010).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import shaped
from anima.lax.arithmetic import abs, add, mul, sub
from anima.lax.bitwise import bitwise_and, bitwise_not
from anima.lax.compare import eq, gt, lt
from anima.lax.control.looping import while_loop
from anima.lax.convert import convert_element_type, convert_to
from anima.lax.create import broadcasted_iota, full, full_like
from anima.lax.declare import operand as as_operand
from anima.lax.joining import concatenate
from anima.lax.linalg.calls import SPECTRAL
from anima.lax.linalg.cholesky import cholesky
from anima.lax.linalg.eigen import hermitian
from anima.lax.linalg.matrices import check_matrix, ct, eye, matmul
from anima.lax.linalg.qr import qr
from anima.lax.linalg.triangular import triangular_solve
from anima.lax.powers import rsqrt, sqrt
from anima.lax.reductions import reduce_max, reduce_sum
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, shape_of
from anima.lax.slicing import slice_in_dim

_ITERATIONS = 10
_BY_QR = 100.0  # from this weight on the Cholesky factors would lose accuracy


def _weights(bound: float, eps: float) -> Iterator[tuple[float, float, float]]:
    """The weights of the steps that take singular values between `bound` and 1 to 1, up to rounding."""
    while 1.0 - bound > 10 * eps:
        square = bound * bound
        d = (4.0 * (1.0 - square) / square**2) ** (1.0 / 3.0)
        root = math.sqrt(1.0 + d)
        a = root + 0.5 * math.sqrt(8.0 - 4.0 * d + 8.0 * (2.0 - square) / (square * root))
        b = (a - 1.0) ** 2 / 4.0
        c = a + b - 1.0
        yield a, b, c
        bound = min(bound * (a + b * square) / (1.0 + c * square), 1.0)


def _count(number: int) -> Any:
    return dtypes.default_int_dtype().type(number)


def _times(x: Any, number: float) -> Any:
    return mul(x, full_like(x, number))


def _scaled(x: Any, number: Any) -> Any:
    return mul(x, broadcast_in_dim(convert_element_type(number, dtype_of(x)), shape_of(x), ()))


def _length(x: Any) -> Any:
    """The Frobenius norm."""
    size = abs(x)
    return sqrt(reduce_sum(mul(size, size), (0, 1)))


def _step(u: Any, a: float, b: float, c: float) -> Any:
    """One step, by the way that is accurate for these weights."""
    rows, n = shape_of(u)
    unit = eye(u, n, n)
    if c > _BY_QR:
        q, _ = qr(concatenate([_times(u, math.sqrt(c)), unit], 0), full_matrices=False)
        q1, q2 = slice_in_dim(q, 0, rows, axis=0), slice_in_dim(q, rows, rows + n, axis=0)
        moved = _times(matmul(q1, ct(q2)), (a - b / c) / math.sqrt(c))
    else:
        factor = cholesky(add(_times(matmul(ct(u), u), c), unit), symmetrize_input=False)
        right = triangular_solve(factor, ct(u), left_side=True, lower=True)
        right = triangular_solve(
            factor, right, left_side=True, lower=True, transpose_a=True, conjugate_a=True
        )
        moved = _times(ct(right), a - b / c)
    return add(_times(u, b / c), moved)


def _start(x: Any) -> Any:
    """`x` over an upper bound of its largest singular value."""
    size = abs(x)
    columns, rows = (reduce_max(reduce_sum(size, (d,)), (0,)) for d in (0, 1))
    scale = mul(rsqrt(columns), rsqrt(rows))
    return _scaled(x, select(eq(columns, full_like(columns, 0)), full_like(scale, 1), scale))


def _inside(x: Any, shape: tuple[Any, Any]) -> Any:
    """`x` with zeros outside its first rows and columns."""
    inside = [
        lt(broadcasted_iota(np.int32, shape_of(x), d), convert_element_type(size, np.int32)) for d, size in enumerate(shape)
    ]  # fmt: skip
    return select(bitwise_and(*inside), x, full_like(x, 0))


def qdwh(
    x: Any,
    *,
    is_hermitian: bool = False,
    max_iterations: int | None = None,
    eps: float | None = None,
    dynamic_shape: tuple[Any, Any] | None = None,
) -> tuple[Any, Any, Any, Any]:
    """The polar decomposition `x = u @ h`, with orthonormal columns in `u` and a Hermitian `h` without negative eigenvalues.

    Args:
      x: a matrix of full rank with at least as many rows as columns.
      is_hermitian: has no effect.
      max_iterations: after how many steps to stop at the latest; default 10.
      eps: a unit of rounding: the iteration ends with a step shorter than `cbrt(4 * eps)` times the result. Default: the
        dtype's.
      dynamic_shape: `(rows, columns)`, perhaps traced, for the matrix in the upper left corner; the rest counts as zero.
    Returns:
      `(u, h, num_iters, is_converged)`: the factors, how many steps there were, and whether the last was short enough.
    Raises:
      ArgumentError: `x` has fewer than two dimensions, or a dtype without linear algebra.
      ValueError: `x` is a stack of matrices or has fewer rows than columns; `max_iterations` is negative, or `eps` not positive.
      TypeError: these are no numbers.

    Derivatives of both modes exist.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> u, h, num_iters, is_converged = lax.linalg.qdwh(np.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> print(np.round(h, 4))
    [[3. 0.]
     [0. 2.]]
    """
    x = as_operand(x)
    check_matrix("qdwh", shaped(x), "x", SPECTRAL)
    shape = shape_of(x)
    if len(shape) > 2 or shape[0] < shape[1]:
        raise ValueError(
            f"qdwh: x must be one matrix with at least as many rows as columns, got shape {shape}"
        )
    if dynamic_shape is not None:
        x = _inside(x, dynamic_shape)
    unit, limit = _ends(float(dtypes.finfo(dtype_of(x)).eps), eps, max_iterations)
    if 0 in shape:
        return x, slice_in_dim(x, 0, shape[1], axis=0), convert_to(0, int, True), full((), True)
    u, count, moving = _iterated(_start(x), unit, limit)
    # One step of Newton and Schulz takes off what rounding errors were left.
    u = sub(_times(u, 1.5), _times(matmul(u, matmul(ct(u), u)), 0.5))
    return u, hermitian(matmul(ct(u), x)), convert_to(count, int, True), bitwise_not(moving)


def _ends(least: float, eps: Any, max_iterations: Any) -> tuple[float, int]:
    """When to stop: the unit of rounding and the number of steps, checked."""
    unit, limit = least if eps is None else eps, _ITERATIONS if max_iterations is None else max_iterations
    if isinstance(unit, str) or not hasattr(limit, "__index__"):
        raise TypeError(
            f"qdwh: eps must be a number and max_iterations an integer, got {eps!r} and {max_iterations!r}"
        )
    unit, limit = float(unit), int(limit)
    if not unit > 0 or limit < 0:
        raise ValueError(
            f"qdwh: eps must be positive and max_iterations not negative, got {unit} and {limit}"
        )
    return unit, limit


def _iterated(u: Any, unit: float, limit: int) -> tuple[Any, Any, Any]:
    """The orthonormal factor, the number of steps, and whether the last one was still long."""
    fixed = list(_weights(unit, unit))[:limit]
    previous = u
    for weights in fixed:
        previous, u = u, _step(u, *weights)

    def is_long(u: Any, previous: Any) -> Any:
        change, size = _length(sub(u, previous)), _length(u)
        return gt(change, mul(size, full_like(size, (4.0 * unit) ** (1.0 / 3.0))))

    def goes_on(state: Any) -> Any:
        _, count, moving = state
        return bitwise_and(moving, lt(count, _count(limit)))

    def body(state: Any) -> Any:
        u, count, _ = state
        new = _step(u, 3.0, 1.0, 3.0)
        return new, add(count, _count(1)), is_long(new, u)

    start = (u, _count(len(fixed)), is_long(u, previous))
    steps = limit - len(fixed)
    if steps == 0:
        return start
    out: tuple[Any, Any, Any] = while_loop(goes_on, body, start, max_steps=steps)
    return out

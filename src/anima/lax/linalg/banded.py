"""Systems of equations with tridiagonal matrices.

Invariant: the bands are vectors of one length: `dl[i]`, `d[i]` and `du[i]` are the elements of row `i` left of, on and right of
the diagonal, so `dl[0]` and `du[n - 1]` stand for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima.core.aval import ShapedArray
from anima.core.primitive import Zero
from anima.core.trace import aval_of
from anima.interpreters.zeros import add as add_zeros, instantiate
from anima.lax.arithmetic import add, mul, neg
from anima.lax.declare import check_dtype, declare, is_linear, operand as as_operand, same_dtypes, widening
from anima.lax.joining import pad_p
from anima.lax.linalg.calls import NARROW, SPECTRAL, by_plugin, is_empty, on_host
from anima.lax.linalg.matrices import batch_first
from anima.lax.shape import broadcast_in_dim, dtype_of, shape_of
from anima.lowering.module import Context, Value


def _shape(
    dl: ShapedArray, d: ShapedArray, du: ShapedArray, b: ShapedArray, *, perturb_singular: bool
) -> ShapedArray:
    for which, aval in (("dl", dl), ("d", d), ("du", du), ("b", b)):
        check_dtype("tridiagonal_solve", aval, SPECTRAL, which)
    same_dtypes("tridiagonal_solve", (dl, d, du, b))
    if d.ndim < 1 or b.ndim < 2:
        raise TypeError(
            f"tridiagonal_solve: d must have at least 1 dimension and b at least 2, got shapes {d.shape} and {b.shape}"
        )
    if not dl.shape == d.shape == du.shape:
        raise TypeError(
            f"tridiagonal_solve: dl, d and du must have the same shape, got {dl.shape}, {d.shape} and {du.shape}"
        )
    if b.shape[:-1] != d.shape:
        raise TypeError(
            f"tridiagonal_solve: b must have the dimensions of d, {d.shape}, and one more, got shape {b.shape}"
        )
    return ShapedArray(b.shape, b.dtype)


def _lower(ctx: Context, dl: Value, d: Value, du: Value, b: Value, *, perturb_singular: bool) -> Value:
    operands, outs = [dl, d, du, b], ctx.out_avals
    if is_empty(b.aval):
        return b
    if ctx.module.platform != "cuda":
        attributes = {"perturb_singular": perturb_singular}
        return on_host(ctx, "anima_tridiagonal_solve", operands, outs, attributes)[0]
    if perturb_singular:
        return by_plugin(ctx, "cu_tridiagonal_solve_perturbed", operands, outs, ({3}, {0}))[0]
    return by_plugin(ctx, "cusparse_gtsv2_ffi", operands, outs, ({3}, {0}), in_place={0: 3})[0]


def _moved(x: Any, by: int, axis: int) -> Any:
    """`x` moved along an axis by one place up or down, zeros coming in."""
    config = [(0, 0, 0)] * len(shape_of(x))
    config[axis] = (by, -by, 0)
    return pad_p.bind(x, dtype_of(x).type(0), padding_config=tuple(config))


def _times(bands: Sequence[Any], x: Any) -> Any:
    """The product with a tridiagonal matrix, of which bands may be symbolic zeros."""
    shape = shape_of(x)
    axis = len(shape) - 2
    total: Any = Zero(aval_of(x))
    for values, by in zip(bands, (1, 0, -1)):
        if type(values) is Zero:
            continue
        rows = x if by == 0 else _moved(x, by, axis)
        total = add_zeros(total, mul(broadcast_in_dim(values, shape, tuple(range(axis + 1))), rows))
    return total


def _jvp(primals: Any, tangents: Any, *, perturb_singular: bool) -> tuple[Any, Any]:
    *bands, b = primals
    x = tridiagonal_solve_p.bind(*bands, b, perturb_singular=perturb_singular)
    change = _times(tangents[:3], x)
    if type(change) is Zero and type(tangents[3]) is Zero:
        return x, change
    right = instantiate(tangents[3])
    if type(change) is not Zero:
        right = add(right, neg(change))
    return x, tridiagonal_solve_p.bind(*bands, right, perturb_singular=perturb_singular)


def _transpose(ct: Any, dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool) -> list[Any]:
    assert is_linear(b)
    axis = len(shape_of(d)) - 1
    # The bands of the transpose.
    lower, upper = _moved(du, 1, axis), _moved(dl, -1, axis)
    x = tridiagonal_solve_p.bind(lower, d, upper, ct, perturb_singular=perturb_singular)
    return [None, None, None, x]


tridiagonal_solve_p = declare(
    "tridiagonal_solve",
    shape=_shape,
    lower=widening(NARROW, _lower),
    jvp=_jvp,
    transpose=_transpose,
    batch=batch_first,
    dtypes=SPECTRAL,
)


def tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool = False) -> Any:
    """The solutions `x` of `a @ x == b` for tridiagonal matrices.

    Args:
      dl: the elements left of the diagonal, of shape `(..., n)`: `dl[i]` is `a[i, i - 1]`; the first counts for nothing.
      d: the diagonals, of the same shape.
      du: the elements right of the diagonal: `du[i]` is `a[i, i + 1]`; the last counts for nothing.
      b: right-hand sides, of shape `(..., n, k)`.
      perturb_singular: whether to take pivots that are nearly zero for numbers of the size of rounding errors, so that
        singular matrices have finite solutions, as inverse iteration wants.
    Returns:
      The solutions, of the shape of `b`; NaN for singular matrices.
    Raises:
      TypeError: shapes do not fit, dtypes differ, or the dtype is one without linear algebra.

    Gaussian elimination with exchanges of rows (Golub and Van Loan, Matrix Computations, 4.3) on CPU, cuSPARSE on CUDA.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> ones = np.ones(3)
    >>> print(lax.linalg.tridiagonal_solve(ones, 2 * ones, ones, np.array([[3.0], [4.0], [3.0]])))
    [[1.]
     [1.]
     [1.]]
    """
    operands = [as_operand(x) for x in (dl, d, du, b)]
    return tridiagonal_solve_p.bind(*operands, perturb_singular=bool(perturb_singular))

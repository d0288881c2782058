"""Reductions over windows: sums and extrema, as in pooling, and those by a function of the user's.

Invariant: padding and the holes of dilation take no part. A window without elements gives what changes nothing when combined:
0, or the end of the dtype's range.

XLA reduces windows on CPUs an element at a time: 3x3 maxima of (4, 64, 56, 56) float32 numbers take 14 ms on one core of a Zen 4,
those of rows and then of columns by elementwise operations on slices take 1 (7x7: 150 and 5).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import tree
from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, Var
from anima.core.primitive import Missing, Primitive, Zero, primitives
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, batch_flat, to_axis
from anima.interpreters.jvp import jvp_flat
from anima.lax.arithmetic import mul
from anima.lax.compare import ge_p, le_p
from anima.lax.declare import (
    ANY,
    NUMERIC,
    SUBBYTE,
    check_dtype,
    combining_region,
    declare,
    in_float32,
    jvp_linear,
    lowered_by,
    operand as as_operand,
    widening,
)
from anima.lax.fold import initial, is_identity, monoid_of, reduce_p, scalar_program
from anima.lax.reductions import NO_ZERO, identity
from anima.lax.shape import broadcast_in_dim, broadcast_in_dim_p, shape_of
from anima.lax.window_selection import select_and_gather_add_p
from anima.lax.window_shapes import Windows, dilated, integers, pads_attribute, windows_on
from anima.lax.window_slices import SLICES, fold_windows, spread, windows_along
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array
from anima.runtime.kernels import call_kernel

# --- what they have in common -----------------------------------------------------------------


def _attributes(windows: Windows) -> str:
    """The attributes of the StableHLO operation."""
    fields = {
        "window_dimensions": windows.window_dimensions,
        "window_strides": windows.window_strides,
        "base_dilations": windows.base_dilation,
        "window_dilations": windows.window_dilation,
    }
    arrays = ", ".join(f"{name} = {i64_array(values)}" for name, values in fields.items())
    return f"{arrays}, padding = {pads_attribute(windows.padding)}"


def _native(ctx: Context, x: Value, operation: str, windows: Windows) -> Value:
    """One operation of StableHLO."""
    scalar = ShapedArray((), x.dtype)
    init = ctx.constant(np.asarray(identity(operation, x.dtype), x.dtype), scalar)
    body = combining_region(ctx, operation, scalar.dtype)
    out = ShapedArray(windows.counts(x.shape), x.dtype)
    return ctx.op("stablehlo.reduce_window", (x, init), out, _attributes(windows), [body])


def _is_sliced(n: int, windows: Windows) -> bool:
    """Whether slices are the better way, for windows along one dimension: they are short, or have much in common."""
    (size,), (count,) = windows.window_dimensions, windows.counts((n,))
    padded = windows._replace(window_dimensions=(1,), window_strides=(1,)).counts((n,))[0]
    return size <= SLICES or count * size > 4 * padded


# The kernel takes windows of so many elements along a dimension, so far apart, on so many dimensions.
_KERNEL_SIZE, _KERNEL_DISTANCE, _KERNEL_RANK = 32, 1 << 24, 8
_MOST_COUNTED = 1 << 20


def _has_kernel(ctx: Context, x: Value, windows: Windows) -> bool:
    """Whether a kernel reduces these windows."""
    if not ctx.module.kernels_allowed or x.dtype.name not in ("float32", "float64", "bfloat16"):
        return False
    if not 0 < x.ndim <= _KERNEL_RANK or not math.prod(windows.counts(x.shape)):
        return False
    return _gains(x.shape, windows) and all(
        size <= _KERNEL_SIZE and max(stride, abs(low), base, step) <= _KERNEL_DISTANCE
        for size, stride, (low, _), base, step in zip(*windows)
    )


def _gains(shape: Sequence[int], windows: Windows) -> bool:
    """Whether the kernel is quicker than slices: not where arrays are small, or where no element is in two windows.

    Nor where it could not go along memory: a few elements lie together behind the windows, or there are holes between single
    ones.
    """
    used = [d for d in range(len(shape)) if not windows.along(d).are_elements]
    overlapping = any(size > stride for size, stride, *_ in zip(*windows))
    if not overlapping or math.prod(shape) < 1 << 10:
        return False
    together = math.prod(shape[used[-1] + 1 :])
    return together >= 8 or (together == 1 and windows.base_dilation[used[-1]] == 1)


def _by_kernel(ctx: Context, x: Value, operation: str, windows: Windows) -> Value:
    out = ShapedArray(windows.counts(x.shape), x.dtype)
    attributes: dict[str, int | bool] = {}
    for d, (size, stride, (low, _), base, step) in enumerate(zip(*windows)):
        lie = {"size": size, "stride": stride, "low": low, "base": base, "step": step}
        attributes |= {f"{name}{d}": value for name, value in lie.items()}
    result = call_kernel(ctx, f"anima_reduce_window_{operation}", (x,), [out], attributes)[0]
    if operation == "add" and _is_read_once(ctx):
        # Not in a loop that the sums are made outside of.
        result.scaled = lambda at, by: _times(ctx, x, by, out, attributes) if at is ctx else None
    return result


def _is_read_once(ctx: Context) -> bool:
    """Whether one equation reads the result of the one at hand, and nothing else does."""
    eqn, program = ctx.eqn, ctx.program
    if eqn is None or program is None or eqn.primitive is not reduce_window_sum_p:
        return False
    return eqn.outvars[0] in program.memoized("read once", lambda: _read_once(program))


def _read_once(program: Jaxpr) -> frozenset[Var]:
    reads = Counter([a for eqn in program.eqns for a in eqn.invars if type(a) is Var])
    return frozenset([var for var, count in reads.items() if count == 1]).difference(program.outvars)


def _times(ctx: Context, x: Value, by: Value, out: ShapedArray, attributes: dict[str, int | bool]) -> Value:
    """Sums of windows times a number, as means are: a pass over them would take half as long as the sums."""
    if by.dtype.name == "bfloat16":  # what the kernel adds up is float32
        by = ctx.op("stablehlo.convert", (by,), ShapedArray((), np.dtype(np.float32)))
    return call_kernel(ctx, "anima_reduce_window_add", (x, by), [out], attributes)[0]


def _lowering(operation: str) -> Callable[..., Value]:
    def lower(ctx: Context, x: Value, **params: Any) -> Value:
        windows = Windows(**params)
        if ctx.module.platform != "cpu":
            return _native(ctx, x, operation, windows)
        if _has_kernel(ctx, x, windows):
            return _by_kernel(ctx, x, operation, windows)
        sliced = [_is_sliced(n, windows.along(d)) for d, n in enumerate(x.shape)]
        others, these = windows.only([not s for s in sliced]), windows.only(sliced)
        if not others.are_elements:
            x = _native(ctx, x, operation, others)
        neutral = x.dtype.type(identity(operation, x.dtype))
        combine = lambda a, b: [primitives[operation].bind(*a, *b)]
        by_slices = lambda x: fold_windows([spread(x, neutral, these)], these, combine, operation != "add")[0]
        return x if these.are_elements else lowered_by(by_slices)(ctx, x)

    if operation != "add":
        return lower
    in_steps = in_float32(lower)

    def lower_sum(ctx: Context, x: Value, **params: Any) -> Value:
        windows, number = Windows(**params), _equal_elements(ctx)
        if number is not None and _are_counted(x.shape, windows):
            return lowered_by(lambda: _sums_of_equal(number, x.shape, windows))(ctx)
        return (lower if _has_kernel(ctx, x, windows) else in_steps)(ctx, x, **params)

    return lower_sum


def _equal_elements(ctx: Context) -> Any:
    """What all elements are of the array that the equation at hand adds up, if it can be seen: of the ones that windows'
    elements are counted by, mostly."""
    eqn, program = ctx.eqn, ctx.program
    if eqn is None or program is None or eqn.primitive is not reduce_window_sum_p:
        return None
    by = program.memoized("made by", lambda: {var: eqn for eqn in program.eqns for var in eqn.outvars})
    (operand,) = eqn.invars
    source = by.get(operand) if type(operand) is Var else None
    if source is None or source.primitive is not broadcast_in_dim_p or type(source.invars[0]) is not Literal:
        return None
    number = np.asarray(source.invars[0].val)
    known = number.dtype.name in ("bfloat16", "float16", "float32", "float64") and np.isfinite(number)
    return number if known else None


def _are_counted(shape: Sequence[int], windows: Windows) -> bool:
    """Whether counting the elements of windows along each dimension, one by one, takes little time."""
    counts = windows.counts(shape)
    return bool(shape) and max(a * b for a, b in zip(windows.window_dimensions, counts)) <= _MOST_COUNTED


def _sums_of_equal(number: Any, shape: Sequence[int], windows: Windows) -> Any:
    """Sums of windows of one number: its product with the numbers of elements along each dimension."""
    counts = windows.counts(shape)
    total = broadcast_in_dim(number, counts, ())
    for d, n in enumerate(shape):
        along = windows.along(d)
        if not along.are_elements:
            found = _elements_along(n, along).astype(number.dtype)
            total = mul(total, broadcast_in_dim(found, counts, (d,)))
    return total


def _elements_along(n: int, windows: Windows) -> np.ndarray[Any, Any]:
    """How many of `n` elements each window has, along one dimension."""
    ((size, stride, (low, _), base, step),) = zip(*windows)
    (count,) = windows.counts((n,))
    at = np.arange(count)[:, None] * stride + np.arange(size) * step - low
    return np.count_nonzero((at >= 0) & (at % base == 0) & (at < n * base), axis=1)


def _window_reduction(
    name: str, operation: str, accepts: tuple[str, ...], jvp: Any, transpose: Any = None
) -> Primitive:
    """The reduction of windows with the elementwise operation `operation`, by its name in jaxprs."""

    def shape(x: ShapedArray, **params: Any) -> ShapedArray:
        check_dtype(name, x, accepts)
        return ShapedArray(Windows(**params).counts(x.shape), x.dtype, x.weak_type)

    def batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
        (d,) = dims
        return primitive.bind(args[0], **Windows(**params).with_axis(d)._asdict()), d

    primitive = declare(
        name,
        shape=shape,
        lower=widening((*SUBBYTE, *NO_ZERO), _lowering(operation)),
        jvp=jvp,
        transpose=transpose or Missing("it is not linear"),
        batch=batch,
        dtypes=accepts,
    )
    return primitive


# --- sum --------------------------------------------------------------------------------------


def _sum_transpose(ct: Any, x: Any, **params: Any) -> list[Any]:
    """Each element gets the sum of the cotangents of the windows that it is in: windows again, with other strides."""
    windows = Windows(**params)
    counts = shape_of(ct)
    if not math.prod(counts):
        return [hooks.zeros(x.aval)]
    pads = []
    for n, count, lie in zip(x.shape, counts, zip(*windows)):
        size, stride, (lo, _), base, step = lie
        low = dilated(size, step) - 1 - lo
        pads.append((low, dilated(n, base) + dilated(size, step) - 1 - low - dilated(count, stride)))
    turned = Windows(
        windows.window_dimensions,
        windows.base_dilation,
        tuple(pads),
        windows.window_strides,
        windows.window_dilation,
    )
    return [reduce_window_sum_p.bind(ct, **turned._asdict())]


reduce_window_sum_p = _window_reduction("reduce_window_sum", "add", NUMERIC, jvp_linear, _sum_transpose)

# --- extrema ----------------------------------------------------------------------------------


def _extremum(name: str, operation: str, select_prim: Primitive) -> Primitive:
    def jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        ans = primitive.bind(x, **params)
        if type(t) is Zero:
            return ans, Zero(aval_of(ans).tangent_aval())
        return ans, select_and_gather_add_p.bind(t, x, select_prim=select_prim, **params)

    primitive = _window_reduction(name, operation, ANY, jvp)
    return primitive


reduce_window_max_p = _extremum("reduce_window_max", "max", ge_p)
reduce_window_min_p = _extremum("reduce_window_min", "min", le_p)

# --- by a function ----------------------------------------------------------------------------


def _window_fold_shape(*avals: ShapedArray, jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    xs = avals[: len(avals) // 2]
    if any(x.shape != xs[0].shape for x in xs):
        raise TypeError(
            f"reduce_window: operands must have equal shapes, got {', '.join(str(x.shape) for x in xs)}"
        )
    shape = Windows(**params).counts(xs[0].shape)
    return [ShapedArray(shape, x.dtype, x.weak_type) for x in xs]


def _window_fold_lower(ctx: Context, *operands: Value, jaxpr: ClosedJaxpr, **params: Any) -> list[Value]:
    outs = list(ctx.out_avals)
    body = ctx.region(jaxpr.in_avals, lambda inner, args: inner.jaxpr(jaxpr.jaxpr, jaxpr.consts, args))
    return ctx.ops("stablehlo.reduce_window", operands, outs, _attributes(Windows(**params)), [body])


def _reduced_views(jaxpr: ClosedJaxpr, windows: Windows, operands: Sequence[Any]) -> list[Any]:
    """The same by a reduction: of arrays that hold every window."""
    xs, inits = operands[: len(operands) // 2], operands[len(operands) // 2 :]
    counts = windows.counts(shape_of(xs[0]))
    views = []
    for x, init in zip(xs, inits):
        x = spread(x, init, windows)
        for d, count in enumerate(counts):
            size, stride, step = (
                windows.window_dimensions[d],
                windows.window_strides[d],
                windows.window_dilation[d],
            )
            # Its dimensions are the places in windows so far, those of windows so far, the others.
            x = windows_along(x, 2 * d, d, size, count, stride, step)
        views.append(x)
    return reduce_p.bind(*views, *inits, jaxpr=jaxpr, dimensions=tuple(range(len(counts))))


def _window_fold_jvp(primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, **params: Any) -> tuple[Any, Any]:
    ans = reduce_window_p.bind(*primals, jaxpr=jaxpr, **params)
    if all(type(t) is Zero for t in tangents):
        return ans, [Zero(aval_of(a).tangent_aval()) for a in ans]
    run = lambda *xs: _reduced_views(jaxpr, Windows(**params), xs)
    return ans, jvp_flat(run, primals, tangents)[1]


def _window_fold_batch(
    axis: Axis, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, **params: Any
) -> tuple[Any, Any]:
    half = len(args) // 2
    windows = Windows(**params)
    if any(d is not None for d in dims[half:]):  # XLA's initial values are scalars
        return batch_flat(lambda *xs: _reduced_views(jaxpr, windows, xs), axis, args, dims)
    xs = [to_axis(x, d, 0, axis.size) for x, d in zip(args[:half], dims)]
    moved = windows.with_axis(0)._asdict()
    return reduce_window_p.bind(*xs, *args[half:], jaxpr=jaxpr, **moved), [0] * half


reduce_window_p = declare(
    "reduce_window",
    shape=_window_fold_shape,
    lower=_window_fold_lower,
    jvp=_window_fold_jvp,
    transpose=Missing("it is not linear"),
    batch=_window_fold_batch,
    multiple_results=True,
    dtypes=ANY,
)

_MONOIDS = {"add": reduce_window_sum_p, "max": reduce_window_max_p, "min": reduce_window_min_p}


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[[Any, Any], Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """The elements of each window combined by a function, as in pooling.

    Everything that says how windows lie has one entry for each dimension of the operand. Sums, maxima and minima have
    derivatives of any order; of equal extrema the first one has them. So have other functions, at the cost of arrays that
    hold all windows.

    Args:
      operand: an array, or a pytree of arrays of one shape.
      init_value: a scalar, or a like pytree of them; they must change nothing when combined with an element, unless the
        function is `add`, `max` or `min`.
      computation: from two such scalars (or pytrees) to one; associative and commutative. It must not use traced values or
        arrays from outside.
      window_dimensions: the sizes of a window.
      window_strides: the distances between neighbouring windows; None: 1.
      padding: 'VALID', 'SAME', 'SAME_LOWER' or `(low, high)` pairs, as in `conv_general_dilated`. It takes no part.
      base_dilation: the distances that elements are moved apart to; the holes take no part.
      window_dilation: the distances between the elements of a window.
    Returns:
      The results, in the structure of `operand`.
    Raises:
      TypeError: shapes, structures or numbers of entries do not fit. ValueError: the padding is malformed, or there is no
        operand. RuntimeError: the padding's name is unknown.

    >>> from anima import lax
    >>> print(lax.reduce_window(lax.iota("float32", 6), -float("inf"), lax.max, (2,), (2,)))
    [1. 3. 5.]
    """
    name = "reduce_window"
    leaves, structure = tree.flatten(operand)
    init_leaves, init_structure = tree.flatten(init_value)
    if structure != init_structure:
        raise ValueError(
            f"{name}: operand and init_value must have the same structure, got {structure} and {init_structure}"
        )
    if not leaves:
        raise ValueError(f"{name}: operand must hold at least one array")
    xs, inits = [as_operand(x) for x in leaves], [as_operand(init) for init in init_leaves]
    if any(shape_of(init) for init in inits):
        shapes = ", ".join(str(shape_of(init)) for init in inits)
        raise TypeError(f"{name}: init_value must be a scalar for each array, got shapes {shapes}")
    lie = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    params = windows_on(name, shape_of(xs[0]), *lie)._asdict()
    jaxpr = scalar_program(name, computation, structure, [aval_of(x) for x in xs])
    operation = monoid_of(jaxpr.jaxpr, xs)
    inits = [initial(name, x, init, operation) for x, init in zip(xs, inits)]
    if operation not in _MONOIDS:
        return tree.unflatten(structure, reduce_window_p.bind(*xs, *inits, jaxpr=jaxpr, **params))
    result = _MONOIDS[operation].bind(xs[0], **params)
    if not is_identity(operation, inits[0]):
        shape = shape_of(result)
        start = broadcast_in_dim(inits[0], shape, ()) if shape else inits[0]
        result = primitives[operation].bind(start, result)
    return tree.unflatten(structure, [result])


def reduce_window_shape_tuple(
    operand_shape: Sequence[int],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """The shape of what `reduce_window` returns.

    Args:
      operand_shape: the shape of the operand.
      window_dimensions, window_strides, padding, base_dilation, window_dilation: as in `reduce_window`.
    Raises:
      TypeError, ValueError, RuntimeError: as in `reduce_window`.

    >>> from anima import lax
    >>> lax.reduce_window_shape_tuple((5, 6), (3, 3), (2, 2), ((0, 1), (1, 1)))
    (2, 3)
    """
    name = "reduce_window_shape_tuple"
    shape = integers(name, "operand_shape", operand_shape, least=0)
    strides = integers(name, "window_strides", window_strides)
    return windows_on(
        name, shape, window_dimensions, strides, padding, base_dilation, window_dilation
    ).counts(shape)

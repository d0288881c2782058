"""Elementwise functions of two arguments carried along axes: reductions, running results, updates in order.

Invariant: `combine` is applied from the first element to the last; only where it is associative are neighbours combined
first. Results have the dtype that `combine` gives, and elements are converted to it before anything is combined.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.lax import bitwise_and, concatenate, convert_element_type, gt, iota, lt, reshape, select, transpose
from anima.lax.control.associative import associative_scan
from anima.lax.control.scanning import scan
from anima.lax.operands import filled
from anima.lax.shape import check_axis
from anima.lax.slicing import index_in_dim, slice_in_dim
from anima.numpy.calls import function
from anima.numpy.logic import truth
from anima.numpy.promotion import array_like, dtype_of, shape_of, stretch
from anima.numpy.reductions import axes_of, kept_shape
from anima.transforms.shapes import eval_shape

Combine = Callable[..., Any]


def _result_dtype(combine: Combine, *operand_dtypes: Any) -> Any:
    """The dtype of a function's results, once they are operands in the place of the first."""
    first, *others = operand_dtypes
    for _ in range(2):
        given = [ShapedArray((), dtype) for dtype in (first, *others)]
        first = eval_shape(combine, *given).dtype
    return first


def _typed(combine: Combine, a: Any, dtype: Any, name: str) -> Any:
    """The elements in the dtype that they are combined in."""
    if dtype is not None:
        a = convert_element_type(a, dtypes.check_user_dtype_supported(dtype, name))
    return convert_element_type(a, _result_dtype(combine, dtype_of(a), dtype_of(a)))


def _rows(a: Any, axes: tuple[int, ...]) -> Any:
    """`a` with some axes made one, the first."""
    kept = [i for i in range(len(shape_of(a))) if i not in axes]
    turned = transpose(a, (*axes, *kept))
    shape = shape_of(turned)
    return reshape(turned, (math.prod(shape[: len(axes)]), *shape[len(axes) :]))


def _pairwise(combine: Combine, rows: Any) -> Any:
    """All rows combined, neighbours first, in about log2(n) steps."""
    while (n := shape_of(rows)[0]) > 1:
        half = n // 2
        shape = (half, 2, *shape_of(rows)[1:])
        pairs = reshape(slice_in_dim(rows, 0, 2 * half), shape)
        combined = combine(index_in_dim(pairs, 0, 1, False), index_in_dim(pairs, 1, 1, False))
        rows = concatenate([combined, slice_in_dim(rows, n - 1, n)], 0) if n % 2 else combined
    return index_in_dim(rows, 0, 0, False)


def _in_order(combine: Combine, start: Any, rows: Any, mask: Any) -> Any:
    """`start` and then each row combined, those left out where the mask is False."""

    def step(value: Any, row: tuple[Any, Any]) -> tuple[Any, None]:
        element, chosen = row
        new = combine(value, element)
        return (new if chosen is None else select(chosen, new, value)), None

    return scan(step, start, (rows, mask))[0]


@function(static=("combine", "name", "axis", "dtype", "keepdims", "identity", "associative"), name="reduce")
def reduce(
    a: Any, initial: Any, where: Any, *, combine: Combine, name: str, axis: Any, dtype: Any, keepdims: bool,
    identity: Any, associative: bool,
) -> Any:  # fmt: skip
    """The elements along some axes combined, in row-major order.

    Raises:
      ValueError: there is none, or `where` is given, and neither an `initial` value nor an `identity`.
    """
    a = _typed(combine, array_like(name, a), dtype, name)
    mask = None
    if where is not None:
        mask = truth(name, array_like(name, where, "where"))
        shape = np.broadcast_shapes(shape_of(a), shape_of(mask))
        a, mask = stretch(a, shape_of(a), shape), stretch(mask, shape_of(mask), shape)
    shape = shape_of(a)
    if axis is not None and not shape:
        raise AxisError(f"{name}: axis {axis} is out of bounds for an array of dimension 0")
    axes = axes_of(name, axis, len(shape))
    rows = _rows(a, axes)
    if initial is None and identity is None and (mask is not None or not shape_of(rows)[0]):
        what = "a where mask" if mask is not None else f"an array of shape {shape}"
        raise ValueError(f"{name}: the function has no identity: give `initial` to reduce {what}")
    known = identity if initial is None else array_like(name, initial, "initial")
    start = None
    if initial is not None or mask is not None or not shape_of(rows)[0]:
        start = stretch(convert_element_type(known, dtype_of(a)), (), shape_of(rows)[1:])
    mask = None if mask is None else _rows(mask, axes)
    if start is None:
        first, rest = index_in_dim(rows, 0, 0, False), slice_in_dim(rows, 1, shape_of(rows)[0])
        result = _pairwise(combine, rows) if associative else _in_order(combine, first, rest, None)
    elif associative and identity is not None:
        rows = rows if mask is None else select(mask, rows, filled(identity, rows))
        result = combine(start, _pairwise(combine, rows)) if shape_of(rows)[0] else start
    else:
        result = _in_order(combine, start, rows, mask)
    return reshape(result, kept_shape(shape, axes)) if keepdims else result


@function(static=("combine", "name", "axis", "dtype", "associative"), name="accumulate")
def accumulate(a: Any, *, combine: Combine, name: str, axis: int, dtype: Any, associative: bool) -> Any:
    """Each element along an axis combined with all those before it."""
    a = _typed(combine, array_like(name, a), dtype, name)
    along = check_axis(name, axis, len(shape_of(a)))
    if shape_of(a)[along] < 2:
        return a
    if associative:
        return associative_scan(combine, a, axis=along)
    rows = _rows(a, (along,))

    def step(value: Any, row: Any) -> tuple[Any, Any]:
        new = combine(value, row)
        return new, new

    first, rest = slice_in_dim(rows, 0, 1), slice_in_dim(rows, 1, shape_of(rows)[0])
    following = scan(step, index_in_dim(first, 0, 0, False), rest)[1]
    rank = len(shape_of(a))
    back = [i + 1 if i < along else i for i in range(rank)]
    back[along] = 0
    return transpose(concatenate([first, following], 0), back)


# --- at indices -------------------------------------------------------------------------------


def _is_list(index: Any) -> bool:
    """Whether an index selects element by element, so that it may select one more than once."""
    return isinstance(index, list) or len(getattr(index, "shape", ())) > 0


def at(combine: Combine, name: str, a: Any, indices: Any, operands: tuple[Any, ...]) -> Any:
    """`a` with elements replaced by `combine(element, *operands)`, once for each time that they are selected."""
    a = array_like(name, a)
    operands = tuple([array_like(name, b, 2) for b in operands])
    items = indices if isinstance(indices, tuple) else (indices,)
    places = reshape(iota(dtypes.default_int_dtype(), math.prod(shape_of(a))), shape_of(a))
    chosen = places.at[items].get(mode="fill", fill_value=math.prod(shape_of(a)))
    once = not any([_is_list(item) for item in items])
    return _update(a, chosen, operands, combine=combine, name=name, once=once)


@function(static=("combine", "name", "once"), name="at")
def _update(
    a: Any, places: Any, operands: tuple[Any, ...], *, combine: Combine, name: str, once: bool
) -> Any:
    """`a` with the elements at some places of its flattened form combined; places beyond its end mean none."""
    target = _result_dtype(combine, dtype_of(a), *[dtype_of(b) for b in operands])
    flat = reshape(convert_element_type(a, target), (math.prod(shape_of(a)),))
    shape = shape_of(places)
    try:
        whole = [stretch(b, shape_of(b), np.broadcast_shapes(shape_of(b), shape)) for b in operands]
        rows = [reshape(b, (math.prod(shape),)) for b in whole]
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: operands of shapes {[shape_of(b) for b in operands]} do not fit the selected elements, of shape "
            f"{shape}"
        ) from None

    def step(flat: Any, row: tuple[Any, ...]) -> tuple[Any, None]:
        place, *values = row
        new = combine(flat.at[place].get(mode="fill", fill_value=0), *values)
        return flat.at[place].set(convert_element_type(new, target), mode="drop"), None

    row = (reshape(places, (math.prod(shape),)), *rows)
    result = step(flat, row)[0] if once else scan(step, flat, row)[0]
    return reshape(result, shape_of(a))


@function(static=("combine", "name", "axis", "dtype"), name="reduceat")
def reduceat(a: Any, indices: Any, *, combine: Combine, name: str, axis: int, dtype: Any) -> Any:
    """For each index, the elements from it to before the next index combined; the element alone if that is not larger.

    Raises:
      ValueError: the indices are no vector of integers.
    """
    a, indices = array_like(name, a), array_like(name, indices, 1)
    if len(shape_of(indices)) != 1 or not dtypes.is_int(dtype_of(indices)):
        raise ValueError(
            f"{name}: indices must be a vector of integers, got {dtype_of(indices)} of shape {shape_of(indices)}"
        )
    a = _typed(combine, a, dtype, name)
    along = check_axis(name, axis, len(shape_of(a)))
    rows = _rows(a, (along,))
    n, count = shape_of(rows)[0], shape_of(indices)[0]
    starts = convert_element_type(indices, "int32")
    starts = select(lt(starts, filled(0, starts)), starts + n, starts)
    ends = concatenate([slice_in_dim(starts, 1, count), np.full((1,), n, np.int32)], 0)[:count]
    wide = (count, *shape_of(rows)[1:])

    def step(values: Any, row: tuple[Any, Any]) -> tuple[Any, None]:
        element, place = row
        place = stretch(place, (), (count,))
        inside = bitwise_and(gt(place, starts), lt(place, ends))
        inside = stretch(
            reshape(inside, (count, *[1] * (len(wide) - 1))), (count, *[1] * (len(wide) - 1)), wide
        )
        return select(inside, combine(values, stretch(element, shape_of(element), wide)), values), None

    first = rows.at[starts].get(mode="fill")
    result = scan(step, first, (rows, iota("int32", n)))[0]
    order = [i + 1 if i < along else i for i in range(len(wide))]
    order[along] = 0
    return transpose(result, order)

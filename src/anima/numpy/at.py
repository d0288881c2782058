"""Updates at an index: `x.at[index].set(values)` and its relatives return a new array.

Invariant: what slices, new axes and in-bounds integers select is a window of the array, which is written with one
dynamic-update-slice; only index arrays and computed integers make a scatter, whose windows are what slices without steps
select beside them. Computed indices out of bounds are dropped, unless a `mode` says otherwise; integers of Python that are
out of bounds raise. Inside `jit` an update of an array that is not used afterwards happens in place.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anima import dtypes
from anima._native import get_trace, read_at, update_at
from anima.core.trace import Tracer
from anima.dtypes.requests import user_stack_level
from anima.lax import (
    GatherScatterMode,
    ScatterDimensionNumbers,
    broadcast_in_dim,
    concatenate,
    convert_element_type,
    dynamic_update_slice_p,
    pad,
    reshape_p,
    rev_p,
    scatter,
    scatter_add,
    scatter_apply,
    scatter_max,
    scatter_min,
    scatter_mul,
    scatter_sub,
    select,
    slice_in_dim,
)
from anima.lax.operands import constant
from anima.lax.shape import refuse_out_sharding
from anima.numpy import arithmetic
from anima.numpy.calls import function, plain
from anima.numpy.creation import asarray, ones_like
from anima.numpy.indexing import (
    Advanced,
    Key,
    await_operands,
    index_dtype,
    index_vectors,
    parse,
    read_basic,
    read_compiled,
    split_advanced,
)
from anima.numpy.promotion import array_like, dtype_of, retyped, shape_of, stretch, weak_of
from anima.runtime.host import ARRIVED

_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "add": plain(arithmetic.add),
    "subtract": plain(arithmetic.subtract),
    "multiply": plain(arithmetic.multiply),
    "min": plain(arithmetic.minimum),
    "max": plain(arithmetic.maximum),
}
_SCATTER = {
    "set": scatter,
    "add": scatter_add,
    "subtract": scatter_sub,
    "multiply": scatter_mul,
    "min": scatter_min,
    "max": scatter_max,
}
# Of booleans a sum is "or", that is a maximum, and a product is "and".
_OF_BOOLEANS = {"add": "max", "multiply": "min"}


class _Update:
    """What to do at an index: the operation and the flags of the scatter."""

    __slots__ = ("apply", "mode", "operation", "sorted", "unique")

    def __init__(
        self, operation: str, mode: Any, indices_are_sorted: bool, unique: bool, apply: Any = None
    ) -> None:
        self.operation = operation
        self.mode = mode
        self.sorted = indices_are_sorted
        self.unique = unique
        self.apply = apply


def write(x: Any, key: Key, operands: Sequence[Any], values: Any, update: _Update) -> Any:
    """`x` with `values` written at, or combined with, what an index taken apart selects; weakly typed if `x` is."""
    return retyped(_written(x, key, operands, values, update), weak_of(x))


def _written(x: Any, key: Key, operands: Sequence[Any], values: Any, update: _Update) -> Any:
    basic, rest, left = split_advanced(key, operands, moded=True)
    if not left.arrays:
        old_needed = update.operation != "set"
        return _write_window(
            x, basic, rest, lambda old, shape: _combined(old, shape, values, update), old_needed
        )
    unique = update.unique or _selects_once(key, left)
    if all(item[0] == "all" or (item[0] == "range" and item[2] > 0 and item[3] == 1) for item in basic):
        windows = {d: item[1:3] for d, item in enumerate(basic) if item[0] == "range"}
        return _scattered(x, left, values, update, unique, windows)
    return _write_window(
        x, basic, rest, lambda old, shape: _scattered(old, left, values, update, unique), True
    )


def _selects_once(key: Key, left: Advanced) -> bool:
    """Whether no element is selected twice: integers select one, a single mask each of its elements once."""
    return all(shape_of(a) == () for a in left.arrays) or (
        all(left.in_bounds) and all(item[0] not in ("array", "scalar") for item in key)
    )


def _combined(old: Any, shape: tuple[int, ...], values: Any, update: _Update) -> Any:
    """The new contents of a window."""
    if update.apply is not None:
        return convert_element_type(update.apply(old), dtype_of(old))
    values = _fitted(values, shape)
    return values if update.operation == "set" else _COMBINE[update.operation](old, values)


def _fitted(values: Any, shape: tuple[int, ...]) -> Any:
    """The values broadcast to what is updated."""
    given = shape_of(values)
    if len(given) > len(shape) and all(d == 1 for d in given[: len(given) - len(shape)]):
        given = given[len(given) - len(shape) :]
        values = reshape_p.bind(values, new_sizes=given)
    offset = len(shape) - len(given)
    if offset < 0 or any(d not in (1, n) for d, n in zip(given, shape[offset:])):
        raise ValueError(
            f"values of shape {given} do not broadcast to the shape {shape} of what the index selects"
        )
    return stretch(values, given, shape)


# --- windows ----------------------------------------------------------------------------------


def _write_window(
    x: Any,
    key: Sequence[tuple[Any, ...]],
    operands: Sequence[Any],
    change: Callable[[Any, tuple[int, ...]], Any],
    old_needed: bool,
) -> Any:
    """`x` with the window that integers, slices and new axes select changed."""
    dims = iter(shape_of(x))
    sizes_of_key = [1 if item[0] == "new" else _extent(item, next(dims)) for item in key]
    shape = tuple([n for n, item in zip(sizes_of_key, key) if item[0] not in ("at", "place")])
    new = change(read_basic(x, key, operands) if old_needed else None, shape)
    items = [item for item in key if item[0] != "new"]
    sizes = tuple([n for n, item in zip(sizes_of_key, key) if item[0] != "new"])
    if math.prod(sizes) == 0:
        return asarray(x)
    new = reshape_p.bind(new, new_sizes=sizes) if shape_of(new) != sizes else new
    backwards = tuple([i for i, item in enumerate(items) if item[0] == "range" and item[3] < 0])
    new = rev_p.bind(new, dimensions=backwards) if backwards else new
    return _put_back(x, items, operands, new)


def _extent(item: tuple[Any, ...], n: int) -> int:
    """How much of a dimension of size `n` an item of a key selects."""
    kind = item[0]
    return n if kind == "all" else item[2] if kind == "range" else item[1] if kind == "window" else 1


def _put_back(x: Any, items: Sequence[tuple[Any, ...]], operands: Sequence[Any], new: Any) -> Any:
    """`x` with a window replaced; the window is in the array's own order."""
    shape = shape_of(x)
    dtype = index_dtype(shape)
    given = iter(operands)
    starts: list[Any] = []
    strided: dict[int, tuple[int, int, int]] = {}
    for i, item in enumerate(items):
        kind = item[0]
        start: Any = 0
        if kind in ("place", "window"):
            start = convert_element_type(next(given), dtype)
        elif kind == "at":
            start = item[1]
        elif kind == "range":
            start, count, step = item[1:]
            start = min(start, start + (count - 1) * step)
            if abs(step) > 1 and count > 1:
                strided[i] = (start, count, abs(step))
                start = 0
        starts.append(dtype.type(start) if isinstance(start, int) else start)
    if strided:
        new = _between(x, items, operands, new, strided)
    return new if shape_of(new) == shape else dynamic_update_slice_p.bind(x, new, *starts)


def _between(
    x: Any,
    items: Sequence[tuple[Any, ...]],
    operands: Sequence[Any],
    new: Any,
    strided: dict[int, tuple[int, int, int]],
) -> Any:
    """The window with the strided dimensions whole: `new` at the strides, the old contents between them."""
    kept = [("all",) if i in strided else _kept_window(item) for i, item in enumerate(items)]
    old = read_basic(x, kept, operands)
    config = [(0, 0, 0)] * len(items)
    for i, (start, count, step) in strided.items():
        config[i] = (start, shape_of(x)[i] - start - (count - 1) * step - 1, step - 1)
    places = pad(broadcast_in_dim(True, shape_of(new), ()), False, config)
    return select(places, pad(new, constant(0, new), config), old)


def _kept_window(item: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same part of a dimension, with the dimension kept and in its own order."""
    kind = item[0]
    if kind == "place":
        return ("window", 1)
    if kind == "at":
        return ("range", item[1], 1, 1)
    if kind == "range" and item[3] < 0:
        start, count, step = item[1:]
        return ("range", start + (count - 1) * step, count, -step)
    return item


# --- index arrays -----------------------------------------------------------------------------


def _scattered(
    x: Any,
    left: Advanced,
    values: Any,
    update: _Update,
    unique: bool,
    windows: Mapping[int, tuple[int, int]] | None = None,
) -> Any:
    """`x` updated at index arrays; `windows`: start and size of what is updated of other dimensions, where it is not all.

    Such a start is one more part of the index vectors: so no slice is cut out, changed and put back.
    """
    shape = shape_of(x)
    if 0 in [shape[d] for d in left.dims]:
        return asarray(x)  # every index is out of bounds
    vectors = index_vectors(shape, left)
    indices = vectors.indices
    batch = list(shape_of(indices)[:-1])
    windows = windows or {}
    window = [windows.get(d, (0, n))[1] for d, n in enumerate(shape) if d not in left.dims]
    offset = vectors.numbers.offset_dims
    target = tuple([window.pop(0) if d in offset else batch.pop(0) for d in range(len(window) + len(batch))])
    starts = {d: start for d, (start, _) in windows.items() if start}
    dims = tuple(sorted((*left.dims, *starts)))
    if starts:
        size = shape_of(indices)[:-1]
        column = lambda d: (
            broadcast_in_dim(constant(starts[d], indices), (*size, 1), ())
            if d in starts
            else slice_in_dim(indices, left.dims.index(d), left.dims.index(d) + 1, axis=len(size))
        )
        indices = concatenate([column(d) for d in dims], len(size))
    numbers = ScatterDimensionNumbers(offset, left.dims, dims)
    flags = {"indices_are_sorted": update.sorted, "unique_indices": unique, "mode": update.mode}
    if update.apply is not None:
        return scatter_apply(x, indices, update.apply, numbers, update_shape=target, **flags)
    operation = update.operation
    if dtypes.is_bool(dtype_of(x)):
        operation = _OF_BOOLEANS.get(operation, operation)
    return _SCATTER[operation](x, indices, _fitted(values, target), numbers, **flags)


@function(
    static=("key", "operation", "mode", "indices_are_sorted", "unique_indices"),
    name="at",
    miss=await_operands,
)
def _write(
    x: Any,
    operands: Any,
    values: Any,
    key: Key,
    operation: str,
    mode: Any,
    indices_are_sorted: bool,
    unique_indices: bool,
) -> Any:
    update = _Update(operation, mode, indices_are_sorted, unique_indices)
    return write(x, key, operands, _cast(values, x), update)


def _cast(values: Any, x: Any) -> Any:
    """The values in the dtype of the array that they go into."""
    target = dtype_of(x)
    given = dtypes.pair_of(values)
    if given[0] != target and not dtypes.is_extended(target):
        if dtypes.lattice_result_type(given, (target, False))[0] != target:
            warnings.warn(
                f"at[...] update: values of dtype {dtypes.dtype_name(given[0])} are cast to the dtype {target} of the "
                "array, which may not hold them; convert them with astype",
                FutureWarning,
                stacklevel=user_stack_level(),
            )
        values = convert_element_type(values, target)
    return values


# --- the public face --------------------------------------------------------------------------


class IndexUpdates:
    """`x.at`: index it, then call a method of what that gives."""

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getitem__(self, index: Any) -> IndexUpdate:
        return IndexUpdate(self.array, index)

    def __repr__(self) -> str:
        return f"IndexUpdates({self.array!r})"


class IndexUpdate:
    """`x.at[index]`: reads, or makes updated copies of, an array at an index.

    All methods take these arguments after the values:

    * `mode`: what happens to computed indices out of bounds: "promise_in_bounds", "clip", or "drop" and "fill", the
      default of updates. Integers of Python out of bounds raise if no mode is given.
    * `indices_are_sorted`, `unique_indices`: promises that make updates quicker.
    * `wrap_negative_indices`: whether negative indices count from the end; otherwise they are out of bounds.

    >>> import anima.numpy as np
    >>> x = np.zeros(3)
    >>> print(x.at[1].set(5.0), x.at[:2].add(1.0), x)
    [0. 5. 0.] [1. 1. 0.] [0. 0. 0.]
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any) -> None:
        self.array = array
        self.index = index

    def __repr__(self) -> str:
        return f"IndexUpdate({self.array!r}, {self.index!r})"

    def _update(
        self,
        operation: str,
        values: Any,
        mode: Any,
        indices_are_sorted: bool,
        unique_indices: bool,
        wrap: bool,
        out_sharding: Any,
    ) -> Any:
        if wrap and out_sharding is None and not (indices_are_sorted or unique_indices):
            found = update_at(operation, self.array, self.index, values, mode)
            if found is not None:
                return found
        refuse_out_sharding(f"at[...].{operation}", out_sharding)
        x = asarray(self.array)
        values = array_like(f"at[...].{operation}", values, "values")
        masked = _traced_mask(x, self.index, values)
        if masked is not None:
            cast = _cast(values, x)
            new = cast if operation == "set" else _COMBINE[operation](x, cast)
            return retyped(select(masked, stretch(new, shape_of(new), shape_of(x)), x), weak_of(x))
        chosen = GatherScatterMode.from_any(mode)
        clip = chosen is GatherScatterMode.CLIP
        key, operands = parse(x.shape, self.index, get_trace() is None, mode is None, wrap, clip)
        found = _write(x, operands, values, key, operation, chosen, indices_are_sorted, unique_indices)
        if found is ARRIVED:
            return IndexUpdate(x, self.index)._update(
                operation, values, mode, indices_are_sorted, unique_indices, wrap, out_sharding
            )
        return found

    def set(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `x[index] = values`; of values for one element, one wins.

        Raises:
          IndexError: a Python integer is out of bounds. ValueError: the values do not broadcast.
        """
        return self._update(
            "set", values, mode, indices_are_sorted, unique_indices, wrap_negative_indices, out_sharding
        )

    def add(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `x[index] += values`; of an element that is selected repeatedly, all are added."""
        return self._update(
            "add", values, mode, indices_are_sorted, unique_indices, wrap_negative_indices, out_sharding
        )

    def subtract(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `x[index] -= values`; of an element that is selected repeatedly, all are subtracted."""
        return self._update(
            "subtract", values, mode, indices_are_sorted, unique_indices, wrap_negative_indices, out_sharding
        )

    def multiply(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `x[index] *= values`; an element that is selected repeatedly is multiplied by all."""
        return self._update(
            "multiply", values, mode, indices_are_sorted, unique_indices, wrap_negative_indices, out_sharding
        )

    mul = multiply

    def divide(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `x[index] /= values`, in floating point."""
        flags = (mode, indices_are_sorted, unique_indices, wrap_negative_indices, out_sharding)
        divisors = IndexUpdate(ones_like(asarray(self.array)), self.index)._update("multiply", values, *flags)
        return arithmetic.divide(self.array, divisors)

    def power(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `x[index] **= values`."""
        flags = (mode, indices_are_sorted, unique_indices, wrap_negative_indices, out_sharding)
        exponents = IndexUpdate(ones_like(asarray(self.array)), self.index)._update(
            "multiply", values, *flags
        )
        return arithmetic.power(self.array, exponents)

    def min(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `x[index] = minimum(x[index], values)`."""
        return self._update(
            "min", values, mode, indices_are_sorted, unique_indices, wrap_negative_indices, out_sharding
        )

    def max(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `x[index] = maximum(x[index], values)`."""
        return self._update(
            "max", values, mode, indices_are_sorted, unique_indices, wrap_negative_indices, out_sharding
        )

    def apply(
        self, func: Callable[[Any], Any], *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """The array with `func` applied to the selected elements; to one selected repeatedly, once for each time.

        Args:
          func: an elementwise function of an array.
        """
        x = asarray(self.array)
        masked = _traced_mask(x, self.index, 0)
        if masked is not None:
            return retyped(select(masked, convert_element_type(func(x), dtype_of(x)), x), weak_of(x))
        chosen = GatherScatterMode.from_any(mode)
        clip = chosen is GatherScatterMode.CLIP
        key, operands = parse(x.shape, self.index, False, mode is None, wrap_negative_indices, clip)
        update = _Update("apply", chosen, indices_are_sorted, unique_indices, func)
        return write(x, key, operands, None, update)

    def get(
        self, *, mode: Any = None, fill_value: Any = None, indices_are_sorted: bool = False, unique_indices: bool = False,
        out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """`x[index]`, with a choice of what happens out of bounds.

        Args:
          mode: "clip": the nearest element; "fill": `fill_value`; None: as `x[index]`, or "fill" if there is a
            fill value.
          fill_value: by default NaN, for integers the smallest (unsigned: the largest), for booleans True.

        >>> import anima.numpy as np
        >>> print(np.arange(3.0).at[np.array([1, 7])].get(mode="fill", fill_value=-1))
        [ 1. -1.]
        """
        if mode is None and fill_value is not None:
            mode = "fill"
        if wrap_negative_indices and out_sharding is None and not (indices_are_sorted or unique_indices):
            found = read_at(self.array, self.index, mode)
            if found is not None:
                return found
        refuse_out_sharding("at[...].get", out_sharding)
        x = asarray(self.array)
        chosen = None if mode is None else GatherScatterMode.from_any(mode)
        eager = get_trace() is None
        clip = chosen is GatherScatterMode.CLIP
        key, operands = parse(x.shape, self.index, eager, mode is None, wrap_negative_indices, clip)
        fill = fill_value.item() if hasattr(fill_value, "item") else fill_value
        flags = {
            "fill_value": fill,
            "indices_are_sorted": indices_are_sorted,
            "unique_indices": unique_indices,
        }
        found = read_compiled(x, operands, key, chosen, **flags)
        if found is ARRIVED:
            found = read_at(x, self.index, mode) if wrap_negative_indices else None
            return read_compiled(x, operands, key, chosen, **flags) if found is None else found
        return found


def _traced_mask(x: Any, index: Any, values: Any) -> Any:
    """A traced mask over the leading dimensions of `x` in the shape of `x`, if `index` is one and no shape depends on it.

    What a mask selects has no fixed size, but values that are the same for each selected element need none.
    """
    if isinstance(index, tuple) and len(index) == 1:
        (index,) = index
    if not isinstance(index, Tracer) or not dtypes.is_bool(index.dtype) or index.concrete() is not None:
        return None
    shape, covered = shape_of(x), index.shape
    if covered != shape[: len(covered)] or len(shape_of(values)) > len(shape) - len(covered):
        return None
    return broadcast_in_dim(index, shape, tuple(range(len(covered))))


def updates_at(x: Any) -> IndexUpdates:
    """Updated copies: `x.at[index].set(values)`, `.add`, `.multiply`, `.min`, `.max`, `.apply`, `.get`, ..."""
    return IndexUpdates(x)

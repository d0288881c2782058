"""Reading with NumPy's indices: integers, slices, ellipses, new axes, masks and integer arrays, in any mixture.

Invariant: `parse` splits an index into a static key and run-time operands. Eagerly, integers and the starts of slices are
operands, so another place needs no other program; in a trace they are constants, and become plain slices. Integers of
Python that are out of bounds raise; computed ones are clamped, as XLA does, unless a `mode` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl, CompiledCall, get_trace, read_at
from anima.core.trace import Tracer
from anima.errors import NonConcreteBooleanIndexError
from anima.lax import (
    GatherDimensionNumbers,
    GatherScatterMode,
    add,
    broadcast_in_dim,
    clamp,
    concatenate,
    convert_element_type,
    dynamic_slice_p,
    expand_dims,
    gather_p,
    lt,
    rev_p,
    select,
    slice_p,
    squeeze_p,
)
from anima.lax.operands import constant, filled
from anima.numpy.calls import function, miss
from anima.numpy.promotion import dtype_of, shape_of, stretch
from anima.numpy.slices import Slice
from anima.records import NamedTuple
from anima.runtime.host import ARRIVED, arrived

# The static key of an index has one item for each dimension of the operand and each new axis:
#   ("new",)                     a new axis
#   ("all",)                     the whole dimension
#   ("range", start, size, step) a fixed slice; the step may be negative
#   ("window", size)             a slice of step 1 whose start is an operand
#   ("at", i)                    a fixed integer, in bounds
#   ("place",)                   an integer operand known to be in bounds
#   ("scalar",)                  an integer operand that may be negative or out of bounds
#   ("array", ndim)              an operand of integers that may be negative or out of bounds
#   ("mask", ndim)               an operand of integers known to be in bounds
Key = tuple[tuple[Any, ...], ...]


class Index(NamedTuple):
    """An index taken apart."""

    key: Key
    operands: tuple[Any, ...]


# --- taking an index apart --------------------------------------------------------------------


def parse(
    shape: tuple[int, ...],
    index: Any,
    eager: bool,
    checked: bool = True,
    wrap: bool = True,
    clip: bool = False,
) -> Index:
    """The key and operands of `index` into an array of the given shape.

    Args:
      eager: whether integers and starts of slices become operands.
      checked: whether Python integers out of bounds raise rather than becoming operands.
      wrap: whether negative indices count from the end; otherwise they are out of bounds,
      clip: and then mean the first element, not none.
    Raises:
      IndexError: it does not fit the shape. TypeError: an item is of a kind that is no index.
    """
    parser = _Parser(shape, eager, checked, wrap, clip)
    dim = 0
    for item in _expand_ellipsis(list(index) if isinstance(index, tuple) else [index], len(shape)):
        dim = parser.item(item, dim)
    parser.key += [("all",)] * (len(shape) - dim)
    if parser.strided and sum(item[0] not in ("all", "range", "window", "new") for item in parser.key) > 1:
        raise TypeError(
            "a slice with a stride and a computed start, ds(i, size, stride), can stand beside plain slices only: index the "
            "other axes before it"
        )
    return Index(tuple(parser.key), tuple(parser.operands))


def _expand_ellipsis(items: list[Any], ndim: int) -> list[Any]:
    used, place = 0, None
    for i, item in enumerate(items):
        if item is Ellipsis:
            if place is not None:
                raise IndexError("an index can only have a single ellipsis ('...')")
            place = i
        elif item is not None:
            used += _consumed(item)
    if used > ndim:
        raise IndexError(f"too many indices for array: array is {ndim}-dimensional, but {used} were indexed")
    if place is None:
        return items
    return [*items[:place], *[slice(None)] * (ndim - used), *items[place + 1 :]]


def _consumed(item: Any) -> int:
    """How many dimensions an item of an index uses up."""
    kind = type(item)
    if kind is int or kind is slice:
        return 1
    if kind is bool:
        return 0
    dtype = getattr(item, "dtype", None)
    return int(item.ndim) if dtype is not None and dtype == np.bool_ else 1


class _Parser:
    """Collects the key and the operands, item by item; each method returns the next dimension."""

    __slots__ = ("checked", "clip", "eager", "key", "operands", "shape", "strided", "wrap")

    def __init__(self, shape: tuple[int, ...], eager: bool, checked: bool, wrap: bool, clip: bool) -> None:
        self.shape = shape
        self.eager = eager
        self.checked = checked
        self.wrap = wrap
        self.clip = clip
        self.key: list[tuple[Any, ...]] = []
        self.operands: list[Any] = []
        self.strided = False  # whether an array of indices stands for a slice

    def item(self, item: Any, dim: int) -> int:
        kind = type(item)
        if kind is int:
            return self.integer(item, dim)
        if kind is slice:
            return self.slice(item, dim)
        if item is None:
            self.key.append(("new",))
            return dim
        if isinstance(item, (bool, np.bool_)):
            self.key.append(("mask", 1, "new"))
            self.operands.append(np.zeros((int(item),), np.int32))
            return dim
        if isinstance(item, (int, np.integer)):
            return self.integer(int(item), dim)
        if kind is Slice:
            return self.moving(item, dim)
        if dtypes.is_bool(_index_dtype(item)):
            return self.mask(item, dim)
        return self.array(item, dim)

    def integer(self, value: int, dim: int) -> int:
        size = self.shape[dim]
        if not (-size if self.wrap else 0) <= value < size:
            if self.checked:
                raise IndexError(f"index {value} is out of bounds for axis {dim} with size {size}")
            outside = value if self.wrap or value >= 0 else self.before_first(dim)
            self.key.append(("scalar",))
            self.operands.append(np.int32(max(min(outside, 2**31 - 1), -(2**31))))
            return dim + 1
        value = value + size if value < 0 else value
        if self.eager:
            self.key.append(("place",))
            self.operands.append(value)
        else:
            self.key.append(("at", value))
        return dim + 1

    def before_first(self, dim: int) -> int:
        """The index that stands for negative ones that do not count from the end."""
        return 0 if self.clip else self.shape[dim]

    def slice(self, item: slice, dim: int) -> int:
        if item.start is None and item.stop is None and item.step is None:
            self.key.append(("all",))
            return dim + 1
        _check_bounds(item)
        start, stop, step = item.indices(self.shape[dim])
        count = len(range(start, stop, step))
        if count == self.shape[dim] and step == 1:
            self.key.append(("all",))
        elif count == 0:
            self.key.append(("range", 0, 0, 1))
        elif self.eager and step == 1:
            self.key.append(("window", count))
            self.operands.append(start)
        else:
            self.key.append(("range", start, count, step))
        return dim + 1

    def moving(self, item: Slice, dim: int) -> int:
        size, step = self.shape[dim], item.stride
        span = (item.size - 1) * step + 1 if item.size else 0
        if span > size:
            raise TypeError(f"{item} reaches over {span} elements, but axis {dim} has {size}")
        if not item.is_dynamic_start:
            start = min(max(item.start + size if item.start < 0 else item.start, 0), size - span)
            return self.slice(slice(start, start + span, step), dim)
        if shape_of(item.start) != () or not dtypes.is_int(dtype_of(item.start)):
            raise TypeError(f"the start of {item} must be a scalar array of integers")
        start = convert_element_type(from_front(item.start, size), index_dtype(self.shape))
        if step == 1:
            self.key.append(("window", item.size))
            self.operands.append(start)
        else:
            start = clamp(constant(0, start), start, constant(size - span, start))
            steps = np.arange(0, span, step, dtype=dtype_of(start))
            self.strided = True
            self.key.append(("mask", 1))
            self.operands.append(add(broadcast_in_dim(start, steps.shape, ()), steps))
        return dim + 1

    def mask(self, item: Any, dim: int) -> int:
        ndim = item.ndim
        covered = self.shape[dim : dim + ndim]
        if isinstance(item, Tracer):
            concrete = item.concrete()
            if concrete is None:
                raise NonConcreteBooleanIndexError(item)
            item = concrete
        if tuple(item.shape) != covered:
            raise IndexError(
                f"boolean index did not match shape of indexed array: the mask has shape {tuple(item.shape)}, the "
                f"dimensions from {dim} on have {covered}"
            )
        if ndim == 0:
            return self.item(bool(item), dim)
        for places in np.nonzero(np.asarray(item)):
            self.key.append(("mask", 1))
            self.operands.append(places.astype(np.int32))
        return dim + ndim

    def array(self, item: Any, dim: int) -> int:
        size = self.shape[dim]
        if self.wrap:
            item = _normalized(item, size)
        else:
            item = from_front(_wide(item), 0, self.before_first(dim))
        ndim = len(shape_of(item))
        self.key.append(("scalar",) if ndim == 0 else ("array", ndim))
        self.operands.append(item)
        return dim + 1


def _check_bounds(item: slice) -> None:
    for bound in (item.start, item.stop, item.step):
        if isinstance(bound, Tracer) and bound.concrete() is None:
            error = IndexError(
                f"Array slice indices must have static start/stop/step, got {item}: the size of a slice must be known "
                "while tracing"
            )
            error.add_note(
                "For a slice of fixed size at a traced place use lax.dynamic_slice or lax.dynamic_slice_in_dim; to "
                "choose elements by a traced condition use numpy.where."
            )
            raise error


def _index_dtype(item: Any) -> Any:
    """The dtype of an index array.

    Raises:
      TypeError: it is none.
    """
    if isinstance(item, (list, tuple)):
        raise TypeError(
            "Using a non-tuple sequence for multidimensional indexing is not allowed; use `arr[array(seq)]` instead of "
            f"`arr[seq]`: got a {type(item).__name__}"
        )
    if isinstance(item, str):
        raise TypeError(f"strings are not indices of arrays; got {item!r}")
    try:
        dtype = dtype_of(item)
    except (TypeError, AttributeError):
        raise TypeError(
            f"an index must be an integer, a slice, an ellipsis, None, or an array of integers or booleans, got {item!r:.60} "
            f"of type {type(item).__name__}"
        ) from None
    if not (dtypes.is_int(dtype) or dtypes.is_bool(dtype)):
        raise TypeError(
            f"an index must have integer or boolean type, got one of dtype {dtypes.dtype_name(dtype)}"
        )
    return dtype


def _normalized(item: Any, size: int) -> Any:
    """NumPy's integer arrays in a dtype in which a size can be added; what is out of bounds stays so."""
    if isinstance(item, np.ndarray) and item.dtype.kind == "i":
        far = 2**31 - 1 if size < 2**31 else 2**63 - 1
        return np.clip(item.astype(np.int64), -far, far).astype(np.int32 if size < 2**31 else np.int64)
    return item


# --- the program ------------------------------------------------------------------------------


def index_dtype(shape: Sequence[int]) -> Any:
    """The integer dtype for places in an array of this shape."""
    return np.dtype(np.int64 if max(shape, default=0) >= 2**31 else np.int32)


def _integers(value: Any, dtype: Any) -> Any:
    """An index operand as integers of `dtype`."""
    return convert_element_type(value, dtype) if dtype_of(value) != dtype else value


def from_front(value: Any, size: int, instead: int | None = None) -> Any:
    """Index operands with the negative ones counted from the front, or replaced by `instead`."""
    if dtypes.is_unsigned_int(dtype_of(value)):
        return value
    negative = lt(value, constant(0, value))
    counted = add(value, constant(size, value)) if instead is None else filled(instead, value)
    return select(negative, counted, value)


def read(x: Any, key: Key, operands: Sequence[Any], mode: Any = None, **options: Any) -> Any:
    """`x[index]` for an index taken apart.

    Args:
      mode: a `GatherScatterMode` for computed indices, or None to clamp.
      options: `fill_value`, `indices_are_sorted` and `unique_indices` of the gather.
    """
    basic, rest, left = split_advanced(key, operands, mode is not None)
    x = read_basic(x, basic, rest)
    return x if not left.arrays else gather_arrays(x, left, mode, **options)


class Advanced(NamedTuple):
    """Index arrays that remain when slices are done: for dimensions `dims` of what the slices leave.

    `in_bounds` says which need no care; `place` is where the arrays' dimensions go in the result.
    """

    dims: tuple[int, ...]
    arrays: list[Any]
    in_bounds: list[bool]
    place: int


_ARRAYS = ("array", "mask")
_INTEGERS = ("at", "place", "scalar")


def split_advanced(
    key: Key, operands: Sequence[Any], moded: bool = False
) -> tuple[list[tuple[Any, ...]], list[Any], Advanced]:
    """The part of an index that is slices and new axes, its operands, and the part that is index arrays.

    With an array in it, integers are index arrays too, as NumPy has it; so are computed integers if `moded`, for a
    slice clamps.
    """
    given = iter(operands)
    advanced = any(item[0] in _ARRAYS or (moded and item[0] == "scalar") for item in key)
    basic: list[tuple[Any, ...]] = []
    rest: list[Any] = []
    dims: list[int] = []
    arrays: list[Any] = []
    in_bounds: list[bool] = []
    numbers: list[int] = []  # where in the key the index arrays stand
    dim = 0
    for number, item in enumerate(key):
        kind = item[0]
        operand = next(given) if kind in ("window", "place", "scalar", *_ARRAYS) else None
        if kind in _ARRAYS or (advanced and kind in _INTEGERS):
            basic.append(("new",) if item[2:] else ("all",))
            dims.append(dim)
            arrays.append(np.int32(item[1]) if kind == "at" else operand)
            in_bounds.append(kind in ("at", "place", "mask"))
            numbers.append(number)
        else:
            basic.append(item)
            if operand is not None:
                rest.append(operand)
        dim += basic[-1][0] not in _INTEGERS
    together = not numbers or numbers[-1] - numbers[0] == len(numbers) - 1
    return basic, rest, Advanced(tuple(dims), arrays, in_bounds, dims[0] if together and dims else 0)


def read_basic(x: Any, key: Sequence[tuple[Any, ...]], operands: Sequence[Any]) -> Any:
    """`x` indexed by integers, slices and new axes."""
    shape = shape_of(x)
    items = [item for item in key if item[0] != "new"]
    x = _fixed_slices(x, shape, items)
    x = _moving_slices(x, items, operands)
    gone = tuple([i for i, item in enumerate(items) if item[0] in _INTEGERS])
    if gone:
        x = squeeze_p.bind(x, dimensions=gone)
    left = [item for item in key if item[0] not in _INTEGERS]
    new = [i for i, item in enumerate(left) if item[0] == "new"]
    return expand_dims(x, new) if new else x


def _fixed_slices(x: Any, shape: tuple[int, ...], items: Sequence[tuple[Any, ...]]) -> Any:
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    reversed_dims = []
    for i, item in enumerate(items):
        if item[0] == "at":
            starts[i], limits[i] = item[1], item[1] + 1
        elif item[0] == "range":
            start, size, step = item[1:]
            last = start + (size - 1) * step
            if step < 0:
                reversed_dims.append(i)
            starts[i], limits[i] = (min(start, last), max(start, last) + 1) if size else (0, 0)
            strides[i] = abs(step)
    if any(starts) or tuple(limits) != shape or any(s != 1 for s in strides):
        steps = tuple(strides) if any(s != 1 for s in strides) else None
        x = slice_p.bind(x, start_indices=tuple(starts), limit_indices=tuple(limits), strides=steps)
    return rev_p.bind(x, dimensions=tuple(reversed_dims)) if reversed_dims else x


def _moving_slices(x: Any, items: Sequence[tuple[Any, ...]], operands: Sequence[Any]) -> Any:
    if not operands:
        return x
    shape = shape_of(x)
    dtype = index_dtype(shape)
    given = iter(operands)
    starts: list[Any] = [np.zeros((), dtype)[()]] * len(shape)
    sizes = list(shape)
    for i, item in enumerate(items):
        kind = item[0]
        if kind in ("window", "place", "scalar"):
            start = next(given)
            sizes[i] = item[1] if kind == "window" else 1
            start = from_front(start, shape[i]) if kind == "scalar" else start
            starts[i] = _integers(start, dtype)
    return dynamic_slice_p.bind(x, *starts, slice_sizes=tuple(sizes))


# --- index arrays -----------------------------------------------------------------------------


class Vectors(NamedTuple):
    """Index vectors along the last dimension, and how they belong to the dimensions of operand and result."""

    indices: Any
    numbers: GatherDimensionNumbers
    slice_sizes: tuple[int, ...]


def index_vectors(shape: tuple[int, ...], left: Advanced) -> Vectors:
    """The index arrays, broadcast together, as the operand of a gather or scatter on an array of the given shape."""
    batch = np.broadcast_shapes(*map(shape_of, left.arrays))
    dtype = index_dtype(shape)
    columns = []
    for dim, array, safe in zip(left.dims, left.arrays, left.in_bounds):
        column = array if safe else from_front(_wide(array), shape[dim])
        column = stretch(_integers(column, dtype), shape_of(column), batch)
        columns.append(broadcast_in_dim(column, (*batch, 1), tuple(range(len(batch)))))
    indices = columns[0] if len(columns) == 1 else concatenate(columns, len(batch))
    window = len(shape) - len(left.dims)
    offset = (*range(left.place), *range(left.place + len(batch), window + len(batch)))
    numbers = GatherDimensionNumbers(offset, left.dims, left.dims)
    sizes = tuple([1 if i in left.dims else d for i, d in enumerate(shape)])
    return Vectors(indices, numbers, sizes)


def _wide(array: Any) -> Any:
    """An index array in which every size is representable: adding one to a narrow integer could overflow."""
    dtype = dtype_of(array)
    return convert_element_type(array, np.int32) if dtype.itemsize < 4 else array


def gather_arrays(
    x: Any,
    left: Advanced,
    mode: Any,
    *,
    fill_value: Any = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
) -> Any:
    """`x` indexed by arrays in some dimensions."""
    shape = shape_of(x)
    if 0 in [shape[d] for d in left.dims] and np.broadcast_shapes(*map(shape_of, left.arrays)).count(0) == 0:
        raise IndexError(
            f"an index array with elements cannot index an empty dimension of an array of shape {shape}"
        )
    vectors = index_vectors(shape, left)
    mode = GatherScatterMode.PROMISE_IN_BOUNDS if mode is None else mode
    return gather_p.bind(
        x,
        vectors.indices,
        dimension_numbers=vectors.numbers,
        slice_sizes=vectors.slice_sizes,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
        fill_value=fill_value if mode is GatherScatterMode.FILL_OR_DROP else None,
    )


# --- the methods ------------------------------------------------------------------------------


def await_operands(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """`miss` of reads and updates: where waiting for an operand spares a program, the answer is `ARRIVED`."""
    x, operands, *others = args
    arrays = [a for a in (x, *operands, *others) if type(a) is ArrayImpl]
    if arrays and arrived((call.name, x.aval, tuple([a for a in others if type(a) is tuple])), arrays):
        return ARRIVED, None
    return miss(call, args, kwargs)


@function(
    static=("key", "mode", "fill_value", "indices_are_sorted", "unique_indices"),
    name="getitem",
    miss=await_operands,
)
def read_compiled(x: Any, operands: Any, key: Key, mode: Any = None, **options: Any) -> Any:
    """`read`, compiled."""
    return read(x, key, operands, mode, **options)


@function(name="getitem")
def _element(x: Any, i: Any) -> Any:
    return read_basic(x, (("place",), *[("all",)] * (len(shape_of(x)) - 1)), (i,))


def getitem(x: Any, index: Any) -> Any:
    """`x[index]`, with NumPy's indices.

    Integers, slices, `...`, `None`, boolean masks and integer arrays. A Python integer out of bounds raises; computed
    indices out of bounds are clamped.

    Raises:
      IndexError: the index does not fit. TypeError: an item is no index.
      NonConcreteBooleanIndexError: a mask is traced, so that the result would have no fixed shape.
    """
    found = read_at(x, index, None)
    if found is not None:
        return found
    eager = get_trace() is None
    if eager and type(index) is int:  # the common case, without taking anything apart
        shape = x.shape
        if shape:
            size = shape[0]
            if -size <= index < size:
                return _element(x, index if index >= 0 else index + size)
    key, operands = parse(x.shape, index, eager)
    if not eager:
        return read(x, key, operands)
    found = read_compiled(x, operands, key)
    return getitem(x, index) if found is ARRIVED else found


def iterate(x: Any) -> Iterator[Any]:
    """The elements of `x` along its first axis."""
    shape = x.shape
    if not shape:
        raise TypeError("iteration over a 0-d array")
    return (getitem(x, i) for i in range(shape[0]))

"""Functions of `lax` that take parts of arrays and replace them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.peers.lax_table.entry import Arguments, entry
from tests.peers.lax_table.source import COMMON, Lax, Shape, Source, named

USUAL = (*COMMON, "int4", "float8_e5m2")
INDICES = ("int32", "int64", "uint8", "int8", "uint32")


@entry("slice", usual=USUAL)
def slices(s: Source) -> Arguments:
    shape = s.shape()
    starts = [min(s.pick(1, 0, 2), n) for n in shape]
    limits = [max(a, n - s.pick(0, 1)) for a, n in zip(starts, shape)]
    strides = s.pick(
        None, [s.pick(1, 2, 3) for _ in shape], wrong=([0 for _ in shape], [-1 for _ in shape], [1], 2)
    )
    starts = s.pick(
        starts, wrong=([-1 for _ in shape], [n + 1 for n in shape], starts[1:], [0.5 for _ in shape], None)
    )
    limits = s.pick(
        limits, wrong=([n + 1 for n in shape], [-1 for _ in shape], [*limits, 1], [1.5 for _ in shape])
    )
    return s.tensor(shape), starts, limits, *s.pick((), (strides,))


@entry("slice_in_dim", usual=USUAL)
def slice_in_dim(s: Source) -> Any:
    shape = s.shape(1)
    start, limit = (s.pick(None, 0, 1, -1, 2, -3, 5, -7, wrong=(1.5, "a")) for _ in range(2))
    more = s.pick({}, {"stride": s.pick(1, 2, 3, wrong=(0, -1, 0.5))}, {"axis": s.axis(len(shape))})
    return (s.tensor(shape), start, limit), more


@entry("index_in_dim", usual=USUAL)
def index_in_dim(s: Source) -> Any:
    shape = s.shape(1)
    index = s.pick(1, 0, -1, -2, wrong=(7, -7, 0.5, None))
    return (s.tensor(shape), index), s.pick({}, {"axis": s.axis(len(shape))}, {"keepdims": False})


def place(s: Source) -> Any:
    """One index: a number or a scalar array."""
    dtype = s.pick(*INDICES, wrong=("float32", "bool"))
    number = s.numbers((), dtype, "index")
    return s.pick(1, number, number[()], 0, -1, 5, -9, wrong=(1.5, np.zeros(2, np.int32), None))


def places(s: Source, rank: int) -> Any:
    dtype = s.pick(*INDICES, wrong=("float32", "bool"))
    return s.pick([place(s) for _ in range(rank)], s.numbers((rank,), dtype, "index"), wrong=(s.numbers((rank + 1,), "int32", "index"), [0], 0))  # fmt: skip


def negative(s: Source, rank: int) -> dict[str, Any]:
    return dict(
        s.pick(
            {},
            {"allow_negative_indices": False},
            {"allow_negative_indices": [i % 2 == 0 for i in range(rank)]},
            wrong=({"allow_negative_indices": [True] * (rank + 1)},),
        )
    )


def mixed(call: Any, ours: Any, theirs: Any) -> bool:
    """The rows `mixed-indices`, for JAX wants indices of one dtype, and `first-mistake`."""
    other_order = isinstance(ours, TypeError) and isinstance(theirs, ValueError)
    return other_order or (isinstance(theirs, TypeError) and "integers of the same type" in str(theirs))


@entry("dynamic_slice", usual=USUAL, different=mixed)
def dynamic_slice(s: Source) -> Any:
    shape = s.shape()
    sizes = [min(n, s.pick(1, 2, 0)) for n in shape]
    sizes = s.pick(
        sizes, wrong=([n + 1 for n in shape], [-1 for _ in shape], sizes[1:], [0.5 for _ in shape], 1)
    )
    return (s.tensor(shape), places(s, len(shape)), sizes), negative(s, len(shape))


@entry("dynamic_update_slice", usual=USUAL, different=mixed)
def dynamic_update_slice(s: Source) -> Any:
    shape = s.shape()
    sizes = tuple(min(n, s.pick(1, 2, 0)) for n in shape)
    sizes = s.pick(sizes, wrong=(tuple(n + 1 for n in shape), sizes[1:], (*sizes, 1)))
    return (s.tensor(shape), s.tensor(sizes, s.other()), places(s, len(shape))), negative(s, len(shape))


def one_negative(s: Source) -> dict[str, Any]:
    return dict(s.pick({}, {"allow_negative_indices": False}))


@entry("dynamic_slice_in_dim", usual=USUAL)
def dynamic_slice_in_dim(s: Source) -> Any:
    shape = s.shape(1)
    axis = s.axis(len(shape))
    size = min(shape[axis % len(shape)], s.pick(1, 2, 0))
    size = s.pick(size, wrong=(9, -1, 0.5))
    return (s.tensor(shape), place(s), size, axis), one_negative(s)


@entry("dynamic_index_in_dim", usual=USUAL)
def dynamic_index_in_dim(s: Source) -> Any:
    shape = s.shape(1)
    return (s.tensor(shape), place(s), s.axis(len(shape)), s.pick(True, False)), one_negative(s)


@entry("dynamic_update_slice_in_dim", usual=USUAL, different=mixed)
def dynamic_update_slice_in_dim(s: Source) -> Any:
    shape = s.shape(1)
    axis = s.axis(len(shape))
    at = axis % len(shape)
    update = (*shape[:at], min(shape[at], s.pick(1, 2, 0)), *shape[at + 1 :])
    return (s.tensor(shape), s.tensor(s.near(update), s.other()), place(s), axis), one_negative(s)


@entry("dynamic_update_index_in_dim", usual=USUAL, different=mixed)
def dynamic_update_index_in_dim(s: Source) -> Any:
    shape = s.shape(1)
    axis = s.axis(len(shape))
    at = axis % len(shape)
    update = s.pick((*shape[:at], *shape[at + 1 :]), (*shape[:at], 1, *shape[at + 1 :]))
    return (s.tensor(shape), s.tensor(s.near(update), s.other()), place(s), axis), one_negative(s)


@entry("index_take", usual=USUAL)
def index_take(s: Source) -> Arguments:
    shape = s.shape(1)
    axes = s.pick((0,), tuple(range(len(shape))), (len(shape) - 1,), wrong=((-1,), (0, 0)))
    count = s.pick(2, 3, 1, 0)
    dtype = s.pick("int32", "int64", "int8", wrong=("float32", "bool"))
    indices = [s.numbers((count,), dtype, "index") for _ in axes]
    return (
        s.tensor(shape),
        tuple(s.pick(indices, wrong=([indices[0], *indices], [np.zeros((2, 2), np.int32)]))),
        axes,
    )


def mode(s: Source) -> Any:
    modes = [Lax(lambda lax, m=m: getattr(lax.GatherScatterMode, m), m) for m in ("CLIP", "FILL_OR_DROP")]
    return s.pick(None, "clip", "fill", *modes, wrong=("wrap", "words", 3))


# operand's shape; gather's numbers (offset, collapsed, map, operand batch, index batch); slice sizes; indices' shape;
# shape of the result.
PATTERNS: tuple[tuple[Shape, tuple[Any, ...], Shape, Shape, Shape], ...] = (
    ((4, 3), ((1,), (0,), (0,)), (1, 3), (2, 1), (2, 3)),
    ((4, 3), ((1, 2), (), (0,)), (2, 2), (3, 1), (3, 2, 2)),
    ((4, 3), ((), (0, 1), (1, 0)), (1, 1), (2, 2, 2), (2, 2)),
    ((5,), ((), (0,), (0,)), (1,), (3, 1), (3,)),
    ((4, 3, 2), ((0,), (2,), (2,), (0,), (1,)), (1, 2, 1), (3, 4, 1), (2, 3, 4)),
    ((0, 3), ((1, 2), (), (0,)), (0, 3), (2, 1), (2, 0, 3)),
    ((3, 2), ((0, 1), (), ()), (3, 2), (0,), (3, 2)),
)
WRONG: tuple[tuple[Any, ...], ...] = (
    ((0, 0), (0,), (0,)), ((2, 1), (0,), (0,)), ((1,), (0, 0), (0,)), ((1,), (5,), (0,)), ((1,), (0,), (7,)), ((1,), (0,), (0, 1)),
    ((1,), (0,), (0,), (0,), (0,)), ((), (0,), (0,)), ((1,), (-1,), (0,)), ((9,), (0,), (0,)),
)  # fmt: skip


def flags(s: Source) -> dict[str, Any]:
    return dict(s.pick({}, {"indices_are_sorted": False}, {"unique_indices": False})) | {"mode": mode(s)}


@entry("gather", usual=USUAL)
def gather(s: Source) -> Any:
    shape, numbers, sizes, places, _ = s.pick(*PATTERNS)
    numbers = s.pick(numbers, wrong=WRONG)
    sizes = s.pick(sizes, wrong=(tuple(n + 7 for n in sizes), (-1, *sizes[1:]), sizes[1:], (0.5, *sizes[1:])))
    indices = s.numbers(s.near(places), s.pick(*INDICES, wrong=("float32", "bool")), "index")
    dimensions = s.pick(named("GatherDimensionNumbers", *numbers), wrong=(None, (0,)))
    more = flags(s) | s.pick({}, {"fill_value": s.pick(1, 0, wrong=(2.5, "a", 2j))})
    return (s.tensor(shape), indices, dimensions, sizes), more


SCATTERS = ("scatter", "scatter_add", "scatter_sub", "scatter_mul", "scatter_min", "scatter_max")


@entry(*SCATTERS, ulps=8, floor=1.0, usual=tuple(d for d in USUAL if d != "bool"))
def scatter(s: Source) -> Any:
    shape, numbers, _, places, updates = s.pick(*PATTERNS)
    numbers = s.pick(numbers, wrong=WRONG)
    dtype = s.pick(*INDICES, wrong=("float32", "bool"))
    # Each place once, for several writes happen in any order.
    indices = s.numbers(s.near(places), dtype, "index")
    dimensions = s.pick(named("ScatterDimensionNumbers", *numbers), wrong=(None, (0,)))
    update = s.tensor(s.near(updates), s.other(), "small")
    return (s.tensor(shape, values="small"), indices, update, dimensions), flags(s)


@entry("scatter_apply", usual=USUAL)
def scatter_apply(s: Source) -> Any:
    shape, numbers, _, places, updates = s.pick(*PATTERNS)
    numbers = s.pick(numbers, wrong=WRONG)
    indices = s.numbers(s.near(places), s.pick(*INDICES, wrong=("float32", "bool")), "index")
    fun = Lax(lambda lax: lambda x: lax.max(x, lax.full_like(x, 1)), "max with 1")
    more = flags(s) | {"update_shape": s.near(updates)}
    return (s.tensor(shape, values="small"), indices, fun, named("ScatterDimensionNumbers", *numbers)), more

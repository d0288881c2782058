"""Reductions, cumulative functions, sorts and windows of `lax`."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.lax.declare import FLOAT8
from tests.peers.lax_table.entry import Arguments, entry
from tests.peers.lax_table.source import COMMON, Lax, Source, named, rank_of

WIDE = ("bfloat16", "float16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
SUM_ULPS, FLOOR = 64, 4.0


@entry("reduce_sum", "reduce_prod", usual=COMMON, ulps=SUM_ULPS, floor=FLOOR)
@entry("reduce_max", "reduce_min", usual=COMMON)
@entry("reduce_and", "reduce_or", "reduce_xor", usual=("bool", "int8", "int32", "uint16", "uint64"))
def reduction(s: Source) -> Arguments:
    x = s.operand(s.shape())
    return x, s.axes(rank_of(x))


def no_order(call: Any, ours: Any, theirs: Any) -> bool:
    """The rows `late-dtypes` and `first-mistake`."""
    return "does not accept dtype complex" in str(ours) or (
        isinstance(ours, TypeError) and "non-empty" in str(theirs)
    )


@entry("argmax", "argmin", usual=tuple(d for d in COMMON if "complex" not in d), different=no_order)
def index_of_extremum(s: Source) -> Arguments:
    x = s.tensor(s.shape(1))
    dtype = s.pick("int32", "int64", "uint8", "int8", wrong=("float32", "bool", "words", None))
    return x, s.pick(*range(rank_of(x)), wrong=(-1, rank_of(x))), dtype


def reducer(s: Source) -> Any:
    return s.pick(*(named(n) for n in ("add", "max", "min", "mul")), Lax(lambda lax: lambda a, b: lax.add(lax.mul(a, b), b), "ab + b"), wrong=(named("lt"), None))  # fmt: skip


def initial(call: Any, ours: Any, theirs: Any) -> bool:
    """The rows `lax-scalars`, of initial values that are numbers, `first-mistake` and `reduce-nothing`."""
    number = isinstance(call.args[1], (int, float)) and isinstance(theirs, TypeError)
    other_order = all(isinstance(found, (TypeError, ValueError)) for found in (ours, theirs))
    nothing = not (call.args[3] and np.ndim(call.args[0])) and isinstance(ours, tuple)
    return number or other_order or nothing


@entry("reduce", usual=COMMON, ulps=SUM_ULPS, floor=FLOOR, different=initial)
def reduce(s: Source) -> Arguments:
    shape = s.shape()
    init = s.pick(
        0,
        1,
        s.numbers((), s.other(), "small"),
        s.numbers((), s.other(), "small")[()],
        wrong=(0.5, s.numbers((2,)), None),
    )
    return s.array(shape, values="small"), init, reducer(s), s.axes(len(shape))


def without_infinities(call: Any, ours: Any, theirs: Any) -> bool:
    """The rows `small-float-sums` and `late-dtypes`."""
    values = isinstance(ours, tuple) and isinstance(theirs, tuple)
    return "does not accept dtype" in str(ours) or (values and ours[0][0][0] in FLOAT8)


@entry("cumsum", "cumprod", usual=COMMON, ulps=SUM_ULPS, floor=FLOOR)
@entry("cummax", "cummin", usual=COMMON)
@entry(
    "cumlogsumexp",
    usual=(*WIDE, *COMPLEX),
    ulps=SUM_ULPS,
    floor=FLOOR,
    different=without_infinities,
)
def running(s: Source) -> Any:
    shape = s.shape(1)
    x = s.tensor(shape, values="small")
    return (x,), s.pick({}, {"axis": s.axis(rank_of(x)), "reverse": s.pick(False, True)})


@entry("sort", usual=COMMON)
def sort(s: Source) -> Any:
    shape = s.shape(1)
    several = [s.array(s.near(shape), s.pick(s.dtype, *COMMON)) for _ in range(s.pick(2, 1, 3))]
    operand = s.pick(s.array(shape), several, tuple(several), wrong=([],))
    more = {
        "dimension": s.axis(len(shape)),
        "num_keys": s.pick(1, len(several) if isinstance(operand, (list, tuple)) else 1, wrong=(0, 5, -1)),
    }
    return (operand,), {k: v for k, v in more.items() if s.pick(False, True)} | {"is_stable": True}


@entry("sort_key_val", usual=COMMON)
def sort_key_val(s: Source) -> Any:
    shape = s.shape(1)
    return (s.array(shape), s.operand(s.near(shape), s.pick(s.dtype, *COMMON))), s.pick(
        {}, {"dimension": s.axis(len(shape))}
    )


@entry("top_k", usual=COMMON)
def top_k(s: Source) -> Any:
    shape = s.shape(1)
    axis = s.axis(len(shape))
    k = s.pick(min(1, shape[axis % len(shape)]), shape[axis % len(shape)], 0, wrong=(-1, 9, None))
    return (s.operand(shape), k), s.pick({}, {"axis": axis})


def window(s: Source, shape: tuple[int, ...]) -> tuple[Any, dict[str, Any]]:
    """Window dimensions, and strides, padding and dilations by name."""

    def each(*values: Any, wrong: tuple[Any, ...] = ()) -> Any:
        right = tuple(s.pick(*values) for _ in shape)
        return s.pick(right, wrong=(*(tuple(w for _ in shape) for w in wrong), right[1:], 2))

    sizes = each(2, 1, 3, wrong=(0, -1, 0.5))
    pairs = tuple((s.pick(0, 1, 2, -1), s.pick(0, 1, -1)) for _ in shape)
    more = {
        "window_strides": s.pick(None, each(1, 2, wrong=(0, -1))),
        "padding": s.pick(
            "VALID",
            "SAME",
            "SAME_LOWER",
            "valid",
            pairs,
            wrong=("FULL", pairs[1:], ((-9, -9),) * len(shape), 1),
        ),
        "base_dilation": s.pick(None, each(1, 2, wrong=(0, -1))),
        "window_dilation": s.pick(None, each(1, 2, wrong=(0, -1))),
    }
    return sizes, {k: v for k, v in more.items() if s.pick(False, True)}


@entry("reduce_window", usual=COMMON, ulps=SUM_ULPS, floor=FLOOR, different=initial)
def reduce_window(s: Source) -> Any:
    shape = s.shape(1, 2)
    sizes, more = window(s, shape)
    fun = s.pick(*(named(n) for n in ("add", "max", "min", "mul")), wrong=(named("lt"), None))
    init = s.pick(
        s.numbers((), s.other(), "small")[()],
        s.numbers((), values="small"),
        0,
        1,
        wrong=(0.5, s.numbers((2,)), None),
    )
    return (s.array(shape, values="small"), init, fun, sizes), more

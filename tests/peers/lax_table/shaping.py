"""Functions of `lax` that make arrays and move data about."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.lax import declare
from tests.peers.lax_table.entry import Arguments, entry
from tests.peers.lax_table.source import COMMON, Source, rank_of

USUAL = (*COMMON, "int4", "float8_e5m2")
ANY = declare.ANY


def sizes(s: Source, low: int = 0, high: int = 3) -> tuple[int, ...]:
    return tuple(s.pick(s.shape(low, high), wrong=((-1, 2), (2.0,), (3, -2), ("a",), (None,))))


@entry("broadcast", usual=USUAL)
def broadcast(s: Source) -> Arguments:
    return s.operand(s.shape()), sizes(s)


@entry("broadcast_in_dim", usual=USUAL)
def broadcast_in_dim(s: Source) -> Arguments:
    full = s.shape()
    dims = [i for i in range(len(full)) if s.pick(True, False)]
    shape = tuple(s.pick(full[i], 1) for i in dims)
    dims = s.pick(
        dims, wrong=(dims[::-1], [d - 3 for d in dims], [*dims, 0], [5 for d in dims], [0 for d in dims])
    )
    return s.tensor(s.near(shape)), s.pick(full, wrong=((-1, *full), None)), tuple(dims)


@entry("broadcast_like", usual=USUAL)
def broadcast_like(s: Source) -> Arguments:
    shape = s.shape()
    return s.operand(s.near(shape[s.pick(0, 1) :])), s.operand(shape, s.other())


@entry("broadcast_to_rank", usual=USUAL)
def broadcast_to_rank(s: Source) -> Arguments:
    shape = s.shape()
    rank = len(shape) + s.pick(1, 0, 2)
    return s.operand(shape), s.pick(rank, wrong=(len(shape) - 1, -1, 2.5))


@entry("broadcast_shapes", traced=False)
def broadcast_shapes(s: Source) -> Arguments:
    shape = s.shape()
    return tuple(s.pick(tuple(s.pick(n, 1) for n in shape), shape[1:], 3, wrong=((2, 5), (-1,), "a")) for _ in range(s.pick(2, 1, 3)))  # fmt: skip


@entry("collapse", usual=USUAL)
def collapse(s: Source) -> Arguments:
    shape = s.shape(1)
    start = s.pick(*range(len(shape)), *range(-len(shape), 0), wrong=(len(shape), 7, -5))
    stop = s.pick(None, *range(len(shape) + 1), *range(-len(shape), 0), wrong=(7, -6))
    return s.tensor(shape), start, *s.pick((), (stop,))


@entry("expand_dims", usual=USUAL)
def expand_dims(s: Source) -> Arguments:
    shape = s.shape()
    dims = s.pick((0,), (-1,), (0, -1), (), (1, 0), (0, 2), wrong=((7,), (-9,), (0, 0), (0.5,)))
    return s.operand(shape), dims


@entry("squeeze", usual=USUAL)
def squeeze(s: Source) -> Arguments:
    shape = s.shape(1)
    ones = s.axes(len(shape), negative=True)
    shape = tuple(1 if i in ones or i - len(shape) in ones else n for i, n in enumerate(shape))
    return s.tensor(s.near(shape)), ones


@entry("reshape", usual=USUAL)
def reshape(s: Source) -> Any:
    shape = s.shape()
    size = int(np.prod(shape))
    new = s.pick(shape[::-1], (size,), (1, size), (size, 1, 1), wrong=((-1,), (size, -1), (size + 1,), (-1, -1), (2.0, size), size, None))  # fmt: skip
    return (s.tensor(shape), new), s.pick({}, {"dimensions": None}, {"dimensions": s.permutation(len(shape))})


@entry("rev", usual=USUAL)
def rev(s: Source) -> Arguments:
    x = s.operand(s.shape())
    return x, s.axes(rank_of(x))


@entry("transpose", usual=USUAL)
def transpose(s: Source) -> Arguments:
    x = s.operand(s.shape())
    order = s.permutation(rank_of(x))
    return x, s.pick(order, np.array(order, int))


def longer(call: Any, ours: Any, theirs: Any) -> bool:
    """The row `empty-dtypes`: JAX's has 64 bits in 32-bit mode, too."""
    return str(call.args[1]) in ("int64", "uint64", "float64", "complex128")


@entry("empty", usual=ANY, compared=False, different=longer)
def empty(s: Source) -> Arguments:
    return sizes(s), s.pick(s.dtype, wrong=("words", str))


def complex_fill(call: Any, ours: Any, theirs: Any) -> bool:
    """The row `complex-fill`: JAX drops the imaginary part."""
    return "the complex value" in str(ours)


@entry("full", usual=ANY, different=complex_fill)
def full(s: Source) -> Arguments:
    dtype = s.pick(s.dtype, None, bool, int, float, complex, wrong=("words", str))
    value = s.pick(2, 0.5, True, s.operand(()), s.operand(s.shape()), wrong=(None, "a", [1, 2]))
    return sizes(s), value, *s.pick((), (dtype,))


@entry("full_like", usual=USUAL, different=complex_fill)
def full_like(s: Source) -> Any:
    named = {"dtype": s.pick(None, "int8", "float32", "bool", wrong=("words",)), "shape": s.pick(None, (2,), (), (0, 3), wrong=((-1,), (2.5,)))}  # fmt: skip
    value = s.pick(0, 2.5, True, s.operand(()), wrong=(np.ones((2, 5), np.float32), "a", None))
    return (s.operand(s.shape()), value), {k: v for k, v in named.items() if s.pick(False, True)}


@entry("iota", usual=USUAL)
def iota(s: Source) -> Arguments:
    return s.pick(s.dtype, int, float, wrong=("words", None)), s.pick(2, 0, 5, 1, wrong=(-1, 2.5, (2,), None))


@entry("broadcasted_iota", usual=USUAL)
def broadcasted_iota(s: Source) -> Arguments:
    shape = sizes(s, 1)
    return s.pick(s.dtype, int, float, wrong=("words", None)), shape, s.axis(len(shape), wrong=True)


@entry("concatenate", usual=USUAL)
def concatenate(s: Source) -> Arguments:
    shape = s.shape(1)
    at = s.pick(*range(len(shape)))
    axis = s.pick(at, wrong=(at - len(shape), len(shape)))

    def part() -> Any:
        n = s.pick(1, 2, 0, shape[at])
        return s.tensor(s.near((*shape[:at], n, *shape[at + 1 :])), s.other())

    parts = [part() for _ in range(s.pick(2, 1, 3))]
    return s.pick(parts, tuple(parts), wrong=([], 3.0, None)), axis


@entry("stack", usual=USUAL)
def stack(s: Source) -> Arguments:
    shape = s.shape()
    parts = [s.tensor(s.near(shape), s.other()) for _ in range(s.pick(2, 1, 3))]
    return s.pick(parts, tuple(parts), wrong=(3.0,)), *s.pick((), (s.axis(len(shape) + 1),))


@entry("unstack", usual=USUAL)
def unstack(s: Source) -> Arguments:
    shape = s.shape(0 if s.pick(False, True) else 1)
    return s.tensor(shape), *s.pick((), (s.axis(len(shape)),))


@entry("split", usual=USUAL)
def split(s: Source) -> Arguments:
    shape = s.shape(1)
    axis = s.axis(len(shape))
    size = shape[axis % len(shape)]
    first = min(s.pick(1, 0, 2), size)
    parts = s.pick((first, size - first), (size,), (0, first, size - first), wrong=((size + 1,), (-1, size + 1), (), (1.0, size - 1)))  # fmt: skip
    return s.tensor(shape), parts, *s.pick((axis,), ())


@entry("tile", usual=USUAL)
def tile(s: Source) -> Arguments:
    shape = s.shape()
    reps = [s.pick(2, 1, 0, 3) for _ in shape]
    return s.tensor(shape), s.pick(reps, [2, *reps], wrong=(reps[1:], [-1, *reps[1:]], [1.5], 2))


@entry("pad", usual=USUAL)
def pad(s: Source) -> Arguments:
    shape = s.shape()
    least = [0, 0, -1, -2][:2] if min(shape, default=0) < 4 else [0, -1, -2]
    config = [(s.pick(1, 0, 2, *least), s.pick(0, 2, *least), s.pick(0, 1, 2)) for _ in shape]
    config = s.pick(config, wrong=(config[1:], [(0, 0, -1) for _ in shape], [(0, 0) for _ in shape], [(0.5, 0, 0) for _ in shape], None))  # fmt: skip
    return s.tensor(shape), s.operand(s.pick((), wrong=((1,), (2,))), s.other()), config


@entry("optimization_barrier", usual=USUAL)
@entry("dtype", usual=USUAL, traced=False)
def whole(s: Source) -> Arguments:
    return (s.operand(s.shape()),)

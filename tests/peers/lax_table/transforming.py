"""Transforms, ragged products, approximate extrema and random bits of `lax`; shapes of windows and convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.peers.lax_table.entry import Arguments, entry
from tests.peers.lax_table.source import COMMON, Call, Shape, Source

FLAT = (2, 3, 4, 1)
PADDINGS = ("VALID", "SAME", "SAME_LOWER")


@entry("fft", usual=("float32", "float64", "complex64", "complex128"), ulps=256, floor=16.0)
def fft(s: Source) -> Arguments:
    kind = s.pick("fft", "ifft", "rfft", "irfft", wrong=("dct", None, 7))
    real = "float64" if s.dtype in ("float64", "complex128") else "float32"
    dtype = (
        real if kind == "rfft" else {"float32": "complex64", "float64": "complex128"}.get(s.dtype, s.dtype)
    )
    rank = s.pick(1, 2, 3, wrong=(0, 4))
    lengths = tuple(s.pick(2, 3, 4, 1) for _ in range(rank))
    last = lengths[-1] // 2 + 1 if kind == "irfft" and rank else lengths[-1] if rank else 0
    shape = s.near((*s.shape(0, 1), *lengths[:-1], last))
    x = s.numbers(shape, s.pick(dtype, wrong=COMMON), values="small")
    return x, kind, s.pick(lengths, wrong=((*lengths, 9), (-1,) * rank, (9,) * rank))


@entry("ragged_dot", usual=("float32", "float64", "bfloat16", "complex64"), ulps=64, floor=4.0)
def ragged_dot(s: Source) -> Arguments:
    m, k, n, groups = s.pick(*FLAT), s.pick(*FLAT), s.pick(*FLAT), s.pick(2, 1, 3)
    first = s.pick(*range(m + 1))
    sizes = np.array([first, m - first, 0][:groups] if groups > 1 else [m], np.int32)
    lhs = s.numbers(s.near((m, k)), values="small")
    rhs = s.numbers(s.near((groups, k, n)), s.other(), values="small")
    return lhs, rhs, sizes


def of_dtype(call: Call, ours: Any, theirs: Any) -> bool:
    """The row `late-dtypes`: a dtype that is not taken is a TypeError here, as with all other functions."""
    return isinstance(ours, TypeError) and "floating type" in str(theirs)


@entry(
    "approx_max_k", "approx_min_k", usual=("float32", "bfloat16", "float16", "float64"), different=of_dtype
)
def approximate(s: Source) -> Any:
    shape = tuple(s.pick(*FLAT) for _ in range(s.pick(1, 2)))
    axis = s.axis(len(shape))
    k = s.pick(1, wrong=(9, -1))
    # Numbers of which none are equal: ties may be told apart in any way.
    order = np.random.default_rng(s.seed()).permutation(int(np.prod(shape))).reshape(shape)
    more = {"recall_target": s.pick(0.95, 0.5), "aggregate_to_topk": True}
    return (order.astype(s.numbers(()).dtype), k), {"reduction_dimension": axis, **s.pick({}, more)}


@entry("rng_bit_generator", usual=("uint32",))
def rng_bit_generator(s: Source) -> Any:
    key = s.numbers(s.pick((4,), wrong=((3,), (2, 2), ())), s.pick("uint32", wrong=("int32", "uint64")))
    dtype = s.pick("uint32", "uint8", "uint16", "uint64", wrong=("int32", "float32", "bool"))
    return (key, s.pick(s.shape(), wrong=((-1,),))), {"dtype": dtype}


@entry("stage", usual=COMMON)
def stage(s: Source) -> Arguments:
    return (s.operand(s.shape()),)


@entry("shape_as_value", traced=False)
def shape_as_value(s: Source) -> Arguments:
    return (s.shape(),)


# ---- shapes --------------------------------------------------------------------------------------------------------


def shapes(s: Source) -> tuple[int, Shape, Shape, Shape]:
    """Of a convolution: its spatial rank, the shapes of the operands and the strides."""
    rank = s.pick(1, 2, 3)
    n, c, o = s.pick(2, 1), s.pick(3, 1), s.pick(4, 2)
    lhs = (n, c, *(s.pick(5, 4, 7) for _ in range(rank)))
    rhs = (o, c, *(s.pick(2, 1, 3) for _ in range(rank)))
    return rank, lhs, rhs, tuple(s.pick(1, 2, 3) for _ in range(rank))


def pads(s: Source, rank: int) -> Any:
    explicit = [(s.pick(0, 1, 2), s.pick(0, 1)) for _ in range(rank)]
    return s.pick(explicit, *PADDINGS)


def equal(call: Call, ours: Any, theirs: Any) -> bool:
    """The row `conv-shape-numbers`: some of JAX's are NumPy's; ours are Python's."""
    if isinstance(ours, Exception) or isinstance(theirs, Exception):
        return False
    return [*map(int, ours[1])] == [*map(int, theirs[1])]


def letters(rank: int) -> tuple[str, str, str]:
    spatial = "DHW"[3 - rank :]
    return f"NC{spatial}", f"OI{spatial}", f"N{spatial}C"


@entry("conv_shape_tuple", traced=False, different=equal)
def conv_shape_tuple(s: Source) -> Arguments:
    rank, lhs, rhs, strides = shapes(s)
    return lhs, rhs, strides, pads(s, rank)


@entry("conv_general_shape_tuple", traced=False, different=equal)
def conv_general_shape_tuple(s: Source) -> Arguments:
    rank, lhs, rhs, strides = shapes(s)
    return lhs, rhs, strides, pads(s, rank), letters(rank)


@entry("conv_transpose_shape_tuple", traced=False, different=equal)
def conv_transpose_shape_tuple(s: Source) -> Arguments:
    rank, lhs, rhs, strides = shapes(s)
    return lhs, rhs, strides, s.pick("SAME", "VALID"), letters(rank)


@entry("conv_dimension_numbers", traced=False)
def conv_dimension_numbers(s: Source) -> Arguments:
    rank, lhs, rhs, _ = shapes(s)
    right = letters(rank)
    return (
        lhs,
        s.near(rhs),
        s.pick(None, right, wrong=((right[0], right[1]), (right[0][1:], *right[1:]), ("NN", "OI", "NC"), 3)),
    )


@entry("conv_general_permutations", traced=False)
def conv_general_permutations(s: Source) -> Arguments:
    right = letters(s.pick(1, 2, 3))
    return (s.pick(right, right[::2] + right[:1], wrong=((right[0], right[0], right[0]), right[:2])),)


@entry("padtype_to_pads", traced=False)
def padtype_to_pads(s: Source) -> Arguments:
    _, lhs, rhs, strides = shapes(s)
    return lhs[2:], rhs[2:], strides, s.pick(*PADDINGS, wrong=("same?", 3))


@entry("reduce_window_shape_tuple", traced=False)
def reduce_window_shape_tuple(s: Source) -> Any:
    rank, lhs, rhs, strides = shapes(s)
    padding = [(s.pick(0, 1, 2), s.pick(0, 1)) for _ in range(rank)]
    dilation = [s.pick(1, 2) for _ in range(rank)]
    more = s.pick({}, {"base_dilation": dilation}, {"window_dilation": dilation})
    return (lhs[2:], rhs[2:], strides, padding), more

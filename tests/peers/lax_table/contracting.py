"""Products and convolutions of `lax`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from anima.dtypes import kind_of
from tests.peers.lax_table.entry import Arguments, entry
from tests.peers.lax_table.source import COMMON, Lax, Source

USUAL = (*COMMON, "float8_e4m3fn", "int4")
KINDS = "biufc"
PREFERRED = ("float32", "float64", "int32", "complex64")


def precisions(s: Source) -> Any:
    one = Lax(lambda lax: lax.Precision.HIGHEST, "Precision.HIGHEST")
    return s.pick(
        None,
        "highest",
        "default",
        "float32",
        one,
        (one, one),
        ("high", "highest"),
        wrong=("best", 3, (one,), ("best", "high")),
    )


def options(s: Source, *arrays: Any) -> dict[str, Any]:
    """Precision and preferred type, which is of the arrays' kind or a higher one."""
    kind = max(KINDS.index(kind_of(a.dtype) or "c") if isinstance(a, np.ndarray) else 4 for a in arrays)
    preferred = [d for d in PREFERRED if KINDS.index(np.dtype(d).kind) >= kind]
    more = {
        "precision": precisions(s),
        "preferred_element_type": s.pick(None, *preferred, wrong=("words", "bool")),
    }
    return {k: v for k, v in more.items() if s.pick(False, True)}


@entry("dot_general", usual=USUAL, ulps=64, floor=4.0)
def dot_general(s: Source) -> Any:
    batch, contracted, left, right = (s.shape(0, 1) for _ in range(4))
    n, m = len(batch), len(contracted)
    numbers = s.pick(((tuple(range(n, n + m)),) * 2, (tuple(range(n)),) * 2), wrong=((((0,), (7,)), ((), ())), (((-1,), (-1,)), ((), ())), (((0, 0), (0, 0)), ((), ())), (((0,), ()), ((), ())), (((0,), (0,)), ((0,), (0,))), ((0,), (1,)), (((0.5,), (0,)), ((), ()))))  # fmt: skip
    lhs = s.array(s.near((*batch, *contracted, *left)), values="small")
    rhs = s.array(
        s.near((*batch, *contracted, *right)), s.pick(s.dtype, s.dtype, s.dtype, *USUAL), values="small"
    )
    return (lhs, rhs, numbers), options(s, lhs, rhs)


@entry("dot", usual=USUAL, ulps=64, floor=4.0)
def dot(s: Source) -> Any:
    k = s.size()
    lhs = s.pick((2, k), (k,), wrong=((2, 3, k), (k + 1,), ()))
    rhs = s.pick((k, 2), (k,), wrong=((3, k, 2), (k + 1,), ()))
    dtype = s.pick(s.dtype, s.dtype, s.dtype, *USUAL)
    x, y = s.tensor(lhs, values="small"), s.tensor(rhs, dtype, values="small")
    return (x, y), options(s, x, y)


@entry("batch_matmul", usual=USUAL, ulps=64, floor=4.0)
def batch_matmul(s: Source) -> Any:
    batch = s.shape(0, 2)
    a, b, c = (s.size() for _ in range(3))
    dtype = s.pick(s.dtype, s.dtype, s.dtype, *USUAL)
    return (
        s.array(s.near((*batch, a, b)), values="small"),
        s.array(s.near((*batch, b, c)), dtype, values="small"),
    ), s.pick({}, {"precision": precisions(s)})


def either(call: Any, ours: Any, theirs: Any) -> bool:
    """The rows `conv-checks` and `first-mistake`: both refuse, with errors of different classes; or JAX would later."""
    if re.search("entries, one for each dimension|must be positive", str(ours)):
        return isinstance(ours, TypeError)
    return isinstance(ours, (TypeError, ValueError)) and isinstance(theirs, (TypeError, ValueError))


def small(call: Any) -> bool:
    """The row `conv-compiler`: XLA exchanges a kernel and an array that is smaller, and loses steps and dilations."""
    if not isinstance(call.args[0], np.ndarray) or not isinstance(call.args[1], np.ndarray):
        return False
    steps = [
        *call.args[2:3],
        *call.args[4:6],
        *(call.kwargs.get(f"{side}_dilation") for side in ("lhs", "rhs")),
    ]
    return call.args[0].size <= call.args[1].size and any(
        np.any(np.not_equal(s, 1)) for s in steps if s is not None
    )


def named_padding(call: Any, ours: Any, theirs: Any) -> bool:
    """The row `conv-paddings`, where JAX knows no names of paddings."""
    words = "String padding is not implemented|Invalid padding mode"
    unknown = "padding" in call.kwargs or call.args[3] in ("same", "SAME_LOWER")
    return either(call, ours, theirs) or re.search(words, str(theirs)) is not None or unknown


def of_patches(call: Any, ours: Any, theirs: Any) -> bool:
    """The row `conv-patches`: nothing is multiplied, so neither precision nor features matter."""
    words = "Precision argument must be|must be a positive integer, got 0"
    return either(call, ours, theirs) or re.search(words, str(theirs)) is not None


def of_one_rank(call: Any, ours: Any, theirs: Any) -> bool:
    """The row `conv-checks`: JAX does not look at dimensions of the kernel after those that it needs."""
    return either(call, ours, theirs) or np.ndim(call.args[0]) != np.ndim(call.args[1])


def each(s: Source, rank: int, *values: Any, wrong: tuple[Any, ...] = ()) -> Any:
    right = tuple(s.pick(*values) for _ in range(rank))
    return s.pick(right, wrong=(*(tuple(w for _ in range(rank)) for w in wrong), (*right, 1), 2))


def padding(s: Source, rank: int) -> Any:
    pairs = tuple((s.pick(0, 1, 2, -1), s.pick(0, 1)) for _ in range(rank))
    return s.pick(
        "VALID", "SAME", "SAME_LOWER", "same", pairs, wrong=("FULL", (*pairs, (0, 0)), 1, ((-9, -9),) * rank)
    )


@entry("conv", usual=USUAL, ulps=256, floor=8.0, different=either, fatal=small)
def conv(s: Source) -> Any:
    lhs, rhs, rank, _ = images(s)
    return (lhs, rhs, each(s, rank, 1, 2, wrong=(0, -1)), padding(s, rank)), options(s, lhs, rhs)


def images(s: Source, groups: int = 1) -> tuple[Any, Any, int, int]:
    rank = s.pick(1, 2, 0)
    features = s.pick(2, 1, 0) * groups
    space = tuple(s.pick(4, 3, 1) for _ in range(rank))
    kernel = tuple(s.pick(2, 1, 3) for _ in range(rank))
    lhs = s.array(s.near((s.pick(2, 1, 0), features, *space)), values="small")
    rhs = s.array(s.near((s.pick(3, 1) * groups, features // groups, *kernel)), s.other(), values="small")
    return lhs, rhs, rank, features


@entry("conv_with_general_padding", usual=USUAL, ulps=256, floor=8.0, different=either, fatal=small)
def conv_with_general_padding(s: Source) -> Any:
    lhs, rhs, rank, _ = images(s)
    dilations = [s.pick(None, each(s, rank, 1, 2, wrong=(0, -1))) for _ in range(2)]
    return (lhs, rhs, each(s, rank, 1, 2, wrong=(0, -1)), padding(s, rank), *dilations), options(s, lhs, rhs)


@entry("conv_general_dilated", usual=USUAL, ulps=256, floor=8.0, different=either, fatal=small)
def conv_general_dilated(s: Source) -> Any:
    groups = s.pick(1, 2, wrong=(0, 3, -1))
    lhs, rhs, rank, _ = images(s, max(groups, 1))
    letters = "XYZ"[:rank]
    numbers = s.pick(None, (f"NC{letters}", f"OI{letters}", f"NC{letters}"), wrong=(("NC", "OI", "NC"), ("NCQQ", "OIQQ", "NCQQ"), "NCHW", ("NC", "OI"), 5))  # fmt: skip
    more = {
        "lhs_dilation": s.pick(None, each(s, rank, 1, 2, wrong=(0, -1))),
        "rhs_dilation": s.pick(None, each(s, rank, 1, 2, wrong=(0, -1))),
        "dimension_numbers": numbers,
        "batch_group_count": s.pick(1, wrong=(0, 2, -1)),
    }
    chosen = {k: v for k, v in more.items() if s.pick(False, True)}
    return (lhs, rhs, each(s, rank, 1, 2, wrong=(0, -1)), padding(s, rank)), chosen | options(s, lhs, rhs) | {
        "feature_group_count": groups
    }


@entry("conv_transpose", usual=USUAL, ulps=256, floor=8.0, different=named_padding, fatal=small)
def conv_transpose(s: Source) -> Any:
    rank = s.pick(1, 2)
    features = s.pick(2, 1)
    space, kernel = (tuple(s.pick(3, 2, 1) for _ in range(rank)) for _ in range(2))
    lhs = s.array(s.near((s.pick(2, 1), *space, features)), values="small")
    rhs = s.array(s.near((*kernel, features, features)), s.other(), values="small")
    more = {
        "rhs_dilation": s.pick(None, each(s, rank, 1, 2, wrong=(0,))),
        "transpose_kernel": s.pick(False, True),
        "use_consistent_padding": s.pick(False, True),
    }
    return (lhs, rhs, each(s, rank, 1, 2, wrong=(0,)), padding(s, rank)), {
        k: v for k, v in more.items() if s.pick(False, True)
    } | options(s, lhs, rhs)


@entry("conv_general_dilated_patches", usual=USUAL, ulps=256, floor=8.0, different=of_patches)
def patches(s: Source) -> Any:
    lhs, rhs, rank, _ = images(s)
    return (lhs, rhs.shape[2:], each(s, rank, 1, 2, wrong=(0, -1)), padding(s, rank)), options(s, lhs, rhs)


@entry("conv_general_dilated_local", usual=USUAL, ulps=256, floor=8.0, different=of_one_rank)
def local(s: Source) -> Arguments:
    n = s.pick(4, 3)
    features = s.pick(2, 1)
    lhs = s.array((2, features, n), values="small")
    rhs = s.array(s.near((3, features * 2, n - 1)), s.other(), values="small")
    return (
        lhs,
        rhs,
        each(s, 1, 1, wrong=(0, -1)),
        s.pick("VALID", wrong=("FULL", 1, ())),
        s.pick((2,), wrong=((1,), (2, 2), 2)),
    )

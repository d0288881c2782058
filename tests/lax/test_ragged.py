"""Products with a ragged dimension, in all arrangements of dimensions, against masked sums by NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import anima
from anima import lax
from tests.lax.samples import F32, floats, integers

Numbers = lax.RaggedDotDimensionNumbers


def in_group(sizes: Any, count: int) -> np.ndarray:
    """Whether each index is in each group: a dimension more than `sizes`, before its last."""
    ends = np.cumsum(np.asarray(sizes), -1)[..., None, :]
    places = np.arange(count)[:, None]
    return (places >= ends - np.asarray(sizes)[..., None, :]) & (places < ends)


# A case: equation of a masked product, its shapes, the dimension numbers, and the shapes of group_sizes to try. In an
# equation the third operand is the mask, with all the dimensions that sizes may depend on, the ragged one and the groups.
CASES = {
    "rows": ("rk,gkn,rg->rn", (6, 3), (3, 3, 4), Numbers((((1,), (1,)), ((), ())), [0], [0]), ""),
    "turned": ("kr,ngk,rg->rn", (3, 6), (4, 3, 3), Numbers((((0,), (2,)), ((), ())), [1], [1]), ""),
    "outer": ("xrk,gkn,xrg->xrn", (2, 6, 3), (3, 3, 4), Numbers((((2,), (1,)), ((), ())), [1], [0]), "x"),
    "inner": ("rxk,gkn,rg->rxn", (6, 2, 3), (3, 3, 4), Numbers((((2,), (1,)), ((), ())), [0], [0]), ""),
    "batched": (
        "bxryk,nbgk,bxrg->bxryn",
        (2, 2, 6, 3, 4),
        (5, 2, 3, 4),
        Numbers((((4,), (3,)), ((0,), (1,))), [2], [2]),
        "bx",
    ),
    "two contracted": (
        "bkrl,gblkn,brg->brn",
        (2, 3, 6, 4),
        (3, 2, 4, 3, 5),
        Numbers((((1, 3), (3, 2)), ((0,), (1,))), [2], [0]),
        "b",
    ),
    "summed": ("rm,rn,rg->gmn", (6, 3), (6, 4), Numbers((((0,), (0,)), ((), ())), [0], []), ""),
    "summed, batched": (
        "bxrym,nbyxr,bxrg->gbmn",
        (2, 3, 6, 2, 4),
        (5, 2, 2, 3, 6),
        Numbers((((1, 2, 3), (3, 4, 2)), ((0,), (1,))), [2], []),
        "bx",
    ),
    "summed, another order": (
        "xrm,xrn,rg->gmn",
        (3, 6, 4),
        (3, 6, 5),
        Numbers((((1, 0), (1, 0)), ((), ())), [1], []),
        "",
    ),
}  # fmt: skip


def sizes_for(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Sizes of three groups in six rows, of which some stay over."""
    return np.random.default_rng(seed).integers(0, 3, (*shape, 3)).astype(np.int32)


@pytest.mark.parametrize("name", CASES)
def test_dimension_numbers(name: str) -> None:
    equation, lhs_shape, rhs_shape, numbers, prefix = CASES[name]
    lhs, rhs = floats(lhs_shape), floats(rhs_shape)
    lengths = dict(zip(equation.split(",")[0], lhs_shape))
    outer = tuple(lengths[c] for c in prefix)

    def run(lhs: Any, rhs: Any, sizes: Any) -> Any:
        return lax.ragged_dot_general(lhs, rhs, sizes, numbers)

    for shape in {(), outer}:
        sizes = sizes_for(shape)
        mask = np.broadcast_to(in_group(sizes, 6), (*outer, 6, 3)).astype(F32)
        expected = np.einsum(equation, lhs, rhs, mask)
        np.testing.assert_allclose(run(lhs, rhs, sizes), expected, rtol=1e-5, atol=1e-5)
        weights = floats(expected.shape)
        slopes = anima.grad(lambda x, y: (run(x, y, sizes) * weights).sum(), (0, 1))(lhs, rhs)
        left, right, third = equation.split("->")[0].split(",")
        result = equation.split("->")[1]
        for slope, wanted, other, letters in ((slopes[0], left, rhs, right), (slopes[1], right, lhs, left)):
            by_hand = np.einsum(f"{result},{letters},{third}->{wanted}", weights, other, mask)
            np.testing.assert_allclose(slope, by_hand, rtol=1e-5, atol=1e-5)


def test_a_ragged_batch_dimension_changes_nothing() -> None:
    numbers = Numbers((((2,), (1,)), ((0,), (0,))), [0], [])
    lhs, rhs = floats((6, 3, 2)), floats((6, 2, 5))
    found = lax.ragged_dot_general(lhs, rhs, np.array([1, 2]), numbers)
    np.testing.assert_allclose(found, lhs @ rhs, rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match=r"group_sizes must have shape \(2,\) or \(2,\)"):
        lax.ragged_dot_general(lhs, rhs, np.ones((6, 2), int), numbers)


@pytest.mark.parametrize("mapped", [m for m in itertools.product([False, True], repeat=3) if any(m)])
@pytest.mark.parametrize("name", ["outer", "summed, batched"])
def test_mapped(name: str, mapped: tuple[bool, ...]) -> None:
    _, lhs_shape, rhs_shape, numbers, prefix = CASES[name]
    plain = (lhs_shape, rhs_shape, (2, 3)[: len(prefix)] if name != "outer" else (2,))
    run = lambda *args: lax.ragged_dot_general(*args, numbers)
    args: list[Any] = [
        floats((2, *shape) if many else shape) if i < 2 else sizes_for((2, *shape) if many else shape)
        for i, (shape, many) in enumerate(zip(plain, mapped))
    ]
    in_axes = tuple(0 if many else None for many in mapped)

    @anima.jit
    def both(*args: Any) -> tuple[Any, list[Any]]:
        each = [run(*(a[i] if many else a for a, many in zip(args, mapped))) for i in range(2)]
        return anima.vmap(run, in_axes)(*args), each

    found, each = both(*args)
    np.testing.assert_allclose(found, np.stack(each), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mapped", [m for m in itertools.product([False, True], repeat=3) if any(m)])
def test_mapped_over_nothing(mapped: tuple[bool, ...]) -> None:
    plain = floats((4, 3)), floats((2, 3, 5)), np.array([1, 3], np.int32)
    args = [np.stack([x] * 2)[:0] if many else x for x, many in zip(plain, mapped)]
    in_axes = tuple(0 if many else None for many in mapped)

    def run(lhs: Any, rhs: Any, sizes: Any) -> Any:
        found, pull = anima.vjp(lambda x, y: lax.ragged_dot(x, y, sizes), lhs, rhs)
        return found, *pull(found)

    found = anima.vmap(run, in_axes)(*args)
    assert [x.shape for x in found] == [(0, 4, 5), (0, 4, 3), (0, 2, 3, 5)]


@pytest.mark.parametrize("rows", [40, 300])
def test_tiles(rows: int) -> None:
    """A loop over tiles gives what one product for each group gives, with its derivatives."""
    lhs, rhs, weights = floats((rows, 48)), floats((5, 48, 40)), floats((rows, 40))

    @anima.jit
    def run(sizes: Any, lhs: Any, rhs: Any) -> tuple[Any, Any]:
        found, pull = anima.vjp(lambda x, y: lax.ragged_dot(x, y, sizes), lhs, rhs)
        return found, pull(weights)

    for sizes in ([rows // 3, 0, rows // 3, 1, 2], [0, 0, 0, rows, 0], [1, 1, 1, 1, 1], [0] * 5, [rows] * 5):
        mask = in_group(sizes, rows).astype(F32)
        found, slopes = run(np.array(sizes), lhs, rhs)
        np.testing.assert_allclose(found, np.einsum("rk,gkn,rg->rn", lhs, rhs, mask), rtol=1e-4, atol=1e-4)
        by_hand = (
            np.einsum("rn,gkn,rg->rk", weights, rhs, mask),
            np.einsum("rn,rk,rg->gkn", weights, lhs, mask),
        )
        for slope, expected in zip(slopes, by_hand):
            np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-3)


def test_nothing_of_other_groups_reaches_a_row() -> None:
    for shape in ((6, 2, 3), (64, 32, 32)):
        rows, k, n = shape
        lhs, rhs = np.ones((rows, k), F32), np.ones((2, k, n), F32)
        lhs[rows // 2 :], rhs[1] = np.nan, np.inf
        found = lax.ragged_dot(lhs, rhs, np.array([rows // 2, rows // 2]))
        np.testing.assert_array_equal(found[: rows // 2], np.full((rows // 2, n), k, F32))
        slope = anima.grad(lambda y: lax.ragged_dot(lhs, y, np.array([rows // 2, 9])).sum())(rhs)
        np.testing.assert_array_equal(slope[0], np.full((k, n), rows // 2, F32))


def test_group_offset() -> None:
    lhs, rhs = floats((6, 2)), floats((4, 2, 3))
    sizes = np.array([1, 2, 0, 2])
    whole = lax.ragged_dot(lhs, rhs, sizes)
    for offset, ours in ((0, slice(0, 3)), (np.array([1]), slice(1, 5)), (np.int64(3), slice(3, 5))):
        count = 2 if np.asarray(offset).sum() < 3 else 1
        first = int(np.asarray(offset).sum())
        found = lax.ragged_dot(lhs, rhs[first : first + count], sizes, group_offset=offset)
        mask = in_group(sizes, 6)[:, first : first + count].any(1)
        np.testing.assert_allclose(found, np.where(mask[:, None], whole, 0), rtol=1e-6)
        assert mask[ours].any()
    numbers = Numbers((((0,), (0,)), ((), ())), [0], [])
    every = lax.ragged_dot_general(lhs, lhs, sizes, numbers)
    later = anima.jit(lambda n: lax.ragged_dot_general(lhs, lhs, sizes, numbers, group_offset=n))(1)
    np.testing.assert_allclose(later, np.concatenate([every[1:], np.zeros((1, 2, 2), F32)]), rtol=1e-6)


def test_dtypes() -> None:
    lhs, rhs = integers((5, 3), dtype=np.int8), integers((2, 3, 4), dtype=np.int8)
    for preferred, expected in ((None, "int8"), ("int32", "int32"), ("float32", "float32")):
        found = lax.ragged_dot(lhs, rhs, np.array([2, 3], np.uint8), preferred_element_type=preferred)
        assert found.dtype == expected
        wide = np.concatenate([lhs[:2].astype(int) @ rhs[0], lhs[2:].astype(int) @ rhs[1]])
        np.testing.assert_array_equal(found, wide.astype(expected))
    half = lax.ragged_dot(lhs.astype(F32), rhs.astype("float16"), np.array([2, 3]))
    assert half.dtype == F32
    big = anima.numpy.ones((600, 64), "bfloat16")
    summed = lax.ragged_dot_general(big, big, np.array([600, 0]), Numbers((((0,), (0,)), ((), ())), [0], []))
    assert summed.dtype == big.dtype and (summed[0] == 600).all()  # not summed in bfloat16
    assert lax.ragged_dot(np.ones((2, 3), bool), np.ones((1, 3, 2), bool), np.array([1])).tolist() == [
        [True, True],
        [False, False],
    ]


ROWS = CASES["rows"][3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: lax.ragged_dot(x, y, np.ones(3, F32)), "group_sizes must be an array of integers"),
        (lambda x, y: lax.ragged_dot(x, y, np.array(3)), "group_sizes must have at least 1 dimension"),
        (lambda x, y: lax.ragged_dot(x, y, np.ones(4, int)), "group dimension of rhs must have size 4"),
        (lambda x, y: lax.ragged_dot(x, y, np.ones(2, int), group_offset=0), "must have size 2.*got 3"),
        (lambda x, y: lax.ragged_dot(x, y, np.ones((1, 3), int)), r"group_sizes must have shape \(3,\)"),
        (
            lambda x, y: lax.ragged_dot(x[:, :2], y, np.ones(3, int)),
            "contracting dimensions must have the same sizes",
        ),
        (
            lambda x, y: lax.ragged_dot(x, y, np.ones(3, int), group_offset=np.ones(2, int)),
            "must be one integer",
        ),
        (
            lambda x, y: lax.ragged_dot_general(x, y, np.ones(3, int), (((1,), (1,)), ((), ()))),
            "must be a Ragged",
        ),
        (
            lambda x, y: lax.ragged_dot_general(
                x, y, np.ones(3, int), Numbers((((1,), (1,)), ((), ())), [], [0])
            ),
            "lhs_ragged_dimensions must be one dimension",
        ),
        (
            lambda x, y: lax.ragged_dot_general(
                x, y, np.ones(3, int), Numbers((((1,), (1,)), ((), ())), [2], [0])
            ),
            "ragged dimension 2 is not within",
        ),
        (
            lambda x, y: lax.ragged_dot_general(
                x, y, np.ones(3, int), Numbers((((1,), (1,)), ((), ())), [0], [])
            ),
            "rhs_group_dimensions must be one dimension",
        ),
        (
            lambda x, y: lax.ragged_dot_general(
                x, y, np.ones(3, int), Numbers((((1,), (1,)), ((), ())), [0], [1])
            ),
            "group dimension 1 must be within",
        ),
        (
            lambda x, y: lax.ragged_dot_general(
                x, x, np.ones(3, int), Numbers((((0,), (0,)), ((), ())), [0], [1])
            ),
            "rhs_group_dimensions must be empty",
        ),
    ],
)
def test_refuses(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(floats((6, 3)), floats((3, 3, 4)))


def test_numbers_are_values() -> None:
    same = Numbers((([1], [1]), ([], [])), (0,), (0,))
    assert same == ROWS and hash(same) == hash(ROWS)
    assert repr(ROWS) == (
        "RaggedDotDimensionNumbers(dot_dimension_numbers=(((1,), (1,)), ((), ())), lhs_ragged_dimensions=(0,), "
        "rhs_group_dimensions=(0,))"
    )

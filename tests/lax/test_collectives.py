"""Operations over named axes under `vmap`: each against NumPy on the array of all members."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
from anima import grad, jit, jvp, lax, vjp, vmap
from tests.lax.members import (
    ALL,
    CASES,
    CYCLE,
    GROUPS,
    SHIFT,
    UNEVEN,
    Case,
    N,
    assert_close,
    numbers,
    permuted,
)

every_case = pytest.mark.parametrize("case", ALL.values(), ids=ALL)


# --- values -----------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_over_the_mapped_axis(case: Case, axis: int) -> None:
    x = numbers((N, *case.shape))
    f = vmap(lambda x: case.call(x, "i"), axis_name="i", in_axes=axis)
    moved = np.moveaxis(x, 0, axis)
    got = f(moved)
    assert got.dtype == np.float32
    assert_close(got, case.oracle(x))
    assert_close(jit(f)(moved), case.oracle(x))


@every_case
def test_of_a_value_that_is_not_mapped(case: Case) -> None:
    x = numbers(case.shape)
    f = vmap(lambda: case.call(x, "i"), axis_name="i", axis_size=N)
    assert_close(f(), case.oracle(np.stack([x] * N)))
    assert_close(
        jit(lambda x: vmap(lambda: case.call(x, "i"), axis_name="i", axis_size=N)())(x),
        case.oracle(np.stack([x] * N)),
    )


@every_case
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_inside_and_outside_another_map(case: Case, axis: int) -> None:
    x = numbers((2, N, *case.shape))
    want = np.stack([case.oracle(row) for row in x])
    # The other mapped axis stands at any dimension of the operand.
    outside = vmap(
        vmap(lambda x: case.call(x, "i"), in_axes=axis, axis_name="i"), in_axes=0, axis_name="other"
    )
    assert_close(outside(np.moveaxis(x, 1, axis + 1)), want)
    inside = vmap(vmap(lambda x: case.call(x, "i"), in_axes=axis), in_axes=0, axis_name="i")
    assert_close(inside(np.moveaxis(x.swapaxes(0, 1), 1, axis + 1)), want.swapaxes(0, 1))


@pytest.mark.parametrize("order", [("i", "j"), ("j", "i")])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_over_two_axes(case: Case, order: tuple[str, str]) -> None:
    # The members of both axes, flattened so that the last name counts fastest.
    x = numbers((2, 2, *case.shape))
    f = vmap(vmap(lambda x: case.call(x, order), axis_name="j"), axis_name="i")
    flat = (x if order == ("i", "j") else x.swapaxes(0, 1)).reshape(4, *case.shape)
    want = case.oracle(flat)
    want = want.reshape(2, 2, *want.shape[1:])
    want = want if order == ("i", "j") else want.swapaxes(0, 1)
    assert_close(f(x), want)
    assert_close(jit(f)(x), want)
    # Names in a list are the same.
    listed = vmap(vmap(lambda x: case.call(x, list(order)), axis_name="j"), axis_name="i")
    assert_close(listed(x), want)


@pytest.mark.parametrize(
    "name", ["psum", "all_gather", "ppermute part", "all_to_all tiled", "psum_scatter tiled"]
)
def test_over_three_axes(name: str) -> None:
    case = CASES[name]
    call = {
        "ppermute part": lambda x, i: lax.ppermute(x, i, [(0, 7), (7, 1), (5, 2), (2, 0)]),
    }.get(name, case.call)
    oracle = {"ppermute part": permuted([(0, 7), (7, 1), (5, 2), (2, 0)])}.get(name, case.oracle)
    x = numbers((2, 2, 2, *case.shape))
    f = vmap(vmap(vmap(lambda x: call(x, ("b", "c", "a")), axis_name="c"), axis_name="b"), axis_name="a")
    want = oracle(np.moveaxis(x, 0, 2).reshape(8, *case.shape))
    want = np.moveaxis(want.reshape(2, 2, 2, *want.shape[1:]), 2, 0)
    assert_close(f(x), want)


def test_pytrees_and_dtypes() -> None:
    tree = {
        "a": np.arange(8, dtype=np.int32).reshape(4, 2),
        "b": (np.arange(4) > 2, numbers((4,), dtype=np.complex64)),
    }
    out = vmap(lambda t: lax.psum(t, "i"), axis_name="i")(tree)
    assert out["a"].dtype == np.int32 and out["b"][0].dtype == np.int32 and out["b"][1].dtype == np.complex64
    np.testing.assert_array_equal(out["a"], np.tile(tree["a"].sum(0), (4, 1)))
    np.testing.assert_array_equal(out["b"][0], [1] * 4)
    out = vmap(lambda t: lax.ppermute(t, "i", CYCLE), axis_name="i")(tree)
    np.testing.assert_array_equal(out["a"], np.roll(tree["a"], 1, 0))
    np.testing.assert_array_equal(out["b"][0], np.roll(tree["b"][0], 1))
    out = vmap(lambda t: lax.pmax(t, "i"), axis_name="i")(tree)
    np.testing.assert_array_equal(out["b"][0], [True] * 4)
    out = vmap(lambda t: lax.pmean(t, "i"), axis_name="i")({"a": tree["a"], "b": tree["b"][0]})
    assert out["a"].dtype == np.float32 and out["b"].dtype == np.float32
    np.testing.assert_array_equal(out["b"], [0.25] * 4)
    half = vmap(lambda x: lax.all_gather(x, "i"), axis_name="i")(
        anima.numpy.ones((4, 2), anima.numpy.bfloat16)
    )
    assert half.shape == (4, 4, 2) and half.dtype == anima.numpy.bfloat16


def test_nan_and_infinity() -> None:
    x = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    out = vmap(lambda x: (lax.pmax(x, "i"), lax.psum(x, "i"), lax.ppermute(x, "i", SHIFT)), axis_name="i")(x)
    assert np.isnan(out[0]).all() and np.isnan(out[1]).all()
    np.testing.assert_array_equal(out[2], permuted(SHIFT)(x))


def test_integers_wrap_around() -> None:
    out = vmap(lambda x: (lax.psum(x, "i"), lax.psum(np.int8(100), "i")), axis_name="i")(
        np.full(4, 100, np.int8)
    )
    np.testing.assert_array_equal(out, np.full((2, 4), -112, np.int8))


def test_what_is_known_while_tracing_stays_so() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.extend(
            [
                lax.psum(1, "i"),
                lax.psum(2.5, "i"),
                lax.psum(True, "i"),
                lax.psum(1j, ("i",)),
                lax.psum(1, "i", axis_index_groups=GROUPS),
                lax.axis_size("i"),
            ]
        )
        array = lax.psum(np.ones(2, np.float32), "i")
        assert type(array) is np.ndarray and array.dtype == np.float32
        return x

    vmap(jit(f), axis_name="i")(np.ones(N))
    assert seen == [4, 10.0, 4, 4j, 2, 4]
    assert [type(v) for v in seen] == [int, float, int, complex, int, int]
    sizes = vmap(vmap(lambda x: x * lax.psum(1, ("i", "j")), axis_name="i"), axis_name="j")(np.ones((3, 2)))
    np.testing.assert_array_equal(sizes, np.full((3, 2), 6))
    uneven = vmap(lambda x: x * lax.psum(1, "i", axis_index_groups=UNEVEN), axis_name="i")(np.ones(N))
    np.testing.assert_array_equal(uneven, [3, 3, 1, 3])


def test_dimensions_beside_names() -> None:
    x = numbers((N, 3, 2))
    f = lambda how: vmap(lambda x: how(x, ("i", 0)), axis_name="i")(x)
    assert_close(f(lax.psum), np.stack([x.sum((0, 1))] * N))
    assert_close(f(lax.pmean), np.stack([x.mean((0, 1))] * N))
    assert_close(f(lax.pmin), np.stack([x.min((0, 1))] * N))
    assert_close(lax.psum(x, (-1, 0)), x.sum((2, 0)))
    assert_close(lax.pmax(x, 1), x.max(1))
    np.testing.assert_array_equal(lax.psum(x, ()), x)


def test_own_index() -> None:
    np.testing.assert_array_equal(vmap(lambda: lax.axis_index("i"), axis_name="i", axis_size=3)(), [0, 1, 2])
    both = vmap(
        vmap(lambda: (lax.axis_index(("i", "j")), lax.axis_index(["j", "i"])), axis_name="j", axis_size=2),
        axis_name="i",
        axis_size=3,
    )()
    np.testing.assert_array_equal(both[0], np.arange(6).reshape(3, 2))
    np.testing.assert_array_equal(both[1], np.arange(6).reshape(2, 3).T)
    assert both[0].dtype == np.int32
    assert lax.axis_index(()) == 0 and lax.axis_size(()) == 1


def test_results_that_are_the_same_for_all_are_not_mapped() -> None:
    x = numbers((N, 3))
    for name in ("psum", "pmax", "all_gather", "pbroadcast"):
        out = vmap(lambda x: CASES[name].call(x, "i"), axis_name="i", out_axes=None)(x)
        assert_close(out, CASES[name].oracle(x)[0])


def test_axes_without_members() -> None:
    x = np.ones((0, 3), np.float32)
    f = lambda x: (lax.psum(x, "i"), lax.all_gather(x, "i"), lax.ppermute(x, "i", []), lax.axis_index("i"))
    out = vmap(f, axis_name="i")(x)
    assert [o.shape for o in out] == [(0, 3), (0, 0, 3), (0, 3), (0,)]
    total, all_rows = vmap(
        lambda x: (lax.psum(x, "i"), lax.all_gather(x, "i")), axis_name="i", out_axes=None
    )(x)
    np.testing.assert_array_equal(total, np.zeros(3))
    assert all_rows.shape == (0, 3)
    empty = vmap(lambda x: lax.all_to_all(x, "i", 0, 0), axis_name="i")(np.ones((2, 2, 0), np.float32))
    assert empty.shape == (2, 2, 0)


# --- derivatives ------------------------------------------------------------------------------


@every_case
def test_derivatives(case: Case) -> None:
    x, t = numbers((N, *case.shape)), numbers((N, *case.shape), 1)
    f = lambda x: case.call(x, "i")
    ct = numbers(case.oracle(x).shape, 2)
    # Each member is differentiated, or all of them at once; both are derivatives of the same joint function.
    pushed = vmap(lambda x, t: jvp(f, (x,), (t,))[1], axis_name="i")(x, t)
    assert_close(jvp(vmap(f, axis_name="i"), (x,), (t,))[1], np.asarray(pushed))
    pulled = vmap(lambda x, ct: vjp(f, x)[1](ct)[0], axis_name="i")(x, ct)
    assert_close(vjp(vmap(f, axis_name="i"), x)[1](ct)[0], np.asarray(pulled))
    assert_close(jit(vmap(jit(lambda x, ct: vjp(f, x)[1](ct)[0]), axis_name="i"))(x, ct), np.asarray(pulled))
    if case.linear:
        assert_close(pushed, case.oracle(t))
    else:  # finite differences
        wide, step = x.astype(np.float64), 1e-4
        near = case.oracle(wide + step * t) - case.oracle(wide - step * t)
        np.testing.assert_allclose(np.asarray(pushed), near / (2 * step), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.vdot(ct, pushed), np.vdot(pulled, t), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "case", [CASES["psum"], CASES["all_gather tiled"], CASES["ppermute part"], CASES["pmax"]]
)
def test_second_derivatives_and_another_map(case: Case) -> None:
    x = numbers((2, N, *case.shape))
    f = lambda x: (lax.sin(case.call(lax.mul(x, x), "i"))).sum()
    inner = vmap(vmap(grad(lambda x: grad(f)(x).sum()), axis_name="i"))(x)
    outer = vmap(grad(lambda x: vmap(grad(f), axis_name="i")(x).sum()))(x)
    np.testing.assert_allclose(inner, outer, rtol=1e-3, atol=1e-3)
    again = vmap(vmap(grad(lambda x: grad(f)(x).sum())), in_axes=1, out_axes=1, axis_name="i")(x)
    np.testing.assert_allclose(inner, again, rtol=1e-3, atol=1e-3)


def test_members_that_tie_share_the_derivative() -> None:
    x = np.array([1, 3, 3, 0], np.float32)
    f = lambda x: lax.pmax(x, "i")
    np.testing.assert_array_equal(grad(lambda x: vmap(f, axis_name="i")(x)[0])(x), [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(vmap(grad(f), axis_name="i")(x), [0, 2, 2, 0])


def test_gradients_of_sums_follow_the_convention() -> None:
    # The cotangent of a sum is summed: the gradient is that of the sum of all members' losses.
    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(vmap(grad(lambda x: lax.psum(x, "i")), axis_name="i")(x), [4] * 4)
    np.testing.assert_array_equal(vmap(grad(lambda x: lax.pmean(x, "i")), axis_name="i")(x), [1] * 4)
    np.testing.assert_array_equal(
        vmap(grad(lambda x: x * lax.axis_index("i")), axis_name="i")(x), [0, 1, 2, 3]
    )
    f = lambda x: lax.psum(lax.sin(x), "i") * x
    np.testing.assert_allclose(
        vmap(grad(f), axis_name="i")(x),
        np.cos(x) * x.sum() + np.sin(x).sum(),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: lax.psum(x, ("i", "i")), ValueError, "unique"),
        (lambda x: lax.psum(x, 5), ValueError, "axis_name"),
        (lambda x: lax.psum(x, "i", axis_index_groups=[[0, 1]]), ValueError, "exactly once"),
        (lambda x: lax.psum(x, "i", axis_index_groups=[[0, 1], [1, 2], [3]]), ValueError, "exactly once"),
        (lambda x: lax.psum(x, "i", axis_index_groups=[0, 1, 2, 3]), TypeError, "list of lists"),
        (lambda x: lax.psum(x, ("i", 0), axis_index_groups=GROUPS), ValueError, "named axes alone"),
        (lambda x: lax.psum("a", "i"), TypeError, "not an array"),
        (lambda x: lax.all_gather(x, "i", axis_index_groups=UNEVEN), ValueError, "same size"),
        (lambda x: lax.all_gather(x, "i", axis=3), ValueError, "axis 3"),
        (lambda x: lax.all_gather(x, "i", axis=2, tiled=True), ValueError, "axis 2"),
        (lambda x: lax.all_gather(x, "i", to="wide"), ValueError, "to must be one of"),
        (lambda x: lax.all_gather(x, "i", to="reduced"), ValueError, "under shard_map"),
        (lambda x: lax.pcast(x, "i", to="reduced"), ValueError, "under shard_map"),
        (lambda x: lax.pcast(x, "i", to="wide"), ValueError, "to must be one of"),
        (lambda x: lax.psum_scatter(x, "i"), ValueError, "must be 4"),
        (lambda x: lax.psum_scatter(x, "i", tiled=True), ValueError, "divisible by 4"),
        (lambda x: lax.psum_scatter(x, "i", scatter_dimension=9), ValueError, "scatter_dimension 9"),
        (lambda x: lax.all_to_all(x, "i", 0, 1), ValueError, "must be 4"),
        (lambda x: lax.all_to_all(x, "i", 0, 1, tiled=True), ValueError, "divisible by 4"),
        (lambda x: lax.all_to_all(x, "i", 1, 5), ValueError, "concat_axis 5"),
        (lambda x: lax.pswapaxes(x, "i", 0), ValueError, "pswapaxes: .* must be 4"),
        (lambda x: lax.ppermute(x, "i", [(0, 1), (0, 2)]), ValueError, "same source"),
        (lambda x: lax.ppermute(x, "i", [(0, 1), (2, 1)]), ValueError, "same destination"),
        (lambda x: lax.ppermute(x, "i", [(0, 4)]), ValueError, "less than 4"),
        (lambda x: lax.ppermute(x, "i", [0, 1]), TypeError, "pairs"),
        (lambda x: lax.pshuffle(x, "i", [0, 1, 2, 2]), ValueError, "permutation"),
        (lambda x: lax.pbroadcast(x, "i", 4), ValueError, "out of range"),
        (lambda x: lax.pbroadcast(x, "i", "a"), TypeError, "source must be an integer"),
    ],
)
def test_misuse_is_explained(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        vmap(call, axis_name="i")(np.ones((N, 3, 4), np.float32))

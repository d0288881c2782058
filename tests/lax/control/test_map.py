"""`map` and `associative_scan`."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from tests.lax.control.helpers import Counted, assert_trees_close, compilations


@pytest.mark.parametrize("batch_size", [None, 1, 3, 7, 20])
def test_map_stacks_the_results(batch_size: int | None) -> None:
    rows = {"x": np.arange(14.0).reshape(7, 2), "k": np.arange(7)}
    f = lambda row: (row["x"].sum() * row["k"], {"k": row["k"]})
    want = (rows["x"].sum(1) * rows["k"], {"k": rows["k"]})
    assert_trees_close(lax.map(f, rows, batch_size=batch_size), want)
    assert_trees_close(anima.jit(lambda r: lax.map(f, r, batch_size=batch_size))(rows), want)
    total = lambda x: lax.map(lambda x: np.sin(x).sum(), x, batch_size=batch_size).sum()
    assert_trees_close(anima.grad(total)(rows["x"]), np.cos(rows["x"]))


def test_map_of_no_rows() -> None:
    for batch_size in (None, 2):
        assert lax.map(lambda x: np.sin(x), np.zeros((0, 3)), batch_size=batch_size).shape == (0, 3)


def test_map_traces_and_compiles_once() -> None:
    f = Counted(lambda x: x * 2.0)
    first, second = np.arange(6.0), np.ones(6)
    lax.map(f, first)
    assert compilations(lambda: lax.map(f, second)) == 0
    assert f.calls == 1
    with anima.disable_jit():
        assert lax.map(lambda x: x + 1, np.arange(3)).tolist() == [1, 2, 3]


@pytest.mark.parametrize("size", range(10))
@pytest.mark.parametrize("reverse", [False, True])
def test_prefixes(size: int, reverse: bool) -> None:
    x = onp.random.default_rng(size).integers(-9, 9, (2, size)).astype(onp.int32)
    flipped = x[:, ::-1] if reverse else x
    want = onp.cumsum(flipped, 1)
    want = want[:, ::-1] if reverse else want
    for axis in (1, -1):
        assert lax.associative_scan(np.add, x, reverse=reverse, axis=axis).tolist() == want.tolist()
    assert (
        anima.jit(lambda x: lax.associative_scan(np.add, x.T, reverse=reverse))(x).T.tolist() == want.tolist()
    )


def test_order_is_kept() -> None:
    """Products of matrices do not commute."""
    ms = onp.random.default_rng(0).normal(size=(6, 2, 2)).astype(onp.float32)
    want = [ms[0]]
    for m in ms[1:]:
        want.append(want[-1] @ m)
    got = lax.associative_scan(lambda a, b: np.matmul(a, b), ms)
    assert_trees_close(got, onp.stack(want), 1e-4)
    want = [ms[-1]]
    for m in ms[-2::-1]:
        want.append(want[-1] @ m)
    got = lax.associative_scan(lambda a, b: np.matmul(a, b), ms, reverse=True)
    assert_trees_close(got, onp.stack(want[::-1]), 1e-4)


def test_pytrees_derivatives_and_batches() -> None:
    """A linear recurrence, and the scan that it stands for."""

    def combine(a: Any, b: Any) -> Any:
        return {"f": a["f"] * b["f"], "c": a["c"] * b["f"] + b["c"]}

    def fast(f: Any, c: Any) -> Any:
        return lax.associative_scan(combine, {"f": f, "c": c})["c"]

    def slow(f: Any, c: Any) -> Any:
        return lax.scan(lambda y, fc: (fc[0] * y + fc[1],) * 2, 0.0, (f, c))[1]

    f, c = onp.linspace(0.2, 1.1, 7, dtype=onp.float32), onp.linspace(-1, 1, 7, dtype=onp.float32)
    assert_trees_close(fast(f, c), slow(f, c))
    loss = lambda fun: lambda f, c: (fun(f, c) ** 2).sum()
    assert_trees_close(anima.grad(loss(fast), (0, 1))(f, c), anima.grad(loss(slow), (0, 1))(f, c), 1e-4)
    fs = onp.stack([f, f * 0.5])
    assert_trees_close(anima.vmap(fast, (0, None))(fs, c), anima.vmap(slow, (0, None))(fs, c))


def test_eager_prefixes_are_one_program() -> None:
    f = Counted(lambda a, b: a * b)
    x = np.arange(1.0, 40.0) * 0.1
    assert compilations(lambda: lax.associative_scan(f, x)) <= 1
    calls = f.calls
    assert compilations(lambda: lax.associative_scan(f, x)) == 0
    assert f.calls == calls


def test_nothing_to_combine() -> None:
    assert lax.associative_scan(np.add, ()) == ()
    assert lax.associative_scan(np.add, {"a": None}) == {"a": None}

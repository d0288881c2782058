"""What loops hand on unchanged is no part of the loop: results as written, nothing stacked or saved for its sake."""

from __future__ import annotations

from typing import Any

import numpy as onp

import anima
import anima.numpy as np
from anima import lax
from anima.core.aval import array_aval
from anima.interpreters.linearize import linearize_jaxpr
from anima.lax.control.checkpoints import slot_count
from tests.lax.control.helpers import assert_same_derivatives, assert_trees_close

W = onp.random.default_rng(0).normal(size=(4, 4)).astype(onp.float32) * onp.float32(0.4)
C = onp.linspace(-1, 1, 4, dtype=onp.float32)
XS = onp.random.default_rng(1).normal(size=(5, 4)).astype(onp.float32)


def step(state: Any, x: Any) -> Any:
    """A step as many are written: parameters ride along in the carry, and the row is a result too."""
    c, w = state
    c = np.tanh(w @ c) + np.sin(w).sum(0) * x
    return (c, w), (x, c)


def scanned(w: Any, c: Any, xs: Any) -> Any:
    (c, w), (rows, cs) = lax.scan(step, (c, w), xs)
    return (c * c).sum() + (w * w).sum() + (rows**3).sum() + np.cos(cs).sum()


def looped(w: Any, c: Any, xs: Any) -> Any:
    cs = []
    for x in xs:
        (c, w), (_, c) = step((c, w), x)
        cs.append(c)
    return (c * c).sum() + (w * w).sum() + (xs**3).sum() + np.cos(np.stack(cs)).sum()


def shapes_kept(fun: Any, *args: Any) -> list[tuple[int, ...]]:
    """The shapes of what passes from the forward to the backward pass, but arguments."""
    closed = anima.make_jaxpr(fun)(*args)
    split = linearize_jaxpr(closed, (True,) * len(closed.in_avals))
    return [array_aval(a).shape for a in split.primal.out_avals[len(closed.out_avals) :]]


def test_values_and_derivatives() -> None:
    assert_same_derivatives(scanned, looped, (W, C, XS))
    want = anima.vmap(anima.grad(looped), (0, None, 0))(onp.stack([W, -W]), C, onp.stack([XS, XS * 2]))
    got = anima.vmap(anima.grad(scanned), (0, None, 0))(onp.stack([W, -W]), C, onp.stack([XS, XS * 2]))
    assert_trees_close(got, want, 1e-4)


def test_nothing_is_stacked_that_does_not_change() -> None:
    [eqn] = [e for e in anima.make_jaxpr(scanned)(W, C, XS).eqns if e.primitive.name == "scan"]
    assert (eqn.params["num_consts"], eqn.params["num_carry"], len(eqn.outvars)) == (1, 1, 2)
    assert (5, 4, 4) not in shapes_kept(
        scanned, W, C, XS
    )  # neither the weights, nor what depends on them alone


def test_loops_hand_on_too() -> None:
    def fori(w: Any, c: Any) -> Any:
        out = lax.fori_loop(0, 3, lambda i, s: {"c": np.sin(s["w"] @ s["c"]), "w": s["w"]}, {"c": c, "w": w})
        return out["c"].sum() + out["w"].sum()

    def dynamic(w: Any, c: Any, n: Any = 3) -> Any:
        body = lambda s: (s[0] + 1, np.sin(s[2] @ s[1]), s[2], s[3])
        out = lax.while_loop(lambda s: s[0] < s[3], body, (0, c, w, n), max_steps=100)
        return out[1].sum() + out[2].sum()

    def plain(w: Any, c: Any) -> Any:
        for _ in range(3):
            c = np.sin(w @ c)
        return c.sum() + w.sum()

    assert_same_derivatives(fori, plain, (W, C))
    assert_same_derivatives(dynamic, plain, (W, C))
    assert (slot_count(100), 4, 4) not in shapes_kept(dynamic, W, C)
    assert_trees_close(anima.vmap(dynamic, (None, None, 0))(W, C, np.array([3, 0]))[0], plain(W, C))


def test_numbers_come_back_as_arrays_of_their_types() -> None:
    for loop in (
        lambda x: lax.fori_loop(0, 3, lambda i, s: (s[0], s[1] + 1), (x, 2))[0],
        lambda x: lax.while_loop(lambda s: s[1] < 3, lambda s: (s[0], s[1] + 1), (x, 2))[0],
        lambda x: lax.while_loop(lambda s: False, lambda s: s, x),
        lambda x: lax.scan(lambda c, _: (c, None), x, None, length=2)[0],
    ):
        for value in (1.5, 2, True, onp.float32(3), onp.int8(4)):
            got = loop(value)
            assert isinstance(got, anima.Array) and got == value
            assert got.dtype == np.asarray(value).dtype and got.weak_type == (type(value) in (int, float))
    rows = onp.arange(3, dtype=onp.int8)
    out = lax.scan(lambda c, x: (c, x), 0, rows)[1]
    assert isinstance(out, anima.Array) and out.tolist() == [0, 1, 2] and out.dtype == onp.int8
    assert lax.map(lambda x: x, rows).tolist() == [0, 1, 2]


def test_swapped_parts_are_not_handed_on() -> None:
    (a, b), _ = lax.scan(lambda s, _: ((s[1], s[0]), None), (1.0, 2.0), None, length=3)
    assert (float(a), float(b)) == (2.0, 1.0)
    rows = lax.scan(
        lambda c, x: (x[1], (x[1], x[0])), 0.0, (np.arange(3.0), np.arange(3.0) + 5), reverse=True
    )
    assert_trees_close(rows, (np.asarray(5.0), (np.arange(3.0) + 5, np.arange(3.0))))

"""Loops under `vmap`: the mapped axis of the carry stays where the body leaves it, and the values are those of each example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax

STACKED = onp.random.default_rng(0).normal(size=(4, 3)).astype(onp.float32)


def turned(at: Any) -> Any:
    x, y, z = at
    return np.stack([y - x, x * z, np.sin(x)])


# Of one carry, or of two: each a function from carry to carry, on vectors of three.
BODIES: dict[str, Callable[..., Any]] = {
    "the body stacks": lambda c: turned(c) * 0.5,
    "elementwise": lambda c: np.sin(c) + 0.1,
    "a product": lambda c: np.tanh(c @ np.arange(9.0).reshape(3, 3)),
    "made anew": lambda c: np.arange(3.0),
    "two, exchanged": lambda c, d: (turned(d) * 0.5, c),
    "two, one made anew": lambda c, d: (turned(c) * 0.5 + d, np.ones(3)),
    "two, one not mapped": lambda c, d: (turned(c) * 0.5, d + 1),
    "two, one mapped by the other": lambda c, d: (c * 0.5, turned(c) + d),
}


def loops(body: Callable[..., Any], count: int) -> dict[str, Callable[..., Any]]:
    wrapped = (lambda c: (body(*c),)) if count == 1 else (lambda c: body(*c))
    return {
        "scan": lambda *c: lax.scan(lambda c, _: (wrapped(c), c), c, None, length=4),
        "fori_loop": lambda *c: lax.fori_loop(0, 4, lambda _, c: wrapped(c), c),
        "while_loop": lambda *c: lax.while_loop(
            lambda c: (c[1] < 5.0) & (np.abs(c[0][0]).sum() < 1e6), lambda c: (wrapped(c[0]), c[1] + 1), (c, 0.0)
        ),
    }  # fmt: skip


def assert_same(ours: Any, theirs: Any) -> None:
    for a, b in zip(anima.tree.leaves(ours), anima.tree.leaves(theirs), strict=True):
        onp.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("kind", ["scan", "fori_loop", "while_loop"])
def test_values_are_those_of_each_example(name: str, kind: str) -> None:
    body = BODIES[name]
    count = body.__code__.co_argcount
    loop = loops(body, count)[kind]
    given = [STACKED, onp.ones(3, onp.float32)][:count]
    axes = (0, None)[:count]
    each = [loop(row, *given[1:]) for row in STACKED]
    expected = anima.tree.map(lambda *leaves: onp.stack(leaves), *each)
    assert_same(anima.vmap(loop, axes)(*given), expected)
    assert_same(anima.vmap(loop, (1, None)[:count])(STACKED.T, *given[1:]), expected)
    nested = anima.vmap(anima.vmap(loop, axes), (0, None)[:count])(
        onp.stack([STACKED, 2 * STACKED]), *given[1:]
    )
    assert_same(anima.tree.map(lambda x: x[0], nested), expected)


def moves(jaxpr: Any) -> int:
    """How many transpositions there are in a program's loops."""
    bodies = [e.params[k] for e in jaxpr.eqns for k in ("jaxpr", "body_jaxpr") if k in e.params]
    return sum(moves(b.jaxpr) + sum(e.primitive.name == "transpose" for e in b.jaxpr.eqns) for b in bodies)


@pytest.mark.parametrize("kind", ["scan", "fori_loop"])
@pytest.mark.parametrize("axis", [0, 1])
def test_nothing_is_moved_in_an_iteration(kind: str, axis: int) -> None:
    loop = loops(BODIES["the body stacks"], 1)[kind]
    jaxpr = anima.make_jaxpr(anima.vmap(loop, axis))(STACKED if axis == 0 else STACKED.T).jaxpr
    assert moves(jaxpr) == 0


def test_derivatives() -> None:
    for name in ("the body stacks", "two, exchanged", "two, one made anew"):
        body = BODIES[name]
        count = body.__code__.co_argcount
        loop = loops(body, count)["scan"]
        given = [STACKED, onp.ones((4, 3), onp.float32)][:count]

        def total(*c: Any, loop: Any = loop) -> Any:
            return sum((leaf**2).sum() for leaf in anima.tree.leaves(loop(*c)))

        slopes = anima.vmap(anima.grad(total))(*given)
        summed = anima.grad(lambda *c: anima.vmap(total)(*c).sum())(*given)
        for row in range(4):
            assert_same((slopes[row], summed[row]), (anima.grad(total)(*[g[row] for g in given]),) * 2)


def test_what_a_loop_returns_is_transposed_by_the_kernel() -> None:
    x = onp.arange(30_000.0, dtype=onp.float32).reshape(100, 300)

    def loop(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda _, c: c + 1, x)

    programs: dict[str, tuple[Callable[[Any], Any], bool]] = {
        "of a loop's result": (lambda x: loop(x).T, True),
        "of an argument": (lambda x: (x.T, loop(x)), True),
        "joined to what is after it": (lambda x: loop(x).T * 2, False),
        "joined to what is before it": (lambda x: (loop(x) * 2).T, False),
        "read by something else": (lambda x: ((y := loop(x).T), y.sum(0)), False),
    }
    for name, (program, by_kernel) in programs.items():
        jitted = anima.jit(program)
        assert ("anima_transpose" in jitted.lower(x).as_text()) is by_kernel, name
        assert_same(jitted(x), program(x))

"""Named axes: collectives inside other programs, what names mean, which programs are kept, what jaxprs say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
from anima import grad, jit, jvp, lax, make_jaxpr, vjp, vmap
from anima.core.axes import NamedAxis, NamedAxisEffect, axis_names, named_axes
from anima.errors import UnboundAxisNameError
from anima.interpreters.dce import dce_jaxpr
from tests.lax.members import CASES, N, assert_close, numbers

# --- inside programs --------------------------------------------------------------------------


def with_own_jvp(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`f` with a rule for its derivative that uses the axis when it is called."""
    own = anima.custom_jvp(f)

    @own.defjvp
    def rule(primals: Any, tangents: Any) -> tuple[Any, Any]:
        assert lax.psum(1, "i") == N == lax.axis_size("i")
        return jvp(f, primals, tangents)

    return own


def with_own_vjp(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    own = anima.custom_vjp(f)

    def back(x: Any, ct: Any) -> tuple[Any]:
        assert lax.psum(1, "i") == N == lax.axis_size("i")
        return vjp(f, x)[1](ct)

    own.defvjp(lambda x: (f(x), x), back)
    return own


def wrapped(where: str, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`f` inside another program, with the same result."""
    return {
        "jit": lambda x: jit(f)(x),
        "jit of jit": lambda x: jit(lambda x: jit(f)(x))(x),
        "cond": lambda x: lax.cond(True, f, f, x),
        "cond on an example": lambda x: lax.cond(x.sum() > 0, f, f, x),
        "switch": lambda x: lax.switch(1, [lambda x: 0 * f(x), f], x),
        "scan": lambda x: lax.scan(lambda c, _: (c, f(x)), 0, None, length=2)[1][1],
        "scan over rows": lambda x: lax.scan(lambda c, row: (c, f(row)), 0, x[None])[1][0],
        "while": lambda x: lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, f(x)), (0, 0 * f(x)))[1],
        "fori": lambda x: lax.fori_loop(0, 2, lambda i, y: f(x), 0 * f(x)),
        "map": lambda x: lax.map(f, x[None])[0],
        "map in batches": lambda x: lax.map(f, anima.numpy.stack([x] * 3), batch_size=2)[2],
        "vmap": lambda x: vmap(f)(x[None])[0],
        "jvp": lambda x: jvp(f, (x,), (x,))[0],
        "vjp": lambda x: vjp(f, x)[0],
        "checkpoint": lambda x: anima.checkpoint(f)(x),
        "custom_jvp": lambda x: with_own_jvp(f)(x),
        "jit of custom_jvp": lambda x: jit(with_own_jvp(f))(x),
        "custom_vjp": lambda x: with_own_vjp(f)(x),
        "scan of custom_vjp": lambda x: lax.scan(lambda c, r: (c, with_own_vjp(f)(r)), 0, x[None])[1][0],
    }[where]


PLACES = [
    "jit", "jit of jit", "cond", "cond on an example", "switch", "scan", "scan over rows", "while", "fori", "map",
    "map in batches", "vmap", "jvp", "vjp", "checkpoint", "custom_jvp", "jit of custom_jvp", "custom_vjp",
    "scan of custom_vjp",
]  # fmt: skip


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("name", ["psum", "all_gather", "ppermute part", "all_to_all", "pmean groups"])
def test_inside_programs(where: str, name: str) -> None:
    case = CASES[name]
    x = numbers((N, *case.shape))
    f = vmap(wrapped(where, lambda x: case.call(x, "i")), axis_name="i")
    assert_close(f(x), case.oracle(x))
    assert_close(jit(f)(x), case.oracle(x))


@pytest.mark.parametrize("where", [place for place in PLACES if place not in ("while", "vjp", "jvp")])
def test_gradients_inside_programs(where: str) -> None:
    x = numbers((N, 3, 4))
    f = lambda x: lax.sin(lax.psum(x * x, "i")) * x
    plain = vmap(grad(lambda x: f(x).sum()), axis_name="i")(x)
    inside = wrapped(where, f)
    np.testing.assert_allclose(
        vmap(grad(lambda x: inside(x).sum()), axis_name="i")(x), plain, rtol=1e-4, atol=1e-4
    )
    both = grad(lambda x: vmap(inside, axis_name="i")(x).sum())(x)
    np.testing.assert_allclose(both, plain, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        jit(vmap(grad(lambda x: inside(x).sum()), axis_name="i"))(x), plain, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("where", PLACES)
def test_of_nothing_mapped_inside_programs(where: str) -> None:
    # No operand of the program is mapped, but it uses the axis.
    x = np.ones((3, 4), np.float32)
    f = wrapped(where, lambda x: x * lax.axis_index("i") + lax.psum(x, "i"))
    got = vmap(lambda y: f(anima.numpy.asarray(x)) + y, axis_name="i")(np.zeros(N, np.float32))
    assert_close(got, x * np.arange(4)[:, None, None] + 4)


def test_loops_that_depend_on_all_members() -> None:
    x = np.arange(4, dtype=np.float32)

    def run(x: Any) -> Any:
        return lax.while_loop(lambda s: lax.pmax(s, "i") < 20, lambda s: s + lax.pmean(s, "i"), x)

    want = x.copy()
    while want.max() < 20:
        want = want + want.mean()
    np.testing.assert_allclose(vmap(run, axis_name="i")(x), want)
    # Examples that have ended keep their value, and still take part.
    got = vmap(lambda x: lax.while_loop(lambda s: s < 20, lambda s: s + lax.pmean(s, "i"), x), axis_name="i")(
        x
    )
    want = x.copy()
    while (going := want < 20).any():
        want = np.where(going, want + want.mean(), want)
    np.testing.assert_allclose(got, want)
    # The predicate of the loop is the only thing that is mapped.
    counts = vmap(
        lambda: lax.while_loop(lambda n: n < lax.axis_index("i"), lambda n: n + 1, 0),
        axis_name="i",
        axis_size=4,
    )()
    np.testing.assert_array_equal(counts, [0, 1, 2, 3])
    chosen = vmap(
        lambda: lax.cond(lax.axis_index("i") > 1, lambda: 1.0, lambda: -1.0), axis_name="i", axis_size=4
    )()
    np.testing.assert_array_equal(chosen, [-1, -1, 1, 1])


def test_reverse_mode_through_loops_that_count() -> None:
    # How often the loop runs does not depend on the axis, so it is known though the body uses it.
    x = np.arange(1, 5, dtype=np.float32)
    step = lambda y: lax.sin(lax.psum(y, "i"))
    looped = lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, step(s[1])), (0, x))[1]
    plain = vmap(grad(lambda x: step(step(step(x)))), axis_name="i")(x)
    np.testing.assert_allclose(vmap(grad(looped), axis_name="i")(x), plain, rtol=1e-4)
    np.testing.assert_allclose(jit(vmap(grad(looped), axis_name="i"))(x), plain, rtol=1e-4)
    ended = lambda x: lax.while_loop(lambda s: lax.pmax(s, "i") < 9, lambda s: s * 2, x)
    with pytest.raises(ValueError, match="reverse-mode"):
        vmap(grad(ended), axis_name="i")(x)


def test_mapped_predicates_sum_over_all_members() -> None:
    x = np.arange(4, dtype=np.float32)
    f = lambda x: lax.cond(x > 1, lambda x: lax.psum(x, "i"), lambda x: x, x)
    np.testing.assert_array_equal(vmap(f, axis_name="i")(x), [0, 1, 6, 6])


def test_carry_that_becomes_mapped() -> None:
    def step(c: Any, row: Any) -> tuple[Any, Any]:
        return lax.psum(c, "i") + row, lax.axis_index("i")

    got, indices = vmap(lambda x: lax.scan(step, x, np.arange(3.0)), axis_name="i")(np.arange(4.0))
    np.testing.assert_array_equal(got, [102] * 4)
    np.testing.assert_array_equal(indices, np.arange(4)[:, None].repeat(3, 1))
    total, _ = vmap(
        lambda: lax.scan(lambda c, _: (c + lax.axis_index("i"), None), 0, None, 3), axis_name="i", axis_size=3
    )()
    np.testing.assert_array_equal(total, [0, 3, 6])


# --- names and caches -------------------------------------------------------------------------


def test_names_are_those_of_the_innermost_map() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    f = lambda row: (vmap(lambda y: lax.psum(y, "i"), axis_name="i")(row), lax.psum(row, "i"))
    inner, outer = vmap(f, axis_name="i")(x)
    np.testing.assert_array_equal(inner, np.broadcast_to(x.sum(1, keepdims=True), (2, 3)))
    np.testing.assert_array_equal(outer, np.broadcast_to(x.sum(0), (2, 3)))
    sums = jit(vmap(jit(vmap(jit(lambda y: lax.psum(y, "i")), axis_name="i")), axis_name="i"))(x)
    np.testing.assert_array_equal(sums, inner)


@pytest.mark.parametrize("name", ["batch", 7j, ("a", "b"), frozenset([1]), int])
def test_any_hashable_name(name: Any) -> None:
    f = vmap(lambda x: lax.psum(x, (name,)), axis_name=name)
    np.testing.assert_array_equal(f(np.arange(3.0)), [3, 3, 3])


def test_programs_are_kept_by_axis() -> None:
    traced: list[Any] = []

    @jit
    def f(x: Any) -> Any:
        traced.append(named_axes())
        return x / lax.psum(1, "i") + lax.axis_index("i")

    for size in (4, 2, 4, 2):
        got = vmap(f, axis_name="i")(np.ones(size))
        np.testing.assert_allclose(got, 1 / size + np.arange(size))
    assert traced == [(NamedAxis("i", 4),), (NamedAxis("i", 2),)]
    # Another name around, or none, is another program.
    with pytest.raises(NameError):
        vmap(f, axis_name="j")(np.ones(4))
    with pytest.raises(NameError):
        f(1.0)
    body = lambda c, x: (c + lax.psum(1, "i"), None)
    for size in (3, 5, 3):
        assert vmap(lambda x: lax.scan(body, x, None, 2)[0], axis_name="i")(np.zeros(size))[0] == 2 * size
    g = jit(lambda x: x * lax.psum(1, "k"))
    for inner, outer in ((2, 3), (3, 2)):
        got = vmap(vmap(g, axis_name="k"), axis_name="l")(np.ones((outer, inner)))
        assert got[0, 0] == inner
        got = vmap(vmap(g, axis_name="l"), axis_name="k")(np.ones((outer, inner)))
        assert got[0, 0] == outer


def test_reducers_are_kept_by_axis() -> None:
    at_least_size = lambda a, b: lax.max(lax.max(a, b), lax.full_like(a, lax.psum(1, "i")))
    for size in (2, 3, 2):
        got = vmap(lambda x: lax.reduce(x, 0.0, at_least_size, (0,)), axis_name="i")(
            np.ones((size, 4), np.float32)
        )
        np.testing.assert_array_equal(got, [size] * size)


def test_one_compilation_serves_eager_calls() -> None:
    # A function that does not use the axis gives the same under any name.
    f = jit(lambda x: x + 1)
    for name in (None, "i", "j"):
        np.testing.assert_array_equal(vmap(f, axis_name=name)(np.arange(2.0)), [1, 2])
    assert f(1.0) == 2


def test_unbound_names() -> None:
    for call in (
        lambda: lax.psum(1.0, "i"),
        lambda: lax.psum(1, "i"),
        lambda: lax.pmean(1.0, "i"),
        lambda: lax.pmax(np.ones(2), "i"),
        lambda: lax.axis_index("i"),
        lambda: lax.axis_size("i"),
        lambda: lax.all_gather(1.0, "i"),
        lambda: lax.all_to_all(np.ones(2), "i", 0, 0),
        lambda: lax.ppermute(1.0, "i", []),
        lambda: lax.pshuffle(1.0, "i", [0]),
        lambda: lax.pbroadcast(1.0, "i", 0),
        lambda: lax.psum_scatter(np.ones(2), "i"),
        lambda: lax.pcast(1.0, "i", to="varying"),
        lambda: jit(lambda x: lax.psum(x, "i"))(1.0),
        lambda: vmap(lambda x: lax.psum(x, ("j", "i")), axis_name="j")(np.ones(2)),
    ):
        with pytest.raises(NameError, match="unbound axis name: i"):
            call()
    with pytest.raises(UnboundAxisNameError, match="in scope here are: k, j"):
        vmap(vmap(lambda x: lax.psum(x, "i"), axis_name="k"), axis_name="j")(np.ones((2, 2)))
    # A program that was traced under a name means nothing outside.
    closed = make_jaxpr(lambda x: lax.psum(x, "i"), axis_env=[("i", 2)])(1.0)
    with pytest.raises(NameError, match="unbound axis name: i"):
        anima.jit(lambda x: closed.eqns[0].primitive.bind(x, **closed.eqns[0].params))(1.0)


# --- effects and jaxprs -----------------------------------------------------------------------


def test_programs_say_which_axes_they_use() -> None:
    def f(x: Any) -> Any:
        return jit(lambda x: lax.psum(x, "i"))(x) + lax.cond(x > 0, lambda: lax.axis_index("j"), lambda: 0)

    closed = make_jaxpr(f, axis_env=[("i", 4), ("j", 2), ("k", 2)])(1.0)
    assert closed.effects == {NamedAxisEffect("i"), NamedAxisEffect("j")}
    assert repr(NamedAxisEffect("i")) == "NamedAxisEffect(name='i')"
    # Inside the map of one of them only the other is left.
    mapped = make_jaxpr(lambda x: vmap(f, axis_name="j")(x), axis_env=[("i", 4)])(np.ones(2))
    assert mapped.effects == {NamedAxisEffect("i")}
    assert make_jaxpr(vmap(vmap(f, axis_name="i"), axis_name="j"))(np.ones((2, 4))).effects == frozenset()


def test_dead_collectives_go() -> None:
    def f(x: Any) -> Any:
        lax.psum(x, "i")
        lax.scan(lambda c, _: (lax.pmax(c, "i"), None), x, None, 3)
        return x

    closed = make_jaxpr(f, axis_env=[("i", 4)])(1.0)
    assert len(closed.eqns) == 2 and closed.effects
    alive = dce_jaxpr(closed.jaxpr)[0]
    assert alive.eqns == [] and alive.effects == frozenset()


def test_jaxprs_with_an_axis_environment() -> None:
    text = str(make_jaxpr(lambda x: lax.psum(x, "i"), axis_env=[("i", 4)])(np.ones(3, np.float32)))
    psum = "psum[axes=('i',) axis_index_groups=None invariant=False]"
    want = f"{{ lambda ; a:f32[3]. let b:f32[3] = {psum} a in (b,) }}"
    assert "".join(text.split()) == "".join(want.split())
    shapes = make_jaxpr(
        lambda x: (lax.all_gather(x, "i"), lax.psum(1, ("i", "j"))),
        axis_env=[("i", 4), ("j", 3)],
        return_shape=True,
    )(np.ones(3, np.float32))[1]
    assert shapes[0].shape == (4, 3)
    for bad in (["i"], [("i", -1)], [("i", 2.5)], 3):
        with pytest.raises((TypeError, ValueError), match="axis_env"):
            make_jaxpr(lambda x: x, axis_env=bad)


def test_names_in_scope() -> None:
    seen: list[Any] = []
    record = lambda x: (seen.append((axis_names(), named_axes())), x)[1]
    record(1.0)
    vmap(record)(np.ones(2))
    vmap(vmap(jit(record), axis_name="j"), axis_name="i")(np.ones((2, 3)))
    vmap(vmap(record, axis_name="i"), axis_name="i")(np.ones((2, 3)))
    assert seen == [
        ([], ()),
        ([], ()),
        (["j", "i"], (NamedAxis("j", 3), NamedAxis("i", 2))),
        (["i"], (NamedAxis("i", 3), NamedAxis("i", 2))),
    ]

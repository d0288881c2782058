"""Effects under transformations: what happens, how often and in which order.

Each program writes down what it does in `seen`; the expected record is what the same Python code would write, run as it
stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, jvp, lax, vmap
from anima.core.effects import (
    DebugEffect,
    IOEffect,
    OrderedDebugEffect,
    OrderedIOEffect,
    has_ordered,
    reaches_host,
)
from anima.experimental import io_callback

seen: list[Any] = []


@pytest.fixture(autouse=True)
def fresh() -> Any:
    seen.clear()
    yield
    anima.effects_barrier()
    seen.clear()


def note(what: Any, x: Any = 0.0, ordered: bool = True) -> None:
    def write(v: Any) -> None:
        value = onp.asarray(v).tolist()
        seen.append((what, value) if value else what)

    anima.debug.callback(write, lax.stop_gradient(x) if isinstance(x, float) else x, ordered=ordered)


def record(f: Callable[..., Any], *args: Any) -> list[Any]:
    """What a function's effects have written down."""
    seen.clear()
    anima.block_until_ready(f(*args))
    anima.effects_barrier()
    return list(seen)


def program(x: Any) -> Any:
    """Ordered effects in a function, inner functions, branches and loops, of both kinds."""
    note("start")
    io_callback(lambda v: seen.append("io"), None, lax.stop_gradient(x), ordered=True)
    inner = jit(lambda y: (note("inner"), y + 1)[1])
    x = inner(inner(x))
    x = lax.cond(x > 0, lambda: (note("positive"), x)[1], lambda: (note("negative"), x)[1])

    def step(c: Any, i: Any) -> Any:
        note("step", i + 1.0)
        return lax.cond(i > 1, lambda: (note("late"), c)[1], lambda: c), i

    x, _ = lax.scan(step, x, np.arange(3.0))
    x = lax.fori_loop(0, 2, lambda i, c: (note("round", i + 1), c + 1)[1], x)
    n = lax.while_loop(
        lambda n: (note("test", n + 1), n < 2)[1], lambda n: (note("turn", n + 1), n + 1)[1], 0
    )
    note("end")
    return x + n


EXPECTED = [
    "start", "io", "inner", "inner", "positive", ("step", 1.0), ("step", 2.0), ("step", 3.0), "late", ("round", 1),
    ("round", 2), ("test", 1), ("turn", 1), ("test", 2), ("turn", 2), ("test", 3), "end",
]  # fmt: skip


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        jit,
        lambda f: jit(jit(f)),
        lambda f: jit(lambda x: lax.cond(x < 9, f, lambda y: y, x)),
        lambda f: lambda x: jvp(f, (x,), (x,)),
        lambda f: jit(lambda x: jvp(f, (x,), (x,))),
        lambda f: jit(f).lower(2.0).compile(),
    ],
    ids=["eager", "jit", "jit of jit", "in a branch", "jvp", "jit of jvp", "compiled"],
)
def test_ordered_effects_keep_the_order_of_the_program(transform: Any) -> None:
    assert record(transform(program), 2.0) == EXPECTED


def test_order_holds_across_calls_and_eager_ones() -> None:
    big = np.ones((500, 500))

    @jit
    def f(i: Any, b: Any) -> Any:
        note("first", i + 0 * (b @ b)[0, 0])
        note("second", i)
        return b @ b

    def calls() -> Any:
        out = None
        for i in range(1, 4):
            out = f(float(i), big)
            note("between", float(i))
            lax.cond(True, lambda: note("branch", float(i)), lambda: None)
        return out

    expected = [(name, float(i)) for i in range(1, 4) for name in ("first", "second", "between", "branch")]
    assert record(calls) == expected


def test_the_text_threads_tokens_only_where_it_must() -> None:
    quiet = jit(lambda x: lax.cond(x > 0, lambda: x, lambda: -x)).lower(1.0)
    assert "ui8" not in quiet.as_text()
    loud = jit(lambda x: anima.debug.print("{}", x)).lower(1.0).as_text()
    assert "has_side_effect = true" in loud and loud.count("(tensor<ui32>, tensor<f32>) -> ()") == 1
    ordered = jit(lambda x: anima.debug.print("{}", x, ordered=True)).lower(1.0).as_text()
    assert "(tensor<ui32>, tensor<ui8>, tensor<f32>) -> tensor<ui8>" in ordered


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("build", ["plain", "scan", "cond", "jit", "while"])
def test_effects_are_not_dead_code(build: str, ordered: bool) -> None:
    def f(x: Any) -> Any:
        say = lambda v: (note("said", v, ordered), v)[1]
        if build == "plain":
            say(x)
        elif build == "scan":
            lax.scan(lambda c, y: (say(c + y), c), 0.0, np.arange(2.0) + 1)
        elif build == "cond":
            lax.cond(x > 0, lambda: say(x), lambda: x)
        elif build == "jit":
            jit(say)(x)
        else:
            lax.while_loop(lambda n: n < 2, lambda n: say(n + 1), 0)
        return x

    expected = {"scan": [1.0, 3.0], "while": [1, 2]}.get(build, [5.0])
    assert record(jit(f), 5.0) == [("said", v) for v in expected]


def test_what_only_effects_need_is_kept_and_nothing_else() -> None:
    def step(carry: Any, x: Any) -> Any:
        a, b, c = carry
        note("a", a, ordered=False)
        return (a + x, b * 2, c + 1), (a, b)

    def f(x: Any) -> Any:
        return lax.scan(step, (1.0, 1.0, 0.0), x)[0][1]

    assert record(jit(f), np.ones(3)) == [("a", 1.0), ("a", 2.0), ("a", 3.0)]


def test_effects_types() -> None:
    io = lambda ordered: lambda x: io_callback(lambda v: v, x, x, ordered=ordered)
    debug = lambda ordered: lambda x: anima.debug.print("{}", x, ordered=ordered)
    found = [anima.make_jaxpr(f)(1.0).effects for f in (io(False), io(True), debug(False), debug(True))]
    expected = [IOEffect(), OrderedIOEffect(), DebugEffect(), OrderedDebugEffect()]
    assert found == [{e} for e in expected]
    assert [has_ordered(e) for e in found] == [False, True, False, True]
    assert all(reaches_host(e) for e in found) and not reaches_host(frozenset())
    assert [repr(e) for e in expected] == ["IO", "OrderedIO", "Debug", "OrderedDebug"]
    for wrap in (jit, lambda f: lambda x: lax.cond(x > 0, f, lambda y: None if f(y) is None else y, x)):
        assert anima.make_jaxpr(wrap(debug(True)))(1.0).effects == {OrderedDebugEffect()}
    assert not anima.make_jaxpr(lambda x: anima.pure_callback(lambda v: v, x, x))(1.0).effects


# --- vmap -------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [lambda f: f, jit], ids=["eager", "jit"])
@pytest.mark.parametrize("ordered", [False, True])
def test_vmap_looks_at_each_example(run: Any, ordered: bool) -> None:
    f = vmap(lambda x, y: note("x", x + y, ordered), in_axes=(0, None))
    assert record(run(f), np.arange(1.0, 4.0), 1.0) == [("x", 2.0), ("x", 3.0), ("x", 4.0)]
    nested = vmap(lambda x: vmap(lambda y: note("xy", 10 * x + y, ordered))(np.arange(1.0, 3.0)))
    assert record(run(nested), np.arange(1.0, 3.0)) == [
        ("xy", v) for v in (11.0, 21.0, 12.0, 22.0)
    ]  # the inner map steps last
    unmapped = vmap(lambda x: (note("once", ordered=ordered), x)[1])
    assert record(run(unmapped), np.arange(3.0)) == ["once"]


def test_vmap_in_loops_and_branches() -> None:
    f = vmap(lambda x: lax.scan(lambda c, y: (note("c", c, False), (c + y, c))[1], x, np.ones(2))[0])
    assert record(jit(f), np.asarray([1.0, 5.0])) == [("c", v) for v in (1.0, 5.0, 2.0, 6.0)]
    same = vmap(lambda x: lax.cond(True, lambda: (note("x", x, False), x)[1], lambda: x))
    assert record(jit(same), np.asarray([1.0, 2.0])) == [("x", 1.0), ("x", 2.0)]


def test_mapped_predicates_look_at_all_examples_and_refuse_io() -> None:
    def f(x: Any) -> Any:
        yes, no = (lambda: (note(name, x, False), x)[1] for name in ("yes", "no"))
        return lax.cond(x > 1, lambda: (note("yes", x, False), x)[1], lambda: (note("no", x, False), x)[1])

    found = record(vmap(f), np.asarray([1.0, 2.0]))
    assert sorted(found) == [("no", 1.0), ("no", 2.0), ("yes", 1.0), ("yes", 2.0)]
    loop = vmap(lambda n: lax.while_loop(lambda i: i < n, lambda i: (note("i", n, False), i + 1)[1], 0))
    assert record(loop, np.asarray([1, 2])) == [("i", 1), ("i", 2), ("i", 1), ("i", 2)]

    def branch(x: Any) -> Any:
        return lax.cond(x > 1, lambda: (io_callback(lambda v: None, None, x), x)[1], lambda: x)

    with pytest.raises(ValueError, match="the branches have effects: IO"):
        vmap(branch)(np.arange(2.0))
    with pytest.raises(ValueError, match="but it has effects: IO"):
        vmap(
            lambda n: lax.while_loop(
                lambda i: i < n, lambda i: (io_callback(lambda v: None, None, n), i + 1)[1], 0
            )
        )(np.arange(2))


# --- derivatives ------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(
    "derive",
    [
        grad,
        lambda f: grad(jit(f)),
        lambda f: jit(grad(f)),
        lambda f: lambda x: anima.vjp(f, x)[1](1.0),
        lambda f: lambda x: jvp(f, (x,), (1.0,)),
        lambda f: lambda x: anima.linearize(f, x)[1](1.0),
        lambda f: grad(grad(f)),
        lambda f: jit(grad(jit(grad(f)))),
    ],
)
def test_derivatives_look_at_values_once(derive: Any, ordered: bool) -> None:
    def f(x: Any) -> Any:
        note("x", x, ordered)
        y = np.sin(x)
        note("y", y * 0 + 2, ordered)
        return y * x

    assert sorted(record(derive(f), 3.0)) == [("x", 3.0), ("y", 2.0)]


def test_derivatives_of_loops_with_effects() -> None:
    def f(x: Any, w: Any) -> Any:
        def step(c: Any, y: Any) -> Any:
            note("y", y)
            io_callback(lambda v: seen.append("io"), None, y, ordered=True)
            return c * np.sin(np.exp(w)) + y, c  # a residual that is the same in all iterations

        return lax.scan(step, x, np.arange(1.0, 3.0))[0]

    quiet = lambda x, w: (x * np.sin(np.exp(w)) + 1) * np.sin(np.exp(w)) + 2
    expected = [("y", 1.0), "io", ("y", 2.0), "io"]
    for run in (lambda g: g, jit):
        assert record(run(grad(f, (0, 1))), 2.0, 0.5) == expected
        found = run(grad(f, (0, 1)))(2.0, 0.5)
        onp.testing.assert_allclose(found, grad(quiet, (0, 1))(2.0, 0.5), rtol=1e-5)
    assert record(grad(lambda x: lax.fori_loop(0, 2, lambda i, c: (note("i", c), c * x)[1], x)), 2.0) == [
        ("i", 2.0),
        ("i", 4.0),
    ]
    branch = lambda x: lax.cond(x > 0, lambda: (note("x", x), x**2)[1], lambda: x)
    assert record(jit(grad(branch)), 3.0) == [("x", 3.0)]


def test_tangents_can_be_looked_at_forwards_only() -> None:
    f = lambda x: jvp(lambda y: y**2, (x,), (x,))[1]
    assert record(jit(lambda x: note("t", f(x))), 3.0) == [("t", 18.0)]


def test_checkpoint_admits_looks_and_refuses_deeds() -> None:
    def f(x: Any) -> Any:
        note("x", x)
        return np.sin(np.sin(x))

    assert record(grad(anima.checkpoint(f)), 2.0) == [("x", 2.0)] * 2

    def deed(x: Any) -> Any:
        io_callback(lambda v: None, None, lax.stop_gradient(x))
        return np.sin(np.sin(x))

    with pytest.raises(ValueError, match="effects that must happen exactly once: IO"):
        grad(anima.checkpoint(deed))(2.0)


# --- loops without jit ------------------------------------------------------------------------


def test_disable_jit_runs_effects_as_python_does() -> None:
    from anima.config import disable_jit

    with disable_jit():
        assert record(jit(program), 2.0)[:5] == EXPECTED[:5]


def test_errors_inside_control_flow_reach_the_caller() -> None:
    def fail(v: Any) -> None:
        raise ValueError("in the loop")

    def f(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, c: (anima.debug.callback(fail, i), c + 1)[1], x)

    for run in (f, jit(f), jit(lambda x: jit(f)(x))):
        with pytest.raises(errors.JaxRuntimeError, match="ValueError: in the loop"):
            anima.block_until_ready(run(1.0))
            anima.effects_barrier()

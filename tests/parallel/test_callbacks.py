"""Python functions called from inside `shard_map`: each device calls them, with its own blocks."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

import anima
import anima.debug
from anima import jit, lax, vmap
from anima.experimental import io_callback
from tests.parallel.several import Checks
from tests.parallel.support import P, X, equal, over, raises

checks = Checks(__name__)


def like(x: Any) -> Any:
    return anima.ShapeDtypeStruct(x.shape, x.dtype)


def me() -> Any:
    return lax.axis_index(("x", "y"))


@checks
def looks() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        anima.debug.callback(lambda i, v: seen.append((int(i), v.shape, float(v[0, 0]))), me(), x)
        return x * 2

    for run in (over(f, P("x"), P("x")), jit(over(f, P("x"), P("x")))):
        seen.clear()
        equal(run(X), 2 * X)
        anima.effects_barrier()
        assert sorted(seen) == [(i, (2, 6), float(X[i // 2 * 2, 0])) for i in range(4)]


@checks
def prints() -> None:
    def f(x: Any) -> Any:
        anima.debug.print("device {} has {} rows", me(), x.shape[0])
        return x

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        over(f, P("x"), P("x"))(X)
        anima.effects_barrier()
    assert sorted(text.getvalue().splitlines()) == [f"device {i} has 2 rows" for i in range(4)]


@checks
def results_of_pure_functions() -> None:
    def f(x: Any) -> Any:
        assert anima.typeof(x).varying == {"x"}
        out = anima.pure_callback(lambda v: np.asarray(v) * 3 + v.shape[0], like(x), x)
        assert anima.typeof(out).varying == {"x"}
        return out

    for run in (over(f, P("x"), P("x")), jit(over(f, P("x"), P("x")))):
        equal(run(X), 3 * X + 2)
    triple = lambda v: np.asarray(v) * 3
    rows = over(
        lambda x: vmap(lambda r: anima.pure_callback(triple, like(r), r, vmap_method="sequential"))(x),
        P("x"),
        P("x"),
    )
    equal(rows(X), 3 * X)
    looped = over(
        lambda x: lax.scan(lambda c, r: (c, anima.pure_callback(triple, like(r), r)), 0, x)[1], P("x"), P("x")
    )
    equal(looped(X), 3 * X)
    some = over(lambda x: anima.pure_callback(triple, like(x), x), P("x"), P("x"), axis_names={"x"})
    equal(some(X), 3 * X)


@checks
def deeds() -> None:
    done: list[Any] = []

    def f(x: Any) -> Any:
        return io_callback(
            lambda i, v: (done.append(int(i)), np.asarray(v) * 3)[1], like(x), lax.axis_index("x"), x
        )

    equal(over(f, P("x"), P("x"))(X), 3 * X)
    anima.effects_barrier()
    assert sorted(done) == [0, 0, 1, 1]


@checks
def deeds_in_order() -> None:
    """Each device's own are in the program's order; there is none among devices."""
    done: list[Any] = []

    def f(x: Any) -> Any:
        for step in range(3):
            io_callback(lambda i, step=step: done.append((int(i), step)), None, me(), ordered=True)
        x, _ = lax.scan(lambda c, k: (c, io_callback(lambda i, k: done.append((int(i), 3 + int(k))), None, me(), k, ordered=True)), x, np.arange(2))  # fmt: skip
        anima.debug.callback(lambda i: done.append((int(i), 5)), me(), ordered=True)
        return x * 3

    mapped = over(f, P("x"), P("x"))
    after = lambda x: (mapped(x), io_callback(lambda: done.append((-1, 0)), None, ordered=True))[0]
    for run in (mapped, jit(mapped), jit(after)):
        done.clear()
        equal(run(X), 3 * X)
        anima.effects_barrier()
        for device in range(4):
            assert [step for i, step in done if i == device] == [0, 1, 2, 3, 4, 5]
    assert done[-1] == (-1, 0)


@checks
def errors() -> None:
    def fail(v: Any) -> Any:
        raise RuntimeError("so it is")

    with raises(anima.errors.JaxRuntimeError, "so it is"):
        over(lambda x: anima.pure_callback(fail, like(x), x), P("x"), P("x"))(X).block_until_ready()


test_on_four_devices = checks.test()

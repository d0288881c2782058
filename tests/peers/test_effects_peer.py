"""Effects compared with JAX: what is called, with which values and in which order, and what is refused with which error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.experimental
import numpy as np
import pytest

import anima
import anima.experimental
import anima.numpy

pytestmark = pytest.mark.peers


class Library:
    """One of the two libraries, and the record of what its callbacks have seen."""

    def __init__(self, package: Any, numpy: Any) -> None:
        self.package, self.np, self.lax = package, numpy, package.lax
        self.seen: list[Any] = []

    def look(self, what: str, *values: Any, ordered: bool = False) -> None:
        self.package.debug.callback(lambda *v: self.note(what, *v), *values, ordered=ordered)

    def note(self, what: str, *values: Any) -> None:
        self.seen.append((what, *[np.asarray(v).tolist() for v in values]))

    def deed(self, what: str, shape: Any, *values: Any, ordered: bool = False) -> Any:
        def fun(*given: Any) -> Any:
            self.note(what, *given)
            return None if shape is None else np.asarray(given[0])

        return self.package.experimental.io_callback(fun, shape, *values, ordered=ordered)

    def record(self, f: Callable[..., Any], *args: Any) -> list[Any]:
        self.seen.clear()
        self.package.block_until_ready(f(*args))
        self.package.effects_barrier()
        return list(self.seen)


OURS, THEIRS = Library(anima, anima.numpy), Library(jax, jax.numpy)
XS = np.asarray([1.0, 2.0, 3.0], np.float32)


def scanning(lib: Library) -> Any:
    def step(c: Any, x: Any) -> Any:
        lib.look("step", c, x, ordered=True)
        return c + x, c * x

    return lambda xs: lib.lax.scan(step, 0.0, xs)[0]


def choosing(lib: Library) -> Any:
    def f(xs: Any) -> Any:
        lib.look("before", ordered=True)
        x = lib.lax.cond(
            xs[0] > 0,
            lambda x: (lib.look("yes", x, ordered=True), x * 2)[1],
            lambda x: (lib.look("no", x, ordered=True), x)[1],
            xs,
        )
        lib.look("after", ordered=True)
        return x.sum()

    return f


def looping(lib: Library) -> Any:
    def f(xs: Any) -> Any:
        n = lib.lax.while_loop(
            lambda i: (lib.look("test", i, ordered=True), i < 3)[1],
            lambda i: (lib.look("turn", i, ordered=True), i + 1)[1],
            0,
        )
        return (
            lib.lax.fori_loop(0, 2, lambda i, c: (lib.look("round", i, ordered=True), c * xs[i])[1], 1.0) + n
        )

    return f


def nesting(lib: Library) -> Any:
    inner = lib.package.jit(lambda x: (lib.look("inner", x, ordered=True), x + 1)[1])

    def f(xs: Any) -> Any:
        lib.deed("deed", None, lib.lax.stop_gradient(xs), ordered=True)
        y = inner(inner(xs))
        lib.look("end", y, ordered=True)
        return y.sum()

    return f


PROGRAMS = {f.__name__: f for f in (scanning, choosing, looping, nesting)}
TRANSFORMS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "eager": lambda p: lambda f: f,
    "jit": lambda p: p.jit,
    "grad": lambda p: p.grad,
    "jit of grad": lambda p: lambda f: p.jit(p.grad(f)),
    "grad of jit": lambda p: lambda f: p.grad(p.jit(f)),
    "jvp": lambda p: lambda f: lambda x: p.jvp(f, (x,), (x,)),
    "checkpoint": lambda p: lambda f: p.checkpoint(f),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_same_things_happen_in_the_same_order(program: str, transform: str) -> None:
    records = []
    for lib in (OURS, THEIRS):
        f = TRANSFORMS[transform](lib.package)(PROGRAMS[program](lib))
        records.append(lib.record(f, lib.np.asarray(XS)))
    assert records[0] == records[1]


def mapped(lib: Library) -> dict[str, Any]:
    vmap, look = lib.package.vmap, lib.look
    return {
        "plain": vmap(lambda x: look("x", x)),
        "ordered": vmap(lambda x: look("x", x, ordered=True)),
        "unmapped": vmap(lambda x: (look("once"), x)[1]),
        "nested": vmap(lambda x: vmap(lambda y: look("xy", x, y, ordered=True))(lib.np.arange(2.0))),
        "loop": vmap(lambda x: lib.lax.fori_loop(0, 2, lambda i, c: (look("c", i, c), c + x)[1], x)),
        "branch": vmap(lambda x: lib.lax.cond(x > 2, lambda: (look("big", x), x)[1], lambda: x)),
        "mapped loop": vmap(lambda x: lib.lax.while_loop(lambda c: c < 3, lambda c: (look("c", c), c + x)[1], x)),
        "deed": vmap(lambda x: lib.deed("deed", _scalar(lib), x)),
    }  # fmt: skip


def _scalar(lib: Library) -> Any:
    return lib.package.ShapeDtypeStruct((), np.float32)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", list(mapped(OURS)))
def test_vmap(name: str, compiled: bool) -> None:
    records = []
    for lib in (OURS, THEIRS):
        f = mapped(lib)[name]
        records.append(lib.record(lib.package.jit(f) if compiled else f, lib.np.asarray(XS)))
    if name in ("ordered", "nested"):
        assert records[0] == records[1]
    else:
        assert sorted(records[0]) == sorted(records[1])


def refused(lib: Library) -> dict[str, Any]:
    p, x = lib.package, lib.np.asarray(XS)
    pure = lambda v: p.pure_callback(lambda u: u, v, v)
    return {
        "grad of io": lambda: p.grad(lambda v: lib.deed("d", v, v).sum())(x),
        "jvp of io": lambda: p.jvp(lambda v: lib.deed("d", v, v).sum(), (x,), (x,)),
        "grad of pure": lambda: p.grad(lambda v: pure(v).sum())(x),
        "vmap of pure": lambda: p.vmap(pure)(x),
        "vmap of ordered io": lambda: p.vmap(lambda v: lib.deed("d", v, v, ordered=True))(x),
        "bad method": lambda: p.pure_callback(lambda u: u, x, x, vmap_method="no"),
        "64 bits": lambda: p.pure_callback(lambda u: u, p.ShapeDtypeStruct((3,), np.float64), x),
        "unused": lambda: p.debug.print("hello", 1),
        "missing": lambda: p.debug.print("{} {}", 1),
        "no keyword": lambda: p.debug.print("{x}", 1),
        "no function": lambda: p.debug.callback(3),
        "eager look": lambda: p.debug.callback(lambda: 1 // 0),
    }


@pytest.mark.parametrize("name", list(refused(OURS)))
def test_the_same_errors(name: str) -> None:
    kinds = []
    for lib in (OURS, THEIRS):
        with pytest.raises(Exception) as info:  # compared below
            refused(lib)[name]()
        kinds.append([c.__name__ for c in type(info.value).__mro__ if c.__module__ == "builtins"])
    assert kinds[0] == kinds[1]


def test_effects_have_the_same_names() -> None:
    for lib in (OURS, THEIRS):
        for ordered in (False, True):
            look = lib.package.make_jaxpr(lambda x, o=ordered: lib.look("x", x, ordered=o))(1.0)  # type: ignore[misc]
            [eqn] = look.eqns
            assert eqn.primitive.name == "debug_callback"
            assert str(eqn.params["effect"]) == ("OrderedDebug" if ordered else "Debug")
            [eqn] = lib.package.make_jaxpr(lambda x, o=ordered: lib.deed("x", x, x, ordered=o))(1.0).eqns  # type: ignore[misc]
            assert eqn.primitive.name == "io_callback" and set(eqn.params) == {
                "callback", "ordered", "result_avals", "sharding",
            }  # fmt: skip


def test_arguments_are_arrays_of_the_library() -> None:
    for lib in (OURS, THEIRS):
        kinds: list[bool] = []
        f = lambda v: kinds.append(isinstance(v, lib.package.Array))
        lib.package.jit(lambda x: lib.package.debug.callback(f, x))(1.0)
        lib.package.debug.callback(f, 1.0)
        lib.package.effects_barrier()
        assert kinds == [True, True]

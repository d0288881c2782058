"""References compared with JAX: the same programs, the same refusals, the same signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima
import anima.numpy
from tests.state.programs import PROGRAMS, Library
from tests.state.test_programs import same

pytestmark = pytest.mark.peers

OURS, THEIRS = Library(anima, anima.numpy), Library(jax, jax.numpy)
NAMES = ("addupdate", "empty_ref", "free_ref", "freeze", "get", "new_ref", "set", "swap")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_programs(name: str, compiled: bool) -> None:
    results = [
        PROGRAMS[name](lib, package.jit if compiled else lambda f: f)
        for lib, package in ((OURS, anima), (THEIRS, jax))
    ]
    same(*results)


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name: str) -> None:
    ours, theirs = [inspect.signature(getattr(package.ref, name)) for package in (anima, jax)]
    assert list(ours.parameters) == list(theirs.parameters)
    for parameter, other in zip(ours.parameters.values(), theirs.parameters.values()):
        assert parameter.kind == other.kind
        assert (parameter.default is parameter.empty) == (other.default is other.empty)


def test_names() -> None:
    assert {n for n in dir(jax.ref) if not n.startswith("_")} <= set(dir(anima.ref))
    for name in ("Ref", "new_ref", "empty_ref", "free_ref", "freeze"):
        assert getattr(anima, name) is getattr(anima.ref, name)
        assert hasattr(jax, name)
    assert anima.Ref is anima.ref.Ref
    public = {n for n in dir(jax.Ref) if not n.startswith("_")}
    assert public <= set(dir(anima.Ref))


def refusals(lib: Any) -> dict[str, Callable[[], Any]]:
    """Calls that both libraries refuse."""
    jnp, lax = lib.np, lib.lax
    ref = lib.new_ref(jnp.arange(3.0))

    def leaked() -> Any:
        kept: list[Any] = []
        lib.jit(lambda: kept.append(lib.new_ref(jnp.zeros(2))))()
        return kept[0][...]

    return {
        "twice": lambda: lib.jit(lambda a, b: a[0] + b[0])(ref, ref),
        "twice in an inner call": lambda: lib.jit(lambda a: lib.jit(lambda b, c: b[0])(a, a))(ref),
        "twice in a branch": lambda: lax.cond(True, lambda a, b: a[0], lambda a, b: b[0], ref, ref),
        "argument and closure": lambda: lib.jit(lambda a: a[0] + ref[0])(ref),
        "returned": lambda: lib.jit(lambda: lib.new_ref(jnp.zeros(2)))(),
        "argument returned": lambda: lib.jit(lambda r: r)(ref),
        "carried": lambda: lax.scan(lambda c, _: (c, None), ref, None, length=3),
        "carried by a while loop": lambda: lax.while_loop(lambda c: c[0] < 3, lambda c: c, ref),
        "stacked": lambda: lax.scan(lambda c, _: (c, ref), 0.0, None, length=3),
        "returned from a branch": lambda: lax.cond(True, lambda r: r, lambda r: r, ref),
        "leaked": leaked,
        "dtype": lambda: lib.ref.set(ref, ..., jnp.zeros(3, np.int32)),
        "dtype added": lambda: lib.ref.addupdate(ref, ..., jnp.zeros(3, np.int32)),
        "float for integer": lambda: lib.ref.set(lib.new_ref(1), ..., 2.5),
        "shape": lambda: lib.ref.set(ref, ..., jnp.zeros(2)),
        "out of bounds": lambda: ref[10],
        "written out of bounds": lambda: lib.ref.set(ref, 10, 1.0),
        "array read": lambda: lib.ref.get(jnp.zeros(3), 0),
        "pytree": lambda: lib.new_ref({"a": 1.0}),
        "arithmetic": lambda: ref + 1,
        "operation": lambda: jnp.sin(ref),
        "truth value": lambda: bool(lib.new_ref(True)),
        "array": lambda: jnp.asarray(ref),
        "iterated": lambda: list(ref),
    }


@pytest.mark.parametrize("name", refusals(OURS))
def test_refusals(name: str) -> None:
    with pytest.raises(Exception) as theirs:
        refusals(THEIRS)[name]()
    with pytest.raises(Exception) as ours:
        refusals(OURS)[name]()
    kinds = [kind for kind in (TypeError, ValueError) if isinstance(theirs.value, kind)]
    assert all(isinstance(ours.value, kind) for kind in kinds), (ours.value, theirs.value)

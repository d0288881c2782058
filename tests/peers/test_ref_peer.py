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


def mapped(package: Any) -> list[Any]:
    """References made in a mapped function, mapped, read, and in nested maps."""
    jnp, lax = package.numpy, package.lax
    xs = jnp.arange(3.0)

    def inside(x: Any) -> Any:
        ref = package.new_ref(jnp.zeros(2))
        ref[0] = x
        lax.fori_loop(0, 3, lambda i, c: (ref.__setitem__(1, ref[1] + c), c * 2)[1], x)
        return package.freeze(ref)

    ref, table, read = package.new_ref(xs), package.new_ref(jnp.zeros((3, 3))), package.new_ref(xs * 5)
    package.vmap(lambda r, x: r.__setitem__(..., r[...] * x))(ref, xs + 1)
    each = lambda x, y, r: r.__setitem__(..., x * 10 + y)
    package.vmap(package.vmap(each, (0, None, 0)), (None, 0, 0))(xs, xs, table)
    looked = package.vmap(lambda r, i: r[i], (None, 0))(read, package.numpy.arange(3))
    return [package.vmap(inside)(xs), package.jit(package.vmap(inside))(xs), ref[...], table[...], looked]


def differentiated(package: Any) -> list[Any]:
    """References made in a differentiated function, and written to from one."""
    jnp, lax = package.numpy, package.lax
    kept = package.new_ref(jnp.zeros(()))

    def f(x: Any) -> Any:
        ref = package.new_ref(jnp.zeros(3))

        def body(c: Any, i: Any) -> Any:
            ref[i] = jnp.sin(c)
            return ref[i] * c, None

        c, _ = lax.scan(body, x, jnp.arange(3))
        kept[...] = lax.stop_gradient(c)
        return jnp.sum(ref[...]) + c

    results = [package.grad(g)(1.2) for g in (f, package.jit(f))] + [
        package.jit(package.grad(f))(1.2),
        kept[...],
    ]
    return [*results, *package.jvp(f, (1.2,), (2.0,))]


def tangents(package: Any) -> list[Any]:
    """References with tangents, and those that cotangents are added to."""
    jnp = package.numpy

    def square(ref: Any) -> Any:
        ref[...] = ref[...] ** 2
        return ref[...] * 3

    ref, moving = package.new_ref(jnp.arange(3.0)), package.new_ref(jnp.ones(3))
    results = [*package.jvp(square, (ref,), (moving,)), ref[...], moving[...]]
    total = package.new_ref(jnp.ones(3))
    for x in (1.0, 2.0):
        _, pullback = package.vjp(lambda x, y: jnp.sin(x) * y, jnp.full(3, x), jnp.arange(3.0))
        found = pullback.with_refs(total, package.ad.GradValue())(jnp.ones(3))
        results += [found[1], repr(found[0]), total[...]]
        found = pullback.with_refs(package.ad.DontWant(), package.ad.GradValue())(jnp.ones(3))
        results += [found[1], repr(found[0])]
    return results


def stashed(package: Any) -> list[Any]:
    """Backward rules that write to references, in every order of transformations."""
    jnp, lax = package.numpy, package.lax

    @package.custom_vjp
    def stash(ref: Any, i: Any, x: Any) -> Any:
        return x

    def backward(residuals: Any, ct: Any) -> Any:
        ref, i = residuals
        ref[i] = ct
        return None, None, ct

    stash.defvjp(lambda ref, i, x: (x, (ref, i)), backward)

    def one(ref: Any, x: Any) -> Any:
        return jnp.sin(stash(ref, 0, x))

    def several(ref: Any, x: Any) -> Any:
        return lax.scan(lambda c, i: (jnp.sin(stash(ref, i, c)), None), x, jnp.arange(3))[0]

    results = []
    for f in (one, several):
        for around in (
            lambda f: package.grad(f, 1), lambda f: package.jit(package.grad(f, 1)),
            lambda f: package.grad(package.jit(f), 1), lambda f: lambda ref, x: package.grad(lambda x: f(ref, x))(x),
            lambda f: f, package.jit,
        ):  # fmt: skip
            ref = package.new_ref(jnp.zeros(3))
            results += [around(f)(ref, 1.2), ref[...]]
    return results


@pytest.mark.parametrize("program", [mapped, differentiated, tangents, stashed], ids=lambda f: f.__name__)
def test_transformed_programs(program: Callable[[Any], list[Any]]) -> None:
    ours, theirs = program(anima), program(jax)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        if isinstance(a, str):
            assert a == b
        else:
            np.testing.assert_allclose(a, b, rtol=2e-6)


def test_names_for_cotangents() -> None:
    assert {n for n in dir(jax.ad) if not n.startswith("_")} <= set(dir(anima.ad))
    for name in ("GradRef", "DidntWant"):
        for package in (anima, jax):
            entry = getattr(package.ad, name)()
            assert entry == getattr(package.ad, name)() and package.tree.leaves(entry) == []


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
        "mapped closure": lambda: lib.vmap(lambda x: ref.__setitem__(0, x))(jnp.arange(3.0)),
        "mapped closure, unmapped value": lambda: lib.vmap(lambda x: ref.__setitem__(0, 1.0))(
            jnp.arange(3.0)
        ),
        "mapped closure of jit": lambda: lib.vmap(lib.jit(lambda x: ref.__setitem__(0, x)))(jnp.arange(3.0)),
        "not mapped": lambda: lib.vmap(lambda r, x: r.__setitem__(0, x), (None, 0))(ref, jnp.arange(3.0)),
        "mapped twice": lambda: lib.vmap(lambda a, b: a[...])(ref, ref),
        "differentiated": lambda: lib.grad(lambda x: (ref.__setitem__(0, x), x)[1])(1.0),
        "differentiated by jvp": lambda: lib.jvp(lambda x: (ref.__setitem__(0, x), x)[1], (1.0,), (1.0,)),
        "differentiated in jit": lambda: lib.grad(lib.jit(lambda x: (ref.__setitem__(0, x), x)[1]))(1.0),
        "gradient of a reference": lambda: lib.grad(lambda r: r[0] ** 2)(ref),
        "cotangent of a reference": lambda: lib.vjp(lambda r: r[0] ** 2, ref)[1](1.0),
        "array for a tangent": lambda: lib.jvp(lambda r: r[...], (ref,), (jnp.ones(3),)),
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

"""Control flow compared with JAX: values and derivatives, result types, and what the jaxprs print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima
import anima.numpy

pytestmark = pytest.mark.peers


class Library:
    """One of the two libraries, by the names that the programs below use."""

    def __init__(self, package: Any, numpy: Any) -> None:
        self.package, self.np, self.lax = package, numpy, package.lax


OURS, THEIRS = Library(anima, anima.numpy), Library(jax, jax.numpy)
Program = Callable[[Library], Any]

RNG = np.random.default_rng(0)
W, C, XS = (RNG.normal(size=s).astype(np.float32) * np.float32(0.5) for s in ((3, 3), (3,), (5, 3)))


def assert_same(ours: Any, theirs: Any, where: str) -> None:
    leaves, others = anima.tree.leaves(ours), jax.tree.leaves(theirs)
    assert len(leaves) == len(others), where
    for a, b in zip(leaves, others):
        a_type = (tuple(a.shape), str(a.dtype), bool(getattr(a, "weak_type", False)))
        b_type = (tuple(b.shape), str(b.dtype), bool(getattr(b, "weak_type", False)))
        assert a_type == b_type, f"{where}: {a_type}, JAX has {b_type}"
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-4, atol=2e-5, err_msg=where)


def rnn(lib: Library) -> Any:
    def loss(w: Any, c: Any, xs: Any) -> Any:
        last, rows = lib.lax.scan(lambda c, x: ((h := lib.np.tanh(w @ c + x)), h * c), c, xs)
        return last.sum() + (rows**2).sum()

    return loss


def switching(lib: Library) -> Any:
    branches = [lambda c, x: c * x, lambda c, x: lib.np.sin(c) + x, lambda c, x: c @ W * x]

    def loss(w: Any, c: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            i = lib.np.asarray(x[0] * 4, np.int32) + 1
            c = lib.lax.switch(i, branches, c, x) + w[0]
            return lib.lax.cond(c[0] > 0, lambda c: c * 0.5, lambda c: c - w[1], c), i

        last, numbers = lib.lax.scan(step, c, xs, reverse=True, unroll=2)
        return (last**2).sum() + numbers.sum()

    return loss


def nested_loops(lib: Library) -> Any:
    def loss(w: Any, c: Any, xs: Any) -> Any:
        def outer(i: Any, c: Any) -> Any:
            return lib.lax.fori_loop(0, 2, lambda j, c: lib.np.cos(w @ c) + xs[i + j], c)

        return lib.lax.fori_loop(0, 3, outer, c).sum()

    return loss


@pytest.mark.parametrize("program", [rnn, switching, nested_loops])
def test_values_and_derivatives(program: Program) -> None:
    every = (0, 1, 2)
    directions = (W * 0.3, C + 0.1, XS * 0.2)
    transforms: dict[str, Callable[[Any, Any], Any]] = {
        "value": lambda lib, f: f,
        "grad": lambda lib, f: lib.package.grad(f, every),
        "jvp": lambda lib, f: lambda *a: lib.package.jvp(f, a, directions),
        "jvp of grad": lambda lib, f: (
            lambda *a: lib.package.jvp(lib.package.grad(f, every), a, directions)[1]
        ),
        "vmap of grad": lambda lib, f: (
            lambda w, c, xs: lib.package.vmap(lib.package.grad(f, every), (None, 0, None))(
                w, lib.np.stack([c, c * 0.5]), xs
            )
        ),
    }
    for name, transform in transforms.items():
        ours, theirs = (lib.package.jit(transform(lib, program(lib)))(W, C, XS) for lib in (OURS, THEIRS))
        assert_same(ours, theirs, name)


def _loop(start: Any, body: Any) -> Program:
    return lambda lib: lib.lax.fori_loop(0, 3, body, start)


RESULTS: dict[str, Program] = {
    "weak total of ints": _loop(0, lambda i, x: x + i),
    "weak int made float": _loop(0, lambda i, x: x + 1.5),
    "int8 carry": lambda lib: lib.lax.fori_loop(0, 3, lambda i, x: x + i, lib.np.int8(0)),
    "int8 bounds": lambda lib: lib.lax.fori_loop(np.int8(0), np.int8(3), lambda i, x: x + i, 0),
    "traced bound": lambda lib: lib.package.jit(lambda n: lib.lax.fori_loop(0, n, lambda i, x: x + i, 0))(3),
    "weak scan": lambda lib: lib.lax.scan(lambda c, x: (c + x, c), 0, lib.np.arange(3.0)),
    "bfloat16 scan": lambda lib: lib.lax.scan(lambda c, x: (c + x, c), 0.0, lib.np.ones(3, lib.np.bfloat16)),
    "while": lambda lib: lib.lax.while_loop(lambda x: x < 10, lambda x: x + 3, 0),
    "while made float": lambda lib: lib.lax.while_loop(lambda x: x < 3, lambda x: x + 1.0, 0),
    "weak and strong branches": lambda lib: lib.lax.cond(True, lambda: 1.0, lambda: lib.np.float32(2)),
    "weak branches": lambda lib: lib.lax.cond(False, lambda: 1.0, lambda: 2.0),
    "number as predicate": lambda lib: lib.lax.cond(lib.np.asarray(0.5), lambda: 1, lambda: 2),
    "switch out of range": lambda lib: [lib.lax.switch(i, [lambda: 5, lambda: 6]) for i in (-7, 0, 1, 9)],
    "map in batches": lambda lib: lib.lax.map(lambda x: x * 2, lib.np.arange(7.0), batch_size=3),
    "prefixes": lambda lib: lib.lax.associative_scan(lib.np.multiply, lib.np.arange(1, 8), reverse=True),
    "mapped loop": lambda lib: lib.package.vmap(
        lambda n: lib.lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] * 2.0), (0, 1.0))
    )(lib.np.arange(4)),
    "mapped predicate": lambda lib: lib.package.vmap(
        lambda p, x: lib.lax.cond(p, lambda x: x + 1, lambda x: x - 1, x), (0, None)
    )(np.array([True, False]), 1.0),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_and_their_types(name: str) -> None:
    assert_same(RESULTS[name](OURS), RESULTS[name](THEIRS), name)


WRONG: dict[str, Program] = {
    "carry shape": lambda lib: lib.lax.scan(lambda c, x: (c.sum(), x), lib.np.zeros(3), lib.np.arange(3.0)),
    "carry tree": lambda lib: lib.lax.while_loop(lambda x: x < 3, lambda x: (x, x), 0),
    "no pair": lambda lib: lib.lax.scan(lambda c, x: c, 0.0, lib.np.arange(3.0)),
    "rows": lambda lib: lib.lax.scan(lambda c, x: (c, x), 0.0, (lib.np.arange(3.0), lib.np.arange(4.0))),
    "no length": lambda lib: lib.lax.scan(lambda c, x: (c, x), 0.0, None),
    "condition": lambda lib: lib.lax.while_loop(lambda x: x, lambda x: x, 0),
    "predicate": lambda lib: lib.lax.cond(lib.np.array([True]), lambda: 1, lambda: 2),
    "complex predicate": lambda lib: lib.lax.cond(1j, lambda: 1, lambda: 2),
    "branches": lambda lib: lib.lax.cond(True, lambda: 1, lambda: 2.0),
    "index": lambda lib: lib.lax.switch(1.5, [lambda: 1, lambda: 2]),
    "no branches": lambda lib: lib.lax.switch(0, []),
    "bounds": lambda lib: lib.lax.fori_loop(0, 1.5, lambda i, x: x, 0),
    "mixed bounds": lambda lib: lib.lax.fori_loop(np.int8(0), np.int32(3), lambda i, x: x, 0),
    "unroll": lambda lib: lib.package.jit(lambda n: lib.lax.fori_loop(0, n, lambda i, x: x, 0, unroll=2))(3),
    "reverse": lambda lib: lib.package.jit(
        lib.package.grad(lambda x: lib.lax.while_loop(lambda c: c < 10.0, lambda c: c * 2.0, x))
    )(1.0),
}


@pytest.mark.parametrize("name", WRONG)
def test_misuse_raises_the_same_kind_of_error(name: str) -> None:
    with pytest.raises((TypeError, ValueError)) as theirs:
        WRONG[name](THEIRS)
    with pytest.raises(type(theirs.value)):
        WRONG[name](OURS)

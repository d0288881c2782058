"""Control flow compared with JAX: values and derivatives, result types, and what the jaxprs print."""

from __future__ import annotations

import inspect
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


def linear_solve(lib: Library) -> Any:
    def iterated(matvec: Any, b: Any) -> Any:
        return lib.lax.fori_loop(0, 60, lambda i, x: x + 0.2 * (b - matvec(x)), b)

    return lambda a, b: lib.lax.custom_linear_solve(lambda x: a @ x, b, iterated, iterated)


def root(lib: Library) -> Any:
    def newton(f: Any, x: Any) -> Any:
        return lib.lax.fori_loop(0, 20, lambda i, x: x - f(x) / (3 * x * x), x)

    return lambda a: lib.lax.custom_root(
        lambda x: x**3 - a, lib.np.asarray(1.5), newton, lambda g, y: y / g(1.0)
    )


def test_derivatives_of_solvers() -> None:
    matrix = W + 3 * np.eye(3, dtype=np.float32)
    derivatives: dict[str, Callable[[Library], Any]] = {
        "linear solve": lambda lib: lib.package.grad(
            lambda a, b: (linear_solve(lib)(a, b) ** 2).sum(), (0, 1)
        )(lib.np.asarray(matrix), C),
        "batch of linear solves": lambda lib: lib.package.vmap(linear_solve(lib), (None, 0))(
            lib.np.asarray(matrix), XS
        ),
        "Jacobian": lambda lib: lib.package.jacfwd(linear_solve(lib), 1)(lib.np.asarray(matrix), C),
        "root": lambda lib: lib.package.grad(root(lib))(8.0),
        "second derivative of a root": lambda lib: lib.package.grad(lib.package.grad(root(lib)))(8.0),
        "batch of roots": lambda lib: lib.package.vmap(lib.package.grad(root(lib)))(np.float32([1, 8, 27])),
        "platform": lambda lib: lib.package.jit(
            lib.package.grad(lambda x: lib.lax.platform_dependent(x, tpu=lambda x: x, cpu=lambda x: x**2))
        )(3.0),
    }
    for name, derivative in derivatives.items():
        assert_same(derivative(OURS), derivative(THEIRS), name)


def test_a_bound_on_the_iterations_changes_nothing() -> None:
    """Our derivatives with `max_steps` are JAX's of the same loop with a known number of iterations."""

    def loss(lib: Library, n: Any, **options: Any) -> Any:
        def fun(w: Any, c: Any, xs: Any) -> Any:
            body = lambda i, c: lib.np.tanh(w @ c) + xs[i % 5]
            return lib.lax.fori_loop(0, n, body, c, **options).sum()

        return fun

    for n in (0, 3, 40):
        theirs = jax.jit(jax.grad(loss(THEIRS, n), (0, 1, 2)))(W, C, XS)
        ours = lambda n, *args: anima.grad(loss(OURS, n, max_steps=50), (0, 1, 2))(*args)
        assert_same(anima.jit(ours)(n, W, C, XS), theirs, str(n))


SIGNED = [
    "associative_scan",
    "cond",
    "custom_linear_solve",
    "custom_root",
    "fori_loop",
    "map",
    "platform_dependent",
    "scan",
    "switch",
    "while_loop",
]


def test_signatures() -> None:
    own = {"while_loop": ["max_steps"], "fori_loop": ["max_steps"], "cond": ["true_operand", "false_operand"]}
    for name in SIGNED:
        ours, theirs = (inspect.signature(getattr(lib.lax, name)).parameters for lib in (OURS, THEIRS))
        kinds = {p.name: p.kind for p in theirs.values()}
        assert {p.name: p.kind for p in ours.values() if p.name not in own.get(name, [])} == kinds, name
        if name not in ("cond", "switch"):  # whose defaults are private objects
            defaults = {p.name: p.default for p in theirs.values()}
            assert {p.name: p.default for p in ours.values() if p.name in defaults} == defaults, name


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
    "branch of a pytree operand": lambda lib: lib.lax.cond(
        False, (1.0,), lambda x: x[0], (2.0,), lambda x: -x[0]
    ),
    "callable operand": lambda lib: lib.lax.cond(
        True, lambda x, f: f(x), lambda x, f: x, 2.0, lib.package.tree_util.Partial(lib.np.sin)
    ),
    "no operands": lambda lib: lib.lax.cond(True, lambda _: 3, lambda _: 4, None),
    "operand by keyword": lambda lib: lib.lax.switch(1, [lambda x: x, lambda x: x * 2], operand=3),
    "unsigned index": lambda lib: lib.lax.switch(lib.np.uint8(200), [lambda: 1, lambda: 2]),
    "unroll of nothing": lambda lib: lib.lax.scan(
        lambda c, x: (c + x, x), 1.0, lib.np.arange(3.0), unroll=0, _split_transpose=True
    ),
    "unroll all": lambda lib: lib.lax.scan(
        lambda c, x: (c + x, c), 1, lib.np.arange(5.0), reverse=True, unroll=True
    ),
    "length as a float": lambda lib: lib.lax.scan(lambda c, x: (c + 1, c), 0, None, length=3.0),
    "what is handed on": lambda lib: lib.package.jit(
        lambda c: lib.lax.scan(lambda c, x: (c, (x, c)), c, lib.np.arange(3))
    )(1.5),
    "handed on by loops": lambda lib: lib.package.jit(
        lambda c: lib.lax.fori_loop(0, 3, lambda i, s: (s[0], s[1] + i), (c, 0))
    )(2.0),
    "map in one batch": lambda lib: lib.lax.map(lambda x: x + 1, lib.np.arange(3.0), batch_size=10),
    "map of no rows": lambda lib: lib.lax.map(lambda x: x.sum(), lib.np.zeros((0, 2)), batch_size=2),
    "prefixes along an axis": lambda lib: lib.lax.associative_scan(
        lib.np.add, lib.np.arange(6.0).reshape(2, 3), reverse=True, axis=1
    ),
    "prefixes of pairs": lambda lib: lib.lax.associative_scan(
        lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (lib.np.arange(1.0, 6.0), lib.np.arange(5.0))
    ),
    "linear solve": lambda lib: linear_solve(lib)(lib.np.asarray(W + 3 * np.eye(3, dtype=np.float32)), C),
    "root": lambda lib: root(lib)(8.0),
    "root of a number": lambda lib: lib.lax.custom_root(
        lambda x: x**2 - 2, 1.0, lambda f, x: lib.np.sqrt(2.0), lambda g, y: y / g(1.0)
    ),
    "platform": lambda lib: lib.package.jit(
        lambda x: lib.lax.platform_dependent(x, tpu=lambda x: x * 2, cpu=lambda x: x + 1)
    )(1),
    "other platform": lambda lib: lib.lax.platform_dependent(
        lib.np.ones(2), tpu=lambda x: x * 2, default=lambda x: x - 1
    ),
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
    "boolean index": lambda lib: lib.lax.switch(True, [lambda: 1, lambda: 2]),
    "no predicate": lambda lib: lib.lax.cond(None, lambda: 1, lambda: 2),
    "list as predicate": lambda lib: lib.lax.cond([True], lambda: 1, lambda: 2),
    "branch that is none": lambda lib: lib.lax.cond(True, 1, 2),
    "dictionary of branches": lambda lib: lib.lax.switch(1, {0: lambda: 1, 1: lambda: 2}),
    "negative unroll": lambda lib: lib.lax.scan(lambda c, x: (c, x), 0.0, lib.np.arange(3.0), unroll=-1),
    "length against rows": lambda lib: lib.lax.scan(lambda c, x: (c, x), 0.0, lib.np.arange(3.0), length=4),
    "body that is none": lambda lib: lib.lax.scan(3, 0.0, lib.np.arange(3.0)),
    "map of a number": lambda lib: lib.lax.map(lambda x: x, 3.0),
    "sizes of prefixes": lambda lib: lib.lax.associative_scan(
        lambda a, b: a, (lib.np.ones(3), lib.np.ones(4))
    ),
    "prefixes of nothing to call": lambda lib: lib.lax.associative_scan(3, lib.np.ones(3)),
    "no transposed solver": lambda lib: lib.package.grad(
        lambda b: lib.lax.custom_linear_solve(lambda x: x * 2, b, lambda m, b: b / 2)
    )(1.0),
    "map of another shape": lambda lib: lib.lax.custom_linear_solve(
        lambda x: x[:1], lib.np.ones(2), lambda m, b: b
    ),
    "solver without a pair": lambda lib: lib.lax.custom_root(
        lambda x: x, 1.0, lambda f, x: x, lambda g, y: y, has_aux=True
    ),
    "root of another structure": lambda lib: lib.lax.custom_root(
        lambda x: (x, x), 1.0, lambda f, x: x, lambda g, y: y
    ),
    "platform that is several": lambda lib: lib.lax.platform_dependent(1.0, gpu=lambda x: x),
    "branch for a platform": lambda lib: lib.lax.platform_dependent(1.0, cpu=3),
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

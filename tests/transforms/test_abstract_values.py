"""Where Python asks a traced value for its number: the messages, word for word, and the ways that need no number."""

from __future__ import annotations

import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import jit, lax, make_jaxpr, random, vmap
from anima.runtime.compiler import compile_stats

KEY = random.PRNGKey(0)
ABSTRACT = (
    "Abstract value passed to {}, which requires a concrete value. The function to be transformed can't be traced at the "
    "required level of abstraction. If using jit, try using static_argnums or applying jit to smaller subfunctions instead."
)
SHAPES = (
    "{} requires shapes to be concrete. If using jit, try using static_argnums or applying jit to smaller subfunctions "
    "instead."
)


def chained(x: Any) -> Any:
    return 1 < x < 3


def asserted(x: Any) -> Any:
    assert x < 3
    return x


def looped(x: Any) -> Any:
    while x < 10:
        x = x * 2
    return x


NUMBERS: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("bool", lambda x: 3.0 * x**2 if x < 3 else -4 * x, 2),
    ("bool", lambda x: not x, 2),
    ("bool", lambda x: x and 1, 2),
    ("bool", lambda x: x or 1, 2),
    ("bool", chained, 2),
    ("bool", asserted, 2),
    ("bool", looped, 2),
    ("bool", lambda x: max(x, 3), 2),
    ("bool", lambda x: x in [1, 2], 2),
    ("bool", lambda x: [y for y in (1, 2) if x > y], 2),
    ("float", lambda x: float(x), 2.0),
    ("float", lambda x: math.sin(x), 2.0),
    ("int", lambda x: int(x), 2),
    ("complex", lambda x: complex(x), 2),
    ("__index__", lambda x: operator.index(x), 2),
    ("__index__", lambda x: [2 * i for i in range(x)], 2),
    ("__index__", lambda x: [10, 20, 30][x], 2),
    ("__index__", lambda x: "ab" * x, 2),
    ("numpy.asarray", lambda x: onp.sin(x), 2.0),
    ("numpy.asarray", lambda x: onp.asarray(x), 2.0),
    ("format", lambda x: f"{x:.2f}", 2.0),
    ("pickle", lambda x: pickle.dumps(x), 2.0),
    ("item", lambda x: x.item(), 2.0),
    ("tolist", lambda x: x.tolist(), 2.0),
]
SIZES: list[tuple[str, Callable[[Any], Any]]] = [
    ("full", lambda n: np.ones((n,)) * 4),
    ("full", lambda n: np.zeros(n)),
    ("full", lambda n: np.full((2, n), 1.0)),
    ("reshape", lambda n: np.ones(6).reshape(n, 3)),
    ("broadcast_to", lambda n: np.broadcast_to(1.0, (n,))),
    ("arange", lambda n: np.arange(n)),
    ("linspace", lambda n: np.linspace(0, 1, n)),
    ("eye", lambda n: np.eye(n)),
    ("normal", lambda n: random.normal(KEY, (n,))),
    ("uniform", lambda n: random.uniform(KEY, (n, 2))),
    ("split", lambda n: random.split(KEY, n)),
]
WAYS: dict[str, Callable[[Callable[[Any], Any]], Callable[[Any], Any]]] = {
    "jit": jit,
    "vmap": lambda f: lambda x: vmap(f)(np.asarray([x, x])),
    "scan": lambda f: lambda x: lax.scan(lambda c, y: (c, f(y)), 0, np.asarray([x, x])),
    "jit of grad": lambda f: jit(lambda x: anima.grad(lambda y: f(x) * y)(1.0)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", range(len(NUMBERS)))
def test_numbers(way: str, number: int) -> None:
    what, fun, x = NUMBERS[number]
    with pytest.raises(TypeError) as caught:
        WAYS[way](fun)(x)
    assert str(caught.value) == ABSTRACT.format(what)
    assert isinstance(caught.value, anima.errors.ConcretizationTypeError)
    assert caught.value.__notes__[0].startswith("The value is traced: ")


@pytest.mark.parametrize("number", range(len(SIZES)))
def test_sizes(number: int) -> None:
    what, fun = SIZES[number]
    with pytest.raises(TypeError) as caught:
        jit(fun)(2)
    assert str(caught.value) == SHAPES.format(what)
    assert "it is argument `n` of" in caught.value.__notes__[0]
    out = jit(fun, static_argnums=0)(2)  # what the message advises
    onp.testing.assert_array_equal(out, fun(2))


def test_the_notes_name_argument_operation_and_line() -> None:
    def f(first: Any, second: Any) -> Any:
        scaled = second * 2  # computed here
        return 1 if scaled > first else 0

    with pytest.raises(TypeError) as caught:
        jit(f)(1, 2)
    notes = "\n".join(caught.value.__notes__)
    assert "'gt'" in notes and __file__ in notes and "lax.cond" in notes
    with pytest.raises(TypeError) as caught:
        jit(lambda first, second: [1, 2][second])(1, 2)
    assert "it is argument `second` of" in caught.value.__notes__[0]


# --- ways that need no number -------------------------------------------------------------------


def programs() -> int:
    """How many programs this process has asked the compiler for, however each was come by."""
    stats = compile_stats()
    return stats.compiles + stats.disk_hits + stats.memory_hits


def test_each_static_value_is_a_program() -> None:
    traced = []

    def example(length: int, val: Any) -> Any:
        traced.append(length)
        return np.ones((length,)) * val

    f = jit(example, static_argnums=(0,))
    counts = []
    for length, value in [(10, 4), (5, 4), (10, 7), (5, 8), (10, 4.5), (6, 1)]:
        before = programs()
        assert f(length, value).tolist() == [value] * length
        counts.append(programs() - before)
    assert traced == [10, 5, 10, 6]  # 4.5 is a float: another signature
    assert counts == [1, 1, 0, 0, 1, 1]


def test_branches_by_static_values() -> None:
    f = jit(lambda x: 3.0 * x**2 if x < 3 else -4 * x, static_argnums=(0,))
    assert (float(f(2.0)), float(f(4.0))) == (12.0, -16.0)


def test_loops_over_known_counts_are_unrolled() -> None:
    def f(x: Any) -> Any:
        for _ in range(3):
            x = 2 * x
        return x

    assert int(jit(f)(3)) == 24
    assert [e.primitive.name for e in make_jaxpr(f)(3).eqns] == ["mul"] * 3
    assert jit(f).lower(3).as_text().count("stablehlo.multiply") == 3

    def sums(x: Any, n: int) -> Any:
        y = 0.0
        for i in range(n):
            y = y + x[i]
        return y

    g = jit(sums, static_argnums=(1,))
    assert float(g(np.array([2.0, 3.0, 4.0]), 2)) == 5.0
    lengths = [g.lower(np.ones(8), n).as_text().count("stablehlo.add") for n in (2, 4, 8)]
    assert lengths == [2, 4, 8]


def test_loops_over_shapes_are_a_program_a_shape() -> None:
    traced = []

    @jit
    def g(x: Any) -> Any:
        traced.append(x.shape)
        y = 0.0
        for i in range(x.shape[0]):
            y = y + x[i]
        return y

    assert float(g(np.array([1.0, 2.0, 3.0]))) == 6.0
    assert float(g(np.array([4.0, 2.0, 3.0]))) == 9.0
    assert float(g(np.array([1.0, 2.0]))) == 3.0
    assert traced == [(3,), (2,)]


def test_sizes_of_slices_may_not_depend_on_values_but_starts_may() -> None:
    x = np.arange(8.0)
    with pytest.raises(IndexError, match="must have static start/stop/step"):
        jit(lambda x, n: x[:n])(x, 3)
    before = None
    f = jit(lambda x, i: lax.dynamic_slice_in_dim(x, i, 3))
    for i in range(5):
        assert f(x, i).tolist() == [i, i + 1, i + 2]
        before, found = before or programs(), programs()
        assert found == before  # one program for all starts
    onp.testing.assert_array_equal(
        lax.fori_loop(0, 3, lambda i, acc: acc + lax.dynamic_slice(x, (i,), (2,)), np.zeros(2)), [3, 6]
    )


def test_formats() -> None:
    assert jit(lambda x: len(f"{x}") > 5)(1.0)  # the tracer, as in print
    with pytest.raises(TypeError) as caught:
        jit(lambda x: f"{x:.2f}")(1.0)
    assert "debug.print" in caught.value.__notes__[1]
    shown = []
    anima.grad(lambda x: (shown.append(f"{x:.2f} and {x * 2:>8.3f}"), x)[1])(1.5)
    assert shown == ["1.50 and    3.000"]


def test_grad_has_concrete_values() -> None:
    f = lambda x: 3.0 * x**2 if x < 3 else -4 * x
    assert float(anima.grad(f)(2.0)) == 12.0 and float(anima.grad(f)(4.0)) == -4.0
    assert float(anima.grad(anima.grad(f))(2.0)) == 6.0

"""The work of deriving programs grows as the programs do: calls of functions are counted, not seconds."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.interpreters.dce import dce_closed, dce_jaxpr
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.partial import nothing_saveable, split_jaxpr
from anima.interpreters.transpose import transpose_jaxpr
from anima.transforms.checkpoint_primitive import split_of

# More equations than calls of Python may be nested.
SIZES = (100, 600, 1100)


def calls(work: Callable[[], Any]) -> int:
    """How many Python and C functions are called."""
    count = 0

    def profile(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.collect()
    gc.disable()  # what it calls would count, too
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def chain(length: int) -> ClosedJaxpr:
    def f(x: Any) -> Any:
        for _ in range(length):
            x = lax.sin(x)
        return x

    return anima.make_jaxpr(f)(1.0)


def reshapes(length: int) -> ClosedJaxpr:
    """A chain of reshapes of which each is a residual: all come from one array."""

    def f(x: Any, y: Any) -> Any:
        for i in range(length):
            x = lax.reshape(x, (2, 3) if i % 2 else (3, 2))
            y = lax.reshape(y, (2, 3) if i % 2 else (3, 2)) * x
        return y

    x = onp.ones((2, 3), onp.float32)
    return anima.make_jaxpr(f)(x, x)


def dots(length: int) -> ClosedJaxpr:
    def f(x: Any) -> Any:
        for _ in range(length):
            x = lax.tanh(lax.dot(x, x))
        return x

    return anima.make_jaxpr(f)(onp.ones((2, 2), onp.float32))


def linearized(closed: ClosedJaxpr) -> None:
    linearize_jaxpr(closed, (True,) * len(closed.in_avals))


def transposed(closed: ClosedJaxpr) -> Callable[[], Any]:
    count = len(closed.in_avals)
    linear = linearize_jaxpr(closed, (True,) * count).linear
    flags = (False,) * (len(linear.in_avals) - count) + (True,) * count
    return lambda: transpose_jaxpr(linear, flags, (True,) * len(linear.out_avals))


def checkpointed(closed: ClosedJaxpr) -> None:
    f = anima.checkpoint(lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs)[0].sum())
    anima.make_jaxpr(anima.grad(f))(*[onp.ones(a.shape, a.dtype) for a in closed.in_avals])  # type: ignore[attr-defined]


def wanted(closed: ClosedJaxpr) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    return (False,) * len(closed.in_avals), (True,) * len(closed.out_avals)


def only_dots(primitive: Any, *_: Any, **__: Any) -> bool:
    return bool(primitive.name == "dot_general")


WORK: dict[str, Callable[[ClosedJaxpr], Callable[[], Any]]] = {
    "linearize": lambda c: lambda: linearized(c),
    "transpose": transposed,
    "dead code": lambda c: lambda: dce_jaxpr(c.jaxpr),
    "divide, nothing saved": lambda c: (
        lambda: split_jaxpr(c, wanted(c)[0], outputs=wanted(c)[1], policy=nothing_saveable)
    ),
    "divide, some saved": lambda c: (
        lambda: split_jaxpr(c, wanted(c)[0], outputs=wanted(c)[1], policy=only_dots)
    ),
    "checkpoint": lambda c: lambda: split_of(c, (True,) * len(c.in_avals), None, True),
    "gradient of a checkpoint": lambda c: lambda: checkpointed(c),
}


@pytest.mark.parametrize("what", WORK)
@pytest.mark.parametrize("build", [chain, reshapes, dots])
def test_more_equations_cost_no_more_work_each(build: Any, what: str) -> None:
    # The first time also loads modules and fills tables.
    _, small, middle, large = (calls(WORK[what](build(length))) for length in (SIZES[0], *SIZES))
    assert middle - small > SIZES[1] - SIZES[0]
    # Work that grows with the square would show, were it five millionths of the rest for each pair of equations.
    assert large - middle < 1.005 * (middle - small)


def test_dead_code_in_nested_loops_is_looked_for_once_a_level() -> None:
    def nested(depth: int) -> ClosedJaxpr:
        def f(x: Any) -> Any:
            return np.sin(x), np.cos(x)

        def deeper(inner: Any) -> Any:
            def loop(x: Any) -> Any:
                return lax.scan(lambda c, _: inner(c), x, None, 2)

            return anima.jit(loop)

        for _ in range(depth):
            f = deeper(f)
        return anima.make_jaxpr(lambda x: f(x)[0])(1.0)

    small, large = (calls(functools.partial(dce_closed, nested(depth))) for depth in (5, 10))
    assert large < 2.2 * small


def test_each_cheap_residual_is_repeated_once() -> None:
    closed = reshapes(20)
    split = linearize_jaxpr(closed, (False, True))
    names = [eqn.primitive.name for eqn in split.linear.eqns]
    assert names.count("mul") == 20
    assert names.count("reshape") == 40  # those of `x` again, those of the tangent
    assert len(split.residual_inputs) == 1 and len(split.primal.out_avals) == 1

"""Leak checking: what counts as a leak, and what the error says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, jvp, lax, vmap

kept: list[Any] = []
box: Any = None


class Holder:
    value: Any = None


holder = Holder()


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    global box
    yield
    kept.clear()
    box = None
    holder.value = None


def to_global(x: Any) -> Any:
    global box
    box = np.sin(x)
    return x


def to_attribute(x: Any) -> Any:
    holder.value = {"deep": [x * 2]}
    return x


def to_closure(x: Any) -> Any:
    kept.append(lambda y: x + y)
    return x


def to_default(x: Any) -> Any:
    kept.append(lambda y, z=x: y)
    return x


def to_generator(x: Any) -> Any:
    def numbers(x: Any) -> Iterator[Any]:
        yield x
        yield x

    it = numbers(x)
    next(it)
    kept.append(it)
    return x


LEAKS = [
    (to_global, r"computed by 'sin' at .*test_leaks.py:\d+ \(to_global\)\), kept by the global box of"),
    (to_attribute, "computed by 'mul' .*kept by the attribute value of an object of type Holder"),
    (to_closure, r"argument `x` of to_closure\), kept by the function to_closure.<locals>.<lambda>, through its closure"),
    (to_default, "kept by the function to_default.<locals>.<lambda>, through a default argument"),
    (to_generator, "kept by the generator to_generator.<locals>.numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "says"), LEAKS, ids=[f.__name__ for f, _ in LEAKS])
def test_who_keeps_a_value(f: Callable[..., Any], says: str) -> None:
    with anima.checking_leaks(), pytest.raises(errors.UnexpectedTracerError, match=says) as info:
        jit(f)(1.0)
    assert "leaked 1 traced value of JaxprTrace" in str(info.value)
    assert any("Return it from the transformed function" in note for note in info.value.__notes__)


@pytest.mark.parametrize(
    ("transform", "trace"),
    [
        (jit, "JaxprTrace"), (anima.make_jaxpr, "JaxprTrace"), (grad, "LinearizeTrace"),
        (lambda f: lambda x: jvp(f, (x,), (x,)), "JVPTrace"), (lambda f: lambda x: vmap(f)(np.ones(2)), "BatchTrace"),
        (lambda f: lambda x: lax.scan(lambda c, _: (f(c), c), x, None, length=2), "JaxprTrace"),
        (lambda f: lambda x: lax.cond(True, f, f, x), "JaxprTrace"), (lambda f: grad(jit(f)), "JaxprTrace"),
        (lambda f: jit(vmap(f, axis_size=2, in_axes=None)), "JaxprTrace"),
    ],
)  # fmt: skip
def test_every_transformation_is_checked(transform: Any, trace: str) -> None:
    def f(x: Any) -> Any:
        kept.append(x)
        return x * 1.0

    with anima.checking_leaks(), pytest.raises(errors.TracerLeakError, match=trace):
        transform(f)(1.0)


def test_variables_of_functions_around() -> None:
    found = None

    def f(x: Any) -> Any:
        nonlocal found
        found = x
        return x

    with anima.check_tracer_leaks(), pytest.raises(errors.UnexpectedTracerError, match="through its closure"):
        jit(f)(1.0)


def test_many_leaks_are_counted() -> None:
    def f(x: Any) -> Any:
        for _ in range(9):
            x = np.sin(x)
            kept.append(x)
        return x

    with anima.checking_leaks(), pytest.raises(errors.UnexpectedTracerError, match="leaked 9 .*; and 4 more"):
        jit(f)(1.0)


def what_is_no_leak() -> None:
    def loss(x: Any) -> Any:
        total, rows = lax.scan(lambda c, y: (c * np.sin(y) + x, c), x, np.ones(3))
        inner = lambda v: v * x
        return lax.cond(total > 0, inner, lambda v: v, total) + rows.sum()

    def cyclic(x: Any) -> Any:
        loop: list[Any] = [x]
        loop.append(loop)  # only the collector frees it
        return x * 2

    with anima.checking_leaks():
        assert float(jit(grad(loss))(1.0)) == float(grad(loss)(1.0))
        anima.hessian(loss)(1.0)
        jit(vmap(grad(loss)))(np.ones(2))
        anima.value_and_grad(lambda x: (x * 2, x + 1), has_aux=True)(1.0)
        anima.vjp(jit(loss), 1.0)[1](1.0)
        anima.linearize(loss, 1.0)[1](1.0)
        assert float(jit(cyclic)(1.0)) == 2
        jit(lambda x: anima.debug.callback(lambda v: None, x))(1.0)
        with pytest.raises(ZeroDivisionError):
            jit(lambda x: x / (1 // 0))(1.0)


def test_what_is_no_leak(run_python: Callable[..., Any]) -> None:
    # Every trace that ends has the heap searched, and that of a process that runs many tests is large.
    run_python("import runpy, sys; runpy.run_path(sys.argv[1])['what_is_no_leak']()", __file__)


def test_off_by_default() -> None:
    jit(to_global)(1.0)
    with pytest.raises(errors.UnexpectedTracerError):
        box + 1

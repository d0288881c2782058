"""Calls with one mistake, made from calls without: each argument in turn becomes something that it should not be.

Invariant: the mistakes of a call depend on its arguments alone. A mistake of *kind* is a value of another Python type than the
argument should have, such as None or text in place of a number; every other one is a mistake of *value*: of shape, dtype,
rank, size, sign, order, number or name.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import ml_dtypes
import numpy as np

import anima
from tests.peers.lax_table.source import Call, Lax, shown

DTYPES = tuple(np.dtype(name) for name in ("bool", "int32", "uint8", "float16", "complex64")) + tuple(
    np.dtype(kind) for kind in (ml_dtypes.int4, ml_dtypes.float8_e4m3fn)
)


@dataclass(frozen=True)
class Mistake:
    """A value in place of a right one.

    Attributes:
      value: what stands there.
      kind: whether it is of another Python type.
    """

    value: Any
    kind: bool = False


def _host(*values: Any) -> Lax:
    return Lax(lambda lax: np.array(values), f"numpy.array({list(values)})")


KEY = Lax(lambda lax: (jax if lax is jax.lax else anima).random.key(0), "a typed key")


def _values(*values: Any) -> Iterator[Mistake]:
    return (Mistake(v) for v in values)


def _kinds(*values: Any) -> Iterator[Mistake]:
    return (Mistake(v, True) for v in values)


def of(value: Any) -> Iterator[Mistake]:
    """The mistakes in place of a value."""
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, bool):
        return _kinds(None, "words", 2, _host(True, False))
    if isinstance(value, (int, np.integer)):
        return _of_integer()
    if isinstance(value, (float, complex, np.floating)):
        return _of_float()
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, (tuple, list)):
        return _of_sequence(value)
    return _kinds(None, "words", 3, object, ())


def _of_array(x: np.ndarray) -> Iterator[Mistake]:
    yield from _kinds(None, "words", {}, object, x.tolist() if x.ndim else [1.0])
    yield from _values(x[None], x.reshape(-1)[:1].reshape(()) if x.size else np.zeros((), x.dtype))
    if x.ndim:
        yield Mistake(x[0])
    for axis in range(x.ndim):
        first, nothing = np.take(x, [0], axis), np.take(x, [], axis)
        yield from _values(np.concatenate([x, first], axis), nothing)
    for dtype in DTYPES:
        if dtype != x.dtype:
            yield Mistake((x.real if dtype.kind != "c" else x).astype(dtype))
    yield from _values(*(np.full(x.shape, v) for v in ("a", None, np.datetime64("2020-01-01"))), KEY)


def _of_integer() -> Iterator[Mistake]:
    yield from _kinds(None, "words", 1.5, (0,), [0], _host(0, 1), object)
    yield from _values(-1, -99, 99, 0)


def _of_float() -> Iterator[Mistake]:
    yield from _kinds(None, "words", 1j, (0.5,), _host(0.5, 0.5), object)
    yield from _values(-1.0, float("nan"))


def _of_text(text: str) -> Iterator[Mistake]:
    yield from _kinds(None, 3, (text,), object)
    yield from _values("words", "", text.upper(), text.lower())


def _of_sequence(values: Any) -> Iterator[Mistake]:
    made: Any = type(values)
    named = hasattr(values, "_fields")
    if not named:
        items = list(values)
        several = (items[::-1], [*items, *items[:1]], items[:-1], items[:1] * len(items), [*items, 0], [])
        yield from _values(*(made(v) for v in several))
        yield from _kinds(_host())
    yield from _kinds(None, "words", 3, object, 1.5)
    for i, one in enumerate(values):
        for mistake in of(one):
            changed = [*values[:i], mistake.value, *values[i + 1 :]]
            yield Mistake(made(*changed) if named else made(changed), mistake.kind)


# In place of an argument that a call leaves out, and whose default says nothing about it.
UNKNOWN = tuple(_kinds("words", -1, 1.5, ("a", "b"), object))


def mistaken(call: Call, function: Any) -> Iterator[tuple[Call, bool]]:
    """Calls of the function with one mistake, and whether it is one of kind."""
    args, kwargs = call.args, call.kwargs
    for i, value in enumerate(args):
        for mistake in of(value):
            yield Call(call.name, (*args[:i], mistake.value, *args[i + 1 :]), kwargs), mistake.kind
    for name, value in kwargs.items():
        for mistake in of(value):
            yield Call(call.name, args, {**kwargs, name: mistake.value}), mistake.kind
    for name, default in _left_out(call, function):
        for mistake in UNKNOWN if default is None else of(default):
            yield Call(call.name, args, {**kwargs, name: mistake.value}), mistake.kind
    yield Call(call.name, args[:-1], kwargs), False
    yield Call(call.name, args, {**kwargs, "nonsense": 1}), False


def _left_out(call: Call, function: Any) -> list[tuple[str, Any]]:
    """The names and defaults of arguments that the call does not give."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return []
    return [
        (p.name, p.default)
        for p in parameters[len(call.args) :]
        if p.default is not p.empty and p.name not in call.kwargs and p.kind is not p.VAR_KEYWORD
    ]


def described(call: Call) -> str:
    """A call in a message, its arrays by dtype and shape."""

    def text(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"{value.dtype}{list(value.shape)}"
        if type(value) in (tuple, list):
            return f"{type(value).__name__}({', '.join(map(text, value))})"
        return shown(value)[:80]

    named = [f"{k}={text(v)}" for k, v in call.kwargs.items()]
    return f"{call.name}({', '.join([*map(text, call.args), *named])})"

"""Running programs without compiling them: control flow in Python, everything else as eager operations.

Invariant: inside `interpreted()`, the eager roads of the primitives that hold programs run those equation by equation, so
that no program is handed to XLA but single operations, which are compiled once for all programs of the same shapes.
Results have the types that the programs declare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import anima
from anima import _native
from anima._native import ArrayImpl
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import primitives
from anima.core.trace import aval_of
from anima.runtime.arrays import as_array
from anima.runtime.devices import default_device
from anima.transforms import jit as jit_module


def run(closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    """The results of a program, each of the type that it declares."""
    outs = eval_jaxpr(closed.jaxpr, closed.consts, *args)
    return [_as_declared(out, aval) for out, aval in zip(outs, closed.out_avals)]


def _as_declared(value: Any, aval: Any) -> ArrayImpl:
    found = aval_of(value)
    assert (found.shape, found.dtype) == (aval.shape, aval.dtype), f"{found} where {aval} is declared"
    array: ArrayImpl = as_array(value)
    return array if array.weak_type == aval.weak_type else _native.array_with(array, weak_type=aval.weak_type)


def _placed(value: np.ndarray, aval: Any) -> ArrayImpl:
    array = _native.array_from_host(value, default_device(), dtype=aval.dtype)
    return _native.array_with(array, weak_type=True) if aval.weak_type else array


def _jit(*args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return run(jaxpr, args)


def _cond(index: Any, *args: Any, branches: Sequence[ClosedJaxpr]) -> list[Any]:
    avals = primitives["cond"].shape(aval_of(index), *map(aval_of, args), branches=branches)
    outs = run(branches[int(index)], args)
    return [_as_declared(out, aval) for out, aval in zip(outs, avals)]


def _while(
    *args: Any, cond_jaxpr: ClosedJaxpr, body_jaxpr: ClosedJaxpr, cond_nconsts: int, body_nconsts: int
) -> list[Any]:
    tested, fixed = args[:cond_nconsts], args[cond_nconsts : cond_nconsts + body_nconsts]
    carry = [_as_declared(x, a) for x, a in zip(args[cond_nconsts + body_nconsts :], body_jaxpr.out_avals)]
    while bool(run(cond_jaxpr, [*tested, *carry])[0]):
        carry = run(body_jaxpr, [*fixed, *carry])
    return carry


def _scan(
    *args: Any,
    jaxpr: ClosedJaxpr,
    length: int,
    num_consts: int,
    num_carry: int,
    reverse: bool,
    unroll: int,
) -> list[Any]:
    consts, rows = args[:num_consts], [np.asarray(x) for x in args[num_consts + num_carry :]]
    row_avals = jaxpr.in_avals[num_consts + num_carry :]
    carry = [_as_declared(x, a) for x, a in zip(args[num_consts : num_consts + num_carry], jaxpr.out_avals)]
    y_avals: Any = jaxpr.out_avals[num_carry:]
    ys = [np.zeros((length, *a.shape), a.dtype) for a in y_avals]
    for i in range(length)[:: -1 if reverse else 1]:
        outs = run(jaxpr, [*consts, *carry, *[_placed(x[i], a) for x, a in zip(rows, row_avals)]])
        carry = outs[:num_carry]
        for y, out in zip(ys, outs[num_carry:]):
            y[i] = np.asarray(out)
    return [*carry, *[_placed(y, a) for y, a in zip(ys, y_avals)]]


def _bounded(*args: Any, max_steps: int, **loop: Any) -> list[Any]:
    return _while(*args, **loop)


ROADS: dict[str, Callable[..., list[Any]]] = {
    "jit": _jit,
    "checkpoint": _jit,
    "cond": _cond,
    "while": _while,
    "bounded_while": _bounded,
    "scan": _scan,
}


@contextmanager
def interpreted() -> Iterator[None]:
    """In this block, nothing but single operations is compiled."""
    known = {name: primitives[name] for name in ROADS if name in primitives}
    before = {name: primitive.eager for name, primitive in known.items()}
    for name, primitive in known.items():
        primitive.eager = ROADS[name]
    try:
        yield
    finally:
        for name, primitive in known.items():
            primitive.eager = before[name]


def jit(fun: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    """`anima.jit`, whose calls take the road of traced calls: the program is handed to its primitive."""
    call = anima.jit(fun, **how)
    return lambda *args: jit_module._traced(call, args, {})

"""Programs of scalars inside operations: what a user's function does to each element.

Invariant: such a program depends on its arguments alone, because XLA compiles it as a separate computation; and the same
function gives the same program object, so that eager calls find what they compiled before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from anima import _native
from anima.core.aval import ShapedArray
from anima.core.axes import named_axes
from anima.core.jaxpr import ClosedJaxpr
from anima.core.trace import Tracer
from anima.interpreters.stage import stage

_programs: WeakKeyDictionary[Any, dict[Hashable, ClosedJaxpr]] = WeakKeyDictionary()


def inner_program(
    name: str,
    argument: str,
    user_fun: Callable[..., Any],
    flat_fun: Callable[..., Sequence[Any]],
    avals: Sequence[ShapedArray],
    key: Hashable = None,
) -> ClosedJaxpr:
    """The program of `flat_fun`, which calls the argument `user_fun` of the operation `name`, on scalars.

    `key` is what `flat_fun` depends on besides.

    Raises:
      TypeError: it is no function, or uses traced values or arrays from outside.
    """
    if not callable(user_fun):
        raise TypeError(f"{name}: {argument} must be a function, got {user_fun!r}")
    full_key = (name, tuple(avals), key, _native.options_key(), named_axes())
    try:
        known = _programs.setdefault(user_fun, {})
    except TypeError:  # a callable that cannot be referred to weakly
        known = {}
    program = known.get(full_key)
    if program is None:
        jaxpr, consts = stage(flat_fun, avals, getattr(user_fun, "__name__", argument))
        if consts:
            kind = "a traced value" if any(isinstance(c, Tracer) for c in consts) else "an array"
            raise TypeError(
                f"{name}: {argument} must not use {kind} from outside; its arguments are all that it has"
            )
        program = known.setdefault(full_key, ClosedJaxpr(jaxpr, []))
    return program

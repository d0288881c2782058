"""Finding tracers that outlive their trace: what `jax_check_tracer_leaks` does when a trace ends.

Invariant: nothing here runs unless the option is on. A tracer has leaked if something that is not this package's own
can still reach it: a global, an attribute, a closure, a default argument, a generator.
"""

from __future__ import annotations

import gc
import sys
from types import CellType, FrameType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

from anima.config import check_tracer_leaks
from anima.core.trace import Trace, Tracer
from anima.errors import TracerLeakError
from anima.options import Override

_MAX_SHOWN = 5
_MAX_DEPTH = 8  # containers between a tracer and who keeps it
_OWN = __name__.partition(".")[0]


def checking_leaks() -> Override:
    """A block, or a decorator, in which a tracer that outlives its trace raises when the trace ends.

    >>> import anima
    >>> kept = []
    >>> with anima.checking_leaks():
    ...     anima.jit(lambda x: kept.append(x))(1.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    anima.errors.UnexpectedTracerError: leaked 1 traced value of JaxprTrace(<lambda>): ...
    """
    return check_tracer_leaks(True)


def check_leaks(trace: Trace) -> None:
    """Raise if tracers of `trace`, which has ended, can be reached. To be called where no local variable holds one.

    Raises:
      UnexpectedTracerError: the message says where each was made, and who keeps it.
    """
    if not check_tracer_leaks.value or not _leaked(trace):
        return
    gc.collect()  # what only a dead cycle holds is no leak
    found = _leaked(trace)
    if not found:
        return
    count = f"{len(found)} traced value{'s' if len(found) > 1 else ''}"
    shown = [f"{tracer!r}{_origin(tracer)}, kept by {holder}" for tracer, holder in found[:_MAX_SHOWN]]
    more = [f"and {len(found) - _MAX_SHOWN} more"] if len(found) > _MAX_SHOWN else []
    error = TracerLeakError(f"leaked {count} of {trace.describe()}: {'; '.join([*shown, *more])}")
    error.add_note(
        "The transformation has finished, so the value means nothing any more. Return it from the transformed function "
        "instead of keeping it in a side effect."
    )
    raise error


def _origin(tracer: Tracer) -> str:
    origin = tracer.origin()
    return f" ({origin})" if origin else ""


def _leaked(trace: Trace) -> list[tuple[Tracer, str]]:
    """The tracers of a trace that can be reached, each with a description of who keeps it."""
    alive = [v for v in gc.get_referrers(trace) if isinstance(v, Tracer) and v._trace is trace]
    keepers = _keepers(alive)
    named = [(tracer, _holder(tracer, keepers, set(), 0)) for tracer in alive]
    return [(tracer, holder) for tracer, holder in named if holder]


def _keepers(values: list[Any]) -> dict[int, list[Any]]:
    """Who refers to the values, who to those, and so on: lists by `id`. The heap is searched once for each step."""
    found: dict[int, list[Any]] = {}
    step = values
    for _ in range(_MAX_DEPTH + 2):  # the last one tells whose namespace a dictionary is
        if not step:
            break
        here: dict[int, list[Any]] = {id(value): [] for value in step}
        found.update(here)
        mine = {id(step), *map(id, found.values())}
        further = {}
        for referrer in gc.get_referrers(*step):
            if id(referrer) in mine or isinstance(referrer, FrameType):
                continue
            for value in gc.get_referents(referrer):
                if id(value) in here:
                    here[id(value)].append(referrer)
            if id(referrer) not in found and _passes_on(referrer) and not _is_module(referrer):
                further[id(referrer)] = referrer
        step = [*further.values()]
    return found


def _holder(value: Any, keepers: dict[int, list[Any]], visited: set[int], depth: int) -> str:
    """Who keeps a value, if it is the user's; empty if it is nobody that can be seen, or this package."""
    visited.add(id(value))
    if depth > _MAX_DEPTH:
        return ""
    for referrer in keepers.get(id(value), ()):
        if id(referrer) in visited:
            continue
        name = _name(referrer, value, keepers)
        if name is None and id(referrer) in keepers:
            name = _holder(referrer, keepers, visited, depth + 1)
        if name:
            return name
    return ""


def _passes_on(referrer: Any) -> bool:
    """Whether an object keeps things for whoever keeps it."""
    return isinstance(referrer, (list, tuple, dict, set, CellType, MethodType, Tracer))


def _is_module(referrer: Any) -> bool:
    """Whether an object is the namespace of a module: nobody's but the module's."""
    name = referrer.get("__name__") if isinstance(referrer, dict) else None
    return isinstance(name, str) and getattr(sys.modules.get(name), "__dict__", None) is referrer


def _name(referrer: Any, value: Any, keepers: dict[int, list[Any]]) -> str | None:
    """The description of an object that keeps a value for itself; None for others."""
    if isinstance(referrer, dict):
        return _name_of_namespace(referrer, value, keepers)
    if isinstance(referrer, FunctionType):
        if _is_own(referrer.__module__):
            return None
        return f"the function {referrer.__qualname__}, through {_of_function(referrer, value)}"
    if isinstance(referrer, GeneratorType):
        return f"the generator {referrer.__qualname__}"
    if isinstance(referrer, (type, ModuleType)) or _passes_on(referrer):
        return None
    kind = type(referrer)
    if _is_own(kind.__module__) or kind.__module__ in ("builtins", "functools", "weakref"):
        return None
    return _attribute(referrer, getattr(referrer, "__dict__", {}), value)


def _attribute(owner: Any, namespace: Any, value: Any) -> str:
    key = next((k for k, v in list(namespace.items()) if v is value), None)
    kind = f"an object of type {type(owner).__qualname__}"
    return kind if key is None else f"the attribute {key} of {kind}"


def _name_of_namespace(namespace: dict[Any, Any], value: Any, keepers: dict[int, list[Any]]) -> str | None:
    """A module's global or an object's attribute; None for an ordinary dict."""
    if "__name__" in namespace and "__builtins__" in namespace:
        key = next((k for k, v in list(namespace.items()) if v is value), None)
        return None if _is_own(namespace["__name__"]) else f"the global {key} of {namespace['__name__']}"
    for owner in keepers.get(id(namespace), ()):
        if getattr(owner, "__dict__", None) is namespace and not _is_own(type(owner).__module__):
            return _attribute(owner, namespace, value)
    return None


def _is_own(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] == _OWN


def _of_function(function: FunctionType, value: Any) -> str:
    closure = function.__closure__ or ()
    if value is closure:
        return "its closure"
    if value is function.__defaults__ or value is function.__kwdefaults__:
        return "a default argument"
    return "an attribute"

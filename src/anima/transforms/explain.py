"""Why a call was traced or compiled again: what `why_retraced` tells and `jax_explain_cache_misses` logs.

Invariant: nothing here runs in a call that found its program. A miss is only noted, in some microseconds; words are made when
somebody asks.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from types import CodeType
from typing import Any

from anima._native import CompiledCall, tree_unflatten
from anima.config import config, explain_cache_misses
from anima.core import source
from anima.core.source import Position
from anima.interpreters.flat import argument_name, leaf_names, name_of
from anima.options import values_of
from anima.records import NamedTuple
from anima.runtime import logs
from anima.runtime.sharded import own_sharding
from anima.tree.compare import treedef_differences
from anima.tree_util import keystr


class TraceKey(NamedTuple):
    """What a traced program depends on, besides its function."""

    options: int
    in_tree: Any
    avals: tuple[Any, ...]
    static: Any
    settings: Any  # which arguments are static
    axes: Any  # the named axes around the call


class Retrace(NamedTuple):
    """That a function was traced or compiled again.

    Attributes:
      kind: "traced", or "compiled" where the program was known, but not for where its arguments are.
      where: the call that needed it.
      reasons: what was different from the nearest of the earlier calls, an argument each.

    >>> from anima.transforms.explain import Retrace
    >>> Retrace("traced", "model.py:3 (step)", ("argument `x`: its shape was (3,), is (4,)",))
    traced again at model.py:3 (step): argument `x`: its shape was (3,), is (4,)
    """

    kind: str
    where: str
    reasons: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{self.kind} again at {self.where}: {'; '.join(self.reasons)}"

    def __str__(self) -> str:
        return repr(self)


class _Miss:
    """A call that found no program. `places`: what its arguments insist on; None if nothing was compiled for it."""

    __slots__ = ("key", "places", "traced", "where")

    def __init__(self, key: TraceKey, traced: bool) -> None:
        self.key = key
        self.places: tuple[Any, ...] | None = None
        self.traced = traced
        self.where: Position | None = source.current()


_history: weakref.WeakKeyDictionary[CompiledCall, list[_Miss]] = weakref.WeakKeyDictionary()
_MAX_HISTORY = 64  # misses of one function; the first and the latest are kept


# The code of functions that were traced while the option was on: one that is made anew for each call is met again here.
_seen: set[CodeType] = set()
_MAX_SEEN = 4096


def note_trace(call: CompiledCall, key: TraceKey, table: Sequence[TraceKey]) -> None:
    """Note that a call is traced; say why, if that is asked for.

    Args:
      key: what was looked up. table: what is known for the function.
    """
    if _is_own(call.fun):
        return
    _note(call, _Miss(key, traced=True))
    if explain_cache_misses.value:
        place = source.current() or "an unknown place"
        logs.warn("TRACING CACHE MISS at %s: %s", place, _trace_reasons(call.fun, key, table))


def note_compile(call: CompiledCall, key: TraceKey, leaves: Sequence[Any]) -> None:
    """Note that the program of a call is compiled for arguments where `leaves` are."""
    if _is_own(call.fun):
        return
    places = tuple([own_sharding(leaf) for leaf in leaves])
    known = _history.get(call, [])
    same = [miss for miss in known if miss.key == key]
    if any(miss.places == places for miss in same):
        return
    if same and same[-1].places is None:
        same[-1].places = places
        return
    miss = _Miss(key, traced=False)
    miss.places = places
    _note(call, miss)
    if same and explain_cache_misses.value:
        reasons = "; ".join(_place_reasons(call.fun, miss, same))
        place = source.current() or "an unknown place"
        logs.warn(
            "COMPILATION CACHE MISS at %s: %s was compiled before, but: %s",
            place,
            name_of(call.fun),
            reasons,
        )


def _note(call: CompiledCall, miss: _Miss) -> None:
    known = _history.setdefault(call, [])
    if len(known) >= _MAX_HISTORY:
        del known[1]
    known.append(miss)


def forget_history(call: CompiledCall) -> None:
    """Forget what was noted for a function."""
    _history.pop(call, None)


def why_retraced(call: CompiledCall, /) -> list[Retrace]:
    """Why this function was traced or compiled again, for each time after the first; an empty list if it was not.

    Returns:
      A list of `Retrace`, in the order in which it happened: the line of the call, and which argument's shape, dtype, weak
      type, structure, sharding or static value, or which option, differed from the nearest of the earlier calls.

    >>> import anima, anima.numpy as np
    >>> @anima.jit
    ... def scale(x, by):
    ...     return x * by
    >>> y = scale(np.ones(3), 2.0)
    >>> scale.why_retraced()
    []
    >>> y = scale(np.ones(4), 2.0)
    >>> [found] = scale.why_retraced()
    >>> found.reasons
    ('argument `x`: its shape was (3,), is (4,)',)
    """
    told: list[Retrace] = []
    earlier: list[_Miss] = []
    for miss in _history.get(call, ()):
        where = str(miss.where or "an unknown place")
        same = [other for other in earlier if other.key == miss.key and other.places is not None]
        if miss.traced and earlier:
            keys = [other.key for other in earlier]
            told.append(Retrace("traced", where, tuple(_nearest(call.fun, miss.key, keys))))
        elif same and not miss.traced:
            told.append(Retrace("compiled", where, tuple(_place_reasons(call.fun, miss, same))))
        earlier.append(miss)
    return told


def _is_own(fun: Any) -> bool:
    """Whether `fun` is a function of this package, called eagerly."""
    code = getattr(fun, "__code__", None)
    return code is not None and source.is_internal(code)


def _positions(key: TraceKey, count: int) -> list[int]:
    """The positions, among all arguments, of `count` arguments that are not static."""
    static = dict(key.static[0]) if key.static else {}
    return [i for i in range(count + len(static)) if i not in static][:count]


def _names(fun: Any, key: TraceKey) -> list[str]:
    """What messages call the leaves of the arguments."""
    args, kwargs = tree_unflatten(key.in_tree, [0] * key.in_tree.num_leaves)
    names: list[str] = []
    for position, arg in zip(_positions(key, len(args)), args):
        names += leaf_names(fun, [arg], {}, position)
    return names + leaf_names(fun, (), kwargs)


def _trace_reasons(fun: Any, key: TraceKey, table: Sequence[TraceKey]) -> str:
    name = name_of(fun)
    types = ", ".join(f"{n}: {_text(a)}" for n, a in zip(_names(fun, key), key.avals))
    code: CodeType | None = getattr(fun, "__code__", None)
    if not table:
        again = code in _seen
        if code is not None:
            if len(_seen) >= _MAX_SEEN:
                _seen.clear()
            _seen.add(code)
        if code is not None and again:
            return (
                f"{name} was traced before as another function object with the same code, defined at "
                f"{code.co_filename}:{code.co_firstlineno}. A lambda, a local function or a partial that is made anew for each "
                "call is traced anew each time: make it once, outside of the loop"
            )
        return f"{name} was never traced before, for ({types})"
    known = "one program is" if len(table) == 1 else f"{len(table)} programs are"
    return (
        f"{name} was traced before ({known} known), but not for ({types}). What differs from the nearest call: "
        f"{'; '.join(_nearest(fun, key, table))}"
    )


def _nearest(fun: Any, key: TraceKey, table: Sequence[TraceKey]) -> list[str]:
    """What differs from the call, of those in `table`, with which most agrees; of several such from the latest."""
    found = min(
        (_differences(fun, key, other) for other in reversed(table)),
        key=lambda ds: (len(ds), "".join(ds).count(", is ")),
    )
    return found or ["it captured a value of a transformation around it, or its program was forgotten"]


def _place_reasons(fun: Any, miss: _Miss, same: Sequence[_Miss]) -> list[str]:
    """How the places of arguments differ from those of earlier calls of the same program."""
    names = _names(fun, miss.key)
    found = [
        [
            f"argument {name}: it was {_place(then)}, is {_place(now)}"
            for name, now, then in zip(names, miss.places or (), other.places or ())
            if now != then
        ]
        for other in same
    ]
    return min(found, key=len)


def _place(sharding: Any) -> str:
    return "on no device in particular" if sharding is None else f"placed by {sharding}"


def _differences(fun: Any, key: TraceKey, other: TraceKey) -> list[str]:
    """What differs between two calls, in words."""
    found: list[str] = []
    moved = _passed_otherwise(fun, key, other) if key.in_tree != other.in_tree else []
    if moved:
        found += moved
    elif key.in_tree != other.in_tree:
        for difference in treedef_differences(other.in_tree, key.in_tree):
            where = _place_in_arguments(fun, key, difference.path)
            found.append(f"the structure of {where} was {difference.first}, is {difference.second}")
    else:
        for name, now, then in zip(_names(fun, key), key.avals, other.avals):
            found += _aval_differences(name, now, then)
    if key.static != other.static:
        found += _static_differences(fun, key.static, other.static)
    if key.settings != other.settings:
        found.append("other arguments are static")
    if key.axes != other.axes:
        found.append(f"the named axes around the call were {dict(other.axes)}, are {dict(key.axes)}")
    if key.options != other.options:
        found += _option_differences(key.options, other.options)
    return found


def _passed_otherwise(fun: Any, key: TraceKey, other: TraceKey) -> list[str]:
    """Which arguments were passed by position in one call and by keyword in the other."""
    ways = []
    for one in (other, key):
        args, kwargs = tree_unflatten(one.in_tree, [0] * one.in_tree.num_leaves)
        ways.append(
            (
                {argument_name(fun, i) for i in _positions(one, len(args))},
                {f"`{name}`" for name in kwargs},
            )
        )
    (positional, by_name), (positional_now, by_name_now) = ways
    return [
        *[
            f"argument {n}: it was passed by position, is passed by keyword"
            for n in sorted(positional & by_name_now)
        ],
        *[
            f"argument {n}: it was passed by keyword, is passed by position"
            for n in sorted(by_name & positional_now)
        ],
    ]


def _place_in_arguments(fun: Any, key: TraceKey, path: Sequence[Any]) -> str:
    if not path:
        return "the arguments"
    root, *rest = path
    if root.idx == 0 and rest:
        count = len(key.in_tree.children()[0].children())
        positions = _positions(key, count)
        if rest[0].idx < len(positions):
            name = argument_name(fun, positions[rest[0].idx])
            inside = keystr(tuple(rest[1:]))
            return f"{name[:-1]}{inside}`" if name.startswith("`") else f"argument {name}{inside}"
    return ("the positional arguments", "the keyword arguments")[root.idx] + keystr(tuple(rest))


def _aval_differences(name: str, now: Any, then: Any) -> list[str]:
    if now == then:
        return []
    parts = []
    if getattr(now, "shape", None) != getattr(then, "shape", None):
        parts.append(f"its shape was {then.shape}, is {now.shape}")
    if getattr(now, "dtype", None) != getattr(then, "dtype", None):
        parts.append(f"its dtype was {then.dtype}, is {now.dtype}")
    if getattr(now, "weak_type", None) != getattr(then, "weak_type", None):
        kinds = ["strongly typed, as arrays are", "weakly typed, as Python numbers are"]
        parts.append(f"it was {kinds[then.weak_type]}, is {kinds[now.weak_type]}")
    return [f"argument {name}: {', '.join(parts) or f'it was {_text(then)}, is {_text(now)}'}"]


def _static_differences(fun: Any, now: Any, then: Any) -> list[str]:
    found = []
    for current, earlier in zip(now or ((), ()), then or ((), ())):
        values, known = dict(current), dict(earlier)
        for where in {**values, **known}:
            if values.get(where) != known.get(where):
                shown = [_shown(v[where]) if where in v else "not given" for v in (known, values)]
                name = argument_name(fun, where) if isinstance(where, int) else f"`{where}`"
                found.append(f"static argument {name}: it was {shown[0]}, is {shown[1]}")
    return found


def _shown(static: Any) -> str:
    value = static.given
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _option_differences(now: int, then: int) -> list[str]:
    current, earlier = values_of(now), values_of(then)
    return [
        f"the option {f'jax_{name}' if f'jax_{name}' in config.values else name} was {earlier[name]!r}, is {value!r}"
        for name, value in current.items()
        if name in earlier and earlier[name] != value
    ] or ["options that are not known any more"]


def _text(aval: Any) -> str:
    return str(aval.str_short(short_dtypes=False))

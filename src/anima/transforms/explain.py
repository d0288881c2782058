"""Why a call was traced again: what `jax_explain_cache_misses` logs.

Invariant: only ever runs when the option is on, after a look-up that found nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import CodeType
from typing import Any, NamedTuple

from anima.config import config
from anima.core import source
from anima.interpreters.flat import name_of
from anima.options import values_of
from anima.runtime import logs
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


# The code of functions that were traced while the option was on: one that is made anew for each call is met again here.
_seen: set[CodeType] = set()
_MAX_SEEN = 4096


def explain_miss(fun: Any, key: TraceKey, table: Sequence[TraceKey], names: Sequence[str]) -> None:
    """Log why a call is traced.

    Args:
      key: what was looked up. table: what is known for the function.
      names: what messages call the leaves of the arguments.
    """
    code = getattr(fun, "__code__", None)
    if code is not None and source.is_internal(code):
        return  # a function of this package, called eagerly
    logs.warn(
        "TRACING CACHE MISS at %s: %s",
        source.current() or "an unknown place",
        _reasons(fun, key, table, names),
    )


def _reasons(fun: Any, key: TraceKey, table: Sequence[TraceKey], names: Sequence[str]) -> str:
    name = name_of(fun)
    types = ", ".join(f"{n}: {_text(a)}" for n, a in zip(names, key.avals))
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
    found = min(
        (_differences(key, other, names) for other in table), key=lambda ds: (len(ds), len("".join(ds)))
    )
    known = "one program is" if len(table) == 1 else f"{len(table)} programs are"
    return (
        f"{name} was traced before ({known} known), but not for ({types}). What differs from the nearest call: "
        f"{'; '.join(found)}"
    )


def _differences(key: TraceKey, other: TraceKey, names: Sequence[str]) -> list[str]:
    """What differs between two calls, in words."""
    found: list[str] = []
    if key.in_tree != other.in_tree:
        for difference in treedef_differences(other.in_tree, key.in_tree):
            root, *rest = difference.path or (None,)
            where = "the arguments" if root is None else ("args", "kwargs")[root.idx] + keystr(tuple(rest))
            found.append(f"the structure of {where} was {difference.first}, is {difference.second}")
    else:
        for name, now, then in zip(names, key.avals, other.avals):
            found += _aval_differences(name, now, then)
    if key.static != other.static:
        found += _static_differences(key.static, other.static)
    if key.settings != other.settings:
        found.append("other arguments are static")
    if key.axes != other.axes:
        found.append(f"the named axes around the call were {dict(other.axes)}, are {dict(key.axes)}")
    if key.options != other.options:
        found += _option_differences(key.options, other.options)
    return found


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


def _static_differences(now: Any, then: Any) -> list[str]:
    found = []
    for kind, current, earlier in zip(("number ", ""), now or ((), ()), then or ((), ())):
        values, known = dict(current), dict(earlier)
        for where in {**values, **known}:
            if values.get(where) != known.get(where):
                shown = [repr(v[where].value)[:60] if where in v else "not given" for v in (known, values)]
                found.append(f"static argument {kind}{where}: it was {shown[0]}, is {shown[1]}")
    return found


def _option_differences(now: int, then: int) -> list[str]:
    current, earlier = values_of(now), values_of(then)
    return [
        f"the option {f'jax_{name}' if f'jax_{name}' in config.values else name} was {earlier[name]!r}, is {value!r}"
        for name, value in current.items()
        if name in earlier and earlier[name] != value
    ] or ["options that are not known any more"]


def _text(aval: Any) -> str:
    return str(aval.str_short(short_dtypes=False))

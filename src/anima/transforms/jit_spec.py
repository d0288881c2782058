"""What `jit` is told about a function's arguments, checked against the function's signature.

Invariant: a `JitSpec` is valid for its function; positions and names of static and donated arguments say the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from anima.records import Record
from anima.runtime import sharded
from anima.transforms.arguments import name_of, parameters_of, signature_of


class JitSpec(Record):
    """What `jit` was told, apart from the function."""

    static_argnums: tuple[int, ...] = ()
    static_argnames: tuple[str, ...] = ()
    donate_argnums: tuple[int, ...] = ()
    donate_argnames: tuple[str, ...] = ()
    in_shardings: Any = sharded.UNSPECIFIED
    out_shardings: Any = sharded.UNSPECIFIED
    keep_unused: bool = False
    inline: bool = False
    compiler_options: dict[str, Any] | None = None
    control_flow: str | None = None
    on_host: bool = False  # NumPy may answer the first calls

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def key(self) -> tuple[Any, ...]:
        """What a traced program depends on, besides the arguments."""
        return (self.static_argnums, self.static_argnames, self.control_flow)


def _as_tuple(value: Any, kind: type, what: str) -> tuple[Any, ...]:
    if value is None:
        return ()
    single = isinstance(value, kind) or (kind is int and hasattr(value, "__index__"))
    if not single and (isinstance(value, str) or not isinstance(value, Iterable)):
        raise TypeError(f"jit: {what} must be one or several values of type {kind.__name__}, got {value!r}")
    items = [value] if single else list(value)
    if kind is int:
        items = [i.__index__() if hasattr(i, "__index__") and not isinstance(i, bool) else i for i in items]
    for item in items:
        if not isinstance(item, kind) or isinstance(item, bool):
            raise TypeError(f"jit: {what} must be {kind.__name__}s, got {item!r}")
    return tuple(items)


def resolve_arguments(
    fun: Any, numbers: Any, names: Any, what: str
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Positions and names of arguments, each completed from the other through the signature.

    Raises:
      ValueError: a position or name does not exist.
    """
    if numbers is None and names is None:
        return (), ()
    positions = list(_as_tuple(numbers, int, f"{what}_argnums"))
    given = list(_as_tuple(names, str, f"{what}_argnames"))
    params = parameters_of(fun)
    if params is None:
        return tuple(sorted(positions)), tuple(given)
    positional = [p.name for p in params if p.positional]
    variadic = any([p.kind is inspect.Parameter.VAR_POSITIONAL for p in params])
    by_keyword = {p.name for p in params if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD}
    keywords = by_keyword | {p.name for p in params if p.kind is inspect.Parameter.KEYWORD_ONLY}
    any_keyword = any([p.kind is inspect.Parameter.VAR_KEYWORD for p in params])
    for i, number in enumerate(positions):
        if number < 0:
            positions[i] = number + len(positional)
        if not 0 <= positions[i] < len(positional) and not (variadic and positions[i] >= 0):
            raise ValueError(
                f"jit: {what}_argnums {number} is out of range: {name_of(fun)} takes {len(positional)} positional arguments"
            )
    for name in given:
        if name not in keywords and not any_keyword:
            raise ValueError(
                f"jit: {what}_argnames {name!r} is not an argument of {name_of(fun)}{signature_of(fun)}"
            )
    if names is None:
        given += [positional[i] for i in positions if i < len(positional) and positional[i] in by_keyword]
    if numbers is None:
        positions += [positional.index(n) for n in given if n in positional]
    return tuple(sorted(set(positions))), tuple(dict.fromkeys(given))

"""Jaxprs: the intermediate representation of traced programs.

Invariant (checked by `core.validate`): a jaxpr is in single-assignment form, every atom of an equation
is a literal or a variable bound before it, avals of inputs and outputs agree with the primitive's
shape rule, and effects are the union of the equations' own. Jaxprs are immutable once built; results
derived from one (its linearisation, its batched form) live in its `memo` and die with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, final

from anima.core.aval import AbstractValue
from anima.core.effects import Effects, no_effects

if TYPE_CHECKING:
    from anima.core.primitive import Primitive
    from anima.core.source import Position

T = TypeVar("T")


class Var:
    """A variable; identity is its name."""

    __slots__ = ("aval",)

    def __init__(self, aval: AbstractValue) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval.str_short()})"


@final
class Literal:
    """A scalar constant written into the equation that uses it."""

    __slots__ = ("aval", "val")

    def __init__(self, val: Any, aval: AbstractValue) -> None:
        self.val = val
        self.aval = aval

    def __repr__(self) -> str:
        return f"{self.val}:{self.aval.str_short()}"


class DropVar(Var):
    """An output nobody reads; prints as `_`."""

    __slots__ = ()


Atom = Var | Literal


class Eqn:
    """One application of a primitive."""

    __slots__ = ("effects", "invars", "outvars", "params", "primitive", "source")

    def __init__(
        self,
        primitive: Primitive,
        invars: Sequence[Atom],
        outvars: list[Var],
        params: dict[str, Any],
        effects: Effects = no_effects,
        source: Position | None = None,
    ) -> None:
        self.primitive = primitive
        self.invars = invars
        self.outvars = outvars
        self.params = params
        self.effects = effects
        self.source = source

    def replace(self, **changes: Any) -> Eqn:
        """A copy with some fields replaced."""
        return Eqn(**({name: getattr(self, name) for name in Eqn.__slots__} | changes))

    def __repr__(self) -> str:
        return pretty_eqn(self)


class Jaxpr:
    """An open program: `constvars` are bound to constants that a `ClosedJaxpr` holds."""

    __slots__ = ("__weakref__", "constvars", "effects", "eqns", "invars", "memo", "name", "outvars")

    def __init__(
        self,
        constvars: list[Var],
        invars: list[Var],
        outvars: Sequence[Atom],
        eqns: list[Eqn],
        effects: Effects = no_effects,
        name: str = "",
    ) -> None:
        self.constvars = constvars
        self.invars = invars
        self.outvars = outvars
        self.eqns = eqns
        self.effects = effects
        self.name = name
        self.memo: dict[Hashable, Any] = {}

    @property
    def in_avals(self) -> list[AbstractValue]:
        return [v.aval for v in self.invars]

    @property
    def out_avals(self) -> list[AbstractValue]:
        return [v.aval for v in self.outvars]

    def memoized(self, key: Hashable, build: Callable[[], T]) -> T:
        """The value of `build()`, computed once for this jaxpr and `key`."""
        known: T | None = self.memo.get(key)
        if known is not None:
            return known
        # Two threads may both build; the first to store wins, so that both use one object.
        built: T = self.memo.setdefault(key, build())
        return built

    def __repr__(self) -> str:
        return pretty_jaxpr(self)


class ClosedJaxpr:
    """A jaxpr with its constants."""

    __slots__ = ("__weakref__", "consts", "jaxpr")

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Any]) -> None:
        if len(consts) != len(jaxpr.constvars):
            raise ValueError(f"{len(consts)} consts given for {len(jaxpr.constvars)} constvars")
        self.jaxpr = jaxpr
        self.consts = list(consts)

    @property
    def in_avals(self) -> list[AbstractValue]:
        return self.jaxpr.in_avals

    @property
    def out_avals(self) -> list[AbstractValue]:
        return self.jaxpr.out_avals

    @property
    def eqns(self) -> list[Eqn]:
        return self.jaxpr.eqns

    @property
    def effects(self) -> Effects:
        return self.jaxpr.effects

    @property
    def literals(self) -> list[Any]:
        return self.consts

    def __repr__(self) -> str:
        return pretty_jaxpr(self.jaxpr)


def subjaxprs(params: dict[str, Any]) -> list[Jaxpr]:
    """The jaxprs among an equation's parameters (also inside tuples)."""
    found: list[Jaxpr] = []
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, Jaxpr):
                found.append(item)
            elif isinstance(item, ClosedJaxpr):
                found.append(item.jaxpr)
    return found


def join_effects(eqns: Sequence[Eqn]) -> Effects:
    """The union of the equations' effects."""
    found = [eqn.effects for eqn in eqns if eqn.effects]
    return frozenset().union(*found) if found else no_effects


def pretty_jaxpr(jaxpr: Jaxpr) -> str:
    """The printed form of a jaxpr."""
    return printer.jaxpr(jaxpr)


def pretty_eqn(eqn: Eqn) -> str:
    """The printed form of one equation."""
    return printer.eqn(eqn)


class _Printer:
    """Set by core.pretty, which needs the classes above."""

    jaxpr: Callable[[Jaxpr], str]
    eqn: Callable[[Eqn], str]


printer = _Printer()

"""Jaxprs: the intermediate representation of traced programs.

Invariant (checked by `core.validate`): a jaxpr is in single-assignment form, every atom of an equation
is a literal or a variable bound before it, avals of inputs and outputs agree with the primitive's
shape rule, and effects are the union of the equations' own. Jaxprs are immutable once built; results
derived from one (its linearisation, its batched form) live in its `memo` and die with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, final

from anima._native import made_by_position
from anima.core.aval import AbstractValue
from anima.core.debug_info import DebugInfo
from anima.core.effects import Effects, no_effects
from anima.core.source import Position
from anima.core.source_info import SourceInfo

if TYPE_CHECKING:
    from anima.core.primitive import Primitive

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


made_by_position(Var, "aval")
made_by_position(Literal, "val", "aval")


class DropVar(Var):
    """An output nobody reads; prints as `_`."""

    __slots__ = ()


Atom = Var | Literal


class EqnContext:
    """No options."""

    __slots__ = ()

    @property
    def manager(self) -> AbstractContextManager[None]:
        return nullcontext()


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

    @property
    def source_info(self) -> SourceInfo:
        """Where in the user's program the equation came from."""
        return SourceInfo(self.source)

    @property
    def ctx(self) -> EqnContext:
        """In JAX, options to evaluate the equation under: `with eqn.ctx.manager:`. Here parameters hold all of them."""
        return EqnContext()

    def replace(self, **changes: Any) -> Eqn:
        """A copy with some fields replaced (`source_info` for `source`, too)."""
        changes.pop("ctx", None)
        if "source_info" in changes:
            info = changes.pop("source_info")
            changes["source"] = None if info is None else info.position
        return Eqn(**({name: getattr(self, name) for name in Eqn.__slots__} | changes))

    def __repr__(self) -> str:
        return pretty_eqn(self)


made_by_position(Eqn, "primitive", "invars", "outvars", "params", "effects", "source")


class Jaxpr:
    """An open program: `constvars` are bound to constants that a `ClosedJaxpr` holds."""

    __slots__ = (
        "__weakref__", "_debug_info", "constvars", "effects", "eqns", "invars", "memo", "name", "outvars",
    )  # fmt: skip

    def __init__(
        self,
        constvars: list[Var],
        invars: list[Var],
        outvars: Sequence[Atom],
        eqns: list[Eqn],
        effects: Effects = no_effects,
        name: str | DebugInfo | None = "",
        debug_info: DebugInfo | None = None,
    ) -> None:
        if not isinstance(name, str):  # the place where JAX's `Jaxpr` has its `debug_info`
            debug_info = name
        self.constvars = constvars
        self.invars = invars
        self.outvars = outvars
        self.eqns = eqns
        self.effects = effects
        self.name = name if isinstance(name, str) else "" if name is None else name.func_name
        self.memo: dict[Hashable, Any] = {}
        self._debug_info = debug_info

    @property
    def debug_info(self) -> DebugInfo:
        """What the program's function, arguments and results are called, for messages."""
        return self._debug_info or DebugInfo("jit", self.name or "<unknown>")

    def replace(self, **changes: Any) -> Jaxpr:
        """A copy with some fields replaced."""
        fields = ("constvars", "invars", "outvars", "eqns", "effects", "name", "debug_info")
        if "debug_info" in changes:
            changes = {"name": changes["debug_info"].func_name, **changes}
        kept = {name: getattr(self, name) for name in fields[:-1]} | {"debug_info": self._debug_info}
        if unknown := sorted({*changes} - {*fields}):
            raise TypeError(
                f"Jaxpr.replace: a jaxpr has no {', '.join(unknown)}; its fields are {', '.join(fields)}"
            )
        return Jaxpr(**(kept | changes))

    def pretty_print(self, **options: Any) -> str:
        """The printed form.

        Args:
          source_info: whether to show the position in the user's program of each equation.
          name_stack: whether to show the `named_scope`s around each equation.
          print_shapes: whether to show the types of variables.
          print_effects: whether to show the program's effects.
        """
        return printer.jaxpr(self, **options)

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

    @property
    def constvars(self) -> list[Var]:
        return self.jaxpr.constvars

    @property
    def invars(self) -> list[Var]:
        return self.jaxpr.invars

    @property
    def outvars(self) -> Sequence[Atom]:
        return self.jaxpr.outvars

    @property
    def debug_info(self) -> DebugInfo:
        return self.jaxpr.debug_info

    def replace(self, *, jaxpr: Jaxpr | None = None, consts: Sequence[Any] | None = None) -> ClosedJaxpr:
        """A copy with another jaxpr or other constants."""
        return ClosedJaxpr(self.jaxpr if jaxpr is None else jaxpr, self.consts if consts is None else consts)

    def map_jaxpr(self, f: Callable[[Jaxpr], Jaxpr]) -> ClosedJaxpr:
        """`f(jaxpr)` with these constants."""
        return ClosedJaxpr(f(self.jaxpr), self.consts)

    def pretty_print(self, **options: Any) -> str:
        """The printed form; options are those of `Jaxpr.pretty_print`."""
        return printer.jaxpr(self.jaxpr, **options)

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

    jaxpr: Callable[..., str]
    eqn: Callable[[Eqn], str]


printer = _Printer()

"""Named axes: which ones the transformations in progress bind, and the effect of using one.

Invariant: an axis name means the innermost transformation around the ambient trace that binds it. An operation over a
named axis has a `NamedAxisEffect`, and so has every program that holds one; whoever keeps what was traced or derived
keeps it under `named_axes()`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from anima._native import get_trace, set_trace
from anima.core.effects import Effect, Effects
from anima.core.primitive import Primitive
from anima.core.trace import Trace
from anima.errors import UnboundAxisNameError
from anima.records import NamedTuple


class NamedAxis(NamedTuple):
    """A bound axis: its name and size, and whether types say along it which values vary (`core.variance`)."""

    name: Hashable
    size: int
    tracked: bool = False


NamedAxes = tuple[NamedAxis, ...]


class NamedAxisEffect(Effect):
    """Something is computed over a named axis. It is no event, so nothing has to happen if its result is not used."""

    __slots__ = ("name",)

    observable = False
    under_masks = True

    def __init__(self, name: Hashable) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return type(other) is NamedAxisEffect and self.name == other.name

    def __hash__(self) -> int:
        return hash((NamedAxisEffect, self.name))

    def __repr__(self) -> str:
        return f"NamedAxisEffect(name={self.name!r})"


class MeshEffect(Effect):
    """Something is computed on the devices of a mesh, so the program runs there. It is no event either."""

    __slots__ = ("mesh",)

    observable = False
    under_masks = True

    def __init__(self, mesh: Any) -> None:
        self.mesh = mesh

    def __eq__(self, other: object) -> bool:
        return type(other) is MeshEffect and self.mesh == other.mesh

    def __hash__(self) -> int:
        return hash((MeshEffect, self.mesh))

    def __repr__(self) -> str:
        return f"MeshEffect({self.mesh!r})"


def uses(names: Sequence[Hashable]) -> Effects:
    """The effects of an operation over these axes."""
    return frozenset([NamedAxisEffect(name) for name in names])


def named_axes() -> NamedAxes:
    """The names and sizes of the axes that are bound around here, the innermost first, shadowed ones too."""
    trace = get_trace()
    found: NamedAxes = ()
    while trace is not None:
        found += trace.bound_axes
        trace = trace.parent
    return found


def axis_names() -> list[Hashable]:
    """The names of the axes that are bound around here, the innermost first."""
    return list(dict.fromkeys([axis.name for axis in named_axes()]))


def axis_of_name(name: Hashable) -> NamedAxis:
    """The axis that a name means here.

    Raises:
      UnboundAxisNameError: no transformation in progress binds the name.
    """
    trace = get_trace()
    while trace is not None:
        for axis in trace.bound_axes:
            if axis.name == name:
                return axis  # type: ignore[no-any-return]
        trace = trace.parent
    raise UnboundAxisNameError(name, axis_names())


class AxisTrace(Trace):
    """Binds names without doing anything else: programs traced inside may use them."""

    __slots__ = ("_axes",)

    def __init__(self, parent: Trace | None, axes: NamedAxes) -> None:
        self.parent = parent
        self._axes = axes

    @property
    def bound_axes(self) -> NamedAxes:
        return self._axes

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        set_trace(self.parent)
        try:
            return primitive.bind(*args, **params)
        finally:
            set_trace(self)


def axes_alone() -> AxisTrace | None:
    """A trace outside every transformation that binds the names bound here; None if there are none."""
    axes = named_axes()
    return AxisTrace(None, axes) if axes else None

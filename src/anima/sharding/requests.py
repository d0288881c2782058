"""What stands for a sharding where one is asked for: a spec, for the current mesh, or a format.

Invariant: a spec is looked up in the mesh that is current when it is used, not when it is given.
"""

from __future__ import annotations

from typing import Any

from anima.sharding.formats import Format, Layout
from anima.sharding.mesh import get_abstract_mesh, get_mesh
from anima.sharding.shardings import NamedSharding, Sharding
from anima.sharding.spec import PartitionSpec


def is_request(x: Any) -> bool:
    """Whether this stands for a sharding, or is one."""
    return isinstance(x, (Sharding, PartitionSpec, Format))


def says_nothing(x: Any) -> bool:
    """Whether this is what types have for a sharding where it is no part of them: one over a mesh without axes."""
    return isinstance(x, NamedSharding) and x.mesh.empty


def on_current_mesh(what: str, spec: PartitionSpec, error: type[Exception] = RuntimeError) -> NamedSharding:
    """The sharding that a spec stands for.

    Args:
      what: the argument in which it stands, for messages.
      error: what is raised if there is no current mesh.
    """
    mesh: Any = get_mesh()
    if mesh.empty:
        mesh = get_abstract_mesh()
    if mesh.empty:
        raise error(f"{what}: a PartitionSpec needs a mesh; set one with set_mesh, or give a NamedSharding")
    return NamedSharding(mesh, spec)


def sharding_of(what: str, given: Any, ndim: int, error: type[Exception] = RuntimeError) -> Any:
    """The sharding that a spec or a format stands for, for an array of `ndim` dimensions; other values as they are.

    Args:
      what: the argument in which it stands, for messages.
      error: what is raised if a spec has no mesh.
    Raises:
      ValueError: the layout of a format has another number of dimensions, or is one that arrays never have.
    """
    if isinstance(given, PartitionSpec):
        return on_current_mesh(what, given, error)
    if not isinstance(given, Format):
        return given
    layout = given.layout
    if isinstance(layout, Layout):
        if len(layout.major_to_minor) != ndim:
            raise ValueError(
                f"{what}: {layout} is for {len(layout.major_to_minor)} dimensions, the array has {ndim}"
            )
        if layout.major_to_minor != tuple(range(ndim)) or layout.tiling:
            raise ValueError(
                f"{what}: arrays lie in memory with their last dimension contiguous, and not as {layout} says; transpose the "
                "array instead, or give Layout.AUTO"
            )
    return given.sharding

"""Meshes: devices arranged in a grid with named axes, and which mesh is the current one.

Invariant: a mesh is immutable; two with the same devices in the same places, axis names and types are equal. The
current mesh belongs to the thread, and is part of the options key: what is traced under one mesh is not reused under
another.
"""

from __future__ import annotations

import collections
import enum
import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from anima.config import Override, register_context_value
from anima.errors import ShardingError
from anima.sharding.spec import PartitionSpec


class AxisType(enum.Enum):
    """Who decides how arrays are split over a mesh axis.

    ``Auto``: the compiler, from the shardings of arguments and results and from constraints. ``Explicit``: the types of
    arrays. ``Manual``: the program, within ``shard_map``.
    """

    Auto = enum.auto()
    Explicit = enum.auto()
    Manual = enum.auto()

    def __repr__(self) -> str:
        return self.name


class _Axes:
    """The names, sizes and types of the axes of a mesh."""

    __slots__ = ("__weakref__", "_hash", "axis_names", "axis_sizes", "axis_types")

    _hash: int
    axis_names: tuple[Any, ...]
    axis_sizes: tuple[int, ...]
    axis_types: tuple[AxisType, ...]

    def _set_axes(self, what: str, sizes: Sequence[int], names: Any, types: Any) -> None:
        names = (names,) if isinstance(names, str) else tuple(names)
        if len(names) != len(sizes):
            raise ValueError(
                f"{what}: there must be one axis name for each dimension of the grid; the grid has the shape "
                f"{tuple(sizes)}, axis_names is {names}"
            )
        if None in names or len(set(names)) != len(names):
            raise ValueError(
                f"{what}: axis names must be different from each other and not None; got {names}"
            )
        if types is None:
            types = AxisType.Auto
        types = (types,) * len(names) if isinstance(types, AxisType) else tuple(types)
        if len(types) != len(names) or not all(isinstance(kind, AxisType) for kind in types):
            raise ValueError(
                f"{what}: axis_types is one AxisType, or one for each of the axes {names}; got {types!r}"
            )
        self.axis_names, self.axis_sizes, self.axis_types = names, tuple(map(int, sizes)), types

    @property
    def shape(self) -> collections.OrderedDict[Any, int]:
        """The size of each axis by name."""
        return collections.OrderedDict(zip(self.axis_names, self.axis_sizes))

    @property
    def shape_tuple(self) -> tuple[tuple[Any, int], ...]:
        """``(name, size)`` of each axis."""
        return tuple(zip(self.axis_names, self.axis_sizes))

    @property
    def size(self) -> int:
        """How many devices there are."""
        return math.prod(self.axis_sizes) if self.axis_names else 0

    @property
    def empty(self) -> bool:
        """Whether this is the mesh without axes, which stands for no mesh."""
        return not self.axis_names

    def _axes_of(self, kind: AxisType) -> tuple[Any, ...]:
        return tuple([name for name, its in zip(self.axis_names, self.axis_types) if its is kind])

    @property
    def auto_axes(self) -> tuple[Any, ...]:
        """The names of the axes of type ``Auto``."""
        return self._axes_of(AxisType.Auto)

    @property
    def explicit_axes(self) -> tuple[Any, ...]:
        """The names of the axes of type ``Explicit``."""
        return self._axes_of(AxisType.Explicit)

    @property
    def manual_axes(self) -> tuple[Any, ...]:
        """The names of the axes of type ``Manual``."""
        return self._axes_of(AxisType.Manual)

    @property
    def are_all_axes_auto(self) -> bool:
        """Whether there are axes, and every one is of type ``Auto``."""
        return 0 < len(self.axis_names) == len(self.auto_axes)

    @property
    def are_all_axes_explicit(self) -> bool:
        """Whether there are axes, and every one is of type ``Explicit``."""
        return 0 < len(self.axis_names) == len(self.explicit_axes)

    @property
    def are_all_axes_manual(self) -> bool:
        """Whether there are axes, and every one is of type ``Manual``."""
        return 0 < len(self.axis_names) == len(self.manual_axes)

    def __hash__(self) -> int:
        return self._hash

    def __deepcopy__(self, memo: object) -> Any:
        return self  # immutable, and devices have no copies

    def _axes_text(self) -> str:
        axes = "".join([f"{name!r}: {size}, " for name, size in self.shape_tuple])
        return f"{axes or '(), '}axis_types={self.axis_types}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._axes_text()})"


class AbstractMesh(_Axes):
    """A mesh without devices: for programs that are traced or exported before it is known where they run.

    Args:
      axis_sizes: the shape of the grid.
      axis_names: a name for each axis.
      axis_types: an ``AxisType`` for all axes or one for each; ``Auto`` by default.

    Raises:
      ValueError: names, sizes and types do not belong together.

    >>> import anima
    >>> anima.sharding.AbstractMesh((4, 2), ("x", "y"))
    AbstractMesh('x': 4, 'y': 2, axis_types=(Auto, Auto))
    """

    __slots__ = ()

    def __init__(
        self,
        axis_sizes: Sequence[int],
        axis_names: str | Sequence[Any],
        axis_types: AxisType | Sequence[AxisType] | None = None,
    ) -> None:
        self._set_axes("AbstractMesh", tuple(axis_sizes), axis_names, axis_types)
        self._hash = hash((self.axis_names, self.axis_sizes, self.axis_types))

    @property
    def abstract_mesh(self) -> AbstractMesh:
        """The mesh itself."""
        return self

    @property
    def devices(self) -> Any:
        """There are none: raises ValueError."""
        raise ValueError(f"{self} has no devices; use a Mesh with the same axes where the program is to run")

    def update(
        self,
        axis_sizes: Sequence[int] | None = None,
        axis_names: Sequence[Any] | None = None,
        axis_types: Sequence[AxisType] | None = None,
    ) -> AbstractMesh:
        """The same with some parts replaced."""
        return AbstractMesh(
            self.axis_sizes if axis_sizes is None else axis_sizes,
            self.axis_names if axis_names is None else axis_names,
            self.axis_types if axis_types is None else axis_types,
        )

    def update_axis_types(self, name_to_type: Mapping[Any, AxisType]) -> AbstractMesh:
        """The same with other types for some axes."""
        types = [name_to_type.get(name, kind) for name, kind in zip(self.axis_names, self.axis_types)]
        return self.update(axis_types=types)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, AbstractMesh)
            and self.shape_tuple == other.shape_tuple
            and self.axis_types == other.axis_types
        )

    __hash__ = _Axes.__hash__

    def __reduce__(self) -> tuple[Any, ...]:  # hashes differ from process to process, so none is pickled
        return AbstractMesh, (self.axis_sizes, self.axis_names, self.axis_types)


class Mesh(_Axes):
    """Devices in a grid with named axes.

    ``with mesh:`` makes it the current mesh of the thread for a block, as ``set_mesh`` does.

    Args:
      devices: a NumPy array of devices, or nested sequences of them; no device twice.
      axis_names: a name for each dimension of ``devices``; a string is one name.
      axis_types: an ``AxisType`` for all axes or one for each; ``Auto`` by default.

    Raises:
      ValueError: names, devices and types do not belong together.

    >>> import anima, numpy
    >>> mesh = anima.sharding.Mesh(numpy.array(anima.devices()[:1]).reshape(1, 1), ("data", "model"))
    >>> mesh
    Mesh('data': 1, 'model': 1, axis_types=(Auto, Auto))
    >>> mesh.shape["data"], mesh.size
    (1, 1)
    """

    __slots__ = ("_block", "abstract_mesh", "devices", "flat_devices")

    devices: np.ndarray[Any, Any]
    flat_devices: tuple[Any, ...]
    abstract_mesh: AbstractMesh
    _block: Override

    def __init__(
        self,
        devices: Any,
        axis_names: str | Sequence[Any],
        axis_types: AxisType | Sequence[AxisType] | None = None,
    ) -> None:
        grid = np.array(devices, dtype=object)
        self._set_axes("Mesh", grid.shape, axis_names, axis_types)
        if not self.axis_names:
            grid = np.empty(0, dtype=object)
        grid.flags.writeable = False
        self.devices = grid
        self.flat_devices = tuple(grid.flat)
        if len(set(self.flat_devices)) != len(self.flat_devices):
            raise ValueError(f"Mesh: each device may stand in one place only; got {list(self.flat_devices)}")
        self.abstract_mesh = AbstractMesh(self.axis_sizes, self.axis_names, self.axis_types)
        self._hash = hash((self.flat_devices, self.abstract_mesh))
        self._block = _context((self, self.abstract_mesh))

    @property
    def device_ids(self) -> np.ndarray[Any, Any]:
        """The ids of the devices, in the grid."""
        ids = [device.id for device in self.flat_devices]
        return np.array(ids, dtype=np.int64).reshape(self.devices.shape)

    @property
    def local_devices(self) -> list[Any]:
        """The devices of this process."""
        return [device for device in self.flat_devices if device.process_index == device.client.process_index]

    @property
    def is_multi_process(self) -> bool:
        """Whether some devices belong to another process."""
        return len(self.local_devices) != len(self.flat_devices)

    @property
    def local_mesh(self) -> Mesh:
        """The mesh of the devices of this process.

        Raises:
          ValueError: they do not form a block of the grid.
        """
        if not self.is_multi_process:
            return self
        local = set(self.local_devices)
        mask = np.array([device in local for device in self.flat_devices]).reshape(self.devices.shape)
        rows = np.ix_(*[np.unique(indices) for indices in np.nonzero(mask)])
        if self.devices[rows].size != len(local):
            raise ValueError(f"the devices of this process do not form a block of {self}")
        return Mesh(self.devices[rows], self.axis_names, self.axis_types)

    def update(
        self,
        devices: Any = None,
        axis_names: Sequence[Any] | None = None,
        axis_types: Sequence[AxisType] | None = None,
    ) -> Mesh:
        """The same with some parts replaced."""
        return Mesh(
            self.devices if devices is None else devices,
            self.axis_names if axis_names is None else axis_names,
            self.axis_types if axis_types is None else axis_types,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            f"{self} cannot be pickled, since its devices belong to this process; pickle its abstract_mesh"
        )

    def __enter__(self) -> Mesh:
        self._block.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, trace)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Mesh)
            and self._hash == other._hash
            and self.flat_devices == other.flat_devices
            and self.abstract_mesh == other.abstract_mesh
        )

    __hash__ = _Axes.__hash__


# (the current mesh, the current abstract mesh); either may be None.
_context = register_context_value("mesh", (None, None))


@functools.cache
def empty_mesh() -> Mesh:
    """The mesh without axes and devices, which stands for no mesh."""
    return Mesh(np.empty((), dtype=object), ())


def get_mesh() -> Mesh:
    """The current mesh of this thread, set by ``with mesh:`` or ``set_mesh``; the empty mesh if there is none.

    >>> import anima
    >>> anima.sharding.get_mesh().empty
    True
    """
    mesh: Mesh | None = _context.value[0]
    return empty_mesh() if mesh is None else mesh


def get_abstract_mesh() -> AbstractMesh:
    """The current abstract mesh of this thread: that of the current mesh unless ``use_abstract_mesh`` says another.

    >>> import anima
    >>> anima.sharding.get_abstract_mesh().empty
    True
    """
    mesh: AbstractMesh | None = _context.value[1]
    return empty_mesh().abstract_mesh if mesh is None else mesh


class set_mesh:
    """Makes a mesh the current one of this thread: from now on, or with ``with`` for a block.

    Args:
      mesh: the mesh.

    Raises:
      TypeError: it is not a mesh.

    >>> import anima
    >>> with anima.sharding.set_mesh(anima.make_mesh((1,), ("x",))) as mesh:
    ...     anima.sharding.get_mesh() == mesh
    True
    """

    def __init__(self, mesh: Mesh) -> None:
        if not isinstance(mesh, Mesh):
            raise TypeError(
                f"set_mesh needs a Mesh, got {mesh!r}; for an AbstractMesh there is use_abstract_mesh"
            )
        self._mesh = mesh
        self._block = _context((mesh, mesh.abstract_mesh))
        self._block.__enter__()

    def __enter__(self) -> Mesh:
        return self._mesh

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, trace)


def use_abstract_mesh(mesh: AbstractMesh) -> Override:
    """Makes a mesh without devices the current abstract mesh of this thread for a ``with`` block.

    Args:
      mesh: the mesh.

    >>> import anima
    >>> mesh = anima.sharding.AbstractMesh((4,), ("x",))
    >>> with anima.sharding.use_abstract_mesh(mesh):
    ...     anima.sharding.get_abstract_mesh()
    AbstractMesh('x': 4, axis_types=(Auto,))
    """
    if not isinstance(mesh, AbstractMesh):
        raise TypeError(f"use_abstract_mesh needs an AbstractMesh, got {mesh!r}")
    return _context((_context.value[0], mesh))


def within_mesh(mesh: Mesh | AbstractMesh, manual: Collection[Any]) -> Override:
    """Makes a mesh the current one for a `with` block, in which some of its axes are manual: inside a `shard_map`."""
    types = dict.fromkeys(manual, AxisType.Manual)
    concrete = mesh if isinstance(mesh, Mesh) else None
    return _context((concrete, mesh.abstract_mesh.update_axis_types(types)))


_default_devices: Callable[[], Sequence[Any]] | None = None


def set_default_devices(devices: Callable[[], Sequence[Any]]) -> None:
    """Sets the hook that tells which devices ``make_mesh`` uses when it is given none."""
    global _default_devices
    _default_devices = devices


def make_mesh(
    axis_shapes: Sequence[int],
    axis_names: str | Sequence[Any],
    axis_types: AxisType | Sequence[AxisType] | None = None,
    *,
    devices: Sequence[Any] | None = None,
) -> Mesh:
    """A mesh of a shape, of the first devices.

    Args:
      axis_shapes: the shape of the grid.
      axis_names: a name for each axis.
      axis_types: an ``AxisType`` for all axes or one for each; ``Auto`` by default.
      devices: which devices to use; all devices of the default platform by default.

    Returns:
      a mesh of the first ``prod(axis_shapes)`` devices, in row-major order.

    Raises:
      ValueError: there are too few devices, or names and shape do not belong together.

    >>> import anima
    >>> anima.make_mesh((1,), ("x",))
    Mesh('x': 1, axis_types=(Auto,))
    """
    if devices is None:
        if _default_devices is None:
            raise RuntimeError("make_mesh needs `devices`: the layer that knows the devices is not imported")
        devices = _default_devices()
    count = math.prod(axis_shapes)
    if len(devices) < count:
        raise ValueError(
            f"make_mesh: a mesh of shape {tuple(axis_shapes)} needs {count} devices, there are {len(devices)}. For more "
            'CPU devices, write config.update("jax_num_cpu_devices", n) before the first use of a device.'
        )
    grid = np.empty(count, dtype=object)
    grid[:] = list(devices)[:count]
    return Mesh(grid.reshape(tuple(axis_shapes)), axis_names, axis_types)


def check_axes(mesh: Mesh | AbstractMesh, spec: PartitionSpec) -> None:
    """Checks that a mesh has the axes of a spec, and that the spec uses none of them twice.

    Raises:
      ShardingError: it is not so.
    """
    axes = spec.axes()
    for axis in axes:
        if axis not in mesh.axis_names:
            raise ShardingError(
                f"the axis {axis!r} of the spec {spec} is not one of the mesh's axes: {mesh.axis_names}"
            )
        if axes.count(axis) > 1:
            raise ShardingError(
                f"the spec {spec} uses the mesh axis {axis!r} twice; it can split one dimension only"
            )

"""Shardings: which device holds which part of an array.

Invariant: a sharding is an immutable value; it holds for any array whose dimensions its tiling divides. Its devices
have an order, the device assignment, and partition ``i`` of its ``hlo`` form is the ``i``-th of them.
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from anima.core import hooks
from anima.errors import ShardingError
from anima.sharding import convert
from anima.sharding.hlo import REPLICATED, HloSharding
from anima.sharding.mesh import AbstractMesh, Mesh, check_axes
from anima.sharding.spec import PartitionSpec

Device: TypeAlias = Any
Index: TypeAlias = tuple[slice, ...]


class Sharding(abc.ABC):
    """Which device holds which part of an array: the base class of all shardings."""

    __slots__ = ("__weakref__", "_hash")
    _hash: int

    @property
    @abc.abstractmethod
    def device_assignment(self) -> tuple[Device, ...]:
        """The devices, in the order of the partitions."""

    @abc.abstractmethod
    def hlo(self, ndim: int) -> HloSharding:
        """The form that XLA knows, for an array of ``ndim`` dimensions.

        Raises:
          ShardingError: the sharding is for arrays of more, or of another number of dimensions.
        """

    @property
    @abc.abstractmethod
    def is_fully_replicated(self) -> bool:
        """Whether every device holds the whole array."""

    def hlo_over(self, ndim: int, devices: Sequence[Device]) -> HloSharding:
        """``hlo(ndim)`` for a program whose partitions run on the same devices in another order.

        Raises:
          ShardingError: they are other devices.
        """
        own = self.device_assignment
        if own == tuple(devices):
            return self.hlo(ndim)
        if len(own) != len(devices) or set(own) != set(devices):
            raise ShardingError(
                f"{self} is over the devices {list(own)}, which are not those of the program: {list(devices)}"
            )
        place = {device: i for i, device in enumerate(devices)}
        return self.hlo(ndim).renumbered([place[device] for device in own])

    @property
    def device_set(self) -> frozenset[Device]:
        """The devices that hold parts of the array."""
        return frozenset(self.device_assignment)

    @property
    def num_devices(self) -> int:
        """How many devices hold parts of the array."""
        return len(self.device_assignment)

    @property
    def addressable_devices(self) -> frozenset[Device]:
        """The devices of this process among them."""
        return frozenset(filter(_is_local, self.device_assignment))

    @property
    def has_addressable_devices(self) -> bool:
        """Whether some of the devices are of this process."""
        return any(map(_is_local, self.device_assignment))

    @property
    def is_fully_addressable(self) -> bool:
        """Whether all of the devices are of this process."""
        return all(map(_is_local, self.device_assignment))

    @property
    def memory_kind(self) -> str:
        """The kind of memory that holds the array: the device's own."""
        return "device"

    def with_memory_kind(self, kind: str) -> Sharding:
        """The same sharding in another kind of memory.

        Raises:
          ValueError: the kind is not ``"device"``.
        """
        _check_memory_kind(kind)
        return self

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the part that each device holds.

        Args:
          global_shape: the shape of the whole array.

        Raises:
          ShardingError: a dimension cannot be cut into equal parts, or the array has too few dimensions.
        """
        shape = tuple(global_shape)
        tiles = self.hlo(len(shape)).tiles_of(len(shape))
        for axis, (size, parts) in enumerate(zip(shape, tiles)):
            if size % parts:
                raise ShardingError(
                    f"axis {axis} of an array of shape {shape} has size {size}, which is not divisible by {parts}, "
                    f"the number of parts that {self} cuts it into; pad the axis or use another sharding"
                )
        return tuple([size // parts for size, parts in zip(shape, tiles)])

    def devices_indices_map(self, global_shape: Sequence[int]) -> Mapping[Device, Index]:
        """The index of the part that each device holds.

        Args:
          global_shape: the shape of the whole array.

        Returns:
          a slice for each dimension, by device.

        Raises:
          ShardingError: the sharding does not fit the shape.
        """
        ndim, devices = len(global_shape), self.device_assignment
        parts = self.shard_shape(global_shape)
        tiles = self.hlo(ndim).tiles_of(ndim)
        return {
            device: tuple(
                [
                    slice(None) if tiles[i] == 1 else slice(at * parts[i], (at + 1) * parts[i])
                    for i, at in enumerate(place)
                ]
            )
            for device, place in zip(devices, self.hlo(ndim).coordinates(ndim, len(devices)))
        }

    def addressable_devices_indices_map(self, global_shape: Sequence[int]) -> Mapping[Device, Index]:
        """The same as ``devices_indices_map`` for the devices of this process."""
        indices = self.devices_indices_map(global_shape)
        return {device: index for device, index in indices.items() if _is_local(device)}

    def is_equivalent_to(self, other: Sharding, ndim: int) -> bool:
        """Whether another sharding puts the same parts of an array on the same devices.

        Args:
          other: the other sharding.
          ndim: how many dimensions the array has.
        """
        if self == other:
            return True
        return self._placement(ndim) == other._placement(ndim)

    def _placement(self, ndim: int) -> tuple[tuple[int, ...], dict[Device, tuple[int, ...]]]:
        devices, hlo = self.device_assignment, self.hlo(ndim)
        return hlo.tiles_of(ndim), dict(zip(devices, hlo.coordinates(ndim, len(devices))))

    def __hash__(self) -> int:
        return self._hash

    def __deepcopy__(self, memo: object) -> Sharding:
        return self  # immutable, and devices have no copies


def _is_local(device: Device) -> bool:
    return bool(device.process_index == device.client.process_index)


def _check_memory_kind(kind: str | None) -> None:
    if kind not in (None, "device"):
        raise ValueError(f"memory_kind {kind!r} is not available; arrays live in the memory 'device' only")


class SingleDeviceSharding(Sharding):
    """The whole array on one device.

    Args:
      device: the device.
      memory_kind: ``"device"`` or None.

    >>> import anima
    >>> anima.sharding.SingleDeviceSharding(anima.devices()[0])
    SingleDeviceSharding(device=...Device(id=0), memory_kind=device)
    """

    __slots__ = ("device",)

    def __init__(self, device: Device, *, memory_kind: str | None = None) -> None:
        if not hasattr(device, "process_index"):
            raise TypeError(f"SingleDeviceSharding needs a device, such as devices()[0], got {device!r}")
        _check_memory_kind(memory_kind)
        self.device = device
        self._hash = hash((SingleDeviceSharding, device))

    @property
    def device_assignment(self) -> tuple[Device, ...]:
        return (self.device,)

    def hlo(self, ndim: int) -> HloSharding:
        return REPLICATED

    @property
    def is_fully_replicated(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, SingleDeviceSharding) and self.device is other.device)

    __hash__ = Sharding.__hash__

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self.device!r}, memory_kind={self.memory_kind})"


@functools.lru_cache(maxsize=256)
def make_single_device_sharding(device: Device) -> SingleDeviceSharding:
    """``SingleDeviceSharding(device)``, the same object for each call.

    >>> import anima
    >>> device = anima.devices()[0]
    >>> anima.sharding.make_single_device_sharding(device).device is device
    True
    """
    return SingleDeviceSharding(device)


class NamedSharding(Sharding):
    """An array split over the named axes of a mesh.

    Args:
      mesh: the devices in a grid. With an ``AbstractMesh`` the sharding has shapes but no devices.
      spec: over which axes of the mesh each dimension is split.
      memory_kind: ``"device"`` or None.

    Raises:
      TypeError: the arguments are of other types.
      ShardingError: the mesh has no such axes, or one is used twice.

    >>> import anima
    >>> from anima.sharding import AbstractMesh, NamedSharding, PartitionSpec as P
    >>> sharding = NamedSharding(AbstractMesh((4, 2), ("x", "y")), P("x"))
    >>> sharding.shard_shape((8, 3))
    (2, 3)
    """

    __slots__ = ("mesh", "spec")

    mesh: Mesh | AbstractMesh
    spec: PartitionSpec

    def __init__(
        self, mesh: Mesh | AbstractMesh, spec: PartitionSpec, *, memory_kind: str | None = None
    ) -> None:
        if not isinstance(mesh, (Mesh, AbstractMesh)):
            raise TypeError(f"NamedSharding: mesh must be a Mesh or an AbstractMesh, got {mesh!r}")
        if not isinstance(spec, PartitionSpec):
            raise TypeError(
                f"NamedSharding: spec must be a PartitionSpec, such as P('x', None), got {spec!r}"
            )
        _check_memory_kind(memory_kind)
        check_axes(mesh, spec)
        self.mesh, self.spec = mesh, spec
        self._hash = hash((NamedSharding, mesh, spec))

    def update(
        self, *, mesh: Mesh | AbstractMesh | None = None, spec: PartitionSpec | None = None
    ) -> NamedSharding:
        """The same with another mesh or another spec."""
        return NamedSharding(self.mesh if mesh is None else mesh, self.spec if spec is None else spec)

    @property
    def device_assignment(self) -> tuple[Device, ...]:
        if isinstance(self.mesh, Mesh):
            return self.mesh.flat_devices
        raise ShardingError(f"{self} has no devices: its mesh is an AbstractMesh")

    @property
    def replicated_axes(self) -> frozenset[Any]:
        """The mesh axes along which the devices hold the same."""
        return frozenset(self.mesh.axis_names) - frozenset(self.spec.axes())

    def hlo(self, ndim: int) -> HloSharding:
        if len(self.spec) > ndim:
            raise ShardingError(
                f"{self} is for arrays of at least {len(self.spec)} dimensions, since its spec has as many entries; "
                f"the array has {ndim}"
            )
        return convert.from_spec(self.mesh.axis_names, self.mesh.axis_sizes, self.spec, ndim)

    @property
    def is_fully_replicated(self) -> bool:
        sizes = self.mesh.shape
        return math.prod([sizes[axis] for axis in self.spec.axes()]) == 1

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, NamedSharding)
            and self._hash == other._hash
            and self.spec == other.spec
            and self.mesh == other.mesh
        )

    __hash__ = Sharding.__hash__

    def __reduce__(self) -> tuple[Any, ...]:  # hashes differ from process to process, so none is pickled
        return NamedSharding, (self.mesh, self.spec)

    def __repr__(self) -> str:
        memory = f", memory_kind={self.memory_kind}" if isinstance(self.mesh, Mesh) else ""
        return f"NamedSharding(mesh={self.mesh!r}, spec={self.spec!r}{memory})"


class GSPMDSharding(Sharding):
    """A sharding as XLA reports it, over the devices of a program: what results have whose sharding XLA chose.

    Args:
      devices: the devices, in the order of the partitions.
      op_sharding: which partition has which part.
      memory_kind: ``"device"`` or None.
    """

    __slots__ = ("_devices", "op_sharding")

    def __init__(
        self, devices: Sequence[Device], op_sharding: HloSharding, *, memory_kind: str | None = None
    ) -> None:
        _check_memory_kind(memory_kind)
        self._devices = tuple(devices)
        self.op_sharding = op_sharding
        if op_sharding.kind == "tiled" and len(op_sharding.order) != len(self._devices):
            raise ShardingError(
                f"the sharding {op_sharding} is for {len(op_sharding.order)} devices, not for {len(self._devices)}"
            )
        self._hash = hash((GSPMDSharding, self._devices, op_sharding))

    @classmethod
    def replicated(cls, devices: Sequence[Device]) -> GSPMDSharding:
        """The whole array on each of the devices."""
        return cls(devices, REPLICATED)

    @property
    def device_assignment(self) -> tuple[Device, ...]:
        return self._devices

    def hlo(self, ndim: int) -> HloSharding:
        tiles = self.op_sharding.tiles
        if self.op_sharding.kind == "tiled" and len(tiles) != ndim:
            raise ShardingError(f"{self} is for arrays of {len(tiles)} dimensions; the array has {ndim}")
        return self.op_sharding

    @property
    def is_fully_replicated(self) -> bool:
        return len(self._devices) == 1 or self.op_sharding.replicated

    def to_named(self, mesh: Mesh) -> NamedSharding | None:
        """The same as a ``NamedSharding`` over a mesh of the same devices, or None if no spec says it.

        Args:
          mesh: a mesh, whose devices may stand in another order.
        """
        if self.device_set != frozenset(mesh.flat_devices):
            return None
        hlo = self.hlo_over(len(self.op_sharding.tiles), mesh.flat_devices)
        spec = convert.to_spec(mesh.axis_names, mesh.axis_sizes, hlo)
        return None if spec is None else NamedSharding(mesh, spec)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, GSPMDSharding)
            and self._hash == other._hash
            and self.op_sharding == other.op_sharding
            and self._devices == other._devices
        )

    __hash__ = Sharding.__hash__

    def __repr__(self) -> str:
        return f"GSPMDSharding({self.op_sharding}, devices={list(self._devices)})"


@functools.cache
def _unsharded(ndim: int) -> NamedSharding:
    return NamedSharding(AbstractMesh((), ()), PartitionSpec(*[None] * ndim))


hooks.unsharded = _unsharded

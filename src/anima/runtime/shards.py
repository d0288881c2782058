"""The parts of an array on its devices, one by one.

Invariant: shards stand in the order of the sharding's devices; those of other processes have a device and an index, but no
data.
"""

from __future__ import annotations

from typing import Any

from anima._native import ArrayImpl, Device
from anima.core.aval import physical_aval
from anima.sharding import Sharding
from anima.sharding.formats import Format, usual_format

Index = tuple[slice, ...]


class Shard:
    """A part of an array, on one device.

    Args:
      device: where it is.
      sharding: that of the whole array.
      global_shape: the shape of the whole array.
      data: the part, an array on the device; None if that is another process's.

    >>> import anima.numpy as np
    >>> np.arange(3).addressable_shards
    [Shard(device=CpuDevice(id=0), index=(slice(None, None, None),), replica_id=0, data=[0 1 2])]
    """

    __slots__ = ("_data", "_device", "_global_shape", "_sharding")

    def __init__(
        self, device: Device, sharding: Sharding, global_shape: tuple[int, ...], data: Any = None
    ) -> None:
        self._device = device
        self._sharding = sharding
        self._global_shape = global_shape
        self._data = data

    @property
    def device(self) -> Device:
        """Where the part is."""
        return self._device

    @property
    def data(self) -> Any:
        """The part, an array on its device, or None if that is another process's."""
        return self._data

    @property
    def index(self) -> Index:
        """Which part of the whole array it is: a slice for each dimension."""
        return self._sharding.devices_indices_map(self._global_shape)[self._device]

    @property
    def replica_id(self) -> int:
        """How many devices before this one have the same part."""
        count = 0
        for device, index in self._sharding.devices_indices_map(self._global_shape).items():
            if device is self._device:
                return count
            count += index == self.index
        raise ValueError(f"Shard: the device {self._device!r} is not among those of {self._sharding}")

    def __repr__(self) -> str:
        return f"Shard(device={self.device!r}, index={self.index}, replica_id={self.replica_id}, data={self.data})"


def addressable_shards(x: ArrayImpl) -> list[Shard]:
    """The parts of the array on the devices of this process."""
    local = [d for d in x.sharding.device_assignment if d in x.sharding.addressable_devices]
    parts = x.addressable_shards_data
    return [Shard(device, x.sharding, x.shape, part) for device, part in zip(local, parts)]


def global_shards(x: ArrayImpl) -> list[Shard]:
    """The parts of the array on all devices; those of other processes have no data."""
    here = {shard.device: shard for shard in addressable_shards(x)}
    devices = x.sharding.device_assignment
    return [here.get(device) or Shard(device, x.sharding, x.shape) for device in devices]


def format_of(x: ArrayImpl) -> Format:
    """How the array lies in memory, and its sharding.

    >>> import anima.numpy as np
    >>> np.zeros((2, 3)).format.layout
    Layout(major_to_minor=(0, 1), tiling=(), sub_byte_element_size_in_bits=0)
    """
    return usual_format(physical_aval(x.aval).ndim, x.sharding)


def addressable_data(x: ArrayImpl, index: int) -> Any:
    """The data of one of `addressable_shards`.

    Raises:
      IndexError: there are fewer.
    """
    parts = x.addressable_shards_data
    if not -len(parts) <= index < len(parts):
        raise IndexError(f"addressable_data: index {index} is out of bounds for {len(parts)} shards")
    return parts[index]


def is_fully_replicated(x: ArrayImpl) -> bool:
    """Whether each device of the array holds all of it."""
    return x.sharding.is_fully_replicated

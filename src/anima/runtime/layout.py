"""Arrays over several devices: cutting host values into shards, putting shards together, moving between shardings.

Invariant: the shards of an array stand in the order of its sharding's devices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import _native, dtypes
from anima._native import ArrayImpl
from anima.core.aval import physical_aval
from anima.core.trace import aval_of
from anima.runtime.shards import addressable_shards
from anima.runtime.transfer_guards import announce
from anima.sharding import Sharding, SingleDeviceSharding


def put_sharded(value: Any, sharding: Sharding) -> ArrayImpl:
    """`value`, a host value or an array, laid out as `sharding` says; committed.

    Raises:
      ShardingError: the sharding does not fit the value's shape.
    """
    if isinstance(sharding, SingleDeviceSharding):
        return put_on_device(value, sharding.device_assignment[0])
    aval: Any = aval_of(value)
    if isinstance(value, ArrayImpl) and value.sharding == sharding:
        return value if value.committed else _native.array_with(value, committed=True)
    announce("device_to_device" if isinstance(value, ArrayImpl) else "host_to_device", value, sharding)
    indices = sharding.devices_indices_map(aval.shape)
    whole_on = value.device if isinstance(value, ArrayImpl) and len(value.devices()) == 1 else None
    host = None
    shards = []
    for device in sharding.device_assignment:
        index = indices[device]
        if whole_on is not None and all(s == slice(None) for s in index):
            shards.append(_put(value, device))
            continue
        if host is None:
            host = stored(value)
        shards.append(_from_stored(host[index], device, aval))
    return _native.array_from_shards(aval.shape, aval.dtype, aval.weak_type, sharding, shards)


def stored(value: Any) -> np.ndarray[Any, Any]:
    """The value on the host; what stands for the elements, if NumPy does not have their dtype, with more dimensions."""
    aval: Any = aval_of(value)
    if not dtypes.is_extended(aval.dtype):
        return np.asarray(value).astype(aval.dtype, copy=False)
    physical = physical_aval(aval)
    out = np.empty(physical.shape, physical.dtype)
    for place in addressable_shards(value):
        out[place.index] = np.asarray(_native.array_with(place.data, dtype=physical.dtype))
    return out


def _from_stored(host: np.ndarray[Any, Any], device: Any, aval: Any) -> ArrayImpl:
    """A part of an array with this aval, on one device."""
    if dtypes.is_extended(aval.dtype):
        return _native.array_with(_native.array_from_host(host, device, committed=True), dtype=aval.dtype)
    return _native.array_from_host(host, device, weak_type=aval.weak_type, committed=True)


def put_on_device(value: Any, device: Any) -> ArrayImpl:
    """`value` on one device, committed there."""
    if not isinstance(value, ArrayImpl):
        announce("host_to_device", value, device)
    elif value.devices() != {device}:
        announce("device_to_device", value, device)
    return _put(value, device)


def _put(value: Any, device: Any) -> ArrayImpl:
    if not isinstance(value, ArrayImpl):
        return _native.array_from_host(value, device, committed=True)
    if len(value.devices()) > 1:
        whole = value.addressable_shards_data[0] if value.sharding.is_fully_replicated else None
        if whole is None:
            return _from_stored(stored(value), device, value.aval)
        value = whole
    moved = value if value.device is device else _native.copy_to_device(value, device)
    return moved if moved.committed else _native.array_with(moved, committed=True)


def assemble(array: ArrayImpl) -> np.ndarray[Any, Any]:
    """The whole value of an array of several shards, on the host.

    Raises:
      RuntimeError: some shards belong to other processes.
    """
    sharding = array.sharding
    if not sharding.is_fully_addressable:
        raise RuntimeError(
            f"the array of shape {array.shape} has shards in other processes ({sharding}); fetch the addressable "
            "ones through addressable_shards, or gather it first"
        )
    shards = array.addressable_shards_data
    if sharding.is_fully_replicated:
        return np.asarray(shards[0])
    out = np.empty(array.shape, array.dtype)
    indices = sharding.devices_indices_map(array.shape)
    for device, shard in zip(sharding.device_assignment, shards):
        out[indices[device]] = np.asarray(shard)
    return out

"""Arrays over several devices, made from their parts; and laid out anew.

Invariant: each device of this process gets its own part and no other, so that no process needs the whole array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import _native, dtypes, tree
from anima._native import ArrayImpl
from anima.runtime.arrays import as_array
from anima.runtime.layout import put_on_device
from anima.sharding import AxisType, NamedSharding, PartitionSpec, Sharding, get_mesh
from anima.transforms.placement import device_put
from anima.tree.compare import flatten_axes


def _check_sharding(what: str, sharding: Any) -> None:
    if not isinstance(sharding, Sharding):
        raise TypeError(f"{what}: sharding must be a Sharding, got {sharding!r:.80}")


def _shape_of(what: str, shape: Any) -> tuple[int, ...]:
    try:
        return tuple([size.__index__() for size in shape])
    except (TypeError, AttributeError):
        raise TypeError(f"{what}: shape must be a sequence of integers, got {shape!r}") from None


def _own_devices(sharding: Sharding) -> list[Any]:
    return [d for d in sharding.device_assignment if d.process_index == d.client.process_index]


def _joined(
    what: str, shape: tuple[int, ...], sharding: Sharding, parts: Sequence[ArrayImpl], dtype: Any
) -> ArrayImpl:
    """The array with these parts, one for each device of this process in the sharding's order.

    Raises:
      ValueError: a part has another shape or dtype.
    """
    wanted = sharding.shard_shape(shape)
    dtype = parts[0].dtype if dtype is None else dtypes.canonicalize_dtype(dtype)
    for device, part in zip(_own_devices(sharding), parts):
        if part.shape != wanted:
            raise ValueError(
                f"{what}: the part for {device} has the shape {part.shape}, but the parts of an array of shape {shape} with the "
                f"sharding {sharding} have {wanted}"
            )
        if part.dtype != dtype:
            raise ValueError(
                f"{what}: the part for {device} has dtype {dtypes.dtype_name(part.dtype)}, but {dtypes.dtype_name(dtype)} is wanted; "
                "convert it first"
            )
    return _native.array_from_shards(shape, dtype, False, sharding, list(parts))


def make_array_from_callback(
    shape: Sequence[int], sharding: Sharding, data_callback: Callable[[Any], Any], dtype: Any = None
) -> ArrayImpl:
    """An array over several devices, of which a function gives the part for each.

    Args:
      shape: the shape of the whole array.
      sharding: how it lies.
      data_callback: from an index, a tuple with a slice for each dimension, to that part of the array.
      dtype: the dtype that the parts must have.
    Returns:
      The array, committed.
    Raises:
      ValueError: a part has another shape or dtype, or dtype is not given and this process has no part.

    >>> import anima, numpy as np
    >>> where = anima.NamedSharding(anima.make_mesh((1,), ("x",)), anima.P("x"))
    >>> print(anima.make_array_from_callback((3,), where, lambda index: np.arange(3)[index]))
    [0 1 2]
    """
    what = "make_array_from_callback"
    _check_sharding(what, sharding)
    shape = _shape_of(what, shape)
    indices = sharding.devices_indices_map(shape)
    parts = []
    for device in _own_devices(sharding):
        value = data_callback(indices[device])
        parts.append(put_on_device(value if isinstance(value, ArrayImpl) else as_array(value), device))
    if not parts:
        raise ValueError(f"{what}: no device of this process is in {sharding}")
    return _joined(what, shape, sharding, parts, dtype)


def make_array_from_single_device_arrays(
    shape: Sequence[int], sharding: Sharding, arrays: Sequence[Any], *, dtype: Any = None
) -> ArrayImpl:
    """An array over several devices, of the parts that are there already. Nothing is copied.

    Args:
      shape: the shape of the whole array.
      sharding: how it lies.
      arrays: the parts, one on each device of this process, in any order.
      dtype: the dtype that the parts must have.
    Raises:
      TypeError: a part is no array. ValueError: there is not one for each device, or one has another shape or dtype.

    >>> import anima, anima.numpy as np
    >>> where = anima.NamedSharding(anima.make_mesh((1,), ("x",)), anima.P("x"))
    >>> print(anima.make_array_from_single_device_arrays((2,), where, [np.ones(2)]))
    [1. 1.]
    """
    what = "make_array_from_single_device_arrays"
    _check_sharding(what, sharding)
    shape = _shape_of(what, shape)
    by_device: dict[Any, ArrayImpl] = {}
    for number, part in enumerate(arrays):
        if not isinstance(part, ArrayImpl):
            raise TypeError(
                f"{what}: arrays[{number}] has type {type(part).__name__}; put it on its device with device_put"
            )
        if len(part.devices()) != 1:
            raise ValueError(f"{what}: arrays[{number}] lies on {len(part.devices())} devices, not on one")
        by_device[part.device] = part
    own = _own_devices(sharding)
    if set(by_device) != set(own) or len(arrays) != len(own):
        raise ValueError(
            f"{what}: there must be one array on each of the devices {own} of the sharding, got {len(arrays)} on "
            f"{list(by_device)}"
        )
    return _joined(what, shape, sharding, [by_device[device] for device in own], dtype)


def make_array_from_process_local_data(sharding: Any, local_data: Any, global_shape: Any = None) -> Any:
    """Arrays over the devices of all processes, of what each process has of them.

    Args:
      sharding: how they lie: a sharding, or a tree prefix of shardings.
      local_data: what this process has: a NumPy array, or a pytree of them.
      global_shape: the shape of the whole array, or a pytree of them. Left out, dimensions that are split over processes are
        as many times larger as there are different parts.
    Raises:
      ValueError: shapes do not fit each other.

    >>> import anima, numpy as np
    >>> where = anima.NamedSharding(anima.make_mesh((1,), ("x",)), anima.P("x"))
    >>> print(anima.make_array_from_process_local_data(where, np.arange(3)))
    [0 1 2]
    """
    leaves, structure = tree.flatten(local_data)
    shardings = flatten_axes("make_array_from_process_local_data: sharding", structure, sharding)
    shapes: list[Any] = [None] * len(leaves)
    if global_shape is not None:
        is_shape = lambda x: isinstance(x, tuple) and all([hasattr(i, "__index__") for i in x])
        shapes = flatten_axes(
            "make_array_from_process_local_data: global_shape", structure, global_shape, is_leaf=is_shape
        )
    return tree.unflatten(structure, [_from_local(*given) for given in zip(shardings, leaves, shapes)])


def _from_local(sharding: Any, data: Any, global_shape: Any) -> ArrayImpl:
    what = "make_array_from_process_local_data"
    _check_sharding(what, sharding)
    data = data if isinstance(data, ArrayImpl) else np.asarray(data)
    local: tuple[int, ...] = data.shape
    own, ndim = _own_devices(sharding), len(local)
    # The parts of this process, as places in the grid of all parts.
    hlo = sharding.hlo(ndim)
    places = dict(zip(sharding.device_assignment, hlo.coordinates(ndim, len(sharding.device_assignment))))
    mine = [sorted({places[device][i] for device in own}) for i in range(ndim)]
    if math.prod(map(len, mine)) != len({places[device] for device in own}):
        raise ValueError(f"{what}: the parts of this process do not form a block of an array with {sharding}")
    tiles = hlo.tiles_of(ndim)
    whole = tuple([size * count // max(len(at), 1) for size, count, at in zip(local, tiles, mine)])
    shape = whole if global_shape is None else _shape_of(what, global_shape)
    if shape not in (whole, local):
        raise ValueError(
            f"{what}: global_shape is {shape}, but local data of shape {local} is, with the sharding {sharding}, a part of an "
            f"array of shape {whole}"
        )
    indices = sharding.devices_indices_map(shape)
    firsts = [0] * ndim
    if shape == whole:
        firsts = [at[0] * (size // count) if at else 0 for size, count, at in zip(shape, tiles, mine)]

    def part(index: Any) -> Any:
        return data[
            tuple([slice(s.indices(n)[0] - f, s.indices(n)[1] - f) for s, n, f in zip(index, shape, firsts)])
        ]

    parts = [put_on_device(as_array(part(indices[device])), device) for device in own]
    return _joined(what, shape, sharding, parts, None)


def reshard(xs: Any, out_shardings: Any) -> Any:
    """Arrays laid out anew; in a program, what the partitioner has to keep to.

    Args:
      xs: an array or a pytree of them.
      out_shardings: shardings, or specs over the current mesh, as a tree prefix.
    Returns:
      The same structure of arrays.
    Raises:
      TypeError, ValueError: there is no current mesh, or an entry is no sharding or names manual axes.

    >>> import anima, anima.numpy as np
    >>> with anima.set_mesh(anima.make_mesh((1,), ("x",))):
    ...     print(anima.reshard(np.arange(2.0), anima.P("x")).sharding.spec)
    P('x',)
    """
    leaves, structure = tree.flatten(xs)
    found = flatten_axes("reshard out_shardings", structure, out_shardings)
    return tree.unflatten(structure, [device_put(x, _as_sharding(s)) for x, s in zip(leaves, found)])


def _as_sharding(given: Any) -> NamedSharding:
    if isinstance(given, PartitionSpec):
        mesh = get_mesh()
        if mesh.empty:
            raise ValueError(
                f"reshard: {given} needs a current mesh; write with set_mesh(mesh):, or pass NamedSharding(mesh, {given})"
            )
        given = NamedSharding(mesh, given)
    if not isinstance(given, NamedSharding):
        raise TypeError(f"reshard: out_shardings must be PartitionSpecs or NamedShardings, got {given!r:.80}")
    kinds = dict(zip(given.mesh.axis_names, given.mesh.axis_types))
    if manual := [axis for axis in given.spec.axes() if kinds[axis] is AxisType.Manual]:
        raise ValueError(
            f"reshard: {given.spec} names the manual axes {manual}, which the program itself splits"
        )
    return given

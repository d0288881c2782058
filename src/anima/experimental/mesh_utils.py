"""Arrangements of devices for meshes.

Invariant: devices that are close to each other stand next to each other, as far as it is known: those of one process do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima.runtime.devices import devices as all_devices


def create_device_mesh(
    mesh_shape: Sequence[int],
    devices: Sequence[Any] | None = None,
    *,
    contiguous_submeshes: bool = False,
    allow_split_physical_axes: bool = False,
) -> np.ndarray[Any, Any]:
    """Devices in a grid, for `Mesh`.

    Args:
      mesh_shape: the shape of the grid.
      devices: the devices; all of the default platform by default.
      contiguous_submeshes, allow_split_physical_axes: about the wiring of TPUs; elsewhere they change nothing.
    Returns:
      A NumPy array of devices.
    Raises:
      ValueError: the shape needs another number of devices.

    >>> import anima
    >>> from anima.experimental import mesh_utils
    >>> mesh_utils.create_device_mesh((1, 1), anima.devices()[:1]).shape
    (1, 1)
    """
    found = list(all_devices() if devices is None else devices)
    shape = tuple(mesh_shape)
    if math.prod(shape) != len(found):
        raise ValueError(
            f"create_device_mesh: a mesh of shape {shape} needs {math.prod(shape)} devices, there are {len(found)}"
        )
    return _grid(found, shape)


def _grid(devices: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    grid = np.empty(len(devices), dtype=object)
    grid[:] = list(devices)
    return grid.reshape(shape)


def create_hybrid_device_mesh(
    mesh_shape: Sequence[int],
    dcn_mesh_shape: Sequence[int],
    devices: Sequence[Any] | None = None,
    *,
    process_is_granule: bool = False,
    should_sort_granules_by_key: bool = True,
    allow_split_physical_axes: bool = False,
) -> np.ndarray[Any, Any]:
    """Devices of several groups, quick within and slow between, in a grid whose axes run over both.

    Args:
      mesh_shape: the shape of the grid of one group.
      dcn_mesh_shape: the shape of the grid of groups, of as many dimensions.
      devices: the devices; all of the default platform by default.
      process_is_granule: whether a group is the devices of a process, rather than those of a slice, where there are slices.
      should_sort_granules_by_key: whether groups stand in the order of their numbers, rather than in that of `devices`.
      allow_split_physical_axes: about the wiring of TPUs; elsewhere it changes nothing.
    Returns:
      A NumPy array of devices, of the shape `mesh_shape` times `dcn_mesh_shape`.
    Raises:
      ValueError: there is another number of groups, or of devices in one.

    >>> import anima
    >>> from anima.experimental import mesh_utils
    >>> mesh_utils.create_hybrid_device_mesh((1, 1), (1, 1), anima.devices()[:1]).shape
    (1, 1)
    """
    inner, outer = tuple(mesh_shape), tuple(dcn_mesh_shape)
    if len(inner) != len(outer):
        raise ValueError(
            f"create_hybrid_device_mesh: mesh_shape {inner} and dcn_mesh_shape {outer} must have as many dimensions"
        )
    groups: dict[int, list[Any]] = {}
    for device in all_devices() if devices is None else devices:
        process = device.process_index
        key = process if process_is_granule else getattr(device, "slice_index", process)
        groups.setdefault(key, []).append(device)
    keys = sorted(groups) if should_sort_granules_by_key else list(groups)
    if len(keys) != math.prod(outer):
        raise ValueError(
            f"create_hybrid_device_mesh: dcn_mesh_shape {outer} needs {math.prod(outer)} groups of devices, there are {len(keys)}"
        )
    blocks = [create_device_mesh(inner, groups[key]) for key in keys]
    grid = np.empty([a * b for a, b in zip(outer, inner)], dtype=object)
    for block, place in zip(blocks, itertools.product(*[range(n) for n in outer])):
        grid[tuple([slice(p * n, (p + 1) * n) for p, n in zip(place, inner)])] = block
    return grid

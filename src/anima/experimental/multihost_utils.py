"""Values of all processes of a program: gathered, compared, sent to all.

Invariant: every process calls the same function with values of the same shapes. With one process nothing is sent, and NumPy
arrays keep their dtypes.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from anima import dtypes, tree
from anima._native import ArrayImpl
from anima.core.trace import Tracer
from anima.parallel.arrays import make_array_from_process_local_data, make_array_from_single_device_arrays
from anima.runtime.devices import devices, process_count, process_index
from anima.sharding import Mesh, NamedSharding, PartitionSpec
from anima.transforms.jit import jit
from anima.transforms.placement import device_put
from anima.tree.compare import flatten_axes

__all__ = [
    "assert_equal",
    "broadcast_one_to_all",
    "global_array_to_host_local_array",
    "host_local_array_to_global_array",
    "process_allgather",
    "reached_preemption_sync_point",
    "sync_global_devices",
]


def _over_processes(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What each process gave, along a new first axis."""
    everywhere = sorted(devices(), key=lambda device: (device.process_index, device.id))
    mesh = Mesh(np.array(everywhere, dtype=object).reshape(process_count(), -1), ("process", "device"))
    whole = make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("process")), x[None])
    return _replicated(whole, mesh)


def _replicated(x: Any, mesh: Mesh) -> np.ndarray[Any, Any]:
    copied = jit(lambda x: x, out_shardings=NamedSharding(mesh, PartitionSpec()))(x)
    return np.asarray(copied.addressable_data(0))


def _gathered(x: Any, tiled: bool) -> np.ndarray[Any, Any]:
    if isinstance(x, ArrayImpl) and not x.sharding.is_fully_addressable:
        if not tiled:
            raise ValueError(
                "process_allgather: an array over several processes is gathered with tiled=True only"
            )
        over = x.sharding.device_assignment
        return _replicated(x, Mesh(np.array(over, dtype=object), ("device",)))
    own = np.asarray(x)
    if process_count() == 1:
        return own if tiled else own[None]
    every = _over_processes(own)
    return np.concatenate(list(every)) if tiled and own.ndim else every


def process_allgather(in_tree: Any, tiled: bool = False) -> Any:
    """The arrays of all processes, as NumPy arrays in each.

    Args:
      in_tree: an array or a pytree of them, with the same shapes in all processes.
      tiled: join them along the first axis, in place of a new one.
    Returns:
      The same structure: arrays of the shape `(processes, *shape)`; with `tiled`, the first size is as many times larger.
      An array that lies over the devices of several processes is returned whole.
    Raises:
      ValueError: there is such an array, and `tiled` is not set.

    >>> from anima.experimental import multihost_utils
    >>> multihost_utils.process_allgather({"loss": 0.5})
    {'loss': array([0.5])}
    """
    return tree.map(lambda x: _gathered(x, tiled), in_tree)


def broadcast_one_to_all(in_tree: Any, is_source: bool | None = None) -> Any:
    """The arrays of one process, as NumPy arrays in each.

    Args:
      in_tree: an array or a pytree of them, with the same shapes in all processes.
      is_source: whether this process is the one; by default process 0 is.

    >>> from anima.experimental import multihost_utils
    >>> multihost_utils.broadcast_one_to_all([1, 2])
    [array(1), array(2)]
    """
    if process_count() == 1:
        return tree.map(np.asarray, in_tree)
    source = process_index() == 0 if is_source is None else is_source

    def send(x: Any) -> Any:
        own = np.asarray(x)
        return _over_processes(own if source else np.zeros_like(own)).sum(0, dtype=own.dtype)

    return tree.map(send, in_tree)


def sync_global_devices(name: str) -> None:
    """Wait until all processes have come here.

    Args:
      name: what this place is called, the same in all processes.
    Raises:
      AssertionError: some process is at a place of another name.

    >>> from anima.experimental import multihost_utils
    >>> multihost_utils.sync_global_devices("loaded")
    """
    if not isinstance(name, str):
        raise TypeError(f"sync_global_devices: name must be a string, got {name!r}")
    assert_equal(
        np.uint32(zlib.crc32(name.encode())), f"sync_global_devices: processes do not agree on {name!r}"
    )


def assert_equal(in_tree: Any, fail_message: str = "") -> None:
    """Check that all processes have the same arrays.

    Args:
      in_tree: an array or a pytree of them.
      fail_message: with what the message begins if they have not.
    Raises:
      AssertionError: they have not. A NaN is equal to nothing.

    >>> from anima.experimental import multihost_utils
    >>> multihost_utils.assert_equal({"steps": 3})
    """
    for x, every in zip(tree.leaves(in_tree), tree.leaves(process_allgather(in_tree, tiled=True))):
        whole = isinstance(x, ArrayImpl) and not x.sharding.is_fully_addressable
        own = x.addressable_data(0) if whole else np.atleast_1d(x)
        expected = own if whole or every.ndim == 0 else np.concatenate([own] * process_count())
        if not np.all(np.equal(np.asarray(expected), every)):
            raise AssertionError(f"{fail_message}. Processes have {every}, this one has {x}")


def reached_preemption_sync_point(step_id: int) -> bool:
    """Whether processes have agreed to stop after this step because one is to be ended: they never do here.

    Args:
      step_id: the number of the step.

    >>> from anima.experimental import multihost_utils
    >>> multihost_utils.reached_preemption_sync_point(1)
    False
    """
    return False


# --- parts of arrays ---------------------------------------------------------------------------


def _pairs(what: str, arrays: Any, pspecs: Any) -> tuple[list[tuple[Any, PartitionSpec]], Any]:
    leaves, structure = tree.flatten(arrays)
    specs = flatten_axes(f"{what} pspecs", structure, pspecs)
    for spec in specs:
        if not isinstance(spec, PartitionSpec):
            kind = ValueError if spec is None else TypeError
            raise kind(f"{what}: pspecs must be PartitionSpecs, got {spec!r:.80}; PartitionSpec() replicates")
    return list(zip(leaves, specs)), structure


def _as_global(x: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    if isinstance(x, ArrayImpl) and not x.sharding.is_fully_addressable:
        return x
    if getattr(x, "dtype", None) == dtypes.float0:
        x = np.zeros(x.shape, bool)
    sharding = NamedSharding(mesh, spec)
    if isinstance(x, Tracer) or not mesh.is_multi_process:
        return device_put(x, sharding)
    return make_array_from_process_local_data(sharding, x)


def host_local_array_to_global_array(local_inputs: Any, global_mesh: Mesh, pspecs: Any) -> Any:
    """Arrays over the devices of all processes, of what each process has of them.

    Args:
      local_inputs: what this process has: an array or a pytree of them.
      global_mesh: a mesh in which each process has a block.
      pspecs: how they lie over it: a `PartitionSpec`, or a tree prefix of them.
    Returns:
      The same structure of arrays. Dimensions that are split over processes are as many times larger.
    Raises:
      ValueError: a spec is None, or shapes do not fit. TypeError: it is something else.

    >>> import anima, numpy
    >>> from anima.experimental import multihost_utils
    >>> mesh = anima.make_mesh((1,), ("x",))
    >>> multihost_utils.host_local_array_to_global_array(numpy.arange(4), mesh, anima.P("x")).sharding.spec
    P('x',)
    """
    pairs, structure = _pairs("host_local_array_to_global_array", local_inputs, pspecs)
    return tree.unflatten(structure, [_as_global(x, global_mesh, spec) for x, spec in pairs])


def _as_local(x: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    whole = device_put(x, NamedSharding(mesh, spec))
    if isinstance(whole, Tracer):
        return whole
    local = NamedSharding(mesh.local_mesh, spec)
    parts = whole.addressable_shards_data
    shape = [size * count for size, count in zip(parts[0].shape, local.hlo(x.ndim).tiles_of(x.ndim))]
    return make_array_from_single_device_arrays(shape, local, parts)


def global_array_to_host_local_array(global_inputs: Any, global_mesh: Mesh, pspecs: Any) -> Any:
    """What this process has of arrays over the devices of all processes, as arrays over its own devices.

    Args:
      global_inputs: an array or a pytree of them.
      global_mesh: a mesh in which each process has a block.
      pspecs: how they lie over it: a `PartitionSpec`, or a tree prefix of them.
    Returns:
      The same structure of arrays, over `global_mesh.local_mesh`.
    Raises:
      ValueError: a spec is None, or shapes do not fit. TypeError: it is something else.

    >>> import anima, anima.numpy as np
    >>> from anima.experimental import multihost_utils
    >>> mesh = anima.make_mesh((1,), ("x",))
    >>> print(multihost_utils.global_array_to_host_local_array(np.arange(3), mesh, anima.P("x")))
    [0 1 2]
    """
    pairs, structure = _pairs("global_array_to_host_local_array", global_inputs, pspecs)
    return tree.unflatten(structure, [_as_local(x, global_mesh, spec) for x, spec in pairs])

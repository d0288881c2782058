"""Moving values between host and devices: `device_put`, `device_get`, `block_until_ready`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl, transfers_guarded, tree_flatten, tree_unflatten
from anima.core.aval import array_aval, physical_aval
from anima.core.trace import Tracer, aval_of, get_trace
from anima.runtime.arrays import as_array
from anima.runtime.transfer_guards import explicit
from anima.sharding import PartitionSpec
from anima.sharding.formats import Format
from anima.sharding.requests import sharding_of
from anima.transforms.arguments import check_inputs
from anima.transforms.placement_primitive import device_put_p, put
from anima.tree.compare import flatten_axes


def _put(value: Any, where: Any) -> Any:
    if isinstance(where, (Format, PartitionSpec)):
        ndim = physical_aval(array_aval(aval_of(value))).ndim
        where = sharding_of("device_put device", where, ndim, ValueError)
    if where is None:
        return as_array(value)
    if isinstance(value, Tracer) or get_trace() is not None:
        return device_put_p.bind(value, where=where)
    return put(value, where)


def _share(first: ArrayImpl, second: ArrayImpl) -> bool:
    """Whether some memory belongs to both arrays."""
    pointers = {shard.unsafe_buffer_pointer() for shard in first.addressable_shards_data}
    return any(shard.unsafe_buffer_pointer() in pointers for shard in second.addressable_shards_data)


def _owned(value: Any, placed: Any, donate: Any, may_alias: Any) -> Any:
    """`placed`, which `value` became, with memory of its own if it may not share that of `value`."""
    if donate and may_alias:
        raise ValueError(
            "device_put: donate=True gives the memory of x away, and may_alias=True shares it: set only one of them"
        )
    own = not (donate or may_alias or may_alias is None)
    arrays = type(value) is type(placed) is ArrayImpl
    return copy.copy(placed) if own and arrays and _share(placed, value) else placed


def _give_away(value: Any, placed: Any) -> None:
    """Delete an array that was donated and has moved; it may have been given twice."""
    if type(value) is type(placed) is ArrayImpl and not value.is_deleted() and not _share(placed, value):
        value.delete()


def device_put(
    x: Any, device: Any = None, *, src: Any = None, donate: Any = False, may_alias: Any = None
) -> Any:
    """`x`, an array or a pytree of them, on a device or laid out over several.

    Args:
      x: arrays, NumPy arrays or numbers; NumPy data is copied before the call returns.
      device: a device, a sharding, a `PartitionSpec` for the current mesh, a `Format`, or a pytree prefix of those; None puts
        host values on the default device and leaves arrays where they are.
      src: a hint that changes nothing here.
      donate: whether `x` may be given away, a boolean or a pytree prefix of them: arrays that have to move are deleted then.
      may_alias: False for results with memory of their own, also of arrays that are there already; a boolean, None
        or a pytree prefix of those.
    Returns:
      The same structure of arrays, committed to where they were put. In functions that are transformed `donate` and
      `may_alias` change nothing.
    Raises:
      ValueError: a prefix does not fit `x`, a spec has no mesh, a format has a layout that arrays never have, or an array is
        to be both donated and shared.

    >>> import anima
    >>> anima.device_put(1.0, anima.devices()[0]).committed
    True
    """
    if transfers_guarded():
        with explicit():
            return _put_all(x, device, donate, may_alias)
    return _put_all(x, device, donate, may_alias)


def _put_all(x: Any, device: Any, donate: Any, may_alias: Any) -> Any:
    leaves, structure = tree_flatten(x)
    leaves = check_inputs(leaves, device_put, "device_put", (x,), {}) if device is None else leaves
    targets = (
        [device] * len(leaves) if device is None else flatten_axes("device_put device", structure, device)
    )
    placed = list(map(_put, leaves, targets))
    if donate is not False or may_alias is not None:
        given = flatten_axes("device_put donate", structure, donate)
        shared = flatten_axes("device_put may_alias", structure, may_alias)
        placed = list(map(_owned, leaves, placed, given, shared))
        for leaf, moved, gone in zip(leaves, placed, given):
            if gone:
                _give_away(leaf, moved)
    return tree_unflatten(structure, placed)


def device_get(x: Any) -> Any:
    """`x`, an array or a pytree of them, as NumPy arrays; typed random keys, which NumPy has not, as they are.

    All transfers are started before the first is waited for.

    >>> import anima
    >>> anima.device_get(anima.device_put(2.5))
    array(2.5, dtype=float32)
    """
    if transfers_guarded():
        with explicit():
            return _get_all(x)
    return _get_all(x)


def _get_all(x: Any) -> Any:
    leaves, structure = tree_flatten(x)
    for leaf in leaves:
        if isinstance(leaf, ArrayImpl) and not dtypes.is_extended(leaf.dtype):
            leaf.copy_to_host_async()
    return tree_unflatten(structure, [_get(leaf) for leaf in leaves])


def _get(leaf: Any) -> Any:
    if isinstance(leaf, (ArrayImpl, Tracer)):
        if isinstance(leaf, ArrayImpl) and dtypes.is_extended(leaf.dtype):
            return leaf
        return np.asarray(leaf)
    return leaf


def block_until_ready(x: Any) -> Any:
    """Wait until every array in `x` is computed, and return `x`.

    Raises:
      JaxRuntimeError: a computation failed.

    >>> import anima
    >>> print(anima.block_until_ready(anima.device_put(1.0)))
    1.0
    """
    for leaf in tree_flatten(x)[0]:
        if hasattr(leaf, "block_until_ready"):
            leaf.block_until_ready()
    return x


def copy_to_host_async(x: Any) -> Any:
    """Start copying every array in `x` to the host, so that reading it later does not wait."""
    for leaf in tree_flatten(x)[0]:
        if isinstance(leaf, ArrayImpl):
            leaf.copy_to_host_async()
    return x

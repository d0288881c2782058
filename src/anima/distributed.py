"""The start of a program of several processes, of which this library has one.

Invariant: nothing is connected: a program of one process has nobody to talk to, so a call here checks its arguments and notes
that it has been made.
"""

from __future__ import annotations

from collections.abc import Sequence

from anima.config import config
from anima.runtime.devices import has_started

__all__ = ["initialize", "is_initialized", "shutdown"]

_state = {"initialized": False}


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    local_device_ids: int | Sequence[int] | None = None,
    cluster_detection_method: str | None = None,
    initialization_timeout: int = 300,
    heartbeat_timeout_seconds: int = 100,
    shutdown_timeout_seconds: int = 300,
    coordinator_bind_address: str | None = None,
    slice_index: int | None = None,
    partition_index: int | None = None,
) -> None:
    """Say how many processes the program has, before it uses a device.

    Args:
      coordinator_address: the address and the port of process 0; nothing listens there.
      num_processes: 1.
      process_id: the number of this process, 0.
      local_device_ids: the GPUs to use, as the options `cuda_visible_devices` and `rocm_visible_devices` say it; all by default.
      cluster_detection_method, initialization_timeout, heartbeat_timeout_seconds, shutdown_timeout_seconds,
        coordinator_bind_address, slice_index, partition_index: about other processes, and ignored.
    Raises:
      ValueError: one of the first three is missing or out of range, or there are several processes.
      RuntimeError: it has been called before, or a device has been used.

    >>> import anima
    >>> anima.distributed.initialize("localhost:1234", num_processes=1, process_id=0)  # doctest: +SKIP
    """
    if _state["initialized"]:
        raise RuntimeError("distributed.initialize has been called before; call distributed.shutdown first")
    given = {
        "coordinator_address": coordinator_address,
        "num_processes": num_processes,
        "process_id": process_id,
    }
    for name, value in given.items():
        if value is None:
            raise ValueError(f"distributed.initialize: {name} is missing; it cannot be found out from here")
    assert num_processes is not None and process_id is not None
    if not 0 <= process_id < num_processes:
        raise ValueError(
            f"distributed.initialize: process_id must be in [0, num_processes), got {process_id} of {num_processes}"
        )
    if num_processes > 1:
        raise ValueError(
            f"distributed.initialize: num_processes is {num_processes}, but programs have one process here, with all of the "
            "machine's devices"
        )
    if has_started():
        raise RuntimeError(
            "distributed.initialize must be called before a device is used, or devices are asked for"
        )
    if local_device_ids is not None:
        ids = [local_device_ids] if isinstance(local_device_ids, int) else local_device_ids
        visible = ",".join(map(str, ids))
        config.update("jax_cuda_visible_devices", visible)
        config.update("jax_rocm_visible_devices", visible)
    _state["initialized"] = True


def is_initialized() -> bool:
    """Whether `initialize` has been called, and `shutdown` not since.

    >>> import anima
    >>> anima.distributed.is_initialized()
    False
    """
    return _state["initialized"]


def shutdown() -> None:
    """Undo `initialize`; nothing happens if it has not been called."""
    _state["initialized"] = False

"""Devices: one client a platform, made when first needed.

Invariant: importing makes no client, a platform has at most one, and its device objects are the same ones for
the life of the client, so devices are compared and hashed by identity. The default platform is the first that
starts, of those that ``jax_platforms`` lists or, without that, of the installed accelerators and the CPU. Where that is
the CPU and nobody chose it, the program is told so, once.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable

from anima import _native
from anima._native import Client, Device
from anima.config import (
    cpu_memory_reuse,
    cpu_spin_microseconds,
    cuda_visible_devices,
    default_device as default_device_option,
    num_cpu_devices,
    pjrt_client_create_options,
    platform_name,
    platforms,
    rocm_visible_devices,
)
from anima.errors import ArgumentError, PluginError, XlaRuntimeError
from anima.runtime import logs, plugins

__all__ = [
    "backends",
    "clear_backends",
    "client",
    "default_backend",
    "default_device",
    "device_count",
    "devices",
    "local_device_count",
    "local_devices",
    "on_start",
    "process_count",
    "process_index",
    "process_indices",
    "resolve_device",
]

ClientOption = bool | int | float | str | list[int]

_ACCELERATORS = ("cuda", "rocm", "tpu")  # the order in which they are tried; others come after them
_ALIASES = {"gpu": ("cuda", "rocm")}
# Files that are there if the machine has such a device: a plugin without one takes a second to find that out.
_DEVICE_FILES = {
    "cuda": ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg"),
    "rocm": ("/dev/kfd",),
    "tpu": ("/dev/accel0", "/dev/vfio/0"),
}


class _Backend:
    """A client with its devices, which are kept so that they stay the same objects."""

    __slots__ = ("client", "devices", "local_devices")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.devices = list(client.devices)
        self.local_devices = list(client.addressable_devices)


_lock = threading.RLock()
_backends: dict[str, _Backend] = {}
_default: _Backend | None = None
_hooks: list[Callable[[Client], None]] = []  # called with each client that was made
_said = False  # whether the program was told that there is no accelerator


def backends() -> dict[str, Client]:
    """The clients made so far, by platform; the default one is made if there is none."""
    _default_backend()
    return {platform: backend.client for platform, backend in _backends.items()}


def client(platform: str | None = None) -> Client:
    """The client of a platform, by default the default one.

    Raises:
      PluginError: no plugin for the platform is installed, or it cannot be used.
      XlaRuntimeError: the plugin finds no device.
    """
    return _backend(platform).client


def devices(backend: str | None = None) -> list[Device]:
    """All devices of a platform (``"cpu"``, ``"gpu"``, ``"cuda"``, ``"tpu"``), by default of the default one."""
    return list(_backend(backend).devices)


def local_devices(
    process_index: int | None = None, backend: str | None = None, host_id: int | None = None
) -> list[Device]:
    """The devices that a process, by default this one, can use directly.

    Args:
      process_index: which process; ``host_id`` is its old name.
      backend: the platform.
    """
    of = host_id if process_index is None else process_index
    if of is None:
        return list(_backend(backend).local_devices)
    count = process_count(backend)
    if not 0 <= of < count:
        raise ValueError(f"process_index must be in [0, {count}), got {of}")
    return [device for device in _backend(backend).devices if device.process_index == of]


def device_count(backend: str | None = None) -> int:
    """How many devices there are, over all processes."""
    return len(_backend(backend).devices)


def local_device_count(backend: str | None = None) -> int:
    """How many devices this process can use directly."""
    return len(_backend(backend).local_devices)


def process_index(backend: str | None = None) -> int:
    """The number of this process in a job of several; 0 in a job of one."""
    return int(_backend(backend).client.process_index)


def process_indices(backend: str | None = None) -> list[int]:
    """The numbers of the processes that have devices."""
    return sorted({device.process_index for device in _backend(backend).devices})


def process_count(backend: str | None = None) -> int:
    """How many processes have devices."""
    return max(process_indices(backend), default=0) + 1


def default_backend() -> str:
    """The name of the default platform: ``"cpu"``, ``"gpu"`` or ``"tpu"``."""
    platform = _default_backend().client.platform
    return "gpu" if platform in _ALIASES["gpu"] else platform


def default_device() -> Device:
    """Where uncommitted values live: ``jax_default_device``, or the first device of the default platform."""
    chosen = default_device_option.value
    if chosen is None:
        return _default_backend().local_devices[0]
    return resolve_device(chosen)


def resolve_device(device: Device | str) -> Device:
    """A device as it is, or the first local device of a platform given by name.

    Raises:
      ArgumentError: it is neither.
      PluginError: the platform has no plugin.
    """
    if isinstance(device, Device):
        return device
    if isinstance(device, str):
        return _backend(device).local_devices[0]
    raise ArgumentError(f"expected a device or the name of a platform, got {device!r}")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_started() -> bool:
    """Whether there is a client of some platform in this process."""
    return bool(_backends)


def clear_backends() -> None:
    """Closes every client: arrays and executables on them can no longer be used. The next use makes new ones."""
    global _default
    with _lock:
        closing = [backend.client for backend in _backends.values()]
        _backends.clear()
        _default = None
        _native.forget_default_devices()
    for each in closing:
        each.close()


# Making clients.


def _backend(platform: str | None) -> _Backend:
    if platform is None:
        return _default_backend()
    known = _backends.get(platform)
    if known is not None:
        return known
    names = _ALIASES.get(platform, (platform,))
    wanted = _wanted()
    if wanted and not {platform, *names} & {*wanted, *(n for w in wanted for n in _ALIASES.get(w, ()))}:
        raise PluginError(
            f"the platform {platform!r} is not among those of jax_platforms: {', '.join(wanted)}"
        )
    with _lock:
        found = plugins.discover()
        name = next((name for name in names if name in found), names[0])
        return _backends.get(name) or _start(name, found)


def _default_backend() -> _Backend:
    global _default
    known = _default
    if known is not None:
        return known
    with _lock:
        if _default is None:
            _default = _choose_default()
        return _default


def _choose_default() -> _Backend:
    wanted = _wanted()
    if wanted:
        return _backend(wanted[0])
    found = plugins.discover()
    for platform in _by_preference(found):
        if not _has_device(platform):
            continue
        try:
            return _backends.get(platform) or _start(platform, found)
        except (PluginError, XlaRuntimeError) as error:
            import warnings

            warnings.warn(
                f"the plugin for {platform} is installed but does not start, so another platform is used: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
    backend = _backends.get("cpu") or _start("cpu", found)
    _say_that_there_is_none()
    return backend


def _say_that_there_is_none() -> None:
    global _said
    if not _said:
        _said = True
        logs.notice("No GPU/TPU found, falling back to CPU.")


def _wanted() -> list[str]:
    """What ``jax_platforms`` lists; empty if it does not restrict the platforms."""
    listed = platforms.value or platform_name.value or ""
    return [name.strip().lower() for name in listed.split(",") if name.strip()]


def _by_preference(found: dict[str, plugins.PluginSpec]) -> list[str]:
    known = [platform for platform in _ACCELERATORS if platform in found]
    return known + sorted(set(found) - {*known, "cpu"})


def _has_device(platform: str) -> bool:
    files = _DEVICE_FILES.get(platform)
    return files is None or os.name != "posix" or any(map(os.path.exists, files))


def _start(platform: str, found: dict[str, plugins.PluginSpec]) -> _Backend:
    """Makes the client of a platform. To be called with the lock held."""
    spec = found.get(platform)
    if spec is None:
        raise plugins.missing(platform, found)
    plugin = plugins.load(spec)
    if platform == "cpu":
        _spin(cpu_spin_microseconds.process_value)
    options = _client_options(platform)
    try:
        made = plugin.create_client(options)
    except XlaRuntimeError as error:
        # Options are the plugin's own business: one that does not know the number of CPU devices has one.
        if error.status != "INVALID_ARGUMENT" or options != {"cpu_device_count": 1}:
            raise
        logs.debug("%s: making a client with %s failed: %s", spec.path, options, error)
        made = plugin.create_client({})
    backend = _backends[platform] = _Backend(made)
    for hook in _hooks:
        hook(made)
    return backend


def on_start(hook: Callable[[Client], None]) -> None:
    """Have ``hook`` called with each client that is made from now on, before it is used."""
    _hooks.append(hook)


def _cpu_devices() -> int:
    if num_cpu_devices.value > 0:
        return num_cpu_devices.value
    flag = re.search(r"--xla_force_host_platform_device_count=(\d+)", plugins.xla_flags())
    return max(1, int(flag[1])) if flag else 1


def _client_options(platform: str) -> dict[str, ClientOption]:
    options: dict[str, ClientOption] = {}
    if platform == "cpu":
        options["cpu_device_count"] = _cpu_devices()
    elif platform in _ALIASES["gpu"]:
        options.update(_gpu_options(platform))
    options.update(_named_options(pjrt_client_create_options.value))
    return options


def _gpu_options(platform: str) -> dict[str, ClientOption]:
    """Memory grows on demand unless the variables that JAX users know ask for a share of it at once."""
    allocator = os.environ.get("XLA_PYTHON_CLIENT_ALLOCATOR", "default").lower()
    if allocator not in ("default", "platform", "bfc", "cuda_async"):
        raise PluginError(
            f"XLA_PYTHON_CLIENT_ALLOCATOR must be default, platform, bfc or cuda_async, not {allocator!r}"
        )
    preallocate = os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "false").lower()
    options: dict[str, ClientOption] = {
        "platform_name": platform,
        "allocator": allocator,
        "preallocate": preallocate not in ("false", "0", ""),
    }
    fraction = os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION") or os.environ.get("XLA_CLIENT_MEM_FRACTION")
    if fraction:
        options["memory_fraction"] = float(fraction)
    visible = cuda_visible_devices.value if platform == "cuda" else rocm_visible_devices.value
    if visible and visible != "all":
        options["visible_devices"] = [int(ordinal) for ordinal in visible.split(",")]
    return options


def _named_options(text: str | None) -> dict[str, ClientOption]:
    """``"key:value;key:value"``, each value in the type that it looks like."""
    options: dict[str, ClientOption] = {}
    for item in (text or "").split(";"):
        name, colon, value = item.strip().partition(":")
        if not colon:
            continue
        if value.lower() in ("true", "false"):
            options[name] = value.lower() == "true"
        elif re.fullmatch(r"-?\d+", value):
            options[name] = int(value)
        elif re.fullmatch(r"-?\d*\.\d+", value):
            options[name] = float(value)
        elif re.fullmatch(r"\[[\d\s,]*\]", value):
            options[name] = [int(number) for number in re.findall(r"\d+", value)]
        else:
            options[name] = value
    return options


def _check_cpu_devices(count: int) -> None:
    backend = _backends.get("cpu")
    if backend is not None and count not in (-1, len(backend.devices)):
        raise RuntimeError(
            f"jax_num_cpu_devices must be set before the first use of the CPU, which has {len(backend.devices)} "
            "device(s) now; set it at the start of the program or in the environment variable JAX_NUM_CPU_DEVICES"
        )


def _forget_default(_: object) -> None:
    global _default
    with _lock:
        _default = None
        _native.forget_default_devices()


def _spin(microseconds: int) -> None:
    # On one processor nothing can happen while a thread looks on.
    _native.set_patience(microseconds if processors() > 1 else min(microseconds, 0))


def _watch_options() -> None:
    num_cpu_devices.on_set(_check_cpu_devices)
    cpu_memory_reuse.on_set(_native.keep_blocks)
    cpu_spin_microseconds.on_set(_spin)
    platforms.on_set(_forget_default)
    platform_name.on_set(_forget_default)


_watch_options()

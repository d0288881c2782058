"""The platforms that programs run on.

Invariant: a `Backend` is a view of a client and owns nothing; `clear_backends` makes those there were useless.

>>> from anima.extend import backend
>>> backend.get_backend().platform == backend.get_backend().devices()[0].platform
True
"""

from __future__ import annotations

from anima._native import Client, Device
from anima.runtime import devices
from anima.runtime.compiler import clear_memory_cache
from anima.transforms.caches import clear_caches

__all__ = [
    "Backend",
    "backend_xla_version",
    "backends",
    "clear_backends",
    "clear_in_memory_compilation_cache",
    "get_backend",
    "get_default_device",
]


class Backend:
    """One platform, with the methods of JAX's client objects."""

    __slots__ = ("client",)

    def __init__(self, client: Client) -> None:
        self.client = client

    @property
    def platform(self) -> str:
        """Its name: "cpu", "cuda", "tpu"."""
        return self.client.platform

    @property
    def platform_version(self) -> str:
        """What its plugin says of itself."""
        return self.client.platform_version

    def devices(self) -> list[Device]:
        """Its devices, over all processes."""
        return list(self.client.devices)

    def local_devices(self) -> list[Device]:
        """Its devices that this process can use directly."""
        return list(self.client.addressable_devices)

    def device_count(self) -> int:
        """How many devices it has, over all processes."""
        return len(self.client.devices)

    def local_device_count(self) -> int:
        """How many devices this process can use directly."""
        return len(self.client.addressable_devices)

    def process_index(self) -> int:
        """The number of this process."""
        return self.client.process_index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backend) and self.client is other.client

    def __hash__(self) -> int:
        return hash(self.client)

    def __repr__(self) -> str:
        return f"Backend({self.platform})"


def get_backend(platform: str | Backend | None = None) -> Backend:
    """A platform by name, by default the default one.

    Raises:
      PluginError: no plugin for the platform is installed, or it cannot be used.
    """
    return platform if isinstance(platform, Backend) else Backend(devices.client(platform))


def backends() -> dict[str, Backend]:
    """The platforms in use so far, by name; the default one is among them."""
    return {name: Backend(client) for name, client in devices.backends().items()}


def get_default_device() -> Device:
    """Where uncommitted values live."""
    return devices.default_device()


def clear_backends() -> None:
    """Close every platform and forget all programs: arrays made so far can no longer be used."""
    clear_caches()
    devices.clear_backends()


def clear_in_memory_compilation_cache() -> None:
    """Forget the compiled programs of this process; those on disk stay."""
    clear_memory_cache()


def backend_xla_version(platform: str | None = None) -> int | None:
    """The version of XLA's interface that a platform's plugin says it has; None if it says nothing."""
    version = get_backend(platform).client.plugin.attributes.get("xla_version")
    return version if isinstance(version, int) else None

"""What the tests of the native module share: a plugin and clients.

Invariant: a test that closes a client or forks makes its own; the shared one stays usable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from anima import _native, errors
from tests.native.support import plugin_path

_CODES = {
    1: np.bool_, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64,
    6: np.uint8, 7: np.uint16, 8: np.uint32, 9: np.uint64,
    10: np.float16, 11: np.float32, 12: np.float64, 13: ml_dtypes.bfloat16,
    14: np.complex64, 15: np.complex128, 21: ml_dtypes.int4,
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with the shared client, or one of their own, need the CPU plugin."""
    for item in items:
        if "plugin" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cpu)


def pytest_configure(config: pytest.Config) -> None:
    """Tell the module about dtypes and errors; where `anima` itself has done so this changes nothing."""
    for code, scalar in _CODES.items():
        _native.register_dtype(code, np.dtype(scalar))
    for name in ("XlaRuntimeError", "DeletedArrayError", "ForkError", "PluginError"):
        _native.set_error_class(name, getattr(errors, name))


@pytest.fixture(scope="session")
def plugin() -> Any:
    """The CPU plugin."""
    return _native.load_plugin(plugin_path())


@pytest.fixture(scope="session")
def client(plugin: Any) -> Any:
    """One CPU client of four devices, shared by the tests."""
    made = plugin.create_client({"cpu_device_count": 4})
    _native.register_python_callback_target(made)
    return made


@pytest.fixture
def own_client(plugin: Any) -> Iterator[Any]:
    """A CPU client of one device for a test that closes it."""
    made = plugin.create_client({"cpu_device_count": 1})
    yield made
    made.close()


@pytest.fixture
def put(client: Any) -> Callable[..., Any]:
    """Put a NumPy array on a device of the shared client, the first by default."""

    def put(value: Any, device: int = 0) -> Any:
        return _native.array_from_host(np.asarray(value), client.devices[device])

    return put

"""Guards of transfers: what raises, what is logged, what is free; in blocks, in threads and for the process.

On a CPU the host reads arrays where they lie, so what is asked from device to host is tested at the hook.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima import _native, config, jit, lax
from anima.errors import JaxRuntimeError

X = np.arange(4.0)
ROW = numpy.ones(4, numpy.float32)
TOTAL = X.sum()
double = jit(lambda x: x * 2)

IMPLICIT: dict[str, Callable[[], Any]] = {
    "an array for a compiled function": lambda: double(ROW),
    "a number for a compiled function": lambda: double(2.0),
    "an operand": lambda: X + ROW,
    "a scalar operand": lambda: X + 1,
    "operands of an operation": lambda: lax.add(ROW, ROW),
    "an index": lambda: X[numpy.array([0, 1])],
    "a conversion": lambda: np.asarray(ROW),
    "a conversion of a number": lambda: np.asarray(2, "float32"),
    "a list": lambda: np.array([1, 2]),
    "a callback's parts": lambda: anima.make_array_from_callback((4,), X.sharding, lambda i: ROW[i]),
    "a seed": lambda: anima.random.key(0),
}
FREE: dict[str, Callable[[], Any]] = {
    "arrays": lambda: double(X),
    "operations on arrays": lambda: np.sin(X) + X,
    "what is made on devices": lambda: (np.zeros(3), np.ones(3), np.eye(2), np.arange(7)),
    "constants of programs": lambda: jit(lambda x: x + numpy.arange(4000) + 3.0)(TOTAL),
    "reading": lambda: (numpy.asarray(X), X.tolist(), str(X), float(TOTAL)),
}


@pytest.mark.cpu
@pytest.mark.parametrize("name", IMPLICIT)
def test_implicit_transfers(name: str) -> None:
    for level in ("disallow", "disallow_explicit"):
        for _ in range(2):  # compiled, and from the cache
            with (
                pytest.raises(JaxRuntimeError, match="INVALID_ARGUMENT: Disallowed host-to-device transfer"),
                anima.transfer_guard_host_to_device(level),
            ):
                IMPLICIT[name]()
        IMPLICIT[name]()
    with anima.transfer_guard_device_to_device("disallow"), anima.transfer_guard_device_to_host("disallow"):
        IMPLICIT[name]()
    with anima.transfer_guard("allow"):
        IMPLICIT[name]()


@pytest.mark.cpu
@pytest.mark.parametrize("name", FREE)
def test_what_is_no_transfer(name: str) -> None:
    with anima.transfer_guard("disallow_explicit"):
        FREE[name]()


@pytest.mark.cpu
def test_explicit_transfers() -> None:
    with anima.transfer_guard("disallow"):
        x = anima.device_put({"a": ROW, "b": 2.0})
        assert anima.device_get(x)["a"].tolist() == ROW.tolist()
        with pytest.raises(JaxRuntimeError, match="float32") as caught:
            np.asarray(ROW)  # explicit is the call, not the thread
        assert "device_put(x)" in caught.value.__notes__[0]
    with anima.transfer_guard("disallow_explicit"), pytest.raises(JaxRuntimeError) as caught:
        anima.device_put(ROW, anima.devices()[0])
    assert str(caught.value) == (
        f"INVALID_ARGUMENT: Disallowed host-to-device transfer: float32[4] to {anima.devices()[0]}"
    )
    assert "no transfer is exempt" in caught.value.__notes__[0]


@pytest.mark.cpu
def test_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "anima"):
        with anima.transfer_guard("log"):
            anima.device_put(ROW)
            assert not caplog.records
            double(ROW)
        with anima.transfer_guard("log_explicit"):
            anima.device_put(ROW)
        double(ROW)
    assert [r.getMessage() for r in caplog.records] == [
        f"host-to-device transfer: float32[4] to {anima.devices()[0]}"
    ] * 2


@pytest.mark.cpu
def test_from_device_to_host() -> None:
    ask = _native.array_hooks()["on_transfer"]
    with anima.transfer_guard_device_to_host("disallow"):
        with pytest.raises(
            JaxRuntimeError, match=r"device-to-host transfer: int32\[2, 3\] to the host"
        ) as caught:
            ask("device_to_host", numpy.dtype("int32"), (2, 3), None)
        assert "device_get(x)" in caught.value.__notes__[0]
        ask("host_to_device", numpy.dtype("int32"), (2, 3), None)


@pytest.mark.cpu
def test_guards_are_of_a_thread_or_of_the_process() -> None:
    results: list[Any] = []

    def elsewhere() -> None:
        try:
            results.append(double(ROW).tolist())
        except JaxRuntimeError as error:
            results.append(type(error))

    def in_a_thread() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    with anima.transfer_guard("disallow"):
        in_a_thread()
    config.update("jax_transfer_guard", "disallow")
    try:
        in_a_thread()
        with anima.transfer_guard("allow"):
            double(ROW)
            with anima.transfer_guard_host_to_device("disallow"), pytest.raises(JaxRuntimeError):
                double(ROW)
            with anima.enable_x64(False):
                double(ROW)
        with pytest.raises(JaxRuntimeError), anima.enable_x64(False):
            double(ROW)
    finally:
        config.update("jax_transfer_guard", None)
    in_a_thread()
    assert results == [[2.0] * 4, JaxRuntimeError, [2.0] * 4]
    assert not _native.transfers_guarded()


def test_a_guarded_function() -> None:
    @anima.transfer_guard("disallow")
    def step(x: Any) -> Any:
        return double(x)

    assert step(X).tolist() == (2 * numpy.arange(4)).tolist()
    with pytest.raises(JaxRuntimeError):
        step(ROW)
    with pytest.raises(ValueError, match="disallow_explicit"):
        anima.transfer_guard("never")


def test_native_switches_refuse_nonsense() -> None:
    for bad, error in ((2, ValueError), (-2, ValueError), ("on", TypeError)):
        with pytest.raises(error, match="swap_thread_guarded"):
            _native.swap_thread_guarded(bad)  # type: ignore[arg-type]
    assert _native.swap_thread_guarded(1) == -1
    assert _native.transfers_guarded()
    assert _native.swap_thread_guarded(-1) == 1

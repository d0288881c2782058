"""Short soaks of the library, and proof that each soak can fail."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest

from bench import soak, soak_threads
from bench.adapters import Adapter

TOY = Adapter("toy", "1", numpy, lambda value: value, lambda f: f)


def test_a_leak_is_found() -> None:
    kept: list[bytes] = []
    leak = soak.Leak("leaking calls", 10_000, soak.MIB, lambda lib: lambda i: kept.append(bytes(1000)))
    check = soak.measure(leak, TOY, 10_000)
    assert not check.passed
    assert check.found.startswith("+")


def test_no_leak_is_none() -> None:
    leak = soak.Leak("calls", 10_000, soak.MIB, lambda lib: lambda i: bytes(1000))
    assert soak.measure(leak, TOY, 10_000).passed


def test_memory_stays_where_it_was() -> None:
    checks = soak.run_all(quick=True)
    assert len(checks) == len(soak.LEAKS)
    assert not [check for check in checks if not check.passed]


def test_threads_that_call_compile_and_fail() -> None:
    command = [sys.executable, "-m", "bench.soak_threads", "--seconds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=soak.ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class FailingWork(soak_threads.Work):
    """Work in which one call goes wrong."""

    def __init__(self) -> None:
        super().__init__(TOY, lambda host, shape, x: host(x))
        self.count = 0

    def fail(self, i: int) -> None:
        """Nothing to fail in NumPy."""

    def call(self, i: int) -> None:
        """Goes wrong at the thousandth call."""
        self.count += 1
        if self.count == 1000:
            raise ArithmeticError("wrong result")


def test_an_error_in_a_thread_is_found() -> None:
    [check] = soak_threads.soak(FailingWork(), 1.0, None)
    assert not check.passed
    assert check.found == "ArithmeticError: wrong result"


@pytest.mark.parametrize("counted", [4, 5])
def test_compilations_are_counted(counted: int) -> None:
    class Working(FailingWork):
        def call(self, i: int) -> None:
            """A moment's work."""

    counts = iter([10, 10 + counted])
    checks = soak_threads.soak(Working(), 4 * soak_threads.PERIOD, lambda: next(counts))
    assert [check.passed for check in checks] == [True, counted == 4]

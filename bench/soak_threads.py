"""Threads that call, compile and fail at once: `python -m bench.soak_threads [--seconds N] [--lib NAME]`.

Invariant: every result is checked against NumPy. All threads meet at each new program at the same moment, so that the
same program is wanted by all of them before any has compiled it; at the end the number of compilations must be the
number of programs. A run that stands still is ended with a traceback of every thread.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy

from bench.adapters import Adapter, load
from bench.case import OURS
from bench.soak import ROOT, Check, markdown

THREADS = 16
PERIOD = 0.25  # seconds between two new programs
GRACE = 120.0  # seconds after the end until a standstill is called one


class Work:
    """What the threads do: calls of one compiled function, failures, callbacks, and programs that are new to all."""

    def __init__(self, lib: Adapter, callback: Callable[..., Any]) -> None:
        self.lib = lib
        self.inputs = [lib.np.arange(float(n)) for n in (1, 7, 64, 1000)]
        self.expected = [numpy.arange(float(n), dtype=numpy.float32) for n in (1, 7, 64, 1000)]
        self.double = lib.jit(lambda x: x * 2.0)
        self.shared: dict[int, Callable[..., Any]] = {}
        self.lock = threading.Lock()

        def host(x: Any) -> Any:
            # back into the library from within one of its programs, on whatever thread runs it
            return numpy.asarray(self.double(lib.np.array(numpy.asarray(x))))

        def through_host(x: Any) -> Any:
            return callback(host, x, x) + 1.0

        self.through_host = lib.jit(through_host)

    def call(self, i: int) -> None:
        """A call of a function that is compiled already."""
        k = i % len(self.inputs)
        numpy.testing.assert_array_equal(numpy.asarray(self.double(self.inputs[k])), self.expected[k] * 2)

    def callback(self, i: int) -> None:
        """A program that calls Python, which calls the library."""
        k = i % len(self.inputs)
        numpy.testing.assert_array_equal(
            numpy.asarray(self.through_host(self.inputs[k])), self.expected[k] * 2 + 1
        )

    def fail(self, i: int) -> None:
        """A trace that fails, and a use of a deleted array."""
        x = self.inputs[1]
        try:
            self.lib.jit(lambda y: y if y.sum() > i else -y)(x)
        except (TypeError, ValueError):
            pass
        else:
            raise AssertionError("reading a traced value should have failed")
        gone = self.lib.np.array([1.0, 2.0])
        gone.delete()
        try:
            self.double(gone)
        except (RuntimeError, ValueError):
            return
        raise AssertionError("using a deleted array should have failed")

    def new_program(self, k: int) -> None:
        """Program number k: an odd one through one jitted function for all threads, an even one through one each."""
        if k % 2:
            with self.lock:
                f = self.shared.setdefault(k, self._program(k))
        else:
            f = self._program(k)
        x, expected = self.inputs[2], self.expected[2]
        numpy.testing.assert_allclose(numpy.asarray(f(x)), expected * (k + 0.5), rtol=1e-6)

    def _program(self, k: int) -> Callable[..., Any]:
        factor = k + 0.5
        f: Callable[..., Any] = self.lib.jit(lambda x: x * factor)
        return f


def soak(work: Work, seconds: float, compilations: Callable[[], int] | None) -> list[Check]:
    """Run the threads and return what was found."""
    steps = (work.call, work.callback, work.fail, work.call)
    for k in range(len(work.inputs)):  # everything but the new programs is compiled beforehand
        for step in steps:
            step(k)
    before = compilations() if compilations else 0
    barrier, errors, done = threading.Barrier(THREADS), [], [0] * THREADS
    begin = time.monotonic()
    programs = max(1, int(seconds / PERIOD))

    def run(index: int) -> None:
        try:
            for program in range(programs):
                barrier.wait(GRACE)
                work.new_program(program)
                while time.monotonic() < begin + (program + 1) * PERIOD:
                    steps[(done[index] + index) % len(steps)](done[index])
                    done[index] += 1
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), None)
    what = f"{THREADS} threads, {seconds:g} s: calls, failures, callbacks into the library"
    found = f"{sum(done):,} operations" if not errors else f"{type(first).__name__}: {first}".splitlines()[0]
    checks = [Check(what, found, "no error, no standstill", not errors)]
    if compilations:
        count = compilations() - before
        checks.append(
            Check(
                f"{programs} programs, each wanted by {THREADS} threads at once",
                f"{count} compilations",
                f"{programs} compilations",
                count == programs,
            )
        )
    return checks


def run_all(*, quick: bool = False, lib: str = OURS) -> list[Check]:
    """The soak in a fresh process, for a minute (`quick`: five seconds)."""
    seconds = 5.0 if quick else 60.0
    print(f"soak: {THREADS} threads for {seconds:g} s", file=sys.stderr)
    command = [sys.executable, "-m", "bench.soak_threads", "--json", "--lib", lib, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    lines = done.stdout.strip().splitlines()
    if not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [Check(f"{THREADS} threads", f"status {done.returncode}: {last}", "", False)]
    return [Check(**check) for check in json.loads(lines[-1])]


def main(arguments: list[str]) -> int:
    """Run the soak in this process and print its table, or JSON; 1 if a check fails."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak_threads")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--lib", default=OURS, help="anima or jax")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    faulthandler.dump_traceback_later(chosen.seconds + GRACE, exit=True)
    lib = load(chosen.lib)
    module = sys.modules[chosen.lib]
    compilations = None
    if chosen.lib == OURS:
        module.config.update(
            "jax_enable_compilation_cache", False
        )  # a program loaded from disk is not compiled
        compilations = sys.modules[f"{OURS}._native"].compile_count
    checks = soak(Work(lib, module.pure_callback), chosen.seconds, compilations)
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps([check.as_json() for check in checks]) if chosen.json else markdown(checks))
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

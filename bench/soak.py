"""Resident memory under long use: `python -m bench.soak [--quick] [--lib NAME]`.

Invariant: each check runs in a process of its own, warms up, and then compares the memory that stays resident after the
first part of its work with that after all of it. Memory that the allocator keeps but does not use is given back first.
The first three checks must leave memory where it was; the others may fill bounded caches, and must stop growing.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.adapters import Adapter, load
from bench.case import OURS

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20


@dataclass
class Check:
    """One soak: what was done, what was found, and whether that is within bounds."""

    name: str
    found: str
    allowed: str
    passed: bool

    def as_json(self) -> dict[str, object]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Leak:
    """A unit of work to repeat: `make(lib)` returns it; it is repeated `count` times and may leave `allowed` bytes."""

    name: str
    count: int
    allowed: int
    make: Callable[[Adapter], Callable[[int], Any]]


def resident() -> int:
    """Bytes of memory resident in this process, after collecting garbage and returning free memory to the system."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _calls(lib: Adapter) -> Callable[[int], Any]:
    f, x = lib.jit(lambda x, y: x + y), lib.np.arange(10.0)
    return lambda i: f(x, x)


def _arrays(lib: Adapter) -> Callable[[int], Any]:
    host = [float(i) for i in range(10)]
    return lambda i: lib.np.array(host)


def _eager(lib: Adapter) -> Callable[[int], Any]:
    x = lib.np.arange(10.0)
    return lambda i: (x + 1.0)[0]


def _fresh(lib: Adapter) -> Callable[[int], Any]:
    x = lib.np.arange(10.0)
    return lambda i: lib.jit(lambda y: y * 2.0)(x)


def _closures(lib: Adapter) -> Callable[[int], Any]:
    x = lib.np.arange(1000.0)

    def work(i: int) -> Any:
        captured = x + float(i)
        return lib.jit(lambda y: y * captured)(x)

    return work


def _methods(lib: Adapter) -> Callable[[int], Any]:
    x = lib.np.arange(10.0)

    class Model:
        def __init__(self) -> None:
            self.weights = lib.np.ones(10)
            self.apply = lib.jit(self._apply)  # model -> jitted function -> bound method -> model

        def _apply(self, y: Any) -> Any:
            return y * 3.0

    return lambda i: Model().apply(x)


def _failures(lib: Adapter) -> Callable[[int], Any]:
    x = lib.np.arange(10.0)

    def reads_a_value(y: Any) -> Any:
        return y if y.sum() > 0 else -y

    def wrong_shape(y: Any) -> Any:
        return y + lib.np.ones(3)

    def work(i: int) -> None:
        f = reads_a_value if i % 2 else wrong_shape
        try:
            lib.jit(lambda y: f(y))(x)
        except (TypeError, ValueError):
            return
        raise AssertionError("the trace should have failed")

    return work


LEAKS = [
    Leak("jitted calls", 1_000_000, MIB, _calls),
    Leak("array creations", 1_000_000, MIB, _arrays),
    Leak("eager operations", 1_000_000, MIB, _eager),
    Leak("fresh jit(lambda)", 100_000, 4 * MIB, _fresh),
    Leak("fresh closures over arrays", 100_000, 4 * MIB, _closures),
    Leak("cycles through jitted methods", 100_000, 4 * MIB, _methods),
    Leak("failed traces", 100_000, 4 * MIB, _failures),
]


def measure(leak: Leak, lib: Adapter, count: int) -> Check:
    """Repeat the work `count` times and compare memory after the first fifth with memory at the end."""
    work = leak.make(lib)
    marks = [count // 5, count]
    after: list[int] = []
    start, done = time.perf_counter(), 0
    for mark in marks:
        value = None
        for i in range(done, mark):
            value = work(i)
        if value is not None:
            lib.block(value)
        value, done = None, mark
        after.append(resident())
    grown, rate = after[1] - after[0], count / (time.perf_counter() - start)
    found = f"{grown / MIB:+.2f} MiB between {marks[0]:,} and {count:,} ({rate:,.0f} a second)"
    return Check(f"{count:,} {leak.name}", found, f"{leak.allowed / MIB:g} MiB", grown <= leak.allowed)


def run_all(*, quick: bool = False, lib: str = OURS) -> list[Check]:
    """Every check, each in a fresh process; `quick` does a fiftieth of the work."""
    checks = []
    for leak in LEAKS:
        count = leak.count // 50 if quick else leak.count
        print(f"soak: {count:,} {leak.name}", file=sys.stderr)
        command = [
            sys.executable,
            "-m",
            "bench.soak",
            "--lib",
            lib,
            "--only",
            leak.name,
            "--count",
            str(count),
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            checks.append(Check(f"{count:,} {leak.name}", f"status {done.returncode}: {last}", "", False))
        else:
            checks.append(Check(**json.loads(done.stdout.strip().splitlines()[-1])))
    return checks


def markdown(checks: list[Check]) -> str:
    """The table of the checks."""
    lines = ["| what | found | allowed | |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {c.name} | {c.found} | {c.allowed} | {'passed' if c.passed else 'failed'} |" for c in checks
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run all checks and print their table, or (`--only`) one check in this process and print it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the work")
    parser.add_argument("--lib", default=OURS, help="the library, as bench.adapters names it")
    parser.add_argument("--only", choices=[leak.name for leak in LEAKS])
    parser.add_argument("--count", type=int, help="repetitions, with --only")
    chosen = parser.parse_args(arguments)
    if chosen.only:
        leak = next(leak for leak in LEAKS if leak.name == chosen.only)
        print(json.dumps(measure(leak, load(chosen.lib), chosen.count or leak.count).as_json()))
        return 0
    checks = run_all(quick=chosen.quick, lib=chosen.lib)
    print(markdown(checks))
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

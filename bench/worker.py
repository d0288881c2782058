"""The process in which one library runs one program once: `python -m bench.worker REQUEST`.

Invariant: one library a process, so no library's threads, allocator or imports touch another's figures. The request is
JSON on the command line (see `harness.Request`); the answer is one line of JSON on standard output: case to
`{"value": number}`, with `results` and their `tolerance` if they are to be compared, or `{"error": text}`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.case import Checked, Program

BATCHES = 7


def time_call(thunk: Callable[[], Any], block: Callable[[Any], Any], budget: float) -> float:
    """Seconds that one call takes: the least over batches that together take about `budget` seconds.

    The first calls (tracing, compiling, filling caches) do not count, and the number of calls a batch is found by
    doubling. A batch waits for its last value, so work left running is paid by the batch that started it. The least,
    because whatever else runs on the machine only ever adds; what the process does to itself (collecting garbage, say)
    comes back within every batch. Over the rounds the harness takes medians.
    """
    for _ in range(3):
        block(thunk())
    calls, elapsed = 1, 0.0
    while True:
        elapsed = _batch(thunk, block, calls)
        if elapsed >= budget / BATCHES / 2:
            break
        calls *= 2
    gc.collect()
    return min(_batch(thunk, block, calls) for _ in range(BATCHES)) / calls


def _batch(thunk: Callable[[], Any], block: Callable[[Any], Any], calls: int) -> float:
    value = None
    start = time.perf_counter()
    for _ in range(calls):
        value = thunk()
    block(value)
    return time.perf_counter() - start


def load_program(spec: str) -> Program:
    """The program of a module (`bench.programs.eager`) or of a file."""
    if spec.endswith(".py"):
        program = runpy.run_path(spec)["program"]
    else:
        program = importlib.import_module(spec).program
    assert isinstance(program, Program)
    return program


def answer(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Run the cases of a request; an exception becomes the case's error, and the others still run."""
    from bench.adapters import load

    program = load_program(request["program"])
    adapter = None
    found: dict[str, dict[str, Any]] = {}
    for case in program.cases:
        if case.name not in request["cases"]:
            continue
        try:
            if case.measure is not None:
                with tempfile.TemporaryDirectory(prefix="anima-bench-") as scratch:
                    value = case.measure(request["adapter"], Path(scratch))
                found[case.name] = value._asdict() if isinstance(value, Checked) else {"value": value}
            else:
                assert case.build is not None
                adapter = adapter or load(request["adapter"])
                found[case.name] = {"value": time_call(case.build(adapter), adapter.block, request["budget"])}
        except Exception as error:
            traceback.print_exc()
            found[case.name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    return found


def main() -> None:
    """Pin the process to the cores of the request, run it and print the answer."""
    request = json.loads(sys.argv[1])
    if request["cpus"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, request["cpus"])
    sys.stdout.flush()
    answers = answer(request)
    print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main()

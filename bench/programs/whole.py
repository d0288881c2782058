"""Whole programs: the time to their first result, with empty disk caches and with full ones, the time of a step, and
the peak of memory.

Invariant: each figure of the first result is that of a fresh process, from before the library's import to the value, data
included; the libraries keep compiled programs on disk where they can, JAX with thresholds that keep everything. The first
result that is timed is also the one that is compared with ours: a library whose numbers differ gets no figures.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.case import Checked, Program
from bench.fresh import PEAK, everything_kept, printed_by

program = Program("Whole programs", rounds=4, quick_cases=9)

# The libraries beside JAX know no disk cache, and are asked where the program needs neither derivatives of loops nor `vmap`.
EAGER = ("jax", "torch", "numpy")
PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mlp": ("training an MLP", ("jax", "torch")),
    "resnet": ("training a ResNet of 18 layers", ("jax",)),
    "transformer": ("training a transformer decoder", ("jax",)),
    "lstm": ("training an LSTM over 512 steps", ("jax",)),
    "kalman": ("Kalman filter and smoother, 500 steps", ("jax",)),
    "bodies": ("64 bodies, 100 steps of leapfrog", EAGER),
    "options": ("Black-Scholes to second order, 10,000 options", ("jax",)),
    "sampling": ("HMC, logistic regression", ("jax",)),
    "heat": ("heat equation, 256 by 256, 100 steps", EAGER),
    "pagerank": ("PageRank, 100,000 links, 20 steps", EAGER),
    "clusters": ("k-means, 10,000 points, 10 steps", EAGER),
    "lorenz": ("Lorenz, 1,000 members, 200 steps", ("jax",)),
    "optimiser": ("optimiser by hand, 200 leaves, 1,000 steps", ("jax",)),
}
COLD, WARM, STEADY = "first result, caches empty", "first result, disk cache warm", "a step"
MEMORY = "peak memory, caches empty"
GOALS = {COLD: 0.8, WARM: 0.3, STEADY: 1.05, MEMORY: 1.0}
UNITS = {MEMORY: "B"}
SAME_NUMBERS = {"JAX_THREEFRY_PARTITIONABLE": "1"}  # one way to draw random numbers, for both libraries
BUDGET = 0.3  # seconds for the time of a step
QUICK = ("mlp", "bodies", "lorenz")  # what quick runs measure: all figures come from the same processes

_PROCESS = """
import json, time
from bench.adapters import load
start = time.perf_counter()
lib = load("{lib}")
from bench.whole.{name} import build
run = build(lib)
for _ in range(run.first):
    value = run.step()
lib.block(value)
first = time.perf_counter() - start
from bench.whole.parts import digest
results = digest(value)
from bench.worker import time_call
step = time_call(run.step, lib.block, {budget}) if {budget} else 0.0
"""
_ANSWER = """
print(json.dumps([first, step, took, results, run.tolerance]))
"""


class Figures(NamedTuple):
    """What the processes of one library told about one program."""

    values: dict[str, float]
    results: list[tuple[float, float]]
    tolerance: float


@functools.cache
def figures(lib: str, name: str) -> Figures:
    """Run a program in a process that finds an empty folder for caches, and in another that finds what that one left."""

    def run(cache: Path, budget: float) -> Any:
        source = _PROCESS.format(lib=lib, name=name, budget=budget) + PEAK + _ANSWER
        return json.loads(printed_by(source, cache, **everything_kept(cache), **SAME_NUMBERS))

    with tempfile.TemporaryDirectory(prefix="anima-bench-") as cache:
        first, step, peak, results, tolerance = run(Path(cache), BUDGET)
        keeps = lib not in ("torch", "numpy")
        again = run(Path(cache), 0.0)[0] if keeps else first
    return Figures({COLD: first, WARM: again, STEADY: step, MEMORY: peak}, results, tolerance)


def _declare(name: str, title: str, peers: tuple[str, ...], figure: str) -> str:
    def measure(lib: str, _: Path) -> Checked:
        found = figures(lib, name)
        return Checked(found.values[figure], found.results, found.tolerance)

    declare: Callable[..., Any] = program.measured(
        f"{title}: {figure}",
        unit=UNITS.get(figure, "s"),
        peers=peers if figure == STEADY else ("jax",),
        limits={"jax": GOALS[figure]},
        slow=name not in QUICK,
    )
    declare(measure)
    return f"{title}: {figure}"


_NAMES = {
    figure: [_declare(name, title, peers, figure) for name, (title, peers) in PROGRAMS.items()]
    for figure in GOALS
}
for _figure, _cases in _NAMES.items():
    program.mean(
        f"{_figure}: geometric mean",
        of=_cases,
        unit=UNITS.get(_figure, "s"),
        limits={"jax": 0.9} if _figure == STEADY else {},
    )

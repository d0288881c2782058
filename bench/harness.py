"""Run programs alternately in fresh processes, and make tables of what came out.

Invariant: in every round each library runs the same cases once, one process after the other, and the order turns by
one from round to round; a ratio is the median over the rounds of ours divided by theirs *in that round*. A machine that
gets slower while the benchmark runs, or is shared, then moves both sides of a ratio alike. A library whose results differ
from ours has an error in place of figures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.case import OURS, Case
from bench.worker import load_program

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Peer:
    """A library to run: the name that cases know it by, its adapter, and the Python that has it installed."""

    name: str
    adapter: str = ""
    python: str = sys.executable


@dataclass(frozen=True)
class Settings:
    """How long and on what: rounds, seconds a timed case takes a round, the cores to stay on (empty: all), which cases."""

    rounds: int = 7
    budget: float = 0.35
    cpus: tuple[int, ...] = ()
    timeout: float = 900.0
    quick: bool = False


@dataclass
class Row:
    """What was measured for one case: the values of each library, a round each, or why there are none."""

    case: Case
    values: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float | None:
        """The median of a library's values, or None."""
        values = self.values.get(name)
        return statistics.median(values) if values else None

    def fail(self, name: str, error: str) -> None:
        """Put an error in place of a library's values."""
        self.errors[name] = error
        self.values.pop(name, None)

    def ratios(self, peer: str, ours: str = OURS) -> list[float]:
        """Ours over theirs, for each round that has both."""
        return [a / b for a, b in zip(self.values.get(ours, []), self.values.get(peer, [])) if b]

    def verdict(self) -> bool | None:
        """Whether the wanted bounds are met: None if the case has none, False also if a figure is missing."""
        if not self.case.limits and self.case.at_most is None:
            return None
        ours = self.median(OURS)
        if ours is None or (self.case.at_most is not None and ours > self.case.at_most):
            return False
        medians = {peer: self.ratios(peer) for peer in self.case.limits}
        return all(r and statistics.median(r) <= self.case.limits[peer] for peer, r in medians.items())


def environment(cpus: Sequence[int]) -> dict[str, str]:
    """The environment of a worker: the caller's, with the thread pools of all libraries at the number of cores."""
    threads = str(len(cpus) or os.cpu_count() or 1)
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    # Installed packages come with their bytecode; ours, used where it stands, must be allowed to keep it, too.
    own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**own, **dict.fromkeys(pools, threads), "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}


def run_program(
    spec: str, peers: Sequence[Peer], settings: Settings, progress: Callable[[str], None] = lambda _: None
) -> list[Row]:
    """Run a program (a module name or a file) for all peers, ours among them, and return a row for each case."""
    everything = [Row(case) for case in load_program(spec).chosen(settings.quick)]
    rows = [row for row in everything if not row.case.mean_of]
    for number in range(settings.rounds):
        turn = number % len(peers)
        results: dict[tuple[str, str], dict[str, Any]] = {}
        for peer in (*peers[turn:], *peers[:turn]):
            wanted = [r for r in rows if peer.name in (OURS, *r.case.peers) and peer.name not in r.errors]
            if not wanted:
                continue
            progress(f"{spec}: round {number + 1} of {settings.rounds}: {peer.name}")
            answers = _ask(spec, peer, [row.case.name for row in wanted], settings)
            for row in wanted:
                found = answers.get(row.case.name, {"error": "no answer"})
                if "value" in found:
                    row.values.setdefault(peer.name, []).append(float(found["value"]))
                    results[row.case.name, peer.name] = found
                else:
                    row.fail(peer.name, str(found["error"]))
        for row in rows:
            for name in row.case.peers:
                ours, theirs = (results.get((row.case.name, library)) for library in (OURS, name))
                if ours and theirs and (difference := _difference(ours, theirs)):
                    row.fail(name, difference)
    for row in everything:
        if row.case.mean_of:
            _take_mean(row, {part.case.name: part for part in rows})
    return everything


def _difference(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """How the results differ that came with two figures; empty if they agree, or if there are none."""
    pairs = ours.get("results", []), theirs.get("results", [])
    if len(pairs[0]) != len(pairs[1]):
        return f"{len(pairs[1])} results, ours are {len(pairs[0])}"
    for number, ((value, size), (other, other_size)) in enumerate(zip(*pairs)):
        bound = ours["tolerance"] * max(size, other_size)
        if not abs(value - other) <= bound:  # also where one of them is no number
            return f"result {number} is {other:.6g}, ours {value:.6g}: further apart than {bound:.2g}"
    return ""


def _take_mean(row: Row, parts: dict[str, Row]) -> None:
    """Fill a row with the geometric means of others, round by round."""
    for name in (OURS, *row.case.peers):
        values = [parts[part].values.get(name, []) for part in row.case.mean_of]
        if name == OURS or any(values):  # a peer without any is not there
            missing = [part for part, found in zip(row.case.mean_of, values) if not found]
            if missing:
                row.fail(name, f"no figure of {missing[0]}")
            else:
                row.values[name] = [statistics.geometric_mean(round_) for round_ in zip(*values)]


def _ask(spec: str, peer: Peer, cases: list[str], settings: Settings) -> dict[str, dict[str, Any]]:
    """One worker's answers; a worker that dies or hangs answers with an error for every case."""
    request = {
        "program": spec,
        "adapter": peer.adapter or peer.name,
        "cases": cases,
        "budget": settings.budget,
        "cpus": list(settings.cpus),
    }
    command = [peer.python, "-m", "bench.worker", json.dumps(request)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment(settings.cpus),
            timeout=settings.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {case: {"error": f"no answer within {settings.timeout:.0f} s"} for case in cases}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {case: {"error": f"status {done.returncode}: {last}"} for case in cases}
    answers: dict[str, dict[str, Any]] = json.loads(lines[-1])
    return answers


# ---- tables -------------------------------------------------------------------------------------------------------

_SCALES = {
    "s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")],
    "B": [(2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")],
}


def show(value: float | None, unit: str) -> str:
    """A value with three digits, in the multiple of its unit that suits it."""
    if value is None:
        return "-"
    for scale, name in _SCALES.get(unit, []):
        if abs(value) >= scale:
            return f"{value / scale:.3g} {name}"
    return f"{value:.3g} {unit}".strip()


def markdown(rows: Iterable[Row], peers: Sequence[str]) -> str:
    """The table of a program: the case, ours, then value and ratio of each peer, then the bound and whether it holds.

    A ratio is ours to theirs: below one, ours takes less. In brackets, the range over the rounds.
    """
    rows = list(rows)
    shown = [peer for peer in peers if peer != OURS and any(peer in row.case.peers for row in rows)]
    head = ["case", OURS, *(text for peer in shown for text in (peer, f"{OURS} / {peer}")), "wanted"]
    lines = [head, ["---", *["---:"] * (len(head) - 2), "---"]]
    for row in rows:
        cells = [row.case.name, row.errors.get(OURS) or show(row.median(OURS), row.case.unit)]
        for peer in shown:
            ratios = row.ratios(peer)
            cells.append(row.errors.get(peer) or show(row.median(peer), row.case.unit))
            cells.append(
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "-"
            )
        lines.append([*cells, _wanted(row)])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _wanted(row: Row) -> str:
    bounds = [f"{limit:g} of {peer}" for peer, limit in row.case.limits.items()]
    if row.case.at_most is not None:
        bounds.append(f"at most {row.case.at_most:g}")
    verdict = row.verdict()
    return "" if verdict is None else f"{', '.join(bounds)}: {'met' if verdict else 'missed'}"


def as_json(rows: Iterable[Row]) -> list[dict[str, object]]:
    """The rows as plain data: every value of every round."""
    found: list[dict[str, object]] = []
    for row in rows:
        case = {k: v for k, v in asdict(row.case).items() if k not in ("build", "measure")}
        found.append({**case, "values": row.values, "errors": row.errors, "verdict": row.verdict()})
    return found

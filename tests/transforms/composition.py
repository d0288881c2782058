"""Check many random programs: `python -m tests.transforms.composition --programs 20000 --seed 0`.

Invariant: programs come in chunks, each drawn by Hypothesis from a seed of its own, so the same command checks the same
programs however many processes share the work, and `--only N` checks one chunk again. A failing program is made smaller
and printed as text for `test_composition_found.py`; its chunk ends there. The exit status is 1 if any program failed.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

CHUNK = 100
# XLA options with which programs compile several times as fast.
CHEAP = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


@dataclass
class Report:
    """What came of a chunk: programs checked, those that could not be, and the failure if there was one."""

    chunk: int
    checked: int = 0
    seconds: float = 0.0
    inconclusive: collections.Counter[str] = field(default_factory=collections.Counter)
    failure: str = ""


def run_chunk(seed: int, chunk: int, count: int, shrink: bool, peer: bool) -> Report:
    """Check `count` programs of a chunk, or as many as there are before one fails."""
    import hypothesis

    from tests.transforms.checking import Check, Inconclusive
    from tests.transforms.strategy import Case, cases, phases

    available = None
    if peer:
        from tests.peers import composition_peer

        available = composition_peer.features()
    report = Report(chunk)
    failed: list[Case] = []

    @hypothesis.seed(f"{seed} {chunk}")
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=phases(shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @hypothesis.given(cases(available))
    def check(case: Case) -> None:
        try:
            if peer:
                composition_peer.compare(case.program)
            else:
                Check(case.program, case.route).run()
        except Inconclusive as reason:
            report.inconclusive[str(reason)] += not failed
            hypothesis.reject()
        except Exception:
            failed.append(case)
            raise
        report.checked += not failed  # not while a failing program is made smaller

    start = time.process_time()
    try:
        check()
    except Exception as error:
        case = failed[-1]
        report.failure = (
            f"seed {seed}, chunk {chunk}, route {case.route}:\n{case.program}\n{_shortened(error)}"
        )
    report.seconds = time.process_time() - start
    return report


def _shortened(error: Exception) -> str:
    """Where an exception was raised, and what it says."""
    error.__notes__ = []  # Hypothesis's own
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "hypothesis" not in f.filename]
    return "".join([*traceback.format_list(frames[-8:]), *traceback.format_exception_only(error)])


def _call(arguments: tuple[int, int, int, bool, bool]) -> Report:
    return run_chunk(*arguments)


def _bar(done: int, total: int, rate: float, failures: int) -> str:
    filled = 30 * done // max(total, 1)
    left = (total - done) / rate if rate else 0
    return (
        f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:,} of {total:,}, {rate:.1f} a second, "
        f"{left / 60:.0f} min left, {failures} failed "
    )


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.transforms.composition", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--programs", type=int, default=1000, help="how many to check (1000)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--only", type=int, help="check this chunk alone")
    parser.add_argument("--processes", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--failures", type=int, default=5, help="stop after so many failures (5)")
    parser.add_argument("--no-shrink", action="store_true", help="print failing programs as they were drawn")
    parser.add_argument("--peer", action="store_true", help="compare values and types with JAX instead")
    return parser.parse_args(arguments)


def reports(chosen: argparse.Namespace) -> Iterator[Report]:
    """The reports of all chunks, as they come in."""
    count = -(-chosen.programs // CHUNK)
    chunks = range(count) if chosen.only is None else [chosen.only]
    sizes = [min(CHUNK, chosen.programs - CHUNK * i) if chosen.only is None else CHUNK for i in chunks]
    work = [(chosen.seed, c, n, not chosen.no_shrink, chosen.peer) for c, n in zip(chunks, sizes)]
    if chosen.processes == 1 or len(work) == 1:
        yield from map(_call, work)
        return
    # Processes are replaced now and then: executables of single operations pile up.
    with multiprocessing.get_context("spawn").Pool(chosen.processes, maxtasksperchild=20) as pool:
        yield from pool.imap_unordered(_call, work)


def main(arguments: list[str]) -> int:
    """Check what the command line says; 1 if a program failed."""
    chosen = parse(arguments)
    cache = tempfile.mkdtemp(prefix="anima-composition-")
    flags = " ".join(f"--{name}={str(value).lower()}" for name, value in CHEAP.items())
    os.environ.update(ANIMA_ENABLE_CHECKS="1", ANIMA_COMPILATION_CACHE_DIR=cache, XLA_FLAGS=flags)
    checked, failures, seconds = 0, 0, 0.0
    inconclusive: collections.Counter[str] = collections.Counter()
    start = time.perf_counter()
    try:
        for report in reports(chosen):
            checked += report.checked
            seconds += report.seconds
            inconclusive += report.inconclusive
            if report.failure:
                failures += 1
                print(f"\n{'=' * 100}\n{report.failure}", flush=True)
            elapsed = time.perf_counter() - start
            print(
                _bar(checked, chosen.programs, checked / elapsed, failures),
                end="",
                file=sys.stderr,
                flush=True,
            )
            if failures >= chosen.failures:
                break
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    elapsed = time.perf_counter() - start
    print(
        f"\n{checked:,} programs checked, {failures} failed, in {elapsed / 60:.1f} min ({seconds / 60:.1f} min of CPU, "
        f"{1000 * seconds / max(checked, 1):.0f} ms a program); not conclusive: "
        + (", ".join(f"{n} {why}" for why, n in inconclusive.most_common()) or "none")
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run every program against the peers that are installed, and write what came out: `python -m bench.run`.

Invariant: `bench/RESULTS.md` and `bench/RESULTS.json` come from one complete run on one machine; a quick run, or one of
some programs only, prints its tables and leaves the files alone. A figure that misses what is wanted of it is shown as
missed and changes the exit status only with `--strict`; a case of ours that fails always does.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bench import harness, missed, soak, soak_threads
from bench.case import OURS
from bench.worker import load_program

HERE = Path(__file__).resolve().parent
PROGRAMS = (
    "dispatch", "eager", "eager_numpy", "trace_lower", "run_time", "large", "kernels", "random", "startup", "whole",
)  # fmt: skip
PEERS = ("jax", "torch", "numpy")


def installed(name: str) -> str | None:
    """The version of a library in this environment, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    commit = subprocess.run(
        ["git", "-C", str(HERE), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    packages = (*(OURS, *PEERS), "scipy", "xla-cpu-pjrt", "jaxlib")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{model}, {len(cores())} cores used",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version}" for name in packages if (version := installed(name))),
        "commit": commit.stdout.strip() or "unknown",
    }


def cores() -> tuple[int, ...]:
    """The cores that this process may use."""
    return (
        tuple(sorted(os.sched_getaffinity(0)))
        if hasattr(os, "sched_getaffinity")
        else tuple(range(os.cpu_count() or 1))
    )


def peers() -> list[harness.Peer]:
    """Ours and the peers that are installed."""
    return [harness.Peer(OURS), *(harness.Peer(name) for name in PEERS if installed(name))]


def left_out(specs: Iterable[str]) -> str:
    """What a quick run does not measure of programs."""
    lines = ["A quick run: one round, short timings, small soaks. It leaves out:", ""]
    for spec in specs:
        program = load_program(spec)
        measured = {case.name for case in program.chosen(quick=True)}
        names = [case.name for case in program.cases if case.name not in measured]
        if names:
            lines.append(f"- {program.title}, {len(names)} of {len(program.cases)} cases: {'; '.join(names)}")
    return "\n".join(lines)


def report(tables: dict[str, list[harness.Row]], checks: list[soak.Check], facts: dict[str, str]) -> str:
    """The whole text of RESULTS.md."""
    names = [peer.name for peer in peers()]
    parts = ["# Results", "", *(f"- {key}: {value}" for key, value in facts.items()), ""]
    parts += [
        "Each figure is the median over rounds in which the libraries ran one after the other in fresh processes;",
        "each ratio the median of the rounds' own ratios, ours to theirs (below one: ours takes less), with their range.",
        "Made by `make bench`.",
    ]
    for title, rows in tables.items():
        parts += ["", f"## {title}", "", harness.markdown(rows, names)]
    if checks:
        parts += ["", "## Soaks", "", soak.markdown(checks)]
    parts += ["", missed.section(row for rows in tables.values() for row in rows)]
    return "\n".join(parts) + "\n"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument(
        "programs", nargs="*", metavar="program", help=f"of {', '.join(PROGRAMS)}, soak; default: all"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two minutes: one round of some cases, small soaks, no files written",
    )
    parser.add_argument("--rounds", type=int, help="rounds for each program (default: its own number)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a wanted figure is missed")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.programs) - {*PROGRAMS, "soak"}
    if unknown:
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    return chosen


def main(arguments: list[str]) -> int:
    """Run what the command line says; 1 if a case of ours fails (with --strict, also if a figure is missed)."""
    chosen = parse(arguments)
    facts, tables, checks = machine(), {}, []
    specs = []
    for name in PROGRAMS:
        if not chosen.programs or name in chosen.programs:
            spec = f"bench.programs.{name}"
            specs.append(spec)
            program = load_program(spec)
            settings = harness.Settings(
                rounds=chosen.rounds or (1 if chosen.quick else program.rounds),
                budget=0.05 if chosen.quick else 0.35,
                cpus=cores(),
                quick=chosen.quick,
            )
            tables[program.title] = harness.run_program(
                spec, peers(), settings, lambda text: print(text, file=sys.stderr)
            )
    if not chosen.programs or "soak" in chosen.programs:
        checks = [*soak.run_all(quick=chosen.quick), *soak_threads.run_all(quick=chosen.quick)]
    text = report(tables, checks, facts)
    print(text)
    if chosen.quick and specs:
        print(left_out(specs))
    if not chosen.quick and not chosen.programs:
        (HERE / "RESULTS.md").write_text(text, encoding="utf-8")
        data = {
            "machine": facts,
            "programs": {title: harness.as_json(rows) for title, rows in tables.items()},
            "soaks": [check.as_json() for check in checks],
        }
        (HERE / "RESULTS.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    rows = [row for table in tables.values() for row in table]
    failed = [r.case.name for r in rows if OURS in r.errors] + [c.name for c in checks if not c.passed]
    short = [r.case.name for r in rows if r.verdict() is False] if chosen.strict else []
    for name in (*failed, *short):
        print(f"{'failed' if name in failed else 'missed'}: {name}", file=sys.stderr)
    return 1 if failed or short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

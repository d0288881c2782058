"""The harness reports what is there: a peer that does twice the work is reported as twice as slow."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from bench import harness
from bench.case import Case, Program
from bench.run import PROGRAMS, left_out, main, parse
from bench.worker import load_program

# Libraries that differ in how much work one call does: spinning on the clock takes a known time.
TOY = """
import time
from bench.adapters import Adapter
from bench.case import Program

def library(name, micros):
    def work():
        end = time.perf_counter() + micros * 1e-6
        while time.perf_counter() < end:
            pass
    return Adapter(name, "1", work, lambda value: value, lambda f: f)

def once():
    return library("once", 200)

def twice():
    return library("twice", 400)

program = Program("Toy")

@program.timed("spin", peers=("twice",), limits={"twice": 0.7})
def spin(lib):
    return lib.np

@program.timed("only ours", peers=())
def only_ours(lib):
    return lambda: None

@program.timed("breaks", peers=("twice",), limits={"twice": 1.0})
def breaks(lib):
    if lib.name == "twice":
        raise ValueError("no such function\\nand more")
    return lib.np

@program.measured("count", unit="", peers=(), at_most=3)
def count(lib, scratch):
    (scratch / "file").write_text("x")
    return len(list(scratch.iterdir()))
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> list[harness.Row]:
    path = tmp_path_factory.mktemp("toy") / "toy.py"
    path.write_text(textwrap.dedent(TOY), encoding="utf-8")
    peers = [harness.Peer("anima", f"{path}:once"), harness.Peer("twice", f"{path}:twice")]
    return harness.run_program(str(path), peers, harness.Settings(rounds=3, budget=0.05))


def test_twice_the_work_is_twice_the_time(rows) -> None:
    spin = rows[0]
    assert [len(values) for values in spin.values.values()] == [3, 3]
    assert 200e-6 <= spin.median("anima") < 300e-6
    ratios = sorted(spin.ratios("twice"))
    assert 0.4 < ratios[1] < 0.6
    assert spin.verdict() is True


def test_a_case_runs_only_where_it_has_a_meaning(rows) -> None:
    assert set(rows[1].values) == {"anima"}
    assert rows[1].verdict() is None


def test_a_failing_case_is_shown_and_the_others_still_run(rows) -> None:
    breaks = rows[2]
    assert breaks.errors == {"twice": "ValueError: no such function"}
    assert len(breaks.values["anima"]) == 3
    assert breaks.verdict() is False


def test_measured_case_gets_an_empty_scratch_folder(rows) -> None:
    assert rows[3].values == {"anima": [1.0, 1.0, 1.0]}
    assert rows[3].verdict() is True


def test_a_worker_that_dies_answers_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "dies.py"
    path.write_text(
        "import os\nfrom bench.case import Program\nprogram = Program('Dies')\n"
        "program.measured('dies', unit='')(lambda lib, scratch: os._exit(3))\n"
    )
    [row] = harness.run_program(str(path), [harness.Peer("anima")], harness.Settings(rounds=2))
    assert row.errors["anima"].startswith("status 3")
    assert row.values == {}


def test_a_worker_that_hangs_answers_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "hangs.py"
    path.write_text(
        "import time\nfrom bench.case import Program\nprogram = Program('Hangs')\n"
        "program.measured('hangs', unit='')(lambda lib, scratch: time.sleep(60))\n"
    )
    [row] = harness.run_program(str(path), [harness.Peer("anima")], harness.Settings(rounds=1, timeout=1.0))
    assert row.errors == {"anima": "no answer within 1 s"}


def test_tables(rows) -> None:
    lines = harness.markdown(rows, ["anima", "twice"]).splitlines()
    assert lines[0] == "| case | anima | twice | anima / twice | wanted |"
    assert lines[2].endswith("| 0.7 of twice: met |")
    assert lines[4].endswith("| ValueError: no such function | - | 1 of twice: missed |")
    data = json.loads(json.dumps(harness.as_json(rows)))
    assert [case["name"] for case in data] == ["spin", "only ours", "breaks", "count"]
    assert data[0]["limits"] == {"twice": 0.7}


def test_ratios_are_those_of_the_rounds() -> None:
    case = Case("drift", "s", ("jax",), {"jax": 0.5}, None)
    row = harness.Row(case, {"anima": [1.0, 2.0, 4.0], "jax": [2.0, 4.0, 8.0]})
    assert row.ratios("jax") == [0.5, 0.5, 0.5]
    assert row.verdict() is True
    assert harness.Row(case, {"anima": [1.0]}).verdict() is False


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.67e-6, "s", "1.67 us"),
        (0.0421, "s", "42.1 ms"),
        (3.0, "s", "3 s"),
        (2e-9, "s", "2 ns"),
        (121 * 2**20, "B", "121 MiB"),
        (0.0, "", "0"),
        (None, "s", "-"),
    ],
)
def test_show(value, unit, text) -> None:
    assert harness.show(value, unit) == text


def test_unknown_programs_are_refused(capsys) -> None:
    assert parse(["eager", "--quick"]).programs == ["eager"]
    with pytest.raises(SystemExit):
        main(["no_such_program"])
    assert "no such program" in capsys.readouterr().err


def test_a_quick_run_takes_some_cases_evenly() -> None:
    program = Program("Many", quick_cases=3)
    for number in range(8):
        program.timed(f"case {number}", slow=number == 0)(lambda lib: lambda: None)
    program.mean("mean", of=["case 1", "case 2"], unit="s", limits={})
    assert [case.name for case in program.chosen(quick=True)] == ["case 1", "case 3", "case 5"]
    assert program.chosen(quick=False) == program.cases
    program.quick_cases = 100
    assert len(program.chosen(quick=True)) == 7
    assert Program("Empty").chosen(quick=True) == []


def test_what_a_quick_run_leaves_out_is_listed() -> None:
    text = left_out([f"bench.programs.{name}" for name in PROGRAMS])
    for name in PROGRAMS:
        program = load_program(f"bench.programs.{name}")
        measured = {case.name for case in program.chosen(quick=True)}
        assert measured
        for case in program.cases:
            assert case.name in measured or case.name in text, case.name

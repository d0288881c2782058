"""A goal that was missed is said to be, with by how much and what was tried."""

from __future__ import annotations

from bench import missed
from bench.case import OURS, Case
from bench.harness import Row
from bench.run import PROGRAMS
from bench.worker import load_program


def row(name: str, ours: float, theirs: float, wanted: float, at_most: float | None = None) -> Row:
    found = Row(Case(name, "s", ("jax",), {"jax": wanted}, at_most))
    found.values.update({OURS: [ours], "jax": [theirs]})
    return found


def test_only_missed_goals_are_listed_with_their_distance(monkeypatch) -> None:
    monkeypatch.setattr(missed, "TRIED", {"of rows": "Two accumulators: no quicker."})
    text = missed.section([row("sum of rows", 3.0, 2.0, 1.1), row("sum of columns", 1.0, 2.0, 1.1)])
    assert text.splitlines()[2:] == [
        "- **sum of rows**: 1.50 of jax where 1.1 is wanted. Two accumulators: no quicker."
    ]


def test_a_missed_goal_without_a_note_says_so() -> None:
    assert missed.section([row("new", 3.0, 1.0, 1.0, at_most=2.0)]).splitlines()[2:] == [
        "- **new**: 3 s where at most 2 is wanted; 3.00 of jax where 1 is wanted. Nothing yet: it was met before, or is new."
    ]


def test_a_failure_has_no_figure() -> None:
    failed = row("breaks", 1.0, 1.0, 1.0)
    failed.fail(OURS, "status 1: no")
    assert "- **breaks**: no figure, status 1: no." in missed.section([failed])


def test_nothing_missed() -> None:
    assert missed.section([row("good", 1.0, 2.0, 1.0)]).endswith("\n\nNone.")


def test_notes_are_of_cases_that_exist() -> None:
    names = [case.name for name in PROGRAMS for case in load_program(f"bench.programs.{name}").cases]
    for key in missed.TRIED:
        assert any(name.endswith(key) for name in names), key

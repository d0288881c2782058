"""What a benchmark program declares: its cases, in the order in which they are to be shown.

Invariant: importing a program imports none of the libraries that it measures, so that a case may time the import.

A *timed* case builds a thunk from a library adapter; the worker measures how long one call of the thunk takes. A
*measured* case returns the number itself; the worker gives it the name of the library and a scratch folder. A *mean* is
computed from other cases' figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

OURS = "anima"

Measure = TypeVar("Measure", bound="Callable[[str, Path], float | Checked]")


class Checked(NamedTuple):
    """A measured number, with what the library computed.

    `results` are pairs of a number and the size that its error is relative to; those of two libraries may differ by
    `tolerance` times that size.
    """

    value: float
    results: Sequence[tuple[float, float]]
    tolerance: float


@dataclass(frozen=True)
class Case:
    """One row of a table.

    `peers` are the libraries beside ours that the case has a meaning for. `limits` maps a peer to the ratio (ours to
    theirs) that is wanted at most; `at_most` bounds our own value where there is nothing to compare with. `mean_of` names
    the cases whose geometric mean this one is. A `slow` case is not for quick runs.
    """

    name: str
    unit: str
    peers: tuple[str, ...]
    limits: Mapping[str, float]
    at_most: float | None
    build: Callable[[Any], Callable[[], Any]] | None = None
    measure: Callable[[str, Path], float | Checked] | None = None
    mean_of: tuple[str, ...] = ()
    slow: bool = False


@dataclass
class Program:
    """The cases of one file, under a title; and over how many rounds they are measured, if nobody asks for a number.

    A quick run takes one round, of at most `quick_cases` cases.
    """

    title: str
    cases: list[Case] = field(default_factory=list)
    rounds: int = 7
    quick_cases: int = 6

    def chosen(self, quick: bool) -> list[Case]:
        """The cases of a run, in their order: all, or for a quick one some that lie evenly among those that are not slow."""
        if not quick:
            return self.cases
        able = [case for case in self.cases if not case.slow and not case.mean_of]
        count = min(self.quick_cases, len(able))
        return [able[i * len(able) // count] for i in range(count)]

    def timed(
        self,
        name: str,
        *,
        peers: tuple[str, ...] = ("jax",),
        limits: Mapping[str, float] | None = None,
        slow: bool = False,
    ) -> Callable[[Callable[[Any], Callable[[], Any]]], Callable[[Any], Callable[[], Any]]]:
        """Declare a timed case: the function takes an adapter and returns the thunk to be timed."""

        def declare(build: Callable[[Any], Callable[[], Any]]) -> Callable[[Any], Callable[[], Any]]:
            self.cases.append(Case(name, "s", peers, limits or {}, None, build=build, slow=slow))
            return build

        return declare

    def measured(
        self,
        name: str,
        *,
        unit: str,
        peers: tuple[str, ...] = ("jax",),
        limits: Mapping[str, float] | None = None,
        at_most: float | None = None,
        slow: bool = False,
    ) -> Callable[[Measure], Measure]:
        """Declare a measured case: the function takes a library name and a scratch folder and returns the number."""

        def declare(measure: Measure) -> Measure:
            self.cases.append(Case(name, unit, peers, limits or {}, at_most, measure=measure, slow=slow))
            return measure

        return declare

    def mean(
        self,
        name: str,
        *,
        of: Sequence[str],
        unit: str,
        limits: Mapping[str, float],
        peers: tuple[str, ...] = ("jax",),
    ) -> None:
        """Declare the geometric mean of other cases, which have figures of all of these peers."""
        self.cases.append(Case(name, unit, peers, limits, None, mean_of=tuple(of)))

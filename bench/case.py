"""What a benchmark program declares: its cases, in the order in which they are to be shown.

Invariant: importing a program imports none of the libraries that it measures, so that a case may time the import.

A *timed* case builds a thunk from a library adapter; the worker measures how long one call of the thunk takes. A
*measured* case returns the number itself; the worker gives it the name of the library and a scratch folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OURS = "anima"


@dataclass(frozen=True)
class Case:
    """One row of a table.

    `peers` are the libraries beside ours that the case has a meaning for. `limits` maps a peer to the ratio (ours to
    theirs) that is wanted at most; `at_most` bounds our own value where there is nothing to compare with.
    """

    name: str
    unit: str
    peers: tuple[str, ...]
    limits: Mapping[str, float]
    at_most: float | None
    build: Callable[[Any], Callable[[], Any]] | None = None
    measure: Callable[[str, Path], float] | None = None


@dataclass
class Program:
    """The cases of one file, under a title."""

    title: str
    cases: list[Case] = field(default_factory=list)

    def timed(
        self, name: str, *, peers: tuple[str, ...] = ("jax",), limits: Mapping[str, float] | None = None
    ) -> Callable[[Callable[[Any], Callable[[], Any]]], Callable[[Any], Callable[[], Any]]]:
        """Declare a timed case: the function takes an adapter and returns the thunk to be timed."""

        def declare(build: Callable[[Any], Callable[[], Any]]) -> Callable[[Any], Callable[[], Any]]:
            self.cases.append(Case(name, "s", peers, limits or {}, None, build=build))
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
    ) -> Callable[[Callable[[str, Path], float]], Callable[[str, Path], float]]:
        """Declare a measured case: the function takes a library name and a scratch folder and returns the number."""

        def declare(measure: Callable[[str, Path], float]) -> Callable[[str, Path], float]:
            self.cases.append(Case(name, unit, peers, limits or {}, at_most, measure=measure))
            return measure

        return declare

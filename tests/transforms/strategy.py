"""Random programs as Hypothesis draws them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis
import hypothesis.strategies as st
from hypothesis import Phase

from tests.transforms.checking import ROUTES, features
from tests.transforms.programs import Maker, Program, Rejected
from tests.transforms.structures import STRUCTURES

_numbers: dict[int, Any] = {}


@dataclass(frozen=True)
class Case:
    """A program, and how its transformed forms are run."""

    program: Program
    route: str


def _number(draw: Callable[[Any], int]) -> Callable[[int], int]:
    def number(n: int) -> int:
        if n <= 1:
            return 0
        strategy = _numbers.get(n)
        if strategy is None:
            strategy = _numbers[n] = st.integers(0, n - 1)
        return draw(strategy)

    return number


@st.composite
def cases(draw: Any, available: frozenset[str] | None = None) -> Case:
    """A program with a route, made of the structures that are available (None: all that anima has)."""
    number = _number(draw)
    maker = Maker(number, features() if available is None else available, STRUCTURES)
    try:
        program = maker.program()
    except Rejected:
        hypothesis.reject()
    return Case(program, ROUTES[number(len(ROUTES))])


def phases(shrink: bool) -> list[Phase]:
    """What Hypothesis does: draw, and make failing programs smaller if `shrink`."""
    return [Phase.generate, Phase.shrink] if shrink else [Phase.generate]

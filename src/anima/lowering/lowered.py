"""What lowering a program gives."""

from __future__ import annotations

from typing import Any

from anima.core.effects import Effects, has_ordered, reaches_host
from anima.lowering.checks import Checks


class LoweredModule:
    """The text, the constants that `main` takes after its arguments, and what must live as long as the program.

    `signals`: whether there is one more result, which says that the effects have happened. `ordered`: whether they have
    an order. `checks`: of a program with checks; then there is one more result, before the signal.
    """

    __slots__ = ("checks", "constants", "held", "ordered", "platform", "signals", "text")

    def __init__(
        self,
        text: str,
        constants: list[tuple[Any, Any]],
        platform: str,
        held: list[Any],
        effects: Effects = frozenset(),
        checks: Checks | None = None,
    ) -> None:
        self.checks = checks
        self.signals = reaches_host(effects)
        self.ordered = has_ordered(effects)
        self.text = text
        self.constants = constants  # pairs of a value and its aval
        self.platform = platform
        self.held = held

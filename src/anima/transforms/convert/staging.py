"""Blocks run once to see what they compute: a program, and what each place holds at its end.

Invariant: after `stage_block` every place holds what it held before. The program's equations keep the user's positions,
also when it is evaluated into another program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from anima.core import source
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import Jaxpr
from anima.core.trace import get_trace
from anima.errors import ConversionError
from anima.interpreters.stage import StageTrace, stage
from anima.lax.bitwise import bitwise_or
from anima.transforms.convert.places import UNSET, Place, Poison, Region, state
from anima.transforms.convert.values import Parts, is_array


class Raised(BaseException):
    """A `raise` in a block of which it is not known whether it runs; no `except` of the user's sees it."""

    def __init__(self, error: Any) -> None:
        super().__init__(error)
        self.error = error


class Final:
    """What a place held at the end of a block: its parts, or UNSET or a Poison in `missing`."""

    __slots__ = ("first", "missing", "old", "parts", "place", "value")

    def __init__(self, place: Place, value: Any, old: Any, outputs: list[Any]) -> None:
        self.place, self.old, self.first, self.value = place, old, len(outputs), value
        self.missing = value if value is UNSET or isinstance(value, Poison) else None
        if self.missing is None:
            self.parts = Parts(value)
            outputs += [leaf if is_array(leaf) else 0 for leaf in self.parts.leaves]


class Block:
    """A block that has been run: its program and what the places held."""

    __slots__ = ("_consts", "extra", "failed", "finals", "jaxpr", "raised")

    def __init__(
        self,
        run: Callable[..., Sequence[Any]],
        avals: Sequence[Any],
        places: Sequence[Place],
        condition: Callable[[], Any] | None = None,
    ) -> None:
        """Run `run` on tracers; what it returns are the program's first results. It may write `places` and others."""
        self.raised: Any = None
        self.extra = 0
        self.failed: int | None = None  # which result says whether a check in the block has failed
        self.finals: dict[Hashable, Final] = {}

        def flat(*tracers: Any) -> list[Any]:
            outputs: list[Any] = []
            failures: list[Any] = []
            state.failures.append(failures)
            try:
                with Region() as region:
                    for place in places:
                        region.touch(place)
                    outputs += run(*tracers)
                    self.extra = len(outputs)
                    for key, (place, old) in region.old.items():
                        self.finals[key] = Final(place, place.read(), old, outputs)
            except Raised as signal:
                self.raised = signal.error
            finally:
                state.failures.pop()
            if failures:
                self.failed = len(outputs)
                outputs.append(functools.reduce(bitwise_or, failures))
            return outputs

        try:
            self.jaxpr: Jaxpr
            self.jaxpr, self._consts = stage(flat, avals, "converted block")
        except RecursionError:
            raise ConversionError(
                f"{source.current()}: a recursion whose end depends on a traced value cannot be converted",
                advice="Write it as a loop.",
            ) from None

    def evaluate(self, *args: Any) -> list[Any]:
        """The results of the program, whose equations become part of the trace in progress."""
        trace = get_trace()
        if not isinstance(trace, StageTrace):
            return eval_jaxpr(self.jaxpr, self._consts, *args)
        before = trace.source

        def at(position: source.Position | None) -> None:
            trace.source = position

        try:
            return eval_jaxpr(self.jaxpr, self._consts, *args, on_equation=at)
        finally:
            trace.source = before

    def output(self, final: Final, index: int) -> int:
        """Which result of the program is leaf `index` of a place."""
        return final.first + index

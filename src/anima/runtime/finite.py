"""`jax_debug_nans` and `jax_debug_infs`: errors that name the operation which made a NaN or an infinity.

Invariant: nothing here runs unless one of the options is on. Then programs are lowered with checks (`lowering/checks.py`)
and run once: what they return beside their results says which operation it was. The native caller keeps no plan of such a
program, so every call looks at that, and no argument is donated to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl, PyTreeDef, tree_flatten, tree_unflatten
from anima.config import debug_infs, debug_nans
from anima.core import source
from anima.core.source import Position
from anima.errors import NonFiniteError, XlaRuntimeError
from anima.lowering.checks import CODE, Checks
from anima.lowering.module import LoweredModule
from anima.runtime import effects

_CODE = (CODE.shape, CODE.dtype, False)
_SHOWN = 3  # arguments that a message names


def wanted() -> bool:
    """Whether results are to be looked at."""
    return debug_nans.value or debug_infs.value


def checks(caller: Position | None = None) -> Checks | None:
    """What a program that is lowered now has to look for; `caller` is where it was called when it was traced."""
    return Checks(debug_nans.value, debug_infs.value, caller) if wanted() else None


class CheckedPlan:
    """Runs a program with checks, in place of the plan that it holds, whose last result is the code."""

    __slots__ = ("_checks", "_name", "_out_tree", "_plan", "_single")

    def __init__(
        self, plan: effects.Plan, checks: Checks, name: str, out_tree: PyTreeDef | None, single: bool
    ) -> None:
        self._plan = plan
        self._checks = checks
        self._name = name.removeprefix("jit_")
        self._out_tree = out_tree
        self._single = single

    def execute(self, leaves: Sequence[Any], /) -> Any:
        """The results of the program for these arguments.

        Raises:
          NonFiniteError: an operation made a NaN or an infinity that one of the results has.
        """
        outs = self._plan.execute(leaves)
        try:
            code = int(np.asarray(outs.pop()))
        except XlaRuntimeError as error:
            raise effects.with_cause(error) from error.__cause__
        if code:
            raise self._error(code)
        if self._out_tree is not None:
            return tree_unflatten(self._out_tree, outs)
        return outs[0] if self._single else outs

    def _error(self, code: int) -> NonFiniteError:
        kind, made = self._checks.found(code)
        if not made.primitive:
            return NonFiniteError(
                kind, f"the result of {self._name}, which is an argument or a constant of it"
            )
        where = made.where or source.current()
        error = NonFiniteError(kind, made.primitive, str(where or ""), str(made.forward or ""))
        for position in (made.where, made.forward):
            if position is not None and position.text:
                error.add_note(f"{position.file}:{position.line}: {position.text}")
        return error


def make_plan(
    lowered: LoweredModule,
    executable: Any,
    *,
    name: str,
    out_avals: Sequence[tuple[Any, Any, bool]],
    out_tree: PyTreeDef | None,
    single: bool,
    forward: Sequence[int] = (),
    **rest: Any,
) -> Any:
    """The plan of a lowered program, with or without checks; the arguments are those of `effects.make_plan`."""
    if lowered.checks is None:
        return effects.make_plan(
            lowered,
            executable,
            out_avals=out_avals,
            out_tree=out_tree,
            single=single,
            forward=forward,
            **rest,
        )
    plan = effects.make_plan(
        lowered, executable, out_avals=(*out_avals, _CODE), out_tree=None, single=False,
        forward=(*forward, -1) if forward else (), **rest,
    )  # fmt: skip
    return CheckedPlan(plan, lowered.checks, name, out_tree, single)


def note_arguments(error: NonFiniteError, leaves: Sequence[Any], names: Callable[[], Sequence[str]]) -> None:
    """Add to an error which arguments of the program were not finite already."""
    bad = [f"{name} ({kind})" for name, x in zip(names(), leaves) if (kind := found(x))]
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        error.add_note(f"Arguments that were not finite already: {', '.join(bad[:_SHOWN])}{more}.")


# --- results of programs without checks -------------------------------------------------------


def found(values: Any) -> str:
    """What the options look for and the arrays in `values` have: "nan", "inf", or "" for nothing."""
    for value in tree_flatten(values)[0]:
        if isinstance(value, ArrayImpl):
            if value.is_deleted() or not dtypes.is_inexact(value.dtype):
                continue
            host = np.asarray(value)
        elif isinstance(value, (float, complex, np.inexact, np.ndarray)):
            host = np.asarray(value)
            if not dtypes.is_inexact(host.dtype):
                continue
        else:
            continue
        if host.dtype.kind == "V":  # a small float that NumPy itself does not know
            host = host.astype(np.float32)
        if debug_nans.value and np.isnan(host).any():
            return "nan"
        if debug_infs.value and np.isinf(host).any():
            return "inf"
    return ""


def check(values: Any, name: str) -> None:
    """Raise if the results of `name`, a program that was compiled ahead of time, are not finite.

    Raises:
      NonFiniteError: an option asks for this and a value is a NaN or an infinity.
    """
    bad = found(values)
    if bad:
        raise NonFiniteError(bad, f"the result of {name}", str(source.current() or ""))

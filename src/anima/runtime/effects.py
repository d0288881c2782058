"""What programs with effects on the host leave behind: when they have ended, and what went wrong.

Invariant: every such program returns a signal, an array that is there once all its effects have happened. A thread keeps
the signals of the programs that it started until `effects_barrier` waits for them. A program with ordered effects starts
when the latest one that the thread started has ended, so their order holds across calls too, after failures as well:
a token handed from one program to the next would take the failure of the first along. Programs without effects never
come here.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any

from anima import _native
from anima._native import ArrayImpl, CallPlan, PyTreeDef, tree_unflatten
from anima.core.jaxpr import Jaxpr
from anima.errors import XlaRuntimeError
from anima.lowering.module import TOKEN, LoweredModule

_MANY = 64  # signals that a thread keeps before it drops those of programs that have ended


class _ThreadState(threading.local):
    def __init__(self) -> None:
        # With each signal goes the plan, so that the callbacks are there for as long as the program runs.
        self.signals: list[tuple[ArrayImpl, EffectfulPlan]] = []
        self.ordered: ArrayImpl | None = None  # of the latest program with ordered effects
        self.failures: list[XlaRuntimeError] = []


_state = _ThreadState()


def with_cause(error: XlaRuntimeError) -> XlaRuntimeError:
    """The error of a program, caused by the exception that a callback of it raised, if there was one."""
    if error.__cause__ is None:
        error.__cause__ = _native.take_callback_error(str(error))
    return error


def wait_for_ordered() -> None:
    """Wait for the ordered effects of programs that this thread started; what went wrong is for `effects_barrier`."""
    last, _state.ordered = _state.ordered, None
    if last is not None:
        with suppress(XlaRuntimeError):  # its signal is kept
            last.block_until_ready()


def _keep(signal: ArrayImpl, plan: EffectfulPlan, ordered: bool) -> None:
    """Remember a program that was started.

    Raises:
      XlaRuntimeError: it has ended already, and failed.
    """
    if signal.is_ready():
        try:
            signal.block_until_ready()
        except XlaRuntimeError as error:
            raise with_cause(error) from error.__cause__
        return
    signals = _state.signals
    if len(signals) >= _MANY:
        _forget_ended(signals)
    signals.append((signal, plan))
    if ordered:
        _state.ordered = signal


def _forget_ended(signals: list[tuple[ArrayImpl, EffectfulPlan]]) -> None:
    running = []
    for signal, plan in signals:
        if not signal.is_ready():
            running.append((signal, plan))
            continue
        try:
            signal.block_until_ready()
        except XlaRuntimeError as error:
            if not _state.failures:  # later ones have often the same reason
                _state.failures.append(with_cause(error))
    signals[:] = running


def effects_barrier() -> None:
    """Wait until the effects of all programs that this thread started have happened.

    Raises:
      JaxRuntimeError: a callback raised, and nothing else has reported it; its exception is the cause.

    >>> import anima
    >>> seen = []
    >>> anima.jit(lambda x: anima.debug.callback(seen.append, x))(3)
    >>> anima.effects_barrier()
    >>> [int(x) for x in seen]
    [3]
    """
    signals, _state.signals = _state.signals, []
    failures, _state.failures = _state.failures, []
    _state.ordered = None
    for signal, _ in signals:
        try:
            signal.block_until_ready()
        except XlaRuntimeError as error:
            failures.append(with_cause(error))
    if failures:
        first, *others = failures
        if others:
            first.add_note(f"{len(others)} more of the programs with effects failed.")
        raise first from first.__cause__


class EffectfulPlan:
    """Runs a program that has effects on the host, in place of the call plan that it holds.

    The plan returns flat results, the last of which is the signal.
    """

    __slots__ = ("_ordered", "_out_tree", "_plan", "_single")

    def __init__(self, plan: CallPlan, ordered: bool, out_tree: PyTreeDef | None, single: bool) -> None:
        self._plan = plan
        self._ordered = ordered
        self._out_tree = out_tree
        self._single = single

    def execute(self, leaves: Sequence[Any], /) -> Any:
        """The results of the program for these arguments.

        Raises:
          JaxRuntimeError: a callback raised; its exception is the cause. If the program is still running when this
            returns, the error comes where a result is used and from `effects_barrier`.
        """
        if self._ordered:
            wait_for_ordered()
        try:
            outs = self._plan.execute(leaves)
        except XlaRuntimeError as error:
            raise with_cause(error) from error.__cause__
        _keep(outs.pop(), self, self._ordered)
        if self._out_tree is not None:
            return tree_unflatten(self._out_tree, outs)
        return outs[0] if self._single else outs


Plan = CallPlan | EffectfulPlan
_SIGNAL = (TOKEN.shape, TOKEN.dtype, False)


def make_plan(
    lowered: LoweredModule,
    executable: Any,
    *,
    out_avals: Sequence[tuple[Any, Any, bool]],
    out_tree: PyTreeDef | None,
    single: bool,
    forward: Sequence[int] = (),
    **rest: Any,
) -> Plan:
    """The plan of a lowered program; the arguments are those of `CallPlan`, and know nothing of a signal."""
    if not lowered.signals:
        return CallPlan(
            executable, out_avals=out_avals, out_tree=out_tree, single=single, forward=forward, **rest
        )
    forward = (*forward, -1) if forward else ()
    plan = CallPlan(executable, out_avals=(*out_avals, _SIGNAL), forward=forward, **rest)
    return EffectfulPlan(plan, lowered.ordered, out_tree, single)


def plans_of(jaxpr: Jaxpr) -> dict[Hashable, Plan]:
    """The plans with effects that are kept for a program, in Python, as the native caller cannot run them."""
    return jaxpr.memoized("effectful plans", dict)


def kept_by_caller(plan: Plan) -> CallPlan | None:
    """The plan that the native caller may keep and run by itself: none for programs with effects."""
    return plan if type(plan) is CallPlan else None


def _at_exit() -> None:
    try:
        effects_barrier()
    except XlaRuntimeError:
        print("Error in the effects of a program that ran at exit:", file=sys.stderr)
        import traceback  # 1 ms, which few programs need

        traceback.print_exc()


atexit.register(_at_exit)  # after the native module's own, which closes the clients: so it runs before that

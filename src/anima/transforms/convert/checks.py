"""`raise` and `assert` that depend on traced values: checks when the program runs.

Invariant: the error is raised from the compiled program for exactly the values for which Python would have raised it, the first of several,
also under `vmap`, where blocks run for examples that are not in them: a check asks the conditions of all blocks around it too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from anima._native import tree_flatten
from anima.core.effects import DebugEffect
from anima.errors import ConversionError
from anima.lax.bitwise import bitwise_and, bitwise_not
from anima.transforms.callback_primitives import HostFunction, debug_callback_p
from anima.transforms.convert.places import here, state
from anima.transforms.convert.staging import Raised


def check(failed: Any, error: Any) -> None:
    """Have the program raise `error`, an exception or its class, where the traced boolean `failed` holds.

    Raises:
      ConversionError: a `try` with handlers is around it, which the error could not reach.
    """
    where = here()
    if state.guards:
        raise ConversionError(
            f"{where}: whether an exception is raised depends on a traced value, and a try statement around it waits for it",
            advice="Compute both results and choose by the condition with if and else, without an exception.",
        )
    for condition in state.conditions:
        failed = bitwise_and(failed, condition())
    for earlier in itertools.chain.from_iterable(state.failures):
        failed = bitwise_and(failed, bitwise_not(earlier))
    if state.failures:
        state.failures[-1].append(failed)

    def raise_if(value: Any) -> None:
        if value:
            raised = error() if isinstance(error, type) else error
            raise raised.with_traceback(None)

    _, tree = tree_flatten(((failed,), {}))
    name = f"{getattr(error, '__name__', type(error).__name__)} at {where}"
    debug_callback_p.bind(
        failed,
        callback=HostFunction("raise", name, raise_if, tree, None),
        effect=DebugEffect(),
        partitioned=False,
    )


def raising(error: Any) -> BaseException:
    """What `raise error` raises here: where a traced value decides whether this line runs, a signal to `choose`."""
    if state.regions and (not state.guards or state.guards[-1] < len(state.regions)):
        return Raised(error)
    return error  # type: ignore[no-any-return]


@contextmanager
def guarded() -> Iterator[None]:
    """Around the body of a `try` with handlers."""
    state.guards.append(len(state.regions))
    try:
        yield
    finally:
        state.guards.pop()


def assertion(message: Callable[[], Any] | None) -> AssertionError:
    """The error of a failed `assert`."""
    return AssertionError() if message is None else AssertionError(message())

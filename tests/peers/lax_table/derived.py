"""Derivatives and batches of the calls of the table, compared with JAX's.

Invariant: a transformation is drawn with the call, together with the arrays that it is with respect to, and described in
words that both libraries understand: what is compared is all that a user sees of its results, as of a call.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import jax
import numpy as np

import anima
from anima import dtypes
from tests.peers.draws import Choose, differences
from tests.peers.lax_table.entry import (
    TABLE,
    Entry,
    apart,
    described,
    disagreement,
    in_mode,
    resolved,
)
from tests.peers.lax_table.source import Call, Drawn, Weak, rank_of, weak

FLOAT0 = np.dtype([("float0", np.void, 0)])
Function = Callable[..., Any]


@dataclass(frozen=True)
class Plan:
    """A transformation of a call.

    Attributes:
      steps: names of functions of this module, the innermost first.
      places: of the call's arrays, those that it is with respect to.
      axes: for each of these the axis along which examples lie, or None; one for the results behind them.
      size: how many examples there are.
      seed: of tangents and cotangents.
    """

    steps: tuple[str, ...]
    places: tuple[int, ...]
    axes: tuple[int | None, ...]
    size: int
    seed: int


def arrays(call: Call) -> list[Any]:
    """The arrays of a call, with descriptions of the weakly typed ones."""
    found: list[Any] = []
    resolved(anima, (call.args, call.kwargs), found.append, weak=True)
    return found


def ready(lib: Any, x: Any, axis: int | None, shape: Sequence[int]) -> Any:
    """An array of the library, repeated along an axis."""
    if isinstance(x, Weak):
        return weak(x.value, tuple(shape)).make(lib.lax)
    return lib.numpy.asarray(x if axis is None else np.broadcast_to(np.expand_dims(x, axis), shape))


def repeated(shape: Sequence[int], axis: int | None, size: int) -> tuple[int, ...]:
    """The shape of several arrays."""
    if axis is None:
        return tuple(shape)
    axis %= len(shape) + 1
    return (*shape[:axis], size, *shape[axis:])


def tangent(lib: Any, x: Any, seed: int) -> Any:
    """Random numbers of the dtype that tangents of this value have; one weakly typed number if it is so."""
    dtype = np.dtype(x.dtype)
    if x.weak_type and dtypes.is_inexact(dtype):
        return lib.lax.broadcast(1.5j if dtype.kind == "c" else 1.5, x.shape)
    if not dtypes.is_inexact(dtype):
        return np.zeros(x.shape, FLOAT0)
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, x.shape) / 2 + 0.25
    if dtype.kind == "c":
        values = values + 1j * rng.integers(-3, 4, x.shape)
    return values.astype(dtype)


def tangents(lib: Any, values: Any, seed: int) -> Any:
    """Tangents of all values of a tree."""
    return jax.tree.map(lambda x: tangent(lib, x, seed), values)


def forward(lib: Any, fun: Function, plan: Plan) -> Function:
    """Values and tangents."""
    return lambda *xs: lib.jvp(fun, xs, tangents(lib, xs, plan.seed))


def backward(lib: Any, fun: Function, plan: Plan) -> Function:
    """Cotangents of the arguments."""

    def pulled(*xs: Any) -> Any:
        out, pull = lib.vjp(fun, *xs)
        return pull(tangents(lib, out, plan.seed + 1))

    return pulled


def linear(lib: Any, fun: Function, plan: Plan) -> Function:
    """Values and tangents, by the linear function."""

    def pushed(*xs: Any) -> Any:
        out, push = lib.linearize(fun, *xs)
        return out, push(*tangents(lib, xs, plan.seed + 2))

    return pushed


def inexact(lib: Any, fun: Function, plan: Plan) -> Function:
    """The results of which there are derivatives."""
    return lambda *xs: [y for y in lib.tree.leaves(fun(*xs)) if dtypes.is_inexact(np.dtype(y.dtype))]


def batched(lib: Any, fun: Function, plan: Plan) -> Function:
    """The function of each example."""
    return lib.vmap(fun, plan.axes[:-1], plan.axes[-1])


STEPS = {f.__name__: f for f in (forward, backward, linear, inexact, batched)}
PLANS = (
    ("forward",),
    ("backward",),
    ("linear",),
    ("inexact", "backward", "inexact", "forward"),
    ("inexact", "forward", "inexact", "backward"),
    ("inexact", "backward", "inexact", "backward"),
    ("batched",),
    ("batched",),
    ("inexact", "backward", "inexact", "batched"),
    ("inexact", "forward", "batched"),
    ("batched", "inexact", "backward"),
)


def planned(choose: Choose, call: Call) -> Plan | None:
    """A transformation of a call, or None if there is no array to transform it by."""
    ranks = [rank_of(x) for x in arrays(call)]
    if not ranks:
        return None
    places = tuple(i for i in range(len(ranks)) if choose([True, True, False])) or (
        choose(range(len(ranks))),
    )
    axes = [choose([*range(-ranks[i] - 1, ranks[i] + 1), None]) for i in places]
    if all(a is None for a in axes):
        axes[0] = 0
    return Plan(
        choose(PLANS), places, (*axes, choose([0, 0, -1])), choose([2, 3, 1, 0]), int(choose(range(99)))
    )


def transformed(lib: Any, call: Call, plan: Plan) -> Function:
    """The call as a function of some of its arrays, transformed."""

    def fun(*xs: Any) -> Any:
        count = iter(range(1000))
        given = dict(zip(plan.places, xs))

        def filled(x: Any) -> Any:
            i = next(count)
            return given[i] if i in given else x.make(lib.lax) if isinstance(x, Weak) else x

        args, kwargs = resolved(lib, (call.args, call.kwargs), filled, weak=True)
        return attrgetter(call.name)(lib.lax)(*args, **kwargs)

    whole: Function = fun
    for step in plan.steps:
        whole = STEPS[step](lib, whole, plan)
    return whole


def outcome(lib: Any, call: Call, plan: Plan, run: bool) -> Any:
    """Descriptions of the results, with their numbers if `run`; or the exception."""
    whole = transformed(lib, call, plan)
    given = [x for i, x in enumerate(arrays(call)) if i in plan.places]
    axes = plan.axes[:-1] if "batched" in plan.steps else (None,) * len(given)
    shapes = [repeated(x.shape, axis, plan.size) for x, axis in zip(given, axes)]
    notes: list[Any] = []

    def noted(*xs: Any) -> Any:
        outs = lib.tree.leaves(whole(*xs))
        notes.append(described(lib, outs))
        return [y for y in outs if y.dtype != FLOAT0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if run:
                xs = [ready(lib, x, axis, shape) for x, axis, shape in zip(given, axes, shapes)]
                return notes[0], [np.asarray(y) for y in lib.jit(noted)(*xs)]
            structs = [
                lib.ShapeDtypeStruct(shape, x.dtype, weak_type=isinstance(x, Weak))
                for x, shape in zip(given, shapes)
            ]
            lib.eval_shape(noted, *structs)
            return notes[0], []
        except Exception as error:
            return error


# What JAX cannot do, or does not mean to: rows `special-derivatives`, `loop-gradients` and others, and mistakes of its rules.
BEYOND = re.compile(
    "not supported|does not support|not implemented|NotImplementedError|Linearization failed|Reverse-mode diff"
    "|NoneType|operand.shape=|same shapes, got|conversion method|same number of batch dimensions"
)


def compare(entry: Entry, call: Call, plan: Plan, run: bool) -> str | None:
    """How the libraries differ in a transformation of a call that both take."""
    ours, theirs = (outcome(lib, call, plan, run) for lib in (anima, jax))
    if isinstance(theirs, Exception):
        return None if BEYOND.search(repr(theirs)) else disagreement(ours, theirs)
    if isinstance(ours, Exception):
        return disagreement(ours, theirs[0])
    # The row `weak-tangents`: derivatives are as weakly typed as what they belong to.
    length = 3 if set(plan.steps) == {"batched"} else 2
    kinds = [[d[:length] for d in found[0]] for found in (ours, theirs)]
    ulps, floor = 16 * entry.ulps + 64, 4 * entry.floor + 1
    return disagreement(*kinds) or next(
        (m for a, b in zip(ours[1], theirs[1]) if (m := apart(a, b, ulps, floor))), None
    )


def check(name: str, examples: int, seed: int = 0, run: bool = False) -> None:
    """Compare derivatives and batches of random calls of a function.

    Args:
      run: whether to compare numbers, too: of functions whose results are determined.
    Raises:
      AssertionError: the libraries differ in some.
    """
    entry = TABLE[name]

    def difference(choose: Choose) -> str | None:
        source = Drawn(choose, entry.usual)
        source.mistaken = False
        with in_mode(source.x64):
            call = entry.call(source)
            plan = planned(choose, call)
            if plan is None or entry.fatal(call):
                return None
            plain = replace(plan, steps=())
            if any(isinstance(outcome(lib, call, plain, False), Exception) for lib in (anima, jax)):
                return None
            found = compare(entry, call, plan, run)
            return found and f"{call}\nin {64 if source.x64 else 32}-bit mode, {plan}: {found}"

    found = differences(difference, examples, f"{name} derived {run} {seed}")
    assert not found, "\n\n".join(found)

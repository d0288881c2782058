"""Partial evaluation: the two programs together are the one, for all divisions and policies; and what passes between."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.ad_checkpoint import Offloadable, Recompute, Saveable, checkpoint_name
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.validate import check_jaxpr
from anima.interpreters.partial import (
    PartialJaxpr,
    everything_saveable,
    nothing_saveable,
    split_jaxpr,
    unknown_outputs,
)
from anima.transforms.checkpoint_policies import checkpoint_policies as policies

W = onp.linspace(-1, 1, 9, dtype=onp.float32).reshape(3, 3)
X = onp.array([0.1, -0.2, 0.3], onp.float32)
S = onp.float32(0.7)


def straight(w: Any, x: Any, s: Any) -> Any:
    y = np.sin(w @ x)
    return y * s, np.cos(w).sum(), s, np.exp(y)


def calls(w: Any, x: Any, s: Any) -> Any:
    @anima.jit
    def inner(w: Any, x: Any, s: Any) -> Any:
        return np.tanh(checkpoint_name(w @ x, "h")), np.sin(s) * 2, x

    a, b, c = inner(w, x, s)
    return inner(w * b, a, b)[0] + c, b


def branches(w: Any, x: Any, s: Any) -> Any:
    return lax.cond(
        x[0] > 0, lambda w, x, s: (np.tanh(w @ x) * s, x), lambda w, x, s: (np.sin(np.exp(x)), x * s), w, x, s
    )


def loops(w: Any, x: Any, s: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        a, b = carry
        h = checkpoint_name(w @ a, "h")
        return (np.tanh(h) + row, b * s), (np.sin(h), b + row[0])

    (a, b), (y, z) = lax.scan(step, (x, s), w, reverse=True)
    return a, b, y, z.sum()


def whiles(w: Any, x: Any, s: Any) -> Any:
    n = lax.while_loop(lambda c: c < 3, lambda c: c + np.abs(s) + 1, s)
    return n * x, lax.fori_loop(0, 3, lambda i, c: np.sin(w @ c), x)


def checkpoints(w: Any, x: Any, s: Any) -> Any:
    f = anima.checkpoint(lambda w, x: np.sin(np.tanh(w @ x)), prevent_cse=(True, False))
    return f(w, f(w, x)) * s, np.exp(s)


PROGRAMS = (straight, calls, branches, loops, whiles, checkpoints)
POLICIES = (
    everything_saveable,
    nothing_saveable,
    policies.dots_saveable,
    policies.save_only_these_names("h"),
    policies.offload_dot_with_no_batch_dims("device", "pinned_host"),
)


def together(part: PartialJaxpr, args: Any, unknown: Any, outputs: Any) -> list[Any]:
    """The outputs of the whole program from its halves; those known that the second half was not asked for, too."""
    known = eval_jaxpr(part.known.jaxpr, part.known.consts, *[a for a, u in zip(args, unknown) if not u])
    count = len(part.out_unknowns) - sum(part.out_unknowns)
    of_known = iter(known[:count])
    whole = [None if u else next(of_known) for u in part.out_unknowns]
    residuals = [
        *known[count:],
        *[whole[i] for i in part.residual_outputs],
        *[args[i] for i in part.residual_inputs],
    ]
    given = [a for a, u in zip(args, unknown) if u]
    later = iter(eval_jaxpr(part.unknown.jaxpr, part.unknown.consts, *residuals, *given))
    return [next(later) if flag else out for out, flag in zip(whole, outputs)]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: getattr(policy, "__name__", repr(policy)))
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_halves_compute_what_the_whole_does(program: Any, policy: Any) -> None:
    args = (W, X, S)
    closed = anima.make_jaxpr(program)(*args)
    want = eval_jaxpr(closed.jaxpr, closed.consts, *args)
    for unknown in itertools.product([False, True], repeat=3):
        dependent = unknown_outputs(closed, unknown)
        for outputs in {dependent, (True,) * len(want)}:
            part = split_jaxpr(closed, unknown, outputs=outputs, policy=policy)
            assert part.out_unknowns == dependent
            check_jaxpr(part.known.jaxpr)
            check_jaxpr(part.unknown.jaxpr)
            for a, b in zip(together(part, args, unknown, outputs), want):
                onp.testing.assert_allclose(a, b, rtol=1e-6)


def test_outputs_that_are_forced_to_be_unknown() -> None:
    def f(x: Any, y: Any) -> Any:
        a = np.sin(x)
        return a, np.cos(a), x * y

    closed = anima.make_jaxpr(f)(1.0, 2.0)
    part = split_jaxpr(closed, (False, True), out_unknowns=(True, False, True))
    assert part.out_unknowns == (True, False, True)
    assert [e.primitive.name for e in part.known.eqns] == ["sin", "cos"]
    assert [e.primitive.name for e in part.unknown.eqns] == ["mul"]
    want = eval_jaxpr(closed.jaxpr, closed.consts, 1.0, 2.0)
    got = together(part, (1.0, 2.0), (False, True), (True, False, True))
    onp.testing.assert_allclose(got, want, rtol=1e-6)


def names(closed: ClosedJaxpr) -> list[str]:
    return [eqn.primitive.name for eqn in closed.eqns]


def test_what_passes_between_the_halves() -> None:
    def f(x: Any, y: Any) -> Any:
        a = np.sin(x)
        b = np.cos(a)
        return b * y, a, np.exp(x)

    closed = anima.make_jaxpr(f)(1.0, 2.0)
    # An output is handed over as what it is, and an argument too: only `cos` is a residual of its own.
    part = split_jaxpr(closed, (False, True))
    assert names(part.known) == ["sin", "cos", "exp"] and names(part.unknown) == ["mul"]
    assert len(part.computed) == 1 and part.residual_outputs == () == part.residual_inputs
    part = split_jaxpr(closed, (False, True), policy=nothing_saveable)
    assert names(part.known) == ["sin", "exp"] and names(part.unknown) == ["sin", "cos", "mul"]
    assert part.computed == [] and part.residual_inputs == (0,)
    part = split_jaxpr(closed, (False, True), policy=lambda primitive, *_, **__: primitive.name == "sin")
    assert names(part.known) == ["sin", "exp"] and names(part.unknown) == ["cos", "mul"]
    assert part.computed == [] and part.residual_outputs == (1,)


def test_cheap_values_are_repeated_from_what_is_kept() -> None:
    def f(x: Any, y: Any) -> Any:
        return lax.broadcast_in_dim(np.sin(x), (1000,), ()) * y

    part = split_jaxpr(anima.make_jaxpr(f)(1.0, onp.ones(1000, onp.float32)), (False, True))
    assert [a.shape for a in part.computed] == [()]
    assert names(part.unknown) == ["broadcast_in_dim", "mul"]


def test_a_call_divides_with_its_program() -> None:
    @anima.jit
    def inner(x: Any, y: Any) -> Any:
        return np.sin(x), np.sin(np.cos(x)) * y

    closed = anima.make_jaxpr(inner)(1.0, 2.0)
    part = split_jaxpr(closed, (False, True))
    assert part.out_unknowns == (False, True)
    (first,), (second,) = part.known.eqns, part.unknown.eqns
    assert names(first.params["jaxpr"]) == ["sin", "cos", "sin"]
    assert names(second.params["jaxpr"]) == ["mul"]


def test_a_scan_stacks_what_the_policy_admits_and_carries_the_rest_again() -> None:
    def f(w: Any, x: Any, t: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            c = np.tanh(checkpoint_name(w @ c, "h"))
            return c, c * t

        return lax.scan(step, x, None, length=5)[1]

    closed = anima.make_jaxpr(f)(W, X, S)
    unknown = (False, False, True)
    part = split_jaxpr(closed, unknown, policy=nothing_saveable)
    assert part.computed == [] and part.residual_inputs == (0, 1)
    (loop,) = part.unknown.eqns
    assert {"dot_general", "tanh"} < {*names(loop.params["jaxpr"])} and loop.params["num_carry"] == 1
    part = split_jaxpr(closed, unknown, policy=policies.save_only_these_names("h"))
    assert [a.shape for a in part.computed] == [(5, 3)] and part.residual_inputs == ()
    (loop,) = part.unknown.eqns
    assert "dot_general" not in names(loop.params["jaxpr"]) and loop.params["num_carry"] == 0


def test_effects_are_in_both_halves_only_if_something_is_computed_again() -> None:
    def f(x: Any, y: Any) -> Any:
        anima.debug.print("{}", x)
        return np.sin(np.sin(x)) * y

    closed = anima.make_jaxpr(f)(1.0, 2.0)
    for policy, again in ((everything_saveable, False), (nothing_saveable, True)):
        part = split_jaxpr(closed, (False, True), policy=policy)
        assert part.known.effects == closed.effects
        assert bool(part.unknown.effects) == again


def test_answers_of_policies() -> None:
    assert repr(Saveable) == "Saveable" and repr(Recompute) == "Recompute"
    assert Offloadable("device", "pinned_host") == ("device", "pinned_host")
    for answer in (Saveable, Recompute):
        assert pickle.loads(pickle.dumps(answer)) is answer
    closed = anima.make_jaxpr(lambda x, y: np.sin(x) * y)(1.0, 2.0)
    for answer, kept in ((True, 1), (Saveable, 1), (False, 0), (Recompute, 0)):
        part = split_jaxpr(closed, (False, True), policy=lambda *_, a=answer, **__: a)
        assert len(part.computed) == kept
    for answer in (1, None, "yes", onp.bool_(True)):
        with pytest.raises(TypeError, match=r"returned .* for 'sin'; a policy returns True"):
            split_jaxpr(closed, (False, True), policy=lambda *_, a=answer, **__: a)


def test_offloaded_values_are_moved_there_and_back() -> None:
    closed = anima.make_jaxpr(lambda x, y: np.sin(x) * y)(1.0, 2.0)
    where = Offloadable("device", "pinned_host")
    part = split_jaxpr(closed, (False, True), policy=lambda *_, **__: where)
    assert names(part.known) == ["sin", "transfer"] and names(part.unknown) == ["transfer", "mul"]
    assert part.known.eqns[1].params == {"memory_kind": "pinned_host"}
    assert part.unknown.eqns[0].params == {"memory_kind": "device"}

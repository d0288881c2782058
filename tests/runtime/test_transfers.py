"""Transfers between memories stay in programs that a value leaves and enters, and go where it would cross a border."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import checkpoint, checkpoint_policies as policies, grad, jit, lax
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Var, subjaxprs
from anima.runtime.transfers import settled

POLICY = policies.offload_dot_with_no_batch_dims("device", "pinned_host")
W = onp.linspace(-1, 1, 9, dtype=onp.float32).reshape(3, 3)


def layer(x: Any) -> Any:
    return np.sin(np.sin(x @ W))


def looped(x: Any) -> Any:
    return lax.scan(lambda c, _: (checkpoint(layer, policy=POLICY)(c), None), x, None, length=3)[0]


def branched(x: Any) -> Any:
    return lax.cond(x[0, 0] > 0, checkpoint(layer, policy=POLICY), np.cos, x)


def called(x: Any) -> Any:
    return jit(checkpoint(layer, policy=POLICY))(x)


def count(jaxpr: Jaxpr) -> int:
    return sum(
        (eqn.primitive.name == "transfer") + sum(count(inner) for inner in subjaxprs(eqn.params))
        for eqn in jaxpr.eqns
    )


@pytest.mark.parametrize("f", [looped, branched, called])
def test_transfers_there_and_back_stay(f: Any) -> None:
    closed = anima.make_jaxpr(grad(lambda x: f(x).sum()))(W)
    assert count(closed.jaxpr) >= 2
    assert settled(closed) is closed


@pytest.mark.parametrize("f", [looped, branched, called])
def test_halves_of_a_program_keep_values_where_they_are(f: Any) -> None:
    """What runs as the forward and the backward program when the gradient is called eagerly."""
    closed = anima.make_jaxpr(grad(lambda x: f(x).sum()))(W)
    halves = [e for e in closed.eqns if count(Jaxpr([], [], [], [e]))]
    assert len(halves) == 2
    for eqn in halves:
        invars = list(dict.fromkeys(a for a in eqn.invars if isinstance(a, Var)))
        half = ClosedJaxpr(Jaxpr([], invars, eqn.outvars, [eqn]), [])
        reduced = settled(half)
        assert count(half.jaxpr) > 0 == count(reduced.jaxpr)
        args = [onp.full(a.shape, 0.5, a.dtype) for a in half.in_avals]  # type: ignore[attr-defined]
        for a, b in zip(eval_jaxpr(half.jaxpr, [], *args), eval_jaxpr(reduced.jaxpr, [], *args)):
            onp.testing.assert_array_equal(a, b)


def test_a_value_that_is_returned_from_the_other_memory() -> None:
    transfer = anima.core.primitive.primitives["transfer"]

    def f(x: Any) -> Any:
        away = transfer.bind(np.sin(x), memory_kind="pinned_host")
        back = transfer.bind(away, memory_kind="device")
        return away, back

    closed = anima.make_jaxpr(f)(1.0)
    reduced = settled(closed)
    assert [e.primitive.name for e in reduced.eqns] == ["sin"]
    assert reduced.jaxpr.outvars == [reduced.eqns[0].outvars[0]] * 2
    only_back = anima.make_jaxpr(lambda x: f(x)[1])(1.0)
    assert settled(only_back) is only_back

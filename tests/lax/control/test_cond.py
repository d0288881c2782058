"""`cond` and `switch` against `if` and `where`."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.core.effects import Effect
from anima.core.primitive import Missing, Primitive, primitives
from anima.interpreters.dce import dce_jaxpr
from tests.lax.control.helpers import Counted, assert_same_derivatives, assert_trees_close, compilations

W, X = onp.array([0.3, 0.2, 0.5], onp.float32), onp.array([1.0, 2.0, 0.5], onp.float32)
TRUE = lambda w, x: {"a": np.sin(x) * w, "b": x.sum()}
FALSE = lambda w, x: {"a": x * x * np.exp(w), "b": np.prod(x) * np.cos(w[0])}


def chosen(p: Any, w: Any, x: Any) -> Any:
    # One branch captures w, the other takes it as an operand.
    return lax.cond(p, lambda x, _: TRUE(w, x), lambda x, w: FALSE(w, x), x, w)


def selected(p: Any, w: Any, x: Any) -> Any:
    return anima.tree.map(lambda a, b: np.where(p, a, b), TRUE(w, x), FALSE(w, x))


def loss(fun: Any) -> Any:
    def scalar(p: Any, w: Any, x: Any) -> Any:
        out = fun(p, w, x)
        return (out["a"] ** 2).sum() + np.sin(out["b"])

    return scalar


@pytest.mark.parametrize(
    "pred", [True, False, np.asarray(True), np.asarray(0.0), 1, 0, onp.bool_(True), 2.5], ids=str
)
def test_the_chosen_branch(pred: Any) -> None:
    want = (TRUE if pred else FALSE)(W, X)
    assert_trees_close(chosen(pred, W, X), want)
    assert_trees_close(anima.jit(chosen)(pred, W, X), want)


@pytest.mark.parametrize("pred", [True, False])
def test_derivatives_are_those_of_the_branch(pred: bool) -> None:
    p = np.asarray(pred)
    assert_same_derivatives(lambda w, x: loss(chosen)(p, w, x), lambda w, x: loss(selected)(p, w, x), (W, X))


PREDS, WS, XS = (
    onp.array([True, False, True]),
    onp.stack([W, W * 2, W - 1]),
    onp.stack([X, X * 0.4, X - 0.3], 1),
)


@pytest.mark.parametrize(
    "axes", [(0, None, None), (None, 0, None), (None, None, 1), (0, 0, 1), (None, 0, 1)], ids=str
)
def test_batches_in_any_order_with_derivatives(axes: tuple[Any, ...]) -> None:
    args = [b if d is None else a for a, b, d in zip((PREDS, WS, XS), (np.asarray(True), W, X), axes)]
    for transform in (
        lambda f: anima.vmap(f, axes),
        lambda f: anima.vmap(anima.grad(loss(f), (1, 2)), axes),
        lambda f: anima.grad(lambda *a: anima.vmap(loss(f), axes)(*a).sum(), (1, 2)),
    ):
        want = anima.jit(transform(selected))(*args)
        assert_trees_close(anima.jit(transform(chosen))(*args), want, 1e-4)
        assert_trees_close(transform(chosen)(*args), want, 1e-4)


BRANCHES = [lambda x: x, lambda x: np.sin(x), lambda x: x * x * x]


@pytest.mark.parametrize(
    "cast", [lambda i: i, np.asarray, onp.int8, np.int16], ids=["int", "array", "int8", "int16"]
)
def test_switch(cast: Any) -> None:
    for i in (-3, 0, 1, 2, 9):
        want = BRANCHES[min(max(i, 0), 2)](X)
        assert_trees_close(lax.switch(cast(i), BRANCHES, X), want)
        assert_trees_close(anima.jit(lambda i: lax.switch(i, BRANCHES, X))(cast(i)), want)
    assert_trees_close(lax.switch(onp.uint8(255), BRANCHES, X), BRANCHES[2](X))
    indices = np.arange(-1, 4)
    grads = anima.vmap(lambda i: anima.grad(lambda x: lax.switch(i, BRANCHES, x).sum())(X))(indices)
    for i, grad in zip(indices, grads):
        assert_trees_close(grad, anima.grad(lambda x, i=int(i): BRANCHES[min(max(i, 0), 2)](x).sum())(X))


def test_switch_with_many_branches() -> None:
    branches = [lambda x, k=k: x + k for k in range(130)]
    assert int(lax.switch(onp.int8(127), branches, 0)) == 127
    assert int(lax.switch(129, branches, 0)) == 129
    assert int(lax.switch(0, [lambda: 7])) == 7


def test_the_older_form() -> None:
    operand = np.array([0.0])
    plus, minus = lambda x: x + 1, lambda x: x - 1
    assert repr(lax.cond(True, operand, plus, operand, minus)) == "DeviceArray([1.], dtype=float32)"
    assert repr(lax.cond(False, operand, plus, operand, minus)) == "DeviceArray([-1.], dtype=float32)"
    assert int(lax.cond(True, 5, plus, (10, 20), lambda t: t[0])) == 6
    assert int(lax.cond(False, 5, plus, (10, 20), lambda t: t[0])) == 10
    by_name = {"true_operand": 5, "true_fun": plus, "false_operand": 10, "false_fun": minus}
    assert [int(lax.cond(p, **by_name)) for p in (True, False)] == [6, 9]
    assert int(lax.cond(True, lambda t: t[0], lambda t: t[1], operand=(1, 2))) == 1
    assert lax.cond(True, lambda x: 1, lambda x: 2, operand=None) == 1


def test_the_older_form_under_transformations() -> None:
    f = lambda p, x, y: lax.cond(p, x, np.sin, y, lambda v: v["y"] * 3.0)
    assert_trees_close(anima.grad(f, (1, 2))(True, 0.5, {"y": 2.0}), (onp.cos(0.5), {"y": 0.0}))
    assert_trees_close(anima.grad(f, (1, 2))(False, 0.5, {"y": 2.0}), (onp.float32(0.0), {"y": 3.0}))


def test_results_may_be_operands_constants_or_nothing() -> None:
    f = lambda p, x: lax.cond(p, lambda x: (x, 1.0, None), lambda x: (np.zeros_like(x), x.sum(), None), x)
    for p in (True, False):
        want = (X, 1.0, None) if p else (X * 0, X.sum(), None)
        assert_trees_close(f(p, X), want)
        assert_trees_close(anima.jit(f)(p, X), want)
        want = onp.ones(3) if p else onp.full(3, 2.0)
        assert_trees_close(anima.grad(lambda x, p=p: f(p, x)[0].sum() + 2 * f(p, x)[1])(X), want)
    assert lax.cond(True, lambda: None, lambda: None) is None


def test_weak_and_strong_results_meet() -> None:
    assert lax.cond(True, lambda: 1.0, lambda: np.float32(2)).dtype == onp.float32
    assert not lax.cond(True, lambda: 1.0, lambda: np.float32(2)).weak_type
    assert lax.cond(True, lambda: 1.0, lambda: 2.0).weak_type


def test_only_the_chosen_branch_runs() -> None:
    """A branch that would not end is traced, not run."""
    forever = lambda x: lax.while_loop(lambda x: x > 0, lambda x: x + 1.0, x)
    assert float(anima.jit(lambda p, x: lax.cond(p, forever, lambda x: -x, x))(False, 1.0)) == -1.0


def test_a_choice_for_all_examples_stays_a_choice() -> None:
    fun = lambda p, w, x: loss(chosen)(p, w, x)
    mapped = lambda f: anima.vmap(f, (None, None, 0))
    for transformed in (
        mapped(fun),
        mapped(anima.grad(fun, (1, 2))),
        anima.grad(lambda *a: mapped(fun)(*a).sum(), 1),
    ):
        text = anima.jit(transformed).lower(np.asarray(True), W, onp.stack([X, X])).as_text()
        assert text.count("stablehlo.case") >= 1 and "stablehlo.select" not in text


def test_shared_captures_are_one_operand() -> None:
    def f(w: Any, x: Any) -> Any:
        return lax.cond(x[0] > 0, lambda: w * x, lambda: w + 1.0)

    jaxpr = anima.make_jaxpr(f)(W, X)
    (eqn,) = [e for e in jaxpr.eqns if e.primitive is primitives["cond"]]
    assert len(eqn.invars) == 3


def test_dead_results_are_removed() -> None:
    f = lambda p, x, y: lax.cond(p, lambda: (x, np.sin(y)), lambda: (x + 1.0, y))[0]
    pruned, _, used = dce_jaxpr(anima.make_jaxpr(f)(True, 1.0, 2.0).jaxpr)
    assert used == [True, True, False]
    assert "sin" not in repr(pruned)
    assert float(anima.jit(f)(False, 1.0, 2.0)) == 2.0


def test_the_same_functions_are_traced_and_compiled_once() -> None:
    yes, no = Counted(lambda x: x + 1.0), Counted(lambda x: x - 1.0)
    lax.cond(True, yes, no, 1.0)
    assert (
        compilations(lambda: [lax.cond(p, yes, no, float(i)) for i, p in enumerate((True, False, True))]) == 0
    )
    assert (yes.calls, no.calls) == (1, 1)
    # Fresh functions beside a lasting one leave nothing behind.
    program = lambda: lax.cond(False, yes, lambda x: x * 2.0, 3.0)
    program()
    assert compilations(program) == 0


def test_disable_jit_runs_the_branch_itself() -> None:
    with anima.disable_jit():
        yes, no = Counted(lambda x: x + 1), Counted(lambda x: x - 1)
        assert lax.cond(np.asarray(True), yes, no, 1) == 2
        assert lax.switch(5, [yes, no], 1) == 0
        assert lax.cond(False, 1, yes, 2, no) == 1
    assert (yes.calls, no.calls) == (1, 2)


class Noisy(Effect):
    """An effect for these tests."""


class Forbidden(Effect):
    """An effect that must not occur in control flow."""

    under_control_flow = False


@pytest.fixture
def noisy() -> Any:
    """A primitive with an effect, given as its parameter, that returns its operand."""
    same = lambda x, effect: x
    primitive = Primitive(
        "noisy for a test",
        shape=same,
        lower=lambda ctx, x, effect: x,
        jvp=lambda ps, ts, effect: (primitive.bind(*ps, effect=effect), ts[0]),
        transpose=Missing("it is only a test"),
        batch=lambda axis, args, dims, effect: (primitive.bind(*args, effect=effect), dims[0]),
        effects=lambda x, effect: frozenset([effect]),
    )
    yield primitive
    del primitives["noisy for a test"]


def test_effects_of_the_bodies_are_those_of_the_operation(noisy: Any) -> None:
    f = lambda x: noisy.bind(x, effect=Noisy())
    programs = {
        "cond": lambda x: lax.cond(x > 0, f, lambda x: x, x),
        "while": lambda x: lax.while_loop(lambda x: x < 3, lambda x: f(x) + 1, x),
        "scan": lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=3),
    }
    for name, program in programs.items():
        jaxpr = anima.make_jaxpr(lambda x, program=program: (program(x), x)[1])(1.0).jaxpr
        assert jaxpr.effects == {Noisy()}, name
        assert name in [e.primitive.name for e in dce_jaxpr(jaxpr)[0].eqns], (
            "an operation with effects was removed"
        )


def test_effects_that_vmap_or_control_flow_cannot_have(noisy: Any) -> None:
    f = lambda p, x: lax.cond(p, lambda x: noisy.bind(x, effect=Noisy()), lambda x: x, x)
    assert anima.vmap(f, (None, 0))(True, X).tolist() == X.tolist()
    with pytest.raises(ValueError, match=r"vmap maps the predicate.*Noisy"):
        anima.vmap(f)(PREDS, X)
    loop = lambda n: lax.while_loop(lambda x: x < n, lambda x: noisy.bind(x, effect=Noisy()) + 1, 0)
    with pytest.raises(ValueError, match=r"end at different times.*Noisy"):
        anima.vmap(loop)(np.arange(3))
    with pytest.raises(ValueError, match="effect Forbidden, which cannot happen inside control flow"):
        lax.scan(lambda c, _: (noisy.bind(c, effect=Forbidden()), None), 1.0, None, length=2)

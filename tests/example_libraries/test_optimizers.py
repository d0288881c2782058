"""Optimisers against their papers' formulas in NumPy's double precision, schedules, trees, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima import grad, jit, vmap
from anima.config import enable_x64
from anima.example_libraries import optimizers

CHANCE = numpy.random.default_rng(0)
START = CHANCE.normal(size=(3, 2))
GRADIENTS = CHANCE.normal(size=(5, 3, 2)) * (CHANCE.random((5, 3, 2)) > 0.2)  # some are 0
GRADIENTS[:, 0, 1] = 0  # an element that never has one
RATES = [0.1, 0.2, 0.05, 0.1, 0.3]


def inverse_root(s: Any) -> Any:
    with numpy.errstate(divide="ignore"):
        return numpy.where(s > 0, 1 / numpy.sqrt(s), 0)


def sgd(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    return x - lr * g


def momentum(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    s["v"] = 0.8 * s.get("v", 0) + g
    return x - lr * s["v"]


def nesterov(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    s["v"] = 0.8 * s.get("v", 0) + g
    return x - lr * (0.8 * s["v"] + g)


def adagrad(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    s["s"] = s.get("s", 0) + g**2
    s["m"] = 0.7 * s.get("m", 0) + 0.3 * g * inverse_root(s["s"])
    return x - lr * s["m"]


def rmsprop(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    s["a"] = 0.7 * s.get("a", 0) + 0.3 * g**2
    return x - lr * g / numpy.sqrt(s["a"] + 1e-3)


def rmsprop_momentum(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    s["a"] = 0.7 * s.get("a", 0) + 0.3 * g**2
    s["m"] = 0.6 * s.get("m", 0) + lr * g / numpy.sqrt(s["a"] + 1e-3)
    return x - s["m"]


def adam(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    s["m"] = 0.7 * s.get("m", 0) + 0.3 * g
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g**2
    return x - lr * (s["m"] / (1 - 0.7**t)) / (numpy.sqrt(s["v"] / (1 - 0.9**t)) + 1e-3)


def adamax(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    s["m"] = 0.7 * s.get("m", 0) + 0.3 * g
    s["u"] = numpy.maximum(0.9 * s.get("u", 0), abs(g))
    return x - lr / (1 - 0.7**t) * s["m"] / (s["u"] + 1e-3)


def sm3(x: Any, g: Any, lr: float, t: int, s: dict[str, Any]) -> Any:
    rows, columns = s.get("rows", numpy.zeros(3)), s.get("columns", numpy.zeros(2))
    total = numpy.minimum(rows[:, None], columns) + g**2
    s["rows"], s["columns"] = total.max(1), total.max(0)
    s["m"] = 0.7 * s.get("m", 0) + 0.3 * g * inverse_root(total)
    return x - lr * s["m"]


CASES: dict[str, tuple[Callable[..., Any], dict[str, float]]] = {
    "sgd": (sgd, {}),
    "momentum": (momentum, {"mass": 0.8}),
    "nesterov": (nesterov, {"mass": 0.8}),
    "adagrad": (adagrad, {"momentum": 0.7}),
    "rmsprop": (rmsprop, {"gamma": 0.7, "eps": 1e-3}),
    "rmsprop_momentum": (rmsprop_momentum, {"gamma": 0.7, "eps": 1e-3, "momentum": 0.6}),
    "adam": (adam, {"b1": 0.7, "b2": 0.9, "eps": 1e-3}),
    "adamax": (adamax, {"b1": 0.7, "b2": 0.9, "eps": 1e-3}),
    "sm3": (sm3, {"momentum": 0.7}),
}


@pytest.mark.parametrize("name", CASES)
def test_formulas(name: str) -> None:
    formula, arguments = CASES[name]
    memory: dict[str, Any] = {}
    with enable_x64(True):
        init, update, get = getattr(optimizers, name)(lambda i: np.array(RATES)[i], **arguments)
        state, staged = init(START), init(START)
        update_staged = jit(update)
        want = START
        for i, g in enumerate(GRADIENTS):
            want = formula(want, g, RATES[i], i + 1, memory)
            state, staged = update(i, g, state), update_staged(i, g, staged)
            numpy.testing.assert_allclose(get(state), want, rtol=1e-12, atol=1e-13)
            numpy.testing.assert_allclose(get(staged), want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shape", [(), (1,), (0, 2), (2, 1, 3)])
@pytest.mark.parametrize("name", CASES)
def test_shapes_and_narrow_dtypes(name: str, shape: tuple[int, ...]) -> None:
    init, update, get = getattr(optimizers, name)(0.125, **CASES[name][1])
    wide = None
    for dtype in ("float32", "bfloat16"):
        x = np.ones(shape, dtype)
        state = init(x)
        for i in range(3):
            state = update(i, x * (i + 1), state)
        got = get(state)
        assert got.shape == shape and got.dtype == dtype
        wide = got if wide is None else wide
        numpy.testing.assert_allclose(numpy.asarray(got).astype("float32"), wide, atol=0.03)


def test_the_step_that_sm3_takes_with_one_dimension_is_adagrads() -> None:
    x, g = numpy.arange(4, dtype="float32"), numpy.array([1, -2, 0, 3], "float32")
    taken = []
    for name in ("adagrad", "sm3"):
        init, update, get = getattr(optimizers, name)(0.5)
        taken.append(get(update(1, g, update(0, g, init(x)))))
    assert numpy.array_equal(*taken)


def test_updates_can_be_transformed() -> None:
    init, update, get = optimizers.adam(0.1)

    def after(x: Any, g: Any) -> Any:
        return get(update(1, g, update(0, g, init(x)))).sum()

    x, g = np.arange(3.0), np.array([1.0, -2.0, 0.5])
    assert numpy.allclose(grad(after)(x, g), 1)
    rows = vmap(after)(np.stack([x, 2 * x]), np.stack([g, g * 3]))
    assert numpy.allclose(rows, [after(x, g), after(2 * x, g * 3)])

    def step(state: Any, i: Any) -> Any:
        return update(i, grad(lambda p: (p**2).sum())(get(state)), state), None

    state, _ = anima.lax.scan(step, init(x), np.arange(200))
    assert abs(get(state)).max() < 0.01


def test_trees() -> None:
    tree = {"a": np.ones(2), "b": [np.zeros((2, 1)), None], "c": 2.0}
    init, update, get = optimizers.momentum(0.5, 0.9)
    state = init(tree)
    assert isinstance(state, optimizers.OptimizerState) and len(state.packed_state) == 3
    assert len(anima.tree.leaves(state)) == 6
    after = get(update(0, tree, state))
    assert anima.tree.structure(after) == anima.tree.structure(tree)
    assert after["a"].tolist() == [0.5, 0.5] and float(after["c"]) == 1.0
    with pytest.raises(TypeError, match="momentum: the gradients must have the structure of the parameters"):
        update(0, {"a": np.ones(2)}, state)
    assert optimizers.sgd.__name__ == "sgd" and "Robbins" in str(optimizers.sgd.__doc__)

    @optimizers.optimizer
    def changing() -> Any:
        return lambda x: (x, x), lambda i, g, s: (s[0],), lambda s: s[0]

    init, update, _ = changing()
    with pytest.raises(TypeError, match="changing: an update must keep the structure of the state"):
        update(0, np.ones(1), init(np.ones(1)))


def test_states_are_unpacked_and_packed() -> None:
    tree = {"a": np.ones(2), "b": [np.zeros((2, 1))]}
    for name, (_, arguments) in CASES.items():
        state = getattr(optimizers, name)(0.5, **arguments).init_fn(tree)
        marked = optimizers.unpack_optimizer_state(state)
        assert isinstance(marked["a"], optimizers.JoinPoint)
        assert list(marked["a"]) == [marked["a"].subtree]
        again = optimizers.pack_optimizer_state(marked)
        assert anima.tree.structure(again) == anima.tree.structure(state)
        for x, y in zip(anima.tree.leaves(again), anima.tree.leaves(state)):
            assert numpy.array_equal(x, y)
    with pytest.raises(TypeError, match="pack_optimizer_state: every leaf must be a JoinPoint"):
        optimizers.pack_optimizer_state({"a": 3})


def test_schedules() -> None:
    steps = (0, 1, 4, 5, 6, 9, 10, 11, 25)
    cases: list[tuple[Any, Callable[[int], float]]] = [
        (optimizers.constant(0.25), lambda i: 0.25),
        (optimizers.exponential_decay(0.5, 10, 0.9), lambda i: 0.5 * 0.9 ** (i / 10)),
        (optimizers.inverse_time_decay(0.5, 4, 0.9), lambda i: 0.5 / (1 + 0.9 * i / 4)),
        (optimizers.inverse_time_decay(0.5, 4, 0.9, True), lambda i: 0.5 / (1 + 0.9 * (i // 4))),
        (optimizers.polynomial_decay(0.5, 10, 0.1), lambda i: 0.1 + 0.4 * (1 - min(i, 10) / 10)),
        (optimizers.polynomial_decay(0.5, 10, 0.1, 2), lambda i: 0.1 + 0.4 * (1 - min(i, 10) / 10) ** 2),
        (
            optimizers.piecewise_constant([4, 9], [3, 2, 1]),
            lambda i: 3 if i <= 4 else 2 if i <= 9 else 1,
        ),
    ]
    for schedule, formula in cases:
        for i in steps:
            assert numpy.isclose(schedule(i), formula(i))
            assert numpy.isclose(jit(schedule)(i), formula(i))
    for bounds, values, words in (
        ([1, 2], [1.0, 2.0], "one value more"),
        ([[1]], [1.0, 2.0], "sequences"),
        ([1], 2.0, "sequences"),
    ):
        with pytest.raises(ValueError, match=f"piecewise_constant: .*{words}"):
            optimizers.piecewise_constant(bounds, values)
    for bad in ("fast", numpy.ones(2), None):
        with pytest.raises(TypeError, match="step size"):
            optimizers.make_schedule(bad)
    assert optimizers.make_schedule(numpy.float32(2))(3) == 2
    assert jit(lambda lr: optimizers.sgd(lr).update_fn(0, 2.0, optimizers.sgd(lr).init_fn(1.0)))(
        0.5
    ).packed_state[0] == [0.0]


def test_norms() -> None:
    tree = {"w": np.array([[1.0, 2.0], [2.0, 4.0]]), "b": [12.0, numpy.zeros(0, "float32")]}
    assert float(optimizers.l2_norm(tree)) == 13.0
    assert float(optimizers.l2_norm([])) == 0.0
    assert numpy.isclose(optimizers.l2_norm(np.array([3 + 4j])), 5)
    clipped = optimizers.clip_grads(tree, 6.5)
    assert clipped["w"].tolist() == [[0.5, 1.0], [1.0, 2.0]] and float(clipped["b"][0]) == 6.0
    same = optimizers.clip_grads(tree, 13.5)
    assert numpy.array_equal(same["w"], tree["w"])
    assert optimizers.clip_grads(np.zeros(2), 1.0).tolist() == [0, 0]
    assert numpy.isnan(optimizers.clip_grads(np.array([numpy.nan, 1.0]), 1.0)).all()

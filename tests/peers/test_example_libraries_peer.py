"""`example_libraries` compared with JAX: names, signatures, parameters bit for bit, outputs, states and steps."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest

import anima
from anima.example_libraries import optimizers, stax

pytestmark = pytest.mark.peers

THEIR_STAX = importlib.import_module("jax.example_libraries.stax")
THEIR_OPTIMIZERS = importlib.import_module("jax.example_libraries.optimizers")


@pytest.mark.parametrize("ours, theirs", [(stax, THEIR_STAX), (optimizers, THEIR_OPTIMIZERS)])
def test_names_and_signatures(ours: ModuleType, theirs: ModuleType) -> None:
    for name, value in vars(theirs).items():
        if (
            name.startswith("_")
            or getattr(value, "__module__", "") != theirs.__name__
            or name in ("partial",)
        ):
            continue
        assert hasattr(ours, name), name
        if inspect.isfunction(value):
            mine, other = (inspect.signature(f).parameters.values() for f in (getattr(ours, name), value))
            assert [(p.name, p.kind) for p in mine] == [(p.name, p.kind) for p in other], name
            for p, q in zip(mine, other):
                assert callable(p.default) or p.default == q.default, name


LAYERS: dict[str, Any] = {
    "dense": (lambda s: s.Dense(4), (2, 3)),
    "conv": (lambda s: s.Conv(5, (3, 2), (2, 1), "SAME"), (2, 6, 7, 3)),
    "conv nchw": (lambda s: s.GeneralConv(("NCHW", "OIHW", "NHWC"), 5, (3, 2)), (2, 3, 6, 7)),
    "transposed": (lambda s: s.ConvTranspose(5, (3, 2), (2, 3)), (2, 4, 5, 3)),
    "transposed same": (lambda s: s.ConvTranspose(5, (3, 2), (2, 3), "SAME"), (2, 4, 5, 3)),
    "transposed 1": (lambda s: s.Conv1DTranspose(5, (3,), (2,)), (2, 4, 3)),
    "batch norm": (lambda s: s.BatchNorm(), (2, 4, 5, 3)),
    "batch norm 0": (lambda s: s.BatchNorm(0, center=False), (5, 3)),
    "max": (lambda s: s.MaxPool((2, 2), (2, 2), "SAME"), (1, 5, 5, 2)),
    "sum": (lambda s: s.SumPool((2, 3), None, "VALID", "NCHW"), (1, 2, 5, 5)),
    "mean": (lambda s: s.AvgPool((3, 3), (2, 2), "SAME"), (1, 5, 5, 2)),
    "flatten": (lambda s: s.Flatten, (2, 3, 4)),
    "dropout": (lambda s: s.Dropout(0.7), (50, 3)),
    "functions": (
        lambda s: s.serial(
            s.FanOut(11),
            s.parallel(
                s.Tanh, s.Relu, s.Exp, s.LogSoftmax, s.Softmax, s.Softplus, s.Sigmoid, s.Elu, s.LeakyRelu, s.Selu,
                s.Gelu,
            ),
            s.FanInConcat(),
        ),
        (2, 3),
    ),
    "combined": (
        lambda s: s.serial(
            s.Dense(4),
            s.FanOut(2),
            s.parallel(s.serial(s.Dropout(0.5), s.Dense(3)), s.shape_dependent(lambda n: s.Dense(n[-1] - 1))),
            s.FanInSum,
            s.Dropout(0.5),
        ),
        (6, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    make, shape = LAYERS[name]
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    found = []
    with jax.threefry_partitionable(False):
        for lib, layers in ((anima, stax), (jax, THEIR_STAX)):
            init, apply = make(layers)
            key = lib.random.PRNGKey(3)
            out_shape, params = init(key, shape)
            found.append(
                (
                    jax.tree.map(int, out_shape),
                    *(jax.tree.map(np.asarray, v) for v in (params, apply(params, x, rng=key))),
                )
            )
    (our_shape, our_params, ours), (their_shape, their_params, theirs) = found
    assert our_shape == their_shape
    assert jax.tree.structure(our_params) == jax.tree.structure(their_params)
    for p, q in zip(jax.tree.leaves(our_params), jax.tree.leaves(their_params)):
        assert p.dtype == q.dtype
        np.testing.assert_allclose(p, q, rtol=1e-6, atol=1e-12)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for p, q in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert p.dtype == q.dtype
        np.testing.assert_allclose(p, q, rtol=2e-5, atol=2e-6)


OPTIMIZERS = {
    "sgd": (), "momentum": (0.9,), "nesterov": (0.9,), "adagrad": (), "rmsprop": (), "rmsprop_momentum": (), "adam": (),
    "adamax": (), "sm3": (),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str) -> None:
    chance = np.random.default_rng(0)
    tree = {"a": chance.normal(size=(3, 2)) * 4, "b": [chance.normal(size=()), chance.normal(size=2)]}

    def three_steps(lib: ModuleType, module: ModuleType) -> Any:
        opt = getattr(module, name)(0.1, *OPTIMIZERS[name])

        def run(tree: Any) -> Any:
            state = opt.init_fn(tree)
            for i in range(3):
                state = opt.update_fn(i, lib.tree.map(lambda x: x * (i - 1), tree), state)
            return opt.params_fn(state)

        return lib.jit(run)

    ours, theirs = three_steps(anima, optimizers), three_steps(jax, THEIR_OPTIMIZERS)
    for dtype in ("float32", "bfloat16", "int32", "complex64"):
        factor = 1 + 2j if dtype == "complex64" else 1
        given = jax.tree.map(lambda x: np.asarray(x * factor).astype(jax.numpy.dtype(dtype)), tree)
        kinds = [
            [x.dtype for x in jax.tree.leaves(lib.eval_shape(f, given))]
            for lib, f in ((anima, ours), (jax, theirs))
        ]
        assert kinds[0] == kinds[1]
        # Complex numbers are compared with 0 by adagrad and sm3: what is not positive has no step.
        if dtype == "float32" or (dtype == "complex64" and name in ("adam", "adamax", "rmsprop")):
            for x, y in zip(jax.tree.leaves(ours(given)), jax.tree.leaves(theirs(given))):
                np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6)


def test_states() -> None:
    tree = {"a": np.ones((2, 3), "float32"), "b": np.float32(2)}
    for name, arguments in OPTIMIZERS.items():
        ours, theirs = (
            getattr(m, name)(0.1, *arguments).init_fn(tree) for m in (optimizers, THEIR_OPTIMIZERS)
        )
        assert type(ours)._fields == type(theirs)._fields
        if name != "sm3":  # JAX's keeps the shape as well
            assert [len(s) for s in ours.packed_state] == [len(s) for s in theirs.packed_state]
        assert str(ours.tree_def) == str(theirs.tree_def)


def test_schedules_and_norms() -> None:
    for make in (
        lambda o: o.constant(0.1),
        lambda o: o.exponential_decay(0.1, 10, 0.5),
        lambda o: o.inverse_time_decay(0.1, 10, 0.5),
        lambda o: o.inverse_time_decay(0.1, 10, 0.5, True),
        lambda o: o.polynomial_decay(0.1, 10, 0.01, 2.0),
        lambda o: o.piecewise_constant([2, 5], [1.0, 0.5, 0.1]),
    ):
        ours, theirs = make(optimizers), make(THEIR_OPTIMIZERS)
        for i in (0, 2, 3, 10, 25):
            np.testing.assert_allclose(ours(i), theirs(i), rtol=1e-6)
    for tree in ([3, 4.0], {"a": np.array([3 + 4j])}, [np.array([1, 2])], []):
        ours, theirs = optimizers.l2_norm(tree), THEIR_OPTIMIZERS.l2_norm(tree)
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    for tree in ([np.array([3.0, 4.0], "float32")], [np.array([3, 4])], [np.ones(2, "float16")]):
        for bound in (1.0, 10.0):
            ours, theirs = optimizers.clip_grads(tree, bound), THEIR_OPTIMIZERS.clip_grads(tree, bound)
            for x, y in zip(ours, theirs):
                assert x.dtype == y.dtype
                np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-3)

"""`anima.nn` compared with JAX's: signatures, values, dtypes, weak types, derivatives at kinks and edges, refusals."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy
import pytest

import anima
from anima import nn
from tests.peers.outcomes import outcome, same, signature

pytestmark = pytest.mark.peers

# Functions of one array alone.
ACTIVATIONS = [
    "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity", "leaky_relu", "log1mexp",
    "log_sigmoid", "log_softmax", "logmeanexp", "logsumexp", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign",
    "softmax", "softplus", "sparse_plus", "sparse_sigmoid", "squareplus", "swish", "tanh",
]  # fmt: skip
OTHERS = [
    "dot_product_attention", "get_scaled_dot_general_config", "one_hot", "scaled_dot_general", "scaled_matmul", "standardize",
]  # fmt: skip
POINTS = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 0.6931472, 40.0, -100.0, numpy.inf, -numpy.inf]
# What JAX refuses, or computes wrongly: see the difference "nn-integers", but where another is named.
INTEGERS = ("bool", "uint8", "int8", "int32", "scalar")
BETTER = {
    **dict.fromkeys(["glu", "sigmoid", "silu", "swish"], INTEGERS),
    **dict.fromkeys(["log1mexp", "log_sigmoid", "log_softmax", "softmax"], ("bool", "uint8")),
    "squareplus": ("uint8", "int8"),
    "hard_tanh": ("uint8",),
    "gelu": ("float8",),  # computed in float32 and rounded once: see the difference "gelu-limits"
}

ARRAYS = {
    "bool": "np.array([True, False])",
    "uint8": "np.array([1, 200], 'uint8')",
    "int8": "np.array([-3, 100], 'int8')",
    "int32": "np.array([-7, 5])",
    "bfloat16": "np.array([-1.5, 3.0], 'bfloat16')",
    "float16": "np.array([0.5, -2.0], 'float16')",
    "float32": "np.array([[0.25, -1.5], [np.inf, 2.0]])",
    "float8": "np.array([0.5, -2.0], 'float8_e5m2')",
    "complex64": "np.array([1 + 2j, -3j])",
    "scalar": "3",
    "weak": "np.asarray(2.5)",
    "empty": "np.zeros((0, 2))",
    "list": "[1.0, 2.0]",
}


def public(module: Any) -> list[str]:
    return [n for n in dir(module) if not n.startswith("_") and n not in ("initializers",)]


def test_every_function_is_here() -> None:
    ours = {n for n in dir(nn) if not n.startswith("_") and callable(getattr(nn, n))}
    theirs = {n for n in public(jax.nn) if callable(getattr(jax.nn, n))}
    assert theirs <= ours
    assert theirs <= {*ACTIVATIONS, *OTHERS}


@pytest.mark.parametrize("module", ["nn", "nn.initializers"])
def test_signatures(module: str) -> None:
    ours, theirs = nn, jax.nn
    if module == "nn.initializers":
        ours, theirs = nn.initializers, jax.nn.initializers
    wrong = {}
    for name in public(theirs):
        if callable(getattr(theirs, name)) and name != "Initializer":
            pair = signature(getattr(ours, name)), signature(getattr(theirs, name))
            if pair[0] != pair[1]:
                wrong[name] = pair
    assert not wrong


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values(name: str) -> None:
    wrong = []
    for kind, array in ARRAYS.items():
        if kind in BETTER.get(name, ()):
            continue
        case = f"nn.{name}({array})"
        ours = outcome(case, {"np": anima.numpy, "nn": nn})
        theirs = outcome(case, {"np": jax.numpy, "nn": jax.nn})
        if not same(ours, theirs):
            wrong.append((case, ours, theirs))
    assert not wrong


@pytest.mark.parametrize(
    "name", [n for n in ACTIVATIONS if n not in ("glu", "softmax", "log_softmax", "logsumexp", "logmeanexp")]
)
@pytest.mark.parametrize("order", [1, 2])
def test_slopes(name: str, order: int) -> None:
    ours, theirs = getattr(nn, name), getattr(jax.nn, name)
    for _ in range(order):
        ours, theirs = anima.grad(ours), jax.grad(theirs)
    wrong = []
    for point in POINTS:
        if name == "log1mexp" and (numpy.signbit(point) or (point == numpy.inf and order == 2)):
            continue  # outside of its domain; and JAX's second derivative at infinity is NaN
        one, other = float(ours(point)), float(theirs(point))
        if not numpy.allclose(one, other, rtol=1e-4, atol=1e-4, equal_nan=True):
            wrong.append((point, one, other))
    assert not wrong


REDUCED: dict[str, Callable[[Any, Any], Any]] = {
    "softmax": lambda m, x: m.softmax(x),
    "softmax where": lambda m, x: m.softmax(x, where=numpy.array([True, False, True])),
    "softmax none": lambda m, x: m.softmax(x, where=numpy.zeros(3, bool)),
    "softmax axes": lambda m, x: m.softmax(x.reshape(3, 1), axis=(0, 1)),
    "log_softmax": lambda m, x: m.log_softmax(x),
    "log_softmax where": lambda m, x: m.log_softmax(x, where=numpy.array([True, False, True])),
    "logsumexp": lambda m, x: m.logsumexp(x),
    "logsumexp where": lambda m, x: m.logsumexp(x, where=numpy.array([True, False, True])),
    "logsumexp none": lambda m, x: m.logsumexp(x, where=numpy.zeros(3, bool)),
    "logsumexp b": lambda m, x: m.logsumexp(x, b=numpy.array([0.0, 2.0, -1.0]), return_sign=True)[0],
    "logsumexp axes": lambda m, x: m.logsumexp(x.reshape(3, 1), axis=(0, 1), keepdims=True),
    "logmeanexp": lambda m, x: m.logmeanexp(x),
    "logmeanexp where": lambda m, x: m.logmeanexp(x, where=numpy.array([True, False, True])),
    "standardize": lambda m, x: m.standardize(x, algorithm="stable"),
    "standardize where": lambda m, x: m.standardize(
        x, where=numpy.array([True, False, True]), algorithm="stable"
    ),
    "standardize given": lambda m, x: m.standardize(x, mean=1.0, variance=2.0, epsilon=1.0),
    "glu": lambda m, x: m.glu(x.reshape(1, 3).repeat(2, 0), axis=0),
}
INPUTS = [
    [0.0, 1.0, -2.0],
    [0.0, 0.0, 0.0],
    [-numpy.inf, 1.0, -numpy.inf],
    [-numpy.inf, 2.0, 3.0],
    [-numpy.inf] * 3,
    [numpy.inf, 1.0, 2.0],
    [numpy.nan, 1.0, 2.0],
    [3e38, -3e38, 1e38],
]


@pytest.mark.parametrize("name", REDUCED)
def test_reduced(name: str) -> None:
    fun = REDUCED[name]
    wrong = []
    for values in INPUTS:
        x = numpy.array(values, "float32")
        weights = numpy.arange(1.0, 1.0 + numpy.size(fun(nn, anima.numpy.array(x))), dtype="float32")
        results = []
        for library, module, array in ((anima, nn, anima.numpy.array), (jax, jax.nn, jax.numpy.array)):
            value = fun(module, array(x))
            slope = library.grad(lambda v: (fun(module, v).ravel() * weights).sum())(array(x))
            results.append((numpy.asarray(value), numpy.asarray(slope)))
        for one, other in zip(*results):
            if not numpy.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True):
                wrong.append((values, one, other))
    assert not wrong


ATTENTION = {
    "shared heads": "nn.dot_product_attention(q, ke, v, return_residual=True)",
    "bias and mask": "nn.dot_product_attention(q, ke, v, b, m, return_residual=True)",
    "no batch": "nn.dot_product_attention(q[0], ke[0], v[0], b[0], return_residual=True)",
    "bfloat16": "nn.dot_product_attention(*[np.asarray(a, 'bfloat16') for a in (q, ke, v)], return_residual=True)",
    "float16": "nn.dot_product_attention(*[np.asarray(a, 'float16') for a in (q, ke, v)], b)",
    "float8": "nn.dot_product_attention(*[np.asarray(a, 'float8_e4m3fn') for a in (q, ke, v)])",
    "int32": "nn.dot_product_attention(*[np.asarray(a * 3, 'int32') for a in (q, ke, v)])",
    "complex64": "nn.dot_product_attention(*[np.asarray(a, 'complex64') for a in (q, ke, v)])",
    "bool": "nn.dot_product_attention(q > 0, ke > 0, v > 0)",
    "bias of two dimensions": "nn.dot_product_attention(q, ke, v, b[0, 0])",
    "bias of integers": "nn.dot_product_attention(q, ke, v, np.ones((1, 1, 4, 5), int))",
    "lengths": "nn.dot_product_attention(q, ke, v, query_seq_lengths=l, key_value_seq_lengths=l[::-1], return_residual=True)",
    "window": "nn.dot_product_attention(q, ke, v, local_window_size=1)",
    "causal window": "nn.dot_product_attention(q, ke, v, local_window_size=(1, 2), is_causal=True)",
    "scale": "nn.dot_product_attention(q, ke, v, scale=2, implementation='xla')",
    "no batches": "nn.dot_product_attention(q[:0], ke[:0], v[:0])",
    "no keys": "nn.dot_product_attention(q, ke[:, :0], v[:, :0])",
    "infinite bias": "nn.dot_product_attention(q, ke, v, b - np.inf, return_residual=True)",
    "bad window": "nn.dot_product_attention(q, ke, v, local_window_size=(1, 2, 3))",
    "bad implementation": "nn.dot_product_attention(q, ke, v, implementation='y')",
    "bad mask": "nn.dot_product_attention(q, ke, v, mask=b)",
    "bad lengths": "nn.dot_product_attention(q, ke, v, query_seq_lengths=l * 1.0)",
    "bad heads": "nn.dot_product_attention(q, np.ones((2, 5, 3, 3)), np.ones((2, 5, 3, 3)))",
    "bad values": "nn.dot_product_attention(q, ke, np.ones((2, 5, 2, 4)))",
    "bad dtypes": "nn.dot_product_attention(np.asarray(q, 'bfloat16'), ke, v)",
    "gradient": "grad(lambda *a: (nn.dot_product_attention(*a, m, query_seq_lengths=l)**2).sum(), (0, 1, 2, 3))(q, ke, v, b)",
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name: str) -> None:
    rng = numpy.random.default_rng(0)
    shapes = {"q": (2, 4, 4, 3), "ke": (2, 5, 2, 3), "v": (2, 5, 2, 3), "b": (2, 4, 4, 5)}
    operands = {n: rng.standard_normal(s).astype("float32") for n, s in shapes.items()}
    operands |= {"m": rng.random((2, 4, 4, 5)) > 0.5, "l": numpy.array([2, 9], "int32")}
    ours = outcome(ATTENTION[name], {"np": anima.numpy, "nn": nn, "grad": anima.grad, **operands})
    theirs = outcome(ATTENTION[name], {"np": jax.numpy, "nn": jax.nn, "grad": jax.grad, **operands})
    assert same(ours, theirs), (ours, theirs)


INITIALIZERS = [
    "orthogonal()(k, (4, 3))", "orthogonal(2.0, 0)(k, (2, 3, 4))", "orthogonal(1.0, 1)(k, (2, 3, 4))",
    "orthogonal()(k, (3, 5), 'complex64')", "orthogonal()(k, (0, 3))", "orthogonal()(k, (3,))", "orthogonal()(k, (3, 3), int)",
    "delta_orthogonal()(k, (1, 2, 3))", "delta_orthogonal(3.0, -2)(k, (3, 4, 3, 3))", "delta_orthogonal()(k, (2, 2, 2, 1, 3))",
    "delta_orthogonal()(k, (3, 3))", "delta_orthogonal()(k, (3, 3, 2))", "zeros(k, (2, 3))", "ones(k, (2,), 'int8')",
    "constant(3)(k, (2,))", "constant(2.5, 'bfloat16')(k, (2,))", "uniform()(k, (3, 4))", "uniform(2.0, 'float16')(k, (3,))",
    "normal()(k, (3, 4))", "normal(1.0)(k, (3,), 'complex64')", "truncated_normal(2.0, lower=-1.0)(k, (9,))",
    "glorot_uniform()(k, (3, 4))", "glorot_normal()(k, (3, 4), 'complex64')", "lecun_uniform()(k, (3, 3, 4, 5))",
    "lecun_normal()(k, (3, 4))", "he_uniform(0, 1)(k, (3, 4))", "he_normal()(k, (3, 4), 'bfloat16')", "he_normal()(k, (3,))",
    "variance_scaling(1.0, 'fan_geo_avg', 'normal')(k, (3, 4))", "variance_scaling(1.0, 'fan_in', 'uniform', batch_axis=0)(k, (2, 3, 4))",
    "variance_scaling(1.0, 'x', 'normal')(k, (3, 4))", "variance_scaling(1.0, 'fan_in', 'x')(k, (3, 4))",
    "uniform()(k, (3,), 'complex64')", "uniform()(k, (3,), int)",
]  # fmt: skip


@pytest.mark.parametrize("case", INITIALIZERS)
def test_initializer(case: str) -> None:
    ours = outcome(f"i.{case}", {"i": nn.initializers, "k": anima.random.PRNGKey(3)})
    with jax.threefry_partitionable(False):
        theirs = outcome(f"i.{case}", {"i": jax.nn.initializers, "k": jax.random.PRNGKey(3)})
    assert same(ours, theirs), (ours, theirs)


SCALED = [
    "nn.scaled_matmul(a[0], a[0], a[0], a[0])", "nn.scaled_matmul(a, a, a[..., :2], a[..., :1])",
    "nn.scaled_matmul(a, a[:1], a[..., :2], a[:1, :, :2])", "nn.scaled_matmul(a, a, a[:, :1, :2], a[..., :2])",
    "nn.scaled_dot_general(a, a, (((2,), (2,)), ((0,), (0,))))",
    "nn.scaled_dot_general(np.ones((2, 3), int), np.ones((3, 2), int), (((1,), (0,)), ((), ())))",
    "nn.scaled_dot_general(a, a, (((2,), (2,)), ((0,), (0,))), 'float64', c)",
    "nn.scaled_dot_general(a, a, (((2,), (2,)), ((0,), (0,))), 'int32', c)",
    "nn.get_scaled_dot_general_config('fp4')",
]  # fmt: skip


@pytest.mark.parametrize("case", SCALED)
def test_scaled(case: str) -> None:
    a = numpy.random.default_rng(0).standard_normal((2, 3, 64)).astype("float32")
    results = []
    for module, np in ((nn, anima.numpy), (jax.nn, jax.numpy)):
        c = [module.get_scaled_dot_general_config("mxfp8")] * 3
        results.append(outcome(case, {"nn": module, "np": np, "a": np.asarray(a), "c": c}))
    assert same(*results), results


@pytest.mark.parametrize("mode", ["mxfp8", "nvfp4"])
def test_scaled_config(mode: str) -> None:
    ours, theirs = (m.get_scaled_dot_general_config(mode) for m in (nn, jax.nn))
    for field in ("mode", "block_size", "data_type", "scale_type", "infer_only"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert (ours.global_scale is None) == (theirs.global_scale is None)
    assert (
        inspect.signature(type(ours)).parameters.keys() == inspect.signature(type(theirs)).parameters.keys()
    )

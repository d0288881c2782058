"""Activations and normalisation at their edges: kinks, infinities, masks. Oracles: formulas in double precision."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import scipy.special

import anima
import anima.numpy as np
from anima import errors, nn

X = numpy.array([-100.0, -3.0, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 40.0], "float32")
D = X.astype("float64")
SIGMOID = scipy.special.expit(D)
ELU = numpy.where(D > 0, D, numpy.expm1(numpy.minimum(D, 0)))
SOFTPLUS = numpy.logaddexp(D, 0)
FORMULAS: dict[str, Any] = {
    "relu": numpy.maximum(D, 0),
    "relu6": numpy.clip(D, 0, 6),
    "sigmoid": SIGMOID,
    "softplus": SOFTPLUS,
    "sparse_plus": numpy.where(D <= -1, 0, numpy.where(D >= 1, D, (D + 1) ** 2 / 4)),
    "sparse_sigmoid": numpy.clip((D + 1) / 2, 0, 1),
    "soft_sign": D / (1 + abs(D)),
    "silu": D * SIGMOID,
    "swish": D * SIGMOID,
    "mish": D * numpy.tanh(SOFTPLUS),
    "log_sigmoid": -numpy.logaddexp(-D, 0),
    "elu": ELU,
    "celu": ELU,
    "selu": 1.0507009873554805 * numpy.where(D > 0, D, 1.6732632423543772 * ELU),
    "leaky_relu": numpy.where(D >= 0, D, 0.01 * D),
    "hard_tanh": numpy.clip(D, -1, 1),
    "hard_sigmoid": numpy.clip(D + 3, 0, 6) / 6,
    "hard_silu": D * numpy.clip(D + 3, 0, 6) / 6,
    "hard_swish": D * numpy.clip(D + 3, 0, 6) / 6,
    "squareplus": (D + numpy.sqrt(D * D + 4)) / 2,
    "gelu": D * 0.5 * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (D + 0.044715 * D**3))),
    "identity": D,
    "tanh": numpy.tanh(D),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name: str) -> None:
    fun = getattr(nn, name)
    numpy.testing.assert_allclose(fun(X), FORMULAS[name], rtol=1e-5, atol=1e-6)
    slope = anima.vmap(anima.grad(fun))(X)
    assert numpy.isfinite(slope).all()


@pytest.mark.parametrize(
    ("name", "points", "slopes"),
    [
        ("relu", [0.0, -0.0, 1e-30, numpy.inf], [0, 0, 1, 1]),
        ("relu6", [0.0, 6.0, 5.9, 6.1], [0, 0, 1, 0]),
        ("softplus", [0.0, 200.0, -200.0, numpy.inf, -numpy.inf], [0.5, 1, 0, 1, 0]),
        ("elu", [0.0, 200.0], [1, 1]),
        ("leaky_relu", [0.0, -1.0], [1, 0.01]),
        ("hard_tanh", [1.0, 2.0, -1.0], [1, 0, 1]),
        ("log_sigmoid", [0.0, -200.0, 200.0], [0.5, 1, 0]),
        ("log1mexp", [0.0, 1.0, numpy.inf, 1e-30], [numpy.inf, 1 / numpy.expm1(1), 0, 1e30]),
    ],
)
def test_slopes_at_edges(name: str, points: list[float], slopes: list[float]) -> None:
    fun = getattr(nn, name)
    for point, slope in zip(points, slopes):
        numpy.testing.assert_allclose(anima.grad(fun)(point), slope, rtol=1e-5)
        numpy.testing.assert_allclose(anima.jit(anima.grad(fun))(point), slope, rtol=1e-5)


def test_second_derivatives() -> None:
    numpy.testing.assert_allclose(anima.grad(anima.grad(nn.softplus))(0.0), 0.25)
    numpy.testing.assert_allclose(
        anima.grad(anima.grad(nn.log1mexp))(1.0), -numpy.e / numpy.expm1(1) ** 2, rtol=1e-5
    )
    assert anima.grad(anima.grad(nn.log1mexp))(numpy.inf) == 0


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "logmeanexp"])
@pytest.mark.parametrize("hidden", [3e38, numpy.inf, -numpy.inf, numpy.nan, 5.0])
def test_what_a_mask_hides_has_no_effect(name: str, hidden: float) -> None:
    """Values and derivatives are those of the elements that take part, whatever the others hold."""
    fun = getattr(nn, name)
    x = np.array([1.0, hidden, 2.0])
    mask = numpy.array([True, False, True])
    weights = numpy.array([1.0, 2.0]) if "softmax" in name else 1.0
    value, slope = anima.value_and_grad(lambda x: _weigh(fun(x, where=mask), mask, weights))(x)
    told, rest = anima.value_and_grad(lambda x: (fun(x) * weights).sum())(x[numpy.array([0, 2])])
    numpy.testing.assert_allclose(value, told, rtol=1e-6)
    numpy.testing.assert_allclose(slope, [rest[0], 0, rest[1]], rtol=1e-5, atol=1e-7)


def _weigh(result: Any, mask: Any, weights: Any) -> Any:
    return (result[numpy.nonzero(mask)] * weights).sum() if result.ndim else result * weights


def test_nothing_takes_part() -> None:
    x, none = np.array([1.0, 3e38, -2.0]), numpy.zeros(3, bool)
    assert nn.softmax(x, where=none).tolist() == [0, 0, 0]
    assert nn.logsumexp(x, where=none) == -numpy.inf
    assert anima.grad(lambda x: nn.softmax(x, where=none).sum())(x).tolist() == [0, 0, 0]
    assert anima.grad(lambda x: nn.logsumexp(x, where=none))(x).tolist() == [0, 0, 0]


def test_infinities() -> None:
    low = -numpy.inf
    assert nn.logsumexp(np.array([low, low])) == low
    assert nn.logsumexp(np.array([numpy.inf, 1.0])) == numpy.inf
    numpy.testing.assert_allclose(nn.softmax(np.array([low, 1.0, 1.0])), [0, 0.5, 0.5])
    slope = anima.grad(nn.logsumexp)(np.array([low, 1.0, 1.0]))
    numpy.testing.assert_allclose(slope, [0, 0.5, 0.5])


def test_signs() -> None:
    value, sign = nn.logsumexp(np.array([0.0, 1.0]), b=np.array([1.0, -1.0]), return_sign=True)
    told = scipy.special.logsumexp([0.0, 1.0], b=[1.0, -1.0], return_sign=True)
    numpy.testing.assert_allclose([value, sign], told, rtol=1e-6)


def test_unsigned_integers() -> None:
    x = numpy.array([1, 200], "uint8")
    assert nn.hard_tanh(x).tolist() == [1, 1]
    numpy.testing.assert_allclose(nn.softmax(x), [0, 1], atol=1e-30)
    assert nn.relu6(x).dtype == "float32"


@pytest.mark.parametrize("name", ["relu", "relu6", "elu", "selu", "leaky_relu", "hard_tanh", "sparse_plus"])
def test_complex_numbers_of_the_program(name: str) -> None:
    call = getattr(nn, name)
    for x in (1j, -2 + 1j, 3 - 1j):
        assert anima.jit(lambda x=x: call(x))() == anima.jit(call)(x)


def test_standardize() -> None:
    x = numpy.array([1e4, 1e4 + 1, 1e4 + 3, 7.0], "float32")
    mask = numpy.array([True, True, True, False])
    told = (x.astype("f8") - x[:3].mean(dtype="f8")) / numpy.sqrt(x[:3].var(dtype="f8") + 1e-5)
    for algorithm in ("fast", "stable"):
        numpy.testing.assert_allclose(nn.standardize(x, where=mask, algorithm=algorithm), told, rtol=1e-3)
    with pytest.raises(ValueError, match="algorithm must be"):
        nn.standardize(x, algorithm="quick")


def test_one_hot() -> None:
    out = nn.one_hot(np.array([[0, 2], [-1, 3]]), 3, dtype="int8", axis=0)
    assert out.dtype == "int8"
    assert (
        out.tolist()
        == numpy.moveaxis(numpy.array([[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]), -1, 0).tolist()
    )
    with pytest.raises(ValueError, match="axis 3 is out of bounds"):
        nn.one_hot(out[0], 3, axis=3)
    with pytest.raises(errors.ArgumentError, match="num_classes must not be negative"):
        nn.one_hot(1, -1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("own_rule", [False, True])
def test_derivatives_of_softmax(own_rule: bool, masked: bool) -> None:
    with anima.softmax_custom_jvp(own_rule), anima.enable_x64(True):
        x, direction = numpy.random.default_rng(0).normal(size=(2, 3, 5))
        where = x > -0.5 if masked else None
        f = lambda x: nn.softmax(x, where=where)
        y = numpy.asarray(f(x))
        rule = "custom_jvp" if masked else "softmax["
        assert (rule in str(anima.make_jaxpr(f)(x))) == own_rule
        # d y_i / d x_j = y_i (delta_ij - y_j), row by row
        slopes = numpy.einsum("ri,ij->rij", y, numpy.eye(5)) - numpy.einsum("ri,rj->rij", y, y)
        want = numpy.einsum("rij,rj->ri", slopes, direction)
        for call in (f, anima.jit(f)):
            numpy.testing.assert_allclose(anima.jvp(call, (x,), (direction,))[1], want, atol=1e-14)
            numpy.testing.assert_allclose(anima.vjp(call, x)[1](direction)[0], want, atol=1e-14)
        total = lambda x: (f(x) * direction).sum()
        step = 1e-5 * direction
        numeric = (anima.grad(total)(x + step) - anima.grad(total)(x - step)) / 2e-5
        curvature = anima.jvp(anima.grad(total), (x,), (direction,))[1]
        numpy.testing.assert_allclose(curvature, numeric, atol=1e-8)
        each = anima.vmap(lambda row, w: nn.softmax(row, where=w))(x, numpy.ones_like(x, bool))
        numpy.testing.assert_allclose(each, nn.softmax(x), atol=1e-15)


def test_narrow_gelu_is_rounded_once() -> None:
    x = numpy.linspace(-4, 4, 101).astype("bfloat16")
    want = nn.gelu(x.astype("float32")).astype("bfloat16")
    for f in (nn.gelu, anima.jit(nn.gelu)):
        assert f(x).dtype == "bfloat16" and numpy.array_equal(f(x), want)

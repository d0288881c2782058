"""Parameters out of their domain: numbers and NumPy arrays raise, wherever they are known; arrays and tracers do not."""

from __future__ import annotations

import inspect
import re
import traceback
from typing import Any

import ml_dtypes
import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import random
from anima.random import domains
from tests.random.test_bad_input import ARGUMENTS, ONES

NAN, INF = float("nan"), float("inf")

#: Of each parameter: what is out of its domain, and what is just inside.
AT_LEAST_0: tuple[list[Any], list[Any]] = ([-1e-30, -1, -INF], [0, 0.0, 1e-30, INF, NAN])
ABOVE_0: tuple[list[Any], list[Any]] = ([-1e-30, -1, 0, 0.0, -INF], [1e-30, INF, NAN])
PROBABILITY: tuple[list[Any], list[Any]] = ([-1e-9, 1.000001, INF, -INF], [0.0, 1.0, NAN])

PARAMETERS: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {
    ("ball", "p"): ABOVE_0,
    ("bernoulli", "p"): PROBABILITY,
    ("beta", "a"): AT_LEAST_0,
    ("beta", "b"): AT_LEAST_0,
    ("binomial", "n"): AT_LEAST_0,
    ("binomial", "p"): PROBABILITY,
    ("chisquare", "df"): AT_LEAST_0,
    ("dirichlet", "alpha"): ([ONES - 2, onp.array([1, -1])], [0 * ONES, ONES * NAN, onp.array([1, 0])]),
    ("double_sided_maxwell", "scale"): AT_LEAST_0,
    ("f", "dfden"): ABOVE_0,
    ("f", "dfnum"): ABOVE_0,
    ("gamma", "a"): AT_LEAST_0,
    ("generalized_normal", "p"): AT_LEAST_0,
    ("geometric", "p"): PROBABILITY,
    ("loggamma", "a"): AT_LEAST_0,
    ("lognormal", "sigma"): AT_LEAST_0,
    ("multinomial", "n"): AT_LEAST_0,
    ("multinomial", "p"): ([-ONES, onp.float32([1, -0.1])], [0 * ONES, 3 * ONES, onp.float32([1, NAN])]),
    ("multivariate_normal", "cov"): (
        [
            -onp.eye(2),
            onp.array([[1, 2], [2, 1]]),
            onp.array([[1, 0.5], [0, 1]]),
            onp.array([[0, 1], [1, 0]]),
        ],
        [onp.zeros((2, 2)), onp.ones((2, 2)), onp.full((2, 2), NAN), onp.full((2, 2), INF)]
        + [onp.array([[1, 0.1], [0.1000001, 1e-2]]), onp.array([[2, -1], [-1, 2]])],
    ),
    ("pareto", "b"): AT_LEAST_0,
    ("permutation", "x"): ([-1, onp.int32(-5), onp.array(-2)], [0, onp.int8(3), onp.array([-1, -2])]),
    ("poisson", "lam"): ([-1e-30, -1, -INF], [0, 0.0, 1e-30, NAN]),
    ("randint", "maxval"): ([-1, onp.int8(-3), onp.array(-1)], [0, 1]),
    ("randint", "minval"): ([4, onp.array(4)], [3, 2, -7]),
    ("rayleigh", "scale"): AT_LEAST_0,
    ("t", "df"): ABOVE_0,
    ("triangular", "left"): ([0.6, 2, INF], [0.5, -INF, NAN]),
    ("triangular", "mode"): ([-0.1, 1.1, INF], [0.0, 1.0, NAN]),
    ("triangular", "right"): ([0.4, -1, -INF], [0.5, INF, NAN]),
    ("truncated_normal", "lower"): ([1.1, INF], [1.0, -INF, NAN]),
    ("truncated_normal", "upper"): ([-1.1, -INF], [-1.0, INF, NAN]),
    ("wald", "mean"): ABOVE_0,
    ("weibull_min", "concentration"): AT_LEAST_0,
    ("weibull_min", "scale"): AT_LEAST_0,
}
#: Any number is one of these, or it is a size or something else with checks of its own.
ANYTHING = {
    ("ball", "d"), ("categorical", "logits"), ("choice", "a"), ("double_sided_maxwell", "loc"), ("fold_in", "data"),
    ("multivariate_normal", "mean"), ("orthogonal", "n"), ("split", "num"), ("randint", "shape"),
}  # fmt: skip


def drawn(name: str, **given: Any) -> Any:
    return getattr(random, name)(random.key(0), **{**ARGUMENTS[name], **given})


def test_the_table_has_every_parameter() -> None:
    required = {(name, argument) for name, given in ARGUMENTS.items() for argument in given}
    assert required | {("ball", "p")} == set(PARAMETERS) | ANYTHING


@pytest.mark.parametrize(("name", "argument"), PARAMETERS)
def test_known_values(name: str, argument: str) -> None:
    outside, inside = PARAMETERS[name, argument]
    message = rf"^{name}: (?=.*\b{argument}\b)(?=.* must be ).*, got "
    for bad in outside:
        forms = [bad]
        if type(bad) in (int, float) and name != "permutation":
            forms += [onp.float32(bad), onp.array(bad), onp.float64([bad, bad])]
        for value in forms:
            with pytest.raises(ValueError, match=message):
                drawn(name, **{argument: value})
            with pytest.raises(ValueError, match=message):
                anima.jit(lambda v=value: drawn(name, **{argument: v}))()
            with pytest.raises(ValueError, match=message):
                anima.vmap(lambda k, v=value: drawn(name, **{argument: v}))(onp.arange(2))
    parameters = list(inspect.signature(getattr(random, name)).parameters)
    assert argument in parameters
    for good in inside:
        shape = anima.eval_shape(lambda v=good: drawn(name, **{argument: v}))
        assert shape.dtype is not None


@pytest.mark.parametrize(("name", "argument"), PARAMETERS)
def test_arrays_are_not_looked_at(name: str, argument: str) -> None:
    if name == "permutation":  # which needs a known number
        return
    array = np.asarray(PARAMETERS[name, argument][0][0])
    captured = anima.eval_shape(lambda: drawn(name, **{argument: array}))
    traced = anima.eval_shape(lambda v: drawn(name, **{argument: v}), array)
    assert captured == traced


def test_what_arrays_give() -> None:
    key = random.key(0)
    for value in (np.array(-1.0), np.array(NAN)):
        assert random.poisson(key, value) == -1
        assert onp.isnan(random.gamma(key, value))
    assert random.poisson(key, NAN) == -1
    assert onp.isnan(random.gamma(key, NAN))
    assert anima.jit(lambda p: random.bernoulli(key, p))(1.5)


def test_weights_of_a_choice() -> None:
    key = random.key(0)
    for bad in (onp.array([0.5, -0.5]), onp.zeros(2), onp.array([0, -1])):
        with pytest.raises(ValueError, match=r"^choice: p must be 0 or more, and not 0 everywhere, got"):
            random.choice(key, 2, (3,), p=bad)
        with pytest.raises(ValueError, match=r"^choice: p must be 0 or more"):
            random.choice(key, 2, (1,), False, bad)
    assert random.choice(key, 2, (3,), p=onp.array([0, 7])).tolist() == [1, 1, 1]
    for replace in (True, False):
        assert random.choice(key, 0, (2, 0), replace, onp.zeros(0)).shape == (2, 0)
        assert random.choice(key, onp.zeros((0, 3)), (0,), replace, onp.zeros(0)).shape == (0, 3)
    assert random.choice(key, 2, (2,), p=onp.array([NAN, 1])).shape == (2,)


def test_bounds_of_uniform_numbers() -> None:
    key = random.key(0)
    for given in ({"minval": 2}, {"maxval": -1.0}, {"minval": 1, "maxval": onp.array([2, 0])}):
        with pytest.raises(ValueError, match=r"^uniform: minval must be at most maxval, got minval="):
            random.uniform(key, (2,), **given)
    with pytest.raises(ValueError, match="minval must be at most maxval, got minval=3, maxval=1.0"):
        random.uniform(key, (), onp.float32, 3)
    assert random.uniform(key, (), minval=1, maxval=1) == 1
    assert random.uniform(key, (2,), minval=onp.array([0, 1]), maxval=2).shape == (2,)


def test_messages() -> None:
    key = random.key(0)
    with pytest.raises(ValueError) as caught:
        random.poisson(key, onp.array([[1.0, 2.0], [3.0, -4.5]]))
    assert str(caught.value) == "poisson: lam must be 0 or more, got -4.5 at index (1, 1)"
    with pytest.raises(ValueError) as caught:
        random.truncated_normal(key, onp.array([[0.0], [1.0]]), onp.array([2.0, 0.5]))
    assert str(caught.value) == (
        "truncated_normal: lower must be at most upper, got lower=1.0, upper=0.5 at index (1, 1)"
    )
    with pytest.raises(ValueError) as caught:
        random.binomial(key, p=1.5, n=2)
    assert str(caught.value) == "binomial: p must be between 0 and 1, got 1.5"
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename == __file__  # not one of the library


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e5m2", "float16", "int4", "int8", "int64"])
def test_every_dtype_is_looked_at(dtype: str) -> None:
    for value in (onp.array([1, -1], dtype), onp.array(-1, dtype)[()]):
        with pytest.raises(ValueError, match="poisson: lam must be 0 or more, got -1"):
            random.poisson(random.key(0), value)
    value = onp.array([0, 1], dtype)
    assert anima.eval_shape(lambda: random.poisson(random.key(0), value)).shape == (2,)


def test_what_cannot_be_compared_is_left_to_the_function() -> None:
    key = random.key(0)
    with pytest.raises(ValueError, match="broadcast"):
        random.truncated_normal(key, onp.ones(3), onp.ones(2))
    with pytest.raises(TypeError, match="argument a must be real"):
        random.gamma(key, onp.complex64(-1j))
    with pytest.raises(TypeError, match="argument a must be an array or a scalar, got list"):
        random.gamma(key, [[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="missing .* 'a'"):
        random.gamma(key)
    assert domains.known(onp.array(["a"])) is None
    assert domains.known(ml_dtypes.bfloat16(2)) == 2
    assert domains.known(np.ones(2)) is None
    assert domains.known([1, [2.0]]) is None


def test_derivatives_go_through_what_is_known() -> None:
    key = random.key(0)
    slope = anima.grad(lambda a: random.beta(key, a, 2.0))(1.5)
    assert onp.isfinite(slope)
    with pytest.raises(ValueError, match="beta: b must be 0 or more"):
        anima.grad(lambda a: random.beta(key, a, -2.0))(1.5)
    assert onp.isnan(anima.grad(lambda a: random.gamma(key, a))(-1.5))


METHODS: dict[str, list[dict[str, Any]]] = {
    "ball": [{"d": 2, "p": 0}],
    "bernoulli": [{"p": 2.0}],
    "beta": [{"a": -1, "b": 1}, {"a": 1, "b": -1}],
    "binomial": [{"n": -1, "p": 0.5}, {"n": 3, "p": 1.5}],
    "chisquare": [{"df": -1}],
    "choice": [{"a": 2, "p": [0, 0]}, {"a": 2, "p": [1, -1]}],
    "dirichlet": [{"alpha": [1, -1]}],
    "exponential": [{"scale": -1}],
    "f": [{"dfnum": 0, "dfden": 1}, {"dfnum": 1, "dfden": 0}],
    "gamma": [{"shape": -1}, {"shape": 1, "scale": -1}],
    "generalized_normal": [{"p": -1}],
    "geometric": [{"p": -0.5}],
    "gumbel": [{"scale": -1}],
    "laplace": [{"scale": -1}],
    "logistic": [{"scale": -1}],
    "lognormal": [{"sigma": -1}],
    "maxwell": [{"scale": -1}],
    "multinomial": [{"n": -1, "pvals": [1, 1]}, {"n": 1, "pvals": [1, -1]}],
    "multivariate_normal": [{"mean": [0, 0], "cov": [[1, 2], [2, 1]]}],
    "negative_binomial": [{"n": 0, "p": 0.5}, {"n": 1, "p": 2.0}],
    "normal": [{"scale": -1}, {"scale": onp.float32([1, -1])}],
    "pareto": [{"a": -1}],
    "poisson": [{"lam": -1}],
    "power": [{"a": 0}],
    "rayleigh": [{"scale": -1}],
    "standard_gamma": [{"shape": -1}],
    "standard_t": [{"df": 0}],
    "triangular": [{"left": 0, "mode": 2, "right": 1}],
    "truncated_normal": [{"lower": 1, "upper": 0}],
    "uniform": [{"low": 1, "high": 0}],
    "wald": [{"mean": 0, "scale": 1}, {"mean": 1, "scale": 0}],
    "weibull": [{"a": -1}],
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_generators(name: str) -> None:
    """They refuse before the state advances."""
    rng = random.Generator(3)
    before = repr(rng)
    for given in METHODS[name]:
        with pytest.raises(ValueError, match=rf"^Generator\.{name}: \w+ must be ") as caught:
            getattr(rng, name)(**given)
        assert any(re.search(rf"\b{argument}\b", str(caught.value)) for argument in given)
    assert repr(rng) == before

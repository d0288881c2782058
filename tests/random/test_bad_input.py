"""Misuse of every function: what is no key, no shape or no parameter, and keys of two kinds together.

Each message names the function and the argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax, random
from anima.errors import ConcretizationTypeError

ONES = onp.ones(2, onp.float32)

#: Every function that draws or derives, with arguments that are right.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ball": {"d": 2},
    "bernoulli": {"p": 0.5},
    "beta": {"a": 1.0, "b": 2.0},
    "binomial": {"n": 3.0, "p": 0.5},
    "bits": {},
    "categorical": {"logits": ONES},
    "cauchy": {},
    "chisquare": {"df": 1.0},
    "choice": {"a": 3},
    "dirichlet": {"alpha": ONES},
    "double_sided_maxwell": {"loc": 0.0, "scale": 1.0},
    "exponential": {},
    "f": {"dfnum": 1.0, "dfden": 1.0},
    "fold_in": {"data": 1},
    "gamma": {"a": 1.0},
    "generalized_normal": {"p": 2.0},
    "geometric": {"p": 0.5},
    "gumbel": {},
    "laplace": {},
    "loggamma": {"a": 1.0},
    "logistic": {},
    "lognormal": {"sigma": 1.0},
    "maxwell": {},
    "multinomial": {"n": 3.0, "p": ONES},
    "multivariate_normal": {"mean": ONES, "cov": onp.eye(2, dtype=onp.float32)},
    "normal": {},
    "orthogonal": {"n": 2},
    "pareto": {"b": 1.0},
    "permutation": {"x": 3},
    "poisson": {"lam": 1.0},
    "rademacher": {},
    "randint": {"shape": (), "minval": 0, "maxval": 3},
    "rayleigh": {"scale": 1.0},
    "split": {"num": 2},
    "t": {"df": 1.0},
    "triangular": {"left": 0.0, "mode": 0.5, "right": 1.0},
    "truncated_normal": {"lower": -1.0, "upper": 1.0},
    "uniform": {},
    "wald": {"mean": 1.0},
    "weibull_min": {"scale": 1.0, "concentration": 1.0},
}
SHAPED = [name for name in ARGUMENTS if "shape" in inspect.signature(getattr(random, name)).parameters]
PARAMETERS = [
    (name, argument) for name, given in ARGUMENTS.items() for argument in given if argument != "shape"
]


def test_the_table_has_every_function() -> None:
    others = {"Generator", "PRNGKey", "clone", "key", "key_data", "key_dtype", "key_impl", "wrap_key_data"}
    public = {n for n in dir(random) if inspect.isroutine(getattr(random, n)) or callable(getattr(random, n))}
    drawing = {n for n in public if "key" in inspect.signature(getattr(random, n)).parameters}
    assert drawing - others == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_is_no_key(name: str) -> None:
    draw = getattr(random, name)
    for bad in (3, 1.5, "a", None, [0, 0], ONES, onp.zeros(3, onp.uint32), random.PRNGKey(0, impl="rbg")):
        with pytest.raises(TypeError, match=rf"^{name}: key must be a random key, as random\.key"):
            draw(bad, **ARGUMENTS[name])
    with pytest.raises(ValueError, match=rf"^{name} accepts a single key.*\(3,\).*use vmap"):
        draw(random.split(random.key(0), 3), **ARGUMENTS[name])


@pytest.mark.parametrize("name", SHAPED)
def test_what_is_no_shape(name: str) -> None:
    draw, given = getattr(random, name), {k: v for k, v in ARGUMENTS[name].items() if k != "shape"}
    key = random.key(0)
    for bad in (1.5, "ab", (-1,), (2, 1.5), onp.float32(2)):
        with pytest.raises((TypeError, ValueError), match=rf"{name}\b.*\bshape"):
            draw(key, shape=bad, **given)
    with pytest.raises((TypeError, ConcretizationTypeError), match=name):
        anima.jit(lambda n: draw(key, shape=(n,), **given))(3)


@pytest.mark.parametrize(
    ("name", "argument", "word"),
    [("split", "num", "num"), ("orthogonal", "n", "n"), ("orthogonal", "m", "n or m"), ("ball", "d", "d"),
     ("permutation", "x", "x"), ("choice", "a", "a"), ("choice", "shape", "shape")],
)  # fmt: skip
def test_sizes_are_known_integers(name: str, argument: str, word: str) -> None:
    def draw(value: Any) -> Any:
        return getattr(random, name)(random.key(0), **{**ARGUMENTS[name], argument: value})

    for bad in (1.5, onp.float32(2), -1, "ab"):
        if (name, argument, bad) == ("choice", "a", -1):
            continue
        with pytest.raises((TypeError, ValueError), match=rf"^{name}\b.*\b{word}\b"):
            draw(bad)
    with pytest.raises(TypeError, match=rf"(?s)\b{name}\b.*argument `value` of draw"):
        anima.jit(draw)(3)
    with pytest.raises(ValueError, match="choice: a must be greater than 0.*got -1"):
        random.choice(random.key(0), -1)


@pytest.mark.parametrize(("name", "argument"), PARAMETERS)
def test_what_is_no_parameter(name: str, argument: str) -> None:
    for bad in ("x", None, object(), 1j):
        with pytest.raises((TypeError, ValueError), match=rf"^(?=.*\b{name}\b)(?=.*\b{argument}\b)"):
            getattr(random, name)(random.key(0), **{**ARGUMENTS[name], argument: bad})


@pytest.mark.parametrize("make", [random.key, random.PRNGKey])
def test_what_is_no_seed(make: Callable[..., Any]) -> None:
    name = make.__name__
    for bad in (1.5, onp.float32(2), "a", None, [1], 1j, onp.bool_(True), random.key(0)):
        with pytest.raises(TypeError, match=rf"^{name}: seed must be an integer, got"):
            make(bad)
    with pytest.raises(TypeError, match=rf"^{name} accepts a scalar seed.*\(2,\).*use vmap"):
        make(onp.arange(2))
    with pytest.raises(OverflowError, match=rf"^{name}: seed {2**70} does not fit into 64 bits"):
        make(2**70)
    with pytest.raises(
        ValueError, match=rf"^{name}: impl names the unknown generator 'philox'.*'philox4x32'"
    ):
        make(0, impl="philox")
    assert random.key_data(make(-1)).tolist() == [0, 0xFFFFFFFF]  # negative ones are admitted, as in JAX


@pytest.mark.parametrize(
    "mix",
    [
        lambda typed, raw: np.stack([typed, raw]),
        lambda typed, raw: np.where(True, typed, raw),
        lambda typed, raw: np.concatenate([typed[None], raw]),
        lambda typed, raw: typed == raw,
        lambda typed, raw: typed + raw,
        lambda typed, raw: lax.select(onp.bool_(True), typed, raw),
        lambda typed, raw: lax.cond(True, lambda: typed, lambda: raw),
        lambda typed, raw: lax.scan(lambda c, _: (raw, None), typed, None, length=2),
        lambda typed, raw: random.wrap_key_data(typed, impl="rbg"),
    ],
)
def test_keys_of_two_kinds(mix: Callable[[Any, Any], Any]) -> None:
    """Raw with typed ones, and of two generators: the message names the dtypes."""
    typed = random.key(0)
    for other in (random.PRNGKey(1), random.key(1, impl="rbg"), random.key(1, impl="philox4x32")):
        with pytest.raises(TypeError, match=r"key<fry>"):
            mix(typed, other)


def test_words_of_another_generator() -> None:
    for bad in (
        onp.zeros(3, onp.uint32),
        onp.zeros((2, 4), onp.uint32),
        onp.zeros(2, onp.int32),
        onp.zeros(2),
    ):
        with pytest.raises(
            TypeError, match=r"^wrap_key_data: key_bits_array must be .*'threefry2x32'.*\(2,\)"
        ):
            random.wrap_key_data(bad)
    with pytest.raises(TypeError, match=r"key_bits_array must be a uint32 array, got typed keys"):
        random.wrap_key_data(random.key(0))
    raw = random.PRNGKey(0, impl="philox2x32")
    with pytest.raises(TypeError, match=r"raw key of 'philox2x32'.*random\.wrap_key_data\(key, impl="):
        random.normal(raw)

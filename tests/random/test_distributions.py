"""Distributions against SciPy, their bounds, dtypes and parameters, and their derivatives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy import special, stats

import anima
from anima import random
from anima.config import enable_x64, high_dynamic_range_gumbel, threefry_partitionable
from anima.lax.rng import normal_quantile

KEY = np.array([17, 42], np.uint32)
COUNT = 20_000
# The numbers are always the same, so a test that passes keeps passing; the level is that of a single look.
LEVEL = 1e-3

CONTINUOUS: dict[str, tuple[Callable[..., Any], Any]] = {
    "uniform": (lambda k, s, d: random.uniform(k, s, d), stats.uniform()),
    "uniform of an interval": (lambda k, s, d: random.uniform(k, s, d, -2.0, 5.0), stats.uniform(-2, 7)),
    "normal": (lambda k, s, d: random.normal(k, s, d), stats.norm()),
    "truncated normal": (
        lambda k, s, d: random.truncated_normal(k, -1.0, 2.5, s, d),
        stats.truncnorm(-1, 2.5),
    ),
    "lognormal": (lambda k, s, d: random.lognormal(k, 0.5, s, d), stats.lognorm(0.5)),
    "maxwell": (lambda k, s, d: random.maxwell(k, s, d), stats.maxwell()),
    "wald": (lambda k, s, d: random.wald(k, 2.5, s, d), stats.invgauss(2.5)),
    "exponential": (lambda k, s, d: random.exponential(k, s, d), stats.expon()),
    "pareto": (lambda k, s, d: random.pareto(k, 3.0, s, d), stats.pareto(3)),
    "rayleigh": (lambda k, s, d: random.rayleigh(k, 2.0, s, d), stats.rayleigh(scale=2)),
    "weibull_min": (lambda k, s, d: random.weibull_min(k, 2.0, 1.5, s, d), stats.weibull_min(1.5, scale=2)),
    "gumbel": (lambda k, s, d: random.gumbel(k, s, d), stats.gumbel_r()),
    "gumbel, high": (lambda k, s, d: random.gumbel(k, s, d, mode="high"), stats.gumbel_r()),
    "laplace": (lambda k, s, d: random.laplace(k, s, d), stats.laplace()),
    "logistic": (lambda k, s, d: random.logistic(k, s, d), stats.logistic()),
    "cauchy": (lambda k, s, d: random.cauchy(k, s, d), stats.cauchy()),
    "triangular": (lambda k, s, d: random.triangular(k, -1.0, 0.5, 3.0, s, d), stats.triang(0.375, -1, 4)),
}


@pytest.mark.parametrize("partitionable", [False, True])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_kolmogorov_and_smirnov(name: str, partitionable: bool) -> None:
    draw, law = CONTINUOUS[name]
    with threefry_partitionable(partitionable):
        x = np.asarray(draw(KEY, (COUNT,), np.float32), np.float64)
    assert stats.kstest(x, law.cdf).pvalue > LEVEL


def test_normal_numbers_take_the_square_rounded() -> None:
    """As XLA's formula does: it is off the inverse error function by 80 units near the ends, and then so are JAX's numbers."""
    steps = np.concatenate([np.arange(1, 2000), np.geomspace(2000, 2**23 - 1, 2000).astype(np.int64)])
    u = ((steps - 2.0**23) / 2**23).astype(np.float32)  # as many steps of 2**-23 above -1
    root = np.sqrt((u * u).astype(np.float64))
    want = np.where(root > 0, special.erfinv(root) / np.maximum(root, 1e-30), 0) * u
    programs = {
        "plain": normal_quantile,
        "mapped": anima.vmap(normal_quantile),
        "jit": anima.jit(normal_quantile),
    }
    found = {name: np.asarray(program(u)) for name, program in programs.items()}
    np.testing.assert_array_less(abs(found["jit"] - want) / np.spacing(abs(want).astype(np.float32)), 8)
    assert all(value.tobytes() == found["jit"].tobytes() for value in found.values())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_in_64_bits(name: str) -> None:
    draw, law = CONTINUOUS[name]
    with enable_x64(True):
        x = draw(KEY, (COUNT,), None)
        assert x.dtype == np.float64
        assert stats.kstest(np.asarray(x), law.cdf).pvalue > LEVEL


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_narrow_dtypes(name: str, dtype: Any) -> None:
    """Their steps are coarse, but quantiles are right to about a step."""
    draw, law = CONTINUOUS[name]
    x = draw(KEY, (COUNT,), dtype)
    assert x.dtype == dtype
    quantiles = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    found = np.quantile(np.asarray(x, np.float64), quantiles)
    expected = law.ppf(quantiles)
    density = law.pdf(expected)
    tolerance = 0.02 / density + 2.0**-6 * np.abs(expected)
    assert (np.abs(found - expected) < tolerance).all()


def test_double_sided_maxwell() -> None:
    x = np.asarray(random.double_sided_maxwell(KEY, 1.0, 2.0, (COUNT,)), np.float64)
    assert stats.kstest(np.abs(x - 1) / 2, stats.maxwell().cdf).pvalue > LEVEL
    assert stats.binomtest(int((x > 1).sum()), COUNT).pvalue > LEVEL
    assert random.double_sided_maxwell(KEY, np.zeros(2, np.float32), 1.0, (3,)).shape == (3, 2)


def test_complex_normal() -> None:
    z = np.asarray(random.normal(KEY, (COUNT,), np.complex64))
    assert z.dtype == np.complex64
    for part in (z.real, z.imag):
        assert stats.kstest(part.astype(np.float64), stats.norm(scale=np.sqrt(0.5)).cdf).pvalue > LEVEL
    assert abs(np.corrcoef(z.real, z.imag)[0, 1]) < 4 / np.sqrt(COUNT)


def test_moments_of_a_million_normals() -> None:
    x = np.asarray(random.normal(KEY, (1_000_000,)), np.float64)
    for power, (moment, spread) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        assert abs((x**power).mean() - moment) < 4 * np.sqrt(spread / len(x))


# --- integers ---------------------------------------------------------------------------------


def chi_square(values: Any, probabilities: Any) -> float:
    """The probability of such a deviation of counts of 0, 1, 2, ..."""
    probabilities = np.asarray(probabilities, np.float64)
    counts = np.bincount(np.asarray(values).ravel(), minlength=len(probabilities))
    assert len(counts) == len(probabilities)
    return float(stats.chisquare(counts, counts.sum() * probabilities / probabilities.sum()).pvalue)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
@pytest.mark.parametrize("partitionable", [False, True])
def test_integers(dtype: Any, partitionable: bool) -> None:
    with threefry_partitionable(partitionable):
        x = random.randint(KEY, (COUNT,), 3, 100, dtype)
    assert x.dtype == dtype
    assert chi_square(np.asarray(x).astype(int) - 3, np.ones(97)) > LEVEL


def test_integers_of_64_bits() -> None:
    with enable_x64(True):
        x = np.asarray(random.randint(KEY, (COUNT,), -(2**63), 2**63 - 1))
        assert x.dtype == np.int64
        assert stats.kstest(x.astype(np.float64) / 2.0**63, stats.uniform(-1, 2).cdf).pvalue > LEVEL
        y = np.asarray(random.randint(KEY, (COUNT,), 0, 1000, np.uint64))
        assert chi_square(y, np.ones(1000)) > LEVEL


def test_bits_are_fair() -> None:
    for dtype in (np.uint8, np.uint16, np.uint32):
        x = np.asarray(random.bits(KEY, (COUNT,), dtype))
        for bit in range(x.dtype.itemsize * 8):
            assert stats.binomtest(int((x >> dtype(bit) & dtype(1)).sum()), COUNT).pvalue > LEVEL / 10
    assert chi_square(random.bits(KEY, (COUNT,), np.uint8), np.ones(256)) > LEVEL


@pytest.mark.parametrize(
    ("low", "high", "dtype", "least", "most"),
    [
        (3, 3, np.int32, 3, 3),
        (3, anima.numpy.int32(1), np.int32, 3, 3),
        (-1000, 1000, np.int8, -128, 127),
        (500, 1000, np.int8, 127, 127),
        (500, 1000, np.uint8, 255, 255),
        (-5, 5, np.uint32, 0, 4),
        (-(2**31), 2**31 - 1, np.int32, -(2**31), 2**31 - 2),
        (0, np.uint32(2**31), np.int32, 0, 2**31 - 1),
        (0, np.uint32(2**32 - 1), np.uint32, 0, 2**32 - 2),
        (0.0, 10.0, np.int32, 0, 9),
        (False, True, np.int32, 0, 0),
        (-3, 3, ml_dtypes.int4, -3, 2),
    ],
)
def test_the_range_of_integers(low: Any, high: Any, dtype: Any, least: int, most: int) -> None:
    x = np.asarray(random.randint(KEY, (4000,), low, high, dtype)).astype(np.int64)
    assert least <= x.min()
    assert x.max() <= most
    if most - least < 300:
        assert set(x.tolist()) == set(range(least, most + 1))
    else:
        assert x.max() - x.min() > 0.99 * (most - least)


def test_the_whole_range_of_64_bits() -> None:
    with enable_x64(True):
        x = np.asarray(random.randint(KEY, (1000,), -(2**31), 2**31, np.int32))
        assert x.max() > 2**31 - 2**24 and x.min() < -(2**31) + 2**24
        y = np.asarray(random.randint(KEY, (1000,), 0, np.uint64(2**64 - 1), np.uint64))
        assert y.max() > 2**64 - 2**57
    np.testing.assert_array_equal(random.randint(KEY, (0,), 0, 3), np.zeros(0, np.int32))


def test_bounds_broadcast() -> None:
    low, high = np.array([0, 10, 20]), np.array([[5], [100]])
    x = np.asarray(random.randint(KEY, (2, 3), anima.numpy.asarray(low), high))
    assert (x >= low).all()
    assert (x < np.maximum(high, low + 1)).all()
    y = np.asarray(random.uniform(KEY, (2, 3), minval=np.zeros((2, 1)), maxval=np.arange(1.0, 4.0)))
    assert (y >= 0).all() and (y < np.arange(1.0, 4.0)).all()


@pytest.mark.parametrize("mode", ["low", "high"])
def test_bernoulli(mode: str) -> None:
    for p in (0.0, 0.25, 0.9, 1.0):
        x = random.bernoulli(KEY, p, (COUNT,), mode)
        assert x.dtype == np.bool_
        assert stats.binomtest(int(x.sum()), COUNT, p).pvalue > LEVEL
    p = np.linspace(0, 1, 6, dtype=np.float32)
    assert random.bernoulli(KEY, p).shape == (6,)
    assert random.bernoulli(KEY).shape == ()


def test_rademacher_and_geometric() -> None:
    signs = np.asarray(random.rademacher(KEY, (COUNT,)))
    assert set(signs.tolist()) == {-1, 1}
    assert stats.binomtest(int((signs > 0).sum()), COUNT).pvalue > LEVEL
    assert random.rademacher(KEY, (3,), np.complex64).dtype == np.complex64
    waits = np.minimum(np.asarray(random.geometric(KEY, 0.3, (COUNT,))), 15)
    assert waits.min() == 1
    law = stats.geom(0.3)
    assert chi_square(waits - 1, [*law.pmf(range(1, 15)), law.sf(14)]) > LEVEL


# --- choices ----------------------------------------------------------------------------------


def test_permutations_are_all_as_probable() -> None:
    keys = random.split(KEY, 4800)
    found = np.asarray(anima.vmap(lambda key: random.permutation(key, 4))(keys))
    ranks = {order: rank for rank, order in enumerate(itertools.permutations(range(4)))}
    assert chi_square([ranks[tuple(line)] for line in found.tolist()], np.ones(24)) > LEVEL


def test_permutations_of_arrays() -> None:
    x = np.arange(60).reshape(3, 4, 5)
    for axis in (0, 1, -1):
        y = np.asarray(random.permutation(KEY, x, axis))
        order = np.asarray(random.permutation(KEY, x.shape[axis]))
        np.testing.assert_array_equal(y, np.take(x, order, axis))
        z = np.asarray(random.permutation(KEY, x, axis, independent=True))
        np.testing.assert_array_equal(np.sort(z, axis), x)
    assert sorted(random.permutation(KEY, 3000).tolist()) == list(range(3000))
    for empty in (0, np.zeros((0, 2))):
        assert random.permutation(KEY, empty).size == 0
    assert random.permutation(KEY, np.array(5)).tolist() == random.permutation(KEY, 5).tolist()


@pytest.mark.parametrize("replace", [True, False])
def test_weighted_choices(replace: bool) -> None:
    p = np.array([0.1, 0.2, 0.0, 0.4, 0.3], np.float32)
    keys = random.split(KEY, 5000)
    found = np.asarray(anima.vmap(lambda key: random.choice(key, 5, (2,), replace, p))(keys))
    kept = p > 0
    compact = np.cumsum(kept) - 1
    assert kept[found].all()
    assert chi_square(compact[found[:, 0]], p[kept]) > LEVEL
    if not replace:
        assert (found[:, 0] != found[:, 1]).all()
        second = sum(p[i] * np.where(np.arange(5) == i, 0, p) / (1 - p[i]) for i in range(5))
        assert chi_square(compact[found[:, 1]], second[kept]) > LEVEL


def test_choices_from_arrays() -> None:
    x = np.arange(12).reshape(3, 4)
    for axis, replace in itertools.product((0, 1, -1), (True, False)):
        y = np.asarray(random.choice(KEY, x, (3,), replace, axis=axis))
        lines = {tuple(line) for line in np.moveaxis(y, axis, 0).tolist()}
        assert lines <= {tuple(line) for line in np.moveaxis(x, axis, 0).tolist()}
        assert replace or len(lines) == 3
    assert random.choice(KEY, x, (2, 2), axis=1).shape == (3, 2, 2)
    assert random.choice(KEY, x, (2, 2), False, axis=1).shape == (3, 2, 2)
    assert random.choice(KEY, np.zeros((0,)), (0,)).shape == (0,)
    assert random.choice(KEY, 5).shape == ()
    np.testing.assert_array_equal(random.choice(KEY, 9, (4,), False), random.permutation(KEY, 9)[:4])


def test_categories() -> None:
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]], np.float32)
    for mode in (None, "low", "high"):
        x = np.asarray(random.categorical(KEY, np.log(p), shape=(COUNT, 2), mode=mode))
        for column, law in enumerate(p):
            assert chi_square(x[:, column], law) > LEVEL
    assert random.categorical(KEY, np.log(p)).shape == (2,)
    assert random.categorical(KEY, np.log(p), axis=0).shape == (3,)
    assert random.categorical(KEY, np.log(p[:1]), shape=(5, 4)).shape == (5, 4)
    y = np.asarray(random.categorical(KEY, np.log(p), axis=0, shape=(2, 3), replace=False))
    np.testing.assert_array_equal(np.sort(y, 0), np.repeat([[0], [1]], 3, 1))


def test_the_high_tail_is_an_option() -> None:
    high = random.gumbel(KEY, (5,), mode="high")
    with high_dynamic_range_gumbel(True):
        np.testing.assert_array_equal(random.gumbel(KEY, (5,)), high)
    assert not np.array_equal(random.gumbel(KEY, (5,)), high)


@pytest.mark.parametrize("count", [1, 12, 250, 251, 2000])
def test_a_sample_without_replacement_begins_a_permutation(count: int) -> None:
    """Few are selected and many sorted; whichever, they are the first of `permutation`."""
    matrix = np.arange(6000, dtype=np.float32).reshape(3, 2000)
    pools: list[tuple[Any, int]] = [(2000, 0), (np.arange(2000.0, dtype=np.float32), 0), (matrix, 1)]
    for pool, axis in pools:
        found = random.choice(KEY, pool, (count,), replace=False, axis=axis)
        whole = np.asarray(random.permutation(KEY, pool, axis=axis))
        np.testing.assert_array_equal(found, whole[..., :count])
    keys = random.split(random.key(0), 2000)
    chosen = random.key_data(random.choice(KEY, keys, (count,), replace=False))
    np.testing.assert_array_equal(chosen, random.key_data(random.permutation(KEY, keys))[:count])


def test_the_derivative_of_a_sample() -> None:
    draw = lambda x: random.choice(KEY, x, (4,), replace=False)
    x = np.arange(100, dtype=np.float32)
    gradient = np.asarray(anima.grad(lambda x: (draw(x) * np.arange(1.0, 5.0, dtype=np.float32)).sum())(x))
    expected = np.zeros(100, np.float32)
    expected[np.asarray(draw(x)).astype(int)] = np.arange(1, 5)
    np.testing.assert_array_equal(gradient, expected)


# --- streams ----------------------------------------------------------------------------------


THREEFRY_AND_PHILOX = ("threefry2x32", "philox2x32", "philox4x32", "threefry4x32")


@pytest.mark.parametrize("impl", THREEFRY_AND_PHILOX)
def test_split_streams_are_independent(impl: str) -> None:
    """Streams of split keys, of folded ones and of the old key: no correlation, and no dependence of another form."""
    key = random.key(17, impl=impl)
    split = random.split(key, 8)
    folded = anima.vmap(random.fold_in, (None, 0))(key, np.arange(100, 108))
    keys = [*split, *folded, key]
    u = np.stack([np.asarray(random.uniform(k, (COUNT,)), np.float64) for k in keys])
    correlation = np.corrcoef(u) - np.eye(len(u))
    assert np.abs(correlation).max() < 5 / np.sqrt(COUNT)
    for a, b in itertools.pairwise(range(len(u))):
        pairs = np.floor(u[a] * 16) * 16 + np.floor(u[b] * 16)
        assert chi_square(pairs.astype(int), np.ones(256)) > LEVEL / len(u)
        assert stats.kstest((u[a] + u[b]) % 1, "uniform").pvalue > LEVEL / len(u)


@pytest.mark.parametrize("impl", THREEFRY_AND_PHILOX)
def test_streams_do_not_overlap(impl: str) -> None:
    """No run of words of one stream is found in another, wherever it may begin.

    Each run has two words, so among the 600,000 runs of all streams equal ones would be there by chance once in 10**8 keys.
    """
    key = random.key(42, impl=impl)
    streams = anima.vmap(lambda k: random.bits(k, (20_000,)))
    split = streams(random.split(key, 10))
    folded = streams(anima.vmap(random.fold_in, (None, 0))(key, np.arange(10, 20)))
    nested = streams(random.split(random.fold_in(key, 3), 9))
    old = random.bits(key, (20_000,))[None]
    words = np.concatenate([np.asarray(s).astype(np.uint64) for s in (split, folded, nested, old)])
    runs = words[:, :-1] << np.uint64(32) | words[:, 1:]
    assert len(np.unique(runs)) == runs.size


@pytest.mark.parametrize("impl", THREEFRY_AND_PHILOX[:1] + THREEFRY_AND_PHILOX[2:])
def test_folded_keys_do_not_repeat(impl: str) -> None:
    """Of keys of 64 bits or more; those of philox2x32 have 32, of which some pairs of so many are equal by chance."""
    key = random.key(17, impl=impl)
    folded = anima.vmap(random.fold_in, (None, 0))(key, np.arange(5000, 10_000))
    keys = np.asarray(random.key_data(folded))
    more = np.asarray(random.key_data(random.split(key, 5000)))
    assert len({tuple(key) for key in np.concatenate([keys, more]).tolist()}) == 10_000
    words = np.asarray(anima.vmap(lambda key: random.bits(key, (4,)))(folded))
    assert len({tuple(line) for line in words.tolist()}) == 5000


def test_serial_correlation() -> None:
    u = np.asarray(random.uniform(KEY, (100_000,)), np.float64)
    for lag in (1, 2, 50_000):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 4.5 / np.sqrt(len(u) - lag)


# --- derivatives ------------------------------------------------------------------------------

PARAMETERS: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "uniform": (lambda a, b: random.uniform(KEY, (7,), minval=a, maxval=b), (-1.0, 2.0)),
    "truncated_normal": (lambda a, b: random.truncated_normal(KEY, a, b, (7,)), (-1.0, 2.0)),
    "lognormal": (lambda s: random.lognormal(KEY, s, (7,)), (0.5,)),
    "pareto": (lambda b: random.pareto(KEY, b, (7,)), (2.0,)),
    "rayleigh": (lambda s: random.rayleigh(KEY, s, (7,)), (2.0,)),
    "weibull_min": (lambda s, c: random.weibull_min(KEY, s, c, (7,)), (2.0, 1.5)),
    "double_sided_maxwell": (lambda m, s: random.double_sided_maxwell(KEY, m, s, (7,)), (1.0, 2.0)),
    "triangular": (lambda a, m, b: random.triangular(KEY, a, m, b, (7,)), (-1.0, 0.5, 3.0)),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_derivatives_by_parameters(name: str) -> None:
    draw, point = PARAMETERS[name]
    with enable_x64(True):
        jacobian = anima.jacfwd(draw, tuple(range(len(point))))(*point)
        reverse = anima.jacrev(draw, tuple(range(len(point))))(*point)
        for index, (column, other) in enumerate(zip(jacobian, reverse)):
            step = np.eye(len(point))[index] * 1e-6
            difference = (draw(*(point + step)) - draw(*(point - step))) / 2e-6
            np.testing.assert_allclose(column, difference, rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(other, column, rtol=1e-12)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [-1, (2, -1), 1.5, (2, 1.5), None, "a"])
def test_shapes_that_are_none(shape: Any) -> None:
    with pytest.raises(TypeError, match="shape"):
        random.uniform(KEY, shape)


def test_shapes_that_are_traced() -> None:
    with pytest.raises(TypeError):
        anima.jit(lambda n: random.normal(KEY, (n,)))(3)


@pytest.mark.parametrize("shape", [3, np.int64(3), [3], (np.int32(3),), np.array([3])])
def test_other_ways_to_write_a_shape(shape: Any) -> None:
    np.testing.assert_array_equal(random.uniform(KEY, shape), random.uniform(KEY, (3,)))
    np.testing.assert_array_equal(random.normal(key=KEY, shape=shape), random.normal(KEY, (3,)))


def test_a_dtype_that_the_mode_does_not_have_warns_each_time() -> None:
    for _ in range(2):
        with pytest.warns(UserWarning, match="float64"):
            x = random.uniform(KEY, (10,), dtype=np.float64)
        assert x.dtype == np.float32
    assert random.uniform(KEY, (10,), dtype=float).dtype == np.float32


ERRORS: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (ValueError, "`uniform` must be a float dtype, got int32", lambda: random.uniform(KEY, (), "int32")),
    (ValueError, "`normal` must be a float or complex", lambda: random.normal(KEY, (), "int32")),
    (ValueError, "`exponential` must be a float", lambda: random.exponential(KEY, (), "complex64")),
    (ValueError, "`bits` must be an unsigned int", lambda: random.bits(KEY, (), "int32")),
    (ValueError, "`geometric` must be an int", lambda: random.geometric(KEY, 0.5, (), "float32")),
    (TypeError, "randint only accepts integer dtypes", lambda: random.randint(KEY, (), 0, 1, "float32")),
    (TypeError, "float4", lambda: random.uniform(KEY, (), ml_dtypes.float4_e2m1fn)),
    (TypeError, "minval must be real", lambda: random.uniform(KEY, (), minval=1j)),
    (TypeError, "minval must be an integer", lambda: random.randint(KEY, (), 1j, 2)),
    (ValueError, "uniform parameter shapes", lambda: random.uniform(KEY, (3,), minval=np.zeros((2, 3)))),
    (ValueError, "Incompatible shapes", lambda: random.randint(KEY, (3,), np.zeros(2, int), 5)),
    (ValueError, "rademacher: dtype", lambda: random.rademacher(KEY, (), bool)),
    (TypeError, "bernoulli: probability p", lambda: random.bernoulli(KEY, 1)),
    (ValueError, "bernoulli: mode", lambda: random.bernoulli(KEY, 0.5, (), "x")),
    (ValueError, "gumbel: mode", lambda: random.gumbel(KEY, mode="x")),
    (TypeError, "truncated_normal: argument lower.*asarray", lambda: random.truncated_normal(KEY, [0.0], 1.0)),
    (ValueError, "a must be greater than 0", lambda: random.choice(KEY, 0)),
    (ValueError, "larger sample", lambda: random.choice(KEY, 3, (4,), False)),
    (ValueError, "p must have one dimension", lambda: random.choice(KEY, 3, p=np.ones(4, np.float32))),
    (TypeError, "p must be an array.*asarray", lambda: random.choice(KEY, 3, p=[1.0, 1.0, 1.0])),
    (TypeError, "choice: a must be an integer", lambda: random.choice(KEY, 1.5)),
    (TypeError, "argument a must be.*asarray", lambda: random.choice(KEY, [1, 2])),
    (ValueError, "choice: axis 2", lambda: random.choice(KEY, np.zeros((2, 2)), axis=2)),
    (TypeError, "permutation: x must be an integer", lambda: random.permutation(KEY, 2.5)),
    (ValueError, "permutation: axis 2", lambda: random.permutation(KEY, np.zeros((2, 2)), 2)),
    (ValueError, "logits must have a floating-point dtype", lambda: random.categorical(KEY, np.zeros(3, int))),
    (ValueError, "categorical: axis 5", lambda: random.categorical(KEY, np.zeros(3, np.float32), 5)),
    (ValueError, "categorical: shape must end", lambda: random.categorical(KEY, np.zeros((2, 3), np.float32), shape=(3,))),
    (ValueError, "cannot exceed", lambda: random.categorical(KEY, np.zeros(3, np.float32), shape=(4,), replace=False)),
    (ValueError, "out_sharding", lambda: random.normal(KEY, (2,), out_sharding=anima.P("x"))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message", "call"), ERRORS, ids=[m for _, m, _ in ERRORS])
def test_bad_arguments(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_count_must_be_known_while_tracing() -> None:
    for draw in (random.permutation, random.choice):
        with pytest.raises(anima.errors.ConcretizationTypeError):
            anima.jit(lambda n, draw=draw: draw(KEY, n))(3)

"""`random.Generator`: NumPy's methods, its state through transformations, and the ways to lose an advance."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest
from scipy import stats

import anima
import anima.numpy as np
from anima import lax, random
from anima.errors import GeneratorStateError

COUNT = 20_000
LEVEL = 1e-3

LAWS: dict[str, tuple[Callable[[random.Generator], Any], Any]] = {
    "random": (lambda r: r.random(COUNT), stats.uniform()),
    "uniform": (lambda r: r.uniform(-1, 3, COUNT), stats.uniform(-1, 4)),
    "standard_normal": (lambda r: r.standard_normal(COUNT), stats.norm()),
    "normal": (lambda r: r.normal(1, 3, COUNT), stats.norm(1, 3)),
    "lognormal": (lambda r: r.lognormal(0.5, 0.25, COUNT), stats.lognorm(0.25, scale=onp.exp(0.5))),
    "truncated_normal": (lambda r: r.truncated_normal(-1, 2, COUNT), stats.truncnorm(-1, 2)),
    "maxwell": (lambda r: r.maxwell(2, COUNT), stats.maxwell(scale=2)),
    "rayleigh": (lambda r: r.rayleigh(2, COUNT), stats.rayleigh(scale=2)),
    "wald": (lambda r: r.wald(3, 2, COUNT), stats.invgauss(1.5, scale=2)),
    "standard_exponential": (lambda r: r.standard_exponential(COUNT), stats.expon()),
    "exponential": (lambda r: r.exponential(3, COUNT), stats.expon(scale=3)),
    "gumbel": (lambda r: r.gumbel(1, 2, COUNT), stats.gumbel_r(1, 2)),
    "laplace": (lambda r: r.laplace(1, 2, COUNT), stats.laplace(1, 2)),
    "logistic": (lambda r: r.logistic(1, 2, COUNT), stats.logistic(1, 2)),
    "standard_cauchy": (lambda r: r.standard_cauchy(COUNT), stats.cauchy()),
    "pareto": (lambda r: r.pareto(3, COUNT), stats.lomax(3)),
    "power": (lambda r: r.power(3, COUNT), stats.powerlaw(3)),
    "triangular": (lambda r: r.triangular(-1, 0, 3, COUNT), stats.triang(0.25, -1, 4)),
    "weibull": (lambda r: r.weibull(1.5, COUNT), stats.weibull_min(1.5)),
    "standard_gamma": (lambda r: r.standard_gamma(2.5, COUNT), stats.gamma(2.5)),
    "gamma": (lambda r: r.gamma(2.5, 2, COUNT), stats.gamma(2.5, scale=2)),
    "beta": (lambda r: r.beta(2, 3, COUNT), stats.beta(2, 3)),
    "chisquare": (lambda r: r.chisquare(3, COUNT), stats.chi2(3)),
    "f": (lambda r: r.f(3, 5, COUNT), stats.f(3, 5)),
    "standard_t": (lambda r: r.standard_t(3, COUNT), stats.t(3)),
    "generalized_normal": (lambda r: r.generalized_normal(3, COUNT), stats.gennorm(3)),
}
COUNTS: dict[str, tuple[Callable[[random.Generator], Any], Any]] = {
    "integers": (lambda r: r.integers(3, 9, COUNT), stats.randint(3, 9)),
    "integers below": (lambda r: r.integers(9, size=COUNT), stats.randint(0, 9)),
    "integers to": (lambda r: r.integers(3, 9, COUNT, endpoint=True), stats.randint(3, 10)),
    "bernoulli": (lambda r: r.bernoulli(0.25, COUNT), stats.bernoulli(0.25)),
    "binomial": (lambda r: r.binomial(9, 0.25, COUNT), stats.binom(9, 0.25)),
    "geometric": (lambda r: r.geometric(0.25, COUNT), stats.geom(0.25)),
    "poisson": (lambda r: r.poisson(3, COUNT), stats.poisson(3)),
    "negative_binomial": (lambda r: r.negative_binomial(3, 0.5, COUNT), stats.nbinom(3, 0.5)),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws(name: str) -> None:
    draw, law = LAWS[name]
    x = draw(random.Generator(3))
    assert x.dtype == onp.float32
    assert stats.kstest(onp.asarray(x, onp.float64), law.cdf).pvalue > LEVEL


@pytest.mark.parametrize("name", COUNTS)
def test_laws_of_counts(name: str) -> None:
    draw, law = COUNTS[name]
    x = onp.minimum(onp.asarray(draw(random.Generator(3))).astype(int), 15)
    expected = onp.array([*law.pmf(range(15)), law.sf(14)]) * COUNT
    found = onp.bincount(x, minlength=16)
    often = expected > 5
    assert not found[expected == 0].any()
    observed = [*found[often], found[~often].sum()]
    wanted = [*expected[often], expected[~often].sum()]
    if wanted[-1] == 0:
        observed, wanted = observed[:-1], wanted[:-1]
    assert stats.chisquare(observed, onp.array(wanted) / sum(wanted) * COUNT).pvalue > LEVEL


def test_arguments_are_those_of_numpy() -> None:
    """Names, order and defaults, where NumPy has the method; results that NumPy writes into are not there."""
    shared = [n for n in dir(random.Generator) if not n.startswith("_") and hasattr(onp.random.Generator, n)]
    assert len(shared) > 30
    for name in shared:
        ours = inspect.signature(getattr(random.Generator, name)).parameters
        theirs = (inspect.getdoc(getattr(onp.random.Generator, name)) or "").partition("\n\n")[0]
        wanted = [
            a.split("=")[0].strip() for a in theirs[theirs.index("(") + 1 : theirs.rindex(")")].split(",")
        ]
        left_out = ("", "*", "out", "dtype", "method", "shuffle", "check_valid", "tol")
        found = [a for a in ours if a not in ("self", "dtype", "method")]
        assert found == [a for a in wanted if a not in left_out], name


def test_shapes() -> None:
    rng = random.Generator(0)
    assert rng.normal().shape == rng.integers(3).shape == ()
    assert rng.normal(onp.zeros(3), onp.ones((2, 1))).shape == (2, 3)
    assert rng.poisson(onp.array([1.0, 2.0], onp.float32)).shape == (2,)
    assert rng.multivariate_normal([0.0, 0.0], onp.eye(2), 5).shape == (5, 2)
    assert rng.multivariate_normal([0.0, 0.0], onp.eye(2)).shape == (2,)
    assert rng.dirichlet([1.0, 2.0, 3.0], (4,)).shape == (4, 3)
    assert rng.multinomial(9, [0.5, 0.5], 4).sum(1).tolist() == [9] * 4
    assert rng.multinomial(9, [0.5, 0.5]).dtype == onp.int32
    assert rng.categorical(onp.zeros((4, 3), onp.float32)).shape == (4,)
    assert rng.ball(3, size=4).shape == (4, 3)
    assert rng.orthogonal(3, 2).shape == (2, 3, 3)
    assert set(rng.rademacher(50).tolist()) == {-1, 1}
    assert rng.bits(5).dtype == onp.uint32
    assert rng.normal(size=3, dtype=onp.float16).dtype == onp.float16
    assert rng.normal(1, 2, 3).dtype == onp.float32


def test_order() -> None:
    rng = random.Generator(0)
    assert sorted(rng.permutation(20).tolist()) == list(range(20))
    assert sorted(rng.permutation([3, 1, 2]).tolist()) == [1, 2, 3]
    x = onp.arange(60).reshape(3, 20)
    assert sorted(rng.permuted(x).ravel().tolist()) == list(range(60))
    onp.testing.assert_array_equal(onp.sort(rng.permuted(x, 1), 1), x)
    assert len(set(rng.choice(20, 10, replace=False).tolist())) == 10
    assert set(rng.choice([5, 6], 30).tolist()) == {5, 6}
    assert rng.choice(3, 20, p=[0.0, 1.0, 0.0]).tolist() == [1] * 20
    with pytest.raises(TypeError, match=r"rng\.permutation"):
        rng.shuffle(x)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_the_state(impl: str) -> None:
    one, other = random.Generator(7, impl=impl), random.Generator(random.key(7, impl=impl))
    draws = [one.normal(size=4) for _ in range(3)]
    assert len({float(x) for d in draws for x in d}) == 12
    for draw in draws:
        onp.testing.assert_array_equal(draw, other.normal(size=4))
    assert impl in repr(one)
    twin = one.clone()
    onp.testing.assert_array_equal(one.random(3), twin.random(3))
    children = one.spawn(3)
    assert len({float(c.random()) for c in [*children, one, twin]}) == 5


def test_seeds() -> None:
    raw = random.Generator(random.PRNGKey(5))
    assert (
        float(raw.random())
        == float(random.Generator(5).random())
        == float(random.Generator(onp.int32(5)).random())
    )
    for bad in (None, 1.5, "a"):
        with pytest.raises(TypeError, match="seed"):
            random.Generator(bad)
    with pytest.raises(ValueError, match="single key"):
        random.Generator(random.split(random.key(0)))
    with pytest.raises(ValueError, match="unknown generator"):
        random.Generator(0, impl="mt19937")


def step(x: Any, rng: Any) -> Any:
    return x + rng.normal(size=x.shape), rng


def test_through_transformations() -> None:
    rng = random.Generator(1)
    expected = [rng.normal(size=3) for _ in range(4)]
    zeros = np.zeros(3)
    compiled, rng = anima.jit(step), random.Generator(1)
    for row in expected:
        x, rng = compiled(zeros, rng)
        onp.testing.assert_allclose(x, row, rtol=1e-6)

    def body(rng: Any, _: Any) -> Any:
        x, rng = step(zeros, rng)
        return rng, x

    rng, rows = lax.scan(body, random.Generator(1), None, length=4)
    onp.testing.assert_allclose(rows, onp.stack([onp.asarray(r) for r in expected]), rtol=1e-6)
    assert rng.random().shape == ()
    rng = lax.fori_loop(0, 3, lambda i, rng: body(rng, i)[0], random.Generator(1))
    onp.testing.assert_allclose(rng.normal(size=3), expected[3], rtol=1e-6)
    x, rng = lax.cond(True, step, lambda x, rng: (x, rng), zeros, random.Generator(1))
    onp.testing.assert_allclose(x, expected[0], rtol=1e-6)

    def loss(w: Any, rng: Any) -> Any:
        return w * rng.normal(), rng

    for transformed in (anima.grad(loss, has_aux=True), anima.jit(anima.grad(loss, has_aux=True))):
        g, rng = transformed(2.0, random.Generator(1))
        assert float(g) == pytest.approx(float(random.Generator(1).normal()), rel=1e-6)
        rng.normal()
    many = anima.vmap(random.Generator)(np.arange(4))
    x, many = anima.vmap(step)(np.zeros((4, 3)), many)
    onp.testing.assert_allclose(x[1], expected[0], rtol=1e-6)
    y, many = anima.jit(anima.vmap(step))(np.zeros((4, 3)), many)
    onp.testing.assert_allclose(y[1], expected[1], rtol=1e-6)
    key, treedef = anima.tree.flatten(random.Generator(1))
    assert treedef == anima.tree.structure(random.Generator(2))
    assert anima.tree_util.keystr(anima.tree.leaves_with_path(random.Generator(1))[0][0]) == ".key"


def test_inside_a_function() -> None:
    """One that is made inside is used there; one from outside gives all mapped examples the same."""
    assert float(anima.jit(lambda: random.Generator(3).random())()) == float(random.Generator(3).random())
    rng = random.Generator(3)
    x = anima.vmap(lambda x: x + rng.random())(np.zeros(3))
    assert len(set(x.tolist())) == 1
    assert float(rng.random()) != float(x[0])
    rng = random.Generator(3)
    assert float(anima.grad(lambda w: w * rng.random())(1.0)) == float(random.Generator(3).random())

    @anima.jit
    def with_children(rng: Any) -> Any:
        one, other = rng.spawn(2)
        return one.random() + other.random(), rng

    _, rng = with_children(rng)
    rng.random()


def test_an_advance_from_inside_is_refused() -> None:
    rng = random.Generator(0)
    for use in (
        anima.jit(lambda x: x + rng.normal()),
        lambda x: lax.scan(lambda c, _: (c + rng.normal(), None), x, None, length=3)[0],
        lambda x: lax.cond(True, lambda x: x + rng.normal(), lambda x: x, x),
        anima.make_jaxpr(lambda x: x + rng.normal()),
        anima.jit(anima.grad(lambda x: x * rng.normal())),
    ):
        with pytest.raises(GeneratorStateError, match="from outside"):
            use(0.0)
    assert float(rng.normal()) == float(random.Generator(0).normal())  # nothing has happened to it


def test_an_advance_that_is_not_returned_is_refused() -> None:
    rng = random.Generator(0)
    with pytest.raises(GeneratorStateError, match="does not return it"):
        anima.jit(lambda rng: rng.normal())(rng)
    with pytest.raises(GeneratorStateError, match="does not return it"):
        anima.jit(lambda rng: (rng, rng.normal())[1])(rng)
    with pytest.raises(GeneratorStateError, match="does not return it"):
        lax.scan(lambda c, r: (c, r.normal()), 0.0, anima.vmap(random.Generator)(np.arange(3)))
    assert float(rng.normal()) == float(random.Generator(0).normal())
    anima.eval_shape(step, np.zeros(3), rng)
    rng.normal()


def test_a_copy_that_has_advanced() -> None:
    rng = random.Generator(0)
    anima.vmap(lambda w, rng: w * rng.normal(), in_axes=(0, None))(np.ones(2), rng)
    for use in (rng.normal, rng.clone, lambda: anima.jit(step)(np.zeros(3), rng)):
        with pytest.raises(GeneratorStateError, match=r"by a copy of it already, at .*test_generator\.py"):
            use()


def test_one_that_leaks() -> None:
    kept: list[Any] = []
    anima.jit(lambda x: kept.append(random.Generator(x)))(3)
    with pytest.raises(GeneratorStateError, match="made inside"):
        kept[0].normal()

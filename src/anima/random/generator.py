"""A generator with a state, for those who come from NumPy: `Generator(seed)`, whose methods return numbers and advance it.

Invariant: the state is one typed key, the only leaf of the generator as a pytree. Each method splits it: one half is the
next state, the other makes the numbers. An advance is never lost unnoticed: a generator that was made outside of a
compiled function refuses to advance inside it, one that is passed in must be returned once it has advanced, and one
whose copy has advanced refuses to give the same numbers again.
"""

from __future__ import annotations

import weakref
from typing import Any, TypeVar

from anima import dtypes, lax, numpy as np
from anima.core import source
from anima.core.trace import Tracer, get_trace, shaped
from anima.errors import GeneratorStateError
from anima.interpreters.stage import StageTrace, enclosing_stage
from anima.lax.shape import check_shape
from anima.random import continuous, counts, discrete, matrices, selection, uniforms
from anima.random.arguments import check_key, function
from anima.random.domains import covariance, non_negative, ordered, positive, probability, weights, within
from anima.random.gammas import (
    ball as draw_ball,
    beta as draw_beta,
    chisquare as draw_chisquare,
    dirichlet as draw_dirichlet,
    f as draw_f,
    gamma as draw_gamma,
    generalized_normal as draw_generalized_normal,
    t as draw_t,
)
from anima.random.implementations import is_key_dtype
from anima.random.key_operations import split as split_key
from anima.random.keys import bits as draw_bits, clone, key as make_key, key_data, key_impl, split
from anima.tree.keys import GetAttrKey
from anima.tree.registry import register_pytree_with_keys

T = TypeVar("T", bound="Generator")


class _Origin:
    """Which generator a copy comes from. All are equal: structures of generators do not depend on it."""

    __slots__ = ("generator",)

    def __init__(self, generator: Generator) -> None:
        self.generator = weakref.ref(generator)

    def __eq__(self, other: object) -> bool:
        return type(other) is _Origin

    def __hash__(self) -> int:
        return hash(_Origin)

    def __repr__(self) -> str:
        return "Generator"


@function(static=())
def _advanced(key: Any) -> tuple[Any, Any]:
    first, second = split_key(check_key("Generator", key))
    return first, second


class Generator:
    """Random numbers with NumPy's methods, from a state that each of them advances.

    A generator is a pytree: it goes into transformed functions as an argument and comes out as a result. The copy that a
    function gets is one of its own, so what has advanced it must return it.

    Args:
      seed: an integer, or a random key, of which this generator is then the only user.
      impl: the implementation, as for `random.key`; by default that of the option `default_prng_impl`, or of the key.
    Raises:
      TypeError: the seed is neither. ValueError: the implementation is not known, or the key is an array of keys.

    >>> import anima
    >>> from anima import random
    >>> rng = random.Generator(0)
    >>> rng.normal(10.0, 2.0, size=3).shape, rng.integers(6, size=2).dtype
    ((3,), dtype('int32'))
    >>> @anima.jit
    ... def noisy(x, rng):
    ...     return x + rng.normal(size=x.shape), rng
    >>> y, rng = noisy(anima.numpy.zeros(3), rng)
    """

    __slots__ = ("__weakref__", "_given", "_key", "_lent", "_origin", "_stage", "_watched")

    def __init__(self, seed: Any, *, impl: Any = None) -> None:
        try:
            aval = shaped(seed)
        except TypeError:  # which is for `key` to say
            is_key = False
        else:
            is_key = is_key_dtype(aval.dtype) or (aval.dtype == dtypes.uint32 and aval.ndim > 0)
        self._start(check_key("Generator", seed) if is_key else make_key(seed, impl=impl), None)

    def _start(self, key: Any, origin: _Origin | None) -> None:
        stage = enclosing_stage(get_trace())
        self._key = key
        self._origin = origin
        self._stage = None if stage is None else weakref.ref(stage)
        self._given = self._watched = False
        self._lent: source.Position | None = None

    # --- the state ---

    def key(self) -> Any:
        """A new random key; the state advances."""
        self._check()
        self._key, key = _advanced(self._key)
        self._given = False
        return key

    def _check(self) -> None:
        """Raise if an advance here would be lost, or give numbers again."""
        stage = enclosing_stage(get_trace())
        born = None if self._stage is None else self._stage()
        if stage is not born or (self._stage is not None and born is None):
            raise self._misplaced(stage)
        self._refuse_lent()
        if self._origin is None:
            return
        if stage is not None and not self._watched:
            self._watched = True
            stage.at_end = (*stage.at_end, self._check_given)
        origin = self._origin.generator()
        if origin is not None and origin is not self and origin._stage_is(stage):
            origin._refuse_lent()
            origin._lent = source.current() or source.NOWHERE
            self._origin = _Origin(self)

    def _stage_is(self, stage: StageTrace | None) -> bool:
        return (None if self._stage is None else self._stage()) is stage

    def _refuse_lent(self) -> None:
        if self._lent is not None:
            error = GeneratorStateError(
                f"the numbers that this generator would give were given by a copy of it already, at {self._lent}"
            )
            error.add_note(
                "A function gets a copy of each argument. Return the generator too, and go on with the one returned: "
                "`y, rng = f(x, rng)`; with grad as the auxiliary result. Where equal numbers are wanted, use `rng.clone()`."
            )
            raise error

    def _misplaced(self, stage: StageTrace | None) -> GeneratorStateError:
        if stage is None:
            return GeneratorStateError(
                "this generator was made inside a function that was traced, by jit or the like, and has no numbers outside: "
                "return it from the function"
            )
        error = GeneratorStateError(
            f"a generator from outside would be advanced inside {stage.fun_name or 'a traced function'}, which is traced "
            "once and then runs compiled: each run would give the same numbers"
        )
        error.add_note(
            "Pass the generator as an argument, and return it: `y, rng = f(x, rng)`; in a loop as part of the carry."
        )
        return error

    def _check_given(self) -> None:
        if not self._given:
            error = GeneratorStateError(
                "a generator that is an argument was advanced inside a function that is traced, by jit or the like, but the "
                "function does not return it: the caller's would give the same numbers again"
            )
            error.add_note("Return it too: `y, rng = f(x, rng)`. Or pass a key instead: `f(x, rng.key())`.")
            raise error

    def spawn(self, n_children: int) -> list[Generator]:
        """New generators, independent of each other and of this one, whose state advances.

        Args:
          n_children: how many.
        """
        keys = split(self.key(), n_children)
        return [_made(type(self), keys[i], None) for i in range(n_children)]

    def clone(self: T) -> T:
        """A generator that gives the same numbers as this one will."""
        self._refuse_lent()
        return _made(type(self), clone(self._key), None)

    def __repr__(self) -> str:
        if isinstance(self._key, Tracer) or not is_key_dtype(getattr(self._key, "dtype", None)):
            return f"Generator({self._key})"
        impl = key_impl(self._key)
        return (
            f"Generator({impl if isinstance(impl, str) else impl.name}, key={key_data(self._key).tolist()})"
        )

    # --- uniform numbers and integers ---

    def random(self, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the interval from 0 up to 1."""
        return uniforms.uniform(self.key(), _shape(size), dtype)

    @within(ordered("low", "high"))
    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the interval from `low` up to `high`."""
        return uniforms.uniform(self.key(), _shape(size, low, high), dtype, low, high)

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = None, endpoint: bool = False
    ) -> Any:
        """Integers from `low` up to `high`, without it unless `endpoint`; from 0 up to `low` if that is all."""
        if high is None:
            low, high = 0, low
        return uniforms.randint(
            self.key(), _shape(size, low, high), low, high + 1 if endpoint else high, dtype
        )

    def bits(self, size: Any = None, dtype: Any = None) -> Any:
        """Random bits, as unsigned integers."""
        return draw_bits(self.key(), _shape(size), dtype)

    # --- the normal distribution and its relatives ---

    def standard_normal(self, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the normal distribution of mean 0 and variance 1."""
        return continuous.normal(self.key(), _shape(size), dtype)

    @within(non_negative("scale"))
    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the normal distribution of mean `loc` and standard deviation `scale`."""
        return _moved(continuous.normal(self.key(), _shape(size, loc, scale), dtype), loc, scale)

    @within(non_negative("sigma"))
    def lognormal(self, mean: Any = 0.0, sigma: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Numbers whose logarithms have the normal distribution of this mean and standard deviation."""
        return np.exp(self.normal(mean, sigma, size, dtype))

    @within(ordered("lower", "upper"))
    def truncated_normal(self, lower: Any, upper: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the standard normal distribution between two bounds."""
        return continuous.truncated_normal(self.key(), lower, upper, _shape(size, lower, upper), dtype)

    @within(covariance("cov"))
    def multivariate_normal(
        self, mean: Any, cov: Any, size: Any = None, dtype: Any = None, *, method: str = "cholesky"
    ) -> Any:
        """Vectors of the normal distribution with a mean and a covariance."""
        shape = None if size is None else _shape(size)
        return matrices.multivariate_normal(
            self.key(), np.asarray(mean), np.asarray(cov), shape, dtype, method
        )

    @within(non_negative("scale"))
    def maxwell(self, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Lengths of vectors of three normal numbers."""
        return _moved(continuous.maxwell(self.key(), _shape(size, scale), dtype), 0.0, scale)

    @within(non_negative("scale"))
    def rayleigh(self, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Lengths of vectors of two normal numbers."""
        return continuous.rayleigh(self.key(), scale, _shape(size, scale), dtype)

    @within(positive("mean"), positive("scale"))
    def wald(self, mean: Any, scale: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the inverse Gaussian distribution."""
        numbers = continuous.wald(self.key(), np.true_divide(mean, scale), _shape(size, mean, scale), dtype)
        return _moved(numbers, 0.0, scale)

    # --- exponential numbers and others with a formula ---

    def standard_exponential(self, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of density `exp(-x)`."""
        return continuous.exponential(self.key(), _shape(size), dtype)

    @within(non_negative("scale"))
    def exponential(self, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Exponentially distributed numbers of mean `scale`."""
        return _moved(continuous.exponential(self.key(), _shape(size, scale), dtype), 0.0, scale)

    @within(non_negative("scale"))
    def gumbel(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the Gumbel distribution."""
        return _moved(continuous.gumbel(self.key(), _shape(size, loc, scale), dtype), loc, scale)

    @within(non_negative("scale"))
    def laplace(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the double exponential distribution."""
        return _moved(continuous.laplace(self.key(), _shape(size, loc, scale), dtype), loc, scale)

    @within(non_negative("scale"))
    def logistic(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the logistic distribution."""
        return _moved(continuous.logistic(self.key(), _shape(size, loc, scale), dtype), loc, scale)

    def standard_cauchy(self, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of density `1 / (pi * (1 + x**2))`."""
        return continuous.cauchy(self.key(), _shape(size), dtype)

    @within(non_negative("a"))
    def pareto(self, a: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the Pareto distribution of the second kind: they begin at 0, as in NumPy."""
        return continuous.pareto(self.key(), a, _shape(size, a), dtype) - 1

    @within(positive("a"))
    def power(self, a: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers from 0 to 1 of density `a * x**(a - 1)`."""
        kind = dtypes.default_float_dtype() if dtype is None else dtype
        return np.power(
            self.random(_shape(size, a), kind), lax.convert_element_type(np.true_divide(1, a), kind)
        )

    @within(ordered("left", "mode"), ordered("mode", "right"), ordered("left", "right"))
    def triangular(self, left: Any, mode: Any, right: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers whose density is a triangle over the interval from `left` to `right` with its peak at `mode`."""
        return continuous.triangular(self.key(), left, mode, right, _shape(size, left, mode, right), dtype)

    @within(non_negative("a"))
    def weibull(self, a: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the Weibull distribution of scale 1."""
        return continuous.weibull_min(self.key(), 1.0, a, _shape(size, a), dtype)

    # --- the gamma distribution and its relatives ---

    @within(non_negative("shape"))
    def standard_gamma(self, shape: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the gamma distribution of this shape and scale 1."""
        return draw_gamma(self.key(), shape, _shape(size, shape), dtype)

    @within(non_negative("shape"), non_negative("scale"))
    def gamma(self, shape: Any, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the gamma distribution."""
        return _moved(draw_gamma(self.key(), shape, _shape(size, shape, scale), dtype), 0.0, scale)

    @within(non_negative("a"), non_negative("b"))
    def beta(self, a: Any, b: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the beta distribution."""
        return draw_beta(self.key(), a, b, _shape(size, a, b), dtype)

    @within(non_negative("df"))
    def chisquare(self, df: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the chi-square distribution."""
        return draw_chisquare(self.key(), df, _shape(size, df), dtype)

    @within(non_negative("alpha"))
    def dirichlet(self, alpha: Any, size: Any = None, dtype: Any = None) -> Any:
        """Vectors of the Dirichlet distribution."""
        return draw_dirichlet(self.key(), np.asarray(alpha), None if size is None else _shape(size), dtype)

    @within(positive("dfnum"), positive("dfden"))
    def f(self, dfnum: Any, dfden: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of Fisher's distribution."""
        return draw_f(self.key(), dfnum, dfden, _shape(size, dfnum, dfden), dtype)

    @within(positive("df"))
    def standard_t(self, df: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of Student's distribution."""
        return draw_t(self.key(), df, _shape(size, df), dtype)

    @within(non_negative("p"))
    def generalized_normal(self, p: Any, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of density proportional to `exp(-abs(x)**p)`."""
        return draw_generalized_normal(self.key(), p, _shape(size), dtype)

    @within(positive("p"))
    def ball(self, d: int, p: Any = 2.0, size: Any = None, dtype: Any = None) -> Any:
        """Points of the unit ball of dimension `d` in the norm `p`."""
        return draw_ball(self.key(), d, p, _shape(size), dtype)

    def orthogonal(self, n: int, size: Any = None, dtype: Any = None) -> Any:
        """Orthogonal matrices, uniformly distributed."""
        return matrices.orthogonal(self.key(), n, _shape(size), dtype)

    # --- counts ---

    @within(probability("p"))
    def bernoulli(self, p: Any = 0.5, size: Any = None) -> Any:
        """Booleans that are true with probability `p`."""
        return discrete.bernoulli(self.key(), p, _shape(size, p))

    def rademacher(self, size: Any = None, dtype: Any = None) -> Any:
        """Numbers that are 1 or -1."""
        return discrete.rademacher(self.key(), _shape(size), dtype)

    @within(non_negative("n"), probability("p"))
    def binomial(self, n: Any, p: Any, size: Any = None, dtype: Any = None) -> Any:
        """How many of `n` trials succeed, each with probability `p`."""
        kind = dtypes.default_int_dtype() if dtype is None else dtype
        numbers = counts.binomial(
            self.key(), np.asarray(n, dtypes.default_float_dtype()), p, _shape(size, n, p)
        )
        return lax.convert_element_type(numbers, kind)

    @within(probability("p"))
    def geometric(self, p: Any, size: Any = None, dtype: Any = None) -> Any:
        """The number of the first trial that succeeds."""
        return discrete.geometric(self.key(), p, _shape(size, p), dtype)

    @within(non_negative("lam"))
    def poisson(self, lam: Any = 1.0, size: Any = None, dtype: Any = None) -> Any:
        """Numbers of the Poisson distribution of mean `lam`."""
        return counts.poisson(self.key(), lam, _shape(size, lam), dtype)

    @within(positive("n"), probability("p"))
    def negative_binomial(self, n: Any, p: Any, size: Any = None, dtype: Any = None) -> Any:
        """How many trials fail before `n` succeed: Poisson numbers of a mean that is a gamma number."""
        odds = (1 - np.asarray(p, dtypes.default_float_dtype())) / p
        return self.poisson(self.gamma(n, odds, _shape(size, n, p)), None, dtype)

    @within(non_negative("n"), non_negative("pvals"))
    def multinomial(self, n: Any, pvals: Any, size: Any = None, dtype: Any = None) -> Any:
        """How many of `n` trials have each of several outcomes."""
        probabilities = np.asarray(pvals)
        shape = None if size is None else (*check_shape("multinomial", size, "size"), probabilities.shape[-1])
        total = np.asarray(n, dtypes.default_float_dtype())
        numbers = counts.multinomial(self.key(), total, probabilities, shape=shape)
        return lax.convert_element_type(numbers, dtypes.default_int_dtype() if dtype is None else dtype)

    def categorical(self, logits: Any, axis: int = -1, size: Any = None) -> Any:
        """Categories, with probabilities proportional to `exp(logits)`."""
        return selection.categorical(self.key(), logits, axis, None if size is None else _shape(size))

    # --- order ---

    @within(weights("p"))
    def choice(self, a: Any, size: Any = None, replace: bool = True, p: Any = None, axis: int = 0) -> Any:
        """A random sample of the numbers below `a`, or of the slices of an array `a`."""
        return selection.choice(
            self.key(), _known(a), _shape(size), replace, None if p is None else np.asarray(p), axis
        )

    def permutation(self, x: Any, axis: int = 0) -> Any:
        """The numbers below `x`, or the slices of an array, in a random order."""
        return selection.permutation(self.key(), _known(x), axis)

    def permuted(self, x: Any, axis: int | None = None) -> Any:
        """An array with each line along `axis` in a random order of its own, or all elements without one."""
        x = np.asarray(x)
        if axis is None:
            return np.reshape(selection.permutation(self.key(), np.ravel(x)), x.shape)
        return selection.permutation(self.key(), x, axis, independent=True)

    def shuffle(self, x: Any, axis: int = 0) -> Any:
        """Not there, as arrays do not change: use `x = rng.permutation(x)`.

        Raises:
          TypeError: always.
        """
        raise TypeError("Generator.shuffle: arrays are immutable; write x = rng.permutation(x, axis)")


def _made(cls: type[T], key: Any, origin: _Origin | None) -> T:
    generator = cls.__new__(cls)
    generator._start(key, origin)
    return generator


def _flatten(generator: Generator) -> tuple[tuple[tuple[Any, Any], ...], _Origin]:
    generator._refuse_lent()
    generator._given = True
    return ((GetAttrKey("key"), generator._key),), _Origin(generator)


def _unflatten(origin: _Origin, children: Any) -> Generator:
    (key,) = children
    return _made(Generator, key, origin)


def _shape(size: Any, *parameters: Any) -> Any:
    """The shape asked for, or the parameters' own."""
    if size is not None:
        return size
    return lax.broadcast_shapes(*[np.shape(x) for x in parameters]) if parameters else ()


def _moved(numbers: Any, loc: Any, scale: Any) -> Any:
    """`loc + scale * numbers`, in the dtype of the numbers."""
    dtype = numbers.dtype
    return lax.convert_element_type(np.asarray(scale), dtype) * numbers + lax.convert_element_type(
        np.asarray(loc), dtype
    )


def _known(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, (list, tuple)) else x


register_pytree_with_keys(Generator, _flatten, _unflatten)

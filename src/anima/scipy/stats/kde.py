"""Densities estimated from samples: a normal distribution around each.

Invariant: an estimate is a tree whose leaves are its arrays, and never changes; it may be an argument and a result of functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import anima.numpy as np
from anima import dtypes, random
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, promote_dtypes_inexact
from anima.scipy.special.normal import ndtr
from anima.scipy.stats.normal_formulas import factor, log_norm, single, squares
from anima.tree_util import register_pytree_node


@dataclasses.dataclass(frozen=True, init=False)
class gaussian_kde:
    """A density estimated from samples, the mean of normal densities around each.

    Args:
      dataset: the samples, of shape `(d, n)` for `n` samples of `d` variables, or `(n,)`.
      bw_method: the factor from the standard deviation of the samples to that of the normal densities: "scott" (also None),
        "silverman", a number, or a function of the estimate that gives one (D. W. Scott, "Multivariate Density Estimation", 1992).
      weights: how much each of the samples counts, a vector; by default all count the same.
    Raises:
      ValueError: shapes do not fit, there are fewer than two numbers, or there is no such method. TypeError: an argument is no
        array. NotImplementedError: the samples are complex.

    >>> import anima.numpy as np
    >>> from anima.scipy.stats import gaussian_kde
    >>> density = gaussian_kde(np.array([1.0, 2.0, 4.0, 7.0]))
    >>> print(density(np.array([1.0, 3.0])).round(4))
    [0.1105 0.1249]
    """

    neff: Any
    dataset: Any
    weights: Any
    covariance: Any
    inv_cov: Any

    def __init__(
        self,
        dataset: Any,
        bw_method: str | Any | Callable[[Any], Any] | None = None,
        weights: Any = None,
    ) -> None:
        (dataset,) = promote_dtypes_inexact("gaussian_kde", dataset)
        dataset = np.atleast_2d(dataset)
        if dtypes.is_complex(dataset.dtype):
            raise NotImplementedError(
                "gaussian_kde: complex numbers have no order; use two rows, for real and imaginary parts"
            )
        if not dataset.size > 1:
            raise ValueError(
                f"gaussian_kde: dataset must have more than one element, got shape {dataset.shape}"
            )
        if dataset.ndim != 2:
            raise ValueError(f"gaussian_kde: dataset must be of shape (d, n) or (n,), got {dataset.shape}")
        self._put(dataset=dataset, weights=_weights(dataset, weights))
        self._put(neff=_effective(self.weights))
        covariance, inverse = _covariances(dataset, self.weights, self._bandwidth(bw_method))
        self._put(covariance=covariance, inv_cov=inverse)

    def _put(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _bandwidth(self, method: Any) -> Any:
        power = -1.0 / (self.d + 4)
        if method is None or (isinstance(method, str) and method == "scott"):
            return self.neff**power
        if isinstance(method, str) and method == "silverman":
            return (self.neff * (self.d + 2) / 4.0) ** power
        value = method(self) if callable(method) else method
        if isinstance(value, (str, tuple, list)) or np.ndim(value):
            raise ValueError(
                f"gaussian_kde: bw_method must be 'scott', 'silverman', a number or a function, got {method!r}"
            )
        if dtypes.is_complex(dtype_of(value)):
            raise ValueError("gaussian_kde: bw_method must be a real number, got a complex one")
        return value

    @property
    def d(self) -> int:
        """The number of variables."""
        return int(self.dataset.shape[0])

    @property
    def n(self) -> int:
        """The number of samples."""
        return int(self.dataset.shape[1])

    def evaluate(self, points: Any) -> Any:
        """The density at points.

        Args:
          points: of shape `(d, m)`; a vector is one point if it is as long as there are variables, else points of one variable.
        Raises:
          ValueError: the points have another number of variables. NotImplementedError: they are complex.
        """
        return _density(self, self._points("evaluate", points), logarithm=False)

    def __call__(self, points: Any) -> Any:
        """The density at points, as `evaluate`."""
        return self.evaluate(points)

    def pdf(self, x: Any) -> Any:
        """The density at points, as `evaluate`."""
        return self.evaluate(x)

    def logpdf(self, x: Any) -> Any:
        """The logarithm of the density at points; those far from all samples keep their digits."""
        return _density(self, self._points("logpdf", x), logarithm=True)

    def integrate_gaussian(self, mean: Any, cov: Any) -> Any:
        """The integral of the density times that of a normal distribution.

        Args:
          mean: the mean, a vector, or a number if there is one variable; and `cov` the covariance.
        Raises:
          ValueError: they are of another number of variables.
        """
        mean, cov = np.atleast_1d(np.asarray(mean)), np.atleast_2d(np.asarray(cov))
        if mean.shape != (self.d,):
            raise ValueError(f"integrate_gaussian: mean must have shape {(self.d,)}, got {mean.shape}")
        if cov.shape != (self.d, self.d):
            raise ValueError(f"integrate_gaussian: cov must have shape {(self.d, self.d)}, got {cov.shape}")
        return _with_normal(self, mean, cov)

    def integrate_box_1d(self, low: Any, high: Any) -> Any:
        """The probability of an interval.

        Args:
          low: where it begins, and `high` where it ends; numbers.
        Raises:
          ValueError: there are more variables than one, or an end is no number.
        """
        if self.d != 1:
            raise ValueError(f"integrate_box_1d takes densities of one variable, this has {self.d}")
        low, high = array_like("integrate_box_1d", low, "low"), array_like("integrate_box_1d", high, "high")
        if np.ndim(low) or np.ndim(high):
            raise ValueError("integrate_box_1d: low and high must be numbers; use vmap for several intervals")
        return _of_interval(self, low, high)

    def integrate_kde(self, other: gaussian_kde) -> Any:
        """The integral of this density times another one.

        Raises:
          ValueError: the other is of another number of variables. TypeError: it is no estimate.
        """
        if not isinstance(other, gaussian_kde):
            raise TypeError(f"integrate_kde takes another gaussian_kde, got {type(other).__name__}")
        if other.d != self.d:
            raise ValueError(f"integrate_kde: one density is of {self.d} variables, the other of {other.d}")
        return _with_other(self, other)

    def resample(self, key: Any, shape: Any = ()) -> Any:
        """New samples from the estimated density.

        Args:
          key: a random key.
          shape: of the samples.
        Returns:
          An array of shape `(d, *shape)`.
        """
        which, noise = random.split(key)
        chosen = random.choice(which, self.n, shape, p=self.weights)
        moved = random.multivariate_normal(
            noise, np.zeros(self.d, self.covariance.dtype), self.covariance, shape, self.dataset.dtype
        )
        return self.dataset[:, chosen] + np.moveaxis(moved, -1, 0)

    def integrate_box(self, low_bounds: Any, high_bounds: Any, maxpts: Any = None) -> Any:
        """Not for several variables: no closed form is known. `integrate_box_1d` takes those of one."""
        raise NotImplementedError(
            "integrate_box: only probabilities of intervals can be computed; use integrate_box_1d"
        )

    def set_bandwidth(self, bw_method: Any = None) -> Any:
        """An estimate never changes: create another one."""
        raise NotImplementedError(
            "set_bandwidth: an estimate never changes; create one with gaussian_kde(dataset, bw_method)"
        )

    def _points(self, name: str, points: Any) -> Any:
        (points,) = promote_dtypes_inexact(name, points)
        if dtypes.is_complex(dtype_of(points)):
            raise NotImplementedError(
                f"{name}: gaussian_kde is a density of real numbers, got complex points"
            )
        points = np.atleast_2d(points)
        if points.ndim != 2:
            raise ValueError(f"{name}: points must be of shape (d, m) or (m,), got {points.shape}")
        if points.shape[0] != self.d and points.shape == (1, self.d):
            points = points.T
        if points.shape[0] != self.d:
            raise ValueError(f"{name}: points have {points.shape[0]} variables, the density has {self.d}")
        return points


_FIELDS = tuple(field.name for field in dataclasses.fields(gaussian_kde))


def _unflatten(_: None, children: Any) -> gaussian_kde:
    estimate = object.__new__(gaussian_kde)
    for name, child in zip(_FIELDS, children):
        object.__setattr__(estimate, name, child)
    return estimate


register_pytree_node(
    gaussian_kde, lambda estimate: (tuple(getattr(estimate, name) for name in _FIELDS), None), _unflatten
)


def _weights(dataset: Any, weights: Any) -> Any:
    size = dataset.shape[1]
    if weights is None:
        return np.full(size, 1.0 / size, dataset.dtype)
    weights = np.asarray(array_like("gaussian_kde", weights, "weights")).astype(dataset.dtype)
    if weights.ndim != 1:
        raise ValueError(f"gaussian_kde: weights must be a vector, got shape {weights.shape}")
    if weights.shape[0] != size:
        raise ValueError(f"gaussian_kde: there are {size} samples, but {weights.shape[0]} weights")
    return weights / np.sum(weights)


@function(name="gaussian_kde")
def _effective(weights: Any) -> Any:
    """How many samples of equal weights would vary as much."""
    return 1 / np.sum(weights * weights)


@function(name="gaussian_kde")
def _covariances(dataset: Any, weights: Any, bandwidth: Any) -> tuple[Any, Any]:
    """The covariance of the normal densities, and its inverse."""
    dtype = dataset.dtype
    inner = single(dtype)
    dataset, weights = dataset.astype(inner), weights.astype(inner)
    centered = dataset - np.sum(dataset * weights, 1, keepdims=True)
    covariance = (centered * weights) @ centered.T / (1 - np.sum(weights * weights))
    scale = np.asarray(bandwidth).astype(inner)
    covariance = covariance * (scale * scale)
    return covariance.astype(dtype), np.linalg.inv(covariance).astype(dtype)


@function(static=("logarithm",), name="gaussian_kde")
def _density(estimate: Any, points: Any, logarithm: bool) -> Any:
    dtype = np.promote_types(estimate.dataset.dtype, points.dtype)
    inner = single(dtype)
    lower = factor(estimate.covariance.astype(inner))
    deviations = points.T[:, None, :].astype(inner) - estimate.dataset.T.astype(inner)
    exponents = -0.5 * squares(lower, deviations) - log_norm(lower)
    weights = estimate.weights.astype(inner)
    if not logarithm:
        return np.sum(np.exp(exponents) * weights, -1).astype(dtype)
    largest = np.max(exponents, -1, keepdims=True)
    return (np.log(np.sum(np.exp(exponents - largest) * weights, -1)) + largest[:, 0]).astype(dtype)


@function(name="integrate_gaussian")
def _with_normal(estimate: Any, mean: Any, cov: Any) -> Any:
    return _mean_of_normals(estimate, mean[:, None], np.ones(1), cov)


@function(name="integrate_kde")
def _with_other(estimate: Any, other: Any) -> Any:
    return _mean_of_normals(estimate, other.dataset, other.weights, other.covariance)


def _mean_of_normals(estimate: Any, centers: Any, weights: Any, cov: Any) -> Any:
    """The weighted sum over samples and centres of normal densities of their difference, with the sum of both covariances."""
    dtype = estimate.dataset.dtype
    inner = single(dtype)
    lower = factor(estimate.covariance.astype(inner) + cov.astype(inner))
    deviations = estimate.dataset.T[:, None, :].astype(inner) - centers.T.astype(inner)
    values = np.exp(-0.5 * squares(lower, deviations) - log_norm(lower))
    return (estimate.weights.astype(inner) @ values @ weights.astype(inner)).astype(dtype)


@function(name="integrate_box_1d")
def _of_interval(estimate: Any, low: Any, high: Any) -> Any:
    dtype = estimate.dataset.dtype
    inner = single(dtype)
    deviation = np.sqrt(estimate.covariance[0, 0].astype(inner))
    samples = estimate.dataset[0].astype(inner)
    low, high = ((np.asarray(x).astype(inner) - samples) / deviation for x in (low, high))
    # Probabilities near 1 have lost the digits that small differences are made of: these come from the other tail.
    mirrored = (low > 0) & (high > 0)
    upper, lower = np.where(mirrored, -low, high), np.where(mirrored, -high, low)
    return ((ndtr(upper) - ndtr(lower)) @ estimate.weights.astype(inner)).astype(dtype)

"""Initialisers of parameters: functions `init(key, shape, dtype)`.

Invariant: an initialiser's result depends on its key, shape and dtype alone.

>>> from anima import nn, random
>>> nn.initializers.he_normal()(random.PRNGKey(0), (784, 128)).shape
(784, 128)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import anima.numpy as np
from anima import dtypes, random


class Initializer(Protocol):
    """What the functions here return."""

    def __call__(self, key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        """An array of the given shape and dtype."""


def zeros(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
    """All zeros.

    >>> from anima import nn
    >>> print(nn.initializers.zeros(None, (2,)))
    [0. 0.]
    """
    return np.zeros(shape, dtype)


def ones(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
    """All ones.

    >>> from anima import nn
    >>> print(nn.initializers.ones(None, (2,)))
    [1. 1.]
    """
    return np.ones(shape, dtype)


def _dtype(given: Any, default: Any) -> Any:
    chosen = given if given is not None else default
    return dtypes.default_float_dtype() if chosen is None else dtypes.canonicalize_dtype(chosen)


def constant(value: Any, dtype: Any = None) -> Initializer:
    """An initialiser that repeats `value`.

    >>> from anima import nn
    >>> print(nn.initializers.constant(3.0)(None, (2,)))
    [3. 3.]
    """

    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        return np.full(shape, value, dtype=_dtype(dtype, default))

    return init


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """An initialiser drawing uniformly from [0, scale)."""

    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(dtype, default)
        return random.uniform(key, shape, kind) * np.asarray(scale, kind)

    return init


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """An initialiser drawing from the normal distribution of the given standard deviation."""

    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(dtype, default)
        return random.normal(key, shape, kind) * np.asarray(stddev, kind)

    return init


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """An initialiser drawing from a normal distribution cut off at `lower` and `upper` before scaling by `stddev`."""

    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(dtype, default)
        return random.truncated_normal(key, lower, upper, shape, kind) * np.asarray(stddev, kind)

    return init


Axes = int | Sequence[int]


def _fans(shape: Sequence[int], in_axis: Axes, out_axis: Axes, batch_axis: Axes) -> tuple[float, float]:
    """How many inputs an output has, and the reverse, for weights of this shape."""
    if len(shape) <= 1:
        raise ValueError(
            f"variance_scaling needs a shape of at least two dimensions for its fans, got {tuple(shape)}"
        )
    size = lambda axes: math.prod(shape[a] for a in ((axes,) if isinstance(axes, int) else axes))
    fan_in, fan_out = size(in_axis), size(out_axis)
    receptive = math.prod(shape) / max(fan_in * fan_out * size(batch_axis), 1)
    return fan_in * receptive, fan_out * receptive


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """An initialiser whose variance is `scale` divided by a fan.

    Args:
      scale: a positive number.
      mode: "fan_in", "fan_out", "fan_avg" or "fan_geo_avg".
      distribution: "truncated_normal", "normal" or "uniform".
      in_axis, out_axis, batch_axis: which dimensions of the weights are inputs, outputs and batches; the others are the
        receptive field.
    Raises:
      ValueError: mode or distribution is unknown, or the shape has fewer than two dimensions.

    >>> from anima import nn, random
    >>> init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
    >>> init(random.PRNGKey(0), (3, 4)).shape
    (3, 4)
    """
    if mode not in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg"):
        raise ValueError(
            f"variance_scaling: mode must be fan_in, fan_out, fan_avg or fan_geo_avg, got {mode!r}"
        )
    if distribution not in ("truncated_normal", "normal", "uniform"):
        raise ValueError(
            f"variance_scaling: distribution must be truncated_normal, normal or uniform, got {distribution!r}"
        )

    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(dtype, default)
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        fan = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": math.sqrt(fan_in * fan_out),
        }[mode]
        variance = scale / max(fan, 1.0)
        return _draw(distribution, key, shape, kind, variance)

    return init


def _draw(distribution: str, key: Any, shape: Any, kind: Any, variance: Any) -> Any:
    if dtypes.is_complex(kind) and distribution != "normal":
        return _in_disc(distribution, key, shape, kind) * np.asarray(math.sqrt(variance), kind)
    if distribution == "normal":
        return random.normal(key, shape, kind) * np.asarray(math.sqrt(variance), kind)
    if distribution == "uniform":
        return random.uniform(key, shape, kind, -1) * np.asarray(math.sqrt(3 * variance), kind)
    # The standard deviation of a standard normal cut off at -2 and 2.
    stddev = math.sqrt(variance) / 0.87962566103423978
    return random.truncated_normal(key, -2, 2, shape, kind) * np.asarray(stddev, kind)


def _in_disc(distribution: str, key: Any, shape: Any, kind: Any) -> Any:
    """Complex numbers of variance 1 or nearly so, uniform in a disc or normal and cut off at an absolute value of 2."""
    first, second = random.split(key)
    real = np.zeros((), kind).real.dtype
    part = random.uniform(first, shape, real)
    angle = 2 * math.pi * random.uniform(second, shape, real)
    if distribution == "uniform":
        # The variance of the uniform distribution in the unit disc is 1/2.
        radius = np.sqrt(part) * math.sqrt(2)
    else:
        # The divisor that JAX takes, for the same numbers: the standard deviation of these is 0.962.
        radius = np.sqrt(-np.log1p(-(1 - math.exp(-4)) * part)) / 0.95311164380491208
    return (radius * np.exp(1j * angle)).astype(kind)


def _family(name: str, scale: float, mode: str, distribution: str, source: str) -> Callable[..., Initializer]:
    def make(
        in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
    ) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"`variance_scaling` with scale {scale}, {mode} and {distribution} ({source})."
    return make


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initialiser drawing uniformly from the matrices with orthonormal rows or columns, whichever are fewer.

    Source: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear networks" (2014).

    Args:
      scale: a factor of the result.
      column_axis: the dimension of the weights that numbers the columns; the others together number the rows.
    Raises:
      ValueError: the initialiser is called with a shape of fewer than two dimensions, or a dtype that is not inexact.

    >>> import anima.numpy as np
    >>> from anima import nn, random
    >>> q = nn.initializers.orthogonal()(random.PRNGKey(0), (4, 3))
    >>> bool(np.allclose(q.T @ q, np.eye(3), atol=1e-5))
    True
    """
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(dtype, default)
        if len(shape) < 2:
            raise ValueError(f"orthogonal needs a shape of at least two dimensions, got {tuple(shape)}")
        axis = range(len(shape))[column_axis]
        rows = [*shape[:axis], *shape[axis + 1 :]]
        matrix = random.orthogonal(key, math.prod(rows), dtype=kind, m=shape[axis])
        return np.moveaxis(matrix.reshape(*rows, shape[axis]), -1, axis) * np.asarray(scale, kind)

    return init


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initialiser of convolutions: an `orthogonal` matrix at the middle of the window, 0 elsewhere.

    Source: Xiao et al., "Dynamical Isometry and a Mean Field Theory of CNNs" (2018).

    Args:
      scale: a factor of the result.
      column_axis: the dimension of the matrix that numbers its columns.
    Raises:
      ValueError: the initialiser is called with a shape that has not three to five dimensions, the last two of them inputs
        and outputs, or with more inputs than outputs.

    >>> from anima import nn, random
    >>> w = nn.initializers.delta_orthogonal()(random.PRNGKey(0), (3, 2, 2))
    >>> print(w[0], round(float((w[1] ** 2).sum()), 3))
    [[0. 0.]
     [0. 0.]] 2.0
    """
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(dtype, default)
        if len(shape) not in (3, 4, 5):
            raise ValueError(f"delta_orthogonal needs a shape of 3, 4 or 5 dimensions, got {tuple(shape)}")
        if shape[-1] < shape[-2]:
            raise ValueError(
                f"delta_orthogonal needs at least as many outputs (last dimension) as inputs, got shape {tuple(shape)}"
            )
        matrix = orthogonal(scale, column_axis, kind)(key, shape[-2:])
        middle = tuple((size - 1) // 2 for size in shape[:-2])
        return np.zeros(shape, kind).at[middle].set(matrix)

    return init


_GLOROT = "Glorot and Bengio, 2010"
_LECUN = "LeCun et al., 1998"
_HE = "He et al., 2015"

glorot_uniform = xavier_uniform = _family("glorot_uniform", 1.0, "fan_avg", "uniform", _GLOROT)
glorot_normal = xavier_normal = _family("glorot_normal", 1.0, "fan_avg", "truncated_normal", _GLOROT)
lecun_uniform = _family("lecun_uniform", 1.0, "fan_in", "uniform", _LECUN)
lecun_normal = _family("lecun_normal", 1.0, "fan_in", "truncated_normal", _LECUN)
he_uniform = kaiming_uniform = _family("he_uniform", 2.0, "fan_in", "uniform", _HE)
he_normal = kaiming_normal = _family("he_normal", 2.0, "fan_in", "truncated_normal", _HE)

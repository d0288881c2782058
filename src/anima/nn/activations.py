"""Activation functions, element by element.

Invariant: each is differentiable with JAX's convention at its kinks (the derivative of `relu` at 0 is 0), and computes no
intermediate that overflows where the result does not.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima import dtypes, lax
from anima.lax.gelu import gelu as exact_gelu
from anima.numpy.calls import function, plain
from anima.numpy.promotion import array_like, dtype_of, inexact, shape_of, strong_inexact
from anima.transforms.custom_jvp import custom_jvp

# Klambauer et al., "Self-Normalizing Neural Networks" (2017).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _floating(name: str, x: Any, *, weak_integers: bool = True) -> Any:
    """The operand in floating point. Booleans become weakly typed, and so do integers, if not told otherwise."""
    kind = dtype_of(array_like(name, x))
    weak = dtypes.is_bool(kind) or (weak_integers and not dtypes.is_inexact(kind))
    x = inexact(name, x)
    return lax.convert_element_type_p.bind(x, new_dtype=dtype_of(x), weak_type=True) if weak else x


def _negative_part(x: Any) -> Any:
    """`x` where it is not positive, else 0: an argument of an exponential that cannot overflow."""
    return np.where(np.greater(x, 0), 0.0, x)


def _positive_part(x: Any) -> Any:
    """`x` where it is positive, else 0."""
    return np.where(np.greater(x, 0), x, 0.0)


@function
def identity(x: Any) -> Any:
    """`x` itself, as an array.

    >>> from anima import nn
    >>> print(nn.identity(2.0))
    2.0
    """
    return np.asarray(array_like("identity", x))


@function
def relu(x: Any) -> Any:
    """`max(x, 0)`, with derivative 0 at 0.

    >>> from anima import grad, nn
    >>> print(nn.relu(-1.0), grad(nn.relu)(0.0))
    0.0 0.0
    """
    x = array_like("relu", x)
    if dtypes.is_bool(dtype_of(x)):
        x = lax.convert_element_type_p.bind(x, new_dtype=dtypes.default_int_dtype(), weak_type=True)
    # `x <= 0` is False for NaN, which so passes; and unlike `maximum` it gives no derivative to a tie.
    return np.where(np.less_equal(x, 0), np.zeros_like(x), x)


@function
def relu6(x: Any) -> Any:
    """`min(max(x, 0), 6)`, with derivative 0 at 0 and at 6.

    >>> from anima import nn
    >>> print(nn.relu6(7.0))
    6.0
    """
    x = _floating("relu6", x)
    capped = np.where(np.greater_equal(x, 6), np.full_like(x, 6), x)
    return np.where(np.less_equal(x, 0), np.zeros_like(x), capped)


@function
def sigmoid(x: Any) -> Any:
    """`1 / (1 + exp(-x))`.

    >>> from anima import nn
    >>> print(nn.sigmoid(0.0))
    0.5
    """
    return lax.logistic(inexact("sigmoid", x))


@function
def softplus(x: Any) -> Any:
    """`log(1 + exp(x))`.

    >>> from anima import nn
    >>> print(nn.softplus(0.0).round(4))
    0.6931
    """
    x = _floating("softplus", x, weak_integers=False)
    if dtypes.is_complex(dtype_of(x)):
        return np.logaddexp(x, 0.0)
    # Two formulas, each smooth where it is used: one with an absolute value has no second derivative at 0.
    negative = np.log1p(np.exp(_negative_part(x)))
    positive = x + np.log1p(np.exp(-_positive_part(x)))
    return np.where(np.greater(x, 0), positive, negative)


@function
def sparse_plus(x: Any) -> Any:
    """0 below -1, `(x + 1)**2 / 4` up to 1, `x` above: a softplus with exact zeros.

    >>> from anima import nn
    >>> print(nn.sparse_plus(0.0))
    0.25
    """
    x = _floating("sparse_plus", x)
    return np.where(np.less_equal(x, -1.0), 0.0, np.where(np.greater_equal(x, 1.0), x, (x + 1.0) ** 2 / 4))


@function
def sparse_sigmoid(x: Any) -> Any:
    """0 below -1, 1 above 1, a line between.

    >>> from anima import nn
    >>> print(nn.sparse_sigmoid(0.0))
    0.5
    """
    return 0.5 * np.clip(_floating("sparse_sigmoid", x) + 1.0, 0.0, 2.0)


@function
def soft_sign(x: Any) -> Any:
    """`x / (1 + |x|)`.

    >>> from anima import nn
    >>> print(nn.soft_sign(1.0))
    0.5
    """
    x = _floating("soft_sign", x, weak_integers=False)
    return x / (np.abs(x) + 1)


@function
def silu(x: Any) -> Any:
    """`x * sigmoid(x)`, also called swish.

    >>> from anima import nn
    >>> print(nn.silu(0.0))
    0.0
    """
    x = inexact("silu", x)
    return x * plain(sigmoid)(x)


swish = silu


@function
def mish(x: Any) -> Any:
    """`x * tanh(softplus(x))` (Misra, 2019).

    >>> from anima import nn
    >>> print(nn.mish(0.0))
    0.0
    """
    x = _floating("mish", x, weak_integers=False)
    return x * np.tanh(plain(softplus)(x))


@function
def log_sigmoid(x: Any) -> Any:
    """`log(sigmoid(x))`, without underflow.

    >>> from anima import nn
    >>> print(nn.log_sigmoid(0.0).round(4))
    -0.6931
    """
    return -plain(softplus)(-inexact("log_sigmoid", x))


@function
def log1mexp(x: Any) -> Any:
    """`log(1 - exp(-x))` for positive `x`, accurate near 0 and far away (Maechler, 2012).

    >>> from anima import nn
    >>> print(nn.log1mexp(1.0).round(4))
    -0.4587
    """
    return _log1mexp(inexact("log1mexp", x))


@custom_jvp
def _log1mexp(x: Any) -> Any:
    small = x < math.log(2)
    near = np.log(-np.expm1(-np.where(small, x, 1.0)))
    far = np.log1p(-np.exp(-np.where(small, 1.0, x)))
    return np.where(small, near, far)


# One formula for the slope: those of the two branches are NaN where the other is used, at 0 and at infinity.
_log1mexp.defjvps(lambda t, ans, x: t * (np.exp(-x) / -np.expm1(-x)))


@function
def elu(x: Any, alpha: Any = 1.0) -> Any:
    """`x` if positive, else `alpha * (exp(x) - 1)`.

    >>> from anima import nn
    >>> print(nn.elu(2.0))
    2.0
    """
    x = _floating("elu", x)
    return np.where(np.greater(x, 0), x, alpha * np.expm1(_negative_part(x)))


@function
def celu(x: Any, alpha: Any = 1.0) -> Any:
    """`x` if positive, else `alpha * (exp(x / alpha) - 1)`.

    >>> from anima import nn
    >>> print(nn.celu(2.0))
    2.0
    """
    x = _floating("celu", x)
    return np.maximum(x, 0.0) + alpha * np.expm1(np.minimum(x, 0.0) / alpha)


@function
def selu(x: Any) -> Any:
    """A scaled `elu` that keeps mean 0 and variance 1.

    >>> from anima import nn
    >>> print(nn.selu(1.0).round(4))
    1.0507
    """
    return _SELU_SCALE * plain(elu)(x, _SELU_ALPHA)


@function
def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> Any:
    """`x` if it is not negative, else `negative_slope * x`.

    >>> from anima import nn
    >>> print(nn.leaky_relu(-1.0, 0.5))
    -0.5
    """
    x = _floating("leaky_relu", x)
    return np.where(np.greater_equal(x, 0), x, negative_slope * x)


@function
def hard_tanh(x: Any) -> Any:
    """`x` clipped to [-1, 1].

    >>> from anima import nn
    >>> print(nn.hard_tanh(3.0))
    1.0
    """
    x = array_like("hard_tanh", x)
    if dtypes.kind_of(dtype_of(x)) == "u":
        return np.minimum(x, 1)
    return np.where(np.greater(x, 1), 1, np.where(np.less(x, -1), -1, x))


@function
def hard_sigmoid(x: Any) -> Any:
    """`relu6(x + 3) / 6`.

    >>> from anima import nn
    >>> print(nn.hard_sigmoid(0.0))
    0.5
    """
    return plain(relu6)(x + 3.0) / 6.0


@function
def hard_silu(x: Any) -> Any:
    """`x * hard_sigmoid(x)`.

    >>> from anima import nn
    >>> print(nn.hard_silu(3.0))
    3.0
    """
    x = _floating("hard_silu", x)
    return x * plain(hard_sigmoid)(x)


hard_swish = hard_silu


@function
def squareplus(x: Any, b: Any = 4) -> Any:
    """`(x + sqrt(x**2 + b)) / 2` (Barron, 2021).

    >>> from anima import nn
    >>> print(nn.squareplus(0.0))
    1.0
    """
    x = inexact("squareplus", x)
    return (x + np.sqrt(np.square(x) + b)) / 2


@function(static=("approximate",))
def gelu(x: Any, approximate: bool = True) -> Any:
    """`x` times the normal distribution function of `x` (Hendrycks and Gimpel, 2016).

    Args:
      approximate: use the tanh formula instead of the error function.

    >>> from anima import nn
    >>> print(f"{nn.gelu(1.0):.4f} {nn.gelu(1.0, approximate=False):.4f}")
    0.8412 0.8413
    """
    x = strong_inexact("gelu", x)
    if not approximate:
        return exact_gelu(x)
    dtype = dtype_of(x)
    if (
        dtypes.is_float(dtype) and dtypes.itemsize_bits(dtype) < 32
    ):  # rounding each step costs accuracy and time
        return lax.convert_element_type(gelu(lax.convert_element_type(x, np.float32)), dtype)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x * (0.5 * (1.0 + np.tanh(inner)))


@function(static=("axis",))
def glu(x: Any, axis: int = -1) -> Any:
    """The first half of `x` along `axis` times the sigmoid of the second half.

    Raises:
      ValueError: the axis has odd size.

    >>> from anima import nn, numpy as np
    >>> print(nn.glu(np.array([2.0, 0.0])))
    [1.]
    """
    x = inexact("glu", x)
    if shape_of(x)[axis] % 2:
        raise ValueError(f"glu: axis {axis} must have even size, got shape {shape_of(x)}")
    first, second = np.split(x, 2, axis)
    return first * plain(sigmoid)(second)

"""Neural networks of layers that are pairs of functions, `(init_fun, apply_fun)`.

Invariant: `init_fun(rng, input_shape)` returns the shape of the output and the parameters, and computes nothing else;
`apply_fun(params, inputs, **kwargs)` depends on its arguments alone. The keyword `rng`, a key, is for layers that draw random
numbers; the others ignore it. A shape may have -1 where a batch's size is not known.

>>> from anima import random
>>> from anima.example_libraries import stax
>>> init, apply = stax.serial(
...     stax.Conv(4, (3, 3)), stax.Relu, stax.Flatten, stax.Dense(10), stax.LogSoftmax
... )
>>> shape, params = init(random.PRNGKey(0), (-1, 8, 8, 1))
>>> shape
(-1, 10)
>>> apply(params, random.normal(random.PRNGKey(1), (5, 8, 8, 1))).shape
(5, 10)
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as onp

import anima.numpy as np
from anima import lax, random
from anima.nn.activations import (
    elu as elu,
    gelu as gelu,
    leaky_relu as leaky_relu,
    relu as relu,
    selu as selu,
    sigmoid as sigmoid,
    softplus as softplus,
)
from anima.nn.initializers import (
    glorot_normal as glorot_normal,
    normal as normal,
    ones as ones,
    zeros as zeros,
)
from anima.nn.normalization import (
    log_softmax as log_softmax,
    softmax as softmax,
    standardize as standardize,
)

glorot, randn, logsoftmax = glorot_normal, normal, log_softmax

_WEIGHTS, _BIAS, _SMALL_BIAS = glorot_normal(), normal(), normal(1e-6)

Shape = tuple[int, ...]
Layer = tuple[Callable[[Any, Any], tuple[Any, Any]], Callable[..., Any]]


def Dense(out_dim: int, W_init: Any = _WEIGHTS, b_init: Any = _BIAS) -> Layer:
    """A layer that computes `x @ W + b`.

    Args:
      out_dim: the size of the last dimension of the output.
      W_init, b_init: initialisers of `W`, of shape (inputs, out_dim), and of `b`, of shape (out_dim,).

    >>> from anima import random
    >>> shape, (w, b) = Dense(3)[0](random.PRNGKey(0), (5, 2))
    >>> shape, w.shape, b.shape
    ((5, 3), (2, 3), (3,))
    """

    def init_fun(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        if not input_shape:
            raise ValueError("Dense: the input must have a dimension to multiply along, got the shape ()")
        first, second = random.split(rng)
        w, b = W_init(first, (input_shape[-1], out_dim)), b_init(second, (out_dim,))
        return (*input_shape[:-1], out_dim), (w, b)

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        w, b = params
        return np.dot(inputs, w) + b

    return init_fun, apply_fun


# --- convolutions -----------------------------------------------------------------------------


def _convolution(
    name: str,
    dimension_numbers: Sequence[str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: Any,
    inits: tuple[Any, Any],
    shape_of: Callable[..., Shape],
    convolve: Callable[..., Any],
) -> Layer:
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    steps = tuple(strides) if strides else (1,) * len(filter_shape)
    w_init = inits[0] or glorot_normal(rhs_spec.index("I"), rhs_spec.index("O"))

    def init_fun(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        if len(input_shape) != len(lhs_spec):
            raise ValueError(
                f"{name}: the input must have the {len(lhs_spec)} dimensions {lhs_spec}, got the shape {tuple(input_shape)}"
            )
        spatial = iter(filter_shape)
        sizes = {"O": out_chan, "I": input_shape[lhs_spec.index("C")]}
        kernel_shape = tuple(sizes[d] if d in sizes else next(spatial) for d in rhs_spec)
        output_shape = shape_of(input_shape, kernel_shape, steps, padding, dimension_numbers)
        first, second = random.split(rng)
        bias_shape = tuple(out_chan if d == "C" else 1 for d in out_spec)
        return output_shape, (w_init(first, kernel_shape), inits[1](second, bias_shape))

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        w, b = params
        return convolve(inputs, w, steps, padding, dimension_numbers=dimension_numbers) + b

    return init_fun, apply_fun


def GeneralConv(
    dimension_numbers: Sequence[str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = _SMALL_BIAS,
) -> Layer:
    """A layer that convolves, and adds a number to each channel.

    Args:
      dimension_numbers: what the dimensions of input, kernel and output are: `("NHWC", "HWIO", "NHWC")`, say.
      out_chan: how many channels the output has.
      filter_shape: the sizes of the window, in the order of the kernel's dimensions.
      strides: the distances between neighbouring windows; None: 1.
      padding: "VALID", "SAME" or `(low, high)` pairs, as in `lax.conv_general_dilated`.
      W_init, b_init: initialisers of the kernel, by default `glorot_normal` over its inputs and outputs, and of the bias.

    >>> from anima import random
    >>> init, apply = GeneralConv(("NCHW", "OIHW", "NCHW"), 5, (3, 3), (2, 2), "SAME")
    >>> shape, (w, b) = init(random.PRNGKey(0), (-1, 3, 8, 8))
    >>> shape, w.shape, b.shape
    ((-1, 5, 4, 4), (5, 3, 3, 3), (1, 5, 1, 1))
    """
    return _convolution(
        "GeneralConv",
        dimension_numbers,
        out_chan,
        filter_shape,
        strides,
        padding,
        (W_init, b_init),
        lax.conv_general_shape_tuple,
        lax.conv_general_dilated,
    )


Conv = functools.partial(GeneralConv, ("NHWC", "HWIO", "NHWC"))


def GeneralConvTranspose(
    dimension_numbers: Sequence[str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = _SMALL_BIAS,
) -> Layer:
    """A layer that convolves with a stride of less than 1, and adds a number to each channel.

    Args:
      strides: how many elements of the output there are for each one of the input; None: 1.
      dimension_numbers, out_chan, filter_shape, padding, W_init, b_init: as in `GeneralConv`.

    >>> from anima import random
    >>> GeneralConvTranspose(("NHWC", "HWIO", "NHWC"), 5, (3, 3), (2, 2), "SAME")[0](
    ...     random.PRNGKey(0), (1, 4, 4, 3)
    ... )[0]
    (1, 8, 8, 5)
    """
    return _convolution(
        "GeneralConvTranspose",
        dimension_numbers,
        out_chan,
        filter_shape,
        strides,
        padding,
        (W_init, b_init),
        lax.conv_transpose_shape_tuple,
        lax.conv_transpose,
    )


Conv1DTranspose = functools.partial(GeneralConvTranspose, ("NHC", "HIO", "NHC"))
ConvTranspose = functools.partial(GeneralConvTranspose, ("NHWC", "HWIO", "NHWC"))


# --- normalisation and activations ------------------------------------------------------------


def BatchNorm(
    axis: int | Sequence[int] = (0, 1, 2),
    epsilon: float = 1e-5,
    center: bool = True,
    scale: bool = True,
    beta_init: Any = zeros,
    gamma_init: Any = ones,
) -> Layer:
    """A layer that gives its input mean 0 and variance 1 over a batch, then scales and shifts it.

    Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift"
    (2015). Mean and variance are those of the inputs themselves; no running ones are kept.

    Args:
      axis: the dimensions over which mean and variance are taken.
      epsilon: added to the variance.
      center, scale: whether there are a shift `beta` and a factor `gamma`; they have the other dimensions.
      beta_init, gamma_init: their initialisers.

    >>> import anima.numpy as np
    >>> init, apply = BatchNorm(axis=0)
    >>> shape, params = init(None, (3, 1))
    >>> print(apply(params, np.array([[1.0], [2.0], [3.0]])).round(2))
    [[-1.22]
     [ 0.  ]
     [ 1.22]]
    """
    axes = tuple(onp.atleast_1d(axis).tolist())

    def over(ndim: int) -> tuple[int, ...]:
        for a in axes:
            if not -ndim <= a < ndim:
                raise ValueError(f"BatchNorm: axis {a} is out of bounds for inputs of dimension {ndim}")
        return tuple(a % ndim for a in axes)

    def init_fun(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        reduced = over(len(input_shape))
        shape = tuple(n for d, n in enumerate(input_shape) if d not in reduced)
        first, second = (None, None) if rng is None else random.split(rng)
        beta = beta_init(first, shape) if center else ()
        gamma = gamma_init(second, shape) if scale else ()
        return input_shape, (beta, gamma)

    def apply_fun(params: Any, x: Any, **kwargs: Any) -> Any:
        beta, gamma = params
        reduced = over(np.ndim(x))
        result = standardize(x, reduced, epsilon=epsilon)
        if scale:
            result = np.expand_dims(gamma, reduced) * result
        return result + np.expand_dims(beta, reduced) if center else result

    return init_fun, apply_fun


def elementwise(fun: Callable[..., Any], **fun_kwargs: Any) -> Layer:
    """A layer without parameters that applies a function which keeps the shape.

    Args:
      fun: the function, of an array.
      fun_kwargs: keyword arguments for it.

    >>> import anima.numpy as np
    >>> init, apply = elementwise(np.clip, min=0.0, max=6.0)
    >>> print(apply((), np.array([-1.0, 3.0, 9.0])))
    [0. 3. 6.]
    """
    return (
        lambda rng, input_shape: (input_shape, ()),
        lambda params, inputs, **kwargs: fun(inputs, **fun_kwargs),
    )


Tanh = elementwise(np.tanh)
Relu = elementwise(relu)
Exp = elementwise(np.exp)
LogSoftmax = elementwise(log_softmax, axis=-1)
Softmax = elementwise(softmax, axis=-1)
Softplus = elementwise(softplus)
Sigmoid = elementwise(sigmoid)
Elu = elementwise(elu)
LeakyRelu = elementwise(leaky_relu)
Selu = elementwise(selu)
Gelu = elementwise(gelu)


# --- pooling ----------------------------------------------------------------------------------


def _pooling(
    name: str,
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: Any,
    spec: str | None,
    pool: Callable[[Any, Shape, Shape, Any], Any],
) -> Layer:
    """The layer of a function of an array, windows, strides and padding, the latter for all dimensions."""
    steps = tuple(strides) if strides else (1,) * len(window_shape)
    spec = spec or "N" + "H" * len(window_shape) + "C"
    if len(spec) != len(window_shape) + 2 or sum(d in "NC" for d in spec) != 2:
        raise ValueError(
            f"{name}: spec must have N, C and a letter for each of the {len(window_shape)} sizes of window_shape, got {spec!r}"
        )
    if len(steps) != len(window_shape):
        raise ValueError(
            f"{name}: strides must have a number for each size of window_shape {tuple(window_shape)}, got {steps}"
        )

    def everywhere(given: Sequence[Any], elsewhere: Any) -> tuple[Any, ...]:
        rest = iter(given)
        return tuple(elsewhere if d in "NC" else next(rest) for d in spec)

    windows, steps = everywhere(window_shape, 1), everywhere(steps, 1)
    pads = padding if isinstance(padding, str) else everywhere(padding, (0, 0))

    def init_fun(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        # A dimension that windows do not span stays as it is, also where its size is not known.
        known = [1 if d in "NC" else n for d, n in zip(spec, input_shape)]
        shape = lax.reduce_window_shape_tuple(known, windows, steps, pads)
        return tuple(n if d in "NC" else m for d, n, m in zip(spec, input_shape, shape)), ()

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return pool(inputs, windows, steps, pads)

    return init_fun, apply_fun


def _sums(x: Any, windows: Shape, strides: Shape, padding: Any) -> Any:
    return lax.reduce_window(x, 0, lax.add, windows, strides, padding)


def _largest(x: Any, windows: Shape, strides: Shape, padding: Any) -> Any:
    least = -onp.inf if np.issubdtype(x.dtype, np.inexact) else np.iinfo(x.dtype).min
    return lax.reduce_window(x, least, lax.max, windows, strides, padding)


def _means(x: Any, windows: Shape, strides: Shape, padding: Any) -> Any:
    counts = _sums(np.ones_like(x), windows, strides, padding)
    return _sums(x, windows, strides, padding) / counts


def MaxPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    spec: str | None = None,
) -> Layer:
    """A layer that takes the largest element of each window.

    Args:
      window_shape: the sizes of a window.
      strides: the distances between neighbouring windows; None: 1.
      padding: "VALID", "SAME" or a `(low, high)` pair for each of them; it takes no part.
      spec: what the dimensions are: "N" for the batch, "C" for channels, other letters for those of the window; by default
        the batch is the first, channels are the last.
    Raises:
      ValueError: `spec` or `strides` do not fit the window.

    >>> import anima.numpy as np
    >>> print(MaxPool((2,), (2,))[1]((), np.arange(6.0).reshape(1, 6, 1)).ravel())
    [1. 3. 5.]
    """
    return _pooling("MaxPool", window_shape, strides, padding, spec, _largest)


def SumPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    spec: str | None = None,
) -> Layer:
    """A layer that takes the sum of each window; arguments are those of `MaxPool`.

    >>> import anima.numpy as np
    >>> print(SumPool((2,), (2,))[1]((), np.arange(6.0).reshape(1, 6, 1)).ravel())
    [1. 5. 9.]
    """
    return _pooling("SumPool", window_shape, strides, padding, spec, _sums)


def AvgPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    spec: str | None = None,
) -> Layer:
    """A layer that takes the mean of each window, without the padding in it; arguments are those of `MaxPool`.

    >>> import anima.numpy as np
    >>> print(AvgPool((3,), padding="SAME")[1]((), np.arange(4.0).reshape(1, 4, 1)).ravel())
    [0.5 1.  2.  2.5]
    """
    return _pooling("AvgPool", window_shape, strides, padding, spec, _means)


# --- shapes and combinations ------------------------------------------------------------------


def _flatten() -> Layer:
    def init_fun(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        return (input_shape[0], math.prod(input_shape[1:])), ()

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        # The product and not -1: a batch may be empty.
        shape = np.shape(inputs)
        return np.reshape(inputs, (shape[0], math.prod(shape[1:])))

    return init_fun, apply_fun


Flatten = _flatten()
Identity = elementwise(lambda x: x)


def FanOut(num: int) -> Layer:
    """A layer that returns a list of `num` times its input, for the branches of `parallel`.

    >>> FanOut(2)[1]((), 3.0)
    [3.0, 3.0]
    """
    return lambda rng, input_shape: ([input_shape] * num, ()), lambda params, inputs, **kwargs: [inputs] * num


def _fan_in_sum() -> Layer:
    return lambda rng, input_shape: (input_shape[0], ()), lambda params, inputs, **kwargs: sum(inputs)


FanInSum = _fan_in_sum()


def FanInConcat(axis: int = -1) -> Layer:
    """A layer that concatenates the arrays of a list along a dimension.

    >>> import anima.numpy as np
    >>> init, apply = FanInConcat()
    >>> init(None, [(2, 3), (2, 4)])
    ((2, 7), ())
    >>> print(apply((), [np.zeros(2), np.ones(1)]))
    [0. 0. 1.]
    """

    def init_fun(rng: Any, input_shape: Sequence[Shape]) -> tuple[Shape, Any]:
        first = input_shape[0]
        if not -len(first) <= axis < len(first):
            raise ValueError(
                f"FanInConcat: axis {axis} is out of bounds for inputs of dimension {len(first)}"
            )
        d = axis % len(first)
        return (*first[:d], sum(shape[d] for shape in input_shape), *first[d + 1 :]), ()

    return init_fun, lambda params, inputs, **kwargs: np.concatenate(inputs, axis)


def Dropout(rate: Any, mode: str = "train") -> Layer:
    """A layer that keeps each element with a probability, and divides those that it keeps by it; others become 0.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014). `apply_fun` needs
    the keyword `rng`, a key, unless the mode is "test".

    Args:
      rate: the probability with which an element is kept, of at least 0 and at most 1.
      mode: "train", or "test": all elements stay as they are.
    Raises:
      ValueError: the mode is another, the probability is none, or `apply_fun` gets no key.

    >>> import anima.numpy as np
    >>> from anima import random
    >>> print(Dropout(0.5)[1]((), np.ones(6), rng=random.PRNGKey(1)))
    [0. 2. 0. 0. 0. 0.]
    """
    if mode not in ("train", "test"):
        raise ValueError(f"Dropout: mode must be 'train' or 'test', got {mode!r}")
    if isinstance(rate, numbers.Real) and not 0 <= float(rate) <= 1:
        raise ValueError(f"Dropout: rate, the probability to keep an element, must be in [0, 1], got {rate}")

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        if mode == "test":
            return inputs
        rng = kwargs.get("rng")
        if rng is None:
            raise ValueError(
                "Dropout: apply_fun needs a random key in mode 'train': call apply_fun(params, inputs, rng=key)"
            )
        chance = np.asarray(rate, "float32") if isinstance(rate, numbers.Integral) else rate
        keep = random.bernoulli(rng, chance, np.shape(inputs))
        # Nothing is kept with probability 0; the divisor then only keeps derivatives numbers.
        return np.where(keep, inputs / np.where(rate == 0, 1, rate), 0)

    return lambda rng, input_shape: (input_shape, ()), apply_fun


def _keys(rng: Any, count: int) -> Any:
    return (None,) * count if rng is None else random.split(rng, count)


def _check_count(name: str, what: str, found: Any, count: int) -> None:
    if len(found) != count:
        raise ValueError(f"{name}: there must be {what} for each of the {count} layers, got {len(found)}")


def serial(*layers: Layer) -> Layer:
    """The layers one after the other.

    The parameters are the list of theirs. A key `rng` is divided among the layers.

    >>> from anima import random
    >>> init, apply = serial(Dense(4), Relu, Dense(2))
    >>> shape, params = init(random.PRNGKey(0), (-1, 3))
    >>> shape, len(params)
    ((-1, 2), 3)
    """

    def init_fun(rng: Any, input_shape: Any) -> tuple[Any, Any]:
        params = []
        for init, _ in layers:
            rng, own = (None, None) if rng is None else random.split(rng)
            input_shape, param = init(own, input_shape)
            params.append(param)
        return input_shape, params

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        _check_count("serial", "parameters", params, len(layers))
        for (_, apply), param, key in zip(layers, params, _keys(kwargs.pop("rng", None), len(layers))):
            inputs = apply(param, inputs, rng=key, **kwargs)
        return inputs

    return init_fun, apply_fun


def parallel(*layers: Layer) -> Layer:
    """The layers side by side, on a list of inputs: the output is the list of what each makes of its own.

    The parameters are a tuple of theirs. A key `rng` is divided among the layers.

    >>> from anima import random
    >>> init, apply = serial(FanOut(2), parallel(Dense(4), Identity), FanInConcat())
    >>> init(random.PRNGKey(0), (-1, 3))[0]
    (-1, 7)
    """

    def init_fun(rng: Any, input_shape: Sequence[Any]) -> tuple[Any, Any]:
        _check_count("parallel", "an input shape", input_shape, len(layers))
        keys = _keys(rng, len(layers))
        made = [init(key, shape) for (init, _), key, shape in zip(layers, keys, input_shape)]
        return tuple(shape for shape, _ in made), tuple(params for _, params in made)

    def apply_fun(params: Any, inputs: Sequence[Any], **kwargs: Any) -> list[Any]:
        _check_count("parallel", "parameters", params, len(layers))
        _check_count("parallel", "an input", inputs, len(layers))
        keys = _keys(kwargs.pop("rng", None), len(layers))
        return [
            apply(param, x, rng=key, **kwargs)
            for (_, apply), param, x, key in zip(layers, params, inputs, keys)
        ]

    return init_fun, apply_fun


def shape_dependent(make_layer: Callable[[Any], Layer]) -> Layer:
    """A layer that is made once the shape of its input is known.

    Args:
      make_layer: a function of that shape that returns a layer.

    >>> from anima import random
    >>> residual = shape_dependent(
    ...     lambda shape: serial(FanOut(2), parallel(Dense(shape[-1]), Identity), FanInSum)
    ... )
    >>> residual[0](random.PRNGKey(0), (-1, 5))[0]
    (-1, 5)
    """

    def init_fun(rng: Any, input_shape: Any) -> tuple[Any, Any]:
        return make_layer(input_shape)[0](rng, input_shape)

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return make_layer(np.shape(inputs))[1](params, inputs, **kwargs)

    return init_fun, apply_fun

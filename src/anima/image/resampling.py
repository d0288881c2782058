"""`resize` and `scale_and_translate`: one matrix of weights for each dimension.

Invariant: an output is a weighted mean of inputs; weights are computed in at least 32 bits and sum to 1, or are all 0 for a
place outside of the image. The result is rounded to the image's dtype once.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as onp

import anima.numpy as np
from anima import dtypes
from anima.image.methods import KERNELS, ResizeMethod, cubic, method_of
from anima.lax import Precision
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, inexact

_LEAST = 1000 * float(
    onp.finfo(onp.float32).eps
)  # a sum of weights below it is that of a place without inputs


def _normalized(weights: Any, inside: Any) -> Any:
    """The weights, a column for each output, with sum 1."""
    total = weights.sum(0, keepdims=True)
    safe = np.where(total == 0, 1, total)
    return np.where((np.abs(total) > _LEAST) & inside, weights / safe, 0)


def _bordered(place: Any, size: int) -> Any:
    """The weights of PyTorch's bicubic interpolation, in which pixels at the border repeat: here twice on each side.

    So there is an image as far outside as the cubic reaches one of these copies with a weight other than 0.
    """
    copies = np.arange(-2, size + 2, dtype=place.dtype)[:, None]
    weights = _normalized(cubic(np.abs(place - copies), -0.75), True)
    if size == 1:
        return weights.sum(0, keepdims=True)
    first, last = weights[:3].sum(0, keepdims=True), weights[-3:].sum(0, keepdims=True)
    return np.concatenate([first, weights[3:-3], last])


def _weights(
    size: int, outputs: int, scale: Any, translation: Any, method: ResizeMethod, antialias: bool
) -> Any:
    """The matrix, inputs by outputs, that resamples one dimension."""
    inverse = 1 / scale
    shift = translation * inverse
    place = (np.arange(outputs, dtype=scale.dtype) + 0.5) * inverse - shift - 0.5
    inside = (place >= -0.5) & (place <= size - 0.5)
    rows = np.arange(size, dtype=scale.dtype)[:, None]
    if method is ResizeMethod.AREA:
        low, high = place + 0.5 - inverse / 2, place + 0.5 + inverse / 2
        covered = np.minimum(high, rows + 1) - np.maximum(low, rows)
        return _normalized(np.maximum(covered, 0), inside)
    if method is ResizeMethod.CUBIC_PYTORCH and not antialias:
        return _bordered(place, size)
    # Where an image shrinks, the kernel is widened to cover all inputs.
    width = np.maximum(inverse, 1) if antialias else 1
    return _normalized(KERNELS[method](np.abs(place - rows) / width), inside)


def _computed_in(dtype: Any) -> Any:
    """The dtype of the weights."""
    return np.dtype(np.float64) if dtype in (np.float64, np.complex128) else np.dtype(np.float32)


@function(static=("shape", "dims", "method", "antialias", "precision"))
def _resample(
    image: Any,
    scale: Any,
    translation: Any,
    shape: tuple[int, ...],
    dims: tuple[int, ...],
    method: ResizeMethod,
    antialias: bool,
    precision: Any,
) -> Any:
    image = inexact("resize", image)
    dtype = image.dtype
    real = _computed_in(dtype)
    result = image if dtypes.is_complex(dtype) else image.astype(real)
    scale, translation = np.asarray(scale).astype(real), np.asarray(translation).astype(real)
    for k, d in enumerate(dims):
        weights = _weights(image.shape[d], shape[d], scale[k], translation[k], method, antialias)
        product = np.tensordot(result, weights.astype(result.dtype), axes=((d,), (0,)), precision=precision)
        result = np.moveaxis(product, -1, d)
    return result.astype(dtype)


def _shape_of(name: str, image: Any, shape: Any) -> tuple[int, ...]:
    sizes = tuple(operator.index(n) for n in shape)
    if len(sizes) != image.ndim:
        raise ValueError(
            f"{name}: shape must have one size for each dimension of the image, got {sizes} for an image of shape {image.shape}"
        )
    if any(n < 0 for n in sizes):
        raise ValueError(f"{name}: shape must have no negative sizes, got {sizes}")
    for old, new in zip(image.shape, sizes):
        if new and not old:
            raise ValueError(
                f"{name}: an empty image of shape {image.shape} has no values for one of shape {sizes}"
            )
    return sizes


def resize(
    image: Any,
    shape: Sequence[int],
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = Precision.HIGHEST,
) -> Any:
    """An image in another size.

    Args:
      image: array of any rank.
      shape: the sizes of the result, one for each dimension; dimensions that keep theirs are not touched.
      method: how values are found, a `ResizeMethod` or its name: "nearest", "linear", "bilinear", "trilinear", "triangle",
        "lanczos3", "lanczos5", "cubic", "bicubic", "tricubic", "cubic-pytorch" or "area".
      antialias: whether, where the image shrinks, a kernel is widened such that no input is skipped.
      precision: of the matrix products.
    Returns:
      an array of the given shape; integers and bools become floating-point numbers, except with "nearest".
    Raises:
      ValueError: the method is unknown, or the shape has another rank, negative sizes, or values of an empty image.

    >>> import anima.numpy as np
    >>> print(resize(np.array([0.0, 4.0]), (4,), "linear"))
    [0. 1. 3. 4.]
    """
    image = np.asarray(array_like("resize", image, "image"))
    sizes = _shape_of("resize", image, shape)
    kind = method_of("resize", method)
    changed = tuple(d for d in range(image.ndim) if image.shape[d] != sizes[d])
    if kind is ResizeMethod.NEAREST:
        for d in changed:
            # In whole numbers: the floor of (i + 1/2) * old / new.
            steps = onp.arange(sizes[d], dtype=onp.int64)
            places = (2 * steps + 1) * image.shape[d] // (2 * max(sizes[d], 1))
            image = np.take(image, np.asarray(places.astype(onp.int32)), axis=d, mode="clip")
        return image
    scale = onp.array(
        [sizes[d] / image.shape[d] if sizes[d] else 1 for d in changed], _computed_in(image.dtype)
    )
    return _resample(image, scale, onp.zeros_like(scale), sizes, changed, kind, bool(antialias), precision)


def scale_and_translate(
    image: Any,
    shape: Sequence[int],
    spatial_dims: Sequence[int],
    scale: Any,
    translation: Any,
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = Precision.HIGHEST,
) -> Any:
    """An image scaled, then moved, then cut to a shape.

    The input's place `x` goes to `x * scale + translation`, where pixel `i` has its centre at `i + 1/2`. Differentiable in the
    image, the scale and the translation.

    Args:
      image: array of any rank.
      shape: the sizes of the result, one for each dimension.
      spatial_dims: the dimensions to resample; others keep what they have.
      scale, translation: arrays with one number for each of them.
      method: as for `resize`, without "nearest".
      antialias: whether a kernel is widened where the image shrinks.
      precision: of the matrix products.
    Returns:
      a floating-point or complex array, 0 where there is no image.
    Raises:
      ValueError: shapes, dimensions or lengths do not fit, or the method is "nearest" or unknown.

    >>> import anima.numpy as np
    >>> print(scale_and_translate(np.array([1.0, 2.0, 3.0]), (3,), (0,), np.ones(1), np.ones(1), "linear"))
    [0. 1. 2.]
    """
    name = "scale_and_translate"
    image = np.asarray(array_like(name, image, "image"))
    sizes = _shape_of(name, image, shape)
    kind = method_of(name, method)
    if kind is ResizeMethod.NEAREST:
        raise ValueError(
            f"{name}: Nearest neighbor resampling has no derivatives; use resize for it, or another method"
        )
    dims = []
    for d in spatial_dims:
        if not -image.ndim <= operator.index(d) < image.ndim:
            raise ValueError(
                f"{name}: axis {d} of spatial_dims is out of bounds for array of dimension {image.ndim}"
            )
        dims.append(operator.index(d) % image.ndim)
    scale, translation = np.asarray(scale), np.asarray(translation)
    for what, value in (("scale", scale), ("translation", translation)):
        if value.shape != (len(dims),):
            raise ValueError(
                f"{name}: {what} must have shape {(len(dims),)}, one number a spatial dimension, got {value.shape}"
            )
    for d in range(image.ndim):
        if d not in dims and image.shape[d] != sizes[d]:
            raise ValueError(
                f"{name}: dimension {d} is not in spatial_dims, but goes from size {image.shape[d]} to {sizes[d]}"
            )
    return _resample(image, scale, translation, sizes, tuple(dims), kind, bool(antialias), precision)

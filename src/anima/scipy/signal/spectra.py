"""Spectra of segments of signals, each by itself (`stft`) or averaged (`csd`, `welch`).

Invariant: signals run along the last axis; `_spectra` returns, for each segment, the products of the transforms of one signal,
conjugated, with those of another, or the transforms themselves, with frequencies along the last axis.
Source: P. Welch, "The use of the fast Fourier transform for the estimation of power spectra", IEEE Trans. Audio 15, 1967.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

import anima.numpy as np
from anima import dtypes, lax
from anima.lax.shape import check_axis
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, shape_of
from anima.scipy.signal.segments import Sizes, complex_dtype, cut, resolved, segment_size, window_of
from anima.scipy.signal.trends import check_type, without_line, without_mean

Trend = Callable[[Any], Any]


class _Settings(NamedTuple):
    """What a spectrum is, besides its operands."""

    sizes: Sizes
    trend: Trend | None
    onesided: bool
    scaling: str
    average: str = "mean"
    boundary: str | None = None
    padded: bool = False


# --- what is done to a segment ----------------------------------------------------------------


def _trend(name: str, detrend: Any) -> Trend | None:
    """What removes the trend along the last axis."""
    if detrend is None or detrend is False:
        return None
    if callable(detrend):
        return detrend
    check_type(name, detrend)
    return without_mean if detrend == "constant" else without_line


def _extended(x: Any, mode: str, width: int) -> Any:
    """`x` continued by `width` elements at both ends."""
    nothing = [(0, 0)] * (len(shape_of(x)) - 1)
    if mode == "zeros":
        return np.pad(x, [*nothing, (width, width)])
    if mode == "constant":
        return np.pad(x, [*nothing, (width, width)], "edge")
    return np.pad(x, [*nothing, (width, width)], "reflect", reflect_type=mode)


def _transform(x: Any, window: Any, settings: _Settings) -> Any:
    """The transforms of the segments of a signal."""
    sizes = settings.sizes
    if settings.boundary is not None:
        x = _extended(x, settings.boundary, sizes.nperseg // 2)
    if settings.padded:
        rest = -(shape_of(x)[-1] - sizes.nperseg) % sizes.step % sizes.nperseg
        x = np.pad(x, [(0, 0)] * (len(shape_of(x)) - 1) + [(0, rest)])
    segments = cut(x, sizes.nperseg, sizes.step)
    if settings.trend is not None:
        segments = settings.trend(segments)
    transform = np.fft.rfft if settings.onesided else np.fft.fft
    return transform(segments * window, sizes.nfft)


# --- spectra of all segments ------------------------------------------------------------------


def _middle(x: Any) -> Any:
    """The medians of the real and the imaginary parts over the segments, without the bias of medians of periodograms."""
    count = shape_of(x)[-2]
    even = 2 * numpy.arange(1, (count - 1) // 2 + 1)
    bias = 1 + numpy.sum(
        1 / (even + 1) - 1 / even
    )  # B. Allen and others, "FINDCHIRP", Phys. Rev. D 85, 2012, appendix B
    median = np.median(x.real, axis=-2)
    if dtypes.is_complex(x.dtype):
        median = lax.complex(median, np.median(x.imag, axis=-2))
    return median / bias


@function(static=("axis", "settings"))
def _spectra(x: Any, y: Any, window: Any, fs: Any, axis: int, settings: _Settings) -> tuple[Any, Any]:
    """The frequencies, and the cross spectral density of two signals, or without the second that of the first."""
    sizes, dtype = settings.sizes, _dtype(x, y)
    window, fs = _prepared(window, fs, settings, dtype)
    first = _transform(_along(x, axis, settings, dtype), window, settings)
    if y is None:
        power = first.real**2 + first.imag**2
    else:
        power = np.conj(first) * _transform(_along(y, axis, settings, dtype), window, settings)
    if settings.scaling == "density":
        power = power / (fs * np.sum(window * np.conj(window)).real)
    else:
        total = np.sum(window)
        power = power / (total * np.conj(total)).real
    if settings.onesided:
        # Each of these stands for its negative as well; 0 and, for even sizes, the highest frequency have none.
        twice = numpy.full(sizes.nfft // 2 + 1, 2.0)
        twice[0] = 1
        if sizes.nfft % 2 == 0:
            twice[-1] = 1
        power = power * np.asarray(twice, dtypes.to_real_dtype(dtype))
    average = _middle(power) if settings.average == "median" else np.mean(power, axis=-2)
    return _frequencies(settings, fs), np.moveaxis(average, -1, axis)


@function(static=("axis", "settings"), name="stft")
def _stft(x: Any, window: Any, fs: Any, axis: int, settings: _Settings) -> tuple[Any, Any, Any]:
    sizes, dtype = settings.sizes, _dtype(x, None)
    window, fs = _prepared(window, fs, settings, dtype)
    found = _transform(_along(x, axis, settings, dtype), window, settings) / np.sum(window)
    start = 0.0 if settings.boundary is not None else sizes.nperseg / 2
    times = (start + sizes.step * np.arange(shape_of(found)[-2], dtype=fs.dtype)) / fs
    return _frequencies(settings, fs), times, np.moveaxis(np.moveaxis(found, -2, -1), -2, axis)


def _dtype(x: Any, y: Any) -> Any:
    """The complex dtype of transforms."""
    kind = dtype_of(x) if y is None else dtypes.promote_types(dtype_of(x), dtype_of(y))
    return complex_dtype(kind)


def _prepared(window: Any, fs: Any, settings: _Settings, dtype: Any) -> tuple[Any, Any]:
    """The window and the sampling frequency in the precision of the transforms."""
    real = dtypes.to_real_dtype(dtype)
    kept = dtype if dtypes.is_complex(dtype_of(window)) else real
    return np.asarray(window).astype(kept), np.asarray(fs).astype(real)


def _along(x: Any, axis: int, settings: _Settings, dtype: Any) -> Any:
    """A signal along the last axis, real if that is enough."""
    x = np.moveaxis(np.asarray(x), axis, -1)
    return x.astype(dtype if dtypes.is_complex(x.dtype) else dtypes.to_real_dtype(dtype))


def _frequencies(settings: _Settings, fs: Any) -> Any:
    sizes = settings.sizes
    numbers = (
        numpy.arange(sizes.nfft // 2 + 1)
        if settings.onesided
        else numpy.fft.fftfreq(sizes.nfft, 1 / sizes.nfft)
    )
    return np.asarray(numbers, fs.dtype) * (fs / sizes.nfft)


def _onesided(name: str, wanted: bool, *operands: Any) -> bool:
    if wanted and any(dtypes.is_complex(dtype_of(x)) for x in operands if x is not None):
        warnings.warn(f"{name}: the signal is complex, so the spectrum has both sides", stacklevel=4)
        return False
    return bool(wanted)


# --- public functions -------------------------------------------------------------------------


def stft(
    x: Any,
    fs: Any = 1.0,
    window: Any = "hann",
    nperseg: int = 256,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = False,
    return_onesided: bool = True,
    boundary: str | None = "zeros",
    padded: bool = True,
    axis: int = -1,
) -> tuple[Any, Any, Any]:
    """The short-time Fourier transform of a signal: the spectra of overlapping segments.

    Args:
      x: an array of any dtype.
      fs: the sampling frequency.
      window: what segments are multiplied by: the name of one of SciPy's windows, a tuple of a name and parameters, or a vector.
      nperseg: the size of segments, 256 by default; where `window` is a vector, its size, or None.
      noverlap: how many elements neighbouring segments share; by default half of them.
      nfft: the size of transforms, which zeros make longer than segments; by default the same.
      detrend: what is subtracted from each segment: "constant": its mean; "linear": a line; False: nothing; or a function
        that does it, along the last axis.
      return_onesided: whether spectra of real signals leave out negative frequencies.
      boundary: how the signal goes on at both ends for half a segment: "zeros", "constant" for its last value, "even" or
        "odd" for its reflection about that, or None.
      padded: whether zeros complete the last segment.
      axis: the axis along which the signal runs.
    Returns:
      frequencies; the times of the middles of segments; and their spectra, frequencies along `axis`, segments along a last
      axis of its own. They are scaled so that a wave of amplitude 1 has a peak of 1/2.
    Raises:
      ValueError: `axis`, `boundary`, `detrend` or a window does not exist, or sizes do not fit together.

    >>> import anima.numpy as np
    >>> from anima.scipy import signal
    >>> f, t, z = signal.stft(np.cos(np.pi / 2 * np.arange(32)), nperseg=8)
    >>> print(f, t, z.shape)
    [0.    0.125 0.25  0.375 0.5  ] [ 0.  4.  8. 12. 16. 20. 24. 28. 32.] (5, 9)
    >>> print(abs(z[:, 4]).round(3))
    [0.   0.25 0.5  0.25 0.  ]
    """
    x = array_like("stft", x, "x")
    axis = check_axis("stft", axis, len(shape_of(x)))
    if boundary not in ("even", "odd", "constant", "zeros", None):
        raise ValueError(
            f"stft: boundary must be 'even', 'odd', 'constant', 'zeros' or None, got {boundary!r}"
        )
    if 0 in shape_of(x):
        nothing = np.zeros(shape_of(x), dtypes.to_real_dtype(_dtype(x, None)))
        return nothing, nothing, nothing.astype(_dtype(x, None))
    size = segment_size("stft", window, nperseg, 256, shape_of(x)[axis])
    settings = _Settings(
        resolved("stft", size, noverlap, nfft),
        _trend("stft", detrend),
        _onesided("stft", return_onesided, x),
        "spectrum",
        boundary=boundary,
        padded=bool(padded),
    )
    return _stft(x, window_of("stft", window, size), fs, axis, settings)


def csd(
    x: Any,
    y: Any,
    fs: Any = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:
    """The cross spectral density of two signals by Welch's method: an average over overlapping segments.

    Args:
      x, y: arrays of one rank, of any dtype; besides `axis` they broadcast, along it zeros complete the shorter one. Without
        `y` the density is that of `x` with itself, and real.
      fs, window, noverlap, nfft, detrend, return_onesided, axis: as in `stft`.
      nperseg: the size of segments; by default that of `window` if it is a vector, otherwise that of the signal.
      scaling: "density": power for each unit of frequency; "spectrum": power.
      average: "mean", or "median" of the real and the imaginary parts.
    Returns:
      frequencies, and the density, with frequencies along `axis`.
    Raises:
      ValueError: a setting does not exist, sizes do not fit together, or `x` and `y` do not broadcast.

    >>> import anima.numpy as np
    >>> from anima.scipy import signal
    >>> x = np.cos(np.pi / 4 * np.arange(32))
    >>> f, density = signal.csd(x, 2 * x, nperseg=8, window="boxcar")
    >>> print(density.real.round(3))
    [0. 8. 0. 0. 0.]
    """
    return _density(
        "csd", x, y, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, average
    )


def welch(
    x: Any,
    fs: Any = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:
    """The power spectral density of a signal by Welch's method: the average over overlapping segments.

    Arguments and errors are those of `csd`.

    Returns:
      frequencies, and the density, with frequencies along `axis`.

    >>> import anima.numpy as np
    >>> from anima.scipy import signal
    >>> f, power = signal.welch(
    ...     np.cos(np.pi / 4 * np.arange(32)), nperseg=8, scaling="spectrum", window="boxcar"
    ... )
    >>> print(power.round(3))
    [0.  0.5 0.  0.  0. ]
    """
    return _density(
        "welch",
        x,
        None,
        fs,
        window,
        nperseg,
        noverlap,
        nfft,
        detrend,
        return_onesided,
        scaling,
        axis,
        average,
    )


def _density(
    name: str,
    x: Any,
    y: Any,
    fs: Any,
    window: Any,
    nperseg: int | None,
    noverlap: int | None,
    nfft: int | None,
    detrend: Any,
    return_onesided: bool,
    scaling: str,
    axis: int,
    average: str,
) -> tuple[Any, Any]:
    for argument, value, known in (
        ("scaling", scaling, ("density", "spectrum")),
        ("average", average, ("mean", "median")),
    ):
        if value not in known:
            raise ValueError(f"{name}: {argument} must be {known[0]!r} or {known[1]!r}, got {value!r}")
    x = array_like(name, x, "x")
    axis = check_axis(name, axis, len(shape_of(x)))
    shape = shape_of(x)
    if y is not None:
        x, y, shape = _pair(name, x, array_like(name, y, "y"), axis)
    if 0 in shape:
        dtype = _dtype(x, y)
        real = dtypes.to_real_dtype(dtype)
        return np.zeros(shape, real), np.zeros(shape, real if y is None else dtype)
    size = segment_size(name, window, nperseg, shape[axis], shape[axis])
    settings = _Settings(
        resolved(name, size, noverlap, nfft),
        _trend(name, detrend),
        _onesided(name, return_onesided, x, y),
        scaling,
        average,
    )
    return _spectra(x, y, window_of(name, window, size), fs, axis, settings)


def _pair(name: str, x: Any, y: Any, axis: int) -> tuple[Any, Any, tuple[int, ...]]:
    """Two signals, the shorter one completed with zeros, and the shape of both together."""
    shapes = [shape_of(x), shape_of(y)]
    if len(shapes[0]) != len(shapes[1]):
        raise ValueError(f"{name}: x and y must be of one rank, got shapes {shapes[0]} and {shapes[1]}")
    others = [tuple(1 if a == axis else n for a, n in enumerate(s)) for s in shapes]
    try:
        shape = list(np.broadcast_shapes(*others))
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: x and y must broadcast besides axis {axis}, got shapes {shapes[0]} and {shapes[1]}"
        ) from None
    shape[axis] = max(s[axis] for s in shapes)
    x, y = (
        np.pad(v, [(0, shape[axis] - n if a == axis else 0) for a, n in enumerate(s)])
        if s[axis] < shape[axis]
        else v
        for v, s in zip((x, y), shapes)
    )
    return x, y, tuple(shape)

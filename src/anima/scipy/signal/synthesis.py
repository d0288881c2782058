"""Signals from their short-time spectra.

Invariant: `istft` is a left inverse of `stft`: of all signals it returns the one whose spectra are nearest to those given.
Source: D. Griffin and J. Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans. ASSP 32, 1984.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.lax.shape import check_axis
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, shape_of
from anima.scipy.signal.segments import Sizes, added_up, complex_dtype, resolved, segment_size, window_of


@function(static=("sizes", "onesided", "boundary", "axes"), name="istft")
def _istft(
    Zxx: Any, window: Any, fs: Any, sizes: Sizes, onesided: bool, boundary: bool, axes: tuple[int, int]
) -> tuple[Any, Any]:
    dtype = complex_dtype(dtype_of(Zxx))
    real = dtypes.to_real_dtype(dtype)
    time_axis, freq_axis = axes
    spectra = np.moveaxis(np.asarray(Zxx).astype(dtype), (time_axis, freq_axis), (-2, -1))
    window = np.asarray(window)
    window = window.astype(dtype if dtypes.is_complex(window.dtype) and not onesided else real)
    inverse = np.fft.irfft if onesided else np.fft.ifft
    segments = inverse(spectra, sizes.nfft)[..., : sizes.nperseg] * (window * np.sum(window))
    count = shape_of(spectra)[-2]
    x = added_up(segments, sizes.step)
    weight = added_up(np.broadcast_to(window**2, (count, sizes.nperseg)), sizes.step)
    if boundary:
        ends = slice(sizes.nperseg // 2, shape_of(x)[-1] - sizes.nperseg // 2)
        x, weight = x[..., ends], weight[ends]
    x = x / np.where(np.abs(weight) > 1e-10, weight, 1)
    times = np.arange(shape_of(x)[-1], dtype=real) / np.asarray(fs).astype(real)
    return times, np.moveaxis(x, -1, time_axis - (freq_axis < time_axis))


def istft(
    Zxx: Any,
    fs: Any = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    input_onesided: bool = True,
    boundary: bool = True,
    time_axis: int = -1,
    freq_axis: int = -2,
) -> tuple[Any, Any]:
    """The signal of a short-time Fourier transform.

    Args:
      Zxx: what `stft` returns last, or an array of that kind.
      fs, window, noverlap: as they were given to `stft`.
      nperseg, nfft: the sizes of segments and transforms; by default those that the number of frequencies tells.
      input_onesided: whether negative frequencies are left out, and the signal is real.
      boundary: whether the signal was extended at its ends, by half a segment each.
      time_axis, freq_axis: the axes of segments and of frequencies.
    Returns:
      times, and the signal along `time_axis`. It is zero where all windows are.
    Raises:
      ValueError: there are less than two axes, an axis is out of range or taken twice, or sizes do not fit together.

    >>> import anima.numpy as np
    >>> from anima.scipy import signal
    >>> _, _, z = signal.stft(np.array([1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 1.0, 2.0]), nperseg=4)
    >>> print(signal.istft(z)[1].round(3) + 0)
    [1. 2. 3. 2. 1. 0. 1. 2.]
    """
    Zxx = array_like("istft", Zxx, "Zxx")
    shape = shape_of(Zxx)
    if len(shape) < 2:
        raise ValueError(f"istft: Zxx must have two axes or more, got shape {shape}")
    axes = (
        check_axis("istft", time_axis, len(shape), "time_axis"),
        check_axis("istft", freq_axis, len(shape), "freq_axis"),
    )
    if axes[0] == axes[1]:
        raise ValueError(f"istft: time_axis and freq_axis must differ, got {time_axis} and {freq_axis}")
    count, segments = shape[axes[1]], shape[axes[0]]
    if not count or not segments:
        raise ValueError(f"istft: Zxx must have frequencies and segments, got shape {shape}")
    whole = 2 * (count - 1) if input_onesided else count
    size = segment_size("istft", window, nperseg, whole)
    if nfft is None:  # an odd transform and the even one below it have as many frequencies
        nfft = size if input_onesided and size == whole + 1 else whole
    sizes = resolved("istft", size, noverlap, nfft)
    settings = (sizes, bool(input_onesided), bool(boundary), axes)
    return _istft(Zxx, window_of("istft", window, size), fs, *settings)

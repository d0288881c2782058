"""Signals as SciPy has them: convolutions, trends, spectra.

Invariant: a name is public by being imported here as itself.

>>> import anima.numpy as np
>>> from anima.scipy import signal
>>> print(signal.convolve(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0])))
[1. 3. 5. 3.]
"""

from anima.scipy.signal.convolution import (
    convolve as convolve,
    convolve2d as convolve2d,
    correlate as correlate,
    correlate2d as correlate2d,
    fftconvolve as fftconvolve,
)
from anima.scipy.signal.spectra import csd as csd, stft as stft, welch as welch
from anima.scipy.signal.synthesis import istft as istft
from anima.scipy.signal.trends import detrend as detrend

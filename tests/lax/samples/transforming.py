"""Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from anima import lax
from tests.lax.samples import C64, F32, Sample, complexes, floats

ORACLES = {"FFT": scipy.fft.fftn, "IFFT": scipy.fft.ifftn, "RFFT": scipy.fft.rfftn, "IRFFT": scipy.fft.irfftn}


def sample(kind: str, x: np.ndarray, lengths: tuple[int, ...], **more: Any) -> Sample:
    axes = tuple(range(-len(lengths), 0))
    oracle = ORACLES[kind]
    return Sample(
        primitive="fft",
        call=lambda x: lax.fft(x, kind, lengths),
        args=(x,),
        **({"ulps": 8.0, "floor": 4.0, "oracle": lambda x: oracle(x, s=lengths, axes=axes)} | more),
    )


def nothing(kind: str, x: np.ndarray, lengths: tuple[int, ...], shape: tuple[int, ...], dtype: Any) -> Sample:
    return sample(kind, x, lengths, oracle=lambda x: np.zeros(shape, dtype), ulps=0.0, differentiate=False)


SAMPLES = [
    Sample(  # whatever the dtype of the operand
        primitive="fft",
        call=lambda x: lax.fft(x, lax.FftType.FFT, (5,)),
        args=(floats((3, 5)),),
        oracle=lambda x: scipy.fft.fft(x),
        ulps=8.0,
        floor=4.0,
    ),
    sample("FFT", complexes((6,)), (6,)),
    sample("FFT", complexes((2, 3, 4)), (3, 4)),
    sample("FFT", complexes((2, 3, 2, 3)), (3, 2, 3)),
    sample("IFFT", complexes((2, 7)), (7,)),
    sample("IFFT", complexes((2, 2, 3)), (2, 2, 3)),
    *(sample("RFFT", floats((2, n)), (n,)) for n in (1, 2, 5, 6)),
    sample("RFFT", floats((3, 4)), (3, 4)),
    sample("RFFT", floats((2, 3, 2, 3)), (3, 2, 3)),
    *(sample("IRFFT", complexes((2, n // 2 + 1)), (n,)) for n in (1, 2, 5, 6)),
    sample("IRFFT", complexes((3, 3)), (3, 4)),
    sample("IRFFT", complexes((2, 3, 2, 2)), (3, 2, 3)),
    nothing("FFT", np.zeros((0, 4), C64), (4,), (0, 4), C64),
    nothing("IFFT", np.zeros((2, 0), C64), (0,), (2, 0), C64),
    nothing("RFFT", np.zeros((2, 0), F32), (0,), (2, 1), C64),
    nothing("RFFT", np.zeros((0, 4), F32), (0, 4), (0, 3), C64),
    nothing("IRFFT", np.zeros((2, 1), C64), (0,), (2, 0), F32),
    Sample(
        primitive="fft",
        call=lambda x: lax.fft(x, "rfft", ()),
        args=(floats((3,)),),
        oracle=lambda x: x,
    ),
]

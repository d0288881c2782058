"""Random bits, and normal numbers."""

from __future__ import annotations

import mpmath
import numpy as np

from anima.lax.rng import normal_quantile, threefry2x32
from tests.lax.samples import Sample, floats
from tests.lax.samples.functions import mp

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)


def cipher(k1: np.ndarray, k2: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Threefry-2x32 with 20 rounds, in 64-bit integers as the paper writes it: a key is injected every four rounds."""
    mask = np.uint64(0xFFFFFFFF)
    k1, k2, x1, x2 = (np.asarray(v, np.uint64) for v in np.broadcast_arrays(k1, k2, x1, x2))
    keys = [k1, k2, k1 ^ k2 ^ np.uint64(0x1BD11BDA)]
    x1, x2 = (x1 + k1) & mask, (x2 + k2) & mask
    for turn in range(20):
        amount = np.uint64(_ROTATIONS[turn % 8])
        x1 = (x1 + x2) & mask
        x2 = ((x2 << amount) | (x2 >> (np.uint64(32) - amount))) & mask ^ x1
        if turn % 4 == 3:
            step = turn // 4 + 1
            x1 = (x1 + keys[step % 3]) & mask
            x2 = (x2 + keys[(step + 1) % 3] + np.uint64(step)) & mask
    return x1.astype(np.uint32), x2.astype(np.uint32)


def words(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 32, size, dtype=np.uint32)


SAMPLES = [
    Sample(
        primitive="threefry2x32",
        call=threefry2x32,
        args=(words(6, 0), words(6, 1), words(6, 2), words(6, 3)),
        oracle=cipher,
        differentiate=False,
    ),
    Sample(
        primitive="threefry2x32",
        call=threefry2x32,
        args=(np.uint32(1), np.uint32(0xFFFFFFFF), words(4, 4), words(4, 5)),
        oracle=cipher,
        differentiate=False,
    ),
    Sample(
        primitive="normal_quantile",
        call=normal_quantile,
        args=(floats((3, 4), -0.9, 0.9),),
        oracle=mp(mpmath.erfinv),
        ulps={"float64": 100, "": 8},
    ),
]

"""Random bits, and normal numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from anima.lax.ciphers import philox2x32, philox4x32, threefry2x32, threefry4x32
from anima.lax.rng import normal_quantile
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


_ROTATIONS_OF_4 = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
_MASK = np.uint64(0xFFFFFFFF)


def _wide(words: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    return [np.asarray(word, np.uint64) for word in np.broadcast_arrays(*words)]


def _narrow(words: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(word.astype(np.uint32) for word in words)


def cipher_of_4(*words: np.ndarray) -> tuple[np.ndarray, ...]:
    """Threefry-4x32 with 20 rounds, as `cipher`; the paper exchanges words 1 and 3 after each round."""
    k, x = _wide(words)[:4], _wide(words)[4:]
    k.append(k[0] ^ k[1] ^ k[2] ^ k[3] ^ np.uint64(0x1BD11BDA))
    x = [(a + b) & _MASK for a, b in zip(x, k)]
    for turn in range(20):
        for i, amount in zip((0, 2), _ROTATIONS_OF_4[turn % 8]):
            x[i] = (x[i] + x[i + 1]) & _MASK
            left, right = np.uint64(amount), np.uint64(32 - amount)
            x[i + 1] = ((x[i + 1] << left) | (x[i + 1] >> right)) & _MASK ^ x[i]
        x = [x[0], x[3], x[2], x[1]]
        if turn % 4 == 3:
            step = turn // 4 + 1
            x = [(word + k[(step + i) % 5] + np.uint64(step * (i == 3))) & _MASK for i, word in enumerate(x)]
    return _narrow(x)


def philox_of_2(*words: np.ndarray) -> tuple[np.ndarray, ...]:
    """Philox-2x32 with 10 rounds, in 64-bit integers."""
    k, left, right = _wide(words)
    for turn in range(10):
        product = left * np.uint64(0xD256D193)
        key = (k + np.uint64(turn) * np.uint64(0x9E3779B9)) & _MASK
        left, right = product >> np.uint64(32) ^ key ^ right, product & _MASK
    return _narrow([left, right])


def philox_of_4(*words: np.ndarray) -> tuple[np.ndarray, ...]:
    """Philox-4x32 with 10 rounds, in 64-bit integers."""
    k0, k1, *x = _wide(words)
    for turn in range(10):
        first, second = x[0] * np.uint64(0xD2511F53), x[2] * np.uint64(0xCD9E8D57)
        key0 = (k0 + np.uint64(turn) * np.uint64(0x9E3779B9)) & _MASK
        key1 = (k1 + np.uint64(turn) * np.uint64(0xBB67AE85)) & _MASK
        upper = np.uint64(32)
        x = [second >> upper ^ x[1] ^ key0, second & _MASK, first >> upper ^ x[3] ^ key1, first & _MASK]
    return _narrow(x)


def words(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 32, size, dtype=np.uint32)


def of_blocks(cipher: Callable[..., Any]) -> Callable[[Any, Any], tuple[Any, ...]]:
    """A cipher of two arrays: there are too many combinations of mapped operands to walk over those of eight."""
    return lambda key, counter: tuple(cipher(*(w[i] for w in (key, counter) for i in range(w.shape[0]))))


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
    *(
        Sample(
            primitive=name,
            call=of_blocks(call),
            args=(words(5 * key, 6).reshape(key, 5), words(5 * counter, 7).reshape(counter, 5)),
            oracle=of_blocks(oracle),
            differentiate=False,
        )
        for name, call, key, counter, oracle in (
            ("threefry4x32", threefry4x32, 4, 4, cipher_of_4),
            ("philox2x32", philox2x32, 1, 2, philox_of_2),
            ("philox4x32", philox4x32, 2, 4, philox_of_4),
        )
    ),
    Sample(
        primitive="normal_quantile",
        call=normal_quantile,
        args=(floats((3, 4), -0.9, 0.9),),
        oracle=mp(mpmath.erfinv),
        ulps={"float64": 100, "": 8},
    ),
]

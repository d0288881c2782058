"""Two generators on top of the compiler's own random bits: quicker on some devices, with fewer promises.

Invariant: a key is four words. Seeds, and in `rbg` also new keys, are two Threefry keys side by side; the bits are those
of `lax.rng_bit_generator` with the platform's algorithm, so they may differ from one kind of device to another, and
under `vmap` over keys they come from the first key alone. Bits and keys agree with JAX's on the same device.

`unsafe_rbg` also makes new keys with the compiler's bits; nothing is promised of their independence.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import lax
from anima.random import threefry
from anima.transforms.vmap import vmap

Shape = tuple[int, ...]

KEY_WORDS = 4

# Of the keys that the compiler's generator makes one after another, `unsafe_rbg` takes each tenth.
_STRIDE = 10


def seed(value: Any) -> Any:
    """The key of an integer array of shape (): that of Threefry, twice."""
    half = threefry.seed(value)
    return lax.concatenate([half, half], 0)


def split(key: Any, shape: Shape) -> Any:
    """New keys, an array of shape `(*shape, 4)`: those of the two halves, side by side."""
    halves = lax.reshape(key, (2, threefry.KEY_WORDS))
    both = vmap(lambda half: threefry.split(half, shape), out_axes=len(shape))(halves)
    return lax.reshape(both, (*shape, KEY_WORDS))


def fold_in(key: Any, word: Any) -> Any:
    """The key made of a key and a uint32 scalar."""
    halves = lax.reshape(key, (2, threefry.KEY_WORDS))
    return lax.reshape(vmap(lambda half: threefry.fold_in(half, word))(halves), (KEY_WORDS,))


def bits(key: Any, width: int, shape: Shape) -> Any:
    """Unsigned integers of `width` bits, uniformly distributed."""
    return _generated(key, shape, threefry.UINT[width])


def unsafe_split(key: Any, shape: Shape) -> Any:
    """New keys, an array of shape `(*shape, 4)`, by the compiler's generator."""
    count = math.prod(shape)
    words = _generated(key, (_STRIDE * count, KEY_WORDS), np.uint32)
    return lax.reshape(
        lax.slice(words, (0, 0), (_STRIDE * count, KEY_WORDS), (_STRIDE, 1)), (*shape, KEY_WORDS)
    )


def unsafe_fold_in(key: Any, word: Any) -> Any:
    """The key made of a key and a uint32 scalar: their bits, exclusively or-ed."""
    words = _generated(seed(word), (_STRIDE, KEY_WORDS), np.uint32)
    return lax.bitwise_xor(key, lax.index_in_dim(words, _STRIDE - 1, keepdims=False))


def _generated(key: Any, shape: Shape, dtype: Any) -> Any:
    return lax.rng_bit_generator_p.bind(
        key,
        shape=shape,
        dtype=np.dtype(dtype),
        algorithm=lax.RandomAlgorithm.RNG_DEFAULT,
        out_sharding=None,
    )[1]

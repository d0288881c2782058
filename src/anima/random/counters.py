"""Generators that encipher positions: Philox of two and of four words, and Threefry of four.

Invariant: every element is the cipher of its own position, a 64-bit number, so any part of an array can be made by
itself and no number depends on the size of the whole. New keys are the cipher of their own positions too; in blocks of
four words those stand in the other half of the counter, so keys and bits have no block in common. (Philox of two words
has no other half: there the first words of blocks are keys, and bits are made of both.) Numbers agree with JAX's, bit
for bit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from anima import lax
from anima.core.primitive import Primitive
from anima.lax.ciphers import philox2x32_p, philox4x32_p, threefry4x32_p
from anima.random import threefry
from anima.records import Record

Shape = tuple[int, ...]
Words = tuple[Any, ...]

_ZERO = np.uint32(0)


class Counters(Record):
    """The functions of a generator.

    Attributes:
      cipher: the operation: of the words of the key, then of those of the counter.
      key_words: how many words a key has.
      seeded: the operands of the block that a seed's key is taken from, of the upper and the lower word of the seed.
      for_keys, for_bits: the counter of a position, of its upper and its lower word.
      halves: the upper and the lower words of 64-bit numbers, of the words of the blocks.
    """

    cipher: Primitive
    key_words: int
    seeded: Callable[[Any, Any], Words]
    for_keys: Callable[[Any, Any], Words]
    for_bits: Callable[[Any, Any], Words]
    halves: Callable[[Words], Words]

    def seed(self, value: Any) -> Any:
        """The key of an integer array of shape ()."""
        return self._keys(*self.seeded(*threefry.seed_halves(value)))

    def split(self, key: Any, shape: Shape) -> Any:
        """New keys, an array of shape `(*shape, key_words)`."""
        positions = threefry.positions(math.prod(shape))
        return lax.reshape(
            self._keys(*self._words(key), *self.for_keys(*positions)), (*shape, self.key_words)
        )

    def fold_in(self, key: Any, word: Any) -> Any:
        """The key made of a key and a uint32 scalar."""
        return self._keys(*self._words(key), *self.for_keys(_ZERO, word))

    def bits(self, key: Any, width: int, shape: Shape) -> Any:
        """Unsigned integers of `width` bits (8, 16, 32 or 64), uniformly distributed."""
        positions = threefry.positions(math.prod(shape))
        blocks = self.cipher.bind(*self._words(key), *self.for_bits(*positions))
        if width == 64:
            flat = threefry.wide(*self.halves(blocks))
        else:
            mixed = functools.reduce(lax.bitwise_xor, blocks)
            flat = lax.convert_element_type_p.bind(mixed, new_dtype=threefry.UINT[width], weak_type=False)
        return lax.reshape(flat, shape)

    def longer_bits(self, key: Any, width: int, size: int, length: int, number: Any) -> Any:
        """As `threefry.longer_bits`: no number depends on the size of the whole."""
        return self.bits(key, width, (length,))

    def longer_split(self, key: Any, size: int, length: int, number: Any) -> Any:
        """As `threefry.longer_split`."""
        return self.split(key, (length,))

    def _words(self, key: Any) -> Words:
        return threefry.words(key, self.key_words)

    def _keys(self, *operands: Any) -> Any:
        return threefry.stack_words(*self.cipher.bind(*operands)[: self.key_words])


philox2x32 = Counters(
    philox2x32_p,
    1,
    seeded=lambda upper, lower: (_ZERO, upper, lower),
    for_keys=lambda upper, lower: (upper, lower),
    for_bits=lambda upper, lower: (upper, lower),
    halves=lambda words: (words[0], words[1]),
)
philox4x32 = Counters(
    philox4x32_p,
    2,
    seeded=lambda upper, lower: (_ZERO, _ZERO, upper, lower, _ZERO, _ZERO),
    for_keys=lambda upper, lower: (_ZERO, _ZERO, upper, lower),
    for_bits=lambda upper, lower: (upper, lower, _ZERO, _ZERO),
    halves=lambda words: (words[0], words[1]),
)
threefry4x32 = Counters(
    threefry4x32_p,
    4,
    seeded=lambda upper, lower: (upper, lower, *[_ZERO] * 6),
    for_keys=lambda upper, lower: (_ZERO, _ZERO, upper, lower),
    for_bits=lambda upper, lower: (upper, lower, _ZERO, _ZERO),
    halves=lambda words: (lax.bitwise_xor(words[0], words[2]), lax.bitwise_xor(words[1], words[3])),
)

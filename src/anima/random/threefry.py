"""The Threefry generator: how keys are made, divided and turned into bits.

Invariant: a key is two words of 32 bits, and every function here is a pure function of it. There are two layouts of
bits over a shape, chosen by the option `threefry_partitionable`:

* the default one enciphers the numbers 0, 1, ..., n - 1, each block taking one from the first half and one from the
  second half of them; the numbers that come out depend on the size of the whole array;
* the partitionable one enciphers each element's own position, as a 64-bit number; so any part of an array can be
  made by itself, wherever it lies.

Numbers agree with JAX's, bit for bit, in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.config import threefry_partitionable
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of
from anima.lax.ciphers import threefry2x32_p
from anima.lax.create import iota_p
from anima.lax.operands import constant

Shape = tuple[int, ...]

KEY_WORDS = 2
UINT = {8: dtypes.uint8, 16: np.dtype(np.uint16), 32: dtypes.uint32, 64: dtypes.uint64}

_ZERO = np.uint32(0)
_MAX_BLOCK = 0xFFFFFFFF  # numbers that the default layout enciphers with one key


def seed(value: Any) -> Any:
    """The key of an integer array of shape (): its upper and its lower 32 bits."""
    return stack_words(*seed_halves(value))


def seed_halves(value: Any) -> tuple[Any, Any]:
    """The upper and the lower 32 bits of an integer array of shape ()."""
    aval = aval_of(value)
    assert isinstance(aval, ShapedArray)
    upper: Any = _ZERO
    if dtypes.itemsize_bits(aval.dtype) > 32:
        upper = _word(lax.shift_right_logical(value, aval.dtype.type(32)))
    return upper, _word(value)


def seed_words(value: int, wide: bool) -> np.ndarray[Any, Any]:
    """The key of a Python integer, which is taken modulo 2**64, or modulo 2**32 if not `wide`."""
    return np.array([value >> 32 & 0xFFFFFFFF if wide else 0, value & 0xFFFFFFFF], np.uint32)


def split(key: Any, shape: Shape) -> Any:
    """New keys: an array of shape `(*shape, 2)`."""
    if threefry_partitionable.value:
        first, second = _at_positions(key, math.prod(shape))
        return lax.reshape(stack_words(first, second), (*shape, KEY_WORDS))
    return lax.reshape(_stream(key, KEY_WORDS * math.prod(shape)), (*shape, KEY_WORDS))


def fold_in(key: Any, word: Any) -> Any:
    """The key made of a key and a uint32 scalar."""
    return stack_words(*threefry2x32_p.bind(*words(key), _ZERO, word))


def bits(key: Any, width: int, shape: Shape) -> Any:
    """Unsigned integers of `width` bits (8, 16, 32 or 64), uniformly distributed."""
    size = math.prod(shape)
    flat = (
        _partitionable_bits(key, width, size)
        if threefry_partitionable.value
        else _default_bits(key, width, size)
    )
    return lax.reshape(flat, shape)


# --- the two layouts --------------------------------------------------------------------------


def _partitionable_bits(key: Any, width: int, size: int) -> Any:
    first, second = _at_positions(key, size)
    if width == 64:
        return wide(first, second)
    return lax.convert_element_type_p.bind(
        lax.bitwise_xor(first, second), new_dtype=UINT[width], weak_type=False
    )


def _at_positions(key: Any, size: int) -> Any:
    """The cipher of the positions 0, 1, ..., size - 1 as 64-bit numbers: two words for each."""
    return threefry2x32_p.bind(*words(key), *positions(size))


def positions(size: int) -> tuple[Any, Any]:
    """The upper and the lower words of the numbers 0, 1, ..., size - 1; the upper ones as a scalar if all are 0."""
    if size <= _MAX_BLOCK + 1:
        return _ZERO, _count(size)
    # The operation has 64 bits also where the mode has not.
    position = iota_p.bind(dtype=dtypes.uint64, shape=(size,), dimension=0)
    return _word(lax.shift_right_logical(position, constant(32, position))), _word(position)


def _default_bits(key: Any, width: int, size: int) -> Any:
    count = -(-size * width // 32)
    if width == 64 and count <= _MAX_BLOCK:
        return wide(*_block(key, _count(size), np.uint32(size), None))
    stream = _stream(key, count) if count <= _MAX_BLOCK else _long_stream(key, count)
    if width == 32:
        return stream
    if width == 64:
        return wide(lax.slice(stream, (0,), (size,)), lax.slice(stream, (size,), (2 * size,)))
    flat = _parts(stream, count, width)
    return flat if count * 32 // width == size else lax.slice(flat, (0,), (size,))


def _parts(stream: Any, count: int, width: int) -> Any:
    """Narrow numbers: the parts of each of `count` words, the lowest bits first."""
    parts = (count, 32 // width)
    amounts = lax.mul(lax.broadcasted_iota(dtypes.uint32, parts, 1), np.uint32(width))
    shifted = lax.shift_right_logical(lax.broadcast_in_dim(stream, parts, (0,)), amounts)
    narrow = lax.convert_element_type_p.bind(shifted, new_dtype=UINT[width], weak_type=False)
    return lax.reshape(narrow, (count * parts[1],))


def _long_stream(key: Any, count: int) -> Any:
    """More words than can be numbered with 32 bits: they come from several keys."""
    blocks, rest = divmod(count, _MAX_BLOCK)
    keys = split(key, (blocks + 1,))
    sizes = [_MAX_BLOCK] * blocks + [rest]
    return lax.concatenate(
        [_stream(lax.index_in_dim(keys, i, keepdims=False), n) for i, n in enumerate(sizes)], 0
    )


def _stream(key: Any, count: int) -> Any:
    """`count` words: the first words of all blocks, then the second ones.

    Each word is computed from its place, and half of each block thrown away: XLA turns that into one loop with whatever
    uses the words. Putting halves together would cost as much, and several of them in one loop 10 times more.
    """
    half = np.uint32((count + 1) // 2)
    return _words_at(key, _count(count), half, np.uint32(count) if count % 2 else None)


def _words_at(key: Any, place: Any, half: Any, end: Any) -> Any:
    """The words at these places of a stream of `half` blocks."""
    in_first = lax.lt(place, half)
    lower = lax.select(in_first, place, lax.sub(place, half))
    first, second = _block(key, lower, half, end)
    return lax.select(in_first, first, second)


def _block(key: Any, lower: Any, half: Any, end: Any) -> Any:
    """Both words of the given blocks, of `half` in all. Where the counter of the last one would end with `end`, it ends with 0."""
    upper = lax.add(lower, half)
    if end is not None:
        upper = lax.select(lax.eq(upper, end), lax.full_like(upper, 0), upper)
    return threefry2x32_p.bind(*words(key), lower, upper)


# --- for arrays of several sizes --------------------------------------------------------------


def longer_bits(key: Any, width: int, size: int, length: int, number: Callable[[int], Any]) -> Any:
    """`length` numbers, of which the first `size` are those of `bits` for an array of that size.

    Args:
      number: makes a 32-bit number that depends on `size` an operand of the program.
    """
    if threefry_partitionable.value:
        return _partitionable_bits(key, width, length)
    count = -(-size * width // 32)
    half = number((count + 1) // 2)
    if width == 64:
        return wide(*_block(key, _count(length), half, None))
    words_needed = -(-length * width // 32)
    # No counter of a block ends with 0 but the one that has to.
    stream = _words_at(key, _count(words_needed), half, number(count if count % 2 else 0))
    return stream if width == 32 else _parts(stream, words_needed, width)


def longer_split(key: Any, size: int, length: int, number: Callable[[int], Any]) -> Any:
    """`length` keys, of which the first `size` are those of `split` into so many."""
    if threefry_partitionable.value:
        return stack_words(*_at_positions(key, length))
    stream = _words_at(key, _count(KEY_WORDS * length), number(size), None)
    return lax.reshape(stream, (length, KEY_WORDS))


# --- words ------------------------------------------------------------------------------------


def words(key: Any, count: int = KEY_WORDS) -> tuple[Any, ...]:
    """The words of a key, each of shape ()."""
    return tuple(lax.reshape(lax.slice(key, (i,), (i + 1,)), ()) for i in range(count))


def stack_words(*parts: Any) -> Any:
    """Arrays of words of one shape as one with a last dimension of as many."""
    shape = aval_of(parts[0]).shape  # type: ignore[attr-defined]
    return lax.concatenate([lax.reshape(w, (*shape, 1)) for w in parts], len(shape))


def _count(size: int) -> Any:
    return iota_p.bind(dtype=dtypes.uint32, shape=(size,), dimension=0)


def _word(value: Any) -> Any:
    return lax.convert_element_type_p.bind(value, new_dtype=dtypes.uint32, weak_type=False)


def wide(upper: Any, lower: Any) -> Any:
    """64-bit numbers from their halves."""
    pair = [
        lax.convert_element_type_p.bind(w, new_dtype=dtypes.uint64, weak_type=False) for w in (upper, lower)
    ]
    return lax.bitwise_or(lax.shift_left(pair[0], constant(32, pair[0])), pair[1])

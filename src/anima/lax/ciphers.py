"""The block functions that random bits are made with: Threefry of two and of four words, and Philox of two and of four.

Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (2011), and the constants and test
vectors of their library Random123; Threefry has 20 rounds, Philox 10.

Invariant: random bits are the same function of key and counter words on every platform.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Missing, Primitive
from anima.interpreters.batch import Axis
from anima.interpreters.jvp import stage_closed
from anima.interpreters.stage import unplaced
from anima.lax.arithmetic import add, mul
from anima.lax.bitwise import bitwise_or, bitwise_xor, shift_left, shift_right_logical
from anima.lax.convert import convert_element_type_p
from anima.lax.declare import check_dtype, declare, no_tangent
from anima.lax.operands import constant, stretch
from anima.lax.shape import reshape, shape_of
from anima.lowering.module import Context, Value

Rounds = Callable[..., list[Any]]

# --- the rounds -------------------------------------------------------------------------------

_PARITY = 0x1BD11BDA
_ROTATIONS_OF_2 = ((13, 15, 26, 6), (17, 29, 16, 24))
_ROTATIONS_OF_4 = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))

_PHILOX_ROUNDS = 10
_WEYL = (0x9E3779B9, 0xBB67AE85)  # the golden ratio, and the square root of 3 less 1
_MULTIPLIER_OF_2 = 0xD256D193
_MULTIPLIERS_OF_4 = (0xD2511F53, 0xCD9E8D57)


def _rotated(x: Any, by: int) -> Any:
    return bitwise_or(shift_left(x, np.uint32(by)), shift_right_logical(x, np.uint32(32 - by)))


def _threefry_2(key0: Any, key1: Any, x0: Any, x1: Any) -> list[Any]:
    keys = (key0, key1, bitwise_xor(bitwise_xor(key0, key1), np.uint32(_PARITY)))
    x0, x1 = add(x0, key0), add(x1, key1)
    for group in range(5):
        for rotation in _ROTATIONS_OF_2[group % 2]:
            x0 = add(x0, x1)
            x1 = bitwise_xor(_rotated(x1, rotation), x0)
        x0 = add(x0, keys[(group + 1) % 3])
        x1 = add(add(x1, keys[(group + 2) % 3]), np.uint32(group + 1))
    return [x0, x1]


def _threefry_4(*words: Any) -> list[Any]:
    keys = [*words[:4], functools.reduce(bitwise_xor, words[:4], np.uint32(_PARITY))]
    x = [add(word, key) for word, key in zip(words[4:], keys)]
    for turn in range(20):
        # Words 1 and 3 are mixed into 0 and 2 by turns.
        partners = (1, 3) if turn % 2 == 0 else (3, 1)
        for even, odd, rotation in zip((0, 2), partners, _ROTATIONS_OF_4[turn % 8]):
            x[even] = add(x[even], x[odd])
            x[odd] = bitwise_xor(_rotated(x[odd], rotation), x[even])
        if turn % 4 == 3:
            group = turn // 4 + 1
            x = [add(word, keys[(group + i) % 5]) for i, word in enumerate(x)]
            x[3] = add(x[3], np.uint32(group))
    return x


def _product(x: Any, multiplier: int) -> tuple[Any, Any]:
    """The upper and the lower word of a product; the operation has 64 bits also where the mode has not."""
    wide = convert_element_type_p.bind(x, new_dtype=np.dtype(np.uint64), weak_type=False)
    upper = shift_right_logical(mul(wide, constant(multiplier, wide)), constant(32, wide))
    return (
        convert_element_type_p.bind(upper, new_dtype=np.dtype(np.uint32), weak_type=False),
        mul(x, constant(multiplier, x)),
    )


def _philox_2(key: Any, x0: Any, x1: Any) -> list[Any]:
    for turn in range(_PHILOX_ROUNDS):
        if turn:
            key = add(key, np.uint32(_WEYL[0]))
        upper, lower = _product(x0, _MULTIPLIER_OF_2)
        x0, x1 = bitwise_xor(bitwise_xor(upper, key), x1), lower
    return [x0, x1]


def _philox_4(key0: Any, key1: Any, x0: Any, x1: Any, x2: Any, x3: Any) -> list[Any]:
    for turn in range(_PHILOX_ROUNDS):
        if turn:
            key0, key1 = add(key0, np.uint32(_WEYL[0])), add(key1, np.uint32(_WEYL[1]))
        upper0, lower0 = _product(x0, _MULTIPLIERS_OF_4[0])
        upper2, lower2 = _product(x2, _MULTIPLIERS_OF_4[1])
        x0, x1 = bitwise_xor(bitwise_xor(upper2, x1), key0), lower2
        x2, x3 = bitwise_xor(bitwise_xor(upper0, x3), key1), lower0
    return [x0, x1, x2, x3]


# --- the operations ---------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _program(name: str, rounds: Rounds, shapes: tuple[tuple[int, ...], ...]) -> ClosedJaxpr:
    """The rounds on operands of these shapes. One object for each, so that a module has one function for each."""
    shape = _common_shape(name, shapes)

    def fun(*words: Any) -> list[Any]:
        return rounds(*[stretch(word, shape_of(word), shape) for word in words])

    return stage_closed(fun, [ShapedArray(s, np.dtype(np.uint32)) for s in shapes], name, unplaced)


def _common_shape(name: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    full = [s for s in shapes if s]
    if len({len(s) for s in full}) > 1:
        raise TypeError(f"{name}: operands must be scalars or have one rank, got shapes {shapes}")
    result = tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*full))
    if any(n not in (1, size) for s in full for n, size in zip(s, result)):
        raise TypeError(f"{name}: operands have incompatible shapes {shapes}")
    return result


def _cipher(name: str, rounds: Rounds, blocks: int) -> Primitive:
    """Declare the operation that enciphers blocks of so many words: key words come first, then the counter's."""

    def shape(*words: ShapedArray) -> list[ShapedArray]:
        for word in words:
            check_dtype(name, word, ("uint32",))
        out = ShapedArray(_common_shape(name, tuple(word.shape for word in words)), words[0].dtype)
        return [out] * blocks

    def lower(ctx: Context, *words: Value) -> list[Value]:
        return ctx.call(_program(name, rounds, tuple(word.shape for word in words)), words, name)

    def batch(axis: Axis, args: Any, dims: Any) -> tuple[Any, Any]:
        rank = max(len(shape_of(a)) - (d is not None) for a, d in zip(args, dims))
        outs = primitive.bind(*[_placed(word, d, rank) for word, d in zip(args, dims)])
        return outs, [0] * blocks

    primitive = declare(
        name,
        shape=shape,
        lower=lower,
        jvp=no_tangent,
        transpose=Missing("it is not linear"),
        batch=batch,
        multiple_results=True,
        dtypes=("uint32",),
    )
    return primitive


def _placed(word: Any, d: int | None, rank: int) -> Any:
    """The word with the mapped axis first and as many dimensions as the others, or unmapped as a scalar."""
    if d is not None:
        word = hooks.move_axis(word, d, 0)
    shape = shape_of(word)
    if d is None:
        return reshape(word, (1, *shape)) if shape else word
    return reshape(word, (shape[0], *([1] * (rank + 1 - len(shape))), *shape[1:]))


threefry2x32_p = _cipher("threefry2x32", _threefry_2, 2)
threefry4x32_p = _cipher("threefry4x32", _threefry_4, 4)
philox2x32_p = _cipher("philox2x32", _philox_2, 2)
philox4x32_p = _cipher("philox4x32", _philox_4, 4)


def threefry2x32(key0: Any, key1: Any, x0: Any, x1: Any) -> list[Any]:
    """Two words of random bits for each pair of counter words.

    Args:
      key0, key1: the key's words.
      x0, x1: the counter's words.
        All are uint32 arrays of one rank, with equal sizes or sizes of 1; or scalars.
    Returns:
      Two uint32 arrays of the common shape.
    Raises:
      TypeError: dtypes or shapes do not fit.

    >>> import numpy as np
    >>> from anima.lax.ciphers import threefry2x32
    >>> zero = np.uint32(0)
    >>> [hex(word) for word in threefry2x32(zero, zero, zero, zero)]
    ['0x6b200159', '0x99ba4efe']
    """
    return list(threefry2x32_p.bind(key0, key1, x0, x1))


def threefry4x32(*words: Any) -> list[Any]:
    """Four words of random bits for each block of four counter words.

    Args:
      words: four key words, then four counter words; shapes and dtypes are as for `threefry2x32`.
    Returns:
      Four uint32 arrays of the common shape.
    Raises:
      TypeError: dtypes or shapes do not fit.

    >>> import numpy as np
    >>> from anima.lax.ciphers import threefry4x32
    >>> [hex(word) for word in threefry4x32(*np.zeros(8, np.uint32))]
    ['0x9c6ca96a', '0xe17eae66', '0xfc10ecd4', '0x5256a7d8']
    """
    return list(threefry4x32_p.bind(*words))


def philox2x32(key: Any, x0: Any, x1: Any) -> list[Any]:
    """Two words of random bits for each pair of counter words `x0`, `x1`, from a key of one word.

    Args:
      key, x0, x1: as for `threefry2x32`.
    Returns:
      Two uint32 arrays of the common shape.
    Raises:
      TypeError: dtypes or shapes do not fit.

    >>> import numpy as np
    >>> from anima.lax.ciphers import philox2x32
    >>> [hex(word) for word in philox2x32(*np.zeros(3, np.uint32))]
    ['0xff1dae59', '0x6cd10df2']
    """
    return list(philox2x32_p.bind(key, x0, x1))


def philox4x32(*words: Any) -> list[Any]:
    """Four words of random bits for each block of four counter words, from a key of two words.

    Args:
      words: two key words, then four counter words; shapes and dtypes are as for `threefry2x32`.
    Returns:
      Four uint32 arrays of the common shape.
    Raises:
      TypeError: dtypes or shapes do not fit.

    >>> import numpy as np
    >>> from anima.lax.ciphers import philox4x32
    >>> [hex(word) for word in philox4x32(*np.zeros(6, np.uint32))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    return list(philox4x32_p.bind(*words))

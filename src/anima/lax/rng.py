"""What random numbers are made with: the Threefry-2x32 block function, and the step from uniform to normal numbers.

Source of the first: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (2011), and the constants
and test vectors of their library Random123; it has 20 rounds.

Invariant: random bits are the same function of key and counter words on every platform.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Missing
from anima.interpreters.batch import Axis
from anima.interpreters.jvp import stage_closed
from anima.interpreters.stage import unplaced
from anima.lax.arithmetic import add, mul
from anima.lax.bitwise import bitwise_or, bitwise_xor, shift_left, shift_right_logical
from anima.lax.declare import FLOAT, check_dtype, declare, no_tangent, operand, unary
from anima.lax.exponential import exp
from anima.lax.operands import constant, stretch
from anima.lax.powers import square
from anima.lax.shape import reshape, shape_of
from anima.lowering.module import Context, Value

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _rotated(x: Any, by: int) -> Any:
    return bitwise_or(shift_left(x, np.uint32(by)), shift_right_logical(x, np.uint32(32 - by)))


def _rounds(key0: Any, key1: Any, x0: Any, x1: Any) -> list[Any]:
    keys = (key0, key1, bitwise_xor(bitwise_xor(key0, key1), np.uint32(_PARITY)))
    x0, x1 = add(x0, key0), add(x1, key1)
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = add(x0, x1)
            x1 = bitwise_xor(_rotated(x1, rotation), x0)
        x0 = add(x0, keys[(group + 1) % 3])
        x1 = add(add(x1, keys[(group + 2) % 3]), np.uint32(group + 1))
    return [x0, x1]


@functools.lru_cache(maxsize=256)
def _program(shapes: tuple[tuple[int, ...], ...]) -> ClosedJaxpr:
    """The rounds on operands of these shapes. One object for each, so that a module has one function for each."""
    shape = _common_shape(shapes)

    def fun(*words: Any) -> list[Any]:
        return _rounds(*[stretch(word, shape_of(word), shape) for word in words])

    return stage_closed(fun, [ShapedArray(s, np.dtype(np.uint32)) for s in shapes], "threefry2x32", unplaced)


def _common_shape(shapes: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    full = [s for s in shapes if s]
    if len({len(s) for s in full}) > 1:
        raise TypeError(f"threefry2x32: operands must be scalars or have one rank, got shapes {shapes}")
    result = tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*full))
    if any(n not in (1, size) for s in full for n, size in zip(s, result)):
        raise TypeError(f"threefry2x32: operands have incompatible shapes {shapes}")
    return result


def _threefry_shape(*words: ShapedArray) -> list[ShapedArray]:
    for word in words:
        check_dtype("threefry2x32", word, ("uint32",))
    out = ShapedArray(_common_shape(tuple(word.shape for word in words)), words[0].dtype)
    return [out, out]


def _threefry_lower(ctx: Context, *words: Value) -> list[Value]:
    return ctx.call(_program(tuple(word.shape for word in words)), words, "threefry2x32")


def _threefry_batch(axis: Axis, args: Any, dims: Any) -> tuple[Any, Any]:
    rank = max(len(shape_of(a)) - (d is not None) for a, d in zip(args, dims))

    def placed(word: Any, d: int | None) -> Any:
        """The word with the mapped axis first and as many dimensions as the others, or unmapped as a scalar."""
        if d is not None:
            word = hooks.move_axis(word, d, 0)
        shape = shape_of(word)
        if d is None:
            return reshape(word, (1, *shape)) if shape else word
        return reshape(word, (shape[0], *([1] * (rank + 1 - len(shape))), *shape[1:]))

    outs = threefry2x32_p.bind(*[placed(a, d) for a, d in zip(args, dims)])
    return outs, [0, 0]


threefry2x32_p = declare(
    "threefry2x32",
    shape=_threefry_shape,
    lower=_threefry_lower,
    jvp=no_tangent,
    transpose=Missing("it is not linear"),
    batch=_threefry_batch,
    multiple_results=True,
    dtypes=("uint32",),
)


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
    >>> from anima.lax.rng import threefry2x32
    >>> zero = np.uint32(0)
    >>> [hex(word) for word in threefry2x32(zero, zero, zero, zero)]
    ['0x6b200159', '0x99ba4efe']
    """
    return list(threefry2x32_p.bind(key0, key1, x0, x1))


# --- from uniform to normal -------------------------------------------------------------------

# The dtypes of uniform numbers: not those without infinities, zeros or mantissa.
_DRAWN = tuple([name for name in FLOAT if name not in ("float4_e2m1fn", "float8_e8m0fnu")])

normal_quantile_p = unary(
    "normal_quantile",
    "chlo.erf_inv",
    _DRAWN,
    lambda t, ans, x: mul(t, mul(constant(math.sqrt(math.pi) / 2, ans), exp(square(ans)))),
)


def normal_quantile(x: Any) -> Any:
    """XLA's own inverse error function: less exact than `lax.erf_inv`, but the one that JAX makes normal numbers with.

    Args:
      x: an array of real floating-point dtype. In float32 the result is right to some 80 units in the last place at the
        ends of the interval from -1 to 1, to 4 in most of it.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima.lax.rng import normal_quantile
    >>> print(normal_quantile(0.0))
    0.0
    """
    return normal_quantile_p.bind(operand(x))

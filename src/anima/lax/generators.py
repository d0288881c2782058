"""The compiler's own random numbers: bits from a key, and uniform numbers without one.

Invariant: `rng_bit_generator` is a function of its key, and the numbers of Threefry and Philox are the same wherever XLA has
them; `rng_uniform` has a state that nothing here sees. `anima.random` uses neither.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing
from anima.interpreters.batch import Axis
from anima.lax.declare import check_dtype, declare, no_tangent, operand
from anima.lax.shape import check_shape, refuse_out_sharding
from anima.lax.slicing import dynamic_index_in_dim, dynamic_update_index_in_dim
from anima.lowering.module import Context, Value


class RandomAlgorithm(enum.IntEnum):
    """What `rng_bit_generator` computes: the platform's choice, Threefry-2x32 or Philox-4x32."""

    RNG_DEFAULT = 0
    RNG_THREE_FRY = 1
    RNG_PHILOX = 2


_NAMES = {
    RandomAlgorithm.RNG_DEFAULT: "DEFAULT",
    RandomAlgorithm.RNG_THREE_FRY: "THREE_FRY",
    RandomAlgorithm.RNG_PHILOX: "PHILOX",
}
_BITS = ("uint8", "uint16", "uint32", "uint64")

# --- bits from a key --------------------------------------------------------------------------


def _bits_shape(key: ShapedArray, *, shape: Any, dtype: Any, algorithm: Any, out_sharding: Any) -> Any:
    check_dtype("rng_bit_generator", key, ("uint32", "uint64"), "key")
    words = 4 if key.dtype == dtypes.uint32 else 2
    if key.shape != (words,):
        raise TypeError(
            f"rng_bit_generator: key must have shape (4,) and dtype uint32, or (2,) and uint64, got shape {key.shape} and "
            f"{key.dtype}"
        )
    return [ShapedArray(key.shape, key.dtype), ShapedArray(shape, dtype)]


def _bits_lower(ctx: Context, key: Value, *, algorithm: Any, **params: Any) -> list[Value]:
    state, out = ctx.out_avals
    wide = ShapedArray((2,), np.dtype(np.uint64))
    if key.dtype == dtypes.uint32:
        pairs = ctx.op("stablehlo.reshape", (key,), ShapedArray((2, 2), key.dtype))
        key = ctx.op("stablehlo.bitcast_convert", (pairs,), wide)
    name = _NAMES[RandomAlgorithm(algorithm)]
    attrs = f"rng_algorithm = #stablehlo<rng_algorithm {name}>"
    after, bits = ctx.ops("stablehlo.rng_bit_generator", (key,), [wide, out], attrs)
    if state != wide:
        pairs = ctx.op("stablehlo.bitcast_convert", (after,), ShapedArray((2, 2), np.dtype(np.uint32)))
        after = ctx.op("stablehlo.reshape", (pairs,), state)
    return [after, bits]


def _bits_batch(axis: Axis, args: Any, dims: Any, *, shape: Any, **params: Any) -> tuple[Any, Any]:
    """One stream for all: the bits of every example come from the first key, which alone goes on."""
    (keys,), (d,) = args, dims
    first = dynamic_index_in_dim(keys, 0, d, keepdims=False)
    after, bits = rng_bit_generator_p.bind(first, shape=(axis.size, *shape), **params)
    return [dynamic_update_index_in_dim(keys, after, 0, d), bits], [d, 0]


rng_bit_generator_p = declare(
    "rng_bit_generator",
    shape=_bits_shape,
    lower=_bits_lower,
    jvp=no_tangent,
    transpose=Missing("it is not linear"),
    batch=_bits_batch,
    multiple_results=True,
)


def rng_bit_generator(
    key: Any,
    shape: Any,
    dtype: Any = np.uint32,
    algorithm: RandomAlgorithm = RandomAlgorithm.RNG_DEFAULT,
    *,
    out_sharding: Any = None,
) -> list[Any]:
    """Random bits by the compiler's own generator, and the key for the next ones. `anima.random.bits` has fewer surprises.

    Under `vmap` over keys all bits come from the first key, and the others are returned unchanged, as in JAX: it is
    quick, but each example's bits depend on the first key alone.

    Args:
      key: four words of uint32, or two of uint64.
      shape: that of the bits.
      dtype: their dtype: uint8, uint16, uint32 or uint64.
      algorithm: a `RandomAlgorithm`. The default one is the platform's choice: Philox on CPUs.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      The next key, and the bits.
    Raises:
      TypeError: the key or the dtype does not fit. ValueError: there is no such algorithm.

    >>> import numpy as np
    >>> from anima import lax
    >>> key, bits = lax.rng_bit_generator(np.array([1, 2, 3, 4], np.uint32), (2,))
    >>> print(key, bits)
    [1 2 4 4] [ 512747620 1298009047]
    """
    refuse_out_sharding("rng_bit_generator", out_sharding)
    wanted = dtypes.check_user_dtype_supported(dtype, "rng_bit_generator")
    if dtypes.dtype_name(wanted) not in _BITS:
        raise TypeError(f"rng_bit_generator: dtype must be one of {', '.join(_BITS)}, got {wanted}")
    try:
        chosen = RandomAlgorithm(algorithm)
    except ValueError:
        raise ValueError(
            f"rng_bit_generator: algorithm must be a RandomAlgorithm, got {algorithm!r}"
        ) from None
    return list(
        rng_bit_generator_p.bind(
            operand(key),
            shape=check_shape("rng_bit_generator", shape),
            dtype=wanted,
            algorithm=chosen,
            out_sharding=None,
        )
    )


# --- uniform numbers --------------------------------------------------------------------------

# XLA ends the process when asked for others.
_UNIFORM = ("bfloat16", "float16", "float32", "float64", "int32", "uint32", "int64", "uint64")


def _uniform_shape(a: ShapedArray, b: ShapedArray, *, shape: tuple[int, ...]) -> ShapedArray:
    if a.dtype != b.dtype:
        raise ValueError(f"rng_uniform: a and b must have one dtype, got {a.dtype} and {b.dtype}")
    if dtypes.dtype_name(a.dtype) not in _UNIFORM:
        raise TypeError(f"rng_uniform: a and b must be of one of {', '.join(_UNIFORM)}, got {a.dtype}")
    if a.shape or b.shape:
        raise ValueError(f"rng_uniform: a and b must be scalars, got shapes {a.shape} and {b.shape}")
    return ShapedArray(shape, a.dtype, a.weak_type and b.weak_type)


def _uniform_lower(ctx: Context, a: Value, b: Value, *, shape: tuple[int, ...]) -> Value:
    sizes = ctx.new(ShapedArray((len(shape),), np.dtype(np.int64)))
    ctx.line(f"{sizes.name} = stablehlo.constant dense<[{', '.join(map(str, shape))}]> : {sizes.type}")
    attrs = "rng_distribution = #stablehlo<rng_distribution UNIFORM>"
    return ctx.op("stablehlo.rng", (a, b, sizes), attrs=attrs)


rng_uniform_p = declare(
    "rng_uniform",
    shape=_uniform_shape,
    lower=_uniform_lower,
    jvp=Missing("its numbers are not a function of its bounds; use anima.random.uniform"),
    transpose=Missing("it is not linear"),
    batch=Missing("its bounds are scalars; draw from 0 to 1 and scale"),
    dtypes=_UNIFORM,
)


def rng_uniform(a: Any, b: Any, shape: Any) -> Any:
    """Uniform numbers by the compiler's own generator, which has a state: other numbers in each call. Prefer `anima.random`.

    Args:
      a: the lower bound: a scalar, of floating-point dtype from 16 bits on or of an integer one from 32 bits on.
      b: the upper bound, which is not reached, of the same dtype.
      shape: that of the result.
    Raises:
      ValueError: dtypes differ, or a bound is no scalar. TypeError: the dtype is another.
      MissingRuleError: it is differentiated by its bounds, or these are mapped.

    >>> from anima import lax
    >>> x = lax.rng_uniform(0.0, 1.0, (3,))
    >>> bool((x >= 0).all() and (x < 1).all())
    True
    """
    low, high = operand(a), operand(b)
    return rng_uniform_p.bind(low, high, shape=check_shape("rng_uniform", shape))

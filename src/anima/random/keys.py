"""Keys: making them, splitting them, and folding numbers into them.

Invariant: a key is never changed; whoever uses one twice gets the same numbers twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.config import default_prng_impl, enable_x64, random_seed_offset
from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of
from anima.lax import add, convert_element_type
from anima.lax.shape import check_shape, refuse_out_sharding
from anima.random import threefry
from anima.random.arguments import check_key, constant, function, unsigned_dtype


def PRNGKey(seed: Any, *, impl: str | None = None) -> Any:
    """The random key that belongs to a seed.

    Args:
      seed: an integer, or an integer array of shape (). Of a Python integer the lowest 32 bits count, in 64-bit mode
        the lowest 64; negative ones are admitted.
      impl: the generator; "threefry2x32" is the one there is, and the default.
    Returns:
      a uint32 array of shape (2,).
    Raises:
      TypeError: the seed is no integer, or no scalar. OverflowError: a Python integer has more than 64 bits.
      ValueError: the generator is not known.

    >>> from anima import random
    >>> random.PRNGKey(0)
    DeviceArray([0, 0], dtype=uint32)
    """
    _check_impl(impl)
    offset = random_seed_offset.value
    if isinstance(seed, int):
        if not -(1 << 63) <= seed < 1 << 63:
            raise OverflowError(f"PRNGKey: seed {seed} does not fit into 64 bits")
        return hooks.as_array(threefry.seed_words(int(seed) + offset, enable_x64.value))
    try:
        aval = aval_of(seed)
    except TypeError:
        raise TypeError(
            f"PRNGKey: seed must be an integer, got {seed!r:.80} of type {type(seed).__name__}"
        ) from None
    assert isinstance(aval, ShapedArray)
    if not dtypes.is_int(aval.dtype):
        raise TypeError(
            f"PRNGKey: seed must be an integer, got {seed!r:.80} of dtype {dtypes.dtype_name(aval.dtype)}"
        )
    if aval.shape:
        raise TypeError(
            f"PRNGKey accepts a scalar seed, but was given an array of shape {aval.shape}; use vmap for batching"
        )
    return _key_of_array(add(seed, constant(offset, aval.dtype)) if offset else seed)


@function(static=())
def _key_of_array(seed: Any) -> Any:
    return threefry.seed(seed)


def _check_impl(impl: str | None) -> None:
    chosen = impl if impl is not None else default_prng_impl.value
    if chosen != "threefry2x32":
        given = "impl" if impl is not None else "the option default_prng_impl"
        raise ValueError(
            f"PRNGKey: {given} names the generator {chosen!r}; the one available is 'threefry2x32'"
        )


@function(static=("num",))
def split(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """New keys from one, each independent of the others and of the old one, which is not to be used any more.

    Args:
      key: a random key.
      num: how many, or the shape of the array of keys.
    Returns:
      a uint32 array of shape `(num, 2)`, or `(*num, 2)`; iterating over it gives the keys.
    Raises:
      TypeError: `key` is no key, or `num` no shape. ValueError: `key` is an array of keys.

    >>> from anima import random
    >>> key, subkey = random.split(random.PRNGKey(0))
    >>> print(key, subkey)
    [4146024105  967050713] [2718843009 1272950319]
    """
    return threefry.split(check_key("split", key), check_shape("split", num, "num"))


def fold_in(key: Any, data: Any) -> Any:
    """A new key from a key and an integer: another one for each integer.

    Args:
      key: a random key.
      data: an integer of 32 bits, or a scalar array, which is converted to uint32.
    Returns:
      a uint32 array of shape (2,).
    Raises:
      TypeError: `key` is no key, or `data` no scalar. ValueError: `key` is an array of keys.
      OverflowError: a Python integer is negative, or has more than 32 bits.

    >>> from anima import random
    >>> keys = [random.fold_in(random.PRNGKey(0), step) for step in range(2)]
    >>> print(keys[1])
    [ 928981903 3453687069]
    """
    # As a Python integer it would be an int32 in the program, which not every uint32 is.
    return _fold_in(key, np.uint32(data) if type(data) is int else data)


@function(static=())
def _fold_in(key: Any, data: Any) -> Any:
    key = check_key("fold_in", key)
    try:
        aval = aval_of(data)
    except TypeError:
        raise TypeError(f"fold_in: data must be an integer, got {type(data).__name__}") from None
    assert isinstance(aval, ShapedArray)
    if aval.shape:
        raise TypeError(
            f"fold_in accepts a scalar, but was given an array of shape {aval.shape}; use vmap for batching"
        )
    return threefry.fold_in(key, convert_element_type(data, dtypes.uint32))


@function
def bits(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Random bits: unsigned integers, each value as probable as any other.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: an unsigned integer dtype of 8 bits or more; uint32 by default, uint64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, or `shape` no shape. ValueError: the dtype is another, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.bits(random.PRNGKey(0), (2,)))
    [ 928981903 3453687069]
    """
    key = check_key("bits", key)
    refuse_out_sharding("bits", out_sharding)
    kind = unsigned_dtype("bits", dtype)
    return threefry.bits(key, dtypes.itemsize_bits(kind), check_shape("bits", shape))

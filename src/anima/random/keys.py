"""Keys: making them, splitting them, and folding numbers into them.

Invariant: a key is never changed; whoever uses one twice gets the same numbers twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl, array_with
from anima.config import debug_key_reuse, enable_custom_prng, enable_x64, random_seed_offset
from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of, get_trace
from anima.lax import add, convert_element_type
from anima.lax.shape import check_shape, refuse_out_sharding
from anima.random import threefry
from anima.random.arguments import (
    check_key,
    check_keys,
    constant,
    function,
    key_aval,
    of_same_kind,
    unsigned_dtype,
)
from anima.random.implementations import KeyDType, PRNGImpl, is_key_dtype, registered, resolve, threefry_impl
from anima.random.key_operations import (
    bits as draw_bits,
    random_clone_p,
    random_fold_in_p,
    random_seed_p,
    random_split_p,
    random_unwrap_p,
    random_wrap_p,
)


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """The typed random key that belongs to a seed.

    Typed keys are arrays of a dtype of their own: their shape is that of the array of keys, and arithmetic on them is
    refused. Every function of this module takes them.

    Args:
      seed: an integer, or an integer array of shape (). Of a Python integer the lowest 32 bits count, in 64-bit mode
        the lowest 64; negative ones are admitted.
      impl: the generator: "threefry2x32" (the default, unless the option `default_prng_impl` says otherwise), "rbg",
        "unsafe_rbg", "philox2x32", "philox4x32", "threefry4x32", or one made by `extend.random.define_prng_impl`.
      dtype: the dtype of the key, instead of `impl`.
    Returns:
      a key, of shape ().
    Raises:
      TypeError: the seed is no integer, or no scalar. OverflowError: a Python integer has more than 64 bits.
      ValueError: the generator is not known, or both `impl` and `dtype` are given.

    >>> from anima import random
    >>> key = random.key(0)
    >>> key.dtype, key.shape
    (key<fry>, ())
    >>> print(random.uniform(key))
    0.418...
    """
    return seeded("key", _chosen_impl("key", impl, dtype), seed)


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """The raw random key that belongs to a seed; `key` makes typed ones.

    Args:
      seed, impl: as for `key`.
    Returns:
      a uint32 array of shape (2,) for Threefry, (4,) for "rbg" and "unsafe_rbg"; a typed key if the option
      `enable_custom_prng` is set. Functions that are given a raw key take it for one of the default generator.
    Raises:
      TypeError, OverflowError, ValueError: as for `key`.

    >>> from anima import random
    >>> random.PRNGKey(0)
    DeviceArray([0, 0], dtype=uint32)
    """
    chosen = resolve("PRNGKey", impl)
    if enable_custom_prng.value:
        return seeded("PRNGKey", chosen, seed)
    if chosen is threefry_impl and isinstance(seed, int) and not _seen_as_new():
        return hooks.as_array(_words_of("PRNGKey", seed))
    return _unwrapped(seeded("PRNGKey", chosen, seed))


def seeded(name: str, impl: PRNGImpl, seed: Any) -> Any:
    """The typed key that belongs to a seed."""
    if isinstance(seed, int):
        if impl is threefry_impl and not _seen_as_new():
            return typed(hooks.as_array(_words_of(name, seed)), impl)
        wide = enable_x64.value
        value = (_checked_int(name, seed) + random_seed_offset.value) & (
            0xFFFFFFFFFFFFFFFF if wide else 0xFFFFFFFF
        )
        word = np.uint64(value).astype(np.int64) if wide else np.uint32(value).astype(np.int32)
        return _seeded(word, impl)
    try:
        aval = aval_of(seed)
    except TypeError:
        raise TypeError(
            f"{name}: seed must be an integer, got {seed!r:.80} of type {type(seed).__name__}"
        ) from None
    assert isinstance(aval, ShapedArray)
    if is_key_dtype(aval.dtype):
        raise TypeError(
            f"{name}: seed must be an integer, got a random key; derive keys with split or fold_in"
        )
    if not dtypes.is_int(aval.dtype):
        raise TypeError(
            f"{name}: seed must be an integer, got {seed!r:.80} of dtype {dtypes.dtype_name(aval.dtype)}"
        )
    if aval.shape:
        raise TypeError(
            f"{name} accepts a scalar seed, but was given an array of shape {aval.shape}; use vmap for batching"
        )
    offset = random_seed_offset.value
    return _seeded(add(seed, constant(offset, aval.dtype)) if offset else seed, impl)


def _seen_as_new() -> bool:
    """Whether each run of the program that is being traced has to make its keys, so that they count as new."""
    return debug_key_reuse.value and get_trace() is not None


def _checked_int(name: str, seed: int) -> int:
    if not -(1 << 63) <= seed < 1 << 63:
        raise OverflowError(f"{name}: seed {seed} does not fit into 64 bits")
    return int(seed)


def _words_of(name: str, seed: int) -> np.ndarray[Any, Any]:
    return threefry.seed_words(_checked_int(name, seed) + random_seed_offset.value, enable_x64.value)


def typed(words: Any, impl: PRNGImpl) -> Any:
    """A concrete array of raw keys as typed ones, without a program; what is traced, by an operation."""
    if get_trace() is not None or not isinstance(words, ArrayImpl):
        return random_wrap_p.bind(words, impl=impl)
    return array_with(words, dtype=KeyDType(impl))


@function(static=("impl",))
def _seeded(seed: Any, impl: PRNGImpl) -> Any:
    return random_seed_p.bind(seed, impl=impl)


@function(static=())
def _unwrapped(keys: Any) -> Any:
    return random_unwrap_p.bind(keys)


def _chosen_impl(name: str, impl: Any, dtype: Any) -> PRNGImpl:
    if impl is not None and dtype is not None:
        raise ValueError(f"{name}: give impl or dtype, not both; got impl={impl!r}, dtype={dtype!r}")
    if dtype is None:
        return resolve(name, impl)
    if not is_key_dtype(dtype):
        raise ValueError(f"{name}: dtype must be one of random keys, such as key<fry>, got {dtype!r}")
    return resolve(name, dtype)


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """Typed keys from their raw words.

    Args:
      key_bits_array: a uint32 array whose last dimensions are those of a raw key of the generator.
      impl: the generator, as for `key`.
      dtype: the dtype of the keys, instead of `impl`.
    Returns:
      typed keys, of the leading shape.
    Raises:
      TypeError: the array is of another dtype or shape. ValueError: as for `key`.

    >>> import anima.numpy as np
    >>> from anima import random
    >>> random.wrap_key_data(np.zeros((3, 2), np.uint32)).shape
    (3,)
    """
    chosen = _chosen_impl("wrap_key_data", impl, dtype)
    aval = key_aval("wrap_key_data", key_bits_array, "key_bits_array")
    if is_key_dtype(aval.dtype):
        raise TypeError(
            f"wrap_key_data: key_bits_array must be a uint32 array, got typed keys, {aval.dtype} of shape {aval.shape}"
        )
    return random_wrap_p.bind(key_bits_array, impl=chosen)


def key_data(keys: Any) -> Any:
    """The words of random keys.

    Args:
      keys: typed keys of any shape, or raw ones.
    Returns:
      a uint32 array: of the shape of the keys with that of one raw key behind it, or raw keys as they are.
    Raises:
      TypeError: they are no keys.

    >>> from anima import random
    >>> random.key_data(random.key(7))
    DeviceArray([0, 7], dtype=uint32)
    """
    return random_unwrap_p.bind(check_keys("key_data", keys, "keys"))


def key_impl(keys: Any) -> Any:
    """The generator of random keys.

    Args:
      keys: typed keys; or raw ones, of the default generator.
    Returns:
      its name; of a generator without one in the list of names, the generator itself.
    Raises:
      TypeError: they are no keys.

    >>> from anima import random
    >>> random.key_impl(random.key(0, impl="rbg"))
    'rbg'
    """
    impl = aval_of(check_keys("key_impl", keys, "keys")).dtype.impl  # type: ignore[attr-defined]
    return impl.name if registered.get(impl.name) == impl else impl


def key_dtype(impl_spec: Any = None) -> KeyDType:
    """The dtype of typed keys of a generator.

    Args:
      impl_spec: the generator, as `impl` of `key`.
    Raises:
      ValueError, TypeError: as for `key`.

    >>> from anima import random
    >>> random.key_dtype("unsafe_rbg")
    key<urbg>
    """
    return KeyDType(resolve("key_dtype", impl_spec, "impl_spec"))


def clone(key: Any) -> Any:
    """The same key, which checks of key reuse take for a new one: a statement that equal numbers are wanted.

    Args:
      key: typed or raw keys of any shape.
    Raises:
      TypeError: they are no keys.

    >>> from anima import random
    >>> key = random.key(0)
    >>> bool(random.uniform(key) == random.uniform(random.clone(key)))
    True
    """
    return of_same_kind(random_clone_p.bind(check_keys("clone", key)), key)


@function(static=("num",))
def split(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """New keys from one, each independent of the others and of the old one, which is not to be used any more.

    Args:
      key: a random key.
      num: how many, or the shape of the array of keys.
    Returns:
      an array of `num` keys, or of the shape `num`, typed or raw as `key` is; iterating over it gives the keys.
    Raises:
      TypeError: `key` is no key, or `num` no shape. ValueError: `key` is an array of keys.

    >>> from anima import random
    >>> key, subkey = random.split(random.PRNGKey(0))
    >>> print(key, subkey)
    [4146024105  967050713] [2718843009 1272950319]
    """
    keys = random_split_p.bind(check_key("split", key), shape=check_shape("split", num, "num"))
    return of_same_kind(keys, key)


def fold_in(key: Any, data: Any) -> Any:
    """A new key from a key and an integer: another one for each integer.

    Args:
      key: a random key.
      data: an integer of 32 bits, or a scalar array, which is converted to uint32. Fractions are dropped.
    Returns:
      a key, typed or raw as `key` is.
    Raises:
      TypeError: `key` is no key, or `data` no scalar. ValueError: `key` is an array of keys.
      OverflowError: a Python integer or a floating-point number, if it is known, is negative or has more than 32 bits.

    >>> from anima import random
    >>> keys = [random.fold_in(random.PRNGKey(0), step) for step in range(2)]
    >>> print(keys[1])
    [ 928981903 3453687069]
    """
    return _fold_in(key, _folded(data))


def _folded(data: Any) -> Any:
    """What is folded in, as a word if it is a number that is known: a program would make some other number of others.

    Raises:
      OverflowError: it is out of range. ValueError: it is a NaN.
    """
    try:
        if type(data) is int:
            return np.uint32(data)
        if isinstance(data, (float, np.generic, np.ndarray)):
            array = np.asarray(data)
            if dtypes.is_float(array.dtype) and not array.shape:
                return np.uint32(int(array))
    except (OverflowError, ValueError) as error:
        raise type(error)(f"fold_in: data must be from 0 to 2**32 - 1, got {data}") from None
    return data


@function(static=())
def _fold_in(key: Any, data: Any) -> Any:
    checked = check_key("fold_in", key)
    try:
        aval = aval_of(data)
    except TypeError:
        raise TypeError(f"fold_in: data must be an integer, got {type(data).__name__}") from None
    assert isinstance(aval, ShapedArray)
    if aval.shape:
        raise TypeError(
            f"fold_in accepts a scalar, but was given an array of shape {aval.shape}; use vmap for batching"
        )
    if not (dtypes.is_int(aval.dtype) or dtypes.is_float(aval.dtype) or dtypes.is_bool(aval.dtype)):
        raise TypeError(
            f"fold_in: data must be an integer, got {dtypes.dtype_name(aval.dtype)}"
            + ("; to derive a key from two, split one of them" if is_key_dtype(aval.dtype) else "")
        )
    return of_same_kind(random_fold_in_p.bind(checked, convert_element_type(data, dtypes.uint32)), key)


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
    return draw_bits(key, dtypes.itemsize_bits(kind), check_shape("bits", shape))

"""Generators of random numbers of one's own, and the ones there are, under JAX's names.

Invariant: what is made here goes wherever `impl=` is taken, and obeys the same rules as the generators of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.core.trace import aval_of
from anima.lax.ciphers import threefry2x32_p as threefry2x32_p
from anima.lax.shape import check_shape
from anima.random.implementations import (
    PRNGImpl,
    rbg_impl as rbg_prng_impl,
    resolve,
    threefry_impl as threefry_prng_impl,
    unsafe_rbg_impl as unsafe_rbg_prng_impl,
)
from anima.random.key_operations import random_seed_p
from anima.random.keys import seeded

__all__ = [
    "define_prng_impl",
    "random_seed",
    "rbg_prng_impl",
    "seed_with_impl",
    "threefry2x32_p",
    "threefry_2x32",
    "threefry_prng_impl",
    "unsafe_rbg_prng_impl",
]


def define_prng_impl(
    *,
    key_shape: tuple[int, ...],
    seed: Callable[[Any], Any],
    split: Callable[[Any, tuple[int, ...]], Any],
    random_bits: Callable[[Any, int, tuple[int, ...]], Any],
    fold_in: Callable[[Any, Any], Any],
    name: str = "<unnamed>",
    tag: str = "?",
) -> Hashable:
    """A generator of random numbers, from functions on one raw key, which are traced and mapped over many.

    Args:
      key_shape: the shape of a raw key, an array of uint32.
      seed: the raw key of an integer scalar.
      split: new raw keys, of shape `(*shape, *key_shape)`, from a raw key and a shape.
      random_bits: unsigned integers, from a raw key, their number of bits (8, 16, 32 or 64) and a shape.
      fold_in: a new raw key, from a raw key and a uint32 scalar.
      name: what `random.key_impl` and messages call it.
      tag: how the dtype of its keys prints, between the angle brackets of `key<...>`.
    Returns:
      what `random.key` takes as `impl`.
    Raises:
      TypeError: the shape is no shape, or an argument no function. The functions are looked at when they are used, and
        what they return is checked then.

    >>> import math
    >>> import anima.numpy as np
    >>> from anima import lax, random
    >>> from anima.extend.random import define_prng_impl
    >>> def counted(key, width, shape):
    ...     numbers = lax.iota("uint32", math.prod(shape)) + key[0]
    ...     return numbers.astype(f"uint{width}").reshape(shape)
    >>> counting = define_prng_impl(
    ...     key_shape=(1,),
    ...     seed=lambda seed: seed.astype("uint32")[None],
    ...     split=lambda key, shape: np.broadcast_to(key, (*shape, 1)),
    ...     random_bits=counted,
    ...     fold_in=lambda key, data: key + data,
    ...     name="counting",
    ...     tag="count",
    ... )
    >>> key = random.key(7, impl=counting)
    >>> key.dtype
    key<count>
    >>> print(random.bits(key, (3,)))
    [7 8 9]
    """
    shape = check_shape("define_prng_impl", key_shape, "key_shape")
    functions: dict[str, Any] = {"seed": seed, "split": split, "random_bits": random_bits, "fold_in": fold_in}
    for argument, function in functions.items():
        if not callable(function):
            raise TypeError(f"define_prng_impl: {argument} must be a function, got {type(function).__name__}")
    return PRNGImpl(shape, seed, split, random_bits, fold_in, name, tag)


def seed_with_impl(impl: Any, seed: Any) -> Any:
    """The typed key of a generator that belongs to a seed: `random.key` with the generator first.

    >>> from anima.extend.random import rbg_prng_impl, seed_with_impl
    >>> seed_with_impl(rbg_prng_impl, 0).dtype
    key<rbg>
    """
    return seeded("seed_with_impl", resolve("seed_with_impl", impl), seed)


def random_seed(seeds: Any, impl: Any) -> Any:
    """Typed keys of a generator, one for each seed.

    Args:
      seeds: integers, an array of any shape.
      impl: the generator.
    Returns:
      keys of that shape.
    Raises:
      TypeError: the seeds are no integers.

    >>> import numpy as np
    >>> from anima.extend.random import random_seed, threefry_prng_impl
    >>> random_seed(np.arange(3), threefry_prng_impl).shape
    (3,)
    """
    chosen = resolve("random_seed", impl)
    if isinstance(seeds, int):
        return seeded("random_seed", chosen, seeds)
    aval = aval_of(seeds)
    if not dtypes.is_int(aval.dtype):  # type: ignore[attr-defined]
        raise TypeError(f"random_seed: seeds must be integers, got {aval}")
    return random_seed_p.bind(seeds, impl=chosen)


def threefry_2x32(keypair: Any, count: Any) -> Any:
    """The Threefry cipher of an array of words: each from the first half of them is one block with one from the second.

    Args:
      keypair: the two words of the key: a uint32 array of shape (2,), or a pair of scalars.
      count: uint32, of any shape.
    Returns:
      as many words, of the same shape.
    Raises:
      TypeError: an argument is not uint32. ValueError: the key is no pair.

    >>> import numpy as np
    >>> from anima.extend.random import threefry_2x32
    >>> print(threefry_2x32(np.zeros(2, np.uint32), np.arange(4, dtype=np.uint32)))
    [4146024105  967050713 2718843009 1272950319]
    """
    key = keypair if isinstance(keypair, (tuple, list)) else [keypair[i] for i in range(len(keypair))]
    if len(key) != 2:
        raise ValueError(f"threefry_2x32: keypair must be two words, got {len(key)}")
    shape = aval_of(count).shape  # type: ignore[attr-defined]
    for argument, value in (("keypair", key[0]), ("keypair", key[1]), ("count", count)):
        if aval_of(value).dtype != dtypes.uint32:  # type: ignore[attr-defined]
            raise TypeError(f"threefry_2x32: {argument} must be of dtype uint32, got {aval_of(value)}")
    size = int(np.prod(shape, dtype=np.int64))
    flat = lax.reshape(count, (size,))
    if size % 2:
        flat = lax.concatenate([flat, np.zeros(1, np.uint32)], 0)
    half = (size + 1) // 2
    first, second = threefry2x32_p.bind(
        *key, lax.slice(flat, (0,), (half,)), lax.slice(flat, (half,), (2 * half,))
    )
    return lax.reshape(lax.slice(lax.concatenate([first, second], 0), (0,), (size,)), shape)

"""The operations on typed keys: making them, opening them, dividing them, and drawing bits.

Invariant: whatever is random goes through these, so a traced program shows each use of a key as one equation; raw keys
are wrapped first. An operation on an array of keys is its implementation's function mapped over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive
from anima.core.trace import aval_of
from anima.interpreters import key_reuse
from anima.interpreters.batch import Axis, to_axis
from anima.lax import expand_dims, index_in_dim, squeeze
from anima.lax.declare import SharedRule, declare, lowered_by, no_tangent, unchanged
from anima.lowering.module import Context, Value
from anima.random import threefry
from anima.random.implementations import KeyDType, PRNGImpl
from anima.transforms.vmap import vmap

Shape = tuple[int, ...]

_NOT_LINEAR = Missing("it is not linear")


def impl_of(name: str, keys: ShapedArray) -> PRNGImpl:
    """The generator of typed keys.

    Raises:
      TypeError: they are none.
    """
    if not isinstance(keys.dtype, KeyDType):
        raise TypeError(
            f"{name} needs typed random keys, as random.key makes, got {dtypes.dtype_name(keys.dtype)}"
        )
    return keys.dtype.impl


def _mapped(fun: Callable[..., Any], rank: int) -> Callable[..., Any]:
    for _ in range(rank):
        fun = vmap(fun)
    return fun


def _checked(impl: PRNGImpl, what: str, value: Any, shape: Shape, dtype: Any) -> Any:
    """What a function of an implementation returned; those that users define may return anything.

    Raises:
      TypeError: it is something else than it should be.
    """
    aval = aval_of(value)
    assert isinstance(aval, ShapedArray)
    if aval.shape != shape or aval.dtype != dtype:
        wanted, got = ShapedArray(shape, dtype), ShapedArray(aval.shape, aval.dtype)
        raise TypeError(
            f"the function {what} of the random number generator {impl.name!r} must return {wanted}, got {got}"
        )
    return value


@SharedRule
def _batch_front(primitive: Primitive, axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
    """The batching rule of an operation that treats each key by itself: mapped keys come first."""
    return primitive.bind(hooks.move_axis(args[0], dims[0], 0), **params), 0


# --- between raw and typed keys ---------------------------------------------------------------


def _wrap_shape(words: ShapedArray, *, impl: PRNGImpl) -> ShapedArray:
    rank = len(impl.key_shape)
    if (
        words.dtype != dtypes.uint32
        or words.ndim < rank
        or words.shape[words.ndim - rank :] != impl.key_shape
    ):
        raise TypeError(
            f"wrap_key_data: key_bits_array must be key data of the generator {impl.name!r}, a uint32 array whose shape "
            f"ends with {impl.key_shape}, got {dtypes.dtype_name(words.dtype)} of shape {words.shape}"
        )
    return ShapedArray(words.shape[: words.ndim - rank], KeyDType(impl))


def _same_buffer(ctx: Context, x: Value, **params: Any) -> Value:
    return Value(x.name, ctx.out_avals[0])


random_wrap_p = declare(
    "random_wrap",
    shape=_wrap_shape,
    lower=_same_buffer,
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=_batch_front,
    keys=key_reuse.closed,
)


def _unwrap_shape(keys: ShapedArray) -> ShapedArray:
    impl = impl_of("random_unwrap", keys)
    return ShapedArray((*keys.shape, *impl.key_shape), dtypes.uint32)


random_unwrap_p = declare(
    "random_unwrap",
    shape=_unwrap_shape,
    lower=_same_buffer,
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=_batch_front,
    keys=key_reuse.opened,
    elementwise=unchanged,
)


def _clone_shape(keys: ShapedArray) -> ShapedArray:
    impl_of("random_clone", keys)
    return keys


random_clone_p = declare(
    "random_clone",
    shape=_clone_shape,
    lower=_same_buffer,
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=_batch_front,
    keys=key_reuse.renewed,
)

# --- new keys ---------------------------------------------------------------------------------


def _seed_shape(seeds: ShapedArray, *, impl: PRNGImpl) -> ShapedArray:
    if not dtypes.is_int(seeds.dtype):
        raise TypeError(f"random seeds must be integers, got dtype {dtypes.dtype_name(seeds.dtype)}")
    return ShapedArray(seeds.shape, KeyDType(impl))


def _seeded(seeds: Any, *, impl: PRNGImpl) -> Any:
    def one(seed: Any) -> Any:
        return _checked(impl, "seed", impl.seed(seed), impl.key_shape, dtypes.uint32)

    return random_wrap_p.bind(_mapped(one, len(aval_of(seeds).shape))(seeds), impl=impl)  # type: ignore[attr-defined]


random_seed_p = declare(
    "random_seed",
    shape=_seed_shape,
    lower=lowered_by(_seeded),
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=_batch_front,
)


def _split_shape(keys: ShapedArray, *, shape: Shape) -> ShapedArray:
    impl_of("random_split", keys)
    return ShapedArray((*keys.shape, *shape), keys.dtype)


def _split(keys: Any, *, shape: Shape) -> Any:
    aval = aval_of(keys)
    impl = impl_of("random_split", aval)  # type: ignore[arg-type]

    def one(key: Any) -> Any:
        return _checked(impl, "split", impl.split(key, shape), (*shape, *impl.key_shape), dtypes.uint32)

    words = _mapped(one, len(aval.shape))(random_unwrap_p.bind(keys))  # type: ignore[attr-defined]
    return random_wrap_p.bind(words, impl=impl)


def _longer_split(length: int, number: Any, keys: Any, *, shape: Shape) -> Any:
    aval = aval_of(keys)
    impl = impl_of("random_split", aval)  # type: ignore[arg-type]
    if impl.longer_split is None or aval.shape:  # type: ignore[attr-defined]
        return None
    words = impl.longer_split(random_unwrap_p.bind(keys), math.prod(shape), length, number)
    return random_wrap_p.bind(words, impl=impl)


random_split_p = declare(
    "random_split",
    shape=_split_shape,
    lower=lowered_by(_split),
    counted=_longer_split,
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=_batch_front,
    keys=key_reuse.used,
)


def _fold_shape(keys: ShapedArray, data: ShapedArray) -> ShapedArray:
    impl_of("random_fold_in", keys)
    fits = data.ndim == keys.ndim and all(n in (1, size) for n, size in zip(data.shape, keys.shape))
    if data.dtype != dtypes.uint32 or not fits:
        raise TypeError(
            f"random_fold_in needs a uint32 for each key, or sizes of 1 where keys share one, got {data} for keys of shape "
            f"{keys.shape}"
        )
    return ShapedArray(keys.shape, keys.dtype)


def _fold_in(keys: Any, data: Any) -> Any:
    aval, shape = aval_of(keys), aval_of(data).shape  # type: ignore[attr-defined]
    impl = impl_of("random_fold_in", aval)  # type: ignore[arg-type]

    def one(key: Any, word: Any) -> Any:
        return _checked(impl, "fold_in", impl.fold_in(key, word), impl.key_shape, dtypes.uint32)

    # Shared data are not mapped: the compiler's generator gives mapped seeds other bits than one.
    shared = [n == 1 and size != 1 for n, size in zip(shape, aval.shape)]  # type: ignore[attr-defined]
    fun: Callable[..., Any] = one
    for is_shared in reversed(shared):
        fun = vmap(fun, in_axes=(0, None if is_shared else 0))
    data = squeeze(data, tuple(i for i, is_shared in enumerate(shared) if is_shared))
    return random_wrap_p.bind(fun(random_unwrap_p.bind(keys), data), impl=impl)


def _fold_batch(axis: Axis, args: Any, dims: Any) -> tuple[Any, int]:
    keys, data = args
    data = expand_dims(data, (0,)) if dims[1] is None else hooks.move_axis(data, dims[1], 0)
    return random_fold_in_p.bind(to_axis(keys, dims[0], 0, axis.size), data), 0


random_fold_in_p = declare(
    "random_fold_in",
    shape=_fold_shape,
    lower=lowered_by(_fold_in),
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=_fold_batch,
    keys=key_reuse.derived,
)

# --- bits -------------------------------------------------------------------------------------


def _bits_shape(keys: ShapedArray, *, bit_width: int, shape: Shape) -> ShapedArray:
    impl_of("random_bits", keys)
    return ShapedArray((*keys.shape, *shape), threefry.UINT[bit_width])


def _bits(keys: Any, *, bit_width: int, shape: Shape) -> Any:
    aval = aval_of(keys)
    impl = impl_of("random_bits", aval)  # type: ignore[arg-type]

    def one(key: Any) -> Any:
        drawn = impl.random_bits(key, bit_width, shape)
        return _checked(impl, "random_bits", drawn, shape, threefry.UINT[bit_width])

    return _mapped(one, len(aval.shape))(random_unwrap_p.bind(keys))  # type: ignore[attr-defined]


def _longer_bits(length: int, number: Any, keys: Any, *, bit_width: int, shape: Shape) -> Any:
    aval = aval_of(keys)
    impl = impl_of("random_bits", aval)  # type: ignore[arg-type]
    if impl.longer_bits is None or aval.shape:  # type: ignore[attr-defined]
        return None
    return impl.longer_bits(random_unwrap_p.bind(keys), bit_width, math.prod(shape), length, number)


random_bits_p = declare(
    "random_bits",
    shape=_bits_shape,
    lower=lowered_by(_bits),
    counted=_longer_bits,
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=_batch_front,
    keys=key_reuse.used,
)

# --- for distributions, on one checked key ----------------------------------------------------


def split(key: Any, count: int = 2) -> list[Any]:
    """Some new keys from a typed key."""
    keys = random_split_p.bind(key, shape=(count,))
    return [index_in_dim(keys, i, keepdims=False) for i in range(count)]


def bits(key: Any, width: int, shape: Shape) -> Any:
    """Unsigned integers of `width` bits (8, 16, 32 or 64) from a typed key, uniformly distributed."""
    return random_bits_p.bind(key, bit_width=width, shape=shape)

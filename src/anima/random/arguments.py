"""What random functions do with their arguments first.

Invariant: every message names the function and the argument. What a function is given as a key is looked at here, and
nowhere else.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from anima import dtypes, lax
from anima._native import ArrayImpl, CompiledCall
from anima.config import legacy_prng_key
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of
from anima.lax.create import scalar_of_dtype
from anima.lax.shape import check_shape, refuse_out_sharding
from anima.random.implementations import is_key_dtype, registered, resolve
from anima.random.key_operations import random_unwrap_p, random_wrap_p
from anima.transforms.arguments import parameters_of
from anima.transforms.eager import compiled
from anima.transforms.jit import jit_miss

F = TypeVar("F", bound=Callable[..., Any])
Shape = tuple[int, ...]


# --- how functions are called -----------------------------------------------------------------


def function(fun: F | None = None, *, static: tuple[str, ...] = ("shape", "dtype")) -> Any:
    """Decorator for a public function: eager calls are one program; `static` names the arguments that are settings."""
    if fun is None:
        return functools.partial(function, static=static)
    if "out_sharding" in _names(fun):
        static = (*static, "out_sharding")
    return compiled(fun, static=static, miss=_miss)


def _names(fun: Any) -> list[str]:
    return [parameter.name for parameter in parameters_of(fun) or ()]


def _miss(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """What has to happen in every call happens here; then comes a call without it, which the compiled one serves."""
    _check_arrays(call, args, kwargs)
    if legacy_prng_key.value == "warn":
        given = args[0] if args else kwargs.get("key")
        if isinstance(given, (ArrayImpl, np.ndarray)) and given.dtype == dtypes.uint32:
            refuse_raw_key(call.name)
        with legacy_prng_key("allow"):
            return call(*args, **kwargs), None
    return _with_plain_settings(call, args, kwargs)


def _check_arrays(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """What is no array is refused in the function's own words: those of `jit` would speak of settings.

    Raises:
      TypeError: an argument that is no setting is no array or scalar.
    """
    name = call.name.removeprefix("_")  # the compiled part of a public function has one
    given = {**dict(zip(_names(call.fun), args)), **kwargs}
    for argument, value in given.items():
        if value is None or argument in call.spec.static_argnames:
            continue
        if argument == "key":
            key_aval(name, value)
        else:
            aval_of_parameter(name, argument, value)


def _with_plain_settings(
    call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Any]:
    """Settings that cannot be compared with those of other calls, or that deserve a warning each time, are replaced."""
    names = _names(call.fun)
    plain = [_plain_setting(call.name, n, a) if i in call.spec.static_argnums else a for i, (n, a) in enumerate(zip(names, args))]  # fmt: skip
    plain_named = {
        n: _plain_setting(call.name, n, a) if n in call.spec.static_argnames else a for n, a in kwargs.items()
    }
    same = all(a is b for a, b in zip((*plain, *plain_named.values()), (*args, *kwargs.values())))
    if same or len(plain) < len(args):
        return jit_miss(call, args, kwargs)
    return call(*plain, **plain_named), None


def _plain_setting(name: str, argument: str, value: Any) -> Any:
    if argument in ("shape", "num") and not isinstance(value, (tuple, int, type(None))):
        return check_shape(name, value, argument)
    if argument == "dtype" and value is not None:
        # The same object unless the mode has no such dtype; then each call warns, not the first alone.
        dtype = dtypes.check_user_dtype_supported(value, name)
        return value if dtype == dtypes.as_dtype(value) else dtype
    return value


# --- keys -------------------------------------------------------------------------------------


def check_key(name: str, key: Any) -> Any:
    """`key`, if it is one key, as a typed one.

    Raises:
      TypeError: it is no key. ValueError: it is an array of keys, or a raw key where the option forbids them.
    """
    keys = check_keys(name, key)
    shape = aval_of(keys).shape  # type: ignore[attr-defined]
    if shape:
        raise ValueError(
            f"{name} accepts a single key, but was given a key array of shape {shape}; use vmap for batching"
        )
    return keys


def check_keys(name: str, keys: Any, argument: str = "key") -> Any:
    """`keys`, if they are keys of either kind, as typed ones.

    Raises:
      TypeError: they are no keys. ValueError: they are raw where the option `legacy_prng_key` forbids it.
    """
    aval = key_aval(name, keys, argument)
    if is_key_dtype(aval.dtype):
        return keys
    impl = resolve(name, None)
    rank = len(impl.key_shape)
    if aval.dtype != dtypes.uint32 or aval.shape[max(aval.ndim - rank, 0) :] != impl.key_shape:
        raise TypeError(
            f"{name}: {argument} must be a random key, as random.key makes, or a uint32 array of shape "
            f"{impl.key_shape}, as random.PRNGKey makes, got {dtypes.dtype_name(aval.dtype)} of shape {aval.shape}"
            + _advice(aval)
        )
    refuse_raw_key(name)
    return random_wrap_p.bind(keys, impl=impl)


def _advice(aval: ShapedArray) -> str:
    """What to do with a raw key of a generator that is not the default one."""
    fits = [i.name for i in registered.values() if (aval.shape, aval.dtype) == (i.key_shape, dtypes.uint32)]
    if not fits:
        return ""
    names = " or ".join(map(repr, fits))
    return f"; if it is a raw key of {names}, name the generator: random.wrap_key_data(key, impl=...)"


def key_aval(name: str, keys: Any, argument: str = "key") -> ShapedArray:
    """The aval of what is given as keys.

    Raises:
      TypeError: it is no array.
    """
    try:
        aval = aval_of(keys)
    except TypeError:
        raise TypeError(
            f"{name}: {argument} must be a random key, as random.key or random.PRNGKey makes, got "
            f"{type(keys).__name__}"
        ) from None
    assert isinstance(aval, ShapedArray)
    return aval


def refuse_raw_key(name: str) -> None:
    """Apply the option `legacy_prng_key` to the use of a raw key.

    Raises:
      ValueError: it is "error".
    """
    if legacy_prng_key.value == "allow":
        return
    message = (
        f"{name} was given a raw uint32 key; make typed keys with random.key, or set the option legacy_prng_key to "
        '"allow"'
    )
    if legacy_prng_key.value == "error":
        raise ValueError(message)
    warnings.warn(message, UserWarning, stacklevel=dtypes.requests.user_stack_level())


def of_same_kind(keys: Any, given: Any) -> Any:
    """Typed keys in the form of the key that they were made from: raw if it was."""
    return keys if is_key_dtype(aval_of(given).dtype) else random_unwrap_p.bind(keys)  # type: ignore[attr-defined]


# --- shapes and dtypes ------------------------------------------------------------------------


def float_dtype(name: str, dtype: Any, *, complex_too: bool = False) -> Any:
    """The floating-point dtype that was asked for; None asks for the default.

    Raises:
      ValueError: it is of another kind.
    """
    if dtype is None:
        return dtypes.default_float_dtype()
    result = dtypes.check_user_dtype_supported(dtype, name)
    if not (dtypes.is_float(result) or (complex_too and dtypes.is_complex(result))):
        kinds = "a float or complex dtype" if complex_too else "a float dtype"
        raise ValueError(f"dtype argument to `{name}` must be {kinds}, got {dtypes.dtype_name(result)}")
    return result


def begin(
    name: str, key: Any, dtype: Any, out_sharding: Any, *, complex_too: bool = False
) -> tuple[Any, Any]:
    """The checked key of a distribution, and the dtype that was asked for.

    Raises:
      TypeError, ValueError: as `check_key`, `float_dtype` and `refuse_out_sharding` do.
    """
    key = check_key(name, key)
    refuse_out_sharding(name, out_sharding)
    return key, float_dtype(name, dtype, complex_too=complex_too)


def int_dtype(name: str, dtype: Any) -> Any:
    """The integer dtype that was asked for; None asks for the default.

    Raises:
      ValueError: it is of another kind.
    """
    if dtype is None:
        return dtypes.default_int_dtype()
    result = dtypes.check_user_dtype_supported(dtype, name)
    if not dtypes.is_int(result):
        raise ValueError(f"dtype argument to `{name}` must be an int dtype, got {dtypes.dtype_name(result)}")
    return result


def unsigned_dtype(name: str, dtype: Any) -> Any:
    """The dtype of random bits that was asked for; None asks for the default.

    Raises:
      ValueError: it is no unsigned integer of 8 bits or more.
    """
    if dtype is None:
        return dtypes.default_uint_dtype()
    result = dtypes.check_user_dtype_supported(dtype, name)
    if not dtypes.is_unsigned_int(result) or dtypes.itemsize_bits(result) < 8:
        raise ValueError(
            f"dtype argument to `{name}` must be an unsigned int dtype of 8 bits or more, got {dtypes.dtype_name(result)}"
        )
    return result


def aval_of_parameter(name: str, argument: str, value: Any) -> ShapedArray:
    """The aval of a parameter of a distribution.

    Raises:
      TypeError: it is no array or scalar.
    """
    try:
        return aval_of(value)  # type: ignore[return-value]
    except TypeError:
        advice = "; convert it with numpy.asarray" if isinstance(value, (list, tuple)) else ""
        raise TypeError(
            f"{name}: argument {argument} must be an array or a scalar, got {type(value).__name__}{advice}"
        ) from None


def common_shape(name: str, shape: Any, **parameters: Any) -> Shape:
    """The shape asked for, to which the parameters must fit; None asks for the parameters' own.

    Raises:
      TypeError: `shape` is no shape, or a parameter no array. ValueError: a parameter does not fit.
    """
    shapes = [aval_of_parameter(name, n, v).shape for n, v in parameters.items()]
    if shape is None:
        return lax.broadcast_shapes(*shapes)
    result = check_shape(name, shape)
    found = lax.broadcast_shapes(result, *shapes)
    if found != result:
        raise ValueError(
            f"{name} parameter shapes must be broadcast-compatible with shape argument, and the result of broadcasting "
            f"the shapes must equal the shape argument, but got result {found} for shape argument {result}"
        )
    return result


def real_parameter(name: str, argument: str, value: Any, dtype: Any, shape: Shape) -> Any:
    """A parameter in the dtype of the result, and of its rank unless it is a constant.

    Raises:
      TypeError: it is complex.
    """
    aval = aval_of_parameter(name, argument, value)
    if dtypes.is_complex(aval.dtype):
        raise TypeError(
            f"{name}: argument {argument} must be real, got dtype {dtypes.dtype_name(aval.dtype)}"
        )
    converted = scalar_of_dtype(name, value, dtype)
    return converted if not aval.shape else lax.broadcast_to_rank(converted, len(shape))


def constant(value: float, dtype: Any) -> Any:
    """A Python number rounded to a dtype, as a constant."""
    return np.asarray(value).astype(dtype)[()]

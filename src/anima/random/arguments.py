"""What random functions do with their arguments first.

Invariant: every message names the function and the argument. What a function is given as a key is looked at here, and
nowhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from anima import dtypes, lax
from anima._native import CompiledCall
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of
from anima.lax.create import scalar_of_dtype
from anima.lax.shape import check_shape
from anima.random import threefry
from anima.transforms.arguments import signature_of
from anima.transforms.eager import compiled
from anima.transforms.jit import jit_miss

F = TypeVar("F", bound=Callable[..., Any])
Shape = tuple[int, ...]


# --- how functions are called -----------------------------------------------------------------


def function(fun: F | None = None, *, static: tuple[str, ...] = ("shape", "dtype")) -> Any:
    """Decorator for a public function: eager calls are one program; `static` names the arguments that are settings."""
    if fun is None:
        return functools.partial(function, static=static)
    if "out_sharding" in signature_of(fun).parameters:  # type: ignore[union-attr]
        static = (*static, "out_sharding")
    return compiled(fun, static=static, miss=_miss)


def _miss(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Settings that cannot be compared with those of other calls, or that deserve a warning each time, are replaced."""
    names = list(signature_of(call.fun).parameters)  # type: ignore[union-attr]
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
    """`key`, if it is one key.

    Raises:
      TypeError: it is no key. ValueError: it is an array of keys.
    """
    try:
        aval = aval_of(key)
    except TypeError:
        raise TypeError(
            f"{name}: key must be a random key, as random.PRNGKey makes, got {type(key).__name__}"
        ) from None
    assert isinstance(aval, ShapedArray)
    if aval.dtype != dtypes.uint32 or aval.shape[-1:] != (threefry.KEY_WORDS,):
        raise TypeError(
            f"{name}: key must be a random key, a uint32 array of shape (2,) as random.PRNGKey makes, got "
            f"{dtypes.dtype_name(aval.dtype)} of shape {aval.shape}"
        )
    if aval.ndim > 1:
        raise ValueError(
            f"{name} accepts a single key, but was given a key array of shape {aval.shape[:-1]}; use vmap for batching"
        )
    return key


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

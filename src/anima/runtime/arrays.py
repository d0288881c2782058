"""Arrays as Python sees them: the class `Array`, and the values that may stand for one.

Invariant: the concrete type is `_native.ArrayImpl`; `Array` is what users test against, and is true for arrays and
tracers alike. Everything that may be an operand has an aval rule registered here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import _native, dtypes
from anima._native import ArrayImpl
from anima.core import hooks
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.trace import Tracer, register_value_type
from anima.runtime.devices import default_device, devices
from anima.runtime.layout import assemble
from anima.runtime.transfer_guards import announce
from anima.sharding import set_default_devices
from anima.sharding.shardings import make_single_device_sharding


class _ArrayMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, (ArrayImpl, Tracer))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or issubclass(subclass, (ArrayImpl, Tracer))

    def __repr__(cls) -> str:
        return "<class 'anima.Array'>"  # where users find it, for messages


class Array(metaclass=_ArrayMeta):
    """An array of numbers on one or more devices; immutable.

    Made by `anima.numpy.array`, `anima.device_put` and every operation, never by calling this class.
    `isinstance(x, Array)` also holds for the tracers that stand for arrays in transformed functions.

    >>> import anima, anima.numpy as np
    >>> isinstance(np.zeros(3), anima.Array)
    True
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Array:
        raise TypeError("Array cannot be called: make arrays with anima.numpy.array or anima.device_put")


def _scalar_rule(dtype: Any, weak: bool) -> Any:
    # One aval for each setting of the 64-bit option, asked of the native module: the look-up is on the tracing path.
    def rule(value: Any) -> AbstractValue:
        wide = x64_enabled()
        known = avals.get(wide)
        if known is None:
            known = avals[wide] = ShapedArray((), dtype(), weak)
        return known

    avals: dict[bool, ShapedArray] = {}
    x64_enabled = _native.x64_enabled
    return rule


def _bool_dtype() -> Any:
    return dtypes.bool_


def _numpy_aval(value: Any) -> AbstractValue:
    dtype = value.dtype
    if dtype == dtypes.float0:
        return ShapedArray(value.shape, dtype)
    if hasattr(value, "mask"):
        _native.array_from_host(value, default_device())  # which raises: the mask would be lost
    if dtypes.kind_of(dtype) is None:
        raise TypeError(
            f"dtype {dtype} is not a valid array type: arrays hold booleans, integers, floats and complex numbers, in the "
            "byte order of this machine; convert first, e.g. with .astype(float)"
        )
    return ShapedArray(value.shape, dtypes.canonicalize_dtype(dtype))


def _array_aval(value: ArrayImpl) -> AbstractValue:
    return value.aval


register_value_type(ArrayImpl, _array_aval)
register_value_type(bool, _scalar_rule(_bool_dtype, False))
register_value_type(int, _scalar_rule(dtypes.default_int_dtype, True))
register_value_type(float, _scalar_rule(dtypes.default_float_dtype, True))
register_value_type(complex, _scalar_rule(dtypes.default_complex_dtype, True))
register_value_type(np.ndarray, _numpy_aval)
register_value_type(np.generic, _numpy_aval)


def as_array(value: Any) -> Any:
    """A Python or NumPy value as a concrete array; arrays and tracers as they are."""
    if isinstance(value, (ArrayImpl, Tracer)):
        return value
    convert = getattr(value, "__jax_array__", None)
    if convert is not None:
        return as_array(convert())
    device = default_device()
    announce("host_to_device", value, device)
    return _native.array_from_host(value, device)


def make_aval(shape: tuple[int, ...], dtype: Any, weak: bool) -> ShapedArray:
    """The aval of a concrete array (called once for each distinct one)."""
    return ShapedArray(shape, dtype, weak)


hooks.as_array = as_array
_native.set_array_hooks(
    make_aval=make_aval,
    make_sharding=make_single_device_sharding,
    default_device=default_device,
    assemble=assemble,
)
set_default_devices(devices)

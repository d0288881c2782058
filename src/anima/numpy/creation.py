"""Arrays from values: `array`, `asarray`, constant fill and copies.

Invariant: values of the host are copied, unless a caller says `copy=False`. Small constant arrays made eagerly are filled
on the host, which is quicker than running a program; large ones and traced ones are one broadcast.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from copy import copy as copy_of
from typing import Any

import numpy as np

from anima import _native, dtypes
from anima._native import ArrayImpl, get_trace, tree_flatten
from anima.core import hooks
from anima.core.trace import Tracer, aval_of
from anima.dtypes.requests import user_stack_level
from anima.lax import (
    broadcast_in_dim,
    concatenate,
    convert_element_type,
    expand_dims,
    full as lax_full,
)
from anima.lax.convert import convert_to
from anima.lax.create import scalar_of_dtype
from anima.lax.shape import check_shape, refuse_out_sharding
from anima.numpy.calls import recalled
from anima.numpy.promotion import array_like, shape_of
from anima.runtime.devices import default_device
from anima.runtime.transfer_guards import announce
from anima.transforms.placement import device_put

# Up to this many bytes a fill on the host, in memory that the array takes over, costs less than running a program: 2 and
# 6 us for 4 kB, 4 and 9 us for 64 kB.
HOST_FILL = 1 << 16
_COPIED = 1 << 12


def put_on(x: Any, device: Any) -> Any:
    """`x` on the device or with the sharding that a creation function was given, if it was."""
    return x if device is None else device_put(x, device)


# --- from values ------------------------------------------------------------------------------


@recalled(values=True)
def array(
    object: Any,
    dtype: Any = None,
    *args: Any,
    copy: bool = True,
    order: str | None = "K",
    ndmin: int = 0,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """An array with the given contents.

    Args:
      object: an array, a scalar, or nested sequences of them; traced values may stand in the sequences.
      dtype: the result's dtype; by default that of the contents, where Python numbers yield to arrays.
      *args: values of `copy`, `order` and `ndmin`; to be given by keyword, as this is deprecated.
      copy: whether an array is copied rather than returned as it is.
      order: "K" or "C"; arrays have no other order.
      ndmin: the least number of dimensions; dimensions of size 1 are put in front.
      device: a device or sharding to place the result on.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: the contents are not numbers or booleans. ValueError: the sequences are ragged.
      OverflowError: a Python integer does not fit.

    >>> import anima.numpy as np
    >>> np.array([[1, 2], [3, 4]])
    DeviceArray([[1, 2],
                 [3, 4]], dtype=int32)
    """
    if args:
        copy, order, ndmin = _by_position(args, copy, order, ndmin)
    refuse_out_sharding("array", out_sharding)
    _check_order("array", order)
    result = put_on(_as_array("array", object, dtype, copy), device)
    missing = ndmin - result.ndim
    return result.reshape((1,) * missing + result.shape) if missing > 0 else result


def _by_position(args: tuple[Any, ...], *defaults: Any) -> tuple[Any, ...]:
    """The arguments of `array` that should have been given by keyword."""
    if len(args) > len(defaults):
        raise TypeError(f"array() takes from 1 to 5 positional arguments, got {2 + len(args)}")
    warnings.warn(
        "array: copy, order and ndmin given by position are deprecated; give them by keyword",
        DeprecationWarning,
        stacklevel=user_stack_level(),
    )
    return (*args, *defaults[len(args) :])


@recalled(values=True)
def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """`a` as an array; without a copy if it is one.

    Args:
      a: as for `array`.
      dtype: the result's dtype; by default that of `a`.
      order: "K" or "C"; arrays have no other order.
      copy: True: copy always; False: share memory or raise; None: copy only where needed. NumPy arrays are copied
        unless this is False, as they may change later.
      device: a device or sharding to place the result on.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: the contents are not numbers or booleans. ValueError: `copy=False`, and a copy is needed.

    >>> import anima.numpy as np
    >>> np.asarray([1.0, 2.0])
    DeviceArray([1., 2.], dtype=float32)
    """
    if dtype is None and device is None and type(a) is ArrayImpl and not copy and order is None:
        return a
    refuse_out_sharding("asarray", out_sharding)
    _check_order("asarray", order)
    return put_on(_as_array("asarray", a, dtype, copy), device)


def _check_order(name: str, order: str | None) -> None:
    if order not in (None, "K", "C", "A"):
        raise ValueError(
            f"{name}: order must be 'K', 'A', 'C' or None, got {order!r}: arrays have row-major order"
        )


def _as_array(name: str, value: Any, dtype: Any, copy: bool | None) -> Any:
    wanted = None if dtype is None else dtypes.check_user_dtype_supported(dtype, name)
    convert = getattr(value, "__jax_array__", None)
    if convert is not None:
        value = convert()
    if isinstance(value, (ArrayImpl, Tracer)):
        if wanted is None or (wanted == value.dtype and not value.weak_type):
            return value if not copy or isinstance(value, Tracer) else copy_of(value)
        if copy is False and wanted != value.dtype:
            raise ValueError(
                f"{name}: a conversion from {value.dtype} to {wanted} needs a copy, and copy=False"
            )
        return convert_element_type(value, wanted)
    if isinstance(value, (bool, int, float, complex)):
        return _from_scalar(value, wanted)
    if isinstance(value, (np.ndarray, np.generic)):
        return _from_host(name, value, wanted, copy)
    if value is None:
        raise ValueError(
            f"{name}: None is not a valid array; write numpy.nan, or an empty list, if that was meant"
        )
    return _from_object(name, value, wanted, copy)


def _from_scalar(value: Any, wanted: Any) -> Any:
    if wanted is None:
        return hooks.as_array(value)
    if isinstance(value, int) and not isinstance(value, bool) and dtypes.is_int(wanted):
        _check_fits(value, wanted)
    return _given(scalar_of_dtype("array", value, wanted), True)


def _check_fits(value: int, dtype: Any) -> None:
    info = dtypes.iinfo(dtype)
    if not info.min <= value <= info.max:
        raise OverflowError(f"Python integer {value} is out of bounds for {dtypes.dtype_name(dtype)}")


def _from_host(name: str, value: Any, wanted: Any, copy: bool | None) -> Any:
    if wanted is not None and value.dtype.kind in "SU":
        value = _from_text(value, wanted)
    _check_numeric(name, value)
    target = dtypes.canonical(value.dtype) if wanted is None else wanted
    if value.dtype != target:
        if copy is False:
            raise ValueError(
                f"{name}: a conversion from {value.dtype} to {target} needs a copy, and copy=False"
            )
        with np.errstate(all="ignore"):  # out of range: what NumPy makes of it, without its warning
            value = value.astype(target)
    return _given(value, copy is not False)


def _given(value: Any, copy: bool) -> Any:
    device = default_device()
    announce("host_to_device", value, device)
    return _native.array_from_host(value, device, copy=copy)


def _from_text(value: Any, wanted: Any) -> Any:
    """The numbers that texts spell, for NumPy's own dtypes as NumPy reads them."""
    wide = {"f": np.float64, "c": np.complex128}.get(dtypes.kind_of(wanted) or "", wanted)
    return np.array(value.tolist(), wide)


def _check_numeric(name: str, value: Any) -> None:
    if dtypes.kind_of(value.dtype) is None and value.dtype != dtypes.float0:
        raise TypeError(
            f"{name}: dtype {value.dtype} of value {value!r:.60} is not supported: arrays hold numbers and booleans only"
        )


def _from_object(name: str, value: Any, wanted: Any, copy: bool | None) -> Any:
    """Sequences, and objects with an array interface."""
    if isinstance(value, (list, tuple)):
        return _from_sequence(name, value, wanted, copy)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return _as_array(name, _native.from_dlpack_capsule(value.__dlpack__()), wanted, copy)
    known = ("__array__", "__array_interface__", "__array_struct__")
    if any(hasattr(value, protocol) for protocol in known) or isinstance(
        value, (memoryview, bytes, bytearray)
    ):
        return _from_host(name, np.asarray(value), wanted, copy)
    if isinstance(value, str) and wanted is not None:
        return _from_host(name, np.asarray(value), wanted, copy)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _from_sequence(name, list(value), wanted, copy)
    raise TypeError(
        f"{name}: an object of type {type(value).__name__} is not an array, a number or a sequence of them: {value!r:.60}"
    )


def _holds_none(value: Any) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and any(_holds_none(v) for v in value))


def _from_sequence(name: str, value: Any, wanted: Any, copy: bool | None) -> Any:
    if _holds_none(value):
        raise ValueError(
            f"{name}: None is not a valid element of an array; write numpy.nan if that was meant"
        )
    leaves = tree_flatten(value)[0]
    if any(_stays_on_device(leaf) for leaf in leaves):
        return _stacked(name, value, wanted)
    if not leaves and wanted is None:
        wanted = dtypes.default_float_dtype()
    elif wanted is None and not any(isinstance(leaf, (str, bytes)) for leaf in leaves):
        kinds = {type(leaf): leaf for leaf in leaves}.values() if _all_scalars(leaves) else leaves
        wanted = dtypes.lattice_result_type(*{dtypes.pair_of(leaf) for leaf in kinds})[0]
    host = np.asarray(_on_host(value))
    if wanted is None:
        _check_numeric(name, host)
    if dtypes.is_int(wanted) and dtypes.is_int(host.dtype) and host.size and _all_scalars(leaves):
        _check_fits(int(host.max()), wanted)
        _check_fits(int(host.min()), wanted)
    return _from_host(name, host, wanted, copy=True)


def _stays_on_device(leaf: Any) -> bool:
    """Whether NumPy cannot hold the value: a traced one, or one of a dtype that is not NumPy's."""
    if isinstance(leaf, ArrayImpl):
        return dtypes.is_extended(leaf.dtype)
    return isinstance(leaf, Tracer) or hasattr(leaf, "__jax_array__")


def _all_scalars(leaves: list[Any]) -> bool:
    """Whether all are Python scalars, which are told apart by their type alone."""
    return {type(leaf) for leaf in leaves} <= {bool, int, float, complex}


def _on_host(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_on_host(v) for v in value]
    return np.asarray(value) if isinstance(value, ArrayImpl) else value


def _stacked(name: str, value: Any, wanted: Any) -> Any:
    """Nested sequences with traced values in them, as one array."""
    leaves = tree_flatten(value)[0]
    for index, leaf in enumerate(leaves):
        array_like(name, leaf, index)
    if wanted is None:
        wanted = dtypes.lattice_result_type(*{dtypes.pair_of(leaf) for leaf in leaves})[0]

    def stack(item: Any) -> Any:
        if not isinstance(item, (list, tuple)):
            return convert_element_type(item, wanted)
        if not item:
            return hooks.as_array(np.zeros((0,), wanted))
        parts = [stack(inner) for inner in item]
        shapes = {aval_of(p).shape for p in parts}  # type: ignore[attr-defined]
        if len(shapes) > 1:
            raise ValueError(
                f"{name}: the sequences are ragged: elements of one level have shapes {sorted(shapes)}"
            )
        return concatenate([expand_dims(p, (0,)) for p in parts], 0)

    return stack(value)


# --- constant fill ----------------------------------------------------------------------------


def _filled(name: str, shape: Any, value: Any, dtype: Any) -> Any:
    """An array of one Python number."""
    sizes = (shape,) if type(shape) is int and shape >= 0 else check_shape("full", shape)
    if dtype == dtypes.float0:
        return np.zeros(sizes, dtype)
    small = math.prod(sizes) * dtype.itemsize <= HOST_FILL
    if small and get_trace() is None and not dtypes.is_extended(dtype):
        # Sharing memory takes a microsecond more than copying what is small.
        few = math.prod(sizes) * dtype.itemsize <= _COPIED
        host = np.empty(sizes, dtype) if few else _native.aligned_empty(sizes, dtype)
        host.fill(value)
        return _native.array_from_host(host, default_device(), copy=None)
    return lax_full(sizes, value, dtype)


def _dtype_or_float(name: str, dtype: Any) -> Any:
    return dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype_supported(dtype, name)


@recalled()
def zeros(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array of zeros.

    Args:
      shape: an integer or a sequence of them.
      dtype: the result's dtype; floating-point by default.
      device: a device or sharding to place the result on.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: the shape is no shape. ShapeConcretizationError: it is traced.

    >>> import anima.numpy as np
    >>> np.zeros((2,))
    DeviceArray([0., 0.], dtype=float32)
    """
    refuse_out_sharding("zeros", out_sharding)
    return put_on(_filled("zeros", shape, 0, _dtype_or_float("zeros", dtype)), device)


@recalled()
def ones(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array of ones; arguments as for `zeros`.

    >>> import anima.numpy as np
    >>> np.ones((2,), dtype=int)
    DeviceArray([1, 1], dtype=int32)
    """
    refuse_out_sharding("ones", out_sharding)
    return put_on(_filled("ones", shape, 1, _dtype_or_float("ones", dtype)), device)


@recalled()
def empty(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array whose contents do not matter: zeros; arguments as for `zeros`.

    >>> import anima.numpy as np
    >>> np.empty((2,)).shape
    (2,)
    """
    refuse_out_sharding("empty", out_sharding)
    return put_on(_filled("empty", shape, 0, _dtype_or_float("empty", dtype)), device)


@recalled()
def full(
    shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """An array of the given shape that repeats `fill_value`.

    Args:
      shape: an integer or a sequence of them.
      fill_value: a scalar, or an array that broadcasts to the shape.
      dtype: the result's dtype; by default that of the fill value.
      device: a device or sharding to place the result on.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: the shape is no shape. ShapeConcretizationError: it is traced.
      ValueError: the fill value does not broadcast to the shape.

    >>> import anima.numpy as np
    >>> np.full((2, 2), 7)
    DeviceArray([[7, 7],
                 [7, 7]], dtype=int32)
    """
    refuse_out_sharding("full", out_sharding)
    wanted = None if dtype is None else dtypes.check_user_dtype_supported(dtype, "full")
    return put_on(_full("full", shape, fill_value, wanted, wanted is None), device)


def _full(name: str, shape: Any, fill_value: Any, dtype: Any, keep_weak: bool) -> Any:
    fill_value = array_like(name, fill_value, "fill_value")
    if dtype is not None and isinstance(fill_value, (bool, int, float, complex)):
        return _filled(name, shape, scalar_of_dtype(name, fill_value, dtype), dtype)
    sizes = check_shape("full", shape)
    value = hooks.as_array(fill_value) if dtype is None else convert_element_type(fill_value, dtype)
    old = aval_of(value).shape  # type: ignore[attr-defined]
    offset = len(sizes) - len(old)
    if offset < 0 or any(a not in (1, b) for a, b in zip(old, sizes[offset:])):
        raise ValueError(f"{name}: fill_value of shape {old} does not broadcast to shape {sizes}")
    return broadcast_in_dim(value, sizes, tuple(range(offset, len(sizes))))


def _described(name: str, a: Any) -> tuple[tuple[int, ...], Any, bool]:
    """Shape, dtype and weak type of an array, or of something that only describes one."""
    if isinstance(a, (np.ndarray, np.generic)) or not (hasattr(a, "shape") and hasattr(a, "dtype")):
        a = aval_of(array_like(name, a))
    return tuple(a.shape), a.dtype, bool(getattr(a, "weak_type", False))


def _like(name: str, a: Any, value: Any, dtype: Any, shape: Any, device: Any) -> Any:
    old, kind, weak = _described(name, a)
    if dtype is not None:
        kind, weak = dtypes.check_user_dtype_supported(dtype, name), False
    result = _full(name, old if shape is None else shape, value, kind, False)
    if weak and not shape_of(value):
        result = (
            _native.array_with(result, weak_type=True)
            if type(result) is ArrayImpl
            else convert_to(result, kind, True)
        )
    return put_on(result, device)


@recalled(like=True)
def zeros_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Zeros in the shape and dtype of `a`.

    Args:
      a: an array, a scalar, or anything with `shape` and `dtype`.
      dtype: the result's dtype in place of that of `a`.
      shape: the result's shape in place of that of `a`.
      device: a device or sharding to place the result on.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.zeros_like(np.array([1, 2]))
    DeviceArray([0, 0], dtype=int32)
    """
    refuse_out_sharding("zeros_like", out_sharding)
    return _like("zeros_like", a, 0, dtype, shape, device)


@recalled(like=True)
def ones_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Ones in the shape and dtype of `a`; arguments as for `zeros_like`.

    >>> import anima.numpy as np
    >>> np.ones_like(np.array([1, 2]))
    DeviceArray([1, 1], dtype=int32)
    """
    refuse_out_sharding("ones_like", out_sharding)
    return _like("ones_like", a, 1, dtype, shape, device)


@recalled(like=True)
def empty_like(prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """An array whose contents do not matter in the shape and dtype of `prototype`; arguments as for `zeros_like`.

    >>> import anima.numpy as np
    >>> np.empty_like(np.array([1, 2])).shape
    (2,)
    """
    return _like("empty_like", prototype, 0, dtype, shape, device)


@recalled(like=True)
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    shape: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """`fill_value` repeated in the shape and dtype of `a`; arguments as for `zeros_like`.

    >>> import anima.numpy as np
    >>> np.full_like(np.array([1, 2]), 7)
    DeviceArray([7, 7], dtype=int32)
    """
    refuse_out_sharding("full_like", out_sharding)
    return _like("full_like", a, fill_value, dtype, shape, device)


def copy(a: Any, order: str | None = None) -> Any:
    """A copy of `a` in memory of its own.

    >>> import anima.numpy as np
    >>> np.copy(np.array([1, 2]))
    DeviceArray([1, 2], dtype=int32)
    """
    array_like("copy", a)
    return array(a, copy=True, order=order)

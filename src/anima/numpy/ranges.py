"""Arrays of a regular pattern: ranges, grids, unit and triangular matrices, diagonals.

Invariant: sizes are known while tracing. Small patterns made eagerly are computed on the host; in a trace they are
counted out by the program, so none of them becomes a constant of it.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import numpy as np

from anima import _native, dtypes
from anima._native import get_trace, transfers_guarded
from anima.core.trace import Tracer
from anima.errors import ShapeConcretizationError
from anima.lax import (
    add,
    bitwise_not,
    broadcast_in_dim,
    broadcasted_iota,
    concatenate,
    convert_element_type,
    div,
    eq,
    expand_dims,
    floor,
    ge,
    iota,
    mul,
    pad,
    select,
    sign,
    sub,
)
from anima.lax.operands import constant, filled
from anima.lax.shape import check_axis
from anima.numpy.arithmetic import power_of
from anima.numpy.calls import function, recalled
from anima.numpy.creation import HOST_FILL, asarray, put_on
from anima.numpy.elementary import log10
from anima.numpy.promotion import array_like, dtype_of, promote_inexact, shape_of, stretch
from anima.numpy.reductions import refuse_out
from anima.numpy.shapes import moveaxis
from anima.runtime.devices import default_device
from anima.transforms.vmap import vmap

# --- ranges -----------------------------------------------------------------------------------


def _number(name: str, argument: str, value: Any) -> Any:
    """A bound as a Python or NumPy number."""
    if isinstance(value, Tracer):
        concrete = value.concrete()
        if concrete is None:
            raise ShapeConcretizationError(name, value)
        value = concrete
    if value is None or isinstance(value, (str, bytes)) or np.ndim(value) != 0:
        raise TypeError(f"{name}: {argument} must be a number, got {value!r:.60}")
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, complex):
        raise ValueError(f"{name}: {argument} must be real, got {number}")
    return number


@recalled()
def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The numbers from `start` on in steps of `step`, up to but without `stop`.

    Args:
      start: the first number; if `stop` is not given, this is `stop`, and the first is 0.
      stop: where to end.
      step: by default 1.
      dtype: the result's dtype; by default that of the arguments.
      device: a device or sharding to place the result on.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      ShapeConcretizationError: an argument is traced, so that the size is unknown. ValueError: one is complex.

    >>> import anima.numpy as np
    >>> np.arange(3), np.arange(1, 2, 0.25)
    (DeviceArray([0, 1, 2], dtype=int32), DeviceArray([1.  , 1.25, 1.5 , 1.75], dtype=float32))
    """
    if start is None and stop is None:
        raise TypeError("arange: start must be a number, got None")
    if dtype is None:
        kind = dtypes.result_type(*[a for a in (start, stop, step) if a is not None])
    else:
        kind = dtypes.check_user_dtype_supported(dtype, "arange")
        if dtypes.is_bool(kind):
            raise TypeError(
                "arange: dtype must be one of numbers, got bool; compare a range of integers with 0"
            )
    if stop is None:
        start, stop = 0, _number("arange", "stop", start)
    else:
        start, stop = _number("arange", "start", start), _number("arange", "stop", stop)
    step = 1 if step is None else _number("arange", "step", step)
    if step == 0:
        raise ValueError("arange: step must not be zero")
    return put_on(_counted(start, stop, step, kind), device)


def _counted(start: Any, stop: Any, step: Any, kind: Any) -> Any:
    size = builtins.max(math.ceil((stop - start) / step), 0)
    if get_trace() is None and size * kind.itemsize <= HOST_FILL:
        return _native.array_from_host(_host_range(start, stop, step, kind, size), default_device())
    whole = isinstance(start, int) and isinstance(step, int)
    if not whole:
        return asarray(_host_range(start, stop, step, kind, size))
    result = iota(kind, size)
    if step != 1:
        result = mul(result, constant(step, result))
    return add(result, constant(start, result)) if start != 0 else result


def _host_range(start: Any, stop: Any, step: Any, kind: Any, size: int) -> Any:
    return np.arange(start, stop, step).astype(kind) if size else np.zeros((0,), kind)


_SPACING = ("num", "endpoint", "dtype", "axis")


def _spaced(
    name: str, start: Any, stop: Any, num: Any, endpoint: bool, dtype: Any, axis: int
) -> tuple[Any, Any]:
    """Evenly spaced numbers along `axis`, and their distance."""
    count = operator.index(num)
    if count < 0:
        raise ValueError(f"{name}: num must not be negative, got {count}")
    start, stop = promote_inexact(name, array_like(name, start, "start"), array_like(name, stop, "stop"))
    target = (
        dtypes.to_inexact_dtype(dtype_of(start))
        if dtype is None
        else dtypes.check_user_dtype_supported(dtype, name)
    )
    inner = dtypes.to_inexact_dtype(dtypes.promote_types(dtype_of(start), target))
    start, stop = convert_element_type(start, inner), convert_element_type(stop, inner)
    shape = shape_of(start) or shape_of(stop)
    start, stop = stretch(start, shape_of(start), shape), stretch(stop, shape_of(stop), shape)
    parts = count - 1 if endpoint else count
    step = div(sub(stop, start), constant(parts, start)) if parts > 0 else filled(math.nan, start)
    whole = (count, *shape)
    if count == 0:
        result = filled(0, broadcast_in_dim(start, whole, range(1, len(whole))))
    elif parts <= 0:
        result = broadcast_in_dim(start, whole, range(1, len(whole)))
    else:
        ramp = broadcasted_iota(dtypes.to_real_dtype(inner), (parts, *shape), 0)
        ramp = convert_element_type(div(ramp, constant(parts, ramp)), inner)
        low, high = (broadcast_in_dim(v, (parts, *shape), range(1, len(whole))) for v in (start, stop))
        result = add(mul(low, sub(filled(1, ramp), ramp)), mul(high, ramp))
        if endpoint:  # exactly, not up to rounding
            result = concatenate([result, expand_dims(stop, (0,))], 0)
    if dtypes.is_int(target) and not dtypes.is_complex(inner):
        result = floor(result)
    if axis != 0:
        result = moveaxis(result, 0, axis)
    return convert_element_type(result, target), convert_element_type(step, dtypes.to_inexact_dtype(target))


@function(static=_SPACING, name="linspace")
def _linspace(start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int) -> Any:
    return _spaced("linspace", start, stop, num, endpoint, dtype, axis)[0]


@function(static=_SPACING, name="linspace")
def _linspace_and_step(
    start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int
) -> tuple[Any, Any]:
    return _spaced("linspace", start, stop, num, endpoint, dtype, axis)


@recalled()
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0,
    *, device: Any = None,
) -> Any:  # fmt: skip
    """Evenly spaced numbers from `start` to `stop`.

    Args:
      start, stop: numbers, or arrays of them.
      num: how many.
      endpoint: whether `stop` is the last one.
      retstep: whether their distance is returned too.
      dtype: the result's dtype; by default a floating-point one.
      axis: where the new axis stands in the result.
      device: a device or sharding to place the result on.
    Raises:
      ValueError: `num` is negative.

    >>> import anima.numpy as np
    >>> print(np.linspace(0, 1, 5))
    [0.   0.25 0.5  0.75 1.  ]
    """
    count = num if type(num) is int else _size("linspace", num)
    if not retstep:
        known = _host_linspace(start, stop, count, endpoint) if dtype is None and axis == 0 else None
        if known is not None:
            return put_on(known, device)
        result = _linspace(start, stop, count, endpoint, dtype, axis)
        return result if device is None else put_on(result, device)
    result, step = _linspace_and_step(start, stop, count, endpoint, dtype, axis)
    return put_on(result, device), step


def _host_linspace(start: Any, stop: Any, count: int, endpoint: bool) -> Any:
    """Few numbers between Python numbers, made eagerly: rounded once, from double precision. None for others."""
    kind: Any = dtypes.default_float_dtype()
    parts = count - 1 if endpoint else count
    if not 0 < parts * kind.itemsize <= HOST_FILL or get_trace() is not None or transfers_guarded():
        return None
    if not all([type(v) in (int, float) and abs(v) < 2.0**31 for v in (start, stop)]):
        return None
    low, high = kind.type(start).astype(np.float64), kind.type(stop).astype(np.float64)
    ramp = np.arange(parts) / parts
    result = np.empty(count, kind)
    result[:parts] = low * (1 - ramp) + high * ramp
    result[parts:] = high
    return _native.array_from_host(result, default_device())


def _size(name: str, value: Any) -> int:
    if isinstance(value, Tracer):
        raise ShapeConcretizationError(name, value)
    return operator.index(value)


@function(static=_SPACING)
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Powers of `base` with evenly spaced exponents from `start` to `stop`; arguments as for `linspace`.

    >>> import anima.numpy as np
    >>> print(np.logspace(0, 2, 3))
    [  1.  10. 100.]
    """
    exponents = _spaced("logspace", start, stop, num, endpoint, None, axis)[0]
    result = power_of(base, exponents)
    return (
        result
        if dtype is None
        else convert_element_type(result, dtypes.check_user_dtype_supported(dtype, "logspace"))
    )


@function(static=_SPACING)
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """Numbers in geometric progression from `start` to `stop`; arguments as for `linspace`.

    >>> import anima.numpy as np
    >>> print(np.geomspace(1.0, 8.0, 4).round(3))
    [1. 2. 4. 8.]
    """
    start, stop = promote_inexact("geomspace", start, stop)
    kind = dtype_of(start)
    start, stop = convert_element_type(start, kind), convert_element_type(stop, kind)
    # Dividing by the start's sign or direction keeps the logarithms real where both have the same.
    unit = sign(start)
    low, high = div(start, unit), div(stop, unit)
    exponents = _spaced("geomspace", log10(low), log10(high), num, endpoint, None, 0)[0]
    result = mul(
        power_of(10.0, exponents),
        broadcast_in_dim(unit, shape_of(exponents), range(1, 1 + len(shape_of(unit)))),
    )
    count = operator.index(num)
    if count:  # the ends exactly, not up to rounding
        result = _with_ends(result, start, stop, count, endpoint)
    if axis != 0:
        result = moveaxis(result, 0, axis)
    return (
        result
        if dtype is None
        else convert_element_type(result, dtypes.check_user_dtype_supported(dtype, "geomspace"))
    )


def _with_ends(result: Any, start: Any, stop: Any, count: int, endpoint: bool) -> Any:
    place_ = broadcasted_iota(np.int32, shape_of(result), 0)
    whole = lambda v: broadcast_in_dim(v, shape_of(result), range(1, 1 + len(shape_of(v))))
    if endpoint and count > 1:
        result = select(eq(place_, count - 1), whole(stop), result)
    return select(eq(place_, 0), whole(start), result)


# --- grids ------------------------------------------------------------------------------------


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list[Any]:
    """The coordinates of the points of a grid, one array for each axis.

    Args:
      *xi: the coordinates along each axis: vectors.
      copy: only True is supported.
      sparse: leave the arrays with size 1 in the other axes.
      indexing: "xy": the first axis runs along columns; "ij": along rows.
    Raises:
      ValueError: a coordinate array is no vector, or `indexing` is another word.

    >>> import anima.numpy as np
    >>> print(*np.meshgrid(np.array([1, 2]), np.array([3, 4])), sep="; ")
    [[1 2]
     [1 2]]; [[3 3]
     [4 4]]
    """
    if not copy:
        raise ValueError("meshgrid: copy must be True: arrays do not share memory")
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    axes = [asarray(array_like("meshgrid", x, i)) for i, x in enumerate(xi)]
    if any(a.ndim > 1 for a in axes):
        raise ValueError(
            f"meshgrid: arguments must be vectors, got shapes {', '.join(str(a.shape) for a in axes)}"
        )
    axes = [a.reshape((-1,)) for a in axes]
    order = list(range(len(axes)))
    if indexing == "xy" and len(axes) > 1:
        order[:2] = [1, 0]
    sizes = [0] * len(axes)
    for i, dim in enumerate(order):
        sizes[dim] = axes[i].shape[0]
    results = []
    for a, dim in zip(axes, order):
        small = [a.shape[0] if d == dim else 1 for d in range(len(axes))]
        results.append(a.reshape(small) if sparse else broadcast_in_dim(a, sizes, (dim,)))
    return results


def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """For each dimension of a shape the index along it of every element.

    Args:
      dimensions: the shape.
      dtype: the result's dtype; by default an integer one.
      sparse: return a tuple of arrays with size 1 in the other dimensions, rather than one array.

    >>> import anima.numpy as np
    >>> np.indices((2, 3)).shape
    (2, 2, 3)
    """
    sizes = tuple(_size("indices", d) for d in dimensions)
    kind = (
        dtypes.default_int_dtype() if dtype is None else dtypes.check_user_dtype_supported(dtype, "indices")
    )
    if sparse:
        return tuple(
            [
                broadcasted_iota(kind, tuple(n if i == d else 1 for i in range(len(sizes))), d)
                for d, n in enumerate(sizes)
            ]
        )
    if not sizes:
        return asarray(np.zeros((0,), kind))
    counted = [expand_dims(broadcasted_iota(kind, sizes, d), (0,)) for d in range(len(sizes))]
    return concatenate(counted, 0)


def fromfunction(function: Any, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """The array whose elements are a function of their indices.

    Args:
      function: takes one scalar for each dimension.
      shape: the result's shape; the function may add dimensions.
      dtype: the dtype of the indices.
      **kwargs: passed on to the function.

    >>> import anima.numpy as np
    >>> print(np.fromfunction(lambda i, j: i + j, (2, 2), dtype=int))
    [[0 1]
     [1 2]]
    """
    sizes = tuple(_size("fromfunction", d) for d in shape)
    mapped = lambda *index: function(*index, **kwargs)
    for dim in reversed(range(len(sizes))):
        mapped = vmap(mapped, in_axes=tuple(0 if i == dim else None for i in range(len(sizes))))
    return mapped(*[arange(n, dtype=dtype) for n in sizes])


# --- matrices ---------------------------------------------------------------------------------


def _on_diagonal(rows: int, columns: int, k: int) -> Any:
    """Where the k-th diagonal is."""
    shape = (rows, columns)
    i, j = broadcasted_iota(np.int32, shape, 0), broadcasted_iota(np.int32, shape, 1)
    return eq(add(i, constant(k, i)), j)


def on_or_below(rows: int, columns: int, k: int) -> Any:
    """Where the k-th diagonal and what is below it are."""
    shape = (rows, columns)
    i, j = broadcasted_iota(np.int32, shape, 0), broadcasted_iota(np.int32, shape, 1)
    return ge(add(i, constant(k, i)), j)


def _matrix(name: str, make: Any, on_host: Any, N: Any, M: Any, k: Any, dtype: Any) -> Any:
    rows = _size(name, N)
    columns = rows if M is None else _size(name, M)
    if rows < 0 or columns < 0:
        raise ValueError(f"{name}: sizes must not be negative, got {rows} and {columns}")
    kind = dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype_supported(dtype, name)
    if get_trace() is None and rows * columns * kind.itemsize <= HOST_FILL:
        return _native.array_from_host(
            on_host(rows, columns, operator.index(k)).astype(kind), default_device()
        )
    return convert_element_type(make(rows, columns, operator.index(k)), kind)


@recalled()
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, *, device: Any = None) -> Any:
    """A matrix of zeros with ones on a diagonal.

    Args:
      N: the number of rows.
      M: the number of columns; by default as many.
      k: which diagonal; positive ones are above the main one.
      dtype: the result's dtype; floating-point by default.
      device: a device or sharding to place the result on.
    Raises:
      ShapeConcretizationError: a size is traced.

    >>> import anima.numpy as np
    >>> print(np.eye(2))
    [[1. 0.]
     [0. 1.]]
    """
    return put_on(_matrix("eye", _on_diagonal, np.eye, N, M, k, dtype), device)


@recalled()
def identity(n: int, dtype: Any = None) -> Any:
    """The unit matrix of size `n`.

    >>> import anima.numpy as np
    >>> print(np.identity(2, dtype=int))
    [[1 0]
     [0 1]]
    """
    return _matrix("identity", _on_diagonal, np.eye, n, None, 0, dtype)


@recalled()
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """A matrix with ones on and below the k-th diagonal, and zeros above; arguments as for `eye`.

    >>> import anima.numpy as np
    >>> print(np.tri(2))
    [[1. 0.]
     [1. 1.]]
    """
    return _matrix("tri", on_or_below, np.tri, N, M, k, dtype)


def _triangle(name: str, m: Any, k: int, lower: bool) -> Any:
    m = array_like(name, m)
    shape = shape_of(m)
    if len(shape) < 2:
        raise ValueError(f"{name} needs at least 2 dimensions, got shape {shape}")
    mask = on_or_below(shape[-2], shape[-1], operator.index(k) if lower else operator.index(k) - 1)
    mask = mask if lower else bitwise_not(mask)
    return select(broadcast_in_dim(mask, shape, (len(shape) - 2, len(shape) - 1)), m, filled(0, m))


@function(static=("k",))
def tril(m: Any, k: int = 0) -> Any:
    """`m` with the elements above the k-th diagonal set to zero.

    Raises:
      ValueError: it has fewer than two dimensions.

    >>> import anima.numpy as np
    >>> print(np.tril(np.ones((2, 2))))
    [[1. 0.]
     [1. 1.]]
    """
    return _triangle("tril", m, k, True)


@function(static=("k",))
def triu(m: Any, k: int = 0) -> Any:
    """`m` with the elements below the k-th diagonal set to zero.

    Raises:
      ValueError: it has fewer than two dimensions.

    >>> import anima.numpy as np
    >>> print(np.triu(np.ones((2, 2))))
    [[1. 1.]
     [0. 1.]]
    """
    return _triangle("triu", m, k, False)


@function(static=("offset", "axis1", "axis2"))
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A diagonal of the matrices that two axes of `a` make; it becomes the last axis.

    Args:
      a: an array.
      offset: which diagonal; positive ones are above the main one.
      axis1, axis2: rows and columns.
    Raises:
      ValueError: the axes are equal or out of range.

    >>> import anima.numpy as np
    >>> print(np.diagonal(np.array([[1, 2], [3, 4]])))
    [1 4]
    """
    a = array_like("diagonal", a)
    rank = len(shape_of(a))
    rows, columns = check_axis("diagonal", axis1, rank, "axis1"), check_axis("diagonal", axis2, rank, "axis2")
    if rows == columns:
        raise ValueError(f"diagonal: axis1 and axis2 must differ, both are {axis1}")
    a = moveaxis(a, (rows, columns), (-2, -1))
    n, m = shape_of(a)[-2:]
    size = builtins.max(builtins.min(n + builtins.min(offset, 0), m - builtins.max(offset, 0)), 0)
    if size == 0:  # nor has a gather anything to take its elements from
        return a[..., :0, :0].reshape((*shape_of(a)[:-2], 0))
    places = np.arange(size)
    return a[..., places - builtins.min(offset, 0), places + builtins.max(offset, 0)]


@function(static=("offset", "axis1", "axis2", "dtype", "out"))
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Any:
    """The sum of a diagonal of the matrices that two axes of `a` make.

    Args:
      a: an array.
      offset: which diagonal; positive ones are above the main one.
      axis1, axis2: rows and columns.
      dtype: the result's dtype.
      out: not supported; must be None.

    >>> import anima.numpy as np
    >>> print(np.trace(np.array([[1, 2], [3, 4]])))
    5
    """
    refuse_out("trace", out)
    return diagonal(a, offset, axis1, axis2).sum(axis=-1, dtype=dtype)


@function(static=("k",))
def diag(v: Any, k: int = 0) -> Any:
    """The matrix with the vector `v` on its k-th diagonal, or the k-th diagonal of the matrix `v`.

    Raises:
      ValueError: `v` is neither a vector nor a matrix.

    >>> import anima.numpy as np
    >>> print(np.diag(np.array([1, 2])))
    [[1 0]
     [0 2]]
    """
    v = array_like("diag", v)
    rank = len(shape_of(v))
    if rank == 2:
        return diagonal(v, offset=k)
    if rank != 1:
        raise ValueError(f"diag: v must have one or two dimensions, got shape {shape_of(v)}")
    above, below = builtins.max(k, 0), builtins.max(-k, 0)
    row = pad(v, constant(0, v), [(above, below, 0)])
    size = shape_of(row)[0]
    whole = broadcast_in_dim(row, (size, size), (1,))
    return select(_on_diagonal(size, size, k), whole, filled(0, whole))


def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix with the elements of `v` on its k-th diagonal.

    >>> import anima.numpy as np
    >>> print(np.diagflat(np.array([[1, 2]])))
    [[1 0]
     [0 2]]
    """
    return diag(asarray(array_like("diagflat", v)).reshape((-1,)), k)

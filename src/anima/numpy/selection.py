"""Choosing among values by conditions, and finding where conditions hold.

Invariant: what is found has a size known while tracing: outside of transformations it is counted, inside them `size` says it.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.errors import ArgumentError
from anima.lax import (
    complex as lax_complex,
    convert_element_type,
    eq,
    imag,
    max_p,
    min_p,
    ne,
    real,
    select as lax_select,
)
from anima.lax.operands import constant
from anima.lax.shape import check_axis
from anima.numpy import arithmetic, logic, reductions, shapes
from anima.numpy.calls import function
from anima.numpy.concrete import contents, from_host
from anima.numpy.creation import asarray
from anima.numpy.indexing import index_dtype
from anima.numpy.joining import stack
from anima.numpy.logic import truth
from anima.numpy.promotion import (
    array_like,
    aval,
    common_shape,
    dtype_of,
    promote,
    promote_dtypes,
    shape_of,
    stretch,
)
from anima.numpy.taking import marked_places, take, take_along_axis

# --- choosing ---------------------------------------------------------------------------------


def choose_by(name: str, condition: Any, x: Any, y: Any) -> Any:
    """`x` where the condition holds, else `y`."""
    condition = truth(name, condition)
    x, y = promote_dtypes(name, x, y)
    try:
        shape = common_shape(name, [shape_of(condition), shape_of(x), shape_of(y)])
    except TypeError as error:
        raise ValueError(str(error)) from None  # as JAX and NumPy
    which = condition if shape_of(condition) == () else stretch(condition, shape_of(condition), shape)
    return lax_select(which, stretch(x, shape_of(x), shape), stretch(y, shape_of(y), shape))


@function(name="where")
def _where(condition: Any, x: Any, y: Any) -> Any:
    return choose_by("where", condition, x, y)


def where(
    condition: Any, x: Any = None, y: Any = None, /, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """`x` where the condition holds, else `y`; with the condition alone, the places where it holds, as `nonzero`.

    Args:
      condition: an array; nonzero elements count as true.
      x, y: arrays, broadcast together with the condition.
      size, fill_value: as for `nonzero`; only without `x` and `y`.
    Raises:
      TypeError: an argument is no array. ValueError: the shapes do not broadcast, or only one of `x` and `y` is given.

    >>> import anima.numpy as np
    >>> print(np.where(np.array([True, False]), 1, 2))
    [1 2]
    """
    if x is None and y is None:
        return nonzero(array_like("where", condition, "condition"), size=size, fill_value=fill_value)
    if x is None or y is None:
        raise ArgumentError("where: either both or neither of x and y must be given")
    if size is not None or fill_value is not None:
        raise ValueError("where: size and fill_value are for the form with the condition alone")
    return _where(condition, x, y)


@function
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For each element the choice whose condition is the first to hold.

    Args:
      condlist: a sequence of conditions.
      choicelist: a sequence of arrays, one for each condition.
      default: what is taken where none holds.
    Raises:
      ValueError: there are no conditions, or not as many choices.

    >>> import anima.numpy as np
    >>> x = np.array([-2, 0, 3])
    >>> print(np.select([x < 0, x > 0], [-x, x * 10], 7))
    [ 2  7 30]
    """
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"select: condlist has {len(condlist)} conditions, choicelist {len(choicelist)} arrays"
        )
    if not len(condlist):
        raise ValueError("select: condlist must not be empty")
    *choices, result = promote_dtypes("select", *choicelist, default)
    for condition, choice in zip(reversed(list(condlist)), reversed(choices)):
        result = choose_by("select", condition, choice, result)
    return result


def _check_ordered(name: str, *values: Any) -> None:
    if any(dtypes.is_complex(dtype_of(v)) for v in values if v is not None):
        raise ValueError(
            f"{name}: complex numbers have no order and cannot be clipped; clip their parts, .real and .imag"
        )


@function
def clip(arr: Any = None, /, min: Any = None, max: Any = None) -> Any:
    """`arr` with what is below `min` set to it, and what is above `max` set to that.

    Args:
      arr: an array of real numbers.
      min, max: bounds: numbers, arrays that broadcast, or None for no bound.
    Raises:
      ValueError: an argument is complex, or there is no array.

    >>> import anima.numpy as np
    >>> print(np.clip(np.array([-1, 2, 9]), 0, 5))
    [0 2 5]
    """
    if arr is None:
        raise ValueError("clip: arr must be an array, got None")
    arr = array_like("clip", arr)
    bounds = [None if b is None else array_like("clip", b, n) for b, n in ((min, "min"), (max, "max"))]
    _check_ordered("clip", arr, *bounds)
    if bounds[0] is not None:
        arr = max_p.bind(*promote("clip", bounds[0], arr))
    if bounds[1] is not None:
        arr = min_p.bind(*promote("clip", bounds[1], arr))
    return asarray(arr)


@function(static=("copy",))
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """`x` with NaN and infinities replaced by numbers.

    Args:
      x: an array.
      copy: must be True.
      nan: what replaces NaN.
      posinf, neginf: what replaces the infinities; by default the largest and the smallest finite number.

    >>> import anima.numpy as np
    >>> print(np.nan_to_num(np.array([1.0, np.nan, np.inf]), posinf=9.0))
    [1. 0. 9.]
    """
    if not copy:
        raise ValueError("nan_to_num: copy must be True: arrays are immutable")
    x, known = aval("nan_to_num", x)
    if not dtypes.is_inexact(known.dtype):
        return asarray(x)
    if dtypes.is_complex(known.dtype):
        parts = [nan_to_num(part, nan=nan, posinf=posinf, neginf=neginf) for part in (real(x), imag(x))]
        return lax_complex(*parts)
    info = dtypes.finfo(known.dtype)
    highest = float(info.max) if posinf is None else posinf
    lowest = float(info.min) if neginf is None else neginf
    replaced = _replace(x, ne(x, x), nan)
    replaced = _replace(replaced, eq(x, constant(math.inf, x)), highest)
    return _replace(replaced, eq(x, constant(-math.inf, x)), lowest)


def _replace(x: Any, mask: Any, value: Any) -> Any:
    value = convert_element_type(value, dtype_of(x))
    return lax_select(mask, stretch(value, shape_of(value), shape_of(x)), x)


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """For each element the function whose condition is the last to hold.

    Args:
      x: an array.
      condlist: a sequence of conditions, or an array of them along its first axis.
      funclist: a function of an array, or a number, for each condition; one more is for where none holds (else 0).
      *args, **kw: passed on to the functions.
    Raises:
      ValueError: there are neither as many functions as conditions, nor one more.

    >>> import anima.numpy as np
    >>> x = np.array([-2.0, 3.0])
    >>> print(np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v * 10]))
    [ 2. 30.]
    """
    x = asarray(array_like("piecewise", x))
    conditions = [asarray(c) for c in (condlist if isinstance(condlist, (list, tuple)) else list(condlist))]
    functions = list(funclist)
    if len(functions) == len(conditions):
        functions.append(0)
    elif len(functions) != len(conditions) + 1:
        raise ValueError(
            f"piecewise: funclist must have {len(conditions)} or {len(conditions) + 1} entries for {len(conditions)} "
            f"conditions, got {len(functions)}"
        )
    *functions, default = [f(x, *args, **kw) if callable(f) else f for f in functions]
    result = shapes.broadcast_to(shapes.astype(asarray(default), x.dtype), x.shape)
    for condition, value in zip(conditions, functions):
        result = where(condition, shapes.astype(asarray(value), x.dtype), result)
    return result


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """For each element of `a` the element of the choice of that number.

    Args:
      a: an array of integers.
      choices: a sequence of arrays, which broadcast with `a`; or an array of them along its first axis.
      out: not supported; must be None.
      mode: what numbers out of bounds do: "raise" an error (not in a trace), "wrap" around, or be "clip"ped.
    Raises:
      ValueError: a number is out of bounds and `mode` is "raise", `a` is not of integers, or there are no choices.
      ConcretizationTypeError: `a` is traced and `mode` is "raise".

    >>> import anima.numpy as np
    >>> print(np.choose(np.array([0, 1, 0]), [np.array([1, 2, 3]), np.array([10, 20, 30])]))
    [ 1 20  3]
    """
    reductions.refuse_out("choose", out)
    a = array_like("choose", a)
    if not dtypes.is_int(dtype_of(a)):
        raise ValueError(f"choose: a must be of integers, got dtype {dtypes.dtype_name(dtype_of(a))}")
    listed = isinstance(choices, (list, tuple))
    count = len(choices) if listed else (*shape_of(array_like("choose", choices, 1)), 0)[0]
    if not count:
        raise ValueError("choose: choices must not be empty")
    if mode == "raise":
        known = contents("choose", a, 'in a transformed function give mode="clip" or mode="wrap"')
        if ((known < 0) | (known >= count)).any():
            raise ValueError(f"choose: a has entries that are no number of one of the {count} choices")
    elif mode not in ("wrap", "clip"):
        raise ValueError(f"choose: mode must be 'raise', 'wrap' or 'clip', got {mode!r}")
    return _chosen(a, list(choices) if listed else choices, mode)


@function(static=("mode",), name="choose")
def _chosen(a: Any, choices: Any, mode: str) -> Any:
    if isinstance(choices, list):
        options = promote_dtypes("choose", *choices)
        shape = common_shape("choose", [shape_of(c) for c in options])
        choices = stack([stretch(c, shape_of(c), shape) for c in options])
    count, *rest = shape_of(choices)
    shape = common_shape("choose", [shape_of(a), tuple(rest)])
    if dtypes.itemsize_bits(dtype_of(a)) < 32:
        a = convert_element_type(a, np.int32)
    a = arithmetic.remainder(a, count) if mode == "wrap" else clip(a, 0, count - 1)
    places = shapes.reshape(a, (1,) * (len(shape) + 1 - len(shape_of(a))) + shape_of(a))
    choices = shapes.reshape(choices, (count, *(1,) * (len(shape) - len(rest)), *rest))
    chosen = shapes.broadcast_to(take_along_axis(choices, places, 0, mode="promise_in_bounds")[0], shape)
    return convert_element_type(chosen, dtype_of(chosen))  # not weakly typed


# --- finding ----------------------------------------------------------------------------------


@function(static=("size",), name="nonzero")
def _places(a: Any, fills: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    """The first `size` places where an array is not zero, filled up."""
    dims, kind = shape_of(a), dtypes.default_int_dtype()
    fills = tuple(
        [
            convert_element_type(0 if fill is None else array_like("nonzero", fill, "fill_value"), kind)
            for fill in fills
        ]
    )
    if 0 in (size, *dims):
        return tuple([shapes.broadcast_to(fill, (size,)) for fill in fills])
    flat = marked_places(shapes.ravel(truth("nonzero", a)), size)
    valid = flat < math.prod(dims)
    found = []
    for dim in reversed(dims):
        found.append(arithmetic.remainder(flat, dim))
        flat = arithmetic.floor_divide(flat, dim)
    return tuple(
        [
            choose_by("nonzero", valid, shapes.astype(place, kind), fill)
            for place, fill in zip(found[::-1], fills)
        ]
    )


def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Any, ...]:
    """The indices of the elements that are not zero, one array for each dimension.

    Args:
      a: an array with at least one dimension.
      size: how many indices to return: needed in a transformed function. More are cut off, less are filled up.
      fill_value: what fills up: a number, or a tuple with one for each dimension; by default 0.
    Raises:
      ConcretizationTypeError: `a` is traced and there is no `size`. ValueError: `a` is a scalar, or `fill_value` does not fit.

    >>> import anima.numpy as np
    >>> np.nonzero(np.array([0, 5, 0, 7]))
    (DeviceArray([1, 3], dtype=int32),)
    """
    a = array_like("nonzero", a)
    dims = shape_of(a)
    if not dims:
        raise ValueError("nonzero: a must have at least one dimension, got a scalar; use numpy.atleast_1d")
    fills = fill_value if isinstance(fill_value, tuple) else (fill_value,) * len(dims)
    if len(fills) != len(dims):
        raise ValueError(f"nonzero: fill_value has {len(fills)} entries for {len(dims)} dimensions")
    for fill in fills:
        if fill is not None and shape_of(array_like("nonzero", fill, "fill_value")):
            raise ValueError(f"nonzero: fill_value must be a number or a tuple of numbers, got {fill!r}")
    if size is not None:
        return tuple(_places(a, fills, operator.index(size)))
    known = contents("nonzero", a, "in a transformed function give nonzero(..., size=n)")
    return tuple([from_host(p.astype(dtypes.default_int_dtype()), a) for p in np.nonzero(known)])  # type: ignore[arg-type]


def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of the elements of the flattened array that are not zero; arguments as for `nonzero`.

    >>> import anima.numpy as np
    >>> print(np.flatnonzero(np.array([[0, 5], [7, 0]])))
    [1 2]
    """
    return nonzero(shapes.ravel(a), size=size, fill_value=fill_value)[0]


def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of the elements that are not zero, one row for each; arguments as for `nonzero`.

    >>> import anima.numpy as np
    >>> print(np.argwhere(np.array([[0, 5], [7, 0]])))
    [[0 1]
     [1 0]]
    """
    a = array_like("argwhere", a)
    if not shape_of(a):  # as many rows, but no columns
        return argwhere(shapes.atleast_1d(a), size=size, fill_value=fill_value)[:, :0]
    return stack(nonzero(a, size=size, fill_value=fill_value), axis=1)


def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The elements of `arr` where the condition holds, in one dimension.

    Args:
      condition: an array of as many elements as `arr`.
      arr: an array.
      size: how many elements to return: needed in a transformed function. More are cut off, less are filled up.
      fill_value: what fills up.

    >>> import anima.numpy as np
    >>> print(np.extract(np.array([True, False, True]), np.array([1, 2, 3])))
    [1 3]
    """
    return compress(shapes.ravel(condition), shapes.ravel(arr), size=size, fill_value=fill_value)


def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
    out: None = None,
) -> Any:
    """The parts of `a` along an axis where the condition holds.

    Args:
      condition: a vector.
      a: an array.
      axis: the axis; None for the flattened array.
      size: how many parts to return: needed in a transformed function. More are cut off, less are filled up.
      fill_value: what fills up.
      out: not supported; must be None.
    Raises:
      ValueError: the condition is no vector, or longer than the axis and true there.
      ConcretizationTypeError: the condition is traced and there is no `size`.

    >>> import anima.numpy as np
    >>> print(np.compress(np.array([False, True]), np.array([[1, 2], [3, 4]]), axis=0))
    [[3 4]]
    """
    reductions.refuse_out("compress", out)
    condition, a = array_like("compress", condition), array_like("compress", a, 1)
    if len(shape_of(condition)) != 1:
        raise ValueError(f"compress: condition must be one-dimensional, got shape {shape_of(condition)}")
    if axis is None:
        a, axis = shapes.ravel(a), 0
    along = check_axis("compress", axis, len(shape_of(a)))
    n = shape_of(a)[along]
    if size is not None:
        return _compressed(condition, a, fill_value, along, operator.index(size))
    places = np.flatnonzero(
        contents("compress", condition, "in a transformed function give compress(..., size=n)")
    )
    if places.size and places[-1] >= n:
        raise ValueError(f"compress: condition holds at {places[-1]}, beyond axis {axis} of size {n}")
    return take(a, places.astype(index_dtype((n,))), along, mode="clip", indices_are_sorted=True)


@function(static=("axis", "size"), name="compress")
def _compressed(condition: Any, a: Any, fill: Any, axis: int, size: int) -> Any:
    n = shape_of(a)[axis]
    mask = shapes.ravel(truth("compress", condition))[:n]
    target = (*shape_of(a)[:axis], size, *shape_of(a)[axis + 1 :])
    fill = shapes.broadcast_to(
        convert_element_type(array_like("compress", fill, "fill_value"), dtype_of(a)), target
    )
    if 0 in (*target, n, *shape_of(mask)):
        return fill
    places = marked_places(mask, size)
    valid = shapes.reshape(places < shape_of(mask)[0], [size if i == axis else 1 for i in range(len(target))])
    return choose_by("compress", valid, take(a, places, axis, mode="clip"), fill)


# --- equality of arrays -----------------------------------------------------------------------


def _equal(name: str, a1: Any, a2: Any, equal_nan: bool, broadcast: bool) -> Any:
    try:
        a1, a2 = asarray(a1), asarray(a2)
    except (TypeError, ValueError):
        return asarray(False)
    if a1.shape != a2.shape:
        if not broadcast:
            return asarray(False)
        try:
            shapes.broadcast_shapes(a1.shape, a2.shape)
        except ValueError:
            return asarray(False)
    same = logic.equal(a1, a2)
    if equal_nan:
        same = logic.logical_or(same, logic.logical_and(logic.isnan(a1), logic.isnan(a2)))
    return reductions.all(same)


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether two arrays have the same shape and equal elements.

    Args:
      a1, a2: arrays, or what makes arrays; what does not is equal to nothing.
      equal_nan: whether NaN equals NaN.

    >>> import anima.numpy as np
    >>> print(np.array_equal(np.array([1, 2]), np.array([1.0, 2.0])))
    True
    """
    return _equal("array_equal", a1, a2, equal_nan, False)


def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether two arrays are equal after broadcasting.

    >>> import anima.numpy as np
    >>> print(np.array_equiv(np.array([1, 1]), 1))
    True
    """
    return _equal("array_equiv", a1, a2, False, True)

"""What functions do with their operands first: check them, give them one dtype, broadcast them.

Invariant: for tracers and arrays of one dtype and shape this costs two look-ups each. Python scalars stay Python scalars
where that is right, so that programs show them as constants; elementwise operations take those beside any shape.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.config import numpy_rank_promotion
from anima.core import variance
from anima.core.aval import ShapedArray
from anima.core.trace import Tracer, aval_of, is_value
from anima.dtypes.requests import user_stack_level
from anima.lax import broadcast_in_dim_p, convert_element_type_p
from anima.lax.operands import typed_scalar

_PYTHON_SCALARS = (bool, int, float, complex)
_OF_KIND: dict[str, type] = {"i": int, "f": float, "c": complex}


def avals_of(name: str, args: Sequence[Any]) -> tuple[Sequence[Any], list[Any]]:
    """The operands and their avals.

    Raises:
      TypeError: one is no array or scalar.
    """
    try:
        return args, [aval_of(a) for a in args]
    except TypeError:
        args = [array_like(name, a, i) for i, a in enumerate(args)]
        return args, [aval_of(a) for a in args]


def array_like(name: str, value: Any, position: int | str = 0) -> Any:
    """`value`, if it is an array, a tracer, or a NumPy or Python scalar.

    Args:
      name: the function, and `position` the number or name of its argument, for the message.
    Raises:
      TypeError: it is anything else, a list for instance.
    """
    convert = getattr(value, "__jax_array__", None)
    if convert is not None:
        return array_like(name, convert(), position)
    try:
        aval_of(value)
    except TypeError as error:
        if is_value(value):  # of a dtype that no array has
            raise TypeError(f"{name}: {error}") from None
        where = f"position {position}" if isinstance(position, int) else f"argument {position}"
        advice = "; convert it with numpy.asarray" if isinstance(value, (list, tuple)) else ""
        raise TypeError(
            f"{name} requires ndarray or scalar arguments, got {type(value).__name__} at {where}{advice}"
        ) from None
    return value


def check_arraylike(name: str, *args: Any) -> None:
    """Raise TypeError unless every argument is an array or a scalar."""
    avals_of(name, args)


def aval(name: str, value: Any, position: int | str = 0) -> tuple[Any, ShapedArray]:
    """An operand and its aval."""
    try:
        return value, aval_of(value)  # type: ignore[return-value]
    except TypeError:
        value = array_like(name, value, position)
        return value, aval_of(value)  # type: ignore[return-value]


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an operand."""
    return aval_of(value).shape  # type: ignore[attr-defined]


def weak_of(value: Any) -> bool:
    """Whether an operand is weakly typed."""
    return bool(aval_of(value).weak_type)  # type: ignore[attr-defined]


def dtype_of(value: Any) -> Any:
    """The dtype of an operand."""
    return aval_of(value).dtype  # type: ignore[attr-defined]


def convert(value: Any, known: ShapedArray, dtype: Any, weak: bool) -> Any:
    """`value`, of aval `known`, with another dtype; a Python scalar on the host."""
    if known.dtype == dtype and known.weak_type == weak:
        return value
    if isinstance(value, _PYTHON_SCALARS) and isinstance(dtype, np.dtype):
        return _convert_scalar(value, dtype, weak)
    return convert_element_type_p.bind(value, new_dtype=dtype, weak_type=weak)


def _convert_scalar(value: Any, dtype: np.dtype[Any], weak: bool) -> Any:
    if isinstance(value, int):
        info = dtypes.iinfo(
            dtypes.default_int_dtype()
        )  # what it is an array of; from there on it wraps around
        if not info.min <= value <= info.max:
            raise OverflowError(f"Python integer {value} is out of bounds for {info.dtype}")
    python = _OF_KIND.get(dtypes.kind_of(dtype) or "")
    # Beside operands of this dtype a Python number is as good as a typed one; of booleans there are no weak ones.
    if (
        python is not None
        and dtypes.canonical(np.dtype(python)) == dtype
        and not isinstance(value, complex)
        and (weak or not isinstance(value, bool))
    ):
        return python(value) if weak or not isinstance(value, python) else value
    return typed_scalar(value, dtype)


def retyped(x: Any, weak: bool) -> Any:
    """`x`, weakly typed or not."""
    known: ShapedArray = aval_of(x)  # type: ignore[assignment]
    if known.weak_type == weak:
        return x
    return convert_element_type_p.bind(x, new_dtype=known.dtype, weak_type=weak)


def is_weak(name: str, *args: Any) -> bool:
    """Whether a function of several operands that is no single operation has a weakly typed result: of scalars only."""
    return not any([a.shape for a in avals_of(name, args)[1]]) and common_is_weak(name, *args)


def common_is_weak(name: str, *args: Any) -> bool:
    """Whether the operands' common dtype is weak."""
    return _common(avals_of(name, args)[1])[1]


def promote_dtypes(name: str, *args: Any) -> Sequence[Any]:
    """The operands with one dtype, by the promotion rules."""
    values, avals = avals_of(name, args)
    return _to_common(values, avals, *_common(avals))


def promote_dtypes_inexact(name: str, *args: Any) -> Sequence[Any]:
    """The operands with one floating-point or complex dtype."""
    values, avals = avals_of(name, args)
    dtype, weak = _common(avals)
    return _to_common(values, avals, dtypes.to_inexact_dtype(dtype), weak)


def _common(avals: Sequence[ShapedArray]) -> tuple[Any, bool]:
    return dtypes.lattice_result_type(*[(a.dtype, a.weak_type) for a in avals])


def _to_common(args: Sequence[Any], avals: Sequence[ShapedArray], dtype: Any, weak: bool) -> Sequence[Any]:
    return [x if a.dtype == dtype else convert(x, a, dtype, weak) for x, a in zip(args, avals)]


def promote(name: str, *args: Any) -> Sequence[Any]:
    """The operands of an elementwise function: of one dtype, broadcast together.

    Raises:
      TypeError: one is no array or scalar, or the shapes do not broadcast.
      TypePromotionError: they have no common dtype.
    """
    values, avals = avals_of(name, args)
    first = avals[0]
    same_dtype = same_shape = True
    for other in avals[1:]:
        if other.dtype != first.dtype:
            same_dtype = False
        if other.shape != first.shape:
            same_shape = False
    if not same_dtype:
        values = _to_common(values, avals, *_common(avals))
    return values if same_shape else _broadcast(name, values, [a.shape for a in avals])


def promote_inexact(name: str, *args: Any) -> Sequence[Any]:
    """The operands of an elementwise function that works on floating-point and complex numbers only."""
    values, avals = avals_of(name, args)
    dtype, weak = _common(avals)
    values = _to_common(values, avals, dtypes.to_inexact_dtype(dtype), weak)
    return _broadcast(name, values, [a.shape for a in avals])


def inexact(name: str, x: Any) -> Any:
    """The operand of a function of one floating-point or complex argument; integers become floating-point."""
    x, known = aval(name, x)
    if dtypes.is_inexact(known.dtype):
        return x
    return convert(x, known, dtypes.to_inexact_dtype(known.dtype), known.weak_type)


def strong_inexact(name: str, x: Any) -> Any:
    """`inexact`, and not weakly typed."""
    x, known = aval(name, x)
    dtype = dtypes.to_inexact_dtype(known.dtype)
    if known.dtype == dtype and not known.weak_type:
        return x
    return convert_element_type_p.bind(x, new_dtype=dtype, weak_type=False)


def broadcast_together(name: str, *args: Any) -> Sequence[Any]:
    """The operands with one shape; constant scalars stay scalars."""
    values, avals = avals_of(name, args)
    return _broadcast(name, values, [a.shape for a in avals])


def _broadcast(name: str, args: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    first = shapes[0]
    if all([s == first for s in shapes]):
        return args
    shape = common_shape(name, shapes)
    if variance.seen:
        args = variance.together(args)
    return [
        x if s == shape or (not s and not isinstance(x, Tracer)) else stretch(x, s, shape)
        for x, s in zip(args, shapes)
    ]


def common_shape(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that arrays of these shapes have together.

    Raises:
      TypeError: they do not broadcast. ValueError: they do not, and their ranks differ; or ranks differ, and
        `numpy_rank_promotion` is "raise".
    """
    rank = max([len(s) for s in shapes])
    ranks_differ = any([s and len(s) != rank for s in shapes])
    if ranks_differ:
        _check_rank_promotion(name, shapes)
    result = [1] * rank
    for shape in shapes:
        offset = rank - len(shape)
        for i, size in enumerate(shape):
            known = result[offset + i]
            if known == 1:
                result[offset + i] = size
            elif size not in (1, known):
                listed = ", ".join(map(str, shapes))
                kind = ValueError if ranks_differ else TypeError  # as JAX
                raise kind(f"{name} got incompatible shapes for broadcasting: {listed}")
    return tuple(result)


def _check_rank_promotion(name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    policy = numpy_rank_promotion.value
    if policy == "allow":
        return
    message = (
        f"{name}: operands of different ranks are broadcast together, shapes {', '.join(map(str, shapes))}"
    )
    if policy == "raise":
        raise ValueError(
            f"{message}, which numpy_rank_promotion='raise' forbids; reshape them, or set the option to 'allow'"
        )
    warnings.warn(f"{message} (numpy_rank_promotion='warn')", UserWarning, stacklevel=user_stack_level())


def stretch(x: Any, old: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """`x`, of shape `old`, broadcast to a shape that it fits."""
    if old == shape:
        return x
    return broadcast_in_dim_p.bind(
        x, shape=shape, broadcast_dimensions=tuple(range(len(shape) - len(old), len(shape)))
    )

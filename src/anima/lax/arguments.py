"""Arguments that are several integers: places and sizes in a shape, checked at the call.

Invariant: a message names the operation and the argument, and shows what was given.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from anima.core.aval import is_dim
from anima.core.trace import Tracer
from anima.errors import ArgumentError, ShapeConcretizationError


def check_shape(name: str, shape: Any, argument: str = "shape") -> tuple[int, ...]:
    """`shape` as a tuple of non-negative dimensions (an int stands for one dimension).

    Raises:
      ShapeConcretizationError: a dimension is a traced value.
      TypeError: a dimension is no integer, or negative.
    """
    if is_dim(shape) or isinstance(shape, Tracer):
        shape = (shape,)
    elif not hasattr(shape, "__iter__"):
        raise TypeError(f"{name}: {argument} must be an integer or a sequence of integers, got {shape!r}")
    items = tuple(shape)
    for item in items:
        if isinstance(item, Tracer):
            raise ShapeConcretizationError(name, item)
        if not is_dim(item) and not hasattr(item, "__index__"):
            raise TypeError(f"{name}: {argument} must be integers, got {item!r} in {shape!r}")
    result = tuple(int(item.__index__()) for item in items)
    if any(d < 0 for d in result):
        raise TypeError(f"{name}: {argument} must not be negative, got {result}")
    return result


def check_integers(name: str, values: Any, argument: str) -> tuple[int, ...]:
    """`values` as a tuple of integers.

    Raises:
      TypeError: they are no sequence, or one is no integer. TracerIntegerConversionError: one is a traced value.
    """
    if not hasattr(values, "__iter__"):
        raise TypeError(f"{name}: {argument} must be a sequence of integers, got {values!r}")
    given = tuple(values)
    for value in given:
        if not hasattr(value, "__index__"):
            several = "" if len(given) == 1 else f" in {given}"
            raise TypeError(
                f"{name}: {argument} must be {'integers' if several else 'an integer'}, got {value!r}{several}"
            )
    return tuple([operator.index(v) for v in given])


def check_each(name: str, part: str, values: Sequence[Any], shape: Sequence[int]) -> None:
    """Raise ArgumentError unless there are as many values, which the words `part` describe, as dimensions of `shape`."""
    if len(values) != len(shape):
        raise ArgumentError(
            f"{name}: {part} must have one entry for each of the {len(shape)} dimensions of shape {tuple(shape)}"
        )


def check_inside(name: str, part: str, sizes: Sequence[int], shape: Sequence[int]) -> None:
    """Raise unless `sizes`, which the words `part` describe, are as many as `shape` has, and none is larger.

    Raises:
      ArgumentError: they are not as many. TypeError: one is larger.
    """
    if len(sizes) != len(shape):
        raise ArgumentError(
            f"{name}: {part} must have one size for each dimension of the operand's shape {tuple(shape)}"
        )
    for d, (size, n) in enumerate(zip(sizes, shape)):
        if size > n:
            raise TypeError(
                f"{name}: {part} must fit into the operand's shape {tuple(shape)}; {size} in dimension {d} is more than {n}"
            )

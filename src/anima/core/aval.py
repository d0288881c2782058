"""Abstract values: what a trace knows of a value without its contents.

Invariant: avals are immutable and compare by content. `shape` is a tuple of dimensions, which go
through `dim_*` helpers so that other kinds of dimension than `int` can be admitted; `dtype` is a NumPy
dtype or an `ExtendedDType`, whose arrays are stored as a physical aval.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ShapedFields, set_shaped_array
from anima.core import hooks

Shape = tuple[int, ...]
Axes = frozenset[Hashable]
no_axes: Axes = frozenset()


class AbstractValue:
    """Base of all abstract values."""

    __slots__ = ()

    varying: Axes = no_axes

    def str_short(self, short_dtypes: bool = True) -> str:
        """The form used in printed jaxprs."""
        raise TypeError(f"{type(self).__name__} has no short form")

    def tangent_aval(self) -> AbstractValue:
        """The aval of this value's tangents."""
        raise TypeError(f"{type(self).__name__} values have no tangents")

    def to_tangent_aval(self) -> AbstractValue:
        """`tangent_aval` under JAX's name."""
        return self.tangent_aval()

    def to_ct_aval(self) -> AbstractValue:
        """The aval of this value's cotangents: that of its tangents."""
        return self.tangent_aval()


class ShapedArray(ShapedFields, AbstractValue):
    """An array of known shape and dtype: a tuple of dimensions, and a NumPy dtype or a scalar type such as `np.float32`.

    `weak_type` marks a value that came from a Python scalar and so yields to others in promotion.
    `given_sharding` is a sharding over an abstract mesh when it is part of the type, else None. `varying` are the manual axes,
    of a `shard_map` around, along which devices may hold different values (`core.variance`). Fields, equality and hash are
    native: every operation makes avals and compares them.
    """

    __slots__ = ()

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return int(self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        return self.size * int(self.dtype.itemsize)

    @property
    def sharding(self) -> Any:
        """The sharding over an abstract mesh; where it is no part of the type, that mesh has no axes."""
        given = self.given_sharding
        return hooks.unsharded(self.ndim) if given is None else given

    def __reduce__(self) -> Any:
        return ShapedArray, (self.shape, self.dtype, self.weak_type, self.given_sharding, self.varying)

    def update(self, **changes: Any) -> ShapedArray:
        """A copy with some fields replaced."""
        fields = {
            "shape": self.shape, "dtype": self.dtype, "weak_type": self.weak_type,
            "sharding": self.given_sharding, "varying": self.varying,
        }  # fmt: skip
        return ShapedArray(**(fields | changes))

    def strip_weak_type(self) -> ShapedArray:
        """The same aval, strongly typed."""
        return self.update(weak_type=False) if self.weak_type else self

    def tangent_aval(self) -> ShapedArray:
        dtype = tangent_dtype(self.dtype)
        return ShapedArray(self.shape, dtype, self.weak_type, self.given_sharding, self.varying)

    def str_short(self, short_dtypes: bool = True) -> str:
        dims = ",".join(map(str, self.shape))
        text = f"{(dtypes.short_name if short_dtypes else dtypes.dtype_name)(self.dtype)}[{dims}]"
        return f"{text}{{V:{','.join(sorted(map(str, self.varying)))}}}" if self.varying else text

    def __str__(self) -> str:
        return ("~" if self.weak_type else "") + self.str_short(short_dtypes=False)

    def __repr__(self) -> str:
        dims = ",".join(map(str, self.shape))
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapedArray({dtypes.dtype_name(self.dtype)}[{dims}]{weak})"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]


set_shaped_array(ShapedArray, dtypes.as_dtype, no_axes)


class AbstractToken(AbstractValue):
    """The type of the tokens that order effects."""

    __slots__ = ()

    def str_short(self, short_dtypes: bool = True) -> str:
        return "Tok"

    def __repr__(self) -> str:
        return "AbstractToken()"

    def __eq__(self, other: object) -> bool:
        return type(other) is AbstractToken

    def __hash__(self) -> int:
        return hash(AbstractToken)

    def tangent_aval(self) -> AbstractToken:
        return self


def array_aval(aval: AbstractValue) -> ShapedArray:
    """`aval`, which must be that of an array.

    Raises:
      TypeError: it is the aval of something else.
    """
    if not isinstance(aval, ShapedArray):
        raise TypeError(f"a value of type {aval.str_short()} is not an array")
    return aval


def tangent_dtype(dtype: Any) -> Any:
    """The dtype of tangents of values of `dtype`: itself if inexact, else `float0`."""
    return dtype if dtypes.is_inexact(dtype) else dtypes.float0


def has_tangent(aval: AbstractValue) -> bool:
    """Whether values of this aval can carry a non-zero tangent."""
    return type(aval) is ShapedArray and dtypes.is_inexact(aval.dtype)


def physical_aval(aval: ShapedArray) -> ShapedArray:
    """The aval of the buffer that stores `aval` (differs for extended dtypes only)."""
    if isinstance(aval.dtype, np.dtype):
        return aval
    inner_shape, inner_dtype = aval.dtype.physical_element
    return ShapedArray((*aval.shape, *inner_shape), inner_dtype)


def is_dim(value: object) -> bool:
    """Whether `value` may stand as a dimension of a shape."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def dims(values: Sequence[Any]) -> Shape:
    """`values` as a tuple of plain dimensions; they must satisfy `is_dim`."""
    return tuple(int(v) for v in values)

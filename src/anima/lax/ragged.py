"""Products with operands of which one dimension is divided into groups: `ragged_dot` and `ragged_dot_general`.

Invariant: the groups follow each other along the ragged dimension, from its start on, with the given sizes; what is left
behind the last one belongs to none. Dimensions are brought into the order of the operations in `ragged_products`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.config import default_matmul_precision
from anima.core.aval import ShapedArray, dims as as_dims
from anima.core.trace import aval_of
from anima.lax.arithmetic import mul, sub
from anima.lax.contraction import DotDimensionNumbers, dot_general_p
from anima.lax.convert import convert_element_type
from anima.lax.cumulative import cumsum
from anima.lax.declare import operand as as_operand
from anima.lax.joining import pad
from anima.lax.precision import PrecisionLike, canonical_precision
from anima.lax.ragged_products import ragged_dot_p, ragged_outer_p
from anima.lax.shape import broadcast_in_dim, dtype_of, refuse_out_sharding, reshape, shape_of, transpose
from anima.lax.slicing import dynamic_slice_in_dim

_NAME = "ragged_dot_general"


class RaggedDotDimensionNumbers:
    """Which dimensions a ragged product sums over, which is divided into groups, and which counts the groups' matrices.

    Args:
      dot_dimension_numbers: `((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))`, as for `dot_general`.
      lhs_ragged_dimensions: the dimension of the left operand that is divided: a sequence of one.
      rhs_group_dimensions: the dimension of the right operand with a matrix for each group: a sequence of one, or of none
        where the ragged dimension is summed over or a batch dimension.
    """

    __slots__ = ("dot_dimension_numbers", "lhs_ragged_dimensions", "rhs_group_dimensions")

    def __init__(
        self,
        dot_dimension_numbers: DotDimensionNumbers,
        lhs_ragged_dimensions: Sequence[int],
        rhs_group_dimensions: Sequence[int],
    ) -> None:
        (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dot_dimension_numbers
        self.dot_dimension_numbers = (
            (as_dims(lhs_contract), as_dims(rhs_contract)),
            (as_dims(lhs_batch), as_dims(rhs_batch)),
        )
        self.lhs_ragged_dimensions = as_dims(lhs_ragged_dimensions)
        self.rhs_group_dimensions = as_dims(rhs_group_dimensions)

    def _fields(self) -> tuple[Any, ...]:
        return self.dot_dimension_numbers, self.lhs_ragged_dimensions, self.rhs_group_dimensions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RaggedDotDimensionNumbers) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value}" for name, value in zip(self.__slots__, self._fields()))
        return f"RaggedDotDimensionNumbers({fields})"


class _Product:
    """One product: its operands, its dimensions, and what is to be computed how."""

    def __init__(self, lhs: Any, rhs: Any, sizes: Any, numbers: Any, params: dict[str, Any]) -> None:
        self.lhs, self.rhs, self.sizes, self.params = lhs, rhs, sizes, params
        (self.lhs_contract, self.rhs_contract), (self.lhs_batch, self.rhs_batch) = (
            numbers.dot_dimension_numbers
        )
        self.lhs_shape, self.rhs_shape = shape_of(lhs), shape_of(rhs)
        if len(numbers.lhs_ragged_dimensions) != 1:
            raise TypeError(
                f"{_NAME}: lhs_ragged_dimensions must be one dimension, got {numbers.lhs_ragged_dimensions}"
            )
        (self.ragged,) = numbers.lhs_ragged_dimensions
        if not 0 <= self.ragged < len(self.lhs_shape):
            raise TypeError(
                f"{_NAME}: the ragged dimension {self.ragged} is not within the shape {self.lhs_shape} of lhs"
            )
        kept = self.ragged not in (*self.lhs_contract, *self.lhs_batch)
        if len(numbers.rhs_group_dimensions) != kept:
            raise TypeError(
                f"{_NAME}: rhs_group_dimensions must be {'one dimension' if kept else 'empty'} where the ragged "
                f"dimension is {'neither summed over nor a batch dimension' if kept else 'summed over or a batch one'}, "
                f"got {numbers.rhs_group_dimensions}"
            )
        self.group = numbers.rhs_group_dimensions[0] if kept else None
        if self.group is not None and (
            not 0 <= self.group < len(self.rhs_shape) or self.group in (*self.rhs_contract, *self.rhs_batch)
        ):
            raise TypeError(
                f"{_NAME}: the group dimension {self.group} must be within the shape {self.rhs_shape} of rhs, and neither "
                "a contracting nor a batch dimension"
            )
        self._check_dot()

    def _check_dot(self) -> None:
        """Raise TypeError unless a `dot_general` without the group dimension fits."""
        shape, contract, batch = self.rhs_shape, self.rhs_contract, self.rhs_batch
        if self.group is not None:
            group = self.group
            shape = (*shape[:group], *shape[group + 1 :])
            contract, batch = (tuple(d - (d > group) for d in dims) for dims in (contract, batch))
        dot_general_p.shape(
            ShapedArray(self.lhs_shape, dtype_of(self.lhs)),
            ShapedArray(shape, dtype_of(self.rhs)),
            dimension_numbers=((self.lhs_contract, contract), (self.lhs_batch, batch)),
            **self.params,
        )

    def _bounds(self, outer: Sequence[int], unit: int, groups: int | None, offset: Any) -> tuple[Any, Any]:
        """Where the rows of each group begin and end: shape `(P, G)`, P counting the dimensions before the ragged one.

        Args:
          outer: the dimensions of lhs that `group_sizes` may have before its last.
          unit: how many rows each index of the ragged dimension has.
          groups: of how many groups, None for all.
          offset: the number of the first of them.
        """
        sizes = self.sizes
        wanted = tuple(self.lhs_shape[d] for d in outer)
        *given, count = shape_of(sizes)
        if given and tuple(given) != wanted:
            raise TypeError(
                f"{_NAME}: group_sizes must have shape ({count},) or {(*wanted, count)}, got {shape_of(sizes)}"
            )
        groups = count if groups is None else groups
        if groups != count and (offset is None or groups > count):
            raise TypeError(
                f"{_NAME}: the group dimension of rhs must have size {count}, as there are in group_sizes, got {groups}"
            )
        if not given:
            sizes = broadcast_in_dim(sizes, (*wanted, count), (len(wanted),))
        sizes = reshape(convert_element_type(sizes, np.int32), (math.prod(wanted), count))
        ends = cumsum(sizes, 1)
        starts = sub(ends, sizes)
        if offset is not None:  # groups that there are not are empty
            starts, ends = (pad(x, np.int32(0), [(0, 0, 0), (0, groups, 0)]) for x in (starts, ends))
            starts, ends = (dynamic_slice_in_dim(x, offset, groups, 1) for x in (starts, ends))
        return mul(starts, np.int32(unit)), mul(ends, np.int32(unit))

    def _arranged(self, x: Any, *parts: Sequence[int]) -> Any:
        """`x` with its dimensions in the order of the parts, each part joined to one."""
        shape = shape_of(x)
        turned = transpose(x, [d for part in parts for d in part])
        return reshape(turned, [math.prod(shape[d] for d in part) for part in parts])

    def _sizes_of(self, *parts: tuple[tuple[int, ...], Sequence[int]]) -> tuple[int, ...]:
        return tuple(shape[d] for shape, dims in parts for d in dims)

    def free(self, offset: Any) -> Any:
        """With a ragged dimension that the result has, too."""
        lhs_free = [d for d in range(len(self.lhs_shape)) if d not in (*self.lhs_contract, *self.lhs_batch)]
        at = lhs_free.index(self.ragged)
        outer, inner = (*self.lhs_batch, *lhs_free[:at]), lhs_free[at + 1 :]
        taken = (*self.rhs_contract, *self.rhs_batch, self.group)
        rhs_free = [d for d in range(len(self.rhs_shape)) if d not in taken]
        unit = math.prod(self.lhs_shape[d] for d in inner)
        starts, ends = self._bounds(outer, unit, self.rhs_shape[self.group], offset)  # type: ignore[index]
        out = ragged_dot_p.bind(
            self._arranged(self.lhs, outer, (self.ragged, *inner), self.lhs_contract),
            self._arranged(self.rhs, self.rhs_batch, (self.group,), self.rhs_contract, rhs_free),  # type: ignore[arg-type]
            starts,
            ends,
            **self.params,
        )
        return reshape(
            out, self._sizes_of((self.lhs_shape, [*outer, self.ragged, *inner]), (self.rhs_shape, rhs_free))
        )

    def contracted(self, offset: Any) -> Any:
        """With a ragged dimension that is summed over: one result for each group."""
        at = self.lhs_contract.index(self.ragged)
        outer = (*self.lhs_batch, *self.lhs_contract[:at])
        rhs_outer = (*self.rhs_batch, *self.rhs_contract[:at])
        rows, rhs_rows = self.lhs_contract[at:], self.rhs_contract[at:]
        lhs_free = [d for d in range(len(self.lhs_shape)) if d not in (*outer, *rows)]
        rhs_free = [d for d in range(len(self.rhs_shape)) if d not in (*rhs_outer, *rhs_rows)]
        unit = math.prod(self.lhs_shape[d] for d in rows[1:])
        starts, ends = self._bounds(outer, unit, None, offset)
        batch = self._sizes_of((self.lhs_shape, self.lhs_batch))
        out = ragged_outer_p.bind(
            self._arranged(self.lhs, outer, rows, lhs_free),
            self._arranged(self.rhs, rhs_outer, rhs_rows, rhs_free),
            starts,
            ends,
            sets=math.prod(batch),
            **self.params,
        )
        groups = shape_of(starts)[1]
        free = self._sizes_of((self.lhs_shape, lhs_free), (self.rhs_shape, rhs_free))
        return reshape(transpose(out, (1, 0, 2, 3)), (groups, *batch, *free))

    def batched(self) -> Any:
        """With a ragged batch dimension: each index has matrices of its own, whatever its group."""
        at = self.lhs_batch.index(self.ragged)
        self._bounds(self.lhs_batch[:at], 1, None, None)
        numbers = ((self.lhs_contract, self.rhs_contract), (self.lhs_batch, self.rhs_batch))
        return dot_general_p.bind(self.lhs, self.rhs, dimension_numbers=numbers, **self.params)


def _integers(argument: str, value: Any, least_rank: int) -> Any:
    x = as_operand(value)
    aval = aval_of(x)
    assert isinstance(aval, ShapedArray)
    if not dtypes.is_int(aval.dtype):
        raise TypeError(f"{_NAME}: {argument} must be an array of integers, got dtype {aval.dtype}")
    if aval.ndim < least_rank:
        raise TypeError(
            f"{_NAME}: {argument} must have at least {least_rank} dimension, got shape {aval.shape}"
        )
    return x


def ragged_dot_general(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    ragged_dot_dimension_numbers: RaggedDotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The product of two arrays, summed over contracting dimensions, with one dimension of the left divided into groups.

    Where the ragged dimension is

    * free, each of its indices is multiplied by the matrix of its group: `(b.., m.., k..), (g, b.., k.., n..)` gives
      `(b.., m.., n..)`, with zeros for indices in no group;
    * summed over, each group gives a product of its own: `(b.., m.., k..), (b.., k.., n..)` gives `(g, b.., m.., n..)`;
    * a batch dimension, the groups make no difference: the result is that of `dot_general`.

    Args:
      lhs, rhs: arrays of any dtypes that have a common one.
      group_sizes: integers of shape `(g,)`; or `(..., g)` with other sizes for each index of the dimensions before the
        ragged one: batch dimensions and free ones, batch and contracting ones, or batch ones.
      ragged_dot_dimension_numbers: a `RaggedDotDimensionNumbers`.
      precision, preferred_element_type: as in `dot_general`.
      group_offset: an integer, or an array of one: the number of the first group that is computed. The first matrix of
        `rhs`, which may have fewer than `g`, then belongs to this group; or it comes first in a result with groups.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: dimensions, sizes or dtypes do not fit. ValueError: there is no such precision.

    >>> import numpy as np
    >>> from anima import lax
    >>> numbers = lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), [0], [])
    >>> x = np.ones((5, 1), np.float32)
    >>> print(lax.ragged_dot_general(x, x, np.array([2, 3]), numbers).ravel())
    [2. 3.]
    """
    refuse_out_sharding(_NAME, out_sharding)
    if not isinstance(ragged_dot_dimension_numbers, RaggedDotDimensionNumbers):
        raise TypeError(
            f"{_NAME}: ragged_dot_dimension_numbers must be a RaggedDotDimensionNumbers, got "
            f"{type(ragged_dot_dimension_numbers).__name__}"
        )
    preferred = None
    if preferred_element_type is not None:
        preferred = dtypes.check_user_dtype_supported(preferred_element_type, _NAME)
    chosen = canonical_precision(default_matmul_precision.value if precision is None else precision)
    product = _Product(
        as_operand(lhs),
        as_operand(rhs),
        _integers("group_sizes", group_sizes, 1),
        ragged_dot_dimension_numbers,
        {"precision": chosen, "preferred_element_type": preferred},
    )
    offset = None
    if group_offset is not None:
        offset = _integers("group_offset", group_offset, 0)
        if math.prod(shape_of(offset)) != 1:
            raise TypeError(f"{_NAME}: group_offset must be one integer, got shape {shape_of(offset)}")
        offset = reshape(convert_element_type(offset, np.int32), ())
    if product.group is not None:
        return product.free(offset)
    return product.contracted(offset) if product.ragged in product.lhs_contract else product.batched()


_MATRICES = RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), (0,), (0,))


def ragged_dot(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The rows of `lhs`, divided into consecutive groups, each row times its group's matrix.

    Args:
      lhs: an array of shape `(m, k)`.
      rhs: one of shape `(g, k, n)`.
      group_sizes: integers of shape `(g,)`: how many rows each group has. Rows after the last group give zeros.
      precision, preferred_element_type, group_offset, out_sharding: as in `ragged_dot_general`.
    Returns:
      An array of shape `(m, n)`.
    Raises:
      TypeError: shapes or dtypes do not fit. ValueError: there is no such precision.

    >>> import numpy as np
    >>> from anima import lax
    >>> rows = np.ones((3, 1), np.float32)
    >>> matrices = np.array([[[1.0]], [[10.0]]], np.float32)
    >>> print(lax.ragged_dot(rows, matrices, np.array([1, 2])).ravel())
    [ 1. 10. 10.]
    """
    return ragged_dot_general(
        lhs, rhs, group_sizes, _MATRICES, precision, preferred_element_type, group_offset, out_sharding
    )

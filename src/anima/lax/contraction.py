"""Products that sum over shared dimensions: `dot_general`, and `dot` and `batch_matmul`, which are cases of it.

Invariant: the result has the batch dimensions first, then the free ones of the left operand, then those of the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.config import default_matmul_precision
from anima.core.aval import ShapedArray
from anima.core.host import HostRule, KernelCall, calling
from anima.core.primitive import Zero, primitives
from anima.core.trace import aval_of
from anima.errors import ArgumentError
from anima.interpreters.batch import Axis
from anima.interpreters.zeros import add as add_zeros
from anima.lax import matrix_products, on_host_tiny, pair_products
from anima.lax.arguments import check_integers
from anima.lax.convert import convert_to
from anima.lax.declare import ANY, check_dtype, declare, is_linear, operand as as_operand
from anima.lax.precision import (
    PrecisionLike,
    algorithm_of,
    canonical_precision,
    precision_attributes,
    swapped,
)
from anima.lax.shape import dtype_of, refuse_out_sharding, shape_of, transpose
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_list
from anima.runtime.kernels import call_kernel

# ((contracting dimensions of the left, of the right), (batch dimensions of the left, of the right))
DotDimensionNumbers = tuple[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]]

# --- shapes and dtypes ------------------------------------------------------------------------


def _dot_shape(
    lhs: ShapedArray, rhs: ShapedArray, *, dimension_numbers: Any, precision: Any, preferred_element_type: Any
) -> ShapedArray:
    check_dtype("dot_general", lhs, ANY, "lhs")
    check_dtype("dot_general", rhs, ANY, "rhs")
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    for side, aval, contract, batch in (
        ("lhs", lhs, lhs_contract, lhs_batch),
        ("rhs", rhs, rhs_contract, rhs_batch),
    ):
        used = (*contract, *batch)
        if len(set(used)) != len(used) or any(not 0 <= d < aval.ndim for d in used):
            raise TypeError(
                f"dot_general: contracting dimensions {contract} and batch dimensions {batch} of {side} must be "
                f"distinct and within its shape {aval.shape}"
            )
    for kind, left, right in (("contracting", lhs_contract, rhs_contract), ("batch", lhs_batch, rhs_batch)):
        sizes = tuple(lhs.shape[d] for d in left), tuple(rhs.shape[d] for d in right)
        if sizes[0] != sizes[1]:
            raise TypeError(
                f"dot_general: {kind} dimensions must have the same sizes in lhs and rhs, got {sizes[0]} for dimensions "
                f"{left} of lhs and {sizes[1]} for dimensions {right} of rhs, of shapes {lhs.shape} and {rhs.shape}"
            )
    batch_sizes = tuple(lhs.shape[d] for d in lhs_batch)
    free = [
        tuple(n for d, n in enumerate(aval.shape) if d not in contract and d not in batch)
        for aval, contract, batch in ((lhs, lhs_contract, lhs_batch), (rhs, rhs_contract, rhs_batch))
    ]
    shape = batch_sizes + free[0] + free[1]
    if preferred_element_type is None:
        preferred_element_type = promoted_dtype(lhs.dtype, rhs.dtype)
    else:
        _check_preferred(promoted_dtype(lhs.dtype, rhs.dtype), preferred_element_type)
    return ShapedArray(shape, preferred_element_type, lhs.weak_type and rhs.weak_type)


def promoted_dtype(lhs: Any, rhs: Any) -> Any:
    """The dtype of a product of these dtypes: the one of the higher kind, or of the wider range within a kind.

    Of integers of one width the signed one is taken. This is not how dtypes promote elsewhere: there is always one of the
    two.

    Raises:
      TypeError: neither is, as for some pairs of 8-bit floats.
    """
    if lhs == rhs:
        return lhs
    first, second = _rank(lhs), _rank(rhs)
    if first == second:
        raise TypeError(
            f"dot_general: neither of {dtypes.dtype_name(lhs)} and {dtypes.dtype_name(rhs)} has the wider range; convert "
            "one of lhs and rhs with lax.convert_element_type"
        )
    return lhs if first > second else rhs


def _rank(dtype: Any) -> tuple[int, float]:
    kind = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}[dtypes.kind_of(dtype) or ""]
    if kind == 1:
        return kind, dtypes.itemsize_bits(dtype) + 0.5 * dtypes.is_signed_int(dtype)
    return kind, 0.0 if kind == 0 else float(dtypes.finfo(dtype).max)


def _width(dtype: Any) -> int:
    """The bits of an element, or of each of its two parts."""
    bits = 1 if dtypes.is_bool(dtype) else dtypes.itemsize_bits(dtype)
    return bits // 2 if dtypes.is_complex(dtype) else bits


def _check_preferred(dtype: Any, preferred: Any) -> None:
    if (dtypes.is_int(dtype) or dtypes.is_complex(dtype)) and _width(preferred) < _width(dtype):
        names = dtypes.dtype_name(preferred), dtypes.dtype_name(dtype)
        raise TypeError(
            f"dot_general: preferred_element_type {names[0]} must not be narrower than {names[1]}"
        )


# --- lowering ---------------------------------------------------------------------------------


def _cast(ctx: Context, x: Value, dtype: Any) -> Value:
    if x.dtype == dtype:
        return x
    ctx.out_avals = [ShapedArray(x.shape, dtype)]
    return primitives["convert_element_type"].lower(ctx, x, new_dtype=dtype, weak_type=False)


def _held_by(lhs: Any, rhs: Any) -> Any:
    """The dtype in which two operands meet: float32 for narrower floats of which neither holds the other."""
    common = promoted_dtype(lhs, rhs)
    other = rhs if common == lhs else lhs
    if dtypes.is_float(common) and dtypes.is_float(other) and common != other and common.itemsize <= 2:
        return np.dtype(np.float32)
    return common


def _computed_in(common: Any, out: Any, platform: str) -> tuple[Any, Any]:
    """The dtype in which the operands enter XLA's dot, and the one in which it accumulates and returns."""
    if dtypes.is_bool(common):  # whether any pair is True: sums of zeros and ones cannot cancel
        return (np.dtype(np.float32),) * 2 if dtypes.is_bool(out) else (out, out)
    if dtypes.is_int(common):
        if not dtypes.is_int(out):
            return out, out
        if out.itemsize == 8:
            return out, out
        # XLA's CPU product of small integers is 100 times faster when it accumulates in 32 bits, which wraps the same.
        # Its GPU products of 8-bit integers come out doubled for some sizes (seen with JAX 0.11.2's plugin, in JAX, too).
        narrow = platform == "cpu" and dtypes.itemsize_bits(common) <= 8 and dtypes.is_signed_int(common)
        return np.dtype(np.int8) if narrow else np.dtype(np.int32), np.dtype(np.int32)
    if dtypes.is_float(common):
        if dtypes.is_complex(out):
            return out, out
        wider = dtypes.is_float(out) and dtypes.itemsize_bits(out) >= dtypes.itemsize_bits(common)
        return common, out if wider else common
    wider = dtypes.is_complex(out) and out.itemsize >= common.itemsize
    return common, out if wider else common


def _dot_lower(
    ctx: Context,
    lhs: Value,
    rhs: Value,
    *,
    dimension_numbers: Any,
    precision: Any,
    preferred_element_type: Any,
) -> Value:
    out = ctx.out_avals[0]
    assert isinstance(out, ShapedArray)
    entering, returned = _computed_in(_held_by(lhs.dtype, rhs.dtype), out.dtype, ctx.module.platform)
    algorithm = algorithm_of(precision)
    if algorithm is not None:
        entering, returned = algorithm.operand_dtype(entering), algorithm.result_dtype(returned)
    lhs, rhs = _cast(ctx, lhs, entering), _cast(ctx, rhs, entering)
    if algorithm is None:
        lone = _lone_call(ctx, dimension_numbers, precision, preferred_element_type)
        if lone is not None:
            return call_kernel(ctx, lone[0], (lhs, rhs), [out], lone[1])[0]
        for by_kernel in (pair_products.product_by_kernel, matrix_products.product_by_kernel):
            found = by_kernel(ctx, lhs, rhs, dimension_numbers, ShapedArray(out.shape, returned))
            if found is not None:
                return _cast(ctx, found, out.dtype)
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    fields = {
        "lhs_batching_dimensions": lhs_batch,
        "rhs_batching_dimensions": rhs_batch,
        "lhs_contracting_dimensions": lhs_contract,
        "rhs_contracting_dimensions": rhs_contract,
    }
    numbers = ", ".join(f"{name} = {i64_list(dims)}" for name, dims in fields.items() if dims)
    attrs = f"dot_dimension_numbers = #stablehlo.dot<{numbers}>{precision_attributes(precision)}"
    product = ctx.op("stablehlo.dot_general", (lhs, rhs), ShapedArray(out.shape, returned), attrs)
    return _cast(ctx, product, out.dtype)


def _lone_call(ctx: Context, numbers: Any, precision: Any, preferred: Any) -> KernelCall | None:
    """The kernel's call for a product that is all of the program, unless that is small enough for loops in a known order."""
    main = ctx.module.main
    if not ctx.module.kernels_allowed or main is None:
        return None
    if len(main.eqns) != 1 or main.eqns[0].primitive is not dot_general_p:
        return None
    params = {"dimension_numbers": numbers, "precision": precision, "preferred_element_type": preferred}
    x, y = (v.aval for v in main.eqns[0].invars)
    return None if on_host_tiny.is_product(x, y, **params) else matrix_products.lone_call(x, y, **params)


# --- derivatives and batching -----------------------------------------------------------------


def _dot_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    (lhs, rhs), (t_lhs, t_rhs) = primals, tangents
    ans = dot_general_p.bind(lhs, rhs, **params)
    total: Any = Zero(aval_of(ans).tangent_aval())
    typed = params | {"preferred_element_type": dtype_of(ans)}
    if type(t_lhs) is not Zero:
        total = dot_general_p.bind(t_lhs, rhs, **typed)
    if type(t_rhs) is not Zero:
        total = add_zeros(total, dot_general_p.bind(lhs, t_rhs, **typed))
    return ans, total


def _dot_transpose(
    ct: Any, lhs: Any, rhs: Any, *, dimension_numbers: Any, precision: Any, preferred_element_type: Any
) -> list[Any]:
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    if is_linear(lhs):
        free = _free(lhs.ndim, lhs_contract, lhs_batch)
        return [
            _cotangent(
                ct,
                lhs,
                rhs,
                lhs_contract,
                rhs_contract,
                lhs_batch,
                rhs_batch,
                len(free),
                precision,
                left=True,
            ),
            None,
        ]
    skipped = len(_free(len(shape_of(lhs)), lhs_contract, lhs_batch))
    return [
        None,
        _cotangent(
            ct,
            rhs,
            lhs,
            rhs_contract,
            lhs_contract,
            rhs_batch,
            lhs_batch,
            skipped,
            swapped(precision),
            left=False,
        ),
    ]


def _free(rank: int, contract: Sequence[int], batch: Sequence[int]) -> list[int]:
    return [d for d in range(rank) if d not in contract and d not in batch]


def _cotangent(
    ct: Any,
    x: Any,
    other: Any,
    x_contract: Any,
    other_contract: Any,
    x_batch: Any,
    other_batch: Any,
    left_free: int,
    precision: Any,
    left: bool,
) -> Any:
    """The cotangent of operand `x`: that of the product, contracted with `other` over its free dimensions."""
    batch = tuple(range(len(x_batch)))
    other_free = tuple(_free(len(shape_of(other)), other_contract, other_batch))
    start = len(batch) + (left_free if left else 0)
    contract = tuple(range(start, start + len(other_free)))
    # The contracted dimensions come as they stand in `other`, before or behind the free ones: so that nothing is to be
    # moved, if possible.
    in_other = sorted(range(len(x_contract)), key=lambda i: other_contract[i])
    free, contracted = _free(x.ndim, x_contract, x_batch), [x_contract[i] for i in in_other]
    if [*x_batch, *contracted, *free] == list(range(x.ndim)):
        numbers = ((other_free, contract), (tuple(other_batch), batch))
        return _product_as(x.dtype, other, ct, dimension_numbers=numbers, precision=swapped(precision))
    numbers = ((contract, other_free), (batch, tuple(other_batch)))
    found = _product_as(x.dtype, ct, other, dimension_numbers=numbers, precision=precision)
    order = [*x_batch, *free, *contracted]
    return transpose(found, sorted(range(len(order)), key=order.__getitem__))


def _product_as(dtype: Any, lhs: Any, rhs: Any, **params: Any) -> Any:
    """A product of which one operand is a cotangent, in the dtype of the value that it is of."""
    common = promoted_dtype(dtype_of(lhs), dtype_of(rhs))
    if dtypes.is_complex(common) and _width(dtype) < _width(common):  # no product returns so few digits
        found = dot_general_p.bind(lhs, rhs, preferred_element_type=common, **params)
        return convert_to(found, dtype, False)
    return dot_general_p.bind(lhs, rhs, preferred_element_type=dtype, **params)


def _dot_batch(axis: Axis, args: Any, dims: Any, *, dimension_numbers: Any, **params: Any) -> tuple[Any, int]:
    lhs, rhs = args
    lhs_dim, rhs_dim = dims
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    if lhs_dim is not None:
        lhs_contract, lhs_batch = _shifted(lhs_contract, lhs_dim), _shifted(lhs_batch, lhs_dim)
    if rhs_dim is not None:
        rhs_contract, rhs_batch = _shifted(rhs_contract, rhs_dim), _shifted(rhs_batch, rhs_dim)
    if lhs_dim is not None and rhs_dim is not None:
        lhs_batch, rhs_batch = (lhs_dim, *lhs_batch), (rhs_dim, *rhs_batch)
        place = 0
    else:  # one more free dimension
        lhs_free = _free(len(shape_of(lhs)), lhs_contract, lhs_batch)
        place = len(lhs_batch)
        if lhs_dim is not None:
            place += lhs_free.index(lhs_dim)
        else:
            place += len(lhs_free) + _free(len(shape_of(rhs)), rhs_contract, rhs_batch).index(rhs_dim)
    numbers = ((lhs_contract, rhs_contract), (lhs_batch, rhs_batch))
    return dot_general_p.bind(lhs, rhs, dimension_numbers=numbers, **params), place


def _shifted(dims: Sequence[int], new: int) -> tuple[int, ...]:
    return tuple(d + (d >= new) for d in dims)


# Sums and products of truth values are others than those of numbers.
_ON_HOST = tuple([name for name in on_host_tiny.ADDED if name != "bool"])

dot_general_p = declare(
    "dot_general",
    shape=_dot_shape,
    lower=_dot_lower,
    jvp=_dot_jvp,
    transpose=_dot_transpose,
    batch=_dot_batch,
    host=HostRule(
        on_host_tiny.product,
        _ON_HOST,
        "numbers",
        rounds=True,
        suits=on_host_tiny.is_product,
        refuses=on_host_tiny.has_far_factors,
        kernel="dot",
        alone=True,
        otherwise=calling(matrix_products.lone_call, on_host_tiny.PLAIN, alone=True),
    ),
    dtypes=ANY,
    remembers=True,
)

# --- the public functions ---------------------------------------------------------------------


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: DotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """The product of two arrays, summed over contracting dimensions, for each index of the batch dimensions.

    Args:
      lhs, rhs: arrays. Of two dtypes the result has the one of the higher kind or the wider range.
      dimension_numbers: `((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))`: sequences of dimensions, which
        must agree in number and sizes.
      precision: how exact products of float32 must be on hardware that has faster ones: a `Precision` or its name, a pair
        of them for the two operands, or a `DotAlgorithmPreset` or its name; by default `jax_default_matmul_precision`.
      preferred_element_type: the dtype in which to accumulate and return.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      An array with the batch dimensions, then the other ones of `lhs`, then those of `rhs`.
    Raises:
      TypeError: dimensions or dtypes do not fit. ValueError: there is no such precision.

    >>> from anima import lax
    >>> x = lax.full((2, 3), 1.0)
    >>> print(lax.dot_general(x, x, (((1,), (1,)), ((), ()))))
    [[3. 3.]
     [3. 3.]]
    """
    refuse_out_sharding("dot_general", out_sharding)
    preferred = None
    if preferred_element_type is not None:
        preferred = dtypes.check_user_dtype_supported(preferred_element_type, "dot_general")
    return dot_general_p.bind(
        as_operand(lhs),
        as_operand(rhs),
        dimension_numbers=_numbers(dimension_numbers),
        precision=canonical_precision(default_matmul_precision.value if precision is None else precision),
        preferred_element_type=preferred,
    )


def _numbers(given: Any) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Dimension numbers as tuples of integers."""
    try:
        (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = given
    except (TypeError, ValueError):
        raise ArgumentError(
            "dot_general: dimension_numbers must be ((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch)), "
            f"got {given!r}"
        ) from None
    contract, batch = "the contracting dimensions", "the batch dimensions"
    return (
        (
            check_integers("dot_general", lhs_contract, contract),
            check_integers("dot_general", rhs_contract, contract),
        ),
        (check_integers("dot_general", lhs_batch, batch), check_integers("dot_general", rhs_batch, batch)),
    )


def dot(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: DotDimensionNumbers | None = None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The product of vectors and matrices: the last dimension of `lhs` with the first of `rhs`.

    Args:
      lhs, rhs: vectors or matrices; anything that `dot_general` takes if `dimension_numbers` are given.
      dimension_numbers, precision, preferred_element_type, out_sharding: as in `dot_general`.
    Raises:
      ValueError: shapes do not fit. TypeError: dtypes do not.

    >>> from anima import lax
    >>> print(lax.dot(lax.full((2,), 3.0), lax.full((2,), 1.0)))
    6.0
    """
    x, y = as_operand(lhs), as_operand(rhs)
    if dimension_numbers is None:
        x_shape, y_shape = shape_of(x), shape_of(y)
        if not (1 <= len(x_shape) <= 2 and 1 <= len(y_shape) <= 2 and x_shape[-1] == y_shape[0]):
            raise ValueError(
                f"dot: lhs and rhs must be vectors or matrices that fit, got shapes {x_shape} and {y_shape}; "
                "give dimension_numbers for other products"
            )
        dimension_numbers = (((len(x_shape) - 1,), (0,)), ((), ()))
    return dot_general(x, y, dimension_numbers, precision, preferred_element_type, out_sharding=out_sharding)


def batch_matmul(lhs: Any, rhs: Any, precision: PrecisionLike = None) -> Any:
    """The matrix products of the last two dimensions, for each index of the others.

    Args:
      lhs, rhs: arrays of equally many dimensions, at least two; the leading ones have equal sizes.
      precision: as in `dot_general`.
    Raises:
      ValueError: their ranks do not fit. TypeError: sizes or dtypes do not.

    >>> from anima import lax
    >>> x = lax.full((5, 2, 3), 1.0)
    >>> lax.batch_matmul(x, lax.full((5, 3, 4), 1.0)).shape
    (5, 2, 4)
    """
    x, y = as_operand(lhs), as_operand(rhs)
    rank = len(shape_of(x))
    if rank < 2 or len(shape_of(y)) != rank:
        raise ValueError(
            f"batch_matmul: lhs and rhs must have equally many dimensions, at least 2, got shapes {shape_of(x)} and "
            f"{shape_of(y)}"
        )
    batch = tuple(range(rank - 2))
    return dot_general(x, y, (((rank - 1,), (rank - 2,)), (batch, batch)), precision)

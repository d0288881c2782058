"""Sums, products and functions of few floating-point numbers as XLA computes them, for NumPy and native kernels to do it, too.

Invariant: what is said here of XLA holds for programs that are compiled without optimisation, of arrays of at most `ORDERED`
elements (`runtime/host.py` says which are): no sum is split over the lanes of a vector, and no product is fused with a sum. Products
of matrices are plain loops, and functions worth computing as the C library does, up to `TINY` elements. Larger ones are left to
the compiler, and so are numbers of which a product or a partial sum could be subnormal, which XLA flushes.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from anima.core.host import WHOLE, HostRule

Numbers: TypeAlias = np.ndarray[Any, Any]

TINY = 256
ORDERED = 1024
ADDED = (*WHOLE, "float32", "float64")
PLAIN = ("float32", "float64")
# XLA cuts a reduced dimension into windows of so many elements.
WINDOW = 32
# Columns of a product come in groups of at least so many, of which each adds up its products in order.
COLUMNS = 4


def is_function(x: Any, *, accuracy: Any = None) -> bool:
    """Whether a function of the C library is what computes this."""
    return accuracy is None and 0 < x.size <= TINY


def is_root(x: Any, *, accuracy: Any = None) -> bool:
    """Whether this is computed as IEEE 754 says."""
    return accuracy is None and 0 < x.size <= ORDERED


# A quotient by a number that the program knows: XLA multiplies by its inverse.
BY_INVERSE = HostRule(
    np.multiply,
    PLAIN,
    "numbers",
    rounds=True,
    kernel="mul",
    suits=lambda x, y: 0 < x.size <= ORDERED,
    sequence="product",
)


def is_sum(x: Any, *, axes: tuple[int, ...]) -> bool:
    """Whether the order of a sum is known, for an operand of this shape and dtype."""
    if x.dtype.kind != "f":
        return bool(x.size)
    if not 0 < x.size <= ORDERED or axes != tuple(range(axes[0], axes[0] + len(axes)) if axes else ()):
        return False
    return len(axes) == 1 or all(x.shape[a] <= WINDOW for a in axes)


def has_small_terms(x: Numbers, *, axes: tuple[int, ...]) -> bool:
    """Whether partial sums of `x` might be subnormal: they are multiples of the last place of its smallest number."""
    if x.dtype.kind != "f":
        return False
    info = np.finfo(x.dtype)
    return bool(np.count_nonzero((x != 0) & (np.abs(x) < info.tiny * 2.0 ** (info.nmant + 1))))


def total(x: Numbers, *, axes: tuple[int, ...]) -> Numbers:
    """The sum over `axes`."""
    if x.dtype.kind != "f":
        return np.add.reduce(x, axes, dtype=x.dtype)
    kept = [d for d in range(x.ndim) if d not in axes]
    rows = x.transpose([*sorted(axes), *kept]).reshape(-1, *[x.shape[d] for d in kept])
    return _in_windows(rows) if len(axes) == 1 and len(rows) > WINDOW else _in_order(rows)


def _in_order(rows: Numbers) -> Numbers:
    result = np.zeros(rows.shape[1:], rows.dtype)
    for row in rows:
        result = result + row
    return result


def has_far_terms(x: Numbers, *, axes: tuple[int, ...]) -> bool:
    """Whether partial products of `x` might be subnormal or infinite."""
    if x.dtype.kind != "f":
        return False
    if np.count_nonzero(x == 0) or np.count_nonzero(~np.isfinite(x)):
        return True
    # Those of the large numbers, and of the small ones.
    exponents = np.frexp(x)[1]
    spread = np.maximum(
        np.add.reduce(np.maximum(exponents, 0), axes), -np.add.reduce(np.minimum(exponents - 1, 0), axes)
    )
    return bool(np.max(spread) >= np.finfo(x.dtype).maxexp - 2)


def multiplied(x: Numbers, *, axes: tuple[int, ...]) -> Numbers:
    """The product over `axes`, for floating-point numbers."""
    kept = [d for d in range(x.ndim) if d not in axes]
    rows = x.transpose([*sorted(axes), *kept]).reshape(-1, *[x.shape[d] for d in kept])
    if len(axes) == 1 and len(rows) > WINDOW:
        rows = _product_in_order(np.moveaxis(_windows(rows, 1), 1, 0))
    return _product_in_order(rows)


def _product_in_order(rows: Numbers) -> Numbers:
    result = np.ones(rows.shape[1:], rows.dtype)
    for row in rows:
        result = result * row
    return result


def _in_windows(rows: Numbers) -> Numbers:
    """The sum of the sums of windows."""
    return _in_order(_in_order(np.moveaxis(_windows(rows, 0), 1, 0)))


def _windows(rows: Numbers, neutral: int) -> Numbers:
    """Rows in windows; neutral ones before and after make the number of windows whole."""
    count = -(-len(rows) // WINDOW)
    missing = count * WINDOW - len(rows)
    ends = [(missing // 2, missing - missing // 2), *[(0, 0)] * (rows.ndim - 1)]
    return np.pad(rows, ends, constant_values=neutral).reshape(count, WINDOW, *rows.shape[1:])


def is_product(
    x: Any, y: Any, *, dimension_numbers: Any, precision: Any, preferred_element_type: Any
) -> bool:
    """Whether this is a product of matrices or vectors, of shapes and dtypes for which its order is known."""
    (left, right), batch = dimension_numbers
    if precision is not None or preferred_element_type is not None or any(map(len, batch)):
        return False
    if x.dtype != y.dtype:
        return False
    if not (1 <= x.ndim <= 2 and 1 <= y.ndim <= 2 and x.size and y.size):
        return False
    if tuple(left) != (x.ndim - 1,) or tuple(right) != (0,):
        return False
    rows, columns = math.prod(x.shape[:-1]), math.prod(y.shape[1:])
    if x.dtype.kind == "f" and max(x.size, y.size, rows * columns) > TINY:
        return False
    return rows == 1 or columns % COLUMNS == 0


def has_far_factors(x: Numbers, y: Numbers, **_: Any) -> bool:
    """Whether products of elements, or partial sums of them, might be subnormal or infinite."""
    if x.dtype.kind != "f":
        return False
    far = 2.0 ** (np.finfo(x.dtype).maxexp // 3)
    return any([np.count_nonzero((v != 0) & ~((np.abs(v) > 1 / far) & (np.abs(v) < far))) for v in (x, y)])


def product(x: Numbers, y: Numbers, **_: Any) -> Numbers:
    """The product of two matrices or vectors."""
    rows, columns = x.reshape(-1, x.shape[-1]), y.reshape(len(y), -1)
    if x.dtype.kind != "f":
        result = np.matmul(rows, columns, dtype=x.dtype)
    else:
        terms = [rows[:, k, None] * columns[k] for k in range(len(columns))]
        # One row begins with the first product, which may be a negative zero, several with zero.
        result = terms.pop(0) if len(rows) == 1 else np.zeros((len(rows), columns.shape[1]), x.dtype)
        for term in terms:
            result = result + term
    return result.reshape((*x.shape[:-1], *y.shape[1:]))

"""Products of arrays: dot, matmul, tensordot and their relatives.

Invariant: each is one `dot_general` on operands of a common dtype, with broadcasting of batch dimensions where NumPy
has it; `precision` and `preferred_element_type` are handed on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from anima import dtypes
from anima.lax.arithmetic import mul
from anima.lax.complex_parts import conj
from anima.lax.contraction import dot_general
from anima.lax.convert import convert_to
from anima.lax.shape import check_axis, expand_dims, reshape, squeeze, transpose
from anima.numpy.calls import function, plain
from anima.numpy.promotion import array_like, common_shape, dtype_of, promote_dtypes, shape_of, stretch

_SETTINGS = ("precision", "preferred_element_type", "out_sharding")


def _product(
    a: Any, b: Any, contract: tuple[Sequence[int], Sequence[int]], batch: tuple[Sequence[int], Sequence[int]],
    precision: Any, preferred: Any, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """`dot_general` of promoted operands; weakly typed if both are."""
    out = dot_general(a, b, (contract, batch), precision, preferred, out_sharding=out_sharding)
    weak = dtypes.is_weakly_typed(a) and dtypes.is_weakly_typed(b) and preferred is None
    return convert_to(out, out.dtype, weak) if weak else out


def _mismatch(name: str, a: Any, b: Any, sizes: str) -> TypeError:
    return TypeError(f"{name}: cannot multiply shapes {shape_of(a)} and {shape_of(b)}: {sizes}")


@function(static=_SETTINGS)
def dot(
    a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Any:
    """Product of two arrays: of scalars, vectors and matrices as usual.

    Args:
      a, b: arrays. For more than two dimensions the sum is over the last of `a` and the last but one of `b`.
      precision, preferred_element_type: as in `lax.dot_general`.
    Raises:
      TypeError: shapes do not fit.

    >>> import anima.numpy as np
    >>> print(np.dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    a, b = promote_dtypes("dot", a, b)
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        return _product(a, b, ((), ()), ((), ()), precision, preferred_element_type, out_sharding)
    axis = len(right) - 2 if len(right) > 1 else 0
    if left[-1] != right[axis]:
        raise _mismatch(
            "dot", a, b, f"the last dimension of a is {left[-1]}, dimension {axis} of b is {right[axis]}"
        )
    contract = ((len(left) - 1,), (axis,))
    return _product(a, b, contract, ((), ()), precision, preferred_element_type, out_sharding)


@function(static=_SETTINGS)
def matmul(
    a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Any:
    """Matrix product, batched over leading dimensions, which broadcast: `a @ b`.

    Args:
      a, b: arrays of at least one dimension; a vector counts as a row on the left and a column on the right.
      precision, preferred_element_type: as in `lax.dot_general`.
    Raises:
      ValueError: an operand is a scalar. TypeError: shapes do not fit.

    >>> import anima.numpy as np
    >>> print(np.matmul(np.ones((2, 3)), np.ones(3)))
    [3. 3.]
    """
    a, b = promote_dtypes("matmul", a, b)
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        raise ValueError(
            f"matmul: operands must have at least one dimension, got shapes {left} and {right}; use multiply"
        )
    axis = max(len(right) - 2, 0)
    if left[-1] != right[axis]:
        raise _mismatch(
            "matmul", a, b, f"the last dimension of a is {left[-1]}, dimension {axis} of b is {right[axis]}"
        )
    lead_a, lead_b = left[:-2], right[:-2]
    if not lead_b:
        contract = ((len(left) - 1,), (axis,))
        return _product(a, b, contract, ((), ()), precision, preferred_element_type, out_sharding)
    batch = common_shape("matmul", [lead_a, lead_b])
    a = _with_batch(a, left, batch, min(len(left), 2))
    b = _with_batch(b, right, batch, 2)
    dims = tuple(range(len(batch)))
    contract = ((len(shape_of(a)) - 1,), (len(batch),))
    return _product(a, b, contract, (dims, dims), precision, preferred_element_type, out_sharding)


def _with_batch(x: Any, shape: tuple[int, ...], batch: tuple[int, ...], core: int) -> Any:
    full = (*batch, *shape[len(shape) - core :])
    if shape == full:
        return x
    padded = (1,) * (len(full) - len(shape)) + shape
    return stretch(reshape(x, padded), padded, full)


@function(static=("precision", "preferred_element_type"))
def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Inner product of two arrays read as vectors, the first conjugated.

    >>> import anima.numpy as np
    >>> print(np.vdot(np.array([1j]), np.array([1j])))
    (1+0j)
    """
    a, b = promote_dtypes("vdot", a, b)
    sizes = math.prod(shape_of(a)), math.prod(shape_of(b))
    if sizes[0] != sizes[1]:
        raise _mismatch("vdot", a, b, f"they have {sizes[0]} and {sizes[1]} elements")
    a, b = reshape(_conjugate(a), (sizes[0],)), reshape(b, (sizes[1],))
    return _product(a, b, ((0,), (0,)), ((), ()), precision, preferred_element_type)


def _conjugate(x: Any) -> Any:
    return conj(x) if dtypes.is_complex(dtype_of(x)) else x


def _check_cores(name: str, x1: Any, x2: Any, cores: tuple[int, int], sizes: tuple[int, int]) -> None:
    """Raise ValueError unless the operands have so many last dimensions, contracted sizes agree and the others broadcast."""
    for x, core in zip((x1, x2), cores):
        if len(shape_of(x)) < core:
            raise ValueError(
                f"{name}: operands must have at least {cores} dimensions, got {shape_of(x1)} and {shape_of(x2)}"
            )
    left, right = shape_of(x1), shape_of(x2)
    if left[sizes[0]] != right[sizes[1]]:
        raise ValueError(
            f"{name}: sizes {left[sizes[0]]} and {right[sizes[1]]} of shapes {left} and {right} differ"
        )
    try:
        common_shape(name, [left[: len(left) - cores[0]], right[: len(right) - cores[1]]])
    except TypeError as error:
        raise ValueError(str(error)) from None


@function(static=("axis", "precision", "preferred_element_type"))
def vecdot(
    x1: Any, x2: Any, /, *, axis: int = -1, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """Inner products along one axis, the first operand conjugated; the other axes broadcast.

    Raises:
      ValueError: the shapes do not fit, or the axis is out of range.

    >>> import anima.numpy as np
    >>> print(np.vecdot(np.ones((2, 3)), np.arange(3.0)))
    [3. 3.]
    """
    x1, x2 = promote_dtypes("vecdot", x1, x2)
    x1, x2 = (_axis_last("vecdot", x, axis) for x in (x1, x2))
    _check_cores("vecdot", x1, x2, (1, 1), (-1, -1))
    out = plain(matmul)(
        expand_dims(_conjugate(x1), (-2,)), expand_dims(x2, (-1,)), precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip
    return squeeze(out, (-2, -1))


def _axis_last(name: str, x: Any, axis: int) -> Any:
    ndim = len(shape_of(x))
    place = check_axis(name, axis, ndim)
    return transpose(x, (*(d for d in range(ndim) if d != place), place))


@function
def matvec(x1: Any, x2: Any, /) -> Any:
    """Products of matrices and vectors, batched over leading dimensions.

    Raises:
      ValueError: the shapes do not fit.

    >>> import anima.numpy as np
    >>> np.matvec(np.ones((5, 2, 3)), np.ones((5, 3))).shape
    (5, 2)
    """
    x1, x2 = array_like("matvec", x1), array_like("matvec", x2, 1)
    _check_cores("matvec", x1, x2, (2, 1), (-1, -1))
    return squeeze(plain(matmul)(x1, expand_dims(x2, (-1,))), (-1,))


@function
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Products of conjugated vectors and matrices, batched over leading dimensions.

    Raises:
      ValueError: the shapes do not fit.

    >>> import anima.numpy as np
    >>> np.vecmat(np.ones((5, 2)), np.ones((5, 2, 3))).shape
    (5, 3)
    """
    x1, x2 = array_like("vecmat", x1), array_like("vecmat", x2, 1)
    _check_cores("vecmat", x1, x2, (1, 2), (-1, -2))
    return squeeze(plain(matmul)(expand_dims(_conjugate(x1), (-2,)), x2), (-2,))


@function(static=("precision", "preferred_element_type"))
def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Sum over the last dimensions of both operands.

    >>> import anima.numpy as np
    >>> np.inner(np.ones((2, 3)), np.ones((4, 3))).shape
    (2, 4)
    """
    a, b = promote_dtypes("inner", a, b)
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        return _product(a, b, ((), ()), ((), ()), precision, preferred_element_type)
    if left[-1] != right[-1]:
        raise _mismatch("inner", a, b, f"the last dimensions are {left[-1]} and {right[-1]}")
    contract = ((len(left) - 1,), (len(right) - 1,))
    return _product(a, b, contract, ((), ()), precision, preferred_element_type)


@function
def outer(a: Any, b: Any, out: None = None) -> Any:
    """All products of an element of `a` and one of `b`, both read as vectors.

    >>> import anima.numpy as np
    >>> print(np.outer(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    [[3. 4.]
     [6. 8.]]
    """
    if out is not None:
        raise TypeError("outer: out must be None; arrays cannot be written to")
    a, b = promote_dtypes("outer", a, b)
    rows, columns = math.prod(shape_of(a)), math.prod(shape_of(b))
    left = stretch(reshape(a, (rows, 1)), (rows, 1), (rows, columns))
    right = stretch(reshape(b, (1, columns)), (1, columns), (rows, columns))
    return _times(left, right)


def _times(a: Any, b: Any) -> Any:
    """Product that is "and" for booleans, as NumPy's multiply."""
    return a & b if array_like("multiply", a).dtype == dtypes.bool_ else mul(a, b)


@function(static=("axes", *_SETTINGS))
def tensordot(
    a: Any, b: Any, axes: Any = 2, *, precision: Any = None, preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Product summed over chosen dimensions of both operands.

    Args:
      axes: how many dimensions: the last of `a` with the first of `b`; or a pair of (sequences of) dimensions.
    Raises:
      TypeError, ValueError: they do not fit.

    >>> import anima.numpy as np
    >>> np.tensordot(np.ones((2, 3, 4)), np.ones((3, 4, 5))).shape
    (2, 5)
    """
    a, b = promote_dtypes("tensordot", a, b)
    left, right = _contracted("tensordot", axes, len(shape_of(a)), len(shape_of(b)))
    sizes = [shape_of(a)[i] for i in left], [shape_of(b)[i] for i in right]
    if sizes[0] != sizes[1]:
        raise _mismatch("tensordot", a, b, f"the summed dimensions have sizes {sizes[0]} and {sizes[1]}")
    return _product(a, b, (left, right), ((), ()), precision, preferred_element_type, out_sharding)


def _contracted(
    name: str, axes: Any, left_ndim: int, right_ndim: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if hasattr(axes, "__index__"):
        count = int(axes)
        if not 0 <= count <= min(left_ndim, right_ndim):
            raise TypeError(
                f"{name}: axes is {count}, but the operands have {left_ndim} and {right_ndim} dimensions"
            )
        return tuple(range(left_ndim - count, left_ndim)), tuple(range(count))
    if not isinstance(axes, (tuple, list)) or len(axes) != 2:
        raise TypeError(
            f"{name}: axes must be an integer or a pair of (sequences of) dimensions, got {axes!r}"
        )
    sides = []
    for given, ndim in zip(axes, (left_ndim, right_ndim)):
        items = (given,) if hasattr(given, "__index__") else tuple(given)
        sides.append(tuple(check_axis(name, item, ndim, "axes") for item in items))
    if len(sides[0]) != len(sides[1]):
        raise TypeError(f"{name}: axes name {len(sides[0])} dimensions of a and {len(sides[1])} of b")
    return sides[0], sides[1]


@function
def kron(a: Any, b: Any) -> Any:
    """Kronecker product: `a` with each element replaced by its product with the whole of `b`.

    >>> import anima.numpy as np
    >>> print(np.kron(np.array([1, 10]), np.array([1, 2])))
    [ 1  2 10 20]
    """
    a, b = promote_dtypes("kron", a, b)
    ndim = max(len(shape_of(a)), len(shape_of(b)))
    left = (1,) * (ndim - len(shape_of(a))) + shape_of(a)
    right = (1,) * (ndim - len(shape_of(b))) + shape_of(b)
    full = tuple(size for pair in zip(left, right) for size in pair)
    spread_a = tuple(size for m in left for size in (m, 1))
    spread_b = tuple(size for n in right for size in (1, n))
    product = _times(
        stretch(reshape(a, spread_a), spread_a, full), stretch(reshape(b, spread_b), spread_b, full)
    )
    return reshape(product, tuple(m * n for m, n in zip(left, right)))

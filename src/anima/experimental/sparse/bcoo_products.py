"""Products of BCOO arrays with dense ones and with one another.

Invariant: a contraction costs time and memory by the number of stored elements; nothing sparse is made dense but results.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as onp

from anima import dtypes, numpy as np
from anima.experimental.sparse.bcoo import BCOO, bound_of, inside, masked, over_batches, spread, total
from anima.experimental.sparse.bcoo_convert import bcoo_sum_duplicates
from anima.experimental.sparse.bcoo_shape import bcoo_broadcast_in_dim
from anima.lax.contraction import dot_general
from anima.lax.convolution_numbers import conv_dimension_numbers
from anima.transforms.jit import jit

Numbers = tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]


def _numbers(dimension_numbers: Any) -> Numbers:
    (lc, rc), (lb, rb) = dimension_numbers
    lc, rc, lb, rb = (tuple(int(a) for a in axes) for axes in (lc, rc, lb, rb))
    return (lc, rc), (lb, rb)


def check_numbers(lhs: Sequence[int], rhs: Sequence[int], numbers: Numbers) -> None:
    """Raise TypeError unless the shapes fit the dimension numbers."""
    (lc, rc), (lb, rb) = numbers
    for what, left, right in (("contracting", lc, rc), ("batch", lb, rb)):
        if len(left) != len(right):
            raise TypeError(f"bcoo_dot_general: {what} dimensions {left} and {right} differ in number")
        if any(not 0 <= a < len(lhs) for a in left) or any(not 0 <= a < len(rhs) for a in right):
            raise TypeError(f"bcoo_dot_general: {what} dimensions {left}, {right} are out of range")
        sizes = tuple(lhs[a] for a in left), tuple(rhs[a] for a in right)
        if sizes[0] != sizes[1]:
            raise TypeError(
                f"bcoo_dot_general: dot_general requires {what} dimensions to have the same shape, got {sizes[0]} and "
                f"{sizes[1]}."
            )


def bcoo_dot_general(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """A contraction, as `lax.dot_general`, of which either side may be a BCOO array.

    Args:
      lhs, rhs: arrays or BCOO arrays of the same dtype.
      dimension_numbers: `((lhs_contract, rhs_contract), (lhs_batch, rhs_batch))`; any dimension of a sparse array may be among
        them.
      precision, preferred_element_type: as in `lax.dot_general`.
      out_sharding: only None.
    Returns:
      A dense array; for two BCOO arrays a BCOO array, which stores an element for every pair of stored elements, but not more
      than there are places.
    Raises:
      TypeError: shapes do not fit. NotImplementedError: of two sparse arrays, dense dimensions are contracted, or batch dimensions
      of the contraction are no batches of both.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> print(
    ...     sparse.bcoo_dot_general(sparse.eye(2), np.ones(2), dimension_numbers=(((1,), (0,)), ((), ())))
    ... )
    [1. 1.]
    """
    if out_sharding is not None:
        raise NotImplementedError("bcoo_dot_general: out_sharding must be None for sparse arrays")
    numbers = _numbers(dimension_numbers)
    left, right = isinstance(lhs, BCOO), isinstance(rhs, BCOO)
    settings = {"precision": precision, "preferred_element_type": preferred_element_type}
    if not left and not right:
        return dot_general(lhs, rhs, numbers, **settings)
    lhs, rhs = (x if s else np.asarray(x) for x, s in ((lhs, left), (rhs, right)))
    check_numbers(lhs.shape, rhs.shape, numbers)
    if left and right:
        out = _sparse_product(lhs, rhs, numbers)
        return out if preferred_element_type is None else _as_type(out, preferred_element_type)
    if left:
        return _product(lhs, rhs, numbers, precision, _name(preferred_element_type))
    (lc, rc), (lb, rb) = numbers
    out = _product(rhs, lhs, ((rc, lc), (rb, lb)), precision, _name(preferred_element_type))
    batch, free = len(lb), rhs.ndim - len(lc) - len(lb)
    order = [*range(batch), *range(batch + free, out.ndim), *range(batch, batch + free)]
    return out.transpose(*order)


def _name(dtype: Any) -> str | None:
    return None if dtype is None else dtypes.dtype_name(dtypes.canonicalize_dtype(dtype))


def _as_type(mat: BCOO, dtype: Any) -> BCOO:
    return BCOO((mat.data.astype(dtype), mat.indices), shape=mat.shape)


@partial(jit, static_argnums=(2, 3, 4))
def _product(mat: BCOO, dense: Any, numbers: Numbers, precision: Any, preferred: str | None) -> Any:
    """The contraction of a sparse with a dense array.

    Batches are mapped over. In each, the rows of the dense array that stored elements meet are gathered, multiplied by the
    values, and added up where the other indices say.
    """
    (lc, rc), (lb, rb) = numbers
    n, s = mat.n_batch, mat.n_sparse
    partner = dict(zip(lc + lb, rc + rb))
    # The dimensions of the dense array that are mapped come first, in the order of the batches.
    mapped = [partner.get(i) for i in range(n)]
    others = [d for d in range(dense.ndim) if d not in mapped]
    turned = dense.transpose(*[d for d in mapped if d is not None], *others)
    turned = turned.reshape(
        *[1 if d is None else dense.shape[d] for d in mapped], *[dense.shape[d] for d in others]
    )
    matched = [i for i in range(s) if n + i in partner]
    kept = [i for i in range(s) if n + i not in lc]
    rows = [others.index(partner[n + i]) for i in matched]
    rest = [i for i in range(len(others)) if i not in rows]
    blocks = range(n + s, mat.ndim)
    place = {others[d]: i for i, d in enumerate(rest)}
    summed = [(d - n - s + 1, place[partner[d]] + 1) for d in blocks if d in lc]
    joint = [(d - n - s + 1, place[partner[d]] + 1) for d in blocks if d in lb]
    sum_rows = not kept
    if sum_rows:
        summed.insert(0, (0, 0))
    else:
        joint.insert(0, (0, 0))
    inner: Any = tuple(zip(*summed)) or ((), ()), tuple(zip(*joint)) or ((), ())

    def one(data: Any, indices: Any, block: Any) -> Any:
        block = block.transpose(*rows, *rest)
        if matched:
            at = tuple(indices[:, i] for i in matched)
            met = block.at[at].get(mode="fill", fill_value=0)
        else:
            met = np.broadcast_to(block, (mat.nse, *block.shape))
        if (
            joint == [(0, 0)] and not summed and data.ndim == 1
        ):  # XLA does this faster than a product of vectors
            out = spread(data, met.ndim) * met
            out = out if preferred is None else out.astype(preferred)
        else:
            out = dot_general(data, met, inner, precision, preferred)
        if sum_rows:
            return out
        shape, at = zip(*[(mat.sparse_shape[i], indices[:, i]) for i in kept])
        return np.zeros(shape + out.shape[1:], out.dtype).at[at].add(out, mode="drop")

    values = masked(mat) if not matched or not kept else mat.data
    out = over_batches(one, n, values, mat.indices, turned)
    blocks_left = [("l", d) for d in blocks if d in lb]
    blocks_left += [("l", d) for d in blocks if d not in lb and d not in lc]
    names = [("l", d) for d in range(n)] + [("l", n + i) for i in kept] + blocks_left
    names += [("r", others[d]) for d in rest if others[d] not in partner.values()]
    out = np.broadcast_to(out, (*mat.batch_shape, *out.shape[n:]))
    return _in_order(out, names, mat.ndim, dense.ndim, numbers)


def _in_order(out: Any, names: list[tuple[str, int]], left: int, right: int, numbers: Numbers) -> Any:
    """The result of a contraction from one with other dimensions: `names` says of each its side and its place there."""
    (lc, rc), (lb, rb) = numbers
    gone = [i for i, (side, d) in enumerate(names) if side == "l" and d in lc]
    out = out.sum(gone, dtype=out.dtype) if gone else out
    names = [x for i, x in enumerate(names) if i not in gone]
    wanted = [("l", d) for d in lb]
    wanted += [("l", d) for d in range(left) if d not in lb and d not in lc]
    wanted += [("r", d) for d in range(right) if d not in rb and d not in rc]
    return out.transpose(*[names.index(x) for x in wanted])


def _sparse_product(lhs: BCOO, rhs: BCOO, numbers: Numbers) -> BCOO:
    (lc, rc), (lb, rb) = numbers
    for mat, contract, batch in ((lhs, lc, lb), (rhs, rc, rb)):
        if any(a >= mat.n_batch for a in batch):
            raise NotImplementedError(
                f"bcoo_dot_general: of two sparse arrays, dimensions {batch} cannot be a product's batch where n_batch is "
                f"{mat.n_batch}; store them as batch dimensions with update_layout"
            )
        if mat.n_dense or any(a < mat.n_batch for a in contract):
            raise NotImplementedError(
                "bcoo_dot_general: two sparse arrays are contracted over sparse dimensions only; use update_layout"
            )
    made: BCOO = _pairs(lhs, rhs, numbers)
    return made


@partial(jit, static_argnums=2)
def _pairs(lhs: BCOO, rhs: BCOO, numbers: Numbers) -> BCOO:
    """The contraction of two sparse arrays: every pair of stored elements, of which those count whose indices agree."""
    (lc, rc), (lb, rb) = numbers
    parts, shapes = [], []
    for mat, batch in ((lhs, lb), (rhs, rb)):
        free = [i for i in range(mat.n_batch) if i not in batch]
        parts.append((mat, [*batch, *free]))
        shapes.append([mat.shape[i] for i in free])
    common = [lhs.shape[i] for i in lb]
    lines = []
    for side, (mat, order) in enumerate(parts):
        own = [1] * (len(shapes[1]) if side == 0 else len(shapes[0]))
        for buffer in (masked(mat), mat.indices):
            buffer = buffer.transpose(*order, *range(mat.n_batch, buffer.ndim))
            head, tail = buffer.shape[: len(common)], buffer.shape[mat.n_batch :]
            middle = list(buffer.shape[len(common) : mat.n_batch])
            middle = middle + own if side == 0 else own + middle
            lines.append(buffer.reshape(*head, *middle, *tail))
    batch = (*common, *shapes[0], *shapes[1])
    left, right = [a - lhs.n_batch for a in lc], [a - rhs.n_batch for a in rc]
    stay = (
        [i for i in range(lhs.n_sparse) if i not in left],
        [i for i in range(rhs.n_sparse) if i not in right],
    )
    bounds = bound_of(lhs), bound_of(rhs)
    shape = tuple([lhs.sparse_shape[i] for i in stay[0]] + [rhs.sparse_shape[i] for i in stay[1]])

    def one(x: Any, ix: Any, y: Any, iy: Any) -> Any:
        ok = (ix < bounds[0]).all(-1)[:, None] & (iy < bounds[1]).all(-1)[None, :]
        for i, j in zip(left, right):
            ok &= ix[:, None, i] == iy[None, :, j]
        values = np.where(ok, x[:, None] * y[None, :], 0).reshape(-1)
        columns = [np.broadcast_to(ix[:, None, i], ok.shape) for i in stay[0]]
        columns += [np.broadcast_to(iy[None, :, j], ok.shape) for j in stay[1]]
        if not columns:
            return values, np.zeros((values.size, 0), ix.dtype)
        places = np.stack(columns, -1).reshape(-1, len(columns))
        return values, np.where(ok.reshape(-1, 1), places, onp.array(shape, places.dtype))

    data, indices = over_batches(one, len(batch), *lines)
    out = BCOO((data, indices), shape=(*batch, *shape))
    most = total(shape)
    # Where one side is contracted wholly, the places of the other are all that there can be.
    most = min(most, *(m.nse for m, other in ((lhs, stay[1]), (rhs, stay[0])) if not other), most)
    if out.nse > most:
        summed = bcoo_sum_duplicates(out, nse=most)
        out = BCOO((summed.data, summed.indices), shape=out.shape)
    # Batches of the result: common, then each side's; its dimensions: common, left (batch, sparse), right (batch, sparse).
    return _ordered(out, len(common), len(shapes[0]), len(shapes[1]), len(stay[0]))


def _ordered(out: BCOO, common: int, left: int, right: int, stay: int) -> BCOO:
    if not right or not stay:
        return out
    raise NotImplementedError(
        "bcoo_dot_general of two sparse arrays with batch dimensions of the right one that the left one lacks, beside sparse "
        "dimensions of the left one: batch dimensions must come first; use update_layout"
    )


def bcoo_dot_general_sampled(A: Any, B: Any, indices: Any, *, dimension_numbers: Any) -> Any:
    """The elements of a contraction of dense arrays at given places alone.

    Args:
      A, B: arrays.
      indices: integers `(*batch, nse, n_sparse)`: places in the result, whose first dimensions are batches.
      dimension_numbers: as in `lax.dot_general`.
    Returns:
      Values of shape `(*batch, nse, *dense)`.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> numbers = (((1,), (0,)), ((), ()))
    >>> print(
    ...     sparse.bcoo_dot_general_sampled(
    ...         np.eye(2), np.eye(2), np.array([[1, 1]]), dimension_numbers=numbers
    ...     )
    ... )
    [1.]
    """
    A, B, indices = np.asarray(A), np.asarray(B), np.asarray(indices)
    numbers = _numbers(dimension_numbers)
    check_numbers(A.shape, B.shape, numbers)
    (lc, rc), (lb, _) = numbers
    plain = not lb and A.ndim == B.ndim == 2 and len(lc) == 1
    if plain and indices.ndim == 2 and indices.shape[1] == 2:
        rows = A.transpose(1 - lc[0], lc[0]).at[indices[:, 0]].get(mode="fill", fill_value=0)
        columns = B.transpose(1 - rc[0], rc[0]).at[indices[:, 1]].get(mode="fill", fill_value=0)
        return dot_general(rows, columns, (((1,), (1,)), ((0,), (0,))))
    out = dot_general(A, B, numbers)

    def one(block: Any, at: Any) -> Any:
        return block.at[tuple(at[:, i] for i in range(at.shape[1]))].get(mode="fill", fill_value=0)

    return over_batches(one, indices.ndim - 2, out, indices)


def bcoo_multiply_dense(sp_mat: BCOO, v: Any) -> Any:
    """The values of the elementwise product with a dense array, which broadcasts to the sparse one's shape.

    Returns:
      Values for the indices of `sp_mat`.
    Raises:
      ValueError: shapes do not broadcast.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_multiply_dense(sparse.eye(2), np.array([3.0, 4.0])))
    [3. 4.]
    """
    v = np.asarray(v)
    if np.broadcast_shapes(sp_mat.shape, v.shape) != sp_mat.shape:
        raise ValueError(
            f"bcoo_multiply_dense: Incompatible shapes for broadcasting: shapes={[v.shape, sp_mat.shape]}; the result must have "
            "the shape of the sparse array"
        )
    return _scaled(sp_mat, v)


@jit
def _scaled(mat: BCOO, v: Any) -> Any:
    n, s = mat.n_batch, mat.n_sparse
    if not v.ndim:
        return mat.data * v
    v = v.reshape(*[1] * (mat.ndim - v.ndim), *v.shape)
    wide = [i for i in range(s) if v.shape[n + i] != 1]

    def one(data: Any, indices: Any, block: Any) -> Any:
        at = tuple(indices[:, i] if i in wide else 0 for i in range(s))
        if not wide:
            return data * block[at][None] if s else data * block[None]
        return data * block.at[at].get(mode="fill", fill_value=0)

    return over_batches(one, n, mat.data, mat.indices, v)


def bcoo_multiply_sparse(lhs: BCOO, rhs: BCOO) -> BCOO:
    """The elementwise product of two sparse arrays of the same shape and layout.

    Returns:
      A BCOO array that stores an element for every pair of stored elements.
    Raises:
      ValueError, NotImplementedError: shapes or layouts differ.

    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_multiply_sparse(sparse.eye(2), sparse.eye(2)).todense())
    [[1. 0.]
     [0. 1.]]
    """
    if lhs.ndim != rhs.ndim:
        raise NotImplementedError(
            f"bcoo_multiply_sparse: arrays must have as many dimensions, got shapes {lhs.shape} and {rhs.shape}"
        )
    shape = np.broadcast_shapes(lhs.shape, rhs.shape)
    lhs, rhs = (
        m if m.shape == shape else bcoo_broadcast_in_dim(m, shape=shape, broadcast_dimensions=range(m.ndim))
        for m in (lhs, rhs)
    )
    if (lhs.n_batch, lhs.n_dense) != (rhs.n_batch, rhs.n_dense):
        raise NotImplementedError(
            "bcoo_multiply_sparse: arrays must have the same n_batch and n_dense; use update_layout"
        )
    data, indices = _common(lhs, rhs)
    return BCOO((data, indices), shape=shape)


@jit
def _common(lhs: BCOO, rhs: BCOO) -> Any:
    bound = bound_of(lhs)

    def one(x: Any, ix: Any, y: Any, iy: Any) -> Any:
        same = (ix[:, None] == iy[None, :]).all(-1) & (ix < bound).all(-1)[:, None]
        values = x[:, None] * y[None, :]
        values = np.where(spread(same, values.ndim), values, np.zeros((), values.dtype))
        places = np.where(same[..., None], ix[:, None], bound)
        pairs = same.size
        return values.reshape(pairs, *values.shape[2:]), places.reshape(pairs, bound.size)

    return over_batches(one, lhs.n_batch, lhs.data, lhs.indices, rhs.data, rhs.indices)


def bcoo_conv_general_dilated(
    lhs: Any,
    rhs: Any,
    *,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> BCOO:
    """A convolution of a sparse signal in one dimension: one batch, one feature, strides and dilations of 1.

    Args:
      lhs, rhs: BCOO arrays or arrays of shape `(1, 1, size)`, the signal and the window.
      padding: "SAME", "VALID" or one pair of widths.
    Returns:
      A BCOO array with an element for every pair of stored elements.
    Raises:
      NotImplementedError: the convolution is another one.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> x = sparse.BCOO.fromdense(np.array([[[0.0, 1.0, 0.0, 0.0]]]))
    >>> y = sparse.bcoo_conv_general_dilated(
    ...     x, np.array([[[1.0, 2.0, 3.0]]]), window_strides=(1,), padding="SAME"
    ... )
    >>> print(y.todense())
    [[[3. 2. 1. 0.]]]
    """
    if not _ones(window_strides):
        raise NotImplementedError("bcoo_conv_general_dilated: window_strides must be 1")
    if not _ones(lhs_dilation) or not _ones(rhs_dilation):
        raise NotImplementedError("bcoo_conv_general_dilated: dilations must be 1")
    if feature_group_count != 1 or batch_group_count != 1 or out_sharding is not None:
        raise NotImplementedError("bcoo_conv_general_dilated: there must be one group, and no out_sharding")
    conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    if (
        lhs.shape[:2] != (1, 1)
        or rhs.shape[:2] != (1, 1)
        or len(lhs.shape) != 3
        or dimension_numbers is not None
    ):
        raise NotImplementedError(
            "bcoo_conv_general_dilated: arrays must have shapes (1, 1, size), and dimension_numbers be the default"
        )
    x, y = (_line(m) for m in (lhs, rhs))
    out, low = _conv_size(x.shape[0], y.shape[0], padding)
    data = (masked(x)[:, None] * masked(y)[None, :]).reshape(-1)
    places = (x.indices[:, None, 0] + (y.shape[0] - 1 - y.indices[None, :, 0])).reshape(-1) - (
        y.shape[0] - 1 - low
    )
    ok = (places >= 0) & (places < out) & (inside(x)[:, None] & inside(y)[None, :]).reshape(-1)
    data, places = np.where(ok, data, 0), np.where(ok, places, out)
    if preferred_element_type is not None:
        data = data.astype(preferred_element_type)
    return BCOO((data[None, None], places[None, None, :, None]), shape=(1, 1, out))


def _ones(numbers: Any) -> bool:
    return numbers is None or all(d == 1 for d in numbers)


def _line(mat: Any) -> BCOO:
    """An array of shape `(1, 1, size)` as a sparse vector."""
    if not isinstance(mat, BCOO):
        mat = np.asarray(mat)
        places = np.arange(mat.shape[2], dtype=onp.int32)[:, None]
        return BCOO((mat.reshape(-1), places), shape=mat.shape[2:])
    if mat.n_dense or mat.n_batch not in (0, 2):
        raise NotImplementedError(
            "bcoo_conv_general_dilated: arrays must have n_batch 0 or 2 and no dense dimensions; use update_layout"
        )
    if mat.n_batch:
        return BCOO((mat.data[0, 0], mat.indices[0, 0]), shape=mat.shape[2:])
    indices = np.where(inside(mat)[:, None], mat.indices[:, 2:], mat.shape[2])
    return BCOO((mat.data, indices), shape=mat.shape[2:])


def _conv_size(size: int, window: int, padding: Any) -> tuple[int, int]:
    """The length of a convolution, and how much is padded before the signal."""
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise ValueError(
                f"bcoo_conv_general_dilated: padding must be 'SAME', 'VALID' or a pair, got {padding!r}"
            )
        width = window - 1 if padding.upper() == "SAME" else 0
        low, high = width // 2, width - width // 2
    else:
        ((low, high),) = padding
    return max(size + low + high - window + 1, 0), low

"""Rearranging BCOO arrays: transposition, reshaping, slices, concatenation, sums over axes.

Invariant: only indices move where that is possible; values that leave the bounds become padding, with the value zero.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as onp

from anima import numpy as np
from anima.experimental.sparse.bcoo import (
    BCOO,
    axes_of,
    bound_of,
    full_batches,
    inside,
    masked,
    over_batches,
    split_axes,
    spread,
    total,
)
from anima.experimental.sparse.bcoo_convert import bcoo_update_layout, limited
from anima.lax.gathering import GatherDimensionNumbers
from anima.lax.slicing import dynamic_slice


def bcoo_transpose(mat: BCOO, *, permutation: Sequence[int]) -> BCOO:
    """The array with its dimensions permuted, batch, sparse and dense ones each among themselves.

    Raises:
      TypeError: it is no permutation. NotImplementedError: dimensions of different kinds would mix.

    >>> from anima.experimental import sparse
    >>> sparse.bcoo_transpose(sparse.eye(2, 3), permutation=(1, 0)).shape
    (3, 2)
    """
    axes = tuple(operator.index(a) for a in permutation)
    if sorted(axes) != list(range(mat.ndim)):
        raise TypeError(
            f"bcoo_transpose: transpose permutation isn't a permutation of operand dimensions, got permutation {axes} for "
            f"shape {mat.shape}."
        )
    n, s = mat.n_batch, mat.n_sparse
    batch, places, dense = axes[:n], [a - n for a in axes[n : n + s]], [a - n - s for a in axes[n + s :]]
    if sorted(batch) != list(range(n)) or sorted(places) != list(range(s)):
        raise NotImplementedError(
            f"bcoo_transpose: the order {axes} would mix batch axes with non-batch ones, or sparse with dense ones, of an array "
            f"with n_batch={n} and n_dense={mat.n_dense}; change its layout with update_layout first"
        )
    indices = mat.indices if list(places) == list(range(s)) else mat.indices[..., onp.array(places, int)]
    indices = indices.transpose(*batch, n, n + 1)
    data = mat.data.transpose(*batch, n, *[n + 1 + a for a in dense])
    still = list(places) == list(range(s))
    return BCOO(
        (data, indices),
        shape=[mat.shape[a] for a in axes],
        indices_sorted=mat.indices_sorted and still,
        unique_indices=mat.unique_indices,
    )


def bcoo_reduce_sum(mat: BCOO, *, axes: Sequence[int]) -> BCOO:
    """Sums over axes. Elements that come to one place stay apart; `sum_duplicates` adds them.

    Raises:
      ValueError: an axis is repeated or out of range.

    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_reduce_sum(sparse.eye(3), axes=(0,)).todense())
    [1. 1. 1.]
    """
    given = axes_of("bcoo_reduce_sum", axes, mat.ndim)
    batch, places, dense = split_axes(mat, given)
    n = mat.n_batch
    data, indices = mat.data, mat.indices
    if places:
        data = masked(mat)
    data = data.sum([n + 1 + a for a in dense], dtype=mat.dtype) if dense else data
    left = [i for i in range(mat.n_sparse) if i not in places]
    indices = indices[..., onp.array(left, int)] if places else indices
    shape = [d for i, d in enumerate(mat.shape) if i not in given]
    if batch:
        full = mat.batch_shape
        data = np.broadcast_to(data, (*full, *data.shape[n:]))
        indices = np.broadcast_to(indices, (*full, *indices.shape[n:]))
        kept = [a for a in range(n) if a not in batch]
        sizes = [full[a] for a in kept]
        nse = total([full[a] for a in batch]) * mat.nse
        data = data.transpose(*kept, *batch, *range(n, data.ndim)).reshape(*sizes, nse, *data.shape[n + 1 :])
        indices = indices.transpose(*kept, *batch, n, n + 1).reshape(*sizes, nse, len(left))
    return BCOO((data, indices), shape=shape)


def bcoo_broadcast_in_dim(
    mat: BCOO, *, shape: Sequence[int], broadcast_dimensions: Sequence[int], sharding: Any = None
) -> BCOO:
    """The array repeated along new dimensions and along dimensions of size 1.

    New dimensions before the sparse ones are batches, those among dense ones dense, all others sparse.

    Args:
      mat: a BCOO array.
      shape: the new shape.
      broadcast_dimensions: for each dimension of `mat` its place in `shape`, increasing.
      sharding: only None.
    Raises:
      ValueError: the dimensions do not fit.

    >>> from anima.experimental import sparse
    >>> sparse.bcoo_broadcast_in_dim(sparse.eye(2), shape=(3, 2, 2), broadcast_dimensions=(1, 2))
    BCOO(float32[3, 2, 2], nse=2, n_batch=1)
    """
    if sharding is not None:
        raise ValueError("bcoo_broadcast_in_dim: sharding must be None for sparse arrays")
    shape, to = tuple(shape), tuple(broadcast_dimensions)
    if len(to) != mat.ndim or sorted(set(to)) != list(to) or any(not 0 <= d < len(shape) for d in to):
        raise ValueError(
            f"bcoo_broadcast_in_dim: broadcast_dimensions {to} must be {mat.ndim} increasing places in shape {shape}"
        )
    if any(mat.shape[i] not in (1, shape[d]) for i, d in enumerate(to)):
        raise ValueError(f"bcoo_broadcast_in_dim: {mat.shape} does not broadcast to {shape} along {to}")
    n, s = mat.n_batch, mat.n_sparse
    # Where each kind of dimension ends in the new shape.
    batch_end = to[n] if n < mat.ndim else (to[n - 1] + 1 if n else 0)
    sparse_end = to[n + s] if mat.n_dense else len(shape)
    if mat.n_dense and s:
        sparse_end = to[n + s - 1] + 1
    if not s:
        sparse_end = batch_end
    place = {d: i for i, d in enumerate(to)}
    data, indices = masked(mat), mat.indices
    columns, nse = [], mat.nse
    repeats = [d for d in range(batch_end, sparse_end) if d not in place or mat.shape[place[d]] != shape[d]]
    times = total([shape[d] for d in repeats])
    numbers = onp.indices([shape[d] for d in repeats]).reshape(len(repeats), times)
    outside = ~inside(mat) if s else np.zeros(indices.shape[:-1], bool)
    for d in range(batch_end, sparse_end):
        if d in repeats:
            new = np.asarray(onp.tile(numbers[repeats.index(d)], nse), indices.dtype)
            new = np.broadcast_to(new, (*indices.shape[:-2], nse * times))
        else:
            new = np.repeat(indices[..., place[d] - n], times, axis=n)
        columns.append(np.where(np.repeat(outside, times, axis=n), shape[d], new).astype(indices.dtype))
    data = np.repeat(data, times, axis=n) if times != 1 else data
    indices = (
        np.stack(columns, -1) if columns else np.zeros((*indices.shape[:-2], nse * times, 0), indices.dtype)
    )
    # Batch and dense dimensions as of ordinary arrays.
    batch = shape[:batch_end]
    dense = shape[sparse_end:]
    sizes = [mat.data.shape[place[d]] if d in place else 1 for d in range(batch_end)]
    data = data.reshape(
        *sizes,
        nse * times,
        *[mat.shape[place[d]] if d in place else 1 for d in range(sparse_end, len(shape))],
    )
    data = np.broadcast_to(data, (*batch, nse * times, *dense))
    sizes = [mat.indices.shape[place[d]] if d in place else 1 for d in range(batch_end)]
    indices = np.broadcast_to(indices.reshape(*sizes, *indices.shape[n:]), (*batch, *indices.shape[n:]))
    return BCOO((data, indices), shape=shape)


def _check_concatenation(operands: Sequence[BCOO], axis: int) -> None:
    if not operands:
        raise ValueError("bcoo_concatenate requires a non-empty sequence of arrays")
    if not all(isinstance(m, BCOO) for m in operands):
        raise ValueError("bcoo_concatenate requires operands to be BCOO arrays")
    first = operands[0]
    shapes = ", ".join(str(m.shape) for m in operands)
    if any(m.ndim != first.ndim for m in operands):
        raise TypeError(
            f"bcoo_concatenate: Cannot concatenate arrays with different numbers of dimensions: got {shapes}."
        )
    if not 0 <= axis < first.ndim:
        raise TypeError(
            f"bcoo_concatenate: concatenate dimension out of bounds: dimension {axis} for shapes {shapes}."
        )
    if any(
        m.shape[:axis] + m.shape[axis + 1 :] != first.shape[:axis] + first.shape[axis + 1 :] for m in operands
    ):
        raise TypeError(
            f"bcoo_concatenate: Cannot concatenate arrays with shapes that differ in dimensions other than the one being "
            f"concatenated: concatenating along dimension {axis} for shapes {shapes}."
        )
    if any((m.n_batch, m.n_dense) != (first.n_batch, first.n_dense) for m in operands):
        raise ValueError(
            "bcoo_concatenate requires operands with equal n_batch and n_dense; use update_layout"
        )


def bcoo_concatenate(operands: Sequence[BCOO], *, dimension: int) -> BCOO:
    """Arrays one after the other along a dimension.

    Raises:
      TypeError, ValueError: there is none, or shapes or layouts do not fit together.

    >>> from anima.experimental import sparse
    >>> sparse.bcoo_concatenate([sparse.eye(2), sparse.eye(2)], dimension=0)
    BCOO(float32[4, 2], nse=4)
    """
    operands, axis = list(operands), operator.index(dimension)
    _check_concatenation(operands, axis)
    first = operands[0]
    size = sum(m.shape[axis] for m in operands)
    shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
    n = first.n_batch
    if axis < n:
        pairs = [full_batches(_with_nse(m, max(m.nse for m in operands))) for m in operands]
        joined = [np.concatenate(part, axis) for part in zip(*pairs)]
        return BCOO((joined[0], joined[1]), shape=shape)
    start, values, places = 0, [], []
    for m in operands:
        data, indices = full_batches(m)
        if axis < n + m.n_sparse:
            new = shape[n : n + m.n_sparse]
            moved = indices + onp.array(
                [start if n + i == axis else 0 for i in range(m.n_sparse)], indices.dtype
            )
            indices = np.where(inside(m)[..., None], moved, onp.array(new, indices.dtype))
            data = masked(m)
        else:
            width = [(0, 0)] * data.ndim
            width[axis - m.n_sparse + 1] = (start, size - start - m.shape[axis])
            data = np.pad(data, width)
        start += m.shape[axis]
        values.append(np.broadcast_to(data, (*m.batch_shape, *data.shape[n:])))
        places.append(indices)
    return BCOO((np.concatenate(values, n), np.concatenate(places, n)), shape=shape)


def _with_nse(mat: BCOO, nse: int) -> BCOO:
    """The same array with padding at the end."""
    n, more = mat.n_batch, nse - mat.nse
    if not more:
        return mat
    data = np.pad(mat.data, [(0, more if i == n else 0) for i in range(mat.data.ndim)])
    fill = np.broadcast_to(bound_of(mat), (*mat.indices.shape[:n], more, mat.n_sparse))
    return BCOO((data, np.concatenate([mat.indices, fill], n)), shape=mat.shape)


def _division(mat: BCOO, new: tuple[int, ...]) -> tuple[int, int]:
    """Where the sparse and the dense dimensions of a new shape begin.

    Raises:
      ValueError: the shape would mix dimensions of different kinds.
    """

    def end(start: int, wanted: int, rest: int) -> int | None:
        places = [i for i in range(start, len(new) + 1) if total(new[start:i]) == wanted]
        places = [i for i in places if total(new[i:]) == rest]
        return places[0] if places else None

    places, dense = total(mat.sparse_shape), total(mat.dense_shape)
    first = end(0, total(mat.batch_shape), places * dense) if mat.n_batch else 0
    text = f"got shape={mat.shape} new_shape={new} with"
    if first is None:
        raise ValueError(
            f"bcoo_reshape: the sizes cannot mix batch and sparse dimensions: {text} n_batch={mat.n_batch}"
        )
    last = end(first, places, dense) if mat.n_dense else len(new)
    if last is None or total(new[first:last]) != places:
        raise ValueError(
            f"bcoo_reshape: new shape cannot mix sparse and dense dimensions; {text} n_dense={mat.n_dense}"
        )
    return first, last


def bcoo_reshape(
    mat: BCOO, *, new_sizes: Sequence[int], dimensions: Sequence[int] | None = None, sharding: Any = None
) -> BCOO:
    """The array with another shape; batch, sparse and dense dimensions each keep their number of elements.

    Args:
      mat: a BCOO array.
      new_sizes: the new shape.
      dimensions: a permutation to apply before.
      sharding: only None.
    Raises:
      ValueError: the sizes do not fit, or dimensions of different kinds would mix.

    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_reshape(sparse.eye(2), new_sizes=(4,)).todense())
    [1. 0. 0. 1.]
    """
    if sharding is not None:
        raise ValueError("bcoo_reshape: sharding must be None for sparse arrays")
    if dimensions is not None and tuple(dimensions) != tuple(range(mat.ndim)):
        mat = bcoo_transpose(mat, permutation=dimensions)
    new = tuple(operator.index(d) for d in new_sizes)
    first, last = _division(mat, new)
    data, indices = masked(mat), mat.indices
    if new[:first] != mat.batch_shape:
        data = np.broadcast_to(data, (*mat.batch_shape, *data.shape[mat.n_batch :]))
        indices = full_batches(mat)[1]
        batches = (new[:first], new[:first])
    else:
        batches = (data.shape[: mat.n_batch], indices.shape[: mat.n_batch])
    if new[first:last] != mat.sparse_shape:
        keep, flat = inside(mat), np.zeros((), indices.dtype)
        keep = np.broadcast_to(keep, indices.shape[:-1])
        for i, size in enumerate(mat.sparse_shape):
            flat = flat * size + indices[..., i]
        columns = []
        for size in reversed(new[first:last]):
            columns.append(np.where(keep, flat % max(size, 1), size))
            flat = flat // max(size, 1)
        shape = (*indices.shape[:-1], last - first)
        indices = (
            np.stack(columns[::-1], -1).astype(mat.indices.dtype)
            if columns
            else np.zeros(shape, mat.indices.dtype)
        )
    indices = indices.reshape(*batches[1], *indices.shape[mat.n_batch :])
    return BCOO((data.reshape(*batches[0], mat.nse, *new[last:]), indices), shape=new)


def bcoo_rev(operand: BCOO, dimensions: Sequence[int]) -> BCOO:
    """The array reversed along dimensions.

    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_rev(sparse.eye(2), (0,)).todense())
    [[0. 1.]
     [1. 0.]]
    """
    batch, places, dense = split_axes(operand, axes_of("bcoo_rev", dimensions, operand.ndim))
    data, indices, n = operand.data, operand.indices, operand.n_batch
    data = np.flip(data, [*batch, *(n + 1 + a for a in dense)])
    indices = np.flip(indices, batch)
    if places:
        bound = bound_of(operand)
        turned = onp.isin(onp.arange(operand.n_sparse), places)
        moved = np.where(turned, bound - 1 - indices, indices)
        indices = np.where((indices < bound).all(-1, keepdims=True), moved, bound)
    return BCOO(
        (data, indices),
        shape=operand.shape,
        indices_sorted=operand.indices_sorted and not places,
        unique_indices=operand.unique_indices,
    )


def bcoo_squeeze(arr: BCOO, *, dimensions: Sequence[int]) -> BCOO:
    """The array without dimensions of size 1.

    Raises:
      ValueError: a dimension has another size, or is out of range.

    >>> from anima.experimental import sparse
    >>> sparse.bcoo_squeeze(sparse.eye(1, 3), dimensions=(0,)).shape
    (3,)
    """
    axes = axes_of("bcoo_squeeze", dimensions, arr.ndim)
    if any(arr.shape[a] != 1 for a in axes):
        raise ValueError(
            f"bcoo_squeeze: cannot select an axis to squeeze out which has size not equal to one, got shape={arr.shape} and "
            f"dimensions={axes}"
        )
    batch, places, dense = split_axes(arr, axes)
    n = arr.n_batch
    data = masked(arr) if places else arr.data
    data = data.squeeze((*batch, *(n + 1 + a for a in dense)))
    left = onp.array([i for i in range(arr.n_sparse) if i not in places], int)
    indices = arr.indices[..., left] if places else arr.indices
    return BCOO(
        (data, indices.squeeze(tuple(batch))),
        shape=[d for i, d in enumerate(arr.shape) if i not in axes],
        indices_sorted=arr.indices_sorted,
        unique_indices=arr.unique_indices,
    )


def _part(mat: BCOO, starts: Sequence[Any], sizes: Sequence[int], strides: Sequence[int]) -> BCOO:
    """Every `strides`-th of what begins at `starts`, of static or traced places, in the sparse dimensions."""
    if list(sizes) == list(mat.sparse_shape):
        return mat
    dtype = mat.indices.dtype
    start = np.stack([np.asarray(s).astype(dtype) for s in starts])
    step, bound = onp.array(strides, dtype), onp.array(sizes, dtype)
    away = mat.indices - start
    keep = (away >= 0) & (away % step == 0) & (away // step < bound) & (mat.indices < bound_of(mat))
    keep = keep.all(-1)
    indices = np.where(keep[..., None], away // step, bound)
    data = np.where(spread(keep, mat.data.ndim), mat.data, np.zeros((), mat.dtype))
    return limited(BCOO((data, indices), shape=(*mat.batch_shape, *sizes, *mat.dense_shape)))


def bcoo_slice(
    mat: BCOO,
    *,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> BCOO:
    """A part of an array with static bounds, as `lax.slice` takes it.

    Raises:
      ValueError: bounds or strides do not fit the shape.

    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_slice(sparse.eye(3), start_indices=(1, 0), limit_indices=(2, 3)).todense())
    [[0. 1. 0.]]
    """
    starts, limits = tuple(map(operator.index, start_indices)), tuple(map(operator.index, limit_indices))
    steps = (1,) * mat.ndim if strides is None else tuple(map(operator.index, strides))
    lengths = {len(starts), len(limits), len(steps)}
    if lengths != {mat.ndim} or any(
        not 0 <= a <= b <= d or s <= 0 for a, b, d, s in zip(starts, limits, mat.shape, steps)
    ):
        raise ValueError(
            f"bcoo_slice: invalid indices. Got start_indices={starts}, limit_indices={limits}, strides={steps} and "
            f"shape={mat.shape}"
        )
    n, s = mat.n_batch, mat.n_sparse
    cut = [slice(a, b, c) for a, b, c in zip(starts, limits, steps)]
    data, indices = (
        (mat.data, mat.indices) if cut[:n] == [slice(0, d, 1) for d in mat.shape[:n]] else full_batches(mat)
    )
    if n:
        data, indices = (
            x[tuple(slice(None) if d == 1 else c for d, c in zip(x.shape, cut[:n]))] for x in (data, indices)
        )
    data = data[(*[slice(None)] * (n + 1), *cut[n + s :])]
    sizes = [-(-(b - a) // c) for a, b, c in zip(starts, limits, steps)]
    middle = BCOO((data, indices), shape=(*sizes[:n], *mat.sparse_shape, *sizes[n + s :]))
    return _part(middle, starts[n : n + s], sizes[n : n + s], steps[n : n + s])


def bcoo_dynamic_slice(mat: BCOO, start_indices: Sequence[Any], slice_sizes: Sequence[int]) -> BCOO:
    """A part of an array with static sizes, as `lax.dynamic_slice` takes it: starts are moved so that the part fits.

    Raises:
      ValueError: sizes do not fit the shape.

    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_dynamic_slice(sparse.eye(3), (1, 1), (1, 2)).todense())
    [[1. 0.]]
    """
    starts, sizes = list(start_indices), tuple(map(operator.index, slice_sizes))
    if (
        len(starts) != mat.ndim
        or len(sizes) != mat.ndim
        or any(not 0 <= s <= d for s, d in zip(sizes, mat.shape))
    ):
        raise ValueError(
            f"bcoo_dynamic_slice: {len(starts)} start_indices and slice_sizes={sizes} do not fit shape={mat.shape}"
        )
    places = []
    for start, size, dim in zip(starts, sizes, mat.shape):
        start = np.asarray(start)
        places.append(np.clip(np.where(start < 0, start + dim, start), 0, dim - size).astype(onp.int32))
    n, s = mat.n_batch, mat.n_sparse
    data, indices = full_batches(mat) if sizes[:n] != mat.batch_shape else (mat.data, mat.indices)
    if sizes[:n] != mat.batch_shape:
        indices = dynamic_slice(indices, (*places[:n], 0, 0), (*sizes[:n], *indices.shape[n:]))
    else:
        places[:n] = [0] * n
    where = (*places[:n], 0, *places[n + s :])
    extent = sizes[:n] if sizes[:n] != mat.batch_shape else data.shape[:n]
    data = dynamic_slice(data, where, (*extent, mat.nse, *sizes[n + s :]))
    middle = BCOO((data, indices), shape=(*sizes[:n], *mat.sparse_shape, *sizes[n + s :]))
    return _part(middle, places[n : n + s], sizes[n : n + s], [1] * s)


def bcoo_gather(
    operand: BCOO,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> BCOO:
    """Windows of an array, as `lax.gather` takes them; indices out of bounds are moved so that the window fits.

    The dimensions of `start_indices` are batches of the result, if they come first in it.

    Raises:
      NotImplementedError: `dimension_numbers` has batching dimensions, or `mode` asks for filling.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> print(sparse.eye(3)[np.array([2, 0])].todense())
    [[0. 0. 1.]
     [1. 0. 0.]]
    """
    numbers = dimension_numbers
    if numbers.operand_batching_dims:
        raise NotImplementedError(
            "bcoo_gather: dimension_numbers must have no batching dimensions for sparse arrays"
        )
    if fill_value is not None or (mode is not None and "fill" in str(mode).lower()):
        raise NotImplementedError(
            "bcoo_gather: mode 'fill' would store an element for every place; use mode='clip'"
        )
    starts = np.asarray(start_indices)
    axes, collapsed = numbers.start_index_map, numbers.collapsed_slice_dims
    sizes = tuple(slice_sizes)

    def window(at: Any) -> BCOO:
        where: list[Any] = [0] * operand.ndim
        for i, axis in enumerate(axes):
            where[axis] = np.maximum(at[i], 0)  # a negative start is not one from the end here
        part = bcoo_dynamic_slice(operand, where, sizes)
        return bcoo_squeeze(part, dimensions=collapsed) if collapsed else part

    count = starts.ndim - 1
    found = over_batches(window, count, starts) if count else window(starts)
    rank = found.ndim
    rest = iter(range(count))
    windows = iter(range(count, rank))
    order = [next(windows) if d in numbers.offset_dims else next(rest) for d in range(rank)]
    if order == list(range(rank)):
        return found
    if order[: found.n_batch] != list(range(found.n_batch)):
        found = bcoo_update_layout(found, n_batch=0, n_dense=0)
    return bcoo_transpose(found, permutation=order)

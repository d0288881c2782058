"""Slices at fixed and computed places, gathers and scatters.

The oracles of gather and scatter are written from the definition in the StableHLO specification, an index vector at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from anima import dtypes, lax
from tests.lax.samples import F32, I32, Sample, complexes, floats, integers

X = floats((4, 5))
CUBE = floats((4, 5, 3))

# --- slices -----------------------------------------------------------------------------------


def places(starts: Sequence[Any], sizes: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """A slice at computed places: negative ones count from the end, and it is moved to where it fits."""
    result = []
    for start, size, n in zip(starts, sizes, shape):
        start = int(start) + (n if start < 0 else 0)
        start = min(max(start, 0), n - size)
        result.append(slice(start, start + size))
    return tuple(result)


def updated(x: np.ndarray, update: np.ndarray, *starts: Any) -> np.ndarray:
    out = x.copy()
    out[places(starts, update.shape, x.shape)] = update
    return out


STARTS = [(1, 2), (3, -2), (-9, 9), (-1, 0)]
SLICES = [
    *(
        Sample(
            primitive="slice",
            call=lambda x, lo=lo, hi=hi, step=step: lax.slice(x, lo, hi, step),
            args=(X,),
            oracle=lambda x, lo=lo, hi=hi, step=step: x[tuple(map(slice, lo, hi, step or (1, 1)))],
        )
        for lo, hi, step in (
            ((1, 0), (3, 5), (1, 2)),
            ((0, 1), (4, 3), None),
            ((2, 2), (2, 5), (1, 2)),
            ((0, 0), (4, 5), (5, 4)),
            ((1, 1), (2, 5), (3, 3)),
        )
    ),
    Sample(
        primitive="slice", call=lambda x: lax.slice_in_dim(x, -3, -1), args=(X,), oracle=lambda x: x[-3:-1]
    ),
    Sample(
        primitive="slice",
        call=lambda x: lax.slice_in_dim(x, None, None, 2, axis=-1),
        args=(complexes((2, 5)),),
        oracle=lambda x: x[:, ::2],
    ),
    Sample(
        primitive="slice", call=lambda x: lax.index_in_dim(x, -1, 1), args=(X,), oracle=lambda x: x[:, -1:]
    ),
    Sample(
        primitive="slice",
        call=lambda x: lax.index_in_dim(x, 2, 0, keepdims=False),
        args=(X,),
        oracle=lambda x: x[2],
    ),
    *(
        Sample(
            primitive="dynamic_slice",
            call=lambda x, i, j: lax.dynamic_slice(x, (i, j), (2, 3)),
            args=(X, I32(i), I32(j)),
            oracle=lambda x, i, j: x[places((i, j), (2, 3), x.shape)],
            typed=(0,),
        )
        for i, j in STARTS
    ),
    Sample(
        primitive="dynamic_slice",
        call=lambda x, starts: lax.dynamic_slice(x, starts, (2, 3)),
        args=(X, np.array([1, -3], I32)),
        oracle=lambda x, starts: x[places(starts, (2, 3), x.shape)],
    ),
    Sample(
        primitive="dynamic_slice",
        call=lambda x, i: lax.dynamic_slice_in_dim(x, i, 2, axis=-1),
        args=(X, np.uint8(250)),
        oracle=lambda x, i: x[:, 3:] if i >= 3 else x[:, int(i) : int(i) + 2],
    ),
    Sample(
        primitive="dynamic_slice",
        call=lambda x, i: lax.dynamic_index_in_dim(x, i, 1, keepdims=False),
        args=(X, I32(-2)),
        oracle=lambda x, i: x[:, places((i,), (1,), (5,))[0]][:, 0],
    ),
    Sample(
        primitive="dynamic_slice",
        call=lambda x: lax.dynamic_slice(x, (-2, 7), (2, 3)),
        args=(X,),
        oracle=lambda x: x[2:, 2:],
    ),
    *(
        Sample(
            primitive="dynamic_update_slice",
            call=lambda x, u, i, j: lax.dynamic_update_slice(x, u, (i, j)),
            args=(X, floats((2, 3), 5.0, 9.0), I32(i), I32(j)),
            oracle=updated,
            typed=(0, 1),
        )
        for i, j in STARTS
    ),
    Sample(
        primitive="dynamic_update_slice",
        call=lambda x, u, i: lax.dynamic_update_slice_in_dim(x, u, i, 1),
        args=(X, floats((4, 2), 5.0, 9.0), I32(-1)),
        oracle=lambda x, u, i: updated(x, u, 0, i),
    ),
    Sample(
        primitive="dynamic_update_slice",
        call=lambda x, u, i: lax.dynamic_update_index_in_dim(x, u, i, 1),
        args=(X, floats((4,), 5.0, 9.0), I32(2)),
        oracle=lambda x, u, i: updated(x, u[:, None], 0, i),
    ),
]

# --- gather -----------------------------------------------------------------------------------

Numbers = tuple[Sequence[int], ...]


def windows(
    shape: Sequence[int], indices: np.ndarray, numbers: Numbers, sizes: Sequence[int], clip: bool
) -> Iterator[tuple[tuple[int, ...], list[int] | None]]:
    """For each index vector its place among the vectors, and the corner of its window (None: out of bounds)."""
    _, _, index_map, x_batch, index_batch = numbers
    for place in itertools.product(*map(range, indices.shape[:-1])):
        corner = [0] * len(shape)
        for component, d in enumerate(index_map):
            corner[d] = int(indices[(*place, component)])
        for d, along in zip(x_batch, index_batch):
            corner[d] = place[along]
        fits = all(0 <= c <= n - s for c, n, s in zip(corner, shape, sizes))
        if clip:
            corner = [min(max(c, 0), n - s) for c, n, s in zip(corner, shape, sizes)]
        yield place, corner if fits or clip else None


def gathered(
    x: np.ndarray, indices: np.ndarray, numbers: Numbers, sizes: Sequence[int], clip: bool, fill: Any
) -> np.ndarray:
    offset_dims, collapsed, _, x_batch, _ = numbers
    kept = [d for d in range(x.ndim) if d not in collapsed and d not in x_batch]
    window = tuple(sizes[d] for d in kept)
    out = np.full(indices.shape[:-1] + window, fill, x.dtype)
    for place, corner in windows(x.shape, indices, numbers, sizes, clip):
        if corner is not None:
            part = x[tuple(slice(c, c + s) for c, s in zip(corner, sizes))]
            out[place] = part.reshape(window)
    batch = indices.ndim - 1
    return np.moveaxis(out, range(batch, batch + len(window)), offset_dims)


def default_fill(dtype: Any) -> Any:
    if dtypes.is_inexact(dtype):
        return np.nan
    if dtypes.is_bool(dtype):
        return True
    return dtypes.iinfo(dtype).min if dtypes.is_signed_int(dtype) else dtypes.iinfo(dtype).max


def gather_sample(
    x: np.ndarray, indices: np.ndarray, numbers: Numbers, sizes: Sequence[int], mode: Any, fill: Any = None
) -> Sample:
    full: Any = tuple(numbers) + ((), ()) if len(numbers) == 3 else numbers
    return Sample(
        primitive="gather",
        call=lambda x, i: lax.gather(
            x, i, lax.GatherDimensionNumbers(*full), sizes, mode=mode, fill_value=fill
        ),
        args=(x, indices),
        oracle=lambda x, i: gathered(
            x, i, full, sizes, mode != "fill", default_fill(x.dtype) if fill is None else fill
        ),
        # the default fill value has no neighbours to compare with
        differentiate=mode != "fill" or fill is not None,
        typed=(0,),
    )


ROWS = np.array([[0], [3], [-1], [7], [3]], I32)
PAIRS = np.array([[[0, 1], [4, 3]], [[-1, 2], [2, 9]], [[1, 1], [1, 1]]], I32)
# name: (operand, indices, dimension numbers, slice sizes)
GATHERS: dict[str, tuple[np.ndarray, np.ndarray, Numbers, Sequence[int]]] = {
    "rows": (X, ROWS, ((1,), (0,), (0,)), (1, 5)),
    "windows": (CUBE, ROWS, ((1, 2, 3), (), (0,)), (2, 5, 2)),
    "elements": (CUBE, PAIRS, ((2,), (0, 1), (1, 0)), (1, 1, 3)),
    "slices first": (CUBE, PAIRS, ((0,), (0, 1), (1, 0)), (1, 1, 2)),
    "batched": (X, np.array([[[1], [0]], [[4], [2]], [[9], [3]], [[-1], [1]]], I32), ((), (1,), (1,), (0,), (0,)), (1, 1)),
    "batched last": (CUBE, integers((6, 3, 1), -1, 4), ((1,), (0,), (0,), (2,), (1,)), (1, 5, 1)),
    "bytes": (X, np.array([[0], [200], [3]], np.uint8), ((1,), (0,), (0,)), (1, 5)),
    "no vectors": (X, np.zeros((0, 1), I32), ((1,), (0,), (0,)), (1, 5)),
    "scalar place": (X, np.array([2, 3], I32), ((), (0, 1), (0, 1)), (1, 1)),
}  # fmt: skip
GATHER = [
    *(gather_sample(*row, mode="fill", fill=1) for row in GATHERS.values()),
    *(gather_sample(*row, mode="clip") for row in GATHERS.values()),
    *(gather_sample(GATHERS["rows"][0].astype(t), *GATHERS["rows"][1:], mode="fill") for t in (F32, I32, np.uint8, bool)),
    Sample(
        primitive="gather",
        call=lambda x, i, j: lax.index_take(x, (i, j), (2, 0)),
        args=(CUBE, np.array([0, -1, 7], I32), np.array([1, 2, -9], I32)),
        oracle=lambda x, i, j: x[j % 4, :, i % 3],
    ),
]  # fmt: skip

# --- scatter ----------------------------------------------------------------------------------


def scattered(combine: Callable[[Any, Any], Any]) -> Callable[..., np.ndarray]:
    """The oracle of a scatter: updates in order."""

    def oracle(
        x: np.ndarray, indices: np.ndarray, updates: np.ndarray, numbers: Numbers, clip: bool
    ) -> np.ndarray:
        window_dims, inserted, _, x_batch, _ = numbers
        ordered = np.moveaxis(updates, window_dims, range(indices.ndim - 1, updates.ndim))
        window = list(ordered.shape[indices.ndim - 1 :])
        sizes = [1 if d in inserted or d in x_batch else window.pop(0) for d in range(x.ndim)]
        out = x.copy()
        for place, corner in windows(x.shape, indices, numbers, sizes, clip):
            if corner is not None:
                at = tuple(slice(c, c + s) for c, s in zip(corner, sizes))
                out[at] = combine(out[at], ordered[place].reshape(sizes)).astype(x.dtype)
        return out

    return oracle


COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "scatter": lambda old, new: new,
    "scatter_add": lambda old, new: old + new,
    "scatter_sub": lambda old, new: old - new,
    "scatter_mul": lambda old, new: old * new,
    "scatter_min": np.minimum,
    "scatter_max": np.maximum,
}


def scatter_sample(name: str, key: str, mode: str, unique: bool = False) -> Sample:
    x, indices, numbers, sizes = GATHERS[key]
    full: Any = tuple(numbers) + ((), ()) if len(numbers) == 3 else numbers
    shape = gathered(x, indices.astype(np.int64), full, sizes, True, 0).shape
    updates = floats(shape, 2.1, 3.3) if unique else floats(shape, -2.1, 2.3)
    kwargs = {"mode": mode, "unique_indices": unique}
    oracle = scattered(COMBINE[name])
    exact = name in ("scatter", "scatter_min", "scatter_max")
    return Sample(
        primitive=name.replace("_", "-"),
        call=lambda x, i, u: getattr(lax, name)(x, i, u, lax.ScatterDimensionNumbers(*full), **kwargs),
        args=(x, indices, updates.astype(x.dtype)),
        oracle=lambda x, i, u: oracle(x, i, u, full, mode == "clip"),
        ulps=0 if exact else 8,
        floor=0 if exact else 1.0,
        flush=exact,
        typed=(0, 2),
        cpu_only=name == "scatter" and not unique,
        # the derivative of a product by its factors is known for distinct places only
        differentiate=(0,) if name == "scatter_mul" and not unique else True,
    )


SCATTER = [
    *(
        scatter_sample(name, key, mode)
        for name in COMBINE
        for key, mode in (
            ("rows", "drop"),
            ("rows", "clip"),
            ("windows", "drop"),
            ("elements", "drop"),
            ("slices first", "clip"),
            ("batched", "drop"),
            ("batched last", "drop"),
            ("bytes", "drop"),
            ("no vectors", "drop"),
        )
    ),
    *(scatter_sample(name, "scalar place", "drop", unique=True) for name in COMBINE),
]

_APPLIED = np.array([[0], [2]], I32)


def applied(fun: Callable[[Any], Any]) -> Callable[..., np.ndarray]:
    def oracle(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        out = x.copy()
        for (i,) in indices:
            if 0 <= i < len(out):
                out[i] = fun(out[i])
        return out

    return oracle


APPLY = [
    Sample(
        primitive="scatter_apply",
        call=lambda x, i: lax.scatter_apply(
            x, i, lambda v: lax.add(v, v), lax.ScatterDimensionNumbers((1,), (0,), (0,)), update_shape=(2, 5), unique_indices=True
        ),
        args=(X, _APPLIED),
        oracle=applied(lambda v: v + v),
        cpu_only=True,  # XLA's compiler for GPUs crashes on it
        typed=(0,),
        mapped=False,
        only=("int32", "uint8", "float32", "float64", "bfloat16", "complex64"),
    ),
    Sample(
        primitive="scatter_apply",
        call=lambda x, i: lax.scatter_apply(x, i, lax.sin, lax.ScatterDimensionNumbers((1,), (0,), (0,)), update_shape=(3, 5)),
        args=(X, np.array([[1], [1], [5]], I32)),
        oracle=applied(np.sin),
        ulps=4,
        only=("float32", "float64", "complex64"),
        differentiate=False,
    ),
]  # fmt: skip

SAMPLES = [*SLICES, *GATHER, *SCATTER, *APPLY]

"""Sorting, and the largest elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes, lax
from tests.lax.samples import C64, F32, Sample, booleans, complexes, floats, integers

X = floats((3, 5))
SPECIAL = np.array([3.0, np.nan, -np.inf, -0.0, 0.0, 1.0, np.inf, 0.0, -0.0, -1.0], F32)
PARTS = np.array([1 + 2j, 1 - 1j, 0 + 5j, 1 - 2j, complex(1, np.nan), complex(np.nan, 1), 0 - 5j], C64)


def key_of(value: Any) -> tuple[Any, ...]:
    """What a number is ordered by: NaNs last, zeros equal."""
    if isinstance(value, (complex, np.complexfloating)):
        return key_of(value.real) + key_of(value.imag)
    number = int(value) if isinstance(value, (np.integer, np.bool_)) else float(value)
    return (number != number, number if number == number else 0)


def together(*arrays: np.ndarray, axis: int = -1, num_keys: int = 1) -> tuple[np.ndarray, ...]:
    """Stable, by the first `num_keys` arrays; in Python, to be right for every dtype."""
    moved = [np.moveaxis(a, axis, -1) for a in arrays]
    out = [m.copy() for m in moved]
    for row in np.ndindex(moved[0].shape[:-1]):
        keys = [[key_of(v) for v in m[row]] for m in moved[:num_keys]]
        order = sorted(range(moved[0].shape[-1]), key=lambda i: [k[i] for k in keys])
        for m, o in zip(moved, out):
            o[row] = m[row][order]
    return tuple(np.moveaxis(o, -1, axis) for o in out)


def sort_sample(x: np.ndarray, axis: int = -1, **more: Any) -> Sample:
    return Sample(
        primitive="sort",
        call=lambda x: lax.sort(x, axis),
        args=(x,),
        oracle=lambda x: together(x, axis=axis)[0],
        **more,
    )


def largest(x: np.ndarray, k: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    moved = np.moveaxis(x, axis, -1)
    places = np.zeros((*moved.shape[:-1], k), np.int32)
    for row in np.ndindex(moved.shape[:-1]):
        values = [(key_of(v), not np.signbit(float(v))) for v in moved[row]]
        places[row] = sorted(range(len(values)), key=lambda i: _descending(values[i], i))[:k]
    found = np.take_along_axis(moved, places.astype(np.int64), -1)
    return np.moveaxis(found, -1, axis), np.moveaxis(places, -1, axis)


def _descending(value: Any, place: int) -> tuple[Any, ...]:
    (nan, number), positive = value
    return (not nan, -number, not positive, place)


def top_sample(x: np.ndarray, k: int, axis: int = -1, **more: Any) -> Sample:
    return Sample(
        primitive="top_k",
        call=lambda x: tuple(lax.top_k(x, k, axis=axis)),
        args=(x,),
        oracle=lambda x: largest(x, k, axis),
        **more,
    )


SAMPLES = [
    sort_sample(X),
    sort_sample(X, 0),
    sort_sample(SPECIAL, differentiate=False),
    sort_sample(integers((4, 6), -2, 3)),
    sort_sample(booleans((3, 5)), 0),
    sort_sample(complexes((2, 6))),
    sort_sample(PARTS, differentiate=False),
    sort_sample(np.zeros((0, 3), F32), 0),
    sort_sample(floats((2, 3, 1)), 1),
    Sample(
        primitive="sort",
        call=lambda x: lax.sort(x, is_stable=False),
        args=(floats((40,)),),
        oracle=np.sort,
    ),
    *(
        Sample(
            primitive="sort",
            call=lambda k, x, n=n: lax.sort((k, x), dimension=0, num_keys=n),
            args=(integers((6, 3), 0, 3), floats((6, 3))),
            oracle=lambda k, x, n=n: together(k, x, axis=0, num_keys=n),
        )
        for n in (1, 2)
    ),
    Sample(
        primitive="sort",
        call=lambda k, x: lax.sort_key_val(k, x),
        args=(X, -X[::-1].copy()),
        oracle=lambda k, x: together(k, x),
    ),
    top_sample(X, 3),
    top_sample(X, 2, 0),
    top_sample(X, 0),
    top_sample(floats((2, 3, 4)), 2, 1),
    top_sample(SPECIAL, 10, differentiate=False),
    top_sample(integers((4, 6), -2, 3), 4),
    top_sample(integers((6,), -128, 127, np.int8), 6),
    top_sample(booleans((7,)), 5),
    top_sample(floats((5,), dtype=dtypes.bfloat16), 3),
]

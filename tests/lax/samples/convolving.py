"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes, lax
from tests.lax.samples import F32, F64, Sample, complexes, floats, integers


def spread(x: np.ndarray, pads: Sequence[tuple[int, int]], steps: Sequence[int], fill: Any = 0) -> np.ndarray:
    """The array with its last dimensions moved apart and padded, or cut where padding is negative."""
    for d, ((lo, hi), step) in enumerate(zip(pads, steps), x.ndim - len(pads)):
        n = x.shape[d]
        size = (n - 1) * step + 1 if n else 0
        margin = abs(lo) + abs(hi)
        wide = np.full((*x.shape[:d], size + 2 * margin, *x.shape[d + 1 :]), fill, x.dtype)
        front = (slice(None),) * d
        wide[(*front, slice(margin, margin + size, step))] = x
        x = wide[(*front, slice(margin - lo, margin + size + hi))]
    return x


def convolution(
    x: np.ndarray,
    w: np.ndarray,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    numbers: Any = None,
    feature_groups: int = 1,
    batch_groups: int = 1,
) -> np.ndarray:
    """By its definition, a window at a time; integers wrap around, booleans say whether any pair is True."""
    rank = x.ndim - 2
    dtype = x.dtype
    if dtypes.is_int(dtype) or dtypes.is_bool(dtype):
        x, w = x.astype(np.int64), w.astype(np.int64)
    names = numbers or ("NCABDE"[: rank + 2], "OIABDE"[: rank + 2], "NCABDE"[: rank + 2])
    spatial = [c for c in names[1] if c not in "OI"]
    x = np.transpose(x, [names[0].index(c) for c in ["N", "C", *spatial]])
    w = np.transpose(w, [names[1].index(c) for c in ["O", "I", *spatial]])
    ones = (1,) * rank
    x, w = spread(x, pads, lhs_dilation or ones), spread(w, ((0, 0),) * rank, rhs_dilation or ones)
    places = [max((n - k) // s + 1, 0) for n, k, s in zip(x.shape[2:], w.shape[2:], strides)]
    groups = feature_groups * batch_groups
    out = np.zeros((x.shape[0] // batch_groups, w.shape[0], *places), x.dtype)
    each = w.shape[0] // groups
    for g in range(groups):
        part = np.split(x, groups, 1 if feature_groups > 1 else 0)[g]
        kernel = w[g * each : (g + 1) * each]
        for place in np.ndindex(*places):
            window = part[(..., *(slice(p * s, p * s + k) for p, s, k in zip(place, strides, w.shape[2:])))]
            axes = list(range(1, rank + 2))
            out[(slice(None), slice(g * each, (g + 1) * each), *place)] = np.tensordot(
                window, kernel, (axes, axes)
            )
    return np.transpose(out, [["N", "C", *spatial].index(c) for c in names[2]]).astype(dtype)


def sample(
    x: np.ndarray, w: np.ndarray, *params: Any, call: Callable[..., Any] | None = None, **more: Any
) -> Sample:
    strides, pads, *rest = params
    rest += [None] * (3 - len(rest)) + [1] * (5 - max(len(rest), 3))
    full: dict[str, Any] = {"ulps": 8.0, "floor": 1.0} | more
    return Sample(
        primitive="conv_general_dilated",
        call=call or (lambda x, w: lax.conv_general_dilated(x, w, strides, pads, *rest)),
        args=(x, w),
        oracle=lambda x, w: convolution(x, w, strides, pads, *rest),
        **full,
    )


LINE, PLANE = ((0, 0),), ("NHWC", "HWIO", "NHWC")
SAMPLES = [
    # sums that every dtype holds, also those with powers of two alone
    sample(np.array([[[1, -1, 2, 2]]], F32), np.array([[[1, 1]], [[-1, 1]]], F32), (2,), LINE),
    sample(floats((2, 4, 5, 2)), floats((2, 3, 2, 3)), (2, 1), ((1, 2), (-1, 1)), (2, 1), (1, 2), PLANE),
    sample(floats((2, 4, 5)), floats((4, 2, 2)), (1,), ((1, 0),), None, (2,), None, 2),
    sample(floats((2, 2, 5)), floats((4, 1, 2)), (2,), ((1, 1),), None, None, ("CNH", "OIH", "NHC"), 2),
    sample(floats((4, 2, 5)), floats((4, 2, 2)), (2,), ((1, 1),), (2,), None, None, 1, 2),
    sample(floats((3, 2)), floats((4, 2)), (), ()),
    sample(floats((2, 1, 4), dtype=F64), floats((2, 1, 3), dtype=F64), (1,), LINE),
    sample(complexes((1, 2, 4)), complexes((2, 2, 2)), (1,), LINE, differentiate=False),
    sample(floats((2, 0, 4)), floats((3, 0, 2)), (1,), LINE),
    sample(floats((2, 1, 2)), floats((3, 1, 3)), (1,), LINE),
    *(
        sample(integers((2, 2, 6), dtype=t), integers((2, 2, 3), dtype=t), (1,), LINE, ulps=0)
        for t in (np.int8, np.int32)
    ),
]  # fmt: skip

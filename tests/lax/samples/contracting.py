"""Products that sum over shared dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes, lax
from tests.lax.samples import F32, Sample, complexes, floats, integers

Numbers = tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]
MATRICES: Numbers = (((1,), (0,)), ((), ()))


def product(x: np.ndarray, y: np.ndarray, numbers: Numbers = MATRICES) -> np.ndarray:
    """By `einsum`; integers wrap around, booleans say whether any pair is True."""
    (x_contract, y_contract), (x_batch, y_batch) = numbers
    dtype = x.dtype
    if dtypes.is_int(dtype) or dtypes.is_bool(dtype):
        x, y = x.astype(np.int64), y.astype(np.int64)
    x_names = list(range(x.ndim))
    y_names = [100 + d for d in range(y.ndim)]
    for left, right in zip((*x_contract, *x_batch), (*y_contract, *y_batch)):
        y_names[right] = left
    batch = [x_names[d] for d in x_batch]
    free = [n for n in x_names if n not in batch and n not in y_names] + [n for n in y_names if n >= 100]
    renamed = {n: i for i, n in enumerate(dict.fromkeys((*x_names, *y_names)))}
    names = [[renamed[n] for n in group] for group in (x_names, y_names, [*batch, *free])]
    return np.einsum(x, names[0], y, names[1], names[2]).astype(dtype)


def sample(x: np.ndarray, y: np.ndarray, numbers: Numbers = MATRICES, **more: Any) -> Sample:
    params = {"ulps": 8.0, "floor": 1.0} | more
    return Sample(
        primitive="dot_general",
        call=lambda x, y: lax.dot_general(x, y, numbers),
        args=(x, y),
        oracle=lambda x, y: product(x, y, numbers),
        **params,
    )


X, Y = floats((3, 4)), floats((4, 2))
SAMPLES = [
    # sums that every dtype holds, also those with powers of two alone
    sample(np.array([[1, -1], [2, 2]], F32), np.array([[1, -1], [1, 1]], F32)),
    sample(floats((2, 5, 3, 4)), floats((3, 2, 4, 6)), (((3,), (2,)), ((0, 2), (1, 0)))),
    sample(floats((2, 5, 3, 4)), floats((6, 4, 2)), (((3, 0), (1, 2)), ((), ()))),
    sample(X, X, (((), ()), ((1, 0), (1, 0)))),
    sample(X, Y, (((), ()), ((), ()))),
    sample(np.zeros((3, 0), F32), np.zeros((0, 2), F32)),
    sample(complexes((3, 4)), complexes((4, 2))),
    *(sample(integers((3, 40), dtype=t), integers((40, 2), dtype=t)) for t in (np.int8, np.int16, np.int32)),
    *(
        Sample(primitive="dot_general", call=lambda x, y: lax.dot(x, y), args=(x, y), oracle=np.dot, ulps=8, floor=1.0)
        for x, y in ((X, Y), (X, Y[:, 0]), (X[0], Y), (X[0], Y[:, 1]))
    ),
    Sample(
        primitive="dot_general",
        call=lambda x, y: lax.batch_matmul(x, y),
        args=(floats((2, 3, 4)), floats((2, 4, 5))),
        oracle=np.matmul,
        ulps=8,
        floor=1.0,
    ),
    *(
        Sample(
            primitive="dot_general",
            call=lambda x, y, p=p: lax.dot(x, y, precision=p),
            args=(X, Y),
            oracle=np.dot,
            ulps=8,
            floor=1.0,
            differentiate=p != "F32_F32_F32",  # which holds for operands of 64 bits too
        )
        for p in ("highest", ("default", "high"), lax.Precision.HIGH, "F32_F32_F32", lax.DotAlgorithmPreset.DEFAULT)
    ),
    *(
        Sample(
            primitive="dot_general",
            call=lambda x, y, t=t: lax.dot(x, y, preferred_element_type=t),
            args=(x, y),
            oracle=lambda x, y, t=t: np.dot(x.astype(np.float64), y.astype(np.float64)).astype(t),
            ulps={"": 0, "float32": 8},
            floor=1.0,
            differentiate=False,
        )
        for x, y, t in (
            (X.astype(dtypes.bfloat16), Y.astype(dtypes.bfloat16), F32),
            (integers((3, 40), dtype=np.int8), integers((40, 2), dtype=np.int8), np.int32),
            (integers((3, 4), dtype=np.int8), integers((4, 2), dtype=np.int8), F32),
            (integers((3, 4), 0, 2, bool), integers((4, 2), 0, 2, bool), np.int32),
        )
    ),
]  # fmt: skip

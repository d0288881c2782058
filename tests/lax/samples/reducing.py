"""Reductions and running reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.lax.cumulative import linear_recurrence
from anima.lax.softmax import softmax
from tests.lax.samples import C64, F32, I32, Sample, booleans, complexes, floats, integers

# Sums and products along the first axis that every dtype holds, also those with powers of two alone.
EXACT = np.array([[1, -2, 2], [1, -2, 2]], F32)
FACTORS = np.array([[1, -2, 2], [1, 2, 1]], F32)
X = floats((3, 4))
CUBE = floats((2, 3, 4))
NANS = np.array([[1, np.nan, 3, np.nan], [-np.inf, np.inf, 0, -0.0], [np.nan, 1, -np.inf, 2]], F32)
TIES = np.array([[1, 3, 3, 1], [2, 2, 2, 2], [0, -0.0, 0, 1]], F32)

# --- reductions -------------------------------------------------------------------------------


def narrowed(fun: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """An oracle in the operand's dtype; sums of integers wrap around."""

    def oracle(x: np.ndarray) -> np.ndarray:
        if dtypes.is_int(x.dtype):
            return np.asarray(fun(x.astype(np.int64))).astype(x.dtype)
        if dtypes.is_float(x.dtype) and x.dtype.itemsize < 4:
            return np.asarray(fun(x.astype(np.float64))).astype(x.dtype)
        return np.asarray(fun(x)).astype(x.dtype)

    return oracle


def reduction(
    name: str, fun: Callable[..., Any], x: np.ndarray, axes: tuple[int, ...], **more: Any
) -> Sample:
    return Sample(
        primitive=name,
        call=lambda x: getattr(lax, name)(x, axes),
        args=(x,),
        oracle=narrowed(lambda x: fun(x, axis=axes)),
        **more,
    )


CLOSE: dict[str, Any] = {"ulps": 4, "floor": 1.0}
SUMS = [
    reduction("reduce_sum", np.sum, EXACT, (0,)),
    reduction("reduce_prod", np.prod, FACTORS, (0,)),
    *(
        reduction(name, fun, x, axes, **CLOSE)
        for name, fun in (("reduce_sum", np.sum), ("reduce_prod", np.prod))
        for x, axes in (
            (X, (0,)),
            (X, (1,)),
            (CUBE, (2, 0)),
            (CUBE, ()),
            (X, (0, 1)),
            (complexes((2, 3)), (1,)),
            (np.zeros((0, 2), F32), (0,)),
            (np.zeros((2, 0), F32), (0,)),
        )
    ),
    *(
        reduction("reduce_prod", np.prod, np.array(x, F32), (0,), **CLOSE)
        for x in ([[0, 2], [3, 0], [4, 0]], [[0, 0], [0, 1], [0, 2]])
    ),
    *(reduction(f"reduce_{n}", f, integers((3, 4)), (1,)) for n, f in (("sum", np.sum), ("prod", np.prod))),
]


def shares(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    powers = np.exp(x - np.max(x, axes, keepdims=True, initial=-np.inf))
    return np.asarray(powers / np.sum(powers, axes, keepdims=True))


SHARES = [
    Sample(
        primitive="softmax",
        call=lambda x, axes=axes: softmax(x, axes),
        args=(x,),
        oracle=lambda x, axes=axes: shares(x, axes),
        ulps=8,
    )
    for x, axes in (
        (X, (1,)),
        (CUBE, (0, 2)),
        (X, (0,)),
        (floats((9, 40)), (1,)),
        (np.zeros((0, 2), F32), (0,)),
        (X, ()),
    )
]


def extremum(name: str) -> list[Sample]:
    fun = getattr(np, name)

    def oracle(x: np.ndarray, axis: Any) -> np.ndarray:
        # NumPy's functions on 8-bit floating point dtypes go through the same comparisons
        return fun(x, axis=axis)

    cases = [
        (X, (0,)),
        (CUBE, (0, 2)),
        (complexes((3, 4)), (1,)),
        (integers((3, 4)), (0,)),
        (booleans((3, 4)), (1,)),
    ]
    return [
        *(reduction(f"reduce_{name}", oracle, x, axes, flush=True) for x, axes in cases),
        reduction(f"reduce_{name}", oracle, NANS, (0,), flush=True, differentiate=False),
        reduction(f"reduce_{name}", oracle, np.array([[1 + 2j, 1 - 2j, 1]], C64), (1,), differentiate=False),
        Sample(
            primitive=f"reduce_{name}",
            call=lambda x: getattr(lax, f"reduce_{name}")(x, (0,)),
            args=(np.zeros((0, 2), F32),),
            oracle=lambda x: np.full((2,), -np.inf if name == "max" else np.inf, F32),
            differentiate=False,
        ),
        Sample(
            primitive=f"reduce_{name}",
            call=lambda x: getattr(lax, f"reduce_{name}")(x, (0,)),
            args=(np.zeros((0, 2), np.int8),),
            oracle=lambda x: np.full((2,), -128 if name == "max" else 127, np.int8),
        ),
    ]


LOGIC = [
    reduction(f"reduce_{name}", fun.reduce, x, (axis,))
    for name, fun in (("and", np.bitwise_and), ("or", np.bitwise_or), ("xor", np.bitwise_xor))
    for x, axis in ((integers((3, 4)), 1), (booleans((3, 4)), 0), (np.zeros((0, 3), bool), 0))
]


def place(name: str, x: np.ndarray, axis: int, dtype: str = "int32") -> Sample:
    return Sample(
        primitive=name,
        call=lambda x: getattr(lax, name)(x, axis, dtype),
        args=(x,),
        oracle=lambda x: getattr(np, name)(x, axis).astype(dtype),
    )


PLACES = [
    *(
        place(name, x, axis)
        for name in ("argmax", "argmin")
        for x in (X, NANS, TIES, integers((3, 4), -1, 2), booleans((3, 4)), np.full((2, 3), -np.inf, F32))
        for axis in (0, 1)
    ),
    place("argmax", X, 1, "uint8"),
    place("argmin", floats((70,)), 0),
]


def folded(x: np.ndarray) -> np.ndarray:
    """`a + b + a * b` over the first axis: one less than the product of all elements plus one."""
    return np.prod(x + 1, axis=0) - 1


def fold(a: Any, b: Any) -> Any:
    return lax.add(lax.add(a, b), lax.mul(a, b))


def pairwise(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
    """The larger value with its place."""
    first = lax.ge(a[0], b[0])
    return lax.select(first, a[0], b[0]), lax.select(first, a[1], b[1])


FOLDS = [
    Sample(
        primitive="reduce",
        call=lambda x: lax.reduce(x, np.zeros((), x.dtype), fold, (0,)),
        args=(FACTORS / 2,),
        oracle=lambda x: folded(x),
        ulps=4,
        floor=1.0,
        only=("float32", "float64", "complex64", "complex128"),
    ),
    *(
        Sample(
            primitive="reduce",
            call=lambda x, init: lax.reduce(x, init, fold, (0,)),
            args=(x, np.float32(0)),
            oracle=lambda x, init: folded(x),
            ulps=16,
            floor=1.0,
            differentiate=(0,),
        )
        for x in (floats((1, 2)), floats((5, 3)), np.zeros((0, 2), F32))
    ),
    Sample(
        primitive="reduce",
        call=lambda x, i: lax.reduce((x, i), (np.asarray(-np.inf, x.dtype), np.int32(0)), pairwise, (1,)),
        args=(X, np.tile(np.arange(4, dtype=I32), (3, 1))),
        oracle=lambda x, i: (x.max(1), np.take_along_axis(i, x.argmax(1)[:, None], 1)[:, 0]),
        flush=True,
    ),
    Sample(
        primitive="reduce_max",
        call=lambda x: lax.reduce(x, -np.inf, lax.max, (0,)),
        args=(X,),
        oracle=lambda x: x.max(0),
        flush=True,
    ),
    Sample(
        primitive="reduce_sum",
        call=lambda x, init: lax.reduce(x, init, lax.add, (1,)),
        args=(floats((3, 1)), np.float32(5)),
        oracle=lambda x, init: x.sum(1) + init,
        ulps=4,
    ),
]

# --- running reductions -----------------------------------------------------------------------


def reversed_too(fun: Callable[..., Any], x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    if reverse:
        return np.flip(fun(np.flip(x, axis), axis), axis)
    return fun(x, axis)


def logsumexp(x: np.ndarray, axis: int) -> np.ndarray:
    with np.errstate(all="ignore"):
        if x.dtype.kind == "c":
            return np.log(np.cumsum(np.exp(x), axis))
        return np.logaddexp.accumulate(x, axis)


RUNNING: dict[str, Callable[..., Any]] = {
    "cumsum": np.cumsum,
    "cumprod": np.cumprod,
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
    "cumlogsumexp": logsumexp,
}


def running(name: str, x: np.ndarray, axis: int = 0, reverse: bool = False, **more: Any) -> Sample:
    return Sample(
        primitive=name,
        call=lambda x: getattr(lax, name)(x, axis, reverse),
        args=(x,),
        oracle=narrowed(lambda x: reversed_too(RUNNING[name], x, axis, reverse)),
        **({"flush": True} if name in ("cummax", "cummin") else {}) | more,
    )


SHAPES: list[tuple[np.ndarray, int, bool]] = [
    (X, 1, False),
    (CUBE, 1, True),
    (floats((37,)), 0, False),
    (floats((2, 70)), 1, True),
    (floats((1, 3)), 0, False),
    (np.zeros((0, 3), F32), 0, False),
]
SCANS = [
    running("cumsum", EXACT),
    running("cumprod", FACTORS),
    running("cummax", X),
    running("cummin", X),
    running("cumlogsumexp", EXACT, **CLOSE),
    *(
        running(
            name, x, axis, reverse, **({} if name in ("cummax", "cummin") else {"ulps": 64, "floor": 4.0})
        )
        for name in RUNNING
        for x, axis, reverse in SHAPES
    ),
    *(
        running(name, complexes((4, 3)), 0, ulps=16, floor=4.0)
        for name in ("cumsum", "cumprod", "cumlogsumexp")
    ),
    *(running(name, integers((40,)), 0, True) for name in ("cumsum", "cumprod", "cummax", "cummin")),
    *(running("cumprod", np.array(x, F32), ulps=4) for x in ([2, 0, 3, 0, 1], [0, 0, 5], [0, 2])),
    *(running(name, np.where(NANS == 0, 5, NANS), 1, differentiate=False) for name in ("cummax", "cummin")),
    running(
        "cumlogsumexp",
        np.array([-np.inf, -np.inf, -300, 2, 1000, np.inf, 3, np.nan, 1], F32),
        ulps=4,
        differentiate=False,
    ),
    running("cumsum", floats((600, 2)), 0, ulps=64, floor=32.0, differentiate=False),
    running("cumlogsumexp", floats((600, 2)), 0, ulps=64, floor=4.0, differentiate=False),
]


def recurrence(a: np.ndarray, b: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    order = slice(None, None, -1 if reverse else 1)
    a, b = np.moveaxis(a, axis, 0)[order], np.moveaxis(b, axis, 0)[order]
    out = np.zeros_like(b)
    for i in range(len(b)):
        out[i] = b[i] if i == 0 else a[i] * out[i - 1] + b[i]
    return np.moveaxis(out[order], 0, axis)


RECURRENCES = [
    Sample(
        primitive="linear_recurrence",
        call=lambda a, b, axis=axis, reverse=reverse: linear_recurrence(a, b, axis, reverse),
        args=(a, b),
        oracle=lambda a, b, axis=axis, reverse=reverse: recurrence(a, b, axis, reverse),
        ulps=ulps,
        floor=1.0,
        differentiate=a.size < 100,
    )
    for a, b, axis, reverse, ulps in (
        (FACTORS, EXACT, 0, False, 4),
        (floats((2, 5)), floats((2, 5), 0, 1), 1, True, 16),
        (floats((2, 150), -1, 1), floats((2, 150)), 1, False, 64),
        (floats((150,), -1, 1), floats((150,)), 0, True, 64),
        (complexes((3, 2)), complexes((3, 2), 1.0), 0, False, 16),
    )
    for axis, reverse in [(axis, reverse)]
]

SAMPLES = [
    *SHARES,
    *SUMS,
    *extremum("max"),
    *extremum("min"),
    *LOGIC,
    *PLACES,
    *FOLDS,
    *SCANS,
    *RECURRENCES,
]

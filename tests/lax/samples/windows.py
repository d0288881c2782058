"""Reductions over windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.core.aval import ShapedArray
from anima.core.jaxpr import ClosedJaxpr
from anima.interpreters.jvp import stage_closed
from anima.lax.declare import ANY
from anima.lax.reductions import extreme
from tests.lax.samples import F32, Sample, booleans, floats, integers
from tests.lax.samples.convolving import spread

# window_dimensions, window_strides, padding, base_dilation, window_dilation
Lie = tuple[Any, Any, Any, Any, Any]
PLAIN: Lie = ((2, 2), (1, 2), ((0, 0), (0, 0)), (1, 1), (1, 1))
EVERY: Lie = ((2, 3), (2, 1), ((1, 2), (-1, 1)), (1, 2), (2, 1))
LONG: Lie = ((1, 19), (1, 2), ((0, 0), (1, 2)), (1, 1), (1, 1))


def places(x: np.ndarray, lie: Lie) -> np.ndarray:
    """For each window the flat indices of its elements, in row-major order; -1 for padding and holes."""
    windows, strides, pads, base, steps = lie
    at = spread(np.arange(x.size).reshape(x.shape), pads, base, -1)
    sizes = [(w - 1) * d + 1 for w, d in zip(windows, steps)]
    counts = [max((n - w) // s + 1, 0) for n, w, s in zip(at.shape, sizes, strides)]
    out = np.full((*counts, int(np.prod(windows))), -1)
    for place in np.ndindex(*counts):
        out[place] = at[
            tuple(slice(p * s, p * s + w, d) for p, s, w, d in zip(place, strides, sizes, steps))
        ].ravel()
    return out


def reduced(fun: Callable[[np.ndarray], Any], empty: Any, lie: Lie) -> Callable[[np.ndarray], np.ndarray]:
    """`fun` of the elements of each window; of integers as Python has them, so sums wrap around."""

    def oracle(x: np.ndarray) -> np.ndarray:
        dtype, at = x.dtype, places(x, lie)
        x = x.astype(np.int64) if dtypes.is_int(dtype) else x.astype(F32) if x.dtype.itemsize < 4 else x
        out = np.zeros(at.shape[:-1], x.dtype)
        for place in np.ndindex(*out.shape):
            found = x.ravel()[at[place][at[place] >= 0]]
            out[place] = fun(found) if found.size else empty
        return out.astype(dtype)

    return oracle


def selected(x: np.ndarray, lie: Lie, most: bool) -> np.ndarray:
    """The flat index that each window selects; -1 for windows without elements."""
    at = places(x, lie)
    out = np.full(at.shape[:-1], -1)
    for place in np.ndindex(*out.shape):
        found = at[place][at[place] >= 0]
        values = x.ravel()[found]
        if found.size:
            out[place] = found[
                np.argmax(values) if most else np.argmin(values)
            ]  # NumPy's first NaN, or first extremum
    return out


def gathered(most: bool, lie: Lie) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def oracle(t: np.ndarray, x: np.ndarray) -> np.ndarray:
        at = selected(x, lie, most)
        return np.where(at >= 0, t.ravel()[at], t.dtype.type(0))

    return oracle


def scattered(most: bool, lie: Lie) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def oracle(source: np.ndarray, x: np.ndarray) -> np.ndarray:
        at = selected(x, lie, most)
        out = np.zeros(x.size, source.dtype)
        np.add.at(out, at[at >= 0], source[at >= 0])
        return out.reshape(x.shape)

    return oracle


def window(
    primitive: str, fun: Any, init: Callable[[Any], Any], oracle: Any, x: np.ndarray, lie: Lie, **more: Any
) -> Sample:
    return Sample(
        primitive=primitive,
        call=lambda x: lax.reduce_window(x, init(lax.dtype(x)), fun, *lie),
        args=(x,),
        oracle=lambda x: reduced(oracle, init(x.dtype), lie)(x),
        **more,
    )


def total(x: np.ndarray, lie: Lie, **more: Any) -> Sample:
    return window("reduce_window_sum", lax.add, lambda _: 0, np.sum, x, lie, **more)


def product(x: np.ndarray, lie: Lie, **more: Any) -> Sample:
    return window("reduce_window", lax.mul, lambda _: 1, np.prod, x, lie, **more)


def greatest(x: np.ndarray, lie: Lie, **more: Any) -> Sample:
    return window(
        "reduce_window_max", lax.max, lambda dtype: extreme(dtype, lowest=True), np.max, x, lie, **more
    )


def least(x: np.ndarray, lie: Lie, **more: Any) -> Sample:
    return window(
        "reduce_window_min", lax.min, lambda dtype: extreme(dtype, lowest=False), np.min, x, lie, **more
    )


def selecting(
    primitive: Any, oracle: Any, most: bool, first: np.ndarray, x: np.ndarray, lie: Lie, **more: Any
) -> Sample:
    names = ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")
    params = dict(zip(names, lie), select_prim=lax.ge_p if most else lax.le_p)
    return Sample(
        primitive=primitive.name,
        call=lambda t, x: primitive.bind(t, x, **params),
        args=(first, x),
        oracle=oracle(most, lie),
        typed=(0, 1),
        **more,
    )


def program(fun: Any, x: Any) -> ClosedJaxpr:
    scalar = ShapedArray((), lax.dtype(x))
    return stage_closed(lambda a, b: [fun(a, b)], [scalar, scalar], "")


SIGNS = np.array([[1, -1, 2], [1, 2, -2], [2, 1, 1]], F32)
GRID, ROWS = floats((3, 4)), floats((2, 30))
TIES = np.array([[1, 1, 2, np.nan], [1, 2, 2, 3], [0, -0.0, np.nan, np.nan]], F32)
NATIVE: dict[str, Any] = {
    "window_dimensions": (2, 2),
    "window_strides": (1, 2),
    "padding": ((0, 0), (1, 1)),
}
SAMPLES = [
    # sums and products that every dtype holds, also those with powers of two alone
    total(np.array([1, -1, 2, 2], F32), ((2,), (2,), ((0, 0),), (1,), (1,)), ulps=2, floor=1.0),
    total(GRID, EVERY, ulps=4, floor=1.0),
    total(ROWS, LONG, ulps=8, floor=4.0),
    total(integers((3, 4), dtype=np.int8) * 9, PLAIN),
    greatest(floats((3, 3)), PLAIN),
    greatest(GRID, EVERY),
    greatest(ROWS, LONG),
    greatest(TIES, PLAIN, differentiate=False),
    least(floats((3, 3)), PLAIN),
    least(GRID, EVERY),
    least(integers((3, 4), dtype=np.int8), PLAIN),
    product(np.array([[1, -1, 2], [1, 1, -1]], F32), PLAIN, ulps=2, only=tuple(name for name in ANY if name != "bool")),
    window("reduce_window", lax.bitwise_or, lambda _: False, np.any, booleans((3, 4)), PLAIN),
    product(GRID, EVERY, ulps=4),
    Sample(
        primitive="reduce_window",
        call=lambda x, y: lax.reduce_window((x, y), (0.0, 1.0), lambda a, b: (a[0] + b[0], a[1] * b[1]), *PLAIN),
        args=(GRID, floats((3, 4), 0.5, 1.5)),
        oracle=lambda x, y: (reduced(np.sum, 0, PLAIN)(x), reduced(np.prod, 1, PLAIN)(y)),
        ulps=4,
        floor=1.0,
    ),
    *(
        selecting(p, oracle, most, first, x, lie, ulps=0 if p is lax.select_and_gather_add_p else 2, floor=0.0 if p is lax.select_and_gather_add_p else 1.0, **more)
        for p, oracle, most, first, x, lie, more in (
            (lax.select_and_gather_add_p, gathered, True, SIGNS, floats((3, 3), 0.5, 4.0), PLAIN, {}),
            (lax.select_and_gather_add_p, gathered, False, floats((3, 4)), GRID[::-1], EVERY, {}),
            (lax.select_and_gather_add_p, gathered, True, floats((2, 30)), ROWS[::-1], LONG, {}),
            (lax.select_and_gather_add_p, gathered, True, floats((3, 4)), TIES, PLAIN, {"differentiate": (0,)}),
            (lax.select_and_scatter_add_p, scattered, True, SIGNS[:2, :1], floats((3, 3), 0.5, 4.0), PLAIN, {}),
            (lax.select_and_scatter_add_p, scattered, False, floats((2, 5)), GRID[::-1], EVERY, {}),
            (lax.select_and_scatter_add_p, scattered, True, floats((2, 8)), ROWS[::-1], LONG, {}),
            (lax.select_and_scatter_add_p, scattered, False, floats((2, 2)), TIES, PLAIN, {"differentiate": (0,)}),
        )
    ),
    Sample(
        primitive="select_and_scatter",
        call=lambda x, s, i: lax.select_and_scatter_p.bind(
            x, s, i, select_jaxpr=program(lax.ge, x), scatter_jaxpr=program(lax.max, x), **NATIVE
        ),
        args=(GRID, floats((2, 3)), np.array(-1, F32)),
        oracle=lambda x, s, i: raised(x, s, i),
        typed=(0, 1, 2),
        only=tuple(name for name in ANY if not name.startswith("complex")),
    ),
]  # fmt: skip


def raised(x: np.ndarray, source: np.ndarray, init: np.ndarray) -> np.ndarray:
    """The maximum of the initial value and of the source's values whose windows select a place."""
    at = selected(x, (*NATIVE.values(), (1, 1), (1, 1)), most=True)
    out = np.full(x.size, init)
    np.maximum.at(out, at, source)
    return out.reshape(x.shape)

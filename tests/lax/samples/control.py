"""Control flow: the three operations, as the public functions make them."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import lax
from tests.lax.samples import Sample, floats


def _steps(w: Any, c: Any, xs: Any, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """What the scans below compute."""
    rows = []
    for x in xs[::-1] if reverse else xs:
        c = np.sin(c) * w + x
        rows.append(c * x)
    return c, np.stack(rows[::-1] if reverse else rows)


def _scan(**options: Any) -> Any:
    def step(w: Any, c: Any, x: Any) -> tuple[Any, Any]:
        c = lax.add(lax.mul(lax.sin(c), w), x)
        return c, lax.mul(c, x)

    return lambda w, c, xs: lax.scan(lambda c, x: step(w, c, x), c, xs, **options)


def _switched(index: Any, x: Any, y: Any) -> np.ndarray:
    return [x * y, np.sin(x), x * x * y + x][int(np.clip(index, 0, 2))]


_SWITCH = [
    lambda x, y: lax.mul(x, y),
    lambda x, y: lax.sin(x),
    lambda x, y: lax.add(lax.mul(lax.mul(x, x), y), x),
]


def _powers(n: Any, x: Any, w: Any) -> tuple[np.ndarray, np.ndarray]:
    count = np.zeros((), np.int32)
    while count < n:
        x = x * w + np.cos(x)
        count = count + np.int32(1)
    return count, x


def _loop(n: Any, x: Any, w: Any, **options: Any) -> Any:
    def body(state: Any) -> Any:
        count, x = state
        return lax.add(count, np.int32(1)), lax.add(lax.mul(x, w), lax.cos(x))

    return lax.while_loop(lambda state: lax.lt(state[0], n), body, (np.int32(0), x), **options)


def _sine_or_square(x: Any) -> np.ndarray:
    return np.sin(x) if x[0] > 0 else x * x


def _nested(x: Any, ys: Any) -> tuple[np.ndarray, np.ndarray]:
    rows = []
    for y in ys:
        for _ in range(2):
            x = np.sin(x) if y > 0 else x * y
        rows.append(x)
    return x, np.stack(rows)


def _nested_scan(x: Any, ys: Any) -> Any:
    def step(x: Any, y: Any) -> tuple[Any, Any]:
        inner = lambda _, x: lax.cond(lax.gt(y, lax.full_like(y, 0)), lax.sin, lambda x: lax.mul(x, y), x)
        x = lax.fori_loop(0, 2, inner, x)
        return x, x

    return lax.scan(step, x, ys)


def _halved(x: Any) -> Any:
    return lax.mul(x, lax.full_like(x, 0.5))


def _solved(w: Any, b: Any) -> Any:
    """The solution of `w * x + x == b`."""
    solve = lambda matvec, b: lax.div(b, lax.add(w, lax.full_like(w, 1)))
    return lax.custom_linear_solve(lambda x: lax.add(lax.mul(w, x), x), b, solve, symmetric=True)


def _square_root(a: Any) -> Any:
    newton = lambda f, x: lax.fori_loop(0, 8, lambda i, x: _halved(lax.add(x, lax.div(a, x))), x)
    linear = lambda g, y: lax.div(y, g(lax.full_like(y, 1)))
    return lax.custom_root(lambda x: lax.sub(lax.mul(x, x), a), a, newton, linear)


_W, _C, _XS = floats((3,), 0.3, 0.9), floats((3,), -1, 1), floats((4, 3), -1, 1)

SAMPLES = [
    Sample(primitive="scan", call=_scan(), args=(_W, _C, _XS), oracle=_steps, ulps=64, floor=0.1),
    Sample(
        primitive="scan",
        call=_scan(reverse=True, unroll=3),
        args=(_W, _C, _XS),
        oracle=lambda w, c, xs: _steps(w, c, xs, reverse=True),
        ulps=64,
        floor=0.1,
    ),
    Sample(
        primitive="scan",
        call=lambda x, ys: _nested_scan(x, ys),
        args=(np.float32(0.7), floats((3,), -1.5, 1)),
        oracle=_nested,
        ulps=64,
    ),
    Sample(
        primitive="scan",
        call=lambda x, w: lax.fori_loop(0, 3, lambda i, x: lax.add(lax.mul(x, w), lax.cos(x)), x),
        args=(_C, _W),
        oracle=lambda x, w: _powers(3, x, w)[1],
        ulps=64,
        floor=0.1,
    ),
    Sample(
        primitive="while",
        call=_loop,
        args=(np.int32(3), _C, _W),
        oracle=_powers,
        ulps=64,
        floor=0.1,
        differentiate=False,
    ),
    Sample(
        primitive="while",
        call=lambda x, w: _loop(3, x, w)[1],
        args=(_C, _W),
        oracle=lambda x, w: _powers(3, x, w)[1],
        ulps=64,
        floor=0.1,
    ),
    Sample(
        primitive="bounded_while",
        call=lambda n, x, w: _loop(n, x, w, max_steps=40),
        args=(np.int32(20), _C, _W),
        oracle=_powers,
        ulps=256,
        floor=0.1,
        differentiate=False,
    ),
    Sample(
        primitive="bounded_while",
        call=lambda x, w: _loop(3, x, w, max_steps=20)[1],
        args=(_C, _W),
        oracle=lambda x, w: _powers(3, x, w)[1],
        ulps=64,
        floor=0.1,
    ),
    Sample(
        primitive="custom_linear_solve",
        call=_solved,
        args=(floats((3,), 0.5, 2), floats((3,), -1, 1)),
        oracle=lambda w, b: b / (w + 1),
        ulps=4,
    ),
    Sample(
        primitive="custom_root",
        call=_square_root,
        args=(floats((3,), 0.5, 2),),
        oracle=np.sqrt,
        ulps=4,
    ),
    Sample(
        primitive="cond",
        call=lambda x: lax.cond(lax.gt(x[0], lax.full_like(x[0], 0)), lax.sin, lambda x: lax.mul(x, x), x),
        args=(floats((3,), -1, 1),),
        oracle=_sine_or_square,
        ulps=4,
    ),
    *[
        Sample(
            primitive="cond",
            call=lambda i, x, y: lax.switch(i, _SWITCH, x, y),
            args=(np.int32(index), floats((3,), 0.2, 1), floats((3,), 0.5, 2)),
            oracle=_switched,
            ulps=4,
        )
        for index in (-1, 1, 2)
    ],
]

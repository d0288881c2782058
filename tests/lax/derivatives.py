"""Derivatives against finite differences, in float64.

Invariant: derivatives are taken as the public functions give them: `jvp` against central differences of the function,
`vjp` against `jvp`. The second order is the same check applied to the derivatives themselves; its programs, the most by
far, are compiled without optimisations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import anima
from anima import dtypes
from tests.transforms.composition import CHEAP

Flat = Callable[..., list[Any]]  # arrays to arrays, inexact ones only

STEP = 2e-3
TOLERANCE = 2e-7


def check_derivatives(
    fun: Callable[..., Any], args: Sequence[Any], which: Sequence[int], order: int = 2
) -> None:
    """Check the derivatives of `fun` by the arguments at the positions `which`, up to an order.

    The function's outputs that have no tangents are left out.
    """
    fixed = list(args)
    points = [fixed[i] for i in which]
    inexact = [dtypes.is_inexact(out.dtype) for out in _outputs(anima.eval_shape(fun, *args))]

    def flat(*points: Any) -> list[Any]:
        full = list(fixed)
        for i, point in zip(which, points):
            full[i] = point
        return [out for out, kept in zip(_outputs(fun(*full)), inexact) if kept]

    if any(inexact) and points:
        _check(flat, anima.jit(flat), points, order, "f", {})


def _outputs(out: Any) -> list[Any]:
    return list(out) if isinstance(out, (tuple, list)) else [out]


def direction(like: Any, seed: int) -> np.ndarray:
    """A direction in which to differentiate: numbers of size 1, all different."""
    rng = np.random.default_rng(seed)
    shape, dtype = np.shape(like), np.asarray(like).dtype
    value = rng.uniform(0.5, 1.0, shape) * rng.choice([-1.0, 1.0], shape)
    if dtype.kind == "c":
        value = value + 1j * rng.uniform(-1.0, 1.0, shape)
    return np.asarray(value, dtype)


def _check(
    fun: Flat, values: Flat, points: list[Any], order: int, name: str, options: dict[str, Any]
) -> None:
    """Check the derivatives of a function, of which `values` is compiled; they are compiled with the options."""
    tangents = [direction(p, 10 * order + i) for i, p in enumerate(points)]
    count = len(points)

    def forward(*points: Any) -> list[Any]:
        return anima.jvp(fun, points, tuple(tangents))[1]

    def backward(*points: Any) -> list[Any]:
        outs, pull = anima.vjp(fun, *points)
        return list(pull([c.astype(o.dtype) for c, o in zip(cotangents, outs)]))

    cotangents = [direction(out, 10 * order + 5 + i) for i, out in enumerate(values(*points))]
    push, pull_back = (anima.jit(f, compiler_options=options) for f in (forward, backward))
    pushed, pulled = (list(map(np.asarray, f(*points))) for f in (push, pull_back))

    def at(step: float) -> list[np.ndarray]:
        moved = [np.asarray(p + step * t, p.dtype) for p, t in zip(points, tangents)]
        return [np.asarray(v) for v in values(*moved)]

    near, far = [[p - m for p, m in zip(at(h), at(-h))] for h in (STEP, 2 * STEP)]
    for index, (n, f, got) in enumerate(zip(near, far, pushed)):
        want = (8 * n - f) / (12 * STEP)
        scale = np.maximum(1.0, np.abs(want))
        assert got.dtype == want.dtype, f"jvp of {name} has dtype {got.dtype}, not {want.dtype}"
        error = np.abs(got - want) / scale
        assert np.all(error < TOLERANCE), (
            f"jvp of {name}, output {index}: {got}, finite differences give {want}"
        )
    left = sum(float(np.sum(c * p).real) for c, p in zip(cotangents, pushed))
    right = sum(float(np.sum(p * t).real) for p, t in zip(pulled, tangents))
    size = 1 + sum(float(np.sum(np.abs(p))) for p in pushed)
    assert abs(left - right) < TOLERANCE * size, f"vjp of {name} gives {right}, jvp {left}"
    assert len(pulled) == count
    if order > 1:
        _check(forward, push, points, order - 1, f"jvp of {name}", CHEAP)
        _check(backward, pull_back, points, order - 1, f"vjp of {name}", CHEAP)

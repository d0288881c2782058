"""Descent by quasi-Newton directions, from a whole approximation of the inverse Hessian or from the last few steps.

Invariant: the approximation stays positive definite, so every direction goes down: a step whose gradients say otherwise leaves
it as it is.
Source: J. Nocedal and S. Wright, "Numerical Optimization", 2nd edition, algorithms 6.1, 7.4 and 7.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import anima.numpy as np
from anima import dtypes, lax
from anima.scipy.optimize.line_search import Objective, dot, search
from anima.tree_util import tree_map


class Memory(NamedTuple):
    """How a method remembers curvature: what it starts with, and two functions of that."""

    start: Any
    direction: Callable[[Any, Any], Any]  # (memory, gradient): minus the inverse Hessian times the gradient
    update: Callable[[Any, Any, Any, Any], Any]  # (memory, step, change of gradient, their product)


class Limits(NamedTuple):
    """When to stop; the codes of what stops a method are `Codes`."""

    gtol: Any
    norm: Any
    maxiter: Any
    line_search: Any
    ftol: Any = None
    maxfun: Any = None
    maxgrad: Any = None


class Codes(NamedTuple):
    """The status of a result."""

    going: int = -1
    converged: int = 0
    iterations: int = 1
    functions: int = 2
    gradients: int = 3
    progress: int = 4
    narrow: int = 3
    search: int = 5


class State(NamedTuple):
    """Where a method is."""

    x: Any
    value: Any
    gradient: Any
    memory: Any
    iterations: Any
    evaluations: Any
    status: Any


def _norm(x: Any, order: Any) -> Any:
    return np.linalg.norm(x, ord=order) if x.shape[0] else np.zeros((), x.dtype)


# --- the two memories -------------------------------------------------------------------------


def whole(n: int, dtype: Any) -> Memory:
    """The inverse Hessian as a matrix (BFGS); its first update is one of a multiple of the identity, (6.20)."""

    def update(memory: Any, step: Any, change: Any, product: Any) -> Any:
        inverse, fresh = memory
        inverse = np.where(fresh, inverse * (product / dot(change, change)), inverse)
        image = np.matmul(inverse, change, precision=lax.Precision.HIGHEST)
        across = np.outer(step, image) / product
        weight = (1 + dot(change, image) / product) / product
        return inverse - across - across.T + weight * np.outer(step, step), np.zeros((), bool)

    def direction(memory: Any, gradient: Any) -> Any:
        return -np.matmul(memory[0], gradient, precision=lax.Precision.HIGHEST)

    return Memory((np.eye(n, dtype=dtype), np.ones((), bool)), direction, update)


def recent(n: int, count: int, dtype: Any) -> Memory:
    """The last steps, the changes of gradients and one over their products, the newest last (L-BFGS)."""

    def update(memory: Any, step: Any, change: Any, product: Any) -> Any:
        steps, changes, weights, _ = memory
        kept = [
            np.concatenate([a[1:], b[None]])
            for a, b in ((steps, step), (changes, change), (weights, 1 / product))
        ]
        return (*kept, product / dot(change, change))

    def direction(memory: Any, gradient: Any) -> Any:
        *pairs, scale = memory

        def newest_first(q: Any, pair: Any) -> Any:
            step, change, weight = pair
            share = weight * dot(step, q)
            return q - share * change, share

        def oldest_first(r: Any, pair: Any) -> Any:
            (step, change, weight), share = pair
            return r + (share - weight * dot(change, r)) * step, None

        q, shares = lax.scan(newest_first, gradient, tuple(pairs), reverse=True)
        return -lax.scan(oldest_first, scale * q, (tuple(pairs), shares))[0]

    nothing = np.zeros((count, n), dtype)
    return Memory((nothing, nothing, np.zeros(count, dtype), np.ones((), dtype)), direction, update)


# --- the descent ------------------------------------------------------------------------------


def _next_status(old: State, new: State, moved: Any, narrow: Any, limits: Limits, codes: Codes) -> Any:
    """What stops the method: the first of these that holds."""
    reasons = [
        (_norm(new.gradient, limits.norm) <= limits.gtol, codes.converged),
        (~moved & narrow, codes.narrow),
        (~moved, codes.search),
    ]
    if limits.ftol is not None:
        scale = np.maximum(np.maximum(np.abs(old.value), np.abs(new.value)), 1)
        reasons.append((old.value - new.value <= limits.ftol * scale, codes.progress))
    for limit, code in ((limits.maxfun, codes.functions), (limits.maxgrad, codes.gradients)):
        if limit is not None:
            reasons.append((new.evaluations >= limit, code))
    reasons.append((new.iterations >= limits.maxiter, codes.iterations))
    status = np.full((), codes.going, np.int32)
    for holds, code in reversed(reasons):
        status = np.where(holds, code, status)
    return status.astype(np.int32)


def descend(fun: Objective, x: Any, memory: Memory, limits: Limits, codes: Codes) -> State:
    """The point where a method stops, starting from `x`.

    Args:
      fun: returns the value and the gradient at a point.
      x: a vector of real numbers.
    """
    value, gradient = fun(x)
    tiny = float(dtypes.finfo(x.dtype).eps)
    done = np.where(
        _norm(gradient, limits.norm) <= limits.gtol,
        codes.converged,
        np.where(limits.maxiter <= 0, codes.iterations, codes.going),
    )

    def step(s: State) -> State:
        direction = memory.direction(s.memory, s.gradient)
        direction = np.where(dot(direction, s.gradient) < 0, direction, -s.gradient)
        length = np.sqrt(dot(s.gradient, s.gradient))
        first = np.where(s.iterations == 0, np.minimum(1, 1 / length), 1)
        line = search(fun, s.x, direction, s.value, s.gradient, first, limits.line_search)
        moved = line.low.step > 0
        # Without a smaller value or a smaller gradient all is rounding errors.
        smaller = _norm(line.gradient, limits.norm) < _norm(s.gradient, limits.norm)
        moved = moved & ((line.low.value < s.value) | smaller)
        change, moving = line.gradient - s.gradient, line.low.step * direction
        product = dot(moving, change)
        sizes = np.sqrt(dot(moving, moving) * dot(change, change))
        curved = moved & (product > tiny * sizes)
        remembered = memory.update(s.memory, moving, change, np.where(curved, product, 1))
        kept = tree_map(lambda a, b: np.where(curved, a, b), remembered, s.memory)
        new = State(
            np.where(moved, s.x + moving, s.x),
            np.where(moved, line.low.value, s.value),
            np.where(moved, line.gradient, s.gradient),
            kept,
            s.iterations + 1,
            s.evaluations + line.evaluations,
            s.status,
        )
        narrow = line.narrow | (line.low.step > 0)
        return new._replace(status=_next_status(s, new, moved, narrow, limits, codes))

    count = np.zeros((), np.int32)
    begin = State(x, value, gradient, memory.start, count, count + 1, done.astype(np.int32))
    return lax.while_loop(lambda s: s.status == codes.going, step, begin)

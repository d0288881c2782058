"""Steps along a direction that satisfy the strong Wolfe conditions.

Invariant: `low` is the best point so far, and the only one without a sufficient decrease that it can be is the start. Once
there is a bracket, points that satisfy both conditions lie between `low` and `high`, if the function is smooth.
Source: J. Nocedal and S. Wright, "Numerical Optimization", 2nd edition, algorithms 3.5 and 3.6, as one loop, so that the function
stands in a program once. Where a decrease drowns in rounding errors, slopes decide: W. Hager and H. Zhang, "A new
conjugate gradient method with guaranteed descent and an efficient line search", SIAM J. Optim. 16, 2005, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import anima.numpy as np
from anima import dtypes, lax
from anima.tree_util import tree_map

Objective = Callable[[Any], tuple[Any, Any]]

DECREASE = 1e-4  # of the slope at the start: what the mean slope must reach at least
CURVATURE = 0.9  # of the slope at the start: what the slope at the end may have at most
_MARGIN = 0.1  # of the bracket: how near to its ends no point is tried
_GROWTH = 2.0


class Point(NamedTuple):
    """A point on the line: its distance, the value there and the slope."""

    step: Any
    value: Any
    slope: Any


class Search(NamedTuple):
    """A search that goes on, or its result."""

    low: Point
    high: Point
    gradient: Any  # at `low`
    trial: Any  # where to look next
    bracketed: Any
    found: Any  # whether `low` satisfies both conditions
    narrow: Any  # whether nothing is left between `low` and `high`
    evaluations: Any


def dot(x: Any, y: Any) -> Any:
    """The inner product, in full precision on every device."""
    return np.dot(x, y, precision=lax.Precision.HIGHEST)


def _chosen(condition: Any, one: Any, other: Any) -> Any:
    return tree_map(lambda a, b: np.where(condition, a, b), one, other)


def _between(low: Point, high: Point, noise: Any) -> Any:
    """Where the minimum between two points should be: by cubic interpolation, by slopes alone where values are noise."""
    width = high.step - low.step
    mean = low.slope + high.slope - 3 * (high.value - low.value) / width
    root = np.sign(width) * np.sqrt(np.maximum(mean**2 - low.slope * high.slope, 0))
    cubic = 1 - (high.slope + root - mean) / (high.slope - low.slope + 2 * root)
    secant = low.slope / (low.slope - high.slope)
    place = np.where(np.abs(high.value - low.value) <= noise, secant, cubic)
    known = np.isfinite(high.value) & np.isfinite(high.slope)
    place = np.where(known, np.where(np.isfinite(place), place, 0.5), _MARGIN)
    return low.step + np.clip(place, _MARGIN, 1 - _MARGIN) * width


def search(
    fun: Objective, x: Any, direction: Any, value: Any, gradient: Any, first: Any, limit: Any
) -> Search:
    """A step from `x` along a direction of descent.

    Args:
      fun: returns the value and the gradient at a point.
      x, value, gradient: where to start, and what `fun` returns there.
      direction: a vector with a negative product with `gradient`.
      first: the first step to try.
      limit: how often `fun` may be called.
    Returns:
      the search at its end: `low` is the step, `found` says whether both conditions hold; if not, `low` may be the start.
      Steps are constants for derivatives.
    """
    eps = dtypes.finfo(x.dtype).eps
    start = Point(np.zeros((), x.dtype), value, dot(gradient, direction))
    noise = 2 * float(eps) * np.abs(value)
    length, size = np.max(np.abs(direction), initial=0), np.max(np.abs(x), initial=0)

    def going(s: Search) -> Any:
        return ~s.found & ~s.narrow & (s.evaluations < limit)

    def step(s: Search) -> Search:
        there, gradient = fun(x + s.trial * direction)
        new = Point(s.trial, there, dot(gradient, direction))
        decreased = (new.value <= value + DECREASE * new.step * start.slope) & (new.value < s.low.value)
        level = (new.value <= value + noise) & (new.slope <= (2 * DECREASE - 1) * start.slope)
        better = (decreased | level) & np.isfinite(new.value) & np.isfinite(new.slope)
        ahead = np.where(s.bracketed, s.high.step - s.low.step, 1)
        passed = new.slope * ahead >= 0
        low = _chosen(better, new, s.low)
        high = _chosen(better, _chosen(passed, s.low, s.high), new)
        bracketed = s.bracketed | ~better | passed
        trial = np.where(bracketed, _between(low, high, noise), _GROWTH * s.trial)
        return Search(
            low,
            high,
            np.where(better, gradient, s.gradient),
            lax.stop_gradient(trial).astype(x.dtype),
            bracketed,
            better & (np.abs(new.slope) <= -CURVATURE * start.slope),
            bracketed & (np.abs(high.step - low.step) * length <= float(eps) * size),
            s.evaluations + 1,
        )

    no = np.zeros((), bool)
    first = lax.stop_gradient(first).astype(x.dtype)
    begin = Search(start, start, gradient, first, no, no, no, np.zeros((), np.int32))
    return lax.while_loop(going, step, begin)

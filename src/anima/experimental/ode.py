"""Initial value problems of ordinary differential equations.

Invariant: the solver works on one vector; pytrees are made vectors first. Derivatives are those of the solution, by the
adjoint equation, and do not pass through the solver's steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as onp

import anima.numpy as np
from anima import dtypes, lax
from anima.core.trace import is_value
from anima.custom_derivatives import closure_convert, custom_vjp
from anima.flatten_util import ravel_pytree
from anima.transforms.autodiff import vjp
from anima.transforms.vmap import vmap
from anima.tree_util import tree_flatten, tree_leaves, tree_map, tree_unflatten

# J. R. Dormand and P. J. Prince, "A family of embedded Runge-Kutta formulae", 1980.
_TIMES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_FOURTH = (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40)
_ERROR = tuple(five - four for five, four in zip((*_STAGES[-1], 0.0), _FOURTH))
# L. F. Shampine, "Some practical Runge-Kutta formulas", 1986: the value in the middle of a step.
_MIDDLE = (
    6025192743 / 30085553152 / 2, 0.0, 51252292925 / 65400821598 / 2, -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2, -1776094331 / 19743644256 / 2, 11237099 / 235043384 / 2,
)  # fmt: skip
_SAFETY, _GROWTH, _SHRINKAGE, _ORDER = 0.9, 10.0, 0.2, 5.0


class _Settings(NamedTuple):
    rtol: float
    atol: float
    mxstep: float
    hmax: float


class _State(NamedTuple):
    """Where the solver is: the last step went from `before` to `t`."""

    y: Any
    slope: Any
    t: Any
    step: Any
    before: Any
    polynomial: Any


def _weighted(coefficients: tuple[float, ...], slopes: list[Any]) -> Any:
    terms = [c * k for c, k in zip(coefficients, slopes) if c]
    return sum(terms[1:], terms[0])


def _size(error: Any, y: Any, new: Any, settings: _Settings) -> Any:
    """The root mean square of the error over what is tolerated: at most 1 for a good step."""
    bound = settings.atol + settings.rtol * np.maximum(np.abs(y), np.abs(new))
    return np.sqrt(np.mean(np.abs(error / bound) ** 2))


def _first_step(fun: Any, y: Any, t: Any, slope: Any, settings: _Settings) -> Any:
    """E. Hairer, S. P. Norsett and G. Wanner, "Solving ordinary differential equations I", section II.4."""
    bound = settings.atol + settings.rtol * np.abs(y)

    def norm(x: Any) -> Any:
        return np.sqrt(np.sum(np.abs(x / bound) ** 2))

    value, speed = norm(y), norm(slope)
    small = (value < 1e-5) | (speed < 1e-5)
    guess = np.where(small, 1e-6, 0.01 * value / np.where(small, 1, speed)).astype(t.dtype)
    bend = norm(fun(y + guess.astype(y.dtype) * slope, t + guess) - slope) / guess
    most = np.maximum(speed, bend)
    flat = most <= 1e-15
    second = np.where(flat, np.maximum(1e-6, guess * 1e-3), (0.01 / np.where(flat, 1, most)) ** (1 / _ORDER))
    return np.minimum(100 * guess, second).astype(t.dtype)


def _attempt(fun: Any, state: _State) -> tuple[Any, Any, Any, Any]:
    """One step: the new value, its slope, the error, and the polynomial in between."""
    y, h = state.y, state.step.astype(state.y.dtype)
    slopes = [state.slope]
    for time, row in zip(_TIMES, _STAGES):
        new = y + h * _weighted(row, slopes)
        slopes.append(fun(new, state.t + time * state.step))
    middle = y + h * _weighted(_MIDDLE, slopes)
    first, last = h * slopes[0], h * slopes[-1]
    # The quartic with these three values and both slopes, from the highest coefficient.
    polynomial = np.stack(
        [
            2 * (last - first) - 8 * (new + y) + 16 * middle,
            5 * first - 3 * last + 18 * y + 14 * new - 32 * middle,
            last - 4 * first - 11 * y - 5 * new + 16 * middle,
            first,
            y,
        ]
    )
    return new, slopes[-1], h * _weighted(_ERROR, slopes), polynomial


def _advance(fun: Any, state: _State, settings: _Settings) -> _State:
    new, slope, error, polynomial = _attempt(fun, state)
    size = _size(error, state.y, new, settings)
    least = np.where(size < 1, 1.0, _SHRINKAGE)
    factor = np.clip(_SAFETY * np.maximum(size, 1e-30) ** (-1 / _ORDER), least, _GROWTH)
    # An error that is no number asks for a smaller step, like one that is too large.
    factor = np.where(np.isnan(size), _SHRINKAGE, factor)
    step = np.clip(state.step * factor, 0.0, settings.hmax).astype(state.step.dtype)
    there = _State(new, slope, state.t + state.step, step, state.t, polynomial)
    stay = state._replace(step=step)
    return _State(*[np.where(size <= 1, new, old) for new, old in zip(there, stay)])


def _solve(fun: Any, y: Any, ts: Any, settings: _Settings) -> Any:
    """The values at increasing times, `y` being that at the first; a row for each."""

    def until(state: _State, target: Any) -> tuple[_State, Any]:
        def going(carry: Any) -> Any:
            now, count = carry
            return (now.t < target) & (count < settings.mxstep) & (now.step > 0)

        state, _ = lax.while_loop(
            going,
            lambda carry: (_advance(fun, carry[0], settings), carry[1] + 1),
            (state, np.zeros((), np.int32)),
        )
        length = state.t - state.before
        where = ((target - state.before) / np.where(length == 0, 1, length)).astype(y.dtype)
        # A wrong number would not be seen where steps ran out, or where times decrease.
        reached = (state.t >= target) & (state.before <= target)
        return state, np.where(reached, np.polyval(state.polynomial, where), np.nan)

    slope = fun(y, ts[0])
    step = np.clip(_first_step(fun, y, ts[0], slope, settings), 0.0, settings.hmax).astype(ts.dtype)
    start = _State(y, slope, ts[0], step, ts[0], np.stack([np.zeros_like(y)] * 4 + [y]))
    return np.concatenate([y[None], lax.scan(until, start, ts[1:])[1]])


def _flat(func: Any, unravel: Any, dtype: Any) -> Any:
    def fun(y: Any, t: Any, *args: Any) -> Any:
        slope = ravel_pytree(func(unravel(y), t, *args))[0]
        if slope.shape != y.shape:
            raise ValueError(
                f"odeint: func must return as many numbers as the state has, {y.size}, but returned {slope.size}"
            )
        return slope.astype(dtype)

    return fun


def _odeint(fun: Any, settings: _Settings, y: Any, ts: Any, args: Any) -> Any:
    return _solve(lambda y, t: fun(y, t, *args), y, ts, settings)


def _forward(fun: Any, settings: _Settings, y: Any, ts: Any, args: Any) -> Any:
    ys = _solving(fun, settings, y, ts, args)
    return ys, (ys, ts, args)


def _backward(fun: Any, settings: _Settings, saved: Any, cotangents: Any) -> Any:
    """The adjoint equation, backwards over one interval after the other, with the state solved again beside it."""
    ys, ts, args = saved
    leaves, tree = tree_flatten(args)
    moving = [i for i, leaf in enumerate(leaves) if dtypes.is_inexact(leaf.dtype)]
    start = (ys[-1], np.zeros_like(ys[-1]), [np.zeros_like(leaves[i]) for i in moving])
    _, unravel = ravel_pytree(start)

    def slopes(joined: Any, back: Any, *leaves: Any) -> Any:
        def forward(y: Any, values: Any) -> Any:
            found = dict(zip(moving, values))
            return fun(y, -back, *tree_unflatten(tree, [found.get(i, leaf) for i, leaf in enumerate(leaves)]))

        y, adjoint, _ = unravel(joined)
        slope, pull = vjp(forward, y, [leaves[i] for i in moving])
        return ravel_pytree((-slope, *pull(adjoint)))[0]

    def interval(carry: Any, now: Any) -> Any:
        adjoint, so_far = carry
        y, cotangent, late, early = now
        at_late = np.sum(fun(y, late, *args) * cotangent).real.astype(ts.dtype)
        joined = ravel_pytree((y, adjoint + cotangent, so_far))[0]
        # Solved by the function that has derivatives itself, so that derivatives can be nested.
        ends = _solving(slopes, settings, joined, np.stack([-late, -early]), tuple(leaves))
        _, adjoint, so_far = unravel(ends[1])
        return (adjoint, so_far), at_late

    (adjoint, of_args), of_ts = lax.scan(
        interval, (start[1], start[2]), (ys[1:], cotangents[1:], ts[1:], ts[:-1]), reverse=True
    )
    # A later start shortens the way: its derivative is that of the state, with the other sign.
    of_start = -np.sum(fun(ys[0], ts[0], *args) * adjoint).real.astype(ts.dtype)
    found = dict(zip(moving, of_args))
    of_leaves = [found.get(i, onp.zeros(leaf.shape, dtypes.float0)) for i, leaf in enumerate(leaves)]
    return adjoint + cotangents[0], np.concatenate([of_start[None], of_ts]), tree_unflatten(tree, of_leaves)


_solving = custom_vjp(_odeint, nondiff_argnums=(0, 1))
_solving.defvjp(_forward, _backward)


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: float = 1.4e-8,
    atol: float = 1.4e-8,
    mxstep: float = onp.inf,
    hmax: float = onp.inf,
) -> Any:
    """The solution of `dy/dt = func(y, t, *args)` at given times, by Dormand and Prince's pair of orders 5 and 4.

    Steps adapt to the error; values between them are interpolated. Derivatives in reverse mode are those by the start, the
    times and the arguments, also what `func` closes over, by the adjoint equation; its memory does not grow with the steps.

    Args:
      func: the slope, of the structure of `y0`.
      y0: the state at the first time: an array or a pytree of them, floating-point or complex.
      t: increasing times, a one-dimensional floating-point array with at least one element.
      args: more arguments of `func`: pytrees of arrays.
      rtol, atol: the tolerated relative and absolute error of a step.
      mxstep: the most steps between two times.
      hmax: the longest step.
    Returns:
      what `y0` is, with one more dimension in front, for the times; NaN for times that are not reached, because steps ran
      out or became 0, or because times decrease.
    Raises:
      TypeError: `t` is not floating-point, or something else is no array. ValueError: `t` or a slope has a wrong shape.

    >>> import anima.numpy as np
    >>> from anima.experimental.ode import odeint
    >>> ys = odeint(lambda y, t: -y, np.array(1.0), np.array([0.0, 1.0, 2.0]))
    >>> bool(np.allclose(ys, np.exp(-np.arange(3.0)), atol=1e-5))
    True
    """
    for leaf in tree_leaves(args):
        if not is_value(leaf):
            raise TypeError(f"The contents of odeint *args must be arrays or scalars, but got {leaf}.")
    times = np.asarray(t)
    if not np.issubdtype(times.dtype, np.floating):
        raise TypeError(f"odeint: t must be an array of floats, but got {t}")
    if times.ndim != 1 or not times.size:
        raise ValueError(f"odeint: t must be one-dimensional with at least one time, got shape {times.shape}")
    state, unravel = ravel_pytree(y0)
    if not dtypes.is_inexact(state.dtype):
        raise TypeError(
            f"odeint: y0 must be floating-point or complex, got {state.dtype}; convert it with astype"
        )
    more = tree_map(np.asarray, args)
    fun, consts = closure_convert(_flat(func, unravel, state.dtype), state, times[0], *more)
    settings = _Settings(rtol, atol, mxstep, hmax)
    ys = _solving(fun, settings, state, times, (*more, *consts))
    return vmap(unravel)(ys)

"""A Kalman filter forwards and its smoother (Rauch, Tung and Striebel) backwards, over 500 observations of a moving point."""

from __future__ import annotations

from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, again, numbers, on

STEPS = 500


def build(lib: Adapter) -> Run:
    np, lax = lib.np, lib.lax

    def estimate(move: Any, see: Any, drift: Any, blur: Any, seen: Any) -> Any:
        def forwards(carry: Any, y: Any) -> Any:
            mean, spread = carry
            guess, doubt = move @ mean, move @ spread @ move.T + drift
            wrong = see @ doubt @ see.T + blur
            gain = np.linalg.solve(wrong, see @ doubt).T
            mean = guess + gain @ (y - see @ guess)
            spread = doubt - gain @ wrong @ gain.T
            return (mean, spread), (mean, spread, guess, doubt)

        def backwards(carry: Any, row: Any) -> Any:
            later, later_spread = carry
            mean, spread, guess, doubt = row
            gain = np.linalg.solve(doubt, move @ spread).T
            mean = mean + gain @ (later - guess)
            spread = spread + gain @ (later_spread - doubt) @ gain.T
            return (mean, spread), (mean, spread)

        _, (means, spreads, guesses, doubts) = lax.scan(forwards, (np.zeros(4), np.eye(4)), seen)
        # What is known at a time is corrected by what the next one turned out to be.
        rows = (means[:-1], spreads[:-1], guesses[1:], doubts[1:])
        return means, lax.scan(backwards, (means[-1], spreads[-1]), rows, reverse=True)[1]

    eye = numpy.eye(4, dtype=numpy.float32)
    move = eye + 0.1 * numpy.eye(4, k=2, dtype=numpy.float32)
    seen = numpy.cumsum(numbers(STEPS, 2, seed=1, scale=0.3), 0)
    data = on(lib, (move, eye[:2], 0.01 * eye, 0.1 * eye[:2, :2], seen))
    return Run(again(lib.jit(estimate), *data))

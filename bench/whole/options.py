"""Prices of options by Black and Scholes, and their derivatives to the second order, each option by itself under `vmap`."""

from __future__ import annotations

from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, again, on

OPTIONS = 10_000


def build(lib: Adapter) -> Run:
    np, grad = lib.np, lib.grad
    assert grad is not None and lib.vmap is not None

    def below(x: Any) -> Any:
        return 0.5 * (1 + lib.lax.erf(x / 2**0.5))

    def price(spot: Any, spread: Any, strike: Any, rate: Any, time: Any) -> Any:
        width = spread * np.sqrt(time)
        upper = (np.log(spot / strike) + (rate + 0.5 * spread * spread) * time) / width
        return spot * below(upper) - strike * np.exp(-rate * time) * below(upper - width)

    by_spot, by_spread = grad(price, argnums=0), grad(price, argnums=1)
    second = grad(by_spot, argnums=0), grad(by_spot, argnums=1), grad(by_spread, argnums=1)

    def greeks(*option: Any) -> Any:
        return tuple(f(*option) for f in (price, by_spot, by_spread, *second))

    option = on(lib, columns())
    return Run(again(lib.jit(lib.vmap(greeks)), *option))


def columns() -> list[Any]:
    """What the options are: spot prices, volatilities, strikes, interest rates and times."""
    draw = numpy.random.default_rng(1)
    ranges = ((80, 120), (0.1, 0.5), (90, 110), (0.01, 0.05), (0.2, 2.0))
    return [draw.uniform(low, high, OPTIONS).astype(numpy.float32) for low, high in ranges]

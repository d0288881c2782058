"""What the common functions of NumPy cost outside of `jit`: warm, in a loop, and in a program that nobody ran before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as onp

from bench import new_shapes
from bench.adapters import Adapter
from bench.case import Program
from bench.fresh import number_from

program = Program("NumPy's functions, eagerly")

_ALL = ("jax", "torch", "numpy")
_UPDATES = {"jax": 0.05}
_INDEXING = {**_UPDATES, "torch": 1.0}
_FUNCTIONS = {"jax": 0.25, "torch": 1.0}


@program.timed("x[i], a new i each time", peers=_ALL, limits=_INDEXING)
def index(lib: Adapter) -> Callable[[], Any]:
    x, i = lib.np.arange(10.0), iter(range(10**9))
    return lambda: x[next(i) % 10]


@program.timed("x[1:3]", peers=_ALL, limits=_INDEXING)
def slice_(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: x[1:3]


@program.timed("x[mask]", peers=_ALL, limits=_INDEXING)
def mask(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    chosen = x > 5
    return lambda: x[chosen]


@program.timed("x[indices]", peers=_ALL, limits=_INDEXING)
def fancy(lib: Adapter) -> Callable[[], Any]:
    x, chosen = lib.np.arange(10.0), lib.np.asarray(onp.array([1, 3, 5]))
    return lambda: x[chosen]


@program.timed("x.at[1].set(2.0)", limits=_UPDATES)
def update(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: x.at[1].set(2.0)


@program.timed("x.at[indices].add(1.0)", limits=_UPDATES)
def add_at(lib: Adapter) -> Callable[[], Any]:
    x, chosen = lib.np.arange(10.0), lib.np.asarray(onp.array([1, 3, 5]))
    return lambda: x.at[chosen].add(1.0)


@program.timed("zeros((3, 4))", peers=_ALL, limits=_FUNCTIONS)
def zeros(lib: Adapter) -> Callable[[], Any]:
    return lambda: lib.np.zeros((3, 4))


@program.timed("arange(10)", peers=_ALL, limits=_FUNCTIONS)
def arange(lib: Adapter) -> Callable[[], Any]:
    return lambda: lib.np.arange(10)


@program.timed("asarray(array of NumPy)", peers=_ALL, limits=_FUNCTIONS)
def asarray(lib: Adapter) -> Callable[[], Any]:
    x = onp.arange(10, dtype=onp.float32)
    return lambda: lib.np.asarray(x)


@program.timed("linspace(0, 1, 10)", peers=_ALL, limits=_FUNCTIONS)
def linspace(lib: Adapter) -> Callable[[], Any]:
    return lambda: lib.np.linspace(0, 1, 10)


@program.timed("sum(x)", peers=_ALL, limits=_FUNCTIONS)
def sum_(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: lib.np.sum(x)


@program.timed("argmax(x)", peers=_ALL, limits=_FUNCTIONS)
def argmax(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: lib.np.argmax(x)


@program.timed("where(x > 5, x, y)", peers=_ALL, limits=_FUNCTIONS)
def where(lib: Adapter) -> Callable[[], Any]:
    x, y = lib.np.arange(10.0), lib.np.ones(10)
    return lambda: lib.np.where(x > 5, x, y)


@program.timed("clip(x, 2.0, 5.0)", peers=_ALL, limits=_FUNCTIONS)
def clip(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: lib.np.clip(x, 2.0, 5.0)


@program.timed("concatenate([x, y])", peers=_ALL, limits=_FUNCTIONS)
def concatenate(lib: Adapter) -> Callable[[], Any]:
    x, y = lib.np.arange(10.0), lib.np.ones(10)
    return lambda: lib.np.concatenate([x, y])


@program.timed("stack([x, y])", peers=_ALL, limits=_FUNCTIONS)
def stack(lib: Adapter) -> Callable[[], Any]:
    x, y = lib.np.arange(10.0), lib.np.ones(10)
    return lambda: lib.np.stack([x, y])


@program.timed("reshape(x, (2, 5))", peers=_ALL, limits=_FUNCTIONS)
def reshape(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: lib.np.reshape(x, (2, 5))


@program.timed("x.T, 3 by 4", peers=_ALL, limits=_FUNCTIONS)
def transpose(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.zeros((3, 4))
    return lambda: x.T


@program.timed("x @ y, 8 by 8", peers=_ALL, limits=_FUNCTIONS)
def matmul(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.ones((8, 8))
    return lambda: x @ x


@program.timed("for i in range(1000): s += x[i]", peers=_ALL, limits=_INDEXING)
def loop(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(1000.0)

    def run() -> Any:
        s = 0.0
        for i in range(1000):
            s += x[i]
        return s

    return run


# A program as people write it with NumPy, over more than 300 pairs of an operation and a shape, none met before.
_COLD = """
import time
import numpy
import {lib} as jax
import {lib}.numpy as np

jax.block_until_ready(np.ones(3) + 1)  # the import and the first device are not what is measured
source = numpy.random.default_rng(0)
start = time.perf_counter()
results = []
for rows in range(5, 30):
    columns = 40 - rows
    x = np.asarray(source.normal(size=(rows, columns)).astype(numpy.float32))
    weights = np.linspace(0.0, 1.0, columns)
    centred = x - x.mean(axis=0)
    scaled = centred / (x.std(axis=0) + 1e-6)
    positive = np.where(scaled > 0, scaled, 0.0)
    best = np.argmax(positive, axis=1)
    product = scaled @ scaled.T
    rows_by_weight = np.sort(scaled @ weights)
    joined = np.concatenate([x, scaled], axis=1)
    stacked = np.stack([x, positive])
    picked = joined[:, ::2]
    changed = x.at[1].set(0.0)
    limited = np.clip(np.exp(changed), 0.5, 2.0)
    results += [best, product, rows_by_weight, stacked.sum(axis=0), picked.T.reshape(-1), limited.max(), np.cumsum(x[0])]
jax.block_until_ready(results)
took = time.perf_counter() - start
"""


@program.measured("a program of shapes that were never met", unit="s", limits={"jax": 0.1})
def cold(lib: str, scratch: Path) -> float:
    return number_from(_COLD, lib, scratch, ANIMA_ENABLE_COMPILATION_CACHE="0")


def _new_shapes(name: str, cases: Mapping[str, str]) -> None:
    @program.measured(f"{name} at shapes that were never met", unit="s", limits={"jax": 0.1})
    def measure(lib: str, scratch: Path) -> float:
        return number_from(new_shapes.source(cases), lib, scratch, ANIMA_ENABLE_COMPILATION_CACHE="0")


_new_shapes("NumPy's functions", new_shapes.NUMPY)
_new_shapes("random numbers", new_shapes.RANDOM)
_new_shapes("linear algebra", new_shapes.LINALG)
_new_shapes("Fourier transforms", new_shapes.FFT)
_new_shapes("functions of scipy.special and nn", new_shapes.OTHERS)

"""What a fresh process costs: the import, the first result, its memory, and what a second process compiles again."""

from __future__ import annotations

from pathlib import Path

from bench.case import Program
from bench.fresh import PEAK, everything_kept, number_from

program = Program("Starting a process")

# Run in a process of its own; the clock starts before the import.
_FIRST_RESULT = """
import time
start = time.perf_counter()
import {lib} as jax
import {lib}.numpy as np
jax.block_until_ready(jax.jit(lambda x: np.sin(x) * 2.0 + 1.0)(np.arange(10.0)))
took = time.perf_counter() - start
"""
_IMPORT = """
import time
start = time.perf_counter()
import {lib}, {lib}.numpy
took = time.perf_counter() - start
"""
_TRAINING = """
import {lib} as jax
import {lib}.numpy as np
def loss(w, x, y):
    return np.mean((np.tanh(x @ w) - y) ** 2)
keys = jax.random.split(jax.random.PRNGKey(0), 3)
w, x, y = (jax.random.normal(k, s) for k, s in zip(keys, [(4, 2), (8, 4), (8, 2)]))
step = jax.jit(lambda w: w - 0.1 * jax.grad(loss)(w, x, y))
for _ in range(3):
    w = step(w)
w.at[0].set(1.0).block_until_ready()
from anima import _native
took = _native.compile_count()
"""


def _run(source: str, lib: str, cache: Path, own_cache_settings: bool = True) -> float:
    """The number that a fresh process prints, with the library's disk cache in `cache`."""
    return number_from(source, lib, cache, **(everything_kept(cache) if own_cache_settings else {}))


@program.measured("import and first jitted result, disk cache warm", unit="s", limits={"jax": 0.3})
def warm(lib: str, scratch: Path) -> float:
    _run(_FIRST_RESULT, lib, scratch)
    return _run(_FIRST_RESULT, lib, scratch)


@program.measured("the same, each as installed (JAX keeps no cache)", unit="s", slow=True)
def as_installed(lib: str, scratch: Path) -> float:
    _run(_FIRST_RESULT, lib, scratch, own_cache_settings=False)
    return _run(_FIRST_RESULT, lib, scratch, own_cache_settings=False)


@program.measured("the same, disk cache empty", unit="s", slow=True)
def cold(lib: str, scratch: Path) -> float:
    return _run(_FIRST_RESULT, lib, scratch)


@program.measured("import alone", unit="s", peers=("jax", "torch", "numpy"), limits={"jax": 0.35})
def import_alone(lib: str, scratch: Path) -> float:
    source = _IMPORT if lib not in ("torch", "numpy") else _IMPORT.replace(", {lib}.numpy", "")
    return _run(source, lib, scratch)


@program.measured("peak memory of import and first jitted result", unit="B", limits={"jax": 0.8})
def memory(lib: str, scratch: Path) -> float:
    return _run(_FIRST_RESULT + PEAK, lib, scratch)


@program.measured("compilations by XLA in a second process, same program", unit="", peers=(), at_most=0)
def second_process(lib: str, scratch: Path) -> float:
    if not _run(_TRAINING, lib, scratch):
        raise RuntimeError("the first process compiled nothing: the count says nothing")
    return _run(_TRAINING, lib, scratch)

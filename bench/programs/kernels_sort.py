"""Sorting, the largest elements and permutations, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.adapters import Adapter
from bench.case import Program

program = Program("Sorting")

MILLION = 1_000_000


def _scattered(lib: Adapter, *shape: int) -> Any:
    """Numbers in an order without a pattern, the same ones from every library."""
    count = 1
    for size in shape:
        count *= size
    return lib.np.sin(lib.np.arange(float(count)) ** 2).reshape(*shape)


def _declare(
    name: str, function: Callable[[Adapter], Callable[[Any], Any]], shape: tuple[int, ...], limit: float
) -> None:
    def prepare(lib: Adapter) -> Callable[[], Any]:
        compiled, x = lib.jit(function(lib)), _scattered(lib, *shape)
        return lambda: compiled(x)

    program.timed(name, peers=("jax", "torch"), limits={"jax": limit, "torch": 1.1})(prepare)


def _top(k: int) -> Callable[[Adapter], Callable[[Any], Any]]:
    return lambda lib: lambda x: lib.lax.top_k(x, k)


_declare("sort, 1 million", lambda lib: lib.np.sort, (MILLION,), 0.1)
_declare("argsort, 1 million", lambda lib: lib.np.argsort, (MILLION,), 0.1)
_declare("top_k, 10 of 1 million", _top(10), (MILLION,), 0.1)
_declare("top_k, 1000 of 1 million", _top(1000), (MILLION,), 0.1)
_declare("sort, 1000 rows of 100", lambda lib: lib.np.sort, (1000, 100), 0.2)
_declare("top_k, 8 of 1000 rows of 1000", _top(8), (1000, 1000), 0.5)
_declare("sort, 10 elements", lambda lib: lib.np.sort, (10,), 0.5)


@program.timed("permutation of 1 million", peers=("jax", "torch"), limits={"jax": 0.3, "torch": 1.1})
def permutation(lib: Adapter) -> Callable[[], Any]:
    key = lib.random.PRNGKey(0)
    compiled = lib.jit(lambda key: lib.random.permutation(key, MILLION))
    return lambda: compiled(key)

"""What a call of a compiled function costs when the computation itself costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.adapters import Adapter
from bench.case import Program

program = Program("Calling compiled functions")


@program.timed("jit: x + y, 10 elements", peers=("jax", "torch", "numpy"), limits={"jax": 0.4})
def add(lib: Adapter) -> Callable[[], Any]:
    f = lib.jit(lambda x, y: x + y)
    x, y = lib.np.arange(10.0), lib.np.ones(10)
    return lambda: f(x, y)


def _leaves(lib: Adapter) -> dict[str, dict[str, Any]]:
    """40 arrays in a tree as a small model with its optimiser state has it."""
    return {f"layer{i}": {name: lib.np.ones(3) for name in ("w", "b", "m", "v")} for i in range(10)}


@program.timed("jit: tree of 40 leaves to one array", limits={"jax": 0.3})
def tree_in(lib: Adapter) -> Callable[[], Any]:
    def total(tree: dict[str, dict[str, Any]]) -> Any:
        return sum(leaf for layer in tree.values() for leaf in layer.values())

    f, tree = lib.jit(total), _leaves(lib)
    return lambda: f(tree)


@program.timed("jit: tree of 40 leaves to a tree of 40 leaves", limits={"jax": 0.3})
def tree_in_out(lib: Adapter) -> Callable[[], Any]:
    def double(tree: dict[str, dict[str, Any]]) -> Any:
        return {key: {name: leaf * 2.0 for name, leaf in layer.items()} for key, layer in tree.items()}

    f, tree = lib.jit(double), _leaves(lib)
    return lambda: f(tree)


@program.timed("jit: a static argument and a keyword", limits={"jax": 0.4})
def static_and_keyword(lib: Adapter) -> Callable[[], Any]:
    def power(x: Any, n: int, *, scale: Any) -> Any:
        for _ in range(n):
            x = x * scale
        return x

    f, x = lib.jit(power, static_argnums=1), lib.np.ones(10)
    return lambda: f(x, 3, scale=2.0)


@program.timed("jit: NumPy arguments", peers=("jax",))
def numpy_arguments(lib: Adapter) -> Callable[[], Any]:
    import numpy

    f, x = lib.jit(lambda x, y: x + y), numpy.arange(10, dtype=numpy.float32)
    return lambda: f(x, x)

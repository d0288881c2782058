"""What whole programs are made of: numbers to start from, and how a step is handed on.

Invariant: every library starts from the same numbers, made by NumPy, and a program does not know which library runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from bench.adapters import Adapter

Tree = Any


@dataclass(frozen=True)
class Run:
    """A program made ready by one library.

    `step` makes one step and returns its results: a training step goes on from the state of the step before, a simulation
    or an estimate is computed anew. The first result is that of the step numbered `first`, and `tolerance` is how far the
    libraries' results may lie apart after it, relative to their size.
    """

    step: Callable[[], Tree]
    first: int = 1
    tolerance: float = 1e-5


def numbers(*shape: int, seed: int, scale: float = 1.0) -> Any:
    """Normally distributed numbers."""
    drawn = numpy.random.default_rng(seed).standard_normal(shape, numpy.float32)
    return drawn * numpy.float32(scale)


def integers(*shape: int, below: int, seed: int) -> Any:
    """Evenly distributed integers."""
    return numpy.random.default_rng(seed).integers(0, below, shape, numpy.int32)


def on(lib: Adapter, tree: Tree) -> Tree:
    """The arrays of a tree of dictionaries, lists and tuples as those of a library."""
    if isinstance(tree, dict):
        return {key: on(lib, value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(on(lib, value) for value in tree)
    return lib.np.asarray(tree)


def going_on(
    update: Callable[..., tuple[Any, ...]], state: tuple[Any, ...], *data: Any
) -> Callable[[], Tree]:
    """A step that goes on from the last one's state: `update(*state, *data)` returns the next state."""

    def step() -> Tree:
        nonlocal state
        state = update(*state, *data)
        return state

    return step


def again(function: Callable[..., Any], *data: Any) -> Callable[[], Tree]:
    """A step that computes the same anew."""
    return lambda: function(*data)


def digest(tree: Tree) -> list[tuple[float, float]]:
    """Two sums over each array of a tree, the second with signs that differ from place to place, and the size of both."""
    if isinstance(tree, dict):
        return digest(list(tree.values()))
    if isinstance(tree, (list, tuple)):
        return [pair for part in tree for pair in digest(part)]
    flat = numpy.asarray(tree).astype(numpy.float64).ravel()
    size = float(numpy.abs(flat).sum())
    return [(float(flat.sum()), size), (float(flat @ numpy.cos(numpy.arange(flat.size))), size)]

"""Random numbers: what one small call costs, and how long a million take.

Invariant: each library draws from its own generator, as it is by default; the counts and distributions are the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from bench.adapters import Adapter
from bench.case import Program

program = Program("Random numbers")

MILLION = 1_000_000
PEERS = ("jax", "torch", "numpy")
SMALL = {"jax": 0.2}
LARGE = {"jax": 1.1, "torch": 1.1}

Thunk = Callable[[], Any]
Draw = Callable[[], Any]


def row(
    name: str,
    ours: Callable[[Any, Any], Any],
    torch: Callable[[Any], Any],
    numpy: Callable[[Any], Any],
    **options: Any,
) -> None:
    """Declare a case: a function of a module of random functions and a key, one of PyTorch, one of a NumPy generator."""

    @program.timed(name, peers=PEERS, **options)
    def build(lib: Adapter) -> Thunk:
        if lib.name == "torch":
            module = importlib.import_module("torch")
            return lambda: torch(module)
        if lib.name == "numpy":
            generator = importlib.import_module("numpy").random.default_rng(0)
            return lambda: numpy(generator)
        key, draw = lib.random.PRNGKey(0), lib.random
        return lambda: ours(draw, key)


@program.timed("split(key)", limits=SMALL)
def split(lib: Adapter) -> Thunk:
    key = lib.random.PRNGKey(0)
    return lambda: lib.random.split(key)


@program.timed("split of a typed key", limits=SMALL)
def split_typed(lib: Adapter) -> Thunk:
    key = lib.random.key(0)
    return lambda: lib.random.split(key)


@program.timed("fold_in(key, 7)", limits=SMALL)
def fold_in(lib: Adapter) -> Thunk:
    key = lib.random.PRNGKey(0)
    return lambda: lib.random.fold_in(key, 7)


row(
    "normal, 10",
    lambda r, k: r.normal(k, (10,)),
    lambda t: t.randn(10),
    lambda g: g.standard_normal(10, "f4"),
    limits=SMALL,
)
row("a million normals", lambda r, k: r.normal(k, (MILLION,)), lambda t: t.randn(MILLION),
    lambda g: g.standard_normal(MILLION, "f4"), limits=LARGE)  # fmt: skip
row("a million uniforms", lambda r, k: r.uniform(k, (MILLION,)), lambda t: t.rand(MILLION),
    lambda g: g.random(MILLION, "f4"), limits=LARGE)  # fmt: skip
row("a million integers below 1000", lambda r, k: r.randint(k, (MILLION,), 0, 1000), lambda t: t.randint(0, 1000, (MILLION,)),
    lambda g: g.integers(0, 1000, MILLION, "i4"), limits=LARGE)  # fmt: skip
row("a permutation of a million", lambda r, k: r.permutation(k, MILLION), lambda t: t.randperm(MILLION),
    lambda g: g.permutation(MILLION), limits={"jax": 0.3, "torch": 1.1})  # fmt: skip
row("1000 of a million, without replacement", lambda r, k: r.choice(k, MILLION, (1000,), replace=False),
    lambda t: t.randperm(MILLION)[:1000], lambda g: g.choice(MILLION, 1000, replace=False), limits=LARGE)  # fmt: skip

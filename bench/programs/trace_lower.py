"""What it costs to turn Python into a program: tracing, differentiation and lowering, without compiling."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.adapters import Adapter, load
from bench.case import Program
from bench.workloads import WORKLOADS, Workload, chained_sines

program = Program("Tracing and lowering")

LAYERS, WIDTH, BATCH = 20, 32, 8


def mlp_loss(lib: Adapter) -> Callable[..., Any]:
    """A fresh loss function, unknown to every cache of the library."""

    def loss(params: list[tuple[Any, Any]], x: Any, y: Any) -> Any:
        for w, b in params:
            x = lib.np.tanh(x @ w + b)
        return ((x - y) ** 2).mean()

    return loss


def mlp_arguments(lib: Adapter) -> tuple[list[tuple[Any, Any]], Any, Any]:
    params = [(lib.np.ones((WIDTH, WIDTH)), lib.np.zeros(WIDTH)) for _ in range(LAYERS)]
    return params, lib.np.ones((BATCH, WIDTH)), lib.np.zeros((BATCH, WIDTH))


@program.timed("jit(grad(loss)).lower(...), MLP of 20 layers", limits={"jax": 0.3})
def gradient(lib: Adapter) -> Callable[[], Any]:
    assert lib.grad is not None
    grad, arguments = lib.grad, mlp_arguments(lib)

    def lower() -> None:
        lib.jit(grad(mlp_loss(lib))).lower(*arguments)

    return lower


@program.timed("jit(loss).lower(...), the same without its gradient")
def forward(lib: Adapter) -> Callable[[], Any]:
    arguments = mlp_arguments(lib)

    def lower() -> None:
        lib.jit(mlp_loss(lib)).lower(*arguments)

    return lower


def _declare(name: str, work: Workload) -> None:
    def prepare(lib: Adapter) -> Callable[[], Any]:
        arguments = work.arguments(lib)

        def lower() -> None:
            lib.jit(work.function(lib)).lower(*arguments)

        return lower

    program.timed(
        f"jit(f).lower(...), {name}",
        limits={"jax": 0.3},
        slow=work.slow,
    )(prepare)


for _name, _work in WORKLOADS.items():
    _declare(_name, _work)


@program.measured(
    "time for 100,000 chained sin, over that for 1,000, over 100", unit="", at_most=1.5, slow=True
)
def growth(lib: str, scratch: Path) -> float:
    """How far from linear tracing and lowering are; the best of three of each."""
    adapter = load(lib)

    def took(count: int) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            adapter.jit(chained_sines(adapter, count)).lower(adapter.np.ones(8))
            best = min(best, time.perf_counter() - start)
        return best

    took(1_000)
    return took(100_000) / took(1_000) / 100

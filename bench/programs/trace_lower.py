"""What it costs to turn Python into a program: tracing, differentiation and lowering, without compiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.adapters import Adapter
from bench.case import Program

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


@program.timed("jit(grad(loss)).lower(...), MLP of 20 layers", limits={"jax": 0.4})
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

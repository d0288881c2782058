"""What single operations cost outside of `jit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.adapters import Adapter
from bench.case import Program

program = Program("Eager operations")

WARM = {"jax": 0.25}
AS_TORCH = {**WARM, "torch": 1.0}
INDEXED = {"jax": 0.05}


@program.timed("x + y, 10 elements", peers=("jax", "torch", "numpy"), limits=AS_TORCH)
def add(lib: Adapter) -> Callable[[], Any]:
    x, y = lib.np.arange(10.0), lib.np.ones(10)
    return lambda: x + y


@program.timed("x + 1.0, 10 elements", peers=("jax", "torch", "numpy"), limits=AS_TORCH)
def add_scalar(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: x + 1.0


@program.timed("sin(x), 10 elements", peers=("jax", "torch", "numpy"), limits=AS_TORCH)
def sin(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: lib.np.sin(x)


@program.timed("x[0]", peers=("jax", "torch", "numpy"), limits={**INDEXED, "torch": 1.0})
def index(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: x[0]


@program.timed("x.at[1].set(2.0)", limits=INDEXED)
def index_update(lib: Adapter) -> Callable[[], Any]:
    x = lib.np.arange(10.0)
    return lambda: x.at[1].set(2.0)


@program.timed("zeros(10)", peers=("jax", "torch", "numpy"), limits=AS_TORCH)
def zeros(lib: Adapter) -> Callable[[], Any]:
    return lambda: lib.np.zeros(10)


@program.timed("random.split(key)", limits=WARM)
def split(lib: Adapter) -> Callable[[], Any]:
    key = lib.random.PRNGKey(0)
    return lambda: lib.random.split(key)


@program.timed("grad(sin)(1.0)", peers=("jax", "torch"), limits=AS_TORCH)
def grad_sin(lib: Adapter) -> Callable[[], Any]:
    assert lib.grad is not None
    derivative = lib.grad(lib.np.sin)
    x = 1.0 if lib.name != "torch" else lib.np.ones(())
    return lambda: derivative(x)


@program.timed("vmap(sin)(x), 10 elements", limits=WARM)
def vmap_sin(lib: Adapter) -> Callable[[], Any]:
    assert lib.vmap is not None
    mapped, x = lib.vmap(lib.np.sin), lib.np.arange(10.0)
    return lambda: mapped(x)


@program.timed("jvp(sin, (x,), (t,)), 10 elements", limits=WARM)
def jvp_sin(lib: Adapter) -> Callable[[], Any]:
    assert lib.jvp is not None
    jvp, sin, x, t = lib.jvp, lib.np.sin, lib.np.arange(10.0), lib.np.ones(10)
    return lambda: jvp(sin, (x,), (t,))

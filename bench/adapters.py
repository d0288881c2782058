"""One interface to the libraries that are compared, so that a program is written once.

Invariant: an adapter adds no work of its own to what is timed: its attributes are the library's own functions; where it has
no counterpart, the identity (`jit` of a library that runs eagerly) or what its users write instead (a Python loop).

A library is named by its adapter's function here, or by `FILE.py:FUNCTION` for one that a test brings along.
"""

from __future__ import annotations

import importlib
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


@dataclass(frozen=True)
class Adapter:
    """What a program may use of a library. `block` waits until a value is computed."""

    name: str
    version: str
    np: Any
    block: Callable[[Any], Any]
    jit: Callable[..., Any]
    grad: Callable[..., Any] | None = None
    random: Any = None
    vmap: Callable[..., Any] | None = None
    jvp: Callable[..., Any] | None = None
    lax: Any = None
    nn: Any = None
    tree: Any = None
    ops: Any = None
    value_and_grad: Callable[..., Any] | None = None


def _identity(value: Any, **_: Any) -> Any:
    return value


def _fori_loop(start: int, stop: int, body: Callable[[int, Any], Any], value: Any) -> Any:
    """What a loop is where there is no compiler to give it to."""
    for i in range(start, stop):
        value = body(i, value)
    return value


def _jax_like(name: str) -> Adapter:
    module = importlib.import_module(name)
    np = importlib.import_module(f"{name}.numpy")
    return Adapter(
        name,
        module.__version__,
        np,
        module.block_until_ready,
        module.jit,
        module.grad,
        module.random,
        module.vmap,
        module.jvp,
        module.lax,
        importlib.import_module(f"{name}.nn"),
        module.tree,
        module.ops,
        module.value_and_grad,
    )


def anima() -> Adapter:
    """Ours."""
    return _jax_like("anima")


def jax() -> Adapter:
    """JAX."""
    return _jax_like("jax")


def numpy() -> Adapter:
    """NumPy, which runs eagerly and has no derivatives."""
    np = importlib.import_module("numpy")

    def segment_sum(values: Any, ids: Any, count: int) -> Any:
        sums = np.zeros((count, *values.shape[1:]), values.dtype)
        np.add.at(sums, ids, values)
        return sums

    lax, ops = SimpleNamespace(fori_loop=_fori_loop), SimpleNamespace(segment_sum=segment_sum)
    return Adapter("numpy", np.__version__, np, _identity, _identity, lax=lax, ops=ops)


def torch() -> Adapter:
    """PyTorch, eagerly, with its functional derivatives."""
    module = importlib.import_module("torch")
    np = SimpleNamespace(
        arange=module.arange, ones=module.ones, zeros=module.zeros, sin=module.sin, tanh=module.tanh, sort=module.sort,
        argsort=module.argsort, asarray=module.asarray, linspace=module.linspace, sum=module.sum, argmax=module.argmax,
        where=module.where, clip=module.clip, concatenate=module.concatenate, stack=module.stack, reshape=module.reshape,
        roll=module.roll,
    )  # fmt: skip
    random = SimpleNamespace(PRNGKey=module.manual_seed, permutation=lambda key, n: module.randperm(n))

    def segment_sum(values: Any, ids: Any, count: int) -> Any:
        return values.new_zeros((count, *values.shape[1:])).index_add_(0, ids, values)

    return Adapter(
        "torch",
        module.__version__,
        np,
        _identity,
        _identity,
        module.func.grad,
        random=random,
        lax=SimpleNamespace(top_k=module.topk, fori_loop=_fori_loop),
        nn=module.nn.functional,
        tree=SimpleNamespace(map=importlib.import_module("torch.utils._pytree").tree_map),
        ops=SimpleNamespace(segment_sum=segment_sum),
    )


def load(spec: str) -> Adapter:
    """The adapter of a library, by name or as `FILE.py:FUNCTION`; raises KeyError for an unknown name."""
    if ":" in spec:
        path, function = spec.rsplit(":", 1)
        adapter = runpy.run_path(path)[function]()
    else:
        adapter = {"anima": anima, "jax": jax, "numpy": numpy, "torch": torch}[spec]()
    assert isinstance(adapter, Adapter)
    return adapter

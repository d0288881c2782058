"""What the tests of control flow share: comparison of pytrees, and counts of traces and compilations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import anima
from anima.runtime.compiler import compile_stats


def assert_trees_close(got: Any, want: Any, tolerance: float = 1e-5, where: str = "") -> None:
    """Equal structures, shapes and dtypes' kinds, and close numbers."""
    leaves, tree = anima.tree.flatten(got)
    wanted, wanted_tree = anima.tree.flatten(want)
    assert tree == wanted_tree, f"{where}: {tree}, not {wanted_tree}"
    for a, b in zip(leaves, wanted):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, f"{where}: shape {a.shape}, not {b.shape}"
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=where)


def derivatives(fun: Callable[..., Any], tangents: tuple[Any, ...]) -> dict[str, Callable[..., Any]]:
    """Derivatives of a function with a scalar result by all its arguments, in many orders of transformations."""
    numbers = tuple(range(len(tangents)))
    grad = anima.grad(fun, numbers)

    def push(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: anima.jvp(f, args, tangents)[1]

    def along(*args: Any) -> Any:
        return sum((g * t).sum() for g, t in zip(grad(*args), tangents))

    return {
        "value": fun,
        "jit": anima.jit(fun),
        "jvp": push(fun),
        "jit of jvp": anima.jit(push(fun)),
        "grad": grad,
        "jit of grad": anima.jit(grad),
        "grad of jit": anima.grad(anima.jit(fun), numbers),
        "linearize": lambda *args: anima.linearize(fun, *args)[1](*tangents),
        "forward over reverse": anima.jit(push(grad)),
        "reverse over forward": anima.jit(anima.grad(push(fun), numbers)),
        "reverse over reverse": anima.jit(anima.grad(along, numbers)),
        "forward over forward": push(push(fun)),
    }


def assert_same_derivatives(
    fun: Callable[..., Any], plain: Callable[..., Any], args: tuple[Any, ...], tolerance: float = 2e-4
) -> None:
    """`fun` and its derivatives to second order are those of `plain`, which has no control flow."""
    tangents = tuple(np.cos(np.arange(np.size(a), dtype=np.float32)).reshape(np.shape(a)) for a in args)
    ours, theirs = derivatives(fun, tangents), derivatives(plain, tangents)
    for name in ours:
        want = anima.jit(theirs[name])(*args)
        assert_trees_close(ours[name](*args), want, tolerance, name)


def compilations(call: Callable[[], Any]) -> int:
    """How many programs XLA compiled, or were loaded from disk, while `call` ran."""
    before = compile_stats()
    anima.block_until_ready(call())
    after = compile_stats()
    return (after.compiles + after.disk_hits) - (before.compiles + before.disk_hits)


class Counted:
    """A function that counts how often Python runs it."""

    def __init__(self, fun: Callable[..., Any]) -> None:
        self.fun = fun
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        return self.fun(*args)

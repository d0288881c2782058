"""What the checks on four devices share: meshes, numbers, and a comparison with a function of whole arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import anima
from anima import P as P, grad, jit, jvp, shard_map

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6)).astype(np.float32)
W = RNG.normal(size=(6,)).astype(np.float32)


@functools.cache
def square() -> Any:
    """A mesh of two by two devices."""
    return anima.Mesh(np.array(anima.devices()).reshape(2, 2), ("x", "y"))


@functools.cache
def line() -> Any:
    """A mesh of four devices in a row."""
    return anima.Mesh(np.array(anima.devices()), ("i",))


def over(fun: Any, in_specs: Any, out_specs: Any, **options: Any) -> Any:
    """`shard_map` over the square mesh."""
    return shard_map(fun, mesh=square(), in_specs=in_specs, out_specs=out_specs, **options)


def equal(got: Any, want: Any) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=2e-5, atol=2e-5)


def same(
    fun: Callable[..., Any],
    whole: Callable[..., Any],
    *args: Any,
    argnums: tuple[int, ...] = (0,),
    forward: bool = True,
    thorough: bool = False,
) -> None:
    """Values and derivatives agree with those of a function of whole arrays.

    Args:
      forward: whether there are derivatives in forward mode.
      thorough: eagerly, too, and to second order.
    """
    weights = np.random.default_rng(1).normal(size=np.shape(whole(*args))).astype(np.float32)
    directions = tuple(np.random.default_rng(2).normal(size=np.shape(a)).astype(np.float32) for a in args)

    def slopes(f: Callable[..., Any]) -> Callable[..., Any]:
        return grad(lambda *a: (anima.numpy.sin(f(*a)) * weights).sum(), argnums)

    def results(f: Callable[..., Any]) -> Callable[..., Any]:
        def run(*a: Any) -> list[Any]:
            found = [f(*a), *slopes(f)(*a)]
            if forward:
                found.append(jvp(f, a, directions)[1])
                if thorough:
                    found += jvp(slopes(f), a, directions)[1]
            return found

        return run

    wanted = jit(results(whole))(*args)
    for got, want in zip(jit(results(fun))(*args), wanted, strict=True):
        equal(got, want)
    if thorough:
        for got, want in zip([fun(*args), *slopes(fun)(*args)], wanted):
            equal(got, want)


def raises(kind: Any, *words: str) -> Any:
    """A block must raise such an error, whose message has all the words."""
    return _Raises(kind, words)


class _Raises:
    def __init__(self, kind: Any, words: tuple[str, ...]) -> None:
        self.kind, self.words = kind, words

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        assert kind is not None, f"no error was raised, {self.kind} is wanted"
        if not issubclass(kind, self.kind):
            return False
        for word in self.words:
            assert word in str(error), f"{word!r} is not in the message: {error}"
        return True

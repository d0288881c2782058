"""Shapes, indexing, reductions, products and sorts compared with JAX's: dtypes, weak types, values and derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima

pytestmark = pytest.mark.peers

Call = Callable[..., Any]  # of a library's `lax` and arrays
I32 = np.int32
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
CUBE = np.random.default_rng(1).normal(size=(4, 5, 3)).astype(np.float32)
TIES = np.array([[1, 2, 2, 1], [3, 3, 3, 0]], np.float32)
PLACES = np.array([[0], [3], [-1], [7], [2]], I32)
PAIRS = np.array([[[0, 1], [4, 3]], [[-1, 2], [2, 9]], [[1, 0], [3, 1]]], I32)
# offset or window dimensions, collapsed or inserted ones, the map of index vectors; slice sizes; indices
NUMBERS: dict[str, tuple[Any, tuple[int, ...], np.ndarray]] = {
    "rows": (((1, 2), (0,), (0,)), (1, 5, 3), PLACES),
    "windows": (((1, 2, 3), (), (0,)), (2, 5, 2), PLACES),
    "elements": (((2,), (0, 1), (1, 0)), (1, 1, 3), PAIRS),
    "first": (((0,), (0, 1), (1, 0)), (1, 1, 2), PAIRS),
    "batched": (((0,), (2,), (2,), (0,), (1,)), (1, 4, 1), PAIRS[:, :1, :1].repeat(4, 1)),
}
SCATTERS = ("scatter", "scatter_add", "scatter_sub", "scatter_mul", "scatter_min", "scatter_max")


def gather(name: str, mode: str, **more: Any) -> Call:
    numbers, sizes, _ = NUMBERS[name]
    return lambda lax, x, i: lax.gather(x, i, lax.GatherDimensionNumbers(*numbers), sizes, mode=mode, **more)


def scatter(op: str, name: str, mode: str) -> Call:
    numbers, sizes, _ = NUMBERS[name]

    def call(lax: Any, x: Any, i: Any) -> Any:
        # updates of the right shape, made from the operand
        found = lax.gather(lax.rev(x, (0, 1)), i, lax.GatherDimensionNumbers(*numbers), sizes, mode="clip")
        return getattr(lax, op)(x, i, found, lax.ScatterDimensionNumbers(*numbers), mode=mode)

    return call


def padding(*config: tuple[int, int, int]) -> Call:
    return lambda lax, x: lax.pad(x, lax.index_in_dim(lax.reshape(x, (x.size,)), 0, keepdims=False), config)


# name: (call, array arguments)
CASES: dict[str, tuple[Call, tuple[Any, ...]]] = {
    "broadcast_in_dim": (lambda lax, x: lax.broadcast_in_dim(x, (2, 3, 5, 4), (1, 3)), (X,)),
    "stretch": (lambda lax, x: lax.broadcast_in_dim(x, (1, 3, 4), (0, 2)), (X[:1, :1],)),
    "reshape": (lambda lax, x: lax.reshape(x, (2, 6), (1, 0)), (X,)),
    "collapse": (lambda lax, x: lax.collapse(x, 1), (CUBE,)),
    "transpose": (lambda lax, x: lax.transpose(x, (2, 0, 1)), (CUBE,)),
    "squeeze": (lambda lax, x: lax.squeeze(x, (0,)), (X[:1],)),
    "expand_dims": (lambda lax, x: lax.expand_dims(x, (0, -1)), (X,)),
    "rev": (lambda lax, x: lax.rev(x, (0, 2)), (CUBE,)),
    "concatenate": (lambda lax, x, y: lax.concatenate([x, y, x], 1), (X, X[:, :2])),
    "pad": (padding((1, 0, 2), (-1, 2, 0)), (X,)),
    "pad cut": (padding((-1, 1, 2), (2, -1, 1)), (X,)),
    "split": (lambda lax, x: lax.split(x, (1, 3), 1), (X,)),
    "stack": (lambda lax, x: lax.stack([x, x], -1), (X,)),
    "unstack": (lambda lax, x: lax.unstack(x, 1), (X,)),
    "tile": (lambda lax, x: lax.tile(x, (2, 3)), (X,)),
    "full_like": (lambda lax, x: lax.full_like(x, 3.7), (X,)),
    "slice": (lambda lax, x: lax.slice(x, (0, 1), (3, 4), (2, 2)), (X,)),
    "slice_in_dim": (lambda lax, x: lax.slice_in_dim(x, -3, -1, axis=1), (X,)),
    "index_in_dim": (lambda lax, x: lax.index_in_dim(x, -1, 1, False), (X,)),
    **{
        f"dynamic_slice {i}": (lambda lax, x, i: lax.dynamic_slice(x, (i, i), (2, 2)), (X, I32(i)))
        for i in (1, -2, 9, -9)
    },
    **{
        f"dynamic_update_slice {i}": (
            lambda lax, x, u, i: lax.dynamic_update_slice(x, u, (i, i)),
            (X, -X[:2, :2], I32(i)),
        )
        for i in (1, -2, 9)
    },
    "index_take": (lambda lax, x, i: lax.index_take(x, (i, i), (0, 1)), (X, np.array([0, -1, 7], I32))),
    **{
        f"gather {name} {mode}": (gather(name, mode), (CUBE, NUMBERS[name][2]))
        for name in NUMBERS
        for mode in ("fill", "clip")
    },
    "gather fill": (gather("rows", "fill", fill_value=-2), (CUBE, PLACES)),
    **{
        f"{op} {name} {mode}": (scatter(op, name, mode), (CUBE, NUMBERS[name][2]))
        for op in SCATTERS
        for name in NUMBERS
        for mode in ("drop", "clip")
    },
    **{
        f"reduce_{op} {axes}": (lambda lax, x, op=op, axes=axes: getattr(lax, f"reduce_{op}")(x, axes), (X,))
        for op in ("sum", "prod", "max", "min")
        for axes in ((0,), (0, 1))
    },
    "reduce_max ties": (lambda lax, x: lax.reduce_max(x, (1,)), (TIES,)),
    "reduce_prod zeros": (lambda lax, x: lax.reduce_prod(x, (1,)), (TIES - 1,)),
    "argmax": (lambda lax, x: lax.argmax(x, 1, "int32"), (TIES,)),
    "reduce": (lambda lax, x: lax.reduce(x, 0.0, lambda a, b: a * b + a + b, (0,)), (X,)),
    **{
        f"{op} {reverse}": (lambda lax, x, op=op, r=reverse: getattr(lax, op)(x, 1, r), (CUBE,))
        for op in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
        for reverse in (False, True)
    },
    "cumprod zeros": (lambda lax, x: lax.cumprod(x, 1), (TIES - 1,)),
    "dot": (lambda lax, x: lax.dot(x, lax.transpose(x, (1, 0))), (X,)),
    "dot_general": (
        lambda lax, x, y: lax.dot_general(x, y, (((1,), (2,)), ((2,), (0,)))),
        (CUBE, CUBE.transpose(2, 0, 1)),
    ),
    "batch_matmul": (lambda lax, x: lax.batch_matmul(x, lax.transpose(x, (0, 2, 1))), (CUBE,)),
    "sort": (lambda lax, x: lax.sort(x, 0), (X,)),
    "sort_key_val": (lambda lax, x, y: lax.sort_key_val(x, y), (X, -X)),
    "top_k": (lambda lax, x: lax.top_k(x, 2), (X,)),
    "optimization_barrier": (lambda lax, x: lax.optimization_barrier(x), (X,)),
}
# Rows of docs/differences.md: JAX's derivative is wrong.
DIFFERENT = {f"{op} {name} clip" for op in ("scatter_min", "scatter_max") for name in NUMBERS}
# Derivatives that neither library knows for places that may repeat.
UNKNOWN = {f"scatter_mul {name} {mode}" for name in NUMBERS for mode in ("drop", "clip")}


def outputs(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def agree(ours: Any, theirs: Any) -> None:
    for a, b in zip(outputs(ours), outputs(theirs), strict=True):
        assert a.dtype == b.dtype
        assert a.weak_type == b.weak_type
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_values_agree(name: str) -> None:
    call, args = CASES[name]
    for wrap in (lambda lib, f: f, lambda lib, f: lib.jit(f)):
        agree(*(wrap(lib, lambda *xs, lib=lib: call(lib.lax, *xs))(*args) for lib in (anima, jax)))
    every = [np.stack([a, np.roll(a, 1)]) for a in args]
    agree(*(lib.vmap(lambda *xs, lib=lib: call(lib.lax, *xs))(*every) for lib in (anima, jax)))


@pytest.mark.parametrize("name", sorted(set(CASES) - DIFFERENT - UNKNOWN))
def test_derivatives_agree(name: str) -> None:
    call, args = CASES[name]
    inexact = tuple(i for i, a in enumerate(args) if a.dtype == np.float32)

    def gradients(lib: Any) -> Any:
        def total(*points: Any) -> Any:
            full = list(args)
            for i, point in zip(inexact, points):
                full[i] = point
            found = [o for o in outputs(call(lib.lax, *full)) if o.dtype == np.float32]
            return sum((lib.numpy.sum(lib.numpy.cos(o)) for o in found), 0.0)

        points = [args[i] for i in inexact]
        return lib.grad(total, argnums=tuple(range(len(points))))(*points)

    for a, b in zip(gradients(anima), gradients(jax), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-4)

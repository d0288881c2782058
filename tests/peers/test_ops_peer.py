"""Segment reductions and updates at an index compared with JAX."""

from __future__ import annotations

import inspect

import jax
import ml_dtypes
import numpy as np
import pytest

from anima import numpy as anp, ops

pytestmark = pytest.mark.peers

KINDS = ["sum", "prod", "max", "min"]
DTYPES = [np.int8, np.uint16, np.int32, np.float16, ml_dtypes.bfloat16, np.float32, np.complex64]


@pytest.mark.parametrize("kind", KINDS)
def test_signatures(kind: str) -> None:
    name = f"segment_{kind}"
    ours, theirs = (inspect.signature(getattr(lib, name)) for lib in (ops, jax.ops))
    assert [(p.name, p.default, p.kind) for p in ours.parameters.values()] == [
        (p.name, p.default, p.kind) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("mode", [None, "drop", "clip", "fill"])
@pytest.mark.parametrize("kind", KINDS)
def test_segments(kind: str, mode, dtype) -> None:
    data = (np.arange(16).reshape(8, 2) % 5 + 1).astype(dtype)
    ids = np.array([0, 3, 0, 1, 3, 0, 7, -2])
    # Of complex numbers the neutral values of extrema differ: `segment-extrema`; there every segment has rows.
    if kind in ("max", "min") and dtype is np.complex64:
        ids = np.array([0, 3, 2, 1, 3, 0, 7, -2])
    for bucket_size in (None, 3):
        ours, theirs = (
            np.asarray(getattr(lib, f"segment_{kind}")(data, ids, 4, bucket_size=bucket_size, mode=mode))
            for lib in (ops, jax.ops)
        )
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["sum", "max", "min"])
def test_gradients(kind: str) -> None:
    import anima

    ids, weights = np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 4.0], np.float32)
    data = np.array([2.0, 2.0, 3.0, 1.0], np.float32)
    slopes = [
        np.asarray(lib.grad(lambda d: (fun(d, ids, 3)[:2] * weights[:2]).sum())(data))
        for lib, fun in (
            (anima, getattr(ops, f"segment_{kind}")),
            (jax, getattr(jax.ops, f"segment_{kind}")),
        )
    ]
    np.testing.assert_array_equal(*slopes)


@pytest.mark.parametrize("mode", ["clip", "drop", "fill"])
@pytest.mark.parametrize("value", [-1, -7, 5])
def test_negative_indices_that_do_not_wrap(mode: str, value: int) -> None:
    for index in (np.array([value, 0]), np.array(value), value):
        ours, theirs = (
            lib.arange(3.0).at[lib.asarray(index) if np.ndim(index) else index] for lib in (anp, jax.numpy)
        )
        np.testing.assert_array_equal(
            ours.add(1.0, mode=mode, wrap_negative_indices=False),
            theirs.add(1.0, mode=mode, wrap_negative_indices=False),
        )
        np.testing.assert_array_equal(
            ours.get(mode=mode, wrap_negative_indices=False),
            theirs.get(mode=mode, wrap_negative_indices=False),
        )


def test_updates_of_empty_dimensions() -> None:
    for lib in (anp, jax.numpy):
        assert lib.zeros((2, 0)).at[:, lib.array([0, 3])].set(1.0).shape == (2, 0)

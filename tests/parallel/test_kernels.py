"""Kernels on the blocks of several devices, against NumPy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

import anima
import anima.numpy as anp
from anima import grad, jit, lax, nn, shard_map
from tests.lax.test_keeping import CASES, operands, with_product
from tests.parallel.several import Checks
from tests.parallel.support import P, line

checks = Checks(__name__)
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(64, 48)).astype(np.float32)
IMAGES = RNG.normal(size=(8, 32, 32, 8)).astype(np.float32)
SQUARES = (ROWS[:, :16, None] * ROWS[:, None, :16] + 8 * np.eye(16)).astype(np.float32)


def by_blocks(fun: Callable[..., Any], **options: Any) -> Any:
    """`fun` on the blocks that four devices have of the rows of its arguments."""
    return shard_map(fun, mesh=line(), in_specs=P("i"), out_specs=P("i"), **options)


BY_KERNEL: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray], np.ndarray]] = {
    "sort": (lambda x: lax.sort(x), lambda x: np.sort(x), ROWS),
    "argsort": (lambda x: anp.argsort(x, stable=True), lambda x: np.argsort(x, kind="stable"), ROWS),
    "top_k": (lambda x: lax.top_k(x, 3)[0], lambda x: -np.sort(-x)[:, :3], ROWS),
    "cumsum": (lambda x: lax.cumsum(x, 1), lambda x: np.cumsum(x.astype(np.float64), 1), ROWS),
    "cummax": (lambda x: lax.cummax(x, 0), lambda x: np.maximum.accumulate(x, 0), ROWS[:16]),
    "fft": (lambda x: anp.fft.rfft(x).real, lambda x: np.fft.rfft(x).real, ROWS),
    "cholesky": (anp.linalg.cholesky, np.linalg.cholesky, SQUARES),
    "svd": (
        lambda x: anp.linalg.svd(x, compute_uv=False),
        lambda x: np.linalg.svd(x, compute_uv=False),
        SQUARES,
    ),
    "softmax": (
        lambda x: nn.softmax(lax.sort(x), 1),
        lambda x: scipy.special.softmax(np.sort(x), 1),
        ROWS,
    ),
    "pooling": (
        lambda x: lax.reduce_window(x, -anp.inf, lax.max, (1, 3, 3, 1), (1, 1, 1, 1), "VALID"),
        lambda x: np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2)).max((-1, -2)),
        IMAGES,
    ),
    "products": (
        lambda x: anp.tanh(x) @ x.T,
        lambda x: np.tanh(x) @ x.T,
        np.tile(ROWS, (16, 4)),
    ),
}


@checks.each(BY_KERNEL)
def numbers(name: str) -> None:
    fun, oracle, x = BY_KERNEL[name]
    run = jit(by_blocks(fun))
    want = np.concatenate([oracle(block) for block in np.split(x, 4)])
    np.testing.assert_allclose(np.asarray(run(x)), want, rtol=3e-4, atol=3e-4)
    assert '"anima_' in run.lower(x).as_text()


# What is scattered goes to places of the whole, so it has no blocks.
@checks.each([name for name in CASES if "scatter" not in name])
def extrema_have_their_tangents(name: str) -> None:
    fun, oracle = CASES[name]
    args = operands()
    found = np.asarray(jit(by_blocks(with_product(fun)))(*args))
    assert np.mean(~np.isclose(found, oracle(*args), 1e-4, 1e-5)) < 2e-4


@checks
def extrema_between_devices_have_their_tangents() -> None:
    args = operands(2)
    for name, find in (("pmax", np.argmax), ("pmin", np.argmin)):
        tangent = with_product(lambda y, name=name: getattr(lax, name)(y, "i"))
        run = jit(shard_map(tangent, mesh=line(), in_specs=P("i"), out_specs=P(), check_vma=False))
        a, b, c = (v.astype(np.float64).reshape(4, -1) for v in args)
        p = a * b
        want = np.take_along_axis(p, find(p + c, 0)[None], 0)[0]
        assert np.mean(~np.isclose(np.asarray(run(*args)).ravel(), want, 1e-4, 1e-5)) < 2e-4


@checks
def derivatives_of_kernels() -> None:
    def loss(x: Any) -> Any:
        return lax.psum((lax.sort(x, dimension=1) * anp.arange(48.0)).sum() + lax.cumsum(x, 1).sum(), "i")

    whole = lambda x: (anp.sort(x, 1) * anp.arange(48.0)).sum() + anp.cumsum(x, 1).sum()
    got = jit(grad(shard_map(loss, mesh=line(), in_specs=P("i"), out_specs=P())))(ROWS)
    np.testing.assert_allclose(np.asarray(got), np.asarray(grad(whole)(ROWS)), rtol=1e-5)


@checks
def products_of_groups_of_rows() -> None:
    """By tiles, as on one device: a while loop stands in the program."""
    x, matrices = (
        RNG.normal(size=(512, 32)).astype(np.float32),
        RNG.normal(size=(4, 3, 32, 24)).astype(np.float32),
    )
    sizes = np.array([[50, 0, 78], [128, 0, 0], [1, 2, 125], [40, 40, 40]], np.int32)
    run = jit(by_blocks(lambda x, m, s: lax.ragged_dot(x, m[0], s[0])))
    want = np.zeros((512, 24))
    for d, block in enumerate(np.split(x, 4)):
        ends = np.cumsum(sizes[d])
        for g, (start, end) in enumerate(zip(ends - sizes[d], ends)):
            want[128 * d + start : 128 * d + end] = block[start:end] @ matrices[d, g]
    np.testing.assert_allclose(np.asarray(run(x, matrices, sizes)), want, rtol=1e-4, atol=1e-4)
    assert "stablehlo.while" in run.lower(x, matrices, sizes).as_text()


@checks
def between_collective_operations_in_a_loop() -> None:
    def step(_: Any, x: Any) -> Any:
        return lax.sort(x, dimension=1)[:, ::-1] + lax.pmean(x, "i") * 0.5

    run = jit(by_blocks(lambda x: lax.fori_loop(0, 20, step, x)))
    x = ROWS.astype(np.float64)
    for _ in range(20):
        mean = np.mean(np.split(x, 4), 0)
        x = np.sort(x, 1)[:, ::-1] + np.tile(mean, (4, 1)) * 0.5
    np.testing.assert_allclose(np.asarray(run(ROWS)), x, rtol=1e-4)


@checks
def large_kernels_called_by_several_threads() -> None:
    """Each has devices that wait for each other between kernels with work for all threads."""
    x = RNG.normal(size=(8, 1 << 18)).astype(np.float32)
    run = jit(by_blocks(lambda x: lax.sort(lax.cumsum(lax.pmean(lax.sort(x), "i"), 1) - x)))
    want = np.asarray(run(x))
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(np.asarray(run(x)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(np.array_equal(f, want) for f in found)


@checks
def loops_with_a_bound_do_not_leave_others_waiting() -> None:
    """No device raises by itself: the ones that wait for it in the sum would wait for ever."""

    def steps(x: Any) -> Any:
        out = lax.while_loop(
            lambda s: s[1] < x.sum(), lambda s: (s[0] * 1.5, s[1] + 1), (x, 0.0), max_steps=8
        )
        return lax.psum(out[0], "i")

    x = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    run = jit(shard_map(steps, mesh=line(), in_specs=P("i"), out_specs=P()))
    np.testing.assert_allclose(np.asarray(run(x)), [sum(v * 1.5**v for v in x)], rtol=1e-6)
    slope = jit(grad(lambda x: run(x).sum()))
    np.testing.assert_allclose(np.asarray(slope(x)), [1.5**v for v in x], rtol=1e-5)
    beyond = x + np.array([0, 0, 0, 20], np.float32)
    assert anima.block_until_ready(run(beyond)).shape == (1,)
    assert anima.block_until_ready(slope(beyond)).shape == (4,)


@checks
def pmap_calls_kernels() -> None:
    x = ROWS.reshape(4, 16, 48)
    run = anima.pmap(lambda x: lax.sort(x, dimension=1) - lax.pmean(x, "i"), axis_name="i")
    np.testing.assert_allclose(np.asarray(run(x)), np.sort(x, 2) - x.mean(0), rtol=1e-5)


test_on_four_devices = checks.test()

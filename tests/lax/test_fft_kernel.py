"""Fourier transforms by the kernel of CPU devices: against SciPy in double precision, and as XLA's operation gives them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import scipy.fft

import anima
import anima.numpy as jnp
from anima import _native, lax
from anima.core.aval import ShapedArray
from anima.interpreters.jvp import stage_closed
from anima.lowering.module import host_kernels, lower_module
from anima.runtime.devices import client
from tests.native.support import encode_options

pytestmark = pytest.mark.cpu

F32, C64 = np.dtype(np.float32), np.dtype(np.complex64)
ORACLES = {"FFT": scipy.fft.fftn, "IFFT": scipy.fft.ifftn, "RFFT": scipy.fft.rfftn, "IRFFT": scipy.fft.irfftn}
random = np.random.default_rng(0)


def operand(kind: str, shape: tuple[int, ...], real: Any = np.float32) -> np.ndarray[Any, Any]:
    if kind == "RFFT":
        return random.standard_normal(shape).astype(real)
    if kind == "IRFFT":
        shape = (*shape[:-1], shape[-1] // 2 + 1)
    x = random.standard_normal(shape) + 1j * random.standard_normal(shape)
    return x.astype(np.result_type(real, C64))


def text_of(kind: str, shape: tuple[int, ...], rank: int = 1, **how: Any) -> str:
    aval = ShapedArray(operand(kind, shape).shape, operand(kind, shape).dtype)
    closed = stage_closed(lambda x: [lax.fft(x, kind, shape[len(shape) - rank :])], [aval], "f")
    return lower_module(closed, name="f", platform="cpu", **how).text


def check(kind: str, shape: tuple[int, ...], rank: int, real: Any) -> None:
    x = operand(kind, shape, real)
    axes, lengths = tuple(range(-rank, 0)), shape[len(shape) - rank :]
    with anima.enable_x64(True):
        got = np.asarray(lax.fft(x, kind, lengths))
    exact = ORACLES[kind](x.astype(np.result_type(x.dtype, np.float64)), s=lengths, axes=axes)
    assert got.shape == exact.shape
    assert got.dtype == (real if kind == "IRFFT" else np.result_type(real, C64))
    error = np.linalg.norm(got - exact) / np.linalg.norm(exact)
    assert error < 3 * np.finfo(real).eps, (kind, shape, error)


# ---- results --------------------------------------------------------------------------------------------------------

# Every radix first and last; one vector and more; lengths that whole vectors do not divide; lanes and matrices.
LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 16, 21, 25, 28, 32, 48, 49, 64, 100, 210, 256, 343, 480, 512, 1000, 2048, 2187, 3125, 4096)  # fmt: skip


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ORACLES)
def test_rows(kind: str, real: Any) -> None:
    for n in LENGTHS:
        check(kind, (3, n), 1, real)


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ORACLES)
def test_many_rows(kind: str, real: Any) -> None:
    for shape in ((40, 12), (33, 128), (70, 1000), (17, 30)):
        check(kind, shape, 1, real)


@pytest.mark.parametrize("kind", ORACLES)
def test_long_rows_that_threads_share(kind: str) -> None:
    check(kind, (1 << 17,), 1, np.float32)
    check(kind, (2, 70_000), 1, np.float64)


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ORACLES)
def test_several_dimensions(kind: str, real: Any) -> None:
    for shape, rank in (
        ((3, 6, 10), 2),
        ((20, 30), 2),
        ((64, 130), 2),
        ((2, 4, 6, 8), 3),
        ((5, 7, 9, 40), 3),
    ):
        if not (kind.endswith("RFFT") and shape[-1] == 130):
            check(kind, shape, rank, real)
    check(kind, (1, 1, 2), 3, real)


def test_which_transforms_call_the_kernel() -> None:
    assert "anima_fft" in text_of("FFT", (16, 65_536))
    assert "anima_fft" in text_of("RFFT", (1024, 1024), 2)
    for kind, shape in (
        ("FFT", (11,)),
        ("RFFT", (9,)),
        ("IRFFT", (9,)),
        ("FFT", (100_000, 3)),
        ("FFT", (0, 8)),
    ):
        assert "anima_fft" not in text_of(kind, shape)
    for how in ({"exported": True}, {"partitions": 2}):
        assert "custom_call" not in text_of("FFT", (64,), **how)


@pytest.mark.parametrize("kind", ORACLES)
def test_as_without_the_kernel(kind: str) -> None:
    for shape in ((3, 12), (40, 64), (2, 1000)):
        x = operand(kind, shape)
        run = anima.jit(lambda x, n=shape[-1]: lax.fft(x, kind, (n,)))
        got = np.asarray(run(x))
        with host_kernels(False):
            without = np.asarray(anima.jit(lambda x, n=shape[-1]: lax.fft(x, kind, (n,)))(x))
        assert np.allclose(got, without, rtol=0, atol=3e-6 * np.abs(without).max())


def test_what_is_not_finite_stays_in_its_own_transform() -> None:
    for kind in ORACLES:
        for shape in ((20, 12), (3, 4096), (40, 1000)):
            for odd in (np.nan, np.inf):
                x = operand(kind, shape)
                x[2, 3] = odd
                got = np.asarray(lax.fft(x, kind, (shape[-1],)))
                finite = np.isfinite(got).all(1)
                assert not np.isfinite(got[2]).any() if odd != odd else not finite[2]
                assert finite[:2].all() and finite[3:].all()


def test_imaginary_parts_that_real_numbers_do_not_have_are_ignored() -> None:
    for n in (8, 64, 1000, 70_000):
        x = operand("IRFFT", (2, n))
        want = scipy.fft.irfft(x)
        x.imag[:, 0], x.imag[:, -1] = np.nan, np.inf
        assert np.allclose(lax.fft(x, "irfft", (n,)), want, atol=1e-6)
    x = operand("IRFFT", (6, 40))
    assert np.allclose(lax.fft(x, "irfft", (6, 40)), np.fft.irfft2(x), atol=1e-6)


def test_large_and_small_numbers() -> None:
    """Nothing overflows or vanishes on the way that the result can hold."""
    for scale in (1e30, 1e-30):
        x = (operand("FFT", (3, 256)) * scale).astype(C64)
        for kind in ("FFT", "IFFT"):
            exact = ORACLES[kind](x.astype(np.complex128), axes=(1,))
            assert np.abs(lax.fft(x, kind, (256,)) - exact).max() < 1e-6 * np.abs(exact).max()


def test_transformations() -> None:
    x = operand("RFFT", (4, 96))
    power = lambda x: jnp.sum(jnp.abs(lax.fft(x, "rfft", (96,))) ** 2)
    gradient = np.asarray(anima.jit(anima.grad(power))(x))
    with host_kernels(False):
        without = np.asarray(anima.jit(anima.grad(lambda x: power(x)))(x))
    assert np.allclose(gradient, without, rtol=1e-5, atol=1e-4)
    columns = anima.vmap(lambda x: lax.fft(x, "rfft", (4,)), 1, 1)(x)
    assert np.allclose(columns, scipy.fft.rfft(x, axis=0), atol=1e-5)
    _, rows = lax.scan(lambda carry, row: (carry, lax.fft(row, "rfft", (96,))), 0, x)
    assert np.allclose(rows, scipy.fft.rfft(x), atol=1e-5)


def test_threads_with_more_lengths_than_are_kept() -> None:
    lengths = [n for n in range(64, 700, 2) if _native.has_fft_plan(n)][:45]
    arrays = [operand("FFT", (2, n)) for n in lengths]
    runs = [anima.jit(lambda x: lax.fft(x, "fft", (x.shape[1],))) for _ in lengths]
    for run, x in zip(runs, arrays):
        run(x)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for i in np.random.default_rng(seed).permutation(len(lengths)):
            if not np.allclose(runs[i](arrays[i]), scipy.fft.fft(arrays[i]), atol=1e-4):
                wrong.append(lengths[i])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lengths) > 40 and not wrong


# ---- calls that are wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(-1,), (4, -2), -4])
def test_negative_lengths_are_refused(lengths: Any) -> None:
    with pytest.raises(ValueError, match="fft_lengths must not be negative"):
        lax.fft(np.ones(4, C64), "fft", lengths)


def test_lengths_that_are_no_integers_are_refused() -> None:
    for lengths in ((4.0,), None, ("a",)):
        with pytest.raises(TypeError, match="fft_lengths must be"):
            lax.fft(np.ones(4, C64), "fft", lengths)  # type: ignore[arg-type]


def attributes(kind: int = 0, rank: int = 1) -> str:
    return f"kind = {kind} : i64, rank = {rank} : i64"


C4, C3, C11 = "4xcomplex<f32>", "3xcomplex<f32>", "11xcomplex<f32>"
MALFORMED = [
    ("", [C4], [C4, C4], "attribute"),
    ("kind = 0 : i64", [C4], [C4, C4], "attribute"),
    (attributes(4), [C4], [C4, C4], "kind"),
    (attributes(-1), [C4], [C4, C4], "kind"),
    (attributes(rank=0), [C4], [C4, C4], "dimensions"),
    (attributes(rank=2), [C4], [C4, C4], "dimensions"),
    (attributes(rank=4), ["1x1x1x" + C4], ["1x1x1x" + C4, C4], "dimensions"),
    (attributes(), [C4], ["1x" + C4, C4], "dimensions"),
    (attributes(), [C4], [C4], "operands"),
    (attributes(), [C4, C4], [C4, C4], "operands"),
    (attributes(), [C4], [C3, C4], "shapes"),
    (attributes(2), ["4xf32"], [C4, C4], "shapes"),
    (attributes(3), [C4], ["4xf32", C4], "shapes"),
    (attributes(), [C11], [C11, C11], "length"),
    (attributes(2), ["5xf32"], [C3, C4], "length"),
    (attributes(), ["4xf32"], [C4, C4], "element type"),
    (attributes(), [C4], ["4xf32", C4], "element type"),
    (attributes(), [C4], ["4xcomplex<f64>", C4], "element type"),
    (attributes(), [C4], [C4, "4xf32"], "element type"),
    (attributes(), ["4xi32"], [C4, C4], "element type"),
    (attributes(2), [C4], [C3, C4], "element type"),
    (attributes(3, 2), ["2x" + C3], ["2x4xf32", C3], "shapes"),
]


@pytest.mark.parametrize("attributes, operands, results, message", MALFORMED)
def test_malformed_calls_raise(
    attributes: str, operands: list[str], results: list[str], message: str
) -> None:
    _native.register_kernel(client("cpu"), "anima_fft")
    zero = lambda t: "(0.0, 0.0)" if "complex" in t else "0.0" if "f" in t else "0"
    constants = [f"%c{i} = stablehlo.constant dense<{zero(t)}> : tensor<{t}>" for i, t in enumerate(operands)]
    types = ", ".join(f"tensor<{t}>" for t in operands)
    made = ", ".join(f"tensor<{t}>" for t in results)
    text = f"""
    module @f {{
      func.func public @main() -> tensor<f32> {{
        {" ".join(constants)}
        {", ".join(f"%r{i}" for i in range(len(results)))} = "stablehlo.custom_call"({", ".join(f"%c{i}" for i in range(len(operands)))}) {{
          call_target_name = "anima_fft", api_version = 4 : i32, has_side_effect = true, backend_config = {{{attributes}}}
        }} : ({types}) -> ({made})
        %one = stablehlo.constant dense<1.0> : tensor<f32>
        return %one : tensor<f32>
      }}
    }}
    """
    executable = client("cpu").compile(text, encode_options())
    with pytest.raises(RuntimeError, match=message):
        np.asarray(executable.execute([[]], [((), F32, False)])[0][0])

"""`scipy.signal` against SciPy; its dtypes, derivatives, transformations and errors."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.signal

import anima
import anima.numpy as anp
from anima.scipy import signal
from anima.scipy.signal.convolution import good_size
from anima.scipy.signal.segments import added_up, cut

RNG = np.random.default_rng(0)
MODES = ("full", "same", "valid")


def drawn(shape: tuple[int, ...], kind: str) -> np.ndarray:
    x = RNG.normal(size=shape)
    return x + 1j * RNG.normal(size=shape) if kind == "complex" else x


def close(got: Any, want: Any) -> None:
    got = got if isinstance(got, tuple) else (got,)
    want = want if isinstance(want, tuple) else (want,)
    for ours, theirs in zip(got, want, strict=True):
        assert ours.shape == np.shape(theirs)
        np.testing.assert_allclose(ours, theirs, atol=1e-11)


# --- convolution ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize(
    "shapes",
    [
        ((5,), (3,)),
        ((4,), (6,)),
        ((6,), (4,)),
        ((4, 5), (2, 3)),
        ((3, 2), (6, 5)),
        ((3, 2, 4), (2, 1, 4)),
        ((), ()),
    ],
)
def test_convolutions(kind: str, shapes: Any) -> None:
    x, y = (drawn(shape, kind) for shape in shapes)
    with anima.enable_x64(True):
        for name, mode, method in itertools.product(("convolve", "correlate"), MODES, ("direct", "fft")):
            want = getattr(scipy.signal, name)(x, y, mode, method)
            close(getattr(signal, name)(x, y, mode, method), want)
        close(signal.fftconvolve(x, y), scipy.signal.convolve(x, y))


def test_long_vectors() -> None:
    x, y = RNG.normal(size=400), RNG.normal(size=150)
    with anima.enable_x64(True):
        for mode in MODES:
            close(signal.convolve(x, y, mode), np.convolve(x, y, mode))
            close(signal.convolve(y, x, mode, "fft"), scipy.signal.convolve(y, x, mode, "direct"))


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("shapes", [((4, 5), (2, 3)), ((3, 2), (6, 5)), ((4, 4), (3, 3))])
def test_what_is_around_a_matrix(kind: str, shapes: Any) -> None:
    x, y = (drawn(shape, kind) for shape in shapes)
    with anima.enable_x64(True):
        for name, mode, boundary in itertools.product(
            ("convolve2d", "correlate2d"), MODES, ("fill", "wrap", "symm")
        ):
            for fill in (0, 1.5) if boundary == "fill" else (0,):
                want = getattr(scipy.signal, name)(x, y, mode, boundary, fill)
                close(getattr(signal, name)(x, y, mode, boundary, fill), want)


def test_shapes_that_do_not_nest() -> None:
    x, y = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 4))
    with anima.enable_x64(True):
        for mode in ("full", "same"):
            close(signal.convolve(x, y, mode), scipy.signal.convolve(x, y, mode))
            close(signal.convolve2d(x, y, mode), scipy.signal.convolve2d(x, y, mode))
    for name in ("convolve", "correlate", "convolve2d", "correlate2d", "fftconvolve"):
        with pytest.raises(ValueError, match="at least as large"):
            getattr(signal, name)(x, y, mode="valid")


def test_axes_of_fftconvolve() -> None:
    x, y = RNG.normal(size=(3, 5, 2)), RNG.normal(size=(3, 4, 2))
    with anima.enable_x64(True):
        for mode in MODES:
            close(signal.fftconvolve(x, y, mode, 1), scipy.signal.fftconvolve(x, y, mode, 1))
            close(signal.fftconvolve(x, y, mode, [-2, 0]), scipy.signal.fftconvolve(x, y, mode, [-2, 0]))
        close(signal.fftconvolve(x, x, axes=[]), x * x)
    assert signal.fftconvolve(x[:, :0], y, axes=1).tolist() == np.zeros((3, 3, 2)).tolist()
    for axes, match in (([3], "out of bounds"), ([1, 1], "distinct"), ([0], "shapes must be equal")):
        with pytest.raises(ValueError, match=match):
            signal.fftconvolve(x, y, axes=axes)


def test_sizes_of_transforms() -> None:
    for n in range(1, 1200):
        assert good_size(n) == scipy.fft.next_fast_len(n, real=True)


def test_dtypes_of_convolutions() -> None:
    for one, other, want in (
        ("bool", "bool", "float32"),
        ("int8", "int32", "float32"),
        ("bfloat16", "int32", "bfloat16"),
        ("float8_e4m3fn", "float8_e4m3fn", "float8_e4m3fn"),
        ("float32", "complex64", "complex64"),
    ):
        for method in ("direct", "fft"):
            found = signal.convolve(anp.ones(5, one), anp.ones(3, other), method=method)
            assert found.dtype == want
            assert found.astype("complex64").real.round(3).tolist() == [1, 2, 3, 3, 3, 2, 1]
        assert signal.correlate2d(anp.ones((5, 2), one), anp.ones((3, 2), other)).dtype == want
    assert signal.convolve(anp.full(3, 2.0), anp.full(2, 2.0)).weak_type
    assert not signal.convolve(anp.full(3, 2.0), anp.ones(2)).weak_type
    # an infinity stays where it is in sums of products
    assert signal.convolve(anp.array([1.0, np.inf, 1.0, 1.0]), anp.ones(2)).tolist() == [
        1,
        np.inf,
        np.inf,
        2,
        1,
    ]


def test_transformations_of_convolutions() -> None:
    x, y = RNG.normal(size=(2, 3, 7)), RNG.normal(size=(3, 4))
    with anima.enable_x64(True):
        for method in ("direct", "fft"):
            rows = anima.jit(
                anima.vmap(anima.vmap(lambda a, b: signal.convolve(a, b, "same", method)), in_axes=(0, None))
            )(x, y)
            want = [[scipy.signal.convolve(a, b, "same") for a, b in zip(block, y)] for block in x]
            close(rows, np.array(want))
            total = lambda a, b: (signal.convolve(a, b, "valid", method) ** 2).sum()
            slope = anima.jvp(anima.grad(total, 1), (x[0, 0], y[0]), (x[0, 1], y[1]))
            step = 1e-5
            near = [anima.grad(total, 1)(x[0, 0] + s * x[0, 1], y[0] + s * y[1]) for s in (step, -step)]
            np.testing.assert_allclose(slope[1], (near[0] - near[1]) / (2 * step), rtol=1e-6, atol=1e-8)


def test_errors_of_convolutions() -> None:
    x = anp.ones(4)
    for match, call in (
        ("mode must be", lambda: signal.convolve(x, x, "some")),
        ("method must be", lambda: signal.correlate(x, x, method="some")),
        ("same number of dimensions", lambda: signal.convolve(x, anp.ones((2, 2)))),
        ("same number of dimensions", lambda: signal.fftconvolve(x, anp.ones((2, 2)))),
        ("not be empty", lambda: signal.convolve(x, anp.ones(0))),
        ("two-dimensional", lambda: signal.convolve2d(x, x)),
        ("boundary must be", lambda: signal.correlate2d(anp.ones((2, 2)), anp.ones((2, 2)), boundary="some")),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError, match="convolve.*list"):
        signal.convolve([1.0], x)


# --- trends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_trends(kind: str) -> None:
    x = drawn((3, 40), kind)
    with anima.enable_x64(True):
        for bp, type in itertools.product(
            (0, [10, 20], [20, 10, 10], 40, np.array([1])), ("linear", "constant")
        ):
            close(signal.detrend(x, bp=bp, type=type), scipy.signal.detrend(x, bp=bp, type=type))
            close(signal.detrend(x.T, 0, type, bp), scipy.signal.detrend(x.T, 0, type, bp))
        close(anima.vmap(signal.detrend)(x), scipy.signal.detrend(x))
    assert signal.detrend(anp.arange(5)).dtype == np.float32
    assert signal.detrend(anp.arange(5, dtype="float16")).tolist() == [0] * 5
    assert signal.detrend([1.0, 2.0, 4.0]).shape == (3,)
    assert signal.detrend(anp.zeros((2, 0))).shape == (2, 0)
    # Removing a line is a projection, so its transpose is itself.
    weights = anp.arange(40.0) ** 2
    np.testing.assert_allclose(
        anima.grad(lambda v: signal.detrend(v) @ weights)(anp.ones(40)),
        signal.detrend(weights),
        rtol=1e-4,
        atol=1e-2,
    )


def test_errors_of_trends() -> None:
    x = anp.ones(5)
    for error, match, call in (
        (ValueError, "type of a trend", lambda: signal.detrend(x, type="l")),
        (ValueError, "out of bounds", lambda: signal.detrend(x, 1)),
        (ValueError, "bp must be places", lambda: signal.detrend(x, bp=6)),
        (ValueError, "bp must be places", lambda: signal.detrend(x, bp=[-1])),
        (TypeError, "whole numbers", lambda: signal.detrend(x, bp=[1.5])),
        (NotImplementedError, "overwrite_data", lambda: signal.detrend(x, overwrite_data=True)),
    ):
        with pytest.raises(error, match=match):
            call()


# --- spectra ----------------------------------------------------------------------------------

SETTINGS: list[dict[str, Any]] = [
    {"nperseg": 64},
    {"nperseg": 63, "noverlap": 50, "fs": 7},
    {"nperseg": 64, "nfft": 99, "return_onesided": False},
    {"nperseg": 32, "noverlap": 31, "window": ("tukey", 0.3)},
    {"nperseg": 40, "noverlap": -3, "window": np.hanning(40)},
    {"nperseg": 64, "window": "hamming", "detrend": "linear"},
    {"nperseg": 1, "window": "blackman"},
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("case", range(len(SETTINGS)))
def test_spectra(kind: str, case: int) -> None:
    x, y, settings = drawn((2, 150, 2), kind), drawn((2, 120, 2), "real"), SETTINGS[case]
    with anima.enable_x64(True):
        for more in ({}, {"average": "median", "scaling": "spectrum"}):
            both = {**settings, **more, "axis": 1}
            close(signal.csd(x, y, **both), scipy.signal.csd(x, y, **both))
            close(signal.welch(x, **both), scipy.signal.welch(x, **both))
            close(signal.csd(x, None, **both), scipy.signal.welch(x, **both))
        for boundary, padded in (
            ("zeros", True),
            ("even", False),
            ("odd", True),
            ("constant", False),
            (None, True),
        ):
            both = {**settings, "boundary": boundary, "padded": padded, "axis": 1}
            close(signal.stft(x, **both), scipy.signal.stft(x, **both))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", range(len(SETTINGS) - 1))
def test_signals_from_spectra(case: int) -> None:
    given = {k: v for k, v in SETTINGS[case].items() if k not in ("detrend", "return_onesided")}
    x, onesided = drawn((2, 150), "real"), SETTINGS[case].get("return_onesided", True)
    with anima.enable_x64(True):
        z = signal.stft(x, **given, return_onesided=onesided)[2]
        for boundary in (True, False):
            times, found = signal.istft(z, **given, input_onesided=onesided, boundary=boundary)
            close(found, scipy.signal.istft(z, **given, input_onesided=onesided, boundary=boundary)[1])
            np.testing.assert_allclose(times, np.arange(found.shape[1]) / given.get("fs", 1), rtol=1e-12)
        if given["nperseg"] != 40:
            np.testing.assert_allclose(
                signal.istft(z, **given, input_onesided=onesided)[1][:, :150], x, atol=1e-9
            )


def test_axes_of_istft() -> None:
    z = drawn((5, 4, 9), "complex")
    with anima.enable_x64(True):
        for time, freq in itertools.permutations((0, 1, -1), 2):
            both = {
                "time_axis": time,
                "freq_axis": freq,
                "input_onesided": False,
                "nperseg": 4,
                "nfft": z.shape[freq],
            }
            close(signal.istft(z, **both)[1], scipy.signal.istft(z, **both)[1])


def test_adding_up_is_the_transpose_of_cutting() -> None:
    with anima.enable_x64(True):
        for size, step in ((6, 3), (7, 3), (4, 4), (20, 1), (3, 5)):
            x = RNG.normal(size=(2, 31))
            segments = cut(anp.asarray(x), size, step)
            want = [x[:, i : i + size] for i in range(0, 31 - size + 1, step)]
            np.testing.assert_array_equal(segments, np.stack(want, 1))
            other = RNG.normal(size=segments.shape)
            summed = added_up(anp.asarray(other), step)
            np.testing.assert_allclose(
                np.vdot(summed, x[:, : summed.shape[1]]), np.vdot(other, segments), rtol=1e-12
            )


def test_dtypes_and_transformations_of_spectra() -> None:
    x = anp.asarray(RNG.normal(size=(3, 64)))
    for dtype in ("bool", "int16", "float8_e5m2", "bfloat16", "float16", "float32"):
        assert [v.dtype for v in signal.welch(x.astype(dtype), nperseg=16)] == ["float32", "float32"]
        assert [v.dtype for v in signal.stft(x.astype(dtype), nperseg=16)] == [
            "float32",
            "float32",
            "complex64",
        ]
    with anima.enable_x64(True):
        assert signal.welch(np.arange(40), nperseg=16)[1].dtype == np.float64
        assert signal.istft(np.ones((5, 4), np.complex128))[1].dtype == np.float64
    power = lambda v, fs: signal.welch(v, fs, nperseg=16)[1]
    mapped = anima.jit(anima.vmap(power, in_axes=(0, None)))(x, 2.0)
    np.testing.assert_allclose(mapped, power(x, 2.0), rtol=1e-5, atol=1e-6)
    turned = lambda v: signal.istft(signal.stft(v, nperseg=16)[2])[1] @ anp.arange(64.0)
    np.testing.assert_allclose(anima.grad(turned)(x[0]), np.arange(64.0), rtol=1e-4, atol=1e-3)
    assert signal.welch(anp.zeros((2, 0)))[1].shape == (2, 0)
    assert signal.csd(anp.zeros((2, 0)), anp.zeros((1, 0)))[1].dtype == np.complex64
    assert [v.shape for v in signal.stft(anp.zeros((2, 0)))] == [(2, 0)] * 3
    function = lambda v: v - v.mean(-1, keepdims=True)
    np.testing.assert_allclose(
        signal.welch(x, nperseg=16, detrend=function)[1], power(x, 1.0), rtol=1e-5, atol=1e-6
    )


def test_warnings_and_errors_of_spectra() -> None:
    x, z = anp.ones((2, 30)), anp.ones((5, 4))
    with pytest.warns(UserWarning, match="nperseg = 256 is more"):
        signal.stft(x)
    with pytest.warns(UserWarning, match="complex"):
        signal.welch(x + 1j)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signal.welch(x)
        signal.welch(x + 1j, return_onesided=False)
    for match, call in (
        ("nperseg must be positive", lambda: signal.welch(x, nperseg=0)),
        ("nperseg must be a whole", lambda: signal.welch(x, nperseg=2.5)),
        ("nfft must be at least", lambda: signal.welch(x, nfft=20)),
        ("noverlap must be less", lambda: signal.csd(x, x, nperseg=8, noverlap=8)),
        ("size of window", lambda: signal.welch(x, window=np.ones(8), nperseg=7)),
        ("window must be a name or a vector", lambda: signal.welch(x, window=np.ones((2, 2)))),
        ("window has 31", lambda: signal.welch(x, window=np.ones(31))),
        ("nothing", lambda: signal.welch(x, window="nothing")),
        ("type of a trend", lambda: signal.welch(x, detrend="some")),
        ("scaling must be", lambda: signal.welch(x, scaling="some")),
        ("average must be", lambda: signal.csd(x, x, average="some")),
        ("out of bounds", lambda: signal.welch(x, axis=2)),
        ("one rank", lambda: signal.csd(x, x[0])),
        ("broadcast", lambda: signal.csd(x, anp.ones((3, 30)))),
        ("boundary must be", lambda: signal.stft(x, boundary="some")),
        ("two axes", lambda: signal.istft(z[0])),
        ("must differ", lambda: signal.istft(z, time_axis=0)),
        ("noverlap must be less", lambda: signal.istft(z, noverlap=8)),
        ("nfft must be at least", lambda: signal.istft(z, nfft=4)),
        ("frequencies and segments", lambda: signal.istft(z[:, :0])),
    ):
        with pytest.raises(ValueError, match=match):
            call()

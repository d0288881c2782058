"""Arrays go straight into Matplotlib, pandas and SciPy: the results are those of NumPy arrays of the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as onp
import pytest
import scipy
from numpy.testing import assert_allclose, assert_array_equal

import anima.numpy as np
from anima import grad, jit, lax

mpl = pytest.importorskip(
    "matplotlib", reason="of the extra test; a machine for make test-gpu SYSTEM=1 may lack it"
)
plt = pytest.importorskip(
    "matplotlib.pyplot", reason="of the extra test; a machine for make test-gpu SYSTEM=1 may lack it"
)
pd = pytest.importorskip(
    "pandas", reason="of the extra test; a machine for make test-gpu SYSTEM=1 may lack it"
)

IMAGE = onp.sin(onp.arange(48, dtype=onp.float32)).reshape(6, 8)
SERIES = onp.cos(onp.arange(40, dtype=onp.float32) / 3)


@pytest.fixture
def axes() -> Iterator[Any]:
    figure = plt.figure()
    yield figure.add_subplot()
    plt.close(figure)


# --- Matplotlib ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32", "uint8", "bool"])
def test_images(axes: Any, dtype: str) -> None:
    values = (IMAGE > 0) if dtype == "bool" else (50 + 40 * IMAGE)
    array = np.asarray(values).astype(dtype)
    shown = axes.imshow(array if dtype != "bfloat16" else array.astype("float32"))
    assert_array_equal(shown.get_array(), onp.asarray(array).astype("float32"))
    axes.figure.canvas.draw()


def test_lines(axes: Any) -> None:
    x, y = np.arange(40.0), np.asarray(SERIES)
    for line in axes.plot(x, y, "r--") + axes.plot(y) + axes.plot(np.stack([y, y], axis=1)):
        assert_array_equal(line.get_ydata(), SERIES)
    axes.errorbar(x, y, yerr=np.abs(y))
    axes.fill_between(x, y, y + 1)
    axes.axhline(y.mean())
    axes.set(xlim=(x.min(), x.max()), yticks=np.linspace(-1, 1, 5))
    assert_allclose(axes.get_yticks(), onp.linspace(-1, 1, 5))
    axes.figure.canvas.draw()


def test_other_plots(axes: Any) -> None:
    x, y = np.asarray(SERIES), np.asarray(SERIES[::-1].copy())
    points = axes.scatter(x, y, c=x, s=10 + 5 * y)
    assert_array_equal(points.get_offsets(), onp.stack([SERIES, SERIES[::-1]], axis=1))
    assert_array_equal(points.get_array(), SERIES)
    counts, _, _ = axes.hist(x, bins=np.linspace(-1, 1, 6))
    assert_array_equal(counts, onp.histogram(SERIES, onp.linspace(-1, 1, 6))[0])
    assert [bar.get_height() for bar in axes.bar(np.arange(3), np.array([1.0, 2.0, 3.0]))] == [1.0, 2.0, 3.0]
    axes.contourf(np.asarray(IMAGE))
    axes.quiver(x, y, x, y)
    axes.figure.canvas.draw()


def test_colours() -> None:
    table = plt.cm.viridis(np.arange(256))
    assert_array_equal(table, plt.cm.viridis(onp.arange(256)))
    table[:, -1] = np.linspace(0, 1, 256) ** 3
    assert_allclose(mpl.colors.ListedColormap(table)(0.5)[-1], (128 / 255) ** 3, rtol=1e-5)


# --- pandas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "uint8", "bool", "complex64"])
def test_series(dtype: str) -> None:
    values = onp.asarray([3, 0, 1, 1]).astype(dtype)
    series = pd.Series(np.asarray(values), name="x")
    assert series.dtype == dtype
    assert_array_equal(series.to_numpy(), values)
    back = np.asarray(series)
    assert back.dtype == dtype
    assert_array_equal(back, values)


def test_frames() -> None:
    frame = pd.DataFrame(np.asarray(IMAGE), columns=list("abcdefgh"))
    frame["mean"] = np.asarray(IMAGE).mean(axis=1)
    frame["kind"] = np.arange(6) % 2
    assert frame["a"].dtype == "float32" and frame["kind"].dtype == "int32"
    assert_allclose(frame["mean"], IMAGE.mean(axis=1), rtol=1e-5, atol=1e-7)
    assert_allclose(frame.groupby("kind")["b"].sum(), [IMAGE[::2, 1].sum(), IMAGE[1::2, 1].sum()], rtol=1e-6)
    assert_array_equal(frame[pd.Series(np.asarray(IMAGE[:, 0]) > 0)]["a"], IMAGE[IMAGE[:, 0] > 0, 0])
    assert_array_equal(frame.iloc[np.array([4, 1])]["c"], IMAGE[[4, 1], 2])
    columns = pd.DataFrame({"x": np.arange(3), "y": np.zeros(3)}, index=np.array([7, 8, 9]))
    assert list(columns.index) == [7, 8, 9]
    assert_array_equal(np.asarray(frame[["a", "b"]]), IMAGE[:, :2])


def test_frames_do_not_write_into_arrays() -> None:
    array = np.zeros(3)
    frame = pd.DataFrame({"x": array})
    frame.loc[0, "x"] = 5.0
    assert_array_equal(array, onp.zeros(3))
    assert frame["x"].tolist() == [5.0, 0.0, 0.0]


# --- SciPy ------------------------------------------------------------------------------------------

MATRIX = IMAGE[:, :6] @ IMAGE[:, :6].T + 5 * onp.eye(6, dtype=onp.float32)
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "linalg.solve": lambda image, series, matrix: scipy.linalg.solve(matrix, image),
    "linalg.expm": lambda image, series, matrix: scipy.linalg.expm(matrix / 10),
    "special.expit": lambda image, series, matrix: scipy.special.expit(image),
    "stats.ttest_ind": lambda image, series, matrix: scipy.stats.ttest_ind(series[:20], series[20:]).pvalue,
    "signal.welch": lambda image, series, matrix: scipy.signal.welch(series, nperseg=16)[1],
    "signal.convolve2d": lambda image, series, matrix: scipy.signal.convolve2d(image, matrix[:3, :3]),
    "ndimage.gaussian_filter": lambda image, series, matrix: scipy.ndimage.gaussian_filter(image, 1.0),
    "interpolate": lambda image, series, matrix: scipy.interpolate.CubicSpline(abs(series[:3]).cumsum(), series[:3])(0.7),
    "integrate.trapezoid": lambda image, series, matrix: scipy.integrate.trapezoid(series),
    "sparse": lambda image, series, matrix: scipy.sparse.csr_array(matrix * (matrix > 1)).toarray(),
    "spatial.distance": lambda image, series, matrix: scipy.spatial.distance.pdist(image),
    "fft": lambda image, series, matrix: scipy.fft.rfft(series),
    "cluster": lambda image, series, matrix: scipy.cluster.hierarchy.linkage(image),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_functions_of_scipy(name: str) -> None:
    values = (IMAGE, SERIES, MATRIX)
    found = CALLS[name](*map(np.asarray, values))
    assert_allclose(found, CALLS[name](*values), rtol=1e-5, atol=1e-6)


def test_minimising_with_our_gradient() -> None:
    value = jit(lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))
    found = scipy.optimize.minimize(
        value, np.array([0.5, -0.5, 0.5]), jac=jit(grad(value)), method="BFGS", tol=1e-3
    )
    assert_allclose(found.x, onp.ones(3), atol=1e-2)


def test_convolutions_that_are_drawn_are_those_of_scipy(axes: Any) -> None:
    image, kernel = onp.zeros((20, 18), onp.float32), MATRIX[:3, :3]
    image[3:9, 4:10] = 1.0
    out = lax.conv(np.asarray(image)[None, None], np.asarray(kernel)[None, None], (1, 1), "SAME")
    drawn = axes.imshow(out[0, 0]).get_array()
    assert_allclose(drawn, scipy.signal.correlate2d(image, kernel, "same"), rtol=1e-5, atol=1e-5)

"""Draw the figures of `docs/sharp_bits.md` into `docs/figures/`: run it with `make docs`.

Invariant: a figure shows what the library computes when this program runs, or what `bench/RESULTS.json` says was measured;
nothing in it is written down by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files, not windows
import matplotlib.pyplot as plt
import numpy as onp
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

import anima
import anima.numpy as np
from anima import lax, random

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS.parent / "bench" / "RESULTS.json"
OURS, THEIRS, GREY = "#0b6e99", "#d1762b", "#888888"


def keys() -> Figure:
    """Pairs of numbers from one key used twice, and from two keys."""
    key = random.PRNGKey(0)
    first, second = random.split(key)
    draw = lambda k: random.uniform(k, (300,))
    figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
    for axis, title, x, y in (
        (axes[0], "one key, used twice", draw(key), draw(key)),
        (axes[1], "two keys, by split", draw(first), draw(second)),
    ):
        axis.scatter(x, y, s=6, color=OURS)
        axis.set(title=title, xlabel="first draw", aspect="equal", xticks=[0, 1], yticks=[0, 1])
    axes[0].set_ylabel("second draw")
    return figure


def bounded() -> Figure:
    """What the gradient of a loop keeps: of a scan, and of a while_loop with a bound."""
    bounds = [4**k for k in (1, 2, 3, 5, 7)]
    x = np.ones((2, 1000))

    def kept(loop: Callable[[Any], Any]) -> float:
        compiled = anima.jit(anima.grad(loop)).lower(x).compile()
        return compiled.memory_analysis().temp_size_in_bytes / x[0].nbytes

    def with_bound(n: int) -> Callable[[Any], Any]:
        step = lambda c: (c[0] + 1, np.sin(c[1]))
        return lambda x: lax.while_loop(lambda c: c[0] < x[1, 0], step, (0.0, x[0]), max_steps=n)[1].sum()

    def of_known_length(n: int) -> Callable[[Any], Any]:
        return lambda x: lax.scan(lambda c, _: (np.sin(c), None), x[0], None, length=n)[0].sum()

    figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
    axis.loglog(bounds, [kept(of_known_length(n)) for n in bounds], "s--", color=THEIRS, label="scan")
    axis.loglog(
        bounds, [kept(with_bound(n)) for n in bounds], "o-", color=OURS, label="while_loop(max_steps=n)"
    )
    axis.set(xlabel="n, the number of iterations", ylabel="arrays kept by the gradient")
    axis.legend(frameon=False)
    return figure


def image_and_kernel() -> tuple[Any, Any]:
    """Three squares in three colours (NHWC), and a diagonal edge detector (HWIO)."""
    kernel = onp.zeros((3, 3, 3, 3), onp.float32)
    kernel += onp.array([[1, 1, 0], [1, 0, -1], [0, -1, -1]])[:, :, None, None]
    image = onp.zeros((1, 200, 198, 3), onp.float32)
    for k in range(3):
        image[0, 30 + 60 * k : 40 + 60 * k, 20 + 60 * k : 30 + 60 * k, k] = 1.0
    return image, kernel


def convolutions() -> Figure:
    """The variants of a two-dimensional convolution."""
    image, kernel = image_and_kernel()
    names = ("NHWC", "HWIO", "NHWC")
    turned = np.rot90(np.rot90(kernel))
    variants: list[tuple[str, Any, dict[str, Any]]] = [
        ("SAME", kernel, {"padding": "SAME"}),
        ("VALID", kernel, {"padding": "VALID"}),
        ("stride 2", kernel, {"padding": "SAME", "window_strides": (2, 2)}),
        ("kernel dilated by 12", kernel, {"padding": "VALID", "rhs_dilation": (12, 12)}),
        ("image dilated by 2", kernel, {"padding": ((0, 0), (0, 0)), "lhs_dilation": (2, 2)}),
        ("transposed", turned, {"padding": ((2, 1), (2, 1)), "lhs_dilation": (2, 2)}),
    ]
    figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
    axes[0, 0].imshow(image[0])
    axes[0, 0].set_title(f"image\n{image.shape}", fontsize=9)
    axes[1, 0].imshow(kernel[:, :, 0, 0])
    axes[1, 0].set_title(f"kernel\n{kernel.shape}", fontsize=9)
    for axis, (title, weights, options) in zip(axes[:, 1:].ravel(), variants):
        options = {"window_strides": (1, 1), **options}
        out = lax.conv_general_dilated(image, weights, dimension_numbers=names, **options)
        axis.imshow(out[0, :, :, 0])
        axis.set_title(f"{title}\n{out.shape}", fontsize=9)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
    return figure


def line() -> Figure:
    """A one-dimensional convolution."""
    kernel = onp.array([[[1, 0, -1], [-1, 0, 1]], [[1, 1, 1], [-1, -1, -1]]], onp.float32).transpose(2, 1, 0)
    data = onp.zeros((1, 200, 2), onp.float32)
    for i in range(2):
        for k in range(2):
            start = 35 * i + 30 + 60 * k
            data[0, start : start + 30, k] = 1.0
    out = lax.conv_general_dilated(data, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.4), layout="constrained")
    for axis, title, values in zip(axes, ("input", "output"), (data, out)):
        for channel, color in zip(range(2), (OURS, THEIRS)):
            axis.plot(values[0, :, channel], color=color, label=f"channel {channel}")
        axis.set_title(title, fontsize=9)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def density() -> Figure:
    """A three-dimensional convolution, as densities of points."""
    kernel = onp.zeros((3, 3, 3, 1, 1), onp.float32)
    kernel[0, 1, 1] = kernel[2, 1, 1] = 1
    kernel[1, 0, 1] = kernel[1, 2, 1] = kernel[1, 1, 0] = kernel[1, 1, 2] = -1
    x, y, z = onp.mgrid[0:1:30j, 0:1:30j, 0:1:30j]
    data = onp.sin(2 * x * onp.pi) * onp.cos(2 * y * onp.pi) * onp.cos(2 * z * onp.pi)
    data = data[None, :, :, :, None].astype(onp.float32)
    out = lax.conv_general_dilated(
        data, kernel, (1, 1, 1), "SAME", dimension_numbers=("NHWDC", "HWDIO", "NHWDC")
    )
    colors = matplotlib.colormaps["viridis"](onp.arange(256))
    colors[:, -1] = np.linspace(0, 1, 256) ** 3  # the small ones are transparent
    figure = plt.figure(figsize=(7, 3.4), layout="constrained")
    for place, title, values in ((1, "input", data), (2, "3D conv output", out)):
        axis = figure.add_subplot(1, 2, place, projection="3d")
        axis.scatter(x.ravel(), y.ravel(), z.ravel(), c=values.ravel(), cmap=ListedColormap(colors), s=8)
        axis.axis("off")
        axis.set_title(title, fontsize=9)
    return figure


def precision() -> Figure:
    """The error of a finite difference, in single and in double precision."""
    steps = onp.logspace(-15, 0, 61)

    def errors() -> Any:
        h = np.asarray(steps)
        x = np.asarray(1.0)
        return np.abs((np.sin(x + h) - np.sin(x)) / h - np.cos(x))

    figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
    axis.loglog(steps, errors(), "--", color=THEIRS, label="float32")
    with anima.enable_x64():
        axis.loglog(steps, errors(), color=OURS, label="float64")
    axis.set(xlabel="step", ylabel="error of the difference", ylim=(1e-10, 2))
    axis.legend(frameon=False)
    return figure


def calls() -> Figure:
    """What calls cost beside JAX, as `make bench` measured it."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    cases = [
        case
        for group in ("Calling compiled functions", "Eager operations")
        for case in results["programs"][group]
        if case["values"].get("jax")
    ]
    ours, theirs = ([onp.median(case["values"][lib]) * 1e6 for case in cases] for lib in ("anima", "jax"))
    rows = onp.arange(len(cases))[::-1]
    figure, axis = plt.subplots(figsize=(8, 0.36 * len(cases) + 1), layout="constrained")
    axis.hlines(rows, ours, theirs, color=GREY, linewidth=1)
    axis.scatter(theirs, rows, color=THEIRS, marker="s", label="JAX", zorder=2)
    axis.scatter(ours, rows, color=OURS, label="Anima", zorder=2)
    axis.set_yticks(rows, [case["name"] for case in cases], fontsize=8)
    machine = results["machine"]
    axis.set(xscale="log", xlabel="microseconds a call")
    axis.set_title(f"{machine['date']}, {machine['processor']}", fontsize=8)
    axis.legend(frameon=False, loc="lower right")
    return figure


FIGURES = {
    figure.__name__: figure for figure in (keys, bounded, convolutions, line, density, precision, calls)
}


def main() -> None:
    """Draw all figures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)} (default: all)")
    parser.add_argument("--folder", type=Path, default=DOCS / "figures")
    arguments = parser.parse_args()
    plt.rcParams["font.size"] = 9
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or FIGURES:
        path = arguments.folder / f"{name}.png"
        FIGURES[name]().savefig(path, dpi=80, metadata={"Software": None}, pil_kwargs={"optimize": True})
        plt.close("all")
        print(path)


if __name__ == "__main__":
    main()

"""Images and differential equations compared with JAX."""

from __future__ import annotations

import inspect

import jax
import jax.experimental.ode
import numpy as np
import pytest

import anima
from anima import image
from anima.experimental import ode

pytestmark = pytest.mark.peers


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (image.resize, jax.image.resize),
        (image.scale_and_translate, jax.image.scale_and_translate),
        (ode.odeint, jax.experimental.ode.odeint),
    ],
)
def test_signatures(ours, theirs) -> None:
    ours, theirs = (list(inspect.signature(f).parameters.values()) for f in (ours, theirs))
    assert [(p.name, p.kind) for p in ours] == [(p.name, p.kind) for p in theirs]
    assert [getattr(p.default, "name", p.default) for p in ours] == [
        getattr(p.default, "name", p.default) for p in theirs
    ]


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", [m.name for m in jax.image.ResizeMethod])
def test_images(method: str, antialias: bool) -> None:
    rng = np.random.RandomState(0)
    for shape, new in (((7, 5, 3), (4, 9, 3)), ((1, 3), (5, 1))):
        x = rng.randn(*shape).astype(np.float32)
        for dtype in (np.float32, np.float16, np.int8, np.complex64):
            ours, theirs = (
                np.asarray(
                    lib.resize((x * 9).astype(dtype), new, lib.ResizeMethod[method], antialias=antialias)
                )
                for lib in (image, jax.image)
            )
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, atol=3e-5 if dtype is not np.float16 else 0.05)
        if method == "NEAREST":
            continue
        for scale, shift in (([0.7, 1.9], [1.2, -2.0]), ([2.0, 0.4], [-3.0, 0.6])):
            numbers = np.array(scale, np.float32), np.array(shift, np.float32)
            ours, theirs = (
                lib.scale_and_translate(
                    x, new, (0, 1), *numbers, lib.ResizeMethod[method], antialias=antialias
                )
                for lib in (image, jax.image)
            )
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_borders_that_repeat(size: int) -> None:
    pixels = np.eye(size, dtype=np.float32)
    for shift in (9.0, 9.25, 9.5, 9.9):
        numbers = np.ones(1, np.float32), np.array([shift], np.float32)
        ours, theirs = (
            lib.scale_and_translate(
                pixels, (size, 24), (1,), *numbers, lib.ResizeMethod.CUBIC_PYTORCH, antialias=False
            )
            for lib in (image, jax.image)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_differential_equations() -> None:
    times = np.array([0.0, 1.0, 2.0], np.float32)
    found = []
    for lib, solve in ((anima, ode.odeint), (jax, jax.experimental.ode.odeint)):
        total = lambda y, t, a: (solve(lambda y, t, a: -a * y * lib.numpy.cos(t), y, t, a) ** 2).sum()
        at = (lib.numpy.array([1.0, 2.0]), lib.numpy.asarray(times), lib.numpy.array(0.7))
        found.append(lib.value_and_grad(total, (0, 1, 2))(*at))
    ours, theirs = (jax.tree.leaves(jax.tree.map(np.asarray, tree)) for tree in found)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("size", [(3, 4), (11, 7), (5, 9)])
def test_images_as_pytorch_resizes_them(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="this build of PyTorch is not to be had everywhere")
    x = np.random.RandomState(1).randn(5, 6).astype(np.float32)
    there = torch.from_numpy(x)[None, None]
    for method, name in (("cubic-pytorch", "bicubic"), ("linear", "bilinear")):
        for antialias in (True, False):
            want = torch.nn.functional.interpolate(there, size, mode=name, antialias=antialias)[0, 0].numpy()
            got = image.resize(x, size, method, antialias)
            np.testing.assert_allclose(got, want, atol=2e-5)

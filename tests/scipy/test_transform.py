"""`scipy.spatial.transform` against SciPy: every form of rotations, their derivatives, stacks, transformations and errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.spatial.transform as theirs

import anima
import anima.numpy as anp
from anima import random
from anima.scipy.spatial.transform import Rotation, Slerp

RNG = np.random.default_rng(0)
QUATS = np.concatenate([RNG.normal(size=(5, 4)), np.eye(4), [[1.0, 1.0, 0.0, 0.0]]])
SEQUENCES = ("x", "zy", "XY", "xyz", "zyx", "XYZ", "YZX", "zxz", "yxy", "XYX", "ZYZ")


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with anima.enable_x64(True):
        yield


def same(got: Any, want: Any) -> None:
    """Whether rotations are the same, though their quaternions may differ in sign."""
    np.testing.assert_allclose(got.as_matrix(), want.as_matrix(), atol=1e-13)


def test_forms_are_those_of_scipy() -> None:
    ours, want = Rotation.from_quat(QUATS), theirs.Rotation.from_quat(QUATS)
    np.testing.assert_allclose(ours.as_quat(), want.as_quat(), atol=1e-14)
    np.testing.assert_allclose(ours.as_quat(canonical=True), want.as_quat(canonical=True), atol=1e-14)
    np.testing.assert_allclose(ours.as_quat(scalar_first=True), want.as_quat(scalar_first=True), atol=1e-14)
    for name in ("matrix", "rotvec", "mrp"):
        form = getattr(want, f"as_{name}")()
        np.testing.assert_allclose(getattr(ours, f"as_{name}")(), form, atol=1e-13)
        same(getattr(Rotation, f"from_{name}")(form), want)
        same(getattr(Rotation, f"from_{name}")(form[2]), want[2])
    np.testing.assert_allclose(ours.as_rotvec(degrees=True), want.as_rotvec(degrees=True), atol=1e-11)
    same(Rotation.from_rotvec(want.as_rotvec(degrees=True), degrees=True), want)
    np.testing.assert_allclose(ours.magnitude(), want.magnitude(), atol=1e-14)
    same(ours.inv(), want.inv())
    # small angles keep their digits
    for size in (0.0, 1e-200, 1e-9, 1e-3, 0.031, 0.0317, 3.0):
        vector = size * np.array([0.6, 0.0, -0.8])
        np.testing.assert_allclose(Rotation.from_rotvec(vector).as_rotvec(), vector, rtol=1e-14)


@pytest.mark.parametrize("seq", SEQUENCES)
def test_angles_are_those_of_scipy(seq: str) -> None:
    angles = RNG.uniform(-1.4, 1.4, size=(4, len(seq)))
    for degrees, scale in ((False, 1), (True, 57.0)):
        want = theirs.Rotation.from_euler(seq, angles * scale, degrees)
        got = Rotation.from_euler(seq, angles * scale, degrees)
        same(got, want)
        if len(seq) == 3:
            np.testing.assert_allclose(
                got.as_euler(seq, degrees), want.as_euler(seq, degrees), atol=1e-13 * scale
            )
    if len(seq) == 3:
        for middle in (0, np.pi) if seq[0] == seq[2] else (-np.pi / 2, np.pi / 2):
            locked = Rotation.from_euler(seq, np.array([0.3, middle, 0.4]))
            found = locked.as_euler(seq)
            assert found[2] == 0
            np.testing.assert_allclose(
                Rotation.from_euler(seq, found).as_matrix(), locked.as_matrix(), atol=1e-7
            )
    else:
        with pytest.raises(ValueError, match="3 axes"):
            got.as_euler(seq)


def test_what_rotations_do() -> None:
    ours, want = Rotation.from_quat(QUATS), theirs.Rotation.from_quat(QUATS)
    vectors = RNG.normal(size=(len(QUATS), 3))
    for inverse in (False, True):
        np.testing.assert_allclose(ours.apply(vectors, inverse), want.apply(vectors, inverse), atol=1e-13)
        np.testing.assert_allclose(
            ours.apply(vectors[0], inverse), want.apply(vectors[0], inverse), atol=1e-13
        )
        np.testing.assert_allclose(
            ours[0].apply(vectors, inverse), want[0].apply(vectors, inverse), atol=1e-13
        )
    same(ours * ours[::-1], want * want[::-1])
    same(ours[1] * ours, want[1] * want)
    same(ours * ours[1], want * want[1])
    weights = RNG.uniform(size=len(QUATS))
    same(ours.mean(), want.mean())
    same(ours.mean(weights), want.mean(weights))
    same(Rotation.concatenate([ours, ours[0]]), theirs.Rotation.concatenate([want, want[0]]))
    same(Rotation.concatenate(ours), want)
    assert len(ours) == len(QUATS) and ours[0].single and not ours.single
    assert Rotation.identity().single and len(Rotation.identity(3)) == 3
    assert Rotation.identity(2, np.float16).quat.dtype == np.float16
    drawn = Rotation.random(random.key(0), 4000)
    np.testing.assert_allclose(anp.linalg.norm(drawn.quat, axis=-1), 1, rtol=1e-12)
    # all directions and angles are equally frequent: no matrix element has a mean
    np.testing.assert_allclose(drawn.as_matrix().mean(0), 0, atol=0.05)
    assert Rotation.random(random.key(1)).single and len(Rotation.random(random.key(1), 0)) == 0


def test_interpolation() -> None:
    times, rotations = np.array([0.0, 1.0, 3.0, 3.5]), RNG.normal(size=(4, 4))
    ours = Slerp.init(times, Rotation.from_quat(rotations))
    want = theirs.Slerp(times, theirs.Rotation.from_quat(rotations))
    places = np.array([0.0, 0.3, 1.0, 2.5, 3.2, 3.5])
    same(ours(places), want(places))
    same(ours(2.5), want(2.5))
    assert ours(places[:0]).quat.shape == (0, 4)
    whole = Slerp.init(np.array([0, 2]), Rotation.from_quat(rotations[:2]))
    same(whole(1), theirs.Slerp([0, 2], theirs.Rotation.from_quat(rotations[:2]))(1))
    jitted = anima.jit(lambda slerp, t: slerp(t))(ours, places)
    np.testing.assert_allclose(jitted.quat, ours(places).quat, atol=1e-14)


def test_derivatives_are_those_of_differences() -> None:
    point = np.array([1.0, 2.0, 3.0])
    places, direction = np.array([[0.3, -0.2, 0.5], [0.0, 0.0, 0.0]]), np.array([0.6, -0.5, 0.4])
    step = 1e-5
    moved = places + step * direction * np.array([-1, 0, 1])[:, None, None]
    mapped = lambda fun: anima.jit(anima.vmap(anima.vmap(fun)))
    along = lambda fun: lambda x: anima.jvp(fun, (x,), (direction,))
    for order, fun in (
        (2, lambda v: Rotation.from_rotvec(v).apply(point)),
        (2, lambda v: Rotation.from_mrp(v).as_rotvec()),
        (1, lambda v: Rotation.from_rotvec(v).as_euler("zyx")),
        (1, lambda v: Rotation.from_matrix(Rotation.from_euler("xyz", v).as_matrix()).as_mrp()),
        (1, lambda v: (Rotation.from_quat(anp.append(v, 0.3)) * Rotation.from_mrp(v).inv()).as_quat()),
    ):
        values, slopes = map(np.asarray, mapped(along(fun))(moved))
        np.testing.assert_allclose(slopes[1], (values[2] - values[0]) / (2 * step), atol=1e-8)
        reverse = mapped(anima.grad(lambda x, fun=fun: fun(x).sum()))(places[None])
        np.testing.assert_allclose(reverse[0] @ direction, slopes[1].sum(-1), atol=1e-12)
        if order == 2:
            _, (_, curvatures) = mapped(along(along(fun)))(places[None])
            np.testing.assert_allclose(curvatures[0], (slopes[2] - slopes[0]) / (2 * step), atol=1e-8)
    assert anima.grad(lambda v: Rotation.from_rotvec(v).magnitude())(np.zeros(3)).tolist() == [0, 0, 0]


def test_rotations_are_trees() -> None:
    vectors = RNG.normal(size=(4, 3))
    stack = Rotation.from_rotvec(vectors)
    matrices = anima.jit(anima.vmap(Rotation.as_matrix))(stack)
    np.testing.assert_allclose(matrices, stack.as_matrix(), atol=1e-14)
    turned = anima.vmap(lambda r, v: (r * r).apply(v))(stack, vectors)
    np.testing.assert_allclose(turned, (stack * stack).apply(vectors), atol=1e-14)
    last, _ = anima.lax.scan(lambda total, r: (r * total, None), Rotation.identity(), stack)
    same(last, stack[3] * stack[2] * stack[1] * stack[0])
    assert Rotation.from_rotvec(np.zeros((0, 3))).as_matrix().shape == (0, 3, 3)
    assert Rotation.from_quat(np.ones((2, 3, 4))).as_euler("xyz").shape == (2, 3, 3)
    assert np.isnan(Rotation.from_quat(np.zeros(4)).quat).all()
    for dtype, want in ((np.int64, "float64"), (np.float32, "float32"), (np.float16, "float16")):
        assert Rotation.from_rotvec(np.ones(3, dtype)).apply(np.ones(3, dtype)).dtype == want


def test_errors() -> None:
    stack = Rotation.from_quat(QUATS)
    one = stack[0]
    for call, error, match in (
        (lambda: Rotation.from_quat(np.ones(3)), ValueError, r"\(\.\.\., 4\)"),
        (lambda: Rotation.from_matrix(np.eye(2)), ValueError, r"\(\.\.\., 3, 3\)"),
        (lambda: Rotation.from_rotvec(np.ones(4)), ValueError, "from_rotvec"),
        (lambda: Rotation.from_mrp(1.0), ValueError, "from_mrp"),
        (lambda: Rotation.from_euler("xYz", np.ones(3)), ValueError, "consist"),
        (lambda: Rotation.from_euler("xxz", np.ones(3)), ValueError, "consecutive"),
        (lambda: Rotation.from_euler("xyz", np.ones(2)), ValueError, "from_euler"),
        (lambda: Rotation.from_euler("", 1.0), ValueError, "one to three"),
        (lambda: Rotation.from_euler(3, 1.0), TypeError, "string"),
        (lambda: Rotation.identity(2, int), TypeError, "floating-point"),
        (lambda: Rotation.concatenate([]), ValueError, "at least one"),
        (lambda: Rotation.concatenate([QUATS]), TypeError, "rotations"),
        (lambda: stack.apply(np.ones((3, 3))), ValueError, "incompatible"),
        (lambda: stack * stack[:3], ValueError, "incompatible"),
        (lambda: stack * 3, TypeError, "another one"),
        (lambda: stack.mean(np.ones(3)), ValueError, "weights"),
        (lambda: one.mean(), TypeError, "no length"),
        (lambda: len(one), TypeError, "no length"),
        (lambda: one[0], TypeError, "no parts"),
        (lambda: Slerp.init(np.arange(2.0), one), ValueError, "at least 2"),
        (lambda: Slerp.init(np.arange(2.0), stack), ValueError, "times"),
        (lambda: Slerp.init(np.array([1.0, 0.0]), stack[:2]), ValueError, "increase"),
        (lambda: Slerp.init(np.arange(2.0), QUATS), TypeError, "Rotation"),
        (lambda: Slerp.init(np.arange(2.0), stack[:2])(np.ones((1, 1))), ValueError, "vector"),
    ):
        with pytest.raises(error, match=match):
            call()


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    program = "import sys, anima.scipy; print([m for m in sys.modules if 'spatial' in m])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

"""Formulas of rotations as quaternions `(x, y, z, w)`, along the last axis.

Invariant: results of unit quaternions are unit quaternions; derivatives exist wherever the mathematical function has them, at the
identity above all: what is a quotient of small numbers there is a series of their squares.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima.lax import stop_gradient
from anima.numpy.calls import function

# Where squares are below this, five terms of a series are exact in double precision, and so are two of their derivatives.
_SMALL = 1e-3


def _norm(v: Any) -> Any:
    """The norm along the last axis, with derivative 0 where it is 0."""
    square = np.sum(v * v, -1)
    return np.where(square > 0, np.sqrt(np.where(square > 0, square, 1)), 0)


def _polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    total = np.zeros_like(x)
    for coefficient in coefficients[::-1]:
        total = total * x + coefficient
    return total


@function
def normalized(q: Any) -> Any:
    """Vectors divided by their norm; NaN where it is 0."""
    # Squares of large and small numbers stay in range; the result does not depend on the factor.
    largest = np.max(np.abs(stop_gradient(q)), -1, keepdims=True)
    q = q / largest
    return q / np.sqrt(np.sum(q * q, -1, keepdims=True))


@function
def product(p: Any, q: Any) -> Any:
    """The rotation by `q`, then by `p`."""
    u, v, a, b = p[..., :3], q[..., :3], p[..., 3:], q[..., 3:]
    vector = a * v + b * u + np.cross(u, v)
    scalar = a * b - np.sum(u * v, -1, keepdims=True)
    return normalized(np.concatenate([vector, scalar], -1))


@function
def conjugate(q: Any) -> Any:
    """The rotation back."""
    return np.concatenate([-q[..., :3], q[..., 3:]], -1)


@function
def magnitude(q: Any) -> Any:
    """The angle, from 0 to pi."""
    return 2 * np.arctan2(_norm(q[..., :3]), np.abs(q[..., 3]))


# --- matrices ---------------------------------------------------------------------------------


@function
def to_matrix(q: Any) -> Any:
    """Matrices of rotations."""
    x, y, z, w = (q[..., i] for i in range(4))
    rows = [
        [x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), y * y - x * x - z * z + w * w, 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), z * z - x * x - y * y + w * w],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


@function
def from_matrix(m: Any) -> Any:
    """Quaternions of matrices: of four forms that are equal for rotations the one that divides by the largest number.

    Source: S. W. Shepperd, "Quaternion from rotation matrix", Journal of Guidance and Control 1, 1978.
    """
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    forms = []
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        parts = [trace] * 4
        parts[i] = 1 - trace + 2 * m[..., i, i]
        parts[j] = m[..., j, i] + m[..., i, j]
        parts[k] = m[..., k, i] + m[..., i, k]
        parts[3] = m[..., k, j] - m[..., j, k]
        forms.append(np.stack(parts, -1))
    last = [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1], 1 + trace]
    forms.append(np.stack(last, -1))
    choice = np.argmax(np.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2], trace], -1), -1)
    picked = np.take_along_axis(np.stack(forms, -2), choice[..., None, None], -2)[..., 0, :]
    return normalized(picked)


@function(static=("inverse",))
def apply(q: Any, vectors: Any, inverse: bool) -> Any:
    """Rotated vectors; stacks of rotations and of vectors broadcast."""
    matrix = to_matrix(q)
    matrix = np.swapaxes(matrix, -1, -2) if inverse else matrix
    return np.sum(matrix * vectors[..., None, :], -1)


# --- vectors ----------------------------------------------------------------------------------


@function
def from_vector(v: Any) -> Any:
    """Quaternions of rotations by the norm of vectors, in radians, around these."""
    square = np.sum(v * v, -1, keepdims=True)
    small = square < _SMALL
    near, far = np.where(small, square, 0), np.where(small, 1, square)
    angle = np.sqrt(far)
    # sin(a / 2) / a and cos(a / 2), where a is small by their series.
    scale = _polynomial(near / 4, (1 / 2, -1 / 12, 1 / 240, -1 / 10080, 1 / 725760))
    cosine = _polynomial(near / 4, (1, -1 / 2, 1 / 24, -1 / 720, 1 / 40320))
    scale = np.where(small, scale, np.sin(angle / 2) / angle)
    return np.concatenate([v * scale, np.where(small, cosine, np.cos(angle / 2))], -1)


@function
def to_vector(q: Any) -> Any:
    """Vectors along the axes of rotations, as long as the angles, at most pi."""
    q = np.where(q[..., 3:] < 0, -q, q)
    v, w = q[..., :3], q[..., 3:]
    square = np.sum(v * v, -1, keepdims=True)
    small = square < _SMALL * w * w
    inner = np.where(small, w, 1)
    tangent = np.where(small, square, 0) / (inner * inner)
    length = np.sqrt(np.where(small, 1, square))
    near = 2 / inner * _polynomial(tangent, (1, -1 / 3, 1 / 5, -1 / 7, 1 / 9, -1 / 11))
    return v * np.where(small, near, 2 * np.arctan2(length, w) / length)


@function
def from_mrp(v: Any) -> Any:
    """Quaternions of modified Rodrigues parameters, which are the axis times the tangent of a quarter of the angle."""
    square = np.sum(v * v, -1, keepdims=True)
    return np.concatenate([2 * v, 1 - square], -1) / (1 + square)


@function
def to_mrp(q: Any) -> Any:
    """Modified Rodrigues parameters, of norm 1 at most."""
    q = np.where(q[..., 3:] < 0, -q, q)
    return q[..., :3] / (1 + q[..., 3:])


@function
def canonical(q: Any) -> Any:
    """Of both quaternions of a rotation the one whose last component that is not 0, in the order w, x, y, z, is positive."""
    x, y, z, w = (q[..., i] for i in range(4))
    deciding = np.where(w != 0, w, np.where(x != 0, x, np.where(y != 0, y, z)))
    return np.where(deciding[..., None] < 0, -q, q)


# --- angles -----------------------------------------------------------------------------------


@function(static=("axes", "intrinsic"))
def from_angles(angles: Any, axes: tuple[int, ...], intrinsic: bool) -> Any:
    """Rotations one after another, around axes that stand still or turn."""
    result = None
    for i, axis in enumerate(axes):
        half = angles[..., i] / 2
        parts = [np.zeros_like(half)] * 3
        parts[axis] = np.sin(half)
        turn = np.stack([*parts, np.cos(half)], -1)
        if result is None:
            result = turn
        else:
            result = product(result, turn) if intrinsic else product(turn, result)
    return result


@function(static=("axes", "intrinsic"))
def to_angles(q: Any, axes: tuple[int, ...], intrinsic: bool) -> Any:
    """Angles around three axes; where these determine a sum or difference of angles only, the last is 0.

    Source: E. Bernardes and S. Viollet, "Quaternion to Euler angles conversion: a direct, general and computationally efficient
    method", PLoS ONE 17, 2022.
    """
    i, j, k = axes[::-1] if intrinsic else axes
    symmetric = i == k
    k = 3 - i - j if symmetric else k
    sign = (i - j) * (j - k) * (k - i) // 2
    x, y, z, w = q[..., i], q[..., j], q[..., k] * sign, q[..., 3]
    a, b, c, d = (w, x, y, z) if symmetric else (w - y, x + z, y + w, z - x)
    middle = 2 * np.arctan2(np.hypot(c, d), np.hypot(a, b))
    half_sum, half_difference = np.arctan2(b, a), np.arctan2(d, c)
    tolerance = 1e-7
    lower, upper = np.abs(middle) <= tolerance, np.abs(middle - np.pi) <= tolerance
    first, last = half_sum - half_difference, half_sum + half_difference
    if intrinsic:
        alone = np.where(lower, 2 * half_sum, 2 * half_difference)
        first, last = np.where(lower | upper, 0, first), np.where(lower | upper, alone, last)
    else:
        alone = np.where(lower, 2 * half_sum, -2 * half_difference)
        first, last = np.where(lower | upper, alone, first), np.where(lower | upper, 0, last)
    if not symmetric:
        last, middle = last * sign, middle - np.pi / 2
    found = np.stack([last, middle, first] if intrinsic else [first, middle, last], -1)
    return np.where(found > np.pi, found - 2 * np.pi, np.where(found < -np.pi, found + 2 * np.pi, found))

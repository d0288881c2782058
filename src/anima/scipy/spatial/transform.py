"""Rotations in three dimensions, and interpolation between them.

Invariant: both classes are named tuples of arrays, so they are trees: arguments and results of functions. A rotation is kept as a
unit quaternion `(x, y, z, w)`, many as a stack of them along the leading axes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

import anima.numpy as np
from anima import dtypes, random
from anima.numpy.promotion import array_like, promote_dtypes_inexact, strong_inexact
from anima.scipy.spatial import quaternions


def _operand(name: str, value: Any, sizes: tuple[int, ...]) -> Any:
    """An argument as an inexact array whose last axes have given lengths."""
    x = strong_inexact(name, np.asarray(value))
    if x.shape[-len(sizes) :] != sizes:
        raise ValueError(
            f"Rotation.{name} takes an array of shape (..., {', '.join(map(str, sizes))}), got {x.shape}"
        )
    return x


def _axes(seq: str, count: int | None = None) -> tuple[tuple[int, ...], bool]:
    """The numbers of named axes, and whether they turn with what is rotated."""
    if not isinstance(seq, str):
        raise TypeError(f"seq must be a string such as 'xyz', got {type(seq).__name__}")
    if not 1 <= len(seq) <= 3:
        raise ValueError(f"seq must name one to three axes, got {seq!r}")
    if not (set(seq) <= set("xyz") or set(seq) <= set("XYZ")):
        raise ValueError(
            f"seq must consist of 'x', 'y', 'z' (axes that stand still) or of 'X', 'Y', 'Z' (that turn), got {seq!r}"
        )
    if any(a == b for a, b in itertools.pairwise(seq)):
        raise ValueError(f"consecutive axes in seq must be different, got {seq!r}")
    if count is not None and len(seq) != count:
        raise ValueError(f"seq must name {count} axes, got {seq!r}")
    return tuple("xyz".index(letter) for letter in seq.lower()), seq.isupper()


class Rotation(NamedTuple):
    """Rotations in three dimensions, one or a stack of them.

    Args:
      quat: unit quaternions `(x, y, z, w)`, of shape `(..., 4)`; `from_quat` takes those of any norm.

    >>> import anima.numpy as np
    >>> from anima.scipy.spatial.transform import Rotation
    >>> turn = Rotation.from_euler("z", 90.0, degrees=True)
    >>> print((turn * turn).apply(np.array([1.0, 2.0, 3.0])).round(4))
    [-1. -2.  3.]
    """

    quat: Any

    # --- from other forms ---------------------------------------------------------------------

    @classmethod
    def from_quat(cls, quat: Any) -> Rotation:
        """Rotations from quaternions.

        Args:
          quat: quaternions `(x, y, z, w)` of any norm but 0, of shape `(..., 4)`.
        Raises:
          ValueError: the last axis has another length.
        """
        return cls(quaternions.normalized(_operand("from_quat", quat, (4,))))

    @classmethod
    def from_matrix(cls, matrix: Any) -> Rotation:
        """Rotations from orthogonal matrices of determinant 1; of others, a rotation with some of their elements.

        Args:
          matrix: of shape `(..., 3, 3)`.
        Raises:
          ValueError: the last axes have other lengths.
        """
        return cls(quaternions.from_matrix(_operand("from_matrix", matrix, (3, 3))))

    @classmethod
    def from_rotvec(cls, rotvec: Any, degrees: bool = False) -> Rotation:
        """Rotations from vectors along the axes, as long as the angles.

        Args:
          rotvec: of shape `(..., 3)`.
          degrees: whether lengths are degrees, not radians.
        Raises:
          ValueError: the last axis has another length.
        """
        rotvec = _operand("from_rotvec", rotvec, (3,))
        return cls(quaternions.from_vector(np.deg2rad(rotvec) if degrees else rotvec))

    @classmethod
    def from_mrp(cls, mrp: Any) -> Rotation:
        """Rotations from modified Rodrigues parameters: the axis times the tangent of a quarter of the angle.

        Args:
          mrp: of shape `(..., 3)`.
        Raises:
          ValueError: the last axis has another length.
        """
        return cls(quaternions.from_mrp(_operand("from_mrp", mrp, (3,))))

    @classmethod
    def from_euler(cls, seq: str, angles: Any, degrees: bool = False) -> Rotation:
        """Rotations from angles around one to three axes, one after another.

        Args:
          seq: the axes: of "x", "y", "z" if they stand still, of "X", "Y", "Z" if they turn with what is rotated.
          angles: of shape `(..., len(seq))`; a number if there is one axis.
          degrees: whether angles are degrees, not radians.
        Raises:
          ValueError: there are other axes, one twice in a row, or another number of angles.
        """
        axes, intrinsic = _axes(seq)
        angles = np.asarray(angles)
        angles = _operand("from_euler", angles if angles.ndim else angles[None], (len(axes),))
        return cls(quaternions.from_angles(np.deg2rad(angles) if degrees else angles, axes, intrinsic))

    @classmethod
    def identity(cls, num: int | None = None, dtype: Any = float) -> Rotation:
        """The rotation that moves nothing.

        Args:
          num: how many of them; None for a single one.
          dtype: the floating-point dtype of the quaternion.
        Raises:
          TypeError: the dtype is of no floating-point numbers.
        """
        one = np.array([0, 0, 0, 1], dtype)
        if not dtypes.is_float(one.dtype):
            raise TypeError(
                f"Rotation.identity: dtype must be of floating-point numbers, got {dtypes.dtype_name(one.dtype)}"
            )
        return cls(one if num is None else np.broadcast_to(one, (num, 4)))

    @classmethod
    def random(cls, random_key: Any, num: int | None = None) -> Rotation:
        """Rotations drawn evenly from all.

        Args:
          random_key: a random key.
          num: how many; None for a single one.
        """
        return cls(quaternions.normalized(random.normal(random_key, (4,) if num is None else (num, 4))))

    @classmethod
    def concatenate(cls, rotations: Sequence[Rotation]) -> Rotation:
        """One stack of several rotations and stacks.

        Raises:
          ValueError: there are none. TypeError: one is no rotation.
        """
        parts = [rotations] if isinstance(rotations, Rotation) else list(rotations)
        for part in parts:
            if not isinstance(part, Rotation):
                raise TypeError(f"Rotation.concatenate takes rotations, got {type(part).__name__}")
        return cls(np.concatenate([np.atleast_2d(part.quat) for part in parts]))

    # --- to other forms -----------------------------------------------------------------------

    def as_quat(self, canonical: bool = False, scalar_first: bool = False) -> Any:
        """The unit quaternions, of shape `(..., 4)`.

        Args:
          canonical: of both quaternions of a rotation, give the one with a positive `w`; or a positive `x`, `y` or `z`, where
            those before are 0.
          scalar_first: in the order `(w, x, y, z)`.
        """
        quat = quaternions.canonical(self.quat) if canonical else self.quat
        return np.roll(quat, 1, axis=-1) if scalar_first else quat

    def as_matrix(self) -> Any:
        """The matrices, of shape `(..., 3, 3)`."""
        return quaternions.to_matrix(self.quat)

    def as_rotvec(self, degrees: bool = False) -> Any:
        """Vectors along the axes as long as the angles, in degrees or radians, of shape `(..., 3)`."""
        vector = quaternions.to_vector(self.quat)
        return np.rad2deg(vector) if degrees else vector

    def as_mrp(self) -> Any:
        """Modified Rodrigues parameters, of shape `(..., 3)`: the axis times the tangent of a quarter of the angle."""
        return quaternions.to_mrp(self.quat)

    def as_euler(self, seq: str, degrees: bool = False) -> Any:
        """Angles around three axes, one after another, of shape `(..., 3)`.

        Args:
          seq: the axes, as in `from_euler`.
          degrees: give degrees, not radians.
        Returns:
          Angles of which the second is from 0 to pi, if the first and the last axis are the same, or from -pi/2 to pi/2. Where many
          angles describe a rotation, because it makes both axes parallel, the third is 0.
        Raises:
          ValueError: there are not three axes, others, or one twice in a row.
        """
        axes, intrinsic = _axes(seq, 3)
        angles = quaternions.to_angles(self.quat, axes, intrinsic)
        return np.rad2deg(angles) if degrees else angles

    # --- what rotations do --------------------------------------------------------------------

    def apply(self, vectors: Any, inverse: bool = False) -> Any:
        """Rotated vectors.

        Args:
          vectors: of shape `(..., 3)`; the other axes broadcast with those of the rotations.
          inverse: rotate back.
        Raises:
          ValueError: the last axis has another length, or the others do not broadcast.
        """
        vectors = _operand("apply", vectors, (3,))
        np.broadcast_shapes(self.quat.shape[:-1], vectors.shape[:-1])
        return quaternions.apply(self.quat, vectors, bool(inverse))

    def __mul__(self, other: Any) -> Rotation:
        """The rotations by `other`, then by these."""
        if not isinstance(other, Rotation):
            # An answer of NotImplemented would fall back to the repetition of tuples.
            raise TypeError(f"a Rotation can be multiplied by another one only, got {type(other).__name__}")
        np.broadcast_shapes(self.quat.shape, other.quat.shape)
        return Rotation(quaternions.product(self.quat, other.quat))

    def inv(self) -> Rotation:
        """The rotations back."""
        return Rotation(quaternions.conjugate(self.quat))

    def magnitude(self) -> Any:
        """The angles, from 0 to pi."""
        return quaternions.magnitude(self.quat)

    def mean(self, weights: Any = None) -> Rotation:
        """The rotation whose squared distances from these have the least sum.

        Args:
          weights: how much each of a stack counts, a vector; by default all count the same.
        Raises:
          ValueError: there are more or fewer weights than rotations. TypeError: this is a single rotation.

        Source: F. L. Markley et al., "Averaging quaternions", Journal of Guidance, Control, and Dynamics 30, 2007.
        """
        count = len(self)
        weights = np.ones(count, self.quat.dtype) if weights is None else np.asarray(weights)
        if weights.shape != (count,):
            raise ValueError(
                f"Rotation.mean: weights must be a vector with one number for each of {count} rotations, "
                f"got shape {weights.shape}"
            )
        _, vectors = np.linalg.eigh((self.quat.T * weights) @ self.quat)
        return Rotation(quaternions.canonical(vectors[:, -1]))

    # --- stacks -------------------------------------------------------------------------------

    @property
    def single(self) -> bool:
        """Whether this is one rotation, not a stack."""
        return bool(self.quat.ndim == 1)

    def __len__(self) -> int:
        """How many rotations a stack has."""
        if self.single:
            raise TypeError("a single Rotation has no length")
        return int(self.quat.shape[0])

    def __getitem__(self, indexer: Any) -> Rotation:
        """Some rotations of a stack."""
        if self.single:
            raise TypeError("a single Rotation has no parts")
        return Rotation(self.quat[indexer])


class Slerp(NamedTuple):
    """Interpolation of rotations with constant angular velocity between given times; made by `Slerp.init`.

    Args:
      times: when rotations are given.
      timedelta: the differences of these.
      rotations: the rotations at all times but the last.
      rotvecs: the vectors of the rotations from one time to the next.

    >>> from anima.scipy.spatial.transform import Rotation, Slerp
    >>> import anima.numpy as np
    >>> ends = Rotation.from_euler("z", np.array([[0.0], [90.0]]), degrees=True)
    >>> between = Slerp.init(np.array([0.0, 1.0]), ends)
    >>> print(between(0.25).magnitude().round(4), (np.pi / 8).__round__(4))
    0.3927 0.3927
    """

    times: Any
    timedelta: Any
    rotations: Rotation
    rotvecs: Any

    @classmethod
    def init(cls, times: Any, rotations: Rotation) -> Slerp:
        """An interpolation.

        Args:
          times: a vector that increases.
          rotations: a stack with a rotation for each time, at least two.
        Raises:
          TypeError: `rotations` is no rotation. ValueError: there are fewer than two, or another number of times, or these do not
            increase.
        """
        if not isinstance(rotations, Rotation):
            raise TypeError(f"Slerp.init: rotations must be a Rotation, got {type(rotations).__name__}")
        if rotations.single or len(rotations) < 2:
            raise ValueError("Slerp.init: rotations must be a stack of at least 2")
        (times,) = promote_dtypes_inexact("Slerp.init", np.asarray(times, rotations.quat.dtype))
        if times.shape != (len(rotations),):
            raise ValueError(
                f"Slerp.init: times must be a vector with one number for each of {len(rotations)} rotations, "
                f"got shape {times.shape}"
            )
        if hasattr(times, "is_ready") and not (numpy.diff(numpy.asarray(times)) > 0).all():
            raise ValueError("Slerp.init: times must increase throughout")
        starts, ends = Rotation(rotations.quat[:-1]), Rotation(rotations.quat[1:])
        return cls(times, np.diff(times), starts, (starts.inv() * ends).as_rotvec())

    def __call__(self, times: Any) -> Rotation:
        """The rotations at some times; before the first and after the last one, the nearest rotation goes on as it does there.

        Args:
          times: a number or a vector.
        Raises:
          ValueError: it has more axes.
        """
        times = np.asarray(array_like("Slerp", np.asarray(times)))
        if times.ndim > 1:
            raise ValueError(f"Slerp: times must be a number or a vector, got shape {times.shape}")
        last = self.timedelta.shape[0] - 1
        index = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, last)
        share = (times - self.times[index]) / self.timedelta[index]
        start = Rotation(self.rotations.quat[index])
        return start * Rotation.from_rotvec(self.rotvecs[index] * share[..., None])

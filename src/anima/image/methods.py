"""The kernels that images are resampled with.

Invariant: a kernel is a function of the distance between an output's place and an input's, in pixels, never negative; it is
0 from its radius on.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import anima.numpy as np


class ResizeMethod(enum.Enum):
    """How values between pixels are found.

    NEAREST: that of the nearest pixel. LINEAR: between the two next to it. LANCZOS3 and LANCZOS5: a windowed sinc over 3 or 5
    pixels on each side. CUBIC: Keys' cubic over 2. CUBIC_PYTORCH: as PyTorch's bicubic, which without antialiasing
    has another cubic and repeats the pixels at the border. AREA: the mean of what an output pixel covers.
    """

    NEAREST = 0
    LINEAR = 1
    LANCZOS3 = 2
    LANCZOS5 = 3
    CUBIC = 4
    CUBIC_PYTORCH = 5
    AREA = 6

    @staticmethod
    def from_string(s: str) -> ResizeMethod:
        """The method of a name.

        Args:
          s: "nearest"; "linear", "bilinear", "trilinear" or "triangle"; "lanczos3"; "lanczos5"; "cubic", "bicubic" or
            "tricubic"; "cubic-pytorch"; "area".
        Raises:
          ValueError: there is no such method.

        >>> ResizeMethod.from_string("bilinear")
        <ResizeMethod.LINEAR: 1>
        """
        if s not in _NAMES:
            raise ValueError(f'Unknown resize method "{s}"; there are {", ".join(_NAMES)}')
        return _NAMES[s]


_NAMES = {
    "nearest": ResizeMethod.NEAREST,
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), ResizeMethod.LINEAR),
    "lanczos3": ResizeMethod.LANCZOS3,
    "lanczos5": ResizeMethod.LANCZOS5,
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), ResizeMethod.CUBIC),
    "cubic-pytorch": ResizeMethod.CUBIC_PYTORCH,
    "area": ResizeMethod.AREA,
}


def method_of(name: str, method: Any) -> ResizeMethod:
    """The method that a caller names by a string or as itself."""
    if isinstance(method, str):
        return ResizeMethod.from_string(method)
    if not isinstance(method, ResizeMethod):
        raise ValueError(f"{name}: method must be a string or a ResizeMethod, got {method!r}")
    return method


def _triangle(x: Any) -> Any:
    return np.maximum(0, 1 - x)


def cubic(x: Any, a: float) -> Any:
    """R. G. Keys, "Cubic convolution interpolation for digital image processing", 1981; `a` is the slope at 1."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(radius: int) -> Callable[[Any], Any]:
    return lambda x: np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


KERNELS: dict[ResizeMethod, Callable[[Any], Any]] = {
    ResizeMethod.LINEAR: _triangle,
    ResizeMethod.LANCZOS3: _lanczos(3),
    ResizeMethod.LANCZOS5: _lanczos(5),
    ResizeMethod.CUBIC: lambda x: cubic(x, -0.5),
    ResizeMethod.CUBIC_PYTORCH: lambda x: cubic(x, -0.5),
}

"""Pictures of how arrays lie over devices, in text.

Invariant: each part of the array is one box, as many of them as there are different parts, with the numbers of all devices that
hold it; the picture is written to standard output and changes nothing.
"""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from anima._native import ArrayImpl
from anima.core.trace import Tracer
from anima.sharding import Sharding

Color = tuple[float, ...] | str
ColorMap = Callable[[float], Color]

_LINES = 10  # of a picture of scale 1
_WIDER = 2.5  # columns that are as wide as a line is high
# Background colours of terminals with 256 of them, light enough for black letters.
_PALETTE = (117, 157, 223, 219, 183, 152, 194, 217, 189, 229, 159, 216)


def visualize_sharding(
    shape: Sequence[int],
    sharding: Sharding,
    *,
    use_color: bool = True,
    scale: float = 1.0,
    min_width: int = 9,
    max_width: int = 80,
    color_map: ColorMap | None = None,
) -> None:
    """Print which device holds which part of an array of one or two dimensions.

    Args:
      shape: of the array. sharding: how it lies over devices.
      use_color: colour the parts, where the output is a terminal.
      scale: how large the picture is.
      min_width: columns that a box has at least. max_width: those that the picture should have at most.
      color_map: from a number between 0 and 1, for each box another one, to red, green and blue between 0 and 1, or to "#rrggbb".
    Raises:
      ValueError: the shape has another number of dimensions, or cannot be divided as the sharding says.
      TypeError: `sharding` is no sharding.

    >>> import anima
    >>> from anima.sharding import SingleDeviceSharding
    >>> anima.debug.visualize_sharding((4, 4), SingleDeviceSharding(anima.devices("cpu")[0]), scale=0.3)
    +-------+
    |       |
    | CPU 0 |
    |       |
    +-------+
    """
    if not isinstance(sharding, Sharding):
        raise TypeError(f"visualize_sharding: sharding must be a Sharding, got {sharding!r}")
    dims = tuple(int(n) for n in shape)
    if len(dims) not in (1, 2):
        raise ValueError(
            f"visualize_sharding draws arrays of one or two dimensions, got the shape {dims}; look at a slice of it"
        )
    boxes = _boxes(dims, sharding)
    width = math.ceil(scale * _LINES * _WIDER)
    height = max(1, round(scale * _LINES))
    if len(dims) == 1:
        height, width = 1, max_width
    else:
        width = round(width * min(4.0, max(0.25, dims[1] / max(1, dims[0]))))
    picture = _draw(boxes, height, min(width, max_width), min_width)
    colored = use_color and sys.stdout.isatty()
    builtins.print("\n".join(_painted(line, color_map) if colored else line.text for line in picture))


def visualize_array_sharding(arr: Any, **kwargs: Any) -> None:
    """Print which device holds which part of an array; the options are those of `visualize_sharding`.

    Raises:
      TypeError: it is no array, or one of a program that is being traced, whose place the compiler has yet to choose.

    >>> import anima, anima.numpy as np
    >>> anima.debug.visualize_array_sharding(np.ones(3), max_width=20)
    +------------------+
    |      CPU 0       |
    +------------------+
    """
    if isinstance(arr, Tracer):
        raise TypeError(
            "visualize_array_sharding: where a value of a traced program lies is known when it is compiled: return it, or look "
            "at the input_shardings and output_shardings of f.lower(...).compile()"
        )
    if not isinstance(arr, ArrayImpl):
        raise TypeError(f"visualize_array_sharding draws arrays, got {type(arr).__name__}")
    visualize_sharding(arr.shape, arr.sharding, **kwargs)


class _Line:
    """A line of text. `cells`: (start, end, number of the box) of what belongs to a box."""

    def __init__(self, text: str, cells: list[tuple[int, int, int]]) -> None:
        self.text = text
        self.cells = cells


_Range = tuple[int, int]
_Box = tuple[_Range, _Range]  # of rows and of columns


def _boxes(shape: tuple[int, ...], sharding: Sharding) -> dict[_Box, list[Any]]:
    """The devices that hold each part."""
    found: dict[_Box, list[Any]] = {}
    for device, index in sharding.devices_indices_map(shape).items():
        place = tuple((s.start or 0, n if s.stop is None else s.stop) for s, n in zip(index, shape))
        rows, columns = ((0, 1), *place) if len(place) == 1 else place
        found.setdefault((rows, columns), []).append(device)
    return found


def _label(devices: list[Any]) -> str:
    numbers = sorted(d.id for d in devices)
    return f"{devices[0].platform.upper()} {','.join(map(str, numbers))}"


def _draw(boxes: dict[_Box, list[Any]], height: int, width: int, min_width: int) -> list[_Line]:
    rows = sorted({r for r, _ in boxes})
    columns = sorted({c for _, c in boxes})
    labels = {box: _label(devices) for box, devices in boxes.items()}
    inside = max(min_width - 2, max(map(len, labels.values())) + 2, width // len(columns) - 2)
    lines = max(1, height // len(rows))
    edge = _Line("+".join(["", *["-" * inside] * len(columns), ""]), [])
    picture = [edge]
    number = 0
    for row in rows:
        for line in range(lines):
            texts = [labels[row, column] if line == (lines - 1) // 2 else "" for column in columns]
            cells = [(1 + i * (inside + 1), (i + 1) * (inside + 1), number + i) for i in range(len(columns))]
            picture.append(_Line("|".join(["", *[t.center(inside) for t in texts], ""]), cells))
        number += len(columns)
        picture.append(edge)
    return picture


def _painted(line: _Line, color_map: ColorMap | None) -> str:
    text, at = "", 0
    for start, end, number in line.cells:
        text += line.text[at:start] + f"\x1b[{_background(number, color_map)}m{line.text[start:end]}\x1b[0m"
        at = end
    return text + line.text[at:]


def _background(number: int, color_map: ColorMap | None) -> str:
    """The code of a terminal's colour for a box."""
    if color_map is None:
        return f"30;48;5;{_PALETTE[number % len(_PALETTE)]}"
    # Neighbours far apart: steps of the golden ratio.
    color = color_map(number * 0.618034 % 1)
    if isinstance(color, str):
        parts = [int(color.lstrip("#")[i : i + 2], 16) for i in (0, 2, 4)]
    else:
        parts = [round(255 * c) for c in color[:3]]
    ink = 30 if sum(parts) > 3 * 110 else 97
    return f"{ink};48;2;{';'.join(map(str, parts))}"

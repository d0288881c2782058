"""For `equinox`, `flax` and `jaxtyping`: whose lines a traceback shows."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from anima.core.source import is_internal
from anima.extend.source_info_util import register_exclusion as register_exclusion

F = TypeVar("F", bound=Callable[..., object])


class UnfilteredStackTrace(Exception):
    """Never raised: the traceback of an exception is shortened itself."""


def api_boundary(function: F) -> F:
    """The function itself: tracebacks are shortened wherever this library is entered."""
    return function


def include_frame(frame: FrameType) -> bool:
    """Whether a traceback shows the frame: it is neither this library's nor of a file that was excluded."""
    return not is_internal(frame.f_code)

"""Spans that a program names itself.

Invariant: while no profile is taken an annotation costs the making of one small object.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

from anima.core import spans
from anima.transforms.arguments import check_callable, name_of

F = TypeVar("F", bound=Callable[..., Any])


class TraceAnnotation:
    """A `with` block that is one span of the profile that is being taken.

    Args:
      name: what the profile calls it.
      kwargs: numbers and strings that it shows with it.
    Raises:
      TypeError: the name is no string.

    >>> import anima
    >>> with anima.profiler.TraceAnnotation("load", file="a.npz"):
    ...     pass
    """

    __slots__ = ("_details", "_name", "_start")

    def __init__(self, name: str, **kwargs: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: the name must be a string, got {name!r}")
        self._name = name
        self._details = kwargs
        self._start: int | None = None

    def __enter__(self) -> Self:
        self._start = time.perf_counter_ns() if spans.recording is not None else None
        return self

    def __exit__(self, *failure: Any) -> None:
        if self._start is not None:
            spans.record("annotation", self._name, self._start, time.perf_counter_ns(), self._details)

    def set_metadata(self, **kwargs: Any) -> None:
        """Show these numbers and strings with the span, too."""
        self._details = {**self._details, **kwargs}

    @staticmethod
    def is_enabled() -> bool:
        """Whether a profile is being taken.

        >>> import anima
        >>> anima.profiler.TraceAnnotation.is_enabled()
        False
        """
        return spans.recording is not None


class StepTraceAnnotation(TraceAnnotation):
    """A `TraceAnnotation` around a step of training, by which tools add up times.

    Args:
      name: what the steps are called.
      kwargs: `step_num` is the number of the step.

    >>> import anima
    >>> for i in range(3):
    ...     with anima.profiler.StepTraceAnnotation("train", step_num=i):
    ...         pass
    """

    __slots__ = ()

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, _r=1, **kwargs)


def annotate_function(func: F, name: str | None = None, **decorator_kwargs: Any) -> F:
    """`func` with a `TraceAnnotation` around each call.

    Args:
      func: a function. name: what the profile calls it, by default the function's name.
      decorator_kwargs: what the profile shows with it.
    Raises:
      TypeError: `func` is no function.

    >>> import anima
    >>> @anima.profiler.annotate_function
    ... def load(n):
    ...     return n + 1
    >>> load(1)
    2
    """
    check_callable(func, "profiler.annotate_function")
    said = name_of(func) if name is None else name

    @functools.wraps(func)
    def annotated(*args: Any, **kwargs: Any) -> Any:
        with TraceAnnotation(said, **decorator_kwargs):
            return func(*args, **kwargs)

    return annotated  # type: ignore[return-value]

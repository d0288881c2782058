"""Tangents and cotangents as users give and get them.

Invariant: a tangent has the shape and dtype of its primal, and dtype `float0` where the primal is an integer or boolean.
What users give is checked here before any rule sees it; what they get has arrays for symbolic zeros. Inside, a value
without tangents has a `Zero`, and no `float0` array exists.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl, PyTreeDef, array_from_host, array_with
from anima.config import enable_x64
from anima.core.aval import ShapedArray, has_tangent
from anima.core.primitive import Zero
from anima.core.trace import shaped
from anima.interpreters.flat import is_float0
from anima.interpreters.zeros import instantiate
from anima.lax.control.carries import type_text
from anima.lax.convert import convert_to
from anima.runtime.arrays import as_array
from anima.runtime.devices import default_device
from anima.tree.compare import treedef_differences


def finished(tangent: Any, aval: Any) -> Any:
    """A (co)tangent of a value of `aval`, as users see it: zeros where it is symbolic, `float0` where there can be none."""
    return instantiate(tangent) if has_tangent(aval) else np.zeros(aval.shape, dtypes.float0)


def typed_like(tangent: Any, aval: ShapedArray) -> Any:
    """A finished (co)tangent with the weak type of its primal."""
    if is_float0(tangent) or shaped(tangent).weak_type == aval.weak_type:
        return tangent
    if type(tangent) is ArrayImpl:
        return array_with(tangent, weak_type=aval.weak_type)
    return convert_to(tangent, aval.dtype, aval.weak_type)


class TangentCheck:
    """What is raised for (co)tangents that do not fit, and how they are called.

    Args:
      kind: "tangent" or "cotangent".
      name: of the function and transformation, for messages: "jvp of f".
      dtype_error, shape_error: classes of the errors.
    """

    __slots__ = ("dtype_error", "kind", "name", "shape_error")

    def __init__(
        self, kind: str, name: str, dtype_error: type[Exception], shape_error: type[Exception]
    ) -> None:
        self.kind = kind
        self.name = name
        self.dtype_error = dtype_error
        self.shape_error = shape_error

    def structure(
        self, given: PyTreeDef, expected: PyTreeDef, of: str, error: type[Exception] = TypeError
    ) -> None:
        """Raise unless the structure of the (co)tangents is that of what they belong to, which `of` names."""
        if given != expected:
            [difference, *_] = treedef_differences(given, expected)
            place = difference.message(f"the {self.kind}s", of)
            raise error(f"{self.name}: {self.kind}s must be built as {of}: {place}")

    def value(self, given: Any, aval: ShapedArray, where: Callable[[int], str], index: int) -> Any:
        """A user's (co)tangent of a value of `aval`, as an array, or as `Zero` if there can be none.

        Args:
          where: gives for `index` its place, for messages: "for argument `x`".
        Raises:
          TypeError, or what this was made with: it does not fit.
        """
        if not has_tangent(aval):
            if not is_float0(given):
                raise self._error(self.dtype_error, given, aval, where(index))
            if given.shape != aval.shape:
                raise self._error(self.shape_error, given, aval, where(index))
            return Zero(aval.tangent_aval())
        if is_float0(given):
            raise self._error(self.dtype_error, given, aval, where(index))
        try:
            value = as_array(given)
        except TypeError:
            raise TypeError(
                f"{self.name}: the {self.kind} {where(index)} must be an array or a number, got {given!r:.60} of type "
                f"{type(given).__name__}"
            ) from None
        got = shaped(value)
        if got.dtype != aval.dtype:
            raise self._error(self.dtype_error, value, aval, where(index))
        if got.shape != aval.shape:
            raise self._error(self.shape_error, value, aval, where(index))
        return value

    def _error(self, error: type[Exception], given: Any, aval: ShapedArray, where: str) -> Exception:
        got = shaped(as_array(given)) if not is_float0(given) else given
        expected = type_text(aval.tangent_aval())
        reason = "" if has_tangent(aval) else f", as {type_text(aval)} has no other {self.kind}"
        advice = (
            "; convert it with astype"
            if has_tangent(aval) and got.shape == aval.shape and not is_float0(given)
            else ""
        )
        return error(
            f"{self.name}: the {self.kind} {where} must be {expected}{reason}, but got {type_text(got)}{advice}"
        )


_same_mode = nullcontext()


def in_mode(x64: bool) -> AbstractContextManager[Any]:
    """A block in which 64-bit mode is on or off, for what was recorded so: its constants are Python numbers."""
    return _same_mode if enable_x64.value == x64 else enable_x64(x64)


def exact_array(value: np.ndarray[Any, Any], aval: ShapedArray) -> Any:
    """A NumPy array as one of its own dtype, also if that has 64 bits outside 64-bit mode, and of the weak type of `aval`."""
    if dtypes.canonical(value.dtype) is value.dtype:
        return array_from_host(value, default_device(), weak_type=aval.weak_type)
    with enable_x64(True):
        return array_from_host(value, default_device(), weak_type=aval.weak_type)

"""What an expression gives in two libraries, in a form that can be compared: values, dtypes, weak types, errors."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy

TOLERANCE = {"bfloat16": 2e-2, "float16": 3e-3, "float64": 1e-12, "complex128": 1e-12}
# The errors that a caller can expect; others (of a compiler) are not told apart.
RAISED = (
    TypeError,
    ValueError,
    IndexError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    AttributeError,
    KeyError,
)


def signature(fun: Any) -> Any:
    """Names, kinds and defaults of a function's parameters, or None if it has no signature."""
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        return None
    return [(p.name, p.kind.name, _default(p.default)) for p in parameters]


def _default(value: Any) -> Any:
    """A default in a form that is the same in both libraries."""
    if value is inspect.Parameter.empty or value is None or isinstance(value, (bool, int, float, str, tuple)):
        return repr(value)
    return getattr(value, "__name__", type(value).__name__)


def outcome(case: str, names: dict[str, Any]) -> Any:
    """The value of an expression, described; or the kind of error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return described(eval(case, dict(names)))
        except RAISED as error:
            return f"raises {kind_of_error(error)}"


def kind_of_error(error: Exception) -> str:
    """The class among Python's own that an error is of."""
    return next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")


def described(value: Any) -> Any:
    """A result as plain data."""
    if hasattr(value, "aval") or hasattr(value, "weak_type"):
        return "array", str(value.dtype), bool(value.weak_type), tuple(value.shape), numpy.asarray(value)
    if isinstance(value, (tuple, list)):
        return [described(v) for v in value]
    if isinstance(value, numpy.ndarray):
        return "host", str(value.dtype), False, value.shape, value
    return value


def same(ours: Any, theirs: Any, scale: float = 1.0) -> bool:
    """Whether two descriptions agree; numbers to the tolerance of their dtype times `scale`."""
    if isinstance(theirs, list):
        return (
            isinstance(ours, list)
            and len(ours) == len(theirs)
            and all(same(a, b, scale) for a, b in zip(ours, theirs))
        )
    if not isinstance(theirs, tuple) or not isinstance(ours, tuple):
        return type(ours) is type(theirs) and bool(ours == theirs or (ours != ours and theirs != theirs))
    if ours[:4] != theirs[:4]:
        return False
    one, other = _numbers(ours[4]), _numbers(theirs[4])
    if one.dtype.kind not in "fc":
        return bool(numpy.array_equal(one, other))
    allowed = scale * TOLERANCE.get(ours[1], 0.3 if ours[1].startswith("float8") else 5e-6)
    return bool(numpy.allclose(one, other, rtol=allowed, atol=allowed / 10, equal_nan=True))


def _numbers(x: numpy.ndarray) -> numpy.ndarray:
    """An array that NumPy's functions take: other floating-point dtypes become float32, other integers int32."""
    if x.dtype.kind != "V" and x.dtype.kind in "biufcOSU":
        return x
    return x.astype("float32" if "float" in str(x.dtype) else "int32")

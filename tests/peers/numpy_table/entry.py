"""How a function of NumPy's is entered into the table, and how a call is compared.

Invariant: a name is entered once; its entry writes calls of it, with arguments from a source.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy
import ml_dtypes  # noqa: F401  its dtypes are known by name from here on
import numpy

import anima
import anima.numpy
from tests.peers.numpy_table.source import Source
from tests.peers.outcomes import RAISED, described, kind_of_error, same

Entry = Callable[[Source, str], str]
TABLE: dict[str, Entry] = {}


def entry(names: str) -> Callable[[Entry], Entry]:
    """Declare how calls of some functions, a space between them, are written."""

    def declare(write: Entry) -> Entry:
        for name in names.split():
            assert name not in TABLE, f"{name} is entered twice"
            TABLE[name] = write
        return write

    return declare


def _names(library: Any) -> dict[str, Any]:
    """What a call may name."""

    def make(values: list[Any], dtype: str, shape: tuple[int, ...]) -> Any:
        wide = numpy.array([complex(v) if isinstance(v, str) and "j" in v else v for v in values])
        host = wide.astype("complex64" if dtype == "complex64" else "float64") if wide.dtype.kind in "US" else wide
        if dtype[0] == "u" or dtype in ("bfloat16", "float16", "float32"):
            host = host.astype("int64" if dtype[0] == "u" else "float32")
        return library.numpy.asarray(host.astype(dtype).reshape(shape))

    return {"np": library.numpy, "A": make, "numpy": numpy}


NAMES = {library: _names(library) for library in (anima, jax)}


def performed(call: str, library: Any) -> Any:
    """What a call gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _plain(eval(call, dict(NAMES[library])))
        except RAISED as error:
            return f"raises {kind_of_error(error)}"


def abstractly(call: str, library: Any) -> Any:
    """What a call gives while it is traced: without numbers."""
    found: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            library.eval_shape(lambda: found.append(_plain(eval(call, dict(NAMES[library])), numbers=False)))
        except RAISED as error:
            return f"raises {kind_of_error(error)}"
    return found[0]


def _plain(value: Any, numbers: bool = True) -> Any:
    """A result as plain data."""
    if isinstance(value, (tuple, list)):
        return [_plain(v, numbers) for v in value]
    if not numbers and hasattr(value, "aval"):
        return f"{value.dtype}{tuple(value.shape)}{' weak' * bool(value.weak_type)}"
    if isinstance(value, numpy.poly1d | numpy.dtype | type):
        return str(value)
    if isinstance(value, str):
        return value.replace("DeviceArray", "Array")
    return described(value)


def agree(ours: Any, theirs: Any, scale: float) -> bool:
    """Whether two results are the same, up to rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return same(ours, theirs, scale)


def explained(call: str, ours: Any, theirs: Any, known: list[tuple[str, str, Callable[[str, Any, Any], bool]]]) -> str | None:
    """The row of docs/differences.md that says why two results differ, if there is one."""
    return next((row for row, pattern, test in known if re.search(pattern, call) and test(call, ours, theirs)), None)

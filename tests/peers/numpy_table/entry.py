"""How a function of NumPy's is entered into the table, and how a call is compared.

Invariant: a name is entered once; its entry writes calls of it, with arguments from a source.
"""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy
import ml_dtypes  # noqa: F401  its dtypes are known by name from here on
import numpy
from jaxlib.mlir.ir import MLIRError

import anima
import anima.numpy
from tests.peers.numpy_table.source import Source
from tests.peers.outcomes import RAISED, described, same

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
        host = (
            wide.astype("complex64" if dtype == "complex64" else "float64")
            if wide.dtype.kind in "US"
            else wide
        )
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
        except MLIRError as error:  # an accident: JAX notices nothing until it writes the program down
            return _refused(RuntimeError(str(error)))
        except RAISED as error:
            return _refused(error)


def abstractly(call: str, library: Any) -> Any:
    """What a call gives while it is traced: without numbers."""
    found: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            library.eval_shape(lambda: found.append(_plain(eval(call, dict(NAMES[library])), numbers=False)))
        except RAISED as error:
            return _refused(error)
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


class Refused(str):
    """Python's own classes among those of an error, and its message, which counts for nothing."""

    message: str

    def __hash__(self) -> int:
        return hash(str(self))


def _refused(error: Exception) -> Refused:
    found = Refused("raises " + " ".join(c.__name__ for c in type(error).__mro__ if issubclass(c, RAISED)))
    found.message = str(error)
    return found


# What JAX says of arrays whose contents it wants while it traces. They are known here, as they are constants.
_UNKNOWN = {
    "ConcretizationTypeError",
    "TracerArrayConversionError",
    "NonConcreteBooleanIndexError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
}

# Classes of errors by which no caller of a function tells what was wrong: they come from inside, or say "not yet".
_ACCIDENTAL = {
    "ZeroDivisionError",
    "AssertionError",
    "AttributeError",
    "RuntimeError",
    "NotImplementedError",
    "KeyError",
}


def _refuse_alike(ours: Refused, theirs: Refused) -> bool:
    """Whether who catches the one error catches the other; or JAX's is an accident, and ours is none."""
    kinds, wanted = ours.split()[1:], next(k for k in theirs.split()[1:] if hasattr(builtins, k))
    return wanted in kinds or (wanted in _ACCIDENTAL and not _ACCIDENTAL & {*kinds})


def agree(ours: Any, theirs: Any, scale: float) -> bool:
    """Whether two results are the same, up to rounding."""
    if isinstance(theirs, Refused) and _UNKNOWN & {*theirs.split()}:
        return True
    if isinstance(ours, Refused) and isinstance(theirs, Refused):
        return _refuse_alike(ours, theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return same(ours, theirs, scale)

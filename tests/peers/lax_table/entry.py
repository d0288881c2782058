"""An entry of the table, and what is done with a call: performed by both libraries, and compared.

Invariant: a call is compared in everything that a user sees of it: the class of the error that it raises, or the
dtype, weak type, shape and numbers of each result.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import jax
import numpy as np

import anima
from anima import dtypes
from tests.peers.lax_table.source import COMMON, Call, Lax, Source, Weak

Arguments = tuple[Any, ...]
Describe = Callable[[Source], "Arguments | tuple[Arguments, dict[str, Any]]"]


@dataclass(frozen=True)
class Entry:
    """A function of `lax`.

    Attributes:
      name: of the function, in `lax`.
      describe: its arguments, asked of a source: positional ones, or those and named ones.
      usual: the dtypes that most random calls are made with.
      ulps: how far apart the results may be, in units in the last place of the larger one; 0: equal bits.
      floor: results are compared as if they were at least so large.
      different: whether a call may have another outcome than JAX's, by a row of docs/differences.md or because JAX fails.
      determined: what is compared of a call's results, where libraries may choose among several.
      compared: whether numbers are compared at all.
      traced: whether it can be traced: not if its result is no array.
      fatal: whether XLA, as JAX calls it, may end the process when it compiles a call: such ones are only traced.
    """

    name: str
    describe: Describe
    usual: tuple[str, ...] = COMMON
    ulps: float = 0.0
    floor: float = 0.0
    different: Callable[[Call, Any, Any], bool] = lambda call, ours, theirs: False
    determined: Callable[[Call, list[np.ndarray]], list[np.ndarray]] = lambda call, results: results
    compared: bool = True
    traced: bool = True
    fatal: Callable[[Call], bool] = lambda call: False

    def call(self, source: Source) -> Call:
        """A call with arguments from a source."""
        found = self.describe(source)
        if len(found) == 2 and isinstance(found[0], tuple) and isinstance(found[1], dict):
            return Call(self.name, found[0], found[1])
        return Call(self.name, found)


def in_mode(x64: bool) -> AbstractContextManager[Any]:
    """Both libraries with or without 64-bit numbers."""
    stack = ExitStack()
    stack.enter_context(jax.enable_x64(x64))
    stack.enter_context(anima.enable_x64(x64))
    return stack


def resolved(lib: Any, value: Any, replace: Callable[[Any], Any], weak: bool = False) -> Any:
    """An argument for a library, its arrays replaced; also the weakly typed ones, if `weak`."""
    if isinstance(value, Lax):
        return replace(value) if weak and isinstance(value, Weak) else value.make(lib.lax)
    if isinstance(value, np.ndarray):
        return replace(value)
    if type(value) in (list, tuple):
        return type(value)(resolved(lib, v, replace, weak) for v in value)
    if type(value) is dict:
        return {k: resolved(lib, v, replace, weak) for k, v in value.items()}
    return value


def perform(lib: Any, call: Call, replace: Callable[[np.ndarray], Any] = lambda x: x) -> Any:
    """What the library returns."""
    args = resolved(lib, call.args, replace)
    kwargs = resolved(lib, call.kwargs, replace)
    return attrgetter(call.name)(lib.lax)(*args, **kwargs)


def described(lib: Any, value: Any) -> list[Any]:
    """Dtype, weak type and shape of each result."""
    return [
        (str(leaf.dtype), tuple(leaf.shape), bool(getattr(leaf, "weak_type", False)))
        if hasattr(leaf, "dtype") and hasattr(leaf, "shape")
        else leaf
        for leaf in lib.tree.leaves(value)
    ]


def abstractly(lib: Any, call: Call) -> Any:
    """Dtypes, weak types and shapes of the results, or the exception."""
    structs: list[Any] = []

    def note(x: np.ndarray) -> int:
        structs.append(lib.ShapeDtypeStruct(x.shape, x.dtype))
        return len(structs) - 1

    # The arrays in the order in which `resolved` meets them.
    resolved(lib, (call.args, call.kwargs), note)

    def fun(*tracers: Any) -> Any:
        rest = iter(tracers)
        return perform(lib, call, lambda _: next(rest))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return described(lib, lib.eval_shape(fun, *structs))
        except Exception as error:
            return error


def concretely(lib: Any, call: Call) -> Any:
    """Descriptions and numbers of the results, or the exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            out = perform(lib, call)
            return described(lib, out), [np.asarray(leaf) for leaf in lib.tree.leaves(out)]
        except Exception as error:
            return error


PROPER = (TypeError, ValueError, IndexError, OverflowError)
# Errors of the code that is given something wrong, not of one that checks it.
ACCIDENTS = re.compile(
    "safe_zip|safe_map|list assignment|list index out|tuple index out|Non-hashable|unhashable|Invalid argument to dtype|is not iterable"
    "|division or modulo by zero|could not be broadcast together|out of bounds for axis|unpack|not subscriptable"
    "|has no attribute|Cannot cast data|expected number, got|non-empty sequences|unsupported operand|verifier errors|not supported between|has no len|PyTreeDef|converted to"
)


def family(error: Exception) -> type[Exception]:
    """The class of an error that a user could catch; Exception for one that was not meant to be raised."""
    kind = next((kind for kind in PROPER if isinstance(error, kind)), Exception)
    return Exception if ACCIDENTS.search(str(error)) else kind


def disagreement(ours: Any, theirs: Any) -> str | None:
    """How two outcomes differ: exceptions, or descriptions of results."""
    if isinstance(theirs, Exception):
        meant = family(theirs) is not Exception
        if not isinstance(ours, Exception):
            return f"JAX raises {brief(theirs)}, ours gives {ours}" if meant else None
        if isinstance(ours, (*PROPER, RuntimeError)) and (not meant or isinstance(ours, family(theirs))):
            return None
        return f"JAX raises {brief(theirs)}, ours {brief(ours)}"
    if isinstance(ours, Exception):
        return f"JAX gives {theirs}, ours raises {brief(ours)}"
    return None if ours == theirs else f"JAX gives {theirs}, ours {ours}"


def finding(entry: Entry, call: Call, run: bool) -> str | None:
    """How the libraries differ in a call, unless they may; it is performed if `run`, else only traced."""
    if entry.traced:
        ours, theirs = abstractly(anima, call), abstractly(jax, call)
        found = disagreement(ours, theirs)
        if found is not None:
            late = isinstance(ours, Exception) and not isinstance(theirs, Exception) and not entry.fatal(call)
            if entry.different(call, ours, theirs) or (late and isinstance(concretely(jax, call), Exception)):
                return None  # JAX refuses it, too, but only when it compiles
            return found
        if isinstance(theirs, Exception) or isinstance(ours, Exception) or not run or entry.fatal(call):
            return None
    ours, theirs = concretely(anima, call), concretely(jax, call)
    found = disagreement(*(v if isinstance(v, Exception) else v[0] for v in (ours, theirs)))
    if (
        found is None
        and entry.compared
        and not isinstance(ours, Exception)
        and not isinstance(theirs, Exception)
    ):
        # float8_e8m0fnu has no zero, which JAX's programs start from.
        results = (entry.determined(call, found) for found in (ours[1], theirs[1]))
        pairs = [(a, b) for a, b in zip(*results) if b.dtype.name != "float8_e8m0fnu"]
        found = next((m for a, b in pairs if (m := apart(a, b, entry.ulps, entry.floor))), None)
    return None if found is None or entry.different(call, ours, theirs) else found


def brief(error: Exception) -> str:
    """An error in a message."""
    return f"{type(error).__name__}: {str(error)[:300]}"


def apart(ours: np.ndarray, theirs: np.ndarray, ulps: float, floor: float) -> str | None:
    """How two arrays of numbers differ: in bits, or by more than some units in the last place."""
    dtype = theirs.dtype
    if not dtypes.is_inexact(dtype) or ulps == 0:
        one, other = (np.ascontiguousarray(v) for v in (ours, theirs))
        if dtypes.is_inexact(dtype):  # a NaN is a NaN
            same = (one == other) & (np.signbit(one.real) == np.signbit(other.real)) if dtype.kind != "c" else one == other  # fmt: skip
            same |= np.isnan(one) & np.isnan(other)
        else:
            same = one == other
        return None if np.all(same) else f"JAX gives {shown(theirs)}, ours {shown(ours)}"
    kind = dtypes.kind_of(dtype)
    part = np.dtype(f"f{dtype.itemsize // 2}") if kind == "c" else dtype
    eps = float(dtypes.finfo(part).eps)
    tiny = max(float(dtypes.finfo(part).smallest_normal), floor)
    wide = np.complex128 if kind == "c" else np.float64
    one, other = ours.astype(wide), theirs.astype(wide)
    with np.errstate(all="ignore"):
        error = np.abs(one - other) / (eps * np.maximum(np.maximum(np.abs(one), np.abs(other)), tiny))
    good = (error <= ulps) | (one == other) | (np.isnan(one) & np.isnan(other))
    if np.all(good):
        return None
    return f"JAX gives {shown(theirs)}, ours {shown(ours)}, up to {np.max(error[~good])} units apart"


def shown(values: np.ndarray) -> str:
    return np.array2string(values, threshold=12, separator=", ").replace("\n", "")


TABLE: dict[str, Entry] = {}


def entry(*names: str, **more: Any) -> Callable[[Describe], Describe]:
    """Declare the arguments of functions of `lax`."""

    def declare(describe: Describe) -> Describe:
        for name in names:
            assert name not in TABLE, name
            TABLE[name] = Entry(name, describe, **more)
        return describe

    return declare

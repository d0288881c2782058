"""Every function of `lax` and `lax.linalg` called with one mistake: what JAX refuses is refused, by an error that is caught alike.

`.venv-peers/bin/python -m pytest -m peers tests/peers/test_mistakes_peer.py -k sort` compares one function.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import jax
import pytest

import anima
from tests.peers import mistakes
from tests.peers.lax_table import TABLE
from tests.peers.lax_table.entry import abstractly, brief, concretely, in_mode
from tests.peers.lax_table.source import Call, Plain

pytestmark = pytest.mark.peers

# Classes of errors by which no caller tells what was wrong: they come from inside, or say "not yet".
ACCIDENTS = (AssertionError, AttributeError, KeyError, NotImplementedError, RuntimeError, ZeroDivisionError)
# Errors of what JAX's functions are made of: of its compiler, of tuples that are static arguments, of loops over two tuples.
WORDS = re.compile(
    "verifier errors|must have __hash__|Non-hashable|list index out of range|safe_zip|safe_map|unhashable|Abstract tracer value|float infinity to integer|is ambiguous"
)
OURS = (TypeError, ValueError, IndexError, OverflowError, RuntimeError, NameError)

# (row of docs/differences.md, calls, which outcomes: ours and JAX's)
KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        "conv-checks",
        "^(conv|padtype|reduce_window)",
        "JAX gives .*ours raises ArgumentError: .*(must have|every entry)",
    ),
    (
        "conv-checks",
        "^conv_shape_tuple",
        "JAX gives .*ours raises ArgumentError: .*must be '(SAME|VALID)|must divide",
    ),
    (
        "conv-checks",
        "^conv.*shape_tuple",
        "JAX raises IndexError: .*(out of (bounds|range)|empty).*ours ArgumentError",
    ),
    ("conv-paddings", "^conv_transpose_shape_tuple.*'same'", "JAX raises ValueError: Invalid padding mode"),
    ("conv-patches", "^conv_general_dilated_patches.*0, 4", "must be a positive integer, got 0.*ours gives"),
    ("first-mistake", "^conv_general_dilated_local.*0, 4", "must be a positive integer, got 0"),
    (
        "first-mistake",
        r"(gather|scatter|reduce)_?\w*\(.*a typed key",
        "JAX raises TypeError.*ours (AxisError|ValueError)",
    ),
    ("lax-forms", r"^broadcast(_shapes)?\(|^tile|^fft", "JAX raises TypeError: .*'int' object|of type 'int'"),
    ("lax-forms", "^index_take.*int4", "ours gives"),
    ("lax-forms", r"^linalg.eig\(.*compute|^approx.*aggregate", "JAX raises TypeError: .*ours gives"),
    ("lax-refusals", "^approx_.*recall_target=nan", "JAX gives .*recall_target must be above 0"),
    ("lax-refusals", "^full_like.*dtype", "JAX gives .*TypeError"),
    ("lax-refusals", "^linalg.qdwh", "JAX gives .*eps must be positive and max_iterations not negative"),
    ("lax-refusals", "^random_gamma_grad", "JAX gives .*the same dtypes"),
    ("lax-scalars", r"^reduce(_window)?\(", "JAX raises TypeError.*ours gives"),
    ("surplus-taus", "^linalg.ormqr", "JAX gives .*taus must not have more elements"),
)


def builtin(error: Exception) -> type[Exception]:
    """The class among Python's own that an error is of."""
    return next(c for c in type(error).__mro__ if getattr(builtins, c.__name__, None) is c)  # type: ignore[no-any-return]


def accidental(error: Exception) -> bool:
    """Whether nobody who calls a function could expect the error."""
    return isinstance(error, ACCIDENTS) or WORDS.search(str(error)) is not None


def difference(ours: Any, theirs: Any, kind: bool) -> str | None:
    """How two outcomes of a mistake differ for who catches errors."""
    alike = (
        isinstance(ours, Exception) and isinstance(theirs, Exception) and isinstance(ours, builtin(theirs))
    )
    if alike or (kind and isinstance(ours, TypeError)):
        return None
    if not isinstance(theirs, Exception):
        return f"JAX gives {theirs}, ours raises {brief(ours)}" if isinstance(ours, Exception) else None
    if accidental(theirs) and (isinstance(ours, OURS) or not isinstance(ours, Exception)):
        return None
    said = brief(ours) if isinstance(ours, Exception) else f"gives {ours}"
    return f"JAX raises {brief(theirs)}, ours {said}"


def compared(call: Call, kind: bool, traced: bool) -> str | None:
    """How the libraries differ in a call: traced, if it can be, and performed where both refuse it, or only ours."""
    if traced:
        ours, theirs = abstractly(anima, call), abstractly(jax, call)
        said = difference(ours, theirs, kind)
        if not isinstance(ours, Exception) or (said and isinstance(theirs, Exception)):
            return said
    ours, theirs = concretely(anima, call), concretely(jax, call)
    return difference(ours, theirs, kind)


def found(name: str) -> Iterator[str]:
    entry = TABLE[name]
    dtype = "float32" if "float32" in entry.usual else entry.usual[0]
    for call, kind in mistakes.mistaken(entry.call(Plain(dtype)), attrgetter(name)(jax.lax)):
        said = compared(call, kind, entry.traced)
        if said is not None and not any(
            re.search(calls, mistakes.described(call)) and re.search(outcome, said, re.DOTALL)
            for _, calls, outcome in KNOWN
        ):
            yield f"{mistakes.described(call)}: {said}"


def test_differences_that_are_known_have_their_rows() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "differences.md").read_text()
    assert [row for row, _, _ in KNOWN if f"| `{row}` |" not in document] == []


@pytest.mark.parametrize("name", sorted(TABLE))
def test_mistakes_are_refused_alike(name: str) -> None:
    with in_mode(False):
        differences = list(found(name))
    assert not differences, "\n" + "\n".join(differences)

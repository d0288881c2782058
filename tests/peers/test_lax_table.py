"""Every function of `lax` and `lax.linalg` that takes arrays, compared with JAX's: signatures, dtypes, and random calls.

`.venv-peers/bin/python -m tests.peers.lax_table --examples 500 pad gather` compares many more calls.
"""

from __future__ import annotations

import inspect
from operator import attrgetter
from pathlib import Path
from typing import Any

import jax
import pytest

import anima
from tests.peers.lax_table import ELSEWHERE, TABLE, check, derived
from tests.peers.lax_table.entry import abstractly, disagreement, finding, in_mode
from tests.peers.lax_table.source import ANY, Plain

pytestmark = pytest.mark.peers


def public(module: Any) -> dict[str, Any]:
    found = {n: getattr(module, n) for n in dir(module)}  # some are loaded when they are asked for
    return {n: v for n, v in found.items() if n[0] != "_" and not n.endswith("_p") and callable(v)}


# Names of types.
ALIASES = {"ConvGeneralDilatedDimensionNumbers", "DotDimensionNumbers", "PrecisionLike"}
# These need several devices: tests/parallel has them.
OVER_DEVICES = {"precv", "psend", "ragged_all_to_all"}
SHARED = sorted([*public(jax.lax), *(f"linalg.{n}" for n in public(jax.lax.linalg))])


def test_every_function_is_compared_somewhere() -> None:
    functions = {n for n in SHARED if not isinstance(attrgetter(n)(jax.lax), type)}
    assert functions - ALIASES - OVER_DEVICES == {*TABLE, *ELSEWHERE}
    assert not {*TABLE} & {*ELSEWHERE}
    root = Path(__file__).parent
    for name, file in ELSEWHERE.items():
        assert name in (root / file).read_text(), f"{file} does not mention {name}"


# Parameters that JAX's functions do not have, by row of docs/differences.md.
MORE = {"while_loop": {"max_steps"}, "fori_loop": {"max_steps"}, "cond": {"true_operand", "false_operand"}}


def parameters(function: Any) -> list[tuple[str, str, str]]:
    found = []
    for p in inspect.signature(function).parameters.values():
        default = "none" if p.default is p.empty else repr(p.default)
        found.append((p.name, p.kind.name, "a mark" if default.startswith("<object object") else default))
    return found


@pytest.mark.parametrize("name", [n for n in SHARED if n not in ALIASES])
def test_signatures_agree(name: str) -> None:
    ours, theirs = (attrgetter(name)(lib.lax) for lib in (anima, jax))
    more = MORE.get(name, set())
    # JAX also takes the old form with an operand for each branch, which its signature does not say.
    if name == "cond":
        ours, theirs = (list(inspect.signature(f).parameters) for f in (ours, theirs))
        assert [n for n in ours if n not in more] == theirs
        return
    if name == "random_gamma_grad":  # two of any names
        assert len(parameters(ours)) == 2
        return
    try:
        theirs_found = parameters(theirs)
    except ValueError:  # enumerations
        theirs_found = []
    if not isinstance(theirs, type) or theirs_found:
        assert [p for p in parameters(ours) if p[0] not in more] == theirs_found
    if isinstance(theirs, type):
        names = {n for n in dir(theirs) if n[0] != "_"}
        assert names <= {n for n in dir(ours) if n[0] != "_"} | {"ONE_HOT"}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_same_dtypes_are_taken_and_given(name: str) -> None:
    entry = TABLE[name]
    taken = 0
    for dtype in ANY:
        with in_mode(True):
            call = entry.call(Plain(dtype))
            if not entry.traced:
                assert finding(entry, call, True) is None
                taken += 1
                continue
            ours, theirs = abstractly(anima, call), abstractly(jax, call)
        taken += not isinstance(theirs, Exception)
        found = disagreement(ours, theirs)
        assert found is None or entry.different(call, ours, theirs), f"{call}: {found}"
    assert taken  # or the arguments do not fit, whatever the dtype


@pytest.mark.parametrize("name", sorted(TABLE))
def test_random_calls(name: str) -> None:
    check(name, traced=40, performed=6)


# Loops over loops, whose derivatives take seconds to trace; no derivatives by the order.
SLOW = {"linalg.qdwh", "random_gamma_grad", "polygamma"}


@pytest.mark.parametrize("name", sorted(n for n, e in TABLE.items() if e.traced and n not in SLOW))
def test_derivatives_and_batches(name: str) -> None:
    derived.check(name, 12)

"""The names of `anima.numpy`, `.linalg` and `.fft`: all of JAX's, with its signatures, each called by a test."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import pytest

from tests.peers.outcomes import signature

pytestmark = pytest.mark.peers

TESTS = Path(__file__).resolve().parents[1]
MODULES = ["numpy", "numpy.linalg", "numpy.fft"]

# What only says more than JAX's: names of operands, of options that NumPy has, a default.
TOLD_IN_FULL = {"fromfile", "fromiter", "set_printoptions"}


def names(module: str) -> list[str]:
    theirs = importlib.import_module(f"jax.{module}")
    return [
        name for name in dir(theirs) if name[0] != "_" and not isinstance(getattr(theirs, name), ModuleType)
    ]


def both(module: str, name: str) -> tuple[Any, Any]:
    return tuple(getattr(importlib.import_module(f"{top}.{module}"), name) for top in ("anima", "jax"))  # type: ignore[return-value]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_missing(module: str) -> None:
    ours = importlib.import_module(f"anima.{module}")
    assert [name for name in names(module) if not hasattr(ours, name)] == []
    assert {*names(module)} <= {*dir(ours)}


@pytest.mark.parametrize("module", MODULES)
def test_signatures(module: str) -> None:
    wrong = []
    for name in names(module):
        ours, theirs = both(module, name)
        wanted = signature(theirs)
        if (
            wanted is None
            or isinstance(theirs, type)
            or (isinstance(type(theirs), type) and hasattr(theirs, "dtype"))
        ):
            continue
        if name in TOLD_IN_FULL:
            assert [kind for _, kind, _ in wanted] == ["VAR_POSITIONAL", "VAR_KEYWORD"], name
        elif isinstance(theirs, jax.numpy.ufunc):  # JAX's says `*args`, whatever the function takes
            given = signature(ours)
            assert len(given) == ours.nin + 2 and given[-2:] == wanted[-2:], name
        elif signature(ours) != wanted:
            wrong.append((name, signature(ours), wanted))
    assert not wrong


@pytest.mark.parametrize("module", MODULES)
def test_each_is_called_by_a_test(module: str) -> None:
    folders = ("numpy", "peers", "dtypes")
    text = "\n".join(path.read_text() for folder in folders for path in (TESTS / folder).rglob("*.py"))
    text += "\n".join(path.read_text() for path in TESTS.glob("*.py"))
    used = {*re.findall(r"\.(\w+)\b", text), *re.findall(r'"(\w+)"', text), *re.findall(r"'(\w+)'", text)}
    uncalled = [
        name for name in names(module) if name not in used and inspect.isroutine(both(module, name)[0])
    ]
    assert not uncalled, " ".join(uncalled)

"""Functions of `anima.numpy` compared with JAX's: shapes, dtypes, values, and which arguments are refused."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy
import pytest

import anima
from tests.peers import outcomes
from tests.peers.numpy_cases import BINARY, OTHERS, REDUCTIONS, UNARY, cases
from tests.peers.numpy_more_cases import EXPRESSIONS

pytestmark = pytest.mark.peers

TOLERANCE = {"bfloat16": 1e-2, "float16": 2e-3}


def outcome(case: str, module: Any, array: type) -> Any:
    """What an expression gives, in a form that can be compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return described(eval(case, {"np": module}), array)
        except (TypeError, ValueError, IndexError, OverflowError):
            return "raises"


def described(value: Any, array: type) -> Any:
    if isinstance(value, array):
        return str(value.dtype), value.shape, numpy.asarray(value)
    if isinstance(value, (tuple, list)):
        return [described(v, array) for v in value]
    return value


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if not isinstance(theirs, tuple):
        return bool(ours == theirs)
    if not isinstance(ours, tuple) or ours[:2] != theirs[:2]:
        return False
    dtype = ours[0]
    one, other = (v[2].astype("float32") if dtype == "bfloat16" else v[2] for v in (ours, theirs))
    allowed = TOLERANCE.get(dtype, 5e-6)
    return numpy.allclose(one, other, rtol=allowed, atol=allowed / 10, equal_nan=True)


@pytest.mark.parametrize("name", [*UNARY, *BINARY, *REDUCTIONS, "others"])
def test_function(name: str) -> None:
    chosen = (
        OTHERS
        if name == "others"
        else [c for c in cases() if c.startswith(f"np.{name}(") and c not in OTHERS]
    )
    assert chosen
    wrong = []
    for case in chosen:
        ours = outcome(case, anima.numpy, anima.Array)
        theirs = outcome(case, jax.numpy, jax.Array)
        if not same(ours, theirs):
            wrong.append((case, ours, theirs))
    assert not wrong


@pytest.mark.parametrize("case", EXPRESSIONS)
def test_expression(case: str) -> None:
    ours = outcomes.outcome(case, {"np": anima.numpy})
    theirs = outcomes.outcome(case, {"np": jax.numpy})
    assert outcomes.same(ours, theirs), f"{ours}\n{theirs}"

"""Calls that are wrong in some way: what JAX refuses is refused, at once and under `jit`, by an error that is caught alike."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.nn
import jax.random
import numpy
import pytest

import anima
import anima.nn
import anima.random
from tests.peers.refused_array_calls import NN, NUMPY
from tests.peers.refused_calls import CONTROL, RANDOM, TRANSFORMED
from tests.peers.test_mistakes_peer import difference

pytestmark = pytest.mark.peers

CALLS = [call for calls in (TRANSFORMED, CONTROL, NUMPY, NN, RANDOM) for call in calls.split("\n") if call]

# Text that stands where a number or a function should, as Python and JAX say of it.
TEXT = "invalid literal|could not convert string|Invalid argument to dtype: None|None is not a valid value"
# (row of docs/differences.md, calls, which outcomes: ours and JAX's)
KNOWN: tuple[tuple[str, str, str], ...] = (
    ("mistaken-kinds", "", f"JAX raises ValueError: ({TEXT}).*ours TypeError"),
    ("mistaken-kinds", r"(axis_size|length)=(\"a\"|1.5)|unroll=1.5|policy=3", "ours (raises )?TypeError"),
    ("mistaken-kinds", r"custom_[jv][jv]p\(3\)|ShapeDtypeStruct\(\"a\"|pure_callback\(3|fftfreq\(2.5|bartlett\(1.5", "ours"),
    ("platform-names", "device_put", "ours PluginError"),
    ("composites", "^lax.composite", "ours (raises )?ValueError"),
    ("first-mistake", r"^lax.psum\(\"a\"", "ours UnboundAxisNameError"),
    ("lax-forms", "^lax.rng_uniform", "'int' object is not iterable.*ours gives"),
    ("lax-refusals", r"(ones|full)_like\(random.key|random.clone\(3|choice\(.*1.5|dot_product_attention\(V", "ours raises"),
    ("complex-parameters", "random.uniform.*1j", "ours raises TypeError"),
    ("index-bounds", r"^V\[|^V.at\[|random.split.*\[7\]", "JAX gives.*ours raises IndexError"),
    ("numpy-forms", r"array_equal|triu_indices\(-1", "ours gives"),
    ("numpy-refusals", "tensordot|histogram|interp|insert|multi_dot", "JAX gives.*ours raises"),
    ("numpy-errors", r"moveaxis|hstack|np.take\(|histogram|delete|tri\(", "JAX raises.*ours (ValueError|TypeError|IndexError)"),
)  # fmt: skip


def names_of(lib: Any) -> dict[str, Any]:
    """What a call may name."""
    np = lib.numpy
    modules = {"lib": lib, "np": np, "lax": lib.lax, "nn": lib.nn, "random": lib.random, "numpy": numpy}
    return {**modules, "V": np.array([1.0, 2.0, 3.0]), "X": np.ones((2, 3))}


def outcome(lib: Any, call: str, traced: bool) -> Any:
    """The exception, or dtypes and shapes of the results."""
    names = names_of(lib)

    def arrays() -> list[Any]:
        return [x for x in lib.tree.leaves(eval(call, names)) if isinstance(x, lib.Array)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return [(str(x.dtype), x.shape) for x in (lib.jit(arrays)() if traced else arrays())]
        except Exception as error:
            return error


def test_differences_that_are_known_have_their_rows() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "differences.md").read_text()
    assert [row for row, _, _ in KNOWN if f"| `{row}` |" not in document] == []


def test_no_call_is_listed_twice() -> None:
    assert len(CALLS) == len({*CALLS})


@pytest.mark.parametrize("call", CALLS)
def test_refused_alike(call: str) -> None:
    for traced in (False, True):
        said = difference(outcome(anima, call, traced), outcome(jax, call, traced), kind=False)
        known = (
            any(re.search(c, call) and re.search(o, said, re.DOTALL) for _, c, o in KNOWN) if said else True
        )
        assert known, f"{'traced: ' * traced}{said}"

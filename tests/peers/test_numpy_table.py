"""Every public name of `numpy`, `numpy.linalg` and `numpy.fft`, compared with JAX in random calls.

What is compared: dtypes, weak types, shapes and classes of errors of each call while it is traced, the numbers of some.
`NUMPY_CALLS=200` compares as many of each function, other ones each time; `NUMPY_SEED=7` chooses them. A call that is found
to differ is printed as it is written, with what both libraries give.
"""

from __future__ import annotations

import importlib
import os
import random
from pathlib import Path
from types import ModuleType

import pytest

from tests.peers.numpy_table import KNOWN, TABLE, check

pytestmark = pytest.mark.peers

TRACED = int(os.environ.get("NUMPY_CALLS", "4"))
RUN = -(-TRACED // 5)
SEED = int(os.environ.get("NUMPY_SEED", random.randrange(10**6) if "NUMPY_CALLS" in os.environ else 0))

MODULES = ("numpy", "numpy.linalg", "numpy.fft")

# Names for which no calls are drawn, by the reason.
EXEMPT: dict[str, str] = {
    "a class of dtypes or of scalars, compared in test_dtypes_peer.py": (
        "bfloat16 bool bool_ cdouble character complex128 complex64 complex_ complexfloating csingle double dtype flexible float16 "
        "float32 float4_e2m1fn float64 float6_e2m3fn float6_e3m2fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn "
        "float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float_ floating generic inexact int1 int16 int2 int32 int4 int64 "
        "int8 int_ integer number object_ signedinteger single uint uint1 uint16 uint2 uint32 uint4 uint64 uint8 unsignedinteger"
    ),
    "a class": "ComplexWarning finfo iinfo ndarray ufunc",
    "a constant": "e euler_gamma inf nan newaxis pi",
    "works with files, or with the memory of others": "from_dlpack fromfile load save savez",
    "sets or tells how arrays are printed": "get_printoptions printoptions set_printoptions",
    "JAX refuses every call; a row of docs/differences.md": "fromiter",
}


def public() -> set[str]:
    """The names, those of the smaller modules with the module before them."""
    found = set()
    for module in MODULES:
        here = importlib.import_module(f"jax.{module}")
        prefix = module.removeprefix("numpy").lstrip(".")
        found |= {
            f"{prefix}.{name}".lstrip(".")
            for name in dir(here)
            if name[0] != "_" and not isinstance(getattr(here, name), ModuleType)
        }
    return found


def test_calls_of_every_name_are_drawn_or_it_is_said_why_not() -> None:
    exempt = [name for names in EXEMPT.values() for name in names.split()]
    assert len({*exempt}) == len(exempt) and not {*exempt} & {*TABLE}
    assert public() == {*TABLE, *exempt}


def test_differences_that_are_known_have_their_rows() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "differences.md").read_text()
    assert [row for row, _, _ in KNOWN if f"| `{row}` |" not in document] == []


@pytest.mark.parametrize("name", sorted(TABLE))
def test_random_calls(name: str) -> None:
    check(name, traced=TRACED, run=RUN, seed=SEED)

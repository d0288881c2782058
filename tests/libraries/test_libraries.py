"""Programs of libraries that were written for JAX: the same numbers by this library, under the name `jax`, as by JAX."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.peers

FOLDER = Path(__file__).parent
# From the source, for importing it would import `jax`.
NAMES = [
    node.name
    for node in ast.parse((FOLDER / "programs.py").read_text()).body
    if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "program" for d in node.decorator_list)
]
# Training and searches multiply rounding errors.
TOLERANCES = {
    "flax_linen_training": 1e-2,
    "equinox_training": 1e-2,
    "numpyro_inference": 1e-2,
    "jaxopt_solvers": 1e-2,
}


def numbers(library: str, name: str) -> list[float]:
    """What a program returns in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.libraries.run", library, name],
        capture_output=True,
        text=True,
        cwd=FOLDER.parents[1],
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_same_numbers(name: str) -> None:
    ours, theirs = numbers("anima", name), numbers("jax", name)
    assert ours and np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCES.get(name, 1e-3), atol=1e-4)

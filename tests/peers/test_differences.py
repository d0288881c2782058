"""Every row of `docs/differences.md` is true of both libraries, and every check here has its row."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import jax
import numpy
import pytest

import anima
from anima.config import threefry_partitionable

pytestmark = pytest.mark.peers

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
CHECKS: dict[str, Callable[..., None]] = {}


def difference(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the check of a row."""

    def declare(check: Callable[..., None]) -> Callable[..., None]:
        CHECKS[name] = check
        return check

    return declare


@difference("repr")
def array_repr(run_python, tmp_path) -> None:
    assert repr(jax.numpy.arange(2.0)) == "Array([0., 1.], dtype=float32)"
    assert repr(anima.numpy.arange(2.0)) == "DeviceArray([0., 1.], dtype=float32)"


@difference("disk-cache")
def disk_cache(run_python, tmp_path) -> None:
    program = "import {0}; {0}.block_until_ready({0}.jit(lambda x: x + 1)(1.0))"

    def files_kept(lib: str, **env: str) -> int:
        home = tmp_path / "-".join([lib, *env])
        home.mkdir()
        env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), "ANIMA_COMPILATION_CACHE_DIR": ""}
        run_python(program.format(lib), env=env)
        return sum(path.is_file() for path in home.rglob("*"))

    assert files_kept("jax") == 0
    assert files_kept("anima") > 0
    assert files_kept("anima", JAX_ENABLE_COMPILATION_CACHE="False") == 0


@difference("threefry-layout")
def threefry_layout(run_python, tmp_path) -> None:
    def bits(lib) -> numpy.ndarray:
        return numpy.asarray(lib.random.normal(lib.random.PRNGKey(0), (5,)))

    assert not numpy.array_equal(bits(anima), bits(jax))
    with threefry_partitionable(True):
        numpy.testing.assert_allclose(bits(anima), bits(jax), rtol=1e-6)
    with jax.threefry_partitionable(False):
        numpy.testing.assert_allclose(bits(anima), bits(jax), rtol=1e-6)


def documented() -> list[str]:
    """The names in the first column of the table."""
    return re.findall(r"^\| `([\w-]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_row_has_a_check_and_every_check_a_row() -> None:
    assert sorted(documented()) == sorted(CHECKS)


@pytest.mark.parametrize("name", documented())
def test_difference(name: str, run_python, tmp_path) -> None:
    CHECKS[name](run_python, tmp_path)

"""Comparisons with the peers: collected only where they are installed, as `make test-peers` does."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

import anima

# The tables are imported by their packages, and importing a module again, to look for examples, would fill them twice.
collect_ignore_glob = ["lax_table/*.py", "numpy_table/*.py"] if importlib.util.find_spec("jax") else ["*.py"]


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    """Both libraries' programs go after each module: the system lets a process have only so many pieces of code mapped."""
    yield
    import jax

    jax.clear_caches()
    anima.clear_caches()

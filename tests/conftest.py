"""Fixtures for all tests: fresh processes, and a watch over state that a test must not leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from anima import _native
from anima.config import config
from tests.foreign import library as library, targets as targets

# So that what a run of the tests loads and counts does not depend on the last run; fresh processes have their own setting.
config.update("jax_load_programs_ahead", False)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """After each test no trace is ambient and every option has the value that it had before."""
    key, x64 = _native.options_key(), config.jax_enable_x64
    yield
    assert _native.get_trace() is None, "the test left an ambient trace behind"
    assert config.jax_enable_x64 == x64, "the test left jax_enable_x64 changed"
    assert _native.options_key() == key, "the test left an option changed"


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program in a fresh Python process, in an empty folder, and check how it ends.

    `run_python(source, *arguments, env=None, expect=0, timeout=120)` returns the completed process with its output
    as text. `expect` is the exit status that the test wants (None: any).
    """

    def run(
        source: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        expect: int | None = 0,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", source, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run

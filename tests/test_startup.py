"""What is done around imports: nothing of it is left behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from anima.startup import blas_threads_sleep_soon, collector_paused

NAME = "OPENBLAS_THREAD_TIMEOUT"


def test_the_variable_is_set_in_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with blas_threads_sleep_soon():
        assert 4 <= int(os.environ[NAME]) < 26
    assert NAME not in os.environ
    with pytest.raises(ImportError), blas_threads_sleep_soon():
        raise ImportError
    assert NAME not in os.environ


def test_the_users_own_value_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "30")
    with blas_threads_sleep_soon():
        assert os.environ[NAME] == "30"
    assert os.environ[NAME] == "30"


@pytest.mark.parametrize("running", [True, False])
def test_the_collector_is_as_before(running: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if running else gc.disable)()
        with collector_paused():
            assert not gc.isenabled()
        assert gc.isenabled() is running
        with pytest.raises(ImportError), collector_paused():
            raise ImportError
        assert gc.isenabled() is running
    finally:
        (gc.enable if before else gc.disable)()


def test_garbage_from_before_and_from_the_block_is_collected() -> None:
    class Cycle:
        alive = 0

        def __init__(self) -> None:
            self.me = self
            Cycle.alive += 1

        def __del__(self) -> None:
            Cycle.alive -= 1

    Cycle()
    with collector_paused():
        Cycle()
        assert Cycle.alive == 2
    gc.collect()
    assert Cycle.alive == 0
    assert gc.get_freeze_count() == 0


def test_what_the_program_has_frozen_stays_so() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with collector_paused():
            pass
        assert gc.get_freeze_count() == frozen > 0
    finally:
        gc.unfreeze()


def test_the_import_leaves_nothing_behind() -> None:
    source = f"""
import gc, os
before = dict(os.environ), gc.isenabled(), gc.get_threshold()
import anima
assert (dict(os.environ), gc.isenabled(), gc.get_threshold()) == before, os.environ.get({NAME!r})
assert gc.get_freeze_count() == 0
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""The garbage collector's thresholds while a program is recorded."""

from __future__ import annotations

import gc
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

import anima
import anima.numpy as np
from anima.core.collector import YOUNG, collect_seldom


@pytest.fixture(autouse=True)
def usual_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_thresholds_are_raised_and_put_back_around_nested_blocks_and_errors() -> None:
    with collect_seldom():
        assert gc.get_threshold() == (YOUNG, 10, 10)
        with pytest.raises(ValueError), collect_seldom():
            raise ValueError
        assert gc.get_threshold() == (YOUNG, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("own", [(0, 10, 10), (10 * YOUNG, 5, 5)])
def test_thresholds_that_are_no_lower_stay(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with collect_seldom():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_what_is_set_within_a_block_stays() -> None:
    with collect_seldom():
        gc.set_threshold(123, 4, 5)
    assert gc.get_threshold() == (123, 4, 5)


def test_blocks_of_threads_overlap() -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with collect_seldom():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with collect_seldom():
        thread.start()
        assert entered.wait(60)
    assert gc.get_threshold() == (YOUNG, 10, 10)  # the other thread's block is open still
    leave.set()
    thread.join()
    assert gc.get_threshold() == (700, 10, 10)


def test_functions_are_traced_and_lowered_within_one() -> None:
    def chain(x: anima.Array) -> anima.Array:
        seen.append(gc.get_threshold())
        for _ in range(2_000):
            x = np.sin(x)
        return x

    def count(phase: str, info: dict[str, int]) -> None:
        runs.append(phase)

    seen: list[tuple[int, int, int]] = []
    runs: list[str] = []
    gc.collect()
    gc.callbacks.append(count)
    try:
        anima.jit(chain).lower(np.ones(8))
    finally:
        gc.callbacks.remove(count)
    assert seen == [(YOUNG, 10, 10)]
    assert gc.get_threshold() == (700, 10, 10)
    assert len(runs) <= 4  # twenty collections otherwise, each with a start and a stop


def test_a_failing_function_leaves_the_thresholds_alone() -> None:
    def fail(x: anima.Array) -> anima.Array:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        anima.jit(fail)(1.0)
    assert gc.get_threshold() == (700, 10, 10)


def test_garbage_of_traced_functions_is_collected_meanwhile() -> None:
    class Cycle:
        alive = most = 0

        def __init__(self) -> None:
            self.me = self
            Cycle.alive += 1
            Cycle.most = max(Cycle.most, Cycle.alive)

        def __del__(self) -> None:
            Cycle.alive -= 1

    def wasteful(x: anima.Array) -> anima.Array:
        for _ in range(3 * YOUNG):
            Cycle()
        return x

    anima.eval_shape(wasteful, 1.0)
    assert Cycle.most <= 2 * YOUNG
    gc.collect()
    assert Cycle.alive == 0


def test_a_child_process_has_the_blocks_of_its_own_thread_alone(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    run_python(
        """
import gc, os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # newer interpreters warn of forks beside threads
from anima.core.collector import YOUNG, collect_seldom
usual = gc.get_threshold()
entered, leave = threading.Event(), threading.Event()
def other():
    with collect_seldom():
        entered.set()
        leave.wait(30)
thread = threading.Thread(target=other)
thread.start()
entered.wait(30)
def in_child(check):
    child = os.fork()
    if child == 0:
        os._exit(0 if check() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
def inside():
    raised = gc.get_threshold()[0]
    with collect_seldom():
        nested = gc.get_threshold()[0]
    return (raised, nested, gc.get_threshold()[0]) == (YOUNG, YOUNG, YOUNG)
in_child(lambda: gc.get_threshold() == usual)
with collect_seldom():
    in_child(inside)
leave.set()
thread.join()
assert gc.get_threshold() == usual
""",
        timeout=60,
    )


def test_a_child_process_can_trace_whoever_had_the_lock(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    run_python(
        """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # newer interpreters warn of forks beside threads
from anima.core import collector
with collector._lock:
    child = os.fork()
    if child == 0:
        with collector.collect_seldom():
            os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
""",
        timeout=30,
    )


@pytest.mark.parametrize("place", ["get_threshold", "set_threshold"])
def test_a_signal_handler_records_where_thresholds_change(
    run_python: Callable[..., subprocess.CompletedProcess[str]], place: str
) -> None:
    run_python(
        f"""
import gc, signal, types, anima
from anima.core import collector

def changed(*args):
    signal.raise_signal(signal.SIGUSR1)
    return gc.{place}(*args)

handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(anima.make_jaxpr(lambda x: x + 1)(1.0)) if len(handled) < 20 else None)
collector.gc = types.SimpleNamespace(**{{**vars(gc), "{place}": changed}})
before = gc.get_threshold()
anima.make_jaxpr(lambda x: x * 2)(1.0)
assert handled and gc.get_threshold() == before, gc.get_threshold()
""",
        timeout=60,
    )

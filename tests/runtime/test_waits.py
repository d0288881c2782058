"""Threads of programs on CPUs look on before they sleep: nothing is lost, and whoever has waited long does sleep."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima.config import cpu_spin_microseconds
from anima.runtime.devices import processors

pytestmark = pytest.mark.cpu

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
two_processors = pytest.mark.skipif(
    processors() < 2, reason="nobody looks on where one thread runs at a time"
)
has_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

# A kernel of ours, loops of XLA, and both: each has work for several threads.
total = anima.jit(lambda x: x.sum())
slope = anima.jit(lambda x: anima.nn.gelu(x) + 1.0)
norm = anima.jit(lambda x: x / np.sqrt((x * x).sum(axis=1, keepdims=True)))
rows = onp.random.default_rng(0).standard_normal((512, 1024), onp.float32)


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    before = cpu_spin_microseconds.process_value
    yield
    cpu_spin_microseconds.set(before)


def check(x: anima.Array) -> None:
    onp.testing.assert_allclose(total(x), rows.sum(dtype=onp.float64), rtol=1e-3)
    onp.testing.assert_allclose(norm(x), rows / onp.linalg.norm(rows, axis=1, keepdims=True), rtol=1e-5)


# One microsecond is over about when the work comes.
@pytest.mark.parametrize("microseconds", [0, 1, 20, 1_000])
def test_no_thread_is_forgotten(microseconds: int) -> None:
    cpu_spin_microseconds.set(microseconds)
    x = np.asarray(rows)
    for _ in range(300):
        total(x), slope(x), norm(x)
    check(x)


@pytest.mark.parametrize("microseconds", [0, 3, 100_000])
def test_more_callers_than_processors(microseconds: int) -> None:
    cpu_spin_microseconds.set(microseconds)
    x = np.asarray(rows)
    wrong: list[BaseException] = []

    def call() -> None:
        try:
            for _ in range(20):
                slope(x)
                check(x)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=call) for _ in range(processors() + 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_callbacks_are_not_waited_for_by_threads_that_they_wait_for() -> None:
    cpu_spin_microseconds.set(100_000)
    x = np.asarray(rows)

    def nested(value: onp.ndarray) -> onp.ndarray:
        return onp.asarray(total(np.asarray(value)), onp.float32)

    shape = anima.ShapeDtypeStruct((), onp.dtype("float32"))
    outer = anima.jit(lambda x: anima.pure_callback(nested, shape, slope(x)) + total(x))
    for _ in range(5):
        expected = float(total(slope(x))) + float(total(x))
        onp.testing.assert_allclose(outer(x), expected, rtol=1e-4)


def of_threads(pattern: str, file: str) -> list[int]:
    """The first number that matches, of each thread of this process."""
    found = []
    for task in pathlib.Path("/proc/self/task").iterdir():
        match = re.search(pattern, (task / file).read_text(), re.MULTILINE)
        assert match is not None
        found.append(int(match[1]))
    return found


def sleeps(x: anima.Array) -> int:
    """How often threads of this process go to sleep in ten calls: about twenty times if each call lets two sleep."""
    before = sum(of_threads(r"^voluntary_ctxt_switches:\s+(\d+)", "status"))
    for _ in range(10):
        slope(x).block_until_ready()
    return sum(of_threads(r"^voluntary_ctxt_switches:\s+(\d+)", "status")) - before


@two_processors
@has_proc
def test_threads_between_calls_do_not_sleep() -> None:
    x = np.asarray(rows)
    found = []
    for _ in range(50):
        cpu_spin_microseconds.set(1_000_000)  # forgets, too, that other processes took the processors
        found.append(sleeps(x))
    assert min(found) < 5


@two_processors
@has_proc
def test_threads_sleep_where_other_processes_compute() -> None:
    x = np.asarray(rows)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * processors())]
    try:
        cpu_spin_microseconds.set(1_000_000)
        deadline, rounds = time.monotonic() + 30, 0
        while rounds < 5 and time.monotonic() < deadline:
            rounds += sleeps(x) >= 10
        assert rounds == 5  # one may be if a thread did not get its processor for a second
    finally:
        for process in busy:
            process.kill()
            process.wait()


@has_proc
def test_threads_without_work_take_no_processor_time() -> None:
    x = np.asarray(rows)

    def ran() -> int:  # nanoseconds of all threads but this one
        own = int(
            pathlib.Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[0]
        )
        return sum(of_threads(r"^(\d+)", "schedstat")) - own

    cpu_spin_microseconds.set(50_000)
    for _ in range(10):
        slope(x).block_until_ready()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # they are given the time, and other tests' threads too
        before = ran()
        time.sleep(0.3)
        if ran() == before:
            return
    pytest.fail("threads go on running without work")


def test_times_that_make_no_sense_are_refused() -> None:
    before = cpu_spin_microseconds.value
    for wrong in (-1, 10**9):
        with pytest.raises(ValueError, match="jax_cpu_spin_microseconds must be from 0"):
            cpu_spin_microseconds.set(wrong)
    assert cpu_spin_microseconds.value == before


def test_a_process_ends_while_its_threads_look_on(run_python: RunPython) -> None:
    done = run_python(
        """
import anima, anima.numpy as np
x = np.ones((512, 1024))
total = anima.jit(lambda x: x.sum())
slope = anima.jit(lambda x: anima.nn.gelu(x) + 1.0)
for _ in range(50):
    value = slope(x)
print(float(total(x)), flush=True)
value = [slope(x) for _ in range(5)]
""",
        env={"JAX_CPU_SPIN_MICROSECONDS": "1000000", "JAX_PLATFORMS": "cpu"},
    )
    assert done.stdout == "524288.0\n"
    assert done.stderr == ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_a_child_process_ends_beside_threads_that_look_on(run_python: RunPython) -> None:
    run_python(
        """
import os, warnings, anima, anima.numpy as np
warnings.simplefilter("ignore")
x = np.ones((512, 1024))
slope = anima.jit(lambda x: anima.nn.gelu(x) + 1.0)
for _ in range(20):
    slope(x).block_until_ready()
    child = os.fork()
    if child == 0:
        raise SystemExit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
""",
        env={"JAX_CPU_SPIN_MICROSECONDS": "1000000"},
    )

"""Memory of small arrays is used again, by whichever thread, and only once it is free."""

from __future__ import annotations

import functools
import gc
import itertools
import os
import platform
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import _native
from anima.config import cpu_memory_reuse
from tests.forks import fork_beside_threads

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "aarch64"),
        reason="elsewhere the system's allocator is used",
    ),
]

MOST = 1 << 15  # bytes of a block
RANGE = 1 << 28  # of all blocks
SPAN = 1 << 16  # cut into blocks of one size
# Two roundings, so no kernel of ours answers in the program's place.
step = anima.jit(lambda x, y: x * 1.5 + y)


def in_use() -> int:
    return _native.small_blocks()["bytes_in_use"]


def kept() -> int:
    return _native.small_blocks()["bytes_kept"]


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


def test_calls_use_blocks_again() -> None:
    x = np.arange(300.0)
    for _ in range(100):
        step(x, x).block_until_ready()
    made = in_use()
    assert made > 0
    for _ in range(2_000):
        y = step(x, x)
    # Each result has 1,280 bytes; a few calls may be under way at once.
    assert in_use() - made < 200 * 1_280
    onp.testing.assert_array_equal(y, onp.arange(300.0) * 2.5)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 128, 129, 1_000, MOST // 4, MOST // 4 + 1, 70_000])
def test_memory_is_aligned_and_results_stay_apart(size: int) -> None:
    start = np.ones(size)
    results = [step(start, np.full(size, float(i))) for i in range(40)]
    places = sorted([y.unsafe_buffer_pointer() for y in results])
    assert all(place % 64 == 0 for place in places)
    assert all(b - a >= 4 * size for a, b in itertools.pairwise(places))
    for i, y in enumerate(results):
        onp.testing.assert_array_equal(y, onp.full(size, 1.5 + i, onp.float32))


def test_what_is_still_looked_at_is_not_used_again() -> None:
    x = np.arange(300.0)
    y = step(x, x)
    view, place = onp.asarray(y), y.unsafe_buffer_pointer()
    del y
    others = [step(x, x * i) for i in range(50)]
    assert place not in [other.unsafe_buffer_pointer() for other in others]
    onp.testing.assert_array_equal(view, onp.arange(300.0) * 2.5)


def test_threads_free_what_others_made() -> None:
    made: queue.Queue[tuple[int, anima.Array] | None] = queue.Queue(100)
    wrong: list[int] = []

    def look() -> None:
        while (item := made.get()) is not None:
            number, y = item
            if not (onp.asarray(y) == 1.5 + number).all():
                wrong.append(number)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    ones = np.ones(200)
    for number in range(1_500):
        made.put((number, step(ones, np.full(200, float(number)))))
    for _ in threads:
        made.put(None)
    for thread in threads:
        thread.join()
    assert wrong == []


def test_threads_that_end_leave_their_blocks_to_others() -> None:
    x = np.arange(300.0)

    def work() -> None:
        kept = [step(x, x) for _ in range(20)]
        assert (onp.asarray(kept[-1]) == onp.arange(300.0) * 2.5).all()

    def rounds(count: int) -> int:
        for _ in range(count):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        return in_use()

    before = rounds(10)
    # What some threads have, not a hundred of them, 20 results each and what XLA knows of these.
    assert rounds(100) - before <= 100 * 20 * 1_280 / 5


def results_of(size: int) -> list[anima.Array]:
    """Results of two megabytes, all of which are there."""
    x = np.ones(size)
    made = [step(x, x) for _ in range(2 * 1_048_576 // (4 * size))]
    anima.block_until_ready(made)
    return made


def test_memory_of_one_size_is_cut_for_another() -> None:
    anima.clear_caches()
    sizes = [500, 600, 750, 850, 1_000, 1_250, 1_500, 1_750]  # in eight sizes of blocks
    most = 0
    for size in sizes:
        made = results_of(size)
        most = max(most, in_use())
        del made
    assert in_use() + kept() <= most + len(sizes) * 512 * 1_024  # and what is at hand for threads


def test_what_is_free_goes_back_when_it_is_asked_for() -> None:
    made = results_of(1_000)
    before = in_use()
    del made
    anima.clear_caches()
    assert kept() == 0
    assert in_use() <= before - 1_048_576
    onp.testing.assert_array_equal(results_of(1_000)[-1], onp.full(1_000, 2.5, onp.float32))


@pytest.mark.slow
def test_what_is_not_wanted_for_seconds_goes_back() -> None:
    anima.clear_caches()
    made = results_of(1_000)
    del made
    x = np.ones(300)
    limit = time.monotonic() + 60
    while kept() > 8 * SPAN and time.monotonic() < limit:
        results = [step(x, x) for _ in range(500)]
        del results
    assert kept() <= 8 * SPAN


def test_programs_are_made_of_blocks_and_leave_them() -> None:
    def program(depth: int) -> None:
        f = anima.jit(lambda x: functools.reduce(lambda y, i: np.sin(y) * i, range(depth), x))
        f(np.ones(3)).block_until_ready()

    program(100)
    most, before = 0, in_use() + kept()
    for depth in range(101, 111):
        program(depth)
        anima.clear_caches()
        most = max(most, in_use() + kept())
    assert most <= before + 4 * 1_048_576


OTHER_OPERATORS = """
#include <atomic>
#include <cstdlib>
#include <new>
// Memory of these begins with a word that tells it from anybody else's.
static std::atomic<long> made{0};
extern "C" long blocks_made() { return made; }
void* operator new(std::size_t bytes) {
  auto* memory = static_cast<std::size_t*>(std::malloc(bytes + 16));
  if (memory == nullptr) throw std::bad_alloc();
  made++;
  *memory = 0x5eed5eed;
  return memory + 2;
}
void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  auto* start = static_cast<std::size_t*>(memory) - 2;
  if (*start != 0x5eed5eed) std::abort();
  *start = 0;
  std::free(start);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
"""
WITH_OTHER_OPERATORS = """
import ctypes
import anima
from anima import numpy as np
blocks_made = ctypes.CDLL(None).blocks_made
x = np.ones((30, 30))
before = blocks_made()
print(anima.jit(lambda x: np.sin(x) @ x)(x).sum(), blocks_made() - before)
"""


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a compiler")
def test_operators_of_others_stay_in_use(tmp_path: Path) -> None:
    source, library = tmp_path / "operators.cc", tmp_path / "operators.so"
    source.write_text(OTHER_OPERATORS)
    subprocess.run(["c++", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", WITH_OTHER_OPERATORS],
        env={**os.environ, "LD_PRELOAD": str(library), "JAX_ENABLE_COMPILATION_CACHE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    value, made = done.stdout.split()
    assert float(value) == pytest.approx(30**3 * onp.sin(1.0), rel=1e-5)
    assert int(made) > 20_000  # of a compilation, which has ten times as many


def test_beyond_the_range_the_system_has_memory() -> None:
    size = MOST // 4
    x = np.ones(size)
    results = [step(x, np.full(size, float(i))) for i in range(RANGE // MOST + 50)]
    assert in_use() <= RANGE
    for i in (0, 1_000, len(results) - 1):
        assert (onp.asarray(results[i]) == 1.5 + i).all()
    del results
    assert (onp.asarray(step(x, x)) == 2.5).all()


def test_it_can_be_turned_off() -> None:
    x = np.arange(777.0)
    cpu_memory_reuse.set(False)
    try:
        made = in_use()
        results = [step(x, x * i) for i in range(100)]
        assert in_use() == made
    finally:
        cpu_memory_reuse.set(True)
    del results
    onp.testing.assert_array_equal(step(x, x), onp.arange(777.0) * 2.5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_a_child_process_finds_no_lock_that_nobody_gives_back() -> None:
    fork_beside_threads(_native.small_blocks)

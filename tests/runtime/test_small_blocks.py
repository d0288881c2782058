"""Memory of small arrays is used again, by whichever thread, and only once it is free."""

from __future__ import annotations

import gc
import itertools
import platform
import queue
import sys
import threading
from collections.abc import Iterator

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
RANGE = 1 << 26  # of all blocks
# Two roundings, so no kernel of ours answers in the program's place.
step = anima.jit(lambda x, y: x * 1.5 + y)


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


def test_calls_use_blocks_again() -> None:
    x = np.arange(300.0)
    for _ in range(100):
        step(x, x).block_until_ready()
    made = _native.small_blocks()
    assert made > 0
    for _ in range(2_000):
        y = step(x, x)
    # Each result has 1,280 bytes; a few calls may be under way at once.
    assert _native.small_blocks() - made < 200 * 1_280
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
        return _native.small_blocks()

    before = rounds(10)
    assert rounds(100) - before <= 20 * 1_280  # a thread's results, not those of a hundred


def test_beyond_the_range_the_system_has_memory() -> None:
    size = MOST // 4
    x = np.ones(size)
    results = [step(x, np.full(size, float(i))) for i in range(RANGE // MOST + 50)]
    assert _native.small_blocks() <= RANGE
    for i in (0, 1_000, len(results) - 1):
        assert (onp.asarray(results[i]) == 1.5 + i).all()
    del results
    assert (onp.asarray(step(x, x)) == 2.5).all()


def test_it_can_be_turned_off() -> None:
    x = np.arange(777.0)
    cpu_memory_reuse.set(False)
    try:
        made = _native.small_blocks()
        results = [step(x, x * i) for i in range(100)]
        assert _native.small_blocks() == made
    finally:
        cpu_memory_reuse.set(True)
    del results
    onp.testing.assert_array_equal(step(x, x), onp.arange(777.0) * 2.5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_a_child_process_finds_no_lock_that_nobody_gives_back() -> None:
    fork_beside_threads(_native.small_blocks)

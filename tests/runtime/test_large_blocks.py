"""Memory of large arrays is used again once it is free, and only then; what is kept is bounded and can be had back."""

from __future__ import annotations

import gc
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

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

MB = 1 << 20
N = MB  # elements, of 4 bytes
add_one = anima.jit(lambda x: x + 1)


def counts() -> dict[str, int]:
    return _native.large_blocks()


def resident() -> int:
    """Bytes of memory that the process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it holds within ten seconds: a thread of the plugin may let go of a block a little after its array is gone."""
    limit = time.monotonic() + 10
    while not holds() and time.monotonic() < limit:
        time.sleep(0.001)
    return holds()


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    gc.collect()
    anima.clear_caches()
    yield
    anima.clear_caches()


def test_the_next_result_has_the_memory_of_one_that_is_gone() -> None:
    x = np.zeros(N)
    y = add_one(x).block_until_ready()
    before, place = counts(), y.unsafe_buffer_pointer()
    for turn in range(5):
        del y
        assert soon(lambda: counts()["bytes_in_use"] < before["bytes_in_use"])
        assert counts()["bytes_kept"] >= 4 * N
        y = add_one(x).block_until_ready()
        assert y.unsafe_buffer_pointer() == place and (onp.asarray(y) == 1).all(), turn
    after = counts()
    assert after["reused"] - before["reused"] == after["taken"] - before["taken"] == 5


def test_blocks_are_of_a_megabyte_or_more() -> None:
    for bytes_, block in ((MB, True), (MB + MB // 2, True), (MB // 2, False)):
        x = np.zeros(bytes_ // 4)
        before = counts()["taken"]
        for _ in range(3):
            assert (add_one(x).block_until_ready() == 1).all()
        assert (counts()["taken"] - before >= 3) == block


def test_what_is_still_looked_at_is_not_used_again() -> None:
    x = np.zeros(N)
    y = add_one(x)
    view, capsule = onp.asarray(y), onp.from_dlpack(y)
    weak = y.unsafe_buffer_pointer()
    del y
    others = [add_one(x * i) for i in range(4)]
    assert weak not in [other.unsafe_buffer_pointer() for other in others]
    assert (view == 1).all() and (capsule == 1).all()


def test_what_is_kept_never_exceeds_what_was_needed() -> None:
    x = np.ones(N)
    most = 0
    for size in [N, 2 * N, N // 2, 3 * N, N + 5, 2 * N + 4096, N, 3 * N]:
        y = add_one(np.ones(size))
        y.block_until_ready()
        most = max(most, counts()["bytes_in_use"])
        del y
        now = counts()
        assert now["bytes_in_use"] + now["bytes_kept"] <= max(most, 4 * 4 * 3 * N)
    assert x is not None
    anima.clear_caches()
    assert counts()["bytes_kept"] == 0


def test_what_is_kept_leaves_before_a_larger_block_is_made() -> None:
    fill = anima.jit(lambda size: np.full((size,), 1.0), static_argnums=0)
    first = max(20 * N, counts()["most_in_use"] // 4 + N)  # elements: more than tests before have used
    for size in [first, first * 5 // 4, first * 3 // 2]:
        y = fill(size).block_until_ready()
        now = counts()
        assert now["bytes_in_use"] + now["bytes_kept"] <= now["most_in_use"]
        del y


def test_memory_goes_back_to_the_system() -> None:
    arrays = [add_one(np.zeros(8 * N)) for _ in range(4)]
    for array in arrays:
        array.block_until_ready()
    high, held = resident(), counts()["bytes_in_use"]
    del array
    arrays.clear()
    gc.collect()
    assert soon(lambda: counts()["bytes_in_use"] <= held - 4 * 4 * 8 * N)
    anima.clear_caches()
    assert high - resident() > 100 * MB


def test_it_can_be_turned_off() -> None:
    x = np.zeros(N)
    y = add_one(x).block_until_ready()
    taken = counts()["taken"]
    cpu_memory_reuse.set(False)
    try:
        z = add_one(x).block_until_ready()
        del y
        assert counts()["taken"] == taken and counts()["bytes_kept"] == 0 and (z == 1).all()
    finally:
        cpu_memory_reuse.set(True)
    del z
    add_one(x).block_until_ready()
    assert counts()["taken"] == taken + 1


def test_donated_memory_and_temporaries() -> None:
    step = anima.jit(lambda x, y: (x @ y + x.T, x * 2), donate_argnums=0)
    rng = onp.random.default_rng(0)
    x, y = rng.integers(0, 3, (2, 800, 800)).astype(onp.float32)
    given = np.asarray(x)
    for _ in range(3):
        given, doubled = step(given, np.asarray(y))
        assert (onp.asarray(doubled) == x * 2).all()
        x = (x @ y + x.T) % 3
        given = given % 3
        assert (onp.asarray(given) == x).all()


def test_many_threads() -> None:
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for i in range(6):
            size = N // 2 + (seed * 7919 + i * 104729) % N
            x = np.full(size, float(seed))
            for step in range(3):
                x = add_one(x)
                if not (onp.asarray(x[:: size // 7]) == seed + step + 1).all():
                    wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_arrays_from_the_host_and_failures_leave_the_books_right() -> None:
    before = counts()["bytes_in_use"]
    source = onp.ones(N, onp.float32)
    x = np.asarray(source)
    source[:] = 2
    assert (x == 1).all()
    with pytest.raises(anima.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED|[Oo]ut of memory|allocat"):
        anima.jit(
            lambda: np.zeros((1 << 45,), np.int8) + np.arange(1 << 45, dtype=np.int8)
        )().block_until_ready()
    del x
    gc.collect()
    assert soon(lambda: counts()["bytes_in_use"] <= before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_a_child_process_finds_no_lock_that_nobody_gives_back() -> None:
    fork_beside_threads(_native.release_blocks)

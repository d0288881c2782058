"""`anima.debug.counters`: what is counted, and what is not."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from anima.debug import counters


def test_calls_and_work() -> None:
    f = anima.jit(lambda x: np.sin(x) * 1.375)
    x = np.ones(9)
    before = counters()
    for _ in range(5):
        f(x)
    done = counters() - before
    assert (done.traces, done.lowerings, done.cache_misses, done.cache_hits) == (1, 1, 1, 4)
    assert done.compiles + done.disk_hits + done.memory_hits == 1
    assert done.trace_seconds > 0 and done.lower_seconds > 0
    before = counters()
    f(x)
    assert (counters() - before)._replace(cache_hits=0) == counters() - counters()


def test_another_shape_and_another_function() -> None:
    def f(x: object) -> object:
        return x

    before = counters()
    anima.jit(f)(np.ones(3))
    anima.jit(f)(np.ones(3))  # traced already
    assert (counters() - before).traces == 1
    before = counters()
    anima.jit(f)(np.ones(4))
    assert (counters() - before).traces == 1


@pytest.mark.cpu
def test_bytes() -> None:
    host = numpy.ones((1000, 250), "f4")
    before = counters()
    x = anima.device_put(host)
    assert (counters() - before).bytes_to_device == host.nbytes
    numpy.asarray(x)
    assert (counters() - before).bytes_to_host == 0  # read where it lies
    f = anima.jit(lambda x: x + 1)
    f(x)
    before = counters()
    f(x)
    assert (counters() - before).bytes_to_device == 0
    f(host)
    f(host)
    assert (counters() - before).bytes_to_device == 2 * host.nbytes


def test_explaining_is_an_option() -> None:
    assert anima.debug.explain_cache_misses is anima.explain_cache_misses

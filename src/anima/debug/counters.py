"""What the library has done so far in this process, in numbers.

Invariant: counting is always on: calls are counted natively without locks, all else costs much more than its count.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anima import _native
from anima.core import spans
from anima.runtime.compiler import compile_stats


class Counters(NamedTuple):
    """Counts since the process began; the difference of two is what happened in between.

    Attributes:
      cache_hits: calls of compiled functions and eager operations that ran without Python.
      cache_misses: those that Python had to handle: it traced, lowered or compiled, or an argument was somewhere else.
      traces, trace_seconds: functions that `jit` traced; time in which another is traced inside counts once.
      lowerings, lower_seconds: programs turned into StableHLO.
      compiles, compile_seconds: programs that XLA compiled.
      disk_hits: executables loaded from the folder of compiled programs. memory_hits: those that were there already.
      bytes_to_device, bytes_to_host, bytes_between_devices: what was copied. What is read where it lies, as NumPy reads
        the arrays of a CPU, is not.
    """

    cache_hits: int
    cache_misses: int
    traces: int
    lowerings: int
    compiles: int
    disk_hits: int
    memory_hits: int
    trace_seconds: float
    lower_seconds: float
    compile_seconds: float
    bytes_to_device: int
    bytes_to_host: int
    bytes_between_devices: int

    def __sub__(self, earlier: Counters) -> Counters:
        """What happened since `earlier`."""
        differences: Any = [now - then for now, then in zip(self, earlier)]
        return Counters(*differences)


def counters() -> Counters:
    """What was traced, compiled, called and moved so far.

    >>> import anima, anima.numpy as np
    >>> f = anima.jit(lambda x: x + 1)
    >>> before = anima.debug.counters()
    >>> for i in range(3):
    ...     y = f(float(i))
    >>> done = anima.debug.counters() - before
    >>> done.traces, done.cache_misses, done.cache_hits
    (1, 1, 2)
    """
    hits, misses = _native.call_counts()
    stats = compile_stats()
    traces, lowerings = spans.tallies["trace"], spans.tallies["lower"]
    return Counters(
        hits, misses, traces.count, lowerings.count, stats.compiles, stats.disk_hits, stats.memory_hits,
        traces.seconds, lowerings.seconds, stats.seconds, *_native.traffic(),
    )  # fmt: skip

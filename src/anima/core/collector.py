"""Python's garbage collector while a program is recorded and written.

Invariant: outside of every block the collector's thresholds are those of the program around, whatever a block raised;
thresholds that somebody else has set inside of one stay.

Each equation is half a dozen objects that stay until the program is compiled, so the collector, which runs after 700 new ones,
looked at them again and again: a third of the time of recording 10,000 equations, and half as much again for each of 100,000.
It is not stopped, for what users' functions leave behind is to go, too: within a block it runs after `YOUNG` new objects.
"""

from __future__ import annotations

import gc
import os
import threading

YOUNG = 50_000  # objects, 10 MB perhaps; then a program of 100,000 equations is looked at twice

# A signal handler that records may run wherever its thread is, in here, too.
_lock = threading.RLock()
_open = 0  # blocks, in all threads
_before: tuple[int, int, int] | None = None  # the thresholds outside of them, if they were raised


class _Own(threading.local):
    open = 0  # blocks of this thread


_own = _Own()


class collect_seldom:
    """Block in which much is made that stays for a while."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _open, _before
        with _lock:
            _own.open += 1
            _open += 1
            if _open == 1:
                found = gc.get_threshold()
                # Of 0, a collector that never runs by itself.
                _before = found if 0 < found[0] < YOUNG else None
                if _before is not None:
                    gc.set_threshold(YOUNG, *_before[1:])

    def __exit__(self, *_: object) -> None:
        global _open
        with _lock:
            _own.open -= 1
            _open -= 1
            if _open == 0:
                _put_back()


def _put_back() -> None:
    """Set the thresholds outside of all blocks, unless somebody else has set others."""
    global _before
    before, _before = _before, None
    if before is not None and gc.get_threshold() == (YOUNG, *before[1:]):
        gc.set_threshold(*before)


def _after_fork() -> None:
    """The child has this thread alone: not those that held the lock, nor their blocks."""
    global _lock, _open
    _lock = threading.RLock()
    _open = _own.open
    if _open == 0:
        _put_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

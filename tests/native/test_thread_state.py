"""The ambient trace and the options of each thread."""

from __future__ import annotations

import gc
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from anima import _native


def in_thread(function: Callable[[], Any]) -> Any:
    """The result of a function that runs in a thread of its own."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


class Trace:
    pass


def test_trace() -> None:
    trace = Trace()
    assert _native.get_trace() is None
    assert _native.set_trace(trace) is None
    assert _native.get_trace() is trace
    assert in_thread(_native.get_trace) is None, "a trace belongs to its thread"
    assert _native.set_trace(None) is trace
    assert _native.get_trace() is None


def test_trace_is_owned() -> None:
    trace = Trace()
    gone = weakref.ref(trace)
    _native.set_trace(trace)
    del trace
    gc.collect()
    assert gone() is not None
    _native.set_trace(None)
    assert gone() is None


def test_threads_give_their_trace_back() -> None:
    references = []

    def leave() -> None:
        trace = Trace()
        references.append(weakref.ref(trace))
        _native.set_trace(trace)

    for _ in range(100):
        in_thread(leave)
    deadline = time.monotonic() + 10  # a thread ends a little after join() has returned
    while any(r() is not None for r in references) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert [r() for r in references] == [None] * 100


def test_options_key() -> None:
    before = _native.options_key()
    assert _native.swap_thread_options_key(12345) in (-1, before)
    try:
        assert _native.options_key() == 12345
        assert in_thread(_native.options_key) != 12345
        assert _native.swap_thread_options_key(2**62) == 12345
        assert _native.options_key() == 2**62
    finally:
        _native.swap_thread_options_key(before)


def test_x64() -> None:
    previous = _native.swap_thread_x64(1)
    try:
        assert _native.x64_enabled() is True
        assert _native.swap_thread_x64(0) == 1
        assert _native.x64_enabled() is False
    finally:
        _native.swap_thread_x64(previous)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: _native.set_options_key(-1), ValueError),
        (lambda: _native.set_options_key("a"), TypeError),
        (lambda: _native.swap_thread_options_key(-2), ValueError),
        (lambda: _native.swap_thread_options_key(2**70), OverflowError),
        (lambda: _native.swap_thread_x64(2), ValueError),
        (lambda: _native.swap_thread_x64(None), TypeError),
    ],
)
def test_wrong_arguments(call: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        call()


# Python ends threads that ask for the GIL while the interpreter shuts down, by unwinding their frames. Those of C++ hold references.
@pytest.mark.parametrize(
    "use",
    [
        "anima.jit(linger)(1.0)",
        "anima.make_jaxpr(anima.grad(lambda x: anima.numpy.sin(lingering(x))))(1.0)",
        "anima.tree.map(linger, [1], is_leaf=linger)",
        "anima.numpy.asarray([Number()])",
    ],
)
@pytest.mark.cpu
def test_interpreter_ends_while_native_code_calls_python(
    run_python: Callable[..., subprocess.CompletedProcess[str]], use: str
) -> None:
    run_python(f"""
import threading, time
import anima, anima.numpy

inside = threading.Event()

def linger(*args):
    inside.set()
    while True:
        time.sleep(0)

class Number(float):
    __float__ = linger

lingering = anima.custom_jvp(lambda x: x)
lingering.defjvp(linger)
threading.Thread(target=lambda: {use}, daemon=True).start()
assert inside.wait(60)
""")

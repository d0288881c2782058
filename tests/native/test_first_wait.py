"""The threads that have a process's first wait: whatever the program does meanwhile, they are in nobody's way and end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_program_ends_at_once(run_python: Run) -> None:
    for _ in range(10):
        assert run_python("import anima\nanima.devices()\nprint(1)").stdout == "1\n"


def test_clients_are_closed_and_made_again(run_python: Run) -> None:
    source = """
import anima
from anima.runtime.devices import clear_backends
for _ in range(5):
    anima.devices()
    clear_backends()
print(anima.jit(lambda x: x + 1)(1))
"""
    assert run_python(source).stdout == "2\n"


@pytest.mark.skipif(sys.platform != "linux", reason="lists threads by the files of Linux")
def test_the_threads_end(run_python: Run) -> None:
    source = """
import os, time
import anima
def threads():
    return len(os.listdir("/proc/self/task"))
def settled():
    before, now = -1, threads()
    while before != now:
        time.sleep(0.3)
        before, now = now, threads()
    return now
from anima.runtime import devices
client = devices.client("cpu")
first = settled()
client.plugin.create_client({"cpu_device_count": 1}).close()
second = settled()
devices.clear_backends()
print(second == first, settled() < first)
"""
    assert run_python(source).stdout == "True True\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_child_that_is_forked_meanwhile_ends(run_python: Run) -> None:
    source = """
import os, warnings
import anima
warnings.simplefilter("ignore", DeprecationWarning)
anima.devices()
if os.fork() == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    for _ in range(3):
        assert run_python(source).stdout == "7\n"

"""What a script used is read ahead when it runs again: the same results, and no harm from lists that are wrong or damaged."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anima import _native
from anima.config import load_programs_ahead
from anima.runtime import ahead
from anima.runtime.compile_options import CompileOptions
from anima.runtime.devices import client, processors
from anima.runtime.disk_cache import DiskCache, entry_key

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TEXT = """module @m {
  func.func public @main(%0: tensor<f32>) -> tensor<f32> {
    %1 = stablehlo.sine %0 : tensor<f32>
    return %1 : tensor<f32>
  }
}"""
KEY = entry_key(TEXT.encode(), b"for this test")

# Prints the value, how many programs were compiled and read from disk, and how many of the latter the thread had begun to read.
SCRIPT = """
import sys
import numpy
import anima
from anima import numpy as np
from anima.runtime import ahead
from anima.runtime.compiler import compile_stats

taken, take = [], ahead.take
def counting(*key):
    taken.append(take(*key))
    return taken[-1]
ahead.take = counting
x = np.asarray(numpy.arange(6000.0, dtype=numpy.float32).reshape(60, 100))
if ahead._script is not None:
    for reading in list(ahead._script.readings.values()):
        reading.done.wait(60)  # so that the count below is the same on a slow machine
print({expression}, *compile_stats()[:2], sum(e is not None for e in taken))
"""


def _script(expression: str) -> str:
    return SCRIPT.replace("{expression}", expression)


PLAIN = "anima.jit(lambda x: (x @ x.T).sum())(x)"
KERNEL = "anima.jit(lambda x: np.sort(x % 7, axis=0)[30, 5])(x)"


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, str]:
    return {"ANIMA_COMPILATION_CACHE_DIR": str(tmp_path / "cache"), "ANIMA_LOAD_PROGRAMS_AHEAD": "1"}


needs_two = pytest.mark.skipif(processors() < 2, reason="nothing is read ahead on one processor")


@needs_two
@pytest.mark.parametrize("expression", [PLAIN, KERNEL])
def test_what_a_script_used_is_read_ahead(run_python: Run, folder: dict[str, str], expression: str) -> None:
    value, compiled, loaded, taken = run_python(_script(expression), env=folder).stdout.split()
    assert (int(loaded), int(taken)) == (0, 0) and int(compiled) >= 1
    for _ in range(2):
        again = run_python(_script(expression), env=folder).stdout.split()
        assert again == [value, "0", compiled, compiled]
    off = run_python(_script(expression), env=folder | {"ANIMA_LOAD_PROGRAMS_AHEAD": "0"}).stdout.split()
    assert off == [value, "0", compiled, "0"]


TRAINING = """
import anima
from anima import numpy as np
from anima.runtime.compiler import compile_stats
a, b = (anima.random.normal(k, (4, 4)) for k in anima.random.split(anima.random.PRNGKey(0)))
step = anima.jit(lambda a: a - 0.1 * anima.grad(lambda a: np.tanh(a @ b).sum())(a))
for _ in range(3):
    a = step(a)
print(a.at[0].set(1.0).sum(), compile_stats()[0])
"""


@needs_two
def test_first_operations_wait_for_no_product_and_compile_nothing(
    run_python: Run, folder: dict[str, str]
) -> None:
    value, compiled = run_python(TRAINING, env=folder).stdout.split()
    assert int(compiled) >= 3
    for _ in range(3):
        assert run_python(TRAINING, env=folder).stdout.split() == [value, "0"]


@needs_two
def test_a_list_of_other_programs_does_no_harm(
    run_python: Run, folder: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "script.py"
    start = f"import runpy; runpy.run_path({str(path)!r})"
    path.write_text(_script(PLAIN))
    first = run_python(start, env=folder).stdout.split()
    path.write_text(_script(KERNEL))
    changed = run_python(start, env=folder).stdout.split()
    assert changed[1:] == ["1", "0", "0"] and changed[0] != first[0]
    assert run_python(start, env=folder).stdout.split() == [changed[0], "0", "1", "1"]


@needs_two
def test_damage_is_tolerated(run_python: Run, folder: dict[str, str], tmp_path: Path) -> None:
    value, compiled, *_ = run_python(_script(PLAIN), env=folder).stdout.split()
    for path in (tmp_path / "cache").glob("*.exec"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run_python(_script(PLAIN), env=folder).stdout.split() == [value, compiled, "0", "0"]
    assert run_python(_script(PLAIN), env=folder).stdout.split() == [value, "0", compiled, compiled]


@needs_two
def test_an_exit_waits_for_one_program_at_most(run_python: Run, folder: dict[str, str]) -> None:
    run_python(_script(PLAIN), env=folder)
    again = "import anima; anima.devices(); print(1)"
    assert run_python(again, env=folder).stdout == "1\n"
    in_child = "import os\n" + _script(PLAIN) + "\nif os.fork() == 0: sys.exit(0)\nprint(os.wait()[1])"
    for _ in range(2):
        assert run_python(in_child, env=folder).stdout.split()[-1] == "0"


# In this process.


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DiskCache]:
    """Start as a process does whose script used the programs of a list when it last ran."""
    cache = DiskCache(str(tmp_path / "cache"), 1 << 30, 1000)
    monkeypatch.setattr(ahead, "_script", None)
    monkeypatch.setattr(ahead, "processors", lambda: 2)
    monkeypatch.setattr(ahead, "_name_of_script", lambda: (b"script",))
    monkeypatch.setattr("atexit.register", lambda *_: None)
    executable = client("cpu").compile(TEXT, CompileOptions().encode())
    cache.store(KEY, executable.serialize())

    def start(content: bytes | None = None) -> DiskCache:
        if content is None:
            content = ahead._list(False, [ahead._Program(KEY, CompileOptions().encode(), ())])
        cache.store(entry_key(b"script", b"here", b"script"), content)
        with load_programs_ahead(True):
            ahead.start(client("cpu"), cache, b"here")
        for thread in threading.enumerate():
            if thread.name == "anima-ahead":
                thread.join()
        return cache

    return start


def test_only_who_asks_for_the_same_gets_it(started: Callable[..., DiskCache]) -> None:
    cache = started()
    assert ahead.take(cache, entry_key(b"another"), client("cpu")) is None
    assert ahead.take(DiskCache(cache.folder, 1, 1), KEY, client("cpu")) is None
    assert ahead.take(cache, KEY, client("cpu")) is None  # what was asked for so is not kept


def test_an_executable_is_given_away_once(started: Callable[..., DiskCache]) -> None:
    cache = started()
    assert isinstance(ahead.take(cache, KEY, client("cpu")), _native.Executable)
    assert ahead.take(cache, KEY, client("cpu")) is None


def test_what_nobody_asks_for_is_dropped(
    started: Callable[..., DiskCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = started()
    ahead.forget()
    assert ahead.take(cache, KEY, client("cpu")) is None
    monkeypatch.setattr(ahead, "_script", None)
    cache = started()
    monkeypatch.setattr(ahead, "_PATIENCE", 0.0)
    assert ahead.take(cache, KEY, client("cpu")) is None


def test_a_forked_child_waits_for_nothing(
    started: Callable[..., DiskCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = started()
    monkeypatch.setattr(os, "getpid", lambda: 0)
    with ahead._lock:  # as the thread may have it when the process forks
        assert ahead.take(cache, KEY, client("cpu")) is None
        ahead.note(cache, KEY, b"", TEXT)
        ahead.forget()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"multiplies", b"\xff\xfe", b"\nnot hexadecimal -", b"\n" + KEY.hex().encode(), b"\n" + bytes(range(1, 200)),
        b"\n" + KEY.hex().encode() + b" - anima_no_such_kernel", b"\n" + KEY.hex().encode() + b" ffffff",
        b"\n" + entry_key(b"gone").hex().encode() + b" -",
    ],
)  # fmt: skip
def test_any_list_is_read(started: Callable[..., DiskCache], content: bytes, capfd: Any) -> None:
    cache = started(content)
    assert ahead.take(cache, KEY, client("cpu")) is None
    assert ahead.take(cache, entry_key(b"gone"), client("cpu")) is None
    assert not capfd.readouterr().err


def test_lists_come_back() -> None:
    programs = [ahead._Program(KEY, b"", ()), ahead._Program(KEY, b"\x01\x02", ("anima_a", "anima_b"))]
    for multiplies in (False, True):
        assert ahead._read_list(ahead._list(multiplies, programs)) == (multiplies, programs)


def test_a_list_is_bounded_and_leaves_out_what_calls_users_handlers(
    started: Callable[..., DiskCache], tmp_path: Path
) -> None:
    cache = started()
    script = ahead._script
    assert script is not None
    ahead.note(cache, KEY, b"", 'stablehlo.custom_call {call_target_name = "theirs"}')
    ahead.note(DiskCache(str(tmp_path), 1, 1), KEY, b"", TEXT)
    assert not script.programs and not script.multiplies
    ahead.note(cache, KEY, b"", 'stablehlo.custom_call {call_target_name = "anima_sort"}')
    ahead.note(cache, KEY, b"", "stablehlo.dot_general : tensor<3xf32>")
    assert [p.kernels for p in script.programs] == [("anima_sort",), ()] and script.multiplies
    for _ in range(100):
        ahead.note(cache, KEY, b"", TEXT)
    assert len(script.programs) == ahead._MOST_PROGRAMS
    ahead._remember(script)
    assert cache.load(script.key) == ahead._list(True, script.programs)
    assert cache.has(script.product_key)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["python", "train.py", "--rate", "1"], (b"", os.path.abspath("train.py").encode())),
        (["python", "-X", "dev", "-W", "error", "-u", "train.py"], (b"", os.path.abspath("train.py").encode())),
        (["python", "-c", "print(1)", "x"], (b"-c", b"print(1)", os.getcwd().encode())),
        (["python", "-O", "-m", "tool", "x"], (b"-m", b"tool", os.getcwd().encode())),
        (["python"], None), (["python", "-u"], None), (["python", "-"], None), ([], None),
    ],
)  # fmt: skip
def test_what_a_script_is_called(
    words: list[str], name: tuple[bytes, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", words)
    monkeypatch.delattr(sys, "ps1", raising=False)
    assert ahead._name_of_script() == name


def test_at_a_prompt_there_is_no_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py"])
    assert ahead._name_of_script() is None

"""Programs are compiled once: per process by whoever comes first, and once for all processes on disk."""

import os
import threading
import time

import pytest

import anima
from anima.config import (
    compilation_cache_dir,
    dump_ir_to,
    enable_compilation_cache,
    log_compiles,
    persistent_cache_min_compile_time_secs,
    persistent_cache_min_entry_size_bytes,
)
from anima.errors import XlaRuntimeError
from anima.runtime import compiler, disk_cache
from anima.runtime.compile_options import CompileOptions, options_for
from anima.runtime.compiler import compile_program, compile_stats
from anima.runtime.devices import client

pytestmark = pytest.mark.cpu

_serial = iter(range(1000))


@pytest.fixture(autouse=True)
def _cache_of_this_test(tmp_path):
    before = compilation_cache_dir.process_value
    compilation_cache_dir.set(tmp_path / "cache")  # for all threads, unlike a block
    yield
    compilation_cache_dir.set(before)


def _program(operation="add"):
    """A program that no other test has compiled."""
    n = 1000 + next(_serial)
    t = f"tensor<{n}xf32>"
    return f"module @m {{ func.func public @main(%a: {t}) -> {t} {{ %0 = stablehlo.{operation} %a, %a : {t}\n return %0 : {t} }} }}"


def _compile(text, **kwargs):
    cpu = client("cpu")
    options = kwargs.pop("options", None) or options_for("single_op", platform="cpu", **kwargs)
    before = compile_stats()
    executable = compile_program(text, client=cpu, options=options, name="jit(f)")
    after = compile_stats()
    return executable, tuple(b - a for a, b in zip(before[:3], after[:3], strict=True))


def _forget():
    compiler.clear_memory_cache()


def test_loops_that_xla_cannot_make_one_function_of():
    x, y = anima.numpy.ones((50, 32), "int8"), anima.numpy.ones((3, 32, 24), "int8")
    rows = anima.lax.ragged_dot(x, y, anima.numpy.array([20, 20, 20]))  # a loop with products of int8
    assert rows.tolist() == [[32] * 24] * 50


def test_memory_then_disk():
    text = _program()
    first, counts = _compile(text)
    assert counts == (1, 0, 0)
    second, counts = _compile(text)
    assert second is first and counts == (0, 0, 1)
    _forget()
    third, counts = _compile(text)
    assert third is not first and counts == (0, 1, 0)
    assert third.num_outputs == 1


def test_options_are_part_of_the_key():
    text = _program()
    _compile(text)
    _, counts = _compile(text, tiny=True)
    assert counts == (1, 0, 0)
    _, counts = _compile(text, compiler_options={"xla_cpu_prefer_vector_width": 128})
    assert counts == (1, 0, 0)
    with enable_compilation_cache(False):
        _forget()
        _, counts = _compile(text)
        assert counts == (1, 0, 0)


def test_the_environment_is_part_of_the_key(monkeypatch):
    cpu = client("cpu")
    keys = set()
    for name, value in (
        ("_processor", "avx"),
        ("_processor", "avx512"),
        ("_threads", "[2]"),
        ("xla_flags", "--x"),
    ):
        compiler._client_keys(cpu).environment = None
        with monkeypatch.context() as patch:
            patch.setattr(compiler, name, lambda value=value: value)
            keys.add(compiler._environment(cpu))
    compiler._client_keys(cpu).environment = None
    keys.add(compiler._environment(cpu))
    assert len(keys) == 5
    assert compiler._targets_version("stablehlo.custom_call @f") != compiler._targets_version("stablehlo.add")


def test_sixteen_threads_compile_once(monkeypatch):
    text = _program("multiply")
    compile_one = compiler._compile

    def slow(*args):
        time.sleep(0.05)
        return compile_one(*args)

    monkeypatch.setattr(compiler, "_compile", slow)
    barrier = threading.Barrier(16)
    made = []

    def work():
        barrier.wait()
        made.append(_compile(text)[0])

    before = compile_stats()
    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = compile_stats()
    assert len(made) == 16 and len(set(map(id, made))) == 1
    assert (after.compiles - before.compiles, after.memory_hits - before.memory_hits) == (1, 15)


def test_those_who_wait_get_the_error_too(monkeypatch):
    started = threading.Event()

    def fail(*args):
        started.set()
        time.sleep(0.05)
        raise XlaRuntimeError("no", 13)

    monkeypatch.setattr(compiler, "_compile", fail)
    text, failures = _program(), []

    def work():
        try:
            _compile(text)
        except XlaRuntimeError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == ["INTERNAL: no"] * 4
    monkeypatch.undo()
    assert _compile(text)[1] == (1, 0, 0)


def test_an_interrupted_compilation_is_taken_over(monkeypatch):
    text = _program()
    compile_one, calls = compiler._compile, []
    waiting = threading.Event()

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 1:
            waiting.wait(5)
            raise KeyboardInterrupt
        return compile_one(*args)

    monkeypatch.setattr(compiler, "_compile", interrupted)
    ends = []

    def lead():
        try:
            _compile(text)
        except KeyboardInterrupt:
            ends.append("interrupted")

    def follow():
        ends.append(_compile(text)[0].num_outputs)

    leader, follower = threading.Thread(target=lead), threading.Thread(target=follow)
    leader.start()
    while not calls:
        time.sleep(0.001)
    follower.start()
    time.sleep(0.02)
    waiting.set()
    leader.join()
    follower.join()
    assert sorted(map(str, ends)) == ["1", "interrupted"] and len(calls) == 2


def test_bad_programs_say_why():
    with pytest.raises(XlaRuntimeError, match="Failed to parse"):
        _compile("module {")
    with pytest.raises(XlaRuntimeError, match="xla_no_such_option") as caught:
        _compile(_program(), compiler_options={"xla_no_such_option": 1})
    assert caught.value.status == "INVALID_ARGUMENT"


def test_an_option_of_the_policy_that_the_plugin_lacks(monkeypatch):
    monkeypatch.setattr(compiler, "_unknown", {})
    policy = (("xla_backend_optimization_level", 0), ("xla_gone", True), ("xla_lost", 1))
    options = CompileOptions(policy=policy)
    assert _compile(_program(), options=options)[0].num_outputs == 1
    assert compiler._unknown == {client("cpu").plugin.path: {"xla_gone", "xla_lost"}}
    assert _compile(_program(), options=options)[1] == (1, 0, 0)


@pytest.mark.parametrize("damage", [b"", b"not an executable"])
def test_entries_that_cannot_be_loaded_are_replaced(tmp_path, damage):
    text = _program()
    _compile(text)
    folder = tmp_path / "cache"
    (entry,) = folder.glob("*.exec")
    # Sound as an entry, but no executable: what another plugin with the same name and version might leave.
    disk_cache.current().store(bytes.fromhex(entry.stem), damage)
    _forget()
    assert _compile(text)[1] == (1, 0, 0)
    _forget()
    assert _compile(text)[1] == (0, 1, 0)


def test_an_unwritable_folder_is_no_cache(tmp_path):
    (tmp_path / "file").write_text("")
    with compilation_cache_dir(str(tmp_path / "file" / "cache")):
        text = _program()
        assert _compile(text)[1] == (1, 0, 0)
        _forget()
        assert _compile(text)[1] == (1, 0, 0)


def test_a_full_disk_is_no_cache(tmp_path, monkeypatch):
    def full(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk_cache, "_write_all", full)
    assert _compile(_program())[1] == (1, 0, 0)
    assert not list((tmp_path / "cache").glob("*"))


def test_thresholds(tmp_path):
    with persistent_cache_min_compile_time_secs(1000):
        _compile(_program())
    with persistent_cache_min_entry_size_bytes(1 << 30):
        _compile(_program())
    assert not list(tmp_path.glob("cache/*.exec"))


def test_another_process_does_not_compile(run_python, tmp_path):
    code = """
from anima.runtime.compile_options import options_for
from anima.runtime.compiler import compile_program, compile_stats
from anima.runtime.devices import client
import sys
options = options_for("program", platform="cpu")
compile_program(sys.argv[1], client=client(), options=options)
print(*compile_stats()[:2])
"""
    environment = {"ANIMA_COMPILATION_CACHE_DIR": str(tmp_path / "shared")}
    text = _program()
    assert run_python(code, text, env=environment).stdout.split() == ["1", "0"]
    assert run_python(code, text, env=environment).stdout.split() == ["0", "1"]
    environment["XLA_FLAGS"] = "--xla_cpu_prefer_vector_width=128"
    assert run_python(code, text, env=environment).stdout.split() == ["1", "0"]
    assert (
        len(os.listdir(tmp_path / "shared")) == 5
    )  # with the journal, and what the script used in either environment


def test_log_compiles(caplog):
    text = _program()
    with log_compiles():
        _compile(text)
        _forget()
        _compile(text)
    assert "Finished XLA compilation of jit(f) in" in caplog.messages[0]
    assert caplog.messages[1] == "Loaded jit(f) from the compilation cache"
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_dump_ir(tmp_path, capsys):
    text = _program()
    with dump_ir_to(str(tmp_path / "ir")):
        _compile(text)
    (file,) = (tmp_path / "ir").iterdir()
    assert file.name.endswith(".jit_f_.stablehlo.txt") and file.read_text() == text
    with dump_ir_to("-"):
        _compile(_program())
    assert "stablehlo.add" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["_count", "_compile", "_Flight"])
def test_a_signal_handler_compiles_in_the_middle_of_a_compilation(run_python, place):
    # The handler, or what the garbage collector ends there, may ask for the very program that this thread compiles.
    out = run_python(
        f"""
import signal, anima
from anima.config import enable_compilation_cache
from anima.runtime import compiler

def double(x):
    return x + x

def handle(*_):
    print(anima.jit(double)(21.0))

original = compiler.{place}

def interrupted(*args, **kwargs):
    compiler.{place} = original
    signal.raise_signal(signal.SIGUSR1)
    return original(*args, **kwargs)

signal.signal(signal.SIGUSR1, handle)
compiler.{place} = interrupted
with enable_compilation_cache(False):
    print(anima.jit(double)(4.0))
    print(anima.jit(double)(5.0))
""",
        timeout=60,
    ).stdout
    assert out.split() == ["42.0", "8.0", "10.0"]

"""Plugins, clients, executables and buffers: the handles over the PJRT API.

Invariant tested here: bad input raises an error that names what is wrong, never ends the process; closing, forking
and exiting at any moment neither hangs nor crashes.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anima import _native, errors, protobuf
from tests.native.support import encode_options, plugin_path

pytestmark = pytest.mark.cpu
ONE = encode_options()
ADD = """
module @add {
  func.func public @main(%a: tensor<3xf32>, %b: tensor<3xf32>) -> tensor<3xf32> {
    %0 = stablehlo.add %a, %b : tensor<3xf32>
    return %0 : tensor<3xf32>
  }
}
"""
F3 = ((3,), np.dtype(np.float32), False)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def run(executable: Any, *args: Any, out: Any = F3) -> Any:
    """The only result of a program on one device."""
    ((result,),) = executable.execute([list(args)], [out])
    return result


# ---- plugins ----


def test_plugin_says_what_it_is(plugin: Any) -> None:
    major, minor = plugin.api_version
    assert major == 0 and minor > 50
    assert plugin.path == os.path.realpath(plugin_path())
    assert "xla_version" in plugin.attributes
    assert plugin.has_extension(5) and not plugin.has_extension(9999)
    assert _native.load_plugin(plugin_path()) is plugin


@pytest.mark.parametrize(
    ("path", "says"),
    [("/no/such/plugin.so", "cannot open"), (__file__, "cannot load"), (_native.__file__, "no PJRT plugin")],
)
def test_what_is_no_plugin_is_refused(path: str, says: str) -> None:
    with pytest.raises(errors.PluginError, match=says):
        _native.load_plugin(path)


def test_options_of_wrong_type_are_named(plugin: Any) -> None:
    with pytest.raises(TypeError, match="cpu_device_count"):
        plugin.create_client({"cpu_device_count": object()})


def test_logs_are_silent_unless_asked_for() -> None:
    script = f"""
        from anima import _native
        client = _native.load_plugin({plugin_path()!r}).create_client({{"cpu_device_count": 2}})
        client.compile({ADD!r}, {ONE!r})
    """
    assert in_process(script) == ("", "")


# ---- clients and devices ----


def test_client_and_devices(client: Any, plugin: Any) -> None:
    assert client.platform == "cpu" and client.process_index == 0 and client.plugin is plugin
    assert [d.id for d in client.devices] == [0, 1, 2, 3]
    assert client.devices == client.addressable_devices
    first = client.devices[0]
    assert first is client.devices[0] and len({first, client.devices[0]}) == 1
    assert first.client is client and first.platform == "cpu" and first.device_kind == "cpu"
    assert repr(first) == "CpuDevice(id=0)"
    assert isinstance(first.memory_stats(), dict) and isinstance(first.attributes, dict)


# ---- compiling ----


def test_compile_and_execute(client: Any, put: Callable[..., Any]) -> None:
    before = _native.compile_count()
    executable = client.compile(ADD, ONE)
    assert _native.compile_count() == before + 1
    assert executable.name == "add" and executable.num_outputs == 1
    assert executable.devices == [client.devices[0]]
    for n in range(1, 4):
        result = run(executable, put(f32(1, 2, 3)), put(f32(10, 20, 30)))
        assert np.asarray(result).tolist() == [11, 22, 33]
        assert executable.executions == n
    assert executable.cost_analysis()["flops"] == 3
    assert executable.memory_stats()["argument_size_in_bytes"] == 24
    assert b"add" in executable.optimized_program()


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("garbage", "garbage"),
        ("", "main"),
        ("module {}", "main"),
        (ADD.replace("-> tensor<3xf32>", "-> tensor<4xf32>"), "doesn't match function result type"),
        (ADD.replace("%a, %b", "%a, %c"), "undeclared SSA value"),
        (ADD.replace("stablehlo.add", "stablehlo.nonsense"), "nonsense"),
    ],
)
def test_garbage_programs_raise(
    client: Any, program: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(errors.XlaRuntimeError, match=says):
        client.compile(program, ONE)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (b"", "must set num_replicas"),
        (b"\xff\xff", "no serialised CompileOptionsProto"),
        (ONE[:-1], "no serialised CompileOptionsProto"),
        (encode_options(partitions=5), r"5 partition\(s\); the client has 4"),
        (encode_options(partitions=2**40), "the client has 4"),
    ],
)
def test_bad_options_raise(client: Any, options: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        client.compile(ADD, options)


def test_errors_carry_their_code(client: Any) -> None:
    with pytest.raises(errors.XlaRuntimeError) as info:
        client.deserialize(b"nonsense")
    assert info.value.code == 15 and str(info.value).startswith("DATA_LOSS: ")


def test_serialise_and_load(client: Any, put: Callable[..., Any]) -> None:
    executable = client.compile(ADD, ONE)
    data = executable.serialize()
    before = _native.deserialize_count()
    for options in (b"", ONE):
        loaded = client.deserialize(data, options)
        assert loaded.name == "add" and loaded.num_outputs == 1
        assert np.asarray(run(loaded, put(f32(1, 2, 3)), put(f32(1, 1, 1)))).tolist() == [2, 3, 4]
    assert _native.deserialize_count() == before + 2


def instructions(module: memoryview) -> list[dict[int, list[protobuf.Value]]]:
    """The fields of each instruction of a serialised HloModuleProto."""
    computations = [protobuf.message(c) for c in protobuf.fields(module)[3]]
    return [protobuf.fields(protobuf.message(i)) for c in computations for i in protobuf.fields(c)[2]]


def test_what_is_serialised_has_the_program_without_positions(client: Any, put: Callable[..., Any]) -> None:
    executable = client.compile(ADD, ONE)
    data = executable.serialize()
    payload = memoryview(data)[24:]
    for _ in range(3):
        payload = protobuf.message(protobuf.fields(payload)[1][0])
    whole = instructions(memoryview(executable.optimized_program()))
    kept = instructions(payload)
    metadata, opcode, shape = 7, 2, 3
    assert any(bytes(protobuf.message(i[metadata][0])) for i in whole if metadata in i)
    assert not any(metadata in i for i in kept)
    assert [(i[opcode], i[shape]) for i in kept] == [(i[opcode], i[shape]) for i in whole]
    again = client.deserialize(data, b"").serialize()
    assert again == data
    loaded = client.deserialize(again, b"")
    assert np.asarray(run(loaded, put(f32(1, 2, 3)), put(f32(1, 1, 1)))).tolist() == [2, 3, 4]


def test_threads_compile_at_once(client: Any, put: Callable[..., Any]) -> None:
    x = put(f32(1, 2, 3))
    results: list[list[float]] = [[] for _ in range(8)]

    def work(i: int) -> None:
        text = ADD.replace("@add", f"@add_{i}").replace(
            "stablehlo.add %a, %b", f"stablehlo.{'add' if i % 2 else 'multiply'} %a, %b"
        )
        results[i] = np.asarray(run(client.compile(text, ONE), x, x)).tolist()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[2, 4, 6] if i % 2 else [1, 4, 9] for i in range(8)]


# ---- executing ----


def test_wrong_arguments_raise(client: Any, put: Callable[..., Any]) -> None:
    executable = client.compile(ADD, ONE)
    x = put(f32(1, 2, 3))
    for count in (0, 1, 3):
        with pytest.raises(errors.XlaRuntimeError, match=str(count)):
            run(executable, *[x] * count)
    with pytest.raises(errors.XlaRuntimeError, match="size"):
        run(executable, x, put(f32(1, 2, 3, 4)))
    with pytest.raises(
        ValueError, match=r"argument 1 is on CpuDevice\(id=1\), the program runs on CpuDevice\(id=0\)"
    ):
        run(executable, x, put(f32(1, 2, 3), device=1))
    with pytest.raises(TypeError, match="argument 1 must be an ArrayImpl"):
        run(executable, x, f32(1, 2, 3))
    with pytest.raises(ValueError, match="2 argument lists"):
        executable.execute([[x, x], [x, x]], [F3])
    with pytest.raises(ValueError, match="0 out_avals given, the program has 1 result"):
        executable.execute([[x, x]], [])
    with pytest.raises(ValueError, match=r"result 0 is f32\[3\], out_avals says s32\[3\]"):
        run(executable, x, x, out=((3,), np.dtype(np.int32), False))
    with pytest.raises(ValueError, match=r"result 0 is f32\[3\], out_avals says f32\[4\]"):
        run(executable, x, x, out=((4,), np.dtype(np.float32), False))
    assert np.asarray(run(executable, x, x)).tolist() == [2, 4, 6]


def test_deleted_arguments_raise(client: Any, put: Callable[..., Any]) -> None:
    executable = client.compile(ADD, ONE)
    x, y = put(f32(1, 2, 3)), put(f32(1, 2, 3))
    y.delete()
    with pytest.raises(errors.DeletedArrayError):
        run(executable, x, y)
    assert y.is_deleted() and not x.is_deleted()


def test_device_is_chosen_at_compile_time(client: Any, put: Callable[..., Any]) -> None:
    executable = client.compile(ADD, encode_options(devices=(2,)))
    assert executable.devices == [client.devices[2]]
    x = put(f32(1, 2, 3), device=2)
    result = run(executable, x, x)
    assert np.asarray(result).tolist() == [2, 4, 6] and result.device is client.devices[2]


def test_four_devices(client: Any, put: Callable[..., Any]) -> None:
    text = """
    module @total attributes {mhlo.num_partitions = 4 : i32, mhlo.num_replicas = 1 : i32} {
      func.func public @main(%a: tensor<8xf32> {mhlo.sharding = "{devices=[4]<=[4]}"})
          -> (tensor<8xf32> {mhlo.sharding = "{devices=[4]<=[4]}"}, tensor<f32> {mhlo.sharding = "{replicated}"}) {
        %zero = stablehlo.constant dense<0.0> : tensor<f32>
        %sum = stablehlo.reduce(%a init: %zero) applies stablehlo.add across dimensions = [0]
            : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
        %all = stablehlo.broadcast_in_dim %sum, dims = [] : (tensor<f32>) -> tensor<8xf32>
        %out = stablehlo.add %a, %all : tensor<8xf32>
        return %out, %sum : tensor<8xf32>, tensor<f32>
      }
    }
    """
    executable = client.compile(text, encode_options(partitions=4))
    assert executable.devices == client.devices
    shards = [[put(f32(2 * d, 2 * d + 1), device=d)] for d in range(4)]
    avals = [((2,), np.dtype(np.float32), False), ((), np.dtype(np.float32), False)]
    results = executable.execute(shards, avals)
    for d, (part, total) in enumerate(results):
        assert np.asarray(part).tolist() == [28 + 2 * d, 29 + 2 * d] and np.asarray(total) == 28
        assert part.device is client.devices[d]
    with pytest.raises(ValueError, match="device 0 has 1 arguments, device 3 has 0"):
        executable.execute(shards[:3] + [[]], avals)
    with pytest.raises(ValueError, match=r"is on CpuDevice\(id=1\), the program runs on CpuDevice\(id=0\)"):
        executable.execute(shards[::-1][2:] + shards[::-1][:2], avals)


DONATE = """
module @update {
  func.func public @main(%a: tensor<1000xf32> {tf.aliasing_output = 0 : i32}, %i: tensor<i32>) -> tensor<1000xf32> {
    %one = stablehlo.constant dense<1.0> : tensor<1xf32>
    %0 = stablehlo.dynamic_update_slice %a, %one, %i : (tensor<1000xf32>, tensor<1xf32>, tensor<i32>) -> tensor<1000xf32>
    return %0 : tensor<1000xf32>
  }
}
"""
F1000 = ((1000,), np.dtype(np.float32), False)


def test_donation_reuses_the_memory(client: Any, put: Callable[..., Any]) -> None:
    executable = client.compile(DONATE, ONE)
    index = put(np.int32(7))
    first = run(
        client.compile(ADD.replace("3xf32", "1000xf32"), ONE),
        *[put(np.zeros(1000, np.float32))] * 2,
        out=F1000,
    )
    first.block_until_ready()
    address = first.unsafe_buffer_pointer()
    second = run(executable, first, index, out=F1000)
    second.block_until_ready()
    assert second.unsafe_buffer_pointer() == address
    assert first.is_deleted() and not index.is_deleted()
    assert np.flatnonzero(np.asarray(second)).tolist() == [7]
    with pytest.raises(errors.DeletedArrayError):
        run(executable, first, index, out=F1000)
    with pytest.raises(errors.DeletedArrayError):
        np.asarray(first)


def test_donation_leaves_what_is_seen_from_outside(client: Any, put: Callable[..., Any]) -> None:
    executable = client.compile(DONATE, ONE)
    given = put(np.zeros(1000, np.float32))
    view = np.asarray(given)
    result = run(executable, given, put(np.int32(7)), out=F1000)
    assert np.asarray(result)[7] == 1
    assert not view.any()


def test_results_outlive_their_program(own_client: Any) -> None:
    executable = own_client.compile(ADD, ONE)
    x = _native.array_from_host(f32(1, 2, 3), own_client.devices[0])
    result = run(executable, x, x)
    gone = weakref.ref(executable)
    del executable, x
    gc.collect()
    assert gone() is None
    assert np.asarray(result).tolist() == [2, 4, 6]


# ---- closing ----


def test_closing_makes_everything_inert(plugin: Any) -> None:
    client = plugin.create_client({"cpu_device_count": 1})
    executable = client.compile(ADD, ONE)
    x = _native.array_from_host(f32(1, 2, 3), client.devices[0])
    y = run(executable, x, x)
    view = np.asarray(y)
    client.close()
    client.close()
    assert client.closed and client.platform == "cpu"
    assert view.tolist() == [2, 4, 6]  # memory that NumPy still reads is left alone
    uses = (
        lambda: client.compile(ADD, ONE),
        lambda: client.deserialize(b""),
        lambda: executable.name,
        lambda: executable.serialize(),
        lambda: client.devices[0].memory_stats(),
        lambda: _native.array_from_host(f32(1, 2, 3), client.devices[0]),
    )
    for use in uses:
        with pytest.raises(errors.XlaRuntimeError, match="closed"):
            use()
    for use in (lambda: run(executable, x, x), x.block_until_ready):
        with pytest.raises((errors.XlaRuntimeError, errors.DeletedArrayError)):
            use()
    assert x.is_deleted()


def test_closing_while_threads_work(plugin: Any) -> None:
    client = plugin.create_client({"cpu_device_count": 1})
    executable = client.compile(ADD, ONE)
    started = threading.Barrier(4)
    failures: list[Exception] = []

    def work() -> None:
        started.wait()
        try:
            while True:
                x = _native.array_from_host(f32(1, 2, 3), client.devices[0])
                np.asarray(run(executable, x, x))
        except (errors.XlaRuntimeError, errors.DeletedArrayError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    threading.Event().wait(0.05)
    client.close()
    for thread in threads:
        thread.join()
    assert len(failures) == 3


# ---- exit and fork ----

SETUP = """
import os, sys, threading, warnings
import numpy as np
from anima import _native, errors, protobuf
for name in ("XlaRuntimeError", "DeletedArrayError", "ForkError", "PluginError"):
    _native.set_error_class(name, getattr(errors, name))
for code, scalar in {codes}:
    _native.register_dtype(code, np.dtype(scalar))
client = _native.load_plugin({path!r}).create_client({{"cpu_device_count": 1}})
_native.register_python_callback_target(client)
device = client.devices[0]
big = client.compile('''
module @big {{
  func.func public @main(%a: tensor<600x600xf32>) -> tensor<600x600xf32> {{
    %zero = stablehlo.constant dense<0> : tensor<i32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %n = stablehlo.constant dense<30> : tensor<i32>
    %out:2 = stablehlo.while(%x = %a, %i = %zero) : tensor<600x600xf32>, tensor<i32>
      cond {{
        %c = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
        stablehlo.return %c : tensor<i1>
      }} do {{
        %d = stablehlo.dot_general %x, %x, contracting_dims = [1] x [0]
            : (tensor<600x600xf32>, tensor<600x600xf32>) -> tensor<600x600xf32>
        %j = stablehlo.add %i, %one : tensor<i32>
        stablehlo.return %d, %j : tensor<600x600xf32>, tensor<i32>
      }}
    return %out#0 : tensor<600x600xf32>
  }}
}}
''', {options!r})
x = _native.array_from_host(np.eye(600, dtype=np.float32), device)
aval = ((600, 600), np.dtype(np.float32), False)
def start():
    return big.execute([[x]], [aval])[0][0]
"""


def in_process(script: str) -> tuple[str, str]:
    """What a script prints in a process of its own, which must end well within a minute."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def with_setup(script: str) -> str:
    codes = "((4, np.int32), (9, np.uint64), (11, np.float32))"
    setup = SETUP.format(path=plugin_path(), options=ONE, codes=codes)
    out, err = in_process(setup + textwrap.dedent(script))
    assert err == ""
    return out


def test_exit_with_pending_work() -> None:
    out = with_setup("""
        y = [start() for _ in range(3)][-1]
        print(y.is_ready())
    """)
    assert out in ("False\n", "True\n")


def test_exit_while_threads_wait_and_work() -> None:
    assert with_setup("""
        def loop():
            while True:
                start().block_until_ready()
        def compile():
            while True:
                client.compile(PROGRAM, OPTIONS)
        threading.excepthook = lambda args: None  # they are told that the client is closed
        for target in (loop, loop, compile):
            threading.Thread(target=target, daemon=True).start()
        start().block_until_ready()
        print("bye")
    """.replace("PROGRAM", repr(ADD)).replace("OPTIONS", repr(ONE))) == "bye\n"  # fmt: skip


def test_exit_with_a_view_read_by_an_older_hook() -> None:
    # Hooks run in reverse order, so one that was there before the module's own runs after it.
    script = """
        import atexit
        atexit.register(lambda: print(view.sum()))
        {setup}
        y = start()
        y.block_until_ready()
        view = np.asarray(y)
    """
    setup = SETUP.format(path=plugin_path(), options=ONE, codes="((4, np.int32), (11, np.float32))")
    out, err = in_process(textwrap.dedent(script).replace("{setup}", setup))
    assert (out, err) == ("600.0\n", "")


def test_fork_is_refused_not_hung() -> None:
    out = with_setup("""
        warnings.simplefilter("ignore")
        y = start()
        pid = os.fork()
        if pid == 0:
            for use in (start, y.block_until_ready, lambda: np.asarray(y), lambda: client.compile("", b""),
                        lambda: client.plugin.create_client({}), lambda: _native.array_from_host(np.eye(2, dtype="f"), device)):
                try:
                    use()
                    print("no error", use)
                except errors.ForkError as error:
                    assert "spawn" in str(error)
            del y, big, x
            client.close()
            print("child done", flush=True)
            sys.exit(0)
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
        print("parent", np.asarray(y).sum())
    """)
    assert out.splitlines() == ["child done", "parent 600.0"]


def test_work_may_start_after_a_fork() -> None:
    script = f"""
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from anima import _native
        plugin = _native.load_plugin({plugin_path()!r})
        pid = os.fork()
        if pid == 0:
            client = plugin.create_client({{"cpu_device_count": 1}})
            print(client.compile({ADD!r}, {ONE!r}).name, flush=True)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """
    assert in_process(script) == ("add\n", "")

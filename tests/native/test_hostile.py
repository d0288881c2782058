"""Misuse that once ended the process, hung it or changed the contents of an array, one test for each.

Invariant tested here: objects that change things while they are being used, arguments that lie, and structures of any
depth raise a Python exception at most.
"""

from __future__ import annotations

import ctypes
import datetime
import functools
import gc
import importlib
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from anima import _native as nt, errors
from tests.native.call.support import DOUBLE_IN_PLACE, F32, Maker, program
from tests.native.support import encode_options, message, number

Put = Callable[..., Any]
ONE = encode_options()
SCALAR_IN_PLACE = program(
    "%0 = stablehlo.add %a0, %a0 : tensor<f32>\n%0", ["f32"], ["f32"], {0: "tf.aliasing_output = 0 : i32"}
)
SLOW = program(
    "%0 = stablehlo.dot_general %a0, %a0, contracting_dims = [1] x [0] : (tensor<NxNxf32>, tensor<NxNxf32>) -> tensor<NxNxf32>\n"
    "%1 = stablehlo.dot_general %0, %a0, contracting_dims = [1] x [0] : (tensor<NxNxf32>, tensor<NxNxf32>) -> tensor<NxNxf32>\n"
    "%1",
    ["NxNxf32"],
    ["NxNxf32"],
).replace("N", "1200")
TOTAL = """
module @total attributes {mhlo.num_partitions = 2 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%a: tensor<4xf32> {mhlo.sharding = "{devices=[2]<=[2]}"})
      -> (tensor<f32> {mhlo.sharding = "{replicated}"}) {
    %zero = stablehlo.constant dense<0.0> : tensor<f32>
    %sum = stablehlo.reduce(%a init: %zero) applies stablehlo.add across dimensions = [0]
        : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
    return %sum : tensor<f32>
  }
}
"""


class Rows:
    """A sharding by rows whose number of parts may be changed."""

    def __init__(self, *devices: Any) -> None:
        self.devices = devices
        self.addressable_devices = set(devices)
        self.parts = len(devices)

    def shard_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0] // self.parts, *shape[1:])


@pytest.fixture(scope="module")
def make(client: Any) -> Maker:
    return Maker(client)


@pytest.fixture(autouse=True)
def hooks_of_the_others() -> Iterator[None]:
    before = nt.array_hooks()
    yield
    nt.set_array_hooks(**before)


def in_process(script: str) -> str:
    """What a script prints in a process of its own."""
    command = [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


# ---- depth ----


def chain_of_calls(depth: int) -> Any:
    made = None
    for _ in range(depth):
        made = nt.CompiledCall(None, print, print, spec=made)
    return made


def chain_of_plans(depth: int, device: Any) -> Any:
    made = None
    for _ in range(depth):
        made = nt.CallPlan(None, num_leaves=0, out_avals=(), device=device, keepalive=made)
    return made


def chain_of_boundaries(depth: int) -> Any:
    made: Any = len
    for _ in range(depth):
        made = nt.Boundary(made)
    return made


def chain_of_recalled(depth: int) -> Any:
    made: Any = len
    for _ in range(depth):
        made = nt.Recalled(made)
    return made


class Aux:
    """A pytree node that is all aux data."""

    def __init__(self, aux: Any) -> None:
        self.aux = aux


nt.register_node(Aux, lambda node: ((), node.aux), lambda aux, _: Aux(aux))


def chain_of_structures(depth: int) -> Any:
    made = None
    for _ in range(depth):
        made = nt.tree_structure(Aux(made))
    return made


def chain_of_arrays(depth: int, x: Any) -> Any:
    for _ in range(depth):
        x = nt.array_with(x, sharding=x)
    return x


def test_long_chains_are_freed(client: Any, put: Put) -> None:
    depth = 200_000
    chain_of_calls(depth)
    chain_of_plans(depth, client.devices[0])
    chain_of_boundaries(depth)
    chain_of_recalled(depth)
    chain_of_structures(depth)
    before = len(nt.live_arrays())
    last = chain_of_arrays(depth, put(np.ones(3)))
    assert len(nt.live_arrays()) == before + depth + 1
    del last
    assert len(nt.live_arrays()) == before


def test_long_chains_raise_when_they_are_called() -> None:
    with pytest.raises(RecursionError):
        chain_of_boundaries(200_000)([1])
    with pytest.raises(RecursionError):
        chain_of_recalled(200_000)([1])
    call: Any = nt.CompiledCall(None, lambda *_: (None, None), print)
    for _ in range(100_000):
        call = nt.CompiledCall(None, call, call)
    with pytest.raises(RecursionError):
        call(1.0)


def test_the_stack_bounds_recursion_when_python_does_not() -> None:
    assert in_process("""
        import sys, threading
        from anima import _native as nt
        sys.setrecursionlimit(10**7)
        def attempt():
            tree = 1
            for _ in range(10**5):
                tree = (tree,)
            deep = tree, {"a": tree}
            static = nt.CompiledCall(None, lambda *_: (None, None), print, static_argnums=(0,))
            for use in (lambda: nt.tree_flatten(deep), lambda: nt.tree_leaves(tree), lambda: static(tree)):
                try:
                    use()  # some need so little of a large stack that they get through
                except RecursionError:
                    pass
            while isinstance(tree, tuple):
                tree, = tree
        attempt()
        threading.stack_size(1 << 19)
        thread = threading.Thread(target=attempt)
        thread.start(), thread.join()
        print("alive")
    """) == "alive\n"  # fmt: skip


# ---- containers that change ----


def test_a_dict_that_grows_while_its_keys_are_read() -> None:
    tree: dict[str, int] = {}

    class Growing:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            tree.update({f"new {i}": i for i in range(1000)})

    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()  # what other tests have left need not be looked at each time
    try:
        for _ in range(50):
            tree.clear()
            tree.update({f"key {i}": i for i in range(15)})
            gc.collect()
            Growing()
            gc.set_threshold(1)  # making the tuple of the keys then collects garbage
            try:
                nt.tree_leaves(tree)
            except RuntimeError as error:
                assert "changed its size" in str(error)
            finally:
                gc.set_threshold(*thresholds)
    finally:
        gc.unfreeze()


class Spy:
    """A node that looks at every object that the garbage collector knows when it is put together."""


class Record:
    """A node whose field does the same when it is read."""

    @property
    def first(self) -> int:
        return 1

    @property
    def second(self) -> int:
        look_around()
        return 2


def look_around() -> None:
    for thing in gc.get_objects():
        if type(thing) in (list, tuple) and len(thing) == 7:
            for item in thing:
                type(item)


def put_together(aux: Any, children: Any) -> Spy:
    look_around()
    return Spy()


nt.register_node(Spy, lambda spy: ((), None), put_together)
nt.register_dataclass(Record, (), ("first", "second", "first", "first", "first", "first", "first"))


def test_half_built_containers_are_not_seen() -> None:
    for tree in ([1, 2, Spy(), 3, 4, 5, 6], (1, 2, Spy(), 3, 4, 5, 6)):
        definition = nt.tree_structure(tree)
        assert len(definition.unflatten(range(6))) == 7
    nt.tree_structure(Record())


# ---- functions that replace themselves ----


def test_hooks_that_set_other_hooks(client: Any, put: Put) -> None:
    device = client.devices[0]

    def replace(result: Any, *args: Any) -> Any:
        nt.set_array_hooks(
            make_aval=print, make_sharding=print, default_device=lambda: device, assemble=print
        )
        gc.collect()
        return result

    x = put(np.ones(7, np.float32))
    for name, use, result in (
        ("make_aval", lambda: nt.array_with(x, weak_type=True).aval, "aval"),
        ("make_sharding", lambda: x.sharding, "sharding"),
        ("default_device", lambda: nt.array_from_pickle(np.ones(2), False, None).device, device),
    ):
        nt.set_array_hooks(**{name: functools.partial(replace, result)})
        assert use() == result

    def make_key(key: Any) -> Any:
        nt.set_key_classes(*[functools.partial(make_key)] * 4)
        return key

    before = nt.set_key_classes(*[functools.partial(make_key)] * 4)
    try:
        assert nt.tree_flatten_with_path([1, 2])[0] == [((0,), 1), ((1,), 2)]
    finally:
        nt.set_key_classes(*before)


def test_a_traceback_filter_that_replaces_itself() -> None:
    script = """
        import functools
        from anima import _native as nt
        def replace(result, traceback):
            nt.set_traceback_filter(functools.partial(replace, result))
            return result
        def fail():
            raise KeyError("mine")
        for result in (None, 3, ValueError, "text"):
            nt.set_traceback_filter(functools.partial(replace, result))
            try:
                nt.Boundary(fail)()
            except KeyError as error:
                print(error)
    """
    assert in_process(script) == "'mine'\n" * 4


# ---- donation ----


def test_equal_scalars_survive_the_donation_of_one(make: Maker) -> None:
    plan = make.plan(SCALAR_IN_PLACE, 1, [()], single=True, donate=(0,))
    assert [float(plan.execute([1.25])) for _ in range(3)] == [2.5] * 3
    assert float(make.put(1.25)) == 1.25
    executable = make.compile(SCALAR_IN_PLACE)
    for _ in range(3):
        x = nt.array_from_host(1.25, make.device)
        assert float(executable.execute([[x]], [((), F32, False)])[0][0]) == 2.5
        assert float(x) == 1.25


def test_a_donated_leaf_that_is_an_output_too(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,), (3,)], donate=(0,), forward=(0, -1))
    x = make.put([1, 2, 3])
    same, doubled = plan.execute([x])
    assert x.is_deleted()
    assert np.asarray(same).tolist() == [1, 2, 3] and np.asarray(doubled).tolist() == [2, 4, 6]


def test_a_run_that_fails_gives_donated_arrays_back(make: Maker) -> None:
    text = program("%0 = stablehlo.add %a0, %a0 : tensor<5xf32>\n%0", ["5xf32"], ["5xf32"])
    plan = make.plan(text, 1, [(5,)], donate=(0,))
    x = make.put([1, 2, 3])
    with pytest.raises(errors.XlaRuntimeError, match="size"):
        plan.execute([x])
    assert not x.is_deleted() and np.asarray(x).tolist() == [1, 2, 3]


# ---- arrays that are deleted meanwhile ----

READS: list[Callable[[Any], Any]] = [
    np.asarray, memoryview, lambda y: y.__dlpack__(), lambda y: y.tolist(), pickle.dumps, lambda y: y.item(0),
    lambda y: y.unsafe_buffer_pointer(), lambda y: y.block_until_ready(), lambda y: y.__copy__(),
    lambda y: nt.copy_to_device(y, y.device.client.devices[1]), lambda y: y.addressable_shards_data,
]  # fmt: skip


@pytest.mark.parametrize("read", READS)
def test_deleting_what_another_thread_waits_for(make: Maker, read: Callable[[Any], Any]) -> None:
    executable = make.compile(SLOW)
    x = make.put(np.eye(1200, dtype=np.float32))
    y = executable.execute([[x]], [((1200, 1200), F32, False)])[0][0]
    failures: list[Exception] = []

    def wait() -> None:
        try:
            read(y)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.005)
    y.delete()
    thread.join()
    assert not failures or isinstance(failures[0], errors.DeletedArrayError)


# ---- values that lie ----


def test_a_sharding_that_changes_its_mind(client: Any, put: Put) -> None:
    rows = Rows(*client.devices[:2])
    parts = [put(np.ones(2, np.float32), device) for device in range(2)]
    whole = nt.array_from_shards((4,), F32, False, rows, parts)
    huge = nt.array_with(whole, sharding=Rows(*client.devices[:2]))
    for array, count in ((whole, 1), (huge, 4)):
        array.sharding.parts = count
        with pytest.raises(ValueError, match="shards of an array are not of the shape"):
            _ = array.addressable_shards_data
    alone = Rows(client.devices[0])
    alone.parts = 1000
    nt.set_array_hooks(make_sharding=Rows)
    with pytest.raises(ValueError, match="one array of shape"):
        nt.array_from_shards((2000,), F32, False, alone, [put(np.ones(2, np.float32))])


class Shrinking:
    """An extended dtype that is stored otherwise from the third question on."""

    def __init__(self) -> None:
        self.asked = 0

    @property
    def physical_element(self) -> Any:
        self.asked += 1
        return ((2 if self.asked < 3 else 10**7,), np.dtype(np.uint32))


def test_an_extended_dtype_that_changes_its_mind(put: Put) -> None:
    with pytest.raises(ValueError, match="changed how it is stored"):
        nt.array_with(put(np.ones((1, 2), np.uint32)), dtype=Shrinking())


class Tensor(ctypes.Structure):
    """The head of a DLPack capsule."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p), ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
    ]  # fmt: skip


@pytest.mark.parametrize("offset", [0, 64])
def test_a_capsule_without_memory(client: Any, offset: int) -> None:
    shape = (ctypes.c_int64 * 1)(100)
    tensor = Tensor(None, 1, 0, 1, 2, 32, 1, ctypes.addressof(shape), None, offset, None, None)
    make_capsule = ctypes.pythonapi.PyCapsule_New
    make_capsule.restype, make_capsule.argtypes = (
        ctypes.py_object,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
    )
    capsule = make_capsule(ctypes.addressof(tensor), b"dltensor", None)
    with pytest.raises(BufferError, match="has no memory"):
        nt.from_dlpack_capsule(capsule, client.devices[0])


def test_result_shapes_that_are_fewer_than_they_say(client: Any, put: Put) -> None:
    class Lying(list[Any]):
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[Any]:
            return iter([])

    executable = client.compile(DOUBLE_IN_PLACE, ONE)
    x = put(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="0 out_avals given, the program has 1 results"):
        executable.execute([[x]], Lying([1]))
    with pytest.raises(TypeError, match=r"must hold \(shape, dtype, weak_type\), got 3"):
        executable.execute([[x]], [3])


def test_plans_for_more_leaves_than_memory_holds(client: Any) -> None:
    executable = client.compile(DOUBLE_IN_PLACE, ONE)
    with pytest.raises(ValueError, match="must be at most 16777216, got 1099511627776"):
        nt.CallPlan(executable, num_leaves=2**40, out_avals=[((3,), F32, False)])


def test_capsules_of_data_are_no_handlers(client: Any) -> None:
    with pytest.raises(ValueError, match="holds no function"):
        nt.register_ffi_handler(client, "nonsense", datetime.datetime_CAPI, "cpu")  # type: ignore[attr-defined]


# ---- the module, plugins, clients ----


def test_the_module_is_made_once() -> None:
    script = """
        import importlib, sys
        import anima._native as first
        importlib.reload(first)
        del sys.modules["anima._native"]
        try:
            import anima._native
        except ImportError as error:
            print(error)
    """
    assert "cannot be loaded twice" in in_process(script)
    assert importlib.import_module("anima._native") is nt


def test_paths_with_null_characters(plugin: Any) -> None:
    with pytest.raises(ValueError, match="null character"):
        nt.load_plugin(plugin.path + "\0more")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"cpu_device_count": 0}, ValueError, "between 1 and 4096, got 0"),
        ({"cpu_device_count": -1}, ValueError, "between 1 and 4096"),
        ({"cpu_device_count": 10**6}, ValueError, "between 1 and 4096"),
        ({"cpu_device_count": 2**64}, OverflowError, "too big|too large"),
        ({"cpu_device_count": "1"}, errors.XlaRuntimeError, "not of the type"),
        ({"cpu_device_count": True}, errors.XlaRuntimeError, "not of the type"),
        ({"a": [1, "b"]}, TypeError, r"option 'a' must be .* got \[1, 'b'\]"),
        ({1: 2}, TypeError, "name of an option must be a str, got 1"),
        ({"\ud800": 2}, UnicodeEncodeError, "surrogates"),
        ({"a": "\ud800"}, UnicodeEncodeError, "surrogates"),
    ],
)
def test_client_options_are_checked(plugin: Any, options: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        plugin.create_client(options)


# ---- bytes ----


@pytest.mark.parametrize("ordinal", [2**64 - 1, 2**32 - 1, 2**31, 2**63 + 2**31])
def test_negative_device_ordinals_are_refused(client: Any, ordinal: int) -> None:
    with pytest.raises(ValueError, match="device ordinal -"):
        client.compile(DOUBLE_IN_PLACE, encode_options(extra=number(1, ordinal)))


def test_counts_of_devices_must_be_numbers(client: Any) -> None:
    # Field 5, the number of partitions, as a string behind another number.
    options = message(3, number(4, 1) + number(20, 1) + message(5, b"x"))
    with pytest.raises(ValueError, match="must set num_replicas and num_partitions"):
        client.compile(DOUBLE_IN_PLACE, options)


def test_altered_executables_are_refused(client: Any, put: Put) -> None:
    data = client.compile(DOUBLE_IN_PLACE, ONE).serialize()
    for at in range(0, len(data), 97):
        altered = bytearray(data)
        altered[at] ^= 1
        with pytest.raises(errors.XlaRuntimeError, match="DATA_LOSS"):
            client.deserialize(bytes(altered))
    for part in (b"", data[:20], data[:-1], data + b"\0", data[24:]):
        with pytest.raises(errors.XlaRuntimeError, match="DATA_LOSS"):
            client.deserialize(part)
    loaded = client.deserialize(data)
    out = loaded.execute([[put(np.float32([1, 2, 3]))]], [((3,), F32, False)])
    assert np.asarray(out[0][0]).tolist() == [2, 4, 6]


# ---- several devices ----


def test_a_refused_launch_leaves_the_devices_usable(client: Any, put: Put) -> None:
    """XLA itself would make every later program on several devices wait for ever."""
    executable = client.compile(TOTAL, encode_options(partitions=2))
    scalar = [((), F32, False)]

    def total() -> list[float]:
        parts = [[put(np.float32([1, 2]), device)] for device in range(2)]
        return [float(part[0]) for part in executable.execute(parts, scalar)]

    assert total() == [6, 6]
    good, gone = put(np.float32([1, 2])), put(np.float32([1, 2]), 1)
    gone.delete()
    wrong: list[tuple[type[Exception], str, Any]] = [
        (ValueError, "0 arguments given, the program takes 1", [[], []]),
        (ValueError, r"argument 0 on CpuDevice\(id=1\) is f32\[3\], the program takes f32\[2\]",
         [[good], [put(np.float32([1, 2, 3]), 1)]]),
        (ValueError, r"is s32\[2\], the program takes f32\[2\]", [[good], [put(np.int32([1, 2]), 1)]]),
        (errors.DeletedArrayError, "deleted", [[good], [gone]]),
    ]  # fmt: skip
    for error, says, shards in wrong:
        with pytest.raises(error, match=says):
            executable.execute(shards, scalar)
        assert total() == [6, 6]
    plan = nt.CallPlan(
        executable,
        num_leaves=1,
        out_avals=[((), F32, False)],
        out_shardings=[Rows(*client.devices[:2])],
        single=True,
    )
    parts = [put(np.float32([[1, 2]]), device) for device in range(2)]
    whole = nt.array_from_shards((2, 2), F32, False, Rows(*client.devices[:2]), parts)
    with pytest.raises(ValueError, match=r"is f32\[1,2\], the program takes f32\[2\]"):
        plan.execute([whole])
    assert total() == [6, 6]

"""Arrays among each other: deletion, donation, sharing of buffers, several devices, garbage collection, threads.

Invariant tested here: what happens to one array leaves the contents of the others as they were.
"""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from anima import _native, errors
from tests.native.support import encode_options

Put = Callable[..., Any]
COUNT = 1 << 12
F32 = np.dtype(np.float32)
DOUBLE_IN_PLACE = f"""
module @double {{
  func.func public @main(%a: tensor<{COUNT}xf32> {{tf.aliasing_output = 0 : i32}}) -> tensor<{COUNT}xf32> {{
    %0 = stablehlo.add %a, %a : tensor<{COUNT}xf32>
    return %0 : tensor<{COUNT}xf32>
  }}
}}
"""


class Rows:
    """A stand-in for a sharding: rows over some devices."""

    def __init__(self, *devices: Any) -> None:
        self.devices = devices
        self.addressable_devices = set(devices)
        self.is_fully_addressable = True

    def shard_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0] // len(self.devices), *shape[1:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and self.devices == other.devices

    __hash__ = None  # type: ignore[assignment]


def join_rows(array: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in array.addressable_shards_data])


class Key:
    """A stand-in for an extended dtype: pairs of 32-bit words."""

    physical_element = ((2,), np.dtype(np.uint32))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key)

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "key<test>"


@pytest.fixture(autouse=True)
def stand_ins(client: Any) -> Iterator[None]:
    """Hooks that know the shared client only."""
    before = _native.array_hooks()
    _native.set_array_hooks(make_sharding=Rows, default_device=lambda: client.devices[0], assemble=join_rows)
    previous = _native.swap_thread_x64(0)
    yield
    _native.swap_thread_x64(previous)
    _native.set_array_hooks(**before)


@pytest.fixture
def double(client: Any) -> Callable[[Any], Any]:
    """Doubles an array of COUNT floats in its own memory, if that may be used."""
    executable = client.compile(DOUBLE_IN_PLACE, encode_options())

    def double(x: Any) -> Any:
        ((result,),) = executable.execute([[x]], [((COUNT,), F32, False)])
        return result

    return double


def ones(dtype: Any = np.float32) -> np.ndarray:
    return np.ones(COUNT, dtype)


# ---- deletion ----


def test_delete(put: Put) -> None:
    x = put(ones())
    assert not x.is_deleted()
    x.delete()
    x.delete()
    assert x.is_deleted() and x.shape == (COUNT,) and x.dtype == F32
    assert x.devices() == {x.device} == x.sharding.addressable_devices and x.is_fully_addressable
    uses: list[Callable[[], Any]] = [
        lambda: np.asarray(x),
        lambda: x.__array__(),
        lambda: x.block_until_ready(),
        lambda: x.is_ready(),
        lambda: x.addressable_shards_data,
        lambda: x.on_device_size_in_bytes(),
        lambda: x.unsafe_buffer_pointer(),
        lambda: x.tolist(),
        lambda: x.item(3),
        lambda: float(x),
        lambda: x.__index__(),
        lambda: x.__dlpack__(),
        lambda: x.__dlpack_device__(),
        lambda: pickle.dumps(x),
        lambda: copy.copy(x),
        lambda: _native.array_with(x, weak_type=True),
        lambda: _native.copy_to_device(x, put(1).device),
    ]
    for use in uses:
        with pytest.raises(errors.DeletedArrayError, match=r"the array of shape \(4096,\) and dtype float32"):
            use()


def test_delete_frees_memory_only_when_nobody_uses_it(put: Put) -> None:
    x = put(ones())
    y = _native.array_with(x, weak_type=True)
    (shard,) = x.addressable_shards_data
    assert y.unsafe_buffer_pointer() == shard.unsafe_buffer_pointer() == x.unsafe_buffer_pointer()
    x.delete()
    assert not y.is_deleted() and (np.asarray(y) == 1).all() and (np.asarray(shard) == 1).all()


def test_block_until_ready_returns_the_array(put: Put) -> None:
    x = put(ones())
    assert x.block_until_ready() is x and x.is_ready()


# ---- donation ----


@pytest.mark.parametrize(
    "source",
    [ones(), ones(np.float64), np.ones(2 * COUNT, np.float32)[::2], np.ones(2 * COUNT)[::-2], ones(">f4")],
)
def test_transferred_arrays_can_be_donated(
    put: Put, double: Callable[[Any], Any], source: np.ndarray
) -> None:
    x = put(source)
    place = x.unsafe_buffer_pointer()
    y = double(x)
    assert x.is_deleted() and y.unsafe_buffer_pointer() == place and (np.asarray(y) == 2).all()
    assert (source == 1).all()


@pytest.mark.parametrize("count", [COUNT, 1 << 16])
@pytest.mark.parametrize("dtype", [np.float64, ">f4"])
def test_converted_memory_is_handed_over(client: Any, put: Put, count: int, dtype: Any) -> None:
    program = DOUBLE_IN_PLACE.replace(str(COUNT), str(count))
    executable = client.compile(program, encode_options())
    source = np.ones(count, dtype)
    x = put(source)
    place = x.unsafe_buffer_pointer()
    ((y,),) = executable.execute([[x]], [((count,), F32, False)])
    assert y.unsafe_buffer_pointer() == place and (np.asarray(y) == 2).all() and (source == 1).all()


def test_shared_memory_survives_donation(client: Any, double: Callable[[Any], Any]) -> None:
    memory = _native.aligned_empty((COUNT,), np.float32)
    memory[:] = 1
    x = _native.array_from_host(memory, client.devices[0], copy=None)
    y = double(x)
    assert (np.asarray(y) == 2).all() and (memory == 1).all()


@pytest.mark.parametrize(
    "look", [np.asarray, memoryview, lambda x: x.__array__(), lambda x: np.from_dlpack(x)]
)
def test_views_survive_donation(put: Put, double: Callable[[Any], Any], look: Callable[[Any], Any]) -> None:
    x = put(ones())
    view = look(x)
    y = double(x)
    assert (np.asarray(view) == 1).all() and (np.asarray(y) == 2).all()
    del view
    gc.collect()
    place = y.unsafe_buffer_pointer()
    assert double(y).unsafe_buffer_pointer() == place, "once the view is gone the memory is free again"


def test_reading_does_not_prevent_donation(put: Put, double: Callable[[Any], Any]) -> None:
    x = put(ones())
    place = x.unsafe_buffer_pointer()
    assert np.asarray(x).sum() == COUNT and x.tolist()[0] == 1 and bytes(x)
    assert double(x).unsafe_buffer_pointer() == place


# ---- arrays made from arrays ----


def test_array_with(put: Put) -> None:
    x = put(np.array([1.0, -1.0], np.float32))
    y = _native.array_with(x, weak_type=True, committed=True)
    assert (y.weak_type, y.committed, x.weak_type, x.committed) == (True, True, False, False)
    bits = _native.array_with(x, dtype=np.uint32)
    assert bits.dtype == np.uint32 and bits.tolist() == [0x3F800000, 0xBF800000]
    assert _native.array_with(bits, dtype=np.float32).tolist() == [1, -1]
    for dtype in (np.float64, np.int16, bool, ml_dtypes.int4):
        with pytest.raises(ValueError, match="without a conversion"):
            _native.array_with(x, dtype=dtype)
    with pytest.raises(ValueError, match="without a conversion"):
        _native.array_with(put(np.arange(3, dtype=np.uint8)), dtype=bool)
    with pytest.raises(TypeError, match="must be an ArrayImpl"):
        _native.array_with(np.ones(3))


def test_extended_dtypes(put: Put) -> None:
    words = put(np.arange(6, dtype=np.uint32).reshape(3, 2))
    keys = _native.array_with(words, dtype=Key())
    assert (keys.shape, keys.dtype, keys.size, keys.itemsize, keys.nbytes) == ((3,), Key(), 3, 8, 24)
    assert keys.aval is _native.array_with(words, dtype=Key()).aval
    assert _native.array_with(keys, dtype=np.uint32).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert _native.array_from_host(np.zeros((4, 2), np.uint32), words.device, dtype=Key()).shape == (4,)
    assert len(copy.deepcopy(keys)) == 3
    restored = pickle.loads(pickle.dumps(keys))
    assert restored.dtype == Key() and _native.array_with(restored, dtype=np.uint32).tolist()[2] == [4, 5]
    for use in (np.asarray, float, lambda k: k.tolist(), lambda k: k.item(0), lambda k: k.__array__()):
        with pytest.raises(TypeError, match=r"random\.key_data|only scalar arrays"):
            use(keys)
    with pytest.raises(BufferError):
        memoryview(keys)
    with pytest.raises(BufferError):
        keys.__dlpack__()
    with pytest.raises(ValueError, match="are not an element of key<test>"):
        _native.array_with(put(np.zeros((2, 3), np.uint32)), dtype=Key())
    with pytest.raises(TypeError, match="is stored as uint32, not as float32"):
        _native.array_with(put(np.zeros((3, 2), np.float32)), dtype=Key())


@pytest.mark.parametrize("dtype", [np.float32, bool, ml_dtypes.bfloat16, ml_dtypes.int4, np.complex64])
@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_independent(put: Put, dtype: Any, clone: Callable[[Any], Any]) -> None:
    x = _native.array_with(put(np.ones((2, 3), dtype)), weak_type=True)
    y = clone(x)
    assert (y.shape, y.dtype, y.weak_type) == (x.shape, x.dtype, True)
    assert y.unsafe_buffer_pointer() != x.unsafe_buffer_pointer()
    x.delete()
    assert (np.asarray(y).astype(np.complex64) == 1).all()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_protocols(put: Put, protocol: int) -> None:
    for value in (np.arange(6.0, dtype=np.float32).reshape(2, 3), np.float32(1), np.ones((0, 2), np.int32)):
        y = pickle.loads(pickle.dumps(put(value), protocol))
        np.testing.assert_array_equal(np.asarray(y), value)
        assert not y.committed


def test_copy_to_device(client: Any, put: Put) -> None:
    x = put(ones())
    for target in client.devices[:2]:
        y = _native.copy_to_device(x, target)
        assert y.device is target and y.committed and y.unsafe_buffer_pointer() != x.unsafe_buffer_pointer()
        assert (np.asarray(y) == 1).all()


# ---- several devices ----


def test_shards(client: Any, put: Put) -> None:
    first, second = client.devices[:2]
    rows = Rows(first, second)
    parts = [put(np.full((2, 3), i, np.float32), device=i) for i in (0, 1)]
    x = _native.array_from_shards((4, 3), np.float32, False, rows, parts)
    assert (x.shape, x.sharding, x.device, x.committed) == ((4, 3), rows, rows, True)
    assert x.devices() == {first, second} and x.is_fully_addressable is True
    assert [s.device for s in x.addressable_shards_data] == [first, second]
    assert [s.shape for s in x.addressable_shards_data] == [(2, 3), (2, 3)]
    assert np.asarray(x).tolist() == [[0] * 3] * 2 + [[1] * 3] * 2
    assert np.asarray(x).ctypes.data == np.asarray(x).ctypes.data, "what was put together is kept"
    assert not np.asarray(x).flags.writeable and memoryview(x).shape == (4, 3)
    assert x.on_device_size_in_bytes() == 48 and x.is_ready() and x.block_until_ready() is x
    y = copy.deepcopy(x)
    assert y.sharding == rows and y.devices() == x.devices()
    assert _native.copy_to_device(x, second).tolist() == x.tolist()
    with pytest.raises(ValueError, match="one shard"):
        x.unsafe_buffer_pointer()
    with pytest.raises(BufferError, match="2 shards"):
        x.__dlpack_device__()
    x.delete()
    assert x.devices() == {first, second} and x.sharding == rows
    assert x.is_deleted() and not parts[0].is_deleted() and y.tolist()[3] == [1, 1, 1]


def test_one_shard_is_a_single_device_array(put: Put) -> None:
    part = put(np.ones((4, 3), np.float32))
    x = _native.array_from_shards([4, 3], "float32", True, Rows(part.device), (part,))
    assert x.device is part.device and x.weak_type and x.sharding == Rows(part.device)


def test_shards_that_do_not_fit(client: Any, put: Put) -> None:
    rows = Rows(*client.devices[:2])
    one, two = put(np.ones((2, 3), np.float32)), put(np.ones((2, 3), np.float32), device=1)
    whole = _native.array_from_shards((4, 3), F32, False, rows, [one, two])
    gone = put(np.ones((2, 3), np.float32), device=1)
    gone.delete()
    cases: list[tuple[type[Exception], str, list[Any]]] = [
        (ValueError, "1 arrays given", [one]),
        (ValueError, "at least one", []),
        (ValueError, "a second one on", [one, one]),
        (ValueError, "no device of the sharding", [one, put(np.ones((2, 3), np.float32), device=2)]),
        (ValueError, r"has shape \(3, 2\), its share of the whole is \(2, 3\)",
         [one, put(np.ones((3, 2), np.float32), device=1)]),
        (TypeError, "has dtype int32, the whole array float32", [one, put(np.ones((2, 3), np.int32), device=1)]),
        (TypeError, r"arrays\[1\] must be an ArrayImpl, got numpy.ndarray", [one, np.ones((2, 3))]),
        (ValueError, "has 2 shards", [whole, two]),
        (errors.DeletedArrayError, "deleted", [one, gone]),
    ]  # fmt: skip
    for error, says, arrays in cases:
        with pytest.raises(error, match=says):
            _native.array_from_shards((4, 3), F32, False, rows, arrays)
    with pytest.raises(TypeError, match="sequence"):
        _native.array_from_shards((4, 3), F32, False, rows, 3)
    with pytest.raises(AttributeError):
        _native.array_from_shards((4, 3), F32, False, "rows", [one, two])


def test_single_device_sharding_is_made_once(put: Put) -> None:
    x, y = put(1.0), put(ones())
    assert x.sharding is y.sharding and x.sharding == Rows(x.device)


def test_hooks_that_fail(client: Any, put: Put) -> None:
    with pytest.raises(TypeError, match="`assemble` must be callable"):
        _native.set_array_hooks(assemble=3)
    _native.set_array_hooks(
        assemble=lambda array: 3, make_sharding=lambda device: 1 / 0, default_device=lambda: None
    )
    rows = Rows(*client.devices[:2])
    parts = [put(np.ones((2, 3), np.float32), device=i) for i in (0, 1)]
    with pytest.raises(TypeError, match="must return a numpy array"):
        _native.array_from_shards((4, 3), F32, False, rows, parts).__array__()
    with pytest.raises(ZeroDivisionError):
        _ = parts[0].sharding
    with pytest.raises(TypeError, match="must be a Device"):
        pickle.loads(pickle.dumps(parts[0]))


# ---- life and death ----


def test_live_arrays(put: Put) -> None:
    x = put(ones())
    assert any(y is x for y in _native.live_arrays())
    count = len(_native.live_arrays())
    y = put(ones())
    assert len(_native.live_arrays()) == count + 1
    y.delete()
    assert len(_native.live_arrays()) == count
    del x, y
    assert len(_native.live_arrays()) == count - 1


def test_weak_references(put: Put) -> None:
    x = put(1.0)
    seen: list[int] = []
    reference = weakref.ref(x, lambda _: seen.append(len(_native.live_arrays())))
    assert reference() is x
    count = len(_native.live_arrays())
    del x
    assert reference() is None and seen == [count - 1]


def test_cycles_are_collected(client: Any, put: Put) -> None:
    class Loop(Rows):
        array: Any = None

    loop = Loop(*client.devices[:2])
    parts = [put(np.ones((2, 3), np.float32), device=i) for i in (0, 1)]
    loop.array = _native.array_from_shards((4, 3), F32, False, loop, parts)
    assert gc.is_tracked(loop.array)
    gone = weakref.ref(loop), weakref.ref(loop.array)
    del loop
    gc.collect()
    assert [g() for g in gone] == [None, None]


def test_attributes_can_be_set_on_the_type_only(put: Put) -> None:
    x = put(1.0)
    kind = type(x)
    kind.test_method = lambda self: self.item() + 1
    try:
        assert x.test_method() == 2
    finally:
        del kind.test_method
    with pytest.raises(AttributeError):
        x.other = 3
    with pytest.raises(AttributeError):
        x.shape = (1,)
    assert not hasattr(x, "__dict__")


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_nothing_leaks(put: Put) -> None:
    big = np.ones(1 << 20, np.float32)

    def work() -> None:
        x = put(big)
        views = [np.asarray(x), memoryview(x), x.__array__(np.float64), np.from_dlpack(x)]
        y = _native.array_with(copy.copy(x), weak_type=True)
        z = pickle.loads(pickle.dumps(y))
        memory = _native.aligned_empty((1 << 20,), np.float32)
        shared = _native.array_from_host(memory, x.device, copy=None)
        foreign = _native.from_dlpack_capsule(np.ones(1 << 20, np.float32).__dlpack__(), x.device)
        put(big.astype(np.float64)), put(big[::-1]), put(big.astype(ml_dtypes.int4)).tolist()
        for value in (x, y, z, shared, foreign):
            value.block_until_ready()
        del views

    for _ in range(5):
        work()
    gc.collect()
    before, arrays = resident_bytes(), len(_native.live_arrays())
    for _ in range(25):
        work()
    gc.collect()
    assert len(_native.live_arrays()) == arrays
    assert resident_bytes() - before < 40 << 20, "less than a tenth of what 25 rounds allocate"


def test_threads(put: Put) -> None:
    stop = time.monotonic() + 1.0
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            while time.monotonic() < stop:
                value = rng.integers(0, 9, (int(rng.integers(1, 40)), 1000))
                x = put(value)
                assert int(np.asarray(x).sum()) == int(value.sum())
                assert put(float(value[0, 0])).item() == value[0, 0]
                x.delete()
                _native.live_arrays()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

"""DLPack: memory passed to other libraries and taken from them.

Invariant tested here: each side's memory lives as long as the other needs it and is released once; what cannot be
passed raises BufferError and leaves the capsule usable.
"""

from __future__ import annotations

import ctypes
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from anima import _native

Put = Callable[..., Any]
TYPES = [
    np.bool_,
    np.int8,
    np.int16,
    np.int32,
    np.uint8,
    np.uint16,
    np.uint32,
    np.float16,
    np.float32,
    np.complex64,
]

_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", Tensor),
    ]  # fmt: skip


def plain(capsule: Any) -> Tensor:
    return Tensor.from_address(_pointer(capsule, b"dltensor"))


def versioned(capsule: Any) -> Versioned:
    return Versioned.from_address(_pointer(capsule, b"dltensor_versioned"))


def take(array: Any, **options: Any) -> Any:
    return _native.from_dlpack_capsule(array.__dlpack__(), **options)


def aligned(shape: Any, dtype: Any = np.float32) -> np.ndarray:
    """Dense aligned memory that is not known to be ours: NumPy's DLPack needs a writeable array."""
    count = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    memory = np.zeros(count + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + count].view(dtype).reshape(shape)


@pytest.fixture(autouse=True)
def device(client: Any) -> Iterator[Any]:
    before = _native.array_hooks()
    _native.set_array_hooks(default_device=lambda: client.devices[0])
    previous = _native.swap_thread_x64(0)
    yield client.devices[0]
    _native.swap_thread_x64(previous)
    _native.set_array_hooks(**before)


# ---- out ----


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
def test_numpy_reads_ours(put: Put, dtype: Any, shape: tuple[int, ...]) -> None:
    value = np.ones(shape, dtype)
    x = put(value)
    assert x.__dlpack_device__() == (1, 0)
    view = np.from_dlpack(x)
    np.testing.assert_array_equal(view, value)
    assert view.dtype == dtype
    if value.size:
        assert not view.flags.writeable and view.ctypes.data == x.unsafe_buffer_pointer()
        del x
        gc.collect()
        np.testing.assert_array_equal(view, value)


def test_versions(put: Put) -> None:
    x = put(np.ones((2, 3), np.float32))
    old = x.__dlpack__()
    assert _name(old) == b"dltensor" and _name(x.__dlpack__(max_version=(0, 8))) == b"dltensor"
    tensor = plain(old)
    assert (tensor.device_type, tensor.ndim, tensor.code, tensor.bits, tensor.lanes) == (1, 2, 2, 32, 1)
    assert (
        tensor.shape[:2] == [2, 3]
        and tensor.strides[:2] == [3, 1]
        and tensor.data == x.unsafe_buffer_pointer()
    )
    new = x.__dlpack__(stream=None, max_version=(1, 3), dl_device=(1, 0), copy=False)
    assert (versioned(new).major, versioned(new).flags) == (1, 1), "read-only"


def test_copies_are_the_consumers_own(put: Put) -> None:
    x = put(np.ones(3, np.float32))
    capsule = x.__dlpack__(max_version=(1, 0), copy=True)
    assert versioned(capsule).flags == 2 and versioned(capsule).tensor.data != x.unsafe_buffer_pointer()
    view = np.from_dlpack(x, copy=True)
    view[0] = 5
    assert x.tolist() == [1, 1, 1]


def test_bfloat16_and_float8(put: Put) -> None:
    assert plain(put(np.ones(2, ml_dtypes.bfloat16)).__dlpack__()).code == 4
    assert plain(put(np.ones(2, ml_dtypes.float8_e5m2)).__dlpack__()).code == 12
    back = take(put(np.array([1.5, -2], ml_dtypes.bfloat16)))
    assert back.dtype == ml_dtypes.bfloat16 and back.tolist() == [1.5, -2]


def test_what_cannot_go_out(put: Put) -> None:
    x = put(np.ones(3, np.float32))
    with pytest.raises(BufferError, match="no form for dtype int4"):
        put(np.ones(3, ml_dtypes.int4)).__dlpack__()
    with pytest.raises(BufferError, match="device_put"):
        x.__dlpack__(dl_device=(2, 0))
    for options, says in [
        ({"dl_device": "cpu"}, "dl_device"),
        ({"max_version": 1}, "max_version"),
        ({"typo": 1}, "typo"),
    ]:
        with pytest.raises(TypeError, match=says):
            x.__dlpack__(**options)
    with pytest.raises(TypeError, match="keyword"):
        x.__dlpack__(None)


def test_capsules_that_nobody_takes_are_released(put: Put) -> None:
    x = put(np.ones(1 << 20, np.float32))
    for _ in range(100):
        x.__dlpack__()
        x.__dlpack__(max_version=(1, 0), copy=True)
    assert (np.asarray(x) == 1).all()


# ---- in ----


@pytest.mark.parametrize("dtype", [*TYPES, np.int64, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
def test_ours_reads_numpy(dtype: Any, shape: tuple[int, ...]) -> None:
    value = np.ones(shape, dtype)
    x = take(value)
    np.testing.assert_array_equal(np.asarray(x), value)
    assert x.shape == shape and not x.weak_type
    assert x.dtype == {"int64": np.int32, "float64": np.float32}.get(np.dtype(dtype).name, dtype)


def test_aligned_memory_is_shared(device: Any) -> None:
    memory = aligned((8, 16))
    x = take(memory)
    assert x.unsafe_buffer_pointer() == memory.ctypes.data and not x.committed
    assert take(memory, device=device).committed
    assert take(memory, copy=True).unsafe_buffer_pointer() != memory.ctypes.data
    assert take(memory, copy=False).unsafe_buffer_pointer() == memory.ctypes.data


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (aligned((8, 16)).T, "row-major"),
        (aligned((8, 16))[:, ::2], "row-major"),
        (aligned((8, 16))[::-1], "row-major"),
        (aligned((80,))[1:], "aligned"),
        (aligned((8,), np.int64), "64-bit mode"),
    ],
)
def test_other_memory_is_copied(view: np.ndarray, says: str) -> None:
    view[...] = np.arange(view.size).reshape(view.shape)
    with pytest.raises(BufferError, match=says):
        take(view, copy=False)
    x = take(view)
    expected = view.tolist()
    view[...] = 0
    assert x.tolist() == expected


def test_the_producer_is_released_when_the_array_is_gone(put: Put) -> None:
    class Watched(np.ndarray):
        pass

    memory = aligned((64,)).view(Watched)
    gone = weakref.ref(memory)
    memory[:] = 3
    x = take(memory)
    del memory
    gc.collect()
    assert gone() is not None and (np.asarray(x) == 3).all()
    view = np.asarray(x)
    del x
    put(1)
    gc.collect()
    assert gone() is not None and (view == 3).all()
    del view
    put(np.ones(3))
    assert gone() is None


def test_other_devices(client: Any) -> None:
    x = take(aligned((4,)), device=client.devices[1])
    assert x.device is client.devices[1]


def test_round_trip(put: Put) -> None:
    x = put(np.arange(6, dtype=np.float32))
    for version in (None, (1, 1)):
        y = _native.from_dlpack_capsule(x.__dlpack__(max_version=version))
        assert y.unsafe_buffer_pointer() == x.unsafe_buffer_pointer() and y.tolist() == x.tolist()
        y.delete()
    x.delete()


def test_capsules_are_used_once(put: Put) -> None:
    capsule = put(np.ones(3, np.float32)).__dlpack__()
    _native.from_dlpack_capsule(capsule)
    with pytest.raises(ValueError, match=r"used_dltensor.*once only"):
        _native.from_dlpack_capsule(capsule)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("device_type", 2, r"DLPack device \(2, 0\)"),
        ("code", 3, "type code 3"),
        ("bits", 24, "24 bits"),
        ("lanes", 4, "4 lanes"),
        ("ndim", -1, "-1 dimensions"),
        ("ndim", 1000, "1000 dimensions"),
    ],
)
def test_what_cannot_come_in(put: Put, field: str, value: int, says: str) -> None:
    capsule = put(np.ones(3, np.float32)).__dlpack__()
    tensor = plain(capsule)
    before = getattr(tensor, field)
    setattr(tensor, field, value)
    with pytest.raises(BufferError, match=says):
        _native.from_dlpack_capsule(capsule)
    setattr(tensor, field, before)
    assert _native.from_dlpack_capsule(capsule).tolist() == [1, 1, 1], "a refused capsule stays usable"


def test_wrong_arguments(put: Put) -> None:
    with pytest.raises(TypeError, match="must be a DLPack capsule"):
        _native.from_dlpack_capsule(3)
    capsule = put(np.ones(3, np.float32)).__dlpack__(max_version=(1, 0))
    versioned(capsule).major = 2
    with pytest.raises(BufferError, match="version 2"):
        _native.from_dlpack_capsule(capsule)
    versioned(capsule).major = 1


def test_byte_offset(put: Put) -> None:
    capsule = put(np.arange(4, dtype=np.float32)).__dlpack__()
    plain(capsule).byte_offset = 4
    plain(capsule).shape[0] = 3
    assert _native.from_dlpack_capsule(capsule).tolist() == [1, 2, 3]

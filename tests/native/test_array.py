"""Arrays: values in and out of them, and how they live and die.

Invariant tested here: contents never change after construction, whatever happens to the NumPy array they came from,
to other arrays of the same memory, or to the views of them; misuse raises an error that says what to do.
"""

from __future__ import annotations

import enum
import gc
import struct
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from anima import _native, errors

Put = Callable[..., Any]

NUMBERS = [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32, np.float16, np.float32, np.complex64]
WIDE = {np.int64: np.int32, np.uint64: np.uint32, np.float64: np.float32, np.complex128: np.complex64}
SMALL = [ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.int2, ml_dtypes.uint2]
EXTRA = [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]


@pytest.fixture(autouse=True)
def x64_off() -> Iterator[None]:
    previous = _native.swap_thread_x64(0)
    yield
    _native.swap_thread_x64(previous)


@pytest.fixture
def x64() -> Iterator[None]:
    previous = _native.swap_thread_x64(1)
    yield
    _native.swap_thread_x64(previous)


@pytest.fixture
def device(client: Any) -> Any:
    return client.devices[0]


@pytest.fixture
def host(device: Any) -> Put:
    """array_from_host on the first device."""
    return lambda value, **options: _native.array_from_host(value, device, **options)


# ---- values in ----


@pytest.mark.parametrize(
    ("value", "dtype", "weak"),
    [
        (True, np.bool_, False),
        (False, np.bool_, False),
        (0, np.int32, True),
        (-(2**31), np.int32, True),
        (2**31 - 1, np.int32, True),
        (1.5, np.float32, True),
        (float("inf"), np.float32, True),
        (1e300, np.float32, True),
        (1 - 2j, np.complex64, True),
        (np.float32(2.5), np.float32, False),
        (np.float64(2.5), np.float32, False),
        (np.int64(-3), np.int32, False),
        (np.uint64(2**32 + 1), np.uint32, False),
        (np.complex128(1j), np.complex64, False),
        (np.bool_(True), np.bool_, False),
        (np.float16(0.5), np.float16, False),
        (ml_dtypes.bfloat16(3), ml_dtypes.bfloat16, False),
        (ml_dtypes.int4(-3), ml_dtypes.int4, False),
        (np.array(7, ">i4"), np.int32, False),
        (np.array(7.0), np.float32, False),
    ],
)
def test_scalars(host: Put, value: Any, dtype: Any, weak: bool) -> None:
    x = host(value)
    assert (x.shape, x.dtype, x.weak_type) == ((), np.dtype(dtype), weak)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(value).astype(dtype))
    aval = _native.aval_of_host_value(value)
    assert (aval.shape, aval.dtype, aval.weak_type) == ((), np.dtype(dtype), weak)


def test_scalars_in_64_bit_mode(host: Put, x64: None) -> None:
    for value, dtype in [
        (2**62, np.int64),
        (0.1, np.float64),
        (1j, np.complex128),
        (np.int64(2**40), np.int64),
    ]:
        x = host(value)
        assert x.dtype == dtype and x.item() == value
    with pytest.raises(OverflowError, match="too large for int64"):
        host(2**63)


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**32, 2**40, 10**30, 10**6000], ids=range(6))
def test_large_ints_raise(host: Put, value: int) -> None:
    with pytest.raises(OverflowError, match="too large for int32: enable 64-bit mode or pass a"):
        host(value)
    with pytest.raises(OverflowError):
        _native.aval_of_host_value(value)


def test_large_int_message(host: Put) -> None:
    with pytest.raises(OverflowError) as caught:
        host(3000000000)
    assert str(caught.value) == (
        "Python int 3000000000 is too large for int32: enable 64-bit mode or pass a NumPy uint32"
    )


def test_subclasses_of_numbers(host: Put) -> None:
    class Level(enum.IntEnum):
        LOW = 3

    class Metre(float):
        pass

    assert host(Level.LOW).item() == 3 and host(Level.LOW).weak_type
    assert host(Metre(2.5)).item() == 2.5 and host(Metre(2.5)).weak_type


def test_equal_scalars_do_not_disturb_each_other(host: Put) -> None:
    first, second = host(1.25), host(1.25)
    first.delete()
    assert first.is_deleted() and second.item() == 1.25 and host(1.25).item() == 1.25
    zero, negative = host(0.0), host(-0.0)
    assert str(zero.item()) == "0.0" and str(negative.item()) == "-0.0"
    assert host(1).dtype == np.int32 and host(1.0).dtype == np.float32 and host(True).dtype == np.bool_


@pytest.mark.parametrize("dtype", [np.bool_, *NUMBERS, *EXTRA, *SMALL])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (2, 0, 3), (0,)])
def test_arrays_of_every_dtype(host: Put, dtype: Any, shape: tuple[int, ...]) -> None:
    value = (np.arange(np.prod(shape, dtype=int)) % 2).astype(dtype).reshape(shape)
    x = host(value)
    assert (x.shape, x.dtype, x.weak_type) == (shape, np.dtype(dtype), False)
    assert (x.ndim, x.size, x.nbytes, x.itemsize) == (value.ndim, value.size, value.nbytes, value.itemsize)
    back = np.asarray(x)
    assert back.dtype == value.dtype
    np.testing.assert_array_equal(back.astype(np.complex64), value.astype(np.complex64))
    np.testing.assert_array_equal(np.array(x.tolist()).reshape(shape), value.astype(np.complex64))


def test_signed_small_integers_keep_their_sign(host: Put) -> None:
    values = np.arange(-8, 8).astype(ml_dtypes.int4)
    x = host(values)
    assert x.tolist() == list(range(-8, 8))
    assert x.on_device_size_in_bytes() == 8


@pytest.mark.parametrize("wide", WIDE)
@pytest.mark.parametrize("count", [3, 20_000])
def test_wide_dtypes_narrow(host: Put, wide: Any, count: int) -> None:
    value = (np.arange(count) * 1_000_000_007).astype(wide)
    x = host(value)
    assert x.dtype == WIDE[wide]
    np.testing.assert_array_equal(np.asarray(x), value.astype(WIDE[wide]))
    assert host(value, dtype=wide).dtype == wide, "a dtype that is asked for is given"


@pytest.mark.parametrize("wide", WIDE)
def test_wide_dtypes_stay_in_64_bit_mode(host: Put, x64: None, wide: Any) -> None:
    value = (np.arange(5) * 1_000_000_007).astype(wide)
    assert host(value).dtype == wide
    np.testing.assert_array_equal(np.asarray(host(value)), value)


BASE = np.arange(5000 * 24, dtype=np.float32).reshape(5000, 2, 3, 4)


@pytest.mark.parametrize(
    "view",
    [
        BASE[::2],
        BASE[::-1, :, ::-1],
        BASE.T,
        np.swapaxes(BASE, 0, 2),
        BASE[3:4, 1, :, 2],
        np.asfortranarray(BASE),
        np.broadcast_to(BASE[:1], (3, 2, 3, 4)),
        BASE.astype(">f4"),
        BASE.astype(">f8")[::-1],
        BASE.astype(np.int64)[:, ::-1],
        np.frombuffer(b"\0" + BASE.tobytes(), np.uint8)[1:].view(np.float32),  # not aligned to its own size
        np.lib.stride_tricks.as_strided(BASE, (3, 4), (4, 8)),
        BASE.view(np.recarray),
    ],
)
def test_any_layout(host: Put, view: np.ndarray) -> None:
    x = host(view)
    expected = np.asarray(view).astype(view.dtype.newbyteorder("="))
    np.testing.assert_array_equal(np.asarray(x), expected)
    assert x.shape == view.shape


@pytest.mark.parametrize("count", [4, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">i4"])
def test_sources_may_change_afterwards(host: Put, count: int, dtype: Any) -> None:
    source = np.ones(count, dtype)
    for value in (source, source[::-1]):
        source[:] = 1
        x = host(value)
        source[:] = 2
        assert (np.asarray(x) == 1).all()
    assert source.flags.writeable


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.array(["a"]), "text"),
        (np.array([None]), "Python objects"),
        (np.array([1], "M8[s]"), "dates"),
        (np.array([1], np.longdouble), "extended precision"),
        (np.array([(1, 2)], "i4,i4"), "not a valid array type"),
        (np.str_("a"), "text"),
        (np.datetime64("2020"), "dates"),
        (np.longdouble(1), "extended precision"),
    ],
)
def test_other_dtypes_raise(host: Put, value: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        host(value)


def test_masked_arrays_raise(host: Put) -> None:
    import numpy.ma

    with pytest.raises(TypeError, match=r"\.filled\(\)"):
        host(numpy.ma.array([1, 2], mask=[True, False]))


@pytest.mark.parametrize("value", ["a", None, [1], (1,), object(), {}])
def test_other_objects_raise(host: Put, value: Any) -> None:
    with pytest.raises(TypeError, match=r"numpy\.asarray"):
        host(value)
    assert _native.aval_of_host_value(value) is None


def test_wrong_arguments_raise(host: Put, device: Any) -> None:
    with pytest.raises(TypeError, match="`device` must be a Device"):
        _native.array_from_host(1, "cpu")
    with pytest.raises(TypeError, match="needs the argument 'device'"):
        _native.array_from_host(1)
    with pytest.raises(TypeError, match="`copy` must be"):
        host(1, copy=3)
    with pytest.raises(TypeError, match="no parameter 'typo'"):
        host(1, typo=3)
    with pytest.raises(TypeError, match="cannot create"):
        type(host(1))()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(1, np.float32), (2.5, np.int8), (np.arange(3), np.float64), (np.arange(3.0), ml_dtypes.bfloat16)],
)
def test_dtype_argument(host: Put, value: Any, dtype: Any) -> None:
    x = host(value, dtype=dtype)
    assert x.dtype == dtype and not x.weak_type
    np.testing.assert_array_equal(np.asarray(x), np.asarray(value).astype(dtype))


def test_weak_type_and_committed(host: Put) -> None:
    assert host(1.0, weak_type=False).weak_type is False
    assert host(np.float32(1), weak_type=True).weak_type is True
    assert host(np.ones(2, np.float32), weak_type=True).weak_type is True
    assert host(1.0).committed is False and host(1.0, committed=True).committed is True


# ---- avals ----


def test_avals_are_shared(host: Put) -> None:
    x, y = host(np.ones((3, 2), np.float32)), host(np.zeros((3, 2)))
    assert x.aval is y.aval and x.shape is y.shape
    assert host(np.ones((3, 2), np.float32), weak_type=True).aval is not x.aval


def test_many_shapes(host: Put) -> None:
    arrays = [host(np.ones((1, n), np.int8)) for n in range(1500)]
    assert [a.shape for a in arrays] == [(1, n) for n in range(1500)]
    again = [host(np.ones((1, n), np.int8)) for n in range(1500)]
    assert all(a.aval is b.aval for a, b in zip(arrays, again, strict=True))


def test_register_dtype(host: Put) -> None:
    _native.register_dtype(11, np.dtype(np.float32))
    with pytest.raises(ValueError, match="already stands for"):
        _native.register_dtype(11, np.dtype(np.float64))
    with pytest.raises(ValueError, match="unknown PJRT element type"):
        _native.register_dtype(60, np.dtype(np.float64))
    with pytest.raises(TypeError, match=r"must be a numpy\.dtype"):
        _native.register_dtype(11, np.float32)


# ---- our own memory ----


def test_aligned_memory_is_shared(host: Put) -> None:
    memory = _native.aligned_empty((1000, 3), np.float32)
    assert memory.shape == (1000, 3) and memory.dtype == np.float32 and memory.flags.writeable
    assert memory.ctypes.data % 64 == 0
    memory[:] = 5
    x = host(memory, copy=None)
    assert x.unsafe_buffer_pointer() == memory.ctypes.data
    assert not memory.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        memory.flags.writeable = True
    del memory
    gc.collect()
    assert (np.asarray(x) == 5).all()


def test_reshaped_aligned_memory_is_shared(host: Put) -> None:
    memory = _native.aligned_empty((64, 2), np.float32)
    x = host(memory.reshape(2, 64), copy=None)
    assert x.unsafe_buffer_pointer() == memory.ctypes.data and not memory.flags.writeable


def test_parts_of_aligned_memory_are_copied(host: Put) -> None:
    memory = _native.aligned_empty((64, 16), np.float32)
    memory[:] = 1
    x = host(memory[:8], copy=None)
    memory[:] = 2
    assert (np.asarray(x) == 1).all()
    shared = host(memory[4:8], copy=False)
    assert shared.unsafe_buffer_pointer() == memory[4:8].ctypes.data and not memory.flags.writeable


def test_copy_argument(host: Put) -> None:
    memory = _native.aligned_empty((64,), np.float32)
    assert host(memory).unsafe_buffer_pointer() != memory.ctypes.data
    assert host(memory, copy=True).unsafe_buffer_pointer() != memory.ctypes.data
    assert memory.flags.writeable
    foreign = np.zeros(1000, np.uint8)
    start = -foreign.ctypes.data % 64
    assert (
        host(foreign[start : start + 512], copy=None).unsafe_buffer_pointer() != foreign[start:].ctypes.data
    )
    for value, says in [
        (foreign[start + 1 : start + 9], "not aligned to 64 bytes"),
        (memory[::2], "not dense"),
        (_native.aligned_empty((3,), np.float64), "another byte order or dtype"),
        (_native.aligned_empty((8,), ml_dtypes.int4), "packs"),
        (1.0, "scalar"),
    ]:
        with pytest.raises(ValueError, match=says):
            host(value, copy=False)


def test_foreign_memory_lives_as_long_as_the_device_needs_it(host: Put) -> None:
    class Watched(np.ndarray):
        pass

    memory = _native.aligned_empty((64,), np.float32)
    foreign = np.frombuffer(memoryview(memory).toreadonly(), np.float32).view(Watched)
    gone = weakref.ref(foreign)
    memory[:] = 4
    x = host(foreign, copy=False)
    del foreign, memory
    gc.collect()
    assert gone() is not None and (np.asarray(x) == 4).all()
    del x
    host(np.ones(3))  # a transfer runs what waits for the GIL
    assert gone() is None


def test_aligned_empty_raises(host: Put) -> None:
    with pytest.raises(ValueError, match="negative dimension"):
        _native.aligned_empty((-1,), np.float32)
    with pytest.raises(ValueError, match="more elements than 64 bits"):
        _native.aligned_empty((2**40, 2**40), np.float32)
    with pytest.raises((ValueError, MemoryError)):
        _native.aligned_empty((2**60,), np.float32)
    with pytest.raises(MemoryError):
        _native.aligned_empty((2**58,), np.float32)
    with pytest.raises(TypeError, match="not a valid array type"):
        _native.aligned_empty((1,), object)
    with pytest.raises(TypeError):
        _native.aligned_empty((1.5,), np.float32)
    assert _native.aligned_empty((0, 3), np.float32).shape == (0, 3)


# ---- values out ----


def test_views_are_read_only_and_outlive_the_array(host: Put) -> None:
    x = host(np.arange(4.0))
    view = np.asarray(x)
    assert view.ctypes.data == x.unsafe_buffer_pointer(), "no copy in host memory"
    assert not view.flags.writeable
    with pytest.raises(ValueError):
        view.flags.writeable = True
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    del x
    gc.collect()
    np.testing.assert_array_equal(view, np.arange(4.0))


def test_views_outlive_delete(host: Put) -> None:
    x = host(np.full(1 << 16, 3.0))
    view, buffer = x.__array__(), memoryview(x)
    x.delete()
    assert (view == 3).all() and buffer[7] == 3


def test_array_protocol(host: Put) -> None:
    x = host(np.arange(4.0))
    assert x.__array__(np.float64).dtype == np.float64
    assert x.__array__("int8").tolist() == [0, 1, 2, 3]
    assert x.__array__(None, copy=None).dtype == np.float32
    copied = x.__array__(copy=True)
    copied[0] = 9
    assert x.tolist() == [0, 1, 2, 3]
    assert np.array(x).flags.writeable and np.array(x, copy=False).flags.writeable is False
    with pytest.raises(ValueError, match="copy=False"):
        x.__array__(np.float64, copy=False)
    with pytest.raises(TypeError):
        x.__array__("no such dtype")
    assert np.asarray(host(ml_dtypes.bfloat16(1)), np.float32) == 1


@pytest.mark.parametrize("dtype", [np.bool_, *NUMBERS])
def test_buffer_protocol(host: Put, dtype: Any) -> None:
    value = np.ones((2, 3), dtype)
    view = memoryview(host(value))
    expected = memoryview(value)
    assert view.readonly and view.c_contiguous
    assert (view.shape, view.strides, view.format) == (expected.shape, expected.strides, expected.format)
    assert view.tobytes() == value.tobytes()
    assert bytes(host(value)) == value.tobytes()


def test_buffer_protocol_refusals(host: Put) -> None:
    x = host(np.ones(3))
    with pytest.raises((BufferError, TypeError), match=r"immutable|read-write"):
        struct.pack_into("f", x, 0, 1.0)
    for dtype in (ml_dtypes.bfloat16, ml_dtypes.int4):
        with pytest.raises(BufferError, match=r"numpy\.asarray"):
            memoryview(host(np.ones(3, dtype)))
    x.delete()
    with pytest.raises(errors.DeletedArrayError):
        memoryview(x)


def test_copies_of_packed_contents_are_kept(host: Put) -> None:
    x = host(np.arange(7).astype(ml_dtypes.int4))
    x.copy_to_host_async()
    x.copy_to_host_async()
    first, second = np.asarray(x), np.asarray(x)
    assert first.ctypes.data == second.ctypes.data and not first.flags.writeable
    assert first.tolist() == list(range(7))
    x.delete()
    assert first.tolist() == list(range(7))
    with pytest.raises(errors.DeletedArrayError):
        np.asarray(x)
    with pytest.raises(errors.DeletedArrayError):
        x.copy_to_host_async()


def test_python_scalars(host: Put) -> None:
    assert float(host(2.5)) == 2.5 and int(host(2.5)) == 2 and complex(host(2.5)) == 2.5 + 0j
    assert complex(host(1 - 2j)) == 1 - 2j and int(host(np.uint32(2**32 - 1))) == 2**32 - 1
    assert float(host(ml_dtypes.bfloat16(1.5))) == 1.5 and int(host(ml_dtypes.int4(-3))) == -3
    assert type(host(ml_dtypes.bfloat16(1.5)).item()) is float and type(host(True).item()) is bool
    assert (
        bool(host(0.0)) is False
        and bool(host(np.array([[3]]))) is True
        and bool(host(ml_dtypes.bfloat16(0))) is False
    )
    assert bool(host(float("nan"))) is True
    assert host(np.arange(6).reshape(2, 3)).item(1, 2) == 5 and host(np.arange(6)).item(-1) == 5
    assert host(np.array([4])).item() == 4
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32):
        assert ["a", "b", "c"][host(dtype(2))] == "c"
    with pytest.raises(TypeError):
        float(host(1j))
    with pytest.raises(ValueError):
        int(host(float("nan")))


@pytest.mark.parametrize("convert", [int, float, complex])
@pytest.mark.parametrize("value", [np.ones(1), np.ones((2, 2)), np.ones(0)])
def test_only_scalars_convert(host: Put, convert: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(TypeError, match="only scalar arrays"):
        convert(host(value))


def test_ambiguous_truth(host: Put) -> None:
    with pytest.raises(
        ValueError, match="The truth value of an array with more than one element is ambiguous"
    ):
        bool(host(np.ones(2)))
    with pytest.raises(ValueError, match="The truth value of an empty array is ambiguous"):
        bool(host(np.ones(0)))


@pytest.mark.parametrize("value", [1.0, True, np.array([1]), 1j, np.ones(0, np.int32)])
def test_only_integer_scalars_index(host: Put, value: Any) -> None:
    with pytest.raises(TypeError, match="Only integer scalar arrays can be converted to a scalar index"):
        host(value).__index__()


def test_len_and_hash(host: Put) -> None:
    assert len(host(np.ones((3, 2)))) == 3 and len(host(np.ones(0))) == 0
    with pytest.raises(TypeError, match=r"len\(\) of unsized object"):
        len(host(1))
    with pytest.raises(TypeError, match="unhashable type"):
        hash(host(1))


def test_item_raises(host: Put) -> None:
    with pytest.raises(ValueError, match="an array of one element"):
        host(np.ones(2)).item()
    with pytest.raises(IndexError):
        host(np.ones(2)).item(5)

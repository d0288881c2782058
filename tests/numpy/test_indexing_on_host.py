"""Indices and updates without a program: NumPy's elements, and the bits of the compiled programs, or no answer."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import _native, lax
from anima.config import eager_host_calls
from anima.core.host import MOVABLE
from anima.dtypes.declared import BY_NAME
from anima.runtime import host

pytestmark = pytest.mark.cpu


def numbers(shape: tuple[int, ...], dtype: str) -> onp.ndarray[Any, Any]:
    """Different small numbers, some negative."""
    count = onp.prod(shape, dtype=int)
    whole = (onp.arange(count) * 7 % 23 - (0 if dtype[0] in "u" else 9)).reshape(shape)
    return whole % 3 > 0 if dtype == "bool" else whole.astype(BY_NAME[dtype])


def assert_bits(got: Any, want: Any) -> None:
    """The same elements, dtype and shape as NumPy's."""
    assert got.shape == want.shape and got.dtype == want.dtype
    assert onp.asarray(got).tobytes() == onp.ascontiguousarray(want).tobytes(), (got, want)


def by_program(call: Callable[[], Any]) -> Any:
    with eager_host_calls(0):
        return call()


def assert_as_by_program(got: Any, call: Callable[[], Any]) -> None:
    want = by_program(call)
    assert got.aval == want.aval and got.committed == want.committed
    assert_bits(got, onp.asarray(want))


EVEN = onp.array([[True, False, True, False], [False, True, False, True], [True, False, True, False]])
ROWS = onp.array([2, 0, -1, 2])
GRID = onp.array([[0], [-2]])
NONE = onp.zeros((0,), onp.int32)
# Indices into an array of shape (3, 4, 2).
INDICES: dict[str, Any] = {
    "integer": 1,
    "negative integer": -3,
    "integer of NumPy": onp.int64(2),
    "integers": (1, -1, 0),
    "slice": slice(1, 3),
    "slice beyond the end": slice(-9, 99),
    "empty slice": slice(2, 1),
    "backwards": slice(None, None, -1),
    "backwards in steps": (slice(None), slice(3, None, -2)),
    "steps": (slice(0, 3, 2), slice(1, None, 3)),
    "ellipsis": (Ellipsis, 1),
    "ellipsis between": (0, Ellipsis, slice(0, 1)),
    "ellipsis for nothing": (slice(None), Ellipsis, 1, 1),
    "new axes": (None, slice(1, 2), None, 2),
    "new axis alone": None,
    "mask": onp.array([True, False, True]),
    "mask of two dimensions": EVEN,
    "mask that selects nothing": onp.zeros((3,), bool),
    "mask behind": (slice(None), slice(1, 4), onp.array([False, True])),
    "mask and integer": (onp.array([True, True, False]), 3),
    "array": ROWS,
    "narrow array": ROWS.astype(onp.int8),
    "unsigned array": onp.array([0, 2], onp.uint16),
    "array of two dimensions": (slice(None), onp.array([[1, -4], [0, 3]])),
    "no indices": NONE,
    "arrays together": (GRID, onp.array([3, 0, 1])),
    "arrays apart": (ROWS, slice(1, None), onp.array([0, 1, 1, 0])),
    "array and integer apart": (1, slice(None), onp.array([1, 0, 1])),
    "array, new axis, array": (onp.array([0, 1]), None, onp.array([2, 3])),
    "array beside a step": (slice(None, None, 2), ROWS),
    "array without dimensions": (onp.array(1), slice(None), onp.array(-1)),
}


def on_device(index: Any) -> Any:
    """An index with its arrays on the device."""
    if isinstance(index, tuple):
        return tuple([on_device(item) for item in index])
    return np.asarray(index) if isinstance(index, onp.ndarray) else index


@pytest.fixture(autouse=True)
def nothing_is_cast_in_silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", INDICES)
def test_reads_have_numpys_elements(name: str) -> None:
    for index in (INDICES[name], on_device(INDICES[name])):
        for dtype in ("bool", "float32", "bfloat16", "complex64", "uint8"):
            given = numbers((3, 4, 2), dtype)
            x = np.asarray(given)
            found = _native.read_at(x, index, None)
            assert found is not None
            assert_bits(found, given[INDICES[name]])
            assert_bits(x[index], given[INDICES[name]])
    assert_as_by_program(found, lambda: x[index])


@pytest.mark.parametrize("dtype", MOVABLE)
def test_every_dtype(dtype: str) -> None:
    with anima.enable_x64(True):
        given, rows = numbers((5, 3), dtype), onp.array([4, 0, -2])
        x = np.asarray(given)
        for index in (1, slice(4, 0, -3), (Ellipsis, 2), rows, given[:, 0] == given[0, 0]):
            assert_bits(_native.read_at(x, index, None), given[index])
            changed = given.copy()
            changed[index] = given[2, 1]
            assert_bits(_native.update_at("set", x, index, x[2, 1], None), changed)


COMBINED: dict[str, Any] = {
    "add": onp.add,
    "subtract": onp.subtract,
    "multiply": onp.multiply,
    "min": onp.minimum,
    "max": onp.maximum,
}


def updated(x: Any, index: Any, values: Any, operation: str) -> Any:
    """What NumPy makes of it."""
    x = x.copy()
    if operation == "set":
        x[index] = values
    else:
        COMBINED[operation].at(x, index, values)
    return x


@pytest.mark.parametrize("operation", ["set", *COMBINED])
@pytest.mark.parametrize("name", INDICES)
def test_updates_have_numpys_elements(name: str, operation: str) -> None:
    index = on_device(INDICES[name])
    for dtype in ("float32", "int16"):
        given = numbers((3, 4, 2), dtype)
        x, selected = np.asarray(given), given[INDICES[name]].shape
        for values in (onp.asarray(3, dtype), numbers(selected, dtype), numbers(selected[1:], dtype)):
            call = lambda values=values, x=x: getattr(x.at[index], operation)(np.asarray(values))
            found = _native.update_at(operation, x, index, np.asarray(values), None)
            assert (found is None) == (0 in selected)  # then the array itself is the result
            for got in (call(), call() if found is None else found):
                assert_bits(got, updated(given, INDICES[name], values, operation))
    assert_as_by_program(call(), call)


@pytest.mark.parametrize("operation", ["set", "add", "multiply", "min", "max"])
def test_truth_values(operation: str) -> None:
    given = onp.array([True, False, True, False])
    rows = onp.array([0, 1, 1, 3])
    values = onp.array([False, True, False, True])
    call = lambda: getattr(np.asarray(given).at[rows], operation)(values)
    found = _native.update_at(operation, np.asarray(given), rows, values, None)
    assert_bits(found, updated(given, rows, values, operation))
    assert_as_by_program(found, call)


def test_values_of_other_types() -> None:
    x = np.arange(4.0)
    for value in (2, 2.5, True, onp.float32(7), onp.array([1.5, 2.5], onp.float32), -3):
        found = _native.update_at("set", x, slice(1, 3), value, None)
        assert_bits(found, updated(onp.arange(4, dtype=onp.float32), slice(1, 3), value, "set"))
        assert_as_by_program(found, lambda value=value: x.at[1:3].set(value))
    small = np.arange(4, dtype=np.int8)
    assert _native.update_at("add", small, 1, 300, None).tolist() == [0, 1 + 300 - 256, 2, 3]
    assert_as_by_program(small.at[1].add(300), lambda: small.at[1].add(300))
    with anima.enable_x64(True):
        wide = np.asarray([1.5, 2.5])
        assert wide.dtype == onp.float64
        assert _native.update_at("multiply", wide, 1, 0.1, None).tolist() == [1.5, 2.5 * 0.1]
    assert _native.update_at("set", np.arange(3), 1, 2.5, None) is None  # Python warns of the cast
    anima.clear_caches()  # the warning comes with the trace
    with pytest.warns(FutureWarning, match="cast"):
        assert np.arange(3).at[1].set(2.5).tolist() == [0, 2, 2]
    assert _native.update_at("set", np.arange(3), 1, 2**40, None) is None
    with pytest.raises(OverflowError, match=r"1099511627776"):
        np.arange(3).at[1].set(2**40)


# ---- out of bounds ----------------------------------------------------------------------------


def test_reads_take_the_nearest_element() -> None:
    x, far = np.arange(5), onp.array([-9, -6, -5, 4, 5, 77])
    for index in (far, np.asarray(far)):
        for mode in (None, "clip"):
            found = _native.read_at(x, index, mode)
            assert found.tolist() == [0, 0, 0, 4, 4, 4]
            assert_as_by_program(found, lambda index=index, mode=mode: x.at[index].get(mode=mode))
        assert by_program(lambda index=index: x[index]).tolist() == [0, 0, 0, 4, 4, 4]
        for mode in ("fill", "drop", "promise_in_bounds"):
            assert _native.read_at(x, index, mode) is None
            assert _native.read_at(x, index[2:4], mode).tolist() == [0, 4]
        filled = x.at[index].get(mode="fill", fill_value=-1)
        assert filled.tolist() == [-1, -1, 0, 4, -1, -1]


def test_updates_drop_or_clip() -> None:
    x, far = np.arange(5), onp.array([-9, -6, -5, 4, 5, 77])
    for index in (far, np.asarray(far)):
        for mode, want in ((None, [8, 1, 2, 3, 12]), ("drop", [8, 1, 2, 3, 12]), ("clip", [24, 1, 2, 3, 28])):
            found = _native.update_at("add", x, index, 8, mode)
            assert found.tolist() == want
            assert_as_by_program(found, lambda index=index, mode=mode: x.at[index].add(8, mode=mode))
        assert _native.update_at("add", x, index, 8, "promise_in_bounds") is None
    both = np.zeros((2, 3)).at[onp.array([1, 2]), onp.array([0, 0])].set(1.0)
    assert both.tolist() == [[0, 0, 0], [1, 0, 0]]


def test_indices_of_numpy_count_from_the_end_once() -> None:
    x = np.arange(10)
    far = onp.array([-15, -(2**40), 2**32 + 1])
    for calls in (0, 128):
        with eager_host_calls(calls):
            assert x[far[:1]].tolist() == [0] and x[onp.int8([-15])].tolist() == [0]
            assert x[far].tolist() == [0, 0, 9]
            assert x.at[far].set(-1).tolist() == x.tolist()
            assert np.zeros(200).at[onp.int8([-1])].set(1.0)[199] == 1


@pytest.mark.parametrize(
    "index",
    [
        5,
        -6,
        (0, 0),
        (Ellipsis, Ellipsis),
        onp.array([True]),
        onp.array([0.5]),
        "a",
        [1],
        1.5,
        slice(None, None, 0),
    ],
    ids=str,
)
def test_what_does_not_fit_is_left_to_python(index: Any) -> None:
    x = np.arange(5)
    assert _native.read_at(x, index, None) is None
    assert _native.update_at("set", x, index, 1, None) is None
    for call in (lambda: x[index], lambda: x.at[index].set(1)):
        with pytest.raises((IndexError, TypeError, ValueError)):
            call()


# ---- what programs do in another way ----------------------------------------------------------


def test_numbers_that_programs_treat_in_another_way() -> None:
    nan = np.asarray(onp.array([0x7F81, 0x3F80], onp.uint16).view(BY_NAME["bfloat16"]))
    assert _native.read_at(nan, slice(0, 1), None) is None
    assert _native.read_at(nan, slice(1, 2), None) is not None
    x = np.asarray(onp.array([1e-40, 1.0, onp.nan, -0.0], onp.float32))
    for operation in ("add", "multiply", "min", "max"):
        assert _native.update_at(operation, x, onp.array([0]), x[1], None) is None
        assert _native.update_at(operation, x, onp.array([2]), x[1], None) is None
        assert _native.update_at(operation, x, onp.array([1]), x[1], None) is not None
    moved = _native.update_at("set", x, onp.array([1]), x[2], None)
    assert_as_by_program(moved, lambda: x.at[onp.array([1])].set(x[2]))
    assert_as_by_program(x.at[0].add(1e-40), lambda: x.at[0].add(1e-40))


def test_the_last_of_several_values_and_all_of_several_sums() -> None:
    x, rows = np.zeros(4), onp.array([1, 1, 3, 1])
    values = onp.array([0.1, 0.2, 0.3, 1e8], onp.float32)
    for operation in ("set", "add", "multiply"):
        call = lambda operation=operation: getattr((x + 1).at[rows], operation)(values)
        assert_as_by_program(call(), call)


# ---- which arrays -----------------------------------------------------------------------------


def test_types_and_places_stay() -> None:
    weak = np.asarray(1.5)[None]
    assert weak.weak_type and weak[0:1, None].weak_type and weak.at[0].set(onp.float32(2)).weak_type
    assert_as_by_program(weak[onp.array([0, 0])], lambda: weak[onp.array([0, 0])])
    there = anima.device_put(onp.arange(3), anima.devices("cpu")[0])
    free, rows = np.arange(3), np.arange(2)
    for call in (
        lambda: there[1:],
        lambda: free[there],
        lambda: there.at[0].set(1),
        lambda: free.at[rows].add(there[:2]),
    ):
        assert call().committed
        assert_as_by_program(call(), call)
    assert not free[1:].committed


def test_scalars_and_arrays_without_elements() -> None:
    scalar, empty = np.asarray(3.0), np.zeros((2, 0))
    assert scalar[()] is scalar and scalar[...] is scalar and scalar[None].tolist() == [3.0]
    assert scalar.at[()].add(1.0).tolist() == 4.0
    assert empty[1].shape == (0,) and empty[:, None].shape == (2, 1, 0)
    assert empty[onp.array([1, 0, 1])].shape == (3, 0) and empty[:, NONE].shape == (2, 0)
    with pytest.raises(IndexError, match="empty dimension"):
        empty[:, onp.array([0])]
    assert empty.at[0].set(1.0).shape == (2, 0)


def test_large_arrays_have_programs() -> None:
    x = np.arange(100_000.0)
    assert _native.read_at(x, slice(1, 2000), None) is None
    assert _native.update_at("set", x, 1, 2.0, None) is None
    part = _native.read_at(x, slice(99_000, None, 100), None)
    assert_bits(part, onp.arange(99_000, 100_000, 100, dtype=onp.float32))
    assert_as_by_program(part, lambda: x[99_000::100])


def test_traces_options_and_guards_decide() -> None:
    x, rows = np.arange(4.0), np.asarray([1, 2])
    both = lambda x: (x[rows], x[1:3], x.at[rows].add(x[0]), x.at[1].set(2.0))
    for got, want in zip(anima.jit(both)(x), both(x)):
        assert_bits(got, onp.asarray(want))
    assert anima.grad(lambda x: x[rows].sum() + x.at[1].multiply(3.0).sum())(x).tolist() == [1, 4, 2, 1]
    assert anima.vmap(lambda i: x[i])(rows).tolist() == [1, 2]
    text = str(anima.make_jaxpr(both)(x))
    assert "gather" in text and "scatter" in text
    with eager_host_calls(0):
        assert _native.read_at(x, 1, None) is None
    with anima.debug_nans(True):
        assert _native.read_at(x, 1, None) is None
        with pytest.raises(FloatingPointError):
            np.asarray(onp.float32([onp.inf, 1])).at[0].add(-onp.inf)
    with anima.transfer_guard("disallow"):
        assert _native.update_at("set", x, 1, x, None) is None
        assert _native.read_at(x, 1, None) is None
    assert _native.read_at(x, 1, None) is not None


def test_deleted_arrays_raise() -> None:
    x, rows = np.arange(4.0), np.arange(2)
    rows.delete()
    assert _native.read_at(x, rows, None) is None
    with pytest.raises(RuntimeError, match="deleted"):
        x[rows]
    x.delete()
    assert _native.read_at(x, 1, None) is None
    with pytest.raises(RuntimeError, match="deleted"):
        x[1:2]


def test_the_functions_check_what_they_are_given() -> None:
    x = np.arange(3)
    for wrong in ((), (x,), (x, 1), (x, 1, None, 2)):
        with pytest.raises(TypeError, match="read_at"):
            _native.read_at(*wrong)
    with pytest.raises(TypeError, match="update_at"):
        _native.update_at("set", x, 1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="'power'"):
        _native.update_at("power", x, 1, 1, None)
    with pytest.raises(TypeError, match="operation"):
        _native.update_at(1, x, 1, 1, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callable"):
        _native.set_index_device(1)  # type: ignore[arg-type]
    for other in (3, None, onp.arange(3), "x"):
        assert _native.read_at(other, 0, None) is None
        assert _native.update_at("set", other, 0, 1, None) is None
    for mode in ("nearest", 1, lax.GatherScatterMode.CLIP):
        assert _native.read_at(x, 0, mode) is None

    class Whole(onp.int64):
        def __index__(self) -> int:
            x.delete()
            return 1

    assert _native.read_at(x, Whole(1), None) is None  # nothing that may free what is being read
    deep: Any = (None,) * 40
    assert _native.read_at(x, deep, None) is None
    assert _native.read_at(x, (onp.zeros((1,) * 9, int),), None) is None
    reverse = onp.arange(6)[::-2]
    assert _native.read_at(x, reverse % 3, None).tolist() == (reverse % 3).tolist()
    assert x[reverse % 3].tolist() == (reverse % 3).tolist()


# ---- what is still being computed -------------------------------------------------------------


def late(held: threading.Event) -> Any:
    """An 8 by 8 array of numbers that is computed once `held` is set."""

    def slow(x: Any) -> Any:
        held.wait(20)
        return x

    def run(x: Any, big: Any) -> Any:  # XLA counts enough operations to run it beside the caller
        return anima.pure_callback(slow, x, x) + 0 * (big * big @ big @ big).sum()

    return anima.jit(run)(np.arange(64.0).reshape(8, 8), np.ones((300, 300)))


ROW = onp.array([1, 3, 3])
LATE: dict[str, Callable[[Any], Any]] = {
    "integer": lambda x: x[1],
    "slice": lambda x: x[1:3, ::-1],
    "array": lambda x: x[ROW, 2],
    "clipped array": lambda x: x.at[ROW + 6].get(mode="clip"),
    "update": lambda x: x.at[1, 2:5].set(2.0),
    "sum": lambda x: x.at[ROW].add(1.0),
    "arithmetic": lambda x: x + 1.0,
}


@pytest.mark.parametrize("name", LATE)
def test_small_arrays_are_waited_for_rather_than_compiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_PATIENCE", 20.0)
    held = threading.Event()
    x = late(held)
    before = _native.compile_count() + _native.deserialize_count()
    assert not x.is_ready()
    timer = threading.Timer(0.01, held.set)
    timer.start()
    found = LATE[name](x)
    timer.join()
    assert _native.compile_count() + _native.deserialize_count() == before
    assert_bits(found, onp.asarray(by_program(lambda: LATE[name](x))))


@pytest.mark.parametrize("name", LATE)
def test_programs_are_made_where_waiting_takes_long(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_PATIENCE", 0.0)
    held = threading.Event()
    x = late(held)
    found = LATE[name](x)
    assert not x.is_ready() and not found.is_ready()
    held.set()
    assert_bits(found, onp.asarray(LATE[name](x)))

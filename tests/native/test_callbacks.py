"""The custom call through which XLA programs call Python functions.

Invariant tested here: nothing that a callback does (raise, return nonsense, run programs, close the client) ends the
process or blocks it, and what it raised reaches the caller.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from anima import _native, errors
from tests.native.support import encode_options

ONE = encode_options()


def program(operand: str, result: str) -> str:
    return f"""
    module @calls {{
      func.func public @main(%id: tensor<ui32>, %x: tensor<{operand}>) -> tensor<{result}> {{
        %0 = stablehlo.custom_call @anima_python_callback(%id, %x) {{api_version = 4 : i32, has_side_effect = true}}
            : (tensor<ui32>, tensor<{operand}>) -> tensor<{result}>
        return %0 : tensor<{result}>
      }}
    }}
    """


@contextmanager
def registered(fn: Callable[..., Any]) -> Iterator[int]:
    number = _native.callback_register(fn)
    try:
        yield number
    finally:
        _native.callback_release(number)


def call(
    client: Any,
    fn: Callable[..., Any],
    x: Any,
    operand: str = "3xf32",
    result: str = "3xf32",
    out: Any = None,
) -> Any:
    """The value that a program gets from `fn(x)`."""
    executable = client.compile(program(operand, result), ONE)
    out = out or ((3,), np.dtype(np.float32), False)
    with registered(fn) as number:
        args = [_native.array_from_host(v, client.devices[0]) for v in (np.uint32(number), np.asarray(x))]
        ((y,),) = executable.execute([args], [out])
        y.block_until_ready()
        return np.asarray(y)


X = np.array([1, 2, 3], np.float32)


def test_a_callback_computes(client: Any) -> None:
    seen: list[np.ndarray] = []

    def double(x: np.ndarray) -> list[np.ndarray]:
        seen.append(x)
        return [2 * x]

    assert call(client, double, X).tolist() == [2, 4, 6]
    (operand,) = seen
    assert operand.dtype == np.float32 and not operand.flags.writeable and operand.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("hlo", "dtype"),
    [("i1", np.bool_), ("i8", np.int8), ("ui32", np.uint32), ("i64", np.int64), ("f16", np.float16),
     ("f64", np.float64), ("bf16", ml_dtypes.bfloat16), ("complex<f32>", np.complex64)],
)  # fmt: skip
def test_element_types(client: Any, hlo: str, dtype: Any) -> None:
    x = np.array([[1, 0, 1], [0, 1, 1]], dtype)
    previous = _native.swap_thread_x64(1)
    try:
        out = ((3, 2), np.dtype(dtype), False)
        y = call(client, lambda v: (v.T,), x, f"2x3x{hlo}", f"3x2x{hlo}", out)
    finally:
        _native.swap_thread_x64(previous)
    assert y.dtype == dtype and (y == x.T).all()


def test_numbers_may_have_64_bits(client: Any) -> None:
    executable = client.compile(program("3xf32", "3xf32").replace("ui32", "ui64"), ONE)
    previous = _native.swap_thread_x64(1)
    try:
        with registered(lambda x: [x + 1]) as number:
            args = [_native.array_from_host(v, client.devices[0]) for v in (np.uint64(number), X)]
            ((y,),) = executable.execute([args], [((3,), np.dtype(np.float32), False)])
            assert np.asarray(y).tolist() == [2, 3, 4]
    finally:
        _native.swap_thread_x64(previous)


def test_empty_and_scalar_values(client: Any) -> None:
    f32 = np.dtype(np.float32)
    assert call(client, lambda v: [v[:0]], X, "3xf32", "0xf32", ((0,), f32, False)).shape == (0,)
    assert call(client, lambda v: [np.float32(v.size)], X[:0], "0xf32", "f32", ((), f32, False)) == 0


class Odd(Exception):
    """An error of a user's own."""


def test_exceptions_reach_the_caller(client: Any) -> None:
    cause = Odd("this is wrong: é\nand here is why")

    def fail(x: np.ndarray) -> list[np.ndarray]:
        raise cause

    with pytest.raises(errors.XlaRuntimeError, match="Odd: this is wrong: é") as info:
        call(client, fail, X)
    assert _native.take_callback_error("another message") is None
    assert _native.take_callback_error(str(info.value)) is cause
    assert _native.take_callback_error(str(info.value)) is None


def test_the_newest_exception_is_taken_without_a_message(client: Any) -> None:
    def fail(x: np.ndarray) -> list[np.ndarray]:
        raise KeyboardInterrupt

    with pytest.raises(errors.XlaRuntimeError, match="KeyboardInterrupt"):
        call(client, fail, X)
    assert isinstance(_native.take_callback_error(), KeyboardInterrupt)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (lambda x: [x[:2]], r"returned shape \(2,\) for result 0, the declared shape is \(3,\)"),
        (
            lambda x: [x.astype(np.float64)],
            "returned dtype float64 for result 0, the declared dtype is float32",
        ),
        (lambda x: [], "returned 0 results, 1 were declared"),
        (lambda x: [x, x], "returned 2 results, 1 were declared"),
        (lambda x: None, "must return a sequence of arrays"),
        (lambda x: [object()], "returned dtype object"),
        (lambda x, y: [x], "positional argument"),
    ],
)
def test_wrong_results_are_named(client: Any, value: Any, says: str) -> None:
    with pytest.raises(errors.XlaRuntimeError, match=says):
        call(client, value, X)


def test_unknown_numbers_raise(client: Any) -> None:
    executable = client.compile(program("3xf32", "3xf32"), ONE)
    args = [_native.array_from_host(v, client.devices[0]) for v in (np.uint32(2**31), X)]
    with pytest.raises(errors.XlaRuntimeError, match=f"no callback is registered under number {2**31}"):
        executable.execute([args], [((3,), np.dtype(np.float32), False)])[0][0].block_until_ready()
    with pytest.raises(KeyError, match=str(2**31)):
        _native.callback_release(2**31)
    with pytest.raises(TypeError, match="must be callable"):
        _native.callback_register(3)


def test_released_callbacks_are_let_go() -> None:
    def f(x: Any) -> Any:
        return x

    gone = weakref.ref(f)
    number = _native.callback_register(f)
    del f
    gc.collect()
    assert gone() is not None
    _native.callback_release(number)
    gc.collect()
    assert gone() is None


def test_a_callback_may_run_programs(client: Any) -> None:
    text = """
    module @square {
      func.func public @main(%a: tensor<300x300xf32>) -> tensor<300x300xf32> {
        %0 = stablehlo.dot_general %a, %a, contracting_dims = [1] x [0]
            : (tensor<300x300xf32>, tensor<300x300xf32>) -> tensor<300x300xf32>
        return %0 : tensor<300x300xf32>
      }
    }
    """
    aval = ((300, 300), np.dtype(np.float32), False)

    def nested(x: np.ndarray) -> list[np.ndarray]:
        square = client.compile(text, ONE)
        ((y,),) = square.execute(
            [[_native.array_from_host(np.eye(300, dtype=np.float32), client.devices[0])]], [aval]
        )
        return [x * np.asarray(y).sum(dtype=np.float32)]

    assert call(client, nested, X).tolist() == [300, 600, 900]


def test_a_callback_may_call_a_callback(client: Any) -> None:
    def outer(x: np.ndarray) -> list[np.ndarray]:
        return [call(client, lambda y: [y + 1], x)]

    assert call(client, outer, X).tolist() == [2, 3, 4]


# Programs with enough arithmetic for XLA to run them on threads of its own. It runs those of a device one after the
# other, so a program that a callback starts must not queue up behind the callback's own.
LARGE = 300
LARGE_AVAL = ((LARGE, LARGE), np.dtype(np.float32), False)


@pytest.fixture(scope="module")
def large(client: Any) -> Any:
    """A program that squares a matrix and passes it through a callback."""
    body = """%x2 = stablehlo.dot_general %x, %x, contracting_dims = [1] x [0]
            : (tensor<NxNxf32>, tensor<NxNxf32>) -> tensor<NxNxf32>
        %0 = stablehlo.custom_call @anima_python_callback(%id, %x2)"""
    shape = f"{LARGE}x{LARGE}xf32"
    text = program(shape, shape).replace("%0 = stablehlo.custom_call @anima_python_callback(%id, %x)", body)
    return client.compile(text.replace("NxNxf32", shape), ONE)


def start(client: Any, executable: Any, number: int) -> Any:
    eye = _native.array_from_host(np.eye(LARGE, dtype=np.float32), client.devices[0])
    return executable.execute(
        [[_native.array_from_host(np.uint32(number), client.devices[0]), eye]], [LARGE_AVAL]
    )[0][0]


@pytest.mark.parametrize("at_once", [1, 4])
def test_callbacks_nest_in_programs_on_other_threads(client: Any, large: Any, at_once: int) -> None:
    depth = 3
    numbers: list[int] = []

    def nested(level: int) -> Callable[..., Any]:
        def fn(x: np.ndarray) -> list[np.ndarray]:
            if level == 0:
                return [x + 1]
            return [2 * np.asarray(start(client, large, numbers[level - 1]))]

        return fn

    numbers = [_native.callback_register(nested(level)) for level in range(depth + 1)]
    results = [start(client, large, numbers[depth]) for _ in range(at_once)]
    assert [np.asarray(result)[0, 0] for result in results] == [2 * 2**depth] * at_once
    for number in numbers:
        _native.callback_release(number)


def test_results_of_nested_programs_stay_usable(client: Any, large: Any) -> None:
    kept: list[Any] = []

    def fn(x: np.ndarray) -> list[np.ndarray]:
        kept.append(start(client, large, identity))
        return [x]

    with registered(lambda x: [x]) as identity, registered(fn) as number:
        start(client, large, number).block_until_ready()
        (array,) = kept
        assert array.device is client.devices[0] and large.executions >= 2
        again = large.execute(
            [[_native.array_from_host(np.uint32(identity), client.devices[0]), array]], [LARGE_AVAL]
        )
        assert (np.asarray(again[0][0]) == np.eye(LARGE)).all()


def test_errors_on_other_threads_surface_when_waited_for(client: Any, large: Any) -> None:
    cause = Odd("too late")

    def fail(x: np.ndarray) -> list[np.ndarray]:
        raise cause

    with registered(fail) as number:
        result = start(client, large, number)
        for use in (result.block_until_ready, lambda: np.asarray(result), result.block_until_ready):
            with pytest.raises(errors.XlaRuntimeError, match="Odd: too late") as info:
                use()
        assert result.is_ready() and not result.is_deleted()
        assert _native.take_callback_error(str(info.value)) is cause
    with registered(lambda x: [x]) as number:  # the device goes on
        assert np.asarray(start(client, large, number)).sum() == LARGE


def test_callbacks_in_many_threads(client: Any) -> None:
    results: list[list[float]] = [[] for _ in range(6)]

    def work(i: int) -> None:
        results[i] = call(client, lambda x: [x * np.float32(i)], X).tolist()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[i, 2 * i, 3 * i] for i in range(6)]


def test_a_callback_cannot_close_its_client(client: Any) -> None:
    def close(x: np.ndarray) -> list[np.ndarray]:
        client.close()
        return [x]

    with pytest.raises(errors.XlaRuntimeError, match="cannot be closed from inside a callback"):
        call(client, close, X)
    assert not client.closed


def test_sub_byte_operands_are_refused(client: Any) -> None:
    with pytest.raises(errors.XlaRuntimeError, match="s4 arrays, whose elements share bytes"):
        call(client, lambda x: [X], np.array([1, 2], ml_dtypes.int4), "2xi4", "3xf32")


def test_the_number_must_come_first(client: Any) -> None:
    text = (
        program("3xf32", "3xf32")
        .replace("(%id, %x)", "(%x)")
        .replace("(tensor<ui32>, tensor<3xf32>) ->", "(tensor<3xf32>) ->")
    )
    executable = client.compile(text, ONE)
    args = [_native.array_from_host(v, client.devices[0]) for v in (np.uint32(1), X)]
    with pytest.raises(errors.XlaRuntimeError, match="needs one u32 or u64 as its first operand"):
        executable.execute([args], [((3,), np.dtype(np.float32), False)])[0][0].block_until_ready()


def test_registration_refuses_what_it_must(client: Any) -> None:
    with pytest.raises(TypeError, match="expected a Client or a Plugin"):
        _native.register_python_callback_target("cpu")
    with pytest.raises(TypeError, match="must be a capsule"):
        _native.register_ffi_handler(client, "x", 3, "cpu")
    with pytest.raises(ValueError, match="needs 'execute'"):
        _native.register_ffi_handler(client, "x", {}, "cpu")
    with pytest.raises(TypeError, match="stage 'later' must be a capsule"):
        _native.register_ffi_handler(client, "x", {"later": 3}, "cpu")
    _native.register_python_callback_target(client)
    _native.register_python_callback_target(client.plugin)

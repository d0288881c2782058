"""`pure_callback` and `io_callback`: Python functions inside programs, under every transformation that admits them."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, jvp, lax, pure_callback, vmap
from anima.config import enable_x64
from anima.experimental import io_callback

F32 = anima.ShapeDtypeStruct((), np.float32)
METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized")
CALLBACKS: dict[str, Callable[..., Any]] = {
    "pure": pure_callback,
    "io": io_callback,
    "ordered": lambda *args, **kwargs: io_callback(*args, ordered=True, **kwargs),
}
both = pytest.mark.parametrize("call", CALLBACKS.values(), ids=CALLBACKS)
how = pytest.mark.parametrize("run", [lambda f: f, jit], ids=["eager", "jit"])


def host(x):
    return onp.sin(x).astype(x.dtype) * 2


def call(x, method=None):
    return pure_callback(host, anima.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method=method)


@pytest.mark.cpu
@both
@how
def test_values_arguments_and_structure(call: Any, run: Any) -> None:
    seen: list[Any] = []

    def fun(tree: Any, number: Any, *, scale: Any) -> Any:
        seen.append((tree["a"], number, scale))
        return {"s": onp.asarray(np.sum(np.asarray(tree["a"]) * scale)), "n": (number,)}

    shape = {"s": F32, "n": (anima.ShapeDtypeStruct((), np.int32),)}
    out = run(lambda a: call(fun, shape, {"a": a}, 7, scale=3.0))(np.ones(4))
    assert float(out["s"]) == 12.0 and int(out["n"][0]) == 7 and out["n"][0].dtype == np.int32
    assert not out["n"][0].weak_type
    [(a, number, scale)] = seen
    assert all(isinstance(x, anima.Array) for x in (a, number, scale))
    assert (a.shape, a.dtype, number.dtype, scale.dtype) == ((4,), np.float32, np.int32, np.float32)


@both
@how
@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint32", "int32", "float16", "bfloat16", "float32", "complex64"]
)
def test_dtypes_pass_both_ways(call: Any, run: Any, dtype: str) -> None:
    for shape in ((), (0, 2), (2, 3)):
        x = np.ones(shape, dtype)
        y = run(lambda x: call(lambda v: v, x, x))(x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        onp.testing.assert_array_equal(onp.asarray(y), onp.asarray(x))


@both
def test_64_bits_also_in_threads_of_xla(call: Any) -> None:
    seen: list[Any] = []

    def fun(v: Any) -> Any:
        seen.append((v.dtype, np.asarray(1.0).dtype))
        return onp.asarray(v) * 2

    with enable_x64():
        big = np.ones((600, 600))  # enough work for a thread of its own
        y = jit(lambda b: call(fun, anima.ShapeDtypeStruct((), np.float64), (b @ b)[0, 0]))(big)
        assert float(y) == 1200 and y.dtype == np.float64
    assert seen == [(np.float64, np.float64)]
    assert not anima.config.jax_enable_x64


@both
@how
def test_results_are_converted_as_everywhere(call: Any, run: Any) -> None:
    assert float(run(lambda x: call(lambda v: 1.5, F32, x))(0)) == 1.5
    assert float(run(lambda x: call(lambda v: onp.float64(1.5), F32, x))(0)) == 1.5
    y = run(lambda x: call(lambda v: onp.arange(2), anima.ShapeDtypeStruct((2,), np.int32), x))(0)
    assert y.tolist() == [0, 1]
    assert run(lambda x: io_callback(lambda v: None, None, x))(0) is None


@both
@how
@pytest.mark.parametrize(
    ("value", "declared", "says"),
    [
        (lambda v: v[:2], np.ones(3), r"returned float32\[2\] for result, but result_shape_dtypes says float32\[3\]"),
        (
            lambda v: {"a": (1,)},
            {"a": (np.ones(()),)},
            r"returned int32\[\] for result\['a'\]\[0\], but result_shape_dtypes says float32\[\]",
        ),
        (lambda v: (v, v), np.ones(3), r"returned PyTreeDef\(\(\*, \*\)\), but result_shape_dtypes is PyTreeDef\(\*\)"),
        (lambda v: object(), np.ones(3), r"returned object\[\] for result"),
        (lambda v: None, np.ones(3), r"returned PyTreeDef\(None\)"),
    ],
)  # fmt: skip
def test_results_that_are_not_as_declared(call: Any, run: Any, value: Any, declared: Any, says: str) -> None:
    with pytest.raises(errors.JaxRuntimeError, match=says):
        anima.block_until_ready(run(lambda x: call(value, declared, x))(np.ones(3)))


def test_none_declared_and_something_returned() -> None:
    with pytest.raises(errors.JaxRuntimeError, match="result_shape_dtypes is PyTreeDef"):
        io_callback(lambda v: 1, None, 1.0)


@both
@how
def test_exceptions(call: Any, run: Any) -> None:
    def bad(v: Any) -> Any:
        raise ZeroDivisionError("mine")

    x = np.ones(3)
    with pytest.raises(errors.JaxRuntimeError, match="ZeroDivisionError: mine") as info:
        anima.block_until_ready(run(lambda x: call(bad, x, x))(x))
    if call is not pure_callback or run is not jit:
        assert isinstance(info.value.__cause__, ZeroDivisionError)
    y = run(lambda x: call(lambda v: v, x, x))(x)  # nothing is left of it
    assert y.tolist() == [1, 1, 1]


@both
def test_bad_arguments(call: Any) -> None:
    x = np.ones(3)
    with pytest.raises(TypeError, match="function"):
        call(3, x, x)
    with pytest.raises(
        TypeError, match="argument `v` of <lambda>, passed to (pure|io)_callback, has type str"
    ):
        call(lambda v: v, x, "a")
    with pytest.raises(TypeError, match="result_shape_dtypes must consist of ShapeDtypeStructs"):
        call(lambda v: v, "float32", x)
    with pytest.raises(ValueError, match="says float64, but 64-bit types are off"):
        call(lambda v: v, anima.ShapeDtypeStruct((3,), np.float64), x)
    with pytest.raises(TypeError, match="sharding must be a SingleDeviceSharding"):
        call(lambda v: v, x, x, sharding="cpu")
    with pytest.raises(ValueError, match="vmap_method must be one of"):
        pure_callback(host, x, x, vmap_method="no")


@pytest.mark.parametrize("method", METHODS)
@how
def test_vmap_methods(method: str, run: Any) -> None:
    shapes: list[Any] = []

    def fun(a: Any, b: Any) -> Any:
        shapes.append((a.shape, b.shape))
        return onp.asarray(a) * onp.asarray(b)

    def f(a: Any, b: Any) -> Any:
        return pure_callback(fun, anima.ShapeDtypeStruct((2,), np.float32), a, b, vmap_method=method)

    x = np.arange(6.0).reshape(2, 3)
    out = run(vmap(f, in_axes=(1, None)))(x, np.asarray([2.0, 3.0]))
    onp.testing.assert_array_equal(out, onp.asarray(x).T * [2.0, 3.0])
    expected = {
        "sequential": [((2,), (2,))] * 3,
        "sequential_unrolled": [((2,), (2,))] * 3,
        "expand_dims": [((3, 2), (1, 2))],
        "broadcast_all": [((3, 2), (3, 2))],
        "legacy_vectorized": [((3, 2), (2,))],
    }
    assert shapes == expected[method]


@pytest.mark.parametrize("method", METHODS)
def test_nested_vmap(method: str) -> None:
    x = np.arange(6.0).reshape(3, 2)
    out = jit(vmap(vmap(lambda v: call(v, method))))(x)
    onp.testing.assert_allclose(out, 2 * onp.sin(onp.asarray(x)), rtol=1e-6)


def test_sequential_is_one_operation_in_a_loop() -> None:
    text = jit(vmap(lambda v: call(v, "sequential"))).lower(np.ones(100)).as_text()
    assert text.count("anima_python_callback") == 1 and "stablehlo.while" in text
    text = jit(vmap(lambda v: call(v, "sequential_unrolled"))).lower(np.ones(5)).as_text()
    assert text.count("anima_python_callback") == 5


@how
@pytest.mark.parametrize("method", METHODS)
def test_vmap_over_nothing(run: Any, method: str) -> None:
    assert run(vmap(lambda v: call(v, method)))(np.zeros((0, 3))).shape == (0, 3)
    assert run(vmap(lambda v: io_callback(host, v, v)))(np.zeros((0, 3))).shape == (0, 3)


def test_vmap_needs_a_method() -> None:
    with pytest.raises(
        errors.MissingRuleError, match="vmap needs to know how the function takes batches; pass vmap_method"
    ):
        vmap(call)(np.ones((2, 3)))
    assert vmap(lambda x: call(np.ones(3)) + x)(np.ones(2)).shape == (2, 3)  # nothing is mapped


@how
def test_vmap_of_io_callbacks_calls_once_an_example(run: Any) -> None:
    seen: list[Any] = []

    def fun(a: Any, b: Any) -> Any:
        seen.append((float(a), float(b)))
        return onp.asarray(a) + onp.asarray(b)

    out = run(vmap(lambda a, b: io_callback(fun, F32, a, b), in_axes=(0, None)))(np.arange(3.0), 10.0)
    assert out.tolist() == [10, 11, 12] and seen == [(0, 10), (1, 10), (2, 10)]
    with pytest.raises(ValueError, match="vmap has no order among examples"):
        run(vmap(lambda a: io_callback(fun, F32, a, a, ordered=True)))(np.arange(3.0))


@both
def test_derivatives_are_refused(call: Any) -> None:
    x = np.ones(3)
    f = lambda v: call(lambda u: u, v, v).sum()
    for derive in (grad(f), grad(jit(f)), lambda v: jvp(f, (v,), (v,)), anima.hessian(f)):
        with pytest.raises(ValueError, match="has no derivative known here"):
            derive(x)
    stopped = lambda v: (f(lax.stop_gradient(v)) * v).sum()
    assert grad(stopped)(x).tolist() == [3, 3, 3] == jit(grad(stopped))(x).tolist()


@both
def test_inside_control_flow(call: Any) -> None:
    def body(c: Any, x: Any) -> Any:
        return call(lambda a, b: onp.asarray(a) + onp.asarray(b), F32, c, x), c

    last, rows = lax.scan(body, 0.0, np.arange(4.0))
    assert float(last) == 6 and rows.tolist() == [0, 0, 1, 3]
    picked = jit(lambda p: lax.cond(p, lambda: call(lambda: onp.float32(1), F32), lambda: np.float32(2)))
    assert [float(picked(p)) for p in (True, False)] == [1, 2]
    counted = lax.while_loop(
        lambda i: i < 3, lambda i: call(lambda v: onp.asarray(v + 1), i, i), np.int32(0)
    ) if call is not pure_callback else np.int32(3)  # fmt: skip
    assert int(counted) == 3


def test_pure_callbacks_of_unused_results_are_dropped() -> None:
    seen: list[Any] = []
    f = jit(lambda x: (pure_callback(lambda v: (seen.append(v), v)[1], x, x), x)[1])
    f(np.ones(3)).block_until_ready()
    assert not seen and "custom_call" not in f.lower(np.ones(3)).as_text()


def test_the_number_of_the_callback_is_not_in_the_text() -> None:
    first = jit(lambda x: pure_callback(lambda v: v, x, x)).lower(np.ones(3)).as_text()
    second = jit(lambda x: pure_callback(lambda v: v + 1, x, x)).lower(np.ones(3)).as_text()
    assert first == second
    y = jit(lambda x: pure_callback(lambda v: onp.asarray(v) + 1, x, x))(np.ones(3))
    onp.testing.assert_array_equal(y, 2 * onp.ones(3, np.float32))


@both
def test_eager_calls_leave_nothing_behind(call: Any) -> None:
    def run() -> weakref.ref[Any]:
        def host(v: Any) -> Any:
            return v

        call(host, F32, 1.0)
        vmap(lambda x: pure_callback(host, x, x, vmap_method="sequential"))(np.ones(2))
        return weakref.ref(host)

    gone = run()
    gc.collect()
    assert gone() is None


def test_arrays_of_callbacks_outlive_the_call() -> None:
    kept: list[Any] = []
    f = jit(lambda b: io_callback(kept.append, None, b @ b))
    for n in range(5):
        f(np.full((3, 3), float(n)))
    anima.effects_barrier()
    time.sleep(0.01)
    assert [float(k[0, 0]) for k in kept] == [3.0 * n * n for n in range(5)]


def test_callbacks_that_run_programs_with_callbacks() -> None:
    seen: list[Any] = []
    big = np.ones((600, 600))

    @jit
    def inner(x: Any, b: Any) -> Any:
        io_callback(lambda v: seen.append(float(v)), None, x + 0 * (b @ b)[0, 0], ordered=True)
        return x * 2

    @jit
    def outer(x: Any, b: Any) -> Any:
        def fun(v: Any) -> Any:
            y = inner(v, big)
            anima.effects_barrier()
            return y

        return io_callback(fun, F32, x + 0 * (b @ b)[0, 0], ordered=True)

    assert [float(outer(float(n), big)) for n in range(3)] == [0, 2, 4]
    assert seen == [0, 1, 2]


FROM_THE_CACHE = """
import numpy, anima, anima.numpy as np
from anima import _native
def host(v):
    return numpy.asarray(np.sin(v) + np.sin(v))
f = anima.jit(lambda b: anima.pure_callback(host, anima.ShapeDtypeStruct((), np.float32), (b @ b)[0, 0]))
print(float(f(np.ones((600, 600)))), _native.compile_count())
"""


@pytest.mark.cpu
def test_programs_from_the_cache_run_inside_callbacks(run_python: Any, tmp_path: Any) -> None:
    """Such a program runs on a twin of the client, which gets a copy of the executable."""
    runs = [run_python(FROM_THE_CACHE, env={"ANIMA_COMPILATION_CACHE_DIR": str(tmp_path)}) for _ in range(2)]
    (first, compiled), (second, loaded) = [run.stdout.split() for run in runs]
    assert first == second and float(first) == pytest.approx(2 * onp.sin(600.0), rel=1e-5)
    assert int(compiled) > 0 == int(loaded)


def test_a_callback_outlives_its_function_until_its_program_has_run() -> None:
    def started() -> Any:
        f = jit(lambda b: pure_callback(lambda v: onp.asarray(v) * 2, F32, (b @ b @ b @ b)[0, 0]))
        return f(np.ones((1000, 1000)))

    result = started()
    gc.collect()
    assert float(result) == 2e9

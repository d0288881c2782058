"""`ffi_call` of handlers that are compiled here: values, batches, attributes, memory, effects and errors."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import ShapeDtypeStruct as Struct, jit, vmap
from anima.errors import JaxRuntimeError
from anima.experimental.layout import Layout
from anima.ffi import ffi_call

pytestmark = [pytest.mark.cpu, pytest.mark.usefixtures("targets")]
X = onp.arange(6, dtype=onp.float32).reshape(2, 3)


def scaled(x: Any, **attributes: Any) -> Any:
    return ffi_call("test_scale", Struct(np.shape(x), np.float32), vmap_method="broadcast_all")(
        x, **attributes
    )


def test_a_call_gives_the_same_eagerly_and_in_programs() -> None:
    assert (scaled(X) == 2 * X).all()
    assert (jit(scaled)(X) == 2 * X).all()
    assert (jit(lambda x: scaled(x + 1, by=onp.float32(3)) - 1)(X) == 3 * (X + 1) - 1).all()
    assert (
        jit(lambda x: anima.lax.cond(x[0, 0] > 0, scaled, lambda x: x, x))(X + 1).tolist()
        == (2 * X + 2).tolist()
    )


def test_results_have_the_container_that_was_declared() -> None:
    structs = (Struct((), np.int32), Struct((4,), bool))
    x = onp.array([3, -1, 0, 5], onp.int32)
    for container in (tuple, list):
        got = jit(ffi_call("test_two", container(structs)))(x)
        assert type(got) is container
        assert got[0] == 7 and got[1].tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        ("sequential", [3, 2]),
        ("sequential_unrolled", [3, 2]),
        ("expand_dims", [2, 3, 1, 2]),
        ("broadcast_all", [2, 3, 2, 2]),
        ("legacy_vectorized", [2, 3, 2]),
    ],
)
def test_what_a_handler_sees_of_a_batch(method: str, shapes: list[int]) -> None:
    call = ffi_call("test_shapes", Struct((4,), np.float32), vmap_method=method)
    f = vmap(call, in_axes=(1, None))
    x, y = onp.zeros((3, 2), onp.float32), onp.zeros(2, onp.float32)
    calls = 2 if method.startswith("sequential") else 1
    for run in (f, jit(f)):
        seen = run(x, y).reshape(-1)
        assert [int(v) for v in seen if v >= 0] == shapes * calls


@pytest.mark.parametrize(
    "method", ["sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized"]
)
def test_values_of_batches(method: str) -> None:
    call = ffi_call("test_add", Struct((3,), np.float32), vmap_method=method)
    z = onp.array([10, 20, 30], onp.float32)
    for run in (lambda f: f, jit):
        assert (run(vmap(call, in_axes=(0, None)))(X, z) == X + z).all()
        assert (run(vmap(call, in_axes=(1, None)))(X.T, z) == X + z).all()
        assert (run(vmap(vmap(call, in_axes=(0, None)), in_axes=(0, None)))(X[None], z) == X + z).all()


def test_batches_need_a_method() -> None:
    with pytest.raises(anima.errors.MissingRuleError, match=r"ffi_call of test_scale.*pass vmap_method"):
        vmap(ffi_call("test_scale", Struct((3,), np.float32)))(X)


ATTRIBUTES: dict[str, tuple[dict[str, Any], str]] = {
    "boolean": ({"flag": True}, "flag=1;"),
    "NumPy boolean": ({"flag": onp.False_}, "flag=0;"),
    "integer": ({"integer": -(1 << 40)}, f"integer={-(1 << 40)};"),
    "real": ({"real": 0.1}, "real=0.100000;"),
    "infinite": ({"real": float("-inf")}, "real=-inf;"),
    "nan": ({"single": onp.float32("nan")}, "single=nan;"),
    "small": ({"small": onp.int8(-3)}, "small=-3;"),
    "unsigned": ({"unsigned": onp.uint16(65535)}, "unsigned=65535;"),
    "single": ({"single": onp.float32(1.5)}, "single=1.500000;"),
    "string": ({"string": 'a "b"\n\\é'}, 'string=a "b"\n\\é;'),
    "bytes": ({"string": b"\x01xy"}, "string=\x01xy;"),
    "array": ({"array": onp.array([1, -2, 3], onp.int32)}, "array=1;array=-2;array=3;"),
    "equal elements": ({"array": onp.array([7, 7], onp.int32)}, "array=7;array=7;"),
    "matrix": ({"matrix": onp.array([[1.0, 2.0], [3.0, 4.5]])}, "matrix=1.000000;matrix=2.000000;matrix=3.000000;matrix=4.500000;"),
    "dictionary": ({"inner": {"b": "x", "a": 5}}, "inner.a=5;inner.b=x;"),
    "several": ({"flag": False, "integer": 3}, "flag=0;integer=3;"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(ATTRIBUTES))
def test_attributes_arrive(case: str) -> None:
    given, expected = ATTRIBUTES[case]
    call = ffi_call("test_attributes", Struct((128,), np.uint8))
    for run in (lambda: call(**given), jit(lambda: call(**given))):
        assert bytes(onp.asarray(run())).rstrip(b"\0").decode() == expected


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, TypeError, "the attribute a cannot be passed.*NoneType"),
        (1j, TypeError, "the attribute a cannot be passed"),
        (onp.complex64(1), TypeError, "the attribute a cannot be passed.*complex"),
        (1 << 63, OverflowError, "the attribute a cannot be passed.*64 bits"),
        (onp.array(["x"]), TypeError, "the attribute a cannot be passed"),
        ({1: 2}, TypeError, "the attribute a cannot be passed: names in a dictionary must be strings"),
        ([1, 2], TypeError, "pass a NumPy array instead of"),
        ({"b": (1,)}, TypeError, "pass a NumPy array instead of"),
        (onp.dtype("int8"), TypeError, "pass the name of int8"),
    ],
    ids=["None", "complex", "complex64", "large", "strings", "names", "list", "inner", "dtype"],
)
def test_attributes_that_cannot_be_passed(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ffi_call("test_attributes", Struct((128,), np.uint8))(a=value)


def test_equal_calls_are_one_program() -> None:
    call = ffi_call("test_scale", Struct((3,), np.float32))
    call(X[0], by=onp.float32(3))
    before = anima.runtime.compiler.compile_stats()
    for _ in range(3):
        assert (ffi_call("test_scale", Struct((3,), np.float32))(X[1], by=onp.float32(3)) == 3 * X[1]).all()
    assert anima.runtime.compiler.compile_stats() == before


def test_layouts_are_the_orders_of_dimensions_in_memory() -> None:
    shape = Struct((2, 3), np.float32)
    columns = X.T.reshape(-1)
    for layout in ((1, 0), [1, 0], Layout((1, 0))):
        got = ffi_call("test_memory", shape, input_layouts=[layout])(X)
        assert (onp.asarray(got).reshape(-1) == columns).all()
        got = jit(ffi_call("test_memory", shape, output_layouts=layout))(X)
        assert (onp.asarray(got).T.reshape(-1) == X.reshape(-1)).all()

    # In a batch, the new axis is the slowest.
    call = ffi_call(
        "test_memory", [shape], input_layouts=[(1, 0)], output_layouts=[None], vmap_method="broadcast_all"
    )
    (got,) = vmap(call)(onp.stack([X, -X]))
    assert (onp.asarray(got).reshape(2, -1) == onp.stack([columns, -columns])).all()


def test_a_result_may_take_the_memory_of_an_operand() -> None:
    results = (Struct((2, 3), np.float32), Struct((), bool))
    call = ffi_call("test_increment", results, input_output_aliases={0: 0})
    x = np.asarray(X)
    got, shared = jit(lambda x: call(x * 2))(x)
    assert (got == 2 * X + 1).all() and bool(shared)
    got, shared = call(x)
    assert (got == X + 1).all() and (x == X).all() and bool(shared)  # XLA copied the argument first
    got, shared = ffi_call("test_increment", results)(x)
    assert (got == X + 1).all() and not bool(shared)


def test_memory_that_is_taken_has_the_shape_of_the_batch() -> None:
    result = Struct((3,), np.float32)
    for method in ("expand_dims", "broadcast_all", "legacy_vectorized"):
        call = ffi_call("test_add", result, vmap_method=method, input_output_aliases={1: 0})
        assert (vmap(call, in_axes=(0, None))(X, X[1]) == X + X[1]).all()


def test_calls_with_effects_stay(targets: Any) -> None:
    def calls(**options: Any) -> int:
        before = targets.CallsSoFar()

        @jit
        def f(x: Any) -> Any:
            ffi_call("test_count", (), **options)(x)
            return x + 1

        f(1.0).block_until_ready()
        anima.effects_barrier()
        return int(targets.CallsSoFar() - before)

    assert calls(has_side_effect=True) == 1
    assert calls() == 0


def test_effects_in_loops_happen_as_often_as_the_loop_says(targets: Any) -> None:
    before = targets.CallsSoFar()

    def body(i: Any, x: Any) -> Any:
        ffi_call("test_count", (), has_side_effect=True)(x)
        return x + 1

    jit(lambda x: anima.lax.fori_loop(0, 5, body, x))(1.0).block_until_ready()
    anima.effects_barrier()
    assert targets.CallsSoFar() - before == 5


def test_types_without_a_name_in_cpp() -> None:
    x = onp.array([1.5, -2.0], ml_dtypes.bfloat16)
    got = ffi_call("test_half_bits", Struct((2,), np.uint16))(x)
    assert (onp.asarray(got) == x.view(onp.uint16)).all()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("failure", "NOT_FOUND.*no such thing"),
        ("exception", "INTERNAL.*an exception of C"),
        ("unknown", "UNKNOWN.*exception of an unknown type"),
        ("operand", "there is no operand 7: the call has 1"),
        ("dtype", "operand 0 has another element type"),
        ("attribute", "the attribute 'how' is not a number"),
        ("missing", "there is no attribute 'there is none'"),
    ],
)
def test_errors_of_handlers(how: str, message: str) -> None:
    call = ffi_call("test_refuse", Struct((), np.float32))
    for f in (call, jit(call)) if how == "failure" else (call,):
        with pytest.raises(JaxRuntimeError, match=message):
            (f(1.0, how=how) if f is call else jit(lambda x: call(x, how=how))(1.0)).block_until_ready()
    assert scaled(X)[0, 1] == 2  # the device is as before


def test_targets_that_nobody_registered() -> None:
    with pytest.raises(JaxRuntimeError, match="test_skale") as caught:
        ffi_call("test_skale", Struct((), np.float32))(1.0)
    notes = "\n".join(caught.value.__notes__)
    assert "register_ffi_target('test_skale'" in notes and "Did you mean 'test_scale'" in notes
    anima.ffi.register_ffi_target("test_elsewhere", anima.ffi.pycapsule(_library().abs), platform="tpu")
    with pytest.raises(JaxRuntimeError) as caught:
        jit(ffi_call("test_elsewhere", Struct((), np.float32)))(1.0)
    assert "registered for tpu only" in "\n".join(caught.value.__notes__)


def _library() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def test_there_is_no_derivative_but_a_rule_can_be_given() -> None:
    with pytest.raises(ValueError, match=r"ffi_call of test_scale.*custom_jvp"):
        anima.grad(lambda x: scaled(x).sum())(X)

    @anima.custom_jvp
    def double(x: Any) -> Any:
        return scaled(x)

    double.defjvp(lambda primals, tangents: (double(*primals), 2 * tangents[0]))
    assert (anima.grad(lambda x: (double(x) * X).sum())(X) == 2 * X).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"vmap_method": "any"}, ValueError, "vmap_method must be one of"),
        ({"input_layouts": [None, None]}, ValueError, "input_layouts must be a sequence"),
        ({"input_layouts": [(0, 0)]}, ValueError, "each of the 2 dimensions of its array once"),
        ({"input_layouts": [0.5]}, TypeError, "a layout in input_layouts must be"),
        ({"output_layouts": (0,)}, ValueError, "output_layouts must have each of the 2 dimensions"),
        ({"input_output_aliases": {1: 0}}, ValueError, "there is no argument 1"),
        ({"input_output_aliases": {0: 3}}, ValueError, "there is no result 3"),
        ({"custom_call_api_version": 5}, ValueError, "custom_call_api_version must be"),
        ({"legacy_backend_config": "x"}, ValueError, "custom_call_api_version below 4"),
        ({"legacy_backend_config": 3, "custom_call_api_version": 1}, TypeError, "must be a string"),
    ],
    ids=[
        "method",
        "count",
        "twice",
        "number",
        "rank",
        "argument",
        "result",
        "version",
        "typed config",
        "config",
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ffi_call("test_scale", Struct((2, 3), np.float32), **options)(X)


@pytest.mark.parametrize(
    "declared", [3, None, {"a": Struct((), np.float32)}, (None,)], ids=["number", "None", "dict", "tuple"]
)
def test_results_must_be_arrays(declared: Any) -> None:
    with pytest.raises(ValueError, match="result_shape_dtypes must"):
        ffi_call("test_scale", declared)


def test_memory_is_taken_from_what_is_alike_only() -> None:
    call = ffi_call("test_scale", Struct((3,), np.float32), input_output_aliases={0: 0})
    with pytest.raises(ValueError, match=r"argument 0 is f32\[2,3\] and result 0 f32\[3\]"):
        call(X)


def test_functions_of_an_interface_from_before_get_a_string() -> None:
    call = ffi_call("old", Struct((), np.float32), custom_call_api_version=2, legacy_backend_config='a "b"')
    text = jit(call).lower(1.0).as_text()
    assert "api_version = 2 : i32" in text and r'backend_config = "a \"b\""' in text
    with pytest.raises(ValueError, match="attributes need custom_call_api_version=4"):
        call(1.0, a=1)

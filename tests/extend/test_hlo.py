"""The emitter of StableHLO for lowering rules: each function against NumPy, attributes, and the rest of `mlir`."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest
import scipy.special

import anima
import anima.numpy as np
from anima import jit
from anima.core import ShapedArray
from anima.extend.core import AbstractToken, Effect, Primitive
from anima.interpreters import mlir
from anima.interpreters.mlir import hlo


def emitted(rule: Any, *args: Any, out: Any = None) -> Any:
    """What a lowering rule computes for these arguments; `out`: the aval of the result, if not the first argument's."""
    p = Primitive("emitted")
    p.def_abstract_eval(lambda *avals: avals[0] if out is None else out)
    mlir.register_lowering(p, rule)
    return jit(p.bind)(*args)


X = onp.array([[0.3, -1.5, 2.0], [0.25, 4.0, -0.5]], onp.float32)
Y = onp.array([[2.0, 0.5, -1.0], [3.0, 1.0, 2.5]], onp.float32)
I, J = onp.array([5, -3, 12], onp.int32), onp.array([3, 2, 7], onp.int32)

ELEMENTWISE: dict[str, Any] = {
    "abs": (onp.abs, X), "add": (onp.add, X, Y), "atan2": (onp.arctan2, X, Y), "cbrt": (onp.cbrt, X), "ceil": (onp.ceil, X),
    "cosine": (onp.cos, X), "divide": (onp.divide, X, Y), "exponential": (onp.exp, X), "floor": (onp.floor, X),
    "exponential_minus_one": (onp.expm1, X), "log": (onp.log, abs(X)), "log_plus_one": (onp.log1p, abs(X)),
    "logistic": (scipy.special.expit, X), "maximum": (onp.maximum, X, Y), "minimum": (onp.minimum, X, Y),
    "multiply": (onp.multiply, X, Y), "negate": (onp.negative, X), "power": (onp.power, abs(X), Y), "remainder": (onp.fmod, X, Y),
    "round_nearest_even": (onp.round, X), "round_nearest_afz": (lambda x: onp.trunc(x + onp.copysign(0.5, x)), X),
    "rsqrt": (lambda x: 1 / onp.sqrt(x), abs(X)), "sign": (onp.sign, X), "sine": (onp.sin, X), "sqrt": (onp.sqrt, abs(X)),
    "subtract": (onp.subtract, X, Y), "tan": (onp.tan, X), "tanh": (onp.tanh, X), "and_": (onp.bitwise_and, I, J),
    "or_": (onp.bitwise_or, I, J), "xor": (onp.bitwise_xor, I, J), "not_": (onp.invert, I), "shift_left": (onp.left_shift, I, J),
    "shift_right_arithmetic": (onp.right_shift, I, J), "popcnt": (lambda x: onp.array([2, 31, 2]), I),
    "count_leading_zeros": (lambda x: onp.array([29, 0, 28]), I), "optimization_barrier": (lambda x: x, X),
    "shift_right_logical": (lambda x, y: (x.view(onp.uint32) >> y.view(onp.uint32)).view(onp.int32), I, J),
}  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str) -> None:
    oracle, *args = ELEMENTWISE[name]
    found = emitted(lambda ctx, *xs: [getattr(hlo, name)(*xs)], *args)
    onp.testing.assert_allclose(found, oracle(*args), rtol=1e-5)


def test_all_elementwise_operations_are_tested() -> None:
    assert {n.rstrip("_") for n in ELEMENTWISE} | {"clamp"} == hlo.ELEMENTWISE


SHAPES: dict[str, Any] = {
    "clamp": (lambda ctx, lo, x, hi: [hlo.clamp(lo, x, hi)], (onp.float32(-1), X, onp.float32(1)), X.clip(-1, 1)),
    "convert": (lambda ctx, x: [hlo.convert("int32", x)], (X,), X.astype(onp.int32)),
    "convert to a type": (lambda ctx, x: [hlo.convert(ctx.avals_out[0], x)], (X,), X.astype(onp.int32)),
    "reshape": (lambda ctx, x: [hlo.reshape(ctx.avals_out[0], x)], (X,), X.reshape(3, 2)),
    "broadcast": (lambda ctx, x: [hlo.broadcast_in_dim(ctx.avals_out[0], x, [1])], (X[0],), onp.stack([X[0]] * 4)),
    "transpose": (lambda ctx, x: [hlo.transpose(x, (1, 0))], (X,), X.T),
    "concatenate": (lambda ctx, x, y: [hlo.concatenate([x, y, x], 1)], (X, Y), onp.concatenate([X, Y, X], 1)),
    "slice": (lambda ctx, x: [hlo.slice(x, [0, 1], [2, 3])], (X,), X[:, 1:]),
    "strided slice": (lambda ctx, x: [hlo.slice(x, [0, 0], [2, 3], [1, 2])], (X,), X[:, ::2]),
    "compare": (lambda ctx, x, y: [hlo.compare(x, y, "LT")], (X, Y), X < Y),
    "compare integers": (lambda ctx, x, y: [hlo.compare(x, y, "GE")], (I, J), I >= J),
    "select": (lambda ctx, x, y: [hlo.select(hlo.compare(x, y, "GT"), x, y)], (X, Y), onp.maximum(X, Y)),
    "iota": (lambda ctx: [hlo.iota(ctx.avals_out[0], 1)], (), onp.broadcast_to(onp.arange(3, dtype=onp.int32), (2, 3))),
    "dot_general": (lambda ctx, x, y: [hlo.dot_general(ctx.avals_out[0], x, y, ([1], [1]))], (X, Y), X @ Y.T),
    "batched dot": (lambda ctx, x, y: [hlo.dot_general(ctx.avals_out[0], x, y, ([1], [1]), ([0], [0]))], (X, Y), (X * Y).sum(1)),
    "constant": (lambda ctx, x: [hlo.add(x, hlo.constant(Y))], (X,), X + Y),
    "scalar constant": (lambda ctx, x: [hlo.multiply(x, hlo.constant(3))], (onp.int32(4),), onp.int32(12)),
    "large constant": (lambda ctx: [hlo.constant(onp.arange(999, dtype=onp.int32))], (), onp.arange(999, dtype=onp.int32)),
    "by name": (lambda ctx, x: hlo.op("stablehlo.reverse", [x], [x.aval], dimensions=mlir.dense_int_array([1])), (X,), X[:, ::-1]),
    "as in the bindings": (lambda ctx, x, y: [hlo.MaxOp(hlo.AddOp(x, y), hlo.MulOp(x, y).result).result], (X, Y), onp.maximum(X + Y, X * Y)),
    "bindings with types": (lambda ctx, x: [hlo.ReshapeOp(mlir.aval_to_ir_type(ctx.avals_out[0]), x)], (X,), X.reshape(6)),
    "ir_constant": (lambda ctx, x: [hlo.add(x, mlir.ir_constant(Y))], (X,), X + Y),
    "ir_constant of an aval": (lambda ctx, x: [hlo.add(x, mlir.ir_constants(2, aval=x.aval)[0])], (onp.float32(1),), onp.float32(3)),
    "shape_tensor": (lambda ctx: [mlir.shape_tensor(ctx, [2, 3])], (), onp.array([2, 3], onp.int32)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_other_operations(name: str) -> None:
    rule, args, expected = SHAPES[name]
    expected = onp.asarray(expected)
    found = emitted(
        rule, *args, out=ShapedArray(expected.shape, anima.dtypes.canonicalize_dtype(expected.dtype))
    )
    onp.testing.assert_allclose(found, expected, rtol=1e-6)


def test_complex_abs() -> None:
    z = onp.array([3 + 4j, 1j], onp.complex64)
    found = emitted(lambda ctx, x: [hlo.abs(x)], z, out=ShapedArray((2,), onp.float32))
    onp.testing.assert_allclose(found, abs(z))


def test_regions() -> None:
    def rule(ctx: Any, x: Any) -> Any:
        zero = hlo.constant(onp.float32(0))
        scalar = ShapedArray((), onp.float32)
        body = hlo.region([scalar, scalar], lambda a, b: [hlo.add(a, b)])
        return hlo.op(
            "stablehlo.reduce", [x, zero], ctx.avals_out, regions=[body], dimensions=mlir.dense_int_array([1])
        )

    onp.testing.assert_allclose(emitted(rule, X, out=ShapedArray((2,), onp.float32)), X.sum(1), rtol=1e-6)


def test_custom_calls_and_callbacks() -> None:
    calls: list[Any] = []

    def rule(ctx: Any, x: Any) -> Any:
        host = lambda v: (calls.append(onp.shape(v)), [onp.asarray(v) * 2])[1]
        found, token, keepalive = mlir.emit_python_callback(
            ctx, host, "token", [x], ctx.avals_in, ctx.avals_out
        )
        assert token == "token" and keepalive is None
        return found

    onp.testing.assert_array_equal(emitted(rule, X), 2 * X)
    assert calls == [(2, 3)]
    p = Primitive("called")
    p.def_abstract_eval(lambda x: x)
    mlir.register_lowering(
        p, lambda ctx, x: hlo.custom_call([x.aval], [x], "my_target", backend_config={"scale": 2.0})
    )
    text = jit(p.bind).lower(X).as_text()
    assert 'call_target_name = "my_target"' in text and "scale = 2.0 : f64" in text


@pytest.mark.cpu
def test_the_context() -> None:
    seen: list[Any] = []

    def rule(ctx: Any, x: Any, y: Any, *, power: int) -> Any:
        seen.append((ctx.primitive, ctx.platforms, ctx.avals_in, ctx.avals_out, power))
        ctx.module_context.add_keepalive(object())
        assert ctx.replace(avals_out=[]).avals_out == [] and ctx.module_context.platforms == ("cpu",)
        return [hlo.add(x, y)]

    p = Primitive("seen")
    p.def_abstract_eval(lambda x, y, *, power: x)
    mlir.register_lowering(p, rule)
    assert jit(lambda x, y: p.bind(x, y, power=3))(1.0, 2.0) == 3.0
    aval = anima.typeof(1.0)
    assert seen == [(p, ("cpu",), [aval, aval], [aval], 3)]


def test_rules_by_platform() -> None:
    p = Primitive("by_platform")
    p.def_abstract_eval(lambda x: x)
    mlir.register_lowering(p, lambda ctx, x: [hlo.sine(x)])
    mlir.register_lowering(p, lambda ctx, x: [hlo.cosine(x)], platform="gpu")
    mlir.register_lowering(p, lambda ctx, x: [hlo.tanh(x)], platform="tpu")
    closed = anima.make_jaxpr(p.bind)(1.0)
    for platform, name in (("cpu", "sine"), ("cuda", "cosine"), ("rocm", "cosine"), ("tpu", "tanh")):
        text = mlir.module_to_string(mlir.lower_jaxpr_to_module("f", closed, platforms=(platform,)))
        assert f"stablehlo.{name}" in text


def test_attributes_and_types() -> None:
    assert [str(hlo.attribute(v)) for v in (True, 3, 1.5, "a\"b", (1, False), {"k": 1}, onp.int8(4), float("inf"))] == [
        "true", "3 : i64", "1.5 : f64", '"a\\"b"', "[1 : i64, false]", "{k = 1 : i64}", "4 : i8", "0x7FF0000000000000 : f64",
    ]  # fmt: skip
    assert mlir.ir_attribute(onp.array([1, 2], onp.int32)).startswith("dense<")
    assert mlir.dense_int_elements([5]) == "dense<5> : tensor<1xi64>"
    assert mlir.dense_bool_array([True, False]) == "array<i1: true, false>"
    assert (mlir.i32_attr(3), mlir.i64_attr(3)) == ("3 : i32", "3 : i64")
    with pytest.raises(TypeError, match="no form as an attribute"):
        hlo.attribute(object())
    aval = ShapedArray((2,), onp.float32)
    assert mlir.aval_to_ir_types(aval) == (mlir.aval_to_ir_type(aval),)
    assert len({mlir.aval_to_ir_type(aval), mlir.aval_to_ir_type(aval)}) == 1
    assert str(mlir.token_type()) == "!stablehlo.token" == str(mlir.aval_to_ir_type(AbstractToken()))
    assert mlir.dtype_to_ir_type(bool) == "i1"
    assert mlir.flatten_ir_types([1, (2, 3)]) == [1, 2, 3]
    assert mlir.unflatten_ir_values_like_types([1, 2, 3], ["a", ("b", "c")]) == [1, (2, 3)]
    for wrong in ([1], [1, 2, 3, 4]):
        with pytest.raises(ValueError, match="values"):
            mlir.unflatten_ir_values_like_types(wrong, ["a", ("b", "c")])


def test_effects_can_be_lowered() -> None:
    class Mine(Effect):
        pass

    mlir.lowerable_effects.add_type(Mine)
    assert mlir.lowerable_effects.contains(Mine) and not mlir.lowerable_effects.contains(int)
    with pytest.raises(TypeError, match="no subclass"):
        mlir.lowerable_effects.add_type(int)


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        (lambda ctx, x: [hlo.add(x, 1.0)], TypeError, "hlo.constant makes one of a number"),
        (lambda ctx, x: [hlo.add()], TypeError, "takes at least one operand"),
        (lambda ctx, x: [hlo.reshape((3,), x)], TypeError, "must be an aval"),
        (lambda ctx, x: [hlo.cholesky(x)], AttributeError, "hlo.op emits any operation by its name"),
        (lambda ctx, x: [hlo.CholeskyOp(x)], AttributeError, "hlo has no function 'CholeskyOp'"),
        (lambda ctx, x: [hlo.custom_call([x.aval] * 2, [x], "t")], TypeError, "must be a value"),
        (lambda ctx, x: [hlo.CustomCallOp([x.aval] * 2, [x], "t").result], ValueError, "has 2 results"),
    ],
)
def test_mistakes(rule: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        emitted(rule, 1.0)


def test_inner_programs_in_place() -> None:
    closed = anima.make_jaxpr(lambda x: np.sin(x) + onp.arange(3.0, dtype=onp.float32))(np.ones(3))
    rule = lambda ctx, x: mlir.jaxpr_subcomp(ctx, closed.jaxpr, closed.consts, x)
    onp.testing.assert_allclose(emitted(rule, np.zeros(3)), [0.0, 1.0, 2.0])
    called = anima.make_jaxpr(np.sin)(np.ones(3))
    p = Primitive("calling")
    p.def_abstract_eval(lambda x: x)
    mlir.register_lowering(p, lambda ctx, x: mlir.core_call_lowering(ctx, x, name="inner", call_jaxpr=called))
    assert "@inner" in jit(p.bind).lower(np.ones(3)).as_text()
    onp.testing.assert_array_equal(jit(p.bind)(np.zeros(3)), onp.zeros(3))

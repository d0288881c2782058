"""Composites, tokens, and operations that change nothing: `composite`, `after_all`, `dce_sink`, `stage`, `scaled_dot`."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import anima
from anima import lax
from anima.core.trace import Tracer
from anima.errors import UnexpectedTracerError
from tests.lax.derivatives import check_derivatives
from tests.lax.samples import F32, floats

tangent = lax.composite(lambda x: lax.sin(x) / lax.cos(x), name="my.tangent", version=2)


def text_of(call: Any, *args: Any) -> str:
    return str(anima.jit(call).lower(*args).as_text())


def test_a_composite_is_its_decomposition() -> None:
    x = floats((3,), -1, 1)
    for found in (
        tangent(x),
        anima.jit(tangent)(x),
        anima.vmap(tangent)(x),
        anima.jit(anima.vmap(tangent))(x),
    ):
        np.testing.assert_allclose(found, np.tan(x), rtol=1e-6)
    carried, _ = lax.scan(lambda c, _: (tangent(c), None), x[0], None, length=2)
    np.testing.assert_allclose(carried, np.tan(np.tan(x[0])), rtol=1e-5)
    with anima.enable_x64(True):
        check_derivatives(tangent, (x.astype(float),), (0,))
        check_derivatives(anima.jit(tangent), (x.astype(float),), (0,))
    (back,) = anima.linear_transpose(lax.composite(lambda y: 3.0 * y, "my.linear"), F32(1))(F32(2))
    assert back == 6


def test_a_composite_in_the_text() -> None:
    text = text_of(tangent, F32(1))
    assert (
        '"stablehlo.composite"(%0) {name = "my.tangent", decomposition = @my_tangent, version = 2 : i32}'
        in text
    )
    assert "func.func private @my_tangent" in text
    assert "composite" not in text_of(anima.vmap(tangent), floats((3,)))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "3 : i64"),
        (True, "true"),
        (1.5, "1.5 : f64"),
        (float("nan"), "0x7FF8000000000000 : f64"),
        (F32(2), "2.0 : f32"),
        (np.int8(-3), "-3 : i8"),
        ('a"b\n', '"a\\22b\\0A"'),
        ([1, (2.0, "c")], '[1 : i64, [2.0 : f64, "c"]]'),
        ({"d": 1}, "{d = 1 : i64}"),
        (np.dtype(ml_dtypes.bfloat16), "bf16"),
        (np.array([True, False]), "dense<[true, false]> : tensor<2xi1>"),
        (lax.RandomAlgorithm.RNG_PHILOX, "2 : i64"),
    ],
)
def test_attributes(value: Any, words: str) -> None:
    scaled = lax.composite(lambda x, *, k, unused=None: {"twice": x * 2, "k": x}, "my.scaled")
    call = lambda x: scaled(x, k=value, unused=None)
    assert f"composite_attributes = {{k = {words}}}" in text_of(call, F32(1))
    assert anima.jit(call)(F32(3))["twice"] == 6  # the compiler takes it


def test_values_from_outside_a_composite() -> None:
    large = floats((1000,))
    np.testing.assert_allclose(anima.jit(lax.composite(lambda x: x + large, "a.b"))(F32(1)), large + 1)
    product = lambda z: lax.composite(lambda x: x * z, "a.b")(F32(3))
    assert anima.jit(product)(F32(2)) == 6 and anima.grad(product)(2.0) == 3


def test_composites_refuse() -> None:
    for name in ("", "one", "1.a", "a b.c", 3):
        with pytest.raises(ValueError, match="name must have two parts"):
            lax.composite(lambda x: x, name)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        lax.composite(lambda x: x, "a.b", 1.5)  # type: ignore[arg-type]
    plain = lax.composite(lambda x, *, k: x, "a.b")
    with pytest.raises(UnexpectedTracerError, match="k is traced"):
        anima.jit(lambda k: plain(1.0, k=k))(1.0)
    with pytest.raises(TypeError, match="k must be a number"):
        anima.jit(lambda x: plain(x, k=object()))(1.0)


def test_tokens() -> None:
    one, two = lax.create_token(), lax.create_token(3)
    for token in (one, lax.after_all(one, two), lax.after_all(), anima.jit(lax.after_all)(one)):
        assert token.shape == () and token.dtype == one.dtype
    out, x = anima.vmap(lambda x: (lax.after_all(lax.create_token()), x))(np.arange(3))
    assert out.shape == (3,) and lax.after_all(out).shape == (3,)
    np.testing.assert_array_equal(x, np.arange(3))
    assert anima.vmap(lambda t: lax.after_all(one, t))(out).shape == (3,)
    assert anima.grad(lambda x: (lax.create_token(), x)[1])(1.0) == 1
    names = [eqn.primitive.name for eqn in anima.make_jaxpr(lambda: lax.after_all(lax.create_token()))().eqns]
    assert names == ["create_token", "after_all"]
    with pytest.raises(TypeError, match="must be tokens"):
        lax.after_all(1.0)
    with pytest.raises(TypeError):
        lax.after_all("a")


def test_a_sink_keeps_what_computes_its_value() -> None:
    def fun(x: Any) -> Any:
        lax.dce_sink({"a": lax.sin(x), "b": (x, 2.0)}, prevent_mlir_dce=True)
        return x * 2

    assert anima.jit(fun)(3.0) == 6 and anima.grad(fun)(3.0) == 2
    np.testing.assert_array_equal(anima.jit(anima.vmap(anima.grad(fun)))(np.ones(2, F32)), [2, 2])
    kept = str(anima.make_jaxpr(anima.grad(fun))(1.0))
    assert "sin" in kept and kept.count("dce_sink") == 3
    assert "stablehlo.sine" in text_of(fun, F32(1))
    assert lax.while_loop(lambda x: x < 3, lambda x: (lax.dce_sink(x), x + 1)[1], 0) == 3
    mapped = anima.vmap(lambda p, x: lax.cond(p, fun, lambda x: x, x))(
        np.array([True, False]), np.ones(2, F32)
    )
    np.testing.assert_array_equal(mapped, [2, 1])
    assert anima.grad(anima.checkpoint(fun))(1.0) == 2
    assert lax.dce_sink(1.0) is None  # type: ignore[func-returns-value]
    with pytest.raises(TypeError):
        lax.dce_sink("a")


def test_stage() -> None:
    assert lax.stage(2.0).weak_type and not lax.stage(np.ones(2)).weak_type
    assert anima.jit(lambda: isinstance(lax.stage(2.0), Tracer))()
    assert str(anima.make_jaxpr(lambda: lax.stage(2))()).count("stage") == 1
    np.testing.assert_array_equal(anima.vmap(lambda x: lax.stage(x) + lax.stage(1))(np.arange(3)), [1, 2, 3])
    assert anima.grad(lambda x: lax.stage(x) ** 2)(3.0) == 6
    with pytest.raises(TypeError):
        lax.stage([1.0])


def test_shape_as_value() -> None:
    for shape in ((), (2, 3), np.array([4])):
        found = lax.shape_as_value(shape)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, np.asarray(shape, int))
    with pytest.raises(TypeError):
        lax.shape_as_value((2.5,))  # type: ignore[arg-type]


def test_scaled_dot() -> None:
    x, y = floats((4, 8)), floats((8, 5))
    x_scale, y_scale = np.array([[1, 2], [0.5, 4], [1, 1], [2, 2]], F32), floats((4, 5), 1, 3)
    expected = (x * np.repeat(x_scale, 4, 1)) @ (y * np.repeat(y_scale, 2, 0))
    found = lax.scaled_dot(x, y, lhs_scale=x_scale, rhs_scale=y_scale, preferred_element_type="float32")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    rounded = anima.jit(lax.scaled_dot)(x, y, lhs_scale=x_scale, rhs_scale=y_scale)
    assert rounded.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(rounded.astype(F32), expected, rtol=0.05, atol=0.2)
    stacked = lax.scaled_dot(*[np.stack([v, v]) for v in (x, y)], preferred_element_type="float32")
    np.testing.assert_allclose(stacked[1], x @ y, rtol=1e-5, atol=1e-5)
    blocks = lax.scaled_dot(
        x.reshape(2, 2, 8).T,
        x.reshape(2, 2, 8).T,
        lhs_scale=np.full((4, 1, 2), 2, F32),
        dimension_numbers=(((0, 1), (0, 1)), ((), ())),
        preferred_element_type="float32",
    )
    by_hand = 2 * np.einsum("abc,abd->cd", x.reshape(2, 2, 8).T, x.reshape(2, 2, 8).T)
    np.testing.assert_allclose(blocks, by_hand, rtol=1e-4)
    assert '"xla.scaled_dot"' in text_of(lambda x, y: lax.scaled_dot(x, y), x, y)
    narrow = lax.scaled_dot(
        x.astype(ml_dtypes.float8_e4m3fn),
        y.astype(ml_dtypes.float8_e5m2),
        lhs_scale=x_scale.astype(ml_dtypes.float8_e8m0fnu),
    )
    assert narrow.shape == (4, 5)
    slope = anima.grad(
        lambda x: lax.scaled_dot(x, y, lhs_scale=x_scale, preferred_element_type="float32").sum()
    )(x)
    np.testing.assert_allclose(slope, np.repeat(x_scale, 4, 1) * y.sum(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 8), (8, 5), (4, 8)), "at most half as large"),
        (((4, 8), (8, 5), (4, 3)), "must be a multiple"),
        (((4, 8), (8, 5), (2, 2)), "dimension 0 of lhs_scale must have size 4"),
        (((4, 8), (8, 5), (8,)), "must have one rank"),
        (((8,), (8,), (8,)), "at least 2"),
    ],
)
def test_scaled_dot_refuses(shapes: Any, message: str) -> None:
    x, y, scale = (np.ones(shape, F32) for shape in shapes)
    with pytest.raises(TypeError, match=message):
        lax.scaled_dot(x, y, lhs_scale=scale)

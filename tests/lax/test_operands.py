"""What fits together as operands, what the results' dtypes are, and what the errors say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
from anima import dtypes, lax, numpy as anp
from anima.core import hooks

F = np.arange(3, dtype=np.float32)
H = F.astype(dtypes.bfloat16)
INT = np.arange(3, dtype=np.int32)
BYTE = np.arange(3, dtype=np.uint8)
C = F.astype(np.complex64)


def kind(value: Any) -> tuple[str, bool, tuple[int, ...]]:
    return str(value.dtype), value.weak_type, value.shape


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (F, F, ("float32", False, (3,))),
        (F, 1.0, ("float32", False, (3,))),
        (F, 1, ("float32", False, (3,))),
        (H, 1.5, ("bfloat16", False, (3,))),
        (BYTE, 255, ("uint8", False, (3,))),
        (C, 1.5, ("complex64", False, (3,))),
        (C, 1j, ("complex64", False, (3,))),
        (1, 2, ("int32", True, ())),
        (1.0, 2.0, ("float32", True, ())),
        (1.0, np.float32(2), ("float32", False, ())),
        (F, np.float64(2), ("float32", False, (3,))),
        (F, np.float32(2), ("float32", False, (3,))),
        (np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32), ("float32", False, (2, 3))),
        (np.zeros((2, 1), np.float32), np.zeros((1, 3), np.float32), ("float32", False, (2, 3))),
        (np.zeros((0, 3), np.float32), np.zeros((1, 3), np.float32), ("float32", False, (0, 3))),
    ],
)
def test_operands_that_fit(x: Any, y: Any, expected: Any) -> None:
    assert kind(lax.add(x, y)) == expected
    assert kind(lax.add(y, x)) == expected
    assert kind(anima.jit(lambda: lax.add(x, y))()) == expected
    assert kind(anima.jit(lax.add)(x, y)) == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lax.add(F, INT), TypeError, r"lax.add requires arguments to have the same dtypes, got float32, int32"),
        (lambda: lax.add(1, 2.0), TypeError, r"got int32, float32. \(Tip: numpy.add"),
        (lambda: lax.add(INT, 1.5), TypeError, "got int32, float32"),
        (lambda: lax.add(F, H), TypeError, "got float32, bfloat16"),
        (lambda: lax.add(H, np.float32(1)), TypeError, "got bfloat16, float32"),
        (lambda: lax.max(F, True), TypeError, r"got float32, bool. \(Tip: numpy.maximum"),
        (lambda: lax.add(F, 1j), TypeError, "got float32, complex64"),
        (lambda: lax.add(BYTE, 256), OverflowError, "256 is out of bounds for uint8"),
        (lambda: lax.add(BYTE, -1), OverflowError, "-1 is out of bounds for uint8"),
        (lambda: lax.add(F, np.zeros((2, 3), np.float32)), TypeError, r"equal shapes.*got \(3,\), \(2, 3\)"),
        (lambda: lax.add(F, F[:2]), TypeError, r"got \(3,\), \(2,\).*numpy.add broadcasts"),
        (lambda: lax.add(F, None), TypeError, "None"),
        (lambda: lax.add(F, [1.0, 2.0, 3.0]), TypeError, "list"),
        (lambda: lax.add(True, False), TypeError, "add does not accept dtype bool"),
        (lambda: lax.sin(INT), TypeError, "sin does not accept dtype int32; it accepts floating point, complex"),
        (lambda: lax.lt(C, C), TypeError, "lt does not accept dtype complex64"),
        (lambda: lax.abs(BYTE), TypeError, "abs does not accept dtype uint8"),
        (lambda: lax.real(F), TypeError, "real does not accept dtype float32"),
        (lambda: lax.complex(H, H), TypeError, "complex does not accept dtype bfloat16"),
        (lambda: lax.pow(INT, INT), TypeError, "pow does not accept dtype int32 for argument x"),
        (lambda: lax.pow(F, H), TypeError, "same dtypes"),
        (lambda: lax.integer_pow(INT, -1), TypeError, "integers cannot be raised to negative powers"),
        (lambda: lax.integer_pow(F, 2.5), TypeError, "y must be an integer, got 2.5"),
        (lambda: lax.reciprocal(INT), TypeError, "reciprocal does not accept dtype int32"),
        (lambda: lax.round(F, 7), ValueError, "must be a lax.RoundingMethod, got 7"),
        (lambda: lax.reduce_precision(F, 0, 3), ValueError, "exponent_bits must be positive, got 0"),
        (lambda: lax.reduce_precision(F, 5, -1), ValueError, "mantissa_bits must not be negative, got -1"),
        (lambda: lax.convert_element_type(F, None), ValueError, "new_dtype must be a dtype"),
        (lambda: lax.convert_element_type(F, "foo"), TypeError, "'foo' requested in convert_element_type"),
        (lambda: lax.bitcast_convert_type(F, "bool"), TypeError, "float32 to bool.*view"),
        (lambda: lax.bitcast_convert_type(C, "float32"), TypeError, "complex64 to float32"),
        (lambda: lax.bitcast_convert_type(BYTE, "float32"), ValueError, r"must be 4, to become one element; got shape \(3,\)"),
        (lambda: lax.select_n(INT), ValueError, "at least one case"),
        (lambda: lax.select_n(F, F, F), TypeError, "which must be boolean or integer, got float32"),
        (lambda: lax.select_n(F > 1, F, F, F), TypeError, "boolean which chooses among 2 cases, got 3"),
        (lambda: lax.select(F > 1, F, 1.0), TypeError, r"equal shapes, got \(\), \(3,\)"),
        (lambda: lax.select(np.array([True]), F, F), TypeError, r"shape of the cases, \(3,\), got \(1,\)"),
        (lambda: lax.select(F > 1, F, H), TypeError, r"got bfloat16, float32. \(Tip: numpy.where"),
        (lambda: lax.clamp(F[:2], F, 1.0), TypeError, r"clamp: min must be a scalar or have the shape of x, \(3,\), got \(2,\)"),
        (lambda: lax.clamp(0, INT, 1.5), TypeError, "lax.clamp requires.*got int32, int32, float32"),
        (lambda: lax.exp(F, accuracy="high"), TypeError, "lax.exp: accuracy must be"),
        (lambda: lax.Tolerance(rtol=1e-3, ulps=2), ValueError, "rtol or ulps, not both"),
        (lambda: lax.Tolerance(atol=-1.0), ValueError, "must not be negative"),
        (lambda: lax.stop_gradient("a"), TypeError, "'a'"),
    ],
)  # fmt: skip
def test_operands_that_do_not_fit(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
    with pytest.raises(error, match=message):
        anima.jit(call)()


def test_constant_scalars_need_no_broadcast() -> None:
    eqns = anima.make_jaxpr(lambda x: lax.clamp(-1.0, lax.mul(2.0, lax.add(x, 1)), np.float32(3)))(F).eqns
    assert [e.primitive.name for e in eqns] == ["add", "mul", "clamp"]
    eqns = anima.make_jaxpr(lambda x, y: lax.add(x, y))(F, np.float32(1)).eqns
    assert [e.primitive.name for e in eqns] == ["broadcast_in_dim", "add"]


def test_constant_scalars_are_differentiated_and_mapped_around() -> None:
    fun = lambda x: lax.sub(lax.mul(lax.add(1.5, x), 2), lax.div(3.0, x))
    x = F + 1
    value, pull = anima.vjp(fun, x)
    np.testing.assert_allclose(value, (1.5 + x) * 2 - 3 / x, rtol=1e-6)
    np.testing.assert_allclose(pull(np.ones(3, np.float32))[0], 2 + 3 / x**2, rtol=1e-6)
    for axis in (0, 1):
        stacked = np.stack([x, 2 * x, 3 * x, 4 * x], axis)
        mapped = anima.vmap(fun, in_axes=axis, out_axes=axis)(stacked)
        np.testing.assert_allclose(mapped, fun(stacked), rtol=1e-6)


def test_scalars_that_vary_are_differentiated_and_mapped() -> None:
    fun = lambda x, s: lax.mul(x, s)
    _, pull = anima.vjp(fun, F, np.float32(2))
    cotangents = pull(np.ones(3, np.float32))
    np.testing.assert_array_equal(cotangents[0], [2, 2, 2])
    np.testing.assert_array_equal(cotangents[1], F.sum())
    mapped = anima.vmap(fun, in_axes=(None, 0), out_axes=1)(F, np.array([1, 10], np.float32))
    np.testing.assert_array_equal(mapped, np.outer(F, [1, 10]))


def test_arrays_with_64_bits_outlive_64_bit_mode() -> None:
    with anima.enable_x64():
        x = hooks.as_array(np.array([0.3, 0.7]))
        counts = hooks.as_array(np.array([1 << 40]))
    assert lax.sin(x).dtype == np.float64
    value, tangent = anima.jvp(lambda v: lax.logistic(lax.sinh(lax.log1p(v))), (x,), (x,))
    assert value.dtype == tangent.dtype == np.float64
    np.testing.assert_allclose(value, 1 / (1 + np.exp(-np.sinh(np.log1p(np.asarray(x))))), rtol=1e-14)
    assert lax.mulhi(counts, counts).dtype == np.int64
    np.testing.assert_array_equal(lax.mulhi(counts, counts), [1 << 16])


def test_what_is_weak() -> None:
    assert lax.lt(1, 2).weak_type and not lax.lt(1, F).weak_type
    assert lax.is_finite(1.0).weak_type
    assert lax.neg(1).weak_type
    assert not lax.convert_element_type(1, "int32").weak_type
    assert kind(lax.convert_element_type(F, int)) == ("int32", False, (3,))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.ma.masked_array(F, [True, False, False]), "the mask would be lost"),
        (F.astype(">f4"), "byte order"),
        (F.astype(object), "dtype object"),
        (np.array(["a", "b", "c"]), "dtype <U1"),
        (np.zeros(3, "datetime64[s]"), "dtype datetime64"),
        (F.astype(np.longdouble), "dtype float128"),
    ],
    ids=["masked", "swapped", "objects", "text", "dates", "long"],
)
def test_what_no_array_holds_is_refused_while_tracing(value: Any, reason: str) -> None:
    for fun in (
        lambda: lax.broadcast(value, (2,)),
        lambda: lax.neg(value),
        lambda: anp.add(F, value),
        lambda: value,
        lambda: lax.cond(True, lambda: value, lambda: value),
    ):
        with pytest.raises(TypeError, match=reason):
            anima.eval_shape(fun)
    with pytest.raises(TypeError, match=f"`x`.*{reason}"):
        anima.jit(lambda x: x)(value)

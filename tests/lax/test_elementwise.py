"""Elementwise operations where the walk over all operations does not look: at ties, poles, branches and defaults."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import anima
from anima import dtypes, lax
from anima.lax import compare
from anima.lax.identity import copy_p

INF, NAN = np.inf, np.nan


def pulled(fun: Any, *args: Any) -> list[float]:
    """The derivatives of `fun` by each argument."""
    args = tuple(np.float32(a) if not isinstance(a, complex) else np.complex64(a) for a in args)
    out, pull = anima.vjp(fun, *args)
    return [np.asarray(v).item() for v in pull(np.ones((), out.dtype))]


@pytest.mark.parametrize(
    ("fun", "args", "expected"),
    [
        (lax.sqrt, (0.0,), [INF]),
        (lax.rsqrt, (0.0,), [-INF]),
        (lax.cbrt, (0.0,), [INF]),
        (lax.log, (0.0,), [INF]),
        (lax.asin, (1.0,), [INF]),
        (lax.acosh, (1.0,), [INF]),
        (lax.abs, (0.0,), [1.0]),
        (lax.abs, (-0.0,), [1.0]),
        (lax.max, (2.0, 2.0), [0.5, 0.5]),
        (lax.min, (2.0, 2.0), [0.5, 0.5]),
        (lax.max, (NAN, 1.0), [0.0, 0.0]),
        (lax.pow, (0.0, 0.0), [0.0, 0.0]),
        (lax.pow, (0.0, 1.0), [1.0, 0.0]),
        (lax.pow, (0.0, 2.0), [0.0, 0.0]),
        (lax.pow, (0.0, 0.5), [INF, 0.0]),
        (lax.pow, (0.0, -1.0), [-INF, NAN]),
        (lax.pow, (-2.0, 3.0), [12.0, NAN]),
        (lambda x: lax.pow(x, np.int32(0)), (0.0,), [0.0]),
        (lambda x: lax.pow(x, np.int32(1)), (0.0,), [1.0]),
        (lambda x: lax.pow(x, np.int32(3)), (-2.0,), [12.0]),
        (lambda x: lax.integer_pow(x, 0), (0.0,), [0.0]),
        (lambda x: lax.integer_pow(x, -1), (0.0,), [-INF]),
        (lax.rem, (5.0, 3.0), [1.0, -1.0]),
        (lax.rem, (-5.0, 3.0), [1.0, 1.0]),
        (lax.rem, (1.0, INF), [1.0, 0.0]),
        (lax.atan2, (1.0, 0.0), [0.0, -1.0]),
        (lax.clamp, (0.0, 0.5, 1.0), [0.0, 1.0, 0.0]),
        (lax.clamp, (0.0, -2.0, 1.0), [1.0, 0.0, 0.0]),
        (lax.clamp, (0.0, 2.0, 1.0), [0.0, 0.0, 1.0]),
        (lax.clamp, (0.0, 0.0, 1.0), [0.0, 0.0, 0.0]),
        (lax.sign, (0.0,), [0.0]),
        (lax.round, (0.5,), [0.0]),
        (lambda x: lax.reduce_precision(lax.mul(x, 1.2345), 5, 3), (1.0,), [1.2345]),
        (lax.stop_gradient, (2.0,), [0.0]),
        (lambda x: lax.mul(x, lax.stop_gradient(x)), (3.0,), [3.0]),
        (lambda x: lax.convert_element_type(lax.convert_element_type(x, "int32"), "float32"), (3.0,), [0.0]),
        (lambda x: lax.bitcast_convert_type(x, "float32"), (3.0,), [0.0]),
        (lax.real, (1 + 2j,), [1]),
        (lax.imag, (1 + 2j,), [-1j]),
        (lax.abs, (3 + 4j,), [0.6 - 0.8j]),
        (lax.abs, (0j,), [0]),
        (lambda z: lax.real(lax.conj(lax.mul(z, 3j))), (1 + 2j,), [3j]),
        (lambda z: lax.real(lax.sign(z)), (2j,), [0.5]),
        (lambda z: lax.real(lax.sign(z)), (0j,), [0]),
        (lambda x, y: lax.imag(lax.complex(x, y)), (1.0, 2.0), [0.0, 1.0]),
        (lambda x: lax.real(lax.conj(x)), (2.0,), [1.0]),
    ],
)
def test_derivatives_at_special_points(fun: Any, args: Any, expected: Any) -> None:
    np.testing.assert_allclose(pulled(fun, *args), expected, rtol=2e-2)


@pytest.mark.parametrize(
    ("fun", "at", "expected"),
    [
        (lax.cbrt, 0.0, -INF),
        (lax.cbrt, -0.0, INF),
        (lax.cbrt, INF, 0.0),
        (lax.cbrt, 8.0, -1 / 144),
        (lambda x: lax.pow(x, np.float32(0)), 0.0, 0.0),
    ],
)
def test_second_derivatives_at_special_points(fun: Any, at: float, expected: float) -> None:
    for inner, outer in product((forwards, backwards), repeat=2):
        found = outer(lambda x, inner=inner: inner(fun, x), np.float32(at))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_derivative_of_a_power_by_base_and_exponent_where_that_is_0() -> None:
    # Of `y * x**(y - 1)` by y, at 0: 1 / x. It had been that of `y * x**y`, 1.
    for inner, outer in product((forwards, backwards), repeat=2):
        by_base = lambda y, inner=inner: inner(lambda x: lax.pow(x, y), np.float32(4))
        np.testing.assert_allclose(outer(by_base, np.float32(0)), 0.25, rtol=1e-6)


def forwards(fun: Any, x: Any) -> Any:
    return anima.jvp(fun, (x,), (np.float32(1),))[1]


def backwards(fun: Any, x: Any) -> Any:
    return anima.grad(fun)(x)


def test_the_derivative_of_acosh_is_on_its_branch() -> None:
    z, step = np.complex64(-0.5 + 0.3j), 1e-3
    _, tangent = anima.jvp(lax.acosh, (z,), (np.complex64(1),))
    np.testing.assert_allclose(tangent, (np.arccosh(z + step) - np.arccosh(z - step)) / (2 * step), rtol=1e-2)


def test_orders_have_no_derivative() -> None:
    with pytest.raises(NotImplementedError, match="polygamma: its order has no derivative"):
        anima.grad(lax.polygamma)(1.0, 2.0)
    with pytest.raises(NotImplementedError, match="'nextafter' has no forward derivative rule"):
        anima.grad(lax.nextafter)(1.0, 2.0)


def test_integer_division_where_it_is_undefined() -> None:
    smallest = np.int32(-(2**31))
    x = np.array([smallest, 5, -5, 7, -7], np.int32)
    y = np.array([-1, 0, 0, 2, 2], np.int32)
    np.testing.assert_array_equal(lax.div(x, y), [smallest, -1, -1, 3, -3])
    np.testing.assert_array_equal(lax.rem(x, y), [0, 5, -5, 1, -1])
    np.testing.assert_array_equal(lax.div(np.uint8(7), np.uint8(0)), 255)
    np.testing.assert_array_equal(lax.rem(np.uint8(7), np.uint8(0)), 7)


def test_complex_extrema_are_ordered_by_real_part_and_keep_nans() -> None:
    x = np.array([1 + 2j, 1 + 2j, 3, complex(NAN, 1), 1], np.complex64)
    y = np.array([1 + 3j, 0 + 9j, 3, 1, complex(1, NAN)], np.complex64)
    np.testing.assert_array_equal(np.asarray(lax.max(x, y))[:3], [1 + 3j, 1 + 2j, 3])
    np.testing.assert_array_equal(np.asarray(lax.min(x, y))[:3], [1 + 2j, 9j, 3])
    for result in (lax.max(x, y), lax.min(x, y)):
        assert np.isnan(np.asarray(result)[3:]).all()


@pytest.mark.parametrize(
    "accuracy",
    [
        lax.AccuracyMode.HIGHEST,
        lax.AccuracyMode.DEFAULT,
        lax.Tolerance(1e-3, ulps=3),
        lax.Tolerance(rtol=1e-2),
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "cbrt",
        "cos",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "logistic",
        "rsqrt",
        "sin",
        "sqrt",
        "tan",
        "tanh",
    ],
)
def test_accuracy_can_be_asked_for(name: str, accuracy: Any) -> None:
    call = getattr(lax, name)
    fun = lambda x: call(x, accuracy=accuracy)
    np.testing.assert_allclose(fun(np.float32(0.7)), call(np.float32(0.7)), rtol=1e-5)
    np.testing.assert_allclose(pulled(fun, 0.7), pulled(call, 0.7), rtol=1e-5)
    assert "accuracy" in str(anima.make_jaxpr(fun)(np.float32(1)))
    assert "accuracy" not in str(anima.make_jaxpr(call)(np.float32(1)))


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-3, 0.9, 5.0, 80.0])
def test_complex_sines_keep_the_smaller_part(size: float) -> None:
    for name in ("sin", "cos", "sinh", "cosh"):
        for z in (complex(0.4, size), complex(size, 0.4), complex(size, size / 3)):
            with np.errstate(all="ignore"):
                want = getattr(np, name)(np.complex128(np.complex64(z)))
            got = np.asarray(getattr(lax, name)(np.complex64(z)))
            np.testing.assert_allclose([got.real, got.imag], [want.real, want.imag], rtol=1e-6, atol=1e-37)


def test_whole_powers_of_two_are_exact() -> None:
    powers = np.arange(-126, 128, dtype=np.float32)
    np.testing.assert_array_equal(lax.exp2(powers), np.ldexp(np.float32(1), powers.astype(np.int32)))
    np.testing.assert_array_equal(
        lax.exp2(np.array([128, 1e30, INF, -200, -INF], np.float32)), [INF, INF, INF, 0, 0]
    )


def test_copies_have_memory_of_their_own() -> None:
    x = lax.add(np.float32(1), np.ones(3, np.float32))
    y = copy_p.bind(x)
    assert x.unsafe_buffer_pointer() != y.unsafe_buffer_pointer()
    np.testing.assert_array_equal(x, y)


def test_stop_gradient_takes_trees() -> None:
    tree = {"a": np.float32(1), "b": (np.int32(2), None)}
    stopped = lax.stop_gradient(tree)
    assert anima.tree.structure(stopped) == anima.tree.structure(tree)
    assert (
        str(anima.make_jaxpr(lax.stop_gradient)({"a": np.float32(1), "b": np.int32(2)})).count(
            "stop_gradient"
        )
        == 1
    )


def test_total_order() -> None:
    values = np.array([-NAN, -INF, -1, -0.0, 0.0, 1, INF, NAN], np.float32)
    values[0] = np.copysign(np.float32(NAN), np.float32(-1))
    below = np.asarray(compare.lt_to(values[:-1], values[1:]))
    assert below.all()
    assert not np.asarray(compare.lt_to(values[1:], values[:-1])).any()
    assert np.asarray(compare.eq_to(values, values)).all()


KEY = dtypes.ExtendedDType("key<test>", dtypes.prng_key, (2,), np.dtype(np.uint32))


def test_keys_are_compared_and_selected() -> None:
    keys = anima.ShapeDtypeStruct((3,), KEY)
    flags = anima.ShapeDtypeStruct((3,), np.bool_)
    text = (
        anima.jit(lambda p, a, b: (lax.select(p, a, b), lax.eq(a, b), lax.ne(a, b)))
        .lower(flags, keys, keys)
        .as_text()
    )
    assert "tensor<3x2xui32>" in text
    with pytest.raises(TypeError, match="lt does not accept dtype key<test>"):
        anima.eval_shape(lax.lt, keys, keys)
    with pytest.raises(TypeError, match="random keys have no numbers to convert"):
        anima.eval_shape(lambda k: lax.convert_element_type(k, "float32"), keys)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e3m4"])
def test_small_floats_are_rounded_once(name: str) -> None:
    x = (np.random.default_rng(0).standard_normal((2, 5000)) * 8).astype("float32")
    kind = np.dtype(name)
    jitted = anima.jit(lambda x: lax.convert_element_type(x, kind))
    for convert in (
        lambda x: lax.convert_element_type(x, kind),
        jitted,
        lambda x: anima.numpy.asarray(x).astype(kind),
    ):
        assert np.array_equal(np.asarray(convert(x)).view("uint8"), x.astype(kind).view("uint8"))


@pytest.mark.parametrize("mantissa_bits", [0, 1])
def test_nan_stays_when_the_precision_is_reduced(mantissa_bits: int) -> None:
    x = np.array([NAN, -INF, 1.0], np.float32)
    for f in (lax.reduce_precision, anima.jit(lax.reduce_precision, static_argnums=(1, 2))):
        np.testing.assert_array_equal(f(x, 8, mantissa_bits), [NAN, -INF, 1])

"""Functions of each element: values, dtypes and the edges of their domains."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import assert_same, check

NAN, INF = numpy.nan, numpy.inf
REAL = numpy.array([-INF, -2.5, -1.0, -0.0, 0.0, 0.3, 1.0, 2.5, INF, NAN], "float32")
COMPLEX = numpy.array([0.3 + 0.2j, -1.5 + 2j, 2 - 0.5j], "complex64")
INTEGERS = numpy.array([-7, -1, 0, 1, 6], "int32")

FLOATING = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "cbrt",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "deg2rad",
    "rad2deg",
    "radians",
    "degrees",
    "sinc",
    "fabs",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
]
ALL_KINDS = [
    "absolute",
    "abs",
    "negative",
    "positive",
    "square",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
]


@pytest.mark.parametrize("name", FLOATING)
def test_floating_functions(name: str) -> None:
    check(lambda np: getattr(np, name)(REAL), 5e-6, traced=False)
    if name not in ("fabs", "cbrt", "deg2rad", "rad2deg", "radians", "degrees", "sinc", "exp2"):
        check(lambda np: getattr(np, name)(COMPLEX), 5e-6, traced=False)
    assert getattr(np, name)(INTEGERS).dtype == np.float32
    assert getattr(np, name)(True).dtype == np.float32
    assert getattr(np, name)(np.ones(2, np.bfloat16)).dtype == np.bfloat16


@pytest.mark.parametrize("name", ALL_KINDS)
def test_functions_of_all_kinds(name: str) -> None:
    check(lambda np: getattr(np, name)(REAL), traced=False)
    ours = getattr(np, name)(INTEGERS)
    assert_same(ours.astype(np.float32), getattr(numpy, name)(INTEGERS).astype("float32"))
    empty = getattr(np, name)(np.zeros((0, 2)))
    assert empty.shape == (0, 2)


BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "true_divide",
    "floor_divide",
    "remainder",
    "mod",
    "fmod",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "hypot",
    "arctan2",
    "logaddexp",
    "logaddexp2",
    "copysign",
    "nextafter",
    "heaviside",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "power",
    "float_power",
]


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_of_floats(name: str) -> None:
    x = numpy.array([-2.5, -0.0, 3.0, INF, NAN, 1.5], "float32")
    y = numpy.array([[1.5], [-2.0], [INF], [NAN]], "float32")
    ours = numpy.asarray(getattr(np, name)(x, y))
    with numpy.errstate(all="ignore"):
        theirs = getattr(numpy, name)(x, y).astype(ours.dtype)
    if name == "floor_divide":  # of infinities NumPy says NaN
        finite = numpy.isfinite(x) & numpy.isfinite(y)
        ours, theirs = ours[finite], theirs[finite]
    numpy.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int8"])
@pytest.mark.parametrize(
    "name",
    [
        "add",
        "subtract",
        "multiply",
        "floor_divide",
        "remainder",
        "fmod",
        "maximum",
        "minimum",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "less",
        "equal",
        "gcd",
        "lcm",
    ],
)
def test_binary_functions_of_integers(name: str, dtype: str) -> None:
    rng = numpy.random.default_rng(0)
    info = numpy.iinfo(dtype)
    x, y = rng.integers(info.min, info.max, (2, 50)).astype(dtype)
    y = numpy.where(y == 0, 1, y).astype(dtype)
    with numpy.errstate(all="ignore"):
        assert_same(getattr(np, name)(x, y), getattr(numpy, name)(x, y))


def test_division_by_zero() -> None:
    x = np.array([1, -1, 0])
    assert (x % 0).tolist() == [0, 0, 0]
    assert np.fmod(x, 0).tolist() == [0, 0, 0]
    assert (np.array([1.0, -1.0]) / 0).tolist() == [INF, -INF]
    assert (np.array([1.0, -1.0]) // 0).tolist() == [INF, -INF]


def test_divmod_has_pythons_signs() -> None:
    for kind in (int, float):
        pairs = [(kind(a), kind(b)) for a in (-7, -6, 0, 6, 7) for b in (-3, -2, 2, 3)]
        x, y = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
        quotient, remainder = np.divmod(x, y)
        assert quotient.tolist() == [divmod(a, b)[0] for a, b in pairs]
        assert remainder.tolist() == [divmod(a, b)[1] for a, b in pairs]


@pytest.mark.parametrize("base", [2, 2.5, True, -3])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7])
def test_integer_powers(base: float, exponent: int) -> None:
    expected = float(base**exponent)
    for power in (np.power, lambda b, e: np.asarray(b) ** e, anima.jit(np.power, static_argnums=1)):
        assert float(power(base, exponent)) == pytest.approx(expected)
    assert float(anima.jit(np.power)(base, exponent)) == pytest.approx(expected)


def test_powers_of_arrays() -> None:
    assert (2 ** np.array([0, 3, -1])).tolist() == [1, 8, 0]
    assert (np.array([2, -2]) ** np.array([5, 3])).tolist() == [32, -8]
    assert (np.array([2.0, -2.0]) ** np.array([-1, 3])).tolist() == [0.5, -8.0]
    assert (np.array([4.0]) ** 0.5).tolist() == [2.0]
    assert (np.array([2.0]) ** 100).tolist() == [2.0**100]
    with pytest.raises(TypeError, match="integers cannot be raised to negative powers"):
        np.array([2]) ** -1
    with pytest.raises(TypeError, match="no third argument"):
        pow(np.array([2]), 2, 3)


def test_an_eager_power_compiles_once_for_all_large_exponents() -> None:
    from anima import _native

    x = np.array([1.0])
    x**100
    count = _native.compile_count()
    x**101
    assert _native.compile_count() == count


@pytest.mark.parametrize("decimals", [-2, -1, 0, 1, 2])
def test_round(decimals: int) -> None:
    x = numpy.array([15.25, -25.35, 149.995, 0.5, 1.5, 2.5, INF, NAN], "float32")
    check(lambda np: np.round(x, decimals), 1e-5)
    whole = numpy.array([15, 25, -25, 149, 150, 350], "int32")
    check(lambda np: np.round(whole, decimals))


def test_parts_of_floating_point_numbers() -> None:
    x = numpy.array([12.0, -0.3, 0.0, -0.0, 1e30, INF, NAN], "float32")
    mantissa, exponent = np.frexp(x)
    theirs = numpy.frexp(x)
    assert_same(mantissa, theirs[0])
    assert exponent.tolist()[:5] == theirs[1].tolist()[:5]
    check(
        lambda np: np.ldexp(numpy.array([1.5, -3.0], "float32"), numpy.array([[100], [-3], [127]], "int32"))
    )
    check(lambda np: np.modf(numpy.array([1.5, -2.25, INF, 0.0], "float32")))
    check(lambda np: np.signbit(x))
    assert np.signbit(np.array(-0.0, np.bfloat16)).item() is True
    for dtype in ("float16", "bfloat16", "float32"):
        assert np.nextafter(np.array(1, dtype), np.array(2, dtype)) > 1
        assert np.spacing(np.array(1, dtype)).item() == float(anima.dtypes.finfo(dtype).eps)


def test_tests_for_closeness() -> None:
    x = numpy.array([1.0, 1.00001, NAN, INF, -INF, 0.0], "float32")
    y = numpy.array([1.0, 1.0, NAN, INF, INF, 1e-9], "float32")
    check(lambda np: np.isclose(x, y))
    check(lambda np: np.isclose(x, y, equal_nan=True))
    assert not np.allclose(x, y)
    assert np.allclose(np.array([1, 2]), np.array([1, 2]))
    assert np.array_equal([1, 2], np.array([1.0, 2.0]))
    assert not np.array_equal(np.zeros(2), np.zeros(3))
    assert np.array_equal(np.array([NAN]), np.array([NAN]), equal_nan=True)
    assert np.array_equiv(np.ones((2, 2)), 1)


def test_bits() -> None:
    rng = numpy.random.default_rng(1)
    x = rng.integers(0, 256, (3, 5)).astype("uint8")
    check(lambda np: np.unpackbits(x, axis=1))
    check(lambda np: np.unpackbits(x, axis=0, bitorder="little", count=7))
    check(lambda np: np.packbits(x % 2, axis=1))
    check(lambda np: np.packbits(x % 2, bitorder="little"))
    check(lambda np: np.bitwise_count(x))
    check(lambda np: np.left_shift(numpy.int32(3), numpy.array([0, 5], "int32")))
    check(lambda np: np.right_shift(numpy.array([-8, 8], "int32"), numpy.int32(1)))
    check(lambda np: np.invert(x))
    assert (~np.array([True, False])).tolist() == [False, True]


@pytest.mark.parametrize("name", ["sin", "add", "logical_not", "maximum", "power", "isnan", "real", "clip"])
@pytest.mark.parametrize("bad", ["text", [1, 2], None, object(), {1: 2}])
def test_operands_must_be_arrays(name: str, bad: object) -> None:
    if name == "clip" and bad is None:
        with pytest.raises(ValueError, match="arr must be an array, got None"):
            np.clip(None, 1.0)
        return
    count = 1 if name in ("sin", "logical_not", "isnan", "real") else 2
    with pytest.raises(TypeError, match=f"{name} requires ndarray or scalar arguments, got"):
        getattr(np, name)(*[bad, 1.0][:count])
    with pytest.raises(TypeError):
        anima.jit(lambda: getattr(np, name)(*[bad, 1.0][:count]))()


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(TypeError, match=r"add got incompatible shapes for broadcasting: \(2,\), \(3,\)"):
        np.add(np.ones(2), np.ones(3))


@pytest.mark.parametrize("name", ["floor", "floor_divide", "remainder", "fabs", "divmod"])
def test_complex_operands_where_there_is_no_order(name: str) -> None:
    args = (1j, 2)[: 1 if name in ("floor", "fabs") else 2]
    with pytest.raises(TypeError, match="complex"):
        getattr(np, name)(*args)


def test_order_of_complex_numbers() -> None:
    x = numpy.array([1 + 1j, 1 + 2j, 2 + 0j, 1 + 1j], "complex64")
    y = numpy.array([1 + 2j, 1 + 1j, 1 + 9j, 1 + 1j], "complex64")
    for name in ("less", "less_equal", "greater", "greater_equal", "maximum", "minimum"):
        check(lambda np, name=name: getattr(np, name)(x, y))


def test_derivatives_at_special_places() -> None:
    assert float(anima.grad(np.sinc)(0.0)) == 0.0
    assert float(anima.grad(anima.grad(np.sinc))(0.0)) == pytest.approx(-(numpy.pi**2) / 3, rel=1e-5)
    assert float(anima.grad(np.logaddexp)(INF, INF)) in (0.5, 1.0)
    for equal in (0.7, -0.7, 30.0):  # smooth where both operands are equal
        assert float(anima.hessian(np.logaddexp)(equal, equal)) == pytest.approx(0.25, rel=1e-5)
        assert float(anima.hessian(np.logaddexp2)(equal, equal)) == pytest.approx(numpy.log(2) / 4, rel=1e-5)
        assert float(anima.hessian(np.hypot)(equal, equal)) == pytest.approx(8**-0.5 / abs(equal), rel=1e-5)
    assert float(anima.hessian(np.hypot)(0.0, 0.7)) == pytest.approx(1 / 0.7, rel=1e-5)
    assert float(anima.grad(lambda x: x**2)(0.0)) == 0.0
    assert float(anima.grad(lambda x: np.where(x > 0, x, 0.0))(-1.0)) == 0.0


def test_jaxprs_hold_operations_alone() -> None:
    x = np.ones(3)
    assert str(anima.make_jaxpr(np.sin)(x)) == "{ lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }"
    assert "mul a 2.0:f32[]" in str(anima.make_jaxpr(lambda x: x * 2)(x))
    assert "integer_pow[y=2]" in str(anima.make_jaxpr(lambda x: x**2)(x))

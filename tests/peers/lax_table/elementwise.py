"""Elementwise functions of `lax`, and conversions."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.lax.declare import SUBBYTE
from tests.peers.lax_table.entry import Arguments, entry
from tests.peers.lax_table.source import BOOL, COMMON, INEXACT, INTEGER, NUMERIC, WIDE, Lax, Source, named

# fmt: off
EXACT = ("bitwise_not", "ceil", "clz", "conj", "floor", "imag", "is_finite", "neg", "population_count", "real")
ACCURATE = (
    "cbrt", "cos", "exp", "exp2", "expm1", "log", "log1p", "logistic", "rsqrt", "sin", "sqrt", "tan", "tanh",
)
ROUGH = ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cosh", "sinh")
SPECIAL = ("digamma", "erf", "erf_inv", "erfc", "lgamma")
LOGICAL = ("bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right_arithmetic", "shift_right_logical")
# fmt: on
COMPLEX = ("complex64", "complex128")
MORE = (*COMMON, "int4", "float8_e4m3fn")


@entry(*EXACT, usual=(*COMMON, "int4", "uint2", "float8_e5m2"))
@entry("abs", "sign", "square", "reciprocal", ulps=4)
@entry(*ROUGH, usual=(*WIDE, *COMPLEX), ulps=64)
@entry(*SPECIAL, usual=WIDE, ulps=64, floor=1e-2)
def one_operand(s: Source) -> Arguments:
    return (s.operand(s.shape()),)


@entry("stop_gradient", usual=(*COMMON, "int4", "uint2", "float8_e5m2"))
def one_array(s: Source) -> Arguments:
    return (s.tensor(s.shape()),)


@entry(*ACCURATE, usual=(*WIDE, *COMPLEX), ulps=32)
def one_operand_of_an_accuracy(s: Source) -> Any:
    accuracies = (named("AccuracyMode").make, named("Tolerance", rtol=1e-2).make)
    accuracy = s.pick(None, Lax(lambda lax: accuracies[0](lax).HIGHEST), Lax(accuracies[1]))
    return (s.operand(s.shape()),), s.pick({}, {"accuracy": accuracy})


@entry("round", usual=WIDE)
def rounding(s: Source) -> Arguments:
    method = s.pick(0, 1)
    methods = Lax(lambda lax: lax.RoundingMethod(method), f"RoundingMethod({method})")
    return (s.operand(s.shape()), *s.pick((), (methods,), wrong=((7,), ("up",))))


def fitting(s: Source, count: int) -> list[Any]:
    """Operands of one dtype and shape; or numbers, and shapes with sizes of 1."""
    shape = s.shape()
    dtypes = [s.other() for _ in range(count)]
    shapes = [tuple(s.pick(n, n, n, 1) for n in s.near(shape)) for _ in range(count)]
    return [s.operand(h, d) for h, d in zip(shapes, dtypes)]


def scalars_differ(call: Any, ours: Any, theirs: Any) -> bool:
    """The row `lax-scalars`: a number takes the dtype of the arrays."""
    numbers = any(isinstance(a, (bool, int, float, complex, Lax)) for a in call.args)
    refused = isinstance(theirs, (TypeError, OverflowError))
    return numbers and refused and isinstance(ours, (list, tuple, OverflowError))


def complex_order(call: Any, ours: Any, theirs: Any) -> bool:
    """The rows `lax-scalars`, and `complex-extrema`: JAX loses NaNs."""
    values = isinstance(ours, tuple) and isinstance(theirs, tuple) and "complex" in ours[0][0][0]
    return scalars_differ(call, ours, theirs) or (values and bool(np.isnan(ours[1][0]).any()))


def narrow(call: Any, ours: Any, theirs: Any) -> bool:
    """The rows `lax-scalars`, and `narrow-mulhi`: JAX's is 0 for narrow integers."""
    values = isinstance(ours, tuple) and isinstance(theirs, tuple)
    return scalars_differ(call, ours, theirs) or (values and ours[0][0][0] in SUBBYTE)


def narrow_gammas(call: Any, ours: Any, theirs: Any) -> bool:
    """The rows `lax-scalars`, and `small-float-sums`: JAX computes with as few digits as the arrays have."""
    values = isinstance(ours, tuple) and isinstance(theirs, tuple)
    return scalars_differ(call, ours, theirs) or (values and ours[0][0][0] == "float8_e3m4")


@entry("add", "sub", "mul", "div", "rem", usual=MORE, ulps=4, different=scalars_differ)
@entry("max", "min", usual=MORE, different=complex_order)
@entry("eq", "ge", "gt", "le", "lt", "ne", usual=(*MORE, "uint2"), different=scalars_differ)
@entry(*LOGICAL, usual=(*BOOL, *INTEGER), different=scalars_differ)
@entry("mulhi", usual=INTEGER, different=narrow)
@entry("nextafter", usual=WIDE, different=scalars_differ)
@entry("complex", usual=("float32", "float64"), different=scalars_differ)
@entry("atan2", usual=(*WIDE, *COMPLEX), ulps=64, different=scalars_differ)
def two_operands(s: Source) -> Arguments:
    return tuple(fitting(s, 2))


@entry("polygamma", usual=WIDE, ulps=512, different=scalars_differ)
@entry("zeta", usual=WIDE, ulps=512, different=scalars_differ)
def order_and_argument(s: Source) -> Arguments:
    shape = s.shape()
    return s.operand(shape, values="positive"), s.operand(shape, s.other(), values="positive")


@entry("bessel_i0e", "bessel_i1e", usual=WIDE, ulps=64, floor=1e-2)
def one_number(s: Source) -> Arguments:
    return (s.operand(s.shape(), values="small"),)


@entry(
    "igamma",
    "igammac",
    "igamma_grad_a",
    "random_gamma_grad",
    usual=WIDE,
    ulps=1024,
    floor=0.1,
    different=narrow_gammas,
)
def gamma_arguments(s: Source) -> Arguments:
    shape = s.shape()
    return s.operand(shape, values="positive"), s.operand(s.near(shape), s.other(), values="positive")


@entry("betainc", usual=WIDE, ulps=1024, floor=0.1, different=scalars_differ)
def beta_arguments(s: Source) -> Arguments:
    shape = s.shape()
    a, b = (s.operand(shape, values="positive") for _ in range(2))
    return a, b, s.operand(s.near(shape), s.other(), values="small")


@entry("pow", usual=(*WIDE, *COMPLEX, "int32", "uint8"), ulps=64, different=scalars_differ)
def power(s: Source) -> Arguments:
    shape = s.shape()
    dtype = s.pick(s.dtype, s.dtype, "int32", "int8", wrong=COMMON)
    exponent = s.operand(shape, dtype, "index" if dtype in INTEGER else "any")
    return s.operand(shape, values="small"), exponent


@entry("integer_pow", usual=(*NUMERIC,), ulps=32)
def integer_power(s: Source) -> Arguments:
    return s.operand(s.shape()), s.pick(3, 2, 1, 0, 5, 8, -1, -2, wrong=(0.5, "2", 2.0, 1j, None))


@entry("clamp", usual=MORE, different=complex_order)
def clamped(s: Source) -> Arguments:
    shape = s.shape()
    low, high = (s.pick(shape, ()) for _ in range(2))
    return s.operand(s.near(low), s.other()), s.operand(shape), s.operand(s.near(high), s.other())


@entry("select", different=scalars_differ)
@entry("select_n", different=scalars_differ)
def selected(s: Source) -> Arguments:
    shape = s.shape()
    which = s.operand(s.near(s.pick(shape, ())), s.pick("bool", wrong=("int32", "float32", "uint8")))
    return which, s.operand(shape), s.operand(s.near(shape), s.other())


@entry("reduce_precision", usual=(*INEXACT,))
def precision(s: Source) -> Arguments:
    bits = s.pick(5, 8, 3, 1, wrong=(0, -1, 100, 2.5, None))
    return s.operand(s.shape()), bits, s.pick(3, 7, 10, 0, 23, 52, wrong=(-1, 100, 2.5, "a"))


NARROW = ("int4", "uint2", "float8_e4m3fn", "float8_e5m2")


def complex_truth(call: Any, ours: Any, theirs: Any) -> bool:
    """The row `complex-truth`: JAX looks at the real part only."""
    x = call.args[0]
    return isinstance(ours, tuple) and ours[0][0][0] == "bool" and (isinstance(x, Lax) or np.iscomplexobj(x))


@entry("convert_element_type", usual=(*COMMON, *NARROW), different=complex_truth)
def converted(s: Source) -> Arguments:
    kinds = (*COMMON, *NARROW, "float4_e2m1fn", "float8_e3m4")
    new = s.pick(*kinds, bool, int, float, complex, wrong=("words", None, "float99", str, "str", object))
    return s.operand(s.shape(), values="small"), new


@entry("bitcast_convert_type", usual=COMMON)
def bitcast(s: Source) -> Arguments:
    new = s.pick(
        "uint8",
        "int32",
        "float32",
        "int16",
        "uint64",
        "float16",
        "int4",
        "complex64",
        "bool",
        wrong=("words",),
    )
    low = s.pick(0, 1)
    shape = s.shape(low, 2)
    return s.array((*shape, s.pick(2, 4, 8, 1, 3)) if s.pick(False, True) else shape, values="small"), new

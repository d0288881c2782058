"""The array API standard, 2024.12: its names, what a namespace tells of itself, and its special cases.

The special cases are those that the standard lists for each function, with the values that it gives.
"""

from __future__ import annotations

import cmath
import inspect
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.array_api_cases import CASES, MEANING, TURNED

inf, nan, pi = math.inf, math.nan, math.pi

# Names of the standard and the parameters that they have there, without their defaults.
ELEMENTWISE_1 = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bitwise_invert",
    "ceil",
    "conj",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "floor",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_not",
    "negative",
    "positive",
    "real",
    "reciprocal",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "square",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
]
ELEMENTWISE_2 = [
    "add",
    "atan2",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "copysign",
    "divide",
    "equal",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "less",
    "less_equal",
    "logaddexp",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "nextafter",
    "not_equal",
    "pow",
    "remainder",
    "subtract",
]
KEYWORDS = {
    "arange": "dtype device", "asarray": "dtype device copy", "empty": "dtype device", "empty_like": "dtype device",
    "eye": "k dtype device", "from_dlpack": "device copy", "full": "dtype device", "full_like": "dtype device",
    "linspace": "dtype device endpoint", "meshgrid": "indexing", "ones": "dtype device", "ones_like": "dtype device",
    "tril": "k", "triu": "k", "zeros": "dtype device", "zeros_like": "dtype device", "astype": "copy device",
    "clip": "min max", "concat": "axis", "expand_dims": "axis", "flip": "axis", "repeat": "axis", "reshape": "copy",
    "roll": "axis", "squeeze": "axis", "stack": "axis", "unstack": "axis", "argmax": "axis keepdims",
    "argmin": "axis keepdims", "count_nonzero": "axis keepdims", "searchsorted": "side sorter", "take": "axis",
    "take_along_axis": "axis", "argsort": "axis descending stable", "sort": "axis descending stable",
    "cumulative_sum": "axis dtype include_initial", "cumulative_prod": "axis dtype include_initial",
    "max": "axis keepdims", "mean": "axis keepdims", "min": "axis keepdims", "prod": "axis dtype keepdims",
    "std": "axis correction keepdims", "sum": "axis dtype keepdims", "var": "axis correction keepdims",
    "all": "axis keepdims", "any": "axis keepdims", "diff": "axis n prepend append", "tensordot": "axes", "vecdot": "axis",
}  # fmt: skip
OTHERS = [
    "broadcast_arrays",
    "broadcast_to",
    "can_cast",
    "finfo",
    "iinfo",
    "isdtype",
    "result_type",
    "moveaxis",
    "permute_dims",
    "tile",
    "nonzero",
    "where",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "matmul",
    "matrix_transpose",
    "e",
    "inf",
    "nan",
    "newaxis",
    "pi",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
LINALG = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
FFT = [
    "fft",
    "ifft",
    "fftn",
    "ifftn",
    "rfft",
    "irfft",
    "rfftn",
    "irfftn",
    "hfft",
    "ihfft",
    "fftfreq",
    "rfftfreq",
    "fftshift",
    "ifftshift",
]


def test_names() -> None:
    assert [n for n in (*ELEMENTWISE_1, *ELEMENTWISE_2, *KEYWORDS, *OTHERS) if not hasattr(np, n)] == []
    assert [n for n in LINALG if not hasattr(np.linalg, n)] == []
    assert [n for n in FFT if not hasattr(np.fft, n)] == []


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords(name: str) -> None:
    parameters = inspect.signature(getattr(np, name)).parameters
    for keyword in KEYWORDS[name].split():
        assert parameters[keyword].kind in (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )


@pytest.mark.parametrize(("names", "count"), [(ELEMENTWISE_1, 1), (ELEMENTWISE_2, 2)])
def test_operands_are_positional(names: list[str], count: int) -> None:
    for name in names:
        parameters = [*inspect.signature(getattr(np, name)).parameters.values()]
        assert len([p for p in parameters if p.default is p.empty]) == count, name
        if name not in ("round", "trunc"):  # these take their operand by name, too
            assert all(p.kind is p.POSITIONAL_ONLY for p in parameters[:count]), name


class TestNamespace:
    def test_of_an_array(self) -> None:
        x = np.zeros(2)
        assert x.__array_namespace__() is np
        assert x.__array_namespace__(api_version=np.__array_api_version__) is np
        assert np.__array_api_version__ == "2024.12"
        with pytest.raises(ValueError, match="not known"):
            x.__array_namespace__(api_version="1999.12")

    def test_what_it_tells(self) -> None:
        info = np.__array_namespace_info__()
        assert {*info.capabilities()} == {"boolean indexing", "data-dependent shapes", "max dimensions"}
        for device in info.devices():
            assert np.zeros(2, device=device).tolist() == [0, 0]
        assert info.default_device() in info.devices()
        default = info.default_dtypes()
        assert default["real floating"] == np.zeros(2).dtype == np.linspace(0, 1, 3).dtype
        assert default["complex floating"] == np.asarray(1j).dtype
        assert default["integral"] == np.arange(2).dtype
        assert default["indexing"] == np.argmax(np.zeros(2)).dtype == np.argsort(np.zeros(2)).dtype
        for name, dtype in info.dtypes().items():
            assert np.zeros(1, dtype).dtype == name
        assert {*info.dtypes(kind="integral")} == {"int8", "int16", "int32", "uint8", "uint16", "uint32"}
        assert {*info.dtypes(kind=("bool", "complex floating"))} == {"bool", "complex64"}
        assert info.dtypes(kind=()) == {}
        with pytest.raises(KeyError, match="'real'"):
            info.dtypes(kind="real")

    def test_in_64_bit_mode(self) -> None:
        with anima.enable_x64():
            info = np.__array_namespace_info__()
            assert info.default_dtypes()["integral"] == "int64"
            assert {*info.dtypes(kind="real floating")} == {"float32", "float64"}
            assert len(info.dtypes()) == 13

    def test_devices_and_copies(self) -> None:
        x = np.arange(3)
        assert x.to_device(x.device) is x or x.to_device(x.device).tolist() == [0, 1, 2]
        assert np.asarray(x, copy=False) is x and np.asarray(x, copy=True) is not x
        with pytest.raises(ValueError, match="copy"):
            np.asarray(numpy.arange(2.0, dtype="float64"), "int32", copy=False)
        assert np.astype(x, np.float32).dtype == "float32"
        assert np.from_dlpack(numpy.arange(3, dtype="int32")).tolist() == [0, 1, 2]
        for make in (np.zeros_like, np.ones_like, np.empty_like):
            assert make(x, device=x.device).shape == (3,)

    def test_promotion(self) -> None:
        table = {
            ("int8", "int16"): "int16", ("uint8", "int8"): "int16", ("uint16", "int8"): "int32",
            ("uint8", "uint32"): "uint32", ("float32", "complex64"): "complex64", ("bool", "bool"): "bool",
        }  # fmt: skip
        for (a, b), wanted in table.items():
            assert np.result_type(a, b) == wanted
            assert (np.ones(1, a) * np.ones(1, b)).dtype == wanted
        for dtype in ("int8", "uint16", "float32", "complex64"):
            assert (np.ones(1, dtype) * 2).dtype == dtype  # Python scalars give way


# --- special cases ----------------------------------------------------------------------------

ONE: dict[str, list[tuple[float, float]]] = {
    "abs": [(nan, nan), (-0.0, 0.0), (inf, inf), (-inf, inf)],
    "acos": [(nan, nan), (1.5, nan), (-1.5, nan), (1.0, 0.0)],
    "acosh": [(nan, nan), (0.5, nan), (1.0, 0.0), (inf, inf)],
    "asin": [(nan, nan), (1.5, nan), (-1.5, nan), (0.0, 0.0), (-0.0, -0.0)],
    "asinh": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -inf)],
    "atan": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, pi / 2), (-inf, -pi / 2)],
    "atanh": [(nan, nan), (-1.5, nan), (1.5, nan), (-1.0, -inf), (1.0, inf), (0.0, 0.0), (-0.0, -0.0)],
    "ceil": [(3.0, 3.0), (inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0), (nan, nan), (-0.5, -0.0)],
    "cos": [(nan, nan), (0.0, 1.0), (-0.0, 1.0), (inf, nan), (-inf, nan)],
    "cosh": [(nan, nan), (0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, inf)],
    "exp": [(nan, nan), (0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0)],
    "expm1": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0)],
    "floor": [(3.0, 3.0), (inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0), (nan, nan)],
    "isfinite": [(inf, False), (-inf, False), (nan, False), (3.0, True)],
    "isinf": [(inf, True), (-inf, True), (nan, False), (3.0, False)],
    "isnan": [(inf, False), (-inf, False), (nan, True), (3.0, False)],
    "log": [(nan, nan), (-1.0, nan), (0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf)],
    "log1p": [(nan, nan), (-1.5, nan), (-1.0, -inf), (-0.0, -0.0), (0.0, 0.0), (inf, inf)],
    "log2": [(nan, nan), (-1.0, nan), (0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf)],
    "log10": [(nan, nan), (-1.0, nan), (0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf)],
    "reciprocal": [(nan, nan), (inf, 0.0), (-inf, -0.0), (0.0, inf), (-0.0, -inf)],
    "round": [(3.0, 3.0), (inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0), (nan, nan), (0.5, 0.0), (1.5, 2.0), (-0.5, -0.0)],
    "sign": [(-1.5, -1.0), (0.0, 0.0), (2.0, 1.0), (nan, nan)],
    "signbit": [(0.0, False), (-0.0, True), (inf, False), (-inf, True), (2.0, False), (-2.0, True), (nan, False), (-nan, True)],
    "sin": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan)],
    "sinh": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -inf)],
    "sqrt": [(nan, nan), (-1.0, nan), (0.0, 0.0), (-0.0, -0.0), (inf, inf)],
    "square": [(nan, nan), (inf, inf), (-inf, inf), (-0.0, 0.0)],
    "tan": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan)],
    "tanh": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0)],
    "trunc": [(3.0, 3.0), (inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0), (nan, nan), (-0.5, -0.0)],
}  # fmt: skip

TWO: dict[str, list[tuple[float, float, float]]] = {
    "add": [
        (nan, 1, nan), (1, nan, nan), (inf, -inf, nan), (-inf, inf, nan), (inf, inf, inf), (-inf, -inf, -inf),
        (inf, 1, inf), (-inf, 1, -inf), (1, inf, inf), (1, -inf, -inf), (-0.0, -0.0, -0.0), (-0.0, 0.0, 0.0),
        (0.0, -0.0, 0.0), (0.0, 0.0, 0.0), (-0.0, 2, 2), (2, -2, 0.0),
    ],
    "subtract": [(inf, inf, nan), (-inf, -inf, nan), (0.0, 0.0, 0.0), (-0.0, 0.0, -0.0), (0.0, -0.0, 0.0)],
    "multiply": [
        (nan, 1, nan), (1, nan, nan), (inf, 0.0, nan), (-inf, -0.0, nan), (0.0, inf, nan), (inf, inf, inf), (inf, -inf, -inf),
        (inf, -2, -inf), (-2, -inf, inf), (-0.0, 2, -0.0), (-0.0, -2, 0.0),
    ],
    "divide": [
        (nan, 1, nan), (1, nan, nan), (inf, inf, nan), (-inf, inf, nan), (0.0, 0.0, nan), (-0.0, 0.0, nan),
        (0.0, 2, 0.0), (-0.0, 2, -0.0), (0.0, -2, -0.0), (-0.0, -2, 0.0), (2, 0.0, inf), (2, -0.0, -inf), (-2, 0.0, -inf),
        (-2, -0.0, inf), (inf, 2, inf), (inf, -2, -inf), (-inf, 2, -inf), (-inf, -2, inf), (2, inf, 0.0), (2, -inf, -0.0),
        (-2, inf, -0.0), (-2, -inf, 0.0),
    ],
    "atan2": [
        (nan, 1, nan), (1, nan, nan), (2, 0.0, pi / 2), (2, -0.0, pi / 2), (0.0, 2, 0.0), (0.0, 0.0, 0.0), (0.0, -0.0, pi),
        (0.0, -2, pi), (-0.0, 2, -0.0), (-0.0, 0.0, -0.0), (-0.0, -0.0, -pi), (-0.0, -2, -pi), (-2, 0.0, -pi / 2),
        (-2, -0.0, -pi / 2), (2, inf, 0.0), (2, -inf, pi), (-2, inf, -0.0), (-2, -inf, -pi), (inf, 2, pi / 2), (-inf, 2, -pi / 2),
        (inf, inf, pi / 4), (inf, -inf, 3 * pi / 4), (-inf, inf, -pi / 4), (-inf, -inf, -3 * pi / 4),
    ],
    "floor_divide": [
        (nan, 1, nan), (1, nan, nan), (inf, inf, nan), (-inf, inf, nan), (0.0, 0.0, nan), (-0.0, 0.0, nan),
        (0.0, 2, 0.0), (-0.0, 2, -0.0), (0.0, -2, -0.0), (-0.0, -2, 0.0), (5.5, 2, 2), (-5.5, 2, -3), (2, inf, 0.0), (-2, -inf, 0.0),
    ],
    "remainder": [
        (nan, 1, nan), (1, nan, nan), (inf, inf, nan), (-inf, -inf, nan), (0.0, 0.0, nan), (-0.0, 0.0, nan), (2, 0.0, nan),
        (-2, -0.0, nan), (0.0, 2, 0.0), (-0.0, 2, 0.0), (0.0, -2, -0.0), (-0.0, -2, -0.0), (inf, 2, nan), (-inf, -2, nan),
        (2, inf, 2), (-2, inf, inf), (2, -inf, -inf), (-2, -inf, -2), (4, 2, 0.0), (-4, -2, -0.0), (5.5, -2, -0.5),
    ],
    "hypot": [(inf, nan, inf), (nan, -inf, inf), (-inf, 1, inf), (nan, 1, nan), (1, nan, nan), (0.0, -0.0, 0.0)],
    "logaddexp": [(nan, 1, nan), (1, nan, nan), (inf, 2, inf), (2, inf, inf), (-inf, -inf, -inf), (inf, inf, inf)],
    "maximum": [(nan, 1, nan), (1, nan, nan), (inf, -inf, inf)],
    "minimum": [(nan, 1, nan), (1, nan, nan), (inf, -inf, -inf)],
    "copysign": [(2, -0.0, -2), (-2, 0.0, 2), (0.0, -1, -0.0), (nan, -1, nan), (2, nan, 2), (2, -nan, -2)],
    "nextafter": [(nan, 1, nan), (1, nan, nan), (0.0, -0.0, -0.0), (-0.0, 0.0, 0.0), (2, 2, 2)],
    "pow": [
        (2, 0.0, 1), (nan, 0.0, 1), (nan, -0.0, 1), (nan, 2, nan), (2, inf, inf), (-2, -inf, 0.0), (0.5, inf, 0.0),
        (0.5, -inf, inf), (1, inf, 1), (1, -inf, 1), (inf, 2, inf), (inf, -2, 0.0), (-inf, 3, -inf), (-inf, 2, inf),
        (-inf, 2.5, inf), (-inf, -3, -0.0), (-inf, -2, 0.0), (0.0, 2, 0.0), (0.0, -2, inf), (-0.0, 3, -0.0), (-0.0, 2, 0.0),
        (-0.0, -3, -inf), (-0.0, -2, inf), (-2, 0.5, nan), (1, nan, 1),
    ],
    "equal": [(nan, nan, False), (inf, inf, True), (-0.0, 0.0, True), (-inf, inf, False)],
    "not_equal": [(nan, nan, True), (inf, inf, False), (-0.0, 0.0, False)],
    "less": [(nan, 1, False), (1, nan, False), (-inf, inf, True), (-0.0, 0.0, False)],
    "less_equal": [(nan, 1, False), (1, nan, False), (-inf, -inf, True), (0.0, -0.0, True)],
    "greater": [(nan, 1, False), (inf, -inf, True), (0.0, -0.0, False)],
    "greater_equal": [(nan, 1, False), (inf, inf, True), (-0.0, 0.0, True)],
    "logical_and": [(nan, 1, True), (0.0, inf, False)],
    "logical_or": [(nan, 0.0, True), (-0.0, 0.0, False)],
    "logical_xor": [(nan, 1, False), (-0.0, inf, True)],
}  # fmt: skip

# Where signs of zeros are those of XLA's operations, and of JAX.
DEPARTURES: dict[tuple[Any, ...], float] = {
    ("remainder", -0.0, 2): -0.0,
    ("remainder", 0.0, -2): 0.0,
}


def departure(name: str, arguments: tuple[Any, ...], wanted: Any) -> Any:
    """What is given in place of the standard's value, if anything."""
    return next((v for key, v in DEPARTURES.items() if repr(key) == repr((name, *arguments))), wanted)


def exactly(name: str, arguments: tuple[Any, ...], found: Any, wanted: Any, dtype: str) -> None:
    """Equal, and zeros of one sign; to the rounding of a float32."""
    found, wanted = numpy.asarray(found), numpy.asarray(wanted).astype(numpy.asarray(found).dtype)
    said = f"{name}{arguments} of {dtype}"
    numpy.testing.assert_allclose(found, wanted, rtol=1e-6 if dtype == "float32" else 1e-2, err_msg=said)
    if found.dtype.kind == "f" and wanted == 0:
        assert numpy.signbit(found) == numpy.signbit(wanted), said


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_special_cases(name: str) -> None:
    for case in ONE.get(name, []) + TWO.get(name, []):  # type: ignore[operator]
        *arguments, wanted = case
        wanted = departure(name, tuple(arguments), wanted)
        for dtype, call in itertools.product(("float32",), (getattr(np, name), anima.jit(getattr(np, name)))):
            operands = [np.asarray(numpy.asarray(v, dtype)) for v in arguments]
            exactly(name, tuple(arguments), call(*operands), wanted, dtype)


def _part(wanted: float | str, b: float, unit: float) -> float | str:
    """What a part of a result should be: a number, or what is open."""
    if not isinstance(wanted, str) or "cis" not in wanted:
        return wanted
    size = inf if wanted.startswith("inf") else 0.0
    return math.copysign(size, unit) if unit else math.copysign(0.0, b)


def _fits(found: float, wanted: float | str) -> bool:
    if wanted == "±inf":
        return math.isinf(found)
    if wanted == "±pi/2":
        return abs(found) == pytest.approx(pi / 2)
    if wanted == "±0" or wanted == 0:  # signs of zeros are those of XLA's operations
        return found == 0
    return found == pytest.approx(wanted, rel=1e-6, abs=0, nan_ok=True)


def complex_cases(name: str) -> Iterator[tuple[complex, float | str, float | str]]:
    """The operands that the rows of a function stand for, and the parts of the results; and their conjugates."""
    for re, im, first, second in CASES[name]:
        for a, b in itertools.product(MEANING[re], MEANING[im]):
            parts = (
                _part(first, b, math.cos(b) if math.isfinite(b) else 0),
                _part(second, b, math.sin(b) if math.isfinite(b) else 0),
            )
            yield complex(a, b), *parts
            yield complex(a, -b), parts[0], parts[1] if isinstance(parts[1], str) else -parts[1]


# Branch cuts end at zeros, whose signs are lost.
LOST = {"acosh": ("-0j", "(-0-0j)")}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("jit", [False, True])
def test_special_cases_of_complex_numbers(name: str, jit: bool) -> None:
    function = anima.jit(getattr(np, name)) if jit else getattr(np, name)
    rows = [row for row in complex_cases(name) if repr(row[0]) not in LOST.get(name, ())]
    found = numpy.asarray(function(np.asarray(numpy.array([z for z, *_ in rows], "complex64"))))
    wrong = [
        (row, v)
        for row, v in zip(rows, found.tolist())
        if not (_fits(v.real, row[1]) and _fits(v.imag, row[2]))
    ]
    assert not wrong


@pytest.mark.parametrize("name", TURNED)
def test_functions_that_are_others_turned(name: str) -> None:
    other = TURNED[name]
    operands = [complex(z.imag, -z.real) for z, *_ in complex_cases(other)]  # -1j * z
    found = numpy.asarray(getattr(np, name)(np.asarray(numpy.array(operands, "complex64")))).tolist()
    for z, v, (w, first, second) in zip(operands, found, complex_cases(other)):
        if name != "atan" or w.real != 1:  # on its pole the angle is open
            assert _fits(-v.imag, first) and _fits(v.real, second), f"{name}({z}) is {v}"


@pytest.mark.parametrize(("name", "base"), [("log2", 2), ("log10", 10)])
def test_logarithms_to_other_bases_are_multiples(name: str, base: int) -> None:
    rows = list(complex_cases("log"))
    found = numpy.asarray(
        getattr(np, name)(np.asarray(numpy.array([z for z, *_ in rows], "complex64")))
    ).tolist()
    for (z, *parts), v in zip(rows, found):
        first, second = (p / math.log(base) for p in parts)  # type: ignore[operator]
        assert _fits(v.real, first) and _fits(v.imag, second), f"{name}({z}) is {v}"


def test_cosines_are_turned_hyperbolic_ones() -> None:
    operands = [complex(z.imag, -z.real) for z, *_ in complex_cases("cosh")]
    found = numpy.asarray(np.cos(np.asarray(numpy.array(operands, "complex64")))).tolist()
    for z, v, (_, first, second) in zip(operands, found, complex_cases("cosh")):
        assert _fits(v.real, first) and _fits(v.imag, second), f"cos({z}) is {v}"


def test_moduli_and_derivatives_of_complex_numbers() -> None:
    for a, b in itertools.product((inf, -inf, nan, 1.0, 0.0), repeat=2):
        wanted = inf if inf in (abs(a), abs(b)) else math.hypot(a, b)
        assert float(np.abs(np.asarray(complex(a, b)))) == pytest.approx(wanted, nan_ok=True)
    z = np.asarray(0.3 + 0.4j)
    for name, slope in (
        ("exp", cmath.exp),
        ("sin", cmath.cos),
        ("sinh", cmath.cosh),
        ("log", lambda z: 1 / z),
    ):
        assert complex(anima.grad(getattr(np, name), holomorphic=True)(z)) == pytest.approx(
            slope(complex(z)), rel=1e-5
        )
    assert complex(anima.grad(np.exp, holomorphic=True)(np.asarray(1.0 + 0j))) == pytest.approx(
        math.e, rel=1e-6
    )


class TestReductions:
    def test_of_nothing(self) -> None:
        empty = np.zeros((0,))
        assert np.sum(empty) == 0 and np.prod(empty) == 1
        assert np.all(empty) and not np.any(empty)
        assert np.isnan(np.mean(empty)) and np.isnan(np.var(empty))
        for function in (np.max, np.min):
            with pytest.raises(ValueError, match="zero"):
                function(empty)

    def test_nan_propagates(self) -> None:
        x = np.asarray([1.0, nan, 3.0])
        for function in (np.sum, np.prod, np.max, np.min, np.mean, np.std, np.var):
            assert np.isnan(function(x))

    def test_one_element_has_no_variance_with_a_correction(self) -> None:
        assert np.isnan(np.var(np.ones(1), correction=1))

    def test_sums_have_at_least_the_default_dtype(self) -> None:
        for function in (np.sum, np.prod):
            assert function(np.ones(2, "int8")).dtype == "int32"
            assert function(np.ones(2, "uint8")).dtype == "uint32"
            assert function(np.ones(2, "int8"), dtype="int8").dtype == "int8"

    def test_sets_keep_every_nan_apart_and_zeros_together(self) -> None:
        values = np.unique_values(np.asarray([0.0, -0.0, 1.0]))
        assert values.shape == (2,)
        result = np.unique_all(np.asarray([2, 1, 2]))
        assert (result.values.tolist(), result.indices.tolist()) == ([1, 2], [1, 0])
        assert (result.inverse_indices.tolist(), result.counts.tolist()) == ([1, 0, 1], [1, 2])

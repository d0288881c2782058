"""The dtypes, the words for them, and promotion against its rules stated another way."""

from __future__ import annotations

import enum
import itertools
import pickle
import warnings
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from anima import dtypes
from anima.config import enable_x64, numpy_dtype_promotion
from anima.dtypes.declared import BITS, BY_NAME, KIND

KEY = dtypes.ExtendedDType("key<test>", dtypes.prng_key, (2,), dtypes.uint32)
ORDINARY = [name for name in BY_NAME if BITS[BY_NAME[name]] > 8 or name in ("bool", "int8", "uint8")]
NARROW = [name for name in BY_NAME if name not in ORDINARY]
Pair = tuple[Any, bool]
WEAK: list[Pair] = [(dtypes.int64, True), (dtypes.float64, True), (dtypes.complex128, True)]
STRONG: list[Pair] = [(dtype, False) for dtype in BY_NAME.values()]


class Operand:
    """What promotion sees of an array."""

    def __init__(self, dtype: Any, weak_type: bool = False) -> None:
        self.dtype, self.weak_type = dtype, weak_type


# The documented rules, by cases rather than by a lattice. None: no implicit conversion.


def expected(a: Pair, b: Pair) -> Pair | None:
    if a == b:
        return a
    a, b = sorted((a, b), key=lambda pair: ("biufc".index(KIND[pair[0]]), not pair[1]))
    category_a, category_b = category(a), category(b)
    narrow_a, narrow_b = str(a[0]) in NARROW, str(b[0]) in NARROW
    if category_a == "bool":
        return b
    if category_a != category_b:
        if narrow_a or (narrow_b and category_a == "float" and not a[1]):
            return None
        if category_b == "complex" and category_a == "float" and not a[1]:
            width = max(64 if b[1] else BITS[b[0]], 2 * max(BITS[a[0]], 32))
            return BY_NAME[f"complex{width}"], False
        return b
    if a[1] or b[1]:
        return b if a[1] else a
    if narrow_a or narrow_b:
        return None
    return same_category(a[0], b[0])


def category(pair: Pair) -> str:
    return {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}[KIND[pair[0]]]


def same_category(a: Any, b: Any) -> Pair:
    if KIND[a] == "i" and KIND[b] == "u":
        if BITS[b] == 64:
            return dtypes.float64, True
        return BY_NAME[f"int{max(BITS[a], 2 * BITS[b])}"], False
    if {str(a), str(b)} == {"float16", "bfloat16"}:
        return dtypes.float32, False
    return (a if BITS[a] > BITS[b] else b), False


def promoted(*pairs: Pair) -> Pair | None:
    try:
        return dtypes.lattice_result_type(*pairs)
    except dtypes.TypePromotionError:
        return None


@pytest.mark.parametrize("a", STRONG + WEAK, ids=str)
def test_pairs_follow_the_documented_rules(a: Pair) -> None:
    with enable_x64(True):
        for b in STRONG + WEAK:
            assert promoted(a, b) == promoted(b, a) == expected(a, b), (a, b)


def test_promotion_is_associative() -> None:
    nodes = [(BY_NAME[name], False) for name in ORDINARY] + WEAK
    with enable_x64(True):
        for a, b, c in itertools.product(nodes, repeat=3):
            ab, bc = promoted(a, b), promoted(b, c)
            assert ab is not None
            assert bc is not None
            assert promoted(ab, c) == promoted(a, bc) == promoted(a, b, c)


def test_the_order_and_number_of_operands_do_not_matter() -> None:
    pairs = [(dtypes.int32, False), (dtypes.float16, False), (dtypes.float64, True), (dtypes.bool_, False)]
    for order in itertools.permutations(pairs):
        assert promoted(*order, *order) == (dtypes.float16, False)


def test_in_32_bit_mode_wide_results_are_narrowed_unless_an_operand_is_wide() -> None:
    assert promoted((dtypes.uint32, False), (dtypes.int32, False)) == (dtypes.int32, False)
    assert promoted((dtypes.bool_, False), (dtypes.int64, True)) == (dtypes.int32, True)
    assert promoted((dtypes.float64, False), (dtypes.float32, False)) == (dtypes.float64, False)
    assert promoted((dtypes.float64, False), (dtypes.complex64, False)) == (dtypes.complex128, False)


def test_weak_operands_among_themselves_keep_their_widths() -> None:
    int8, float16 = BY_NAME["int8"], dtypes.float16
    assert promoted((int8, True), (int8, True)) == (int8, True)
    assert promoted((int8, True), (float16, True)) == (float16, True)
    assert promoted((dtypes.bool_, True), (dtypes.bool_, True)) == (dtypes.bool_, False)


def test_strict_mode_converts_python_scalars_only() -> None:
    f32, i32 = (dtypes.float32, False), (dtypes.int32, False)
    weak_int, weak_float, weak_complex = WEAK
    with numpy_dtype_promotion("strict"):
        assert promoted(f32, weak_int) == f32
        assert promoted(f32, weak_float, weak_int) == f32
        assert promoted(i32, i32) == i32
        assert promoted(weak_int, weak_float) == (dtypes.float32, True)
        assert promoted((dtypes.bool_, False), weak_int) is None
        assert promoted(f32, weak_complex) is None
        with pytest.raises(dtypes.TypePromotionError, match=r"\(float32, int32\).*'strict'.*astype"):
            dtypes.lattice_result_type(i32, f32)
    assert promoted(i32, f32) == f32


@pytest.mark.parametrize(
    ("a", "b", "advice"),
    [
        ("int4", "int8", "int4 is a narrow storage format.*astype\\('int32'\\)"),
        ("float8_e4m3fn", "float8_e5m2", "narrow storage format.*astype\\('float32'\\)"),
        (KEY, "uint32", "key<test> combines with nothing but itself"),
        (dtypes.float0, "float32", "combines with nothing but itself"),
        (object, "float32", "object combines with nothing but itself"),
    ],
)
def test_errors_name_the_dtypes_and_the_way_out(a: Any, b: Any, advice: str) -> None:
    with pytest.raises(dtypes.TypePromotionError, match=advice):
        dtypes.promote_types(a, b)


def test_a_dtype_combines_with_itself() -> None:
    for dtype in (KEY, dtypes.float0, *BY_NAME.values()):
        assert promoted((dtype, False), (dtype, False)) == (dtype, False)


def test_result_type_of_values_and_names() -> None:
    assert dtypes.result_type(1, 2.0) == dtypes.float32
    assert dtypes.result_type(np.zeros(3), "int8") == dtypes.float32
    assert dtypes.result_type(1j) == dtypes.complex64
    assert dtypes.result_type(True) == dtypes.bool_
    assert dtypes.result_type(ml_dtypes.bfloat16, float) == BY_NAME["bfloat16"]
    assert dtypes.result_type(Operand(dtypes.float16), 3.5) == dtypes.float16
    assert dtypes.result_type(Operand(KEY), KEY) == KEY
    assert dtypes.result_type(Operand(BY_NAME["int8"], True), return_weak_type_flag=True) == (
        dtypes.int32,
        True,
    )
    assert dtypes.result_type(Operand(BY_NAME["uint8"], True)) == dtypes.uint32
    with enable_x64(True):
        assert dtypes.result_type(1, 2.0) == dtypes.float64
    with pytest.raises(ValueError, match="at least one"):
        dtypes.result_type()


def test_dtype_of_values() -> None:
    assert dtypes.dtype_of(np.float64(1)) == dtypes.float32
    assert dtypes.dtype_of(np.zeros(2, ">f8")) == np.dtype(">f8")
    assert dtypes.dtype_of(Operand(dtypes.float64)) == dtypes.float64
    assert dtypes.dtype_of(enum.IntEnum("Color", "RED").RED) == dtypes.int32
    assert [dtypes.dtype_of(x) for x in (True, 1, 1.0)] == [dtypes.bool_, dtypes.int32, dtypes.float32]
    with pytest.raises(TypeError, match="'a' of type str is not an array"):
        dtypes.dtype_of("a")


def test_weakly_typed_values() -> None:
    assert [dtypes.is_weakly_typed(x) for x in (1, 1.0, 1j)] == [True] * 3
    assert [dtypes.is_weakly_typed(x) for x in (True, np.float32(1), np.zeros(2))] == [False] * 3
    assert dtypes.is_weakly_typed(Operand(dtypes.float32, True))


def test_extended_dtypes() -> None:
    same = dtypes.ExtendedDType("key<test>", dtypes.prng_key, (2,), dtypes.uint32)
    other = dtypes.ExtendedDType("key<other>", dtypes.prng_key, (4,), dtypes.uint32)
    assert same == KEY
    assert hash(same) == hash(KEY)
    assert other != KEY
    assert pickle.loads(pickle.dumps(KEY)) == KEY
    assert KEY.itemsize == 8
    assert KEY.physical_element == ((2,), dtypes.uint32)
    assert repr(KEY) == dtypes.short_name(KEY) == dtypes.dtype_name(KEY) == "key<test>"
    assert dtypes.is_extended(KEY)
    assert not dtypes.is_extended(dtypes.float0)
    assert dtypes.canonicalize_dtype(KEY, allow_extended_dtype=True) is KEY
    with pytest.raises(ValueError, match="key<test>"):
        dtypes.canonicalize_dtype(KEY)
    with pytest.raises(ValueError, match="itemsize_bits"):
        dtypes.itemsize_bits(KEY)


@pytest.mark.parametrize(
    ("below", "above", "holds"),
    [
        ("float32", np.floating, True),
        (ml_dtypes.bfloat16, np.floating, True),
        (ml_dtypes.bfloat16, np.inexact, True),
        (ml_dtypes.bfloat16, np.complexfloating, False),
        (ml_dtypes.int4, np.signedinteger, True),
        (ml_dtypes.uint4, np.signedinteger, False),
        (ml_dtypes.uint4, np.unsignedinteger, True),
        ("int4", "int4", True),
        ("bool", np.integer, False),
        (float, np.floating, True),
        ("float32", float, False),
        ("float64", float, True),
        (np.float32(1), np.floating, True),
        (np.floating, np.inexact, True),
        (dtypes.float0, np.void, True),
        (dtypes.float0, np.inexact, False),
        (KEY, KEY, True),
        (KEY, dtypes.prng_key, True),
        (KEY, dtypes.extended, True),
        (KEY, np.generic, True),
        (KEY, np.number, False),
        (dtypes.prng_key, dtypes.extended, True),
        ("uint32", dtypes.prng_key, False),
        ("uint32", KEY, False),
    ],
)
def test_issubdtype(below: Any, above: Any, holds: bool) -> None:
    assert dtypes.issubdtype(below, above) is holds


def test_isdtype() -> None:
    assert dtypes.isdtype(ml_dtypes.bfloat16, "real floating")
    assert dtypes.isdtype("int4", ("bool", "integral"))
    assert dtypes.isdtype("int32", np.int32)
    assert not dtypes.isdtype("bool", "numeric")
    assert not dtypes.isdtype(KEY, "numeric")
    with pytest.raises(ValueError, match="'foo' is neither a dtype nor one of 'bool'"):
        dtypes.isdtype("int32", "foo")
    with pytest.raises(TypeError, match="class of dtypes"):
        dtypes.isdtype("int32", np.integer)


def test_kinds_and_names() -> None:
    short = {name: dtypes.short_name(dtype) for name, dtype in BY_NAME.items()}
    assert (short["bool"], short["uint8"], short["bfloat16"], short["complex64"]) == (
        "bool",
        "u8",
        "bf16",
        "c64",
    )
    assert short["float8_e4m3fn"] == "f8_e4m3fn"
    assert dtypes.short_name(dtypes.float0) == dtypes.dtype_name(dtypes.float0) == "float0"
    predicates = (dtypes.is_bool, dtypes.is_int, dtypes.is_float, dtypes.is_complex)
    for dtype in BY_NAME.values():
        assert sum(predicate(dtype) for predicate in predicates) == 1
        assert dtypes.is_inexact(dtype) == (dtypes.is_float(dtype) or dtypes.is_complex(dtype))
        assert dtypes.is_int(dtype) == (dtypes.is_signed_int(dtype) or dtypes.is_unsigned_int(dtype))
        assert dtypes.itemsize_bits(dtype) <= 8 * dtype.itemsize
    assert not any(predicate(dtype) for predicate in predicates for dtype in (KEY, dtypes.float0))


def test_infinities() -> None:
    without = {"float4_e2m1fn", "float8_e4m3fn", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2fnuz"}
    for name, dtype in BY_NAME.items():
        expected = dtypes.is_float(dtype) and name not in without | {"float8_e8m0fnu"}
        assert dtypes.supports_inf(dtype) == expected, name
    assert not dtypes.supports_inf(KEY)


def test_related_dtypes() -> None:
    assert dtypes.to_inexact_dtype(dtypes.int64) == dtypes.float32
    assert dtypes.to_inexact_dtype(BY_NAME["bfloat16"]) == BY_NAME["bfloat16"]
    assert dtypes.to_complex_dtype(dtypes.float16) == dtypes.complex64
    assert dtypes.to_real_dtype(dtypes.complex128) == dtypes.float64
    assert dtypes.to_real_dtype(dtypes.int32) == dtypes.int32
    with enable_x64(True):
        assert dtypes.to_inexact_dtype(dtypes.int64) == dtypes.float64
        assert dtypes.to_inexact_dtype(BY_NAME["int8"]) == dtypes.float32
        assert dtypes.to_complex_dtype(dtypes.float64) == dtypes.complex128
        assert dtypes.default_int_dtype() == dtypes.int64
    assert dtypes.default_uint_dtype() == dtypes.uint32
    assert dtypes.default_float_dtype() == dtypes.float32
    assert dtypes.default_complex_dtype() == dtypes.complex64
    assert [dtypes.scalar_type_of(x) for x in (True, "int4", np.float16, 1j)] == [bool, int, float, complex]
    with pytest.raises(TypeError, match="no Python scalar type"):
        dtypes.scalar_type_of(KEY)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("float64", "float32"),
        (np.int64, "int32"),
        (np.dtype("uint64"), "uint32"),
        ("complex128", "complex64"),
    ],
)
def test_an_explicit_64_bit_request_is_narrowed_with_a_warning_at_the_caller(wide: Any, narrow: str) -> None:
    pattern = (
        f"Explicitly requested dtype .* in zeros is not available, and will be truncated to dtype {narrow}"
    )
    with pytest.warns(UserWarning, match=pattern) as caught:
        assert dtypes.check_user_dtype_supported(wide, "zeros") == np.dtype(narrow)
    assert caught[0].filename == __file__
    with enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dtypes.check_user_dtype_supported(wide) == np.dtype(wide)


def test_requests_that_say_no_width_are_narrowed_silently() -> None:
    requests = (bool, int, float, complex, "float32", KEY, dtypes.float0)
    found = [dtypes.check_user_dtype_supported(request) for request in requests]
    assert found[:4] == [dtypes.bool_, dtypes.int32, dtypes.float32, dtypes.complex64]
    assert found[4:] == [dtypes.float32, KEY, dtypes.float0]


@pytest.mark.parametrize("bad", [object, str, "U3", "M8[s]", np.longdouble, ">f4", [("a", "f4")], dict])
def test_dtypes_that_no_array_has(bad: Any) -> None:
    with pytest.raises(
        TypeError, match="requested in zeros is not supported: arrays hold numbers and booleans"
    ):
        dtypes.check_user_dtype_supported(bad, "zeros")


@pytest.mark.parametrize(
    ("bad", "message"), [("foo", "not a dtype"), (3, "one tuple"), (np.floating, "class of")]
)
def test_what_is_no_dtype(bad: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"requested in zeros.*{message}"):
        dtypes.check_user_dtype_supported(bad, "zeros")


def test_finfo_and_iinfo_know_every_dtype() -> None:
    for dtype in BY_NAME.values():
        if dtypes.is_inexact(dtype):
            assert float(dtypes.finfo(dtype).max) > 0
        elif dtypes.is_int(dtype):
            assert dtypes.iinfo(dtype).max == 2 ** (BITS[dtype] - (KIND[dtype] == "i")) - 1

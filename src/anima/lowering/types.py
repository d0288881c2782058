"""StableHLO spellings of dtypes, shapes and constants.

Invariant: every spelling is a pure function of the value's bytes, so text that holds it is canonical.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from anima.core.aval import AbstractToken, AbstractValue, ShapedArray, array_aval, physical_aval

_ELEMENT: dict[np.dtype[Any], str] = {
    np.dtype(bool): "i1",
    np.dtype(np.float16): "f16",
    np.dtype(np.float32): "f32",
    np.dtype(np.float64): "f64",
    np.dtype(np.complex64): "complex<f32>",
    np.dtype(np.complex128): "complex<f64>",
    np.dtype(ml_dtypes.bfloat16): "bf16",
    **{np.dtype(f"int{bits}"): f"i{bits}" for bits in (8, 16, 32, 64)},
    **{np.dtype(f"uint{bits}"): f"ui{bits}" for bits in (8, 16, 32, 64)},
}
for _name, _text in {
    "int2": "i2", "int4": "i4", "uint2": "ui2", "uint4": "ui4",
    "float8_e3m4": "f8E3M4", "float8_e4m3": "f8E4M3", "float8_e4m3b11fnuz": "f8E4M3B11FNUZ",
    "float8_e4m3fn": "f8E4M3FN", "float8_e4m3fnuz": "f8E4M3FNUZ", "float8_e5m2": "f8E5M2",
    "float8_e5m2fnuz": "f8E5M2FNUZ", "float8_e8m0fnu": "f8E8M0FNU", "float4_e2m1fn": "f4E2M1FN",
}.items():  # fmt: skip
    if hasattr(ml_dtypes, _name):
        _ELEMENT[np.dtype(getattr(ml_dtypes, _name))] = _text


def element_type(dtype: Any) -> str:
    """The element type of a NumPy dtype.

    Raises:
      TypeError: XLA has no such type.
    """
    try:
        return _ELEMENT[dtype]
    except KeyError:
        raise TypeError(f"dtype {dtype} has no XLA element type") from None


def tensor_type(shape: Sequence[int], dtype: Any) -> str:
    """`tensor<2x3xf32>` for a shape and a NumPy dtype."""
    return f"tensor<{''.join([f'{d}x' for d in shape])}{element_type(dtype)}>"


def operand_aliases(in_place: Mapping[int, int], results: int) -> str:
    """The attribute of a custom call which says that results take the memory of operands."""
    pairs = ", ".join(
        f"#stablehlo.output_operand_alias<output_tuple_indices = [{result if results > 1 else ''}], "
        f"operand_index = {operand}, operand_tuple_indices = []>"
        for result, operand in in_place.items()
    )
    return f"output_operand_aliases = [{pairs}]"


def row_major(operands: Sequence[AbstractValue], results: Sequence[AbstractValue]) -> str:
    """Attributes of a custom call that reads memory: its arrays in row-major order, which a compiler may change otherwise.

    Empty where no array has an order: compilers for GPUs lay out matrices as the operations around prefer.
    """
    if max([0, *[physical_aval(array_aval(a)).ndim for a in (*operands, *results)]]) < 2:
        return ""
    return array_orders([(a, False) for a in operands], [(a, False) for a in results])


def array_orders(
    operands: Sequence[tuple[AbstractValue, bool]], results: Sequence[tuple[AbstractValue, bool]]
) -> str:
    """Attributes of a custom call that reads memory: row-major order, or matrices stored by columns where the flag says so."""
    given, made = [
        [_minor_to_major(physical_aval(array_aval(a)).ndim, columns) for a, columns in side]
        for side in (operands, results)
    ]
    return dimension_orders(given, made)


def _minor_to_major(rank: int, by_columns: bool) -> list[int]:
    dims = list(reversed(range(rank)))
    if by_columns:
        dims[0], dims[1] = dims[1], dims[0]
    return dims


def dimension_orders(operands: Sequence[Sequence[int]], results: Sequence[Sequence[int]]) -> str:
    """Attributes of a custom call that reads memory: for each array its dimensions, from that whose elements are neighbours on."""
    lists = [", ".join([_layout(dims) for dims in side]) for side in (operands, results)]
    return f"operand_layouts = [{lists[0]}], result_layouts = [{lists[1]}]"


def _layout(dims: Sequence[int]) -> str:
    order = ", ".join(map(str, dims))
    return f"dense<{f'[{order}]' if dims else ''}> : tensor<{len(dims)}xindex>"


_types: dict[AbstractValue, str] = {}


def type_of(aval: AbstractValue) -> str:
    """The type of a value of this aval (of its physical form for extended dtypes)."""
    text = _types.get(aval)
    if text is None:
        if isinstance(aval, AbstractToken):
            text = "!stablehlo.token"
        else:
            assert isinstance(aval, ShapedArray)
            physical = physical_aval(aval)
            text = tensor_type(physical.shape, physical.dtype)
        if len(_types) > 10_000:
            _types.clear()
        _types[aval] = text
    return text


def _scalar(value: Any, dtype: np.dtype[Any]) -> str:
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.kind in "iu" or dtype.name in ("int2", "int4", "uint2", "uint4"):
        return str(int(value))
    if dtype.kind == "c":
        part = np.dtype(np.float32 if dtype.itemsize == 8 else np.float64)
        return f"({_scalar(value.real, part)}, {_scalar(value.imag, part)})"
    text = repr(float(value))
    # MLIR's decimal form needs a point and allows no nan; bits are exact in every other case.
    if "e" not in text and "n" not in text and dtype.itemsize >= 4:
        return text
    return "0x" + np.asarray(value, dtype).tobytes()[::-1].hex().upper()


def dense(value: np.ndarray[Any, Any]) -> str:
    """The attribute `dense<...> : type` of a constant array."""
    text = tensor_type(value.shape, value.dtype)
    if value.size == 0:
        return f"dense<> : {text}"
    flat = value.reshape(-1)
    if value.size == 1 or (value.dtype.itemsize and (flat.view(np.uint8).reshape(value.size, -1) == flat[:1].view(np.uint8)).all()):  # fmt: skip
        return f"dense<{_scalar(flat[0], value.dtype)}> : {text}"
    if value.dtype.kind == "b" or value.dtype.name in ("int2", "int4", "uint2", "uint4"):
        return f"dense<{_nested(value)}> : {text}"
    return f'dense<"0x{np.ascontiguousarray(value).tobytes().hex().upper()}"> : {text}'


def _nested(value: np.ndarray[Any, Any]) -> str:
    if value.ndim == 0:
        return _scalar(value[()], value.dtype)
    return "[" + ", ".join(_nested(row) for row in value) + "]"


def i64_array(values: Sequence[int]) -> str:
    """`array<i64: 1, 2>`."""
    return f"array<i64: {', '.join(map(str, values))}>" if len(values) else "array<i64>"


def between(attrs: str, regions: Sequence[str]) -> str:
    """What stands between an operation's operands and its type: regions, and the inside of its dictionary of attributes."""
    dictionary = f" {{{attrs}}}" if attrs else ""
    return f" ({', '.join(regions)}){dictionary}" if regions else dictionary


def bool_array(values: Sequence[bool]) -> str:
    """`array<i1: true, false>`."""
    items = ", ".join("true" if v else "false" for v in values)
    return f"array<i1: {items}>" if len(values) else "array<i1>"


def i64_list(values: Sequence[int]) -> str:
    """`[1, 2]`, as inside StableHLO's structured attributes."""
    return "[" + ", ".join(map(str, values)) + "]"

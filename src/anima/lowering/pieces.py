"""Programs that take and return many small arrays in a few pieces of memory.

Invariant: what is computed stays, to the rounding that fusions leave open: the program's `main` becomes an inner function, and
the new one takes the pieces apart, calls it and joins its results. Arrays of one dtype follow each other in a piece, in their
order; floats that XLA would join as wider ones, in which NaNs lose their bits, lie there as integers.

Every array that goes into a program or comes out of it is a buffer of XLA's, which takes 0.1 us to pass, 0.7 us to return
and 1.2 us to make from memory of ours, against 0.03 and 0.12 us for a place in a piece and 1.4 us for the pieces. In exchange
the host waits for the program, to copy its results: so this is for programs that have hardly anything to do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima.core.aval import AbstractValue, ShapedArray, physical_aval
from anima.lowering.module import LoweredModule
from anima.lowering.types import tensor_type, type_of
from anima.options import register_context_value

_GAIN, _WORTH = (
    8,
    32,
)  # a result gains as much as eight arguments; fewer than so many are passed on as quickly
PIECE_BYTES = 4096  # of a piece at most, and so of an array
_MAX_DIMS = 6
_MAX_ELEMENTS = 1024  # of any value in the program
_MAX_TEXT = 1 << 16  # characters: some 600 operations
# Whether programs take pieces at all: tests compare with the same program without them.
pieces_allowed = register_context_value("pieces_allowed", True)


def _of_piece(dtype: Any) -> Any:
    """The dtype of pieces for arrays of `dtype`."""
    if dtype.name == "bfloat16":
        return np.dtype("uint16")
    return np.dtype("uint8") if dtype.name.startswith("float8") else dtype


class Pieces:
    """How arrays lie in pieces.

    Attributes:
      avals: those of the arrays.
      numbers: for each piece the numbers of its arrays.
    """

    __slots__ = ("avals", "numbers")

    def __init__(self, avals: Sequence[ShapedArray]) -> None:
        self.avals = avals
        self.numbers: list[list[int]] = []
        open_pieces: dict[Any, tuple[list[int], int]] = {}
        for number, aval in enumerate(avals):
            physical = physical_aval(aval)
            size = physical.size * physical.dtype.itemsize
            dtype = _of_piece(physical.dtype)
            members, used = open_pieces.get(dtype, ([], 0))
            if not members or used + size > PIECE_BYTES:
                members, used = [], 0
                self.numbers.append(members)
            members.append(number)
            open_pieces[dtype] = members, used + size

    def types(self) -> list[str]:
        """The type of each piece."""
        return [
            tensor_type(
                [sum([physical_aval(self.avals[n]).size for n in members])],
                _of_piece(physical_aval(self.avals[members[0]]).dtype),
            )
            for members in self.numbers
        ]


class Packing:
    """The pieces of a program's arguments and of its results."""

    __slots__ = ("arguments", "results")

    def __init__(self, arguments: Sequence[ShapedArray], results: Sequence[ShapedArray]) -> None:
        self.arguments = Pieces(arguments)
        self.results = Pieces(results)

    def native(self) -> tuple[Any, ...]:
        """The argument `packing` of `CallPlan`."""
        avals = [(a.shape, a.dtype, a.weak_type) for a in self.arguments.avals]
        return avals, self.arguments.numbers, self.results.numbers


def packing_for(
    lowered: LoweredModule, arguments: Sequence[AbstractValue], results: Sequence[AbstractValue]
) -> Packing | None:
    """How a program takes and returns arrays in pieces, or None if it does better without.

    Args:
      lowered: the program, for one CPU and without donations.
      arguments, results: what its `main` takes before its constants, and returns.
    """
    if len(arguments) + _GAIN * len(results) < _WORTH or not pieces_allowed.value:
        return None
    avals = [a for a in (*arguments, *results) if isinstance(a, ShapedArray) and _is_small(a)]
    if len(avals) < len(arguments) + len(results):
        return None
    if lowered.held or lowered.signals or lowered.checks is not None or not _is_quick(lowered.text):
        return None
    return Packing(avals[: len(arguments)], avals[len(arguments) :])


def _is_small(aval: ShapedArray) -> bool:
    physical = physical_aval(aval)
    return (
        physical.ndim <= _MAX_DIMS
        and not physical.dtype.name.endswith(("int2", "int4", "e2m1fn"))
        and physical.size * physical.dtype.itemsize <= PIECE_BYTES
    )


_SHAPE = re.compile(r"tensor<((?:\d+x)*)")


def _is_quick(text: str) -> bool:
    if len(text) > _MAX_TEXT or "stablehlo.while" in text:
        return False
    shapes = set(_SHAPE.findall(text))
    return all([math.prod(map(int, dims.split("x")[:-1])) <= _MAX_ELEMENTS for dims in shapes])


def packed_text(lowered: LoweredModule, packing: Packing) -> str:
    """The text of the program that takes pieces, and the constants of `lowered` behind them."""
    inner = "of_arrays"
    while f"@{inner}(" in lowered.text:
        inner += "_"
    lines: list[str] = []
    constants = [(f"%c{i}", type_of(aval)) for i, (_, aval) in enumerate(lowered.constants)]
    pieces = [(f"%p{i}", kind) for i, kind in enumerate(packing.arguments.types())]
    given = _take_apart(packing.arguments, pieces, lines)
    results = [(f"%r{i}", type_of(aval)) for i, aval in enumerate(packing.results.avals)]
    call = f"func.call @{inner}({_names((*given, *constants))}) : ({_types((*given, *constants))}) -> ({_types(results)})"
    lines.append(f"{_names(results)} = {call}" if results else call)
    joined = _join(packing.results, results, lines)
    lines.append(f"return {_names(joined)} : {_types(joined)}" if joined else "return")
    params = ", ".join([f"{name}: {kind}" for name, kind in (*pieces, *constants)])
    body = "".join([f"    {line}\n" for line in lines])
    main = f"  func.func public @main({params}) -> ({_types(joined)}) {{\n{body}  }}\n"
    text = lowered.text.replace("func.func public @main(", f"func.func private @{inner}(", 1)
    return text[: text.rindex("}")] + main + "}\n"


_Named = tuple[str, str]  # a value and its type


def _names(values: Sequence[_Named]) -> str:
    return ", ".join([name for name, _ in values])


def _types(values: Sequence[_Named]) -> str:
    return ", ".join([kind for _, kind in values])


def _take_apart(side: Pieces, pieces: Sequence[_Named], lines: list[str]) -> list[_Named]:
    """The arrays of the pieces."""
    arrays: list[_Named] = [("", "")] * len(side.avals)
    for (piece, kind), members in zip(pieces, side.numbers):
        start = 0
        for number in members:
            physical = physical_aval(side.avals[number])
            dtype = _of_piece(physical.dtype)
            flat = tensor_type([physical.size], dtype)
            lines.append(
                f'%s{number} = "stablehlo.slice"({piece}) {{start_indices = array<i64: {start}>, '
                f"limit_indices = array<i64: {start + physical.size}>, strides = array<i64: 1>}} : ({kind}) -> {flat}"
            )
            start += physical.size
            shaped = type_of(physical)
            if dtype == physical.dtype:
                lines.append(f'%a{number} = "stablehlo.reshape"(%s{number}) : ({flat}) -> {shaped}')
            else:
                given = tensor_type(physical.shape, dtype)
                lines.append(f'%b{number} = "stablehlo.reshape"(%s{number}) : ({flat}) -> {given}')
                lines.append(f'%a{number} = "stablehlo.bitcast_convert"(%b{number}) : ({given}) -> {shaped}')
            arrays[number] = f"%a{number}", shaped
    return arrays


def _join(side: Pieces, arrays: Sequence[_Named], lines: list[str]) -> list[_Named]:
    """The pieces of the arrays."""
    joined: list[_Named] = []
    for index, (members, kind) in enumerate(zip(side.numbers, side.types())):
        parts: list[_Named] = []
        for number in members:
            physical = physical_aval(side.avals[number])
            dtype = _of_piece(physical.dtype)
            flat = tensor_type([physical.size], dtype)
            name, shaped = arrays[number]
            if dtype != physical.dtype:
                given = tensor_type(physical.shape, dtype)
                lines.append(f'%b{number}_ = "stablehlo.bitcast_convert"({name}) : ({shaped}) -> {given}')
                name, shaped = f"%b{number}_", given
            lines.append(f'%f{number} = "stablehlo.reshape"({name}) : ({shaped}) -> {flat}')
            parts.append((f"%f{number}", flat))
        lines.append(
            f'%j{index} = "stablehlo.concatenate"({_names(parts)}) {{dimension = 0 : i64}} : ({_types(parts)}) -> {kind}'
        )
        joined.append((f"%j{index}", kind))
    return joined

"""Calls of this library's own kernels for CPU devices, which stand in `native/kernels`.

Invariant: a rule calls a kernel only where `Context.module.kernels_allowed` says that the program may; elsewhere, and for dtypes
without a kernel, it lowers to XLA's operations, and both give the same result.

XLA runs a program in the thread that calls it if it counts few operations there, and it counts none in calls of kernels. A program
in which kernels have much to do gets a weight: some operations for XLA to count, so that its caller can go on meanwhile.
Programs over several devices need none: each of those has a thread.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from anima import _native
from anima.core.aval import AbstractValue, ShapedArray, array_aval
from anima.lowering.module import Context, Value
from anima.lowering.types import operand_aliases, row_major
from anima.runtime.devices import client

KERNEL_CALL = 'call_target_name = "anima_'  # in the text of programs that call any

MULTIPLIED_AT_ONCE = 16  # numbers by vector units, in the time in which one is moved

# About a millisecond. Handing a program to another thread and waiting for it takes 5 to 30 us on two cores.
_MUCH_WORK = 1 << 22
_WEIGHT = ShapedArray((1024,), np.dtype(np.int8))  # XLA calls less than 1000 operations few


def call_kernel(
    ctx: Context,
    name: str,
    operands: Sequence[Value],
    results: Sequence[AbstractValue],
    attributes: Mapping[str, int | bool] | None = None,
    in_place: Mapping[int, int] | None = None,
    work: int = 0,
) -> list[Value]:
    """Emit a call of a kernel.

    Args:
      ctx: where; its module must allow kernels.
      name: that of the kernel in its table in `native/kernels`.
      operands: what it is given, in row-major order.
      results: the avals of what it writes.
      attributes: its scalar parameters: 64-bit integers and truth values, by name.
      in_place: for positions of results, the operand whose memory they take; XLA copies it first if it is still needed.
      work: how many elements could be moved in the time that it takes, if that is more than it reads and writes.
    """
    _native.register_kernel(client("cpu"), name)
    given = () if not attributes else tuple(attributes.items())
    # True equals 1, but is written in another way.
    kinds = tuple([type(value) for _, value in given])
    attrs, moved = _written(name, given, kinds, tuple([v.aval for v in operands]), tuple(results))
    if in_place:
        attrs += f", {operand_aliases(in_place, len(results))}"
    written_to = ctx.ops("stablehlo.custom_call", operands, results, attrs)
    for value in written_to:
        value.stored = True
    _note_work(ctx, max(work, moved))
    return written_to


@functools.lru_cache(1024)  # the layers of a model call alike
def _written(
    name: str,
    attributes: tuple[tuple[str, int | bool], ...],
    kinds: tuple[type, ...],
    operands: tuple[AbstractValue, ...],
    results: tuple[AbstractValue, ...],
) -> tuple[str, int]:
    """The attributes of a kernel's call as they are written, and how many elements it reads and writes."""
    written = ", ".join([f"{key} = {_attribute(value)}" for key, value in sorted(attributes)])
    attrs = f'call_target_name = "{name}", api_version = 4 : i32, backend_config = {{{written}}}'
    orders = row_major(operands, results)
    moved = sum([math.prod(array_aval(aval).shape) for aval in (*operands, *results)])
    return f"{attrs}, {orders}" if orders else attrs, moved


def _note_work(ctx: Context, work: int) -> None:
    module = ctx.module
    if module.partitions > 1:
        return
    before, module.uncounted_work = module.uncounted_work, module.uncounted_work + work
    if before < _MUCH_WORK <= module.uncounted_work:
        _native.register_kernel(client("cpu"), "anima_weight")
        module.at_end.append(_weigh)


def _weigh(ctx: Context) -> None:
    places = ctx.op("stablehlo.iota", (), _WEIGHT, "iota_dimension = 0 : i64")
    weight = ctx.op("stablehlo.add", (places, places), _WEIGHT)
    attrs = 'call_target_name = "anima_weight", api_version = 4 : i32, backend_config = {}, has_side_effect = true'
    ctx.ops("stablehlo.custom_call", (weight,), (), attrs)


def _attribute(value: int | bool) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else f"{value} : i64"

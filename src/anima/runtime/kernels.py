"""Calls of this library's own kernels for CPU devices, which stand in `native/kernels`.

Invariant: a rule calls a kernel only where `Context.module.kernels_allowed` says that the program may; elsewhere, and for dtypes
without a kernel, it lowers to XLA's operations, and both give the same result.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from anima import _native
from anima.core.aval import AbstractValue
from anima.lowering.module import Context, Value
from anima.lowering.types import operand_aliases, row_major
from anima.runtime.devices import client

KERNEL_CALL = 'call_target_name = "anima_'  # in the text of programs that call any


def call_kernel(
    ctx: Context,
    name: str,
    operands: Sequence[Value],
    results: Sequence[AbstractValue],
    attributes: Mapping[str, int | bool] | None = None,
    in_place: Mapping[int, int] | None = None,
) -> list[Value]:
    """Emit a call of a kernel.

    Args:
      ctx: where; its module must allow kernels.
      name: that of the kernel in its table in `native/kernels`.
      operands: what it is given, in row-major order.
      results: the avals of what it writes.
      attributes: its scalar parameters: 64-bit integers and truth values, by name.
      in_place: for positions of results, the operand whose memory they take; XLA copies it first if it is still needed.
    """
    _native.register_kernel(client("cpu"), name)
    written = ", ".join([f"{key} = {_attribute(value)}" for key, value in sorted((attributes or {}).items())])
    attrs = [
        f'call_target_name = "{name}", api_version = 4 : i32, backend_config = {{{written}}}',
        _row_major(tuple([v.aval for v in operands]), tuple(results)),
    ]
    if in_place:
        attrs.append(operand_aliases(in_place, len(results)))
    written_to = ctx.ops("stablehlo.custom_call", operands, results, ", ".join(filter(None, attrs)))
    for value in written_to:
        value.stored = True
    return written_to


_row_major = functools.lru_cache(1024)(row_major)  # the layers of a model call alike


def _attribute(value: int | bool) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else f"{value} : i64"

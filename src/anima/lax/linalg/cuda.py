"""Calls of the linear algebra that comes with the plugin for NVIDIA GPUs.

Invariant: a rule calls it only where `cuda_allowed` says so, and else lowers to XLA's operations. Target names, operands and
attributes are those of the package `jax-cuda13-plugin`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from anima.core.aval import AbstractValue, ShapedArray
from anima.lowering.module import Context, Value
from anima.lowering.types import array_orders, operand_aliases
from anima.runtime.plugins import has_cuda_kernels


def cuda_allowed(ctx: Context) -> bool:
    """Whether a program for an NVIDIA GPU may call the handlers: never in partitioned or exported programs."""
    module = ctx.module
    return module.platform == "cuda" and module.partitions == 1 and not module.exported and has_cuda_kernels()


def call_cuda(
    ctx: Context,
    target: str,
    operands: Sequence[Value],
    results: Sequence[AbstractValue],
    attributes: Mapping[str, bool | str | np.uint8] | None = None,
    *,
    columns: tuple[Collection[int], Collection[int]] = ((), ()),
    in_place: Mapping[int, int] | None = None,
) -> list[Value]:
    """Emit a call of a handler.

    Args:
      attributes: its scalar parameters by name.
      columns: the positions of operands and of results that it reads and writes by columns; the others are row-major.
      in_place: for positions of results, which operand's memory they may take.
    """
    given = [(v.aval, i in columns[0]) for i, v in enumerate(operands)]
    found = [(a, i in columns[1]) for i, a in enumerate(results)]
    written = ", ".join(f"{key} = {_attribute(value)}" for key, value in sorted((attributes or {}).items()))
    attrs = (
        f'call_target_name = "{target}", api_version = 4 : i32, backend_config = {{{written}}}, '
        f"{operand_aliases(in_place or {}, len(results))}, {array_orders(given, found)}"
    )
    return ctx.ops("stablehlo.custom_call", operands, results, attrs)


def _attribute(value: bool | str | np.uint8) -> str:
    if isinstance(value, np.uint8):
        return f"{value} : ui8"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def call_status(aval: AbstractValue) -> ShapedArray:
    """The aval of the numbers by which a factorisation of such matrices says whether it succeeded."""
    assert isinstance(aval, ShapedArray)
    return ShapedArray(aval.shape[:-2], np.dtype(np.int32))

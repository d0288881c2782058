"""Calls of the libraries that compute eigenvalues and the like: LAPACK on the host, the solvers of a plugin for GPUs.

Invariant: XLA has no operations for these, so what no library of the platform offers is an error when the program is lowered.
A matrix without a result has NaN for it, on every platform.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from anima.core.aval import AbstractValue, ShapedArray
from anima.lax.compare import eq
from anima.lax.create import full_like
from anima.lax.declare import COMPLEX, lowered_by
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, shape_of
from anima.lowering.module import Context, Value
from anima.runtime.lapack import call_lapack

# LAPACK's dtypes, and two that are computed as float32.
SPECTRAL = ("bfloat16", "float16", "float32", "float64", *COMPLEX)
NARROW = ("bfloat16", "float16")
INFO = np.dtype(np.int32)


def on_host(
    ctx: Context,
    kernel: str,
    operands: Sequence[Value],
    results: Sequence[AbstractValue],
    attributes: Mapping[str, int | bool] | None = None,
) -> list[Value]:
    """Emit a call of a kernel that uses LAPACK, or raise.

    In a partitioned program each device works on the whole arrays: XLA replicates what it knows no parts of.

    Raises:
      NotImplementedError: the program is not for CPU devices, or is one to be exported.
    """
    operation = kernel.removeprefix("anima_")
    if ctx.module.platform != "cpu":
        raise NotImplementedError(
            f"{operation}: there is no implementation for {ctx.module.platform} devices; run it on a CPU device: "
            "jit(f, device=anima.devices('cpu')[0])"
        )
    if ctx.module.exported:
        raise NotImplementedError(
            f"{operation}: it is computed by a kernel of this process, so it cannot be exported"
        )
    return call_lapack(ctx, kernel, operands, results, attributes)


def by_plugin(
    ctx: Context,
    target: str,
    operands: Sequence[Value],
    results: Sequence[AbstractValue],
    kinds: str,
    attributes: str = "",
    aliases: Mapping[int, int] | None = None,
) -> list[Value]:
    """Emit a call of a solver that the plugin brings.

    Args:
      kinds: a letter for each operand and, behind `->`, for each result: `m` for matrices stored by columns, `r` for
        matrices stored by rows, `v` for other arrays.
      attributes: the inside of the dictionary of the solver's parameters.
      aliases: of results, which operand's memory each takes.
    """
    given, wanted = kinds.split("->")
    layouts = [
        ", ".join([_layout(a, kind) for a, kind in zip(avals, side)])
        for avals, side in (([v.aval for v in operands], given), (results, wanted))
    ]
    shared = ", ".join(
        f"#stablehlo.output_operand_alias<output_tuple_indices = [{out if len(results) > 1 else ''}], "
        f"operand_index = {place}, operand_tuple_indices = []>"
        for out, place in (aliases or {}).items()
    )
    batch = len(operands[-1].shape) - (2 if given[-1] in "mr" else 1)
    attrs = (
        f'call_target_name = "{target}", api_version = 4 : i32, backend_config = {{{attributes}}}, '
        f'mhlo.frontend_attributes = {{num_batch_dims = "{batch}"}}, '
        f"operand_layouts = [{layouts[0]}], result_layouts = [{layouts[1]}], output_operand_aliases = [{shared}]"
    )
    return ctx.ops("stablehlo.custom_call", operands, results, attrs)


def _layout(aval: AbstractValue, kind: str) -> str:
    assert isinstance(aval, ShapedArray)
    order = list(reversed(range(aval.ndim)))
    if kind == "m":
        order[:2] = [order[1], order[0]]
    text = f"[{', '.join(map(str, order))}]" if order else ""
    return f"dense<{text}> : tensor<{aval.ndim}xindex>"


def nan_unless_zero(ctx: Context, info: Value, values: Sequence[Value]) -> list[Value]:
    """The results of a solver, NaN for each matrix for which it reports another status than 0."""

    def mark(info: object, *values: object) -> list[object]:
        good = eq(info, full_like(info, 0))
        rank = len(shape_of(info))
        return [
            select(broadcast_in_dim(good, shape_of(x), tuple(range(rank))), x, full_like(x, math.nan))
            for x in values
        ]

    out: list[Value] = lowered_by(mark)(ctx, info, *values)
    return out


def status_of(stack: Sequence[int]) -> ShapedArray:
    """The aval of the status that a solver reports, for a stack of matrices."""
    return ShapedArray(tuple(stack), INFO)

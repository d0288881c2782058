"""Calls of the libraries that compute eigenvalues and the like: LAPACK on the host, the solvers of a plugin for GPUs.

Invariant: XLA has no operations for these, so what no library of the platform offers is an error when the program is lowered.
A matrix without a result has NaN for it, on every platform.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from anima.core.aval import AbstractValue, array_aval
from anima.lax.compare import eq
from anima.lax.create import full_like
from anima.lax.declare import COMPLEX, lowered_by
from anima.lax.linalg.cuda import call_cuda
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, shape_of
from anima.lowering.module import Context, Value
from anima.runtime.lapack import call_lapack
from anima.runtime.plugins import has_cuda_kernels

# LAPACK's dtypes, and two that are computed as float32.
SPECTRAL = ("bfloat16", "float16", "float32", "float64", *COMPLEX)
NARROW = ("bfloat16", "float16")


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
    columns: tuple[Collection[int], Collection[int]],
    attributes: Mapping[str, bool | str | np.uint8] | None = None,
    in_place: Mapping[int, int] | None = None,
) -> list[Value]:
    """Emit a call of a solver that the plugin for NVIDIA GPUs brings; the arguments are those of `call_cuda`.

    In a partitioned program each device works on the whole arrays.

    Raises:
      NotImplementedError: the solvers are not installed, or the program is one to be exported.
    """
    if not has_cuda_kernels():
        raise NotImplementedError(
            f"{target}: the solvers for CUDA devices are not installed: pip install jax-cuda13-plugin"
        )
    if ctx.module.exported:
        raise NotImplementedError(
            f"{target}: it is a solver of an installed package, so the program cannot be exported"
        )
    return call_cuda(ctx, target, operands, results, attributes, columns=columns, in_place=in_place)


def nan_unless_zero(ctx: Context, info: Value, values: Sequence[Value]) -> list[Value]:
    """The results of a solver, NaN for each matrix for which it reports another status than 0."""

    def mark(info: Any, *values: Any) -> list[Any]:
        good, stack = eq(info, full_like(info, 0)), range(len(shape_of(info)))
        return [select(broadcast_in_dim(good, shape_of(x), stack), x, full_like(x, np.nan)) for x in values]

    out: list[Value] = lowered_by(mark)(ctx, info, *values)
    return out


def zeros(ctx: Context) -> list[Value]:
    """The results of a lowering rule where they have no elements."""
    return [ctx.full(0, array_aval(aval)) for aval in ctx.out_avals]


def is_empty(*avals: AbstractValue) -> bool:
    """Whether an array of one of these avals has no elements."""
    return any([array_aval(aval).size == 0 for aval in avals])

"""Collective operations between the devices of a program: what those over named axes become inside `shard_map`.

Invariant: each emits operations of StableHLO on the device's own block, with the partitions that speak with each other. A
name that no region of the program binds raises. Where only one device takes part, nothing is sent. Numbers narrower than a
byte travel as bytes, for XLA's collectives know none.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from anima.core.aval import ShapedArray, array_aval, physical_aval
from anima.core.axes import axis_names
from anima.errors import UnboundAxisNameError
from anima.lowering.manual import ManualRegion, enter, replica_groups
from anima.lowering.module import Context, Value
from anima.lowering.types import dense
from anima.sharding.spec import PartitionSpec

Names = Sequence[Hashable]
Groups = tuple[tuple[int, ...], ...]


def region_of(ctx: Context, names: Names) -> ManualRegion:
    """The region that binds the names.

    Raises:
      UnboundAxisNameError: one was bound by nothing.
    """
    region = ctx.module.manual
    for name in names:
        if region is None or name not in region.manual:
            raise UnboundAxisNameError(name, axis_names())
    assert region is not None
    return region


def _speaking(ctx: Context, names: Names, groups: Groups | None = None) -> list[list[int]] | None:
    """The partitions that speak with each other; None if each is alone."""
    if not names:
        return None
    rows = region_of(ctx, names).rows(names, groups)
    return rows if max(map(len, rows)) > 1 else None


def _channel(ctx: Context) -> str:
    return f"channel_handle = #stablehlo.channel_handle<handle = {ctx.module.next_channel()}, type = 1>"


def _global(ctx: Context, rows: Sequence[Sequence[int]]) -> str:
    return f"{replica_groups(rows)}, {_channel(ctx)}, use_global_device_ids"


# --- reductions -------------------------------------------------------------------------------

_REDUCE = {"psum": "add", "pmax": "maximum", "pmin": "minimum"}


def _combine(ctx: Context, name: str, dtype: Any) -> str:
    """The region that combines two numbers."""
    scalar = ShapedArray((), dtype)
    op = f"stablehlo.{_REDUCE[name]}"
    return ctx.region([scalar, scalar], lambda inner, pair: [inner.op(op, pair, scalar)])


def all_reduce(ctx: Context, x: Value, name: str, names: Names, groups: Groups | None) -> Value:
    """The sum or extremum over the members of axes."""
    rows = _speaking(ctx, names, groups)
    if rows is None:
        return x
    return ctx.op("stablehlo.all_reduce", (x,), x.aval, _global(ctx, rows), [_combine(ctx, name, x.dtype)])


def met(ctx: Context, token: Value, region: ManualRegion) -> Value:
    """The largest of the devices' tokens, which they have when all of them had theirs."""
    rows = [sorted(region.ids.ravel().tolist())]
    attrs = _global(ctx, rows)
    return ctx.op("stablehlo.all_reduce", (token,), token.aval, attrs, [_combine(ctx, "pmax", token.dtype)])


# --- exchanges --------------------------------------------------------------------------------


def all_gather(
    ctx: Context, x: Value, names: Names, dim: int, groups: Groups | None, out: ShapedArray
) -> Value:
    """The values of the members of axes, concatenated along a dimension."""
    rows = _speaking(ctx, names, groups)
    if rows is None:
        return x
    attrs = f"all_gather_dim = {dim} : i64, {_global(ctx, rows)}"
    return ctx.op("stablehlo.all_gather", (x,), out, attrs)


def reduce_scatter(
    ctx: Context, x: Value, names: Names, dim: int, groups: Groups | None, out: ShapedArray
) -> Value:
    """The sum over the members of axes, of which each gets one part along a dimension."""
    rows = _speaking(ctx, names, groups)
    if rows is None:
        return x
    attrs = f"scatter_dimension = {dim} : i64, {_global(ctx, rows)}"
    return ctx.op("stablehlo.reduce_scatter", (x,), out, attrs, [_combine(ctx, "psum", x.dtype)])


def all_to_all(
    ctx: Context, x: Value, names: Names, split: int, concat: int, groups: Groups | None, out: ShapedArray
) -> Value:
    """Each member's parts along one dimension, sent to all and put together along another."""
    rows = _speaking(ctx, names, groups)
    if rows is None:
        return x
    attrs = (
        f"split_dimension = {split} : i64, concat_dimension = {concat} : i64, split_count = {len(rows[0])} : i64, "
        f"{replica_groups(rows)}, {_channel(ctx)}"
    )
    return ctx.op("stablehlo.all_to_all", (x,), out, attrs)


def permute(ctx: Context, x: Value, names: Names, pairs: Sequence[tuple[int, int]]) -> Value:
    """The value of the member that sends to this one, or zeros."""
    rows = region_of(ctx, names).rows(names)
    table = np.array([[row[a], row[b]] for row in rows for a, b in pairs], np.int64).reshape(-1, 2)
    if not len(table):
        return Value(ctx.full(0, physical_aval(array_aval(x.aval))).name, x.aval)
    attrs = f"source_target_pairs = {dense(table)}, {_channel(ctx)}"
    return ctx.op("stablehlo.collective_permute", (x,), x.aval, attrs)


# --- who one is -------------------------------------------------------------------------------


def index(ctx: Context, name: Hashable) -> Value:
    """The index along an axis of the device that asks, as an int32 scalar."""
    region = region_of(ctx, (name,))
    scalar = ShapedArray((), np.dtype(np.int32))
    size = region.sizes[region.names.index(name)]
    if size == 1:
        return ctx.constant(np.int32(0))
    # The devices' own numbers are not known inside loops; an array that counts is, and is cut as any other.
    count = ctx.op("stablehlo.iota", (), ShapedArray((size,), np.dtype(np.int32)), "iota_dimension = 0 : i64")
    own = enter(ctx, count, PartitionSpec(name), ShapedArray((1,), np.dtype(np.int32)), region)
    return ctx.op("stablehlo.reshape", (own,), scalar)

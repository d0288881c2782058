"""Exchanges over named axes made of others: slices of lengths that differ, and sending apart from receiving.

Invariant: these mean what a composition of other operations does, so what those have (derivatives, batching, every platform)
they have too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray, array_aval
from anima.core.axes import uses
from anima.core.effects import Effects
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.jvp import stage_closed
from anima.interpreters.transpose import transpose_jaxpr
from anima.lax.arithmetic import add, div, mul, sub
from anima.lax.axis_names import Names, as_names, index_along, sizes_of, tracked, varying
from anima.lax.bitwise import bitwise_and
from anima.lax.compare import ge, lt
from anima.lax.convert import convert_element_type
from anima.lax.create import broadcasted_iota
from anima.lax.declare import declare, lowered_by, operand as as_operand
from anima.lax.exchanges import all_gather_p
from anima.lax.gathering import GatherDimensionNumbers, gather
from anima.lax.permutes import ppermute
from anima.lax.reductions import argmax, reduce_or
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, expand_dims, reshape, shape_of
from anima.lax.slicing import dynamic_slice_in_dim


def ragged_all_to_all(
    operand: Any,
    output: Any,
    input_offsets: Any,
    send_sizes: Any,
    output_offsets: Any,
    recv_sizes: Any,
    *,
    axis_name: Any,
    axis_index_groups: Any = None,
) -> Any:
    """Each member of a named axis sends slices of rows to all, which each puts where the sender says.

    Of the four arrays of integers, all of one length, the first part is about the first member, and so on; each part has as
    many slices as fit.

    Args:
      operand: an array whose rows are sent.
      output: an array of the same dtype, and of rows of the same shape: the result where nothing is received.
      input_offsets, send_sizes: where each slice begins in `operand`, and how many rows it has.
      output_offsets: where the receiver puts each slice.
      recv_sizes: how many rows each slice that is received has. The senders say so already; it is not looked at.
      axis_name: a name, or a tuple of them.
      axis_index_groups: None; slices of length 0 serve as well.
    Returns:
      `output` with what was received in its place.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. TypeError, ValueError: the arrays do not fit.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> def send(x, offsets, sizes, there, back):
    ...     return lax.ragged_all_to_all(x, np.zeros(4), offsets, sizes, there, back, axis_name="i")
    >>> x, ones = np.arange(6.0).reshape(2, 3), np.array([[1, 1], [2, 1]])
    >>> print(
    ...     anima.vmap(send, axis_name="i")(
    ...         x, np.array([[0, 2], [0, 2]]), ones, np.array([[0, 0], [1, 1]]), ones.T
    ...     )
    ... )
    [[0. 3. 4. 0.]
     [2. 5. 0. 0.]]
    """
    name = "ragged_all_to_all"
    names = as_names(name, axis_name)
    sizes = sizes_of(names)
    members = math.prod(sizes)
    if axis_index_groups is not None:
        raise ValueError(
            f"{name}: axis_index_groups must be None; send slices of length 0 to the members of other groups"
        )
    operand, output = as_operand(operand), as_operand(output)
    tables = dict(
        input_offsets=input_offsets,
        send_sizes=send_sizes,
        output_offsets=output_offsets,
        recv_sizes=recv_sizes,
    )
    _check_ragged(name, operand, output, tables, members)
    given = [varying(x, names) for x in (operand, output, *map(as_operand, tables.values()))]
    return ragged_all_to_all_p.bind(
        *given, axis_name=names, axis_sizes=sizes, axis_index_groups=None, tracked=tracked(names)
    )


def _check_ragged(name: str, operand: Any, output: Any, tables: dict[str, Any], members: int) -> None:
    shape, other = shape_of(operand), shape_of(output)
    if not shape or shape[1:] != other[1:] or len(shape) != len(other):
        raise ValueError(
            f"{name}: operand and output must have rows of one shape, got the shapes {shape} and {other}"
        )
    if dtype_of(operand) != dtype_of(output):
        raise TypeError(
            f"{name}: operand and output must have one dtype, got {dtypes.dtype_name(dtype_of(operand))} and "
            f"{dtypes.dtype_name(dtype_of(output))}"
        )
    length = shape_of(tables["input_offsets"])
    for key, table in tables.items():
        if not dtypes.is_int(dtype_of(table)):
            raise ValueError(f"{name}: {key} must be integers, got {dtypes.dtype_name(dtype_of(table))}")
        if len(shape_of(table)) != 1 or shape_of(table) != length or not length[0] or length[0] % members:
            raise ValueError(
                f"{name}: {key} must be a vector, as long as the others, of a length that is a multiple of {members}, the number "
                f"of members; got the shape {shape_of(table)}"
            )


def _exchanged(
    operand: Any,
    output: Any,
    input_offsets: Any,
    send_sizes: Any,
    output_offsets: Any,
    recv_sizes: Any,
    *,
    axis_name: Names,
    axis_sizes: tuple[int, ...],
    axis_index_groups: None,
    tracked: Names,
) -> Any:
    """What the operation means."""

    def from_all(x: Any) -> Any:
        return all_gather_p.bind(
            expand_dims(x, (0,)),
            axis_name=axis_name,
            axis_sizes=axis_sizes,
            all_gather_dimension=0,
            axis_index_groups=None,
            invariant=False,
        )

    own = index_along(axis_name, axis_sizes, tracked)
    starts, lengths, places = [
        _for_me(from_all(convert_element_type(table, np.int32)), own)
        for table in (input_offsets, send_sizes, output_offsets)
    ]
    return _received(operand, output, starts, lengths, places, from_all, math.prod(axis_sizes))


def _for_me(rows: Any, own: Any) -> Any:
    """What every sender says about the slices for this member: a vector, by sender."""
    count = shape_of(rows)[1] // shape_of(rows)[0]
    part = dynamic_slice_in_dim(rows, mul(own, np.int32(count)), count, 1)
    return reshape(part, (shape_of(rows)[0] * count,))


def _received(
    operand: Any, output: Any, starts: Any, lengths: Any, places: Any, from_all: Any, members: int
) -> Any:
    rows, slices = shape_of(output)[0], shape_of(starts)[0]
    if not rows or not shape_of(operand)[0]:
        return output
    # For each row of the output and each slice, which row of the slice that would be.
    offsets = sub(
        broadcasted_iota(np.int32, (rows, slices), 0), broadcast_in_dim(places, (rows, slices), (1,))
    )
    inside = bitwise_and(
        ge(offsets, np.int32(0)), lt(offsets, broadcast_in_dim(lengths, (rows, slices), (1,)))
    )
    chosen = argmax(convert_element_type(inside, np.int32), 1, np.int32)
    sources = add(offsets, broadcast_in_dim(starts, (rows, slices), (1,)))
    per_member = np.int32(slices // members)
    sender = div(chosen, per_member)
    row = _at(sources, chosen)
    every = from_all(operand)
    shape = shape_of(operand)
    kept = tuple(range(1, len(shape)))
    where = _pairs(sender, row)
    taken = gather(
        every, where, GatherDimensionNumbers(kept, (0, 1), (0, 1)), (1, 1, *shape[1:]), mode="clip"
    )
    valid = reduce_or(inside, (1,))
    return select(broadcast_in_dim(valid, shape_of(output), (0,)), taken, output)


def _pairs(first: Any, second: Any) -> Any:
    """A table with a row for each pair."""
    count = shape_of(first)[0]
    columns = broadcasted_iota(np.int32, (count, 2), 1)
    return select(
        lt(columns, np.int32(1)),
        broadcast_in_dim(first, (count, 2), (0,)),
        broadcast_in_dim(second, (count, 2), (0,)),
    )


def _at(table: Any, columns: Any) -> Any:
    """The entry of each row of a table in the column that a vector says."""
    count = shape_of(table)[0]
    where = _pairs(broadcasted_iota(np.int32, (count,), 0), columns)
    return gather(table, where, GatherDimensionNumbers((), (0, 1), (0, 1)), (1, 1), mode="clip")


# --- the operation ----------------------------------------------------------------------------


def _program(avals: Sequence[Any], params: dict[str, Any]) -> ClosedJaxpr:
    return stage_closed(lambda *args: [_exchanged(*args, **params)], avals, "")


def _shape(operand: ShapedArray, output: ShapedArray, *tables: ShapedArray, **params: Any) -> ShapedArray:
    return output


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    # Linear in what is sent and where it is put.
    out = ragged_all_to_all_p.bind(*primals, **params)
    moving = tangents[:2]
    if all(type(t) is Zero for t in moving):
        return out, Zero(array_aval(aval_of(out)).tangent_aval())
    moving = [hooks.zeros(t.aval) if type(t) is Zero else t for t in moving]
    return out, ragged_all_to_all_p.bind(*moving, *primals[2:], **params)


def _transpose(ct: Any, *args: Any, **params: Any) -> list[Any]:
    linear = tuple([type(a) is Linear for a in args])
    closed = _program([a.aval if type(a) is Linear else aval_of(a) for a in args], params)
    derived, nonzeros = transpose_jaxpr(closed, linear, (True,))
    constants = [a for a, lin in zip(args, linear) if not lin]
    found = iter(eval_jaxpr(derived.jaxpr, derived.consts, *constants, ct))
    flags = iter(nonzeros)
    return [next(found) if lin and next(flags) else None for lin in linear]


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, Any]:
    avals = [
        a if d is None else a.update(shape=a.shape[:d] + a.shape[d + 1 :])
        for a, d in zip([array_aval(aval_of(x)) for x in args], dims)
    ]
    derived, out_dims = batch_jaxpr(_program(avals, params), axis, tuple(dims))
    return eval_jaxpr(derived.jaxpr, derived.consts, *args)[0], out_dims[0]


def _effects(*avals: Any, axis_name: Names, **params: Any) -> Effects:
    return uses(axis_name)


ragged_all_to_all_p = declare(
    "ragged_all_to_all",
    shape=_shape,
    lower=lowered_by(_exchanged),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
)


# --- sending and receiving --------------------------------------------------------------------


def psend(x: Any, axis_name: Any, perm: Any) -> Any:
    """Sends a value to another member of a named axis, which gets it with `precv`.

    Args:
      x: an array.
      axis_name: a name, or a tuple of them.
      perm: pairs of integers (source, destination), as for `ppermute`.
    Returns:
      The message, for `precv`.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: pairs repeat an index, or one is out
        of range.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> def shift(x):
    ...     message = lax.psend(x, "i", [(0, 1)])
    ...     return lax.precv(message, anima.typeof(x), "i", [(0, 1)])
    >>> print(anima.vmap(shift, axis_name="i")(np.array([1.0, 2.0])))
    [0. 1.]
    """
    return ppermute(as_operand(x), axis_name, perm)


def precv(token: Any, out_shape: Any, axis_name: Any, perm: Any) -> Any:
    """What another member of a named axis has sent with `psend`, or zeros from nobody.

    Args:
      token: the message that `psend` returned here.
      out_shape: the shape and dtype of what is received: anything with `.shape` and `.dtype`.
      axis_name, perm: those of `psend`.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: the message is of another type.
    """
    sizes_of(as_names("precv", axis_name))
    aval = array_aval(aval_of(token))
    wanted = (tuple(out_shape.shape), dtypes.canonicalize_dtype(out_shape.dtype))
    if (aval.shape, aval.dtype) != wanted:
        raise ValueError(
            f"precv: out_shape is {dtypes.dtype_name(wanted[1])} of shape {wanted[0]}, but {aval} was sent"
        )
    return token

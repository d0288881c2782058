"""Batching, for those who add operations: rules for a mapped axis.

Invariant: a rule that is set here is set on the primitive. A rule is given the operands as they are, with the mapped axis
among theirs, and where it is in each; `not_mapped` says that one does not have it.

>>> import anima, anima.numpy as np
>>> from anima.extend.core import Primitive
>>> from anima.interpreters import batching
>>> square_p = Primitive("square")
>>> square_p.def_impl(lambda x: x * x)  # doctest: +ELLIPSIS
<function ...>
>>> batching.defvectorized(square_p)
>>> print(anima.vmap(square_p.bind)(np.arange(3)))
[0 1 4]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima.core import hooks
from anima.core.primitive import Primitive
from anima.core.trace import shaped
from anima.extend.rules import BatchRules
from anima.interpreters.batch import BatchTrace, BatchTracer, to_axis

__all__ = [
    "BatchTrace",
    "BatchTracer",
    "axis_primitive_batchers",
    "bdim_at_front",
    "broadcast",
    "defbroadcasting",
    "defreducer",
    "defvectorized",
    "fancy_primitive_batchers",
    "not_mapped",
    "primitive_batchers",
]

not_mapped = None

# `primitive_batchers[p] = rule`: `rule(args, dims, **params)` returns (result, dim).
primitive_batchers = BatchRules("plain")
# `rule(axis_size, axis_name, trace_type, args, dims, **params)`; there are no trace types, so that is None.
axis_primitive_batchers = BatchRules("axis")
# `rule(axis, args, dims, **params)`; `axis` has a `size`, a `name` and a `spmd_name`.
fancy_primitive_batchers = BatchRules("fancy")


def broadcast(x: Any, sz: int, axis: int, mesh_axis: Any = None) -> Any:
    """`x` repeated along a new axis of size `sz`."""
    return hooks.broadcast_batch(x, sz, axis)


def bdim_at_front(x: Any, bdim: int | None, size: int, mesh_axis: Any = None) -> Any:
    """`x` with its mapped axis in front, broadcast along one if it has none."""
    return to_axis(x, bdim, 0, size)


def defvectorized(prim: Primitive) -> None:
    """Let an operation that works elementwise, on operands of one shape, be its own batched form.

    Operands without the mapped axis are broadcast along it.
    """
    _set_elementwise(prim, keep_scalars=False)


def defbroadcasting(prim: Primitive) -> None:
    """As `defvectorized`, for an operation that takes scalars beside operands of any shape: they stay scalars."""
    _set_elementwise(prim, keep_scalars=True)


def _set_elementwise(prim: Primitive, keep_scalars: bool) -> None:
    def rule(args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> tuple[Any, Any]:
        first, size = next((d, shaped(a).shape[d]) for a, d in zip(args, dims) if d is not None)
        moved = [
            a if d is None and keep_scalars and shaped(a).ndim == 0 else to_axis(a, d, first, size)
            for a, d in zip(args, dims)
        ]
        out = prim.bind(*moved, **params)
        return (out, [first] * len(out)) if prim.multiple_results else (out, first)

    primitive_batchers[prim] = rule


def defreducer(prim: Primitive) -> None:
    """Let an operation that reduces the axes given by its parameter `axes` reduce the same ones of each example."""

    def rule(
        args: Sequence[Any], dims: Sequence[int | None], *, axes: Sequence[int], **params: Any
    ) -> tuple[Any, Any]:
        (operand,), (dim,) = args, dims
        assert dim is not None
        shifted = tuple([int(axis + (axis >= dim)) for axis in axes])
        out_dim = dim - sum([axis < dim for axis in axes])
        out = prim.bind(operand, axes=shifted, **params)
        return (out, [out_dim] * len(out)) if prim.multiple_results else (out, out_dim)

    primitive_batchers[prim] = rule

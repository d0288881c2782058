"""Operations that say something about values which rematerialisation may keep: a name, a memory to wait in.

Invariant: neither changes a number, and both are gone after lowering unless the device has another memory.
"""

from __future__ import annotations

from typing import Any

from anima._native import tree_flatten, tree_unflatten
from anima.core.primitive import Missing, Primitive, Zero
from anima.interpreters.batch import Axis
from anima.interpreters.key_reuse import same
from anima.lowering.module import Context, Value
from anima.runtime.transfers import TRANSFER
from anima.transforms.arguments import check_inputs

MEMORY_KINDS = ("device", "pinned_host", "unpinned_host")


def _same(x: Any, **params: Any) -> Any:
    return x


def _name_jvp(primals: Any, tangents: Any, *, name: str) -> tuple[Any, Any]:
    return name_p.bind(*primals, name=name), tangents[0]


def _name_batch(axis: Axis, args: Any, dims: Any, *, name: str) -> tuple[Any, Any]:
    return name_p.bind(*args, name=name), dims[0]


name_p = Primitive(
    "name",
    shape=_same,
    lower=lambda ctx, x, *, name: x,
    jvp=_name_jvp,
    transpose=Missing("its tangent passes by it"),
    batch=_name_batch,
    keys=same,
)


def _transfer_lower(ctx: Context, x: Value, *, memory_kind: str) -> Value:
    # On a CPU both are one memory; XLA's partitioner does not know transfers.
    if ctx.module.platform == "cpu" or ctx.module.partitions > 1:
        return x
    attrs = (
        f'call_target_name = "{TRANSFER}", has_side_effect = true, '
        f'mhlo.frontend_attributes = {{_xla_buffer_placement = "{memory_kind}"}}'
    )
    return ctx.op("stablehlo.custom_call", (x,), attrs=attrs)


def _transfer_jvp(primals: Any, tangents: Any, *, memory_kind: str) -> tuple[Any, Any]:
    out = transfer_p.bind(*primals, memory_kind=memory_kind)
    (tangent,) = tangents
    return out, tangent if type(tangent) is Zero else transfer_p.bind(tangent, memory_kind=memory_kind)


def _transfer_batch(axis: Axis, args: Any, dims: Any, *, memory_kind: str) -> tuple[Any, Any]:
    return transfer_p.bind(*args, memory_kind=memory_kind), dims[0]


def _transfer_transpose(ct: Any, x: Any, *, memory_kind: str) -> list[Any]:
    # A cotangent is needed where it is computed: only values wait elsewhere.
    return [ct]


transfer_p = Primitive(
    "transfer",
    shape=_same,
    lower=_transfer_lower,
    jvp=_transfer_jvp,
    transpose=_transfer_transpose,
    batch=_transfer_batch,
    keys=same,
)


def checkpoint_name(x: Any, name: str) -> Any:
    """`x` under a name, by which a policy of `checkpoint` may say that it is kept.

    Args:
      x: an array or a pytree of arrays.
      name: a string. Several values may have the same.
    Returns:
      The same structure of the same values.
    Raises:
      TypeError: `name` is no string, or a leaf of `x` is no array or number.

    >>> import anima, anima.numpy as np
    >>> from anima.ad_checkpoint import checkpoint_name, print_saved_residuals
    >>> def f(x):
    ...     y = checkpoint_name(np.sin(x), "y")
    ...     return np.sin(np.sin(y))
    >>> policy = anima.checkpoint_policies.save_only_these_names("y")
    >>> print(anima.grad(anima.checkpoint(f, policy=policy))(0.5).round(3))
    0.697
    """
    if not isinstance(name, str):
        raise TypeError(f"checkpoint_name: name must be a string, got {name!r} of type {type(name).__name__}")
    leaves, structure = tree_flatten(x)
    leaves = check_inputs(leaves, checkpoint_name, "checkpoint_name", (x,), {})
    return tree_unflatten(structure, [name_p.bind(leaf, name=name) for leaf in leaves])

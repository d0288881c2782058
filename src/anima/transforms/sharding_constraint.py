"""`with_sharding_constraint`: how an array inside a program is laid out over devices.

Invariant: what reaches the operation is a sharding that fits the array's rank.
"""

from __future__ import annotations

from typing import Any

from anima._native import tree_flatten, tree_unflatten
from anima.core.aval import array_aval
from anima.core.trace import aval_of
from anima.sharding import NamedSharding, PartitionSpec, Sharding
from anima.sharding.requests import on_current_mesh
from anima.transforms.arguments import check_inputs
from anima.transforms.placement_primitive import sharding_constraint_p
from anima.tree.compare import flatten_axes


def _resolved(wanted: Any) -> Sharding:
    """The sharding that an entry of the argument stands for."""
    if wanted is None:
        raise ValueError(
            "with_sharding_constraint: a sharding is None; give PartitionSpec() to replicate, or leave the array out"
        )
    if isinstance(wanted, PartitionSpec):
        wanted = on_current_mesh("with_sharding_constraint", wanted)
    if not isinstance(wanted, Sharding):
        raise TypeError(
            f"with_sharding_constraint: shardings must be Shardings or PartitionSpecs, got {wanted!r}"
        )
    if isinstance(wanted, NamedSharding):
        explicit = set(wanted.mesh.explicit_axes) & set(wanted.spec.axes())
        if explicit:
            raise ValueError(
                f"with_sharding_constraint: the spec {wanted.spec} names axes of type Explicit, {sorted(map(str, explicit))}; "
                "the compiler decides on those of type Auto only"
            )
    return wanted


def _constrained(x: Any, wanted: Any) -> Any:
    sharding = _resolved(wanted)
    shape = array_aval(aval_of(x)).shape
    if isinstance(sharding, NamedSharding) and len(sharding.spec) > len(shape):
        raise ValueError(
            f"with_sharding_constraint: the spec {sharding.spec} is for arrays of at least {len(sharding.spec)} dimensions, "
            f"got shape {shape}"
        )
    return sharding_constraint_p.bind(x, sharding=sharding)


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """`x`, an array or a pytree of them, laid out as `shardings` says, also inside compiled functions.

    Args:
      x: arrays, NumPy arrays or numbers.
      shardings: a sharding, or a `PartitionSpec` for the current mesh; or a pytree prefix of those.
    Returns:
      The same structure of arrays.
    Raises:
      ValueError: an entry is None, names an axis of type Explicit, or has more dimensions than its array.
      RuntimeError: a `PartitionSpec` is given and no mesh is set. TypeError: an entry is something else.

    >>> import anima
    >>> from anima import lax
    >>> from anima.sharding import NamedSharding, PartitionSpec as P
    >>> mesh = anima.make_mesh((1,), ("x",))
    >>> y = anima.jit(lambda x: lax.with_sharding_constraint(x + 1, NamedSharding(mesh, P("x"))))(
    ...     anima.numpy.zeros(4)
    ... )
    >>> print(y)
    [1. 1. 1. 1.]
    """
    leaves, structure = tree_flatten(x)
    leaves = check_inputs(leaves, with_sharding_constraint, "with_sharding_constraint", (x,), {})
    wanted = flatten_axes("with_sharding_constraint shardings", structure, shardings, is_leaf=_is_entry)
    return tree_unflatten(structure, [_constrained(leaf, s) for leaf, s in zip(leaves, wanted)])


def _is_entry(value: Any) -> bool:
    return value is None or isinstance(value, (Sharding, PartitionSpec))

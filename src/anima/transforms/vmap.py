"""`vmap`: a function of single examples becomes one of batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima._native import tree_flatten, tree_unflatten
from anima.core.trace import shaped
from anima.interpreters.batch import Axis, batch_flat, to_axis
from anima.transforms.arguments import (
    FlatFunction,
    check_callable,
    check_inputs,
    is_float0,
    leaf_names,
    name_of,
    public,
)
from anima.tree.compare import flatten_axes


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
) -> Callable[..., Any]:
    """`fun` mapped over an axis of its arguments, as one batched program and not as a loop.

    Args:
      fun: a function of arrays and pytrees of them.
      in_axes: for each positional argument the axis to map over: an integer, None (not mapped), or a pytree
        prefix of those; one integer serves all. Keyword arguments are mapped over axis 0.
      out_axes: where the mapped axis goes in the outputs; None only where an output is not mapped.
      axis_name: a name for collectives inside `fun`.
      axis_size: the size of the axis, needed when no argument has it.
      spmd_axis_name: mesh axes over which the mapped axis is sharded.
    Returns:
      A function with `fun`'s arguments, batched.
    Raises:
      ValueError: sizes of mapped axes differ, an axis is out of range, or axes do not fit the arguments.

    >>> import anima, anima.numpy as np
    >>> print(anima.vmap(lambda x, y: x * y, in_axes=(0, None))(np.arange(3), 2))
    [0 2 4]
    """
    check_callable(fun, "vmap")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not (in_axes is None or isinstance(in_axes, (int, tuple)) or hasattr(in_axes, "__index__")):
        raise TypeError(
            f"vmap: in_axes must be an integer, None or a tuple with one entry an argument, got {in_axes!r}"
        )

    def mapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                f"vmap: in_axes {in_axes} has {len(in_axes)} entries, but {name_of(fun)} was called with "
                f"{len(args)} positional arguments"
            )
        leaves, in_tree = tree_flatten((args, kwargs))
        leaves = check_inputs(leaves, fun, "vmap", args, kwargs)
        axes = flatten_axes("vmap in_axes", in_tree, (in_axes, 0))
        dims = [_normal(d, x, i, fun, args, kwargs) for i, (d, x) in enumerate(zip(axes, leaves))]
        size = _size(dims, leaves, axis_size, fun, args, kwargs)
        flat = FlatFunction(fun, in_tree)
        axis = Axis(size, axis_name, spmd_axis_name)
        for i, (leaf, dim) in enumerate(zip(leaves, dims)):
            if is_float0(leaf) and dim is not None:  # all its examples are the same
                shape = leaf.shape[:dim] + leaf.shape[dim + 1 :]
                leaves[i], dims[i] = np.zeros(shape, leaf.dtype), None
        outs, out_dims = batch_flat(flat, axis, leaves, dims)
        targets = flatten_axes("vmap out_axes", flat.out_tree, out_axes)
        results = [_place(o, d, t, size, fun) for o, d, t in zip(outs, out_dims, targets)]
        return tree_unflatten(flat.out_tree, results)

    return public(mapped, fun, "vmap")


def _normal(dim: Any, leaf: Any, index: int, fun: Any, args: Any, kwargs: Any) -> int | None:
    if dim is None:
        return None
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"vmap: in_axes entries must be integers or None, got {dim!r}")
    shape = shaped(leaf).shape
    axis = int(dim.__index__())
    if not -len(shape) <= axis < len(shape):
        name = leaf_names(fun, args, kwargs)[index]
        raise ValueError(
            f"vmap: in_axes {axis} is out of range for argument {name} of {name_of(fun)}, which has shape {shape}; "
            "use None for arguments that are not mapped"
        )
    return axis % len(shape)


def _size(
    dims: list[int | None], leaves: list[Any], given: int | None, fun: Any, args: Any, kwargs: Any
) -> int:
    sizes = [(i, shaped(x).shape[d]) for i, (x, d) in enumerate(zip(leaves, dims)) if d is not None]
    if given is not None:
        sizes = [(-1, given), *sizes]
    if not sizes:
        raise ValueError(
            f"vmap of {name_of(fun)}: no argument is mapped; give axis_size, or an axis in in_axes"
        )
    if len({size for _, size in sizes}) > 1:
        names = leaf_names(fun, args, kwargs)
        listed = "; ".join(
            f"axis_size is {size}"
            if i < 0
            else f"argument {names[i]} has shape {shaped(leaves[i]).shape} and size {size} along axis {dims[i]}"
            for i, size in sizes
        )
        raise ValueError(
            f"vmap of {name_of(fun)} got inconsistent sizes for array axes to be mapped: {listed}"
        )
    return sizes[0][1]


def _place(out: Any, dim: int | None, target: Any, size: int, fun: Any) -> Any:
    if target is None:
        if dim is not None:
            raise ValueError(
                f"vmap of {name_of(fun)}: out_axes is None for an output that has the mapped axis"
            )
        return out
    ndim = shaped(out).ndim + (dim is None)
    if isinstance(target, bool) or not hasattr(target, "__index__"):
        raise TypeError(f"vmap: out_axes entries must be integers or None, got {target!r}")
    axis = int(target.__index__())
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"vmap: out_axes {axis} is out of range for an output of {ndim} dimensions of {name_of(fun)}"
        )
    return to_axis(out, dim, axis % ndim, size)

"""`vmap`: a function of single examples becomes one of batches.

Invariant: what can be wrong with axes is found before the function runs, except for the axes of its outputs; messages name
arguments as the function does, and give the path of a leaf inside an argument or a result.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core.trace import shaped
from anima.interpreters.batch import Axis, batch_flat, to_axis
from anima.lax.reductions import reduce_sum
from anima.state.refs import Ref
from anima.state.staging import Lent, check_aliases
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
from anima.tree_util import keystr, tree_leaves_with_path


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    sum_match: bool = False,
) -> Callable[..., Any]:
    """`fun` mapped over an axis of its arguments, as one batched program and not as a loop.

    Args:
      fun: a function of arrays and pytrees of them. Each example of a reference that is mapped is a reference of its own;
        others, and those that `fun` closes over, can be read.
      in_axes: for each positional argument the axis to map over: an integer, None (not mapped), or a pytree
        prefix of those; one integer serves all. Keyword arguments are mapped over axis 0.
      out_axes: where the mapped axis goes in the outputs: an integer, None, or a pytree prefix of those. None only where
        an output is not mapped; outputs that are not mapped are repeated along an axis.
      axis_name: a name for collectives inside `fun`, any hashable object.
      axis_size: the size of the axis, needed when no argument has it.
      spmd_axis_name: a mesh axis, or a tuple of them, over which shardings inside `fun` split the mapped axis.
      sum_match: whether mapped outputs for which `out_axes` is None are summed over the mapped axis.
    Returns:
      A function with `fun`'s arguments, batched.
    Raises:
      ValueError: sizes of mapped axes differ, an axis is out of range, or axes do not fit the arguments.
      TypeError: axes are neither integers nor None, or an argument is no array.

    >>> import anima, anima.numpy as np
    >>> print(anima.vmap(lambda x, y: x * y, in_axes=(0, None))(np.arange(3), 2))
    [0 2 4]
    """
    check_callable(fun, "vmap")
    spec = _Spec(fun, in_axes, out_axes, axis_name, axis_size, spmd_axis_name, sum_match)

    def mapped(*args: Any, **kwargs: Any) -> Any:
        return spec.call(args, kwargs)

    return public(mapped, fun, "vmap")


class _Spec:
    """A function and how it is mapped."""

    __slots__ = ("axis_name", "axis_size", "fun", "in_axes", "out_axes", "spmd_name", "sum_match")

    def __init__(
        self,
        fun: Any,
        in_axes: Any,
        out_axes: Any,
        axis_name: Any,
        axis_size: Any,
        spmd_name: Any,
        sum_match: bool,
    ) -> None:
        if isinstance(in_axes, list):
            in_axes = tuple(in_axes)
        if not (_is_axis(in_axes) or isinstance(in_axes, tuple)):
            raise TypeError(
                f"vmap: in_axes must be an integer, None or a tuple with one entry an argument, got {in_axes!r}"
            )
        _check_axes("in_axes", in_axes)
        _check_axes("out_axes", out_axes)
        if axis_size is not None:
            axis_size = _check_size(axis_size)
        hash(axis_name)  # names are looked up: what cannot be hashed raises here
        hash(spmd_name)
        self.fun = fun
        self.in_axes = in_axes
        self.out_axes = out_axes
        self.axis_name = axis_name
        self.axis_size = axis_size
        self.spmd_name = spmd_name
        self.sum_match = sum_match

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        fun = self.fun
        leaves, in_tree = tree_flatten((args, kwargs))
        leaves = check_inputs(leaves, fun, "vmap", args, kwargs, refs=True)
        wished = self._wished(args, in_tree)
        dims = [_normal(d, x, i, fun, args, kwargs) for i, (d, x) in enumerate(zip(wished, leaves))]
        size = _size(dims, leaves, self.axis_size, fun, args, kwargs)
        for i, (leaf, dim) in enumerate(zip(leaves, dims)):
            if dim is not None and is_float0(leaf):  # all its examples are the same
                shape = leaf.shape[:dim] + leaf.shape[dim + 1 :]
                leaves[i], dims[i] = np.zeros(shape, leaf.dtype), None
        flat = FlatFunction(fun, in_tree)
        outs, out_dims = _batched(flat, Axis(size, self.axis_name, self.spmd_name), leaves, dims)
        targets = flatten_axes(
            "vmap out_axes", flat.out_tree, self.out_axes, of=f"the result of {name_of(fun)}"
        )
        for i, (out, dim, target) in enumerate(zip(outs, out_dims, targets)):
            if dim != target or dim is None:
                name = functools.partial(_result, fun, flat.out_tree, outs, i)
                outs[i] = self._placed(out, dim, target, size, name)
        return tree_unflatten(flat.out_tree, outs)

    def _wished(self, args: tuple[Any, ...], in_tree: PyTreeDef) -> Sequence[Any]:
        """The axis in `in_axes` of each leaf of the arguments."""
        in_axes = self.in_axes
        if type(in_axes) is int and in_axes == 0:
            return [0] * in_tree.num_leaves
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                f"vmap: in_axes {in_axes} has {len(in_axes)} entries, but {name_of(self.fun)} was called with "
                f"{len(args)} positional arguments"
            )
        of_args, of_kwargs = in_tree.children()
        found = flatten_axes("vmap in_axes", of_args, in_axes, of=f"the arguments of {name_of(self.fun)}")
        return [*found, *[0] * of_kwargs.num_leaves]

    def _placed(self, out: Any, dim: int | None, target: Any, size: int, name: Callable[[], str]) -> Any:
        """The output with its mapped axis where it is wanted."""
        if target is None:
            if dim is None:
                return out
            if self.sum_match:
                return reduce_sum(out, (dim,))
            raise ValueError(
                f"vmap: out_axes is None for {name()}, but that has the mapped axis; give the axis "
                "where it goes, or reduce over it inside the function"
            )
        ndim = shaped(out).ndim + (dim is None)
        axis = operator.index(target)
        if not -ndim <= axis < ndim:
            raise ValueError(
                f"vmap: out_axes {axis} is out of range for {name()}, which has {ndim} dimensions "
                "with the mapped one"
            )
        return to_axis(out, dim, axis % ndim, size)


def _batched(
    flat: FlatFunction, axis: Axis, leaves: Sequence[Any], dims: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    """The results of a function and where they are mapped, after its mapped references have taken their new values."""
    if Ref not in map(type, leaves):
        return batch_flat(flat, axis, leaves, dims)
    lent = Lent(leaves, [d is not None for d in dims])
    check_aliases([x for x in leaves if type(x) is Ref], f"vmap of {name_of(flat.fun)}")
    outs, out_dims = batch_flat(lent.ending(flat), axis, lent.arguments(leaves), dims)
    count = len(outs) - len(lent.refs)
    for ref, place, value, dim in zip(lent.refs, lent.places, outs[count:], out_dims[count:]):
        target = dims[place]
        assert target is not None
        ref._write(to_axis(value, dim, target, axis.size))
    return outs[:count], out_dims[:count]


def _is_axis(value: Any) -> bool:
    return value is None or (hasattr(value, "__index__") and not isinstance(value, bool))


def _check_axes(argument: str, axes: Any) -> None:
    """Raise TypeError unless all leaves are axes."""
    if _is_axis(axes):
        return
    for leaf in tree_flatten(axes, lambda x: x is None)[0]:
        if not _is_axis(leaf):
            raise TypeError(f"vmap: {argument} entries must be integers or None, got {leaf!r} in {axes!r}")


def _check_size(size: Any) -> int:
    try:
        found = operator.index(size)
    except TypeError:
        raise TypeError(f"vmap: axis_size must be an integer, got {size!r}") from None
    if found < 0:
        raise ValueError(f"vmap: axis_size must not be negative, got {found}")
    return found


def _result(fun: Any, tree: PyTreeDef, outs: list[Any], index: int) -> str:
    """What messages call a leaf of the result."""
    path = keystr(tree_leaves_with_path(tree_unflatten(tree, outs))[index][0])
    return f"the result of {name_of(fun)}" + (f" at {path}" if path else "")


def _normal(dim: Any, leaf: Any, index: int, fun: Any, args: Any, kwargs: Any) -> int | None:
    if dim is None:
        return None
    shape = leaf.shape
    axis = operator.index(dim)
    if 0 <= axis < len(shape):
        return axis
    if not -len(shape) <= axis < 0:
        name = leaf_names(fun, args, kwargs)[index]
        raise ValueError(
            f"vmap: in_axes {axis} is out of range for argument {name} of {name_of(fun)}, which has shape {shape}; "
            "use None for arguments that are not mapped"
        )
    return axis + len(shape)


def _size(
    dims: list[int | None], leaves: list[Any], given: int | None, fun: Any, args: Any, kwargs: Any
) -> int:
    size = given
    for dim, leaf in zip(dims, leaves):
        if dim is not None:
            found = leaf.shape[dim]
            if size is None:
                size = found
            elif found != size:
                raise _inconsistent(dims, leaves, given, fun, leaf_names(fun, args, kwargs))
    if size is None:
        raise ValueError(
            f"vmap of {name_of(fun)}: no argument is mapped; give axis_size, or an axis in in_axes"
        )
    return size


def _inconsistent(
    dims: list[int | None], leaves: list[Any], given: int | None, fun: Any, names: list[str]
) -> ValueError:
    listed = [] if given is None else [f"axis_size is {given}"]
    for dim, leaf, name in zip(dims, leaves, names):
        if dim is not None:
            shape = leaf.shape
            listed.append(f"argument {name} has shape {shape} and size {shape[dim]} along axis {dim}")
    return ValueError(
        f"vmap of {name_of(fun)} got inconsistent sizes for array axes to be mapped: {'; '.join(listed)}"
    )

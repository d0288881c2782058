"""Loops over the rows of arrays: `scan` and `map`.

Invariant: a function is traced once for each type of carry and rows; called eagerly with the same function, a loop runs
the program that was compiled before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.config import disable_jit
from anima.core.aval import ShapedArray
from anima.core.trace import shaped
from anima.errors import ArgumentError, RefError
from anima.interpreters.batch import Axis, batch_flat, to_axis
from anima.lax.control.bodies import (
    Body,
    check_function,
    flat_call,
    leaf_path,
    operand_leaves,
    refuse_float0,
    traced_body,
)
from anima.lax.control.carries import check_carry, promoted
from anima.lax.control.forwarding import scanned
from anima.lax.control.looping import unroll_factor
from anima.lax.control.programs import avals_of
from anima.lax.control.references import over_indices, with_references
from anima.lax.joining import concatenate
from anima.lax.shape import expand_dims, reshape
from anima.lax.slicing import index_in_dim, slice_in_dim


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> tuple[Any, Any]:
    """A loop over the rows of `xs` that carries a value along and stacks results.

    In Python: `for x in xs: carry, y = f(carry, x); ys.append(y)`, with `carry` starting from `init`.

    Args:
      f: from the carry and a row of `xs` to the next carry, of the same structure, shapes and dtypes, and a result.
      init: an array or a pytree of arrays. Weakly typed numbers take the dtype that `f` gives them.
      xs: a pytree of arrays whose first dimensions are equal; or None, if `length` is given. Of a reference, `f` gets a
        part that it can read and write.
      length: how many iterations; by default the first dimension of `xs`.
      reverse: begin with the last row, and stack results from the end.
      unroll: how many iterations to put into one of the compiled loop; True for all.
    Returns:
      The last carry, and the results stacked along a new first dimension.
    Raises:
      TypeError: `f` returns no pair, or a carry of another type than it takes; the message names the leaf.
      ValueError: first dimensions differ, or there is nothing to say how many iterations there are.

    >>> from anima import lax
    >>> total, sums = lax.scan(lambda c, x: (c + x, c + x), 0, lax.iota("int32", 4))
    >>> print(total, sums)
    6 [0 1 3 6]
    """
    check_function("scan", "f", f)
    leaves, tree = operand_leaves("scan", "init", init)
    try:
        rows, rows_tree = operand_leaves("scan", "xs", xs)
    except RefError:
        return scan(*over_indices("scan", f, init, xs), length=length, reverse=reverse, unroll=unroll)
    count = _length("scan", rows, rows_tree, length)
    factor = unroll_factor("scan", unroll, count)
    if disable_jit.value and count:
        return _python_scan(f, init, rows, rows_tree, count, reverse)
    row_avals = [_row_aval(x) for x in rows]
    while True:
        avals = avals_of(leaves)
        body = traced_body(
            "scan",
            f,
            (tree, rows_tree),
            [*avals, *row_avals],
            lambda: flat_call(f, tree, rows_tree),
            refs=True,
        )
        if body.checked:
            break
        out_tree, outs = _carry_of(body, len(leaves))
        changed = promoted(leaves, avals, outs) if out_tree == tree else None
        if changed is None:
            check_carry("scan", f"f ({body.name})", "init", tree, avals, out_tree, outs)
            refuse_float0("scan", "xs", rows_tree)
            refuse_float0("scan", f"the result of {body.name}", body.out_tree.children()[1])
            body.keep_varying(avals)
            body.checked = True
            break
        leaves = changed
    if body.refs is None:
        results = scanned(
            body.closed, body.consts, leaves, rows, length=count, reverse=bool(reverse), unroll=factor
        )
    else:
        results = with_references(body, leaves, rows, length=count, reverse=bool(reverse), unroll=factor)
    carry, ys = tree_unflatten(body.out_tree, results)
    return carry, ys


def _carry_of(body: Body, count: int) -> tuple[PyTreeDef, list[ShapedArray]]:
    """The structure and the avals of the carry that a scan's function returns.

    Raises:
      TypeError: it returns no pair.
    """
    tree = body.out_tree
    node = tree.node_data()
    if node is None or node[0] not in (tuple, list) or len(tree.children()) != 2:
        given = "an array" if tree.is_leaf else str(tree)
        raise TypeError(
            f"scan: f must return a pair, the next carry and a result (None if there is none), but {body.name} returns {given}"
        )
    carry = tree.children()[0]
    return carry, body.out_avals[: carry.num_leaves]


@functools.lru_cache(maxsize=4096)
def _without_first(aval: ShapedArray) -> ShapedArray:
    return aval.update(shape=aval.shape[1:])


def _row_aval(x: Any) -> ShapedArray:
    return _without_first(shaped(x))


def _length(what: str, rows: Sequence[Any], tree: PyTreeDef, length: Any) -> int:
    """How many iterations there are.

    Raises:
      TypeError, ValueError: nothing says so, or things contradict each other; the message names the leaves.
    """
    sizes = []
    for index, x in enumerate(rows):
        shape = shaped(x).shape
        if not shape:
            raise ValueError(
                f"{what}: xs{leaf_path(tree, index)} is a scalar, which has no rows to loop over; capture it in the "
                "function, or pass it in the carry"
            )
        sizes.append(shape[0])
    if length is not None:
        if isinstance(length, float) and length.is_integer():
            length = int(length)
        if isinstance(length, bool) or not hasattr(length, "__index__"):
            raise TypeError(f"{what}: length must be an integer that is known while tracing, got {length!r}")
        if length < 0:
            raise ValueError(f"{what}: length must not be negative, got {length}")
    if not sizes:
        if length is None:
            raise ValueError(f"{what}: xs holds no arrays, so length must be given")
        return int(length)
    if len(set(sizes)) > 1:
        listed = ", ".join(f"xs{leaf_path(tree, i)} has {size}" for i, size in enumerate(sizes))
        raise ValueError(f"{what}: the arrays in xs must have the same number of rows, but {listed}")
    if length is not None and int(length) != sizes[0]:
        raise ValueError(f"{what}: length is {length}, but xs{leaf_path(tree, 0)} has {sizes[0]} rows")
    return sizes[0]


def _python_scan(
    f: Callable[..., Any], init: Any, rows: Sequence[Any], tree: PyTreeDef, count: int, reverse: bool
) -> tuple[Any, Any]:
    carry, results = init, []
    for i in reversed(range(count)) if reverse else range(count):
        carry, y = f(carry, tree_unflatten(tree, [index_in_dim(x, i, keepdims=False) for x in rows]))
        results.append(y)
    columns = [tree_flatten(y) for y in (results[::-1] if reverse else results)]
    stacks = [
        concatenate([expand_dims(y, (0,)) for y in column], 0) for column in zip(*[c[0] for c in columns])
    ]
    return carry, tree_unflatten(columns[0][1], stacks)


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """`f` of each row of `xs`, one after the other, with the results stacked.

    Unlike `vmap` this needs memory for one row at a time; `batch_size` is the middle way.

    Args:
      f: a function of one row.
      xs: a pytree of arrays whose first dimensions are equal.
      batch_size: so many rows are computed together, as by `vmap`.
    Returns:
      The results, stacked along a new first dimension.
    Raises:
      ValueError: first dimensions differ, or `batch_size` is not positive.

    >>> from anima import lax
    >>> print(lax.map(lambda x: x * x, lax.iota("int32", 4)))
    [0 1 4 9]
    """
    check_function("map", "f", f)
    rows, tree = operand_leaves("map", "xs", xs)
    count = _length("map", rows, tree, None)
    if batch_size is None:
        return _mapped(f, rows, tree, count, None)
    if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__") or batch_size < 1:
        raise ArgumentError(f"map: batch_size must be a positive integer, got {batch_size!r}")
    size = int(batch_size)
    whole = count - count % size
    parts = []
    if whole:
        blocks = [
            reshape(slice_in_dim(x, 0, whole), (whole // size, size, *shaped(x).shape[1:])) for x in rows
        ]
        stacks, out_tree = tree_flatten(_mapped(f, blocks, tree, whole // size, size))
        parts.append([reshape(y, (whole, *shaped(y).shape[2:])) for y in stacks])
    if count > whole or not whole:
        rest = [expand_dims(slice_in_dim(x, whole, None), (0,)) for x in rows]
        last, out_tree = tree_flatten(_mapped(f, rest, tree, 1, count - whole))
        parts.append([index_in_dim(y, 0, keepdims=False) for y in last])
    joined = parts[0] if len(parts) == 1 else [concatenate(pair, 0) for pair in zip(*parts)]
    return tree_unflatten(out_tree, joined)


def _mapped(
    f: Callable[..., Any], rows: Sequence[Any], tree: PyTreeDef, count: int, batch: int | None
) -> Any:
    """`f` of each row, or of each example in each row of `batch` examples, stacked."""
    avals = [_row_aval(x) for x in rows]
    body = traced_body("map", f, (tree, batch), avals, lambda: _Examples(f, tree, batch), refs=True)
    if not body.checked:
        refuse_float0("map", "xs", tree)
        refuse_float0("map", f"the result of {body.name}", body.out_tree)
        body.checked = True
    how = {"length": count, "reverse": False, "unroll": 1}
    if body.refs is None:
        outs = scanned(body.closed, body.consts, [], rows, **how)
    else:
        outs = with_references(body, [], rows, **how)
    return tree_unflatten(body.out_tree, outs)


class _Examples:
    """A function on flat leaves, mapped over their first dimension if `batch` says how many examples that holds."""

    __slots__ = ("_batch", "_flat")

    def __init__(self, fun: Callable[..., Any], tree: PyTreeDef, batch: int | None) -> None:
        self._flat = flat_call(fun, tree)
        self._batch = batch

    def __call__(self, *leaves: Any) -> list[Any]:
        if self._batch is None:
            return self._flat(*leaves)
        outs, dims = batch_flat(self._flat, Axis(self._batch), leaves, [0] * len(leaves))
        return [to_axis(out, dim, 0, self._batch) for out, dim in zip(outs, dims)]

    @property
    def out_tree(self) -> PyTreeDef:
        return self._flat.out_tree

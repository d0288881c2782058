"""Prefix combinations in logarithmic depth: `associative_scan`.

Invariant: elements are combined in order, only the grouping is free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import PyTreeDef, tree_unflatten
from anima.core.trace import get_trace, shaped
from anima.core.validate import same_type
from anima.errors import ArgumentError
from anima.interpreters.flat import name_of
from anima.lax.control.bodies import check_function, flat_call, leaf_path, operand_leaves, traced_body
from anima.lax.control.carries import type_text
from anima.lax.control.cond_primitive import perform
from anima.lax.control.programs import avals_of
from anima.lax.joining import concatenate
from anima.lax.shape import check_axis, expand_dims, reshape, rev
from anima.lax.slicing import slice_in_dim


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All prefixes of a sequence combined by an associative function: `e0, fn(e0, e1), fn(fn(e0, e1), e2), ...`.

    Where `scan` takes a step for each element, this takes about two for each doubling of their number, each on many
    elements at once.

    Args:
      fn: associative, `fn(a, fn(b, c)) == fn(fn(a, b), c)`, and elementwise along `axis`: it is given arrays of
        several elements, in pytrees built as `elems` is, and returns as many.
      elems: an array or a pytree of arrays, of equal size along `axis`.
      reverse: combine suffixes, from the end: `fn` gets the later elements first.
      axis: the dimension along which the elements lie; negative ones count from the end.
    Returns:
      A pytree built as `elems` is.
    Raises:
      TypeError: `fn` returns something of another type. ValueError: sizes differ.

    >>> from anima import lax
    >>> print(lax.associative_scan(lax.mul, lax.iota("int32", 5) + 1))
    [  1   2   6  24 120]
    """
    check_function("associative_scan", "fn", fn)
    leaves, tree = operand_leaves("associative_scan", "elems", elems)
    if not leaves:
        return elems
    axes = [check_axis("associative_scan", axis, len(shaped(x).shape)) for x in leaves]
    sizes = [shaped(x).shape[d] for x, d in zip(leaves, axes)]
    if len(set(sizes)) > 1:
        listed = ", ".join(f"elems{leaf_path(tree, i)} has {size}" for i, size in enumerate(sizes))
        raise ValueError(
            f"associative_scan: the arrays must have the same size along axis {axis}, but {listed}"
        )
    program = _Prefixes(fn, tree, axes, reverse)
    if get_trace() is not None:
        return tree_unflatten(tree, program(*leaves))
    body = traced_body(
        "associative_scan", fn, (tree, tuple(axes), reverse), avals_of(leaves), lambda: program
    )
    return tree_unflatten(tree, perform(body.closed, [*body.consts, *leaves]))


class _Prefixes:
    """All prefixes of flat leaves, combined by a function of two trees of them."""

    __slots__ = ("_axes", "_flat", "_reverse", "out_tree")

    def __init__(
        self, fn: Callable[[Any, Any], Any], tree: PyTreeDef, axes: Sequence[int], reverse: bool
    ) -> None:
        self._flat = flat_call(fn, tree, tree)
        self._axes = axes
        self._reverse = reverse
        self.out_tree = tree

    def __call__(self, *leaves: Any) -> list[Any]:
        if self._reverse:
            return self._reversed(self._prefixes(self._reversed(leaves)))
        return self._prefixes(leaves)

    def _reversed(self, leaves: Sequence[Any]) -> list[Any]:
        return [rev(x, (d,)) for x, d in zip(leaves, self._axes)]

    def _prefixes(self, elems: Sequence[Any]) -> list[Any]:
        size = shaped(elems[0]).shape[self._axes[0]]
        if size < 2:
            return list(elems)
        pairs = self._combined(self._cut(elems, 0, size - 1, 2), self._cut(elems, 1, size, 2))
        odd = self._prefixes(pairs)
        even = self._cut(elems, 0, 1)
        if size > 2:
            rest = self._combined(self._cut(odd, 0, (size - 1) // 2), self._cut(elems, 2, size, 2))
            even = [concatenate(parts, d) for *parts, d in zip(even, rest, self._axes)]
        return [_interleaved(a, b, d) for a, b, d in zip(even, odd, self._axes)]

    def _cut(self, elems: Sequence[Any], start: int, stop: int, step: int = 1) -> list[Any]:
        return [slice_in_dim(x, start, stop, step, d) for x, d in zip(elems, self._axes)]

    def _combined(self, a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        outs = self._flat(*a, *b)
        if self._flat.out_tree != self.out_tree:
            raise ArgumentError(
                f"associative_scan: fn must return a pytree built as its arguments are, {self.out_tree}, but "
                f"{name_of(self._flat.fun)} returns {self._flat.out_tree}"
            )
        for index, (given, out) in enumerate(zip(avals_of(a), avals_of(outs))):
            if not same_type(given, out):
                raise TypeError(
                    "associative_scan: fn must return arrays of the types that it is given; for "
                    f"elems{leaf_path(self.out_tree, index)} of type {type_text(given)} {name_of(self._flat.fun)} "
                    f"returns {type_text(out)}"
                )
        return outs


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """The elements of two arrays in turn; the first array may have one more."""
    shape = shaped(odd).shape
    count = shape[axis]
    paired = slice_in_dim(even, 0, count, 1, axis)
    both = concatenate([expand_dims(paired, (axis + 1,)), expand_dims(odd, (axis + 1,))], axis + 1)
    joined = reshape(both, (*shape[:axis], 2 * count, *shape[axis + 1 :]))
    if shaped(even).shape[axis] == count:
        return joined
    return concatenate([joined, slice_in_dim(even, count, count + 1, 1, axis)], axis)

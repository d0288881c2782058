"""Jacobians and Hessians: all directions of `jvp`, or all rows of `vjp`, at once by `vmap`.

Invariant: an entry for an output of shape `o` and an argument of shape `i` has shape `o + i`; the tree of outputs is
outside, with the tree of arguments in place of each leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from anima._native import tree_flatten, tree_unflatten
from anima.core.trace import shaped
from anima.transforms.arguments import (
    check_callable,
    check_inputs,
    normalize_argnums,
    public,
    select_args,
)
from anima.transforms.autodiff import check_differentiable, check_output_dtype, jvp, vjp
from anima.transforms.tangents import exact_array
from anima.transforms.vmap import vmap


def _basis(leaves: list[Any]) -> list[Any]:
    """For a list of arrays, the standard basis of their joint space: each with one leading axis of its dimension."""
    avals = [shaped(x) for x in leaves]
    total = sum(a.size for a in avals)
    start, result = 0, []
    for aval in avals:
        block = np.zeros((total, aval.size), aval.dtype)
        np.fill_diagonal(block[start : start + aval.size], 1)
        result.append(exact_array(block.reshape(total, *aval.shape), aval))
        start += aval.size
    return result


def _split_rows(rows: Any, leaves: list[Any]) -> list[Any]:
    """The leading axis of `rows` cut and shaped as the leaves are."""
    parts, start = [], 0
    for leaf in leaves:
        aval = shaped(leaf)
        part = rows[start : start + aval.size]
        parts.append(part.reshape(*aval.shape, *rows.shape[1:]))
        start += aval.size
    return parts


def _to_end(value: Any, count: int) -> Any:
    """`value` with its first `count` axes moved behind the others."""
    ndim = len(value.shape)
    return value.transpose(*range(count, ndim), *range(count))


def jacfwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """The Jacobian of `fun`, column by column in forward mode: best when outputs outnumber inputs.

    Args:
      fun: a function of arrays and pytrees of them.
      argnums: which positional arguments to differentiate with respect to, an integer or a sequence of them.
      has_aux: `fun` returns a pair whose second part is passed through.
      holomorphic: `fun` is holomorphic: inputs and outputs are complex.
    Returns:
      A function with `fun`'s arguments. For output shape `o` and argument shape `i` its result has shape
      `o + i`; pytrees of outputs hold pytrees of arguments. With `has_aux`, a pair with the auxiliary data.
    Raises:
      TypeError: `fun` is no function. The returned function raises it if dtypes do not fit.

    >>> import anima, anima.numpy as np
    >>> print(anima.jacfwd(lambda x: x * x)(np.array([1.0, 2.0])))
    [[2. 0.]
     [0. 4.]]
    """
    check_callable(fun, "jacfwd")
    numbers = normalize_argnums(argnums, "jacfwd: argnums")

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        positions, of_chosen = select_args(fun, args, numbers, "jacfwd")
        chosen = tuple(args[p] for p in positions)
        leaves, tree = tree_flatten(chosen)
        leaves = check_inputs(leaves, fun, "jacfwd", chosen, {})
        check_differentiable(fun, positions, args, "jacfwd", holomorphic, False)
        bound = partial(of_chosen, **kwargs) if kwargs else of_chosen
        aux: Any = None

        def push(*tangents: Any) -> Any:
            nonlocal aux
            _, tangent, *rest = jvp(
                bound, tree_unflatten(tree, leaves), tree_unflatten(tree, tangents), has_aux
            )
            # The auxiliary data depend on no tangent, so they have no mapped axis and need not pass through vmap.
            aux = rest[0] if has_aux else None
            return tangent

        columns, out_tree = tree_flatten(vmap(push)(*_basis(leaves)))
        jac = []
        for column in columns:
            if holomorphic:
                check_output_dtype(column.dtype, fun, "jacfwd", holomorphic)
            parts = _split_rows(column, leaves)
            entry = tree_unflatten(tree, [_to_end(p, shaped(x).ndim) for p, x in zip(parts, leaves)])
            jac.append(entry if isinstance(argnums, (tuple, list)) else entry[0])
        result = tree_unflatten(out_tree, jac)
        return (result, aux) if has_aux else result

    return public(jacobian, fun, "jacfwd")


def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """The Jacobian of `fun`, row by row in reverse mode: best when inputs outnumber outputs.

    Args:
      fun, argnums, has_aux, holomorphic: as for `jacfwd`.
      allow_int: integer arguments are admitted, with `float0` derivatives.
    Returns:
      As `jacfwd`.
    Raises:
      TypeError: `fun` is no function. The returned function raises it if dtypes do not fit.

    >>> import anima, anima.numpy as np
    >>> print(anima.jacrev(lambda x: x * x)(np.array([1.0, 2.0])))
    [[2. 0.]
     [0. 4.]]
    """
    check_callable(fun, "jacrev")
    numbers = normalize_argnums(argnums, "jacrev: argnums")

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        positions, of_chosen = select_args(fun, args, numbers, "jacrev")
        chosen = tuple(args[p] for p in positions)
        check_differentiable(fun, positions, args, "jacrev", holomorphic, allow_int)
        bound = partial(of_chosen, **kwargs) if kwargs else of_chosen
        value, pullback, *aux = vjp(bound, *chosen, has_aux=has_aux)
        outs, out_tree = tree_flatten(value)
        for out in outs:
            check_output_dtype(shaped(out).dtype, fun, "jacrev", holomorphic)
        rows, tree = tree_flatten(vmap(lambda *cts: pullback.gradients(cts))(*_basis(outs)))
        split = [_split_rows(r, outs) for r in rows]  # [argument leaf][output leaf]
        jac = []
        for index in range(len(outs)):
            entry = tree_unflatten(tree, [parts[index] for parts in split])
            jac.append(entry if isinstance(argnums, (tuple, list)) else entry[0])
        result = tree_unflatten(out_tree, jac)
        return (result, aux[0]) if has_aux else result

    return public(jacobian, fun, "jacrev")


jacobian = jacrev


def hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """The Hessian of `fun`: `jacfwd` of `jacrev`.

    Arguments and results are those of `jacfwd`, for a function that returns Jacobians.

    >>> import anima, anima.numpy as np
    >>> print(anima.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0])))
    [[ 6.  0.]
     [ 0. 12.]]
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)

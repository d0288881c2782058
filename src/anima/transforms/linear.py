"""`linear_transpose`: the transpose of a function that is linear, without a point to linearise it at.

Invariant: the function is traced once, when `linear_transpose` is called; each call of the transpose records it on a tape
and runs the backward pass of `vjp`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anima import dtypes
from anima._native import tree_flatten, tree_unflatten
from anima.config import enable_x64
from anima.core.evaluate import eval_jaxpr
from anima.core.trace import shaped
from anima.interpreters.stage import stage
from anima.interpreters.transpose import backward, tape_of
from anima.interpreters.zeros import instantiate
from anima.lax.control.bodies import leaf_path
from anima.lax.control.carries import type_text
from anima.runtime.arrays import as_array
from anima.transforms.arguments import FlatFunction, check_callable, check_inputs, name_of, public
from anima.transforms.shapes import abstract_leaf
from anima.transforms.tangents import in_mode, typed_like
from anima.tree.compare import treedef_differences


def linear_transpose(fun: Callable[..., Any], *primals: Any, reduce_axes: Any = ()) -> Callable[..., Any]:
    """The transpose of a function that is linear in all its arguments together.

    It equals the function that `vjp` returns, but nothing is computed at `primals`.

    Args:
      fun: a linear function of arrays and pytrees of them.
      primals: its arguments, or anything with their shapes and dtypes: only those are looked at.
    Returns:
      A function from a cotangent, built as the result of `fun`, to a tuple of cotangents, one an argument, of the
      arguments' shapes and dtypes.
    Raises:
      TypeError: an argument has no shape and dtype, or `fun` mixes integers and inexact numbers. The returned function
        raises it if the cotangent does not fit, or if `fun` is not linear: it raises `NonlinearError` then, or
        `MissingRuleError`.

    >>> import anima, anima.numpy as np
    >>> scalar = anima.ShapeDtypeStruct((), np.float32)
    >>> transpose = anima.linear_transpose(lambda x, y: 0.5 * x - 3 * y, scalar, scalar)
    >>> print(*transpose(2.0))
    1.0 -6.0
    """
    check_callable(fun, "linear_transpose")
    if reduce_axes:
        raise ValueError(
            f"linear_transpose: reduce_axes={reduce_axes!r} was removed from JAX: apply lax.psum to the results instead"
        )
    leaves, tree = tree_flatten((primals, {}))
    avals = [_aval(fun, leaf, primals) for leaf in leaves]
    flat = FlatFunction(fun, tree)
    jaxpr, consts = stage(flat, avals, name_of(fun))
    out_avals: list[Any] = jaxpr.out_avals
    _check_kinds(fun, avals, out_avals)
    x64 = enable_x64.value

    def transposed_fun(cotangent: Any, /) -> tuple[Any, ...]:
        cts = _cotangents(fun, cotangent, flat.out_tree, out_avals)
        with in_mode(x64):
            tape = tape_of(lambda *xs: eval_jaxpr(jaxpr, consts, *xs), avals)
            results = [_strengthened(instantiate(ct), a) for ct, a in zip(backward(tape, cts), avals)]
        args: tuple[Any, ...] = tree_unflatten(tree, results)[0]
        return args

    return public(transposed_fun, fun, "linear_transpose")


def _aval(fun: Any, leaf: Any, primals: tuple[Any, ...]) -> Any:
    try:
        return abstract_leaf(leaf)
    except TypeError:
        check_inputs([leaf], fun, "linear_transpose", primals, {})
        raise


def _check_kinds(fun: Any, avals: list[Any], out_avals: list[Any]) -> None:
    kinds = [a.dtype for a in (*avals, *out_avals)]
    if not (all(map(dtypes.is_inexact, kinds)) or all(map(dtypes.is_int, kinds))):
        spelled = [", ".join(map(type_text, types)) for types in (avals, out_avals)]
        raise TypeError(
            "linear_transpose takes functions from floating-point or complex numbers to such, or from integers to integers, "
            f"but {name_of(fun)} maps ({spelled[0]}) to ({spelled[1]}); let it capture the arguments of other kinds"
        )


def _strengthened(ct: Any, aval: Any) -> Any:
    """A cotangent that is not weakly typed where the argument is not."""
    return ct if aval.weak_type else typed_like(ct, aval)


def _cotangents(fun: Any, cotangent: Any, out_tree: Any, out_avals: list[Any]) -> list[Any]:
    """The leaves of a user's cotangent, checked."""
    what = f"linear_transpose of {name_of(fun)}"
    leaves, tree = tree_flatten(cotangent)
    if tree != out_tree:
        [difference, *_] = treedef_differences(tree, out_tree)
        place = difference.message("the cotangent", "the output")
        raise TypeError(f"{what}: the cotangent must be built as the output: {place}")
    for index, (leaf, aval) in enumerate(zip(leaves, out_avals)):
        leaves[index] = as_array(leaf)
        got = shaped(leaves[index])
        if got.dtype != aval.dtype or got.shape != aval.shape:
            raise TypeError(
                f"{what}: the cotangent for the output{leaf_path(tree, index)} must be {type_text(aval)}, but got {type_text(got)}"
            )
    return leaves

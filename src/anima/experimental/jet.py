"""Taylor mode: the derivatives of a function along a curve, of all orders up to some one at once.

Invariant: nothing here knows of operations: `interpreters.taylor` finds their derivatives from their `jvp` rules, and
costs are polynomial in the order, where nested `jvp`s double theirs with each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anima import dtypes
from anima._native import tree_flatten, tree_unflatten
from anima.core import hooks
from anima.core.aval import ShapedArray, has_tangent
from anima.core.trace import shaped
from anima.interpreters.taylor import Series, taylor_flat
from anima.interpreters.zeros import instantiate, zero_of
from anima.lax.convert import convert_to
from anima.lax.shape import broadcast_in_dim
from anima.runtime.arrays import as_array
from anima.transforms.arguments import FlatFunction, check_callable, check_inputs, is_float0, name_of
from anima.tree_util import keystr, tree_leaves_with_path


def jet(fun: Callable[..., Any], primals: Any, series: Any, factorial_scaled: bool = True, **_: Any) -> Any:
    """Value of `fun` along a curve, and its derivatives by the curve's parameter, of order 1 to the number of terms given.

    The arguments move along a curve whose derivatives at 0 are the terms of `series`. For `x + t`, a straight line, the
    terms are 1, 0, 0, ..., and the results are the derivatives of `fun` itself.

    Args:
      fun: a function of arrays and pytrees of them.
      primals: a tuple or list of its arguments at 0, of floating-point or complex dtype.
      series: a tuple or list with one entry an argument: a sequence of terms of the argument's shape and dtype, all
        entries of the same length. Scalars stand for arrays filled with them. For a pytree, it is the same tree with
        such a sequence in place of each leaf; for integers, terms are of dtype `float0`.
      factorial_scaled: whether terms are derivatives. If not they are Taylor coefficients, derivatives of order k divided
        by k!, on both sides.
    Returns:
      `(value, series)`: the value has `fun`'s structure, and the series that structure with a list of terms in place of
      each leaf.
    Raises:
      TypeError: arguments or terms are no arrays, or their dtypes do not fit. ValueError: shapes or lengths do not.

    >>> import anima.numpy as np
    >>> from anima.experimental.jet import jet
    >>> y, (dy, ddy, dddy) = jet(np.sin, (0.0,), ((1.0, 0.0, 0.0),))
    >>> print(y, dy, ddy, dddy)
    0.0 1.0 0.0 -1.0
    """
    check_callable(fun, "jet")
    for what, value in (("primals", primals), ("series", series)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(
                f"jet: {what} must be a tuple or list with one entry for each argument of {name_of(fun)}, got "
                f"{type(value).__name__}"
            )
    if len(primals) != len(series):
        raise ValueError(f"jet: {len(primals)} primals, but {len(series)} series; there must be one for each")
    leaves, tree = tree_flatten((tuple(primals), {}))
    leaves = check_inputs(leaves, fun, "jet", tuple(primals), {})
    given = _terms_of_leaves(primals, series)
    order = _common_length(given)
    factors = [1 if factorial_scaled else math.factorial(k) for k in range(1, order + 1)]
    terms = [_terms_in(leaf, where, own, factors) for leaf, (where, own) in zip(leaves, given)]
    flat = FlatFunction(fun, tree)
    outs, found = taylor_flat(flat, leaves, terms, order)
    results = [_terms_out(out, own, factors) for out, own in zip(outs, found)]
    return tree_unflatten(flat.out_tree, outs), tree_unflatten(flat.out_tree, results)


def _terms_of_leaves(primals: Any, series: Any) -> list[tuple[str, list[Any]]]:
    """For each leaf of the arguments its terms, and what messages call it."""
    found: list[tuple[str, list[Any]]] = []
    for index, (primal, entry) in enumerate(zip(primals, series)):
        tree = tree_flatten(primal)[1]
        paths = [keystr(path) for path, _ in tree_leaves_with_path(primal)]
        try:
            sequences = tree.flatten_up_to(entry)
        except (TypeError, ValueError) as error:
            raise ValueError(f"jet: series[{index}] is not built as primals[{index}] is: {error}") from None
        for path, terms in zip(paths, sequences):
            where = f"series[{index}]{path}"
            try:
                found.append((where, list(terms)))
            except TypeError:
                raise TypeError(
                    f"jet: {where} must be a sequence of terms, one for each order, got {terms!r:.60}"
                ) from None
    return found


def _common_length(given: list[tuple[str, list[Any]]]) -> int:
    lengths = {where: len(terms) for where, terms in given}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{where} has {count}" for where, count in lengths.items())
        raise ValueError(
            f"jet: every series must have the same number of terms: {listed or 'there is no argument'}"
        )
    return next(iter(lengths.values()))


def _terms_in(primal: Any, where: str, terms: list[Any], factors: list[int]) -> Series:
    """The terms as derivatives, of the shape and dtype of the primal's tangents."""
    aval = shaped(primal)
    if has_tangent(aval):
        checked = [_checked(term, aval, f"{where}[{i}]") for i, term in enumerate(terms)]
        return [term if f == 1 else hooks.scale(term, f) for term, f in zip(checked, factors)]
    if not all(is_float0(term) for term in terms):
        raise TypeError(
            f"jet: the argument of {where} has dtype {dtypes.dtype_name(aval.dtype)}, which has no derivatives: give "
            "terms of dtype float0, or convert the argument to floating point"
        )
    return None


def _checked(term: Any, aval: ShapedArray, where: str) -> Any:
    try:
        value = as_array(term)
    except TypeError:
        raise TypeError(f"jet: {where} must be an array or a number, got {term!r:.60}") from None
    got = shaped(value)
    if got.dtype != aval.dtype or got.weak_type > aval.weak_type:
        if not got.weak_type or dtypes.is_complex(got.dtype) > dtypes.is_complex(aval.dtype):
            raise TypeError(
                f"jet: {where} has dtype {dtypes.dtype_name(got.dtype)}, but must have that of the primal, "
                f"{dtypes.dtype_name(aval.dtype)}; convert it with astype"
            )
        value = convert_to(value, aval.dtype, aval.weak_type)
    if got.shape and got.shape != aval.shape:
        raise ValueError(
            f"jet: {where} has shape {got.shape}, but must have that of the primal, {aval.shape}"
        )
    return value if got.shape == aval.shape else broadcast_in_dim(value, aval.shape, ())


def _terms_out(out: Any, series: Series, factors: list[int]) -> list[Any]:
    """The derivatives as terms, with arrays of zeros for those of a value that does not change."""
    terms = [instantiate(t) for t in ([zero_of(out)] * len(factors) if series is None else series)]
    return [t if f == 1 or is_float0(t) else hooks.scale(t, 1 / f) for t, f in zip(terms, factors)]

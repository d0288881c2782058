"""Loops: `while_loop` and `fori_loop`.

Invariant: functions are traced once for each type of carry. A `fori_loop` whose bounds are known while tracing is a `scan`,
which differentiates in reverse; called eagerly, where nothing differentiates, it is a `while` that serves all bounds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.config import disable_jit
from anima.core import variance
from anima.core.aval import ShapedArray
from anima.core.jaxpr import ClosedJaxpr
from anima.core.trace import aval_of, get_trace
from anima.interpreters.jvp import concrete_of, stage_closed
from anima.lax.arithmetic import add
from anima.lax.compare import lt
from anima.lax.control.bodies import Body, check_function, flat_call, operand_leaves, traced_body
from anima.lax.control.bounded_while import bounded_while_p
from anima.lax.control.carries import check_carry, promoted, scalar_aval, type_text
from anima.lax.control.forwarding import looped, scanned
from anima.lax.control.programs import all_varying, avals_of, inputs_varying
from anima.lax.control.references import Threaded, test_of
from anima.lax.control.while_primitive import while_p
from anima.lax.convert import convert_element_type
from anima.lax.operands import constant


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    max_steps: int | None = None,
) -> Any:
    """`val = body_fun(val)` for as long as `cond_fun(val)`, starting from `init_val`.

    Args:
      cond_fun: from the carried value to a boolean scalar.
      body_fun: from the carried value to the next one, of the same structure, shapes and dtypes.
      init_val: an array or a pytree of arrays. Weakly typed numbers take the dtype that `body_fun` gives them.
      max_steps: how many iterations reverse-mode derivatives must be ready for. The loop itself never stops there.
    Returns:
      The carried value when `cond_fun` is false.

    Forward-mode derivatives (`jvp`, `jacfwd`) work. Reverse mode (`grad`, `vjp`) works with `max_steps`. It keeps the carry of
    some iterations, about 4 for each doubling of `max_steps` (no more than 76 for a million), and computes the others again.
    That is no second computation for the first 16 iterations, and on average less than one for up to 256, two for up to
    4096, and so on. Where the loop runs for longer than `max_steps`, its derivative raises `MaxStepsError` (on a GPU it is
    NaN).

    Without `max_steps`, reverse mode works where the values that `cond_fun` depends on are known while differentiating,
    so without `jit` around `grad`, or with a counter that starts from a number. It then keeps all iterations, as `scan` does.

    Raises:
      TypeError: `cond_fun` returns something else, or `body_fun` another type than it takes; the message names the leaf.
      ValueError: `max_steps` is not positive.

    >>> import anima
    >>> from anima import lax
    >>> print(lax.while_loop(lambda x: x < 10, lambda x: x + 3, 0))
    12
    >>> first_power = lambda x: lax.while_loop(lambda y: y < 100, lambda y: y * x, x, max_steps=50)
    >>> print(*anima.jit(anima.value_and_grad(first_power))(3.0))
    243.0 405.0
    """
    check_function("while_loop", "cond_fun", cond_fun)
    check_function("while_loop", "body_fun", body_fun)
    bound = _bound("while_loop", max_steps)
    if disable_jit.value and _all_known(init_val):
        val = init_val
        while cond_fun(val):
            val = body_fun(val)
        return val
    leaves, tree = operand_leaves("while_loop", "init_val", init_val)
    while True:
        body, leaves = _carried("while_loop", body_fun, tree, leaves, (), lambda: flat_call(body_fun, tree))
        test = traced_body(
            "while_loop", cond_fun, tree, avals_of(leaves), lambda: flat_call(cond_fun, tree), refs=True
        )
        _check_test(test)
        # Where the devices leave a loop at different times, all of its carry varies.
        axes = test.out_avals[0].varying
        if all([aval.varying >= axes for aval in avals_of(leaves)]):
            break
        leaves = all_varying(leaves, axes)
    step = Threaded(body, len(leaves))
    closed, consts = test_of(test, step)
    outs = _bind_loop(bound, closed, consts, step, [*leaves, *step.values()])
    return tree_unflatten(body.out_tree, step.without_refs(outs, len(leaves)))


def _bind_loop(
    bound: int | None, test: ClosedJaxpr, test_consts: Sequence[Any], body: Threaded, carry: Sequence[Any]
) -> list[Any]:
    """The results of a loop, with the bound on its iterations if there is one."""
    primitive, extra = (while_p, {}) if bound is None else (bounded_while_p, {"max_steps": bound})
    step, consts = body.closed, body.consts
    if axes := test.out_avals[
        0
    ].varying:  # the devices leave the loop at different times: nothing inside is for all
        test, step = inputs_varying(test, axes), inputs_varying(step, axes)
        test_consts, consts = all_varying(test_consts, axes), all_varying(consts, axes)
    return looped(primitive, test, test_consts, step, consts, carry, **extra)


def _bound(what: str, max_steps: Any) -> int | None:
    """`max_steps` as a Python integer, or None.

    Raises:
      TypeError: it is no integer that is known while tracing. ValueError: it is not positive, or too large to count to.
    """
    if max_steps is None:
        return None
    known: Any = concrete_of(max_steps)
    if isinstance(known, (bool, float)) or not hasattr(known, "__index__"):
        raise TypeError(
            f"{what}: max_steps must be an integer that is known while tracing, got {max_steps!r}"
        )
    bound = int(known.__index__())
    if not 0 < bound < 2**31 - 1:
        raise ValueError(f"{what}: max_steps must be from 1 to 2**31 - 2, got {bound}")
    return bound


def _all_known(value: Any) -> bool:
    return all(concrete_of(leaf) is not None for leaf in tree_flatten(value)[0])


def _check_test(test: Body) -> None:
    outs = test.out_avals
    if not test.out_tree.is_leaf or outs[0].shape or not dtypes.is_bool(outs[0].dtype):
        types = ", ".join(map(type_text, outs))
        given = (
            types if test.out_tree.is_leaf else f"{test.out_tree} of {types}" if outs else str(test.out_tree)
        )
        raise TypeError(f"while_loop: cond_fun must return a boolean scalar, but {test.name} returns {given}")


def _carried(
    what: str,
    fun: Callable[..., Any],
    tree: PyTreeDef,
    leaves: list[Any],
    before: Sequence[ShapedArray],
    flatten: Callable[[], Callable[..., Sequence[Any]]],
) -> tuple[Body, list[Any]]:
    """The program of a loop's body and the carry to start from.

    `before`: avals that precede the carry's in the arguments and, unless there are none, in the results of what
    `flatten` makes.
    """
    skipped = len(before)
    while True:
        avals = avals_of(leaves)
        body = traced_body(what, fun, (tree, tuple(before)), [*before, *avals], flatten, refs=True)
        if body.checked:
            return body, leaves
        outs = body.out_avals[skipped:]
        changed = promoted(leaves, avals, outs) if body.out_tree == tree else None
        if changed is None:
            check_carry(what, f"body_fun ({body.name})", "init_val", tree, avals, body.out_tree, outs)
            body.keep_varying([*before, *avals] if before else avals)
            body.checked = True
            return body, leaves
        leaves = changed


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
    max_steps: int | None = None,
) -> Any:
    """`val = body_fun(i, val)` for `i` from `lower` to `upper - 1`, starting from `init_val`.

    Args:
      lower, upper: integer scalars. Where they are Python integers or otherwise known while tracing, the loop can be
        differentiated in reverse too.
      body_fun: from an index and the carried value to the next one, of the same structure, shapes and dtypes.
      init_val: an array or a pytree of arrays. Weakly typed numbers take the dtype that `body_fun` gives them.
      unroll: how many iterations to put into one of the compiled loop, or True for all; needs known bounds.
      max_steps: how many iterations reverse-mode derivatives must be ready for where the bounds are not known. They keep
        the carry of some iterations only, as `while_loop` says; where the bounds are known, it makes them do the same.
    Returns:
      The carried value at the end.
    Raises:
      TypeError: a bound is no integer scalar, or `body_fun` returns another type than it takes.
      ValueError: `unroll` is given for bounds that are not known or together with `max_steps`, or `max_steps` is not positive.

    >>> from anima import lax
    >>> print(lax.fori_loop(0, 10, lambda i, total: total + i, 0))
    45
    """
    check_function("fori_loop", "body_fun", body_fun)
    bound = _bound("fori_loop", max_steps)
    known = concrete_of(lower) is not None and concrete_of(upper) is not None
    index = _index_aval(lower, upper, known)
    if unroll is not None and not known:
        raise ValueError(
            "fori_loop: unroll needs bounds that are known while tracing, but lower or upper is traced; pass Python "
            "integers, or leave unroll out"
        )
    if unroll is not None and bound is not None:
        raise ValueError(
            "fori_loop: unroll and max_steps exclude each other: a loop with max_steps does not become a scan"
        )
    if disable_jit.value and known:
        return _python_loop(_integer(lower), _integer(upper), body_fun, init_val)
    leaves, tree = operand_leaves("fori_loop", "init_val", init_val)
    dtype = index.dtype
    if axes := variance.joined([aval_of(lower), aval_of(upper)]):
        index = index.update(varying=axes)
        leaves = all_varying(leaves, axes)
    body, leaves = _carried("fori_loop", body_fun, tree, leaves, (index,), lambda: _Counting(body_fun, tree))
    step = Threaded(body, 1 + len(leaves))
    values = step.values()
    if known and bound is None and (unroll is not None or get_trace() is not None):
        first = _integer(lower)
        length = max(_integer(upper) - first, 0)
        outs = scanned(
            step.closed,
            step.consts,
            [dtype.type(first), *leaves, *values],
            [],
            length=length,
            reverse=False,
            unroll=unroll_factor("fori_loop", unroll, length),
        )
    else:
        start, limit = (_as_index(v, dtype) for v in (lower, upper))
        test = _below_limit(step.closed, len(step.consts))
        outs = _bind_loop(bound, test, [limit], step, [start, *leaves, *values])
    return tree_unflatten(tree, step.without_refs(outs, 1 + len(leaves))[1:])


def _python_loop(lower: int, upper: int, body_fun: Any, val: Any) -> Any:
    for i in range(lower, upper):
        val = body_fun(i, val)
    return val


class _Counting:
    """A `fori_loop`'s body on flat leaves: from an index and the carry to the next index and carry."""

    __slots__ = ("_flat",)

    def __init__(self, fun: Callable[..., Any], tree: PyTreeDef) -> None:
        self._flat = flat_call(fun, tree_flatten(0)[1], tree)

    def __call__(self, index: Any, *leaves: Any) -> list[Any]:
        return [add(index, constant(1, index)), *self._flat(index, *leaves)]

    @property
    def out_tree(self) -> PyTreeDef:
        return self._flat.out_tree


def _integer(bound: Any) -> int:
    value: Any = concrete_of(bound)
    return int(value)


def _index_aval(lower: Any, upper: Any, known: bool) -> ShapedArray:
    """The type of a loop's index.

    Bounds that are known might as well be plain numbers, so the index is one too: weakly typed, of the default dtype for
    integers. Otherwise its dtype is that of a bound which is not a plain number, and it is weakly typed if `lower` is.
    """
    avals = [scalar_aval("fori_loop", name, v) for name, v in (("lower", lower), ("upper", upper))]
    for name, aval in zip(("lower", "upper"), avals):
        if not dtypes.is_int(aval.dtype):
            raise TypeError(
                f"fori_loop: {name} must be an integer, got dtype {dtypes.dtype_name(aval.dtype)}"
            )
    strong = [a.dtype for a in avals if not a.weak_type]
    if len(set(strong)) > 1:
        first, second = map(dtypes.dtype_name, strong)
        raise TypeError(
            f"fori_loop: lower and upper must have equal dtypes, got {first} and {second}; convert one"
        )
    dtype = strong[0] if strong else dtypes.default_int_dtype()
    for name, value in (("lower", lower), ("upper", upper)):
        if isinstance(value, int) and not 0 <= value < 2**7 and not _fits(value, dtype):
            raise OverflowError(
                f"fori_loop: {name} is {value}, which does not fit into {dtypes.dtype_name(dtype)}"
            )
    return _index_types(dtypes.default_int_dtype() if known else dtype, known or avals[0].weak_type)


@functools.lru_cache(maxsize=64)
def _index_types(dtype: Any, weak: bool) -> ShapedArray:
    return ShapedArray((), dtype, weak)


def _fits(value: int, dtype: Any) -> bool:
    info = dtypes.iinfo(dtype)
    return int(info.min) <= value <= int(info.max)


def _as_index(value: Any, dtype: Any) -> Any:
    return dtype.type(value) if isinstance(value, (int, np.integer)) else convert_element_type(value, dtype)


def _below_limit(body: ClosedJaxpr, num_consts: int) -> ClosedJaxpr:
    """The condition of a counting loop: of the limit, the index and the rest of the carry."""
    carry = body.in_avals[num_consts:]
    return body.jaxpr.memoized(
        "below limit",
        lambda: stage_closed(
            lambda limit, index, *rest: [lt(index, limit)], [carry[0], *carry], "below_limit"
        ),
    )


def unroll_factor(what: str, unroll: Any, length: int) -> int:
    """`unroll` as a number of iterations.

    Raises:
      TypeError: it is no integer or boolean. ValueError: it is negative.
    """
    if unroll is None or isinstance(unroll, bool):
        return max(length, 1) if unroll else 1
    if not hasattr(unroll, "__index__"):
        raise TypeError(f"{what}: unroll must be a boolean or an integer, got {unroll!r}")
    factor = int(unroll.__index__())
    if factor < 0:
        raise ValueError(f"{what}: unroll must not be negative, got {factor}")
    return min(max(factor, 1), max(length, 1))


__all__ = ["fori_loop", "unroll_factor", "while_loop"]

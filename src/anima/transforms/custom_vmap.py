"""`custom_vmap`: functions whose batched form the user gives.

Invariant: a call is one operation, `custom_vmap_call`, of the function's program and its rule. Only batching asks the rule;
all else performs the program. A forward derivative is such a call again, of the program that carries derivatives and the
rule that carries them too. A reverse derivative is that of the program: what `vmap` does with it, it does operation by
operation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from anima._native import PyTreeDef, get_trace, tree_flatten, tree_unflatten
from anima.core import variance
from anima.core.aval import has_tangent
from anima.core.effects import Effects, no_effects
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Primitive, Zero
from anima.core.trace import ambient, aval_of
from anima.core.validate import same_type
from anima.interpreters.batch import Axis, BatchTrace, batch_flat, batch_jaxpr, to_axis, without_axis
from anima.interpreters.linearize import TapeTrace, linearize_onto
from anima.interpreters.partial import Division, divided_call, unknown_outputs
from anima.interpreters.taylor import Series, changing, flat_terms, grouped, taylor_flat, taylor_jaxpr
from anima.interpreters.zeros import zero_of
from anima.lax.control.bodies import leaf_path
from anima.lax.control.carries import type_text
from anima.lax.control.scanning import scan
from anima.lowering.module import Context, Value
from anima.transforms.arguments import check_callable, check_outputs, flatten_for_program, name_of
from anima.transforms.custom_rules import (
    Arguments,
    Captured,
    Function,
    Outcome,
    Signature,
    UserFunction,
    called,
    capture_traced,
    forwarded,
    perform,
    staged,
    taken_apart,
    uses_axis,
)
from anima.transforms.jit_primitive import jit_p
from anima.tree.compare import treedef_differences

Flags = tuple[bool, ...]


# ---------------------------------------------------------------------------------------------
# Rules: callables of (axis size, which values are mapped, values with the axis first) that return outputs and flags.


class _Rule:
    """A user's rule on the leaves of a call."""

    __slots__ = ("arguments", "fun", "outcome", "rule")

    def __init__(self, rule: Callable[..., Any], fun: Any, arguments: Arguments, outcome: Outcome) -> None:
        self.rule = rule
        self.fun = fun
        self.arguments = arguments
        self.outcome = outcome

    def __call__(self, size: int, mapped: Flags, values: Sequence[Any]) -> tuple[list[Any], list[bool]]:
        what = f"the custom_vmap rule {name_of(self.rule)} of {name_of(self.fun)}"
        result = called(
            what, self.rule, size, self.arguments.rebuilt(mapped), *self.arguments.rebuilt(values)
        )
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ValueError(
                f"{what} must return a pair of the batched output and a tree of booleans that says which parts of it are batched, "
                f"got {result!r:.80}"
            )
        _, outs, tree = flatten_for_program(result[0])
        self._check_structure(what, "its output", tree)
        flags, flag_tree = tree_flatten(result[1])
        self._check_structure(what, "the second part of its result, which says what is batched,", flag_tree)
        outs = check_outputs(outs, self.rule)
        for index, (out, flag) in enumerate(zip(outs, flags)):
            self._check_type(what, index, aval_of(out), size if flag else None)
        return outs, [bool(flag) for flag in flags]

    def _check_structure(self, what: str, part: str, tree: PyTreeDef) -> None:
        if tree != self.outcome.tree:
            [difference, *_] = treedef_differences(tree, self.outcome.tree)
            raise ValueError(
                f"{what}: {part} must be built as the result of {name_of(self.fun)}: "
                f"{difference.message('it', 'that')}"
            )

    def _check_type(self, what: str, index: int, got: Any, size: int | None) -> None:
        assert self.outcome.avals is not None
        expected: Any = self.outcome.avals[index]
        if size is not None:
            expected = expected.update(shape=(size, *expected.shape))
        if not same_type(got, expected):
            raise ValueError(
                f"{what}: output{leaf_path(self.outcome.tree, index)} must be {type_text(expected)}, "
                f"{'not batched' if size is None else 'with the mapped axis first'}, but it is {type_text(got)}"
            )


class _SeriesRule:
    """A rule that carries derivatives along: a value and its derivatives are mapped together."""

    __slots__ = ("flags", "order", "out_flags", "rule")

    def __init__(self, rule: Any, flags: Flags, order: int, out_flags: Flags | None) -> None:
        self.rule = rule
        self.flags = flags  # which arguments have derivatives
        self.order = order
        self.out_flags = out_flags  # which outputs have (None: all that can)

    def __call__(self, size: int, mapped: Flags, values: Sequence[Any]) -> tuple[list[Any], list[bool]]:
        count = len(self.flags)
        of_terms = grouped(mapped[count:], self.flags, self.order)
        together = tuple([m or any(t or ()) for m, t in zip(mapped, of_terms)])
        primals = [
            to_axis(v, 0 if m else None, 0, size) if w else v for v, m, w in zip(values, mapped, together)
        ]
        dims = [d for w, t in zip(together, of_terms) for d in [w] * len(t or ())]
        terms = [
            to_axis(t, 0 if m else None, 0, size) if w else t
            for t, m, w in zip(values[count:], mapped[count:], dims)
        ]
        found: list[bool] = []

        def run(*xs: Any) -> list[Any]:
            outs: list[Any]
            outs, found[:] = self.rule(size, together, xs)
            return outs

        outs, series = taylor_flat(run, primals, grouped(terms, self.flags, self.order), self.order)
        out_flags = self.out_flags or tuple([has_tangent(aval_of(o)) for o in outs])
        of_outs = [m for m, f in zip(found, out_flags) if f for _ in range(self.order)]
        return [*outs, *flat_terms(outs, series, out_flags, self.order)], [*found, *of_outs]


class _SeriesCall:
    """A function that carries derivatives along: its outputs, then the derivatives of all that have any.

    Attributes:
      out_flags: which outputs have derivatives, once it has run.
    """

    __slots__ = ("flags", "fun", "order", "out_flags")

    def __init__(self, fun: Any, flags: Flags, order: int) -> None:
        self.fun = fun
        self.flags = flags
        self.order = order
        self.out_flags: Flags = ()

    def __call__(self, *values: Any) -> list[Any]:
        count = len(self.flags)
        outs, series = taylor_flat(
            self.fun, values[:count], grouped(values[count:], self.flags, self.order), self.order
        )
        self.out_flags = tuple([has_tangent(aval_of(o)) for o in outs])
        return [*outs, *flat_terms(outs, series, self.out_flags, self.order)]


def _user_function(call: Any) -> Any:
    """What the user gave as the function of a call."""
    while isinstance(call, (UserFunction, _SeriesCall)):
        call = call.fun
    return call


# ---------------------------------------------------------------------------------------------
# The primitive. Its operands are `num_consts` values that the function captured, then its arguments.


def _shape(*avals: Any, call: ClosedJaxpr, **params: Any) -> list[Any]:
    return call.out_avals


def _effects(*avals: Any, call: Function, **params: Any) -> Effects:
    return call.effects if isinstance(call, ClosedJaxpr) else no_effects


def _lower(ctx: Context, *operands: Value, call: ClosedJaxpr, **params: Any) -> list[Value]:
    return ctx.jaxpr(call.jaxpr, call.consts, operands)


def _eager(*args: Any, call: Function, **params: Any) -> list[Any]:
    return perform(call, args)


def _stage(args: tuple[Any, ...], **params: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(params["call"], ClosedJaxpr):
        return args, params
    captured = Captured()
    jaxpr, consts = staged(params["call"], [aval_of(a) for a in args], params["name"])
    places = captured.add(consts)
    changed = {"call": captured.closed(jaxpr, places), "num_consts": len(captured.values)}
    return (*captured.values, *args), params | changed


def _taylor(
    primals: Sequence[Any], series: Sequence[Series], order: int, **params: Any
) -> tuple[list[Any], list[Series]]:
    call, num_consts = params["call"], params["num_consts"]
    flags = changing(series)
    if not any(flags):
        outs = custom_vmap_call_p.bind(*primals, **params)
        return outs, [None] * len(outs)
    if any(flags[:num_consts]):
        # The rule does not take captured values, so there is none for the derivative by them.
        return taylor_flat(lambda *xs: perform(call, xs), primals, series, order)
    derived: Function
    wanted: Flags | None = None
    if isinstance(call, ClosedJaxpr):
        # By the program an output may depend on nothing that changes; the rule does not say so.
        dependent = zip(unknown_outputs(call, flags), call.out_avals)
        derived, wanted = taylor_jaxpr(
            call, flags, order, tuple([d and has_tangent(a) for d, a in dependent])
        )
    else:
        derived = _SeriesCall(call, flags, order)
    rule = params["rule"] and _SeriesRule(params["rule"], flags[num_consts:], order, wanted)
    operands = [*primals, *flat_terms(primals, series, flags, order)]
    outs = custom_vmap_call_p.bind(*operands, **params | {"call": derived, "rule": rule})
    out_flags = derived.out_flags if isinstance(derived, _SeriesCall) else wanted
    assert out_flags is not None
    count = len(out_flags)
    return outs[:count], grouped(outs[count:], out_flags, order)


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    series = [None if type(t) is Zero else [t] for t in tangents]
    outs, found = _taylor(primals, series, 1, **params)
    return outs, [zero_of(o) if s is None else s[0] for o, s in zip(outs, found)]


def _linearize(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    tape = get_trace()
    assert type(tape) is TapeTrace
    outs, found = linearize_onto(tape, lambda *xs: perform(params["call"], xs), primals, tangents)
    if tape.parent is not None:  # which may map the call
        outs = custom_vmap_call_p.bind(*primals, **params)
    return outs, found


def _transpose(cts: Any, *args: Any, name: str, call: ClosedJaxpr, **params: Any) -> list[Any]:
    """Of a call that is linear in some operands, where no derivative is asked for: that of its program."""
    found: list[Any] = jit_p.transpose(cts, *args, jaxpr=call, name=name)
    return found


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    call, num_consts = params["call"], params["num_consts"]
    if params["rule"] is None:
        program, places = batch_jaxpr(call, axis, tuple(dims))
        return custom_vmap_call_p.bind(*args, **params | {"call": program}), list(places)
    if all([d is None for d in dims[num_consts:]]):
        return _unmapped(axis, args, dims, params)
    if any([d is not None for d in dims[:num_consts]]):
        raise ValueError(
            f"custom_vmap function {params['name']} captured a value that is mapped by vmap. Its rule says what to do with "
            "arguments only: pass the value as an argument"
        )
    if not isinstance(call, ClosedJaxpr):
        # What the function returns is needed to check what its rule does.
        avals = [aval_of(a) if d is None else without_axis(aval_of(a), d) for a, d in zip(args, dims)]
        with ambient(BatchTrace(get_trace(), axis)):
            staged(call, avals, params["name"])
    given = dims[num_consts:]
    values = [a if d is None else to_axis(a, d, 0, axis.size) for a, d in zip(args[num_consts:], given)]
    outs, mapped = params["rule"](axis.size, tuple([d is not None for d in given]), values)
    return outs, [0 if flag else None for flag in mapped]


def _unmapped(axis: Axis, args: Any, dims: Any, params: dict[str, Any]) -> tuple[list[Any], list[int | None]]:
    """Of a call whose arguments are not mapped: captured values may be, and named axes may be used."""
    call = params["call"]
    captured = any([d is not None for d in dims])
    if captured or uses_axis(axis, call, iter([_user_function(call)])):
        return batch_flat(lambda *xs: perform(call, xs), axis, args, dims)
    outs = custom_vmap_call_p.bind(*args, **params)
    return outs, [None] * len(outs)


def _partial(unknown: Flags, *, call: Function, **params: Any) -> Division | None:
    """The rule is for the whole: each half is batched operation by operation, as reverse derivatives are."""
    if not isinstance(call, ClosedJaxpr):
        return None
    return divided_call(call, unknown, params | {"call": call, "rule": None, "num_consts": 0}, "call")


custom_vmap_call_p = Primitive(
    "custom_vmap_call",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    taylor=_taylor,
    stage=_stage,
    partial=_partial,
    multiple_results=True,
    varying=variance.as_given,
)
custom_vmap_call_p.eager = _eager


# ---------------------------------------------------------------------------------------------
# The public faces.


class custom_vmap:
    """`fun` with a batched form of your own, which `vmap` uses.

    Forward derivatives of the batched function are those of its rule. For reverse derivatives of your own put `custom_vjp`
    around it.

    Args:
      fun: a function of arrays and pytrees of them.
    Returns:
      A function with `fun`'s arguments. Give it its rule with `def_vmap` before the first call.
    Raises:
      TypeError: `fun` is no function. Calls raise AttributeError if there is no rule.

    >>> import anima, anima.numpy as np
    >>> @anima.custom_batching.custom_vmap
    ... def dot(x, y):
    ...     return (x * y).sum()
    >>> @dot.def_vmap
    ... def dot_vmap(axis_size, in_batched, x, y):
    ...     return np.einsum("ij,ij->i" if all(in_batched) else "...j,...j->...", x, y), True
    >>> print(anima.vmap(dot)(np.ones((2, 3)), np.ones((2, 3))))
    [3. 3.]
    """

    def __init__(self, fun: Callable[..., Any]) -> None:
        check_callable(fun, "custom_vmap")
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.vmap_rule: Callable[..., Any] | None = None
        self._signature = Signature("custom_vmap", fun, (), ())

    __getattr__ = forwarded

    def def_vmap(self, vmap_rule: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
        """Set the batched form.

        Args:
          vmap_rule: called as `vmap_rule(axis_size, in_batched, *args)`: `in_batched` is a list with a tree of booleans for
            each argument, built as the argument is, that says which parts have the mapped axis, as their first one. It
            returns a pair of the batched output and a tree of booleans, built as the output is.
        Returns:
          `vmap_rule`, so that this is a decorator.
        """
        check_callable(vmap_rule, "custom_vmap.def_vmap")
        self.vmap_rule = vmap_rule
        return vmap_rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.vmap_rule is None:
            raise AttributeError(
                f"No batching rule defined for custom_vmap function {name_of(self.fun)} using def_vmap. Define it before "
                "calling the function."
            )
        args = self._signature.positional(args, kwargs)
        given, leaves = taken_apart("custom_vmap", self.fun, args, ())
        outcome = Outcome()
        operands: tuple[Any, ...] = tuple(leaves)
        params = {
            "name": name_of(self.fun),
            "call": UserFunction(self.fun, given, outcome),
            "rule": _Rule(self.vmap_rule, self.fun, given, outcome),
            "num_consts": 0,
        }
        if get_trace() is not None and capture_traced(iter([self.fun])):
            operands, params = _stage(operands, **params)  # what it captured becomes operands
        outs = custom_vmap_call_p.bind(*operands, **params)
        return tree_unflatten(outcome.tree, outs)


def sequential_vmap(f: Callable[..., Any]) -> custom_vmap:
    """`f` with a batched form that calls it on one example after the other, in a loop.

    It is for functions whose operations cannot be batched, or should not be for their need of memory.

    Args:
      f: a function of arrays and pytrees of them.
    Returns:
      A function with `f`'s arguments.
    Raises:
      TypeError: `f` is no function.

    >>> import anima, anima.numpy as np
    >>> total = anima.custom_batching.sequential_vmap(lambda x, y: x + y)
    >>> print(anima.vmap(total, (0, None))(np.arange(3), 10))
    [10 11 12]
    """
    check_callable(f, "sequential_vmap")
    function = custom_vmap(f)

    def rule(axis_size: int, in_batched: Any, *args: Any) -> tuple[Any, Any]:
        leaves, tree = tree_flatten(args)
        mapped = tree_flatten(in_batched)[0]

        def step(carry: Any, rows: Any) -> tuple[Any, Any]:
            given = iter(rows)
            values = [next(given) if flag else leaf for leaf, flag in zip(leaves, mapped)]
            return carry, function(*tree_unflatten(tree, values))

        rows = tuple([leaf for leaf, flag in zip(leaves, mapped) if flag])
        _, outs = scan(step, (), rows, length=axis_size)
        out_leaves, out_tree = tree_flatten(outs)
        return outs, tree_unflatten(out_tree, [True] * len(out_leaves))

    function.def_vmap(rule)
    return function

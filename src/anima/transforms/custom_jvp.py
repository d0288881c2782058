"""`custom_jvp`: functions whose forward derivative the user gives.

Invariant: a call is one operation, `custom_jvp_call`, of the function's program and its rule. Outside of traces that record,
the program is the user's function itself, so its values are concrete where its caller's are. Differentiation asks the
rule and never looks into the program; all else performs the program. Reverse differentiation needs nothing more, for a rule is linear
in its tangents.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from anima._native import get_trace, tree_flatten, tree_unflatten
from anima.core import variance
from anima.core.aval import AbstractValue, array_aval, has_tangent
from anima.core.effects import Effects, no_effects
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Primitive, Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, batch_flat, batch_jaxpr, without_axis
from anima.interpreters.linearize import TapeTrace
from anima.interpreters.user_rules import only_linear, sorted_on_tape, under_tape
from anima.interpreters.zeros import instantiate, zero_of
from anima.lax.control.bodies import leaf_path
from anima.lax.control.carries import type_text
from anima.lowering.module import Context, Value
from anima.transforms.arguments import check_callable, flatten_for_program, is_float0, name_of
from anima.transforms.custom_rules import (
    BatchedFunction,
    Captured,
    Dims,
    Function,
    Outcome,
    OutDims,
    Signature,
    UserFunction,
    UserRule,
    WithoutCaptured,
    called,
    capture_traced,
    check_captured,
    checked_tangent,
    cut_off,
    forwarded,
    has_tracers,
    pair_of,
    perform,
    shown,
    staged,
    taken_apart,
    type_of_value,
    with_outputs,
    zero_from_primal,
)
from anima.transforms.jit_primitive import jit_p
from anima.tree.compare import treedef_differences

Flags = tuple[bool, ...]
Pair = tuple[list[Any], list[Any]]


# ---------------------------------------------------------------------------------------------
# Rules: callables of (captured values, primals, tangents) that return outputs and their tangents.


class JvpRule(UserRule):
    """A user's rule on the differentiated leaves of a call."""

    __slots__ = ()

    def __call__(self, consts: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Pair:
        tree = self.arguments.in_tree
        result = called(
            self.function,
            self.rule,
            *self.arguments.nondiff.values(),
            tree_unflatten(tree, primals),
            tree_unflatten(tree, [shown(t, self.symbolic_zeros) for t in tangents]),
        )
        rule = f"the custom_jvp rule {self.__name__}"
        outs, out_tangents = pair_of(rule, self.function, result, "their tangents")
        leaves, tree = tree_flatten(outs)
        tangent_leaves, tangent_tree = tree_flatten(out_tangents)
        if tree != tangent_tree:
            [difference, *_] = treedef_differences(tangent_tree, tree)
            raise TypeError(
                f"{rule} of {self.function} must return outputs and tangents that are built in the same way: "
                f"{difference.message('the tangents', 'the outputs')}"
            )
        found = self._tangents(rule, leaves, tangent_leaves, tree)
        found = [t for t, x in zip(found, leaves) if not is_float0(x)]
        _, leaves, program_tree = flatten_for_program(outs)
        self.outcome.meet(rule, self.function, program_tree, [aval_of(x) for x in leaves])
        return leaves, found

    def _tangents(self, rule: str, leaves: list[Any], tangents: list[Any], tree: Any) -> list[Any]:
        found = []
        for index, (leaf, tangent) in enumerate(zip(leaves, tangents)):
            try:
                aval = array_aval(aval_of(leaf))
            except TypeError:
                raise TypeError(
                    f"{rule} of {self.function} must return arrays and numbers, but output{leaf_path(tree, index)} is "
                    f"{leaf!r:.80} of type {type(leaf).__name__}"
                ) from None
            expected = aval.tangent_aval()
            checked = checked_tangent(tangent, expected)
            if checked is None:
                raise TypeError(
                    f"{rule} of {self.function} must return tangents of the shapes and dtypes that its outputs have: the "
                    f"tangent of output{leaf_path(tree, index)}, {type_text(aval)}, must be {type_text(expected)}, but it is "
                    f"{type_of_value(tangent)}"
                )
            found.append(checked)
        return found


class BatchedRule:
    """A rule mapped over an axis."""

    __slots__ = ("__name__", "axis", "dims", "out", "rule")

    def __init__(self, rule: Any, axis: Axis, dims: Dims, out: OutDims) -> None:
        self.rule = rule
        self.__name__ = rule.__name__
        self.axis = axis
        self.dims = dims  # of the captured values and the primals; tangents are mapped as their primals are
        self.out = out

    def __call__(self, consts: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Pair:
        first, last = len(consts), len(consts) + len(primals)
        nonzero = [type(t) is not Zero for t in tangents]
        inner = [_without_axis(t, d) for t, d in zip(tangents, self.dims[first:])]
        returned: list[Any] = []

        def run(*vals: Any) -> list[Any]:
            given = iter(vals[last:])
            directions = [next(given) if nz else t for t, nz in zip(inner, nonzero)]
            outs, returned[:] = self.rule(vals[:first], vals[first:last], directions)
            return [*outs, *[t for t in returned if type(t) is not Zero]]

        given = [t for t, nz in zip(tangents, nonzero) if nz]
        dims = [*self.dims, *[d for d, nz in zip(self.dims[first:], nonzero) if nz]]
        values, places = batch_flat(run, self.axis, [*consts, *primals, *given], dims)
        count = len(returned)
        found = iter(zip(values[count:], places[count:]))
        pairs = [None if type(t) is Zero else next(found) for t in returned]
        if self.out.dims is None:
            # An output and its tangent are mapped together.
            self.out.dims = tuple(
                [0 if d is None and p is not None and p[1] is not None else d for d, p in zip(places, pairs)]
            )
        what = f"the custom_jvp rule {self.__name__}"
        place = functools.partial(self.out.place, axis=self.axis, rule=what)
        outs = [place(i, o, d) for i, (o, d) in enumerate(zip(values[:count], places))]
        return outs, [zero_of(o) if p is None else place(i, *p) for i, (o, p) in enumerate(zip(outs, pairs))]

    @property
    def users(self) -> Iterator[Any]:
        yield from self.rule.users


def _without_axis(tangent: Any, dim: int | None) -> Any:
    """The symbolic zero of one example; other tangents stay."""
    if type(tangent) is not Zero or dim is None:
        return tangent
    return Zero(without_axis(tangent.aval, dim))


class StagedRule:
    """A rule as a program, made where it captured traced values, which it takes as arguments."""

    __slots__ = ("__name__", "closed", "in_flags", "out_flags")

    def __init__(self, name: str, closed: ClosedJaxpr, in_flags: Flags, out_flags: Flags) -> None:
        self.__name__ = name
        self.closed = closed
        self.in_flags = in_flags  # which primals have a tangent among its arguments
        self.out_flags = out_flags  # which outputs have one among its results

    def __call__(self, consts: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Pair:
        given = [instantiate(t) for t, flag in zip(tangents, self.in_flags) if flag]
        values = eval_jaxpr(self.closed.jaxpr, self.closed.consts, *consts, *primals, *given)
        count = len(self.out_flags)
        found = iter(values[count:])
        outs = values[:count]
        return outs, [next(found) if flag else zero_of(o) for o, flag in zip(outs, self.out_flags)]

    @property
    def users(self) -> Iterator[Any]:
        yield from ()


class SelectedRule:
    """A rule of which some outputs are not used."""

    __slots__ = ("__name__", "rule", "used")

    def __init__(self, rule: Any, used: Flags) -> None:
        self.__name__ = rule.__name__
        self.rule = rule
        self.used = used

    def __call__(self, consts: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Pair:
        outs, found = self.rule(consts, primals, tangents)
        return [o for o, u in zip(outs, self.used) if u], [t for t, u in zip(found, self.used) if u]

    @property
    def users(self) -> Iterator[Any]:
        yield from self.rule.users


# ---------------------------------------------------------------------------------------------
# The primitive. Its operands are `num_consts` values that the function captured, then its arguments.


def _shape(*avals: Any, call_jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return call_jaxpr.out_avals


def _effects(*avals: Any, call_jaxpr: Function, **params: Any) -> Effects:
    return call_jaxpr.effects if isinstance(call_jaxpr, ClosedJaxpr) else no_effects


def _lower(ctx: Context, *operands: Value, call_jaxpr: ClosedJaxpr, **params: Any) -> list[Value]:
    return ctx.jaxpr(call_jaxpr.jaxpr, call_jaxpr.consts, operands)


def _eager(*args: Any, call_jaxpr: Function, **params: Any) -> list[Any]:
    return perform(call_jaxpr, args)


def _stage(
    args: tuple[Any, ...], *, name: str, call_jaxpr: Function, jvp: Any, num_consts: int, **params: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not isinstance(call_jaxpr, ClosedJaxpr):
        avals = [aval_of(a) for a in args]
        captured = Captured()
        jaxpr, consts = staged(call_jaxpr, avals, name)
        places = captured.add(consts)
        rule = jvp
        if has_tracers(consts) or capture_traced(jvp.users):
            jvp = _staged_rule(jvp, avals, captured)
        if jvp is rule and captured.values:
            jvp = WithoutCaptured(rule)
        call_jaxpr = captured.closed(jaxpr, places)
        num_consts = len(captured.values)
        args = (*captured.values, *args)
    return args, {"name": name, "call_jaxpr": call_jaxpr, "jvp": jvp, "num_consts": num_consts, **params}


def _staged_rule(rule: Any, avals: Sequence[AbstractValue], captured: Captured) -> Any:
    """The rule as a program of what it captured, for it may run when those values are gone.

    A rule that cannot be traced stays as it is: it may never be asked, and raises its error if it is.
    """
    in_flags = tuple([has_tangent(a) for a in avals])
    out_flags: Flags = ()

    def fun(*vals: Any) -> list[Any]:
        nonlocal out_flags
        given = iter(vals[len(avals) :])
        tangents = [next(given) if flag else Zero(a.tangent_aval()) for a, flag in zip(avals, in_flags)]
        outs, found = rule((), vals[: len(avals)], tangents)
        out_flags = tuple([type(t) is not Zero for t in found])
        return [*outs, *[t for t in found if type(t) is not Zero]]

    tangent_avals = [a.tangent_aval() for a, flag in zip(avals, in_flags) if flag]
    try:
        jaxpr, consts = staged(fun, [*avals, *tangent_avals], rule.__name__)
    except Exception:
        return rule
    closed = captured.closed(jaxpr, captured.add(consts))
    return StagedRule(rule.__name__, closed, in_flags, out_flags)


def _jvp(primals: Any, tangents: Any, **params: Any) -> Pair:
    name, jvp, num_consts = params["name"], params["jvp"], params["num_consts"]
    function = f"custom_jvp function {name}"
    check_captured(tangents[:num_consts], function)
    consts, primals_in, given = primals[:num_consts], primals[num_consts:], tangents[num_consts:]
    if all([type(t) is Zero for t in given]):
        outs = custom_jvp_call_p.bind(*primals, **params)
        return outs, [zero_of(o) for o in outs]
    tape = get_trace()
    if type(tape) is TapeTrace:
        user = next(jvp.users, None)
        if user is not None and any([user is rule for rule in tape.rules]):
            # The rule applies its own function to tangents: so that is linear, and its program says how.
            given = [x if type(t) is Zero else t for x, t in zip(primals_in, given)]
            found = sorted_on_tape(lambda: perform(params["call_jaxpr"], [*consts, *given]), tape)
            return found, found
        return under_tape(lambda: jvp(consts, primals_in, given), tape, function, user)
    pair: Pair = jvp(consts, primals_in, given)
    return pair


def _linearize(primals: Any, tangents: Any, **params: Any) -> Pair:
    outs, found = _jvp(primals, tangents, **params)
    return outs, only_linear(outs, found)


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], Dims]:
    call_jaxpr, jvp, mapped = params["call_jaxpr"], params["jvp"], tuple(dims)
    if isinstance(call_jaxpr, ClosedJaxpr):
        if axis.name is None and all([d is None for d in mapped]):
            return custom_jvp_call_p.bind(*args, **params), (None,) * len(call_jaxpr.out_avals)
        function, out_dims = batch_jaxpr(call_jaxpr, axis, mapped)
        rule = call_jaxpr.jaxpr.memoized(
            ("custom_jvp rule", axis.key, mapped), lambda: BatchedRule(jvp, axis, mapped, OutDims(out_dims))
        )
        return custom_jvp_call_p.bind(*args, **params | {"call_jaxpr": function, "jvp": rule}), out_dims
    out = OutDims()
    both = {
        "call_jaxpr": BatchedFunction(call_jaxpr, axis, mapped, out),
        "jvp": BatchedRule(jvp, axis, mapped, out),
    }
    outs = custom_jvp_call_p.bind(*args, **params | both)
    assert out.dims is not None
    return outs, out.dims


def _transpose(cts: Any, *args: Any, name: str, call_jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    """Of a call that is linear in some operands, where no derivative is asked for: that of its program."""
    found: list[Any] = jit_p.transpose(cts, *args, jaxpr=call_jaxpr, name=name)
    return found


def _dce(
    used: Flags, *, call_jaxpr: ClosedJaxpr, jvp: Any, **params: Any
) -> tuple[Flags, Flags, dict[str, Any]]:
    function = with_outputs(call_jaxpr, used)
    if not all(used):
        jvp = call_jaxpr.jaxpr.memoized(("custom_jvp rule", used), lambda: SelectedRule(jvp, used))
    return (True,) * len(call_jaxpr.in_avals), used, {"call_jaxpr": function, "jvp": jvp, **params}


custom_jvp_call_p = Primitive(
    "custom_jvp_call",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    dce=_dce,
    stage=_stage,
    elementwise=lambda shape, other, params: params["call_jaxpr"],
    multiple_results=True,
    varying=variance.as_given,
)
custom_jvp_call_p.eager = _eager


# ---------------------------------------------------------------------------------------------
# The public face.


class custom_jvp:
    """`fun` with a forward derivative of your own; reverse derivatives follow from it.

    Args:
      fun: a function of arrays and pytrees of them.
      nondiff_argnums: positions of arguments that are not differentiated, such as functions and settings. The rule
        takes them first.
      nondiff_argnames: the same, by name.
    Returns:
      A function with `fun`'s arguments. Give it its rule with `defjvp` or `defjvps` before the first call.
    Raises:
      TypeError, ValueError: `fun` is no function, or has no such argument.

    >>> import anima, anima.numpy as np
    >>> @anima.custom_jvp
    ... def log1pexp(x):
    ...     return np.log(1.0 + np.exp(x))
    >>> @log1pexp.defjvp
    ... def log1pexp_jvp(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), (1 - 1 / (1 + np.exp(x))) * t
    >>> print(anima.grad(log1pexp)(100.0))
    1.0
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        check_callable(fun, "custom_jvp")
        functools.update_wrapper(self, fun)
        self.fun = fun
        self._signature = Signature("custom_jvp", fun, nondiff_argnums, nondiff_argnames)
        self.nondiff_argnums = self._signature.positions
        self.jvp: Callable[..., Any] | None = None
        self.symbolic_zeros = False

    __getattr__ = forwarded

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the derivative.

        Args:
          jvp: called as `jvp(*nondiff_args, primals, tangents)` with tuples of the arguments and their tangents;
            returns a pair of the outputs and their tangents, which must be linear in the input tangents. Tangents of
            integers are `float0` arrays.
          symbolic_zeros: tangents known to be zero are `SymbolicZero`s, not arrays of zeros.
        Returns:
          `jvp`, so that this is a decorator.
        """
        check_callable(jvp, "custom_jvp.defjvp")
        self.jvp = jvp
        self.symbolic_zeros = symbolic_zeros
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set the derivative by one function for each argument.

        Args:
          jvps: called as `jvp(tangent, output, *primals)`: the output's tangent due to that of one argument. None
            where that is zero.
        Raises:
          TypeError: there are arguments that are not differentiated; use `defjvp` for those.

        >>> import anima
        >>> f = anima.custom_jvp(lambda x, y: x * y)
        >>> f.defjvps(lambda t, ans, x, y: t * y, None)
        >>> print(*anima.grad(f, (0, 1))(2.0, 3.0))
        3.0 0.0
        """
        if self.nondiff_argnums:
            raise TypeError(
                f"defjvps cannot be used with nondiff_argnums: give {name_of(self.fun)} one rule with defjvp"
            )
        for jvp in jvps:
            if jvp is not None:
                check_callable(jvp, "custom_jvp.defjvps")

        def sum_of_jvps(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
            if len(jvps) != len(primals):
                raise ValueError(
                    f"defjvps was given {len(jvps)} rules for {name_of(self.fun)}, which was called with {len(primals)} "
                    "arguments: give one for each, None where the derivative is zero"
                )
            out = self(*primals)
            terms = [jvp(t, out, *primals) for jvp, t in zip(jvps, tangents) if jvp is not None]
            return out, _sum(terms) if terms else zero_from_primal(out)

        self.defjvp(sum_of_jvps)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.jvp is None:
            raise AttributeError(
                f"No JVP defined for custom_jvp function {name_of(self.fun)} using defjvp. Define its derivative with "
                "defjvp or defjvps before calling it."
            )
        args = self._signature.positional(args, kwargs)
        if self.nondiff_argnums and get_trace() is not None:
            args = tuple([cut_off(a) if i in self.nondiff_argnums else a for i, a in enumerate(args)])
        given, leaves = taken_apart("custom_jvp", self.fun, args, self.nondiff_argnums)
        outcome = Outcome()
        name = name_of(self.fun)
        outs = custom_jvp_call_p.bind(
            *leaves,
            name=name,
            call_jaxpr=UserFunction(self.fun, given, outcome),
            jvp=JvpRule(self.jvp, name, given, outcome, self.symbolic_zeros),
            num_consts=0,
            symbolic_zeros=self.symbolic_zeros,
        )
        return tree_unflatten(outcome.tree, outs)


def _sum(terms: list[Any]) -> Any:
    """The sum of trees of tangents.

    Raises:
      TypeError: they are built differently.
    """
    leaves, tree = tree_flatten(terms[0])
    for term in terms[1:]:
        others, other_tree = tree_flatten(term)
        if other_tree != tree:
            [difference, *_] = treedef_differences(other_tree, tree)
            raise TypeError(
                "the rules given to defjvps must return tangents that are built in the same way: "
                + difference.message("one", "the first")
            )
        leaves = [a if is_float0(a) else a + b for a, b in zip(leaves, others)]
    return tree_unflatten(tree, leaves)

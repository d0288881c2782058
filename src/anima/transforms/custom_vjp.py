"""`custom_vjp`: functions whose reverse derivative the user gives.

Invariant: a call is one operation, `custom_vjp_call`, of the function's program and its two rules. Differentiation performs
the forward rule in the function's place and, for the tangents, one operation `custom_lin`, which stands for a linear map
of which only the transpose is known, the backward rule: it goes on tapes and into linear programs, and cannot be performed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from anima._native import get_trace, tree_flatten, tree_unflatten
from anima.core import hooks, variance
from anima.core.aval import has_tangent
from anima.core.effects import Effects, no_effects
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive, Zero
from anima.core.trace import Tracer, aval_of
from anima.errors import ClosedOverDerivativeError, UnexpectedTracerError
from anima.interpreters.batch import Axis, batch_jaxpr, with_axis
from anima.interpreters.linearize import TapeTrace
from anima.interpreters.user_rules import outside_tape
from anima.interpreters.zeros import zero_of
from anima.lowering.module import Context, Value
from anima.transforms.arguments import check_callable, name_of
from anima.transforms.custom_rules import (
    BatchedFunction,
    Captured,
    Dims,
    Function,
    Outcome,
    OutDims,
    Signature,
    UserFunction,
    WithoutCaptured,
    capture_traced,
    check_captured,
    forwarded,
    has_tracers,
    perform,
    staged,
    taken_apart,
    with_outputs,
)
from anima.transforms.custom_vjp_refs import call_with_refs, has_refs
from anima.transforms.custom_vjp_rules import (
    BackwardRule,
    BatchedBackward,
    BatchedForward,
    Forward,
    ForwardRule,
    Pullback,
    SelectedBackward,
    SelectedForward,
    staged_rules,
)
from anima.transforms.remat_opt import OptimizedForward

Flags = tuple[bool, ...]


# ---------------------------------------------------------------------------------------------
# The linear map of which only the transpose is known. Its operands are `num_res` residuals, then the tangents of the primals
# where `nonzeros` is True; its results are the tangents of the outputs that have any.


def _forward_error(name: str) -> TypeError:
    error = TypeError(
        f"can't apply forward-mode differentiation (jvp) to a custom_vjp function: {name} has a reverse derivative only."
    )
    error.add_note(
        "Use grad, vjp or jacrev in place of jvp, jacfwd or linearize, or give the function a forward derivative with "
        "custom_jvp, from which both modes follow."
    )
    return error


def _refuse(*args: Any, name: str, **params: Any) -> NoReturn:
    raise _forward_error(name)


def _lin_shape(*avals: Any, out_avals: tuple[Any, ...], **params: Any) -> list[Any]:
    return [a for a in out_avals if has_tangent(a)]


def _lin_transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    count = params["num_res"]
    given = iter(cts)
    full = [next(given) if has_tangent(a) else Zero(a) for a in params["out_avals"]]
    found = params["bwd"](args[:count], full)
    return [*[None] * count, *[ct for ct, flag in zip(found, params["nonzeros"]) if flag]]


def _lin_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int]]:
    count, out_avals = params["num_res"], params["out_avals"]
    given = iter(dims[count:])
    primals = tuple([next(given) if flag else None for flag in params["nonzeros"]])
    bwd = params["bwd"].batched(axis, tuple(dims[:count]), (0,) * len(out_avals), primals)
    batched = tuple([with_axis(a, 0, axis.size) for a in out_avals])
    outs = custom_lin_p.bind(*args, **params | {"bwd": bwd, "out_avals": batched})
    return outs, [0] * len(outs)


custom_lin_p = Primitive(
    "custom_lin",
    shape=_lin_shape,
    lower=_refuse,
    jvp=lambda primals, tangents, **params: _refuse(**params),
    transpose=_lin_transpose,
    batch=_lin_batch,
    multiple_results=True,
    varying=variance.as_given,
)
custom_lin_p.eager = _refuse


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


def _stage(args: tuple[Any, ...], **params: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    call_jaxpr, fwd, bwd = params["call_jaxpr"], params["fwd"], params["bwd"]
    if isinstance(call_jaxpr, ClosedJaxpr):
        return args, params
    avals = [aval_of(a) for a in args]
    captured = Captured()
    jaxpr, consts = staged(call_jaxpr, avals, params["name"])
    places = captured.add(consts)
    if has_tracers(consts) or capture_traced(fwd.users) or capture_traced(bwd.users):
        fwd, bwd = staged_rules(fwd, bwd, avals, captured)
    if fwd is params["fwd"] and captured.values:
        fwd = WithoutCaptured(fwd)
    changed = {
        "call_jaxpr": captured.closed(jaxpr, places),
        "fwd": fwd,
        "bwd": bwd,
        "num_consts": len(captured.values),
    }
    return (*captured.values, *args), params | changed


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    name, num_consts = params["name"], params["num_consts"]
    check_captured(tangents[:num_consts], f"custom_vjp function {name}")
    given = tangents[num_consts:]
    nonzeros = tuple([type(t) is not Zero for t in given])
    if not any(nonzeros):
        outs = custom_vjp_call_p.bind(*primals, **params)
        return outs, [zero_of(o) for o in outs]
    outs, residuals, link = _forward(primals, nonzeros, **params)
    zeros = [zero_of(o) for o in outs]
    if not any([has_tangent(z.aval) for z in zeros]):
        return outs, list(zeros)
    found = iter(
        custom_lin_p.bind(
            *residuals,
            *[t for t, flag in zip(given, nonzeros) if flag],
            name=name,
            bwd=Pullback(params["bwd"], link),
            num_res=len(residuals),
            nonzeros=nonzeros,
            out_avals=tuple([z.aval for z in zeros]),
        )
    )
    return outs, [next(found) if has_tangent(z.aval) else z for z in zeros]


def _forward(primals: Any, perturbed: Flags, *, fwd: Any, num_consts: int, **params: Any) -> Forward:
    """The forward rule's results; the primals are never tangents of a tape that is ambient."""
    tape = get_trace()
    run: Callable[[], Forward] = functools.partial(fwd, primals[:num_consts], primals[num_consts:], perturbed)
    return outside_tape(run, tape) if type(tape) is TapeTrace else run()


def _transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    """Of a call that is linear in some operands: it is its own derivative there, at zeros as well as anywhere."""
    num_consts = params["num_consts"]
    linear = tuple([type(a) is Linear for a in args])
    if any(linear[:num_consts]):
        raise ClosedOverDerivativeError(f"custom_vjp function {params['name']}")
    primals = [hooks.zeros(a.aval) if lin else a for a, lin in zip(args, linear)]
    _, residuals, link = _forward(primals, linear[num_consts:], **params)
    found = params["bwd"](link, residuals, cts)
    return [*[None] * num_consts, *[ct if lin else None for ct, lin in zip(found, linear[num_consts:])]]


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], Dims]:
    call_jaxpr, mapped = params["call_jaxpr"], tuple(dims)
    out = OutDims()
    if not isinstance(call_jaxpr, ClosedJaxpr):
        function: Function = BatchedFunction(call_jaxpr, axis, mapped, out)
        fwd, bwd = _batched_rules(axis, mapped, out, **params)
    elif axis.name is None and all([d is None for d in mapped]):
        return custom_vjp_call_p.bind(*args, **params), (None,) * len(call_jaxpr.out_avals)
    else:
        function, out.dims = batch_jaxpr(call_jaxpr, axis, mapped)
        fwd, bwd = call_jaxpr.jaxpr.memoized(
            ("custom_vjp rules", axis.key, mapped), lambda: _batched_rules(axis, mapped, out, **params)
        )
    outs = custom_vjp_call_p.bind(*args, **params | {"call_jaxpr": function, "fwd": fwd, "bwd": bwd})
    assert out.dims is not None
    return outs, out.dims


def _batched_rules(
    axis: Axis, dims: Dims, out: OutDims, *, fwd: Any, bwd: Any, num_consts: int, **params: Any
) -> tuple[Any, Any]:
    return BatchedForward(fwd, axis, dims, out), BatchedBackward(bwd, axis, dims[num_consts:])


def _dce(
    used: Flags, *, call_jaxpr: ClosedJaxpr, fwd: Any, bwd: Any, **params: Any
) -> tuple[Flags, Flags, dict[str, Any]]:
    function = with_outputs(call_jaxpr, used)
    if not all(used):
        fwd, bwd = call_jaxpr.jaxpr.memoized(
            ("custom_vjp rules", used), lambda: (SelectedForward(fwd, used), SelectedBackward(bwd, used))
        )
    params = {"call_jaxpr": function, "fwd": fwd, "bwd": bwd, **params}
    return (True,) * len(call_jaxpr.in_avals), used, params


custom_vjp_call_p = Primitive(
    "custom_vjp_call",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    dce=_dce,
    stage=_stage,
    multiple_results=True,
    varying=variance.as_given,
)
custom_vjp_call_p.eager = _eager


# ---------------------------------------------------------------------------------------------
# The public face.


class custom_vjp:
    """`fun` with a reverse derivative of your own. It then has no forward one.

    Args:
      fun: a function of arrays and pytrees of them.
      nondiff_argnums: positions of arguments that are not differentiated, such as functions and settings. They must not
        be traced values.
      nondiff_argnames: the same, by name.
    Returns:
      A function with `fun`'s arguments. Give it its rules with `defvjp` before the first call.
    Raises:
      TypeError, ValueError: `fun` is no function, or has no such argument.

    >>> import anima, anima.numpy as np
    >>> @anima.custom_vjp
    ... def clip_gradient(limit, x):
    ...     return x
    >>> clip_gradient.defvjp(
    ...     lambda limit, x: (x, limit), lambda limit, g: (None, np.clip(g, -limit, limit))
    ... )
    >>> print(anima.grad(lambda x: 5 * clip_gradient(0.5, x))(1.0))
    0.5
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        check_callable(fun, "custom_vjp")
        functools.update_wrapper(self, fun)
        self.fun = fun
        self._signature = Signature("custom_vjp", fun, nondiff_argnums, nondiff_argnames)
        self.nondiff_argnums = self._signature.positions
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.symbolic_zeros = False
        self.optimize_remat = False

    __getattr__ = forwarded

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Set the derivative.

        Args:
          fwd: takes the function's arguments; returns a pair of the function's output and residuals, a pytree of arrays
            for the backward pass.
          bwd: called as `bwd(*nondiff_args, residuals, cotangent)`, the cotangent built as the function's output; returns
            a tuple of the cotangents of the differentiated arguments. None stands for a zero cotangent.
          symbolic_zeros: `fwd` gets `CustomVJPPrimal`s, which say whether they are differentiated, and cotangents known to
            be zero are `SymbolicZero`s.
          optimize_remat: where `fwd` turns out to be run without the need for its residuals, run the function instead.
        """
        check_callable(fwd, "custom_vjp.defvjp")
        check_callable(bwd, "custom_vjp.defvjp")
        if symbolic_zeros and optimize_remat:
            raise NotImplementedError(
                "defvjp: optimize_remat=True cannot be combined with symbolic_zeros=True, as the function itself does not take "
                "CustomVJPPrimals"
            )
        self.fwd, self.bwd = fwd, bwd
        self.symbolic_zeros = symbolic_zeros
        self.optimize_remat = optimize_remat

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = name_of(self.fun)
        if self.fwd is None or self.bwd is None:
            raise AttributeError(
                f"No VJP defined for custom_vjp function {name} using defvjp. Define its derivative with defvjp before calling it."
            )
        args = self._signature.positional(args, kwargs)
        if has_refs(args, self.nondiff_argnums):
            return call_with_refs(self, args, self.nondiff_argnums)
        given, leaves = taken_apart("custom_vjp", self.fun, args, self.nondiff_argnums)
        for position, value in given.nondiff.items():
            _check_static(name, position, value)
        outcome = Outcome()
        function = UserFunction(self.fun, given, outcome)
        fwd: Any = ForwardRule(self.fwd, name, given, outcome, self.symbolic_zeros)
        outs = custom_vjp_call_p.bind(
            *leaves,
            name=name,
            call_jaxpr=function,
            fwd=OptimizedForward(fwd, function) if self.optimize_remat else fwd,
            bwd=BackwardRule(self.bwd, name, given, outcome, self.symbolic_zeros),
            num_consts=0,
            symbolic_zeros=self.symbolic_zeros,
        )
        return tree_unflatten(outcome.tree, outs)


def _check_static(name: str, position: int, value: Any) -> None:
    traced = [x for x in tree_flatten(value)[0] if isinstance(x, Tracer)]
    if not traced:
        return
    error = UnexpectedTracerError(
        f"argument number {position} of custom_vjp function {name} is a traced value, {traced[0]!r:.80}, but nondiff_argnums "
        "says that it is not differentiated."
    )
    error.add_note(
        "nondiff_argnums is for functions and settings, which the backward rule takes as they are. Pass an array as an ordinary "
        "argument, put it among the residuals, and return None as its cotangent."
    )
    raise error

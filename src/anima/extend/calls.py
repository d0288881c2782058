"""Operations that call a function: `CallPrimitive`, and the two that exist, `call_p` and `closed_call_p`.

Invariant: equations hold the function as a closed program without constants, the parameter `call_jaxpr`; arrays that the
function captured are operands before its own. What is derived from a call, its derivative, its batched form, is a call
of the derived program, unless another rule is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import get_trace
from anima.core.effects import Effects
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Zero
from anima.core.trace import aval_of
from anima.extend.linear_util import WrappedFun, wrap_init
from anima.extend.primitive import Primitive
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.partial import Division, Flags, divided_call
from anima.interpreters.stage import hoist_consts, stage
from anima.interpreters.transpose import transpose_jaxpr
from anima.lowering.module import Context, Value


class CallPrimitive(Primitive):
    """An operation that calls a function: `bind(*args, subfuns=(wrapped_fun,), **params)`.

    The function takes and returns flat lists of arrays. Where the call is recorded, it becomes a program, the parameter
    `call_jaxpr`, and `bind` takes that instead, too. Every rule has a default: a call of the program derived from it.

    >>> import anima, anima.numpy as np
    >>> from anima.extend import linear_util as lu
    >>> from anima.extend.core import CallPrimitive
    >>> marked_p = CallPrimitive("marked")
    >>> def f(x):
    ...     return marked_p.bind(x, subfuns=(lu.wrap_init(lambda y: [np.sin(y)]),), mark="here")[0]
    >>> print(anima.grad(f)(0.0))
    1.0
    >>> [eqn.primitive.name for eqn in anima.make_jaxpr(f)(0.0).eqns]
    ['marked']
    """

    call_primitive = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.multiple_results = True
        self.shape = _shape
        self.effects = _effects
        self.jvp = self._jvp
        self.linearize = self._linearize
        self.transpose = self._transpose
        self.batch = self._batch
        self.lower = self._lower
        self.partial = _partial
        self.lowered = True
        self.def_impl(_call)

    def bind(self, *args: Any, **params: Any) -> Any:
        """Call the function, or the program.

        Raises:
          TypeError: `subfuns` is not a tuple of one `WrappedFun`, and there is no `call_jaxpr`.
        """
        if "subfuns" not in params:
            if not isinstance(params.get("call_jaxpr"), ClosedJaxpr):
                raise TypeError(
                    f"'{self.name}' takes the function that it calls as subfuns=(WrappedFun,), or its program as call_jaxpr"
                )
            return super().bind(*args, **params)
        subfuns = params["subfuns"]
        if not (isinstance(subfuns, tuple) and len(subfuns) == 1 and isinstance(subfuns[0], WrappedFun)):
            raise TypeError(f"'{self.name}': subfuns must be a tuple of one WrappedFun, got {subfuns!r}")
        if get_trace() is not None:
            fun = params.pop("subfuns")[0]
            jaxpr, consts = stage(fun.call_wrapped, [aval_of(a) for a in args], fun.__name__)
            args = (*consts, *args)
            params["call_jaxpr"] = ClosedJaxpr(hoist_consts(jaxpr), [])
        return super().bind(*args, **params)

    def get_bind_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters, with the program as a function again."""
        rest = {name: value for name, value in params.items() if name != "call_jaxpr"}
        return {**rest, "subfuns": (wrap_init(run_program(params["call_jaxpr"])),)}

    def _jvp(self, primals: Any, tangents: Any, *, call_jaxpr: ClosedJaxpr, **params: Any) -> Any:
        nonzeros = _nonzeros(tangents)
        derived, out_nonzeros = jvp_jaxpr(call_jaxpr, nonzeros)
        outs = self.bind(*primals, *_chosen(tangents, nonzeros), call_jaxpr=derived, **params)
        count = len(call_jaxpr.out_avals)
        return outs[:count], _with_zeros(outs[count:], out_nonzeros, call_jaxpr)

    def _linearize(self, primals: Any, tangents: Any, *, call_jaxpr: ClosedJaxpr, **params: Any) -> Any:
        nonzeros = _nonzeros(tangents)
        split = linearize_jaxpr(call_jaxpr, nonzeros)
        outs = self.bind(*primals, call_jaxpr=split.primal, **params)
        count = len(call_jaxpr.out_avals)
        if not any(split.out_nonzeros):
            return outs, _with_zeros([], split.out_nonzeros, call_jaxpr)
        residuals = [
            *outs[count:],
            *[outs[i] for i in split.residual_outputs],
            *[primals[i] for i in split.residual_inputs],
        ]
        out_tangents = self.bind(*residuals, *_chosen(tangents, nonzeros), call_jaxpr=split.linear, **params)
        return outs[:count], _with_zeros(out_tangents, split.out_nonzeros, call_jaxpr)

    def _transpose(self, cts: Any, *args: Any, call_jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
        linear = tuple([type(a) is Linear for a in args])
        ct_nonzeros = _nonzeros(cts)
        derived, nonzeros = transpose_jaxpr(call_jaxpr, linear, ct_nonzeros)
        constants = [a for a, flag in zip(args, linear) if not flag]
        results = iter(self.bind(*constants, *_chosen(cts, ct_nonzeros), call_jaxpr=derived, **params))
        flags = iter(nonzeros)
        return [next(results) if flag and next(flags) else None for flag in linear]

    def _batch(self, axis: Axis, args: Any, dims: Any, *, call_jaxpr: ClosedJaxpr, **params: Any) -> Any:
        derived, out_dims = batch_jaxpr(call_jaxpr, axis, tuple(dims))
        return self.bind(*args, call_jaxpr=derived, **params), out_dims

    def _lower(self, ctx: Context, *operands: Value, call_jaxpr: ClosedJaxpr, **params: Any) -> list[Value]:
        return ctx.call(call_jaxpr, operands, str(params.get("name", self.name)))


def _shape(*avals: Any, call_jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return call_jaxpr.out_avals


def _effects(*avals: Any, call_jaxpr: ClosedJaxpr, **params: Any) -> Effects:
    return call_jaxpr.effects


def _partial(unknown: Flags, **params: Any) -> Division:
    return divided_call(params["call_jaxpr"], unknown, params, "call_jaxpr")


def _call(*args: Any, **params: Any) -> Any:
    if "subfuns" in params:
        return params["subfuns"][0].call_wrapped(*args)
    return run_program(params["call_jaxpr"])(*args)


def run_program(closed: ClosedJaxpr) -> Callable[..., list[Any]]:
    """The program as a function of flat arguments."""
    return lambda *args: eval_jaxpr(closed.jaxpr, closed.consts, *args)


def _nonzeros(values: Sequence[Any]) -> Flags:
    return tuple([type(v) is not Zero for v in values])


def _chosen(values: Sequence[Any], flags: Flags) -> list[Any]:
    return [v for v, flag in zip(values, flags) if flag]


def _with_zeros(values: Sequence[Any], flags: Sequence[bool], closed: ClosedJaxpr) -> list[Any]:
    given = iter(values)
    return [next(given) if flag else Zero(a.tangent_aval()) for flag, a in zip(flags, closed.out_avals)]


call_p = CallPrimitive("call")
closed_call_p = CallPrimitive("closed_call")

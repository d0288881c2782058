"""The forward pass of `custom_vjp` functions with `optimize_remat=True`.

Invariant: the operation `remat_opt` holds two programs of the same operands: the function's own, and the forward rule's,
which has residuals as further results. It performs the second one, until dead-code elimination finds that nothing uses the
residuals, as in the forward pass of a function that is computed again in the backward pass; then the first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from anima._native import get_trace
from anima.core import variance
from anima.core.effects import Effects
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Primitive
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.stage import enclosing_stage
from anima.lowering.module import Context, Value
from anima.runtime.dispatch import eager_by_program
from anima.transforms.custom_rules import Captured, UserFunction, staged, with_outputs
from anima.transforms.custom_vjp_rules import Forward, ForwardRule
from anima.transforms.jit_primitive import jit_p

Flags = tuple[bool, ...]


class OptimizedForward:
    """A forward rule that, where a program is recorded, is one `remat_opt` of that program."""

    __slots__ = ("__name__", "function", "rule")

    def __init__(self, rule: ForwardRule, function: UserFunction) -> None:
        self.__name__ = rule.__name__
        self.rule = rule
        self.function = function

    def __call__(self, consts: Sequence[Any], primals: Sequence[Any], perturbed: Flags) -> Forward:
        if enclosing_stage(get_trace()) is None:
            return self.rule(consts, primals, perturbed)
        link: Any = None
        count = 0

        def forward(*vals: Any) -> list[Any]:
            nonlocal link, count
            outs, residuals, link = self.rule(consts, vals, perturbed)
            count = len(outs)
            return [*outs, *residuals]

        avals = [aval_of(p) for p in primals]
        captured = Captured()
        first, first_consts = staged(self.function, avals, self.__name__)
        second, second_consts = staged(forward, avals, self.__name__)
        first_places, second_places = captured.add(first_consts), captured.add(second_consts)
        values = remat_opt_p.bind(
            *captured.values,
            *primals,
            name=self.__name__,
            fun_jaxpr=captured.closed(first, first_places),
            fwd_jaxpr=captured.closed(second, second_places),
        )
        return values[:count], values[count:], link

    @property
    def users(self) -> Iterator[Any]:
        """What the user gave: functions and arguments that may hold traced values."""
        yield from self.rule.users


def _shape(*avals: Any, fwd_jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return fwd_jaxpr.out_avals


def _effects(*avals: Any, fwd_jaxpr: ClosedJaxpr, **params: Any) -> Effects:
    return fwd_jaxpr.effects


def _lower(ctx: Context, *operands: Value, fwd_jaxpr: ClosedJaxpr, **params: Any) -> list[Value]:
    return ctx.jaxpr(fwd_jaxpr.jaxpr, fwd_jaxpr.consts, operands)


def _jvp(primals: Any, tangents: Any, *, name: str, fwd_jaxpr: ClosedJaxpr, fun_jaxpr: ClosedJaxpr) -> Any:
    return jit_p.jvp(primals, tangents, jaxpr=fwd_jaxpr, name=name)


def _linearize(
    primals: Any, tangents: Any, *, name: str, fwd_jaxpr: ClosedJaxpr, fun_jaxpr: ClosedJaxpr
) -> Any:
    assert jit_p.linearize is not None
    return jit_p.linearize(primals, tangents, jaxpr=fwd_jaxpr, name=name)


def _transpose(cts: Any, *args: Any, name: str, fwd_jaxpr: ClosedJaxpr, fun_jaxpr: ClosedJaxpr) -> list[Any]:
    found: list[Any] = jit_p.transpose(cts, *args, jaxpr=fwd_jaxpr, name=name)
    return found


def _batch(
    axis: Axis, args: Any, dims: Any, *, name: str, fwd_jaxpr: ClosedJaxpr, fun_jaxpr: ClosedJaxpr
) -> tuple[list[Any], list[int | None]]:
    # Both map all their outputs, so that they agree.
    fwd, out_dims = batch_jaxpr(fwd_jaxpr, axis, tuple(dims), True)
    fun, _ = batch_jaxpr(fun_jaxpr, axis, tuple(dims), True)
    return remat_opt_p.bind(*args, name=name, fwd_jaxpr=fwd, fun_jaxpr=fun), list(out_dims)


def _dce(
    used: Flags, *, name: str, fwd_jaxpr: ClosedJaxpr, fun_jaxpr: ClosedJaxpr
) -> tuple[Flags, Flags, dict[str, Any]]:
    count = len(fun_jaxpr.out_avals)
    fun = with_outputs(fun_jaxpr, used[:count])
    fwd = with_outputs(fwd_jaxpr, used) if any(used[count:]) else fun
    inputs = (True,) * len(fwd_jaxpr.in_avals)
    return inputs, used, {"name": name, "fwd_jaxpr": fwd, "fun_jaxpr": fun}


remat_opt_p = Primitive(
    "remat_opt",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    dce=_dce,
    multiple_results=True,
    varying=variance.as_given,
)
remat_opt_p.eager = eager_by_program(remat_opt_p, "fwd_jaxpr")

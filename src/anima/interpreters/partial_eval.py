"""Programs from functions, wholly or in part; and smaller programs from programs.

Invariant: what a function does with known values is done while it is traced; what depends on an unknown one becomes an
equation, and known values that it uses become constants. An operation with programs inside, which may do both, is divided
into a known and an unknown one by its primitive's `partial` rule.

>>> from anima import lax
>>> from anima.core import ShapedArray
>>> from anima.extend import linear_util as lu
>>> from anima.interpreters import partial_eval as pe
>>> jaxpr, out_avals, consts = pe.trace_to_jaxpr_dynamic(
...     lu.wrap_init(lambda x: [lax.sin(x)]), [ShapedArray((), "float32")]
... )
>>> jaxpr
{ lambda ; a:f32[]. let b:f32[] = sin a in (b,) }
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima._native import get_trace, set_trace
from anima.core import source
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.effects import no_effects
from anima.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Literal, Var, join_effects
from anima.core.primitive import Primitive
from anima.core.trace import Trace, Tracer, aval_of, check_enclosing
from anima.extend.linear_util import WrappedFun
from anima.extend.primitive import shaped_array
from anima.extend.rules import DceRules
from anima.interpreters.dce import dce_jaxpr as smaller_program
from anima.interpreters.partial import INPUT, OUTPUT, Division, everything_saveable
from anima.interpreters.stage import (
    StagedTracer as DynamicJaxprTracer,
    hoist_consts,
    is_inline_scalar,
    stage,
)

__all__ = [
    "DynamicJaxprTracer",
    "JaxprTrace",
    "JaxprTracer",
    "PartialVal",
    "Val",
    "abstract_eval_fun",
    "close_jaxpr",
    "convert_constvars_jaxpr",
    "dce_jaxpr",
    "dce_jaxpr_call_rule",
    "dce_jaxpr_closed_call_rule",
    "dce_jaxpr_consts",
    "dce_rules",
    "trace_to_jaxpr_dynamic",
    "trace_to_jaxpr_nounits",
]

Val = Any

# `dce_rules[p] = rule`: `rule(used_outputs, eqn)` returns (which inputs are used, a smaller equation or None).
dce_rules = DceRules("dce", "dce")


class PartialVal(tuple[AbstractValue | None, Any]):
    """A value that is known, or of which the aval is known alone: a pair of an aval and a value, one of them None.

    >>> from anima.interpreters.partial_eval import PartialVal
    >>> PartialVal.known(3.0).is_known(), PartialVal.known(3.0).get_known()
    (True, 3.0)
    """

    __slots__ = ()

    def __new__(cls, xs: tuple[AbstractValue | None, Any]) -> PartialVal:
        aval, const = xs
        if aval is not None and const is not None:
            raise TypeError(
                f"PartialVal: one of the aval and the value must be None, got {aval} and {const!r:.60}"
            )
        return super().__new__(cls, (aval, const))

    @classmethod
    def known(cls, const: Any) -> PartialVal:
        """A value that is known."""
        return cls((None, const))

    @classmethod
    def unknown(cls, aval: AbstractValue) -> PartialVal:
        """A value of which the aval is known."""
        return cls((shaped_array(aval) if isinstance(aval, ShapedArray) else aval, None))

    def is_known(self) -> bool:
        """Whether the value is known."""
        return self[0] is None

    def get_known(self) -> Any | None:
        """The value, or None if it is not known."""
        return self[1] if self.is_known() else None

    def get_aval(self) -> AbstractValue:
        """The aval of the value."""
        return aval_of(self[1]) if self[0] is None else self[0]


class JaxprTracer(Tracer):
    """A value that is not known."""

    __slots__ = ("var",)

    def __init__(self, trace: JaxprTrace, var: Var) -> None:
        self._trace = trace
        self.var = var

    @property
    def aval(self) -> AbstractValue:
        return self.var.aval

    @property
    def pval(self) -> PartialVal:
        return PartialVal.unknown(self.var.aval)

    def is_known(self) -> bool:
        """Whether the value is known: no."""
        return False

    def origin(self) -> str:
        return "it is not known in this partial evaluation"


class JaxprTrace(Trace):
    """Records operations on unknown values; everything else it hands to its parent."""

    __slots__ = ("_constants", "consts", "constvars", "eqns")

    def __init__(self, parent: Trace | None) -> None:
        self.parent = parent
        self.eqns: list[Eqn] = []
        self.constvars: list[Var] = []
        self.consts: list[Any] = []
        self._constants: dict[int, Var] = {}

    def is_unknown(self, value: Any) -> bool:
        """Whether a value is one that is not known here."""
        return type(value) is JaxprTracer and value._trace is self

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        unknown = tuple([self.is_unknown(a) for a in args])
        if not any(unknown):
            set_trace(self.parent)
            try:
                return primitive.bind(*args, **params)
            finally:
                set_trace(self)
        if primitive.stage is not None:
            args, params = primitive.stage(args, **params)
            unknown = tuple([self.is_unknown(a) for a in args])
        if primitive.partial is not None and not all(unknown):
            division = primitive.partial(unknown, **params)
            if division is not None:
                return self._divided(primitive, args, division)
        return self._record(primitive, args, params)

    def _record(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        atoms = [self.atom(a) for a in args]
        avals = [atom.aval for atom in atoms]
        shapes = primitive.shape(*avals, **params)
        effects = no_effects if primitive.effects is None else primitive.effects(*avals, **params)
        outvars = [Var(aval) for aval in (shapes if primitive.multiple_results else [shapes])]
        self.eqns.append(Eqn(primitive, atoms, outvars, params, effects, source.current()))
        outs = [JaxprTracer(self, var) for var in outvars]
        return outs if primitive.multiple_results else outs[0]

    def _divided(self, primitive: Primitive, args: Sequence[Any], division: Division) -> list[Any]:
        halves = division.divide(division.out_unknowns, everything_saveable)
        set_trace(self.parent)
        try:
            found = primitive.bind(*[args[i] for i in halves.known_inputs], **halves.known)
        finally:
            set_trace(self)
        results: dict[int, Any] = dict(zip(halves.known_outputs, found))
        residuals = found[len(halves.known_outputs) :]
        operands = [
            args[i] if kind is INPUT else results[i] if kind is OUTPUT else residuals[i]
            for kind, i in halves.operands
        ]
        if halves.unknown_outputs:
            results.update(zip(halves.unknown_outputs, self._record(primitive, operands, halves.unknown)))
        return [results[i] for i in range(len(division.out_unknowns))]

    def atom(self, value: Any) -> Atom:
        """What stands for a value in the recorded program."""
        if self.is_unknown(value):
            var: Var = value.var
            return var
        if isinstance(value, Tracer):
            check_enclosing(value, self)
        aval = aval_of(value)
        if is_inline_scalar(value, aval):
            return Literal(value, aval)
        known = self._constants.get(id(value))
        if known is None:
            known = self._constants[id(value)] = Var(aval)
            self.constvars.append(known)
            self.consts.append(value)
        return known

    def constant(self, value: Any) -> Var:
        """A constant of the recorded program, scalars too."""
        atom = self.atom(value)
        if isinstance(atom, Literal):
            atom = Var(atom.aval)
            self.constvars.append(atom)
            self.consts.append(value)
        return atom

    def describe(self) -> str:
        return "JaxprTrace"


def _per_value(flags: bool | Sequence[bool], count: int) -> list[bool]:
    return [flags] * count if isinstance(flags, bool) else list(flags)


def trace_to_jaxpr_nounits(
    fun: WrappedFun, pvals: Sequence[PartialVal], instantiate: bool | Sequence[bool] = False
) -> tuple[Jaxpr, list[PartialVal], tuple[Any, ...]]:
    """What a function of partly known arguments computes now, and the program of the rest.

    Args:
      fun: a function of flat arguments that returns a list.
      pvals: the arguments.
      instantiate: for each output, or all: make it one of the program even if it is known.

    Returns:
      (jaxpr, out_pvals, consts): a program from the unknown arguments to the unknown outputs, whose constvars stand for
      `consts`; and the outputs.

    >>> from anima import lax
    >>> from anima.core import ShapedArray
    >>> from anima.extend import linear_util as lu
    >>> from anima.interpreters import partial_eval as pe
    >>> unknown = pe.PartialVal.unknown(ShapedArray((), "float32"))
    >>> fun = lu.wrap_init(lambda x, y: [lax.sin(x), lax.cos(y)])
    >>> jaxpr, outs, _ = pe.trace_to_jaxpr_nounits(fun, [pe.PartialVal.known(0.0), unknown])
    >>> print(outs[0].get_known(), outs[1].is_known(), jaxpr)
    0.0 False { lambda ; a:f32[]. let b:f32[] = cos a in (b,) }
    """
    parent = get_trace()
    trace = JaxprTrace(parent)
    invars: list[Var] = []
    args: list[Any] = []
    for pval in map(PartialVal, pvals):
        if pval.is_known():
            args.append(pval[1])
        else:
            invars.append(Var(pval.get_aval()))
            args.append(JaxprTracer(trace, invars[-1]))
    set_trace(trace)
    try:
        outs = list(fun.call_wrapped(*args))
    finally:
        set_trace(parent)
    out_pvals: list[PartialVal] = []
    outvars: list[Atom] = []
    for out, wanted in zip(outs, _per_value(instantiate, len(outs))):
        if trace.is_unknown(out) or wanted:
            outvars.append(trace.atom(out) if trace.is_unknown(out) else trace.constant(out))
            out_pvals.append(PartialVal.unknown(outvars[-1].aval))
        else:
            if isinstance(out, Tracer):
                check_enclosing(out, trace)
            out_pvals.append(PartialVal.known(out))
    whole = Jaxpr(trace.constvars, invars, outvars, trace.eqns, join_effects(trace.eqns), fun.__name__)
    pruned, used_consts, _ = smaller_program(whole)
    jaxpr = pruned.replace(invars=invars)
    return jaxpr, out_pvals, tuple([c for c, used in zip(trace.consts, used_consts) if used])


def trace_to_jaxpr_dynamic(
    fun: WrappedFun,
    in_avals: Sequence[AbstractValue],
    *,
    keep_inputs: Sequence[bool] | None = None,
    lower: bool = False,
    auto_dce: bool = False,
) -> tuple[Jaxpr, list[AbstractValue], list[Any]]:
    """The program of a function.

    Args:
      fun: a function of flat arguments that returns a list.
      in_avals: the types of its arguments.
      keep_inputs: which of them the program takes; it must not depend on the others.
      lower: taken as in JAX.
      auto_dce: leave out what no output needs.

    Returns:
      (jaxpr, types of the outputs, values of its constvars).
    """
    avals = [shaped_array(a) if isinstance(a, ShapedArray) else a for a in in_avals]
    jaxpr, consts = stage(fun.call_wrapped, avals, fun.__name__)
    if auto_dce:
        pruned, used_consts, _ = smaller_program(jaxpr)
        consts = [c for c, used in zip(consts, used_consts) if used]
        jaxpr = pruned.replace(invars=jaxpr.invars)
    if keep_inputs is not None:
        jaxpr = jaxpr.replace(invars=[v for v, kept in zip(jaxpr.invars, keep_inputs) if kept])
    return jaxpr, jaxpr.out_avals, consts


def abstract_eval_fun(
    fun: Any, *avals: AbstractValue, debug_info: Any = None, **params: Any
) -> list[AbstractValue]:
    """The types of what `fun(*arrays, **params)`, which returns a list, returns for arrays of these types."""
    given = [shaped_array(a) if isinstance(a, ShapedArray) else a for a in avals]
    return stage(lambda *args: fun(*args, **params), given)[0].out_avals


def close_jaxpr(jaxpr: Jaxpr) -> ClosedJaxpr:
    """A program without constvars as a closed one."""
    return ClosedJaxpr(jaxpr, ())


def convert_constvars_jaxpr(jaxpr: Jaxpr) -> Jaxpr:
    """The program with its constvars as leading arguments."""
    return hoist_consts(jaxpr)


def dce_jaxpr(
    jaxpr: Jaxpr, used_outputs: bool | Sequence[bool], instantiate: bool | Sequence[bool] = False
) -> tuple[Jaxpr, list[bool]]:
    """A program without what its used outputs do not need, with all its constvars.

    Args:
      jaxpr: the program.
      used_outputs: which outputs to keep, or whether to keep all.
      instantiate: arguments to keep in any case, or whether to keep all.

    Returns:
      (smaller program, which arguments it takes).

    >>> import anima
    >>> from anima.interpreters import partial_eval as pe
    >>> closed = anima.make_jaxpr(lambda x, y: (x + 1, y * 2))(1.0, 1.0)
    >>> pe.dce_jaxpr(closed.jaxpr, [True, False])
    ({ lambda ; a:f32[]. let b:f32[] = add a 1.0:f32[] in (b,) }, [True, False])
    """
    pruned, _, used = smaller_program(jaxpr, _per_value(used_outputs, len(jaxpr.outvars)))
    kept = [a or b for a, b in zip(used, _per_value(instantiate, len(used)))]
    invars = [v for v, flag in zip(jaxpr.invars, kept) if flag]
    return pruned.replace(constvars=jaxpr.constvars, invars=invars), kept


def dce_jaxpr_consts(
    jaxpr: Jaxpr, used_outputs: Sequence[bool], instantiate: bool | Sequence[bool] = False
) -> tuple[Jaxpr, list[bool], list[bool]]:
    """As `dce_jaxpr`, without the constvars that are not needed.

    Returns:
      (smaller program, which constvars it has, which arguments it takes).
    """
    pruned, used_consts, used = smaller_program(jaxpr, _per_value(used_outputs, len(jaxpr.outvars)))
    kept = [a or b for a, b in zip(used, _per_value(instantiate, len(used)))]
    return pruned.replace(invars=[v for v, flag in zip(jaxpr.invars, kept) if flag]), used_consts, kept


def dce_jaxpr_call_rule(used_outputs: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
    """The rule for `dce_rules` of operations that perform the `Jaxpr` in their parameter `call_jaxpr` on their operands.

    Args:
      used_outputs: which outputs are used.
      eqn: the equation.
    Returns:
      (which inputs are used, the smaller equation, or None if nothing is left to do).
    """
    jaxpr, used = dce_jaxpr(eqn.params["call_jaxpr"], used_outputs)
    return _smaller_call(eqn, used_outputs, used, jaxpr, jaxpr)


def dce_jaxpr_closed_call_rule(used_outputs: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
    """As `dce_jaxpr_call_rule`, where `call_jaxpr` is a `ClosedJaxpr`.

    >>> import anima
    >>> from anima.extend.core import Primitive
    >>> from anima.interpreters import partial_eval as pe
    >>> run_p = Primitive("run")
    >>> run_p.multiple_results = True
    >>> run_p.def_abstract_eval(lambda *args, call_jaxpr: call_jaxpr.out_avals)  # doctest: +ELLIPSIS
    <function ...>
    >>> pe.dce_rules[run_p] = pe.dce_jaxpr_closed_call_rule
    >>> program = anima.make_jaxpr(lambda x, y: (x + 1, y * 2))(1.0, 1.0)
    >>> outer = anima.make_jaxpr(lambda x, y: run_p.bind(x, y, call_jaxpr=program)[1])(1.0, 1.0)
    >>> pe.dce_jaxpr(outer.jaxpr, True)[1]
    [False, True]
    """
    closed = eqn.params["call_jaxpr"]
    jaxpr, used = dce_jaxpr(closed.jaxpr, used_outputs)
    return _smaller_call(eqn, used_outputs, used, jaxpr, ClosedJaxpr(jaxpr, closed.consts))


def _smaller_call(
    eqn: Eqn, used_outputs: Sequence[bool], used: list[bool], jaxpr: Jaxpr, program: Any
) -> tuple[list[bool], Eqn | None]:
    if not any(used) and not any(used_outputs) and not jaxpr.effects:
        return used, None
    return used, eqn.replace(
        invars=[a for a, flag in zip(eqn.invars, used) if flag],
        outvars=[v for v, flag in zip(eqn.outvars, used_outputs) if flag],
        params={**eqn.params, "call_jaxpr": program},
        effects=jaxpr.effects,
    )

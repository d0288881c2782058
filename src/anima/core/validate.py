"""The law of jaxprs, executable: `check_jaxpr` raises `JaxprTypeError` on any that breaks it."""

from __future__ import annotations

from anima import errors
from anima.core import variance
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.jaxpr import Atom, Eqn, Jaxpr, Literal, Var, join_effects, subjaxprs


def check_jaxpr(jaxpr: Jaxpr) -> None:
    """Check scoping, types and effects of `jaxpr` and of the programs inside it."""
    if "valid" in jaxpr.memo:
        return
    bound: set[Var] = set()

    def bind(var: Var, where: str) -> None:
        if var in bound:
            raise errors.JaxprTypeError(f"variable {var} is bound twice, the second time {where}")
        bound.add(var)

    def read(atom: Atom, where: str) -> None:
        if not isinstance(atom, Literal) and atom not in bound:
            raise errors.JaxprTypeError(f"variable {atom} is used before it is bound, {where}")

    for var in (*jaxpr.constvars, *jaxpr.invars):
        bind(var, "as an input")
    for index, eqn in enumerate(jaxpr.eqns):
        where = f"in equation {index} ({eqn.primitive.name})"
        for atom in eqn.invars:
            read(atom, where)
        _check_eqn(eqn, where)
        for var in eqn.outvars:
            bind(var, where)
        for inner in subjaxprs(eqn.params):
            check_jaxpr(inner)
    for atom in jaxpr.outvars:
        read(atom, "as an output")
    if jaxpr.effects != join_effects(jaxpr.eqns):
        raise errors.JaxprTypeError(
            f"effects {set(jaxpr.effects)} are not the equations' {set(join_effects(jaxpr.eqns))}"
        )
    jaxpr.memo["valid"] = True


def _check_eqn(eqn: Eqn, where: str) -> None:
    avals = [a.aval for a in eqn.invars]
    shapes = variance.of_results(eqn.primitive, avals, eqn.primitive.shape(*avals, **eqn.params))
    if variance.seen:
        for atom, axes in zip(eqn.invars, variance.of_operands(eqn.primitive, avals, eqn.params)):
            if atom.aval.varying != axes and not isinstance(atom, Literal):
                raise errors.JaxprTypeError(
                    f"operand {atom} varies along other axes than {set(axes)}, {where}"
                )
    expected = shapes if eqn.primitive.multiple_results else [shapes]
    if len(expected) != len(eqn.outvars):
        raise errors.JaxprTypeError(f"{len(eqn.outvars)} outputs for {len(expected)} results {where}")
    for var, aval in zip(eqn.outvars, expected):
        if not same_type(var.aval, aval):
            raise errors.JaxprTypeError(f"output has type {var.aval}, its rule gives {aval}, {where}")
        if var.aval.varying != aval.varying:
            raise errors.JaxprTypeError(
                f"output varies along {set(var.aval.varying)}, its rule says {set(aval.varying)}, {where}"
            )


def same_type(a: AbstractValue, b: AbstractValue) -> bool:
    """Equality of avals up to weak types, which rewriting may strengthen."""
    if isinstance(a, ShapedArray) and isinstance(b, ShapedArray):
        return a.shape == b.shape and a.dtype == b.dtype
    return a == b

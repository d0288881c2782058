"""Programs of several operations that round, of which the compiler keeps each apart: so the host may perform them one by one.

Invariant: compiled without optimisation (`HostProgram.ordered`), a program of few numbers has no product and sum that are rounded
once; but XLA rewrites some operations on each other's results before it makes code: products of products by numbers that it
knows, quotients by roots, sums of repeated values. So only what it has no other form of passes: what means, variances, norms and
their like are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anima.core.aval import array_aval, physical_aval
from anima.core.host import HostRule
from anima.core.jaxpr import Eqn, Jaxpr, Literal

LARGEST = 1024  # elements of any array: above, optimised code is worth its time
_FLOATS = ("float32", "float64")
_MOVED = "moved"
# From what other operations that round each kind may take operands. A "sum" is one of two arrays, a "shift" one with a number that the
# program knows, a "total" one over a dimension, a "fold" a product over one, a "scaling" a product with, or a quotient by, a number
# that the program knows, a "doubling" one with powers of two, which is exact. A "formula" is what XLA, or a rule for lowering, makes of several operations with numbers of its own:
# those join with numbers before them and after. Exponentials and logarithms are no such formulas.
_ADDED = {
    "sum",
    "scaling",
    "root",
    "total",
    "fold",
    "product",
    "quotient",
    "exponential",
    "logarithm",
    _MOVED,
}
_MULTIPLIED = {"sum", "shift", "product", "total", "fold", "exponential", "logarithm", _MOVED}
_TAKES = {
    "sum": _ADDED,
    "shift": _ADDED - {"exponential"},
    "product": {*_MULTIPLIED, "quotient"},
    "quotient": _MULTIPLIED,
    "scaling": _MULTIPLIED - {"fold"},
    "total": {"product", "quotient", "exponential", "scaling", "logarithm", "fold"},
    "fold": {"sum", "shift", "product", "quotient", "exponential", "scaling", "logarithm", "total"},
    "root": {"scaling", "total", _MOVED},
    "exponential": {"sum", "shift", "product", "scaling", "total", _MOVED},
    "logarithm": {"sum", "product", "total", "logarithm", _MOVED},
    "formula": {_MOVED},
}
for _taken in _TAKES.values():
    _taken |= {"doubling"} if "scaling" in _taken else set()
_TAKES["doubling"] = _TAKES["scaling"]
_FUNCTIONS = {"exp": "exponential", "log": "logarithm"}
# What becomes one instruction with a sum. The unoptimised code has no such instruction where all of a loop is as simple as what is
# listed here; another operation makes LLVM select the instructions before it in another way, which joins them.
_JOINED = frozenset(("product", "scaling"))
_SIMPLE = frozenset(("add", "sub", "mul", "div", "square", "neg", "sqrt", "reduce_sum"))
# What changes no number; and what moreover stands between two operations that the compiler could join.
_EXACT = frozenset(("select_n", "gather", "abs"))
_FENCES = frozenset(("min", "max", "clamp", "floor", "ceil", "reduce_max", "reduce_min"))


def are_kept_apart(
    jaxpr: Jaxpr, rules: Sequence[HostRule], variable: set[Any], known: Mapping[Any, np.ndarray[Any, Any]]
) -> bool:
    """Whether a program's results are those of its operations, performed one by one.

    Args:
      jaxpr: the program.
      rules: of each equation the rule by which the host performs it.
      variable: the variables that depend on the program's arguments.
      known: the values of others.
    """
    avals = [physical_aval(array_aval(a.aval)) for eqn in jaxpr.eqns for a in (*eqn.invars, *eqn.outvars)]
    floats = {a.dtype.name for a in avals if a.dtype.kind not in "biu"}
    if len(floats) != 1 or not floats.issubset(_FLOATS) or any([a.size > LARGEST for a in avals]):
        return False
    origins: dict[Any, set[str]] = {}  # by what each variable was computed, moves between left out
    others, join = [], False  # operations that are not as simple; whether two could become one instruction
    for eqn, rule in zip(jaxpr.eqns, rules):
        is_known = eqn.invars and not any([v in variable for v in eqn.invars])
        # A call is no part of a loop, and what is whole was not rounded.
        if is_known or rule.kernel in ("call", "library"):
            continue
        if eqn.primitive.name not in _SIMPLE and rule.kernel != "move":
            is_formula = rule.sequence == "function" and eqn.primitive.name not in _FUNCTIONS
            others.append(is_formula and any(map(_is_float, eqn.invars)))
        if not _is_float(eqn.outvars[0]):
            continue
        takes = [set() if isinstance(v, Literal) else origins.get(v, set()) for v in eqn.invars]
        gives = _given(eqn, rule, takes, variable, known)
        if gives is None:
            return False
        join = join or (gives <= {"sum", "shift", "total"} and not _JOINED.isdisjoint(set().union(*takes)))
        origins.update(dict.fromkeys(eqn.outvars, gives))
    # A formula has such products and sums inside. (Exponentials and logarithms end with other operations themselves.)
    return not others if join else not any(others) or len(others) == 1


def _is_float(var: Any) -> bool:
    dtype = array_aval(var.aval).dtype
    return dtype.name in _FLOATS


def _given(
    eqn: Eqn, rule: HostRule, operands: list[set[str]], variable: set[Any], known: Mapping[Any, Any]
) -> set[str] | None:
    """By what the results of an equation are computed; None if the compiler might rewrite it.

    Args:
      operands: the same of its operands.
      variable, known: see `are_kept_apart`.
    """
    takes = set().union(*operands)
    name = eqn.primitive.name
    if name in _FENCES or not any(map(_is_float, eqn.invars)):
        return set()
    if (
        name == "convert_element_type"
        and len({array_aval(v.aval).dtype for v in (*eqn.invars, *eqn.outvars)}) == 1
    ):
        return takes
    if rule.rounds:
        kind = _kind(eqn, rule, variable, known)
        refused = kind not in _TAKES or takes - _TAKES[kind]
        return None if refused or _joins_exponentials(eqn, operands) else {kind}
    if rule.kernel == "move" or name == "gather":
        return takes | {_MOVED}
    # The difference whose sign is turned has a zero of another sign.
    if name in _EXACT or not takes - {_MOVED} or (name == "neg" and not takes & {"sum", "shift"}):
        return takes
    return None


def _joins_exponentials(eqn: Eqn, operands: list[set[str]]) -> bool:
    """Whether an equation multiplies exponentials, or divides by one: that becomes an exponential of a sum, or of the opposite."""
    factors = [*operands, *operands] if eqn.primitive.name == "square" else operands
    divides = eqn.primitive.name == "div" and "exponential" in operands[-1]
    return divides or (
        eqn.primitive.name in ("mul", "square") and sum(["exponential" in k for k in factors]) > 1
    )


def _kind(eqn: Eqn, rule: HostRule, variable: set[Any], known: Mapping[Any, Any]) -> str:
    """What an operation is, a key of `_TAKES`, or something else."""
    name = eqn.primitive.name
    if name == "reduce_prod":
        return "fold"
    if rule.sequence == "function":
        return _FUNCTIONS.get(name, "formula")
    if all([not isinstance(v, Literal) and v in variable for v in eqn.invars]):
        return "quotient" if name == "div" else rule.sequence
    if rule.sequence == "product" and all([_only_scale(v, known) for v in eqn.invars if v not in variable]):
        return "doubling"
    return {"product": "scaling", "sum": "shift"}.get(rule.sequence, "")


def _only_scale(atom: Any, known: Mapping[Any, Any]) -> bool:
    """Whether products with a number that the program knows are exact: powers of two, and zeros."""
    value = atom.val if isinstance(atom, Literal) else known.get(atom)
    return value is not None and bool(
        np.all(np.isin(np.abs(np.frexp(np.asarray(value, np.float64))[0]), (0, 0.5)))
    )

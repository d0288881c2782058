"""Programs of several operations that round, of which the compiler keeps each apart: so the host may perform them one by one.

Invariant: compiled without optimisation (`HostProgram.ordered`), a program of few numbers has no product and sum that are rounded
once; but XLA rewrites some operations on each other's results before it makes code: products of products by numbers that it
knows, quotients by roots, sums of repeated values. So only what it has no other form of passes: what means, variances, norms and
their like are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima.core.aval import array_aval
from anima.core.host import HostRule
from anima.core.jaxpr import Eqn, Jaxpr, Literal

LARGEST = 1024  # elements of any array: above, optimised code is worth its time
_FLOATS = ("float32", "float64")
_MOVED = "moved"
# From what other operations that round each kind may take operands. A "sum" is one of two arrays, a "total" one over a
# dimension, a "scaling" a product with, or a quotient by, a number that the program knows.
_TAKES = {
    "sum": {"scaling", "root", "total", _MOVED},
    "product": {"sum", "total", _MOVED},
    "scaling": {"total", _MOVED},
    "total": {"product"},
    "root": {"scaling", "total", _MOVED},
}


def are_kept_apart(jaxpr: Jaxpr, rules: Sequence[HostRule], variable: set[Any]) -> bool:
    """Whether a program's results are those of its operations, performed one by one.

    Args:
      jaxpr: the program.
      rules: of each equation the rule by which the host performs it.
      variable: the variables that depend on the program's arguments.
    """
    avals = [array_aval(a.aval) for eqn in jaxpr.eqns for a in (*eqn.invars, *eqn.outvars)]
    floats = {a.dtype.name for a in avals if a.dtype.kind not in "biu"}
    if len(floats) != 1 or not floats.issubset(_FLOATS) or any([a.size > LARGEST for a in avals]):
        return False
    origins: dict[Any, set[str]] = {}  # by what each variable was computed, moves between left out
    for eqn, rule in zip(jaxpr.eqns, rules):
        known: list[set[str]] = [origins.get(v, set()) for v in eqn.invars if not isinstance(v, Literal)]
        takes = set().union(*known)
        if rule.rounds and any([array_aval(v.aval).dtype.kind == "f" for v in eqn.outvars]):
            kind = _kind(eqn, rule, variable)
            if takes - _TAKES.get(kind, set()) or kind not in _TAKES:
                return False
            gives = {kind}
        elif rule.kernel == "move":
            gives = takes | {_MOVED}
        elif takes - {_MOVED}:
            return False  # a sign that is turned, say, which the compiler moves into what was computed
        else:
            gives = takes
        origins.update(dict.fromkeys(eqn.outvars, gives))
    return True


def _kind(eqn: Eqn, rule: HostRule, variable: set[Any]) -> str:
    """What an operation is, a key of `_TAKES`, or something else."""
    if all([v in variable for v in eqn.invars if not isinstance(v, Literal)]) and not any(
        [isinstance(v, Literal) for v in eqn.invars]
    ):
        return rule.sequence
    return "scaling" if rule.sequence == "product" else ""

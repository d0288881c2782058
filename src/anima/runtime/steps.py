"""The steps of a program that the host performs one operation after the other.

Invariant: a step has the bits of its operation in the compiled program: by a rule of NumPy's (`core/host.py`), by a native kernel that
the program calls, or, for what is elementwise, by a program that arrays of all shapes share (`runtime/shapeless.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import _native, dtypes
from anima._native import ArrayImpl
from anima.core import hooks
from anima.core.aval import ShapedArray, array_aval, physical_aval
from anima.core.host import REAL, WHOLE, HostRule, is_delicate
from anima.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var

MAX_KEYS = 16  # of which there are programs for each number
_MAX_SHARED = 4096  # elements of an array

# What has no rule: of floating-point results, and of others, which no program can have other bits of.
_SHARED = HostRule(None, REAL, rounds=True, sequence="function")
_EXACT = HostRule(None, WHOLE)


def shared_rule(eqn: Eqn) -> HostRule | None:
    """The rule of an equation that goes through a program which shapes share, in place of one of its own; None if it does not."""
    avals = [array_aval(a.aval) for a in (*eqn.invars, *eqn.outvars)]
    sizes = {a.size for a in avals if not dtypes.is_extended(a.dtype)}
    if 0 in sizes or max(sizes, default=0) > _MAX_SHARED:
        return None
    if any([physical_aval(a).dtype.name not in (*WHOLE, *REAL) for a in avals]):
        return None
    if any([isinstance(a, Literal) and dtypes.is_extended(array_aval(a.aval).dtype) for a in eqn.invars]):
        return None
    has_keys = any([dtypes.is_extended(a.dtype) for a in avals])
    primitive = eqn.primitive
    if has_keys:
        several = [a.size for a in avals if dtypes.is_extended(a.dtype)]
        is_known = max(several) <= MAX_KEYS and (
            primitive.counted is not None or max(sizes, default=0) <= MAX_KEYS
        )
    else:
        shapes = {a.shape for a in avals} - {()}
        is_known = primitive.elementwise is not None and len(shapes) <= 1
    if not is_known:
        return None
    is_exact = all(
        [
            dtypes.is_extended(array_aval(v.aval).dtype) or array_aval(v.aval).dtype.kind in "biu"
            for v in eqn.outvars
        ]
    )
    return _EXACT if is_exact else _SHARED


class Step:
    """One operation: its rule, where its operands come from, and what its results are.

    Attributes:
      ordered: whether the program is compiled without optimisation.
    """

    __slots__ = (
        "_cared",
        "_closed",
        "_given",
        "care",
        "fun",
        "operands",
        "ordered",
        "outs",
        "params",
        "refuses",
        "results",
        "rule",
    )

    def __init__(
        self,
        eqn: Eqn,
        rule: HostRule,
        operands: list[int],
        results: list[int],
        known: dict[Any, np.ndarray[Any, Any]],
        several: bool,
    ) -> None:
        self.rule = rule
        self.fun = rule.fun
        self.params = eqn.params
        self.care = rule.care
        # Zeros of both signs add up as they should, but for what the compiler leaves out: a zero that it knows.
        if several and rule.sequence == "sum" and not any([_is_zero(a, known) for a in eqn.invars]):
            self.care = "numbers"
        self._cared = [i for i, a in zip(operands, eqn.invars) if not _is_normal(a, known)]
        self.refuses = rule.refuses
        self.operands = operands
        self.results = results
        self.outs = [array_aval(v.aval) for v in eqn.outvars]
        self.ordered = False
        self._closed: ClosedJaxpr | None = None
        self._given: list[int] = []  # of the operands, those that are no constants
        if rule.fun is None and several:
            self._closed, self._given = _alone(eqn, known, rule.rounds)

    def run(self, values: list[Any], device: _native.Device, committed: bool) -> bool:
        """Whether the results could be had; they are put among the values."""
        operands = [values[i] for i in self.operands]
        if self.fun is None:
            found = self._shared(operands, device, committed)
            if found is None:
                return False
        else:
            if self.care and any([is_delicate(values[i], self.care) for i in self._cared]):
                return False
            if self.refuses is not None and self.refuses(*operands, **self.params):
                return False
            found = self.fun(*operands, **self.params)
        for index, value, aval in zip(self.results, found if type(found) is list else [found], self.outs):
            result = value if dtypes.is_extended(aval.dtype) else np.asarray(value)
            assert result.shape == aval.shape and result.dtype == aval.dtype, (self.params, result, aval)
            if self.care and is_delicate(result, self.care):
                return False
            values[index] = result
        return True

    def _shared(self, operands: list[Any], device: _native.Device, committed: bool) -> list[Any] | None:
        if self._closed is None:
            return None
        arrays = []
        for place, aval in zip(self._given, self._closed.in_avals):
            x = operands[place]
            if type(x) is not ArrayImpl:
                of: Any = aval
                x = _native.array_from_host(
                    x, device, dtype=of.dtype, weak_type=of.weak_type, committed=committed
                )
            arrays.append(x)
        return hooks.perform(self._closed, arrays, ordered=self.ordered)  # type: ignore[no-any-return]


def _is_normal(atom: Any, known: dict[Any, np.ndarray[Any, Any]]) -> bool:
    """Whether an operand consists of normal numbers that the program knows: also the least one, as it is not the result of rounding."""
    value = np.asarray(atom.val) if isinstance(atom, Literal) else known.get(atom)
    if value is None or atom.aval.dtype.name not in ("float32", "float64"):
        return False
    return bool(np.all((np.abs(value) >= np.finfo(atom.aval.dtype).tiny) & np.isfinite(value)))


def _is_zero(atom: Any, known: dict[Any, np.ndarray[Any, Any]]) -> bool:
    """Whether zeros are among numbers that the program knows."""
    value = np.asarray(atom.val) if isinstance(atom, Literal) else known.get(atom)
    return value is not None and bool(np.count_nonzero(value) < value.size)


def _alone(
    eqn: Eqn, known: dict[Any, np.ndarray[Any, Any]], rounds: bool
) -> tuple[ClosedJaxpr | None, list[int]]:
    """An equation as a program, and which of its operands that takes: if it rounds, numbers that are known stay in it."""
    invars: list[Var] = []
    atoms: list[Any] = []
    given: list[int] = []
    for place, atom in enumerate(eqn.invars):
        if rounds and not isinstance(atom, Literal) and atom in known:
            value, aval = known[atom], array_aval(atom.aval)
            if not value.size or np.any(value != value.flat[0]):
                return None, []
            atom = Literal(value.flat[0], ShapedArray((), aval.dtype, aval.weak_type))
        if not (rounds and isinstance(atom, Literal)):
            atom = Var(atom.aval)
            invars.append(atom)
            given.append(place)
        atoms.append(atom)
    outvars = [Var(v.aval) for v in eqn.outvars]
    alone = Eqn(eqn.primitive, atoms, outvars, eqn.params, eqn.effects)
    return ClosedJaxpr(Jaxpr([], invars, outvars, [alone], eqn.effects, eqn.primitive.name), []), given


def flattened(jaxpr: Jaxpr) -> Jaxpr | None:
    """A program with the operations of inner ones in their place; None if those have constants that are arrays."""
    if all([_inner(eqn) is None for eqn in jaxpr.eqns]):
        return jaxpr
    eqns: list[Eqn] = []
    outvars = _inlined(jaxpr, {}, eqns)
    return (
        None
        if outvars is None
        else Jaxpr(jaxpr.constvars, jaxpr.invars, outvars, eqns, jaxpr.effects, jaxpr.name)
    )


def _inlined(jaxpr: Jaxpr, atoms: dict[Any, Any], eqns: list[Eqn]) -> list[Any] | None:
    """Append a program's equations to others.

    Args:
      atoms: what stands for its variables there.
    Returns:
      what stands for its results; None if an inner program has a constant that is an array.
    """

    def atom(a: Any) -> Any:
        return a if isinstance(a, Literal) else atoms.get(a, a)

    for eqn in jaxpr.eqns:
        inner = _inner(eqn)
        if inner is None:
            new = [Var(v.aval) for v in eqn.outvars]
            eqns.append(Eqn(eqn.primitive, [atom(a) for a in eqn.invars], new, eqn.params, eqn.effects))
        else:
            if any([array_aval(v.aval).shape for v in inner.jaxpr.constvars]):
                return None
            consts = [Literal(c, v.aval) for c, v in zip(inner.consts, inner.jaxpr.constvars)]
            given = dict(
                zip([*inner.jaxpr.constvars, *inner.jaxpr.invars], [*consts, *map(atom, eqn.invars)])
            )
            outs = _inlined(inner.jaxpr, given, eqns)
            if outs is None:
                return None
            new = outs
        atoms.update(zip(eqn.outvars, new))
    return [atom(v) for v in jaxpr.outvars]


def _inner(eqn: Eqn) -> ClosedJaxpr | None:
    """The program whose operations an equation stands for."""
    rule = eqn.primitive.elementwise
    if rule is None or not any([type(p) is ClosedJaxpr for p in eqn.params.values()]):
        return None
    found = rule((), (), eqn.params)
    return found if isinstance(found, ClosedJaxpr) else None

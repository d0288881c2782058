"""Rules from outside: adaptors from JAX's conventions to the house's, and mappings through which they are set and read.

Invariant: a rule lives on its primitive and nowhere else. A `RuleMap` looks like JAX's dictionary of rules, but setting
an item sets the attribute of the primitive, and reading one gives what was set; of a primitive of `lax`, a function with
the same convention. An adaptor keeps the user's function as `given`, and checks what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np

from anima._native import get_trace
from anima.core.aval import array_aval
from anima.core.effects import happens
from anima.core.jaxpr import Eqn
from anima.core.primitive import Linear, NoRule, Primitive, Zero, primitives
from anima.core.trace import shaped
from anima.extend.primitive import made
from anima.interpreters.batch import Axis
from anima.interpreters.dce import EquationRule, smaller_equation
from anima.interpreters.linearize import TapeTrace, TapeTracer
from anima.interpreters.user_rules import only_linear, under_tape

Rule = Callable[..., Any]


def _check_pair(primitive: Primitive, what: str, found: Any, parts: str) -> tuple[Any, Any]:
    if not (isinstance(found, (tuple, list)) and len(found) == 2):
        raise TypeError(f"the {what} rule of '{primitive}' must return a pair ({parts}), got {found!r:.200}")
    return found[0], found[1]


def _check_list(primitive: Primitive, what: str, found: Any, count: int | None = None) -> list[Any]:
    if not isinstance(found, (tuple, list)):
        raise TypeError(
            f"the {what} rule of '{primitive}' must return lists, as multiple_results is True; got {found!r:.200}"
        )
    if count is not None and len(found) != count:
        raise TypeError(f"the {what} rule of '{primitive}' must return {count} values, got {len(found)}")
    return list(found)


class JvpRule:
    """A user's forward derivative: `given(primals, tangents, **params)` returns (result, tangent), or a pair of lists."""

    __slots__ = ("given", "primitive")

    def __init__(self, primitive: Primitive, given: Rule) -> None:
        self.primitive = primitive
        self.given = given

    def _lists(self, primals: Any, tangents: Any, params: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        primitive = self.primitive
        found = self.given(primals, tangents, **params)
        out, tangent = _check_pair(primitive, "forward derivative", found, "result, tangent")
        if not primitive.multiple_results:
            return [out], [self._checked(out, tangent)]
        outs = _check_list(primitive, "forward derivative", out)
        tangents = _check_list(primitive, "forward derivative", tangent, len(outs))
        return outs, [self._checked(o, t) for o, t in zip(outs, tangents)]

    def _checked(self, out: Any, tangent: Any) -> Any:
        if type(tangent) is Zero:
            return tangent
        if tangent is None:
            raise TypeError(
                f"the forward derivative rule of '{self.primitive}' returned the tangent None; a tangent that is zero is "
                "ad.Zero(aval.to_tangent_aval()), or an array of zeros"
            )
        expected = shaped(out)
        if shaped(tangent).shape != expected.shape:
            raise TypeError(
                f"the forward derivative rule of '{self.primitive}' returned a tangent of shape {shaped(tangent).shape} for a "
                f"result of shape {expected.shape}"
            )
        return tangent

    def __call__(self, primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
        trace = get_trace()
        if type(trace) is TapeTrace and not any([_is_on(trace, p) for p in primals]):
            # Linearisation: what the rule does to values and what it does to tangents are told apart.
            run = lambda: self._lists(primals, tangents, params)
            outs, found = under_tape(run, trace, f"the primitive '{self.primitive}'")
            out_tangents = only_linear(outs, found)
        else:
            outs, out_tangents = self._lists(primals, tangents, params)
        return (outs, out_tangents) if self.primitive.multiple_results else (outs[0], out_tangents[0])


def _is_on(tape: TapeTrace, value: Any) -> bool:
    return type(value) is TapeTracer and value._trace is tape


class TransposeRule:
    """A user's transpose: `given(ct, *args, **params)`, with `UndefinedPrimal`s among `args`, gives one entry for each."""

    __slots__ = ("given", "primitive")

    def __init__(self, primitive: Primitive, given: Rule) -> None:
        self.primitive = primitive
        self.given = given

    def __call__(self, ct: Any, *args: Any, **params: Any) -> Sequence[Any]:
        found = self.given(ct, *args, **params)
        if not isinstance(found, (tuple, list)) or len(found) != len(args):
            raise TypeError(
                f"the transpose rule of '{self.primitive}' must return a list with a cotangent or None for each of the "
                f"{len(args)} operands, got {found!r:.200}"
            )
        for position, (arg, cotangent) in enumerate(zip(args, found)):
            if type(arg) is Linear and cotangent is not None and type(cotangent) is not Zero:
                shape, expected = shaped(cotangent).shape, array_aval(arg.aval).shape
                if shape != expected:
                    raise TypeError(
                        f"the transpose rule of '{self.primitive}' returned a cotangent of shape {shape} for operand {position}, "
                        f"of shape {expected}"
                    )
        return found


class BatchRule:
    """A user's batching rule. `form` is what it is called with before operands and dims: "plain", nothing; "axis", the size,
    the name and the trace type of the axis; "fancy", an object with its `size`, `name` and `spmd_name`.
    """

    __slots__ = ("form", "given", "primitive")

    def __init__(self, primitive: Primitive, given: Rule, form: str) -> None:
        self.primitive = primitive
        self.given = given
        self.form = form

    def __call__(self, axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, Any]:
        first = {"plain": (), "axis": (axis.size, axis.name, None), "fancy": (axis,)}[self.form]
        found = self.given(*first, tuple(args), tuple(dims), **params)
        primitive = self.primitive
        out, dim = _check_pair(primitive, "batching", found, "result, dim")
        if not primitive.multiple_results:
            return out, self._dim(out, dim, axis)
        outs = _check_list(primitive, "batching", out)
        out_dims = [dim] * len(outs) if dim is None or isinstance(dim, int) else dim
        out_dims = _check_list(primitive, "batching", out_dims, len(outs))
        return outs, [self._dim(o, d, axis) for o, d in zip(outs, out_dims)]

    def _dim(self, out: Any, dim: Any, axis: Axis) -> int | None:
        if dim is None:
            return None
        shape = shaped(out).shape
        if not isinstance(dim, (int, np.integer)) or not -len(shape) <= dim < len(shape):
            raise TypeError(
                f"the batching rule of '{self.primitive}' returned {dim!r} as the mapped axis of a result of shape {shape}"
            )
        if shape[dim] != axis.size:
            raise TypeError(
                f"the batching rule of '{self.primitive}' returned a result of shape {shape} with the mapped axis at {dim}, "
                f"but the axis has size {axis.size}"
            )
        return int(dim) % len(shape)


class RuleMap(MutableMapping[Any, Rule]):
    """Primitives with a rule of one kind, as a mapping from primitive to rule."""

    def __init__(self, attribute: str, what: str) -> None:
        self._attribute = attribute
        self._what = what

    def _adapted(self, primitive: Primitive, rule: Rule) -> Rule:
        """The rule as the primitive keeps it."""
        raise TypeError(f"{type(self).__name__} does not define _adapted")

    def _shown(self, primitive: Primitive, kept: Rule) -> Rule | None:
        """The rule as users see it; None if what the primitive has is none of this mapping's."""
        return getattr(kept, "given", kept)

    def _find(self, primitive: Any) -> Rule | None:
        if not isinstance(primitive, Primitive):
            raise TypeError(
                f"{self._what} rules are those of primitives, got {primitive!r} of type {type(primitive).__name__}"
            )
        kept = getattr(primitive, self._attribute)
        return None if kept is None or type(kept) is NoRule else self._shown(primitive, kept)

    def __getitem__(self, primitive: Any) -> Rule:
        found = self._find(primitive)
        if found is None:
            raise KeyError(primitive)
        return found

    def __setitem__(self, primitive: Any, rule: Rule) -> None:
        self._find(primitive)
        if not callable(rule):
            raise TypeError(f"the {self._what} rule of '{primitive}' must be a function, got {rule!r}")
        setattr(primitive, self._attribute, self._adapted(primitive, rule))

    def __delitem__(self, primitive: Any) -> None:
        if self._find(primitive) is None:
            raise KeyError(primitive)
        setattr(primitive, self._attribute, NoRule(f"'{primitive}' has no {self._what} rule: it was removed"))

    def __iter__(self) -> Iterator[Primitive]:
        return iter([p for p in [*primitives.values(), *made] if self._find(p) is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"<the {self._what} rules of {len(self)} primitives>"


class JvpRules(RuleMap):
    """The mapping `ad.primitive_jvps`."""

    def _adapted(self, primitive: Primitive, rule: Rule) -> Rule:
        primitive.linearize = None  # it would be asked first
        return JvpRule(primitive, rule)

    def __delitem__(self, primitive: Any) -> None:
        super().__delitem__(primitive)
        primitive.linearize = None


class TransposeRules(RuleMap):
    """The mapping `ad.primitive_transposes`."""

    def _adapted(self, primitive: Primitive, rule: Rule) -> Rule:
        return TransposeRule(primitive, rule)


class DceRules(RuleMap):
    """The mapping of rules that make equations smaller: `rule(used_outputs, eqn) -> (used_inputs, new_eqn or None)`."""

    def _adapted(self, primitive: Primitive, rule: Rule) -> Any:
        return EquationRule(rule)

    def _shown(self, primitive: Primitive, kept: Any) -> Rule | None:
        if isinstance(kept, EquationRule):
            return kept.given

        def on_equation(used_outputs: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
            used = tuple(used_outputs)
            if not any(used) and not happens(eqn.effects):
                return [False] * len(eqn.invars), None
            inputs, _, _ = kept(used, **eqn.params)
            return list(inputs), smaller_equation(eqn, used)

        return on_equation

    def __delitem__(self, primitive: Any) -> None:
        super().__delitem__(primitive)
        primitive.dce = None


class BatchRules(RuleMap):
    """The mappings of batching rules, each with rules of one form."""

    def __init__(self, form: str) -> None:
        super().__init__("batch", "batching")
        self._form = form

    def _adapted(self, primitive: Primitive, rule: Rule) -> Rule:
        return BatchRule(primitive, rule, self._form)

    def _shown(self, primitive: Primitive, kept: Rule) -> Rule | None:
        if isinstance(kept, BatchRule):
            return kept.given if kept.form == self._form else None
        if self._form == "fancy":
            return kept
        if self._form == "axis":
            return lambda size, name, _, args, dims, **params: kept(Axis(size, name), args, dims, **params)

        def plain(args: Any, dims: Any, **params: Any) -> tuple[Any, Any]:
            sizes = [shaped(a).shape[d] for a, d in zip(args, dims) if d is not None]
            if not sizes:
                return primitive.bind(*args, **params), None
            found: tuple[Any, Any] = kept(Axis(sizes[0]), list(args), list(dims), **params)
            return found

        return plain

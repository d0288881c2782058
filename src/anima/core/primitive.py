"""Primitives: operations with every rule a transformation may ask for.

Invariant: a primitive is complete when it is made. Each rule is a plain function, or `Missing(reason)`, and
using a missing rule raises that reason. Rules by name:

| rule | signature | ambient trace while it runs |
| --- | --- | --- |
| `shape` | `(*avals, **params) -> aval` (or list of avals) | none |
| `lower` | `(ctx, *operands, **params) -> operand` (or list) | none |
| `jvp` | `(primals, tangents, **params) -> (out, tangent)`; a tangent may be a `Zero` | the enclosing one |
| `transpose` | `(ct, *args, **params) -> list of cotangents or None`; args: values or `Linear` | the enclosing one |
| `batch` | `(axis, args, dims, **params) -> (out, dim)`; a dim may be None | the enclosing one |
| `linearize` | `(primals, tangents, **params) -> (outs, tangents)`; optional, replaces `jvp` in `linearize` | |
| `effects` | `(*avals, **params) -> Effects`; optional | none |
| `dce` | `(used, **params) -> (inputs, outputs, params)`, flags of what a smaller equation has; optional | none |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anima._native import get_trace
from anima.core import hooks
from anima.core.aval import AbstractValue, array_aval
from anima.errors import MissingRuleError

Rule = Callable[..., Any]


class Missing:
    """A rule that an operation does not have, with the reason."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Zero:
    """A (co)tangent known to be zero, of a given aval; no array is made for it."""

    __slots__ = ("aval",)

    def __init__(self, aval: AbstractValue) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Zero({self.aval})"


class Linear:
    """Stands for an operand with respect to which a transpose rule transposes."""

    __slots__ = ("aval",)

    def __init__(self, aval: AbstractValue) -> None:
        self.aval = aval

    @property
    def shape(self) -> tuple[int, ...]:
        return array_aval(self.aval).shape

    @property
    def dtype(self) -> Any:
        return array_aval(self.aval).dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)


class _FirstCall:
    """The eager road of a primitive until its first eager call, which builds the real one."""

    __slots__ = ("primitive",)

    def __init__(self, primitive: Primitive) -> None:
        self.primitive = primitive

    def __call__(self, *args: Any, **params: Any) -> Any:
        self.primitive.eager = hooks.make_eager(self.primitive)
        return self.primitive.eager(*args, **params)


class Primitive:
    """An operation. Make one with the factories of `lax.declare`, or directly for a new kind."""

    __slots__ = (
        "__weakref__",
        "batch",
        "dce",
        "dtypes",
        "eager",
        "effects",
        "jvp",
        "linearize",
        "lower",
        "multiple_results",
        "name",
        "shape",
        "transpose",
    )

    def __init__(
        self,
        name: str,
        *,
        shape: Rule,
        lower: Rule | Missing,
        jvp: Rule | Missing,
        transpose: Rule | Missing,
        batch: Rule | Missing,
        linearize: Rule | None = None,
        effects: Rule | None = None,
        dce: Rule | None = None,
        multiple_results: bool = False,
        dtypes: tuple[str, ...] | None = None,
    ) -> None:
        self.name = name
        self.shape = shape
        self.lower = self._rule("lowering", lower)
        self.jvp = self._rule("forward derivative", jvp)
        self.transpose = self._rule("transpose", transpose)
        self.batch = self._rule("batching", batch)
        self.linearize = linearize
        self.effects = effects
        self.dce = dce
        self.multiple_results = multiple_results
        self.dtypes = dtypes
        self.eager: Callable[..., Any] = _FirstCall(self)
        primitives.setdefault(name, self)

    def _rule(self, what: str, rule: Rule | Missing) -> Rule:
        if not isinstance(rule, Missing):
            return rule
        name, reason = self.name, rule.reason

        def missing(*args: Any, **params: Any) -> Any:
            raise MissingRuleError(f"'{name}' has no {what} rule: {reason}")

        return missing

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the operation to values that already satisfy its dtype rule."""
        trace = get_trace()
        if trace is None:
            return self.eager(*args, **params)
        return trace.process(self, args, params)

    def __repr__(self) -> str:
        return self.name


# Every primitive by name, for tests and tools that walk the operations.
primitives: dict[str, Primitive] = {}

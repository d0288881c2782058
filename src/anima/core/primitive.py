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
| `dce` | `(used, **params) -> (inputs, outputs, params)`, flags of what a smaller equation has, or an `EquationRule`; optional | none |
| `partial` | `(unknown, **params) -> interpreters.partial.Division`, for an operation with programs inside; optional | none |
| `taylor` | `(primals, series, order, **params) -> (outs, out_series)`, for an operation with programs inside; optional | the enclosing one |
| `varying` | `(*avals, **params) -> list of axes, along which each operand is to vary`, where operands do not all vary along the same axes; optional | the recording one |
| `keys` | `(walk, *values, **params) -> values or None`: what the operation does to random keys, for the check of their reuse; optional | none |
| `host` | a `core.host.HostRule`: how NumPy computes it with the same bits; optional | |
| `elementwise` | `(shape, other, params) -> params`, or a program instead: how the operation is performed on arrays of another shape, where each element of a result depends on the operands' at its place alone, to the bit; optional | none |
| `counted` | `(length, number, *operands, **params) -> out, or None`: an operation that makes an array of a shape among its parameters, whose elements depend on their own place: so many elements in one dimension, of which those of its shape are asked for; `number` makes what depends on that shape an operand; optional | the recording one |
| `stage` | `(args, **params) -> (args, params)`: makes Python functions among the parameters programs; optional | the recording one |

`unfused` says that XLA computes an operation by programs of its own, as loops and branches: it joins their results with no loop
over elements, before them or after.

With `remembers`, the shape rule depends on avals, hashable parameters and options alone, and is asked once for each; what
it has said is in `answers`, up to a bound. Not for parameters that hold programs or functions: these would be kept alive.

An operation with a `stage` rule may be bound with users' functions as parameters. Traces that record apply the rule first;
the others pass such functions on to its other rules, which run them or wrap them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import bind_operation, made_by_position, set_trace
from anima.core import hooks
from anima.core.aval import AbstractValue, array_aval
from anima.core.effects import Effects, no_effects
from anima.core.host import HostRule
from anima.errors import MissingRuleError

Rule = Callable[..., Any]


class Missing:
    """A rule that an operation does not have, with the reason."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class NoRule:
    """In the place of a rule that an operation does not have: asked for it, it raises."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.message = message

    def __call__(self, *args: Any, **params: Any) -> Any:
        raise MissingRuleError(self.message)


class Zero:
    """A (co)tangent known to be zero, of a given aval; no array is made for it."""

    __slots__ = ("aval",)

    def __init__(self, aval: AbstractValue) -> None:
        self.aval = aval

    def instantiate(self) -> Any:
        """The array of zeros."""
        return hooks.zeros(self.aval)

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


made_by_position(Zero, "aval")
made_by_position(Linear, "aval")


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

    call_primitive = False  # whether `bind` takes functions, which equations hold as programs
    listed = (
        True  # whether `primitives` has it; those that users make at run time are not kept alive by a list
    )

    __slots__ = (
        "__weakref__",
        "answers",
        "batch",
        "counted",
        "dce",
        "dtypes",
        "eager",
        "effects",
        "elementwise",
        "host",
        "jvp",
        "keys",
        "linearize",
        "lower",
        "multiple_results",
        "name",
        "partial",
        "shape",
        "stage",
        "taylor",
        "transpose",
        "unfused",
        "varying",
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
        partial: Rule | None = None,
        taylor: Rule | None = None,
        stage: Rule | None = None,
        keys: Rule | None = None,
        host: HostRule | None = None,
        elementwise: Rule | None = None,
        counted: Rule | None = None,
        varying: Rule | None = None,
        multiple_results: bool = False,
        unfused: bool = False,
        dtypes: tuple[str, ...] | None = None,
        remembers: bool = False,
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
        self.partial = partial
        self.taylor = taylor
        self.stage = stage
        self.keys = keys
        self.host = host
        self.elementwise = elementwise
        self.counted = counted
        self.varying = varying
        self.multiple_results = multiple_results
        self.unfused = unfused
        self.dtypes = dtypes
        self.answers: dict[Any, AbstractValue] | None = {} if remembers else None
        self.eager: Callable[..., Any] = _FirstCall(self)
        if self.listed:
            primitives.setdefault(name, self)

    def _rule(self, what: str, rule: Rule | Missing) -> Rule:
        if not isinstance(rule, Missing):
            return rule
        return NoRule(f"'{self.name}' has no {what} rule: {rule.reason}")

    # bind(*args, **params): apply the operation to values that already satisfy its dtype rule.
    bind: Callable[..., Any] = bind_operation

    def bind_with_trace(self, trace: Any, args: Sequence[Any], avals: Any, params: dict[str, Any], /) -> Any:
        """`bind`, handled by `trace` (None: eagerly) rather than by the ambient one. `avals`: of `args`, which have them."""
        previous = set_trace(trace)
        try:
            return self.bind(*args, **params)
        finally:
            set_trace(previous)

    def get_bind_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """What `bind` takes, besides operands, to apply an equation with these parameters again."""
        return params

    def abstract_eval(self, *avals: AbstractValue, **params: Any) -> tuple[Any, Effects]:
        """The aval of the result (or a list of avals) for operands of these avals, and the effects."""
        effects = no_effects if self.effects is None else self.effects(*avals, **params)
        return self.shape(*avals, **params), effects

    def impl(self, *args: Any, **params: Any) -> Any:
        """The operation on concrete values, at once, whatever trace is ambient."""
        return self.bind_with_trace(None, args, None, params)

    def __copy__(self) -> Primitive:
        return self  # it is known by identity

    def __deepcopy__(self, memo: Any) -> Primitive:
        return self

    def __repr__(self) -> str:
        return self.name


# Every primitive by name, for tests and tools that walk the operations.
primitives: dict[str, Primitive] = {}

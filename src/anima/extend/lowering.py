"""Lowering rules from outside: what they are called with, and how they are kept.

Invariant: the rule of a primitive for each platform, and the one for all others, are in the `LowerRule` that is the
primitive's `lower`. A rule gets values and returns as many values as the primitive has results; their types are checked, so
that a mistake is reported as the rule's and not as a parse error of the whole program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import CompiledCall
from anima.core.aval import AbstractValue
from anima.core.primitive import NoRule, Primitive
from anima.core.source_info import NameStack
from anima.errors import MissingRuleError
from anima.extend.hlo import as_value, emitting_to
from anima.interpreters.jvp import stage_closed
from anima.lowering.module import Context, ModuleBuilder, Value
from anima.lowering.types import type_of

_GPUS = ("cuda", "rocm")


class ModuleContext:
    """The program that is being lowered.

    Attributes:
      platforms: the one platform that it is for.
      builder: the module under construction.
    """

    __slots__ = ("builder", "platforms")

    def __init__(self, builder: ModuleBuilder) -> None:
        self.builder = builder
        self.platforms: tuple[str, ...] = (builder.platform,)

    def add_keepalive(self, value: Any) -> None:
        """Keep an object alive for as long as the compiled program."""
        self.builder.held.append(value)


class LoweringRuleContext:
    """What a lowering rule is told.

    Attributes:
      avals_in, avals_out: the types of the operands, and those that the results must have.
      module_context: the program around.
      primitive: the primitive that is lowered; None in rules of no primitive.
      context: where operations are written to; `interpreters.mlir.hlo` does it.
    """

    __slots__ = ("avals_in", "avals_out", "context", "module_context", "primitive")

    def __init__(
        self,
        context: Context,
        primitive: Primitive | None,
        avals_in: Sequence[AbstractValue],
        avals_out: Sequence[AbstractValue],
    ) -> None:
        self.context = context
        self.module_context = ModuleContext(context.module)
        self.primitive = primitive
        self.avals_in = list(avals_in)
        self.avals_out = list(avals_out)

    @property
    def platforms(self) -> tuple[str, ...]:
        return self.module_context.platforms

    @property
    def name_stack(self) -> NameStack:
        return NameStack()

    def replace(self, **changes: Any) -> LoweringRuleContext:
        """A copy with other `primitive`, `avals_in` or `avals_out`."""
        fields = {name: getattr(self, name) for name in ("context", "primitive", "avals_in", "avals_out")}
        return LoweringRuleContext(**(fields | changes))


class LowerRule:
    """Users' lowering rules of a primitive, by platform; None stands for all others."""

    __slots__ = ("given", "otherwise", "primitive")

    def __init__(self, primitive: Primitive, otherwise: Callable[..., Any]) -> None:
        self.primitive = primitive
        self.otherwise = otherwise  # what the primitive had before
        self.given: dict[str | None, Callable[..., Any]] = {}

    def __call__(self, ctx: Context, *operands: Value, **params: Any) -> Any:
        platform = ctx.module.platform
        rule = self.given.get(platform)
        if rule is None and platform in _GPUS:
            rule = self.given.get("gpu")
        if rule is None:
            rule = self.given.get(None)
        if rule is None:
            if isinstance(self.otherwise, NoRule):
                raise MissingRuleError(
                    f"'{self.primitive}' has no lowering rule for the platform {platform}: it has those for "
                    f"{', '.join(map(str, self.given))}"
                )
            return self.otherwise(ctx, *operands, **params)
        avals_out = list(ctx.out_avals)
        rule_ctx = LoweringRuleContext(ctx, self.primitive, [v.aval for v in operands], avals_out)
        with emitting_to(ctx):
            found = rule(rule_ctx, *operands, **params)
        values = self._checked(found, avals_out)
        return values if self.primitive.multiple_results else values[0]

    def _checked(self, found: Any, avals: Sequence[AbstractValue]) -> list[Value]:
        items = found if isinstance(found, (list, tuple)) else [found]
        if len(items) != len(avals):
            raise TypeError(
                f"the lowering rule of '{self.primitive}' must return {len(avals)} values, got {len(items)}"
            )
        values = [as_value(item) for item in items]
        for index, (value, aval) in enumerate(zip(values, avals)):
            if value.type != type_of(aval):
                raise TypeError(
                    f"the lowering rule of '{self.primitive}' returned a value of type {value.type} as result {index}, but its "
                    f"abstract evaluation rule gives {type_of(aval)}"
                )
        return values


def register_lowering(
    prim: Primitive,
    rule: Callable[..., Any],
    platform: str | None = None,
    inline: bool = True,
    cacheable: bool = True,
) -> None:
    """Say how an operation is written in StableHLO.

    Args:
      prim: the operation.
      rule: `rule(ctx, *values, **params)` returns a list of values, one for each result. `ctx.avals_in` and
        `ctx.avals_out` are the types; operations are emitted with `mlir.hlo`, or the whole rule is made with `lower_fun`.
      platform: "cpu", "gpu", "cuda", "rocm" or "tpu", if it is for one only.
      inline, cacheable: taken as in JAX; rules are always emitted in place, each time.
    Raises:
      TypeError: `prim` is no primitive, or `rule` no function.

    >>> import anima
    >>> from anima.extend.core import Primitive
    >>> from anima.interpreters import mlir
    >>> half_p = Primitive("half")
    >>> half_p.def_abstract_eval(lambda x: x)  # doctest: +ELLIPSIS
    <function ...>
    >>> mlir.register_lowering(half_p, mlir.lower_fun(lambda x: x / 2, multiple_results=False))
    >>> print(anima.jit(half_p.bind)(3.0))
    1.5
    """
    if not isinstance(prim, Primitive):
        raise TypeError(f"register_lowering: prim must be a primitive, got {prim!r}")
    if not callable(rule):
        raise TypeError(f"register_lowering: rule must be a function, got {rule!r}")
    known = prim.lower
    rules = LowerRule(prim, known.otherwise if isinstance(known, LowerRule) else known)
    rules.given = {**(known.given if isinstance(known, LowerRule) else {}), platform: rule}
    prim.lower = rules
    outside: Any = prim
    if hasattr(outside, "forget_compiled"):
        outside.lowered = True
        outside.forget_compiled()
    elif isinstance(prim.eager, CompiledCall):
        prim.eager.clear_cache()


def lower_fun(fun: Callable[..., Any], multiple_results: bool = True) -> Callable[..., list[Value]]:
    """The lowering rule that emits what a function does.

    Args:
      fun: a function of arrays and the primitive's parameters, written in other operations.
      multiple_results: whether it returns a list of arrays, or one array.
    Returns:
      A rule for `register_lowering`.
    """

    def rule(ctx: LoweringRuleContext, *operands: Any, **params: Any) -> list[Value]:
        def flat(*args: Any) -> Sequence[Any]:
            found = fun(*args, **params)
            return list(found) if multiple_results else [found]

        values = [as_value(v) for v in operands]
        closed = stage_closed(flat, ctx.avals_in, getattr(fun, "__name__", ""))
        return ctx.context.jaxpr(closed.jaxpr, closed.consts, values)

    return rule

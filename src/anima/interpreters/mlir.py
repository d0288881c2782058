"""Lowering to StableHLO, for those who add operations.

Invariant: there are no bindings to MLIR. Programs are text; what JAX represents with their objects are small values here:
a value of the program is a `Value`, with its name, aval and type; a type is an `IrType` made of an aval; an attribute is
an `Attribute`, which is its text. Operations are emitted with `mlir.hlo`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from anima.core.aval import AbstractToken, AbstractValue, ShapedArray
from anima.core.effects import Effect
from anima.core.jaxpr import ClosedJaxpr, Jaxpr
from anima.dtypes import as_dtype, canonicalize_dtype
from anima.extend import hlo as hlo
from anima.extend.hlo import Attribute, IrType, as_aval, as_value, attribute as ir_attribute, current_context
from anima.extend.lowering import (
    LoweringRuleContext,
    ModuleContext,
    lower_fun,
    register_lowering,
)
from anima.lowering.module import LoweredModule as LoweringResult, Value, lower_module
from anima.lowering.types import bool_array, dense, element_type, i64_array
from anima.sharding import Mesh
from anima.transforms.callbacks import pure_callback

__all__ = [
    "Attribute",
    "IrType",
    "LoweringResult",
    "LoweringRule",
    "LoweringRuleContext",
    "Mesh",
    "MeshAxisName",
    "ModuleContext",
    "Value",
    "aval_to_ir_type",
    "aval_to_ir_types",
    "core_call_lowering",
    "dense_bool_array",
    "dense_int_array",
    "dense_int_elements",
    "dtype_to_ir_type",
    "emit_python_callback",
    "flatten_ir_types",
    "flatten_ir_values",
    "hlo",
    "i32_attr",
    "i64_attr",
    "ir_attribute",
    "ir_constant",
    "ir_constants",
    "jaxpr_subcomp",
    "lower_fun",
    "lower_jaxpr_to_module",
    "lowerable_effects",
    "module_to_string",
    "register_lowering",
    "shape_tensor",
    "token_type",
    "unflatten_ir_values_like_types",
]

LoweringRule = Callable[..., Sequence[Any]]
MeshAxisName = Any


class _LowerableEffects:
    """The classes of effects that programs may have when they are lowered: all of them."""

    def add_type(self, effect_type: type[Effect]) -> None:
        """Admit a class of effects; it must be a subclass of `extend.core.Effect`."""
        if not self.contains(effect_type):
            raise TypeError(
                f"lowerable_effects.add_type: {effect_type!r} is no subclass of extend.core.Effect"
            )

    def contains(self, effect_type: object) -> bool:
        """Whether programs with such effects may be lowered."""
        return isinstance(effect_type, type) and issubclass(effect_type, Effect)


lowerable_effects = _LowerableEffects()


def aval_to_ir_type(aval: AbstractValue) -> IrType:
    """The type of a value of this aval.

    >>> from anima.core import ShapedArray
    >>> from anima.interpreters import mlir
    >>> print(mlir.aval_to_ir_type(ShapedArray((2, 3), "float32")))
    tensor<2x3xf32>
    """
    return IrType(as_aval(aval))


def aval_to_ir_types(aval: AbstractValue) -> tuple[IrType, ...]:
    """The types of the values that hold one of this aval: one type."""
    return (aval_to_ir_type(aval),)


def dtype_to_ir_type(dtype: Any) -> str:
    """The element type of a dtype.

    >>> import anima.numpy as np
    >>> from anima.interpreters import mlir
    >>> mlir.dtype_to_ir_type(np.bfloat16)
    'bf16'
    """
    return element_type(as_dtype(dtype))


def token_type() -> IrType:
    """The type of tokens."""
    return IrType(AbstractToken())


def i32_attr(i: int) -> Attribute:
    """An integer attribute of 32 bits.

    >>> from anima.interpreters import mlir
    >>> print(mlir.i32_attr(3))
    3 : i32
    """
    return Attribute(f"{int(i)} : i32")


def i64_attr(i: int) -> Attribute:
    """An integer attribute of 64 bits."""
    return Attribute(f"{int(i)} : i64")


def dense_int_array(xs: Sequence[int]) -> Attribute:
    """An array of integers, as StableHLO wants dimensions.

    >>> from anima.interpreters import mlir
    >>> print(mlir.dense_int_array([0, 2]))
    array<i64: 0, 2>
    """
    return Attribute(i64_array([int(x) for x in xs]))


def dense_bool_array(xs: Sequence[bool]) -> Attribute:
    """An array of booleans."""
    return Attribute(bool_array([bool(x) for x in xs]))


def dense_int_elements(xs: Any) -> Attribute:
    """A constant of 64-bit integers."""
    return Attribute(dense(np.asarray(xs, np.int64)))


def ir_constant(val: Any, *, const_lowering: Any = None, aval: AbstractValue | None = None) -> Value:
    """A number or an array as a value of the program that is lowered; `const_lowering` is taken as in JAX."""
    if aval is None:
        array = np.asarray(val)
        aval = ShapedArray(array.shape, canonicalize_dtype(array.dtype))
    return current_context().constant(val, aval)


def ir_constants(
    val: Any, *, const_lowering: Any = None, aval: AbstractValue | None = None
) -> tuple[Value, ...]:
    """`ir_constant` in a tuple."""
    return (ir_constant(val, aval=aval),)


def shape_tensor(ctx: LoweringRuleContext, sizes: Sequence[int]) -> Value:
    """Dimensions as a one-dimensional value of 32-bit integers."""
    return ctx.context.constant(np.asarray(sizes, np.int32))


def flatten_ir_values(xs: Iterable[Any]) -> list[Value]:
    """The values in a list of values and of sequences of them."""
    return [as_value(v) for x in xs for v in (x if isinstance(x, (list, tuple)) else (x,))]


def flatten_ir_types(xs: Iterable[Any]) -> list[IrType]:
    """The types in a list of types and of sequences of them."""
    return [t for x in xs for t in (x if isinstance(x, (list, tuple)) else (x,))]


def unflatten_ir_values_like_types(xs: Iterable[Any], ys: Sequence[Any]) -> list[Any]:
    """Values grouped as the types `ys` are: a tuple where there is a sequence of types.

    Raises:
      ValueError: there are too few or too many values.
    """
    given = iter(list(xs))
    try:
        found = [tuple([next(given) for _ in y]) if isinstance(y, (list, tuple)) else next(given) for y in ys]
    except StopIteration:
        raise ValueError("unflatten_ir_values_like_types: there are fewer values than types") from None
    if (left := len(list(given))) > 0:
        raise ValueError(f"unflatten_ir_values_like_types: there are {left} more values than types")
    return found


def jaxpr_subcomp(ctx: LoweringRuleContext, jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Value]:
    """Emit a program in place.

    Args:
      ctx: the context of the rule that runs.
      jaxpr: the program.
      consts: the arrays that its constvars stand for.
      args: its operands.
    """
    return ctx.context.jaxpr(jaxpr, consts, [as_value(a) for a in args])


def core_call_lowering(
    ctx: LoweringRuleContext, *args: Any, name: str, backend: Any = None, call_jaxpr: ClosedJaxpr
) -> list[Value]:
    """The lowering rule of a call: the program becomes a function, shared by all who call it; `backend` is not looked at."""
    return ctx.context.call(call_jaxpr, [as_value(a) for a in args], name)


def emit_python_callback(
    ctx: LoweringRuleContext,
    callback: Callable[..., Sequence[Any]],
    token: Any,
    operands: Sequence[Any],
    operand_avals: Sequence[AbstractValue],
    result_avals: Sequence[AbstractValue],
    *,
    has_side_effect: bool = False,
    **options: Any,
) -> tuple[list[Value], Any, None]:
    """Emit a call of a Python function.

    Args:
      callback: a function of NumPy arrays that returns a sequence of them.
      token: handed back as it is: an operation with effects says so in its abstract evaluation rule.
      operands, operand_avals: its arguments and their types.
      result_avals: what it returns.
      has_side_effect, options: taken as in JAX. The call happens if its results are used, or the operation has an effect.
    Returns:
      (values, token, None): JAX's third is an object to keep alive, which the program does by itself.
    """
    inner = ctx.replace(avals_in=list(operand_avals), avals_out=list(result_avals))
    rule = lower_fun(lambda *xs: pure_callback(lambda *ys: tuple(callback(*ys)), tuple(result_avals), *xs))
    return rule(inner, *operands), token, None


def lower_jaxpr_to_module(
    module_name: str, jaxpr: ClosedJaxpr, *, platforms: Sequence[str] = ("cpu",), **options: Any
) -> LoweringResult:
    """A program as a module of StableHLO.

    Args:
      module_name: what to call it.
      jaxpr: the program.
      platforms: the platform that it is for: one.
      options: `partitions`, `arg_attrs`, `result_attrs`, `exported`, `debug_info`.

    >>> import anima
    >>> from anima.interpreters import mlir
    >>> lowered = mlir.lower_jaxpr_to_module("f", anima.make_jaxpr(anima.lax.sin)(1.0))
    >>> "stablehlo.sine" in mlir.module_to_string(lowered)
    True
    """
    if len(platforms) != 1:
        raise ValueError(f"lower_jaxpr_to_module: a module is for one platform, got {list(platforms)}")
    return lower_module(jaxpr, name=module_name, platform=platforms[0], **options)


def module_to_string(module: LoweringResult) -> str:
    """The text of a module."""
    return module.text

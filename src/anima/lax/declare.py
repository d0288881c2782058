"""Factories for operations: each states a family's common rules once, so that an operation is a few lines.

Invariant: a primitive's operands already have equal dtypes and shapes where its family says so; the public
functions see to that with `operand` and `operands`. The rules that a factory is given:

* a derivative `d(t, ans, *xs, **params)` gives the output tangent due to one input tangent `t`;
* a cotangent rule `c(ct, *xs, **params)` gives one input's cotangent, `xs` holding `Linear` for the
  operands that are transposed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl
from anima.core import hooks
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.host import HostRule
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Missing, Primitive, Zero, primitives
from anima.core.trace import Tracer, aval_of, get_trace, shaped
from anima.dtypes.declared import BY_NAME
from anima.errors import ArgumentError
from anima.interpreters.batch import Axis
from anima.interpreters.jvp import stage_closed
from anima.interpreters.key_reuse import moved
from anima.interpreters.stage import unplaced
from anima.interpreters.zeros import add as add_zeros
from anima.lowering.module import Context, ModuleBuilder, Value

BOOL = ("bool",)
SIGNED = ("int2", "int4", "int8", "int16", "int32", "int64")
UNSIGNED = ("uint2", "uint4", "uint8", "uint16", "uint32", "uint64")
INTEGER = SIGNED + UNSIGNED
SUBBYTE: tuple[str, ...] = ("int2", "int4", "uint2", "uint4", "float4_e2m1fn")
FLOAT8 = ("float4_e2m1fn", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")  # fmt: skip
FLOAT = (*FLOAT8, "bfloat16", "float16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
INEXACT = FLOAT + COMPLEX
NUMERIC = INTEGER + INEXACT
ANY = BOOL + NUMERIC

Derivative = Callable[..., Any]


_PLAIN = (Tracer, ArrayImpl, bool, int, float, complex)


def operand(value: Any) -> Any:
    """`value` as an operand: arrays, tracers, and NumPy and Python scalars pass, lists and other objects raise."""
    if type(value) is ArrayImpl or isinstance(value, _PLAIN):
        return value
    convert = getattr(value, "__jax_array__", None)
    if convert is not None:
        return operand(convert())
    return value if get_trace() is None else _checked(value)


def _checked(value: Any) -> Any:
    aval_of(value)
    return value


_accepted: set[tuple[str, str, Any]] = set()


def check_dtype(name: str, aval: ShapedArray, accepted: tuple[str, ...], which: str = "") -> None:
    """Raise ArgumentError unless `aval` has one of the accepted dtypes (fixed for each `name` and `which`)."""
    dtype = aval.dtype
    if (name, which, dtype) in _accepted:  # spelling a dtype's name costs ten times this look-up
        return
    if isinstance(dtype, np.dtype) and dtype.name in accepted:
        _accepted.add((name, which, dtype))
    else:
        of = f" for argument {which}" if which else ""
        raise ArgumentError(
            f"{_public(name)} does not accept dtype {dtypes.dtype_name(dtype)}{of}; it accepts {_summary(accepted)}"
        )


def _summary(accepted: tuple[str, ...]) -> str:
    groups = (("bool", BOOL), ("signed integers", SIGNED), ("unsigned integers", UNSIGNED), ("floating point", ("float32",)), ("complex", ("complex64",)))  # fmt: skip
    return ", ".join(word for word, names in groups if set(names) <= set(accepted)) or ", ".join(accepted)


# ---------------------------------------------------------------------------------------------
# Rules that families share.


class SharedRule:
    """A rule that serves many primitives: `declare` gives it the one at hand as a further first argument."""

    __slots__ = ("rule",)

    def __init__(self, rule: Callable[..., Any]) -> None:
        self.rule = rule

    def __call__(self, primitive: Primitive, *args: Any, **params: Any) -> Any:
        return self.rule(primitive, *args, **params)


def jvp_of(*derivatives: Derivative | None) -> SharedRule:
    """A `jvp` rule from one derivative an operand (None: the operand carries no tangent)."""

    def rule(
        primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
    ) -> tuple[Any, Any]:
        ans = primitive.bind(*primals, **params)
        total: Any = None
        for derivative, tangent in zip(derivatives, tangents):
            if derivative is None or type(tangent) is Zero:
                continue
            term = derivative(tangent, ans, *primals, **params)
            total = term if total is None else add_zeros(total, term)
        return ans, Zero(aval_of(ans).tangent_aval()) if total is None else total

    return SharedRule(rule)


def _jvp_linear(
    primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    """The `jvp` rule of an operation that is linear in its first operand and uses the others as constants."""
    ans = primitive.bind(*primals, **params)
    if type(tangents[0]) is Zero:
        return ans, Zero(aval_of(ans).tangent_aval())
    return ans, primitive.bind(tangents[0], *primals[1:], **params)


jvp_linear: SharedRule = SharedRule(_jvp_linear)


@SharedRule
def no_tangent(
    primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    """The `jvp` rule of an operation that is constant almost everywhere."""
    ans = primitive.bind(*primals, **params)
    if primitive.multiple_results:
        return ans, [Zero(aval_of(a).tangent_aval()) for a in ans]
    return ans, Zero(aval_of(ans).tangent_aval())


@SharedRule
def batch_elementwise(
    primitive: Primitive, axis: Axis, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[Any, Any]:
    """The `batch` rule of an operation on equally shaped operands, of which some may be constant scalars."""
    # Where places differ, the last is taken: values that it was carried to by stacking go on as they are.
    place = max([d for d in dims if d is not None])
    if any([d != place for d in dims]):
        args = [
            a if d == place
            else hooks.move_axis(a, d, place) if d is not None
            else a if is_scalar_constant(a)
            else hooks.broadcast_batch(a, axis.size, place)
            for a, d in zip(args, dims)
        ]  # fmt: skip
    out = primitive.bind(*args, **params)
    return (out, [place] * len(out)) if primitive.multiple_results else (out, place)


def is_scalar_constant(value: Any) -> bool:
    """Whether an elementwise primitive takes `value` beside operands of any shape: a concrete scalar.

    Such an operand has no tangent and no mapped axis, so derivative, transpose and batching rules see none
    but constants of another shape than the result's.
    """
    return not isinstance(value, Tracer) and shaped(value).shape == ()


def declare(name: str, **rules: Any) -> Primitive:
    """A primitive with these rules; shared ones learn which primitive they serve."""
    primitive = Primitive(name, **rules)
    for key, rule in rules.items():
        if isinstance(rule, SharedRule):
            setattr(primitive, key, partial(rule.rule, primitive))
    return primitive


def lowered_by(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A lowering rule that emits the operations which `fun(*operands, **params)` performs."""

    def lower(ctx: Context, *operands: Value, **params: Any) -> Any:
        single = True

        def flat(*xs: Any) -> Sequence[Any]:
            nonlocal single
            out = fun(*xs, **params)
            single = not isinstance(out, (list, tuple))
            return [out] if single else out

        closed = stage_closed(flat, [v.aval for v in operands], "", unplaced)
        outs = ctx.jaxpr(closed.jaxpr, closed.consts, operands)
        return outs[0] if single else outs

    return lower


def widening(narrow: tuple[str, ...], lower: Callable[..., Any]) -> Callable[..., Any]:
    """The lowering rule `lower`, with operands and results of the dtypes `narrow` handled as bytes or as float32.

    It is for dtypes that the compiler does not manage in some operation.
    """

    few = frozenset([BY_NAME[name] for name in narrow if name in BY_NAME])

    def is_narrow(aval: AbstractValue) -> bool:
        return aval.dtype in few  # type: ignore[attr-defined]

    def wide(aval: Any) -> ShapedArray:
        kind = {"b": np.uint8, "i": np.int8, "u": np.uint8, "f": np.float32}[
            dtypes.kind_of(aval.dtype) or "f"
        ]
        return ShapedArray(aval.shape, np.dtype(kind))

    # Both conversions stand behind fences, or the compiler would move them past the operation, back to the narrow dtype.

    def widened(ctx: Context, x: Value) -> Value:
        y = ctx.op("stablehlo.convert", (x,), wide(x.aval))
        return ctx.op("stablehlo.optimization_barrier", (y,), y.aval)

    def narrowed(ctx: Context, y: Value, aval: AbstractValue) -> Value:
        y = ctx.op("stablehlo.optimization_barrier", (y,), y.aval)
        return ctx.op("stablehlo.convert", (y,), aval)

    def rule(ctx: Context, *operands: Value, **params: Any) -> Any:
        for operand in operands:
            if operand.dtype in few:
                break
        else:
            return lower(ctx, *operands, **params)
        outs = list(ctx.out_avals)
        given = [widened(ctx, v) if is_narrow(v.aval) else v for v in operands]
        ctx.out_avals = [wide(a) if is_narrow(a) else a for a in outs]
        results = lower(ctx, *given, **params)
        several = isinstance(results, list)
        back = [
            narrowed(ctx, v, a) if is_narrow(a) else v
            for v, a in zip(results if several else [results], outs)
        ]
        return back if several else back[0]

    return rule


def traced_region(ctx: Context, fun: Callable[..., Sequence[Any]], avals: Sequence[AbstractValue]) -> str:
    """A region whose block performs `fun` on arguments of the given avals; it may use nothing else."""
    closed = stage_closed(fun, avals, "", unplaced)
    return ctx.region(avals, lambda inner, args: inner.jaxpr(closed.jaxpr, closed.consts, args))


def combining_region(ctx: Context, operation: str, dtype: Any) -> str:
    """A region whose block combines two scalars of a dtype by a binary operation."""
    if ctx.module.debug_info:
        return _combining(ctx, operation, dtype)
    return _combining_text(operation, dtype, ctx.module.platform, ctx.module.partitions, ctx.module.exported)


def _combining(ctx: Context, operation: str, dtype: Any) -> str:
    closed = _combination(operation, dtype)
    return ctx.region(closed.in_avals, lambda inner, args: inner.jaxpr(closed.jaxpr, closed.consts, args))


@functools.lru_cache(1024)
def _combining_text(operation: str, dtype: Any, platform: str, partitions: int, exported: bool) -> str:
    """`_combining`, written once: its values have names of their own, which no function's values have."""
    ctx = Context(ModuleBuilder("region", platform, partitions, exported))
    return _combining(ctx, operation, dtype).replace("%", "%r")


@functools.cache
def _combination(operation: str, dtype: Any) -> ClosedJaxpr:
    """The program of `combining_region`, made once: it depends on nothing else, and most reductions have the same."""
    scalar = ShapedArray((), dtype)
    return stage_closed(lambda a, b: [primitives[operation].bind(a, b)], [scalar, scalar], "", unplaced)


def same_shapes(name: str, avals: Sequence[ShapedArray]) -> tuple[int, ...]:
    """The common shape of the operands; scalars fit any.

    Raises:
      ArgumentError: they differ.
    """
    shape = avals[0].shape
    for aval in avals[1:]:
        if aval.shape != shape and aval.shape:
            if shape:
                shapes = ", ".join(str(a.shape) for a in avals)
                raise ArgumentError(
                    f"lax.{_public(name)} requires arguments of equal shapes, or of equal rank with sizes of 1 where they "
                    f"differ, or scalars, got {shapes}{_tip(name, 'broadcasts its arguments')}"
                )
            shape = aval.shape
    return shape


def same_dtypes(name: str, avals: Sequence[ShapedArray]) -> Any:
    """The common dtype of the operands.

    Raises:
      TypeError: they differ.
    """
    dtype = avals[0].dtype
    for aval in avals[1:]:
        if aval.dtype != dtype:
            names = ", ".join(dtypes.dtype_name(a.dtype) for a in avals)
            advice = _tip(name, "is a similar function that promotes its arguments")
            raise TypeError(
                f"lax.{_public(name)} requires arguments to have the same dtypes, got {names}"
                f"{advice or '; convert them with lax.convert_element_type'}"
            )
    return dtype


# What numpy has instead of an operation.
_NUMPY_NAME = {
    "add": "add", "nextafter": "nextafter", "stack": "stack", "concatenate": "concatenate",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "max": "maximum", "min": "minimum",
    "sub": "subtract", "mul": "multiply", "div": "divide", "rem": "fmod", "pow": "power", "atan2": "arctan2",
    "clamp": "clip", "select_n": "where", "shift_left": "left_shift", "shift_right_arithmetic": "right_shift",
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
}  # fmt: skip


def _public(name: str) -> str:
    """The function of `lax` that applies an operation."""
    return f"bitwise_{name}" if name in ("and", "or", "xor") else name


def _tip(name: str, what: str) -> str:
    return f". (Tip: numpy.{_NUMPY_NAME[name]} {what})" if name in _NUMPY_NAME else ""


# ---------------------------------------------------------------------------------------------
# Elementwise families.

OutDtype = Callable[[Any], Any]


def elementwise(
    name: str,
    hlo: str | Callable[..., Value],
    arity: int,
    accepts: tuple[str, ...],
    *,
    derivatives: Sequence[Derivative | None] | Missing | None,
    transpose: Callable[..., Any] | Missing | None = None,
    out_dtype: OutDtype | None = None,
    host: HostRule | None = None,
    shapeless: bool = True,
    at_once: Callable[..., Value | None] | None = None,
) -> Primitive:
    """An operation on `arity` operands of one dtype and shape; any may be a constant scalar instead.

    Args:
      hlo: the StableHLO operation, or a lowering rule for one that needs more than that.
      accepts: names of the dtypes it takes.
      derivatives: one an operand, or None if the result is constant almost everywhere.
      transpose: for operations linear in some operand.
      out_dtype: the result's dtype from the operands' (default: the same).
      host: how NumPy computes it with the same bits, if it does.
      shapeless: whether its results have the same bits in arrays of every shape. Not those of loops that go on until the last
        element is done, nor those that the compiler refines in vectors.
      at_once: a lowering rule that is asked first, before constant scalars are broadcast: what makes the result together with
        an operand, or None.
    """

    def lower(ctx: Context, *operands: Value, **params: Any) -> Value:
        if at_once is not None and (made := at_once(ctx, *operands)) is not None:
            return made
        if arity > 1:
            operands = spread(ctx, operands)
        return ctx.op(hlo, operands) if isinstance(hlo, str) else hlo(ctx, *operands, **params)

    if isinstance(derivatives, Missing):
        jvp: Any = derivatives
    else:
        jvp = no_tangent if derivatives is None else jvp_of(*derivatives)
    return declare(
        name,
        shape=_elementwise_shape(name, arity, accepts, out_dtype),
        lower=lower,
        jvp=jvp,
        transpose=transpose or Missing("it is not linear"),
        batch=batch_elementwise,
        host=host,
        elementwise=unchanged if shapeless else None,
        dtypes=accepts,
        remembers=True,
    )


def _elementwise_shape(
    name: str, arity: int, accepts: tuple[str, ...], out_dtype: OutDtype | None
) -> Callable[..., ShapedArray]:
    def shape(*avals: ShapedArray, **params: Any) -> ShapedArray:
        first = avals[0]
        if arity > 1:
            same_dtypes(name, avals)
        check_dtype(name, first, accepts)
        weak = all([a.weak_type for a in avals])
        dims = first.shape if arity == 1 else same_shapes(name, avals)
        dtype = first.dtype if out_dtype is None else out_dtype(first.dtype)
        for aval in avals:  # most results are like an operand
            if (
                dims is aval.shape
                and dtype is aval.dtype
                and weak is aval.weak_type
                and aval.given_sharding is None
                and not aval.varying
            ):
                return aval
        return ShapedArray(dims, dtype, weak)

    return shape


def unchanged(shape: tuple[int, ...], other: tuple[int, ...], params: dict[str, Any]) -> dict[str, Any]:
    """The `elementwise` rule of an operation whose parameters say nothing of shapes."""
    return params


def spread(ctx: Context, operands: tuple[Value, ...]) -> tuple[Value, ...]:
    """The operands with constant scalars broadcast to the shape of the result."""
    out = ctx.out_avals[0]
    assert isinstance(out, ShapedArray)
    shape = out.shape
    for operand in operands:
        if operand.shape != shape:
            return tuple([v if v.shape == shape else broadcast_value(ctx, v, shape) for v in operands])
    return operands


def comparison(direction: str, dtype: Any, total: bool = False) -> str:
    """The attributes of a comparison. Without its type, the compiler takes constants for unsigned when it folds them."""
    kind = dtypes.kind_of(dtype)
    form = "SIGNED" if kind == "i" else "UNSIGNED" if kind in ("u", "b") or kind is None else "FLOAT"
    form = "TOTALORDER" if total and form == "FLOAT" else form
    return (
        f"comparison_direction = #stablehlo<comparison_direction {direction}>, "
        f"compare_type = #stablehlo<comparison_type {form}>"
    )


def broadcast_value(ctx: Context, scalar: Value, shape: tuple[int, ...]) -> Value:
    """A scalar broadcast to a shape, while lowering."""
    aval = ShapedArray(shape, scalar.dtype)
    return ctx.op("stablehlo.broadcast_in_dim", (scalar,), aval, "broadcast_dimensions = array<i64>")


def direct(hlo: str) -> Callable[..., Value]:
    """The lowering rule that is one operation."""

    def lower(ctx: Context, *operands: Value) -> Value:
        return ctx.op(hlo, operands)

    return lower


def by_kind(real: Callable[..., Value], complex_: Callable[..., Value]) -> Callable[..., Value]:
    """The lowering rule that is `real` or `complex_`, by the dtype of the first operand."""

    def lower(ctx: Context, *operands: Value, **params: Any) -> Value:
        return (complex_ if dtypes.is_complex(operands[0].dtype) else real)(ctx, *operands, **params)

    return lower


def in_float32(lower: Callable[..., Value]) -> Callable[..., Value]:
    """The lowering rule that computes in float32 on narrower operands, where each inner step would round otherwise."""

    def wider(ctx: Context, *operands: Value, **params: Any) -> Value:
        dtype = operands[0].dtype
        if not dtypes.is_float(dtype) or dtypes.itemsize_bits(dtype) >= 32:
            return lower(ctx, *operands, **params)
        out = ctx.out_avals[0]
        wide = ShapedArray(operands[0].shape, dtypes.float32)
        converted = [ctx.op("stablehlo.convert", (v,), wide) for v in operands]
        ctx.out_avals = [wide]
        return ctx.op("stablehlo.convert", (lower(ctx, *converted, **params),), out)

    return wider


def by_formula(fun: Callable[..., Any], start: str | None = None) -> Callable[..., Value]:
    """A lowering rule that is an expression in other operations of `lax`.

    Args:
      fun: of the operands and parameters.
      start: a StableHLO operation whose result is given to `fun` as a further operand, to be refined.
    """

    def lower(ctx: Context, *operands: Value, **params: Any) -> Value:
        if start is not None:
            operands = (*operands, ctx.op(start, operands, operands[0].aval))
        avals = [v.aval for v in operands]
        closed = stage_closed(lambda *xs: [fun(*xs, **params)], avals, fun.__name__, unplaced)
        return ctx.jaxpr(closed.jaxpr, closed.consts, operands)[0]

    return lower


def unary(
    name: str,
    hlo: str | Callable[..., Value],
    accepts: tuple[str, ...],
    derivative: Derivative | Missing | None,
    **more: Any,
) -> Primitive:
    """An elementwise operation on one operand."""
    many = derivative if isinstance(derivative, Missing) or derivative is None else [derivative]
    return elementwise(name, hlo, 1, accepts, derivatives=many, **more)


def unary_linear(
    name: str, hlo: str | Callable[..., Value], accepts: tuple[str, ...], **more: Any
) -> Primitive:
    """An elementwise operation that is its own derivative and transpose, like negation."""

    def derivative(t: Any, ans: Any, x: Any, **params: Any) -> Any:
        return primitive.bind(t, **params)

    def transpose(ct: Any, x: Any, **params: Any) -> list[Any]:
        return [primitive.bind(ct, **params)]

    primitive = elementwise(name, hlo, 1, accepts, derivatives=[derivative], transpose=transpose, **more)
    return primitive


def binary(
    name: str,
    hlo: str | Callable[..., Value],
    accepts: tuple[str, ...],
    derivatives: tuple[Derivative | None, Derivative | None] | Missing | None,
    **more: Any,
) -> Primitive:
    """An elementwise operation on two operands."""
    return elementwise(name, hlo, 2, accepts, derivatives=derivatives, **more)


def structural(
    name: str,
    *,
    shape: Callable[..., ShapedArray],
    lower: Callable[..., Value],
    transpose: Callable[..., Any],
    batch: Callable[..., Any],
    accepts: tuple[str, ...] = ANY,
    host: HostRule | None = None,
    elementwise: Callable[..., Any] | None = None,
) -> Primitive:
    """A data movement that is linear in its first operand: reshape, slice, transpose, ..."""
    return declare(
        name,
        shape=shape,
        lower=lower,
        jvp=jvp_linear,
        transpose=transpose,
        batch=batch,
        keys=moved,
        host=host,
        elementwise=elementwise,
        dtypes=accepts,
        remembers=True,
    )


def is_linear(value: Any) -> bool:
    """Whether a transpose rule is asked for the cotangent of this operand."""
    return type(value) is Linear

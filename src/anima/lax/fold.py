"""The general reduction: by a function of the user's, on several arrays at once.

Invariant: the function is associative and the initial values change nothing when combined, as the user promises;
under that promise every order of combination is right, and the rules here choose their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import tree
from anima.core.aval import ShapedArray
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Literal
from anima.core.primitive import Missing, Zero, primitives
from anima.core.trace import Tracer, aval_of, shaped
from anima.interpreters.batch import Axis, batch_flat, to_axis
from anima.interpreters.jvp import jvp_flat
from anima.lax.declare import ANY, declare, operand as as_operand
from anima.lax.inner import inner_program
from anima.lax.joining import concatenate
from anima.lax.operands import match_dtypes
from anima.lax.reductions import identity, reduced_shape
from anima.lax.shape import (
    broadcast_in_dim,
    check_axes,
    dtype_of,
    refuse_out_sharding,
    reshape,
    shape_of,
    transpose,
)
from anima.lax.slicing import slice_in_dim
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array


def _fold_shape(*avals: ShapedArray, jaxpr: ClosedJaxpr, dimensions: tuple[int, ...]) -> list[ShapedArray]:
    xs, inits = avals[: len(avals) // 2], avals[len(avals) // 2 :]
    if any(x.shape != xs[0].shape for x in xs):
        raise TypeError(f"reduce: operands must have equal shapes, got {', '.join(str(x.shape) for x in xs)}")
    if any(init.shape for init in inits):
        raise ValueError(f"reduce: init_values must be scalars, got {', '.join(map(str, inits))}")
    shape = reduced_shape("reduce", xs[0], dimensions)
    return [ShapedArray(shape, x.dtype, x.weak_type and init.weak_type) for x, init in zip(xs, inits)]


def _fold_lower(
    ctx: Context, *operands: Value, jaxpr: ClosedJaxpr, dimensions: tuple[int, ...]
) -> list[Value]:
    outs = list(ctx.out_avals)
    body = ctx.region(jaxpr.in_avals, lambda inner, args: inner.jaxpr(jaxpr.jaxpr, jaxpr.consts, args))
    return ctx.ops("stablehlo.reduce", operands, outs, f"dimensions = {i64_array(dimensions)}", [body])


def _by_halves(jaxpr: ClosedJaxpr, dimensions: tuple[int, ...], operands: Sequence[Any]) -> list[Any]:
    """The same reduction by elementwise operations: the first half with the second, until one element is left."""
    xs, inits = operands[: len(operands) // 2], operands[len(operands) // 2 :]
    shape = shape_of(xs[0])
    kept = [d for d in range(len(shape)) if d not in dimensions]
    rest = tuple(shape[d] for d in kept)
    size = math.prod(shape[d] for d in dimensions)
    width = math.prod(rest)
    arrays = [reshape(transpose(x, (*dimensions, *kept)), (size, width)) for x in xs]
    while size > 1:
        half = size // 2
        lower = [slice_in_dim(a, 0, half) for a in arrays]
        upper = [slice_in_dim(a, half, 2 * half) for a in arrays]
        merged = _combine(jaxpr, lower, upper)
        if size % 2:
            merged = [concatenate([m, slice_in_dim(a, size - 1, size)], 0) for m, a in zip(merged, arrays)]
        arrays, size = merged, half + size % 2
    starts = [broadcast_in_dim(init, (1, width), ()) for init in inits]
    results = _combine(jaxpr, starts, arrays) if size else starts
    return [reshape(r, rest) for r in results]


def _combine(jaxpr: ClosedJaxpr, a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    """The function of scalars, applied to the elements of arrays of one shape."""
    shape = shape_of(a[0])
    size = math.prod(shape)
    flat = [reshape(x, (size,)) for x in (*a, *b)]
    run = lambda *xs: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *xs)
    outs, dims = batch_flat(run, Axis(size), flat, [0] * len(flat))
    return [reshape(to_axis(out, d, 0, size), shape) for out, d in zip(outs, dims)]


def _fold_jvp(
    primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, dimensions: tuple[int, ...]
) -> tuple[Any, Any]:
    ans = reduce_p.bind(*primals, jaxpr=jaxpr, dimensions=dimensions)
    if all(type(t) is Zero for t in tangents):
        return ans, [Zero(aval_of(a).tangent_aval()) for a in ans]
    _, out_tangents = jvp_flat(lambda *xs: _by_halves(jaxpr, dimensions, xs), primals, tangents)
    return ans, out_tangents


def _fold_batch(
    axis: Axis, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, dimensions: tuple[int, ...]
) -> tuple[Any, Any]:
    half = len(args) // 2
    if any(d is not None for d in dims[half:]):  # XLA's initial values are scalars
        return batch_flat(lambda *xs: _by_halves(jaxpr, dimensions, xs), axis, args, dims)
    xs = [to_axis(x, d, 0, axis.size) for x, d in zip(args[:half], dims)]
    moved = tuple(d + 1 for d in dimensions)
    return reduce_p.bind(*xs, *args[half:], jaxpr=jaxpr, dimensions=moved), [0] * half


reduce_p = declare(
    "reduce",
    shape=_fold_shape,
    lower=_fold_lower,
    jvp=_fold_jvp,
    transpose=Missing("it is not linear"),
    batch=_fold_batch,
    multiple_results=True,
    dtypes=ANY,
)

_MONOIDS = {name: f"reduce_{name}" for name in ("max", "min", "and", "or", "xor")} | {
    "add": "reduce_sum",
    "mul": "reduce_prod",
}


def reduce(
    operands: Any,
    init_values: Any,
    computation: Callable[[Any, Any], Any],
    dimensions: Sequence[int],
    out_sharding: Any = None,
) -> Any:
    """Elements combined by a function over some dimensions.

    Args:
      operands: an array, or a pytree of arrays of one shape.
      init_values: a scalar, or a like pytree of them; they must change nothing when combined with an element.
      computation: from two such scalars (or pytrees) to one; associative. It must not use traced values or arrays from
        outside.
      dimensions: the dimensions to reduce; distinct and not negative.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      The results, in the structure of `operands`.
    Raises:
      TypeError: dtypes, shapes or structures do not fit. ValueError: a dimension is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.reduce(lax.iota("int32", 5), 0, lax.add, (0,)))
    10
    """
    refuse_out_sharding("reduce", out_sharding)
    leaves, structure = tree.flatten(operands)
    init_leaves, init_structure = tree.flatten(init_values)
    if not leaves or structure != init_structure:
        raise TypeError(
            f"reduce: operands and init_values must have the same structure, got {structure} and {init_structure}"
        )
    xs = [as_operand(x) for x in leaves]
    axes = check_axes("reduce", dimensions, len(shape_of(xs[0])), "dimensions")
    jaxpr = scalar_program("reduce", computation, structure, [aval_of(x) for x in xs])
    operation = monoid_of(jaxpr.jaxpr, xs)
    inits = [initial("reduce", x, as_operand(init), operation) for x, init in zip(xs, init_leaves)]
    if operation is None:
        return tree.unflatten(structure, reduce_p.bind(*xs, *inits, jaxpr=jaxpr, dimensions=axes))
    result = primitives[_MONOIDS[operation]].bind(xs[0], axes=axes)
    if not is_identity(operation, inits[0]):
        shape = shape_of(result)
        start = broadcast_in_dim(inits[0], shape, ()) if shape else inits[0]
        result = primitives[operation].bind(start, result)
    return tree.unflatten(structure, [result])


def initial(name: str, x: Any, init: Any, operation: str | None) -> Any:
    """The initial value of a reduction of `x` by an operation, or by another function (None).

    A number takes the dtype of `x`, and so does what is known to change nothing.

    Raises:
      ValueError: it is no scalar. TypeError: it is of another dtype. OverflowError: it is an integer that does not fit.
    """
    aval, x_aval = shaped(init), shaped(x)
    if aval.shape:
        raise ValueError(f"{name}: each initial value must be a scalar, got one of shape {aval.shape}")
    if aval.dtype == x_aval.dtype:
        return init
    try:
        return match_dtypes(name, (x, init), [x_aval.strip_weak_type(), aval])[1]
    except TypeError:
        if operation is not None and is_identity(operation, init):
            return np.asarray(identity(operation, x_aval.dtype)).astype(x_aval.dtype)
        raise TypeError(
            f"{name}: initial values must have the operands' dtypes, got {aval} for {x_aval}"
        ) from None


def scalar_program(
    name: str, computation: Callable[[Any, Any], Any], structure: Any, avals: Sequence[Any]
) -> ClosedJaxpr:
    """The program of the argument `computation` of the operation `name`, on scalars of the operands' dtypes.

    Raises:
      TypeError: it does not return what it must.
    """
    scalars = [ShapedArray((), a.dtype) for a in avals]

    def flat(*xs: Any) -> Sequence[Any]:
        a, b = (tree.unflatten(structure, part) for part in (xs[: len(avals)], xs[len(avals) :]))
        leaves, out_structure = tree.flatten(computation(a, b))
        if out_structure != structure:
            raise TypeError(
                f"{name}: computation must return the structure of its arguments, {structure}, got {out_structure}"
            )
        return [as_operand(leaf) for leaf in leaves]

    program = inner_program(name, "computation", computation, flat, [*scalars, *scalars], structure)
    for out, scalar in zip(program.out_avals, scalars):
        if out.shape or out.dtype != scalar.dtype:  # type: ignore[attr-defined]
            raise TypeError(
                f"{name}: computation must return scalars of the operands' dtypes, got {out} for {scalar}"
            )
    return program


def monoid_of(jaxpr: Jaxpr, xs: Sequence[Any]) -> str | None:
    """The operation whose reduction this is, if it is one of those that have derivatives and lowerings of their own."""
    if len(xs) != 1 or len(jaxpr.eqns) != 1:
        return None
    (eqn,) = jaxpr.eqns
    name = eqn.primitive.name
    if (
        name not in _MONOIDS
        or isinstance(jaxpr.outvars[0], Literal)
        or jaxpr.outvars[0] is not eqn.outvars[0]
    ):
        return None
    if any(isinstance(a, Literal) for a in eqn.invars) or {*eqn.invars} != {*jaxpr.invars}:
        return None
    return name if dtype_of(xs[0]).name in (primitives[_MONOIDS[name]].dtypes or ()) else None


def is_identity(operation: str, init: Any) -> bool:
    """Whether an initial value is known to change nothing when combined by an operation."""
    if isinstance(init, Tracer):
        return False
    value = np.asarray(init)
    neutral = np.asarray(identity(operation, value.dtype)).astype(value.dtype)
    return bool(value == neutral or (value != value and neutral != neutral))  # float8_e8m0fnu has no 0

"""Tokens: values without content, which order what has effects.

Invariant: a token is a scalar of a dtype of its own, stored as one byte, as are the tokens that order effects inside
programs; so it is passed, returned and mapped as any other value, and no pass of a compiler can lose it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.core.aval import ShapedArray
from anima.core.primitive import Missing
from anima.core.trace import aval_of
from anima.dtypes.declared import ExtendedDType, extended
from anima.interpreters.batch import Axis, to_axis
from anima.lax.declare import declare, no_tangent
from anima.lowering.module import TOKEN as STORED, Context, Value


class token(extended):
    """The scalar type of tokens."""


TOKEN_DTYPE = ExtendedDType("token", token, (), np.dtype(np.uint8))  # type: ignore[type-abstract]
_TOKEN = ShapedArray((), TOKEN_DTYPE)
_NOT_LINEAR = Missing("a token has no tangent")


def _created(ctx: Context) -> Value:
    # A barrier, so that two tokens are not one.
    return ctx.op("stablehlo.optimization_barrier", (ctx.constant(np.uint8(0), STORED),), _TOKEN)


create_token_p = declare(
    "create_token",
    shape=lambda: _TOKEN,
    lower=_created,
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=Missing("it has no operands"),
)


def create_token(_: Any = None) -> Any:
    """A new token, which waits for nothing.

    Args:
      _: ignored.

    >>> from anima import lax
    >>> lax.create_token().shape
    ()
    """
    return create_token_p.bind()


def _after_shape(*tokens: Any) -> ShapedArray:
    for aval in tokens:
        if not isinstance(aval, ShapedArray) or aval.dtype != TOKEN_DTYPE:
            raise TypeError(f"after_all: arguments must be tokens, as create_token makes them, got {aval}")
    return tokens[0] if tokens else _TOKEN


def _after_lower(ctx: Context, *tokens: Value) -> Value:
    if not tokens:
        return _created(ctx)
    return ctx.ops("stablehlo.optimization_barrier", tokens, [t.aval for t in tokens])[0]


def _after_batch(axis: Axis, args: Any, dims: Any) -> tuple[Any, int]:
    return after_all_p.bind(*[to_axis(t, d, 0, axis.size) for t, d in zip(args, dims)]), 0


after_all_p = declare(
    "after_all",
    shape=_after_shape,
    lower=_after_lower,
    jvp=no_tangent,
    transpose=_NOT_LINEAR,
    batch=_after_batch,
)


def after_all(*operands: Any) -> Any:
    """A token that is there when all given ones are.

    Raises:
      TypeError: an argument is no token.

    >>> from anima import lax
    >>> lax.after_all(lax.create_token(), lax.create_token()).shape
    ()
    """
    for value in operands:
        aval_of(value)
    return after_all_p.bind(*operands)

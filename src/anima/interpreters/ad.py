"""Differentiation, for those who add operations: rules for derivatives and transposes.

Invariant: a rule that is set here is set on the primitive. Tangents and cotangents that are known to be zero are `Zero`s;
in a transpose rule, the operands with respect to which it transposes are `UndefinedPrimal`s, which have an `aval`.

>>> import anima
>>> from anima.extend.core import Primitive
>>> from anima.interpreters import ad
>>> square_p = Primitive("square")
>>> square_p.def_impl(lambda x: x * x)  # doctest: +ELLIPSIS
<function ...>
>>> ad.defjvp(square_p, lambda t, x: 2 * x * t)
>>> print(anima.jvp(square_p.bind, (3.0,), (1.0,))[1])
6.0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima.core import hooks
from anima.core.aval import AbstractValue
from anima.core.primitive import Linear as UndefinedPrimal, Primitive, Zero as Zero
from anima.errors import MissingRuleError
from anima.extend.linear_util import WrappedFun
from anima.extend.rules import JvpRules, TransposeRules
from anima.interpreters.jvp import JvpTrace as JVPTrace, JvpTracer as JVPTracer, jvp_flat
from anima.interpreters.linearize import linearize_flat
from anima.interpreters.zeros import add as add_tangents, instantiate as instantiate_zeros, zero_of
from anima.lax.arithmetic import add_any_p as add_jaxvals_p

__all__ = [
    "JVPTrace",
    "JVPTracer",
    "UndefinedPrimal",
    "Zero",
    "add_jaxvals",
    "add_jaxvals_p",
    "add_tangents",
    "defbilinear",
    "defjvp",
    "defjvp2",
    "deflinear",
    "deflinear2",
    "get_primitive_transpose",
    "instantiate_zeros",
    "is_undefined_primal",
    "jvp",
    "linearize",
    "primitive_jvps",
    "primitive_transposes",
    "zeros_like_aval",
]

Rule = Callable[..., Any]

# `primitive_jvps[p] = rule`: `rule(primals, tangents, **params)` returns (result, tangent).
primitive_jvps = JvpRules("jvp", "forward derivative")
# `primitive_transposes[p] = rule`: `rule(ct, *args, **params)` returns a cotangent or None for each operand.
primitive_transposes = TransposeRules("transpose", "transpose")


def is_undefined_primal(x: Any) -> bool:
    """Whether a transpose rule is asked for the cotangent of this operand."""
    return type(x) is UndefinedPrimal


def get_primitive_transpose(p: Primitive) -> Rule:
    """The transpose rule of a primitive.

    Raises:
      MissingRuleError: it has none.
    """
    rule = primitive_transposes.get(p)
    if rule is None:
        raise MissingRuleError(
            f"'{p}' has no transpose rule: give one with ad.primitive_transposes or deflinear"
        )
    return rule


def add_jaxvals(x: Any, y: Any) -> Any:
    """The sum of two (co)tangents of equal shape and dtype."""
    return hooks.add_tangents(x, y)


def zeros_like_aval(aval: AbstractValue) -> Any:
    """An array of zeros of this type."""
    return hooks.zeros(aval)


def defjvp(primitive: Primitive, *jvprules: Rule | None) -> None:
    """Set a primitive's forward derivative from one for each operand.

    Args:
      primitive: with one result.
      jvprules: `rule(t, *primals, **params)` gives the tangent of the result due to the tangent `t` of its operand; None
        where there is none.
    """

    def without_answer(rule: Rule | None) -> Rule | None:
        return None if rule is None else lambda t, ans, *primals, **params: rule(t, *primals, **params)

    defjvp2(primitive, *map(without_answer, jvprules))


def defjvp2(primitive: Primitive, *jvprules: Rule | None) -> None:
    """As `defjvp`, with rules that are given the result, too: `rule(t, ans, *primals, **params)`."""

    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        ans = primitive.bind(*primals, **params)
        if len(jvprules) != len(primals):
            raise TypeError(
                f"defjvp gave '{primitive}' rules for {len(jvprules)} operands, but it has {len(primals)}"
            )
        total: Any = zero_of(ans)
        for derivative, tangent in zip(jvprules, tangents):
            if derivative is not None and type(tangent) is not Zero:
                total = add_tangents(total, derivative(tangent, ans, *primals, **params))
        return ans, total

    primitive_jvps[primitive] = rule


def _linear_jvp(primitive: Primitive) -> Rule:
    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        ans = primitive.bind(*primals, **params)
        if all([type(t) is Zero for t in tangents]):
            return ans, [zero_of(a) for a in ans] if primitive.multiple_results else zero_of(ans)
        return ans, primitive.bind(*map(instantiate_zeros, tangents), **params)

    return rule


def deflinear2(primitive: Primitive, transpose_rule: Rule) -> None:
    """Set the derivatives of an operation that is linear in all its operands.

    Args:
      transpose_rule: `rule(ct, *args, **params)` gives the operands' cotangents.
    """
    primitive_jvps[primitive] = _linear_jvp(primitive)
    primitive_transposes[primitive] = transpose_rule


def deflinear(primitive: Primitive, transpose_rule: Rule) -> None:
    """As `deflinear2`, with a rule that is not given the operands: `rule(ct, **params)`."""
    deflinear2(primitive, lambda ct, *args, **params: transpose_rule(ct, **params))


def defbilinear(prim: Primitive, lhs_rule: Rule, rhs_rule: Rule) -> None:
    """Set the derivatives of an operation on two operands that is linear in each.

    Args:
      lhs_rule: `rule(ct, x, y, **params)` gives the cotangent of `x`, which is an `UndefinedPrimal`.
      rhs_rule: the same for `y`.
    """
    defjvp(
        prim,
        lambda t, x, y, **params: prim.bind(t, y, **params),
        lambda t, x, y, **params: prim.bind(x, t, **params),
    )

    def transpose(ct: Any, x: Any, y: Any, **params: Any) -> list[Any]:
        if is_undefined_primal(x):
            return [lhs_rule(ct, x, y, **params), None]
        return [None, rhs_rule(ct, x, y, **params)]

    primitive_transposes[prim] = transpose


def _flat(fun: Any) -> Callable[..., Sequence[Any]]:
    call = fun.call_wrapped if isinstance(fun, WrappedFun) else fun

    def flat(*args: Any) -> Sequence[Any]:
        found = call(*args)
        if not isinstance(found, (list, tuple)):
            raise TypeError(f"a function of flat arguments returns a list of arrays, got {found!r:.80}")
        return found

    return flat


def jvp(
    fun: Any, primals: Sequence[Any], tangents: Sequence[Any], instantiate: bool = True
) -> tuple[list[Any], list[Any]]:
    """The results of a function and their tangents, without pytrees.

    Args:
      fun: a function, or a `WrappedFun`, from flat arguments to a list of arrays.
      primals: its arguments.
      tangents: their tangents, of which some may be `Zero`s.
      instantiate: give arrays of zeros for tangents that are known to be zero, rather than `Zero`s.

    >>> from anima import lax
    >>> from anima.interpreters import ad
    >>> outs, tangents = ad.jvp(lambda x: [lax.sin(x)], [0.0], [2.0])
    >>> print(tangents[0])
    2.0
    """
    outs, out_tangents = jvp_flat(_flat(fun), list(primals), list(tangents))
    return outs, [instantiate_zeros(t) for t in out_tangents] if instantiate else out_tangents


def linearize(fun: Any, primals: Sequence[Any]) -> tuple[list[Any], Callable[..., list[Any]]]:
    """The results of a function, and its derivative there, without pytrees.

    Args:
      fun: a function, or a `WrappedFun`, from flat arguments to a list of arrays.
      primals: its arguments.
    Returns:
      (results, linear map): the map takes the arguments' tangents and returns a list of the results'.

    >>> from anima import lax
    >>> from anima.interpreters import ad
    >>> outs, pushforward = ad.linearize(lambda x: [lax.sin(x)], [0.0])
    >>> print(pushforward(2.0)[0])
    2.0
    """
    outs, tape = linearize_flat(_flat(fun), list(primals))

    def pushforward(*tangents: Any) -> list[Any]:
        if len(tangents) != len(tape.inputs):
            raise TypeError(f"the linear map takes {len(tape.inputs)} tangents, got {len(tangents)}")
        return [instantiate_zeros(t) for t in tape.apply(tangents)]

    return outs, pushforward

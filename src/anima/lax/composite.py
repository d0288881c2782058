"""Named operations made of others, which a compiler may know: `composite`.

Invariant: a composite means what its decomposition does. Where nothing is traced it is the decomposition; its derivatives
and its form over examples are those of the decomposition, under no name.
"""

from __future__ import annotations

import enum
import functools
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import tree
from anima._native import get_trace
from anima.core import variance
from anima.core.effects import Effects
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr, Jaxpr
from anima.core.primitive import Linear, Zero
from anima.core.trace import Tracer, aval_of
from anima.errors import UnexpectedTracerError
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.stage import stage
from anima.interpreters.transpose import transpose_jaxpr
from anima.lax.declare import declare, operand
from anima.lowering.module import Context, Value
from anima.lowering.types import dense, element_type
from anima.runtime.dispatch import eager_by_program

# --- the operation ----------------------------------------------------------------------------


def _shape(*avals: Any, jaxpr: ClosedJaxpr, name: str, version: int, attributes: Any) -> list[Any]:
    return list(jaxpr.out_avals)


def _effects(*avals: Any, jaxpr: ClosedJaxpr, **params: Any) -> Effects:
    return jaxpr.effects


def _lower(
    ctx: Context, *operands: Value, jaxpr: ClosedJaxpr, name: str, version: int, attributes: Any
) -> list[Value]:
    function = ctx.module.function(jaxpr, name)
    if function.ordered or function.constants:  # it takes more than the operands
        return ctx.call(jaxpr, operands, name)
    written = ", ".join(f"{key} = {text}" for key, text in attributes)
    attrs = [f'name = "{name}"', f"decomposition = @{function.symbol}", f"version = {version} : i32"]
    attrs += [f"composite_attributes = {{{written}}}"] if attributes else []
    return ctx.ops("stablehlo.composite", operands, list(ctx.out_avals), ", ".join(attrs))


def _run(closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    return eval_jaxpr(closed.jaxpr, closed.consts, *args)


def _jvp(primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, **params: Any) -> tuple[list[Any], list[Any]]:
    nonzeros = tuple(type(t) is not Zero for t in tangents)
    derived, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros)
    outs = composite_p.bind(*primals, jaxpr=jaxpr, **params)
    given = [t for t, nz in zip(tangents, nonzeros) if nz]
    found = iter(_run(derived, [*primals, *given])[len(outs) :])
    avals = jaxpr.out_avals
    return outs, [next(found) if nz else Zero(a.tangent_aval()) for a, nz in zip(avals, out_nonzeros)]


def _transpose(cts: Any, *args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    linear = tuple(type(a) is Linear for a in args)
    derived, nonzeros = transpose_jaxpr(jaxpr, linear, tuple(type(ct) is not Zero for ct in cts))
    constants = [a for a, lin in zip(args, linear) if not lin]
    results = iter(_run(derived, [*constants, *(ct for ct in cts if type(ct) is not Zero)]))
    flags = iter(nonzeros)
    return [next(results) if lin and next(flags) else None for lin in linear]


def _batch(axis: Axis, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, **params: Any) -> tuple[list[Any], Any]:
    derived, out_dims = batch_jaxpr(jaxpr, axis, tuple(dims))
    return _run(derived, args), out_dims


composite_p = declare(
    "composite",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    varying=variance.as_of("jaxpr"),
    multiple_results=True,
)
composite_p.eager = eager_by_program(composite_p, "jaxpr")

# --- attributes -------------------------------------------------------------------------------


def _attribute(name: str, key: str, value: Any) -> str:
    """An attribute in MLIR's words.

    Raises:
      UnexpectedTracerError: it is traced. TypeError: there are no words for it.
    """
    if isinstance(value, Tracer):
        raise UnexpectedTracerError(
            f"composite {name}: the keyword argument {key} is traced, but attributes are part of the program; give it as a "
            "positional argument"
        )
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, enum.IntEnum)):
        return f"{int(value)} : i64"
    if isinstance(value, float):
        value = np.float64(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_attribute(name, key, item) for item in value) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{k} = {_attribute(name, key, v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, np.generic):
        kind = element_type(value.dtype)
        return (
            dense(np.asarray(value)).removeprefix("dense<").removesuffix(f"> : tensor<{kind}>") + f" : {kind}"
        )
    if isinstance(value, np.ndarray):
        return dense(value)
    if isinstance(value, np.dtype):
        return element_type(value)
    raise TypeError(
        f"composite {name}: the keyword argument {key} must be a number, a string, a dtype, a NumPy array, or a list or a "
        f"dictionary of those, got {type(value).__name__}"
    )


def _quoted(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' and c.isascii() else _escape(c) for c in text)
    return f'"{escaped}"'


def _escape(character: str) -> str:
    return "".join(f"\\{byte:02X}" for byte in character.encode())


# --- the public function ----------------------------------------------------------------------

_VALID = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*([.][a-zA-Z0-9_$]+)+")


def composite(decomposition: Callable[..., Any], name: str, version: int = 0) -> Callable[..., Any]:
    """`decomposition` as one operation, for a compiler that knows it by its name to make something better of it.

    Args:
      decomposition: a function of arrays or pytrees of them, its positional arguments, and of attributes, its keyword
        arguments: numbers, strings, dtypes, NumPy arrays, lists and dictionaries, which become a part of the program. Those
        that are None are left out of it.
      name: the name in the program, of two parts or more: "my.op".
      version: the version of what the name means.
    Returns:
      A function with the same arguments and results.
    Raises:
      ValueError: the name is not of that form. TypeError: the version is no integer.

    >>> from anima import jit, lax
    >>> tangent = lax.composite(lambda x: lax.sin(x) / lax.cos(x), name="my.tangent")
    >>> print(jit(tangent)(0.0))
    0.0
    """
    if not _VALID.fullmatch(str(name)):
        raise ValueError(f"composite: name must have two parts or more, such as 'my.op', got {name!r}")
    number = operator.index(version)

    @functools.wraps(decomposition)
    def call(*args: Any, **kwargs: Any) -> Any:
        attributes = tuple(
            [(key, _attribute(name, key, value)) for key, value in kwargs.items() if value is not None]
        )
        leaves, structure = tree.flatten(args)
        values = [operand(leaf) for leaf in leaves]
        avals = [aval_of(v) for v in values]
        if get_trace() is None:
            return decomposition(*args, **kwargs)
        result: Any = None

        def flat(*xs: Any) -> Sequence[Any]:
            nonlocal result
            outs, result = tree.flatten(decomposition(*tree.unflatten(structure, xs), **kwargs))
            return outs

        jaxpr, consts = stage(flat, avals, name)
        whole = Jaxpr([], [*jaxpr.constvars, *jaxpr.invars], jaxpr.outvars, jaxpr.eqns, jaxpr.effects, name)
        outs = composite_p.bind(
            *consts,
            *values,
            jaxpr=ClosedJaxpr(whole, []),
            name=name,
            version=number,
            attributes=attributes,
        )
        return tree.unflatten(result, outs)

    return call

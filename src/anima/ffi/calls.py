"""The call of a foreign function as an operation, and `ffi_call`, which performs it.

Invariant: attributes are in a program as the text that they will have there, so equal calls are equal programs. Orders of
dimensions are XLA's, from the dimension whose elements are neighbours on; users write them the other way round.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from anima.core.aval import AbstractValue, ShapedArray, array_aval, physical_aval
from anima.core.effects import Effects, IOEffect, no_effects
from anima.core.primitive import Missing, Primitive
from anima.core.trace import aval_of
from anima.extend.hlo import attribute, key, quoted
from anima.interpreters.batch import Axis
from anima.lowering.module import Context, Value
from anima.lowering.types import dimension_orders, operand_aliases
from anima.sharding.formats import Layout
from anima.transforms.arguments import check_inputs
from anima.transforms.callback_primitives import VMAP_METHODS, batch_by_method
from anima.transforms.callbacks import declared_results

Order = tuple[int, ...]


def rank_of(aval: AbstractValue) -> int:
    """The number of dimensions that a value has in memory."""
    return physical_aval(array_aval(aval)).ndim


def emit_call(
    ctx: Context,
    target: str,
    operands: Sequence[Value],
    results: Sequence[AbstractValue],
    *,
    config: str,
    orders: tuple[Sequence[Order], Sequence[Order]] | None,
    aliases: Mapping[int, int],
    effect: bool,
    api_version: int,
) -> list[Value]:
    """Emit a call. `config` is an attribute; `aliases` has the result whose memory is that of an operand."""
    attrs = [
        f"call_target_name = {quoted(target)}, api_version = {api_version} : i32, backend_config = {config}",
        "has_side_effect = true" if effect else "",
        operand_aliases({result: operand for operand, result in aliases.items()}, len(results))
        if aliases
        else "",
        dimension_orders(*orders) if orders is not None else "",
    ]
    return ctx.ops("stablehlo.custom_call", operands, results, ", ".join(filter(None, attrs)))


def _shape(*avals: AbstractValue, result_avals: tuple[ShapedArray, ...], **params: Any) -> list[Any]:
    return list(result_avals)


def _effects(*avals: AbstractValue, has_side_effect: bool, **params: Any) -> Effects:
    return frozenset([IOEffect()]) if has_side_effect else no_effects


def _lower(ctx: Context, *operands: Value, target_name: str, **params: Any) -> list[Value]:
    typed = params["custom_call_api_version"] >= 4
    given = ", ".join([f"{key(name)} = {value}" for name, value in params["attributes"]])
    return emit_call(
        ctx,
        target_name,
        operands,
        ctx.out_avals,
        config=f"{{{given}}}" if typed else quoted(params["legacy_backend_config"] or ""),
        orders=(params["input_layouts"], params["output_layouts"]),
        aliases=dict(params["input_output_aliases"]),
        effect=params["has_side_effect"],
        api_version=params["custom_call_api_version"],
    )


def _jvp(*args: Any, target_name: str, **params: Any) -> Any:
    raise ValueError(
        f"ffi_call of {target_name}: a foreign function has no derivative known here. Wrap the call in custom_jvp or "
        "custom_vjp, or pass lax.stop_gradient of its arguments."
    )


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int]]:
    def changed(longer: Sequence[bool]) -> dict[str, Any]:
        inputs = [
            _with_axis(order) if more else order for order, more in zip(params["input_layouts"], longer)
        ]
        outputs = [_with_axis(order) for order in params["output_layouts"]]
        return {"input_layouts": tuple(inputs), "output_layouts": tuple(outputs)}

    who = f"ffi_call of {params['target_name']}"
    # An operand whose memory a result takes has the result's shape.
    whole = [operand for operand, _ in params["input_output_aliases"]]
    return batch_by_method(ffi_call_p, who, axis, args, dims, whole, changed, **params)


def _with_axis(order: Order) -> Order:
    """The order of dimensions with another one in front, the slowest."""
    return (*[d + 1 for d in order], 0)


ffi_call_p = Primitive(
    "ffi_call",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    transpose=Missing("a foreign function is not known to be linear"),
    batch=_batch,
    effects=_effects,
    multiple_results=True,
)


def ffi_call(
    target_name: str,
    result_shape_dtypes: Any,
    *,
    has_side_effect: bool = False,
    vmap_method: str | None = None,
    input_layouts: Sequence[Any] | None = None,
    output_layouts: Any = None,
    input_output_aliases: Mapping[int, int] | None = None,
    custom_call_api_version: int = 4,
    legacy_backend_config: str | None = None,
) -> Callable[..., Any]:
    """A function that calls a foreign one.

    Args:
      target_name: the name under which `register_ffi_target` knows it.
      result_shape_dtypes: a `ShapeDtypeStruct`, or anything with a shape and a dtype, or a tuple or list of them: what it
        writes.
      has_side_effect: whether the call counts where no result of it is used.
      vmap_method: what `vmap` does: "sequential" calls it once a row, "sequential_unrolled" too, without a loop in the
        program, "expand_dims" gives every argument a leading axis (of size 1 if it is not mapped), "broadcast_all"
        gives it its full size, "legacy_vectorized" leaves unmapped arguments as they are. None: `vmap` raises. An argument
        whose memory a result takes gets the axis in its full size with each of the last three.
      input_layouts: for each argument its dimensions, from that with the largest steps in memory to that with the smallest,
        as a sequence or a `Layout`; None stands for the usual order.
      output_layouts: the same for the results: one such order if there is one result, a sequence of them if
        `result_shape_dtypes` is one.
      input_output_aliases: for positions of arguments, the result that takes their memory. XLA copies an argument first
        that is still needed.
      custom_call_api_version: 4 for typed handlers, less for functions that a plugin has under an interface from before.
      legacy_backend_config: what such a function gets in place of attributes.
    Returns:
      `call(*arrays, **attributes)`. Attributes are booleans, integers (64 bits), floats (64 bits), strings, bytes, numbers and
      arrays of NumPy in their dtypes, and dicts of these. It returns an array, or a tuple or list of them as
      `result_shape_dtypes` is one.
    Raises:
      TypeError, ValueError: an argument or an option is none. JaxRuntimeError: the function reported an error, or there is no
        target of the name. It has no derivative: wrap it in `custom_jvp` or `custom_vjp`.

    >>> import anima, anima.numpy as np
    >>> double = anima.ffi.ffi_call("my_double", anima.ShapeDtypeStruct((3,), np.float32))
    >>> "my_double" in anima.jit(double).lower(np.zeros(3)).as_text()
    True
    """
    given: Any = target_name
    if not isinstance(given, str) or not given:
        raise TypeError(f"ffi_call: target_name must be a string with characters, got {given!r:.80}")
    who = f"ffi_call of {target_name}"
    if vmap_method is not None and vmap_method not in VMAP_METHODS:
        raise ValueError(
            f"{who}: vmap_method must be one of {', '.join(map(repr, VMAP_METHODS))}, got {vmap_method!r}"
        )
    several = type(result_shape_dtypes) in (tuple, list)
    avals = _results(who, list(result_shape_dtypes) if several else [result_shape_dtypes])
    params: dict[str, Any] = {
        "target_name": target_name,
        "result_avals": avals,
        "has_side_effect": bool(has_side_effect),
        "vmap_method": vmap_method,
        "output_layouts": _orders(
            who, "output_layouts", output_layouts if several else [output_layouts], avals
        ),
        "custom_call_api_version": _version(who, custom_call_api_version, legacy_backend_config),
        "legacy_backend_config": legacy_backend_config,
    }

    def call(*args: Any, **attributes: Any) -> Any:
        operands = check_inputs(list(args), call, who, args, {})
        in_avals = [array_aval(aval_of(x)) for x in operands]
        results = ffi_call_p.bind(
            *operands,
            attributes=_attributes(who, params["custom_call_api_version"], attributes),
            input_layouts=_orders(who, "input_layouts", input_layouts, in_avals),
            input_output_aliases=_aliases(who, input_output_aliases, in_avals, avals),
            **params,
        )
        return type(result_shape_dtypes)(results) if several else results[0]

    call.__name__ = call.__qualname__ = f"ffi_call({target_name})"
    return call


def _results(who: str, declared: Sequence[Any]) -> tuple[ShapedArray, ...]:
    for struct in declared:
        if not (hasattr(struct, "shape") and hasattr(struct, "dtype")):
            raise ValueError(
                f"{who}: result_shape_dtypes must be a ShapeDtypeStruct, or a tuple or list of them, got {struct!r:.80}"
            )
    return declared_results(who, declared)[0]


def _attributes(who: str, version: int, given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    if given and version < 4:
        raise ValueError(
            f"{who}: attributes need custom_call_api_version=4, got {version}; pass legacy_backend_config"
        )
    return tuple([(name, _attribute(who, name, given[name])) for name in sorted(given)])


def _version(who: str, version: Any, config: Any) -> int:
    if version not in (1, 2, 3, 4):
        raise ValueError(f"{who}: custom_call_api_version must be 1, 2, 3 or 4, got {version!r}")
    if config is not None and not isinstance(config, str):
        raise TypeError(f"{who}: legacy_backend_config must be a string, got {config!r:.80}")
    if config is not None and version >= 4:
        raise ValueError(
            f"{who}: legacy_backend_config needs custom_call_api_version below 4; pass attributes instead"
        )
    return int(version)


def _attribute(who: str, name: str, value: Any) -> str:
    try:
        _check_attribute(value)
        return attribute(value)
    except (TypeError, OverflowError) as error:
        raise type(error)(f"{who}: the attribute {name} cannot be passed: {error}") from None


def _check_attribute(value: Any) -> None:
    if isinstance(value, Mapping):
        for inner, item in value.items():
            if not isinstance(inner, str):
                raise TypeError(f"names in a dictionary must be strings, got {inner!r:.80}")
            _check_attribute(item)
    elif isinstance(value, (list, tuple)):
        raise TypeError(f"XLA hands no lists to functions; pass a NumPy array instead of {value!r:.80}")
    elif isinstance(value, np.dtype):
        raise TypeError(f"XLA hands no types to functions; pass the name of {value} as a string")


def _orders(who: str, what: str, layouts: Any, avals: Sequence[ShapedArray]) -> tuple[Order, ...]:
    """For each array the order of its dimensions, checked."""
    if layouts is None:
        layouts = [None] * len(avals)
    if not isinstance(layouts, (list, tuple)) or len(layouts) != len(avals):
        raise ValueError(
            f"{who}: {what} must be a sequence with a layout, or None, for each of {len(avals)} arrays, got {layouts!r:.80}"
        )
    return tuple([_order(who, what, layout, rank_of(aval)) for layout, aval in zip(layouts, avals)])


def _order(who: str, what: str, layout: Any, rank: int) -> Order:
    if layout is None:
        return tuple(range(rank))[::-1]
    dims = layout.major_to_minor if isinstance(layout, Layout) else layout
    try:
        order = tuple([operator.index(d) for d in dims])
    except TypeError:
        raise TypeError(
            f"{who}: a layout in {what} must be a Layout, a sequence of dimensions or None, got {layout!r:.80}"
        ) from None
    if sorted(order) != list(range(rank)):
        raise ValueError(
            f"{who}: a layout in {what} must have each of the {rank} dimensions of its array once, got {order}"
        )
    return order[::-1]


def _aliases(
    who: str,
    aliases: Mapping[int, int] | None,
    operands: Sequence[ShapedArray],
    results: Sequence[ShapedArray],
) -> tuple[tuple[int, int], ...]:
    """The pairs of an operand and the result that takes its memory, checked."""
    pairs = sorted((operator.index(i), operator.index(o)) for i, o in dict(aliases or {}).items())
    for i, o in pairs:
        for place, avals, side in ((i, operands, "argument"), (o, results, "result")):
            if not 0 <= place < len(avals):
                raise ValueError(
                    f"{who}: input_output_aliases says {i}: {o}, but there is no {side} {place}: there are {len(avals)}"
                )
        if (operands[i].shape, operands[i].dtype) != (results[o].shape, results[o].dtype):
            raise ValueError(
                f"{who}: input_output_aliases says {i}: {o}, but argument {i} is {operands[i].str_short()} and result {o} "
                f"{results[o].str_short()}; one takes the other's memory only if they are alike"
            )
    if len({o for _, o in pairs}) < len(pairs):
        raise ValueError(
            f"{who}: input_output_aliases gives one result the memory of two arguments: {dict(pairs)}"
        )
    return tuple(pairs)

"""Lowering rules of users' primitives that are calls of foreign functions.

Invariant: orders of dimensions are XLA's here, from the dimension whose elements are neighbours on, as in JAX; in `ffi_call`
they go the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anima.extend.hlo import Op, as_value, attributes, quoted
from anima.extend.lowering import LoweringRuleContext
from anima.ffi.calls import Order, emit_call, rank_of
from anima.lowering.module import Value
from anima.sharding.formats import Layout

_OPTIONS = frozenset(["api_version", "has_side_effect", "operand_output_aliases"])


def build_ffi_lowering_function(
    call_target_name: str,
    *,
    operand_layouts: Sequence[Any] | None = None,
    result_layouts: Sequence[Any] | None = None,
    backend_config: Mapping[str, Any] | str | None = None,
    skip_ffi_layout_processing: bool = False,
    **lowering_args: Any,
) -> Callable[..., Op]:
    """A function for lowering rules, which emits a call of a foreign function.

    Args:
      call_target_name: the name under which `register_ffi_target` knows it.
      operand_layouts, result_layouts: for each array its dimensions, from that whose elements are neighbours on (or a `Layout`);
        None stands for row-major order.
      backend_config: attributes of each call, or the string that a function of an interface from before gets.
      skip_ffi_layout_processing: leave the order of dimensions that is not given to XLA.
      lowering_args: `has_side_effect`, `api_version`, and `operand_output_aliases`, a dict from positions of operands to those
        of the results that take their memory.
    Returns:
      `emit(ctx, *values, **attributes)`, which returns the operation: its `results` are of the types `ctx.avals_out`.
    Raises:
      TypeError: there is another option.

    >>> import anima, anima.numpy as np
    >>> from anima.extend.core import Primitive
    >>> from anima.interpreters import mlir
    >>> p = Primitive("outside")
    >>> p.def_abstract_eval(lambda x: x)  # doctest: +ELLIPSIS
    <function ...>
    >>> emit = anima.ffi.build_ffi_lowering_function("my_target", has_side_effect=True)
    >>> mlir.register_lowering(p, lambda ctx, x: emit(ctx, x, scale=2).results)
    >>> "scale = 2" in anima.jit(p.bind).lower(np.zeros(3)).as_text()
    True
    """
    unknown = sorted(set(lowering_args) - _OPTIONS)
    if unknown:
        raise TypeError(
            f"build_ffi_lowering_function: there is no option {unknown[0]!r}; there are {', '.join(sorted(_OPTIONS))}"
        )
    version = lowering_args.get("api_version", 4)

    def emit(ctx: LoweringRuleContext, *operands: Any, **params: Any) -> Op:
        values = [as_value(x) for x in operands]
        results = ctx.avals_out
        orders = None
        if not skip_ffi_layout_processing or operand_layouts is not None or result_layouts is not None:
            orders = (
                _orders("operand_layouts", operand_layouts, [v.aval for v in values]),
                _orders("result_layouts", result_layouts, results),
            )
        made = emit_call(
            ctx.context,
            call_target_name,
            values,
            results,
            config=_config(call_target_name, backend_config, params, version),
            orders=orders,
            aliases=lowering_args.get("operand_output_aliases") or {},
            effect=bool(lowering_args.get("has_side_effect", False)),
            api_version=version,
        )
        return Op("custom_call", made)

    return emit


def _config(
    target: str, given: Mapping[str, Any] | str | None, params: Mapping[str, Any], version: int
) -> str:
    if version < 4:
        if params or not isinstance(given, (str, type(None))):
            raise TypeError(
                f"{target}: attributes need api_version 4, got {version}; pass backend_config as a string"
            )
        return quoted(given or "")
    if isinstance(given, str):
        raise TypeError(
            f"{target}: backend_config must be a dict of attributes, got the string {given!r:.80}"
        )
    every = {**(given or {}), **params}
    return f"{{{attributes({name: every[name] for name in sorted(every)})}}}"


def _orders(what: str, layouts: Sequence[Any] | None, avals: Sequence[Any]) -> list[Order]:
    given = [None] * len(avals) if layouts is None else list(layouts)
    if len(given) != len(avals):
        raise ValueError(f"{what} has {len(given)} layouts for {len(avals)} arrays")
    found: list[Order] = []
    for layout, aval in zip(given, avals):
        if layout is None:
            found.append(tuple(range(rank_of(aval)))[::-1])
        else:
            found.append(layout.major_to_minor[::-1] if isinstance(layout, Layout) else tuple(layout))
    return found


def ffi_lowering(
    call_target_name: str,
    *,
    operand_layouts: Sequence[Any] | None = None,
    result_layouts: Sequence[Any] | None = None,
    backend_config: Mapping[str, Any] | str | None = None,
    skip_ffi_layout_processing: bool = False,
    **lowering_args: Any,
) -> Callable[..., list[Value]]:
    """A lowering rule that is a call of a foreign function; the parameters of the operation become its attributes.

    Args:
      call_target_name, operand_layouts, result_layouts, backend_config, skip_ffi_layout_processing, lowering_args: as in
        `build_ffi_lowering_function`.
    Returns:
      A rule for `interpreters.mlir.register_lowering`.
    Raises:
      TypeError: there is another option.

    >>> import anima, anima.numpy as np
    >>> from anima.extend.core import Primitive
    >>> from anima.interpreters import mlir
    >>> p = Primitive("outside")
    >>> p.def_abstract_eval(lambda x, *, scale: x)  # doctest: +ELLIPSIS
    <function ...>
    >>> mlir.register_lowering(p, anima.ffi.ffi_lowering("my_target"))
    >>> "scale = 2" in anima.jit(lambda x: p.bind(x, scale=2)).lower(np.zeros(3)).as_text()
    True
    """
    emit = build_ffi_lowering_function(
        call_target_name,
        operand_layouts=operand_layouts,
        result_layouts=result_layouts,
        backend_config=backend_config,
        skip_ffi_layout_processing=skip_ffi_layout_processing,
        **lowering_args,
    )

    def rule(ctx: LoweringRuleContext, *operands: Any, **params: Any) -> list[Value]:
        return emit(ctx, *operands, **params).results

    return rule

"""Along which manual axes values vary: how operations agree on it, as their types say.

Invariant: where `shard_map` checks what it is told, the type of each value names the axes along which the devices may hold
different ones. Operands of an operation vary along the same axes, and so do its results; a value that varies along fewer
goes through `pvary` first, whose transpose is a sum. So derivatives with respect to what all devices share are sums over
the devices, and what is replicated is known. Operations with a `varying` rule say otherwise.

Only the two traces that record, `StageTrace` and `TapeTrace`, look at this, and only once a `shard_map` has been traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from anima._native import set_variance
from anima.core import hooks
from anima.core.aval import AbstractValue, Axes, ShapedArray, no_axes
from anima.core.trace import Tracer, aval_of

if TYPE_CHECKING:
    from anima.core.primitive import Primitive

seen = False  # whether any type may name an axis


def watch() -> None:
    """From now on, look at what varies."""
    global seen
    seen = True
    set_variance(aligned, of_results)


def joined(avals: Sequence[AbstractValue]) -> Axes:
    """The axes along which any of the values varies."""
    axes = no_axes
    for aval in avals:
        if aval.varying:
            axes |= aval.varying
    return axes


def of_operands(primitive: Primitive, avals: Sequence[AbstractValue], params: dict[str, Any]) -> list[Axes]:
    """The axes along which the operands of an operation have to vary.

    Raises:
      TypeError: one varies along an axis along which the operation takes the same value from all devices.
    """
    if primitive.varying is None:
        return [joined(avals)] * len(avals)
    wanted: list[Axes] = primitive.varying(*avals, **params)
    for aval, axes in zip(avals, wanted):
        if not aval.varying <= axes:
            raise TypeError(
                f"'{primitive.name}' takes a value that is the same along the manual axes {names(aval.varying - axes)}, "
                f"but is given {aval}"
            )
    return wanted


def aligned(
    primitive: Primitive, args: Sequence[Any], avals: Sequence[AbstractValue], params: dict[str, Any]
) -> Sequence[Any] | None:
    """The operands, varying along the axes that the operation wants; None if they do already."""
    if not any([aval.varying for aval in avals]) and (primitive.varying is None or not avals):
        return None
    wanted = of_operands(primitive, avals, params)
    missing = [
        no_axes if is_literal(arg, aval) else axes - aval.varying
        for arg, aval, axes in zip(args, avals, wanted)
    ]
    return [vary(arg, axes) for arg, axes in zip(args, missing)] if any(missing) else None


def is_literal(value: Any, aval: AbstractValue) -> bool:
    """Whether a value is a scalar that equations hold as it is: nothing is ever asked about it, and so it may stay."""
    return not isinstance(value, Tracer) and isinstance(aval, ShapedArray) and aval.shape == ()


def of_results(primitive: Primitive, avals: Sequence[AbstractValue], outs: Any) -> Any:
    """The types of the results of an operation: what its shape rule says, with the axes along which they vary."""
    if primitive.varying is not None:
        return outs
    axes = joined(avals)
    if not axes:
        return outs
    if primitive.multiple_results:
        return [_along(aval, axes) for aval in outs]
    return _along(outs, axes)


def _along(aval: AbstractValue, axes: Axes) -> AbstractValue:
    return aval.update(varying=axes) if isinstance(aval, ShapedArray) else aval


def vary(value: Any, axes: Axes) -> Any:
    """The value as one that may differ along further axes."""
    return hooks.vary(value, axes) if axes else value


def made_to(value: Any, axes: Axes, refused: str) -> Any:
    """The value, varying along exactly these axes.

    Raises:
      ValueError: it varies along others: `refused` says why not, with `{axes}` in the place of those.
    """
    own = aval_of(value).varying
    if own == axes:
        return value
    if own - axes:
        raise ValueError(refused.format(axes=names(own - axes)))
    return vary(value, axes - own)


def together(values: Sequence[Any]) -> Sequence[Any]:
    """The values, varying along the axes of each other: done before they are broadcast, so that the transpose sums little."""
    avals = [aval_of(x) for x in values]
    axes = joined(avals)
    return [x if is_literal(x, aval) else vary(x, axes - aval.varying) for x, aval in zip(values, avals)]


def names(axes: Axes) -> str:
    """Axes as messages list them."""
    return ", ".join(sorted([repr(axis) for axis in axes]))


def as_given(*avals: AbstractValue, **params: Any) -> list[Axes]:
    """The `varying` rule of an operation that was made for these operands, and whose shape rule knows what varies."""
    return [aval.varying for aval in avals]


def as_of(param: str) -> Any:
    """The `varying` rule of an operation that performs the program in a parameter on its operands."""

    def rule(*avals: AbstractValue, **params: Any) -> list[Axes]:
        return [aval.varying for aval in params[param].in_avals]

    return rule

"""Typed effects: what an equation does besides computing its outputs.

Invariant: an equation's effects are a frozenset of `Effect` values; a jaxpr's are the union of its
equations'. Dead-code elimination keeps equations with observable effects. Whether an effect is ordered, whether it reaches
the host, and which transformations admit it, is a property of its class, and transformations ask the class alone.
"""

from __future__ import annotations

from typing import ClassVar


class Effect:
    """Base class; subclasses say how the effect composes."""

    observable: ClassVar[bool] = (
        True  # something happens: equations with it stay though nothing uses their results
    )
    ordered: ClassVar[bool] = False  # threads a token: runs in program order
    on_host: ClassVar[bool] = False  # calls Python while the program runs: `effects_barrier` waits for it
    under_vmap: ClassVar[bool] = True  # a batched equation may keep it
    under_masks: ClassVar[bool] = False  # may happen for examples that a mapped branch or loop has left
    under_checkpoint: ClassVar[bool] = True  # may be replayed by rematerialisation
    under_control_flow: ClassVar[bool] = True  # may occur in the body of a loop or branch

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return type(self).__name__.removesuffix("Effect")


class DebugEffect(Effect):
    """A look at values, as `debug.print` takes: harmless, so it may happen twice or for examples that are left."""

    on_host = True
    under_masks = True


class OrderedDebugEffect(DebugEffect):
    """A look at values at its place in the program's order."""

    ordered = True


class IOEffect(Effect):
    """A call of Python whose doing counts, as `io_callback` makes: exactly as often as the program says."""

    on_host = True
    under_checkpoint = False


class OrderedIOEffect(IOEffect):
    """A call of Python at its place in the program's order."""

    ordered = True
    under_vmap = False  # the examples of a batch have no order


Effects = frozenset[Effect]
no_effects: Effects = frozenset()


def happens(effects: Effects) -> bool:
    """Whether a program with these effects does anything besides computing its results."""
    return bool(effects) and any([effect.observable for effect in effects])


def has_ordered(effects: Effects) -> bool:
    """Whether a program with these effects threads a token."""
    return bool(effects) and any([effect.ordered for effect in effects])


def reaches_host(effects: Effects) -> bool:
    """Whether a program with these effects calls Python for their sake."""
    return bool(effects) and any([effect.on_host for effect in effects])


def not_under_masks(effects: Effects) -> str:
    """The effects that must not happen for examples which a mapped branch or loop has left, as messages list them."""
    return describe(frozenset([effect for effect in effects if not effect.under_masks]))


def describe(effects: Effects) -> str:
    """The effects as messages list them."""
    return ", ".join(sorted(map(repr, effects)))

"""Typed effects: what an equation does besides computing its outputs.

Invariant: an equation's effects are a frozenset of `Effect` values; a jaxpr's are the union of its
equations'. Dead-code elimination keeps equations with effects. Whether an effect is ordered, and
which transformations admit it, is a property of its class.
"""

from __future__ import annotations

from typing import ClassVar


class Effect:
    """Base class; subclasses say how the effect composes."""

    ordered: ClassVar[bool] = False  # threads a token: runs in program order
    under_vmap: ClassVar[bool] = True  # a batched equation may keep it
    under_checkpoint: ClassVar[bool] = True  # may be replayed by rematerialisation
    under_control_flow: ClassVar[bool] = True  # may occur in the body of a loop or branch

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return type(self).__name__


Effects = frozenset[Effect]
no_effects: Effects = frozenset()

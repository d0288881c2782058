"""Policies: which values of a checkpointed function are kept for its derivative.

Invariant: a policy is called as `policy(primitive, *avals, **params)` for an operation on known values, and says whether
the derivative may keep its results (True, or `ad_checkpoint.Saveable`), must compute them again (False, or
`ad_checkpoint.Recompute`) or may keep them in another memory (`ad_checkpoint.Offloadable`). Any callable will do. The
policies of this module that are made alike are equal, so that programs derived for one serve the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from anima.core.primitive import Primitive
from anima.interpreters.partial import (
    Offloadable,
    Policy,
    Recompute,
    Saveable,
    decided,
    everything_saveable,
    nothing_saveable,
)
from anima.transforms.checkpoint_values import MEMORY_KINDS, name_p

_CONTRACTIONS = ("dot_general", "conv_general_dilated")


def _is_unbatched_dot(primitive: Primitive, params: dict[str, Any]) -> bool:
    if primitive.name != "dot_general":
        return False
    _, (lhs_batch, rhs_batch) = params["dimension_numbers"]
    return not lhs_batch and not rhs_batch


class _Made:
    """A policy made from arguments, equal to one made from the same."""

    __slots__ = ("arguments",)

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash((type(self), self.arguments))

    def __repr__(self) -> str:
        shown = ", ".join(map(_shown, self.arguments))
        return f"{type(self).__name__.lstrip('_')}({shown})"


def _shown(value: Any) -> str:
    return f"{{{', '.join(map(repr, sorted(value)))}}}" if isinstance(value, frozenset) else repr(value)


class _Dots(_Made):
    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> bool:
        (only_unbatched,) = self.arguments
        return _is_unbatched_dot(primitive, params) if only_unbatched else primitive.name in _CONTRACTIONS


class _OffloadDots(_Made):
    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> Any:
        return Offloadable(*self.arguments) if _is_unbatched_dot(primitive, params) else Recompute


class _AnythingExcept(_Made):
    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> bool:
        (names,) = self.arguments
        return primitive is not name_p or params["name"] not in names


class _AnyNamesBut(_Made):
    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> bool:
        (names,) = self.arguments
        return primitive is name_p and params["name"] not in names


class _OnlyNames(_Made):
    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> bool:
        (names,) = self.arguments
        return primitive is name_p and params["name"] in names


class _OffloadNames(_Made):
    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> Any:
        saved, offloaded, src, dst = self.arguments
        if primitive is name_p and params["name"] in saved:
            return Saveable
        if primitive is name_p and params["name"] in offloaded:
            return Offloadable(src, dst)
        return Recompute


class _Both(_Made):
    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> Any:
        answers = [decided(policy, primitive, avals, params) for policy in self.arguments]
        return next((a for a in answers if a is not Recompute), Recompute)


def _names(function: str, names: Iterable[Any]) -> frozenset[str]:
    found = frozenset(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"checkpoint_policies.{function}: names are strings, got {name!r}")
    return found


def _memory(function: str, argument: str, kind: str) -> str:
    if kind not in MEMORY_KINDS:
        raise ValueError(
            f"checkpoint_policies.{function}: {argument} must be one of {', '.join(MEMORY_KINDS)}, got {kind!r}"
        )
    return kind


def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Policy:
    """The policy that keeps results of matrix products without batch dimensions in another memory.

    Args:
      offload_src: the memory in which they are computed and used, "device".
      offload_dst: the memory in which they wait, "pinned_host". On a CPU both are the same memory.
    Raises:
      ValueError: there is no such kind of memory.

    >>> from anima import checkpoint_policies
    >>> checkpoint_policies.offload_dot_with_no_batch_dims("device", "pinned_host")
    OffloadDots('device', 'pinned_host')
    """
    name = "offload_dot_with_no_batch_dims"
    return _OffloadDots(_memory(name, "offload_src", offload_src), _memory(name, "offload_dst", offload_dst))


def save_anything_except_these_names(*names_not_to_save: str) -> Policy:
    """The policy that keeps every value but those that `checkpoint_name` gave one of these names.

    A value before it got its name may still be kept.

    >>> from anima import checkpoint_policies
    >>> checkpoint_policies.save_anything_except_these_names("scores")
    AnythingExcept({'scores'})
    """
    return _AnythingExcept(_names("save_anything_except_these_names", names_not_to_save))


def save_any_names_but_these(*names_not_to_save: str) -> Policy:
    """The policy that keeps the values that `checkpoint_name` gave a name, but none of these.

    >>> from anima import checkpoint_policies
    >>> checkpoint_policies.save_any_names_but_these("scores")
    AnyNamesBut({'scores'})
    """
    return _AnyNamesBut(_names("save_any_names_but_these", names_not_to_save))


def save_only_these_names(*names_which_can_be_saved: str) -> Policy:
    """The policy that keeps the values that `checkpoint_name` gave one of these names.

    >>> from anima import checkpoint_policies
    >>> checkpoint_policies.save_only_these_names("hidden", "scores")
    OnlyNames({'hidden', 'scores'})
    """
    return _OnlyNames(_names("save_only_these_names", names_which_can_be_saved))


def save_and_offload_only_these_names(
    *,
    names_which_can_be_saved: Iterable[str],
    names_which_can_be_offloaded: Iterable[str],
    offload_src: str,
    offload_dst: str,
) -> Policy:
    """The policy that keeps the values of some names, and those of other names in another memory.

    Args:
      names_which_can_be_saved: names that `checkpoint_name` gave to values that are kept where they are.
      names_which_can_be_offloaded: names of values that wait in the memory `offload_dst`.
      offload_src: the memory in which they are computed and used, "device".
      offload_dst: the memory in which they wait, "pinned_host". On a CPU both are the same memory.
    Raises:
      ValueError: a name is in both, or there is no such kind of memory.

    >>> from anima import checkpoint_policies
    >>> policy = checkpoint_policies.save_and_offload_only_these_names(
    ...     names_which_can_be_saved=["scores"],
    ...     names_which_can_be_offloaded=["hidden"],
    ...     offload_src="device",
    ...     offload_dst="pinned_host",
    ... )
    """
    function = "save_and_offload_only_these_names"
    saved = _names(function, names_which_can_be_saved)
    offloaded = _names(function, names_which_can_be_offloaded)
    if saved & offloaded:
        raise ValueError(
            f"checkpoint_policies.{function}: {_shown(saved & offloaded)} are among names_which_can_be_saved and "
            "names_which_can_be_offloaded; a name can be in one of them only"
        )
    return _OffloadNames(
        saved,
        offloaded,
        _memory(function, "offload_src", offload_src),
        _memory(function, "offload_dst", offload_dst),
    )


def save_from_both_policies(policy_1: Policy, policy_2: Policy) -> Policy:
    """The policy that keeps what one of two policies keeps; where both do, as the first says.

    Raises:
      TypeError: one of them is not callable.

    >>> from anima import checkpoint_policies as cp
    >>> cp.save_from_both_policies(cp.dots_saveable, cp.save_only_these_names("scores"))
    Both(Dots(False), OnlyNames({'scores'}))
    """
    for name, policy in (("policy_1", policy_1), ("policy_2", policy_2)):
        if not callable(policy):
            raise TypeError(f"checkpoint_policies.save_from_both_policies: {name} is no policy: {policy!r}")
    return _Both(policy_1, policy_2)


checkpoint_policies = SimpleNamespace(
    everything_saveable=everything_saveable,
    nothing_saveable=nothing_saveable,
    dots_saveable=_Dots(False),
    checkpoint_dots=_Dots(False),
    dots_with_no_batch_dims_saveable=_Dots(True),
    checkpoint_dots_with_no_batch_dims=_Dots(True),
    offload_dot_with_no_batch_dims=offload_dot_with_no_batch_dims,
    save_anything_except_these_names=save_anything_except_these_names,
    save_any_names_but_these=save_any_names_but_these,
    save_only_these_names=save_only_these_names,
    save_from_both_policies=save_from_both_policies,
    save_and_offload_only_these_names=save_and_offload_only_these_names,
)

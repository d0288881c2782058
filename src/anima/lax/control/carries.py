"""What a loop's body returns compared with what it takes, and branches' results with each other: types, and words.

Invariant: types are compared up to weakness; a message names the leaf, both types and what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima import dtypes
from anima._native import PyTreeDef
from anima.core import variance
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of
from anima.core.validate import same_type
from anima.errors import TypePromotionError
from anima.lax.control.bodies import leaf_path
from anima.lax.convert import convert_element_type
from anima.tree.compare import treedef_differences

_SHOWN = 10  # places that one message lists


def type_text(aval: Any) -> str:
    """`float32[3]`, say."""
    return f"{dtypes.dtype_name(aval.dtype)}[{','.join(map(str, aval.shape))}]"


def promoted(leaves: Sequence[Any], ins: Sequence[Any], outs: Sequence[Any]) -> list[Any] | None:
    """The carry to start from where it must become what the body makes of it, being weakly typed, or the same on all devices
    of a `shard_map`; None if nothing must."""
    result = list(leaves)
    changed = False
    if len(ins) != len(outs):
        return None
    for index, (before, after) in enumerate(zip(ins, outs)):
        if missing := after.varying - before.varying:
            result[index] = variance.vary(result[index], missing)
            changed = True
        if not before.weak_type or same_type(before, after):
            continue
        try:
            dtype = dtypes.result_type(before, after)
        except TypePromotionError:
            continue
        if dtype != before.dtype:
            result[index] = convert_element_type(result[index], dtype)
            changed = True
    return result if changed else None


def check_carry(
    what: str,
    body: str,
    start: str,
    tree: PyTreeDef,
    ins: Sequence[Any],
    out_tree: PyTreeDef,
    outs: Sequence[Any],
) -> None:
    """Raise TypeError unless a loop's body returns a carry of the type that it takes.

    Args:
      what: the loop. body, start: what messages call the function and the argument that the carry starts from.
      tree, ins: the structure and the avals of the carry; `out_tree` and `outs`: those returned.
    """
    if tree != out_tree:
        differences = _structures(tree, out_tree, start, f"what {body} returns")
        raise TypeError(
            f"{what}: {body} output and input must have the same pytree structure: {differences}. Return a carry that is "
            f"built as {start} is."
        )
    wrong = []
    for index, (before, after) in enumerate(zip(ins, outs)):
        if not same_type(before, after):
            path = leaf_path(tree, index)
            leaf = f"leaf {path} of the carry" if path else "the carry"
            wrong.append(
                f"{leaf} is {type_text(before)} but the body returns {type_text(after)}. "
                f"{_advice(before, after, start + path)}"
            )
    if wrong:
        raise TypeError(f"{what}: {body} output and input must have identical types{_listed(wrong)}")


def _structures(first: PyTreeDef, second: PyTreeDef, first_name: str, second_name: str) -> str:
    """Where two structures differ, as one sentence."""
    found = [d.message(first_name, second_name) for d in treedef_differences(first, second)]
    return "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _listed(sentences: Sequence[str]) -> str:
    """Sentences after a header: the only one behind it, several on a line each."""
    if len(sentences) == 1:
        return f"; {sentences[0]}"
    shown = [*sentences[:_SHOWN], *[f"and {len(sentences) - _SHOWN} more"][: len(sentences) > _SHOWN]]
    return ":" + "".join([f"\n  {sentence}" for sentence in shown])


def _advice(before: ShapedArray, after: ShapedArray, start: str) -> str:
    if before.shape == after.shape:
        name, other = dtypes.dtype_name(before.dtype), dtypes.dtype_name(after.dtype)
        return f"Convert the result with astype({name!r}), or start from {start} with dtype {other!r}."
    return f"Return an array of shape {before.shape}, or start from {start} with shape {after.shape}."


def check_branches(
    what: str, names: Sequence[str], trees: Sequence[PyTreeDef], outs: Sequence[Sequence[Any]]
) -> None:
    """Raise TypeError unless all branches return the same types; `names` are what messages call the functions."""
    wrong = []
    for name, tree, avals in zip(names[1:], trees[1:], outs[1:]):
        if tree != trees[0]:
            differences = _structures(trees[0], tree, f"the result of {names[0]}", f"that of {name}")
            raise TypeError(f"{what}: all branches must return the same pytree structure: {differences}.")
        for index, (first, other) in enumerate(zip(outs[0], avals)):
            if not same_type(first, other):
                wrong.append(
                    f"result{leaf_path(tree, index)} of {names[0]} is {type_text(first)}, of {name} it is "
                    f"{type_text(other)}. {_common(first, other)}"
                )
    if wrong:
        raise TypeError(f"{what}: all branches must return identical types{_listed(wrong)}")


def _common(first: ShapedArray, other: ShapedArray) -> str:
    if first.shape != other.shape:
        return "Broadcast or reshape one of them."
    try:
        dtype = dtypes.dtype_name(dtypes.result_type(first, other))
    except TypePromotionError:
        return "Convert one of them with astype."
    return f"Convert them with astype({dtype!r})."


def scalar_aval(what: str, name: str, value: Any) -> ShapedArray:
    """The aval of an argument that must be a scalar.

    Raises:
      TypeError: it is none.
    """
    try:
        aval = aval_of(value)
    except TypeError:
        raise TypeError(
            f"{what}: {name} must be a scalar, got {value!r:.80} of type {type(value).__name__}"
        ) from None
    assert isinstance(aval, ShapedArray)
    if aval.shape:
        raise TypeError(f"{what}: {name} must be a scalar, got an array of shape {aval.shape}")
    return aval

"""Dimensions with a name in place of a size, as far as there are any.

Invariant: shapes are made of integers everywhere in this library, so a function is exported for one size of each dimension. What can
be said with these functions about such shapes works; a name that stands for every size raises an error that says what to do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from anima.transforms.shapes import ShapeDtypeStruct
from anima.tree_util import tree_flatten, tree_unflatten

_EXPRESSION = re.compile(r"[\w+*() -]*[A-Za-z][\w+*() -]*")


class SymbolicScope:
    """What symbolic dimensions would share: names and constraints on them.

    Args:
      constraints_str: constraints on named dimensions.
    Raises:
      ValueError: there is one. TypeError: these are no strings.

    >>> from anima.export import SymbolicScope
    >>> SymbolicScope()
    SymbolicScope()
    """

    __slots__ = ()

    def __init__(self, constraints_str: Sequence[str] = ()) -> None:
        _check_constraints("SymbolicScope", constraints_str)

    def __repr__(self) -> str:
        return "SymbolicScope()"


def is_symbolic_dim(p: Any) -> bool:
    """Whether a dimension stands for every size: no, dimensions are integers.

    >>> from anima.export import is_symbolic_dim
    >>> is_symbolic_dim(3)
    False
    """
    return False


def symbolic_shape(
    shape_spec: str | None,
    *,
    constraints: Sequence[str] = (),
    scope: SymbolicScope | None = None,
    like: Sequence[int | None] | None = None,
) -> tuple[int, ...]:
    """The shape that a text describes.

    Args:
      shape_spec: sizes with commas between; "_" stands for the size in `like`, "..." at the end for all that are left there; None
        for "...".
      constraints: none.
      scope: taken as in JAX.
      like: a shape.
    Raises:
      ValueError: a dimension has a name, the text is no shape, or `like` lacks what it asks for.
        TypeError: an argument is of another kind.

    >>> from anima.export import symbolic_shape
    >>> symbolic_shape("3, _, ...", like=(3, 4, 5, 6))
    (3, 4, 5, 6)
    """
    _check_constraints("symbolic_shape", constraints)
    if scope is not None and not isinstance(scope, SymbolicScope):
        raise TypeError(f"symbolic_shape: scope must be a SymbolicScope or None, got {scope!r:.80}")
    text: Any = "..." if shape_spec is None else shape_spec
    if not isinstance(text, str):
        raise TypeError(f"symbolic_shape: shape_spec must be a string or None, got {text!r:.80}")
    inner = text.strip()
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1]
    parts = [part.strip() for part in inner.split(",")]
    if parts and not parts[-1]:
        parts.pop()
    shape: list[int] = []
    for index, part in enumerate(parts):
        if part == "...":
            if index != len(parts) - 1:
                raise ValueError(f"symbolic_shape: '...' must be at the end of {text!r}")
            shape += [_size_in(like, i, text) for i in range(index, len(_given(like, text)))]
        elif part == "_":
            shape.append(_size_in(like, index, text))
        elif part.isdigit():
            shape.append(int(part))
        elif _EXPRESSION.fullmatch(part):
            raise _unsupported("symbolic_shape", part)
        else:
            raise ValueError(f"symbolic_shape: {part!r} in {text!r} is no dimension")
    if like is not None and len(like) != len(shape):
        raise ValueError(f"symbolic_shape: {text!r} has {len(shape)} dimensions, but `like` has {len(like)}")
    return tuple(shape)


def _given(like: Sequence[int | None] | None, text: str) -> Sequence[int | None]:
    if like is None:
        raise ValueError(
            f"symbolic_shape: {text!r} has '_' or '...', which stand for sizes in `like`; pass it"
        )
    return like


def _size_in(like: Sequence[int | None] | None, index: int, text: str) -> int:
    sizes = _given(like, text)
    size = sizes[index] if index < len(sizes) else None
    if size is None:
        raise ValueError(
            f"symbolic_shape: {text!r} takes the size of dimension {index} from `like`, which has none: {like}"
        )
    return int(size)


def symbolic_args_specs(
    args: Any, shapes_specs: Any, constraints: Sequence[str] = (), scope: SymbolicScope | None = None
) -> Any:
    """What to export a function for: `args` with shapes as texts say.

    Args:
      args: a tree of arrays, or of what has a shape and a dtype.
      shapes_specs: for each leaf a text, or None, as `symbolic_shape` takes them; one text may stand for a whole tree.
      constraints, scope: as there.
    Returns:
      `args` with a `ShapeDtypeStruct` in place of each leaf.
    Raises:
      ValueError, TypeError: as `symbolic_shape`.

    >>> import anima.numpy as np
    >>> from anima.export import symbolic_args_specs
    >>> symbolic_args_specs((np.ones((2, 3)),), "_, ...")
    (ShapeDtypeStruct(shape=(2, 3), dtype=float32),)
    """
    leaves, tree = tree_flatten(args)
    if shapes_specs is None or isinstance(shapes_specs, str):
        texts: list[Any] = [shapes_specs] * len(leaves)
    else:
        texts = tree_flatten(shapes_specs, is_leaf=lambda x: x is None)[0]
        if len(texts) != len(leaves):
            raise ValueError(
                f"symbolic_args_specs: shapes_specs has {len(texts)} texts for {len(leaves)} leaves of args"
            )
    specs = []
    for leaf, text in zip(leaves, texts):
        struct = ShapeDtypeStruct.like(leaf)
        shape = symbolic_shape(text, constraints=constraints, scope=scope, like=struct.shape)
        specs.append(ShapeDtypeStruct(shape, struct.dtype))
    return tree_unflatten(tree, specs)


def _check_constraints(what: str, constraints: Any) -> None:
    if isinstance(constraints, str) or not all([isinstance(c, str) for c in constraints]):
        raise TypeError(f"{what}: constraints must be a sequence of strings, got {constraints!r:.80}")
    if len(constraints):
        raise _unsupported(what, constraints[0])


def _unsupported(what: str, name: str) -> ValueError:
    return ValueError(
        f"{what}: {name!r} is about a dimension that stands for every size, but functions are exported for fixed shapes. Export once for "
        "each size that is needed, or for the largest one with arguments padded to it and their true size as an argument."
    )

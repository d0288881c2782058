"""Pytrees: nested containers of values, treated as one value. The names here are short for those of ``tree_util``.

Invariant: the work is done by the native module; nothing here looks at the leaves.

>>> import anima
>>> anima.tree.map(lambda x: x + 1, {"w": [1, 2], "b": 3})
{'b': 4, 'w': [2, 3]}
"""

from anima.tree import structures as structures  # further methods of structures
from anima.tree.functions import (
    tree_all as all,
    tree_broadcast as broadcast,
    tree_flatten as flatten,
    tree_flatten_with_path as flatten_with_path,
    tree_leaves as leaves,
    tree_leaves_with_path as leaves_with_path,
    tree_map as map,
    tree_map_with_path as map_with_path,
    tree_reduce as reduce,
    tree_reduce_associative as reduce_associative,
    tree_structure as structure,
    tree_transpose as transpose,
    tree_unflatten as unflatten,
)
from anima.tree.registry import static

__all__ = [
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "reduce_associative",
    "static",
    "structure",
    "transpose",
    "unflatten",
]

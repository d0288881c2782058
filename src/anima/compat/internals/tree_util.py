"""For `flax` and `orbax`."""

from __future__ import annotations

from anima.tree.registry import is_tree_node
from anima.tree_util import flatten_one_level as flatten_one_level


class _Registry:
    """The types that are inner nodes of trees; of named tuples only those that were registered, as in JAX."""

    def __contains__(self, typ: object) -> bool:
        return isinstance(typ, type) and is_tree_node(typ)


_registry = _Registry()

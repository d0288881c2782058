"""What well-known libraries take from the inside of JAX, under the names that it has there.

Invariant: under the alias `jax._src.x` is `anima.compat.internals.x`, and nothing else of `jax._src` is here. A module holds the
names that a published library imports, each with the meaning that the library counts on; where this library has the same
thing in a public place, it is that thing.
"""

from anima.on_demand import on_demand as _on_demand

# Libraries also find these as attributes, without importing them.
_MODULES = ("dispatch", "traceback_util", "tree_util", "xla_bridge")

__getattr__, __dir__ = _on_demand(__name__, {f"{__name__}.{name}": name for name in _MODULES})

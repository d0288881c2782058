"""`shard_map` in its older form: with the mesh and the specs by position, and `check_rep` for `check_vma`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anima.parallel.shard_map import shard_map as _shard_map
from anima.sharding import AbstractMesh, Mesh


def shard_map(
    f: Callable[..., Any], mesh: Mesh | AbstractMesh, in_specs: Any, out_specs: Any, check_rep: bool = True
) -> Callable[..., Any]:
    """`anima.shard_map`, as it was called before.

    Args:
      f: a function of one device's blocks.
      mesh: the devices.
      in_specs, out_specs: how arguments and results are cut into blocks.
      check_rep: whether it is checked what is the same on all devices.
    Returns:
      A function of whole arrays.
    Raises:
      TypeError, ValueError: as `anima.shard_map` does.

    >>> import anima, anima.numpy as np
    >>> from anima import P, lax
    >>> from anima.experimental.shard_map import shard_map
    >>> total = shard_map(lambda x: lax.psum(x.sum(), "x"), anima.make_mesh((1,), ("x",)), P("x"), P())
    >>> print(total(np.arange(4.0)))
    6.0
    """
    mapped: Callable[..., Any] = _shard_map(
        f, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=check_rep
    )
    return mapped

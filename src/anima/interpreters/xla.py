"""Running operations, for those who add some.

Invariant: an operation is applied as a compiled program of its lowering rule, one for each signature.
"""

from __future__ import annotations

from typing import Any

from anima.core.primitive import Primitive
from anima.extend.backend import Backend

__all__ = ["Backend", "apply_primitive"]


def apply_primitive(prim: Primitive, *args: Any, **params: Any) -> Any:
    """The operation on concrete values, compiled.

    As an evaluation rule, `prim.def_impl(functools.partial(apply_primitive, prim))`, it is what primitives with a lowering
    rule do anyway.

    >>> from anima import lax
    >>> from anima.interpreters import xla
    >>> print(xla.apply_primitive(lax.add_p, 1.0, 2.0))
    3.0
    """
    compiled = getattr(prim, "compiled", None)
    return prim.impl(*args, **params) if compiled is None else compiled(*args, **params)

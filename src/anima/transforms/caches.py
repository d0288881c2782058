"""Forgetting what was traced and compiled."""

from __future__ import annotations

from anima import _native
from anima.lax.control.bodies import forget_bodies
from anima.runtime import dispatch
from anima.runtime.compiler import clear_memory_cache
from anima.transforms.jit import forget_programs


def clear_caches() -> None:
    """Forget every traced and compiled program of this process; the disk cache stays.

    Memory that is kept for arrays and programs to come goes back to the system, too.

    >>> import anima
    >>> anima.clear_caches()
    """
    _native.clear_all_caches()
    dispatch.forget()
    forget_programs()
    forget_bodies()
    clear_memory_cache()
    _native.release_blocks()

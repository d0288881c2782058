"""Library functions that run as one compiled program when called eagerly, and inline when traced.

Invariant: a function wrapped here depends on its arguments alone, so one executable for each signature is
right; inside any transformation the plain Python function runs, and leaves no trace of the wrapper.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from anima._native import CompiledCall
from anima.transforms.jit import compiled_call, jit_miss
from anima.transforms.jit_spec import JitSpec, resolve_arguments

F = TypeVar("F", bound=Callable[..., Any])


def _inline(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return call.fun(*args, **kwargs)


def compiled(
    fun: F | None = None,
    *,
    static: tuple[str, ...] = (),
    miss: Callable[..., tuple[Any, Any]] = jit_miss,
) -> Any:
    """Decorator: an eager call of `fun` is one compiled program; a traced call is `fun` itself.

    Args:
      static: names of arguments that are settings (axes, dtypes, flags).
      miss: what to do on a new signature.
    """
    if fun is None:
        return functools.partial(compiled, static=static, miss=miss)
    numbers, names = resolve_arguments(fun, None, static or None, "static")
    spec = JitSpec(static_argnums=numbers, static_argnames=names, inline=True, on_host=True)
    return compiled_call(fun, spec, miss, _inline)

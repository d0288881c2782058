"""`pjit`, the name that `jit` had for programs over several devices.

Invariant: it is `jit`, which takes shardings itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from anima.runtime.sharded import UNSPECIFIED
from anima.transforms.jit import jit


def pjit(
    fun: Callable[..., Any],
    in_shardings: Any = UNSPECIFIED,
    out_shardings: Any = UNSPECIFIED,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Sequence[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Sequence[str] | None = None,
    keep_unused: bool = False,
    device: Any = None,
    backend: str | None = None,
    inline: bool = False,
    compiler_options: dict[str, Any] | None = None,
) -> Any:
    """`anima.jit` under its old name, with options by position.

    Args:
      fun: the function.
      in_shardings, out_shardings, static_argnums, static_argnames, donate_argnums, donate_argnames, keep_unused, device, backend,
        inline, compiler_options: as `anima.jit` takes them.

    >>> import warnings
    >>> from anima.experimental.pjit import pjit
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", DeprecationWarning)
    ...     double = pjit(lambda x: 2 * x)
    >>> print(double(4.0))
    8.0
    """
    warnings.warn("pjit is jit under its old name; write anima.jit", DeprecationWarning, stacklevel=2)
    return jit(
        fun, in_shardings=in_shardings, out_shardings=out_shardings, static_argnums=static_argnums,
        static_argnames=static_argnames, donate_argnums=donate_argnums, donate_argnames=donate_argnames,
        keep_unused=keep_unused, device=device, backend=backend, inline=inline, compiler_options=compiler_options,
    )  # fmt: skip

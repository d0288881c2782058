"""For `chex`, which puts a function of its own in the place of this one, to forbid that programs are compiled."""

from __future__ import annotations

import sys

from anima._native import Client
from anima.runtime.compiler import before_compiling


def backend_compile_and_load(backend: Client, *args: object, **kwargs: object) -> None:
    """Called before a program is compiled, in whatever form the module has it then."""


def _announce(client: Client) -> None:
    vars(sys.modules[__name__])["backend_compile_and_load"](client)


before_compiling.append(_announce)

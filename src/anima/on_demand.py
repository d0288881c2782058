"""Names of a package that are loaded when they are first asked for.

Invariant: importing a package loads what nearly every program uses; the rest costs nothing until it is used. A package says
which names those are in a table, and, for tools that read types, in imports under `TYPE_CHECKING`; a test compares both.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def on_demand(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` of a package.

    Args:
      package: the package's name.
      modules: for each module the names that it gives to the package, with spaces between. The last part of the
        name of a module of the package stands for the module itself.
    """
    sources = {name: module for module, names in modules.items() for name in names.split()}

    def load(name: str) -> Any:
        source = sources.get(name)
        if source is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(source)
        value = module if source == f"{package}.{name}" else getattr(module, name)
        vars(sys.modules[package])[name] = value
        return value

    def listed() -> list[str]:
        present = (name for name in vars(sys.modules[package]) if not name.startswith("_"))
        return sorted({*present, *sources})

    return load, listed

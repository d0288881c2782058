"""The name `jax` for this library, in one process.

Invariant: a module has one object under both names: `jax.numpy is anima.numpy`. Modules are found when they are imported, so
the alias loads nothing by itself, and it takes precedence over a JAX that is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from anima import version
from anima.compat.modules import INTERNALS, MOVED, PUBLIC

_lock = threading.Lock()


class _SameModule(Loader):
    """Loads a module of this library under a second name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.name)
        self.own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own_spec  # the import system has just set that of the second name


class _Alias(MetaPathFinder):
    """Finds `jax` and what is below it; asked before every other finder."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, inner = fullname.partition(".")
        if top != "jax":
            return None
        found = importlib.util.find_spec(name := _ours(inner))
        if found is None:
            return None
        return ModuleSpec(
            fullname, _SameModule(name), is_package=found.submodule_search_locations is not None
        )


def _ours(inner: str) -> str:
    """The module that stands for `jax.{inner}`, or for `jax` itself."""
    first, _, rest = inner.partition(".")
    if first == "_src":
        return f"{INTERNALS}.{rest}" if rest else INTERNALS
    return f"anima.{MOVED.get(inner, inner)}" if inner else "anima"


class _Missing(MetaPathFinder):
    """Says of modules of JAX that they are not here; asked when every other finder has found nothing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, inner = fullname.partition(".")
        if top not in ("jax", "anima"):
            return None
        name = f"jax.{inner}"
        if inner in PUBLIC:
            raise ModuleNotFoundError(
                f"{name} is not part of this library, which stands for jax here", name=name
            )
        if top == "jax" and inner.partition(".")[0] == "_src":
            raise ModuleNotFoundError(
                f"{name} is internal to another library; this one, which stands for jax here, has its own internals",
                name=name,
            )
        return None


_alias, _missing = _Alias(), _Missing()


def _loaded() -> list[str]:
    return [name for name in sys.modules if name == "jax" or name.startswith("jax.")]


def _say_version(text: str) -> None:
    """Libraries compare `jax.__version__` with versions of JAX, to know which interface they have before them."""
    sys.modules["anima"].__version__ = text  # type: ignore[attr-defined]


def install_jax_alias() -> None:
    """From here on `import jax` gives this library, in the whole process, also where JAX is installed.

    `import jax.numpy`, `from jax import lax`, `from jax.config import config` and the like give the modules of this library
    themselves. Modules of JAX that it does not have raise ImportError; `missing_modules` lists them. Libraries written for JAX
    run on this one, so `__version__` is that of the JAX whose interface it follows. Calling this again does nothing.

    Raises:
      RuntimeError: JAX has been imported in this process.

    >>> from anima.compat import install_jax_alias
    >>> install_jax_alias()  # doctest: +SKIP
    >>> import jax.numpy as np  # doctest: +SKIP
    """
    with _lock:
        if _alias in sys.meta_path:
            return
        if "jax" in sys.modules:
            place = getattr(sys.modules["jax"], "__file__", None) or "an unknown place"
            raise RuntimeError(
                f"jax is already imported, from {place}; install_jax_alias() must come before the first `import jax`, or "
                "start the program with `python -m anima script.py`"
            )
        sys.meta_path.insert(0, _alias)
        sys.meta_path.append(_missing)
        # `anima.config` as an attribute is the object that holds the options, and importing a submodule sets the attribute
        # of its package: so this one is put in place, not imported.
        sys.modules["jax.config"] = importlib.import_module("anima.config")
        _say_version(".".join(map(str, version.__version_info__)))


def remove_jax_alias() -> None:
    """`import jax` means again what it did before `install_jax_alias`; modules that a program holds stay as they are."""
    with _lock:
        if _alias not in sys.meta_path:
            return
        sys.meta_path.remove(_alias)
        sys.meta_path.remove(_missing)
        for name in _loaded():
            del sys.modules[name]
        _say_version(version.__version__)


def missing_modules() -> list[str]:
    """The public modules of JAX that this library does not have.

    >>> "numpy" in missing_modules()
    False
    """
    return [name for name in PUBLIC if not _exists(f"anima.{MOVED.get(name, name)}")]


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # it or its package is not there
        return False

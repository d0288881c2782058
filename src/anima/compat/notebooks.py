"""The extension of IPython: `%load_ext anima` in a notebook.

Invariant: loading installs the alias `jax`, unloading removes it, and nothing else happens.
"""

from __future__ import annotations

from anima.compat.alias import install_jax_alias, remove_jax_alias


def load_ipython_extension(shell: object) -> None:
    """What `%load_ext anima` calls: from here on `import jax` gives this library."""
    install_jax_alias()


def unload_ipython_extension(shell: object) -> None:
    """What `%unload_ext anima` calls: `import jax` means again what it did."""
    remove_jax_alias()

"""Programs that say `import jax`, run by this library.

Invariant: nothing here is active unless it is asked for, by `install_jax_alias`, `python -m anima` or `%load_ext anima`.
"""

from anima.compat.alias import (
    install_jax_alias as install_jax_alias,
    missing_modules as missing_modules,
    remove_jax_alias as remove_jax_alias,
)

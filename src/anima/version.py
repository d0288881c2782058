"""Which version this is, and which interface it follows.

Invariant: `__version__` is this library's own, as its package metadata has it. `__version_info__` is what programs that choose
between interfaces by it compare with, so it is the version of JAX whose interface this one is.
"""

__version__ = "0.1.0"
__version_info__ = (0, 10, 2)

"""Numbers from processes of their own.

Invariant: a process meets none of the caches of the user who measures: settings of caches in the environment are taken
away, and the folder for caches is the one given.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def number_from(source: str, lib: str, cache: Path, **environment: str) -> float:
    """The number `took` that a program computes in a fresh process.

    Args:
      source: the program; `{lib}` in it is the name of the library.
      cache: the folder for caches.
      environment: further variables.
    Raises:
      RuntimeError: the program failed; with the last line that it wrote.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMP", "JAX_PERS", "ANIMA_COMP"))}
    env |= {"XDG_CACHE_HOME": str(cache), **environment}
    program = source.format(lib=lib) + "print(took)\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout)

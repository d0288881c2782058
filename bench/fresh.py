"""Numbers from processes of their own.

Invariant: a process meets none of the caches of the user who measures: settings of caches in the environment are taken
away, and the folder for caches is the one given. Modules may keep their bytecode, as those of an installed package do: without
it our import took three times as long, beside peers that pip had compiled.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# The peak of the memory of this process; getrusage would report that of the process that started it, if larger.
PEAK = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        took = int(line.split()[1]) * 1024
"""

_TAKEN_AWAY = ("JAX_COMP", "JAX_PERS", "ANIMA_COMP", "PYTHONDONTWRITEBYTECODE")


def everything_kept(cache: Path) -> dict[str, str]:
    """Variables with which JAX, too, keeps every compiled program in a folder."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def printed_by(source: str, cache: Path, **environment: str) -> str:
    """What a program prints in a fresh process.

    Args:
      source: the program.
      cache: the folder for caches.
      environment: further variables.
    Raises:
      RuntimeError: the program failed; with the last line that it wrote.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(_TAKEN_AWAY)}
    env |= {"XDG_CACHE_HOME": str(cache), **environment}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env=env, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def number_from(source: str, lib: str, cache: Path, **environment: str) -> float:
    """The number `took` that a program computes in a fresh process.

    Args:
      source: the program; `{lib}` in it is the name of the library.
      cache: the folder for caches.
      environment: further variables.
    Raises:
      RuntimeError: the program failed; with the last line that it wrote.
    """
    return float(printed_by(source.format(lib=lib) + "print(took)\n", cache, **environment))

"""One program of `programs`, run by the one or the other `jax`: `python -m tests.libraries.run anima|jax NAME` prints its numbers.

Invariant: both draw the same random numbers, and neither is told anything else about the other.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np


def main(library: str, name: str) -> None:
    """Prints the numbers that the program returns, as JSON."""
    os.environ["JAX_THREEFRY_PARTITIONABLE"] = "0"
    if library == "anima":
        from anima.compat import install_jax_alias

        install_jax_alias()
    from tests.libraries.programs import PROGRAMS

    print(json.dumps([float(np.asarray(number)) for number in PROGRAMS[name]()]))


if __name__ == "__main__":
    main(*sys.argv[1:])

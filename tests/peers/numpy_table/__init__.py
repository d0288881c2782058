"""The functions of `numpy`, `numpy.linalg` and `numpy.fft`, with descriptions of calls of them to compare with JAX's.

Invariant: an entry in one of the modules is all that a function needs to be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

import anima
from tests.peers.draws import Choose, differences
from tests.peers.numpy_table import elementwise, products, reducing, shaping
from tests.peers.numpy_table.entry import TABLE, abstractly, agree, performed
from tests.peers.numpy_table.known import KNOWN as KNOWN, explained
from tests.peers.numpy_table.source import Source

MODULES = (elementwise, products, reducing, shaping)


def finding(call: str, run: bool) -> tuple[Any, Any] | None:
    """What the two libraries give for a call, if it is not the same and no row of docs/differences.md says why."""
    evaluate: Callable[[str, Any], Any] = performed if run else abstractly
    ours, theirs = evaluate(call, anima), evaluate(call, jax)
    if agree(ours, theirs, 4.0) or explained(call, ours, theirs):
        return None
    return ours, theirs


def check(name: str, traced: int, run: int, seed: int = 0) -> None:
    """Compare random calls of a function.

    Args:
      traced: of how many to compare the types of the results, and the errors.
      run: of how many to compare the numbers, too.
      seed: of the calls.
    Raises:
      AssertionError: the libraries differ in some.
    """
    for examples, performing in ((traced, False), (run, True)):

        def compare(choose: Choose, performing: bool = performing) -> str | None:
            call = TABLE[name](Source(choose), name)
            found = finding(call, performing)
            return found and f"{call}\nours   {found[0]}\ntheirs {found[1]}"

        found = differences(compare, examples, f"{name} {performing} {seed}")
        assert not found, "\n\n".join(found)

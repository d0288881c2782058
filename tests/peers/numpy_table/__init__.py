"""The functions of `numpy`, `numpy.linalg` and `numpy.fft`, with descriptions of calls of them to compare with JAX's.

Invariant: an entry in one of the modules is all that a function needs to be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax

import anima
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


def check(name: str, traced: int, run: int, seed: int | None) -> None:
    """Compare random calls of a function.

    Args:
      traced: of how many to compare the types of the results, and the errors.
      run: of how many to compare the numbers, too.
      seed: of the calls; None: always the same ones.
    Raises:
      AssertionError: the libraries differ in one; it is as small as could be found.
    """
    for examples, performing in ((traced, False), (run, True)):
        settings = hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            derandomize=seed is None,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            suppress_health_check=list(hypothesis.HealthCheck),
            print_blob=False,
        )
        compare = settings(hypothesis.given(st.data())(_comparison(name, performing)))
        if seed is not None:
            compare = hypothesis.seed(f"{seed} {performing}")(compare)
        if examples:
            compare()


def _comparison(name: str, run: bool) -> Callable[[st.DataObject], None]:
    """The test of one random call of a function."""

    def compare(data: st.DataObject) -> None:
        call = TABLE[name](Source(lambda options: data.draw(st.sampled_from(options))), name)
        found = finding(call, run)
        assert found is None, f"{call}\nours   {found[0]}\ntheirs {found[1]}"  # type: ignore[index]

    return compare

"""Random calls to compare, the same ones in every process.

Invariant: what is drawn depends on the seed alone. Hypothesis is not asked, for the examples that it draws depend on the
constants in all modules that the process has loaded: a call that was found to differ in one run was not drawn in the next.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

Choose = Callable[[Sequence[Any]], Any]


def differences(compare: Callable[[Choose], str | None], examples: int, seed: str) -> list[str]:
    """What a comparison says of the random calls that differ.

    Args:
      compare: makes a call, with a function that chooses one of several options, and says how the libraries differ in it.
      examples: how many calls.
      seed: of the choices.
    """
    choose = random.Random(seed).choice  # a text is hashed, in the same way everywhere
    return [found for _ in range(examples) if (found := compare(choose)) is not None]

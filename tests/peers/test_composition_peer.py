"""Random programs compared with JAX: the types of their results, and the values of some.

`.venv-peers/bin/python -m tests.transforms.composition --peer` compares many more.
"""

from __future__ import annotations

import random

import pytest

from tests.peers.composition_peer import compare, features
from tests.transforms.checking import Inconclusive, Mismatch
from tests.transforms.programs import Maker, Rejected
from tests.transforms.structures import STRUCTURES

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("part", range(4))
def test_random_programs(part: int) -> None:
    draw = random.Random(f"programs {part}")  # Hypothesis would draw others wherever other modules are loaded
    compared = 0
    while compared < 20:
        try:
            program = Maker(draw.randrange, features(), STRUCTURES).program()
            compare(program)
        except (Rejected, Inconclusive):
            continue
        except Mismatch as error:
            raise AssertionError(f"{error}\nin {program}") from error
        compared += 1

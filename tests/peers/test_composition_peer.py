"""Random programs compared with JAX: the types of their results, and the values of some.

`.venv-peers/bin/python -m tests.transforms.composition --peer` compares many more.
"""

from __future__ import annotations

import hypothesis
import pytest

from tests.peers.composition_peer import compare, features
from tests.transforms.checking import Inconclusive
from tests.transforms.strategy import Case, cases, phases

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("part", range(2))
def test_random_programs(part: int) -> None:
    @hypothesis.seed(part)
    @hypothesis.settings(
        max_examples=40,
        database=None,
        deadline=None,
        phases=phases(shrink=True),
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(cases(features()))
    def check(case: Case) -> None:
        try:
            compare(case.program)
        except Inconclusive:
            hypothesis.reject()

    check()

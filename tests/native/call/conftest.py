"""A maker of arrays and plans on the shared client, and no ambient trace."""

from __future__ import annotations

from typing import Any

import pytest

from anima import _native as nt
from tests.native.call.support import Maker


@pytest.fixture(scope="module")
def make(client: Any) -> Maker:
    return Maker(client)


@pytest.fixture(autouse=True)
def eager() -> None:
    nt.set_trace(None)

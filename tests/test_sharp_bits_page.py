"""`docs/sharp_bits.md` shows what happens, and its figures are those that `make docs` draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import pages

pytestmark = pytest.mark.cpu
PAGE = "sharp_bits.md"
FIGURES = pages.DOCS / "figures"


def test_the_session() -> None:
    pages.check_session(PAGE, at_least=90)


@pytest.mark.parametrize("name", pages.programs(PAGE))
def test_programs(name: str, tmp_path: Path) -> None:
    pages.check_program(PAGE, name, tmp_path)


def test_links() -> None:
    named = pages.links(PAGE)
    assert all(path.exists() for path in named)
    assert {path for path in named if path.parent == FIGURES} == set(FIGURES.glob("*"))


def test_figures_are_drawn(tmp_path: Path) -> None:
    program = [sys.executable, str(pages.DOCS / "figures.py"), "--folder", str(tmp_path)]
    subprocess.run(program, check=True, capture_output=True, timeout=120)
    kept = {path.name: path.stat().st_size for path in FIGURES.glob("*")}
    drawn = {path.name: path.stat().st_size for path in tmp_path.glob("*")}
    assert drawn.keys() == kept.keys() and all(size < 150_000 for size in (*kept.values(), *drawn.values()))
    assert all(drawn[name] > 0.5 * kept[name] for name in kept)  # none is empty

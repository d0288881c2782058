"""The tour reports each section, and says when a cell does not show what the document shows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.sharp_bits import runner

pytest.importorskip("tqdm", reason="of the extra test; a machine for make test-gpu SYSTEM=1 may lack it")

PATH = Path(__file__).resolve().parents[2] / "examples" / "sharp_bits.py"
CELLS = [
    runner.Cell("a", "First", "print(1)", {"prints": "1"}),
    runner.Cell("b", "Second", "import jax.numpy as np\nnp.arange(2)", {"shows": "DeviceArray([0, 1], dtype=int32)"}),
    runner.Cell("c", "Second", "2 + 2", {"shows": "4"}),
]  # fmt: skip


@pytest.fixture
def tour(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("sharp_bits_tour", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_equal_outputs(tour, tmp_path: Path, capsys) -> None:
    assert tour.tour(CELLS, tmp_path / "figures")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:6] if "---" not in line] == [
        ["section", "cells", "equal", "outputs"], ["First", "1", "1"], ["Second", "2", "2"], ["all", "3", "3"],
    ]  # fmt: skip
    assert lines[-1].startswith("3 cells in ") and lines[-1].endswith("0 figures in figures/")


def test_other_outputs(tour, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    other = [*CELLS[:2], CELLS[2]._replace(shown={"shows": "5"})]
    assert not tour.tour(other, tmp_path)
    out = capsys.readouterr().out
    assert out.startswith("c shows:\n4\nthe document:\n5\n\n") and ["Second", "2", "1"] in map(
        str.split, out.splitlines()
    )
    monkeypatch.setattr(runner, "read_cells", lambda: other)
    monkeypatch.setattr(sys, "argv", ["sharp_bits.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="some cells do not show"):
        tour.main()

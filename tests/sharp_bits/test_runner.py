"""The comparison with the document can fail, the files of cells are read as they are meant, and cells run as in a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sharp_bits import runner
from tests.sharp_bits.deviations import Deviation
from tests.sharp_bits.runner import Cell, Report

SECTION = """\
Some section

[cell first, 2 figures]
+import math
-print(x.shape)
+print(x.shape[0])
[prints]
3
[says]
a message
[prints]
-1
[cell second]
1 - 2;

[program third; JAX_THING=1 --flag=2]
x
"""


def test_reading() -> None:
    first, second, third = runner.parse(SECTION)
    assert first == Cell(
        "first", "Some section", "import math\nprint(x.shape[0])", {"prints": "3\n-1", "says": "a message"}, 2
    )
    assert second == Cell("second", "Some section", "1 - 2;", {})
    assert third == Cell("third", "Some section", "x", {}, 0, True, ("JAX_THING=1", "--flag=2"))
    assert runner.verbatim(SECTION) == ["print(x.shape)", "3", "a message", "-1", "1 - 2;", "x"]


def test_cells_that_cannot_be_read() -> None:
    with pytest.raises(
        ValueError, match="Some section has a cell that is not described as others: cell two words"
    ):
        runner.parse(SECTION + "[cell two words]\n")


def test_names_of_cells_are_unique() -> None:
    names = [cell.name for cell in runner.read_cells()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("[[0. 0.]\n [1. 1.]]\n", "[[0. 0.]\n[1. 1.]]"),
        ("-0.58665067", "-0.58665073"),
        ("[0.25 1e-07]", "[0.25 1e-07]"),
        ("a 0.375 b", "a <number> b"),
    ],
)
def test_texts_that_are_the_same(found: str, wanted: str) -> None:
    assert runner.same(found, wanted)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("-0.58665067", "-0.5866513"),
        ("0.58665067", "-0.58665067"),
        ("1.0", "1."),
        ("1", "1.0"),
        ("(1, 2)", "(1, 3)"),
        ("float32", "float64"),
        ("[1. 2.]", "[1.]"),
        ("[1. 2.]", "[1.2.]"),
        ("Out shape", "out shape"),
        ("nan", "<number>"),
        ("", "0.0"),
    ],
)
def test_texts_that_are_not(found: str, wanted: str) -> None:
    assert not runner.same(found, wanted)


@pytest.mark.parametrize(
    "change", [{"prints": "2"}, {"shows": "2"}, {"raises": "ValueError: no"}, {"figures": ["a.png"]}]
)
def test_each_channel_counts(change: dict) -> None:
    cell = Cell("first", "Some section", "", {"prints": "1"})
    report = Report("first", "1\n", "", "", "not looked at", [])
    assert runner.differences(cell, report) == []
    [difference] = runner.differences(cell, report._replace(**change))
    assert difference.startswith("first ")


def test_deviations_apply_to_their_own_text_only() -> None:
    here = Deviation("c", "prints", "old  name", "new name", "tracebacks and paths", "")
    assert runner.substitute("an old name here", [here]) == "an new name here"
    assert runner.substitute("", [here._replace(document="")]) == "new name"
    with pytest.raises(ValueError, match="c does not have the text 'old name'"):
        runner.substitute("something else", [here])


def run(tmp_path: Path, *codes: str) -> list[Report]:
    cells = [Cell(f"cell{i}", "", code, {}) for i, code in enumerate(codes)]
    return list(runner.run(cells, tmp_path))


def test_cells_run_as_in_a_notebook(tmp_path: Path) -> None:
    plots = "from matplotlib import pyplot as plt\nplt.plot([1]); plt.figure(); plt.plot([2]);"
    code = ["x = 1\nx", "x;", "print(x)\ny = x", "1 / 0\nx = 2", "def f(:", "None", plots, "(x, y, __name__)"]
    pytest.importorskip(
        "matplotlib", reason="of the extra test; a machine for make test-gpu SYSTEM=1 may lack it"
    )
    a, b, c, d, e, f, g, h = run(tmp_path, *code)
    assert (a.shows, b.shows, c.shows, c.prints, f.shows) == ("1", "", "", "1\n", "")
    assert d.raises == "ZeroDivisionError: division by zero" and e.raises.startswith("SyntaxError")
    assert g.figures == ["cell6.png", "cell6_2.png"] and all((tmp_path / name).exists() for name in g.figures)
    assert h.shows == "(1, 1, '__main__')" and h.figures == []


def test_programs_have_processes_and_settings_of_their_own(tmp_path: Path) -> None:
    code = "import os, sys\n(sys.argv[1:], os.environ.get('A_SETTING'), 'x' in globals())"
    cells = [
        Cell("program", "", code, {}, program=True, settings=("A_SETTING=1", "--flag=2")),
        Cell("cell", "", "x = 1\n" + code, {}),
    ]
    shown = {report.name: report.shows for report in runner.run(cells, tmp_path)}
    assert shown == {"program": "(['--flag=2'], '1', False)", "cell": "([], None, True)"}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os._exit(3)", "1 of 3 cells ran, exit status 3"),
        (
            "import os; x = os.write(2, b'noise of a library')",
            "3 of 3 cells ran, exit status 0:\nnoise of a library",
        ),
    ],
)
def test_processes_that_end_early_or_are_noisy(tmp_path: Path, code: str, says: str) -> None:
    with pytest.raises(RuntimeError, match=says):
        run(tmp_path, "1", code, "2")

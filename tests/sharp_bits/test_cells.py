"""Every cell of the Sharp Bits shows what the document shows; each deviation is listed, and still needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from anima.runtime import devices
from tests.sharp_bits import deviations, runner
from tests.sharp_bits.deviations import DEVIATIONS, Deviation
from tests.sharp_bits.runner import Cell, Report

plt = pytest.importorskip(
    "matplotlib.pyplot", reason="of the extra test; a machine for make test-gpu SYSTEM=1 may lack it"
)

CELLS = [cell for cell in runner.read_cells() if not cell.program]
PROGRAMS = [cell for cell in runner.read_cells() if cell.program]
MESSAGES = [d for d in DEVIATIONS if d.channel == "says"]
CHANGES = [d for d in DEVIATIONS if d.channel == "code"]
OUTPUTS = [d for d in DEVIATIONS if d not in MESSAGES and d not in CHANGES]
DOCUMENT = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "sharp_bits.txt"

nobody_chose_a_platform = pytest.mark.skipif(
    "ANIMA_PLATFORMS" in os.environ or any(map(devices._has_device, ("cuda", "rocm", "tpu"))),
    reason="the start-up message is for who has no accelerator and has not chosen the CPU",
)


def _name(value: Cell | Deviation) -> str:
    return value.name if isinstance(value, Cell) else f"{value.cell}-{value.channel}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def report_of(folder: Path) -> Callable[[str], Report]:
    reports = {report.name: report for report in runner.run(CELLS, folder)}
    return reports.__getitem__


def _cell(deviation: Deviation) -> Cell:
    return next(cell for cell in CELLS if cell.name == deviation.cell)


@pytest.mark.parametrize("cell", CELLS, ids=_name)
def test_cells(cell: Cell, report_of: Callable[[str], Report], folder: Path) -> None:
    report = report_of(cell.name)
    assert not (found := runner.differences(cell, report)), "\n\n".join(found)
    for name in report.figures:
        picture = plt.imread(folder / name)
        assert min(picture.shape[:2]) > 200 and picture[..., :3].std() > 0.02, f"{name} is empty"


@pytest.mark.parametrize("cell", PROGRAMS, ids=_name)
def test_programs(cell: Cell, tmp_path: Path) -> None:
    [report] = runner.run([cell], tmp_path)
    assert not (found := runner.differences(cell, report)), "\n\n".join(found)


@nobody_chose_a_platform
@pytest.mark.parametrize("cell", CELLS, ids=_name)
def test_messages(cell: Cell, report_of: Callable[[str], Report]) -> None:
    says, advice = report_of(cell.name).says, deviations.ADVICE.get(cell.name)
    if advice is None:
        assert runner.same(says, runner.expected(cell, "says"))
    else:
        assert says.startswith(advice) and "JAX_ENABLE_X64=True" in says and says.count("Warning") == 1


@pytest.mark.parametrize("deviation", OUTPUTS, ids=_name)
def test_deviations_are_needed(deviation: Deviation, report_of: Callable[[str], Report]) -> None:
    found = getattr(report_of(deviation.cell), deviation.channel)
    cell = _cell(deviation)
    assert not runner.same(found, runner.expected(cell, deviation.channel, without=deviation))
    assert runner.same(found, runner.expected(cell, deviation.channel))


@nobody_chose_a_platform
@pytest.mark.parametrize("deviation", MESSAGES, ids=_name)
def test_deviations_of_messages_are_needed(deviation: Deviation, report_of: Callable[[str], Report]) -> None:
    says = report_of(deviation.cell).says
    assert not runner.same(says, runner.expected(_cell(deviation), "says", without=deviation))


@pytest.mark.parametrize("deviation", CHANGES, ids=_name)
def test_changes_of_code_are_needed(deviation: Deviation, report_of: Callable[[str], Report]) -> None:
    as_written = report_of(deviation.cell).as_written
    assert as_written is not None
    assert as_written["raises"], "the cell runs as it is written"
    assert deviation.document in _cell(deviation).code


def test_deviations_have_one_of_five_reasons() -> None:
    assert {d.reason for d in DEVIATIONS} == set(get_args(deviations.Reason))
    assert all(d.why.endswith(".") for d in DEVIATIONS)
    assert len({(d.cell, d.channel, d.document) for d in DEVIATIONS}) == len(DEVIATIONS)


def test_only_cells_that_ask_for_double_precision_say_more_than_the_document() -> None:
    assert [c.name for c in CELLS if "float64" in c.code] == list(deviations.ADVICE)


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the document does not lie beside this checkout")
@pytest.mark.parametrize("path", sorted((runner.HERE / "cells").glob("*.txt")), ids=lambda path: path.stem)
def test_cells_are_the_documents(path: Path) -> None:
    document = runner.collapse(DOCUMENT.read_text(encoding="utf-8"))
    missing = [part for part in runner.verbatim(path.read_text(encoding="utf-8")) if part not in document]
    assert not missing


# Values that comments of the cells give, and the loops that the document writes in Python.


def test_values_that_comments_give() -> None:
    import anima.numpy as np
    from anima import lax

    namespace: dict[str, Callable] = {}
    for name in ("cond_in_python", "while_loop_in_python", "fori_loop_in_python"):
        exec(next(cell.code for cell in CELLS if cell.name == name), namespace)
    operand = np.array([0.0])
    for module in (lax.cond, namespace["cond"]):
        for pred, value in ((True, "[1.]"), (False, "[-1.]")):
            found = module(pred, operand, lambda x: x + 1, operand, lambda x: x - 1)
            assert repr(found) == f"DeviceArray({value}, dtype=float32)"
    for loop in (lax.while_loop, namespace["while_loop"]):
        assert loop(lambda x: x < 10, lambda x: x + 1, 0) == 10
    for loop in (lax.fori_loop, namespace["fori_loop"]):
        assert loop(0, 10, lambda i, x: x + i, 0) == 45

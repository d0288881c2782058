"""The cells of the Sharp Bits: read, run, and compared with what the document shows.

Invariant: a cell counts as equal only if everything that it prints, shows and raises is the document's text: words, integers,
shapes and dtypes exactly, numbers with decimals to `TOLERANCE`, relative; white space does not count, nor do the
deviations that `deviations.py` lists.

The document is here in one file a section, below `cells/`: a title, then cells, each with its code and, by channel, what the
document shows. The copy of the document that they were taken from had lost indentation and some lines: a line that starts
with `+` was restored, and one of code that starts with `-` is as it was found. Cells share a namespace, as in a notebook; a
`program` has a process of its own, with the environment variables and arguments behind its name. Where the document has no
program, as for NaNs, there are ours, of restored lines.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.sharp_bits.deviations import DEVIATIONS, Deviation

HERE = Path(__file__).parent
CHANNELS = ("prints", "shows", "raises", "says")  # standard output, last value, exception, standard error
TOLERANCE = 1e-6

_NUMBER = re.compile(r"[-+]?\d+\.\d*(?:e[-+]?\d+)?|<number>")
_HEAD = re.compile(rf"^\[((?:cell|program) .*|{'|'.join(CHANNELS)})\]$", re.MULTILINE)
_CELL = re.compile(r"(cell|program) (\w+)(?:, (\d) figures?)?(?:; (.*))?")


class Cell(NamedTuple):
    """A cell and what the document shows for it."""

    name: str
    section: str
    code: str
    shown: dict[str, str]
    figures: int = 0
    program: bool = False
    settings: tuple[str, ...] = ()  # NAME=VALUE of the environment, and arguments, which start with --

    def deviations(self, channel: str) -> list[Deviation]:
        """The deviations in one channel."""
        return [d for d in DEVIATIONS if d.cell == self.name and d.channel == channel]

    def changed(self) -> str | None:
        """The code that runs instead of the document's, if it must be changed."""
        deviations = self.deviations("code")
        return substitute(self.code, deviations) if deviations else None


class Report(NamedTuple):
    """What a cell did. `as_written` is what its own code did, where it had to be changed."""

    name: str
    prints: str
    shows: str
    raises: str
    says: str
    figures: list[str]
    as_written: dict[str, str] | None = None


def read_cells() -> list[Cell]:
    """All cells in the document's order."""
    return [cell for path in sorted((HERE / "cells").glob("*.txt")) for cell in parse(path.read_text())]


def parse(text: str) -> list[Cell]:
    """The cells of one file."""
    section = text.partition("\n")[0]
    cells: list[Cell] = []
    for head, part in _parts(text):
        if head in CHANNELS:
            shown = cells[-1].shown
            shown[head] = f"{shown[head]}\n{_restored(part)}" if head in shown else _restored(part)
            continue
        described = _CELL.fullmatch(head)
        if described is None:
            raise ValueError(f"{section} has a cell that is not described as others: {head}")
        kind, name, figures, settings = described.groups("")
        code = re.sub(r"^-.*\n", "", part, flags=re.MULTILINE)
        cells.append(
            Cell(
                name,
                section,
                _restored(code),
                {},
                int(figures or 0),
                kind == "program",
                tuple(settings.split()),
            )
        )
    return cells


def verbatim(text: str) -> list[str]:
    """The parts of a file of cells that are the document's own, as they were found, white space collapsed."""
    found = []
    for head, part in _parts(text):
        if head not in CHANNELS:
            part = re.sub(r"^-", "", part, flags=re.MULTILINE)
        found += [collapse(own) for own in re.split(r"^\+.*$", part, flags=re.MULTILINE)]
    return [own for own in found if own]


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """What stands in brackets, and the lines below it."""
    pieces = _HEAD.split(text)[1:]
    return zip(pieces[::2], pieces[1::2])


def _restored(part: str) -> str:
    return re.sub(r"^\+", "", part, flags=re.MULTILINE).strip("\n")


def run(cells: Sequence[Cell], figures: Path) -> Iterator[Report]:
    """Run the cells in fresh processes and yield a report for each, as soon as it has run; figures go into a folder.

    Raises:
      RuntimeError: a process ended before its last cell, or wrote past Python to standard error.
    """
    figures.mkdir(parents=True, exist_ok=True)
    shared = [cell for cell in cells if not cell.program]
    if shared:
        yield from _run_together(shared, figures)
    for cell in cells:
        if cell.program:
            yield from _run_together([cell], figures)


def _run_together(cells: Sequence[Cell], figures: Path) -> Iterator[Report]:
    settings = [setting for cell in cells for setting in cell.settings]
    arguments = [s for s in settings if s.startswith("--")]
    variables = dict(s.split("=", 1) for s in settings if not s.startswith("--"))
    given = [{"name": c.name, "code": c.code, "changed": c.changed()} for c in cells]
    count = 0
    with tempfile.TemporaryFile("w+") as program, tempfile.TemporaryFile("w+") as noise:
        json.dump(given, program)
        program.seek(0)
        with subprocess.Popen(
            [sys.executable, "-m", "anima", str(HERE / "notebook.py"), str(figures.resolve()), *arguments],
            stdin=program,
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            env=os.environ | {"MPLBACKEND": "Agg"} | variables,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield Report(**json.loads(line))
                count += 1
        noise.seek(0)
        errors = noise.read()
    if process.returncode or errors or count < len(cells):
        raise RuntimeError(f"{count} of {len(cells)} cells ran, exit status {process.returncode}:\n{errors}")


def collapse(text: str) -> str:
    """The text with every run of white space as one space, and none at the ends."""
    return " ".join(text.split())


def substitute(text: str, deviations: Sequence[Deviation]) -> str:
    """The document's text as it must be here; a deviation from nothing gives what is here."""
    for deviation in deviations:
        document = collapse(deviation.document)
        if not document:
            text = deviation.here
        elif document not in text:
            raise ValueError(f"{deviation.cell} does not have the text {document!r}")
        else:
            text = text.replace(document, deviation.here)
    return text


def expected(cell: Cell, channel: str, without: Deviation | None = None) -> str:
    """What the document shows in one channel, after the deviations but one."""
    deviations = [d for d in cell.deviations(channel) if d is not without]
    return collapse(substitute(collapse(cell.shown.get(channel, "")), deviations))


def same(found: str, wanted: str) -> bool:
    """Whether two texts are equal word for word and number for number."""
    found, wanted = collapse(found), collapse(wanted)
    if _NUMBER.split(found) != _NUMBER.split(wanted):
        return False
    return all(map(_same_number, _NUMBER.findall(found), _NUMBER.findall(wanted)))


def _same_number(found: str, wanted: str) -> bool:
    if found == wanted or wanted == "<number>":
        return True
    if found.endswith(".") or wanted.endswith("."):  # "1." and "1.0" are different texts
        return False
    return abs(float(found) - float(wanted)) <= TOLERANCE * abs(float(wanted))


def differences(cell: Cell, report: Report) -> list[str]:
    """In which ways a cell did not do what the document shows (empty: equal). Messages on standard error are not looked at."""
    found = []
    for channel in CHANNELS[:3]:
        printed, wanted = getattr(report, channel), expected(cell, channel)
        if not same(printed, wanted):
            found.append(f"{cell.name} {channel}:\n{collapse(printed)}\nthe document:\n{wanted}")
    if len(report.figures) != cell.figures:
        found.append(f"{cell.name} draws {len(report.figures)} figures, the document {cell.figures}")
    return found

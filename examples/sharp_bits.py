"""Run every cell of *The Sharp Bits* and compare what each shows with what the document shows.

The cells are the document's, word for word; `import jax` in them gives this library, as `python -m anima` has it. Run it with
`make demo`; it takes some ten seconds, prints a line for each section and saves the figures that the cells draw.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the cells are shared with the tests
from tests.sharp_bits import runner
from tests.sharp_bits.deviations import DEVIATIONS


def summary(sections: Sequence[str], equal: Sequence[bool]) -> str:
    """The table of sections, each with its number of cells and of cells with equal outputs."""
    rows = [("section", "cells", "equal outputs")]
    for section in [*dict.fromkeys(sections), "all"]:
        results = [same for name, same in zip(sections, equal) if section in (name, "all")]
        rows.append((section, str(len(results)), str(sum(results))))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [f"{name:<{widths[0]}}  {cells:>{widths[1]}}  {same:>{widths[2]}}" for name, cells, same in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def tour(cells: Sequence[runner.Cell], folder: Path) -> bool:
    """Run the cells, report, and say whether all outputs were equal."""
    start = time.perf_counter()
    by_name = {cell.name: cell for cell in cells}
    differences: dict[str, list[str]] = {}
    figures = 0
    bar = tqdm(runner.run(cells, folder), total=len(cells), desc="the Sharp Bits", unit="cell")
    for report in bar:
        differences[report.name] = runner.differences(by_name[report.name], report)
        figures += len(report.figures)
    for texts in differences.values():
        for text in texts:
            print(text, end="\n\n")
    print(summary([cell.section for cell in cells], [not differences[cell.name] for cell in cells]))
    deviations = sum(deviation.cell in by_name for deviation in DEVIATIONS)
    print(f"{deviations} deviations are allowed for, each with its reason in tests/sharp_bits/deviations.py")
    print(f"{len(cells)} cells in {time.perf_counter() - start:.1f} s; {figures} figures in {folder.name}/")
    return not any(differences.values())


def main() -> None:
    """Read the command line, and tour."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("sharp_bits_figures"))
    if not tour(runner.read_cells(), parser.parse_args().out):
        raise SystemExit("some cells do not show what the document shows")


if __name__ == "__main__":
    main()

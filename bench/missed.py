"""What RESULTS.md says of goals that were missed: by how much, and what was tried.

Invariant: the notes say nothing of a figure, for figures change from run to run: these come from the run. A goal without a note
was met whenever it was measured before.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping

from bench import harness
from bench.case import OURS

# By the name of the case, or its end.
TRIED: Mapping[str, str] = {}


def section(rows: Iterable[harness.Row]) -> str:
    """The section of the rows whose verdict is against us, in their order."""
    lines = [
        f"- **{row.case.name}**: {'; '.join(_by_how_much(row))}. {_tried(row.case.name)}"
        for row in rows
        if row.verdict() is False
    ]
    return "\n".join(["## Goals that were missed", "", *(lines or ["None."])])


def _by_how_much(row: harness.Row) -> Iterator[str]:
    """Each bound that does not hold."""
    if OURS in row.errors:
        yield f"no figure, {row.errors[OURS]}"
        return
    ours = row.median(OURS)
    if row.case.at_most is not None and ours is not None and ours > row.case.at_most:
        yield f"{harness.show(ours, row.case.unit)} where at most {row.case.at_most:g} is wanted"
    for peer, limit in row.case.limits.items():
        ratios = row.ratios(peer)
        if not ratios:
            yield f"no figure of {peer}"
        elif statistics.median(ratios) > limit:
            yield f"{statistics.median(ratios):.2f} of {peer} where {limit:g} is wanted"


def _tried(name: str) -> str:
    found = [note for key, note in TRIED.items() if name.endswith(key)]
    return found[0] if found else "Nothing yet: it was met before, or is new."

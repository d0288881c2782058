"""The README's first program runs as it stands there and prints what it says there."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def test_readme_begins_with_the_two_commands() -> None:
    first = blocks("sh")[0].split("\n")
    assert [line.split("#")[0].strip() for line in first[:2]] == ["make demo", "make test"]


def test_first_snippet_prints_what_the_readme_says(run_python) -> None:
    program, printed = blocks("python")[0], blocks("text")[0]
    assert run_python(program).stdout == printed


def test_files_named_in_the_readme_exist() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)", README.read_text(encoding="utf-8"))
    assert named
    missing = [name for name in named if not (README.parent / name).exists()]
    assert not missing

"""Running what a page of the documentation shows.

Blocks of Python with prompts are one session. A block that begins with a comment `# name.py` is a program of that name, and
what follows the name are its arguments; the block of text after it is what it prints, and how it ends. Space does not count,
and `...` stands for anything.
"""

from __future__ import annotations

import doctest
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# (\w+\.py)(.*)\n")


def check_session(page: str, at_least: int) -> None:
    """Runs the examples with prompts, of which there should be so many."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = [code for kind, code in _BLOCK.findall(text) if kind == "python" and ">>> " in code]
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page, str(DOCS / page), 0)
    shown: list[str] = []
    result = doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(test, out=shown.append)
    assert result.attempted >= at_least and not result.failed, "".join(shown)


def programs(page: str) -> dict[str, tuple[str, list[str], str]]:
    """The programs of a page by name: code, arguments, and what they print."""
    blocks = _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    found = {}
    for (kind, code), (next_kind, printed) in itertools.pairwise(blocks):
        name = _NAME.match(code)
        if kind == "python" and name:
            assert next_kind == "text", f"{name[1]} has no output"
            found[name[1]] = (code, name[2].split(), printed)
    return found


def check_program(page: str, name: str, folder: Path) -> None:
    """Runs a program of a page in a folder and compares what it prints, and the last lines of an error, if it ends in one."""
    code, arguments, want = programs(page)[name]
    (folder / name).write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, name, *arguments],
        cwd=folder,
        env={**os.environ, "ANIMA_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    # Of a traceback the page shows the error with its notes; folders are not those of the reader.
    got = re.sub(r"^Traceback.*?(?=^[\w.]+Error: )", "", done.stdout, flags=re.MULTILINE | re.DOTALL)
    got = got.replace(f"{folder}/", "")
    assert doctest.OutputChecker().check_output(want, got, FLAGS), f"{name} prints\n{got}\nand not\n{want}"


def links(page: str) -> list[Path]:
    """The files that a page names."""
    named = re.findall(r"\]\(([\w./-]+)\)", (DOCS / page).read_text(encoding="utf-8"))
    return [(DOCS / name).resolve() for name in named]

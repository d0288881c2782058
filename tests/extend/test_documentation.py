"""Every example of `docs/extending.md` does what the page says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


def test_the_examples_of_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    shown: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=shown.append)
    assert result.attempted > 40 and not result.failed, "".join(shown)


def test_links_of_the_page() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)", PAGE.read_text(encoding="utf-8"))
    assert named and all((PAGE.parent / name).exists() for name in named)

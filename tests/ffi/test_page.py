"""The function in C++ of `docs/extending.md` does what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import anima
from tests import pages
from tests.foreign import compiler

pytestmark = pytest.mark.cpu


def test_the_function_of_the_page(tmp_path: Path) -> None:
    found = compiler()
    if found is None:
        pytest.skip("there is no C++ compiler")
    text = (pages.DOCS / "extending.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```cpp\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (program,) = [
        code
        for code in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        if "libscale" in code
    ]
    (command,) = re.findall(r"`(c\+\+ [^`]*)`", text)
    (tmp_path / "scale.cc").write_text(source)
    words = command.replace("DIR", anima.ffi.include_dir()).split()
    subprocess.run([found, *words[1:]], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=tmp_path, check=True)

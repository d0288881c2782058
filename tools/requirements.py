"""Print the requirements of extras, one a line, for `pip install -r`.

Invariant: `pyproject.toml` is the only list of what the project needs. Installing an extra's requirements by themselves
leaves the installed package as it is; `pip install .[extra]` would build it again.

Run as `python tools/requirements.py test demo`.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def requirements(extras: list[str]) -> list[str]:
    """The requirement lines of the extras named, each once; raises KeyError for an extra that does not exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (line for extra in extras for line in project["optional-dependencies"][extra])
    return list(dict.fromkeys(lines))


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))

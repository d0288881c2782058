"""Words that do not belong into a finished tree.

Invariant: every text file that belongs to the repository (tracked, or untracked and not ignored) is read. Each rule of
`RULES` is a pattern, the files that it covers and the reason that a violation prints. Run as
`python -m tools.check_words [ROOT]`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Rule:
    """A forbidden pattern, the paths where it is forbidden, and what to do instead."""

    pattern: re.Pattern[str]
    paths: re.Pattern[str]
    reason: str


_CODE = re.compile(r"^(src|native|bench|examples|tools|tests)/.*\.(py|cc|h)$")
_PACKAGE = re.compile(r"^(src|native)/.*\.(py|pyi|cc|h)$|^CMakeLists\.txt$")
_ALL = re.compile(r"")

RULES = [
    Rule(
        re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"),
        _CODE,
        "finish it, or write down what it does not do and why",
    ),
    Rule(
        re.compile(r"""import_?\w*\(\s*["'](jax|jaxlib)["'.]"""),
        _PACKAGE,
        "the package never loads jax or jaxlib, by whatever road",
    ),
    Rule(
        re.compile(r"(?<![\w.$}/])/(home|root|Users|work|tmp/\w)/?\w*/[\w.]"),
        _ALL,
        "a path of one machine: derive it from the file, a setting or tempfile",
    ),
    Rule(
        re.compile(r"--(extra-)?index-url|--find-links|://[\w.-]*/simple\b"),
        _ALL,
        "which package index to use is a setting of the machine",
    ),
]
# Texts that are not ours to change, and the files that must spell out what is forbidden.
SKIPPED = re.compile(
    r"^(LICENSE|tests/sharp_bits/(cells/\w+\.txt|deviations\.py)|tools/check_words\.py|tests/test_house\.py)$"
)


def files(root: Path) -> Iterator[Path]:
    """The files of the repository below `root`, as git tells; without git, all of them."""
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        yield from (root / name for name in sorted(listing.stdout.decode().split("\0")) if name)
    else:
        hidden = re.compile(r"(^|/)(\.|build/|__pycache__/)")
        yield from (p for p in sorted(root.rglob("*")) if not hidden.search(p.relative_to(root).as_posix()))


def violations(root: Path) -> Iterator[str]:
    """One line for each forbidden word."""
    for path in files(root):
        name = path.relative_to(root).as_posix()
        rules = [rule for rule in RULES if rule.paths.search(name)]
        if SKIPPED.search(name) or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or another binary file
        for number, line in enumerate(text.splitlines(), 1):
            for rule in rules:
                if found := rule.pattern.search(line):
                    yield f"{name}:{number}: {found.group(0)!r}: {rule.reason}"


def main(arguments: list[str]) -> int:
    """Check the repository, or the folder named; 1 if a forbidden word is found."""
    found = list(violations(Path(arguments[0]) if arguments else ROOT))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

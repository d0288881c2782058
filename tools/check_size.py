"""Files stay under 600 lines and functions under 50, but for a list that only shrinks.

Invariant: `tools/size_exceptions.txt` names what is larger, with its exact size today. Growing past the noted size
fails, and so does a note that is larger than the truth: lower it (or run with `--update`, which lowers and drops notes
but never raises or adds one).

A file counts all its lines. A function counts its code: lines of its docstring, comment lines and blank lines are free,
since explaining costs nothing. In C++ the lines from the opening brace to the closing one count, by the indentation
that clang-format gives.

Run as `python -m tools.check_size [--update] [ROOT]`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "native", "tools", "bench", "examples", "tests")
EXCEPTIONS = "tools/size_exceptions.txt"
FILE_LINES = 600
FUNCTION_LINES = 50

# Lines that end in `{` at the margin of a file or of a class and are not function definitions.
_NOT_A_FUNCTION = re.compile(
    r"^\s*(?:namespace|class|struct|union|enum|extern|using|typedef|template\s*<[^>]*>\s*(?:class|struct))\b|=\s*\{$"
)
_CLASS = re.compile(r"^\s*(?:template\s*<.*>\s*)?(?:class|struct)\b")


def measure(root: Path) -> dict[str, int]:
    """The size of everything too large below `root`: `path` or `path::function` to lines."""
    large: dict[str, int] = {}
    for path in _files(root):
        name = path.relative_to(root).as_posix()
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > FILE_LINES:
            large[name] = len(lines)
        functions = python_functions(lines) if path.suffix == ".py" else cpp_functions(lines)
        for function, size in functions:
            if size > FUNCTION_LINES:
                large[f"{name}::{function}"] = max(size, large.get(f"{name}::{function}", 0))
    return large


def _files(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".cc", ".h") and path.is_file():
                yield path


def python_functions(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Qualified name and code lines of each function; a nested function counts in its outer one too."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + child.name, _code_lines(child, lines)
                yield from visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, f"{prefix}{child.name}.")
            else:
                yield from visit(child, prefix)

    yield from visit(ast.parse("\n".join(lines)), "")


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    free: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(
            node, False
        ):
            free.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    wanted = (n for n in range(function.lineno, (function.end_lineno or 0) + 1) if n not in free)
    return sum(1 for n in wanted if lines[n - 1].strip() and not lines[n - 1].lstrip().startswith("#"))


def cpp_functions(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Name and code lines of each function of a clang-formatted C++ file: those at the margin and those of a class."""
    number = 0
    while number < len(lines):
        size = _cpp_function_at(lines, number)
        if size is None:
            number += 1
            continue
        name, end = size
        body = lines[number : end + 1]
        yield name, sum(1 for line in body if line.strip() and not line.lstrip().startswith("//"))
        number = end + 1


def _cpp_function_at(lines: list[str], number: int) -> tuple[str, int] | None:
    """Name and last line of the function whose body opens on a line, or None."""
    if not lines[number].rstrip().endswith("{") or lines[number].lstrip().startswith(("//", "*")):
        return None
    start, head = _statement(lines, number)
    indent = _indent(lines[start])
    found = re.search(r"(operator\W+|[\w:~]+)\s*\(", head)
    if not found or _NOT_A_FUNCTION.search(head) or (indent and not _in_class(lines, start, indent)):
        return None
    for end in range(number + 1, len(lines)):
        if lines[end].startswith(" " * indent + "}"):
            return found.group(1), end
    return None


def _statement(lines: list[str], number: int) -> tuple[int, str]:
    """The first line and the joined text of the statement that ends on a line."""
    start = number
    while start > 0 and number - start < 12:
        before = lines[start - 1].strip()
        if not before or before[-1] in ";{}:>/" or before.startswith(("//", "#")):
            break
        start -= 1
    return start, " ".join(line.strip() for line in lines[start : number + 1])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _in_class(lines: list[str], number: int, indent: int) -> bool:
    """Whether the nearest line above with less indentation, access labels aside, opens a class."""
    for n in range(number - 1, -1, -1):
        text = lines[n].strip()
        if not text or text.startswith(("public:", "private:", "protected:", "//", "#")):
            continue
        if _indent(lines[n]) < indent:
            return text.endswith("{") and bool(_CLASS.search(_statement(lines, n)[1]))
    return False


def read_exceptions(path: Path) -> dict[str, int]:
    """The noted sizes: lines of `NAME SIZE`, with `#` opening a comment."""
    notes: dict[str, int] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            text = line.split("#")[0].split()
            if text:
                notes[text[0]] = int(text[1])
    return notes


def problems(large: dict[str, int], notes: dict[str, int]) -> Iterator[str]:
    """One line for everything larger than allowed, and for every note that should shrink."""
    for name, size in large.items():
        limit = notes.get(name, FUNCTION_LINES if "::" in name else FILE_LINES)
        if size > limit:
            yield f"{name}: {size} lines, at most {limit}: split it at a seam that has a name"
    for name, limit in notes.items():
        size = large.get(name, 0)
        if size < limit:
            yield f"{EXCEPTIONS}: {name} is noted with {limit} lines but " + (
                f"has {size}: lower the note" if size else "is small enough now: remove the note"
            )


def update(path: Path, large: dict[str, int]) -> None:
    """Lower the notes to the sizes of today and drop those that are not needed; comment lines stay."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].split()
        if not text:
            kept.append(line)
        elif text[0] in large:
            kept.append(f"{text[0]} {min(int(text[1]), large[text[0]])}")
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Check the tree (the repository, or the folder named); 1 if anything is too large or noted too generously."""
    folders = [a for a in arguments if not a.startswith("-")]
    root = Path(folders[0]) if folders else ROOT
    large = measure(root)
    if "--update" in arguments:
        update(root / EXCEPTIONS, large)
    found = list(problems(large, read_exceptions(root / EXCEPTIONS)))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

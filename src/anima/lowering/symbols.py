"""The names of functions in the text of a module."""

from __future__ import annotations

import re
from collections.abc import Callable

_BAD = re.compile(r"[^A-Za-z0-9_]+")
_DEFINED = re.compile(r"^  func\.func (?:public|private) @(\w+)\(", re.MULTILINE)
_MENTIONED = re.compile(r'"(?:[^"\\]|\\.)*"|@(\w+)')  # a string, which is to stay as it is, or a symbol


def symbol(name: str) -> str:
    """`name` as a valid symbol."""
    text = _BAD.sub("_", name).strip("_") or "fn"
    return text if not text[0].isdigit() else f"f{text}"


def renamed_functions(text: str, fresh: Callable[[str], str]) -> tuple[str, str]:
    """The functions of a module as `lower_module` writes it, under names that `fresh` gives, and the name of its `main`."""
    start, end = text.index("\n") + 1, text.rindex("}")
    names = {name: fresh(name) for name in _DEFINED.findall(text)}
    renamed = _MENTIONED.sub(lambda m: f"@{names.get(m[1], m[1])}" if m[1] else m[0], text[start:end])
    return renamed.replace("  func.func public @", "  func.func private @"), names["main"]

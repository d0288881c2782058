"""The names of functions in the text of a module."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_BAD = re.compile(r"[^A-Za-z0-9_]+")
_DEFINED = re.compile(r"^  func\.func (?:public|private) @(\w+)\(", re.MULTILINE)
_MAIN = re.compile(r"^  func\.func public @main\((.*)\) -> \((.*)\) \{$", re.MULTILINE)
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


def with_literals(text: str, literals: Sequence[str]) -> str:
    """A module whose `main` has the constants in it which that of `text` takes as its last arguments: `literals` are these."""
    found = _MAIN.search(text)
    assert found is not None
    params = found[1].split(", ") if found[1] else []
    taken = params[: len(params) - len(literals)]
    inner, defined = "main_of_constants", set(_DEFINED.findall(text))
    while inner in defined:
        inner += "_"
    results = [f"%r{i}" for i in range(len(found[2].split(", ")) if found[2] else 0)]
    lines = [f"%c{i} = stablehlo.constant {literal}" for i, literal in enumerate(literals)]
    names = ", ".join([p.partition(":")[0] for p in taken] + [f"%c{i}" for i in range(len(literals))])
    types = ", ".join([p.partition(": ")[2] for p in params])
    left = f"{', '.join(results)} = " if results else ""
    lines.append(f"{left}func.call @{inner}({names}) : ({types}) -> ({found[2]})")
    lines.append(f"return {', '.join(results)} : {found[2]}" if results else "return")
    head = f"  func.func public @main({', '.join(taken)}) -> ({found[2]}) {{\n"
    body = "".join([f"    {line}\n" for line in lines])
    private = found[0].replace("  func.func public @main(", f"  func.func private @{inner}(")
    return f"{text[: found.start()]}{head}{body}  }}\n{private}{text[found.end() :]}"

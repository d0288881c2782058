"""The Python modules of a package, and which modules of the project each imports.

Invariant: reads source text only; nothing is imported or executed, so a checkout that does not even build can be
checked. An import under `if TYPE_CHECKING:` is marked as such: it names a type and creates no dependency at run time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

EXTENSION = "_native"  # the one module that has no Python source


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name, the line, the enclosing function (or None), and whether for types only."""

    target: str
    line: int
    function: str | None
    types_only: bool


@dataclass
class Module:
    """One source file: its dotted name, path, syntax tree and imports."""

    name: str
    path: Path
    tree: ast.Module
    is_package: bool
    imports: list[Import] = field(default_factory=list)


def load(package: Path) -> dict[str, Module]:
    """All modules below the folder `package` (which holds the top `__init__.py`), by dotted name."""
    modules: dict[str, Module] = {}
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package.parent).with_suffix("")
        parts = relative.parts[:-1] if path.name == "__init__.py" else relative.parts
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        modules[".".join(parts)] = Module(".".join(parts), path, tree, path.name == "__init__.py")
    for module in modules.values():
        module.imports = list(_imports(module, modules))
    return modules


def _imports(module: Module, modules: dict[str, Module]) -> Iterator[Import]:
    """Every import statement of a module, with relative names resolved and submodules told from attributes."""

    def visit(node: ast.AST, function: str | None, types_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, function, types_only)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                is_module = full in modules or alias.name == EXTENSION
                yield Import(full if is_module else base, node.lineno, function, types_only)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                yield from visit(statement, node.name, types_only)
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            for statement in node.body:
                yield from visit(statement, function, True)
            for statement in node.orelse:
                yield from visit(statement, function, types_only)
        else:
            for child in ast.iter_child_nodes(node):
                yield from visit(child, function, types_only)

    yield from visit(module.tree, None, False)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    """The dotted name that a `from` clause starts from."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    parts = parts[: len(parts) - node.level + (1 if module.is_package else 0)]
    return ".".join(parts + ([node.module] if node.module else []))


def _is_type_checking(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING`, also under the private name that keeps it out of a public module."""
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name.lstrip("_") == "TYPE_CHECKING"

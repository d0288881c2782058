"""Names of a function: those that its own code binds, and those of the conversion.

Invariant: `bound` counts a name if the statements bind it in the scope that they stand in; what functions, classes and
comprehensions inside bind in their own scopes does not count.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

OPERATORS = "_anima_"  # the name under which converted code finds `operators`
RESULT = "_anima_result"  # the variable for what a function returns
RETURNED = "_anima_returned"  # whether it has returned

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bound(nodes: Iterable[ast.AST]) -> list[str]:
    """The names that `nodes` bind, in the order of the source."""
    found: dict[str, None] = {}
    for node in nodes:
        _collect(node, found, False)
    return list(found)


def _collect(node: ast.AST, found: dict[str, None], comprehension: bool) -> None:
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, (ast.Store, ast.Del)) and not comprehension:
            found[node.id] = None
        return
    if isinstance(node, ast.NamedExpr):
        found[node.target.id] = None
        _collect(node.value, found, comprehension)
        return
    if isinstance(node, _SCOPES):
        if not isinstance(node, ast.Lambda):
            found[node.name] = None
        return
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            found[alias.asname or alias.name.partition(".")[0]] = None
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        if node.name is not None:
            found[node.name] = None
    elif isinstance(node, ast.MatchMapping) and node.rest is not None:
        found[node.rest] = None
    inner = comprehension or isinstance(node, _COMPREHENSIONS)
    for child in ast.iter_child_nodes(node):
        _collect(child, found, inner)


def arguments(args: ast.arguments) -> list[str]:
    """The names of a function's parameters."""
    plain = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    return [a.arg for a in [*plain, *[v for v in (args.vararg, args.kwarg) if v is not None]]]


def declared(nodes: Iterable[ast.AST], kind: type[ast.Global] | type[ast.Nonlocal]) -> list[str]:
    """The names that `global` or `nonlocal` statements of this scope declare."""
    found: list[str] = []
    for node in nodes:
        if isinstance(node, kind):
            found += node.names
        elif not isinstance(node, _SCOPES):
            found += declared(ast.iter_child_nodes(node), kind)
    return list(dict.fromkeys(found))


def definition(name: str, parameters: Iterable[str], body: list[ast.stmt]) -> ast.FunctionDef:
    """The statement `def name(parameters): body`."""
    args = ast.arguments([], [ast.arg(p) for p in parameters], None, [], [], None, [])
    made = ast.FunctionDef(name, args, body, [])
    if sys.version_info >= (3, 12):
        made.type_params = []
    return made


def operator(name: str) -> ast.expr:
    """The expression for an operator of the conversion."""
    return ast.Attribute(ast.Name(OPERATORS, ast.Load()), name, ast.Load())


def call(name: str, *args: ast.expr) -> ast.Call:
    """The expression for a call of an operator."""
    return ast.Call(operator(name), list(args), [])


def load(name: str) -> ast.expr:
    """The expression for a variable's value."""
    return ast.Name(name, ast.Load())


def assign(name: str, value: ast.expr) -> ast.Assign:
    """The statement `name = value`."""
    return ast.Assign([ast.Name(name, ast.Store())], value)


def at(node: ast.AST, where: ast.AST) -> ast.AST:
    """`node` with the position of `where` in all that has none."""
    for inner in ast.walk(node):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            ast.copy_location(inner, where)
    return node

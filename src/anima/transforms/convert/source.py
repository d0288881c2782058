"""The syntax tree of a function, found by the position of its code.

Invariant: what is returned is the tree of exactly this code, from a file that still says what was loaded; otherwise
`ConversionError` says why there is none. Several lambdas on a line are told apart by the columns of their code.
"""

from __future__ import annotations

import ast
import copy
import functools
import linecache
from types import CodeType, FunctionType
from typing import NamedTuple

from anima.errors import ConversionError

Definition = ast.FunctionDef | ast.Lambda
_Place = tuple[int, int]


class Source(NamedTuple):
    """A function's tree, a copy of its own, and the name of the class around it (for names like `__x`)."""

    node: Definition
    owner: str | None


def source_of(fun: FunctionType) -> Source:
    """The definition of `fun`.

    Raises:
      ConversionError: its source cannot be read, or is no longer what was loaded.
    """
    code = fun.__code__
    lines = linecache.getlines(code.co_filename, fun.__globals__)
    if not lines:
        raise ConversionError(
            f"the source of {fun.__qualname__} cannot be read, so its control flow cannot be converted",
            advice=f"It was defined in {code.co_filename}; define it in a file or a notebook's cell.",
        )
    try:
        definitions = _definitions("".join(lines))
    except SyntaxError:
        definitions = []
    found = [d for d in definitions if _matches(d[0], code)]
    if len(found) != 1:
        raise ConversionError(
            f"the source of {fun.__qualname__} at {code.co_filename}:{code.co_firstlineno} is not what was loaded, so its "
            "control flow cannot be converted",
            advice="The file has changed since; load it again.",
        )
    node, owner = found[0]
    return Source(copy.deepcopy(node), owner)


@functools.lru_cache(maxsize=8)
def _definitions(text: str) -> list[tuple[Definition, str | None]]:
    """Every definition of a file, each with the name of the class whose body it stands in."""
    result: list[tuple[Definition, str | None]] = []

    def walk(node: ast.AST, owner: str | None) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.Lambda)):
                result.append((child, owner))
            walk(child, child.name if isinstance(child, ast.ClassDef) else owner)

    walk(ast.parse(text), None)
    return result


def _matches(node: Definition, code: CodeType) -> bool:
    first = min([node.lineno, *[d.lineno for d in getattr(node, "decorator_list", ())]])
    if first != code.co_firstlineno or _argument_names(node) != _code_arguments(code):
        return False
    if isinstance(node, ast.FunctionDef):
        extent = _extent(code)
        end: _Place = (node.end_lineno or node.lineno, node.end_col_offset or 0)
        return node.name == code.co_name and (
            extent is None or ((first, 0) <= extent[0] and extent[1] <= end)
        )
    body = node.body
    place = ((body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0))
    return code.co_name == "<lambda>" and _extent(code) in (None, place)


def _argument_names(node: Definition) -> list[str]:
    args = node.args
    named = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    return [a.arg for a in [*named, *[v for v in (args.vararg, args.kwarg) if v is not None]]]


def _code_arguments(code: CodeType) -> list[str]:
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return list(code.co_varnames[:count])


def _extent(code: CodeType) -> tuple[_Place, _Place] | None:
    """From where to where in the source the instructions of `code` come from; None if Python does not keep that."""
    starts: list[_Place] = []
    ends: list[_Place] = []
    for line, end_line, column, end_column in code.co_positions():
        if line is None or end_line is None or column is None or end_column is None:
            continue
        if column or end_column or end_line != line:  # what the compiler adds has a line alone
            starts.append((line, column))
            ends.append((end_line, end_column))
    return (min(starts), max(ends)) if starts else None

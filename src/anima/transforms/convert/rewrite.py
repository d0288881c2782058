"""Statements and operators as calls of `operators`, with their blocks as inner functions.

Invariant: what comes out means in plain Python what went in, evaluated in the same order, with the user's positions. A
block is a function without arguments that shares the variables which it binds (`nonlocal`); an operand that may not be
evaluated is a lambda. Functions inside are rewritten too; generators and coroutines are left as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from anima.errors import ConversionError
from anima.transforms.convert import names
from anima.transforms.convert.exits import lower_exits, stops_of
from anima.transforms.convert.source import Definition

_BY_NAME = (
    "eval",
    "exec",
    "locals",
    "vars",
    "dir",
)  # they look at the variables of the frame that calls them
_GENERATING = (ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_STATEFUL = (ast.If, ast.For, ast.While, ast.Match)


def rewrite(node: Definition, owner: str | None, file: str) -> Definition:
    """`node`, a function or lambda of the class `owner` (None: of none), rewritten.

    Raises:
      ConversionError: it contains what cannot be converted.
    """
    if owner is not None:
        _Mangle(owner).visit(node)
    if isinstance(node, ast.FunctionDef):
        return _Rewriter(file, node.name, node).function(node)
    rewriter = _Rewriter(file, "lambda", node)
    node.body = rewriter.visit(node.body)
    names.at(node, node)
    return node


def generates(node: ast.FunctionDef) -> bool:
    """Whether a function is a generator or a coroutine."""
    return any(not isinstance(n, _INNER) and _generates(n) for n in node.body)


def _generates(node: ast.AST) -> bool:
    if isinstance(node, _GENERATING):
        return True
    return any(not isinstance(n, _INNER) and _generates(n) for n in ast.iter_child_nodes(node))


def _assigns_inside(*nodes: ast.AST) -> bool:
    return any(isinstance(n, ast.NamedExpr) for node in nodes for n in ast.walk(node))


def _thunk(value: ast.expr) -> ast.Lambda:
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), value)


class _Mangle(ast.NodeTransformer):
    """Private names as the class around them sees them."""

    def __init__(self, owner: str) -> None:
        self._prefix = f"_{owner.lstrip('_')}"

    def _mangled(self, name: str) -> str:
        return self._prefix + name if name.startswith("__") and not name.endswith("__") else name

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self._mangled(node.attr)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._mangled(node.id)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node


class _Rewriter(ast.NodeTransformer):
    """Rewrites the body of one function; `stateful` are names that may hold a value which is no value."""

    def __init__(self, file: str, name: str, node: ast.AST, stateful: frozenset[str] = frozenset()) -> None:
        self._file = file
        self._name = name
        self._count = 0
        args = names.arguments(node.args) if isinstance(node, (ast.FunctionDef, ast.Lambda)) else []
        self._first = args[0] if args else None
        body = node.body if isinstance(node, ast.FunctionDef) else []
        self._globals = frozenset(names.declared(body, ast.Global))
        self._nonlocals = frozenset(names.declared(body, ast.Nonlocal))
        self._arguments = frozenset(args)
        self._stateful = stateful - self._arguments

    # Functions

    def function(self, node: ast.FunctionDef) -> ast.FunctionDef:
        lower_exits(node, self._file)
        blocks = [n for n in ast.walk(node) if isinstance(n, _STATEFUL)]
        own = [n for n in names.bound(node.body) if n not in self._globals]
        self._stateful |= frozenset(names.bound(blocks)) & frozenset(
            [*own, *self._nonlocals, *self._arguments]
        )
        docstring = node.body[:1] if ast.get_docstring(node, clean=False) is not None else []
        body = self._block(node.body[len(docstring) :])
        prelude: list[ast.stmt] = [
            *[ast.Global([n]) for n in sorted(self._globals)],
            *[ast.Nonlocal([n]) for n in sorted(self._nonlocals)],
        ]
        fresh = [n for n in own if n not in self._nonlocals and n not in self._arguments]
        if fresh and blocks:  # never run: it makes the names variables of this function, which blocks share
            targets: list[ast.expr] = [ast.Name(n, ast.Store()) for n in fresh]
            prelude.append(ast.If(ast.Constant(0), [ast.Assign(targets, ast.Constant(None))], []))
        node.body = [*docstring, *prelude, *body]
        names.at(node, node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        node.args = self._defaults(node.args)
        if not generates(node):
            self._inner(node).function(node)
        return [*self._touched(names.bound([node]), node), node]

    def _inner(self, node: ast.AST) -> _Rewriter:
        return _Rewriter(self._file, getattr(node, "name", "lambda"), node, self._stateful)

    def _defaults(self, args: ast.arguments) -> ast.arguments:
        args.defaults = [self.visit(d) for d in args.defaults]
        args.kw_defaults = [None if d is None else self.visit(d) for d in args.kw_defaults]
        return args

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        node.args = self._defaults(node.args)
        if not _generates(node.body):
            node.body = self._inner(node).visit(node.body)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        mangle = _Mangle(node.name)
        for method in node.body:
            if isinstance(method, ast.FunctionDef):
                mangle.visit(method)
                self.visit_FunctionDef(method)
        return node

    def visit_Global(self, node: ast.Global) -> Any:
        return ast.copy_location(ast.Pass(), node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> Any:
        return ast.copy_location(ast.Pass(), node)

    # Blocks

    def _block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in statements:
            new = self.visit(statement)
            done += new if isinstance(new, list) else [new]
        return done or [ast.Pass()]

    def _as_function(
        self, body: list[ast.stmt], bound: Sequence[str], where: ast.AST, arg: str | None = None
    ) -> tuple[ast.stmt, ast.expr]:
        """A block as a local function: its definition and its name."""
        self._count += 1
        name = f"_anima_block_{self._count}"
        shared = [n for n in bound if n not in self._globals]
        head: list[ast.stmt] = [ast.Nonlocal(shared)] if shared else []
        head += [ast.Global([n]) for n in bound if n in self._globals]
        new = names.definition(name, [arg] if arg else [], [*head, *body])
        return names.at(new, where), names.load(name)  # type: ignore[return-value]

    def _shared(self, bound: Sequence[str]) -> ast.expr:
        return ast.Tuple([ast.Constant(n) for n in bound if n not in self._globals], ast.Load())

    def visit_If(self, node: ast.If) -> Any:
        bound = names.bound([*node.body, *node.orelse])
        body, body_name = self._as_function(self._block(node.body), bound, node.body[0])
        done, other_name = [body], ast.Constant(None)
        if node.orelse:
            other, other_name = self._as_function(self._block(node.orelse), bound, node.orelse[0])  # type: ignore[assignment]
            done.append(other)
        made = names.call("if_", self.visit(node.test), body_name, other_name, self._shared(bound))
        return [*done, self._statement(made, node)]

    def _statement(self, value: ast.expr, where: ast.stmt) -> ast.stmt:
        """An expression as a statement at the first line of `where`."""
        statement = ast.Expr(value)
        for inner in ast.walk(statement):
            if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
                ast.copy_location(inner, where)
                inner.end_lineno, inner.end_col_offset = where.lineno, where.col_offset + 1  # type: ignore[attr-defined]
        return statement

    def _stop(self, node: ast.For | ast.While) -> tuple[list[ast.stmt], ast.expr]:
        stops = stops_of(node)
        if not stops:
            return [], ast.Constant(None)
        body = [ast.Return(names.call("none_of", *[names.load(n) for n in stops]))]
        stop, name = self._as_function(body, [], node)  # type: ignore[arg-type]
        return [stop], name

    def visit_While(self, node: ast.While) -> Any:
        bound = names.bound([node.test, *node.body])
        test, test_name = self._as_function([ast.Return(self.visit(node.test))], bound, node.test)
        body, body_name = self._as_function(self._block(node.body), bound, node.body[0])
        stop, stop_name = self._stop(node)
        made = names.call("while_", test_name, body_name, stop_name, self._shared(bound))
        return [test, body, *stop, self._statement(made, node)]

    def visit_For(self, node: ast.For) -> Any:
        bound = names.bound([node.target, *node.body])
        take = ast.Assign([node.target], names.load("_anima_item"))
        names.at(take, node.target)
        statements = [*self._block([take]), *self._block(node.body)]
        body, body_name = self._as_function(statements, bound, node.body[0], "_anima_item")
        stop, stop_name = self._stop(node)
        made = names.call("for_", self.visit(node.iter), body_name, stop_name, self._shared(bound))
        return [body, *stop, self._statement(made, node)]

    def visit_Try(self, node: ast.Try) -> Any:
        body = self._block(node.body)
        if node.handlers:  # what is raised here by a condition cannot be caught when the program runs
            body = [ast.With([ast.withitem(names.call("guarded"))], body)]
        node.body = body
        for handler in node.handlers:
            handler.body = self._block(handler.body)
        node.orelse = self._block(node.orelse) if node.orelse else []
        node.finalbody = self._block(node.finalbody) if node.finalbody else []
        return names.at(node, node)

    def visit_TryStar(self, node: Any) -> Any:
        return self.visit_Try(node)

    def visit_With(self, node: ast.With) -> Any:
        for item in node.items:
            item.context_expr = self.visit(item.context_expr)
        node.body = self._block(node.body)
        return node

    def visit_Match(self, node: ast.Match) -> Any:
        node.subject = self.visit(node.subject)
        for case in node.cases:
            case.guard = self.visit(case.guard) if case.guard is not None else None
            case.body = self._block(case.body)
        return node

    def visit_Assert(self, node: ast.Assert) -> Any:
        message = _thunk(self.visit(node.msg)) if node.msg is not None else ast.Constant(None)
        return names.at(ast.Expr(names.call("assert_", self.visit(node.test), message)), node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        if node.exc is not None:
            cause = [self.visit(node.cause)] if node.cause is not None else []
            node.exc = names.call("raising", self.visit(node.exc))
            node.cause = cause[0] if cause else None
        return names.at(node, node)

    # Assignments

    def visit_Assign(self, node: ast.Assign) -> Any:
        node.value = self.visit(node.value)
        if all(_plain(t) for t in node.targets):
            return [*self._touched(names.bound(node.targets), node), node]
        self._count += 1
        temporary = f"_anima_value_{self._count}"
        done: list[ast.stmt] = [names.assign(temporary, node.value)]
        for target in node.targets:
            done += self._store(target, names.load(temporary))
        return [names.at(s, node) for s in done]

    def _store(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """Statements that store `value`, which is a variable, from left to right."""
        match target:
            case ast.Attribute(value=base, attr=attr):
                return [ast.Expr(names.call("set_attr", value, self.visit(base), ast.Constant(attr)))]
            case ast.Subscript(value=base, slice=index):
                return [ast.Expr(names.call("set_item", value, self.visit(base), self._index(index)))]
            case ast.Tuple() | ast.List():
                parts: list[tuple[ast.expr, str]] = []
                unpacked: list[ast.expr] = []
                for item in target.elts:
                    self._count += 1
                    temporary = f"_anima_value_{self._count}"
                    name: ast.expr = ast.Name(temporary, ast.Store())
                    starred = isinstance(item, ast.Starred)
                    parts.append((item.value if isinstance(item, ast.Starred) else item, temporary))
                    unpacked.append(ast.Starred(name, ast.Store()) if starred else name)
                done: list[ast.stmt] = [ast.Assign([ast.Tuple(unpacked, ast.Store())], value)]
                for item, temporary in parts:
                    done += self._store(item, names.load(temporary))
                return done
        return [*self._touched(names.bound([target]), target), ast.Assign([target], value)]

    def _index(self, index: ast.expr) -> ast.expr:
        """The expression of an index outside of brackets."""
        if isinstance(index, ast.Slice):
            parts = [
                ast.Constant(None) if p is None else self.visit(p)
                for p in (index.lower, index.upper, index.step)
            ]
            return names.call("slice", *parts)
        if isinstance(index, ast.Tuple):
            return ast.Tuple([self._index(e) for e in index.elts], ast.Load())
        return self.visit(index)  # type: ignore[no-any-return]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.visit_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if _assigns_inside(node.value) and not isinstance(node.target, ast.Name):
            raise ConversionError(
                f"{self._file}:{node.lineno} ({self._name}): := inside an assignment in place to an attribute or an item",
                advice="Assign the value to a variable in a line of its own.",
            )
        operation, value = ast.Constant(type(node.op).__name__), self.visit(node.value)
        match node.target:
            case ast.Name(id=name):
                old = self.visit(ast.copy_location(names.load(name), node.target))
                new = names.assign(name, names.call("in_place", operation, old, value))
                return [*self._touched([name], node), names.at(new, node)]
            case ast.Attribute(value=base, attr=attr):
                made = names.call(
                    "in_place_attr", operation, self.visit(base), ast.Constant(attr), _thunk(value)
                )
            case ast.Subscript(value=base, slice=index):
                made = names.call(
                    "in_place_item", operation, self.visit(base), self._index(index), _thunk(value)
                )
        return names.at(ast.Expr(made), node)

    def visit_Delete(self, node: ast.Delete) -> Any:
        done: list[ast.stmt] = []
        for target in node.targets:
            match target:
                case ast.Attribute(value=base, attr=attr):
                    done.append(ast.Expr(names.call("del_attr", self.visit(base), ast.Constant(attr))))
                case ast.Subscript(value=base, slice=index):
                    done.append(ast.Expr(names.call("del_item", self.visit(base), self._index(index))))
                case _:
                    done += [*self._touched(names.bound([target]), target), ast.Delete([target])]
        return [names.at(s, node) for s in done]

    def _touched(self, bound: Sequence[str], where: ast.AST) -> list[ast.stmt]:
        """For the names that this function shares with others: what notes that it is about to write them."""
        shared = [n for n in bound if n in self._globals or n in self._nonlocals]
        return [names.at(ast.Expr(names.call("touch", _thunk(names.load(n)))), where) for n in shared]  # type: ignore[misc]

    # Expressions

    def visit_Name(self, node: ast.Name) -> Any:
        if isinstance(node.ctx, ast.Load) and node.id in self._stateful:
            return names.at(names.call("value", ast.copy_location(names.load(node.id), node)), node)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        if _assigns_inside(*node.values[1:]):
            return self.generic_visit(node)
        first, *others = [self.visit(v) for v in node.values]
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        return names.at(names.call(name, first, *map(_thunk, others)), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        self.generic_visit(node)
        return names.at(names.call("not_", node.operand), node) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        if _assigns_inside(node.body, node.orelse):
            return self.generic_visit(node)
        self.generic_visit(node)
        return names.at(names.call("if_else", node.test, _thunk(node.body), _thunk(node.orelse)), node)

    def visit_Compare(self, node: ast.Compare) -> Any:
        if _assigns_inside(*node.comparators[1:]):
            return self.generic_visit(node)
        self.generic_visit(node)
        kinds = [type(op).__name__ for op in node.ops]
        if len(kinds) == 1 and kinds[0] not in ("In", "NotIn"):
            return node
        steps = [ast.Tuple([ast.Constant(k), _thunk(c)], ast.Load()) for k, c in zip(kinds, node.comparators)]
        if _assigns_inside(node.comparators[0]):
            return node
        return names.at(names.call("compare", node.left, *steps), node)

    def visit_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == names.OPERATORS:
            return self.generic_visit(node)
        if isinstance(node.func, ast.Name):
            name = node.func.id
            if name in _BY_NAME and not (node.args and name in ("vars", "dir")):
                raise ConversionError(
                    f"{self._file}:{node.lineno} ({self._name}): {name}() looks at the function's own variables, which "
                    "converted code keeps elsewhere",
                    advice="Leave it out, or move it into a function marked with do_not_convert.",
                )
            if name == "super" and not node.args and self._first is not None:
                node.args = [names.load("__class__"), names.load(self._first)]
                return names.at(node, node)
        self.generic_visit(node)
        node.func = names.call("function", node.func)
        return names.at(node, node)

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        self.generic_visit(node)
        node.ifs = [names.call("keeps", test) for test in node.ifs]
        return node


def _plain(target: ast.expr) -> bool:
    """Whether a target stores into variables only."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_plain, target.elts))
    return isinstance(target, ast.Name) or (isinstance(target, ast.Starred) and _plain(target.value))

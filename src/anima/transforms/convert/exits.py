"""`return`, `break` and `continue` as flags, `else` of loops and simple `match` statements as `if`.

Invariant: the tree that comes out computes the same in plain Python. It has one `return`, at its end; no `break` and
`continue`; loops that may be left early carry the flags that end them. What follows an `if` with a branch that leaves goes
into the other branch, so that a chain of early returns becomes nested branches of which each gives a result.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

from anima.errors import ConversionError
from anima.transforms.convert import names

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class _Flow(NamedTuple):
    """Statements without exits, the flags that they may set, and whether they always set one."""

    body: list[ast.stmt]
    may: frozenset[str]
    must: bool


class _Loop(NamedTuple):
    """The flags of the innermost loop."""

    broken: str
    continued: str


def stops_of(loop: ast.For | ast.While) -> Sequence[str]:
    """The flags that end a loop before its next iteration."""
    return getattr(loop, "_anima_stops", ())


def lower_exits(function: ast.FunctionDef, file: str) -> None:
    """Rewrite the body of `function` in place, but not the functions inside.

    Raises:
      ConversionError: a `finally` block leaves the function or a loop.
    """
    lowering = _Exits(file, function.name)
    *head, last = function.body
    if isinstance(last, ast.Return) and not _leaves(head, ast.Return):
        flow = lowering.block(head, None)
        function.body = [*flow.body, last]
        return
    flow = lowering.block(function.body, None)
    if names.RETURNED not in flow.may:
        function.body = flow.body
        return
    nothing = _at(names.assign(names.RESULT, ast.Constant(None)), last)
    rest = [] if flow.must else [_guarded(flow.may, [nothing], last)]
    start = _at(names.assign(names.RETURNED, ast.Constant(False)), function.body[0])
    end = _at(ast.Return(names.call("result", names.load(names.RESULT))), last)
    function.body = [start, *flow.body, *rest, end]


def _leaves(statements: Iterable[ast.AST], *kinds: type[ast.AST]) -> bool:
    for node in statements:
        if isinstance(node, kinds):
            return True
        if not isinstance(node, (*_FUNCTIONS, ast.Lambda)) and _leaves(ast.iter_child_nodes(node), *kinds):
            return True
    return False


def _at(node: ast.stmt, where: ast.AST) -> ast.stmt:
    names.at(node, where)
    return node


def _clear(flags: Iterable[str]) -> ast.expr:
    """The expression for: none of the flags is set."""
    return names.call("none_of", *[names.load(flag) for flag in sorted(flags)])


def _guarded(flags: Iterable[str], body: list[ast.stmt], where: ast.AST) -> ast.stmt:
    return _at(ast.If(_clear(flags), body, []), where)


def _followed(flow: _Flow, after: _Flow, where: ast.AST) -> _Flow:
    """Statements, and what comes behind them unless they leave."""
    body = [_guarded(flow.may, after.body, where)] if flow.may else after.body
    return _Flow([*flow.body, *body], flow.may | after.may, flow.must or after.must)


class _Exits:
    def __init__(self, file: str, function: str) -> None:
        self._file = file
        self._function = function
        self._count = 0

    def block(self, statements: Sequence[ast.stmt], loop: _Loop | None) -> _Flow:
        """The statements of a block, those behind an exit under the condition that it was not taken."""
        done: list[ast.stmt] = []
        may: frozenset[str] = frozenset()
        for index, statement in enumerate(statements):
            rest = list(statements[index + 1 :])
            if isinstance(statement, ast.If) and _leaves([statement], ast.Return, ast.Break, ast.Continue):
                flow = self._branch(statement, rest, loop)
                return _Flow(done + flow.body, may | flow.may, flow.must)
            flow = self._statement(statement, loop)
            done += flow.body
            may |= flow.may
            if flow.must:
                return _Flow(done, may, True)
            if flow.may and rest:
                flow = _followed(_Flow([], flow.may, False), self.block(rest, loop), rest[0])
                return _Flow(done + flow.body, may | flow.may, flow.must)
        return _Flow(done, may, False)

    def _branch(self, statement: ast.If, rest: list[ast.stmt], loop: _Loop | None) -> _Flow:
        """An `if` that may leave, and what follows it, which goes into the branch that stays."""
        body, orelse = self.block(statement.body, loop), self.block(statement.orelse, loop)
        after: _Flow | None = None
        if rest and not (body.must and orelse.must):
            after = self.block(rest, loop)
            if body.must:
                orelse, after = _followed(orelse, after, rest[0]), None
            elif orelse.must:
                body, after = _followed(body, after, rest[0]), None
        statement.body, statement.orelse = body.body or [_at(ast.Pass(), statement)], orelse.body
        may, must = body.may | orelse.may, body.must and orelse.must
        return (
            _followed(_Flow([statement], may, must), after, rest[0])
            if after
            else _Flow([statement], may, must)
        )

    def _statement(self, statement: ast.stmt, loop: _Loop | None) -> _Flow:
        match statement:
            case ast.Return(value=value):
                result = names.assign(names.RESULT, value or ast.Constant(None))
                return self._exit([result], names.RETURNED, statement)
            case ast.Break() if loop is not None:
                return self._exit([], loop.broken, statement)
            case ast.Continue() if loop is not None:
                return self._exit([], loop.continued, statement)
            case ast.If():
                return self._branch(statement, [], loop)
            case ast.While() | ast.For():
                return self._loop(statement, loop)
            case ast.With():
                flow = self.block(statement.body, loop)
                statement.body = flow.body
                return _Flow([statement], flow.may, flow.must)
            case ast.Try() | ast.TryStar():
                return self._try(statement, loop)
            case ast.Match():
                return self._match(statement, loop)
        return _Flow([statement], frozenset(), False)

    def _exit(self, before: list[ast.stmt], flag: str, where: ast.stmt) -> _Flow:
        statements = [*before, names.assign(flag, ast.Constant(True))]
        return _Flow([_at(s, where) for s in statements], frozenset([flag]), True)

    def _loop(self, statement: ast.While | ast.For, outer: _Loop | None) -> _Flow:
        self._count += 1
        loop = _Loop(f"_anima_break_{self._count}", f"_anima_continue_{self._count}")
        flow = self.block(statement.body, loop)
        before: list[ast.stmt] = []
        after: list[ast.stmt] = []
        body = flow.body
        if loop.continued in flow.may:
            body = [_at(names.assign(loop.continued, ast.Constant(False)), body[0]), *body]
        if loop.broken in flow.may:
            before.append(_at(names.assign(loop.broken, ast.Constant(False)), statement))
        leaving = flow.may - {loop.continued}
        may = flow.may & {names.RETURNED}
        if statement.orelse:
            otherwise = self.block(statement.orelse, outer)
            after = [_guarded(leaving, otherwise.body, statement.orelse[0])] if leaving else otherwise.body
            may |= otherwise.may
        statement.body, statement.orelse = body, []
        statement._anima_stops = sorted(leaving)  # type: ignore[union-attr]
        endless = isinstance(statement, ast.While) and getattr(statement.test, "value", None) is True
        return _Flow([*before, statement, *after], may, endless and loop.broken not in flow.may)

    def _try(self, statement: ast.Try | ast.TryStar, loop: _Loop | None) -> _Flow:
        final = self.block(statement.finalbody, loop)
        if final.may:
            self._refuse(statement.finalbody[0], "a finally block that leaves the function or a loop")
        statement.finalbody = final.body
        body = self.block(statement.body, loop)
        may = body.may
        statement.body = body.body
        if statement.orelse:
            orelse = self.block(statement.orelse, loop)
            statement.orelse = (
                [_guarded(body.may, orelse.body, statement.orelse[0])] if body.may else orelse.body
            )
            may |= orelse.may
        for handler in statement.handlers:
            flow = self.block(handler.body, loop)
            handler.body = flow.body
            may |= flow.may
        return _Flow([statement], may, False)

    def _match(self, statement: ast.Match, loop: _Loop | None) -> _Flow:
        """A chain of `if` where all patterns are values, alternatives of values or names; else the cases in place."""
        self._count += 1
        subject = f"_anima_subject_{self._count}"
        tests = [_test(case, subject) for case in statement.cases]
        if any(test is None for test in tests):
            flows = [self.block(case.body, loop) for case in statement.cases]
            for case, flow in zip(statement.cases, flows):
                case.body = flow.body
            return _Flow([statement], frozenset().union(*[f.may for f in flows]), False)
        chain: list[ast.stmt] = []
        for case, test in zip(reversed(statement.cases), reversed(tests)):
            assert test is not None
            chain = [_at(ast.If(test, case.body, chain), case.body[0])]
            if (
                isinstance(case.pattern, ast.MatchAs) and case.pattern.name is not None
            ):  # bound before the guard
                chain = [_at(names.assign(case.pattern.name, names.load(subject)), case.pattern), *chain]
        first = _at(names.assign(subject, statement.subject), statement)
        flow = self.block(chain, loop)
        return _Flow([first, *flow.body], flow.may, flow.must)

    def _refuse(self, node: ast.stmt, what: str) -> NoReturn:
        raise ConversionError(
            f"{self._file}:{node.lineno} ({self._function}): {what} cannot be converted",
            advice="Move the exit out of the finally block.",
        )


def _test(case: ast.match_case, subject: str) -> ast.expr | None:
    """The condition of a case; None if only `match` itself can decide it."""
    pattern, guard = case.pattern, case.guard
    test = _pattern(pattern, subject)
    if test is None or guard is None:
        return test
    return guard if isinstance(test, ast.Constant) else ast.BoolOp(ast.And(), [test, guard])


def _pattern(pattern: ast.pattern, subject: str) -> ast.expr | None:
    match pattern:
        case ast.MatchValue(value=value):
            return ast.Compare(names.load(subject), [ast.Eq()], [value])
        case ast.MatchSingleton(value=value):
            return ast.Compare(names.load(subject), [ast.Is()], [ast.Constant(value)])
        case ast.MatchAs(pattern=None):
            return ast.Constant(True)
        case ast.MatchOr(patterns=patterns):
            tests = [_pattern(p, subject) for p in patterns]
            if any(t is None for t in tests):
                return None
            return ast.BoolOp(ast.Or(), [t for t in tests if t is not None])
    return None

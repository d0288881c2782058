"""`breakpoint`: a prompt in the middle of a program that runs, with the values of the variables around it.

Invariant: what the prompt shows are the frames as they were when `breakpoint` was called, traced values among their
variables replaced by those of the run. Looking changes nothing: assignments at the prompt stay at the prompt.
"""

from __future__ import annotations

import bdb
import cmd
import linecache
import pprint
import sys
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any, TextIO

from anima._native import PyTreeDef, get_trace, tree_flatten, tree_unflatten, treedef_leaf
from anima.core.effects import DebugEffect, OrderedDebugEffect
from anima.core.source import Position, is_internal
from anima.core.trace import Tracer, aval_of, encloses
from anima.debug.printing import look
from anima.transforms.callback_primitives import HostFunction, pure_callback_p

_CONTEXT = 5  # lines of source shown before and after


class Frame:
    """A frame of the user's program, as it was when the breakpoint was traced."""

    __slots__ = ("code", "globals", "line", "locals")

    def __init__(self, code: CodeType, line: int, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        self.code = code
        self.line = line
        self.locals = locals_
        self.globals = globals_

    def with_locals(self, locals_: dict[str, Any]) -> Frame:
        """The same frame with other values."""
        return Frame(self.code, self.line, locals_, self.globals)

    def __str__(self) -> str:
        return f'File "{self.code.co_filename}", line {self.line}, in {self.code.co_qualname}'

    def source(self) -> str:
        """The lines around, an arrow at the current one."""
        shown = []
        for number in range(max(self.line - _CONTEXT, 1), self.line + _CONTEXT + 1):
            text = linecache.getline(self.code.co_filename, number)
            if text:
                shown.append(f"{'->' if number == self.line else '  '} {number:4d}  {text.rstrip()}")
        return "\n".join(shown) or "(the source is not at hand)"


def _user_frames(filter_frames: bool, num_frames: int | None) -> list[Frame]:
    """The frames that called `breakpoint`, the innermost first."""
    found: list[Frame] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and (num_frames is None or len(found) <= num_frames):
        code = frame.f_code
        if not (filter_frames and is_internal(code)):
            line = Position(code, frame.f_lasti).line
            found.append(Frame(code, line, dict(frame.f_locals), frame.f_globals))
        frame = frame.f_back
    return found


class Debugger(cmd.Cmd):
    """The prompt. Commands are pdb's; anything else is Python, run with the frame's variables."""

    prompt = "(anima) "

    def __init__(
        self, frames: Sequence[Frame], stdin: TextIO | None = None, stdout: TextIO | None = None
    ) -> None:
        super().__init__(stdin=stdin, stdout=stdout)
        # Python's own input() writes its prompt to the real standard output, wherever it is sent.
        terminal = sys.__stdin__
        self.use_rawinput = (
            stdin is None and terminal is not None and sys.stdin is terminal and terminal.isatty()
        )
        self._frames = list(frames)
        self._current = 0

    def run(self) -> None:
        """Read commands until one goes on.

        Raises:
          bdb.BdbQuit: the user quit.
        """
        self.cmdloop(f"Stopped at a breakpoint.\n> {self._frame}\n{self._frame.source()}")

    @property
    def _frame(self) -> Frame:
        return self._frames[self._current]

    def _say(self, text: str) -> None:
        self.stdout.write(f"{text}\n")

    def emptyline(self) -> bool:
        """An empty line does nothing."""
        return False

    def default(self, line: str) -> None:
        """Run a line of Python."""
        self._run(line.removeprefix("!"), repr)

    def _run(self, text: str, show: Any) -> None:
        frame = self._frame
        scope = {**frame.globals, **frame.locals}
        try:
            try:
                value = eval(text, scope)
            except SyntaxError:
                before = dict(scope)
                exec(text, scope)
                changed = {k: v for k, v in scope.items() if k not in before or before[k] is not v}
                frame.locals.update({k: v for k, v in changed.items() if k != "__builtins__"})
                return
            if value is not None:
                self._say(show(value))
        except Exception as error:
            self._say(f"*** {type(error).__name__}: {error}")

    def do_p(self, arg: str) -> None:
        """p EXPRESSION: show a value."""
        self._run(arg, repr)

    def do_pp(self, arg: str) -> None:
        """pp EXPRESSION: show a value, laid out over several lines."""
        self._run(arg, pprint.pformat)

    def do_list(self, arg: str) -> None:
        """l(ist): show the source around the current line."""
        self._say(f"> {self._frame}\n{self._frame.source()}")

    def do_locals(self, arg: str) -> None:
        """locals: show all variables of the frame."""
        for name, value in self._frame.locals.items():
            self._say(f"{name} = {value!r}")

    def do_where(self, arg: str) -> None:
        """w(here), bt: show all frames, the innermost last."""
        for index in reversed(range(len(self._frames))):
            mark = ">" if index == self._current else " "
            frame = self._frames[index]
            text = linecache.getline(frame.code.co_filename, frame.line).strip()
            self._say(f"{mark} {frame}" + (f"\n    {text}" if text else ""))

    def _move(self, by: int, end: str) -> None:
        target = self._current + by
        if not 0 <= target < len(self._frames):
            self._say(f"*** this is the {end} frame")
            return
        self._current = target
        self.do_list("")

    def do_up(self, arg: str) -> None:
        """u(p): go to the frame that called this one."""
        self._move(1, "outermost")

    def do_down(self, arg: str) -> None:
        """d(own): go to the frame that this one called."""
        self._move(-1, "innermost")

    def do_continue(self, arg: str) -> bool:
        """c(ontinue): let the program go on."""
        return True

    def do_quit(self, arg: str) -> bool:
        """q(uit): end the program with an error."""
        raise bdb.BdbQuit

    def do_EOF(self, arg: str) -> bool:
        """End of the input: as quit."""
        self._say("")
        raise bdb.BdbQuit

    do_l = do_list
    do_w = do_bt = do_where
    do_u, do_d = do_up, do_down
    do_c = do_cont = do_continue
    do_q = do_exit = do_quit


def breakpoint(
    *,
    backend: str | None = None,
    filter_frames: bool = True,
    num_frames: int | None = None,
    ordered: bool = False,
    token: Any = None,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
) -> Any:
    """Stop the program at this point, when it runs, and read commands.

    The prompt knows pdb's commands `p`, `pp`, `l`, `w`, `u`, `d`, `c`, `q` and `locals`; other input is Python. In
    compiled programs too it shows the variables of the frames around the call, with the values of the run; under `vmap`
    it stops once for each example.

    Args:
      backend: "cli" or None: the prompt on standard input and output.
      filter_frames: leave out this package's own frames.
      num_frames: how many frames above the innermost one to keep; None for all.
      ordered: whether it stops after all ordered callbacks that come before it in the program.
      token: an array or a pytree of them, in place of `ordered`: the program stops once its value is there. Use the one
        that is returned from then on; if that is not used, the program does not stop.
      stdin, stdout: where to read and write instead.
    Returns:
      `token`.
    Raises:
      ValueError: there is no such backend, or `ordered` and `token` are both given. bdb.BdbQuit: the user quit, in an
        eager call; in a compiled program that is a JaxRuntimeError, as for every callback.

    >>> import anima, io, sys
    >>> def f(x):
    ...     y = x + 1
    ...     anima.debug.breakpoint(stdin=io.StringIO("p y"), stdout=sys.stdout, num_frames=0)
    ...     return 2 * y
    >>> anima.jit(f)(1.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    anima.errors.JaxRuntimeError: INTERNAL: a Python callback raised BdbQuit:
    """
    if backend not in (None, "cli"):
        raise ValueError(f"debug.breakpoint: the only backend is 'cli', got {backend!r}")
    if ordered and token is not None:
        raise ValueError("debug.breakpoint: give ordered or token, not both: a token has an order already")
    frames = _user_frames(filter_frames, num_frames)
    operands, fill = _taken_out(frames)

    def stop(*values: Any) -> None:
        Debugger(fill(values), stdin, stdout).run()

    if token is None:
        effect = OrderedDebugEffect() if ordered else DebugEffect()
        look("debug.breakpoint", stop, tuple(operands), {}, effect)
        return None
    return _stop_at(token, stop, operands)


def _stop_at(token: Any, stop: Any, operands: Sequence[Any]) -> Any:
    """`token` from a program that stops on the way."""
    leaves, tree = tree_flatten(token)
    count = len(leaves)

    def passed(*values: Any) -> Any:
        stop(*values[count:])
        return list(values[:count])

    given = [*leaves, *operands]
    _, in_tree = tree_flatten((tuple(given), {}))
    _, out_tree = tree_flatten(leaves)
    function = HostFunction("debug.breakpoint", "breakpoint", passed, in_tree, out_tree)
    avals = tuple([aval_of(x).strip_weak_type() for x in leaves])  # type: ignore[attr-defined]
    outs = pure_callback_p.bind(
        *given, callback=function, result_avals=avals, sharding=None, vmap_method="sequential"
    )
    return tree_unflatten(tree, outs)


def _taken_out(frames: Sequence[Frame]) -> tuple[list[Any], Callable[[Sequence[Any]], list[Frame]]]:
    """The traced values among the frames' variables, and a function that puts others in their places."""
    operands: list[Any] = []
    plans = []
    for frame in frames:
        variables = []
        for name, value in frame.locals.items():
            leaves, tree = _flattened(value)
            live = [_is_live(x) for x in leaves]
            operands += [x for x, taken in zip(leaves, live) if taken]
            variables.append((name, tree, [None if taken else x for x, taken in zip(leaves, live)], live))
        plans.append((frame.with_locals({}), variables))

    def fill(values: Sequence[Any]) -> list[Frame]:
        given = iter(values)
        return [
            frame.with_locals(
                {
                    name: tree_unflatten(tree, [next(given) if taken else x for x, taken in zip(fixed, live)])
                    for name, tree, fixed, live in variables
                }
            )
            for frame, variables in plans
        ]

    return operands, fill


def _flattened(value: Any) -> tuple[list[Any], PyTreeDef]:
    """The leaves of a variable; one that is no proper tree is a leaf."""
    try:
        return tree_flatten(value)
    except Exception:
        return [value], treedef_leaf()


def _is_live(value: Any) -> bool:
    """Whether a value is a tracer whose value the program will have here."""
    return isinstance(value, Tracer) and encloses(value._trace, get_trace())

"""Random programs of transformations, control flow and plain operations, as data that prints as Python.

Invariant: every decision is a number drawn from a small range, with the simplest choice at zero, so a failing program
shrinks; a program's text runs with `anima` and, for what it must compute, with the names of `oracle.py`. Shapes and kinds
of values are found by running each plain operation once with NumPy.
"""

from __future__ import annotations

import string
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.transforms import oracle, vocabulary
from tests.transforms.vocabulary import lines

SIZES = (2, 3, 2, 1, 0)
LARGEST = 36  # elements of a value
DEEPEST = 4
# What no variable is called: keywords, `np`, the program, and parameters of the lambdas that programs are drawn with.
TAKEN = frozenset(["as", "if", "in", "is", "or", "np", "f", "c", "g", "i", "m", "r", "u", "v", "x", "y"])
DTYPES = {"f": "Float", "i": "Int", "c": "Complex", "b": "bool"}

UNARY = {kind: lines(text) for kind, text in vocabulary.UNARY.items()}
BINARY = [(kinds, line) for kinds, text in vocabulary.BINARY.items() for line in lines(text)]
AXES = [(kinds, line) for kinds, text in vocabulary.AXES.items() for line in lines(text)]
PAIRS = [(kinds, line) for kinds, text in vocabulary.PAIRS.items() for line in lines(text)]
LINEAR = [(kinds, line) for kinds, text in vocabulary.LINEAR.items() for line in lines(text)]
PLACES, TABLES = lines(vocabulary.PLACES), lines(vocabulary.TABLES)
CONSTANTS = lines(vocabulary.CONSTANTS)


@dataclass(frozen=True)
class Var:
    """A variable of a program."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Function:
    """An inner function: parameters as they are written, the statements, the result."""

    name: str
    params: str
    body: tuple[str | Function, ...]
    result: str

    def text(self, indent: str = "") -> Iterator[str]:
        yield f"{indent}def {self.name}({self.params}):"
        for item in self.body:
            if isinstance(item, Function):
                yield from item.text(indent + "    ")
            else:
                yield f"{indent}    {item}"
        yield f"{indent}    return {self.result}"


@dataclass(frozen=True)
class Input:
    """An argument of a program. `form`: a strongly typed array, a "narrow" one of half the width, or a Python number."""

    name: str
    kind: str
    shape: tuple[int, ...]
    form: str = "array"


@dataclass(frozen=True)
class Program:
    """A function `f` with everything that is needed to run and to check it.

    Attributes:
      wide: runs in 64-bit mode. mixed: some values have half of the mode's width, bfloat16 among them in 32-bit mode.
      forward, reverse: whether it may be differentiated so.
      order: how many derivatives are inside each other; 3 also for programs that NumPy cannot follow.
      choice: a number from which values, axes and directions are derived.
    """

    inputs: tuple[Input, ...]
    function: Function
    wide: bool
    mixed: bool
    forward: bool
    reverse: bool
    order: int
    choice: int

    @property
    def source(self) -> str:
        """The text of `f`."""
        return "\n".join(self.function.text())

    def __repr__(self) -> str:
        from_text = ", ".join(f"Input{(i.name, i.kind, i.shape, i.form)}" for i in self.inputs)
        flags = {n: getattr(self, n) for n in ("wide", "mixed", "forward", "reverse", "order", "choice")}
        body = "\n".join("    " + line for line in self.source.splitlines())
        return (
            f'from_text(\n    [{from_text}],\n    """\n{body}\n    """,\n    '
            + ", ".join(f"{k}={v}" for k, v in flags.items())
            + ",\n)"
        )


class Rejected(Exception):
    """A statement that cannot be: NumPy refuses it, or the value is too large."""


class Maker:
    """Draws a program. `number(n)` gives a number from 0 to n - 1; zero is the simplest choice."""

    def __init__(
        self, number: Callable[[int], int], features: frozenset[str], structures: Sequence[Structure]
    ) -> None:
        self.number = number
        self.features = features
        self.available = structures
        self.count = 0
        self.functions = 0
        self.structures = 2 + number(5)
        self.depth = 0
        self.order = 0  # derivatives around here
        self.highest = 0
        self.scope: list[Var] = []
        self.start = 0  # where the variables of the present function begin
        self.body: list[str | Function] = []
        self.axes: tuple[tuple[str, int], ...] = ()  # names and sizes of mapped axes around here
        self.under_forward = self.under_reverse = False
        self.forward = self.reverse = True  # whether the whole program may be differentiated so
        self.mixed = self.maybe(6)
        self.wide = number(2) < 1 if self.mixed else number(4) < 3
        self.dtypes = {**DTYPES, "f": "Narrow"} if self.mixed and self.maybe(2) else DTYPES

    # --- choices ---

    def choose(self, options: Sequence[Any]) -> Any:
        if not options:
            raise Rejected
        return options[self.number(len(options))]

    def maybe(self, out_of: int) -> bool:
        """True once in so many times."""
        return self.number(out_of) == out_of - 1

    def pick(self, kinds: str = "fcib", wanted: Callable[[Var], bool] = lambda v: True) -> Var:
        """A variable in scope, the most recent ones first."""
        fit = [v for v in reversed(self.scope) if v.kind in kinds and wanted(v)]
        found: Var = self.choose(fit[:3] if self.number(3) < 2 else fit)
        return found

    # --- statements ---

    def fresh(self, kind: str, shape: tuple[int, ...]) -> Var:
        letters = string.ascii_lowercase
        n, name = self.count, ""
        while True:
            name = letters[n % 26] + name
            n = n // 26 - 1
            if n < 0:
                break
        self.count += 1
        return Var(name + "_" if name in TAKEN else name, kind, shape)

    def let(self, text: str, *operands: Var) -> Var:
        """A statement for an expression of these operands; its type is what NumPy makes of it."""
        names = dict(oracle.NAMES)
        for v in operands:
            names[v.name] = np.ones(v.shape, {"f": float, "c": complex, "i": np.int64, "b": bool}[v.kind])
        try:
            value = np.asarray(eval(text, names))
        except (ValueError, IndexError, TypeError, np.exceptions.AxisError):
            raise Rejected from None
        if value.size > LARGEST or value.ndim > 4 or value.dtype.kind not in "fciub":
            raise Rejected
        var = self.fresh({"u": "i"}.get(value.dtype.kind, value.dtype.kind), value.shape)
        self.body.append(f"{var.name} = {text}")
        self.scope.append(var)
        return var

    def plain(self) -> None:
        """One plain operation."""
        for kind in (self.number(8), 0):
            try:
                return (
                    self.unary, self.unary, self.binary, self.binary, self.with_axis, self.with_axis, self.pair,
                    self.indexed,
                )[kind]()  # fmt: skip
            except Rejected:
                continue

    def unary(self) -> None:
        v = self.pick()
        text = self.choose(UNARY[v.kind])
        if not self.mixed and "Narrow" in text:
            raise Rejected
        self.let(self.filled(text, v), v)

    def filled(self, text: str, a: Var, b: Var | None = None) -> str:
        """A line of the vocabulary with its placeholders filled."""
        values = {"a": a.name, "b": b.name if b else ""}
        for name in ("axis", "other"):
            if f"{{{name}}}" in text:
                axis = self.choose(range(len(a.shape)))
                values[name] = str(axis - len(a.shape) if self.maybe(3) and "lax." not in text else axis)
        if "{k}" in text:
            values["k"] = self.choose(vocabulary.NUMBERS)
        if "{n}" in text:
            values["n"] = str(self.number(3))
        return text.format(**values)

    def binary(self) -> None:
        a = self.pick()
        b = self.pick(wanted=lambda v: _broadcast(a.shape, v.shape))
        texts = [text for (left, right), text in BINARY if a.kind in left and b.kind in right]
        self.let(self.filled(self.choose(texts), a, b), a, b)

    def with_axis(self) -> None:
        a = self.pick(wanted=lambda v: bool(v.shape))
        self.let(self.filled(self.choose([t for kinds, t in AXES if a.kind in kinds]), a), a)

    def pair(self) -> None:
        a = self.pick(wanted=lambda v: bool(v.shape))
        b = self.pick(a.kind)
        text = self.choose([t for kinds, t in PAIRS if a.kind in kinds])
        if self.mixed and "lax." in text:  # wants equal dtypes
            raise Rejected
        self.let(self.filled(text, a, b), a, b)

    def indexed(self) -> None:
        a = self.pick(wanted=lambda v: bool(v.shape) and v.shape[0] > 1)
        b = self.pick("i")
        self.let(self.filled(self.choose(TABLES if b.shape else PLACES), a, b), a, b)

    def linear(self, a: Var) -> Var:
        """An operation that is linear in `a`, with a real operand from outside the function if it needs one."""
        text = self.choose([t for kinds, t in LINEAR if a.kind in kinds])
        if "{b}" not in text:
            return self.let(self.filled(text, a), a)
        outside = set(self.scope[: self.start])
        b = self.pick("f", lambda v: v in outside)
        return self.let(self.filled(text, a, b), a, b)

    def constant(self) -> None:
        self.let(self.choose(CONSTANTS))

    def statement(self, structured: bool = False) -> None:
        """One statement: a constant, a plain operation, or (if `structured`, for sure) a structure."""
        if not self.scope or (not structured and self.maybe(12)):
            return self.constant()
        if self.depth < DEEPEST and self.structures and (structured or self.number(3)):
            self.structures -= 1
            known = len(self.scope)
            try:
                return self.choose([s for s in self.available if s.possible(self)]).draw(self)
            except Rejected:
                del self.scope[known:]  # functions that were defined for it stay: they do no harm
        self.plain()

    # --- functions ---

    def define(
        self,
        params: Sequence[tuple[str, tuple[int, ...]]],
        result: Callable[[Sequence[Var]], str],
        head: Callable[[Sequence[str]], tuple[str, Sequence[str]]] | None = None,
        statements: Callable[[Sequence[Var]], None] | None = None,
        **context: Any,
    ) -> str:
        """Draw an inner function and return its name.

        Args:
          params: kinds and shapes of its parameters.
          result: called when its statements are there; gives the text of what it returns.
          head: from the parameters' names to the text of the parameter list and the first statements.
          statements: draws the statements, if they are not to be any.
          context: `sealed`: it uses nothing from outside. `forward`, `reverse`: it is differentiated so. `order`: how many
            derivatives that are. `axis`: name and size of the axis over which it is mapped. `unnamed`: it is mapped by a
            rule, without the names of axes around here.
        """
        with self.inside(**context):
            variables = [self.fresh(*p) for p in params]
            self.scope += variables
            names = [v.name for v in variables]
            text, first = head(names) if head else (", ".join(names), ())
            self.body += first
            if statements:
                statements(variables)
            else:
                for _ in range(1 + self.number(3)):
                    self.statement()
            returned = result(variables)
            body = tuple(self.body)
        name = f"f{self.functions}"
        self.functions += 1
        self.body.append(Function(name, text, body, returned))
        return name

    @contextmanager
    def inside(
        self,
        sealed: bool = False,
        forward: bool = False,
        reverse: bool = False,
        order: int = 0,
        axis: tuple[str, int] | None = None,
        unnamed: bool = False,
    ) -> Iterator[None]:
        names = ("scope", "body", "start", "depth", "order", "under_forward", "under_reverse", "axes")
        saved = {name: getattr(self, name) for name in names}
        self.scope, self.body = [] if sealed else list(self.scope), []
        self.start = len(self.scope)
        self.depth += 1
        self.order += order
        self.highest = max(self.highest, self.order)
        self.under_forward |= forward
        self.under_reverse |= reverse
        self.axes = () if unnamed else self.axes + ((axis,) if axis else ())
        try:
            yield
        finally:
            for name, value in saved.items():
                setattr(self, name, value)

    def results(self, kinds: str = "fcib", most: int = 2, largest: int = 12) -> list[Var]:
        """Some variables to return, from the most recent on."""
        fit = [v for v in reversed(self.scope) if v.kind in kinds and v.size <= largest]
        chosen = [fit[0] if fit else self.exactly("f", ())]
        for _ in range(self.number(most) if fit else 0):
            v = self.choose(fit)
            if v not in chosen:
                chosen.append(v)
        return chosen

    def exactly(self, kind: str, shape: tuple[int, ...]) -> Var:
        """A variable of this kind and shape: a recent one of this function, or one made from what is there."""
        own = [v for v in reversed(self.scope[self.start :]) if v.kind == kind and v.shape == shape]
        if own and not self.maybe(4):
            return self.choose(own[:2])
        if not self.scope:
            return self.let(f"np.full({shape}, {dict(f=0.3, c='0.3j', i=1, b=True)[kind]})")
        v = self.pick()
        fits = (
            len(v.shape) <= len(shape) and np.broadcast_shapes(v.shape, shape) == shape
            if _broadcast(v.shape, shape)
            else False
        )
        value = v.name if fits else f"np.sum({v.name})"
        if kind in "fib" and v.kind == "c":
            value = f"np.real({value})"
        if kind == "b":
            value = f"{value} > 0.123"
        elif kind == "i":
            value = f"np.asarray(np.floor({value} * 1.3), Int) % 4"
        elif kind == "c":
            value = f"{value} * (0.4 + 0.2j)"
        else:
            value = f"{value} * 0.4"
        if (v.shape if fits else ()) != shape:
            value = f"np.broadcast_to({value}, {shape})"
        return self.let(value, v)

    def typed(self, v: Var) -> str:
        """The text of a variable with a dtype that depends on its kind only."""
        if v.kind == "i" or self.mixed or self.maybe(2):  # some functions count with 32 bits
            return f"np.asarray({v.name}, {self.dtypes[v.kind]})"
        return v.name

    def bind(self, types: Sequence[tuple[str, tuple[int, ...]]], call: str, pattern: str = "") -> list[Var]:
        """A statement that takes the results of a call apart; `pattern` has a {} for each, by default a tuple."""
        found = [self.fresh(kind, shape) for kind, shape in types]
        if any(v.size > LARGEST or len(v.shape) > 4 for v in found):
            raise Rejected
        names = [v.name for v in found]
        left = pattern.format(*names) if pattern else tuple_text(names)
        self.body.append(f"{left} = {call}")
        self.scope += found
        return found

    # --- the whole ---

    def program(self) -> Program:
        """A whole program."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._program()

    def _program(self) -> Program:
        inputs = []
        for _ in range(1 + self.number(3)):
            kind = self.choose("fffffffiibcc")
            shape = tuple(
                self.choose(SIZES[: 4 + (self.number(4) == 3)]) for _ in range(self.choose((1, 2, 0, 3)))
            )
            form = "array"
            if shape == () and self.maybe(2):
                form = "number"
            elif self.mixed and self.maybe(2):
                form = "narrow"
            inputs.append(Input(self.fresh(kind, shape).name, kind, shape, form))
        self.scope = [Var(i.name, i.kind, i.shape) for i in inputs]
        for n in range(6):
            self.statement(structured=n == 0)
            if not self.number(5):
                break
        result = tuple_text([v.name for v in self.results(most=3, largest=LARGEST)])
        function = Function("f", ", ".join(i.name for i in inputs), tuple(self.body), result)
        return Program(
            tuple(inputs), function, self.wide, self.mixed, self.forward, self.reverse, self.highest,
            self.number(10_000),
        )  # fmt: skip


def tuple_text(names: Sequence[str]) -> str:
    """A tuple as text; a single name is itself."""
    return names[0] if len(names) == 1 else "(" + ", ".join(names) + ")"


def tuple_always(names: Sequence[str]) -> str:
    """A tuple as text, also of one item or none."""
    return "(" + "".join(f"{n}, " for n in names).rstrip() + ")"


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1]))


@dataclass(frozen=True)
class Structure:
    """A transformation or control flow: draws the functions that it needs, and the statement that calls them.

    `possible`: whether it may stand where the maker is.
    """

    draw: Callable[[Maker], None]
    possible: Callable[[Maker], bool]

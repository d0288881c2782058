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
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.transforms import oracle, vocabulary
from tests.transforms.vocabulary import lines

SIZES = (2, 3, 1, 0)
LARGEST = 36  # elements of a value
DEEPEST = 4
DTYPES = {"f": "Float", "i": "Int", "c": "Complex", "b": "bool"}

UNARY = {kind: lines(text) for kind, text in vocabulary.UNARY.items()}
BINARY = [(kinds, line) for kinds, text in vocabulary.BINARY.items() for line in lines(text)]
AXES = [(kinds, line) for kinds, text in vocabulary.AXES.items() for line in lines(text)]
PAIRS = [(kinds, line) for kinds, text in vocabulary.PAIRS.items() for line in lines(text)]
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
    """An argument of a program. `form`: a strongly typed array, one of half the width, or a Python number."""

    name: str
    kind: str
    shape: tuple[int, ...]
    form: str = "array"


@dataclass(frozen=True)
class Program:
    """A function `f` with everything that is needed to run and to check it.

    Attributes:
      wide: runs in 64-bit mode. mixed: some values have half of the mode's width.
      forward, reverse: whether it may be differentiated so.
      order: how many derivatives are inside each other.
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
    features: frozenset[str] = field(default=frozenset(), compare=False)

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

    def __init__(self, number: Callable[[int], int], features: frozenset[str]) -> None:
        self.number = number
        self.features = features
        self.count = 0
        self.functions = 0
        self.structures = 2 + number(5)
        self.depth = 0
        self.order = 0  # derivatives around here
        self.highest = 0
        self.scope: list[Var] = []
        self.start = 0  # where the variables of the present function begin
        self.body: list[str | Function] = []
        self.under_forward = self.under_reverse = False
        self.has_while = self.has_custom_vjp = False
        self.mixed = number(8) == 7
        self.wide = self.mixed or number(4) < 3

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
        return Var(name + "_" if name in ("as", "if", "in", "is", "or", "np", "f") else name, kind, shape)

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
        self.let(self.filled(self.choose([t for kinds, t in PAIRS if a.kind in kinds]), a, b), a, b)

    def indexed(self) -> None:
        a = self.pick(wanted=lambda v: bool(v.shape) and v.shape[0] > 1)
        b = self.pick("i")
        self.let(self.filled(self.choose(TABLES if b.shape else PLACES), a, b), a, b)

    def constant(self) -> None:
        self.let(self.choose(CONSTANTS))

    def statement(self, structured: bool = False) -> None:
        """One statement: a constant, a plain operation, or (if `structured`, for sure) a structure."""
        if not self.scope or (not structured and self.maybe(12)):
            return self.constant()
        if self.depth < DEEPEST and self.structures and (structured or self.number(3)):
            self.structures -= 1
            state = (len(self.body), len(self.scope))
            try:
                return self.choose(self.structured())(self)
            except Rejected:
                # Functions that were defined for it may stay: they do no harm.
                del self.scope[state[1] :]
        self.plain()

    def structured(self) -> list[Callable[[Maker], None]]:
        """The structures that are possible here."""
        return [s.draw for s in STRUCTURES if s.possible(self)]

    # --- functions ---

    def define(
        self,
        params: Sequence[tuple[str, tuple[int, ...]]],
        result: Callable[[Sequence[Var]], str],
        head: Callable[[Sequence[str]], tuple[str, Sequence[str]]] | None = None,
        **context: bool,
    ) -> str:
        """Draw an inner function and return its name.

        Args:
          params: kinds and shapes of its parameters.
          result: called when its statements are there; gives the text of what it returns.
          head: from the parameters' names to the text of the parameter list and the first statements.
          context: `sealed`: it uses nothing from outside. `forward`, `reverse`: it is differentiated so.
        """
        with self.inside(**context):
            variables = [self.fresh(*p) for p in params]
            self.scope += variables
            names = [v.name for v in variables]
            text, first = head(names) if head else (", ".join(names), ())
            self.body += first
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
        self, sealed: bool = False, forward: bool = False, reverse: bool = False, order: int = 0
    ) -> Iterator[None]:
        saved = (
            self.scope, self.body, self.start, self.depth, self.under_forward, self.under_reverse, self.order,
        )  # fmt: skip
        self.scope, self.body = [] if sealed else list(self.scope), []
        self.start = len(self.scope)
        self.depth += 1
        self.order += order
        self.highest = max(self.highest, self.order)
        self.under_forward |= forward
        self.under_reverse |= reverse
        try:
            yield
        finally:
            (
                self.scope, self.body, self.start, self.depth, self.under_forward, self.under_reverse, self.order,
            ) = saved  # fmt: skip

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
            return self.choose(own[:2])  # type: ignore[no-any-return]
        if not self.scope:
            return self.let(f"np.full({shape}, {dict(f=0.3, c='0.3j', i=1, b=True)[kind]})")
        v = self.pick()
        fits = len(v.shape) <= len(shape) and np.broadcast_shapes(v.shape, shape) == shape if _broadcast(v.shape, shape) else False
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
            return f"np.asarray({v.name}, {DTYPES[v.kind]})"
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
                self.choose(SIZES[: 3 + (self.number(4) == 3)]) for _ in range(self.choose((1, 2, 0, 3)))
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
            tuple(inputs), function, self.wide, self.mixed, not self.has_custom_vjp, not self.has_while, self.highest,
            self.number(10_000), self.features,
        )  # fmt: skip


def tuple_text(names: Sequence[str]) -> str:
    """A tuple as text; a single name is itself."""
    return names[0] if len(names) == 1 else "(" + ", ".join(names) + ")"


def tuple_always(names: Sequence[str]) -> str:
    """A tuple as text, also of one item or none."""
    return "(" + "".join(f"{n}, " for n in names).rstrip() + ")"


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1]))


# --- structures: each draws the functions that it needs, and the statement that calls them ----------------------------


@dataclass(frozen=True)
class Structure:
    """A transformation or control flow. `possible`: whether it may stand where the maker is."""

    draw: Callable[[Maker], None]
    possible: Callable[[Maker], bool]


STRUCTURES: list[Structure] = []


def structure(
    feature: str = "", weight: int = 1, when: Callable[[Maker], bool] = lambda m: True
) -> Callable[[Callable[[Maker], None]], Callable[[Maker], None]]:
    """Declare a structure, possible if anima has `feature`; `weight` times as likely as others."""

    def declare(draw: Callable[[Maker], None]) -> Callable[[Maker], None]:
        entry = Structure(draw, lambda m: (not feature or feature in m.features) and when(m))
        STRUCTURES.extend([entry] * weight)
        return draw

    return declare


def _arguments(m: Maker, kinds: str = "fcib", most: int = 2, largest: int = LARGEST) -> list[Var]:
    found: list[Var] = []
    for _ in range(1 + m.number(most)):
        v = m.pick(kinds, lambda v: v.size <= largest)
        if v not in found:
            found.append(v)
    return found


def _types(variables: Sequence[Var]) -> list[tuple[str, tuple[int, ...]]]:
    return [(v.kind, v.shape) for v in variables]


def _names(variables: Sequence[Var]) -> str:
    return ", ".join(v.name for v in variables)


def _returning(
    m: Maker, args: Sequence[Var], kinds: str = "fcib", most: int = 2, largest: int = LARGEST, **context: Any
) -> tuple[str, list[Var]]:
    """A function of the arguments' types that returns anything, and what."""
    results: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        results.extend(m.results(kinds, most, largest))
        return tuple_text([v.name for v in results])

    return m.define(_types(args), result, **context), results


@structure(weight=2)
def _jit(m: Maker) -> None:
    args = _arguments(m)
    name, results = _returning(m, args)
    how = m.choose(("", "", ", inline=True"))
    m.bind(_types(results), f"jit({name}{how})({_names(args)})")


@structure("checkpoint", weight=2)
def _checkpoint(m: Maker) -> None:
    args = _arguments(m)
    name, results = _returning(m, args)
    m.bind(_types(results), f"checkpoint({name})({_names(args)})")


@structure(weight=4)
def _vmap(m: Maker) -> None:
    mapped = m.pick(wanted=lambda v: bool(v.shape))
    first = m.number(len(mapped.shape))
    size = mapped.shape[first]
    args, axes = [mapped], [str(first - len(mapped.shape) if m.maybe(4) else first)]
    types = [(mapped.kind, mapped.shape[:first] + mapped.shape[first + 1 :])]
    for _ in range(m.number(3)):
        v = m.pick()
        places = [None, *[i for i, n in enumerate(v.shape) if n == size]]
        axis = m.choose(places[::-1])
        args.append(v)
        axes.append(str(axis))
        types.append((v.kind, v.shape if axis is None else v.shape[:axis] + v.shape[axis + 1 :]))
    results: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        results.extend(m.results(largest=LARGEST // max(size, 1)))
        return tuple_text([v.name for v in results])

    name = m.define(types, result)
    outs = [m.number(len(v.shape) + 1) for v in results]
    shown = [i - len(v.shape) - 1 if m.maybe(4) else i for i, v in zip(outs, results)]
    in_axes = f"in_axes={tuple_always(axes)}"
    out_axes = f"out_axes={tuple_text(list(map(str, shown)))}"
    found = [(v.kind, (*v.shape[:i], size, *v.shape[i:])) for v, i in zip(results, outs)]
    m.bind(found, f"vmap({name}, {in_axes}, {out_axes})({_names(args)})")


def _scalar(m: Maker) -> str:
    """A real scalar that depends on a recent value."""
    v = m.pick("fc", lambda v: v.size > 0) if any(v.kind in "fc" for v in m.scope) else m.exactly("f", ())
    text = f"np.real({v.name})" if v.kind == "c" else v.name
    return f"np.sum({text})" if v.shape else text


@structure(weight=4, when=lambda m: m.order < 2)
def _grad(m: Maker) -> None:
    first = m.pick("fc", lambda v: v.size <= 6)
    args = [first, *[m.pick(wanted=lambda v: v.size <= 12) for _ in range(m.number(2))]]
    both = len(args) == 2 and args[1].kind in "fc" and args[1].size <= 6 and m.maybe(2)
    form = m.choose(("grad", "value_and_grad", "aux"))
    aux: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        scalar = _scalar(m)
        if form != "aux":
            return scalar
        aux.extend(m.results(most=1))
        return f"({scalar}, {aux[0].name})"

    name = m.define(_types(args), result, reverse=True, order=1)
    grads = _types(args[: 1 + both])
    pattern = "({}, {})" if both else "{}"
    how = ", argnums=(0, 1)" if both else ""
    if form == "grad":
        m.bind(grads, f"grad({name}{how})({_names(args)})", pattern)
    elif form == "aux":
        call = f"grad({name}{how}, has_aux=True)({_names(args)})"
        m.bind([*grads, *_types(aux)], call, f"{pattern}, {{}}")
    else:
        call = f"value_and_grad({name}{how})({_names(args)})"
        m.bind([("f", ()), *grads], call, f"{{}}, {pattern}")


@structure(weight=2, when=lambda m: m.order < 3 and not m.has_custom_vjp)
def _jvp(m: Maker) -> None:
    args = _arguments(m, "fc")
    name, results = _returning(m, args, "fc", forward=True, order=1)
    if m.has_custom_vjp:
        raise Rejected
    primals = tuple_always([v.name for v in args])
    tangents = tuple_always([f"np.cos({v.name})" for v in args])
    pattern = tuple_text(["{}"] * len(results))
    m.bind([*_types(results), *_types(results)], f"jvp({name}, {primals}, {tangents})", f"{pattern}, {pattern}")


@structure(when=lambda m: m.order < 3 and not m.has_custom_vjp)
def _linearize(m: Maker) -> None:
    args = _arguments(m, "fc")
    name, results = _returning(m, args, "fc", forward=True, order=1)
    if m.has_custom_vjp:
        raise Rejected
    pattern = tuple_text(["{}"] * len(results))
    lin = f"lin{m.functions}"
    m.bind(_types(results), f"linearize({name}, {_names(args)})", f"{pattern}, {lin}")
    m.bind(_types(results), f"{lin}({', '.join(f'np.cos({v.name})' for v in args)})", pattern)


@structure(when=lambda m: m.order < 2)
def _vjp(m: Maker) -> None:
    args = _arguments(m, "fc", largest=6)
    name, results = _returning(m, args, "fc", reverse=True, order=1)
    pull = f"pull{m.functions}"
    values = m.bind(
        _types(results), f"vjp({name}, {_names(args)})", f"{tuple_text(['{}'] * len(results))}, {pull}"
    )
    cts = tuple_text([f"np.cos({v.name})" for v in values])
    m.bind(_types(args), f"{pull}({cts})", tuple_always(["{}"] * len(args)))


@structure(when=lambda m: m.order < 2 and not m.has_custom_vjp)
def _jacobian(m: Maker) -> None:
    which = m.choose(("jacrev", "jacfwd", "hessian"))
    x = m.pick("f", lambda v: v.size <= 4)
    results: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        if which == "hessian":
            return _scalar(m)
        results.extend(m.results("f", most=1, largest=4))
        return results[0].name

    context: dict[str, Any] = dict(forward=which != "jacrev", reverse=which != "jacfwd")
    name = m.define(_types([x]), result, order=2 if which == "hessian" else 1, **context)
    if m.has_custom_vjp and which != "jacrev":
        raise Rejected
    out = (*x.shape, *x.shape) if which == "hessian" else (*results[0].shape, *x.shape)
    m.bind([("f", out)], f"{which}({name})({x.name})")


def _carry(m: Maker) -> list[tuple[Var, str]]:
    """What a loop carries, and as what text each starts."""
    chosen = []
    for _ in range(1 + m.number(2)):
        v = m.pick(wanted=lambda v: v.size <= 9)
        chosen.append((v, m.typed(v)))
    return chosen


def _next(m: Maker, carry: Sequence[tuple[Var, str]]) -> list[str]:
    """The texts of the carry's next values."""
    return [m.typed(m.exactly(v.kind, v.shape)) for v, _ in carry]


@structure(weight=4)
def _scan(m: Maker) -> None:
    carry = _carry(m)
    rows: list[Var] = []
    if m.number(4) < 3 and any(v.shape for v in m.scope):
        rows.append(m.pick(wanted=lambda v: bool(v.shape)))
        if m.maybe(3):
            rows.append(m.pick(wanted=lambda v: v.shape[:1] == rows[0].shape[:1]))
    length = rows[0].shape[0] if rows else m.choose((2, 1, 3, 0))
    ys: list[Var] = []

    def head(names: Sequence[str]) -> tuple[str, list[str]]:
        c, x = tuple_always(names[: len(carry)]), tuple_always(names[len(carry) :])
        return "carry, row", [f"{c} = carry", *([f"{x} = row"] if rows else [])]

    def result(_: Sequence[Var]) -> str:
        after = _next(m, carry)
        if m.maybe(2):
            ys.extend(m.results(largest=9))
        return f"{tuple_always(after)}, {tuple_always([v.name for v in ys])}"

    types = [*_types([v for v, _ in carry]), *[(v.kind, v.shape[1:]) for v in rows]]
    name = m.define(types, result, head)
    if "checkpoint" in m.features and m.maybe(4):
        name = f"checkpoint({name})"
    how = m.choose(("", ", reverse=True", ", unroll=2", ", unroll=True"))
    xs = tuple_always([v.name for v in rows]) if rows else f"None, length={length}"
    call = f"lax.scan({name}, {tuple_always([t for _, t in carry])}, {xs}{how})"
    found = [*_types([v for v, _ in carry]), *[(v.kind, (length, *v.shape)) for v in ys]]
    left = f"{tuple_always(['{}'] * len(carry))}, {tuple_always(['{}'] * len(ys)) if ys else '_'}"
    m.bind(found, call, left)


@structure(weight=2)
def _cond(m: Maker) -> None:
    count = m.choose((2, 2, 3, 1))
    args = _arguments(m)
    index = m.exactly("b" if count == 2 else "i", ())
    results: list[Var] = []

    def first(_: Sequence[Var]) -> str:
        results.extend(m.results())
        return tuple_text([f"np.asarray({v.name}, {DTYPES[v.kind]})" for v in results])

    def other(_: Sequence[Var]) -> str:
        made = [m.exactly(v.kind, v.shape) for v in results]
        return tuple_text([f"np.asarray({v.name}, {DTYPES[v.kind]})" for v in made])

    names = [m.define(_types(args), first if i == 0 else other) for i in range(count)]
    if count == 2:
        m.bind(_types(results), f"lax.cond({index.name}, {names[0]}, {names[1]}, {_names(args)})")
    else:
        m.bind(_types(results), f"lax.switch({index.name}, [{', '.join(names)}], {_names(args)})")


@structure(weight=2)
def _fori(m: Maker) -> None:
    carry = _carry(m)
    bound = m.choose(("2", "3", "1", "0"))
    if not m.under_reverse and m.maybe(3):
        i = m.exactly("i", ())
        bound = f"np.abs({i.name}) % 4"
        m.has_while = True

    def head(names: Sequence[str]) -> tuple[str, list[str]]:
        return f"{names[0]}, carry", [f"{tuple_always(names[1:])} = carry"]

    name = m.define(
        [("i", ()), *_types([v for v, _ in carry])], lambda _: tuple_always(_next(m, carry)), head
    )
    call = f"lax.fori_loop(0, {bound}, {name}, {tuple_always([t for _, t in carry])})"
    m.bind(_types([v for v, _ in carry]), call, tuple_always(["{}"] * len(carry)))


@structure(weight=2, when=lambda m: not m.under_reverse)
def _while(m: Maker) -> None:
    m.has_while = True
    carry = _carry(m)
    bound = m.choose(("2", "3", "0"))
    if m.maybe(2):
        bound = f"np.abs({m.exactly('i', ()).name}) % 4"
    test = f"state[0] < {bound}"
    if m.maybe(2):
        test = f"({test}) & (np.sum(np.real(state[1])) < 1.234)"

    def head(names: Sequence[str]) -> tuple[str, list[str]]:
        return "carry", [f"{tuple_always(names)} = carry"]

    def result(variables: Sequence[Var]) -> str:
        return tuple_always([f"{variables[0].name} + 1", *_next(m, carry)])

    name = m.define([("i", ()), *_types([v for v, _ in carry])], result, head)
    call = f"lax.while_loop(lambda state: {test}, {name}, {tuple_always(['0', *[t for _, t in carry]])})"
    m.bind(
        [("i", ()), *_types([v for v, _ in carry])],
        call,
        tuple_always(["{}"] * (1 + len(carry))),
    )


@structure()
def _map(m: Maker) -> None:
    x = m.pick(wanted=lambda v: bool(v.shape))
    results: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        results.extend(m.results(largest=9))
        return tuple_text([v.name for v in results])

    name = m.define([(x.kind, x.shape[1:])], result)
    how = m.choose(("", ", batch_size=2"))
    found = [(v.kind, (x.shape[0], *v.shape)) for v in results]
    m.bind(found, f"lax.map({name}, {x.name}{how})")


@structure()
def _associative(m: Maker) -> None:
    x = m.pick("f", lambda v: bool(v.shape))
    fun = m.choose(("np.add", "np.maximum", "lambda u, v: u + v + 0.1 * u * v", "np.logaddexp"))
    axis = m.number(len(x.shape))
    how = m.choose(("", ", reverse=True"))
    m.bind(_types([x]), f"lax.associative_scan({fun}, {x.name}, axis={axis}{how})")


@structure("custom_jvp")
def _custom_jvp(m: Maker) -> None:
    args = _arguments(m, "fc", largest=6)
    name, results = _returning(m, args, "fc", sealed=True, forward=True, order=1)
    if m.has_custom_vjp:
        raise Rejected
    made = f"custom{m.functions}"
    m.body += [f"{made} = custom_jvp({name})", f"{made}.defjvp(lambda primals, tangents: jvp({name}, primals, tangents))"]
    m.bind(_types(results), f"{made}({_names(args)})")


@structure("custom_vjp", when=lambda m: not m.under_forward)
def _custom_vjp(m: Maker) -> None:
    args = _arguments(m, "fc", largest=6)
    m.has_custom_vjp = True
    name, results = _returning(m, args, "fc", sealed=True, reverse=True, order=1)
    made = f"custom{m.functions}"
    backward = f"lambda args, cotangent: vjp({name}, *args)[1](cotangent)"
    m.body += [
        f"{made} = custom_vjp({name})",
        f"{made}.defvjp(lambda *args: ({name}(*args), args), {backward})",
    ]
    m.bind(_types(results), f"{made}({_names(args)})")

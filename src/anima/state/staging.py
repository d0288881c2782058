"""Functions that use references, as programs.

Invariant: a program takes the values of the references that its function uses: those among its arguments in their place, those
from outside behind the arguments, in the order in which they were met. It returns the last values of those that the
function writes to behind the function's results, in the same order, first of those among the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import PyTreeDef, get_trace, tree_flatten, tree_unflatten
from anima.core.aval import AbstractValue
from anima.core.jaxpr import Atom, Jaxpr
from anima.errors import RefError
from anima.interpreters.stage import InputNames, StageTrace, stage
from anima.records import Record
from anima.state.aval import AbstractRef
from anima.state.cells import Cell
from anima.state.refs import Ref, RefPart
from anima.state.threads import Thread, thread_of


class References(Record):
    """The references that a program uses.

    Attributes:
      args: which of its arguments are references.
      captured: those from outside, whose values come behind the arguments; or threads, a number for that of one among
        the arguments.
      written: whether the program returns a new value for each, those among the arguments first.
    """

    args: tuple[int, ...]
    captured: tuple[Cell | int, ...]
    written: tuple[bool, ...]

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def lasting(self) -> bool:
        """Whether the captured references belong to no trace, so that the program can be used in other calls."""
        return all([type(ref) is int or ref._owner is None for ref in self.captured])  # type: ignore[union-attr]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The captured references of a function that has none among its arguments."""
        return self.captured  # type: ignore[return-value]

    def of_call(self, leaves: Sequence[Any]) -> list[Cell]:
        """The references of a call with these arguments.

        Raises:
          RefError: one is there twice.
        """
        given = [leaves[i] for i in self.args]
        refs: list[Cell] = [*given]
        for cell in self.captured:
            refs.append(thread_of(given[cell]) if isinstance(cell, int) else cell)
        if len({id(ref) for ref in refs}) < len(refs):
            check_aliases(given)
            raise RefError(
                "a reference is an argument of a function that closes over it as well: it would have two names. Use the "
                "argument"
            )
        return refs

    def values(self, leaves: Sequence[Any], refs: Sequence[Cell]) -> list[Any]:
        """The arguments of the program, for the references of a call."""
        values = [ref._read() for ref in refs]
        given = list(leaves)
        for place, value in zip(self.args, values):
            given[place] = value
        return [*given, *values[len(self.args) :]]

    def reusable(self, refs: Sequence[Cell], jaxpr: Jaxpr, count: int) -> tuple[int, ...]:
        """Which of the `count` arguments of a call are values that nobody else holds, and that the program replaces by new ones.

        The program takes captured arrays before them.
        """
        places = [*self.args, *range(count - len(self.captured), count)]
        results = iter(jaxpr.outvars[len(jaxpr.outvars) - sum(self.written) :])
        given: set[Atom] = set(jaxpr.invars)
        new = [flag and next(results) not in given for flag in self.written]
        return tuple([i for i, ref, flag in zip(places, refs, new) if flag and not ref._shared])

    def write_back(self, refs: Sequence[Cell], results: Sequence[Any], held: Sequence[Any] = ()) -> None:
        """Give the references of a call their new values.

        `held`: what others may hold, the results of the function among it.
        """
        known = {id(x) for x in held}
        for ref, value in zip([r for r, flag in zip(refs, self.written) if flag], results):
            ref._write(value, shared=id(value) in known)
            known.add(id(value))


def check_aliases(refs: Sequence[Ref | RefPart], what: str = "a function") -> None:
    """Raise RefError if the arguments of a call hold a reference twice."""
    seen: dict[int, int] = {}
    for place, ref in enumerate(refs):
        if seen.setdefault(id(ref), place) != place:
            raise RefError(
                f"{what}: the same reference, of shape {ref.shape}, is passed as two arguments: it would have two names. Pass it "
                "once"
            )


def with_new_values(tree: PyTreeDef, count: int) -> PyTreeDef:
    """The structure of a pair: a result of that structure, and a list of so many values."""
    return tree_flatten((tree_unflatten(tree, [0] * tree.num_leaves), [0] * count))[1]


def array_avals(avals: Sequence[AbstractValue]) -> list[AbstractValue]:
    """The avals, of references those of their arrays."""
    return [aval.inner_aval if type(aval) is AbstractRef else aval for aval in avals]


class Lent:
    """References among the arguments of a call, which the function gets as references of its own trace.

    Attributes:
      places: which arguments they are.
      refs: the caller's.
    """

    __slots__ = ("_inner", "places", "refs")

    def __init__(self, leaves: Sequence[Any], among: Sequence[bool] | None = None) -> None:
        """`among`: which arguments to look at; by default all."""
        found = [i for i, x in enumerate(leaves) if type(x) is Ref and (among is None or among[i])]
        self.places = tuple(found)
        self.refs: list[Ref] = [leaves[i] for i in found]
        self._inner: list[Ref] = []

    def arguments(self, leaves: Sequence[Any]) -> list[Any]:
        """The arguments with the values of the references in their places."""
        values = list(leaves)
        for place, ref in zip(self.places, self.refs):
            values[place] = ref._read()
        return values

    def call(self, fun: Callable[..., Sequence[Any]], values: Sequence[Any]) -> Sequence[Any]:
        """What the function returns for values of the ambient trace; until then nobody uses the caller's references."""
        args, trace = list(values), get_trace()
        self._inner = []
        for place, ref in zip(self.places, self.refs):
            args[place] = ref._inside(values[place])
            self._inner.append(args[place])
            ref._lent = trace
        try:
            return fun(*args)
        finally:
            for ref in self.refs:
                ref._lent = None

    def ending(self, fun: Callable[..., Sequence[Any]]) -> Callable[..., list[Any]]:
        """The function of values, which returns the last values of the references behind its results."""
        return lambda *values: [*self.call(fun, values), *self.values()]

    def captured(self, cell: Cell) -> Cell | int:
        """A cell that the function captured; the number of the argument of which it is the thread, if it is one."""
        number = self.number_of(cell._ref) if isinstance(cell, Thread) else None
        return cell if number is None else number

    def number_of(self, ref: Ref) -> int | None:
        """Which of the references in the call another one is, or None."""
        return next((i for i, inner in enumerate(self._inner) if inner is ref), None)

    def values(self) -> list[Any]:
        """What the references hold at the end of the call, as values of its trace."""
        return [ref._value for ref in self._inner]


def lent_among(leaves: Sequence[Any], what: str) -> Lent:
    """The references among the arguments of a call of what messages call `what`.

    Raises:
      RefError: one is there twice.
    """
    lent = Lent(leaves)
    check_aliases(lent.refs, what)
    return lent


def stage_with_refs(
    fun: Callable[..., Sequence[Any]],
    avals: Sequence[AbstractValue],
    name: str = "",
    in_names: InputNames | None = None,
    leaves: Sequence[Any] = (),
) -> tuple[Jaxpr, list[Any], References | None]:
    """`stage`, for a function that may use references; those are None if it uses none.

    Args:
      avals: types of the arguments, of references those of their own or of their arrays.
      leaves: the arguments, if there may be references among them.
    """
    lent = Lent(leaves)
    found: list[References] = []

    def run(*inputs: Any) -> list[Any]:
        trace = get_trace()
        assert isinstance(trace, StageTrace)
        trace.captures = {}
        outs = lent.call(fun, inputs)
        ends = [(value, value is not inputs[i]) for value, i in zip(lent.values(), lent.places)]
        ends += [(use.value, use.written) for use in trace.captures.values()]
        if ends:
            captured = tuple([lent.captured(cell) for cell in trace.captures])
            found.append(References(lent.places, captured, tuple([flag for _, flag in ends])))
        return [*outs, *[value for value, flag in ends if flag]]

    jaxpr, consts = stage(run, array_avals(avals), name, in_names)
    return jaxpr, consts, found[0] if found else None

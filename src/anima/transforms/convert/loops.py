"""`for` and `while`.

Invariant: a loop runs as Python for as long as Python knows its condition and its items. From there on its body is staged
once for each change of what it carries: the types of variables join until an iteration changes none of them, and a variable
that can have no fixed type holds a `Poison`, so that only its use is an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from anima.core import hooks
from anima.core.trace import aval_of
from anima.errors import ConversionError, JAXIndexError, JAXTypeError
from anima.lax.bitwise import bitwise_and
from anima.lax.control.looping import while_loop
from anima.lax.control.scanning import scan
from anima.transforms.convert import names, places
from anima.transforms.convert.branches import choose, if_, truth
from anima.transforms.convert.iterables import Known, Rows, Staged, staged_iterable
from anima.transforms.convert.places import UNSET, Contents, Place, Poison, Slot, here, state
from anima.transforms.convert.staging import Block, Final
from anima.transforms.convert.values import Parts, as_type, is_array, is_traced, joined, same, text_of

UNROLLED = (
    256  # rows of a traced array that Python's own loop may go through, where the body cannot be staged
)
_FEW = 8  # iterations left of a Python loop that are staged one by one once a traced value may end it
_ROUNDS = 24

_Fun = Callable[..., Any]


def while_(test: Any, body: Any, stop: Any, variables: tuple[str, ...]) -> None:
    """`while test(): body()`, until `stop`, if there is one, says False."""
    shared = places.cells(variables, test, body)

    def go_on() -> Any:
        clear = True if stop is None else stop()
        if isinstance(clear, bool):
            return clear and truth(test(), "while")
        slot = Slot("the condition of while")
        choose(
            clear,
            lambda: slot.write(truth(test(), "while")),
            lambda: slot.write(False),
            [slot, *shared],
            "while",
        )
        return slot.value

    going = go_on()
    while isinstance(going, bool):
        if not going:
            return
        body()
        going = go_on()

    loop = _Carry("while", shared, once=False)

    def step(condition: Any) -> list[Any]:
        state.conditions.append(lambda: condition)
        try:
            body()
            return [go_on()]
        finally:
            state.conditions.pop()

    block = loop.settle(step, [aval_of(going)])
    outs = while_loop(lambda c: c[0], lambda c: loop.results(block, c), [going, *loop.start()])
    loop.finish(outs[1:])


def for_(iterable: Any, body: Any, stop: Any, variables: tuple[str, ...]) -> None:
    """`for item in iterable: body(item)`, until `stop`, if there is one, says False."""
    staged = staged_iterable(iterable)
    if staged is None:
        _python_for(iter(iterable), iterable, body, stop, variables)
    elif not isinstance(staged, Known):
        _dynamic_for(staged, body, stop, variables)
    elif staged.length:
        try:
            _static_for(staged, body, stop, variables)
        except (ConversionError, JAXTypeError, JAXIndexError) as error:
            if staged.length > UNROLLED:
                error.add_note(
                    f"The loop at {here()} has {staged.length} iterations, too many to be unrolled."
                )
                raise
            _python_for(iter(staged), None, body, stop, variables)


def _python_for(items: Any, iterable: Any, body: Any, stop: Any, variables: tuple[str, ...]) -> None:
    for index, item in enumerate(items):
        clear = True if stop is None else stop()
        if clear is False:
            return
        if clear is True:
            body(item)
            continue
        left = iterable[index:] if isinstance(iterable, range) else range(0)
        if len(left) > _FEW:
            try:
                _static_for(Rows.of_range(left), body, stop, variables)
                return
            except (ConversionError, JAXTypeError, JAXIndexError):
                pass  # the body needs Python's integers
        for other in itertools.chain([item], items):
            clear = stop()
            if clear is False:
                return
            if_(clear, _Applied(body, other), None, variables)
        return


class _Applied:
    """`body(item)` as a block."""

    def __init__(self, body: Any, item: Any) -> None:
        self._body, self._item = body, item
        self.__closure__, self.__code__ = body.__closure__, body.__code__

    def __call__(self) -> None:
        self._body(self._item)


def _static_for(items: Known, body: Any, stop: Any, variables: tuple[str, ...]) -> None:
    loop = _Carry("for", places.cells(variables, body), once=True)
    if stop is not None:
        _counted(items, items.length, loop, body, stop, items.length)
        return

    def step(*row: Any) -> list[Any]:
        body(items.item(row))
        return []

    block = loop.settle(step, items.row_avals())
    outs, _ = scan(
        lambda carry, row: (loop.results(block, [*row, *carry]), None),
        loop.start(),
        items.rows(),
        length=items.length,
    )
    loop.finish(outs)


def _dynamic_for(items: Staged, body: Any, stop: Any, variables: tuple[str, ...]) -> None:
    loop = _Carry("for", places.cells(variables, body), once=False)
    _counted(items, items.count(), loop, body, stop, None)


def _counted(items: Staged, count: Any, loop: _Carry, body: Any, stop: Any, bound: int | None) -> None:
    """A loop over the numbers below `count`, with the item of each."""
    zero = items.zero()
    clear = True if stop is None else stop()
    if clear is False:
        return

    def step(index: Any, going: Any) -> list[Any]:
        state.conditions.append(lambda: bitwise_and(going, index < count))
        try:
            body(items.at(index))
            return [
                as_type(index + 1, aval_of(zero)),
                hooks.as_array(True) if stop is None else _array(stop()),
            ]
        finally:
            state.conditions.pop()

    start = [zero, _array(clear)]
    block = loop.settle(step, [aval_of(x) for x in start])
    outs = while_loop(
        lambda c: bitwise_and(c[1], c[0] < count),
        lambda c: loop.results(block, c),
        [*start, *loop.start()],
        max_steps=bound,
    )
    loop.finish(outs[2:])


def _array(flag: Any) -> Any:
    return hooks.as_array(flag) if isinstance(flag, bool) else flag


class _Entry:
    """What a loop carries for one place: its parts at the start, and the type of each leaf (None: it stays as it is)."""

    __slots__ = ("avals", "hidden", "latest", "original", "parts", "place", "poison", "seen")

    def __init__(self, place: Place, value: Any, pessimistic: bool) -> None:
        self.place = place
        self.hidden = False  # it has no value before the first iteration
        self.seen = False  # the body gives it one
        self.original = self.latest = value
        self.poison: str | None = value.reason if isinstance(value, Poison) else None
        self.parts: Parts | None = None
        self.avals: list[Any] = []
        if value is not UNSET and self.poison is None:
            self.parts = Parts(value)
            numbers = [is_array(leaf) and (pessimistic or is_traced(leaf)) for leaf in self.parts.leaves]
            self.avals = [aval_of(leaf) if n else None for leaf, n in zip(self.parts.leaves, numbers)]

    def carried(self) -> list[Any]:
        return [] if self.poison is not None else [a for a in self.avals if a is not None]

    def enter(self, tracers: Any, what: str) -> None:
        if self.poison is not None:
            self.place.write(Poison(self.poison))
            return
        if self.parts is None:
            if isinstance(self.place, places.Cell) and self.place.name != names.RESULT:
                self.place.write(
                    Poison(f"{self.place.name} gets a value only inside {what}; give it one before")
                )
            return
        leaves = [leaf if a is None else next(tracers) for leaf, a in zip(self.parts.leaves, self.avals)]
        if self.hidden and self.place.name != names.RESULT:
            self.place.write(Poison(f"{self.place.name} gets a value only inside {what}; give it one before"))
        else:
            value = self.parts.rebuilt(leaves)
            places.note_copy(value, [self.original, self.latest])
            self.place.write(value)


class _Carry:
    """The places that a loop writes, as what it carries."""

    def __init__(self, what: str, shared: Sequence[Place], once: bool) -> None:
        self._what = f"the {what} loop at {places.line_of(here())}"
        self._once = once  # whether there is a first iteration
        self._entries: dict[Hashable, _Entry] = {p.key: _Entry(p, p.read(), True) for p in shared}
        self._extra = 0

    def settle(self, step: _Fun, extra: Sequence[Any]) -> Block:
        """The block of an iteration, once another would carry the same types; `extra` go before them."""

        def run(*tracers: Any) -> Sequence[Any]:
            given = iter(tracers[len(extra) :])
            for entry in self._entries.values():
                entry.enter(given, self._what)
            return step(*tracers[: len(extra)])  # type: ignore[no-any-return]

        for _ in range(_ROUNDS):
            avals = [a for entry in self._entries.values() for a in entry.carried()]
            block = Block(run, [*extra, *avals], [e.place for e in self._entries.values()])
            if block.raised is not None:
                raise ConversionError(f"every iteration of {self._what} raises {block.raised!r}")
            if not self._changes(block):
                self._extra = block.extra
                return block
        raise ConversionError(f"the types of what {self._what} carries change with every iteration")

    def _changes(self, block: Block) -> bool:
        """Take over what the last run of the body has shown; whether it must run again."""
        changed = False
        for key, final in block.finals.items():
            entry = self._entries.get(key)
            if entry is None and places.is_local(final.place):
                continue
            if entry is None:
                entry = self._entries[key] = _Entry(final.place, final.old, False)
                changed = True
            changed |= self._join(entry, final)
        return changed

    def _join(self, entry: _Entry, final: Final) -> bool:
        if entry.poison is not None:
            return False
        if final.missing is not None:
            if entry.parts is None:
                return False
            reason = final.missing.reason if isinstance(final.missing, Poison) else "it is deleted there"
            return self._give_up(entry, reason, final)
        entry.seen = True
        entry.latest = final.value
        if entry.parts is None:
            if not (self._once or entry.place.name == names.RESULT):
                return False
            entry.parts, entry.hidden = final.parts, True
            entry.avals = [aval_of(leaf) if is_array(leaf) else None for leaf in final.parts.leaves]
            return True
        if not entry.parts.like(final.parts):
            return self._give_up(
                entry,
                f"{self._what} starts with {self._name(entry)} as {entry.parts} and leaves {final.parts}",
                final,
            )
        changed = False
        for index, (before, aval, after) in enumerate(
            zip(entry.parts.leaves, entry.avals, final.parts.leaves)
        ):
            if aval is None and same(before, after):
                continue
            common = None
            if is_array(before) and is_array(after):
                common = joined(aval_of(before) if aval is None else aval, aval_of(after))
            if common is None:
                return self._give_up(
                    entry,
                    f"{self._what} changes {self._name(entry)} from {text_of(before)} to {text_of(after)}",
                    final,
                )
            if common != aval:
                entry.avals[index] = common
                changed = True
        return changed

    def _name(self, entry: _Entry) -> str:
        return "what the function returns" if entry.place.name == names.RESULT else entry.place.name

    def _give_up(self, entry: _Entry, reason: str, final: Final) -> bool:
        place = entry.place
        if isinstance(place, (Contents, Slot)) or place.name == names.RESULT:
            raise ConversionError(
                reason,
                advice="Give every iteration the same structure and shapes, or collect results in an array.",
            )
        entry.poison = reason
        return True

    def start(self) -> list[Any]:
        """The values of what is carried before the first iteration."""
        values = []
        for entry in self._entries.values():
            if entry.poison is None and entry.parts is not None:
                for leaf, aval in zip(entry.parts.leaves, entry.avals):
                    if aval is not None:
                        values.append(hooks.zeros(aval) if entry.hidden else as_type(leaf, aval))
        return [hooks.as_array(v) for v in values]

    def results(self, block: Block, args: Sequence[Any]) -> list[Any]:
        """The extra results of an iteration and what it carries on."""
        outs = block.evaluate(*args)
        values = outs[: self._extra]
        for key, entry in self._entries.items():
            if entry.poison is not None or entry.parts is None:
                continue
            final = block.finals[key]
            for index, aval in enumerate(entry.avals):
                if aval is not None:
                    values.append(as_type(outs[block.output(final, index)], aval))
        return values

    def finish(self, outs: Sequence[Any]) -> None:
        """Give the places what they hold after the loop."""
        given = iter(outs)
        for entry in self._entries.values():
            if entry.poison is not None:
                places.write(entry.place, Poison(entry.poison))
            elif entry.parts is not None:
                leaves = [
                    leaf if a is None else next(given) for leaf, a in zip(entry.parts.leaves, entry.avals)
                ]
                value = entry.parts.rebuilt(leaves)
                places.note_copy(value, [entry.original, entry.latest])
                places.write(entry.place, value)
            elif entry.seen:
                name = self._name(entry)
                places.write(
                    entry.place, Poison(f"{name} gets a value only if {self._what} runs; give it one before")
                )

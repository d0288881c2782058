"""`if`, `and`, `or`, `not`, conditional expressions and chains of comparisons.

Invariant: where the condition is known, exactly the Python construct happens. Where it is traced both ways are staged, and
become a `cond` that gives every place its value; a place without a value common to both holds a `Poison`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of
from anima.errors import ConversionError
from anima.lax.bitwise import bitwise_and, bitwise_not, bitwise_or
from anima.lax.compare import ne
from anima.lax.control.branching import cond
from anima.lax.shape import reshape
from anima.transforms.convert import names, places
from anima.transforms.convert.checks import check
from anima.transforms.convert.places import UNSET, Contents, Place, Poison, Slot, here, state
from anima.transforms.convert.staging import Block, Final, Raised
from anima.transforms.convert.values import Leaves, Parts, as_type, is_array, is_traced, joined, same, text_of

_Fun = Callable[[], Any]


def truth(value: Any, what: str) -> Any:
    """The truth of a value: a bool, or a traced boolean scalar.

    Raises:
      ConversionError: it is traced, and an array of several elements.
    """
    if not is_traced(value):
        return bool(value)
    if value.size != 1:
        raise ConversionError(
            f"{here()}: {what} takes an array of shape {value.shape}, whose truth is that of no single element",
            advice="Use .any() or .all(), or numpy.where to choose element by element.",
        )
    if value.dtype != bool:
        value = ne(value, 0)
    return reshape(value, ()) if value.shape else value


def if_(test: Any, body: Any, orelse: Any, variables: tuple[str, ...]) -> None:
    """`if test: body() else: orelse()`; `variables` are what the blocks bind."""
    pred = truth(test, "if")
    if isinstance(pred, bool):
        if pred:
            body()
        elif orelse is not None:
            orelse()
        return
    choose(pred, body, orelse or _nothing, places.cells(variables, body, orelse), "if")


def _nothing() -> None:
    pass


def if_else(test: Any, body: _Fun, orelse: _Fun) -> Any:
    """`body() if test else orelse()`."""
    pred = truth(test, "a conditional expression")
    if isinstance(pred, bool):
        return body() if pred else orelse()
    return _chosen(pred, body, orelse, "a conditional expression")


def _chosen(pred: Any, body: _Fun, orelse: _Fun, what: str) -> Any:
    slot = Slot(f"the value of {what}")
    choose(pred, lambda: slot.write(body()), lambda: slot.write(orelse()), [slot], what)
    return slot.value


def and_(first: Any, *others: _Fun) -> Any:
    """`first and others[0]() and ...`."""
    if not others:
        return first
    pred = truth(first, "and")
    if isinstance(pred, bool):
        return and_(others[0](), *others[1:]) if pred else first
    return _chosen(pred, lambda: and_(others[0](), *others[1:]), lambda: first, "and")


def or_(first: Any, *others: _Fun) -> Any:
    """`first or others[0]() or ...`."""
    if not others:
        return first
    pred = truth(first, "or")
    if isinstance(pred, bool):
        return first if pred else or_(others[0](), *others[1:])
    return _chosen(pred, lambda: first, lambda: or_(others[0](), *others[1:]), "or")


def not_(value: Any) -> Any:
    """`not value`."""
    pred = truth(value, "not")
    return not pred if isinstance(pred, bool) else bitwise_not(pred)


def none_of(*flags: Any) -> Any:
    """Whether no flag is set; one that is not known yet counts as not set."""
    result: Any = False
    for flag in flags:
        if flag is True:
            return False
        if is_traced(flag):
            result = flag if result is False else bitwise_or(result, flag)
    return True if result is False else bitwise_not(result)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt,
    "GtE": operator.ge, "Is": operator.is_, "IsNot": operator.is_not,
}  # fmt: skip


def compare(left: Any, *steps: tuple[str, _Fun]) -> Any:
    """`left < a() <= b() ...`, each operand evaluated at most once."""
    (kind, operand), *others = steps
    right = operand()
    if kind in ("In", "NotIn"):
        result = contains(right, left)
        result = not_(result) if kind == "NotIn" else result
    else:
        result = _COMPARISONS[kind](left, right)
    if not others:
        return result
    return and_(result, lambda: compare(right, *others))


def contains(container: Any, item: Any) -> Any:
    """`item in container`, also for a traced item of a tuple, list or range, and for a traced array."""
    if is_traced(container):
        return (container == item).any()
    if not isinstance(container, (tuple, list, range)):
        if is_traced(item):
            raise ConversionError(
                f"{here()}: in looks for a traced value in a {type(container).__name__}, whose items Python must know",
                advice="Use a tuple of numbers or an array of this library.",
            )
        return item in container
    if not is_traced(item) and not any(map(is_traced, container)):
        return item in container
    if isinstance(container, range):
        if not container:
            return False
        low, high = sorted([container[0], container[-1]])
        inside = bitwise_and(item >= low, item <= high)
        return (
            inside
            if abs(container.step) == 1
            else bitwise_and(inside, (item - low) % abs(container.step) == 0)
        )
    found: Any = False
    for other in container:
        equal = other is item or (other == item if is_array(other) and is_array(item) else False)
        if equal is True or is_traced(equal) or equal is not False:
            equal = truth(equal, "in")
            if equal is True:
                return True
            found = equal if found is False else (found if equal is False else bitwise_or(found, equal))
    return found


# ---------------------------------------------------------------------------------------------
# Both ways


def choose(pred: Any, body: _Fun, orelse: _Fun, shared: Sequence[Place], what: str) -> None:
    """Run `body` where `pred`, a traced boolean, holds, and else `orelse`; both may write `shared` and other places."""
    where = here()

    def run(fun: _Fun, condition: _Fun) -> Block:
        def block() -> list[Any]:
            fun()
            return []

        state.conditions.append(condition)
        try:
            return Block(block, [], shared)
        finally:
            state.conditions.pop()

    yes = run(body, lambda: pred)
    no = run(orelse, lambda: bitwise_not(pred))
    if yes.raised is not None and no.raised is not None:
        raise Raised(yes.raised)
    if yes.raised is not None or no.raised is not None:
        _one_way(pred, yes, no)
        return
    merges = [_Merge(key, yes, no, what, where) for key in {**yes.finals, **no.finals}]
    wanted = [out for merge in merges for out in merge.outs]
    if yes.failed is not None or no.failed is not None:
        wanted.append(_Out(ShapedArray((), np.dtype(bool)), ((yes.failed, False), (no.failed, False))))
    if wanted:
        results = cond(pred, lambda: _results(yes, wanted, 0), lambda: _results(no, wanted, 1))
    elif yes.jaxpr.effects or no.jaxpr.effects:
        results = cond(pred, lambda: yes.evaluate()[:0], lambda: no.evaluate()[:0])
    else:
        results = []
    given = iter(results)
    for merge in merges:
        merge.finish(given)
    if state.failures:
        state.failures[-1].extend(given)


def _one_way(pred: Any, yes: Block, no: Block) -> None:
    """One way raises: that becomes a check, and the other is what goes on."""
    gone, stays = (yes, no) if yes.raised is not None else (no, yes)
    raises = pred if stays is no else bitwise_not(pred)
    if gone.jaxpr.effects:  # what happens before it raises, and may raise first
        index = gone.failed
        before = cond(raises, lambda: _failed(gone.evaluate(), index), lambda: hooks.as_array(False))
        raises = bitwise_and(raises, bitwise_not(before))
    check(raises, gone.raised)
    outs = stays.evaluate()
    for final in stays.finals.values():
        if final.missing is not None:
            places.write(final.place, final.missing)
            continue
        leaves = [
            outs[stays.output(final, i)] if is_traced(leaf) else leaf
            for i, leaf in enumerate(final.parts.leaves)
        ]
        value = final.parts.rebuilt(leaves)
        places.note_copy(value, [final.value])
        places.write(final.place, value)


def _failed(outs: Sequence[Any], index: int | None) -> Any:
    return hooks.as_array(False) if index is None else outs[index]


class _Out:
    """One result of the `cond`: where each block has it, or the value that it leaves unchanged, and the common type."""

    __slots__ = ("aval", "sources")

    def __init__(self, aval: Any, sources: tuple[tuple[int | None, Any], tuple[int | None, Any]]) -> None:
        self.aval, self.sources = aval, sources


def _results(block: Block, wanted: Sequence[_Out], side: int) -> list[Any]:
    outs = block.evaluate()
    found = []
    for out in wanted:
        index, value = out.sources[side]
        found.append(as_type(value if index is None else outs[index], out.aval))
    return found


class _Merge:
    """A place after both ways."""

    __slots__ = ("_first", "_second", "_template", "_value", "outs", "place")

    def __init__(self, key: Hashable, yes: Block, no: Block, what: str, where: str) -> None:
        self.outs: list[_Out] = []
        ends = [yes.finals.get(key), no.finals.get(key)]
        known = ends[0] or ends[1]
        assert known is not None
        self.place = known.place
        sides: list[Any] = [_Side(b, e, known.old) for b, e in zip((yes, no), ends)]
        self._value: Any = None
        self._template: tuple[Parts, list[Any]] | None = None
        self._first = self._second = None
        self._merge(sides, f"{what} at {places.line_of(where)}")

    def _merge(self, sides: list[_Side], what: str) -> None:
        first, second = sides
        if first.parts is None or second.parts is None:
            self._missing(first, second, what)
            return
        if first.value is second.value and places.containers(first.value):
            self._value = first.value
            return
        if not first.parts.like(second.parts):
            self._refuse(
                f"{what} leaves {self._name} as {first.parts} on one way and as {second.parts} on the other"
            )
            return
        leaves = Leaves()
        for index, (a, b) in enumerate(zip(first.parts.leaves, second.parts.leaves)):
            if same(a, b):
                leaves.append(a)
                continue
            aval = joined(aval_of(a), aval_of(b)) if is_array(a) and is_array(b) else None
            if aval is None:
                self._refuse(
                    f"{what} leaves {self._name} as {text_of(a)} on one way and as {text_of(b)} on the other"
                )
                return
            leaves.append(UNSET)
            self.outs.append(_Out(aval, (first.source(index), second.source(index))))
        self._template = (first.parts, leaves)
        self._first, self._second = first.value, second.value

    def _missing(self, first: _Side, second: _Side, what: str) -> None:
        given = first if first.parts is not None else second
        if given.parts is None:
            reasons = [s.missing for s in (first, second) if isinstance(s.missing, Poison)]
            self._value = reasons[0] if reasons else UNSET
        elif self.place.name == names.RESULT:  # a flag says whether it holds a result, so any value will do
            leaves: list[Any] = []
            for index, leaf in enumerate(given.parts.leaves):
                leaves.append(UNSET if is_traced(leaf) else leaf)
                if is_traced(leaf):
                    aval: Any = aval_of(leaf)
                    zeros = hooks.zeros(aval)
                    pair = (given.source(index), (None, zeros))
                    self.outs.append(_Out(aval, pair if given is first else pair[::-1]))
            self._template = (given.parts, leaves)
        else:
            other = second if given is first else first
            reason = other.missing.reason if isinstance(other.missing, Poison) else ""
            self._refuse(reason or f"{what} gives {self._name} a value on one way only")

    @property
    def _name(self) -> str:
        return "what the function returns" if self.place.name == names.RESULT else self.place.name

    def _refuse(self, reason: str) -> None:
        """There is no common value: an error now if the place cannot hold that, otherwise where it is used."""
        self.outs = []
        self._template = None
        if isinstance(self.place, (Slot, Contents)) or self.place.name == names.RESULT:
            if places.is_local(self.place):
                self._value = None
                return
            raise ConversionError(
                reason,
                advice="Give both ways the same structure and shapes, so that one program computes either.",
            )
        self._value = Poison(reason)

    def finish(self, results: Any) -> None:
        if self._template is not None:
            parts, leaves = self._template
            full = [next(results) if leaf is UNSET else leaf for leaf in leaves]
            value = parts.rebuilt(full)
            places.note_copy(value, [self._first, self._second])
            places.write(self.place, value)
        elif self._value is not None:
            places.write(self.place, self._value)


class _Side:
    """What one way leaves in a place."""

    __slots__ = ("_block", "_final", "missing", "parts", "value")

    def __init__(self, block: Block, final: Final | None, old: Any) -> None:
        self._block, self._final = block, final
        self.parts: Parts | None = None
        self.value = old if final is None else final.value
        if final is not None:
            self.missing = final.missing
            self.parts = final.parts if final.missing is None else None
        else:
            self.missing = old if old is UNSET or isinstance(old, Poison) else None
            self.parts = None if self.missing is not None else Parts(old)

    def source(self, index: int) -> tuple[int | None, Any]:
        if self._final is None:
            assert self.parts is not None
            return None, self.parts.leaves[index]
        return self._block.output(self._final, index), None

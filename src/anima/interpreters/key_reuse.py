"""The check of key reuse: programs are followed from equation to equation, with tokens in the place of keys.

Invariant: an error means that the program uses one key twice, and so gives numbers twice: what cannot be known (which key a
traced index picks, which branch is taken) counts as a reuse only if it is one whatever it is. The equations that have to do
with keys are found once for each program; the others are never looked at.

A primitive may say what it does to keys by a rule `keys(walk, *values, **params)`, which returns what is known of the
results, or None if they are new: `moved` for data movement, `same` for what returns its operands. Those without one move
their operands, if they have typed keys among operands and results; a primitive with a program calls it. `random.clone` makes a new key, and a program that is computed again for a derivative
uses keys again on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima.config import debug_key_reuse
from anima.core import source
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Literal, subjaxprs
from anima.core.primitive import Primitive
from anima.core.trace import aval_of
from anima.interpreters.key_tokens import (
    UNTRACKED,
    Known,
    Token,
    Use,
    Value,
    anything,
    consume,
    is_key,
    may_be_raw,
    new_tokens,
    new_value,
    number_of,
    of_array,
    remember,
    words_of,
)

_MOST_ITERATIONS = 8


def watched(jaxpr: Jaxpr) -> bool:
    """Whether calls of this program are to be followed: the option is on, and it has to do with keys."""
    return debug_key_reuse.value and _has_keys(jaxpr)


def _has_keys(jaxpr: Jaxpr) -> bool:
    return jaxpr.memoized("has keys", lambda: (_find_keys(jaxpr),))[0]


def _find_keys(jaxpr: Jaxpr) -> bool:
    given = [*jaxpr.constvars, *jaxpr.invars]
    if any([is_key(v.aval) for v in given]):
        return True
    if any([may_be_raw(v.aval) for v in given]) and any([may_be_raw(v.aval) for v in jaxpr.outvars]):
        return True
    return any([_is_about_keys(eqn) for eqn in jaxpr.eqns])


def _is_about_keys(eqn: Eqn) -> bool:
    if any([is_key(a.aval) for a in (*eqn.invars, *eqn.outvars)]):
        return True
    return any([_has_keys(inner) for inner in subjaxprs(eqn.params)])


def _equations(jaxpr: Jaxpr) -> list[Eqn]:
    """The equations about keys, and those that their operands come from."""
    needed: set[Atom] = {v for v in jaxpr.outvars if type(v) is not Literal and may_be_raw(v.aval)}
    kept: list[Eqn] = []
    for eqn in reversed(jaxpr.eqns):
        if _is_about_keys(eqn) or not needed.isdisjoint(eqn.outvars):
            kept.append(eqn)
            needed.update([a for a in eqn.invars if type(a) is not Literal])
    return kept[::-1]


class Walk:
    """One way through a program. `site`: the use that stands for all in the call of a library function."""

    def __init__(self, site: Use | None = None, call: str = "") -> None:
        self.site = site
        self.call = call
        self.journal: list[Token] = []  # the tokens that got a use, so that it can be taken back
        self.muted = False
        self.place: source.Position | None = None
        self.operation = ""
        self.out_avals: list[AbstractValue] = []
        self.eqn: Eqn | None = None
        self._raw: dict[Any, Value] = {}  # the keys made of words that are no one's

    # --- programs ---

    def program(self, closed: ClosedJaxpr | Jaxpr, values: Sequence[Value]) -> list[Value]:
        """What is known of the results of a program on operands of which this is known."""
        jaxpr, consts = (closed, []) if isinstance(closed, Jaxpr) else (closed.jaxpr, closed.consts)
        env: dict[Atom, Value] = {}
        for var, const in zip(jaxpr.constvars, consts):
            env[var] = of_array(const, aval_of(const))
        for var, value in zip(jaxpr.invars, values):
            env[var] = fitted(value, var.aval)

        def read(atom: Atom) -> Value:
            if isinstance(atom, Literal):
                return Known(atom.val)
            if atom not in env:  # not looked at, or a constant that nobody gave
                env[atom] = new_value(atom.aval)
            return env[atom]

        for eqn in jaxpr.memoized("equations about keys", lambda: _equations(jaxpr)):
            env.update(zip(eqn.outvars, self._equation(eqn, [read(a) for a in eqn.invars])))
        return [read(a) for a in jaxpr.outvars]

    def _equation(self, eqn: Eqn, values: list[Value]) -> list[Value]:
        before = self.place, self.operation, self.out_avals, self.eqn
        if eqn.source is not None and eqn.source is not source.NOWHERE:
            self.place = eqn.source
        self.operation, self.eqn = eqn.primitive.name, eqn
        self.out_avals = [v.aval for v in eqn.outvars]
        try:
            outs = self._outcome(eqn, values)
        finally:
            self.place, self.operation, self.out_avals, self.eqn = before
        if outs is None:
            return [new_value(v.aval) for v in eqn.outvars]
        return [fitted(value, v.aval) for value, v in zip(outs, eqn.outvars)]

    def _outcome(self, eqn: Eqn, values: list[Value]) -> Sequence[Value] | None:
        primitive, params = eqn.primitive, eqn.params
        if primitive.keys is not None:
            return primitive.keys(self, *values, **params)  # type: ignore[no-any-return]
        programs = subjaxprs(params)
        if programs:
            return self._call(programs, params, values)
        if any([is_key(v.aval) for v in eqn.outvars]):
            return moved(self, *values)
        return self.numbered(values)

    def numbered(self, values: Sequence[Value]) -> Sequence[Value] | None:
        """What is known of results that are no keys: numbers that follow from those of the operands."""
        eqn = self.eqn
        assert eqn is not None
        if eqn.effects or any([is_key(v.aval) for v in eqn.outvars]):
            return None
        try:
            name = hash(
                (eqn.primitive.name, tuple(sorted(eqn.params.items())), *[number_of(v) for v in values])
            )
        except TypeError:  # a parameter that has no hash
            return None
        return [hash((name, i)) for i in range(len(eqn.outvars))]

    def _call(
        self, programs: list[Jaxpr], params: dict[str, Any], values: list[Value]
    ) -> Sequence[Value] | None:
        """A call of the program that takes these operands; other programs are looked at by themselves."""
        named = [params[n] for n in ("jaxpr", "call_jaxpr", "fwd_jaxpr") if n in params]
        called = [*named, *programs][0]
        if isinstance(called, (Jaxpr, ClosedJaxpr)) and len(called.invars) == len(values):
            return self.program(called, values)
        for inner in programs:
            if _has_keys(inner):
                self.program(inner, [new_value(v.aval) for v in inner.invars])
        return None

    # --- what rules do ---

    def use(self, keys: Value, *, once: bool = False) -> None:
        """Note that keys are used; with `once`, one that stands for several counts as one.

        Raises:
          KeyReuseError: a key was used before.
        """
        if self.muted or not isinstance(keys, np.ndarray):
            return
        tokens = keys.ravel().tolist()
        use = self.site or Use(self.operation, self.place, self.call)
        consume(list(dict.fromkeys(tokens)) if once else tokens, use, self.journal)

    def again(self, closed: ClosedJaxpr, values: Sequence[Value]) -> list[Value]:
        """`program` of one that computes again what was computed before."""
        before, self.muted = self.muted, True
        try:
            return self.program(closed, values)
        finally:
            self.muted = before

    def alternatives(self, programs: Sequence[ClosedJaxpr], values: Sequence[Value]) -> list[Value]:
        """What is known of the results of one of several programs; a key counts as used if one of them uses it."""
        uses: dict[Token, Use | None] = {}
        results = []
        start = len(self.journal)
        for program in programs:
            results.append(self.program(program, values))
            for token in self.journal[start:]:
                uses.setdefault(token, token.use)
                token.use = None
            del self.journal[start:]
        for token, use in uses.items():
            token.use = use
            self.journal.append(token)
        return [_one_of(group) for group in zip(*results)]

    def steps(
        self, step: Callable[[list[Value], int], list[Value]], carry: list[Value], length: int | None
    ) -> tuple[list[Value], int]:
        """A loop: as many steps as it takes until each carried key could have come round.

        Args:
          step: the next carry, from one and the number of the step.
          length: how many steps there are, if that is known.
        Returns:
          the last carry, and the number of steps taken here.
        """
        count = min(_MOST_ITERATIONS, 2 + sum([isinstance(v, np.ndarray) for v in carry]))
        count = count if length is None else min(count, length)
        for i in range(count):
            carry = step(carry, i)
        return carry, count

    def made_of(self, number: int, shape: tuple[int, ...]) -> Value:
        """The keys that a value which is none gives: the same whenever it is taken for keys."""
        if (number, shape) not in self._raw:
            self._raw[number, shape] = new_tokens(shape)
        return self._raw[number, shape]

    def take_back(self) -> None:
        """Forget the uses that were noted on this way."""
        for token in self.journal:
            token.use = None
        self.journal.clear()


# --- values -----------------------------------------------------------------------------------


def fitted(value: Value, aval: AbstractValue) -> Value:
    """What is known of a value, for a type: of the part of an array that one device sees, it is one of all keys."""
    if not isinstance(value, np.ndarray):
        return new_value(aval) if is_key(aval) else value
    shape = aval.shape if isinstance(aval, ShapedArray) else ()
    if value.shape == shape:
        return value
    if not is_key(aval):
        return anything()
    return _picked(value.ravel().tolist(), shape, ("part", shape))


def _picked(sources: Sequence[Any], shape: tuple[int, ...], how: Any) -> Value:
    """Keys of which each is one of `sources`, and it is not known which; the same for each `how`."""
    distinct = tuple(dict.fromkeys(sources))
    result = np.empty(shape, object)
    if not distinct or type(distinct[0]) is not Token or result.size > 64 or len(distinct) > 4096:
        return new_tokens(shape)
    if len(distinct) == 1:
        result[...] = distinct[0]
        return result
    for place in np.ndindex(shape):
        key = ("picked", how, tuple([t.number for t in distinct]), place)
        found = distinct[0].derived.get(key)
        if found is None:
            found = distinct[0].derived[key] = Token(distinct)
        result[place] = found
    return result


def _one_of(group: Sequence[Value]) -> Value:
    first = group[0]
    if all([isinstance(v, np.ndarray) and v.shape == first.shape for v in group]):
        if all([(v == first).all() for v in group]):
            return first
        result = np.empty(first.shape, object)
        for place in np.ndindex(first.shape):
            tokens = [v[place] for v in group]
            if type(tokens[0]) is not Token:
                return anything()
            result[place] = tokens[0] if len(set(tokens)) == 1 else Token(tuple(dict.fromkeys(tokens)))
        return result
    numbers = {number_of(v) for v in group}
    return first if len(numbers) == 1 else anything()


_plans: dict[Any, list[np.ndarray[Any, Any]]] = {}


def _moved(eqn: Eqn, values: Sequence[Value]) -> Sequence[Value] | None:
    """What is known of the results of an operation that moves keys: it moves their places."""
    held = [v for v in values if isinstance(v, np.ndarray)]
    if any([isinstance(v, int) for v in values]) or not all(
        [type(v.flat[0]) is type(held[0].flat[0]) for v in held if v.size]
    ):
        how = (eqn.primitive.name, *[number_of(v) for v in values])
        tokens = [t for v in held for t in v.ravel().tolist()]
        return [
            _picked(tokens, v.aval.shape, (*how, i)) if is_key(v.aval) else anything()  # type: ignore[attr-defined]
            for i, v in enumerate(eqn.outvars)
        ]
    places = _places(
        eqn.primitive, [v.shape if isinstance(v, np.ndarray) else v.value for v in values], values, eqn.params
    )
    if places is None:
        return None
    flat = np.concatenate([v.ravel() for v in held])
    return [flat[p.ravel()].reshape(p.shape) for p in places]


def _places(
    primitive: Primitive, key: Sequence[Any], values: Sequence[Value], params: dict[str, Any]
) -> list[np.ndarray[Any, Any]] | None:
    """For each result, which elements of the operands together it consists of; None if it is made otherwise."""
    numbers = [k if isinstance(k, tuple) else number_of(Known(k)) for k in key]
    try:
        memo = (primitive, tuple(numbers), tuple(sorted(params.items())))
        known = _plans.get(memo)
    except TypeError:
        return None
    if known is None:
        operands, start = [], 0
        for value in values:
            if isinstance(value, np.ndarray):
                operands.append(np.arange(start, start + value.size, dtype=np.int32).reshape(value.shape))
                start += value.size
            else:
                operands.append(value.value)
        try:
            outs = primitive.bind(*operands, **params)
        except Exception:  # it means something in its program, or for its dtype, alone
            return None
        known = [np.asarray(out) for out in (outs if primitive.multiple_results else [outs])]
        if any([out.dtype != np.int32 for out in known]):
            return None
        if len(_plans) >= 1024:
            _plans.clear()
        _plans[memo] = known
    return known


# --- rules ------------------------------------------------------------------------------------


def used(walk: Walk, keys: Value, *others: Value, **params: Any) -> None:
    """The rule of an operation that gives numbers, or new keys, for each key."""
    walk.use(keys)


def moved(walk: Walk, *values: Value, **params: Any) -> Sequence[Value] | None:
    """The rule of data movement: elements of the operands, in other places."""
    if walk.eqn is not None and any([isinstance(v, np.ndarray) for v in values]):
        return _moved(walk.eqn, values)
    return walk.numbered(values)


def same(walk: Walk, *values: Value, **params: Any) -> Sequence[Value]:
    """The rule of an operation that returns its operands."""
    return values


def renewed(walk: Walk, *values: Value, **params: Any) -> None:
    """The rule of an operation whose results are new, and which uses no key."""


def derived(walk: Walk, keys: Value, data: Value) -> list[Value] | None:
    """The rule of an operation that makes a key of each key and of data: equal ones of equal data."""
    if not isinstance(keys, np.ndarray):
        return None
    number = number_of(data)
    result = np.empty(keys.shape, object)
    for i, place in enumerate(np.ndindex(keys.shape)):
        token: Any = keys[place]
        result[place] = token if token is UNTRACKED else token.of((walk.operation, number, i))
    return [result]


def opened(walk: Walk, keys: Value) -> list[Value] | None:
    """The rule of the operation that makes raw keys of typed ones."""
    shape = walk.out_avals[0].shape  # type: ignore[attr-defined]
    return [words_of(keys, shape[-1])] if len(shape) == keys.ndim + 1 else None


def closed(walk: Walk, words: Value, **params: Any) -> list[Value] | None:
    """The rule of the operation that makes typed keys of raw ones."""
    shape = walk.out_avals[0].shape  # type: ignore[attr-defined]
    if not isinstance(words, np.ndarray):
        return [walk.made_of(number_of(words), shape)]
    if words.ndim != len(shape) + 1:
        return None
    result = np.empty(shape, object)
    for place in np.ndindex(shape):
        row = words[place].tolist()
        whole = all([w.token is row[0].token and w.place == i for i, w in enumerate(row)])
        result[place] = row[0].token if whole else Token()
    return [result]


# --- calls ------------------------------------------------------------------------------------


class Followed:
    """A call whose keys were checked; `remember` its results when there are some."""

    def __init__(self, walk: Walk, values: list[Value]) -> None:
        self._walk = walk
        self._values = values

    def remember(self, outs: Sequence[Any]) -> None:
        """Keep what is known of the results."""
        for out, value in zip(outs, self._values):
            remember(out, value)


def follow(closed: ClosedJaxpr, args: Sequence[Any], name: str, internal: bool) -> Followed:
    """Check the use of keys in a call of a program with concrete arguments.

    Args:
      name: what is called.
      internal: whether that is a function of the library: then its call is the use, not a line in it.
    Raises:
      KeyReuseError: a key is used that was used before, or twice.
    """
    position = source.current()
    walk = Walk(Use(name, position)) if internal else Walk(call=f", in the call of {name} at {position}")
    walk.place = position
    try:
        values = walk.program(closed, _arguments(closed.jaxpr, args))
    except BaseException:
        walk.take_back()
        raise
    return Followed(walk, values)


def _arguments(jaxpr: Jaxpr, args: Sequence[Any]) -> list[Value]:
    """What is known of arguments; numbers that nobody asks for are not read."""
    asked = jaxpr.memoized(
        "asked", lambda: frozenset([a for e in _equations(jaxpr) for a in e.invars if type(a) is not Literal])
    )
    read = [v in asked or is_key(v.aval) or may_be_raw(v.aval) for v in jaxpr.invars]
    return [of_array(x, aval_of(x)) if r else anything() for x, r in zip(args, read)]


def check(closed: ClosedJaxpr) -> None:
    """Check the use of keys in a program, for arguments that are all different.

    Raises:
      KeyReuseError: a key is used twice.
    """
    if not watched(closed.jaxpr):
        return
    walk = Walk()
    try:
        walk.program(closed, [new_value(v.aval) for v in closed.jaxpr.invars])
    finally:
        walk.take_back()

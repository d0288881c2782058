"""What the check of key reuse knows of random keys: one token for each key, and where it was used.

Invariant: a token stands for the numbers that a key gives, not for the array that holds it: a key that is moved, sliced or
stacked keeps its token, and a new key (from `split`, a seed, `clone`) has a new one. Nothing here is made unless the
option `debug_key_reuse` is on.

Tokens of concrete arrays are kept beside the arrays, by identity, for as long as those live.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.source import Position
from anima.dtypes.declared import ExtendedDType
from anima.errors import KeyReuseError
from anima.records import NamedTuple

#: An object array of tokens (of typed keys) or of words (of raw ones), or what is known of another value.
Value = Any

MOST = 1 << 14  # keys of larger arrays are not followed
_RAW_WORDS = (2, 4)  # what raw keys may consist of
_counter = itertools.count(1)


class Use(NamedTuple):
    """One use of a key: by which operation, at which line, in the call of which function."""

    operation: str
    position: Position | None
    call: str = ""

    def __str__(self) -> str:
        place = "at an unknown line" if self.position is None else f"at {self.position}"
        return f"'{self.operation}' {place}{self.call}"


class Token:
    """One key. `sources`: those of which it is one, where it is not known which; `picks`: tokens that have it as a source."""

    __slots__ = ("derived", "number", "picks", "sources", "use")

    def __init__(self, sources: tuple[Token, ...] = ()) -> None:
        self.number = next(_counter)
        self.use: Use | None = None
        self.sources = sources
        self.picks: list[Token] = []
        self.derived: dict[Hashable, Token] = {}
        for source in sources:
            source.picks.append(self)

    def of(self, how: Hashable) -> Token:
        """The key that follows from this one, the same for each `how`."""
        found = self.derived.get(how)
        if found is None:
            found = self.derived[how] = Token()
        return found

    def earlier(self) -> Use | None:
        """The use after which another one repeats numbers, if there is any."""
        if self.use is not None:
            return self.use
        if self.sources and all([s.use is not None for s in self.sources]):
            return self.sources[0].use
        for pick in self.picks:
            if pick.use is not None and all([s is self or s.use is not None for s in pick.sources]):
                return pick.use
        return None


class Word(NamedTuple):
    """One word of a raw key."""

    token: Token
    place: int


#: The token of every key that is not followed.
UNTRACKED = Token()


class Known:
    """A value that is known: a literal, or a small array."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def number_of(value: Value) -> int:
    """A number that equal values share; others do not, but for chance."""
    if isinstance(value, np.ndarray):
        return hash(
            tuple(
                [(x.token.number, x.place) if type(x) is Word else x.number for x in value.ravel().tolist()]
            )
        )
    if type(value) is Known:
        array = np.asarray(value.value)
        return hash((array.shape, str(array.dtype), array.tobytes()))
    return int(value)


def anything() -> int:
    """The number of a value of which nothing is known."""
    return hash(("value", next(_counter)))


def is_key(aval: AbstractValue) -> bool:
    """Whether these are typed keys."""
    return (
        isinstance(aval, ShapedArray)
        and isinstance(aval.dtype, ExtendedDType)
        and aval.dtype.type is dtypes.prng_key
    )


def may_be_raw(aval: AbstractValue) -> bool:
    """Whether these may be raw keys."""
    return (
        isinstance(aval, ShapedArray)
        and aval.dtype == dtypes.uint32
        and bool(aval.shape)
        and aval.shape[-1] in _RAW_WORDS
    )


def new_tokens(shape: tuple[int, ...]) -> Value:
    """Tokens of new keys."""
    tokens = np.empty(shape, object)
    if tokens.size > MOST:
        tokens[...] = UNTRACKED
        return tokens
    tokens.reshape(-1)[:] = [Token() for _ in range(tokens.size)]
    return tokens


def words_of(tokens: Value, count: int) -> Value:
    """The words of keys that consist of `count` each."""
    words = np.empty((*tokens.shape, count), object)
    flat = words.reshape(-1, count)
    for row, token in zip(flat, tokens.ravel().tolist()):
        for place in range(count):
            row[place] = Word(token, place)
    return words


def new_value(aval: AbstractValue) -> Value:
    """What is known of a new value of this type."""
    if is_key(aval):
        return new_tokens(aval.shape)  # type: ignore[attr-defined]
    if may_be_raw(aval):
        shape = aval.shape  # type: ignore[attr-defined]
        return words_of(new_tokens(shape[:-1]), shape[-1])
    return anything()


# --- concrete arrays --------------------------------------------------------------------------

_of_arrays: dict[int, tuple[weakref.ref[Any], Value]] = {}


def remember(array: Any, value: Value) -> None:
    """Keep what is known of a concrete array."""
    if type(array) is ArrayImpl and isinstance(value, np.ndarray):
        address = id(array)
        _of_arrays[address] = weakref.ref(array, lambda _: _of_arrays.pop(address, None)), value


def of_array(array: Any, aval: AbstractValue) -> Value:
    """What is known of a concrete value."""
    if is_key(aval) or may_be_raw(aval):
        kept = _of_arrays.get(id(array))
        if kept is not None and kept[0]() is array:
            return kept[1]
        value = new_value(aval)
        remember(array, value)
        return value
    small = isinstance(aval, ShapedArray) and aval.size <= 64 and getattr(aval.dtype, "kind", "V") in "biu"
    if not small or (isinstance(array, ArrayImpl) and array.is_deleted()):
        return anything()
    return Known(np.asarray(array))


# --- the error --------------------------------------------------------------------------------


def reuse_error(first: Use, second: Use) -> KeyReuseError:
    """The error for a key that is used a second time."""
    if first == second:
        error = KeyReuseError(f"a random key is used more than once by {second}")
        error.add_note(
            "It is used in each iteration of a loop, or stands more than once in an array of keys: the numbers repeat."
        )
    else:
        error = KeyReuseError(f"a random key is used twice: first by {first}, then by {second}")
    error.add_note(
        "Every use of a key gives the same numbers again. Make a key for each: `key, subkey = random.split(key)`, or "
        "`random.fold_in(key, i)` in a loop; where equal numbers are wanted, use `random.clone(key)`."
    )
    return error


def consume(tokens: Sequence[Any], use: Use, journal: list[Token]) -> None:
    """Note the use of keys; `journal` gets those that were not used before.

    Raises:
      KeyReuseError: one was.
    """
    for token in tokens:
        if token is UNTRACKED:
            continue
        before = token.earlier()
        if before is not None:
            raise reuse_error(before, use)
        token.use = use
        journal.append(token)

"""Which steps of a loop of unknown length are kept, so that it can be walked backwards.

Invariant: a step's slot depends on its number in base 16 alone: on how many zeros that ends with, and on the digit before
them. A step overwrites an earlier one of the same slot. So, when step 0x352 has been written, the slots hold 0x352 and 0x351,
then 0x350, 0x340, ... 0x310, then 0x300, 0x200, 0x100, and 0. A walk backwards reads a step from its slot if it is there.
Else the step is the last one before one that was there, such as 0x34f: then all steps from 0x340 on are computed again, and
stored, and the walk goes on.

For a bound of N steps there are at most 15 slots for each digit of N. Of a loop that takes n steps, each is computed again
at most 15/16 times on average for each digit of n after the first: never up to 16 steps, less than once up to 256, less than
twice up to 4096. Base 2 would need a quarter of the slots and, for long loops, 2.5 times the computation; about 2 sqrt(N) slots
would do with one computation, but they are 26 times as many for a million steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima.core.trace import shaped
from anima.lax.arithmetic import add, max as maximum, mul, neg, sub
from anima.lax.bitwise import bitwise_and, clz, shift_left, shift_right_logical
from anima.lax.shape import broadcast_in_dim, reshape
from anima.lax.slicing import dynamic_slice_p, dynamic_update_slice_p

_BITS = 4
_DIGITS = (1 << _BITS) - 1  # digits that a place can have, besides zero


def slot_count(steps: int) -> int:
    """How many slots the steps from 0 to `steps - 1` have, at least 2.

    What is written for later steps goes to the last slot if they have no other; so step 0 always keeps its own.

    >>> [slot_count(n) for n in (1, 10, 16, 17, 1000, 10**6)]
    [2, 10, 16, 17, 34, 76]
    """
    place, first = _first_digit(max(steps, 2))
    return _DIGITS * place + first + 1


def longest_replay(steps: int) -> int:
    """The most steps that are replayed at once in a loop of at most `steps`.

    >>> [longest_replay(n) for n in (1, 16, 17, 256, 257)]
    [0, 0, 15, 15, 255]
    """
    return (1 << _BITS * _first_digit(steps)[0]) - 1


def _first_digit(steps: int) -> tuple[int, int]:
    """The place and the value of the first digit of the number of the last step."""
    last = max(steps - 1, 0)
    place = max(last.bit_length() - 1, 0) // _BITS
    return place, last >> _BITS * place


def _zeros_behind(step: Any) -> Any:
    """Four times the number of zeros at the end of a step's number in base 16; 0 for 0."""
    lowest = bitwise_and(step, neg(step))
    zeros = maximum(sub(np.int32(31), clz(lowest)), np.int32(0))
    return bitwise_and(zeros, np.int32(-_BITS))


def slot_of(step: Any) -> Any:
    """The slot of a step, an int32 scalar."""
    zeros = _zeros_behind(step)
    digit = bitwise_and(shift_right_logical(step, zeros), np.int32(_DIGITS))
    return add(mul(shift_right_logical(zeros, np.int32(2)), np.int32(_DIGITS)), digit)


def replay_start(step: Any) -> Any:
    """The kept step from which a loop is replayed up to `step`, if the one after that is the last one that is kept."""
    following = add(step, np.int32(1))
    return sub(following, shift_left(np.int32(1), _zeros_behind(following)))


def slots_for(values: Sequence[Any], count: int) -> list[Any]:
    """Slots for arrays of these types. They start with the values themselves, which are the ones of step 0."""
    shapes = [shaped(x).shape for x in values]
    return [
        broadcast_in_dim(x, (count, *shape), tuple(range(1, len(shape) + 1)))
        for x, shape in zip(values, shapes)
    ]


def stored(slots: Sequence[Any], slot: Any, values: Sequence[Any]) -> list[Any]:
    """The slots with a value each written at `slot`."""
    return [
        dynamic_update_slice_p.bind(rows, reshape(x, (1, *shaped(x).shape)), *_place(slot, rows))
        for rows, x in zip(slots, values)
    ]


def loaded(slots: Sequence[Any], slot: Any) -> list[Any]:
    """The values at `slot`."""
    found = []
    for rows in slots:
        shape = shaped(rows).shape[1:]
        part = dynamic_slice_p.bind(rows, *_place(slot, rows), slice_sizes=(1, *shape))
        found.append(reshape(part, shape))
    return found


def _place(slot: Any, rows: Any) -> list[Any]:
    return [slot, *[np.int32(0)] * (shaped(rows).ndim - 1)]

"""What control flow does to random keys: the rules of loops and branches for the check of key reuse.

Invariant: a loop is followed step by step, with the keys that its steps have, until each carried key could have come
round; so a key that each step uses again is found, and one that each step renews is not taken for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.core.jaxpr import ClosedJaxpr
from anima.interpreters.key_reuse import Walk
from anima.interpreters.key_tokens import MOST, Token, Value, anything, is_key, new_tokens, number_of


def cond_keys(
    walk: Walk, index: Value, *values: Value, branches: tuple[ClosedJaxpr, ...], **how: Any
) -> list[Value]:
    """The rule of `cond`: what one branch uses is used."""
    return walk.alternatives(branches, values)


def while_keys(
    walk: Walk,
    *values: Value,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
    **how: Any,
) -> list[Value] | None:
    """The rule of `while` and its relatives."""
    first = cond_nconsts + body_nconsts
    cond_consts, body_consts, carry = values[:cond_nconsts], values[cond_nconsts:first], list(values[first:])

    def step(carry: list[Value], i: int) -> list[Value]:
        outs = walk.program(body_jaxpr, [*body_consts, *carry])
        walk.program(cond_jaxpr, [*cond_consts, *outs])
        return outs

    walk.program(cond_jaxpr, [*cond_consts, *carry])
    carry, _ = walk.steps(step, carry, None)
    others = len(walk.out_avals) - len(carry)
    return [*carry, *[anything()] * others]


def scan_keys(
    walk: Walk,
    *values: Value,
    jaxpr: ClosedJaxpr,
    length: int,
    num_consts: int,
    num_carry: int,
    reverse: bool,
    **how: Any,
) -> list[Value]:
    """The rule of `scan`."""
    consts, xs = values[:num_consts], values[num_consts + num_carry :]
    order = range(length)[::-1] if reverse else range(length)
    rows: list[list[Value]] = []
    since = 0

    def step(carry: list[Value], i: int) -> list[Value]:
        nonlocal since
        since = len(walk.journal)
        outs = walk.program(jaxpr, [*consts, *carry, *[_row(x, order[i]) for x in xs]])
        rows.append(outs[num_carry:])
        return outs[:num_carry]

    carry, count = walk.steps(step, list(values[num_consts : num_consts + num_carry]), length)
    if 0 < count < length:
        used = set(walk.journal[since:])
        for x in xs:
            _use_the_rest(walk, x, order, count, used)
    avals = walk.out_avals[num_carry:]
    return [*carry, *[_stacked([r[i] for r in rows], order, aval) for i, aval in enumerate(avals)]]


def _row(value: Value, i: int) -> Value:
    if isinstance(value, np.ndarray):
        return value[i : i + 1].reshape(value.shape[1:])
    return hash(("row", number_of(value), i))


def _use_the_rest(walk: Walk, x: Value, order: range, count: int, used: set[Token]) -> None:
    """The steps that were not followed use of their rows what the last one that was used of its own."""
    if not isinstance(x, np.ndarray) or not x.size or type(x.flat[0]) is not Token:
        return
    last = _row(x, order[count - 1])
    mask = np.array([token in used for token in last.ravel()], bool).reshape(last.shape)
    if mask.any():
        walk.use(x[list(order[count:])][:, mask])


def _stacked(rows: list[Value], order: range, aval: Any) -> Value:
    """What is known of the rows that the steps return, stacked."""
    if not is_key(aval):
        return anything()
    result = new_tokens(aval.shape)
    if not result.size or result.size > MOST:
        return result
    length = len(order)
    for i, row in enumerate(rows):
        result[order[i]] = row
    for place in np.ndindex(rows[-1].shape):
        token = rows[-1][place]
        if len(rows) > 1 and rows[-2][place] is token:  # each step returns the same key
            for j in order[len(rows) : length]:
                result[(j, *place)] = token
        else:
            for j in order[len(rows) : length]:
                result[(j, *place)].use = token.use
    return result

"""What loops hand on unchanged: parts of a carry that the body returns as it got them, and rows that are results.

Invariant: such a part of the carry is a constant of the loop that is bound, and such rows are no results of it; so no
transformation stacks them, saves them or carries tangents along for their sake. The functions here return what the loop
as the user wrote it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima._native import ArrayImpl
from anima.core import hooks
from anima.core.jaxpr import Atom, ClosedJaxpr
from anima.core.primitive import Primitive
from anima.core.trace import Tracer
from anima.lax.control.programs import Flags, chosen, places, reordered
from anima.lax.control.scan_primitive import scan_p


class _Forwarded:
    """A body without what it hands on.

    Attributes:
      fixed: which parts of the carry do not change; they come behind the constants.
      rows: for each further result the number of the argument, among the rows, that it is, or None.
      program: the body.
    """

    __slots__ = ("fixed", "program", "rows")

    def __init__(self, body: ClosedJaxpr, num_consts: int, num_carry: int) -> None:
        jaxpr, first = body.jaxpr, num_consts + num_carry
        self.fixed = fixed_carry(body, num_consts, num_carry)
        position: dict[Atom, int] = {var: i for i, var in enumerate(jaxpr.invars[first:])}
        self.rows = [position.get(out) for out in jaxpr.outvars[num_carry:]]  # literals are no keys of it
        changing = [not flag for flag in self.fixed]
        inputs = carry_last(num_consts, self.fixed)
        outputs = [*places(changing), *[num_carry + i for i in places([row is None for row in self.rows])]]
        self.program = reordered(body, [*inputs, *range(first, len(jaxpr.invars))], outputs)


def fixed_carry(body: ClosedJaxpr, num_consts: int, num_carry: int) -> Flags:
    """Which parts of a carry the body returns as it got them."""
    jaxpr = body.jaxpr
    carry = jaxpr.invars[num_consts : num_consts + num_carry]
    return tuple([out is var for out, var in zip(jaxpr.outvars, carry)])


def carry_last(num_consts: int, fixed: Flags) -> list[int]:
    """The order of constants and carry in which parts of the carry that do not change stand behind the constants."""
    moved, stay = places(fixed), places([not flag for flag in fixed])
    return [*range(num_consts), *[num_consts + i for i in (*moved, *stay)]]


def restored(fixed: Flags, carry: Sequence[Any], changed: Sequence[Any]) -> list[Any]:
    """The carry at the end, from that at the start and those parts that may have changed."""
    given = iter(changed)
    return [_array(before) if flag else next(given) for before, flag in zip(carry, fixed)]


def _array(value: Any) -> Any:
    return value if isinstance(value, (ArrayImpl, Tracer)) else hooks.as_array(value)


def scanned(
    body: ClosedJaxpr, consts: Sequence[Any], carry: Sequence[Any], rows: Sequence[Any], **how: Any
) -> list[Any]:
    """The results of a scan: the carry, then the stacked results. `how`: its length, direction and unrolling."""
    num_consts, num_carry = len(consts), len(carry)
    part = body.jaxpr.memoized(
        ("forwarded", num_consts, num_carry), lambda: _Forwarded(body, num_consts, num_carry)
    )
    fixed = chosen(carry, part.fixed)
    outs = scan_p.bind(
        *consts,
        *fixed,
        *chosen(carry, [not flag for flag in part.fixed]),
        *rows,
        jaxpr=part.program,
        num_consts=num_consts + len(fixed),
        num_carry=num_carry - len(fixed),
        **how,
    )
    stacked = iter(outs[num_carry - len(fixed) :])
    return [
        *restored(part.fixed, carry, outs),
        *[next(stacked) if row is None else _array(rows[row]) for row in part.rows],
    ]


def looped(
    primitive: Primitive,
    test: ClosedJaxpr,
    test_consts: Sequence[Any],
    body: ClosedJaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    **how: Any,
) -> list[Any]:
    """The results of a `while` loop of some kind: the carry. `how`: further parameters."""
    fixed = fixed_carry(body, len(consts), len(carry))
    if all(fixed):  # it runs never or forever; a loop needs something to carry
        fixed = (False,) * len(carry)
    constant = chosen(carry, fixed)
    if constant:
        test = _memoized_order(test, len(test_consts), fixed)
        body = _memoized_order(body, len(consts), fixed, places([not flag for flag in fixed]))
    outs = primitive.bind(
        *test_consts,
        *constant,
        *consts,
        *constant,
        *chosen(carry, [not flag for flag in fixed]),
        cond_jaxpr=test,
        body_jaxpr=body,
        cond_nconsts=len(test_consts) + len(constant),
        body_nconsts=len(consts) + len(constant),
        **how,
    )
    return restored(fixed, carry, outs)


def _memoized_order(
    program: ClosedJaxpr, num_consts: int, fixed: Flags, outputs: Sequence[int] | None = None
) -> ClosedJaxpr:
    """The program with the fixed parts of the carry behind its constants."""
    return program.jaxpr.memoized(
        ("carry last", num_consts, fixed),
        lambda: reordered(program, carry_last(num_consts, fixed), outputs),
    )

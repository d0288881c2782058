"""Taylor mode of control flow: the same loop or choice, of programs that carry derivatives along.

Invariant: the terms of a value's series are operands of the same role as the value, behind all values of that role, in
the order of the values; a value that does not change along the curve has none. Functions here take the `bind` of the
primitive whose rule they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima.core.jaxpr import ClosedJaxpr
from anima.interpreters.taylor import Series, changing, flat_terms, grouped, taylor_jaxpr
from anima.lax.control.programs import Flags, interleaved, memoized_together, reordered, staged

Bind = Callable[..., list[Any]]
Outcome = tuple[list[Any], list[Series]]


def cond_series(
    bind: Bind,
    primals: Sequence[Any],
    series: Sequence[Series],
    order: int,
    branches: tuple[ClosedJaxpr, ...],
) -> Outcome:
    """The branch's results with their derivatives; a result has them if it has them in any branch."""
    index, *operands = primals
    flags = changing(series[1:])
    found = zip(*[taylor_jaxpr(branch, flags, order)[1] for branch in branches])
    out_flags = tuple([any(column) for column in found])
    derived = tuple([taylor_jaxpr(branch, flags, order, out_flags)[0] for branch in branches])
    outs = bind(index, *operands, *flat_terms(operands, series[1:], flags, order), branches=derived)
    count = len(out_flags)
    return outs[:count], grouped(outs[count:], out_flags, order)


class _Roles:
    """Operands of a loop, or what belongs to them, as its constants, carry and others."""

    __slots__ = ("carry", "consts", "others")

    def __init__(self, values: Sequence[Any], num_consts: int, num_carry: int) -> None:
        self.consts = tuple(values[:num_consts])
        self.carry = tuple(values[num_consts : num_consts + num_carry])
        self.others = tuple(values[num_consts + num_carry :])


def _settled(body: ClosedJaxpr, given: _Roles, order: int) -> Flags:
    """Which parts of the carry change along the curve, if those operands do for which `given` is True."""
    flags = given.carry
    while True:
        _, found = taylor_jaxpr(body, given.consts + flags + given.others, order)
        wider = tuple([a or b for a, b in zip(flags, found)])
        if wider == flags:
            return flags
        flags = wider


def scan_series(
    bind: Bind, primals: Sequence[Any], series: Sequence[Series], order: int, params: dict[str, Any]
) -> Outcome:
    """A scan that carries derivatives along, and takes and returns rows of them."""
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    values, terms, given = (_Roles(v, num_consts, num_carry) for v in (primals, series, changing(series)))
    carry = _settled(jaxpr, given, order)
    num_ys = len(jaxpr.out_avals) - num_carry
    flags = given.consts + carry + given.others
    derived, out_flags = taylor_jaxpr(jaxpr, flags, order, carry + (False,) * num_ys)
    of_consts, of_carry, of_xs = (sum(f) * order for f in (given.consts, carry, given.others))
    of_ys = sum(out_flags[num_carry:]) * order
    program = jaxpr.jaxpr.memoized(
        ("scan taylor", flags, order, num_consts, num_carry),
        lambda: reordered(
            derived,
            interleaved((num_consts, num_carry, len(values.others)), (of_consts, of_carry, of_xs)),
            interleaved((num_carry, num_ys), (of_carry, of_ys)),
        ),
    )
    outs = bind(
        *values.consts,
        *flat_terms(values.consts, terms.consts, given.consts, order),
        *values.carry,
        *flat_terms(values.carry, terms.carry, carry, order),
        *values.others,
        *flat_terms(values.others, terms.others, given.others, order),
        **params
        | {"jaxpr": program, "num_consts": num_consts + of_consts, "num_carry": num_carry + of_carry},
    )
    carried, stacked = outs[: num_carry + of_carry], outs[num_carry + of_carry :]
    found = grouped([*carried[num_carry:], *stacked[num_ys:]], out_flags, order)
    return [*carried[:num_carry], *stacked[:num_ys]], found


def while_series(
    bind: Bind, primals: Sequence[Any], series: Sequence[Series], order: int, params: dict[str, Any]
) -> Outcome:
    """A loop that carries derivatives along; its condition does not see them."""
    cond, body = params["cond_jaxpr"], params["body_jaxpr"]
    skipped, num_consts, num_carry = params["cond_nconsts"], params["body_nconsts"], len(body.out_avals)
    values, terms, given = (
        _Roles(v[skipped:], num_consts, num_carry) for v in (primals, series, changing(series))
    )
    carry = _settled(body, given, order)
    wider_cond, wider_body = memoized_together(
        (body, cond),
        ("taylor", given.consts, carry, order),
        lambda: _loop_programs(cond, body, given.consts, carry, order),
    )
    of_consts = flat_terms(values.consts, terms.consts, given.consts, order)
    outs = bind(
        *primals[:skipped],
        *values.consts,
        *of_consts,
        *values.carry,
        *flat_terms(values.carry, terms.carry, carry, order),
        **params
        | {"cond_jaxpr": wider_cond, "body_jaxpr": wider_body, "body_nconsts": num_consts + len(of_consts)},
    )
    return outs[:num_carry], grouped(outs[num_carry:], carry, order)


def _loop_programs(
    cond: ClosedJaxpr, body: ClosedJaxpr, consts: Flags, carry: Flags, order: int
) -> tuple[ClosedJaxpr, ClosedJaxpr]:
    derived, _ = taylor_jaxpr(body, consts + carry, order, carry)
    order_of_inputs = interleaved((len(consts), len(carry)), (sum(consts) * order, sum(carry) * order))
    of_carry = derived.in_avals[len(derived.in_avals) - sum(carry) * order :]
    wider = staged(
        lambda run, *args: run(cond, args[: len(cond.in_avals)]), [*cond.in_avals, *of_carry], cond.jaxpr.name
    )
    return wider, reordered(derived, order_of_inputs)

"""References in loops and branches.

Invariant: a reference that a loop's body writes to is a part of its carry, behind the user's; one that is only read is a
constant. Branches take all references that any of them uses, and return those that any of them writes to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima._native import tree_flatten, tree_unflatten
from anima.core import variance
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from anima.errors import RefError
from anima.lax.control.bodies import Body, leaf_path
from anima.lax.control.forwarding import scanned
from anima.lax.control.programs import memoized_together, reordered
from anima.state.cells import Cell
from anima.state.refs import Ref, RefPart
from anima.state.staging import check_aliases


class Threaded:
    """The body of a loop with references in its carry.

    Attributes:
      closed, consts: the program and the values that it takes first, of references that are only read among them.
      written: the references that the body writes to; their values follow the carry, in arguments and results.
    """

    __slots__ = ("closed", "consts", "written")

    def __init__(self, body: Body, num_carry: int) -> None:
        used = body.refs
        self.closed, self.consts = body.closed, body.consts
        self.written: list[Cell] = []
        if used is None:
            return
        self.written = [ref for ref, flag in zip(used.cells, used.written) if flag]
        self.consts = [*body.consts, *[r._read() for r, w in zip(used.cells, used.written) if not w]]
        flags, num_consts, num_outs = used.written, len(body.consts), len(body.out_avals)

        def order() -> ClosedJaxpr:
            first = len(body.closed.jaxpr.invars) - len(flags)
            carried = [first + i for i, flag in enumerate(flags) if flag]
            read = [first + i for i, flag in enumerate(flags) if not flag]
            carry = range(num_consts, num_consts + num_carry)
            rest = range(num_consts + num_carry, first)
            ends = range(num_outs, num_outs + len(carried))
            return reordered(
                body.closed,
                [*range(num_consts), *read, *carry, *carried, *rest],
                [*range(num_carry), *ends, *range(num_carry, num_outs)],
            )

        self.closed = body.closed.jaxpr.memoized(("references", num_consts, num_carry), order)
        if variance.seen:
            self._check_varying(num_carry)

    def _check_varying(self, num_carry: int) -> None:
        """Raise RefError unless each reference varies along the same manual axes before and after an iteration."""
        first = len(self.consts) + num_carry
        for i, ref in enumerate(self.written):
            before, after = (
                self.closed.in_avals[first + i].varying,
                self.closed.out_avals[num_carry + i].varying,
            )
            if before != after:
                raise RefError(
                    f"a loop in a shard_map writes to a reference of type {ref._described()} what differs between devices along "
                    f"{sorted(map(str, after - before))}, but it starts from what does not: write "
                    "ref[...] = lax.pcast(ref[...], axes, to='varying') before the loop"
                )

    def values(self) -> list[Any]:
        """The values of the references in the carry, to start from."""
        return [ref._read() for ref in self.written]

    def without_refs(self, outs: Sequence[Any], num_carry: int) -> list[Any]:
        """The results of the loop, after the references have taken theirs."""
        end = num_carry + len(self.written)
        for ref, value in zip(self.written, outs[num_carry:end]):
            ref._write(value)
        return [*outs[:num_carry], *outs[end:]]


def with_references(body: Body, leaves: Sequence[Any], rows: Sequence[Any], **how: Any) -> list[Any]:
    """The results of a scan, after its references have taken their new values."""
    step = Threaded(body, len(leaves))
    outs = scanned(step.closed, step.consts, [*leaves, *step.values()], rows, **how)
    return step.without_refs(outs, len(leaves))


def over_indices(
    what: str, fun: Callable[[Any, Any], Any], init: Any, xs: Any
) -> tuple[Callable[[Any, Any], Any], Any, Any]:
    """A loop's function, its start, and rows with indices in the places of references, of which the function makes parts.

    Raises:
      RefError: a reference is there twice, or has no rows.
    """
    leaves, tree = tree_flatten(xs)
    refs = {i: x for i, x in enumerate(leaves) if isinstance(x, (Ref, RefPart))}
    check_aliases(list(refs.values()), what)
    for i, ref in refs.items():
        if not ref.shape:
            raise RefError(
                f"{what}: xs{leaf_path(tree, i)} is a reference to a scalar, which has no rows to loop over; close over it"
            )
        leaves[i] = np.arange(ref.shape[0], dtype=np.int32)

    @functools.wraps(fun, assigned=("__name__",), updated=())
    def of_indices(carry: Any, row: Any) -> Any:
        parts = [refs[i].at[x] if i in refs else x for i, x in enumerate(tree_flatten(row)[0])]
        return fun(carry, tree_unflatten(tree, parts))

    return of_indices, init, tree_unflatten(tree, leaves)


def test_of(test: Body, step: Threaded) -> tuple[ClosedJaxpr, list[Any]]:
    """The condition of a loop for the carry with references, and the values that it takes first.

    Raises:
      RefError: it writes to a reference.
    """
    used = test.refs
    if used is not None and any(used.written):
        raise RefError(
            f"while_loop: cond_fun ({test.name}) writes to a reference; write to it in body_fun, which runs as often as "
            "the loop does"
        )
    captured = () if used is None else used.cells
    position = {id(ref): i for i, ref in enumerate(step.written)}
    places = tuple([position.get(id(ref), -1) for ref in captured])
    read = [ref._read() for ref, place in zip(captured, places) if place < 0]
    if not step.written and not captured:
        return test.closed, test.consts
    num_consts = len(test.consts)
    avals = [ref._array_aval for ref in step.written]

    def build() -> ClosedJaxpr:
        jaxpr = test.closed.jaxpr
        first = len(jaxpr.invars) - len(places)
        own = {place: jaxpr.invars[first + i] for i, place in enumerate(places) if place >= 0}
        constant = [jaxpr.invars[first + i] for i, place in enumerate(places) if place < 0]
        carried = [own[i] if i in own else Var(aval) for i, aval in enumerate(avals)]
        invars = [*jaxpr.invars[:num_consts], *constant, *jaxpr.invars[num_consts:first], *carried]
        return ClosedJaxpr(Jaxpr([], invars, jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name), [])

    key = ("test of references", num_consts, places, tuple(avals))
    return test.closed.jaxpr.memoized(key, build), [*test.consts, *read]


class Branches:
    """Functions of the same arguments that take the same references and return the same of them.

    Attributes:
      bodies: the functions' programs; the values of `refs` follow their arguments.
      refs: all references that any of them uses.
      written: whether each comes back, behind the results.
    """

    __slots__ = ("bodies", "refs", "written")

    def __init__(self, bodies: Sequence[Body]) -> None:
        self.bodies = list(bodies)
        self.refs: list[Cell] = []
        if all([body.refs is None for body in bodies]):
            self.written: list[bool] = []
            return
        known: dict[int, int] = {}
        own: list[tuple[int, ...]] = []
        for body in bodies:
            for ref in () if body.refs is None else body.refs.cells:
                if known.setdefault(id(ref), len(self.refs)) == len(self.refs):
                    self.refs.append(ref)
            own.append(tuple([known[id(ref)] for ref in (() if body.refs is None else body.refs.cells)]))
        flags = [() if body.refs is None else body.refs.written for body in bodies]
        changed = {i for places, ends in zip(own, flags) for i, flag in zip(places, ends) if flag}
        self.written = [i in changed for i in range(len(self.refs))]
        avals = [ref._array_aval for ref in self.refs]
        key = ("references", tuple(own), tuple(flags), tuple(avals))
        programs = memoized_together(
            [body.closed for body in bodies],
            key,
            lambda: [_uniform(*of_one, avals, self.written) for of_one in zip(bodies, own, flags)],
        )
        self.bodies = [Body(p, b.consts, b.out_tree, b.name) for p, b in zip(programs, bodies)]

    def without_refs(self, outs: Sequence[Any]) -> Sequence[Any]:
        """The results of the branch that ran, after the references have taken theirs."""
        if not any(self.written):
            return outs
        count = len(outs) - sum(self.written)
        for ref, value in zip([r for r, flag in zip(self.refs, self.written) if flag], outs[count:]):
            ref._write(value)
        return outs[:count]


def _uniform(
    body: Body, own: Sequence[int], flags: Sequence[bool], avals: Sequence[Any], written: Sequence[bool]
) -> ClosedJaxpr:
    """A branch that takes all references and returns those that are written to; `own` and `flags`: those that it uses."""
    jaxpr = body.closed.jaxpr
    first = len(jaxpr.invars) - len(own)
    var_of = dict(zip(own, jaxpr.invars[first:]))
    given = [var_of[i] if i in var_of else Var(aval) for i, aval in enumerate(avals)]
    outs = jaxpr.outvars[: len(jaxpr.outvars) - sum(flags)]
    ends = dict(zip([i for i, flag in zip(own, flags) if flag], jaxpr.outvars[len(outs) :]))
    changed = [ends[i] if i in ends else given[i] for i, flag in enumerate(written) if flag]
    invars = [*jaxpr.invars[:first], *given]
    return ClosedJaxpr(Jaxpr([], invars, [*outs, *changed], jaxpr.eqns, jaxpr.effects, jaxpr.name), [])


def closed_over(
    what: str, arguments: tuple[Any, ...]
) -> tuple[tuple[Any, ...], Callable[[tuple[Any, ...]], tuple[Any, ...]] | None]:
    """Arguments without the references in them, and what puts them back; None if there are none.

    A branch that is given a reference and one that closes over it do the same.
    Raises:
      RefError: a reference is there twice.
    """
    leaves, tree = tree_flatten(arguments)
    places = [i for i, x in enumerate(leaves) if isinstance(x, (Ref, RefPart))]
    if not places:
        return arguments, None
    check_aliases([leaves[i] for i in places], what)
    held = {i: leaves[i] for i in places}

    def put_back(values: tuple[Any, ...]) -> tuple[Any, ...]:
        given = iter(values)
        full: tuple[Any, ...] = tree_unflatten(
            tree, [held[i] if i in held else next(given) for i in range(tree.num_leaves)]
        )
        return full

    return tuple([x for i, x in enumerate(leaves) if i not in held]), put_back

"""Rewriting the programs inside control flow: other orders of arguments, parts that depend on some inputs only.

Invariant: nothing here traces a user's function; what is derived from a program depends on that program alone, so callers
keep it in the program's memo.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from anima.core import hooks, variance
from anima.core.aval import AbstractValue, Axes
from anima.core.effects import happens
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from anima.core.primitive import Linear, Primitive, Zero
from anima.core.trace import aval_of
from anima.interpreters.dce import dce_jaxpr, without_dead as without_dead
from anima.interpreters.jvp import eval_derived, stage_closed
from anima.interpreters.linearize import linearize_flat
from anima.interpreters.partial import split_jaxpr
from anima.interpreters.stage import StageTrace
from anima.interpreters.transpose import backward
from anima.interpreters.zeros import instantiate

T = TypeVar("T")
Flags = tuple[bool, ...]
Dims = tuple[int | None, ...]  # where a mapped axis is
_ATTEMPTS = 3  # to find places where it stays
Run = Callable[[ClosedJaxpr, Sequence[Any]], list[Any]]


def reordered(
    closed: ClosedJaxpr, inputs: Sequence[int], outputs: Sequence[int] | None = None
) -> ClosedJaxpr:
    """The same program with its arguments, and its outputs if given, in another order; outputs may be left out."""
    jaxpr = closed.jaxpr
    unchanged = list(range(len(jaxpr.invars))) == list(inputs)
    if unchanged and (outputs is None or list(range(len(jaxpr.outvars))) == list(outputs)):
        return closed
    invars = [jaxpr.invars[i] for i in inputs]
    outvars = jaxpr.outvars if outputs is None else [jaxpr.outvars[i] for i in outputs]
    return ClosedJaxpr(
        Jaxpr(jaxpr.constvars, invars, outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name), closed.consts
    )


def outputs_varying(closed: ClosedJaxpr, axes: Sequence[Axes]) -> ClosedJaxpr:
    """The same program with outputs that vary at least along the axes given for each."""
    wanted = tuple([a.varying | more for a, more in zip(closed.out_avals, axes)])
    if all([a.varying == along for a, along in zip(closed.out_avals, wanted)]):
        return closed
    stages: list[StageTrace] = []

    def run(*args: Any) -> list[Any]:
        outs = eval_derived(closed.jaxpr, closed.consts, args, stages[0])
        return [variance.vary(x, along - aval_of(x).varying) for x, along in zip(outs, wanted)]

    def build() -> ClosedJaxpr:
        return stage_closed(run, closed.in_avals, closed.jaxpr.name, stages.append)

    return closed.jaxpr.memoized(("varying", wanted), build)


def inputs_varying(closed: ClosedJaxpr, axes: Axes) -> ClosedJaxpr:
    """The same program for arguments that all vary at least along the axes."""
    avals: list[Any] = closed.in_avals
    wider = [a if axes <= a.varying else a.update(varying=a.varying | axes) for a in avals]
    if all([a is b for a, b in zip(avals, wider)]):
        return closed
    stages: list[StageTrace] = []

    def build() -> ClosedJaxpr:
        run = lambda *args: eval_derived(closed.jaxpr, closed.consts, args, stages[0])
        return stage_closed(run, wider, closed.jaxpr.name, stages.append)

    return closed.jaxpr.memoized(("varying inputs", axes), build)


def all_varying(values: Sequence[Any], axes: Axes) -> list[Any]:
    """The values, varying at least along the axes."""
    return [variance.vary(x, axes - aval_of(x).varying) for x in values]


def apart(linear: ClosedJaxpr) -> ClosedJaxpr:
    """The linear part of a program, for a loop or a branch that holds nothing else.

    What it computes again needs no fences there: nothing can be merged with the first computation, in another loop.
    """

    def build() -> ClosedJaxpr:
        eqns = []
        for eqn in linear.eqns:
            if eqn.params.get("prevent_cse"):
                eqn = eqn.replace(params=eqn.params | {"prevent_cse": False})
            elif eqn.primitive.name == "jit":
                eqn = eqn.replace(params=eqn.params | {"jaxpr": apart(eqn.params["jaxpr"])})
            eqns.append(eqn)
        jaxpr = linear.jaxpr
        return ClosedJaxpr(
            Jaxpr(jaxpr.constvars, jaxpr.invars, jaxpr.outvars, eqns, jaxpr.effects, jaxpr.name),
            linear.consts,
        )

    return linear.jaxpr.memoized("apart", build)


def known_program(closed: ClosedJaxpr, unknown: Flags, out_unknowns: Flags) -> ClosedJaxpr:
    """The part of a program that computes the results that are known, from the arguments that are."""
    nothing = (False,) * len(out_unknowns)
    return split_jaxpr(closed, unknown, outputs=nothing, out_unknowns=out_unknowns).known


def needed_inputs(closed: ClosedJaxpr, outputs: Sequence[bool]) -> list[bool]:
    """Which arguments the wanted outputs (and the effects) of a program depend on."""
    return dce_jaxpr(closed.jaxpr, outputs)[2]


def carry_closure(
    body: ClosedJaxpr, num_consts: int, carried: Sequence[bool], others: Sequence[bool] = ()
) -> tuple[list[bool], list[bool]]:
    """The parts of a carry that are needed if those in `carried`, and `others` among the other results, are.

    Returns them, and which arguments of the body those need.
    """
    kept = list(carried)
    while True:
        needed = needed_inputs(body, [*kept, *others])
        wider = [a or b for a, b in zip(kept, needed[num_consts:])]
        if wider == kept:
            return kept, needed
        kept = wider


def dependent_outputs(jaxpr: Jaxpr, inputs: Sequence[bool]) -> Flags:
    """Which outputs depend on the arguments where `inputs` is True, or come from equations in which something happens."""
    found = {v for v, flag in zip(jaxpr.invars, inputs) if flag}
    for eqn in jaxpr.eqns:
        if happens(eqn.effects) or any(a in found for a in eqn.invars if isinstance(a, Var)):
            found.update(eqn.outvars)
    return tuple(isinstance(a, Var) and a in found for a in jaxpr.outvars)


def memoized_together(programs: Sequence[ClosedJaxpr], key: Hashable, build: Callable[[], T]) -> T:
    """The value of `build()`, computed once for these programs and this key; it lives no longer than any of them."""
    table: Any = programs[0].jaxpr.memoized(("together", len(programs), key), WeakKeyDictionary)
    for program in programs[1:]:
        table = table.setdefault(program, WeakKeyDictionary())
    known: T | None = table.get(programs[0])
    return table.setdefault(programs[0], build()) if known is None else known


def staged(fun: Callable[..., Sequence[Any]], avals: Sequence[AbstractValue], name: str) -> ClosedJaxpr:
    """The program of `fun(run, *arguments)`; it performs other programs with `run(closed, arguments)`.

    Equations that come from those keep their positions in the user's source.
    """
    stages: list[StageTrace] = []

    def run(closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
        return eval_derived(closed.jaxpr, closed.consts, args, stages[0])

    return stage_closed(lambda *xs: fun(run, *xs), avals, name, stages.append)


def spread(values: Sequence[Any], flags: Sequence[bool], avals: Sequence[AbstractValue]) -> list[Any]:
    """Tangents for all values: one of `values` for each True of `flags`, symbolic zeros elsewhere."""
    given = iter(values)
    return [next(given) if flag else Zero(a.tangent_aval()) for flag, a in zip(flags, avals)]


def chosen(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The values for which a flag is True."""
    return [v for v, flag in zip(values, flags) if flag]


def union(*flags: Flags) -> Flags:
    """Where any of several sequences of flags has a True."""
    return tuple([any(column) for column in zip(*flags)])


def places(flags: Sequence[bool]) -> list[int]:
    """Where the flags are True."""
    return [i for i, flag in enumerate(flags) if flag]


def made_real(tangents: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The tangents for which a flag is True, with arrays of zeros for symbolic ones."""
    return [instantiate(t) for t, flag in zip(tangents, flags) if flag]


def nonzeros(tangents: Sequence[Any]) -> Flags:
    """Which tangents are not symbolic zeros."""
    return tuple(type(t) is not Zero for t in tangents)


def avals_of(values: Sequence[Any]) -> list[AbstractValue]:
    """The avals of several values."""
    return [aval_of(v) for v in values]


def interleaved(primals: Sequence[int], tangents: Sequence[int]) -> list[int]:
    """The order that puts the tangents of each role behind its primals, where all primals come first.

    `primals` and `tangents` say how many there are of each role.
    """
    order: list[int] = []
    first, second = 0, sum(primals)
    for p, t in zip(primals, tangents):
        order += [*range(first, first + p), *range(second, second + t)]
        first, second = first + p, second + t
    return order


def transposed_by_linearizing(
    primitive: Primitive, cts: Sequence[Any], args: Sequence[Any], params: dict[str, Any]
) -> list[Any]:
    """The transpose of a primitive by way of its `linearize` rule, for operations that compute with other values too."""
    where = [i for i, a in enumerate(args) if type(a) is Linear]

    def fun(*given: Any) -> list[Any]:
        values = list(args)
        for i, value in zip(where, given):
            values[i] = value
        outs: list[Any] = primitive.bind(*values, **params)
        return outs

    # Where a function is linear its derivative is the same at all points, also at zero.
    _, tape = linearize_flat(fun, [hooks.zeros(args[i].aval) for i in where])
    found = dict(zip(where, backward(tape, cts)))
    return [None if type(found.get(i, Zero)) in (Zero, type) else found[i] for i in range(len(args))]


def batched_carry(
    derive: Callable[[Dims, Dims], tuple[ClosedJaxpr, Dims]], given: Dims
) -> tuple[ClosedJaxpr, Dims, Dims]:
    """The program that maps the body of a loop, where each part of the carry has the mapped axis, and where each output has it.

    Every part has it in the place where the body leaves it, if the body leaves it there again: then nothing is moved in an
    iteration. Otherwise parts have it first.

    Args:
      derive: the mapped program and the places in its outputs, for those in the carry and for those wanted in the first
        outputs (None: wherever they happen to be).
      given: the places in the values to start from.
    """
    count = len(given)
    anywhere: Dims = (None,) * count
    dims = given
    while True:
        program, found = derive(dims, anywhere)
        wider = tuple([d if d is not None else f for d, f in zip(dims, found)])
        if wider == dims:
            break
        dims = wider
    for _ in range(_ATTEMPTS):
        if all([f is None or f == d for f, d in zip(found, dims)]):
            if found[:count] != dims:  # parts that an iteration makes anew are the same for all examples
                program, found = derive(dims, dims)
            return program, dims, found
        dims = tuple([d if f is None else f for d, f in zip(dims, found)])
        program, found = derive(dims, anywhere)
    first = tuple([None if d is None else 0 for d in dims])
    program, found = derive(first, first)
    return program, first, found

"""The `cond` primitive: one of several programs on the same operands, chosen by an index at run time.

Invariant: the first operand is an int32 scalar in range; all branches take the other operands and return the same types
up to weakness. Programs derived from the branches are made once for them together, and each is again a `cond`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.effects import Effects
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive
from anima.core.trace import get_trace, shaped
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.linearize import LinearizedJaxpr, linearize_jaxpr
from anima.interpreters.transpose import transpose_jaxpr
from anima.lax.compare import ne
from anima.lax.control.programs import (
    Flags,
    Run,
    chosen,
    made_real,
    memoized_together,
    needed_inputs,
    nonzeros,
    places,
    reordered,
    spread,
    staged,
    without_dead,
)
from anima.lax.selection import select_n
from anima.lax.shape import broadcast_in_dim
from anima.lowering.module import Context, Value
from anima.runtime.dispatch import eager_by_program

Branches = tuple[ClosedJaxpr, ...]


def _shape(index: Any, *avals: Any, branches: Branches) -> list[Any]:
    if index.shape or index.dtype != np.dtype(np.int32):
        raise TypeError(f"cond: the index must be an int32 scalar, got {index.str_short()}")
    for branch in branches:
        if len(branch.in_avals) != len(avals):
            raise TypeError(f"cond: {len(avals)} operands for a branch of {len(branch.in_avals)}")
    outs = zip(*[branch.out_avals for branch in branches])
    return [types[0] if all(a.weak_type for a in types) else types[0].strip_weak_type() for types in outs]


def _effects(*avals: Any, branches: Branches) -> Effects:
    return frozenset().union(*[branch.effects for branch in branches])


def _lower(ctx: Context, index: Value, *operands: Value, branches: Branches) -> list[Value]:
    outs = list(ctx.out_avals)
    if len(branches) == 1:
        return ctx.jaxpr(branches[0].jaxpr, branches[0].consts, operands)
    regions = [
        ctx.region([], lambda inner, _, b=branch: inner.jaxpr(b.jaxpr, b.consts, operands))  # type: ignore[misc]
        for branch in branches
    ]
    return ctx.ops("stablehlo.case", (index,), outs, regions=regions)


def _union(flags: Sequence[Flags]) -> Flags:
    return tuple([any(column) for column in zip(*flags)])


# --- derivatives ------------------------------------------------------------------------------


def _jvp(primals: Any, tangents: Any, *, branches: Branches) -> tuple[list[Any], list[Any]]:
    flags = nonzeros(tangents[1:])
    out_flags = _union([jvp_jaxpr(branch, flags)[1] for branch in branches])
    derived = tuple([jvp_jaxpr(branch, flags, out_flags)[0] for branch in branches])
    outs = cond_p.bind(*primals, *chosen(tangents[1:], flags), branches=derived)
    avals = branches[0].out_avals
    return outs[: len(avals)], spread(outs[len(avals) :], out_flags, avals)


class _Split:
    """The branches split into primal and linear parts that agree on what they hand over.

    `primal`: operands -> outputs, then residuals. `linear`: (residuals, `outputs` among the outputs, `inputs` among the
    operands, non-zero tangents) -> tangents of the outputs where `out_flags` is True.
    """

    __slots__ = ("inputs", "linear", "out_flags", "outputs", "primal")

    def __init__(self, branches: Branches, flags: Flags) -> None:
        splits = [linearize_jaxpr(branch, flags) for branch in branches]
        self.out_flags = _union([s.out_nonzeros for s in splits])
        self.outputs = sorted({i for s in splits for i in s.residual_outputs})
        self.inputs = sorted({i for s in splits for i in s.residual_inputs})
        slots: list[ShapedArray] = []
        places = [_places(s, len(branches[0].out_avals), slots) for s in splits]
        self.primal = tuple([self._primal(s, p, slots) for s, p in zip(splits, places)])
        self.linear = tuple([self._linear(s, p, slots, branches[0], flags) for s, p in zip(splits, places)])

    def _primal(self, split: LinearizedJaxpr, places: list[int], slots: list[ShapedArray]) -> ClosedJaxpr:
        count = len(split.primal.out_avals) - len(places)

        def fun(run: Run, *operands: Any) -> list[Any]:
            outs = run(split.primal, operands)
            residuals = dict(zip(places, outs[count:]))
            return [
                *outs[:count],
                *[residuals[i] if i in residuals else hooks.zeros(a) for i, a in enumerate(slots)],
            ]

        return staged(fun, split.primal.in_avals, split.primal.jaxpr.name)

    def _linear(
        self,
        split: LinearizedJaxpr,
        places: list[int],
        slots: list[ShapedArray],
        branch: ClosedJaxpr,
        flags: Flags,
    ) -> ClosedJaxpr:
        out_avals, in_avals = branch.out_avals, branch.in_avals
        shared = [*slots, *[out_avals[i] for i in self.outputs], *[in_avals[i] for i in self.inputs]]
        tangent_avals = [a.tangent_aval() for a in chosen(in_avals, flags)]
        first_input = len(slots) + len(self.outputs)
        taken = [
            *places,
            *[len(slots) + self.outputs.index(i) for i in split.residual_outputs],
            *[first_input + self.inputs.index(i) for i in split.residual_inputs],
        ]

        def fun(run: Run, *args: Any) -> list[Any]:
            tangents = run(split.linear, [*[args[i] for i in taken], *args[len(shared) :]])
            return made_real(spread(tangents, split.out_nonzeros, out_avals), self.out_flags)

        return staged(fun, [*shared, *tangent_avals], branch.jaxpr.name)


def _places(split: LinearizedJaxpr, num_outs: int, slots: list[ShapedArray]) -> list[int]:
    """Where among `slots`, which grow if need be, the residuals of a branch go: one branch uses a slot once."""
    used: set[int] = set()
    places = []
    for aval in split.primal.out_avals[num_outs:]:
        strong = aval.strip_weak_type()  # type: ignore[attr-defined]
        place = next((i for i, slot in enumerate(slots) if slot == strong and i not in used), len(slots))
        if place == len(slots):
            slots.append(strong)
        used.add(place)
        places.append(place)
    return places


def _linearize(primals: Any, tangents: Any, *, branches: Branches) -> tuple[list[Any], list[Any]]:
    flags = nonzeros(tangents[1:])
    split = memoized_together(branches, ("linearize", flags), lambda: _Split(branches, flags))
    index, *operands = primals
    outs = cond_p.bind(index, *operands, branches=split.primal)
    avals = branches[0].out_avals
    count = len(avals)
    if not any(split.out_flags):
        return outs[:count], spread([], split.out_flags, avals)
    residuals = [*outs[count:], *[outs[i] for i in split.outputs], *[operands[i] for i in split.inputs]]
    out_tangents = cond_p.bind(index, *residuals, *chosen(tangents[1:], flags), branches=split.linear)
    return outs[:count], spread(out_tangents, split.out_flags, avals)


def _transpose(cts: Any, index: Any, *args: Any, branches: Branches) -> list[Any]:
    linear = tuple([type(a) is Linear for a in args])
    ct_flags = nonzeros(cts)
    derived, flags = memoized_together(
        branches, ("transpose", linear, ct_flags), lambda: _transposed(branches, linear, ct_flags)
    )
    constants = [a for a, lin in zip(args, linear) if not lin]
    found = iter(cond_p.bind(index, *constants, *chosen(cts, ct_flags), branches=derived))
    given = iter(flags)
    return [None, *[next(found) if lin and next(given) else None for lin in linear]]


def _transposed(branches: Branches, linear: Flags, ct_flags: Flags) -> tuple[Branches, Flags]:
    pairs = [transpose_jaxpr(branch, linear, ct_flags) for branch in branches]
    union = _union([flags for _, flags in pairs])
    avals = chosen(branches[0].in_avals, linear)

    def completed(program: ClosedJaxpr, flags: Flags) -> ClosedJaxpr:
        def fun(run: Run, *args: Any) -> list[Any]:
            return made_real(spread(run(program, args), flags, avals), union)

        return staged(fun, program.in_avals, program.jaxpr.name)

    return tuple([completed(program, flags) for program, flags in pairs]), union


# --- batching ---------------------------------------------------------------------------------


def _batch(axis: Axis, args: Any, dims: Any, *, branches: Branches) -> tuple[list[Any], list[int | None]]:
    index_dim, *rest = dims
    operand_dims = tuple(rest)
    if index_dim is not None:
        return _select(axis, args, operand_dims, branches)
    forced = _union([tuple(d is not None for d in batch_jaxpr(b, axis, operand_dims)[1]) for b in branches])
    derived = tuple([batch_jaxpr(b, axis, operand_dims, forced)[0] for b in branches])
    return cond_p.bind(*args, branches=derived), [0 if f else None for f in forced]


def _select(
    axis: Axis, args: Any, dims: tuple[int | None, ...], branches: Branches
) -> tuple[list[Any], list[int | None]]:
    """All branches on all examples, and for each example the results of its own branch."""
    if any(branch.effects for branch in branches):
        names = ", ".join(sorted({str(e) for branch in branches for e in branch.effects}))
        raise ValueError(
            "cond: vmap maps the predicate, so every example would run every branch, but the branches have effects: "
            f"{names}. Do not map the predicate (in_axes=None), or move the effects out of the branches."
        )

    def build() -> ClosedJaxpr:
        batched = [batch_jaxpr(branch, axis, dims, True)[0] for branch in branches]

        def fun(run: Run, index: Any, *operands: Any) -> list[Any]:
            which = ne(index, 0) if len(branches) == 2 else index
            results = zip(*[run(program, operands) for program in batched])
            return [select_n(broadcast_in_dim(which, shaped(r[0]).shape, (0,)), *r) for r in results]

        return staged(fun, [ShapedArray((axis.size,), np.dtype(np.int32)), *batched[0].in_avals], "select")

    program = memoized_together(branches, ("select", axis.key, dims), build)
    outs = perform(program, args)
    return outs, [0] * len(outs)


def perform(program: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    """The results of a program: as one compiled program if called eagerly, else in place."""
    if get_trace() is None:
        return cond_p.bind(np.int32(0), *args, branches=(program,))
    return eval_jaxpr(program.jaxpr, program.consts, *args)


# --- dead code --------------------------------------------------------------------------------


def _dce(used: Flags, *, branches: Branches) -> tuple[list[bool], list[bool], dict[str, Any]]:
    def build() -> tuple[Branches, list[bool]]:
        inputs = _union([tuple(needed_inputs(branch, used)) for branch in branches])
        derived = [without_dead(reordered(branch, places(inputs), places(used))) for branch in branches]
        return tuple(derived), list(inputs)

    derived, inputs = memoized_together(branches, ("dce", used), build)
    return [True, *inputs], list(used), {"branches": derived}


cond_p = Primitive(
    "cond",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    dce=_dce,
    multiple_results=True,
)
cond_p.eager = eager_by_program(cond_p, "branches")

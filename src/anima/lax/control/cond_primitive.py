"""The `cond` primitive: one of several programs on the same operands, chosen by an index at run time.

Invariant: the first operand is an int32 scalar in range; all branches take the other operands and return the same types
up to weakness. Programs derived from the branches are made once for them together, and each is again a `cond`.

With the parameter `branches_platforms`, which names platforms for each branch (None: any other), the index says nothing:
lowering takes the branch for its platform, and the others need not even lower there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from anima.core import variance
from anima.core.aval import Axes, ShapedArray
from anima.core.effects import Effects, not_under_masks
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive
from anima.core.trace import get_trace, shaped
from anima.errors import MissingRuleError
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.linearize import LinearizedJaxpr, linearize_jaxpr
from anima.interpreters.transpose import transpose_jaxpr
from anima.lax.compare import ne
from anima.lax.control.divided import divided_cond, filled, residual_slots
from anima.lax.control.key_uses import cond_keys
from anima.lax.control.programs import (
    Flags,
    Run,
    apart,
    chosen,
    made_real,
    memoized_together,
    needed_inputs,
    nonzeros,
    places,
    reordered,
    spread,
    staged,
    union,
    without_dead,
)
from anima.lax.control.series import cond_series
from anima.lax.selection import select_n
from anima.lax.shape import broadcast_in_dim
from anima.lowering.module import Context, Value
from anima.runtime.dispatch import eager_by_program

Branches = tuple[ClosedJaxpr, ...]
Platforms = tuple[tuple[str, ...] | None, ...]


def _shape(index: Any, *avals: Any, branches: Branches, **how: Any) -> list[Any]:
    if index.shape or index.dtype != np.dtype(np.int32):
        raise TypeError(f"cond: the index must be an int32 scalar, got {index.str_short()}")
    for branch in branches:
        if len(branch.in_avals) != len(avals):
            raise TypeError(f"cond: {len(avals)} operands for a branch of {len(branch.in_avals)}")
    outs = zip(*[branch.out_avals for branch in branches])
    return [
        types[0].update(weak_type=all([a.weak_type for a in types]), varying=variance.joined([index, *types]))
        for types in outs
    ]


def _varying(index: Any, *avals: Any, branches: Branches, **how: Any) -> list[Axes]:
    operands = zip(*[branch.in_avals for branch in branches])
    return [index.varying, *[variance.joined(types) for types in operands]]


def _effects(*avals: Any, branches: Branches, **how: Any) -> Effects:
    return frozenset().union(*[branch.effects for branch in branches])


def _lower(
    ctx: Context,
    index: Value,
    *operands: Value,
    branches: Branches,
    branches_platforms: Platforms | None = None,
) -> list[Value]:
    outs = list(ctx.out_avals)
    if branches_platforms is not None:
        branches = (branches[branch_for(ctx.module.platform, branches_platforms)],)
    if len(branches) == 1:
        return ctx.jaxpr(branches[0].jaxpr, branches[0].consts, operands)
    emitters = [lambda inner, b=branch: inner.jaxpr(b.jaxpr, b.consts, operands) for branch in branches]
    return ctx.case(index, outs, emitters, _effects(branches=branches))


def branch_for(platform: str, platforms: Platforms) -> int:
    """The number of the branch that a platform takes.

    Raises:
      MissingRuleError: there is none.
    """
    for number, names in enumerate(platforms):
        if names is not None and platform in names:
            return number
    if None in platforms:
        return platforms.index(None)
    listed = ", ".join(name for names in platforms for name in names or ()) or "none"
    raise MissingRuleError(
        f"platform_dependent: no branch for the platform {platform}; those given are for {listed}. Give {platform}=, or "
        "default= for all others."
    )


# --- derivatives ------------------------------------------------------------------------------


def _jvp(primals: Any, tangents: Any, *, branches: Branches, **how: Any) -> tuple[list[Any], list[Any]]:
    flags = nonzeros(tangents[1:])
    out_flags = union(*[jvp_jaxpr(branch, flags)[1] for branch in branches])
    derived = tuple([jvp_jaxpr(branch, flags, out_flags)[0] for branch in branches])
    outs = cond_p.bind(*primals, *chosen(tangents[1:], flags), branches=derived, **how)
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
        self.out_flags = union(*[s.out_nonzeros for s in splits])
        self.outputs = sorted({i for s in splits for i in s.residual_outputs})
        self.inputs = sorted({i for s in splits for i in s.residual_inputs})
        slots: list[ShapedArray] = []
        count = len(branches[0].out_avals)
        places = [residual_slots(s.primal.out_avals[count:], slots) for s in splits]
        self.primal = tuple([self._primal(s, p, slots) for s, p in zip(splits, places)])
        self.linear = tuple([self._linear(s, p, slots, branches[0], flags) for s, p in zip(splits, places)])

    def _primal(self, split: LinearizedJaxpr, places: list[int], slots: list[ShapedArray]) -> ClosedJaxpr:
        count = len(split.primal.out_avals) - len(places)

        def fun(run: Run, *operands: Any) -> list[Any]:
            outs = run(split.primal, operands)
            return [*outs[:count], *filled(outs[count:], places, slots)]

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
        of_output = {i: len(slots) + k for k, i in enumerate(self.outputs)}
        of_input = {i: len(slots) + len(self.outputs) + k for k, i in enumerate(self.inputs)}
        taken = [
            *places,
            *[of_output[i] for i in split.residual_outputs],
            *[of_input[i] for i in split.residual_inputs],
        ]

        def fun(run: Run, *args: Any) -> list[Any]:
            tangents = run(apart(split.linear), [*[args[i] for i in taken], *args[len(shared) :]])
            return made_real(spread(tangents, split.out_nonzeros, out_avals), self.out_flags)

        return staged(fun, [*shared, *tangent_avals], branch.jaxpr.name)


def _linearize(primals: Any, tangents: Any, *, branches: Branches, **how: Any) -> tuple[list[Any], list[Any]]:
    flags = nonzeros(tangents[1:])
    split = memoized_together(branches, ("linearize", flags), lambda: _Split(branches, flags))
    index, *operands = primals
    outs = cond_p.bind(index, *operands, branches=split.primal, **how)
    avals = branches[0].out_avals
    count = len(avals)
    if not any(split.out_flags):
        return outs[:count], spread([], split.out_flags, avals)
    residuals = [*outs[count:], *[outs[i] for i in split.outputs], *[operands[i] for i in split.inputs]]
    out_tangents = cond_p.bind(index, *residuals, *chosen(tangents[1:], flags), branches=split.linear, **how)
    return outs[:count], spread(out_tangents, split.out_flags, avals)


def _transpose(cts: Any, index: Any, *args: Any, branches: Branches, **how: Any) -> list[Any]:
    linear = tuple([type(a) is Linear for a in args])
    ct_flags = nonzeros(cts)
    derived, flags = memoized_together(
        branches, ("transpose", linear, ct_flags), lambda: _transposed(branches, linear, ct_flags)
    )
    constants = [a for a, lin in zip(args, linear) if not lin]
    found = iter(cond_p.bind(index, *constants, *chosen(cts, ct_flags), branches=derived, **how))
    given = iter(flags)
    return [None, *[next(found) if lin and next(given) else None for lin in linear]]


def _transposed(branches: Branches, linear: Flags, ct_flags: Flags) -> tuple[Branches, Flags]:
    pairs = [transpose_jaxpr(branch, linear, ct_flags) for branch in branches]
    wanted = union(*[flags for _, flags in pairs])
    avals = chosen(branches[0].in_avals, linear)

    def completed(program: ClosedJaxpr, flags: Flags) -> ClosedJaxpr:
        def fun(run: Run, *args: Any) -> list[Any]:
            return made_real(spread(run(program, args), flags, avals), wanted)

        return staged(fun, program.in_avals, program.jaxpr.name)

    return tuple([completed(program, flags) for program, flags in pairs]), wanted


# --- batching ---------------------------------------------------------------------------------


def _batch(
    axis: Axis, args: Any, dims: Any, *, branches: Branches, **how: Any
) -> tuple[list[Any], list[int | None]]:
    index_dim, *rest = dims
    operand_dims = tuple(rest)
    if index_dim is not None:
        return _select(axis, args, operand_dims, branches)
    forced = union(*[tuple(d is not None for d in batch_jaxpr(b, axis, operand_dims)[1]) for b in branches])
    derived = tuple([batch_jaxpr(b, axis, operand_dims, forced)[0] for b in branches])
    return cond_p.bind(*args, branches=derived, **how), [0 if f else None for f in forced]


def _select(
    axis: Axis, args: Any, dims: tuple[int | None, ...], branches: Branches
) -> tuple[list[Any], list[int | None]]:
    """All branches on all examples, and for each example the results of its own branch."""
    refused = not_under_masks(_effects(branches=branches))
    if refused:
        raise ValueError(
            "cond: vmap maps the predicate, so every example would run every branch, but the branches have effects: "
            f"{refused}. Do not map the predicate (in_axes=None), or move the effects out of the branches."
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


def _dce(used: Flags, *, branches: Branches, **how: Any) -> tuple[list[bool], list[bool], dict[str, Any]]:
    def build() -> tuple[Branches, list[bool]]:
        inputs = union(*[tuple(needed_inputs(branch, used)) for branch in branches])
        derived = [without_dead(reordered(branch, places(inputs), places(used))) for branch in branches]
        return tuple(derived), list(inputs)

    derived, inputs = memoized_together(branches, ("dce", used), build)
    return [True, *inputs], list(used), {"branches": derived} | how


def _taylor(
    primals: Any, series: Any, order: int, *, branches: Branches, **how: Any
) -> tuple[list[Any], list[Any]]:
    return cond_series(partial(cond_p.bind, **how), primals, series, order, branches)


cond_p = Primitive(
    "cond",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    taylor=_taylor,
    dce=_dce,
    partial=divided_cond,
    keys=cond_keys,
    multiple_results=True,
    unfused=True,
    varying=_varying,
)
cond_p.eager = eager_by_program(cond_p, "branches")

"""Linear equations solved by a user's function: `custom_linear_solve`.

Invariant: derivatives come from the equation `matvec(x) == b` alone, never from how it is solved. The operation holds the
programs of the map and of its transpose, and of the solvers of both; its own transpose is the same operation with the two
exchanged. The first operands are what those programs captured; `b` comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core import variance
from anima.core.aval import AbstractValue
from anima.core.effects import Effects
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive, Zero
from anima.core.trace import aval_of
from anima.core.validate import same_type
from anima.interpreters.batch import Axis, batch_jaxpr, to_axis
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.transpose import transpose_jaxpr
from anima.interpreters.zeros import add as add_tangents, instantiate
from anima.lax.arithmetic import neg
from anima.lax.control.bodies import (
    Body,
    check_function,
    flat_call,
    leaf_path,
    main_tree,
    operand_leaves,
    staged_body,
)
from anima.lax.control.carries import type_text
from anima.lax.control.programs import Run, avals_of, chosen, made_real, nonzeros, spread, staged
from anima.lowering.module import Context, Value
from anima.runtime.dispatch import eager_by_program

_WHAT = "custom_linear_solve"


def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """`solve(matvec, b)`, differentiated as the solution `x` of the linear equation `matvec(x) == b`.

    The derivative is that of the solution, whatever `solve` does; it may loop until it converges, or call other libraries.
    With respect to what `matvec` captured and to `b`; what `solve` captured counts as constant.

    Args:
      matvec: a linear function from a pytree built as `b` is to another.
      b: the right-hand side: an array or a pytree of arrays.
      solve: called with `matvec` and a right-hand side; returns `x`, built as `b` is.
      transpose_solve: the same for the transpose of `matvec`, which it is given. Reverse-mode derivatives need it.
      symmetric: `matvec` is its own transpose, and `solve` solves with both.
      has_aux: the solvers return pairs, of which the second part is handed on; it has no derivative.
    Returns:
      `x`, or the pair that `solve` returned.
    Raises:
      TypeError: a function is not callable. ValueError: one returns something built in another way than `b`, or with other
        types, or no pair, though `has_aux` says so.

    >>> import anima
    >>> from anima import lax
    >>> half = lambda b: lax.custom_linear_solve(
    ...     lambda x: 2 * x, b, lambda matvec, b: b / 2, symmetric=True
    ... )
    >>> print(half(3.0), anima.grad(half)(3.0))
    1.5 0.5
    """
    for name, fun in (("matvec", matvec), ("solve", solve), ("transpose_solve", transpose_solve)):
        if fun is not None or name != "transpose_solve":
            check_function(_WHAT, name, fun)
    leaves, tree = operand_leaves(_WHAT, "b", b)
    avals = avals_of(leaves)
    forth = staged_body(_WHAT, matvec, avals, lambda: flat_call(matvec, tree))
    _check_like_b("matvec", forth, tree, avals, False)
    solver = _solver("solve", solve, matvec, tree, avals, has_aux)
    back, back_solver = None, None
    if symmetric:
        back, back_solver = forth.closed, solver
    elif transpose_solve is not None:
        back = _transposed(forth.closed, len(forth.consts))
        vecmat = _function_of(back, forth.consts, tree)
        back_solver = _solver("transpose_solve", transpose_solve, vecmat, tree, avals, has_aux)
    outs = linear_solve_p.bind(
        *forth.consts,
        *solver.consts,
        *(back_solver.consts if back_solver is not None else []),
        *leaves,
        matvec=forth.closed,
        vecmat=back,
        solve=solver.closed,
        transpose_solve=None if back_solver is None else back_solver.closed,
        num_leaves=len(leaves),
    )
    return tree_unflatten(solver.out_tree, outs)


def _solver(
    name: str, solve: Any, matvec: Any, tree: PyTreeDef, avals: Sequence[AbstractValue], has_aux: bool
) -> Body:
    body = staged_body(_WHAT, solve, avals, lambda: flat_call(lambda x: solve(matvec, x), tree))
    _check_like_b(name, body, tree, avals, has_aux)
    return body


def _check_like_b(
    name: str, body: Body, tree: PyTreeDef, avals: Sequence[AbstractValue], has_aux: bool
) -> None:
    """Raise ValueError unless what a function returns, or the first part of that, has the structure and types of `b`."""
    found, which = main_tree(_WHAT, name, body, has_aux), f"{name} ({body.name})"
    if found != tree:
        raise ValueError(
            f"{_WHAT}: {which} must return a pytree built as b is, {tree}, but it returns {found}"
        )
    for index, (want, got) in enumerate(zip(avals, body.out_avals)):
        if not same_type(want, got):
            path = leaf_path(tree, index)
            raise ValueError(
                f"{_WHAT}: {which} must return arrays of the types of b, but b{path} is {type_text(want)} and the result's "
                f"leaf{' ' + path if path else ''} is {type_text(got)}"
            )


def _function_of(program: ClosedJaxpr, consts: Sequence[Any], tree: PyTreeDef) -> Callable[[Any], Any]:
    """The function of a pytree that a program computes."""

    def vecmat(x: Any) -> Any:
        return tree_unflatten(tree, eval_jaxpr(program.jaxpr, program.consts, *consts, *tree_flatten(x)[0]))

    return vecmat


def _transposed(matvec: ClosedJaxpr, num_consts: int) -> ClosedJaxpr:
    """The program of the transposed map; it takes the same constants."""

    def build() -> ClosedJaxpr:
        avals = matvec.in_avals[num_consts:]
        linear = (False,) * num_consts + (True,) * len(avals)
        program, flags = transpose_jaxpr(matvec, linear, (True,) * len(avals))

        def fun(run: Run, *args: Any) -> list[Any]:
            return made_real(spread(run(program, args), flags, avals), (True,) * len(avals))

        return staged(fun, program.in_avals, matvec.jaxpr.name)

    return matvec.jaxpr.memoized(("transposed map", num_consts), build)


# --- the operation ----------------------------------------------------------------------------


class _Operands:
    """The operands, or what belongs to them, by role."""

    __slots__ = ("b", "matvec", "solve", "transpose_solve")

    def __init__(self, values: Sequence[Any], params: dict[str, Any]) -> None:
        last = len(values) - params["num_leaves"]
        first = len(params["matvec"].in_avals) - params["num_leaves"]
        second = first + len(params["solve"].in_avals) - params["num_leaves"]
        self.matvec = tuple(values[:first])
        self.solve = tuple(values[first:second])
        self.transpose_solve = tuple(values[second:last])
        self.b = tuple(values[last:])


def _shape(*avals: Any, solve: ClosedJaxpr, **params: Any) -> list[Any]:
    return solve.out_avals


def _effects(*avals: Any, solve: ClosedJaxpr, **params: Any) -> Effects:
    return solve.effects


def _lower(ctx: Context, *operands: Value, **params: Any) -> list[Value]:
    parts, solve = _Operands(operands, params), params["solve"]
    return ctx.jaxpr(solve.jaxpr, solve.consts, [*parts.solve, *parts.b])


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    """From `matvec(x) == b` follows `matvec(dx) == db - dmatvec(x)`."""
    count = params["num_leaves"]
    outs = linear_solve_p.bind(*primals, **params)
    values, given = _Operands(primals, params), _Operands(tangents, params)
    right = list(given.b)
    flags = nonzeros(given.matvec)
    if any(flags):
        program, out_flags = jvp_jaxpr(params["matvec"], flags + (False,) * count)
        changes = eval_jaxpr(
            program.jaxpr, program.consts, *values.matvec, *outs[:count], *chosen(given.matvec, flags)
        )[count:]
        for place, change in zip([i for i, flag in enumerate(out_flags) if flag], changes):
            right[place] = add_tangents(right[place], neg(change))
    none = [Zero(aval_of(out).tangent_aval()) for out in outs]
    if not any(nonzeros(right)):
        return outs, none
    slopes = linear_solve_p.bind(*primals[: len(primals) - count], *map(instantiate, right), **params)
    return outs, [*slopes[:count], *none[count:]]


def _transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    if params["transpose_solve"] is None:
        raise TypeError(
            "custom_linear_solve: transpose_solve is required for reverse-mode differentiation (grad, vjp); give it, or "
            "symmetric=True if matvec is its own transpose"
        )
    count, parts = params["num_leaves"], _Operands(args, params)
    exchanged = {
        "matvec": params["vecmat"],
        "vecmat": params["matvec"],
        "solve": params["transpose_solve"],
        "transpose_solve": params["solve"],
    }
    outs = linear_solve_p.bind(
        *parts.matvec,
        *parts.transpose_solve,
        *parts.solve,
        *map(instantiate, cts[:count]),
        **params | exchanged,
    )
    given = [ct if type(b) is Linear else None for ct, b in zip(outs, parts.b)]
    return [*[None] * (len(args) - count), *given]


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    count, given = params["num_leaves"], _Operands(dims, params)
    first = (0,) * count

    def batched(name: str, consts: tuple[int | None, ...]) -> tuple[Any, tuple[int | None, ...]]:
        program = params[name]
        if program is None:
            return None, ()
        others = (False,) * (len(program.out_avals) - count)
        return batch_jaxpr(program, axis, consts + first, (True,) * count + others)

    roles = {
        "matvec": given.matvec,
        "vecmat": given.matvec,
        "solve": given.solve,
        "transpose_solve": given.transpose_solve,
    }
    derived = {name: batched(name, consts) for name, consts in roles.items()}
    skipped = len(args) - count
    b = [to_axis(x, d, 0, axis.size) for x, d in zip(args[skipped:], dims[skipped:])]
    outs = linear_solve_p.bind(*args[:skipped], *b, **params | {name: p for name, (p, _) in derived.items()})
    return outs, list(derived["solve"][1])


linear_solve_p = Primitive(
    _WHAT,
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    multiple_results=True,
    varying=variance.as_given,
)
linear_solve_p.eager = eager_by_program(linear_solve_p, "solve")

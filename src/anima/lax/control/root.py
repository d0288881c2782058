"""Roots found by a user's function: `custom_root`.

Invariant: derivatives come from the equation `f(x) == 0` alone, by the implicit function theorem, never from how it is solved.
The operation holds three programs: of `f`, of the solver, and of the solver of the equation linearised at the root. The first
operands are what each of them captured; the initial guess comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core import variance
from anima.core.aval import AbstractValue, has_tangent
from anima.core.effects import Effects
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Missing, Primitive, Zero
from anima.core.trace import aval_of
from anima.core.validate import same_type
from anima.interpreters.batch import Axis, batch_jaxpr, to_axis
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.linearize import linearize_flat
from anima.interpreters.zeros import instantiate
from anima.lax.arithmetic import neg
from anima.lax.control.bodies import Body, check_function, flat_call, main_tree, operand_leaves, staged_body
from anima.lax.control.programs import avals_of, chosen, nonzeros, spread
from anima.lowering.module import Context, Value
from anima.runtime.dispatch import eager_by_program

_WHAT = "custom_root"


def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """`solve(f, initial_guess)`, differentiated as the solution `x` of the equation `f(x) == 0`.

    The derivative is that of the solution with respect to what `f` captured, whatever `solve` does; it may loop until it
    converges. `solve` itself, and the guess, count as constant.

    Args:
      f: a function from a pytree built as `initial_guess` is to another.
      initial_guess: an array or a pytree of arrays.
      solve: called with `f` and the guess; returns `x`, built as the guess is.
      tangent_solve: called with a linear function `g`, the derivative of `f` at the root, and a `y` built as the guess is;
        returns `x` with `g(x) == y`: `y / g(1.0)` for scalars. Reverse-mode derivatives transpose it.
      has_aux: `solve` returns a pair, of which the second part is handed on; it has no derivative.
    Returns:
      `x`, or the pair that `solve` returned.
    Raises:
      TypeError: a function is not callable, or returns something built in another way than the guess.
      ValueError: `solve` returns no pair, though `has_aux` says so.

    >>> import anima
    >>> from anima import lax
    >>> def root(a):
    ...     newton = lambda f, x: lax.fori_loop(0, 20, lambda i, x: (x + a / x) / 2, x)
    ...     return lax.custom_root(lambda x: x * x - a, a, newton, lambda g, y: y / g(1.0))
    >>> print(root(4.0), anima.grad(root)(4.0))
    2.0 0.25
    """
    for name, fun in (("f", f), ("solve", solve), ("tangent_solve", tangent_solve)):
        check_function(_WHAT, name, fun)
    leaves, tree = operand_leaves(_WHAT, "initial_guess", initial_guess)
    equation = _equation(f, tree, avals_of(leaves))
    solver = staged_body(
        _WHAT, solve, avals_of(leaves), lambda: flat_call(lambda guess: solve(f, guess), tree)
    )
    _check_structure("solve", solver, tree, has_aux)
    found = [aval.strip_weak_type() for aval in solver.out_avals[: len(leaves)]]
    if not all(map(same_type, found, avals_of(leaves))):
        equation = _equation(f, tree, found)
    tangents = _tangent_body(f, tangent_solve, tree, found, equation.out_avals)
    outs = root_p.bind(
        *equation.consts,
        *solver.consts,
        *(tangents.consts if tangents is not None else []),
        *leaves,
        f=equation.closed,
        solve=solver.closed,
        tangent_solve=None if tangents is None else tangents.closed,
        num_leaves=len(leaves),
    )
    return tree_unflatten(solver.out_tree, outs)


def _equation(f: Callable[[Any], Any], tree: PyTreeDef, avals: Sequence[AbstractValue]) -> Body:
    equation = staged_body(_WHAT, f, avals, lambda: flat_call(f, tree))
    _check_structure("f", equation, tree)
    return equation


def _tangent_body(
    f: Callable[[Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    tree: PyTreeDef,
    roots: Sequence[AbstractValue],
    values: Sequence[AbstractValue],
) -> Body | None:
    """The program of the root and of a right-hand side that solves the linearised equation; None if nothing has tangents."""
    if not all(map(has_tangent, (*roots, *values))):
        return None
    slopes = [*roots, *[aval.tangent_aval() for aval in values]]
    body = staged_body(
        _WHAT,
        tangent_solve,
        slopes,
        lambda: flat_call(lambda x, y: tangent_solve(_slope(f, x, tree), y), tree, tree),
    )
    _check_structure("tangent_solve", body, tree)
    return body


def _check_structure(name: str, body: Body, tree: PyTreeDef, has_aux: bool = False) -> None:
    """Raise TypeError unless what a function returns, or the first part of that, is built as the guess is."""
    found = main_tree(_WHAT, name, body, has_aux)
    if found != tree:
        raise TypeError(
            f"{_WHAT}: {name} ({body.name}) must return a pytree built as initial_guess is, {tree}, but it returns {found}"
        )


def _slope(f: Callable[[Any], Any], x: Any, tree: PyTreeDef) -> Callable[[Any], Any]:
    """The derivative of a function at `x`, as a linear function."""
    _, tape = linearize_flat(flat_call(f, tree), tree_flatten(x)[0])

    def slope(direction: Any) -> Any:
        changes = tape.apply(tree_flatten(direction)[0])
        return tree_unflatten(tree, [instantiate(c) for c in changes])

    return slope


# --- the operation ----------------------------------------------------------------------------


class _Operands:
    """The operands, or what belongs to them, by role."""

    __slots__ = ("f", "guess", "solve", "tangent_solve")

    def __init__(self, values: Sequence[Any], params: dict[str, Any]) -> None:
        count = params["num_leaves"]
        first = len(params["f"].in_avals) - count
        second = first + len(params["solve"].in_avals) - count
        self.f = tuple(values[:first])
        self.solve = tuple(values[first:second])
        self.tangent_solve = tuple(values[second : len(values) - count])
        self.guess = tuple(values[len(values) - count :])


def _shape(*avals: Any, solve: ClosedJaxpr, **params: Any) -> list[Any]:
    return solve.out_avals


def _effects(*avals: Any, solve: ClosedJaxpr, **params: Any) -> Effects:
    return solve.effects


def _lower(ctx: Context, *operands: Value, **params: Any) -> list[Value]:
    parts, solve = _Operands(operands, params), params["solve"]
    return ctx.jaxpr(solve.jaxpr, solve.consts, [*parts.solve, *parts.guess])


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    """From `f(x, a) == 0` follows `f'(dx) == -df(a)`, with the derivative `f'` by `x`."""
    count, f, tangent_solve = params["num_leaves"], params["f"], params["tangent_solve"]
    outs = root_p.bind(*primals, **params)
    none = [Zero(aval_of(out).tangent_aval()) for out in outs]
    values, given = _Operands(primals, params), _Operands(tangents, params)
    flags = nonzeros(given.f)
    if not any(flags):
        return outs, none
    if tangent_solve is None:
        raise TypeError(
            "custom_root: only roots of floating point (or complex) functions have derivatives, but the guess, or f of it, "
            "holds integers or booleans"
        )
    program, out_flags = jvp_jaxpr(f, flags + (False,) * count)
    moved = eval_jaxpr(program.jaxpr, program.consts, *values.f, *outs[:count], *chosen(given.f, flags))
    changes = spread(moved[len(f.out_avals) :], out_flags, f.out_avals)
    if not any(nonzeros(changes)):
        return outs, none
    slopes = eval_jaxpr(
        tangent_solve.jaxpr,
        tangent_solve.consts,
        *values.tangent_solve,
        *outs[:count],
        *map(instantiate, changes),
    )
    return outs, [*map(neg, slopes), *none[count:]]


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    count, given = params["num_leaves"], _Operands(dims, params)
    first = (0,) * count
    others = (False,) * (len(params["solve"].out_avals) - count)
    f, _ = batch_jaxpr(params["f"], axis, given.f + first, True)
    solve, out_dims = batch_jaxpr(params["solve"], axis, given.solve + first, (True,) * count + others)
    tangent_solve = params["tangent_solve"]
    if tangent_solve is not None:
        tangent_solve, _ = batch_jaxpr(tangent_solve, axis, given.tangent_solve + first + first, True)
    skipped = len(args) - count
    guess = [to_axis(x, d, 0, axis.size) for x, d in zip(args[skipped:], dims[skipped:])]
    programs = {"f": f, "solve": solve, "tangent_solve": tangent_solve}
    return root_p.bind(*args[:skipped], *guess, **params | programs), list(out_dims)


root_p = Primitive(
    _WHAT,
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    transpose=Missing("a root is not a linear function of what its equation captured"),
    batch=_batch,
    effects=_effects,
    multiple_results=True,
    varying=variance.as_given,
)
root_p.eager = eager_by_program(root_p, "solve")

"""`checkify`: programs with checks become programs that return an error.

Invariant: each program inside an operation returns its own first error, a code and the values of its sites, before its results;
the caller keeps the earlier of two errors. Results are those of the function without checks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from anima._native import tree_unflatten
from anima.core.aval import array_aval
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, subjaxprs
from anima.core.trace import aval_of
from anima.experimental.checkify.automatic import AUTOMATIC
from anima.experimental.checkify.error import (
    DivisionByZeroError,
    Error,
    ErrorCategory,
    FailedCheckError,
    JaxException,
    NaNError,
    OOBError,
)
from anima.experimental.checkify.primitive import check_p
from anima.experimental.checkify.state import State, blank, later
from anima.interpreters.stage import stage
from anima.lax.collectives import pcast
from anima.lax.selection import select
from anima.lax.shape import expand_dims
from anima.parallel.shard_map_primitive import inside
from anima.sharding import PartitionSpec
from anima.transforms.arguments import FlatFunction, check_callable, flatten_for_program, name_of

user_checks: frozenset[ErrorCategory] = frozenset({FailedCheckError})
nan_checks: frozenset[ErrorCategory] = frozenset({NaNError})
index_checks: frozenset[ErrorCategory] = frozenset({OOBError})
div_checks: frozenset[ErrorCategory] = frozenset({DivisionByZeroError})
float_checks: frozenset[ErrorCategory] = nan_checks | div_checks
automatic_checks: frozenset[ErrorCategory] = float_checks | index_checks
all_checks: frozenset[ErrorCategory] = automatic_checks | user_checks

Enabled = frozenset[ErrorCategory]


class _Checked(NamedTuple):
    """A program that returns its first error before its results. `avals`: of the code and the values."""

    closed: ClosedJaxpr
    sites: tuple[Any, ...]
    avals: list[Any]


def checkify(
    f: Callable[..., Any], errors: Iterable[ErrorCategory] = user_checks
) -> Callable[..., tuple[Error, Any]]:
    """A function that returns an `Error` beside what `f` returns: which check failed first, if one did.

    `f` is traced, as by `jit`. The result goes into all other transformations, and `f` may hold all of them: checks in
    `jit`, `cond`, `while_loop`, `scan`, `vmap` and derivatives of `f` count. Functions with rules of their own (`custom_jvp`
    and its like) are one operation to automatic checks; checks of the user's in them count, and give up the rules.

    Args:
      f: a function of pytrees of arrays.
      errors: what is looked for: `user_checks` (calls of `check`), `nan_checks`, `div_checks`, `index_checks`, or several by
        `|`: `float_checks` are NaNs and divisors, `automatic_checks` all but the user's, `all_checks` all.
    Returns:
      A function with `f`'s arguments, which returns `(error, result)`. The result is that of `f`, whatever failed.
    Raises:
      TypeError: `f` is no function, or `errors` are no categories.

    >>> import anima, anima.numpy as np
    >>> from anima.experimental import checkify
    >>> f = anima.jit(checkify.checkify(lambda x, i: x[i], errors=checkify.index_checks))
    >>> error, y = f(np.arange(3), 5)
    >>> print(error.get())
    out-of-bounds indexing for array of shape (3,): index 5 is out of bounds for axis 0 with size 3.
    >>> f(np.arange(3), 2)[0]
    Error(None)
    """
    check_callable(f, "checkify")
    try:
        enabled = frozenset(errors)
        known = all(issubclass(category, JaxException) for category in enabled)
    except TypeError:
        known = False
    if not known:
        raise TypeError(
            f"checkify: errors must be a set of categories, such as checkify.user_checks | checkify.float_checks, got {errors!r}"
        )

    @functools.wraps(f)
    def checked(*args: Any, **kwargs: Any) -> tuple[Error, Any]:
        _, leaves, in_tree = flatten_for_program((args, kwargs))
        flat = FlatFunction(f, in_tree, for_program=True)
        jaxpr, consts = stage(flat, [aval_of(x) for x in leaves], name_of(f))
        state = State()
        outs = _walk(jaxpr, consts, leaves, enabled, state)
        code, *values = state.leaves()
        return Error(code, tuple(values), tuple(state.sites)), tree_unflatten(flat.out_tree, outs)

    return checked


def _walk(
    jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], enabled: Enabled, state: State
) -> list[Any]:
    """The results of a program, whose errors go to `state`."""
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts))
    env.update(zip(jaxpr.invars, args))
    for eqn in jaxpr.eqns:
        operands = [a.val if type(a) is Literal else env[a] for a in eqn.invars]
        env.update(zip(eqn.outvars, _equation(eqn, operands, enabled, state)))
    return [a.val if type(a) is Literal else env[a] for a in jaxpr.outvars]


def _equation(eqn: Eqn, operands: list[Any], enabled: Enabled, state: State) -> list[Any]:
    rule = _RULES.get(eqn.primitive.name)
    if eqn.primitive is check_p:
        code, *values = operands
        if any(site.category in enabled for site in eqn.params["sites"]):
            state.merge(code, values, eqn.params["sites"])
        return []
    if rule is not None:
        return rule(eqn, operands, enabled, state)
    inner = eqn.params.get("call_jaxpr") or eqn.params.get("call")
    if isinstance(inner, ClosedJaxpr) and FailedCheckError in enabled and _has_checks(inner.jaxpr):
        return _walk(inner.jaxpr, inner.consts, operands, enabled, state)
    outs = eqn.primitive.bind(*operands, **eqn.params)
    results = outs if eqn.primitive.multiple_results else [outs]
    for category, look in AUTOMATIC:
        if category in enabled:
            look(state, eqn.primitive, operands, results, eqn.params)
    return list(results)


def _has_checks(jaxpr: Jaxpr) -> bool:
    def look() -> tuple[bool]:
        return (
            any(e.primitive is check_p or any(map(_has_checks, subjaxprs(e.params))) for e in jaxpr.eqns),
        )

    return jaxpr.memoized("has checks", look)[0]


def _checked(closed: ClosedJaxpr, enabled: Enabled) -> _Checked:
    """The program with its error; made once for it."""
    return closed.jaxpr.memoized(("checkify", enabled), lambda: _make_checked(closed, enabled))


def _make_checked(closed: ClosedJaxpr, enabled: Enabled) -> _Checked:
    state = State()

    def run(*args: Any) -> list[Any]:
        outs = _walk(closed.jaxpr, closed.consts, args, enabled, state)
        return [*state.leaves(), *outs]

    made = _staged(run, closed.in_avals, closed.jaxpr.name)
    count = 1 + len(state.values)
    return _Checked(made, tuple(state.sites), made.out_avals[:count])


def _staged(run: Callable[..., list[Any]], avals: Sequence[Any], name: str) -> ClosedJaxpr:
    jaxpr, consts = stage(run, avals, name)
    return ClosedJaxpr(jaxpr, consts)


def _run(closed: ClosedJaxpr, *args: Any) -> list[Any]:
    """The results of a program, as part of the one that is being traced."""
    return eval_jaxpr(closed.jaxpr, closed.consts, *args)


def _start(checked: _Checked) -> list[Any]:
    """An error of the sites of a program before it has run."""
    return [np.int32(0), *blank([array_aval(a) for a in checked.avals[1:]])]


# --- operations with programs inside ----------------------------------------------------------


def _call(eqn: Eqn, operands: list[Any], enabled: Enabled, state: State) -> list[Any]:
    """`jit`, `checkpoint`: the same with another program."""
    checked = _checked(eqn.params["jaxpr"], enabled)
    outs = eqn.primitive.bind(*operands, **{**eqn.params, "jaxpr": checked.closed})
    count = len(checked.avals)
    state.merge(outs[0], outs[1:count], checked.sites)
    return list(outs[count:])


def _cond(eqn: Eqn, operands: list[Any], enabled: Enabled, state: State) -> list[Any]:
    """Each branch returns the values of the sites of all."""
    branches = [_checked(b, enabled) for b in eqn.params["branches"]]
    sites = [site for b in branches for site in b.sites]
    made = []
    for number, branch in enumerate(branches):
        made.append(_staged(_branch(branches, number), branch.closed.in_avals, branch.closed.jaxpr.name))
    outs = eqn.primitive.bind(*operands, **{**eqn.params, "branches": tuple(made)})
    count = 1 + sum(len(b.avals) - 1 for b in branches)
    state.merge(outs[0], outs[1:count], sites)
    return list(outs[count:])


def _branch(branches: Sequence[_Checked], number: int) -> Callable[..., list[Any]]:
    def run(*args: Any) -> list[Any]:
        mine = branches[number]
        outs = _run(mine.closed, *args)
        count = len(mine.avals)
        before = sum(len(b.sites) for b in branches[:number])
        code = select(outs[0] != np.int32(0), outs[0] + np.int32(before), np.int32(0))
        values = [
            outs[1:count] if b is mine else blank([array_aval(a) for a in b.avals[1:]]) for b in branches
        ]
        return [code, *[v for group in values for v in group], *outs[count:]]

    return run


def _scan(eqn: Eqn, operands: list[Any], enabled: Enabled, state: State) -> list[Any]:
    """The error is carried along."""
    params = eqn.params
    checked = _checked(params["jaxpr"], enabled)
    count, consts = len(checked.avals), params["num_consts"]

    def body(*args: Any) -> list[Any]:
        error = args[consts : consts + count]
        outs = _run(checked.closed, *args[:consts], *args[consts + count :])
        return [*later(error, outs[:count]), *outs[count:]]

    avals = checked.closed.in_avals
    made = _staged(body, [*avals[:consts], *checked.avals, *avals[consts:]], checked.closed.jaxpr.name)
    outs = eqn.primitive.bind(
        *operands[:consts], *_start(checked), *operands[consts:],
        **{**params, "jaxpr": made, "num_carry": params["num_carry"] + count},
    )  # fmt: skip
    state.merge(outs[0], outs[1:count], checked.sites)
    return list(outs[count:])


def _while(eqn: Eqn, operands: list[Any], enabled: Enabled, state: State) -> list[Any]:
    """The errors of condition and body are carried along; the condition is checked where it is asked, also the first time."""
    params = eqn.params
    body, cond = _checked(params["body_jaxpr"], enabled), _checked(params["cond_jaxpr"], enabled)
    for_cond, for_body = params["cond_nconsts"], params["body_nconsts"]
    n_cond, n_body = len(cond.avals), len(body.avals)
    cond_consts, body_consts = operands[:for_cond], operands[for_cond : for_cond + for_body]
    init = operands[for_cond + for_body :]
    cond_avals = cond.closed.in_avals
    carry_avals = [*cond.avals, *body.avals, *cond_avals[for_cond:]]

    def test(*args: Any) -> list[Any]:
        return _run(cond.closed, *args[:for_cond], *args[for_cond + n_cond + n_body :])[n_cond:]

    def step(*args: Any) -> list[Any]:
        given, rest = args[:for_cond], args[for_cond:]
        consts, (error_c, error_b, carry) = rest[:for_body], _cut(rest[for_body:], n_cond, n_body)
        outs = _run(body.closed, *consts, *carry)
        asked = _run(cond.closed, *given, *outs[n_body:])
        return [*later(error_c, asked[:n_cond]), *later(error_b, outs[:n_body]), *outs[n_body:]]

    avals = [*cond_avals[:for_cond], *body.closed.in_avals[:for_body], *carry_avals]
    made = {
        "body_jaxpr": _staged(step, avals, body.closed.jaxpr.name),
        "cond_jaxpr": _staged(test, [*cond_avals[:for_cond], *carry_avals], cond.closed.jaxpr.name),
        "body_nconsts": for_cond + for_body,
    }
    first = _run(cond.closed, *cond_consts, *init)[:n_cond]
    state.merge(first[0], first[1:], cond.sites)
    outs = eqn.primitive.bind(
        *cond_consts, *cond_consts, *body_consts, *_start(cond), *_start(body), *init, **{**params, **made}
    )
    error_c, error_b, results = _cut(outs, n_cond, n_body)
    state.merge(error_b[0], error_b[1:], body.sites)
    state.merge(error_c[0], error_c[1:], cond.sites)
    return list(results)


def _cut(
    values: Sequence[Any], first: int, second: int
) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    return values[:first], values[first : first + second], values[first + second :]


def _shard_map(eqn: Eqn, operands: list[Any], enabled: Enabled, state: State) -> list[Any]:
    """Each device returns its own error, along one more dimension; of several the first device's counts."""
    params = eqn.params
    mesh, manual = params["mesh"], params["manual"]
    axes = tuple([axis for axis in mesh.axis_names if axis in manual])
    with inside(mesh, manual, params["check"]):
        checked = _checked(params["jaxpr"], enabled)
        count = len(checked.avals)

        def run(*args: Any) -> list[Any]:
            outs = _run(checked.closed, *args)
            return [*[expand_dims(_own(x, axes), (0,)) for x in outs[:count]], *outs[count:]]

        made = _staged(run, checked.closed.in_avals, checked.closed.jaxpr.name)
    specs = (PartitionSpec(axes),) * count + params["out_specs"]
    outs = eqn.primitive.bind(*operands, **{**params, "jaxpr": made, "out_specs": specs})
    state.merge(outs[0], outs[1:count], checked.sites)
    return list(outs[count:])


def _own(x: Any, axes: tuple[Hashable, ...]) -> Any:
    """A value of each device's own, also where it is known to be the same on all."""
    same = tuple([axis for axis in axes if axis not in array_aval(aval_of(x)).varying])
    return pcast(x, same, to="varying") if same else x


_RULES: dict[str, Callable[[Eqn, list[Any], Enabled, State], list[Any]]] = {
    "jit": _call,
    "checkpoint": _call,
    "cond": _cond,
    "scan": _scan,
    "while": _while,
    "bounded_while": _while,
    "shard_map": _shard_map,
}

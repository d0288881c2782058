"""Users' functions as programs: traced once for each type of arguments, and kept for as long as the function lives.

Invariant: a program is kept only if the function captured no traced value, for then it depends on the function, the
types of its arguments, the options and the named axes around it alone. Arrays that it captured are operands: they come
before its arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from anima import _native
from anima._native import ArrayImpl, PyTreeDef
from anima.core import hooks
from anima.core.aval import AbstractValue, ShapedArray, no_axes
from anima.core.axes import named_axes
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from anima.core.trace import Tracer, aval_of
from anima.errors import RefError
from anima.interpreters.flat import FlatFunction, flatten_for_program, is_float0, name_of
from anima.interpreters.stage import hoist_consts, stage
from anima.lax.control.programs import memoized_together, outputs_varying
from anima.state.refs import Place
from anima.state.staging import References, stage_with_refs
from anima.tree_util import keystr, tree_leaves_with_path

_MAX_PROGRAMS = 512  # kept for one function
_PLAIN = (ArrayImpl, bool, int, float, complex)

_kept: WeakKeyDictionary[Any, dict[Hashable, Body]] = WeakKeyDictionary()


class Body:
    """A traced function.

    Attributes:
      closed: the program; its arguments are the captured arrays, then the function's; references follow (`state.staging`).
      consts: the captured arrays and tracers.
      refs: the captured references, or None.
      out_tree: the structure of its result.
      name: what messages call the function.
      checked: set by a caller whose checks of the result's types have passed.
    """

    __slots__ = ("checked", "closed", "consts", "name", "out_tree", "refs")

    def __init__(
        self,
        closed: ClosedJaxpr,
        consts: list[Any],
        out_tree: PyTreeDef,
        name: str,
        refs: References | None = None,
    ) -> None:
        self.closed = closed
        self.refs = refs
        self.consts = consts
        self.out_tree = out_tree
        self.name = name
        self.checked = False

    @property
    def out_avals(self) -> list[ShapedArray]:
        """The types of the function's results."""
        count = len(self.closed.jaxpr.outvars) - (0 if self.refs is None else sum(self.refs.written))
        return self.closed.out_avals[:count]  # type: ignore[return-value]

    @property
    def lasting(self) -> bool:
        """Whether the function captured nothing that belongs to a trace."""
        return (self.refs is None or self.refs.lasting) and not any(
            [isinstance(c, Tracer) for c in self.consts]
        )

    def keep_varying(self, carry: Sequence[AbstractValue]) -> None:
        """Make a loop's body return, as its first results, a carry that varies along the same axes as the one it takes."""
        rest = [no_axes] * (len(self.closed.out_avals) - len(carry))
        self.closed = outputs_varying(self.closed, [*[a.varying for a in carry], *rest])


def traced_body(
    what: str,
    fun: Callable[..., Any],
    structure: Hashable,
    avals: Sequence[AbstractValue],
    flatten: Callable[[], Callable[..., Sequence[Any]]],
    refs: bool = False,
) -> Body:
    """The program of a user's function for arguments of a structure and avals.

    Args:
      what: the operation, part of the key as `structure` is.
      flatten: makes the function from flat arguments to flat results; it has an `out_tree` once it was called.
      refs: whether the function may use references.
    """
    key = (what, _native.options_key(), structure, tuple(avals), named_axes())
    table = programs_of(fun)
    known = table.get(key)
    if known is not None:
        return known
    body = staged_body(what, fun, avals, flatten, refs)
    if not body.lasting:
        return body
    if len(table) >= _MAX_PROGRAMS:
        table.pop(next(iter(table)), None)
    return table.setdefault(key, body)


def staged_body(
    what: str,
    fun: Callable[..., Any],
    avals: Sequence[AbstractValue],
    flatten: Callable[[], Callable[..., Sequence[Any]]],
    refs: bool = False,
) -> Body:
    """The program of a user's function, traced anew; the arguments are those of `traced_body`."""
    _check_returns(what, fun)
    flat: Any = flatten()
    name, used = name_of(fun), None
    if refs:
        jaxpr, consts, used = stage_with_refs(flat, avals, name)
    else:
        jaxpr, consts = stage(flat, avals, name)
    body = Body(ClosedJaxpr(hoist_consts(jaxpr), []), consts, flat.out_tree, name, used)
    _check_effects(what, body)
    return body


def programs_of(fun: Callable[..., Any]) -> dict[Hashable, Body]:
    """The programs of a function or method; those of what may equal something else, or cannot be referred to weakly, are not kept."""
    equality: Any = type(fun).__eq__
    if equality is object.__eq__ or type(fun) is MethodType:
        try:
            known = _kept.get(fun)
            return known if known is not None else _kept.setdefault(fun, {})
        except TypeError:
            pass
    return {}


def forget_bodies() -> None:
    """Forget the programs of every function."""
    _kept.clear()


def flat_call(fun: Callable[..., Any], *trees: PyTreeDef) -> FlatFunction:
    """A function of flat leaves, which calls `fun` with one argument for each structure."""
    args = tuple([tree.unflatten([0] * tree.num_leaves) for tree in trees])
    return FlatFunction(fun, flatten_for_program((args, {}))[2], for_program=True)


def _check_effects(what: str, body: Body) -> None:
    for effect in body.closed.effects:
        if not effect.under_control_flow:
            raise ValueError(
                f"{what}: {body.name} has the effect {effect}, which cannot happen inside control flow"
            )


def check_function(what: str, argument: str, fun: Any) -> None:
    """Raise TypeError unless `fun` is a function."""
    if not callable(fun):
        raise TypeError(
            f"{what}: {argument} must be a function, got {fun!r:.80} of type {type(fun).__name__}"
        )


def _check_returns(what: str, fun: Any) -> None:
    if inspect.isgeneratorfunction(fun) or inspect.iscoroutinefunction(fun):
        raise TypeError(
            f"{what}: {name_of(fun)} is a generator or coroutine function; return the values instead of yielding or "
            "awaiting them"
        )


def main_tree(what: str, name: str, body: Body, has_aux: bool) -> PyTreeDef:
    """The structure of a function's result; with `has_aux` that of its first part.

    Raises:
      ValueError: the result is no pair, though `has_aux` says so.
    """
    if not has_aux:
        return body.out_tree
    node = body.out_tree.node_data()
    if node is None or node[0] is not tuple or len(body.out_tree.children()) != 2:
        given = "an array" if body.out_tree.is_leaf else str(body.out_tree)
        raise ValueError(
            f"{what}: {name} ({body.name}) must return a pair of the solution and auxiliary data, as has_aux=True says, "
            f"but it returns {given}"
        )
    return body.out_tree.children()[0]


def operand_leaves(what: str, argument: str, value: Any) -> tuple[list[Any], PyTreeDef]:
    """The leaves of an argument as operands, and its structure.

    Raises:
      TypeError: a leaf is no array or number; the message says where it is.
    """
    _, leaves, tree = flatten_for_program(value)
    for index, leaf in enumerate(leaves):
        if type(leaf) in _PLAIN or isinstance(leaf, Tracer):
            continue
        if isinstance(leaf, Place):
            raise RefError(
                f"{what}: {argument}{leaf_path(tree, index)} is a reference, which is no value that can be carried or returned; "
                "close over it in the function"
            )
        try:
            leaves[index] = _operand(leaf)
        except TypeError:
            raise TypeError(
                f"{what}: {argument}{leaf_path(tree, index)} has type {type(leaf).__name__}, which is not an array, a number or a "
                f"pytree of them: {leaf!r:.80}"
            ) from None
    return leaves, tree


def _operand(leaf: Any) -> Any:
    if isinstance(leaf, np.generic):
        aval_of(leaf)
        return leaf
    return hooks.as_array(leaf)


def refuse_float0(what: str, argument: str, tree: PyTreeDef) -> None:
    """Raise TypeError if the structure holds `float0` arrays: they have no contents, and so no rows."""
    for path, leaf in tree_leaves_with_path(tree.unflatten([0] * tree.num_leaves)):
        if is_float0(leaf):
            raise TypeError(
                f"{what}: {argument}{keystr(path)} is a float0 array, the tangent of an integer, which has no rows; "
                "leave it out"
            )


def leaf_path(tree: PyTreeDef, index: int) -> str:
    """The path of a leaf of a structure, as code: "['x'][0]"; empty for a structure that is a leaf."""
    return keystr(tree_leaves_with_path(tree.unflatten(range(tree.num_leaves)))[index][0])


def with_common_consts(
    bodies: Sequence[Body], check: Callable[[], None]
) -> tuple[tuple[ClosedJaxpr, ...], list[Any]]:
    """The programs of several functions of the same arguments, all made to take the same captured values first.

    `check` is called the first time that they meet, and may raise.
    """
    consts: dict[int, Any] = {}
    for body in bodies:
        for const in body.consts:
            consts[id(const)] = const
    values = list(consts.values())
    place = {key: i for i, key in enumerate(consts)}
    places = tuple([tuple([place[id(c)] for c in body.consts]) for body in bodies])

    def share() -> tuple[ClosedJaxpr, ...]:
        check()
        avals = [aval_of(c) for c in values]
        return tuple([_taking(body.closed.jaxpr, taken, avals) for body, taken in zip(bodies, places)])

    return memoized_together([body.closed for body in bodies], ("common consts", places), share), values


def _taking(jaxpr: Jaxpr, places: Sequence[int], avals: Sequence[AbstractValue]) -> ClosedJaxpr:
    """The program with as many leading arguments as there are avals, of which its own are those at `places`."""
    own = dict(zip(places, jaxpr.invars))
    consts = [own[i] if i in own else Var(aval) for i, aval in enumerate(avals)]
    rest = jaxpr.invars[len(places) :]
    return ClosedJaxpr(Jaxpr([], [*consts, *rest], jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name), [])

"""Rematerialisation: `checkpoint`, and what a derivative keeps.

Invariant: a checkpointed function is traced to a program, once for each type of its arguments, whatever transformations
are in progress; the program computes what the function does. Only its derivative differs: see `checkpoint_primitive`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from anima import _native
from anima._native import tree_flatten, tree_unflatten
from anima.core.aval import ShapedArray, has_tangent
from anima.core.axes import named_axes
from anima.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from anima.core.trace import aval_of
from anima.errors import ConcretizationTypeError
from anima.interpreters.dce import dce_jaxpr
from anima.interpreters.linearize import linearize_flat, tape_jaxpr
from anima.interpreters.stage import StagedTracer, hoist_consts, stage
from anima.lax.control.bodies import Body, programs_of
from anima.state.refs import Ref
from anima.state.staging import stage_with_refs
from anima.transforms.arguments import (
    FlatFunction,
    check_callable,
    check_inputs,
    flatten_for_program,
    name_of,
    normalize_argnums,
    public,
    signature_of,
)
from anima.transforms.checkpoint_primitive import Fences, checkpoint_p
from anima.transforms.checkpoint_values import name_p
from anima.transforms.jit import Static
from anima.transforms.jit_primitive import jit_p
from anima.transforms.shapes import abstract_leaf
from anima.tree.compare import flatten_axes
from anima.tree_util import keystr, tree_leaves_with_path

_MAX_PROGRAMS = 512  # kept for one function


class _Removed:
    """The default of an option that may not be given any more."""

    def __repr__(self) -> str:
        return "Deprecated"


def checkpoint(
    fun: Callable[..., Any] | None = None,
    *,
    prevent_cse: bool | Sequence[bool] = True,
    policy: Callable[..., Any] | None = None,
    static_argnums: int | tuple[int, ...] = (),
    static_argnames: str | Iterable[str] = (),
    concrete: Any = _Removed(),  # noqa: B008
) -> Any:
    """`fun`, whose derivative computes intermediate values again instead of keeping them.

    The reverse pass (and `linearize`) keeps the arguments of `fun` and what the policy admits. The rest is computed a
    second time when it is needed: less memory, more time. The values are those of `fun`.

    Args:
      fun: a function of arrays and pytrees of them. Left out, `checkpoint` is a decorator with options.
      prevent_cse: stand fences in compiled programs, without which XLA would merge the second computation with the first.
        Where nothing can be merged, as in the body of a `scan`, False saves their cost. A sequence, a tree prefix of
        the arguments that are not static, chooses for which arguments.
      policy: which values are kept: one of `checkpoint_policies`, or a function `policy(primitive, *avals, **params)`
        that returns True for operations whose results are kept, which must be hashable. None: no value.
      static_argnums, static_argnames: arguments that are settings, seen by `fun` as they are: Python control flow may
        depend on them. Each is completed from the other by `fun`'s signature.
      concrete: removed from JAX; name the arguments in `static_argnums`.
    Returns:
      A function with `fun`'s arguments and results.
    Raises:
      TypeError, ValueError: an option is no such thing. NotImplementedError: `concrete` was given.
      When `fun` is differentiated and has effects that must happen exactly once: ValueError.

    >>> import anima, anima.numpy as np
    >>> @anima.checkpoint
    ... def f(x):
    ...     return np.sin(np.sin(x))
    >>> print(anima.grad(f)(0.5).round(3))
    0.779
    """
    if not isinstance(concrete, _Removed):
        raise NotImplementedError(
            "checkpoint: the option concrete was removed; name the arguments that Python control flow depends on in "
            "static_argnums"
        )
    if fun is None:
        return functools.partial(
            checkpoint,
            prevent_cse=prevent_cse,
            policy=policy,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
        )
    check_callable(fun, "checkpoint")
    _check_options(prevent_cse, policy)
    statics = _Statics(fun, static_argnums, static_argnames)

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        call = _Call(fun, args, kwargs, statics)
        body = call.body()
        refs = [] if body.refs is None else body.refs.of_call(call.leaves)
        leaves = call.leaves if body.refs is None else body.refs.values(call.leaves, refs)
        fences = call.fences(prevent_cse, len(body.consts), len(leaves) - len(call.leaves))
        outs = checkpoint_p.bind(
            *body.consts,
            *leaves,
            jaxpr=body.closed,
            differentiated=False,
            prevent_cse=fences,
            policy=policy,
        )
        if body.refs is not None:
            body.refs.write_back(refs, outs[len(body.out_avals) :], leaves)
        return tree_unflatten(body.out_tree, outs[: len(body.out_avals)])

    wrapped = public(checkpointed, fun, "checkpoint")
    vars(wrapped).update(__name__=name_of(fun), __qualname__=getattr(fun, "__qualname__", name_of(fun)))
    return wrapped


remat = checkpoint


def _check_options(prevent_cse: Any, policy: Any) -> None:
    if not isinstance(prevent_cse, (bool, tuple, list)):
        raise TypeError(f"checkpoint: prevent_cse must be a bool or a sequence of them, got {prevent_cse!r}")
    if policy is None:
        return
    if not callable(policy):
        raise TypeError(f"checkpoint: policy must be callable, got {policy!r}")
    try:
        hash(policy)
    except TypeError:
        raise TypeError(
            f"checkpoint: the policy {policy!r} is not hashable; programs are kept for each policy, so give its class a "
            "__hash__, or wrap it in a function"
        ) from None


class _Statics:
    """Which arguments of a function are static: positions, and names of those given by keyword."""

    __slots__ = ("names", "positions")

    def __init__(self, fun: Any, numbers: Any, names: Any) -> None:
        self.positions = normalize_argnums(numbers, "checkpoint: static_argnums")
        self.names = (names,) if isinstance(names, str) else tuple(names)
        for name in self.names:
            if not isinstance(name, str):
                raise TypeError(f"checkpoint: static_argnames must be strings, got {name!r}")
        signature = signature_of(fun) if self.positions or self.names else None
        if signature is None:
            return
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        ordered = [p.name for p in signature.parameters.values() if p.kind in kinds]
        numbered = tuple([ordered[i] for i in self.positions if -len(ordered) <= i < len(ordered)])
        named = tuple([ordered.index(n) for n in self.names if n in ordered])
        self.positions, self.names = self.positions + named, self.names + numbered

    def of(
        self, fun: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[dict[int, Any], dict[str, Any]]:
        """The static arguments of a call.

        Raises:
          ValueError: a position is neither among the arguments nor given by name.
        """
        keywords = {name: kwargs[name] for name in self.names if name in kwargs}
        found = {}
        for number in self.positions:
            if -len(args) <= number < len(args):
                found[number % len(args)] = args[number]
            elif not keywords:
                raise ValueError(
                    f"checkpoint: static_argnums {number} is out of range for {name_of(fun)} called with {len(args)} "
                    "positional arguments"
                )
        return found, keywords


class _Call:
    """One call's arguments, taken apart."""

    __slots__ = ("args", "fun", "in_tree", "kwargs", "leaves", "static", "static_kwargs")

    def __init__(
        self, fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], statics: _Statics
    ) -> None:
        self.fun = fun
        self.static: dict[int, Any] = {}
        self.static_kwargs: dict[str, Any] = {}
        if statics.positions or statics.names:
            self.static, self.static_kwargs = statics.of(fun, args, kwargs)
        dynamic = tuple([a for i, a in enumerate(args) if i not in self.static])
        keywords = {k: v for k, v in kwargs.items() if k not in self.static_kwargs}
        (self.args, self.kwargs), self.leaves, self.in_tree = flatten_for_program((dynamic, keywords))
        check_inputs(self.leaves, self._of_dynamic, "checkpoint", self.args, self.kwargs, refs=True)

    @property
    def _of_dynamic(self) -> Callable[..., Any]:
        """The function of the arguments that are not static."""
        if not self.static and not self.static_kwargs:
            return self.fun
        fun, static, static_kwargs = self.fun, self.static, self.static_kwargs

        def of_dynamic(*args: Any, **kwargs: Any) -> Any:
            given = iter(args)
            count = len(args) + len(static)
            full = [static[i] if i in static else next(given) for i in range(count)]
            return fun(*full, **kwargs, **static_kwargs)

        of_dynamic.__name__ = name_of(fun)  # what messages call it
        return of_dynamic

    def body(self) -> Body:
        """The program of the function for these arguments, from the table if it is there."""
        avals = tuple([x.aval if type(x) is Ref else aval_of(x) for x in self.leaves])
        static = (
            tuple([(i, Static(v)) for i, v in self.static.items()]),
            tuple([(n, Static(v)) for n, v in sorted(self.static_kwargs.items())]),
        )
        key = ("checkpoint", _native.options_key(), self.in_tree, avals, static, named_axes())
        table = programs_of(self.fun)
        try:
            known = table.get(key)
        except TypeError:  # a static argument is not hashable: its program cannot be found again
            known, table = None, {}
            key = ()  # type: ignore[assignment]
        if known is not None:
            return known
        flat = FlatFunction(self._of_dynamic, self.in_tree, for_program=True)
        try:
            jaxpr, consts, refs = stage_with_refs(flat, avals, name_of(self.fun), self._names, self.leaves)
        except ConcretizationTypeError as error:
            error.add_note(
                f"checkpoint traces {name_of(self.fun)}, whatever is around it. Arguments that Python control flow "
                "depends on can be named in its static_argnums or static_argnames."
            )
            raise
        body = Body(ClosedJaxpr(hoist_consts(jaxpr), []), consts, flat.out_tree, name_of(self.fun), refs)
        if not body.lasting:
            return body
        if len(table) >= _MAX_PROGRAMS:
            table.pop(next(iter(table)), None)
        return table.setdefault(key, body)

    def _names(self) -> list[str]:
        return argument_names(self._of_dynamic, self.args, self.kwargs)

    def fences(self, prevent_cse: bool | Sequence[bool], num_consts: int, num_refs: int) -> Fences:
        """The option as flags of the operands: captured values, then the leaves of the arguments, then captured references."""
        if isinstance(prevent_cse, bool):
            return prevent_cse
        structure = tree_flatten((*self.args, *[self.kwargs[k] for k in sorted(self.kwargs)]))[1]
        flags = flatten_axes(
            "checkpoint prevent_cse", structure, tuple(prevent_cse), of="the arguments that are not static"
        )
        for flag in flags:
            if not isinstance(flag, bool):
                raise TypeError(f"checkpoint: prevent_cse holds {flag!r}, which is no bool")
        return tuple([False] * num_consts + flags + [False] * num_refs)


# ---------------------------------------------------------------------------------------------
# What is kept.


def argument_names(fun: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[str]:
    """Each leaf of the arguments as the user would write it: `x`, `params['w'][0]`, `args[1]`."""
    signature = signature_of(fun)
    names = [f"args[{i}]" for i in range(len(args))]
    if signature is not None:
        place = 0
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                names[place:] = [f"{parameter.name}[{i}]" for i in range(len(args) - place)]
            elif parameter.kind is not parameter.KEYWORD_ONLY and place < len(args):
                names[place] = parameter.name
                place += 1
    found = []
    for name, value in [*zip(names, args), *sorted(kwargs.items())]:
        found += [name + keystr(path) for path, _ in tree_leaves_with_path(value)]
    return found


def saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> list[tuple[ShapedArray, str]]:
    """What the reverse pass of `f` keeps from the forward pass, outside of any compiled program's own decisions.

    Args:
      f: a function of arrays and pytrees of them.
      args, kwargs: its arguments: arrays, numbers, or anything with a shape and a dtype. Nothing is computed.
    Returns:
      A pair for each value: its type, and where it comes from.

    >>> import anima, anima.numpy as np
    >>> from anima.ad_checkpoint import saved_residuals
    >>> saved_residuals(anima.checkpoint(lambda x: np.sin(np.sin(x))), 1.0)
    [(ShapedArray(float32[], weak_type=True), 'from the argument x')]
    """
    check_callable(f, "saved_residuals")
    leaves, tree = tree_flatten((args, kwargs))
    names = argument_names(f, args, kwargs)
    avals = [_abstract(leaf, name, f) for leaf, name in zip(leaves, names)]
    flat = FlatFunction(f, tree)
    kept: list[Any] = []

    def linearized(*primals: Any) -> list[Any]:
        _, tape = linearize_flat(flat, primals, [has_tangent(a) for a in avals])
        linear, residuals = tape_jaxpr(tape)
        used = dce_jaxpr(linear)[2]
        kept.extend(
            [x.atom if isinstance(x, StagedTracer) else x for x, flag in zip(residuals, used) if flag]
        )
        return [x for x, flag in zip(residuals, used) if flag]

    jaxpr, _ = stage(linearized, avals, name_of(f))
    arguments = dict(zip(jaxpr.invars, names))
    order = {v: i for i, v in enumerate([*jaxpr.invars, *[v for e in jaxpr.eqns for v in e.outvars]])}
    described: list[tuple[int, Any, str]] = []
    for atom in jaxpr.outvars:
        if isinstance(atom, Literal):
            described.append((-1, atom.aval, "from a literal"))
        elif atom in arguments:
            described.append((order[atom], atom.aval, f"from the argument {arguments[atom]}"))
        else:
            described.append((order.get(atom, -1), atom.aval, _origin(jaxpr, atom)))
    described.sort(key=lambda item: item[0])
    return [(aval, text) for _, aval, text in described]


def _abstract(leaf: Any, name: str, fun: Any) -> Any:
    try:
        return abstract_leaf(leaf)
    except TypeError:
        raise TypeError(
            f"saved_residuals: argument {name} of {name_of(fun)} has type {type(leaf).__name__}, which is not an array, a "
            "number or a pytree of them, and has no shape and dtype"
        ) from None


def _origin(jaxpr: Jaxpr, var: Var) -> str:
    """Where a value of a program comes from; through calls, to the operation that computed it."""
    while True:
        eqn = next((e for e in jaxpr.eqns if var in e.outvars), None)
        if eqn is None:
            return "from a constant"
        if eqn.primitive not in (jit_p, checkpoint_p):
            return _described(eqn)
        inner = eqn.params["jaxpr"].jaxpr
        atom = inner.outvars[eqn.outvars.index(var)]
        if isinstance(atom, Literal):
            return "from a literal"
        if atom in inner.invars:
            outer = eqn.invars[inner.invars.index(atom)]
            if isinstance(outer, Literal):
                return "from a literal"
            var = outer
        else:
            jaxpr, var = inner, atom


def _described(eqn: Eqn) -> str:
    at = eqn.source
    where = f" from {at.file}:{at.line}:{at.column} ({at.function})" if at is not None else ""
    what = f"named {eqn.params['name']!r}" if eqn.primitive is name_p else f"output of {eqn.primitive.name}"
    return what + where


def print_saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print what the reverse pass of `f` keeps from the forward pass, a line a value.

    Args:
      f: a function of arrays and pytrees of them.
      args, kwargs: its arguments: arrays, numbers, or anything with a shape and a dtype. Nothing is computed.

    >>> import anima, anima.numpy as np
    >>> from anima.ad_checkpoint import print_saved_residuals
    >>> print_saved_residuals(anima.checkpoint(lambda x, y: np.sin(x * y).sum()), np.ones(3), 2.0)
    f32[3] from the argument x
    f32[] from the argument y
    """
    for aval, text in saved_residuals(f, *args, **kwargs):
        print(aval.str_short(), text)

"""`custom_gradient`, a shorter way to write some `custom_vjp` functions, and `closure_convert`.

Invariant: a function staged here keeps the values that it captured apart from its program, so that they can be arguments
or residuals.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core.aval import has_tangent
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import Jaxpr
from anima.core.trace import Tracer, aval_of
from anima.interpreters.batch import BatchTracer
from anima.interpreters.stage import stage
from anima.transforms.arguments import FlatFunction, check_callable, flatten_for_program, name_of
from anima.transforms.custom_vjp import custom_vjp
from anima.tree.compare import treedef_differences
from anima.tree.registry import register_pytree_node


class _Pullback:
    """A staged backward function: a node whose children are the values that it captured."""

    __slots__ = ("consts", "program")

    def __init__(self, program: tuple[Jaxpr, PyTreeDef], consts: Any) -> None:
        self.program = program
        self.consts = consts

    def __call__(self, cotangent: Any) -> Any:
        jaxpr, tree = self.program
        return tree_unflatten(tree, eval_jaxpr(jaxpr, self.consts, *tree_flatten(cotangent)[0]))


register_pytree_node(_Pullback, lambda node: (tuple(node.consts), node.program), _Pullback)


def _staged_pullback(rule: Callable[..., Any], out: Any, name: str) -> _Pullback:
    """The pullback that a function returned, as a program of the values that it captured."""
    _, outs, tree = flatten_for_program(out)
    flat = FlatFunction(rule, _structure_of_call(tree))
    jaxpr, consts = stage(flat, [aval_of(x).tangent_aval() for x in outs], name)
    return _Pullback((jaxpr, flat.out_tree), consts)


def _structure_of_call(tree: PyTreeDef) -> PyTreeDef:
    """The structure of the arguments of a call with one argument of the given structure."""
    return tree_flatten(((tree_unflatten(tree, [0] * tree.num_leaves),), {}))[1]


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a reverse derivative that it returns itself.

    Args:
      fun: returns a pair of its output and the pullback: a function of one output cotangent that returns a cotangent for
        each argument, in a tuple or a list, or alone where there is one argument. The pullback may use all values at hand.
    Returns:
      A function with `fun`'s arguments that returns the output alone.
    Raises:
      TypeError: `fun` does not return such a pair (when called).

    >>> import anima
    >>> @anima.custom_gradient
    ... def f(x):
    ...     return x**2, lambda g: (g * x,)
    >>> print(f(3.0), anima.grad(f)(3.0))
    9.0 3.0
    """
    check_callable(fun, "custom_gradient")

    def run(args: tuple[Any, ...]) -> tuple[Any, Callable[..., Any]]:
        result = fun(*args)
        if not isinstance(result, (tuple, list)) or len(result) != 2 or not callable(result[1]):
            raise TypeError(
                f"custom_gradient: {name_of(fun)} must return a pair of its output and a function from an output cotangent to "
                f"the cotangents of its arguments, got {result!r:.100}"
            )
        return result[0], result[1]

    @functools.wraps(fun)
    def function(*args: Any) -> Any:
        return run(args)[0]

    def fwd(*args: Any) -> tuple[Any, _Pullback]:
        out, rule = run(args)
        return out, _staged_pullback(rule, out, name_of(fun))

    def bwd(pullback: _Pullback, cotangent: Any) -> Any:
        found = pullback(cotangent)
        return found if isinstance(found, (tuple, list)) else (found,)

    wrapped = custom_vjp(function)
    wrapped.defvjp(fwd, bwd)
    return wrapped


def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Callable[..., Any], list[Any]]:
    """`fun` as a function that takes what it captured as arguments, for use with `custom_vjp` and the like.

    Args:
      fun: a function of arrays and pytrees of them that may use values of the functions around it.
      example_args: arguments of the types with which it will be called.
    Returns:
      A function of `fun`'s arguments followed by the captured values that may be differentiated, and the list of those.
    Raises:
      TypeError: the new function is called with arguments built in another way (when called).

    >>> import anima
    >>> def scaled(y):
    ...     f, captured = anima.closure_convert(lambda x: x * y, 1.0)
    ...     return f(3.0, *captured)
    >>> print(anima.grad(scaled)(2.0))
    3.0
    """
    check_callable(fun, "closure_convert")
    _, leaves, in_tree = flatten_for_program((example_args, {}))
    flat = FlatFunction(fun, in_tree, for_program=True)
    jaxpr, consts = stage(flat, [aval_of(x) for x in leaves], name_of(fun))
    moved = [_may_be_differentiated(c) for c in consts]
    captured = [c for c, flag in zip(consts, moved) if flag]
    kept = [None if flag else c for c, flag in zip(consts, moved)]

    @functools.wraps(fun)
    def converted(*args: Any) -> Any:
        count = max(len(args) - len(captured), 0)
        _, given, tree = flatten_for_program((args[:count], {}))
        if tree != in_tree:
            [difference, *_] = treedef_differences(tree, in_tree)
            raise TypeError(
                f"the function that closure_convert made of {name_of(fun)} takes arguments that are built as the example "
                f"arguments, then {len(captured)} captured values: "
                + difference.message("(args, kwargs)", "the examples")
            )
        values = iter(args[count:])
        found = [next(values) if flag else c for c, flag in zip(kept, moved)]
        return tree_unflatten(flat.out_tree, eval_jaxpr(jaxpr, found, *given))

    return converted, captured


def _may_be_differentiated(value: Any) -> bool:
    """Whether a transformation around may ask for derivatives with respect to a value."""
    while isinstance(value, BatchTracer):
        value = value.val
    return isinstance(value, Tracer) and has_tangent(value.aval)

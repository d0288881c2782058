"""A user's function on flat leaves, as interpreters take it; and what messages call it and its arguments.

Invariant: messages name arguments as the user's function does.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core import hooks
from anima.core.trace import Tracer, aval_of, is_value
from anima.errors import RefError
from anima.records import NamedTuple
from anima.tree.registry import register_pytree_node
from anima.tree_util import keystr, tree_leaves_with_path


def name_of(fun: Any) -> str:
    """A short name for a callable."""
    while isinstance(fun, functools.partial):
        fun = fun.func
    return str(getattr(fun, "__name__", None) or type(fun).__name__)


def check_callable(fun: Any, transformation: str) -> None:
    """Raise TypeError unless `fun` can be transformed."""
    if not callable(fun):
        raise TypeError(f"{transformation} expects a function as its first argument, got {fun!r}")
    if inspect.isgeneratorfunction(fun) or inspect.iscoroutinefunction(fun):
        raise TypeError(
            f"{transformation} cannot transform {name_of(fun)}: it is a generator or coroutine function; "
            "return the values instead of yielding or awaiting them"
        )


def signature_of(fun: Any) -> inspect.Signature | None:
    """The signature of a callable, or None if it has none to inspect. Not kept: that would keep the callable."""
    try:
        return inspect.signature(fun)
    except (ValueError, TypeError):
        return None


_DEEPEST = 20  # wrappers in each other; deeper ones, and circles of them, are left to `inspect`


class Parameter(NamedTuple):
    """What `inspect.Parameter` says, as far as it is asked here."""

    name: str
    kind: Any
    default: Any

    @property
    def positional(self) -> bool:
        """Whether an argument by position may be meant for it alone."""
        return self.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def parameters_of(fun: Any) -> list[Parameter] | None:
    """The parameters of a callable, or None if it has none to inspect.

    Those of plain functions are read from their code: a tenth of what `inspect.signature` takes, which a program would pay
    for each function that this library declares.
    """
    function = fun
    for _ in range(_DEEPEST):
        attributes = getattr(function, "__dict__", ())
        if "__wrapped__" not in attributes or "__signature__" in attributes:
            break
        function = function.__wrapped__
    if type(function) is FunctionType and function.__dict__.keys().isdisjoint(
        ("__signature__", "__wrapped__")
    ):
        return list(_parameters(function))
    signature = signature_of(fun)
    if signature is None:
        return None
    return [Parameter(p.name, p.kind, p.default) for p in signature.parameters.values()]


def _parameters(function: FunctionType) -> Iterator[Parameter]:
    code, kinds, empty = function.__code__, inspect.Parameter, inspect.Parameter.empty
    count, names = code.co_argcount, code.co_varnames
    last = count + code.co_kwonlyargcount
    defaults = function.__defaults__ or ()
    for i, name in enumerate(names[:count]):
        kind = kinds.POSITIONAL_ONLY if i < code.co_posonlyargcount else kinds.POSITIONAL_OR_KEYWORD
        given = i - (count - len(defaults))
        yield Parameter(name, kind, defaults[given] if given >= 0 else empty)
    if code.co_flags & inspect.CO_VARARGS:
        yield Parameter(names[last], kinds.VAR_POSITIONAL, empty)
        last += 1
    for name in names[count : count + code.co_kwonlyargcount]:
        yield Parameter(name, kinds.KEYWORD_ONLY, (function.__kwdefaults__ or {}).get(name, empty))
    if code.co_flags & inspect.CO_VARKEYWORDS:
        yield Parameter(names[last], kinds.VAR_KEYWORD, empty)


def argument_name(fun: Any, index: int) -> str:
    """How the user calls positional argument `index`."""
    parameters = parameters_of(fun)
    if parameters is not None:
        names = [p.name for p in parameters if p.positional]
        if index < len(names):
            return f"`{names[index]}`"
    return f"number {index}"


def leaf_names(fun: Any, args: Sequence[Any], kwargs: dict[str, Any], first: int = 0) -> list[str]:
    """A name for each leaf of the arguments from position `first` on; only called when a message needs one."""
    names: list[str] = []
    for index, arg in enumerate(args):
        names += _with_paths(argument_name(fun, first + index), arg)
    for key in sorted(kwargs):
        names += _with_paths(f"`{key}`", kwargs[key])
    return names


def _with_paths(base: str, arg: Any) -> list[str]:
    """A name for each leaf of an argument: "`x`", "`x['w'][0]`", "number 1 at ['w']"."""
    paths = [keystr(path) for path, _ in tree_leaves_with_path(arg)]
    if base.startswith("`"):
        return [f"{base[:-1]}{path}`" for path in paths]
    return [f"{base} at {path}" if path else base for path in paths]


def is_float0(value: Any) -> bool:
    """Whether a leaf is a `float0` array: the tangent of an integer, which has a shape and no contents."""
    return type(value) is np.ndarray and value.dtype == dtypes.float0


class _Float0:
    """Takes the place of a `float0` array in a tree: a node without leaves, unflattened to the array."""

    __slots__ = ("shape",)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def _float0_of(shape: Any, _: Any) -> Any:
    return np.zeros(shape, dtypes.float0)


register_pytree_node(_Float0, lambda node: ((), node.shape), _float0_of)


def flatten_for_program(value: Any) -> tuple[Any, list[Any], PyTreeDef]:
    """`value`, its leaves and structure, with `float0` arrays part of the structure: a program has no such values."""
    leaves, tree = tree_flatten(value)
    if not any([is_float0(x) for x in leaves]):
        return value, leaves, tree
    value = tree_unflatten(tree, [_Float0(x.shape) if is_float0(x) else x for x in leaves])
    return value, *tree_flatten(value)


class FlatFunction:
    """`fun` on flat leaves: unflattens its arguments, flattens its result and remembers the structure.

    With `for_program`, `float0` results become part of the structure. With `has_aux`, traced leaves of the auxiliary data follow the outputs, so that they leave the trace as
    primal values; `split` takes them apart again.
    """

    __slots__ = (
        "_aux_leaves",
        "_aux_tree",
        "for_program",
        "fun",
        "has_aux",
        "in_tree",
        "num_outs",
        "out_tree",
    )

    def __init__(
        self, fun: Callable[..., Any], in_tree: PyTreeDef, has_aux: bool = False, for_program: bool = False
    ) -> None:
        self.fun = fun
        self.for_program = for_program
        self.in_tree = in_tree  # of the pair (args, kwargs)
        self.has_aux = has_aux
        self.out_tree: Any = None
        self.num_outs = 0
        self._aux_leaves: list[Any] = []
        self._aux_tree: Any = None

    def __call__(self, *leaves: Any) -> list[Any]:
        args, kwargs = tree_unflatten(self.in_tree, leaves)
        result = self.fun(*args, **kwargs)
        if self.has_aux:
            if not (isinstance(result, (tuple, list)) and len(result) == 2):
                raise TypeError(
                    f"{name_of(self.fun)} must return a pair (output, auxiliary data) as has_aux=True says, "
                    f"got {type(result).__name__}"
                )
            result, aux = result
            self._aux_leaves, self._aux_tree = tree_flatten(aux)
        if self.for_program:
            _, outs, self.out_tree = flatten_for_program(result)
        else:
            outs, self.out_tree = tree_flatten(result)
        self.num_outs = len(outs)
        return check_outputs(outs, self.fun) + [x for x in self._aux_leaves if isinstance(x, Tracer)]

    def split(self, values: list[Any]) -> tuple[list[Any], Any]:
        """The outputs, and the auxiliary data, among what a trace of this function returned."""
        if not self.has_aux:
            return values, None
        traced = iter(values[self.num_outs :])
        leaves = [next(traced) if isinstance(x, Tracer) else x for x in self._aux_leaves]
        return values[: self.num_outs], tree_unflatten(self._aux_tree, leaves)


def check_outputs(outs: list[Any], fun: Any) -> list[Any]:
    """The leaves of a result, NumPy and Python values among them made arrays (but `float0` ones).

    Raises:
      TypeError: a leaf is no array or number.
    """
    for index, out in enumerate(outs):
        if isinstance(out, Tracer) or is_float0(out):
            continue
        try:
            aval_of(out)
        except RefError:
            raise RefError(
                f"{name_of(fun)} returned a reference at output leaf {index}; references cannot be returned from transformed "
                "functions. Return its value ref[...]; the caller's own references hold what was written to them"
            ) from None
        except TypeError:
            if is_value(out):  # of a dtype that no array has
                raise
            if not hasattr(out, "__jax_array__"):
                raise TypeError(
                    f"{name_of(fun)} returned a value of type {type(out).__name__} at output leaf {index}: "
                    f"{out!r:.60}; transformed functions return arrays, numbers and pytrees of them"
                ) from None
        outs[index] = hooks.as_array(out)
    return outs

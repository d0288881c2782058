"""What `custom_jvp` and `custom_vjp` share: calls taken apart, users' functions on flat leaves, their batched form, checks.

Invariant: between a public call and a user's function or rule there are flat lists of values only. Tangents and cotangents
in such lists may be symbolic (`Zero`); what users see in their place is decided where their function is called, and nowhere
else. A call's `Outcome` is shared by its function and its rules, whichever of them runs.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl, PyTreeDef, tree_flatten, tree_unflatten
from anima.core import hooks
from anima.core.aval import AbstractValue, ShapedArray, array_aval
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from anima.core.primitive import Zero
from anima.core.trace import Tracer, ambient, aval_of, encloses, get_trace
from anima.core.validate import same_type
from anima.errors import ClosedOverDerivativeError, UnexpectedTracerError
from anima.interpreters.batch import Axis, BatchTrace, batch_flat, to_axis
from anima.interpreters.dce import without_dead
from anima.interpreters.stage import hoist_consts, own_lines, stage
from anima.lax.control.bodies import leaf_path
from anima.lax.control.carries import type_text
from anima.lax.identity import stop_gradient
from anima.transforms.arguments import (
    argument_name,
    check_outputs,
    flatten_for_program,
    is_float0,
    name_of,
    signature_of,
)
from anima.tree.compare import treedef_differences

_PLAIN = (ArrayImpl, bool, int, float, complex)
Dims = tuple[int | None, ...]


# ---------------------------------------------------------------------------------------------
# What users see of symbolic zeros.


class SymbolicZero:
    """A tangent or cotangent known to be zero: what rules with `symbolic_zeros=True` get, and may return.

    Its shape and dtype are attributes, as are the other properties of its `aval`.

    >>> import anima, anima.numpy as np
    >>> zero = anima.custom_derivatives.SymbolicZero.from_primal_value(np.ones(3))
    >>> zero, zero.shape
    (SymbolicZero, (3,))
    """

    def __init__(self, aval: Any) -> None:
        self.aval = aval

    @staticmethod
    def from_primal_value(value: Any) -> SymbolicZero:
        """The zero tangent of a value."""
        return SymbolicZero(aval_of(value).tangent_aval())

    def __getattr__(self, name: str) -> Any:
        if name == "aval":  # not set yet: the object is being copied
            raise AttributeError(name)
        return getattr(self.aval, name)

    def __repr__(self) -> str:
        return "SymbolicZero"


def zero_from_primal(val: Any, symbolic_zeros: bool = False) -> Any:
    """The zero tangent of each leaf of a tree: zeros of its shape and dtype, `float0` for integers.

    Args:
      val: a pytree of arrays and numbers.
      symbolic_zeros: return `SymbolicZero`s instead.

    >>> import anima
    >>> print(anima.custom_derivatives.zero_from_primal(3.0))
    0.0
    """
    leaves, tree = tree_flatten(val)
    avals = [aval_of(x).tangent_aval() for x in leaves]
    return tree_unflatten(tree, [SymbolicZero(a) if symbolic_zeros else zeros_for_user(a) for a in avals])


def zeros_for_user(aval: AbstractValue) -> Any:
    """An array of zeros of a tangent aval; a NumPy array for `float0`."""
    array = array_aval(aval)
    return np.zeros(array.shape, dtypes.float0) if array.dtype == dtypes.float0 else hooks.zeros(array)


def shown(tangent: Any, symbolic_zeros: bool) -> Any:
    """A (co)tangent as users see it."""
    if type(tangent) is not Zero:
        return tangent
    return SymbolicZero(tangent.aval) if symbolic_zeros else zeros_for_user(tangent.aval)


# ---------------------------------------------------------------------------------------------
# Arguments.


class Signature:
    """How calls of a custom function become positional, and which positions are not differentiated."""

    __slots__ = ("_fun", "_positional", "_signature", "_variadic", "_what", "positions")

    def __init__(self, what: str, fun: Callable[..., Any], argnums: Any, argnames: Any) -> None:
        self._what = what
        self._fun = fun
        self._signature = signature_of(fun)
        params = () if self._signature is None else tuple(self._signature.parameters.values())
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._positional = [p.name for p in params if p.kind in kinds]
        self._variadic = self._signature is None or any(p.kind is p.VAR_POSITIONAL for p in params)
        numbers = [self._position(n) for n in ((argnums,) if isinstance(argnums, int) else argnums)]
        numbers += [self._named(n) for n in ((argnames,) if isinstance(argnames, str) else argnames)]
        self.positions = tuple(sorted(set(numbers)))

    def _position(self, number: Any) -> int:
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise TypeError(f"{self._what}: nondiff_argnums must be integers, got {number!r}")
        index = int(number.__index__())
        count = len(self._positional)
        if index < 0 and not self._variadic:
            index += count
        if index < 0 or (index >= count and not self._variadic):
            raise ValueError(
                f"{self._what}: nondiff_argnums {number} is out of range: {name_of(self._fun)} takes {count} positional arguments"
            )
        return index

    def _named(self, name: Any) -> int:
        if name not in self._positional:
            raise ValueError(
                f"{self._what}: nondiff_argnames {name!r} is no positional argument of {name_of(self._fun)}{self._signature or ''}"
            )
        return self._positional.index(name)

    def positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments of a call by position, defaults filled in.

        Raises:
          TypeError: they do not fit the function, or some can only be given by name.
        """
        if not kwargs and (self._signature is None or len(args) == len(self._positional)):
            return args
        name = name_of(self._fun)
        if self._signature is None:
            raise TypeError(
                f"{self._what} function {name} has no signature to inspect, so {sorted(kwargs)} cannot be matched with its "
                "positional arguments: pass all arguments by position"
            )
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{self._what} function {name}{self._signature} was called with other arguments: {error}"
            ) from None
        bound.apply_defaults()
        # Keyword-only arguments that are left out keep their defaults.
        unplaced = sorted(bound.kwargs.keys() & kwargs.keys())
        if unplaced:
            raise TypeError(
                f"{self._what} function {name}: the arguments {unplaced} have no position, because they are "
                "keyword-only; rules take all arguments by position, so declare them without the `*`"
            )
        return bound.args


class Arguments:
    """How the arguments of one call are put together: from differentiated leaves, and from the others by position."""

    __slots__ = ("_count", "in_tree", "nondiff")

    def __init__(self, count: int, in_tree: PyTreeDef, nondiff: dict[int, Any]) -> None:
        self._count = count
        self.in_tree = in_tree  # of the tuple of differentiated arguments
        self.nondiff = nondiff

    def rebuilt(self, leaves: Sequence[Any]) -> list[Any]:
        """All arguments by position, with these values for the differentiated leaves."""
        dynamic = tree_unflatten(self.in_tree, leaves)
        if not self.nondiff:
            return list(dynamic)
        given = iter(dynamic)
        return [self.nondiff[i] if i in self.nondiff else next(given) for i in range(self._count)]

    def name_of_leaf(self, fun: Callable[..., Any], index: int) -> str:
        """How messages call a differentiated leaf."""
        dynamic = [i for i in range(self._count) if i not in self.nondiff]
        for position, tree in zip(dynamic, self.in_tree.children()):
            if index < tree.num_leaves:
                return f"argument {argument_name(fun, position)}{leaf_path(tree, index)}"
            index -= tree.num_leaves
        return f"leaf {index}"


def taken_apart(
    what: str, fun: Callable[..., Any], args: tuple[Any, ...], positions: tuple[int, ...]
) -> tuple[Arguments, list[Any]]:
    """The arguments of a call, and their differentiated leaves as operands.

    Raises:
      TypeError: a leaf is no array or number; the message names the argument.
      ValueError: a position does not exist.
    """
    if positions and positions[-1] >= len(args):
        raise ValueError(
            f"{what}: nondiff_argnums {positions[-1]} is out of range for {name_of(fun)} called with {len(args)} arguments"
        )
    nondiff = {i: args[i] for i in positions}
    dynamic = tuple([a for i, a in enumerate(args) if i not in nondiff]) if positions else args
    _, leaves, in_tree = flatten_for_program(dynamic)
    arguments = Arguments(len(args), in_tree, nondiff)
    for index, leaf in enumerate(leaves):
        if type(leaf) in _PLAIN or isinstance(leaf, Tracer):
            continue
        try:
            leaves[index] = as_operand(leaf)
        except TypeError:
            raise TypeError(
                f"{what} function {name_of(fun)}: {arguments.name_of_leaf(fun, index)} has type {type(leaf).__name__}, which "
                f"is not an array, a number or a pytree of them: {leaf!r:.80}. If it is a setting, name it in nondiff_argnums."
            ) from None
    return arguments, leaves


def as_operand(leaf: Any) -> Any:
    """A value as an operand: Python and NumPy scalars, arrays and tracers stay, other NumPy arrays become arrays.

    Raises:
      TypeError: it is none of these.
    """
    if type(leaf) in _PLAIN or isinstance(leaf, Tracer):
        return leaf
    if isinstance(leaf, np.generic):
        aval_of(leaf)
        return leaf
    return hooks.as_array(leaf)


def as_value(leaf: Any) -> Any:
    """A user's (co)tangent as a tracer or an array.

    Raises:
      TypeError: it is no array or number.
    """
    return leaf if isinstance(leaf, Tracer) else hooks.as_array(leaf)


def has_tracers(value: Any) -> bool:
    """Whether any leaf of a value is traced."""
    return any([isinstance(x, Tracer) for x in tree_flatten(value)[0]])


def cut_off(value: Any) -> Any:
    """A value of which no traced leaf is differentiated."""
    leaves, tree = tree_flatten(value)
    if not any([isinstance(x, Tracer) for x in leaves]):
        return value
    return tree_unflatten(tree, [stop_gradient(x) if isinstance(x, Tracer) else x for x in leaves])


# ---------------------------------------------------------------------------------------------
# Users' functions on flat leaves.


class Outcome:
    """The structure of a call's result, once its function or a rule has run; and its types, once its function has."""

    __slots__ = ("avals", "tree")

    def __init__(self) -> None:
        self.tree: Any = None
        self.avals: list[AbstractValue] | None = None

    def meet(self, rule: str, function: str, tree: PyTreeDef, avals: Sequence[AbstractValue]) -> None:
        """Note what a rule returned as the function's result.

        Raises:
          TypeError: the function returned something of another structure or type.
        """
        if self.tree is None:
            self.tree = tree
            return
        if tree != self.tree:
            [difference, *_] = treedef_differences(tree, self.tree)
            place = difference.message(f"the first output of {rule}", f"the result of {function}")
            raise TypeError(
                f"{rule} must return as its first output what {function} returns, built in the same way: {place}"
            )
        for index, (got, expected) in enumerate(zip(avals, self.avals or ())):
            if not same_type(got, expected):
                raise TypeError(
                    f"{rule} must return as its first output what {function} returns: output{leaf_path(tree, index)} of "
                    f"{function} is {type_text(expected)}, but {rule} returned {type_text(got)}"
                )


class UserFunction:
    """The function itself, on the differentiated leaves of a call."""

    __slots__ = ("arguments", "fun", "outcome")

    def __init__(self, fun: Callable[..., Any], arguments: Arguments, outcome: Outcome) -> None:
        self.fun = fun
        self.arguments = arguments
        self.outcome = outcome

    def __call__(self, *leaves: Any) -> list[Any]:
        result = called(name_of(self.fun), self.fun, *self.arguments.rebuilt(leaves))
        _, outs, tree = flatten_for_program(result)
        outs = check_outputs(outs, self.fun)
        self.outcome.tree = tree
        if get_trace() is not None:  # otherwise no rule will be asked
            self.outcome.avals = [aval_of(out) for out in outs]
        return outs


class UserRule:
    """A user's rule for the differentiated leaves of a call, of the function named `function`."""

    __slots__ = ("__name__", "arguments", "function", "outcome", "rule", "symbolic_zeros")

    def __init__(
        self,
        rule: Callable[..., Any],
        function: str,
        arguments: Arguments,
        outcome: Outcome,
        symbolic_zeros: bool,
    ) -> None:
        self.rule = rule
        self.__name__ = name_of(rule)
        self.function = function
        self.arguments = arguments
        self.outcome = outcome
        self.symbolic_zeros = symbolic_zeros

    @property
    def users(self) -> Iterator[Any]:
        """What the user gave: functions and arguments that may hold traced values."""
        yield self.rule
        yield from self.arguments.nondiff.values()


Function = Callable[..., list[Any]] | ClosedJaxpr


def perform(function: Function, args: Sequence[Any]) -> list[Any]:
    """The results of a custom function, a user's or a staged one, under the ambient trace."""
    if isinstance(function, ClosedJaxpr):
        return eval_jaxpr(function.jaxpr, function.consts, *args)
    return function(*args)


def pair_of(rule: str, function: str, result: Any, second: str) -> tuple[Any, Any]:
    """A rule's result, which must be a pair.

    Raises:
      TypeError: it is none.
    """
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result[0], result[1]
    count = f"{len(result)} values: " if isinstance(result, (tuple, list)) else ""
    raise TypeError(
        f"{rule} of {function} must return a pair (tuple or list) of the outputs of {function} and {second}, got {count}"
        f"{result!r:.100}"
    )


_RULE_SETTERS = ("defjvp", "defjvps", "defvjp", "def_vmap", "def_transpose")


def forwarded(wrapper: Any, name: str) -> Any:
    """The `__getattr__` of decorated functions: methods that give rules are found on the function inside, too."""
    if name in _RULE_SETTERS and "fun" in vars(wrapper):
        return getattr(wrapper.fun, name)
    raise AttributeError(f"{type(wrapper).__name__!r} object has no attribute {name!r}")


# ---------------------------------------------------------------------------------------------
# Programs of users' functions, and what those captured.


def staged(
    fun: Callable[..., Sequence[Any]], avals: Sequence[AbstractValue], name: str
) -> tuple[Jaxpr, list[Any]]:
    """The program of a flat function, with captured values, which are returned, as its first arguments."""
    jaxpr, consts = stage(fun, avals, name)
    return hoist_consts(jaxpr), consts


class Captured:
    """Values captured by several programs of one call, each once."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self.values: list[Any] = []

    def add(self, consts: Sequence[Any]) -> list[int]:
        """The places of these values among all."""
        for const in consts:
            if id(const) not in self._places:
                self._places[id(const)] = len(self.values)
                self.values.append(const)
        return [self._places[id(c)] for c in consts]

    def closed(self, jaxpr: Jaxpr, places: Sequence[int]) -> ClosedJaxpr:
        """A program whose first arguments are the values at `places`, made to take all of them."""
        own = dict(zip(places, jaxpr.invars))
        consts = [own.get(i) or Var(aval_of(c)) for i, c in enumerate(self.values)]
        rest = jaxpr.invars[len(places) :]
        return ClosedJaxpr(
            Jaxpr([], [*consts, *rest], jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name), []
        )


class WithoutCaptured:
    """A rule that stayed as it was while its function became a program: it knows nothing of what that one captured."""

    __slots__ = ("__name__", "rule")

    def __init__(self, rule: Any) -> None:
        self.rule = rule
        self.__name__ = rule.__name__

    def __call__(self, consts: Sequence[Any], *args: Any) -> Any:
        return self.rule((), *args)

    @property
    def users(self) -> Iterator[Any]:
        yield from self.rule.users


def capture_traced(functions: Iterator[Any]) -> bool:
    """Whether functions captured values of the traces around, as far as their closures show."""
    here = get_trace()
    pending = list(functions)
    seen: set[int] = set()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, functools.partial):
            pending += [item.func, *item.args, *item.keywords.values()]
        elif isinstance(item, types.MethodType):
            pending += [item.__func__, item.__self__]
        elif isinstance(item, types.FunctionType):
            for cell in item.__closure__ or ():
                try:
                    pending.append(cell.cell_contents)
                except ValueError:  # not bound yet
                    continue
        else:
            for leaf in tree_flatten(item)[0]:
                if isinstance(leaf, Tracer) and encloses(leaf._trace, here):
                    return True
                if isinstance(leaf, (functools.partial, types.MethodType, types.FunctionType)):
                    pending.append(leaf)
    return False


def explain(error: UnexpectedTracerError, function: str) -> None:
    """Add the likely reason to a leak error from a user's function or rule."""
    note = (
        f"It was used by {function}, which has derivative rules of its own, or by one of those. They may use values of the "
        "functions around them, but not be differentiated with respect to such values, nor run when those are gone: pass "
        "them as arguments."
    )
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def called(function: str, fun: Callable[..., Any], *args: Any) -> Any:
    """What a user's function or rule returns; a leak error from it says why."""
    try:
        with own_lines():
            return fun(*args)
    except UnexpectedTracerError as error:
        explain(error, function)
        raise


def check_captured(tangents: Sequence[Any], function: str) -> None:
    """Raise unless the values that a function captured are not differentiated."""
    if any([type(t) is not Zero for t in tangents]):
        raise ClosedOverDerivativeError(function)


# ---------------------------------------------------------------------------------------------
# Batched forms.


class OutDims:
    """Where the mapped axis is in each output of a call, once its function or a rule has run."""

    __slots__ = ("dims",)

    def __init__(self, dims: Dims | None = None) -> None:
        self.dims = dims

    def place(self, index: int, value: Any, found: int | None, axis: Axis, rule: str) -> Any:
        """A rule's output, or its tangent, with its axis where the call has it.

        Raises:
          ValueError: the call's output is not mapped, but this is.
        """
        assert self.dims is not None
        wanted = self.dims[index]
        if wanted is not None:
            return to_axis(value, found, wanted, axis.size)
        if found is None:
            return value
        raise ValueError(
            f"vmap: {rule} returned a value that depends on the mapped axis as output {index}, or as its tangent, but the "
            "output of the function itself does not: let that depend on the mapped arguments, by adding zeros of them, say"
        )


class BatchedFunction:
    """A user's function mapped over an axis."""

    __slots__ = ("axis", "dims", "fun", "out")

    def __init__(self, fun: Any, axis: Axis, dims: Dims, out: OutDims) -> None:
        self.fun = fun
        self.axis = axis
        self.dims = dims
        self.out = out

    def __call__(self, *vals: Any) -> list[Any]:
        outs, dims = batch_flat(self.fun, self.axis, vals, self.dims)
        self.out.dims = tuple(dims)
        return outs


def uses_axis(axis: Axis, function: Function, users: Iterator[Any]) -> bool:
    """Whether a function may depend on the mapped axis though its arguments do not have it; `users`: what users gave for it."""
    if isinstance(function, ClosedJaxpr):
        return axis.effect is not None and axis.effect in function.effects
    with ambient(BatchTrace(get_trace(), axis)):
        return axis.name is not None or capture_traced(users)


def with_outputs(closed: ClosedJaxpr, used: tuple[bool, ...]) -> ClosedJaxpr:
    """A program with all its arguments and some outputs, without what those do not need."""
    jaxpr = closed.jaxpr

    def build() -> tuple[ClosedJaxpr | None]:
        outvars = [v for v, flag in zip(jaxpr.outvars, used) if flag]
        smaller = Jaxpr(jaxpr.constvars, jaxpr.invars, outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name)
        reduced = without_dead(ClosedJaxpr(smaller, closed.consts))
        # The program itself is not kept in its own memo: that would be a cycle.
        return (None,) if all(used) and reduced.jaxpr is smaller else (reduced,)

    (reduced,) = jaxpr.memoized(("with outputs", used), build)
    return closed if reduced is None else reduced


# ---------------------------------------------------------------------------------------------
# Checks of tangents.


def checked_tangent(value: Any, aval: ShapedArray) -> Any:
    """A user's (co)tangent for a value of tangent aval `aval`, or None if its type is another one."""
    if type(value) is SymbolicZero or type(value) is Zero:
        return Zero(aval) if same_type(value.aval, aval) else None
    if is_float0(value) or aval.dtype == dtypes.float0:
        fits = is_float0(value) and aval.dtype == dtypes.float0 and value.shape == aval.shape
        return Zero(aval) if fits else None
    value = as_value(value)
    return value if same_type(aval_of(value), aval) else None


def type_of_value(value: Any) -> str:
    """The type of a user's (co)tangent, for messages."""
    if type(value) is SymbolicZero:
        return type_text(value.aval)
    if is_float0(value):
        return f"float0[{','.join(map(str, value.shape))}]"
    try:
        return type_text(aval_of(value))
    except TypeError:
        return f"a {type(value).__name__}"

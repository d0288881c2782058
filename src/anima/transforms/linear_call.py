"""`linear_call`: linear functions whose transposes the user gives; and `custom_transpose`, the same as a decorator.

Invariant: a call is one operation, `linear_call`, of two functions, which are the transposes of one another. Both take its
`num_res` first operands, which are values, and then those in which they are linear, of dtypes that have tangents. The
transpose of a call is the call of the other function, so transposing twice gives the first one again. Where a trace records,
the functions become programs at once, for they may use values that are gone when the transpose is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from anima._native import PyTreeDef, get_trace, tree_flatten, tree_unflatten
from anima.core import hooks, variance
from anima.core.aval import array_aval, has_tangent
from anima.core.effects import Effects, no_effects
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive, Zero
from anima.core.trace import aval_of, shaped
from anima.errors import NonlinearError
from anima.interpreters.batch import Axis, batch_flat, batch_jaxpr, to_axis
from anima.interpreters.jvp import jvp_flat
from anima.interpreters.zeros import add, zero_of
from anima.lax.control.bodies import leaf_path
from anima.lax.control.carries import type_text
from anima.lowering.module import Context, Value
from anima.transforms.arguments import check_callable, check_outputs, flatten_for_program, name_of
from anima.transforms.custom_rules import (
    Captured,
    Function,
    as_operand,
    called,
    capture_traced,
    perform,
    staged,
    uses_axis,
    with_outputs,
)
from anima.transforms.shapes import abstract_leaf
from anima.transforms.tangents import finished
from anima.tree.compare import treedef_differences

Dims = tuple[int | None, ...]


# ---------------------------------------------------------------------------------------------
# The user's functions on flat operands.


class _Call:
    """What is known of a call: its functions, the structure of its arguments, and of the result once that is known."""

    __slots__ = ("fun", "lin_avals", "lin_tree", "out_avals", "out_tree", "res_tree", "transpose")

    def __init__(
        self, fun: Any, transpose: Any, res_tree: PyTreeDef, lin_tree: PyTreeDef, lin_avals: Any
    ) -> None:
        self.fun = fun
        self.transpose = transpose
        self.res_tree = res_tree
        self.lin_tree = lin_tree
        self.lin_avals: list[Any] = lin_avals
        self.out_tree: Any = None
        self.out_avals: list[Any] = []

    def residuals(self, values: Sequence[Any]) -> Any:
        return tree_unflatten(self.res_tree, values[: self.res_tree.num_leaves])


class _Forward:
    """The function: takes the residuals, the linear arguments' leaves without tangents, then those with tangents."""

    __slots__ = ("call",)

    def __init__(self, call: _Call) -> None:
        self.call = call

    @property
    def __name__(self) -> str:
        return name_of(self.call.fun)

    def __call__(self, *values: Any) -> list[Any]:
        call = self.call
        rest = values[call.res_tree.num_leaves :]
        active = [has_tangent(a) for a in call.lin_avals]
        fixed, given = iter(rest), iter(rest[active.count(False) :])
        leaves = [next(given) if flag else next(fixed) for flag in active]
        linear = tree_unflatten(call.lin_tree, leaves)
        result = called(self.__name__, call.fun, call.residuals(values), linear)
        _, outs, call.out_tree = flatten_for_program(result)
        outs = check_outputs(outs, call.fun)
        call.out_avals = [aval_of(out) for out in outs]
        return outs


class _Backward:
    """The transpose: takes the same values, but cotangents of the results that have tangents in place of the last ones."""

    __slots__ = ("call",)

    def __init__(self, call: _Call) -> None:
        self.call = call

    @property
    def __name__(self) -> str:
        return name_of(self.call.transpose)

    def __call__(self, *values: Any) -> list[Any]:
        call = self.call
        given = iter(values[call.res_tree.num_leaves + sum(not has_tangent(a) for a in call.lin_avals) :])
        cts = [next(given) if has_tangent(a) else finished(None, a) for a in call.out_avals]
        cotangent = tree_unflatten(call.out_tree, cts)
        result = called(self.__name__, call.transpose, call.residuals(values), cotangent)
        leaves, tree = tree_flatten(result)
        if tree != call.lin_tree:
            [difference, *_] = treedef_differences(tree, call.lin_tree)
            raise TypeError(
                f"linear_call: {self.__name__}, the transpose of {name_of(call.fun)}, must return what is built as the linear "
                f"arguments: {difference.message('its result', 'those')}"
            )
        checked = check_outputs(leaves, call.transpose)
        return [self._checked(ct, i) for i, ct in enumerate(checked) if has_tangent(call.lin_avals[i])]

    def _checked(self, ct: Any, index: int) -> Any:
        aval, got = self.call.lin_avals[index], shaped(ct)
        if got.dtype != aval.dtype or got.shape != aval.shape:
            raise ValueError(
                f"linear_call: {self.__name__}, the transpose of {name_of(self.call.fun)}, must return cotangents of the types of "
                f"the linear arguments: the result{leaf_path(self.call.lin_tree, index)} must be {type_text(aval)}, but it is "
                f"{type_text(got)}"
            )
        return ct


class _Inexact:
    """A function without its results that have no tangents, for those are no cotangents."""

    __slots__ = ("__name__", "fun")

    def __init__(self, fun: Any) -> None:
        self.fun = fun
        self.__name__ = fun.__name__

    def __call__(self, *values: Any) -> list[Any]:
        return [out for out in self.fun(*values) if has_tangent(aval_of(out))]


class _Failed:
    """In place of a function that could not be traced: raises the error when it is asked for, which may be never."""

    __slots__ = ("__name__", "error")

    def __init__(self, name: str, error: Exception) -> None:
        self.__name__ = name
        self.error = error

    def __call__(self, *values: Any) -> list[Any]:
        raise self.error


class _Batched:
    """A function mapped over an axis, which is at 0 in all its results and in all linear operands."""

    __slots__ = ("__name__", "axis", "dims", "fun")

    def __init__(self, fun: Any, axis: Axis, dims: Dims) -> None:
        self.fun = fun
        self.__name__ = fun.__name__
        self.axis = axis
        self.dims = dims  # of the first operands

    def __call__(self, *values: Any) -> list[Any]:
        dims = (*self.dims, *[0] * (len(values) - len(self.dims)))
        outs, places = batch_flat(self.fun, self.axis, values, dims)
        return [to_axis(o, d, 0, self.axis.size) for o, d in zip(outs, places)]


# ---------------------------------------------------------------------------------------------
# The primitive.


def _shape(*avals: Any, callee: ClosedJaxpr, **params: Any) -> list[Any]:
    return callee.out_avals


def _effects(*avals: Any, callee: Function, **params: Any) -> Effects:
    return callee.effects if isinstance(callee, ClosedJaxpr) else no_effects


def _lower(ctx: Context, *operands: Value, callee: ClosedJaxpr, **params: Any) -> list[Value]:
    return ctx.jaxpr(callee.jaxpr, callee.consts, operands)


def _eager(*args: Any, callee: Function, **params: Any) -> list[Any]:
    return perform(callee, args)


def _stage(args: tuple[Any, ...], **params: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    callee, transpose, num_res = params["callee"], params["transpose"], params["num_res"]
    if isinstance(callee, ClosedJaxpr):
        return args, params
    avals = [aval_of(a) for a in args]
    captured = Captured()
    jaxpr, consts = staged(callee, avals, callee.__name__)
    places = captured.add(consts)
    ct_avals = [a.tangent_aval() for a in jaxpr.out_avals if has_tangent(a)]
    other: tuple[Any, Any] | Exception
    try:
        other_jaxpr, consts = staged(transpose, [*avals[:num_res], *ct_avals], transpose.__name__)
        other = other_jaxpr, captured.add(consts)
    except Exception as error:  # it may never be asked for
        other = error
    params["callee"] = captured.closed(jaxpr, places)
    params["transpose"] = (
        _Failed(transpose.__name__, other) if isinstance(other, Exception) else captured.closed(*other)
    )
    params["num_res"] = num_res + len(captured.values)
    return (*captured.values, *args), params


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    num_res = params["num_res"]
    outs = linear_call_p.bind(*primals, **params)
    results: list[Any] = [zero_of(out) for out in outs]
    linear = tangents[num_res:]
    if any([type(t) is not Zero for t in linear]):
        given = [hooks.zeros(t.aval) if type(t) is Zero else t for t in linear]
        found = linear_call_p.bind(*primals[:num_res], *given, **params)
        results = [t if has_tangent(z.aval) else z for t, z in zip(found, results)]
    if any([type(t) is not Zero for t in tangents[:num_res]]):
        # In the residuals the function is differentiated as any other.
        directions = [*tangents[:num_res], *[zero_of(x) for x in primals[num_res:]]]
        _, found = jvp_flat(lambda *xs: perform(params["callee"], xs), primals, directions)
        results = [add(a, b) for a, b in zip(results, found)]
    return outs, results


def _transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    callee, transpose, num_res = params["callee"], params["transpose"], params["num_res"]
    if any([type(a) is Linear for a in args[:num_res]]):
        raise NonlinearError
    given = [hooks.zeros(ct.aval) if type(ct) is Zero else ct for ct in cts if not _is_float0(ct)]
    found = linear_call_p.bind(
        *args[:num_res], *given, callee=transpose, transpose=_with_inexact_results(callee), num_res=num_res
    )
    return [*[None] * num_res, *[ct if type(a) is Linear else None for ct, a in zip(found, args[num_res:])]]


def _is_float0(ct: Any) -> bool:
    return type(ct) is Zero and not has_tangent(ct.aval)


def _with_inexact_results(function: Function) -> Function:
    """A function without its results that have no tangents."""
    if not isinstance(function, ClosedJaxpr):
        return _Inexact(function)
    flags = tuple([has_tangent(a) for a in function.out_avals])
    return function if all(flags) else with_outputs(function, flags)


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    callee, transpose, num_res = params["callee"], params["transpose"], params["num_res"]
    if all([d is None for d in dims]) and not any(
        [uses_axis(axis, f, _users(f)) for f in (callee, transpose)]
    ):
        outs = linear_call_p.bind(*args, **params)
        return outs, [None] * len(outs)
    places = tuple(dims[:num_res])
    # All linear operands have the axis, so that their cotangents are not sums over it: those are for whoever broadcasts.
    linear = [to_axis(a, d, 0, axis.size) for a, d in zip(args[num_res:], dims[num_res:])]
    outs = linear_call_p.bind(
        *args[:num_res],
        *linear,
        callee=_batched(callee, axis, places),
        transpose=_batched(transpose, axis, places),
        num_res=num_res,
    )
    return outs, [0] * len(outs)


def _users(function: Any) -> Iterator[Any]:
    """What the user gave for a function."""
    while isinstance(function, (_Inexact, _Batched)):
        function = function.fun
    if isinstance(function, _Forward):
        yield function.call.fun
    if isinstance(function, _Backward):
        yield function.call.transpose


def _batched(function: Any, axis: Axis, dims: Dims) -> Any:
    if not isinstance(function, ClosedJaxpr):
        return function if isinstance(function, _Failed) else _Batched(function, axis, dims)
    every = (*dims, *[0] * (len(function.in_avals) - len(dims)))
    return batch_jaxpr(function, axis, every, True)[0]


linear_call_p = Primitive(
    "linear_call",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    stage=_stage,
    multiple_results=True,
    varying=variance.as_given,
)
linear_call_p.eager = _eager


# ---------------------------------------------------------------------------------------------
# The public faces.


def linear_call(
    fun: Callable[..., Any], fun_transpose: Callable[..., Any], residual_args: Any, linear_args: Any
) -> Any:
    """Call a linear function that has a transpose of its own, which reverse differentiation uses.

    Args:
      fun: called as `fun(residual_args, linear_args)`; linear in the second argument.
      fun_transpose: called as `fun_transpose(residual_args, ct)`, with `ct` built as the result of `fun`; returns what is built
        as `linear_args`. The transpose of the transpose is `fun`.
      residual_args: a pytree of arrays. In these, `fun` is differentiated as any function is.
      linear_args: a pytree of arrays.
    Returns:
      What `fun` returns.
    Raises:
      TypeError: `fun` or `fun_transpose` is no function, or an argument is no array. Differentiation raises TypeError or
        ValueError if `fun_transpose` returns something that is not built as `linear_args`, or of other types.

    >>> import anima
    >>> from anima.custom_derivatives import linear_call
    >>> f = lambda x, d: linear_call(lambda d, x: x / d, lambda d, ct: ct / d, d, x)
    >>> print(f(6.0, 3.0), anima.grad(f)(6.0, 3.0))
    2.0 0.33333334
    """
    check_callable(fun, "linear_call")
    check_callable(fun_transpose, "linear_call")
    residuals, res_tree = _operands(fun, "residual_args", residual_args)
    leaves, lin_tree = _operands(fun, "linear_args", linear_args)
    avals = [array_aval(aval_of(x)) for x in leaves]
    call = _Call(fun, fun_transpose, res_tree, lin_tree, avals)
    fixed = [x for x, a in zip(leaves, avals) if not has_tangent(a)]
    linear = [x for x, a in zip(leaves, avals) if has_tangent(a)]
    operands: tuple[Any, ...] = (*residuals, *fixed, *linear)
    params: dict[str, Any] = {
        "callee": _Forward(call),
        "transpose": _Backward(call),
        "num_res": len(residuals) + len(fixed),
    }
    if get_trace() is not None and capture_traced(iter([fun, fun_transpose])):
        operands, params = _stage(operands, **params)  # what they captured becomes residuals
    outs = linear_call_p.bind(*operands, **params)
    return tree_unflatten(call.out_tree, outs)


def _operands(fun: Any, argument: str, value: Any) -> tuple[list[Any], PyTreeDef]:
    _, leaves, tree = flatten_for_program(value)
    for index, leaf in enumerate(leaves):
        try:
            leaves[index] = as_operand(leaf)
        except TypeError:
            raise TypeError(
                f"linear_call of {name_of(fun)}: {argument}{leaf_path(tree, index)} must be an array or a number, got "
                f"{leaf!r:.60} of type {type(leaf).__name__}"
            ) from None
    return leaves, tree


class custom_transpose:
    """A linear function with a transpose of your own, as a decorator: `linear_call` with the types of the result given.

    Args:
      fun: called as `fun(residual_args, linear_args)`; linear in the second argument.
    Returns:
      A function called as `f(out_types, residual_args, linear_args)`: `out_types` has a `ShapeDtypeStruct`, or anything
      with a shape and a dtype, for each array that `fun` returns. Give it its transpose with `def_transpose` before the
      first call.
    Raises:
      TypeError: `fun` is no function. Calls raise AttributeError if there is no transpose, and TypeError if the result is of
        other types than those given.

    >>> import anima
    >>> @anima.custom_derivatives.custom_transpose
    ... def halve(_, x):
    ...     return x / 2
    >>> @halve.def_transpose
    ... def halve_transpose(_, ct):
    ...     return ct * 0.5
    >>> print(anima.grad(lambda x: halve(x, (), x))(3.0))
    0.5
    """

    def __init__(self, fun: Callable[..., Any]) -> None:
        check_callable(fun, "custom_transpose")
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.transpose: Callable[..., Any] | None = None

    def def_transpose(self, transpose: Callable[..., Any]) -> Callable[..., Any]:
        """Set the transpose.

        Args:
          transpose: called as `transpose(residual_args, ct)`; returns what is built as the linear arguments.
        Returns:
          `transpose`, so that this is a decorator.
        """
        check_callable(transpose, "custom_transpose.def_transpose")
        self.transpose = transpose
        return transpose

    def __call__(self, out_types: Any, residual_args: Any, linear_args: Any) -> Any:
        if self.transpose is None:
            raise AttributeError(
                f"no transpose defined for custom_transpose function {name_of(self.fun)}: define it with def_transpose "
                "before calling the function"
            )
        structs, tree = tree_flatten(out_types)
        avals: list[Any] = [abstract_leaf(s) for s in structs]

        def checked(residuals: Any, linear: Any) -> Any:
            result = self.fun(residuals, linear)
            _check_types(name_of(self.fun), result, tree, avals)
            return result

        checked.__name__ = name_of(self.fun)
        return linear_call(checked, self.transpose, residual_args, linear_args)


def _check_types(name: str, result: Any, expected: PyTreeDef, avals: list[Any]) -> None:
    leaves, tree = tree_flatten(result)
    if tree != expected:
        [difference, *_] = treedef_differences(tree, expected)
        raise TypeError(
            f"custom_transpose function {name} must return what out_types says: {difference.message('its result', 'out_types')}"
        )
    for index, (leaf, aval) in enumerate(zip(leaves, avals)):
        got = shaped(leaf)
        if got.dtype != aval.dtype or got.shape != aval.shape:
            raise TypeError(
                f"custom_transpose function {name} must return what out_types says: its result{leaf_path(tree, index)} is "
                f"{type_text(got)}, but the type given is {type_text(aval)}"
            )

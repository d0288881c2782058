"""Differentiation: `jvp`, `vjp`, `linearize`, `grad`, `value_and_grad`, Jacobians and the Hessian.

Invariant: all reverse-mode functions are `vjp`, and `vjp` is linearisation followed by a backward pass over
the tape; all forward-mode functions are `jvp`. Integer and boolean inputs have `float0` tangents.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import numpy as np

from anima import dtypes
from anima._native import tree_flatten, tree_unflatten
from anima.core.aval import ShapedArray, has_tangent
from anima.core.primitive import Zero
from anima.core.trace import aval_of, shaped
from anima.interpreters.jvp import jvp_flat
from anima.interpreters.linearize import Tape, linearize_flat
from anima.interpreters.transpose import backward
from anima.interpreters.zeros import instantiate
from anima.runtime.arrays import as_array
from anima.transforms.arguments import (
    FlatFunction,
    argument_name,
    check_callable,
    check_inputs,
    name_of,
    normalize_argnums,
    public,
    select_args,
)
from anima.transforms.vmap import vmap


def _float0_zeros(aval: ShapedArray) -> np.ndarray[Any, Any]:
    return np.zeros(aval.shape, dtypes.float0)


def _finish(tangent: Any, aval: Any) -> Any:
    """A (co)tangent as users see it: zeros where it is symbolic, `float0` where there can be none."""
    if not has_tangent(aval):
        return _float0_zeros(aval)
    return instantiate(tangent)


def _tangent_in(tangent: Any, primal: Any, where: str) -> Any:
    """A user's tangent for `primal`, checked.

    Raises:
      TypeError: dtype differs from the primal's tangent dtype. ValueError: shape differs.
    """
    aval = shaped(primal)
    dtype = getattr(tangent, "dtype", None)
    if not has_tangent(aval):
        if dtype != dtypes.float0:
            raise TypeError(
                f"{where} must have dtype float0, as the primal has dtype {dtypes.dtype_name(aval.dtype)}, "
                f"which carries no tangent; got {dtype or type(tangent).__name__}"
            )
        return Zero(aval.tangent_aval())
    if dtype == dtypes.float0:
        raise TypeError(
            f"{where} has dtype float0, but the primal's dtype is {dtypes.dtype_name(aval.dtype)}"
        )
    value = as_array(tangent)
    got = shaped(value)
    if got.dtype != aval.dtype:
        raise TypeError(
            f"{where} has dtype {dtypes.dtype_name(got.dtype)}, but must have that of the primal, "
            f"{dtypes.dtype_name(aval.dtype)}; convert it with astype"
        )
    if got.shape != aval.shape:
        raise ValueError(f"{where} has shape {got.shape}, but must have that of the primal, {aval.shape}")
    return value


def _primals_and_tangents(fun: Any, primals: Any, tangents: Any) -> tuple[list[Any], list[Any], Any]:
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError(
            "jvp: primals and tangents must be tuples or lists with one entry for each argument of the "
            f"function, got {type(primals).__name__} and {type(tangents).__name__}"
        )
    leaves, tree = tree_flatten((tuple(primals), {}))
    tangent_leaves, tangent_tree = tree_flatten((tuple(tangents), {}))
    if tree != tangent_tree:
        raise TypeError(f"jvp: primals and tangents differ in structure: {tree} and {tangent_tree}")
    leaves = check_inputs(leaves, fun, "jvp", tuple(primals), {})
    checked = [
        _tangent_in(t, p, f"jvp: tangent leaf {i}") for i, (p, t) in enumerate(zip(leaves, tangent_leaves))
    ]
    return leaves, checked, tree


def jvp(fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """Value and directional derivative of `fun`, in one forward pass.

    Args:
      fun: a function of arrays and pytrees of them.
      primals: a tuple of the arguments at which to differentiate.
      tangents: a tuple of the same structure, shapes and dtypes: the direction. Integer arguments take `float0`.
      has_aux: `fun` returns a pair whose second part is passed through undifferentiated.
    Returns:
      `(value, tangent)`, or `(value, tangent, aux)`.
    Raises:
      TypeError, ValueError: primals and tangents do not fit.

    >>> import anima
    >>> import anima.numpy as np
    >>> y, dy = anima.jvp(np.sin, (0.0,), (2.0,))
    >>> print(y, dy)
    0.0 2.0
    """
    check_callable(fun, "jvp")
    leaves, directions, tree = _primals_and_tangents(fun, primals, tangents)
    flat = FlatFunction(fun, tree, has_aux)
    outs, out_tangents = jvp_flat(flat, leaves, directions)
    outs, aux = flat.split(outs)
    value = tree_unflatten(flat.out_tree, outs)
    tangent = tree_unflatten(flat.out_tree, [_finish(t, aval_of(o)) for t, o in zip(out_tangents, outs)])
    return (value, tangent, aux) if has_aux else (value, tangent)


class Vjp:
    """The pullback of a function at a point: maps output cotangents to input cotangents."""

    __slots__ = ("_in_avals", "_name", "_out_avals", "_tape", "in_tree", "out_tree")

    def __init__(
        self, name: str, tape: Tape, in_avals: list[Any], in_tree: Any, out_avals: list[Any], out_tree: Any
    ) -> None:
        self._name = name
        self._tape = tape
        self._in_avals = in_avals
        self._out_avals = out_avals
        self.in_tree = in_tree
        self.out_tree = out_tree

    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        """Cotangents of the arguments, as a tuple, for a cotangent shaped like the output."""
        leaves, tree = tree_flatten(cotangent)
        if tree != self.out_tree:
            raise TypeError(
                f"the cotangent given to the vjp of {self._name} has structure {tree}, but the output has {self.out_tree}"
            )
        cts = [self._check(ct, aval, i) for i, (ct, aval) in enumerate(zip(leaves, self._out_avals))]
        results = iter(backward(self._tape, cts))
        grads = [_finish(next(results), a) if has_tangent(a) else _float0_zeros(a) for a in self._in_avals]
        args: tuple[Any, ...] = tree_unflatten(self.in_tree, grads)[0]
        return args

    def _check(self, ct: Any, aval: Any, index: int) -> Any:
        where = f"cotangent leaf {index} given to the vjp of {self._name}"
        if not has_tangent(aval):
            if getattr(ct, "dtype", None) != dtypes.float0:
                raise TypeError(
                    f"{where} must have dtype float0: the output has dtype {dtypes.dtype_name(aval.dtype)}"
                )
            return Zero(aval.tangent_aval())
        value = as_array(ct)
        got = shaped(value)
        if got.dtype != aval.dtype or got.shape != aval.shape:
            raise ValueError(f"{where} is {got.str_short()}, but the output is {aval.str_short()}")
        return value

    def __repr__(self) -> str:
        return f"<vjp of {self._name}>"


def _vjp(
    fun: Any, args: tuple[Any, ...], kwargs: dict[str, Any], has_aux: bool, what: str
) -> tuple[Any, Vjp, Any]:
    leaves, tree = tree_flatten((args, kwargs))
    leaves = check_inputs(leaves, fun, what, args, kwargs)
    avals = [aval_of(x) for x in leaves]
    flat = FlatFunction(fun, tree, has_aux)
    outs, tape = linearize_flat(flat, leaves, [has_tangent(a) for a in avals])
    outs, aux = flat.split(outs)
    del tape.outputs[len(outs) :]
    pullback = Vjp(name_of(fun), tape, avals, tree, [aval_of(o) for o in outs], flat.out_tree)
    return tree_unflatten(flat.out_tree, outs), pullback, aux


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False, reduce_axes: Any = ()) -> Any:
    """Value of `fun`, and the function that pulls output cotangents back to its arguments.

    Args:
      fun: a function of arrays and pytrees of them.
      primals: its arguments.
      has_aux: `fun` returns a pair whose second part is passed through.
    Returns:
      `(value, vjp_fun)`, or `(value, vjp_fun, aux)`; `vjp_fun(ct)` returns a tuple of cotangents, one an argument.

    >>> import anima
    >>> import anima.numpy as np
    >>> y, pullback = anima.vjp(np.sin, 0.0)
    >>> print(pullback(1.0)[0])
    1.0
    """
    check_callable(fun, "vjp")
    _no_reduce_axes(reduce_axes)
    value, pullback, aux = _vjp(fun, primals, {}, has_aux, "vjp")
    return (value, pullback, aux) if has_aux else (value, pullback)


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Value of `fun`, and its derivative there as a linear function of tangents.

    The linear function does not compute `fun` again.

    >>> import anima
    >>> import anima.numpy as np
    >>> y, f_jvp = anima.linearize(np.sin, 0.0)
    >>> print(f_jvp(3.0))
    3.0
    """
    check_callable(fun, "linearize")
    leaves, tree = tree_flatten((primals, {}))
    leaves = check_inputs(leaves, fun, "linearize", primals, {})
    nonzeros = [has_tangent(aval_of(x)) for x in leaves]
    flat = FlatFunction(fun, tree, has_aux)
    outs, tape = linearize_flat(flat, leaves, nonzeros)
    outs, aux = flat.split(outs)
    del tape.outputs[len(outs) :]
    out_avals = [aval_of(o) for o in outs]

    def linear(*tangents: Any) -> Any:
        given, given_tree = tree_flatten((tangents, {}))
        if given_tree != tree:
            raise TypeError(
                f"tangents have structure {given_tree}, but the arguments of {name_of(fun)} have {tree}"
            )
        checked = [_tangent_in(t, p, f"tangent leaf {i}") for i, (t, p) in enumerate(zip(given, leaves))]
        results = tape.apply([t for t, nz in zip(checked, nonzeros) if nz])
        return tree_unflatten(flat.out_tree, [_finish(t, a) for t, a in zip(results, out_avals)])

    value = tree_unflatten(flat.out_tree, outs)
    return (value, linear, aux) if has_aux else (value, linear)


def _check_differentiable(
    fun: Any, positions: tuple[int, ...], args: tuple[Any, ...], what: str, holomorphic: bool, allow_int: bool
) -> None:
    """Raise TypeError unless the arguments at `positions` can be differentiated with respect to.

    Complex arguments need `holomorphic` in forward mode only: for a real output the reverse pass gives the
    conjugate of the steepest ascent.
    """
    for position in positions:
        arg = args[position]
        for leaf in check_inputs(tree_flatten(arg)[0], fun, what, (arg,), {}, position):
            dtype = shaped(leaf).dtype
            if holomorphic:
                if not dtypes.is_complex(dtype):
                    rule = f"{what} with holomorphic=True requires inputs with complex dtype"
                    _refuse(rule, fun, position, dtype, "")
            elif dtypes.is_complex(dtype):
                if what == "jacfwd":
                    advice = "pass holomorphic=True if it is holomorphic, otherwise use jvp directly"
                    _refuse(f"{what} requires real-valued inputs", fun, position, dtype, advice)
            elif not dtypes.is_inexact(dtype) and not allow_int:
                rule = f"{what} requires real- or complex-valued inputs (of floating point dtype)"
                advice = "convert it with astype(float), or pass allow_int=True for float0 gradients"
                _refuse(rule, fun, position, dtype, advice)


def _refuse(rule: str, fun: Any, position: int, dtype: Any, advice: str) -> NoReturn:
    argument = argument_name(fun, position)
    raise TypeError(
        f"{rule}, but argument {argument} of {name_of(fun)} has {dtypes.dtype_name(dtype)}"
        + (f"; {advice}" if advice else "")
    )


def _no_reduce_axes(reduce_axes: Any) -> None:
    if reduce_axes:
        raise ValueError(
            f"reduce_axes={reduce_axes!r} was removed from JAX: apply lax.psum to the gradients instead"
        )


def _check_scalar(value: Any, fun: Any, what: str, holomorphic: bool) -> Any:
    leaves, _ = tree_flatten(value)
    if len(leaves) != 1 or isinstance(value, (tuple, list, dict)):
        raise TypeError(
            f"gradient only defined for scalar-output functions: {name_of(fun)} returned {value!r:.80} under {what}"
        )
    aval = shaped(leaves[0])
    if aval.shape != ():
        raise TypeError(
            f"gradient only defined for scalar-output functions: {name_of(fun)} returned shape {aval.shape}; "
            "sum it, or use jacrev or jacfwd for the whole Jacobian"
        )
    if holomorphic and not dtypes.is_complex(aval.dtype):
        raise TypeError(
            f"{what} with holomorphic=True requires a complex output, got {dtypes.dtype_name(aval.dtype)}"
        )
    if not holomorphic and not dtypes.is_float(aval.dtype):
        raise TypeError(
            f"{what} requires real-valued outputs (of floating point dtype), but {name_of(fun)} returned "
            f"{dtypes.dtype_name(aval.dtype)}"
        )
    return as_array(np.ones((), aval.dtype))


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Any = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Any = (),
) -> Callable[..., Any]:
    """A function returning both the value of `fun` and its gradient.

    Args:
      fun: a function returning a scalar (with `has_aux`, a pair of a scalar and anything).
      argnums: which positional arguments to differentiate with respect to, an integer or a tuple of them.
      holomorphic: `fun` is holomorphic: inputs and output are complex.
      allow_int: integer arguments are admitted, with `float0` gradients.
    Returns:
      A function with `fun`'s arguments that returns `(value, gradient)` (with `has_aux`, `((value, aux),
      gradient)`); the gradient has the structure of the argument, or is a tuple of those.

    >>> import anima
    >>> print(*anima.value_and_grad(lambda x: x * x)(3.0))
    9.0 6.0
    """
    check_callable(fun, "value_and_grad")
    _no_reduce_axes(reduce_axes)
    numbers = normalize_argnums(argnums, "value_and_grad: argnums")

    def value_and_grad_fun(*args: Any, **kwargs: Any) -> Any:
        positions, of_chosen = select_args(fun, args, numbers, "grad")
        chosen = tuple(args[p] for p in positions)
        _check_differentiable(fun, positions, args, "grad", holomorphic, allow_int)
        bound = partial(of_chosen, **kwargs) if kwargs else of_chosen
        value, pullback, aux = _vjp(bound, chosen, {}, has_aux, "grad")
        one = _check_scalar(value, fun, "grad", holomorphic)
        grads = pullback(tree_unflatten(pullback.out_tree, [one]))
        gradient = grads if isinstance(argnums, (tuple, list)) else grads[0]
        return ((value, aux), gradient) if has_aux else (value, gradient)

    return public(value_and_grad_fun, fun, "value_and_grad")


def grad(
    fun: Callable[..., Any],
    argnums: int | Any = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Any = (),
) -> Callable[..., Any]:
    """The gradient of a scalar-valued function, by reverse differentiation.

    Arguments are those of `value_and_grad`.

    Returns:
      A function with `fun`'s arguments that returns the gradient (with `has_aux`, `(gradient, aux)`).

    >>> import anima
    >>> import anima.numpy as np
    >>> print(anima.grad(np.tanh)(0.0))
    1.0
    >>> print(anima.grad(anima.grad(lambda x: x**3))(2.0))
    12.0
    """
    check_callable(fun, "grad")
    both = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int, reduce_axes)

    def grad_fun(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return public(grad_fun, fun, "grad")


# ---------------------------------------------------------------------------------------------
# Jacobians.


def _basis(leaves: list[Any]) -> list[Any]:
    """For a list of arrays, the standard basis of their joint space: each with one leading axis of its dimension."""
    avals = [shaped(x) for x in leaves]
    total = sum(a.size for a in avals)
    start, result = 0, []
    for aval in avals:
        block = np.zeros((total, aval.size), aval.dtype)
        np.fill_diagonal(block[start : start + aval.size], 1)
        result.append(as_array(block.reshape(total, *aval.shape)))
        start += aval.size
    return result


def _split_rows(rows: Any, leaves: list[Any]) -> list[Any]:
    """The leading axis of `rows` cut and shaped as the leaves are."""
    parts, start = [], 0
    for leaf in leaves:
        aval = shaped(leaf)
        part = rows[start : start + aval.size]
        parts.append(part.reshape(*aval.shape, *rows.shape[1:]))
        start += aval.size
    return parts


def _to_end(value: Any, count: int) -> Any:
    """`value` with its first `count` axes moved behind the others."""
    ndim = len(value.shape)
    return value.transpose(*range(count, ndim), *range(count))


def jacfwd(
    fun: Callable[..., Any], argnums: int | Any = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Jacobian of `fun`, column by column in forward mode: best when outputs outnumber inputs.

    Returns:
      A function with `fun`'s arguments. For output shape `o` and argument shape `i` its result has shape
      `o + i`; pytrees of outputs hold pytrees of arguments.

    >>> import anima, anima.numpy as np
    >>> print(anima.jacfwd(lambda x: x * x)(np.array([1.0, 2.0])))
    [[2. 0.]
     [0. 4.]]
    """
    check_callable(fun, "jacfwd")
    numbers = normalize_argnums(argnums, "jacfwd: argnums")

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        positions, of_chosen = select_args(fun, args, numbers, "jacfwd")
        chosen = tuple(args[p] for p in positions)
        leaves, tree = tree_flatten(chosen)
        leaves = check_inputs(leaves, fun, "jacfwd", chosen, {})
        _check_differentiable(fun, positions, args, "jacfwd", holomorphic, False)
        bound = partial(of_chosen, **kwargs) if kwargs else of_chosen
        aux: list[Any] = []

        def push(*tangents: Any) -> Any:
            directions = tree_unflatten(tree, tangents)
            out = jvp(bound, tree_unflatten(tree, leaves), directions, has_aux)
            aux[:] = out[2:]
            return (out[1], out[2]) if has_aux else out[1]

        columns = vmap(push, out_axes=(0, None) if has_aux else 0)(*_basis(leaves))
        rows, extra = columns if has_aux else (columns, None)
        outs, out_tree = tree_flatten(rows)
        jac = []
        for rows_of_out in outs:
            parts = _split_rows(rows_of_out, leaves)
            moved = [_to_end(p, shaped(x).ndim) for p, x in zip(parts, leaves)]
            entry = tree_unflatten(tree, moved)
            jac.append(entry if isinstance(argnums, (tuple, list)) else entry[0])
        result = tree_unflatten(out_tree, jac)
        return (result, extra) if has_aux else result

    return public(jacobian, fun, "jacfwd")


def jacrev(
    fun: Callable[..., Any],
    argnums: int | Any = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """The Jacobian of `fun`, row by row in reverse mode: best when inputs outnumber outputs.

    Returns:
      As `jacfwd`.

    >>> import anima, anima.numpy as np
    >>> print(anima.jacrev(lambda x: x * x)(np.array([1.0, 2.0])))
    [[2. 0.]
     [0. 4.]]
    """
    check_callable(fun, "jacrev")
    numbers = normalize_argnums(argnums, "jacrev: argnums")

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        positions, of_chosen = select_args(fun, args, numbers, "jacrev")
        chosen = tuple(args[p] for p in positions)
        _check_differentiable(fun, positions, args, "jacrev", holomorphic, allow_int)
        bound = partial(of_chosen, **kwargs) if kwargs else of_chosen
        value, pullback, aux = _vjp(bound, chosen, {}, has_aux, "jacrev")
        outs, out_tree = tree_flatten(value)
        for out in outs:
            dtype = shaped(out).dtype
            if not dtypes.is_inexact(dtype):
                raise TypeError(
                    f"jacrev requires real- or complex-valued outputs, but {name_of(fun)} returned {dtypes.dtype_name(dtype)}; "
                    "return it as auxiliary data with has_aux=True, or use jacfwd"
                )
        pull = lambda *cts: pullback(tree_unflatten(out_tree, cts))
        grads = vmap(pull)(*_basis(outs))
        leaves_of_args, tree = tree_flatten(grads)
        split = [_split_rows(g, outs) for g in leaves_of_args]  # [argument leaf][output leaf]
        jac = []
        for index in range(len(outs)):
            entry = tree_unflatten(tree, [parts[index] for parts in split])
            jac.append(entry if isinstance(argnums, (tuple, list)) else entry[0])
        result = tree_unflatten(out_tree, jac)
        return (result, aux) if has_aux else result

    return public(jacobian, fun, "jacrev")


jacobian = jacrev


def hessian(
    fun: Callable[..., Any], argnums: int | Any = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Hessian of `fun`: `jacfwd` of `jacrev`.

    >>> import anima, anima.numpy as np
    >>> print(anima.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0])))
    [[ 6.  0.]
     [ 0. 12.]]
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)

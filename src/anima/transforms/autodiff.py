"""Differentiation: `jvp`, `vjp`, `linearize`, `grad`, `value_and_grad`, and forward and backward passes as two functions.

Invariant: all reverse-mode functions are `vjp`, and `vjp` is linearisation followed by a backward pass over
the tape; all forward-mode functions are `jvp`. Integer and boolean inputs have `float0` tangents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

from anima import dtypes
from anima._native import tree_flatten, tree_unflatten
from anima.core.trace import aval_of, shaped
from anima.interpreters.jvp import jvp_flat
from anima.state.refs import Ref, checked
from anima.state.staging import Lent, check_aliases
from anima.transforms.arguments import (
    FlatFunction,
    argument_name,
    check_callable,
    check_inputs,
    leaf_names,
    name_of,
    normalize_argnums,
    public,
    select_args,
)
from anima.transforms.jit import jit
from anima.transforms.linear_maps import Linearized, LinearMap, Vjp, linearized
from anima.transforms.tangents import TangentCheck, exact_array, finished, typed_like


def _primals_and_tangents(
    fun: Any, primals: Any, tangents: Any
) -> tuple[list[Any], list[Any], Any, Lent | None, list[Ref]]:
    """The leaves of both, the structure, the references among the primals, and those of their tangents."""
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError(
            "jvp: primals and tangents must be tuples or lists with one entry for each argument of the "
            f"function, got {type(primals).__name__} and {type(tangents).__name__}"
        )
    check = TangentCheck("tangent", f"jvp of {name_of(fun)}", TypeError, ValueError)
    given, given_tree = tree_flatten(tangents)
    check.structure(given_tree, tree_flatten(primals)[1], "the primals")
    leaves, tree = tree_flatten((tuple(primals), {}))
    leaves = check_inputs(leaves, fun, "jvp", tuple(primals), {}, refs=True)
    where: Callable[[int], str] = lambda i: f"for argument {leaf_names(fun, primals, {})[i]}"
    lent, moving = None, []
    if Ref in map(type, leaves):
        lent = Lent(leaves)
        moving = [checked(f"{check.name}: the tangent {where(i)}", given[i]) for i in lent.places]
        check_aliases([*lent.refs, *moving], check.name)
        leaves = lent.arguments(leaves)
        for place, ref in zip(lent.places, moving):
            given[place] = ref[...]
    directions = [check.value(t, shaped(p), where, i) for i, (p, t) in enumerate(zip(leaves, given))]
    return leaves, directions, tree, lent, moving


def jvp(fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Value and directional derivative of `fun`, in one forward pass.

    Args:
      fun: a function of arrays and pytrees of them.
      primals: a tuple or list of the arguments at which to differentiate.
      tangents: the same structure, shapes and dtypes: the direction. Integer arguments take `float0`, references other
        references, which hold their tangents before and after.
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
    leaves, directions, tree, lent, moving = _primals_and_tangents(fun, primals, tangents)
    flat = FlatFunction(fun, tree, has_aux)
    if lent is None:
        outs, out_tangents = jvp_flat(flat, leaves, directions)
    else:
        outs, out_tangents = jvp_flat(lent.ending(flat), leaves, directions)
        for ref, tangent in zip(reversed(lent.refs), reversed(moving)):
            ref[...] = outs.pop()
            tangent[...] = finished(out_tangents.pop(), ref.aval.inner_aval)
    outs, aux = flat.split(outs)
    value = tree_unflatten(flat.out_tree, outs)
    results = [typed_like(finished(t, aval_of(o)), shaped(o)) for t, o in zip(out_tangents, outs)]
    tangent = tree_unflatten(flat.out_tree, results)
    return (value, tangent, aux) if has_aux else (value, tangent)


def _at(
    cls: type[LinearMap], fun: Any, args: tuple[Any, ...], has_aux: bool, what: str
) -> tuple[Any, Any, Any]:
    """The value of `fun`, its derivative as a function, and the auxiliary data."""
    leaves, tree = tree_flatten((args, {}))
    leaves = check_inputs(leaves, fun, what, args, {}, refs=cls is Vjp and what == "vjp")
    return linearized(cls, fun, leaves, tree, has_aux)


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False, reduce_axes: Any = ()) -> Any:
    """Value of `fun`, and the function that pulls output cotangents back to its arguments.

    Args:
      fun: a function of arrays and pytrees of them.
      primals: its arguments. The cotangent of a reference is that of what it holds before `fun` writes to it.
      has_aux: `fun` returns a pair whose second part is passed through.
    Returns:
      `(value, vjp_fun)`, or `(value, vjp_fun, aux)`; `vjp_fun(ct)` returns a tuple of cotangents, one an argument. It is
      a pytree of the values that it needs, so transformed functions may take and return it. `vjp_fun.with_refs(...)` adds
      cotangents to references instead, which must be given for arguments that are references.
    Raises:
      TypeError: an argument is no array. `vjp_fun` raises ValueError if the cotangent does not fit.

    >>> import anima
    >>> import anima.numpy as np
    >>> y, pullback = anima.vjp(np.sin, 0.0)
    >>> print(pullback(1.0)[0])
    1.0
    """
    check_callable(fun, "vjp")
    _no_reduce_axes(reduce_axes)
    value, pullback, aux = _at(Vjp, fun, primals, has_aux, "vjp")
    return (value, pullback, aux) if has_aux else (value, pullback)


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Value of `fun`, and its derivative there as a linear function of tangents.

    The linear function does not compute `fun` again.

    Args:
      fun: a function of arrays and pytrees of them.
      primals: its arguments.
      has_aux: `fun` returns a pair whose second part is passed through.
    Returns:
      `(value, f_jvp)`, or `(value, f_jvp, aux)`; `f_jvp` takes a tangent for each argument and returns the output's. It
      is a pytree of the values that it needs, so transformed functions may take and return it.
    Raises:
      TypeError: an argument is no array. `f_jvp` raises TypeError or ValueError if tangents do not fit.

    >>> import anima
    >>> import anima.numpy as np
    >>> y, f_jvp = anima.linearize(np.sin, 0.0)
    >>> print(f_jvp(3.0))
    3.0
    """
    check_callable(fun, "linearize")
    value, linear, aux = _at(Linearized, fun, primals, has_aux, "linearize")
    return (value, linear, aux) if has_aux else (value, linear)


def fwd_and_bwd(
    fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool = False, jitted: bool = True
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward and the backward pass of `fun` as two functions, each compiled once for all calls.

    `bwd(residuals, ct)` does what `vjp_fun(ct)` of `vjp` does. But that is a new function for each call of `vjp`, which
    `jit` compiles anew.

    Args:
      fun: a function of arrays and pytrees of them.
      argnums: which positional arguments to differentiate with respect to, an integer or a sequence of them.
      has_aux: `fun` returns a pair whose second part is passed through.
      jitted: return both functions as `jit` makes them.
    Returns:
      `(fwd, bwd)`: `fwd` takes `fun`'s positional arguments and returns `(value, residuals)`, or `(value, residuals,
      aux)`. `bwd` takes residuals and a cotangent shaped like the value, and returns the cotangent of the argument, or a
      tuple of them if `argnums` is a sequence.

    >>> import anima, anima.numpy as np
    >>> fwd, bwd = anima.fwd_and_bwd(lambda x, w: w * np.sin(x), argnums=(0, 1))
    >>> value, residuals = fwd(0.0, 2.0)
    >>> print(value, *bwd(residuals, 1.0))
    0.0 2.0 0.0
    """
    check_callable(fun, "fwd_and_bwd")
    numbers = normalize_argnums(argnums, "fwd_and_bwd: argnums")

    def fwd(*args: Any) -> Any:
        positions, of_chosen = select_args(fun, args, numbers, "fwd_and_bwd")
        value, pullback, aux = _at(Vjp, of_chosen, tuple(args[p] for p in positions), has_aux, "fwd_and_bwd")
        return (value, pullback, aux) if has_aux else (value, pullback)

    def bwd(residuals: Any, cotangent: Any) -> Any:
        cts = residuals(cotangent)
        return cts if isinstance(argnums, (tuple, list)) else cts[0]

    for function, name in ((fwd, "fwd"), (bwd, "bwd")):
        function.__name__ = f"{name}_{name_of(fun)}"
    return (jit(fwd), jit(bwd)) if jitted else (fwd, bwd)


# ---------------------------------------------------------------------------------------------
# Gradients.


def check_differentiable(
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


def check_output_dtype(dtype: Any, fun: Any, what: str, holomorphic: bool) -> None:
    """Raise TypeError unless an output of this dtype can be differentiated in reverse mode."""
    if dtypes.is_complex(dtype) if holomorphic else dtypes.is_float(dtype):
        return
    returned = f"but {name_of(fun)} returned {dtypes.dtype_name(dtype)}"
    if holomorphic:
        raise TypeError(f"{what} with holomorphic=True requires complex outputs, {returned}")
    advice = (
        "pass holomorphic=True if it is holomorphic, otherwise use vjp directly"
        if dtypes.is_complex(dtype)
        else "return it as auxiliary data with has_aux=True"
    )
    raise TypeError(f"{what} requires real-valued outputs (of floating point dtype), {returned}; {advice}")


def _no_reduce_axes(reduce_axes: Any) -> None:
    if reduce_axes:
        raise ValueError(
            f"reduce_axes={reduce_axes!r} was removed from JAX: apply lax.psum to the gradients instead"
        )


def _start_of_backward_pass(value: Any, fun: Any, what: str, holomorphic: bool) -> Any:
    """The cotangent 1 for the value of `fun`, which must be a scalar."""
    leaves, tree = tree_flatten(value)
    if not tree.is_leaf:
        raise TypeError(
            f"gradient only defined for scalar-output functions: {name_of(fun)} returned {value!r:.80} under {what}"
        )
    aval = shaped(leaves[0])
    if aval.shape != ():
        raise TypeError(
            f"gradient only defined for scalar-output functions: {name_of(fun)} returned shape {aval.shape}; "
            "sum it, or use jacrev or jacfwd for the whole Jacobian"
        )
    check_output_dtype(aval.dtype, fun, what, holomorphic)
    return exact_array(np.ones((), aval.dtype), aval)


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Any = (),
) -> Callable[..., Any]:
    """A function returning both the value of `fun` and its gradient.

    Args:
      fun: a function returning a scalar (with `has_aux`, a pair of a scalar and anything).
      argnums: which positional arguments to differentiate with respect to, an integer or a sequence of them.
      has_aux: `fun` returns a pair whose second part is passed through.
      holomorphic: `fun` is holomorphic: inputs and output are complex.
      allow_int: integer arguments are admitted, with `float0` gradients.
    Returns:
      A function with `fun`'s arguments that returns `(value, gradient)` (with `has_aux`, `((value, aux),
      gradient)`); the gradient has the structure of the argument, or is a tuple of those.
    Raises:
      TypeError: `fun` is no function. The returned function raises it if an argument or the output does not fit.

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
        check_differentiable(fun, positions, args, "grad", holomorphic, allow_int)
        bound = partial(of_chosen, **kwargs) if kwargs else of_chosen
        value, pullback, aux = _at(Vjp, bound, chosen, has_aux, "grad")
        grads = pullback.gradients([_start_of_backward_pass(value, fun, "grad", holomorphic)])
        gradient = grads if isinstance(argnums, (tuple, list)) else grads[0]
        return ((value, aux), gradient) if has_aux else (value, gradient)

    return public(value_and_grad_fun, fun, "value_and_grad")


def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
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

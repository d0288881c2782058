"""Python functions called by compiled programs: `pure_callback` and `io_callback`.

Invariant: what is declared is what comes back: results have the declared structure, shapes and dtypes, or the program
fails and says how they differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anima import dtypes
from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core.aval import ShapedArray
from anima.sharding import Sharding, SingleDeviceSharding
from anima.transforms.arguments import check_callable, check_inputs, name_of
from anima.transforms.callback_primitives import (
    VMAP_METHODS,
    HostFunction,
    io_callback_p,
    pure_callback_p,
)
from anima.transforms.shapes import abstract_leaf


def declared_results(what: str, result_shape_dtypes: Any) -> tuple[tuple[ShapedArray, ...], PyTreeDef]:
    """The avals of the declared results, strongly typed, and their structure.

    Raises:
      TypeError: a leaf has no shape and dtype. ValueError: a 64-bit dtype is declared where there are none.
    """
    structs, tree = tree_flatten(result_shape_dtypes)
    avals = []
    for struct in structs:
        try:
            aval: Any = abstract_leaf(struct)
        except TypeError:
            raise TypeError(
                f"{what}: result_shape_dtypes must consist of ShapeDtypeStructs, or arrays that stand for them, got "
                f"{struct!r:.80} of type {type(struct).__name__}"
            ) from None
        declared = getattr(struct, "dtype", aval.dtype)
        if declared != aval.dtype:
            raise ValueError(
                f"{what}: result_shape_dtypes says {dtypes.dtype_name(declared)}, but 64-bit types are off "
                "(jax_enable_x64); declare a 32-bit type"
            )
        avals.append(aval.strip_weak_type())
    return tuple(avals), tree


def _check_sharding(what: str, sharding: Any) -> Sharding | None:
    if sharding is not None and not isinstance(sharding, SingleDeviceSharding):
        raise TypeError(f"{what}: sharding must be a SingleDeviceSharding or None, got {sharding!r:.80}")
    return sharding


def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """Call a Python function from a compiled program, on the values at run time.

    Args:
      callback: a function of arrays without side effects; it may be called any number of times, or not at all if its
        result is not used.
      result_shape_dtypes: a pytree of `ShapeDtypeStruct`s, or anything with a shape and a dtype: what it returns.
      args, kwargs: its arguments, pytrees of arrays.
      sharding: a `SingleDeviceSharding` naming the device of a program over several that calls it, on whole arrays; by
        default the first.
      vmap_method: what `vmap` does: "sequential" calls it once a row, "sequential_unrolled" too, without a loop in the
        program, "expand_dims" gives every argument a leading axis (of size 1 if it is not mapped), "broadcast_all"
        gives it its full size, "legacy_vectorized" leaves unmapped arguments as they are. None: `vmap` raises.
    Returns:
      What `callback` returned, as arrays.
    Raises:
      TypeError, ValueError: an argument or an option is none. JaxRuntimeError: `callback` raised, or returned other
        types than declared; in a compiled program that comes where a result is used. It has no derivative: wrap it in
        `custom_jvp` or `custom_vjp`.

    >>> import anima, anima.numpy as np, numpy
    >>> f = anima.jit(lambda x: anima.pure_callback(numpy.sinc, x, x))
    >>> print(f(np.array([0.0, 0.5])).round(3))
    [1.    0.637]
    """
    check_callable(callback, "pure_callback")
    if vmap_method is not None and vmap_method not in VMAP_METHODS:
        raise ValueError(
            f"pure_callback: vmap_method must be one of {', '.join(map(repr, VMAP_METHODS))}, got {vmap_method!r}"
        )
    _check_sharding("pure_callback", sharding)
    leaves, in_tree = tree_flatten((args, kwargs))
    leaves = check_inputs(leaves, callback, "pure_callback", args, kwargs)
    avals, out_tree = declared_results("pure_callback", result_shape_dtypes)
    function = HostFunction("pure_callback", name_of(callback), callback, in_tree, out_tree)
    outs = pure_callback_p.bind(
        *leaves, callback=function, result_avals=avals, sharding=sharding, vmap_method=vmap_method
    )
    return tree_unflatten(out_tree, outs)


def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a Python function with side effects from a compiled program, exactly as often as the program says.

    Args:
      callback: a function of arrays.
      result_shape_dtypes: a pytree of `ShapeDtypeStruct`s, or anything with a shape and a dtype: what it returns; None
        for nothing.
      args, kwargs: its arguments, pytrees of arrays.
      sharding: a `SingleDeviceSharding` naming the device of a program over several that calls it, on whole arrays; by
        default the first.
      ordered: whether it runs after all ordered callbacks that come before it in the program, and in earlier programs
        of this thread.
    Returns:
      What `callback` returned, as arrays.
    Raises:
      TypeError, ValueError: an argument or an option is none. JaxRuntimeError: `callback` raised, or returned other
        types than declared; in a compiled program that comes where a result is used, and from `effects_barrier`.
        Under `vmap` it is called once an example if it is not ordered, else `vmap` raises. It has no derivative.

    >>> import anima, anima.numpy as np
    >>> from anima.experimental import io_callback
    >>> seen = []
    >>> @anima.jit
    ... def f(x):
    ...     io_callback(lambda v: seen.append(float(v)), None, x, ordered=True)
    ...     io_callback(lambda v: seen.append(float(v)), None, -x, ordered=True)
    ...     return x + 1
    >>> print(f(2.0))
    3.0
    >>> anima.effects_barrier()
    >>> seen
    [2.0, -2.0]
    """
    check_callable(callback, "io_callback")
    _check_sharding("io_callback", sharding)
    leaves, in_tree = tree_flatten((args, kwargs))
    leaves = check_inputs(leaves, callback, "io_callback", args, kwargs)
    avals, out_tree = declared_results("io_callback", result_shape_dtypes)
    function = HostFunction("io_callback", name_of(callback), callback, in_tree, out_tree)
    outs = io_callback_p.bind(
        *leaves, callback=function, result_avals=avals, sharding=sharding, ordered=bool(ordered)
    )
    return tree_unflatten(out_tree, outs)

"""Python functions called by compiled programs.

Invariant: a callback's number is a run-time operand and never part of the program, so programs with callbacks are
cached like others; the function lives as long as any program that may call it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import _native
from anima._native import tree_flatten, tree_unflatten
from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive, primitives
from anima.core.trace import shaped
from anima.interpreters.batch import Axis
from anima.lowering.module import Context, Value
from anima.runtime.devices import client
from anima.transforms.arguments import check_callable, check_inputs, name_of
from anima.transforms.shapes import abstract_leaf

_METHODS = ("sequential", "expand_dims", "broadcast_all", "legacy_vectorized")


class HostFunction:
    """A Python function under a number by which programs call it, for as long as this object lives."""

    __slots__ = ("__weakref__", "fun", "name", "number")

    def __init__(self, fun: Callable[..., Sequence[Any]], name: str) -> None:
        self.fun = fun
        self.name = name
        self.number = np.uint64(_native.callback_register(fun))

    def __del__(self) -> None:
        # At interpreter exit the module may be gone before its callbacks.
        if getattr(_native, "callback_release", None) is not None and hasattr(self, "number"):
            _native.callback_release(int(self.number))

    def __repr__(self) -> str:
        return self.name


def _shape(
    *avals: Any, callback: HostFunction, result_avals: tuple[Any, ...], vmap_method: str | None
) -> list[Any]:
    return list(result_avals)


def _lower(
    ctx: Context, *operands: Value, callback: HostFunction, result_avals: Any, vmap_method: Any
) -> list[Value]:
    if ctx.module.platform != "cpu":
        raise ValueError(f"pure_callback runs on CPU devices only, not on {ctx.module.platform}")
    _native.register_python_callback_target(client("cpu"))
    number = ctx.runtime_operand(callback.number, ShapedArray((), np.dtype(np.uint64)), callback)
    attrs = 'call_target_name = "anima_python_callback", api_version = 4 : i32, backend_config = {}'
    return ctx.ops("stablehlo.custom_call", (number, *operands), ctx.out_avals, attrs)


def _batch(
    axis: Axis, args: Any, dims: Any, *, callback: Any, result_avals: Any, vmap_method: Any
) -> tuple[Any, Any]:
    if vmap_method is None:
        raise ValueError(
            f"pure_callback of {callback}: vmap needs to know how the function takes batches; pass vmap_method, one of "
            f"{', '.join(map(repr, _METHODS))}"
        )
    if vmap_method == "sequential":
        return _sequential(axis, args, dims, callback, result_avals)
    if vmap_method == "broadcast_all":
        args = [hooks.broadcast_batch(a, axis.size, 0) if d is None else hooks.move_axis(a, d, 0) for a, d in zip(args, dims)]  # fmt: skip
    else:
        expand = vmap_method == "expand_dims"
        args = [
            (hooks.broadcast_batch(a, 1, 0) if expand else a) if d is None else hooks.move_axis(a, d, 0)
            for a, d in zip(args, dims)
        ]
    batched = tuple(a.update(shape=(axis.size, *a.shape)) for a in result_avals)
    outs = pure_callback_p.bind(*args, callback=callback, result_avals=batched, vmap_method=vmap_method)
    return outs, [0] * len(outs)


def _sequential(axis: Axis, args: Any, dims: Any, callback: Any, result_avals: Any) -> tuple[Any, Any]:
    """One call a row. The rows are cut out in the program, so the function sees what it would see unbatched."""
    rows = []
    for index in range(axis.size):
        row = [a if d is None else _row(hooks.move_axis(a, d, 0), index) for a, d in zip(args, dims)]
        rows.append(
            pure_callback_p.bind(*row, callback=callback, result_avals=result_avals, vmap_method="sequential")
        )
    if not rows:
        empty = [a.update(shape=(0, *a.shape)) for a in result_avals]
        return [hooks.zeros(a) for a in empty], [0] * len(empty)
    join = primitives["concatenate"]
    outs = [
        join.bind(*[hooks.broadcast_batch(x, 1, 0) for x in column], dimension=0) for column in zip(*rows)
    ]
    return outs, [0] * len(outs)


def _row(x: Any, index: int) -> Any:
    aval = shaped(x)
    stop = (index + 1, *aval.shape[1:])
    part = primitives["slice"].bind(
        x, start_indices=(index, *(0,) * (aval.ndim - 1)), limit_indices=stop, strides=None
    )
    return primitives["reshape"].bind(part, new_sizes=aval.shape[1:])


_NO_DERIVATIVE = Missing(
    "a Python function has no derivative known here; wrap the call in custom_jvp or custom_vjp"
)

pure_callback_p = Primitive(
    "pure_callback",
    shape=_shape,
    lower=_lower,
    jvp=_NO_DERIVATIVE,
    transpose=_NO_DERIVATIVE,
    batch=_batch,
    multiple_results=True,
)


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
      callback: a function of NumPy arrays without side effects; it may be called any number of times, or not at all
        if its result is not used.
      result_shape_dtypes: a pytree of `ShapeDtypeStruct`s, or anything with a shape and a dtype: what it returns.
      args, kwargs: its arguments, pytrees of arrays.
      vmap_method: what `vmap` does: "sequential" calls it once a row, "expand_dims" gives every argument a leading
        axis (of size 1 if it is not mapped), "broadcast_all" gives it its full size. None: `vmap` raises.
    Returns:
      What `callback` returned, as arrays.
    Raises:
      ValueError: an option is unknown. Errors of the callback itself end the program with their message.

    >>> import anima, anima.numpy as np, numpy
    >>> f = anima.jit(lambda x: anima.pure_callback(numpy.sinc, x, x))
    >>> print(f(np.array([0.0, 0.5])).round(3))
    [1.    0.637]
    """
    check_callable(callback, "pure_callback")
    if vmap_method is not None and vmap_method not in _METHODS:
        raise ValueError(
            f"pure_callback: vmap_method must be one of {', '.join(map(repr, _METHODS))}, got {vmap_method!r}"
        )
    leaves, in_tree = tree_flatten((args, kwargs))
    leaves = check_inputs(leaves, callback, "pure_callback", args, kwargs)
    structs, out_tree = tree_flatten(result_shape_dtypes)
    avals: tuple[Any, ...] = tuple(abstract_leaf(s) for s in structs)
    avals = tuple(a.strip_weak_type() for a in avals)

    def on_host(*values: Any) -> list[Any]:
        given_args, given_kwargs = tree_unflatten(in_tree, values)
        results, tree = tree_flatten(callback(*given_args, **given_kwargs))
        if tree != out_tree:
            raise ValueError(f"{name_of(callback)} returned {tree}, but result_shape_dtypes is {out_tree}")
        return [np.asarray(r) for r in results]

    holder = HostFunction(on_host, name_of(callback))
    outs = pure_callback_p.bind(*leaves, callback=holder, result_avals=avals, vmap_method=vmap_method)
    return tree_unflatten(out_tree, outs)

"""Shapes without data: `ShapeDtypeStruct`, `eval_shape` and `make_jaxpr`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anima import dtypes
from anima._native import tree_flatten, tree_unflatten
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.jaxpr import ClosedJaxpr
from anima.core.trace import aval_of, register_value_type
from anima.interpreters.stage import mark_dropped, stage
from anima.lax.shape import check_shape
from anima.transforms.arguments import (
    FlatFunction,
    check_callable,
    check_inputs,
    name_of,
    normalize_argnums,
    public,
)


class ShapeDtypeStruct:
    """The shape and dtype of an array, standing for any array of that kind.

    Args:
      shape: a tuple of integers.
      dtype: the element type.
      sharding: how it lies over devices, or None.
      weak_type: whether it yields in promotion, as a Python scalar does.

    >>> import anima, anima.numpy as np
    >>> anima.ShapeDtypeStruct((3,), np.float32)
    ShapeDtypeStruct(shape=(3,), dtype=float32)
    """

    __slots__ = ("dtype", "shape", "sharding", "weak_type")

    def __init__(self, shape: Any, dtype: Any, *, sharding: Any = None, weak_type: bool = False) -> None:
        if dtype is None:
            raise ValueError("ShapeDtypeStruct: dtype must be given")
        self.shape = check_shape("ShapeDtypeStruct", shape)
        self.dtype = dtypes.as_dtype(dtype)
        self.sharding = sharding
        self.weak_type = weak_type

    @classmethod
    def of(cls, aval: Any) -> ShapeDtypeStruct:
        """The struct for an aval."""
        return cls(aval.shape, aval.dtype, weak_type=aval.weak_type)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return ShapedArray(self.shape, self.dtype).size

    def update(self, **changes: Any) -> ShapeDtypeStruct:
        """A copy with some fields replaced."""
        fields = {name: getattr(self, name) for name in self.__slots__} | changes
        return ShapeDtypeStruct(**fields)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShapeDtypeStruct):
            return NotImplemented
        return all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak_type))

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        sharding = f", sharding={self.sharding}" if self.sharding is not None else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={dtypes.dtype_name(self.dtype)}{weak}{sharding})"


def _struct_aval(struct: Any) -> AbstractValue:
    return ShapedArray(
        struct.shape, dtypes.canonicalize_dtype(struct.dtype, allow_extended_dtype=True), struct.weak_type
    )


register_value_type(ShapeDtypeStruct, _struct_aval)


def abstract_leaf(leaf: Any) -> AbstractValue:
    """The aval of an array, a number, a tracer, or anything with a shape and a dtype."""
    try:
        return aval_of(leaf)
    except TypeError:
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
            return _struct_aval(ShapeDtypeStruct(leaf.shape, leaf.dtype))
        raise


def _trace(fun: Any, args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> tuple[ClosedJaxpr, Any]:
    leaves, tree = tree_flatten((args, kwargs))
    avals = []
    for leaf in leaves:
        try:
            avals.append(abstract_leaf(leaf))
        except TypeError:
            check_inputs([leaf], fun, what, args, kwargs)
    flat = FlatFunction(fun, tree)
    jaxpr, consts = stage(flat, avals, name_of(fun))
    return ClosedJaxpr(jaxpr, consts), flat.out_tree


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes that `fun` would return, without computing anything.

    Args:
      fun: a function of arrays and pytrees of them.
      args, kwargs: its arguments: arrays, numbers, or anything with `.shape` and `.dtype`.
    Returns:
      `fun`'s result with a `ShapeDtypeStruct` for each array.

    >>> import anima, anima.numpy as np
    >>> anima.eval_shape(lambda x: x @ x.T, anima.ShapeDtypeStruct((3, 2), np.float32))
    ShapeDtypeStruct(shape=(3, 3), dtype=float32)
    """
    check_callable(fun, "eval_shape")
    closed, out_tree = _trace(fun, args, kwargs, "eval_shape")
    return tree_unflatten(out_tree, [ShapeDtypeStruct.of(a) for a in closed.out_avals])


def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Any = (),
    axis_env: Any = None,
    return_shape: bool = False,
) -> Callable[..., Any]:
    """A function that traces `fun` and returns its jaxpr.

    Args:
      static_argnums: arguments passed to `fun` as they are.
      return_shape: also return the result's `ShapeDtypeStruct`s.
    Returns:
      A function with `fun`'s arguments returning a `ClosedJaxpr`.

    >>> import anima, anima.numpy as np
    >>> anima.make_jaxpr(np.sin)(np.zeros(3))
    { lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }
    """
    check_callable(fun, "make_jaxpr")
    statics = normalize_argnums(static_argnums, "make_jaxpr: static_argnums")
    if axis_env:
        raise ValueError(
            "make_jaxpr: give axis names with vmap(axis_name=...) around the function, not with axis_env"
        )

    def make(*args: Any, **kwargs: Any) -> Any:
        fixed = {n % len(args): args[n] for n in statics if -len(args) <= n < len(args)}

        def dynamic(*values: Any, **keywords: Any) -> Any:
            given = iter(values)
            return fun(*[fixed[i] if i in fixed else next(given) for i in range(len(args))], **keywords)

        dynamic.__name__ = name_of(fun)
        closed, out_tree = _trace(
            dynamic if fixed else fun,
            tuple(a for i, a in enumerate(args) if i not in fixed),
            kwargs,
            "make_jaxpr",
        )
        shown = ClosedJaxpr(mark_dropped(closed.jaxpr), closed.consts)
        if return_shape:
            return shown, tree_unflatten(out_tree, [ShapeDtypeStruct.of(a) for a in closed.out_avals])
        return shown

    return public(make, fun, "make_jaxpr")

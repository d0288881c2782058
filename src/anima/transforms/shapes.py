"""Shapes without data: `ShapeDtypeStruct`, `eval_shape` and `make_jaxpr`."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NoReturn

from anima import dtypes
from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.axes import AxisTrace, NamedAxes, NamedAxis
from anima.core.jaxpr import ClosedJaxpr
from anima.core.trace import Tracer, ambient, aval_of, get_trace, register_value_type
from anima.interpreters.stage import mark_dropped
from anima.lax.shape import check_shape
from anima.sharding import PartitionSpec, Sharding
from anima.sharding.formats import Format
from anima.sharding.requests import on_current_mesh
from anima.state.refs import Ref
from anima.state.staging import check_aliases, stage_with_refs
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
      sharding: how it lies over devices: a sharding, a format, or a partition spec for the mesh that `set_mesh` set. A
        program lowered for the struct takes arguments laid out so.
      weak_type: whether it yields in promotion, as a Python scalar does.
      manual_axis_type: what is known of its variation over the axes of a `shard_map`.
    Raises:
      TypeError, ValueError: an argument is of another kind.

    >>> import anima, anima.numpy as np
    >>> anima.ShapeDtypeStruct((3,), np.float32)
    ShapeDtypeStruct(shape=(3,), dtype=float32)
    """

    __slots__ = ("dtype", "manual_axis_type", "shape", "sharding", "weak_type")

    shape: tuple[int, ...]
    dtype: Any
    sharding: Sharding | None
    weak_type: bool
    manual_axis_type: Any

    def __init__(
        self,
        shape: Any,
        dtype: Any,
        *,
        sharding: Any = None,
        weak_type: bool = False,
        manual_axis_type: Any = None,
    ) -> None:
        if dtype is None:
            raise ValueError("ShapeDtypeStruct: dtype must be given")
        put = object.__setattr__
        put(self, "shape", check_shape("ShapeDtypeStruct", shape))
        put(self, "dtype", dtypes.as_dtype(dtype))
        put(self, "sharding", _checked_sharding(sharding))
        put(self, "weak_type", bool(weak_type))
        put(self, "manual_axis_type", manual_axis_type)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise RuntimeError(
            f"ShapeDtypeStruct: {name} cannot be set; update({name}=...) returns a struct with another value"
        )

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def __reduce__(self) -> Any:
        return _rebuilt, tuple([getattr(self, name) for name in self.__slots__])

    @classmethod
    def of(cls, aval: Any) -> ShapeDtypeStruct:
        """The struct for an aval."""
        return cls(aval.shape, aval.dtype, weak_type=aval.weak_type)

    @classmethod
    def like(cls, x: Any) -> ShapeDtypeStruct:
        """The struct that stands for an array, a number or another struct.

        >>> import anima, anima.numpy as np
        >>> anima.ShapeDtypeStruct.like(np.ones(3)).shape
        (3,)
        """
        aval: Any = abstract_leaf(x)
        sharding = None if isinstance(x, Tracer) else getattr(x, "sharding", None)
        return cls.of(aval).update(sharding=sharding)

    @property
    def format(self) -> Format:
        """The sharding, with the layout in memory left open."""
        return Format(None, self.sharding)

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

    def __copy__(self) -> ShapeDtypeStruct:
        return self

    def __deepcopy__(self, memo: Any) -> ShapeDtypeStruct:
        return self

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


def _rebuilt(dtype: Any, manual_axis_type: Any, shape: Any, sharding: Any, weak_type: bool) -> Any:
    return ShapeDtypeStruct(
        shape, dtype, sharding=sharding, weak_type=weak_type, manual_axis_type=manual_axis_type
    )


def _checked_sharding(sharding: Any) -> Sharding | None:
    if isinstance(sharding, Format):
        sharding = sharding.sharding
    if sharding is None or isinstance(sharding, Sharding):
        return sharding
    if isinstance(sharding, PartitionSpec):
        return on_current_mesh("ShapeDtypeStruct", sharding, TypeError)
    raise ValueError(
        f"ShapeDtypeStruct: sharding must be a Sharding, a PartitionSpec or a Format, got {sharding!r:.80}"
    )


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
    check_aliases([x for x in leaves if type(x) is Ref], f"{what} of {name_of(fun)}")
    for leaf in leaves:
        try:
            avals.append(leaf.aval if type(leaf) is Ref else abstract_leaf(leaf))
        except TypeError:
            check_inputs([leaf], fun, what, args, kwargs)
    flat = FlatFunction(fun, tree)
    jaxpr, consts, _ = stage_with_refs(flat, avals, name_of(fun), leaves=leaves)
    return ClosedJaxpr(jaxpr, consts), flat.out_tree


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes that `fun` would return, without computing anything.

    Args:
      fun: a function of arrays and pytrees of them.
      args, kwargs: its arguments: arrays, numbers, or anything with `.shape` and `.dtype`.
    Returns:
      `fun`'s result with a `ShapeDtypeStruct` for each array, and those that `fun` returned.

    >>> import anima, anima.numpy as np
    >>> anima.eval_shape(lambda x: x @ x.T, anima.ShapeDtypeStruct((3, 2), np.float32))
    ShapeDtypeStruct(shape=(3, 3), dtype=float32)
    """
    check_callable(fun, "eval_shape")
    given: dict[int, ShapeDtypeStruct] = {}  # what `fun` returned of these, by their places

    @functools.wraps(fun)
    def without_structs(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = tree_flatten(fun(*args, **kwargs))
        given.update((i, leaf) for i, leaf in enumerate(leaves) if isinstance(leaf, ShapeDtypeStruct))
        return tree_unflatten(tree, [0 if i in given else leaf for i, leaf in enumerate(leaves)])

    closed, out_tree = _trace(without_structs, args, kwargs, "eval_shape")
    found = _types(out_tree, closed)
    return tree_unflatten(out_tree, [given.get(i, struct) for i, struct in enumerate(found)])


def _types(out_tree: PyTreeDef, closed: ClosedJaxpr) -> list[ShapeDtypeStruct]:
    """The types of a function's results; those of references may follow in the program."""
    return [ShapeDtypeStruct.of(a) for a in closed.out_avals[: out_tree.num_leaves]]


def _check_axis_env(axis_env: Any) -> NamedAxes:
    try:
        pairs = [NamedAxis(name, operator.index(size)) for name, size in axis_env or ()]
    except (TypeError, ValueError):
        raise TypeError(
            f"make_jaxpr: axis_env must be a list of pairs of a name and an integer, got {axis_env!r}"
        ) from None
    if any(axis.size < 0 for axis in pairs):
        raise ValueError(f"make_jaxpr: sizes in axis_env must not be negative, got {axis_env!r}")
    return tuple(reversed(pairs))  # the last one is the innermost


def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Any = (),
    axis_env: Any = None,
    return_shape: bool = False,
) -> Callable[..., Any]:
    """A function that traces `fun` and returns its jaxpr.

    Programs know nothing of references: the values of those that `fun` uses are arguments of the jaxpr, and their last values are
    results behind its own if it writes to them.

    Args:
      static_argnums: arguments passed to `fun` as they are.
      axis_env: pairs of a name and a size: axes over which `fun` may use collectives, as if it were mapped.
      return_shape: also return the result's `ShapeDtypeStruct`s.
    Returns:
      A function with `fun`'s arguments returning a `ClosedJaxpr`.

    >>> import anima, anima.numpy as np
    >>> anima.make_jaxpr(np.sin)(np.zeros(3))
    { lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }
    """
    check_callable(fun, "make_jaxpr")
    statics = normalize_argnums(static_argnums, "make_jaxpr: static_argnums")
    axes = _check_axis_env(axis_env)

    def make(*args: Any, **kwargs: Any) -> Any:
        for number in statics:
            if not -len(args) <= number < len(args):
                raise ValueError(
                    f"make_jaxpr: static_argnums {number} is out of range: {name_of(fun)} is called with {len(args)} "
                    "positional arguments"
                )
        fixed = {n % len(args): args[n] for n in statics}

        def dynamic(*values: Any, **keywords: Any) -> Any:
            given = iter(values)
            return fun(*[fixed[i] if i in fixed else next(given) for i in range(len(args))], **keywords)

        dynamic.__name__ = name_of(fun)
        with ambient(AxisTrace(get_trace(), axes) if axes else get_trace()):
            closed, out_tree = _trace(
                dynamic if fixed else fun,
                tuple(a for i, a in enumerate(args) if i not in fixed),
                kwargs,
                "make_jaxpr",
            )
        shown = ClosedJaxpr(mark_dropped(closed.jaxpr), closed.consts)
        if return_shape:
            return shown, tree_unflatten(out_tree, _types(out_tree, closed))
        return shown

    return public(make, fun, "make_jaxpr")

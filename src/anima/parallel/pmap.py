"""`pmap` and `smap`: a function mapped over an axis of its arguments, one example, or one block of them, on each device.

Invariant: both are `shard_map`. A `pmap` has a mesh of its own, of as many devices as there are examples, and keeps one compiled
program for each structure of its arguments, mapped axes, static values and number of examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from anima._native import PyTreeDef, tree_unflatten
from anima.core import hooks
from anima.core.aval import array_aval
from anima.core.trace import Tracer, aval_of, get_trace
from anima.lax.shape import expand_dims, squeeze
from anima.lax.slicing import index_in_dim
from anima.parallel.shard_map import Infer, shard_map
from anima.runtime.devices import devices as all_devices
from anima.runtime.layout import put_sharded
from anima.runtime.sharded import own_sharding
from anima.sharding import Mesh, NamedSharding, PartitionSpec
from anima.transforms.arguments import (
    check_callable,
    check_inputs,
    flatten_for_program,
    leaf_names,
    name_of,
    normalize_argnums,
)
from anima.transforms.jit import Static, jit
from anima.transforms.stages import Lowered
from anima.tree.compare import flatten_axes
from anima.tree_util import tree_map

_MAX_PROGRAMS = 256  # kept for one function
_AXIS = "_pmap"  # the name of an axis to which the user gives none


def pmap(
    fun: Callable[..., Any],
    axis_name: Any = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Iterable[int] = (),
    devices: Sequence[Any] | None = None,
    backend: str | None = None,
    axis_size: int | None = None,
    donate_argnums: int | Iterable[int] = (),
) -> Any:
    """`fun` mapped over an axis of its arguments, each example on a device of its own.

    Args:
      fun: a function of one example.
      axis_name: by which collectives inside know the axis.
      in_axes: which axis of each argument is mapped: an integer, None (the argument is the same for all), or a tuple with one
        for each positional argument, which may be tree prefixes. Keyword arguments are mapped over axis 0.
      out_axes: where the axis is in the results, likewise; None takes the result of the first device.
      static_broadcasted_argnums: positional arguments that are settings: hashable, seen by `fun` as they are.
      devices: which devices to use, the first ones by default.
      backend: the platform whose devices are used.
      axis_size: the number of examples, which arguments say, too.
      donate_argnums: arguments whose memory the results may reuse.
    Returns:
      A function of arrays of all examples.
    Raises:
      ValueError: no argument is mapped, they differ in size, or there are too few devices; the message names the argument.

    >>> import anima, anima.numpy as np
    >>> print(anima.pmap(lambda x: x + anima.lax.psum(x, "i"), axis_name="i")(np.ones((1, 2))))
    [[2. 2.]]
    """
    check_callable(fun, "pmap")
    return _PMapped(
        fun,
        axis_name=_AXIS if axis_name is None else axis_name,
        in_axes=in_axes,
        out_axes=out_axes,
        statics=_numbers(static_broadcasted_argnums, "pmap: static_broadcasted_argnums"),
        devices=list(devices) if devices is not None else None,
        backend=backend,
        axis_size=axis_size,
        donated=_numbers(donate_argnums, "pmap: donate_argnums"),
    )


def _numbers(value: Any, what: str) -> tuple[int, ...]:
    return normalize_argnums(value if hasattr(value, "__index__") else tuple(value), what)


class _Parts:
    """A call's arguments taken apart: the leaves of those that are not static, and what a program depends on."""

    __slots__ = ("axes", "donated", "key", "leaves", "names", "static", "tree")

    def __init__(self, owner: _PMapped, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        places = {n % len(args) if args else n for n in owner.statics}
        self.static = {i: arg for i, arg in enumerate(args) if i in places}
        dynamic = tuple([arg for i, arg in enumerate(args) if i not in places])
        given, leaves, self.tree = flatten_for_program((dynamic, kwargs))
        dynamic, kwargs = given
        self.names = lambda: leaf_names(owner.fun, dynamic, kwargs)
        self.leaves = check_inputs(leaves, owner.fun, "pmap", dynamic, kwargs)
        of_args, of_kwargs = self.tree.children()
        in_axes = owner.in_axes
        if isinstance(in_axes, (tuple, list)):
            in_axes = tuple([axis for i, axis in enumerate(in_axes) if i not in places])
        found = flatten_axes("pmap in_axes", of_args, in_axes, of=f"the arguments of {owner.name}")
        self.axes = tuple(
            [
                owner.axis_of(x, axis, i, self)
                for i, (x, axis) in enumerate(zip(self.leaves, [*found, *[0] * of_kwargs.num_leaves]))
            ]
        )
        counts = [tree.num_leaves for tree in of_args.children()]
        positions = [i for i in range(len(args)) if i not in places]
        self.donated = tuple(
            [
                sum(counts[:k]) + j
                for k, i in enumerate(positions)
                if i in {n % len(args) for n in owner.donated}
                for j in range(counts[k])
            ]
        )
        self.key = (self.tree, self.axes, tuple([(i, Static(v)) for i, v in self.static.items()]))

    def size(self, owner: _PMapped) -> int:
        """The number of examples.

        Raises:
          ValueError: arguments do not agree on it.
        """
        sizes = [
            (i, array_aval(aval_of(x)).shape[axis])
            for i, (x, axis) in enumerate(zip(self.leaves, self.axes))
            if axis is not None
        ]
        if not sizes:
            raise ValueError(f"pmap of {owner.name}: at least one argument must have a mapped axis")
        if len({size for _, size in sizes}) > 1 or owner.axis_size not in (None, sizes[0][1]):
            names = self.names()
            listed = ", ".join([f"{names[i]} has {size}" for i, size in sizes])
            wanted = "" if owner.axis_size is None else f"; axis_size is {owner.axis_size}"
            raise ValueError(
                f"pmap of {owner.name}: mapped axes must have one size, but argument {listed}{wanted}"
            )
        return sizes[0][1]


class _PMapped:
    """The function of arrays of all examples."""

    def __init__(self, fun: Callable[..., Any], **options: Any) -> None:
        self.fun, self.name = fun, name_of(fun)
        self.axis_name: Any = options["axis_name"]
        self.in_axes, self.out_axes = options["in_axes"], options["out_axes"]
        self.statics: tuple[int, ...] = options["statics"]
        self.donated: tuple[int, ...] = options["donated"]
        self.devices, self.backend = options["devices"], options["backend"]
        self.axis_size: int | None = options["axis_size"]
        self._programs: dict[Any, tuple[Any, Mesh]] = {}
        self.__name__ = self.name
        self.__doc__ = fun.__doc__
        self.__wrapped__ = fun

    def axis_of(self, leaf: Any, axis: Any, index: int, parts: _Parts) -> int | None:
        """A mapped axis, counted from the front.

        Raises:
          TypeError, ValueError: it is none.
        """
        if axis is None:
            return None
        ndim = array_aval(aval_of(leaf)).ndim
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            raise TypeError(f"pmap in_axes must be integers or None, got {axis!r}")
        if not -ndim <= axis < ndim:
            raise ValueError(
                f"pmap of {self.name}: argument {parts.names()[index]} has {ndim} dimensions, but its entry of in_axes is {axis}"
            )
        return int(axis) % ndim

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        parts = _Parts(self, args, kwargs)
        program, mesh = self._program(parts)
        leaves = parts.leaves
        if get_trace() is None and mesh.size > 1:
            leaves = [
                x
                if isinstance(x, Tracer) or own_sharding(x) is not None
                else put_sharded(x, NamedSharding(mesh, self._spec(axis)))
                for x, axis in zip(leaves, parts.axes)
            ]
        return program(*leaves)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Lower for these arguments: has `.as_text()` and `.compile()`, a function of their leaves."""
        parts = _Parts(self, args, kwargs)
        lowered: Lowered = self._program(parts)[0].lower(*parts.leaves)
        return lowered

    def _spec(self, axis: int | None) -> PartitionSpec:
        return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, self.axis_name)

    def _mesh(self, size: int) -> Mesh:
        found = all_devices(self.backend) if self.devices is None else self.devices
        if len(found) < size:
            raise ValueError(
                f"pmap of {self.name}: there are {size} examples, but only {len(found)} devices; with vmap inside, a device "
                "takes several"
            )
        grid = np.empty(size, dtype=object)
        grid[:] = found[:size]
        return Mesh(grid, (self.axis_name,))

    def _program(self, parts: _Parts) -> tuple[Any, Mesh]:
        """The compiled function of leaves, and its mesh."""
        size = parts.size(self)
        key = (size, parts.key)
        known = self._programs.get(key)
        if known is None:
            if len(self._programs) >= _MAX_PROGRAMS:
                self._programs.pop(next(iter(self._programs)))
            mesh = self._mesh(size)
            known = self._programs[key] = self._made(parts, mesh), mesh
        return known

    def _made(self, parts: _Parts, mesh: Mesh) -> Any:
        static, tree, axes = parts.static, parts.tree, parts.axes
        trees: list[PyTreeDef] = []
        out_axes: list[int | None] = []

        def example(*leaves: Any) -> list[Any]:
            own = [x if axis is None else squeeze(x, (axis,)) for x, axis in zip(leaves, axes)]
            args, kwargs = tree_unflatten(tree, own)
            given = iter(args)
            count = len(args) + len(static)
            result = self.fun(*[static[i] if i in static else next(given) for i in range(count)], **kwargs)
            _, outs, out_tree = flatten_for_program(result)
            trees[:] = [out_tree]
            out_axes[:] = flatten_axes(
                "pmap out_axes", out_tree, self.out_axes, of=f"the result of {self.name}"
            )
            return [expand_dims(x, (0,)) for x in outs]

        example.__name__ = self.name
        mapped = shard_map(
            example,
            mesh=mesh,
            in_specs=tuple([self._spec(axis) for axis in axes]),
            out_specs=PartitionSpec(self.axis_name),
            check_vma=False,
        )

        def whole(*leaves: Any) -> Any:
            outs = mapped(*leaves)
            return tree_unflatten(trees[0], [_placed(x, axis) for x, axis in zip(outs, out_axes)])

        whole.__name__ = self.name
        return jit(whole, donate_argnums=parts.donated)


def _placed(x: Any, axis: int | None) -> Any:
    """A result, which has the mapped axis in front, with it where it belongs."""
    if axis is None:
        return index_in_dim(x, 0, 0, keepdims=False)
    ndim = array_aval(aval_of(x)).ndim
    if not -ndim <= axis < ndim:
        raise ValueError(f"pmap: an entry of out_axes is {axis}, but the result has {ndim} dimensions")
    return x if axis == 0 else hooks.move_axis(x, 0, axis % ndim)


def smap(f: Any = None, /, *, in_axes: Any = Infer, out_axes: Any, axis_name: Any) -> Any:
    """`f` mapped over blocks of an axis of its arguments, which one axis of the current mesh splits.

    Args:
      f: a function of one device's blocks. Left out, the result is a decorator.
      in_axes: which axis of each argument is split: an integer, None, or a tuple with one for each argument.
      out_axes: along which axis the blocks of the results lie, likewise; None says that they are the same on all devices.
      axis_name: the axis of the mesh.
    Returns:
      A function of whole arrays.
    Raises:
      TypeError, ValueError: as `shard_map` does.

    >>> import anima, anima.numpy as np
    >>> with anima.set_mesh(anima.make_mesh((1,), ("x",))):
    ...     print(anima.smap(lambda x: 2 * x, in_axes=0, out_axes=0, axis_name="x")(np.arange(2.0)))
    [0. 2.]
    """
    if f is None:
        return lambda g: smap(g, in_axes=in_axes, out_axes=out_axes, axis_name=axis_name)
    if isinstance(axis_name, (tuple, list)):
        raise TypeError(f"smap: axis_name must be one axis of the mesh, got {axis_name!r}")

    def spec(axis: Any) -> PartitionSpec:
        if axis is None:
            return PartitionSpec()
        if isinstance(axis, bool) or not hasattr(axis, "__index__") or axis < 0:
            raise TypeError(f"smap: axes must be integers that are not negative, or None, got {axis!r}")
        return PartitionSpec(*[None] * int(axis), axis_name)

    def specs(axes: Any) -> Any:
        return tree_map(spec, axes, is_leaf=lambda x: x is None)

    return shard_map(
        f,
        in_specs=in_axes if in_axes is Infer else specs(in_axes),
        out_specs=specs(out_axes),
        axis_names={axis_name},
    )

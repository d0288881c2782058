"""`shard_map`: a function of one device's blocks, performed by all devices of a mesh.

Invariant: specs are checked against arguments and results before anything is bound; messages name the argument or the part
of the result. The function is traced once for each signature: called outside of all transformations, it runs as `jit` of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.config import disable_jit
from anima.core import variance
from anima.core.aval import Axes, array_aval, no_axes
from anima.core.jaxpr import ClosedJaxpr
from anima.core.trace import Tracer, aval_of, get_trace
from anima.interpreters.stage import hoist_consts, stage
from anima.lax.control.bodies import leaf_path
from anima.lax.control.programs import outputs_varying
from anima.parallel.shard_map_primitive import Specs, block_aval, inside, shard_map_p
from anima.runtime.layout import put_sharded
from anima.runtime.sharded import own_sharding
from anima.sharding import (
    AbstractMesh,
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
    get_abstract_mesh,
    get_mesh,
)
from anima.sharding.mesh import within_mesh
from anima.sharding.spec import entry_axes
from anima.transforms.arguments import (
    FlatFunction,
    check_callable,
    check_inputs,
    flatten_for_program,
    leaf_names,
    name_of,
    public,
)
from anima.transforms.jit import jit
from anima.tree.compare import flatten_axes
from anima.tree_util import keystr, tree_leaves_with_path


class _Infer:
    """The specs of the arguments' own shardings."""

    def __repr__(self) -> str:
        return "Infer"


Infer = _Infer()
_NOT_GIVEN: Any = object()
_WHOLE = PartitionSpec()


def shard_map(
    f: Any = None,
    /,
    *,
    out_specs: Any,
    in_specs: Any = Infer,
    mesh: Mesh | AbstractMesh | None = None,
    axis_names: Any = frozenset(),
    check_vma: bool = True,
) -> Any:
    """`f`, a function of one device's blocks of arrays, performed by each device of a mesh.

    Inside, arrays are the blocks that the device has, and collectives such as `lax.psum` speak with the other devices by the
    names of the mesh's axes. Left out, `f` is what the result decorates.

    Args:
      f: a function of arrays and pytrees of them.
      out_specs: how the blocks that `f` returns make up the results: a `PartitionSpec`, or a tree prefix of them. Along the
        axes that a spec leaves out, the devices must return the same.
      in_specs: how the arguments are cut into blocks, likewise, as a tuple with one for each argument; None stands for
        `PartitionSpec()`. Left out, arguments are cut as they lie, which needs axes of type `Explicit`.
      mesh: the devices; by default those of the current mesh.
      axis_names: the axes of the mesh that `f` is written for, by default all. Over the others the compiler still splits.
      check_vma: whether types say along which axes values vary, so that a result which is not the same on all devices is
        refused where it must be, and `grad` inside `f` sums over the devices what they share.
    Returns:
      A function of whole arrays.
    Raises:
      TypeError, ValueError: specs do not fit the mesh, the arguments or the results; the message says where.

    >>> import anima, anima.numpy as np
    >>> from anima import P, lax
    >>> mesh = anima.make_mesh((1,), ("x",))
    >>> total = anima.shard_map(lambda x: lax.psum(x.sum(), "x"), mesh=mesh, in_specs=P("x"), out_specs=P())
    >>> print(total(np.arange(4.0)))
    6.0
    """
    if f is None:
        return functools.partial(
            shard_map,
            out_specs=out_specs,
            in_specs=in_specs,
            mesh=mesh,
            axis_names=axis_names,
            check_vma=check_vma,
        )
    check_callable(f, "shard_map")
    mapped = _Mapped(f, mesh, in_specs, out_specs, axis_names, bool(check_vma))
    return public(mapped, f, "shard_map")


class _Mapped:
    """The function of whole arrays."""

    def __init__(
        self, fun: Callable[..., Any], mesh: Any, in_specs: Any, out_specs: Any, axis_names: Any, check: bool
    ) -> None:
        if mesh is not None and not isinstance(mesh, (Mesh, AbstractMesh)):
            raise TypeError(
                f"shard_map: mesh must be a Mesh or an AbstractMesh, got {mesh!r:.80} of type {type(mesh).__name__}"
            )
        self.fun, self.name, self.check = fun, name_of(fun), check
        self.mesh, self.in_specs, self.out_specs = mesh, in_specs, out_specs
        self.axis_names = _as_axes(axis_names)
        self.__name__ = self.name
        if mesh is not None:
            self._resolve()  # what is wrong with the specs is said where they are written
        self._compiled = jit(self._call)
        self._inferred: dict[Any, _Mapped] = {}

    def __call__(self, *args: Any) -> Any:
        if self.in_specs is Infer:
            return self._as_they_lie(args)(*args)
        if get_trace() is not None or disable_jit.value:
            return self._call(*args)
        mesh, _, _ = self._resolve()
        if not isinstance(mesh, Mesh) or mesh.size < 2:
            return self._compiled(*args)
        args, leaves, tree = flatten_for_program(args)
        leaves = check_inputs(leaves, self.fun, "shard_map", args, {})
        placed = [  # each device gets its own block alone
            x
            if isinstance(x, Tracer) or own_sharding(x) is not None
            else put_sharded(x, NamedSharding(mesh, spec))
            for x, spec in zip(leaves, self._specs_of(args, leaves, tree, mesh))
        ]
        return self._compiled(*tree_unflatten(tree, placed))

    def _as_they_lie(self, args: tuple[Any, ...]) -> _Mapped:
        """The function for arguments that are cut as they lie.

        Raises:
          TypeError: it is not known how they do.
        """
        mesh, _, _ = self._resolve()
        args, leaves, tree = flatten_for_program(args)
        specs = []
        for index, leaf in enumerate(leaves):
            if isinstance(leaf, Tracer):
                name = leaf_names(self.fun, args, {})[index]
                raise TypeError(
                    f"shard_map of {self.name}: how argument {name} lies is not known while tracing; give its spec in in_specs"
                )
            specs.append(_own_spec(leaf, mesh))
        key = (tree, tuple(specs))
        known = self._inferred.get(key)
        if known is None:
            in_specs = tree_unflatten(tree, specs)
            known = self._inferred[key] = _Mapped(
                self.fun, self.mesh, in_specs, self.out_specs, self.axis_names, self.check
            )
        return known

    def _resolve(self) -> tuple[Any, Axes, Axes]:
        """The mesh, the axes that become manual, and those that are so already.

        Raises:
          ValueError: there is no mesh, or it does not have the axes.
        """
        around = get_abstract_mesh()
        mesh = self.mesh
        if mesh is None:
            mesh = get_mesh() if not get_mesh().empty else around
            if mesh.empty:
                raise ValueError(
                    f"shard_map of {self.name}: there is no mesh; pass mesh=, or make one the current mesh with set_mesh"
                )
        already = frozenset(around.manual_axes) if around.shape_tuple == mesh.shape_tuple else no_axes
        already |= frozenset(mesh.manual_axes)
        if unknown := self.axis_names - frozenset(mesh.axis_names):
            raise ValueError(
                f"shard_map of {self.name}: axis_names has {variance.names(unknown)}, which the mesh does not have; its axes are "
                f"{mesh.axis_names}"
            )
        if both := self.axis_names & already:
            raise ValueError(
                f"shard_map of {self.name}: the axes {variance.names(both)} of axis_names are manual already, by a shard_map around"
            )
        manual = self.axis_names or frozenset(mesh.axis_names) - already
        if not manual:
            raise ValueError(
                f"shard_map of {self.name}: all axes of the mesh, {variance.names(already)}, are manual already, by a shard_map around"
            )
        for what, specs in (("in_specs", self.in_specs), ("out_specs", self.out_specs)):
            _check_specs(self.name, what, specs, mesh, manual)
        if self.in_specs is Infer and not all([kind is AxisType.Explicit for kind in _types(mesh, manual)]):
            raise TypeError(
                f"shard_map of {self.name}: in_specs is needed, a PartitionSpec for each argument, since not all of the axes "
                f"{variance.names(manual)} are of type Explicit"
            )
        return mesh, manual, already

    def _specs_of(self, args: Any, leaves: Sequence[Any], tree: PyTreeDef, mesh: Any) -> list[PartitionSpec]:
        """The spec of each leaf of the arguments.

        Raises:
          ValueError: they do not fit.
        """
        given = self.in_specs
        if isinstance(given, list):
            given = tuple(given)
        found = flatten_axes(
            "shard_map in_specs", tree, given, of=f"the arguments of {self.name}", is_leaf=_is_spec
        )
        specs = [_WHOLE if spec is None else spec for spec in found]
        for index, (leaf, spec) in enumerate(zip(leaves, specs)):
            shape = array_aval(aval_of(leaf)).shape
            problem = _misfit(shape, spec, mesh)
            if problem:
                name = leaf_names(self.fun, args, {})[index]
                raise ValueError(f"shard_map: argument {name} of {self.name} {problem}")
        return specs

    def _call(self, *args: Any) -> Any:
        mesh, manual, already = self._resolve()
        args, leaves, tree = flatten_for_program(args)
        leaves = check_inputs(leaves, self.fun, "shard_map", args, {})
        specs = self._specs_of(args, leaves, tree, mesh)
        if self.check:
            variance.watch()
        avals = [block_aval(aval_of(x), spec, mesh, self.check) for x, spec in zip(leaves, specs)]
        flat = FlatFunction(
            self.fun, tree_flatten((tuple(tree_unflatten(tree, leaves)), {}))[1], for_program=True
        )
        names = lambda: leaf_names(self.fun, args, {})
        with inside(mesh, manual, self.check), within_mesh(mesh, manual | already):
            jaxpr, consts = stage(flat, avals, self.name, names)
        closed = ClosedJaxpr(hoist_consts(jaxpr), [])
        out_specs = self._out_specs(closed, flat.out_tree, manual)
        if self.check:
            with inside(mesh, manual, self.check):
                closed = outputs_varying(closed, [frozenset(spec.axes()) for spec in out_specs])
        outs = shard_map_p.bind(
            *consts,
            *leaves,
            jaxpr=closed,
            mesh=mesh,
            manual=manual,
            in_specs=(*[_WHOLE] * len(consts), *specs),
            out_specs=out_specs,
            check=self.check,
        )
        return tree_unflatten(flat.out_tree, outs)

    def _out_specs(self, closed: ClosedJaxpr, tree: PyTreeDef, manual: Axes) -> Specs:
        """The spec of each leaf of the result.

        Raises:
          ValueError: they do not fit, or say that the devices return the same where that is not known.
        """
        found = flatten_axes(
            "shard_map out_specs", tree, self.out_specs, of=f"the result of {self.name}", is_leaf=_is_spec
        )
        specs = tuple([_WHOLE if spec is None else spec for spec in found])
        for index, (aval, spec) in enumerate(zip(closed.out_avals, specs)):
            array = array_aval(aval)
            path = leaf_path(tree, index)
            where = f"shard_map: the result of {self.name}" + (f" at {path}" if path else "")
            if len(spec) > array.ndim:
                raise ValueError(
                    f"{where} has {array.ndim} dimensions, but its out_specs entry {spec} is for at least {len(spec)}"
                    + ("; for a scalar that is the same on all devices use P()" if not array.ndim else "")
                )
            if wrong := (array.varying & manual) - frozenset(spec.axes()):
                axes = variance.names(wrong)
                raise ValueError(
                    f"{where} may differ between the devices along the mesh axes {axes}, but its out_specs entry {spec}, which "
                    f"does not name them, says that it is the same. Name {axes} in out_specs, to get the blocks of all devices; "
                    f"or combine them, as with lax.psum(..., ({axes},)); or, where they are equal for a reason that types do "
                    "not show, pass check_vma=False (check_rep=False in the older form)."
                )
        return specs


def _as_axes(axis_names: Any) -> Axes:
    if isinstance(axis_names, str):
        return frozenset([axis_names])
    try:
        return frozenset(axis_names)
    except TypeError:
        raise TypeError(f"shard_map: axis_names must be a set of names, got {axis_names!r}") from None


def _types(mesh: Any, manual: Axes) -> list[AxisType]:
    return [kind for name, kind in zip(mesh.axis_names, mesh.axis_types) if name in manual]


def _is_spec(x: Any) -> bool:
    return x is None or isinstance(x, PartitionSpec)


def _check_specs(name: str, what: str, specs: Any, mesh: Any, manual: Axes) -> None:
    """Raise unless a tree of specs is one, over manual axes of the mesh."""
    if specs is Infer:
        return
    for path, spec in tree_leaves_with_path(specs, is_leaf=_is_spec):
        where = f"shard_map of {name}: {what}{keystr(path)}"
        if spec is None:
            continue
        if not isinstance(spec, PartitionSpec):
            raise TypeError(f"{where} must be a PartitionSpec, such as P('x', None), got {spec!r:.80}")
        if spec.unconstrained_dims():
            raise ValueError(f"{where} is {spec}: a spec of shard_map leaves nothing to the compiler")
        axes: list[Hashable] = spec.axes()
        for axis in axes:
            if axis not in mesh.axis_names:
                raise ValueError(
                    f"{where} is {spec}, but the mesh has no axis {axis!r}; its axes are {mesh.axis_names}"
                )
            if axis not in manual:
                raise ValueError(
                    f"{where} is {spec}, but the axis {axis!r} is not one of those that become manual, {variance.names(manual)}; "
                    "add it to axis_names, or leave it out of the spec"
                )
            if axes.count(axis) > 1:
                raise ValueError(f"{where} is {spec}, which uses the axis {axis!r} twice")


def _misfit(shape: tuple[int, ...], spec: PartitionSpec, mesh: Any) -> str:
    """What is wrong with a spec for an array of this shape; empty if nothing is."""
    if len(spec) > len(shape):
        return (
            f"has {len(shape)} dimensions, of shape {shape}, but its in_specs entry {spec} is for at least {len(spec)}; make the "
            "spec shorter"
        )
    for dim, (size, entry) in enumerate(zip(shape, spec)):
        count = 1
        for axis in entry_axes(entry):
            count *= mesh.shape[axis]
        if size % count:
            sizes = ", ".join([f"{axis!r} of size {mesh.shape[axis]}" for axis in entry_axes(entry)])
            return (
                f"has the shape {shape}, of which dimension {dim} of size {size} cannot be cut into {count} equal blocks, as its "
                f"in_specs entry {spec} says (over the mesh axes {sizes}); pad it, or use another spec"
            )
    return ""


def _own_spec(leaf: Any, mesh: Any) -> PartitionSpec:
    own = own_sharding(leaf)
    if isinstance(own, NamedSharding) and own.mesh.shape_tuple == mesh.shape_tuple:
        return own.spec
    return _WHOLE

"""What an exported function is, and calls of it.

Invariant: the program is the text of one module for each platform, whose `main` takes the leaves of the arguments and returns
those of the result, in order, but those of dtype `float0`, which have no memory. Large constants are arrays beside the text, the
last arguments of its `main`: who calls it passes them on, for XLA is slow to compile large literals. Inside of a program
that calls it, its functions become functions of that program, under other names.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.effects import Effects, IOEffect, no_effects
from anima.core.primitive import Missing, Primitive
from anima.core.trace import aval_of
from anima.export.writing import to_bytes
from anima.interpreters.flat import is_float0
from anima.lowering.module import Context, Value
from anima.lowering.symbols import symbol, with_literals
from anima.lowering.types import dense
from anima.records import Record
from anima.transforms.arguments import check_inputs
from anima.transforms.custom_vjp import custom_vjp
from anima.tree.compare import treedef_differences
from anima.tree_util import keystr, tree_leaves_with_path

# How `main` is called. JAX's version of this number has arguments for platforms and tokens, which are never needed here.
minimum_supported_calling_convention_version = 10
maximum_supported_calling_convention_version = 10

_GPUS = {"gpu": ("cuda", "rocm")}


class DisabledSafetyCheck:
    """A check of exporting, or of calling what was exported, that is left out.

    `DisabledSafetyCheck.custom_call("name")` lets a program call a target that may be absent, or another one, where it is
    loaded; `DisabledSafetyCheck.platform()` lets it run on another platform than it was exported for.

    >>> from anima.export import DisabledSafetyCheck
    >>> DisabledSafetyCheck.custom_call("my_target")
    DisabledSafetyCheck('custom_call:my_target')
    """

    __slots__ = ("_impl",)

    def __init__(self, _impl: str) -> None:
        if _impl != "platform" and not str(_impl).startswith("custom_call:"):
            raise ValueError(f"DisabledSafetyCheck: there is no check {_impl!r:.80}")
        self._impl = _impl

    @classmethod
    def platform(cls) -> DisabledSafetyCheck:
        """Of the platform that the program runs on."""
        return cls("platform")

    @classmethod
    def custom_call(cls, target_name: str) -> DisabledSafetyCheck:
        """Of calls of the target."""
        return cls(f"custom_call:{target_name}")

    def is_custom_call(self) -> str | None:
        """The target, if it is about calls of one."""
        return self._impl.partition(":")[2] or None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DisabledSafetyCheck) and self._impl == other._impl

    def __hash__(self) -> int:
        return hash(self._impl)

    def __str__(self) -> str:
        return self._impl

    def __repr__(self) -> str:
        return f"DisabledSafetyCheck({self._impl!r})"


class Module(Record):
    """A program for a platform: its text, and the constants that its `main` takes after its arguments."""

    text: str
    constants: tuple[np.ndarray[Any, Any], ...]

    def whole(self) -> str:
        """The text of a program with its constants in it."""
        if not self.constants:
            return self.text
        return with_literals(self.text, [dense(constant) for constant in self.constants])


class Exported:
    """A function as StableHLO; `export` makes it, `deserialize` loads it.

    Attributes:
      fun_name: what messages call it.
      in_tree, out_tree: the structure of the arguments, a pair of a tuple and a dict, and that of the result.
      in_avals, out_avals: the types of their leaves.
      platforms: for which it was exported.
      nr_devices: on how many devices it runs: 1.
      ordered_effects, unordered_effects: what it does besides computing its result.
      disabled_safety_checks: checks that are left out.
      calling_convention_version: how the module's `main` is called.
      module_kept_var_idx: which leaves of the arguments the module takes: those that have memory.
      uses_global_constants: False: there are no symbolic dimensions.
      in_shardings_hlo, out_shardings_hlo: None for each leaf: there is one device.

    >>> import anima, anima.numpy as np
    >>> exported = anima.export.export(anima.jit(np.sin))(np.ones(3))
    >>> exported
    Exported(fun_name=sin, in_avals=(ShapedArray(float32[3]),), out_avals=(ShapedArray(float32[3]),), platforms=('cpu',))
    >>> print(exported.call(np.zeros(3)))
    [0. 0. 0.]
    """

    nr_devices = 1
    uses_global_constants = False
    ordered_effects: tuple[Any, ...] = ()

    def __init__(
        self,
        fun_name: str,
        trees: tuple[PyTreeDef, PyTreeDef],
        avals: tuple[Sequence[ShapedArray], Sequence[ShapedArray]],
        modules: dict[str, Module],
        *,
        effect: bool = False,
        disabled_safety_checks: Sequence[DisabledSafetyCheck] = (),
        get_vjp: Callable[[], Exported] | None = None,
    ) -> None:
        self.fun_name = fun_name
        self.in_tree, self.out_tree = trees
        self.in_avals, self.out_avals = tuple(avals[0]), tuple(avals[1])
        self.platforms = tuple(modules)
        self.unordered_effects: tuple[Any, ...] = (IOEffect(),) if effect else ()
        self.disabled_safety_checks = tuple(disabled_safety_checks)
        self.calling_convention_version = maximum_supported_calling_convention_version
        self.module_kept_var_idx = tuple([i for i, a in enumerate(self.in_avals) if has_memory(a)])
        self.in_shardings_hlo = (None,) * len(self.in_avals)
        self.out_shardings_hlo = (None,) * len(self.out_avals)
        self._modules = modules
        self._get_vjp = get_vjp
        self._vjp: Exported | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return (
            f"Exported(fun_name={self.fun_name}, in_avals={self.in_avals}, out_avals={self.out_avals}, "
            f"platforms={self.platforms})"
        )

    def mlir_module(self, serialized: bool = True) -> str:
        """The text of the program. For several platforms it is a module of modules, named after them.

        Args:
          serialized: without effect: there is one form.
        """
        if len(self.platforms) == 1:
            return self._modules[self.platforms[0]].whole()
        inner = [
            re.sub(r"^module @\w+", f"module @{symbol(platform)}", module.whole())
            for platform, module in self._modules.items()
        ]
        return f"module {{\n{''.join(inner)}}}\n"

    @property
    def mlir_module_serialized(self) -> bytes:
        """The text of the program in UTF-8."""
        return self.mlir_module().encode()

    def in_shardings_jax(self, mesh: Any) -> tuple[None, ...]:
        """How the leaves of the arguments lie on a mesh: nothing is said."""
        return self.in_shardings_hlo

    def out_shardings_jax(self, mesh: Any) -> tuple[None, ...]:
        """How the leaves of the result lie on a mesh: nothing is said."""
        return self.out_shardings_hlo

    def has_vjp(self) -> bool:
        """Whether the derivative is known: after loading it is if it was stored."""
        return self._get_vjp is not None

    def vjp(self) -> Exported:
        """The exported function that carries cotangents back.

        It takes the leaves of the arguments, then a cotangent for each leaf of the result, and returns a tuple with a cotangent for
        each leaf of the arguments. Where leaves are of integers, cotangents are of dtype `float0`.

        Raises:
          ValueError: it is not known.

        >>> import anima, anima.numpy as np
        >>> exported = anima.export.export(anima.jit(np.sin))(np.ones(()))
        >>> print(exported.vjp().call(0.0, 2.0))
        (DeviceArray(2., dtype=float32),)
        """
        if self._get_vjp is None:
            raise ValueError(
                f"the exported function '{self.fun_name}' has no derivative: none was stored with it; pass vjp_order=1 to serialize"
            )
        with self._lock:
            if self._vjp is None:
                self._vjp = self._get_vjp()
            return self._vjp

    def serialize(self, vjp_order: int = 0) -> bytearray:
        """The function as bytes, for `deserialize`.

        Args:
          vjp_order: how many derivatives to store with it: with 1 it can be differentiated once where it is loaded.
        Raises:
          ValueError: the order is negative, or there are not as many derivatives; a node of the arguments or of the result is of a
            class that is not registered (`register_pytree_node_serialization`). TypeError: the order is no integer.
        """
        return to_bytes(self, vjp_order)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, alone or in another program.

        Args:
          args, kwargs: of the structure, the shapes and the dtypes that it was exported for.
        Returns:
          The result, as the function returned it.
        Raises:
          ValueError: an argument differs, or the platform is another. `grad` works as far as derivatives are known; forward mode
            and `vmap` raise: export the derivative or the batched function instead.
        """
        leaves, tree = tree_flatten((args, kwargs))
        if tree != self.in_tree:
            differences = "; ".join(
                [d.message("called", "exported") for d in treedef_differences(tree, self.in_tree)]
            )
            raise ValueError(
                f"the arguments must have the structure for which '{self.fun_name}' was exported: {differences}"
            )
        leaves = check_inputs(leaves, self._differentiable, "Exported.call", args, kwargs)
        for index, (leaf, aval) in enumerate(zip(leaves, self.in_avals)):
            found = np.dtype(leaf.dtype) if isinstance(leaf, np.ndarray) else aval_of(leaf).dtype  # type: ignore[attr-defined]
            for what, called, exported in (
                ("Shape", np.shape(leaf), aval.shape),
                ("Dtype", found, aval.dtype),
            ):
                if called != exported:
                    path = tree_leaves_with_path((args, kwargs))[index][0]
                    where = f"{'kwargs' if path[0] == _KWARGS else 'args'}{keystr(path[1:])}"
                    raise ValueError(
                        f"{what} mismatch for {where} of '{self.fun_name}': it was exported for {exported} and is called with {called}"
                    )
        return tree_unflatten(self.out_tree, self._differentiable(*leaves))

    @functools.cached_property
    def _differentiable(self) -> Any:
        """The call on leaves, with its derivative."""
        outs = self.out_avals
        kept = self.module_kept_var_idx

        def primal(*leaves: Any) -> tuple[Any, ...]:
            found = iter(call_exported_p.bind(*[leaves[i] for i in kept], exported=self))
            return tuple([next(found) if has_memory(a) else no_memory(a.shape) for a in outs])

        def forward(*leaves: Any) -> tuple[Any, Any]:
            return function(*leaves), leaves  # not `primal`, so that derivatives have derivatives

        def backward(leaves: Any, cotangents: Any) -> tuple[Any, ...]:
            found = self.vjp().call(*leaves, *cotangents)
            return tuple([None if is_float0(ct) else ct for ct in found])

        primal.__name__ = self.fun_name
        function = custom_vjp(primal)
        function.defvjp(forward, backward)
        return function


_KWARGS = tree_leaves_with_path((None, 1))[0][0][0]


def has_memory(aval: Any) -> bool:
    """Whether a program has a value for it: not for `float0`, the dtype of cotangents of integers."""
    return bool(aval.dtype != dtypes.float0)


def no_memory(shape: Sequence[int]) -> Any:
    """The array of dtype `float0` of this shape."""
    return np.zeros(tuple(shape), dtypes.float0)


# --- the operation ----------------------------------------------------------------------------


def _shape(*avals: AbstractValue, exported: Exported) -> list[Any]:
    return [aval for aval in exported.out_avals if has_memory(aval)]


def _effects(*avals: AbstractValue, exported: Exported) -> Effects:
    return frozenset(exported.unordered_effects) if exported.unordered_effects else no_effects


def _lower(ctx: Context, *operands: Value, exported: Exported) -> list[Value]:
    module = _for_platform(exported, ctx.module.platform)
    if ctx.module.partitions > 1:
        raise ValueError(
            f"'{exported.fun_name}' was exported for one device, but the program that calls it runs on {ctx.module.partitions}"
        )
    avals = ctx.out_avals
    constants = [ctx.constant(array, ShapedArray(array.shape, array.dtype)) for array in module.constants]
    operands = (*operands, *constants)
    results = [ctx.new(aval) for aval in avals]
    names, types = ", ".join([v.name for v in operands]), ", ".join([v.type for v in operands])
    left = ", ".join([v.name for v in results]) + " = " if results else ""
    main = ctx.module.embedded(exported, module.text)
    ctx.line(f"{left}func.call @{main}({names}) : ({types}) -> ({', '.join([v.type for v in results])})")
    return results


def _for_platform(exported: Exported, platform: str) -> Module:
    modules = exported._modules
    for name, module in modules.items():
        if platform == name or platform in _GPUS.get(name, ()):
            return module
    if DisabledSafetyCheck.platform() in exported.disabled_safety_checks:
        return next(iter(modules.values()))
    raise ValueError(
        f"'{exported.fun_name}' was exported for {', '.join(modules)}, but it is used on {platform}; export it for that platform, too"
    )


call_exported_p = Primitive(
    "call_exported",
    shape=_shape,
    lower=_lower,
    jvp=Missing("exported functions have derivatives in reverse mode only"),
    transpose=Missing("an exported function is not known to be linear"),
    batch=Missing(
        "an exported function is for the shapes that it was exported for: export the batched function"
    ),
    effects=_effects,
    multiple_results=True,
)

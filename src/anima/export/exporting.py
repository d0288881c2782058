"""From a jitted function to an exported one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import CompiledCall, array_with, tree_flatten
from anima.core.aval import ShapedArray, array_aval, physical_aval, tangent_dtype
from anima.core.effects import has_ordered, reaches_host
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.export.exported import DisabledSafetyCheck, Exported, Module, has_memory, no_memory
from anima.extend.hlo import quoted
from anima.interpreters.dce import without_dead
from anima.lowering.module import lower_module
from anima.runtime.devices import default_device
from anima.runtime.sharded import ShardedProgram
from anima.transforms.autodiff import vjp
from anima.transforms.jit import jit
from anima.transforms.shapes import ShapeDtypeStruct

_TARGET = re.compile(r'call_target_name = ("(?:[^"\\]|\\.)*")')


def default_export_platform() -> str:
    """The platform of the default device: "cpu", "cuda", "rocm", "tpu", or what a plugin calls itself.

    >>> from anima.export import default_export_platform
    >>> default_export_platform()
    'cpu'
    """
    return default_device().platform


def export(
    fun_jit: Callable[..., Any],
    *,
    platforms: Sequence[str] | None = None,
    disabled_checks: Sequence[DisabledSafetyCheck] = (),
) -> Callable[..., Exported]:
    """Make a function that exports a jitted one.

    Args:
      fun_jit: what `jit` returned.
      platforms: for which platforms: "cpu", "cuda", "rocm", "tpu". They need not be here. By default that of the default device.
      disabled_checks: checks that are left out.
    Returns:
      A function of the arguments of `fun_jit`: arrays, numbers, or `ShapeDtypeStruct`s that stand for them. It returns an
      `Exported`.
    Raises:
      TypeError, ValueError: an argument is none, or the function cannot be exported: it calls Python functions, or targets of which
        nothing is known (see `DisabledSafetyCheck.custom_call`), or runs on several devices.

    >>> import anima, anima.numpy as np
    >>> f = anima.jit(lambda x: 2 * x)
    >>> stored = anima.export.export(f)(anima.ShapeDtypeStruct((2,), np.float32)).serialize()
    >>> print(anima.export.deserialize(stored).call(np.ones(2)))
    [2. 2.]
    """
    if not isinstance(fun_jit, CompiledCall):
        raise ValueError(
            f"export: fun_jit must be what jit returned, got {fun_jit!r:.80}; write export(jit(f))"
        )
    jitted: Any = fun_jit
    names = _platforms(platforms)
    checks = tuple(disabled_checks)
    if not all([isinstance(check, DisabledSafetyCheck) for check in checks]):
        raise TypeError(f"export: disabled_checks must be DisabledSafetyChecks, got {disabled_checks!r:.80}")

    def do_export(*args: Any, **kwargs: Any) -> Exported:
        traced = jitted.trace(*args, **kwargs)
        if isinstance(traced.lower()._program, ShardedProgram):
            raise ValueError(
                f"export: {traced.fun_name} runs on several devices; only functions for one can be exported"
            )
        # Where a leaf is of dtype float0, the structures of `traced` have a node without leaves.
        flat = [tree_flatten(side) for side in (traced.in_avals, traced.out_avals)]
        avals = [[_aval_of(leaf) for leaf in leaves] for leaves, _ in flat]
        closed = without_dead(traced.jaxpr)
        modules = {name: _lowered(closed, traced.fun_name, name, checks) for name in names}

        def get_vjp() -> Exported:
            return _export_vjp(traced.fun_name, closed, avals[0], avals[1], names, checks)

        return Exported(
            traced.fun_name,
            (flat[0][1], flat[1][1]),
            (avals[0], avals[1]),
            modules,
            effect=reaches_host(closed.effects),
            disabled_safety_checks=checks,
            get_vjp=get_vjp,
        )

    return do_export


def _platforms(platforms: Any) -> tuple[str, ...]:
    if platforms is None:
        return (default_export_platform(),)
    if isinstance(platforms, str) or not all([isinstance(p, str) and p for p in platforms]):
        raise TypeError(
            f"export: platforms must be a sequence of names such as ['cpu'], got {platforms!r:.80}"
        )
    names = tuple(dict.fromkeys([p.lower() for p in platforms]))
    if not names:
        raise ValueError("export: platforms must have at least one name")
    return names


def _aval_of(leaf: Any) -> ShapedArray:
    if isinstance(leaf, np.ndarray):  # of dtype float0
        return ShapedArray(leaf.shape, dtypes.float0)
    return array_aval(leaf).strip_weak_type()


def _lowered(closed: ClosedJaxpr, name: str, platform: str, checks: Sequence[DisabledSafetyCheck]) -> Module:
    lowered = lower_module(closed, name=f"jit_{name}", platform=platform, exported=True)
    if lowered.held or has_ordered(closed.effects):
        raise ValueError(
            f"export: {name} calls Python functions, which stay in this process; leave out callbacks and debug.print"
        )
    known = {quoted(check.is_custom_call() or "") for check in checks}
    unknown = sorted(set(_TARGET.findall(lowered.text)) - known)
    if unknown:
        raise ValueError(
            f"export: {name} calls {unknown[0]}, which may be something else where the program is loaded; if it is there, pass "
            f"disabled_checks=[DisabledSafetyCheck.custom_call({unknown[0]})]"
        )
    return Module(lowered.text, tuple([_on_host(value, aval) for value, aval in lowered.constants]))


def _on_host(value: Any, aval: Any) -> np.ndarray[Any, Any]:
    physical = physical_aval(aval)
    if physical is not aval:  # random keys
        value = array_with(value, dtype=physical.dtype)
    return np.asarray(value).astype(physical.dtype)


def _export_vjp(
    name: str,
    closed: ClosedJaxpr,
    in_avals: Sequence[ShapedArray],
    out_avals: Sequence[ShapedArray],
    platforms: tuple[str, ...],
    checks: Sequence[DisabledSafetyCheck],
) -> Exported:
    kept = [i for i, aval in enumerate(in_avals) if has_memory(aval)]
    results = [i for i, aval in enumerate(out_avals) if has_memory(aval)]

    def backward(*leaves: Any) -> tuple[Any, ...]:
        primals, cotangents = leaves[: len(in_avals)], leaves[len(in_avals) :]
        _, pullback = vjp(
            lambda *xs: tuple(eval_jaxpr(closed.jaxpr, closed.consts, *xs)), *[primals[i] for i in kept]
        )
        found = dict(zip(kept, pullback(tuple([cotangents[i] for i in results]))))
        return tuple([found.get(i, no_memory(aval.shape)) for i, aval in enumerate(in_avals)])

    backward.__name__ = f"{name}_vjp"
    specs = [_spec(aval, aval.dtype) for aval in in_avals] + [
        _spec(a, tangent_dtype(a.dtype)) for a in out_avals
    ]
    return export(jit(backward), platforms=platforms, disabled_checks=checks)(*specs)


def _spec(aval: ShapedArray, dtype: Any) -> Any:
    return no_memory(aval.shape) if dtype == dtypes.float0 else ShapeDtypeStruct(aval.shape, dtype)

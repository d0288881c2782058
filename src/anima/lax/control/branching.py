"""Choosing among functions: at run time with `cond` and `switch`, by the platform with `platform_dependent`.

Invariant: in a program every branch is traced, whatever the choice is; only the chosen one runs, except where `vmap` maps
the index.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import PyTreeDef, tree_unflatten
from anima.config import disable_jit
from anima.core import variance
from anima.core.trace import aval_of, get_trace
from anima.errors import MissingRuleError
from anima.interpreters.jvp import concrete_of
from anima.lax.control.bodies import (
    Body,
    check_function,
    flat_call,
    operand_leaves,
    traced_body,
    with_common_consts,
)
from anima.lax.control.carries import check_branches, scalar_aval
from anima.lax.control.cond_primitive import branch_for, cond_p
from anima.lax.control.programs import all_varying, inputs_varying, outputs_varying
from anima.lax.control.references import Branches, closed_over
from anima.lax.convert import convert_element_type
from anima.lax.selection import clamp
from anima.runtime.dispatch import device_of

_NONE: Any = object()


def cond(
    pred: Any,
    true_fun: Any = _NONE,
    false_fun: Any = _NONE,
    *operands: Any,
    operand: Any = _NONE,
    true_operand: Any = _NONE,
    false_operand: Any = _NONE,
) -> Any:
    """`true_fun(*operands)` if `pred` else `false_fun(*operands)`, decided at run time.

    Also in the older form, in which each function has its own operand:
    `cond(pred, true_operand, true_fun, false_operand, false_fun)`.

    Args:
      pred: a scalar, boolean or a real number (true unless it is 0).
      true_fun, false_fun: functions whose results have the same structure, shapes and dtypes. Both are traced.
      operands: what they are called with: arrays and pytrees of them.
      operand: the only operand, by keyword.
      true_operand, false_operand: the operands of the older form, by keyword.
    Returns:
      What the chosen function returns. Under `vmap` with a mapped `pred` both run, and results are selected.
    Raises:
      TypeError: `pred` is no scalar, an operand no array, a function not callable, or results differ in type.

    >>> from anima import lax
    >>> print(lax.cond(True, lambda x: x + 1, lambda x: x - 1, 5))
    6
    >>> print(lax.cond(False, 5, lambda x: x + 1, 10, lambda x: x - 1))
    9
    """
    if true_operand is not _NONE or false_operand is not _NONE:
        return _cond(pred, (true_fun, false_fun), (true_operand, false_operand), own=True)
    if len(operands) == 2 and callable(false_fun) and callable(operands[1]) and not callable(true_fun):
        return _cond(pred, (false_fun, operands[1]), (true_fun, operands[0]), own=True)
    if operand is not _NONE:
        if operands:
            raise TypeError("cond: give operands either after the functions or as operand=, not both")
        operands = (operand,)
    return _cond(pred, (true_fun, false_fun), operands)


def _cond(pred: Any, funs: tuple[Any, Any], operands: tuple[Any, ...], own: bool = False) -> Any:
    """`funs`: what to call if true, and if false; with `own` each has only its own one of the two operands."""
    for argument, fun in zip(("true_fun", "false_fun"), funs):
        check_function("cond", argument, fun)
    aval = scalar_aval("cond", "pred", pred)
    kind = dtypes.kind_of(aval.dtype)
    if kind is None or kind == "c":
        raise TypeError(
            f"cond: pred must be a boolean or a real number, got dtype {dtypes.dtype_name(aval.dtype)}"
        )
    if disable_jit.value and (known := concrete_of(pred)) is not None:
        number = 0 if known else 1
        return funs[number](operands[number]) if own else funs[number](*operands)
    if isinstance(pred, (bool, int, float, complex, np.generic)):
        index: Any = np.int32(bool(pred))
    else:
        index = convert_element_type(convert_element_type(pred, np.bool_), np.int32)
    branches = [("false_fun", funs[1], 1 if own else None), ("true_fun", funs[0], 0 if own else None)]
    return _choose("cond", index, branches, operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any, operand: Any = _NONE) -> Any:
    """`branches[index](*operands)`, decided at run time; an index out of range is moved to the nearest end.

    Args:
      index: an integer scalar.
      branches: at least one function; their results have the same structure, shapes and dtypes. All are traced.
      operands: what they are called with: arrays and pytrees of them.
      operand: the only operand, by keyword.
    Returns:
      What the chosen function returns. Under `vmap` with a mapped `index` all run, and results are selected.
    Raises:
      TypeError: `index` is no integer scalar, a branch not callable, or results differ in type.
      ValueError: there are no branches.

    >>> from anima import lax
    >>> print(lax.switch(1, [lambda x: x, lambda x: 10 * x, lambda x: 100 * x], 7))
    70
    """
    if operand is not _NONE:
        if operands:
            raise TypeError("switch: give operands either after the branches or as operand=, not both")
        operands = (operand,)
    if not isinstance(branches, Sequence):
        raise TypeError(f"switch: branches must be a sequence of functions, got {type(branches).__name__}")
    funs = tuple(branches)
    for number, fun in enumerate(funs):
        check_function("switch", f"branches[{number}]", fun)
    if not funs:
        raise ValueError("switch: branches is empty; it must hold at least one function")
    aval = scalar_aval("switch", "index", index)
    if not dtypes.is_int(aval.dtype):
        raise TypeError(f"switch: index must be an integer, got dtype {dtypes.dtype_name(aval.dtype)}")
    last = len(funs) - 1
    if disable_jit.value and (known := concrete_of(index)) is not None:
        return funs[min(max(int(known), 0), last)](*operands)
    if len(funs) == 1:
        return funs[0](*operands)
    if isinstance(index, (int, np.integer)):
        place: Any = np.int32(min(max(int(index), 0), last))
    else:
        dtype = aval.dtype.type
        place = convert_element_type(
            clamp(dtype(0), index, dtype(min(last, dtypes.iinfo(aval.dtype).max))), np.int32
        )
    return _choose("switch", place, [(f"branches[{i}]", fun, None) for i, fun in enumerate(funs)], operands)


def platform_dependent(
    *args: Any, default: Callable[..., Any] | None = None, **per_platform: Callable[..., Any]
) -> Any:
    """What the function for the platform returns on which this runs.

    The choice is made when a program is compiled, so its other functions need not even compile for that platform.
    Called eagerly, outside of all transformations, only the chosen function is called.

    Args:
      args: what the functions are called with: arrays and pytrees of them.
      default: for platforms that `per_platform` does not name.
      per_platform: functions by the name of their platform: `cpu`, `cuda`, `rocm`, `tpu`, .... Their results have the same
        structure, shapes and dtypes.
    Returns:
      What the function for the platform returns.
    Raises:
      TypeError: a branch is no function, or results differ in type.
      ValueError: `gpu` is named, which is no platform but stands for two.
      NotImplementedError: there is no function for the platform on which this runs.

    >>> from anima import lax
    >>> print(lax.platform_dependent(3.0, cpu=lambda x: x + 1, default=lambda x: 1 + x))
    4.0
    """
    if "gpu" in per_platform:
        raise ValueError(
            "platform_dependent: gpu stands for several platforms; name the function cuda= or rocm= (or both)"
        )
    funs = dict(per_platform)
    platforms: list[tuple[str, ...] | None] = [(name,) for name in funs]
    if default is not None:
        funs["default"] = default
        platforms.append(None)
    for name, fun in funs.items():
        check_function("platform_dependent", name, fun)
    if get_trace() is None:
        leaves, _ = operand_leaves("platform_dependent", "args", args)
        device, _ = device_of(leaves, "platform_dependent")
        return list(funs.values())[branch_for(device.platform, tuple(platforms))](*args)
    if not funs:
        raise MissingRuleError("platform_dependent: no function was given for any platform")
    branches = [(name, fun, None) for name, fun in funs.items()]
    how = {"branches_platforms": tuple(platforms)}
    return _choose("platform_dependent", np.int32(0), branches, args, how)


def _choose(
    what: str,
    index: Any,
    branches: Sequence[tuple[str, Any, int | None]],
    operands: tuple[Any, ...],
    how: dict[str, Any] | None = None,
) -> Any:
    """The result of the branch number `index`.

    `branches`: for each what messages call it, the function, and the number of its only operand (None: it has all).
    `how`: further parameters of the equation.
    """
    operands, put_back = closed_over(what, operands)
    if put_back is not None:
        branches = [(name, _given(fun, put_back, only), None) for name, fun, only in branches]
    leaves, tree = operand_leaves(what, "args" if how else "operands", operands)
    avals = [aval_of(x) for x in leaves]
    bodies = [_branch(what, fun, tree, avals, only) for _, fun, only in branches]

    def check() -> None:
        pairs = list(zip(branches, bodies))
        if what == "cond":
            pairs.reverse()  # users write true_fun first
        names = [f"{name} ({body.name})" for (name, _, _), body in pairs]
        check_branches(what, names, [b.out_tree for _, b in pairs], [b.out_avals for _, b in pairs])

    uniform = Branches(bodies)
    programs, consts = with_common_consts(uniform.bodies, check)
    leaves += [ref._read() for ref in uniform.refs]
    if variance.seen:
        # Where the devices choose different branches, every result varies; and every operand, or the transpose of a branch
        # would sum over devices that are in another one.
        axes = aval_of(index).varying
        programs = tuple([inputs_varying(program, axes) for program in programs])
        consts, leaves = all_varying(consts, axes), all_varying(leaves, axes)
        wanted = [variance.joined(outs) | axes for outs in zip(*[p.out_avals for p in programs])]
        programs = tuple([outputs_varying(program, wanted) for program in programs])
    outs = cond_p.bind(index, *consts, *leaves, branches=programs, **how or {})
    return tree_unflatten(bodies[0].out_tree, uniform.without_refs(outs))


def _given(fun: Any, put_back: Any, only: int | None) -> Any:
    """A branch as a function of its operands but for the references among them."""

    @functools.wraps(fun, assigned=("__name__",), updated=())
    def branch(*values: Any) -> Any:
        operands = put_back(values)
        return fun(*operands) if only is None else fun(operands[only])

    return branch


def _branch(what: str, fun: Any, tree: PyTreeDef, avals: Sequence[Any], only: int | None) -> Body:
    trees = tree.children()
    if only is None:
        return traced_body(what, fun, tree, avals, lambda: flat_call(fun, *trees), refs=True)
    return traced_body(
        what, fun, (tree, only), avals, lambda: flat_call(lambda *args: fun(args[only]), *trees), refs=True
    )

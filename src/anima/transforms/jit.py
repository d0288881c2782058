"""`jit`: compile a function with XLA, once for each signature of its arguments.

Invariant: a call is C++ (`_native.CompiledCall`) until it meets a new signature; then `jit_miss` traces, lowers and
compiles, and hands back the plan to be kept. Traced programs are kept for as long as the function lives, so
wrapping the same function again does not trace it again.
"""

from __future__ import annotations

import functools
import struct
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from anima import _native
from anima._native import CompiledCall, tree_flatten, tree_unflatten
from anima.config import disable_jit, no_tracing
from anima.core import source
from anima.core.axes import named_axes
from anima.core.collector import collect_seldom
from anima.core.effects import reaches_host
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.source import is_internal
from anima.core.spans import span
from anima.core.trace import Tracer, aval_of, get_trace, is_value
from anima.errors import NonFiniteError
from anima.interpreters import key_reuse
from anima.interpreters.stage import hoist_consts
from anima.lowering.checks import Checks
from anima.runtime import finite, host, sharded
from anima.runtime.compile_options import ProgramKind
from anima.runtime.dispatch import Program, check_execution, check_operand, device_of, shared_answer
from anima.runtime.effects import kept_by_caller, plans_of
from anima.sharding import Sharding
from anima.state.cells import Cell
from anima.state.refs import Ref
from anima.state.staging import check_aliases, stage_with_refs, with_new_values
from anima.transforms import convert
from anima.transforms.arguments import (
    FlatFunction,
    LazyNames,
    check_callable,
    flatten_for_program,
    name_of,
)
from anima.transforms.explain import TraceKey, forget_history, note_compile, note_trace, why_retraced
from anima.transforms.jit_primitive import jit_p
from anima.transforms.jit_spec import JitSpec, resolve_arguments
from anima.transforms.placement_primitive import sharding_constraint_p
from anima.transforms.stages import CallSignature, Lowered, Traced
from anima.transforms.traced import TracedProgram

_FEW = 3  # equations of a library function that is compiled as one operation is: there is little to fuse
_MAX_PROGRAMS = 2048  # traced programs kept for one function
_programs: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()
_own_programs: weakref.WeakKeyDictionary[CompiledCall, dict[Any, Any]] = weakref.WeakKeyDictionary()
_METHODS = (types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType)


def _programs_of(call: CompiledCall) -> dict[Any, Any]:
    """The traced programs of the function behind `call`, shared with other `jit`s of it.

    Equal keys of a table share programs, so only callables that are equal because they are the same, or the same
    method of the same object, may be keys; others may call themselves equal and compute different things.
    """
    fun = call.fun
    equality: Any = type(fun).__eq__
    if equality is object.__eq__ or isinstance(fun, _METHODS):
        try:
            known = _programs.get(fun)
            return known if known is not None else _programs.setdefault(fun, {})
        except TypeError:  # not hashable, or cannot be referred to weakly
            pass
    known = _own_programs.get(call)
    return known if known is not None else _own_programs.setdefault(call, {})


def forget_programs() -> None:
    """Forget the traced programs of every function."""
    _programs.clear()
    _own_programs.clear()


class Static:
    """A static argument in a key: equal only to an equal value of the same type, floats to the last bit.

    So are the items of tuples. The signatures that C++ keeps tell static values apart in the same way.
    """

    __slots__ = ("given", "value")

    def __init__(self, value: Any) -> None:
        self.given = value  # what messages show
        if type(value) is tuple:
            value = tuple([Static(item) for item in value])
        elif type(value) is float:
            value = (float, struct.pack("d", value))
        elif type(value) is complex:
            value = (complex, struct.pack("dd", value.real, value.imag))
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is Static and type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


def _split_static(
    call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], Any, Callable[..., Any]]:
    """The dynamic arguments, a key for the static ones, and the function of the dynamic ones alone."""
    spec: JitSpec = call.spec
    fun = call.fun if spec.control_flow is None else convert.converted(call.fun)
    positions = [i for i in spec.static_argnums if i < len(args)]
    names = [n for n in spec.static_argnames if n in kwargs]
    if not positions and not names:
        return args, kwargs, None, fun
    static_args = {i: args[i] for i in positions}
    static_kwargs = {n: kwargs[n] for n in names}
    for where, value in (*((f"number {i}", v) for i, v in static_args.items()), *static_kwargs.items()):
        _check_hashable(fun, where, value)
    key = (
        tuple((i, Static(v)) for i, v in static_args.items()),
        tuple((n, Static(v)) for n, v in sorted(static_kwargs.items())),
    )
    count = len(args)

    def of_dynamic(*dynamic: Any, **keywords: Any) -> Any:
        given = iter(dynamic)
        full = [static_args[i] if i in static_args else next(given) for i in range(count)]
        return fun(*full, **keywords, **static_kwargs)

    functools.update_wrapper(of_dynamic, fun, assigned=("__name__", "__qualname__"))
    dynamic_args = tuple(a for i, a in enumerate(args) if i not in static_args)
    dynamic_kwargs = {n: v for n, v in kwargs.items() if n not in static_kwargs}
    return dynamic_args, dynamic_kwargs, key, of_dynamic


def _check_hashable(fun: Any, where: str, value: Any) -> None:
    if isinstance(value, Tracer):
        raise ValueError(
            f"static argument {where} of {name_of(fun)} is a traced value: {value!r}; static arguments must be known while tracing"
        )
    try:
        hash(value)
    except TypeError:
        raise ValueError(
            f"static argument {where} of {name_of(fun)} has the unhashable type {type(value).__name__}: static "
            "arguments are compared with those of earlier calls; use a hashable type (a tuple instead of a list)"
        ) from None


def _check_leaves(call: CompiledCall, parts: _Call, tracers: bool) -> None:
    leaves = parts.leaves
    check_aliases([x for x in leaves if type(x) is Ref], f"jit of {name_of(call.fun)}")
    for index, leaf in enumerate(leaves):
        if (tracers and isinstance(leaf, Tracer)) or type(leaf) is Ref:
            continue
        try:
            leaves[index] = check_operand(leaf, "jit")
        except TypeError as error:
            if isinstance(leaf, Tracer):
                raise
            name = parts.names(call)()[index]
            if is_value(leaf):  # of a dtype that no array has
                reason = str(error).removeprefix("jit: ")
                raise TypeError(f"argument {name} of {name_of(call.fun)}: {reason}") from None
            raise TypeError(
                f"cannot interpret value of type {type(leaf).__name__} as an array: argument {name} of "
                f"{name_of(call.fun)}. If it is no array but a setting, name it in static_argnums or static_argnames."
            ) from error


class _Call:
    """One call's arguments, taken apart."""

    __slots__ = ("args", "fun", "in_tree", "key", "kwargs", "leaves", "positions", "refs", "static")

    def __init__(
        self, call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any], tracers: bool
    ) -> None:
        *dynamic, self.static, self.fun = _split_static(call, args, kwargs)
        (self.args, self.kwargs), self.leaves, self.in_tree = flatten_for_program(tuple(dynamic))
        self.positions = [i for i in range(len(args)) if i not in call.spec.static_argnums]
        self.refs: list[Cell] = []  # that the program uses
        _check_leaves(call, self, tracers)

    def program(self, call: CompiledCall) -> TracedProgram:
        """The traced program for these arguments, from the table if it is there."""
        avals = tuple([x.aval if type(x) is Ref else aval_of(x) for x in self.leaves])
        key = self.key = TraceKey(
            _native.options_key(), self.in_tree, avals, self.static, call.spec.key, named_axes()
        )
        table = _programs_of(call)
        known: TracedProgram | None = table.get(key)
        if known is not None:
            return known
        note_trace(call, key, tuple(table))
        program = self._trace(call, avals)
        if not any(isinstance(c, Tracer) for c in program.consts) and (
            program.refs is None or program.refs.lasting
        ):
            if len(table) >= _MAX_PROGRAMS:
                table.pop(next(iter(table)))
            program = table.setdefault(key, program)
        return program

    def take_values(self, traced: TracedProgram) -> None:
        """Put the values of the references that a program uses in their places among its arguments."""
        if traced.refs is not None:
            self.refs = traced.refs.of_call(self.leaves)
            self.leaves = traced.refs.values(self.leaves, self.refs)

    def give_values(self, traced: TracedProgram, result: Any) -> Any:
        """What the function returned, after its references have taken their new values out of a program's result."""
        if traced.refs is None:
            return result
        value, new = result
        traced.refs.write_back(self.refs, new, [*self.leaves, *tree_flatten(value)[0]])
        return value

    def names(self, call: CompiledCall) -> LazyNames:
        return LazyNames(call.fun, self.positions, self.args, self.kwargs)

    def _trace(self, call: CompiledCall, avals: Sequence[Any]) -> TracedProgram:
        if no_tracing.value:
            raise RuntimeError(
                f"jit would have to trace {name_of(call.fun)}, but the option jax_no_tracing is on"
            )
        flat = FlatFunction(self.fun, self.in_tree, for_program=True)
        name = name_of(call.fun)
        with span("trace", name):
            jaxpr, consts, refs = stage_with_refs(flat, avals, name, self.names(call), self.leaves)
        caller = source.current() if finite.wanted() else None
        closed = ClosedJaxpr(hoist_consts(jaxpr), [])
        out_tree = flat.out_tree if refs is None else with_new_values(flat.out_tree, sum(refs.written))
        return TracedProgram(closed, consts, self.in_tree, out_tree, name, caller, refs)


def _donated(spec: JitSpec, parts: _Call) -> list[int]:
    """Indices of the program's arguments that the caller gives up."""
    if not spec.donate_argnums and not spec.donate_argnames:
        return []
    donated: list[int] = []
    index = 0
    dynamic = [i for i in range(len(parts.args) + len(spec.static_argnums)) if i not in spec.static_argnums]
    for position, arg in zip(dynamic, parts.args):
        count = len(tree_flatten(arg)[0])
        if position in spec.donate_argnums:
            donated += range(index, index + count)
        index += count
    for name in sorted(parts.kwargs):
        count = len(tree_flatten(parts.kwargs[name])[0])
        if name in spec.donate_argnames:
            donated += range(index, index + count)
        index += count
    return [i for i in donated if type(parts.leaves[i]) is not Ref]


def _lower(
    call: CompiledCall,
    parts: _Call,
    traced: TracedProgram,
    platform: str | None = None,
    checks: Checks | None = None,
    reused: Sequence[int] = (),
) -> tuple[Program, bool]:
    """The lowered program of a call with its captured constants bound, and whether its outputs are committed.

    `reused`: arguments whose memory may be used again besides those that the caller donates.
    """
    device, committed = device_of(parts.leaves, name_of(call.fun))
    closed = traced.bound()
    program = Program(
        closed,
        f"jit_{traced.name}",
        device,
        donate=[*_donated(call.spec, parts), *reused],
        keep_unused=call.spec.keep_unused,
        kind=_kind(call.spec, closed),
        ordered=call.spec.on_host and host.is_ordered(traced.closed.jaxpr),
        platform=platform,
        checks=checks,
    )
    return program, committed


def _shardings(spec: JitSpec, traced: TracedProgram) -> tuple[list[Sharding | None], list[Sharding | None]]:
    """What was asked for each leaf of the arguments and of the result; None for nothing."""
    given = tuple(spec.in_shardings) if isinstance(spec.in_shardings, list) else spec.in_shardings
    closed = traced.closed
    of_args, of_kwargs = traced.in_tree.children()
    ins = closed.in_avals[len(traced.consts) :][: traced.in_tree.num_leaves]
    wished = sharded.flatten_shardings("jit in_shardings", of_args, given, ins)
    # Keyword arguments have no place in in_shardings: they follow themselves.
    wished += [None] * of_kwargs.num_leaves
    out_tree = traced.value_tree
    results = sharded.flatten_shardings(
        "jit out_shardings", out_tree, spec.out_shardings, closed.out_avals[: out_tree.num_leaves]
    )
    if traced.refs is not None:  # they stay where they are
        wished += [None] * len(traced.refs.captured)
        results += [None] * sum(traced.refs.written)
    return wished, results


def _sharded(
    call: CompiledCall, parts: _Call, traced: TracedProgram, checks: Checks | None = None
) -> sharded.ShardedProgram:
    """The program of a call lowered for the devices of its shardings."""
    wished, results = _shardings(call.spec, traced)
    return sharded.ShardedProgram(
        traced.bound(),
        f"jit_{traced.name}",
        parts.leaves,
        wished=wished,
        results=results,
        donate=_donated(call.spec, parts),
        checks=checks,
    )


def jit_miss(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """What a call of a new signature returns, and the plan for the next one (None: ask again)."""
    if disable_jit.value:
        return call.fun(*args, **kwargs), None
    parts = _Call(call, args, kwargs, tracers=False)
    traced = parts.program(call)
    check_execution(name_of(call.fun))
    parts.take_values(traced)
    spec: JitSpec = call.spec
    if key_reuse.watched(traced.closed.jaxpr):
        return parts.give_values(traced, _run_watched(call, parts, traced)), None
    if traced.refs is not None or reaches_host(traced.closed.effects) or finite.wanted():
        return parts.give_values(traced, _run_kept(call, parts, traced)), None
    note_compile(call, parts.key, parts.leaves)
    if sharded.wanted(spec.in_shardings, spec.out_shardings, parts.leaves, traced.closed.effects):
        return sharded.run(
            _sharded(call, parts, traced), parts.leaves, spec.compiler_options, out_tree=traced.out_tree
        )
    on_host = _host_program(call, parts, traced) if spec.on_host else None
    if on_host is not None:
        device, committed = device_of(parts.leaves, name_of(call.fun))
        consts, out_tree = traced.consts, traced.out_tree
        answer = host.answered(on_host, parts.leaves, device, committed, consts=consts, out_tree=out_tree)
        if answer is not None:
            return answer
        if traced.consts:
            on_host = None
    if spec.on_host and not host.is_ordered(traced.closed.jaxpr):
        closed = traced.bound()
        outs = shared_answer(closed, f"jit_{traced.name}", parts.leaves, _kind(spec, closed))
        if outs is not None:
            return tree_unflatten(traced.out_tree, outs), None
    program, committed = _lower(call, parts, traced)
    packing = program.packing(parts.leaves)
    executable = program.compile(spec.compiler_options, packing)
    plan = program.plan(
        executable, out_tree=traced.out_tree, committed=committed, on_host=on_host, packing=packing
    )
    return plan.execute(parts.leaves), kept_by_caller(plan)


def _host_program(call: CompiledCall, parts: _Call, traced: TracedProgram) -> host.HostProgram | None:
    """A program as the host runs it, or None if it does not."""
    if not host.wanted(device_of(parts.leaves, name_of(call.fun))[0]):
        return None
    return host.program_of(traced.closed.jaxpr)


def _kind(spec: JitSpec, closed: ClosedJaxpr) -> ProgramKind:
    return "single_op" if spec.on_host and len(closed.jaxpr.eqns) <= _FEW else "program"


def _run_watched(call: CompiledCall, parts: _Call, traced: TracedProgram) -> Any:
    """The results of a program whose use of keys is followed in every call."""
    library = is_internal(getattr(call.fun, "__code__", _trace_method.__code__))
    followed = key_reuse.follow(traced.bound(), parts.leaves, name_of(call.fun), library)
    out = _run_kept(call, parts, traced)
    followed.remember(tree_flatten(out)[0])
    return out


def _run_kept(call: CompiledCall, parts: _Call, traced: TracedProgram) -> Any:
    """The results of a program whose plan the native caller must not keep: with effects, or watched."""
    checks = finite.checks(traced.caller)
    try:
        return _run_plan_kept(call, parts, traced, checks)
    except NonFiniteError as error:
        finite.note_arguments(error, parts.leaves, parts.names(call))
        raise


def _run_plan_kept(call: CompiledCall, parts: _Call, traced: TracedProgram, checks: Checks | None) -> Any:
    """The results of a program whose plan is kept with it."""
    spec: JitSpec = call.spec
    if sharded.wanted(spec.in_shardings, spec.out_shardings, parts.leaves, traced.closed.effects):
        program_over = _sharded(call, parts, traced, checks)
        return sharded.run(program_over, parts.leaves, spec.compiler_options, out_tree=traced.out_tree)[0]
    device, committed = device_of(parts.leaves, name_of(call.fun))
    reused = (
        ()
        if traced.refs is None
        else traced.refs.reusable(parts.refs, traced.closed.jaxpr, len(parts.leaves))
    )
    key = (spec, _native.options_key(), device, committed, reused)
    plans = plans_of(traced.closed.jaxpr)
    plan = plans.get(key)
    if plan is None:
        program, committed = _lower(call, parts, traced, checks=checks, reused=reused)
        executable = program.compile(spec.compiler_options)
        plan = plans[key] = program.plan(executable, out_tree=traced.out_tree, committed=committed)
    return plan.execute(parts.leaves)


def _traced(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if disable_jit.value:
        return call.fun(*args, **kwargs)
    parts = _Call(call, args, kwargs, tracers=True)
    traced = parts.program(call)
    parts.take_values(traced)
    spec: JitSpec = call.spec
    leaves, results = parts.leaves, None
    if spec.in_shardings is not sharded.UNSPECIFIED or spec.out_shardings is not sharded.UNSPECIFIED:
        wished, results = _shardings(spec, traced)
        leaves = _constrained(leaves, wished)
    operands = [*traced.consts, *leaves]
    if spec.inline:
        outs = eval_jaxpr(traced.closed.jaxpr, (), *operands)
    else:
        outs = jit_p.bind(*operands, jaxpr=traced.closed, name=traced.name)
    result = tree_unflatten(traced.out_tree, outs if results is None else _constrained(outs, results))
    return parts.give_values(traced, result)


def _constrained(values: Sequence[Any], shardings: Sequence[Sharding | None]) -> list[Any]:
    """Values of a program around a jitted function, laid out as that asks."""
    return [
        x if sharding is None else sharding_constraint_p.bind(x, sharding=sharding)
        for x, sharding in zip(values, shardings)
    ]


def compiled_call(
    fun: Callable[..., Any],
    spec: JitSpec,
    miss: Callable[..., tuple[Any, Any]],
    traced: Callable[..., Any],
) -> CompiledCall:
    """`fun` as a compiled call: `miss` makes its plans, `traced` handles calls inside transformations."""
    call = CompiledCall(
        fun,
        miss,
        traced,
        static_argnums=spec.static_argnums,
        static_argnames=spec.static_argnames,
        name=name_of(fun),
        spec=spec,
    )
    functools.update_wrapper(call, fun)
    return call


# ---------------------------------------------------------------------------------------------
# The public face.

_NOT_GIVEN: Any = object()


def jit(
    fun: Any = _NOT_GIVEN,
    /,
    *,
    in_shardings: Any = sharded.UNSPECIFIED,
    out_shardings: Any = sharded.UNSPECIFIED,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Sequence[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Sequence[str] | None = None,
    keep_unused: bool = False,
    device: Any = None,
    backend: str | None = None,
    inline: bool = False,
    compiler_options: dict[str, Any] | None = None,
    control_flow: str | None = None,
) -> Any:
    """`fun` compiled by XLA: traced once for each signature of its arguments, then run without Python.

    Args:
      fun: a pure function of arrays and pytrees of them. Left out, `jit` is a decorator with options.
      in_shardings, out_shardings: how arguments and results lie over devices: shardings, a `PartitionSpec` for
        the mesh that is current in the call, or pytree prefixes of them.
      static_argnums, static_argnames: arguments that are settings: hashable, part of the signature, seen
        by `fun` as they are. Each is completed from the other by `fun`'s signature.
      donate_argnums, donate_argnames: arguments whose memory the results may reuse; they are deleted.
      keep_unused: keep arguments that the program does not use as parameters of it.
      inline: when called inside another transformation, become part of the caller's program.
      compiler_options: XLA options by name.
      control_flow: "convert" turns the function's Python control flow on traced values (`if`, `for`, `while`, `and`, `or`,
        `not`, `break`, `continue`, `return`, `assert`, `raise`), and that of the user's functions that it calls, into `cond`,
        `while_loop` and `scan`, or raises ConversionError with the line that cannot be. None leaves the function as it is.
    Returns:
      A function with `fun`'s arguments, with methods `lower`, `trace`, `eval_shape` and `clear_cache`.
    Raises:
      TypeError, ValueError: an option does not fit `fun`'s signature.

    >>> import anima, anima.numpy as np
    >>> @anima.jit
    ... def f(x):
    ...     return 2 * x
    >>> print(f(3))
    6
    """
    options = dict(
        in_shardings=in_shardings, out_shardings=out_shardings, static_argnums=static_argnums,
        static_argnames=static_argnames, donate_argnums=donate_argnums, donate_argnames=donate_argnames,
        keep_unused=keep_unused, inline=inline, compiler_options=compiler_options, device=device, backend=backend,
        control_flow=control_flow,
    )  # fmt: skip
    if fun is _NOT_GIVEN:
        return functools.partial(jit, **options)
    check_callable(fun, "jit")
    if control_flow not in (None, "convert"):
        raise ValueError(f"jit: control_flow must be None or 'convert', got {control_flow!r}")
    statics, static_names = resolve_arguments(fun, static_argnums, static_argnames, "static")
    donated, donated_names = resolve_arguments(fun, donate_argnums, donate_argnames, "donate")
    both = set(statics) & set(donated) or set(static_names) & set(donated_names)
    if both:
        raise ValueError(
            f"jit: arguments {sorted(both, key=str)} of {name_of(fun)} are both static and donated"
        )
    if device is not None or backend is not None:
        in_shardings = sharded.on_device(device, backend, in_shardings)
    spec = JitSpec(
        in_shardings=in_shardings, out_shardings=out_shardings, static_argnums=statics, static_argnames=static_names,
        donate_argnums=donated, donate_argnames=donated_names, keep_unused=keep_unused, inline=inline,
        compiler_options=compiler_options, control_flow=control_flow,
    )  # fmt: skip
    return compiled_call(fun, spec, jit_miss, _traced)


def _trace_method(call: CompiledCall, /, *args: Any, **kwargs: Any) -> Traced:
    """Trace for these arguments (arrays or `ShapeDtypeStruct`s) without compiling: has `.jaxpr` and `.lower()`."""
    parts = _Call(call, args, kwargs, tracers=True)
    traced = parts.program(call)
    closed = traced.bound()
    if get_trace() is None:
        key_reuse.check(closed)
    trees = traced.in_tree, traced.out_tree
    donated = _donated(call.spec, parts)
    signature = CallSignature(traced.name, parts.names(call), trees, closed, donated, traced.refs)
    return Traced(signature, closed, lambda platform: _lowered(call, parts, traced, signature, platform))


def _lowered(
    call: CompiledCall, parts: _Call, traced: TracedProgram, signature: CallSignature, platform: str | None
) -> Lowered:
    spec: JitSpec = call.spec
    if platform is None and sharded.wanted(
        spec.in_shardings, spec.out_shardings, parts.leaves, traced.closed.effects
    ):
        program: Any = _sharded(call, parts, traced)
        committed = True
    else:
        program, committed = _lower(call, parts, traced, platform)
    return Lowered(signature, program, committed, spec.compiler_options)


def _lower_method(call: CompiledCall, /, *args: Any, **kwargs: Any) -> Lowered:
    """Lower for these arguments (arrays or `ShapeDtypeStruct`s): has `.as_text()` and `.compile()`."""
    with collect_seldom():  # once, rather than between the two
        return _trace_method(call, *args, **kwargs).lower()


def _eval_shape_method(call: CompiledCall, /, *args: Any, **kwargs: Any) -> Any:
    """The result's shapes and dtypes for these arguments, as `ShapeDtypeStruct`s; computes nothing."""
    return _trace_method(call, *args, **kwargs).out_info


_clear_signatures = CompiledCall.clear_cache


def _clear_cache(call: CompiledCall) -> None:
    """Forget every program traced or compiled for this function."""
    _programs_of(call).clear()
    forget_history(call)
    _clear_signatures(call)


for _name, _method in (
    ("trace", _trace_method), ("lower", _lower_method), ("eval_shape", _eval_shape_method), ("clear_cache", _clear_cache),
    ("why_retraced", why_retraced),
):  # fmt: skip
    setattr(CompiledCall, _name, _method)

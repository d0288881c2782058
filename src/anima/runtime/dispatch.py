"""How programs run: eager operations and compiled jaxprs become call plans.

Invariant: a plan is a pure function of (jaxpr, avals, device, options), so callers may cache it under exactly
those. The hot path is C++ (`_native.CompiledCall`); Python is entered on a miss only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from anima import _native
from anima._native import ArrayImpl, CallPlan, CompiledCall
from anima.config import debug_key_reuse, no_execution
from anima.core import hooks, source
from anima.core.aval import AbstractValue, ShapedArray, array_aval, physical_aval
from anima.core.effects import reaches_host
from anima.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var, subjaxprs
from anima.core.primitive import Primitive, primitives
from anima.core.spans import program_name, span
from anima.core.trace import Tracer, aval_of, leak_error
from anima.errors import JaxRuntimeError
from anima.interpreters import key_reuse
from anima.interpreters.dce import dce_jaxpr
from anima.lowering.checks import Checks
from anima.lowering.module import LoweredModule, lower_module
from anima.lowering.pieces import Packing, packed_text, packing_for
from anima.runtime import compiler, finite, host, shapeless, sharded
from anima.runtime.compile_options import TINY_ELEMENTS, ProgramKind, options_for
from anima.runtime.devices import default_device
from anima.runtime.effects import kept_by_caller, plans_of
from anima.runtime.sequences import LARGEST
from anima.runtime.shapeless import SharedPlan
from anima.runtime.transfers import TRANSFER, settled


class Program:
    """A jaxpr made ready to compile for one device: pruned, lowered, with what a plan needs to know.

    `kept`: indices of the arguments that the program takes. `donate`: those it may overwrite. `forward`: for
    each output the argument it simply is, or -1.
    """

    __slots__ = (
        "_attributes", "_checks", "closed", "device", "donate", "forward", "kept", "kind", "lowered", "name", "num_args",
        "ordered", "out_avals", "platform",
    )  # fmt: skip

    def __init__(
        self,
        closed: ClosedJaxpr,
        name: str,
        device: Any,
        *,
        donate: Sequence[int] = (),
        keep_unused: bool = False,
        kind: ProgramKind = "program",
        ordered: bool = False,
        platform: str | None = None,
        checks: Checks | None = None,
    ) -> None:
        jaxpr = closed.jaxpr
        self.platform: str = platform or device.platform
        self.ordered = ordered and self.platform == "cpu"
        self.name = name
        self.device = device
        self.kind: ProgramKind = "single_op" if self.ordered else kind
        self.num_args = len(jaxpr.invars)
        self.out_avals: list[Any] = jaxpr.out_avals
        position = {var: i for i, var in enumerate(jaxpr.invars)}
        self._checks = checks
        if checks is not None:
            donate, position = (), {}  # every result goes through the program, which looks at it
        donated = set(donate)
        # A donated input must really go through the program: it will not be there to hand back.
        self.forward = [_source(v, position, donated) for v in jaxpr.outvars]
        pruned, used_consts, used = dce_jaxpr(jaxpr, [f < 0 for f in self.forward])
        if keep_unused:
            pruned = Jaxpr(
                pruned.constvars, jaxpr.invars, pruned.outvars, pruned.eqns, pruned.effects, pruned.name
            )
            used = [True] * self.num_args
        self.kept = [i for i, u in enumerate(used) if u]
        self.donate = [i for i in self.kept if i in donated]
        self.closed = ClosedJaxpr(pruned, [c for c, u in zip(closed.consts, used_consts) if u])
        self._attributes = self._aliasing()
        self.lowered = self.lower()
        if TRANSFER in self.lowered.text:
            self.closed = settled(self.closed)
            self.lowered = self.lower()

    def lower(self, debug_info: bool = False) -> LoweredModule:
        """The program's text; with `debug_info` one to read."""
        with span("lower", program_name(self.name)):
            return lower_module(
                self.closed,
                name=self.name,
                platform=self.platform,
                arg_attrs=self._attributes,
                debug_info=debug_info,
                looking_for=self._checks and self._checks.renewed(),
            )

    def _aliasing(self) -> list[str]:
        """Attributes that let each donated argument's memory hold an output of the same type.

        Arguments without such an output are not donated after all.
        """
        attrs = [""] * len(self.kept)
        free = [(i, physical_aval(a)) for i, (a, f) in enumerate(zip(self.out_avals, self.forward)) if f < 0]
        numbered = {i: n for n, (i, _) in enumerate(free)}
        unusable: list[int] = []
        for slot, index in enumerate(self.kept):
            if index not in self.donate:
                continue
            aval = physical_aval(array_aval(self.closed.jaxpr.invars[slot].aval))
            match = next((o for o in free if o[1].shape == aval.shape and o[1].dtype == aval.dtype), None)
            if match is None:
                unusable.append(index)
            else:
                free.remove(match)
                attrs[slot] = f"tf.aliasing_output = {numbered[match[0]]} : i32"
        if unusable:
            self._warn_unusable(unusable)
        return attrs

    def _warn_unusable(self, unusable: list[int]) -> None:
        self.donate = [i for i in self.donate if i not in unusable]
        avals = [self.closed.jaxpr.invars[self.kept.index(i)].aval for i in unusable]
        types = ", ".join([array_aval(aval).str_short(short_dtypes=False) for aval in avals])
        position = source.current()
        warnings.warn_explicit(
            f"Some donated buffers were not usable: {types}. {self.name} has no result of the same shape and dtype that "
            "could take their memory; they are kept",
            UserWarning,
            "<unknown>" if position is None else position.file,
            0 if position is None else position.line,
        )

    def packing(self, operands: Sequence[Any]) -> Packing | None:
        """How the program takes these arguments, and returns its results, in pieces; None if it does not.

        It does not if it would have to wait for an argument, a constant or another program that runs there.
        """
        if self.device.platform != "cpu" or self.donate or _native.transfers_guarded():
            return None
        packing = packing_for(self.lowered, self.closed.in_avals, self.closed.out_avals)
        if packing is None or not self.device.is_idle():
            return None
        captured = [c for c, _ in self.lowered.constants if type(c) is ArrayImpl]
        given = [operands[i] for i in self.kept]
        return packing if all([_at_hand(x, self.device) for x in (*given, *captured)]) else None

    def compile(self, compiler_options: dict[str, Any] | None = None, packing: Packing | None = None) -> Any:
        """The executable, from a cache if it is there; with `packing` one that takes pieces."""
        avals = [*self.closed.in_avals, *self.closed.out_avals]
        most = LARGEST if self.ordered else TINY_ELEMENTS
        tiny = all(isinstance(a, ShapedArray) and a.size <= most for a in avals)
        options = options_for(
            self.kind,
            platform=self.device.platform,
            text=self.lowered.text,
            tiny=tiny,
            device_ids=(self.device.id,),
            compiler_options=compiler_options,
        )
        text = self.lowered.text if packing is None else packed_text(self.lowered, packing)
        return compiler.compile_program(text, client=self.device.client, options=options, name=self.name)

    def plan(
        self,
        executable: Any,
        *,
        single: bool = False,
        out_tree: Any = None,
        committed: bool = False,
        on_host: host.HostProgram | None = None,
        packing: Packing | None = None,
    ) -> Any:
        """The plan that runs `executable` on arguments of this program, or `on_host` on those that it takes.

        `packing`: what `executable` was compiled with.
        """
        return finite.make_plan(
            self.lowered,
            executable,
            name=self.name,
            num_leaves=self.num_args,
            kept=tuple(self.kept),
            consts=tuple(_on_device(c, a, self.device) for c, a in self.lowered.constants),
            out_avals=tuple((a.shape, a.dtype, a.weak_type) for a in self.out_avals),
            out_tree=out_tree,
            single=single,
            committed=committed,
            donate=tuple(self.donate),
            forward=tuple(self.forward),
            device=self.device,
            keepalive=self.lowered.held or None,
            host=None if on_host is None else on_host.native,
            packing=None if packing is None else packing.native(),
        )


def _at_hand(operand: Any, device: Any) -> bool:
    """Whether the value of an argument can be read now, where the program runs."""
    if type(operand) is ArrayImpl:
        if operand.sharding.device_set != {device} or not operand.is_ready():
            return False
        try:
            operand.block_until_ready()
        except JaxRuntimeError:  # what should have computed it has failed
            return False
        return True
    return not isinstance(operand, np.ndarray)


def _source(var: Any, position: dict[Any, int], donated: set[int]) -> int:
    index = position.get(var, -1) if isinstance(var, Var) else -1
    return -1 if index in donated else index


def _on_device(value: Any, aval: Any, device: Any) -> ArrayImpl:
    if not isinstance(value, ArrayImpl):
        return _native.array_from_host(value, device, dtype=aval.dtype)
    return value if value.device is device else _native.copy_to_device(value, device)


def device_of(args: Sequence[Any], what: str) -> tuple[Any, bool]:
    """Where a program on these arguments runs, and whether an argument is committed there.

    Raises:
      ValueError: arguments are committed to different devices.
    """
    committed: Any = None
    first: Any = None
    for index, arg in enumerate(args):
        own = sharded.own_sharding(arg)
        if own is not None:
            device = own.device_assignment[0]
            if committed is not None and device is not committed:
                raise ValueError(
                    f"{what} got arguments committed to different devices: {committed} and, at position "
                    f"{index}, {device}; move them together with device_put"
                )
            committed = device
        elif first is None and type(arg) is ArrayImpl:
            first = arg.device
    if committed is not None:
        return committed, True
    chosen = default_device()
    if first is not None and first.client is not chosen.client:
        return first, False
    return chosen, False


def check_execution(name: str) -> None:
    """Raise RuntimeError if programs must not run now."""
    if no_execution.value:
        raise RuntimeError(f"{name} would have to run, but the option jax_no_execution is on")


def check_operand(value: Any, what: str) -> Any:
    """`value` ready to be an argument of an eager program.

    Raises:
      UnexpectedTracerError: it is a tracer of a transformation that is not in progress here.
      TypeError: it is no array or number.
    """
    if type(value) is ArrayImpl:
        return value
    if isinstance(value, Tracer):
        raise leak_error(value)
    convert = getattr(value, "__jax_array__", None)
    if convert is not None:
        return check_operand(convert(), what)
    try:
        aval_of(value)
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from None
    return value


# ---------------------------------------------------------------------------------------------
# Eager operations.


def single_equation(
    primitive: Primitive, avals: Sequence[AbstractValue], params: dict[str, Any]
) -> ClosedJaxpr:
    """The program that is one application of `primitive`."""
    outs = primitive.shape(*avals, **params)
    effects = frozenset() if primitive.effects is None else primitive.effects(*avals, **params)
    invars = [Var(a) for a in avals]
    outvars = [Var(a) for a in (outs if primitive.multiple_results else [outs])]
    eqn = Eqn(primitive, invars, outvars, params, effects)
    return ClosedJaxpr(Jaxpr([], invars, outvars, [eqn], effects, primitive.name), [])


def _module_name(primitive: Primitive, params: dict[str, Any]) -> str:
    """What the program of an eager operation is called: a jitted function as where it is called by itself."""
    name = params.get("name")
    return f"jit_{name}" if isinstance(name, str) and primitive.name == "jit" else primitive.name


def _eager_miss(
    call: CompiledCall, args: tuple[Any, ...], params: dict[str, Any]
) -> tuple[Any, CallPlan | None]:
    primitive: Primitive = call.spec
    operands = [check_operand(a, primitive.name) for a in args]
    check_execution(primitive.name)
    avals = tuple([aval_of(a) for a in operands])
    on_host = None
    if primitive.host is not None and not (finite.wanted() or debug_key_reuse.value):
        on_host = _host_program(primitive, operands, avals, params)
        if on_host is not None:
            device, committed = device_of(operands, primitive.name)
            single = not primitive.multiple_results
            answer = host.answered(on_host, operands, device, committed, single=single)
            if answer is not None:
                return answer
    closed = single_equation(primitive, avals, params)
    if key_reuse.watched(closed.jaxpr):
        followed = key_reuse.follow(closed, operands, primitive.name, internal=not subjaxprs(params))
        outs = _eager_kept(primitive, operands, params, closed)
        followed.remember(outs if primitive.multiple_results else [outs])
        return outs, None
    if reaches_host(closed.effects) or finite.wanted():
        return _eager_kept(primitive, operands, params, closed), None
    if sharded.wanted(sharded.UNSPECIFIED, sharded.UNSPECIFIED, operands, closed.effects):
        program_over = sharded.ShardedProgram(closed, _module_name(primitive, params), operands)
        return sharded.run(program_over, operands, single=not primitive.multiple_results)
    device, committed = device_of(operands, primitive.name)
    programs = subjaxprs(params)
    kind: ProgramKind = "program" if programs else "single_op"
    # The same whether the host answers or not.
    ordered = on_host.ordered if on_host is not None else host.is_ordered(closed.jaxpr)
    name = _module_name(primitive, params)
    if not ordered:  # a plan of a program goes with that
        plans = programs[0].memoized("shared plans", dict[Hashable, Any]) if programs else _shared_plans
        key = (primitive, avals, tuple(sorted(params.items())))
        outs = shared_answer(closed, name, operands, kind, plans, key)
        if outs is not None:
            return (outs if primitive.multiple_results else outs[0]), None
    program = Program(closed, name, device, kind=kind, ordered=ordered)
    plan = program.plan(
        program.compile(), single=not primitive.multiple_results, committed=committed, on_host=on_host
    )
    return plan.execute(operands), kept_by_caller(plan)


_shared_plans: dict[Hashable, SharedPlan | None] = {}  # of single operations
_kept_plans: dict[Hashable, Any] = {}  # of operations without programs


def shared_answer(
    closed: ClosedJaxpr,
    name: str,
    operands: Sequence[Any],
    kind: ProgramKind,
    plans: dict[Hashable, SharedPlan | None] | None = None,
    key: Hashable = None,
    ordered: bool = False,
) -> list[Any] | None:
    """The results of an elementwise program by one that shapes share, or None where it must be compiled for this one.

    Args:
      ordered: whether it is compiled without optimisation.
      plans, key: where its plan is kept, and as what, besides device and options; with the program, if that stays.
    """
    if not shapeless.suits(closed):
        return None
    device, committed = device_of(operands, name)
    if not host.wanted(device):
        return None
    if plans is None:
        plans = closed.jaxpr.memoized("shared plans", dict[Hashable, "SharedPlan | None"])
    key = (key, device, committed, ordered, _native.options_key())
    if key not in plans:
        if len(plans) >= _MAX_KEPT:
            plans.clear()
        found = shapeless.lengthened(closed, LARGEST if ordered else None)
        plan = None
        if found is not None:
            program = Program(found.closed, name, device, kind=kind, ordered=ordered)
            plan = SharedPlan(closed, found, program.plan(program.compile(), committed=committed))
        plans[key] = plan
    shared = plans[key]
    return None if shared is None else shared.answer(operands, device, committed)


def _perform(closed: ClosedJaxpr, operands: Sequence[Any], ordered: bool) -> list[Any] | None:
    """The results of one equation of a program, or None where a program of its own would have to be compiled.

    Args:
      ordered: whether the whole program is compiled without optimisation.
    """
    (eqn,) = closed.jaxpr.eqns
    primitive, params = eqn.primitive, eqn.params
    known = tuple(
        [(i, a.aval, np.asarray(a.val).tobytes()) for i, a in enumerate(eqn.invars) if isinstance(a, Literal)]
    )
    key: Hashable = (
        "one of several",
        primitive,
        tuple(closed.in_avals),
        known,
        tuple(sorted(params.items())),
    )
    outs = shared_answer(closed, primitive.name, operands, "single_op", _shared_plans, key, ordered)
    if outs is not None:
        return outs
    device, committed = device_of(operands, primitive.name)
    if primitive.host is not None and primitive.host.kernel in ("call", "library") and not known:
        found = primitive.impl(*operands, **params)
        return found if primitive.multiple_results else [found]
    if max([physical_aval(array_aval(a)).size for a in (*closed.in_avals, *closed.out_avals)]) > _FEW:
        return None
    # Numbers and keys, which programs of all shapes have.
    key = (key, device, committed, ordered, _native.options_key())
    plan = _kept_plans.get(key)
    if plan is None:
        program = Program(closed, primitive.name, device, kind="single_op", ordered=ordered)
        if len(_kept_plans) >= _MAX_KEPT:
            _kept_plans.clear()
        plan = _kept_plans[key] = program.plan(program.compile(), committed=committed)
    return list(plan.execute(operands))


hooks.perform = _perform
_FEW = 32
_MAX_KEPT = 1024
# More than the operations of a loop: those that are dropped have their calls counted anew.
_MAX_ON_HOST = 4096
_host_programs: dict[Hashable, host.HostProgram] = {}  # of single operations


def _host_program(
    primitive: Primitive, operands: Sequence[Any], avals: tuple[AbstractValue, ...], params: dict[str, Any]
) -> host.HostProgram | None:
    """An operation as the host performs it, or None if it does not."""
    if sharded.wanted(sharded.UNSPECIFIED, sharded.UNSPECIFIED, operands, frozenset()):
        return None
    if not host.wanted(device_of(operands, primitive.name)[0]):
        return None
    key = (primitive, avals, tuple(sorted(params.items())))
    program = _host_programs.get(key)
    if program is None and (program := host.host_program(single_equation(primitive, avals, params).jaxpr)):
        if len(_host_programs) >= _MAX_ON_HOST:
            _host_programs.clear()
        program = _host_programs.setdefault(key, program)
    return program


def forget() -> None:
    """Forget the programs of single operations that are kept here, and what their shape rules have said."""
    for primitive in primitives.values():
        if primitive.answers is not None:
            primitive.answers.clear()
    for kept in (_kept_plans, _shared_plans, _host_programs):
        kept.clear()


def _eager_kept(
    primitive: Primitive, operands: Sequence[Any], params: dict[str, Any], closed: ClosedJaxpr
) -> Any:
    """The results of an operation whose plan the native caller must not keep.

    Such are those with effects on the host, and those whose keys or values are watched.
    """
    single = not primitive.multiple_results
    if sharded.wanted(sharded.UNSPECIFIED, sharded.UNSPECIFIED, operands, closed.effects):
        program_over = sharded.ShardedProgram(closed, _module_name(primitive, params), operands)
        return sharded.run(program_over, operands, single=single)[0]
    device, committed = device_of(operands, primitive.name)
    programs = subjaxprs(params)
    plans = plans_of(programs[0]) if programs else _kept_plans
    avals = tuple(closed.in_avals)
    key = (primitive, avals, tuple(sorted(params.items())), _native.options_key(), device, committed)
    plan = plans.get(key)
    if plan is None:
        program = Program(closed, _module_name(primitive, params), device, checks=finite.checks())
        if len(plans) >= _MAX_KEPT:
            plans.clear()
        plan = plans[key] = program.plan(program.compile(), single=single, committed=committed)
    return plan.execute(operands)


def _eager_traced(call: CompiledCall, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    return call.spec.bind(*args, **params)


def make_eager(primitive: Primitive) -> CompiledCall:
    """The eager road of a primitive: one executable for each signature of operands and parameters."""
    return CompiledCall(
        primitive.bind, _eager_miss, _eager_traced, flat=True, name=primitive.name, spec=primitive
    )


def eager_by_program(primitive: Primitive, param: str) -> Callable[..., Any]:
    """The eager road of a primitive with programs: its plans are kept with the program in `param`, and go with it.

    One cache for the primitive would keep thousands of programs of functions that are long gone.
    """
    key = ("eager", primitive)

    def eager(*operands: Any, **params: Any) -> Any:
        program = params[param]
        if type(program) is tuple:
            program = program[0]
        call = program.jaxpr.memoized(key, lambda: make_eager(primitive))
        return call(*operands, **params)

    return eager


hooks.make_eager = make_eager

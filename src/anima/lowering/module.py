"""A jaxpr becomes one module of StableHLO text, in one pass.

Invariant: the text depends on the program alone: values are numbered in order of creation, each inner program
becomes one function however often it is called, and no pointer, path, id or hash order enters. Constants up
to `INLINE_BYTES` are literals; larger ones become parameters of every function that needs them,
up to `main`, and are returned beside the text in parameter order.

Lowering rules get a `Context` and `Value`s and emit operations with `Context.op`; the avals of the results that the
rule must produce are in `Context.out_avals`.

Ordered effects are kept in order by a token, a small value that each of their calls takes and returns: `Context.token`
is the latest one. Functions, branches and loops that have ordered effects take it and return it, so the order is in the
data, where no pass of XLA can lose it. A program with effects on the host has one more result, the last: once that is
there, all of them have happened.

In a program with checks (`lowering/checks.py`) `Context.origin` goes the same ways as the token, with every program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima.core.aval import AbstractValue, ShapedArray, array_aval, physical_aval
from anima.core.collector import collect_seldom
from anima.core.effects import Effects, has_ordered, no_effects, reaches_host
from anima.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from anima.core.source import NOWHERE
from anima.lowering import checks
from anima.lowering.checks import CODE, Checks
from anima.lowering.lowered import LoweredModule as LoweredModule
from anima.lowering.manual import ManualRegion, enter
from anima.lowering.symbols import renamed_functions, symbol as as_symbol
from anima.lowering.types import between, dense, tensor_type, type_of
from anima.options import register_context_value
from anima.sharding.spec import PartitionSpec

INLINE_BYTES = 256
# Whether programs may call host kernels at all: tests compare with the same program without them.
host_kernels = register_context_value("host_kernels", True)
TOKEN = ShapedArray((), np.dtype(np.uint8))


class Value:
    """An SSA value: its name in the text, its aval and its type.

    What it was made from, for operations that can take that instead: of a transpose, `transposed` has the value and the
    permutation; where dimensions were reversed, `reversal` has the value and these dimensions; `scaled` makes, if it can, the
    value times a number in no more time than itself. Where `stored`, it stands in memory whatever takes it: an argument of the
    program, or of a loop's body, or what a kernel wrote. Where `borrowed`, that memory may not be written to: it is an argument's
    that is not donated.
    """

    __slots__ = ("aval", "borrowed", "name", "reversal", "scaled", "stored", "transposed", "type")

    def __init__(self, name: str, aval: AbstractValue) -> None:
        self.name = name
        self.aval = aval
        self.type = type_of(aval)
        self.transposed: tuple[Value, tuple[int, ...]] | None = None
        self.reversal: tuple[Value, tuple[int, ...]] | None = None
        self.scaled: Callable[[Context, Value], Value | None] | None = None
        self.stored = self.borrowed = False

    @property
    def shape(self) -> tuple[int, ...]:
        aval = self.aval  # rules ask often, nearly always of arrays
        return aval.shape if type(aval) is ShapedArray else array_aval(aval).shape

    @property
    def dtype(self) -> Any:
        aval = self.aval
        return aval.dtype if type(aval) is ShapedArray else array_aval(aval).dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)


class _Function:
    """A finished inner function: its symbol and the constants that it takes after its arguments.

    With `ordered`, it takes a token between them, and returns one after its results. With `checked`, the last result is
    the origin of the others.
    """

    __slots__ = ("checked", "constant_avals", "constants", "ordered", "symbol")

    def __init__(self, symbol: str, ctx: Context, ordered: bool) -> None:
        self.symbol = symbol
        self.ordered = ordered
        self.checked = ctx.origin is not None
        self.constants = ctx.constants
        self.constant_avals = [p.aval for p in ctx.constant_params]


class ModuleBuilder:
    """The module under construction: its functions, and what holds for all of it."""

    def __init__(
        self,
        name: str,
        platform: str,
        partitions: int = 1,
        exported: bool = False,
        debug_info: bool = False,
        devices: Sequence[Any] = (),
        checks: Checks | None = None,
    ) -> None:
        self.name = as_symbol(name)
        self.debug_info = debug_info  # operations say where they come from: for readers, never for XLA
        self.platform = platform
        self.partitions = partitions
        self.devices = devices  # of a partitioned program, in the order of its partitions
        self.exported = exported
        self.checks = checks
        self.main: Jaxpr | None = None  # the whole program
        # Set while what is lowered is for one device, on blocks of arrays.
        self.manual: ManualRegion | None = None
        self._channels = 0
        self.functions: list[str] = []
        self._symbols: set[str] = {"main"}
        self._inner: dict[tuple[Any, ...], _Function] = {}
        self._embedded: dict[int, str] = {}
        self._keep: list[Any] = []  # objects whose id is a key above
        self.held: list[Any] = []  # what must live as long as the executable: callbacks
        self.uncounted_work = 0  # of calls whose operations XLA does not count
        self.at_end: list[Callable[[Context], None]] = []  # emit what `main` does last

    @property
    def kernels_allowed(self) -> bool:
        """Whether lowering may choose host kernels: never in exported programs, nor in what XLA's partitioner divides."""
        return self.platform == "cpu" and self.for_one_device and not self.exported and host_kernels.value

    @property
    def for_one_device(self) -> bool:
        """Whether what is lowered is done by one device, or by each of several on its own blocks."""
        return self.partitions == 1 or self.manual is not None

    def is_apart(self, eqn: Eqn | None) -> bool:
        """Whether XLA joins an equation of one result with no other: one of the main program that takes its arguments and
        results of loops alone, and whose result is one of the program's and read by nothing else."""
        main = self.main
        if main is None or eqn is None or len(eqn.outvars) != 1:
            return False
        results = main.memoized(
            "results", lambda: frozenset(main.outvars)
        )  # most equations have none of those
        return eqn.outvars[0] in results and eqn.outvars[0] in main.memoized("apart", lambda: _apart(main))

    def next_channel(self) -> int:
        """A number for a collective operation, by which its devices find each other."""
        self._channels += 1
        return self._channels

    def fresh_symbol(self, name: str) -> str:
        """`name` as a symbol not used in this module yet."""
        base = candidate = as_symbol(name)
        number = 0
        while candidate in self._symbols:
            candidate = f"{base}_{number}"
            number += 1
        self._symbols.add(candidate)
        return candidate

    def function(self, closed: ClosedJaxpr, name: str, checked: bool = False) -> _Function:
        """The function for an inner program, lowered on first use."""
        region = None if self.manual is None else self.manual.key
        key = (id(closed.jaxpr), tuple(map(id, closed.consts)), region, checked)
        done = self._inner.get(key)
        if done is None:
            self._keep.append(closed)
            done = self._lower_function(closed, self.fresh_symbol(name), checked)
            self._inner[key] = done
        return done

    def embedded(self, key: Any, text: str) -> str:
        """The symbol of the main function of another module, whose functions become this one's, once for each `key`."""
        symbol = self._embedded.get(id(key))
        if symbol is None:
            self._keep.append(key)
            functions, symbol = renamed_functions(text, self.fresh_symbol)
            self.functions.append(functions)
            self._embedded[id(key)] = symbol
        return symbol

    def _lower_function(self, closed: ClosedJaxpr, name: str, checked: bool) -> _Function:
        ctx = Context(self, scope=f"jit({closed.jaxpr.name or name})")
        if checked:
            ctx.origin = ctx.constant(np.int32(0), CODE)
        inputs = [ctx.new(aval) for aval in closed.in_avals]
        ordered = has_ordered(closed.effects)
        tokens = [ctx.new(TOKEN)] if ordered else []
        ctx.token = tokens[0] if ordered else None
        outputs = ctx.jaxpr(closed.jaxpr, closed.consts, inputs)
        outputs += ctx.threaded(ordered)
        params = ", ".join(f"{v.name}: {v.type}" for v in (*inputs, *tokens, *ctx.constant_params))
        types = ", ".join(v.type for v in outputs)
        body = ctx.text()
        names = ", ".join(v.name for v in outputs)
        ret = f"    return {names} : {types}\n" if outputs else "    return\n"
        self.functions.append(f"  func.func private @{name}({params}) -> ({types}) {{\n{body}{ret}  }}\n")
        return _Function(name, ctx, ordered)


class Context:
    """Emits the operations of one function or region."""

    __slots__ = (
        "_constant_places", "_literals", "_lines", "_next", "_root", "constant_params", "constants", "module", "origin",
        "eqn", "origins", "out_avals", "program", "scope", "token",
    )  # fmt: skip

    def __init__(self, module: ModuleBuilder, outer: Context | None = None, scope: str = "") -> None:
        self.module = module
        self._root: Context = self if outer is None else outer._root
        self.scope: str = scope if outer is None else outer.scope  # of the names in debugging information
        self.token: Value | None = None if outer is None else outer.token
        self.origin: Value | None = None  # where NaNs in results come from; None: nothing is checked
        self.origins: dict[str, Value] = {} if outer is None else outer.origins  # of each value, by its name
        self._lines: list[str] = []
        self._next = 0
        self._literals: dict[Any, Value] = {}
        self.constants: list[Any] = []  # of the root: large constants, taken as parameters
        self.constant_params: list[Value] = []
        self._constant_places: dict[int, int] = {}  # by the value's id
        self.out_avals: Sequence[AbstractValue] = ()
        self.eqn: Eqn | None = None  # the equation at hand
        self.program: Jaxpr | None = None  # and what it is of

    def text(self) -> str:
        return "".join(self._lines)

    def new(self, aval: AbstractValue) -> Value:
        """A fresh name for a value of this aval."""
        root = self._root
        name = f"%{root._next}"
        root._next += 1
        return Value(name, aval)

    def line(self, text: str) -> None:
        """Emit one line."""
        self._lines.append(f"    {text}\n")

    def op(
        self,
        name: str,
        operands: Sequence[Value],
        out: AbstractValue | None = None,
        attrs: str = "",
        regions: Sequence[str] = (),
    ) -> Value:
        """Emit a one-result operation; `out` defaults to the aval that the rule must produce.

        `attrs` is the inside of the attribute dictionary; `regions` come from `region`.
        """
        root = self._root
        result = Value(f"%{root._next}", self.out_avals[0] if out is None else out)
        root._next += 1
        if len(operands) == 1:
            names, types = operands[0].name, operands[0].type
        elif len(operands) == 2:
            left, right = operands
            names, types = f"{left.name}, {right.name}", f"{left.type}, {right.type}"
        else:
            names, types = _listed(operands)
        if regions or attrs:
            attrs = between(attrs, regions)
        self._lines.append(f'    {result.name} = "{name}"({names}){attrs} : ({types}) -> {result.type}\n')
        return result

    def ops(
        self,
        name: str,
        operands: Sequence[Value],
        outs: Sequence[AbstractValue],
        attrs: str = "",
        regions: Sequence[str] = (),
    ) -> list[Value]:
        """Emit an operation with any number of results."""
        results = [self.new(aval) for aval in outs]
        left = ", ".join([r.name for r in results]) + " = " if results else ""
        right = results[0].type if len(results) == 1 else "(" + ", ".join([r.type for r in results]) + ")"
        names, types = _listed(operands)
        inside = between(attrs, regions)
        self._lines.append(f'    {left}"{name}"({names}){inside} : ({types}) -> {right}\n')
        return results

    def region(
        self, avals: Sequence[AbstractValue], body: Callable[[Context, list[Value]], Sequence[Value]]
    ) -> str:
        """A region with block arguments of the given avals; `body(ctx, args)` returns what it yields."""
        inner = Context(self.module, self)
        args = [self.new(aval) for aval in avals]
        results = body(inner, args)
        params = ", ".join(f"{v.name}: {v.type}" for v in args)
        names = ", ".join(v.name for v in results)
        types = ", ".join(v.type for v in results)
        head = f"  ^bb0({params}):\n" if args else ""
        end = f'    "stablehlo.return"({names}) : ({types}) -> ()\n'
        return f"{{\n{head}{inner.text()}{end}  }}"

    def latest_token(self) -> Value:
        """The token that the next ordered effect takes."""
        if self.token is None:
            self.token = self.constant(np.uint8(0), TOKEN)
        return self.token

    def case(
        self,
        index: Value,
        outs: Sequence[AbstractValue],
        branches: Sequence[Callable[[Context], Sequence[Value]]],
        effects: Effects,
    ) -> list[Value]:
        """Emit a choice among branches, which have these effects; each yields values of the avals `outs`."""
        ordered = has_ordered(effects)
        threaded = [v.aval for v in self.threaded(ordered)]

        def region(branch: Callable[[Context], Sequence[Value]]) -> str:
            def emit(inner: Context, _: list[Value]) -> list[Value]:
                inner.origin = self.origin
                return [*branch(inner), *inner.threaded(ordered)]

            return self.region([], emit)

        regions = [region(branch) for branch in branches]
        results = self.ops("stablehlo.case", (index,), [*outs, *threaded], regions=regions)
        return self._unthreaded(results, ordered)

    def threaded(self, ordered: bool) -> list[Value]:
        """What goes through functions, branches and loops beside their own values: the token, the origin."""
        token = [self.latest_token()] if ordered else []
        return token if self.origin is None else [*token, self.origin]

    def _unthreaded(self, results: list[Value], ordered: bool) -> list[Value]:
        """The results without what was threaded, which becomes the latest token and origin."""
        if self.origin is not None:
            self.origin = results.pop()
        if ordered:
            self.token = results.pop()
        return results

    def loop(
        self,
        values: Sequence[Value],
        cond: Callable[[Context, list[Value]], Value],
        body: Callable[[Context, list[Value]], Sequence[Value]],
        effects: Effects,
    ) -> list[Value]:
        """Emit a loop on `values`; the body has these effects, the condition must have none.

        Both may use values from outside: XLA makes them invariant elements of the loop's state.
        """
        ordered = has_ordered(effects)
        state = [*values, *self.threaded(ordered)]
        count = len(values)

        def test(inner: Context, args: list[Value]) -> list[Value]:
            return [cond(inner, args[:count])]

        def step(inner: Context, args: list[Value]) -> list[Value]:
            inner.token = args[count] if ordered else None
            inner.origin = args[-1] if self.origin is not None else None
            for arg in args:
                arg.stored = True
            outs = body(inner, args[:count])
            return [*outs, *inner.threaded(ordered)]

        avals = [v.aval for v in state]
        regions = [self.region(avals, test), self.region(avals, step)]
        results = self.ops("stablehlo.while", state, avals, regions=regions)
        return self._unthreaded(results, ordered)

    def jaxpr(self, jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Value]) -> list[Value]:
        """Emit a whole program in place."""
        env: dict[Var, Value] = dict(zip(jaxpr.invars, args))
        for var, const in zip(jaxpr.constvars, consts):
            env[var] = self.constant(const, var.aval)

        outer = self.program
        for eqn in jaxpr.eqns:
            outvars = eqn.outvars
            self.out_avals = [outvars[0].aval] if len(outvars) == 1 else [v.aval for v in outvars]
            self.eqn, self.program = eqn, jaxpr
            operands = [self.constant(a.val, a.aval) if type(a) is Literal else env[a] for a in eqn.invars]
            if self.origin is not None and self.module.checks is not None:
                outs = checks.lowered(self, self.module.checks, eqn, operands)
            elif self.module.debug_info:
                outs = self._located(eqn, operands)
            else:
                outs = eqn.primitive.lower(self, *operands, **eqn.params)
            if eqn.primitive.multiple_results:
                env.update(zip(outvars, outs))
            else:
                env[outvars[0]] = outs
        self.program = outer
        outputs = [self.constant(a.val, a.aval) if type(a) is Literal else env[a] for a in jaxpr.outvars]
        if self.origin is not None:
            checks.note_results(self, outputs)
        return outputs

    def _located(self, eqn: Eqn, operands: Sequence[Value]) -> Any:
        """Emit an equation, in lines that say where it comes from."""
        position = eqn.source
        if position is NOWHERE:
            return eqn.primitive.lower(self, *operands, **eqn.params)
        outer, start = self.scope, len(self._lines)
        self.scope = "/".join([outer, *(position.names if position is not None else ()), eqn.primitive.name])
        place = _quoted(self.scope)
        outs = eqn.primitive.lower(self, *operands, **eqn.params)
        self.scope = outer
        if position is not None:
            place += f"({_quoted(position.file)}:{position.line}:{position.column})"
        for index in range(start, len(self._lines)):
            line = self._lines[index]
            # What an inner program emitted in place has its own positions.
            if not (line.endswith(")\n") and " loc(" in line[line.rfind("\n", 0, -1) :]):
                self._lines[index] = f"{line[:-1]} loc({place})\n"
        return outs

    def call(self, closed: ClosedJaxpr, args: Sequence[Value], name: str) -> list[Value]:
        """Emit a call of an inner program's function."""
        function = self.module.function(closed, name, self.origin is not None)
        # A function's large constants become the caller's, up to main.
        extra = [self._root_param(c, a) for c, a in zip(function.constants, function.constant_avals)]
        tokens = [self.latest_token()] if function.ordered else []
        operands = [*args, *tokens, *extra]
        threaded = (*[TOKEN] * function.ordered, *[CODE] * function.checked)
        results = [self.new(aval) for aval in (*closed.out_avals, *threaded)]
        left = ", ".join(r.name for r in results) + " = " if results else ""
        names = ", ".join(v.name for v in operands)
        types = ", ".join(v.type for v in operands)
        right = ", ".join(r.type for r in results)
        self.line(f"{left}func.call @{function.symbol}({names}) : ({types}) -> ({right})")
        before = self.origin
        results = self._unthreaded(results, function.ordered)
        checks.keep_earlier(self, before)
        return results

    def constant(self, value: Any, aval: AbstractValue | None = None) -> Value:
        """A constant: written out if small, else a parameter. `aval` defaults to the value's own."""
        array: np.ndarray[Any, Any] | None = None
        if aval is None:
            if not hasattr(value, "aval"):
                array = np.asarray(value)
                aval = ShapedArray(array.shape, array.dtype)
            else:
                aval = value.aval
        assert isinstance(aval, ShapedArray)
        physical = physical_aval(aval)
        if physical.nbytes > INLINE_BYTES or physical is not aval:  # NumPy cannot read an extended dtype
            return self._constant_param(value, aval)
        if array is None or array.dtype != physical.dtype:
            array = np.asarray(value).astype(physical.dtype)
        key = (aval.shape, aval.dtype, array.tobytes())
        known = self._literals.get(key)
        if known is None:
            known = self._literals[key] = self.new(aval)
            self.line(f"{known.name} = stablehlo.constant {dense(array)}")
        return known

    def full(self, fill: Any, aval: ShapedArray) -> Value:
        """An array of one repeated value."""
        element = np.asarray(fill).astype(physical_aval(aval).dtype)
        attr = dense(element).split(" : ")[0]
        result = self.new(aval)
        self.line(f"{result.name} = stablehlo.constant {attr} : {tensor_type(aval.shape, aval.dtype)}")
        return result

    def runtime_operand(self, value: Any, aval: AbstractValue, holder: Any = None) -> Value:
        """A value that must never enter the text, such as a callback's number: always a parameter.

        `holder` is kept alive with the executable.
        """
        if holder is not None:
            self.module.held.append(holder)
        return self._constant_param(value, aval)

    def _constant_param(self, value: Any, aval: AbstractValue) -> Value:
        param = self._root_param(value, aval)
        region = self.module.manual
        if region is None or self.module.partitions == 1:
            return param
        return enter(self, param, PartitionSpec(), aval, region)

    def _root_param(self, value: Any, aval: AbstractValue) -> Value:
        root = self._root
        # The list keeps the values alive, so that their ids stay their own.
        known = root._constant_places.get(id(value))
        if known is not None:
            return root.constant_params[known]
        param = self.new(aval)
        root._constant_places[id(value)] = len(root.constants)
        root.constants.append(value)
        root.constant_params.append(param)
        return param


def _listed(values: Sequence[Value]) -> tuple[str, str]:
    """The names of values and their types, as operations list them."""
    return ", ".join([v.name for v in values]), ", ".join([v.type for v in values])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _apart(jaxpr: Jaxpr) -> frozenset[Var]:
    """The results of `ModuleBuilder.is_apart`."""
    made = {v for eqn in jaxpr.eqns if not eqn.primitive.unfused for v in eqn.outvars}
    read = {a for eqn in jaxpr.eqns for a in eqn.invars if type(a) is Var}
    wanted = ({a for a in jaxpr.outvars if type(a) is Var} & made) - read
    apart = [eqn for eqn in jaxpr.eqns if made.isdisjoint(eqn.invars)]
    return frozenset([v for eqn in apart for v in eqn.outvars if v in wanted])


def lower_module(
    closed: ClosedJaxpr,
    *,
    name: str,
    platform: str,
    partitions: int = 1,
    arg_attrs: Sequence[str] = (),
    constant_attrs: Callable[[AbstractValue], str] = lambda aval: "",
    result_attrs: Sequence[str] = (),
    exported: bool = False,
    debug_info: bool = False,
    devices: Sequence[Any] = (),
    looking_for: Checks | None = None,
) -> LoweredModule:
    """Lower a program. Attributes (`tf.aliasing_output`, `mhlo.sharding`, ...) are dictionary insides, "" for none.

    With `debug_info` each operation says where in the user's source it comes from: a text to read, for it is not canonical.
    With `looking_for`, which must be new, the program has one more result, after its own: the code of what made a NaN.
    """
    module = ModuleBuilder(name, platform, partitions, exported, debug_info, devices, looking_for)
    module.main = closed.jaxpr
    ctx = Context(module, scope=f"jit({closed.jaxpr.name})")
    inputs = [ctx.new(aval) for aval in closed.in_avals]
    for place, value in enumerate(inputs):
        value.stored, value.borrowed = (
            True,
            not arg_attrs[place : place + 1] or "alias" not in arg_attrs[place],
        )
    if looking_for is not None:
        ctx.origin = ctx.constant(np.int32(0), CODE)
    with collect_seldom():
        outputs = ctx.jaxpr(closed.jaxpr, closed.consts, inputs)
    if looking_for is not None:
        outputs.append(checks.origin_of_program(ctx, looking_for, outputs))
    # Who calls an exported program has a signal of its own.
    effects = no_effects if exported else closed.effects
    if reaches_host(effects):
        outputs.append(ctx.latest_token())
    for emit in module.at_end:
        emit(ctx)
    args = [*inputs, *ctx.constant_params]
    rest = [constant_attrs(v.aval) for v in ctx.constant_params]
    attrs = [*arg_attrs, *[""] * (len(inputs) - len(arg_attrs)), *rest]
    outs = [*result_attrs, *[""] * (len(outputs) - len(result_attrs))]
    text = _text(module, ctx, args, attrs, outputs, outs)
    constants = [(value, param.aval) for value, param in zip(ctx.constants, ctx.constant_params)]
    return LoweredModule(text, constants, platform, module.held, effects, looking_for)


def _text(
    module: ModuleBuilder,
    ctx: Context,
    args: Sequence[Value],
    arg_attrs: Sequence[str],
    outputs: Sequence[Value],
    result_attrs: Sequence[str],
) -> str:
    """The text of a module whose `main` is in `ctx`."""
    params = ", ".join(f"{v.name}: {v.type}" + (f" {{{a}}}" if a else "") for v, a in zip(args, arg_attrs))
    results = ", ".join(v.type + (f" {{{a}}}" if a else "") for v, a in zip(outputs, result_attrs))
    names = ", ".join(v.name for v in outputs)
    types = ", ".join(v.type for v in outputs)
    ret = f"    return {names} : {types}\n" if outputs else "    return\n"
    header = (
        f"module @{module.name} attributes {{mhlo.num_partitions = {module.partitions} : i32, "
        "mhlo.num_replicas = 1 : i32} {\n"
    )
    main = f"  func.func public @main({params}) -> ({results}) {{\n{ctx.text()}{ret}  }}\n"
    return header + main + "".join(module.functions) + "}\n"

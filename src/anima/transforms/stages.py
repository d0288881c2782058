"""What `jit(f).trace`, `.lower` and `.compile` return: each stage of a program, to look at or to go on from.

Invariant: a stage describes the call that it was made for: the structure and types of the arguments that are not static,
which of them are donated, and the result's. Nothing here is estimated: figures are XLA's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from anima._native import ArrayImpl, Executable, PyTreeDef, tree_flatten, tree_unflatten
from anima.core.aval import AbstractValue, array_aval, physical_aval
from anima.core.jaxpr import ClosedJaxpr
from anima.core.trace import Tracer, aval_of
from anima.errors import JAXTypeError
from anima.interpreters.flat import flatten_for_program
from anima.lowering.module import host_kernels
from anima.records import Record
from anima.runtime import finite
from anima.runtime.dispatch import Program, check_operand
from anima.runtime.effects import Plan
from anima.runtime.hlo_text import hlo_text
from anima.runtime.kernels import KERNEL_CALL
from anima.runtime.sharded import ShardedProgram
from anima.sharding import Sharding, make_single_device_sharding
from anima.sharding.formats import Format, usual_format
from anima.state.refs import checked
from anima.state.staging import References
from anima.transforms.shapes import ShapeDtypeStruct
from anima.tree.compare import treedef_differences
from anima.tree_util import keystr

CompilerOptions = dict[str, str | bool | int | float]


@runtime_checkable
class Wrapped(Protocol):
    """What `jit` returns: a function that can also be traced and lowered without running it.

    >>> import anima
    >>> isinstance(anima.jit(lambda x: x), Wrapped)
    True
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function, compiled."""
        raise TypeError("Wrapped is a protocol: functions made by jit follow it")

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace the function for these arguments."""
        raise TypeError("Wrapped is a protocol: functions made by jit follow it")

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace and lower the function for these arguments."""
        raise TypeError("Wrapped is a protocol: functions made by jit follow it")


class ArgInfo(Record):
    """An argument of a program: its type, and whether it is donated."""

    _aval: AbstractValue
    donated: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return array_aval(self._aval).shape

    @property
    def dtype(self) -> Any:
        return array_aval(self._aval).dtype


class CompiledMemoryStats(Record):
    """The bytes that a program needs on each device, and of the host's memory.

    Those of arguments that results alias are counted among both, and again as `alias_size_in_bytes`.
    """

    generated_code_size_in_bytes: int = 0
    argument_size_in_bytes: int = 0
    output_size_in_bytes: int = 0
    alias_size_in_bytes: int = 0
    temp_size_in_bytes: int = 0
    peak_memory_in_bytes: int = 0
    host_generated_code_size_in_bytes: int = 0
    host_argument_size_in_bytes: int = 0
    host_output_size_in_bytes: int = 0
    host_alias_size_in_bytes: int = 0
    host_temp_size_in_bytes: int = 0


class CallSignature:
    """What a program was traced for.

    Attributes:
      in_tree, out_tree: the structure of the arguments, a pair of a tuple and a dict, and of the result.
      result_tree: that of the program's result, in which new values of references follow.
      refs: the references that the program uses, or None.
      in_avals, out_avals: the types of their leaves.
      donated: which leaves of the arguments are donated.
      name: the function's.
      names: what messages call the leaves of the arguments; worked out when one does.
    """

    __slots__ = (
        "donated", "in_avals", "in_tree", "name", "names", "out_avals", "out_tree", "refs", "result_tree",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        names: Callable[[], Sequence[str]],
        trees: tuple[PyTreeDef, PyTreeDef],
        closed: ClosedJaxpr,
        donated: Sequence[int],
        refs: References | None,
    ) -> None:
        self.name = name
        self.names = names
        self.refs = refs
        self.in_tree, self.result_tree = trees
        self.out_tree = self.result_tree if refs is None else self.result_tree.children()[0]
        self.in_avals = closed.in_avals[: self.in_tree.num_leaves]
        self.out_avals = closed.out_avals[: self.out_tree.num_leaves]
        self.donated = tuple(sorted(donated))


class Stage:
    """What all stages tell of the call that they were made for."""

    __slots__ = ("_signature",)

    def __init__(self, signature: CallSignature) -> None:
        self._signature = signature

    @property
    def in_tree(self) -> PyTreeDef:
        """The structure of the arguments that are not static: a tuple and a dict."""
        return self._signature.in_tree

    @property
    def out_tree(self) -> PyTreeDef:
        """The structure of the result."""
        return self._signature.out_tree

    @property
    def in_avals(self) -> Any:
        """The types of the arguments, in their structure."""
        return tree_unflatten(self.in_tree, self._signature.in_avals)

    @property
    def args_info(self) -> Any:
        """An `ArgInfo` for each leaf of the arguments, in their structure."""
        given = self._signature
        infos = [ArgInfo(aval, i in given.donated) for i, aval in enumerate(given.in_avals)]
        return tree_unflatten(self.in_tree, infos)

    @property
    def donate_argnums(self) -> tuple[int, ...]:
        """Which leaves of the arguments are donated, counted through all of them."""
        return self._signature.donated

    @property
    def out_info(self) -> Any:
        """The result's shapes and dtypes, as `ShapeDtypeStruct`s."""
        return tree_unflatten(self.out_tree, [ShapeDtypeStruct.of(a) for a in self._signature.out_avals])


class Traced(Stage):
    """A traced function.

    Attributes:
      jaxpr: the program.

    >>> import anima
    >>> traced = anima.jit(lambda x: {"y": 2 * x}).trace(1.0)
    >>> traced.jaxpr
    { lambda ; a:f32[]. let b:f32[] = mul 2.0:f32[] a in (b,) }
    >>> traced.out_info
    {'y': ShapeDtypeStruct(shape=(), dtype=float32, weak_type=True)}
    """

    __slots__ = ("_lower", "jaxpr")

    def __init__(
        self, signature: CallSignature, jaxpr: ClosedJaxpr, lower: Callable[[str | None], Lowered]
    ) -> None:
        super().__init__(signature)
        self.jaxpr = jaxpr
        self._lower = lower

    @property
    def fun_name(self) -> str:
        """The function's name."""
        return self._signature.name

    @property
    def out_avals(self) -> Any:
        """The result's types, in its structure."""
        return tree_unflatten(self.out_tree, self._signature.out_avals)

    def lower(self, *, lowering_platforms: tuple[str, ...] | None = None) -> Lowered:
        """The program as StableHLO.

        Args:
          lowering_platforms: one platform, such as `("cuda",)`, to lower for instead of that of the devices; the result
            is there to be read, not compiled, where that platform has no device here.
        Raises:
          TypeError: it is no sequence of names. ValueError: there is not exactly one.
        """
        if lowering_platforms is None:
            return self._lower(None)
        given: Any = lowering_platforms
        if isinstance(given, str) or not all(isinstance(p, str) for p in given):
            raise TypeError(
                f"lower: lowering_platforms must be a tuple of names such as ('cpu',), got {given!r}"
            )
        if len(lowering_platforms) != 1:
            raise ValueError(
                f"lower: a program is lowered for one platform, lowering_platforms has {len(lowering_platforms)}; lower "
                "once for each, or use the export module for one artifact that runs on several"
            )
        return self._lower(lowering_platforms[0])


class Lowered(Stage):
    """A program as StableHLO."""

    __slots__ = ("_committed", "_options", "_program")

    def __init__(
        self, signature: CallSignature, program: Program | ShardedProgram, committed: bool, options: Any
    ) -> None:
        super().__init__(signature)
        self._program = program
        self._committed = committed
        self._options = options

    def as_text(self, dialect: str | None = None, *, debug_info: bool = False) -> str:
        """The program's text.

        Args:
          dialect: "stablehlo", the default, is the only one.
          debug_info: whether each operation says where in the source it comes from, and in which `named_scope`s.
        Raises:
          ValueError: `dialect` is another.

        >>> import anima
        >>> print(anima.jit(lambda x: 2 * x).lower(1.0).as_text().splitlines()[0])
        module @jit__lambda attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
        """
        _check_dialect("as_text", dialect)
        lowered = self._program.lower(debug_info=True) if debug_info else self._program.lowered
        return lowered.text

    def compiler_ir(self, dialect: str | None = None) -> str:
        """The program as XLA's compiler takes it: the text, as there are no MLIR objects here.

        Raises:
          ValueError: `dialect` is not "stablehlo".
        """
        _check_dialect("compiler_ir", dialect)
        return self._program.lowered.text

    def compile(
        self,
        compiler_options: CompilerOptions | None = None,
        *,
        device_assignment: tuple[Any, ...] | None = None,
    ) -> Compiled:
        """The program compiled for its devices.

        Args:
          compiler_options: XLA options by name, besides those given to `jit`.
          device_assignment: the devices to run on, one for each partition; by default those of the arguments.
        Raises:
          ValueError: the devices do not fit the program. JaxRuntimeError: XLA refuses the program or an option.
        """
        program = self._program
        if device_assignment is not None:
            program = _moved(program, tuple(device_assignment))
        if program.lowered.platform != _devices(program)[0].platform:
            raise ValueError(
                f"compile: the program was lowered for {program.lowered.platform}, but its devices are "
                f"{list(_devices(program))}; pass device_assignment, or lower without lowering_platforms"
            )
        options = {**(self._options or {}), **(compiler_options or {})} or None
        executable = program.compile(options)
        reorders = isinstance(program, ShardedProgram) and program.reorders
        out_tree = None if reorders else self._signature.result_tree
        plan = program.plan(executable, out_tree=out_tree, committed=self._committed)
        return Compiled(self._signature, program, executable, plan)

    def cost_analysis(self) -> dict[str, float] | None:
        """XLA's estimate of the program's cost, by name (compiles it); None if there is none."""
        return self.compile().cost_analysis()


def _without_kernels(program: Program) -> Program:
    plain = copy.copy(program)
    with host_kernels(False):
        plain.lowered = plain.lower()
    return plain


def _check_dialect(function: str, dialect: str | None) -> None:
    if dialect not in (None, "stablehlo"):
        raise ValueError(
            f"{function}: dialect must be 'stablehlo', got {dialect!r}; compile().as_text() is HLO"
        )


def _devices(program: Program | ShardedProgram) -> tuple[Any, ...]:
    return program.devices if isinstance(program, ShardedProgram) else (program.device,)


def _moved(program: Program | ShardedProgram, devices: tuple[Any, ...]) -> Program | ShardedProgram:
    """The program for other devices."""
    if devices == _devices(program):
        return program
    if isinstance(program, ShardedProgram) or len(devices) != 1:
        raise ValueError(
            f"compile: device_assignment {list(devices)} does not fit a program on {list(_devices(program))}; shardings of "
            "arguments choose the devices of a program over several"
        )
    moved = copy.copy(program)
    moved.device = devices[0]
    return moved


class Compiled(Stage):
    """A compiled program; calling it checks its arguments against the call that it was compiled for.

    >>> import anima, anima.numpy as np
    >>> compiled = anima.jit(lambda x: x @ x).lower(np.ones((8, 8))).compile()
    >>> print(compiled(np.eye(8)).sum())
    8.0
    >>> compiled.memory_analysis().output_size_in_bytes
    256
    """

    __slots__ = ("_executable", "_plan", "_program")

    def __init__(
        self, signature: CallSignature, program: Program | ShardedProgram, executable: Executable, plan: Plan
    ) -> None:
        super().__init__(signature)
        self._program = program
        self._executable = executable
        self._plan = plan

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; static arguments are left out.

        Raises:
          TypeError: the arguments are not of the structure, shapes and dtypes that it was compiled for, or are traced.
          ValueError: an array is committed to other devices.
        """
        leaves = self._checked(args, kwargs)
        used = self._signature.refs
        if used is None:
            return self._run(leaves)
        refs = used.of_call(leaves)
        leaves = used.values(leaves, refs)
        value, new = self._run(leaves)
        used.write_back(refs, new, [*leaves, *tree_flatten(value)[0]])
        return value

    def _run(self, leaves: list[Any]) -> Any:
        """The program's result."""
        program = self._program
        if not isinstance(program, ShardedProgram):
            outs = self._plan.execute(leaves)
        else:
            outs = self._plan.execute(program.place(leaves))
            if program.reorders:
                outs = tree_unflatten(self._signature.result_tree, program.as_asked(outs))
        if finite.wanted():
            finite.check(outs, self._signature.name)
        return outs

    call = __call__

    def _checked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        given = self._signature
        _, leaves, tree = flatten_for_program((args, kwargs))
        if any(isinstance(x, Tracer) for x in leaves):
            raise JAXTypeError(
                f"{given.name}, compiled: a compiled program cannot be transformed, and was called with a traced value; call "
                "the function that jit returned instead"
            )
        if tree != given.in_tree:
            found = [_difference(d) for d in treedef_differences(given.in_tree, tree)]
            raise TypeError(
                f"{given.name}, compiled: the arguments have another structure than those that it was compiled for: "
                f"{'; '.join(found)}. Static arguments are left out"
            )
        wrong = []
        refs = () if given.refs is None else given.refs.args
        for index, leaf in enumerate(leaves):
            if index in refs:
                got: Any = checked(f"{given.name}, compiled: argument {given.names()[index]}", leaf).aval
            else:
                got = self._operand_aval(leaves, index)
            want: Any = given.in_avals[index]
            if got.shape != want.shape or got.dtype != want.dtype:
                types = [aval.str_short(short_dtypes=False) for aval in (got, want)]
                wrong.append(f"{given.names()[index]} has type {types[0]}, compiled for {types[1]}")
        if wrong:
            raise TypeError(
                f"{given.name}, compiled: the arguments have other types than those that it was compiled for: "
                f"{'; '.join(wrong)}. Convert them, or call the function that jit returned, which compiles again"
            )
        self._check_devices(leaves)
        return leaves

    def _operand_aval(self, leaves: list[Any], index: int) -> AbstractValue:
        """The type of an argument, which is made an operand."""
        given = self._signature
        try:
            leaves[index] = check_operand(leaves[index], given.name)
        except TypeError as error:
            raise TypeError(f"{given.name}, compiled: argument {given.names()[index]}: {error}") from None
        return aval_of(leaves[index])

    def _check_devices(self, leaves: Sequence[Any]) -> None:
        devices = frozenset(_devices(self._program))
        for index, leaf in enumerate(leaves):
            if type(leaf) is ArrayImpl and leaf.committed and leaf.devices() != devices:
                raise ValueError(
                    f"{self._signature.name}, compiled: argument {self._signature.names()[index]} is committed to "
                    f"{sorted(d.id for d in leaf.devices())} of its devices, but the program runs on "
                    f"{sorted(d.id for d in devices)}; move it with device_put"
                )

    def as_text(self) -> str:
        """The optimised program, as XLA runs it, in the form of HLO text."""
        return hlo_text(self._executable.optimized_program())

    def cost_analysis(self) -> dict[str, float] | None:
        """XLA's estimate of the program's cost, by name; None if the plugin makes none.

        XLA knows nothing of what kernels of this library do: a program that calls any is compiled once more without them.
        """
        executable = self._executable
        if isinstance(self._program, Program) and KERNEL_CALL in self._program.lowered.text:
            executable = _without_kernels(self._program).compile(None)
        return dict(executable.cost_analysis()) or None

    def memory_analysis(self) -> CompiledMemoryStats | None:
        """The bytes that the program needs, by kind; None if the plugin does not tell."""
        found = self._executable.memory_stats()
        known = CompiledMemoryStats.__annotations__
        return CompiledMemoryStats(**{k: v for k, v in found.items() if k in known}) if found else None

    def runtime_executable(self) -> Executable:
        """The native executable."""
        return self._executable

    @property
    def input_shardings(self) -> Any:
        """The shardings of the arguments, in their structure."""
        return tree_unflatten(self.in_tree, self._in_shardings())

    @property
    def output_shardings(self) -> Any:
        """The shardings of the result, in its structure."""
        return tree_unflatten(self.out_tree, self._out_shardings())

    @property
    def input_formats(self) -> Any:
        """The shardings and layouts in memory of the arguments, in their structure."""
        return tree_unflatten(self.in_tree, _formats(self._signature.in_avals, self._in_shardings()))

    @property
    def output_formats(self) -> Any:
        """The shardings and layouts in memory of the result, in its structure."""
        return tree_unflatten(self.out_tree, _formats(self._signature.out_avals, self._out_shardings()))

    @property
    def out_info(self) -> Any:
        """The result's shapes, dtypes and shardings, as `ShapeDtypeStruct`s."""
        pairs = zip(self._signature.out_avals, self._out_shardings())
        return tree_unflatten(self.out_tree, [ShapeDtypeStruct.of(a).update(sharding=s) for a, s in pairs])

    def _in_shardings(self) -> list[Sharding]:
        if isinstance(self._program, ShardedProgram):
            return list(self._program.in_shardings)[: len(self._signature.in_avals)]
        return [make_single_device_sharding(self._program.device)] * len(self._signature.in_avals)

    def _out_shardings(self) -> list[Sharding]:
        if isinstance(self._program, ShardedProgram):
            return self._program.result_shardings(self._executable)[: len(self._signature.out_avals)]
        return [make_single_device_sharding(self._program.device)] * len(self._signature.out_avals)


def _formats(avals: Sequence[AbstractValue], shardings: Sequence[Sharding]) -> list[Format]:
    return [usual_format(physical_aval(array_aval(a)).ndim, s) for a, s in zip(avals, shardings)]


def _difference(difference: Any) -> str:
    """A difference between argument structures, whose root is the pair (args, kwargs)."""
    first, *rest = difference.path or (None,)
    root = "" if first is None else ("args", "kwargs")[first.idx]
    return f"{root}{keystr(tuple(rest))} was {difference.first}, is {difference.second}: {difference.reason}"

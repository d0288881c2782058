"""What `jit(f).trace`, `.lower` and `.compile` return: each stage of a program, to look at or to go on from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anima._native import tree_unflatten
from anima.core.jaxpr import ClosedJaxpr
from anima.core.trace import Tracer, aval_of
from anima.errors import JAXTypeError
from anima.interpreters.flat import flatten_for_program
from anima.runtime.dispatch import check_operand
from anima.runtime.hlo_text import hlo_text
from anima.runtime.sharded import ShardedProgram
from anima.transforms.shapes import ShapeDtypeStruct


class Traced:
    """A traced function."""

    __slots__ = ("_lower", "_program", "jaxpr")

    def __init__(self, program: Any, jaxpr: ClosedJaxpr, lower: Callable[[], Lowered]) -> None:
        self._program = program
        self.jaxpr = jaxpr
        self._lower = lower

    @property
    def out_info(self) -> Any:
        """The result's shapes and dtypes, as `ShapeDtypeStruct`s."""
        return tree_unflatten(self._program.out_tree, [ShapeDtypeStruct.of(a) for a in self.jaxpr.out_avals])

    @property
    def fun_name(self) -> str:
        return str(self._program.name)

    def lower(self) -> Lowered:
        """The program as StableHLO."""
        return self._lower()


class Lowered:
    """A program as StableHLO."""

    __slots__ = ("_committed", "_options", "_program", "_traced")

    def __init__(self, program: Any, traced: Any, committed: bool, options: Any) -> None:
        self._program = program
        self._traced = traced
        self._committed = committed
        self._options = options

    @property
    def in_tree(self) -> Any:
        return self._traced.in_tree

    @property
    def out_tree(self) -> Any:
        return self._traced.out_tree

    @property
    def in_avals(self) -> Any:
        return tree_unflatten(self.in_tree, self.leaf_avals)

    @property
    def leaf_avals(self) -> list[Any]:
        """The types of the arguments' leaves."""
        found: list[Any] = self._traced.closed.in_avals[len(self._traced.consts) :]
        return found

    @property
    def out_info(self) -> Any:
        """The result's shapes and dtypes, as `ShapeDtypeStruct`s."""
        return tree_unflatten(self.out_tree, [ShapeDtypeStruct.of(a) for a in self._traced.closed.out_avals])

    def as_text(self, dialect: str | None = None, *, debug_info: bool = False) -> str:
        """The program's text.

        Raises:
          ValueError: `dialect` is not "stablehlo".
        """
        if dialect not in (None, "stablehlo"):
            raise ValueError(f"as_text: dialect must be 'stablehlo', got {dialect!r}; compile() has the HLO")
        return str(self._program.lowered.text)

    def compile(self, compiler_options: dict[str, Any] | None = None) -> Compiled:
        """The program compiled for its device."""
        options = {**(self._options or {}), **(compiler_options or {})} or None
        executable = self._program.compile(options)
        out_tree = None if _reorders(self._program) else self.out_tree
        plan = self._program.plan(executable, out_tree=out_tree, committed=self._committed)
        return Compiled(executable, plan, self)

    def cost_analysis(self) -> dict[str, float]:
        """XLA's estimate of the program's cost (compiles it)."""
        return self.compile().cost_analysis()


def _reorders(program: Any) -> bool:
    return isinstance(program, ShardedProgram) and program.reorders


class Compiled:
    """A compiled program; calling it checks its arguments against the signature that it was compiled for."""

    __slots__ = ("_executable", "_lowered", "_plan")

    def __init__(self, executable: Any, plan: Any, lowered: Lowered) -> None:
        self._executable = executable
        self._plan = plan
        self._lowered = lowered

    @property
    def in_tree(self) -> Any:
        return self._lowered.in_tree

    @property
    def out_tree(self) -> Any:
        return self._lowered.out_tree

    @property
    def out_info(self) -> Any:
        return self._lowered.out_info

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; static arguments are left out.

        Raises:
          TypeError: the arguments are not of the shapes, dtypes and structure that it was compiled for.
        """
        _, leaves, tree = flatten_for_program((args, kwargs))
        if tree != self.in_tree:
            raise TypeError(
                f"the program was compiled for arguments of structure {self.in_tree}, called with {tree}"
            )
        if any(isinstance(x, Tracer) for x in leaves):
            raise JAXTypeError("a compiled program cannot be transformed: call the jitted function instead")
        leaves = [check_operand(x, "a compiled program") for x in leaves]
        for index, (leaf, aval) in enumerate(zip(leaves, self._lowered.leaf_avals)):
            got: Any = aval_of(leaf)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise TypeError(
                    f"argument leaf {index} is {got.str_short()}; the program was compiled for {aval.str_short()}"
                )
        program = self._lowered._program
        if not isinstance(program, ShardedProgram):
            return self._plan.execute(leaves)
        outs = self._plan.execute(program.place(leaves))
        return tree_unflatten(self.out_tree, program.as_asked(outs)) if program.reorders else outs

    def as_text(self) -> str:
        """The optimised program, as XLA runs it, in the form of HLO text."""
        return hlo_text(self._executable.optimized_program())

    def cost_analysis(self) -> dict[str, float]:
        """XLA's estimate of the program's cost, by name."""
        return dict(self._executable.cost_analysis())

    def memory_analysis(self) -> dict[str, int]:
        """Bytes that the program needs, by kind."""
        return dict(self._executable.memory_stats())

    def runtime_executable(self) -> Any:
        """The native executable."""
        return self._executable

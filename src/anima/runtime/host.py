"""Small eager operations that the host answers: always by a native kernel, at first by NumPy while there is no program.

Invariant: the answers have the bits that the compiled program gives (`core/host.py` says for which operations that holds),
so nobody can tell when the program takes over. What cannot be answered exactly is compiled at once, and so is
everything on other devices than the CPU.

Compiling an operation takes 20 ms, loading it from the disk 2; an answer takes about 40 us, against 2 for a compiled call.
So programs that go through many shapes, or make a hundred steps, need not wait for the compiler. The number of answers
(`eager_host_calls`) lies between those that take as long as loading (50) and as compiling (600): all of them take 5 ms.

What is still being computed is waited for, as long as compiling would take at most, and that as often as calls are
answered: then there is a program, and calls wait for nothing.

A native kernel (`native/call/host_kernel.h`) takes 0.3 us, a fifth of what a compiled call takes. So operations that have
one never have a program, until an operand comes that the kernel refuses.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from anima import _native, dtypes
from anima._native import ArrayImpl, CallPlan, tree_unflatten
from anima.config import debug_infs, debug_key_reuse, debug_nans, eager_host_calls, numpy_dtype_promotion
from anima.core.aval import AbstractValue, ShapedArray, physical_aval
from anima.core.host import LARGEST, WHOLE, HostRule, is_small
from anima.core.jaxpr import Eqn, Jaxpr, Literal
from anima.core.trace import aval_of
from anima.lowering.module import host_kernels
from anima.runtime.devices import default_device
from anima.runtime.sequences import are_kept_apart
from anima.runtime.steps import MAX_KEYS, Step, flattened, shared_rule

MAX_ELEMENTS = 1 << 16  # of any array; larger ones are worth a program

# Exactly: what is derived from them may mean something else.
_HOST_TYPES = (bool, int, float, complex, np.ndarray)


_STEPS_A_CALL = 8  # of NumPy's, in the time that an operation's call takes
_SHARED_COST = 8  # of a step by a program that shapes share


class HostProgram:
    """A program as NumPy runs it, and how often it has.

    Attributes:
      calls: how many calls were answered.
      cost: what one takes, in calls of one operation.
      native: the same for `CallPlan` to run without Python, or None.
      ordered: whether that holds for the program as it is compiled without optimisation.
    """

    __slots__ = ("_constants", "_inputs", "_outputs", "_size", "_steps", "calls", "cost", "native", "ordered")

    def __init__(
        self,
        jaxpr: Jaxpr,
        steps: list[Step],
        places: dict[Any, int],
        constants: dict[int, Any],
        size: int,
        ordered: bool,
    ) -> None:
        self.calls = 0
        self.cost = sum([_SHARED_COST if step.fun is None else 1 for step in steps]) // _STEPS_A_CALL + 1
        self.ordered = ordered
        self._steps = steps
        self._inputs: list[ShapedArray] = [_array(v.aval) for v in jaxpr.invars]
        self._outputs = [(places[v], _array(v.aval)) for v in jaxpr.outvars]
        self._constants = constants
        self._size = size
        self.native = native_program(jaxpr, steps, constants, [i for i, _ in self._outputs])

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    def out_avals(self) -> list[tuple[Any, Any, bool]]:
        """The results' shapes, dtypes and weak types."""
        return [(a.shape, a.dtype, a.weak_type) for _, a in self._outputs]

    def answer(self, operands: Sequence[Any], device: _native.Device, committed: bool) -> list[Any] | None:
        """The results for these operands, or None where only the compiled program can tell."""
        with np.errstate(all="ignore"):
            given = [on_host(x, aval) for x, aval in zip(operands, self._inputs)]
            if any([x is None for x in given]):
                return None
            values = [*given, *[None] * (self._size - len(given))]
            for index, constant in self._constants.items():
                values[index] = constant
            for step in self._steps:
                if not step.run(values, device, committed):
                    return None
        self.calls += 1
        return [_result(values[i], aval, device, committed) for i, aval in self._outputs]


def _result(value: Any, aval: ShapedArray, device: _native.Device, committed: bool) -> ArrayImpl:
    if type(value) is ArrayImpl:  # keys
        return value if value.committed == committed else _native.array_with(value, committed=committed)
    return _native.array_from_host(
        value, device, dtype=aval.dtype, weak_type=aval.weak_type, committed=committed
    )


def wanted(device: _native.Device) -> bool:
    """Whether the host answers calls of operations on a device."""
    if device.platform != "cpu" or _native.transfers_guarded():
        return False
    return eager_host_calls.value > 0 and host_kernels.value


def _index_device() -> _native.Device | None:
    """Where native code reads and updates uncommitted arrays at an index, with the options in force; None: nowhere."""
    looked_at = debug_nans.value or debug_infs.value or debug_key_reuse.value
    if eager_host_calls.value <= 0 or looked_at or numpy_dtype_promotion.value != "standard":
        return None
    return default_device()


_native.set_index_device(_index_device)


def answered(
    program: HostProgram,
    operands: Sequence[Any],
    device: _native.Device,
    committed: bool,
    *,
    consts: Sequence[Any] = (),
    out_tree: Any = None,
    single: bool = False,
) -> tuple[Any, CallPlan | None] | None:
    """What a program's call returns, and the plan for the next one if native kernels run it; None if it must be compiled.

    Args:
      program: see `host_program`.
      operands, consts: the arguments, and what the program takes before them.
      device, committed: where the results are to be, and whether they stay there.
      out_tree, single: how they are returned: as this structure, as the only one, or as a list.
    """
    native = None if consts else plan(program, device, out_tree=out_tree, single=single, committed=committed)
    if native is not None and (out := native.answer(operands)) is not None:
        return out, native
    if program.calls * program.cost >= eager_host_calls.value:
        return None
    if native is not None and any([type(x) is np.ndarray for x in operands]):
        # Native code reads arrays where they are; NumPy's are brought there first, small as they are.
        arrays = [_native.array_from_host(x, device) if type(x) is np.ndarray else x for x in operands]
        if (out := native.answer(arrays)) is not None:
            program.calls += 1
            return out, native
    if await_pending(operands, device):
        program.calls += 1
        if native is not None and (out := native.answer(operands)) is not None:
            return out, native
    outs = program.answer([*consts, *operands], device, committed)
    if outs is None:
        return None
    return (outs[0] if single else outs if out_tree is None else tree_unflatten(out_tree, outs)), None


_PATIENCE = 0.01  # seconds: what compiling an operation takes
_LOOKS_EACH = 2e-5  # seconds


def await_pending(operands: Sequence[Any], device: _native.Device) -> bool:
    """Whether an operand on the device was still being computed, and all of them are there after a short wait."""
    pending = [x for x in operands if type(x) is ArrayImpl and x.device is device and not x.is_ready()]
    end = time.perf_counter() + _PATIENCE
    for x in pending:
        while not x.is_ready():
            if time.perf_counter() >= end:
                return False
            time.sleep(_LOOKS_EACH)
    return bool(pending)


class _Arrived:
    """What a call returns that has waited for its operands, in place of a program: it is to be made again."""


ARRIVED = _Arrived()
_MAX_WAITS = 4096
_waits: dict[Hashable, int] = {}  # of calls that native code may answer once the operands are there


def arrived(what: Hashable, operands: Sequence[ArrayImpl]) -> bool:
    """Whether small operands that were still being computed are there after a short wait.

    Args:
      what: the call, as one program would answer it; of each, the first few wait.
      operands: its operands, at least one; the first decides on the device.
    """
    device = operands[0].device
    if not isinstance(device, _native.Device) or not wanted(device):
        return False
    if max([x.nbytes for x in operands]) > LARGEST:
        return False
    count = _waits.get(what, 0)
    if count >= eager_host_calls.value or not await_pending(operands, device):
        return False
    if len(_waits) >= _MAX_WAITS:
        _waits.clear()
    _waits[what] = count + 1
    return True


def plan(
    program: HostProgram,
    device: _native.Device,
    *,
    out_tree: Any = None,
    single: bool = False,
    committed: bool = False,
) -> CallPlan | None:
    """The plan of a program that native kernels run, until there is a compiled one; None if they do not."""
    if program.native is None:
        return None
    return CallPlan(
        None,
        num_leaves=program.num_inputs,
        out_avals=program.out_avals(),
        out_tree=out_tree,
        single=single,
        committed=committed,
        device=device,
        host=program.native,
    )


def host_program(jaxpr: Jaxpr) -> HostProgram | None:
    """The program as NumPy runs it, or None if it cannot, with the same bits."""
    flat = flattened(jaxpr)
    if flat is None or jaxpr.effects or jaxpr.constvars or not flat.eqns or not all(map(_fits, flat.invars)):
        return None
    built = _Assembly(flat)
    if not all(map(built.add, flat.eqns)):
        return None
    rounding = [rule for eqn, rule in zip(flat.eqns, built.rules) if rule.rounds and _rounds(eqn)]
    several = len(rounding) > 1 or (
        len(built.rules) > 1 and any([rule.alone or rule.sequence == "function" for rule in rounding])
    )
    if several and not are_kept_apart(flat, built.rules, built.variable, built.known):
        return None
    places = built.places
    if not all([places.get(v, 0) >= len(jaxpr.invars) for v in flat.outvars]):
        return None
    ordered = several or any([rule.suits is not None for rule in rounding])
    for step in built.steps:
        step.ordered = ordered
    return HostProgram(flat, built.steps, places, built.constants, next(built.numbers), ordered)


class _Assembly:
    """The steps of a program, as they are put together.

    Attributes:
      rules: of each equation.
      variable: what depends on the program's arguments.
      known: the values of what depends on nothing.
    """

    def __init__(self, jaxpr: Jaxpr) -> None:
        self.places: dict[Any, int] = {var: i for i, var in enumerate(jaxpr.invars)}
        self.numbers = itertools.count(len(self.places))
        self.variable = set(jaxpr.invars)
        self.constants: dict[int, Any] = {}
        self.steps: list[Step] = []
        self.rules: list[HostRule] = []
        self._alone = len(jaxpr.eqns) == 1
        self._results = set(jaxpr.outvars)
        self.known: dict[Any, np.ndarray[Any, Any]] = {}

    def add(self, eqn: Eqn) -> bool:
        """Whether the host performs this equation, too."""
        found = self._rule_of(eqn)
        if found is None:
            return False
        rule, atoms = found
        self.rules.append(rule)
        varies = any([v in self.variable for v in eqn.invars])
        if varies:
            self.variable.update(eqn.outvars)
        operands = []
        for atom in atoms:
            index = next(self.numbers) if isinstance(atom, Literal) else self.places[atom]
            if isinstance(atom, Literal):
                self.constants[index] = np.asarray(atom.val, _array(atom.aval).dtype)
            operands.append(index)
        results = list(itertools.islice(self.numbers, len(eqn.outvars)))
        self.places.update(zip(eqn.outvars, results))
        is_last = len(results) != 1 or eqn.outvars[0] in self._results
        are_known = not varies and all([i in self.constants for i in operands])
        if rule.fun is not None and are_known and not is_last:
            with np.errstate(all="ignore"):
                value = np.asarray(rule.fun(*[self.constants[i] for i in operands], **eqn.params))
            self.constants[results[0]] = self.known[eqn.outvars[0]] = value
        elif rule.sequence == "function" and not varies:
            return False  # the compiler computes it, and in another way than its code does
        else:
            self.steps.append(Step(eqn, rule, operands, results, self.known, not self._alone))
        return True

    def _rule_of(self, eqn: Eqn) -> tuple[HostRule, list[Any]] | None:
        """The rule for an equation, if there is one that holds for its dtypes and sizes, and on what it works."""
        rule, atoms = eqn.primitive.host, list(eqn.invars)
        if rule is not None and not all([eqn.invars[i] in self.variable for i in rule.variable]):
            rule, atoms = rule.by_constant, _inverted(atoms, self.known)
        names = {_array(v.aval).dtype.name for v in (*atoms, *eqn.outvars)}
        if (atoms or not eqn.invars) and all([_fits(v) for v in (*atoms, *eqn.outvars)]):
            while rule is not None and not (
                names.issubset(rule.dtypes)
                and (rule.suits is None or rule.suits(*[v.aval for v in atoms], **eqn.params))
            ):
                rule = rule.otherwise
            if rule is not None:
                return rule, atoms
        rule = None if self._alone else shared_rule(eqn)
        return None if rule is None else (rule, list(eqn.invars))


def program_of(jaxpr: Jaxpr) -> HostProgram | None:
    """`host_program`, found once for a program, also where there is none."""
    (program,) = jaxpr.memoized("host", lambda: (host_program(jaxpr),))
    return program


def is_ordered(jaxpr: Jaxpr) -> bool:
    """Whether a program is to be compiled without optimisation, on a CPU, for the host to have its bits."""
    program = program_of(jaxpr)
    return program is not None and program.ordered


# ---- native kernels ---------------------------------------------------------------------------

_MAX_PIECES = 512  # a kernel that moves goes through them one by one: a program is quicker than so many
_ARITHMETIC = frozenset((*WHOLE, "float32", "float64"))
# (avals, constants, steps, outputs): the argument `host` of `CallPlan`.
NativeProgram = tuple[list[Any], list[Any], list[Any], list[int]]


def native_program(
    jaxpr: Jaxpr, steps: list[Step], constants: dict[int, Any], outputs: list[int]
) -> NativeProgram | None:
    """A program as native kernels run it, or None if there is none for one of its operations."""
    if len(set(outputs)) != len(outputs):
        return None
    avals: dict[int, Any] = {i: v.aval for i, v in enumerate(jaxpr.invars)}
    if any([dtypes.is_extended(a.dtype) or not is_small(a) for a in avals.values()]):
        return None  # also where no step takes it
    for index, constant in constants.items():
        avals[index] = ShapedArray(constant.shape, constant.dtype)
    described = []
    for step in steps:
        avals.update(zip(step.results, step.outs))
        details = _details(step.rule, [avals[i] for i in step.operands], step.outs, step.params)
        if details is None:
            return None
        described.append((step.rule.kernel, step.operands, step.results, details))
    values = [(a.shape, a.dtype, a.weak_type) for a in (avals[i] for i in range(len(avals)))]
    return values, [(i, c.tobytes()) for i, c in constants.items()], described, outputs


def _details(
    rule: HostRule, operands: list[ShapedArray], outs: list[ShapedArray], params: dict[str, Any]
) -> Any:
    """What the native kernel has to know beside the avals, or None if it does not compute this."""
    names = {a.dtype.name for a in (*operands, *outs)}
    if (
        rule.kernel in ("", "library")
        or not outs
        or not all(map(is_small, (*operands, *outs)))
        or "bfloat16" in names
    ):
        return None
    if rule.call is not None:
        found = rule.call(*operands, **params)
        return None if found is None else (found[0], tuple(sorted(found[1].items())))
    if rule.kernel == "move":
        return _pieces(rule, operands, params)
    if rule.kernel == "select_n":
        return () if len(operands) == 3 and operands[0].dtype.name == "bool" else None
    if rule.kernel == "dynamic_slice":
        return ()
    return _reduced(params) if names <= _ARITHMETIC else None


def _reduced(params: dict[str, Any]) -> tuple[int, int] | tuple[()] | None:
    """The first and the last dimension that an operation reduces, () if none, None if they are no neighbours."""
    if "axes" not in params:
        return ()
    axes = sorted(params["axes"])
    return (axes[0], axes[-1]) if axes and axes[-1] - axes[0] == len(axes) - 1 else None


def _pieces(
    rule: HostRule, operands: list[ShapedArray], params: dict[str, Any]
) -> list[tuple[int, ...]] | int | None:
    """What moves where, as ``(operand, from, result, to, count)``: found by moving the elements' numbers.

    The number alone where each element is only repeated so many times.
    """
    ends = np.cumsum([0, *(a.size for a in operands)])
    numbers = [np.arange(end, end + a.size).reshape(a.shape) for a, end in zip(operands, ends)]
    if rule.refuses is not None and rule.refuses(*numbers, **params):
        return None
    assert rule.fun is not None
    moved = rule.fun(*numbers, **params)
    if len(operands) == 1 and type(moved) is not list and (count := _repeats(moved, operands[0].size)) > 1:
        return count
    pieces: list[tuple[int, ...]] = []
    for result, array in enumerate(moved if type(moved) is list else [moved]):
        sources = np.asarray(array).reshape(-1)
        owners = np.searchsorted(ends, sources, side="right") - 1
        breaks = (np.diff(sources) != 1) | (np.diff(owners) != 0)
        starts = [0, *(np.flatnonzero(breaks) + 1).tolist()] if sources.size else []
        if len(pieces) + len(starts) > _MAX_PIECES:
            return None
        for start, stop in zip(starts, [*starts[1:], sources.size]):
            owner = int(owners[start])
            pieces.append((owner, int(sources[start] - ends[owner]), result, start, stop - start))
    return pieces


def _repeats(moved: Any, size: int) -> int:
    """How often each of the numbers from 0 on stands there, if that is all that does; 0 if it is not."""
    count = moved.size // size if size else 0
    return count if np.array_equal(np.ravel(moved), np.repeat(np.arange(size), count)) else 0


_FAR = 2.0**60


def _inverted(atoms: list[Any], known: dict[Any, Any]) -> list[Any]:
    """The operands of a quotient, with the inverse of numbers in place of those; none if there is no inverse.

    Args:
      known: the values of what depends on nothing.
    """
    divisor = atoms[-1]
    dtype = _array(divisor.aval).dtype
    found = divisor.val if isinstance(divisor, Literal) else known.get(divisor)
    if found is None or dtype.name not in ("float32", "float64"):
        return []
    number = np.asarray(found, dtype)
    if not np.all((np.abs(number) > 1 / _FAR) & (np.abs(number) < _FAR)):
        return []
    return [*atoms[:-1], Literal(np.reciprocal(number), divisor.aval)]


def _array(aval: AbstractValue) -> ShapedArray:
    assert isinstance(aval, ShapedArray)
    return aval


def _fits(atom: Any) -> bool:
    aval = atom.aval
    if not isinstance(aval, ShapedArray):
        return False
    if dtypes.is_extended(aval.dtype):
        return aval.size <= MAX_KEYS
    return aval.dtype.isnative and aval.size <= MAX_ELEMENTS


def _rounds(eqn: Eqn) -> bool:
    """Whether the compiler could round the results of this operation, which may round, and of another one once.

    Not those of whole numbers that become wide ones: no instruction does that and something else. (A product with
    truth values becomes a selection.)
    """
    given, result = (
        [physical_aval(_array(v.aval)).dtype for v in atoms] for atoms in (eqn.invars, eqn.outvars)
    )
    if all([dtype.kind in "iu" for dtype in given]):
        return any([dtype.kind in "fV" and dtype.itemsize < 4 for dtype in result])
    return True


def on_host(value: Any, aval: ShapedArray) -> Any:
    """A value as NumPy's, or keys as they are, without waiting for it and without moving it; None where that cannot be had."""
    if dtypes.is_extended(aval.dtype):
        return value if type(value) is ArrayImpl else None
    if type(value) is ArrayImpl:
        return np.asarray(value) if value.is_ready() else None
    if not (type(value) in _HOST_TYPES or isinstance(value, np.generic)) or aval_of(value) != aval:
        return None
    try:
        return np.asarray(value, aval.dtype)
    except OverflowError:
        return None

"""What must hold of every program, whatever it computes.

Invariant: a check compares two ways to the same numbers, within a bound that is relative to their size. A difference that
goes away, or changes, when the arguments move by a rounding error is no failure: the program is ill-conditioned there.
"""

from __future__ import annotations

import inspect
import textwrap
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np

import anima
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of
from anima.runtime.arrays import as_array
from tests.transforms import interpreted, oracle
from tests.transforms.composition import CHEAP
from tests.transforms.programs import Function, Input, Program

BFLOAT16 = np.dtype(anima.numpy.bfloat16)
LARGEST = 1e3  # numbers beyond are not compared
# How programs and their transformed forms are run, as often as they stand here: transformed while tracing, the trace run
# operation by operation; eagerly, operation by operation; traced and compiled; "plain": eagerly, as users do it, with all
# that this compiles.
ROUTES = ("traced", "traced", "traced", "eager", "eager", "eager", "compiled", "compiled", "plain")
OPTIONAL = (
    "checkpoint", "custom_jvp", "custom_vjp", "custom_gradient", "closure_convert", "custom_vmap", "sequential_vmap",
)  # fmt: skip


class Mismatch(AssertionError):
    """Two ways to the same numbers gave different ones."""


class Inconclusive(Exception):
    """The program cannot be checked at this point: it is ill-conditioned there, or leaves the range of numbers."""


def features(module: Any = anima) -> frozenset[str]:
    """What a library has of the structures that programs are made of."""
    lax, batching = module.lax, getattr(module, "custom_batching", None)
    found = {n for n in OPTIONAL if hasattr(module, n) or hasattr(batching, n)}
    found |= {n for n in ("custom_linear_solve", "custom_root", "ppermute") if hasattr(lax, n)}
    found |= {"collectives"} if hasattr(lax, "psum") else set()
    steps = module is anima and "max_steps" in inspect.signature(lax.while_loop).parameters
    return frozenset(found | ({"max_steps"} if steps else set()))


def from_text(
    inputs: Sequence[Any],
    text: str,
    *,
    wide: bool,
    mixed: bool,
    forward: bool,
    reverse: bool,
    order: int,
    choice: int,
) -> Program:
    """The program of a text, as a failing one is printed."""
    head, *body = textwrap.dedent(text).strip().splitlines()
    params = head[head.index("(") + 1 : head.rindex(")")]
    lines = tuple(textwrap.dedent("\n".join(body[:-1])).splitlines())
    result = body[-1].strip().removeprefix("return ")
    function = Function("f", params, lines, result)
    return Program(tuple(inputs), function, wide, mixed, forward, reverse, order, choice)


def updated(x: Any, index: Any, how: str, value: Any) -> Any:
    """`x` with some elements changed."""
    return getattr(anima.numpy.asarray(x).at[index], how)(value)


def names(wide: bool, jit: Callable[..., Any] = anima.jit, module: Any = anima) -> dict[str, Any]:
    """The names that programs use."""
    np_ = module.numpy
    public = (
        "vmap", "grad", "value_and_grad", "jvp", "vjp", "linearize", "linear_transpose", "jacfwd", "jacrev", "hessian",
    )  # fmt: skip
    batching = getattr(module, "custom_batching", None)
    optional = {n: getattr(module, n, None) or getattr(batching, n, None) for n in OPTIONAL}
    widths = [(np_.float64, np_.int64, np_.complex128), (np_.float32, np_.int32, np_.complex64)]
    widths.append((np_.bfloat16, np_.int16, np_.complex64))
    (Float, Int, Complex), narrow = widths[:2] if wide else widths[1:]
    return dict(
        np=np_, lax=module.lax, jit=jit, updated=updated, Float=Float, Int=Int, Complex=Complex, Narrow=narrow[0],
        NarrowInt=narrow[1], NarrowComplex=narrow[2], **{n: getattr(module, n) for n in public},
        **optional, checkpoint_policies=getattr(module, "checkpoint_policies", None),
    )  # fmt: skip


def function(
    program: Program, names: dict[str, Any], number: Callable[[Any], Any] = as_array
) -> Callable[..., list[Any]]:
    """The program as a function that returns a list of arrays; `number` makes one of a Python number."""
    scope = dict(names)
    exec(compile(program.source, "<program>", "exec"), scope)
    f = scope["f"]

    def listed(*args: Any) -> list[Any]:
        out = f(*args)
        outs = out if isinstance(out, tuple) else (out,)
        return [number(x) if type(x) in (bool, int, float, complex) else x for x in outs]

    return listed


class Point:
    """Where a program is checked: arguments, directions, cotangents and batches, from its number."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.rng = np.random.default_rng(program.choice)
        self.args = [self._value(i) for i in program.inputs]
        self.tangents = [self.direction(a) for a in self.args]  # None where there can be none

    def dtype(self, given: Input) -> np.dtype[Any]:
        """The dtype of an argument."""
        widths = {
            "f": (np.float64, np.float32, BFLOAT16), "i": (np.int64, np.int32, np.int16),
            "c": (np.complex128, np.complex64, np.complex64), "b": (bool, bool, bool),
        }  # fmt: skip
        return np.dtype(widths[given.kind][(not self.program.wide) + (given.form == "narrow")])

    def _value(self, given: Input) -> Any:
        dtype = self.dtype(given)
        value: Any = self.rng.uniform(-1.5, 1.5, given.shape)
        if given.kind == "c":
            value = value + 1j * self.rng.uniform(-1.5, 1.5, given.shape)
        elif given.kind == "i":
            value = self.rng.integers(-3, 6, given.shape)
        elif given.kind == "b":
            value = self.rng.uniform(size=given.shape) < 0.5
        value = np.asarray(value, dtype)
        return value.item() if given.form == "number" else as_array(value)

    def direction(self, like: Any) -> Any:
        """A direction in which a value may move; None if it has no tangent."""
        if not oracle.inexact(like):
            return None
        array = np.asarray(like)
        value: Any = self.rng.uniform(0.5, 1.0, array.shape) * self.rng.choice([-1.0, 1.0], array.shape)
        if array.dtype.kind == "c":
            value = value + 1j * self.rng.uniform(-1.0, 1.0, array.shape)
        dtype = array.dtype
        if isinstance(like, (float, complex)) and not self.program.wide:
            dtype = np.dtype(np.float32 if dtype.kind == "f" else np.complex64)
        return np.asarray(value, dtype)

    def moved(self, args: Sequence[Any], amount: float) -> list[Any]:
        """Arguments moved a little, each element its own way."""
        return [
            a if t is None else oracle.wide(a) * (1 + amount * self.rng.uniform(-1.0, 1.0, np.shape(a)))
            for a, t in zip(args, self.tangents)
        ]


class Check:
    """The checks of one program. `route`: how its transformed forms are run."""

    def __init__(self, program: Program, route: str) -> None:
        self.program = program
        self.route = route
        self.exact = program.wide and not program.mixed
        self.coarse = program.mixed and not program.wide  # some values are of bfloat16
        self.close = 1e-9 if self.exact else 0.06 if self.coarse else 2e-4
        self.true = function(program, oracle.NAMES, np.asarray)

    def run(self) -> None:
        """Check everything.

        Raises:
          Mismatch: something does not hold. Inconclusive: it cannot be told here.
        """
        with np.errstate(all="ignore"), anima.enable_x64(self.program.wide), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.point = Point(self.program)
            want = self._wanted() if self.program.order <= 2 else None
            jit = anima.jit if self.route == "plain" else interpreted.jit
            self.fun = function(self.program, names(self.program.wide, jit))
            with self.cheaply():
                outs = self.fun(*self.point.args)
            self._readable(outs)
            if want is not None:
                self.compare("the program, run eagerly", outs, want, self._true_tolerance(), dtypes_too=False)
            typed = self.typed(outs)
            self.avals(typed)
            jitted = anima.jit(self.fun, compiler_options=CHEAP)
            compiled = jitted(*self.point.args)
            self.compare("jit(f)", compiled, outs, self.close)
            self.same_types("jit(f)", typed, list(map(aval_of, compiled)))
            self.derivatives(outs, jitted)
            self.batch(jitted)

    def cheaply(self) -> AbstractContextManager[None]:
        """Without compiling control flow, unless the program is to be run as users do it."""
        return nullcontext() if self.route == "plain" else interpreted.interpreted()

    # --- values ---

    def _wanted(self) -> list[Any]:
        oracle.settings.step = 2.0**-12
        want = self.true(*[oracle.wide(a) for a in self.point.args])
        self._readable(want)
        return want

    def _readable(self, outs: Sequence[Any]) -> None:
        for out in outs:
            size = np.max(np.abs(oracle.plain(out).astype(complex)), initial=0)
            if not size < LARGEST:
                raise Inconclusive("the program's results are large or not finite")

    def _true_tolerance(self) -> float:
        return (1e-9, 1e-9, 1e-6)[self.program.order] if self.exact else 0.1 if self.coarse else 5e-4

    def compare(
        self,
        what: str,
        got: Sequence[Any],
        want: Sequence[Any],
        tolerance: float,
        dtypes_too: bool = True,
        points: Sequence[Any] = (),
    ) -> None:
        """Raise unless two lists of arrays agree; `points` are the arguments that they come from, if not the usual ones."""
        if len(got) != len(want):
            raise Mismatch(f"{what}: {len(got)} results, not {len(want)}")
        for index, (g, w) in enumerate(zip(map(np.asarray, got), map(np.asarray, want))):
            where = f"{what}, result {index}"
            if g.shape != w.shape:
                raise Mismatch(f"{where}: shape {g.shape}, not {w.shape}")
            if dtypes_too and g.dtype != w.dtype:
                raise Mismatch(f"{where}: dtype {g.dtype}, not {w.dtype}")
            g, w = oracle.plain(g), oracle.plain(w)
            if g.dtype.kind != w.dtype.kind:
                raise Mismatch(f"{where}: dtype {g.dtype}, not {w.dtype}")
            if not _agree(g, w, tolerance):
                if any(self._sensitive(tolerance, args) for args in points or [self.point.args]):
                    raise Inconclusive("ill-conditioned")
                raise Mismatch(f"{where}:\n{g}\nnot\n{w}")

    def _sensitive(self, tolerance: float, args: Sequence[Any] | None = None) -> bool:
        """Whether the program's results or slopes change by rounding errors of the arguments, or at another step."""
        args = self.point.args if args is None else args
        amount = 1e-13 if self.exact else 2.0**-6 if self.coarse else 1e-5
        if self.program.order > 2:
            return self._sensitive_eagerly(args, amount, tolerance)
        values = []
        for step, moved in ((2.0**-12, 0.0), (2.0**-15, 0.0), *[(2.0**-12, amount)] * 6):
            oracle.settings.step, oracle.settings.roughest = step, 0.0
            points, tangents = self.point.moved(args, moved), self.point.tangents
            value, slope = oracle.along(lambda *xs: self.true(*xs), points, tangents)
            values.append([*value, *slope])
            if oracle.settings.roughest > 0.05:
                return True
        return any(
            not _agree(np.asarray(a), np.asarray(b), tolerance)
            for v in values[1:]
            for a, b in zip(v, values[0])
        )

    def _sensitive_eagerly(self, args: Sequence[Any], amount: float, tolerance: float) -> bool:
        """The same for programs that NumPy cannot follow, by their own values: also along the direction of the slopes."""
        points = [
            [m if t is None else np.asarray(m, t.dtype) for m, t in zip(moved, self.point.tangents)]
            for moved in [self.point.moved(args, m) for m in (0.0, *[amount] * 4)]
        ]
        with self.cheaply():
            values = [list(map(oracle.plain, self.fun(*p))) for p in points]
            steps = [2.0**-9 * m for m in (-2, -1, 1, 2)] if self.exact else []
            at = [list(map(np.asarray, self.fun(*self._moved_along(args, m)))) for m in steps]
        if any(not _agree(a, b, tolerance) for v in values[1:] for a, b in zip(v, values[0])):
            return True
        for far_left, left, right, far_right, centre in zip(*at, values[0]) if at else ():
            if centre.dtype.kind not in "fc":
                if not np.array_equal(far_left, far_right):
                    return True
                continue
            # A kink or a jump shows as second differences that do not shrink with the square of the step.
            near, far = right - 2 * centre + left, far_right - 2 * centre + far_left
            if not _agree(near * 4, far, 1e-4):
                return True
        return False

    # --- types ---

    def typed(self, outs: Sequence[Any]) -> Sequence[Any]:
        """The results with arrays for Python numbers, so that comparisons are of arrays, as they are when traced.

        A comparison of Python numbers is Python's bool, which is strongly typed; that of arrays is weakly typed as they are.
        All other results have the same types.
        """
        if all(given.form != "number" for given in self.program.inputs):
            return outs
        with self.cheaply():
            typed = self.fun(*map(as_array, self.point.args))
        alike = [i for i, out in enumerate(outs) if np.asarray(out).dtype != np.bool_]
        self.same_types("arrays for numbers", [outs[i] for i in alike], [aval_of(typed[i]) for i in alike])
        return typed

    def avals(self, outs: Sequence[Any]) -> None:
        """What tracing says of the results must be what they are."""
        shapes = anima.eval_shape(self.fun, *self.point.args)
        self.same_types("eval_shape", outs, [ShapedArray(s.shape, s.dtype, s.weak_type) for s in shapes])
        closed = anima.make_jaxpr(self.fun)(*self.point.args)
        self.same_types("make_jaxpr", outs, closed.out_avals)

    def same_types(self, what: str, outs: Sequence[Any], avals: Sequence[Any]) -> None:
        """Raise unless arrays have these avals, weak types included."""
        for index, (out, aval) in enumerate(zip(outs, avals)):
            found = aval_of(out)
            if found != aval:
                raise Mismatch(f"{what}, result {index}: {aval}, but run eagerly {found}")

    # --- derivatives ---

    def _route(self, fun: Callable[..., list[Any]], *args: Any) -> list[Any]:
        """The results of a transformed program: interpreted, eager or compiled."""
        if self.route == "compiled":
            return anima.jit(fun, compiler_options=CHEAP)(*args)
        with self.cheaply():
            if self.route != "traced":
                return fun(*args)
            closed = anima.make_jaxpr(fun)(*args)
            return interpreted.run(closed, [a for a in args if not isinstance(a, list)] + _leaves(args))

    def derivatives(self, outs: Sequence[Any], jitted: Any) -> None:
        """Forward and reverse derivatives agree with each other and with difference quotients."""
        point, program = self.point, self.program
        moving = [i for i, t in enumerate(point.tangents) if t is not None]
        kept = [i for i, o in enumerate(outs) if oracle.inexact(o)]
        if not moving or not kept or not (program.forward or program.reverse):
            return
        ts, values = [point.tangents[i] for i in moving], [outs[i] for i in kept]
        cts = [point.direction(np.asarray(value)) for value in values]
        derive = partial(self._derive, moving, kept)
        found = iter(self._route(derive, point.args, ts, cts))
        take = lambda n: [np.asarray(next(found)) for _ in range(n)]
        pushed = pulled = None
        if program.forward:
            self.compare("the value from jvp", take(len(kept)), values, self.close)
            pushed = take(len(kept))
            self.compare("linearize against jvp", take(len(kept)), pushed, self.close)
            _same_kind("tangent", pushed, values)
        if program.reverse:
            self.compare("the value from vjp", take(len(kept)), values, self.close)
            pulled = take(len(moving))
            self.compare("vjp of checkpoint against vjp", take(len(moving)), pulled, self.close)
            _same_kind("cotangent", pulled, ts)
        if program.forward and program.reverse:
            self.compare("linear_transpose of linearize against vjp", take(len(moving)), pulled, self.close)
            self.compare("linear_transpose of vjp against jvp", take(len(kept)), pushed or [], self.close)
        self.pairing(pushed, pulled, ts, cts)
        if self.exact and pushed is not None:
            self.quotients(pushed, kept, jitted)
        elif self.exact and pulled is not None:
            self.pulled_quotients(pulled, ts, cts, kept, jitted)

    def _derive(self, moving: list[int], kept: list[int], args: Any, ts: Any, cts: Any) -> list[Any]:
        """Values and derivatives of the inexact results by the inexact arguments; those of others are `float0`."""
        tangents = [np.zeros(np.shape(x), anima.dtypes.float0) for x in args]
        for i, t in zip(moving, ts):
            tangents[i] = t
        found: list[Any] = []
        if self.program.forward:
            values, pushed = anima.jvp(self.fun, args, tangents)
            _, linear = anima.linearize(self.fun, *args)
            found += [of[i] for of in (values, pushed, linear(*tangents)) for i in kept]
        if self.program.reverse:
            for fun in (self.fun, anima.checkpoint(self.fun)):
                values, pull = anima.vjp(fun, *args)
                given = [np.zeros(np.shape(v), anima.dtypes.float0) for v in values]
                for i, ct in zip(kept, cts):
                    given[i] = ct
                pulled = pull(given)
                found += [values[i] for i in kept] if fun is self.fun else []
                found += [pulled[i] for i in moving]
        if self.program.forward and self.program.reverse:
            pushing = _among(lambda *full: linear(*full), tangents, moving, kept)
            pulling = _among(lambda *full: pull(list(full)), given, kept, moving)
            found += anima.linear_transpose(pushing, *ts)(cts)
            found += anima.linear_transpose(pulling, *cts)(ts)
        return found

    def pairing(self, pushed: Any, pulled: Any, ts: Sequence[Any], cts: Sequence[Any]) -> None:
        """<pulled cotangent, tangent> = <cotangent, pushed tangent>."""
        if pushed is None or pulled is None:
            return
        left, size = _paired(pulled, ts)
        right, other = _paired(cts, pushed)
        if not abs(left - right) <= self.close * (1 + size + other):
            if not np.isfinite(size + other) or self._sensitive(self.close):
                raise Inconclusive("ill-conditioned derivatives")
            raise Mismatch(f"<vjp, tangent> = {left}, but <cotangent, jvp> = {right}")

    def _slopes(self, kept: Sequence[int], jitted: Any) -> tuple[list[Any], float]:
        """Difference quotients, of what NumPy computes if it can, and how exact they are."""
        point, order = self.point, self.program.order
        if order <= 2:
            oracle.settings.step = 2.0**-12
            wide = [oracle.wide(a) for a in point.args]
            _, slopes = oracle.along(lambda *xs: self.true(*xs), wide, point.tangents)
            return [slopes[i] for i in kept], (1e-8, 1e-6, 1e-3)[order]
        at = {
            m: [np.asarray(o) for o in jitted(*self._moved_along(point.args, m * 2.0**-9))]
            for m in (-2, -1, 1, 2)
        }
        slopes = [(8 * (at[1][i] - at[-1][i]) - (at[2][i] - at[-2][i])) / (12 * 2.0**-9) for i in kept]
        return slopes, 1e-6

    def _moved_along(self, args: Sequence[Any], amount: float) -> list[Any]:
        return [
            a if t is None else np.asarray(np.asarray(a) + amount * t, t.dtype)
            for a, t in zip(args, self.point.tangents)
        ]

    def quotients(self, pushed: Sequence[Any], kept: Sequence[int], jitted: Any) -> None:
        """jvp against difference quotients."""
        slopes, tolerance = self._slopes(kept, jitted)
        self.compare("jvp against difference quotients", pushed, slopes, tolerance, dtypes_too=False)

    def pulled_quotients(
        self, pulled: Sequence[Any], ts: Sequence[Any], cts: Sequence[Any], kept: Sequence[int], jitted: Any
    ) -> None:
        """vjp against difference quotients, where there is no jvp."""
        slopes, tolerance = self._slopes(kept, jitted)
        (left, size), (right, other) = _paired(pulled, ts), _paired(cts, slopes)
        if not abs(left - right) <= tolerance * (1 + size + other):
            if not np.isfinite(size + other) or self._sensitive(tolerance):
                raise Inconclusive("ill-conditioned derivatives")
            raise Mismatch(f"<vjp, tangent> = {left}, but difference quotients give {right}")

    # --- batches ---

    def batch(self, jitted: Any) -> None:
        """vmap(f) = f of each example, stacked."""
        rng, size = self.point.rng, 2
        axes = [None if rng.random() < 0.3 else int(rng.integers(0, np.ndim(a) + 1)) for a in self.point.args]
        examples: list[list[Any]] = []
        for k in range(size):
            args = []
            for a, t, d in zip(self.point.args, self.point.tangents, axes):
                array = np.asarray(a, t.dtype if t is not None else None)
                if d is not None and k:
                    array = (
                        array + np.asarray(0.3 * self.point.direction(array), array.dtype)
                        if t is not None
                        else array[...]
                    )
                args.append(array if d is not None else a)
            examples.append(args)
        given = [
            examples[0][i] if d is None else np.stack([e[i] for e in examples], d) for i, d in enumerate(axes)
        ]
        each = [jitted(*e) for e in examples]
        for outs in each:
            self._readable(outs)
        outs_at = [int(rng.integers(0, np.ndim(o) + 1)) for o in each[0]]
        want = [np.stack([np.asarray(e[i]) for e in each], d) for i, d in enumerate(outs_at)]
        mapped = anima.vmap(self.fun, tuple(axes), outs_at, axis_size=size)
        got = self._route(lambda xs: mapped(*xs), given)
        self.compare(f"vmap(f, {tuple(axes)}, {outs_at})", got, want, self.close, points=examples)


def _among(
    fun: Callable[..., Any], args: Sequence[Any], which: Sequence[int], kept: Sequence[int]
) -> Callable[..., list[Any]]:
    """`fun` as a function of some of its arguments, the others fixed, to some of its results."""

    def among(*given: Any) -> list[Any]:
        outs = fun(*[given[which.index(i)] if i in which else x for i, x in enumerate(args)])
        return [outs[i] for i in kept]

    return among


def _leaves(args: Sequence[Any]) -> list[Any]:
    return [leaf for a in args if isinstance(a, list) for leaf in a]


def _agree(got: np.ndarray, want: np.ndarray, tolerance: float) -> bool:
    if got.dtype.kind in "bi":
        return bool(np.array_equal(got, want))
    if not got.size:
        return True
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(got)):
        return False
    wide = np.where(finite, want, 0)
    error = np.max(np.abs(np.where(finite, got, 0).astype(wide.dtype) - wide))
    return bool(error <= tolerance * max(1.0, float(np.max(np.abs(wide)))))


def _same_kind(what: str, found: Sequence[Any], values: Sequence[Any]) -> None:
    for f, v in zip(found, values):
        if (f.shape, f.dtype) != (np.shape(v), np.asarray(v).dtype):
            raise Mismatch(f"a {what} has shape {f.shape} and dtype {f.dtype}, its value {v!r}")


def _paired(cotangents: Sequence[Any], tangents: Sequence[Any]) -> tuple[float, float]:
    """The real pairing of cotangents with tangents, and the sum of its terms' sizes."""
    terms = [oracle.plain(c) * oracle.plain(t) for c, t in zip(cotangents, tangents)]
    return float(sum(np.sum(np.real(x)) for x in terms)), float(sum(np.sum(np.abs(x)) for x in terms))

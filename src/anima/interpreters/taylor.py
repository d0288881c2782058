"""Taylor mode: tracers that carry the derivatives of a value along a curve, up to some order.

Invariant: a `TaylorTracer` has a value and its derivatives of order 1, 2, ... by the curve's parameter; values that do not
change along the curve stay plain. No elementary operation has a rule for this. Its `jvp` rule, run on values that carry
derivatives, gives the series of the slope `dy`, and the derivative of order `k` of `y` is that of order `k - 1` of `dy`. So
a rule such as `exp`'s, `dy = dx * y`, is the recurrence for all orders as it stands: what it asks of `y` is of lower order.

While a rule runs, derivatives are found when asked for, and operations on the same operands are one: the sine's rule meets
the cosine, whose rule meets the same sine again. Three forms of `dy` are recognised by the operations that they consist of:
those of operations linear in all that changes, of products, and of quotients. Their derivatives have shorter formulas.

Operations with programs inside have a `taylor` rule, which derives the programs that carry derivatives along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from anima._native import get_trace, set_trace
from anima.config import check_tracer_leaks
from anima.core import hooks
from anima.core.aval import AbstractValue
from anima.core.jaxpr import ClosedJaxpr
from anima.core.leaks import check_leaks
from anima.core.primitive import Primitive, Zero, primitives
from anima.core.trace import Trace, Tracer, aval_of, check_enclosing
from anima.interpreters.jvp import concrete_of, eval_derived, stage_closed
from anima.interpreters.stage import StageTrace
from anima.interpreters.zeros import add, instantiate, zero_of

# The derivatives of a value, from order 1 on, of which any may be `Zero`; None for a value that does not change.
Series = Sequence[Any] | None
Flags = tuple[bool, ...]


class TaylorTracer(Tracer):
    """A value and its derivatives along a curve: all of them, or those asked for so far if it has a `source`."""

    __slots__ = ("_slope", "source", "terms")

    def __init__(self, trace: TaylorTrace, terms: list[Any], source: _Source | None = None) -> None:
        self._trace = trace
        self.terms = terms  # the value, then its derivatives
        self.source = source  # gives further ones
        self._slope: Any = None
        if source is not None:
            trace.unfinished.append(self)

    @property
    def aval(self) -> AbstractValue:
        return aval_of(self.terms[0])

    def concrete(self) -> Any | None:
        return concrete_of(self.terms[0])

    def origin(self) -> str:
        return self.terms[0].origin() if isinstance(self.terms[0], Tracer) else ""

    @property
    def slope(self) -> Any:
        """The first derivative, as a value that carries derivatives itself, or `Zero`."""
        if self._slope is None and self.source is not None:
            self.source.differentiate()
        if self._slope is None:
            if all([type(t) is Zero for t in self.terms[1:]]):
                self._slope = zero_of(self.terms[0])
            else:
                first, *rest = self.terms[1:]
                self._slope = TaylorTracer(self._trace, [instantiate(first), *rest])  # type: ignore[arg-type]
        return self._slope

    @slope.setter
    def slope(self, value: Any) -> None:
        self._slope = value

    def term(self, order: int) -> Any:
        """The derivative of some order, or `Zero`; that of order 0 is the value."""
        while len(self.terms) <= order:
            if self.source is None:
                return zero_of(self.terms[0])
            self.source.extend()
        return self.terms[order]

    def finish(self) -> None:
        """Let go of where derivatives came from: sources know their results, and such cycles would keep arrays for long."""
        if isinstance(self.source, _Operation):
            self.source.formula = None
        self.source = self.slope = None

    def __repr__(self) -> str:
        return f"Traced<{self.aval}>with<TaylorTrace> with primal = {self.terms[0]!r}"


class TaylorTrace(Trace):
    """Carries derivatives up to `order` through each operation."""

    __slots__ = ("_known", "_running", "order", "unfinished")

    def __init__(self, parent: Trace | None, order: int) -> None:
        self.parent = parent
        self.order = order
        self._running: _Operation | None = None  # the operation whose rule runs
        self._known: dict[Any, _Operation] = {}  # the operations that rules performed, by their operands
        self.unfinished: list[TaylorTracer] = []  # what has a source

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        if not any([self.is_own(a) for a in args]):
            set_trace(self.parent)
            try:
                return primitive.bind(*args, **params)
            finally:
                set_trace(self)
        running = self._running
        if running is None:
            outs = self._complete(primitive, args, params)
        elif running.is_same(primitive, args, params):
            outs = list(running.outs)
        else:
            outs = list(self.operation(primitive, args, params).outs)
        return outs if primitive.multiple_results else outs[0]

    def _complete(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> list[Any]:
        """The results of a user's operation with all their derivatives; how they were found is forgotten."""
        if primitive.taylor is not None:
            pairs = [self.split(a) for a in args]
            set_trace(self.parent)
            try:
                values, series = primitive.taylor(
                    [v for v, _ in pairs], [s for _, s in pairs], self.order, **params
                )
            finally:
                set_trace(self)
            return [self.wrap(v, s) for v, s in zip(values, series)]
        try:
            outs = _Operation(self, primitive, args, params).outs
            terms = [[out.term(k) for k in range(self.order + 1)] for out in outs]
        finally:
            self._known.clear()
            for tracer in self.unfinished:
                tracer.finish()
            self.unfinished.clear()
        return [self.wrap(value, series) for value, *series in terms]

    def operation(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> _Operation:
        """An operation whose derivatives are found when asked for; the same one for the same operands."""
        try:
            key = (primitive, tuple([id(a) for a in args]), tuple(params.items()))
            known = self._known.get(key)
        except TypeError:  # a parameter without a hash
            return _Operation(self, primitive, args, params)
        if known is None:
            known = self._known[key] = _Operation(self, primitive, args, params)
        return known

    def run_rule(self, operation: _Operation, slopes: list[Any]) -> list[Any]:
        """The slopes of the operation's results, of which some may be `Zero`."""
        outer, self._running = self._running, operation
        previous = set_trace(self)
        try:
            _, found = operation.primitive.jvp(list(operation.args), slopes, **operation.params)
        finally:
            self._running = outer
            set_trace(previous)
        found = list(found) if operation.primitive.multiple_results else [found]
        return [s if type(s) is Zero or self.is_own(s) else TaylorTracer(self, [s]) for s in found]

    def is_own(self, value: Any) -> bool:
        """Whether a value is a tracer of this trace."""
        return type(value) is TaylorTracer and value._trace is self

    def wrap(self, value: Any, series: Series) -> Any:
        """`value` with its derivatives; plain if they are zero."""
        if series is None or all([type(t) is Zero for t in series]):
            return value
        return TaylorTracer(self, [value, *series])

    def split(self, value: Any) -> tuple[Any, Series]:
        """The value and derivatives of a value of this or an enclosing trace."""
        if self.is_own(value):
            return value.terms[0], value.terms[1:]
        if isinstance(value, Tracer):
            check_enclosing(value, self)
        return value, None

    def describe(self) -> str:
        return "TaylorTrace"


class _Source:
    """Where further derivatives of values come from."""

    __slots__ = ()

    def differentiate(self) -> None:
        """Find the slopes of the values."""
        raise TypeError(f"{type(self).__name__} does not define differentiate")

    def extend(self) -> None:
        """Find the derivatives of the next order."""
        raise TypeError(f"{type(self).__name__} does not define extend")


class _Slope(_Source):
    """The source of a value that is another one's slope: the derivatives are those of the other one, an order lower."""

    __slots__ = ("of", "out")

    def __init__(self, of: TaylorTracer) -> None:
        self.of = of
        self.out = TaylorTracer(of._trace, [of.term(1)], self)  # type: ignore[arg-type]

    def differentiate(self) -> None:
        self.out.slope = _slope_of(self.out)

    def extend(self) -> None:
        self.out.terms.append(self.of.term(len(self.out.terms) + 1))


def _slope_of(value: TaylorTracer) -> Any:
    """The slope of a value whose first derivative is known."""
    return zero_of(value.terms[0]) if type(value.term(1)) is Zero else _Slope(value).out


class _Operation(_Source):
    """An operation on values that carry derivatives. The values of its results are found at once.

    `formula` gives the results' derivatives of an order, if all lower ones are known. `_found` is the order up to which a
    program was run last, and the series that it found.
    """

    __slots__ = ("_found", "args", "formula", "outs", "params", "primitive", "trace")

    def __init__(
        self, trace: TaylorTrace, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]
    ) -> None:
        self.trace = trace
        self.primitive = primitive
        self.args = args
        self.params = params
        self.formula: Callable[[int], list[Any]] | None = None
        self._found: tuple[int, Sequence[Series]] = (0, ())
        previous = set_trace(trace.parent)
        try:
            self.outs = [TaylorTracer(trace, [value], self) for value in self._apply(self._values())]
        finally:
            set_trace(previous)

    def differentiate(self) -> None:
        """Find the slopes of the results, and with them a formula for all their derivatives."""
        if self.primitive.taylor is not None:
            self.formula = self._by_program
            for out, term in zip(self.outs, self._by_program(1)):
                out.terms.append(term)
            for out in self.outs:
                out.slope = _slope_of(out)
            return
        trace = self.trace
        slopes = [a.slope if trace.is_own(a) else zero_of(a) for a in self.args]
        if all([type(s) is Zero for s in slopes]):
            found: list[Any] = [zero_of(out.terms[0]) for out in self.outs]
        else:
            found = trace.run_rule(self, slopes)
        for out, slope in zip(self.outs, found):
            out.slope = slope  # before the formula is looked for, which may ask for it
        self.formula = self._find_formula(slopes, found)

    def extend(self) -> None:
        order = len(self.outs[0].terms)
        if self.formula is None:
            self.differentiate()
        assert self.formula is not None
        if len(self.outs[0].terms) > order:  # differentiating has found it
            return
        if order == 1:  # the slopes' values are known
            terms = [s if type(s) is Zero else s.term(0) for s in [out.slope for out in self.outs]]
        else:
            previous = set_trace(self.trace.parent)
            try:
                terms = self.formula(order)
            finally:
                set_trace(previous)
        for out, term in zip(self.outs, terms):
            out.terms.append(term)

    # --- formulas ---

    def _find_formula(self, slopes: list[Any], found: list[Any]) -> Callable[[int], list[Any]]:
        """How to find the results' derivatives; the slope of a quotient is replaced by another form of it."""
        active = [i for i, s in enumerate(slopes) if type(s) is not Zero]
        operands = self._linear_in(slopes, active, found)
        if operands is not None:
            return lambda order: self._by_linearity(operands, active, order)
        if len(found) == 1 and type(found[0]) is not Zero:
            terms = _summands(found[0])
            if self._is_product(slopes, active, terms):
                return lambda order: [self._by_product_rule(active[0], active[1], order)]
            if self.trace.order > 1:
                self._join_quotients(slopes, terms)
        return lambda order: [
            o.slope if type(o.slope) is Zero else o.slope.term(order - 1) for o in self.outs
        ]

    def _linear_in(self, slopes: list[Any], active: list[int], found: list[Any]) -> tuple[Any, ...] | None:
        """The operands of the slope, if it is the same operation and has the slopes of all operands that change.

        The operation is linear in them then, up to a constant, so derivatives of higher order are alike.
        """
        node = next((s.source for s in found if type(s) is not Zero), None)
        if not isinstance(node, _Operation) or not self._is_like(node):
            return None
        if any([s is not out for s, out in zip(found, node.outs) if type(s) is not Zero]):
            return None
        if any([node.args[i] is not slopes[i] for i in active]):
            return None
        others = [a for i, a in enumerate(node.args) if i not in active and self.trace.is_own(a)]
        return None if any([type(a.slope) is not Zero for a in others]) else node.args

    def _by_linearity(self, operands: tuple[Any, ...], active: list[int], order: int) -> list[Any]:
        terms = {i: self.args[i].term(order) for i in active}
        if all([type(t) is Zero for t in terms.values()]):
            return [zero_of(out.terms[0]) for out in self.outs]
        values = self._values(operands)
        found = self._apply([instantiate(terms[i]) if i in terms else v for i, v in enumerate(values)])
        return [out.slope if type(out.slope) is Zero else term for out, term in zip(self.outs, found)]

    def _is_product(self, slopes: list[Any], active: list[int], terms: list[TaylorTracer]) -> bool:
        """Whether the slope is the sum of the same operation on a slope and the other operand, for both operands."""
        found = [self._difference(term) for term in terms]
        return (
            len(active) == 2
            and len(found) == 2
            and {d[0] for d in found if d is not None} == set(active)
            and all([d is not None and d[1] is slopes[d[0]] for d in found])
        )

    def _by_product_rule(self, i: int, j: int, order: int) -> Any:
        total: Any = zero_of(self.outs[0].terms[0])
        values = self._values()
        for k in range(order + 1):
            values[i], values[j] = self.args[i].term(order - k), self.args[j].term(k)
            if type(values[i]) is Zero or type(values[j]) is Zero:
                continue
            [product] = self._apply(values)
            ways = math.comb(order, k)
            total = add(total, product if ways == 1 else hooks.scale(product, ways))
        return total

    def _join_quotients(self, slopes: list[Any], terms: list[TaylorTracer]) -> None:
        """Make the slope one application of the operation if its terms differ in one operand, in which it is linear.

        So the slope of a quotient is a quotient again. Each of two would bring forth two at the next order.
        """
        found = [d for d in map(self._difference, terms) if d is not None]
        places = {place for place, _ in found}
        if len(terms) < 2 or len(found) < len(terms) or len(places) > 1:
            return
        place, total = found[0]
        if not any([part is slopes[place] for _, part in found]):
            return
        for _, part in found[1:]:
            total = self.trace.operation(primitives["add_any"], (total, part), {}).outs[0]
        args = tuple([total if i == place else a for i, a in enumerate(self.args)])
        self.outs[0].slope = self.trace.operation(self.primitive, args, self.params).outs[0]

    def _difference(self, term: TaylorTracer) -> tuple[int, Any] | None:
        """The place and value of the operand in which `term` differs, if it is the same operation and there is one such."""
        node = term.source
        if not isinstance(node, _Operation) or not self._is_like(node):
            return None
        found = [(i, a) for i, (a, b) in enumerate(zip(node.args, self.args)) if a is not b]
        return found[0] if len(found) == 1 else None

    def _by_program(self, order: int) -> list[Any]:
        """By the rule of an operation with programs inside, which gives all derivatives up to some order."""
        trace, rule = self.trace, self.primitive.taylor
        assert rule is not None
        if self._found[0] < order:
            # One run is enough, unless an operand depends on results: its derivatives of higher order are not known then.
            known = all([a.source is None for a in self.args if trace.is_own(a)])
            last = trace.order if known else order
            series = [
                [a.term(k) for k in range(1, last + 1)]
                if trace.is_own(a) and type(a.slope) is not Zero
                else None
                for a in self.args
            ]
            self._found = last, rule(self._values(), series, last, **self.params)[1]
        return [
            zero_of(out.terms[0]) if terms is None else terms[order - 1]
            for out, terms in zip(self.outs, self._found[1])
        ]

    # --- help ---

    def is_same(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> bool:
        """Whether this is the operation `primitive` on `args`."""
        return (
            primitive is self.primitive
            and len(args) == len(self.args)
            and all([a is b for a, b in zip(args, self.args)])
            and _equal(params, self.params)
        )

    def _is_like(self, node: _Operation) -> bool:
        """Whether another operation differs in its operands only."""
        return (
            node.primitive is self.primitive
            and len(node.args) == len(self.args)
            and _equal(node.params, self.params)
        )

    def _values(self, args: tuple[Any, ...] | None = None) -> list[Any]:
        return [a.terms[0] if self.trace.is_own(a) else a for a in (self.args if args is None else args)]

    def _apply(self, values: Sequence[Any]) -> list[Any]:
        out = self.primitive.bind(*values, **self.params)
        return list(out) if self.primitive.multiple_results else [out]


def _equal(params: dict[str, Any], others: dict[str, Any]) -> bool:
    return len(params) == len(others) and all(
        [
            k in others and (v is others[k] or (type(v) is type(others[k]) and v == others[k]))
            for k, v in params.items()
        ]
    )


def _summands(slope: TaylorTracer) -> list[TaylorTracer]:
    """What a slope is the sum of."""
    source = slope.source
    if not isinstance(source, _Operation) or source.primitive.name != "add_any":
        return [slope]
    return [term for arg in source.args if source.trace.is_own(arg) for term in _summands(arg)]


# --- functions and programs -------------------------------------------------------------------


def taylor_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], series: Sequence[Series], order: int
) -> tuple[list[Any], list[Series]]:
    """Outputs of `fun` (flat to flat) and their derivatives up to `order`, for those of its arguments."""
    parent = get_trace()
    trace = TaylorTrace(parent, order)
    inputs = [trace.wrap(p, s) for p, s in zip(primals, series)]
    set_trace(trace)
    try:
        outputs = fun(*inputs)
    finally:
        set_trace(parent)
    pairs = [trace.split(out) for out in outputs]
    if check_tracer_leaks.value:
        del inputs, outputs
        check_leaks(trace)
    return [p for p, _ in pairs], [s for _, s in pairs]


def taylor_jaxpr(
    closed: ClosedJaxpr, flags: Flags, order: int, wanted: Flags | None = None
) -> tuple[ClosedJaxpr, Flags]:
    """The program computing `closed` and the derivatives of its outputs up to `order`.

    Its arguments are the primals, then `order` derivatives for each True of `flags`. Its outputs are the primal
    outputs, then as many for those outputs for which the second result is True, as it is where `wanted` is.
    """
    key = ("taylor", flags, order, wanted)
    return closed.jaxpr.memoized(key, lambda: _taylor_jaxpr(closed, flags, order, wanted))


def _taylor_jaxpr(
    closed: ClosedJaxpr, flags: Flags, order: int, wanted: Flags | None
) -> tuple[ClosedJaxpr, Flags]:
    jaxpr = closed.jaxpr
    in_avals = jaxpr.in_avals
    out_flags: Flags = ()
    stages: list[StageTrace] = []

    def fun(*args: Any) -> list[Any]:
        nonlocal out_flags
        primals, given = args[: len(in_avals)], args[len(in_avals) :]
        run = lambda *xs: eval_derived(jaxpr, closed.consts, xs, stages[0])
        outs, series = taylor_flat(run, primals, grouped(given, flags, order), order)
        found = [s is not None for s in series]
        out_flags = tuple(found if wanted is None else [a or b for a, b in zip(found, wanted)])
        return [*outs, *flat_terms(outs, series, out_flags, order)]

    avals = [*in_avals, *[a.tangent_aval() for a, f in zip(in_avals, flags) if f for _ in range(order)]]
    return stage_closed(fun, avals, jaxpr.name, stages.append), out_flags


def series_of_call(
    bind: Callable[[ClosedJaxpr, list[Any]], list[Any]],
    jaxpr: ClosedJaxpr,
    primals: Sequence[Any],
    series: Sequence[Series],
    order: int,
) -> tuple[list[Any], list[Series]]:
    """The `taylor` rule of an operation that performs a program.

    Args:
      bind: performs the derived program on the primals and, behind them, the terms that it is given.
    """
    flags = changing(series)
    derived, out_flags = taylor_jaxpr(jaxpr, flags, order)
    outs = bind(derived, flat_terms(primals, series, flags, order))
    count = len(out_flags)
    return outs[:count], grouped(outs[count:], out_flags, order)


def changing(series: Sequence[Series]) -> Flags:
    """Which values change along the curve."""
    return tuple([s is not None for s in series])


def grouped(terms: Iterable[Any], flags: Sequence[bool], order: int) -> list[Series]:
    """Series of `order` terms, taken from a flat list, where a flag is True."""
    given = iter(terms)
    return [[next(given) for _ in range(order)] if f else None for f in flags]


def flat_terms(
    values: Sequence[Any], series: Sequence[Series], flags: Sequence[bool], order: int
) -> list[Any]:
    """The terms of the series for which a flag is True as a flat list of arrays, zeros for those of values that do not change."""
    found: list[Any] = []
    for value, terms, flag in zip(values, series, flags):
        if flag:
            found += map(instantiate, [zero_of(value)] * order if terms is None else terms)
    return found

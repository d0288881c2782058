"""StableHLO operations for lowering rules from outside: functions that emit one operation and return its value.

Invariant: there are no bindings to MLIR. A function here writes text into the program that is being lowered, so it may be
called only by a lowering rule that `interpreters.mlir.register_lowering` was given, while it runs. Values know their
types; operands are values, and result types are avals.

Elementwise operations have the name of the StableHLO operation and take its operands: `hlo.add(x, y)`, `hlo.tanh(x)`;
the table `ELEMENTWISE` lists them. The other functions are below, and `hlo.op` emits any operation by name. As in the
Python bindings of MLIR, `hlo.AddOp(x, y).result` is the same as `hlo.add(x, y)`.

>>> import anima, anima.numpy as np
>>> from anima.extend.core import Primitive
>>> from anima.interpreters import mlir
>>> from anima.interpreters.mlir import hlo
>>> hypot_p = Primitive("hypot")
>>> hypot_p.def_abstract_eval(lambda x, y: x)  # doctest: +ELLIPSIS
<function ...>
>>> def lowering(ctx, x, y):
...     return [hlo.sqrt(hlo.add(hlo.multiply(x, x), hlo.multiply(y, y)))]
>>> mlir.register_lowering(hypot_p, lowering)
>>> print(anima.jit(hypot_p.bind)(np.float32(3), np.float32(4)))
5.0
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import AbstractValue, ShapedArray, array_aval
from anima.lowering.module import Context, Value
from anima.lowering.types import dense, element_type, i64_array, type_of

ELEMENTWISE = frozenset([
    "abs", "add", "and", "atan2", "cbrt", "ceil", "clamp", "cosine", "count_leading_zeros", "divide", "exponential",
    "exponential_minus_one", "floor", "log", "log_plus_one", "logistic", "maximum", "minimum", "multiply", "negate", "not",
    "optimization_barrier", "or", "popcnt", "power", "remainder", "round_nearest_afz", "round_nearest_even", "rsqrt",
    "shift_left", "shift_right_arithmetic", "shift_right_logical", "sign", "sine", "sqrt", "subtract", "tan", "tanh", "xor",
])  # fmt: skip

# The bindings of MLIR abbreviate some names.
_SHORT = {
    "Mul": "multiply", "Div": "divide", "Neg": "negate", "Max": "maximum", "Min": "minimum", "Exp": "exponential",
    "Expm1": "exponential_minus_one", "Log1p": "log_plus_one", "Pow": "power", "Rem": "remainder", "Clz": "count_leading_zeros",
    "PopulationCount": "popcnt", "Round": "round_nearest_afz",
}  # fmt: skip


class _Active(threading.local):
    context: Context | None = None


_active = _Active()


@contextmanager
def emitting_to(context: Context) -> Iterator[None]:
    """Let the functions of this module write into `context`, for a block."""
    previous, _active.context = _active.context, context
    try:
        yield
    finally:
        _active.context = previous


def current_context() -> Context:
    """Where operations are written to.

    Raises:
      RuntimeError: no lowering rule is running.
    """
    if _active.context is None:
        raise RuntimeError(
            "a StableHLO operation can be emitted only while a lowering rule runs: call this in a function that "
            "interpreters.mlir.register_lowering was given"
        )
    return _active.context


class IrType:
    """The type of a value in the program's text."""

    __slots__ = ("aval",)

    def __init__(self, aval: AbstractValue) -> None:
        self.aval = aval

    def __eq__(self, other: object) -> bool:
        return type(other) is IrType and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return type_of(self.aval)

    def __repr__(self) -> str:
        return f"IrType({self})"


class Attribute(str):
    """An attribute as the text has it: "3 : i32"."""

    __slots__ = ()


class Op:
    """An operation that was emitted."""

    __slots__ = ("name", "results")

    def __init__(self, name: str, results: list[Value]) -> None:
        self.name = name
        self.results = results

    @property
    def result(self) -> Value:
        """Its only result."""
        if len(self.results) != 1:
            raise ValueError(f"{self.name} has {len(self.results)} results; take one of `results`")
        return self.results[0]


def as_value(operand: Any) -> Value:
    """The value that an operand stands for.

    Raises:
      TypeError: it is none.
    """
    if isinstance(operand, Op):
        return operand.result
    if isinstance(operand, Value):
        return operand
    raise TypeError(
        f"an operand must be a value of the program that is lowered, got {operand!r:.80} of type {type(operand).__name__}; "
        "hlo.constant makes one of a number or a NumPy array"
    )


def as_aval(type_: Any) -> AbstractValue:
    """The aval that a result type stands for."""
    if isinstance(type_, AbstractValue):
        return type_
    if isinstance(type_, IrType):
        return type_.aval
    raise TypeError(f"a result type must be an aval such as ShapedArray(shape, dtype), got {type_!r}")


def attribute(value: Any) -> Attribute:
    """A Python value as an attribute: booleans, integers (64 bits), floats, strings, bytes, NumPy's numbers and arrays, dtypes,
    lists and dicts.

    >>> from anima.extend import hlo
    >>> print(hlo.attribute(3), hlo.attribute("name"), hlo.attribute([True, 2]))
    3 : i64 "name" [true, 2 : i64]
    """
    if isinstance(value, Attribute):
        return value
    if isinstance(value, (bool, np.bool_)):
        return Attribute("true" if value else "false")
    if isinstance(value, (str, bytes)):
        return Attribute(quoted(value))
    if isinstance(value, (int, float)) and not isinstance(value, np.generic):
        wide = np.iinfo(np.int64)
        if isinstance(value, int) and not wide.min <= value <= wide.max:
            raise OverflowError(f"an integer attribute has 64 bits, which do not hold {value}")
        return _number(np.asarray(value, np.int64 if isinstance(value, int) else np.float64))
    if isinstance(value, np.generic):
        return _number(np.asarray(value))
    if isinstance(value, np.dtype):
        return Attribute(element_type(value))
    if isinstance(value, np.ndarray):
        return Attribute(dense(value))
    if isinstance(value, (list, tuple)):
        return Attribute(f"[{', '.join(map(attribute, value))}]")
    if isinstance(value, Mapping):
        return Attribute(f"{{{attributes(value)}}}")
    raise TypeError(f"a value of type {type(value).__name__} has no form as an attribute: {value!r:.80}")


def attributes(values: Mapping[str, Any]) -> str:
    """The inside of an attribute dictionary."""
    return ", ".join([f"{key(name)} = {attribute(value)}" for name, value in values.items()])


def _number(value: np.ndarray[Any, Any]) -> Attribute:
    """A number as an array of one writes it, which holds every bit of it."""
    if value.dtype.kind == "c":
        raise TypeError(f"a complex number has no form as an attribute: {value}; pass its two parts")
    element = element_type(value.dtype)
    return Attribute(
        dense(value).removeprefix("dense<").removesuffix(f"> : tensor<{element}>") + f" : {element}"
    )


def quoted(text: str | bytes) -> str:
    """A string of the program's text; other bytes than those of printable characters by their numbers."""
    data = text.encode() if isinstance(text, str) else text
    parts = [_QUOTED.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:02X}") for b in data]
    return f'"{"".join(parts)}"'


_QUOTED = {ord('"'): '\\"', ord("\\"): "\\\\"}


def key(name: str) -> str:
    """The name of an attribute, as the program's text has it."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$.]*", name) else quoted(name)


def op(
    name: str,
    operands: Sequence[Any],
    results: Sequence[Any],
    *,
    regions: Sequence[str] = (),
    **attrs: Any,
) -> list[Value]:
    """Emit any operation.

    Args:
      name: with its dialect: "stablehlo.cholesky".
      operands: values.
      results: the avals of its results.
      regions: texts of regions, as `region` returns them.
      attrs: its attributes: Python values, or an `Attribute` with the text of one.
    Returns:
      The values of its results.
    """
    values = [as_value(v) for v in operands]
    avals = [as_aval(t) for t in results]
    return current_context().ops(name, values, avals, attributes(attrs), regions)


def region(avals: Sequence[Any], body: Callable[..., Sequence[Any]]) -> str:
    """The text of a region whose block takes arguments of these avals; `body(*arguments)` emits it and returns what it yields."""

    def emit(inner: Context, arguments: list[Value]) -> Sequence[Value]:
        with emitting_to(inner):
            return [as_value(v) for v in body(*arguments)]

    return current_context().region([as_aval(t) for t in avals], emit)


def constant(value: Any) -> Value:
    """A number or a NumPy array, of its own dtype (numbers: of the default one)."""
    array = np.asarray(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        array = array.astype(dtypes.canonicalize_dtype(array.dtype))
    return current_context().constant(array, ShapedArray(array.shape, array.dtype))


def convert(result: Any, operand: Any) -> Value:
    """The operand with the dtype of `result`: an aval, or a dtype."""
    x = as_value(operand)
    aval = (
        as_aval(result)
        if isinstance(result, (AbstractValue, IrType))
        else ShapedArray(x.shape, dtypes.as_dtype(result))
    )
    return op("stablehlo.convert", [x], [aval])[0]


def reshape(result: Any, operand: Any) -> Value:
    """The operand with the shape of `result`."""
    return op("stablehlo.reshape", [operand], [result])[0]


def broadcast_in_dim(result: Any, operand: Any, broadcast_dimensions: Sequence[int]) -> Value:
    """The operand in the shape of `result`, where its axes are the given ones."""
    dims = _ints(broadcast_dimensions)
    return op("stablehlo.broadcast_in_dim", [operand], [result], broadcast_dimensions=dims)[0]


def transpose(operand: Any, permutation: Sequence[int]) -> Value:
    """The operand with its axes in another order."""
    x = as_value(operand)
    order = [int(i) for i in permutation]
    aval = ShapedArray(tuple([x.shape[i] for i in order]), x.dtype)
    return op("stablehlo.transpose", [x], [aval], permutation=_ints(order))[0]


def concatenate(operands: Sequence[Any], dimension: int) -> Value:
    """Values one after the other along an axis."""
    values = [as_value(v) for v in operands]
    shape = list(values[0].shape)
    shape[dimension] = sum([v.shape[dimension] for v in values])
    return op(
        "stablehlo.concatenate", values, [ShapedArray(tuple(shape), values[0].dtype)], dimension=dimension
    )[0]


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Value:
    """A part of the operand."""
    x = as_value(operand)
    steps = [1] * x.ndim if strides is None else list(strides)
    shape = tuple([len(range(a, b, s)) for a, b, s in zip(start_indices, limit_indices, steps)])
    return op(
        "stablehlo.slice",
        [x],
        [ShapedArray(shape, x.dtype)],
        start_indices=_ints(start_indices),
        limit_indices=_ints(limit_indices),
        strides=_ints(steps),
    )[0]


def select(pred: Any, on_true: Any, on_false: Any) -> Value:
    """Elements of one operand or the other."""
    return op("stablehlo.select", [pred, on_true, on_false], [as_value(on_true).aval])[0]


def compare(lhs: Any, rhs: Any, comparison_direction: str) -> Value:
    """The truth of a comparison: "EQ", "NE", "LT", "LE", "GT" or "GE"."""
    x = as_value(lhs)
    kind = {"i": "SIGNED", "u": "UNSIGNED", "b": "UNSIGNED"}.get(dtypes.kind_of(x.dtype) or "", "FLOAT")
    return op(
        "stablehlo.compare",
        [x, rhs],
        [ShapedArray(x.shape, np.dtype(bool))],
        comparison_direction=Attribute(f"#stablehlo<comparison_direction {comparison_direction}>"),
        compare_type=Attribute(f"#stablehlo<comparison_type {kind}>"),
    )[0]


def iota(result: Any, iota_dimension: int) -> Value:
    """Indices along an axis, in the shape and dtype of `result`."""
    return op("stablehlo.iota", [], [result], iota_dimension=iota_dimension)[0]


def dot_general(
    result: Any,
    lhs: Any,
    rhs: Any,
    contracting: tuple[Sequence[int], Sequence[int]],
    batching: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> Value:
    """The contraction of axes of two operands."""
    parts = [
        f"{side}_{kind}_dimensions = [{', '.join(map(str, axes))}]"
        for kind, pair in (("batching", batching), ("contracting", contracting))
        for side, axes in zip(("lhs", "rhs"), pair)
        if len(axes)
    ]
    numbers = Attribute(f"#stablehlo.dot<{', '.join(parts)}>")
    return op("stablehlo.dot_general", [lhs, rhs], [result], dot_dimension_numbers=numbers)[0]


def custom_call(
    results: Sequence[Any],
    operands: Sequence[Any],
    call_target_name: str,
    *,
    has_side_effect: bool = False,
    backend_config: Mapping[str, Any] | str = "",
    api_version: int = 4,
) -> list[Value]:
    """A call of a function registered with XLA. `backend_config` is a dict with `api_version` 4, else a string."""
    return op(
        "stablehlo.custom_call",
        operands,
        results,
        call_target_name=call_target_name,
        has_side_effect=has_side_effect,
        backend_config=backend_config or ({} if api_version == 4 else ""),
        api_version=Attribute(f"{api_version} : i32"),
    )


def _ints(values: Sequence[int]) -> Attribute:
    return Attribute(i64_array([int(v) for v in values]))


def _elementwise(name: str) -> Callable[..., Value]:
    def emit(*operands: Any) -> Value:
        values = [as_value(v) for v in operands]
        if not values:
            raise TypeError(f"hlo.{name} takes at least one operand")
        like = values[1] if name == "clamp" else values[0]
        aval = array_aval(like.aval)
        if name == "abs" and dtypes.is_complex(aval.dtype):
            aval = ShapedArray(aval.shape, np.finfo(aval.dtype).dtype)
        return op(f"stablehlo.{name}", values, [aval])[0]

    emit.__name__ = emit.__qualname__ = name
    return emit


def _snake(name: str) -> str:
    """`BroadcastInDim` as `broadcast_in_dim`."""
    return _SHORT.get(name) or "".join(["_" + c.lower() if c.isupper() else c for c in name]).lstrip("_")


def __getattr__(name: str) -> Any:
    plain = name.rstrip("_")  # `and_`, `or_` and `not_`, whose names Python takes
    if plain in ELEMENTWISE:
        return _elementwise(plain)
    if name.endswith("Op") and name != "Op":
        inner = _snake(name[:-2])
        function = globals().get(inner) or (_elementwise(inner) if inner in ELEMENTWISE else None)
        if function is not None:

            def emit(*operands: Any, **options: Any) -> Op:
                found = function(*operands, **options)
                return Op(inner, found if isinstance(found, list) else [found])

            return emit
    raise AttributeError(
        f"hlo has no function {name!r}; hlo.op emits any operation by its name, such as 'stablehlo.cholesky'"
    )

"""Traces and tracers: how an operation finds out who handles it.

Invariant: each thread has one *ambient* trace, or none (then operations run eagerly). A trace knows its
`parent`, the trace that was ambient when it began, so the chain of parents is exactly the set of
transformations in progress. A trace treats values of its enclosing traces as constants; a tracer of
any other trace (a finished one, or another thread's) raises `UnexpectedTracerError`. There is no
global stack: whoever makes a trace ambient puts the previous one back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from anima import errors
from anima._native import get_trace as get_trace, set_trace as set_trace
from anima.core import source
from anima.core.aval import AbstractValue, ShapedArray, array_aval

if TYPE_CHECKING:
    from anima.core.primitive import Primitive


class Trace:
    """One running transformation."""

    __slots__ = ("__weakref__", "parent")

    parent: Trace | None

    @property
    def bound_axes(self) -> tuple[Any, ...]:
        """The axes that this transformation binds, as `core.axes.NamedAxis`."""
        return ()

    def continues(self, other: Trace) -> bool:
        """Whether this trace is another's transformation, taken up again elsewhere: tracers of `other` are its own too."""
        return False

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Apply `primitive` to `args`, of which any may be tracers of this trace or of enclosing ones.

        This trace is ambient then, and is again afterwards; `process_primitive` is what subclasses outside write.
        """
        return self.process_primitive(primitive, args, params)

    def process_primitive(self, primitive: Primitive, tracers: Any, params: dict[str, Any], /) -> Any:
        """The result of an operation under this transformation (a list where it has several)."""
        raise TypeError(f"{type(self).__name__} defines neither process nor process_primitive")

    def describe(self) -> str:
        """What the user called, for messages."""
        return type(self).__name__


class _OfArrays:
    """An attribute that arrays have and traced values have not: whoever asks for it is told why."""

    __slots__ = ("instead", "name")

    def __init__(self, instead: str = "") -> None:
        self.instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tracer: Tracer | None, owner: type) -> _OfArrays:
        if tracer is None:
            return self
        raise AttributeError(
            f"a traced value has no attribute {self.name!r}: it stands for any array of type {tracer.aval.str_short()}, "
            f"wherever that lies{self.instead}. {tracer.origin_message()}".rstrip(),
            name=self.name,
            obj=tracer,
        )


class Tracer:
    """Stands for a value inside a transformation; has the methods of an array.

    The methods and operators of arrays are added from the table in `anima.numpy.methods`.
    """

    __slots__ = ("__weakref__", "_trace")

    _trace: Trace
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    sharding = _OfArrays("; anima.typeof(x).sharding is what its type says")
    addressable_shards = _OfArrays()
    committed = _OfArrays()
    copy_to_host_async = _OfArrays()
    delete = _OfArrays()
    device = _OfArrays()
    devices = _OfArrays()
    global_shards = _OfArrays()
    is_deleted = _OfArrays()
    is_fully_addressable = _OfArrays()
    is_fully_replicated = _OfArrays()
    tobytes = _OfArrays()
    unsafe_buffer_pointer = _OfArrays()

    @property
    def aval(self) -> AbstractValue:
        raise TypeError(f"{type(self).__name__} does not define aval")

    def concrete(self) -> Any | None:
        """The concrete value behind this tracer, if there is one."""
        return None

    def origin(self) -> str:
        """Where the value came from, for messages."""
        return ""

    def origin_message(self) -> str:
        """A sentence for error notes that says where the value came from."""
        origin = self.origin()
        return f"The value is traced: {origin}." if origin else ""

    @property
    def shape(self) -> tuple[int, ...]:
        return array_aval(self.aval).shape

    @property
    def dtype(self) -> Any:
        return array_aval(self.aval).dtype

    @property
    def weak_type(self) -> bool:
        return array_aval(self.aval).weak_type

    @property
    def ndim(self) -> int:
        return len(array_aval(self.aval).shape)

    @property
    def size(self) -> int:
        return array_aval(self.aval).size

    @property
    def nbytes(self) -> int:
        return array_aval(self.aval).nbytes

    @property
    def itemsize(self) -> int:
        return int(self.dtype.itemsize)

    def __len__(self) -> int:
        return len(array_aval(self.aval))

    def __bool__(self) -> bool:
        value = self.concrete()
        if value is None:
            raise errors.TracerBoolConversionError(self)
        return bool(value)

    def __int__(self) -> int:
        return int(self._python_scalar("int", errors.ConcretizationTypeError))

    def __float__(self) -> float:
        return float(self._python_scalar("float", errors.ConcretizationTypeError))

    def __complex__(self) -> complex:
        return complex(self._python_scalar("complex", errors.ConcretizationTypeError))

    def __index__(self) -> int:
        return int(self._python_scalar("__index__", errors.TracerIntegerConversionError).__index__())

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise errors.TracerArrayConversionError(self)

    def item(self, *args: Any) -> Any:
        """The value as a Python scalar; needs a concrete value."""
        return self._python_scalar("item", errors.ConcretizationTypeError).item(*args)

    def tolist(self) -> Any:
        """The value as nested lists; needs a concrete value."""
        return self._python_scalar("tolist", errors.ConcretizationTypeError).tolist()

    def _python_scalar(self, what: str, error: type[errors.ConcretizationTypeError]) -> Any:
        value = self.concrete()
        if value is None:
            raise error(self, what)
        return value

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        value = self.concrete()
        if value is None:
            raise errors.ConcretizationTypeError(
                self, "format", advice="debug.print('x = {x:.2f}', x=x) shows values when the program runs."
            )
        return format(value, spec)

    def __reduce__(self) -> NoReturn:
        raise errors.ConcretizationTypeError(
            self, "pickle", advice="Return the value from the transformed function, and pickle the result."
        )

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise errors.immutable_array(type(self))

    def block_until_ready(self) -> Tracer:
        """A tracer has nothing to wait for; returns itself."""
        return self

    def __copy__(self) -> Tracer:
        return self

    def __deepcopy__(self, memo: Any) -> Tracer:
        return self

    def __repr__(self) -> str:
        return f"Traced<{self.aval!r}>with<{self._trace.describe()}>"


@contextmanager
def ambient(trace: Trace | None) -> Iterator[None]:
    """Make `trace` ambient for a block (hot paths call `set_trace` themselves)."""
    previous = set_trace(trace)
    try:
        yield
    finally:
        set_trace(previous)


def encloses(trace: Trace, inner: Trace | None) -> bool:
    """Whether `trace` is `inner` or one of its ancestors, or one of those continues it."""
    ancestor = inner
    while ancestor is not None:
        if ancestor is trace:
            return True
        ancestor = ancestor.parent
    while inner is not None:
        if inner.continues(trace):
            return True
        inner = inner.parent
    return False


def check_enclosing(value: Tracer, inner: Trace | None) -> None:
    """Raise the leak error unless `value` belongs to a transformation around `inner` (or to it)."""
    if not encloses(value._trace, inner):
        raise leak_error(value)


def leak_error(value: Tracer) -> errors.UnexpectedTracerError:
    """The error for a tracer used after, or outside, its transformation."""
    error = errors.UnexpectedTracerError(
        f"a traced value of {value._trace.describe()} with type {value.aval} was used outside the "
        "transformation that made it: the transformation has finished, or belongs to another thread."
    )
    for note in (
        value.origin_message(),
        f"It was used at {source.current()}.",
        "A side effect kept it (a global, an attribute, a list, a closure, a generator). Return the value "
        "from the transformed function, or pass it in as an argument, instead.",
    ):
        if note:
            error.add_note(note)
    return error


# How to find the aval of a value that is no tracer, by its type. Higher layers fill it through `register_value_type`.
_aval_of: dict[type, Callable[[Any], AbstractValue]] = {}


def register_value_type(cls: type, aval: Callable[[Any], AbstractValue]) -> None:
    """Make values of `cls` admissible operands, with `aval(value)` their abstract value."""
    _aval_of[cls] = aval


def aval_of(value: Any) -> AbstractValue:
    """The aval of a tracer, array, NumPy value or Python scalar.

    Raises:
      TypeError: `value` is none of these.
    """
    if isinstance(value, Tracer):
        return value.aval
    rule = _aval_of.get(type(value))
    if rule is None:
        for cls in type(value).__mro__[1:]:
            rule = _aval_of.get(cls)
            if rule is not None:
                break
        else:
            raise TypeError(
                f"value {value!r:.80} of type {type(value).__name__} is not an array, a NumPy value or a Python scalar"
            )
    return rule(value)


def typeof(x: Any) -> AbstractValue:
    """The type of a value as transformations see it: its shape and dtype, and whether it is weakly typed.

    Args:
      x: an array, a traced value, a NumPy value or a Python scalar.

    Raises:
      TypeError: it is something else.

    >>> import anima, anima.numpy as np
    >>> print(anima.typeof(np.zeros((2, 3))))
    float32[2,3]
    >>> anima.typeof(1)
    ShapedArray(int32[], weak_type=True)
    """
    try:
        return aval_of(x)
    except errors.RefError:  # a reference has a type, but is not what operations take
        aval: AbstractValue = x.aval
        return aval


def shaped(value: Any) -> ShapedArray:
    """The aval of a value that must be an array, or may stand for one.

    Raises:
      TypeError: `value` is no array, NumPy value or Python scalar.
    """
    return array_aval(aval_of(value))


def is_value(value: Any) -> bool:
    """Whether `value` may be an operand of a primitive."""
    return isinstance(value, Tracer) or any(cls in _aval_of for cls in type(value).__mro__)

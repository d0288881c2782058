"""Every error class that a user can meet, one for each kind of misuse.

Invariant: ``str(error)`` says what happened in one or two sentences; what to write instead, and where
the offending value came from, stand in ``error.__notes__``, which Python prints below the message. This
module imports nothing of the project, so every layer may raise these classes, and every error survives
pickling (worker pools send errors that way). Item assignment alone raises a plain ``TypeError``, made here.

A tracer may say where it comes from: an object with a method ``origin_message() -> str`` has that text added
as a note to the errors that are made from it.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ArgumentError",
    "ClosedOverDerivativeError",
    "ConcretizationTypeError",
    "ConversionError",
    "DeletedArrayError",
    "DtypePromotionError",
    "ForkError",
    "GeneratorStateError",
    "InconclusiveDimensionOperation",
    "JAXIndexError",
    "JAXTypeError",
    "JaxRuntimeError",
    "JaxprTypeError",
    "KeyReuseError",
    "MaxStepsError",
    "MissingRuleError",
    "NonConcreteBooleanIndexError",
    "NonFiniteError",
    "NonlinearError",
    "PluginError",
    "ShapeConcretizationError",
    "ShardingError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "TracerLeakError",
    "TypePromotionError",
    "UnboundAxisNameError",
    "UnexpectedTracerError",
    "XlaRuntimeError",
]

_SMALLER_JIT = "If using jit, try using static_argnums or applying jit to smaller subfunctions instead."


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class _Picklable(Exception):
    """Pickles by finished state: constructors take tracers, which cannot be sent to another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _origin_of(value: object) -> str:
    describe = getattr(value, "origin_message", None)
    return str(describe()) if callable(describe) else ""


def _add_notes(error: BaseException, *notes: str) -> None:
    for note in notes:
        if note:
            error.add_note(note)


class JAXTypeError(_Picklable, TypeError):
    """A value of a kind that cannot be used here: the base class of the errors about tracers."""


class JAXIndexError(_Picklable, IndexError):
    """An index of a kind that cannot be used here."""


class ConcretizationTypeError(JAXTypeError):
    """A traced value was used where Python needs to know the number itself.

    Under ``jit``, ``vmap``, ``scan`` and the like a value stands for every value of its shape and dtype.
    Write ``lax.cond``, ``lax.while_loop`` or ``numpy.where`` where Python control flow depends on it, or
    name the argument in ``static_argnums``.

    Args:
      value: the tracer.
      what: what the value was passed to, as the user would say it (``"float"``, ``"int"``).
      origin: where the value came from; by default ``value.origin_message()`` if it has one.
      advice: what to write instead.

    >>> print(ConcretizationTypeError(object(), "float"))  # doctest: +ELLIPSIS
    Abstract value passed to float, which requires a concrete value. The function to be transformed can't ...
    """

    _default_what = "a Python function"
    _default_advice = ""

    def __init__(self, value: object = None, what: str = "", *, origin: str = "", advice: str = "") -> None:
        super().__init__(
            f"Abstract value passed to {what or self._default_what}, which requires a concrete value. "
            "The function to be transformed can't be traced at the required level of abstraction. "
            + _SMALLER_JIT
        )
        _add_notes(self, origin or _origin_of(value), advice or self._default_advice)


class TracerBoolConversionError(ConcretizationTypeError):
    """A traced value decided a Python branch: ``if x > 0``, ``while``, ``and``, ``or``, ``not``, ``assert``.

    Write ``numpy.where(x > 0, a, b)``, ``lax.cond``, ``lax.while_loop`` or ``&``, ``|``, ``~`` instead.

    >>> print(TracerBoolConversionError())  # doctest: +ELLIPSIS
    Abstract value passed to bool, which requires a concrete value. The function to be transformed can't ...
    """

    _default_what = "bool"
    _default_advice = (
        "To choose by a traced value use numpy.where, lax.cond or lax.select; to loop on one, "
        "lax.while_loop; to combine traced conditions, &, | and ~ in place of and, or and not."
    )


class TracerIntegerConversionError(ConcretizationTypeError):
    """A traced value was used as a Python integer: to index a list or a NumPy array, in ``range(n)``.

    >>> print(TracerIntegerConversionError())  # doctest: +ELLIPSIS
    Abstract value passed to __index__, which requires a concrete value. The function to be ...
    """

    _default_what = "__index__"
    _default_advice = (
        "To index a Python list or a NumPy array by a traced value, convert it first with numpy.asarray "
        "of this library; to loop a traced number of times use lax.fori_loop; a shape must be static."
    )


class TracerArrayConversionError(ConcretizationTypeError):
    """A traced value was given to a function of NumPy itself, which needs its data.

    >>> print(TracerArrayConversionError())  # doctest: +ELLIPSIS
    Abstract value passed to numpy.asarray, which requires a concrete value. The function to be ...
    """

    _default_what = "numpy.asarray"
    _default_advice = (
        "Use this library's numpy module in transformed functions in place of NumPy's own, or "
        "pure_callback to call NumPy code on the values at run time."
    )


class ShapeConcretizationError(ConcretizationTypeError):
    """A shape, an axis or a repeat count came from a traced value: the result would have no fixed shape.

    Args:
      function: the name of the function that needs the shape.
      value: the tracer.

    >>> print(ShapeConcretizationError("full"))
    full requires shapes to be concrete. If using jit, try using static_argnums or applying jit to smaller \
subfunctions instead.
    """

    def __init__(self, function: str, value: object = None, *, origin: str = "", advice: str = "") -> None:
        Exception.__init__(self, f"{function} requires shapes to be concrete. {_SMALLER_JIT}")
        _add_notes(self, origin or _origin_of(value), advice)


class NonConcreteBooleanIndexError(JAXIndexError):
    """A traced boolean mask was used as an index: the size of the result would depend on its values.

    Write ``numpy.where(mask, x, fill)``, ``x.at[mask].set(y)`` or, for a bounded size,
    ``numpy.nonzero(mask, size=n)``.

    >>> print(NonConcreteBooleanIndexError())
    Array boolean indices must be concrete: the shape of the result would depend on the values of the mask.
    """

    def __init__(self, value: object = None, *, origin: str = "") -> None:
        super().__init__(
            "Array boolean indices must be concrete: "
            "the shape of the result would depend on the values of the mask."
        )
        _add_notes(
            self,
            origin or _origin_of(value),
            "Keep the shape with numpy.where(mask, x, fill), sum with numpy.sum(x, where=mask), update with "
            "x.at[mask].set(y), or give a fixed size: numpy.nonzero(mask, size=n).",
        )


class UnexpectedTracerError(JAXTypeError):
    """A tracer outlived the function whose tracing made it, or reached another thread.

    It was kept by a side effect: stored in a global, an attribute, a closure or a generator. Return it from
    the function instead.
    """


TracerLeakError = UnexpectedTracerError


class ClosedOverDerivativeError(UnexpectedTracerError):
    """A function with a derivative rule was differentiated with respect to a value from the functions around it.

    The rule says how to differentiate with respect to arguments only. Pass the value as an argument.

    Args:
      function: what the function is called, such as ``"custom_jvp function f"``.
    """

    def __init__(self, function: str = "a function") -> None:
        super().__init__(
            f"{function} captured a value from a function around it, and is differentiated with respect to that value, for "
            "which its rule gives no derivative."
        )
        self.add_note("Pass it as an argument, and let the rule say how to differentiate with respect to it.")


class GeneratorStateError(JAXTypeError):
    """A ``random.Generator`` was advanced where its new state would be lost, so that it would give the same numbers again."""


class KeyReuseError(JAXTypeError):
    """A random key was used twice, so two draws would be equal. Derive new keys with ``random.split``."""


class JaxprTypeError(_Picklable, TypeError):
    """A jaxpr breaks a law of the language: it was built by hand or by a faulty rule."""


class InconclusiveDimensionOperation(_Picklable):
    """A comparison of symbolic dimensions that holds for some sizes and not for others."""


class ConversionError(_Picklable, TypeError):
    """Control flow of a function given to ``jit(..., control_flow="convert")`` cannot become part of a program.

    Args:
      message: what cannot be converted, with the user's line, and why.
      advice: what to write instead.
    """

    def __init__(self, message: str = "", *, advice: str = "") -> None:
        super().__init__(message)
        _add_notes(self, advice)


def immutable_array(array_type: type) -> TypeError:
    """The error for ``x[i] = y``: arrays never change. A plain TypeError, as the Sharp Bits show it.

    >>> print(immutable_array(int))
    '<class 'int'>' object does not support item assignment. JAX arrays are immutable; perhaps you want \
jax.ops.index_update or jax.ops.index_add instead?
    """
    error = TypeError(
        f"'{array_type}' object does not support item assignment. JAX arrays are immutable; perhaps "
        "you want jax.ops.index_update or jax.ops.index_add instead?"
    )
    error.add_note("In place of x[idx] = y write x = x.at[idx].set(y); likewise .add, .multiply, ...")
    return error


class TypePromotionError(_Picklable, ValueError):
    """Two dtypes have no implicit common dtype under the rules in force. Convert with ``astype``."""


class ExtendedPromotionError(TypePromotionError, TypeError):
    """A dtype that is not NumPy's, such as that of typed random keys, met another: nothing converts between them."""


DtypePromotionError = TypePromotionError


class ArgumentError(_Picklable, TypeError, ValueError):
    """An argument has a dtype, a shape or a number of entries with which an operation cannot be performed.

    Both a TypeError and a ValueError: dtypes and shapes belong to the types of arrays, and what does not fit is seen in their
    values. JAX raises the one or the other, depending on which of its checks comes first; whoever catches it there, does here.
    """


class RefError(ArgumentError):
    """A mutable reference was used in a way that has no meaning: twice in a call, after its end, as an array, or across a
    transformation that cannot hand its value on.

    >>> import anima
    >>> ref = anima.new_ref(1.0)
    >>> anima.jit(lambda a, b: a[...] + b[...])(ref, ref)
    Traceback (most recent call last):
        ...
    anima.errors.RefError: jit of <lambda>: the same reference, of shape (), is passed as two arguments: it would \
have two names. Pass it once
    """


class UnboundAxisNameError(_Picklable, NameError):
    """A collective named an axis that no enclosing ``vmap``, ``pmap`` or ``shard_map`` binds.

    >>> print(UnboundAxisNameError("i", ["batch"]))
    unbound axis name: i; the axis names in scope here are: batch
    """

    def __init__(self, name: object, bound: list[Any] | None = None) -> None:
        scope = ", ".join(map(str, bound)) if bound else "none"
        super().__init__(f"unbound axis name: {name}; the axis names in scope here are: {scope}")


class MissingRuleError(_Picklable, NotImplementedError):
    """An operation has no such rule (derivative, transpose, batching, lowering), for the stated reason."""


class NonlinearError(_Picklable, TypeError):
    """A function that was promised to be linear is not: it combines two values that both depend on its arguments."""

    def __init__(self) -> None:
        super().__init__(
            "a function that must be linear is not: an operation combines two values that both depend on its linear arguments, "
            "a product of them, say."
        )


class NonFiniteError(_Picklable, FloatingPointError):
    """A computation made a NaN (``jax_debug_nans``) or an infinity (``jax_debug_infs``).

    Attributes:
      kind: ``"nan"`` or ``"inf"``.
      primitive: the operation that made it.
      where: the line of the user's program that performed the operation, as "file:line (function)"; empty if not known.
      forward: for an operation of a backward pass, the line that it is the derivative of; else empty.

    >>> print(NonFiniteError("nan", "div", "model.py:3 (loss)"))
    invalid value (nan) encountered in div at model.py:3 (loss)
    """

    def __init__(self, kind: str, primitive: str, where: str = "", forward: str = "") -> None:
        self.kind, self.primitive, self.where, self.forward = kind, primitive, where, forward
        super().__init__(self._message())

    def _message(self) -> str:
        at = f" at {self.where}" if self.where else ""
        backward = f", in the backward pass of {self.forward}" if self.forward else ""
        return f"invalid value ({self.kind}) encountered in {self.primitive}{at}{backward}"

    def in_backward_pass_of(self, line: str) -> None:
        """Say in the message which line the operation is the derivative of, unless it says one already."""
        if not self.forward:
            self.forward = line
            self.args = (self._message(),)


class ShardingError(_Picklable, ValueError):
    """A sharding does not fit the array, the mesh or the devices that it is used with."""


# The names of the status codes that XLA reports (PJRT_Error_Code).
_STATUS_NAMES = {
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}


class JaxRuntimeError(_Picklable, RuntimeError):
    """XLA failed to compile or to run a program.

    Attributes:
      code: the status code, an integer.
      status: its name, such as ``"RESOURCE_EXHAUSTED"`` (out of memory), which also opens the message.

    >>> e = JaxRuntimeError("too many bytes", 8)
    >>> print(e)
    RESOURCE_EXHAUSTED: too many bytes
    >>> e.code, e.status
    (8, 'RESOURCE_EXHAUSTED')
    """

    def __new__(cls, message: str = "", code: int = 2) -> JaxRuntimeError:
        # The library's own checks at run time are Python functions that compiled programs call; XLA hands on their words.
        if cls is JaxRuntimeError and MaxStepsError._MARK in message:
            cls = MaxStepsError
        return super().__new__(cls, message)

    def __init__(self, message: str = "", code: int = 2) -> None:
        self.code = int(code)
        self.status = _STATUS_NAMES.get(self.code, f"STATUS_{self.code}")
        opened = message.startswith(tuple(f"{name}:" for name in _STATUS_NAMES.values()))
        super().__init__(message if opened else f"{self.status}: {message}")


class MaxStepsError(JaxRuntimeError):
    """A loop ran for more iterations than the ``max_steps`` that its derivative in reverse mode was given.

    It is raised where the gradient is computed, or used. The value of the loop is right, whatever ``max_steps`` is.

    >>> print(JaxRuntimeError("INTERNAL: a Python callback raised MaxStepsError: more than max_steps=3"))
    more than max_steps=3
    """

    _MARK = "MaxStepsError: "

    def __init__(self, message: str = "", code: int = 13) -> None:
        super().__init__(message, code)
        self.args = (message.rpartition(self._MARK)[2],)


XlaRuntimeError = JaxRuntimeError


class DeletedArrayError(_Picklable, RuntimeError):
    """An array was used after ``delete()`` or after it was donated to a call (``donate_argnums``)."""


class ForkError(_Picklable, RuntimeError):
    """The process forked after the first use of a device: the child has no XLA threads and would hang.

    Start workers with ``multiprocessing.get_context("spawn")`` or ``"forkserver"``, or fork before the
    first use.
    """


class PluginError(_Picklable, RuntimeError):
    """The library that runs programs on a platform is missing, too old, or refuses its settings."""

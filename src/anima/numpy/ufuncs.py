"""Elementwise functions as objects with `reduce`, `accumulate`, `outer`, `at` and `reduceat`.

Invariant: a `ufunc` is a compiled call itself, so calling one costs what calling any function of this package does;
`out` and `where` are looked at on the way of calls that have no plan.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import operator
from collections.abc import Callable
from typing import Any

from anima._native import CompiledCall
from anima.core.signatures import OwnSignature
from anima.numpy import arithmetic, elementary, logic
from anima.numpy.calls import miss, plain
from anima.numpy.creation import asarray
from anima.numpy.promotion import array_like, shape_of
from anima.numpy.reductions import all, any, max, min, prod, refuse_out, sum
from anima.numpy.scans import cumprod, cumsum
from anima.numpy.shapes import reshape
from anima.transforms.jit_spec import JitSpec

_OPTIONS = ("out", "where")


def _part(name: str) -> Any:
    """A module of this package that few programs need: loading loops takes longer than all that is here."""
    return importlib.import_module(f"anima.numpy.{name}")


def _operands(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise unless a call has as many operands as the function takes, and no option that it does not."""
    unknown = [key for key in kwargs if key not in _OPTIONS]
    if unknown:
        raise TypeError(f"{call.name}() got an unexpected keyword argument {unknown[0]!r}")
    refuse_out(call.name, kwargs.get("out"))
    if kwargs.get("where") is not None:
        raise NotImplementedError(
            f"{call.name}: where is not supported: use numpy.where(mask, {call.name}(...), otherwise)"
        )
    if len(args) != call.nin:
        raise TypeError(
            f"{call.name}() takes {call.nin} positional argument{'s'[: call.nin != 1]}, got {len(args)}"
        )


def _miss(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    _operands(call, args, kwargs)
    return (call(*args), None) if kwargs else miss(call, args, kwargs)


class _Signature(OwnSignature):
    """The operands of a ufunc, and its options."""

    def made(self, function: Any) -> inspect.Signature:
        kind, keyword = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
        try:
            given = [*inspect.signature(function.__wrapped__).parameters.values()]
            operands = [p.replace(kind=kind.POSITIONAL_ONLY) for p in given[: function.nin]]
        except (TypeError, ValueError):
            operands = [kind("args", kind.VAR_POSITIONAL)]
        return inspect.Signature([*operands, *[kind(o, keyword, default=None) for o in _OPTIONS]])


def _traced(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if kwargs or len(args) != call.nin:
        _operands(call, args, kwargs)
    return call.fun(*args)


class ufunc(CompiledCall):
    """A function that works element by element on arrays that broadcast, with what such functions are good for besides.

    Args:
      func: a function of `nin` scalars that returns `nout` of them.
      nin, nout: how many arguments and results it has.
      name: what it is called in messages; by default as `func` is.
      nargs: the number of arguments that the object states; by default `nin`.
      identity: the value that changes no other when it is combined with it, or None.
      call: the function of arrays, if there is a better one than `func` mapped over the elements.
      reduce, accumulate, at, reduceat: functions to be used as the methods of these names.
    Raises:
      TypeError: `func` cannot be called, or `nin` or `nout` is no integer.

    >>> import anima.numpy as np
    >>> larger = np.ufunc(lambda x, y: np.where(x > y, x, y), 2, 1, name="larger")
    >>> larger, larger(np.arange(3), 1), larger.reduce(np.array([3, 5, 4]))
    (<ufunc 'larger'>, DeviceArray([1, 1, 2], dtype=int32), DeviceArray(5, dtype=int32))
    """

    __signature__ = _Signature()
    __name__: str
    __qualname__: str
    nin: int
    nout: int
    nargs: int
    identity: Any
    _methods: dict[str, Any]  # None stands for what `folds` does with the function itself
    _key: tuple[Any, ...]
    _associative: bool  # whether neighbours may be combined first

    def __new__(
        cls, func: Callable[..., Any], /, nin: int, nout: int, *, name: str | None = None, nargs: int | None = None,
        identity: Any = None, call: Callable[..., Any] | None = None, reduce: Callable[..., Any] | None = None,
        accumulate: Callable[..., Any] | None = None, at: Callable[..., Any] | None = None,
        reduceat: Callable[..., Any] | None = None,
    ) -> ufunc:  # fmt: skip
        if not callable(func):
            raise TypeError(f"ufunc: func must be callable, got {func!r}")
        title = str(name or getattr(func, "__name__", type(func).__name__))
        fun = _part("mapping").vectorize(func) if call is None else call
        self = super().__new__(cls, fun, _miss, _traced, name=title, spec=JitSpec(inline=True, on_host=True))
        functools.update_wrapper(self, func, updated=())
        self.__name__ = self.__qualname__ = title
        self.nin, self.nout = operator.index(nin), operator.index(nout)
        self.nargs = self.nin if nargs is None else operator.index(nargs)
        self.identity = identity
        self._methods = {"reduce": reduce, "accumulate": accumulate, "at": at, "reduceat": reduceat}
        self._associative = False
        self._key = (func, self.nin, self.nout, title, self.nargs, identity, call, *self._methods.values())
        return self

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ufunc) and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key[:5])

    def __repr__(self) -> str:
        return f"<ufunc {self.name!r}>"

    def __dir__(self) -> list[str]:
        shown = ("accumulate", "at", "identity", "nargs", "nin", "nout", "outer", "reduce", "reduceat")
        return [*shown, *[name for name in super().__dir__() if name.startswith("__")]]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"ufunc {self.name!r} has no attribute {name!r}")

    def _binary(self, method: str, out: Any = None) -> str:
        """The name of a method for messages, after a check that the function has it."""
        if self.nin != 2:
            raise ValueError(f"{self.name}.{method}: only functions of two arguments have it")
        if self.nout != 1:
            raise ValueError(f"{self.name}.{method}: only functions with one result have it")
        refuse_out(f"{self.name}.{method}", out)
        return f"{self.name}.{method}"

    def reduce(
        self, a: Any, axis: Any = 0, dtype: Any = None, out: None = None, keepdims: bool = False,
        initial: Any = None, where: Any = None,
    ) -> Any:  # fmt: skip
        """The elements along some axes combined: `f(f(f(a[0], a[1]), a[2]), ...)`.

        Args:
          a: an array.
          axis: an axis, a tuple of them, or None for all; elements of several axes are combined in row-major order.
          dtype: convert the elements to it first.
          out: not supported; must be None.
          keepdims: whether reduced axes stay, with size 1.
          initial: what is combined with the first element.
          where: booleans that broadcast with `a`: which elements take part.
        Raises:
          ValueError: the function is not one of two arguments; or there is no element, or a mask, and neither an
            `initial` value nor an identity.

        >>> import anima.numpy as np
        >>> print(np.subtract.reduce(np.array([9, 2, 3])))
        4
        """
        title = self._binary("reduce", out)
        own = self._methods["reduce"]
        a = array_like(title, a)
        if own is not None:
            return own(a, axis=axis, dtype=dtype, out=out, keepdims=keepdims, initial=initial, where=where)
        return _part("folds").reduce(
            a, initial, where, combine=self.fun, name=title, axis=axis, dtype=dtype, keepdims=keepdims,
            identity=self.identity, associative=self._associative,
        )  # fmt: skip

    def accumulate(self, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """The results of `reduce` of the first element, the first two, the first three, ... along an axis.

        Args:
          a: an array.
          axis: the axis.
          dtype: convert the elements to it first.
          out: not supported; must be None.
        Raises:
          ValueError: the function is not one of two arguments, or the axis is not one of `a`.

        >>> import anima.numpy as np
        >>> print(np.maximum.accumulate(np.array([1, 3, 2])))
        [1 3 3]
        """
        title = self._binary("accumulate", out)
        a = array_like(title, a)
        own = self._methods["accumulate"]
        if own is not None:
            return own(a, axis=axis, dtype=dtype, out=out)
        if axis is None:
            raise ValueError(
                f"{title}: axis must be one axis, got None; flatten the array with ravel() first"
            )
        return _part("folds").accumulate(
            a, combine=self.fun, name=title, axis=axis, dtype=dtype, associative=self._associative
        )

    def at(self, a: Any, indices: Any, b: Any = None, /, *, inplace: bool = True) -> Any:
        """A copy of `a` in which the function is applied to selected elements, as often as they are selected.

        Args:
          a: an array.
          indices: what `a[indices]` takes. Elements out of bounds are left out.
          b: the second operands, for functions of two arguments; they broadcast with `a[indices]`.
          inplace: must be False: arrays are immutable.
        Raises:
          NotImplementedError: `inplace` is not False. TypeError: `b` is missing, or there is none to be given.

        >>> import anima.numpy as np
        >>> print(np.add.at(np.zeros(3), np.array([0, 0, 2]), 1, inplace=False))
        [2. 0. 1.]
        """
        title = f"{self.name}.at"
        if inplace:
            raise NotImplementedError(
                f"{title}: arrays are immutable and cannot be updated in place; "
                f"write a = {title}(a, indices, ..., inplace=False)"
            )
        operands = () if b is None else (b,)
        if len(operands) + 1 != self.nin:
            raise TypeError(f"{title}: {self.name} takes {self.nin} operands, got {len(operands) + 1}")
        own = self._methods["at"]
        if own is not None:
            return own(array_like(title, a), indices, *[array_like(title, v, 2) for v in operands])
        return _part("folds").at(self.fun, title, a, indices, operands)

    def outer(self, A: Any, B: Any, /) -> Any:
        """The function of every element of `A` with every element of `B`; the result has the dimensions of both.

        Raises:
          ValueError: the function is not one of two arguments. TypeError: an argument is no array or scalar.

        >>> import anima.numpy as np
        >>> print(np.add.outer(np.array([0, 10]), np.array([1, 2])))
        [[ 1  2]
         [11 12]]
        """
        if self.nin != 2:
            raise ValueError(f"{self.name}.outer: only functions of two arguments have it")
        A, B = array_like(f"{self.name}.outer", A), array_like(f"{self.name}.outer", B, 1)
        rank = len(shape_of(B))
        return self(reshape(asarray(A), (*shape_of(A), *[1] * rank)) if rank else A, B)

    def reduceat(self, a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """The results of `reduce` of slices along an axis: from each index to the next, the last to the end.

        Args:
          a: an array.
          indices: a vector of integers. Where the next one is not larger, the result is the element at the index.
          axis: the axis.
          dtype: convert the elements to it first.
          out: not supported; must be None.
        Raises:
          ValueError: the function is not one of two arguments, the indices are no vector of integers, or the axis is
            not one of `a`.

        >>> import anima.numpy as np
        >>> print(np.add.reduceat(np.arange(8), np.array([0, 4, 1, 5])))
        [ 6  4 10 18]
        """
        title = self._binary("reduceat", out)
        a, indices = array_like(title, a), array_like(title, indices, 1)
        if axis is None:
            raise ValueError(f"{title}: axis must be one axis, got None")
        own = self._methods["reduceat"]
        if own is not None:
            return own(a, indices, axis=axis, dtype=dtype, out=out)
        return _part("folds").reduceat(a, indices, combine=self.fun, name=title, axis=axis, dtype=dtype)


def frompyfunc(func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """The `ufunc` of a function of scalars.

    Args:
      func: a function that can be traced, of `nin` scalars, which returns `nout` of them.
      nin, nout: how many arguments and results it has.
      identity: the value that changes no other when it is combined with it, or None.
    Raises:
      TypeError: `func` cannot be called, or `nin` or `nout` is no integer.

    >>> import anima.numpy as np
    >>> distance = np.frompyfunc(lambda x, y: abs(x - y), 2, 1)
    >>> print(distance.outer(np.arange(2), np.arange(3)))
    [[0 1 2]
     [1 0 1]]
    """
    return ufunc(func, nin, nout, identity=identity)


# --- the functions of this package that are such objects -----------------------------------------


def _extreme(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`max` or `min` as a method `reduce`."""

    def reduce(a: Any, *, dtype: Any, **options: Any) -> Any:
        return fun(a if dtype is None else asarray(a, dtype=dtype), **options)

    return reduce


def _logical(fun: Callable[..., Any], combine: Any) -> Callable[..., Any]:
    """`all` or `any` as a method `reduce`."""

    def reduce(a: Any, *, dtype: Any, initial: Any, **options: Any) -> Any:
        result = fun(a, **options)
        result = result if initial is None else combine(result, initial)
        return result if dtype is None else asarray(result, dtype=dtype)

    return reduce


def _updates(kind: str) -> Callable[..., Any]:
    """A method of `x.at[indices]` as a method `at`."""

    def at(a: Any, indices: Any, b: Any) -> Any:
        return getattr(asarray(a).at[indices], kind)(b)

    return at


def _declared(fun: Any, nin: int, identity: Any = None, associative: bool = True, **methods: Any) -> ufunc:
    made = ufunc(fun, nin, 1, identity=identity, call=plain(fun), **methods)
    made._associative = associative
    made.__module__ = "anima.numpy"  # where pickle finds it
    return made


add = _declared(arithmetic.add, 2, 0, reduce=sum, accumulate=cumsum, at=_updates("add"))
subtract = _declared(arithmetic.subtract, 2, associative=False, at=_updates("subtract"))
multiply = _declared(arithmetic.multiply, 2, 1, reduce=prod, accumulate=cumprod, at=_updates("multiply"))
negative = _declared(arithmetic.negative, 1)
maximum = _declared(arithmetic.maximum, 2, reduce=_extreme(max), at=_updates("max"))
minimum = _declared(arithmetic.minimum, 2, reduce=_extreme(min), at=_updates("min"))
logaddexp = _declared(elementary.logaddexp, 2, -float("inf"))
logaddexp2 = _declared(elementary.logaddexp2, 2, -float("inf"))
bitwise_and = _declared(logic.bitwise_and, 2, -1)
bitwise_or = _declared(logic.bitwise_or, 2, 0)
bitwise_xor = _declared(logic.bitwise_xor, 2, 0)
logical_and = _declared(logic.logical_and, 2, True, reduce=_logical(all, logic.logical_and))
logical_or = _declared(logic.logical_or, 2, False, reduce=_logical(any, logic.logical_or))
logical_xor = _declared(logic.logical_xor, 2, False)

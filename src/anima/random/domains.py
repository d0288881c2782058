"""What parameters of distributions may be: declared where a function is, looked at where they are known.

Invariant: only numbers and NumPy arrays are looked at, in eager calls and in traced ones; values of arrays and tracers would
have to be waited for, or are not known. There the results are what the formulas make of them: NaN, mostly. A NaN is in
every domain, and so is each limit at which a distribution has a meaning. An argument that is not given costs nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl, Boundary
from anima.records import Record
from anima.transforms.arguments import parameters_of

F = TypeVar("F", bound=Callable[..., Any])

_PLAIN = frozenset((int, float))


class Domain(Record):
    """What one argument, or several together, must be.

    Attributes:
      arguments: their names.
      outside: whether values are not in the domain: a truth value, or an array of them that they broadcast to.
      words: what stands behind "must be" in messages; with several arguments, what is said of them.
    """

    arguments: tuple[str, ...]
    outside: Callable[..., Any]
    words: str

    def check(self, name: str, *given: Any) -> None:
        """Look at the values that a function is given.

        Raises:
          ValueError: all are known, and they are not in the domain.
        """
        values = [value if type(value) in _PLAIN else known(value) for value in given]
        if any(value is None for value in values):
            return
        try:
            wrong = self.outside(*values)
        except (ValueError, OverflowError):  # shapes that do not fit are for the function to name
            return
        if wrong is not False and np.any(wrong):
            raise ValueError(self._message(name, values, wrong))

    def _message(self, name: str, values: list[Any], wrong: Any) -> str:
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        shape = np.shape(wrong)
        found = [str(np.broadcast_to(v, shape)[at]) if np.ndim(v) <= len(shape) else "it" for v in values]
        where = f" at index {at[0] if len(at) == 1 else at}" if at else ""
        if len(values) == 1:
            return f"{name}: {self.arguments[0]} must be {self.words}, got {found[0]}{where}"
        told = ", ".join(f"{a}={v}" for a, v in zip(self.arguments, found))
        return f"{name}: {self.words}, got {told}{where}"


def known(value: Any) -> Any:
    """A number or a NumPy array that can be compared, or None for what is not known, or no real number."""
    if type(value) is ArrayImpl:
        return None
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind in "biuf":
            return value if isinstance(value, np.ndarray) else value.item()
        # Narrow floats and integers compare among themselves only.
        return value.astype(np.float64) if dtypes.kind_of(value.dtype) in ("f", "i", "u") else None
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and _of_numbers(value):
        try:
            return np.array(value)
        except ValueError:  # of rows of different lengths
            return None
    return None


def _of_numbers(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_of_numbers, value))
    return isinstance(value, (bool, int, float))


# --- domains ----------------------------------------------------------------------------------


def positive(argument: str) -> Domain:
    """Above 0."""
    return Domain((argument,), lambda x: x <= 0, "above 0")


def non_negative(argument: str) -> Domain:
    """0 or more."""
    return Domain((argument,), lambda x: x < 0, "0 or more")


def probability(argument: str) -> Domain:
    """From 0 to 1."""
    return Domain((argument,), lambda x: (x < 0) | (x > 1), "between 0 and 1")


def weights(argument: str) -> Domain:
    """0 or more, and some above 0."""
    return Domain((argument,), _no_weights, "0 or more, and not 0 everywhere")


def _no_weights(x: Any) -> Any:
    return (x < 0) | bool(np.size(x) and np.all(np.equal(x, 0)))


def ordered(least: str, most: str) -> Domain:
    """One argument not above another."""
    return Domain((least, most), lambda a, b: a > b, f"{least} must be at most {most}")


def covariance(argument: str) -> Domain:
    """Symmetric matrices without a negative variance, or a correlation above 1, up to rounding.

    That they are positive definite is left to their factorisation: it is as much work, and results in NaNs.
    """
    words = "symmetric, and no element above the geometric mean of its row's and its column's on the diagonal"
    return Domain((argument,), _no_covariance, words)


def _no_covariance(x: Any) -> Any:
    if np.ndim(x) < 2 or x.shape[-1] != x.shape[-2]:
        return False
    c = np.asarray(x, np.float64)
    rounding = 1e-5 if x.dtype.itemsize > 2 or x.dtype.kind != "f" else 1e-2
    with np.errstate(invalid="ignore"):
        close = rounding * np.abs(c).max((-1, -2), keepdims=True, initial=0)
        roots = np.sqrt(np.maximum(np.diagonal(c, axis1=-2, axis2=-1), 0))
        above = np.abs(c) > roots[..., :, None] * roots[..., None, :] + close
        return above | (np.abs(c - np.swapaxes(c, -1, -2)) > close)


# --- functions with domains -------------------------------------------------------------------


def within(*domains: Domain) -> Callable[[F], F]:
    """Decorator: the arguments of a function or method are in these domains, where they are known.

    The function raises ValueError otherwise, which names it, the argument, the value and the domain.
    """

    def decorate(fun: F) -> F:
        name = getattr(fun, "__qualname__", fun.__name__)
        parameters = parameters_of(fun) or []
        names = [parameter.name for parameter in parameters]
        defaults = {parameter.name: parameter.default for parameter in parameters}
        rules = [
            (domain, domain.outside, [(names.index(a), a, defaults[a]) for a in domain.arguments])
            for domain in domains
        ]
        first = min(place for *_, where in rules for place, *_ in where)

        def checked(*args: Any, **kwargs: Any) -> Any:
            count = len(args)
            if count > first or kwargs:
                for domain, outside, where in rules:
                    given = []
                    plain = True
                    for place, argument, default in where:
                        value = args[place] if place < count else kwargs.get(argument, default)
                        plain = plain and type(value) in _PLAIN
                        given.append(value)
                    # Most are Python numbers that are all right, which is seen in half a microsecond.
                    if not plain or outside(*given):
                        domain.check(name, *given)
            return fun(*args, **kwargs)

        boundary = functools.update_wrapper(Boundary(functools.wraps(fun)(checked)), fun)
        return boundary  # type: ignore[return-value]

    return decorate

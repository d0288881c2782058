"""Errors as values: which check failed first, and what its message tells.

Invariant: an `Error` is a pytree with one code and the values of each check's message; a code of 0 means that no check failed,
and n that the n-th of its sites did. Values of sites that did not fail mean nothing.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from anima import dtypes
from anima._native import PyTreeDef, tree_unflatten
from anima.core.trace import Tracer
from anima.records import Record
from anima.tree_util import register_pytree_node_class


class JaxException(Exception):
    """What a failed check is about; the base of the categories."""


class FailedCheckError(JaxException):
    """A `check` of the user's failed."""


class NaNError(JaxException):
    """An operation made a NaN of numbers that were none."""


class OOBError(JaxException):
    """An index was out of bounds."""


class DivisionByZeroError(JaxException):
    """A divisor was zero."""


class JaxRuntimeError(ValueError):
    """What `Error.throw` and a failed `check` raise."""


ErrorCategory: TypeAlias = type[JaxException]


class Site(Record):
    """A place in a program where a check may fail. `tree`: the structure of its values, `(args, kwargs)` of the message."""

    category: ErrorCategory
    message: str
    tree: PyTreeDef

    def text(self, values: list[Any]) -> str:
        """The message with values in it."""
        args, kwargs = tree_unflatten(self.tree, [_on_host(v) for v in values])
        text = self.message.format(*args, **kwargs)
        return f"{text} (`check` failed)" if self.category is FailedCheckError else text


def _on_host(value: Any) -> Any:
    """The value as a NumPy array; keys, which have no such form, stay what they are."""
    return value if dtypes.issubdtype(value.dtype, dtypes.extended) else np.asarray(value)


@register_pytree_node_class
class Error:
    """Whether a check failed, and which one: what a function returns beside its result after `checkify`.

    Under `vmap` it has an error for each example.

    >>> from anima.experimental import checkify
    >>> error, _ = checkify.checkify(lambda x: 1 / x, errors=checkify.div_checks)(0.0)
    >>> error
    Error(division by zero)
    >>> error.get()
    'division by zero'
    """

    __slots__ = ("_code", "_sites", "_values")

    def __init__(self, code: Any, values: tuple[Any, ...], sites: tuple[Site, ...]) -> None:
        self._code = code
        self._values = values
        self._sites = sites

    def get(self) -> str | None:
        """The message of the check that failed; None if none did.

        Raises:
          ValueError: the error is not known yet, because a program is being traced.
        """
        found = self._found()
        if np.ndim(self._code) == 0:
            return found[0][1].args[0] if found else None
        said = [f"at mapped index {', '.join(map(str, where))}: {e}" for where, e in found]
        return "\n".join(said) or None

    def get_exception(self) -> JaxException | None:
        """The failed check as an exception of its category; None if none failed. Of several examples the first."""
        found = self._found()
        if not found:
            return None
        _, error = found[0]
        return type(error)(self.get())

    def throw(self) -> None:
        """Raise if a check failed.

        Raises:
          JaxRuntimeError: one did; the message is that of `get`.
        """
        message = self.get()
        if message is not None:
            raise JaxRuntimeError(message)

    def _found(self) -> list[tuple[tuple[int, ...], JaxException]]:
        """The checks that failed, by the place in the batch."""
        if isinstance(self._code, Tracer):
            raise ValueError(
                "the error is not known while a program is traced: return it from the function and look at it outside, "
                "or use checkify.check_error"
            )
        codes = np.asarray(self._code)
        if not codes.any():
            return []
        values = [_on_host(v) for v in self._values]
        found: list[tuple[tuple[int, ...], JaxException]] = []
        for where in zip(*np.nonzero(np.atleast_1d(codes))):
            place = where if codes.ndim else ()
            number = int(codes[place]) - 1
            site = self._sites[number]
            first = sum(s.tree.num_leaves for s in self._sites[:number])
            own = [v[place] for v in values[first : first + site.tree.num_leaves]]
            found.append((tuple(map(int, where)), site.category(site.text(own))))
        return found

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Site, ...]]:
        return (self._code, *self._values), self._sites

    @classmethod
    def tree_unflatten(cls, sites: tuple[Site, ...], leaves: Any) -> Error:
        code, *values = leaves
        return cls(code, tuple(values), sites)

    def __repr__(self) -> str:
        if isinstance(self._code, Tracer) or not hasattr(self._code, "dtype"):
            return f"Error({self._code})"
        return f"Error({self.get()})"

    __str__ = __repr__


init_error = Error(np.int32(0), (), ())

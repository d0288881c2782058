"""`check`: the operation that `checkify` takes out of programs.

Invariant: its operands are a code, 0 where nothing failed, and the values of its sites, with the code's dimensions in front of
their own: one for each example that `vmap` has made. It has no results, and no program holds it when it is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import tree_flatten
from anima.core.aval import ShapedArray
from anima.core.effects import Effect, Effects
from anima.core.primitive import Missing, Primitive
from anima.core.trace import Tracer, aval_of, shaped
from anima.experimental.checkify.error import Error, FailedCheckError, Site
from anima.interpreters.batch import Axis, to_axis
from anima.lax.selection import select
from anima.runtime.arrays import as_array


class CheckEffect(Effect):
    """A check, which only `checkify` can turn into a value. It must not fail for examples that a branch has left."""


_EFFECTS: Effects = frozenset([CheckEffect()])


def _lower(ctx: Any, *operands: Any, sites: tuple[Site, ...], debug: bool) -> list[Any]:
    if debug:
        return []
    raise ValueError(
        f"checkify.check({sites[0].message!r}) is compiled by jit, but no transformation has taken it out of the program: "
        "wrap the function, outside of jit or inside, by checkify.checkify, which returns the error as a value; or use "
        "checkify.debug_check, which counts only there"
    )


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    check_p.bind(*primals, **params)
    return [], []


def _batch(
    axis: Axis, args: Sequence[Any], dims: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    check_p.bind(*[to_axis(x, dim, 0, axis.size) for x, dim in zip(args, dims)], **params)
    return [], []


check_p = Primitive(
    "check",
    shape=lambda *avals, **params: [],
    lower=_lower,
    jvp=_jvp,
    transpose=Missing("a check has no results to be linear in"),
    batch=_batch,
    effects=lambda *avals, **params: _EFFECTS,
    multiple_results=True,
)


def _eager(code: Any, *values: Any, sites: tuple[Site, ...], debug: bool) -> list[Any]:
    if not debug:
        Error(code, values, sites).throw()
    return []


check_p.eager = _eager


class _Anything:
    """Stands for a value of a message that is not known yet."""

    def __format__(self, spec: str) -> str:
        return ""

    def __getitem__(self, key: Any) -> _Anything:
        return self

    def __getattr__(self, name: str) -> _Anything:
        return self


_ANYTHING = _Anything()


def _check(name: str, pred: Any, msg: Any, args: Any, kwargs: Any, debug: bool) -> None:
    if not isinstance(msg, str):
        raise TypeError(f"{name}: the message must be a string, got {msg!r}")
    try:
        aval = aval_of(pred)
    except TypeError:
        aval = None
    if not isinstance(aval, ShapedArray) or aval.shape != () or not dtypes.is_bool(aval.dtype):
        raise TypeError(
            f"{name}: pred must be a boolean scalar, got {pred!r}; take .all() of an array, and compare a number with 0"
        )
    try:
        msg.format(*[_ANYTHING] * len(args), **dict.fromkeys(kwargs, _ANYTHING))
    except (IndexError, KeyError, ValueError) as error:
        raise type(error)(f"{name}: the message {msg!r} does not fit its values: {error}") from None
    leaves, tree = tree_flatten((args, kwargs))
    for leaf in leaves:
        if isinstance(leaf, (str, bytes)) or not (isinstance(leaf, Tracer) or _is_array(leaf)):
            raise TypeError(
                f"{name}: values of the message must be arrays, numbers or pytrees of them, got {leaf!r:.60} of type "
                f"{type(leaf).__name__}; what is known while tracing can be put into the message itself"
            )
    code = select(as_array(pred), np.int32(0), np.int32(1))
    check_p.bind(
        code, *[as_array(x) for x in leaves], sites=(Site(FailedCheckError, msg, tree),), debug=debug
    )


def _is_array(leaf: Any) -> bool:
    try:
        shaped(leaf)
    except TypeError:
        return False
    return True


def check(pred: Any, msg: str, *fmt_args: Any, debug: bool = False, **fmt_kwargs: Any) -> None:
    """Fail at run time unless `pred` is true.

    Outside of transformations a failed check raises at once. Inside, the function must be wrapped by `checkify`, which makes
    the failure a value; of several failed checks the first one counts.

    Args:
      pred: a boolean scalar.
      msg: what the error says, in the manner of `str.format`.
      fmt_args, fmt_kwargs: arrays and numbers for its placeholders.
      debug: the check counts only inside `checkify`; elsewhere it is left out.
    Raises:
      JaxRuntimeError: `pred` is false, and nothing is being traced. TypeError: an argument is not as said.
      IndexError, KeyError: a placeholder has no value.
      ValueError: when a program with it is compiled that `checkify` has not seen.

    >>> from anima.experimental import checkify
    >>> checkify.check(2 > 1, "a message that nobody sees")
    >>> checkify.check(False, "{} is too large", 7)
    Traceback (most recent call last):
    ...
    anima.experimental.checkify.error.JaxRuntimeError: 7 is too large (`check` failed)
    """
    _check("check", pred, msg, fmt_args, fmt_kwargs, bool(debug))


def debug_check(pred: Any, msg: str, *fmt_args: Any, **fmt_kwargs: Any) -> None:
    """As `check`, but it counts only inside `checkify`: anywhere else it does nothing.

    >>> from anima.experimental import checkify
    >>> checkify.debug_check(False, "not said")
    >>> checkify.checkify(lambda x: checkify.debug_check(x > 0, "{} is negative", x))(-1.0)[0]
    Error(-1.0 is negative (`check` failed))
    """
    _check("debug_check", pred, msg, fmt_args, fmt_kwargs, debug=True)


def check_error(error: Error) -> None:
    """Fail where an error value says that something failed: the inverse of `checkify`.

    Args:
      error: what a function returned after `checkify`.
    Raises:
      JaxRuntimeError: it holds a failure, and nothing is being traced; inside a trace it is for an outer `checkify`.
      TypeError: it is no `Error`.

    >>> from anima.experimental import checkify
    >>> error, _ = checkify.checkify(lambda x: checkify.check(x > 0, "negative"))(-1.0)
    >>> outer = checkify.checkify(lambda: checkify.check_error(error))
    >>> outer()[0].get()
    'negative (`check` failed)'
    """
    if not isinstance(error, Error):
        raise TypeError(
            f"check_error takes an Error, as checkify returns it, got {error!r:.60} of type {type(error).__name__}"
        )
    (code, *values), sites = error.tree_flatten()
    if sites:
        check_p.bind(as_array(code), *[as_array(v) for v in values], sites=sites, debug=False)

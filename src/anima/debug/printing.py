"""Looking at values while a program runs: `callback`, `print` and `log`.

Invariant: looking changes nothing: no result depends on it and derivatives pass by. It happens in compiled programs too,
for every call, and for each example under `vmap`.
"""

from __future__ import annotations

import builtins
import functools
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima._native import tree_flatten, tree_unflatten
from anima.core import source
from anima.core.effects import DebugEffect, OrderedDebugEffect
from anima.core.trace import is_value
from anima.runtime.arrays import as_array
from anima.transforms.arguments import check_callable, name_of
from anima.transforms.callback_primitives import HostFunction, debug_callback_p

_Decorator = Callable[..., Any]


def look(
    what: str,
    fun: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    effect: DebugEffect,
    partitioned: bool = False,
) -> None:
    """Have `fun` called with these arguments; leaves that are no arrays or numbers reach it as they are."""
    leaves, tree = tree_flatten((args, kwargs))
    traced = [is_value(x) or hasattr(x, "__jax_array__") for x in leaves]
    fixed = [None if t else x for x, t in zip(leaves, traced)]

    def call(*values: Any) -> None:
        given = iter(values)
        full = [next(given) if t else x for x, t in zip(fixed, traced)]
        full_args, full_kwargs = tree_unflatten(tree, full)
        fun(*full_args, **full_kwargs)

    dynamic = [as_array(x) for x, t in zip(leaves, traced) if t]
    _, in_tree = tree_flatten((tuple(dynamic), {}))
    debug_callback_p.bind(
        *dynamic,
        callback=HostFunction(what, name_of(fun), call, in_tree, None),
        effect=effect,
        partitioned=bool(partitioned),
    )


def _effect(ordered: bool) -> DebugEffect:
    return OrderedDebugEffect() if ordered else DebugEffect()


def callback(
    callback: Callable[..., Any] | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    **kwargs: Any,
) -> _Decorator | None:
    """Call a Python function on values at run time, to look at them; what it returns is dropped.

    It also runs inside `jit`, control flow and differentiation; under `vmap` once for each example. Where a mapped
    `cond` or `while_loop` runs for examples that it has left, so does the callback.

    Args:
      callback: the function. Left out, the result is this function with the other options set.
      args, kwargs: its arguments, pytrees of arrays; leaves that are none, such as strings, are passed as they are.
      ordered: whether it runs after all ordered callbacks that come before it in the program.
      partitioned: in a program over several devices, each of them calls it; by default the first does. Arrays are whole,
        but in `shard_map`, where each device has its part.
    Returns:
      None.
    Raises:
      TypeError: `callback` is no function. An exception of the callback comes as it is from eager calls, and as
        JaxRuntimeError from compiled programs or, if they have no results that are used, from `effects_barrier`.

    >>> import anima
    >>> seen = []
    >>> @anima.jit
    ... def f(x):
    ...     anima.debug.callback(lambda v: seen.append(float(v)), x)
    ...     return 2 * x
    >>> y = f(3.0)
    >>> anima.effects_barrier()
    >>> seen
    [3.0]
    """
    if callback is None:
        return functools.partial(_callback, ordered=ordered, partitioned=partitioned, **kwargs)
    check_callable(callback, "debug.callback")
    look("debug.callback", callback, args, kwargs, _effect(ordered), partitioned)
    return None


_callback = callback  # its parameter has the same name


class _Checker(string.Formatter):
    """Goes through a format as `str.format` does, without looking at any value."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Any) -> tuple[Any, str | int]:
        first = field_name.partition(".")[0].partition("[")[0]
        key: str | int = int(first) if first.isdigit() else first
        if isinstance(key, int) and key >= len(args):
            raise IndexError(
                f"debug.print: the format has a placeholder for positional argument {key}, but there are {len(args)}"
            )
        if isinstance(key, str) and key not in kwargs:
            raise KeyError(
                f"debug.print: the format has a placeholder {{{key}}}, but there is no argument {key}="
            )
        return None, key

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion not in (None, "s", "r", "a"):
            raise ValueError(
                f"debug.print: unknown conversion {conversion!r} in the format; use !s, !r or !a"
            )
        return value

    def format_field(self, value: Any, format_spec: str) -> str:
        return ""

    def check_unused_args(self, used_args: Any, args: Sequence[Any], kwargs: Any) -> None:
        unused = [repr(i) for i in range(len(args)) if i not in used_args]
        unused += [f"{name}=" for name in kwargs if name not in used_args]
        if unused:
            raise ValueError(
                f"debug.print: the format {self.shown} has no placeholder for the arguments {', '.join(unused)}. A "
                'format is a plain string, "x = {}" with x as an argument; an f-string would show the tracer'
            )

    def __init__(self, fmt: str) -> None:
        self.shown = f"{fmt!r:.60}"


def _say(
    what: str,
    write: Callable[[str], None],
    fmt: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    skip_format_check: bool,
    ordered: bool,
    partitioned: bool,
) -> None:
    if not isinstance(fmt, str):
        raise TypeError(
            f"{what}: the first argument must be a format string, got {fmt!r:.80} of type {type(fmt).__name__}; write "
            f"{what}('{{}}', x)"
        )
    if not skip_format_check:
        _Checker(fmt).vformat(fmt, args, kwargs)
    printing = np.get_printoptions()

    def show(*values: Any, **named: Any) -> None:
        with np.printoptions(**printing):
            text = fmt.format(*values, **named)
        write(text)

    look(what, show, args, kwargs, _effect(ordered), partitioned)


def print(
    fmt: str | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    skip_format_check: bool = False,
    _use_logging: bool = False,
    **kwargs: Any,
) -> _Decorator | None:
    """Print values at run time, from inside transformed functions too.

    Args:
      fmt: a string in the manner of `str.format`: "x = {}, y = {y:.3f}". Left out, the result is this function with the
        other options set.
      args, kwargs: the values for its placeholders. How NumPy prints is as it was set when this was called.
      ordered: whether it prints after all ordered callbacks that come before it in the program.
      partitioned: in a program over several devices, each of them prints; see `callback`.
      skip_format_check: do not check now that the arguments fit the placeholders.
    Returns:
      None.
    Raises:
      TypeError: `fmt` is no string. IndexError, KeyError: a placeholder has no argument. ValueError: an argument has no
        placeholder, or the format is malformed.

    >>> import anima
    >>> @anima.jit
    ... def f(x):
    ...     anima.debug.print("x = {:.1f}, twice that is {y}", x, y=2 * x)
    ...     return x
    >>> y = f(1.5).block_until_ready()
    x = 1.5, twice that is 3.0
    """
    if fmt is None:
        return functools.partial(
            _print, ordered=ordered, partitioned=partitioned, skip_format_check=skip_format_check,
            _use_logging=_use_logging, **kwargs,
        )  # fmt: skip
    if _use_logging:
        _say(
            "debug.log", _logged(source.current()), fmt, args, kwargs, skip_format_check, ordered, partitioned
        )
    else:
        _say("debug.print", _write_line, fmt, args, kwargs, skip_format_check, ordered, partitioned)
    return None


_print = print


def _write_line(text: str) -> None:
    # In one piece: several devices may print at a time.
    builtins.print(f"{text}\n", end="")


def log(
    fmt: str | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    skip_format_check: bool = False,
    **kwargs: Any,
) -> _Decorator | None:
    """Like `print`, but through `logging`: at level INFO of the logger "anima.debug", with the line that called this.

    >>> import anima
    >>> anima.jit(lambda x: anima.debug.log("x = {}", x))(1.0)
    """
    if fmt is None:
        return functools.partial(
            log, ordered=ordered, partitioned=partitioned, skip_format_check=skip_format_check, **kwargs
        )
    _say("debug.log", _logged(source.current()), fmt, args, kwargs, skip_format_check, ordered, partitioned)
    return None


def _logged(position: source.Position | None) -> Callable[[str], None]:
    import logging  # 5 ms that only those pay who log

    logger = logging.getLogger("anima.debug")
    place = ("", 0, "") if position is None else (position.file, position.line, position.function)

    def write(text: str) -> None:
        if logger.isEnabledFor(logging.INFO):
            file, line, function = place
            record = logger.makeRecord(logger.name, logging.INFO, file, line, text, (), None, function)
            logger.handle(record)

    return write

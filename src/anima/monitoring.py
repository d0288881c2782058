"""Listeners for what the library does: traces, lowerings, compilations, the cache, and whatever a program reports itself.

Invariant: reporting to nobody costs a look at an empty list. Listeners run in the thread that reports, in the order in which
they were registered, and an exception of one goes to whoever reported.

The library reports under the names that JAX uses, so that listeners written for it hear the same:

| name | kinds | when |
| --- | --- | --- |
| `/jax/core/compile/jaxpr_trace_duration` | scalar, duration, span | a function was traced (`fun_name`: its name) |
| `/jax/core/compile/jaxpr_to_mlir_module_duration` | the same | its program was lowered (`jit(name)`) |
| `/jax/core/compile/backend_compile_duration` | the same | its executable was compiled or loaded from disk |
| `/jax/compilation_cache/compile_requests_use_cache` | event | the folder of compiled programs was asked for one |
| `/jax/compilation_cache/cache_hits`, `cache_misses` | event | it had it, or not |
| `/jax/compilation_cache/cache_retrieval_time_sec` | duration | what loading one took |

A scalar is the time at which the work starts; duration and span come when it has ended, also by an exception.
"""

from __future__ import annotations

from typing import Any, Protocol


class EventListener(Protocol):
    """Hears of events that have no more than a name."""

    def __call__(self, event: str, **kwargs: str | int) -> None: ...


class ValueListener(Protocol):
    """Hears of durations, in seconds, or of scalars."""

    def __call__(self, event: str, value: float, /, **kwargs: str | int) -> None: ...


class SpanListener(Protocol):
    """Hears of stretches of time, in seconds since 1970."""

    def __call__(self, event: str, start_time: float, end_time: float, /, **kwargs: str | int) -> None: ...


_events: list[EventListener] = []
_durations: list[ValueListener] = []
_scalars: list[ValueListener] = []
_spans: list[SpanListener] = []


def listening() -> bool:
    """Whether anybody listens to durations, spans or scalars."""
    return bool(_durations or _spans or _scalars)


def record_event(event: str, **kwargs: str | int) -> None:
    """Tell listeners that something happened.

    Args:
      event: its name, a path such as "/my_program/checkpoint_written".
      kwargs: what else is to be known of it.

    >>> import anima
    >>> heard = []
    >>> anima.monitoring.register_event_listener(lambda event, **more: heard.append((event, more)))
    >>> anima.monitoring.record_event("/my_program/saved", step=3)
    >>> heard
    [('/my_program/saved', {'step': 3})]
    >>> anima.monitoring.clear_event_listeners()
    """
    for listener in tuple(_events):
        listener(event, **kwargs)


def record_event_duration_secs(event: str, duration: float, **kwargs: str | int) -> None:
    """Tell listeners how long something took, in seconds.

    >>> import anima
    >>> anima.monitoring.register_event_duration_secs_listener(
    ...     lambda event, seconds, **_: print(event, seconds)
    ... )
    >>> anima.monitoring.record_event_duration_secs("/my_program/load", 0.5)
    /my_program/load 0.5
    >>> anima.monitoring.clear_event_listeners()
    """
    for listener in tuple(_durations):
        listener(event, duration, **kwargs)


def record_event_time_span(event: str, start_time: float, end_time: float, **kwargs: str | int) -> None:
    """Tell listeners from when to when something lasted, in seconds since 1970.

    >>> import anima
    >>> anima.monitoring.register_event_time_span_listener(
    ...     lambda event, start, end, **_: print(event, end - start)
    ... )
    >>> anima.monitoring.record_event_time_span("/my_program/load", 10.0, 12.5)
    /my_program/load 2.5
    >>> anima.monitoring.clear_event_listeners()
    """
    for listener in tuple(_spans):
        listener(event, start_time, end_time, **kwargs)


def record_scalar(event: str, value: float | int, **kwargs: str | int) -> None:
    """Tell listeners a number.

    >>> import anima
    >>> anima.monitoring.register_scalar_listener(lambda event, value, **_: print(event, value))
    >>> anima.monitoring.record_scalar("/my_program/loss", 0.25)
    /my_program/loss 0.25
    >>> anima.monitoring.clear_event_listeners()
    """
    for listener in tuple(_scalars):
        listener(event, value, **kwargs)


def _register(listeners: list[Any], callback: Any, what: str) -> None:
    if not callable(callback):
        raise TypeError(
            f"monitoring.{what}: the listener must be a function, got {callback!r} of type {type(callback).__name__}"
        )
    listeners.append(callback)


def _unregister(listeners: list[Any], callback: Any, what: str) -> None:
    if callback not in listeners:
        raise ValueError(f"monitoring.{what}: {callback!r} is not registered")
    listeners.remove(callback)


def register_event_listener(callback: EventListener) -> None:
    """Have `callback(event, **kwargs)` called for each event.

    Raises:
      TypeError: it cannot be called.
    """
    _register(_events, callback, "register_event_listener")


def register_event_duration_secs_listener(callback: ValueListener) -> None:
    """Have `callback(event, seconds, **kwargs)` called for each duration.

    Raises:
      TypeError: it cannot be called.

    >>> import anima
    >>> heard = []
    >>> anima.monitoring.register_event_duration_secs_listener(
    ...     lambda event, seconds, **more: heard.append(event)
    ... )
    >>> y = anima.jit(lambda x: x + 1)(2.0)
    >>> heard[0]
    '/jax/core/compile/jaxpr_trace_duration'
    >>> anima.monitoring.clear_event_listeners()
    """
    _register(_durations, callback, "register_event_duration_secs_listener")


def register_event_time_span_listener(callback: SpanListener) -> None:
    """Have `callback(event, start_time, end_time, **kwargs)` called for each span.

    Raises:
      TypeError: it cannot be called.
    """
    _register(_spans, callback, "register_event_time_span_listener")


def register_scalar_listener(callback: ValueListener) -> None:
    """Have `callback(event, value, **kwargs)` called for each scalar.

    Raises:
      TypeError: it cannot be called.
    """
    _register(_scalars, callback, "register_scalar_listener")


def unregister_event_listener(callback: EventListener) -> None:
    """Undo `register_event_listener`.

    Raises:
      ValueError: it is not registered.
    """
    _unregister(_events, callback, "unregister_event_listener")


def unregister_event_duration_listener(callback: ValueListener) -> None:
    """Undo `register_event_duration_secs_listener`.

    Raises:
      ValueError: it is not registered.
    """
    _unregister(_durations, callback, "unregister_event_duration_listener")


def unregister_event_time_span_listener(callback: SpanListener) -> None:
    """Undo `register_event_time_span_listener`.

    Raises:
      ValueError: it is not registered.
    """
    _unregister(_spans, callback, "unregister_event_time_span_listener")


def unregister_scalar_listener(callback: ValueListener) -> None:
    """Undo `register_scalar_listener`.

    Raises:
      ValueError: it is not registered.
    """
    _unregister(_scalars, callback, "unregister_scalar_listener")


def clear_event_listeners() -> None:
    """Forget every listener of every kind.

    >>> import anima
    >>> anima.monitoring.clear_event_listeners()
    """
    for listeners in (_events, _durations, _scalars, _spans):
        listeners.clear()

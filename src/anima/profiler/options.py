"""What a profile is to hold.

Invariant: each option has a value of its type; unknown ones are refused, but for those of `advanced_configuration`.
"""

from __future__ import annotations

from typing import Any

_DEFAULTS: dict[str, Any] = {
    "advanced_configuration": {},
    "duration_ms": 0,
    "enable_hlo_proto": True,
    "host_tracer_level": 2,
    "include_dataset_ops": True,
    "python_tracer_level": 0,
    "raise_error_on_start_failure": False,
    "repository_path": "",
    "session_id": "",
    "start_timestamp_ns": 0,
}


class ProfileOptions:
    """Options of `start_trace`, as attributes.

    Attributes:
      host_tracer_level: 0 for no spans of the host, 1 for the program's own annotations, 2 for the library's too.
      python_tracer_level: 1 for a span for each call of a Python function, which slows the program down.
      duration_ms: leave out what begins later than this after the start; 0 for no limit.
      start_timestamp_ns: leave out what begins before this time, in nanoseconds since 1970; 0 for no limit.
      session_id: the name of the folder, in place of the date and time.
      advanced_configuration, enable_hlo_proto, include_dataset_ops, raise_error_on_start_failure, repository_path: what
        other profilers understand; they change nothing here.

    >>> import anima
    >>> options = anima.profiler.ProfileOptions()
    >>> options.host_tracer_level = 1
    """

    advanced_configuration: dict[str, Any]
    duration_ms: int
    enable_hlo_proto: bool
    host_tracer_level: int
    include_dataset_ops: bool
    python_tracer_level: int
    raise_error_on_start_failure: bool
    repository_path: str
    session_id: str
    start_timestamp_ns: int

    def __init__(self) -> None:
        for name, default in _DEFAULTS.items():
            setattr(self, name, dict(default) if isinstance(default, dict) else default)

    def __setattr__(self, name: str, value: Any) -> None:
        default = _DEFAULTS.get(name)
        if default is None:
            raise AttributeError(
                f"ProfileOptions has no option {name!r}; the options are {', '.join(_DEFAULTS)}"
            )
        kind = type(default)
        if not isinstance(value, kind) or (kind is int and value < 0):
            wanted = "a number of at least 0" if kind is int else f"a {kind.__name__}"
            raise TypeError(f"ProfileOptions.{name} must be {wanted}, got {value!r}")
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"ProfileOptions({', '.join(f'{n}={getattr(self, n)!r}' for n in _DEFAULTS)})"

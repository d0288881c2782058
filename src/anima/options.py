"""What an option is: a typed value, its override for a block in one thread, and the options key.

Invariant: every option whose value can change what a trace produces or how it is compiled is part of one
interned number, the options key, which the native code reads at each call; so a compiled program is never
reused under options other than those it was made with. A thread inside an override block sees, for those
options, the values that held when it entered the block (and its own later updates), never half of an update
made by another thread. The options themselves are declared in ``config.py``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

from anima import _native

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

_UNSET: Any = object()
_MAX_BLOCKS = 32  # reused blocks an option
_lock = threading.RLock()


class _View:
    """What a thread sees of the options. Never changed once made, so readers need no lock."""

    __slots__ = ("guarded", "key", "overrides", "seen", "x64")

    def __init__(
        self,
        overrides: Mapping[State[Any], Any],
        seen: Mapping[State[Any], Any],
        key: int = -1,
        x64: int = -1,
        guarded: int = -1,
    ) -> None:
        self.overrides = overrides
        self.seen = seen  # the overrides and, if one of them is traced, all other traced options
        self.key = key  # -1: that of the process
        self.x64 = x64
        self.guarded = guarded  # whether transfers are guarded


_NO_OVERRIDES = _View({}, {})


class _ThreadState(threading.local):
    view = _NO_OVERRIDES
    seen = _NO_OVERRIDES.seen

    def __init__(self) -> None:
        self.entered: list[tuple[Override, _View, _View]] = []


class State(Generic[T]):
    """One option, and the context manager that overrides it: ``with state(value):``, also a decorator.

    Args:
      name: without prefix.
      default: the value when nothing sets it.
      parse: turns what the user gave (a string, from the environment) into the value, or raises.
      doc: what the option does.
      traced: whether a change must lead to new traces or compilations.
      members: options that take the same value whenever this one is set.
    """

    __slots__ = ("_blocks", "_hooks", "_parse", "_value", "default", "doc", "members", "name", "traced")

    def __init__(
        self,
        name: str,
        default: T,
        parse: Callable[[str, object], T],
        doc: str,
        *,
        traced: bool = False,
        members: tuple[State[T], ...] = (),
    ) -> None:
        self.name, self.default, self.doc = name, default, doc
        self.traced, self.members = traced, members
        self._parse, self._value = parse, default
        self._hooks: list[Callable[[T], None]] = []
        self._blocks: dict[bool | str, Override] = {}

    @property
    def value(self) -> T:
        """The value in force in this thread."""
        return _local.seen.get(self, self._value)  # type: ignore[no-any-return]

    @property
    def process_value(self) -> T:
        """The value outside of every override block."""
        return self._value

    def check(self, value: object) -> T:
        """Returns ``value`` in the option's own type; raises TypeError or ValueError that say what is valid."""
        return self._parse(f"jax_{self.name}", value)

    def set(self, value: object) -> None:
        """Sets the option for the whole process; blocks that override it keep their value."""
        checked = self.check(value)
        for hook in self._hooks:
            hook(checked)
        with _lock:
            for state in (self, *self.members):
                state._value = checked
            if any(state.traced for state in (self, *self.members)):
                _traced_changed()

    def on_set(self, hook: Callable[[T], None]) -> None:
        """Calls ``hook(value)`` before each later process-wide change; what it raises prevents the change."""
        self._hooks.append(hook)

    def __call__(self, new_val: object = _UNSET) -> Override:
        if new_val is _UNSET:
            if not isinstance(self.default, bool):
                raise TypeError(f"{self.name}() needs a value: with {self.name}(value): ...")
            new_val = True
        checked = self.check(new_val)
        block = self._blocks.get(checked) if isinstance(checked, (bool, str)) else None
        if block is None:
            block = Override(dict.fromkeys((self, *self.members), checked))
            if isinstance(checked, (bool, str)) and len(self._blocks) < _MAX_BLOCKS:
                self._blocks[checked] = block
        return block

    def __bool__(self) -> bool:
        raise TypeError(f"the option {self.name} is not its value; read {self.name}.value")

    def __repr__(self) -> str:
        return f"<option jax_{self.name} = {self.value!r}>"


class Override:
    """Options with other values for a ``with`` block, or for each call of the function that it decorates.

    Only the entering thread is affected. Blocks nest, may be entered again, and need not be left in order
    (generators): leaving one puts back the options that it changed and no others.
    """

    __slots__ = ("_changes", "_last")

    def __init__(self, changes: Mapping[State[Any], Any]) -> None:
        self._changes = changes
        # Entering costs 7 us when the key is computed and 1 us when it is the same as the last time.
        self._last: tuple[Mapping[State[Any], Any], int, _View] | None = None

    def __enter__(self) -> None:
        before, last = _local.view, self._last
        if last is not None and last[0] is before.overrides and last[1] == _generation:
            view = last[2]
        else:
            generation = _generation
            view = _view({**before.overrides, **self._changes})
            self._last = (before.overrides, generation, view)
        _local.entered.append((self, before, view))
        _show(view)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entered = _local.entered
        for i in reversed(range(len(entered))):
            if entered[i][0] is self:
                _, before, after = entered.pop(i)
                self._leave(before, after)
                return
        raise RuntimeError("an option block was left in a thread that had not entered it")

    def _leave(self, before: _View, after: _View) -> None:
        if _local.view is after:  # nothing happened since: put everything back as it was
            _show(before)
            return
        remaining = dict(_local.view.overrides)
        for state in self._changes:
            if state in before.overrides:
                remaining[state] = before.overrides[state]
            else:
                remaining.pop(state, None)
        _show(_view(remaining))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        import functools

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return call


def _view(overrides: Mapping[State[Any], Any]) -> _View:
    """What a thread with these overrides sees: with a traced one, a snapshot of all traced options."""
    if not any(state.traced for state in overrides):
        return _View(overrides, overrides) if overrides else _NO_OVERRIDES
    with _lock:
        seen = {**{state: state._value for state in _traced}, **overrides}
        key = _intern(tuple([seen[state] for state in _traced]))
    return _View(overrides, seen, key, int(seen[enable_x64]), int(_guarded(seen)))


def _show(view: _View) -> None:
    _local.view = view
    _local.seen = view.seen
    _native.swap_thread_options_key(view.key)
    _native.swap_thread_x64(view.x64)
    _native.swap_thread_guarded(view.guarded)


def _guarded(values: Mapping[State[Any], Any]) -> bool:
    """Whether one of the guards of transfers has something to do."""
    return any(values[guard] not in (None, "allow") for guard in transfer_guards)


def seen_here() -> object:
    """What this thread sees of the options, for `seen_as`."""
    return _local.view


@contextmanager
def seen_as(view: Any) -> Iterator[None]:
    """Within the block this thread sees the options as the thread did that called `seen_here`.

    A Python function that XLA calls runs in a thread of XLA's, where no block is entered.
    """
    before = _local.view
    if before is view:
        yield
        return
    _show(view)
    try:
        yield
    finally:
        _show(before)


# The values of the traced options -> their key. Keys are never reused, so forgetting an old entry costs a
# retrace at most; the bound matters to programs that make meshes without end.
_MAX_KEYS = 4096
_keys: dict[tuple[Hashable, ...], int] = {}
_next_key = 0
_generation = 0  # counts the process-wide changes of traced options


def _intern(values: tuple[Hashable, ...]) -> int:
    global _next_key
    key = _keys.get(values)
    if key is None:
        if len(_keys) >= _MAX_KEYS:
            del _keys[next(iter(_keys))]
        key = _keys[values] = _next_key
        _next_key += 1
    return key


def values_of(key: int) -> dict[str, Any]:
    """The values of the traced options that a key stands for, by name; empty if it was forgotten."""
    for values, known in _keys.items():
        if known == key:
            return {state.name: value for state, value in zip(_traced, values)}
    return {}


def publish_process_key() -> None:
    """Tells the native code what holds where no block overrides it; to be called once all are declared."""
    _native.set_x64(bool(enable_x64._value))
    _native.set_transfers_guarded(_guarded({guard: guard._value for guard in transfer_guards}))
    _native.set_options_key(_intern(tuple([state._value for state in _traced])))


def _traced_changed() -> None:
    """To be called with the lock held when a traced option was set or added."""
    global _generation
    _generation += 1
    publish_process_key()
    _show(_view(dict(_local.view.overrides)))


_local = _ThreadState()
_traced: list[State[Any]] = []
states: dict[str, State[Any]] = {}  # every declared option by its name without prefix


def declare(state: State[T]) -> State[T]:
    """Adds an option to those that ``config`` knows, with its value from the environment, if any."""
    states[state.name] = state
    with _lock:
        if state.traced:
            _traced.append(state)
        for variable in (f"ANIMA_{state.name.upper()}", f"JAX_{state.name.upper()}"):
            text = os.environ.get(variable)
            if text:
                value = state._parse(f"the environment variable {variable}", text)
                for each in (state, *state.members):
                    each._value = value
                break
    return state


def register_context_value(name: str, default: Hashable = None) -> State[Any]:
    """Adds a value to the options key that is no user option: the current mesh, say.

    Args:
      name: for messages only.
      default: the value where no block sets one.

    Returns:
      A state: ``state.value`` reads it, ``with state(value):`` sets it for a block in this thread and
      ``state.set(value)`` for the process. Values must be hashable.
    """
    state: State[Any] = State(name, default, lambda _, value: value, "", traced=True)
    with _lock:
        _traced.append(state)
        _traced_changed()
    return state


# Turning what the user gives into values.

_TRUE = frozenset(("true", "t", "yes", "y", "on", "1"))
_FALSE = frozenset(("false", "f", "no", "n", "off", "0", ""))


def parse_bool(name: str, value: object) -> bool:
    """True or False, also as a number or a word (``"true"``, ``"off"``, ``"1"``)."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise ValueError(f"{name} takes True or False, not {value!r}")
    if isinstance(value, int) or type(value).__name__ in ("bool_", "bool"):
        if value == 0 or value == 1:
            return bool(value)
        raise ValueError(f"{name} takes True or False, not {value!r}")
    raise TypeError(f"{name} takes True or False, not {value!r}")


def parse_number(kind: type[int] | type[float]) -> Callable[[str, object], Any]:
    """The parser of integers or floats, also as text."""

    def parse(name: str, value: object) -> Any:
        article = "an integer" if kind is int else "a number"
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise TypeError(f"{name} takes {article}, not {value!r}")
        try:
            number = kind(value)
        except ValueError:
            raise ValueError(f"{name} takes {article}, not {value!r}") from None
        if not isinstance(value, str) and number != value:
            raise ValueError(f"{name} takes {article}, not {value!r}")
        return number

    return parse


def parse_text(name: str, value: object) -> str | None:
    """A string or a path, or None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    raise TypeError(f"{name} takes a string, not {value!r}")


def parse_choice(choices: Sequence[str], optional: bool) -> Callable[[str, object], Any]:
    """The parser of one of some words, in any case; with ``optional``, or None."""
    exact = {choice.lower(): choice for choice in choices}

    def parse(name: str, value: object) -> str | None:
        if optional and (value is None or value in ("", "None", "none")):
            return None
        # An enumeration (lax.Precision.HIGH, ...) counts as the name of its member.
        word = value if isinstance(value, str) else getattr(value, "name", None)
        if not isinstance(word, str):
            raise TypeError(f"{name} takes one of {_listed(choices, optional)}, not {value!r}")
        choice = exact.get(word.lower())
        if choice is None:
            hint = close_matches(word, choices)
            raise ValueError(f"{name} takes one of {_listed(choices, optional)}, not {value!r}{hint}")
        return choice

    return parse


def parse_device(name: str, value: object) -> Any:
    """A device, the name of a platform, or None."""
    if value is None or value == "":
        return None
    if isinstance(value, str) or hasattr(value, "local_hardware_id"):
        return value
    raise TypeError(f"{name} takes a device (devices()[0]), a platform ('cpu') or None, not {value!r}")


def parse_named_values(name: str, value: object) -> Any:
    """Named values as text, ``"key:value;key:value"``, from that or a dict."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, Mapping):
        return ";".join(f"{key}:{entry}" for key, entry in value.items())
    raise TypeError(f"{name} takes 'key:value;key:value' or a dict, not {value!r}")


def _listed(choices: Sequence[str], optional: bool) -> str:
    return ", ".join([repr(choice) for choice in choices] + ["None"] * optional)


def close_matches(word: str, choices: Sequence[str], prefix: str = "") -> str:
    """``"; did you mean ...?"`` for a message, or nothing if no choice resembles the word."""
    import difflib

    matches = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    return "; did you mean " + " or ".join(f"{prefix}{match}" for match in matches) + "?" if matches else ""


# Native code knows these by itself: the guards, of which it asks only if one has something to do, and the 64-bit mode, on
# which canonical dtypes of host values depend.
_GUARDS = ["allow", "log", "disallow", "log_explicit", "disallow_explicit"]


def _guard(name: str, doc: str, members: tuple[State[Any], ...] = ()) -> State[str | None]:
    return declare(
        State(f"transfer_guard{name}", None, parse_choice(_GUARDS, True), doc, traced=True, members=members)
    )


transfer_guards = (
    _guard("_host_to_device", "What a transfer from host to device does."),
    _guard("_device_to_device", "What a transfer between devices does."),
    _guard("_device_to_host", "What a transfer from device to host does."),
)
transfer_guard = _guard("", "Sets the three transfer guards at once.", transfer_guards)
enable_x64 = declare(
    State(
        "enable_x64",
        False,
        parse_bool,
        "64-bit integers and floats exist; else they become 32-bit.",
        traced=True,
    )
)

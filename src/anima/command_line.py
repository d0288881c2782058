"""Options on the command line: `--jax_enable_x64`, `--jax_debug_nans=True`, `--nojax_log_compiles`.

Invariant: a flag is another name for an option. It takes what `config.update` takes, and it has no value of its own: reading
one reads the option. A flag has the prefix `jax_` or `anima_`, which attributes of `config` may leave out.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from anima.options import State, states

PREFIXES = ("jax_", "anima_")


def bare(name: str) -> str:
    """The name of an option without its prefix."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def take_flags(arguments: list[str]) -> list[str]:
    """Sets the options that arguments name.

    Returns:
      The arguments that are not ours, in order; nothing after ``--`` is read.

    Raises:
      ValueError: a flag has an invalid value, or none though it needs one.
    """
    left: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            return [*left, argument, *rest]
        name, equals, value = argument.lstrip("-").partition("=")
        positive, negated = _option(name), _option(name.removeprefix("no"))
        if not argument.startswith("-") or (positive is None and negated is None):
            left.append(argument)
        elif positive is None:
            if equals or not isinstance(negated.default, bool):  # type: ignore[union-attr]
                raise ValueError(f"--{name} takes no value and needs a True-or-False option")
            negated.set(False)  # type: ignore[union-attr]
        elif equals:
            positive.set(value)
        elif isinstance(positive.default, bool):
            positive.set(True)
        else:
            following = next(rest, None)
            if following is None:
                raise ValueError(f"--{name} needs a value: --{name}=...")
            positive.set(following)
    return left


def _option(flag: str) -> State[Any] | None:
    flag = flag.replace("-", "_")
    return states.get(bare(flag)) if flag.startswith(PREFIXES) else None


@functools.cache
def define_absl_flags() -> bool:
    """Defines every option as a flag of ``absl``, once. Returns whether ``absl`` is there.

    Whatever sets such a flag sets the option at once: ``absl.app.run``, ``FLAGS(argv)``, ``--flagfile``, an assignment to
    ``FLAGS.jax_debug_nans``.
    """
    try:
        flags = importlib.import_module("absl.flags")
    except ModuleNotFoundError:
        return False

    class Parser(flags.ArgumentParser):  # type: ignore[name-defined,misc]
        def __init__(self, state: State[Any]) -> None:
            self.parse = state.check

    class OptionFlag(flags.Flag):  # type: ignore[name-defined,misc]
        @property
        def value(self) -> Any:
            return states[bare(self.name)].process_value

        @value.setter
        def value(self, value: Any) -> None:
            self._value = value  # what absl.testing.flagsaver puts back
            state = states[bare(self.name)]
            if state.process_value != value:
                state.set(value)

    for state in states.values():
        for prefix in PREFIXES:
            flag = OptionFlag(
                Parser(state),
                flags.ArgumentSerializer(),
                prefix + state.name,
                state.process_value,
                state.doc,
                boolean=isinstance(state.default, bool),
            )
            flags.DEFINE_flag(flag, module_name="anima.config")
    return True

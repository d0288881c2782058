"""Options on the command line, with `absl` and without."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from anima.config import config

needs_absl = pytest.mark.skipif(
    importlib.util.find_spec("absl") is None,
    reason="absl-py is of the extra test; a machine for make test-gpu SYSTEM=1 may lack it",
)


@pytest.fixture(autouse=True)
def _options_as_before() -> Iterator[None]:
    names = ("jax_enable_x64", "jax_numpy_rank_promotion", "jax_debug_nans", "jax_log_compiles")
    before = {name: config.read(name) for name in names}
    yield
    for name, value in before.items():
        config.update(name, value)


def test_flags_are_taken_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["program", "--jax_enable_x64", "--other=1", "--jax_numpy_rank_promotion", "warn", "--nojax_debug_nans",
                 "file", "-jax_log_compiles=false", "--", "--jax_enable_x64=false"]  # fmt: skip
    config.update("jax_debug_nans", True)
    monkeypatch.setattr(sys, "argv", arguments)
    config.parse_flags_with_absl()
    assert sys.argv == ["program", "--other=1", "file", "--", "--jax_enable_x64=false"]
    assert (config.jax_enable_x64, config.jax_numpy_rank_promotion, config.jax_debug_nans) == (
        True,
        "warn",
        False,
    )


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--jax_numpy_rank_promotion", "--jax_numpy_rank_promotion needs a value"),
        ("--jax_enable_x64=perhaps", "jax_enable_x64 takes True or False, not 'perhaps'"),
        ("--nojax_numpy_rank_promotion", "takes no value and needs a True-or-False option"),
        ("--nojax_debug_nans=True", "takes no value"),
    ],
)
def test_what_is_not_valid_is_said(monkeypatch: pytest.MonkeyPatch, flag: str, words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["program", flag])
    with pytest.raises(ValueError, match=words):
        config.parse_flags_with_absl()


def test_a_word_that_only_looks_like_a_flag_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["program", "jax_enable_x64", "--enable_x64=1", "--jax_enable_x46=1"]
    monkeypatch.setattr(sys, "argv", list(arguments))
    config.parse_flags_with_absl()
    assert sys.argv == arguments and config.jax_enable_x64 is False


# The programs of The Sharp Bits, each in a process of its own: the name of the library apart, as they stand there.
PARSED = """
import anima as jax
from anima.config import config
if __name__ == '__main__':
    config.parse_flags_with_absl()
    import sys, anima.numpy as np
    print(sys.argv[1:], np.zeros(3).dtype, config.jax_debug_nans)
"""

RUN = """
import sys
from absl import app, flags
import anima as jax
from anima.config import config
config.config_with_absl()
config.config_with_absl()  # once more changes nothing
flags.DEFINE_integer("steps", 1, "a flag of the program itself")

def main(argv):
    import anima.numpy as np
    print(argv[1:], flags.FLAGS.steps, np.zeros(3).dtype, config.jax_debug_nans, config.jax_numpy_rank_promotion)
    print(flags.FLAGS.jax_enable_x64, flags.FLAGS.anima_debug_nans)
    flags.FLAGS.jax_enable_x64 = not flags.FLAGS.jax_enable_x64  # a flag is the option, at any time
    config.update("jax_debug_nans", False)
    print(np.zeros(3).dtype, flags.FLAGS.jax_debug_nans)

app.run(main)
"""

FLAGS = ["--jax_enable_x64=1", "--jax_debug_nans", "rest"]


def test_parse_flags_with_absl(run_python: Callable[..., Any]) -> None:
    assert run_python(PARSED, *FLAGS).stdout == "['rest'] float64 True\n"


def test_config_with_absl_without_absl(run_python: Callable[..., Any]) -> None:
    hidden = "import sys\nsys.modules['absl'] = None\n"
    program = PARSED.replace("parse_flags_with_absl", "config_with_absl")
    assert run_python(hidden + program, *FLAGS).stdout == "['rest'] float64 True\n"


@needs_absl
def test_config_with_absl(run_python: Callable[..., Any]) -> None:
    lines = run_python(RUN, *FLAGS, "--jax_numpy_rank_promotion=warn", "--steps", "3").stdout.splitlines()
    assert lines == ["['rest'] 3 float64 True warn", "True True", "float32 False"]
    lines = run_python(RUN, "--nojax_enable_x64", env={"JAX_ENABLE_X64": "1"}).stdout.splitlines()
    assert lines == ["[] 1 float32 False allow", "False False", "float64 False"]
    lines = run_python(
        RUN, env={"JAX_ENABLE_X64": "1"}
    ).stdout.splitlines()  # the variable holds without a flag
    assert lines[0] == "[] 1 float64 False allow"


@needs_absl
def test_both_ways_together(run_python: Callable[..., Any]) -> None:
    program = RUN.replace("config.config_with_absl()\n", "config.parse_flags_with_absl()\n", 1)
    lines = run_python(program, *FLAGS).stdout.splitlines()
    assert lines == ["['rest'] 1 float64 True allow", "True True", "float32 False"]


@needs_absl
def test_absl_says_what_is_not_valid(run_python: Callable[..., Any]) -> None:
    done = run_python(RUN, "--jax_enable_x64=perhaps", expect=1)
    assert "flag --jax_enable_x64=perhaps: jax_enable_x64 takes True or False, not 'perhaps'" in done.stderr
    done = run_python(RUN, "--helpfull", expect=None)
    assert "--[no]jax_debug_nans: A result with a NaN raises" in done.stdout

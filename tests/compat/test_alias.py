"""The alias `jax`, each time in a fresh process, with and without another `jax` on the search path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from anima.compat import missing_modules
from anima.compat.modules import MOVED, PUBLIC

INSTALL = "import anima, sys\nanima.compat.install_jax_alias()\n"


@pytest.fixture
def other_jax(tmp_path: Path) -> Path:
    """A package called `jax` in the folder where programs are run, first on their search path."""
    package = tmp_path / "jax"
    package.mkdir()
    (package / "__init__.py").write_text("other = True\n")
    (package / "numpy.py").write_text("other = True\n")
    (package / "thing.py").write_text("other = True\n")
    return package


def anima_runs(folder: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "anima", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done


def test_modules_are_the_same_objects(run_python, other_jax) -> None:
    run_python(
        INSTALL
        + """
option = anima.config
import jax, jax.numpy, jax.numpy.linalg, jax.scipy.special, jax.ops, jax.random, jax.nn.initializers
import jax.extend.core.primitives, jax.interpreters.ad, jax.interpreters.batching, jax.interpreters.xla
import jax.config, jax.core, jax.tree_util, jax.lax.linalg, jax.experimental.shard_map, jax.linear_util
from jax import config as other_option, numpy as np, jit, random
from jax.config import config
from jax.experimental import io_callback
assert jax is anima and jax.numpy is anima.numpy is np and sys.modules["jax.numpy"] is sys.modules["anima.numpy"]
assert config is option is other_option is anima.config is jax.config
assert jax.linear_util is anima.extend.linear_util
config.update("jax_enable_x64", True)
assert np.arange(3.0).dtype == "float64"
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] == "anima":
        assert module.__spec__.name == name == module.__name__, (name, module.__spec__)
    if name.partition(".")[0] == "jax":
        assert module.__name__.partition(".")[0] == "anima", name
"""
    )


def test_nothing_is_loaded_before_it_is_asked_for(run_python) -> None:
    run_python("import anima, sys; assert not [m for m in sys.modules if m.startswith('anima.compat')]")
    run_python(
        INSTALL
        + "before = set(sys.modules)\nimport jax\nassert set(sys.modules) - before == {'jax'}\n"
        + "assert 'anima.scipy' not in sys.modules\nimport jax.scipy.fft\nassert jax.scipy.fft is anima.scipy.fft"
    )


def test_it_is_not_active_unless_asked_for(run_python, other_jax) -> None:
    run_python("import anima.compat, jax; assert jax.other and jax is not anima")


def test_another_jax_that_is_already_imported_is_an_error(run_python, other_jax) -> None:
    done = run_python("import jax\n" + INSTALL, expect=1)
    assert f"RuntimeError: jax is already imported, from {other_jax / '__init__.py'}" in done.stderr
    assert "python -m anima script.py" in done.stderr


def test_modules_of_another_jax_are_not_found(run_python, other_jax) -> None:
    run_python(
        INSTALL
        + """
try:
    import jax.thing
except ModuleNotFoundError as error:
    assert str(error) == "No module named 'jax.thing'", error
else:
    raise AssertionError
"""
    )


def test_missing_modules_say_so(run_python) -> None:
    names = missing_modules()
    assert names and set(names) < set(PUBLIC) and set(MOVED) < set(PUBLIC)
    done = run_python(
        INSTALL
        + f"""
import importlib
for name in {names}:
    try:
        importlib.import_module("jax." + name)
    except ImportError as error:
        assert "is not part of this library" in str(error), error
    else:
        raise AssertionError(name)
for name in {sorted(set(PUBLIC) - set(names))}:
    importlib.import_module("jax." + name)
for line in ("from jax.experimental import mosaic", "from jax import nothing", "import jax._src.lax"):
    try:
        exec(line)
    except ImportError as error:
        print(error)
"""
    )
    first, second, third = done.stdout.splitlines()
    assert first == "jax.experimental.mosaic is not part of this library, which stands for jax here"
    assert second.startswith("cannot import name 'nothing'")
    assert third.startswith("jax._src.lax is internal to another library")


def test_it_can_be_removed(run_python, other_jax) -> None:
    run_python(
        INSTALL
        + """
import jax.numpy
anima.compat.install_jax_alias()
anima.compat.remove_jax_alias()
anima.compat.remove_jax_alias()
import jax
assert jax.other and anima.numpy.ones(2).shape == (2,)
"""
    )


def test_scripts(tmp_path: Path, other_jax: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "neighbour.py").write_text("import jax.numpy as np\nvalue = np.arange(3)\n")
    (folder / "script.py").write_text(
        "import sys, jax\nfrom neighbour import value\n"
        "print(__name__, sys.argv, jax.__name__, value)\n"
        "if __name__ == '__main__': sys.exit(len(sys.argv))\n"
    )
    done = anima_runs(tmp_path, "programs/script.py", "-m", "--flag=1", expect=3)
    assert done.stdout == "__main__ ['programs/script.py', '-m', '--flag=1'] anima [0 1 2]\n"
    done = anima_runs(folder, "-m", "script", "x", expect=2)
    assert done.stdout == f"__main__ [{str(folder / 'script.py')!r}, 'x'] anima [0 1 2]\n"
    done = anima_runs(tmp_path, "-c", "import sys, jax; print(sys.argv, jax.__name__, __name__)", "x")
    assert done.stdout == "['-c', 'x'] anima __main__\n"


def test_command_lines_that_name_no_program(tmp_path: Path) -> None:
    assert anima_runs(tmp_path, "--help").stdout.startswith("usage: python -m anima script.py")
    assert anima_runs(tmp_path, expect=2).stderr.startswith("usage:")
    assert anima_runs(tmp_path, "-m", expect=2).stderr.startswith("argument expected for the -m option")
    assert "there is no file nowhere.py" in anima_runs(tmp_path, "nowhere.py", expect=2).stderr


def test_notebooks(run_python, other_jax) -> None:
    run_python(
        """
import anima, sys
assert hasattr(anima, "load_ipython_extension")
anima.load_ipython_extension(None)
import jax
assert jax is anima
anima.unload_ipython_extension(None)
import jax
assert jax.other
"""
    )


def test_internals_that_libraries_import(run_python, other_jax) -> None:
    run_python(
        INSTALL
        + """
import jax, jax._src.dispatch
from jax._src import ad_util, checkify, compiler, core, dtypes, flatten_util, traceback_util, tree_util, xla_bridge
from jax.experimental import checkify as public
assert jax.__version__ == "0.10.2" and anima.version.__version__ != jax.__version__
assert checkify.checkify is public.checkify and dtypes.finfo is jax.dtypes.finfo and core.ShapedArray is jax.core.ShapedArray
assert flatten_util.ravel_pytree is jax.flatten_util.ravel_pytree
assert jax._src.xla_bridge._backends == {}
assert core.trace_state_clean() and not jax.jit(lambda x: x * core.trace_state_clean())(1)
assert list in tree_util._registry and int not in tree_util._registry and 3 not in tree_util._registry
assert list(jax._src.xla_bridge._backends) == ["cpu"]
assert traceback_util.api_boundary(len) is len
jax._src.dispatch.wait_for_tokens()
anima.compat.remove_jax_alias()
assert anima.__version__ == anima.version.__version__
"""
    )


def test_a_library_can_forbid_compiling(run_python, other_jax) -> None:
    run_python(
        INSTALL
        + """
import jax
from jax._src import compiler
plain = compiler.backend_compile_and_load
def refuse(backend, *args, **kwargs):
    raise PermissionError(backend.platform)
compiler.backend_compile_and_load = refuse
jax.config.update("jax_enable_compilation_cache", False)
f = jax.jit(lambda x: jax.numpy.sin(x) + 12345)
try:
    f(1.0)
except PermissionError as error:
    assert str(error) == "cpu"
else:
    raise AssertionError
compiler.backend_compile_and_load = plain
assert abs(float(f(1.0)) - 12345.84) < 0.01
"""
    )


def test_exclusions_are_seen_by_their_frames(run_python, tmp_path) -> None:
    (tmp_path / "hidden.py").write_text("import sys\ndef frame():\n    return sys._getframe()\n")
    run_python(
        INSTALL
        + """
from jax._src import traceback_util
import hidden, sys
assert traceback_util.include_frame(hidden.frame()) and traceback_util.include_frame(sys._getframe())
traceback_util.register_exclusion(hidden.__file__)
assert not traceback_util.include_frame(hidden.frame()) and traceback_util.include_frame(sys._getframe())
"""
    )

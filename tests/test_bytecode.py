"""Modules from one file: always those that Python would have made, whatever happens to the file and to the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from anima import bytecode

# What a process prints: the values of two modules, where their bytecode came from, and what it said of the second.
MAIN = """
import sys
import parcel
from parcel import first
from parcel.inner import second
print(first.VALUE, second.VALUE, *(type(m.__loader__) is bytecode._Loader for m in (first, second)))
""".replace("bytecode._Loader", "sys.modules['anima.bytecode']._Loader")

WHERE = "from parcel import first\nprint(first.__file__, first.f.__code__.co_filename)"

PACKAGE = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("anima.bytecode", {bytecode.__file__!r})
bytecode = sys.modules["anima.bytecode"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bytecode)
with bytecode.imported_from_one_file(__name__, __path__[0]):
    from parcel import first
"""


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    """A package with a module and a package inside that has one, none of them imported yet."""
    folder = tmp_path / "parcel"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "first.py").write_text("VALUE = 1\nf = lambda: 0\n")
    (folder / "inner" / "__init__.py").write_text("")
    (folder / "inner" / "second.py").write_text("VALUE = 2\n")
    return folder


def run(parcel: Path, source: str = MAIN, *flags: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *flags, "-c", source],
        cwd=parcel.parent,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def one_file(parcel: Path) -> Path:
    (found,) = (parcel / "__pycache__").glob("*.together")
    return found


def test_the_second_process_imports_from_the_file(parcel: Path) -> None:
    assert run(parcel) == "1 2 False False"
    assert run(parcel) == "1 2 True True"


def test_the_file_is_read_after_pythons_own_are_gone(parcel: Path) -> None:
    run(parcel)
    for pyc in parcel.rglob("*.pyc"):
        pyc.unlink()
    assert run(parcel, MAIN, "-B") == "1 2 True True"


def test_a_changed_source_counts(parcel: Path) -> None:
    run(parcel)
    (parcel / "first.py").write_text("VALUE = 'another'\n")
    assert run(parcel) == "another 2 False True"
    assert run(parcel) == "another 2 True True"


def test_a_source_of_the_same_size_and_another_time_counts(parcel: Path) -> None:
    run(parcel)
    (parcel / "first.py").write_text("VALUE = 7\nf = lambda: 0\n")
    os.utime(parcel / "first.py", (1e9, 1e9))
    assert run(parcel) == "7 2 False True"


def test_a_source_that_is_gone_is_missed(parcel: Path) -> None:
    run(parcel)
    (parcel / "inner" / "second.py").unlink()
    source = "import parcel\ntry: import parcel.inner.second\nexcept ImportError as error: print(error)"
    assert run(parcel, source) == "No module named 'parcel.inner.second'"


def test_modules_that_were_imported_later_join(parcel: Path) -> None:
    assert run(parcel, "import parcel") == ""
    assert run(parcel) == "1 2 True False"
    assert run(parcel) == "1 2 True True"
    assert run(parcel, "import parcel") == ""
    assert run(parcel) == "1 2 True True"


@pytest.mark.parametrize("damage", ["nothing", "start", "version", "index", "end"])
def test_a_damaged_file_is_as_good_as_none(parcel: Path, damage: str) -> None:
    run(parcel)
    file = one_file(parcel)
    content = bytearray(file.read_bytes())
    if damage == "nothing":
        content.clear()
    elif damage == "start":
        content[0] ^= 1
    elif damage == "version":
        content[len(bytecode._MAGIC)] ^= 1
    elif damage == "index":
        del content[bytecode._HEADER + 9 :]
    else:
        del content[-200:]
    file.write_bytes(content)
    assert run(parcel).startswith("1 2 ")


def test_a_file_that_was_replaced_meanwhile_is_not_read(parcel: Path) -> None:
    run(parcel)
    file = one_file(parcel)
    replace = f"import os, parcel\npath = {str(file)!r}\nopen(path + '2', 'wb').write(open(path, 'rb').read()[::-1])\n"
    assert run(parcel, f"{replace}os.replace(path + '2', path)\n{MAIN}") == "1 2 True False"
    assert run(parcel) == "1 2 True True"


def test_a_package_that_was_moved_says_where_it_is(parcel: Path) -> None:
    run(parcel)
    moved = parcel.parent / "elsewhere" / "parcel"
    moved.parent.mkdir()
    parcel.rename(moved)
    assert run(moved, WHERE) == " ".join([str(moved / "first.py")] * 2)
    assert run(moved) == "1 2 False False"


def test_a_copy_of_a_package_is_imported_from_where_it_is(parcel: Path) -> None:
    run(parcel)
    copy = parcel.parent / "elsewhere" / "parcel"
    shutil.copytree(parcel, copy)
    assert run(copy, WHERE) == " ".join([str(copy / "first.py")] * 2)
    assert run(parcel) == "1 2 True True"


def test_nothing_is_written_where_python_may_not_write(parcel: Path) -> None:
    assert run(parcel, MAIN, "-B") == "1 2 False False"
    assert not list(parcel.rglob("*.together"))


def test_a_process_that_lacked_nothing_writes_nothing(parcel: Path) -> None:
    run(parcel)
    before = one_file(parcel).stat()
    run(parcel)
    assert (one_file(parcel).stat().st_ino, one_file(parcel).stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )
    assert [path.name for path in one_file(parcel).parent.iterdir() if "together." in path.name] == []


def test_modules_know_what_python_tells_them(parcel: Path) -> None:
    source = """
import inspect, importlib, sys
from parcel.inner import second
import parcel.inner
of = lambda m: (m.__file__, m.__cached__, m.__package__, m.__spec__.name, m.__spec__.has_location, m.__spec__.cached,
                m.__spec__.submodule_search_locations, getattr(m, '__path__', None), m.__loader__.get_filename(),
                inspect.getsource(second), second.__loader__.is_package('parcel.inner.second'))
print(of(second), of(parcel.inner), importlib.reload(second).VALUE)
"""
    assert run(parcel, source) == run(parcel, source)


def test_finders_of_others_come_first(parcel: Path) -> None:
    run(parcel)
    hook = """
import sys
seen = []
class Hook:
    def find_spec(self, name, path=None, target=None):
        seen.append(name)
sys.meta_path.insert(0, Hook())
import parcel
assert seen[-1] == "parcel.first", seen
assert type(parcel.first.__loader__) is sys.modules["anima.bytecode"]._Loader
"""
    assert run(parcel, hook) == ""


def test_a_program_without_pythons_finder_keeps_its_own(parcel: Path) -> None:
    source = """
import sys
from importlib.machinery import PathFinder
class Own:
    find_spec = staticmethod(PathFinder.find_spec)
sys.meta_path[sys.meta_path.index(PathFinder)] = Own
import parcel
assert sys.meta_path[-1] is Own and not any(type(f).__name__ == "Together" for f in sys.meta_path)
"""
    assert run(parcel, source) == ""
    assert not list(parcel.rglob("*.together"))

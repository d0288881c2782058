"""The house checks hold for the repository, and each of them can fail."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tools import check_layers, check_size, check_words, requirements

ROOT = Path(__file__).resolve().parents[1]


def write(root: Path, files: dict[str, str]) -> Path:
    """Make the files, by relative path, below `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return root


@pytest.mark.parametrize("check", [check_layers, check_size, check_words])
def test_the_repository_passes(check, capsys) -> None:
    status = check.main([])
    assert status == 0, capsys.readouterr().out


# ---- layers ---------------------------------------------------------------------------------------------------------

LAYERED = {
    "anima/__init__.py": "",
    "anima/core/__init__.py": "",
    "anima/lax/__init__.py": "",
    "anima/errors.py": "",
}


def layers(tmp_path: Path, files: dict[str, str]) -> list[str]:
    return list(check_layers.violations(write(tmp_path, {**LAYERED, **files}) / "anima"))


@pytest.mark.parametrize(
    "source",
    [
        "from anima import errors",
        "from anima import _native",
        "from anima._native import get_trace",
        "from ..errors import Error",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from anima.lax import add",
        "import numpy",
        "def __getattr__(name):\n    from anima import errors",
    ],
)
def test_allowed_imports(tmp_path: Path, source: str) -> None:
    assert layers(tmp_path, {"anima/core/aval.py": source}) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("from anima import lax", "higher layer"),
        ("import anima.lax", "higher layer"),
        ("from ..lax import add", "higher layer"),
        ("import anima", "higher layer"),
        ("def f():\n    from anima import errors", "inside f()"),
        ("import jax.numpy", "stands on its own"),
        ("from jaxlib import xla_client", "stands on its own"),
        ("from anima import strange", "higher layer"),
    ],
)
def test_forbidden_imports(tmp_path: Path, source: str, complaint: str) -> None:
    found = layers(tmp_path, {"anima/core/aval.py": source})
    assert len(found) == 1
    assert complaint in found[0]
    assert found[0].startswith("anima/core/aval.py:")


def test_a_module_must_have_a_layer(tmp_path: Path) -> None:
    found = layers(tmp_path, {"anima/strange.py": "from anima import errors"})
    assert len(found) == 1
    assert "anima.strange is in no layer" in found[0]


def test_control_flow_is_above_the_other_operations(tmp_path: Path) -> None:
    files = {"anima/lax/shape.py": "", "anima/lax/control/__init__.py": "from anima.lax import shape"}
    assert layers(tmp_path, files) == []
    files = {"anima/lax/shape.py": "from anima.lax import control", "anima/lax/control/__init__.py": ""}
    assert "higher layer" in layers(tmp_path, files)[0]


def test_cycle_of_imports(tmp_path: Path) -> None:
    files = {"anima/core/a.py": "from anima.core import b", "anima/core/b.py": "from anima.core.a import x"}
    assert layers(tmp_path, files) == [
        "anima: cycle of imports: anima.core.a -> anima.core.b -> anima.core.a"
    ]


def test_exceptions_must_be_needed(tmp_path: Path, monkeypatch) -> None:
    edge = ("anima.core.aval", "anima.lax")
    monkeypatch.setattr(check_layers, "UPWARD", {edge: "for this test"})
    assert layers(tmp_path, {"anima/core/aval.py": "from anima import lax"}) == []
    assert "not needed any more" in layers(tmp_path, {"anima/core/aval.py": ""})[0]


# ---- sizes ----------------------------------------------------------------------------------------------------------


def python_function(lines: int) -> str:
    body = "".join(f"    x = {n}\n" for n in range(lines - 1))
    return f'def f():\n    """One.\n\n    Two.\n    """\n\n    # why\n{body}'


def cpp_function(lines: int) -> str:
    body = "".join("  g(1);\n" for _ in range(lines - 2))
    return (
        f"namespace a {{\n\nvoid Call::run(int x,\n               int y) {{\n{body}}}\n\n}}  // namespace a\n"
    )


@pytest.mark.parametrize(
    ("name", "make", "function"),
    [("src/a.py", python_function, "f"), ("native/a.cc", cpp_function, "Call::run")],
)
def test_long_function(tmp_path: Path, name, make, function) -> None:
    assert check_size.measure(write(tmp_path, {name: make(50)})) == {}
    assert check_size.measure(write(tmp_path, {name: make(51)})) == {f"{name}::{function}": 51}


def test_long_member_function_of_a_cpp_class(tmp_path: Path) -> None:
    body = "".join("    g(1);\n" for _ in range(60))
    text = f"class A {{\n public:\n  int f() {{\n{body}  }}\n}};\n"
    assert check_size.measure(write(tmp_path, {"native/a.h": text})) == {"native/a.h::f": 62}


def test_long_file(tmp_path: Path) -> None:
    assert check_size.measure(write(tmp_path, {"src/a.py": "x = 1\n" * 600})) == {}
    assert check_size.measure(write(tmp_path, {"src/a.py": "x = 1\n" * 601})) == {"src/a.py": 601}


def test_the_notes_only_shrink(tmp_path: Path, capsys) -> None:
    notes = "tools/size_exceptions.txt"
    write(tmp_path, {"src/a.py": "x = 1\n" * 700, notes: "# why\nsrc/a.py 700\n"})
    assert check_size.main([str(tmp_path)]) == 0
    write(tmp_path, {"src/a.py": "x = 1\n" * 701})
    assert check_size.main([str(tmp_path)]) == 1
    assert check_size.main(["--update", str(tmp_path)]) == 1  # a note is never raised
    write(tmp_path, {"src/a.py": "x = 1\n" * 650})
    assert check_size.main([str(tmp_path)]) == 1
    assert check_size.main(["--update", str(tmp_path)]) == 0
    assert (tmp_path / notes).read_text() == "# why\nsrc/a.py 650\n"
    write(tmp_path, {"src/a.py": "x = 1\n"})
    assert check_size.main(["--update", str(tmp_path)]) == 0
    assert (tmp_path / notes).read_text() == "# why\n"
    assert "lower the note" in capsys.readouterr().out


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/a.py", "# TODO: later\n"),
        ("native/a.cc", '  nb::module_::import_("jaxlib");\n'),
        ("docs/a.md", "see /home/me/x/y.txt\n"),
        ("Makefile", "pip install --index-url x\n"),
    ],
)
def test_forbidden_words(tmp_path: Path, name: str, text: str) -> None:
    found = list(check_words.violations(write(tmp_path, {name: text})))
    assert len(found) == 1
    assert found[0].startswith(f"{name}:1: ")


def test_allowed_words(tmp_path: Path) -> None:
    files = {
        "docs/a.md": "TODO may be discussed in a text; https://example.org/home/page is an address\n",
        "src/a.py": 'name = "jax"  # the alias\n',
    }
    assert list(check_words.violations(write(tmp_path, files))) == []


def test_requirements_of_extras() -> None:
    assert requirements.requirements(["peers"]) == ["jax==0.10.2"]
    both = requirements.requirements(["demo", "test"])
    assert len(both) == len(set(both))
    with pytest.raises(KeyError):
        requirements.requirements(["no such extra"])

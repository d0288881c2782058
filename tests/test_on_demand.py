"""Names that packages load when they are asked for: complete, seen by type checkers, and harmless while tracing."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import anima
from anima.on_demand import on_demand

PACKAGES = [
    "anima", "anima.core", "anima.experimental", "anima.extend", "anima.interpreters", "anima.lax", "anima.nn", "anima.numpy", "anima.ops",
    "anima.random", "anima.scipy", "anima.scipy.cluster", "anima.scipy.sparse", "anima.scipy.spatial", "anima.scipy.stats", "anima.sharding",
    "anima.transforms.convert",
]  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_says_what_type_checkers_read(package: str) -> None:
    module = importlib.import_module(package)
    typed: dict[str, set[str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If):
            for line in node.body:
                assert isinstance(line, ast.ImportFrom) and line.module
                for alias in line.names:
                    source = f"{package}.{alias.name}" if line.module == package else line.module
                    typed.setdefault(source, set()).add(alias.name)
    assert typed == {source: set(names.split()) for source, names in module._ON_DEMAND.items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_can_be_had(package: str) -> None:
    module = importlib.import_module(package)
    for source, names in module._ON_DEMAND.items():
        for name in names.split():
            loaded = importlib.import_module(source)
            expected = loaded if source == f"{package}.{name}" else getattr(loaded, name)
            assert getattr(module, name) is expected, name
            assert name in dir(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_hides_behind_a_module_of_its_name(package: str) -> None:
    # Importing package.name sets that attribute to the module, whoever imports it.
    for source, names in importlib.import_module(package)._ON_DEMAND.items():
        for name in names.split():
            if source != f"{package}.{name}":
                assert importlib.util.find_spec(f"{package}.{name}") is None, name


def test_all_packages_are_listed() -> None:
    root = Path(anima.__file__).parent
    found = [p.parent for p in root.rglob("__init__.py") if "_ON_DEMAND = {" in p.read_text(encoding="utf-8")]
    assert sorted(".".join(("anima", *p.relative_to(root).parts)) for p in found) == PACKAGES


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'anima' has no attribute 'nothing'"):
        anima.nothing
    load, listed = on_demand("anima", {"anima.debug": "debug"})
    assert load("debug") is anima.debug
    assert "debug" in listed()


def test_modules_loaded_while_tracing_hold_no_tracers() -> None:
    source = """
import anima, anima.numpy as np
from anima import lax

def load_all(x):
    for package in (anima, lax, np):
        for name in dir(package):
            getattr(package, name)
    return lax.sinh(x) + lax.erf(x)

with anima.checking_leaks():
    print(anima.jit(load_all)(0.0), anima.grad(load_all)(0.0).round(3), anima.vmap(load_all)(np.zeros(2)))
for call in (anima.checkpoint(lambda x: x), lambda x: lax.psum(x, ()), lax.cumsum):
    call(np.ones(2))
print(lax.cond(True, lambda: 1, lambda: 2), lax.fori_loop(0, 3, lambda i, x: x + i, 0))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["0.0 2.128 [0. 0.]", "1 3"]

"""The library of handlers of `tests/ffi/handlers.cc`, compiled once by the machine's compiler."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import anima

SOURCE = Path(__file__).parent / "ffi" / "handlers.cc"
TARGETS = {
    "test_scale": "Scale", "test_add": "Add", "test_shapes": "Shapes", "test_memory": "Memory", "test_two": "Two",
    "test_attributes": "AllAttributes", "test_refuse": "Refuse", "test_increment": "Increment", "test_count": "Count",
    "test_half_bits": "HalfBits",
}  # fmt: skip


def compiler() -> str | None:
    for name in (os.environ.get("CXX"), sysconfig.get_config_var("CXX"), "c++", "g++", "clang++"):
        path = shutil.which(name.split()[0]) if name else None
        if path is not None:
            return path
    return None


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The handlers of `handlers.cc`, built with the headers that are installed and no others."""
    found = compiler()
    if found is None:
        pytest.skip("there is no C++ compiler")
    path = tmp_path_factory.mktemp("ffi") / "libhandlers.so"
    command = [found, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared"]
    subprocess.run([*command, f"-I{anima.ffi.include_dir()}", str(SOURCE), "-o", str(path)], check=True)
    return ctypes.CDLL(str(path))


@pytest.fixture(scope="session")
def targets(library: Any) -> Any:
    """The library, its handlers registered under the names of `TARGETS`."""
    for name, symbol in TARGETS.items():
        anima.ffi.register_ffi_target(name, anima.ffi.pycapsule(getattr(library, symbol)))
    return library

"""Libraries that are loaded ahead, in a process that ends before they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.foreign import compiler

SLOW = """
#include <chrono>
#include <cstdio>
#include <thread>
namespace {
volatile bool gone = false;
struct First {
  ~First() { gone = true; }  // at exit
} first;
struct Slow {
  Slow() {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    if (gone) return;
    if (FILE* file = std::fopen(MARK, "w")) std::fclose(file);
  }
} slow;
}
"""
compiles = pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")


@pytest.fixture
def slow(tmp_path: Path) -> tuple[Path, Path]:
    """A library that takes a second to load, and the file that is there afterwards if nothing of it was destroyed before."""
    source, library, mark = (tmp_path / name for name in ("slow.cc", "slow.so", "mark"))
    source.write_text(SLOW)
    subprocess.run(
        [str(compiler()), "-shared", "-fPIC", f'-DMARK="{mark}"', str(source), "-o", str(library)], check=True
    )
    return library, mark


@compiles
def test_a_process_ends_when_they_are_there(run_python, slow) -> None:
    library, mark = slow
    run_python(f"import anima; anima._native.prefetch_library({str(library)!r})")
    assert mark.exists()


@compiles
def test_a_child_does_not_wait_for_its_parents_threads(run_python, slow) -> None:
    library, _ = slow
    run_python(
        f"""
import os, warnings, anima
warnings.simplefilter("ignore")  # of forking beside threads, which is what this is about
anima._native.prefetch_library({str(library)!r})
child = os.fork()
if child == 0:
    anima._native.await_prefetched()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    )

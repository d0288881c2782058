"""Random use of everything that the native module offers, from a fixed seed.

Invariant tested here: no argument, object or order of events ends the process, hangs it or makes it raise an error
that names nothing. FUZZ_SEED and FUZZ_FACTOR in the environment give other and more cases.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu
ROOT = Path(__file__).resolve().parents[2]
SEED = os.environ.get("FUZZ_SEED", "1")
FACTOR = float(os.environ.get("FUZZ_FACTOR", "1"))
# Cases that take some four seconds.
COUNTS = {
    "functions": 12000, "types": 12000, "programs": 250, "executables": 1500, "capsules": 6000, "buffers": 6000,
    "trees": 1500, "states": 3000, "plans": 2000, "calls": 2000,
}  # fmt: skip


@pytest.mark.parametrize("group", COUNTS)
def test_random_use(group: str, tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    progress.write_text("none")
    count = str(int(COUNTS[group] * FACTOR))
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.native.fuzz", group, SEED, count]
    path = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    environment = {**os.environ, "FUZZ_PROGRESS": str(progress), "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, errors="replace", check=False
    )
    again = f"python -m tests.native.fuzz {group} {SEED} {count} {progress.read_text().strip()}"
    assert done.returncode == 0, (
        f"status {done.returncode}; to run again: {again}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    )

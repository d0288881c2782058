"""Tests on several devices: functions of a test module that one fresh process with four CPU devices runs, one after another.

In the module: `checks = Checks(__name__)`, functions marked `@checks`, and `test_on_four_devices = checks.test()`. Each function
becomes one test, which fails with the traceback that the function ended in. Starting one process for all of them costs a second.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Check = Callable[[], None]


class Checks:
    """The checks of a module, by name."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.found: dict[str, Check] = {}
        self._outcomes: dict[str, str] | None = None

    def __call__(self, check: Check) -> Check:
        self.found[check.__name__] = check
        return check

    def each(self, names: Iterable[str]) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
        """Marks a function of a name as one check for each of the names."""

        def mark(check: Callable[[str], None]) -> Callable[[str], None]:
            for name in names:
                self.found[f"{check.__name__}[{name}]"] = lambda name=name: check(name)  # type: ignore[misc]
            return check

        return mark

    def run(self) -> dict[str, str]:
        """What each check ended in: "" if all was well."""
        outcomes = {}
        for name, check in self.found.items():
            try:
                check()
                outcomes[name] = ""
            except Exception:
                outcomes[name] = traceback.format_exc()
        return outcomes

    def outcome(self, name: str) -> str:
        """What a check ended in, in the process with four devices."""
        if self._outcomes is None:
            done = subprocess.run(
                [sys.executable, "-W", "error", "-m", "tests.parallel.several", self.module],
                capture_output=True,
                text=True,
                cwd=ROOT,
                env={**os.environ, "JAX_NUM_CPU_DEVICES": "4"},
                timeout=300,
                check=False,
            )
            try:
                self._outcomes = json.loads(done.stdout.splitlines()[-1])
            except (ValueError, IndexError):
                failed = f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
                self._outcomes = dict.fromkeys(self.found, failed)
        assert self._outcomes is not None
        return self._outcomes[name]

    def test(self) -> Any:
        """The test, one for each check."""

        @pytest.mark.cpu
        @pytest.mark.parametrize("name", list(self.found))
        def test_on_four_devices(name: str) -> None:
            outcome = self.outcome(name)
            assert not outcome, outcome

        return test_on_four_devices


if __name__ == "__main__":
    print("\n" + json.dumps(importlib.import_module(sys.argv[1]).checks.run()))

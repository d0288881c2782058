"""How long the compiled programs of the tracing benchmark run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.adapters import Adapter
from bench.case import Program
from bench.workloads import WORKLOADS, Workload

program = Program("Running compiled programs")


def _declare(name: str, work: Workload) -> None:
    def prepare(lib: Adapter) -> Callable[[], Any]:
        compiled, arguments = lib.jit(work.function(lib)), work.arguments(lib)
        return lambda: compiled(*arguments)

    program.timed(name, limits={"jax": 1.05}, slow=work.slow)(prepare)


for _name, _work in WORKLOADS.items():
    _declare(_name, _work)

"""Platforms, as `extend.backend` shows them."""

from __future__ import annotations

from typing import Any

import pytest

import anima
from anima import errors
from anima.extend import backend
from anima.interpreters import xla


@pytest.mark.cpu
def test_platforms() -> None:
    cpu = backend.get_backend("cpu")
    assert cpu.platform == "cpu" and cpu == backend.get_backend(cpu) == backend.get_backend("cpu")
    assert len({cpu, backend.get_backend("cpu")}) == 1 and isinstance(cpu, xla.Backend)
    assert cpu.devices() == anima.devices("cpu") and cpu.local_devices() == anima.local_devices(backend="cpu")
    assert cpu.device_count() == cpu.local_device_count() == len(cpu.devices())
    assert cpu.process_index() == 0 and isinstance(cpu.platform_version, str)
    assert backend.backends()["cpu"] == cpu and repr(cpu) == "Backend(cpu)"
    assert backend.get_default_device() in anima.devices()
    assert isinstance(backend.backend_xla_version("cpu"), int | None)
    with pytest.raises(errors.PluginError):
        backend.get_backend("abacus")


def test_programs_are_forgotten() -> None:
    from anima.runtime.compiler import compile_stats

    f = anima.jit(lambda x: x * 3 + 1)
    f(2.0)
    before = compile_stats().memory_hits
    f.clear_cache()
    f(2.0)
    assert compile_stats().memory_hits == before + 1
    backend.clear_in_memory_compilation_cache()
    f.clear_cache()
    f(2.0)
    assert compile_stats().memory_hits == before + 1


def test_everything_can_be_closed(run_python: Any) -> None:
    run_python(
        "import anima, anima.numpy as np\n"
        "from anima.extend import backend\n"
        "x = np.ones(3) + 1\n"
        "backend.clear_backends()\n"
        "assert float((np.ones(3) + 1).sum()) == 6\n"
    )

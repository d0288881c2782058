"""`anima.monitoring`: who listens hears, in order, and what the library does is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import anima
from anima import monitoring
from anima.core import spans

TRACE = "/jax/core/compile/jaxpr_trace_duration"
LOWER = "/jax/core/compile/jaxpr_to_mlir_module_duration"
COMPILE = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """What all listeners hear, as (kind, name, values, more)."""
    found: list[Any] = []

    def listener(kind: str) -> Any:
        return lambda event, *values, **more: found.append((kind, event, values, more))

    monitoring.register_event_listener(listener("event"))
    monitoring.register_event_duration_secs_listener(listener("duration"))
    monitoring.register_event_time_span_listener(listener("span"))
    monitoring.register_scalar_listener(listener("scalar"))
    yield found
    monitoring.clear_event_listeners()


def test_what_a_program_reports(heard: list[Any]) -> None:
    monitoring.record_event("/a", k=1)
    monitoring.record_event_duration_secs("/b", 0.5, text="t")
    monitoring.record_event_time_span("/c", 1.0, 2.0)
    monitoring.record_scalar("/d", 3)
    assert heard == [
        ("event", "/a", (), {"k": 1}),
        ("duration", "/b", (0.5,), {"text": "t"}),
        ("span", "/c", (1.0, 2.0), {}),
        ("scalar", "/d", (3,), {}),
    ]
    monitoring.clear_event_listeners()
    monitoring.record_event("/a")
    assert len(heard) == 4


@pytest.mark.parametrize(
    ("register", "unregister", "record"),
    [
        ("register_event_listener", "unregister_event_listener", lambda: monitoring.record_event("/e")),
        (
            "register_event_duration_secs_listener",
            "unregister_event_duration_listener",
            lambda: monitoring.record_event_duration_secs("/e", 1.0),
        ),
        (
            "register_event_time_span_listener",
            "unregister_event_time_span_listener",
            lambda: monitoring.record_event_time_span("/e", 1.0, 2.0),
        ),
        (
            "register_scalar_listener",
            "unregister_scalar_listener",
            lambda: monitoring.record_scalar("/e", 1),
        ),
    ],
)
def test_registering(register: str, unregister: str, record: Any) -> None:
    order: list[str] = []

    def first(*args: Any, **kwargs: Any) -> None:
        order.append("first")
        getattr(monitoring, unregister)(first)  # while listeners are called

    def second(*args: Any, **kwargs: Any) -> None:
        order.append("second")

    getattr(monitoring, register)(first)
    getattr(monitoring, register)(second)
    record()
    record()
    assert order == ["first", "second", "second"]
    getattr(monitoring, unregister)(second)
    with pytest.raises(ValueError, match=rf"{unregister}: .* is not registered"):
        getattr(monitoring, unregister)(second)
    with pytest.raises(TypeError, match=rf"{register}: the listener must be a function, got 3"):
        getattr(monitoring, register)(3)


def test_a_compilation_is_told(heard: list[Any]) -> None:
    def model(x: Any) -> Any:
        return x * 3.5

    f = anima.jit(model)
    f(1.0)
    told = [(kind, event, more.get("fun_name")) for kind, event, _, more in heard if "/core/" in event]
    assert told == [
        (kind, event, name)
        for event, name in [(TRACE, "model"), (LOWER, "jit(model)"), (COMPILE, "jit(model)")]
        for kind in ("scalar", "duration", "span")
    ]
    for (_, _, (start,), _), (_, _, (seconds,), _), (_, _, (begin, end), _) in zip(*[iter(heard[:3])] * 3):
        assert begin == start and 0 < seconds < 60 and end == pytest.approx(begin + seconds)
    heard.clear()
    f(2.0)
    assert heard == []


def test_an_exception_ends_a_span(heard: list[Any]) -> None:
    def broken(x: Any) -> Any:
        raise ValueError("no")

    before = spans.tallies["trace"].count
    with pytest.raises(ValueError, match="no"):
        anima.jit(broken)(1.0)
    assert [kind for kind, *_ in heard] == ["scalar", "duration", "span"]
    assert spans.tallies["trace"].count == before


def test_listeners_that_raise(heard: list[Any]) -> None:
    def refuse(event: str, *values: Any, **more: Any) -> None:
        raise KeyError(event)

    monitoring.register_scalar_listener(refuse)
    with pytest.raises(KeyError):
        anima.jit(lambda x: x + 1)(1.0)
    monitoring.unregister_scalar_listener(refuse)
    assert float(anima.jit(lambda x: x + 1)(1.0)) == 2


def test_the_folder_of_programs_is_told(run_python: Any, tmp_path: Any) -> None:
    source = """
import anima, sys
from anima import monitoring
heard = []
monitoring.register_event_listener(lambda event, **more: heard.append(event.rpartition("/")[2]))
monitoring.register_event_duration_secs_listener(lambda event, s, **more: heard.append(event.rpartition("/")[2]))
anima.jit(lambda x: x * 4.25)(1.0)
wanted = ("compile_requests_use_cache", "cache_hits", "cache_misses", "cache_retrieval_time_sec")
print([name for name in heard if name in wanted])
"""
    env = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "ANIMA_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    first = run_python(source, env=env).stdout
    assert first.splitlines()[-1] == "['compile_requests_use_cache', 'cache_misses']"
    second = run_python(source, env=env).stdout
    assert second.splitlines()[-1] == (
        "['compile_requests_use_cache', 'cache_hits', 'cache_retrieval_time_sec']"
    )


def test_inner_work_counts_its_time_once() -> None:
    before = spans.Tally()
    before.count, before.seconds = spans.tallies["trace"].count, spans.tallies["trace"].seconds
    with spans.span("trace", "outer"), spans.span("trace", "inner"):
        pass
    after = spans.tallies["trace"]
    assert after.count == before.count + 2
    assert 0 < after.seconds - before.seconds < 0.1

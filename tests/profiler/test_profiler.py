"""`anima.profiler`: what a profile shows, in both formats; sessions, options, annotations."""

from __future__ import annotations

import contextlib
import glob
import gzip
import itertools
import json
import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima import profiler
from anima.profiler import chrome
from anima.profiler.picture import Picture
from anima.profiler.xspace import encode
from anima.protobuf import fields, message, numbers

Event = dict[str, Any]


@pytest.fixture
def taken(tmp_path: Path) -> Callable[..., Any]:
    """`taken(options)`: a block that is profiled, and the events of the file that it leaves."""

    @contextlib.contextmanager
    def take(**given: Any) -> Iterator[list[Event]]:
        options = profiler.ProfileOptions()
        for name, value in given.items():
            setattr(options, name, value)
        events: list[Event] = []
        folder = tmp_path / f"profile{len(os.listdir(tmp_path))}"
        with profiler.trace(folder, profiler_options=options):
            yield events
        [file] = glob.glob(f"{folder}/plugins/profile/*/*.trace.json.gz")
        with gzip.open(file, "rt") as content:
            events += json.load(content)["traceEvents"]

    return take


def named(events: list[Event], name: str) -> Event:
    [event] = [e for e in events if e["name"] == name and e["ph"] == "X"]
    return event


def inside(inner: Event, outer: Event) -> bool:
    begin, end = outer["ts"], outer["ts"] + outer["dur"]
    same = (inner["pid"], inner["tid"]) == (outer["pid"], outer["tid"])
    return bool(same and begin <= inner["ts"] and inner["ts"] + inner["dur"] <= end + 1e-3)


@pytest.mark.cpu
def test_the_spans_of_a_call(taken: Any) -> None:
    def inner_part(x: Any) -> Any:
        return np.sin(x) * 0.75

    def my_model(x: Any) -> Any:
        return anima.jit(inner_part)(x).sum()

    f = anima.jit(my_model)
    host = numpy.ones((100, 100), "f4")
    anima.clear_caches()
    with taken() as events, profiler.TraceAnnotation("step", number=3, note="n", other=[1]):
        f(host).block_until_ready()
    step = named(events, "step")
    for name in ("trace my_model", "trace inner_part", "lower jit(my_model)", "execute jit(my_model)"):
        assert inside(named(events, name), step), name
    assert inside(named(events, "trace inner_part"), named(events, "trace my_model"))
    assert [e["name"] for e in events if e["name"] in ("compile jit(my_model)", "load jit(my_model)")]
    transfer = named(events, "transfer to CpuDevice(id=0)")
    assert transfer["args"] == {"bytes": 40_000} and transfer["cat"] == "transfer"
    assert step["args"] == {"number": 3, "note": "n", "other": "[1]"}
    run = named(events, "jit(my_model)")
    launch = named(events, "execute jit(my_model)")
    assert run["pid"] != step["pid"] and run["ts"] == launch["ts"] and run["dur"] > 0
    planes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert planes == {step["pid"]: "/host:CPU", run["pid"]: "/device:CpuDevice(id=0)"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert threads[step["pid"], step["tid"]] == "MainThread"
    assert threads[run["pid"], run["tid"]] == "programs"


def test_calls_after_the_first_are_launches_alone(taken: Any) -> None:
    f = anima.jit(lambda x: x + 0.125)
    x = f(np.ones(5)).block_until_ready()
    with taken() as events:
        for _ in range(3):
            f(x)
    assert [e["name"] for e in events if e["ph"] == "X"] == [
        *["execute jit(<lambda>)"] * 3,
        *["jit(<lambda>)"] * 3,
    ]


def test_eager_operations_and_derivatives_have_names(taken: Any) -> None:
    step = anima.jit(lambda x: np.sin(x) ** 2)
    step.__name__ = "renamed"
    x = np.ones(7)
    with taken() as events:
        np.cos(x)
        anima.grad(lambda x: anima.jit(train_step)(x).sum())(x)
    names = {e["name"] for e in events}
    assert "execute jit(train_step)" in names and "trace train_step" in names
    assert any(name in names for name in ("execute cos", "execute jit(cos)"))


def train_step(x: Any) -> Any:
    return np.tanh(x * 1.5)


def test_threads(taken: Any) -> None:
    def work() -> None:
        with profiler.TraceAnnotation("elsewhere"):
            anima.jit(lambda x: x + 1)(1.0)

    with taken() as events, profiler.TraceAnnotation("here"):
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
    here, elsewhere = named(events, "here"), named(events, "elsewhere")
    assert here["tid"] != elsewhere["tid"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert (names[here["tid"]], names[elsewhere["tid"]]) == ("MainThread", "worker")


def test_programs_that_wait_for_each_other_do_not_overlap(taken: Any) -> None:
    f = anima.jit(lambda x: x @ x / 400)
    x = f(np.ones((400, 400))).block_until_ready()
    with taken() as events:
        for _ in range(8):
            x = f(x)
    runs = [e for e in events if e.get("cat") == "run"]
    assert len(runs) == 8
    for tid in {e["tid"] for e in runs}:
        lane = [e for e in runs if e["tid"] == tid]
        assert all(a["ts"] + a["dur"] <= b["ts"] + 1e-3 for a, b in itertools.pairwise(lane))


def test_several_devices_and_effects(run_python: Any) -> None:
    run_python("""
import glob, gzip, json
import anima, anima.numpy as np
from anima.sharding import NamedSharding, PartitionSpec as P
mesh = anima.make_mesh((2,), ("i",))
x = anima.device_put(np.arange(8.0), NamedSharding(mesh, P("i")))
def shout(x):
    anima.debug.print("{}", x.sum())
    return x * 2
with anima.profiler.trace("."):
    y = anima.jit(lambda x: x + 1)(x)
    anima.jit(shout)(np.ones(3))
    z = anima.device_put(np.ones(1000), anima.devices()[1])
    anima.effects_barrier()
[file] = glob.glob("plugins/profile/*/*.trace.json.gz")
events = json.load(gzip.open(file))["traceEvents"]
planes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
runs = {(planes[e["pid"]], e["name"]) for e in events if e.get("cat") == "run"}
assert ("/device:CpuDevice(id=0)", "jit(<lambda>)") in runs, runs
assert ("/device:CpuDevice(id=1)", "jit(<lambda>)") in runs, runs
assert ("/device:CpuDevice(id=0)", "jit(shout)") in runs, runs
moved = [e for e in events if e["name"] == "transfer between devices to CpuDevice(id=1)"]
assert 4000 in [e["args"]["bytes"] for e in moved], moved
assert anima.debug.counters().bytes_between_devices >= 4000
""", env={"XLA_FLAGS": "--xla_force_host_platform_device_count=2"})  # fmt: skip


def test_options(taken: Any) -> None:
    def load() -> None:
        with profiler.TraceAnnotation("mine"):
            anima.jit(lambda x: x + 1)(1.0)

    def names(**options: Any) -> set[str]:
        with taken(**options) as events:
            load()
        return {e["name"] for e in events if e["ph"] == "X"}

    assert {"mine", "trace <lambda>"} < names()
    assert names(host_tracer_level=1) == {"mine", "jit(<lambda>)"}
    assert names(host_tracer_level=0) == {"jit(<lambda>)"}
    assert names(start_timestamp_ns=2**62) == set()
    assert "mine" in names(duration_ms=60_000)
    calls = names(python_tracer_level=1)
    assert f"$test_profiler.py:{load.__code__.co_firstlineno} load" in calls
    assert not any(name.startswith("$") for name in names())


def test_checks_of_options() -> None:
    options = profiler.ProfileOptions()
    assert "host_tracer_level=2" in repr(options)
    with pytest.raises(AttributeError, match="ProfileOptions has no option 'level'"):
        options.level = 3
    with pytest.raises(TypeError, match="host_tracer_level must be a number of at least 0, got 'a'"):
        options.host_tracer_level = "a"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="duration_ms must be a number of at least 0, got -1"):
        options.duration_ms = -1
    assert profiler.ProfileOptions().advanced_configuration is not options.advanced_configuration
    with pytest.raises(TypeError, match="profiler_options must be a ProfileOptions"):
        profiler.start_trace("x", profiler_options={})  # type: ignore[arg-type]


def test_sessions(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop_trace: no profile is being taken"):
        profiler.stop_trace()
    assert not profiler.TraceAnnotation.is_enabled()
    options = profiler.ProfileOptions()
    options.session_id = "mine"
    profiler.start_trace(str(tmp_path), create_perfetto_trace=True, profiler_options=options)
    assert profiler.TraceAnnotation.is_enabled()
    with pytest.raises(RuntimeError, match="only one can be at a time"):
        profiler.start_trace(tmp_path)
    profiler.stop_trace()
    assert not profiler.TraceAnnotation.is_enabled()
    host = socket.gethostname()
    assert sorted(os.listdir(tmp_path / "plugins" / "profile" / "mine")) == sorted(
        [f"{host}.trace.json.gz", f"{host}.xplane.pb", "perfetto_trace.json.gz"]
    )
    with pytest.raises(TypeError):
        profiler.start_trace(3)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError), profiler.trace(tmp_path):
        1 / 0
    assert not profiler.TraceAnnotation.is_enabled()


def test_annotations(taken: Any) -> None:
    @profiler.annotate_function
    def plain(x: int, *, y: int) -> int:
        """A docstring."""
        return x + y

    marked = profiler.annotate_function(lambda: 7, name="marked", size=2)
    assert (plain.__name__, plain.__doc__, plain(1, y=2)) == ("plain", "A docstring.", 3)
    with taken() as events:
        plain(1, y=2)
        marked()
        for i in range(2):
            with profiler.StepTraceAnnotation("train", step_num=i) as step:
                step.set_metadata(loss=0.5)
    assert named(events, "plain")["cat"] == "annotation"
    assert named(events, "marked")["args"] == {"size": 2}
    steps = [e["args"] for e in events if e["name"] == "train"]
    assert steps == [{"_r": 1, "step_num": i, "loss": 0.5} for i in range(2)]
    with pytest.raises(TypeError, match="TraceAnnotation: the name must be a string, got 3"):
        profiler.TraceAnnotation(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="annotate_function"):
        profiler.annotate_function(3)  # type: ignore[type-var]


def test_an_annotation_that_began_before_the_profile(taken: Any) -> None:
    with profiler.TraceAnnotation("early"), taken() as events:
        pass
    assert [e for e in events if e["ph"] == "X"] == []


def test_profile_data(tmp_path: Path) -> None:
    with profiler.trace(tmp_path), profiler.TraceAnnotation("outer", loss=0.5, n=-3, text="t"):
        anima.jit(lambda x: x + 1)(numpy.ones(10, "f4")).block_until_ready()
    [file] = glob.glob(f"{tmp_path}/plugins/profile/*/*.xplane.pb")
    [other] = glob.glob(f"{tmp_path}/plugins/profile/*/*.trace.json.gz")
    with gzip.open(other, "rt") as content:
        drawn = [e for e in json.load(content)["traceEvents"] if e["ph"] == "X"]
    data = profiler.ProfileData.from_file(file)
    assert [p.name for p in data.planes] == ["/host:CPU", "/device:CpuDevice(id=0)", "Task Environment"]
    read = [e for p in data.planes for line in p.lines for e in line.events]
    assert [(e.name, e.start_ns, e.duration_ns) for e in read] == [
        (e["name"], pytest.approx(e["ts"] * 1000), pytest.approx(e["dur"] * 1000)) for e in drawn
    ]
    [outer] = [e for e in read if e.name == "outer"]
    assert outer.end_ns == outer.start_ns + outer.duration_ns
    assert dict(outer.stats) == {"kind": "annotation", "loss": 0.5, "n": -3, "text": "t"}
    about = data.find_plane_with_name("Task Environment")
    assert about is not None and [name for name, _ in about.stats] == [
        "profile_start_time",
        "profile_stop_time",
    ]
    assert data.find_plane_with_name("nothing") is None
    content = Path(file).read_bytes()
    assert len(list(profiler.ProfileData.from_serialized_xspace(content).planes)) == 3
    for bad in (b"abc", content[:-3]):
        with pytest.raises(ValueError, match="serialised"):
            profiler.ProfileData(bad)
    assert list(profiler.ProfileData(b"").planes) == []


def test_what_was_lost_is_said(tmp_path: Path) -> None:
    picture = Picture(1, 2)
    picture.lost = 5
    assert b"5 events were lost" in encode(picture)
    chrome.write(picture, str(tmp_path / "p.json.gz"))
    with gzip.open(tmp_path / "p.json.gz", "rt") as content:
        assert json.load(content)["metadata"]["events_lost"] == 5


def test_the_link_serves_the_file_once(tmp_path: Path, capsys: Any) -> None:
    got: list[bytes] = []

    def fetch() -> None:
        for path in ("nothing", "perfetto_trace.json.gz"):
            for _ in range(100):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{chrome._PORT}/{path}") as answer:
                        got.append(answer.read())
                        assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.perfetto.dev"
                    break
                except urllib.error.HTTPError as error:
                    got.append(str(error.code).encode())
                    break
                except OSError:
                    threading.Event().wait(0.02)

    reader = threading.Thread(target=fetch)
    profiler.start_trace(tmp_path, create_perfetto_link=True)
    reader.start()
    profiler.stop_trace()
    reader.join()
    assert got[0] == b"404" and json.loads(gzip.decompress(got[1]))["traceEvents"] == []
    assert (
        "https://ui.perfetto.dev/#!/?url=http://127.0.0.1:9001/perfetto_trace.json.gz"
        in capsys.readouterr().out
    )


def test_memory_profile(tmp_path: Path) -> None:
    x = np.ones((123, 321))
    y = np.ones((123, 321))
    data = profiler.device_memory_profile()
    assert data[:2] == b"\x1f\x8b"
    text = gzip.decompress(data)
    for word in (b"float32[123,321]", b"allocations", b"space", b"bytes", b"CpuDevice(id=0)"):
        assert word in text
    path = tmp_path / "memory.prof"
    profiler.save_device_memory_profile(path, backend="cpu")
    assert b"float32[123,321]" in gzip.decompress(path.read_bytes())
    x.delete()
    y.delete()
    assert b"float32[123,321]" not in gzip.decompress(profiler.device_memory_profile())
    with pytest.raises(RuntimeError):
        profiler.device_memory_profile("nothing")


def test_the_format_of_memory_profiles() -> None:
    x = np.ones((123, 321))
    y = np.ones((123, 321)) + x
    profile = fields(memoryview(gzip.decompress(profiler.device_memory_profile())))
    strings = [bytes(message(text)).decode() for text in profile[6]]
    assert strings[0] == ""
    kinds = [[strings[n] for [n] in fields(message(kind)).values()] for kind in profile[1]]  # type: ignore[index]
    assert kinds == [["allocations", "count"], ["space", "bytes"]]
    functions = {}
    for function in profile[5]:
        [number], [name] = (values for _, values in sorted(fields(message(function)).items()))
        functions[number] = strings[name]  # type: ignore[index]
    places = {}
    for location in profile[4]:
        found = fields(message(location))
        [line] = found[4]
        [function] = fields(message(line))[1]
        places[found[1][0]] = functions[function]
    samples = {}
    for sample in profile[2]:
        found = fields(message(sample))
        stack = tuple(places[n] for n in numbers(found[1]))
        samples[stack] = numbers(found[2])
    assert samples["float32[123,321]", "CpuDevice(id=0)"] == [2, x.nbytes + y.nbytes]

"""`monitoring`, `profiler`, `test_util` and `checkify` compared with JAX: names, signatures, events, files, messages."""

from __future__ import annotations

import glob
import inspect
from typing import Any

import jax
import jax.monitoring
import jax.profiler
import jax.test_util
import numpy
import pytest
from jax.experimental import checkify as their_checkify

import anima
import anima.debug
import anima.monitoring
import anima.numpy
import anima.profiler
import anima.test_util
from anima.experimental import checkify

pytestmark = pytest.mark.peers

LEFT_OUT = {  # rows profiler-server and sharding-inspection of docs/differences.md
    "start_server", "stop_server", "register_subprocess", "inspect_array_sharding",
}  # fmt: skip


@pytest.mark.parametrize("name", ["monitoring", "profiler", "test_util", "debug", "experimental.checkify"])
def test_names_and_signatures(name: str) -> None:
    theirs: Any = their_checkify if name.endswith("checkify") else getattr(jax, name)
    ours: Any = checkify if name.endswith("checkify") else getattr(anima, name)
    for public in dir(theirs):
        if public.startswith("_") or public in LEFT_OUT:
            continue
        assert hasattr(ours, public), public
        try:
            expected = inspect.signature(getattr(theirs, public))
        except (ValueError, TypeError):
            continue
        found = inspect.signature(getattr(ours, public))
        if public in ("Error", "breakpoint"):
            continue  # errors are made by checkify alone; breakpoints name what JAX takes as further options
        kinds = [
            [(p.name, p.kind) for p in s.parameters.values() if not p.name.startswith("_")]
            for s in (found, expected)
        ]
        assert kinds[0] == kinds[1], public
        for parameter in expected.parameters.values():
            default = parameter.default
            if parameter.name.startswith("_"):
                continue
            if isinstance(default, (int, float, str, type(None), tuple)) and public != "checkify":
                assert found.parameters[parameter.name].default == default, (public, parameter.name)


def test_the_same_events_are_told() -> None:
    def heard(library: Any, module: Any) -> list[Any]:
        found: list[Any] = []
        module.register_event_duration_secs_listener(
            lambda event, seconds, **more: found.append(("duration", event, more.get("fun_name")))
        )
        module.register_event_time_span_listener(
            lambda event, start, end, **more: found.append(("span", event, more.get("fun_name")))
        )
        module.register_scalar_listener(
            lambda event, value, **more: found.append(("scalar", event, more.get("fun_name")))
        )

        def my_function(x: Any) -> Any:
            return x * 1.625

        library.jit(my_function)(numpy.ones(3, "float32"))
        module.clear_event_listeners()
        return [f for f in found if "/core/compile/" in f[1]]

    assert heard(anima, anima.monitoring) == heard(jax, jax.monitoring)


def test_each_reads_the_files_of_the_other(tmp_path: Any) -> None:
    def events(module: Any, file: str) -> list[Any]:
        found: list[Any] = []
        for plane in module.ProfileData.from_file(file).planes:
            found.append((plane.name, list(plane.stats)))
            for line in plane.lines:
                found.append(line.name)
                found += [(e.name, e.start_ns, e.duration_ns, e.end_ns, list(e.stats)) for e in line.events]
        return found

    for library, f in ((anima, anima.numpy.sin), (jax, jax.numpy.sin)):
        folder = tmp_path / library.__name__
        with library.profiler.trace(folder), library.profiler.TraceAnnotation("mine", number=3):
            f(numpy.ones(5, "float32")).block_until_ready()
        [file] = glob.glob(f"{folder}/plugins/profile/*/*.xplane.pb")
        ours, theirs = events(anima.profiler, file), events(jax.profiler, file)
        # A stat that holds bytes may not be text, which each shows in its own way.
        assert [e for e in ours if e[0] != "Task Environment"] == [
            e for e in theirs if e[0] != "Task Environment"
        ]
        assert any(e[0] == "mine" for e in ours)


def programs(library: Any, module: Any) -> dict[str, Any]:
    np, lax = library.numpy, library.lax

    def positive(x: Any) -> Any:
        module.check(x > 0, "{x} is not positive", x=x)
        return 2 * x

    return {
        "check": positive,
        "jit": library.jit(positive),
        "grad": library.grad(positive),
        "cond": lambda x: lax.cond(x > -5, positive, lambda x: np.log(x), x),
        "scan": lambda x: lax.scan(lambda c, i: (positive(c) - 3, c), x, np.arange(3)),
        "while": lambda x: lax.while_loop(lambda c: c > -9, lambda c: c - 5 + 0 * positive(c), x),
        "map": lambda x: lax.map(positive, np.arange(3) + x),
        "log": np.log,
        "masked": lambda x: np.where(x > 0, np.log(x), x),
        "divide": lambda x: 1 / (x - 2),
        "index": lambda x: np.arange(5)[x.astype(int)],
        "set": lambda x: np.arange(5).at[x.astype(int)].set(3),
        "slice": lambda x: lax.dynamic_slice(np.arange(9), (x.astype(int),), (4,)),
    }


@pytest.mark.parametrize("name", programs(anima, checkify))
def test_the_same_errors_are_found(name: str) -> None:
    for value in (1.0, -1.0, 2.0, 7.0, -7.0):
        x = numpy.float32(value)
        theirs, their_out = their_checkify.checkify(
            programs(jax, their_checkify)[name], errors=their_checkify.all_checks
        )(jax.numpy.asarray(x))
        ours, our_out = checkify.checkify(programs(anima, checkify)[name], errors=checkify.all_checks)(
            anima.numpy.asarray(x)
        )
        assert ours.get() == theirs.get(), value
        for a, b in zip(anima.tree.leaves(our_out), jax.tree.leaves(their_out)):
            numpy.testing.assert_allclose(numpy.asarray(a), numpy.asarray(b), rtol=1e-6)
        kind = theirs.get_exception()
        assert type(ours.get_exception()).__name__ == type(kind).__name__

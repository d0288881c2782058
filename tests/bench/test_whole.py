"""Whole programs compute what they say, and the harness compares what was timed."""

from __future__ import annotations

import importlib
import textwrap
from pathlib import Path

import numpy
import pytest
import scipy.integrate
import scipy.special

from bench import adapters, harness
from bench.case import Case, Checked
from bench.fresh import printed_by
from bench.programs import whole
from bench.whole.parts import digest, numbers

# Libraries that say that they computed so many: `off` computes another number, `short` fewer of them.
TOY = """
from bench.adapters import Adapter
from bench.case import Checked, Program

def ours():
    return Adapter("ours", "1", 0, None, None)

def library(lib):
    return lib.rsplit(":", 1)[1]

program = Program("Toy", rounds=2)
RESULTS = {"ours": [(1.0, 10.0), (5.0, 5.0)], "near": [(1.09, 10.0), (5.0, 5.0)],
    "off": [(1.2, 10.0), (5.0, 5.0)], "short": [(1.0, 10.0)], "lost": [(float("nan"), 10.0), (5.0, 5.0)]}
VALUES = {"ours": 1.0, "near": 2.0, "off": 2.0, "short": 2.0, "lost": 2.0}
PEERS = ("near", "off", "short", "lost")

@program.measured("first", unit="s", peers=PEERS, limits={"off": 1.0})
def first(lib, scratch):
    return Checked(VALUES[library(lib)], RESULTS[library(lib)], 1e-2)

@program.measured("second", unit="s", peers=PEERS)
def second(lib, scratch):
    return VALUES[library(lib)] * 4

program.mean("mean", of=["first", "second"], unit="s", limits={"near": 0.6}, peers=("near", "off"))
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> list[harness.Row]:
    path = tmp_path_factory.mktemp("toy") / "toy.py"
    path.write_text(textwrap.dedent(TOY), encoding="utf-8")
    names = {"anima": "ours", **{name: name for name in ("near", "off", "short", "lost")}}
    peers = [harness.Peer(name, f"{path}:{function}") for name, function in names.items()]
    return harness.run_program(str(path), peers, harness.Settings(rounds=2))


def test_a_library_with_other_numbers_has_no_figures(rows) -> None:
    first = rows[0]
    assert first.values == {"anima": [1.0, 1.0], "near": [2.0, 2.0]}
    assert first.errors == {
        "off": "result 0 is 1.2, ours 1: further apart than 0.1",
        "short": "1 results, ours are 2",
        "lost": "result 0 is nan, ours 1: further apart than 0.1",
    }
    assert first.verdict() is False


def test_what_is_not_compared_has_figures(rows) -> None:
    assert set(rows[1].values) == {"anima", "near", "off", "short", "lost"}


def test_geometric_mean(rows) -> None:
    mean = rows[2]
    assert mean.values["anima"] == pytest.approx([2.0, 2.0])
    assert mean.ratios("near") == pytest.approx([0.5, 0.5])
    assert mean.verdict() is True
    assert mean.errors == {"off": "no figure of first"}


def test_ours_without_a_figure_has_no_mean() -> None:
    part = harness.Row(Case("part", "s", (), {}, None), errors={"anima": "failed"})
    mean = harness.Row(Case("mean", "s", (), {}, None, mean_of=("part",)))
    harness._take_mean(mean, {"part": part})
    assert mean.errors == {"anima": "no figure of part"}


def test_digest_sees_every_element() -> None:
    tree = {"a": [numpy.float32([1, -2]), numpy.float32(3)]}
    assert digest(tree) == [(-1.0, 3.0), (1 - 2 * numpy.cos(1.0), 3.0), (3.0, 3.0), (3.0, 3.0)]
    changed = {"a": [numpy.float32([-2, 1]), numpy.float32(3)]}
    assert digest(changed)[1] != digest(tree)[1]


@pytest.mark.parametrize("name", [n for n, (_, peers) in whole.PROGRAMS.items() if "numpy" in peers])
def test_numpy_computes_the_same(name) -> None:
    module = importlib.import_module(f"bench.whole.{name}")
    ours, theirs = (module.build(adapters.load(lib)) for lib in ("anima", "numpy"))
    found = {"results": digest(ours.step()), "tolerance": ours.tolerance}
    assert harness._difference(found, {"results": digest(theirs.step())}) == ""


def test_lorenz_by_scipy() -> None:
    from bench.whole import lorenz

    path = numpy.asarray(lorenz.build(adapters.load("anima")).step())
    start = 1.0 + numbers(lorenz.MEMBERS, 3, seed=1)[7]
    exact = scipy.integrate.solve_ivp(
        lambda _, s: [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]],
        (0, lorenz.STEPS * lorenz.TIME),
        start,
        rtol=1e-9,
        atol=1e-9,
    )
    numpy.testing.assert_allclose(path[7, -1], exact.y[:, -1], rtol=1e-2)


def test_greeks_by_differences_of_prices() -> None:
    from bench.whole import options

    def price(spot, spread, strike, rate, time):
        width = spread * numpy.sqrt(time)
        upper = (numpy.log(spot / strike) + (rate + spread**2 / 2) * time) / width
        return spot * scipy.special.ndtr(upper) - strike * numpy.exp(-rate * time) * scipy.special.ndtr(
            upper - width
        )

    def moved(up, wider):
        return price(spot + up * 1e-2, spread + wider * 1e-4, *rest)

    spot, spread, *rest = (numpy.float64(column) for column in options.columns())
    found = options.build(adapters.load("anima")).step()
    by_spot = (moved(1, 0) - moved(-1, 0)) / 2e-2
    by_spread = (moved(0, 1) - moved(0, -1)) / 2e-4
    twice_by_spot = (moved(1, 0) - 2 * moved(0, 0) + moved(-1, 0)) / 1e-4
    by_both = (moved(1, 1) - moved(1, -1) - moved(-1, 1) + moved(-1, -1)) / 4e-6
    twice_by_spread = (moved(0, 1) - 2 * moved(0, 0) + moved(0, -1)) / 1e-8
    wanted = moved(0, 0), by_spot, by_spread, twice_by_spot, by_both, twice_by_spread
    for one, other in zip(found, wanted, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * numpy.abs(other).max())


def test_the_smoother_is_nearer_to_the_truth() -> None:
    """The filter's estimates jump from observation to observation more than the smoother's."""
    from bench.whole import kalman

    filtered, (smoothed, _) = kalman.build(adapters.load("anima")).step()
    jumps = [numpy.abs(numpy.diff(numpy.asarray(m)[:, :2], axis=0)).mean() for m in (filtered, smoothed)]
    assert jumps[1] < 0.9 * jumps[0]


def test_training_goes_on_from_the_last_step() -> None:
    from bench.whole import mlp

    run = mlp.build(adapters.load("anima"))
    assert digest(run.step()) != digest(run.step())


def test_fresh_processes_keep_bytecode_and_meet_no_cache_of_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/the/users")
    source = "import os, sys; print(sys.dont_write_bytecode, 'JAX_COMPILATION_CACHE_DIR' in os.environ)"
    assert printed_by(source, tmp_path).split() == ["False", "False"]


def test_figures_of_fresh_processes() -> None:
    found = whole.figures("anima", "options")
    assert found.values[whole.COLD] > found.values[whole.WARM] > found.values[whole.STEADY] > 0
    assert found.values[whole.MEMORY] > 2**26  # more than the interpreter alone
    assert len(found.results) == 12
    case = next(c for c in whole.program.cases if c.name.startswith("Black-Scholes"))
    assert case.measure is not None
    measured = case.measure("anima", Path())
    assert isinstance(measured, Checked)
    assert measured.value == found.values[whole.COLD]

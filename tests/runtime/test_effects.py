"""Programs with effects that run: when `effects_barrier` returns, what it raises, and what is kept until then."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, jit, lax
from anima.experimental import io_callback
from anima.runtime import effects
from anima.runtime.compiler import compile_stats

BIG = 500  # matrices of this size make programs that XLA runs on threads of its own


@pytest.fixture(autouse=True)
def nothing_pending() -> Any:
    anima.effects_barrier()
    yield
    anima.effects_barrier()


@pytest.fixture(scope="module")
def big() -> Any:
    return np.ones((BIG, BIG))


def later(b: Any, value: Any) -> Any:
    """`value`, after a product of matrices."""
    return value + 0 * (b @ b)[0, 0]


def test_the_barrier_waits_for_programs_without_results(big: Any) -> None:
    seen: list[float] = []

    def slow(x: Any) -> None:
        time.sleep(0.05)
        seen.append(float(x))

    f = jit(lambda b, i: anima.debug.callback(slow, later(b, i)))
    for i in range(3):
        assert f(big, float(i)) is None
    anima.effects_barrier()
    assert sorted(seen) == [0, 1, 2]
    anima.effects_barrier()  # nothing left to wait for


def test_results_are_there_only_when_the_effects_are_not_awaited_twice(big: Any) -> None:
    f = jit(lambda b, x: (anima.debug.callback(lambda v: None, later(b, x)), {"x": x + 1, "n": (x,)})[1])
    out = f(big, 1.0)
    assert float(out["x"]) == 2 and float(out["n"][0]) == 1


gate = threading.Event()  # open once the call has returned: an error that is known by then is raised there


def fail(x: Any) -> None:
    gate.wait(30)
    raise ZeroDivisionError(f"number {float(x):.0f}")


def started(f: Any, *args: Any) -> Any:
    """The result of a call whose callback fails after it has returned."""
    gate.clear()
    out = f(*args)
    gate.set()
    return out


@pytest.mark.cpu
@pytest.mark.parametrize("ordered", [False, True])
def test_errors_without_results_surface_at_the_barrier(big: Any, ordered: bool) -> None:
    f = jit(lambda b, i: anima.debug.callback(fail, later(b, i), ordered=ordered))
    started(f, big, 1.0)
    with pytest.raises(errors.JaxRuntimeError, match="ZeroDivisionError: number 1") as info:
        anima.effects_barrier()
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    anima.effects_barrier()  # reported once


@pytest.mark.cpu
def test_errors_surface_where_a_result_is_used(big: Any) -> None:
    f = jit(lambda b, i: (io_callback(fail, None, later(b, i)), b + i)[1])
    y = started(f, big, 2.0)
    for use in (y.block_until_ready, lambda: onp.asarray(y)):
        with pytest.raises(errors.JaxRuntimeError, match="ZeroDivisionError: number 2"):
            use()
    with pytest.raises(errors.JaxRuntimeError, match="ZeroDivisionError: number 2"):
        anima.effects_barrier()


@pytest.mark.cpu
def test_several_errors_are_counted(big: Any) -> None:
    f = jit(lambda b, i: anima.debug.callback(fail, later(b, i)))
    started(lambda: [f(big, float(i)) for i in range(3)])
    with pytest.raises(errors.JaxRuntimeError, match="number 0") as info:
        anima.effects_barrier()
    assert "2 more of the programs with effects failed." in info.value.__notes__


@pytest.mark.cpu
def test_ordered_programs_go_on_after_a_failure(big: Any) -> None:
    seen: list[float] = []
    bad = jit(lambda b, i: io_callback(fail, None, later(b, i), ordered=True))
    good = jit(lambda b, i: io_callback(lambda x: seen.append(float(x)), None, later(b, i), ordered=True))
    started(bad, big, 1.0)
    good(big, 2.0)
    io_callback(lambda: seen.append(3.0), None, ordered=True)
    with pytest.raises(errors.JaxRuntimeError, match="number 1"):
        anima.effects_barrier()
    assert seen == [2, 3]


@pytest.mark.cpu
def test_signals_of_ended_programs_are_forgotten_but_not_their_errors(big: Any) -> None:
    f = jit(lambda b, i: anima.debug.callback(lambda x: None if float(x) > 0 else fail(x), later(b, i)))
    quick = jit(lambda i: anima.debug.callback(lambda x: None, i))
    started(f, big, 0.0)
    for i in range(3 * effects._MANY):
        f(np.ones((1, 1)), 1.0)
        quick(float(i))
    assert len(effects._state.signals) <= effects._MANY
    with pytest.raises(errors.JaxRuntimeError, match="number 0"):
        anima.effects_barrier()


def test_callbacks_live_until_their_program_has_ended(big: Any) -> None:
    seen: list[float] = []

    def run() -> weakref.ref[Any]:
        def host(x: Any) -> None:
            seen.append(float(x))

        jit(lambda b, i: io_callback(host, None, later(b, i)))(big, 4.0)
        return weakref.ref(host)

    gone = run()
    gc.collect()
    anima.effects_barrier()
    assert seen == [4]
    anima.clear_caches()
    gc.collect()
    assert gone() is None


def test_errors_that_are_known_when_the_call_returns_are_raised_there() -> None:
    f = jit(lambda i: anima.debug.callback(lambda v: 1 // 0, i))
    with pytest.raises(errors.JaxRuntimeError, match="ZeroDivisionError"):
        f(1)  # runs in this thread
    anima.effects_barrier()


def test_threads_have_orders_of_their_own(big: Any) -> None:
    results: list[bool] = []

    def work() -> None:
        mine: list[float] = []

        @jit
        def f(b: Any, i: Any) -> Any:
            io_callback(lambda x: mine.append(float(x)), None, later(b, i), ordered=True)
            io_callback(lambda x: mine.append(-float(x)), None, i, ordered=True)

        for i in range(1, 8):
            f(big, float(i))
        anima.effects_barrier()
        results.append(mine == [s * i for i in range(1, 8) for s in (1, -1)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_one_program_is_compiled_once() -> None:
    f = jit(lambda x: (anima.debug.callback(lambda v: None, x), x + 1)[1])
    f(1.0)
    before = compile_stats()
    for i in range(20):
        f(float(i))
    assert compile_stats() == before


def test_one_eager_loop_is_compiled_once() -> None:
    def step(c: Any, x: Any) -> Any:
        anima.debug.callback(lambda v: None, x)
        return c + x, c

    xs = np.arange(3.0)
    lax.scan(step, 0.0, xs)
    before = compile_stats()
    for _ in range(5):
        lax.scan(step, 0.0, xs)
    assert compile_stats() == before


def test_programs_without_effects_keep_their_native_plans() -> None:
    f = jit(lambda x: x + 1)
    f(1.0)
    assert f.cache_len() == 1
    g = jit(lambda x: (anima.debug.callback(lambda v: None, x), x + 1)[1])
    g(1.0)
    assert g.cache_len() == 0


def test_donation_and_unused_arguments_with_effects() -> None:
    seen: list[float] = []
    f = jit(
        lambda x, unused, y: (anima.debug.callback(lambda v: seen.append(float(v)), y), x + 1, y)[1:],
        donate_argnums=0,
    )
    x = np.asarray(np.ones(3) + 1)
    a, b = f(x, 3.0, 4.0)
    assert a.tolist() == [3, 3, 3] and float(b) == 4 and x.is_deleted()
    anima.effects_barrier()
    assert seen == [4]


@pytest.mark.cpu
def test_what_is_pending_at_exit_happens_and_errors_are_shown(run_python: Any) -> None:
    source = """
import threading
import anima, anima.numpy as np
big = np.ones((500, 500))
anima.jit(lambda b: anima.debug.print("bye {}", (b @ b)[0, 0]))(big)
gate = threading.Event()
def fail(x):
    gate.wait(30)
    raise ZeroDivisionError("too late")
anima.jit(lambda b: anima.debug.callback(fail, (b @ b)[0, 0]))(big)
gate.set()
"""
    done = run_python(source)
    assert "bye 500.0" in done.stdout
    assert "Error in the effects of a program" in done.stderr and "ZeroDivisionError: too late" in done.stderr


@pytest.mark.cpu
def test_programs_over_several_devices(run_python: Any) -> None:
    source = """
import anima, anima.numpy as np, numpy as onp
anima.config.update("jax_num_cpu_devices", 4)
from anima import jit, lax, pure_callback
from anima.experimental import io_callback
from anima.sharding import NamedSharding, PartitionSpec as P, SingleDeviceSharding
mesh = anima.make_mesh((4,), ("x",))
xs = anima.device_put(np.arange(8.0), NamedSharding(mesh, P("x")))
whole = list(range(8))
seen = []
def host(v):
    seen.append(onp.asarray(v).tolist())
    return onp.asarray(v) * 10
def check(f, *expected, result=None):
    seen.clear()
    out = anima.block_until_ready(jit(f)(xs))
    anima.effects_barrier()
    assert seen == list(expected), seen
    if result is not None:
        assert out.tolist() == result, out
tens = [10.0 * i for i in whole]
check(lambda x: pure_callback(host, x, x), whole, result=tens)
check(lambda x: io_callback(host, x, x), whole, result=tens)
check(lambda x: io_callback(host, x, x, ordered=True), whole, result=tens)
check(lambda x: io_callback(host, x, x, sharding=SingleDeviceSharding(anima.devices()[2])), whole, result=tens)
check(lambda x: anima.debug.callback(host, x), whole)
check(lambda x: anima.debug.callback(host, x, partitioned=True), *[whole] * 4)
def two(x):
    anima.debug.callback(host, x, ordered=True)
    anima.debug.callback(host, x + 1, ordered=True)
check(two, whole, [i + 1 for i in whole])
check(lambda x: lax.fori_loop(0, 2, lambda i, c: (anima.debug.callback(host, c, ordered=True), c + 1)[1], x),
      whole, [i + 1 for i in whole], result=[i + 2.0 for i in whole])
check(lambda x: lax.cond(x.sum() > 0, lambda: (anima.debug.callback(host, x), x)[1], lambda: -x), whole)
seen.clear(); assert io_callback(host, xs, xs).tolist() == tens and seen == [whole]
try:
    jit(lambda x: anima.debug.callback(host, x, partitioned=True, ordered=True))(xs)
except ValueError as error:
    assert "no order" in str(error)
else:
    raise AssertionError
"""
    run_python(source)

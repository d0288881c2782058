"""Plans that compute small arrays on the host: descriptions that make no program are refused, others give results."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from anima import _native as nt
from tests.native.call.support import ADD, F32, Maker, not_traced

F3 = ((3,), F32, False)
SCALAR = ((), F32, False)
I32 = ((), np.dtype(np.int32), False)
B3 = ((3,), np.dtype(bool), False)

# (x + y) * y, of which the sum is no output
PROGRAM = ([F3, F3, F3, F3], [], [("add", (0, 1), (2,), ()), ("mul", (2, 1), (3,), ())], [3])


def plan_of(make: Maker, host: Any, leaves: int = 2, outs: Any = (F3,), **options: Any) -> Any:
    options.setdefault("device", make.device)
    return nt.CallPlan(
        options.pop("executable", None), num_leaves=leaves, out_avals=outs, host=host, **options
    )


def test_steps_run_one_after_the_other(make: Maker) -> None:
    plan = plan_of(make, PROGRAM, single=True)
    x, y = make.put([1, 2, 3]), make.put([10, 20, 30])
    out = plan.answer([x, y])
    assert np.asarray(out).tolist() == [110, 440, 990] and plan.calls == 1
    assert np.asarray(plan.execute([out, y])).tolist() == [1200, 9200, 30600]
    assert out.unsafe_buffer_pointer() % 64 == 0


def test_constants_and_scalars(make: Maker) -> None:
    host = (
        [SCALAR, F3, F3],
        [(1, np.array([1, 2, 3], np.float32).tobytes())],
        [("mul", (0, 1), (2,), ())],
        [2],
    )
    plan = plan_of(make, host, 1, single=True)
    assert np.asarray(plan.answer([np.float32(2)])).tolist() == [2, 4, 6]
    assert np.asarray(plan.answer([make.put(3)])).tolist() == [3, 6, 9]
    assert plan.answer([2.0]) is None  # weakly typed: another aval
    assert plan.answer([np.int32(2)]) is None


def test_results_can_be_several(make: Maker) -> None:
    pieces = [(0, 0, 1, 0, 1), (0, 1, 0, 0, 1), (0, 2, 0, 1, 1)]
    two, one = ((2,), F32, False), ((1,), F32, False)
    plan = plan_of(make, ([F3, two, one], [], [("move", (0,), (1, 2), pieces)], [2, 1]), 1, (one, two))
    assert [np.asarray(v).tolist() for v in plan.answer([make.put([1, 2, 3])])] == [[1], [2, 3]]


def test_what_a_kernel_refuses_is_left_to_the_program(make: Maker) -> None:
    host = ([F3, F3, F3], [], [("add", (0, 1), (2,), ())], [2])
    x, subnormal = make.put([1, 2, 3]), make.put([1e-40, 0, 0])
    alone = plan_of(make, host, single=True)
    assert alone.answer([x, subnormal]) is None
    with pytest.raises(ValueError, match="execute"):
        alone.execute([x, subnormal])
    both = plan_of(make, host, executable=make.compile(ADD), single=True)
    executions = make.compile(ADD).executions
    assert np.asarray(both.execute([x, subnormal])).tolist() == [1, 2, 3]
    assert make.compile(ADD).executions == executions + 1
    assert np.asarray(both.execute([x, x])).tolist() == [2, 4, 6]
    assert make.compile(ADD).executions == executions + 1


def test_leaves_elsewhere_are_left_alone(make: Maker) -> None:
    plan = plan_of(make, PROGRAM)
    x = make.put([1, 2, 3])
    assert plan.answer([x, make.put([1, 2, 3], 1)]) is None
    assert plan.answer([x, make.put([1, 2])]) is None
    assert plan.answer([x, nt.array_from_host(np.arange(3, dtype=np.int32), make.device)]) is None
    assert plan.answer([x, np.ones(3, np.float32)]) is None
    gone = make.put([1, 2, 3])
    gone.delete()
    assert plan.answer([x, gone]) is None
    with pytest.raises(RuntimeError, match="deleted"):
        plan_of(make, None, executable=make.compile(ADD)).execute([x, gone])
    with pytest.raises(ValueError, match="leaves"):
        plan.answer([x])


BAD = [
    (3, ValueError, "form"),
    (([F3, F3, F3], [], []), ValueError, "form"),
    (([F3], [], [], []), ValueError, "fewer values"),
    (([F3, F3, 3], [], [], [2]), ValueError, "form"),
    (([F3, F3, ((1025,), F32, False)], [], [], [2]), ValueError, "large"),
    (([F3, F3, ((2**62,), F32, False)], [], [], [2]), ValueError, "."),
    (([F3, F3, ((1,) * 7, F32, False)], [], [], [2]), ValueError, "large"),
    (([F3, F3, F3], [(0, b"")], [], [2]), ValueError, "something else"),
    (([F3, F3, F3], [(2, b"123")], [], [2]), ValueError, "size"),
    (([F3, F3, F3], [(2, 3)], [], [2]), TypeError, "bytes"),
    (([F3, F3, F3], [(7, b"")], [], [2]), ValueError, "number"),
    (([F3, F3, F3], [], [("add", (0, 1), (2,))], [2]), ValueError, "form"),
    (([F3, F3, F3], [], [(3, (0, 1), (2,), ())], [2]), ValueError, "no name"),
    (([F3, F3, F3], [], [("nothing", (0, 1), (2,), ())], [2]), ValueError, "no kernel"),
    (([F3, F3, F3], [], [("add", (0, 2), (2,), ())], [2]), ValueError, "nothing has written"),
    (([F3, F3, F3], [], [("add", (0, 0), (1,), ())], [1]), ValueError, "already"),
    (([F3, F3, F3], [], [("add", (0, 9), (2,), ())], [2]), ValueError, "number"),
    (([F3, F3, F3], [], [("add", (0, -1), (2,), ())], [2]), OverflowError, "."),
    (([F3, F3, F3], [], [("add", (0,), (2,), ())], [2]), ValueError, "number of operands"),
    (([F3, F3, B3], [], [("add", (0, 1), (2,), ())], [2]), ValueError, "another type"),
    (([F3, F3, F3], [], [("lt", (0, 1), (2,), ())], [2]), ValueError, "another type"),
    (([F3, B3, F3], [], [("add", (0, 1), (2,), ())], [2]), ValueError, "differ"),
    (([F3, ((2,), F32, False), F3], [], [("add", (0, 1), (2,), ())], [2]), ValueError, "shape"),
    (([F3, F3, F3], [], [("add", (0, 1), (2,), ())], []), ValueError, "outputs"),
    (([F3, F3, F3], [], [("add", (0, 1), (2,), ())], [0]), ValueError, "result of its own"),
    (([F3, F3, B3], [], [("lt", (0, 1), (2,), ())], [2]), ValueError, "shape or dtype"),
    (([F3, F3, F3], [], [("and", (0, 1), (2,), ())], [2]), ValueError, "no kernel"),
    (([F3, F3, F3], [], [("move", (0,), (2,), 3)], [2]), ValueError, "so many times"),
    (([F3, F3, F3], [], [("move", (0,), (2,), 4)], [2]), ValueError, "outside"),
    (([F3, F3, F3], [], [("move", (0,), (2,), "3")], [2]), ValueError, "list"),
    (([F3, F3, F3], [], [("move", (0,), (2,), [(0, 0, 0, 0, 4)])], [2]), ValueError, "outside"),
    (([F3, F3, F3], [], [("move", (0,), (2,), [(0, 1, 0, 0, 3)])], [2]), ValueError, "outside"),
    (([F3, F3, F3], [], [("move", (0,), (2,), [(0, 0, 0, 1, 3)])], [2]), ValueError, "outside"),
    (([F3, F3, F3], [], [("move", (0,), (2,), [(1, 0, 0, 0, 3)])], [2]), ValueError, "outside"),
    (([F3, F3, F3], [], [("move", (0,), (2,), [(0, 0, 0, 0, 2)])], [2]), ValueError, "fill"),
    (([F3, F3, F3], [], [("move", (0,), (2,), [(0, 0, 0)])], [2]), ValueError, "five"),
    (([F3, F3, F3], [], [("move", (0,), (2,), [(0, 0, 0, 0, "x")])], [2]), TypeError, "."),
    (([F3, F3, F3], [], [("select_n", (0, 1, 1), (2,), ())], [2]), ValueError, "first operand"),
    (([F3, F3, F3], [], [("dynamic_slice", (0, 1), (2,), ())], [2]), ValueError, "whole number"),
    (([F3, I32, ((4,), F32, False)], [], [("dynamic_slice", (0, 1), (2,), ())], [2]), ValueError, "no part"),
    (([F3, F3, SCALAR], [], [("reduce_max", (0,), (2,), ())], [2]), ValueError, "dimension"),
    (([F3, F3, SCALAR], [], [("reduce_max", (0,), (2,), (0, 1))], [2]), ValueError, "dimension"),
    (([F3, F3, SCALAR], [], [("reduce_max", (0,), (2,), (-1, 0))], [2]), OverflowError, "."),
    (([F3, F3, F3], [], [("reduce_sum", (0,), (2,), (0, 0))], [2]), ValueError, "another shape"),
    (([F3, F3, F3], [], [("argmax", (0,), (2,), (0, 0))], [2]), ValueError, "another shape"),
    (([F3, ((2,), F32, False), SCALAR], [], [("dot", (0, 1), (2,), ())], [2]), ValueError, "multiplied"),
    (([F3, F3, F3], [], [("dot", (0, 1), (2,), ())], [2]), ValueError, "another one"),
]


@pytest.mark.parametrize(("host", "error", "message"), BAD)
def test_what_is_no_program_is_refused(make: Maker, host: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan_of(make, host)


def test_a_plan_on_the_host_has_one_device_and_keeps_its_leaves(make: Maker) -> None:
    for options in (
        {"device": list(make.client.devices[:2])}, {"donate": (0,)}, {"forward": (0,)}, {"out_shardings": (object(),)},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            plan_of(make, PROGRAM, **options)


def test_small_arrays_are_given_to_xla_once(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    x = make.put([1, 2, 3])
    view, address = np.asarray(x), x.unsafe_buffer_pointer()
    for _ in range(3):
        assert np.asarray(plan.execute([x, x])).tolist() == [2, 4, 6]
    assert x.unsafe_buffer_pointer() == address and x.on_device_size_in_bytes() == 12
    x.delete()
    del x
    gc.collect()
    assert view.tolist() == [1, 2, 3]


def test_threads_give_and_delete_the_same_array(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    failures: list[str] = []
    for round_ in range(100):
        x = make.put([round_, 2, 3])
        start = threading.Barrier(4)

        def run(x: Any = x, start: Any = start, round_: int = round_) -> None:
            start.wait()
            try:
                out = np.asarray(plan.execute([x, x])).tolist()
            except RuntimeError as error:
                if "deleted" not in str(error):
                    failures.append(str(error))
            else:
                if out != [2 * round_, 4, 6]:
                    failures.append(str(out))

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        start.wait()
        x.delete()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_closed_client_answers_nothing(plugin: Any) -> None:
    client = plugin.create_client({"cpu_device_count": 1})
    x = nt.array_from_host(np.ones(3, np.float32), client.devices[0])
    plan = nt.CallPlan(None, num_leaves=2, out_avals=[F3], device=client.devices[0], host=PROGRAM)
    assert plan.answer([x, x]) is not None
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        plan.answer([x, x])


def test_calls_ask_again_where_the_kernel_refuses(make: Maker) -> None:
    misses = []

    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        misses.append(args)
        plan = plan_of(make, PROGRAM, single=True)
        return plan.answer(args), plan

    call = nt.CompiledCall(None, miss, not_traced)
    x = make.put([1, 2, 3])
    for _ in range(3):
        assert np.asarray(call(x, x)).tolist() == [2, 8, 18]
    assert len(misses) == 1
    assert call(x, make.put([np.nan, 0, 0])) is None and len(misses) == 2

"""Plans whose program takes and returns its arrays in pieces of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anima import _native as nt
from anima.errors import DeletedArrayError, JaxRuntimeError
from tests.native.call.support import F32, Maker, not_traced, program

F3, F2, SCALAR = ((3,), F32, False), ((2,), F32, False), ((), F32, False)
# Takes x, of 3 elements, and y, of 2; returns (y, x) doubled.
TURN = program(
    "%x = stablehlo.slice %a0 [0:3] : (tensor<5xf32>) -> tensor<3xf32>\n"
    "%y = stablehlo.slice %a0 [3:5] : (tensor<5xf32>) -> tensor<2xf32>\n"
    "%0 = stablehlo.concatenate %y, %x, dim = 0 : (tensor<2xf32>, tensor<3xf32>) -> tensor<5xf32>\n"
    "%1 = stablehlo.add %0, %0 : tensor<5xf32>\n%1",
    ["5xf32"],
    ["5xf32"],
)
PACKING = ([F3, F2], [[0, 1]], [[0, 1]])


def plan_of(make: Maker, packing: Any = PACKING, **options: Any) -> Any:
    options = {"num_leaves": 2, "out_avals": [F2, F3], **options}
    return nt.CallPlan(make.compile(TURN), packing=packing, **options)


def values(outs: Any) -> list[Any]:
    return [np.asarray(out).tolist() for out in outs]


def test_arrays_go_in_and_come_out(make: Maker) -> None:
    plan = plan_of(make)
    x, y = make.put([1, 2, 3]), make.put([4, 5])
    outs = plan.execute([x, y])
    assert values(outs) == [[8, 10], [2, 4, 6]]
    assert all(out.unsafe_buffer_pointer() % 64 == 0 and out.is_ready() for out in outs)
    assert values(plan.execute(outs[::-1])) == [[16, 20], [4, 8, 12]]
    assert values([x, y]) == [[1, 2, 3], [4, 5]] and plan.calls == 2


def test_scalars_of_the_host_go_in(make: Maker) -> None:
    text = program("%0 = stablehlo.add %a0, %a0 : tensor<2xf32>\n%0", ["2xf32"], ["2xf32"])
    packing = ([SCALAR, SCALAR], [[0, 1]], [[1, 0]])
    plan = nt.CallPlan(make.compile(text), num_leaves=2, out_avals=[SCALAR, SCALAR], packing=packing)
    assert values(plan.execute([2.5, make.put(3)])) == [6, 5]
    with pytest.raises(ValueError, match="a leaf is not on the devices"):
        plan.execute([np.int32(2), 1.0])


def test_what_does_not_fit_its_place_is_refused(make: Maker) -> None:
    plan = plan_of(make)
    x, y = make.put([1, 2, 3]), make.put([4, 5])
    for leaves in ([y, x], [x, x], [make.put([1, 2, 3], device=1), y], [x, np.zeros(2, F32)]):
        with pytest.raises(ValueError, match="a leaf is not on the devices"):
            plan.execute(leaves)
    y.delete()
    with pytest.raises(DeletedArrayError):
        plan.execute([x, y])


def test_a_call_whose_plan_refuses_asks_for_another_one(make: Maker) -> None:
    plans = [plan_of(make), make.plan(None, 2, [], device=make.device)]
    call = nt.CompiledCall(lambda: None, lambda *_: ("missed", plans.pop(0)), not_traced)
    x, y = make.put([1, 2, 3]), make.put([4, 5])
    assert call(x, y) == "missed" and values(call(x, y)) == [[8, 10], [2, 4, 6]]
    elsewhere = [make.put([1, 2, 3], device=1), make.put([4, 5], device=1)]
    assert call(*elsewhere) == "missed" and call(x, y) == [] and not plans


def test_results_that_are_forwarded_are_in_no_piece(make: Maker) -> None:
    plan = plan_of(make, out_avals=[F2, F3, F3], forward=[-1, 0, -1], packing=([F3, F2], [[0, 1]], [[0, 1]]))
    x, y = make.put([1, 2, 3]), make.put([4, 5])
    outs = plan.execute([x, y])
    assert values(outs) == [[8, 10], [1, 2, 3], [2, 4, 6]] and outs[1] is x


@pytest.mark.parametrize(
    ("packing", "why"),
    [
        (([F3, F2], [[0, 1]]), "it is not"),
        ("abc", "it is not"),
        (([F3], [[0]], [[0, 1]]), "another number of arguments"),
        (([F3, F2], [[0]], [[0, 1]]), "no place, or two"),
        (([F3, F2], [[0, 1, 0]], [[0, 1]]), "no place, or two"),
        (([F3, F2], [[0, 2]], [[0, 1]]), "no place, or two"),
        (([F3, F2], [[0, 1], []], [[0, 1]]), "has no arrays"),
        (([F3, ((2,), np.dtype(np.int32), False)], [[0, 1]], [[0, 1]]), "differ in type"),
        (([F3, ((1025,), F32, False)], [[0, 1]], [[0, 1]]), "large"),
        (([F3, ((600,), F32, False)], [[0, 1]], [[0, 1]]), None),
        (([((600,), F32, False)] * 2, [[0, 1]], [[0, 1]]), "too large"),
        (([F3, F2], [[0, 1]], [[0], [1]]), "2 pieces of results, but the program has 1"),
        (([(3, F32), F2], [[0, 1]], [[0, 1]]), "shape, dtype, weak_type"),
    ],
)
def test_what_is_no_packing_is_refused(make: Maker, packing: Any, why: str | None) -> None:
    if why is None:
        plan_of(make, packing)
        return
    with pytest.raises(ValueError, match=why):
        plan_of(make, packing)


def test_wrong_promises_about_the_program_are_found(make: Maker) -> None:
    plan = plan_of(make, out_avals=[F2, F2])
    with pytest.raises(ValueError, match="shape and dtype of the packing"):
        plan.execute([make.put([1, 2, 3]), make.put([4, 5])])
    plan = plan_of(make, ([F3, F3], [[0, 1]], [[0, 1]]))
    with pytest.raises(JaxRuntimeError, match="incompatible size"):
        plan.execute([make.put([1, 2, 3]), make.put([4, 5, 6])])


def test_it_goes_with_one_device_and_without_donations(make: Maker) -> None:
    with pytest.raises(ValueError, match="takes no donations"):
        plan_of(make, donate=[0])
    with pytest.raises(ValueError, match="needs a program"):
        nt.CallPlan(None, num_leaves=2, out_avals=[], device=make.device, packing=([], [], []))

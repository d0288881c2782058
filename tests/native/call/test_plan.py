"""Building a CallPlan: what does not fit together is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anima import _native as nt
from tests.native.call.support import (
    ADD,
    DOUBLE,
    F32,
    Maker,
)

BAD_PLANS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"executable": 3}, TypeError, "executable"),
    ({"num_leaves": -1}, TypeError, "num_leaves"),
    ({"num_leaves": "x"}, TypeError, "."),
    ({"kept": (2,)}, ValueError, "kept"),
    ({"kept": (-1,)}, ValueError, "kept"),
    ({"kept": 3}, TypeError, "kept"),
    ({"kept": (2**70,)}, ValueError, "."),
    ({"consts": (1.0,)}, TypeError, "consts"),
    ({"consts": 1.0}, TypeError, "consts"),
    ({"out_avals": ()}, ValueError, "outputs"),
    ({"out_avals": (((3,), F32, False),) * 2}, ValueError, "outputs"),
    ({"out_avals": (3,)}, TypeError, "out_avals"),
    ({"out_avals": (((3,), F32),)}, TypeError, "out_avals"),
    ({"out_avals": (((-3,), F32, False),)}, ValueError, "."),
    ({"out_avals": (((3,), "nonsense", False),)}, TypeError, "."),
    ({"out_tree": 3}, TypeError, "PyTreeDef"),
    ({"out_tree": nt.tree_structure((1, 2))}, ValueError, "out_tree"),
    ({"out_shardings": (None, None)}, ValueError, "out_shardings"),
    ({"donate": (5,)}, ValueError, "donate"),
    ({"donate": (0,), "kept": (0, 0)}, ValueError, "donated"),
    ({"forward": (5,)}, ValueError, "forward"),
    ({"forward": (-2,)}, ValueError, "forward"),
    ({"forward": (0,)}, ValueError, "outputs"),
    ({"forward": (0, 0)}, ValueError, "forward"),
    ({"device": 3}, TypeError, "device"),
    ({"device": ()}, ValueError, "device"),
    ({"executable": None, "forward": (0,), "device": None}, TypeError, "device"),
    ({"executable": None, "forward": (0,), "kept": (0,)}, ValueError, "executable"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_PLANS)
def test_bad_plans_are_refused(
    make: Maker, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    good: dict[str, Any] = {
        "executable": make.compile(DOUBLE),
        "num_leaves": 2,
        "kept": (0,),
        "out_avals": (((3,), F32, False),),
        "device": make.device,
    }
    nt.CallPlan(good.pop("executable"), **good)
    if "executable" in change:
        del good["kept"]
    arguments = {**good, **change}
    with pytest.raises(error, match=message):
        nt.CallPlan(arguments.pop("executable", make.compile(DOUBLE)), **arguments)


def test_plans_check_devices(make: Maker) -> None:
    with pytest.raises(ValueError, match="device"):
        make.plan(DOUBLE, 1, [(3,)], device=make.client.devices[1])
    with pytest.raises(ValueError, match="consts"):
        make.plan(ADD, 1, [(3,)], consts=(make.put([1, 2, 3], 1),))
    with pytest.raises(TypeError, match="out_avals"):
        nt.CallPlan(make.compile(DOUBLE), num_leaves=1)
    with pytest.raises(ValueError, match="single"):
        nt.CallPlan(None, num_leaves=0, out_avals=[], single=True, device=make.device)


def test_outputs_are_checked_against_the_program(make: Maker) -> None:
    x = make.put([1, 2, 3])
    for aval in (((4,), F32, False), ((3,), np.dtype(np.int32), False)):
        plan = nt.CallPlan(make.compile(DOUBLE), num_leaves=1, out_avals=[aval], device=make.device)
        with pytest.raises(ValueError, match="output 0"):
            plan.execute([x])


def test_execute_checks_its_leaves(make: Maker) -> None:
    plan = make.plan(DOUBLE, 1, [(3,)])
    with pytest.raises(ValueError, match="expected 1 leaves, got 2"):
        plan.execute([1.0, 2.0])
    with pytest.raises(TypeError, match="leaf 0"):
        plan.execute(["x"])
    with pytest.raises(TypeError, match="leaves"):
        plan.execute(3)
    with pytest.raises(Exception, match=r"."):
        plan.execute([make.put([1, 2, 3, 4])])  # the program's sizes

"""What a run does: placement, constants, forwarded leaves, donation, several devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anima import _native as nt
from tests.native.call.support import (
    ADD,
    ADD_IN_PLACE,
    DOUBLE,
    DOUBLE_IN_PLACE,
    DOUBLE_SCALAR,
    F32,
    Maker,
    Sharding,
    not_traced,
    program,
    recorded,
    sharded,
)
from tests.native.support import encode_options


def test_execution(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    x, y = make.put([1, 2, 3]), make.put([10, 20, 30])
    for _ in range(3):
        out = call(x, y)
        assert np.asarray(out).tolist() == [11, 22, 33]
    assert plan.calls == 3
    assert np.asarray(call(x, np.float32([1, 1, 1]))).tolist() == [2, 3, 4]
    assert (out.shape, out.dtype, out.weak_type, out.committed) == ((3,), F32, False, False)
    assert call.cache_len() == 1


def test_arguments_on_other_devices(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    x, elsewhere = make.put([1, 2, 3]), make.put([1, 1, 1], 1)
    out = plan.execute([elsewhere, x])
    assert np.asarray(out).tolist() == [2, 3, 4]
    assert out.device is make.device and elsewhere.device is make.client.devices[1]
    with pytest.raises(ValueError, match="not on the devices"):
        plan.execute([make.put([1, 1, 1], 1, committed=True), x])


def test_committed_outputs(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True, committed=True)
    assert plan.execute([make.put([1, 2, 3]), make.put([1, 2, 3])]).committed


def test_kept_and_consts(make: Maker) -> None:
    const = make.put([100, 200, 300])
    plan = make.plan(ADD, 3, [(3,)], single=True, kept=(2,), consts=(const,))
    for _ in range(2):
        assert np.asarray(plan.execute([1.0, 2.0, make.put([1, 2, 3])])).tolist() == [101, 202, 303]
    const.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        make.plan(ADD, 1, [(3,)], consts=(const,))
    const = make.put([1, 1, 1])
    plan = make.plan(ADD, 1, [(3,)], single=True, consts=(const,))
    const.delete()  # the plan keeps the contents
    assert np.asarray(plan.execute([make.put([1, 2, 3])])).tolist() == [2, 3, 4]


def test_forwarded_leaves(make: Maker) -> None:
    plan = make.plan(DOUBLE, 2, [(3,), (), (3,)], kept=(1,), forward=(1, 0, -1))
    x, scalar = make.put([1, 2, 3]), make.put(5.0)
    same, first, doubled = plan.execute([scalar, x])
    assert same is x and first is scalar
    assert np.asarray(doubled).tolist() == [2, 4, 6]
    number = make.plan(None, 1, [()], forward=(0,), single=True).execute([7.0])
    assert float(number) == 7.0 and type(number) is nt.ArrayImpl
    assert make.plan(None, 1, [(1000,)], forward=(0,), single=True).execute([7.0]).shape == ()
    elsewhere = make.put([1, 2, 3], 1)
    assert plan.execute([scalar, elsewhere])[0].device is make.device
    x.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        make.plan(None, 1, [(3,)], forward=(0,)).execute([x])


def test_output_structure(make: Maker) -> None:
    body = "%0 = stablehlo.add %a0, %a0 : tensor<3xf32>\n%1 = stablehlo.multiply %a0, %a0 : tensor<3xf32>\n%0, %1"
    text = program(body, ["3xf32"], ["3xf32", "3xf32"])
    tree = nt.tree_structure({"double": 1, "square": (2, None)})
    plan = make.plan(text, 1, [(3,), (3,)], out_tree=tree)
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    x = make.put([1, 2, 3])
    for _ in range(2):
        out = call(x)
        assert nt.tree_structure(out) == tree == plan.out_tree
        assert np.asarray(out["square"][0]).tolist() == [1, 4, 9]
    assert [np.asarray(v).tolist() for v in make.plan(text, 1, [(3,), (3,)]).execute([x])] == [
        [2, 4, 6],
        [1, 4, 9],
    ]
    assert make.plan(None, 0, []).execute([]) == []


def test_numbers_are_put(make: Maker) -> None:
    plan = make.plan(DOUBLE_SCALAR, 1, [()], single=True)
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    assert [float(call(v)) for v in (1.0, 2.5, -3.0, 2.5)] == [2.0, 5.0, -6.0, 5.0]
    with pytest.raises(OverflowError, match="1000000000000"):
        recorded(make)[0](10**30)


def test_deleted_arguments(make: Maker) -> None:
    plan = make.plan(DOUBLE, 1, [(3,)], single=True)
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    x = make.put([1, 2, 3])
    call(x)
    x.delete()
    for use in (lambda: call(x), lambda: plan.execute([x])):
        with pytest.raises(RuntimeError, match="deleted"):
            use()
    assert np.asarray(call(make.put([1, 1, 1]))).tolist() == [2, 2, 2]


def test_donation_runs_in_place(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,)], single=True, donate=(0,))
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    x = nt.array_with(call(make.put([1, 2, 3])))  # what is small on the host goes to XLA's memory first
    for expected in (4, 8, 16):
        address = x.unsafe_buffer_pointer()
        out = call(x)
        assert x.is_deleted()
        assert out.unsafe_buffer_pointer() == address
        assert np.asarray(out).tolist() == [expected, 2 * expected, 3 * expected]
        x = nt.array_with(out)
        del out
    with pytest.raises(RuntimeError, match="deleted, or donated"):
        deleted = make.put([1, 2, 3])
        call(deleted), call(deleted)


def test_donated_memory_that_others_use_is_copied(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,)], single=True, donate=(0,))
    x = make.put([1, 2, 3])
    view = np.asarray(x)
    twin = nt.array_with(make.put([5, 6, 7]))
    assert np.asarray(plan.execute([x])).tolist() == [2, 4, 6]
    assert x.is_deleted() and view.tolist() == [1, 2, 3]
    original = make.put([5, 6, 7])
    twin = nt.array_with(original)
    assert np.asarray(plan.execute([original])).tolist() == [10, 12, 14]
    assert original.is_deleted() and not twin.is_deleted()
    assert np.asarray(twin).tolist() == [5, 6, 7]


def test_donating_host_values_and_moved_arrays(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,)], single=True, donate=(0,))
    host = np.float32([1, 2, 3])
    assert np.asarray(plan.execute([host])).tolist() == [2, 4, 6]
    assert host.tolist() == [1, 2, 3]
    elsewhere = make.put([1, 2, 3], 1)
    assert np.asarray(plan.execute([elsewhere])).tolist() == [2, 4, 6]
    assert elsewhere.is_deleted()


def test_donating_an_array_that_is_used_twice(make: Maker) -> None:
    both = make.plan(ADD_IN_PLACE, 2, [(3,)], single=True, donate=(0, 1))
    one = make.plan(ADD_IN_PLACE, 2, [(3,)], single=True, donate=(0,))
    x = make.put([1, 2, 3])
    with pytest.raises(ValueError, match="donated twice"):
        both.execute([x, x])
    with pytest.raises(ValueError, match="another argument"):
        one.execute([x, x])
    assert not x.is_deleted()
    scalars = program(
        "%0 = stablehlo.add %a0, %a1 : tensor<f32>\n%0",
        ["f32", "f32"],
        ["f32"],
        {0: "tf.aliasing_output = 0 : i32"},
    )
    plan = make.plan(scalars, 2, [()], single=True, donate=(0, 1))
    a, b = make.put(1.0), make.put(1.0)  # two arrays, perhaps with one buffer
    assert float(plan.execute([a, b])) == 2.0
    assert a.is_deleted() and b.is_deleted()


def test_donating_unused_and_forwarded_leaves(make: Maker) -> None:
    plan = make.plan(DOUBLE, 3, [(3,), (3,)], kept=(0,), donate=(1, 2), forward=(-1, 1))
    x, forwarded, unused = make.put([1, 2, 3]), make.put([4, 5, 6]), make.put([7, 8, 9])
    doubled, out = plan.execute([x, forwarded, unused])
    assert np.asarray(doubled).tolist() == [2, 4, 6]
    assert np.asarray(out).tolist() == [4, 5, 6] and out is not forwarded
    assert forwarded.is_deleted() and unused.is_deleted() and not x.is_deleted()


def test_failure_leaves_donated_arrays_as_they_are(make: Maker) -> None:
    plan = make.plan(ADD_IN_PLACE, 2, [(3,)], single=True, donate=(0,))
    x, wrong = make.put([1, 2, 3]), make.put([1, 2, 3, 4])
    with pytest.raises(Exception, match=r"."):
        plan.execute([x, wrong])
    assert not wrong.is_deleted()
    if not x.is_deleted():
        assert np.asarray(x).tolist() == [1, 2, 3]


def test_large_donations(make: Maker) -> None:
    count = 200
    marks = {i: f"tf.aliasing_output = {i} : i32" for i in range(count)}
    lines = "\n".join(f"%r{i} = stablehlo.add %a{i}, %a{i} : tensor<f32>" for i in range(count))
    text = program(
        lines + "\n" + ", ".join(f"%r{i}" for i in range(count)), ["f32"] * count, ["f32"] * count, marks
    )
    plan = make.plan(text, count, [()] * count, donate=range(count))
    leaves = [make.put(float(i)) for i in range(count)]
    outs = plan.execute(leaves)
    assert [float(v) for v in outs] == [2.0 * i for i in range(count)]
    assert all(leaf.is_deleted() for leaf in leaves)
    leaves = [make.put(float(i)) for i in range(count - 1)]
    with pytest.raises(ValueError, match="donated twice"):
        plan.execute([*leaves, leaves[17]])


@pytest.fixture(scope="module")
def spmd(client: Any) -> Any:
    text = """module attributes {mhlo.num_partitions = 2 : i32} {
      func.func @main(%a: tensor<4xf32> {mhlo.sharding = "{devices=[2]<=[2]}"})
          -> (tensor<4xf32> {mhlo.sharding = "{devices=[2]<=[2]}"}) {
        %0 = stablehlo.add %a, %a : tensor<4xf32>
        return %0 : tensor<4xf32> } }"""
    return client.compile(text, encode_options(2, (0, 1)))


def test_sharded_execution_and_refusal(make: Maker, spmd: Any) -> None:
    devices = make.client.devices[:2]
    plan = nt.CallPlan(
        spmd,
        num_leaves=1,
        out_avals=[((4,), F32, False)],
        single=True,
        out_shardings=(Sharding("x"),),
        device=devices,
    )
    refused: list[Any] = []

    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        if args[0].sharding.name != "x" or call.cache_len() > 0:
            refused.append(args)
        return "missed", plan if not call.cache_len() else None

    call = nt.CompiledCall(None, miss, not_traced)
    x = sharded(make, "x", [[1.0, 2.0], [3.0, 4.0]])
    assert call(x) == "missed"
    out = call(x)
    assert out.sharding == Sharding("x") and out.committed
    assert [np.asarray(s).tolist() for s in out.addressable_shards_data] == [[2.0, 4.0], [6.0, 8.0]]
    swapped = nt.array_from_shards(
        (4,),
        F32,
        False,
        Sharding("x", (devices[1], devices[0])),
        [make.put([1.0, 2.0], 1), make.put([3.0, 4.0], 0)],
    )
    assert call(swapped) == "missed" and len(refused) == 1
    assert call.cache_len() == 1
    for bad in (make.put([1, 2, 3, 4]), np.ones(4, np.float32), swapped):
        with pytest.raises(ValueError, match="sharded"):
            plan.execute([bad])


def test_refusal_may_replace_the_plan(make: Maker) -> None:
    wrong = make.plan(DOUBLE, 1, [(3,)], single=True, device=make.device)
    right = nt.CallPlan(
        make.client.compile(DOUBLE, encode_options(1, (1,))),
        num_leaves=1,
        out_avals=[((3,), F32, False)],
        single=True,
        device=make.client.devices[1],
    )
    plans = iter([wrong, right])
    call = nt.CompiledCall(None, lambda *_: ("missed", next(plans)), not_traced)
    x = make.put([1, 2, 3], 1, committed=True)
    assert call(x) == "missed" and call(x) == "missed"
    assert np.asarray(call(x)).tolist() == [2, 4, 6]
    assert call.cache_len() == 1

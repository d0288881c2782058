"""Arrays made of parts for each of four devices, and grids of devices."""

from __future__ import annotations

from typing import Any

import numpy as np

import anima
import anima.numpy
from anima import jit
from anima.experimental import mesh_utils
from anima.sharding import NamedSharding, P
from tests.parallel.several import Checks
from tests.parallel.support import equal, raises, square

checks = Checks(__name__)
X = np.arange(12, dtype=np.float32).reshape(4, 3)


def where(*spec: Any) -> NamedSharding:
    return NamedSharding(square(), P(*spec))


@checks
def from_a_callback() -> None:
    asked = []
    out = anima.make_array_from_callback((4, 3), where("x"), lambda index: (asked.append(index), X[index])[1])
    equal(out, X)
    assert out.sharding == where("x") and out.committed and out.dtype == np.float32
    rows, columns = slice(0, 2), slice(None)
    assert sorted(asked, key=str) == [(rows, columns)] * 2 + [(slice(2, 4), columns)] * 2
    equal(anima.make_array_from_callback((), where(), lambda index: 3), 3)
    device = anima.sharding.SingleDeviceSharding(anima.devices()[2])
    assert anima.make_array_from_callback((4, 3), device, lambda index: X[index]).devices() == {
        anima.devices()[2]
    }
    half = anima.numpy.asarray(X, anima.numpy.bfloat16)
    assert (
        anima.make_array_from_callback((4, 3), where(), lambda index: half, anima.numpy.bfloat16).dtype
        == half.dtype
    )
    equal(jit(lambda x: x * 2)(out), 2 * X)
    with raises(ValueError, "(4, 3)", "(2, 3)"):
        anima.make_array_from_callback((4, 3), where("x"), lambda index: X)
    with raises(ValueError, "dtype float32", "int32"):
        anima.make_array_from_callback((4, 3), where("x"), lambda index: X[index], np.int32)
    with raises(ValueError, "not divisible"):
        anima.make_array_from_callback((3, 3), where("x"), lambda index: X)
    with raises(TypeError, "sharding"):
        anima.make_array_from_callback((4, 3), P("x"), lambda index: X)  # type: ignore[arg-type]


@checks
def shards() -> None:
    x = anima.device_put(X, where("x"))
    devices = square().flat_devices
    parts = x.addressable_shards
    assert [s.device for s in parts] == list(devices) and [s.replica_id for s in parts] == [0, 1, 0, 1]
    rows = [slice(0, 2), slice(0, 2), slice(2, 4), slice(2, 4)]
    assert [s.index for s in parts] == [(r, slice(None)) for r in rows]
    for s, r in zip(parts, rows):
        equal(s.data, X[r])
        assert s.data.devices() == {s.device} and s.data.committed
    assert [repr(s) for s in x.global_shards] == [repr(s) for s in parts]
    equal(x.addressable_data(3), X[2:])
    equal(x.addressable_data(-4), X[:2])
    assert not x.is_fully_replicated and anima.device_put(X, where()).is_fully_replicated
    with raises(IndexError, "index 4", "4 shards"):
        x.addressable_data(4)
    empty = anima.Shard(devices[1], x.sharding, (4, 3))
    assert (empty.data, empty.index, empty.replica_id) == (None, (rows[0], slice(None)), 1)
    for s in anima.numpy.float32(3).addressable_shards:
        assert s.index == () and float(s.data) == 3
    x.delete()
    with raises(RuntimeError, "deleted"):
        x.addressable_shards


@checks
def arrays_of_keys() -> None:
    keys = anima.random.split(anima.random.key(0), 8).reshape(4, 2)
    words = np.asarray(anima.random.key_data(keys))
    read = lambda keys: np.asarray(anima.random.key_data(keys))
    cut = anima.device_put(keys, where("x", "y"))
    assert cut.sharding == where("x", "y") and cut.addressable_shards[0].data.shape == (2, 1)
    equal(read(cut), words)
    equal(read(cut.addressable_shards[3].data), words[2:, 1:])
    for there in (where("y"), where(), anima.sharding.SingleDeviceSharding(anima.devices()[2])):
        moved = anima.device_put(cut, there)
        assert moved.sharding == there and moved.dtype == keys.dtype
        equal(read(moved), words)
    draw = anima.vmap(anima.vmap(anima.random.bits))
    equal(jit(draw, in_shardings=where("x"))(keys), draw(keys))
    one = anima.make_mesh((1,), ("z",), devices=anima.devices()[1:2])
    assert str(words) in repr(anima.device_put(keys, NamedSharding(one, P("z")))[:, :])
    assert str(words) in repr(anima.device_put(keys, NamedSharding(one, P("z"))))


@checks
def guarded_transfers() -> None:
    first, second = anima.devices()[:2]
    x = anima.numpy.asarray(X)
    laid_out = anima.device_put(X, where("x"))
    moving = {
        "to another device": lambda: jit(
            lambda x: x + x, in_shardings=anima.sharding.SingleDeviceSharding(second)
        )(x),
        "to several": lambda: jit(lambda x: x + x, in_shardings=where("x"))(x),
    }
    asked_for = {
        "to another device": lambda: anima.device_put(x, second),
        "to several": lambda: anima.device_put(x, where("x")),
        "to another layout": lambda: anima.device_put(laid_out, where(("x", "y"))),
        "to one": lambda: anima.device_put(laid_out, first),
    }
    guard = anima.transfer_guard_device_to_device
    for call in moving.values():
        for level in ("disallow", "disallow_explicit"):
            with raises(RuntimeError, "Disallowed device-to-device transfer: float32[4, 3]"), guard(level):
                call()
        call()
    for call in asked_for.values():
        with guard("disallow"):
            call()
        with (
            raises(RuntimeError, "Disallowed device-to-device transfer: float32[4, 3]"),
            guard("disallow_explicit"),
        ):
            call()
    with anima.transfer_guard("disallow_explicit"):
        jit(lambda x: x * x)(laid_out)
        anima.device_put(x, first)
        np.asarray(laid_out)
    with (
        raises(RuntimeError, "Disallowed host-to-device transfer: float32[4, 3]"),
        anima.transfer_guard("disallow"),
    ):
        jit(lambda x: x + x, in_shardings=where("x"))(X)


@checks
def from_single_device_arrays() -> None:
    make = anima.make_array_from_single_device_arrays
    devices = square().flat_devices
    parts = [anima.device_put(X[:2] if i < 2 else X[2:], d) for i, d in enumerate(devices)]
    for given in (parts, parts[::-1]):
        out = make((4, 3), where("x"), given)
        equal(out, X)
        assert out.addressable_shards_data[0].unsafe_buffer_pointer() == parts[0].unsafe_buffer_pointer()
    with raises(ValueError, "one array on each", "got 2"):
        make((4, 3), where("x"), parts[:2])
    with raises(ValueError, "(4, 3)", "(2, 3)"):
        make((4, 3), where("x"), [anima.device_put(X, d) for d in devices])
    with raises(TypeError, "arrays[0]", "ndarray", "device_put"):
        make((4, 3), where("x"), [X[:2]] * 4)
    with raises(ValueError, "arrays[0] lies on 4 devices"):
        make((4, 3), where("x"), [out] * 4)


@checks
def from_what_the_process_has() -> None:
    make = anima.make_array_from_process_local_data
    equal(make(where("x"), X), X)
    equal(make(where("x", None), X, (4, 3)), X)
    equal(make(where(("x", "y")), anima.numpy.asarray(X)), X)
    tree = make({"a": where("x"), "b": where()}, {"a": X, "b": X[:1]}, {"a": (4, 3), "b": (1, 3)})
    equal(tree["a"], X)
    equal(tree["b"], X[:1])
    assert tree["a"].sharding == where("x")
    with raises(ValueError, "(8, 3)", "(4, 3)"):
        make(where("x"), X, (8, 3))


@checks
def laid_out_anew() -> None:
    with anima.set_mesh(square()):
        out = anima.reshard({"a": X}, P("y"))["a"]
        assert out.sharding == where("y")
    inside = jit(lambda x: anima.reshard(x * 2, where("x")))(X)
    equal(inside, 2 * X)
    with raises(ValueError, "set_mesh"):
        anima.reshard(X, P("x"))
    with raises(TypeError, "reshard", "3"):
        anima.reshard(X, 3)


@checks
def grids() -> None:
    devices = anima.devices()
    assert mesh_utils.create_device_mesh((2, 2)).tolist() == [devices[:2], devices[2:]]
    assert mesh_utils.create_device_mesh([4], devices[::-1]).tolist() == devices[::-1]
    with raises(ValueError, "(2, 3)", "6", "4"):
        mesh_utils.create_device_mesh((2, 3))
    assert mesh_utils.create_hybrid_device_mesh((2, 2), (1, 1)).tolist() == [devices[:2], devices[2:]]

    class Sliced:
        def __init__(self, number: int) -> None:
            self.slice_index, self.process_index = 1 - number // 4, 0

    eight = [Sliced(i) for i in range(8)]
    grid = mesh_utils.create_hybrid_device_mesh((2, 2), (2, 1), eight)
    assert grid.tolist() == [
        [eight[4], eight[5]],
        [eight[6], eight[7]],
        [eight[0], eight[1]],
        [eight[2], eight[3]],
    ]
    grid = mesh_utils.create_hybrid_device_mesh((2, 2), (1, 2), eight, should_sort_granules_by_key=False)
    assert grid[0].tolist() == [eight[0], eight[1], eight[4], eight[5]]
    with raises(ValueError, "as many dimensions"):
        mesh_utils.create_hybrid_device_mesh((4,), (1, 1))
    with raises(ValueError, "2 groups", "there are 1"):
        mesh_utils.create_hybrid_device_mesh((2, 1), (2, 1))


test_on_four_devices = checks.test()

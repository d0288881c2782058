"""Shardings: what each device holds, and when two say the same."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import anima
from anima.errors import ShardingError
from anima.sharding import (
    AbstractMesh,
    GSPMDSharding,
    Mesh,
    NamedSharding,
    P,
    Sharding,
    SingleDeviceSharding,
    make_single_device_sharding,
)
from anima.sharding.hlo import maximal
from tests.sharding.devices import grid

GRID = grid(4, 2)
MESH = Mesh(GRID, ("x", "y"))


def named(*spec: Any, mesh: Any = MESH) -> NamedSharding:
    return NamedSharding(mesh, P(*spec))


def gspmd(*spec: Any, ndim: int = 2) -> GSPMDSharding:
    return GSPMDSharding(MESH.flat_devices, named(*spec).hlo(ndim))


SPECS = [
    (),
    ("x",),
    ("y",),
    (None, "x"),
    ("x", "y"),
    ("y", "x"),
    (("x", "y"),),
    (("y", "x"),),
    (None, ("y", "x")),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_parts_cover_the_array_as_the_grid_says(spec: Any) -> None:
    """Against the parts made axis by axis, by splitting an array of positions."""
    sharding = named(*spec)
    array = np.arange(16 * 8).reshape(16, 8)
    indices = sharding.devices_indices_map(array.shape)
    assert list(indices) == list(MESH.flat_devices)
    for (x, y), device in np.ndenumerate(GRID):
        part, place = array, {"x": x, "y": y}
        for dim, entry in enumerate(spec):
            axes = (entry,) if isinstance(entry, str) else entry or ()
            for axis in axes:
                part = np.split(part, MESH.shape[axis], dim)[place[axis]]
        assert np.array_equal(array[indices[device]], part)
        assert part.shape == sharding.shard_shape(array.shape)
    other = gspmd(*spec)
    assert other.devices_indices_map(array.shape) == indices
    assert other.is_equivalent_to(sharding, 2)
    assert sharding.is_equivalent_to(other, 2)
    assert other.to_named(MESH) == sharding
    assert other.is_fully_replicated == sharding.is_fully_replicated == (spec == ())


def test_unsplit_dimensions_have_full_slices() -> None:
    indices = named("y").devices_indices_map((8, 3))
    assert indices[GRID[0, 0]] == (slice(0, 4), slice(None))
    assert indices[GRID[2, 1]] == (slice(4, 8), slice(None))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (8,)])
def test_odd_shapes(shape: Any) -> None:
    assert named("x").shard_shape(shape) == (shape[0] // 4, *shape[1:])


def test_shapes_that_do_not_divide() -> None:
    message = r"axis 1 of an array of shape \(8, 6\) has size 6, which is not divisible by 4.*P\(None, 'x'\)"
    with pytest.raises(ShardingError, match=message):
        named(None, "x").shard_shape((8, 6))
    with pytest.raises(ShardingError, match=r"at least 2 dimensions.*the array has 1"):
        named(None, "x").shard_shape((8,))
    with pytest.raises(ShardingError, match="arrays of 2 dimensions; the array has 1"):
        gspmd("x").shard_shape((8,))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (P("z"), r"'z' of the spec P\('z',\) is not one of the mesh's axes: \('x', 'y'\)"),
        (P("x", "x"), "'x' twice"),
    ],
)
def test_specs_that_do_not_fit_the_mesh(spec: P, message: str) -> None:
    with pytest.raises(ShardingError, match=message):
        NamedSharding(MESH, spec)


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="spec must be a PartitionSpec"):
        NamedSharding(MESH, "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="mesh must be a Mesh"):
        NamedSharding(GRID, P("x"))
    with pytest.raises(TypeError, match="needs a device"):
        SingleDeviceSharding("cpu")
    with pytest.raises(ValueError, match="memory_kind 'pinned_host' is not available"):
        NamedSharding(MESH, P(), memory_kind="pinned_host")
    with pytest.raises(ShardingError, match="is for 8 devices, not for 2"):
        GSPMDSharding(GRID.flat[:2], named("x").hlo(2))


def test_devices() -> None:
    sharding = named("x")
    assert sharding.device_set == set(GRID.flat)
    assert sharding.num_devices == 8
    assert sharding.is_fully_addressable
    assert sharding.has_addressable_devices
    assert sharding.memory_kind == "device"
    assert sharding.with_memory_kind("device") is sharding
    assert sharding.replicated_axes == {"y"}


def test_devices_of_another_process() -> None:
    far = NamedSharding(Mesh(grid(4, 2, processes=2), ("x", "y")), P("x"))
    assert {device.id for device in far.addressable_devices} == {0, 1, 2, 3}
    assert not far.is_fully_addressable
    assert [device.id for device in far.addressable_devices_indices_map((4,))] == [0, 1, 2, 3]


def test_equality_and_equivalence() -> None:
    assert named("x") == named("x")
    assert hash(named("x")) == hash(named("x"))
    assert named("x") != named("x", None)
    assert named("x").is_equivalent_to(named("x", None), 2)
    assert not named("x").is_equivalent_to(named("x", "y"), 2)
    assert gspmd("x") == gspmd("x")
    assert gspmd("x") != gspmd("y")
    assert named("x") != gspmd("x")
    turned = NamedSharding(Mesh(GRID[:, ::-1], ("x", "y")), P("x"))
    assert turned != named("x")
    assert turned.is_equivalent_to(named("x"), 2)
    assert not NamedSharding(Mesh(GRID[::-1], ("x", "y")), P("x")).is_equivalent_to(named("x"), 2)


def test_a_single_device() -> None:
    device = GRID[0, 0]
    single = SingleDeviceSharding(device)
    assert single == SingleDeviceSharding(device) == make_single_device_sharding(device)
    assert make_single_device_sharding(device) is make_single_device_sharding(device)
    assert hash(single) == hash(SingleDeviceSharding(device))
    assert single != SingleDeviceSharding(GRID[0, 1])
    assert single.is_fully_replicated
    assert single.shard_shape((3, 4)) == (3, 4)
    assert single.devices_indices_map((3, 4)) == {device: (slice(None), slice(None))}
    assert single.devices_indices_map(()) == {device: ()}
    tiny = Mesh(GRID[:1, :1], ("x", "y"))
    assert NamedSharding(tiny, P("x")).is_equivalent_to(single, 2)
    assert NamedSharding(tiny, P("x")).is_fully_replicated
    assert not named().is_equivalent_to(single, 2)
    assert repr(single) == "SingleDeviceSharding(device=Device(id=0), memory_kind=device)"


def test_without_devices() -> None:
    abstract = named("x", mesh=AbstractMesh((4, 2), ("x", "y")))
    assert abstract.shard_shape((8, 3)) == (2, 3)
    assert not abstract.is_fully_replicated
    assert (
        repr(abstract)
        == "NamedSharding(mesh=AbstractMesh('x': 4, 'y': 2, axis_types=(Auto, Auto)), spec=P('x',))"
    )
    with pytest.raises(ShardingError, match="has no devices"):
        abstract.device_set
    assert pickle.loads(pickle.dumps(abstract)) == abstract
    assert abstract.update(mesh=MESH) == named("x")
    assert abstract.update(spec=P("y")).spec == P("y")


def test_copies_and_pickles() -> None:
    for value in (MESH, named("x"), gspmd("x"), SingleDeviceSharding(GRID[0, 0])):
        assert copy.deepcopy(value) is value
    with pytest.raises(TypeError, match="pickle its abstract_mesh"):
        pickle.dumps(named("x"))


def test_over_devices_in_another_order() -> None:
    order = [*reversed(MESH.flat_devices)]
    sharding = named("x", "y")
    turned = GSPMDSharding(order, sharding.hlo_over(2, order))
    assert turned.is_equivalent_to(sharding, 2)
    assert turned.to_named(MESH) == sharding
    assert sharding.hlo_over(2, MESH.flat_devices) is sharding.hlo(2)
    with pytest.raises(ShardingError, match="not those of the program"):
        sharding.hlo_over(2, grid(8))


def test_to_named_where_no_spec_says_it() -> None:
    assert GSPMDSharding(grid(8), named("x").hlo(2)).to_named(MESH) is None
    flat = Mesh(GRID.reshape(8), "z")
    assert gspmd("x").to_named(flat) is None
    assert gspmd().to_named(flat) == NamedSharding(flat, P())
    assert GSPMDSharding(MESH.flat_devices, maximal(0)).to_named(MESH) is None
    assert not GSPMDSharding(MESH.flat_devices, maximal(0)).is_fully_replicated
    assert GSPMDSharding.replicated(MESH.flat_devices).is_equivalent_to(named(), 3)


def test_sharding_is_the_base_class() -> None:
    assert all(isinstance(s, Sharding) for s in (named(), gspmd(), SingleDeviceSharding(GRID[0, 0])))
    with pytest.raises(TypeError):
        Sharding()  # type: ignore[abstract]


def test_types_say_that_nothing_is_sharded_by_type() -> None:
    x = anima.numpy.ones((2, 3))
    sharding = anima.typeof(x).sharding
    assert sharding == NamedSharding(AbstractMesh((), ()), P(None, None))
    assert sharding.is_fully_replicated and sharding.mesh.empty
    assert not (sharding.mesh.are_all_axes_explicit or sharding.mesh.are_all_axes_auto)
    assert anima.typeof(x) == anima.typeof(x).update(shape=(2, 3))
    assert anima.typeof(3).sharding.spec == P()


def test_what_a_type_says_can_be_asked_for() -> None:
    x = anima.numpy.ones((2, 3))
    same = anima.typeof(x).sharding
    drawn = anima.random.normal(anima.random.key(0), (2, 3), out_sharding=same)
    assert drawn.sharding == x.sharding
    assert anima.numpy.zeros((2, 3), out_sharding=same).sharding == x.sharding
    with pytest.raises(ValueError, match="needs a mesh with explicit axes"):
        anima.numpy.zeros((2, 3), out_sharding=named("x"))

"""Meshes, and the current one."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from anima import _native
from anima.sharding import (
    AbstractMesh,
    AxisType,
    Mesh,
    get_abstract_mesh,
    get_mesh,
    make_mesh,
    set_mesh,
    use_abstract_mesh,
)
from tests.sharding.devices import grid, mesh


def test_what_a_mesh_knows() -> None:
    devices = grid(4, 2)
    made = Mesh(devices, ("x", "y"))
    assert made.shape == {"x": 4, "y": 2}
    assert made.shape_tuple == (("x", 4), ("y", 2))
    assert (made.size, made.axis_sizes, made.axis_names) == (8, (4, 2), ("x", "y"))
    assert made.flat_devices == tuple(devices.flat)
    assert made.device_ids.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert made.auto_axes == ("x", "y")
    assert made.are_all_axes_auto
    assert not made.empty
    assert repr(made) == "Mesh('x': 4, 'y': 2, axis_types=(Auto, Auto))"
    with pytest.raises(ValueError, match="read-only"):
        made.devices[0, 0] = None


def test_axis_types() -> None:
    made = mesh((2, 2), ("x", "y"), axis_types=(AxisType.Explicit, AxisType.Manual))
    assert (made.auto_axes, made.explicit_axes, made.manual_axes) == ((), ("x",), ("y",))
    assert not made.are_all_axes_explicit
    assert mesh((2,), "x", axis_types=AxisType.Manual).are_all_axes_manual
    assert made.update(axis_types=AxisType.Explicit).are_all_axes_explicit
    assert made.abstract_mesh.update_axis_types({"x": AxisType.Manual}).are_all_axes_manual


def test_equality() -> None:
    devices = grid(4, 2)
    made = Mesh(devices, ("x", "y"))
    assert made == Mesh(devices.tolist(), ["x", "y"])
    assert hash(made) == hash(Mesh(devices, ("x", "y")))
    assert made != Mesh(devices, ("y", "x"))
    assert made != Mesh(devices[::-1], ("x", "y"))
    assert made != made.update(axis_types=AxisType.Explicit)
    assert made != made.abstract_mesh
    assert made.abstract_mesh == AbstractMesh((4, 2), ("x", "y")) == mesh((4, 2), ("x", "y")).abstract_mesh
    assert made.update(axis_names=("a", "b")).axis_names == ("a", "b")


@pytest.mark.parametrize(
    ("shape", "names", "types", "message"),
    [
        ((4, 2), ("x",), None, r"one axis name for each dimension.*\(4, 2\)"),
        ((4,), ("x", "y"), None, "one axis name for each dimension"),
        ((4, 2), ("x", "x"), None, "different from each other"),
        ((4, 2), ("x", None), None, "not None"),
        ((4, 2), ("x", "y"), (AxisType.Auto,), "axis_types"),
        ((4, 2), ("x", "y"), ("auto", "auto"), "axis_types"),
    ],
)
def test_what_does_not_belong_together(shape: object, names: object, types: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"Mesh: .*{message}"):
        Mesh(grid(*shape), names, types)  # type: ignore[misc, arg-type]
    with pytest.raises(ValueError, match=f"AbstractMesh: .*{message}"):
        AbstractMesh(shape, names, types)  # type: ignore[arg-type]


def test_a_device_stands_in_one_place() -> None:
    [device] = grid(1)
    with pytest.raises(ValueError, match="one place only"):
        Mesh([device, device], "x")


def test_an_abstract_mesh_has_no_devices() -> None:
    abstract = AbstractMesh((4, 2), ("x", "y"))
    assert (abstract.size, abstract.shape) == (8, {"x": 4, "y": 2})
    assert abstract.abstract_mesh is abstract
    assert abstract.update(axis_sizes=(2, 4)).shape_tuple == (("x", 2), ("y", 4))
    with pytest.raises(ValueError, match="has no devices"):
        abstract.devices


def test_several_processes() -> None:
    made = Mesh(grid(4, 2, processes=2), ("x", "y"))
    assert made.is_multi_process
    assert [device.id for device in made.local_devices] == [0, 1, 2, 3]
    assert made.local_mesh.device_ids.tolist() == [[0, 1], [2, 3]]
    assert not made.local_mesh.is_multi_process
    assert made.local_mesh.local_mesh == made.local_mesh
    a, b, c, d = grid(4, processes=2)
    diagonal = np.array([[a, c], [d, b]])
    with pytest.raises(ValueError, match="do not form a block"):
        Mesh(diagonal, ("x", "y")).local_mesh


def test_make_mesh() -> None:
    devices = list(grid(8))
    made = make_mesh((3, 2), ("x", "y"), devices=devices)
    assert made.device_ids.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert make_mesh((8,), "x", AxisType.Explicit, devices=devices).explicit_axes == ("x",)
    with pytest.raises(ValueError, match=r"shape \(16,\) needs 16 devices, there are 8"):
        make_mesh((16,), "x", devices=devices)


def test_the_current_mesh() -> None:
    outer, inner = mesh((2,), "x"), mesh((2, 2), ("a", "b"))
    assert get_mesh().empty
    assert get_mesh().size == 0
    with outer as entered:
        assert entered is outer
        key = _native.options_key()
        with inner, inner:
            assert get_mesh() is inner
            assert get_abstract_mesh() == inner.abstract_mesh
            assert _native.options_key() != key
        assert get_mesh() is outer
        assert _native.options_key() == key
        with use_abstract_mesh(AbstractMesh((8,), ("z",))):
            assert get_mesh() is outer
            assert get_abstract_mesh().axis_names == ("z",)
    assert get_mesh().empty
    assert get_abstract_mesh().empty


def test_set_mesh() -> None:
    made = mesh((2,), "x")
    with set_mesh(made) as current:
        assert current is made
        assert get_mesh() is made
    assert get_mesh().empty
    setting = set_mesh(made)
    assert get_mesh() is made
    setting.__exit__(None, None, None)
    assert get_mesh().empty
    with pytest.raises(TypeError, match="use_abstract_mesh"):
        set_mesh(made.abstract_mesh)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs an AbstractMesh"):
        use_abstract_mesh(made)  # type: ignore[arg-type]


def test_the_current_mesh_belongs_to_the_thread() -> None:
    seen = []
    with mesh((2,), "x"):
        thread = threading.Thread(target=lambda: seen.append(get_mesh().empty))
        thread.start()
        thread.join()
    assert seen == [True]


def test_an_empty_mesh_of_no_axes() -> None:
    made = Mesh(np.empty((), dtype=object), ())
    assert made.empty
    assert made.flat_devices == ()

"""Registering targets and types: what is taken, what is refused, and when the plugin gets it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima.ffi import pycapsule, register_ffi_target, register_ffi_type

pytestmark = pytest.mark.cpu


def test_names_and_options_are_checked(library: Any) -> None:
    scale = pycapsule(library.Scale)
    for name, error in ((3, TypeError), ("", ValueError), ("a\0b", ValueError), ("anima_sort", ValueError)):
        with pytest.raises(error, match="register_ffi_target: name"):
            register_ffi_target(name, scale)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no option 'traits'"):
        register_ffi_target("test_options", scale, traits=1)
    with pytest.raises(ValueError, match="api_version must be 1"):
        register_ffi_target("test_options", scale, api_version=0)
    with pytest.raises(TypeError, match="platform must be a name"):
        register_ffi_target("test_options", scale, platform=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (3, TypeError, "must be a capsule"),
        ({"execute": 3}, TypeError, "stage 'execute' must be a capsule"),
        ({}, ValueError, "needs 'execute'"),
        ({3: 4}, TypeError, "name of a stage must be a str"),
    ],
    ids=["number", "stage", "empty", "key"],
)
def test_what_is_no_function(fn: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        register_ffi_target("test_no_function", fn)


def test_capsules_of_data_are_no_functions(library: Any) -> None:
    data = ctypes.create_string_buffer(8)
    with pytest.raises(ValueError, match="holds no function"):
        register_ffi_target("test_data", pycapsule(ctypes.addressof(data)))
    with pytest.raises(ValueError, match="unknown stage 'excute'"):
        register_ffi_target("test_stage", {"excute": pycapsule(library.Scale)})


def test_a_name_stands_for_one_function(library: Any) -> None:
    register_ffi_target("test_once", pycapsule(library.Scale))
    register_ffi_target("test_once", pycapsule(library.Scale))
    with pytest.raises(ValueError, match=r"'test_once' is registered for cpu already.*another name"):
        register_ffi_target("test_once", pycapsule(library.Add))
    register_ffi_target(
        "test_once", pycapsule(library.Add), platform="CUDA"
    )  # another platform is another matter


def test_states_are_made_once_and_deleted(library: Any) -> None:
    library.StateType.restype = library.StateInfo.restype = ctypes.c_void_p
    number = ctypes.cast(library.StateType(), ctypes.POINTER(ctypes.c_int64))
    register_ffi_type(
        "test_state", {"type_id": pycapsule(number), "type_info": pycapsule(library.StateInfo())}
    )
    anima.devices()
    assert number.contents.value > 0
    stages = {"instantiate": pycapsule(library.MakeState), "execute": pycapsule(library.AddState)}
    register_ffi_target("test_stages", stages)
    call = anima.ffi.ffi_call("test_stages", anima.ShapeDtypeStruct((2,), np.float32))
    f = anima.jit(lambda x: call(x, start=onp.float32(0.25)))
    before = library.StatesMade()
    for i in range(3):
        assert f(onp.full(2, i, onp.float32)).tolist() == [i + 0.25] * 2
    assert library.StatesMade() > before
    kept = library.StatesMade() - library.StatesDeleted()
    assert 0 < kept <= library.StatesMade()


def test_types_are_checked(library: Any) -> None:
    library.StateType.restype = ctypes.c_void_p
    good = pycapsule(library.StateType())
    for registration, error, message in (
        (3, TypeError, "must be a dict"),
        ({"type_info": good}, ValueError, "has the entries 'type_id'"),
        ({"type_id": good, "other": good}, ValueError, "has the entries 'type_id'"),
        ({"type_id": 3}, TypeError, "'type_id' must be a capsule"),
        ({"type_id": pycapsule(8)}, ValueError, "'type_id' holds no address of data"),
        ({"type_id": pycapsule(library.Scale)}, ValueError, "'type_id' holds no address of data"),
        ({"type_id": good, "type_info": good}, ValueError, "'type_info' says that it has"),
    ):
        with pytest.raises(error, match=message):
            register_ffi_type("test_types", registration)  # type: ignore[arg-type]


def test_capsules() -> None:
    for wrong in ("x y", b"x", 1.5, None):
        with pytest.raises((TypeError, ValueError), match="funcptr"):
            pycapsule(wrong)
    with pytest.raises(ValueError, match="the address 0"):
        pycapsule(0)


def test_targets_may_be_registered_before_the_device_starts(
    library: Any, run_python: Callable[..., Any]
) -> None:
    program = """
import ctypes, sys, anima
from anima.runtime import devices
library = ctypes.CDLL(sys.argv[1])
anima.ffi.register_ffi_target("scale", anima.ffi.pycapsule(library.Scale))
anima.config.update("jax_num_cpu_devices", 2)
f = anima.ffi.ffi_call("scale", anima.ShapeDtypeStruct((2,), "float32"))
print(f(anima.numpy.ones(2)), anima.device_count())
"""
    done = run_python(program, library._name)
    assert done.stdout.split() == ["[2.", "2.]", "2"]


def test_programs_with_targets_come_from_disk(
    library: Any, run_python: Callable[..., Any], tmp_path: Any
) -> None:
    program = """
import ctypes, sys, anima
from anima.runtime.compiler import compile_stats
library = ctypes.CDLL(sys.argv[1])
if len(sys.argv) > 2:
    anima.ffi.register_ffi_target("scale", anima.ffi.pycapsule(library.Scale))
f = anima.jit(anima.ffi.ffi_call("scale", anima.ShapeDtypeStruct((2,), "float32")))
try:
    print(f(anima.numpy.ones(2)).tolist(), compile_stats().disk_hits > 0)
except anima.errors.JaxRuntimeError as error:
    print(error.__notes__[0][:11])
"""
    env = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    assert run_python(program, library._name, "x", env=env).stdout.startswith("[2.0, 2.0]")
    assert run_python(program, library._name, "x", env=env).stdout == "[2.0, 2.0] True\n"
    assert run_python(program, library._name, env=env).stdout == "Register it\n"


def test_programs_over_several_devices(library: Any, run_python: Callable[..., Any]) -> None:
    program = """
import ctypes, sys, anima, anima.numpy as np
from anima.sharding import NamedSharding, P
anima.config.update("jax_num_cpu_devices", 2)
library = ctypes.CDLL(sys.argv[1])
anima.ffi.register_ffi_target("scale", anima.ffi.pycapsule(library.Scale))
anima.ffi.register_ffi_target_as_batch_partitionable("scale")
mesh = anima.make_mesh((2,), ("i",))
x = anima.device_put(np.arange(4.0), NamedSharding(mesh, P("i")))
whole = anima.ffi.ffi_call("scale", anima.ShapeDtypeStruct((4,), "float32"))
print(anima.jit(whole)(x).tolist())
part = anima.ffi.ffi_call("scale", anima.ShapeDtypeStruct((2,), "float32"))
f = anima.shard_map(part, mesh=mesh, in_specs=P("i"), out_specs=P("i"), check_vma=False)
print(anima.jit(f)(x).tolist())
"""
    assert run_python(program, library._name).stdout.split("\n")[:2] == ["[0.0, 2.0, 4.0, 6.0]"] * 2

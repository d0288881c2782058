"""Checks of the rows of `docs/differences.md` about foreign and exported functions."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.export
import numpy
import pytest

import anima
import anima.export
import anima.ffi


def headers(run_python: Any, tmp_path: Any) -> None:
    assert os.path.exists(os.path.join(jax.ffi.include_dir(), "xla", "ffi", "api", "ffi.h"))
    assert os.path.exists(os.path.join(anima.ffi.include_dir(), "anima", "ffi.h"))


def targets(run_python: Any, tmp_path: Any) -> None:
    import ctypes

    function = ctypes.CDLL(None).abs
    jax.ffi.register_ffi_target("foreign_targets", jax.ffi.pycapsule(function), api_version=0)
    with pytest.raises(ValueError, match="api_version must be 1"):
        anima.ffi.register_ffi_target("foreign_targets", anima.ffi.pycapsule(function), api_version=0)


def partitions(run_python: Any, tmp_path: Any) -> None:
    program = """
import sys, importlib
library = importlib.import_module(sys.argv[1])
library.config.update("jax_num_cpu_devices", 2)
library.ffi.register_ffi_target_as_batch_partitionable("foreign")
mesh = library.make_mesh((2,), ("i",))
x = library.device_put(library.numpy.arange(4.0), library.sharding.NamedSharding(mesh, library.sharding.PartitionSpec("i")))
if sys.argv[1] == "anima":
    from anima import _native
    from anima.runtime.devices import client
    print(_native.register_batch_partitionable(client("cpu"), "foreign"))
"""
    run_python(program, "jax")
    assert run_python(program, "anima").stdout == "False\n"


def memory(run_python: Any, tmp_path: Any) -> None:
    def lowered(library: Any) -> str:
        call = library.ffi.ffi_call(
            "foreign_memory",
            library.ShapeDtypeStruct((3,), numpy.float32),
            vmap_method="expand_dims",
            input_output_aliases={1: 0},
        )
        mapped = library.vmap(call, in_axes=(0, None))
        return library.jit(mapped).lower(numpy.ones((2, 3), "f"), numpy.ones(3, "f")).as_text()

    with pytest.raises(ValueError, match="shapes mismatch"):
        lowered(jax)
    assert "output_operand_aliases" in lowered(anima)


def shapes(run_python: Any, tmp_path: Any) -> None:
    (size, three) = jax.export.symbolic_shape("b, 3")
    assert jax.export.is_symbolic_dim(size) and three == 3
    with pytest.raises(ValueError, match="Export once for each size"):
        anima.export.symbolic_shape("b, 3")
    for library in (jax, anima):
        assert library.export.symbolic_shape("2, _, ...", like=(2, 3, 4)) == (2, 3, 4)


def form(run_python: Any, tmp_path: Any) -> None:
    def module(library: Any) -> Any:
        return library.export.export(library.jit(library.numpy.sin), platforms=["cpu", "cuda"])(1.0)

    assert module(jax).mlir_module_serialized.startswith(b"ML")
    ours = module(anima)
    assert ours.mlir_module_serialized == ours.mlir_module().encode() and "module @cuda" in ours.mlir_module()
    assert ours.serialize().startswith(b"ANIMAEXP")


def several_devices(run_python: Any, tmp_path: Any) -> None:
    program = """
import sys, importlib
library = importlib.import_module(sys.argv[1])
importlib.import_module(sys.argv[1] + ".export")
library.config.update("jax_num_cpu_devices", 2)
sharding = library.sharding.NamedSharding(library.make_mesh((2,), ("i",)), library.sharding.PartitionSpec("i"))
x = library.device_put(library.numpy.arange(4.0), sharding)
try:
    print(library.export.export(library.jit(lambda x: 2 * x))(x).nr_devices)
except ValueError as error:
    print(error)
"""
    assert run_python(program, "jax").stdout == "2\n"
    assert "runs on several devices" in run_python(program, "anima").stdout


def factors(run_python: Any, tmp_path: Any) -> None:
    x = numpy.eye(3, dtype=numpy.float32)

    def exported(library: Any, name: str) -> str:
        linalg = library.lax.linalg
        f = {"solve": library.numpy.linalg.solve}.get(name) or getattr(linalg, name)
        jitted = library.jit(lambda x: f(x, x) if name == "solve" else f(x))
        return str(library.export.export(jitted, platforms=["cpu"])(x).mlir_module())

    for name in ("eigh", "svd", "eig", "schur", "hessenberg"):
        assert "lapack_" in exported(jax, name)
        with pytest.raises(NotImplementedError, match="cannot be exported"):
            exported(anima, name)
    for name in ("cholesky", "qr", "lu", "solve"):
        assert "custom_call" not in exported(anima, name)


FOREIGN_CHECKS = {
    "foreign-headers": headers,
    "foreign-targets": targets,
    "foreign-partitions": partitions,
    "foreign-memory": memory,
    "exported-shapes": shapes,
    "exported-form": form,
    "exported-devices": several_devices,
    "exported-factors": factors,
}

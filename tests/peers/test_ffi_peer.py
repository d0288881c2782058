"""Foreign functions: the same handlers and the same calls with both libraries, and names and signatures.

Invariant: handlers are compiled once and registered with both: some with our headers, some with XLA's.
"""

from __future__ import annotations

import ctypes
import inspect
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jax
import jax.ffi
import numpy
import pytest

import anima
import anima.ffi
from tests.foreign import SOURCE, TARGETS, compiler

pytestmark = pytest.mark.peers
LIBRARIES = (jax, anima)
X = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)


def built(source: Path, include: str, folder: Path, name: str) -> Any:
    found = compiler()
    if found is None:
        pytest.skip("there is no C++ compiler")
    path = folder / f"{name}.so"
    command = [found, "-std=c++17", "-fPIC", "-shared", f"-I{include}", str(source), "-o", str(path)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(path))


@pytest.fixture(scope="module", autouse=True)
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The libraries: with XLA's headers, and with ours, of which the first is registered with both and the second has states."""
    folder = tmp_path_factory.mktemp("ffi")
    ours = built(SOURCE, anima.ffi.include_dir(), folder, "ours")
    for name, symbol in TARGETS.items():
        for library in LIBRARIES:
            library.ffi.register_ffi_target(
                name.replace("test", "peer"), library.ffi.pycapsule(getattr(ours, symbol))
            )
    theirs = Path(__file__).with_name("xla_handlers.cc")
    current = built(theirs, jax.ffi.include_dir(), folder, "theirs")
    # The plugin's XLA is a version behind, and the interface of what is used here is the same.
    shutil.copytree(jax.ffi.include_dir(), folder / "older")
    header = folder / "older" / "xla" / "ffi" / "api" / "c_api.h"
    text = header.read_text()
    header.write_text(re.sub(r"(#define XLA_FFI_API_MINOR) \d+", r"\1 2", text))
    assert header.read_text() != text
    older = built(theirs, str(folder / "older"), folder, "theirs_older")
    jax.ffi.register_ffi_target("test_xla_scale", jax.ffi.pycapsule(current.XlaScale))
    anima.ffi.register_ffi_target("test_xla_scale", anima.ffi.pycapsule(older.XlaScale))
    states = {
        library.__name__: built(SOURCE, anima.ffi.include_dir(), folder, f"for_{library.__name__}")
        for library in LIBRARIES
    }
    return {"xla": current, **states}


def test_a_plugin_that_is_too_old_for_a_handler_says_so(handlers: Any) -> None:
    anima.devices()
    with pytest.raises(anima.errors.PluginError, match=r"test_too_new.*API version \(0.3\) is incompatible"):
        anima.ffi.register_ffi_target("test_too_new", anima.ffi.pycapsule(handlers["xla"].XlaScale))


def test_names_and_signatures() -> None:
    for name in dir(jax.ffi):
        if name.startswith("_"):
            continue
        ours, theirs = (inspect.signature(getattr(module, name)) for module in (anima.ffi, jax.ffi))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in theirs.parameters.values()
        ], name


def both(program: Any) -> None:
    ours, theirs = (jax.tree.map(numpy.asarray, program(library)) for library in (anima, jax))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all()


def test_handlers_of_both_headers_run_in_both() -> None:
    attributes = {"by": numpy.float32(1.5), "how": "exactly", "shift": numpy.array([1, -1])}
    for jitted in (False, True):

        def program(library: Any, jitted: bool = jitted) -> Any:
            def f(x: Any) -> Any:
                y = library.ffi.ffi_call("test_xla_scale", library.ShapeDtypeStruct((2, 3), "float32"))(
                    x, **attributes
                )
                return library.ffi.ffi_call("peer_scale", library.ShapeDtypeStruct((2, 3), "float32"))(y)

            return (library.jit(f) if jitted else f)(X)

        both(program)


@pytest.mark.parametrize(
    "method", ["sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized"]
)
def test_batches_are_alike(method: str) -> None:
    def program(library: Any) -> Any:
        call = library.ffi.ffi_call(
            "peer_shapes", library.ShapeDtypeStruct((4,), "float32"), vmap_method=method
        )
        return library.jit(library.vmap(call, in_axes=(1, None)))(
            numpy.zeros((3, 2), "f"), numpy.zeros(2, "f")
        )

    if method.startswith("sequential"):
        both(program)
    else:  # one call fills the first elements of its result alone, which are equal
        both(lambda library: program(library).reshape(-1)[:6])


def test_states_are_alike(handlers: Any) -> None:
    # Of a library of its own for each: a type has one number.
    def program(library: Any) -> Any:
        path = handlers[library.__name__]
        path.StateType.restype = path.StateInfo.restype = ctypes.c_void_p
        registration = {
            "type_id": library.ffi.pycapsule(path.StateType()),
            "type_info": library.ffi.pycapsule(path.StateInfo()),
        }
        library.ffi.register_ffi_type("peer_state", registration)
        stages = {
            "instantiate": library.ffi.pycapsule(path.MakeState),
            "execute": library.ffi.pycapsule(path.AddState),
        }
        library.ffi.register_ffi_target("peer_stages", stages)
        call = library.ffi.ffi_call("peer_stages", library.ShapeDtypeStruct((2, 3), "float32"))
        return library.jit(lambda x: call(x, start=numpy.float32(0.25)))(X)

    both(program)
    assert (numpy.asarray(program(anima)) == X + 0.25).all()


def test_layouts_and_memory_are_alike() -> None:
    struct = {"shape": (2, 3), "dtype": "float32"}
    both(
        lambda library: library.ffi.ffi_call(
            "peer_memory", library.ShapeDtypeStruct(**struct), input_layouts=[(1, 0)]
        )(X)
    )
    both(
        lambda library: library.ffi.ffi_call(
            "peer_memory", library.ShapeDtypeStruct(**struct), output_layouts=(1, 0)
        )(X)
    )
    both(
        lambda library: library.ffi.ffi_call(
            "peer_increment",
            [library.ShapeDtypeStruct(**struct), library.ShapeDtypeStruct((), bool)],
            input_output_aliases={0: 0},
        )(X)
    )


def test_attributes_are_written_alike() -> None:
    values = {
        "a": True, "b": 3, "c": 2.5, "d": 'x "y"\n\\é', "e": b"z", "f": numpy.float32(1.5), "g": numpy.int8(-3),
        "h": numpy.array([1, 2], "int32"), "i": {"k": 1, "l": "m"}, "j": numpy.bool_(False),
    }  # fmt: skip

    def written(library: Any) -> str:
        call = library.ffi.ffi_call("anything", library.ShapeDtypeStruct((), "float32"))
        text = library.jit(lambda x: call(x, **values)).lower(1.0).as_text()
        config = re.search(
            r"(?<!_)backend_config = (\{.*?\})(?:, operand|\})", text.replace("mhlo.", ""), re.S
        )
        assert config is not None, text
        plain = re.sub(r'dense<\[1, 2\]>|dense<"0x0100000002000000">', "dense", config[1])
        return plain.replace(r"\\", r"\5C").replace(r"\"", r"\22")

    ours, theirs = (written(library) for library in (anima, jax))
    assert (
        ours.replace("2.5 : f64", "2.500000e+00 : f64").replace("1.5 : f32", "1.500000e+00 : f32") == theirs
    )


def test_errors_are_of_the_same_class() -> None:
    for options in (
        {"vmap_method": "any"}, {"input_layouts": [None, None]}, {"input_output_aliases": {1: 0}},
        {"input_output_aliases": {0: 3}}, {"legacy_backend_config": "x"}, {"input_layouts": [(0, 0)]},
    ):  # fmt: skip
        for library in LIBRARIES:
            call = library.ffi.ffi_call
            with pytest.raises(ValueError):
                library.jit(call("peer_scale", library.ShapeDtypeStruct((2, 3), "float32"), **options)).lower(
                    X
                )
    for library in LIBRARIES:
        with pytest.raises(library.errors.JaxRuntimeError, match="NOT_FOUND.*no such thing"):
            result = library.ShapeDtypeStruct((), "float32")
            library.ffi.ffi_call("peer_refuse", result)(1.0, how="failure").block_until_ready()

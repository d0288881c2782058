"""Exported functions: names, signatures, fields, values and errors of both libraries, and our text read by theirs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import numpy
import pytest
from jax.interpreters import mlir as their_mlir

import anima
import anima.export

pytestmark = pytest.mark.peers
LIBRARIES = (jax, anima)
X = numpy.array([[0.1, -0.2, 0.3], [1.0, 2.0, -3.0]], numpy.float32)
Y = numpy.array([1.0, -2.0, 0.5], numpy.float32)


def parameters(function: Any) -> list[tuple[Any, ...]]:
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in found if not p.name.startswith("_")]


def test_names_and_signatures() -> None:
    for name in dir(jax.export):
        if name.startswith("_"):
            continue
        ours, theirs = getattr(anima.export, name), getattr(jax.export, name)
        if isinstance(theirs, int):
            assert isinstance(ours, int)
        elif name != "Exported":  # users make none
            assert parameters(ours) == parameters(theirs), name
    for name in (
        "call",
        "vjp",
        "has_vjp",
        "serialize",
        "mlir_module",
        "in_shardings_jax",
        "out_shardings_jax",
    ):
        ours, theirs = (getattr(library.export.Exported, name) for library in (anima, jax))
        assert parameters(ours) == parameters(theirs), name
    for name in ("custom_call", "platform", "is_custom_call"):
        ours, theirs = (getattr(library.export.DisabledSafetyCheck, name) for library in (anima, jax))
        assert parameters(ours) == parameters(theirs), name


def exported(library: Any, f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return library.export.export(library.jit(lambda *a, **k: f(library.numpy, *a, **k)))(*args, **kwargs)


def product(np: Any, x: Any, y: Any) -> Any:
    return {"a": np.sin(x) @ y, "b": x.sum(), "c": np.argmax(x)}


def test_fields_are_alike() -> None:
    ours, theirs = (exported(library, product, X, y=Y) for library in (anima, jax))
    for derivative in (False, True):
        for name in (
            "fun_name", "nr_devices", "platforms", "module_kept_var_idx", "uses_global_constants", "ordered_effects",
            "unordered_effects", "disabled_safety_checks", "calling_convention_version", "in_shardings_hlo", "out_shardings_hlo",
        ):  # fmt: skip
            if not (derivative and name in ("fun_name", "module_kept_var_idx")):
                assert getattr(ours, name) == getattr(theirs, name), name
        for name in ("in_avals", "out_avals"):
            assert [(a.shape, str(a.dtype)) for a in getattr(ours, name)] == [
                (a.shape, str(a.dtype)) for a in getattr(theirs, name)
            ], name
        for name in ("in_tree", "out_tree"):
            assert str(getattr(ours, name)) == str(getattr(theirs, name)), name
        ours, theirs = ours.vjp(), theirs.vjp()


def test_values_and_gradients_are_alike() -> None:
    def results(library: Any) -> Any:
        call = exported(library, product, X, y=Y).call
        loss = lambda x, y: (call(x, y=y)["a"] ** 2).sum() * call(x, y=y)["b"]
        second = library.grad(lambda x: (library.grad(loss)(x, Y) ** 2).sum())(X)
        return call(X, y=Y), library.jit(library.grad(loss, (0, 1)))(X, Y), second

    ours, theirs = (jax.tree.map(numpy.asarray, results(library)) for library in (anima, jax))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert a.dtype == b.dtype
        numpy.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "use",
    [
        lambda library, e: e.call(X, Y),
        lambda library, e: e.call(X.astype("int32"), y=Y),
        lambda library, e: e.call(X[:1], y=Y),
        lambda library, e: library.export.export(lambda x: x),
        lambda library, e: library.export.export(library.jit(lambda x: x), platforms=["cuda"])(X).call(X),
        lambda library, e: library.vmap(lambda x: e.call(x, y=Y))(X[None]),
        lambda library, e: library.jvp(lambda x: e.call(x, y=Y), (X,), (X,)),
        lambda library, e: library.export.register_namedtuple_serialization(int, serialized_name="x"),
        lambda library, e: library.export.export(
            library.jit(
                lambda x: library.ffi.ffi_call("anything", library.ShapeDtypeStruct((), "float32"))(x)
            )
        )(1.0),
    ],
    ids=["structure", "dtype", "shape", "not jitted", "platform", "vmap", "jvp", "class", "custom call"],
)
def test_errors_are_of_the_same_class(use: Any) -> None:
    import jax.ffi  # noqa: F401

    kinds = []
    for library in LIBRARIES:
        with pytest.raises((TypeError, ValueError, NotImplementedError)) as caught:
            use(library, exported(library, product, X, y=Y))
        kinds.append([k for k in (TypeError, ValueError, NotImplementedError) if isinstance(caught.value, k)])
    assert kinds[0] == kinds[1]


def test_their_parser_reads_our_modules() -> None:
    single = exported(anima, product, X, y=Y)
    several = anima.export.export(anima.jit(anima.numpy.sin), platforms=["cpu", "cuda"])(X)
    large = anima.numpy.asarray(numpy.arange(1000, dtype="float32"))
    key = anima.random.key(0)
    constant = anima.export.export(anima.jit(lambda x: (x + large, anima.random.bits(key), large > 3)))(
        X[0, 0]
    )
    for module in (single, single.vjp(), several, constant):
        with their_mlir.make_ir_context():
            read = their_mlir.ir.Module.parse(module.mlir_module())
            assert read.operation.verify()

"""Exported functions: calls alone and in programs, derivatives, platforms, and what cannot be exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import ShapeDtypeStruct as Struct, float0, jit
from anima.export import DisabledSafetyCheck, Exported, export
from anima.export.exported import Module

X = onp.array([[0.1, -0.2, 0.3], [1.0, 2.0, -3.0]], onp.float32)
Y = onp.array([1.0, -2.0, 0.5], onp.float32)


@jit
def f(x: Any, y: Any) -> Any:
    return {"a": np.sin(x) @ y, "b": x.sum()}


@pytest.fixture(scope="module")
def exported() -> Exported:
    return export(f)(Struct((2, 3), np.float32), y=Struct((3,), np.float32))


def near(got: Any, expected: Any) -> None:
    onp.testing.assert_allclose(onp.asarray(got), expected, rtol=1e-5, atol=1e-6)


def test_what_an_exported_function_says_of_itself(exported: Exported) -> None:
    assert exported.fun_name == "f"
    assert exported.in_tree == anima.tree.structure(((0,), {"y": 0}))
    assert exported.out_tree == anima.tree.structure({"a": 0, "b": 0})
    assert [a.shape for a in exported.in_avals] == [(2, 3), (3,)]
    assert [a.shape for a in exported.out_avals] == [(2,), ()]
    assert exported.platforms == (anima.export.default_export_platform(),)
    assert exported.nr_devices == 1 and exported.module_kept_var_idx == (0, 1)
    assert exported.mlir_module_serialized.decode() == exported.mlir_module()
    assert "stablehlo.sine" in exported.mlir_module()


def test_a_call_gives_what_the_function_gives(exported: Exported) -> None:
    for call in (exported.call, jit(exported.call)):
        got = call(X, y=Y)
        near(got["a"], onp.sin(X) @ Y)
        near(got["b"], X.sum())


def test_calls_in_programs_share_their_functions(exported: Exported) -> None:
    inner = jit(lambda x: anima.lax.fori_loop(0, 2, lambda _, v: jit(np.cos)(v), x))
    loop = export(inner)(1.0)

    @jit
    def program(x: Any) -> Any:
        once, twice = exported.call(x, y=Y)["a"], exported.call(2 * x, y=Y)["a"]
        return once + twice + loop.call(1.0) + inner(1.0)

    near(program(X), onp.sin(X) @ Y + onp.sin(2 * X) @ Y + 2 * onp.cos(onp.cos(1.0)))
    assert program.lower(X).as_text().count("stablehlo.sine") == 1


def test_symbols_in_strings_stay() -> None:
    target = DisabledSafetyCheck.custom_call("@main")
    call = anima.ffi.ffi_call("@main", Struct((), np.float32))
    stored = export(jit(lambda x: call(x, at="@main")), disabled_checks=[target])(1.0)
    text = jit(stored.call).lower(1.0).as_text()
    assert 'call_target_name = "@main"' in text and 'at = "@main"' in text and "func.call @main_0" in text


def test_gradients_are_those_of_the_function(exported: Exported) -> None:
    def loss(call: Any, x: Any, y: Any) -> Any:
        out = call(x, y=y)
        return (out["a"] ** 2).sum() * out["b"]

    for argnum in (0, 1):
        expected = anima.grad(lambda x, y: loss(f, x, y), argnum)(X, Y)
        gradient = anima.grad(lambda x, y: loss(exported.call, x, y), argnum)
        near(gradient(X, Y), expected)
        near(jit(gradient)(X, Y), expected)

    def second(call: Any) -> Any:
        return anima.grad(lambda x: (anima.grad(lambda x: loss(call, x, Y))(x) ** 2).sum())(X)

    near(second(exported.call), second(f))


def test_cotangents_of_integers_have_no_memory() -> None:
    stored = export(jit(lambda x, i: (np.sin(x) * i, i + 1)))(
        Struct((3,), np.float32), Struct((3,), np.int32)
    )
    i = onp.arange(3, dtype=onp.int32)
    near(anima.grad(lambda x: stored.call(x, i)[0].sum())(Y), onp.cos(Y) * i)
    back = stored.vjp()
    assert [a.dtype for a in back.in_avals[2:]] == [onp.float32, float0]
    assert back.module_kept_var_idx == (0, 1, 2)
    first, second = back.call(Y, i, Y, onp.zeros(3, float0))
    near(first, onp.cos(Y) * i * Y)
    assert second.dtype == float0 and second.shape == (3,)


def test_forward_mode_and_vmap_raise(exported: Exported) -> None:
    with pytest.raises(TypeError, match="forward-mode differentiation"):
        anima.jvp(lambda x: exported.call(x, y=Y), (X,), (X,))
    with pytest.raises(NotImplementedError, match="export the batched function"):
        anima.vmap(lambda x: exported.call(x, y=Y))(X[None])
    got = anima.vmap(lambda z: z + exported.call(X, y=Y)["b"])(Y)  # nothing of the call is mapped
    near(got, Y + X.sum())


def test_arguments_are_checked(exported: Exported) -> None:
    with pytest.raises(ValueError, match="structure for which 'f' was exported"):
        exported.call(X, Y)
    with pytest.raises(ValueError, match=r"Dtype mismatch for args\[0\] of 'f'"):
        exported.call(X.astype(onp.int32), y=Y)
    with pytest.raises(ValueError, match=r"Shape mismatch for kwargs\['y'\] of 'f'"):
        exported.call(X, y=Y[:2])
    with pytest.raises(TypeError, match="argument number 0 of f, passed to Exported.call, has type str"):
        exported.call("x", y=Y)


def test_constants_and_keys_are_in_the_program() -> None:
    key, big = anima.random.key(7), onp.linspace(0, 1, 1000, dtype=onp.float32)
    large, flags = np.asarray(big), np.asarray(onp.arange(600) % 3 == 0)

    def g(key2: Any, x: Any) -> Any:
        noise = anima.random.uniform(key, (2,)) + anima.random.uniform(key2, (2,))
        return noise, x * large, flags.sum(), anima.random.split(key2)

    args = anima.random.key(3), onp.float32(2)
    stored = export(jit(g))(*args)
    got, expected = stored.call(*args), jit(g)(*args)
    for a, b in zip(got[:3], expected[:3]):
        assert (a == b).all()
    assert (anima.random.key_data(got[3]) == anima.random.key_data(expected[3])).all()

    # The text alone has them, too.
    trees, avals = (stored.in_tree, stored.out_tree), (stored.in_avals, stored.out_avals)
    whole = Exported("whole", trees, avals, {stored.platforms[0]: Module(stored.mlir_module(), ())})
    for a, b in zip(whole.call(*args)[:3], expected[:3]):
        assert (a == b).all()


def test_static_and_donated_arguments() -> None:
    g = jit(lambda x, n, y: x * n + y, static_argnums=1, donate_argnums=0)
    stored = export(g)(Y, 3, Y)
    x = np.asarray(Y)
    near(stored.call(x, Y), 4 * Y)
    near(x, Y)


def test_one_program_for_each_platform() -> None:
    by_platform = lambda x: anima.lax.platform_dependent(x, cpu=np.sin, cuda=np.cos)
    stored = export(jit(by_platform), platforms=["cpu", "CUDA"])(Y)
    assert stored.platforms == ("cpu", "cuda")
    whole = stored.mlir_module()
    assert "module @cpu" in whole and "module @cuda" in whole
    here = anima.export.default_export_platform()
    near(stored.call(Y), {"cpu": onp.sin, "cuda": onp.cos}[here](Y))
    other = "cuda" if here == "cpu" else "cpu"
    elsewhere = export(jit(np.sin), platforms=[other])(Y)
    with pytest.raises(ValueError, match=f"was exported for {other}, but it is used on {here}"):
        elsewhere.call(Y)
    unchecked = export(jit(np.sin), platforms=[other], disabled_checks=[DisabledSafetyCheck.platform()])(Y)
    near(unchecked.call(Y), onp.sin(Y))


@pytest.mark.cpu
def test_effects_happen_where_the_function_is_called(targets: Any) -> None:
    call = anima.ffi.ffi_call("test_count", (), has_side_effect=True)

    def g(x: Any) -> Any:
        call(x)
        return x + 1

    with pytest.raises(ValueError, match=r'export: g calls "test_count".*custom_call\("test_count"\)'):
        export(jit(g))(1.0)
    stored = export(jit(g), disabled_checks=[DisabledSafetyCheck.custom_call("test_count")])(1.0)
    assert len(stored.unordered_effects) == 1
    before = targets.CallsSoFar()
    assert stored.call(1.0) == 2.0
    assert jit(lambda x: (stored.call(x), x)[1])(1.0) == 1.0  # its result is not used
    anima.effects_barrier()
    assert targets.CallsSoFar() - before == 2


@pytest.mark.parametrize(
    "function",
    [
        lambda x: anima.pure_callback(onp.sin, x, x),
        lambda x: anima.debug.print("{}", x),
        lambda x: anima.experimental.io_callback(lambda v: v, x, x, ordered=True),
    ],
    ids=["pure", "print", "ordered"],
)
def test_python_functions_stay_here(function: Any) -> None:
    with pytest.raises(ValueError, match="calls Python functions"):
        export(jit(function))(Y)


def test_what_is_not_exported() -> None:
    with pytest.raises(ValueError, match="must be what jit returned"):
        export(lambda x: x)
    with pytest.raises(TypeError, match="platforms must be"):
        export(f, platforms="cpu")
    with pytest.raises(ValueError, match="at least one"):
        export(f, platforms=[])
    with pytest.raises(TypeError, match="disabled_checks"):
        export(f, disabled_checks=["platform"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="there is no check"):
        DisabledSafetyCheck("everything")
    with pytest.raises(ValueError, match="has no derivative"):
        anima.export.deserialize(export(f)(X, y=Y).serialize()).vjp()


@pytest.mark.cpu
def test_functions_for_several_devices_are_refused(run_python: Callable[..., Any]) -> None:
    program = """
import anima, anima.numpy as np
from anima.sharding import NamedSharding, P
anima.config.update("jax_num_cpu_devices", 2)
mesh = anima.make_mesh((2,), ("i",))
x = anima.device_put(np.arange(4.0), NamedSharding(mesh, P("i")))
f = anima.jit(lambda x: 2 * x)
try:
    anima.export.export(f)(x)
except ValueError as error:
    print(error)
one = anima.export.export(f)(np.arange(4.0))
try:
    print(anima.jit(one.call)(x))
except ValueError as error:
    print(error)
"""
    first, second = run_python(program).stdout.splitlines()
    assert "runs on several devices" in first
    assert "was exported for one device" in second


def test_linear_algebra_is_exported_without_kernels_of_this_process() -> None:
    x = X @ X.T + 3 * onp.eye(2, dtype=onp.float32)
    stored = export(jit(lambda x: (np.linalg.cholesky(x), np.sort(x, axis=1), np.cumsum(x))))(x)
    assert "anima_" not in stored.mlir_module()
    got = stored.call(x)
    near(got[0], onp.linalg.cholesky(x))
    near(got[1], onp.sort(x, axis=1))
    near(got[2], onp.cumsum(x))


def test_shapes_are_fixed() -> None:
    export_module = anima.export
    assert export_module.symbolic_shape("(2, _, ...)", like=(2, 3, 4, 5)) == (2, 3, 4, 5)
    assert export_module.symbolic_shape(None, like=(2,)) == (2,)
    (spec,) = export_module.symbolic_args_specs((X,), ("_, 3",))
    assert spec.shape == (2, 3) and not export_module.is_symbolic_dim(spec.shape[0])
    assert repr(export_module.SymbolicScope()) == "SymbolicScope()"
    for wrong in (
        lambda: export_module.symbolic_shape("b, 3"),
        lambda: export_module.symbolic_shape("3", constraints=["a >= 2"]),
        lambda: export_module.SymbolicScope(["a >= 2"]),
        lambda: export_module.symbolic_args_specs(X, "n, ..."),
    ):
        with pytest.raises(ValueError, match="Export once for each size"):
            wrong()
    for text, like, message in (
        ("_", None, "pass it"), ("..., 3", (3,), "at the end"), ("3, 4", (3,), "has 2 dimensions"), ("3-", None, "no dimension"),
        ("_, _", (3, None), "which has none"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            export_module.symbolic_shape(text, like=like)

"""The stages of a program: what they tell, and what calling a compiled one checks."""

from __future__ import annotations

import math
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, stages, vmap
from anima.sharding import SingleDeviceSharding
from anima.sharding.formats import Format, Layout


def function(x: Any, y: Any, *, k: Any) -> Any:
    with anima.named_scope("product"):
        z = x["w"] @ y
    return {"a": z + k}


ARGS: Any = ({"w": onp.ones((3, 3), onp.float32)}, onp.ones((3, 3), onp.float32))
jitted = jit(function, donate_argnames=("y",))


@pytest.fixture(scope="module")
def all_stages() -> Any:
    traced = jitted.trace(*ARGS, k=2.0)
    lowered = traced.lower()
    return traced, lowered, lowered.compile()


def test_every_stage_describes_the_call(all_stages: Any) -> None:
    for stage in all_stages:
        (x, y), keywords = stage.args_info
        assert (x["w"].shape, x["w"].dtype, x["w"].donated) == ((3, 3), np.float32, False)
        assert isinstance(y, stages.ArgInfo) and y.donated and not keywords["k"].donated
        assert stage.donate_argnums == (1,)
        assert str(stage.in_tree) == "PyTreeDef((({'w': *}, *), {'k': *}))"
        assert str(stage.out_tree) == "PyTreeDef({'a': *})"
        (x, y), keywords = stage.in_avals
        assert x["w"].shape == (3, 3) and keywords["k"].weak_type
        info = stage.out_info["a"]
        assert (info.shape, info.dtype, info.weak_type) == ((3, 3), np.float32, False)


def test_types_of_the_stages(all_stages: Any) -> None:
    traced, lowered, compiled = all_stages
    assert isinstance(jitted, stages.Wrapped) and not isinstance(function, stages.Wrapped)
    assert isinstance(traced, stages.Traced) and isinstance(lowered, stages.Lowered)
    assert isinstance(compiled, stages.Compiled)
    assert traced.fun_name == "function" and traced.out_avals["a"].shape == (3, 3)
    assert traced.jaxpr.eqns[0].primitive.name == "dot_general"
    assert isinstance(jitted.lower(*ARGS, k=2.0), stages.Lowered)


def test_texts(all_stages: Any) -> None:
    _, lowered, compiled = all_stages
    text = lowered.as_text()
    assert text.startswith("module @jit_function") and "loc(" not in text
    assert (
        lowered.as_text("stablehlo") == text == lowered.compiler_ir() == str(lowered.compiler_ir("stablehlo"))
    )
    located = lowered.as_text(debug_info=True)
    assert 'loc("jit(function)/product/dot_general"("' in located and "test_stages.py" in located
    stripped = "\n".join(line.split(" loc(")[0] for line in located.splitlines())
    assert stripped == text.rstrip("\n")
    assert compiled.as_text().startswith("HloModule")
    for ask in (lowered.as_text, lowered.compiler_ir):
        with pytest.raises(ValueError, match="dialect must be 'stablehlo', got 'hlo'"):
            ask("hlo")


def test_located_text_compiles_to_the_same_program() -> None:
    def f(x: Any) -> Any:
        inner = jit(lambda y: anima.lax.scan(lambda c, _: (np.sin(c), c), y, None, length=3))
        y, rows = inner(x)
        return anima.lax.cond(y.sum() > 0, lambda: y + rows[0], lambda: anima.lax.sort(y))

    lowered = jit(f).lower(np.ones(3))
    from anima.runtime.compile_options import options_for

    program = lowered.as_text(debug_info=True)
    options = options_for("program", platform="cpu", tiny=True, device_ids=(0,), compiler_options=None)
    anima.devices()[0].client.compile(program, options.encode())
    assert 'loc("jit(f)/jit/' not in program and "jit(<lambda>)/scan/sin" in program
    assert lowered.as_text(debug_info=True) == program


def test_costs_and_memory() -> None:
    x = np.ones((64, 64))
    lowered = jit(lambda a, b: a @ b, donate_argnums=0).lower(x, x)
    assert (
        "anima_matrix_product" in lowered.as_text()
    )  # a kernel, of which XLA knows nothing, is counted, too
    compiled = lowered.compile()
    costs = compiled.cost_analysis()
    assert costs is not None and costs["flops"] == pytest.approx(2 * 64**3, rel=0.05)
    assert costs["bytes accessed"] >= 3 * 64 * 64 * 4
    assert jit(lambda a: a @ a).lower(x).cost_analysis()["flops"] == costs["flops"]
    memory = compiled.memory_analysis()
    size = 64 * 64 * 4
    assert memory.argument_size_in_bytes == 2 * size and memory.output_size_in_bytes == size
    assert memory.alias_size_in_bytes == size
    assert memory.generated_code_size_in_bytes >= 0 and memory.temp_size_in_bytes >= 0
    assert not math.isnan(memory.peak_memory_in_bytes)
    assert compiled.runtime_executable().num_outputs == 1


def test_shardings_and_formats(all_stages: Any) -> None:
    *_, compiled = all_stages
    here = SingleDeviceSharding(anima.devices()[0])
    (x, y), keywords = compiled.input_shardings
    assert x == {"w": here} and y == here and keywords == {"k": here}
    assert compiled.output_shardings == {"a": here}
    assert compiled.input_formats[0][1] == Format(Layout((0, 1), ()), here)
    assert compiled.output_formats["a"].layout.major_to_minor == (0, 1)
    assert compiled.out_info["a"].sharding == here


def test_calling_a_compiled_program() -> None:
    compiled = jitted.lower(*ARGS, k=2.0).compile()
    for call in (compiled, compiled.call):
        assert call(*ARGS, k=onp.float32(2))["a"].tolist() == [[5.0] * 3] * 3
    static = jit(lambda n, x: x * n, static_argnums=0).lower(3, np.ones(2)).compile()
    assert static(np.ones(2)).tolist() == [3, 3]
    with pytest.raises(TypeError, match="args was a tuple of length 1, is a tuple of length 2"):
        static(3, np.ones(2))


@pytest.mark.parametrize(
    ("args", "keywords", "says"),
    [
        (({"w": np.ones((3, 2))}, ARGS[1]), {"k": 2.0}, r"`x\['w'\]` has type float32\[3,2\], compiled for float32\[3,3\]"),
        ((ARGS[0], np.ones((3, 3), int)), {"k": 2.0}, r"`y` has type int32\[3,3\], compiled for float32\[3,3\]"),
        (ARGS, {"k": 2}, r"`k` has type int32\[\], compiled for float32\[\]"),
        (({"w": 1, "v": 1}, ARGS[1]), {"k": 2.0}, r"args\[0\] was a dict with the keys \['w'\], is a dict with the keys"),
        (ARGS, {"kk": 2.0}, r"kwargs was a dict with the keys \['k'\], is a dict with the keys \['kk'\]"),
        (ARGS[:1], {"k": 2.0}, "args was a tuple of length 2, is a tuple of length 1"),
        ((ARGS[0], "text"), {"k": 2.0}, "argument `y`: .*'text' of type str"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(all_stages: Any, args: Any, keywords: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        all_stages[2](*args, **keywords)


def test_a_compiled_program_cannot_be_transformed() -> None:
    compiled = jit(lambda x: x * 2).lower(1.0).compile()
    for run in (lambda: jit(compiled)(1.0), lambda: grad(compiled)(1.0), lambda: vmap(compiled)(np.ones(2))):
        with pytest.raises(errors.JAXTypeError, match="cannot be transformed"):
            run()


def test_names_with_static_arguments_before() -> None:
    f = jit(lambda n, x, y: x * n + y, static_argnums=0)
    with pytest.raises(TypeError, match="argument `y` of <lambda>"):
        f(2, 1.0, "no")
    compiled = f.lower(2, np.ones(2), np.ones(2)).compile()
    with pytest.raises(TypeError, match="`y` has type"):
        compiled(np.ones(2), np.ones(3))


def test_abstract_arguments() -> None:
    struct = anima.ShapeDtypeStruct((4,), np.float32)
    compiled = jit(lambda x: x + 1).lower(struct).compile()
    assert compiled(np.ones(4)).tolist() == [2] * 4
    assert jit(lambda x: x + 1).eval_shape(struct) == struct
    weak = jit(lambda x: x).trace(anima.ShapeDtypeStruct((), np.float32, weak_type=True))
    assert weak.out_info.weak_type


def test_compiler_options() -> None:
    lowered = jit(lambda x: x + 1).lower(1.0)
    assert float(lowered.compile({"xla_cpu_enable_fast_math": True})(1.0)) == 2
    with pytest.raises(errors.JaxRuntimeError, match="xla_there_is_no_such_option"):
        lowered.compile({"xla_there_is_no_such_option": True})
    assert float(lowered.compile(device_assignment=(anima.devices()[0],))(1.0)) == 2
    with pytest.raises(ValueError, match="does not fit a program on"):
        lowered.compile(device_assignment=(anima.devices()[0],) * 2)


@pytest.mark.cpu
def test_lowering_for_another_platform() -> None:
    traced = jit(lambda x: anima.lax.sort(x)).trace(np.ones(1000))
    here, there = traced.lower(), traced.lower(lowering_platforms=("cuda",))
    assert "stablehlo.sort" in there.as_text()
    assert traced.lower(lowering_platforms=("cpu",)).as_text() == here.as_text()
    with pytest.raises(ValueError, match="was lowered for cuda"):
        there.compile()
    with pytest.raises(ValueError, match="lowering_platforms has 2"):
        traced.lower(lowering_platforms=("cpu", "cuda"))
    with pytest.raises(TypeError, match="tuple of names"):
        traced.lower(lowering_platforms="cpu")


def test_effects_of_compiled_programs_happen_at_each_call() -> None:
    seen: list[float] = []
    f = jit(lambda x: (anima.debug.callback(lambda v: seen.append(float(v)), x, ordered=True), x + 1)[1])
    compiled = f.lower(1.0).compile()
    assert [float(compiled(float(i))) for i in range(3)] == [1, 2, 3]
    anima.effects_barrier()
    assert seen == [0, 1, 2]


@pytest.mark.cpu
def test_several_devices(run_python: Any) -> None:
    source = """
import anima, anima.numpy as np
anima.config.update("jax_num_cpu_devices", 2)
from anima.sharding import NamedSharding, PartitionSpec as P, SingleDeviceSharding
mesh = anima.make_mesh((2,), ("x",))
split, whole = NamedSharding(mesh, P("x")), NamedSharding(mesh, P())
f = anima.jit(lambda a, b: (a + b, a.sum()), in_shardings=(split, whole), out_shardings=(split, None))
compiled = f.lower(np.ones(4), np.ones(4)).compile()
assert compiled.input_shardings == ((split, whole), {}), compiled.input_shardings
assert compiled.output_shardings[0] == split and compiled.output_shardings[1].is_fully_replicated
assert compiled.output_formats[0].sharding == split
out, total = compiled(anima.device_put(np.ones(4), split), np.ones(4))
assert out.tolist() == [2.0] * 4 and float(total) == 4 and out.sharding == split

# abstract arguments lie where their shardings say
struct = anima.ShapeDtypeStruct((4,), np.float32, sharding=split)
again = anima.jit(lambda a: a * 2).lower(struct).compile()
assert again.input_shardings[0] == (split,)
assert again(anima.device_put(np.ones(4), split)).tolist() == [2.0] * 4
second = SingleDeviceSharding(anima.devices()[1])
there = anima.jit(lambda a: a * 2).lower(anima.ShapeDtypeStruct((4,), np.float32, sharding=second)).compile()
assert there.input_shardings[0] == (second,)
assert there(np.ones(4)).tolist() == [2.0] * 4
try:
    there(anima.device_put(np.ones(4), anima.devices()[0]))
except ValueError as error:
    assert "argument `a` is committed to [0]" in str(error), error
else:
    raise AssertionError
moved = anima.jit(lambda a: a + 1).lower(np.ones(4)).compile(device_assignment=(anima.devices()[1],))
assert moved(np.ones(4)).devices() == {anima.devices()[1]}
"""
    run_python(source)

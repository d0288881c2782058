"""Compile options: the bytes are those of the protocol buffer, and the policy is what the figures say."""

import struct

import pytest

import anima
from anima import _native
from anima.config import disable_most_optimizations, optimization_level
from anima.runtime.compile_options import CompileOptions, debug_options_of, options_for
from anima.runtime.devices import client

pytestmark = pytest.mark.cpu

PROGRAM = (
    "module @m { func.func public @main(%a: tensor<3xf32>) -> tensor<3xf32> { return %a : tensor<3xf32> } }"
)


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _fields(data):
    """Field number -> list of values."""
    at, found = 0, {}
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def _overrides(options):
    found = {}
    for entry in _fields(options.encode()).get(7, []):
        pair = _fields(entry)
        ((kind, (value,)),) = _fields(pair[2][0]).items()
        found[pair[1][0].decode()] = (kind, value)
    return found


def test_one_device():
    (build,) = _fields(CompileOptions().encode())[3]
    assert _fields(build) == {4: [1], 5: [1]}


def test_partitions_and_devices():
    options = CompileOptions(num_partitions=2, device_ids=(3, 300), propagate_to_output=(True, False))
    build = _fields(_fields(options.encode())[3][0])
    assert (build[4], build[5], build[6], build[12]) == ([1], [2], [1], [b"\1\0"])
    assignment = _fields(build[9][0])
    assert (assignment[1], assignment[2]) == ([1], [2])
    assert [_varint(_fields(device)[1][0], 0)[0] for device in assignment[3]] == [3, 300]


def test_overrides_are_typed_and_sorted():
    given = {"z": "text", "b": True, "c": "false", "d": -5, "e": "12", "f": 0.5, "a": 0}
    options = options_for("program", platform="cuda", compiler_options=given)
    assert _overrides(options) == {
        "a": (3, 0),
        "b": (2, 1),
        "c": (2, 0),
        "d": (3, (1 << 64) - 5),
        "e": (3, 12),
        "f": (4, struct.pack("<d", 0.5)),
        "z": (1, b"text"),
    }
    again = options_for("program", platform="cuda", compiler_options=dict(reversed(given.items())))
    assert again.encode() == options.encode()
    with pytest.raises(TypeError, match="the compiler option a must be"):
        options_for("program", platform="cpu", compiler_options={"a": []})


@pytest.mark.parametrize("wide_vectors", [False, True])
def test_policy(wide_vectors, monkeypatch):
    monkeypatch.setattr(_native, "has_wide_vectors", lambda: wide_vectors)

    def names(*args, **kwargs):
        return {name.removeprefix("xla_") for name in _overrides(options_for(*args, **kwargs))}

    exact, fusion, level = "cpu_enable_fast_min_max", "cpu_use_fusion_emitters", "backend_optimization_level"
    threads = "cpu_multi_thread_eigen"
    wide = {"cpu_prefer_vector_width"} if wide_vectors else set()
    assert names("program", platform="cpu") == {exact} | wide
    assert names("program", platform="cpu", tiny=True) == {exact, threads}
    assert names("single_op", platform="cuda", tiny=True) == set()
    assert names("single_op", platform="cpu") == {exact, fusion} | wide
    assert names("single_op", platform="cpu", tiny=True) == {exact, fusion, level, threads}
    chosen = {"xla_cpu_use_fusion_emitters": True}
    options = options_for("single_op", platform="cpu", compiler_options=chosen)
    assert _overrides(options)["xla_cpu_use_fusion_emitters"] == (2, 1)
    left = dict(options.without({"xla_cpu_use_fusion_emitters", "xla_cpu_prefer_vector_width"}).policy)
    assert left == {"xla_cpu_enable_fast_min_max": False}
    assert dict(options.policy).get("xla_cpu_prefer_vector_width", 256) == (512 if wide_vectors else 256)


def reduction(dimensions: str, shape: str) -> str:
    return (
        f"}}) {{dimensions = array<i64: {dimensions}>}} : (tensor<{shape}xf32>, tensor<f32>) -> tensor<f32>"
    )


def test_loops_are_unrolled_for_reductions_of_columns():
    def unrolled(*reductions: str) -> bool:
        options = options_for("program", platform="cpu", text="\n".join(reductions))
        return "xla_cpu_disable_loop_unrolling" not in dict(options.extras)

    assert not unrolled()
    assert not unrolled(reduction("1", "64x64"))
    assert unrolled(reduction("0", "64x64"))
    assert unrolled(reduction("1", "64x64"), reduction("0", "64x64"))
    assert unrolled(reduction("0, 1", "8x64x64"))
    assert not unrolled(reduction("1, 2", "8x64x64"))
    assert not unrolled(reduction("0", "4096x1"))  # a column is as good as a row
    assert not unrolled(reduction("0", "8x8"))  # small
    assert not unrolled(reduction("0", "4096"))
    text = anima.jit(lambda x: x.sum(0)).lower(anima.numpy.ones((64, 64))).as_text()
    assert unrolled(text)
    assert options_for("program", platform="cuda", text=text).extras == ()
    assert options_for("program", platform="cpu", text=text, tiny=True).extras == ()


def test_extras_are_added_to_the_defaults():
    options = CompileOptions(extras=(("a", "1"), ("b", "")))
    assert options.encode() == CompileOptions().encode() and options.key() != CompileOptions().key()
    debug = _fields(_fields(options.encode(b"\x08\x01"))[3][0])[3][0]
    assert debug.startswith(b"\x08\x01")
    assert [_fields(entry) for entry in _fields(debug)[500]] == [
        {1: [b"a"], 2: [b"1"]},
        {1: [b"b"], 2: [b""]},
    ]


def test_the_plugin_tells_its_debug_options():
    config = client("cpu").compile(PROGRAM, CompileOptions().encode()).config()
    assert len(_fields(debug_options_of(config))) > 50
    assert debug_options_of(b"") == b""
    with pytest.raises(ValueError, match="ends within"):
        debug_options_of(b"\xff")


def test_configuration_is_read():
    plain = options_for("program", platform="cpu")
    with optimization_level("O1"):
        build = _fields(_fields(options_for("program", platform="cpu").encode())[3][0])
    assert build[24] == [19]
    with disable_most_optimizations(True):
        assert options_for("program", platform="cpu").encode() != plain.encode()


@pytest.mark.parametrize("kind", ["single_op", "program"])
@pytest.mark.parametrize("tiny", [False, True])
def test_the_plugin_takes_them(kind, tiny):
    cpu = client("cpu")
    options = options_for(
        kind,
        platform=cpu.platform,
        tiny=tiny,
        device_ids=(0,),
        compiler_options={"xla_cpu_prefer_vector_width": 128, "xla_llvm_disable_expensive_passes": True},
    )
    assert cpu.compile(PROGRAM, options.encode()).num_outputs == 1


def test_partitioned_programs(run_python):
    code = """
from anima.runtime.compile_options import options_for
from anima.runtime.devices import client
cpu = client()
sharding = '{mhlo.sharding = "{devices=[2]<=[2]}"}'
text = f'''module @m {{
func.func public @main(%a: tensor<4xf32> {sharding}) -> (tensor<4xf32> {sharding}) {{
%0 = stablehlo.add %a, %a : tensor<4xf32>
return %0 : tensor<4xf32> }} }}'''
options = options_for("program", platform="cpu", num_partitions=2, device_ids=(1, 0))
print([device.id for device in cpu.compile(text, options.encode()).devices])
"""
    assert run_python(code, env={"JAX_NUM_CPU_DEVICES": "2"}).stdout.strip() == "[1, 0]"

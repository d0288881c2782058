"""Every row of `docs/differences.md` is true of both libraries, and every check here has its row."""

from __future__ import annotations

import collections
import dataclasses
import importlib
import re
from collections.abc import Callable
from pathlib import Path

import jax
import numpy
import pytest
import scipy.special

import anima
from anima.config import threefry_partitionable
from tests.peers.convolution_differences import CONVOLUTION_CHECKS
from tests.peers.debug_differences import DEBUG_CHECKS
from tests.peers.experimental_differences import EXPERIMENTAL_CHECKS
from tests.peers.extension_differences import EXTENSION_CHECKS
from tests.peers.foreign_differences import FOREIGN_CHECKS
from tests.peers.lax_differences import LAX_CHECKS
from tests.peers.linalg_differences import LINALG_CHECKS
from tests.peers.nn_differences import NN_CHECKS
from tests.peers.numpy_differences import NUMPY_CHECKS
from tests.peers.observing_differences import OBSERVING_CHECKS
from tests.peers.operation_differences import OPERATION_CHECKS
from tests.peers.ops_differences import OPS_CHECKS
from tests.peers.random_differences import RANDOM_CHECKS
from tests.peers.ref_differences import REF_CHECKS
from tests.peers.refusal_differences import REFUSAL_CHECKS
from tests.peers.shard_map_differences import SHARD_MAP_CHECKS
from tests.peers.signal_differences import SIGNAL_CHECKS
from tests.peers.special_differences import SPECIAL_CHECKS
from tests.peers.spectral_differences import SPECTRAL_CHECKS
from tests.peers.stats_differences import STATS_CHECKS

pytestmark = pytest.mark.peers

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
CHECKS: dict[str, Callable[..., None]] = {
    **CONVOLUTION_CHECKS,
    **DEBUG_CHECKS,
    **EXPERIMENTAL_CHECKS,
    **EXTENSION_CHECKS,
    **FOREIGN_CHECKS,
    **LAX_CHECKS,
    **LINALG_CHECKS,
    **NN_CHECKS,
    **NUMPY_CHECKS,
    **OBSERVING_CHECKS,
    **OPS_CHECKS,
    **OPERATION_CHECKS,
    **RANDOM_CHECKS,
    **REF_CHECKS,
    **REFUSAL_CHECKS,
    **SHARD_MAP_CHECKS,
    **SIGNAL_CHECKS,
    **SPECIAL_CHECKS,
    **SPECTRAL_CHECKS,
    **STATS_CHECKS,
}


def difference(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the check of a row."""

    def declare(check: Callable[..., None]) -> Callable[..., None]:
        CHECKS[name] = check
        return check

    return declare


@difference("repr")
def array_repr(run_python, tmp_path) -> None:
    assert repr(jax.numpy.arange(2.0)) == "Array([0., 1.], dtype=float32)"
    assert repr(anima.numpy.arange(2.0)) == "DeviceArray([0., 1.], dtype=float32)"


@difference("disk-cache")
def disk_cache(run_python, tmp_path) -> None:
    program = "import {0}; {0}.block_until_ready({0}.jit(lambda x: x + 1)(1.0))"

    def files_kept(lib: str, **env: str) -> int:
        home = tmp_path / "-".join([lib, *env])
        home.mkdir()
        env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), "ANIMA_COMPILATION_CACHE_DIR": ""}
        run_python(program.format(lib), env=env)
        return sum(path.is_file() for path in home.rglob("*"))

    assert files_kept("jax") == 0
    assert files_kept("anima") > 0
    assert files_kept("anima", JAX_ENABLE_COMPILATION_CACHE="False") == 0


@difference("threefry-layout")
def threefry_layout(run_python, tmp_path) -> None:
    def bits(lib) -> numpy.ndarray:
        return numpy.asarray(lib.random.normal(lib.random.PRNGKey(0), (5,)))

    assert not numpy.array_equal(bits(anima), bits(jax))
    with threefry_partitionable(True):
        numpy.testing.assert_allclose(bits(anima), bits(jax), rtol=1e-6)
    with jax.threefry_partitionable(False):
        numpy.testing.assert_allclose(bits(anima), bits(jax), rtol=1e-6)


def derivative(lib, fun, x, tangent=1) -> complex:
    """The derivative of `fun` at `x` in the direction of a tangent."""
    return numpy.asarray(lib.jvp(fun, (x,), (type(x)(tangent),))[1]).item()


@difference("sign-derivative")
def sign_derivative(run_python, tmp_path) -> None:
    z = numpy.complex64(2j)
    assert derivative(jax, jax.lax.sign, z) == 0
    assert derivative(anima, anima.lax.sign, z) == 0.5


@difference("acosh-derivative")
def acosh_derivative(run_python, tmp_path) -> None:
    z = numpy.complex64(-0.5 + 0.3j)
    true = complex((numpy.arccosh(z + 1e-3) - numpy.arccosh(z - 1e-3)) / 2e-3)
    assert derivative(anima, anima.lax.acosh, z) == pytest.approx(true, rel=1e-2)
    assert derivative(jax, jax.lax.acosh, z) == pytest.approx(-true, rel=1e-2)


@difference("power-derivative")
def power_derivative(run_python, tmp_path) -> None:
    zero = numpy.float32(0)
    assert numpy.isnan(derivative(jax, lambda x: jax.lax.pow(x, zero), zero))
    assert derivative(anima, lambda x: anima.lax.pow(x, zero), zero) == 0


@difference("exact-functions")
def exact_functions(run_python, tmp_path) -> None:
    x = numpy.float32(75.53784)
    true = numpy.sinh(numpy.float64(x))
    unit = numpy.spacing(numpy.float32(true))
    assert numpy.asarray(jax.lax.exp2(100.0)) != 2.0**100
    assert numpy.asarray(anima.lax.exp2(100.0)) == 2.0**100
    assert abs(numpy.float64(jax.lax.sinh(x)) - true) > 10 * unit
    assert abs(numpy.asarray(anima.lax.sinh(x), numpy.float64) - true) < 4 * unit


@difference("index-bounds")
def index_bounds(run_python, tmp_path) -> None:
    x = jax.numpy.arange(3)
    assert (int(x[5]), x.at[5].set(9).tolist()) == (2, [0, 1, 2])
    y = anima.numpy.arange(3)
    for access in (lambda: y[5], lambda: y.at[5].set(9), lambda: anima.jit(lambda y: y[5])(y)):
        with pytest.raises(IndexError):
            access()
    assert (int(y.at[5].get(mode="clip")), y.at[5].set(9, mode="drop").tolist()) == (2, [0, 1, 2])
    assert int(y[anima.numpy.array(5)]) == int(x[jax.numpy.array(5)]) == 2


@difference("loop-gradients")
def loop_gradients(run_python, tmp_path) -> None:
    def derivative(lib) -> float:
        def grown(x):
            return lib.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x))[1]

        return float(lib.jit(lib.grad(grown))(2.0))

    assert derivative(anima) == 32.0
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        derivative(jax)


@difference("max-steps")
def max_steps(run_python, tmp_path) -> None:
    def power(lib, x, n, **options):
        return lib.lax.fori_loop(0, n, lambda i, c: c * x, 1.0, **options)

    derivative = anima.jit(anima.grad(lambda x, n: power(anima, x, n, max_steps=20)))
    assert [float(derivative(2.0, n)) for n in (0, 1, 4)] == [0.0, 1.0, 32.0]
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        jax.jit(jax.grad(lambda x, n: power(jax, x, n)))(2.0, 4)


@difference("control-flow")
def control_flow(run_python, tmp_path) -> None:
    def f(x):
        if x < 3:
            return 3.0 * x**2
        return -4 * x

    assert float(anima.jit(f, control_flow="convert")(2.0)) == 12.0
    for lib, error in (
        (jax, jax.errors.TracerBoolConversionError),
        (anima, anima.errors.TracerBoolConversionError),
    ):
        with pytest.raises(error):
            lib.jit(f)(2.0)


@difference("loop-checks")
def loop_checks(run_python, tmp_path) -> None:
    calls = [
        lambda lib: lib.lax.scan(lambda c, _: (c + 1, None), 0, None, length=-1)[0],
        lambda lib: lib.lax.map(lambda x: x, numpy.zeros(3), batch_size=0).sum(),
    ]
    for call in calls:
        assert call(jax) == 0
        with pytest.raises(ValueError, match="must not be negative|must be a positive integer"):
            call(anima)
    assert jax.lax.fori_loop(0.0, 3.0, lambda i, c: c + i, 0.0) == 3.0
    with pytest.raises(TypeError, match="lower must be an integer"):
        anima.lax.fori_loop(0.0, 3.0, lambda i, c: c + i, 0.0)


@difference("half-variance")
def half_variance(run_python, tmp_path) -> None:
    values = numpy.array([1e4, -1e4], numpy.float16)
    assert numpy.isinf(jax.numpy.std(values))
    assert float(anima.numpy.std(values)) == 1e4


@difference("named-axes")
def named_axes(run_python, tmp_path) -> None:
    values = numpy.arange(4, dtype=numpy.float32)
    pairs = [(0, 1), (1, 2), (2, 3)]

    def over_both(lib):
        f = lambda x: lib.lax.all_gather(x, ("i", "j"))
        return lib.vmap(lib.vmap(f, axis_name="j"), axis_name="i")(values.reshape(2, 2))[0, 0]

    calls = [
        (lambda lib: lib.vmap(lambda x: lib.lax.psum(x, "i", axis_index_groups=[[0, 1], [2, 3]]), axis_name="i")(values), [1, 1, 5, 5]),
        (lambda lib: lib.vmap(lambda x: lib.lax.ppermute(x, "i", pairs), axis_name="i")(values + 1), [0, 1, 2, 3]),
        (over_both, values),
        (lambda lib: lib.vmap(lambda x: lib.lax.pcast(x, "i", to="varying"), axis_name="i")(values), values),
        (lambda lib: lib.vmap(lib.grad(lambda x: lib.lax.pmax(x, "i")), axis_name="i")(values), [0, 0, 0, 4]),
    ]  # fmt: skip
    for call, expected in calls:
        assert numpy.array_equal(call(anima), expected)
        with pytest.raises((NotImplementedError, AssertionError, ValueError)):
            call(jax)


@difference("named-axes-checks")
def named_axes_checks(run_python, tmp_path) -> None:
    calls = [
        lambda lib: lib.vmap(lambda x: lib.lax.psum_scatter(x, "i"), axis_name="i")(numpy.ones((2, 4))),
        lambda lib: lib.vmap(lambda x: lib.lax.ppermute(x, "i", [(0, 0), (0, 1)]), axis_name="i")(
            numpy.ones(2)
        ),
    ]
    for call in calls:
        assert numpy.isfinite(call(jax)).all()
        with pytest.raises(ValueError, match="psum_scatter|ppermute"):
            call(anima)


@difference("cotangent-dtypes")
def cotangent_dtypes(run_python, tmp_path) -> None:
    def function(lib, dtype):
        f = lib.custom_vjp(lambda x: x)
        f.defvjp(lambda x: (x, None), lambda _, g: (g.astype(dtype),))
        return f

    assert jax.grad(function(jax, "float16"))(1.0).dtype == "float16"
    assert anima.grad(function(anima, "float16"))(1.0).dtype == "float32"
    with pytest.raises(TypeError, match="same dtypes"):
        jax.grad(lambda x: function(jax, "float16")(x) * x)(1.0)
    assert anima.grad(lambda x: function(anima, "float16")(x) * x)(2.0) == 4
    assert jax.grad(function(jax, "complex64"))(1.0).dtype == "complex64"
    with pytest.raises(ValueError, match=r"output\[0\] is complex64\[\], for an argument of type float32"):
        anima.grad(function(anima, "complex64"))(1.0)


@difference("rules-in-closures")
def rules_in_closures(run_python, tmp_path) -> None:
    def forward(lib, w, x):
        f = lib.custom_jvp(lambda x: w * x)
        f.defjvp(lambda p, t: (w * p[0], 10 * w * t[0]))
        return f(x)

    def reverse(lib, w, x):
        f = lib.custom_vjp(lambda x: w * x)
        f.defvjp(lambda x: (w * x, None), lambda _, g: (10 * w * g,))
        return f(x)

    def setting(lib, w, x):
        f = lib.custom_jvp(lambda x, w: w * x, nondiff_argnums=(1,))
        f.defjvp(lambda w, p, t: (w * p[0], 10 * w * t[0]))
        return f(x, w)

    for run in (forward, reverse, setting):
        assert anima.grad(anima.jit(lambda w, x: run(anima, w, x)), 1)(3.0, 2.0) == 30
        with pytest.raises(TypeError, match="No constant handler for type"):
            jax.grad(jax.jit(lambda w, x: run(jax, w, x)), 1)(3.0, 2.0)


@difference("optimize-remat")
def optimize_remat(run_python, tmp_path) -> None:
    def function(lib):
        f = lib.custom_vjp(lambda x: x**3)
        f.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x**2 * g,), optimize_remat=True)
        return f

    assert anima.grad(anima.grad(function(anima)))(2.0) == 12
    with pytest.raises(ValueError, match="Linearization failed"):
        jax.grad(jax.grad(function(jax)))(2.0)


@difference("checkpoint-fences")
def checkpoint_fences(run_python, tmp_path) -> None:
    def units(lib, of) -> float:
        def block(x):
            for _ in range(4):
                x = lib.numpy.tanh(x @ x)
            return x

        def loss(x):
            for _ in range(6):
                x = of(lib, block)(x)
            return x.sum()

        x = numpy.ones((64, 64), numpy.float32)
        stats = lib.jit(lib.grad(loss)).lower(x).compile().memory_analysis()
        return stats.temp_size_in_bytes / x.nbytes

    for lib, saves in ((anima, True), (jax, False)):
        plain = units(lib, lambda lib, f: f)
        assert plain >= 20
        assert (units(lib, lambda lib, f: lib.checkpoint(f)) < plain / 2) is saves
        assert units(lib, lambda lib, f: lib.checkpoint(f, prevent_cse=False)) > plain / 2


@difference("checkpoint-names")
def checkpoint_names(run_python, tmp_path) -> None:
    def call(lib):
        return lib.checkpoint(lambda x, flag: x if flag else -x, static_argnames="flag")(1.0, flag=False)

    assert call(anima) == -1
    with pytest.raises(jax.errors.TracerBoolConversionError):
        call(jax)


@difference("running-rounding")
def running_rounding(run_python, tmp_path) -> None:
    for name, values in (("cumprod", [1e30, 1e30, 1e-30]), ("cumsum", [3e38, 3e38, -3e38])):
        x = numpy.array(values, numpy.float32)
        assert numpy.isinf(getattr(jax.lax, name)(x)[2])
        assert numpy.isclose(getattr(anima.lax, name)(x)[2], x[0])


def documented() -> list[str]:
    """The names in the first column of the table."""
    return re.findall(r"^\| `([\w-]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


@difference("scan-effects")
def scan_effects(run_python, tmp_path) -> None:
    import jax.experimental

    import anima.experimental

    def happened(lib) -> list[int]:
        seen: list[int] = []

        def step(c, i, x):
            lib.experimental.io_callback(lambda v: seen.append(int(v)), None, i, ordered=True)
            return c * x, None

        f = lambda x: lib.lax.scan(lambda c, i: step(c, i, x), x, numpy.arange(3))[0]
        assert float(lib.grad(f)(1.0)) == 4
        lib.effects_barrier()
        return seen

    assert happened(jax) == []
    assert happened(anima) == [0, 1, 2]


@difference("effects-over-devices")
def effects_over_devices(run_python, tmp_path) -> None:
    program = """
import {0} as lib, numpy
lib.config.update("jax_num_cpu_devices", 2)
mesh = lib.make_mesh((2,), ("x",), axis_types=(lib.sharding.AxisType.Auto,))
x = lib.device_put(numpy.arange(4.0), lib.NamedSharding(mesh, lib.P("x")))
seen = []
look = lambda v: seen.append(numpy.asarray(v).tolist())
def run(**options):
    seen.clear()
    lib.jit(lambda x: lib.debug.callback(look, x, **options))(x)
    lib.effects_barrier()
    return sorted(seen)
whole = [0.0, 1.0, 2.0, 3.0]
assert run() == [whole]
parts = run(partitioned=True)
try:
    ordered = run(ordered=True)
except ValueError:
    ordered = None
assert (parts, ordered) == {1}, (parts, ordered)
"""
    whole = [0.0, 1.0, 2.0, 3.0]
    run_python(program.format("jax", ([whole[:2], whole[2:]], None)))
    run_python(program.format("anima", ([whole] * 2, [whole])))


@difference("donated-puts")
def donated_puts(run_python, tmp_path) -> None:
    program = """
import {0} as lib, numpy
lib.config.update("jax_num_cpu_devices", 2)
mesh, back = (lib.sharding.Mesh(numpy.array(lib.devices()[::i]), "x") for i in (1, -1))
one, split, turned = lib.devices()[0], lib.NamedSharding(mesh, lib.P("x")), lib.NamedSharding(back, lib.P("x"))
def gone(a, b):
    x = lib.numpy.negative(lib.device_put(numpy.arange(4.0), a))
    y = lib.device_put(x, b, donate=True)
    assert y.tolist() == [0.0, -1.0, -2.0, -3.0]
    return x.is_deleted()
found = [gone(one, one), gone(split, split), gone(split, turned), gone(one, split), gone(split, one)]
assert found == {1}, found
try:
    slope = lib.grad(lambda x: lib.device_put(x, donate=True) ** 2)(3.0)
except ValueError:
    slope = None
assert slope == {2}, slope
"""
    run_python(program.format("jax", [False, False, True, False, False], None))
    run_python(program.format("anima", [False, False, True, True, True], 6.0))


@difference("deleted-aliases")
def deleted_aliases(run_python, tmp_path) -> None:
    def left(lib):
        x = lib.numpy.arange(3.0)
        y = lib.device_put(x, lib.devices()[0])
        x.delete()
        return not y.is_deleted()

    assert (left(jax), left(anima)) == (False, True)


@difference("stage-texts")
def stage_texts(run_python, tmp_path) -> None:
    ours, theirs = (lib.jit(lambda x: x + 1).trace(1.0) for lib in (anima, jax))
    assert theirs.lower().as_text("hlo").startswith("HloModule")
    assert not isinstance(theirs.lower().compiler_ir(), str) and isinstance(ours.lower().compiler_ir(), str)
    with pytest.raises(ValueError, match="dialect"):
        ours.lower().as_text("hlo")
    assert ours.lower().compile().as_text().startswith("HloModule")
    assert "stablehlo" in theirs.lower(lowering_platforms=("cpu", "cuda")).as_text()
    with pytest.raises(ValueError, match="one platform"):
        ours.lower(lowering_platforms=("cpu", "cuda"))


@difference("named-tuple-keys")
def named_tuple_keys(run_python, tmp_path) -> None:
    point = collections.namedtuple("point", "x y")(1, 2)

    def keys(lib):
        return [key.name for key, _ in lib.tree_util.flatten_one_level_with_keys(point)[0]]

    assert keys(jax) == ["x", "x"] and keys(anima) == ["x", "y"]


@difference("dataclass-fields")
def dataclass_fields(run_python, tmp_path) -> None:
    def registered(lib, **options):
        fields = [("a", int), ("b", int, dataclasses.field(default=2, init="drop_fields" in options))]
        cls = lib.tree_util.register_dataclass(dataclasses.make_dataclass("C", fields), **options)
        return lib.tree.leaves(cls(1))

    for options in ({}, {"drop_fields": ["b"]}):
        with pytest.raises(ValueError):
            registered(jax, **options)
        assert registered(anima, **options) == [1]


@difference("unravel-shape")
def unravel_shape(run_python, tmp_path) -> None:
    def unravelled(lib, tree, vector):
        return lib.tree.leaves(
            importlib.import_module(f"{lib.__name__}.flatten_util").ravel_pytree(tree)[1](vector)
        )

    column, more = numpy.ones((2, 1), numpy.float32), numpy.ones(1, numpy.float32)
    assert len(unravelled(jax, [1.0, 2.0], column)) == 2 and unravelled(jax, [], more) == []
    for tree, vector in (([1.0, 2.0], column), ([], more)):
        with pytest.raises(ValueError, match="must have shape"):
            unravelled(anima, tree, vector)


@difference("numbers-out")
def numbers_out(run_python, tmp_path) -> None:
    assert type(jax.jvp(lambda x: 3.0, (1.0,), (1.0,))[0]) is float
    assert isinstance(anima.jvp(lambda x: 3.0, (1.0,), (1.0,))[0], anima.Array)


@difference("float0-jacobians")
def float0_jacobians(run_python, tmp_path) -> None:
    ints, floats = numpy.arange(3), numpy.arange(3.0, dtype="f")
    for lib, dtype in ((jax, numpy.dtype("int32")), (anima, anima.dtypes.float0)):
        assert lib.jacrev(lambda x: x * 2.0, allow_int=True)(ints).dtype == dtype
        assert lib.jacfwd(lambda x: (x * 2).astype(int))(floats).dtype == dtype


@difference("argnums")
def argnums(run_python, tmp_path) -> None:
    assert float(jax.grad(lambda x, y: x * y, True)(3.0, 4.0)) == 3
    with pytest.raises(ValueError):
        jax.grad(lambda x: x, ())(3.0)
    with pytest.raises(TypeError, match="integer"):
        anima.grad(lambda x, y: x * y, True)
    assert anima.grad(lambda x: x, ())(3.0) == ()


@difference("linear-calls")
def linear_calls(run_python, tmp_path) -> None:
    for lib, error in ((jax, (NotImplementedError, AssertionError)), (anima, None)):
        call = lib.custom_derivatives.linear_call
        divide = lambda x, d, call=call: call(lambda d, x: x / d, lambda d, t: t / d, d, x)
        runs = (
            lambda: lib.vmap(divide, (0, None))(numpy.ones(2, "f"), 2.0)[0],
            lambda: -lib.grad(divide, 1)(2.0, 2.0),
        )
        for run in runs:
            if error is None:
                assert float(run()) == 0.5
            else:
                with pytest.raises(error):
                    run()


def mapped_sine(lib, rule):
    f = lib.custom_batching.custom_vmap(lambda x, y: lib.numpy.sin(x) * y)
    f.def_vmap(rule)
    return f


@difference("custom-vmap-gradients")
def custom_vmap_gradients(run_python, tmp_path) -> None:
    with pytest.raises(ValueError):
        jax.grad(mapped_sine(jax, lambda *args: None))(1.0, 2.0)
    assert float(anima.grad(mapped_sine(anima, lambda *args: None))(0.0, 2.0)) == 2


@difference("custom-vmap-tangents")
def custom_vmap_tangents(run_python, tmp_path) -> None:
    for lib, shape in ((jax, (3, 3)), (anima, (3,))):
        f = mapped_sine(lib, lambda size, mapped, x, y, lib=lib: (lib.numpy.sin(x) * y, True))
        x = numpy.ones(3, "f")
        assert lib.vmap(lambda x, y: lib.jvp(f, (x, y), (x, 1.0)))(x, x)[0].shape == shape


@difference("custom-vmap-types")
def custom_vmap_types(run_python, tmp_path) -> None:
    rule = lambda size, mapped, x, y: (x[:2].astype(int), True)
    x = numpy.ones(3, "f")
    assert jax.vmap(mapped_sine(jax, rule))(x, x).shape == (2,)
    with pytest.raises(ValueError, match="must be float32"):
        anima.vmap(mapped_sine(anima, rule))(x, x)


@difference("gelu-limits")
def gelu_limits(run_python, tmp_path) -> None:
    ends, far = numpy.float32([-numpy.inf, numpy.inf]), numpy.float32(-12.718365)
    for lib, off in ((jax, True), (anima, False)):
        gelu = lambda x, lib=lib: lib.nn.gelu(x, approximate=False)
        assert numpy.isnan(gelu(ends)[0]) == off
        assert numpy.isnan(lib.vmap(lib.grad(gelu))(ends)).tolist() == [off, off]
        want = float(far) * scipy.special.ndtr(float(far))
        assert (abs(float(lib.jit(gelu)(far)) - want) > 50 * numpy.spacing(numpy.float32(abs(want)))) == off
    assert anima.vmap(anima.grad(gelu))(ends).tolist() == [0, 1]
    small = numpy.float32(-2).astype("float8_e5m2")
    assert float(jax.nn.gelu(small)) == 0 and abs(float(anima.nn.gelu(small)) + 0.0454) < 0.002


def test_every_row_has_a_check_and_every_check_a_row() -> None:
    assert sorted(documented()) == sorted(CHECKS)


@pytest.mark.parametrize("name", documented())
def test_difference(name: str, run_python, tmp_path) -> None:
    CHECKS[name](run_python, tmp_path)

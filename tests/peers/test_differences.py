"""Every row of `docs/differences.md` is true of both libraries, and every check here has its row."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import jax
import numpy
import pytest

import anima
from anima.config import threefry_partitionable

pytestmark = pytest.mark.peers

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
CHECKS: dict[str, Callable[..., None]] = {}


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


@difference("lax-scalars")
def lax_scalars(run_python, tmp_path) -> None:
    x = numpy.ones(2, numpy.float32)
    with pytest.raises(TypeError, match="same dtypes"):
        jax.lax.add(x, 1)
    assert numpy.asarray(anima.lax.add(x, 1)).tolist() == [2, 2]
    for lib in (jax, anima):
        for y in (numpy.ones(2, numpy.int32), 1j):
            with pytest.raises(TypeError, match="same dtypes"):
                lib.lax.add(x, y)
        with pytest.raises(TypeError, match="same dtypes"):
            lib.lax.add(1, 1.0)


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


@difference("complex-truth")
def complex_truth(run_python, tmp_path) -> None:
    assert not jax.numpy.any(jax.numpy.array([1j]))
    assert anima.numpy.any(anima.numpy.array([1j]))


@difference("loop-gradients")
def loop_gradients(run_python, tmp_path) -> None:
    def derivative(lib) -> float:
        def grown(x):
            return lib.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x))[1]

        return float(lib.jit(lib.grad(grown))(2.0))

    assert derivative(anima) == 32.0
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        derivative(jax)


@difference("half-variance")
def half_variance(run_python, tmp_path) -> None:
    values = numpy.array([1e4, -1e4], numpy.float16)
    assert numpy.isinf(jax.numpy.std(values))
    assert float(anima.numpy.std(values)) == 1e4


def documented() -> list[str]:
    """The names in the first column of the table."""
    return re.findall(r"^\| `([\w-]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_row_has_a_check_and_every_check_a_row() -> None:
    assert sorted(documented()) == sorted(CHECKS)


@pytest.mark.parametrize("name", documented())
def test_difference(name: str, run_python, tmp_path) -> None:
    CHECKS[name](run_python, tmp_path)

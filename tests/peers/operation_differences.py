"""Checks of the rows of `docs/differences.md` on Fourier transforms, ragged products, composites, random numbers, sorting and Taylor mode."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.dlpack
import numpy as np
import pytest

import anima

OPERATION_CHECKS: dict[str, Callable[..., None]] = {}

F32 = np.float32


def difference(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the check of a row."""

    def declare(check: Callable[..., None]) -> Callable[..., None]:
        OPERATION_CHECKS[name] = check
        return check

    return declare


@difference("fft-nothing")
def transform_of_nothing(run_python: Any, tmp_path: Any) -> None:
    nothing = np.zeros((2, 0), F32)
    with pytest.raises(ValueError):
        jax.numpy.fft.rfft(nothing)
    np.testing.assert_array_equal(anima.numpy.fft.rfft(nothing), np.zeros((2, 1)))


@difference("dct-types")
def cosine_transforms(run_python: Any, tmp_path: Any) -> None:
    from anima.scipy import fft

    x = np.arange(4, dtype=F32)
    for options in ({"type": 3}, {"norm": "forward"}):
        with pytest.raises((NotImplementedError, ValueError)):
            jax.scipy.fft.dct(x, **options)
        assert fft.dct(x, **options).shape == (4,)


@difference("ragged-dot")
def ragged_products(run_python: Any, tmp_path: Any) -> None:
    x, sizes = np.ones((4, 2), F32), np.array([1, 3])

    def matrices(lib: Any) -> Any:
        return lib.lax.ragged_dot(x, np.ones((2, 2, 3), F32), sizes, group_offset=0)

    def summed(lib: Any) -> Any:
        numbers = lib.lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), [0], [])
        return lib.grad(lambda x: lib.lax.ragged_dot_general(x, x, sizes, numbers).sum())(x)

    def mapped(lib: Any) -> Any:
        return lib.vmap(lambda x: lib.lax.ragged_dot(x, np.ones((2, 2, 3), F32), sizes))(x[None])

    for call in (matrices, summed, mapped):
        with pytest.raises(NotImplementedError):
            call(jax)
        assert np.isfinite(call(anima)).all()
    infinite = np.stack([np.ones((2, 3), F32), np.full((2, 3), np.inf, F32)])
    assert np.isnan(jax.lax.ragged_dot(x, infinite, sizes)[0]).all()
    assert (np.asarray(anima.lax.ragged_dot(x, infinite, sizes))[0] == 2).all()


@difference("composites")
def composites(run_python: Any, tmp_path: Any) -> None:
    def of(lib: Any) -> Any:
        return lib.lax.composite(lambda x: lib.lax.sin(x), name="my.sine")

    def outside(lib: Any) -> Any:
        return lib.jit(lambda z: lib.lax.composite(lambda x: x * z, name="a.b")(2.0))(3.0)

    for call in (lambda lib: lib.grad(of(lib))(0.0), lambda lib: lib.vmap(of(lib))(np.ones(1, F32)), outside):
        with pytest.raises((ValueError, NotImplementedError, jax.errors.UnexpectedTracerError)):
            call(jax)
        call(anima)
    assert jax.lax.composite(lambda x: x, name="one")(1.0) == 1
    with pytest.raises(ValueError):
        anima.lax.composite(lambda x: x, name="one")


@difference("scaled-dot")
def scaled_products(run_python: Any, tmp_path: Any) -> None:
    x, scale = np.full((1, 4), 1 + 2**-12, F32), np.ones((1, 1), F32)

    def product(lib: Any) -> float:
        return float(lib.lax.scaled_dot(x, x.T, lhs_scale=scale, preferred_element_type=F32)[0, 0])

    exact = float((x.astype(float) ** 2).sum())
    assert abs(product(jax) - exact) > 1e-4
    assert abs(product(anima) - exact) < 1e-6
    with pytest.raises(NotImplementedError):
        jax.grad(lambda x: jax.lax.scaled_dot(x, x.T, lhs_scale=scale).astype(F32).sum())(x)
    assert np.isfinite(
        anima.grad(lambda x: anima.lax.scaled_dot(x, x.T, lhs_scale=scale).astype(F32).sum())(x)
    ).all()


@difference("approx-candidates")
def candidates(run_python: Any, tmp_path: Any) -> None:
    x = np.arange(1000, dtype=F32)

    def count(lib: Any) -> int:
        return int(lib.lax.approx_max_k(x, 10, aggregate_to_topk=False)[0].size)

    assert count(jax) == 1000
    assert count(anima) == 256


@difference("rng-uniform")
def uniform_of_narrow_integers(run_python: Any, tmp_path: Any) -> None:
    program = "import {0}; {0}.lax.rng_uniform({0}.numpy.int8(0), {0}.numpy.int8(9), (2,))"
    died = subprocess.run([sys.executable, "-c", program.format("jax")], capture_output=True)
    assert died.returncode < 0
    with pytest.raises(TypeError):
        anima.lax.rng_uniform(np.int8(0), np.int8(9), (2,))


@difference("tokens")
def tokens(run_python: Any, tmp_path: Any) -> None:
    assert not isinstance(jax.lax.create_token(), jax.Array)
    assert isinstance(anima.lax.create_token(), anima.Array)
    with pytest.raises(AttributeError):
        jax.vmap(lambda x: jax.lax.create_token())(np.zeros(2))
    assert anima.vmap(lambda x: anima.lax.create_token())(np.zeros(2)).shape == (2,)


@difference("dlpack-dtypes")
def narrow_floats_through_dlpack(run_python: Any, tmp_path: Any) -> None:
    jax.numpy.zeros(2, "float8_e5m2").__dlpack__()
    assert not jax.dlpack.is_supported_dtype("float8_e5m2")
    assert anima.dlpack.is_supported_dtype("float8_e5m2")


@difference("sort-subnormals")
def sort_subnormals(run_python: Any, tmp_path: Any) -> None:
    x = np.array([1e-40, 0.0, -1e-40], F32)
    np.testing.assert_array_equal(jax.numpy.sort(x), x)
    np.testing.assert_array_equal(anima.numpy.sort(x), x[::-1])


@difference("jet")
def taylor_mode(run_python: Any, tmp_path: Any) -> None:
    for lib, known in ((jax, False), (anima, True)):
        jet = importlib.import_module(f"{lib.__name__}.experimental.jet").jet
        programs = (
            lambda x, lib=lib: lib.lax.cond(x > 0, lib.numpy.sin, lib.numpy.cos, x),
            lambda x, lib=lib: lib.nn.relu(x),
            lambda x, lib=lib: lib.lax.lgamma(x),
        )
        for program in programs:
            if known:
                assert len(jet(program, (1.5,), ((1.0, 0.0),))[1]) == 2
            else:
                with pytest.raises((KeyError, jax.errors.UnexpectedTracerError)):
                    jet(program, (1.5,), ((1.0, 0.0),))
        tree = lambda jet=jet: jet(lambda d: d["a"], ({"a": 1.0},), ({"a": [1.0]},))
        integer = lambda jet=jet: jet(lambda n: n * 2.0, (3,), ((1.0,),))
        if known:
            assert float(tree()[1][0]) == 1
            with pytest.raises(TypeError, match="float0"):
                integer()
        else:
            assert float(integer()[1][0]) == 2
            with pytest.raises(ValueError):
                tree()


@difference("weak-tangents")
def weak_tangents(run_python: Any, tmp_path: Any) -> None:
    for lib, expected in ((jax, (True, False)), (anima, (True, True))):
        x = lib.lax.broadcast(0.5, (2,))
        found = [lib.jvp(f, (x,), (x,))[1] for f in (lib.lax.sin, lib.lax.asin)]
        assert tuple(t.weak_type for t in found) == expected

"""The rows of `docs/differences.md` about random numbers."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy
import pytest

import anima


def poisson_generators(run_python, tmp_path) -> None:
    with pytest.raises(NotImplementedError, match="threefry2x32"):
        jax.random.poisson(jax.random.key(0, impl="rbg"), 3.0, (2,))
    assert anima.random.poisson(anima.random.key(0, impl="rbg"), 3.0, (2,)).shape == (2,)


def permuted_keys(run_python, tmp_path) -> None:
    with pytest.raises(ValueError, match="verifier"):
        jax.random.permutation(jax.random.key(0), jax.random.split(jax.random.key(1), 3))
    keys = anima.random.split(anima.random.key(1), 3)
    permuted = anima.random.key_data(anima.random.permutation(anima.random.key(0), keys)).tolist()
    assert sorted(permuted) == sorted(anima.random.key_data(keys).tolist())


def complex_parameters(run_python, tmp_path) -> None:
    a = numpy.complex64(1 + 1j)
    with pytest.warns(numpy.exceptions.ComplexWarning):
        assert jax.random.gamma(jax.random.key(0), a).dtype == numpy.float32
    with pytest.raises(TypeError, match="argument a must be real"):
        anima.random.gamma(anima.random.key(0), a)


def orthogonal_sizes(run_python, tmp_path) -> None:
    with pytest.raises(ValueError, match="negative"):
        jax.random.orthogonal(jax.random.key(0), -1)
    with pytest.raises(TypeError, match="must not be negative"):
        anima.random.orthogonal(anima.random.key(0), -1)


def refused(lib, use: Callable[..., object]) -> bool:
    with lib.debug_key_reuse(True):
        try:
            use(lib)
        except lib.errors.KeyReuseError:
            return True
    return False


def raw_key_reuse(run_python, tmp_path) -> None:
    def raw(lib) -> None:
        key = lib.random.PRNGKey(0)
        lib.random.normal(key)
        lib.random.normal(key)

    def folded(lib) -> None:
        key = lib.random.key(0)
        for _ in range(2):
            lib.random.normal(lib.random.fold_in(key, 3))

    for use in (raw, folded):
        assert not refused(jax, use)
        assert refused(anima, use)


def recomputed_keys(run_python, tmp_path) -> None:
    def checkpointed(lib) -> None:
        lib.grad(lib.checkpoint(lambda x, k: x * lib.random.normal(k)))(1.0, lib.random.key(0))

    def one_step(lib) -> None:
        key = lib.random.key(0)
        lib.lax.scan(lambda c, _: (c + lib.random.normal(key), None), 0.0, None, length=1)

    for use in (checkpointed, one_step):
        assert refused(jax, use)
        assert not refused(anima, use)


def parameter_domains(run_python, tmp_path) -> None:
    for lib in (jax, anima):
        key, arrays = lib.random.key(0), lib.numpy
        assert lib.random.poisson(key, arrays.asarray(-1.0)) == -1
        assert arrays.isnan(lib.random.gamma(key, arrays.asarray(-1.0)))
        assert lib.random.bernoulli(key, arrays.asarray(1.5))
        assert lib.random.uniform(key, minval=arrays.asarray(1.0), maxval=-1.0) == 1
        assert lib.jit(lambda lam, key=key, lib=lib: lib.random.poisson(key, lam))(-1.0) == -1
        assert arrays.isnan(lib.random.gamma(key, float("nan")))
    key = jax.random.key(0)
    assert jax.random.poisson(key, -1.0) == -1 and jax.numpy.isnan(jax.random.gamma(key, -1.0))
    assert jax.random.bernoulli(key, 1.5) and jax.random.uniform(key, minval=1.0, maxval=-1.0) == 1
    assert jax.random.permutation(key, -1).size == 0
    assert jax.random.choice(key, 5, (3,), p=numpy.zeros(5, "float32")).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="choice: p must be 0 or more, and not 0 everywhere"):
        anima.random.choice(anima.random.key(0), 5, (3,), p=numpy.zeros(5, "float32"))
    for name, given in {
        "poisson": {"lam": -1.0},
        "gamma": {"a": numpy.float32([1.0, -1.0])},
        "bernoulli": {"p": 1.5},
        "uniform": {"minval": 1.0, "maxval": -1.0},
        "permutation": {"x": -1},
    }.items():
        with pytest.raises(ValueError, match=rf"^{name}: {next(iter(given))} must be"):
            getattr(anima.random, name)(anima.random.key(0), **given)


def folded_floats(run_python, tmp_path) -> None:
    def folded(lib, data, wrap=lambda fun: fun) -> list[int]:
        key = lib.random.key(0)
        return lib.random.key_data(wrap(lambda x: lib.random.fold_in(key, x))(data)).tolist()

    data = numpy.float32(-1.5)
    assert folded(jax, data) == folded(jax, 2**32 - 1) != folded(jax, data, jax.jit)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert folded(jax, numpy.float32("nan")) == folded(jax, 0)
    with pytest.raises(OverflowError, match="fold_in: data must be from 0"):
        folded(anima, data)
    with pytest.raises(ValueError, match="fold_in: data must be from 0"):
        folded(anima, numpy.float32("nan"))
    with pytest.warns(numpy.exceptions.ComplexWarning):
        assert folded(jax, numpy.complex64(2 + 1j)) == folded(jax, 2)
    with pytest.raises(TypeError, match="fold_in: data must be an integer"):
        folded(anima, numpy.complex64(2 + 1j))


RANDOM_CHECKS: dict[str, Callable[..., None]] = {
    "poisson-generators": poisson_generators,
    "permuted-keys": permuted_keys,
    "complex-parameters": complex_parameters,
    "parameter-domains": parameter_domains,
    "folded-floats": folded_floats,
    "orthogonal-sizes": orthogonal_sizes,
    "raw-key-reuse": raw_key_reuse,
    "recomputed-keys": recomputed_keys,
}

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


RANDOM_CHECKS: dict[str, Callable[..., None]] = {
    "poisson-generators": poisson_generators,
    "permuted-keys": permuted_keys,
    "complex-parameters": complex_parameters,
    "orthogonal-sizes": orthogonal_sizes,
    "raw-key-reuse": raw_key_reuse,
    "recomputed-keys": recomputed_keys,
}

"""Checks of the rows of `docs/differences.md` on references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima
import anima.numpy as jnp

REF_CHECKS: dict[str, Callable[..., None]] = {}


def difference(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the check of a row."""

    def declare(check: Callable[..., None]) -> Callable[..., None]:
        REF_CHECKS[name] = check
        return check

    return declare


@difference("ref-values")
def values(run_python: Any, tmp_path: Any) -> None:
    mask = np.array([True, False, True, False])
    uses: list[tuple[Callable[[Any], Any], list[int]]] = [
        (lambda ref: ref.__setitem__(slice(0, 2), 5.0), [5, 5, 2, 3]),
        (lambda ref: ref.__setitem__(..., 5.0), [5, 5, 5, 5]),
        (lambda ref: ref.__setitem__(0, 5), [5, 1, 2, 3]),
        (lambda ref: ref.__setitem__(mask, 5.0), [5, 1, 5, 3]),
        (lambda ref: ref.__setitem__(..., ref[::-1]), [3, 2, 1, 0]),
        (lambda ref: ref.at[1:].__setitem__(0, 5.0), [0, 5, 2, 3]),
    ]
    for use, expected in uses:
        with pytest.raises((ValueError, IndexError, NotImplementedError)):
            use(jax.new_ref(jax.numpy.arange(4.0)))
        ref = anima.new_ref(jnp.arange(4.0))
        use(ref)
        np.testing.assert_array_equal(ref[...], expected)


@difference("ref-ends")
def ends(run_python: Any, tmp_path: Any) -> None:
    for package in (jax, anima):
        for end in (package.freeze, package.free_ref):
            ref = package.new_ref(1.0)
            end(ref)
            if package is jax:
                assert ref[...] == 1
            else:
                with pytest.raises(anima.errors.RefError):
                    ref[...]
    jax.new_ref(1.0, kind="text")
    with pytest.raises(ValueError, match="kind"):
        anima.new_ref(1.0, kind="text")


@difference("ref-programs")
def programs(run_python: Any, tmp_path: Any) -> None:
    def f(ref: Any) -> Any:
        ref[...] = ref[...] * 2
        return ref[0]

    theirs = jax.make_jaxpr(f)(jax.new_ref(jax.numpy.ones(2)))
    assert (
        isinstance(theirs.in_avals[0], jax.ref.AbstractRef) and len(theirs.out_avals) == 1 and theirs.effects
    )
    ours = anima.make_jaxpr(f)(anima.new_ref(jnp.ones(2)))
    assert [a.shape for a in ours.in_avals] == [(2,)]
    assert [a.shape for a in ours.out_avals] == [(), (2,)] and not ours.effects


@difference("ref-conditions")
def conditions(run_python: Any, tmp_path: Any) -> None:
    for package in (jax, anima):
        read = package.new_ref(np.int32(0))

        def loop(package: Any = package, read: Any = read) -> Any:
            def body(c: Any) -> Any:
                read[...] += 1
                return c

            return package.lax.while_loop(lambda c: read[...] < 3, body, 0.0)

        if package is jax:
            with pytest.raises(ValueError):
                loop()
        else:
            loop()
            assert read[...] == 3
        written = package.new_ref(np.int32(0))

        def condition(c: Any, written: Any = written) -> Any:
            written[...] += 1
            return c < 3

        counting = lambda package, condition: package.lax.while_loop(condition, lambda c: c + 1, 0)
        if package is jax:
            counting(jax, condition)
            assert written[...] == 3  # called four times
        else:
            with pytest.raises(anima.errors.RefError):
                counting(anima, condition)


@difference("ref-checkpoint")
def checkpointed(run_python: Any, tmp_path: Any) -> None:
    for package, expected in ((jax, 2), (anima, 1)):
        ref = package.new_ref(np.int32(0))

        def f(x: Any, ref: Any = ref, package: Any = package) -> Any:
            ref[...] += 1
            return package.numpy.sin(x)

        np.testing.assert_allclose(package.grad(package.checkpoint(f))(1.0), np.cos(1.0), rtol=1e-6)
        assert ref[...] == expected

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


@difference("ref-maps")
def maps(run_python: Any, tmp_path: Any) -> None:
    for package in (jax, anima):
        numpy, lax = package.numpy, package.lax

        def choosing(x: Any, package: Any = package, lax: Any = lax) -> Any:
            ref = package.new_ref(x)
            lax.cond(x > 1, lambda: ref.__setitem__(..., 10.0), lambda: None)
            return ref[...]

        table, column = package.new_ref(numpy.zeros((2, 3))), package.new_ref(numpy.arange(3.0))
        columns = lambda package=package, table=table, numpy=numpy: package.vmap(
            lambda r, x: r.__setitem__(..., r[...] + x), in_axes=(1, 0)
        )(table, numpy.arange(3.0))
        both = lambda package=package, column=column: package.vmap(lambda r: r[...] + column[0])(column)
        made = lambda package=package, numpy=numpy: package.vmap(package.new_ref)(numpy.arange(3.0))
        if package is jax:
            with pytest.raises(NotImplementedError):
                jax.vmap(choosing)(numpy.arange(3.0))
            with pytest.raises(ValueError):
                columns()
            both(), made()
        else:
            np.testing.assert_array_equal(anima.vmap(choosing)(numpy.arange(3.0)), [0, 1, 10])
            columns()
            np.testing.assert_array_equal(table[...], [[0, 1, 2], [0, 1, 2]])
            for refused in (both, made):
                with pytest.raises(anima.errors.RefError):
                    refused()


@difference("ref-derivatives")
def derivatives(run_python: Any, tmp_path: Any) -> None:
    for package in (jax, anima):
        numpy = package.numpy
        total, outside = package.new_ref(numpy.float32(0.0)), package.new_ref(numpy.float32(0.0))
        _, pullback = package.vjp(lambda r: r[...] ** 2, package.new_ref(numpy.float32(3.0)))
        add = lambda x, package=package, outside=outside: (
            package.ref.addupdate(outside, ..., package.lax.stop_gradient(x)), x
        )[1]  # fmt: skip
        _, of_tree = package.vjp(lambda p: p["a"] * p["b"], {"a": 2.0, "b": 3.0})
        if package is jax:
            with pytest.raises(ValueError):
                pullback.with_refs(total)(1.0)
            with pytest.raises(TypeError):
                jax.grad(add)(1.0)
            with pytest.raises(Exception, match="^$"):
                of_tree.with_refs(jax.ad.GradValue())(1.0)
        else:
            pullback.with_refs(total)(1.0)
            anima.grad(add)(1.0)
            assert (total[...], outside[...]) == (6, 1)
            assert of_tree.with_refs(anima.ad.GradValue())(1.0) == ({"a": 3, "b": 2},)


@difference("ref-rules")
def rules(run_python: Any, tmp_path: Any) -> None:
    for package in (jax, anima):

        @package.custom_jvp
        def forward(ref: Any, x: Any) -> Any:
            return x * ref[...]

        forward.defjvp(lambda primals, tangents, f=forward: (f(*primals), tangents[1]))

        @package.custom_vjp
        def reverse(ref: Any, x: Any) -> Any:
            return x

        def backward(ref: Any, ct: Any) -> Any:
            ref[...] += 1
            return None, ct

        reverse.defvjp(lambda ref, x: (x, ref), backward)
        ref, count = package.new_ref(package.numpy.float32(2.0)), package.new_ref(package.numpy.int32(0))
        gradient = package.grad(package.jit(lambda x, f=reverse, count=count: f(count, x)))
        if package is jax:
            assert forward(ref, 3.0) == 6
            gradient(1.0)
            assert count[...] == 1
        else:
            with pytest.raises(TypeError):
                forward(ref, 3.0)
            with pytest.raises(anima.errors.RefError, match="floating point"):
                gradient(1.0)

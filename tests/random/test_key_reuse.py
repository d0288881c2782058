"""`debug_key_reuse`: each way to use a key twice is found, each way to use it once is not taken for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax, random
from anima.errors import KeyReuseError
from anima.sharding import Mesh, P


@pytest.fixture(autouse=True)
def checked() -> Iterator[None]:
    with anima.debug_key_reuse(True):
        yield


def mesh_map(fun: Callable[..., Any]) -> Callable[..., Any]:
    mesh = Mesh(onp.array(anima.devices()[:1]), ("i",))
    return anima.shard_map(fun, mesh=mesh, in_specs=P(), out_specs=P())


@anima.custom_jvp
def noise(x: Any, key: Any) -> Any:
    return x * random.normal(key)


noise.defjvp(lambda primals, tangents: (noise(*primals), tangents[0] * 2.0))

# Each of one key, which has not been used.
REUSES: dict[str, Callable[[Any], Any]] = {
    "two draws": lambda k: (random.uniform(k), random.normal(k)),
    "a split": lambda k: (random.split(k), random.normal(k)),
    "after a split": lambda k: (random.normal(k), random.split(k)),
    "gamma": lambda k: (random.gamma(k, 2.0), random.gamma(k, 2.0)),
    "an element": lambda k: [random.normal(x[0]) for x in [random.split(k)] * 2],
    "another way to an element": lambda k: [random.normal(f(x)) for x in [random.split(k)] for f in (lambda x: x[1], lambda x: x[-1:][0])],
    "elements and all": lambda k: [(random.normal(x[0]), anima.vmap(random.normal)(x)) for x in [random.split(k)]],
    "all and an element": lambda k: [(anima.vmap(random.normal)(x), random.normal(x[0])) for x in [random.split(k)]],
    "stacked": lambda k: anima.vmap(random.normal)(np.stack([k, k])),
    "reshaped": lambda k: (random.normal(k), random.normal(k.reshape(1)[0])),
    "concatenated": lambda k: (random.normal(k), random.normal(np.concatenate([k[None], k[None]])[1])),
    "the same fold": lambda k: [random.normal(random.fold_in(k, 3)) for _ in range(2)],
    "jit": lambda k: (anima.jit(random.normal)(k), random.normal(k)),
    "jit twice": lambda k: [anima.jit(lambda k: random.normal(k) + 1)(k) for _ in range(2)],
    "inside jit": anima.jit(lambda k: random.normal(k) + random.uniform(k)),
    "jit in jit": anima.jit(lambda k: anima.jit(random.normal)(k) + anima.jit(random.uniform)(k)),
    "scan, constant": lambda k: lax.scan(lambda c, _: (c + random.normal(k), None), 0.0, None, length=3),
    "scan, carry": lambda k: lax.scan(lambda c, _: (c, random.normal(c)), k, None, length=3),
    "scan, half renewed": lambda k: lax.scan(lambda c, _: (random.split(c)[0], random.normal(random.split(c)[1])), k, None, length=3),
    "scan, swapped": lambda k: lax.scan(lambda c, _: (c[::-1], random.normal(c[0])), tuple(random.split(k)), None, length=3),
    "scan, rows": lambda k: [(lax.scan(lambda c, k: (c, random.normal(k)), 0, ks), random.normal(ks[9])) for ks in [random.split(k, 10)]],
    "scan, results": lambda k: random.normal(lax.scan(lambda c, _: (random.split(c)[0], c), k, None, length=20)[1][15]),
    "while": lambda k: lax.while_loop(lambda c: c[1] < 3, lambda c: (c[0], c[1] + random.uniform(c[0])), (k, 0.0)),
    "fori": lambda k: lax.fori_loop(0, 3, lambda i, x: x + random.uniform(k), 0.0),
    "while, condition": lambda k: lax.while_loop(lambda c: random.uniform(k) < c, lambda c: c * 0.5, 1.0),
    "cond": lambda k: (lax.cond(True, random.normal, random.uniform, k), random.normal(k)),
    "cond, inside": lambda k: lax.cond(True, lambda k: random.normal(k) + random.uniform(k), random.uniform, k),
    "vmap": lambda k: anima.vmap(lambda k: random.normal(k) + random.normal(k))(random.split(k)),
    "grad": lambda k: (anima.grad(lambda x: x * random.normal(k))(1.0), random.normal(k)),
    "checkpoint": lambda k: (anima.grad(anima.checkpoint(lambda x, k: x * random.normal(k)))(1.0, k), random.normal(k)),
    "custom_jvp": lambda k: (anima.grad(noise)(1.0, k), noise(1.0, k)),
    "shard_map": mesh_map(lambda k: random.normal(k) + random.uniform(k)),
    "shard_map twice": lambda k: [mesh_map(random.normal)(k) for _ in range(2)],
    "rewrapped": lambda k: (random.normal(k), random.normal(random.wrap_key_data(random.key_data(k)))),
}  # fmt: skip

USES: dict[str, Callable[[Any], Any]] = {
    "split": lambda k: [random.normal(x) for x in random.split(k)],
    "a chain": lambda k: [random.normal(random.split(x)[1]) for x in random.split(k, 3)],
    "folds": lambda k: [random.normal(random.fold_in(k, i)) for i in range(3)],
    "fold and draw": lambda k: (random.normal(k), random.normal(random.fold_in(k, 1))),
    "clone": lambda k: (random.normal(k), random.normal(random.clone(k))),
    "jit of clone": anima.jit(lambda k: random.normal(k) + random.normal(random.clone(k))),
    "elements": lambda k: [random.normal(x[i]) for x in [random.split(k, 3)] for i in range(3)],
    "slices": lambda k: [anima.vmap(random.normal)(x[i : i + 2]) for x in [random.split(k, 4)] for i in (0, 2)],
    "two seeds": lambda k: [random.normal(random.key(0)) for _ in range(2)],
    "seeds inside": lambda k: [f() for f in [anima.jit(lambda: random.normal(random.key(0)) + random.normal(random.PRNGKey(0)))] * 2],
    "comparison": lambda k: (random.normal(k), k == k),
    "moved only": lambda k: (random.normal(k), k.reshape(1), np.stack([k, k])),
    "scan": lambda k: lax.scan(lambda c, _: tuple(random.split(c)), k, None, length=3),
    "scan, one step": lambda k: lax.scan(lambda c, _: (c + random.normal(k), None), 0.0, None, length=1),
    "scan, no step": lambda k: (lax.scan(lambda c, _: (c + random.normal(k), None), 0.0, None, length=0), random.normal(k)),
    "scan, rows": lambda k: lax.scan(lambda c, k: (c + random.normal(k), None), 0.0, random.split(k, 20)),
    "scan, fold": lambda k: lax.scan(lambda c, i: (c + random.normal(random.fold_in(k, i)), None), 0.0, np.arange(3)),
    "fori, index": lambda k: [lax.fori_loop(0, 3, lambda i, x: x + random.normal(ks[i]), 0.0) for ks in [random.split(k, 3)]],
    "while": lambda k: lax.while_loop(lambda c: c[1] < 3, lambda c: (random.split(c[0])[0], c[1] + 1), (k, 0)),
    "branches": lambda k: lax.cond(True, random.normal, random.uniform, k),
    "vmap": lambda k: anima.vmap(lambda x: x + random.normal(k))(np.arange(3.0)),
    "vmap of gamma": lambda k: anima.vmap(lambda a: random.gamma(k, a))(np.ones(3)),
    "vmap of keys": lambda k: anima.vmap(random.normal)(random.split(k, 4)),
    "checkpoint": lambda k: anima.grad(anima.checkpoint(lambda x, k: x * random.normal(k)))(1.0, k),
    "jit of checkpoint": lambda k: anima.jit(anima.grad(anima.checkpoint(lambda x, k: x * random.normal(k))))(1.0, k),
    "checkpointed scan": lambda k: anima.jit(anima.grad(lambda x: lax.scan(anima.checkpoint(
        lambda c, k: (c * random.normal(k), None)), x, random.split(k, 3))[0]))(1.0),
    "where": lambda k: [random.normal(np.where(onp.arange(2)[i] > 0, a, b)) for a, b in [random.split(k)] for i in range(2)],
    "many": lambda k: [random.normal(x[i]) for x in [random.split(k, 20_000)] for i in range(2)],
    "a generator": lambda k: [g.normal() for g in [random.Generator(k)] for _ in range(3)],
}  # fmt: skip


@pytest.mark.parametrize("name", REUSES)
def test_reuses(name: str) -> None:
    """In eager calls, and in a program."""
    for fun in (REUSES[name], anima.jit(REUSES[name])):
        with pytest.raises(KeyReuseError, match=r"test_key_reuse\.py:\d+ "):
            fun(random.key(1))
    with pytest.raises(KeyReuseError):
        anima.jit(REUSES[name]).lower(random.key(1))


@pytest.mark.parametrize("name", USES)
def test_uses(name: str) -> None:
    for fun in (USES[name], anima.jit(USES[name])):
        fun(random.key(1))


@pytest.mark.parametrize(
    "name", ["two draws", "a split", "the same fold", "inside jit", "scan, carry", "cond", "grad"]
)
def test_raw_keys(name: str) -> None:
    for fun in (REUSES[name], anima.jit(REUSES[name])):
        with pytest.raises(KeyReuseError):
            fun(random.PRNGKey(1))


@pytest.mark.parametrize(
    "name", ["split", "a chain", "folds", "clone", "scan", "scan, rows", "vmap of keys", "checkpoint"]
)
def test_uses_of_raw_keys(name: str) -> None:
    for fun in (USES[name], anima.jit(USES[name])):
        fun(random.PRNGKey(1))


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_other_implementations(impl: str) -> None:
    with pytest.raises(KeyReuseError):
        REUSES["an element"](random.key(0, impl=impl))
    USES["split"](random.key(0, impl=impl))


def test_both_lines_are_named() -> None:
    here = test_both_lines_are_named.__code__.co_firstlineno
    key = random.key(0)
    random.uniform(key)
    with pytest.raises(KeyReuseError) as caught:
        random.normal(key)
    assert f"'uniform' at {__file__}:{here + 3} " in str(caught.value)
    assert f"'normal' at {__file__}:{here + 5} " in str(caught.value)
    assert any("random.split(key)" in note for note in caught.value.__notes__)

    @anima.jit
    def inner(k: Any) -> Any:
        x = random.uniform(k)
        return x + random.normal(k)

    with pytest.raises(KeyReuseError) as caught:
        inner(random.key(0))
    for line in (here + 12, here + 13):
        assert f"{__file__}:{line} " in str(caught.value)


def test_a_refused_call_uses_nothing() -> None:
    one, other = random.split(random.key(0))
    random.normal(one)
    with pytest.raises(KeyReuseError):
        anima.jit(lambda a, b: random.normal(b) + random.normal(a))(one, other)
    random.normal(other)


def test_off_by_default(run_python: Callable[..., Any]) -> None:
    with anima.debug_key_reuse(False):
        for name in ("two draws", "inside jit", "scan, carry"):
            REUSES[name](random.key(0))
    result = run_python("import anima; print(anima.config.jax_debug_key_reuse)")
    assert "False" in str(getattr(result, "stdout", result))


def test_results_are_the_same() -> None:
    def draw(key: Any) -> Any:
        a, b = random.split(key)
        return random.normal(a, (3,)), random.fold_in(b, 1)

    checked = anima.jit(draw)(random.key(0))
    with anima.debug_key_reuse(False):
        plain = anima.jit(draw)(random.key(0))
    onp.testing.assert_array_equal(checked[0], plain[0])
    onp.testing.assert_array_equal(random.key_data(checked[1]), random.key_data(plain[1]))

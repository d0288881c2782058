"""The operation behind shuffles, by its kernel and by XLA's sorts, against NumPy's stable sort."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
from anima import lax, random
from anima.config import enable_x64
from anima.interpreters import mlir
from anima.lowering.module import host_kernels
from anima.random import shuffling
from anima.random.shuffling import shuffled_places_p

WORD = 2**32


def expected(words: Any) -> np.ndarray[Any, Any]:
    places = np.broadcast_to(np.arange(words[0].shape[-1]), words[0].shape)
    for keys in words:
        places = np.take_along_axis(places, np.argsort(keys, kind="stable", axis=-1), -1)
    return places


def places(*words: Any) -> np.ndarray[Any, Any]:
    found = anima.jit(shuffled_places_p.bind)(*words)
    assert found.dtype == np.int32 and found.shape == words[0].shape
    return np.asarray(found)


#: Keys of a row: random ones, and those that leave buckets empty, full, or unsorted within one place.
PATTERNS: dict[str, Callable[[int, Any], Any]] = {
    "random": lambda n, rng: rng.integers(0, WORD, n),
    "few": lambda n, rng: rng.integers(0, 3, n) * 2**31 % WORD,
    "equal": lambda n, rng: np.full(n, 5),
    "rising": lambda n, rng: np.arange(n) * (WORD // max(n, 1)),
    "falling": lambda n, rng: (WORD - 1) - np.arange(n),
    "low bits": lambda n, rng: rng.integers(0, 50, n),
    "high bits": lambda n, rng: rng.integers(0, 50, n) << 26,
    "ends": lambda n, rng: rng.choice([0, 1, WORD // 2 - 1, WORD // 2, WORD - 1], n),
    "one apart": lambda n, rng: np.where(np.arange(n) == n // 2, 0, WORD - 1),
}


@pytest.mark.parametrize("n", [0, 1, 2, 3, 100, 4096, 4097, 9000, 70_000, 200_000])
def test_rows_of_any_length(n: int) -> None:
    rng = np.random.default_rng(n)
    drawn = {name: make(n, rng).astype(np.uint32) for name, make in PATTERNS.items()}
    for name, keys in drawn.items():
        np.testing.assert_array_equal(places(keys), expected([keys]), err_msg=name)
        after = [drawn["random"], keys, drawn["few"]]
        np.testing.assert_array_equal(places(*after), expected(after), err_msg=name)


@pytest.mark.parametrize("shape", [(3, 50), (2, 3, 1), (0, 4), (4, 0), (40, 1000), (3, 70_000)])
def test_several_rows(shape: tuple[int, ...]) -> None:
    words = [np.random.default_rng(i).integers(0, WORD >> (16 * i), shape, np.uint32) for i in range(2)]
    np.testing.assert_array_equal(places(*words), expected(words))
    with host_kernels(False):
        np.testing.assert_array_equal(places(*words), expected(words))


def test_kernels_are_called_where_they_may_be() -> None:
    jaxpr = anima.make_jaxpr(lambda key: random.permutation(key, 100))(random.key(0))

    def text(platform: str = "cpu", **options: Any) -> str:
        return mlir.module_to_string(mlir.lower_jaxpr_to_module("f", jaxpr, platforms=(platform,), **options))

    assert "anima_shuffle" in text() and "stablehlo.sort" not in text()
    with host_kernels(False):
        switched_off = text()
    for other in (switched_off, text("cuda"), text(partitions=2), text(exported=True)):
        assert "stablehlo.sort" in other and "anima" not in other


@pytest.mark.parametrize("x64", [False, True])
def test_the_same_by_kernels_and_without(x64: bool) -> None:
    key = random.key(3)
    matrix = np.arange(3 * 700, dtype=np.float32).reshape(3, 700)

    def drawn() -> list[Any]:
        return [
            random.permutation(key, 5000),
            random.permutation(key, matrix, 1),
            random.permutation(key, matrix, 0, independent=True),
            random.permutation(key, matrix, 1, independent=True),
            random.choice(key, 5000, (50,), replace=False),
            random.choice(key, matrix, (600,), replace=False, axis=1),
        ]

    with enable_x64(x64):
        ours = [np.asarray(x) for x in anima.jit(drawn)()]
        with host_kernels(False):
            theirs = [np.asarray(x) for x in anima.jit(drawn)()]
        eager = [np.asarray(x) for x in drawn()]
    for a, b, c in zip(ours, theirs, eager):
        assert a.dtype == b.dtype == c.dtype
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert ours[0].dtype == (np.int64 if x64 else np.int32)


def test_transformations() -> None:
    rng = np.random.default_rng(0)
    words = [rng.integers(0, 4, (3, 5, 60), np.uint32) for _ in range(2)]
    for axis in range(2):
        found = anima.vmap(shuffled_places_p.bind, (axis, axis))(*words)
        moved = [np.moveaxis(w, axis, 0) for w in words]
        np.testing.assert_array_equal(found, expected(moved))
    one_mapped = anima.vmap(shuffled_places_p.bind, (0, None))(words[0], words[1][0])
    np.testing.assert_array_equal(one_mapped, expected([words[0], np.broadcast_to(words[1][0], (3, 5, 60))]))
    nested = anima.jit(anima.vmap(anima.vmap(shuffled_places_p.bind)))(*words)
    np.testing.assert_array_equal(nested, expected(words))
    keys = random.split(random.key(1), 4)
    drawn = anima.vmap(lambda k: random.permutation(k, 50))(keys)
    _, looped = lax.scan(lambda c, k: (c, random.permutation(k, 50)), 0, keys)
    for i in range(4):
        np.testing.assert_array_equal(drawn[i], random.permutation(keys[i], 50))
        np.testing.assert_array_equal(looped[i], drawn[i])


def test_derivatives_go_to_the_places_that_elements_come_from() -> None:
    key, x = random.key(2), np.arange(6.0, dtype=np.float32).reshape(2, 3)
    for independent in (False, True):
        draw = lambda x, i=independent: random.permutation(key, x, 1, i)
        weights = np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3)
        gradient = anima.grad(lambda x, draw=draw: (draw(x) * weights).sum())(x)
        order = np.asarray(draw(x)).astype(int)
        np.testing.assert_array_equal(np.asarray(gradient).ravel()[order], weights)
        _, tangent = anima.jvp(draw, (x,), (2 * x,))
        np.testing.assert_array_equal(tangent, 2 * order)
        assert not np.asarray(anima.hessian(lambda x, draw=draw: (draw(x) * weights).sum())(x)).any()


@pytest.mark.parametrize("count", [10, 300])
def test_equal_words(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Of equal words the first come first, in the selection as in the sort."""
    monkeypatch.setattr(shuffling, "bits", lambda key, width, shape: random.bits(key, shape) % 3)
    key = random.key(5)
    whole = np.asarray(shuffling.shuffled_numbers(key, 3000))
    np.testing.assert_array_equal(np.sort(whole), np.arange(3000))
    np.testing.assert_array_equal(shuffling.first_of_shuffled(key, 3000, count), whole[:count])


def test_each_line_has_an_order_of_its_own() -> None:
    x = np.tile(np.arange(200), (40, 1))
    rows = np.asarray(random.permutation(random.key(0), x, 1, independent=True))
    columns = np.asarray(random.permutation(random.key(0), x.T, 0, independent=True))
    for found in (rows, columns.T):
        np.testing.assert_array_equal(np.sort(found, 1), x)
        assert len(np.unique(found, axis=0)) == 40


def test_what_are_no_words() -> None:
    word = np.zeros(3, np.uint32)
    for bad in ([np.zeros(3, np.int32)], [word, np.zeros(4, np.uint32)], [np.uint32(1)]):
        with pytest.raises(TypeError, match="shuffled_places needs uint32 arrays of one shape"):
            shuffled_places_p.bind(*bad)

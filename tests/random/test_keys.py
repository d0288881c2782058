"""Keys: published vectors of the cipher, the numbers that the Sharp Bits print, seeds, and misuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
from anima import random
from anima.config import enable_x64, random_seed_offset, threefry_partitionable
from anima.lax.ciphers import philox2x32, philox4x32, threefry2x32, threefry4x32
from anima.random import threefry

SHARP_BITS = [  # old key, new key, new subkey, normal
    ([0, 0], [4146024105, 967050713], [2718843009, 1272950319], -1.2515389),
    ([4146024105, 967050713], [2384771982, 3928867769], [1278412471, 2182328957], -0.58665067),
]

FUNCTIONS = {
    "split": lambda key: random.split(key),
    "fold_in": lambda key: random.fold_in(key, 1),
    "bits": lambda key: random.bits(key, (2,)),
    "uniform": lambda key: random.uniform(key, (2,)),
    "normal": lambda key: random.normal(key, (2,)),
    "randint": lambda key: random.randint(key, (2,), 0, 9),
    "permutation": lambda key: random.permutation(key, 3),
    "choice": lambda key: random.choice(key, 3),
    "bernoulli": lambda key: random.bernoulli(key, 0.5),
    "categorical": lambda key: random.categorical(key, np.zeros(3, np.float32)),
}


# The digits of pi, as words.
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89)


# The known answers of Random123, file kat_vectors, of 20 rounds of Threefry and 10 of Philox: for words of zeros, of
# ones, and of the digits of pi, first in the counter and then in the key.
@pytest.mark.parametrize(
    ("cipher", "key_words", "expected"),
    [
        (
            threefry2x32,
            2,
            ((0x6B200159, 0x99BA4EFE), (0x1CB996FC, 0xBB002BE7), (0xC4923A9C, 0x483DF7A0)),
        ),
        (
            threefry4x32,
            4,
            (
                (0x9C6CA96A, 0xE17EAE66, 0xFC10ECD4, 0x5256A7D8),
                (0x2A881696, 0x57012287, 0xF6C7446E, 0xA16A6732),
                (0x59CD1DBB, 0xB8879579, 0x86B5D00C, 0xAC8B6D84),
            ),
        ),
        (
            philox2x32,
            1,
            ((0xFF1DAE59, 0x6CD10DF2), (0x2C3F628B, 0xAB4FD7AD), (0xDD7CE038, 0xF62A4C12)),
        ),
        (
            philox4x32,
            2,
            (
                (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
                (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
                (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
            ),
        ),
    ],
)
def test_published_vectors(cipher: Any, key_words: int, expected: Any) -> None:
    words = len(expected[0])
    ones = (0xFFFFFFFF,) * key_words
    keys = ((0,) * key_words, ones, PI[words : words + key_words])
    for key, counter, answer in zip(keys, ((0,) * words, (0xFFFFFFFF,) * words, PI[:words]), expected):
        result = cipher(*map(np.uint32, (*key, *counter)))
        assert tuple(int(word) for word in result) == answer


def test_what_the_sharp_bits_print() -> None:
    key = random.PRNGKey(0)
    assert repr(key) == "DeviceArray([0, 0], dtype=uint32)"
    np.testing.assert_allclose(random.normal(key, shape=(1,)), [-0.20584235], atol=1e-6)
    for old, new, sub, normal in SHARP_BITS:
        np.testing.assert_array_equal(key, np.array(old, np.uint32))
        key, subkey = random.split(key)
        np.testing.assert_array_equal(key, np.array(new, np.uint32))
        np.testing.assert_array_equal(subkey, np.array(sub, np.uint32))
        np.testing.assert_allclose(random.normal(subkey, shape=(1,)), [normal], atol=1e-6)
    key, *subkeys = random.split(key, 4)
    found = [float(random.normal(subkey, shape=(1,))[0]) for subkey in subkeys]
    np.testing.assert_allclose(found, [-0.3753345, 0.9864503, 0.1455319], atol=1e-6)


@pytest.mark.parametrize("partitionable", [False, True])
def test_the_layout_is_an_option(partitionable: bool) -> None:
    with threefry_partitionable(partitionable):
        keys = np.asarray(random.split(random.PRNGKey(0)))
    other = [[1797259609, 2579123966], [928981903, 3453687069]]
    assert keys.tolist() == (other if partitionable else [SHARP_BITS[0][1], SHARP_BITS[0][2]])


@pytest.mark.parametrize(
    ("seed", "narrow", "wide"),
    [
        (0, (0, 0), (0, 0)),
        (-1, (0, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)),
        (2**32, (0, 0), (1, 0)),
        (2**40 + 3, (0, 3), (256, 3)),
        (-(2**33) - 7, (0, 4294967289), (4294967293, 4294967289)),
        (2**63 - 1, (0, 0xFFFFFFFF), (0x7FFFFFFF, 0xFFFFFFFF)),
        (-(2**63), (0, 0), (0x80000000, 0)),
        (True, (0, 1), (0, 1)),
        (np.int64(-1), (0, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)),
        (np.uint64(2**63 + 5), (0, 5), (0x80000000, 5)),
        (np.int8(-1), (0, 0xFFFFFFFF), (0, 0xFFFFFFFF)),
        (np.array(200, np.uint8), (0, 200), (0, 200)),
    ],
)
def test_seeds(seed: Any, narrow: Any, wide: Any) -> None:
    for x64, expected in ((False, narrow), (True, wide)):
        with enable_x64(x64):
            assert tuple(np.asarray(random.PRNGKey(seed)).tolist()) == expected
            if isinstance(seed, np.integer):
                assert tuple(np.asarray(anima.jit(random.PRNGKey)(seed)).tolist()) == expected


def test_a_seed_offset_is_added() -> None:
    with random_seed_offset(5):
        assert random.PRNGKey(2).tolist() == [0, 7]
        assert random.PRNGKey(np.uint8(2)).tolist() == [0, 7]


def test_mapped_seeds() -> None:
    keys = anima.vmap(random.PRNGKey)(np.arange(3))
    assert keys.tolist() == [[0, 0], [0, 1], [0, 2]]


@pytest.mark.parametrize("seed", [1.5, np.float32(2), np.bool_(True), "a", None, [1], np.arange(2)])
def test_seeds_that_are_none(seed: Any) -> None:
    with pytest.raises(TypeError, match="PRNGKey"):
        random.PRNGKey(seed)


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1, 2**64])
def test_seeds_that_are_too_large(seed: int) -> None:
    with pytest.raises(OverflowError, match=r"PRNGKey: seed .* 64 bits"):
        random.PRNGKey(seed)


def test_an_unknown_generator() -> None:
    with pytest.raises(ValueError, match=r"'mt19937'.*'threefry2x32'"):
        random.PRNGKey(0, impl="mt19937")
    assert random.PRNGKey(0, impl="threefry2x32").tolist() == [0, 0]


@pytest.mark.parametrize("num", [3, (2, 3), [2, 3], np.int64(2), 0, ()])
def test_shapes_of_split(num: Any) -> None:
    key = random.PRNGKey(7)
    shape = (num,) if np.ndim(num) == 0 else tuple(num)
    keys = random.split(key, num)
    assert keys.shape == (*shape, 2)
    assert keys.dtype == np.uint32
    np.testing.assert_array_equal(keys.reshape(-1, 2), random.split(key, int(np.prod(shape))))


@pytest.mark.parametrize("num", [-1, (2, -1), 1.5, "a", (1.5,)])
def test_bad_numbers_of_keys(num: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="num"):
        random.split(random.PRNGKey(0), num)


def test_folding_in() -> None:
    key = random.PRNGKey(0)
    expected = {0: [1797259609, 2579123966], 1: [928981903, 3453687069], 2**31: [917456828, 636652529]}
    for data, words in expected.items():
        assert random.fold_in(key, data).tolist() == words
        assert random.fold_in(key, np.uint32(data)).tolist() == words
        assert anima.jit(random.fold_in)(key, np.uint32(data)).tolist() == words
    assert random.fold_in(key, np.int32(-1)).tolist() == random.fold_in(key, 0xFFFFFFFF).tolist()
    for fraction in (1.9, np.float32(1.2), np.array(1.5), anima.numpy.float32(1.5), True, -0.5 + 1.6):
        assert random.fold_in(key, fraction).tolist() == expected[1]
    mapped = anima.vmap(random.fold_in, in_axes=(None, 0))(key, np.arange(2))
    assert mapped.tolist() == [expected[0], expected[1]]


@pytest.mark.parametrize(
    ("data", "error"), [(-1, OverflowError), (2**32, OverflowError), (-1.5, OverflowError), (1e10, OverflowError),
    (np.inf, OverflowError), (np.nan, ValueError), (np.float32(-1.5), OverflowError), (np.array(5e9), OverflowError),
    (np.float16(np.nan), ValueError), (1j, TypeError), ("x", TypeError), (np.arange(2), TypeError), ([1], TypeError), (None, TypeError)]
)  # fmt: skip
def test_data_that_cannot_be_folded_in(data: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="^fold_in"):
        random.fold_in(random.PRNGKey(0), data)
    with pytest.raises(error, match="^fold_in"):
        anima.jit(lambda: random.fold_in(random.PRNGKey(0), data))()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_key(name: str) -> None:
    call = FUNCTIONS[name]
    for bad in (
        np.zeros(2, np.float32),
        np.zeros(3, np.uint32),
        np.zeros(2, np.int32),
        np.uint32(0),
        0,
        [0, 0],
        "a",
    ):
        with pytest.raises(TypeError, match="key"):
            call(bad)
    with pytest.raises(ValueError, match=rf"{name} accepts a single key.*\(3,\).*vmap"):
        call(np.zeros((3, 2), np.uint32))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("partitionable", [False, True])
def test_a_key_for_each_example(name: str, partitionable: bool) -> None:
    """Under `vmap` each key gives what it gives by itself."""
    with threefry_partitionable(partitionable):
        keys = random.split(random.PRNGKey(3), 4)
        together = anima.vmap(FUNCTIONS[name])(keys)
        for key, line in zip(keys, together):
            # Bits are equal; of the functions after them XLA makes other code for other shapes.
            np.testing.assert_allclose(line, FUNCTIONS[name](key), rtol=1e-6 if name == "normal" else 0)


def test_one_program_serves_all_keys() -> None:
    keys = [random.PRNGKey(seed) for seed in range(8)]
    random.split(keys[0], 3)
    before = anima._native.compile_count() + anima._native.deserialize_count()
    for key in keys:
        one, _, _ = random.split(key, 3)
        random.split(one, 3)
    # The programs that take the result apart may be new; they are as many for one key as for eight.
    assert anima._native.compile_count() + anima._native.deserialize_count() - before <= 3


def stream(key: np.ndarray, count: int) -> np.ndarray:
    """The default layout, in NumPy on top of the operation."""
    numbers = np.append(np.arange(count, dtype=np.uint32), np.zeros(count % 2, np.uint32))
    first, second = np.split(numbers, 2)
    return np.concatenate([np.asarray(w) for w in threefry2x32(key[0], key[1], first, second)])[:count]


@pytest.mark.parametrize("size", [1, 2, 5, 64, 101])
def test_the_default_layout(size: int) -> None:
    key = np.asarray(random.PRNGKey(11))
    np.testing.assert_array_equal(random.bits(key, (size,)), stream(key, size))
    for dtype, parts in ((np.uint16, 2), (np.uint8, 4)):
        words = stream(key, -(-size // parts))
        np.testing.assert_array_equal(
            random.bits(key, (size,), dtype), words.astype("<u4").view(dtype)[:size]
        )
    with enable_x64(True):
        upper, lower = np.split(stream(key, 2 * size).astype(np.uint64), 2)
        np.testing.assert_array_equal(random.bits(key, (size,), np.uint64), upper << np.uint64(32) | lower)


def test_more_words_than_one_key_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond 2**32 - 1 words; here beyond 7."""
    key = np.asarray(random.PRNGKey(5))
    keys = np.asarray(random.split(key, 3))
    expected = np.concatenate([stream(keys[0], 7), stream(keys[1], 7), stream(keys[2], 4)])
    monkeypatch.setattr(threefry, "_MAX_BLOCK", 7)
    np.testing.assert_array_equal(threefry.bits(key, 32, (3, 6)), expected.reshape(3, 6))
    np.testing.assert_array_equal(threefry.bits(key, 16, (36,)), expected.view(np.uint16))
    with enable_x64(True):
        np.testing.assert_array_equal(
            threefry.bits(key, 64, (9,)), expected[:9].astype(np.uint64) << np.uint64(32) | expected[9:]
        )


def test_positions_beyond_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    key = np.asarray(random.PRNGKey(5))
    with threefry_partitionable(True):
        expected = np.asarray(random.bits(key, (9,)))
        monkeypatch.setattr(threefry, "_MAX_BLOCK", 3)
        np.testing.assert_array_equal(threefry.bits(key, 32, (9,)), expected)
        shape = anima.eval_shape(lambda k: threefry.bits(k, 8, (1 << 33,)), key)
    assert shape.shape == (1 << 33,)


def test_traced_and_compiled_like_eager() -> None:
    def draw(key: Any) -> Any:
        first, second = random.split(key)
        return random.bits(first, (5,)), random.uniform(second, (2, 3)), random.fold_in(key, 4)

    key = random.PRNGKey(9)
    for eager, compiled in zip(draw(key), anima.jit(draw)(key)):
        np.testing.assert_array_equal(eager, compiled)


@pytest.mark.parametrize("name", ["split", "bits", "uniform", "normal"])
def test_each_layout_has_its_own_programs(name: str) -> None:
    """The option is read when a program is lowered; one traced with another value must not serve."""
    key = random.PRNGKey(3)
    compiled = anima.jit(lambda key: FUNCTIONS[name](key))
    eager, jitted = {}, {}
    for value in (False, True, False, True):
        with threefry_partitionable(value):
            for table, fun in ((eager, FUNCTIONS[name]), (jitted, compiled)):
                found = np.asarray(fun(key))
                np.testing.assert_array_equal(table.setdefault(value, found), found)
            np.testing.assert_allclose(jitted[value], eager[value], rtol=1e-6)
            np.testing.assert_allclose(compiled.lower(key).compile()(key), eager[value], rtol=1e-6)
    assert not np.array_equal(eager[False], eager[True])
    traced = compiled.trace(key)
    assert "partitionable" not in str(traced.jaxpr)


def test_keys_are_close_where_they_are_equal() -> None:
    keys = random.split(random.key(0), 3)
    other = keys.at[1].set(random.key(7))
    assert anima.numpy.isclose(keys, other).tolist() == [True, False, True]
    assert anima.numpy.allclose(keys, keys) and not anima.numpy.allclose(keys, other)

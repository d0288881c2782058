"""Typed keys: what they are, how they go through transformations and data movement, generators, and misuse."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import dtypes, grad, jit, lax, random, vmap
from anima.config import (
    default_prng_impl,
    enable_custom_prng,
    enable_x64,
    legacy_prng_key,
    threefry_partitionable,
)
from anima.extend.random import (
    define_prng_impl,
    random_seed,
    rbg_prng_impl,
    seed_with_impl,
    threefry2x32_p,
    threefry_2x32,
    threefry_prng_impl,
    unsafe_rbg_prng_impl,
)
from anima.lax.ciphers import philox2x32, philox4x32, threefry4x32
from anima.random import threefry

IMPLS = ("threefry2x32", "rbg", "unsafe_rbg", "philox2x32", "philox4x32", "threefry4x32")
ZERO = onp.uint32(0)
WORDS = onp.arange(24, dtype=onp.uint32).reshape(2, 3, 4)[..., :2]  # keys of shape (2, 3)


def words(keys: Any) -> onp.ndarray:
    return onp.asarray(random.key_data(keys))


def wrapped(data: Any) -> Any:
    return random.wrap_key_data(np.asarray(data))


def test_what_a_key_is() -> None:
    key = random.key(7)
    assert repr(key) == "DeviceArray((), dtype=key<fry>) overlaying:\n[0 7]"
    assert f"{key}" == str(key) == repr(key)
    assert (key.shape, key.ndim, key.size, key.itemsize, key.nbytes) == ((), 0, 1, 8, 8)
    assert str(anima.typeof(random.split(key, 3))) == "key<fry>[3]"
    assert str(anima.typeof(key)) == "key<fry>[]"
    assert isinstance(key, anima.Array)
    assert dtypes.issubdtype(key.dtype, dtypes.prng_key)
    assert not dtypes.issubdtype(random.PRNGKey(0).dtype, dtypes.prng_key)
    assert key.dtype == random.key(3).dtype == random.key_dtype() == random.key_dtype("threefry2x32")
    assert hash(key.dtype) == hash(random.key_dtype())
    assert key.dtype != random.key(0, impl="rbg").dtype != random.key(0, impl="unsafe_rbg").dtype
    for copied in (pickle.loads(pickle.dumps(key)), copy.deepcopy(key), key.copy()):
        assert copied.dtype == key.dtype
        assert words(copied).tolist() == [0, 7]


@pytest.mark.parametrize("impl", IMPLS)
def test_between_raw_and_typed(impl: str) -> None:
    key = random.key(-5, impl=impl)
    raw = random.PRNGKey(-5, impl=impl)
    onp.testing.assert_array_equal(words(key), raw)
    again = random.wrap_key_data(raw, impl=impl)
    assert again.dtype == key.dtype
    assert bool(again == key)
    assert random.key_impl(key) == impl
    assert random.key(0, dtype=key.dtype).dtype == random.key(0, impl=key.dtype).dtype == key.dtype
    with default_prng_impl(impl):
        assert random.key(0).dtype == key.dtype
        assert random.key_impl(raw) == impl
        onp.testing.assert_array_equal(random.key_data(raw), raw)
        for old, new in zip(random.split(raw, 3), random.split(key, 3)):
            assert old.dtype == onp.uint32
            onp.testing.assert_array_equal(old, words(new))
        onp.testing.assert_array_equal(random.fold_in(raw, 3), words(random.fold_in(key, 3)))
        onp.testing.assert_array_equal(random.clone(raw), raw)
        onp.testing.assert_array_equal(random.normal(raw, (5,)), random.normal(key, (5,)))


def test_seeds() -> None:
    for x64 in (False, True):
        with enable_x64(x64):
            for seed in (0, -1, 2**40 + 3, True):
                for impl in ("threefry2x32", "rbg", "unsafe_rbg"):
                    half = onp.asarray(random.PRNGKey(seed))
                    found = words(random.key(seed, impl=impl))
                    onp.testing.assert_array_equal(found.reshape(-1, 2), [half] * (found.size // 2))
                # The other generators encipher the halves.
                upper, lower = half
                for impl, expected in (
                    ("philox2x32", philox2x32(ZERO, upper, lower)[:1]),
                    ("philox4x32", philox4x32(ZERO, ZERO, upper, lower, ZERO, ZERO)[:2]),
                    ("threefry4x32", threefry4x32(upper, lower, *[ZERO] * 6)),
                ):
                    assert words(random.key(seed, impl=impl)).tolist() == [int(word) for word in expected]
    onp.testing.assert_array_equal(words(vmap(random.key)(onp.arange(3))), [[0, 0], [0, 1], [0, 2]])
    assert words(jit(random.key)(5)).tolist() == [0, 5]
    assert words(seed_with_impl(threefry_prng_impl, 5)).tolist() == [0, 5]
    assert random_seed(onp.arange(6).reshape(2, 3), rbg_prng_impl).shape == (2, 3)
    assert words(random_seed(3, threefry_prng_impl)).tolist() == [0, 3]


MOVES: dict[
    str, Callable[[Any, Any], Any]
] = {  # of keys, or of words with two more dimensions in place of each
    "index": lambda n, x: x[1, 0],
    "negative index": lambda n, x: x[-1],
    "slice": lambda n, x: x[:, ::-1],
    "gather": lambda n, x: x[onp.array([1, 0, 1])],
    "mask": lambda n, x: x[onp.array([True, False])],
    "newaxis": lambda n, x: x[:, None],
    "reshape": lambda n, x: x.reshape((3, 2) + x.shape[2:]),
    "transpose": lambda n, x: n.swapaxes(x, 0, 1),
    "moveaxis": lambda n, x: n.moveaxis(x, 1, 0),
    "squeeze": lambda n, x: n.squeeze(x[:1], 0),
    "concatenate": lambda n, x: n.concatenate([x, x[:1]], 0),
    "stack": lambda n, x: n.stack([x, x], 1),
    "vstack": lambda n, x: n.vstack([x, x]),
    "repeat": lambda n, x: n.repeat(x, 2, 0),
    "roll": lambda n, x: n.roll(x, 1, 1),
    "flip": lambda n, x: n.flip(x, 0),
    "take": lambda n, x: n.take(x, onp.array([0, 1, 0]), 1),
    "split": lambda n, x: n.split(x, 3, 1)[2],
    "delete": lambda n, x: n.delete(x, 1, 1),
    "broadcast": lambda n, x: n.broadcast_to(x, (4, *x.shape)),
    "tile": lambda n, x: n.tile(x, (2, 1) + (1,) * (x.ndim - 1)),
    "array": lambda n, x: n.array([x[0], x[1]]),
    "zeros_like": lambda n, x: n.zeros_like(x),
    "iterate": lambda n, x: list(x)[1],
}


@pytest.mark.parametrize("name", MOVES)
def test_moving(name: str) -> None:
    move = MOVES[name]
    keys = wrapped(WORDS)
    expected = move(onp, WORDS)
    for moved in (move(np, keys), jit(lambda x: move(np, x))(keys)):
        assert moved.dtype == keys.dtype
        assert moved.shape == expected.shape[:-1]
        onp.testing.assert_array_equal(words(moved), expected)


def test_more_moving() -> None:
    keys = wrapped(WORDS[0])
    one = wrapped(WORDS[1, 2])
    mask = onp.array([True, False, True])
    where = onp.where(mask[:, None], WORDS[0], WORDS[1, 2])
    onp.testing.assert_array_equal(words(np.where(mask, keys, one)), where)
    onp.testing.assert_array_equal(words(lax.select(mask, np.broadcast_to(one, (3,)), keys))[0], WORDS[1, 2])
    for i in (1, jit(lambda i: i)(1)):
        onp.testing.assert_array_equal(words(keys.at[i].set(one)), [WORDS[0, 0], WORDS[1, 2], WORDS[0, 2]])
    onp.testing.assert_array_equal(words(np.full((2,), one)), [WORDS[1, 2]] * 2)
    onp.testing.assert_array_equal(words(np.zeros((2,), keys.dtype)), onp.zeros((2, 2)))
    onp.testing.assert_array_equal(words(lax.full((2,), 0, keys.dtype)), onp.zeros((2, 2)))
    onp.testing.assert_array_equal(words(anima.device_put({"k": keys}, anima.devices()[0])["k"]), WORDS[0])
    assert anima.device_get(keys) is keys
    assert anima.device_get([keys, np.ones(2)])[1].tolist() == [1, 1]
    assert (keys == keys).tolist() == [True] * 3
    assert (keys != one).tolist() == [True] * 3
    assert bool(np.array_equal(keys, keys))
    order = words(random.permutation(random.key(0), keys)).tolist()
    assert sorted(order) == WORDS[0].tolist()
    assert words(random.choice(random.key(0), keys)).tolist() in WORDS[0].tolist()


def draw(key: Any) -> Any:
    first, second = random.split(key)
    return (
        random.normal(first, (3,)),
        random.key_data(random.fold_in(second, 4)),
        random.bits(random.clone(key)),
    )


@pytest.mark.parametrize("impl", IMPLS)
def test_traced_like_eager(impl: str) -> None:
    key = random.key(9, impl=impl)
    for eager, compiled in zip(draw(key), jit(draw)(key)):
        onp.testing.assert_allclose(eager, compiled, rtol=1e-6)
    if impl == "threefry2x32":
        keys = random.split(key, (2, 3))
        mapped = vmap(vmap(draw))(keys)
        for i in onp.ndindex(2, 3):
            for whole, alone in zip(mapped, draw(keys[i])):
                onp.testing.assert_allclose(whole[i], alone, rtol=1e-5)


@pytest.mark.parametrize("impl", IMPLS)
def test_mapped_axes_of_each_operation(impl: str) -> None:
    """New keys are made for each mapped key as for it alone, wherever its axis is."""
    keys = random.split(random.key(1, impl=impl), (2, 3))
    if impl == "unsafe_rbg":  # its new keys come from the first one of a mapped axis
        assert vmap(random.split)(keys[0]).shape == (3, 2)
        return
    split = vmap(vmap(random.split, in_axes=0), in_axes=1, out_axes=1)(keys)
    folded = vmap(vmap(random.fold_in, in_axes=(0, None)), in_axes=(1, 0), out_axes=1)(keys, onp.arange(3))
    seeded = vmap(lambda s: random.key(s, impl=impl))(onp.arange(3))
    for i, j in onp.ndindex(2, 3):
        onp.testing.assert_array_equal(words(split[i, j]), words(random.split(keys[i, j])))
        onp.testing.assert_array_equal(words(folded[i, j]), words(random.fold_in(keys[i, j], j)))
        onp.testing.assert_array_equal(words(seeded[j]), words(random.key(j, impl=impl)))
    cloned = vmap(random.clone, in_axes=1, out_axes=1)(keys)
    onp.testing.assert_array_equal(words(cloned), words(keys))
    alone = vmap(random.fold_in, in_axes=(None, 0))(keys[0, 0], onp.arange(3))
    onp.testing.assert_array_equal(words(alone[2]), words(random.fold_in(keys[0, 0], 2)))


def test_control() -> None:
    key = random.key(0)
    keys = random.split(key, 3)
    carry, stacked = lax.scan(lambda c, _: tuple(random.split(c)), key, None, length=2)
    assert words(stacked).tolist() == [[2718843009, 1272950319], [1278412471, 2182328957]]
    assert words(carry).tolist() == [2384771982, 3928867769]
    mapped = vmap(lambda k: lax.scan(lambda c, _: tuple(random.split(c)), k, None, length=2)[1])(keys)
    assert mapped.shape == (3, 2)
    branch = [lambda k: k, lambda k: random.fold_in(k, 1)]
    for i in (0, 1):
        onp.testing.assert_array_equal(words(lax.switch(i, branch, key)), words(branch[i](key)))
    chosen = vmap(lambda i, k: lax.cond(i, branch[1], branch[0], k))(onp.array([True, False, True]), keys)
    onp.testing.assert_array_equal(words(chosen[1]), words(keys[1]))
    onp.testing.assert_array_equal(words(chosen[2]), words(random.fold_in(keys[2], 1)))

    def loop(n: Any, k: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, random.fold_in(c[1], c[0])), (0, k))[1]

    looped = vmap(loop)(onp.arange(3), keys)
    onp.testing.assert_array_equal(words(looped[0]), words(keys[0]))
    onp.testing.assert_array_equal(words(looped[2]), words(random.fold_in(random.fold_in(keys[2], 0), 1)))


def test_captured_keys() -> None:
    """A program may close over keys; its text does not hold them, so it serves others too."""
    keys = random.split(random.key(0), 3)
    for i in range(3):
        key = keys[i]
        assert float(jit(lambda x: random.uniform(key) + x)(0.0)) == float(random.uniform(key))
    onp.testing.assert_array_equal(words(jit(lambda i: keys[i])(2)), words(keys[2]))


def test_derivatives_beside_keys() -> None:
    key = random.key(0)
    z = float(random.normal(key))
    checkpointed = anima.checkpoint(lambda x, k: x**3 * random.normal(k))
    for fun in (lambda x, k: x**3 * random.normal(k), checkpointed):
        assert float(grad(fun)(2.0, key)) == pytest.approx(12 * z, rel=1e-5)
        assert float(jit(grad(fun))(2.0, key)) == pytest.approx(12 * z, rel=1e-5)
        assert float(anima.hessian(fun)(2.0, key)) == pytest.approx(12 * z, rel=1e-5)
    _, pull = anima.vjp(lambda x, k: x * random.normal(k), 2.0, key)
    dx, dk = pull(1.0)
    assert float(dx) == pytest.approx(z, rel=1e-5)
    assert dk.dtype == dtypes.float0
    scanned = grad(
        lambda x: lax.scan(lambda c, k: (c * x + random.normal(k), None), x, random.split(key, 3))[0]
    )
    ks = [float(random.normal(k)) for k in random.split(key, 3)]
    assert float(scanned(2.0)) == pytest.approx(4 * 8 + 3 * 4 * ks[0] * 0 + 2 * 2 * ks[0] + ks[1], rel=1e-4)


def test_printed() -> None:
    assert str(anima.make_jaxpr(random.split)(random.key(0))) == (
        "{ lambda ; a:key<fry>[]. let b:key<fry>[2] = random_split[shape=(2,)] a in (b,) }"
    )
    shown = str(anima.make_jaxpr(random.bits)(random.PRNGKey(0)))
    assert "b:key<fry>[] = random_wrap[impl=fry] a" in shown
    assert "c:u32[] = random_bits[bit_width=32 shape=()] b" in shown
    assert "random_seed[impl=rbg]" in str(anima.make_jaxpr(lambda s: random.key(s, impl="rbg"))(1))


ARITHMETIC: list[Callable[[Any], Any]] = [
    lambda k: k + 1,
    lambda k: 1.0 * k,
    lambda k: k + k,
    lambda k: -k,
    lambda k: k < k,
    lambda k: k @ k,
    lambda k: np.add(k, 1),
    lambda k: np.exp(k),
    lambda k: np.sum(k),
    lambda k: np.sort(k),
    lambda k: lax.add(k, k),
    lambda k: k.astype(onp.uint32),
    lambda k: k.view(onp.uint32),
    lambda k: k.at[0].add(k[0]),
    lambda k: lax.bitcast_convert_type(k, onp.float32),
]


@pytest.mark.parametrize("case", range(len(ARITHMETIC)))
def test_arithmetic_is_refused(case: int) -> None:
    keys = random.split(random.key(0), 3)
    for fun in (ARITHMETIC[case], jit(ARITHMETIC[case])):
        with pytest.raises(TypeError, match=r"key<fry>"):
            fun(keys)


def test_padding() -> None:
    keys = random.split(random.key(0), 3)
    for bad in ("constant", "mean", "linear_ramp"):
        with pytest.raises(TypeError, match=r"pad: an array of dtype key<fry> holds no numbers.*mode"):
            np.pad(keys, 1, bad)
    for mode in ("edge", "wrap", "reflect", "symmetric"):
        expected = onp.pad(words(keys), ((1, 2), (0, 0)), mode)  # type: ignore[call-overload]
        onp.testing.assert_array_equal(words(np.pad(keys, (1, 2), mode)), expected)


def test_no_numbers_on_the_host() -> None:
    key = random.key(0)
    for convert in (onp.asarray, float, bool, int, lambda k: k.tolist(), lambda k: k.item()):
        with pytest.raises(TypeError, match=r"key"):
            convert(key)


@pytest.mark.parametrize(
    "mix",
    [
        lambda k, raw: k == raw,
        lambda k, raw: np.stack([k, raw]),
        lambda k, raw: np.where(True, k, raw),
        lambda k, raw: np.concatenate([k[None], raw[None]]),
    ],
)
def test_kinds_do_not_mix(mix: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"key<fry>.*(typed and raw|same dtypes)"):
        mix(random.key(0), random.PRNGKey(0))
    with pytest.raises(TypeError, match=r"key<fry>"):
        mix(random.key(0), random.key(0, impl="rbg"))


def test_misuse() -> None:
    key = random.key(0)
    keys = random.split(key, 3)
    for fun in (random.uniform, random.split, random.bits, lambda k: random.fold_in(k, 1)):
        with pytest.raises(ValueError, match=r"accepts a single key.*\(3,\).*vmap"):
            fun(keys)
    with pytest.raises(TypeError, match="seed must be an integer, got a random key"):
        random.key(key)
    for seed in (1.5, "a", None):
        with pytest.raises(TypeError, match="key: seed must be an integer"):
            random.key(seed)
    with pytest.raises(OverflowError, match="key: seed"):
        random.key(2**64, impl="rbg")
    with pytest.raises(ValueError, match=r"'rgb'.*did you mean rbg"):
        random.key(0, impl="rgb")
    with pytest.raises(ValueError, match="not both"):
        random.key(0, impl="rbg", dtype=key.dtype)
    with pytest.raises(ValueError, match="dtype must be one of random keys"):
        random.key(0, dtype=onp.uint32)
    with pytest.raises(TypeError, match="impl must be"):
        random.key(0, impl=3)
    with pytest.raises(TypeError, match=r"wrap_key_data.*typed keys"):
        random.wrap_key_data(key)
    with pytest.raises(TypeError, match=r"ends with \(2,\).*\(3, 4\)"):
        random.wrap_key_data(onp.zeros((3, 4), onp.uint32))
    with pytest.raises(TypeError, match="int32"):
        random.wrap_key_data(onp.zeros((3, 2), onp.int32))
    with pytest.raises(TypeError, match="list"):
        random.wrap_key_data([0, 0])
    for what in (random.key_data, random.key_impl, random.clone):
        with pytest.raises(TypeError, match="key"):
            what(1)
    with pytest.raises(TypeError, match=r"'rbg' or 'unsafe_rbg'.*wrap_key_data"):
        random.split(onp.zeros(4, onp.uint32))
    with pytest.raises(ValueError, match="float dtype"):
        random.uniform(key, dtype=key.dtype)


def test_options() -> None:
    raw = random.PRNGKey(0)
    with enable_custom_prng(True):
        assert random.PRNGKey(0).dtype == random.key_dtype()
    for use in (random.split, random.normal, random.key_data, lambda k: random.fold_in(k, 1)):
        with legacy_prng_key("error"), pytest.raises(ValueError, match=r"raw uint32 key.*random\.key"):
            use(raw)
        for _ in range(2):  # each time, not the first alone
            with legacy_prng_key("warn"), pytest.warns(UserWarning, match="raw uint32 key"):
                use(raw)
        for setting in ("warn", "error"):
            with legacy_prng_key(setting), warnings.catch_warnings():
                warnings.simplefilter("error")
                use(random.key(0))


# --- other generators -------------------------------------------------------------------------


def counted(key: Any, width: int, shape: Any) -> Any:
    count = int(onp.prod(shape))
    return (lax.iota(onp.uint32, count) + key[0]).astype(f"uint{width}").reshape(shape)


def counting(**changes: Any) -> Any:
    functions: dict[str, Any] = {
        "seed": lambda seed: seed.astype(onp.uint32)[None],
        "split": lambda key, shape: (
            np.arange(int(onp.prod(shape)), dtype=onp.uint32).reshape(*shape, 1) + key
        ),
        "random_bits": counted,
        "fold_in": lambda key, data: key + data,
    }
    return define_prng_impl(key_shape=(1,), **(functions | changes))


def test_a_generator_of_ones_own() -> None:
    impl = counting()
    key = random.key(7, impl=impl)
    assert str(key.dtype) == "key<?>"
    assert random.key_impl(key) is impl
    assert random.bits(key, (3,)).tolist() == [7, 8, 9]
    assert random.bits(key, (3,), onp.uint8).dtype == onp.uint8
    assert words(random.split(key, 3)).tolist() == [[7], [8], [9]]
    assert words(random.fold_in(key, 5)).tolist() == [12]
    assert vmap(lambda k: random.bits(k, (2,)))(random.split(key)).tolist() == [[7, 8], [8, 9]]
    assert jit(lambda k: random.uniform(k, (2,)))(key).shape == (2,)
    assert words(jit(lambda s: random.key(s, impl=impl))(3)).tolist() == [3]
    assert key.dtype != random.key(7, impl=counting()).dtype  # other functions, another generator


@pytest.mark.parametrize(
    ("part", "use"),
    [
        ("seed", lambda impl: random.key(0, impl=impl)),
        ("split", lambda impl: random.split(random.wrap_key_data(onp.zeros(1, onp.uint32), impl=impl))),
        ("random_bits", lambda impl: random.bits(random.wrap_key_data(onp.zeros(1, onp.uint32), impl=impl))),
        (
            "fold_in",
            lambda impl: random.fold_in(random.wrap_key_data(onp.zeros(1, onp.uint32), impl=impl), 1),
        ),
    ],
)
def test_what_a_generator_returns_is_checked(part: str, use: Callable[[Any], Any]) -> None:
    impl = counting(**{part: lambda *args: np.zeros((5, 5)), "name": "broken"})
    with pytest.raises(
        TypeError, match=rf"function {part} of the random number generator 'broken' must return"
    ):
        use(impl)


def test_definitions_that_are_none() -> None:
    with pytest.raises(TypeError, match="key_shape"):
        define_prng_impl(key_shape=1.5, seed=len, split=len, random_bits=len, fold_in=len)  # type: ignore[arg-type]  # fmt: skip
    with pytest.raises(TypeError, match="split must be a function"):
        counting(split=3)


def test_the_cipher_of_an_array() -> None:
    """Against the operation, whose published vectors `test_keys` has."""
    key = onp.array([0x13198A2E, 0x03707344], onp.uint32)
    found = threefry_2x32(key, onp.array([0x243F6A88, 0x85A308D3], onp.uint32))
    assert found.tolist() == [0xC4923A9C, 0x483DF7A0]
    for shape in ((), (5,), (2, 3)):
        count = onp.arange(onp.prod(shape, dtype=int), dtype=onp.uint32).reshape(shape)
        flat = onp.append(count, onp.zeros(count.size % 2, onp.uint32))
        expected = onp.concatenate(threefry2x32_p.bind(key[0], key[1], *onp.split(flat, 2)))[: count.size]
        onp.testing.assert_array_equal(threefry_2x32(key, count), expected.reshape(shape))
    with pytest.raises(TypeError, match=r"count must be of dtype uint32"):
        threefry_2x32(key, onp.arange(4))


def test_the_compilers_bits() -> None:
    """`rbg` is the operation `rng_bit_generator`; its new keys are Threefry's, twice."""
    for impl in (rbg_prng_impl, unsafe_rbg_prng_impl):
        key = random.key(3, impl=impl)
        for dtype in (onp.uint8, onp.uint32):
            expected = lax.rng_bit_generator(random.key_data(key), (4, 3), dtype)[1]
            onp.testing.assert_array_equal(random.bits(key, (4, 3), dtype), expected)
    for partitionable in (False, True):
        with threefry_partitionable(partitionable):
            halves = onp.asarray(random.split(random.PRNGKey(3), 2))
            new = words(random.split(random.key(3, impl="rbg"), 2))
            onp.testing.assert_array_equal(new, onp.concatenate([halves, halves], 1))
    u = onp.asarray(random.uniform(random.key(1, impl="rbg"), (5000,)))
    assert abs(u.mean() - 0.5) < 5 * (1 / 12 / 5000) ** 0.5


@pytest.mark.parametrize(
    ("impl", "cipher", "for_keys", "for_bits", "halves"),
    [
        ("philox2x32", philox2x32, lambda i: (ZERO, i), lambda i: (ZERO, i), lambda w: (w[0], w[1])),
        (
            "philox4x32",
            philox4x32,
            lambda i: (ZERO, ZERO, ZERO, i),
            lambda i: (ZERO, i, ZERO, ZERO),
            lambda w: (w[0], w[1]),
        ),
        (
            "threefry4x32",
            threefry4x32,
            lambda i: (ZERO, ZERO, ZERO, i),
            lambda i: (ZERO, i, ZERO, ZERO),
            lambda w: (w[0] ^ w[2], w[1] ^ w[3]),
        ),
    ],
)
def test_generators_that_encipher_positions(
    impl: str, cipher: Any, for_keys: Any, for_bits: Any, halves: Any
) -> None:
    """Keys and bits are made of the blocks of the published ciphers, each of its own position."""
    key = random.key(11, impl=impl)
    own = words(key)
    places = onp.arange(6, dtype=onp.uint32)
    new = onp.stack([onp.asarray(w) for w in cipher(*own, *for_keys(places))], 1)[:, : len(own)]
    onp.testing.assert_array_equal(words(random.split(key, (2, 3))), new.reshape(2, 3, -1))
    for place in (0, 5):
        onp.testing.assert_array_equal(words(random.fold_in(key, place)), new[place])
    blocks = [onp.asarray(w) for w in cipher(*own, *for_bits(places))]
    mixed = onp.bitwise_xor.reduce(blocks)
    for dtype in (onp.uint8, onp.uint16, onp.uint32):
        onp.testing.assert_array_equal(random.bits(key, (3, 2), dtype), mixed.astype(dtype).reshape(3, 2))
    onp.testing.assert_array_equal(random.bits(key, (4,)), mixed[:4])  # whatever the size
    with enable_x64(True):
        upper, lower = (w.astype(onp.uint64) for w in halves(blocks))
        onp.testing.assert_array_equal(random.bits(key, (6,), onp.uint64), upper << onp.uint64(32) | lower)


@pytest.mark.parametrize("impl", ["philox2x32", "philox4x32", "threefry4x32"])
def test_positions_beyond_32_bits(impl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = words(random.key(5, impl=impl))
    generator = random.key_dtype(impl).impl
    expected = onp.asarray(generator.random_bits(raw, 32, (9,)))
    keys = onp.asarray(generator.split(raw, (9,)))
    monkeypatch.setattr(threefry, "_MAX_BLOCK", 3)
    onp.testing.assert_array_equal(generator.random_bits(raw, 32, (9,)), expected)
    onp.testing.assert_array_equal(generator.split(raw, (9,)), keys)
    assert anima.eval_shape(lambda k: generator.random_bits(k, 8, (1 << 33,)), raw).shape == (1 << 33,)

"""Random numbers of shapes not met before: the bits that the function has, compiled for that shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as anp
from anima import dtypes, random
from anima.config import eager_host_calls, enable_x64, threefry_partitionable
from anima.extend.random import define_prng_impl
from anima.runtime import compiler

pytestmark = pytest.mark.cpu

Shape = tuple[int, ...]
DRAWN: dict[str, Callable[[Any, Shape], Any]] = {
    "normal": random.normal,
    "uniform": random.uniform,
    "bits": random.bits,
    "split": random.split,
    "exponential": random.exponential,
    "gumbel": random.gumbel,
    "laplace": random.laplace,
    "logistic": random.logistic,
    "cauchy": random.cauchy,
    "rademacher": random.rademacher,
    "bits8": lambda key, shape: random.bits(key, shape, "uint8"),
    "bits16": lambda key, shape: random.bits(key, shape, "uint16"),
    "between": lambda key, shape: random.uniform(key, shape, minval=-3.0, maxval=2.5),
    "half": lambda key, shape: random.uniform(key, shape, "float16"),
    "bfloat16": lambda key, shape: random.normal(key, shape, "bfloat16"),
    "randint": lambda key, shape: random.randint(key, shape, -5, 17),
    "randint8": lambda key, shape: random.randint(key, shape, 0, 100, "uint8"),
    "bernoulli": lambda key, shape: random.bernoulli(key, 0.3, shape),
    "truncated": lambda key, shape: random.truncated_normal(key, -1, 1.5, shape),
    "choice": lambda key, shape: random.choice(key, 7, shape),
}
SHAPES = ((23,), (3, 11), (1,), (2,), (2, 2), (65,), (0, 3), ())


def compilations() -> int:
    return compiler.compile_stats().compiles + compiler.compile_stats().disk_hits


def bits(x: Any) -> Any:
    words = random.key_data(x) if dtypes.is_extended(x.dtype) else x
    return x.dtype, x.shape, x.weak_type, x.committed, np.asarray(words).tobytes()


def compare(fun: Callable[[Any, Shape], Any], key: Any, *shapes: Shape) -> None:
    for shape in shapes:
        found = fun(key, shape)
        with eager_host_calls(0):
            assert bits(found) == bits(anima.jit(fun, static_argnums=1)(key, shape)), shape
            assert bits(found) == bits(fun(key, shape)), shape


@pytest.mark.parametrize("name", DRAWN)
def test_numbers_have_the_bits_of_the_shapes_own_programs(name: str) -> None:
    compare(DRAWN[name], random.key(7), *SHAPES)


@pytest.mark.parametrize("name", ["normal", "bits", "bits16", "randint", "split"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("partitionable", [False, True])
def test_modes(name: str, wide: bool, partitionable: bool) -> None:
    with enable_x64(wide), threefry_partitionable(partitionable):
        compare(DRAWN[name], random.PRNGKey(3), (5, 5), (300,))


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg", "philox2x32", "philox4x32", "threefry4x32"])
@pytest.mark.parametrize("name", ["normal", "bits8", "randint", "split"])
def test_generators(impl: str, name: str) -> None:
    compare(DRAWN[name], random.key(5, impl=impl), (19,), (2, 3))


def test_a_new_shape_compiles_nothing() -> None:
    key = random.key(1)
    for fun in DRAWN.values():
        for shape in ((64,), (250,), (2,)):
            fun(key, shape)
    before = compilations()
    for fun in DRAWN.values():
        for shape in ((21,), (3, 7), (1,), (11, 13), (1, 2)):
            fun(key, shape)
    random.choice(key, 1234, (3,))
    assert compilations() == before


def test_numbers_of_large_arrays() -> None:
    compare(random.normal, random.key(2), (70, 70), (300, 333))
    compare(random.bits, random.key(2), (5000,))
    random.uniform(random.key(2), (71, 72))
    before = compilations()
    assert random.uniform(random.key(3), (5, 1001)).shape == (5, 1001)
    assert compilations() == before


def test_a_large_shape_soon_has_a_program_of_its_own() -> None:
    def draw() -> int:
        before = compilations()
        random.bits(random.key(2), (1001, 1001))
        return compilations() - before

    counts = [draw() for _ in range(12)]
    assert sum(counts[1:]) == 1 and counts[-1] == 0


def test_numbers_that_depend_on_the_shape_in_another_way() -> None:
    impl = define_prng_impl(
        key_shape=(1,),
        seed=lambda seed: seed.astype("uint32")[None],
        split=lambda key, shape: anp.broadcast_to(key, (*shape, 1)),
        random_bits=lambda key, width, shape: anp.full(shape, shape[0], f"uint{width}"),
        fold_in=lambda key, data: key + data,
    )
    key = random.key(7, impl=impl)
    np.testing.assert_array_equal(random.bits(key, (3,)), np.full(3, 3, np.uint32))
    np.testing.assert_array_equal(random.bits(key, (5, 2)), np.full((5, 2), 5, np.uint32))


def test_options_are_heeded() -> None:
    key = random.key(4)
    with anima.disable_jit():
        compare(random.normal, key, (13,))
    with anima.debug_nans(True):
        compare(random.uniform, key, (14,))
    committed = anima.device_put(key, anima.devices()[0])
    assert random.normal(committed, (15,)).committed
    keys = random.split(key, 6)
    assert keys.shape == (6,) and random.normal(keys[5], (16,)).dtype == np.float32


def test_keys_of_arrays_of_keys() -> None:
    compare(lambda key, shape: random.bits(random.split(key, shape)[1], (4,)), random.key(8), (2,), (3,))


@pytest.mark.parametrize("name", ["exponential", "laplace", "logistic", "normal", "between"])
@pytest.mark.parametrize("partitionable", [False, True])
def test_longer_draws_of_several_dimensions(name: str, partitionable: bool) -> None:
    with threefry_partitionable(partitionable):
        compare(DRAWN[name], random.PRNGKey(0), (20, 50), (31, 33))

"""Programs that take and return small arrays in pieces compute what they compute without."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax, random
from anima.lowering.pieces import Pieces, pieces_allowed
from anima.runtime.dispatch import Program

pytestmark = pytest.mark.cpu

DTYPES = ["bool", "int8", "int32", "uint8", "uint32", "float16", "bfloat16", "float32", "complex64"]


def is_packed(f: Any, *args: Any) -> bool:
    """Whether a program takes pieces."""
    closed = anima.make_jaxpr(f)(*args)
    program = Program(closed, "f", anima.devices()[0])
    return program.packing(anima.tree.leaves(args)) is not None


def tree(dtype: Any = "float32") -> dict[str, Any]:
    shapes = [(), (1,), (3,), (2, 3), (0,), (2, 1, 2), (5,), (1, 1, 1, 1, 2)]
    return {f"x{i}": np.arange(onp.prod(s, dtype=int)).reshape(s).astype(dtype) for i, s in enumerate(shapes)}


def assert_same(f: Any, *args: Any) -> None:
    assert is_packed(f, *args)
    packed = anima.jit(f)
    with pieces_allowed(False):
        expected = anima.jit(lambda *a: f(*a))(*args)
    for _ in range(2):
        found = packed(*args)
        assert anima.tree.structure(found) == anima.tree.structure(expected)
        for a, b in zip(anima.tree.leaves(found), anima.tree.leaves(expected)):
            assert a.dtype == b.dtype and a.shape == b.shape and a.weak_type == b.weak_type
            if not anima.dtypes.issubdtype(a.dtype, anima.dtypes.prng_key):
                assert onp.asarray(a).tobytes() == onp.asarray(b).tobytes()
            else:
                assert (random.key_data(a) == random.key_data(b)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape(dtype: str) -> None:
    assert_same(lambda t: anima.tree.map(lambda x: x + x, t), tree(dtype))


@pytest.mark.parametrize("first", [True, False])
def test_arrays_without_elements_first_or_alone_in_their_piece(first: bool) -> None:
    def f(empty: Any, t: Any) -> Any:
        others = anima.tree.map(lambda x: x + x, t)
        alone = empty["b"] * 2, np.zeros((0, 2), "int8")
        return (empty["a"] + 1, alone, others) if first else (others, alone, empty["a"] + 1)

    assert_same(f, {"a": np.zeros((2, 0)), "b": np.zeros(0, "int32")}, tree())


def test_dtypes_together_keys_and_python_numbers() -> None:
    def step(state: Any, n: Any, flag: bool) -> Any:
        key, *keys = random.split(state["key"], 4)
        moved = anima.tree.map(lambda x: np.where(flag, x, -x) * n, state["at"])
        return {"key": key, "at": moved}, keys[0], n + 1, n > 2, moved["x3"].T @ moved["x3"] + 1j

    for seed in (random.key(1), random.PRNGKey(1)):
        assert_same(step, {"key": seed, "at": tree()}, 3, True)
        assert_same(step, {"key": seed, "at": tree("int32")}, onp.float32(2), onp.True_)


def test_captured_arrays_and_results_that_are_arguments() -> None:
    large = np.arange(1000.0)

    def f(t: Any) -> Any:
        return {k: x + large[i] for i, (k, x) in enumerate(t.items())}, t["x2"], large[:3]

    assert_same(f, tree())
    t = tree()
    assert anima.jit(f)(t)[1] is t["x2"]


def test_results_are_arguments_of_the_next_call() -> None:
    f = anima.jit(lambda t: anima.tree.map(lambda x: x + 1, t))
    t = tree()
    for _ in range(5):
        t = f(t)
    onp.testing.assert_array_equal(t["x3"], onp.arange(6.0).reshape(2, 3) + 5)
    sums = anima.jit(lambda t: [x.sum() for x in t.values()])(t)
    assert float(sums[3]) == 45 and isinstance(sums[3].unsafe_buffer_pointer(), int)


def test_arguments_that_are_being_computed_are_not_waited_for() -> None:
    held = threading.Event()

    def slow(x: Any) -> Any:
        held.wait(20)
        return x

    def late(x: Any, big: Any) -> Any:  # large enough for XLA to run it beside the caller
        return anima.pure_callback(slow, x, x) + 0 * (big @ big @ big).sum()

    f = anima.jit(lambda x, t: anima.tree.map(lambda y: y + x, t))
    t = tree()
    f(np.float32(1), t)
    x = anima.jit(late)(np.float32(2), np.ones((400, 400)))
    try:
        out = f(x, t)
        assert not out["x2"].is_ready()
    finally:
        held.set()
    assert out["x2"].tolist() == [2, 3, 4] and f(x, t)["x2"].tolist() == [2, 3, 4]


def test_large_long_and_donating_programs_do_without() -> None:
    t = tree()
    assert is_packed(lambda t: anima.tree.map(np.sin, t), t)
    assert not is_packed(lambda t: anima.tree.map(np.sin, t), {**t, "y": np.zeros(1025)})
    assert not is_packed(lambda t: (anima.tree.map(np.sin, t), np.arange(2000.0).sum()), t)
    assert not is_packed(lambda t: lax.fori_loop(0, t["x0"].astype(int), lambda _, u: u, t), t)
    assert not is_packed(lambda x: (x + 1, x + 2), t["x2"])
    f = anima.jit(lambda t: anima.tree.map(lambda x: x + 1, t), donate_argnums=0)
    given = tree()
    assert f(given)["x2"].tolist() == [1, 2, 3] and given["x2"].is_deleted()


def test_pieces_are_of_one_dtype_and_bounded() -> None:
    aval = lambda n, dtype: anima.typeof(np.zeros(n, dtype))
    avals = [
        aval(600, "float32"),
        aval(3, "int32"),
        aval(600, "float32"),
        aval(2, "float32"),
        aval(1, "int32"),
    ]
    assert Pieces(avals).numbers == [[0], [1, 4], [2, 3]]
    assert Pieces(avals).types() == ["tensor<600xf32>", "tensor<4xi32>", "tensor<602xf32>"]
    assert Pieces([]).numbers == []


def test_many_threads() -> None:
    f = anima.jit(lambda t: anima.tree.map(lambda x: x * 2, t))
    wrong: list[Any] = []

    def work(seed: int) -> None:
        t = anima.tree.map(lambda x: x + seed, tree())
        for _ in range(200):
            if f(t)["x2"].tolist() != [2.0 * (i + seed) for i in range(3)]:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def late_value(held: threading.Event, error: bool = False, shape: tuple[int, ...] = ()) -> Any:
    """An array that is computed once `held` is set, if not in vain."""

    def slow(x: Any) -> Any:
        held.wait(20)
        if error:
            raise ValueError("in vain")
        return x

    def late(x: Any, big: Any) -> Any:  # large enough for XLA to run it beside the caller
        return anima.pure_callback(slow, x, x) + 0 * (big @ big @ big).sum()

    return anima.jit(late)(np.full(shape, 2, "float32"), np.ones((400, 400)))


def test_captured_arrays_that_are_being_computed_are_not_waited_for() -> None:
    held = threading.Event()
    x = late_value(held, shape=(1000,))
    try:
        out = anima.jit(lambda t: anima.tree.map(lambda y: y + x[1], t))(tree())
        assert not out["x2"].is_ready()
    finally:
        held.set()
    assert out["x2"].tolist() == [2, 3, 4]


def test_other_programs_are_not_waited_for() -> None:
    f = anima.jit(lambda t: anima.tree.map(lambda y: y + 1, t))
    t = tree()
    f(t)
    held = threading.Event()
    x = late_value(held)
    try:
        out = f(t)
        assert not x.is_ready() and not out["x2"].is_ready()
        first = anima.jit(lambda t: anima.tree.map(lambda y: y + 2, t))(t)
        assert not x.is_ready() and not first["x2"].is_ready()
    finally:
        held.set()
    assert out["x2"].tolist() == [1, 2, 3] and first["x2"].tolist() == [2, 3, 4]


def test_arguments_whose_computation_failed_raise_its_error() -> None:
    f = anima.jit(lambda x, t: anima.tree.map(lambda y: y + x, t))
    t = tree()
    for _ in range(2):  # the first call is one that compiles
        held = threading.Event()
        x = late_value(held, error=True)
        held.set()
        while not x.is_ready():
            time.sleep(0.001)
        with pytest.raises(anima.errors.JaxRuntimeError, match="in vain"):
            anima.block_until_ready(f(x, t))
        anima.clear_caches()
        f(np.float32(1), t)


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float16", "float8_e3m4", "float8_e4m3", "float8_e5m2", "float8_e8m0fnu"]
)
def test_nans_keep_their_bits(dtype: str) -> None:
    dtype = anima.numpy.dtype(dtype)
    bits = onp.arange(256**dtype.itemsize, dtype=f"uint{8 * dtype.itemsize}")
    parts = [np.asarray(part.view(dtype)) for part in bits[-1024:].reshape(8, -1)]
    assert_same(lambda t: [x[::-1] for x in t], parts)
    for found, part in zip(anima.jit(lambda t: [x[::-1] for x in t])(parts), parts):
        assert onp.asarray(found)[::-1].tobytes() == onp.asarray(part).tobytes()


def test_programs_of_empty_arrays() -> None:
    out = anima.jit(lambda t: [x + 1 for x in t])([np.zeros((0, 3))] * 6)
    assert [x.shape for x in out] == [(0, 3)] * 6


def test_dtypes_of_which_all_arrays_are_empty() -> None:
    def f(t: Any, *empty: Any) -> Any:
        return {k: x + 1 for k, x in t.items()}, [e + 1 for e in empty]

    for count in (1, 3):
        out = anima.jit(f)(tree(), *[np.zeros((0, 2), np.int32) for _ in range(count)])
        assert out[0]["x2"].tolist() == [1, 2, 3] and [e.shape for e in out[1]] == [(0, 2)] * count

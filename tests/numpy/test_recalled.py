"""Small arrays that are made again for the same arguments: as the functions themselves make them, in memory of their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.config import enable_x64, numpy_dtype_promotion
from anima.numpy.calls import recalled

CALLS: dict[str, Callable[[], Any]] = {
    "zeros, a number": lambda: np.zeros(3),
    "zeros, a shape": lambda: np.zeros((2, 3), np.int8),
    "zeros, by name": lambda: np.zeros(shape=(2,), dtype="bfloat16"),
    "zeros, a scalar": lambda: np.zeros(()),
    "zeros, empty": lambda: np.zeros((0, 3)),
    "zeros, NumPy's type": lambda: np.zeros((2,), onp.float32),
    "ones, of complex numbers": lambda: np.ones(2, complex),
    "empty": lambda: np.empty((2, 2), bool),
    "full, weak": lambda: np.full((2,), 2.5),
    "full, an integer": lambda: np.full((2,), 2),
    "full, a truth value": lambda: np.full((2,), True),
    "full, negative zero": lambda: np.full((2,), -0.0),
    "full, zero": lambda: np.full((2,), 0.0),
    "full, complex": lambda: np.full((2,), 1.0 + 0j),
    "arange": lambda: np.arange(5),
    "arange, from a float": lambda: np.arange(5.0),
    "arange, three": lambda: np.arange(1, 9, 3),
    "arange, of a dtype": lambda: np.arange(5, dtype=np.float16),
    "linspace": lambda: np.linspace(0, 1, 5),
    "linspace, by name": lambda: np.linspace(0.0, 1.0, num=5, endpoint=False),
    "eye": lambda: np.eye(3),
    "eye, oblong": lambda: np.eye(2, 3, 1),
    "identity": lambda: np.identity(2, dtype=int),
    "tri": lambda: np.tri(3, k=-1),
}


def _described(x: Any) -> tuple[Any, ...]:
    return x.shape, x.dtype, x.weak_type, x.committed, x.devices(), onp.asarray(x).tobytes()


def _plain(name: str) -> Any:
    """The call with every function itself in its place: nothing is remembered."""
    names = ("zeros", "ones", "empty", "full", "arange", "linspace", "eye", "identity", "tri")
    kept = {n: getattr(np, n) for n in names}
    try:
        for n in names:
            setattr(np, n, kept[n].__wrapped__)
        return CALLS[name]()
    finally:
        for n in names:
            setattr(np, n, kept[n])


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_each_call_gives_what_the_function_gives(name: str, x64: bool) -> None:
    with enable_x64(x64):
        wanted = _described(_plain(name))
        for _ in range(4):
            assert _described(CALLS[name]()) == wanted


def test_numbers_that_are_equal_are_told_apart() -> None:
    for _ in range(3):
        assert [np.full((1,), v).dtype.name for v in (1, 1.0, True, 1 + 0j)] == [
            "int32",
            "float32",
            "bool",
            "complex64",
        ]
        assert onp.signbit(onp.asarray(np.full((1,), -0.0))).all()
        assert not onp.signbit(onp.asarray(np.full((1,), 0.0))).any()
        assert np.arange(3).dtype != np.arange(3.0).dtype


def test_results_share_no_memory() -> None:
    arrays = [np.full((64,), 7.0) for _ in range(5)]
    assert len({a.unsafe_buffer_pointer() for a in arrays}) == 5
    assert len({onp.asarray(a).__array_interface__["data"][0] for a in arrays}) == 5


def test_what_was_donated_or_deleted_is_not_missed() -> None:
    donate = anima.jit(lambda x: x + 1, donate_argnums=0)
    for _ in range(4):
        x = np.full((64,), 7.0)
        assert (onp.asarray(donate(x)) == 8).all()
        assert x.is_deleted()
        y = np.full((64,), 7.0)
        y.delete()
    assert (onp.asarray(np.full((64,), 7.0)) == 7).all()


def test_a_program_sees_a_fill_as_its_own() -> None:
    for _ in range(3):
        np.zeros((3,))
    jaxpr = anima.make_jaxpr(lambda x: x + np.zeros((3,)))(1.0)
    assert not jaxpr.consts
    assert next(e.primitive.name for e in jaxpr.eqns) == "broadcast_in_dim"


def test_like_asks_for_shape_dtype_and_weak_type() -> None:
    for x in (np.arange(3), np.arange(3.0), np.full((2,), 2.0), lax.convert_element_type(1, np.int8)):
        for _ in range(3):
            for fun in (np.zeros_like, np.ones_like, np.empty_like):
                assert _described(fun(x)) == _described(fun.__wrapped__(x))
            assert _described(np.full_like(x, 3)) == _described(np.full_like.__wrapped__(x, 3))
    for value in range(5):  # the contents of an array that fills do matter
        assert onp.asarray(np.full_like(np.arange(2), np.asarray(value))).tolist() == [value, value]
        assert onp.asarray(np.full((2,), np.asarray(value))).tolist() == [value, value]


def test_a_request_that_is_narrowed_warns_each_time() -> None:
    for _ in range(4):
        with pytest.warns(UserWarning, match="truncated to dtype float32"):
            assert np.zeros((2,), "float64").dtype == "float32"


def test_options_are_those_in_force() -> None:
    for _ in range(3):
        assert np.zeros(2).dtype == "float32"
        with enable_x64(True):
            assert np.zeros(2).dtype == "float64"
            assert np.asarray([1.5]).dtype == "float64"
        with numpy_dtype_promotion("strict"):
            assert np.zeros(2).dtype == "float32"


def test_a_default_device_is_asked_for(run_python: Any) -> None:
    run_python(
        "import anima, anima.numpy as np\n"
        "a, b = anima.devices()[:2]\n"
        "for _ in range(4):\n"
        "    assert np.zeros(3).devices() == {a} and np.asarray([1.0]).devices() == {a}\n"
        "    with anima.default_device(b):\n"
        "        assert np.zeros(3).devices() == {b} and np.asarray([1.0]).devices() == {b}\n"
        "    assert np.zeros(3, device=b).devices() == {b}\n",
        env={"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
    )


def test_errors_stay_errors() -> None:
    for _ in range(3):
        with pytest.raises(TypeError):
            np.zeros("three")
        with pytest.raises(ValueError, match="step must not be zero"):
            np.arange(0, 3, 0)
        with pytest.raises(TypeError):
            np.zeros()


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        [1.0, 2.0],
        (1, 2),
        [[1, 2], [3, 4]],
        [True, False],
        [[1.5], [float("nan")], [float("-inf")]],
        [1e300, -1e-320],
        [[[1]], [[2]]],
        [-(2**31), 2**31 - 1],
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["array", "asarray"])
def test_lists_become_what_python_makes_of_them(name: str, value: Any, x64: bool) -> None:
    fun = getattr(np, name)
    with enable_x64(x64):
        assert _described(fun(value)) == _described(fun.__wrapped__(value))


@pytest.mark.parametrize(
    "value",
    [[2**31], [1, 2.5], [[1, 2], [3]], [], [[]], [None], ["a"], [True, 2], [[1], 2], [1, [2]]],
    ids=repr,
)
def test_other_lists_are_left_to_python(value: Any) -> None:
    def outcome(fun: Callable[[Any], Any]) -> Any:
        try:
            return _described(fun(value))
        except Exception as error:
            return type(error), str(error)

    assert outcome(np.asarray) == outcome(np.asarray.__wrapped__)


@pytest.mark.parametrize(
    "dtype", ["bool", "int64", "uint8", "float16", "float64", "complex128", ">f4", "O", "U1"]
)
def test_numpy_arrays_are_copied(dtype: str) -> None:
    value = onp.ones((2, 3)).astype(dtype)

    def outcome(fun: Callable[[Any], Any]) -> Any:
        try:
            return _described(fun(value[:, ::2]))
        except Exception as error:
            return type(error), str(error)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outcome(np.asarray) == outcome(np.asarray.__wrapped__)
        assert outcome(np.array) == outcome(np.array.__wrapped__)


def test_a_numpy_array_may_change_afterwards() -> None:
    for size in (4, 5000):
        value = onp.zeros(size, onp.float32)
        made = np.asarray(value)
        value[:] = 1
        assert not onp.asarray(made).any()


def test_clear_caches_forgets() -> None:
    calls = []

    @recalled()
    def sevens(count: int) -> Any:
        calls.append(count)
        return np.full.__wrapped__((count,), 7.0)

    for _ in range(5):
        assert onp.asarray(sevens(3)).tolist() == [7.0] * 3
    assert calls == [3, 3]  # from the third call on it is not asked
    anima.clear_caches()
    assert (onp.asarray(sevens(3)) == 7).all()
    assert calls == [3, 3, 3]

"""Indexing and updates agree with NumPy's for every kind of index, in and out of traces."""

from __future__ import annotations

import random
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima import _native, dtypes, errors
from tests.numpy.support import assert_same


def _random_item(rng: random.Random, n: int, advanced: bool) -> Any:
    kind = rng.randrange(9 if advanced else 5)
    if kind == 0 and n:
        return rng.randrange(-n, n)
    if kind in (1, 2, 3):
        bound = lambda: rng.choice([None, *range(-n - 1, n + 2)])
        return slice(bound(), bound(), rng.choice([None, 1, 2, -1, -2, 3]))
    if kind == 4:
        return None
    if kind in (5, 6) and n:
        shape = (2,) if kind == 5 else (3, 1)
        return numpy.array([rng.randrange(-n, n) for _ in range(shape[0])]).reshape(shape)
    if kind == 7:
        return numpy.array([rng.random() < 0.5 for _ in range(n)], bool)
    return slice(None)


def _random_index(rng: random.Random, shape: tuple[int, ...], advanced: bool) -> Any:
    items: list[Any] = []
    dims = 0
    while dims < len(shape):
        items.append(_random_item(rng, shape[dims], advanced))
        dims += items[-1] is not None
        if rng.random() < 0.2:
            break
    if rng.random() < 0.2:
        items.insert(rng.randrange(len(items) + 1), Ellipsis)
    return tuple(items) if len(items) > 1 or rng.random() < 0.5 else items[0]


def _cases(count: int) -> list[tuple[numpy.ndarray, Any]]:
    """Random arrays and indices that NumPy admits for them."""
    rng = random.Random(0)
    cases = []
    while len(cases) < count:
        shape = tuple(rng.choice([1, 2, 3, 4]) for _ in range(rng.randrange(1, 4)))
        x = numpy.arange(numpy.prod(shape), dtype="float32").reshape(shape)
        index = _random_index(rng, shape, len(cases) % 2 == 1)
        try:
            x[index]
        except IndexError:
            continue
        cases.append((x, index))
    return cases


def test_random_reads() -> None:
    for x, index in _cases(150):
        assert_same(np.array(x)[index], x[index])


def test_random_reads_in_a_trace() -> None:
    for x, index in _cases(60):
        assert_same(anima.jit(lambda x, index=index: x[index])(x), x[index])


def test_random_updates() -> None:
    for x, index in _cases(80):
        values = numpy.arange(x[index].size, dtype="float32").reshape(x[index].shape) + 100
        expected = x.copy()
        expected[index] = 7
        assert_same(np.array(x).at[index].set(7), expected)
        expected = x.copy()
        numpy.add.at(expected, index, values)
        assert_same(np.array(x).at[index].add(values), expected)


def test_random_updates_in_a_trace() -> None:
    for x, index in _cases(30):
        expected = x.copy()
        expected[index] = 7
        assert_same(anima.jit(lambda x, index=index: x.at[index].set(7.0))(x), expected)


def test_derivatives_of_reads_and_updates() -> None:
    for x, index in _cases(24):
        grad = anima.grad(lambda x, index=index: (x[index] * 2).sum())(np.array(x))
        expected = numpy.zeros_like(x)
        numpy.add.at(expected, index, 2)
        assert_same(grad, expected)
        grad = anima.grad(lambda x, index=index: (x.at[index].set(0.0) * 3).sum())(np.array(x))
        expected = numpy.full_like(x, 3)
        expected[index] = 0
        assert_same(grad, expected)


def test_another_place_is_no_other_program() -> None:
    x = np.ones((5, 6))
    x[0], x[1, 2], x[0:2], x[:, 3], x.at[1].set(2.0), x.at[0, 0:2].add(1.0)
    count = _native.compile_count()
    x[-1], x[4, -1], x[2:4], x[:, 0], x.at[3].set(2.0), x.at[4, 3:5].add(1.0)
    assert _native.compile_count() == count


def test_traced_indices() -> None:
    x = np.arange(5)
    take = anima.jit(lambda x, i: x[i])
    assert [take(x, i).item() for i in (0, 4, -1, 7, -9)] == [0, 4, 4, 4, 0]
    assert take(x, np.array([1, -1, 9])).tolist() == [1, 4, 4]
    assert take(x, np.uint8(200)).item() == 4
    assert anima.vmap(lambda row, i: row[i])(np.arange(6).reshape(2, 3), np.array([2, 0])).tolist() == [2, 3]
    assert anima.jit(lambda x, i: x[i, 1:])(np.arange(6).reshape(2, 3), 1).tolist() == [4, 5]
    put = anima.jit(lambda x, i: x.at[i].set(9))
    assert [put(x, i).tolist().index(9) for i in (0, 3, -1)] == [0, 3, 4]
    assert put(x, 7).tolist() == [0, 1, 2, 3, 4]


def test_narrow_index_dtypes() -> None:
    x = np.arange(200)
    assert x[np.array([-1, 100], np.int8)].tolist() == [199, 100]
    assert x[np.array([199], np.uint8)].tolist() == [199]


def test_out_of_bounds() -> None:
    x = np.arange(4.0)
    for bad in (4, -5, (9,)):
        with pytest.raises(IndexError, match="out of bounds for axis 0 with size 4"):
            x[bad]
        with pytest.raises(IndexError):
            anima.jit(lambda x, bad=bad: x[bad])(x)
        with pytest.raises(IndexError):
            x.at[bad].set(1.0)
    assert x[np.array([7, -7])].tolist() == [3.0, 0.0]
    assert x[2:9].tolist() == [2.0, 3.0]
    assert x.at[np.array([7])].set(1.0).tolist() == x.tolist()
    assert x.at[7].set(1.0, mode="clip").tolist() == [0, 1, 2, 1]
    assert x.at[7].set(1.0, mode="drop").tolist() == x.tolist()
    assert numpy.isnan(x.at[7].get(mode="fill"))
    assert x.at[np.array([1, 7])].get(mode="fill", fill_value=-1).tolist() == [1, -1]
    assert x.at[-9].get(mode="clip") == 0
    assert x.at[np.array([1, 7])].get(fill_value=5).tolist() == [1, 5]
    assert x.at[np.array([-1])].get(mode="fill", fill_value=9, wrap_negative_indices=False).tolist() == [9]
    assert np.arange(3).at[np.array([5])].get(mode="fill").tolist() == [-(2**31)]


def test_operations_of_updates() -> None:
    x = np.array([1.0, 2.0, 3.0])
    twice = np.array([0, 0, 2])
    assert x.at[twice].add(1.0).tolist() == [3, 2, 4]
    assert x.at[twice].subtract(1.0).tolist() == [-1, 2, 2]
    assert x.at[twice].multiply(2.0).tolist() == [4, 2, 6]
    assert x.at[twice].mul(2.0).tolist() == [4, 2, 6]
    assert x.at[twice].divide(2.0).tolist() == [0.25, 2, 1.5]
    assert x.at[1].power(3).tolist() == [1, 8, 3]
    assert x.at[twice].min(np.array([0.5, 2.0, 9.0])).tolist() == [0.5, 2, 3]
    assert x.at[twice].max(np.array([0.5, 2.0, 9.0])).tolist() == [2, 2, 9]
    assert x.at[1:].apply(np.square).tolist() == [1, 4, 9]
    assert x.at[np.array([0, 2])].apply(lambda v: v + 1).tolist() == [2, 2, 4]
    assert np.zeros(3, bool).at[np.array([1, 1])].add(True).tolist() == [False, True, False]
    assert np.arange(3).at[0].divide(2).dtype == np.float32
    assert x.at[...].set(0.0).tolist() == [0, 0, 0]
    assert x.at[::2].set(np.array([7.0, 8.0])).tolist() == [7, 2, 8]
    assert x.at[::-2].set(np.array([7.0, 8.0])).tolist() == [8, 2, 7]
    assert np.zeros((2, 3)).at[:, 1].set(np.array([5.0, 6.0])).tolist() == [[0, 5, 0], [0, 6, 0]]
    assert x.at[5:].add(1.0).tolist() == x.tolist()


def test_masks() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert x[x > 2].tolist() == [3, 4, 5]
    assert x[np.array([True, False])].tolist() == [[0, 1, 2]]
    assert x.at[x > 2].set(0.0).tolist() == [[0, 1, 2], [0, 0, 0]]
    assert x.at[x > 2].add(np.array([1.0, 2.0, 3.0])).tolist() == [[0, 1, 2], [4, 6, 8]]
    assert x[True].shape == (1, 2, 3)
    assert x[False].shape == (0, 2, 3)
    traced = anima.jit(lambda x: x.at[x > 2].multiply(10.0))
    assert traced(x).tolist() == [[0, 1, 2], [30, 40, 50]]
    rows = anima.jit(lambda x, m: x.at[m].set(np.array([7.0, 8.0, 9.0])))
    assert rows(x, np.array([False, True])).tolist() == [[0, 1, 2], [7, 8, 9]]
    with pytest.raises(errors.NonConcreteBooleanIndexError, match="boolean indices must be concrete"):
        anima.jit(lambda x: x[x > 2])(x)
    assert anima.grad(lambda x: x[x > 2].sum())(x).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_updates_keep_the_dtype() -> None:
    x = np.arange(3)
    with pytest.warns(FutureWarning, match="cast to the dtype int32"):
        assert x.at[0].set(2.7).dtype == np.int32
    assert x.at[0].set(np.int8(5)).dtype == np.int32
    assert np.zeros(2, np.bfloat16).at[0].add(1.5).dtype == np.bfloat16


@pytest.mark.parametrize(
    ("index", "error"),
    [
        ((0, 0, 0), IndexError), ((..., ...), IndexError), ("a", TypeError), (1.5, TypeError), ([0, 1], TypeError),
        (numpy.array([True, False, True]), IndexError), (slice(None, None, 0), ValueError), (slice(0, "a"), TypeError),
        (object(), TypeError), (numpy.array([1.5]), TypeError), ((slice(None), 5), IndexError),
    ],
)  # fmt: skip
def test_what_is_no_index(index: Any, error: type[Exception]) -> None:
    x = np.ones((2, 3))
    with pytest.raises(error):
        x[index]
    with pytest.raises(error):
        x.at[index].set(0.0)


def test_other_errors() -> None:
    x = np.ones((2, 3))
    with pytest.raises(TypeError, match="does not support item assignment"):
        x[0] = 1.0
    with pytest.raises(TypeError, match="does not support item assignment"):
        anima.jit(lambda x: x.__setitem__(0, 1.0))(x)
    with pytest.raises(ValueError, match="do not broadcast"):
        x.at[0].set(np.ones(2))
    with pytest.raises(ValueError, match="Unknown gather or scatter mode"):
        x.at[0].set(1.0, mode="wrong")
    with pytest.raises(IndexError, match="static start/stop/step"):
        anima.jit(lambda x, i: x[i:])(x, 1)
    with pytest.raises(TypeError, match="0-d"):
        iter(np.array(1.0))
    with pytest.raises(IndexError):
        np.zeros((0, 3))[np.array([0])]


def test_taking() -> None:
    x = np.arange(5.0)
    m = numpy.arange(6, dtype="float32").reshape(2, 3)
    assert_same(np.take(m, numpy.array([[0, 2]]), axis=1), numpy.take(m, numpy.array([[0, 2]]), axis=1))
    assert np.take(x, np.array([0, -1, 7])).tolist()[:2] == [0, 4]
    assert numpy.isnan(np.take(x, 7))
    assert np.take(x, 7, mode="clip") == 4
    assert np.take(x, 7, mode="wrap") == 2
    assert np.take(x, 7, fill_value=-1) == -1
    places = numpy.argsort(-m, axis=1)
    assert_same(np.take_along_axis(m, places, 1), numpy.take_along_axis(m, places, 1))
    assert_same(
        np.take_along_axis(m, numpy.array([[1, 0, 1]]), 0),
        numpy.take_along_axis(m, numpy.array([[1, 0, 1]]), 0),
    )
    put = m.copy()
    numpy.put_along_axis(put, numpy.array([[2], [0]]), 9, 1)
    assert_same(np.put_along_axis(m, numpy.array([[2], [0]]), 9, 1, inplace=False), put)
    for call in (
        lambda: np.put_along_axis(m, numpy.array([[0], [0]]), 1, 1),
        lambda: np.put(m, 0, 1),
        lambda: np.place(m, m > 1, 1),
    ):
        with pytest.raises(ValueError, match="inplace=False"):
            call()
    with pytest.raises(ValueError, match="compiled code cannot raise"):
        np.take(x, 7, mode="raise")
    with pytest.raises(TypeError, match="integers"):
        np.take(x, 1.5)


def test_index_tables() -> None:
    x = numpy.arange(24).reshape(2, 3, 4)
    flat = numpy.array([0, 5, 23])
    assert [p.tolist() for p in np.unravel_index(flat, x.shape)] == [
        p.tolist() for p in numpy.unravel_index(flat, x.shape)
    ]
    places = numpy.unravel_index(flat, x.shape)
    assert np.ravel_multi_index(places, x.shape).tolist() == flat.tolist()
    assert (
        np.ravel_multi_index(places, x.shape, order="F").tolist()
        == numpy.ravel_multi_index(places, x.shape, order="F").tolist()
    )
    assert np.ravel_multi_index((np.array([5]), np.array([0])), (2, 3), mode="clip").tolist() == [3]
    assert np.ravel_multi_index((np.array([5]), np.array([0])), (2, 3), mode="wrap").tolist() == [3]
    with pytest.raises(ValueError, match="out of bounds"):
        np.ravel_multi_index((np.array([5]), np.array([0])), (2, 3))
    grid = np.ix_(np.array([0, 1]), np.array([True, False, True]))
    assert np.array(x)[grid].shape == (2, 2, 4)
    assert [p.tolist() for p in np.mask_indices(3, np.triu, 1)] == [
        p.tolist() for p in numpy.mask_indices(3, numpy.triu, 1)
    ]


def test_finding() -> None:
    x = numpy.array([[0, 3, 0], [5, 0, 0]], "int32")
    for traced, size in ((False, None), (False, 2), (True, 2)):
        run = anima.jit if traced else (lambda f: f)
        found = run(lambda x, size=size: np.nonzero(x, size=size))(x)
        assert [p.tolist() for p in found] == [p.tolist() for p in numpy.nonzero(x)]
    assert np.nonzero(x, size=3, fill_value=(7, 8))[1].tolist() == [1, 0, 8]
    assert np.nonzero(x, size=1)[0].tolist() == [0]
    assert np.argwhere(x).tolist() == numpy.argwhere(x).tolist()
    assert np.flatnonzero(x).tolist() == [1, 3]
    assert np.argwhere(np.array(5)).shape == (1, 0)
    assert [p.tolist() for p in np.where(x > 3)] == [[1], [0]]
    assert np.compress(np.array([False, True]), x, axis=0).tolist() == [[5, 0, 0]]
    assert np.extract(x > 0, x).tolist() == [3, 5]
    assert anima.jit(lambda x: np.extract(x > 0, x, size=3, fill_value=-1))(x).tolist() == [3, 5, -1]
    with pytest.raises(errors.ConcretizationTypeError):
        anima.jit(np.nonzero)(x)


def test_arrays_of_keys() -> None:
    """A dtype that is not NumPy's brings inner dimensions, which no function of shapes sees."""
    words = np.arange(8, dtype=np.uint32).reshape(4, 2)
    kind = dtypes.ExtendedDType("key<test>", dtypes.prng_key, (2,), numpy.dtype("uint32"))
    keys = _native.array_with(words, dtype=kind)
    back = lambda x: _native.array_with(x, dtype=np.dtype("uint32")).tolist()
    assert back(keys[1]) == [2, 3]
    assert back(keys[-2:]) == [[4, 5], [6, 7]]
    assert back(keys[np.array([3, 0])]) == [[6, 7], [0, 1]]
    assert back(keys.at[0].set(keys[3])) == [[6, 7], [2, 3], [4, 5], [6, 7]]
    assert back(keys.reshape(2, 2)[1, 0]) == [4, 5]
    assert back(np.stack([keys[0], keys[1]])) == back(np.array([keys[0], keys[1]])) == [[0, 1], [2, 3]]
    assert (keys == keys).tolist() == [True] * 4
    assert [back(k) for k in keys] == words.tolist()
    assert back(anima.jit(lambda keys, i: keys[i])(keys, 2)) == [4, 5]
    assert repr(keys).startswith("DeviceArray((4,), dtype=key<test>) overlaying:\n[[0 1]")
    with pytest.raises(errors.TypePromotionError):
        keys + 1

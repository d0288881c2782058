"""The functions for updates at an index are `x.at`, and NumPy's assignments are their oracle."""

from __future__ import annotations

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima.ops import index, index_add, index_max, index_min, index_mul, index_update

FUNCTIONS = {
    index_update: lambda old, new: new,
    index_add: onp.add,
    index_mul: onp.multiply,
    index_min: onp.minimum,
    index_max: onp.maximum,
}
INDICES = [
    index[1, :],
    index[::2, 3:],
    index[-1],
    index[..., ::-1],
    index[onp.array([0, 3]), onp.array([1, -1])],
    index[[True, False, True, False, False]],
    index[:, onp.array([[0], [2]])],
]
INDICES[5] = index[onp.array(INDICES[5])]


@pytest.mark.parametrize("fun", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("idx", INDICES, ids=str)
def test_values(fun, idx) -> None:
    x = onp.arange(30, dtype=onp.float32).reshape(5, 6)
    want = x.copy()
    want[idx] = FUNCTIONS[fun](want[idx], 7)
    for old in (x, np.asarray(x)):
        onp.testing.assert_array_equal(fun(old, idx, 7.0), want)
    onp.testing.assert_array_equal(anima.jit(lambda x: fun(x, idx, 7.0))(x), want)
    onp.testing.assert_array_equal(anima.vmap(lambda x: fun(x, idx, 7.0))(x[None]), want[None])


def test_derivatives() -> None:
    x = np.arange(4.0) + 1
    slope = lambda fun, y: anima.grad(lambda x: (fun(x, index[1:3], y) * np.arange(4.0)).sum())(x).tolist()
    assert slope(index_update, 9.0) == [0, 0, 0, 3]
    assert slope(index_add, 9.0) == [0, 1, 2, 3]
    assert slope(index_mul, 9.0) == [0, 9, 18, 3]
    assert slope(index_min, 2.5) == [0, 1, 0, 3]
    assert slope(index_max, 2.5) == [0, 0, 2, 3]


def test_repeated_and_outer_indices() -> None:
    assert index_add(np.zeros(3), np.array([1, 1, 5]), 2.0).tolist() == [0, 4, 0]
    assert index_add(np.zeros(3), np.array([1, 1, 5]), 2.0, mode="clip").tolist() == [0, 4, 2]
    with pytest.warns(FutureWarning, match="cast to the dtype int32"):
        assert index_update(np.zeros(7, int), index[6], 2.5).tolist() == [0] * 6 + [2]
    assert repr(index) == "index"


def test_misuse() -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        index_update(np.zeros(3), index[3], 1.0)
    with pytest.raises(TypeError, match="index_update requires ndarray or scalar arguments, got list"):
        index_update([1.0], index[0], 1.0)
    with pytest.raises(ValueError, match="do not broadcast"):
        index_update(np.zeros(3), index[:2], np.zeros(3))

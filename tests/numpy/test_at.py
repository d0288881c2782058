"""Indices of updates that are out of bounds, and the types of what is updated."""

from __future__ import annotations

import numpy as onp
import pytest

import anima
import anima.numpy as np


@pytest.mark.parametrize(
    ("mode", "added", "read"), [("clip", [1, 1, 2], [0, 2]), ("drop", [0, 1, 2], [-5, -5])]
)
def test_negative_indices_that_do_not_wrap(mode: str, added: list[int], read: list[int]) -> None:
    x, ids = np.arange(3), np.array([-1, 3])
    place = lambda index: x.at[index]
    flags = {"mode": mode, "wrap_negative_indices": False}
    assert place(ids[:1]).add(1, **flags).tolist() == added
    assert place(-1).add(1, **flags).tolist() == added
    assert place(np.array(-1)).apply(lambda v: v + 1, **flags).tolist() == added
    assert anima.jit(lambda x: x.at[-1].add(1, **flags))(x).tolist() == added
    assert place(ids).get(**flags, fill_value=-5).tolist() == read


def test_updates_of_an_empty_dimension_change_nothing() -> None:
    x = np.zeros((2, 0))
    assert x.at[:, np.array([0, 3])].set(1.0).shape == (2, 0)
    assert anima.grad(lambda x: x.at[:, np.array([0])].add(1.0).sum())(x).shape == (2, 0)
    assert np.zeros(0).at[np.array([0])].apply(np.sin).shape == (0,)


@pytest.mark.parametrize("how", ["set", "add", "multiply", "min", "max"])
def test_updates_of_weakly_typed_arrays_are_weakly_typed(how: str) -> None:
    """Whatever the index and the values are, and whether the index is known or not."""
    x = np.broadcast_to(1.5, (3,))
    assert x.weak_type
    for index in (0, slice(0, 2), slice(None), onp.array([0, 1]), np.asarray(1), x > 5):
        for value in (0.5, onp.float32(0.5), np.float32(0.5)):
            update = lambda x, value, index=index: getattr(x.at[index], how)(value)
            assert update(x, value).weak_type
            assert anima.eval_shape(update, x, value).weak_type
    assert x.at[1].apply(np.sin).weak_type
    assert not np.ones(3).at[0].set(0.5).weak_type

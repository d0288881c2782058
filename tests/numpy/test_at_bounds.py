"""Indices of updates that are out of bounds."""

from __future__ import annotations

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

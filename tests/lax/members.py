"""Collectives and what they do to the array of all members of an axis, in NumPy: the table that their tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from anima import lax

N = 4
GROUPS = [[0, 3], [2, 1]]
UNEVEN = [[0, 3, 1], [2]]


def rows(groups: Any, count: int) -> list[list[int]]:
    """The members that each one speaks with, in the order of its group."""
    groups = [list(range(count))] if groups is None else groups
    return [next(g for g in groups if i in g) for i in range(count)]


def reduced(how: Callable[..., Any], groups: Any = None) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.stack([how(x[group], axis=0) for group in rows(groups, len(x))])


def gathered(axis: int, tiled: bool, groups: Any = None) -> Callable[[np.ndarray], np.ndarray]:
    join: Any = np.concatenate if tiled else np.stack
    return lambda x: np.stack([join(list(x[group]), axis) for group in rows(groups, len(x))])


def scattered(dim: int, tiled: bool, groups: Any = None) -> Callable[[np.ndarray], np.ndarray]:
    def oracle(x: np.ndarray) -> np.ndarray:
        out = []
        for i, group in enumerate(rows(groups, len(x))):
            part = np.split(x[group].sum(0), len(group), dim)[group.index(i)]
            out.append(part if tiled else part.squeeze(dim))
        return np.stack(out)

    return oracle


def exchanged(split: int, concat: int, tiled: bool, groups: Any = None) -> Callable[[np.ndarray], np.ndarray]:
    def oracle(x: np.ndarray) -> np.ndarray:
        out = []
        for i, group in enumerate(rows(groups, len(x))):
            parts = [np.split(x[j], len(group), split)[group.index(i)] for j in group]
            if tiled:
                out.append(np.concatenate(parts, concat))
            else:
                out.append(np.stack([p.squeeze(split) for p in parts], concat))
        return np.stack(out)

    return oracle


def permuted(pairs: Any) -> Callable[[np.ndarray], np.ndarray]:
    def oracle(x: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for a, b in pairs:
            out[b] = x[a]
        return out

    return oracle


@dataclass(frozen=True)
class Case:
    """A collective as a function of one member's array and the axis name, and of the array of all members."""

    call: Callable[[Any, Any], Any]
    oracle: Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, ...] = (3, 4)
    linear: bool = True


SHIFT = [(0, 1), (1, 2), (3, 0)]
CYCLE = [(0, 1), (1, 2), (2, 3), (3, 0)]

CASES = {
    "psum": Case(lambda x, i: lax.psum(x, i), reduced(np.sum)),
    "psum groups": Case(lambda x, i: lax.psum(x, i, axis_index_groups=GROUPS), reduced(np.sum, GROUPS)),
    "psum_scatter": Case(
        lambda x, i: lax.psum_scatter(x, i, scatter_dimension=1), scattered(1, tiled=False), (3, 4)
    ),
    "psum_scatter negative": Case(
        lambda x, i: lax.psum_scatter(x, i, scatter_dimension=-2), scattered(0, tiled=False), (4, 3)
    ),
    "psum_scatter tiled": Case(
        lambda x, i: lax.psum_scatter(x, i, tiled=True), scattered(0, tiled=True), (8, 3)
    ),
    "psum_scatter groups": Case(
        lambda x, i: lax.psum_scatter(x, i, axis_index_groups=GROUPS, tiled=True),
        scattered(0, tiled=True, groups=GROUPS),
        (4, 3),
    ),
    "pmean": Case(lambda x, i: lax.pmean(x, i), reduced(np.mean)),
    "pmean groups": Case(lambda x, i: lax.pmean(x, i, axis_index_groups=GROUPS), reduced(np.mean, GROUPS)),
    "pmax": Case(lambda x, i: lax.pmax(x, i), reduced(np.max), linear=False),
    "pmax groups": Case(
        lambda x, i: lax.pmax(x, i, axis_index_groups=GROUPS), reduced(np.max, GROUPS), linear=False
    ),
    "pmin": Case(lambda x, i: lax.pmin(x, i), reduced(np.min), linear=False),
    "all_gather": Case(lambda x, i: lax.all_gather(x, i), gathered(0, tiled=False)),
    "all_gather last": Case(lambda x, i: lax.all_gather(x, i, axis=-1), gathered(2, tiled=False)),
    "all_gather tiled": Case(lambda x, i: lax.all_gather(x, i, axis=1, tiled=True), gathered(1, tiled=True)),
    "all_gather groups": Case(
        lambda x, i: lax.all_gather(x, i, axis_index_groups=GROUPS, axis=1),
        gathered(1, tiled=False, groups=GROUPS),
    ),
    "all_to_all": Case(lambda x, i: lax.all_to_all(x, i, 1, 0), exchanged(1, 0, tiled=False)),
    "all_to_all forward": Case(lambda x, i: lax.all_to_all(x, i, 0, 1), exchanged(0, 1, tiled=False), (4, 3)),
    "all_to_all last": Case(
        lambda x, i: lax.all_to_all(x, i, -1, -1), exchanged(2, 2, tiled=False), (2, 3, 4)
    ),
    "all_to_all tiled": Case(
        lambda x, i: lax.all_to_all(x, i, 1, 0, tiled=True), exchanged(1, 0, tiled=True), (3, 8)
    ),
    "all_to_all groups": Case(
        lambda x, i: lax.all_to_all(x, i, 0, 1, axis_index_groups=GROUPS),
        exchanged(0, 1, tiled=False, groups=GROUPS),
        (2, 3),
    ),
    "all_to_all tiled groups": Case(
        lambda x, i: lax.all_to_all(x, i, 0, 0, axis_index_groups=GROUPS, tiled=True),
        exchanged(0, 0, tiled=True, groups=GROUPS),
        (4, 3),
    ),
    "pswapaxes": Case(lambda x, i: lax.pswapaxes(x, i, 1), exchanged(1, 1, tiled=False)),
    "ppermute": Case(lambda x, i: lax.ppermute(x, i, CYCLE), permuted(CYCLE)),
    "ppermute part": Case(lambda x, i: lax.ppermute(x, i, SHIFT), permuted(SHIFT)),
    "ppermute none": Case(lambda x, i: lax.ppermute(x, i, []), permuted([])),
    "pshuffle": Case(lambda x, i: lax.pshuffle(x, i, [2, 0, 3, 1]), lambda x: x[[2, 0, 3, 1]]),
    "pbroadcast": Case(lambda x, i: lax.pbroadcast(x, i, 2), lambda x: np.broadcast_to(x[2], x.shape)),
    "pcast": Case(lambda x, i: lax.pcast(x, i, to="varying"), lambda x: x),
}

# What one member may do with groups that differ in size.
RAGGED = {
    "psum": Case(lambda x, i: lax.psum(x, i, axis_index_groups=UNEVEN), reduced(np.sum, UNEVEN)),
    "pmean": Case(lambda x, i: lax.pmean(x, i, axis_index_groups=UNEVEN), reduced(np.mean, UNEVEN)),
    "pmin": Case(
        lambda x, i: lax.pmin(x, i, axis_index_groups=UNEVEN), reduced(np.min, UNEVEN), linear=False
    ),
}
ALL = {**CASES, **{f"{name} uneven": case for name, case in RAGGED.items()}}


def numbers(shape: tuple[int, ...], seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def assert_close(got: Any, want: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-5, atol=1e-5)

"""Shardings compared with JAX: the text for XLA, shapes of parts, and equivalence, over meshes without devices."""

from __future__ import annotations

import random
from typing import Any

import jax
import pytest

from anima.sharding import AbstractMesh, NamedSharding, P

pytestmark = pytest.mark.peers


def cases(count: int) -> list[tuple[tuple[int, ...], tuple[str, ...], list[tuple[str, ...]]]]:
    """Random meshes with random specs: sizes, names, and the axes of each dimension."""
    chance = random.Random(0)
    made = []
    for _ in range(count):
        sizes = tuple(chance.choice([1, 2, 2, 3, 4]) for _ in range(chance.randint(1, 4)))
        names = tuple("abcd"[: len(sizes)])
        dims: list[list[str]] = [[] for _ in range(chance.randint(1, 4))]
        for axis in chance.sample(names, chance.randint(0, len(names))):
            chance.choice(dims).append(axis)
        made.append((sizes, names, [tuple(axes) for axes in dims]))
    return made


def both(sizes: Any, names: Any, dims: Any) -> tuple[NamedSharding, Any]:
    ours = NamedSharding(AbstractMesh(sizes, names), P(*dims))
    theirs = jax.sharding.NamedSharding(
        jax.sharding.AbstractMesh(sizes, names), jax.sharding.PartitionSpec(*dims)
    )
    return ours, theirs


def test_texts_and_shapes() -> None:
    for sizes, names, dims in cases(300):
        ours, theirs = both(sizes, names, dims)
        assert str(ours.hlo(len(dims))) == str(theirs._to_xla_hlo_sharding(len(dims)))
        shape = (24 * 24,) * len(dims)
        assert ours.shard_shape(shape) == theirs.shard_shape(shape)
        assert ours.is_fully_replicated == theirs.is_fully_replicated
        assert repr(ours.spec) == repr(theirs.spec)

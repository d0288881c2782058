"""Checks of the rows of `docs/differences.md` about `ops`."""

from __future__ import annotations

from typing import Any

import jax
import numpy
import pytest

import anima
from anima import ops

DATA, IDS = numpy.array([2.0, 0.0, 3.0], "float32"), numpy.array([0, 0, 2])


def extrema(run_python: Any, tmp_path: Any) -> None:
    data = DATA.astype("complex64")
    assert complex(jax.ops.segment_max(data, IDS, 3)[1]) == complex(-numpy.inf, 0)
    assert complex(ops.segment_max(data, IDS, 3)[1]) == complex(-numpy.inf, -numpy.inf)
    assert complex(jax.ops.segment_min(data, IDS, 3)[1]) == complex(numpy.inf, 0)
    assert complex(ops.segment_min(data, IDS, 3)[1]) == complex(numpy.inf, numpy.inf)


def products(run_python: Any, tmp_path: Any) -> None:
    with pytest.raises(NotImplementedError):
        jax.grad(lambda x: jax.ops.segment_prod(x, IDS, 3).sum())(DATA)
    assert anima.grad(lambda x: ops.segment_prod(x, IDS, 3).sum())(DATA).tolist() == [0.0, 2.0, 1.0]


def buckets(run_python: Any, tmp_path: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        jax.ops.segment_sum(DATA, IDS, 3, bucket_size=0)
    with pytest.raises(ValueError, match="bucket_size"):
        ops.segment_sum(DATA, IDS, 3, bucket_size=0)


def small_floats(run_python: Any, tmp_path: Any) -> None:
    for kind, largest in (("float8_e4m3fn", 448.0), ("float8_e4m3fnuz", 240.0)):
        data = DATA.astype(getattr(anima.numpy, kind))
        for name, empty in (("segment_min", largest), ("segment_max", -largest)):
            theirs, found = (getattr(lib, name)(data, IDS, 3) for lib in (jax.ops, ops))
            assert numpy.isnan(numpy.asarray(theirs).astype("float32")).all()
            first = 0.0 if name == "segment_min" else 2.0
            assert numpy.asarray(found).astype("float32").tolist() == [first, empty, 3.0]


def moving_slices(run_python: Any, tmp_path: Any) -> None:
    rows = numpy.arange(6)
    x, y = anima.numpy.asarray(rows), jax.numpy.asarray(rows)
    for i in (-8, -2, 0, 3, 5, 9):
        assert x[anima.ds(i, 3)].tolist() == y[jax.ds(i, 3)].tolist()
    assert y.at[jax.ds(5, 3)].set(-1).tolist() == rows.tolist()
    assert x.at[anima.ds(5, 3)].set(-1).tolist() == [0, 1, 2, -1, -1, -1]
    assert y[jax.ds(4, 3, 2)].tolist() == [4, 5, 5]
    assert x[anima.ds(4, 3, 2)].tolist() == [1, 3, 5]
    assert y[jax.ds(0, 4, 3)].tolist() == [0, 3, 5, 5]
    with pytest.raises(TypeError, match="reaches over 10 elements"):
        x[anima.ds(0, 4, 3)]


OPS_CHECKS = {
    "moving-slices": moving_slices,
    "segment-small-floats": small_floats,
    "segment-extrema": extrema,
    "segment-products": products,
    "segment-buckets": buckets,
}

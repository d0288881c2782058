"""Clusters of points by k-means: Lloyd's iteration, ten times."""

from __future__ import annotations

from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, again, integers, numbers, on

POINTS, FEATURES, CLUSTERS, STEPS = 10_000, 16, 32, 10


def build(lib: Adapter) -> Run:
    segment_sum = lib.ops.segment_sum

    def cluster(points: Any, centres: Any, ones: Any) -> Any:
        def step(_: Any, centres: Any) -> Any:
            labels = ((centres * centres).sum(1) - 2.0 * (points @ centres.T)).argmin(1)
            sums, counts = segment_sum(points, labels, CLUSTERS), segment_sum(ones, labels, CLUSTERS)
            return sums / (counts + 1e-6)[:, None]

        return lib.lax.fori_loop(0, STEPS, step, centres)

    # Clusters that lie apart, so that no point's label hangs on how distances are rounded.
    middles = numbers(CLUSTERS, FEATURES, seed=1, scale=6.0)
    points = middles[integers(POINTS, below=CLUSTERS, seed=2)] + numbers(POINTS, FEATURES, seed=3)
    data = on(lib, (points, middles + numbers(CLUSTERS, FEATURES, seed=4), numpy.ones(POINTS, numpy.float32)))
    return Run(again(lib.jit(cluster), *data))

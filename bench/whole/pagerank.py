"""The ranks of pages by their links, a sparse product by sums over segments, twenty times."""

from __future__ import annotations

from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, again, integers, on

PAGES, LINKS, STEPS = 10_000, 100_000, 20


def build(lib: Adapter) -> Run:
    segment_sum = lib.ops.segment_sum

    def ranks(start: Any, shares: Any, source: Any, target: Any) -> Any:
        def step(_: Any, rank: Any) -> Any:
            return 0.15 / PAGES + 0.85 * segment_sum(rank[source] * shares, target, PAGES)

        return lib.lax.fori_loop(0, STEPS, step, start)

    source, target = integers(LINKS, below=PAGES, seed=1), integers(LINKS, below=PAGES, seed=2)
    shares = (1 / numpy.bincount(source, minlength=PAGES).clip(1))[source].astype(numpy.float32)
    start = numpy.full(PAGES, 1 / PAGES, numpy.float32)
    return Run(again(lib.jit(ranks), *on(lib, (start, shares, source, target))))

"""Pieces of text that are written once: regions of reductions, attributes of kernels' calls."""

from __future__ import annotations

import re
from typing import Any

import numpy as onp

import anima
import anima.numpy as np
from anima import lax
from anima.core.aval import ShapedArray
from anima.runtime.kernels import _written

SMALL = ShapedArray((2, 3), onp.dtype("float32"))


def reductions(x: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        return carry + np.sum(row) * np.max(row), np.sum(row, dtype=np.int32)

    total, counts = lax.scan(step, 0.0, x)
    return total + np.sum(x, axis=0).min(), counts


def test_reductions_share_the_text_of_their_regions() -> None:
    text = anima.jit(reductions).lower(np.ones((3, 5))).as_text()
    regions = re.findall(r"\^bb0\(%r\d+.*?stablehlo\.return", text, re.DOTALL)
    assert len(regions) >= 4
    for region in regions:
        names = re.findall(r"%\w+", region)
        assert all(name.startswith("%r") for name in names)
    # A value has one name, and a name one value, in all that a region can see.
    outside = re.sub(r"\^bb0\(%r\d+.*?stablehlo\.return[^\n]*", "", text, flags=re.DOTALL)
    assert "%r" not in outside


def test_regions_of_reductions_compute_what_they_say() -> None:
    x = onp.arange(15, dtype=onp.float32).reshape(3, 5)
    total, counts = anima.jit(reductions)(x)
    assert float(total) == sum(row.sum() * row.max() for row in x) + x.sum(0).min()
    assert counts.tolist() == x.sum(1).astype(int).tolist()


def test_regions_say_where_they_come_from_if_asked() -> None:
    lowered = anima.jit(lambda x: np.sum(x, axis=0)).lower(np.ones((3, 5)))
    [line] = [line for line in lowered.as_text(debug_info=True).splitlines() if "}) {dimensions" in line]
    assert "reduce_sum" in line
    assert "test_text.py" in line


def test_attributes_are_written_by_their_types() -> None:
    def attributes(value: int | bool) -> str:
        return _written("kernel", (("a", value),), (type(value),), (SMALL,), (SMALL,))[0]

    assert "{a = true}" in attributes(True)
    assert "{a = 1 : i64}" in attributes(1)
    assert "{a = true}" in attributes(True)


def test_what_a_kernel_moves_is_counted() -> None:
    attrs, moved = _written("kernel", (), (), (SMALL, SMALL), (SMALL,))
    assert moved == 18
    assert "backend_config = {}" in attrs
    assert "operand_layouts" in attrs
    assert _written("kernel", (), (), (), ())[0].endswith("backend_config = {}")

"""Programs in which kernels have much to do run beside their caller, though XLA counts no operations in kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import anima
import anima.numpy as np
from anima import lax

pytestmark = pytest.mark.cpu

MUCH: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "product": (lambda x: x @ x, ((600, 600),)),
    "sort": (np.sort, ((1_000_000,),)),
    "running sums": (np.cumsum, ((3_000_000,),)),
    "sums of rows": (lambda x: x.sum(1), ((3000, 2000),)),
    "transform": (np.fft.fft, ((500_000,),)),
    "cholesky": (np.linalg.cholesky, ((400, 400),)),
    "convolution": (
        lambda x, w: lax.conv(x, w, (1, 1), "SAME"),
        ((8, 64, 56, 56), (64, 64, 3, 3)),
    ),
    "small products in a row": (lambda x: x @ x @ x @ x @ x @ x, ((300, 300),)),
}


def lowered(name: str, scale: float = 1.0) -> str:
    f, shapes = MUCH[name]
    few = [tuple(max(int(n * scale), 3) for n in shape) for shape in shapes]
    return anima.jit(f).lower(*(anima.ShapeDtypeStruct(shape, "float32") for shape in few)).as_text()


@pytest.mark.parametrize("name", MUCH)
def test_much_work_has_a_weight_and_little_has_none(name: str) -> None:
    assert lowered(name).count("anima_weight") == 1
    assert "anima_weight" not in lowered(name, 0.02)


def test_a_product_alone_leaves_its_caller_at_once() -> None:
    """A program that takes its turn after one that is held: had XLA run it in the caller, this would wait for ever."""
    gate = threading.Event()

    def hold(x: Any) -> Any:
        gate.wait(60)
        return x

    x = np.ones((600, 600))
    held = anima.jit(lambda x: anima.pure_callback(hold, x, x) @ x)(x)
    after = anima.jit(lambda x: x @ x)(held)
    assert not after.is_ready()
    gate.set()
    assert float(after[0, 0]) == 600.0**3


def test_a_loop_of_products_has_one_weight() -> None:
    def f(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, y: y @ x, x)

    text = anima.jit(f).lower(anima.ShapeDtypeStruct((600, 600), "float32")).as_text()
    assert text.count("anima_weight") == 1


def test_the_optimised_program_keeps_what_is_counted() -> None:
    compiled = anima.jit(lambda x: x @ x).lower(np.ones((600, 600))).compile()
    text = compiled.as_text()
    assert "anima_weight" in text
    assert "s8[1024]" in text

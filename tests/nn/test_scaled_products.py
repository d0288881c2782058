"""Products of narrow numbers with scales, against the rounded operands in NumPy."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy
import pytest

import anima
from anima import nn

RNG = numpy.random.default_rng(0)
STACKS = (([2], [2]), ([0], [0]))


def rounded(x: Any, mode: str, global_scale: float = 1.0) -> Any:
    """`x` with the last dimension rounded block by block, as the formats prescribe."""
    size, kind, largest = (
        (32, ml_dtypes.float8_e4m3fn, 448.0) if mode == "mxfp8" else (16, ml_dtypes.float4_e2m1fn, 6.0)
    )
    blocks = (x / numpy.float32(global_scale)).reshape(*x.shape[:-1], -1, size)
    scale = abs(blocks).max(-1, keepdims=True) / numpy.float32(largest)
    if mode == "mxfp8":
        scale = 2.0 ** numpy.ceil(numpy.log2(numpy.maximum(scale, 2.0**-126)))
    else:
        scale = numpy.minimum(scale, 448).astype(ml_dtypes.float8_e4m3fn).astype("float32")
    quotient = numpy.divide(blocks, scale, out=numpy.zeros_like(blocks), where=scale != 0)
    narrow = numpy.clip(quotient, -largest, largest).astype(kind)
    return (narrow.astype("float64") * scale * global_scale).reshape(x.shape)


@pytest.mark.parametrize(("mode", "global_scale"), [("mxfp8", None), ("nvfp4", None), ("nvfp4", 0.5)])
def test_rounding(mode: str, global_scale: float | None) -> None:
    a, b = (RNG.standard_normal(s).astype("float32") for s in ((2, 4, 64), (2, 5, 64)))
    a[0, 0, :32] = 0
    a[1, 1] *= 1e-3
    given = None if global_scale is None else anima.numpy.array([global_scale])
    configs = [nn.get_scaled_dot_general_config(mode, given)] * 3
    out = anima.jit(lambda a, b: nn.scaled_dot_general(a, b, STACKS, configs=configs))(a, b)
    told = [rounded(x, mode, global_scale or 1.0) for x in (a, b)]
    numpy.testing.assert_allclose(out, numpy.einsum("bmk,bnk->bmn", *told), rtol=1e-5, atol=1e-5)


def test_dimensions_and_dtypes() -> None:
    a, b = (RNG.standard_normal(s).astype("float32") for s in ((3, 2, 8, 4), (8, 5, 4)))
    configs = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    out = nn.scaled_dot_general(a, b, (([3, 2], [2, 0]), ([], [])), "bfloat16", configs)
    assert out.shape == (3, 2, 5) and out.dtype == "bfloat16"
    exact = numpy.einsum("abkl,knl->abn", a, b)
    assert abs(numpy.asarray(out, "float32") - exact).max() < 0.1 * abs(exact).max()
    whole = nn.scaled_dot_general(a, b, (([3, 2], [2, 0]), ([], [])))
    numpy.testing.assert_allclose(whole, exact, rtol=1e-4, atol=1e-5)


def test_derivatives_are_rounded_products() -> None:
    a, b = (RNG.standard_normal(s).astype("float32") for s in ((2, 32, 64), (2, 96, 64)))
    t = RNG.standard_normal((2, 32, 96)).astype("float32")
    configs = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    _, pull = anima.vjp(lambda a, b: nn.scaled_dot_general(a, b, STACKS, configs=configs), a, b)
    to_a, to_b = pull(t)
    turned = lambda x: numpy.swapaxes(x, 1, 2)
    expected = [(t, turned(b)), (turned(t), turned(a))]
    for slope, pair in zip((to_a, to_b), expected):
        told = numpy.einsum("bmk,bnk->bmn", *(rounded(x, "mxfp8") for x in pair))
        numpy.testing.assert_allclose(slope, told, rtol=1e-4, atol=1e-4)


def test_matmul() -> None:
    a, b, s, r = (RNG.random(x).astype("float32") for x in ((2, 3, 8), (2, 5, 8), (2, 3, 2), (2, 5, 2)))
    expected = numpy.einsum("bmk,bnk->bmn", a * s.repeat(4, -1), b * r.repeat(4, -1))
    numpy.testing.assert_allclose(nn.scaled_matmul(a, b, s, r), expected, rtol=1e-5)
    mapped = anima.vmap(nn.scaled_matmul)(*(x[None] for x in (a, b, s, r)))
    numpy.testing.assert_allclose(mapped[0], expected, rtol=1e-5)
    slope = anima.grad(lambda s: nn.scaled_matmul(a, b, s, r).sum())(s)
    told = (a * (b * r.repeat(4, -1)).sum(1, keepdims=True)).reshape(2, 3, 2, 4).sum(-1)
    numpy.testing.assert_allclose(slope, told, rtol=1e-5)


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (ValueError, lambda x, c: nn.scaled_matmul(x[0], x[0], x[0], x[0]), "three dimensions"),
        (ValueError, lambda x, c: nn.scaled_matmul(x, x[:1], x, x), "agree in their first and last"),
        (ValueError, lambda x, c: nn.scaled_matmul(x, x, x[..., :2], x[..., :1]), "one number C of blocks"),
        (ValueError, lambda x, c: nn.scaled_matmul(x, x, x[..., :3], x[..., :3]), "must divide"),
        (ValueError, lambda x, c: nn.get_scaled_dot_general_config("fp4"), "mode must be"),
        (TypeError, lambda x, c: nn.scaled_dot_general(x, x, STACKS, "int8", c), "preferred_element_type"),
        (ValueError, lambda x, c: nn.scaled_dot_general(x, x, STACKS, configs=c[:2]), "must be three"),
        (ValueError, lambda x, c: nn.scaled_dot_general(x[..., :40], x[..., :40], STACKS, configs=c), "block size 32"),
    ],
)  # fmt: skip
def test_refusals(error: type[Exception], call: Any, message: str) -> None:
    configs = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    with pytest.raises(error, match=message):
        call(numpy.ones((2, 3, 64), "float32"), configs)

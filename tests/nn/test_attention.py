"""Attention, against the formula in NumPy, in double precision."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima import nn
from tests.lax.derivatives import check_derivatives

RNG = numpy.random.default_rng(0)
Q, K, V = (RNG.standard_normal(s) for s in ((2, 4, 4, 3), (2, 5, 2, 3), (2, 5, 2, 3)))
BIAS = RNG.standard_normal((2, 4, 4, 5))
MASK = RNG.random((2, 4, 4, 5)) > 0.4


def oracle(q: Any, k: Any, v: Any, bias: Any = 0.0, seen: Any = True, scale: Any = None) -> Any:
    """Results and logarithms of denominators; a row that sees nothing is the mean of all values."""
    share = q.shape[2] // k.shape[2]
    k, v = (numpy.repeat(x, share, 2) for x in (k, v))
    logits = numpy.einsum("btnh,bsnh->bnts", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale) + bias
    logits = numpy.where(seen, logits, -0.7 * float(numpy.finfo("float32").max))
    largest = logits.max(-1, keepdims=True)
    weights = numpy.exp(logits - largest)
    total = weights.sum(-1, keepdims=True)
    out = numpy.einsum("bnts,bsnh->btnh", weights / total, v)
    return out, numpy.moveaxis((numpy.log(total) + largest)[..., 0], 1, 2)


ROWS, COLUMNS = numpy.indices((4, 5))
LENGTHS, KEYS = numpy.array([2, 9], "int32"), numpy.array([3, 1], "int32")
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"bias": BIAS, "mask": MASK}, {"bias": BIAS, "seen": MASK}),
    ({"bias": BIAS[0, 0], "scale": 2.0}, {"bias": BIAS[0, 0], "scale": 2.0}),
    ({"mask": MASK[:1, :1]}, {"seen": MASK[:1, :1]}),
    ({"mask": numpy.zeros((4, 5), bool)}, {"seen": False}),
    ({"is_causal": True}, {"seen": COLUMNS <= ROWS}),
    ({"local_window_size": 1}, {"seen": abs(COLUMNS - ROWS) <= 1}),
    ({"local_window_size": (0, 2), "implementation": "xla"}, {"seen": (COLUMNS >= ROWS) & (COLUMNS <= ROWS + 2)}),
    ({"key_value_seq_lengths": KEYS, "is_causal": True},
     {"seen": (KEYS[:, None, None, None] > COLUMNS) & (COLUMNS <= ROWS)}),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(CASES)))
def test_formula(case: int) -> None:
    arguments, told = CASES[case]
    single = lambda x: x.astype("float32") if getattr(x, "dtype", None) == "float64" else x
    arguments = {name: single(value) for name, value in arguments.items()}
    out, residual = nn.dot_product_attention(*map(single, (Q, K, V)), **arguments, return_residual=True)
    expected, denominators = oracle(Q, K, V, **told)
    numpy.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)
    numpy.testing.assert_allclose(residual, denominators, rtol=1e-5)


def test_lengths_of_queries() -> None:
    out = nn.dot_product_attention(*(x.astype("float32") for x in (Q, K, V)), query_seq_lengths=LENGTHS)
    expected = oracle(Q, K, V)[0]
    expected[0, 2:] = 0
    numpy.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)


def test_without_batch_and_under_vmap() -> None:
    operands = [x.astype("float32") for x in (Q, K, V, BIAS)]
    whole = nn.dot_product_attention(*operands)
    numpy.testing.assert_allclose(
        nn.dot_product_attention(*(x[1] for x in operands)), whole[1], rtol=1e-5, atol=1e-6
    )
    mapped = anima.jit(anima.vmap(nn.dot_product_attention))(*operands)
    numpy.testing.assert_allclose(mapped, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_dtypes(dtype: str) -> None:
    with anima.enable_x64(dtype == "float64"):
        operands = [np.asarray(x, dtype) for x in (Q, K, V)]
        out, residual = nn.dot_product_attention(*operands, return_residual=True)
        assert out.dtype == residual.dtype == dtype
        expected = oracle(*(numpy.asarray(x, "float64") for x in operands))[0]
        allowed = {"bfloat16": 2e-2, "float16": 3e-3, "float64": 1e-12}[dtype]
        numpy.testing.assert_allclose(numpy.asarray(out, "float64"), expected, atol=allowed)


def test_derivatives() -> None:
    attend = lambda q, k, v, b: nn.dot_product_attention(q, k, v, b, MASK[:1], is_causal=True)
    with anima.enable_x64():
        check_derivatives(attend, [x[:1] for x in (Q, K, V, BIAS)], range(4))


def test_residual_is_a_constant() -> None:
    f = lambda q: nn.dot_product_attention(q, K, V, return_residual=True)[1].sum()
    with anima.enable_x64():
        assert not numpy.any(anima.grad(f)(Q))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key": Q[:, :, :3]}, "key and value must have one shape"),
        ({"key": Q[:1], "value": Q[:1]}, "batch size 1"),
        ({"key": Q[:, :, :3], "value": Q[:, :, :3]}, "multiple of those of key, 3"),
        ({"query": Q.astype("float16")}, "one dtype, got float16"),
        ({"query": Q[0, 0]}, "query must have 3 or 4 dimensions"),
        ({"mask": BIAS}, "mask must hold booleans"),
        ({"bias": BIAS[:, :3]}, "bias of shape .* does not broadcast"),
        ({"query_seq_lengths": numpy.ones(2, "float32")}, "query_seq_lengths must be int32"),
        ({"key_value_seq_lengths": numpy.ones(3, "int32")}, r"must have shape \(2,\)"),
        ({"local_window_size": (1, 2, 3)}, "local_window_size"),
        ({"implementation": "flash"}, "implementation must be None or 'xla'"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    given = {"query": Q, "key": K, "value": V} | arguments
    given = {n: x.astype("float32") if n != "query" and getattr(x, "dtype", "") == "float64" else x
             for n, x in given.items()}  # fmt: skip
    if "query" not in arguments:
        given["query"] = Q.astype("float32")
    with pytest.raises(ValueError, match=message):
        nn.dot_product_attention(**given)


def test_no_cudnn() -> None:
    x = np.ones((1, 1, 1, 1))
    with pytest.raises(RuntimeError, match="no cuDNN"):
        nn.dot_product_attention(x, x, x, implementation="cudnn")

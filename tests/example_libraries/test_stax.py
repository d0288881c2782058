"""Layers against loops and NumPy formulas; what initialisation says about shapes is what application gives."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import scipy.special

import anima
import anima.numpy as np
from anima import grad, jit, random, vmap
from anima.example_libraries import stax

KEY = random.PRNGKey(3)


def made(layer: Any, shape: Any, dtype: str = "float32") -> tuple[Any, Any, Any]:
    """Parameters, a random input, and the output, of which the shape is what `init_fun` says."""
    init, apply = layer
    out_shape, params = init(KEY, shape)
    x = numpy.random.default_rng(1).normal(size=shape).astype(dtype)
    got = apply(params, x)
    assert got.shape == tuple(out_shape)
    numpy.testing.assert_allclose(jit(apply)(params, x), got, atol=1e-5)
    return params, x, got


def windows(x: Any, size: Any, strides: Any, pads: Any, fill: float) -> Any:
    """(N, H, W, C) -> (N, rows, columns, C, window)."""
    x = numpy.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    rows, columns = ((n - w) // s + 1 for n, w, s in zip(x.shape[1:3], size, strides))
    out = numpy.zeros((x.shape[0], rows, columns, x.shape[3], math.prod(size)), x.dtype)
    for i, j in numpy.ndindex(rows, columns):
        part = x[:, i * strides[0] : i * strides[0] + size[0], j * strides[1] : j * strides[1] + size[1]]
        out[:, i, j] = part.transpose(0, 3, 1, 2).reshape(*out.shape[:1], out.shape[3], -1)
    return out


def test_dense() -> None:
    (w, b), x, got = made(stax.Dense(4), (2, 5, 3))
    assert w.shape == (3, 4) and b.shape == (4,)
    numpy.testing.assert_allclose(got, x @ numpy.asarray(w) + numpy.asarray(b), atol=1e-5)
    assert numpy.asarray(b).any()
    (w, b), _, _ = made(stax.Dense(4, W_init=stax.ones, b_init=stax.zeros), (2, 3))
    assert (numpy.asarray(w) == 1).all() and not numpy.asarray(b).any()
    made(stax.Dense(4), (0, 3))
    with pytest.raises(ValueError, match="Dense: the input must have a dimension"):
        stax.Dense(4)[0](KEY, ())


@pytest.mark.parametrize("strides", [None, (1, 1), (2, 3)])
@pytest.mark.parametrize("padding", ["VALID", "SAME", ((1, 0), (0, 2))])
def test_convolutions(padding: Any, strides: Any) -> None:
    (w, b), x, got = made(stax.Conv(5, (3, 2), strides, padding, b_init=stax.normal()), (2, 7, 9, 3))
    assert w.shape == (3, 2, 3, 5) and b.shape == (1, 1, 1, 5)
    steps = strides or (1, 1)
    pads: Any = padding
    if padding == "VALID":
        pads = ((0, 0), (0, 0))
    if padding == "SAME":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip((7, 9), steps, (3, 2))]
        pads = [(t // 2, t - t // 2) for t in totals]
    seen = windows(x, (3, 2), steps, pads, 0)
    kernel = numpy.asarray(w).reshape(6, 3, 5)
    want = numpy.einsum("nijck,kco->nijo", seen, kernel) + numpy.asarray(b)
    numpy.testing.assert_allclose(got, want, atol=1e-5)


def test_orders_of_dimensions() -> None:
    (w, b), x, got = made(stax.GeneralConv(("NCHW", "OIHW", "NHWC"), 5, (3, 2)), (2, 3, 7, 8))
    assert w.shape == (5, 3, 3, 2) and b.shape == (1, 1, 1, 5)
    init, apply = stax.Conv(5, (3, 2))
    same = apply((np.transpose(w, (2, 3, 1, 0)), b), x.transpose(0, 2, 3, 1))
    numpy.testing.assert_allclose(got, same, atol=1e-5)
    bound = math.sqrt(2 / (3 * 6 + 5 * 6)) * 2 / 0.87  # twice the standard deviation of Glorot and Bengio's
    assert 0.5 * bound < abs(numpy.asarray(w)).max() <= bound
    assert init(KEY, (-1, 7, 8, 3))[0] == (-1, 5, 7, 5)
    with pytest.raises(ValueError, match="GeneralConv: the input must have the 4 dimensions NHWC"):
        init(KEY, (7, 8, 3))


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_transposed_convolutions(padding: str) -> None:
    (w, b), x, got = made(stax.Conv1DTranspose(2, (3,), (2,), padding, b_init=stax.normal()), (2, 4, 3))
    assert w.shape == (3, 3, 2)
    spread = numpy.zeros((2, 7 + 2 * 2, 3), "float32")
    spread[:, 2:9:2] = x
    full = sum(spread[:, k : k + 9] @ numpy.asarray(w)[k] for k in range(3)) + numpy.asarray(b)
    want = full if padding == "VALID" else full[:, :8]
    numpy.testing.assert_allclose(got, want, atol=1e-5)
    made(stax.ConvTranspose(2, (3, 2), (2, 3), padding), (1, 4, 5, 3))
    made(stax.GeneralConvTranspose(("NCHW", "OIHW", "NHWC"), 2, (3, 2), None, padding), (1, 3, 4, 5))


@pytest.mark.parametrize("axis", [0, (0,), (0, 1, 2), (-1, 1), (3,)])
def test_batch_norm(axis: Any) -> None:
    layer = stax.BatchNorm(axis, 1e-3, beta_init=stax.normal(1.0), gamma_init=stax.normal(1.0))
    (beta, gamma), x, got = made(layer, (2, 3, 4, 5))
    axes = tuple(a % 4 for a in ((axis,) if isinstance(axis, int) else axis))
    shape = tuple(1 if d in axes else n for d, n in enumerate(x.shape))
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    beta, gamma = (numpy.asarray(v).reshape(shape) for v in (beta, gamma))
    numpy.testing.assert_allclose(got, (x - mean) / numpy.sqrt(var + 1e-3) * gamma + beta, atol=1e-5)


def test_batch_norm_without_parameters() -> None:
    for center in (True, False):
        for scale in (True, False):
            layer = stax.BatchNorm(0, center=center, scale=scale)
            (beta, gamma), x, got = made(layer, (4, 3))
            assert (len(beta), len(gamma)) == (3 * center, 3 * scale)
            numpy.testing.assert_allclose(got, (x - x.mean(0)) / numpy.sqrt(x.var(0) + 1e-5), atol=1e-5)
    with pytest.raises(ValueError, match="BatchNorm: axis 2 is out of bounds"):
        stax.BatchNorm()[0](KEY, (4, 3))


@pytest.mark.parametrize("strides", [None, (2, 3)])
@pytest.mark.parametrize("pads", [((0, 0), (0, 0)), ((1, 0), (1, 1))])
def test_pooling(pads: Any, strides: Any) -> None:
    for name, fill, fold in (
        ("MaxPool", -numpy.inf, lambda w: w.max(-1)),
        ("SumPool", 0, lambda w: w.sum(-1)),
        ("AvgPool", numpy.nan, lambda w: numpy.nanmean(w, -1)),
    ):
        pool = getattr(stax, name)
        _, x, got = made(pool((2, 3), strides, pads), (2, 6, 7, 3))
        want = fold(windows(x, (2, 3), strides or (1, 1), pads, fill))
        numpy.testing.assert_allclose(got, want, atol=1e-5)
        turned = pool((2, 3), strides, pads, "CHWN")[1]((), x.transpose(3, 1, 2, 0))
        numpy.testing.assert_allclose(turned, want.transpose(3, 1, 2, 0), atol=1e-5)
        same = pool((2, 3), strides, "SAME")
        assert same[0](KEY, (-1, 6, 7, 3)) == ((-1, *((6, 7) if strides is None else (3, 3)), 3), ())
        made(pool((2,), spec="NHC"), (2, 5, 3))
        made(pool((2,)), (0, 5, 3))
        with pytest.raises(ValueError, match=f"{name}: spec"):
            pool((2, 2), spec="NC")
        with pytest.raises(ValueError, match=f"{name}: strides"):
            pool((2, 2), (1, 1, 1))


@pytest.mark.parametrize("dtype", ["int32", "int8", "bfloat16"])
def test_pooling_of_other_dtypes(dtype: str) -> None:
    x = np.array([-5, -7, -3, -6], dtype).reshape(1, 4, 1)
    for pool, want in ((stax.MaxPool, [-5, -3]), (stax.SumPool, [-12, -9]), (stax.AvgPool, [-6, -4.5])):
        got = pool((2,), (2,))[1]((), x)
        assert numpy.asarray(got).astype("float32").ravel().tolist() == want
        assert got.dtype == (dtype if dtype == "bfloat16" or pool is not stax.AvgPool else "float32")


def test_functions() -> None:
    e = numpy.exp
    for layer, formula in (
        (stax.Tanh, numpy.tanh),
        (stax.Relu, lambda x: numpy.maximum(x, 0)),
        (stax.Exp, e),
        (stax.LogSoftmax, lambda x: scipy.special.log_softmax(x, -1)),
        (stax.Softmax, lambda x: scipy.special.softmax(x, -1)),
        (stax.Softplus, lambda x: numpy.log1p(e(x))),
        (stax.Sigmoid, scipy.special.expit),
        (stax.Elu, lambda x: numpy.where(x > 0, x, e(x) - 1)),
        (stax.LeakyRelu, lambda x: numpy.where(x > 0, x, 0.01 * x)),
        (stax.Selu, lambda x: 1.05070098 * numpy.where(x > 0, x, 1.67326324 * (e(x) - 1))),
        (
            stax.Gelu,
            lambda x: x / 2 * (1 + numpy.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        (stax.Identity, lambda x: x),
        (stax.elementwise(np.sum, axis=-1, keepdims=True), lambda x: x.sum(-1, keepdims=True)),
    ):
        init, apply = layer
        assert init(KEY, (2, 3)) == ((2, 3), ())
        x = numpy.random.default_rng(2).normal(size=(4, 3)).astype("float32")
        numpy.testing.assert_allclose(apply((), x, rng=KEY), formula(x), atol=1e-5)


def test_shapes() -> None:
    for shape, flat in (((2, 3, 4), 12), ((2,), 1), ((0, 3, 2), 6), ((3, 0), 0)):
        _, x, got = made(stax.Flatten, shape)
        assert got.shape == (shape[0], flat) and numpy.array_equal(got, x.reshape(shape[0], flat))
    assert stax.Flatten[0](KEY, (-1, 3, 4)) == ((-1, 12), ())
    assert stax.FanOut(2)[0](KEY, (3,)) == ([(3,), (3,)], ())
    x, y = numpy.ones((2, 3)), numpy.full((2, 3), 2.0)
    assert stax.FanInSum[0](KEY, [(2, 3)] * 2) == ((2, 3), ())
    assert stax.FanInSum[1]((), [x, y]).tolist() == (x + y).tolist()
    for axis, shape in ((-1, (2, 6)), (0, (4, 3))):
        init, apply = stax.FanInConcat(axis)
        assert init(KEY, [(2, 3), (2, 3)]) == (shape, ())
        assert numpy.array_equal(apply((), [x, y]), numpy.concatenate([x, y], axis))
    with pytest.raises(ValueError, match="FanInConcat: axis 2"):
        stax.FanInConcat(2)[0](KEY, [(2, 3)])


@pytest.mark.parametrize("rate", [0.7, 1, 0, 0.25])
def test_dropout(rate: Any) -> None:
    x = np.full(4000, 3.0)
    apply = stax.Dropout(rate)[1]
    got = numpy.asarray(apply((), x, rng=KEY))
    kept = got != 0
    assert abs(kept.mean() - rate) < 0.03 and numpy.allclose(got[kept] * rate, 3)
    assert numpy.array_equal(apply((), x, rng=KEY), got)
    slope = numpy.asarray(grad(lambda x: apply((), x, rng=KEY).sum())(x))
    assert numpy.allclose(slope * 3, got)
    assert stax.Dropout(rate, "test")[1]((), x) is x
    assert numpy.allclose(jit(lambda r: stax.Dropout(r)[1]((), x, rng=KEY))(float(rate)), got)


def test_refusals_of_dropout() -> None:
    for rate in (-0.1, 1.5):
        with pytest.raises(ValueError, match="Dropout: rate"):
            stax.Dropout(rate)
    with pytest.raises(ValueError, match="Dropout: mode"):
        stax.Dropout(0.5, "eval")
    with pytest.raises(ValueError, match="rng=key"):
        stax.Dropout(0.5)[1]((), np.ones(2))


def test_combinations() -> None:
    init, apply = stax.serial(
        stax.Dense(4),
        stax.Relu,
        stax.FanOut(2),
        stax.parallel(stax.Dense(3), stax.serial(stax.Dropout(0.5), stax.Dense(3))),
        stax.FanInSum,
    )
    shape, params = init(KEY, (-1, 5))
    assert shape == (-1, 3) and [len(p) for p in params] == [2, 0, 0, 2, 0]
    x = numpy.random.default_rng(2).normal(size=(6, 5)).astype("float32")
    first, second = apply(params, x, rng=KEY), apply(params, x, rng=random.PRNGKey(4))
    assert first.shape == (6, 3) and not numpy.array_equal(first, second)
    each = vmap(lambda row: apply(params, row, rng=KEY))(x)
    assert numpy.allclose(each[0], apply(params, x[0], rng=KEY), atol=1e-5)
    slopes = jit(grad(lambda p: apply(p, x, rng=KEY).sum()))(params)
    assert anima.tree.structure(slopes) == anima.tree.structure(params)
    assert numpy.allclose(slopes[3][0][1], 6)
    with pytest.raises(ValueError, match="serial: there must be parameters for each of the 5 layers"):
        apply(params[:3], x, rng=KEY)
    init, apply = stax.parallel(stax.Identity, stax.Identity)
    with pytest.raises(ValueError, match="parallel: there must be an input shape for each of the 2 layers"):
        init(KEY, [(1,)])
    with pytest.raises(ValueError, match="parallel: there must be an input for each of the 2 layers"):
        apply(((), ()), [x])
    empty = stax.serial()
    assert empty[0](KEY, (2,)) == ((2,), []) and empty[1]([], 3.0) == 3.0


def test_layers_that_depend_on_shapes() -> None:
    init, apply = stax.shape_dependent(lambda shape: stax.Dense(shape[-1] * 2))
    shape, params = init(KEY, (-1, 3))
    assert shape == (-1, 6)
    assert apply(params, np.ones((2, 3))).shape == (2, 6)

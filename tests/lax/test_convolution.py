"""Convolutions, beyond the walk: The Sharp Bits' calls, drawn parameters, transformations, refusals, what is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.signal

import anima
from anima import errors, lax
from anima.core.aval import ShapedArray
from anima.interpreters.jvp import stage_closed
from anima.lowering.module import host_kernels, lower_module
from tests.lax.samples import complexes, floats, integers
from tests.lax.samples.convolving import convolution, spread

F32, I32 = np.float32, np.int32
X, K = floats((2, 3, 6, 7)), floats((4, 3, 2, 3))
LINE = ((0, 0),)

# ---- The Sharp Bits -------------------------------------------------------------------------------------------------


def edges() -> tuple[np.ndarray, np.ndarray]:
    """The kernel and the image of the page."""
    kernel = np.zeros((3, 3, 3, 3), F32)
    kernel += np.array([[1, 1, 0], [1, 0, -1], [0, -1, -1]])[:, :, np.newaxis, np.newaxis]
    img = np.zeros((1, 200, 198, 3), F32)
    for k in range(3):
        img[0, 30 + 60 * k : 40 + 60 * k, 20 + 60 * k : 30 + 60 * k, k] = 1.0
    return img, kernel


IMG, EDGES = edges()
DN = lax.conv_dimension_numbers(IMG.shape, EDGES.shape, ("NHWC", "HWIO", "NHWC"))
ROTATED = np.rot90(np.rot90(EDGES, axes=(0, 1)), axes=(0, 1)).copy()


def correlated(img: np.ndarray, kernel: np.ndarray, mode: str) -> np.ndarray:
    """The first output channel."""
    planes = [scipy.signal.correlate2d(img[0, :, :, c], kernel[:, :, c, 0], mode) for c in range(3)]
    return np.sum(planes, 0)


def apart(x: np.ndarray, step: int) -> np.ndarray:
    """The first two dimensions but one, with zeros between neighbours."""
    wide = np.zeros(
        (x.shape[0], (x.shape[1] - 1) * step + 1, (x.shape[2] - 1) * step + 1, x.shape[3]), x.dtype
    )
    wide[:, ::step, ::step] = x
    return wide


def test_dimension_numbers_print_as_the_page_shows() -> None:
    assert (
        repr(DN)
        == "ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))"
    )
    line = lax.conv_dimension_numbers((1, 200, 2), (3, 2, 2), ("NWC", "WIO", "NWC"))
    assert repr(line) == "ConvDimensionNumbers(lhs_spec=(0, 2, 1), rhs_spec=(2, 1, 0), out_spec=(0, 2, 1))"
    space = lax.conv_dimension_numbers((1, 30, 30, 30, 1), (3, 3, 3, 1, 1), ("NHWDC", "HWDIO", "NHWDC"))
    assert (
        repr(space)
        == "ConvDimensionNumbers(lhs_spec=(0, 4, 1, 2, 3), rhs_spec=(4, 3, 0, 1, 2), out_spec=(0, 4, 1, 2, 3))"
    )


def test_the_convenience_functions_of_the_page() -> None:
    img, kernel = anima.numpy.transpose(IMG, [0, 3, 1, 2]), anima.numpy.transpose(EDGES, [2, 3, 0, 1])
    out = lax.conv(img, kernel, (1, 1), "SAME")
    assert out.shape == (1, 3, 200, 198)
    assert np.array_equal(out[0, 0], correlated(IMG, EDGES, "same"))
    out = lax.conv_with_general_padding(img, kernel, (1, 1), ((2, 2), (2, 2)), (1, 1), (1, 1))
    assert out.shape == (1, 3, 202, 200)
    assert np.array_equal(out[0, 0], correlated(IMG, EDGES, "full"))


@pytest.mark.parametrize(
    ("kernel", "params", "shape", "expected"),
    [
        (EDGES, ((1, 1), "SAME", (1, 1), (1, 1)), (200, 198), lambda: correlated(IMG, EDGES, "same")),
        (EDGES, ((1, 1), "VALID", (1, 1), (1, 1)), (198, 196), lambda: correlated(IMG, EDGES, "valid")),
        (EDGES, ((2, 2), "SAME", (1, 1), (1, 1)), (100, 99), lambda: correlated(IMG, EDGES, "same")[1::2, 1::2]),
        (EDGES, ((1, 1), "VALID", (1, 1), (12, 12)), (176, 174), lambda: correlated(IMG, apart(EDGES[None, :, :, :, 0], 12)[0][..., None], "valid")),
        (EDGES, ((1, 1), ((0, 0), (0, 0)), (2, 2), (1, 1)), (397, 393), lambda: correlated(apart(IMG, 2), EDGES, "valid")),
        (ROTATED, ((1, 1), ((2, 1), (2, 1)), (2, 2), (1, 1)), (400, 396), lambda: correlated(apart(IMG, 2), ROTATED, "full")[:-1, :-1]),
    ],
    ids=["same", "valid", "strides", "atrous", "dilated", "transposed"],
)  # fmt: skip
def test_the_general_function_of_the_page(kernel: Any, params: Any, shape: Any, expected: Any) -> None:
    out = lax.conv_general_dilated(IMG, kernel, *params, DN)
    assert out.shape == (1, *shape, 3)
    assert np.array_equal(out[0, :, :, 0], expected())


def test_lines_and_volumes_of_the_page() -> None:
    kernel = np.array([[[1, 0, -1], [-1, 0, 1]], [[1, 1, 1], [-1, -1, -1]]], F32).transpose([2, 1, 0])
    data = integers((1, 200, 2)).astype(F32)
    dn = lax.conv_dimension_numbers(data.shape, kernel.shape, ("NWC", "WIO", "NWC"))
    out = lax.conv_general_dilated(data, kernel, (1,), "SAME", (1,), (1,), dn)
    assert out.shape == (1, 200, 2)
    for o in range(2):
        want = sum(np.correlate(data[0, :, i], kernel[:, i, o], "same") for i in range(2))
        assert np.array_equal(out[0, :, o], want)
    kernel = integers((3, 3, 3), -1, 2).astype(F32)
    data = integers((30, 30, 30)).astype(F32)
    dn = lax.conv_dimension_numbers((1,) * 5, (1,) * 5, ("NHWDC", "HWDIO", "NHWDC"))
    args = data[None, ..., None], kernel[..., None, None], (1, 1, 1), "SAME", (1, 1, 1), (1, 1, 1), dn
    out = lax.conv_general_dilated(*args)
    assert out.shape == (1, 30, 30, 30, 1)
    assert np.array_equal(out[0, ..., 0], scipy.signal.correlate(data, kernel, "same", "direct"))


# ---- drawn parameters -----------------------------------------------------------------------------------------------


def drawn(seed: int, count: int) -> list[tuple[Any, Any, tuple[Any, ...]]]:
    """Operands and parameters: any layout, rank, stride, padding, dilation, grouping."""
    rng = np.random.default_rng(seed)
    cases: list[tuple[Any, Any, tuple[Any, ...]]] = []
    while len(cases) < count:
        rank = int(rng.integers(0, 4))
        features, batches = [(1, 1), (1, 1), (2, 1), (1, 2), (3, 1)][rng.integers(5)]
        n, c, o = (int(v) for v in rng.integers(1, 3, 3))
        size, window = rng.integers(1, 7, rank).tolist(), rng.integers(1, 4, rank).tolist()
        strides, spread_by, steps = (tuple(rng.integers(1, high, rank).tolist()) for high in (4, 4, 3))
        pads = tuple(map(tuple, rng.integers(-5, 7, (rank, 2)).tolist()))
        if any((s - 1) * d + 1 + lo + hi < 0 for s, d, (lo, hi) in zip(size, spread_by, pads)):
            continue
        names = "ABD"[:rank]
        numbers = tuple("".join(rng.permutation(list(two + names))) for two in ("NC", "OI", "NC"))
        order = [name for name in numbers[1] if name in names]
        lhs = dict(zip(order, size)) | {"N": n * batches, "C": c * features}
        rhs = dict(zip(order, window)) | {"O": o * features * batches, "I": c}
        x, k = (
            rng.integers(-4, 5, [by[a] for a in axes]) for by, axes in ((lhs, numbers[0]), (rhs, numbers[1]))
        )
        cases.append((x, k, (strides, pads, spread_by, steps, numbers, features, batches)))
    return cases


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "complex64"])
def test_drawn_convolutions(dtype: str) -> None:
    cases = drawn(1, 24)
    arrays = [(x.astype(dtype), k.astype(dtype)) for x, k, _ in cases]
    with anima.enable_x64(True):
        results = anima.jit(
            lambda arrays: [lax.conv_general_dilated(x, k, *p) for (x, k), (_, _, p) in zip(arrays, cases)]
        )(arrays)
    for (x, k), got, (_, _, params) in zip(arrays, results, cases):
        want = convolution(x, k, *params)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want, err_msg=f"{x.shape}, {k.shape}, {params}")


def test_paddings_by_name() -> None:
    for size, window, stride, step in ((7, 3, 2, 1), (6, 3, 2, 1), (5, 2, 1, 3), (1, 4, 3, 1), (8, 1, 3, 1)):
        x, k = integers((1, 1, size)), integers((1, 1, window))
        out = -(-size // stride)
        total = max((out - 1) * stride + (window - 1) * step + 1 - size, 0)
        for name, pads in (
            ("SAME", (total // 2, total - total // 2)),
            ("same_lower", (total - total // 2, total // 2)),
            ("Valid", (0, 0)),
        ):
            got = lax.conv_general_dilated(x, k, (stride,), name, None, (step,))
            assert np.array_equal(got, convolution(x, k, (stride,), (pads,), None, (step,)))


def test_what_xla_gets_wrong() -> None:
    # It adds elements that negative padding takes away, if there is padding on the other side.
    got = lax.conv_general_dilated(X, K, (1, 1), ((-2, -1), (-3, 1)))
    assert np.allclose(got, convolution(X, K, (1, 1), ((-2, -1), (-3, 1))), atol=1e-5)

    # It aborts the process at this gradient, whose kernel is larger than its operand.
    def total(x: Any) -> Any:
        return anima.numpy.sum(
            lax.conv_general_dilated(x, K, (2, 1), ((1, 2), (-1, 0)), (1, 1), (1, 2), precision="highest")
        )

    got = anima.jit(anima.grad(total))(X)
    want = np.zeros_like(X)
    for place in np.ndindex(X.shape[1:]):
        unit = np.zeros((1, *X.shape[1:]), F32)
        unit[(0, *place)] = 1
        want[(slice(None), *place)] = convolution(unit, K, (2, 1), ((1, 2), (-1, 0)), (1, 1), (1, 2)).sum()
    assert np.allclose(got, want, atol=1e-5)


# ---- sizes of zero --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lhs", "rhs", "out"),
    [
        ((0, 3, 5), (4, 3, 2), (0, 4, 4)),
        ((2, 0, 5), (4, 0, 2), (2, 4, 4)),
        ((2, 3, 5), (0, 3, 2), (2, 0, 4)),
        ((2, 3, 1), (4, 3, 2), (2, 4, 0)),
        ((2, 3, 0), (4, 3, 2), (2, 4, 0)),
    ],
)
def test_sizes_of_zero(lhs: Any, rhs: Any, out: Any) -> None:
    def run(x: Any, k: Any) -> Any:
        y, pull = anima.vjp(lambda x, k: lax.conv(x, k, (1,), "VALID"), x, k)
        return y, *pull(y + 1)

    x, k = np.ones(lhs, F32), np.ones(rhs, F32)
    y, cx, ck = anima.jit(run)(x, k)
    assert (y.shape, cx.shape, ck.shape) == (out, lhs, rhs)
    assert not np.any(y)
    for axes in ((0, None), (None, 0), (0, 0)):
        xs, ks = (np.ones((0, *shape) if a == 0 else shape, F32) for shape, a in zip((lhs, rhs), axes))
        mapped = anima.vmap(lambda x, k: lax.conv(x, k, (1,), "VALID"), in_axes=axes)(xs, ks)
        assert (mapped.shape, mapped.dtype) == ((0, *out), F32)
    assert np.array_equal(
        lax.conv_general_dilated(x[:, :, :0], k, (1,), ((2, 2),)), np.zeros((lhs[0], rhs[0], 3))
    )


# ---- dtypes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "preferred"),
    [
        ("bfloat16", "float32"), ("float16", "float32"), ("float16", "bfloat16"), ("int8", "int32"), ("uint8", "int32"), ("int8", "float32"),
        ("bool", "int32"), ("bool", "float32"), ("bool", "complex64"), ("int4", "int16"),
    ],
)  # fmt: skip
def test_preferred_element_types(dtype: str, preferred: str) -> None:
    x, k = (
        np.asarray(lax.convert_element_type(abs(v), dtype))
        for v in (integers((2, 3, 9), -7, 8), integers((2, 3, 5), -7, 8))
    )
    got = lax.conv_general_dilated(x, k, (2,), "VALID", preferred_element_type=preferred)
    assert got.dtype == preferred
    assert np.array_equal(got, convolution(x.astype(I32), k.astype(I32), (2,), LINE).astype(preferred))


def test_integers_wrap_around() -> None:
    for dtype in ("int8", "uint8", "int16", "int32", "uint32"):
        info = np.iinfo(dtype)
        x, k = np.full((1, 2, 6), info.max, dtype), np.full((1, 2, 3), info.max - 1, dtype)
        assert np.array_equal(lax.conv(x, k, (1,), "VALID"), convolution(x, k, (1,), LINE))


def test_derivatives_of_sums_in_wider_dtypes() -> None:
    x, k = (v.astype(anima.dtypes.bfloat16) for v in (floats((2, 3, 5)), floats((4, 3, 2))))

    def total(x: Any, k: Any) -> Any:
        return anima.numpy.sum(lax.conv_general_dilated(x, k, (1,), "SAME", preferred_element_type=F32) ** 2)

    ours = anima.grad(total, (0, 1))(x, k)
    exact = anima.grad(total, (0, 1))(x.astype(F32), k.astype(F32))
    for a, b in zip(ours, exact):
        assert a.dtype == anima.dtypes.bfloat16
        assert np.allclose(a.astype(F32), b, rtol=0.02, atol=0.1)
    _, tangent = anima.jvp(total, (x, k), (x, k))
    assert tangent.dtype == F32


def test_weak_types() -> None:
    weak, strong = lax.full((1, 1, 2), 1.0), np.ones((1, 1, 2), F32)
    assert lax.conv(weak, weak, (1,), "SAME").weak_type
    assert not lax.conv(weak, strong, (1,), "SAME").weak_type
    assert not lax.conv_general_dilated(weak, weak, (1,), "SAME", preferred_element_type=F32).weak_type


def test_infinities_reach_their_windows_only() -> None:
    x = np.zeros((1, 1, 6), np.complex64)
    x[0, 0, 2] = complex(np.inf, 0)
    got = np.asarray(lax.conv(x, np.ones((1, 1, 2), np.complex64), (1,), "VALID"))[0, 0]
    assert np.array_equal(np.isinf(got.real), [False, True, True, False, False])


# ---- transformations ------------------------------------------------------------------------------------------------


def loss(x: Any, k: Any) -> Any:
    return anima.numpy.sum(
        anima.numpy.sin(lax.conv_general_dilated(x, k, (2,), ((1, 0),), None, (2,), None, 2))
    )


def test_nested_transformations_agree_with_loops() -> None:
    xs, ks = floats((3, 2, 4, 5)), floats((2, 4, 2, 2))
    one = anima.jit(lambda x, k: anima.grad(loss, (0, 1))(x, k))
    want = [[one(x, k) for k in ks] for x in xs]
    mapped = anima.jit(
        anima.vmap(anima.vmap(anima.grad(loss, (0, 1)), in_axes=(None, 0)), in_axes=(0, None))
    )(xs, ks)
    for which in (0, 1):
        assert np.allclose(
            mapped[which], np.array([[np.asarray(g[which]) for g in row] for row in want]), atol=1e-5
        )


def test_hessian_is_symmetric_and_agrees_with_differences() -> None:
    with anima.enable_x64(True):
        k = floats((4, 2, 1), dtype=np.float64)
        x = floats((1, 4, 5), dtype=np.float64)
        hessian = np.asarray(anima.jit(anima.hessian(loss, 1))(x, k)).reshape(k.size, k.size)
        gradient = anima.jit(anima.grad(loss, 1))
        step = 1e-5
        moved = [k + step * unit.reshape(k.shape) for unit in np.eye(k.size)]
        differences = [
            (np.asarray(gradient(x, m)) - np.asarray(gradient(x, k))).ravel() / step for m in moved
        ]
    assert np.allclose(hessian, hessian.T)
    assert np.allclose(hessian, differences, atol=1e-4)


def test_in_loops_and_branches() -> None:
    k = floats((2, 2, 3))

    def body(x: Any, _: Any) -> tuple[Any, None]:
        return anima.numpy.tanh(lax.conv(x, k, (1,), "SAME")), None

    def scanned(x: Any) -> Any:
        return anima.numpy.sum(lax.scan(body, x, None, length=3)[0])

    def unrolled(x: Any) -> Any:
        for _ in range(3):
            x, _ = body(x, None)
        return anima.numpy.sum(lax.cond(True, lambda x: x, lambda x: lax.conv(x, k, (1,), "SAME"), x))

    x = floats((1, 2, 6))
    assert np.allclose(anima.grad(scanned)(x), anima.grad(unrolled)(x), atol=1e-5)


@pytest.mark.parametrize(
    "params", [((2,), "SAME", None), ((3,), "VALID", None), ((2,), ((1, 0),), (2,)), ((1,), ((2, 2),), None)]
)
def test_a_transposed_convolution_is_the_cotangent(params: Any) -> None:
    strides, padding, dilation = params
    k = floats((3, 2, 4))
    y = floats((2, 5, 4))
    got = lax.conv_transpose(
        y,
        k,
        strides,
        padding,
        dilation,
        ("NWC", "WIO", "NWC"),
        transpose_kernel=True,
        use_consistent_padding=True,
    )

    def forward(x: Any) -> Any:
        return lax.conv_general_dilated(x, k, strides, padding, None, dilation, ("NWC", "WIO", "NWC"))

    x = np.zeros((2, got.shape[1], 2), F32)
    assert forward(x).shape == y.shape
    (want,) = anima.vjp(forward, x)[1](y)
    assert np.allclose(got, want, atol=1e-5)


def test_transposed_convolutions_turn_nothing_by_themselves() -> None:
    x, k = floats((1, 3, 2)), floats((3, 2, 2))
    got = lax.conv_transpose(x, k, (2,), "SAME")
    assert got.shape == (1, 6, 2)
    want = convolution(x, k, (1,), ((2, 1),), (2,), None, ("NAC", "AIO", "NAC"))
    assert np.allclose(got, want, atol=1e-6)


# ---- patches --------------------------------------------------------------------------------------------------------


def test_patches_are_windows() -> None:
    x = integers((2, 3, 6, 7))
    view = np.lib.stride_tricks.sliding_window_view(x, (2, 3), (2, 3))[:, :, ::2]
    want = view.transpose(0, 1, 4, 5, 2, 3).reshape(2, 18, 3, 5)
    assert np.array_equal(lax.conv_general_dilated_patches(x, (2, 3), (2, 1), "VALID"), want)
    last = lax.conv_general_dilated_patches(
        x.transpose(0, 2, 3, 1), (2, 3), (2, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    assert np.array_equal(last, want.transpose(0, 2, 3, 1))


def test_patches_of_a_window_that_fits_nowhere() -> None:
    # Neither made nor counted one by one: the window may have any size.
    x = np.ones((2, 3, 4), np.float32)
    found = anima.eval_shape(lambda: lax.conv_general_dilated_patches(x, (2**40,), (1,), "VALID"))
    assert found.shape == (2, 3 * 2**40, 0)
    found, pull = anima.vjp(lambda x: lax.conv_general_dilated_patches(x, (5,), (1,), "VALID"), x)
    assert found.shape == (2, 15, 0) and not np.any(pull(found)[0])


def test_patches_are_exact() -> None:
    x = np.array([[[np.inf, 1, np.nan, 2]]], F32)
    got = lax.conv_general_dilated_patches(x, (2,), (1,), ((1, 0),))
    assert np.array_equal(got, [[[0, np.inf, 1, np.nan], [np.inf, 1, np.nan, 2]]], equal_nan=True)
    for dtype in ("bool", "int8", "bfloat16"):
        y = np.asarray(lax.convert_element_type(integers((1, 1, 40)), dtype))
        got = lax.conv_general_dilated_patches(y, (20,), (3,), ((5, 6),), (2,), (2,))
        places = np.arange(20)[:, None] * 2 + np.arange(got.shape[2]) * 3
        assert np.array_equal(got[0], spread(y, ((5, 6),), (2,))[0, 0][places])
    wide = lax.conv_general_dilated_patches(x, (2,), (1,), "SAME", preferred_element_type="float32")
    assert wide.dtype == F32
    for narrow in ("bfloat16", "int32"):
        with pytest.raises(TypeError, match=f"preferred_element_type {narrow}"):
            lax.conv_general_dilated_patches(x, (2,), (1,), "SAME", preferred_element_type=narrow)


@pytest.mark.parametrize("size", [3, 20])
def test_derivatives_of_patches(size: int) -> None:
    x = floats((1, 2, 24))
    weights = floats((1, 2 * size, 25 - size))
    total = lambda x: anima.numpy.sum(weights * lax.conv_general_dilated_patches(x, (size,), (1,), "VALID"))
    want = np.zeros_like(x)
    for c, k, m in np.ndindex(2, size, 25 - size):
        want[0, c, m + k] += weights[0, c * size + k, m]
    assert np.allclose(anima.grad(total)(x), want, atol=1e-5)


def test_local_convolutions_have_kernels_of_their_own() -> None:
    x, kernels = floats((2, 3, 6)), floats((4, 6, 5))
    got = lax.conv_general_dilated_local(x, kernels, (1,), "VALID", (2,))
    for m in range(5):
        want = np.einsum("nk,ok->no", x[:, :, m : m + 2].reshape(2, 6), kernels[:, :, m])
        assert np.allclose(got[:, :, m], want, atol=1e-5)
    same = np.repeat(floats((4, 6, 1)), 5, 2)
    shared = lax.conv(x, same[:, :, 0].reshape(4, 3, 2), (1,), "VALID")
    assert np.allclose(lax.conv_general_dilated_local(x, same, (1,), "VALID", (2,)), shared, atol=1e-5)


# ---- refusals -------------------------------------------------------------------------------------------------------


def general(*args: Any, **more: Any) -> Callable[[], Any]:
    return lambda: lax.conv_general_dilated(X, K, *args, **more)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: lax.conv(X, K[0], (1, 1), "SAME"), TypeError, r"lhs and rhs must have equally many dimensions, got 4 and 3"),
    (lambda: lax.conv(X[0, 0, 0], K[0, 0, 0], (), "SAME"), TypeError, "at least two dimensions"),
    (lambda: lax.conv(X, K.astype(I32), (1, 1), "SAME"), TypeError, "same dtype, got float32 and int32; convert one"),
    (general((1,), "SAME"), TypeError, r"conv_general_dilated: window_strides must have 2 entries"),
    (general(1, "SAME"), TypeError, "window_strides must be a sequence of integers, got 1"),
    (general((0, 1), "SAME"), TypeError, "every entry of window_strides must be positive"),
    (general((1.0, 1), "SAME"), TypeError, "window_strides must be integers, got 1.0"),
    (general((1, 1), "SAM"), RuntimeError, "padding must be 'SAME', 'SAME_LOWER', 'VALID', or .* got 'SAM'"),
    (general((1, 1), (1, 1)), ValueError, r"sequence of \(low, high\) pairs, got \(1, 1\)"),
    (general((1, 1), ((1, 1),)), TypeError, "padding must have 2 pairs, one for each dimension, got 1"),
    (general((1, 1), ((-4, -4), (0, 0))), ValueError, "negative padding .* takes away more than there is"),
    (general((1, 1), "SAME", (2, 1)), ValueError, "'SAME' is not defined with lhs_dilation"),
    (general((1, 1), ((0, 0),) * 2, (1,)), TypeError, "lhs_dilation must have 2 entries"),
    (general((1, 1), "SAME", None, (1, 0)), TypeError, "every entry of rhs_dilation must be positive"),
    (general((1, 1), "SAME", feature_group_count=0), ValueError, "feature_group_count must be positive, got 0"),
    (general((1, 1), "SAME", feature_group_count=2), ValueError, "feature_group_count 2 must divide the feature dimension of lhs, which is 3"),
    (general((1, 1), "SAME", feature_group_count=3), ValueError, "must divide the output feature dimension of rhs, which is 4"),
    (general((1, 1), "SAME", batch_group_count=3), ValueError, "batch_group_count 3 must divide the batch dimension of lhs, which is 2"),
    (lambda: lax.conv(X[:, :2], K, (1, 1), "SAME"), ValueError, r"divided by feature_group_count, 2 // 1, got 3"),
    (lambda: lax.conv(X, K[:, :, :0], (1, 1), "VALID"), ValueError, "spatial dimensions of rhs must not be empty"),
    (
        lambda: lax.conv_general_dilated(X[:, :2], K[:, :1], (1, 1), "SAME", None, None, None, 2, 2),
        ValueError,
        "must not both be more than 1",
    ),
    (general((1, 1), "SAME", dimension_numbers="NCHW"), TypeError, "dimension_numbers must be None"),
    (general((1, 1), "SAME", dimension_numbers=("NCHW", "OIHW")), TypeError, "must have three elements"),
    (general((1, 1), "SAME", dimension_numbers=("NCHW", "OIHX", "NCHW")), TypeError, "same spatial dimensions"),
    (general((1, 1), "SAME", dimension_numbers=("NCHH", "OIHW", "NCHW")), TypeError, r"\[0\] must not repeat a character"),
    (general((1, 1), "SAME", dimension_numbers=("NCHW", "OJHW", "NCHW")), TypeError, r"\[1\] must contain 'O' and 'I' exactly once"),
    (general((1, 1), "SAME", dimension_numbers=("NCH", "OIH", "NCH")), TypeError, r"\[0\] must name all 4 dimensions"),
    (general((1, 1), "SAME", dimension_numbers=((0, 1, 2, 2),) * 3), TypeError, r"\[0\] must be a permutation"),
    (general((1, 1), "SAME", dimension_numbers=(None,) * 3), TypeError, "three strings or three permutations"),
    (general((1, 1), "SAME", precision="best"), ValueError, "precision 'best' is none of"),
    (general((1, 1), "SAME", preferred_element_type=I32), TypeError, "int32 does not hold sums of float32"),
    (general((1, 1), "SAME", preferred_element_type="bfloat16"), TypeError, "bfloat16 must not be narrower than float32"),
    (
        lambda: lax.conv_general_dilated(X.astype("int8"), K.astype("int8"), (1, 1), "SAME", preferred_element_type="uint8"),
        TypeError,
        "uint8 must be signed, as int8 is",
    ),
    (general((1, 1), "SAME", out_sharding="x"), TypeError, "conv_general_dilated: out_sharding"),
    (lambda: lax.conv_transpose(np.ones((1,) * 6), np.ones((1,) * 6), (1,) * 4, "SAME"), ValueError, "give dimension_numbers"),
    (lambda: lax.conv_transpose(X, K, (1,), "SAME"), TypeError, "conv_transpose: strides must have 2 entries"),
    (lambda: lax.conv_transpose(X[:, 0], K[:, 0], (2,), ((1,),)), ValueError, "conv_transpose: padding must be"),
    (lambda: lax.conv_general_dilated_patches(X, (2,), (1, 1), "SAME"), TypeError, "conv_general_dilated_patches: filter_shape must have 2"),
    (lambda: lax.conv_general_dilated_local(X, K, (1, 1), "VALID", (2, 2)), TypeError, r"rhs must have the .* \(12, 5, 6\), got \(3, 2, 3\)"),
    (lambda: lax.padtype_to_pads((1,), (1,), (1,), [(0, 0)]), TypeError, "padding must be a string"),  # type: ignore[arg-type]
    (lambda: lax.conv_shape_tuple((3, 1, 1), (1, 1, 1), (1,), "SAME", 2), ValueError, "must divide the batch size 3"),
    (
        lambda: lax.conv_transpose_shape_tuple((1, 1, 1), (1, 1, 1), (1,), "SAME_LOWER", ("NCH", "OIH", "NCH")),
        ValueError,
        "padding must be 'SAME', 'VALID'",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals_say_what_is_wrong(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_traced_stride_says_so() -> None:
    with pytest.raises(
        errors.ShapeConcretizationError, match="conv_general_dilated requires shapes to be concrete"
    ):
        anima.jit(lambda s: lax.conv(X, K, (s, 1), "SAME"))(1)


def test_dimension_numbers_may_be_permutations() -> None:
    got = lax.conv_general_dilated(
        X, K, (1, 1), "SAME", dimension_numbers=(range(4), (0, 1, 2, 3), (0, 3, 1, 2))
    )
    assert np.allclose(got, np.transpose(lax.conv(X, K, (1, 1), "SAME"), (0, 2, 3, 1)), atol=1e-5)


# ---- what is compiled -----------------------------------------------------------------------------------------------


def lowered(platform: str, x: np.ndarray, k: np.ndarray, **more: Any) -> str:
    """The program without kernels."""
    avals = [ShapedArray(v.shape, v.dtype) for v in (x, k)]
    with anima.enable_x64(True), host_kernels(False):
        closed = stage_closed(
            lambda x, k: [lax.conv_general_dilated(x, k, (1,), "SAME", **more)], avals, "conv"
        )
        return lower_module(closed, name="conv", platform=platform).text


def test_which_way_is_taken() -> None:
    x, k = floats((2, 4, 9)), floats((4, 4, 3))
    native = [
        lowered("cpu", x, k),
        lowered("cpu", x, k[:, :2], feature_group_count=2),
        lowered("cuda", x.astype("float64"), k.astype("float64")),
        lowered("cuda", x, k[:, :1], feature_group_count=4),
        lowered("cuda", *(complexes(v.shape) for v in (x, k))),
    ]
    other = [
        lowered("cpu", x.astype("float64"), k.astype("float64")),
        lowered("cpu", x, k[:, :1], feature_group_count=4),
        lowered("cpu", floats((4, 4, 9)), k, batch_group_count=2),
        lowered("cuda", x.astype(I32), k.astype(I32)),
    ]
    assert all("stablehlo.convolution" in text for text in native)
    assert not any("stablehlo.convolution" in text for text in other)


def test_precision_reaches_the_program() -> None:
    x, k = floats((1, 1, 4)), floats((1, 1, 2))
    with anima.default_matmul_precision(None):
        assert "precision" not in lowered("cpu", x, k)
    pair = "precision HIGHEST>, #stablehlo<precision DEFAULT>"
    assert pair in lowered("cpu", x, k, precision=("highest", "default"))
    assert "precision HIGHEST" in lowered("cpu", x, k, precision="F32_F32_F32")
    assert "precision HIGH>" in lowered("cpu", x, k, precision="BF16_BF16_F32_X3")
    with anima.default_matmul_precision("highest"):
        assert "precision HIGHEST" in lowered("cpu", x, k)
    pulled = anima.jit(
        lambda ct: anima.vjp(lambda k: lax.conv(x, k, (1,), "SAME", ("highest", "default")), k)[1](ct)
    )
    with host_kernels(False):
        assert pair in pulled.lower(floats((1, 1, 4))).as_text()

"""Reductions over windows, beyond the walk: pooling and its derivatives, initial values, refusals, what is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
from anima import errors, lax
from anima.core.aval import ShapedArray
from anima.interpreters.jvp import stage_closed
from anima.lowering.module import lower_module
from tests.lax.samples import complexes, floats, integers
from tests.lax.samples.windows import places, selected

F32, I32 = np.float32, np.int32
X = floats((4, 5))
POOL: Any = ((2, 2), (2, 1), ((0, 1), (1, 0)), (1, 1), (1, 1))


def pooled(x: Any, lie: Any = POOL) -> Any:
    return lax.reduce_window(x, -np.inf, lax.max, *lie)


def names(fun: Callable[..., Any], *args: Any) -> list[str]:
    return [eqn.primitive.name for eqn in anima.make_jaxpr(fun)(*args).eqns]


# ---- derivatives ----------------------------------------------------------------------------------------------------


def test_the_first_of_equal_extrema_has_the_derivative() -> None:
    ties = np.array([[1, 1, 0], [1, 1, 2], [0, 2, 2]], F32)
    total = lambda x: anima.numpy.sum(lax.reduce_window(x, -np.inf, lax.max, (2, 2)))
    assert np.array_equal(anima.grad(total)(ties), [[1, 0, 0], [0, 0, 2], [0, 1, 0]])
    _, tangent = anima.jvp(lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 2)), (ties,), (X[:3, :3],))
    assert np.array_equal(tangent, X[:3, :3].ravel()[[[0, 5], [7, 5]]])
    least = lambda x: anima.numpy.sum(lax.reduce_window(x, np.inf, lax.min, (2, 2)))
    assert np.array_equal(anima.grad(least)(ties), [[1, 0, 1], [0, 1, 0], [1, 0, 0]])


def test_nans_have_the_derivative_that_they_decide() -> None:
    x = X.copy()
    x[1, 1] = x[1, 2] = np.nan
    at = selected(x, ((2, 2), (1, 1), ((0, 0),) * 2, (1, 1), (1, 1)), most=True)
    got = anima.grad(lambda x: anima.numpy.sum(lax.reduce_window(x, -np.inf, lax.max, (2, 2))))(x)
    assert np.array_equal(got, np.bincount(at.ravel(), minlength=x.size).reshape(x.shape))


@pytest.mark.parametrize(
    "lie",
    [
        POOL,
        ((2, 2), (1, 2), ((1, 0), (0, 2)), (2, 1), (1, 2)),
        ((3, 20), (1, 1), ((1, 1), (12, 9)), (1, 1), (1, 1)),
    ],
)
def test_gradients_of_every_kind_of_window(lie: Any) -> None:
    cotangents = floats(places(X, lie).shape[:-1])

    def pulled(init: float, fun: Any) -> Any:
        return anima.jit(
            lambda x: anima.vjp(lambda x: lax.reduce_window(x, init, fun, *lie), x)[1](cotangents)[0]
        )(X)

    for init, fun, most in ((-np.inf, lax.max, True), (np.inf, lax.min, False)):
        at = selected(X, lie, most)
        want = np.zeros(X.size, F32)
        np.add.at(want, at[at >= 0], cotangents[at >= 0])
        assert np.allclose(pulled(init, fun), want.reshape(X.shape), atol=1e-5)
    want = np.zeros(X.size, F32)
    for place in np.ndindex(*cotangents.shape):
        at = places(X, lie)[place]
        np.add.at(want, at[at >= 0], cotangents[place])
    assert np.allclose(pulled(0.0, lax.add), want.reshape(X.shape), atol=1e-4)


def test_nested_transformations_agree_with_loops() -> None:
    total = lambda x: anima.numpy.sum(pooled(x) ** 3)
    xs = floats((2, 3, 4, 5))
    one = anima.jit(anima.grad(total))
    want = [[np.asarray(one(x)) for x in row] for row in xs]
    assert np.allclose(anima.jit(anima.vmap(anima.vmap(anima.grad(total))))(xs), want, atol=1e-5)
    moved = anima.vmap(anima.vmap(anima.grad(total), 1, 1), 2, 2)(xs.transpose(2, 1, 0, 3))
    assert np.allclose(np.transpose(moved, (2, 1, 0, 3)), want, atol=1e-5)
    hessian = np.asarray(anima.jit(anima.hessian(total))(X)).reshape(20, 20)
    at = selected(X, POOL, most=True).ravel()
    assert np.allclose(hessian, np.diag(np.bincount(at, minlength=20) * 6 * X.ravel()), atol=1e-4)


def test_in_loops_and_branches() -> None:
    def body(x: Any, _: Any) -> tuple[Any, None]:
        return lax.reduce_window(x, 0.0, lax.add, (2, 2), None, "SAME") * 0.3, None

    scanned = lambda x: anima.numpy.sum(pooled(lax.scan(body, x, None, length=3)[0]))

    def unrolled(x: Any) -> Any:
        for _ in range(3):
            x, _ = body(x, None)
        return anima.numpy.sum(lax.cond(True, pooled, lambda x: -pooled(x), x))

    assert np.allclose(anima.grad(scanned)(X), anima.grad(unrolled)(X), atol=1e-5)


def test_a_general_function_has_derivatives_of_both_kinds() -> None:
    lie = ((2, 3), (1, 2), ((1, 0), (0, 1)), (1, 1), (1, 1))
    # a + b + a * b is associative, with 0 as its neutral element: the product of 1 + x, less 1
    fun = lambda x: lax.reduce_window(x, 0.0, lambda a, b: a + b + a * b, *lie)
    other = lambda x: lax.reduce_window(1 + x, 1.0, lax.mul, *lie) - 1
    assert names(fun, X) == ["reduce_window"]
    assert np.allclose(fun(X), other(X), atol=1e-5)
    square = lambda f: lambda x: anima.numpy.sum(f(x) ** 2)
    assert np.allclose(anima.grad(square(fun))(X), anima.grad(square(other))(X), rtol=1e-4, atol=1e-4)
    with anima.enable_x64(True):
        x = X.astype(np.float64)
        gradient = anima.jit(anima.grad(square(fun)))(x)
        values = anima.jit(square(fun))
        for place in ((0, 0), (1, 3), (3, 4)):
            unit = np.zeros_like(x)
            unit[place] = 1e-6
            want = (float(values(x + unit)) - float(values(x - unit))) / 2e-6
            assert np.isclose(float(gradient[place]), want, rtol=1e-6)


def test_complex_extrema_have_derivatives() -> None:
    x = complexes((3, 4))
    at = selected(x, ((2, 2), (1, 1), ((0, 0),) * 2, (1, 1), (1, 1)), most=True)
    t = complexes((3, 4))[::-1].copy()
    _, tangent = anima.jvp(
        lambda x: lax.reduce_window(x, complex(-np.inf, -np.inf), lax.max, (2, 2)), (x,), (t,)
    )
    assert np.array_equal(tangent, t.ravel()[at])


# ---- initial values, operands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("computation", "init", "expected"),
    [
        (lax.add, 0.0, ["reduce_window_sum"]),
        (lambda a, b: lax.max(b, a), -np.inf, ["reduce_window_max"]),
        (lax.min, np.inf, ["reduce_window_min"]),
        (lax.mul, 1.0, ["reduce_window"]),
        (lambda a, b: lax.sub(a, b), 0.0, ["reduce_window"]),
        (lax.add, 2.0, ["reduce_window_sum", "broadcast_in_dim", "add"]),
    ],
)
def test_known_functions_are_recognised(computation: Any, init: float, expected: list[str]) -> None:
    assert names(lambda x: lax.reduce_window(x, init, computation, (2, 2)), X) == expected


def test_an_initial_value_takes_part_once() -> None:
    ones = np.ones((4, 5), F32)
    for init in (5.0, np.float32(5), 5):
        got = lax.reduce_window(ones, init, lax.add, (2, 2), (1, 1), "SAME")
        assert got.dtype == F32
        assert got.tolist() == [[9, 9, 9, 9, 7]] * 3 + [[7, 7, 7, 7, 6]]
    assert np.array_equal(
        lax.reduce_window(X, 0.5, lax.max, (2, 2)), np.maximum(pooled(X, ((2, 2),)), F32(0.5))
    )
    starts = floats((3,))
    mapped = anima.vmap(lambda init: lax.reduce_window(X, init, lax.add, (2, 2)))(starts)
    assert np.allclose(
        mapped, np.asarray(lax.reduce_window(X, 0.0, lax.add, (2, 2))) + starts[:, None, None], atol=1e-6
    )
    mapped = anima.vmap(lambda init: lax.reduce_window(X, init, lax.mul, (2, 2)))(starts)
    assert np.allclose(
        mapped, np.asarray(lax.reduce_window(X, 1.0, lax.mul, (2, 2))) * starts[:, None, None], atol=1e-6
    )
    slope = anima.grad(lambda init: anima.numpy.sum(lax.reduce_window(X, init, lax.add, (2, 2))))(0.0)
    assert slope == 12


def test_windows_without_elements() -> None:
    empty = np.zeros((0, 3), F32)
    for fun, init in ((lax.add, 0.0), (lax.max, -np.inf), (lax.min, np.inf), (lax.mul, 1.0)):
        got = lax.reduce_window(empty, init, fun, (2, 2), (1, 1), ((2, 1), (0, 0)))
        assert np.array_equal(got, np.full((2, 2), init, F32))
        assert lax.reduce_window(empty, init, fun, (1, 2)).shape == (0, 2)
        assert lax.reduce_window(X, init, fun, (5, 2)).shape == (0, 4)
        assert lax.reduce_window(F32(3), init, fun, ()) == 3
    assert (
        anima.grad(lambda x: anima.numpy.sum(pooled(x, ((5, 2),))))(X).tolist() == np.zeros((4, 5)).tolist()
    )
    assert (
        anima.grad(lambda x: anima.numpy.sum(lax.reduce_window(x, 0.0, lax.add, (5, 2))))(X).tolist()
        == np.zeros((4, 5)).tolist()
    )
    got = anima.vmap(lambda x: pooled(x))(np.zeros((0, 4, 5), F32))
    assert got.shape == (0, *pooled(X).shape)


def test_weak_types_and_shapes() -> None:
    weak = lax.full((4,), 1.0)
    assert lax.reduce_window(weak, 0.0, lax.add, (2,)).weak_type
    assert lax.reduce_window(weak, 1.0, lax.mul, (2,)).weak_type
    assert lax.reduce_window_shape_tuple((5, 6), (3, 3), (2, 2), "same_lower") == (3, 3)
    assert lax.reduce_window_shape_tuple((5, 6), (3, 3), (2, 2), ((0, 1), (1, 1)), (2, 2), (2, 1)) == (3, 6)


def test_sums_of_narrow_floats_are_rounded_once() -> None:
    x = np.full(300, 1.0, anima.dtypes.bfloat16)
    assert lax.reduce_window(x, 0.0, lax.add, (257,), (1,), "VALID")[0] == 256  # 257 is no bfloat16
    ones = lax.reduce_window(x, 0.0, lax.add, (16,), (16,))
    assert np.array_equal(ones, np.full(18, 16, anima.dtypes.bfloat16))
    small = np.concatenate([[256.0], np.full(15, 0.5)]).astype(anima.dtypes.bfloat16)
    assert lax.reduce_window(small, 0.0, lax.add, (16,))[0] == 264  # 263.5, to the nearest


@pytest.mark.parametrize("size", [17, 31, 32, 33, 100])
@pytest.mark.parametrize("step", [1, 2])
def test_long_windows(size: int, step: int) -> None:
    x = integers((2, 250)).astype(F32)
    length = (size - 1) * step + 1
    view = np.lib.stride_tricks.sliding_window_view(x, length, 1)[:, :, ::step]
    for stride in (1, 3, 40):
        for fun, init, oracle in (
            (lax.add, 0.0, np.sum),
            (lax.max, -np.inf, np.max),
            (lax.min, np.inf, np.min),
        ):
            got = lax.reduce_window(x, init, fun, (1, size), (1, stride), "VALID", None, (1, step))
            assert np.array_equal(got, oracle(view[:, ::stride], -1))


# ---- refusals -------------------------------------------------------------------------------------------------------

PARAMS: dict[str, Any] = {
    "window_dimensions": (2, 2),
    "window_strides": (1, 1),
    "padding": ((0, 0), (0, 0)),
    "base_dilation": (1, 1),
    "window_dilation": (1, 1),
}
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: lax.reduce_window(X, 0.0, lax.add, (2,)), TypeError, "reduce_window: window_dimensions must have 2 entries"),
    (lambda: lax.reduce_window(X, 0.0, lax.add, 2), TypeError, "window_dimensions must be a sequence of integers"),  # type: ignore[arg-type]
    (lambda: lax.reduce_window(X, 0.0, lax.add, (0, 1)), TypeError, "every entry of window_dimensions must be positive"),
    (lambda: lax.reduce_window(X, 0.0, lax.add, (1, 1), (1,)), TypeError, "window_strides must have 2 entries"),
    (lambda: lax.reduce_window(X, 0.0, lax.add, (1, 1), (1, 0)), TypeError, "every entry of window_strides"),
    (lambda: lax.reduce_window(X, 0.0, lax.add, (1, 1), None, "SAM"), RuntimeError, "reduce_window: padding must be"),
    (lambda: lax.reduce_window(X, 0.0, lax.add, (1, 1), None, ((0, 0),)), TypeError, "padding must have 2 pairs"),
    (lambda: lax.reduce_window(X, 0.0, lax.add, (1, 1), None, "VALID", (0, 1)), TypeError, "base_dilation must be positive"),
    (lambda: lax.reduce_window(X, 0.0, lax.add, (1, 1), None, "VALID", None, (1,)), TypeError, "window_dilation must have 2"),
    (lambda: lax.reduce_window(X, X, lax.add, (1, 1)), TypeError, r"init_value must be a scalar .* \(4, 5\)"),
    (lambda: lax.reduce_window(X, 1j, lax.add, (1, 1)), TypeError, r"initial values must have the operands' dtypes, got ~complex64\[\] for float32\[4,5\]"),
    (lambda: lax.reduce_window((X,), 0.0, lax.add, (1, 1)), ValueError, "must have the same structure"),
    (lambda: lax.reduce_window((), (), lax.add, ()), ValueError, "at least one array"),
    (lambda: lax.reduce_window((X, X.T), (0.0, 0.0), lambda a, b: a, (1, 1)), TypeError, "operands must have equal shapes"),
    (lambda: lax.reduce_window(X, 0.0, lambda a, b: (a, b), (1, 1)), TypeError, "reduce_window: computation must return the structure"),
    (lambda: lax.reduce_window(X, 0.0, lambda a, b: lax.gt(a, b), (1, 1)), TypeError, "computation must return scalars"),
    (lambda: lax.reduce_window_sum_p.bind(X > 0, **PARAMS), TypeError, "reduce_window_sum does not accept dtype bool"),
    (
        lambda: lax.select_and_gather_add_p.bind(X.T.copy(), X, select_prim=lax.ge_p, **PARAMS),
        TypeError,
        r"select_and_gather_add: .* the values must be float32\[4,5\], got float32\[5,4\]",
    ),
    (
        lambda: lax.select_and_scatter_add_p.bind(X, X, select_prim=lax.ge_p, **PARAMS),
        TypeError,
        r"select_and_scatter_add: .* the values must be float32\[3,4\]",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals_say_what_is_wrong(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_functions_must_not_see_what_is_outside() -> None:
    with pytest.raises(
        TypeError, match="reduce_window: computation must not use a traced value from outside"
    ):
        anima.jit(lambda x, y: lax.reduce_window(x, 0.0, lambda a, b: a + b + y, (1, 1)))(X, 1.0)
    with pytest.raises(errors.MissingRuleError, match="select_and_scatter_add has derivatives"):
        ge, add = (
            stage_closed(lambda a, b, f=f: [f(a, b)], [ShapedArray((), F32)] * 2, "")
            for f in (lax.ge, lax.add)
        )
        params = {name: PARAMS[name] for name in ("window_dimensions", "window_strides", "padding")}
        anima.jvp(
            lambda x: lax.select_and_scatter_p.bind(
                x, X[1:, 1:], F32(0), select_jaxpr=ge, scatter_jaxpr=add, **params
            ),
            (X,),
            (X,),
        )


# ---- what is compiled -----------------------------------------------------------------------------------------------


def lowered(platform: str, size: int, stride: int, n: int = 64) -> str:
    fun = lambda x: [lax.reduce_window(x, -np.inf, lax.max, (1, size), (1, stride))]
    closed = stage_closed(fun, [ShapedArray((2, n), np.dtype(F32))], "pool")
    return lower_module(closed, name="pool", platform=platform).text


def test_which_way_is_taken() -> None:
    assert "reduce_window" not in lowered("cpu", 3, 1)
    assert "reduce_window" not in lowered("cpu", 20, 1)
    assert "reduce_window" in lowered("cpu", 32, 32)  # windows that share nothing
    assert "reduce_window" in lowered("cuda", 3, 1)


def test_an_initial_value_that_changes_nothing_may_have_another_dtype() -> None:
    x = np.ones((3, 4), np.float32)
    assert lax.reduce_window(x, np.int32(0), lax.add, (2, 2)).dtype == np.float32
    assert lax.reduce(x, np.float16(0), lax.add, (0,)).dtype == np.float32
    for call in (
        lambda i: lax.reduce_window(x, i, lax.add, (2, 2)),
        lambda i: lax.reduce(x, i, lax.add, (0,)),
    ):
        with pytest.raises(TypeError, match="initial values must have the operands' dtypes"):
            call(np.int32(1))


@pytest.mark.parametrize("operation", [lax.add, lax.max, lax.min, lax.mul])
@pytest.mark.parametrize(
    ("shape", "more", "places"),
    [
        ((2,), {"padding": [(-9, -9)]}, (0,)),
        ((0, 3), {"padding": [(-1, 0), (1, 1)]}, (0, 5)),
        ((2, 3), {"padding": [(-2, -2), (0, 0)], "base_dilation": (2, 1)}, (0, 3)),
        ((2, 3), {"padding": [(-9, 9), (0, 0)]}, (2, 3)),
    ],
)
def test_padding_that_takes_away_more_than_there_is(
    operation: Any, shape: Any, more: Any, places: Any
) -> None:
    def windows(x: Any) -> Any:
        return lax.reduce_window(x, np.float32(0), operation, (1,) * len(shape), **more)

    x = np.ones(shape, np.float32)
    for f in (windows, anima.jit(windows)):
        assert f(x).shape == places
    assert not np.any(windows(x))
    assert anima.grad(lambda x: windows(x).sum())(x).tolist() == np.zeros(shape).tolist()

"""Programs that the host performs one operation after the other, and kernels that it calls: with the bits of the programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import _native, lax
from anima.config import eager_host_calls
from anima.transforms.eager import compiled

pytestmark = pytest.mark.cpu

_source = onp.random.default_rng(11)


def _numbers(shape: tuple[int, ...], dtype: str) -> Any:
    return (_source.normal(size=shape) * 10).astype(dtype)


def _edges(shape: tuple[int, ...], dtype: str) -> Any:
    """Numbers with every kind among them that processors treat differently."""
    x = _numbers(shape, dtype)
    if x.dtype.kind == "f" and x.size:
        odd = onp.array([onp.nan, -onp.nan, onp.inf, -onp.inf, 0.0, -0.0, 1e-42, -1e-310], dtype)
        x.flat[:: max(x.size // 9, 1)] = onp.resize(odd, len(x.flat[:: max(x.size // 9, 1)]))
    return x


def both(fun: Callable[..., Any], *given: Any) -> int:
    """How many programs were compiled for a call, whose results have the bits of the compiled program."""
    before = _native.compile_count()
    got = fun(*map(np.asarray, given))
    count = _native.compile_count() - before
    with eager_host_calls(0):
        want = fun(*map(np.asarray, given))
    for a, b in zip(anima.tree_util.tree_leaves(got), anima.tree_util.tree_leaves(want), strict=True):
        assert a.aval == b.aval and a.committed == b.committed
        assert onp.asarray(a).tobytes() == onp.asarray(b).tobytes(), (a, b)
    return count


SHAPES = [(300,), (1, 9), (5, 35), (31, 33), (4, 5, 6)]
FOLDS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "var": np.var,
    "std": np.std,
    "std, one freedom less": lambda x, axis: np.std(x, axis=axis, ddof=1),
    "mean, dimensions kept": lambda x, axis: np.mean(x, axis=axis, keepdims=True),
    "norm": lambda x, axis: np.linalg.norm(x, axis=axis),
    "mean of absolute values": lambda x, axis: np.mean(np.abs(x), axis=axis),
}


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("name", FOLDS)
def test_folds_have_the_bits_of_the_program(name: str, shape: tuple[int, ...], x64: bool) -> None:
    with anima.enable_x64(x64):
        for dtype in ("float32", "float64") if x64 else ("float32",):
            for axis in {0, len(shape) - 1, -1}:
                fold = lambda x: FOLDS[name](x, axis=axis)
                # Of one number there is no deviation: it is divided by zero, which is the program's to do.
                assert both(fold, _numbers(shape, dtype)) == 0 or shape[axis] == 1
                both(fold, _edges(shape, dtype))


@pytest.mark.parametrize("name", FOLDS)
def test_folds_of_other_numbers(name: str) -> None:
    fold = lambda x: FOLDS[name](x, axis=0)
    for dtype in ("int32", "float16", "bfloat16", "bool", "uint8"):
        both(fold, np.asarray(_numbers((9, 5), "float32")).astype(dtype))
    both(fold, onp.zeros((0, 3), onp.float32))


def test_the_fold_is_numpys_up_to_rounding() -> None:
    x = _numbers((31, 33), "float32")
    for name in ("sum", "mean", "var", "std"):
        for axis in (0, 1):
            wanted = getattr(onp, name)(x.astype(onp.float64), axis=axis)
            onp.testing.assert_allclose(
                onp.asarray(FOLDS[name](np.asarray(x), axis=axis)), wanted, 1e-4, 1e-4
            )


# What XLA rewrites before it makes code, or could: such programs are compiled, or have its bits all the same.
_PROGRAMS: dict[str, Callable[..., Any]] = {
    "a product and a sum": lambda x, y: x * y + x,
    "scaled twice": lambda x, y: x / 3.0 * y,
    "scaled by two numbers": lambda x, y: x / 3.0 / 7.0,
    "over a root": lambda x, y: x / lax.sqrt(y * y),
    "a root of a root": lambda x, y: lax.sqrt(lax.sqrt(y * y)),
    "sums of a sum": lambda x, y: (x + 1.5) + 2.25,
    "turned": lambda x, y: -(x - y) * y,
    "the sum of what is repeated": lambda x, y: lax.reduce_sum(lax.broadcast(x / 3.0, (7,)), (0,)),
    "the sum of what was turned": lambda x, y: lax.reduce_sum(lax.transpose(x * y, (1, 0)), (0,)),
    "the sum of a sum": lambda x, y: lax.reduce_sum(lax.reduce_sum(x, (0,)), (0,)),
    "centred": lambda x, y: x - lax.broadcast(lax.reduce_sum(y, (0,)) / 12.0, (12,)),
    "divided by far numbers": lambda x, y: x / 1e30 - y,
    "divided by zero": lambda x, y: x / 0.0 - y,
    "a difference, squared and added": lambda x, y: lax.reduce_sum((x - y) * (x - y), (1,)),
    "a distance": lambda x, y: lax.sqrt(lax.reduce_sum((x - y) * (x - y), (1,))),
    "a total taken away": lambda x, y: lax.reduce_sum(x * y, (1,)) - lax.reduce_sum(x, (1,)),
}


@pytest.mark.parametrize("columns", [3, 70])
@pytest.mark.parametrize("name", _PROGRAMS)
def test_programs_of_several_that_round(name: str, columns: int) -> None:
    fun = _PROGRAMS[name]
    x, y = _numbers((12, columns), "float32"), _numbers((12, columns), "float32")
    both(compiled(lambda x, y: fun(x, y)), x, y)
    both(compiled(lambda x, y: fun(x, y)), _edges((12, columns), "float32"), y)


CALLS: dict[str, Callable[..., Any]] = {
    "cumsum": lambda x, axis: lax.cumsum(x, axis=axis),
    "cumsum, backwards": lambda x, axis: lax.cumsum(x, axis=axis, reverse=True),
    "cumprod": lambda x, axis: lax.cumprod(x, axis=axis),
    "cummax": lambda x, axis: lax.cummax(x, axis=axis),
    "cummin": lambda x, axis: lax.cummin(x, axis=axis),
    "sort": lambda x, axis: np.sort(x, axis=axis),
    "argsort": lambda x, axis: np.argsort(x, axis=axis),
    "two keys": lambda x, axis: lax.sort((x, x), dimension=axis, num_keys=2),
    "top_k": lambda x, axis: lax.top_k(x, min(2, x.shape[axis]), axis=axis),
    "NumPy's cumsum": lambda x, axis: np.cumsum(x, axis=axis - x.ndim),
}


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int32", "uint8", "int64", "bool", "bfloat16", "float16"]
)
@pytest.mark.parametrize("name", CALLS)
def test_kernels_have_the_bits_of_the_programs_that_call_them(name: str, dtype: str) -> None:
    with anima.enable_x64(True):
        for shape in ((5,), (3, 70), (2, 3, 4), (0, 3), (1,)):
            x = np.asarray(_edges(shape, "float64")).astype(dtype)
            if dtype == "bool" and name in ("cummax", "cummin", "cumprod", "cumsum", "cumsum, backwards"):
                continue  # of numbers only
            for axis in range(len(shape)):
                count = both(lambda x: CALLS[name](x, axis), x)
                assert count == 0 or dtype in ("bool", "bfloat16", "float16") or x.size == 0


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32", "float64", "complex128"])
def test_elements_are_repeated(dtype: str) -> None:
    with anima.enable_x64(True):
        for shape, target in (
            ((), (200,)),
            ((31, 1), (31, 8)),
            ((3, 1, 1), (3, 2, 40)),
            ((1, 0), (5, 0)),
            ((1,), (1,)),
        ):
            x = onp.resize(onp.arange(31), shape).astype(dtype)
            repeated = lambda x: lax.broadcast_in_dim(x, target, range(len(target) - len(shape), len(target)))
            both(repeated, x)
            assert onp.array_equal(onp.asarray(repeated(np.asarray(x))), onp.broadcast_to(x, target))


def test_running_logarithms_are_called() -> None:
    for shape in ((5,), (3, 70)):
        assert both(lambda x: lax.cumlogsumexp(x, axis=0), _edges(shape, "float32")) == 0


_PAIRS = [
    ((17, 23), (23,)),
    ((23,), (23, 17)),
    ((17, 23), (23, 17)),
    ((30, 30), (30, 30)),
    ((300,), (300,)),
    ((300, 2), (2, 1)),
    ((5, 6), (6, 8)),
    ((9, 40), (40,)),
    ((3, 17, 19), (3, 19, 4)),
    ((2, 0), (0, 3)),
    ((40, 30), (30, 40)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("left, right", _PAIRS, ids=repr)
def test_products_have_the_bits_of_the_program(left: Any, right: Any, dtype: str) -> None:
    with anima.enable_x64(True):
        x, y = _numbers(left, dtype), _numbers(right, dtype)
        both(np.matmul, x, y)
        both(np.matmul, _edges(left, dtype), y)
        onp.testing.assert_allclose(onp.asarray(np.matmul(np.asarray(x), np.asarray(y))), x @ y, 1e-3, 1e-3)


def test_a_small_product_that_is_all_of_a_program_needs_none() -> None:
    assert both(np.matmul, _numbers((17, 23), "float32"), _numbers((23,), "float32")) == 0
    transposed = lambda x, y: lax.dot_general(x, y, (((0,), (1,)), ((), ())))
    assert both(transposed, _numbers((23, 17), "float32"), _numbers((17, 23), "float32")) == 0


def test_a_description_of_a_call_is_checked() -> None:
    aval = ((4,), onp.dtype("float32"), False)

    def plan(details: Any) -> Any:
        host = ([aval, aval], [], [("call", [0], [1], details)], [1])
        return _native.CallPlan(
            None, num_leaves=1, out_avals=[aval], single=True, device=anima.devices("cpu")[0], host=host
        )

    for details in (None, ("anima_cumsum",), ("none such", ()), ("anima_cumsum", (("axis",),)), (1, ())):
        with pytest.raises((ValueError, TypeError)):
            plan(details)
    x = np.ones(4)
    assert plan(("anima_cumsum", (("axis", 0),))).answer([x]) is None  # an attribute is missing
    assert plan(("anima_cumsum", (("axis", 9), ("reverse", False)))).answer([x]) is None
    right = plan(("anima_cumsum", (("axis", 0), ("reverse", False)))).answer([x])
    assert onp.asarray(right).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 7, 300])
def test_linspace_is_rounded_once(num: int, endpoint: bool) -> None:
    for start, stop in ((0, 1), (0.3, -2.2), (-5, 7.5), (0.1, 0.1), (float("nan"), 1.0), (0.0, float("inf"))):
        got = onp.asarray(np.linspace(start, stop, num, endpoint=endpoint))
        if num == 1 and stop == float("inf"):
            continue  # NumPy makes a NaN of it
        with onp.errstate(all="ignore"):
            wanted = onp.linspace(
                onp.float32(start), onp.float32(stop), num, endpoint=endpoint, dtype=onp.float64
            )
        onp.testing.assert_allclose(got, wanted, 1e-6, 1e-6)
        assert got.dtype == onp.float32
        if num > 1 and endpoint:
            onp.testing.assert_array_equal(got[-1], onp.float32(stop))

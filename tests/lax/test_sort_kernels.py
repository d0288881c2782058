"""Sorting and the largest elements by the kernels of CPU devices: as NumPy, and as XLA's operations give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as jnp
from anima import _native, dtypes, lax, random
from anima.config import enable_x64
from anima.interpreters import mlir
from anima.lax.declare import ANY, FLOAT8
from anima.lowering.module import host_kernels
from anima.runtime.devices import client
from tests.native.support import encode_options

pytestmark = pytest.mark.cpu

F32, I32 = np.dtype(np.float32), np.dtype(np.int32)
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -np.nan, 2.5]


def values(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    """Numbers of a dtype, with special ones and many equal ones among them; no subnormal ones, which XLA takes for 0."""
    rng = np.random.default_rng(seed)
    dtype = jnp.dtype(name)
    kind = dtypes.kind_of(dtype) or "f"
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        few = rng.integers(0, 2, shape).astype(bool)
        low, high = (-2, 2) if kind == "i" else (0, 4)
        wide = rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(
            np.dtype(f"{kind}{dtype.itemsize}")
        )
        small = rng.integers(low, high, shape)
        return (small if name[-1] == "2" and name[-2] != "3" else np.where(few, small, wide[..., 0])).astype(
            dtype
        )
    if kind == "c":
        part = f"float{dtype.itemsize * 4}"
        return values(part, shape, seed) + dtype.type(1j) * values("int8", shape, seed + 1).astype(part)
    found = np.where(rng.random(shape) < 0.6, rng.choice(SPECIAL, shape), rng.normal(size=shape))
    with np.errstate(all="ignore"):
        return found.astype(np.float32).astype(dtype)


def bits(x: Any) -> tuple[Any, ...]:
    """Equal for arrays of the same bits; 8-bit NaNs are equal, for XLA changes them."""
    array = np.asarray(x)
    exact = (
        np.nan_to_num(array.astype(F32), posinf=np.inf, neginf=-np.inf, nan=999)
        if array.dtype.name in FLOAT8
        else array
    )
    return array.dtype, array.shape, exact.tobytes()


def same_by_both(fun: Callable[..., Sequence[Any]], *args: Any) -> None:
    """`fun` gives the same bits with kernels and without."""
    with_kernels = [bits(x) for x in anima.jit(fun)(*args)]
    with host_kernels(False):
        without = [bits(x) for x in anima.jit(fun)(*args)]
    assert with_kernels == without


def rank(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What NumPy sorts numbers of up to 64 bits by as lax does, in its own stable order."""
    return np.where(x == 0, 0, x).astype(x.dtype) if x.dtype.kind == "f" else x


@pytest.mark.parametrize("name", ANY)
def test_every_dtype_as_without_kernels(name: str) -> None:
    with enable_x64(True):
        x = values(name, (2, 41, 3))
        whole, number = values("int64", x.shape, 5), values("complex128", x.shape, 5)

        def along(x: Any, whole: Any, number: Any) -> list[Any]:
            out = [*lax.sort((x, whole), dimension=1), *lax.sort((whole, x, number), dimension=2, num_keys=2)]
            return out if dtypes.is_complex(x.dtype) else [*out, *lax.top_k(x, 3, axis=1), *lax.top_k(x, 3)]

        same_by_both(along, x, whole, number)


def test_the_kernel_is_called_where_it_may_be() -> None:
    jaxpr = anima.make_jaxpr(lambda x: (lax.sort(x), *lax.top_k(x, 2)))(np.zeros((4,), F32))

    def text(platform: str = "cpu", **options: Any) -> str:
        return mlir.module_to_string(mlir.lower_jaxpr_to_module("f", jaxpr, platforms=(platform,), **options))

    assert "anima_sort" in text() and "anima_top_k" in text() and "stablehlo.sort" not in text()
    with host_kernels(False):
        switched_off = text()
    for other in (switched_off, text("cuda"), text(partitions=2), text(exported=True)):
        assert "stablehlo.sort" in other and "chlo.top_k" in other and "anima" not in other


PATTERNS: dict[str, Callable[[int], np.ndarray[Any, Any]]] = {
    "random": lambda n: np.random.default_rng(n).normal(size=n),
    "rising": lambda n: np.arange(n),
    "falling": lambda n: np.arange(n)[::-1],
    "constant": lambda n: np.full(n, 7),
    "few": lambda n: np.random.default_rng(n).integers(0, 3, n),
    "nearly": lambda n: np.where(np.arange(n) == n - 1, -1, np.arange(n)),
    "special": lambda n: np.random.default_rng(n).choice(SPECIAL, n),
}


@pytest.mark.parametrize("n", [0, 1, 2, 10, 32, 33, 100, 1000, 5000, 70_000, 300_000])
@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "uint32"])
def test_rows_of_any_length(n: int, kind: str) -> None:
    for pattern, make in PATTERNS.items():
        with np.errstate(invalid="ignore"), enable_x64(True):
            x = make(n).astype(kind)
            order = np.argsort(rank(x), kind="stable")
            assert bits(lax.sort(x)) == bits(x[order]), pattern
            for index in (np.int32, np.int64):
                found, places = lax.sort_key_val(x, np.arange(n, dtype=index))
                assert np.array_equal(places, order), pattern
                assert bits(found) == bits(x[order]), pattern


def test_numbers_that_only_their_bits_tell_apart() -> None:
    """Sorting loses no payload of a NaN, and tells subnormal numbers from zeros."""
    pattern = np.array(
        [0x7FC00001, 0xFFC00002, 1, 0x80000001, 0x7F800001, 0, 0x80000000, 0x3F800000], np.uint32
    )
    x = pattern.view(F32)
    found, order = lax.sort_key_val(x, np.arange(8, dtype=I32))
    assert np.array_equal(order, [3, 5, 6, 2, 7, 0, 1, 4])
    assert np.array_equal(np.asarray(found).view(np.uint32), pattern[np.asarray(order)])
    assert np.array_equal(np.asarray(lax.sort(x)).view(np.uint32), pattern[np.asarray(order)])
    _, places = lax.top_k(x, 8)
    assert np.array_equal(places, [0, 4, 7, 2, 5, 6, 3, 1])


def test_every_bit_pattern_of_eight_bits() -> None:
    """Numbers come in their order, and NaNs last; the formats whose only NaN looks like a negative zero have it first."""
    for name in FLOAT8:
        dtype = jnp.dtype(name)
        if name.startswith("float4"):
            continue
        x = np.random.default_rng(1).permutation(256).astype(np.uint8).view(dtype)
        found = np.asarray(lax.sort(x)).astype(np.float32)
        nans = np.isnan(found)
        first = name.endswith("fnuz")
        assert np.array_equal(nans, np.sort(nans)[::-1] if first else np.sort(nans)), name
        assert (np.diff(found[~nans]) >= 0).all(), name
        top, places = lax.top_k(x, 256)
        assert bits(top) == bits(x[np.asarray(places)])
        total = np.asarray(top).astype(np.float32)
        assert (np.diff(total[~np.isnan(total)]) <= 0).all(), name
        assert np.array_equal(np.sort(np.asarray(top).view(np.uint8)), np.arange(256))


def test_several_keys_and_values_of_all_sizes() -> None:
    with enable_x64(True):
        for shape, axis in [((60,), 0), ((3, 50), 1), ((50, 3), 0), ((2, 70_000), 1), ((2, 200, 9), 1)]:
            keys = [values(name, shape, i) for i, name in enumerate(("int2", "float32", "uint8"))]
            others = [
                values(name, shape, 9) for name in ("bool", "float16", "float32", "float64", "complex128")
            ]
            out = lax.sort((*keys, *others), dimension=axis, num_keys=3)
            ranks = [np.where(np.isnan(k), np.inf, k + 0.0) for k in (key.astype(float) for key in keys)]
            ranks = [r for k, r in zip(keys, ranks) for r in (r, np.isnan(k.astype(float)))][::-1]
            # lexsort's last key decides first: each number's NaN-ness after its value, as infinity comes before NaN.
            ranks = [r for pair in zip(ranks[1::2], ranks[::2]) for r in pair]
            order = np.lexsort(ranks, axis=axis)
            for got, x in zip(out, (*keys, *others)):
                assert bits(got) == bits(np.take_along_axis(x, order, axis)), (shape, x.dtype)


@pytest.mark.parametrize("n", [40, 300, 5000, 300_000])
def test_the_largest_of_rows_of_any_length(n: int) -> None:
    for pattern, make in PATTERNS.items():
        with np.errstate(invalid="ignore"):
            x = make(n).astype(F32)
        whole = x.view(I32).astype(np.int64)
        total = np.where(
            whole < 0, -(2**31) - 1 - whole, whole
        )  # the larger a negative number's bits, the smaller it is
        order = np.argsort(-total, kind="stable")
        for k in {1, 5, 32, 33, n // 9, n // 7, n}:
            found, places = lax.top_k(x, k)
            assert np.array_equal(places, order[:k]), (pattern, k)
            assert bits(found) == bits(x[order[:k]]), (pattern, k)


def test_the_largest_along_any_dimension() -> None:
    x = values("float32", (4, 300, 7))
    for k in (2, 40, 300):
        for axis, moved in ((1, x), (0, x.transpose(1, 0, 2)), (2, x.transpose(0, 2, 1))):
            found, places = lax.top_k(np.ascontiguousarray(moved), k, axis=axis)
            back = {1: (0, 1, 2), 0: (1, 0, 2), 2: (0, 2, 1)}[axis]
            expected, at = lax.top_k(np.ascontiguousarray(x.transpose(0, 2, 1)), k)
            assert bits(np.asarray(found).transpose(back).transpose(0, 2, 1)) == bits(expected)
            assert np.array_equal(np.asarray(places).transpose(back).transpose(0, 2, 1), at)


def test_many_short_rows_and_columns() -> None:
    for shape in ((20_000, 5), (1000, 100), (3, 0), (0, 3)):
        x = np.random.default_rng(0).normal(size=shape).astype(F32)
        assert np.array_equal(lax.sort(x), np.sort(x))
        assert np.array_equal(lax.sort(x.T.copy(), 0), np.sort(x.T, 0))
        assert np.array_equal(jnp.argsort(x), np.argsort(x, kind="stable"))
        assert np.array_equal(jnp.argsort(x, axis=0), np.argsort(x, axis=0, kind="stable"))


def test_permutations_are_the_same() -> None:
    key = random.PRNGKey(3)
    rows = np.arange(60.0, dtype=F32).reshape(20, 3)
    same_by_both(lambda key: [random.permutation(key, 3000), random.permutation(key, rows, 1, True)], key)


def test_derivatives_and_batches() -> None:
    x = np.random.default_rng(0).permutation(60).astype(F32).reshape(4, 15)
    weights = np.arange(15, dtype=F32)
    gradient = anima.vmap(anima.grad(lambda row: lax.reduce_sum(lax.mul(lax.sort(row), weights), (0,))))
    assert np.array_equal(gradient(x), np.argsort(np.argsort(x)).astype(F32))
    assert np.array_equal(anima.jit(gradient)(x), np.argsort(np.argsort(x)).astype(F32))
    top = anima.jvp(lambda x: lax.top_k(x, 3)[0], (x,), (x * 2,))
    assert np.array_equal(top[0], -np.sort(-x)[:, :3])
    assert np.array_equal(top[1], -np.sort(-x)[:, :3] * 2)
    _, rows = lax.scan(lambda carry, row: (carry, lax.sort(row)), 0, x)
    assert np.array_equal(rows, np.sort(x))


# Programs written by hand.

ALLOWED = {"sort": "dimension = 0 : i64, num_keys = 1 : i64", "top_k": "axis = 0 : i64", "shuffle": ""}
MALFORMED = [
    ("sort", "", ["4xf32"], ["4xf32"], "attribute"),
    ("sort", "dimension = 0 : i32, num_keys = 1 : i64", ["4xf32"], ["4xf32"], "attribute"),
    ("sort", "dimension = 0 : i64", ["4xf32"], ["4xf32"], "attribute"),
    ("sort", "dimension = 1 : i64, num_keys = 1 : i64", ["4xf32"], ["4xf32"], "dimensions"),
    ("sort", "dimension = -1 : i64, num_keys = 1 : i64", ["4xf32"], ["4xf32"], "dimensions"),
    ("sort", "dimension = 0 : i64, num_keys = 0 : i64", ["4xf32"], ["4xf32"], "num_keys"),
    ("sort", "dimension = 0 : i64, num_keys = 2 : i64", ["4xf32"], ["4xf32"], "num_keys"),
    ("sort", None, [], ["4xf32"], "operands"),
    ("sort", None, ["4xf32"], ["4xf32", "4xf32"], "operands"),
    ("sort", None, ["4xf32"], ["5xf32"], "shapes"),
    ("sort", None, ["4xf32", "3xf32"], ["4xf32", "3xf32"], "shapes"),
    ("sort", None, ["4xf32"], ["4xi32"], "element type"),
    ("sort", None, ["f32"], ["f32"], "dimensions"),
    ("sort", None, ["4xi4"], ["4xi4"], "order"),
    ("top_k", "", ["4xf32"], ["2xf32", "2xi32"], "attribute"),
    ("top_k", "axis = 5 : i64", ["4xf32"], ["2xf32", "2xi32"], "dimensions"),
    ("top_k", None, ["4xf32"], ["2xf32"], "operands"),
    ("top_k", None, ["4xf32"], ["5xf32", "5xi32"], "shape"),
    ("top_k", None, ["4xf32"], ["2xf32", "3xi32"], "shape"),
    ("top_k", None, ["4x3xf32"], ["2x2xf32", "2x2xi32"], "shape"),
    ("top_k", None, ["4xf32"], ["2x1xf32", "2x1xi32"], "shape"),
    ("top_k", None, ["4xf32"], ["2xf64", "2xi32"], "element type"),
    ("top_k", None, ["4xf32"], ["2xf32", "2xi64"], "element type"),
    ("top_k", None, ["4xcomplex<f32>"], ["2xcomplex<f32>", "2xi32"], "order"),
    ("shuffle", None, [], ["4xi32", "4xui64"], "operands"),
    ("shuffle", None, ["4xui32"], ["4xi32"], "operands"),
    ("shuffle", None, ["4xui32"], ["5xi32", "4xui64"], "shapes"),
    ("shuffle", None, ["4xui32", "3xui32"], ["4xi32", "4xui64"], "shapes"),
    ("shuffle", None, ["4xui32"], ["4xi32", "3xui64"], "shapes"),
    ("shuffle", None, ["4xi32"], ["4xi32", "4xui64"], "element type"),
    ("shuffle", None, ["4xui32"], ["4xi64", "4xui64"], "element type"),
    ("shuffle", None, ["4xui32"], ["4xi32", "4xi64"], "element type"),
    ("shuffle", None, ["ui32"], ["i32", "ui64"], "dimensions"),
]


@pytest.mark.parametrize("name, attributes, operands, results, message", MALFORMED)
def test_malformed_calls_raise(
    name: str, attributes: str | None, operands: list[str], results: list[str], message: str
) -> None:
    _native.register_kernel(client("cpu"), f"anima_{name}")
    attributes = ALLOWED[name] if attributes is None else attributes
    constants = [
        f"%c{i} = stablehlo.constant dense<{'(0.0, 0.0)' if 'complex' in t else '0.0' if 'f' in t else '0'}> : tensor<{t}>"
        for i, t in enumerate(operands)
    ]
    left = ", ".join(f"%r{i}" for i in range(len(results)))
    given = ", ".join(f"%c{i}" for i in range(len(operands)))
    types = ", ".join(f"tensor<{t}>" for t in operands)
    made = ", ".join(f"tensor<{t}>" for t in results)
    text = f"""
    module @f {{
      func.func public @main() -> tensor<f32> {{
        {" ".join(constants)}
        {left} = "stablehlo.custom_call"({given}) {{call_target_name = "anima_{name}", api_version = 4 : i32,
          has_side_effect = true, backend_config = {{{attributes}}}}} : ({types}) -> ({made})
        %one = stablehlo.constant dense<1.0> : tensor<f32>
        return %one : tensor<f32>
      }}
    }}
    """
    executable = client("cpu").compile(text, encode_options())
    with pytest.raises(RuntimeError, match=message):
        np.asarray(executable.execute([[]], [((), F32, False)])[0][0])

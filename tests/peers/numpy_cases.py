"""Expressions in a NumPy-like module `np`, for which ours and JAX's must agree in shape, dtype and values."""

from __future__ import annotations

from collections.abc import Iterator

ARRAYS = {
    "bool": "np.array([True, False, True])",
    "uint8": "np.array([1, 2, 250], 'uint8')",
    "int8": "np.array([-3, 0, 100], 'int8')",
    "int32": "np.array([-7, 0, 5])",
    "bfloat16": "np.array([-1.5, 0.0, 3.0], 'bfloat16')",
    "float16": "np.array([0.5, -2.0, 1e2], 'float16')",
    "float32": "np.array([0.25, -1.5, np.inf])",
    "nan": "np.array([np.nan, 1.0, -0.0])",
    "complex64": "np.array([1 + 2j, -3j, 0.5])",
    "scalar": "3",
    "weak": "np.array(2.5)",
    "matrix": "np.arange(6.0).reshape(2, 3)",
    "empty": "np.zeros((0, 3))",
}

UNARY = [
    "abs",
    "negative",
    "positive",
    "sign",
    "square",
    "sqrt",
    "cbrt",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arctanh",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "conj",
    "real",
    "imag",
    "reciprocal",
    "deg2rad",
    "rad2deg",
    "sinc",
    "invert",
    "nan_to_num",
    "angle",
]

BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "fmod",
    "power",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "arctan2",
    "hypot",
    "logaddexp",
    "equal",
    "less",
    "greater_equal",
    "logical_and",
    "bitwise_and",
    "bitwise_or",
    "left_shift",
    "right_shift",
    "copysign",
    "nextafter",
    "heaviside",
    "isclose",
]

PAIRS = [
    ("int32", "scalar"), ("float32", "scalar"), ("int32", "weak"), ("bool", "scalar"), ("bool", "bool"), ("uint8", "int8"),
    ("bfloat16", "float16"), ("bfloat16", "weak"), ("float16", "int32"), ("complex64", "weak"), ("scalar", "uint8"),
    ("nan", "float32"), ("int8", "int8"), ("matrix", "nan"), ("empty", "float32"),
]  # fmt: skip

REDUCTIONS = [
    "sum",
    "prod",
    "max",
    "min",
    "mean",
    "var",
    "std",
    "argmax",
    "argmin",
    "ptp",
    "count_nonzero",
    "cumsum",
    "cumprod",
    "nansum",
    "nanmax",
    "nanmean",
]

OTHERS = """
np.array([1, 2.5, 1j])
np.array([True, 1])
np.array([np.float16(2), 1])
np.array([])
np.full(2, 3)
np.zeros_like(2.0, shape=(2,))
np.full_like(np.arange(3), 2.7)
np.arange(0, 1, 0.3)
np.arange(5, 0, -2)
np.linspace(0, 5, 6, dtype=int)
np.linspace(np.array([0.0, 1.0]), np.array([1.0, 3.0]), 3, axis=-1)
np.logspace(0, 3, 4, base=2)
np.tril(np.ones((3, 3)), -1)
np.diag(np.arange(3), -1)
np.trace(np.ones((2, 2), 'int8'))
np.concatenate([np.arange(2), np.arange(3.0)])
np.stack([np.arange(2, dtype='int8'), np.arange(2)], axis=-1)
np.where(np.array([True, False]), 1, 2.5)
np.where(np.array([1, 0]), np.arange(2), np.ones((2, 1)))
np.select([np.array([True, False]), np.array([True, True])], [np.array([1, 2]), np.array([3.0, 4.0])], 9)
np.clip(np.arange(5), 2.5, None)
np.nonzero(np.array([0, 3, 0, 4]), size=3, fill_value=9)
np.take(np.arange(5.0), np.array([0, -1, 7]))
np.take(np.arange(3), np.array([7]))
np.take_along_axis(np.arange(6).reshape(2, 3), np.array([[2], [7]]), axis=1)
np.unravel_index(np.array([3, 5, 9, -1]), (2, 3))
np.arange(5)[np.array([7, -7, -1])]
np.arange(5.0).at[np.array([0, 0, 9])].add(1)
np.arange(5).at[np.array([9])].set(5, mode='clip')
np.arange(4.0).at[np.array([1, 9])].get(mode='fill')
np.arange(4).at[1].divide(2)
np.arange(4).at[2].power(3)
np.repeat(np.arange(3), np.array([1, 0, 2]), total_repeat_length=5)
np.gradient(np.arange(5.0)**2, np.arange(5.0) * 3)
np.unwrap(np.array([0, 3, 6, 1]), period=8)
np.cumulative_sum(np.arange(3, dtype='int8'))
np.average(np.arange(4), weights=np.arange(4))
np.divmod(np.array([-7.5, 7.5]), 2)
np.frexp(np.array([8.0, 0.3, -5.0]))
np.packbits(np.array([1, 0, 1]))
np.gcd(np.array([12, -18]), 8)
np.linalg.norm(np.arange(6.0).reshape(2, 3), 1)
2 ** np.array([1, -1])
np.array([2, 3]) ** 2
np.array([True]) ** 2
1 / np.arange(3)
np.arange(3) % 0
np.array([1 + 1j]) < np.array([1 + 2j])
np.arange(3) @ np.arange(3)
np.array([True, False]) @ np.array([True, True])
round(np.array([1.26]), 1)
round(np.array([1.26]))
np.sort(np.array([3.0, np.nan, -0.0, 1.0]))
np.result_type(np.int8, 3)
np.result_type('bfloat16', 'float16')
np.add(np.ones(2), np.ones(3))
np.reshape(np.ones(6), (4, 2))
np.concatenate([np.ones(2), np.ones((2, 2))])
np.ones(3)[0, 0]
np.ones(3) + [1, 2, 3]
np.array('abc')
np.array([[1], [1, 2]])
np.max(np.zeros(0))
np.ones(3)[1.5]
np.array([2]) ** -1
np.subtract(True, True)
""".strip().splitlines()


def cases() -> Iterator[str]:
    """All expressions."""
    for name in UNARY:
        for array in ARRAYS.values():
            yield f"np.{name}({array})"
    for name in BINARY:
        for x, y in PAIRS:
            yield f"np.{name}({ARRAYS[x]}, {ARRAYS[y]})"
    for name in REDUCTIONS:
        for kind, array in ARRAYS.items():
            if kind != "complex64" or not name.startswith("arg"):  # a row of docs/differences.md
                yield f"np.{name}({array})"
        yield f"np.{name}({ARRAYS['matrix']}, axis=1)"
    yield from OTHERS

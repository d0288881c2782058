"""Expressions for the functions of `numpy` that `numpy_cases` leaves out; weak types and classes of errors count here."""

from __future__ import annotations

from collections.abc import Iterator

from tests.peers.numpy_cases import ARRAYS

UNARY = [
    "absolute",
    "acos",
    "acosh",
    "arccosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bitwise_count",
    "bitwise_invert",
    "bitwise_not",
    "conjugate",
    "degrees",
    "fabs",
    "iscomplex",
    "isneginf",
    "isposinf",
    "isreal",
    "modf",
    "radians",
    "signbit",
    "spacing",
    "i0",
    "sort_complex",
    "array_equal",
    "frexp",
]
BINARY = [
    "atan2",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "bitwise_xor",
    "divmod",
    "equal",
    "float_power",
    "gcd",
    "greater",
    "lcm",
    "less_equal",
    "ldexp",
    "logaddexp2",
    "logical_or",
    "logical_xor",
    "mod",
    "not_equal",
    "pow",
    "subtract",
    "true_divide",
    "allclose",
    "array_equal",
    "array_equiv",
    "union1d",
]
REDUCTIONS = [
    "all",
    "amax",
    "amin",
    "any",
    "argsort",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "flip",
    "median",
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmedian",
    "nanmin",
    "nanprod",
    "nanstd",
    "nanvar",
    "sort",
    "ravel",
    "squeeze",
    "flatnonzero",
    "argwhere",
    "unique",
    "unique_values",
    "unique_counts",
    "ediff1d",
    "trapezoid",
    "rot90",
    "unstack",
]
PAIRS = [
    ("int32", "scalar"), ("float32", "scalar"), ("int32", "weak"), ("bool", "bool"), ("uint8", "int8"), ("float16", "int32"),
    ("bfloat16", "float16"), ("complex64", "weak"), ("scalar", "weak"), ("int8", "int8"), ("matrix", "nan"),
    ("empty", "float32"), ("int32", "matrix"),
]  # fmt: skip

M = "np.arange(12.0).reshape(3, 4)"
V = "np.array([3.0, 1.0, 2.0, 1.0])"
I = "np.array([3, 1, 2, 1])"

OTHERS = f"""
np.append({I}, 2.5)
np.append({M}, {M}, axis=0)
np.append({M}, {V})
np.apply_along_axis(lambda r: r.sum(), 1, {M})
np.apply_over_axes(np.sum, {M}, (0, 1))
np.argpartition({I}, 2)
np.around({M} / 7, 2)
np.around({I}, -1)
np.array_repr(3)
np.array_split({M}, 3, axis=1)
np.array_split(np.arange(7), 3)
np.array_str(np.arange(3))
np.atleast_1d(2, 2.5)
np.atleast_2d({I})
np.atleast_3d({I})
np.bartlett(5)
np.blackman(5)
np.hamming(1)
np.hanning(0)
np.kaiser(4, 2.5)
np.bincount({I}, length=3)
np.bincount({I}, {V})
np.bincount({V})
np.block([[{M}, {M}], [np.ones((1, 8))]])
np.broadcast_arrays({I}, {M}, 2)
np.broadcast_shapes((2, 1), (3,))
np.broadcast_shapes((2, 4), (3,))
np.broadcast_to(2, (2, 2))
np.broadcast_to({I}, (3, 3))
np.can_cast('int32', 'float32')
np.can_cast('int8', 'bool', casting='unsafe')
np.choose(np.array([0, 1, 0]), [np.arange(3), np.arange(3.0)])
np.choose(np.array([0, 3, 0]), [np.arange(3), np.arange(3.0)])
np.choose(np.array([0, 3, -1]), [np.arange(3), np.arange(3.0)], mode='wrap')
np.clip()
np.clip(None, 0, 1)
np.clip({I}, max=2.5)
np.column_stack([{I}, {V}])
np.compress(np.array([True, False, True]), {M}, axis=0)
np.compress(np.array([True, False]), {I}, size=3, fill_value=9)
np.concat([{I}, {V}])
np.concat([{I}, {V}], axis=1)
np.convolve({I}, {V}, 'same')
np.convolve({I}, np.zeros(0))
np.correlate({I}, {I} * 1j, 'full')
np.copy({I}), np.copy(2.5)
np.corrcoef({M})
np.cov({M}, rowvar=False, ddof=0)
np.cov({V}, {V}, fweights={I})
np.cross(np.arange(3), np.arange(3.0) + 1)
np.cross(np.arange(4), np.arange(4))
np.delete({M}, 1, axis=0)
np.delete({I}, np.array([0, 0, 2]))
np.delete({I}, slice(0, 2))
np.diag_indices(3)
np.diag_indices_from({M})
np.diag_indices_from(np.ones((3, 3)))
np.diagflat({I}, 1)
np.diagonal({M}, 1)
np.digitize({V}, np.array([1.0, 2.0, 3.0]), right=True)
np.dot({I}, {V})
np.dot(2, {M})
np.dot({M}, {M})
np.dsplit(np.ones((1, 2, 4)), 2)
np.dstack([{I}, {V}])
np.ediff1d({I}, to_end=np.array([9]))
np.einsum('ij,j->i', {M}, {I})
np.einsum('ij->', {M})
np.einsum('ii->i', np.ones((2, 2), int))
np.einsum('ij,jk', {M}, {M})
np.einsum_path('ij,jk', np.ones((2, 3)), np.ones((3, 4)))[0]
np.empty((2, 0)).shape
np.empty_like({I}, shape=(0, 1))
np.expand_dims({I}, (0, 2))
np.expand_dims({I}, 3)
np.extract(np.array([True, False, True, True]), {I})
np.extract(np.array([True, False]), {I}, size=3, fill_value=7)
np.fill_diagonal(np.ones((3, 3)), {V}, inplace=False)
np.fill_diagonal(np.ones((3, 3)), 2)
np.fliplr({M}), np.flipud({M})
np.fliplr({I})
np.frombuffer(b'abcd', 'uint8', 2, 1)
np.fromfunction(lambda i, j: i + 2 * j, (2, 3))
np.fromfunction(lambda i: i, (3,), dtype=int)
np.fromiter(range(3), 'int32')
np.fromstring('1 2 3', dtype='float32', sep=' ')
np.frompyfunc(lambda x, y: x + y, 2, 1)({I}, 1.5)
np.frompyfunc(lambda x, y: x + y, 2, 1).reduce({M})
np.geomspace(1, 1000, 4)
np.geomspace(0, 1)
np.histogram({V}, 3)
np.histogram({V}, np.array([0.0, 1.5, 4.0]), weights={I}, density=True)
np.histogram2d({V}, {V}, 2)
np.histogram_bin_edges({I}, 3, range=(0, 6))
np.histogramdd({M}, 2)[0]
np.hsplit({M}, 2), np.vsplit({M}, 3)
np.hsplit({M}, 3)
np.hstack([{I}, {V}]), np.vstack([{I}, {V}])
np.identity(3, dtype='int8')
np.indices((2, 2), sparse=True)
np.inner({M}, {V})
np.insert({I}, 1, 2.7)
np.insert({M}, np.array([0, 2]), 9, axis=1)
np.interp({V}, np.array([0.0, 2.0, 4.0]), np.array([1, 3, 2]), left=-1)
np.interp({I}, np.arange(3), np.arange(3.0), period=2)
np.intersect1d({I}, np.array([1, 3, 5]), return_indices=True)
np.isdtype('float32', 'real floating')
np.isdtype('float32', 'unknown')
np.isin({I}, np.array([1, 9]), invert=True)
np.isrealobj({I}), np.iscomplexobj(1j)
np.isscalar(2.0), np.isscalar({I}), np.isscalar(np.array(1))
np.issubdtype('float32', np.inexact)
np.iterable({I}), np.iterable(np.array(1))
np.ix_({I}, np.array([True, False, True]))
np.kron({I}, np.ones((2, 2)))
np.lexsort(({I}, {V}))
np.mask_indices(3, np.triu, 1)
np.matmul({M}, {I})
np.matmul({M}, 2)
np.matrix_transpose({M})
np.matrix_transpose({I})
np.matvec({M}, {I}), np.vecmat(np.arange(3), {M}), np.vecdot({I}, {V} * 1j)
np.meshgrid(np.arange(2), np.arange(3.0), indexing='ij')
np.meshgrid(np.arange(2), np.arange(3.0), sparse=True)
np.moveaxis(np.ones((2, 3, 4)), 0, -1).shape
np.moveaxis({M}, 0, 5)
np.median({M}, axis=1, keepdims=True)
np.nanpercentile(np.array([1.0, np.nan, 3.0]), 40)
np.nanquantile(np.array([1.0, np.nan, 3.0]), np.array([0.2, 0.9]), method='lower')
np.ndim({M}), np.ndim(2)
np.ones_like(2), np.ones_like({I}, dtype='float16')
np.outer({I}, {V})
np.pad({I}, (1, 2)), np.pad({M}, 1, mode='reflect')
np.pad({I}, 1, mode='unknown')
np.partition({I}, 1)
np.percentile({M}, np.array([10, 90]), axis=0), np.quantile({I}, 0.3)
np.permute_dims({M}, (1, 0))
np.permute_dims({M}, (0, 0))
np.piecewise({V}, [{V} < 2, {V} > 2], [-1, lambda x: x * 2, 7])
np.place({I}, {I} > 1, np.array([8, 9]), inplace=False)
np.put({I}, np.array([0, 9]), 5, mode='clip', inplace=False)
np.put_along_axis({M}, np.array([[0], [1], [2]]), 9, 1, inplace=False)
np.poly({I}), np.poly(np.array([1j, -1j]))
np.polyadd({I}, {V}[:2]), np.polysub({I}, {V}[:2]), np.polymul({I}, {V})
np.polyder({I}, 2), np.polyint({V}, 2, k=np.array([1, 2]))
np.polydiv({V}, {V}[:2])
np.polyval({I}, 2), np.polyval({I}, {M})
np.polyfit(np.arange(4.0), {V}, 1)
np.polyfit(np.arange(4.0), {V}, 1, w={I} * 1.0, cov=True)
np.polyfit(np.arange(4.0), {V}, 1, full=True)[:4]
np.polyfit(np.arange(4.0), np.ones((4, 2)), 1, cov='unscaled')[1].shape
np.polyfit(np.arange(4.0), {V}, -1)
np.polyfit(np.arange(4.0), {V}[:2], 1)
np.polyfit(np.arange(4.0), {V}, 3, cov=True)
np.roots(np.array([1, -3, 2])), np.roots(np.array([0.0, 2.0, -4.0])), np.roots(np.array([]))
np.roots(np.array([0.0, 2.0, -4.0]), strip_zeros=False)
np.roots(np.ones((2, 2)))
np.promote_types('int8', 'uint8'), np.result_type(np.int8, 2.5)
np.result_type()
np.ravel({M}, order='F')
np.ravel_multi_index((np.array([0, 2]), np.array([1, 3])), (3, 4))
np.ravel_multi_index((np.array([0, 9]), np.array([1, 3])), (3, 4), mode='wrap')
np.resize({I}, (2, 3)), np.resize({I}, (0,))
np.roll({M}, (1, 2), axis=(0, 1)), np.rollaxis({M}, 1)
np.rot90({M}, 3)
np.rot90({I})
np.searchsorted(np.array([1, 2, 4]), {V}, side='right')
np.searchsorted({M}, 2)
np.setdiff1d({I}, np.array([1])), np.setxor1d({I}, np.array([1, 7]))
np.swapaxes({M}, 0, 1)
np.tensordot({M}, {M}, axes=([0], [0]))
np.tensordot({M}, {M}, axes=1)
np.tile({I}, (2, 1))
np.trapezoid({V}, dx=2)
np.tri(2, 3, 1, dtype='int8')
np.tril_indices(2, k=1), np.triu_indices(2, m=3)
np.tril_indices_from({M}), np.triu_indices_from({M}, 1)
np.trim_zeros(np.array([0, 1, 0, 2, 0]), 'f')
np.unique({I}, return_index=True, return_inverse=True, return_counts=True)
np.unique({M}, axis=0, size=4, fill_value=-1)
tuple(np.unique_all({I})), tuple(np.unique_counts({I})), tuple(np.unique_inverse({I}))
np.packbits(np.array([True, False, True])), np.unpackbits(np.array([5], 'uint8'))
np.unpackbits({I})
np.vander({I}, 3, increasing=True)
np.vdot({V} * 1j, {V} * 1j)
np.vectorize(lambda x, y: x * y)({I}, 2.5)
np.nextafter(x1=1.0, x2=2.0)
np.array([1], 'int32', True, 'K', 2)
np.array(1, 'int32', True, 'K', 2, None)
np.linalg.cross(np.arange(3), np.ones(3)), np.linalg.outer({I}, {I})
np.linalg.matmul({M}, {I}), np.linalg.tensordot({M}, {M}, axes=2), np.linalg.vecdot({I}, {V})
np.linalg.tensordot({M}, {M}, 2)
np.linalg.diagonal({M}), np.linalg.matrix_transpose({M})
np.linalg.matrix_norm({M}), np.linalg.vector_norm({M}, ord=1)
np.linalg.matrix_power(np.ones((2, 2)), 3), np.linalg.multi_dot([{M}, {V}])
np.add({I}, 1, out=None, where=None)
np.add({I})
np.add({I}, 1, 2)
np.add({I}, y=1)
np.add({I}, 1, where={I} > 1)
np.add.at({I}, 0, 1)
np.add.reduceat({V}, np.array([0, 2, 1]))
np.add.outer(1, 2)
np.negative.reduce({I})
np.__array_api_version__
np.__array_namespace_info__().capabilities()
np.__array_namespace_info__().default_dtypes()
np.__array_namespace_info__().dtypes(kind='integral')
np.__array_namespace_info__().dtypes(kind='unknown')
""".strip().splitlines()

UFUNCS = [
    "add",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


def cases() -> Iterator[str]:
    """All expressions."""
    for name in UNARY:
        if name != "array_equal":
            yield from (f"np.{name}({array})" for array in ARRAYS.values())
    for name in BINARY:
        yield from (f"np.{name}({ARRAYS[x]}, {ARRAYS[y]})" for x, y in PAIRS)
    for name in REDUCTIONS:
        yield from (f"np.{name}({array})" for array in ARRAYS.values())
    yield from OTHERS
    for name in UFUNCS:
        for array in (V if name.startswith("logadd") else I, ARRAYS["bool"]):
            yield f"np.{name}.identity, np.{name}.nin, np.{name}.nargs"
            yield f"np.{name}.reduce({array})"
            yield f"np.{name}.reduce({array}, initial=2, where=np.array(True), keepdims=True)"
            yield f"np.{name}.reduce({array}, where=np.array(True))"
            yield f"np.{name}.reduce({array}[:0])"
            yield f"np.{name}.accumulate({array})"
            yield f"np.{name}.accumulate({array}, axis=1)"
            yield f"np.{name}.outer({array}, {array})"
            yield f"np.{name}.at({array}, np.array([0, 1, 0]), {array}[:3], inplace=False)"
            yield f"np.{name}.reduceat({array}, np.array([0, 2, 1]))"

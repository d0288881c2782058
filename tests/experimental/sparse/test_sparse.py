"""Sparse arrays against dense NumPy, SciPy and finite differences, in every layout."""

from __future__ import annotations

import itertools
import warnings

import numpy as onp
import pytest
import scipy.sparse

import anima
import anima.numpy as np
from anima import errors, lax
from anima.experimental import sparse
from anima.experimental.sparse import BCOO, BCSR, COO, CSC, CSR

RNG = onp.random.RandomState(0)
X = (RNG.randn(3, 4, 2) * (RNG.rand(3, 4, 2) < 0.5)).astype(onp.float32)
A = X[:, :, 0]
LAYOUTS = [(n, d) for n in range(4) for d in range(4 - n)]
FEW = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0)]


def made(x, n_batch=0, n_dense=0, more=1):
    """With an element of padding in each batch."""
    return BCOO.fromdense(
        x,
        nse=BCOO.fromdense(x, n_batch=n_batch, n_dense=n_dense).nse + more,
        n_batch=n_batch,
        n_dense=n_dense,
    )


def same(found, expected, **kwargs):
    dense = onp.asarray(sparse.todense(found))
    assert dense.shape == onp.shape(expected)
    onp.testing.assert_allclose(dense, expected, rtol=1e-5, atol=1e-6, **kwargs)


@pytest.mark.parametrize("n_batch, n_dense", LAYOUTS)
def test_layouts_and_orders(n_batch: int, n_dense: int) -> None:
    m = made(X, n_batch, n_dense)
    assert (m.shape, m.n_batch, m.n_dense, m.n_sparse) == (X.shape, n_batch, n_dense, 3 - n_batch - n_dense)
    same(m, X)
    same(m.sort_indices(), X)
    same(m.sum_duplicates(), X)
    onp.testing.assert_array_equal(sparse.bcoo_extract(m, X).data, m.data)
    for axes in ((0,), (1, 2), (0, 1, 2)):
        same(sparse.bcoo_reduce_sum(m, axes=axes), X.sum(axes))
        same(sparse.bcoo_rev(m, axes), onp.flip(X, axes))


@pytest.mark.parametrize("old, new", [*itertools.product(FEW, FEW)])
def test_update_layout(old, new) -> None:
    found = made(X, *old).update_layout(n_batch=new[0], n_dense=new[1], on_inefficient=None)
    assert (found.n_batch, found.n_dense) == new
    same(found, X)


@pytest.mark.parametrize("n_batch, n_dense", FEW)
def test_rearranging(n_batch: int, n_dense: int) -> None:
    m = made(X, n_batch, n_dense)
    cut = sparse.bcoo_slice(m, start_indices=(1, 0, 1), limit_indices=(3, 4, 2), strides=(1, 2, 1))
    same(cut, X[1:3, 0:4:2, 1:2])
    same(sparse.bcoo_squeeze(cut, dimensions=(2,)), X[1:3, 0:4:2, 1])
    same(sparse.bcoo_dynamic_slice(m, (1, np.array(9), 0), (1, 2, 2)), X[1:2, 2:4])
    for axis in range(3):
        same(sparse.bcoo_concatenate([m, m[:]], dimension=axis), onp.concatenate([X, X], axis))
    for shape, to in (((5, 3, 4, 2), (1, 2, 3)), ((3, 2, 4, 2), (0, 2, 3)), ((3, 4, 2, 2), (0, 1, 2))):
        expected = onp.asarray(lax.broadcast_in_dim(X, shape, to))
        same(sparse.bcoo_broadcast_in_dim(m, shape=shape, broadcast_dimensions=to), expected)
    same(sparse.bcoo_multiply_sparse(m, m), X * X)
    same(m * (X[:1] + 2), X * (X[:1] + 2))
    same(m.reshape(X.shape), X)


def test_transpose_and_reshape() -> None:
    for order in itertools.permutations(range(3)):
        same(made(X).transpose(order), X.transpose(order))
    for shape in ((24,), (6, 4), (4, 3, 2), (1, 24), (2, 3, 2, 2)):
        same(made(X).reshape(shape), X.reshape(shape))
    same(made(X, 1).reshape(3, 8), X.reshape(3, 8))
    same(made(X, 0, 1).reshape(12, 2), X.reshape(12, 2))
    with pytest.raises(ValueError, match="cannot mix batch and sparse"):
        made(X, 1).reshape(6, 4)
    with pytest.raises(NotImplementedError, match="batch axes with non-batch"):
        made(X, 1).transpose((1, 0, 2))


@pytest.mark.parametrize("n_batch, n_dense", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize(
    "left, batch", [((1,), ()), ((0, 2), ()), ((2,), (0,)), ((1,), (0, 2)), ((), (1,)), ((0, 1, 2), ())]
)
def test_contractions(n_batch: int, n_dense: int, left, batch) -> None:
    y = RNG.randn(*[X.shape[i] for i in left], 2, *[X.shape[i] for i in batch]).astype(onp.float32)
    right = tuple(range(len(left))), tuple(range(len(left) + 1, y.ndim))
    numbers = ((left, right[0]), (batch, right[1]))
    m = made(X, n_batch, n_dense)
    same(
        sparse.bcoo_dot_general(m, y, dimension_numbers=numbers), onp.asarray(lax.dot_general(X, y, numbers))
    )
    swapped = ((right[0], left), (right[1], batch))
    same(
        sparse.bcoo_dot_general(y, m, dimension_numbers=swapped), onp.asarray(lax.dot_general(y, X, swapped))
    )


def test_products_of_two_sparse_arrays() -> None:
    same(made(A) @ made(A.T), A @ A.T)
    same(made(A[0]) @ made(A.T), A[0] @ A.T)
    same(made(A[0]) @ made(A[0]), A[0] @ A[0])
    numbers = (((2,), (2,)), ((0,), (0,)))
    same(
        sparse.bcoo_dot_general(made(X, 1), made(X, 1), dimension_numbers=numbers),
        onp.asarray(lax.dot_general(X, X, numbers)),
    )
    found = sparse.bcoo_dot_general_sampled(
        A, A.T, np.array([[0, 0], [2, 1]]), dimension_numbers=(((1,), (0,)), ((), ()))
    )
    same(found, (A @ A.T)[[0, 2], [0, 1]])


def test_convolution() -> None:
    x, w = RNG.randn(9).astype("f") * (onp.arange(9) % 3 > 0), RNG.randn(4).astype("f")
    for padding, cut in (("SAME", slice(2, 11)), ("VALID", slice(3, 9)), ([(3, 3)], slice(0, 12))):
        for right in (w[None, None], made(w[None, None])):
            y = sparse.bcoo_conv_general_dilated(
                made(x[None, None]), right, window_strides=(1,), padding=padding
            )
            same(y, onp.convolve(x, w[::-1])[cut][None, None])


@pytest.mark.parametrize(
    "fun",
    [
        lambda m: m * 2, lambda m: 2 * m, lambda m: m / 4, lambda m: -m, lambda m: +m, abs, lambda m: m**2, lambda m: m + m.T.T,
        lambda m: m - m * 3, lambda m: m + A, lambda m: A * m, lambda m: A.T @ m, lambda m: m @ A.T, lambda m: m.sum(),
        lambda m: m.sum(1), lambda m: m.sum(0, keepdims=True), lambda m: m[1], lambda m: m[1, 2], lambda m: m[:, ::2],
        lambda m: m[..., None], lambda m: m[None], lambda m: m[-1], lambda m: m[::-1], lambda m: m[onp.array([2, 0])],
        lambda m: m.reshape(2, -1), lambda m: m.reshape((4, 3), order="F"), lambda m: m.astype("int32"), lambda m: m.T,
        lambda m: m / (A * A + 1), lambda m: [*m][1],
    ],
)  # fmt: skip
def test_operators(fun) -> None:
    same(fun(made(A)), fun(A))


def test_what_would_be_dense_is_refused() -> None:
    m = made(A)
    for fun in (
        lambda: m + 1,
        lambda: 2 / m,
        lambda: m == 1,
        lambda: m**0,
        lambda: m < m,
        lambda: sparse.sparsify(np.exp)(m),
    ):
        with pytest.raises(NotImplementedError, match="dense"):
            fun()
    with pytest.raises(TypeError, match="got BCOO"):
        np.sin(m)
    with pytest.raises(sparse.SparseEfficiencyError):
        m.update_layout(n_batch=1)
    with pytest.warns(sparse.SparseEfficiencyWarning):
        m.update_layout(n_batch=1, on_inefficient="warn")
    with pytest.raises(TypeError, match="unhashable"):
        hash(m)


def test_duplicates_padding_and_bad_buffers() -> None:
    places = onp.array([[0, 1], [2, 0], [0, 1], [1, 1], [3, 4]])
    m = BCOO((onp.array([1, 3, 2, 0, 9], "f"), places), shape=(3, 4))
    expected = scipy.sparse.coo_matrix((m.data[:4], places[:4].T), shape=(3, 4)).toarray()
    same(m, expected)
    assert m.sum_duplicates().indices.tolist() == [[0, 1], [2, 0]]
    assert m.sum_duplicates(remove_zeros=False).nse == 3
    padded = m.sum_duplicates(nse=4)
    assert padded.indices.tolist() == [[0, 1], [2, 0], [3, 4], [3, 4]] and padded.unique_indices
    same(m.sum(), 6)
    same(m @ onp.ones(4, "f"), expected.sum(1))
    first = sparse.bcoo_extract(m, A).data
    onp.testing.assert_array_equal(first, [A[0, 1], A[2, 0], 0, A[1, 1], 0])
    for data, indices in (
        (onp.ones(3), onp.zeros((4, 2), int)),
        (onp.ones(3), onp.zeros(3, int)),
        (onp.ones(3), onp.zeros((3, 3), int)),
    ):
        with pytest.raises(ValueError, match="BCOO"):
            BCOO((data, indices), shape=(2, 3))
    with pytest.raises(TypeError, match="integers"):
        BCOO((onp.ones(3), onp.zeros((3, 2))), shape=(2, 3))


def test_traced() -> None:
    m, v = made(A), onp.ones(4, "f")
    same(anima.jit(lambda m, v: m @ v)(m, v), A @ v)
    assert anima.jit(lambda m: m)(m).nse == m.nse
    with pytest.raises(errors.ConcretizationTypeError, match="nse"):
        anima.jit(BCOO.fromdense)(A)
    with pytest.raises(ValueError, match="nse must be specified"):
        anima.jit(lambda m: m.sum_duplicates())(m)
    batched = made(X, 1)
    assert anima.vmap(lambda m: m)(batched).shape == X.shape
    same(anima.vmap(lambda m: m.sum(0))(batched), X.sum(1))
    same(anima.vmap(lambda x: BCOO.fromdense(x, nse=5))(A), A)
    with pytest.raises(ValueError, match="n_batch=0"):
        anima.vmap(lambda m: m.todense())(m)
    assert repr(m) == f"BCOO(float32[3, 4], nse={m.nse})"


def test_derivatives() -> None:
    m, v = made(A, more=0), RNG.randn(4).astype("f")
    by_m, by_v = sparse.grad(lambda m, v: ((m @ v) ** 2).sum(), (0, 1))(m, v)
    dense = anima.grad(lambda a, v: ((a @ v) ** 2).sum(), (0, 1))(A, v)
    same(by_m, onp.asarray(dense[0]) * (A != 0))
    same(by_v, dense[1])
    value, gradient = sparse.value_and_grad(lambda m: (m.todense() ** 2).sum())(m)
    same(value, (A**2).sum())
    same(gradient, 2 * A)
    full = onp.asarray(anima.jacfwd(lambda a: a @ v)(A)) * (A != 0)
    same(sparse.jacfwd(lambda m: m @ v)(m), full)
    same(sparse.jacrev(lambda m: m @ v)(m), full)
    with anima.enable_x64(True):
        a = A.astype(float)
        of = lambda d: (
            sparse.sparsify(lambda m: np.sin(m) @ (m.T @ np.ones(3)))(BCOO((d, m.indices), shape=A.shape))
            ** 2
        ).sum()
        anima.test_util.check_grads(of, (np.asarray(a[a != 0]),), order=2)


def test_sparsify() -> None:
    m, v = made(A), onp.ones(3, "f")
    run = sparse.sparsify
    same(
        run(lambda x, v: lax.fori_loop(0, 2, lambda i, v: x @ (x.T @ v), v))(m, v),
        A @ (A.T @ (A @ (A.T @ v))),
    )
    same(run(lambda x: lax.cond(True, lambda x: x * 2, lambda x: x, x))(m), A * 2)
    same(run(lambda x: lax.scan(lambda c, r: (c + r.sum(), None), np.float32(0), x)[0])(made(X, 1)), X.sum())
    same(run(anima.jit(lambda x: np.sin(x) * 3))(m), onp.sin(A) * 3)
    same(run(lambda x: np.stack([x, x]))(m), onp.stack([A, A]))
    same(run(lambda x, y: np.einsum("ij,jk->ki", x, y))(m, A.T), (A @ A.T).T)
    same(run(lambda x: sparse.todense(x) + 1)(m), A + 1)
    same(run(np.linalg.norm)(m), onp.linalg.norm(A))
    seen = []
    same(run(lambda x: (seen.append(type(x)), np.tanh(x))[1], use_tracer=True)(m), onp.tanh(A))
    assert seen == [sparse.SparseTracer]
    assert run(lambda x, y: y if y > 0 else x, use_tracer=True)(m, 1.0) == 1
    twice = BCOO((onp.array([1, 2], "f"), onp.array([[1], [1]])), shape=(3,))
    same(run(np.sin)(twice), onp.sin([0, 3, 0]))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int32", "bfloat16", "float16", "float32", "complex64"]
)
def test_dtypes(dtype: str) -> None:
    x = (A * 4).astype(anima.dtypes.dtype(dtype) if hasattr(anima.dtypes, "dtype") else np.dtype(dtype))
    m = BCOO.fromdense(x)
    assert m.dtype == x.dtype and m.todense().dtype == x.dtype
    onp.testing.assert_array_equal(onp.asarray(m.todense()), x)
    if dtype != "bool":
        y = onp.ones(4).astype(x.dtype)
        onp.testing.assert_allclose(
            onp.asarray(m @ y).astype(complex),
            onp.asarray(np.matmul(x, y)).astype(complex),
            rtol=2e-2,
            atol=0.1,
        )


@pytest.mark.parametrize("kind", [COO, CSR, CSC, BCSR])
def test_other_formats(kind) -> None:
    m = kind.fromdense(A)
    same(m, A)
    same(m @ onp.ones(4, "f"), A.sum(1))
    same(m @ A.T, A @ A.T)
    same(anima.jit(lambda m, v: m @ v)(m, onp.ones(4, "f")), A.sum(1))
    leaves, tree = anima.tree.flatten(m)
    same(anima.tree.unflatten(tree, leaves), A)
    same(kind.fromdense(A, nse=m.nse + 2) @ onp.ones(4, "f"), A.sum(1))
    with pytest.raises(NotImplementedError):
        m * 2
    if kind is not BCSR:
        same(m.T @ onp.ones(3, "f"), A.sum(0))
        with pytest.raises(NotImplementedError):
            m @ m
    if kind in (CSR, CSC):
        theirs = getattr(scipy.sparse, f"{kind.__name__.lower()}_matrix")(A)
        for name in ("data", "indices", "indptr"):
            onp.testing.assert_array_equal(getattr(m, name), getattr(theirs, name))


def test_compressed_batches() -> None:
    m = BCSR.fromdense(X[..., 0][None].repeat(2, 0), n_batch=1)
    same(m, X[..., 0][None].repeat(2, 0))
    same(BCSR.fromdense(X, n_batch=1), X)
    same(BCSR.fromdense(X, n_dense=1), X)
    same(sparse.bcsr_concatenate([BCSR.fromdense(A)] * 2, dimension=0), onp.concatenate([A, A]))
    same(BCSR.from_bcoo(made(A).T), A.T)
    with pytest.raises(ValueError, match="2 sparse dimensions"):
        BCSR.fromdense(X)


def test_from_scipy() -> None:
    for form in ("csr", "coo", "csc"):
        theirs = scipy.sparse.csr_matrix(A).asformat(form)
        same(BCOO.from_scipy_sparse(theirs), A)
        same(BCSR.from_scipy_sparse(theirs), A)
    assert BCOO.from_scipy_sparse(theirs, index_dtype="int16").indices.dtype == "int16"


@pytest.mark.parametrize("form", ["bcoo", "bcsr", "coo", "csr", "csc"])
def test_created(form: str) -> None:
    for k in (-1, 0, 1, 9):
        same(sparse.eye(3, 4, k, sparse_format=form), onp.eye(3, 4, k))
    assert sparse.empty((3, 4), "int8", sparse_format=form).nse == 0
    with pytest.raises(ValueError, match="sparse_format"):
        sparse.empty((3, 4), sparse_format="x")
    same(sparse.eye(3, n_batch=1), onp.eye(3))
    for n_batch, n_dense in ((0, 0), (1, 0), (1, 1)):
        m = sparse.random_bcoo(
            anima.random.key(1), (4, 5, 3), nse=0.5, n_batch=n_batch, n_dense=n_dense, sorted_indices=True
        )
        assert m.n_batch == n_batch and m.n_dense == n_dense and m.sum_duplicates().nse == m.nse
    with pytest.raises(ValueError, match="nse"):
        sparse.random_bcoo(anima.random.key(1), (2, 2), nse=5)


def test_zero_sizes() -> None:
    for shape in ((0, 4), (3, 0), (0, 0)):
        x = onp.zeros(shape, "f")
        same(BCOO.fromdense(x), x)
        same(BCOO.fromdense(x).sum_duplicates(), x)
        same(BCOO.fromdense(x) @ onp.ones(shape[1], "f"), onp.zeros(shape[0]))


def test_no_warnings_of_ordinary_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same((made(A) @ made(A).T).sum_duplicates(), A @ A.T)

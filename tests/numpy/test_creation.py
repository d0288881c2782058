"""Arrays from values and patterns."""

from __future__ import annotations

import io

import numpy
import pytest

import anima
import anima.numpy as np
from anima import _native, errors
from tests.numpy.support import assert_same, check


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        [1.5, 2],
        [[True], [False]],
        [],
        [[]],
        (1, (2)),
        [1, 2j],
        range(3),
        5,
        2.5,
        True,
        numpy.float32(3),
    ],
)
def test_array_of_python_values(value: object) -> None:
    assert_same(np.array(value), numpy.array(value))
    assert_same(np.asarray(value), numpy.asarray(value))


def test_array_of_arrays() -> None:
    x = np.arange(2.0)
    assert_same(np.array([x, x]), numpy.array([[0, 1], [0, 1]], "float32"))
    assert np.array([np.float16(1), 2]).dtype == np.float16
    assert np.array([np.float16(1), 2], dtype=int).dtype == np.int32
    assert np.array([[x[0], 1.0], [2, x[1]]]).shape == (2, 2)
    assert np.array(x, ndmin=3).shape == (1, 1, 2)


def test_array_of_tracers() -> None:
    fun = lambda x: np.array([[x, 1.0], [2, x * 2]])
    assert anima.jit(fun)(3.0).tolist() == [[3, 1], [2, 6]]
    assert anima.jacfwd(fun)(3.0).tolist() == [[1, 0], [0, 2]]
    assert anima.vmap(lambda x: np.stack([x, x]))(np.arange(3)).shape == (3, 2)
    with pytest.raises(ValueError, match="ragged"):
        anima.jit(lambda x: np.array([[x], [x, x]]))(1.0)


def test_copies_are_committed_as_their_array_is() -> None:
    x = np.arange(3.0)
    there = anima.device_put(x, anima.devices()[0])
    for made in (np.array, np.copy, lambda x: x.copy(), lambda x: np.asarray(x, copy=True)):
        assert not made(x).committed and made(there).committed
        assert made(x) is not x and made(x).unsafe_buffer_pointer() != x.unsafe_buffer_pointer()


def test_arrays_do_not_share_with_numpy() -> None:
    host = numpy.arange(3.0, dtype="float32")
    for make in (np.array, np.asarray):
        x = make(host)
        host[0] = 9
        assert x[0] == 0
        host[0] = 0
    x = np.arange(3)
    assert np.asarray(x) is x
    assert np.array(x) is not x
    assert np.array(x, copy=False) is x


@pytest.mark.parametrize(
    ("value", "error"),
    [("text", TypeError), (None, ValueError), ([None], ValueError), ([[1], [1, 2]], ValueError), ({1: 2}, TypeError),
     (object(), TypeError), (numpy.array(["a"]), TypeError), ([object()], TypeError), (b"ab", TypeError)],
)  # fmt: skip
def test_values_that_make_no_array(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        np.array(value)


def test_constant_fill() -> None:
    check(lambda np: np.zeros((2, 3), "float32"))
    check(lambda np: np.ones((2,), "int8"))
    check(lambda np: np.full((2, 2), 7, "int32"))
    check(lambda np: np.full((2, 3), numpy.arange(3, dtype="int32")))
    assert np.zeros(3).dtype == np.float32
    assert np.full(2, 3).weak_type
    assert np.zeros((0, 3)).shape == (0, 3)
    assert np.empty((2,), bool).dtype == bool
    assert np.zeros_like(2.0).weak_type
    assert np.ones_like(np.arange(3), shape=(2,)).shape == (2,)
    assert np.full_like(np.arange(3), 2.7).tolist() == [2, 2, 2]
    assert np.zeros_like(anima.ShapeDtypeStruct((2,), np.int8)).dtype == np.int8
    assert np.zeros_like(numpy.zeros(2, anima.dtypes.float0)).dtype == anima.dtypes.float0
    large = np.ones((300, 300))
    assert float(large.sum()) == 90000


@pytest.mark.cpu
def test_fill_without_compiling() -> None:
    np.zeros(3), np.arange(4), np.eye(2), np.array([1, 2])
    count = _native.compile_count()
    (
        np.zeros(4),
        np.ones((2, 2), int),
        np.full(5, 2),
        np.arange(7),
        np.arange(1.0, 3),
        np.eye(5),
        np.array([[1.0]]),
    )
    assert _native.compile_count() == count


def test_shapes_must_be_concrete() -> None:
    for make in (np.zeros, np.ones, lambda n: np.full(n, 2), lambda n: np.ones((2, n))):
        with pytest.raises(errors.ShapeConcretizationError, match=r"^full requires shapes to be concrete"):
            anima.jit(make)(3)
    for make in (np.arange, np.eye, lambda n: np.linspace(0, 1, n)):
        with pytest.raises(errors.ShapeConcretizationError):
            anima.jit(make)(3)


@pytest.mark.parametrize("shape", [(2, -1), "a", (2.5,), None])
def test_bad_shapes(shape: object) -> None:
    with pytest.raises(TypeError):
        np.zeros(shape)


def test_64_bit_requests_warn() -> None:
    with pytest.warns(UserWarning, match="float64 in zeros is not available"):
        assert np.zeros(2, np.float64).dtype == np.float32
    with pytest.warns(UserWarning, match="int64 in asarray"):
        np.asarray([1], "int64")
    assert np.zeros(2, float).dtype == np.float32


@pytest.mark.parametrize(
    "args",
    [(5,), (0,), (-3,), (2, 7), (7, 2), (1, 10, 3), (10, 1, -3), (2.5,), (0.0, 1.0, 0.3), (1, 2, 0.25), (5000,), (0, 9000, 2)],
)  # fmt: skip
def test_arange(args: tuple[float, ...]) -> None:
    check(lambda np: np.arange(*args), 1e-6)


def test_arange_of_dtypes() -> None:
    assert np.arange(3, dtype=np.bfloat16).dtype == np.bfloat16
    assert np.arange(np.int8(3)).dtype == np.int8
    with pytest.raises(ValueError, match="zero"):
        np.arange(1, 2, 0)
    with pytest.raises(ValueError):
        np.arange(1j)


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 5])
def test_linspace(num: int, endpoint: bool) -> None:
    check(lambda np: np.linspace(-1.0, 4.0, num, endpoint=endpoint), 1e-6)
    check(lambda np: np.linspace(0, 10, num, endpoint=endpoint, dtype="int32"))
    low, high = numpy.array([0.0, 1.0], "float32"), numpy.array([[1.0], [2.0]], "float32")
    check(lambda np: np.linspace(low, high, num, endpoint=endpoint, axis=-1), 1e-6)


def test_other_spacings() -> None:
    check(lambda np: np.logspace(0, 3, 4), 1e-5)
    check(lambda np: np.logspace(0, 3, 4, base=2.0), 1e-5)
    check(lambda np: np.geomspace(1.0, 1000.0, 4), 1e-5)
    check(lambda np: np.geomspace(-1.0, -8.0, 4), 1e-5)
    values, step = np.linspace(0, 1, 5, retstep=True)
    assert float(step) == 0.25
    assert values[-1] == 1
    with pytest.raises(ValueError, match="negative"):
        np.linspace(0, 1, -1)


def test_patterns() -> None:
    for make in (
        lambda np: np.eye(3, dtype="float32"),
        lambda np: np.eye(2, 4, 1, dtype="int32"),
        lambda np: np.eye(3, k=-1, dtype="int8"),
        lambda np: np.identity(2, dtype="float32"),
        lambda np: np.tri(3, 4, -1, dtype="float32"),
        lambda np: np.tril(numpy.arange(12, dtype="int32").reshape(3, 4), 1),
        lambda np: np.triu(numpy.arange(24, dtype="int32").reshape(2, 3, 4), -1),
        lambda np: np.diag(numpy.arange(3, dtype="int32"), -2),
        lambda np: np.diag(numpy.arange(12, dtype="int32").reshape(3, 4), 1),
        lambda np: np.diagflat(numpy.arange(4, dtype="int32").reshape(2, 2), 1),
        lambda np: np.diagonal(numpy.arange(24, dtype="int32").reshape(2, 3, 4), -1, 2, 0),
        lambda np: np.trace(numpy.arange(24, dtype="int32").reshape(2, 3, 4), 1),
        lambda np: np.meshgrid(numpy.arange(2, dtype="int32"), numpy.arange(3, dtype="int32")),
        lambda np: np.meshgrid(
            *[numpy.arange(n, dtype="int32") for n in (2, 3, 4)], indexing="ij", sparse=True
        ),
        lambda np: np.indices((2, 3), dtype="int32"),
        lambda np: np.indices((2, 3), dtype="int32", sparse=True),
        lambda np: np.tril_indices(3, 1, 4),
        lambda np: np.triu_indices(3, -1),
        lambda np: np.diag_indices(3),
        lambda np: np.mgrid[0:2, 0:3],
        lambda np: np.ogrid[0:2, 0:3],
        lambda np: np.r_[1:4, 0, numpy.array([5])],
        lambda np: np.c_[numpy.arange(2), numpy.arange(2)],
        lambda np: np.bartlett(5),
        lambda np: np.hanning(6),
        lambda np: np.hamming(1),
        lambda np: np.blackman(4),
    ):
        check(make, 1e-6)
    check(lambda np: np.fromfunction(lambda i, j: i * 2 + j, (2, 3), dtype=int))


def test_patterns_in_a_trace_are_no_constants() -> None:
    for make in (lambda: np.eye(30), lambda: np.arange(100), lambda: np.zeros((20, 20)), lambda: np.tri(30)):
        assert not anima.make_jaxpr(make)().consts


def test_files_and_buffers() -> None:
    for x in (np.arange(3), np.ones((2, 2), np.bfloat16)):
        file = io.BytesIO()
        np.save(file, x)
        file.seek(0)
        assert_same(np.load(file), numpy.asarray(x))
    assert np.frombuffer(b"ab", np.uint8).tolist() == [97, 98]
    assert np.fromiter(range(3), int).tolist() == [0, 1, 2]
    assert np.fromstring("1 2", int, sep=" ").tolist() == [1, 2]
    assert np.from_dlpack(numpy.arange(3, dtype="int32")).tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="__dlpack__"):
        np.from_dlpack([1])


@pytest.mark.parametrize("dtype", ["int8", "uint32", "float32", "bfloat16", "complex64"])
def test_text_is_read_as_numbers_of_a_dtype_that_is_given(dtype: str) -> None:
    for value in ("1", b"1", ["0", "1"], numpy.array([["1"]]), (0, "1")):
        for made in (np.array(value, dtype), np.asarray(value, dtype=dtype), getattr(np, dtype)(value)):
            assert (
                made.dtype == dtype and made.tolist() == numpy.array(value, dtype="i4").astype("c8").tolist()
            )
    assert np.float32("1.5") == 1.5 and np.complex64("2j") == 2j
    for refused in (lambda: np.int32("1.5"), lambda: np.float32("one"), lambda: np.array(["a"], "int32")):
        with pytest.raises(ValueError):
            refused()
    with pytest.raises(TypeError, match="an object of type str is not an array"):
        np.array("1")

"""The rows of `docs/differences.md` about what is looked at, when, and in which order."""

from __future__ import annotations

import jax
import jax.nn
import jax.random
import ml_dtypes
import numpy
import pytest

import anima
import anima.nn
import anima.random
from anima.errors import ArgumentError, PluginError

F8, INT2 = (numpy.dtype(kind) for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.int2))


def traced(lib, fun, *dtypes: object) -> object:
    """The result's type for 2x2 matrices, or vectors, of the dtypes."""
    return lib.eval_shape(fun, *[lib.ShapeDtypeStruct((2, 2), dtype) for dtype in dtypes])


def conv_checks(run_python, tmp_path) -> None:
    x, kernel = numpy.ones((1, 1, 4), "float32"), numpy.ones((1, 1, 2), "float32")

    def conv(lib, strides: tuple[int, ...], **more: object) -> object:
        return lib.lax.conv_general_dilated(x, kernel, strides, "VALID", **more)

    for strides, more in (((-1,), {}), ((1,), {"rhs_dilation": (1, 1)})):
        jax.eval_shape(lambda strides=strides, more=more: conv(jax, strides, **more))
        with pytest.raises(ValueError, match="verifier"):
            conv(jax, strides, **more)
        with pytest.raises(TypeError, match="window_strides|rhs_dilation"):
            anima.eval_shape(lambda strides=strides, more=more: conv(anima, strides, **more))
    for lib in (jax, anima):
        with pytest.raises(ValueError, match="window_strides"):
            conv(lib, (1, 1))
    assert jax.lax.padtype_to_pads((5, 5), (2,), (1,), "VALID")
    assert jax.lax.conv_shape_tuple((2, 3, 5), (4, 3, 2), (1, 1), [(0, 0)])
    with pytest.raises(ArgumentError, match="window_shape must have 2 entries"):
        anima.lax.padtype_to_pads((5, 5), (2,), (1,), "VALID")
    with pytest.raises(ArgumentError, match="strides must have 1 entries"):
        anima.lax.conv_shape_tuple((2, 3, 5), (4, 3, 2), (1, 1), [(0, 0)])
    more = numpy.ones((1, 2, 3, 2), "float32")
    assert jax.lax.conv_general_dilated_local(x, more, (1,), "VALID", (2,)).ndim == 4
    with pytest.raises(TypeError, match="equally many dimensions"):
        anima.lax.conv_general_dilated_local(x, more, (1,), "VALID", (2,))


def conv_shape_numbers(run_python, tmp_path) -> None:
    shapes = [lib.lax.conv_shape_tuple((1, 1, 4), (1, 1, 2), (2,), "SAME") for lib in (jax, anima)]
    assert shapes[0] == shapes[1] == (1, 1, 2)
    assert [{type(n) for n in shape} for shape in shapes] == [{int, numpy.int64}, {int}]


def late_dtypes(run_python, tmp_path) -> None:
    for name, dtype, error in (
        ("cholesky", F8, NotImplementedError),
        ("argmax", numpy.complex64, TypeError),
        ("cumlogsumexp", numpy.int32, OverflowError),
    ):

        def call(lib, x: object, name: str = name) -> object:
            if name == "argmax":
                return lib.lax.argmax(x, 0, numpy.int32)
            return getattr(lib.lax.linalg if name == "cholesky" else lib.lax, name)(x)

        traced(jax, lambda x, call=call: call(jax, x), dtype)
        with pytest.raises(error):
            call(jax, numpy.eye(2).astype(dtype))
        with pytest.raises(TypeError, match=f"{name} does not accept dtype"):
            traced(anima, lambda x, call=call: call(anima, x), dtype)
    with pytest.raises(TypeError, match="int2"):
        traced(jax, jax.lax.linalg.cholesky, INT2)
    types = traced(anima, anima.lax.linalg.cholesky, INT2), traced(jax, jax.lax.linalg.cholesky, "int8")
    assert [t.dtype for t in types] == ["float32", "float32"]


def first_mistake(run_python, tmp_path) -> None:
    nothing, x = numpy.ones((0,), "float32"), numpy.ones(3, "float32")
    for lib, error, says, about in (
        (jax, ValueError, "non-empty", "non-scalar initial value"),
        (anima, TypeError, "index_dtype must be an integer dtype", "dimensions 5 is out of bounds"),
    ):
        with pytest.raises(error, match=says):
            lib.lax.argmax(nothing, 0, numpy.float32)
        with pytest.raises(ValueError, match=about):
            lib.lax.reduce(x, numpy.ones(2, "float32"), lib.lax.add, (5,))


def lax_forms(run_python, tmp_path) -> None:
    x, c = numpy.ones(2, "float32"), numpy.ones((2, 2), "complex64")
    nibbles = numpy.array([0, 1]).astype("int4")
    for call, shape in (
        (lambda lax: lax.broadcast(x, 3), (3, 2)),
        (lambda lax: lax.tile(x, 3), (6,)),
        (lambda lax: lax.rng_uniform(0, 1, 3), (3,)),
        (lambda lax: lax.fft(c, "fft", 2), (2, 2)),
        (lambda lax: lax.fft(c, "fft", [2]), (2, 2)),
        (lambda lax: lax.empty([2], "float32"), (2,)),
        (lambda lax: lax.pad(x, numpy.float32(0), [[1, 0, 0]]), (3,)),
        (lambda lax: lax.linalg.eig(c, compute_left_eigenvectors="yes")[0], (2,)),
        (lambda lax: lax.approx_max_k(x, 1, aggregate_to_topk=1.5)[0], (1,)),
        (lambda lax: lax.index_take(x, (nibbles,), (0,)), (2,)),
    ):
        with pytest.raises((TypeError, ValueError)):
            jax.jit(lambda call=call: call(jax.lax))()
        assert call(anima.lax).shape == shape
    with pytest.raises(TypeError):
        jax.lax.broadcast_shapes(3, (3,))
    assert anima.lax.broadcast_shapes(3, (3,)) == (3,)


def lax_refusals(run_python, tmp_path) -> None:
    x, square = numpy.ones(2, "float32"), numpy.eye(2, dtype="float32")
    for call in (
        lambda lax: lax.full_like(x, 0, dtype=-1),
        lambda lax: lax.logistic(x, accuracy="words"),
        lambda lax: lax.linalg.qdwh(square, max_iterations=-1),
        lambda lax: lax.random_gamma_grad(x.astype("float16"), x),
        lambda lax: lax.approx_max_k(x, 1, recall_target=float("nan")),
    ):
        jax.eval_shape(lambda call=call: call(jax.lax))
        with pytest.raises((TypeError, ValueError)):
            call(anima.lax)
    key = jax.random.key(0), anima.random.key(0)
    for call in (
        lambda lib, key: lib.numpy.ones_like(key),
        lambda lib, key: lib.random.clone(3),
        lambda lib, key: lib.random.choice(key, 1.5),
        lambda lib, key: lib.nn.dot_product_attention(x, x, x),
    ):
        call(jax, key[0])
        with pytest.raises((TypeError, ValueError)):
            call(anima, key[1])
    with pytest.raises(ValueError, match="eps must be positive"):
        anima.lax.linalg.qdwh(square, eps=-1.0)


def mistaken_kinds(run_python, tmp_path) -> None:
    image = numpy.ones((1, 2, 2), "float32")
    for call, error in (
        (lambda lax: lax.sort(None), AttributeError),
        (lambda lax: lax.sort(image, num_keys="one"), ValueError),
        (lambda lax: lax.cumsum(image, axis="words"), ValueError),
        (lambda lax: lax.linalg.eigh(image[0], subset_by_index=()), IndexError),
    ):
        with pytest.raises(error):
            call(jax.lax)
        with pytest.raises(TypeError):
            call(anima.lax)
    assert jax.lax.collapse(image, None).shape == (4,)
    with pytest.raises(TypeError, match="start_dimension must be an integer"):
        anima.lax.collapse(image, None)


def platform_names(run_python, tmp_path) -> None:
    with pytest.raises(ValueError, match="only accepts"):
        jax.device_put(1.0, "cpu")
    assert anima.device_put(1.0, "cpu").committed
    with pytest.raises(PluginError):
        anima.device_put(1.0, "words")


def reduce_nothing(run_python, tmp_path) -> None:
    x, five = numpy.ones((), "float32"), numpy.float32(5)
    for lib, sum_ in ((jax, 1), (anima, 6)):
        assert lib.lax.reduce(x, five, lib.lax.add, ()) == sum_
        assert lib.lax.reduce_window(x, five, lib.lax.add, ()) == sum_


def small_float_sums(run_python, tmp_path) -> None:
    x = numpy.ones(2).astype(F8)
    assert numpy.isnan(numpy.asarray(jax.lax.cumlogsumexp(x), "float32")).all()
    assert numpy.asarray(anima.lax.cumlogsumexp(x), "float32").tolist() == [1, 1.75]
    a, x = numpy.asarray([2.625, 3.625]).astype("float8_e3m4")
    assert numpy.isnan(float(jax.lax.igammac(a, x)))
    assert float(anima.lax.igammac(a, x)) == pytest.approx(0.2109, abs=1 / 64)


def surplus_taus(run_python, tmp_path) -> None:
    a, taus, c = numpy.ones((3, 1), "f"), numpy.ones(3, "f"), numpy.ones((3, 2), "f")
    assert jax.lax.linalg.ormqr(a, taus, c).shape == (3, 2)
    with pytest.raises(ValueError, match="taus must not have more elements"):
        anima.lax.linalg.ormqr(a, taus, c)


def truncated_normal_tails(run_python, tmp_path) -> None:
    def ends(lib, low: float, high: float) -> list[float]:
        bounds = numpy.float32([low, high])
        found = numpy.asarray(lib.random.truncated_normal(lib.random.key(0), *bounds, (4000,)))
        return [float(found.min()), float(found.max())]

    largest = float(numpy.finfo(numpy.float32).max)
    for low, high, theirs, ours in ((6, 9, 9, 6), (-9, -6, -9, -6), (6, numpy.inf, largest, 6)):
        assert ends(jax, low, high) == pytest.approx([theirs] * 2, rel=1e-6)
        assert ends(anima, low, high) == pytest.approx([ours] * 2, rel=1e-6)
    assert ends(jax, 4, numpy.inf)[1] == largest
    assert 4 < ends(anima, 4, numpy.inf)[1] < 5.3


REFUSAL_CHECKS = {
    "conv-checks": conv_checks,
    "conv-shape-numbers": conv_shape_numbers,
    "late-dtypes": late_dtypes,
    "lax-forms": lax_forms,
    "lax-refusals": lax_refusals,
    "mistaken-kinds": mistaken_kinds,
    "platform-names": platform_names,
    "first-mistake": first_mistake,
    "reduce-nothing": reduce_nothing,
    "small-float-sums": small_float_sums,
    "surplus-taus": surplus_taus,
    "truncated-normal-tails": truncated_normal_tails,
}

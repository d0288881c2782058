"""Arrays and tracers have the same methods and operators, and print as the documentation shows."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy
import pytest

import anima
import anima.numpy as np
from anima._native import ArrayImpl
from anima.core.trace import Tracer

BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, divmod,
]  # fmt: skip
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


@pytest.mark.parametrize("op", [*BINARY, *BITS])
def test_binary_operators(op) -> None:
    x = numpy.array([1, 2, 3], "int32" if op in BITS else "float32")
    for call in (
        lambda x: op(x, x),
        lambda x: op(x, 2),
        lambda x: op(2, x),
        lambda x: op(x, numpy.asarray(x.dtype.type(2))),
    ):
        expected = call(x)
        for run in (call, anima.jit(call)):
            found = run(np.array(x))
            for one, other in zip(found, expected) if isinstance(expected, tuple) else [(found, expected)]:
                numpy.testing.assert_allclose(numpy.asarray(one), other, rtol=1e-6)


def test_unary_operators() -> None:
    x = np.array([1.5, -2.5])
    for run in (lambda f: f, anima.jit):
        assert run(operator.neg)(x).tolist() == [-1.5, 2.5]
        assert run(operator.pos)(x).tolist() == [1.5, -2.5]
        assert run(operator.abs)(x).tolist() == [1.5, 2.5]
        assert run(operator.invert)(np.array([0, 5])).tolist() == [-1, -6]
        assert run(lambda x: round(x, 1))(np.array([1.26])).tolist() == pytest.approx([1.3])
        assert run(round)(x).dtype == np.int32
        assert run(lambda a: a @ a)(x) == 8.5


@pytest.mark.parametrize("other", ["a", object(), {1: 2}, [1, 2], (1, 2)])
def test_operators_with_what_is_no_array(other: object) -> None:
    for use in (lambda f: f(np.ones(2)), lambda f: anima.jit(f)(1.0)):
        with pytest.raises(TypeError, match=r"unsupported operand|can only concatenate|not iterable"):
            use(lambda x: x + other)
        with pytest.raises(TypeError):
            use(lambda x: other * x)
    assert (np.ones(2) == "a") is False
    assert (np.ones(2) != None) is True  # noqa: E711


def test_operators_leave_unknown_operands_to_them() -> None:
    class Other:
        def __radd__(self, x: object) -> str:
            return "mine"

        __rpow__ = __rmatmul__ = __gt__ = __radd__

    assert np.ones(2) + Other() == "mine"
    assert np.ones(2) ** Other() == "mine"
    assert (np.ones(2) < Other()) == "mine"
    assert anima.jit(lambda x: 1.0 if x + Other() == "mine" else 0.0)(1.0) == 1.0


def test_objects_that_convert_themselves() -> None:
    class Wrapped:
        def __jax_array__(self) -> object:
            return np.array([1.0, 2.0])

    assert (np.ones(2) + Wrapped()).tolist() == [2, 3]
    assert np.sin(Wrapped()).shape == (2,)
    assert anima.jit(lambda x: x * Wrapped())(np.ones(2)).tolist() == [1, 2]


METHODS = [
    "all",
    "any",
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "astype",
    "at",
    "choose",
    "clip",
    "compress",
    "conj",
    "conjugate",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "dot",
    "dtype",
    "flatten",
    "imag",
    "item",
    "itemsize",
    "max",
    "mean",
    "min",
    "nbytes",
    "ndim",
    "nonzero",
    "prod",
    "ptp",
    "ravel",
    "real",
    "repeat",
    "reshape",
    "round",
    "searchsorted",
    "shape",
    "size",
    "sort",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "take",
    "to_device",
    "tolist",
    "trace",
    "transpose",
    "var",
    "view",
    "T",
    "mT",
    "aval",
    "block_until_ready",
    "weak_type",
    "__array_namespace__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__bool__",
    "__int__",
    "__float__",
    "__complex__",
    "__index__",
    "__contains__",
    "__setitem__",
    "__copy__",
    "__deepcopy__",
]


@pytest.mark.parametrize("name", METHODS)
def test_both_have_the_method(name: str) -> None:
    assert hasattr(ArrayImpl, name)
    assert hasattr(Tracer, name)


def test_methods_compute_what_the_functions_do() -> None:
    def several(x):
        return (
            x.sum(), x.sum(0), x.mean(axis=1), x.max(), x.reshape(3, 2), x.reshape((-1,)), x.T, x.mT, x.transpose(1, 0),
            x.transpose((1, 0)), x.astype(int), x.flatten(), x.ravel(), x.squeeze(), x.swapaxes(0, 1), x.argmax(1), x.std(),
            x.cumsum(1), x.clip(1, 2), x.conj(), x.real, x.imag, x.copy(), x.trace(), x.diagonal(), x.take(1, axis=1), x.ptp(),
            x.dot(x.T), x.round(1), x.repeat(2, axis=0), x.sort(axis=1), x.argsort(), x.any(), x.all(), x.prod(), x.min(0),
            x.var(ddof=1), x.view(np.int32), x.at[0].set(1.0), x.searchsorted(x[0]) if x.ndim == 1 else x,
        )  # fmt: skip

    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    for eager, traced in zip(several(x), anima.jit(several)(x)):
        assert eager.dtype == traced.dtype
        numpy.testing.assert_allclose(numpy.asarray(eager), numpy.asarray(traced), rtol=1e-6)


def test_iteration() -> None:
    x = np.arange(3)
    assert [int(v) for v in x] == [0, 1, 2]
    assert [int(v) for v in reversed(x)] == [2, 1, 0]
    first, *rest = np.ones((3, 2))
    assert first.shape == (2,) and len(rest) == 2
    assert anima.jit(lambda x: sum(v * i for i, v in enumerate(x)))(x) == 5
    assert 2 in x and 7 not in x


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (lambda: np.array([0, 0], np.uint32), "DeviceArray([0, 0], dtype=uint32)"),
        (lambda: np.array(5.0), "DeviceArray(5., dtype=float32)"),
        (lambda: 2 * np.array(2), "DeviceArray(4, dtype=int32)"),
        (lambda: np.zeros((0, 3)), "DeviceArray([], shape=(0, 3), dtype=float32)"),
        (lambda: np.zeros((0,)), "DeviceArray([], dtype=float32)"),
        (lambda: np.array([True]), "DeviceArray([ True], dtype=bool)"),
        (lambda: np.array([1 + 2j]), "DeviceArray([1.+2.j], dtype=complex64)"),
        (lambda: np.ones(2, np.bfloat16), "DeviceArray([1, 1], dtype=bfloat16)"),
        (lambda: np.eye(2), "DeviceArray([[1., 0.],\n             [0., 1.]], dtype=float32)"),
    ],
)
def test_repr(x, text: str) -> None:
    assert repr(x()) == text


def test_text() -> None:
    assert str(np.eye(2)) == "[[1. 0.]\n [0. 1.]]"
    assert f"{np.array(2.5):.2f}" == "2.50"
    assert f"{np.arange(2)}" == "[0 1]"
    x = np.ones(2)
    x.delete()
    assert "deleted" in repr(x)
    assert np.array_str(np.array([0.123456]), precision=2) == "[0.12]"


def test_protocols() -> None:
    x = np.arange(3.0)
    assert x.__array_namespace__() is np
    assert numpy.sin(x).dtype == numpy.float32
    assert pickle.loads(pickle.dumps(x)).tolist() == x.tolist()
    assert copy.deepcopy(x).tolist() == x.tolist()
    assert x.tobytes() == numpy.arange(3, dtype="float32").tobytes()
    assert x.to_device(anima.devices()[0]).tolist() == x.tolist()
    assert isinstance(x, np.ndarray)
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)
    with pytest.raises((ValueError, TypeError), match=r"ambiguous|one element|size"):
        bool(x)


def test_methods_in_transformations() -> None:
    x = np.arange(3.0)
    assert anima.grad(lambda x: (x.T.reshape(3, 1).sum(0) ** 2).squeeze())(x).tolist() == [6, 6, 6]
    assert anima.vmap(lambda v: v.clip(0, 1).astype(int))(x).tolist() == [0, 1, 1]
    assert anima.jit(lambda x: x.at[0].set(x.max()))(x).tolist() == [2, 1, 2]

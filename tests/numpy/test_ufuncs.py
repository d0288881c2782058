"""Elementwise functions as objects: `reduce`, `accumulate`, `outer`, `at`, `reduceat`, against NumPy's."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima.numpy import arithmetic, elementary, logic

BINARY = [
    "add", "subtract", "multiply", "maximum", "minimum", "logaddexp", "logaddexp2", "bitwise_and", "bitwise_or",
    "bitwise_xor", "logical_and", "logical_or", "logical_xor",
]  # fmt: skip
INTEGERS_ONLY = ("bitwise_and", "bitwise_or", "bitwise_xor")
FLOATS_ONLY = ("logaddexp", "logaddexp2")
NO_IDENTITY = ("subtract", "maximum", "minimum")


def operand(name: str, shape: tuple[int, ...] = (3, 5), dtype: str = "") -> numpy.ndarray:
    draw = numpy.random.default_rng(len(name))
    dtype = dtype or ("float32" if name in FLOATS_ONLY else "int32")
    return draw.integers(-4, 5, shape).astype(dtype)


def agree(ours: Any, theirs: Any) -> None:
    assert ours.shape == numpy.shape(theirs)
    numpy.testing.assert_allclose(numpy.asarray(ours, "float64"), numpy.asarray(theirs, "float64"), rtol=2e-6)


@pytest.mark.parametrize("name", BINARY)
class TestMethods:
    @pytest.mark.parametrize("axis", [-1, None])
    def test_reduce(self, name: str, axis: Any) -> None:
        x = operand(name)
        wanted = getattr(numpy, name)
        if axis is None and name == "subtract":  # NumPy refuses what has no order; here it is row-major
            agree(np.subtract.reduce(x, None), wanted.reduce(x.ravel()))
            return
        agree(getattr(np, name).reduce(x, axis), wanted.reduce(x, axis))

    def test_several_axes_are_reduced_in_row_major_order(self, name: str) -> None:
        x = operand(name, (2, 3, 4))
        wanted = getattr(numpy, name).reduce(x.transpose(1, 0, 2).reshape(3, 8), 1)
        agree(getattr(np, name).reduce(x, (0, 2), keepdims=True), wanted[None, :, None])

    def test_masks_and_initial_values(self, name: str) -> None:
        x, mask = operand(name), numpy.arange(15).reshape(3, 5) % 3 != 1
        agree(
            getattr(np, name).reduce(x, 1, initial=2, where=mask),
            getattr(numpy, name).reduce(x, 1, initial=2, where=mask),
        )
        agree(getattr(np, name).reduce(x, initial=1), getattr(numpy, name).reduce(x, initial=1))
        if name in NO_IDENTITY:
            with pytest.raises(ValueError, match="initial"):
                getattr(np, name).reduce(x, where=mask)
        else:
            agree(getattr(np, name).reduce(x, 1, where=mask), getattr(numpy, name).reduce(x, 1, where=mask))

    def test_nothing_to_reduce(self, name: str) -> None:
        x = operand(name, (0, 2))
        if name in NO_IDENTITY:
            with pytest.raises(ValueError, match="identity"):
                getattr(np, name).reduce(x)
            agree(getattr(np, name).reduce(x, initial=3), [3, 3])
        else:
            agree(getattr(np, name).reduce(x), getattr(numpy, name).reduce(x))
        assert getattr(np, name).reduce(x, 1, initial=1).shape == (0,)

    def test_accumulate(self, name: str) -> None:
        x = operand(name)
        agree(getattr(np, name).accumulate(x), getattr(numpy, name).accumulate(x))

    def test_outer(self, name: str) -> None:
        x, y = operand(name, (2,)), operand(name, (3, 4))
        agree(getattr(np, name).outer(x, y), getattr(numpy, name).outer(x, y))
        agree(getattr(np, name).outer(x, 2), getattr(numpy, name).outer(x, 2))
        agree(getattr(np, name).outer(2, x), getattr(numpy, name).outer(2, x))

    def test_reduceat(self, name: str) -> None:
        x, indices = operand(name, (5, 6)), numpy.array([0, 3, 1, 1, 4])
        agree(getattr(np, name).reduceat(x, indices, 1), getattr(numpy, name).reduceat(x, indices, 1))

    def test_compiled(self, name: str) -> None:
        x, function = operand(name), getattr(np, name)
        agree(anima.jit(function.reduce)(x), getattr(numpy, name).reduce(x))

    def test_is_the_same_function(self, name: str) -> None:
        function = getattr(np, name)
        module = logic if "_" in name else elementary if name.startswith("log") else arithmetic
        x, y = operand(name), operand(name)[0]
        agree(function(x, y), getattr(numpy, name)(x, y))
        assert pickle.loads(pickle.dumps(function)) is function
        assert isinstance(function, np.ufunc) and function.__name__ == name
        assert repr(function) == f"<ufunc '{name}'>" and function.__doc__ == getattr(module, name).__doc__
        assert (function.nin, function.nout, function.nargs) == (2, 1, 2)


class TestPlaces:
    @pytest.mark.parametrize(
        "index",
        [
            numpy.array([0, 2, 0, 0]),
            (numpy.array([1, 1, 0]), numpy.array([4, 4, 2])),
            (slice(None), numpy.array([1, 1])),
            1,
            (slice(0, 2), 3),
            (numpy.array([0, 0, 2]), slice(1, 4)),
            numpy.arange(15).reshape(3, 5) % 4 == 0,
            Ellipsis,
        ],
        ids=str,
    )
    @pytest.mark.parametrize("name", ["subtract", "logical_xor"])
    def test_at(self, name: str, index: Any) -> None:
        x, function = operand(name), getattr(np, name)
        wanted = x.copy()
        getattr(numpy, name).at(wanted, index, 3)
        ours = function.at(x, index, 3, inplace=False)
        # The whole array gets the dtype of results, here and in JAX; NumPy casts each back.
        agree(ours, wanted != 0 if ours.dtype == bool else wanted)

    @pytest.mark.parametrize("name", BINARY)
    def test_one_place_several_times(self, name: str) -> None:
        x = operand(name, (4,))
        wanted, places = x.copy(), numpy.array([1, 3, 1, 1])
        getattr(numpy, name).at(wanted, places, 3)
        ours = anima.jit(lambda x: getattr(np, name).at(x, places, 3, inplace=False))(x)
        agree(ours, wanted != 0 if ours.dtype == bool else wanted)

    @pytest.mark.parametrize("axis", [0, -1])
    @pytest.mark.parametrize("shape", [(3, 5), (1, 2), (0, 3)])
    @pytest.mark.parametrize("name", ["subtract", "bitwise_xor"])
    def test_accumulate_along(self, name: str, shape: tuple[int, int], axis: int) -> None:
        x = operand(name, shape)
        agree(getattr(np, name).accumulate(x, axis), getattr(numpy, name).accumulate(x, axis))

    def test_mapped(self) -> None:
        x, indices = operand("subtract"), numpy.array([0, 3])
        for function, wanted in ((np.subtract, numpy.subtract), (np.logical_xor, numpy.logical_xor)):
            agree(anima.vmap(function.reduce)(x), wanted.reduce(x, 1))
            agree(anima.vmap(function.accumulate)(x), wanted.accumulate(x, 1))
            agree(
                anima.vmap(lambda row, f=function: f.reduceat(row, indices))(x),
                wanted.reduceat(x, indices, 1),
            )
        agree(np.subtract.reduceat(x, numpy.array([0, 2])), numpy.subtract.reduceat(x, [0, 2]))


class TestDtypes:
    @pytest.mark.parametrize(
        "dtype", ["bool", "int4", "uint8", "int16", "float16", "bfloat16", "float32", "complex64"]
    )
    def test_reduce_keeps_values(self, dtype: str) -> None:
        x = np.array([1, 0, 1, 1]).astype(dtype)
        for name, wanted in {"maximum": 1, "logical_xor": True, "logical_and": False}.items():
            result = getattr(np, name).reduce(x)
            assert result == wanted
            assert result.dtype == (bool if name.startswith("logical") else x.dtype)

    def test_dtype_converts_elements_first(self) -> None:
        x = np.array([100, 100], "int8")
        assert np.subtract.reduce(x, dtype="float32").dtype == "float32"
        assert np.add.reduceat(x, np.array([0]), dtype="int32").tolist() == [200]
        assert np.bitwise_or.accumulate(x, dtype="int16").dtype == "int16"
        assert np.maximum.reduce(x, dtype="float32").dtype == "float32"
        assert np.logical_or.reduce(x, dtype="int32").dtype == "int32"

    def test_identities_fit_narrow_and_unsigned_integers(self) -> None:
        empty = np.zeros((0,), "uint8")
        assert np.bitwise_and.reduce(empty) == 255
        assert np.bitwise_and.reduce(np.array([3, 1], "uint8"), where=np.array([True, False])) == 3
        assert np.logaddexp.reduce(empty) == -np.inf

    def test_results_are_not_weak(self) -> None:
        assert not np.subtract.reduce(np.array([1.0, 2.0])).weak_type
        assert np.add.outer(1, 2).weak_type


class TestDerivatives:
    def test_of_a_reduction(self) -> None:
        x = np.array([0.5, -1.0, 2.0, 0.1, 0.3])
        gradient = anima.grad(np.logaddexp.reduce)(x)
        weights = numpy.exp(x) / numpy.exp(x).sum()
        numpy.testing.assert_allclose(gradient, weights, rtol=1e-5)

    def test_of_updates(self) -> None:
        x, i = np.array([2.0, 3.0]), np.array([0, 0, 1])
        scaled = anima.grad(lambda x: np.multiply.at(x, i, 3.0, inplace=False).sum())(x)
        assert scaled.tolist() == [9.0, 3.0]
        divided = np.ufunc(lambda x, y: x / y, 2, 1)
        assert anima.grad(lambda x: divided.at(x, i, 2.0, inplace=False).sum())(x).tolist() == [0.25, 0.5]

    def test_of_running_results(self) -> None:
        running = np.frompyfunc(lambda x, y: x * 2 + y, 2, 1)
        jacobian = anima.jacobian(running.accumulate)(np.array([1.0, 1.0, 1.0]))
        assert jacobian.tolist() == [[1, 0, 0], [2, 1, 0], [4, 2, 1]]


class TestMadeOfFunctions:
    def test_of_scalars(self) -> None:
        larger = np.frompyfunc(lambda x, y: np.where(x > y, x, y), 2, 1)
        assert larger(np.arange(3), np.array([[1], [2]])).tolist() == [[1, 1, 2], [2, 2, 2]]
        assert larger.reduce(np.array([3, 5, 4])) == 5
        assert larger.identity is None and larger.nargs == 2

    def test_several_results(self) -> None:
        both = np.frompyfunc(lambda x, y: (x + y, x - y), 2, 2)
        assert [r.tolist() for r in both(np.arange(2), 1)] == [[1, 2], [-1, 0]]
        with pytest.raises(ValueError, match="one result"):
            both.reduce(np.arange(2))

    def test_of_one_argument(self) -> None:
        double = np.frompyfunc(lambda x: x * 2, 1, 1)
        assert double.at(np.arange(3), np.array([1, 1, 2]), inplace=False).tolist() == [0, 4, 4]
        assert np.negative.at(np.arange(3), np.array([1, 1, 2]), inplace=False).tolist() == [0, 1, -2]
        for call in (
            double.reduce,
            double.accumulate,
            lambda x: double.outer(x, x),
            lambda x: double.reduceat(x, x),
        ):
            with pytest.raises(ValueError, match="two arguments"):
                call(np.arange(3))

    def test_given_methods_are_used(self) -> None:
        made = np.ufunc(
            lambda x, y: x + y, 2, 1, name="total", nargs=3, identity=0,
            call=lambda x, y: x + y + 1,
            reduce=lambda a, **options: ("reduce", sorted(options)),
            accumulate=lambda a, **options: ("accumulate", sorted(options)),
            at=lambda a, indices, b: ("at", b),
            reduceat=lambda a, indices, **options: ("reduceat", sorted(options)),
        )  # fmt: skip
        x = np.arange(3)
        assert made(1, 1) == 3 and made.nargs == 3 and made.name == "total"
        assert made.reduce(x) == ("reduce", ["axis", "dtype", "initial", "keepdims", "out", "where"])
        assert made.accumulate(x) == ("accumulate", ["axis", "dtype", "out"])
        assert made.at(x, 0, 2, inplace=False) == ("at", 2)
        assert made.reduceat(x, x) == ("reduceat", ["axis", "dtype", "out"])

    def test_equal_if_made_alike(self) -> None:
        assert np.ufunc(np.sin, 1, 1) == np.ufunc(np.sin, 1, 1)
        assert hash(np.ufunc(np.sin, 1, 1)) == hash(np.ufunc(np.sin, 1, 1))
        assert np.ufunc(np.sin, 1, 1) != np.ufunc(np.cos, 1, 1)
        assert np.ufunc(np.sin, 1, 1) != np.sin


class TestCalls:
    def test_signature_and_completion(self) -> None:
        assert str(inspect.signature(np.add)) == "(x: 'Any', y: 'Any', /, *, out=None, where=None)"
        assert str(inspect.signature(np.ufunc(numpy.frompyfunc(abs, 1, 1), 1, 1))).endswith(
            "out=None, where=None)"
        )
        assert {"at", "reduce", "accumulate", "outer", "reduceat", "nin", "identity"} <= {*dir(np.add)}
        assert not {"miss", "traced", "clear_cache"} & {*dir(np.add)}
        assert not hasattr(np.add, "shape")

    def test_options(self) -> None:
        x = np.arange(2)
        for call in (np.add, anima.jit(lambda x, y: np.add(x, y, out=None, where=None))):
            assert call(x, 1).tolist() == [1, 2]
        assert np.add(x, 1, out=None, where=None).tolist() == [1, 2]
        with pytest.raises(ValueError, match="out is not supported"):
            np.add(x, 1, out=x)
        with pytest.raises(NotImplementedError, match=r"numpy\.where\(mask, add"):
            np.add(x, 1, where=x > 0)
        with pytest.raises(ValueError, match="out is not supported"):
            np.add.reduce(x, out=x)
        with pytest.raises(TypeError, match="unexpected keyword argument 'y'"):
            np.add(x, y=1)

    @pytest.mark.parametrize("arguments", [(), (1,), (1, 2, 3)])
    def test_number_of_operands(self, arguments: tuple[int, ...]) -> None:
        for call in (np.add, anima.jit(np.add)):
            with pytest.raises(TypeError, match=r"add\(\) takes 2 positional arguments"):
                call(*arguments)

    def test_bad_arguments(self) -> None:
        x = np.arange(6).reshape(2, 3)
        with pytest.raises(TypeError, match="requires ndarray or scalar"):
            np.add([1], 2)
        for call in (np.add.reduce, np.subtract.accumulate, lambda v: np.add.outer(v, v)):
            with pytest.raises(TypeError, match="got list"):
                call([1, 2])
        with pytest.raises(NotImplementedError, match="inplace=False"):
            np.add.at(x, 0, 1)
        with pytest.raises(TypeError, match="takes 2 operands, got 1"):
            np.add.at(x, 0, inplace=False)
        with pytest.raises(ValueError, match="do not fit"):
            np.bitwise_or.at(x, np.array([0]), np.arange(2), inplace=False)
        with pytest.raises(ValueError, match="must be a vector of integers"):
            np.add.reduceat(x, np.array([[0]]))
        with pytest.raises(ValueError, match="must be a vector of integers"):
            np.add.reduceat(x, np.array([0.0]))
        for axis in (2, -3):
            for method in (np.subtract.reduce, np.subtract.accumulate):
                with pytest.raises(ValueError, match="out of bounds"):
                    method(x, axis)
        with pytest.raises(ValueError, match="one axis"):
            np.subtract.accumulate(x, None)
        with pytest.raises(ValueError, match="one axis"):
            np.add.reduceat(x, np.array([0]), None)
        with pytest.raises(TypeError, match="must be callable"):
            np.frompyfunc(3, 1, 1)
        with pytest.raises(TypeError):
            np.frompyfunc(abs, "1", 1)

    def test_out_of_bounds_elements_are_left_out(self) -> None:
        x = np.array([1, 2, 3])
        assert np.bitwise_or.at(x, np.array([0, 7]), 8, inplace=False).tolist() == [9, 2, 3]
        assert np.add.reduceat(x, np.array([-1])).tolist() == [3]

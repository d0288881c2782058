"""`debug_nans`: the error comes where the NaN is made, eagerly, under jit and in gradients."""

import pytest

import anima.numpy as np
from anima import debug_infs, debug_nans, errors, grad, jit


def test_eager_and_off_again():
    with debug_nans(True), pytest.raises(FloatingPointError, match=r"invalid value \(nan\) encountered in"):
        np.log(-1.0)
    assert np.isnan(np.log(-1.0))


def test_jit_names_the_operation_and_the_line():
    @jit
    def f(x):
        y = x * 2.0
        return jit(lambda z: np.sqrt(z) + 1)(y)  # the NaN is made here

    with debug_nans(True):
        assert float(f(2.0)) == 3.0
        with pytest.raises(errors.NonFiniteError, match="'sqrt'") as caught:
            f(-1.0)
    assert any(__file__ in note for note in caught.value.__notes__)


def test_gradients_and_infinities():
    with debug_nans(True), pytest.raises(FloatingPointError):
        grad(lambda x: np.where(x > 0, np.sqrt(x) * 0.0 / x, 0.0))(0.0)
    with debug_infs(True), pytest.raises(FloatingPointError, match="inf"):
        np.array(1.0) / 0.0


def test_donated_arguments():
    f = jit(lambda x: np.log(x), donate_argnums=0)
    with debug_nans(True), pytest.raises(FloatingPointError, match="result of"):
        f(-np.ones(3))

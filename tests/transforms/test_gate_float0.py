"""`float0` arrays, the tangents of integers, go through every transformation."""

import numpy as onp
import pytest

import anima.numpy as np
from anima import dtypes, grad, jacfwd, jacrev, jit, jvp, vjp, vmap

ZERO = onp.zeros((), dtypes.float0)


def is_float0(value, shape):
    return isinstance(value, onp.ndarray) and value.dtype == dtypes.float0 and value.shape == shape


def test_out_of_jit_and_vmap():
    of_int = lambda x: grad(lambda d: d["a"] * d["i"], allow_int=True)(x)
    for f in (of_int, jit(of_int), jit(jit(of_int))):
        for _ in range(2):
            got = f({"a": 2.0, "i": 3})
            assert float(got["a"]) == 3.0 and is_float0(got["i"], ())
    both = lambda x, i: grad(lambda x, i: x * i, argnums=(0, 1), allow_int=True)(x, i)
    for f in (vmap(both), jit(vmap(both)), vmap(jit(both))):
        dx, di = f(np.arange(2.0), np.arange(2))
        onp.testing.assert_array_equal(dx, [0.0, 1.0])
        assert is_float0(di, (2,))
    for f in (jit, vmap):
        _, (tangent, dx) = f(lambda x: jvp(lambda v: (v > 1, v), (x,), (x,)))(np.arange(2.0))
        assert is_float0(tangent, (2,)) and dx.shape == (2,)


def test_into_jit_and_vmap():
    assert is_float0(jit(lambda t: t)(ZERO), ())
    _, pull = vjp(lambda x, i: (x * i, i), 2.0, 3)
    for f in (pull, jit(pull), jit(pull)):
        dx, di = f((1.0, ZERO))
        assert float(dx) == 3.0 and is_float0(di, ())
    dx, di = vmap(pull)((np.arange(3.0), onp.zeros(3, dtypes.float0)))
    onp.testing.assert_array_equal(dx, [0.0, 3.0, 6.0])
    assert is_float0(di, (3,))
    donated = np.arange(3.0)
    jit(lambda t, x: x + 1, donate_argnums=1)(ZERO, donated)
    assert donated.is_deleted()
    compiled = jit(lambda t, x: (t, x + 1)).lower(ZERO, 1.0).compile()
    assert float(compiled(ZERO, 2.0)[1]) == 3.0


def test_jacobians_of_integer_outputs():
    f = lambda x: (x * 2, np.argmax(x))
    jac, none = jacfwd(f)(np.arange(2.0))
    onp.testing.assert_array_equal(jac, 2 * onp.eye(2))
    assert is_float0(none, (2,))
    with pytest.raises(TypeError, match=r"jacrev requires real-valued outputs.*int32"):
        jacrev(f)(np.arange(2.0))

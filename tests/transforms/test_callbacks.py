"""`pure_callback`: Python functions inside programs, under every transformation that admits them."""

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, pure_callback, vmap


def host(x):
    return onp.sin(x).astype(x.dtype) * 2


def call(x, method=None):
    return pure_callback(host, anima.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method=method)


def test_eager_and_jit():
    x = np.arange(4.0)
    onp.testing.assert_allclose(call(x), 2 * onp.sin(onp.arange(4.0)), rtol=1e-6)
    onp.testing.assert_allclose(jit(call)(x), call(x))


@pytest.mark.parametrize("method", ["sequential", "expand_dims", "broadcast_all", "legacy_vectorized"])
def test_vmap(method):
    x = np.arange(6.0).reshape(3, 2)
    onp.testing.assert_allclose(jit(vmap(lambda r: call(r, method)))(x), 2 * onp.sin(x), rtol=1e-6)


def test_pytrees_keywords_and_calls_back_into_the_library():
    def fun(tree, *, scale):
        return {"s": onp.asarray(np.sum(np.asarray(tree["a"]) * scale))}

    shape = {"s": anima.ShapeDtypeStruct((), np.float32)}
    out = jit(lambda a: pure_callback(fun, shape, {"a": a}, scale=3.0))(np.ones(4))
    assert float(out["s"]) == 12.0


def test_the_number_of_the_callback_is_not_in_the_text():
    first = jit(lambda x: pure_callback(lambda v: v, x, x)).lower(np.ones(3)).as_text()
    second = jit(lambda x: pure_callback(lambda v: v + 1, x, x)).lower(np.ones(3)).as_text()
    assert first == second
    onp.testing.assert_array_equal(
        jit(lambda x: pure_callback(lambda v: v + 1, x, x))(np.ones(3)), 2 * onp.ones(3)
    )


def test_misuse():
    x = np.ones(3)
    with pytest.raises(ValueError, match="vmap_method"):
        pure_callback(host, x, x, vmap_method="no")
    with pytest.raises(ValueError, match="vmap_method"):
        vmap(call)(np.ones((2, 3)))
    with pytest.raises(errors.MissingRuleError, match="custom_jvp"):
        grad(lambda v: call(v).sum())(x)
    with pytest.raises(errors.JaxRuntimeError, match="mine"):

        def bad(v):
            raise ValueError("mine")

        anima.block_until_ready(pure_callback(bad, x, x))

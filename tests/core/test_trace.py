"""Tracers: leaks through closures, generators and threads; concrete values; refusals."""

import threading

import numpy as onp
import pytest

import anima.numpy as np
from anima import errors, grad, jit, vmap
from anima.core.trace import get_trace


def test_leaks_through_generators_and_threads():
    def gen(x):
        yield x * 2
        yield x * 3

    kept = []

    @jit
    def f(x):
        g = gen(x)
        kept.append(g)
        return next(g)

    f(1.0)
    with pytest.raises(errors.UnexpectedTracerError):
        next(kept[0])

    caught = []

    @jit
    def h(x):
        def work():
            try:
                np.sin(x)
            except Exception as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x

    h(1.0)
    assert isinstance(caught[0], errors.UnexpectedTracerError)


def test_an_inner_tracer_may_not_reach_the_outer_function():
    def f(x):
        kept = []
        grad(lambda y: kept.append(y) or y * x)(1.0)
        return kept[0] * x

    for run in (f, jit(f), grad(f)):
        with pytest.raises(errors.UnexpectedTracerError):
            run(2.0)


def test_enclosing_tracers_are_constants():
    assert float(grad(lambda x: jit(lambda y: x * y)(3.0))(2.0)) == 3.0
    assert float(jit(lambda x: grad(lambda y: x * y)(3.0))(2.0)) == 2.0
    out = vmap(lambda x: jit(lambda y: x * y)(3.0))(np.arange(3.0))
    onp.testing.assert_array_equal(out, [0, 3, 6])


def test_a_cached_jit_does_not_keep_an_outer_tracer():
    def f(x):
        g = jit(lambda y: x + y)
        return g(1.0) + g(2.0)

    assert float(jit(f)(3.0)) == 9.0
    assert float(grad(f)(3.0)) == 2.0
    assert float(jit(f)(4.0)) == 11.0


def test_the_ambient_trace_is_put_back_after_an_error():
    def bad(x):
        raise RuntimeError("stop")

    for transform in (jit, grad, vmap, lambda f: lambda x: jit(grad(f))(x[0])):
        with pytest.raises(RuntimeError):
            transform(bad)(np.ones(2)[0] if transform is grad else np.ones(2))
        assert get_trace() is None


def test_item_assignment_is_refused_with_advice():
    with pytest.raises(TypeError, match="does not support item assignment") as caught:
        np.zeros(3)[0] = 1.0
    assert str(caught.value).startswith("'<class 'anima.Array'>' object") and type(caught.value) is TypeError
    assert ".at[idx].set" in " ".join(caught.value.__notes__)

    def f(x):
        x[0] = 1.0
        return x

    with pytest.raises(TypeError, match="does not support item assignment"):
        jit(f)(np.zeros(3))


def test_tracers_print_how_deep_they_are():
    def printed(transform, x):
        shown = []

        def f(x):
            shown.append(repr(x))
            return x * 1.0

        transform(f)(x)
        return shown[0]

    assert printed(jit, 1.0) == "Traced<ShapedArray(float32[], weak_type=True):JaxprTrace(level=-1/1)>"
    assert printed(lambda f: jit(lambda x: x + jit(f)(x)), 1.0).endswith(":JaxprTrace(level=-2/2)>")
    assert printed(lambda f: grad(jit(f)), 1.0).endswith(":JaxprTrace(level=-1/2)>")
    assert "with<LinearizeTrace>" in printed(lambda f: jit(grad(f)), 1.0)


def test_tracers_look_like_arrays():
    def f(x):
        assert x.shape == (2, 3) and x.ndim == 2 and x.size == 6 and x.dtype == np.float32 and len(x) == 2
        assert isinstance(x, np.ndarray) and x.nbytes == 24 and x.itemsize == 4
        assert "float32[2,3]" in repr(x)
        with pytest.raises(TypeError, match="unhashable"):
            hash(x)
        return x

    jit(f)(np.zeros((2, 3)))
    vmap(f)(np.zeros((4, 2, 3)))
    grad(lambda x: f(x).sum())(np.zeros((2, 3)))


@pytest.mark.parametrize(
    "name", ["sharding", "devices", "is_fully_addressable", "unsafe_buffer_pointer", "delete"]
)
@pytest.mark.parametrize("transform", [jit, vmap, lambda f: grad(lambda x: f(x).sum())])
def test_traced_values_say_why_they_are_nowhere(name, transform):
    def f(x):
        assert not hasattr(x, name)
        with pytest.raises(
            AttributeError, match=rf"no attribute '{name}': it stands for any array of type f32"
        ):
            getattr(x, name)
        return x

    transform(f)(np.ones(3))
    assert hasattr(np.ones(3), name)

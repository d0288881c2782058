"""`jit`: signatures, static and donated arguments, stages, caching, misuse."""

import gc
import threading
import weakref

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, vmap
from anima.runtime.compiler import compile_stats


def counted(fun):
    def wrapped(*args, **kwargs):
        wrapped.traces += 1
        return fun(*args, **kwargs)

    wrapped.traces = 0
    return wrapped


def test_traces_once_for_each_signature():
    f = counted(lambda x: x * 2)
    g = jit(f)
    for value in (1, 2, 3):
        assert int(g(value)) == 2 * value
    assert f.traces == 1
    g(1.0), g(2.5)
    assert f.traces == 2
    g(np.ones(3)), g(np.zeros(3))
    assert f.traces == 3
    g(np.ones((3,), np.int32))
    assert f.traces == 4


def test_wrapping_the_same_function_again_does_not_trace_again():
    f = counted(lambda x: x + 1)
    for _ in range(3):
        jit(f)(1.0)
    assert f.traces == 1


def test_weak_types_are_part_of_the_signature():
    f = jit(lambda x: x + np.float16(1))
    assert f(1.0).dtype == np.float16
    assert f(np.float32(1.0)).dtype == np.float32


def test_static_arguments_by_number_and_name():
    f = counted(lambda x, n, *, flag=False: x * n if flag else x + n)
    g = jit(f, static_argnums=1, static_argnames="flag")
    assert float(g(2.0, 3)) == 5.0
    assert float(g(2.0, 3, flag=True)) == 6.0
    assert float(g(2.0, 3, flag=True)) == 6.0
    assert f.traces == 2
    assert float(g(2.0, 3.0)) == 5.0  # 3 and 3.0 are different settings
    assert f.traces == 3
    assert float(g(2.0, True)) == 3.0
    assert f.traces == 4

    @jit
    def plain(x, n):
        return x * n

    assert float(plain(2.0, n=3)) == 6.0
    h = jit(lambda x, n: sum(x for _ in range(n)), static_argnames=("n",))
    assert float(h(2.0, 3)) == float(h(2.0, n=3)) == 6.0


def test_pytrees_in_and_out():
    @jit
    def f(tree, *rest, **named):
        return {"sum": tree["a"] + rest[0][1], "named": named, "none": None}

    out = f({"a": np.ones(2)}, (1, 2.0), k=3, j=[4])
    onp.testing.assert_array_equal(out["sum"], [3, 3])
    assert list(out["named"]) == ["j", "k"] and int(out["named"]["j"][0]) == 4 and out["none"] is None


def test_donated_arguments_are_deleted_and_reused():
    f = jit(lambda x, y: x.at[1].set(y), donate_argnums=0)
    x = anima.block_until_ready(
        np.sin(np.arange(10_000.0))
    )  # a result of a program: nobody else holds its memory
    before = x.unsafe_buffer_pointer()
    out = f(x, 5.0)
    assert x.is_deleted() and float(out[1]) == 5.0
    assert out.unsafe_buffer_pointer() == before
    with pytest.raises(errors.DeletedArrayError):
        x + 1
    g = jit(lambda a, b: a + b, donate_argnames="b")
    a, b = np.ones(3), np.ones(3)
    g(a, b=b)
    assert b.is_deleted() and not a.is_deleted()


def test_outputs_that_are_inputs():
    x = np.arange(3.0)
    y, _, w = jit(lambda x: (x, x + 1, x))(x)
    onp.testing.assert_array_equal(y, x)
    onp.testing.assert_array_equal(w, x)
    d = jit(lambda x: (x, x), donate_argnums=0)(np.arange(3.0))
    onp.testing.assert_array_equal(d[1], [0, 1, 2])


def test_closures_over_arrays_are_constants():
    big = np.arange(1000.0)
    f = jit(lambda x: x + big)
    onp.testing.assert_array_equal(f(1.0), onp.arange(1000.0) + 1)
    text = f.lower(1.0).as_text()
    assert len(text) < 2000  # the constant is a parameter, not a literal
    f2 = jit(lambda x: x @ big)
    onp.testing.assert_allclose(grad(lambda x: f2(x))(np.ones(1000)), big)


def test_numpy_inputs_are_copied():
    source = onp.arange(4, dtype=onp.float32)
    captured = jit(lambda x: x + source)
    first = captured(np.zeros(4))
    array = np.asarray(source)
    source[:] = 7
    onp.testing.assert_array_equal(array, [0, 1, 2, 3])
    onp.testing.assert_array_equal(first, [0, 1, 2, 3])


def test_methods_static_self_and_bound():
    class Model:
        def __init__(self, scale):
            self.scale = scale
            self.bound = jit(self.apply)

        def apply(self, x):
            return x * self.scale

        @jit
        def doubled(x):
            return x * 2

    model = Model(3.0)
    assert float(model.bound(2.0)) == 6.0
    ref = weakref.ref(model)
    del model
    gc.collect()
    assert ref() is None  # a jitted method does not keep its object


def test_stages():
    f = jit(lambda x, y: x @ y)
    traced = f.trace(np.ones((2, 3)), anima.ShapeDtypeStruct((3, 4), np.float32))
    assert traced.out_info == anima.ShapeDtypeStruct((2, 4), np.float32)
    lowered = traced.lower()
    assert "stablehlo.dot_general" in lowered.as_text()
    compiled = lowered.compile()
    onp.testing.assert_allclose(compiled(np.ones((2, 3)), np.ones((3, 4))), 3 * onp.ones((2, 4)))
    assert compiled.cost_analysis()["flops"] > 0
    with pytest.raises(TypeError, match="compiled for"):
        compiled(np.ones((2, 2)), np.ones((3, 4)))
    with pytest.raises(TypeError, match="structure"):
        compiled(np.ones((2, 3)))


def test_the_same_program_gives_the_same_text():
    def make():
        return jit(lambda x: jit(lambda y: np.tanh(y) * 2)(x) + jit(lambda y: y - 1)(x)).lower(1.0).as_text()

    assert make() == make()


def test_an_equal_program_is_compiled_once():
    x = np.ones(37)
    jit(lambda v: np.sin(v) * 1.25)(x)
    before = compile_stats()
    jit(lambda v: np.sin(v) * 1.25)(x)
    after = compile_stats()
    assert after.compiles == before.compiles and after.disk_hits == before.disk_hits


def test_threads_compile_each_program_once():
    f = jit(lambda x: np.cos(x) * 3.75 + 0.125)
    barrier = threading.Barrier(8)
    results = []

    def work():
        barrier.wait()
        results.append(float(f(np.float32(0.5))))

    before = compile_stats().compiles
    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(results)) == 1 and len(results) == 8
    assert compile_stats().compiles - before <= 1


def test_disable_jit_runs_python():
    seen = []

    @jit
    def f(x):
        seen.append(float(x))
        return x * 2

    with anima.disable_jit():
        assert float(f(2.0)) == 4.0
    assert seen == [2.0]


def test_x64_is_part_of_the_signature():
    f = jit(lambda x: x * 2)
    assert f(1.0).dtype == np.float32
    with anima.enable_x64():
        assert f(1.0).dtype == np.float64
    assert f(1.0).dtype == np.float32


def test_decorator_with_options_and_metadata():
    @jit(static_argnames="n")
    def power(x, n):
        """Documented."""
        return x**n

    assert power.__name__ == "power" and power.__doc__ == "Documented."
    assert float(power(2.0, n=3)) == 8.0
    assert power.eval_shape(1.0, n=2).shape == ()
    power.clear_cache()
    assert float(power(2.0, n=3)) == 8.0


def test_errors_of_the_function_keep_their_type():
    @jit
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        f(1.0)
    assert float(jit(lambda x: x + 1)(1.0)) == 2.0  # the trace was left properly


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: jit(lambda x: x)("text"), TypeError, "argument `x`"),
        (lambda: jit(lambda x: x, static_argnums=0)([1]), ValueError, "unhashable"),
        (lambda: jit(lambda x: x, static_argnums=3), ValueError, "out of range"),
        (lambda: jit(lambda x: x, static_argnames="z"), ValueError, "'z' is not an argument"),
        (lambda: jit(lambda x: x, static_argnums=0, donate_argnums=0), ValueError, "both static and donated"),
        (lambda: jit(5), TypeError, "expects a function"),
        (lambda: jit(lambda x: (yield x)), TypeError, "generator"),
        (lambda: jit(lambda x: object())(1.0), TypeError, "returned a value of type object"),
        (lambda: jit(lambda x: 1 if x else 2)(1.0), errors.TracerBoolConversionError, "passed to bool"),
        (lambda: jit(lambda x: onp.sin(x))(1.0), errors.TracerArrayConversionError, "concrete"),
        (lambda: jit(lambda x: [1, 2, 3][x])(1), errors.TracerIntegerConversionError, "concrete"),
        (lambda: jit(lambda x: float(x))(1.0), errors.ConcretizationTypeError, "passed to float"),
        (lambda: jit(lambda n: np.ones((n,)))(3), errors.ShapeConcretizationError, "full requires shapes"),
        (lambda: jit(lambda x, y: x)(1.0), TypeError, "missing"),
    ],
)
def test_misuse_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_messages_quoted_in_the_sharp_bits():
    with pytest.raises(TypeError) as caught:
        jit(lambda x: 1 if x < 3 else 2)(2)
    assert str(caught.value) == (
        "Abstract value passed to bool, which requires a concrete value. The function to be transformed can't be "
        "traced at the required level of abstraction. If using jit, try using static_argnums or applying jit to "
        "smaller subfunctions instead."
    )
    notes = " ".join(caught.value.__notes__)
    assert "lax.cond" in notes and "'lt'" in notes


def test_many_fresh_functions_leave_nothing_behind():
    def once():
        data = np.ones(8)
        return jit(lambda x: x + data)(1.0)

    once()
    gc.collect()
    before = len(anima._native.live_arrays())
    for _ in range(50):
        once()
    gc.collect()
    assert len(anima._native.live_arrays()) <= before + 8


def test_vmap_of_jit_shares_one_program():
    f = counted(lambda x: np.tanh(x))
    g = jit(f)
    vmap(g)(np.ones(4)), vmap(g)(np.zeros(4))
    assert f.traces == 1


@pytest.mark.parametrize("disable", [True, False])
def test_jit_is_disabled_by_keyword(disable):
    with anima.disable_jit(disable=disable), anima.enable_x64(new_val=True):
        seen = []
        jit(lambda x: seen.append(x))(np.ones(2, "float64"))
        assert isinstance(seen[0], anima.core.Tracer) != disable
        assert seen[0].dtype == "float64"

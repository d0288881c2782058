"""`jit(..., control_flow="convert")`: a corpus of ordinary functions equals its unjitted results; the rest is refused."""

import bisect
import functools
import traceback

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.errors import ConversionError, JaxRuntimeError, TracerBoolConversionError
from tests.transforms.convert_corpus import branches, iterations, refused, structures

CONVERTED = [*branches.CASES, *iterations.CASES, *structures.CASES]
convert = functools.partial(anima.jit, control_flow="convert")


def label(case):
    return getattr(case[0], "__name__", "function")


def equal(got, want):
    leaves, tree = anima.tree.flatten(got)
    others, other_tree = anima.tree.flatten(want)
    assert tree == other_tree
    for a, b in zip(leaves, others):
        onp.testing.assert_allclose(onp.asarray(a), onp.asarray(b), rtol=2e-5, atol=1e-6)


def test_size_of_the_corpus():
    assert len(CONVERTED) >= 60
    assert len({id(fun) for fun, _ in CONVERTED}) == len(CONVERTED)


@pytest.mark.parametrize("fun, inputs", CONVERTED, ids=map(label, CONVERTED))
def test_converted_equals_plain(fun, inputs):
    jitted = convert(fun)
    for args in inputs:
        equal(jitted(*args), fun(*args))


@pytest.mark.parametrize("fun, args, reason", refused.CASES, ids=map(label, refused.CASES))
def test_refused_with_the_reason(fun, args, reason):
    with pytest.raises(ConversionError) as caught:
        convert(fun)(*args)
    text = f"{caught.value}\n{chr(10).join(getattr(caught.value, '__notes__', []))}"
    assert reason in text
    assert "convert_corpus" in text  # the user's file and line


# Transformations


def test_gradient_through_branches_and_loops():
    assert float(anima.grad(convert(branches.piecewise))(2.0)) == 12.0
    assert float(anima.grad(convert(branches.piecewise))(4.0)) == -4.0
    x = np.array([3.0, -1.0, 4.0])
    equal(anima.grad(convert(iterations.horner), 1)(x, 2.0), 2 * 3.0 * 2.0 - 1.0)
    equal(anima.grad(convert(iterations.dot))(x, x + 1), x + 1)


def test_gradient_of_a_loop_that_ends_early():
    """A bound that Python knows makes the loop differentiable backwards."""
    root = convert(iterations.newton_sqrt)
    equal(anima.grad(root)(4.0), 0.25)
    equal(anima.jacfwd(root)(4.0), 0.25)
    equal(anima.vmap(anima.grad(root))(np.array([1.0, 4.0, 9.0])), np.array([0.5, 0.25, 1 / 6]))


def test_forward_derivative_of_a_dynamic_loop():
    _, tangent = anima.jvp(convert(iterations.newton_while), (4.0,), (1.0,))
    equal(tangent, 0.25)
    with pytest.raises(ValueError, match="max_steps"):
        anima.grad(convert(iterations.newton_while))(4.0)


def test_vmap():
    equal(anima.vmap(convert(iterations.collatz))(np.array([1, 2, 3, 27])), np.array([0, 1, 7, 111]))
    scores = np.array([95, 85, 75, 10])
    equal(anima.vmap(convert(branches.grades))(scores), np.array([4, 3, 2, 0]))
    equal(anima.vmap(convert(iterations.gcd))(np.array([12, 17]), np.array([18, 5])), np.array([6, 1]))
    rows = np.array([[3.0, -1.0], [2.0, 5.0]])
    equal(anima.vmap(convert(iterations.first_negative))(rows), np.array([1, -1]))


def test_functions_given_to_transformations_are_converted():
    equal(convert(structures.vmapped_inside)(np.array([3.0, 5.0])), 3.0 + 2.0)


def test_loops_become_loops():
    text = str(convert(iterations.sum_of).trace(np.arange(50.0)).jaxpr)
    assert "scan" in text and text.count("add") < 5
    assert "while" in str(convert(iterations.triangle).trace(5).jaxpr)
    assert "max_steps" in str(convert(iterations.newton_sqrt).trace(5.0).jaxpr)


# Errors while the program runs


def validated(x):
    assert x < 10, "too large"
    if x < 0:
        if x < -5:
            raise ValueError("far too small")
        raise KeyError("negative")
    return x * 2


@pytest.mark.parametrize(
    "x, kind, text",
    [(11.0, AssertionError, "too large"), (-6.0, ValueError, "far"), (-1.0, KeyError, "negative")],
)
def test_raise_on_a_traced_condition(x, kind, text):
    f = convert(validated)
    assert float(f(3.0)) == 6.0
    with pytest.raises(JaxRuntimeError, match=text) as caught:
        f(x).block_until_ready()
    assert isinstance(caught.value.__cause__, kind)


def test_raise_under_vmap_asks_the_conditions_around():
    f = anima.vmap(convert(lambda x, limit: checked_loop(x, limit)))
    equal(f(np.array([1, 4, 2]), np.array([9, 9, 9])), np.array([1, 4, 2]))
    with pytest.raises(JaxRuntimeError, match="limit"):
        anima.block_until_ready(f(np.array([1, 4, 2]), np.array([9, 3, 9])))


def checked_loop(n, limit):
    k = 0
    while k < n:
        k += 1
        if k > limit:
            raise ValueError("limit")
        if n > 3:
            assert k < 5
    return k


def test_static_raise_is_pythons():
    def f(x, mode):
        if mode != "a":
            raise ValueError(f"unknown mode {mode}")
        return x

    with pytest.raises(ValueError, match="unknown mode b"):
        convert(f, static_argnames="mode")(1.0, "b")


def test_raise_caught_where_it_is_raised():
    def f(x):
        if x > 0:
            try:
                raise KeyError("k")
            except KeyError:
                x = x + 1
        return x

    assert float(convert(f)(1.0)) == 2.0


# The user's lines


def test_errors_end_in_the_users_line():
    def f(x):
        if x > 0:
            y = x
            y = np.dot(y, np.ones((2, 3)), np.ones(3), 4, 5, 6, 7)
        return x

    with pytest.raises(TypeError) as caught:
        convert(f)(1.0)
    frames = [
        entry for entry in traceback.extract_tb(caught.value.__traceback__) if entry.filename == __file__
    ]
    assert frames[-1].line is not None and "np.dot(y" in frames[-1].line
    assert frames[-1].name == "f"


def test_equations_keep_the_users_positions():
    def f(x):
        if x > 0:
            return np.sin(x)
        return x

    (equation,) = [e for e in convert(f).trace(1.0).jaxpr.eqns if e.primitive.name == "cond"]
    (sine,) = [e for b in equation.params["branches"] for e in b.jaxpr.eqns if e.primitive.name == "sin"]
    assert sine.source.file == __file__
    assert sine.source.line == f.__code__.co_firstlineno + 2
    assert equation.source.line == f.__code__.co_firstlineno + 1


# The option


def test_without_the_option_nothing_changes():
    with pytest.raises(TracerBoolConversionError):
        anima.jit(branches.piecewise)(2.0)
    assert float(convert(branches.piecewise)(2.0)) == 12.0
    with pytest.raises(TracerBoolConversionError):  # programs are not shared between the two
        anima.jit(branches.piecewise)(2.0)


def test_unknown_value_of_the_option():
    with pytest.raises(ValueError, match="control_flow must be None or 'convert'"):
        anima.jit(lambda x: x, control_flow="autograph")


def test_disable_jit_runs_the_function_itself():
    with anima.disable_jit():
        assert float(convert(branches.piecewise)(2.0)) == 12.0


def test_static_arguments_and_donation():
    f = convert(branches.static_flag, static_argnums=1)
    equal(f(3.0, "double"), 5.0)
    equal(f(3.0, "plain"), 3.0)


def test_no_source():
    namespace = {}
    exec("def f(x):\n    return x if x > 0 else -x\n", namespace)
    with pytest.raises(ConversionError, match="source of f cannot be read"):
        convert(namespace["f"])(1.0)


def test_shared_names_and_closures_stay_shared():
    factor = 2.0

    def f(x):
        return x * factor if x > 0 else x

    jitted = convert(f)
    assert float(jitted(1.0)) == 2.0
    factor = 3.0
    jitted.clear_cache()
    assert float(jitted(1.0)) == 3.0


def test_side_effects_at_trace_time_happen_as_in_python():
    seen = []

    def f(x, n):
        for i in range(n):
            seen.append(i)
            if x > i:
                x = x - 1
        return x

    equal(convert(f, static_argnums=1)(5.0, 3), f(5.0, 3))
    assert seen == [0, 1, 2, 0, 1, 2]


def test_containers_of_the_caller_are_put_back_when_a_branch_writes_them():
    def f(x):
        log = {"n": 0}

        def note():
            log["n"] += 1

        if x > 0:
            note()
        else:
            note()
            note()
        return log["n"]

    assert int(convert(f)(1.0)) == 1
    assert int(convert(f)(-1.0)) == 2


def test_logic_evaluates_an_operand_only_where_python_does():
    def f(n):
        return n != 0 and forever_unless(n) > 0

    def forever_unless(n):
        while n == 0:
            n = n * 1
        return n

    assert not bool(convert(f)(0))
    assert bool(convert(f)(3))


def test_inside_structured_control_flow():
    def body(carry, x):
        return convert(branches.promoted)(carry) + x, carry

    total, _ = lax.scan(body, 1.0, np.array([1.0, -9.0, 2.0]))
    want = 1.0
    for x in (1.0, -9.0, 2.0):
        want = float(branches.promoted(want)) + x
    equal(total, want)


def test_wide_types():
    with anima.enable_x64():
        out = convert(iterations.sum_of)(np.arange(3.0))
        assert out.dtype == onp.float64
    assert convert(branches.promoted)(np.float32(2)).dtype == onp.float32


def test_containers_that_library_code_changes():
    def f(x):
        order = [1, 3]
        if x > 0:
            bisect.insort(order, 2)
            order.pop()
        return order[1] * x

    equal(convert(f)(2.0), 4.0)
    equal(convert(f)(-2.0), -6.0)

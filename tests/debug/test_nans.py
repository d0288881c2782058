"""`debug_nans` and `debug_infs`: the operation and the line, wherever the NaN is made, and nothing runs twice."""

import inspect

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import config, debug_infs, debug_nans, errors, grad, jit, lax, vmap


def line_of(function, text):
    """`file:line` of the first line of a function that contains a text."""
    lines, first = inspect.getsourcelines(function)
    return f"{__file__}:{first + next(i for i, line in enumerate(lines) if text in line)} "


def error_of(function, *args):
    with debug_nans(True), pytest.raises(errors.NonFiniteError) as caught:
        function(*args)
    assert str(caught.value).startswith("invalid value (nan) encountered in ")
    return caught.value


def body(x):
    y = x * 2.0
    return np.log(y) + 1.0  # made here


def loop(x):
    return lax.fori_loop(0, 4, lambda i, c: body(c), x)


def scanned(x):
    return lax.scan(lambda c, _: (c - 1.0, body(c)), x, None, length=4)


def stopped(x):
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, body(c[1])), (0, x))


@anima.custom_jvp
def with_rule(x):
    return body(x)


with_rule.defjvp(lambda primals, tangents: (body(*primals), tangents[0]))


@pytest.mark.parametrize(
    "function",
    [
        body,
        jit(body),
        jit(lambda x: jit(body)(x)),
        jit(lambda x: lax.cond(x < 0, body, np.sin, x)),
        jit(lambda x: lax.switch(1, [np.sin, body], x)),
        loop, jit(loop), scanned, jit(scanned), stopped, jit(stopped),
        jit(lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, body(c[1])), (0, x), max_steps=4)),
        jit(with_rule), jit(anima.checkpoint(body)),
        lambda x: vmap(body)(np.stack([1.0, x])),
        lambda x: jit(vmap(scanned))(np.stack([9.0, x])),
        lambda x: anima.value_and_grad(jit(body))(x),
        lambda x: jit(grad(lambda v: body(v) * 0.0 + body(v) ** 2))(x),
        lambda x: anima.jvp(jit(body), (x,), (x,)),
    ],
)  # fmt: skip
def test_the_operation_and_its_line(function):
    error = error_of(function, -1.0)
    assert (error.kind, error.primitive, error.forward) == ("nan", "log", "")
    assert error.where.startswith(line_of(body, "made here")), error.where
    with debug_nans(True):  # the kept program gives results where they are finite
        out = function(9.0)
    assert onp.isfinite(onp.asarray(anima.tree.leaves(out)[0])).all()


def root(x):
    return np.where(x > 0, np.sqrt(x), 0.0)  # forward


@pytest.mark.parametrize(
    "function",
    [
        root,
        jit(root),
        lambda x: lax.scan(lambda c, _: (root(c), None), x, None, length=2)[0],
        anima.checkpoint(root),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_backward_passes_name_the_forward_line_too(function, compiled):
    def asked(x):
        return grad(function)(x)  # gradient

    error = error_of(jit(asked) if compiled else asked, 0.0)
    assert error.primitive == "mul"
    assert error.where.startswith(line_of(asked, "# gradient")), error.where
    assert error.forward.startswith(line_of(root, "# forward")), error.forward
    assert "in the backward pass of" in str(error) and "np.sqrt(x)" in "".join(error.__notes__)


@pytest.mark.parametrize("compiled", [False, True])
def test_backward_rules_of_users(compiled):
    rule = anima.custom_vjp(lambda x: x + 1.0)

    def bwd(x, ct):
        return (np.log(x) * ct,)  # rule

    rule.defvjp(lambda x: (x + 1.0, x), bwd)

    def f(x):
        return rule(x) * 2.0  # use

    error = error_of((jit if compiled else lambda g: g)(grad(f)), -1.0)
    assert error.primitive == "log" and error.where.startswith(line_of(bwd, "# rule"))
    assert error.forward.startswith(line_of(f, "# use"))


def test_only_what_reaches_a_result_raises():
    with debug_nans(True):
        assert float(jit(lambda x: np.where(x > 0, np.log(x), 0.0))(-1.0)) == 0.0
    error = error_of(jit(lambda x: np.where(x > 0, np.log(x), 0.0) + (x + 1) / (x + 1)), -1.0)
    assert error.primitive == "div"  # not the logarithm, which is masked


def test_nothing_runs_twice_and_order_is_kept():
    seen, traces = [], []

    @jit
    def f(x):
        traces.append(1)
        y = anima.pure_callback(
            lambda v: (seen.append(float(v)), v)[1], anima.ShapeDtypeStruct((), np.float32), x
        )
        anima.debug.callback(lambda v: seen.append("after"), y, ordered=True)
        return np.log(y)

    assert error_of(f, -1.0).primitive == "log"
    with debug_nans(True):
        f(1.0)
        anima.effects_barrier()
    assert seen == [-1.0, "after", 1.0, "after"] and len(traces) == 1


def test_donated_arguments_stay():
    f = jit(lambda x: np.log(x), donate_argnums=0)
    x = -np.ones(3)
    assert error_of(f, x).primitive == "log" and not x.is_deleted()


def test_library_functions_are_named_at_the_line_that_calls_them():
    f = jit(np.log)
    for function in (np.log, f):

        def first(function=function):
            function(-1.0)  # first

        def second(function=function):
            function(-1.0)  # second: by the program that the first one traced

        assert error_of(first).where.startswith(line_of(first, "# first"))
        assert error_of(second).where.startswith(line_of(second, "# second"))


def test_arguments_and_constants_that_are_nan():
    error = error_of(jit(lambda x, y: x + y), 1.0, float("nan"))
    assert error.primitive == "add" and "`y` (nan)" in error.__notes__[-1]
    assert "is an argument or a constant" in str(error_of(jit(lambda x: x), float("nan")))


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float32", "complex64"]
)
def test_dtypes(dtype):
    x = np.asarray([1.0, 0.0], dtype)
    error = error_of(jit(lambda v: v / v), x)
    assert error.primitive == "div"


def test_infinities():
    with debug_infs(True):
        with pytest.raises(FloatingPointError, match=r"invalid value \(inf\) encountered in div"):
            np.array(1.0) / 0.0
        with pytest.raises(FloatingPointError, match=r"invalid value \(inf\) encountered in log"):
            jit(lambda x: lax.fori_loop(0, 2, lambda i, c: np.log(c), x))(1.0)
        assert np.isnan(np.array(0.0) / 0.0)
        with debug_nans(True), pytest.raises(FloatingPointError, match=r"\(inf\) encountered in div"):
            jit(lambda x: 0 * (x / 0.0))(1.0)


def test_compiled_ahead_of_time():
    compiled = jit(lambda x: np.log(x)).lower(1.0).compile()
    assert "the result of <lambda>" in str(error_of(compiled, -1.0))


def test_off_again_by_every_way():
    for switch in ("jax_debug_nans", "anima_debug_nans"):
        config.update(switch, True)
        try:
            with pytest.raises(FloatingPointError):
                np.log(-1.0)
        finally:
            config.update(switch, False)
        assert np.isnan(np.log(-1.0))
    text = jit(lambda x: np.log(x)).lower(1.0).as_text()
    with debug_nans(True):
        assert jit(lambda x: np.log(x)).lower(1.0).as_text() == text


@pytest.mark.parametrize("variable", ["JAX_DEBUG_NANS", "ANIMA_DEBUG_NANS"])
def test_the_environment_variable(run_python, variable):
    done = run_python("import anima, anima.numpy as np\nnp.zeros(1) / 0", env={variable: "True"}, expect=1)
    assert "NonFiniteError: invalid value (nan) encountered in div at <string>:2 (<module>)" in done.stderr


@pytest.mark.parametrize("flag", ["--jax_debug_nans=True", "--jax_debug_nans"])
def test_the_flag(run_python, flag):
    program = "import anima, anima.numpy as np\nanima.config.parse_flags_with_absl()\nanima.jit(np.log)(-np.ones(3))"
    done = run_python(program, flag, expect=1)
    assert "NonFiniteError: invalid value (nan) encountered in log at <string>:3 (<module>)" in done.stderr
    run_python(program)

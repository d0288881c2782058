"""`checkpoint`: values and derivatives are those of the function, and the reverse pass keeps what the policy says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import checkpoint, checkpoint_policies as policies, grad, jit, lax, vmap
from anima.ad_checkpoint import (
    checkpoint_name,
    saved_residuals,
)
from anima.core.jaxpr import Jaxpr, subjaxprs
from anima.lowering.module import lower_module

W = onp.linspace(-0.9, 1, 16, dtype=onp.float32).reshape(4, 4)
X = onp.array([0.1, -0.2, 0.3, 0.4], onp.float32)
XS = onp.linspace(-1, 1, 20, dtype=onp.float32).reshape(5, 4)


# ---------------------------------------------------------------------------------------------
# The programs that the tests differentiate: scalar functions of (W, X, XS).


def layers(w: Any, x: Any, xs: Any) -> Any:
    h = np.tanh(checkpoint_name(w @ x, "h"))
    return (np.sin(checkpoint_name(w @ h, "z")) * xs).sum()


def looped(w: Any, x: Any, xs: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        c = np.tanh(checkpoint_name(w @ c, "h") + row)
        return c, np.exp(checkpoint_name(np.sin(c * row), "z"))

    c, ys = lax.scan(step, x, xs)
    return (c * ys).sum()


def branched(w: Any, x: Any, xs: Any) -> Any:
    def first(w: Any, x: Any) -> Any:
        return checkpoint_name(np.tanh(np.sin(w @ x)), "h") * x

    def second(w: Any, x: Any) -> Any:
        return np.cos(checkpoint_name(np.exp(x), "z")) * np.tanh(np.tanh(w)).sum()

    return (lax.cond(x[0] > 0, first, second, w, x) * xs).sum() + lax.cond(
        x[1] > 0, first, second, w, x
    ).sum()


def called(w: Any, x: Any, xs: Any) -> Any:
    @jit
    def inner(w: Any, x: Any) -> Any:
        return np.tanh(checkpoint_name(w @ np.sin(x), "h")), checkpoint_name(np.cos(x), "z")

    a, b = inner(w, x)
    return (np.sin(a) * np.exp(b) * xs).sum()


def counted(w: Any, x: Any, xs: Any) -> Any:
    n = lax.while_loop(lambda c: c < 3, lambda c: c + 1, 0)
    return lax.fori_loop(0, 3, lambda i, c: np.tanh(checkpoint_name(w @ c, "h")) * xs[i], x).sum() * n


def nested(w: Any, x: Any, xs: Any) -> Any:
    f = checkpoint(lambda w, x: np.sin(checkpoint_name(np.sin(w @ x), "h")))
    return checkpoint(lambda w, x: (np.tanh(f(w, f(w, x))) * xs).sum())(w, x)


@anima.custom_jvp
def cube(x: Any) -> Any:
    return x**3


cube.defjvp(lambda primals, tangents: (cube(primals[0]), 3 * primals[0] ** 2 * tangents[0]))


@anima.custom_vjp
def bounded(x: Any) -> Any:
    return np.sin(x)


bounded.defvjp(lambda x: (bounded(x), np.cos(x)), lambda cos, ct: (np.clip(cos * ct, -0.9, 0.9),))


def with_own_rules(w: Any, x: Any, xs: Any) -> Any:
    return (cube(np.sin(w @ x)) * bounded(xs)).sum()


PROGRAMS = (layers, looped, branched, called, counted, nested, with_own_rules)
POLICIES = {
    "none": None,
    "everything": policies.everything_saveable,
    "dots": policies.dots_saveable,
    "h": policies.save_only_these_names("h"),
    "but h": policies.save_anything_except_these_names("h"),
    "offload": policies.offload_dot_with_no_batch_dims("device", "pinned_host"),
}


def derivatives(f: Callable[..., Any]) -> Callable[..., Any]:
    """The value, the gradient, the batched gradient and a second derivative."""

    def all_of_them(w: Any, x: Any, xs: Any) -> Any:
        df = grad(f, (0, 1, 2))
        batched = vmap(df, (None, 0, None))(w, np.stack([x, -x]), xs)
        _, second = anima.jvp(lambda *args: grad(f, (0, 1))(*args), (w, x, xs), (w, x, xs))
        return anima.value_and_grad(f, (0, 1, 2))(w, x, xs), batched, second

    return all_of_them


def assert_close(ours: Any, want: Any, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    for a, b in zip(anima.tree.leaves(ours), anima.tree.leaves(want), strict=True):
        onp.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def own_derivatives(f: Callable[..., Any]) -> Callable[..., Any]:
    """As `derivatives`, for a function with `custom_vjp` in it, which has no forward derivative."""
    return lambda *args: (anima.value_and_grad(f, (0, 1, 2))(*args), vmap(grad(f, 1), (None, 0, None))(args[0], np.stack([args[1]] * 2), args[2]))  # fmt: skip


@functools.cache
def expected(program: Callable[..., Any]) -> Any:
    return jit(derivatives_of(program)(program))(W, X, XS)


def derivatives_of(program: Any) -> Any:
    return own_derivatives if program is with_own_rules else derivatives


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_derivatives_are_those_of_the_function(program: Any, policy: str) -> None:
    f = checkpoint(program, policy=POLICIES[policy])
    assert_close(jit(derivatives_of(program)(f))(W, X, XS), expected(program))
    assert_close(anima.value_and_grad(f, (0, 1, 2))(W, X, XS), expected(program)[0])  # eagerly


@pytest.mark.parametrize("program", [layers, looped, branched])
def test_derivatives_against_finite_differences(program: Any) -> None:
    with anima.enable_x64():
        args = [onp.asarray(a, onp.float64) for a in (W, X, XS)]
        rng = onp.random.default_rng(0)
        direction = [rng.normal(size=a.shape) for a in args]
        step = 1e-6
        ends = [program(*[a + s * step * d for a, d in zip(args, direction)]) for s in (1, -1)]
        want = (float(ends[0]) - float(ends[1])) / (2 * step)
        for policy in (None, policies.dots_saveable):
            f = checkpoint(program, policy=policy)
            grads = jit(grad(f, (0, 1, 2)))(*args)
            assert sum(onp.vdot(g, d) for g, d in zip(grads, direction)) == pytest.approx(want, rel=1e-6)
            assert float(anima.jvp(f, args, direction)[1]) == pytest.approx(want, rel=1e-6)


def test_forward_mode_linearize_and_hessian() -> None:
    f = lambda x: np.sin(np.sin(x)).sum()
    g = checkpoint(f)
    value, linear = anima.linearize(g, X)
    assert_close((value, linear(X)), anima.jvp(f, (X,), (X,)))
    assert_close(anima.jvp(g, (X,), (X,)), anima.jvp(f, (X,), (X,)))
    assert_close(anima.hessian(g)(X), anima.hessian(f)(X))
    assert_close(anima.jacrev(checkpoint(np.sin))(X), onp.diag(onp.cos(X)))
    third = grad(grad(grad(checkpoint(np.sin))))
    assert float(third(0.5)) == pytest.approx(-onp.cos(0.5), rel=1e-6)


def test_the_value_is_that_of_the_function() -> None:
    f = lambda x, y: {"a": np.sin(x) + y, "b": (x, 3)}
    got, want = checkpoint(f)(X, 2.0), f(X, 2.0)
    assert anima.tree.structure(got) == anima.tree.structure(want)
    assert_close(got, want, rtol=1e-6)
    assert_close(jit(checkpoint(f))(X, 2.0), want, rtol=1e-6)


def test_pytrees_auxiliary_data_integers_and_keywords() -> None:
    @checkpoint
    def f(params: Any, n: Any, *, scale: Any) -> Any:
        y = np.sin(params["w"] * scale) * n
        return y.sum(), {"y": y, "n": n + 1, "none": None}

    (_, aux), gradient = anima.value_and_grad(f, has_aux=True)({"w": X, "unused": 1.0}, 3, scale=2.0)
    onp.testing.assert_allclose(gradient["w"], 6 * onp.cos(2 * X), rtol=1e-6)
    assert float(gradient["unused"]) == 0 and int(aux["n"]) == 4 and aux["none"] is None
    onp.testing.assert_allclose(aux["y"], 3 * onp.sin(2 * X), rtol=1e-6)
    _, pullback = anima.vjp(lambda n: f({"w": X}, n, scale=1.0)[0], 3)
    assert pullback(onp.float32(1))[0].dtype == anima.dtypes.float0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "complex64", "complex128"])
def test_dtypes(dtype: str) -> None:
    with anima.enable_x64(dtype in ("float64", "complex128")):
        x = np.asarray(X).astype(dtype) * (1 if dtype[0] != "c" else 1 + 0.5j)
        f = lambda x: (np.sin(np.sin(x) * x) ** 2).sum().real
        twice = lambda f: lambda x: f(x) + f(x * 2)
        ours, want = jit(grad(twice(checkpoint(f))))(x), jit(grad(twice(f)))(x)
        assert ours.dtype == want.dtype == np.dtype(dtype)
        bound = {"bfloat16": 5e-2, "float16": 5e-3}.get(dtype, 1e-5)
        wide = onp.complex128 if dtype[0] == "c" else onp.float64
        onp.testing.assert_allclose(
            onp.asarray(ours).astype(wide), onp.asarray(want).astype(wide), bound, bound
        )


def test_empty_arrays_weak_types_and_nan() -> None:
    f = checkpoint(lambda x: np.sin(np.sin(x)).sum())
    assert jit(grad(f))(onp.zeros((0, 3), onp.float32)).shape == (0, 3)
    assert onp.isnan(jit(grad(f))(onp.float32("nan")))
    assert checkpoint(lambda x: x * 2)(1.0).weak_type and not f(X).weak_type
    assert vmap(grad(f))(onp.zeros((0, 3), onp.float32)).shape == (0, 3)


# ---------------------------------------------------------------------------------------------
# What is kept, and what is computed again.


def kept(f: Callable[..., Any], *args: Any) -> list[str]:
    return [f"{aval.str_short()} {text.split(' from /')[0]}" for aval, text in saved_residuals(f, *args)]


ARGUMENTS = ["f32[4,4] from the argument w", "f32[4] from the argument x", "f32[5,4] from the argument xs"]


@pytest.mark.parametrize(
    ("policy", "more"),
    [
        (None, []),
        (policies.nothing_saveable, []),
        (policies.dots_saveable, ["f32[4] output of dot_general"] * 2),
        (policies.dots_with_no_batch_dims_saveable, ["f32[4] output of dot_general"] * 2),
        (policies.save_only_these_names("h"), ["f32[4] named 'h'"]),
        (policies.save_any_names_but_these("h"), ["f32[4] named 'z'"]),
        (policies.save_only_these_names("no such name"), []),
        (
            policies.save_from_both_policies(
                policies.save_only_these_names("z"), policies.save_only_these_names("h")
            ),
            ["f32[4] named 'h'", "f32[4] named 'z'"],
        ),
        (lambda primitive, *_, **__: primitive.name == "tanh", ["f32[4] output of tanh"]),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
def test_what_a_policy_keeps(policy: Any, more: list[str]) -> None:
    assert kept(checkpoint(layers, policy=policy), W, X, XS) == ARGUMENTS + more


def test_everything_saveable_keeps_what_the_plain_function_does() -> None:
    ours = saved_residuals(checkpoint(layers, policy=policies.everything_saveable), W, X, XS)
    plain = saved_residuals(layers, W, X, XS)
    assert len(ours) == len(plain) > len(ARGUMENTS)
    # Broadcasts are not kept, but what they come from.
    assert sum(aval.nbytes for aval, _ in ours) < sum(aval.nbytes for aval, _ in plain)


def test_scans_stack_named_values_only() -> None:
    body = lambda c, row: (np.tanh(np.sin(checkpoint_name(np.exp(c), "e")) + row), None)
    names = policies.save_only_these_names("e")
    loops = {
        "plain": lambda c, xs: lax.scan(body, c, xs)[0],
        "checkpointed body": lambda c, xs: lax.scan(checkpoint(body, prevent_cse=False), c, xs)[0],
        "body with names": lambda c, xs: lax.scan(checkpoint(body, policy=names), c, xs)[0],
        "loop": checkpoint(lambda c, xs: lax.scan(body, c, xs)[0]),
        "loop with names": checkpoint(lambda c, xs: lax.scan(body, c, xs)[0], policy=names),
    }
    stacks = {
        key: sum(aval.shape == (5, 4) for aval, text in saved_residuals(f, X, XS) if "argument" not in text)
        for key, f in loops.items()
    }
    assert stacks["plain"] > 2
    assert stacks["checkpointed body"] == 1  # the carry at the beginning of each iteration
    assert stacks["body with names"] == 2
    assert stacks["loop"] == 0 and stacks["loop with names"] == 1
    want = grad(lambda c, xs: loops["plain"](c, xs).sum(), (0, 1))(X, XS)
    for f in loops.values():
        assert_close(jit(grad(lambda c, xs, f=f: f(c, xs).sum(), (0, 1)))(X, XS), want)


def equations(jaxpr: Jaxpr) -> list[Any]:
    """All equations, those of inner programs too."""
    found = []
    for eqn in jaxpr.eqns:
        found.append(eqn)
        for inner in subjaxprs(eqn.params):
            found += equations(inner)
    return found


def names(jaxpr: Jaxpr) -> list[str]:
    return [eqn.primitive.name for eqn in equations(jaxpr)]


def test_the_backward_pass_computes_again() -> None:
    def f(x: Any) -> Any:
        return np.sin(np.sin(np.sin(x)))

    plain = anima.make_jaxpr(grad(f))(1.0).jaxpr
    assert names(plain).count("sin") == names(plain).count("cos") == 3
    ours = anima.make_jaxpr(grad(checkpoint(f)))(1.0).jaxpr
    forward, backward = ours.eqns
    assert names(forward.params["jaxpr"].jaxpr) == ["sin"] * 3
    assert len(forward.outvars) == 1, "the forward pass hands over nothing but the value"
    again = names(backward.params["jaxpr"].jaxpr)
    assert backward.primitive.name == "checkpoint" and backward.params["differentiated"]
    assert again.count("sin") == 2 and again.count("cos") == 3  # the last sine is not needed
    assert [v.aval.shape for v in backward.invars] == [(), ()]  # the argument and the cotangent


def test_policies_move_equations_from_the_backward_to_the_forward_pass() -> None:
    def f(x: Any) -> Any:
        return np.sin(np.sin(np.sin(x)))

    policy = lambda primitive, *_, **__: primitive.name == "cos"
    forward, backward = anima.make_jaxpr(grad(checkpoint(f, policy=policy)))(1.0).jaxpr.eqns
    assert names(forward.params["jaxpr"].jaxpr).count("cos") == 3
    assert set(names(backward.params["jaxpr"].jaxpr)) == {"mul"}


def test_a_second_derivative_keeps_as_little() -> None:
    def f(x: Any) -> Any:
        return np.sin(np.sin(x))

    g = checkpoint(f)
    penalty = lambda x: (g(x) + grad(g)(x)) ** 2
    plain = lambda x: (f(x) + grad(f)(x)) ** 2
    assert float(jit(grad(penalty))(0.5)) == pytest.approx(float(grad(plain)(0.5)), rel=1e-5)
    # From the forward and the backward pass only the values that are squared.
    assert len(kept(penalty, 0.5)) == 2 < len(kept(plain, 0.5))


def test_what_no_result_needs_is_not_computed_again() -> None:
    @checkpoint
    def f(x: Any, y: Any) -> Any:
        return np.sin(np.sin(x)), np.exp(np.exp(y)), np.tan(x)

    jaxpr = anima.make_jaxpr(grad(lambda x, y: f(x, y)[0]))(1.0, 2.0).jaxpr
    backward = names(jaxpr.eqns[-1].params["jaxpr"].jaxpr)
    assert "exp" not in backward and "tan" not in backward
    text = jit(grad(lambda x, y: f(x, y)[0])).lower(1.0, 2.0).as_text()
    assert "stablehlo.exponential" not in text and "stablehlo.tan" not in text
    assert "stablehlo.sine" in text


# ---------------------------------------------------------------------------------------------
# Compiled programs.


def block(x: Any, w: Any) -> Any:
    for _ in range(4):
        x = np.tanh(x @ w)
    return x


def chain(of: Callable[..., Any], length: int = 8) -> Callable[..., Any]:
    def f(x: Any, w: Any) -> Any:
        for _ in range(length):
            x = of(x, w)
        return x.sum()

    return f


def units(f: Callable[..., Any], x: Any, *args: Any) -> float:
    """The temporary memory of the compiled gradient, in arrays like `x`."""
    stats = jit(grad(f)).lower(x, *args).compile().memory_analysis()
    return float(stats.temp_size_in_bytes / x.nbytes)


@pytest.mark.cpu
def test_compiled_programs_need_less_memory() -> None:
    x, w = onp.ones((512, 32), onp.float32), onp.ones((32, 32), onp.float32)
    plain = units(chain(block), x, w)
    assert plain >= 8 * 4 - 1  # a residual for each layer
    assert units(chain(checkpoint(block)), x, w) <= 8 + 4  # the blocks' arguments, and the layers of one
    pair = lambda x, w: checkpoint(block)(checkpoint(block)(x, w), w)
    assert units(chain(checkpoint(pair), 4), x, w) <= 4 + 2 + 4
    # Without fences XLA merges the second computation with the first one.
    assert units(chain(checkpoint(block, prevent_cse=False)), x, w) == pytest.approx(plain, rel=0.1)


@pytest.mark.cpu
def test_compiled_loops_need_less_memory() -> None:
    x, w = onp.ones((512, 32), onp.float32), onp.ones((32, 32), onp.float32)

    def loop(of: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, w: lax.scan(lambda c, _: (of(c, w), None), x, None, length=8)[0].sum()

    plain = units(loop(block), x, w)
    assert plain > 8 * 4 - 1
    for prevent_cse in (True, False):
        assert units(loop(checkpoint(block, prevent_cse=prevent_cse)), x, w) < plain / 2


def lowered(f: Callable[..., Any], *args: Any, platform: str = "cpu") -> str:
    return lower_module(anima.make_jaxpr(f)(*args), name="f", platform=platform).text


def test_fences() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sin(np.sin(x * y))

    def gradient(prevent_cse: Any) -> Callable[..., Any]:
        return lambda x, y, ct: anima.vjp(checkpoint(f, prevent_cse=prevent_cse), x, y)[1](ct)

    args = (onp.float32(1), onp.float32(2), onp.float32(1))
    for prevent_cse, operands in ((True, 3), (False, 0), ((True, False), 2), ([False, True], 2)):
        text = lowered(gradient(prevent_cse), *args, platform="cuda")
        fence = [line for line in text.splitlines() if "optimization_barrier" in line]
        assert len(fence) == bool(operands)
        assert not fence or fence[0].split(") ->")[0].count("f32") == operands
    # XLA's CPU compiler drops such barriers, so there it is a branch that is always taken.
    text = lowered(gradient(True), *args)
    assert "optimization_barrier" not in text and text.count("stablehlo.case") == 1
    assert "stablehlo.case" not in lowered(gradient(False), *args)
    # Not differentiated, it is a plain call.
    assert "stablehlo.case" not in lowered(checkpoint(f), *args[:2])


def test_no_fence_where_there_is_nothing_to_merge() -> None:
    f = lambda x: np.sin(np.sin(x))
    in_loop = lambda f: grad(lambda x: lax.scan(lambda c, _: (jit(f)(c), None), x, None, length=3)[0])
    in_branch = lambda f: grad(lambda x: lax.cond(x > 0, f, np.cos, x))
    for where in (in_loop, in_branch):
        assert "optimization_barrier" not in lowered(where(checkpoint(f)), 1.0, platform="cuda")
    # A whole gradient in a loop's body has both computations there.
    step = lambda x: lax.scan(lambda c, _: (c - grad(checkpoint(f))(c), None), x, None, length=3)[0]
    assert "optimization_barrier" in lowered(step, 1.0, platform="cuda")
    everything = grad(checkpoint(f, policy=policies.everything_saveable))
    assert "optimization_barrier" not in lowered(everything, 1.0, platform="cuda")


def test_offloaded_values_wait_in_another_memory() -> None:
    policy = policies.save_and_offload_only_these_names(
        names_which_can_be_saved=["z"], names_which_can_be_offloaded=["h"], offload_src="device", offload_dst="pinned_host"
    )  # fmt: skip
    f = checkpoint(layers, policy=policy)
    text = lowered(grad(f), W, X, XS, platform="cuda")
    moves = [line for line in text.splitlines() if "annotate_device_placement" in line]
    assert [("pinned_host" in line, '"device"' in line) for line in moves] == [(True, False), (False, True)]
    assert "annotate_device_placement" not in lowered(grad(f), W, X, XS)
    assert_close(jit(grad(f))(W, X, XS), grad(layers)(W, X, XS))
    assert kept(f, W, X, XS)[3:] == ["f32[4] output of transfer", "f32[4] named 'z'"]

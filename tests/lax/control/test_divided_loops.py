"""Loops of unknown length that compute known values beside others: the known ones are not taken for linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import checkpoint, debug, grad, jit, jvp, lax, linear_transpose, linearize, make_jaxpr
from anima.custom_batching import custom_vmap

Fun = Callable[[Any], Any]


def counted(x: Any, **bound: int) -> Any:
    step = lambda s: (s[0] + 1, np.sin(s[1]) * x)
    return lax.while_loop(lambda s: s[0] < 3, step, (0, x), **bound)[1] ** 2


def until_small(x: Any) -> Any:
    step = lambda s: (np.sin(s[0]) * x, s[1] * 0.5 * np.abs(x))
    return lax.while_loop(lambda s: s[1] > 0.1, step, (x, x * 1.0), max_steps=50)[0] ** 2


LOOPS: dict[str, Fun] = {
    "counted": lambda x: counted(x, max_steps=7),
    "until small": until_small,
    "no bound": counted,
}
FORMS: dict[str, Callable[[Fun], Fun]] = {
    "itself": lambda f: f,
    "gradient": grad,
    "linear part": lambda f: lambda x: linearize(f, x)[1](np.cos(x)),
    "second gradient": lambda f: grad(grad(f)),
    "checkpoint": lambda f: grad(checkpoint(f)),
    "compiled": jit,
}


CASES = [("until small", form) for form in FORMS]
CASES += [(loop, form) for loop in ("counted", "no bound") for form in ("itself", "gradient")]


@pytest.mark.parametrize(("loop", "form"), CASES)
def test_derivatives_transpose(loop: str, form: str) -> None:
    f = FORMS[form](LOOPS[loop])
    with anima.enable_x64(True):
        x, step = onp.float64(0.7), 1e-6
        slope = (f(x + step) - f(x - step)) / (2 * step)
        (back,) = linear_transpose(lambda v: jvp(f, (x,), (v,))[1], x)(1.0)
        onp.testing.assert_allclose(back, slope, rtol=1e-6)
        (again,) = linear_transpose(linearize(f, x)[1], x)(1.0)
        onp.testing.assert_allclose(again, slope, rtol=1e-6)


def test_a_rule_for_batches_in_the_body_divides_too() -> None:
    """Its derivative is one call for values and tangents."""
    negated = custom_vmap(lambda x: -x)
    negated.def_vmap(lambda size, mapped, x: (-x, True))

    def f(x: Any, n: Any, **bound: int) -> Any:
        step = lambda s: (s[0] + 1, jvp(negated, (s[1],), (np.sin(s[1]),))[1] * s[1])
        return lax.while_loop(lambda s: s[0] < n, step, (0, x), **bound)[1]

    expected = grad(lambda x: -np.sin(-np.sin(x) * x) * (-np.sin(x) * x))(0.7)
    (back,) = linear_transpose(lambda v: jvp(lambda x: f(x, 2, max_steps=3), (0.7,), (v,))[1], 0.7)(1.0)
    onp.testing.assert_allclose(back, expected, rtol=1e-5)
    slope = jit(lambda n: linearize(lambda x: f(x, n), 0.7)[1](1.0))(2)
    onp.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_a_known_number_of_steps_transposes() -> None:
    f = lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, 2 * s[1]), (0, x))[1]
    assert linear_transpose(f, 1.0)(1.0)[0] == 8.0
    with pytest.raises(ValueError, match="max_steps"):
        jit(lambda n: linear_transpose(
            lambda x: lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, 2 * s[1]), (0, x))[1], 1.0
        )(1.0))(3)  # fmt: skip


def test_known_values_are_computed_by_one_loop() -> None:
    """Where the number of steps is not known, the tangents' loop computes them again, and nothing else does."""

    @jit
    def f(x: Any, n: Any) -> Any:
        y, tangent = linearize(lambda x: lax.fori_loop(0, n, lambda i, c: np.sin(c), x), x)
        return y, tangent(1.0)

    y, slope = f(0.5, 3)
    sines = onp.sin([0.5, onp.sin(0.5), onp.sin(onp.sin(0.5))])
    onp.testing.assert_allclose(y, sines[2], rtol=1e-6)
    onp.testing.assert_allclose(slope, onp.cos([0.5, *sines[:2]]).prod(), rtol=1e-6)
    assert str(make_jaxpr(f)(0.5, 3)).count("while[") == 2


def test_what_a_loop_does_happens_once_in_each_loop() -> None:
    seen: list[int] = []

    def f(x: Any, n: Any) -> Any:
        def step(s: tuple[Any, Any]) -> tuple[Any, Any]:
            debug.callback(lambda i: seen.append(int(i)), s[0], ordered=True)
            return s[0] + 1, s[1] * 2

        return lax.while_loop(lambda s: s[0] < n, step, (0, x))[1]

    @jit
    def g(x: Any, n: Any) -> Any:
        y, tangent = linearize(lambda x: f(x, n), x)
        return y, tangent(1.0)

    assert g(1.0, 2) == (4.0, 4.0)
    anima.effects_barrier()
    assert seen == [0, 1, 0, 1]  # the values' loop, then the tangents'


def test_a_loop_with_known_parts_in_a_checkpoint() -> None:
    """The part that does not depend on the argument is known, with every policy."""

    def f(x: Any, k: Any) -> Any:
        step = lambda s: (s[0] + 1, s[1] * 1.5, s[2] * s[1])
        return lax.while_loop(lambda s: s[0] < 3, step, (0, k, x), max_steps=5)[2] ** 2

    policies = anima.checkpoint_policies
    for policy in (None, policies.everything_saveable, policies.nothing_saveable, policies.dots_saveable):
        g = lambda k, policy=policy: grad(checkpoint(lambda x: f(x, k), policy=policy))(2.0)
        expected = 4.0 * (1.1**3 * 1.5**3) ** 2
        onp.testing.assert_allclose(g(1.1), expected, rtol=1e-5)
        onp.testing.assert_allclose(jit(g)(1.1), expected, rtol=1e-5)

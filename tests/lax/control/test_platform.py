"""`platform_dependent`: the choice is the compiler's platform, and no other branch has to compile for it."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.errors import MissingRuleError
from tests.lax.control.helpers import assert_trees_close

pytestmark = pytest.mark.cpu
X = onp.array([1.0, 2.0, 3.0], onp.float32)


def fun(x: Any, scale: Any = 2.0) -> Any:
    return lax.platform_dependent(
        x, scale, cpu=lambda x, s: np.sin(x) * s, tpu=lambda x, s: np.cos(x), default=lambda x, s: x
    )


def plain(x: Any, scale: Any = 2.0) -> Any:
    return np.sin(x) * scale


TRANSFORMS: dict[str, Any] = {
    "value": lambda f: f,
    "grad": lambda f: anima.grad(lambda x, s=2.0: f(x, s).sum(), (0, 1)),
    "vmap of grad": lambda f: anima.vmap(anima.grad(f), (0, None)),
    "jvp of grad": lambda f: (
        lambda x, s: anima.jvp(lambda x: anima.grad(lambda x: f(x, s).sum())(x), (x,), (x,))
    ),
    "vmap": lambda f: anima.vmap(f, (None, 0)),
    "linearize": lambda f: lambda x, s: anima.linearize(lambda x: f(x, s), x)[1](x),
    "scan": lambda f: (
        lambda x, s: anima.grad(lambda x: lax.scan(lambda c, _: (f(c, s), None), x, None, length=3)[0].sum())(
            x
        )
    ),
    "cond": lambda f: lambda x, s: lax.cond(x[0] > 0, lambda x: f(x, s), lambda x: x, x),
    "grad of jit": lambda f: anima.grad(lambda x, s: anima.jit(f)(x, s).sum()),
    "while": lambda f: (
        lambda x, s: anima.grad(
            lambda x: lax.fori_loop(0, np.asarray(4), lambda i, c: f(c, s) + 1, x, max_steps=20).sum()
        )(x)
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transformations_are_those_of_the_branch(name: str) -> None:
    scale = onp.array([1.5, 2.0], onp.float32) if name == "vmap" else onp.float32(1.5)
    want = TRANSFORMS[name](plain)(X, scale)
    assert_trees_close(TRANSFORMS[name](fun)(X, scale), want)
    assert_trees_close(anima.jit(TRANSFORMS[name](fun))(X, scale), want)


def test_the_program_has_no_choice() -> None:
    gradient = anima.jit(anima.grad(lambda x: fun(x).sum()))
    for platform, operation in (("cpu", "cosine"), ("tpu", "sine")):
        text = gradient.trace(X).lower(lowering_platforms=(platform,)).as_text()
        assert "stablehlo.case" not in text
        assert f"stablehlo.{operation}" in text
    assert "sine" not in gradient.trace(X).lower(lowering_platforms=("cuda",)).as_text()


def test_other_branches_need_not_compile() -> None:
    hosted = lambda x: anima.pure_callback(onp.sin, anima.ShapeDtypeStruct(x.shape, x.dtype), x)
    fun = lambda x: lax.platform_dependent(x, cpu=hosted, tpu=lambda x: x * 2)
    assert_trees_close(anima.jit(fun)(X), onp.sin(X))
    text = anima.jit(fun).trace(X).lower(lowering_platforms=("tpu",)).as_text()
    assert "custom_call" not in text and "multiply" in text


def test_all_branches_are_in_the_jaxpr_and_only_one_is_called_eagerly() -> None:
    called: list[str] = []

    def branch(name: str) -> Any:
        return lambda x: (called.append(name), x)[1]

    call = lambda x: lax.platform_dependent(
        x, tpu=branch("tpu"), cpu=branch("cpu"), default=branch("default")
    )
    assert float(call(1.0)) == 1.0 and called == ["cpu"]
    called.clear()
    [eqn] = anima.make_jaxpr(call)(1.0).eqns
    assert called == ["tpu", "cpu", "default"]
    assert eqn.params["branches_platforms"] == (("tpu",), ("cpu",), None)
    assert lax.platform_dependent(3, default=lambda x: x + 1) == 4


def test_misuse() -> None:
    missing = lambda x: lax.platform_dependent(x, tpu=lambda x: x, rocm=lambda x: x)
    for call in (missing, anima.jit(missing), anima.grad(missing)):
        with pytest.raises(
            MissingRuleError, match=r"no branch for the platform cpu; .* tpu, rocm\. Give cpu="
        ):
            call(1.0)
    with pytest.raises(NotImplementedError, match="no function was given"):
        anima.jit(lambda x: lax.platform_dependent(x))(1.0)
    with pytest.raises(NotImplementedError, match="no branch for the platform cpu"):
        lax.platform_dependent(1.0)
    with pytest.raises(ValueError, match="cuda= or rocm="):
        lax.platform_dependent(1.0, gpu=lambda x: x)
    with pytest.raises(TypeError, match="cpu must be a function, got 3"):
        lax.platform_dependent(1.0, cpu=3)
    with pytest.raises(TypeError, match=r"args\[0\] has type str"):
        lax.platform_dependent("a", cpu=lambda x: x)
    with pytest.raises(TypeError, match=r"result of cpu .* is float32\[\], of default .* it is int32\[\]"):
        anima.jit(lambda x: lax.platform_dependent(x, cpu=lambda x: x, default=lambda x: 1))(1.0)

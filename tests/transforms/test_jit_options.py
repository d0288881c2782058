"""Options of `jit`: static and donated arguments, and how their misuse is explained."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import jit
from anima.config import disable_jit


def fresh(*shape: int) -> Any:
    """An array that nothing else uses, so that it can be donated."""
    return np.zeros(shape, np.float32) + 1


@pytest.mark.parametrize(
    ("f", "options", "args", "keywords", "expected"),
    [
        (lambda x, n: x * len(n), {"static_argnums": -1}, (2.0, "abc"), {}, 6),
        (lambda x, n: x * len(n), {"static_argnums": onp.int64(1)}, (2.0, "abc"), {}, 6),
        (lambda x, n: x * len(n), {"static_argnums": (-1, 1)}, (2.0, "abc"), {}, 6),
        (lambda x, n: x * len(n), {"static_argnums": 1}, (2.0,), {"n": "ab"}, 4),
        (lambda x, n: x * len(n), {"static_argnames": "n"}, (2.0, "ab"), {}, 4),
        (lambda x, n="abc": x * len(n), {"static_argnums": [1]}, (2.0,), {}, 6),
        (lambda x, **kw: x * len(kw["n"]), {"static_argnames": ["n"]}, (2.0,), {"n": "ab"}, 4),
        (lambda *a: a[0] * len(a[2]), {"static_argnums": 2}, (2.0, 1.0, "abc"), {}, 6),
        (partial(lambda n, m, x: x * n * len(m), 2), {"static_argnums": 0}, ("ab", 3.0), {}, 12),
    ],
)
def test_static_arguments(f: Any, options: Any, args: Any, keywords: Any, expected: float) -> None:
    assert float(jit(f, **options)(*args, **keywords)) == expected
    assert float(jit(lambda x: jit(f, **options)(*args, **keywords) + x)(0.0)) == expected
    with disable_jit():
        assert float(jit(f, **options)(*args, **keywords)) == expected


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: jit(None), TypeError, "jit expects a function as its first argument, got None"),
        (lambda: jit(lambda x: x, static_argnums="a"), TypeError, "static_argnums must be one or several values of type int"),
        (lambda: jit(lambda x: x, static_argnums=True), TypeError, "static_argnums must be ints, got True"),
        (lambda: jit(lambda x: x, static_argnames=3), TypeError, "static_argnames must be one or several values of type str"),
        (lambda: jit(lambda x: x, static_argnames=(3,)), TypeError, "static_argnames must be strs, got 3"),
        (lambda: jit(lambda x: x, static_argnums=3), ValueError, "static_argnums 3 is out of range: <lambda> takes 1"),
        (lambda: jit(lambda x: x, donate_argnames="y"), ValueError, r"donate_argnames 'y' is not an argument of <lambda>\(x\)"),
        (lambda: jit(lambda x, y: x, static_argnums=1, donate_argnums=1), ValueError, "both static and donated"),
        (lambda: jit(lambda x, n: x, static_argnums=1)(1.0, [2]), ValueError, "static argument number 1 .* unhashable type list"),
        (
            lambda: jit(lambda x: jit(lambda y, n: y, static_argnums=1)(x, x))(1.0),
            ValueError,
            "static argument number 1 of <lambda> is a traced value",
        ),
    ],
)  # fmt: skip
def test_misuse_is_explained(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_messages_name_arguments_after_static_ones() -> None:
    with pytest.raises(TypeError, match=r"argument `y\['a'\]` of <lambda>"):
        jit(lambda n, x, y: x, static_argnums=0)(3, 1.0, {"a": "no"})


@pytest.mark.parametrize(
    "options", [{"donate_argnums": 0}, {"donate_argnames": "x"}, {"donate_argnums": (-2,)}]
)
@pytest.mark.parametrize("by_name", [False, True])
def test_donation_by_number_and_name(options: Any, by_name: bool) -> None:
    f = jit(lambda x, y: x + y, **options)
    x, y = fresh(3), fresh(3)
    out = f(x=x, y=y) if by_name else f(x, y)
    assert out.tolist() == [2, 2, 2] and x.is_deleted() and not y.is_deleted()


def test_unusable_donation_warns_and_keeps_the_argument() -> None:
    x = fresh(3, 2)
    f = jit(lambda x: x.sum(), donate_argnums=0)
    with pytest.warns(UserWarning, match=r"Some donated buffers were not usable: float32\[3,2\]") as caught:
        assert float(f(x)) == 6
    assert caught[0].filename == __file__
    assert not x.is_deleted() and x.tolist() == [[1, 1]] * 3
    with pytest.warns(UserWarning, match="float32"):
        lowered = jit(lambda x: x.sum(), donate_argnums=0).lower(x)
    assert "donor" not in lowered.as_text() and lowered.donate_argnums == (0,)


def test_donation_of_trees_pairs_each_leaf_once() -> None:
    def f(state: Any, y: Any) -> Any:
        return {"a": state["a"] + y, "b": state["b"] * 2}

    state = {"a": fresh(3), "b": fresh(3), "c": fresh(4)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = jit(f, donate_argnums=0)(state, 1.0)
    assert not caught  # the program does not use c
    assert state["a"].is_deleted() and state["b"].is_deleted() and not state["c"].is_deleted()
    assert out["a"].tolist() == [2, 2, 2]


def test_keep_unused() -> None:
    f = lambda x, y: x * 2
    assert "%1: tensor<3xf32>" not in jit(f).lower(1.0, np.ones(3)).as_text()
    kept = jit(f, keep_unused=True)
    assert "%1: tensor<3xf32>" in kept.lower(1.0, np.ones(3)).as_text() and float(kept(1.0, np.ones(3))) == 2


def test_inline() -> None:
    inner = jit(lambda x: x * 2, inline=True)
    assert [e.primitive.name for e in anima.make_jaxpr(lambda x: inner(x) + 1)(1.0).eqns] == ["mul", "add"]


def test_kinds_of_callables() -> None:
    class Model:
        scale = 3.0

        def method(self, x: Any) -> Any:
            return x * self.scale

        @partial(jit, static_argnums=0)
        def compiled(self, x: Any) -> Any:
            return x * self.scale

        def __call__(self, x: Any) -> Any:
            return x + self.scale

    model = Model()
    assert float(jit(model.method)(2.0)) == 6 == float(model.compiled(2.0))
    assert float(jit(model)(2.0)) == 5 and float(jit(partial(model.method, 2.0))()) == 6
    assert float(jit(inline=True)(model.method)(2.0)) == 6
    with pytest.raises(TypeError, match="argument `self` of broken"):

        class Broken:
            @jit
            def broken(self, x: Any) -> Any:
                return x

        Broken().broken(1.0)

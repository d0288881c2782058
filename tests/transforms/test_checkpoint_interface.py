"""The interface of `checkpoint`: tracing, static arguments, methods, misuse, names, policies, the list of residuals."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import checkpoint, checkpoint_policies as policies, grad, jit, lax, vmap
from anima.ad_checkpoint import (
    Offloadable,
    checkpoint_name,
    print_saved_residuals,
    saved_residuals,
)
from tests.lax.control.helpers import Counted, compilations

W = onp.linspace(-0.9, 1, 16, dtype=onp.float32).reshape(4, 4)
X = onp.array([0.1, -0.2, 0.3, 0.4], onp.float32)


def assert_close(ours: Any, want: Any, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    for a, b in zip(anima.tree.leaves(ours), anima.tree.leaves(want), strict=True):
        onp.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


# ---------------------------------------------------------------------------------------------
# Tracing: once for each type of arguments.


def test_traced_and_compiled_once() -> None:
    fun = Counted(lambda x: np.sin(np.sin(x)).sum())
    f = checkpoint(fun)
    assert compilations(lambda: grad(f)(X)) == 2  # a forward and a backward program
    for _ in range(2):
        assert (
            compilations(lambda: (grad(f)(X), grad(checkpoint(fun))(X + 1), f(X))) <= 2
        )  # `X + 1`, the value
    assert compilations(lambda: (grad(f)(X), grad(checkpoint(fun))(X + 1), f(X))) == 0
    assert fun.calls == 1
    f(W)
    f(1.0)
    f(2.0)
    assert fun.calls == 3


def test_options_and_named_axes_are_part_of_what_was_traced() -> None:
    fun = Counted(lambda x: np.sin(x) * lax.axis_size("i"))
    f = checkpoint(fun)
    for size in (2, 3):
        got = vmap(grad(lambda x: f(x)), axis_name="i")(onp.zeros(size, onp.float32))
        assert onp.asarray(got).tolist() == [size] * size
    g = checkpoint(lambda x: np.zeros(2) + x)
    assert g(1).dtype == onp.float32
    with anima.enable_x64():
        assert g(1).dtype == onp.float64


def test_collectives_inside() -> None:
    f = lambda x: np.sin(lax.psum(np.sin(x), "i"))
    g = checkpoint(f)
    got, want = (vmap(grad(h), axis_name="i")(X) for h in (g, f))
    assert_close(got, want)
    assert_close(jit(vmap(grad(g), axis_name="i"))(X), want)


def test_closures_over_traced_values() -> None:
    def outer(y: Any) -> Any:
        return checkpoint(lambda x: np.sin(x * y))(3.0)

    assert float(grad(outer)(2.0)) == pytest.approx(3 * onp.cos(6.0), rel=1e-5)
    assert float(jit(grad(outer))(2.0)) == pytest.approx(3 * onp.cos(6.0), rel=1e-5)
    assert onp.allclose(vmap(grad(outer))(X), 3 * onp.cos(3 * X))
    once = checkpoint(lambda x: np.sin(x * x))
    assert float(grad(lambda y: grad(lambda x: once(x * y))(1.0))(0.5)) == pytest.approx(
        float(grad(lambda y: grad(lambda x: np.sin((x * y) ** 2))(1.0))(0.5)), rel=1e-5
    )


def test_values_inside_are_abstract_also_eagerly() -> None:
    def f(x: Any) -> Any:
        return x if x > 0 else 2 * x

    for call in (checkpoint(f), grad(checkpoint(f))):
        with pytest.raises(anima.errors.TracerBoolConversionError) as caught:
            call(1.0)
        assert any("static_argnums" in note for note in caught.value.__notes__)


# ---------------------------------------------------------------------------------------------
# The interface.


def test_signature_and_names() -> None:
    parameters = inspect.signature(checkpoint).parameters
    assert list(parameters) == [
        "fun",
        "prevent_cse",
        "policy",
        "static_argnums",
        "static_argnames",
        "concrete",
    ]
    assert all(p.kind is p.KEYWORD_ONLY for name, p in parameters.items() if name != "fun")
    assert anima.remat is checkpoint

    def documented(x: Any) -> Any:
        """About it."""
        return x

    f = checkpoint(documented)
    assert f.__name__ == "documented" and f.__doc__ == "About it." and f.__wrapped__ is documented


def test_decorator_forms_and_methods() -> None:
    @checkpoint
    def plain(x: Any) -> Any:
        return np.sin(x)

    @checkpoint(policy=policies.dots_saveable, prevent_cse=False)
    def with_options(x: Any) -> Any:
        return np.sin(x)

    @functools.partial(checkpoint, static_argnums=(1,))
    def partial(x: Any, n: int) -> Any:
        return np.sin(x) if n else x

    class Model:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        @functools.partial(checkpoint, static_argnums=0)
        def call(self, x: Any) -> Any:
            return np.sin(x) * self.scale

        def bound(self, x: Any) -> Any:
            return np.sin(x) * self.scale

    model, other = Model(2.0), Model(3.0)
    want = onp.cos(0.5)
    for f, factor in (
        (plain, 1), (with_options, 1), (lambda x: partial(x, 1), 1), (model.call, 2), (other.call, 3),
        (checkpoint(model.bound), 2), (checkpoint(functools.partial(partial, n=1)), 1),
    ):  # fmt: skip
        assert float(grad(f)(0.5)) == pytest.approx(factor * want, rel=1e-6)
        assert float(jit(grad(f))(0.5)) == pytest.approx(factor * want, rel=1e-6)


@pytest.mark.parametrize(
    "options", [{"static_argnums": 1}, {"static_argnums": (-1,)}, {"static_argnames": "n"}]
)
def test_static_arguments(options: Any) -> None:
    fun = Counted(lambda x, n: np.sin(x) if n else 2 * x)
    f = checkpoint(lambda x, n: fun(x, n), **options)
    for _ in range(2):
        assert float(grad(f)(1.0, True)) == pytest.approx(onp.cos(1.0), rel=1e-6)
        assert float(grad(f)(1.0, False)) == 2
        if options != {"static_argnums": (-1,)}:
            assert float(f(1.0, n=False)) == 2
    assert fun.calls <= 3
    assert (
        float(checkpoint(lambda x, n: x * n[0], static_argnums=1)(2.0, [3])) == 6
    )  # not hashable: traced again


def test_static_arguments_are_told_apart_by_type_and_sign() -> None:
    f = checkpoint(lambda x, n: x + 1 if isinstance(n, bool) else x / n, static_argnums=1)
    assert float(f(1.0, True)) == 2 and float(f(1.0, 1)) == 1
    assert float(f(1.0, 0.0)) == onp.inf and float(f(1.0, -0.0)) == -onp.inf


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, *_: Any, **__: Any) -> bool:
        return True


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: checkpoint(3), TypeError, "checkpoint expects a function"),
        (lambda: checkpoint(np.sin, policy=3), TypeError, "policy must be callable, got 3"),
        (lambda: checkpoint(np.sin, policy=Unhashable()), TypeError, "not hashable"),
        (lambda: checkpoint(np.sin, prevent_cse=1), TypeError, "prevent_cse must be a bool"),
        (lambda: checkpoint(np.sin, prevent_cse=(1,))(1.0), TypeError, "prevent_cse holds 1"),
        (lambda: checkpoint(np.sin, prevent_cse=(True, True))(1.0), ValueError, "prevent_cse must be a tree prefix"),
        (lambda: checkpoint(np.sin, concrete=True), NotImplementedError, "static_argnums"),
        (lambda: checkpoint(np.sin, static_argnums="a"), TypeError, "static_argnums must be an integer"),
        (lambda: checkpoint(np.sin, static_argnames=[1]), TypeError, "static_argnames must be strings, got 1"),
        (lambda: checkpoint(np.sin, static_argnums=5)(1.0), ValueError, "static_argnums 5 is out of range for sin"),
        (lambda: checkpoint(lambda x, y: x)(1.0, "a"), TypeError, "argument `y` of <lambda>, passed to checkpoint"),
        (lambda: checkpoint(lambda x: "a")(1.0), TypeError, "returned a value of type str"),
        (lambda: grad(checkpoint(np.sin, policy=lambda *_, **__: 1))(1.0), TypeError, "returned 1 of type int for 'cos'"),
        (lambda: checkpoint_name(1.0, 3), TypeError, "checkpoint_name: name must be a string, got 3"),
        (lambda: checkpoint_name("a", "b"), TypeError, "passed to checkpoint_name"),
        (lambda: policies.save_only_these_names(1), TypeError, "save_only_these_names: names are strings, got 1"),
        (lambda: policies.save_from_both_policies(np.sin, 1), TypeError, "policy_2 is no policy: 1"),
        (lambda: policies.offload_dot_with_no_batch_dims("device", "attic"), ValueError, "offload_dst must be one of"),
        (
            lambda: policies.save_and_offload_only_these_names(
                names_which_can_be_saved=["a", "b"], names_which_can_be_offloaded=["b"], offload_src="device",
                offload_dst="pinned_host",
            ),
            ValueError,
            "{'b'} are among names_which_can_be_saved and names_which_can_be_offloaded",
        ),
        (lambda: saved_residuals(3), TypeError, "saved_residuals expects a function"),
    ],
)  # fmt: skip
def test_misuse_is_explained(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("(", r"\(")):
        call()


def test_effects_that_must_happen_once_are_refused() -> None:
    seen: list[float] = []

    def f(x: Any) -> Any:
        anima.experimental.io_callback(lambda v: seen.append(float(v)), None, x)
        return np.sin(x)

    assert float(checkpoint(f)(0.5)) == pytest.approx(onp.sin(0.5), rel=1e-6)
    anima.effects_barrier()
    assert seen == [0.5]
    for transform in (grad, lambda f: jit(grad(f))):
        with pytest.raises(
            ValueError, match="f cannot be differentiated.*effects that must happen exactly once: IO"
        ):
            transform(checkpoint(f))(0.5)


def test_looks_at_values_happen_again(capfd: Any) -> None:
    def f(x: Any) -> Any:
        anima.debug.print("x = {}", x)
        return np.sin(np.sin(x))

    for transform in (grad, lambda f: jit(grad(f))):
        transform(checkpoint(f))(0.5)
        anima.effects_barrier()
        assert capfd.readouterr().out == "x = 0.5\n" * 2


# ---------------------------------------------------------------------------------------------
# Names, policies and the list of residuals.


def test_checkpoint_name_is_the_identity() -> None:
    tree = {"a": X, "b": (1, np.asarray(True))}
    named = checkpoint_name(tree, "n")
    assert anima.tree.structure(named) == anima.tree.structure(tree)
    assert_close(named, tree, 0, 0)
    f = lambda x: checkpoint_name(np.sin(x), "n")
    assert str(anima.make_jaxpr(f)(1.0)).count("name[name=n]") == 1
    assert_close(anima.jvp(f, (X,), (X,)), anima.jvp(np.sin, (X,), (X,)))
    assert_close(vmap(grad(f))(X), onp.cos(X))
    assert_close(jit(f)(X), onp.sin(X))
    assert "name" not in jit(f).lower(X).as_text().replace("@", "")


def test_policies_are_values() -> None:
    same = [
        lambda: policies.save_only_these_names("a", "b"),
        lambda: policies.save_any_names_but_these("a"),
        lambda: policies.save_anything_except_these_names("a"),
        lambda: policies.offload_dot_with_no_batch_dims("device", "pinned_host"),
        lambda: policies.save_from_both_policies(policies.dots_saveable, policies.everything_saveable),
    ]
    for make in same:
        assert make() == make() and hash(make()) == hash(make())
    assert len({make() for make in same}) == len(same)
    assert policies.save_only_these_names("a") != policies.save_any_names_but_these("a")
    assert policies.checkpoint_dots == policies.dots_saveable != policies.dots_with_no_batch_dims_saveable


def test_policies_about_dots() -> None:
    def called_with(f: Callable[..., Any], *args: Any) -> list[Any]:
        (eqn,) = [e for e in anima.make_jaxpr(f)(*args).eqns if e.primitive.name == "dot_general"]
        return [eqn.primitive, [a.aval for a in eqn.invars], eqn.params]

    plain = called_with(np.dot, W, W)
    batched = called_with(np.matmul, onp.ones((2, 3, 4), onp.float32), onp.ones((2, 4, 3), onp.float32))
    conv = [SimpleNamespace(name="conv_general_dilated"), [], {"dimension_numbers": None}]
    offload = policies.offload_dot_with_no_batch_dims("device", "pinned_host")
    for (primitive, avals, params), unbatched in ((plain, True), (batched, False), (conv, False)):
        assert policies.dots_saveable(primitive, *avals, **params) is True
        assert policies.dots_with_no_batch_dims_saveable(primitive, *avals, **params) is unbatched
        assert (offload(primitive, *avals, **params) == Offloadable("device", "pinned_host")) is unbatched


def test_print_saved_residuals(capsys: Any) -> None:
    c = np.arange(3.0)

    def f(d: Any, *more: Any, scale: Any) -> Any:
        return np.sin(d["a"] * c).sum() * more[0] * scale

    print_saved_residuals(f, {"a": c}, 2.0, scale=3.0)
    lines = capsys.readouterr().out.splitlines()
    file = __file__
    line = f.__code__.co_firstlineno + 1
    assert lines[0] == "f32[3] from a constant"
    assert [text.split(" from ")[1] for text in lines[1:3]] == ["the argument more[0]", "the argument scale"]
    assert f"f32[3] output of cos from {file}:{line}:15 ({f.__qualname__})" in lines
    with pytest.raises(TypeError, match=r"saved_residuals: argument d\['a'\] of f has type str"):
        saved_residuals(f, {"a": "b"}, 2.0, scale=3.0)


def test_saved_residuals_looks_into_calls() -> None:
    def kept(f: Callable[..., Any], *args: Any) -> list[str]:
        return [text.split(" from /")[0] for _, text in saved_residuals(f, *args)]

    assert kept(jit(lambda x: np.sin(x) * 2), 1.0) == ["output of cos"]
    assert kept(jit(lambda x, y: x * y), 1.0, 2.0) == ["from the argument x", "from the argument y"]
    assert kept(jit(lambda x: np.sin(checkpoint(np.sin)(x))), 1.0) == ["from the argument x", "output of cos"]

"""`checkpoint` compared with JAX: derivatives, what is kept under each policy, how often functions are traced, misuse."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.ad_checkpoint
import jax.numpy
import numpy as np
import pytest

import anima
import anima.ad_checkpoint
import anima.numpy

pytestmark = pytest.mark.peers


class Library:
    """One of the two libraries, by the names that the programs below use."""

    def __init__(self, package: Any, numpy: Any, ad_checkpoint: Any) -> None:
        self.package, self.np, self.lax = package, numpy, package.lax
        self.name = ad_checkpoint.checkpoint_name
        self.print_saved = ad_checkpoint.print_saved_residuals
        self.policies = package.checkpoint_policies
        self.answers = ad_checkpoint


OURS = Library(anima, anima.numpy, anima.ad_checkpoint)
THEIRS = Library(jax, jax.numpy, jax.ad_checkpoint)
Program = Callable[[Library], Callable[..., Any]]

RNG = np.random.default_rng(0)
W1, W2, W3, X = (
    RNG.normal(size=s).astype(np.float32) * np.float32(0.5) for s in ((5, 4), (4, 6), (6, 7), (2, 5))
)


def layers(lib: Library) -> Callable[..., Any]:
    def f(w1: Any, w2: Any, w3: Any, x: Any) -> Any:
        x = lib.name(lib.np.sin(lib.np.dot(x, w1)), "a")
        x = lib.name(lib.np.sin(lib.np.dot(x, w2)), "b")
        return lib.np.sin(lib.np.dot(x, w3))

    return f


def looped(lib: Library) -> Callable[..., Any]:
    def f(w1: Any, w2: Any, w3: Any, x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            c = lib.np.sin(lib.name(c @ w2 @ w2.T, "a") + row @ w1)
            return c, lib.name(lib.np.exp(c), "b")

        c, ys = lib.lax.scan(step, lib.np.ones(4), x)
        return (c * ys) @ w2 @ w3

    return f


def branched(lib: Library) -> Callable[..., Any]:
    def f(w1: Any, w2: Any, w3: Any, x: Any) -> Any:
        first = lambda x: lib.name(lib.np.sin(x @ w1), "a") @ w2
        second = lambda x: lib.np.cos(lib.name(lib.np.exp(x @ w1 @ w2), "b"))
        return lib.lax.cond(x[0, 0] > 0, first, second, x) @ w3

    return f


def nested(lib: Library) -> Callable[..., Any]:
    inner = lib.package.checkpoint(layers(lib))
    return lambda w1, w2, w3, x: inner(w1, w2, w3, lib.np.sin(x)) * 2 + inner(w1, w2, w3, x)


PROGRAMS = (layers, looped, branched, nested)
POLICIES: dict[str, Callable[[Library], Any]] = {
    "none": lambda lib: None,
    "everything": lambda lib: lib.policies.everything_saveable,
    "nothing": lambda lib: lib.policies.nothing_saveable,
    "dots": lambda lib: lib.policies.dots_saveable,
    "unbatched dots": lambda lib: lib.policies.checkpoint_dots_with_no_batch_dims,
    "offloaded dots": lambda lib: lib.policies.offload_dot_with_no_batch_dims("device", "pinned_host"),
    "only a": lambda lib: lib.policies.save_only_these_names("a"),
    "any but a": lambda lib: lib.policies.save_any_names_but_these("a"),
    "anything but a": lambda lib: lib.policies.save_anything_except_these_names("a"),
    "both": lambda lib: lib.policies.save_from_both_policies(
        lib.policies.dots_saveable, lib.policies.save_only_these_names("b")
    ),
    "own": lambda lib: lambda primitive, *_, **__: str(primitive) == "cos",
}


@pytest.mark.parametrize("policy", ["none", "everything", "offloaded dots", "only a", "own"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_derivatives(program: Program, policy: str) -> None:
    def results(lib: Library) -> Any:
        f = lib.package.checkpoint(program(lib), policy=POLICIES[policy](lib))
        loss = lambda *args: (f(*args) ** 2).sum()
        every = (0, 1, 2, 3)
        hvp = lambda *args: lib.package.jvp(lib.package.grad(loss, every), args, args)[1]
        both = lambda *args: (lib.package.value_and_grad(loss, every)(*args), hvp(*args))
        return jax.tree.leaves(lib.package.jit(both)(W1, W2, W3, X))

    for ours, theirs in zip(results(OURS), results(THEIRS), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-3, atol=2e-3)


def saved(lib: Library, f: Callable[..., Any], *args: Any) -> list[str]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        lib.print_saved(f, *args)
    return text.getvalue().splitlines()


# Policies that admit unnamed values: JAX lists the named value, and we the value before it got its name.
@pytest.mark.parametrize("policy", [p for p in POLICIES if p not in ("anything but a", "offloaded dots")])
def test_what_is_kept(policy: str) -> None:
    lines = [
        saved(lib, lib.package.checkpoint(layers(lib), policy=POLICIES[policy](lib)), W1, W2, W3, X)
        for lib in (OURS, THEIRS)
    ]
    # Positions too: where the operation stands in this file.
    assert lines[0] == lines[1]


def test_what_plain_functions_keep() -> None:
    c = np.arange(3, dtype=np.float32)
    for make, args in (
        (lambda lib: layers(lib), (W1, W2, W3, X)),
        (lambda lib: lambda *a: lib.np.sin(lib.package.checkpoint(layers(lib))(*a)), (W1, W2, W3, X)),
        (lambda lib: lambda d, y: lib.np.sin(d["a"]) * d["b"][0] * y, ({"a": 1.0, "b": [2.0]}, 3.0)),
        (lambda lib: lambda x: lib.np.sum(lib.np.sin(x * lib.np.asarray(c))), (c,)),
    ):
        ours, theirs = (saved(lib, make(lib), *args) for lib in (OURS, THEIRS))
        assert ours == theirs


def test_stacks_of_checkpointed_scans() -> None:
    for policy in ("none", "only a", "any but a", "dots"):
        sizes = []
        for lib in (OURS, THEIRS):

            def f(c: Any, xs: Any, lib: Library = lib) -> Any:
                body = lambda c, x: (
                    lib.np.sin(lib.name(lib.np.exp(c), "a") @ W1 @ W1.T + x),
                    lib.name(c * x, "b") ** 2,
                )
                return lib.lax.scan(lib.package.checkpoint(body, policy=POLICIES[policy](lib)), c, xs)[1]

            lines = saved(lib, f, X[0], np.stack([X[0]] * 7))
            sizes.append(sum(re.match(r"f32\[7,", line) is not None for line in lines))
        assert sizes[0] == sizes[1]


def test_signatures() -> None:
    ours, theirs = inspect.signature(anima.checkpoint), inspect.signature(jax.checkpoint)
    assert list(ours.parameters) == list(theirs.parameters)
    for name, parameter in theirs.parameters.items():
        assert ours.parameters[name].kind == parameter.kind
        if name not in ("fun", "concrete"):
            assert ours.parameters[name].default == parameter.default
    assert {*vars(anima.checkpoint_policies)} == {*vars(jax.checkpoint_policies)}
    for name, policy in vars(jax.checkpoint_policies).items():
        if name.startswith(("save_", "offload_")):
            mine = inspect.signature(getattr(anima.checkpoint_policies, name)).parameters
            assert [(p.name, p.kind) for p in mine.values()] == [
                (p.name, p.kind) for p in inspect.signature(policy).parameters.values()
            ]
    for name in dir(jax.ad_checkpoint):
        assert name.startswith("_") or hasattr(anima.ad_checkpoint, name)
    for function in ("checkpoint_name", "print_saved_residuals"):
        assert [*inspect.signature(getattr(anima.ad_checkpoint, function)).parameters] == [
            *inspect.signature(getattr(jax.ad_checkpoint, function)).parameters
        ]


def test_traced_once() -> None:
    for lib in (OURS, THEIRS):
        calls = []

        def f(x: Any, calls: list[int] = calls, lib: Library = lib) -> Any:
            calls.append(1)
            return lib.np.sin(lib.np.sin(x))

        g = lib.package.checkpoint(f)
        g(1.0), g(2.0), lib.package.grad(g)(1.0), lib.package.checkpoint(f)(1.0)
        assert len(calls) == 1
        g(X)
        assert len(calls) == 2


def test_answers_of_policies() -> None:
    for lib in (OURS, THEIRS):
        answers = lib.answers
        f = lambda x, lib=lib: lib.np.sin(lib.np.sin(x))
        for answer, kept in ((True, 2), (answers.Saveable, 2), (False, 1), (answers.Recompute, 1)):
            lines = saved(lib, lib.package.checkpoint(f, policy=lambda *_, a=answer, **__: a), 1.0)
            assert len(lines) == kept
        for answer in (1, None, np.bool_(True), "yes"):
            with pytest.raises(TypeError):
                lib.package.grad(lib.package.checkpoint(f, policy=lambda *_, a=answer, **__: a))(1.0)


@pytest.mark.parametrize(
    ("misuse", "error"),
    [
        (lambda lib: lib.package.checkpoint(lambda x, y: x, concrete=True), NotImplementedError),
        (lambda lib: lib.package.checkpoint(lambda x, y: x, static_argnums=(5,))(1.0, 2.0), ValueError),
        (lambda lib: lib.package.checkpoint(lambda x, y: x, static_argnums=(-5,))(1.0, 2.0), ValueError),
        (lambda lib: lib.package.checkpoint(lambda x, y: x)(1.0, "a"), TypeError),
        (lambda lib: lib.package.checkpoint(lambda x: "a")(1.0), TypeError),
        (lambda lib: lib.package.checkpoint(lambda x, y: x, prevent_cse=(True,))(1.0, 2.0), ValueError),
        (lambda lib: lib.package.checkpoint(lambda x: x, prevent_cse=1)(1.0), TypeError),
        (
            lambda lib: lib.policies.save_and_offload_only_these_names(
                names_which_can_be_saved=["a"], names_which_can_be_offloaded=["a"], offload_src="device",
                offload_dst="pinned_host",
            ),
            ValueError,
        ),
    ],
)  # fmt: skip
def test_misuse(misuse: Callable[[Library], Any], error: type[Exception]) -> None:
    for lib in (OURS, THEIRS):
        with pytest.raises(error):
            misuse(lib)


def test_values_inside_are_abstract() -> None:
    for lib in (OURS, THEIRS):
        f = lambda x: x if x > 0 else 2 * x
        for call in (lib.package.checkpoint(f), lib.package.grad(lib.package.checkpoint(f))):
            with pytest.raises(lib.package.errors.TracerBoolConversionError):
                call(1.0)
        static = lib.package.checkpoint(lambda x, flag: x if flag else 2 * x, static_argnums=(-1,))
        assert float(lib.package.grad(static)(1.0, False)) == 2
        assert float(lib.package.checkpoint(lambda x, n: x * n[0], static_argnums=1)(2.0, [3])) == 6

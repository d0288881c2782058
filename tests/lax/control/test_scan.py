"""`scan` against loops in Python: values, derivatives, batches, and the program that it becomes."""

from __future__ import annotations

import gc
import re
import weakref
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import _native, dtypes, lax
from anima.core.primitive import primitives
from anima.core.trace import aval_of
from anima.interpreters.dce import dce_jaxpr
from anima.interpreters.transpose import backward, tape_of
from tests.lax.control.helpers import Counted, assert_same_derivatives, assert_trees_close, compilations

OPTIONS: list[dict[str, Any]] = [
    {},
    {"reverse": True},
    {"unroll": 2},
    {"unroll": True},
    {"reverse": True, "unroll": 3},
]


def numbers(*shape: int, seed: int = 0) -> onp.ndarray:
    return onp.random.default_rng(seed).normal(size=shape).astype(onp.float32) * onp.float32(0.5)


def step(w: Any, c: Any, x: Any) -> tuple[Any, Any]:
    """A step in which everything depends on everything."""
    h = np.sin(c) * w[0] + np.tanh(x * c) + w.sum() * 0.1
    return h, (h * x, np.sum(h * c))


def looped(w: Any, c: Any, xs: Any, reverse: bool = False, unroll: int = 1) -> Any:
    rows = []
    for x in xs[::-1] if reverse else xs:
        c, y = step(w, c, x)
        rows.append(y)
    rows = rows[::-1] if reverse else rows
    return c, tuple(np.stack(column) for column in zip(*rows))


def scanned(w: Any, c: Any, xs: Any, **options: Any) -> Any:
    return lax.scan(lambda c, x: step(w, c, x), c, xs, **options)


def loss(fun: Any, **options: Any) -> Any:
    def scalar(w: Any, c: Any, xs: Any) -> Any:
        last, (rows, sums) = fun(w, c, xs, **options)
        return (last * last).sum() + (rows * rows).sum() + np.sin(sums).sum()

    return scalar


ARGS = (numbers(2, 3, seed=1), numbers(3, seed=2), numbers(5, 3, seed=3))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_scan_is_the_loop(options: dict[str, Any]) -> None:
    want = looped(*ARGS, **options)
    assert_trees_close(scanned(*ARGS, **options), want)
    assert_trees_close(anima.jit(lambda *a: scanned(*a, **options))(*ARGS), want)


@pytest.mark.parametrize("options", [{}, {"reverse": True, "unroll": 2}], ids=str)
def test_derivatives_are_those_of_the_loop(options: dict[str, Any]) -> None:
    assert_same_derivatives(loss(scanned, **options), loss(looped, **options), ARGS)


AXES = [(0, None, None), (None, 0, None), (None, None, 0), (2, 1, 1)]


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_batches_in_any_order_with_derivatives(axes: tuple[Any, ...]) -> None:
    stacks = [a if d is None else onp.stack([a, a * 0.5, a - 0.1], d) for a, d in zip(ARGS, axes)]
    ours, theirs = loss(scanned), loss(looped)
    every = (0, 1, 2)
    for transform in (
        lambda f: anima.vmap(f, axes),
        lambda f: anima.vmap(anima.grad(f, every), axes),
        lambda f: anima.grad(lambda *a: anima.vmap(f, axes)(*a).sum(), every),
    ):
        want = anima.jit(transform(theirs))(*stacks)
        assert_trees_close(anima.jit(transform(ours))(*stacks), want, 1e-4, str(axes))
    assert_trees_close(anima.vmap(ours, axes)(*stacks), anima.jit(anima.vmap(theirs, axes))(*stacks), 1e-4)


def test_carries_that_turn_mapped_or_differentiated_on_the_way() -> None:
    """The last part of the carry depends on a mapped, differentiated value only after two steps."""

    def f(x: Any) -> Any:
        def body(carry: Any, _: Any) -> Any:
            a, b, c = carry
            return (a, a * 2.0, b + c), c

        return lax.scan(body, (x, np.float32(0), np.float32(1)), None, length=4)

    def g(x: Any) -> Any:
        a, b, c, rows = x, 0.0, 1.0, []
        for _ in range(4):
            rows.append(c)
            a, b, c = a, a * 2.0, b + c
        return (a, b, c), np.stack([np.asarray(r, np.float32) for r in rows])

    xs = np.arange(3.0)
    assert_trees_close(anima.vmap(f)(xs), anima.vmap(g)(xs))
    assert_trees_close(anima.jvp(f, (1.5,), (1.0,)), anima.jvp(g, (1.5,), (1.0,)))
    assert_trees_close(anima.grad(lambda x: f(x)[1].sum())(1.5), anima.grad(lambda x: g(x)[1].sum())(1.5))
    assert_trees_close(anima.jacrev(f)(1.5), anima.jacrev(g)(1.5))


def test_carry_and_results_are_pytrees() -> None:
    def f(carry: Any, row: Any) -> Any:
        return {"sum": carry["sum"] + row[0], "n": carry["n"] + 1}, [row[1], None, (carry["n"],)]

    rows = (np.arange(3.0), np.arange(6).reshape(3, 2))
    carry, ys = lax.scan(f, {"sum": 0.0, "n": 0}, rows)
    assert_trees_close(carry, {"sum": 3.0, "n": 3})
    assert_trees_close(ys, [np.arange(6).reshape(3, 2), None, (np.arange(3),)])
    assert lax.scan(lambda c, x: (None, x + 1), None, np.arange(2))[0] is None


@pytest.mark.parametrize("jit", [False, True])
def test_no_rows(jit: bool) -> None:
    def f(c: Any, xs: Any) -> Any:
        return lax.scan(lambda c, x: (c + x.sum(), (x, c)), c, xs)

    run = anima.jit(f) if jit else f
    carry, (xs, cs) = run(1.0, np.zeros((0, 3)))
    assert float(carry) == 1.0 and xs.shape == (0, 3) and cs.shape == (0,)
    assert float(anima.grad(lambda c: f(c, np.zeros((0, 3)))[0])(1.0)) == 1.0
    assert anima.vmap(f, (0, None))(np.arange(2.0), np.zeros((0, 3)))[1][1].shape == (2, 0)


def test_weak_carries_take_the_type_that_the_body_makes() -> None:
    total, _ = lax.scan(lambda c, x: (c + x, None), 0, np.arange(3.0))
    assert total.dtype == onp.float32
    total, _ = lax.scan(lambda c, x: (c + x, None), 0.0, np.ones(3, np.bfloat16))
    assert total.dtype == np.bfloat16
    with pytest.raises(TypeError, match="the carry is int32"):
        lax.scan(lambda c, x: (c + x, None), np.int32(0), np.arange(3.0))


def test_integers_booleans_and_complex_numbers_ride_along() -> None:
    def f(z: Any) -> Any:
        def body(carry: Any, i: Any) -> Any:
            z, n, flag = carry
            z = np.where(flag, z * z, z * (1 + 2j)) * 0.5
            return (z, n + i, ~flag), np.abs(z)

        (z, _, _), rows = lax.scan(body, (z, 0, True), np.arange(4))
        return rows.sum() + np.real(z)

    def g(z: Any) -> Any:
        flag, total = True, 0.0
        for _ in range(4):
            z = (z * z if flag else z * (1 + 2j)) * 0.5
            flag = not flag
            total = total + np.abs(z)
        return total + np.real(z)

    z = np.asarray(0.3 + 0.8j)
    assert_trees_close(f(z), g(z))
    assert_trees_close(anima.grad(f)(z), anima.grad(g)(z), 1e-4)
    assert_trees_close(anima.jit(anima.grad(f))(z), anima.grad(g)(z), 1e-4)


def test_random_keys_are_carried_and_stacked() -> None:
    def body(key: Any, _: Any) -> Any:
        first, second = anima.random.split(key)
        return first, second

    key = anima.random.PRNGKey(3)
    last, keys = lax.scan(body, key, None, length=3)
    for i in range(3):
        key, second = anima.random.split(key)
        assert_trees_close(keys[i], second)
    assert_trees_close(last, key)


@pytest.mark.parametrize("length", [3, 0])
def test_dtypes_whose_elements_are_arrays(length: int) -> None:
    dtype = dtypes.ExtendedDType("key<test>", dtypes.prng_key, (2,), onp.dtype(onp.uint32))
    words = onp.arange(2 * length + 2, dtype=onp.uint32).reshape(length + 1, 2)
    first, rest = (_native.array_with(np.asarray(w), dtype=dtype) for w in (words[-1], words[:-1]))
    for run in (lambda f: f, anima.jit):
        last, shifted = run(lambda k, ks: lax.scan(lambda c, row: (row, c), k, ks, reverse=True))(first, rest)
        assert last.shape == () and shifted.shape == (length,)
        assert shifted.dtype == dtype
        back = [onp.asarray(_native.array_with(x, dtype=onp.dtype(onp.uint32))) for x in (last, shifted)]
        assert_trees_close(back, [words[0], words[1:]])
    batched = anima.vmap(lambda k, ks: lax.scan(lambda c, x: (x, c), k, ks)[1], (None, None), axis_size=2)(
        first, rest
    )
    assert batched.shape == (2, length)


def test_captured_values_are_operands() -> None:
    w = np.arange(3.0)

    def f(s: Any, c: Any) -> Any:
        return lax.scan(lambda c, x: (c * s + w, x * s), c, np.arange(2.0))

    jaxpr = anima.make_jaxpr(f)(2.0, w)
    (eqn,) = [e for e in jaxpr.eqns if e.primitive is primitives["scan"]]
    assert eqn.params["num_consts"] == 2
    assert not eqn.params["jaxpr"].consts
    assert_trees_close(f(2.0, w)[0], (w * 2 + w) * 2 + w)


def test_large_constants_and_nested_loops() -> None:
    table = onp.arange(5000, dtype=onp.float32)

    def f(x: Any) -> Any:
        def outer(c: Any, i: Any) -> Any:
            inner = lax.fori_loop(0, 3, lambda j, v: v + np.asarray(table)[i * j], c)
            return lax.cond(i > 1, lambda: inner, lambda: c - 1.0), inner

        return lax.scan(outer, x, np.arange(4))

    x, rows = 0.5, []
    for i in range(4):
        inner = x + sum(table[i * j] for j in range(3))
        rows.append(inner)
        x = inner if i > 1 else x - 1.0
    assert_trees_close(f(0.5), (onp.float32(x), onp.array(rows, onp.float32)))
    assert_trees_close(anima.jit(f)(0.5), (onp.float32(x), onp.array(rows, onp.float32)))


def test_transpose_where_the_carry_counts_too() -> None:
    """The transposed function's carry holds an index beside the linear part."""
    weights = np.arange(1.0, 5.0)

    def linear(x: Any) -> Any:
        def body(carry: Any, w: Any) -> Any:
            i, c = carry
            return (i + 1, c * weights[i] + x * w), c * np.cos(i * 1.0)

        (_, last), rows = lax.scan(body, (0, x), weights)
        return last, rows

    push = anima.jacfwd(linear)(2.0)
    assert_trees_close(anima.jacrev(linear)(2.0), push)
    # The scan itself on the tape: its carry is linear in part only.
    tape = tape_of(lambda x: anima.tree.leaves(linear(x)), [aval_of(np.float32(2.0))])
    (cotangent,) = backward(tape, [np.float32(1.0), np.ones(4)])
    assert_trees_close(cotangent, push[0] + push[1].sum(), 1e-4)


def test_residuals_that_do_not_change_are_not_stacked() -> None:
    def f(w: Any, xs: Any) -> Any:
        return lax.scan(lambda c, x: (c * np.sin(w) + x, None), np.zeros((50, 50)), xs)[0].sum()

    w, xs = np.ones((50, 50)), np.ones((20, 50, 50))
    jaxpr = anima.make_jaxpr(anima.grad(f))(w, xs)
    shapes = [v.aval.shape for e in jaxpr.eqns if e.primitive is primitives["scan"] for v in e.outvars]
    # Only the carry, by which the cotangent of sin(w) is made, is stacked.
    assert shapes.count((20, 50, 50)) == 1, shapes


def test_one_loop_in_place() -> None:
    """512 small steps are one loop, which writes its results in place."""

    def f(c: Any, xs: Any) -> Any:
        return lax.scan(lambda c, x: (c * 0.9 + x, np.sin(c)), c, xs)

    args = (np.ones(64), np.ones((512, 64)))
    compiled = anima.jit(f).lower(*args).compile()
    text = compiled.as_text()
    assert len(re.findall(r" while\(", text)) == 1
    body = text[: text.index("ENTRY")]
    assert not re.findall(r"f32\[512,64\]\S* copy\(", text[: len(body)]), (
        "a stacked array is copied in the loop"
    )
    assert text.count("dynamic-update-slice(") == 1
    stablehlo = anima.jit(f).lower(*args).as_text()
    assert stablehlo.count("stablehlo.while") == 1


def test_unroll_is_honoured() -> None:
    def text(unroll: Any, length: int = 10) -> str:
        f = lambda c: lax.scan(lambda c, _: (np.sin(c), None), c, None, length=length, unroll=unroll)[0]
        return anima.jit(f).lower(0.5).as_text()

    assert text(1).count("sine") == 1 and text(1).count("stablehlo.while") == 1
    assert text(4).count("sine") == 4 + 2 and text(4).count("stablehlo.while") == 1
    assert text(True).count("sine") == 10 and text(True).count("stablehlo.while") == 0
    assert text(25).count("sine") == 10 and text(False).count("sine") == 1


def test_dead_parts_are_removed() -> None:
    def f(w: Any, xs: Any) -> Any:
        def body(carry: Any, x: Any) -> Any:
            a, b = carry
            return (a + x, np.sin(b) * w), (a, b)

        (a, _), (rows, _) = lax.scan(body, (0.0, 1.0), xs)
        return a, rows

    closed = anima.make_jaxpr(f)(2.0, np.arange(3.0))
    pruned, _, used = dce_jaxpr(closed.jaxpr)
    (eqn,) = pruned.eqns
    assert used == [False, True]
    assert eqn.params["num_carry"] == 1 and eqn.params["num_consts"] == 0
    assert "sin" not in repr(pruned)
    assert_trees_close(anima.jit(f)(2.0, np.arange(3.0)), (3.0, np.array([0.0, 0.0, 1.0])))


def test_the_same_function_is_traced_and_compiled_once() -> None:
    body = Counted(lambda c, x: (c + x, c * 2.0))
    xs = np.arange(7.0)
    lax.scan(body, 1.0, xs)
    assert body.calls == 1
    assert compilations(lambda: [lax.scan(body, float(i), xs) for i in range(5)]) == 0
    assert body.calls == 1
    lax.scan(body, np.arange(2.0), xs)
    assert body.calls == 2
    with anima.enable_x64(True):
        lax.scan(body, 1.0, xs)
    traced = body.calls
    assert traced > 2
    grad = anima.grad(lambda c: lax.scan(body, c, xs)[1].sum())
    grad(1.0)
    assert compilations(lambda: grad(2.0)) == 0
    assert body.calls == traced


def test_fresh_functions_do_not_compile_again() -> None:
    xs = np.arange(9.0)

    def run() -> Any:
        return lax.scan(lambda c, x: (c - x, c * 3.0), 1.0, xs)

    run()
    assert compilations(run) == 0


def test_functions_with_traced_captures_are_not_kept() -> None:
    def body_of(s: Any) -> Any:
        return lambda c, x: (c * s, None)

    seen = []

    @anima.jit
    def f(s: Any) -> Any:
        body = body_of(s)
        seen.append(body)
        return lax.scan(body, 1.0, None, length=2)[0]

    assert float(f(3.0)) == 9.0
    with pytest.raises(anima.errors.UnexpectedTracerError):
        lax.scan(seen[0], 1.0, None, length=2)


def test_functions_are_held_weakly() -> None:
    w = np.arange(1000.0)
    body = lambda c, x: (c + w.sum(), x)
    lax.scan(body, 0.0, np.arange(2.0))
    ref = weakref.ref(body)
    del body
    gc.collect()
    assert ref() is None


def test_disable_jit_runs_the_function_itself() -> None:
    seen: list[Any] = []

    def body(c: Any, x: Any) -> Any:
        seen.append(float(x))
        return c + x, {"c": c}

    with anima.disable_jit():
        last, rows = lax.scan(body, 0.0, np.arange(3.0), reverse=True)
    assert seen == [2.0, 1.0, 0.0]
    assert_trees_close((last, rows), (np.float32(3.0), {"c": np.array([3.0, 2.0, 0.0])}))

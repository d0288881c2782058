"""`while_loop` and `fori_loop` against loops in Python: values, derivatives, batches."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.core.primitive import primitives
from anima.interpreters.dce import dce_jaxpr
from tests.lax.control.helpers import Counted, assert_same_derivatives, assert_trees_close, compilations


def names(fun: Any, *args: Any) -> list[str]:
    return [eqn.primitive.name for eqn in anima.make_jaxpr(fun)(*args).eqns]


def collatz(n: int) -> int:
    steps = 0
    while n != 1:
        n, steps = (n // 2 if n % 2 == 0 else 3 * n + 1), steps + 1
    return steps


def collatz_loop(n: Any) -> Any:
    def body(state: Any) -> Any:
        n, steps = state
        return np.where(n % 2 == 0, n // 2, 3 * n + 1), steps + 1

    return lax.while_loop(lambda state: state[0] != 1, body, (n, 0))[1]


def test_the_sharp_bits_examples() -> None:
    assert int(lax.while_loop(lambda x: x < 10, lambda x: x + 1, 0)) == 10
    assert int(lax.fori_loop(0, 10, lambda i, x: x + i, 0)) == 45


def test_values_and_batches_that_end_at_different_times() -> None:
    want = [collatz(n) for n in range(1, 20)]
    assert [int(collatz_loop(n)) for n in range(1, 20)] == want
    assert anima.vmap(collatz_loop)(np.arange(1, 20)).tolist() == want
    assert anima.jit(anima.vmap(collatz_loop))(np.arange(1, 20)).tolist() == want
    grid = anima.vmap(anima.vmap(collatz_loop))(np.arange(1, 13).reshape(3, 4))
    assert grid.tolist() == onp.array(want[:12]).reshape(3, 4).tolist()


def growing(w: Any, x: Any) -> Any:
    """The number of iterations depends on the values."""
    return lax.while_loop(lambda c: (c * c).sum() < 50.0, lambda c: c * w + np.sin(c) * x, x).sum()


def growing_plain(w: Any, x: Any) -> Any:
    c = x
    while (c * c).sum() < 50.0:
        c = c * w + np.sin(c) * x
    return c.sum()


W, X = onp.array([1.3, 1.2, 1.5], onp.float32), onp.array([1.0, 2.0, 0.5], onp.float32)


def test_forward_derivatives() -> None:
    directions = (W * 0.1, X * 0.3)
    want = anima.jvp(growing_plain, (W, X), directions)
    assert_trees_close(anima.jvp(growing, (W, X), directions), want)
    assert_trees_close(anima.jit(lambda *a: anima.jvp(growing, a, directions))(W, X), want)
    for fun in (growing, anima.jit(growing)):
        value, push = anima.linearize(fun, W, X)
        assert_trees_close((value, push(*directions)), want)
    xs = onp.stack([X, X * 0.5, X * 3, X * 20])
    batched = anima.vmap(lambda w, x: anima.jvp(growing, (w, x), directions), (None, 0))(W, xs)
    for i in range(4):
        want = anima.jvp(growing_plain, (W, xs[i]), directions)
        assert_trees_close(tuple(part[i] for part in batched), want, 1e-4)


def test_reverse_derivatives_where_values_are_known() -> None:
    want = anima.grad(growing_plain, (0, 1))(W, X)
    assert_trees_close(anima.grad(growing, (0, 1))(W, X), want, 1e-4)
    assert_trees_close(anima.hessian(growing)(W, X), anima.hessian(growing_plain)(W, X), 1e-3)
    xs = onp.stack([X, X * 3])
    total = lambda fun: lambda w: anima.vmap(fun, (None, 0))(w, xs).sum()
    want = anima.grad(lambda w: growing_plain(w, xs[0]) + growing_plain(w, xs[1]))(W)
    assert_trees_close(anima.grad(total(growing))(W), want, 1e-4)


def test_reverse_derivatives_of_unknown_counts_raise() -> None:
    with pytest.raises(ValueError, match=r"reverse-mode .* while_loop.*fori_loop with bounds.*scan"):
        anima.jit(anima.grad(growing))(W, X)
    with pytest.raises(ValueError, match="fori_loop with traced bounds"):
        anima.jit(anima.grad(lambda x, n: lax.fori_loop(0, n, lambda i, c: c * 2, x)))(1.0, 3)


def counted(w: Any, x: Any) -> Any:
    def body(state: Any) -> Any:
        i, c = state
        return i + 2, c * w + np.sin(c)

    return lax.while_loop(lambda state: state[0] < 7, body, (1, x))[1].sum()


def indexed(w: Any, x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda i, c: c * w + np.sin(c), x).sum()


def plain(w: Any, x: Any) -> Any:
    for _ in range(3):
        x = x * w + np.sin(x)
    return x.sum()


@pytest.mark.parametrize("fun", [counted, indexed], ids=["while_loop", "fori_loop"])
def test_derivatives_of_loops_with_a_counter(fun: Any) -> None:
    assert_same_derivatives(fun, plain, (W, X))
    ws, xs = onp.stack([W, W * 0.3]), onp.stack([X, X * 0.3])
    for axes, args in (((None, 0), (W, xs)), ((0, None), (ws, X)), ((0, 0), (ws, xs))):
        want = anima.vmap(anima.grad(plain), axes)(*args)
        assert_trees_close(anima.jit(anima.vmap(anima.grad(fun), axes))(*args), want, 1e-4)


def test_counts_are_found_without_running_the_rest() -> None:
    """The values that the loop works on are not known while tracing, its counter is."""
    power = lambda x: lax.while_loop(lambda s: s[1] < 5, lambda s: (s[0] * x, s[1] + 1), (x, 0))[0]
    assert_trees_close(anima.jit(anima.grad(power))(2.0), onp.float32(6 * 2.0**5))
    assert names(anima.grad(power), 2.0).count("scan") == 2


def test_fori_loop_with_all_kinds_of_bounds() -> None:
    add = lambda i, c: c + i
    for lower, upper in ((0, 10), (3, 10), (-2, 3), (5, 5), (5, 1)):
        want = sum(range(lower, upper))
        for cast in (lambda v: v, np.int32, onp.int8, lambda v: np.asarray(v)):
            assert int(lax.fori_loop(cast(lower), cast(upper), add, 0)) == want
        assert int(anima.jit(lambda a=lower, b=upper: lax.fori_loop(a, b, add, 0))()) == want
        assert int(anima.jit(lambda a, b: lax.fori_loop(a, b, add, 0))(lower, upper)) == want
    assert anima.vmap(lambda n: lax.fori_loop(0, n, add, 0))(np.arange(5)).tolist() == [0, 0, 1, 3, 6]
    assert anima.vmap(lambda n: lax.fori_loop(n, 4, add, 0))(np.arange(5)).tolist() == [6, 6, 5, 3, 0]


def test_fori_loop_unrolled() -> None:
    f = lambda unroll: anima.jit(lambda x: lax.fori_loop(0, 7, lambda i, c: np.sin(c) + i, x, unroll=unroll))
    for unroll in (None, 1, 2, 3, True):
        assert_trees_close(f(unroll)(0.5), f(None)(0.5))
    assert f(3).lower(0.5).as_text().count("sine") == 3 + 1
    assert float(lax.fori_loop(0, 3, lambda i, c: c * 2, 1.0, unroll=2)) == 8.0


def test_what_a_fori_loop_becomes() -> None:
    body = lambda i, c: c * 2.0
    assert names(lambda c: lax.fori_loop(0, 3, body, c), 1.0) == ["scan"]
    assert "while" in names(lambda n, c: lax.fori_loop(0, n, body, c), 3, 1.0)
    # Called eagerly one program serves all bounds.
    body = Counted(body)
    lax.fori_loop(0, 3, body, 1.0)
    assert compilations(lambda: [lax.fori_loop(i, 2 * i, body, 1.0) for i in range(5)]) == 0
    assert body.calls == 1


def test_weak_types_and_index_types() -> None:
    assert float(lax.fori_loop(0, 10, lambda i, x: x + 1.5, 0)) == 15.0
    assert lax.fori_loop(0, 3, lambda i, x: x + i, np.int8(0)).dtype == onp.int8
    seen: list[Any] = []
    anima.jit(lambda n: lax.fori_loop(np.int16(0), n, lambda i, x: (seen.append(i.aval), x)[1], 0))(
        onp.int16(3)
    )
    assert seen[0].dtype == onp.int16
    with anima.enable_x64(True):
        assert lax.fori_loop(0, 3, lambda i, x: x + i, 0).dtype == onp.int64


def test_pytrees_and_captured_values() -> None:
    limit, w = np.asarray(3), np.arange(2.0)

    def f(limit: Any, w: Any) -> Any:
        body = lambda s: {"i": s["i"] + 1, "x": [s["x"][0] + w]}
        return lax.while_loop(lambda s: s["i"] < limit, body, {"i": 0, "x": [np.zeros(2)]})

    want = {"i": 3, "x": [onp.array([0.0, 3.0])]}
    assert_trees_close(f(limit, w), want)
    assert_trees_close(anima.jit(f)(limit, w), want)
    batched = anima.vmap(f, (0, None))(np.arange(3), w)
    assert_trees_close(batched, {"i": np.arange(3), "x": [np.outer(np.arange(3.0), w)]})


def test_dead_parts_are_removed() -> None:
    def f(x: Any) -> Any:
        body = lambda s: (s[0] + 1, s[1] * 2.0, np.sin(s[2]) * s[1])
        return lax.while_loop(lambda s: s[0] < 3, body, (0, x, x))[1]

    pruned, _, _ = dce_jaxpr(anima.make_jaxpr(f)(1.0).jaxpr)
    assert len(pruned.eqns[0].outvars) == 2 and "sin" not in repr(pruned)
    assert float(anima.jit(f)(1.0)) == 8.0


def test_a_condition_may_be_constant() -> None:
    assert int(lax.while_loop(lambda x: False, lambda x: x + 1, 5)) == 5
    assert int(lax.while_loop(lambda x: onp.bool_(False), lambda x: x + 1, 5)) == 5


def test_the_same_functions_are_traced_and_compiled_once() -> None:
    cond, body = Counted(lambda s: s[0] < 4), Counted(lambda s: (s[0] + 1, s[1] * 1.5))
    lax.while_loop(cond, body, (0, 1.0))
    assert compilations(lambda: [lax.while_loop(cond, body, (0, float(i))) for i in range(3)]) == 0
    assert (cond.calls, body.calls) == (1, 1)


def test_disable_jit_runs_the_functions_themselves() -> None:
    seen: list[int] = []
    with anima.disable_jit():
        assert lax.while_loop(lambda x: x < 3, lambda x: (seen.append(int(x)), x + 1)[1], 0) == 3
        assert lax.fori_loop(0, 3, lambda i, x: (seen.append(i), x + i)[1], 0) == 3
    assert seen == [0, 1, 2, 0, 1, 2]


def test_primitives_are_complete() -> None:
    for name in ("cond", "scan", "while"):
        primitive = primitives[name]
        assert primitive.linearize is not None and primitive.dce is not None and primitive.effects is not None

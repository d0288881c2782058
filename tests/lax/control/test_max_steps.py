"""Reverse derivatives of loops of unknown length, given `max_steps`: values, cost, memory, and every composition."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax, random
from anima.core.aval import array_aval
from anima.core.effects import Effect
from anima.core.jaxpr import ClosedJaxpr, subjaxprs
from anima.core.primitive import Missing, Primitive, primitives
from anima.core.trace import aval_of
from anima.errors import MaxStepsError
from anima.experimental.jet import jet
from anima.interpreters.dce import dce_jaxpr
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.transpose import backward, tape_of
from anima.lax.control.checkpoints import longest_replay, replay_start, slot_count, slot_of
from tests.lax.control.helpers import assert_same_derivatives, assert_trees_close, compilations

W = onp.array([1.0, 0.9, 1.2], onp.float32)
X = onp.array([1.0, 2.0, 0.5], onp.float32)
XS = onp.stack(
    [X, X * 2, X * 10, X * 800, X * 0.3]
)  # of which one takes no step, and all take different numbers


def body(w: Any, x: Any, c: Any) -> Any:
    return c * w + 0.1 * np.sin(c) * x


def growing(w: Any, x: Any, max_steps: int = 100) -> Any:
    """How often this loop runs depends on all that is differentiated: 52 times at W, X."""
    return lax.while_loop(
        lambda c: (c * c).sum() < 5e4, lambda c: body(w, x, c), x, max_steps=max_steps
    ).sum()


def growing_plain(w: Any, x: Any) -> Any:
    c = x
    while (c * c).sum() < 5e4:
        c = body(w, x, c)
    return c.sum()


def grads(fun: Any) -> Any:
    return anima.grad(fun, (0, 1))


# --- which steps are kept ---------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 31, 256, 257, 300, 4096, 4097, 5000])
def test_every_step_can_be_walked_back_to(n: int) -> None:
    """The loops of `bounded_while`, in Python: what is read from a slot is the step that it is taken for."""
    steps = np.arange(n + 1)
    slots, starts = slot_of(steps).tolist(), replay_start(steps).tolist()
    assert min(slots[:n]) >= 0 and max(slots[:n]) == slot_count(n) - 1 - (n == 1)
    held = dict.fromkeys(range(slot_count(n)), -1)
    for step in range(n):
        held[slots[step]] = step
    replayed = 0
    for step in reversed(range(n)):
        start = step if step == n - 1 else starts[step]
        assert held[slots[start]] == start, step
        assert 0 <= step - start <= longest_replay(n)
        for between in range(start + 1, step + 1):
            held[slots[between]] = between
            replayed += 1
    digits = max(len(f"{n - 1:x}"), 1)
    assert replayed <= n * (digits - 1) * 15 / 16


def test_slots_grow_with_the_logarithm_of_the_bound() -> None:
    for bound in (1, 7, 16, 100, 4096, 10**5, 10**6, 2**31 - 2):
        assert slot_count(bound) <= min(max(bound, 2), 1 + 15 * len(f"{bound - 1:x}"))


# --- derivatives ------------------------------------------------------------------------------


def test_derivatives_in_every_order_of_transformations() -> None:
    def few(w: Any, x: Any) -> Any:
        return lax.while_loop(lambda c: (c * c).sum() < 30.0, lambda c: body(w, x, c), x, max_steps=10).sum()

    def few_plain(w: Any, x: Any) -> Any:
        c = x
        for _ in range(14):
            c = np.where((c * c).sum() < 30.0, body(w, x, c), c)
        return c.sum()

    many = lambda w, x: growing(w, x, 60)
    assert_trees_close(grads(many)(W, X), grads(growing_plain)(W, X), 1e-4)
    few_steps = lambda w, x: few(w, x * 2)
    assert_same_derivatives(few_steps, lambda w, x: few_plain(w, x * 2), (W, X))


def test_long_loops_with_replays_to_second_order() -> None:
    along = lambda f: lambda w, x: anima.jvp(grads(f), (w, x), (W * 0.3, X * 0.1))[1]
    square = lambda f: grads(lambda w, x: sum((g * g).sum() for g in grads(f)(w, x)))
    for transform in (grads, along, square):
        want = transform(growing_plain)(W, X)
        scale = max(float(np.abs(leaf).max()) for leaf in anima.tree.leaves(want))
        for fun in (growing, anima.jit(growing)):
            got = anima.jit(transform(fun))(W, X)
            assert_trees_close([g / scale for g in got], [w / scale for w in want], 1e-4)
    assert_trees_close(anima.hessian(growing, (0, 1))(W, X), anima.hessian(growing_plain, (0, 1))(W, X), 2e-3)


def test_batches_in_which_every_example_ends_at_another_time() -> None:
    want = [grads(growing_plain)(W, x) for x in XS]
    for mapped in (
        anima.vmap(grads(growing), (None, 0)),
        anima.jit(anima.vmap(grads(growing), (None, 0))),
        lambda w, xs: anima.vmap(lambda w, x: anima.vjp(growing, w, x)[1](1.0), (None, 0))(w, xs),
    ):
        got = mapped(W, XS)
        for i in range(len(XS)):
            assert_trees_close([g[i] for g in got], list(want[i]), 1e-4, str(i))
    total = grads(lambda w, xs: anima.vmap(growing, (None, 0))(w, xs).sum())(W, XS)
    assert_trees_close(total[0], sum(w[0] for w in want), 1e-4)
    assert_trees_close(total[1], np.stack([w[1] for w in want]), 1e-4)
    empty = anima.vmap(grads(growing), (None, 0))(W, XS[:0])
    assert [g.shape for g in empty] == [(0, 3), (0, 3)]


def test_batches_of_batches_and_of_second_derivatives() -> None:
    grid = XS[:4].reshape(2, 2, 3)
    ws = onp.stack([W, W * 0.98])
    got = anima.vmap(anima.vmap(grads(growing), (None, 0)), (0, 0))(ws, grid)
    for i, j in onp.ndindex(2, 2):
        assert_trees_close([g[i, j] for g in got], list(grads(growing_plain)(ws[i], grid[i, j])), 1e-4)
    # the outer map touches what is carried, not how often the inner examples' loops run
    limits = np.array([30.0, 3.0])
    scaled = lambda n, s: lax.while_loop(
        lambda c: c[0] < n, lambda c: (c[0] * 1.5, c[1] * np.cos(s) + s), (1.0, s), max_steps=20
    )[1]
    twice = lambda f: anima.vmap(anima.vmap(f, (0, None)), (None, 0))
    plain = lambda n, s: anima.grad(scaled, 1)(n, s)
    ss = np.array([0.2, 0.4, 0.7])
    want = onp.array([[float(plain(n, s)) for n in limits] for s in ss])
    assert_trees_close(twice(anima.grad(scaled, 1))(limits, ss), want)
    along = lambda f: lambda w, x: anima.jvp(grads(f), (w, x), (W * 0.3, X * 0.1))[1]
    got = anima.vmap(along(growing), (None, 0))(W, XS[2:])
    for i, x in enumerate(XS[2:]):
        want = along(growing_plain)(W, x)
        scale = 1 + max(float(np.abs(leaf).max()) for leaf in want)
        assert_trees_close([g[i] / scale for g in got], [w / scale for w in want], 1e-4, str(i))


def test_linear_maps_of_loops() -> None:
    directions = (W * 0.3, X * 0.1)
    want = anima.jvp(growing_plain, (W, X), directions)
    for fun in (growing, anima.jit(growing)):
        value, push = anima.linearize(fun, W, X)
        assert_trees_close((value, push(*directions)), want, 1e-4)
        two = anima.vmap(push)(*[onp.stack([d, d * 2]) for d in directions])
        assert_trees_close(two, onp.array([1.0, 2.0]) * want[1], 1e-4)
        assert_trees_close(
            anima.grad(lambda w: push(w, directions[1]))(W), grads(growing_plain)(W, X)[0], 1e-4
        )
    pushed = anima.vmap(lambda x: anima.linearize(growing, W, x)[1](*directions))(XS)
    plain = [anima.jvp(growing_plain, (W, x), directions)[1] for x in XS]
    assert_trees_close(pushed, np.stack(plain), 1e-4)


def test_a_linear_loop_is_transposed() -> None:
    def steps(n: Any) -> Any:
        def linear(x: Any) -> Any:
            test = lambda s: s[0] < n
            return lax.while_loop(test, lambda s: (s[0] + 1, s[1] * W + s[1][::-1]), (0, x), max_steps=40)[1]

        return linear

    matrix = anima.jacfwd(steps(20))(X)

    def transposed(fun: Any, ct: Any) -> Any:
        return backward(tape_of(lambda x: [fun(x)], [aval_of(ct)]), [ct])[0]

    assert_trees_close(anima.jit(lambda n: transposed(steps(n), X))(20), matrix.T @ X, 1e-4)
    assert_trees_close(anima.jit(lambda n: transposed(anima.vmap(steps(n)), XS))(20), XS @ matrix, 1e-4)


def test_mapped_linear_maps_are_transposed() -> None:
    """Tangents of what all examples share have a sum of their own in each, though examples end at different times."""
    _, push = anima.linearize(lambda w, xs: anima.vmap(lambda x: growing(w, x))(xs), W, XS)
    pushes = [anima.linearize(lambda w, x=x: growing_plain(w, x), W)[1] for x in XS]
    assert_trees_close(push(W, XS * 0), np.stack([p(W) for p in pushes]), 1e-4)

    def total(t: Any) -> Any:
        return anima.vmap(lambda x: anima.linearize(lambda w: growing(w, x), W)[1](t))(XS).sum()

    want = sum(anima.grad(growing_plain)(W, x) for x in XS)
    assert_trees_close(anima.grad(total)(W), want, 1e-4)
    assert_trees_close(backward(tape_of(lambda t: [total(t)], [aval_of(W)]), [np.float32(1)])[0], want, 1e-4)


# --- what is carried --------------------------------------------------------------------------


def test_carries_of_all_kinds() -> None:
    key = random.PRNGKey(3)

    def loop(w: Any, x: Any, n: Any) -> Any:
        def step(s: Any) -> Any:
            i, key, flag, c, z, total = s
            key, used = random.split(key)
            noise = random.uniform(used, (3,))
            c = np.where(flag, c * w + noise, np.sin(c) * x[i % 3])
            z = z * np.asarray(np.exp(1j * c[0]), np.complex64)
            return i + 1, key, ~flag, c, z, total + c.astype(np.bfloat16)

        start = (0, key, np.array(True), x, np.ones((), np.complex64), np.zeros(3, np.bfloat16))
        last = lax.while_loop(lambda s: s[0] < n, step, start, max_steps=64)
        return last[3].sum() + last[4].real + last[5].astype(np.float32).sum()

    known = lambda n: lambda w, x: loop(w, x, n)
    for n in (0, 1, 2, 21):
        want = scanned_gradient(loop, n)
        assert_trees_close(grads(known(n))(W, X), want, 2e-2, str(n))
        assert_trees_close(anima.jit(lambda w, x, n: grads(known(n))(w, x))(W, X, n), want, 2e-2, str(n))
    batched = anima.jit(anima.vmap(lambda n: grads(known(n))(W, X)))(np.array([3, 0, 21]))
    assert_trees_close([g[2] for g in batched], list(scanned_gradient(loop, 21)), 2e-2)


def scanned_gradient(loop: Any, n: int) -> Any:
    """The gradient by the road of known counts: without `max_steps`, with a counter that starts from a number."""
    plain = lax.while_loop
    unbounded = lambda cond, step, start, max_steps: plain(cond, step, start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lax, "while_loop", unbounded)
        return anima.grad(lambda w, x: loop(w, x, n), (0, 1))(W, X)


def test_fori_loops() -> None:
    def loop(w: Any, x: Any, lower: Any, upper: Any) -> Any:
        return lax.fori_loop(lower, upper, lambda i, c: c * w + np.sin(c + i), x, max_steps=30).sum()

    def plain(w: Any, x: Any, lower: int, upper: int) -> Any:
        for i in range(lower, upper):
            x = x * w + np.sin(x + i)
        return x.sum()

    for bounds in ((0, 20), (-3, 4), (5, 5), (7, 2)):
        want = grads(plain)(W * 0.5, X, *bounds)
        assert_trees_close(grads(loop)(W * 0.5, X, *bounds), want, 1e-3)
        assert_trees_close(anima.jit(grads(loop))(W * 0.5, X, *bounds), want, 1e-3)
    got = anima.vmap(grads(loop), (None, None, None, 0))(W * 0.5, X, 0, np.array([3, 20]))
    assert_trees_close([g[1] for g in got], list(grads(plain)(W * 0.5, X, 0, 20)), 1e-3)
    # known bounds too: some iterations are kept, not all
    held = {v.aval.shape[:1] for v in residuals(lambda w, x: loop(w, x, 0, 30), W, X)}
    assert (slot_count(30),) in held and (30,) not in held


def test_nested_loops_and_scans() -> None:
    def outer(w: Any, x: Any, n: Any, while_loop: Any) -> Any:
        def inner(c: Any) -> Any:
            last = while_loop(
                lambda s: (s[0] ** 2).sum() < 40.0, lambda s: (s[0] * w + 0.1, s[1] + 1), (c, 0)
            )[0]
            rows = lax.scan(lambda c, y: (np.sin(c) * w + y, c), last, np.stack([x, x * 0.5]))[1]
            return lax.cond(rows[0, 0] > 0, lambda r: r.sum(0) * 0.7, lambda r: r[1] - r[0], rows)

        return while_loop(lambda s: s[1] < n, lambda s: (inner(s[0]), s[1] + 1), (x, 0))[0].sum()

    bounded = lambda test, step, start: lax.while_loop(test, step, start, max_steps=40)

    def plain(test: Any, step: Any, start: Any) -> Any:
        while test(start):
            start = step(start)
        return start

    w = W * 1.2
    want = grads(lambda w, x: outer(w, x, 20, plain))(w, X)
    scale = float(max(np.abs(g).max() for g in want))
    ours = lambda w, x, n: outer(w, x, n, bounded)
    for got in (grads(ours)(w, X, 20), anima.jit(grads(ours))(w, X, 20)):
        assert_trees_close([g / scale for g in got], [g / scale for g in want], 1e-3)
    batched = anima.vmap(grads(ours), (None, None, 0))(w, X, np.array([0, 20, 3]))
    assert_trees_close([g[1] / scale for g in batched], [g / scale for g in want], 1e-3)

    def scanned(w: Any, xs: Any) -> Any:
        return lax.scan(lambda c, x: (c + growing(w, x), None), 0.0, xs)[0]

    xs = XS[:3]
    want = grads(lambda w, xs: sum(growing_plain(w, x) for x in xs))(W, xs)
    assert_trees_close(anima.jit(grads(scanned))(W, xs), want, 1e-3)


def test_checkpoints_and_functions_with_rules() -> None:
    @anima.custom_jvp
    def sine(x: Any) -> Any:
        return np.sin(x)

    sine.defjvp(lambda primals, tangents: (sine(primals[0]), np.cos(primals[0]) * tangents[0]))

    @anima.custom_vjp
    def other_sine(x: Any) -> Any:
        return np.sin(x)

    other_sine.defvjp(lambda x: (np.sin(x), np.cos(x)), lambda c, ct: (c * ct,))

    def loop(sin: Any, wrap: Any = lambda f: f) -> Any:
        def fun(w: Any, x: Any) -> Any:
            step = wrap(lambda c: c * w + 0.1 * sin(c) * x)
            return lax.while_loop(lambda c: (c * c).sum() < 5e4, step, x, max_steps=100).sum()

        return fun

    remat = anima.checkpoint
    want = grads(growing_plain)(W, X)
    for fun in (
        loop(sine),
        loop(other_sine),
        loop(np.sin, remat),
        remat(loop(np.sin)),
        remat(loop(sine, remat)),
    ):
        assert_trees_close(grads(fun)(W, X), want, 1e-4)
        assert_trees_close(anima.jit(grads(fun))(W, X), want, 1e-4)
        batched = anima.vmap(grads(fun), (None, 0))(W, onp.stack([X, X * 5]))
        assert_trees_close([g[0] for g in batched], list(want), 1e-4)

    def scanned(w: Any, x: Any) -> Any:
        step = remat(lambda c, _: (loop(np.sin)(w, c * 0.1) * x / 50, None))
        return lax.scan(step, x, None, length=2)[0].sum()

    def scanned_plain(w: Any, x: Any) -> Any:
        c = growing_plain(w, x * 0.1) * x / 50
        return (growing_plain(w, c * 0.1) * x / 50).sum()

    assert_trees_close(anima.jit(grads(scanned))(W, X), grads(scanned_plain)(W, X), 1e-3)


def test_taylor_mode() -> None:
    along = lambda f: lambda t: f(W, X * t)
    gradient = lambda f: lambda t: sum(g.sum() for g in grads(f)(W, X * t))
    for curve in (along, gradient):
        ours, theirs = (jet(curve(f), (1.0,), ((1.0, 0.0, 0.0),)) for f in (growing, growing_plain))
        assert_trees_close(ours, theirs, 1e-3)


def test_only_what_the_derivative_needs_is_kept() -> None:
    def loop(x: Any) -> Any:
        def step(s: Any) -> Any:
            i, c, total, weight = s
            return i + 1, np.sin(c), total + c * 2, weight * 3

        return lax.while_loop(lambda s: s[0] < 50, step, (0, x, x, x), max_steps=100)

    kept = [v.aval for v in residuals(lambda x: loop(x)[1:], X)]
    shapes = [array_aval(a).shape for a in kept]
    assert shapes.count((slot_count(100), 3)) == 1  # of `c` alone
    pruned, _, _ = dce_jaxpr(anima.make_jaxpr(anima.grad(lambda x: loop(x)[3].sum()))(X).jaxpr)
    [saving] = [e for e in pruned.eqns if e.primitive.name == "saving_while"]
    [walk] = [e for e in pruned.eqns if e.primitive.name == "replay"]
    assert not any(saving.params["saved"])  # a part that is linear needs no values
    assert walk.params["num_state"] == 1 and "sin" not in repr(pruned)
    assert_trees_close(anima.grad(lambda x: loop(x)[3].sum())(X * 1e-20), onp.full(3, 3.0**50), 1e-4)


def test_what_is_kept_grows_with_the_logarithm_of_the_bound() -> None:
    for bound in (10, 100, 1000, 10**6, 10**9):
        kept = residuals(lambda w, x, bound=bound: growing(w, x, bound), W, X)
        elements = sum(array_aval(v.aval).size for v in kept)
        assert elements <= 3 * slot_count(bound) + 10


def residuals(fun: Any, *args: Any) -> list[Any]:
    """The values that pass from the forward to the backward pass."""
    closed = anima.make_jaxpr(fun)(*args)
    split = linearize_jaxpr(closed, tuple(True for _ in closed.in_avals))
    computed = split.primal.jaxpr.outvars[len(closed.out_avals) :]
    return [*computed, *[closed.jaxpr.invars[i] for i in split.residual_inputs]]


# --- cost -------------------------------------------------------------------------------------


class Calls:
    """Counts how often compiled programs run a loop's body."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, i: Any) -> Any:
        self.count += onp.size(i)
        return i

    def loop(self, x: Any, n: Any, max_steps: int) -> Any:
        aval = anima.ShapeDtypeStruct((), onp.int32)

        def step(s: Any) -> Any:
            i, c = s
            i = anima.pure_callback(self, aval, i, vmap_method="broadcast_all")
            return i + 1, np.sin(c) * (1 + 0.001 * i)

        return lax.while_loop(lambda s: s[0] < n, step, (0, x), max_steps=max_steps)[1]


@pytest.mark.cpu
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 200, 256, 1000, 5000])
def test_iterations_are_computed_in_proportion_to_those_that_take_place(n: int) -> None:
    calls = Calls()
    gradient = anima.jit(anima.grad(calls.loop), static_argnums=2)
    for bound in (5000, 10**8):
        calls.count = 0
        gradient(0.5, n, bound).block_until_ready()
        digits = len(f"{max(n - 1, 0):x}")
        # once forwards, once where the step is linearised, and the replays
        assert 2 * n <= calls.count <= 2 * n + n * (digits - 1) * 15 / 16
    if n <= 5000 // 10:
        want = anima.grad(lambda x: calls.loop(x, n, 5000))(0.5)
        assert_trees_close(gradient(0.5, n, 10**8), want)


def test_one_program_serves_all_numbers_of_iterations() -> None:
    gradient = grads(growing)
    gradient(W, X)
    assert compilations(lambda: [gradient(W, X * factor) for factor in (0.5, 2.0, 900.0)]) == 0


@pytest.mark.cpu
def test_slots_are_written_in_place() -> None:
    """A step costs no more with a thousand times the slots' size behind it: no copy of them is made on the way."""
    text = anima.jit(grads(growing), static_argnums=()).lower(W, X).compile().as_text()
    slots = f"f32[{slot_count(100)},3]"
    copies = [line for line in text.splitlines() if f"= {slots}" in line and " copy(" in line]
    loops = [line for line in text.splitlines() if " while(" in line]
    assert len(loops) == 3 and len(copies) <= 1, copies


def test_unused_results_are_not_computed() -> None:
    both = anima.make_jaxpr(lambda w, x: anima.value_and_grad(growing)(w, x)[0])(W, X)
    pruned, _, _ = dce_jaxpr(both.jaxpr)
    assert [e.primitive.name for e in pruned.eqns if "while" in e.primitive.name] == ["saving_while"]
    [eqn] = [e for e in pruned.eqns if e.primitive.name == "saving_while"]
    assert not any(eqn.params["saved"]) and "replay" not in repr(pruned)


# --- the bound --------------------------------------------------------------------------------


def test_the_value_never_stops_at_the_bound() -> None:
    want = growing_plain(W, X)
    assert_trees_close(growing(W, X, 1), want)
    assert_trees_close(anima.jit(lambda: growing(W, X, 1))(), want)
    assert_trees_close(
        anima.jvp(lambda x: growing(W, x, 1), (X,), (X,)),
        anima.jvp(lambda x: growing_plain(W, x), (X,), (X,)),
        1e-4,
    )
    value, push = anima.linearize(lambda x: growing(W, x, 1), X)
    assert_trees_close(value, want)
    assert_trees_close(push(X), anima.jvp(lambda x: growing_plain(W, x), (X,), (X,))[1], 1e-4)


@pytest.mark.cpu
def test_the_gradient_of_a_longer_loop_raises() -> None:
    steps = lambda w, x, n, bound: lax.fori_loop(
        0, n, lambda i, c: c * w + np.sin(c), x, max_steps=bound
    ).sum()
    calls = [
        lambda n: grads(steps)(W, X, n, 17),
        lambda n: anima.jit(grads(steps), static_argnums=3)(W, X, n, 17),
        lambda n: anima.vmap(grads(steps), (None, None, 0, None))(W, X, np.array([0, n, 2]), 17),
        lambda n: anima.jvp(lambda w: anima.grad(steps)(w, X, n, 17), (W,), (W,)),
        lambda n: grads(lambda w, x: anima.grad(steps)(w, x, n, 17).sum())(W, X),
    ]
    for call in calls:
        anima.block_until_ready(call(17))
        with pytest.raises(MaxStepsError, match=r"more than max_steps=17 iterations.*Raise max_steps"):
            anima.block_until_ready(call(18))


@pytest.mark.cpu
def test_programs_that_cannot_raise_give_nan(run_python: Any) -> None:
    code = """
        import numpy as onp
        import anima, anima.numpy as np
        from anima import lax
        from anima.sharding import Mesh, NamedSharding, PartitionSpec as P

        mesh = Mesh(onp.array(anima.devices()), ("i",))
        x = anima.device_put(np.arange(1.0, 5.0), NamedSharding(mesh, P("i")))
        def loss(x, n):
            return lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, np.sin(s[1])), (0, x), max_steps=3)[1].sum()
        gradient = anima.jit(anima.grad(loss))
        print(onp.isnan(onp.asarray(gradient(x, 3))).any(), onp.isnan(onp.asarray(gradient(x, 4))).all())
        rows = anima.jit(anima.vmap(anima.grad(loss), (None, 0)))(x, np.array([3, 4, 0]))
        print(*onp.isnan(onp.asarray(rows)).all(1), *onp.isnan(onp.asarray(rows)).any(1))
        onp.testing.assert_allclose(rows[0], gradient(x, 3), rtol=1e-6)
    """
    result = run_python(textwrap.dedent(code), env={"XLA_FLAGS": "--xla_force_host_platform_device_count=2"})
    assert result.stdout.split() == ["False", "True", *["False", "True", "False"] * 2]


@pytest.mark.gpu
def test_a_gpu_gives_nan_for_the_examples_that_run_for_longer() -> None:
    loss = lambda x, n: lax.fori_loop(0, n, lambda i, c: np.sin(c), x, max_steps=20)
    rows = onp.asarray(anima.vmap(anima.grad(loss), (None, 0))(0.5, np.array([3, 40, 0, 20])))
    assert onp.isnan(rows).tolist() == [False, True, False, False]
    assert_trees_close(rows[3], anima.grad(lambda x: loss(x, 20))(0.5))


@pytest.mark.cpu
def test_programs_for_other_platforms_call_nothing() -> None:
    traced = anima.jit(grads(growing)).trace(W, X)
    assert "custom_call" in traced.lower(lowering_platforms=("cpu",)).as_text()
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "custom_call" not in text and "0x7FC00000" in text  # NaN


WRONG: list[tuple[Any, type[Exception], str]] = [
    (0, ValueError, "max_steps must be from 1"),
    (-3, ValueError, "max_steps must be from 1"),
    (2**31, ValueError, "max_steps must be from 1 to 2"),
    (1.5, TypeError, "max_steps must be an integer"),
    (True, TypeError, "max_steps must be an integer"),
    ("a", TypeError, "max_steps must be an integer"),
]


@pytest.mark.parametrize("bound, error, message", WRONG, ids=lambda v: repr(v)[:12])
def test_bounds_that_are_none(bound: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"while_loop: {message}"):
        lax.while_loop(lambda x: x < 3, lambda x: x + 1, 0, max_steps=bound)
    with pytest.raises(error, match=f"fori_loop: {message}"):
        lax.fori_loop(0, 3, lambda i, x: x, 0, max_steps=bound)


def test_other_misuse() -> None:
    with pytest.raises(ValueError, match="unroll and max_steps exclude each other"):
        lax.fori_loop(0, 3, lambda i, x: x, 0.0, unroll=2, max_steps=3)
    with pytest.raises(TypeError, match=r"max_steps must be an integer.*Traced"):
        anima.jit(lambda n: lax.while_loop(lambda x: x < 3, lambda x: x + 1, 0, max_steps=n))(3)
    with pytest.raises(TypeError, match="positional"):
        lax.while_loop(lambda x: x < 3, lambda x: x + 1, 0, 5)  # type: ignore[misc]


class Noise(Effect):
    """An effect for a test."""


def test_effects_happen_once_or_are_refused() -> None:
    same = lambda x: x
    noisy = Primitive(
        "noise in a loop",
        shape=same,
        lower=lambda ctx, x: x,
        jvp=lambda ps, ts: (noisy.bind(*ps), ts[0]),
        transpose=Missing("it is only a test"),
        batch=lambda axis, args, dims: (noisy.bind(*args), dims[0]),
        effects=lambda x: frozenset([Noise()]),
    )
    try:
        fun = lambda x: lax.while_loop(lambda c: c < 9.0, lambda c: noisy.bind(c) * x, x, max_steps=20)
        assert float(fun(2.0)) == 16.0
        assert anima.make_jaxpr(fun)(2.0).jaxpr.effects == {Noise()}
        assert float(anima.jvp(fun, (2.0,), (1.0,))[1]) == 4 * 2.0**3
        for transform in (
            anima.grad,
            lambda f: lambda x: anima.vjp(f, x),
            lambda f: anima.jit(anima.grad(f)),
        ):
            with pytest.raises(ValueError, match=r"effects Noise, and its derivative in reverse mode.*jvp"):
                transform(fun)(2.0)
    finally:
        del primitives["noise in a loop"]


def test_numpy_integers_and_known_arrays_are_bounds() -> None:
    for bound in (onp.int64(5), np.array(5)):
        loss = lambda x, bound=bound: lax.while_loop(lambda c: c < 20.0, lambda c: c * x, x, max_steps=bound)
        assert_trees_close(anima.grad(loss)(3.0), onp.float32(27.0))


def test_internal_operations_are_complete() -> None:
    for name in ("bounded_while", "saving_while", "replay"):
        primitive = primitives[name]
        assert primitive.linearize is not None and primitive.effects is not None


def test_programs_inside_are_found_by_walkers() -> None:
    closed: ClosedJaxpr = anima.make_jaxpr(grads(growing))(W, X)
    eqns = {e.primitive.name: e for e in closed.jaxpr.eqns}
    assert len(subjaxprs(eqns["saving_while"].params)) == 2 and len(subjaxprs(eqns["replay"].params)) == 2


def test_disable_jit_loops_in_python() -> None:
    seen: list[float] = []
    with anima.disable_jit():
        got = lax.while_loop(lambda x: x < 3, lambda x: (seen.append(x), x + 1)[1], 0, max_steps=1)
    assert got == 3 and len(seen) == 3

"""`shard_map` on four devices: values and derivatives, in and around other transformations, against functions of whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

import anima
import anima.numpy as anp
from anima import checkpoint, grad, jit, lax, vmap
from anima.experimental.jet import jet
from tests.parallel.several import Checks
from tests.parallel.support import RNG, P, W, X, equal, over, raises, same, square

checks = Checks(__name__)
BOTH = (True, False)


def block(w: Any, x: Any) -> Any:
    return anp.sin(w * x) * lax.psum(anp.sin(x), "x")


def block_of_whole(w: Any, x: Any) -> Any:
    return anp.sin(w * x) * anp.concatenate([anp.sin(x[:2]) + anp.sin(x[2:])] * 2)


@checks
def mean_loss_of_a_data_parallel_model() -> None:
    def loss(w: Any, b: Any, x: Any) -> Any:
        return lax.pmean((anp.tanh(x @ w + b) ** 2).mean(), ("x", "y"))

    whole = lambda w, b, x: (anp.tanh(x @ w + b) ** 2).mean()
    for check in BOTH:
        f = over(loss, (P(), P(), P(("x", "y"))), P(), check_vma=check)
        same(f, whole, W, np.float32(0.3), X, argnums=(0, 1, 2), thorough=True)


@checks
def results_lie_as_specs_say() -> None:
    f = over(lambda x: (x, x.sum(0), lax.psum(x, "x")), P("x"), (P("x"), P("x"), P()))
    for run in (f, jit(f)):
        same_block, sums, total = run(X)
        assert same_block.sharding.is_equivalent_to(anima.NamedSharding(square(), P("x")), 2)
        assert sums.sharding.is_equivalent_to(anima.NamedSharding(square(), P("x")), 1)
        assert total.sharding.is_fully_replicated
        equal(same_block, X)
        equal(sums, X.reshape(2, 2, 6).sum(1).ravel())
        equal(total, X[:2] + X[2:])
    placed = anima.device_put(X, anima.NamedSharding(square(), P("y", "x")))
    equal(f(placed)[2], X[:2] + X[2:])
    assert not f(np.zeros((0, 6), np.float32))[2].size
    equal(over(lambda: lax.axis_index("x")[None] + 1, (), P("x"))(), [1, 2])
    tree = over(lambda t: {"a": t["b"][0] * 2, "c": None}, ({"b": [P("x")]},), {"a": P("x"), "c": None})
    equal(tree({"b": [X]})["a"], 2 * X)


@checks
def traced_once_for_a_signature() -> None:
    traced = []
    f = over(lambda x: (traced.append(0), x * 2)[1], P("x"), P("x"))
    for _ in range(3):
        equal(f(X), 2 * X)
    assert len(traced) == 1
    f(X[:2])
    assert len(traced) == 2


@checks
def loops_and_branches_inside() -> None:
    def scanned(w: Any, x: Any) -> Any:
        return lax.psum(lax.scan(lambda c, r: (anp.sin(c + r @ w), c * 2), anp.zeros(()), x)[1].sum(), "x")

    def whole(w: Any, x: Any) -> Any:
        def rows(b: Any) -> Any:
            return lax.scan(lambda c, r: (anp.sin(c + r @ w), c * 2), anp.zeros(()), b)[1].sum()

        return rows(x[:2]) + rows(x[2:])

    for check in BOTH:
        same(over(scanned, (P(), P("x")), P(), check_vma=check), whole, W, X, argnums=(0, 1), thorough=check)
    # The carry starts as the same on all devices, and ends as another on each.
    carried = lambda w, x: lax.scan(lambda c, r: (anp.sin(c + r * w), None), anp.zeros(6), x)[0][None]
    whole = lambda w, x: anp.concatenate([carried(w, x[:2]), carried(w, x[2:])])
    same(over(carried, (P(), P("x")), P("x")), whole, W, X, argnums=(0, 1))
    counted = lambda w, x: lax.fori_loop(0, 3, lambda i, c: anp.sin(c * w) + lax.psum(c, "x"), x)

    def counted_whole(w: Any, x: Any) -> Any:
        for _ in range(3):
            x = anp.sin(x * w) + anp.concatenate([x[:2] + x[2:]] * 2)
        return x

    same(over(counted, (P(), P("x")), P("x")), counted_whole, W, X, argnums=(0, 1))


@checks
def devices_that_go_different_ways() -> None:
    """Branches and loops by a value that varies: no device waits for one that is elsewhere, and nothing is summed inside."""
    first = lambda: lax.axis_index("x") == 0
    f = over(lambda w, x: lax.cond(first(), lambda: x * w, lambda: anp.zeros_like(x)), (P(), P("x")), P("x"))
    same(f, lambda w, x: anp.concatenate([x[:2] * w, 0 * x[2:]]), W, X, argnums=(0, 1), thorough=True)
    f = over(lambda w: lax.cond(first(), lambda: w * w, lambda: w), P(), P("x"))
    same(f, lambda w: anp.concatenate([w * w, w]), W)
    f = over(lambda w, x: lax.cond(w.sum() > -100, lambda: w * 2, lambda: x[0]), (P(), P("x")), P("x"))
    same(f, lambda w, x: anp.concatenate([w * 2, w * 2]), W, X, argnums=(0, 1))
    with raises(ValueError, "result of <lambda> at [0]", "'x'", "out_specs", "psum", "check_vma=False"):
        over(lambda w: lax.cond(first(), lambda: (w, w), lambda: (w, w)), P(), (P(), P("x")))(W)
    count = over(
        lambda: lax.while_loop(
            lambda c: c[0] < 10, lambda c: (c[0] + lax.axis_index("x") + 1, c[1] + 1), (0, 0)
        )[1][None],
        (),
        P("x"),
    )
    equal(count(), [10, 5])

    def stepped(w: Any, x: Any) -> Any:
        go = lambda c: (c[0] + 1, anp.sin(c[1]) * w)
        return lax.while_loop(lambda c: c[0] < 4, go, (lax.axis_index("x"), x), max_steps=6)[1]

    def stepped_whole(w: Any, x: Any) -> Any:
        parts = []
        for steps, part in ((4, x[:2]), (3, x[2:])):
            for _ in range(steps):
                part = anp.sin(part) * w
            parts.append(part)
        return anp.concatenate(parts)

    same(over(stepped, (P(), P("x")), P("x")), stepped_whole, W, X, argnums=(0, 1))
    limit = over(
        lambda x: lax.fori_loop(0, lax.axis_index("x"), lambda i, c: c + x[0], anp.zeros(6))[None],
        P("x"),
        P("x"),
    )
    equal(limit(X), [0 * X[0], X[2]])


@checks
def jit_inside() -> None:
    f = jit(lambda w, x: jit(lambda a, b: anp.sin(a) * b)(w, x) + lax.psum(jit(anp.cos)(x), "x"))
    whole = lambda w, x: anp.sin(w) * x + anp.concatenate([anp.cos(x[:2]) + anp.cos(x[2:])] * 2)
    same(over(f, (P(), P("x")), P("x")), whole, W, X, argnums=(0, 1))


@checks
def checkpoint_inside_and_outside() -> None:
    policies = anima.checkpoint_policies
    for f in (
        over(checkpoint(block), (P(), P("x")), P("x")),
        checkpoint(over(block, (P(), P("x")), P("x"))),
        checkpoint(over(block, (P(), P("x")), P("x"), check_vma=False), policy=policies.everything_saveable),
        checkpoint(over(block, (P(), P("x")), P("x")), policy=policies.dots_saveable),
    ):
        same(f, block_of_whole, W, X, argnums=(0, 1), thorough=True)


@checks
def inside_loops_and_branches() -> None:
    for check in BOTH:
        f = over(block, (P(), P("x")), P("x"), check_vma=check)
        looped = lambda w, x, f=f: lax.scan(lambda c, _: (f(w, c), c.sum()), x, None, length=2)[0]
        same(looped, lambda w, x: block_of_whole(w, block_of_whole(w, x)), W, X, argnums=(0, 1))
        chosen = lambda w, x, f=f: lax.cond(w[0] < 100, lambda: f(w, x), lambda: x)
        same(chosen, block_of_whole, W, X, argnums=(0, 1))


@checks
def grad_inside() -> None:
    """Derivatives with respect to what the devices share are sums over them, where types say so; else each has its own."""
    slope = lambda w, x: grad(lambda w: anp.sin(x @ w).sum())(w)
    same(over(slope, (P(), P("x")), P()), slope, W, X, argnums=(0, 1))
    summed = lambda w, x: lax.psum(slope(w, x), "x")
    same(over(summed, (P(), P("x")), P(), check_vma=False), slope, W, X, argnums=(0, 1))
    of_sum = lambda w, x: grad(lambda w: lax.psum(anp.sin(x @ w).sum(), "x"))(w)
    same(over(of_sum, (P(), P("x")), P()), slope, W, X, argnums=(0, 1))
    equal(over(lambda w, x: grad(lambda w: (w + x).sum())(w), (P(), P("x")), P())(W, X), np.full(6, 4.0))
    equal(
        over(lambda w, x: grad(lambda w: jit(lambda w: (w * w + x).sum())(w))(w), (P(), P("x")), P())(W, X),
        8 * W,
    )
    curved = lambda w, x: anima.hessian(lambda w: anp.sin(x @ w).sum())(w)
    equal(over(curved, (P(), P("x")), P())(W, X), curved(W, X))
    rows = lambda w, x: lax.scan(lambda c, r: (anp.sin(c * w + r), None), w, x)[0].sum()
    want = grad(lambda w: rows(w, X[:2]) + rows(w, X[2:]))(W)
    equal(over(lambda w, x: grad(rows)(w, x), (P(), P("x")), P())(W, X), want)
    back = over(lambda w, x: anima.vjp(lambda w: w * x, w)[1](anp.ones((2, 6)))[0], (P(), P("x")), P())
    equal(back(W, X), X.sum(0))


@checks
def what_is_summed_is_small() -> None:
    """A value that all share is marked before it is broadcast, so that its cotangent is summed in its own shape."""
    f = over(lambda b, x: grad(lambda b: ((x + b) ** 2).sum())(b), (P(), P("x")), P())
    (inner,) = [eqn for eqn in anima.make_jaxpr(f)(W, X).eqns if eqn.primitive.name == "shard_map"]
    sums = [eqn for eqn in inner.params["jaxpr"].eqns if eqn.primitive.name == "psum"]
    assert [eqn.invars[0].aval.shape for eqn in sums] == [(6,)]


@checks
def operations_on_values_of_both_kinds() -> None:
    """What does not compute leaves each value as it is: the same on all devices, or not."""

    def f(w: Any, x: Any) -> Any:
        w, x = lax.optimization_barrier((w, x))
        assert anima.typeof(w).varying == frozenset() and anima.typeof(x).varying == {"x"}
        w, x = lax.composite(lambda w, x: (w * 2, x * w), "my.both")(w, x)
        assert anima.typeof(w).varying == frozenset() and anima.typeof(x).varying == {"x"}
        x = lax.with_sharding_constraint(x, anima.NamedSharding(square(), P("x", "y")))
        return w, anima.device_put(x, anima.NamedSharding(square(), P("y")))

    both = over(f, (P(), P("x")), (P(), P("x")))
    same(lambda w, x: both(w, x)[0], lambda w, x: w * 2, W, X, argnums=(0, 1))
    same(lambda w, x: both(w, x)[1], lambda w, x: w * x, W, X, argnums=(0, 1))


@checks
def captured_values() -> None:
    outer = lambda w, x: over(lambda x: anp.sin(x * w) + lax.psum(x, "x"), P("x"), P("x"))(x)
    whole = lambda w, x: anp.sin(x * w) + anp.concatenate([x[:2] + x[2:]] * 2)
    same(outer, whole, W, X, argnums=(0, 1))
    many = np.arange(600, dtype=np.float32).reshape(100, 6)
    same(over(lambda x: x * anp.asarray(many).sum(0), P("x"), P("x")), lambda x: x * many.sum(0), X)


@checks
def vmap_outside() -> None:
    f = over(lambda w, x: anp.sin(w * x) + lax.pmean(x, "x"), (P(), P("x")), P("x"))
    whole = lambda w, x: anp.sin(w * x) + anp.concatenate([(x[:2] + x[2:]) / 2] * 2)
    batch = RNG.normal(size=(4, 3, 6)).astype(np.float32)
    weights = RNG.normal(size=(3, 6)).astype(np.float32)
    same(vmap(f, (None, 1), 1), vmap(whole, (None, 1), 1), W, batch, argnums=(0, 1))
    same(vmap(f, (0, None)), vmap(whole, (0, None)), weights, X, argnums=(0, 1))
    same(vmap(f, (0, 1)), vmap(whole, (0, 1)), weights, batch, argnums=(0, 1), thorough=True)


@checks
def vmap_outside_over_an_axis_of_the_mesh() -> None:
    f = over(lambda w, x: anp.sin(w * x) + lax.pmean(x, "x"), (P(), P("x")), P("x"))
    whole = lambda w, x: anp.sin(w * x) + anp.concatenate([(x[:2] + x[2:]) / 2] * 2)
    examples = RNG.normal(size=(2, 4, 6)).astype(np.float32)
    same(vmap(f, (None, 0), spmd_axis_name="y"), vmap(whole, (None, 0)), W, examples, argnums=(0, 1))
    last = RNG.normal(size=(4, 6, 6)).astype(np.float32)
    same(vmap(f, (None, 1), 1, spmd_axis_name="y"), vmap(whole, (None, 1), 1), W, last, argnums=(0, 1))
    with raises(ValueError, "spmd_axis_name 'x'", "already"):
        vmap(f, (None, 0), spmd_axis_name="x")(W, examples)
    with raises(ValueError, "spmd_axis_name 'y' of size 2", "3 examples"):
        vmap(f, (None, 0), spmd_axis_name="y")(W, np.ones((3, 4, 6), np.float32))


@checks
def rules_of_users() -> None:
    """They may name the axes; a cotangent of what is shared must be summed, and that is checked."""

    @anima.custom_vjp
    def summed(w: Any, x: Any) -> Any:
        return (w * x).sum()

    summed.defvjp(
        lambda w, x: (summed(w, x), (w, x)),
        lambda kept, ct: (lax.psum(ct * kept[1].sum(0), "x"), ct * kept[0] * anp.ones_like(kept[1])),
    )
    f = over(lambda w, x: lax.psum(summed(w, x), "x"), (P(), P("x")), P())
    same(f, lambda w, x: (w * x).sum(), W, X, argnums=(0, 1), forward=False)

    @anima.custom_vjp
    def alone(w: Any, x: Any) -> Any:
        return (w * x).sum()

    alone.defvjp(
        lambda w, x: (alone(w, x), (w, x)),
        lambda kept, ct: (ct * kept[1].sum(0), ct * kept[0] * anp.ones_like(kept[1])),
    )
    with raises(ValueError, "cotangent", "'x'", "psum"):
        grad(over(lambda w, x: lax.psum(alone(w, x), "x"), (P(), P("x")), P()))(W, X)

    @anima.custom_jvp
    def sine(x: Any) -> Any:
        return anp.sin(x)

    sine.defjvp(lambda primals, tangents: (sine(*primals), anp.cos(primals[0]) * tangents[0]))
    f = over(lambda w, x: sine(w * x) * sine(w), (P(), P("x")), P("x"))
    same(f, lambda w, x: anp.sin(w * x) * anp.sin(w), W, X, argnums=(0, 1))


@checks
def some_axes_only() -> None:
    for check in BOTH:
        f = over(
            lambda w, x: anp.sin(x @ w) + lax.psum(x.sum(), "x"),
            (P(), P("x")),
            P("x"),
            axis_names={"x"},
            check_vma=check,
        )
        same(f, lambda w, x: anp.sin(x @ w) + x.sum(), W, X, argnums=(0, 1))
    placed = anima.device_put(X, anima.NamedSharding(square(), P("x", "y")))
    equal(f(W, placed), np.sin(X @ W) + X.sum())
    looped = lambda x: lax.scan(lambda c, r: (c / 2 + r + lax.axis_index("y"), None), anp.zeros(6), x)[0][
        None
    ]
    f = over(looped, P("y"), P("y"), axis_names={"y"})
    same(f, lambda x: anp.stack([x[0] / 2 + x[1], 1.5 + x[2] / 2 + x[3]]), X)


@checks
def one_inside_another() -> None:
    inner = lambda a: over(
        lambda b: b * lax.axis_index("y") + lax.psum(b, ("x", "y")),
        P(None, "y"),
        P(None, "y"),
        axis_names={"y"},
    )(a)
    f = over(lambda x: inner(x) + lax.psum(x, "x"), P("x"), P("x"), axis_names={"x"})

    def whole(x: Any) -> Any:
        mask = anp.concatenate([anp.zeros(3), anp.ones(3)])
        total = x[:2] + x[2:]
        both = total[:, :3] + total[:, 3:]
        return x * mask + anp.tile(both, (2, 2)) + anp.tile(total, (2, 1))

    same(f, whole, X)
    by_default = over(
        lambda x: anima.shard_map(lambda b: lax.psum(b, "y"), in_specs=P(None, "y"), out_specs=P())(x),
        P("x"),
        P("x"),
        axis_names={"x"},
    )
    equal(by_default(X), X[:, :3] + X[:, 3:])
    with raises(ValueError, "axis_names", "manual already"):
        over(lambda x: over(lambda y: y, P(), P(), axis_names={"x"})(x), P("x"), P("x"), axis_names={"x"})(X)


@checks
def meshes() -> None:
    with square():
        equal(anima.shard_map(lambda x: lax.psum(x, "x"), in_specs=P("x"), out_specs=P())(X), X[:2] + X[2:])
    abstract = square().abstract_mesh
    f = anima.shard_map(lambda x: lax.psum(x, "x"), mesh=abstract, in_specs=P("x"), out_specs=P())
    placed = anima.device_put(X, anima.NamedSharding(square(), P("x")))
    equal(f(placed), X[:2] + X[2:])
    one = anima.Mesh(np.array(anima.devices()[2:3]).reshape(1, 1), ("x", "y"))
    g = anima.shard_map(
        lambda x: lax.psum(x, ("x", "y")) + lax.axis_index("x"), mesh=one, in_specs=P("x"), out_specs=P("x")
    )
    equal(g(X), X)
    assert g(X).devices() == {anima.devices()[2]}
    seen = []
    over(lambda x: (seen.append(anima.sharding.get_abstract_mesh().manual_axes), x)[1], P("x"), P("x"))(X)
    assert seen == [("x", "y")]
    explicit = anima.Mesh(square().devices, ("x", "y"), (anima.sharding.AxisType.Explicit,) * 2)
    inferred = anima.shard_map(lambda x: lax.psum(x, "x"), mesh=explicit, out_specs=P())
    equal(inferred(anima.device_put(X, anima.NamedSharding(explicit, P("x")))), X[:2] + X[2:])


@checks
def taylor_series() -> None:
    f = over(block, (P(), P("x")), P("x"))
    series = ([np.ones_like(W), np.zeros_like(W)], [np.ones_like(X), np.ones_like(X)])
    got, want = (jet(g, (W, X), series) for g in (f, block_of_whole))
    equal(got[0], want[0])
    for a, b in zip(got[1], want[1]):
        equal(a, b)


@checks
def large_constants_of_partitioned_programs() -> None:
    """They lie whole on each device, whatever the partitioner would like."""
    many = np.arange(96, dtype=np.float32).reshape(4, 24)
    placed = anima.device_put(many, anima.NamedSharding(square(), P("x")))
    equal(jit(lambda x: anp.sin(x) * many)(placed), np.sin(many) * many)


test_on_four_devices = checks.test()

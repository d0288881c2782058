"""References in differentiated functions, against the same functions without references and difference quotients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as jnp
from anima import ad, lax
from anima.core import variance
from anima.errors import RefError
from anima.test_util import check_grads

X = 1.3


def overwritten(x: Any) -> Any:
    ref = anima.new_ref(x)
    ref[...] = jnp.sin(ref[...])
    ref[...] = ref[...] * x
    return ref[...]


def by_elements(x: Any) -> Any:
    ref = anima.new_ref(jnp.zeros(3))
    ref[0] = x
    ref[1] = jnp.cos(x) * ref[0]
    ref[2] += ref[1] * x
    ref.addupdate(x * x, np.array([1, 1]))
    ref[0] = 1.0
    return jnp.sum(ref[...] ** 2)


def in_scan(x: Any) -> Any:
    ref = anima.new_ref(jnp.zeros(3))

    def body(c: Any, i: Any) -> Any:
        ref[i] = jnp.sin(c) + ref[i - 1]
        return ref[i] * c, None

    c, _ = lax.scan(body, x, jnp.arange(3))
    return jnp.sum(ref[...]) * c


def in_fori_loop(x: Any) -> Any:
    ref = anima.new_ref(x)
    lax.fori_loop(0, 3, lambda i, c: (ref.__setitem__(..., jnp.sin(ref[...]) * (i + 1)), c)[1], 0)
    return ref[...]


def in_bounded_while(x: Any) -> Any:
    ref = anima.new_ref(x)

    def body(c: Any) -> Any:
        ref[...] = jnp.sin(ref[...]) + x
        return c + 1

    lax.while_loop(lambda c: c < 3, body, 0, max_steps=5)
    return ref[...]


def in_cond(x: Any) -> Any:
    ref = anima.new_ref(x)
    lax.cond(x > 1, lambda: ref.__setitem__(..., jnp.sin(ref[...])), lambda: None)
    lax.cond(x < 1, lambda: ref.__setitem__(..., 0.0), lambda: ref.addupdate(x**2))
    return ref[...]


def in_jit(x: Any) -> Any:
    ref = anima.new_ref(x)

    @anima.jit
    def step(r: Any, y: Any) -> Any:
        r[...] = r[...] * y
        return jnp.cos(r[...])

    return step(ref, x) + step(ref, jnp.sin(x)) + ref[...]


def in_checkpoint(x: Any) -> Any:
    ref = anima.new_ref(x)

    @anima.checkpoint
    def step(r: Any, y: Any) -> Any:
        r[...] = jnp.sin(r[...]) * y
        return jnp.cos(r[...])

    return step(ref, x) + step(ref, x) + ref[...]


def in_vmap(x: Any) -> Any:
    ref = anima.new_ref(jnp.zeros(3))
    anima.vmap(lambda r, y: r.__setitem__(..., jnp.sin(x * y)))(ref, jnp.arange(3.0))
    return jnp.sum(ref[...])


def swapped(x: Any) -> Any:
    ref = anima.new_ref(jnp.sin(x))
    old = anima.ref.swap(ref, ..., x * x)
    return old * ref[...]


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    f.__name__: f
    for f in (
        overwritten, by_elements, in_scan, in_fori_loop, in_bounded_while, in_cond, in_jit, in_checkpoint, in_vmap, swapped,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("wrap", [lambda f: f, anima.jit], ids=["eager", "jit"])
def test_derivatives_of_both_orders(name: str, wrap: Any) -> None:
    with anima.enable_x64(True):
        modes = ["rev"] if name == "in_bounded_while" else ["fwd", "rev"]
        check_grads(wrap(FUNCTIONS[name]), (jnp.float64(X),), order=2, modes=modes, rtol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gradient_is_the_same_compiled_and_mapped(name: str) -> None:
    gradient = anima.grad(FUNCTIONS[name])
    want = gradient(X)
    np.testing.assert_allclose(anima.jit(gradient)(X), want, rtol=1e-5)
    np.testing.assert_allclose(anima.vmap(gradient)(jnp.full(2, X)), [want, want], rtol=1e-5)


# ---------------------------------------------------------------------------------------------
# References from outside.


@pytest.mark.parametrize(
    "wrap", [lambda f: f, anima.jit, anima.checkpoint], ids=["eager", "jit", "checkpoint"]
)
@pytest.mark.parametrize(
    "transform",
    [anima.grad, lambda f: anima.jit(anima.grad(f)), lambda f: lambda x: anima.jvp(f, (x,), (1.0,))[1]],
    ids=["grad", "jit of grad", "jvp"],
)
def test_values_that_are_not_differentiated_are_written_outside(wrap: Any, transform: Any) -> None:
    ref, count = anima.new_ref(0.0), anima.new_ref(0)

    def f(x: Any) -> Any:
        y = jnp.sin(x)
        ref[...] += lax.stop_gradient(y)
        count[...] += 1
        return y * ref[...]

    got = transform(wrap(f))(X)
    np.testing.assert_allclose(got, np.cos(X) * np.sin(X), rtol=1e-5)
    np.testing.assert_allclose(ref[...], np.sin(X), rtol=1e-5)
    assert count[...] == 1


@pytest.mark.parametrize("wrap", [lambda f: f, anima.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    "transform", [anima.grad, lambda f: lambda x: anima.jvp(f, (x,), (1.0,))], ids=["grad", "jvp"]
)
def test_differentiated_values_are_not_written_outside(wrap: Any, transform: Any) -> None:
    ref = anima.new_ref(0.0)

    def f(x: Any) -> Any:
        ref.addupdate(x)
        return x

    with pytest.raises(RefError, match="stop_gradient"):
        transform(wrap(f))(X)
    assert ref[...] == 0


def test_an_argument_that_is_not_differentiated_takes_values() -> None:
    ref = anima.new_ref(0.0)

    def f(x: Any, r: Any) -> Any:
        r[...] += lax.stop_gradient(x)
        return x * r[...]

    assert anima.grad(f)(3.0, ref) == 3
    assert ref[...] == 3


# ---------------------------------------------------------------------------------------------
# Tangents and cotangents in references.


def sum_of_squares(ref: Any) -> Any:
    ref[...] = jnp.sin(ref[...])
    return jnp.sum(ref[...] ** 2)


@pytest.mark.parametrize("wrap", [lambda f: f, anima.jit], ids=["eager", "jit"])
def test_a_reference_takes_its_tangent_along(wrap: Any) -> None:
    start, direction = np.array([0.5, 2.0], np.float32), np.array([1.0, -1.0], np.float32)
    ref, moving = anima.new_ref(start), anima.new_ref(direction)
    y, dy = anima.jvp(wrap(sum_of_squares), (ref,), (moving,))
    np.testing.assert_allclose(y, (np.sin(start) ** 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(dy, (np.sin(2 * start) * direction).sum(), rtol=1e-5)
    np.testing.assert_allclose(ref[...], np.sin(start), rtol=1e-6)
    np.testing.assert_allclose(moving[...], np.cos(start) * direction, rtol=1e-6)


def test_the_tangent_of_a_reference_is_a_reference() -> None:
    with pytest.raises(RefError, match=r"tangent for argument `ref`: expected a reference"):
        anima.jvp(sum_of_squares, (anima.new_ref(1.0),), (1.0,))
    with pytest.raises(TypeError, match="must be an array"):
        anima.jvp(jnp.sin, (1.0,), (anima.new_ref(1.0),))
    ref = anima.new_ref(1.0)
    with pytest.raises(RefError, match="two arguments"):
        anima.jvp(sum_of_squares, (ref,), (ref,))


@pytest.mark.parametrize("wrap", [lambda f: f, anima.jit], ids=["eager", "jit"])
def test_the_cotangent_of_a_reference_is_added_to_another(wrap: Any) -> None:
    start = np.array([0.5, 2.0], np.float32)
    ref, total = anima.new_ref(start), anima.new_ref(np.array([10.0, 20.0], np.float32))
    y, pullback = anima.vjp(wrap(sum_of_squares), ref)
    np.testing.assert_allclose(ref[...], np.sin(start), rtol=1e-6)
    with pytest.raises(RefError, match="with_refs"):
        pullback(1.0)
    assert pullback.with_refs(total)(1.0) == (ad.GradRef(),)
    np.testing.assert_allclose(total[...], np.sin(2 * start) + [10, 20], rtol=1e-5)
    assert pullback.with_refs(ad.DontWant())(1.0) == (ad.DidntWant(),)


def test_gradients_of_many_batches_are_added_up_in_a_loop() -> None:
    weights = jnp.asarray(np.linspace(0.1, 0.4, 4, dtype=np.float32).reshape(2, 2))
    batches = jnp.asarray(np.arange(12, dtype=np.float32).reshape(3, 2, 2) / 10)
    loss = lambda w, x: jnp.sum(jnp.tanh(x @ w) ** 2)

    @anima.jit
    def accumulate(w: Any) -> Any:
        total = anima.new_ref(jnp.zeros_like(w))

        def step(c: Any, x: Any) -> Any:
            value, pullback = anima.vjp(lambda w: loss(w, x), w)
            pullback.with_refs(total)(jnp.ones_like(value))
            return c, value

        _, values = lax.scan(step, 0, batches)
        return anima.freeze(total), values

    got, values = accumulate(weights)
    want = anima.grad(lambda w: sum(loss(w, x) for x in batches))(weights)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(values, [loss(weights, x) for x in batches], rtol=1e-5)


def test_what_is_not_wanted_is_not_computed() -> None:
    weights, x = jnp.ones((4, 4)), jnp.ones(4)
    _, pullback = anima.vjp(lambda w, x: w @ x, weights, x)

    def products(*entries: Any) -> int:
        return str(anima.make_jaxpr(lambda: pullback.with_refs(*entries)(jnp.ones(4)))()).count("dot_general")

    both, one = products(ad.GradValue(), ad.GradValue()), products(ad.GradValue(), ad.DontWant())
    assert one < both
    of_weights, of_x = pullback.with_refs(ad.GradValue(), ad.DontWant())(jnp.ones(4))
    np.testing.assert_array_equal(of_weights, np.ones((4, 4)))
    assert of_x == ad.DidntWant() != ad.GradRef() and repr(of_x) == "DidntWant()"


def test_entries_may_be_for_whole_arguments() -> None:
    params = {"a": jnp.ones(2), "b": jnp.zeros(2)}
    _, pullback = anima.vjp(lambda p, x: jnp.sum(p["a"] * x + p["b"]), params, jnp.array([2.0, 3.0]))
    total = anima.new_ref(jnp.zeros(2))
    of_params, of_x = pullback.with_refs({"a": total, "b": ad.GradValue()}, ad.DontWant())(1.0)
    assert (of_params["a"], of_x) == (ad.GradRef(), ad.DidntWant())
    np.testing.assert_array_equal(of_params["b"], [1, 1])
    np.testing.assert_array_equal(total[...], [2, 3])
    of_params, of_x = pullback.with_refs(ad.DontWant(), ad.GradValue())(1.0)
    assert of_params == {"a": ad.DidntWant(), "b": ad.DidntWant()}
    np.testing.assert_array_equal(of_x, [1, 1])


@pytest.mark.parametrize(
    ("entries", "error", "words"),
    [
        ((None, ad.GradValue()), TypeError, "an entry must be"),
        ((jnp.zeros(2), ad.GradValue()), TypeError, "an entry must be"),
        ((ad.GradValue(),), ValueError, "prefix"),
        ((anima.new_ref(jnp.zeros(3)), ad.GradValue()), RefError, "cannot take the cotangent"),
        ((anima.new_ref(jnp.zeros(2, "float16")), ad.GradValue()), RefError, "cannot take the cotangent"),
        ((ad.GradValue(), anima.new_ref(0)), RefError, "cannot take the cotangent"),
    ],
    ids=["nothing", "an array", "too few", "shape", "dtype", "an integer"],
)
def test_entries_that_do_not_fit(entries: Any, error: type[Exception], words: str) -> None:
    _, pullback = anima.vjp(lambda x, i: x[i], jnp.ones(2), 1)
    with pytest.raises(error, match=words):
        pullback.with_refs(*entries)


def test_the_same_reference_for_two_arguments_is_refused() -> None:
    total = anima.new_ref(0.0)
    _, pullback = anima.vjp(jnp.multiply, 2.0, 3.0)
    with pytest.raises(RefError, match="two arguments"):
        pullback.with_refs(total, total)


@pytest.mark.parametrize("transform", [anima.grad, anima.jacfwd, anima.jacrev, anima.hessian])
def test_gradients_of_references_need_with_refs(transform: Any) -> None:
    with pytest.raises(RefError, match="is a reference"):
        transform(lambda r: r[...] ** 2)(anima.new_ref(2.0))


# ---------------------------------------------------------------------------------------------
# Backward rules that write to references.


@anima.custom_vjp
def stash(ref: Any, i: Any, x: Any) -> Any:
    return x


def _stash_backward(residuals: Any, ct: Any) -> Any:
    ref, i = residuals
    ref[i] = ct + 0.5 * ref[i - 1]  # what was written before counts
    return None, None, ct


stash.defvjp(lambda ref, i, x: (x, (ref, i)), _stash_backward)


def straight(ref: Any, x: Any) -> Any:
    for i in range(3):
        x = jnp.sin(stash(ref, i, x)) * 2
    return x


def scanned(ref: Any, x: Any) -> Any:
    return lax.scan(lambda c, i: (jnp.sin(stash(ref, i, c)) * 2, None), x, jnp.arange(3))[0]


def looped(ref: Any, x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda i, c: jnp.sin(stash(ref, i, c)) * 2, x)


def chosen(ref: Any, x: Any) -> Any:
    for i in range(3):
        x = lax.cond(x > -9, lambda x, i=i: jnp.sin(stash(ref, i, x)) * 2, lambda x: x, x)
    return x


def checkpointed(ref: Any, x: Any) -> Any:
    return anima.checkpoint(lambda x: straight(ref, x))(x)


def expected() -> tuple[list[float], float]:
    """What the rule writes, and the gradient, by hand."""
    points = [X]
    for _ in range(3):
        points.append(2 * np.sin(points[-1]))
    ct, held = 1.0, [7.0, 8.0, 9.0]
    for i in (2, 1, 0):
        ct *= 2 * np.cos(points[i])
        held[i] = ct + 0.5 * held[i - 1]
    return held, ct


STASHES = {f.__name__: f for f in (straight, scanned, looped, chosen, checkpointed)}
AROUND: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda f, ref: anima.grad(f, 1)(ref, X),
    "closure": lambda f, ref: anima.grad(lambda x: f(ref, x))(X),
    "jit of grad": lambda f, ref: anima.jit(anima.grad(f, 1))(ref, X),
    "grad of jit": lambda f, ref: anima.grad(anima.jit(f), 1)(ref, X),
    "grad of jit of a closure": lambda f, ref: anima.grad(anima.jit(lambda x: f(ref, x)))(X),
    "jit of grad of jit": lambda f, ref: anima.jit(anima.grad(anima.jit(f), 1))(ref, X),
    "grad of jit in jit": lambda f, ref: anima.grad(anima.jit(lambda r, x: anima.jit(f)(r, x)), 1)(ref, X),
    "pullback through jit": lambda f, ref: _pulled(f, ref),
}


def _pulled(f: Any, ref: Any) -> Any:
    _, pullback = anima.vjp(lambda x: f(ref, x), X)
    return pullback(1.0)[0]


@pytest.mark.parametrize("name", STASHES)
@pytest.mark.parametrize("around", AROUND)
def test_backward_rules_write_in_the_order_of_the_backward_pass(name: str, around: str) -> None:
    ref = anima.new_ref(jnp.array([7.0, 8.0, 9.0]))
    gradient = AROUND[around](STASHES[name], ref)
    held, want = expected()
    np.testing.assert_allclose(gradient, want, rtol=1e-5)
    np.testing.assert_allclose(ref[...], held, rtol=1e-5)


@pytest.mark.parametrize("name", STASHES)
def test_without_a_backward_pass_nothing_is_written(name: str) -> None:
    ref = anima.new_ref(jnp.array([7.0, 8.0, 9.0]))
    for f in (STASHES[name], anima.jit(STASHES[name])):
        f(ref, X)
        anima.vjp(lambda x: f(ref, x), X)
        anima.grad(lambda x: x + lax.stop_gradient(f(ref, x)))(X)
    np.testing.assert_array_equal(ref[...], [7, 8, 9])


def test_each_example_has_a_gradient_of_its_own() -> None:
    ref = anima.new_ref(jnp.tile(jnp.array([7.0, 8.0, 9.0]), (2, 1)))
    anima.vmap(anima.grad(scanned, 1))(ref, jnp.full(2, X))
    np.testing.assert_allclose(ref[...], [expected()[0]] * 2, rtol=1e-5)


def test_a_gradient_of_a_map_cannot_be_stashed() -> None:
    ref = anima.new_ref(jnp.zeros((2, 3)))
    for refs, axis in ((ref, 0), (anima.new_ref(jnp.zeros(3)), None)):
        with pytest.raises(RefError, match="inside of the function that is mapped"):
            anima.grad(lambda xs: anima.vmap(straight, (axis, 0))(refs, xs).sum())(jnp.full(2, X))


def test_what_a_function_with_rules_writes_is_seen() -> None:
    @anima.custom_vjp
    def doubled(ref: Any, x: Any) -> Any:
        ref[...] += lax.stop_gradient(x)
        return 2 * x

    def forward(ref: Any, x: Any) -> Any:
        return doubled(ref, x), ref

    def backward(ref: Any, ct: Any) -> Any:
        return None, ct * ref[...]

    doubled.defvjp(forward, backward)
    for f in (lambda r, x: doubled(r, x), anima.jit(lambda r, x: doubled(r, x))):
        ref = anima.new_ref(1.0)
        assert f(ref, 3.0) == 6
        assert ref[...] == 4


def test_references_that_rules_may_not_use() -> None:
    integers = anima.new_ref(jnp.zeros(3, int))
    with pytest.raises(RefError, match="floating point"):
        anima.jit(lambda r, x: stash(r, 0, x))(integers, X)
    ref = anima.new_ref(jnp.zeros(3))

    @anima.custom_vjp
    def other(r: Any, x: Any) -> Any:
        return x

    other.defvjp(lambda r, x: (x, ref), lambda ref, ct: (None, ct))
    with pytest.raises(RefError, match="none of its arguments"):
        anima.grad(other, 1)(anima.new_ref(0.0), X)

    @anima.custom_vjp
    def two(a: Any, b: Any, x: Any) -> Any:
        return x

    two.defvjp(lambda a, b, x: (x, None), lambda _, ct: (None, None, ct))
    with pytest.raises(RefError, match="two arguments"):
        anima.grad(two, 2)(ref, ref, X)


def test_custom_jvp_functions_make_references_of_their_own() -> None:
    @anima.custom_jvp
    def f(x: Any) -> Any:
        ref = anima.new_ref(x)
        ref[...] *= 2
        return ref[...]

    f.defjvp(lambda primals, tangents: (f(*primals), 5 * tangents[0]))
    assert (f(1.0), anima.jit(f)(1.0), anima.grad(f)(1.0), anima.grad(anima.jit(f))(1.0)) == (2, 2, 5, 5)


def test_backward_rules_write_where_values_have_varied_over_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variance, "seen", True)  # as after any `shard_map` in the process
    for around in ("grad of jit", "grad of jit in jit"):
        test_backward_rules_write_in_the_order_of_the_backward_pass("scanned", around)
    test_what_a_function_with_rules_writes_is_seen()

"""A primitive from outside, rule by rule, as the documentation teaches it; and what happens where a rule is missing or wrong."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import weakref
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, lax, vmap
from anima.core import ShapedArray
from anima.core.primitive import primitives
from anima.extend.core import Effect, Primitive
from anima.interpreters import ad, batching, mlir, xla
from anima.interpreters.mlir import hlo


def multiply_add() -> Primitive:
    """The documentation's example: `x * y + z` with every rule, written as a user writes them."""
    p = Primitive("multiply_add")
    p.def_impl(lambda x, y, z: onp.add(onp.multiply(x, y), z))

    @p.def_abstract_eval
    def abstract_eval(xs: Any, ys: Any, zs: Any) -> Any:
        assert xs.shape == ys.shape == zs.shape
        return ShapedArray(xs.shape, xs.dtype)

    mlir.register_lowering(p, lambda ctx, x, y, z: [hlo.AddOp(hlo.MulOp(x, y), z).result])

    def value_and_jvp(primals: Any, tangents: Any) -> Any:
        x, y, z = primals
        xt, yt, zt = [np.zeros_like(x) if type(t) is ad.Zero else t for t in tangents]
        return p.bind(x, y, z), p.bind(xt, y, p.bind(x, yt, zt))

    ad.primitive_jvps[p] = value_and_jvp

    def transpose(ct: Any, x: Any, y: Any, z: Any) -> Any:
        if not ad.is_undefined_primal(x):
            return None, p.bind(x, ct, np.zeros_like(x)) if ad.is_undefined_primal(y) else None, ct
        return p.bind(ct, y, np.zeros_like(y)), None, ct

    ad.primitive_transposes[p] = transpose

    def batch(args: Any, dims: Any) -> Any:
        size = next(a.shape[d] for a, d in zip(args, dims) if d is not batching.not_mapped)
        return p.bind(*[batching.bdim_at_front(a, d, size) for a, d in zip(args, dims)]), 0

    batching.primitive_batchers[p] = batch
    return p


p = multiply_add()


def square_add(x: Any, y: Any) -> Any:
    return p.bind(x, x, y)


def reference(x: Any, y: Any) -> Any:
    return x * x + y


def test_eagerly_the_users_function_runs() -> None:
    seen = []
    q = Primitive("q")

    @q.def_impl
    def impl(x: Any, *, by: int) -> Any:
        seen.append(x)
        return x * by

    assert q.bind(3, by=2) == 6 and seen == [3]
    assert q.impl is impl
    assert q.abstract_eval is not None
    assert square_add(2.0, 10.0) == 14.0


XS, YS = onp.array([2.0, 3.0, -1.0], onp.float32), onp.array([10.0, 20.0, 5.0], onp.float32)


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        jit,
        grad,
        lambda f: grad(f, 1),
        lambda f: jit(grad(f)),
        lambda f: grad(jit(f)),
        lambda f: grad(grad(f)),
        lambda f: lambda x, y: anima.jvp(f, (x, y), (1.0, 2.0)),
        lambda f: lambda x, y: anima.jvp(lambda x: f(x, y), (x,), (1.0,)),
        lambda f: lambda x, y: anima.linearize(f, x, y)[1](3.0, 1.0),
        lambda f: lambda x, y: anima.vjp(f, x, y)[1](2.0),
        lambda f: anima.hessian(f, (0, 1)),
        lambda f: anima.checkpoint(grad(anima.checkpoint(f))),
        lambda f: lambda x, y: anima.jvp(grad(f), (x, y), (1.0, 2.0)),
    ],
)
def test_transformations_of_scalars(transform: Any) -> None:
    for x, y in zip(XS, YS):
        expected = transform(reference)(x, y)
        found = transform(square_add)(x, y)
        for a, b in zip(anima.tree.leaves(expected), anima.tree.leaves(found), strict=True):
            onp.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "transform",
    [
        vmap,
        lambda f: jit(vmap(f)),
        lambda f: vmap(jit(f)),
        lambda f: vmap(grad(f)),
        lambda f: jit(vmap(grad(f, 1))),
        lambda f: lambda x, y: vmap(f, (0, None))(x, y[0]),
        lambda f: lambda x, y: vmap(f, (None, 0))(x[1], y),
        lambda f: vmap(vmap(f, (None, 0)), (0, None)),
        lambda f: anima.jacrev(vmap(f)),
        lambda f: anima.jacfwd(vmap(f), 1),
        lambda f: grad(lambda x, y: vmap(f)(x, y).sum()),
        lambda f: lambda x, y: lax.scan(lambda c, z: (f(c, z[1]), f(z[0], c)), np.float32(0.5), (x, y)),
        lambda f: grad(lambda x, y: lax.scan(lambda c, z: (f(c, z), c), np.float32(0.5), y)[0] + x.sum() * 0),
        lambda f: vmap(lambda x, y: lax.cond(x > 0, f, lambda x, y: y, x, y)),
        lambda f: vmap(lambda x, y: lax.while_loop(lambda c: c < 100, lambda c: f(c, 1.0), abs(y))),
    ],
)
def test_transformations_of_arrays(transform: Any) -> None:
    x, y = np.asarray(XS), np.asarray(YS)
    expected = transform(reference)(x, y)
    found = transform(square_add)(x, y)
    for a, b in zip(anima.tree.leaves(expected), anima.tree.leaves(found), strict=True):
        onp.testing.assert_array_equal(a, b)


def test_the_equation_is_the_users() -> None:
    [eqn] = anima.make_jaxpr(square_add)(2.0, 3.0).eqns
    assert eqn.primitive is p
    assert str(anima.make_jaxpr(square_add)(2.0, 3.0)) == (
        "{ lambda ; a:f32[] b:f32[]. let c:f32[] = multiply_add a a b in (c,) }"
    )
    assert "stablehlo.multiply" in jit(square_add).lower(2.0, 3.0).as_text()


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda q: q.bind(1.0), "no evaluation rule: give one with def_impl, or a lowering"),
        (lambda q: jit(q.bind)(1.0), "no abstract evaluation rule: give one with def_abstract_eval"),
        (lambda q: grad(q.bind)(1.0), "no forward derivative rule: give one with .*primitive_jvps"),
        (lambda q: vmap(q.bind)(np.ones(2)), "no batching rule: give one with .*primitive_batchers"),
    ],
)
def test_missing_rules_say_how_to_give_them(use: Any, words: str) -> None:
    with pytest.raises(NotImplementedError, match=f"'nothing' has {words}"):
        use(Primitive("nothing"))


@pytest.mark.cpu
def test_missing_lowering_and_transpose() -> None:
    q = Primitive("half_done")
    q.def_impl(lambda x: x)
    q.def_abstract_eval(lambda x: x)
    with pytest.raises(errors.MissingRuleError, match="no lowering rule: give one with .*register_lowering"):
        jit(q.bind)(1.0)
    ad.primitive_jvps[q] = lambda primals, tangents: (q.bind(*primals), q.bind(*tangents))
    assert anima.jvp(q.bind, (1.0,), (2.0,))[1] == 2.0
    with pytest.raises(
        errors.MissingRuleError, match="no transpose rule: give one with .*primitive_transposes"
    ):
        grad(q.bind)(1.0)
    mlir.register_lowering(q, lambda ctx, x: [x], platform="tpu")
    with pytest.raises(
        errors.MissingRuleError, match="no lowering rule for the platform cpu: it has those for tpu"
    ):
        jit(q.bind)(1.0)


def test_without_impl_the_lowering_rule_is_compiled() -> None:
    q = Primitive("twice")
    q.def_abstract_eval(lambda x: x)
    mlir.register_lowering(q, mlir.lower_fun(lambda x: [x + x]))
    out = q.bind(np.arange(3.0))
    assert isinstance(out, anima.Array)
    onp.testing.assert_array_equal(out, [0.0, 2.0, 4.0])
    q.def_impl(functools.partial(xla.apply_primitive, q))
    onp.testing.assert_array_equal(q.bind(np.arange(3.0)), [0.0, 2.0, 4.0])
    mlir.register_lowering(q, mlir.lower_fun(lambda x: x + x + x, multiple_results=False))
    onp.testing.assert_array_equal(q.bind(np.arange(3.0)), [0.0, 3.0, 6.0])


def test_multiple_results_and_parameters() -> None:
    q = Primitive("powers")
    q.multiple_results = True
    q.def_impl(lambda x, *, count: [x ** (i + 1) for i in range(count)])
    q.def_abstract_eval(lambda x, *, count: [x] * count)
    mlir.register_lowering(q, mlir.lower_fun(lambda x, *, count: [x ** (i + 1) for i in range(count)]))

    def jvp(primals: Any, tangents: Any, *, count: int) -> Any:
        (x,), (t,) = primals, tangents
        outs = q.bind(x, count=count)
        ones = [np.ones_like(x), *outs[:-1]]
        return outs, [(i + 1) * o * t for i, o in enumerate(ones)]

    ad.primitive_jvps[q] = jvp
    batching.defvectorized(q)
    assert [float(v) for v in jit(lambda x: q.bind(x, count=3))(2.0)] == [2.0, 4.0, 8.0]
    assert grad(lambda x: q.bind(x, count=3)[2])(2.0) == 12.0
    assert jit(grad(lambda x: sum(q.bind(x, count=3))))(2.0) == 1 + 4 + 12
    a, b = vmap(grad(lambda x: q.bind(x, count=2)[1]))(np.arange(3.0)), 2 * onp.arange(3.0)
    onp.testing.assert_array_equal(a, b)


def test_avals_may_be_anything_with_a_shape_and_a_dtype() -> None:
    q = Primitive("rows")
    q.def_abstract_eval(lambda x, *, n: anima.ShapeDtypeStruct((n, *x.shape), np.int32))
    assert anima.eval_shape(functools.partial(q.bind, n=4), 1.0) == anima.ShapeDtypeStruct((4,), np.int32)
    q.def_abstract_eval(lambda x, *, n: ShapedArray([n], "float16"))
    assert anima.make_jaxpr(functools.partial(q.bind, n=4))(1.0).out_avals == [ShapedArray((4,), np.float16)]


def test_derivative_helpers() -> None:
    mul = Primitive("my_mul")
    mul.def_impl(lambda x, y: x * y)
    mul.def_abstract_eval(lambda x, y: x)
    mlir.register_lowering(mul, lambda ctx, x, y: [hlo.multiply(x, y)])
    ad.defbilinear(mul, lambda ct, x, y: mul.bind(ct, y), lambda ct, x, y: mul.bind(x, ct))
    batching.defvectorized(mul)
    for f in (mul.bind, jit(mul.bind)):
        assert [float(v) for v in grad(f, (0, 1))(2.0, 3.0)] == [3.0, 2.0]
        assert anima.hessian(f, (0, 1))(2.0, 3.0)[0][1] == 1.0
        onp.testing.assert_array_equal(vmap(f, (0, None))(np.arange(3.0), 2.0), [0.0, 2.0, 4.0])

    plus = Primitive("my_sum")
    plus.def_impl(lambda x, y: x + y)
    plus.def_abstract_eval(lambda x, y: x)
    ad.deflinear(plus, lambda ct: [ct, ct])
    assert [float(v) for v in grad(lambda x, y: 3 * plus.bind(x, y), (0, 1))(1.0, 2.0)] == [3.0, 3.0]
    assert grad(lambda x: plus.bind(x, 1.0))(1.0) == 1.0
    ad.deflinear2(plus, lambda ct, x, y: [ct if ad.is_undefined_primal(a) else None for a in (x, y)])
    assert grad(lambda x: plus.bind(x, 1.0))(1.0) == 1.0

    sine = Primitive("my_sine")
    sine.def_impl(np.sin)
    ad.defjvp(sine, lambda t, x: t * np.cos(x))
    assert grad(sine.bind)(0.5) == np.cos(np.float32(0.5))
    expo = Primitive("my_exp")
    expo.def_impl(np.exp)
    ad.defjvp2(expo, lambda t, ans, x: t * ans)
    assert grad(grad(expo.bind))(0.5) == np.exp(np.float32(0.5))
    partly = Primitive("partly")
    partly.def_impl(lambda x, y: x * 0 + y)
    ad.defjvp(partly, None, lambda t, x, y: t)
    assert [float(v) for v in grad(partly.bind, (0, 1))(1.0, 2.0)] == [0.0, 1.0]
    with pytest.raises(TypeError, match="rules for 1 operands, but it has 2"):
        ad.defjvp(partly, None)
        grad(partly.bind)(1.0, 2.0)


def test_batching_helpers() -> None:
    total = Primitive("my_reduce")
    total.def_impl(lambda x, *, axes: x.sum(axes))
    batching.defreducer(total)
    x = np.arange(24.0).reshape(2, 3, 4)
    for axis in range(3):
        found = vmap(lambda row: total.bind(row, axes=(1,)), axis)(x)
        onp.testing.assert_array_equal(found, vmap(lambda row: row.sum(1), axis)(x))
    scaled = Primitive("my_scale")
    scaled.def_impl(lambda x, s: (scaled_with.append(onp.ndim(s)), x * s)[1])
    scaled_with: list[int] = []
    batching.defbroadcasting(scaled)
    onp.testing.assert_array_equal(vmap(scaled.bind, (1, None))(np.ones((2, 3)), 2.0), 2 * onp.ones((3, 2)))
    assert scaled_with == [0]


def test_batching_rules_that_know_the_axis() -> None:
    seen: list[Any] = []
    q = Primitive("sized")
    q.def_impl(lambda x: x)
    batching.axis_primitive_batchers[q] = lambda size, name, _, args, dims: (
        seen.append((size, name)),
        (args[0], dims[0]),
    )[1]
    vmap(q.bind, axis_name="rows")(np.ones(3))
    batching.fancy_primitive_batchers[q] = lambda axis, args, dims: (
        seen.append((axis.size, axis.name)),
        (args[0], dims[0]),
    )[1]
    vmap(q.bind, axis_name="columns")(np.ones(2))
    assert seen == [(3, "rows"), (2, "columns")]
    assert q in batching.fancy_primitive_batchers and q not in batching.axis_primitive_batchers


WRONG: list[tuple[Any, Any, str]] = [
    (lambda q: q.def_abstract_eval(lambda x: 3), lambda q: jit(q.bind)(1.0), "abstract evaluation rule of 'q' must return an aval"),
    (lambda q: ad.primitive_jvps.__setitem__(q, lambda p, t: q.bind(*p)), lambda q: grad(q.bind)(np.float32(1)), "must return a pair"),
    (lambda q: ad.primitive_jvps.__setitem__(q, lambda p, t: (q.bind(*p), None)), lambda q: grad(q.bind)(1.0), "returned the tangent None"),
    (lambda q: ad.primitive_jvps.__setitem__(q, lambda p, t: (q.bind(*p), t[0] * np.ones(2))), lambda q: grad(q.bind)(1.0),
     r"tangent of shape \(2,\) for a result of shape \(\)"),
    (lambda q: ad.deflinear(q, lambda ct: ct), lambda q: grad(q.bind)(1.0), "must return a list with a cotangent or None for each of the 1 operands"),
    (lambda q: ad.deflinear(q, lambda ct: [np.ones(4)]), lambda q: grad(q.bind)(1.0), r"returned a cotangent of shape \(4,\) for operand 0, of shape \(\)"),
    (lambda q: batching.primitive_batchers.__setitem__(q, lambda a, d: a[0]), lambda q: vmap(q.bind)(np.ones(2)), "must return a pair"),
    (lambda q: batching.primitive_batchers.__setitem__(q, lambda a, d: (a[0], 1)), lambda q: vmap(q.bind)(np.ones(2)), "returned 1 as the mapped axis"),
    (lambda q: batching.primitive_batchers.__setitem__(q, lambda a, d: (a[0][:1], 0)), lambda q: vmap(q.bind)(np.ones(2)), "but the axis has size 2"),
    (lambda q: mlir.register_lowering(q, lambda ctx, x: []), lambda q: jit(q.bind)(1.0), "must return 1 values, got 0"),
    (lambda q: mlir.register_lowering(q, lambda ctx, x: [3.0]), lambda q: jit(q.bind)(1.0), "an operand must be a value of the program"),
    (lambda q: mlir.register_lowering(q, lambda ctx, x: [hlo.convert("int32", x)]), lambda q: jit(q.bind)(1.0),
     "returned a value of type tensor<i32> as result 0, but its abstract evaluation rule gives tensor<f32>"),
]  # fmt: skip


@pytest.mark.parametrize(("give", "use", "words"), WRONG)
def test_mistakes_in_rules_are_reported_as_such(give: Any, use: Any, words: str) -> None:
    q = Primitive("q")
    q.def_impl(lambda x: x)
    q.def_abstract_eval(lambda x: x)
    give(q)
    with pytest.raises(TypeError, match=words):
        use(q)


def test_wrong_registrations() -> None:
    with pytest.raises(TypeError, match="forward derivative rules are those of primitives, got 'sin'"):
        ad.primitive_jvps["sin"] = lambda primals, tangents: None  # type: ignore[index]
    with pytest.raises(TypeError, match="transpose rule of 'q' must be a function"):
        ad.primitive_transposes[Primitive("q")] = 3  # type: ignore[assignment]
    with pytest.raises(TypeError, match="prim must be a primitive"):
        mlir.register_lowering("q", lambda ctx: [])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name must be a string"):
        Primitive(3)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="only while a lowering rule runs"):
        hlo.constant(3)


def test_a_tangent_that_does_not_depend_on_the_inputs_is_zero() -> None:
    q = Primitive("step")
    q.def_impl(lambda x: np.floor(x))
    q.def_abstract_eval(lambda x: x)
    ad.primitive_jvps[q] = lambda primals, tangents: (q.bind(*primals), np.zeros_like(primals[0]))
    assert grad(q.bind)(1.5) == 0.0
    assert anima.jvp(q.bind, (1.5,), (1.0,))[1] == 0.0
    assert anima.linearize(q.bind, 1.5)[1](1.0) == 0.0


def test_a_jvp_rule_may_call_jitted_functions_of_both() -> None:
    q = Primitive("mixed")
    q.def_impl(lambda x: x * np.sin(x))
    q.def_abstract_eval(lambda x: x)
    both = jit(lambda x, t: (x * np.sin(x), t * (np.sin(x) + x * np.cos(x))))
    ad.primitive_jvps[q] = lambda primals, tangents: both(*primals, *tangents)
    expected = grad(lambda x: x * np.sin(x))(0.7)
    assert grad(q.bind)(0.7) == pytest.approx(float(expected), rel=1e-6)
    assert jit(grad(q.bind))(0.7) == pytest.approx(float(expected), rel=1e-6)


def test_rules_are_views_of_the_primitives() -> None:
    jvp = lambda primals, tangents: (primals[0], tangents[0])
    q = Primitive("viewed")
    assert q not in ad.primitive_jvps and q not in ad.primitive_transposes
    ad.primitive_jvps[q] = jvp
    assert ad.primitive_jvps[q] is jvp and q in list(ad.primitive_jvps)
    del ad.primitive_jvps[q]
    assert q not in ad.primitive_jvps
    with pytest.raises(KeyError):
        ad.primitive_jvps[q]
    with pytest.raises(KeyError):
        del ad.primitive_jvps[q]
    with pytest.raises(errors.MissingRuleError, match="it was removed"):
        grad(q.bind)(1.0)
    assert lax.sin_p in ad.primitive_jvps and lax.sin_p not in ad.primitive_transposes
    out, tangent = ad.primitive_jvps[lax.sin_p]([0.0], [2.0])
    assert (float(out), float(tangent)) == (0.0, 2.0)
    out, dim = batching.primitive_batchers[lax.add_p]((np.ones(3), np.ones(3)), (0, 0))
    assert out.shape == (3,) and dim == 0
    assert (
        ad.get_primitive_transpose(lax.neg_p)(np.float32(1), ad.UndefinedPrimal(anima.typeof(1.0)))[0] == -1.0
    )
    with pytest.raises(errors.MissingRuleError):
        ad.get_primitive_transpose(lax.sin_p)
    assert len(ad.primitive_jvps) > 100 and "forward derivative rules" in repr(ad.primitive_jvps)


@pytest.mark.cpu
def test_rules_of_the_houses_own_primitives_can_be_replaced() -> None:
    before = lax.cbrt_p.jvp, lax.cbrt_p.lower
    try:
        ad.primitive_jvps[lax.cbrt_p] = lambda primals, tangents: (lax.cbrt(*primals), 7.0 * tangents[0])
        assert grad(lax.cbrt)(1.0) == 7.0
        mlir.register_lowering(lax.cbrt_p, lambda ctx, x, **params: [hlo.negate(x)], platform="cpu")
        assert jit(lambda x: lax.cbrt(x))(8.0) == -8.0
        assert lax.cbrt(8.0) == -8.0
        mlir.register_lowering(lax.cbrt_p, lambda ctx, x, **params: [x], platform="tpu")
        assert lax.cbrt(27.0) == -27.0
    finally:
        lax.cbrt_p.jvp, lax.cbrt_p.lower = before
        lax.cbrt_p.eager.clear_cache()
        anima.clear_caches()
    assert lax.cbrt(8.0) == 2.0


class Logged(Effect):
    """An effect from outside."""


def test_effects_keep_an_equation_that_nothing_uses() -> None:
    q = Primitive("logged")
    q.def_effectful_abstract_eval(lambda x: (x, {Logged()}))
    mlir.register_lowering(q, lambda ctx, x: [hlo.sine(x)])
    closed = anima.make_jaxpr(lambda x: (q.bind(x), x)[1])(1.0)
    assert closed.effects == {Logged()} == closed.eqns[0].effects
    assert q.abstract_eval(anima.typeof(1.0)) == (anima.typeof(1.0), {Logged()})
    assert "stablehlo.sine" in jit(lambda x: (q.bind(x), x)[1]).lower(1.0).as_text()
    assert jit(lambda x: (q.bind(x), x)[1])(1.0) == 1.0
    q.def_effectful_abstract_eval(lambda x: (x, {"log"}))
    with pytest.raises(TypeError, match="gave the effect 'log', which is no instance of"):
        anima.make_jaxpr(q.bind)(1.0)


def test_a_leaked_tracer_does_not_reach_the_users_function() -> None:
    kept: list[Any] = []
    jit(lambda x: kept.append(x))(1.0)
    q = Primitive("q")
    q.def_impl(lambda x: x)
    with pytest.raises(errors.UnexpectedTracerError):
        q.bind(kept[0])


def test_every_operation_counts_as_a_primitive() -> None:
    assert isinstance(lax.sin_p, Primitive) and isinstance(Primitive("x"), Primitive)
    assert not isinstance(lax.sin, Primitive)
    assert lax.sin_p.get_bind_params({"accuracy": None}) == {"accuracy": None}
    assert lax.add_p.impl(1.0, 2.0) == 3.0
    assert lax.add_p.bind_with_trace(None, (1.0, 2.0), None, {}) == 3.0


def test_copies_of_programs_have_the_same_primitives() -> None:
    for primitive in (p, lax.sin_p):
        assert copy.copy(primitive) is primitive is copy.deepcopy([primitive])[0]
    with pytest.raises(TypeError, match="cannot be pickled: it is known by identity"):
        pickle.dumps(p)


def test_primitives_of_users_are_not_kept() -> None:
    assert "multiply_add" not in primitives
    q = multiply_add()
    alive = weakref.ref(q)
    jit(lambda x, q=q: q.bind(x, x, x))(2.0)
    del q
    anima.clear_caches()
    gc.collect()
    assert alive() is None


def test_captured_arrays_and_large_constants_in_lowered_functions() -> None:
    table = onp.arange(1000, dtype=onp.float32)
    q = Primitive("looked_up")
    q.def_abstract_eval(lambda i: ShapedArray(i.shape, np.float32))
    mlir.register_lowering(q, mlir.lower_fun(lambda i: np.asarray(table)[i], multiple_results=False))
    assert jit(q.bind)(7) == 7.0
    assert jit(lambda i: q.bind(i) + q.bind(i + 1))(7) == 15.0

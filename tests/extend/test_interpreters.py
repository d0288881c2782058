"""Interpreters of programs from outside, as the documentation's tutorial writes one; and what programs offer them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import core, errors, grad, jit, lax, make_jaxpr, vmap
from anima.core import ShapedArray
from anima.extend import core as extend, linear_util as lu
from anima.extend.core import primitives
from anima.interpreters import ad, mlir, partial_eval as pe
from anima.util import safe_map

inverse_registry: dict[Any, Any] = {
    lax.exp_p: np.log,
    lax.tanh_p: np.arctanh,
    lax.neg_p: lambda x: -x,
}


def inverse(fun: Any) -> Any:
    @functools.wraps(fun)
    def wrapped(*args: Any) -> Any:
        closed = make_jaxpr(fun)(*args)
        out = inverse_jaxpr(closed.jaxpr, closed.literals, *args)
        return out[0]

    return wrapped


def inverse_jaxpr(jaxpr: Any, consts: Any, *args: Any) -> Any:
    env: dict[Any, Any] = {}

    def read(var: Any) -> Any:
        return var.val if type(var) is extend.Literal else env[var]

    def write(var: Any, val: Any) -> None:
        env[var] = val

    safe_map(write, jaxpr.outvars, args)
    safe_map(write, jaxpr.constvars, consts)
    for eqn in jaxpr.eqns[::-1]:
        invals = safe_map(read, eqn.outvars)
        if eqn.primitive is primitives.jit_p:
            (inner,) = [eqn.params["jaxpr"]]
            outval = inverse_jaxpr(inner.jaxpr, inner.consts, *invals)[0]
        elif eqn.primitive not in inverse_registry:
            raise NotImplementedError(f"{eqn.primitive} does not have registered inverse.")
        else:
            outval = inverse_registry[eqn.primitive](*invals)
        safe_map(write, eqn.invars, [outval])
    return safe_map(read, jaxpr.invars)


def test_the_inverse_interpreter() -> None:
    f = lambda x: np.exp(np.tanh(-x))
    f_inv = inverse(f)
    for x in (0.3, -0.5):
        assert float(f_inv(f(x))) == pytest.approx(x, rel=1e-5)
    assert float(jit(f_inv)(f(0.3))) == pytest.approx(0.3, rel=1e-5)
    assert float(inverse(jit(f))(f(0.3))) == pytest.approx(0.3, rel=1e-5)
    onp.testing.assert_allclose(vmap(f_inv)(f(np.arange(3.0) / 5)), onp.arange(3) / 5, atol=1e-6)
    slope = grad(f)(0.3)
    assert float(grad(f_inv)(f(0.3))) == pytest.approx(1 / float(slope), rel=1e-4)
    with pytest.raises(NotImplementedError, match="sin does not have registered inverse"):
        inverse(np.sin)(0.3)


def plain_eval(jaxpr: Any, consts: Any, *args: Any) -> list[Any]:
    """An interpreter that binds every equation again."""
    env: dict[Any, Any] = {}
    read = lambda a: a.val if isinstance(a, extend.Literal) else env[a]
    env.update(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
        params = eqn.primitive.get_bind_params(eqn.params)
        outs = eqn.primitive.bind(*map(read, eqn.invars), **params)
        env.update(zip(eqn.outvars, outs if eqn.primitive.multiple_results else [outs], strict=True))
    return [read(a) for a in jaxpr.outvars]


@anima.custom_jvp
def cubed(x: Any) -> Any:
    return x**3


cubed.defjvps(lambda t, ans, x: 3 * x**2 * t)


PROGRAMS: dict[str, Any] = {
    "elementwise": lambda x: np.sin(x) * 2 + x,
    "jit": lambda x: jit(lambda y: y + 1)(x),
    "nested jit": lambda x: jit(lambda y: jit(np.cos)(y) + 1)(x),
    "scan": lambda x: lax.scan(lambda c, y: (c + y, c * y), 0.0, x),
    "while": lambda x: lax.while_loop(lambda c: c.sum() < 10, lambda c: c + 1, x),
    "cond": lambda x: lax.cond(x[0] > 0, np.sin, np.cos, x),
    "switch": lambda x: lax.switch(1, [np.sin, np.cos], x),
    "fori": lambda x: lax.fori_loop(0, 3, lambda i, c: c * i, x),
    "grad": lambda x: grad(lambda y: np.sin(y).sum())(x),
    "vmap": lambda x: vmap(lambda y: y * 2)(x),
    "gather": lambda x: x[np.array([0, 2])],
    "scatter": lambda x: x.at[1].add(2.0),
    "sort": lambda x: np.sort(x),
    "dot": lambda x: x @ x,
    "constants": lambda x: x + onp.arange(3.0, dtype=onp.float32),
    "checkpoint": lambda x: grad(anima.checkpoint(lambda y: np.sin(np.cos(y)).sum()))(x),
    "custom_jvp": lambda x: cubed(x),
    "grad custom_jvp": lambda x: grad(lambda y: cubed(y).sum())(x),
    "cumsum": lambda x: np.cumsum(x),
    "conv": lambda x: np.convolve(x, x),
    "nothing": lambda x: x,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_equation_can_be_bound_again(name: str) -> None:
    fun, x = PROGRAMS[name], np.array([0.5, -1.0, 2.0])
    closed = make_jaxpr(fun)(x)
    expected = anima.tree.leaves(fun(x))
    for run in (plain_eval, jit(plain_eval, static_argnums=0), core.eval_jaxpr):
        found = run(closed.jaxpr, closed.consts, x)
        for a, b in zip(expected, found, strict=True):
            onp.testing.assert_allclose(a, b, rtol=1e-6)
    derived = make_jaxpr(lambda x: plain_eval(closed.jaxpr, closed.consts, x))(x)
    assert [e.primitive for e in derived.eqns] == [e.primitive for e in closed.eqns]
    extend.check_jaxpr(derived.jaxpr)


def test_the_parts_of_a_program() -> None:
    table = onp.arange(3.0, dtype=onp.float32)
    closed = make_jaxpr(lambda x: jit(np.sin)(x) + table)(np.ones(3))
    jaxpr = closed.jaxpr
    assert isinstance(closed, extend.ClosedJaxpr) and isinstance(jaxpr, extend.Jaxpr)
    assert all(isinstance(e, extend.JaxprEqn) for e in jaxpr.eqns)
    assert all(isinstance(v, extend.Var) for v in (*jaxpr.invars, *jaxpr.constvars, *jaxpr.outvars))
    assert closed.invars is jaxpr.invars and closed.outvars is jaxpr.outvars
    assert len(closed.consts) == len(closed.constvars) == 1 and closed.literals is closed.consts
    assert closed.in_avals == [ShapedArray((3,), np.float32)] == closed.out_avals
    assert closed.effects == extend.no_effects
    assert [j.name for j in extend.subjaxprs(jaxpr)] == ["sin"]
    assert [j.name for j in extend.jaxprs_in_params(jaxpr.eqns[0].params)] == ["sin"]
    assert closed.debug_info.func_name == jaxpr.name
    onp.testing.assert_allclose(extend.jaxpr_as_fun(closed)(np.zeros(3))[0], table)
    with pytest.raises(TypeError, match="0 consts and 1 arguments for a jaxpr with 1 constvars"):
        core.eval_jaxpr(jaxpr, (), 1.0)


def test_programs_are_changed_by_replacing() -> None:
    closed = make_jaxpr(lambda x, y: (x + y, x * y))(1.0, 2.0)
    first = closed.map_jaxpr(lambda j: j.replace(outvars=j.outvars[:1], eqns=j.eqns[:1]))
    assert [float(v) for v in extend.jaxpr_as_fun(first)(1.0, 2.0)] == [3.0]
    assert len(closed.eqns) == 2
    minus = [e.replace(primitive=lax.sub_p) if e.primitive is lax.add_p else e for e in closed.eqns]
    changed = closed.replace(jaxpr=closed.jaxpr.replace(eqns=minus))
    assert [float(v) for v in extend.jaxpr_as_fun(changed)(1.0, 2.0)] == [-1.0, 2.0]
    with pytest.raises(TypeError, match="a jaxpr has no inputs"):
        closed.jaxpr.replace(inputs=[])
    info = extend.DebugInfo("mine", "f at here.py:3", ("x", "y"), ("result[0]",))
    named = closed.jaxpr.replace(debug_info=info)
    assert named.debug_info is info and named.name == "f" and closed.jaxpr.debug_info is not info


def test_programs_are_made_of_parts() -> None:
    aval = ShapedArray((), np.float32)
    new = extend.gensym()
    x, y, z = new(aval), new(aval), new(aval)
    two = extend.Literal(2.0, aval)
    eqns = [
        extend.new_jaxpr_eqn([x, two], [y], lax.mul_p, {}, extend.no_effects),
        extend.JaxprEqn([y], [z], lax.neg_p, {}, extend.no_effects, None, None),
    ]
    info = extend.DebugInfo("mine", "f at here.py:3", ("x",), ("result",))
    jaxpr = extend.Jaxpr([], [x], [z], eqns, extend.no_effects, info)
    extend.check_jaxpr(jaxpr)
    assert jaxpr.name == "f" and jaxpr.debug_info.arg_names == ("x",)
    assert jit(extend.jaxpr_as_fun(extend.ClosedJaxpr(jaxpr, ())))(3.0)[0] == -6.0
    assert str(jaxpr).splitlines()[1] == "    b:f32[] = mul a 2.0:f32[]"
    broken = extend.Jaxpr([], [x], [z], eqns[1:])
    with pytest.raises(extend.JaxprTypeError, match="before it is bound"):
        extend.check_jaxpr(broken)


def test_printed_forms() -> None:
    def f(x: Any) -> Any:
        with anima.named_scope("inner"):
            return np.sin(x)

    closed = make_jaxpr(lambda x: f(x) * 2.0)(1.0)
    line = f.__code__.co_firstlineno + 2
    text = closed.pretty_print(source_info=True, name_stack=True)
    first, second = text.splitlines()[1:3]
    assert f"# {__file__}:{line}:" in first and first.endswith("[inner]")
    assert first.index("#") == second.index("#") and second.endswith("[]")
    assert closed.pretty_print(print_shapes=False).splitlines()[0] == "{ lambda ; a. let"
    assert closed.pretty_print() == str(closed) == closed.jaxpr.pretty_print()
    with_effects = make_jaxpr(lambda x: anima.debug.print("{}", x))(1.0)
    assert with_effects.pretty_print(print_effects=True).endswith("in () : { Debug } }")
    assert not str(with_effects).endswith("in () : { Debug } }")


def test_avals_are_printed_and_made() -> None:
    aval = anima.typeof(np.ones((2, 3)))
    assert str(aval) == "float32[2,3]" and repr(aval) == "ShapedArray(float32[2,3])"
    assert aval.str_short() == "f32[2,3]" and aval.str_short(short_dtypes=False) == "float32[2,3]"
    assert (
        str(anima.typeof(1)) == "~int32[]" and repr(anima.typeof(1)) == "ShapedArray(int32[], weak_type=True)"
    )
    for dtype in (np.float32, onp.float32, "float32", onp.dtype("float32")):
        assert core.ShapedArray((2, 3), dtype) == aval and hash(core.ShapedArray((2, 3), dtype)) == hash(aval)
    assert aval.to_tangent_aval() == aval == aval.to_ct_aval() and aval.itemsize == 4
    assert core.ShapedArray((), np.int32).to_tangent_aval().dtype == anima.dtypes.float0
    with pytest.raises(TypeError, match="is not an array"):
        anima.typeof([1, 2])


@pytest.mark.parametrize("name", sorted(set(dir(lax)) & {n for n in dir(lax) if n.endswith("_p")}))
def test_primitives_are_public_by_name(name: str) -> None:
    assert getattr(primitives, name) is getattr(lax, name)
    assert name in dir(primitives)


def test_other_primitives_and_unknown_names() -> None:
    assert primitives.add_jaxvals_p is ad.add_jaxvals_p is lax.add_any_p
    assert {"jit_p", "call_p", "closed_call_p"} <= set(dir(primitives))
    assert not hasattr(primitives, "nonsense_p")


def wrapped(fun: Any) -> Any:
    return lu.wrap_init(fun)


UNKNOWN = pe.PartialVal.unknown(ShapedArray((), "float32"))


def test_tracing_a_function_wholly() -> None:
    aval = ShapedArray((), "float32")
    table = np.arange(3.0)
    jaxpr, out_avals, consts = pe.trace_to_jaxpr_dynamic(wrapped(lambda x, y: [x + table]), [aval, aval])
    assert out_avals == [ShapedArray((3,), np.float32)] and consts == [table]
    assert len(jaxpr.invars) == 2
    jaxpr, _, _ = pe.trace_to_jaxpr_dynamic(
        wrapped(lambda x, y: [x]), [aval, aval], keep_inputs=[True, False]
    )
    assert len(jaxpr.invars) == 1
    fun = wrapped(lambda x: [(np.sin(x), x + table, x)[2]])
    jaxpr, _, consts = pe.trace_to_jaxpr_dynamic(fun, [aval], auto_dce=True)
    assert not jaxpr.eqns and not consts
    assert pe.abstract_eval_fun(lambda x, *, n: [x] * n, aval, n=2) == [aval, aval]
    hoisted = pe.convert_constvars_jaxpr(pe.trace_to_jaxpr_dynamic(wrapped(lambda x: [x + table]), [aval])[0])
    assert len(hoisted.invars) == 2 and pe.close_jaxpr(hoisted).consts == []


def test_partial_values() -> None:
    known = pe.PartialVal.known(3.0)
    assert known.is_known() and known.get_known() == 3.0 and known.get_aval() == anima.typeof(3.0)
    assert not UNKNOWN.is_known() and UNKNOWN.get_known() is None
    assert tuple(UNKNOWN) == (ShapedArray((), np.float32), None)
    with pytest.raises(TypeError, match="must be None"):
        pe.PartialVal((ShapedArray((), np.float32), 3.0))


def test_partial_evaluation_does_what_is_known() -> None:
    ran: list[float] = []

    def f(x: Any, y: Any) -> list[Any]:
        ran.append(float(np.sin(x)))  # known, so it can be looked at
        return [np.sin(x), np.cos(y) * np.sin(x), y]

    jaxpr, outs, consts = pe.trace_to_jaxpr_nounits(wrapped(f), [pe.PartialVal.known(np.float32(1)), UNKNOWN])
    assert [o.is_known() for o in outs] == [True, False, False] and len(ran) == 1
    assert [e.primitive.name for e in jaxpr.eqns] == ["cos", "mul"]
    found = core.eval_jaxpr(jaxpr, consts, 0.5)
    assert float(found[0]) == pytest.approx(onp.cos(0.5) * onp.sin(1), rel=1e-6) and found[1] == 0.5


def test_partial_evaluation_of_nothing_known_or_all() -> None:
    f = wrapped(lambda x: [np.sin(x)])
    jaxpr, outs, consts = pe.trace_to_jaxpr_nounits(f, [pe.PartialVal.known(0.0)])
    assert outs[0].get_known() == 0.0 and not jaxpr.outvars and consts == ()
    jaxpr, outs, consts = pe.trace_to_jaxpr_nounits(f, [pe.PartialVal.known(0.0)], instantiate=True)
    assert not outs[0].is_known() and len(jaxpr.constvars) == 1 and consts[0] == 0.0
    jaxpr, outs, consts = pe.trace_to_jaxpr_nounits(f, [UNKNOWN])
    assert core.eval_jaxpr(jaxpr, consts, 0.0) == [0.0]


@pytest.mark.parametrize("kind", ["jit", "scan", "cond", "while"])
def test_partial_evaluation_divides_operations_with_programs(kind: str) -> None:
    big = np.arange(4.0)

    def f(x: Any, y: Any) -> list[Any]:
        both = lambda a, b: (np.sin(a), np.cos(b) + np.sin(a))
        if kind == "jit":
            return list(jit(both)(x, y))
        if kind == "scan":
            return list(lax.scan(lambda c, _: (both(*c), None), (x, y), None, length=3)[0])
        if kind == "cond":
            return list(lax.cond(True, both, lambda a, b: (a, b), x, y))
        return list(lax.while_loop(lambda c: c[2] < 3, lambda c: (*both(*c[:2]), c[2] + 1), (x, y, 0))[:2])

    unknown = pe.PartialVal.unknown(ShapedArray((4,), "float32"))
    jaxpr, outs, consts = pe.trace_to_jaxpr_nounits(wrapped(f), [pe.PartialVal.known(big), unknown])
    later = iter(core.eval_jaxpr(jaxpr, consts, big + 1))
    found = [o.get_known() if o.is_known() else next(later) for o in outs]
    for a, b in zip(f(big, big + 1), found, strict=True):
        onp.testing.assert_allclose(a, b, rtol=1e-6)
    if kind in ("jit", "scan"):
        assert [o.is_known() for o in outs] == [True, False]


def test_partial_evaluation_inside_other_transformations() -> None:
    def split(x: Any) -> Any:
        fun = wrapped(lambda a, b: [a * a, a * b])
        jaxpr, outs, consts = pe.trace_to_jaxpr_nounits(fun, [pe.PartialVal.known(x), UNKNOWN])
        return outs[0].get_known() + core.eval_jaxpr(jaxpr, consts, 5.0)[0]

    assert split(3.0) == 24.0 == jit(split)(3.0)
    assert grad(split)(3.0) == 11.0
    onp.testing.assert_array_equal(vmap(split)(np.arange(3.0)), [0.0, 6.0, 14.0])


def test_a_leaked_unknown_value() -> None:
    kept: list[Any] = []
    pe.trace_to_jaxpr_nounits(wrapped(lambda x: [(kept.append(x), x)[1]]), [UNKNOWN])
    with pytest.raises(errors.UnexpectedTracerError):
        kept[0] + 1


def test_dead_code() -> None:
    table = np.arange(3.0)
    jaxpr = make_jaxpr(lambda x, y: (np.sin(x), y + table))(1.0, 2.0).jaxpr
    smaller, used = pe.dce_jaxpr(jaxpr, [True, False])
    assert [e.primitive.name for e in smaller.eqns] == ["sin"] and used == [True, False]
    assert len(smaller.constvars) == 1
    smaller, used = pe.dce_jaxpr(jaxpr, False, instantiate=[False, True])
    assert not smaller.eqns and used == [False, True] and len(smaller.invars) == 1
    smaller, used_consts, used = pe.dce_jaxpr_consts(jaxpr, [True, False])
    assert used_consts == [False] and not smaller.constvars
    assert pe.dce_jaxpr(jaxpr, True)[1] == [True, True]


def test_flat_derivatives() -> None:
    outs, tangents = ad.jvp(wrapped(lambda x, y: [x * y, y]), [2.0, 3.0], [1.0, ad.Zero(anima.typeof(1.0))])
    assert [float(v) for v in (*outs, *tangents)] == [6.0, 3.0, 3.0, 0.0]
    _, tangents = ad.jvp(lambda x, y: [y], [2.0, 3.0], [1.0, ad.Zero(anima.typeof(1.0))], instantiate=False)
    assert type(tangents[0]) is ad.Zero and tangents[0].instantiate() == 0.0
    outs, pushforward = ad.linearize(lambda x, y: [x * y, x], [2.0, 3.0])
    assert [float(v) for v in pushforward(1.0, 1.0)] == [5.0, 1.0]
    with pytest.raises(TypeError, match="takes 2 tangents, got 1"):
        pushforward(1.0)
    with pytest.raises(TypeError, match="returns a list of arrays"):
        ad.jvp(lambda x: x, [1.0], [1.0])
    assert ad.add_tangents(ad.Zero(anima.typeof(1.0)), 2.0) == 2.0
    assert ad.zeros_like_aval(ShapedArray((2,), np.int32)).tolist() == [0, 0]


def test_the_text_of_a_program() -> None:
    closed = make_jaxpr(lambda x: np.sin(x) + 1)(np.ones(3))
    text = mlir.module_to_string(mlir.lower_jaxpr_to_module("named", closed))
    assert text.startswith("module @named") and "stablehlo.sine" in text
    with pytest.raises(ValueError, match="for one platform"):
        mlir.lower_jaxpr_to_module("f", closed, platforms=("cpu", "tpu"))


def test_dce_rules() -> None:
    two_p = extend.Primitive("two")
    two_p.multiple_results = True
    two_p.def_abstract_eval(lambda *args: list(args))
    asked = []

    def rule(used: list[bool], eqn: Any) -> Any:
        asked.append((used, eqn.primitive))
        if all(used):
            return [True, True], eqn
        keep = used.index(True)
        smaller = eqn.replace(invars=[eqn.invars[keep]], outvars=[eqn.outvars[keep]])
        return [i == keep for i in range(2)], smaller

    assert two_p not in pe.dce_rules
    pe.dce_rules[two_p] = rule
    assert pe.dce_rules[two_p] is rule and two_p in list(pe.dce_rules)
    outer = anima.make_jaxpr(lambda x, y: two_p.bind(x * 2, y * 3))(1.0, 2.0).jaxpr
    smaller, used = pe.dce_jaxpr(outer, [False, True])
    assert used == [False, True] and [e.primitive.name for e in smaller.eqns] == ["mul", "two"]
    assert asked == [([False, True], two_p)]
    assert pe.dce_jaxpr(outer, [True, True])[1] == [True, True]
    assert pe.dce_jaxpr(outer, [False, False])[0].eqns == [] and len(asked) == 2
    pe.dce_rules[two_p] = lambda used, eqn: ([False, False], None)
    with pytest.raises(ValueError, match="the dce rule of 'two' left out an output that is used"):
        pe.dce_jaxpr(outer, [True, False])
    pe.dce_rules[two_p] = lambda used, eqn: eqn
    with pytest.raises(TypeError, match="the dce rule of 'two' must return a pair"):
        pe.dce_jaxpr(outer, [True, False])
    with pytest.raises(TypeError, match="must be a function"):
        pe.dce_rules[two_p] = 3
    del pe.dce_rules[two_p]
    assert two_p not in pe.dce_rules and pe.dce_jaxpr(outer, [True, False])[1] == [True, True]


def test_dce_rules_of_operations_of_the_library() -> None:
    outer = anima.make_jaxpr(lambda x, y: anima.jit(lambda x, y: (x + 1, y * 2))(x, y))(1.0, 2.0)
    (eqn,) = outer.eqns
    used, smaller = pe.dce_rules[eqn.primitive]([True, False], eqn)
    assert used == [True, False] and len(smaller.invars) == len(smaller.outvars) == 1
    assert pe.dce_rules[eqn.primitive]([False, False], eqn) == ([False, False], None)
    with pytest.raises(KeyError):
        pe.dce_rules[anima.lax.sin_p]


@pytest.mark.parametrize("closed", [True, False])
def test_dce_of_calls(closed: bool) -> None:
    call_p = extend.Primitive("perform")
    call_p.multiple_results = True
    call_p.def_abstract_eval(
        lambda *args, call_jaxpr: [v.aval for v in getattr(call_jaxpr, "jaxpr", call_jaxpr).outvars]
    )
    pe.dce_rules[call_p] = pe.dce_jaxpr_closed_call_rule if closed else pe.dce_jaxpr_call_rule
    program = anima.make_jaxpr(lambda x, y: (x + 1, y * 2))(1.0, 2.0)
    inner = program if closed else program.jaxpr
    outer = anima.make_jaxpr(lambda x, y: call_p.bind(x, y, call_jaxpr=inner))(1.0, 2.0).jaxpr
    smaller, used = pe.dce_jaxpr(outer, [False, True])
    assert used == [False, True]
    (eqn,) = smaller.eqns
    left = eqn.params["call_jaxpr"]
    assert [e.primitive.name for e in left.eqns] == ["mul"] and len(eqn.invars) == len(eqn.outvars) == 1
    rule = pe.dce_rules[call_p]
    assert rule([False, False], outer.eqns[0]) == ([False, False], None)
    assert rule([True, True], outer.eqns[0])[0] == [True, True]

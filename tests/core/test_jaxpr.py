"""Jaxprs: printed form, validation, positions, dead code, and the cost of making them."""

import cProfile
import pstats

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, make_jaxpr
from anima.core.aval import ShapedArray
from anima.core.jaxpr import Eqn, Jaxpr, Var
from anima.core.primitive import primitives
from anima.core.validate import check_jaxpr
from anima.interpreters.dce import dce_jaxpr
from anima.interpreters.stage import stage


def test_printed_form():
    assert str(make_jaxpr(np.sin)(np.zeros(3))) == "{ lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }"
    two = str(make_jaxpr(lambda x: np.sum(np.sin(x) * 2.0))(np.zeros(3)))
    assert two.splitlines()[0] == "{ lambda ; a:f32[3]. let"
    assert "reduce_sum[axes=(0,)]" in two
    inner = str(make_jaxpr(jit(lambda x: x + 1))(1.0))
    assert "jit[" in inner and "name=<lambda>" in inner


def test_unused_results_print_as_underscore():
    assert "_:f32[]" in str(make_jaxpr(lambda x: (np.sin(x), x)[1])(1.0))


def test_positions_are_the_users():
    def f(x):
        return np.sin(x)  # the line that the equation names

    eqn = make_jaxpr(f)(1.0).eqns[0]
    assert eqn.source.file == __file__
    assert eqn.source.line == f.__code__.co_firstlineno + 1
    for eqn in make_jaxpr(grad(f))(1.0).eqns:
        assert eqn.source.file == __file__


def _broken(change):
    aval = ShapedArray((3,), onp.dtype("float32"))
    jaxpr, _ = stage(lambda x: [np.sin(x)], [aval], "f")
    eqns = [Eqn(e.primitive, list(e.invars), list(e.outvars), e.params, e.effects) for e in jaxpr.eqns]
    return change(Jaxpr([], list(jaxpr.invars), list(jaxpr.outvars), eqns))


def test_the_validator_rejects_broken_programs():
    def unbound(j):
        j.eqns[0].invars[0] = Var(j.invars[0].aval)
        return j

    def twice(j):
        j.eqns.append(j.eqns[0])
        return j

    def wrong_type(j):
        j.eqns[0].outvars[0] = j.outvars[0] = Var(ShapedArray((2,), onp.dtype("float32")))
        return j

    check_jaxpr(_broken(lambda j: j))
    for change, words in (
        (unbound, "before it is bound"),
        (twice, "bound twice"),
        (wrong_type, "its rule gives"),
    ):
        with pytest.raises(errors.JaxprTypeError, match=words):
            check_jaxpr(_broken(change))


def test_dead_code_is_removed():
    aval = ShapedArray((), onp.dtype("float32"))
    jaxpr, _ = stage(lambda x, y: [np.sin(x), np.cos(y)], [aval, aval], "f")
    pruned, _, used = dce_jaxpr(jaxpr, [True, False])
    assert [e.primitive.name for e in pruned.eqns] == ["sin"] and used == [True, False]


def _calls(fun):
    profile = cProfile.Profile()
    profile.runcall(fun)
    return pstats.Stats(profile).total_calls


@pytest.mark.parametrize("transform", [lambda f: f, grad, lambda f: grad(jit(f)), anima.vmap])
def test_tracing_costs_grow_linearly(transform):
    def chain(count):
        def f(x):
            for _ in range(count):
                x = primitives["mul"].bind(x, x)
            return x

        argument = anima.ShapeDtypeStruct((2,) if transform is anima.vmap else (), np.float32)
        return lambda: jit(transform(f)).lower(argument)

    chain(10)()
    with anima.enable_checks(False):
        small, large = _calls(chain(300)), _calls(chain(3000))
    assert large < 13 * small


def test_scalars_are_literals_and_large_constants_are_not():
    big = np.arange(100.0)
    closed = make_jaxpr(lambda x: x * 2.0 + big)(1.0)
    assert len(closed.consts) == 1 and closed.consts[0] is big
    assert "2.0" in str(closed)


def test_eval_shape_and_make_jaxpr_take_structs():
    s = anima.ShapeDtypeStruct((2, 3), np.float32)
    out = anima.eval_shape(lambda x: {"y": x @ x.T}, s)
    assert out == {"y": anima.ShapeDtypeStruct((2, 2), np.float32)}
    jaxpr, shape = make_jaxpr(lambda x, n: x.reshape(n), static_argnums=1, return_shape=True)(s, (6,))
    assert shape.shape == (6,) and len(jaxpr.eqns) == 1

"""What caches tell apart, and what they let go."""

import gc

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, jvp, lax, vmap


class AlwaysEqual:
    """Callables that compare equal and compute different things."""

    def __init__(self, factor):
        self.factor = factor

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1

    def __call__(self, x):
        return x * self.factor

    def method(self, x):
        return x * self.factor


def test_equal_callables_do_not_share_programs():
    two, three = AlwaysEqual(2.0), AlwaysEqual(3.0)
    assert float(jit(two)(1.0)) == 2.0 and float(jit(three)(1.0)) == 3.0
    assert float(jit(two.method)(1.0)) == 2.0 and float(jit(three.method)(1.0)) == 3.0


def test_a_method_is_traced_once():
    traces = []

    class Model:
        def apply(self, x):
            traces.append(1)
            return x * 2

    model = Model()
    first, second = jit(model.apply), jit(model.apply)
    assert float(first(1.0)) == float(second(1.0)) == 2.0 and len(traces) == 1


def test_static_values_are_told_apart_to_the_bit():
    sign = jit(lambda s, x: x * onp.copysign(1.0, s[0] if isinstance(s, tuple) else s), static_argnums=0)
    for value, wanted in ((0.0, 1.0), (-0.0, -1.0), ((0.0,), 1.0), ((-0.0,), -1.0)):
        assert float(sign(value, 1.0)) == wanted
    kind = jit(lambda s, x: x + (100 if s[0] is True else 0), static_argnums=0)
    assert float(kind((1,), 1.0)) == 1.0 and float(kind((True,), 1.0)) == 101.0


def test_a_leaked_tracer_is_not_returned_by_jvp():
    kept = []
    jit(lambda x: kept.append(x) or x)(1.0)
    with pytest.raises(errors.UnexpectedTracerError):
        jvp(lambda y: kept[0], (1.0,), (1.0,))


@pytest.mark.parametrize(
    "run",
    [
        lambda x: grad(jit(lambda v: (v * 2).sum()))(x),
        lambda x: vmap(jit(lambda v: v * 2))(x),
        lambda x: lax.scan(lambda c, t: (c + t, c), 0.0, x),
        lambda x: lax.cond(True, lambda v: v, lambda v: v + 1, x),
        lambda x: lax.while_loop(lambda v: v[0] < 3, lambda v: v + 1, x),
        lambda x: lax.fori_loop(0, 3, lambda i, v: v + 1, x),
    ],
    ids=["grad of jit", "vmap of jit", "scan", "cond", "while_loop", "fori_loop"],
)
def test_programs_of_functions_that_are_gone_go_too(run):
    x = np.arange(4.0)

    def objects(count):
        for _ in range(count):
            run(x)
        gc.collect()
        return len(gc.get_objects())

    before = objects(3)
    assert objects(10) < before + 20


def test_messages_under_grad_name_the_function():
    def loss(x):
        return "text"

    with pytest.raises(TypeError, match="loss returned a value of type str"):
        anima.grad(loss)(1.0)

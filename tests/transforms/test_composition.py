"""Random programs: transformations agree with each other, with NumPy and with difference quotients, however nested.

`python -m tests.transforms.composition` checks many more.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest

import anima
from anima import lax
from anima.core.primitive import primitives
from tests.transforms import oracle, structures, vocabulary
from tests.transforms.checking import Check, Inconclusive, Mismatch, from_text
from tests.transforms.programs import TAKEN, Input, Program
from tests.transforms.strategy import Case, cases, phases

pytestmark = pytest.mark.cpu  # compiled with options of the CPU plugin that make compilation cheap
SETTINGS = hypothesis.settings(
    max_examples=8,
    database=None,
    deadline=None,
    derandomize=True,
    phases=phases(shrink=True),
    suppress_health_check=list(hypothesis.HealthCheck),
    print_blob=False,
)


@pytest.mark.parametrize("part", range(4))
def test_random_programs(part: int) -> None:
    @hypothesis.seed(part)
    @hypothesis.settings(SETTINGS, derandomize=False)
    @hypothesis.given(cases())
    def check(case: Case) -> None:
        try:
            Check(case.program, case.route).run()
        except Inconclusive:
            hypothesis.reject()

    check()


def test_printed_programs_are_the_same_programs() -> None:
    @SETTINGS
    @hypothesis.given(cases())
    def check(case: Case) -> None:
        names = {"from_text": from_text, "Input": Input}
        again: Program = eval(repr(case.program), names)
        assert again.source == case.program.source
        assert dataclasses.replace(again, function=case.program.function) == case.program

    check()


def test_no_variable_has_the_name_of_a_parameter() -> None:
    text = "".join(inspect.getsource(module) for module in (structures, vocabulary))
    names = {name.strip(" *") for found in re.findall(r"lambda ([^:]*):", text) for name in found.split(",")}
    assert {name for name in names if name.isalpha() and len(name) < 3} <= TAKEN


# ---- errors that are planted are found ---------------------------------------------------------------------------

PROGRAM = from_text(
    [Input("a", "f", (3,), "array"), Input("b", "f", (2, 3), "array")],
    """
    def f(a, b):
        def f0(carry, row):
            (c,) = carry
            (d,) = row
            e = np.sin(c) * d
            return (e,), (c,)
        (g,), (h,) = lax.scan(f0, (a,), (b,))
        return (g, np.sum(h))
    """,
    wide=True, mixed=False, forward=True, reverse=True, order=0, choice=1,
)  # fmt: skip


COARSE = from_text(
    [Input("a", "f", (3,), "narrow"), Input("b", "f", (), "number")],
    """
    def f(a, b):
        def f0(d):
            e = np.asarray(d, Narrow)
            return np.tanh(e) * b
        lin1 = linearize(f0, a)[1]
        c = lin1(np.cos(a))
        (g,) = linear_transpose(lin1, a)(np.cos(c))
        return (g, b > 0.123)
    """,
    wide=False, mixed=True, forward=True, reverse=True, order=1, choice=1,
)  # fmt: skip


@pytest.fixture
def fresh() -> Iterator[None]:
    """No program that a planted error made is kept."""
    yield
    anima.clear_caches()


PLANTED = {
    "a derivative": ("sin", "jvp", lambda rule: lambda p, t, **k: (rule(p, t)[0], lax.mul(t[0], lax.sin(p[0])))),
    "a value": ("sin", "lower", lambda rule: lambda ctx, x: ctx.op("stablehlo.cosine", (x,))),
    "a batched form": ("sin", "batch", lambda rule: lambda a, x, d, **k: (lax.cos(x[0]), d[0])),
    "a transpose": ("scan", "transpose", lambda rule: lambda cts, *a, **k: [None if c is None else lax.mul(c, 2.0) for c in rule(cts, *a, **k)]),
    "a result's type": ("scan", "shape", lambda rule: lambda *a, **k: [x.update(weak_type=True) for x in rule(*a, **k)]),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_error_is_found(what: str, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    Check(PROGRAM, "traced").run()
    anima.clear_caches()
    name, slot, wrong = PLANTED[what]
    monkeypatch.setattr(primitives[name], slot, wrong(getattr(primitives[name], slot)))
    with pytest.raises(Mismatch):
        Check(PROGRAM, "traced").run()


COARSELY_PLANTED = {
    "a derivative": ("tanh", "jvp", lambda rule: lambda p, t, **k: (rule(p, t)[0], lax.mul(t[0], lax.tanh(p[0])))),
    "a value": ("tanh", "lower", lambda rule: lambda ctx, x: ctx.op("stablehlo.cosine", (x,))),
    "a transpose": ("mul", "transpose", lambda rule: lambda ct, *a, **k: [None if c is None else lax.mul(c, 2.0) for c in rule(ct, *a, **k)]),
}  # fmt: skip


@pytest.mark.parametrize("what", COARSELY_PLANTED)
def test_a_planted_error_is_found_in_bfloat16(
    what: str, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    Check(COARSE, "traced").run()
    anima.clear_caches()
    name, slot, wrong = COARSELY_PLANTED[what]
    monkeypatch.setattr(primitives[name], slot, wrong(getattr(primitives[name], slot)))
    with pytest.raises(Mismatch):
        Check(COARSE, "traced").run()


def test_weak_types_of_comparisons_of_numbers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    program = from_text(
        [Input("a", "f", (), "number")],
        """
        def f(a):
            b = a > 0.123
            return (b, a * 2)
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=0, choice=1,
    )  # fmt: skip
    Check(program, "eager").run()
    real = anima.eval_shape

    def strong(fun: Any, *args: Any) -> Any:
        flag, number = real(fun, *args)
        return [anima.ShapeDtypeStruct(flag.shape, flag.dtype), number]

    monkeypatch.setattr(anima, "eval_shape", strong)
    with pytest.raises(Mismatch, match="but run eagerly ~bool"):
        Check(program, "eager").run()


def test_a_jump_at_the_point_is_no_failure() -> None:
    program = from_text(
        [Input("a", "f", (3,), "array")],
        """
        def f(a):
            b = np.floor((a + 0.1 - 0.1) / a)
            return np.sin(a) * b
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=0, choice=0,
    )  # fmt: skip
    with pytest.raises(Inconclusive, match="ill-conditioned"):
        Check(program, "eager").run()


# ---- the definition of derivatives -------------------------------------------------------------------------------


def test_difference_quotients_have_many_digits() -> None:
    x = np.array([0.3, -1.1], oracle.FLOAT)
    value, slope = oracle.jvp(np.sin, (x,), (np.ones(2),))
    np.testing.assert_array_equal(value, np.sin(x))
    np.testing.assert_allclose(slope, np.cos(x), rtol=1e-14)
    second = oracle.hessian(lambda x: np.sum(x**3))(x)
    np.testing.assert_allclose(second, np.diag(6 * x), atol=1e-10)


def test_cotangents_of_complex_arguments_follow_the_convention() -> None:
    z = np.array([0.4 + 0.9j])
    gradient = oracle.grad(lambda z: np.sum(np.real(z * z)))(z)
    np.testing.assert_allclose(gradient, 2 * z, rtol=1e-12)
    assert abs(anima.grad(lambda z: anima.numpy.real(z * z).sum())(z.astype(np.complex64)) - 2 * z) < 1e-5


def test_mapped_loops_of_no_examples_have_shapes() -> None:
    assert np.shape(oracle.vmap(lambda x: np.ones(3) * np.sum(x), 1)(np.ones((2, 0)))) == (0, 3)

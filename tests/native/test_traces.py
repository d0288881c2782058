"""What traces do natively: objects made by position, avals, remembered answers of shape rules, recording.

Invariant: the native road does what the Python classes say, and misuse of it raises a Python exception at most.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import _native, lax
from anima.config import allow_f16_reductions, enable_checks
from anima.core.aval import ShapedArray
from anima.core.jaxpr import DropVar, Eqn, Literal, Var
from anima.core.primitive import Linear, Missing, Primitive, Zero
from anima.interpreters.jvp import JvpTracer
from anima.interpreters.linearize import LinearizeTracer, TapeEqn, TapeTrace, TapeTracer
from anima.interpreters.stage import StagedTracer, StageTrace

F32 = onp.dtype("float32")
BY_POSITION = (Var, Literal, Eqn, Zero, Linear, StagedTracer, TapeTracer, TapeEqn, LinearizeTracer, JvpTracer)


def slots(value: Any) -> dict[str, Any]:
    """The slots of an object that have a value."""
    names = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    return {name: getattr(value, name) for name in names if name != "__weakref__" and hasattr(value, name)}


@pytest.mark.parametrize("cls", BY_POSITION, ids=lambda cls: cls.__name__)
def test_a_call_by_position_does_what_init_says(cls: Any) -> None:
    trace = StageTrace(None, "f")
    names = list(inspect.signature(cls).parameters)
    values = [trace if name == "trace" else object() for name in names]
    if "aval" in names:
        values[names.index("aval")] = ShapedArray((2,), F32)
    said = object.__new__(cls)
    cls.__init__(said, *values)
    assert len(slots(said)) >= len(names)
    for made in (cls(*values), cls(**dict(zip(names, values)))):
        assert type(made) is cls
        ours, theirs = slots(made), slots(said)
        assert ours.keys() == theirs.keys()
        assert all(ours[name] is theirs[name] for name in ours)


@pytest.mark.parametrize("cls", BY_POSITION, ids=lambda cls: cls.__name__)
def test_a_wrong_number_of_arguments(cls: Any) -> None:
    with pytest.raises(TypeError, match="missing"):
        cls()
    with pytest.raises(TypeError, match="positional arguments"):
        cls(*range(10))
    with pytest.raises(TypeError, match="unexpected keyword"):
        cls(*range(len(inspect.signature(cls).parameters)), other=1)


def test_subclasses_and_defaults_go_by_init() -> None:
    var = DropVar(ShapedArray((), F32))
    assert type(var) is DropVar
    eqn = Eqn(lax.sin_p, [], [], {})
    assert eqn.source is None
    assert eqn.effects == frozenset()

    class Named(Var):
        __slots__ = ("name",)

        def __init__(self, aval: Any) -> None:
            super().__init__(aval)
            self.name = "x"

    assert Named(ShapedArray((), F32)).name == "x"


def test_made_by_position_refuses_what_has_no_such_slots() -> None:
    class Plain:
        pass

    for wrong in ((Plain, "x"), (Var, "no"), (int, "real"), (3,), ()):
        with pytest.raises((TypeError, AttributeError)):
            _native.made_by_position(*wrong)  # type: ignore[arg-type]
    assert type(Plain()) is Plain


# --- avals ------------------------------------------------------------------------------------


def test_the_fields_of_an_aval() -> None:
    aval = ShapedArray((2, 3), "float32")
    assert (aval.shape, aval.dtype, aval.weak_type, aval.given_sharding, aval.varying) == (
        (2, 3), F32, False, None, frozenset(),
    )  # fmt: skip
    assert (aval.ndim, aval.size, aval.nbytes, len(aval)) == (2, 6, 24, 2)
    assert ShapedArray(shape=(2,), dtype=onp.int8, weak_type=True) == ShapedArray((2,), "int8", True)
    assert ShapedArray((), onp.float32).dtype == F32
    for name in ("shape", "dtype", "weak_type", "given_sharding", "sharding", "varying"):
        with pytest.raises(AttributeError):
            setattr(aval, name, None)
    for wrong in ((), ((),), ((), F32, False, None, frozenset(), 1)):
        with pytest.raises(TypeError):
            ShapedArray(*wrong)  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError):
        ShapedArray((), "no dtype")


def test_avals_are_equal_where_their_fields_are() -> None:
    fields: list[tuple[Any, ...]] = [
        ((2, 3), F32, False, None, frozenset()),
        ((2, 3), F32, True, None, frozenset()),
        ((2, 4), F32, False, None, frozenset()),
        ((2, 3), onp.dtype("int32"), False, None, frozenset()),
        ((2, 3), F32, False, "sharding", frozenset()),
        ((2, 3), F32, False, None, frozenset(("x",))),
    ]
    for i, first in enumerate(fields):
        for j, second in enumerate(fields):
            a, b = ShapedArray(*first), ShapedArray(*second)
            assert (a == b) == (i == j)
            assert (a != b) == (i != j)
            assert i != j or hash(a) == hash(b)
    assert ShapedArray((2,), F32) != (2,)
    assert ShapedArray((2,), F32) != Literal(1, ShapedArray((2,), F32))
    with pytest.raises(TypeError):
        sorted([ShapedArray((2,), F32), ShapedArray((3,), F32)])  # type: ignore[type-var]
    with pytest.raises(TypeError, match="unhashable"):
        hash(ShapedArray([2], F32))  # type: ignore[arg-type]


def test_truth_values_of_other_kinds_are_plain_ones() -> None:
    aval = ShapedArray((), F32, onp.bool_(True))  # type: ignore[arg-type]
    assert aval.weak_type is True
    assert hash(aval) == hash(ShapedArray((), F32, True))


def test_avals_are_copied_and_pickled() -> None:
    aval = ShapedArray((2, 3), F32, True, None, frozenset(("x",)))
    for made in (copy.copy(aval), copy.deepcopy(aval), pickle.loads(pickle.dumps(aval))):
        assert type(made) is ShapedArray
        assert made == aval
    assert aval.update(weak_type=False).varying == aval.varying


# --- remembered answers -----------------------------------------------------------------------


def counted(remembers: bool) -> tuple[Primitive, list[Any]]:
    """An operation of one operand that notes when its shape rule is asked."""
    asked: list[Any] = []

    def shape(x: ShapedArray, **params: Any) -> ShapedArray:
        asked.append((x, params))
        return ShapedArray((*x.shape, len(params)), x.dtype)

    class Unlisted(Primitive):
        listed = False

    none = Missing("it is a test's")
    made = Unlisted(
        "counted", shape=shape, lower=none, jvp=none, transpose=none, batch=none, remembers=remembers
    )
    return made, asked


def recorded(f: Any, *args: Any) -> Any:
    """The program, whose equations are not checked afterwards: that asks the shape rules again."""
    with enable_checks(False):
        return anima.make_jaxpr(f)(*args)


def test_a_shape_rule_is_asked_once_for_the_same_arguments() -> None:
    primitive, asked = counted(remembers=True)

    def f(x: Any, y: Any) -> list[Any]:
        return [
            primitive.bind(x, a=1, b=2), primitive.bind(y, a=1, b=2), primitive.bind(x, a=1, b=3),
            primitive.bind(x, a=1, c=2), primitive.bind(x),
        ]  # fmt: skip

    outs = recorded(f, 1.0, 2.0).out_avals
    assert [a.shape for a in outs] == [(2,), (2,), (2,), (2,), (0,)]  # type: ignore[attr-defined]
    assert [params for _, params in asked] == [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "c": 2}, {}]
    assert outs[0] is outs[1]
    recorded(f, np.ones(2), 2.0)
    assert len(asked) == 8
    recorded(f, np.ones(2), 2.0)
    assert len(asked) == 8


def test_a_rule_that_may_not_be_remembered_is_asked_every_time() -> None:
    primitive, asked = counted(remembers=False)
    jaxpr = recorded(lambda x: [primitive.bind(x), primitive.bind(x)], 1.0)
    assert len(asked) == len(jaxpr.eqns) == 2


def test_parameters_without_a_hash_are_passed_on() -> None:
    primitive, asked = counted(remembers=True)
    recorded(lambda x: [primitive.bind(x, a=[1]), primitive.bind(x, a=[1])], 1.0)
    assert [params for _, params in asked] == [{"a": [1]}] * 2


def test_answers_are_of_the_options_in_force() -> None:
    total = lambda x: lax.reduce_sum_p.bind(x, axes=(0,))
    x = np.ones(3, np.bfloat16)
    anima.make_jaxpr(total)(x)
    with allow_f16_reductions(False), pytest.raises(ValueError, match="allow_f16_reductions"):
        anima.make_jaxpr(total)(x)
    anima.make_jaxpr(total)(x)


def test_a_failure_is_not_remembered() -> None:
    def f(x: Any) -> Any:
        return lax.reshape_p.bind(x, new_sizes=(5,))

    for _ in range(2):
        with pytest.raises(TypeError, match="cannot reshape"):
            anima.make_jaxpr(f)(np.ones(4))


def test_remembered_answers_are_bounded() -> None:
    primitive, _ = counted(remembers=True)

    def f(x: Any) -> Any:
        for number in range(5000):
            primitive.bind(x, number=number)
        return x

    anima.make_jaxpr(f)(1.0)
    assert primitive.answers is not None
    assert 0 < len(primitive.answers) <= 4096


# --- recording --------------------------------------------------------------------------------


def test_equations_have_parameters_of_their_own() -> None:
    params = {"new_sizes": (4,)}
    jaxpr = anima.make_jaxpr(lambda x: lax.reshape_p.bind(x, **params))(np.ones((2, 2)))
    assert jaxpr.eqns[0].params == params
    assert jaxpr.eqns[0].params is not params


def test_the_derivative_rule_must_return_a_pair() -> None:
    def rule(primals: Any, tangents: Any) -> Any:
        return (primals[0],)

    none = Missing("it is a test's")

    class Unlisted(Primitive):
        listed = False

    wrong = Unlisted("wrong", shape=lambda x: x, lower=none, jvp=rule, transpose=none, batch=none)
    with pytest.raises(TypeError, match="the derivative rule of 'wrong' must return a pair"):
        anima.make_jaxpr(anima.grad(wrong.bind))(1.0)
    with pytest.raises(TypeError, match="the derivative rule of 'wrong' must return a pair"):
        anima.jvp(wrong.bind, (1.0,), (1.0,))


def test_the_ambient_trace_is_put_back_where_a_rule_fails() -> None:
    def rule(primals: Any, tangents: Any) -> Any:
        raise RuntimeError("no")

    none = Missing("it is a test's")

    class Unlisted(Primitive):
        listed = False

    wrong = Unlisted("wrong", shape=lambda x: x, lower=none, jvp=rule, transpose=none, batch=none)

    def f(x: Any) -> Any:
        before = _native.get_trace()
        with pytest.raises(RuntimeError, match="no"):
            wrong.bind(x)
        assert _native.get_trace() is before
        return np.sin(x)

    assert anima.jit(anima.grad(f))(0.0) == 1.0
    assert _native.get_trace() is None


def test_misuse_raises() -> None:
    with pytest.raises(TypeError, match="of no class of traces"):
        _native.process_natively(3, lax.sin_p, (1.0,), {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is no tape"):
        _native.record_on_tape(3, lax.sin_p, (1.0,), {})  # type: ignore[arg-type]
    empty = StageTrace.__new__(StageTrace)
    with pytest.raises(AttributeError):
        _native.process_natively(empty, lax.sin_p, (1.0,), {})
    tape = TapeTrace.__new__(TapeTrace)
    with pytest.raises(AttributeError):
        _native.process_natively(tape, lax.sin_p, (1.0,), {})
    trace = StageTrace(None, "f")
    with pytest.raises(TypeError, match="must be a dict"):
        _native.process_natively(trace, lax.sin_p, (1.0,), None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _native.process_natively(trace, lax.sin_p, None, {})  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        _native.process_natively(trace, "no primitive", (1.0,), {})  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", [_native.ArrayImpl, _native.Device, ShapedArray, int, onp.ndarray, 3])
def test_only_classes_that_python_makes_instances_of_are_made_by_position(cls: Any) -> None:
    with pytest.raises(TypeError, match="a class that Python makes instances of"):
        _native.made_by_position(cls)
    with pytest.raises(TypeError, match="no class of tuples"):
        _native.set_positions(list, {}, len)  # type: ignore[arg-type]


def test_clear_caches_forgets_what_shape_rules_have_said() -> None:
    anima.make_jaxpr(lax.sin)(np.ones((3, 1, 2)))
    assert lax.sin_p.answers
    anima.clear_caches()
    assert lax.sin_p.answers == {}

"""Transformations from outside: a trace of one's own, and questions about those in progress."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import core, errors, grad, jit, lax, vmap
from anima.extend import core as extend, source_info_util


class UnitTracer(core.Tracer):
    """A value with a power of a unit."""

    __slots__ = ("power", "value")

    def __init__(self, trace: Any, value: Any, power: int) -> None:
        self._trace = trace
        self.value = value
        self.power = power

    @property
    def aval(self) -> Any:
        return anima.typeof(self.value)


class UnitTrace(core.Trace):
    """Follows powers of a unit through products and sums, as a library would write it."""

    __slots__ = ("parent_trace", "tag")

    def __init__(self, parent_trace: Any, tag: Any) -> None:
        self.parent_trace = parent_trace
        self.tag = tag

    def split(self, value: Any) -> tuple[Any, int]:
        if isinstance(value, UnitTracer) and value._trace.tag is self.tag:
            return value.value, value.power
        return value, 0

    def process_primitive(self, primitive: Any, tracers: Any, params: Any, /) -> Any:
        values, powers = zip(*[self.split(t) for t in tracers])
        with extend.set_current_trace(self.parent_trace):
            out = primitive.bind(*values, **params)
        if primitive is lax.mul_p:
            power = sum(powers)
        elif primitive in (lax.add_p, lax.sub_p) and len(set(powers)) > 1:
            raise ValueError(f"{primitive} of units of powers {powers}")
        else:
            power = max(powers)
        return UnitTracer(self, out, power)


def with_unit(fun: Any) -> Any:
    def run(x: Any) -> tuple[Any, int]:
        with extend.take_current_trace() as parent:
            trace = UnitTrace(parent, extend.TraceTag())
            with extend.set_current_trace(trace):
                out = fun(UnitTracer(trace, x, 1))
        return trace.split(out)

    return run


def test_a_trace_of_ones_own() -> None:
    value, power = with_unit(lambda x: 2.0 * x * x + x * x)(3.0)
    assert (float(value), power) == (27.0, 2)
    with pytest.raises(ValueError, match=r"add of units of powers"):
        with_unit(lambda x: x * x + x)(3.0)


def test_it_composes_with_the_transformations() -> None:
    square = lambda x: with_unit(lambda y: y * y)(x)[0]
    assert jit(square)(3.0) == 9.0
    assert grad(square)(3.0) == 6.0
    assert jit(grad(square))(3.0) == 6.0
    onp.testing.assert_array_equal(vmap(square)(np.arange(3.0)), [0.0, 1.0, 4.0])
    value, power = with_unit(lambda x: x * grad(lambda y: y * y * y)(2.0))(3.0)
    assert (float(value), power) == (36.0, 1)


def test_a_trace_that_handles_nothing_says_so() -> None:
    class Empty(core.Trace):
        __slots__ = ()

    with pytest.raises(TypeError, match="Empty defines neither process nor process_primitive"):
        with extend.set_current_trace(Empty()):
            np.sin(1.0) + 1


def test_what_is_in_progress() -> None:
    assert extend.find_top_trace(()) is extend.eval_trace
    assert extend.eval_trace.process_primitive(lax.add_p, (1.0, 2.0), {}) == 3.0
    seen: list[Any] = []

    def look(x: Any) -> Any:
        seen.append(
            (
                extend.unsafe_am_i_under_a_jit_DO_NOT_USE(),
                extend.unsafe_am_i_under_a_vmap_DO_NOT_USE(),
                extend.unsafe_get_axis_names_DO_NOT_USE(),
                extend.nonempty_axis_env_DO_NOT_USE(),
            )
        )
        return x

    look(1.0)
    jit(look)(1.0)
    vmap(look, axis_name="i")(np.ones(1))
    vmap(look)(np.ones(1))
    jit(vmap(look, axis_name="i"))(np.ones(1))
    grad(look)(1.0)
    assert seen == [
        (False, False, [], False),
        (True, False, [], False),
        (False, True, ["i"], True),
        (False, True, [], False),
        (True, True, ["i"], True),
        (False, False, [], False),
    ]


def test_opaque_states() -> None:
    states: list[Any] = []
    keep = lambda x: (states.append(extend.get_opaque_trace_state(convention="nnx")), x)[1]
    keep(1.0)
    jit(lambda x: keep(keep(x)))(1.0)
    jit(lambda x: keep(x + 1))(1.0)
    outside, first, same, other = states
    assert outside == extend.get_opaque_trace_state() and first == same
    assert first not in (outside, other) and outside != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(outside)


def test_evaluation_while_tracing() -> None:
    def f(x: Any) -> Any:
        with core.eval_context():
            n = int(np.arange(4).sum())
        with core.ensure_compile_time_eval():
            n += int(np.sum(np.arange(3)))
        return x * n

    assert jit(f)(2.0) == 18.0
    with pytest.raises(errors.UnexpectedTracerError):
        jit(leak)(1.0)


def leak(x: Any) -> Any:
    with core.eval_context():
        return x + 1


def test_concrete_or_error() -> None:
    assert extend.concrete_or_error(int, 3.5) == 3
    assert extend.concrete_or_error(None, "text") == "text"
    assert grad(lambda x: x * extend.concrete_or_error(float, x))(3.0) == 3.0
    with pytest.raises(errors.ConcretizationTypeError) as caught:
        jit(lambda x: extend.concrete_or_error(None, x, "the number of rows"))(1.0)
    assert "the number of rows" in str(caught.value) + "".join(caught.value.__notes__)


def test_positions_can_be_handed_on() -> None:
    eqn = anima.make_jaxpr(lambda x: np.sin(x))(1.0).eqns[0]

    def g(x: Any) -> Any:
        with source_info_util.user_context(eqn.source_info.traceback):
            return np.cos(x)

    [other] = anima.make_jaxpr(g)(1.0).eqns
    assert other.source_info == eqn.source_info
    assert source_info_util.summarize(eqn.source_info).startswith(f"{__file__}:")
    assert source_info_util.summarize(source_info_util.new_source_info()) == "unknown"
    assert eqn.replace(source_info=source_info_util.new_source_info()).source_info.traceback is None


def test_name_stacks() -> None:
    def f(x: Any) -> Any:
        with source_info_util.extend_name_stack("a"):
            with source_info_util.extend_name_stack("b"):
                y = np.sin(x)
                here = source_info_util.current()
            with source_info_util.transform_name_stack("jvp"):
                y = np.cos(y)
            with source_info_util.reset_name_stack():
                y = np.tan(y)
        assert str(here.name_stack) == "a/b"
        return y

    stacks = [str(e.source_info.name_stack) for e in anima.make_jaxpr(f)(1.0).eqns]
    assert stacks == ["a/b", "jvp(a)", ""]


def test_excluded_files_are_not_the_users(run_python: Any, tmp_path: Any) -> None:
    (tmp_path / "library.py").write_text("import anima.numpy as np\ndef helper(x):\n    return np.sin(x)\n")
    run_python(
        "import sys; sys.path.insert(0, '')\n"
        "import anima, library\n"
        "from anima.extend import source_info_util as info\n"
        "where = lambda: info.summarize(anima.make_jaxpr(lambda x: library.helper(x))(1.0).eqns[0].source_info)\n"
        "assert 'library.py:3' in where(), where()\n"
        "info.register_exclusion(library.__file__)\n"
        "assert '<string>' in where(), where()\n"
    )


def test_tokens_and_avals() -> None:
    extend.Token(np.ones(1)).block_until_ready()
    assert repr(extend.AbstractToken()) == "AbstractToken()"
    aval = core.ShapedArray((3, 2), np.float32)
    assert extend.mapped_aval(3, 0, aval) == core.ShapedArray((2,), np.float32)
    assert extend.unmapped_aval(4, 1, aval) == core.ShapedArray((3, 4, 2), np.float32)
    assert extend.mapped_aval(3, None, aval) is aval is extend.unmapped_aval(3, None, aval)
    with pytest.raises(ValueError, match="has size 3, not 4"):
        extend.mapped_aval(4, 0, aval)
    assert extend.primal_dtype_to_tangent_dtype("int32") == anima.dtypes.float0
    assert extend.primal_dtype_to_tangent_dtype(np.bfloat16) == np.bfloat16
    assert core.max_dim(3, 4) == 4 and core.min_dim(3, 4) == 3
    assert extend.gensym()(aval).aval is aval
    assert onp.ndarray in extend.array_types and np.bfloat16.dtype.type in extend.array_types
    assert pickle.loads(pickle.dumps(aval)) == aval

"""Programs that shapes share: the bits of the shape's own program, and when they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as anp
from anima import dtypes, lax, nn
from anima.config import eager_host_calls, enable_x64
from anima.core.primitive import primitives
from anima.runtime import compiler, host, shapeless
from anima.runtime.dispatch import shared_answer
from tests.lax.samples import Sample, all_samples

pytestmark = pytest.mark.cpu

ELEMENTWISE = {
    s.primitive: s
    for s in reversed(list(all_samples()))  # the first of each
    if s.args and primitives[s.primitive].elementwise is not None
}
# Of complex numbers, or, as the sample has it, of arrays of several shapes.
NEVER = {"broadcast_in_dim", "complex", "conj", "imag", "real", "wofz"}
NUMBERS = ("float64", "bfloat16", "float16", "int32", "uint8")
SHAPES = ((5,), (3, 11), (1,), (2, 5, 7))


def bits(x: Any) -> Any:
    """The bytes of an array, with one kind of NaN."""
    x = np.array(x)
    if x.dtype.kind not in "biu":
        x = np.where(x != x, np.array(np.nan, x.dtype), x)
    return x.dtype, x.shape, x.tobytes()


def reshaped(x: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if x.dtype.kind == "c" and dtypes.kind_of(dtype) != "c":
        x = x.real
    with np.errstate(all="ignore"):
        cast = np.resize(x, shape).astype(dtype)
    return cast


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_operations_have_the_bits_of_their_own_programs(name: str) -> None:
    sample: Sample = ELEMENTWISE[name]
    declared = primitives[name].dtypes or ()
    tried = 0
    for dtype in (None, *[d for d in NUMBERS if d in declared]):
        for shape in SHAPES if dtype is None else SHAPES[1:2]:
            args = [
                x if not x.shape else reshaped(x, shape, x.dtype if dtype is None else dtypes.as_dtype(dtype))
                for x in sample.args
            ]
            with enable_x64(True):
                try:
                    closed = anima.make_jaxpr(sample.call)(*args)
                except (TypeError, ValueError):
                    continue  # not for those dtypes together
                operands = [anp.asarray(x) for x in args]
                found = shared_answer(closed, "shared", operands, "single_op", {}, name)
                if found is None:
                    continue
                with eager_host_calls(0):
                    wanted = anima.tree.leaves(sample.call(*operands))
            assert [bits(x) for x in found] == [bits(x) for x in wanted], (dtype, shape)
            tried += 1
    assert bool(tried) == (name not in NEVER)


FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    **{n: (getattr(anp, n), 1) for n in ("exp", "log1p", "tanh", "cbrt", "log2", "nan_to_num", "round", "sinc")},
    **{n: (getattr(anp, n), 2) for n in ("hypot", "mod", "floor_divide", "logaddexp", "power", "arctan2", "heaviside")},
    **{n: (getattr(nn, n), 1) for n in ("gelu", "silu", "softplus", "elu", "sigmoid", "mish", "log_sigmoid")},
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_bits_of_their_own_programs(name: str) -> None:
    fun, arity = FUNCTIONS[name]
    rng = np.random.default_rng(3)
    for shape in ((7,), (4, 9), (1, 1), (100,), (30, 40)):
        x, y = rng.normal(size=(2, *shape)).astype(np.float32) * 5
        x.flat[0], y.flat[-1] = np.nan, np.inf
        args = [anp.asarray(v) for v in (x, y)[:arity]]
        found = fun(*args)
        with eager_host_calls(0):
            wanted = fun(*args)
        assert bits(found) == bits(wanted), shape
        assert found.weak_type == wanted.weak_type and found.committed == wanted.committed


def compilations() -> int:
    return compiler.compile_stats().compiles + compiler.compile_stats().disk_hits


def test_a_new_shape_compiles_nothing() -> None:
    def run(*shapes: tuple[int, ...]) -> None:
        for shape in shapes:
            x = np.full(shape, 0.5, np.float32)
            np.testing.assert_allclose(anp.hypot(x, anp.asarray(x)), np.hypot(x, x), rtol=1e-6)
            np.testing.assert_allclose(anp.exp(x), np.exp(x), rtol=1e-6)
            np.testing.assert_allclose(lax.tanh(anp.asarray(x)), np.tanh(x), rtol=1e-6)
            np.testing.assert_allclose(anp.power(anp.asarray(x), 1.5), x**1.5, rtol=1e-6)

    run((3,))
    before = compilations()
    run((4,), (5,), (2, 3), (1, 1, 2), (64,))
    assert compilations() == before


def test_a_shape_that_is_met_often_has_a_program_of_its_own() -> None:
    x = anp.asarray(np.full((1, 13, 1), 0.25, np.float32))
    with eager_host_calls(3):
        anp.cbrt(x)
        before = compilations()
        results = [anp.cbrt(x) for _ in range(2)]
        assert compilations() == before
        results += [anp.cbrt(x) for _ in range(4)]
        assert compilations() == before + 1
    for result in results:
        np.testing.assert_allclose(result, np.cbrt(0.25), rtol=1e-6)


def test_what_no_host_program_computes_is_looked_into_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = host.host_program
    monkeypatch.setattr(host, "host_program", lambda jaxpr: looks.append(jaxpr) or look(jaxpr))
    x = anp.asarray(np.full((1, 1, 11), 3.0, np.float32))
    for _ in range(5):
        np.testing.assert_allclose(anp.hypot(x, x), 3 * np.sqrt(2), rtol=1e-6)
    assert len(looks) == 1


def lengthened(fun: Callable[..., Any], *args: Any) -> Any:
    return shapeless.lengthened(anima.make_jaxpr(fun)(*args))


def test_what_is_not_elementwise_has_no_other_shape() -> None:
    x, y = np.ones((3, 4), np.float32), np.ones((4,), np.float32)
    found = lengthened(lambda x: nn.relu(x) * 2 + anp.exp(x), x)
    assert [a.shape for a in found.closed.in_avals] == [(64,)] and found.shape == (3, 4)
    for refused in (
        lambda x: x.sum(),
        lambda x: x.T,
        lambda x: x - x[0],
        lambda x: lax.rsqrt(x),
        lambda x: x + anp.arange(4.0),
        lambda x: x * anp.asarray(y),
        lambda x: lax.cumsum(x),
        lambda x: lax.rev(x, (0,)),
    ):
        assert lengthened(refused, x) is None
    assert lengthened(lambda x, y: x + y, x, y) is None
    assert lengthened(lambda x: x + 1, 2.0) is None  # of no shape
    assert lengthened(lambda x: x + 1, np.ones((0, 3))) is None
    assert lengthened(lambda x: x + 1, np.ones(5000)) is None


def test_operands_of_several_kinds() -> None:
    x = np.linspace(0.1, 2, 6, dtype=np.float32).reshape(2, 3)
    for other in (2.5, np.float32(2.5), anp.float32(2.5), np.full((2, 3), 2.5), anp.full((2, 3), 2.5)):
        np.testing.assert_allclose(anp.logaddexp(x, other), np.logaddexp(x, 2.5), rtol=1e-5)
        np.testing.assert_allclose(anp.logaddexp(other, anp.asarray(x)), np.logaddexp(2.5, x), rtol=1e-5)
    assert anp.floor_divide(anp.asarray(x), 0.5).dtype == np.float32
    whole = anp.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(anp.floor_divide(whole - 3, 2), (np.arange(6).reshape(2, 3) - 3) // 2)


def test_constants_of_the_length_of_operands() -> None:
    row = anp.asarray(np.full((1,), 3.0, np.float32))
    assert lengthened(lambda x: x * row, np.ones((1,), np.float32)) is None
    window = anp.kaiser(1, 14.0)
    np.testing.assert_allclose(window, np.kaiser(1, 14.0))


def test_arrays_with_64_bits_outlive_64_bit_mode() -> None:
    with enable_x64(True):
        x = anp.asarray(np.linspace(0.5, 1, 3))
    np.testing.assert_allclose(np.asarray(anp.exp(x)), np.exp(np.linspace(0.5, 1, 3)), rtol=1e-15)


def test_results_are_arrays_of_their_own() -> None:
    x = anp.asarray(np.linspace(0, 1, 7, dtype=np.float32))
    first, second = anp.exp(x), anp.exp(x + 1)
    np.testing.assert_allclose(first, np.exp(np.linspace(0, 1, 7)), rtol=1e-6)
    np.testing.assert_allclose(second, np.exp(np.linspace(1, 2, 7)), rtol=1e-6)
    assert first.nbytes == 28 and first.is_ready() and first.device == x.device


def test_nans_are_still_found() -> None:
    with anima.debug_nans(True), pytest.raises(FloatingPointError, match="log"):
        anp.log(anp.asarray(np.full((1, 3, 1), -1, np.float32)))


def test_what_is_being_computed_is_waited_for() -> None:
    slow = anima.jit(lambda x: lax.fori_loop(0, 200, lambda i, y: anp.tanh(y @ y), x))
    x = slow(anp.ones((256, 256)))
    np.testing.assert_allclose(anp.expm1(x[0, :19]), np.expm1(np.asarray(x)[0, :19]), rtol=1e-5)


@pytest.mark.parametrize("name", ["exp", "log", "exp2", "expm1", "i0", "logaddexp", "tanh", "mod", "divide"])
def test_calls_do_not_tell_whether_a_program_is_shared(name: str) -> None:
    function, count = getattr(anp, name), 2 if name in ("logaddexp", "mod", "divide") else 1
    rng = np.random.default_rng(0)
    for shape in ((258,), (259,), (20, 50), (7, 99), (3, 5, 67)):
        operands = [anp.asarray(rng.uniform(0.05, 0.95, shape).astype(np.float32)) for _ in range(count)]
        found = function(*operands)
        with eager_host_calls(0):
            assert bits(found) == bits(function(*operands)), shape

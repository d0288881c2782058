"""NumPy's answers for small eager operations: the bits of the compiled programs, or no answer."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.config import eager_host_calls
from anima.core.host import MOVABLE, REAL, HostRule, is_delicate
from anima.core.primitive import Primitive, primitives
from anima.core.trace import aval_of
from anima.dtypes.declared import BY_NAME
from anima.runtime import compiler, dispatch, host
from anima.runtime.dispatch import single_equation
from tests.lax.test_operations import SAMPLES, in_mode, retyped

pytestmark = pytest.mark.cpu

# Calls of libraries are steps of programs only: tests/runtime/test_steps.py.
RULED = sorted(n for n, p in primitives.items() if p.host and p.host.kernel != "library" and n in SAMPLES)
CPU = anima.devices("cpu")[0]


def answer(primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> list[Any] | None:
    """NumPy's results for one operation on arrays."""
    closed = single_equation(primitive, [aval_of(x) for x in operands], params)
    program = host.host_program(closed.jaxpr)
    return None if program is None else program.answer(operands, CPU, False)


def by_kernels(primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> list[Any] | None:
    """The native kernels' results for one operation on arrays."""
    closed = single_equation(primitive, [aval_of(x) for x in operands], params)
    program = host.host_program(closed.jaxpr)
    plan = None if program is None else host.plan(program, CPU)
    return None if plan is None else plan.answer(operands)


def compiled(primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """The results of the operation's own program."""
    with eager_host_calls(0):
        out = primitive.bind(*operands, **params)
    return out if primitive.multiple_results else [out]


def assert_equal_bits(got: Any, want: Any, place: str) -> None:
    assert got.aval == want.aval and got.committed == want.committed, place
    a, b = (onp.ascontiguousarray(onp.asarray(x)) for x in (got, want))
    assert a.tobytes() == b.tobytes(), f"{place}: {a} is not {b}"


def needs_kernels(rule: HostRule | None) -> bool:
    """Whether NumPy has no function for what an operation does to some operands."""
    return rule is not None and (rule.fun is None or needs_kernels(rule.otherwise))


def check(primitive: Primitive, operands: Sequence[Any], params: dict[str, Any], place: str) -> bool:
    """Whether NumPy answers, in which case the bits are right; those of a native kernel are, too, if it answers."""
    answers = [answer(primitive, operands, params), by_kernels(primitive, operands, params)]
    for found in answers:
        if found is not None:
            for got, want in zip(found, compiled(primitive, operands, params), strict=True):
                assert_equal_bits(got, want, place)
    assert answers[1] is None or answers[0] is not None or needs_kernels(primitive.host), place
    return any(found is not None for found in answers)


def applications(name: str, call: Any, args: Sequence[Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """The operands and parameters of an operation where a call applies it, its program being run step by step."""
    closed = anima.make_jaxpr(call)(*args)
    values: dict[Any, Any] = dict(zip(closed.jaxpr.invars, map(np.asarray, args)))
    values.update(zip(closed.jaxpr.constvars, closed.consts))
    for eqn in closed.jaxpr.eqns:
        operands = [np.asarray(a.val, a.aval.dtype) if hasattr(a, "val") else values[a] for a in eqn.invars]
        if eqn.primitive.name == name:
            yield operands, eqn.params
        with eager_host_calls(0):
            outs = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
        values.update(zip(eqn.outvars, outs if eqn.primitive.multiple_results else [outs]))


@pytest.mark.parametrize("name", RULED)
def test_samples_have_the_bits_of_the_compiled_program(name: str) -> None:
    primitive, answers = primitives[name], 0
    for sample in SAMPLES[name]:
        with in_mode(*sample.args):
            for operands, params in applications(name, sample.call, sample.args):
                answers += check(primitive, operands, params, f"{name} {params}")
    sample = SAMPLES[name][0]
    with anima.enable_x64(True):
        for dtype in set(primitive.host.dtypes) & set(primitive.dtypes):
            if sample.only is None or dtype in sample.only:
                for operands, params in applications(name, sample.call, retyped(sample, BY_NAME[dtype])):
                    answers += check(primitive, operands, params, f"{name} {params} of {dtype}")
    assert answers


# ---- edges of the dtypes ----------------------------------------------------------------------


def edges(dtype: onp.dtype[Any]) -> onp.ndarray:
    """The numbers at which implementations differ, and as many of arbitrary bits."""
    if dtype.kind == "b":
        return onp.array([False, True])
    source = onp.random.default_rng(0)
    noise = onp.frombuffer(source.bytes(40 * dtype.itemsize), dtype)
    if dtype.kind in "iu":
        info = onp.iinfo(dtype)
        return onp.concatenate(
            [onp.array([0, 1, 2, 3, info.min, info.min + 1, info.max - 1, info.max], dtype), noise]
        )
    info = anima.dtypes.finfo(dtype)
    near = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 1e-3, 0.1, 123.0, onp.inf, float(info.max), float(info.tiny)]
    near = onp.array([*near, *(-v for v in near)], dtype)
    return onp.concatenate([near, onp.nextafter(near, onp.asarray(4, dtype)), noise])


def arguments(dtype: onp.dtype[Any], arity: int) -> list[onp.ndarray]:
    """All combinations of the edges."""
    combined = onp.array(list(itertools.product(range(len(edges(dtype))), repeat=arity)))
    return [edges(dtype)[combined[:, i]] for i in range(arity)]


ELEMENTWISE = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "max": 2, "min": 2, "neg": 1, "abs": 1, "square": 1, "floor": 1, "ceil": 1,
    "sin": 1, "cos": 1, "sqrt": 1, "is_finite": 1, "eq": 2, "ne": 2, "lt": 2, "le": 2, "gt": 2, "ge": 2, "and": 2, "or": 2, "xor": 2, "not": 1,
}  # fmt: skip


def spared(primitive: Primitive, args: list[onp.ndarray], params: dict[str, Any]) -> list[onp.ndarray]:
    """The arguments without those elements that the rule leaves to the compiler."""
    rule = primitive.host
    with onp.errstate(all="ignore"):
        result = onp.asarray(rule.fun(*args, **params))
    keep = onp.array([
        not any(is_delicate(onp.asarray(x[i : i + 1]), rule.care) for x in (*args, result)) for i in range(len(result))
    ])  # fmt: skip
    return [x[keep] for x in args]


@pytest.mark.parametrize("name", sorted(n for n in ELEMENTWISE if primitives[n].host.fun))
def test_edge_values_have_the_bits_of_the_compiled_program(name: str) -> None:
    primitive = primitives[name]
    with anima.enable_x64(True):
        for dtype in set(primitive.host.dtypes) & set(primitive.dtypes):
            args = arguments(BY_NAME[dtype], ELEMENTWISE[name])
            kept = [np.asarray(x) for x in spared(primitive, args, {})]
            assert kept[0].size > len(args[0]) // 8, dtype
            assert check(primitive, kept, {}, f"{name} of {dtype}"), dtype


# The numbers of which C++ has no arithmetic are left to NumPy.
KERNELED = ("int8", "int32", "uint8", "uint64", "float32", "float64")


@pytest.mark.parametrize("name", sorted(n for n in ELEMENTWISE if primitives[n].host.kernel))
def test_kernels_refuse_what_they_do_not_know(name: str) -> None:
    primitive, source = primitives[name], onp.random.default_rng(3)
    with anima.enable_x64(True):
        for dtype in set(primitive.host.dtypes) & set(primitive.dtypes) & set(KERNELED):
            args = arguments(BY_NAME[dtype], ELEMENTWISE[name])
            args = [x[source.permutation(len(args[0]))[:256]] for x in args]
            (want,) = compiled(primitive, [np.asarray(x) for x in args], {})
            program = host.host_program(single_equation(primitive, [aval_of(x[:1]) for x in args], {}).jaxpr)
            plan, answers = host.plan(program, CPU), 0
            for i, bits in enumerate(onp.asarray(want)):
                found = plan.answer([np.asarray(x[i : i + 1]) for x in args])
                if found is not None:
                    answers += 1
                    assert onp.asarray(found[0]).tobytes() == bits.tobytes(), [x[i] for x in args]
            assert (
                answers == len(args[0]) if dtype not in REAL else len(args[0]) // 4 < answers < len(args[0])
            )


@pytest.mark.parametrize("name", sorted(n for n in ELEMENTWISE if primitives[n].host.kernel))
def test_kernels_at_edge_values(name: str) -> None:
    primitive = primitives[name]
    with anima.enable_x64(True):
        for dtype in set(primitive.host.dtypes) & set(primitive.dtypes) & set(KERNELED):
            kept = arguments(BY_NAME[dtype], ELEMENTWISE[name])
            if primitive.host.fun is None:
                continue
            kept = spared(primitive, kept, {})
            operands = [np.asarray(x[: len(x) // 7 * 7].reshape(7, -1)[3][:500]) for x in kept]
            (found,) = by_kernels(primitive, operands, {})
            assert_equal_bits(found, compiled(primitive, operands, {})[0], f"{name} of {dtype}")


@pytest.mark.parametrize("name", ["sin", "cos", "sqrt"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_have_the_bits_of_the_compiled_program(name: str, dtype: str) -> None:
    source, kind = onp.random.default_rng(6), BY_NAME[dtype]
    with anima.enable_x64(True), onp.errstate(all="ignore"):
        bits = onp.frombuffer(source.bytes(256 * 40 * kind.itemsize), kind)
        near = source.normal(size=256 * 40).astype(dtype) * source.choice(
            [1e-4, 1, 10, 1e3], 256 * 40
        ).astype(dtype)
        turns = (source.integers(-(10**4), 10**4, 256 * 10) * (onp.pi / 2)).astype(dtype)
        for x in onp.concatenate([bits, near, turns]).reshape(-1, 256):
            x = onp.abs(x) if name == "sqrt" else x
            keep = [bool(onp.isfinite(v[0])) and not is_delicate(v, "numbers") for v in x[:, None]]
            x = onp.where(keep, x, onp.asarray(0.25, dtype))
            found = by_kernels(primitives[name], [np.asarray(x)], {})
            if found is not None:  # a result may be a subnormal number
                assert_equal_bits(found[0], compiled(primitives[name], [np.asarray(x)], {})[0], name)
            assert found is not None or name != "sqrt"
    assert by_kernels(primitives[name], [np.ones(1025 if name == "sqrt" else 257)], {}) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_have_the_order_of_the_compiled_program(dtype: str) -> None:
    source = onp.random.default_rng(4)
    shapes = [
        (1,),
        (10,),
        (32,),
        (33,),
        (47,),
        (65,),
        (97,),
        (255,),
        (256,),
        (257,),
        (1001,),
        (31, 33),
        (3, 4),
        (16, 16),
        (2, 40),
        (40, 3),
        (2, 3, 4),
    ]
    with anima.enable_x64(True):
        for shape in shapes:
            for axes in {(0,), (len(shape) - 1,), tuple(range(len(shape)))}:
                x = (source.normal(size=shape) * 10.0 ** source.integers(-3, 4, shape)).astype(dtype)
                known = len(axes) == 1 or max(shape) <= 32
                place = f"sum of {shape} over {axes}"
                assert check(primitives["reduce_sum"], [np.asarray(x)], {"axes": axes}, place) == known
    assert not check(primitives["reduce_sum"], [np.asarray(onp.ones(1025, dtype))], {"axes": (0,)}, "long")


@pytest.mark.parametrize("value", [1.2e-38, 1e-37, -0.0, onp.nan, 1e-40])
def test_sums_that_could_be_subnormal_are_compiled(value: float) -> None:
    x = np.asarray(onp.array([value, 1.0, -1.0], onp.float32))
    assert answer(primitives["reduce_sum"], [x], {"axes": (0,)}) is None
    y = np.asarray(
        onp.array([1.3e-38, -1.2e-38, 1.0], onp.float32)
    )  # the first two of which make a subnormal number
    assert by_kernels(primitives["reduce_sum"], [y], {"axes": (0,)}) is None


_PLAIN = {"precision": None, "preferred_element_type": None}


def contracted(x: Any, y: Any) -> dict[str, Any]:
    """The parameters of a product of matrices or vectors."""
    return {"dimension_numbers": (((x.ndim - 1,), (0,)), ((), ())), **_PLAIN}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_products_have_the_order_of_the_compiled_program(dtype: str) -> None:
    source = onp.random.default_rng(5)
    shapes = [((3,), (3,)), ((200,), (200,)), ((5,), (5, 3)), ((9,), (9, 13)), ((1, 7), (7, 9)), ((8, 8), (8, 8)),
              ((3, 17), (17, 4)), ((9, 5), (5, 12)), ((2, 3), (3, 5)), ((4, 9), (9,)), ((2, 30), (30, 8))]  # fmt: skip
    with anima.enable_x64(True):
        for shape, other in shapes:
            x, y = (source.normal(size=s) * 10.0 ** source.integers(-2, 3, s) for s in (shape, other))
            x, y = (
                np.asarray((v * 50).astype(dtype) if dtype[0] != "f" else v.astype(dtype)) for v in (x, y)
            )
            rows = 1 if len(shape) == 1 else shape[0]
            columns = 1 if len(other) == 1 else other[1]
            known = rows == 1 or columns % 4 == 0 or dtype[0] == "f"  # by loops in order, or by the kernel
            place = f"{dtype} {shape} by {other}"
            assert check(primitives["dot_general"], [x, y], contracted(x, y), place) == known, place


@pytest.mark.parametrize("shapes", [((8,), (8, 3)), ((8, 8), (8, 8)), ((8,), (8,))])
def test_products_of_zeros_have_their_sign(shapes: Any) -> None:
    for a, b in ((-1.0, 0.0), (0.0, 1.0), (-0.0, -2.0), (1.0, -0.0), (-0.0, 3.0)):
        x, y = (np.asarray(onp.full(s, v, onp.float32)) for s, v in zip(shapes, (a, b)))
        assert check(primitives["dot_general"], [x, y], contracted(x, y), f"{a} by {b}")


@pytest.mark.parametrize("value", [1e-30, 1e30, onp.inf, onp.nan, 1e-40])
def test_products_that_could_leave_the_range_are_compiled(value: float) -> None:
    x = np.asarray(onp.array([value, 1.0], onp.float32))
    for operands in ([x, np.ones(2)], [np.ones(2), x]):
        assert answer(primitives["dot_general"], operands, contracted(x, x)) is None
        assert by_kernels(primitives["dot_general"], operands, contracted(x, x)) is None


def test_products_stand_alone() -> None:
    x = np.asarray(onp.arange(1.0, 9.0, dtype=onp.float32))
    for fun in (lambda x: (x > 2).astype("float32") @ x, lambda x: np.abs(x) @ x):
        assert host.host_program(anima.make_jaxpr(fun)(x).jaxpr) is None
    assert host.host_program(anima.make_jaxpr(lambda x: (x > 2).sum())(x).jaxpr).native is not None


@pytest.mark.parametrize("start", [-9, -1, 0, 2, 7, 300, 2**31 - 1])
def test_parts_that_begin_outside_are_moved_inside(start: int) -> None:
    x = np.asarray(onp.arange(60, dtype=onp.int16).reshape(3, 4, 5))
    for kind in (onp.int32, onp.uint8, onp.int8, onp.uint32):
        starts = [np.asarray(onp.asarray(i).astype(kind)) for i in (start, 1, start)]
        operands, params = [x, *starts], {"slice_sizes": (2, 2, 3)}
        assert by_kernels(primitives["dynamic_slice"], operands, params) is not None
        assert check(primitives["dynamic_slice"], operands, params, f"{start} of {kind}")


def test_conversions_have_the_bits_of_the_compiled_program() -> None:
    primitive, names = primitives["convert_element_type"], primitives["convert_element_type"].host.dtypes
    with anima.enable_x64(True), onp.errstate(all="ignore"):
        for source, target in itertools.product(names, names):
            params = {"new_dtype": BY_NAME[target], "weak_type": False}
            x = edges(BY_NAME[source])
            rule = primitive.host
            if BY_NAME[target].kind in "iu" and source in REAL:
                x = x[[not rule.refuses(v, **params) for v in x[:, None]]]
            (kept,) = spared(primitive, [x], params)
            if not rule.refuses(kept, **params):
                assert check(primitive, [np.asarray(kept)], params, f"{source} to {target}")


@pytest.mark.parametrize(
    "index",
    [
        lambda x, i: x[i], lambda x, i: x[:, i], lambda x, i: x[:, :, i], lambda x, i: x[i, i], lambda x, i: x[i, :, i],
        lambda x, i: x[:, i, i[0]], lambda x, i: x[i, i, i], lambda x, i: np.take(x, i, 1), lambda x, i: x[i, 1:],
        lambda x, i: np.take_along_axis(x, i[:, :1, None], 0), lambda x, i: x[None, i], lambda x, i: x[i[:0]],
    ],
)  # fmt: skip
def test_indices_have_the_elements_of_the_compiled_program(index: Any) -> None:
    x = onp.arange(60, dtype=onp.float32).reshape(3, 4, 5)
    answers = 0
    for i in ([[0, 2], [1, 1]], [[-1, -3], [2, 0]], [[-4, 7], [0, 3]], [[0, 2**31 - 1], [0, 0]]):
        for dtype in (onp.int32, onp.uint8, onp.int8):
            operands = np.asarray(x), np.asarray(onp.asarray(i).astype(dtype))
            closed = anima.make_jaxpr(index)(*operands)
            program = host.host_program(closed.jaxpr)
            found = None if program is None else program.answer(operands, CPU, False)
            if found is not None:
                answers += 1
                assert_equal_bits(found[0], anima.jit(index)(*operands), f"{i} of {dtype}")
    assert answers


def test_the_bounds_of_clamp_are_in_order() -> None:
    def fun(x: Any, y: Any) -> Any:
        return lax.max(lax.clamp(x, y, y), x)

    for x, y in (([3, 4], [4, 4]), ([5, 1], [1, 1])):
        operands = np.asarray(onp.array(x)), np.asarray(onp.array(y))
        found = host.host_program(anima.make_jaxpr(fun)(*operands).jaxpr).answer(operands, CPU, False)
        assert (found is not None) == (x < y)
        if found is not None:
            assert_equal_bits(found[0], anima.jit(fun)(*operands), "clamp")


@pytest.mark.parametrize("dtype", MOVABLE)
def test_moved_bits_are_those_of_the_compiled_program(dtype: str) -> None:
    kind = BY_NAME[dtype]
    noise = onp.random.default_rng(1).bytes(64 * kind.itemsize)
    bits = edges(kind) if kind.kind == "b" else onp.frombuffer(noise, kind)
    chosen = onp.arange(bits.size) % 3 > 0
    with anima.enable_x64(True):
        for x in (bits, bits[~onp.isnan(bits)]):
            mask, ends = chosen[: x.size], {"padding_config": ((1, 2, 0),)}
            for name, operands, params in [
                ("select_n", [mask, x, x[::-1]], {}), ("pad", [x, x[-1]], ends), ("concatenate", [x, x], {"dimension": 0}),
                ("rev", [x], {"dimensions": (0,)}), ("slice", [x], {"start_indices": (1,), "limit_indices": (x.size,), "strides": None}),
            ]:  # fmt: skip
                answers = check(
                    primitives[name], [np.asarray(v) for v in operands], params, f"{name} of {dtype}"
                )
                assert answers or x is bits


@pytest.mark.parametrize("dtype", REAL)
def test_delicate_numbers(dtype: str) -> None:
    kind, info = BY_NAME[dtype], anima.dtypes.finfo(dtype)
    subnormal = onp.asarray(info.tiny, kind) / onp.asarray(2, kind)
    for value in (0.0, 1.0, -1.5, onp.inf, -onp.inf, float(info.tiny) * 2, float(info.max)):
        assert not is_delicate(onp.array([1, value], kind), "numbers")
        assert not is_delicate(onp.array([value], kind), "zeros")
    for value in (subnormal, -subnormal, onp.nan, -onp.nan, float(info.tiny)):
        assert is_delicate(onp.array([1, value], kind), "numbers")
        assert is_delicate(onp.asarray(value, kind), "zeros")
    assert is_delicate(onp.array([1, -0.0], kind), "zeros")
    assert not is_delicate(onp.array([1, -0.0], kind), "numbers")
    assert not is_delicate(onp.array([1, 2]), "zeros")


# ---- when NumPy is asked ----------------------------------------------------------------------


def compilations() -> int:
    return compiler.compile_stats().compiles + compiler.compile_stats().disk_hits


def test_the_first_calls_compile_nothing_and_later_ones_once() -> None:
    x = np.asarray(onp.arange(7, dtype=onp.float32).reshape(1, 7, 1, 1))
    with eager_host_calls(3):
        before = compilations()
        results = [lax.floor(x) for _ in range(3)]
        assert compilations() == before
        results += [lax.floor(x) for _ in range(3)]
        assert compilations() == before + 1
    for result in results:
        assert_equal_bits(result, results[0], "floor")


def test_what_kernels_know_is_never_compiled() -> None:
    x = np.asarray(onp.arange(7, dtype=onp.float32).reshape(1, 7, 1, 1, 1))
    with eager_host_calls(3):
        before = compilations()
        results = [np.where(x > 3, x + x, x[0]) for _ in range(9)]
        assert compilations() == before
        for result in results:
            assert_equal_bits(result, results[0], "where")
        refused = np.where(x > onp.float32(onp.nan), x, x)  # which only the program knows
        assert compilations() == before + 1
        assert_equal_bits(refused, x, "where")
        assert_equal_bits(np.where(x > onp.float32(2), x, x), x, "the kernel answers again")


def test_kernels_wait_for_nothing() -> None:
    x = anima.jit(lambda x: lax.fori_loop(0, 200, lambda i, y: y @ y * 1e-3, x))(np.ones((256, 256)))
    small = x[0, :7]
    assert_equal_bits(
        small + small, np.asarray(onp.asarray(small) * 2), "what is not ready is waited for by XLA"
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "less"])
def test_whole_numbers_next_to_floats(name: str, dtype: str) -> None:
    fun, source = getattr(np, name), onp.random.default_rng(2)
    with anima.enable_x64(True):
        x = np.asarray(source.normal(size=2111).astype(dtype))
        whole = [np.asarray(source.integers(name == "divide", high, 2111)) for high in (9, 2**25, 2**62)]
        truths = whole[0] > 4
        for y in (2, -(2**31) + 1, onp.int8(7), *whole, truths):
            before = compilations()
            got = fun(x, y)
            assert compilations() == before or y is truths
            with eager_host_calls(0):
                assert_equal_bits(got, fun(x, y), name)


def test_what_is_delicate_is_compiled() -> None:
    for value in (onp.nan, 1e-40):
        before = compilations()
        x = np.asarray(onp.full((1, 3, 1, 7), value, onp.float32))
        assert onp.array_equal(x < 1, [[[[value == 1e-40] * 7]] * 3])
        assert compilations() == before + (value is onp.nan)  # then the program is there


def test_options_decide() -> None:
    x = np.asarray(onp.arange(5, dtype=onp.int32).reshape(5, 1, 1, 1, 1))
    with eager_host_calls(0):
        before = compilations()
        assert (x * x).sum() == 30
        assert compilations() > before
    with anima.debug_nans(True), pytest.raises(FloatingPointError, match="div"):
        lax.div(np.zeros((1, 1, 3, 1)), np.zeros((1, 1, 3, 1)))


def test_results_are_arrays_like_any_other() -> None:
    x = np.asarray(onp.arange(6.0, dtype=onp.float32))
    piece = lax.slice(x, (1,), (4,))
    assert piece.unsafe_buffer_pointer() != x.unsafe_buffer_pointer() + 4
    del x
    assert piece.tolist() == [1.0, 2.0, 3.0]
    assert (np.asarray(1) + 1.5).weak_type and not (np.float32(1) * 2).weak_type
    assert np.add(1, 2).weak_type and not np.add(1, onp.int32(2)).weak_type
    there = anima.device_put(onp.arange(9, dtype=onp.int16), CPU)
    assert (there + there).committed and not (np.arange(9, dtype="int16") * 2).committed


def test_operands_that_are_not_arrays_of_the_device() -> None:
    x = np.asarray(onp.arange(11, dtype=onp.float32).reshape(1, 11, 1))
    for make in (
        lambda: np.add(x, 1e300),
        lambda: np.add(x, onp.float64(1e300)),
        lambda: lax.neg(onp.full(11, -1e300)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            before = compilations()
            assert onp.isposinf(onp.asarray(make())).all()
            assert compilations() == before
    masked = onp.ma.masked_array(onp.ones((3, 1, 1, 3), onp.float32), True)
    with pytest.raises(TypeError, match="masked"):
        lax.mul(masked, masked)
    swapped = onp.ones((3, 1, 3, 1), ">f4")
    with pytest.raises(TypeError, match=">f4"):
        lax.mul(swapped, swapped)


def test_threads_and_a_table_that_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_MAX_ON_HOST", 2)
    dispatch._host_programs.clear()

    def work(_: int) -> None:
        for n in range(1, 40):
            x = onp.arange(n % 7, dtype=onp.float32)
            assert onp.array_equal(lax.mul(x, x), x * x)
            assert lax.reshape(x, (1, n % 7)).shape == (1, n % 7)
            assert len(dispatch._host_programs) <= 2 + 8  # each thread may add one

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(before)


def test_what_is_large_or_rounded_at_once_is_compiled() -> None:
    long = single_equation(primitives["neg"], [aval_of(onp.zeros(host.MAX_ELEMENTS + 1, onp.float32))], {})
    assert host.host_program(long.jaxpr) is None
    vector = onp.zeros(3, onp.float32)
    for fun, able in [
        (lambda x: x * x + x, True), (lambda x: lax.max(x * x + x, x), False), (lambda x: x + 1, True), (lambda x: x / 3, True), (lambda x: x, False),
        (lambda x: lax.div(x, lax.full((3,), 3.0)), True), (lambda x: lax.div(x, lax.full_like(x, x[0])), True),
        (lambda x: lax.div(x, lax.rev(lax.broadcasted_iota("float32", (3,), 0), (0,))), True),
        (lambda x: lax.tanh(x), False), (lambda x: lax.select(x > 1, x, -x), True), (lambda x: (x, x + 1), False),
    ]:  # fmt: skip
        closed = anima.make_jaxpr(fun)(vector)
        assert (host.host_program(closed.jaxpr) is not None) == able


def test_an_operation_without_results_gives_none() -> None:
    for _ in range(3):
        assert lax.unstack(np.zeros((0, 2))) == () == lax.unstack(np.zeros((2, 0), np.uint16), -1)


@pytest.mark.parametrize("name", ["sin", "cos", "tanh", "add"])
def test_numpy_arrays_of_new_shapes_need_one_program_at_most(name: str) -> None:
    def made() -> int:
        stats = compiler.compile_stats()
        return stats.compiles + stats.disk_hits

    function, count = getattr(np, name), 2 if name == "add" else 1
    before, lengths = made(), range(201, 220)
    found = [function(*[onp.linspace(0, 1, n)] * count) for n in lengths]
    assert made() - before <= 1
    with eager_host_calls(0):
        for n, value in zip(lengths, found):
            assert_equal_bits(value, function(*[np.linspace(0, 1, n)] * count), f"{name} of {n}")

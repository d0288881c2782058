"""Programs of several operations that the host performs step by step: the bits of the compiled program, without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
import anima.scipy.special
from anima import _native, lax, nn, random
from anima.config import eager_host_calls
from anima.core import hooks
from anima.runtime import steps
from anima.transforms.eager import compiled
from tests.runtime.test_sequences import both
from tests.runtime.test_shapeless import compilations

pytestmark = pytest.mark.cpu

Arrays = tuple[Any, Any, Any]  # of shape (n, m), (n,), and (n, n), positive definite
_KEY = random.key(3)
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "roll": lambda x, v, s: np.roll(v, 2),
    "roll of rows": lambda x, v, s: np.roll(x, (1, 2), (0, 1)),
    "searchsorted": lambda x, v, s: np.searchsorted(np.sort(v), v),
    "digitize": lambda x, v, s: np.digitize(v, np.sort(v)),
    "take_along_axis": lambda x, v, s: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    "permutation": lambda x, v, s: random.permutation(_KEY, len(v)),
    "permutation of rows": lambda x, v, s: random.permutation(_KEY, x),
    "choice": lambda x, v, s: random.choice(_KEY, len(v), (5,), replace=False),
    "categorical": lambda x, v, s: random.categorical(_KEY, v),
    "median": lambda x, v, s: np.median(v),
    "median of rows": lambda x, v, s: np.median(x, axis=1),
    "prod": lambda x, v, s: np.prod(v),
    "prod of rows": lambda x, v, s: np.prod(x, axis=1),
    "prod of columns": lambda x, v, s: np.prod(x, axis=0),
    "trapezoid": lambda x, v, s: np.trapezoid(v),
    "gradient": lambda x, v, s: np.gradient(v),
    "convolve": lambda x, v, s: np.convolve(v, v[:3]),
    "correlate": lambda x, v, s: np.correlate(v, v[:3]),
    "polyval": lambda x, v, s: np.polyval(v[:5], v),
    "cross": lambda x, v, s: np.cross(x[:, :3], x[:, :3] + 1),
    "isclose": lambda x, v, s: np.isclose(x, x + 1e-6),
    "vander": lambda x, v, s: np.vander(v, 3),
    "nansum": lambda x, v, s: np.nansum(x, axis=0),
    "log_softmax": lambda x, v, s: nn.log_softmax(x),
    "logsumexp": lambda x, v, s: anima.scipy.special.logsumexp(x, axis=1),
}
# With products and sums that unoptimised code joins, too, because of what comes after them.
COMPILED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "interp": lambda x, v, s: np.interp(v, np.sort(v), v),
    "allclose": lambda x, v, s: np.allclose(x, x),
    "a limited difference": lambda x, v, s: compiled(lambda x: lax.max(x * x[::-1] - x, 0.25))(x),
    "a chosen difference": lambda x, v, s: compiled(lambda x: np.where(x > 0, x * x[::-1] - x, 1.0))(x),
}
# By LAPACK, in programs of one call.
LIBRARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "det": lambda x, v, s: np.linalg.det(s),
    "slogdet": lambda x, v, s: np.linalg.slogdet(s),
    "eigh": lambda x, v, s: np.linalg.eigh(s),
    "eigvalsh": lambda x, v, s: np.linalg.eigvalsh(s),
    "matrix_rank": lambda x, v, s: np.linalg.matrix_rank(x),
    "multivariate_normal": lambda x, v, s: random.multivariate_normal(_KEY, v, s),
}
ALL = {**FUNCTIONS, **LIBRARY, **COMPILED}
SHAPES = ((9, 7), (33, 5), (21, 40))


def arrays(n: int, m: int, seed: int = 1) -> Arrays:
    source = onp.random.default_rng(seed)
    x, v, s = (source.normal(size=d).astype(onp.float32) * 3 for d in ((n, m), (n,), (n, n)))
    return x, v, s @ s.T + n * onp.eye(n, dtype=onp.float32)


def edges(n: int, m: int) -> Arrays:
    x, v, s = arrays(n, m, 2)
    x.flat[:: max(x.size // 7, 1)] = onp.resize(
        [0, -0.0, 1e-42, 3e38, -3e38, 1e-38], len(x.flat[:: max(x.size // 7, 1)])
    )
    v[0], v[-1], v[n // 2] = 3e38, 3.2e38, 0
    return x, v, s


def far(n: int, m: int) -> Arrays:
    x, v, s = arrays(n, m, 3)
    x = onp.round(x, 1) * onp.float32(1e-3)
    x.flat[3], v[2] = onp.nan, onp.inf
    return x, v, s


@pytest.mark.parametrize("name", [*FUNCTIONS, *LIBRARY, *COMPILED])
def test_functions_have_the_bits_of_the_program(name: str) -> None:
    fun = ALL[name]
    for shape in SHAPES:
        for given in (arrays(*shape), edges(*shape), far(*shape)):
            both(fun, *given)


@pytest.mark.parametrize("name", ["roll", "median", "prod", "searchsorted", "interp", "log_softmax", "det"])
def test_functions_of_other_dtypes(name: str) -> None:
    fun = ALL[name]
    with anima.enable_x64(True):
        for dtype in ("float64", "int32", "float16", "bfloat16"):
            x, v, s = arrays(11, 6)
            if name == "det" and dtype != "float64":
                continue
            both(fun, *[np.asarray(a).astype(dtype) for a in (x, v, s)])


def test_a_new_shape_compiles_nothing() -> None:
    def run(*shapes: tuple[int, int]) -> int:
        before = compilations()
        for shape in shapes:
            for fun in FUNCTIONS.values():
                fun(*map(np.asarray, arrays(*shape)))
        return compilations() - before

    run(
        (9, 7), (12, 9), (15, 17), (16, 14)
    )  # beyond 256 elements functions of several roundings have their own programs
    assert run((10, 6), (14, 11), (15, 15)) == 0


def test_the_results_are_numpys() -> None:
    x, v, s = arrays(17, 9)
    given = tuple(map(np.asarray, (x, v, s)))
    for name, wanted in (
        ("roll", onp.roll(v, 2)),
        ("median of rows", onp.median(x, axis=1)),
        ("trapezoid", onp.trapezoid(v)),
        ("gradient", onp.gradient(v)),
        ("convolve", onp.convolve(v, v[:3])),
        ("polyval", onp.polyval(v[:5].astype(onp.float64), v)),
        ("interp", onp.interp(v, onp.sort(v), v)),
        ("searchsorted", onp.searchsorted(onp.sort(v), v)),
        ("prod of rows", onp.prod(x.astype(onp.float64), axis=1)),
        ("det", onp.linalg.det(s.astype(onp.float64))),
    ):
        onp.testing.assert_allclose(ALL[name](*given), wanted, rtol=1e-3)
    assert sorted(FUNCTIONS["permutation"](*given).tolist()) == list(range(17))


UNARY: tuple[Callable[[Any], Any], ...] = (
    lax.exp, lax.log, lax.tanh, lax.neg, lax.abs, lax.floor, lax.sqrt, lax.square, lax.log1p, lax.logistic, lax.expm1,
    lambda x: x * 0.5, lambda x: x / 3.0, lambda x: x + 1.5, lambda x: 2.0 - x, lambda x: 3.0 / x, lambda x: lax.pow(x, 2.0),
    lambda x: lax.rev(x, (0,)), lambda x: lax.max(x, 0.25), lambda x: np.where(x > 0, x, 1.0), lambda x: lax.cumsum(x),
    lambda x: x - lax.reduce_sum(x, (1,))[:, None], lambda x: x * lax.reduce_prod(x, (1,))[:, None],
    lambda x: x - lax.reduce_max(x, (1,))[:, None], lambda x: lax.sort(x), lambda x: x[:, ::-1] * 2.0,
)  # fmt: skip
BINARY: tuple[Callable[[Any, Any], Any], ...] = (
    lax.add,
    lax.sub,
    lax.mul,
    lax.div,
    lax.max,
    lax.atan2,
    lax.pow,
)


def random_program(seed: int, length: int) -> Callable[[Any, Any], Any]:
    source = onp.random.default_rng(seed)
    plan = [
        (int(source.integers(3)), *map(int, source.integers([len(UNARY), len(BINARY), 99, 99])))
        for _ in range(length)
    ]

    def fun(x: Any, y: Any) -> Any:
        values = [x, y]
        for kind, unary, binary, first, second in plan:
            a, b = values[-1 - first % min(3, len(values))], values[-1 - second % len(values)]
            values.append(BINARY[binary](a, b) if kind == 2 else UNARY[unary](a))
        return values[-1]

    return fun


@pytest.mark.parametrize("length", [2, 3, 5])
@pytest.mark.parametrize("seed", range(12))
def test_programs_at_random(seed: int, length: int) -> None:
    fun = random_program(1000 * length + seed, length)
    x, y = arrays(6, 5, seed)[0], arrays(6, 5, seed + 99)[0]
    both(compiled(lambda x, y: fun(x, y)), x, y)
    both(compiled(lambda x, y: fun(x, y)), onp.abs(x) + 0.5, onp.abs(y) + 0.5)


def test_steps_are_limited_by_what_they_take() -> None:
    x = np.asarray(arrays(8, 3)[1])
    with eager_host_calls(4):
        before = _native.compile_count()
        results = [np.searchsorted(np.sort(x), x) for _ in range(6)]
        assert _native.compile_count() > before
    assert len({onp.asarray(r).tobytes() for r in results}) == 1


def test_the_operations_of_inner_programs_are_steps() -> None:
    inner = anima.jit(lambda x: nn.relu(x) + np.asarray(onp.arange(3.0)))
    flat = steps.flattened(anima.make_jaxpr(lambda x: inner(x) * 2)(np.ones(3)).jaxpr)
    assert flat is not None
    names = [eqn.primitive.name for eqn in flat.eqns]
    assert names[-2:] == ["add", "mul"] and "jit" not in names and "custom_jvp_call" not in names


def test_one_operation_is_not_performed_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    performed = []
    perform = hooks.perform
    monkeypatch.setattr(
        hooks, "perform", lambda closed, *a, **k: performed.append(closed) or perform(closed, *a, **k)
    )
    x = arrays(7, 4)[2]
    onp.testing.assert_allclose(
        np.linalg.cholesky(np.asarray(x)), onp.linalg.cholesky(x.astype(onp.float64)), rtol=1e-4, atol=1e-5
    )
    assert not performed


def test_the_middle_of_two_numbers_at_the_ends() -> None:
    both(np.median, onp.array([3e38, 3.2e38], onp.float32))
    both(lambda x: np.median(x, axis=0), onp.array([[3e38, -1e-38, 0.0], [3.2e38, 2e-38, -0.0]], onp.float32))


def test_keys_are_results() -> None:
    words = onp.arange(12, dtype=onp.uint32).reshape(6, 2)
    keys = random.wrap_key_data(np.asarray(words))
    for i in (0, 4, -1):
        assert random.key_data(keys[i]).tolist() == words[i].tolist() and keys[i].committed == keys.committed
    assert random.key_data(keys[1:3]).tolist() == words[1:3].tolist()
    committed = anima.device_put(keys, anima.devices()[0])
    assert committed[2].committed and random.key_data(committed[2]).tolist() == words[2].tolist()
    assert random.key_data(keys[np.asarray([5, 0])]).tolist() == words[[5, 0]].tolist()
    assert random.key_data(np.concatenate([keys, keys])[7]).tolist() == words[1].tolist()
    chosen = np.where(np.asarray([True, False] * 3), keys, keys[::-1])
    assert random.key_data(chosen).tolist() == onp.where([[True], [False]] * 3, words, words[::-1]).tolist()


def test_what_depends_on_nothing_is_no_argument() -> None:
    assert set(random.Generator(1).choice([5, 6], 30).tolist()) == {5, 6}
    both(compiled(lambda x: x + lax.cumsum(lax.iota(onp.int32, 6))), onp.arange(6, dtype=onp.int32))
    both(compiled(lambda x: x * lax.exp(lax.full((6,), 0.3)) + x), arrays(6, 2)[1])

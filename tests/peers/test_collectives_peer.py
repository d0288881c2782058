"""Named axes under `vmap` compared with JAX: values, derivatives and their conventions, result types, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima
import anima.numpy

pytestmark = pytest.mark.peers


class Library:
    """One of the two libraries, by the names that the programs below use."""

    def __init__(self, package: Any, numpy: Any) -> None:
        self.package, self.np, self.lax = package, numpy, package.lax


OURS, THEIRS = Library(anima, anima.numpy), Library(jax, jax.numpy)
Member = Callable[[Library, Any], Any]

X = np.random.default_rng(0).normal(size=(4, 4, 3)).astype(np.float32)


def assert_same(ours: Any, theirs: Any, where: str = "") -> None:
    leaves, others = anima.tree.leaves(ours), jax.tree.leaves(theirs)
    assert len(leaves) == len(others), where
    for a, b in zip(leaves, others):
        a_type = (tuple(np.shape(a)), str(a.dtype), bool(getattr(a, "weak_type", False)))
        b_type = (tuple(np.shape(b)), str(b.dtype), bool(getattr(b, "weak_type", False)))
        assert a_type == b_type, f"{where}: {a_type}, JAX has {b_type}"
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-4, atol=2e-5, err_msg=where)


CYCLE = [(0, 1), (1, 2), (2, 3), (3, 0)]

# One member's computation; what JAX has bugs in or refuses under vmap is in docs/differences.md.
MEMBERS: dict[str, Member] = {
    "psum": lambda lib, x: lib.lax.psum(lib.np.sin(x), "i") * x,
    "psum twice": lambda lib, x: lib.lax.psum(lib.lax.psum(x * x, "i") * x, "i"),
    "psum of a constant": lambda lib, x: lib.lax.psum(3.0, "i") * x + lib.lax.psum(1, "i"),
    "psum of an array": lambda lib, x: lib.lax.psum(lib.np.float32(3.0), "i") * x,
    "pmean": lambda lib, x: x - lib.lax.pmean(x * x, "i"),
    "pmean of integers": lambda lib, x: x * lib.lax.pmean(lib.lax.axis_index("i"), "i"),
    "all_gather": lambda lib, x: lib.lax.all_gather(x * x, "i") * lib.np.arange(4.0)[:, None, None],
    "all_gather axis": lambda lib, x: lib.np.cos(lib.lax.all_gather(x, "i", axis=1)),
    "all_gather tiled": lambda lib, x: lib.lax.all_gather(x, "i", axis=-1, tiled=True) ** 2,
    "ppermute": lambda lib, x: lib.lax.ppermute(x * x, "i", CYCLE) * x,
    "pshuffle": lambda lib, x: lib.lax.pshuffle(x * x, "i", [2, 0, 3, 1]) * x,
    "psum_scatter tiled": lambda lib, x: lib.np.sin(lib.lax.psum_scatter(x, "i", tiled=True)),
    "axis_index": lambda lib, x: x * lib.lax.axis_index("i"),
    "axis_size": lambda lib, x: x / lib.lax.axis_size("i"),
    "in jit": lambda lib, x: lib.package.jit(lambda x: lib.lax.psum(x * x, "i") * x)(x),
    "in scan": lambda lib, x: lib.lax.scan(lambda c, r: (lib.lax.psum(lib.np.sin(c), "i") + r, c), x[0], x)[1],
    "in cond": lambda lib, x: lib.lax.cond(True, lambda x: lib.lax.psum(x * x, "i"), lambda x: x, x),
    "in fori_loop": lambda lib, x: lib.lax.fori_loop(0, 3, lambda i, y: lib.np.sin(lib.lax.psum(y, "i")), x),
    "in map": lambda lib, x: lib.lax.map(lambda r: lib.lax.psum(r * r, "i"), x),
    "on unmapped operands": lambda lib, x: lib.package.jit(lambda y: lib.lax.psum(y, "i"))(lib.np.ones(3)) * x,
}  # fmt: skip


@pytest.mark.parametrize("name", MEMBERS)
def test_values_and_derivatives(name: str) -> None:
    member = MEMBERS[name]

    def results(lib: Library) -> dict[str, Any]:
        vmap, grad, jvp, jit = lib.package.vmap, lib.package.grad, lib.package.jvp, lib.package.jit
        f = lambda x: member(lib, x)
        loss = lambda x: lib.np.sin(f(x)).sum()
        weights = lib.np.arange(4.0)
        return {
            "values": vmap(f, axis_name="i")(X),
            "along another axis": vmap(f, in_axes=1, out_axes=-1, axis_name="i")(X.swapaxes(0, 1)),
            "jit": jit(vmap(f, axis_name="i"))(X),
            "vmap of grad": vmap(grad(loss), axis_name="i")(X),
            "grad of vmap": grad(lambda x: (vmap(loss, axis_name="i")(x) * weights).sum())(X),
            "vmap of jvp": vmap(lambda x: jvp(f, (x,), (x,)), axis_name="i")(X),
            "second derivative": vmap(grad(lambda x: grad(loss)(x).sum()), axis_name="i")(X),
            "two maps": vmap(vmap(grad(loss), axis_name="i"))(np.stack([X, X + 1])),
            "the outer of two": vmap(vmap(grad(loss), in_axes=1), axis_name="i")(np.stack([X, X + 1], 2)),
        }

    ours, theirs = results(OURS), results(THEIRS)
    for key, value in theirs.items():
        assert_same(ours[key], value, f"{name}, {key}")


WHOLE: dict[str, Callable[[Library], Any]] = {
    "two names": lambda lib: lib.package.vmap(
        lib.package.vmap(lambda x: (lib.lax.psum(x, ("i", "j")), lib.lax.axis_index(("i", "j"))), axis_name="j"),
        axis_name="i",
    )(X),
    "a name twice": lambda lib: lib.package.vmap(
        lambda r: (lib.package.vmap(lambda y: lib.lax.psum(y, "i"), axis_name="i")(r), lib.lax.psum(r, "i")),
        axis_name="i",
    )(X),
    "booleans": lambda lib: lib.package.vmap(
        lambda x: (lib.lax.psum(x > 0, "i"), lib.lax.pmax(x > 0, "i"), lib.lax.pmean(x > 0, "i")), axis_name="i"
    )(X),
    "extrema": lambda lib: lib.package.vmap(lambda x: (lib.lax.pmax(x, "i"), lib.lax.pmin(x, "i")), axis_name="i")(X),
    "integers": lambda lib: lib.package.vmap(
        lambda x: (lib.lax.psum(x, "i"), lib.lax.pmean(x, "i")), axis_name="i"
    )(np.full((4, 2), 100, np.int8)),
    "complex": lambda lib: lib.package.vmap(lambda x: (lib.lax.psum(x, "i"), lib.lax.pmean(x, "i")), axis_name="i")(
        X * np.complex64(1j)
    ),
    "dimensions": lambda lib: lib.package.vmap(lambda x: lib.lax.psum(x, ("i", 0)), axis_name="i")(X),
    "exchange": lambda lib: lib.package.vmap(
        lambda x: (lib.lax.all_to_all(x, "i", 0, 0), lib.lax.all_to_all(x, "i", 0, 1, tiled=True)), axis_name="i"
    )(X),
    # Untiled, JAX raises IndexError where another axis is mapped, too.
    "scatter": lambda lib: lib.package.vmap(
        lib.package.grad(lambda x: lib.np.sin(lib.lax.psum_scatter(x * x, "i")).sum()), axis_name="i"
    )(X),
    "swap": lambda lib: lib.package.vmap(lambda x: lib.lax.pswapaxes(x, "i", 0), axis_name="i")(X),
    "broadcast": lambda lib: lib.package.vmap(lambda x: lib.lax.pbroadcast(x, "i", 2), axis_name="i")(X),
    "loop until all": lambda lib: lib.package.vmap(
        lambda x: lib.lax.while_loop(lambda s: lib.lax.pmax(s, "i") < 20, lambda s: s + lib.lax.pmean(s, "i"), x),
        axis_name="i",
    )(np.arange(4.0, dtype=np.float32)),
    "loop until each": lambda lib: lib.package.vmap(
        lambda x: lib.lax.while_loop(lambda s: s < 20, lambda s: s + lib.lax.pmean(s, "i"), x), axis_name="i"
    )(np.arange(4.0, dtype=np.float32)),
    # JAX's derivative of this is not that of the mapped function: its operands are masked by the predicate.
    "branch on an example": lambda lib: lib.package.vmap(
        lambda x: lib.lax.cond(x[0, 0] > 0, lambda x: lib.lax.psum(x * x, "i"), lambda x: x, x), axis_name="i"
    )(X),
    "outputs not mapped": lambda lib: lib.package.vmap(
        lambda x: (lib.lax.psum(x, "i"), lib.lax.all_gather(x, "i")), axis_name="i", out_axes=None
    )(X),
    "summed outputs": lambda lib: lib.package.vmap(lambda x: x, out_axes=None, sum_match=True)(X),
    "a pytree": lambda lib: lib.package.vmap(
        lambda t: lib.lax.pmean(t, "i"), axis_name="i", in_axes=({"a": 0, "b": (1, None)},), out_axes={"a": 1, "b": 0}
    )({"a": X, "b": (X, np.float32(2))}),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_programs(name: str) -> None:
    assert_same(WHOLE[name](OURS), WHOLE[name](THEIRS), name)


def test_what_is_folded_while_tracing() -> None:
    def record(lib: Library) -> list[Any]:
        seen: list[Any] = []

        def member(x: Any) -> Any:
            seen.extend([lib.lax.psum(v, "i") for v in (1, 2, 2.5, 1j, np.float32(1.5), np.arange(3))])
            seen.append(lib.lax.axis_size("i"))
            return x

        lib.package.vmap(lib.package.jit(member), axis_name="i")(X)
        return seen

    for a, b in zip(record(OURS), record(THEIRS), strict=True):
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.lax.psum(1.0, "i"),
        lambda lib: lib.lax.axis_index("i"),
        lambda lib: lib.lax.axis_size("i"),
        lambda lib: lib.package.jit(lambda x: lib.lax.all_gather(x, "i"))(X),
        lambda lib: lib.package.vmap(lambda x: lib.lax.pmax(x, "i"), axis_name="j")(X),
    ],
)
def test_unbound_names(call: Callable[[Library], Any]) -> None:
    for lib in (OURS, THEIRS):
        with pytest.raises(NameError, match="unbound axis name: i"):
            call(lib)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda lib: lib.package.vmap(lambda x: x, in_axes=("a",)), TypeError),
        (lambda lib: lib.package.vmap(lambda x: x, in_axes="a"), TypeError),
        (lambda lib: lib.package.vmap(lambda x: x, in_axes=(0, 0))(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: x, in_axes=({"a": 0},))(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: x, in_axes=3)(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: x, out_axes=None)(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: x, out_axes=4)(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: (x, x), out_axes=(0,))(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: x, axis_size=3)(X), ValueError),
        (lambda lib: lib.package.vmap(lambda: 1)(), ValueError),
        (lambda lib: lib.package.vmap(lambda x: x)("a"), TypeError),
        (lambda lib: lib.package.vmap(lambda x: x, axis_name=[1])(X), TypeError),
        (lambda lib: lib.package.vmap(lambda x: lib.lax.psum(x, ("i", "i")), axis_name="i")(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: lib.lax.pswapaxes(x, "i", 1), axis_name="i")(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: lib.lax.all_gather(x, "i", axis=4), axis_name="i")(X), ValueError),
        (lambda lib: lib.package.vmap(lambda x: lib.lax.pshuffle(x, "i", [0, 0, 1, 2]), axis_name="i")(X), ValueError),
    ],
)  # fmt: skip
def test_kinds_of_errors(call: Callable[[Library], Any], error: type[Exception]) -> None:
    for lib in (OURS, THEIRS):
        with pytest.raises(error):
            call(lib)


def test_jaxprs_with_an_axis_environment() -> None:
    def trace(lib: Library) -> Any:
        f = lambda x: (
            lib.lax.psum(x, "i"),
            lib.lax.pmean(x, ("i", "j")),
            lib.lax.pmin(x, "j"),
            lib.lax.axis_index("j"),
        )
        return lib.package.make_jaxpr(f, axis_env=[("i", 4), ("j", 2)])(np.ones(3, np.float32))

    ours, theirs = trace(OURS), trace(THEIRS)
    # Which of shard_map's types a result has is a parameter, where JAX has operations of other names.
    words = [w for w in str(ours).replace(" tracked=False]", "]").split() if w != "invariant=False"]
    assert "".join(words) == "".join(str(theirs).split())
    assert sorted(map(repr, ours.effects)) == sorted(map(repr, theirs.effects))

"""`shard_map` on four devices compared with JAX: values, types, layouts, derivatives and their conventions, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima
import anima.numpy
from tests.parallel.several import Checks

pytestmark = pytest.mark.peers

X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(6,)).astype(np.float32)

checks = Checks(__name__)


class Library:
    """One of the two libraries, by the names that the programs below use."""

    def __init__(self, package: Any, numpy: Any) -> None:
        self.package, self.np, self.lax, self.P = package, numpy, package.lax, package.sharding.PartitionSpec

    def over(self, fun: Any, in_specs: Any, out_specs: Any, **options: Any) -> Any:
        mesh = self.package.sharding.Mesh(np.array(self.package.devices()).reshape(2, 2), ("x", "y"))
        return self.package.shard_map(fun, mesh=mesh, in_specs=in_specs, out_specs=out_specs, **options)


OURS, THEIRS = Library(anima, anima.numpy), Library(jax, jax.numpy)


def loss(lib: Library) -> Any:
    return lambda w, x: (lib.np.sin(x @ w) ** 2).sum()


# Programs of W and X over a mesh of two by two devices.
PROGRAMS: dict[str, Callable[[Library], Any]] = {
    "blocks": lambda lib: lib.over(lambda w, x: x * w, (lib.P(), lib.P("x")), lib.P("x")),
    "psum": lambda lib: lib.over(lambda w, x: lib.lax.psum(x * w, "x"), (lib.P(), lib.P("x")), lib.P()),
    "psum of what is shared": lambda lib: lib.over(lambda w, x: lib.lax.psum(w, "x"), (lib.P(), lib.P("x")), lib.P()),
    "psum of a number": lambda lib: lib.over(lambda w, x: x * lib.lax.psum(1, ("x", "y")), (lib.P(), lib.P("x")), lib.P("x")),
    "mean loss": lambda lib: lib.over(
        lambda w, x: lib.lax.pmean(loss(lib)(w, x), ("x", "y")), (lib.P(), lib.P(("x", "y"))), lib.P()
    ),
    "grad inside": lambda lib: lib.over(
        lambda w, x: lib.package.grad(loss(lib))(w, x), (lib.P(), lib.P("x")), lib.P()
    ),
    "grad inside, summed again": lambda lib: lib.over(
        lambda w, x: lib.lax.psum(lib.package.grad(loss(lib))(w, x), "x"), (lib.P(), lib.P("x")), lib.P()
    ),
    "grad inside, unchecked": lambda lib: lib.over(
        lambda w, x: lib.package.grad(loss(lib))(w, x)[None], (lib.P(), lib.P("x")), lib.P("x"), check_vma=False
    ),
    "grad inside of a sum": lambda lib: lib.over(
        lambda w, x: lib.package.grad(lambda w: lib.lax.psum(loss(lib)(w, x), "x"))(w), (lib.P(), lib.P("x")), lib.P()
    ),
    "grad inside of a sum, unchecked": lambda lib: lib.over(
        lambda w, x: lib.package.grad(lambda w: lib.lax.psum(loss(lib)(w, x), "x"))(w)[None],
        (lib.P(), lib.P("x")),
        lib.P("x"),
        check_vma=False,
    ),
    "what is copied, unchecked": lambda lib: lib.over(
        lambda w, x: lib.lax.psum(x * w, "x") * w, (lib.P(), lib.P("x")), lib.P(), check_vma=False
    ),
    "shared in blocks": lambda lib: lib.over(lambda w, x: w * 2, (lib.P(), lib.P("x")), lib.P("x")),
    "all_gather": lambda lib: lib.over(
        lambda w, x: lib.lax.all_gather(x * w, "x", tiled=True, to="invarying"), (lib.P(), lib.P("x")), lib.P()
    ),
    "ring": lambda lib: lib.over(
        lambda w, x: lib.lax.ppermute(x * w, ("x", "y"), [(i, (i + 1) % 4) for i in range(4)]),
        (lib.P(), lib.P(("x", "y"))),
        lib.P(("x", "y")),
    ),
    "all_to_all": lambda lib: lib.over(
        lambda w, x: lib.lax.all_to_all(x * w, "x", 1, 0, tiled=True), (lib.P(), lib.P("x")), lib.P("x")
    ),
    "psum_scatter": lambda lib: lib.over(
        lambda w, x: lib.lax.psum_scatter(x * w, "x", tiled=True), (lib.P(), lib.P("x")), lib.P("x")
    ),
    "pmax": lambda lib: lib.over(lambda w, x: lib.lax.pmax(lib.lax.stop_gradient(w.sum() + 1), "x") * x, (lib.P(), lib.P("x")), lib.P("x")),
    "axis_index": lambda lib: lib.over(
        lambda w, x: x * w + lib.lax.axis_index(("y", "x")), (lib.P(), lib.P("x", None)), lib.P(("x", "y"))
    ),
    "scan": lambda lib: lib.over(
        lambda w, x: lib.lax.scan(lambda c, r: (lib.np.sin(c * w + lib.lax.psum(r, "x")), r), w, x)[0],
        (lib.P(), lib.P("x")),
        lib.P(),
    ),
    "cond": lambda lib: lib.over(
        lambda w, x: lib.lax.cond(w[0] < 100, lambda: w * x, lambda: lib.np.zeros_like(x)),
        (lib.P(), lib.P("x")),
        lib.P("x"),
    ),
    "vmap around": lambda lib: lib.package.vmap(
        lib.over(lambda w, x: lib.lax.psum(x * w, "x"), (lib.P(), lib.P("x")), lib.P()), (0, None)
    ),
    "some axes": lambda lib: lib.package.jit(
        lib.over(lambda w, x: lib.lax.psum(x * w, "x"), (lib.P(), lib.P("x")), lib.P(), axis_names={"x"})
    ),
}  # fmt: skip


def arguments(name: str) -> tuple[Any, Any]:
    return (np.stack([W, 2 * W]), X) if name == "vmap around" else (W, X)


@checks.each(PROGRAMS)
def values_and_derivatives(name: str) -> None:
    def results(lib: Library) -> list[Any]:
        f, (w, x) = PROGRAMS[name](lib), arguments(name)
        value = lib.package.jit(f)(w, x)
        slope = lib.package.grad(lambda w, x: lib.np.sin(f(w, x)).sum(), (0, 1))
        tangent = lib.package.jvp(f, (w, x), (np.ones_like(w), 2 * x))[1]
        return [value, *lib.package.jit(slope)(w, x), tangent]

    for ours, theirs in zip(results(OURS), results(THEIRS), strict=True):
        assert (ours.shape, str(ours.dtype), ours.weak_type) == (
            theirs.shape,
            str(theirs.dtype),
            theirs.weak_type,
        )
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-4, atol=2e-5)


@checks
def layouts() -> None:
    for name in ("blocks", "psum", "all_gather", "ring"):
        places = []
        for lib in (OURS, THEIRS):
            value = PROGRAMS[name](lib)(W, X)
            indices = value.sharding.devices_indices_map(value.shape)
            places.append({device.id: str(index) for device, index in indices.items()})
        assert places[0] == places[1], name


# What both refuse, with the same kind of error.
REFUSED: dict[str, Callable[[Library], Any]] = {
    "a result that differs": lambda lib: lib.over(lambda x: x, lib.P("x"), lib.P())(X),
    "a block that does not divide": lambda lib: lib.over(lambda x: x, lib.P(("x", "y")), lib.P("x"))(X[:2]),
    "a spec that is too long": lambda lib: lib.over(lambda x: x, lib.P("x", None, "y"), lib.P("x"))(X),
    "a result's spec that is too long": lambda lib: lib.over(lambda x: x.sum(), lib.P("x"), lib.P("x"))(X),
    "an unknown axis": lambda lib: lib.over(lambda x: x, lib.P("z"), lib.P("x"))(X),
    "an axis that is not manual": lambda lib: lib.over(lambda x: x, lib.P("x"), lib.P("x"), axis_names={"y"})(
        X
    ),
    "unknown axis names": lambda lib: lib.over(lambda x: x, lib.P("x"), lib.P("x"), axis_names={"q"})(X),
    "too many specs": lambda lib: lib.over(lambda x: x, (lib.P("x"), lib.P("x")), lib.P("x"))(X),
    "another tree": lambda lib: lib.over(lambda x: x["q"], ({"r": lib.P("x")},), lib.P("x"))({"q": X}),
    "a result's tree": lambda lib: lib.over(lambda x: x, lib.P("x"), (lib.P("x"), lib.P("x")))(X),
    "no mesh": lambda lib: lib.package.shard_map(lambda x: x, in_specs=lib.P("x"), out_specs=lib.P("x"))(X),
    "no mesh at all": lambda lib: lib.package.shard_map(
        lambda x: x, mesh=3, in_specs=lib.P(), out_specs=lib.P()
    )(X),
    "no spec": lambda lib: lib.over(lambda x: x, ("x",), lib.P("x"))(X),
    "varying twice": lambda lib: lib.over(
        lambda x: lib.lax.pcast(x, "x", to="varying"), lib.P("x"), lib.P("x")
    )(X),
}


@checks.each(REFUSED)
def refused(name: str) -> None:
    kinds = []
    for lib in (OURS, THEIRS):
        try:
            REFUSED[name](lib)
        except Exception as error:
            kinds.append(type(error))
        else:
            kinds.append(None)
    ours, theirs = kinds
    assert ours is not None and theirs is not None and issubclass(ours, (theirs, *theirs.__mro__[:1])), kinds


test_on_four_devices = checks.test()

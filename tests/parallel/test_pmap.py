"""`pmap` and `smap` on four devices, against NumPy and `vmap`."""

from __future__ import annotations

from typing import Any

import numpy as np

import anima
import anima.numpy as anp
from anima import grad, jit, lax, pmap, smap, vmap
from tests.parallel.several import Checks
from tests.parallel.support import equal, raises, square

checks = Checks(__name__)
X = np.arange(12, dtype=np.float32).reshape(4, 3)


def shared(x: Any) -> Any:
    return lax.psum(anp.sin(x), "i") * x


@checks
def values() -> None:
    f = pmap(shared, "i")
    want = vmap(shared, axis_name="i")(X)
    for _ in range(2):
        out = f(X)
        equal(out, want)
        assert out.sharding.spec == anima.P("i") and len(out.devices()) == 4
    equal(f(f(X)), vmap(shared, axis_name="i")(want))
    equal(jit(f)(X), want)
    equal(grad(lambda x: f(x).sum())(X), grad(lambda x: vmap(shared, axis_name="i")(x).sum())(X))
    equal(vmap(f)(np.stack([X, 2 * X])), vmap(vmap(shared, axis_name="i"))(np.stack([X, 2 * X])))
    assert len(pmap(lambda x: x * 2)(X[:2]).devices()) == 2
    assert pmap(lambda x: x, devices=anima.devices()[2:])(X[:2]).devices() == set(anima.devices()[2:])
    equal(pmap(lambda x: lax.axis_index("i"), axis_name="i")(X), range(4))
    equal(pmap(vmap(lambda x: lax.psum(x, "i")), axis_name="i")(X), np.tile(X.sum(0), (4, 1)))
    assert "all-reduce" in f.lower(X).compile().as_text()


@checks
def axes() -> None:
    f = pmap(lambda x, y: (x + y, {"sum": y.sum()}), in_axes=(1, None), out_axes=(1, None))
    total, rest = f(X.T, np.ones(3, np.float32))
    equal(total, X.T + 1)
    equal(rest["sum"], 3)
    wide = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    equal(pmap(lambda x: x * 2, in_axes=-1, out_axes=-1)(wide), wide * 2)
    equal(pmap(lambda x: x, out_axes=None)(X), X[0])
    equal(
        pmap(lambda t, k: t["a"] * k, in_axes=({"a": 0},))({"a": X}, k=np.arange(4)),
        X * np.arange(4)[:, None],
    )


@checks
def static_and_donated() -> None:
    seen = []
    f = pmap(lambda n, x: (seen.append(n), x * n)[1], static_broadcasted_argnums=0)
    equal(f(3, X), 3 * X)
    equal(f(4, X), 4 * X)
    equal(f(3, X), 3 * X)
    assert seen == [3, 4]
    given = pmap(lambda x: x)(X)
    equal(pmap(lambda n, x: x + n, static_broadcasted_argnums=0, donate_argnums=1)(1, given), X + 1)
    assert given.is_deleted()


@checks
def results_of_another_structure() -> None:
    f = pmap(lambda x: (x, x) if x.dtype == np.int32 else {"x": x})
    equal(f(X)["x"], X)
    equal(f(X.astype(np.int32))[1], X)
    equal(f(X)["x"], X)


@checks
def errors() -> None:
    with raises(ValueError, "5 examples", "4 devices", "vmap"):
        pmap(lambda x: x)(np.ones((5, 2)))
    with raises(ValueError, "`x` has 4", "`k` has 3"):
        pmap(lambda x, k: x)(X, np.ones(3))
    with raises(ValueError, "axis_size is 2"):
        pmap(lambda x: x, axis_size=2)(X)
    with raises(ValueError, "argument `x` has 0 dimensions", "in_axes"):
        pmap(lambda x: x)(3.0)
    with raises(ValueError, "at least one argument must have a mapped axis"):
        pmap(lambda x: x, in_axes=None)(X)
    with raises(ValueError, "out_axes", "2 dimensions"):
        pmap(lambda x: x, out_axes=2)(X)
    with raises(ValueError, "manual already"):
        pmap(pmap(lambda x: x))(np.ones((2, 2)))
    with raises(TypeError, "pmap expects a function"):
        pmap(3)  # type: ignore[arg-type]
    with raises(TypeError, "integers or None"):
        pmap(lambda x: x, in_axes="i")(X)


@checks
def over_an_axis_of_the_mesh() -> None:
    with anima.set_mesh(square()):
        f = smap(lambda x: x * 2 + lax.axis_index("x"), in_axes=0, out_axes=0, axis_name="x")
        equal(f(X), 2 * X + [[0], [0], [1], [1]])
        g = smap(lambda x, y: x * y, in_axes=(1, None), out_axes=1, axis_name="x")
        equal(g(X.T, 2.0), 2 * X.T)
        equal(smap(lambda x: lax.psum(x, "x"), in_axes=0, out_axes=None, axis_name="x")(X), X[:2] + X[2:])
        both = smap(
            smap(lambda x: x + lax.axis_index(("x", "y")), in_axes=1, out_axes=1, axis_name="y"),
            in_axes=0,
            out_axes=0,
            axis_name="x",
        )
        equal(both(np.zeros((2, 2))), [[0, 1], [2, 3]])
        with raises(TypeError, "not negative"):
            smap(lambda x: x, in_axes=-1, out_axes=0, axis_name="x")
        with raises(TypeError, "one axis"):
            smap(lambda x: x, in_axes=0, out_axes=0, axis_name=("x", "y"))


test_on_four_devices = checks.test()

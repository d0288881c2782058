"""What `shard_map` refuses: each message names what is wrong, where, and what to write instead."""

from __future__ import annotations

from typing import Any

import numpy as np

import anima
import anima.numpy as anp
from anima import grad, jit, lax, shard_map
from anima.experimental.shard_map import shard_map as older_shard_map
from tests.parallel.several import Checks
from tests.parallel.support import P, W, X, equal, over, raises, square

checks = Checks(__name__)


def double(x: Any) -> Any:
    return x * 2


@checks
def meshes() -> None:
    with raises(TypeError, "mesh must be a Mesh or an AbstractMesh", "3", "int"):
        shard_map(double, mesh=3, in_specs=P(), out_specs=P())  # type: ignore[arg-type]
    with raises(ValueError, "shard_map of double", "no mesh", "set_mesh"):
        shard_map(double, in_specs=P(), out_specs=P())(X)
    with raises(ValueError, "axis_names has 'q'", "('x', 'y')"):
        over(double, P("x"), P("x"), axis_names={"q"})
    with raises(TypeError, "axis_names", "3"):
        over(double, P("x"), P("x"), axis_names=3)
    other = anima.Mesh(np.array(anima.devices()[:2]), ("x",))
    inner = shard_map(double, mesh=other, in_specs=P("x"), out_specs=P("x"))
    with raises(ValueError, "mesh"):
        jit(lambda x: over(double, P("x"), P("x"))(x) + inner(x))(X)
    with raises(ValueError, "same mesh"):
        turned = anima.Mesh(square().devices.T, ("y", "x"))
        over(lambda x: shard_map(double, mesh=turned, in_specs=P(), out_specs=P(), axis_names={"y"})(x), P("x"), P("x"), axis_names={"x"})(X)  # fmt: skip
    with raises(ValueError, "committed"):
        over(double, P("x"), P("x"))(anima.device_put(X, anima.devices()[1]))


@checks
def specs() -> None:
    with raises(ValueError, "in_specs[0]", "no axis 'z'", "('x', 'y')"):
        over(double, (P("z"),), P("x"))
    with raises(ValueError, "out_specs['a']", "no axis 'z'"):
        over(double, P("x"), {"a": P("z")})
    with raises(ValueError, "in_specs", "'x'", "manual", "axis_names"):
        over(double, P("x"), P("x"), axis_names={"y"})
    with raises(ValueError, "twice"):
        over(double, P("x", "x"), P("x"))
    with raises(TypeError, "in_specs[0] must be a PartitionSpec", "'x'"):
        over(double, ("x",), P("x"))
    with raises(TypeError, "in_specs is needed", "Explicit"):
        shard_map(double, mesh=square(), out_specs=P("x"))
    with raises(ValueError, "leaves nothing to the compiler"):
        over(double, P(P.UNCONSTRAINED), P("x"))


@checks
def arguments() -> None:
    with raises(
        ValueError,
        "argument `x` of double",
        "(6, 2)",
        "dimension 0 of size 6",
        "4 equal blocks",
        "'x' of size 2",
    ):
        over(double, P(("x", "y")), P("x"))(np.ones((6, 2), np.float32))
    with raises(ValueError, "argument `x['w']`", "dimension 1 of size 3"):
        over(lambda x: x["w"], P(None, "y"), P("x"))({"w": np.ones((4, 3), np.float32)})
    with raises(ValueError, "argument `x` of double", "2 dimensions", "P('x', None, 'y')", "shorter"):
        over(double, P("x", None, "y"), P("x"))(X)
    with raises(ValueError, "shard_map in_specs", "the arguments of double", "2", "1"):
        over(double, (P("x"), P("x")), P("x"))(X)
    with raises(ValueError, "shard_map in_specs[0]", "'r'", "'q'"):
        over(lambda x: x["q"], ({"r": P("x")},), P("x"))({"q": X})
    with raises(TypeError, "argument `x` of double", "str"):
        over(double, P("x"), P("x"))("no array")


@checks
def results() -> None:
    with raises(
        ValueError,
        "the result of double",
        "mesh axes 'x'",
        "P()",
        "Name 'x' in out_specs",
        "psum",
        "check_vma",
    ):
        over(double, P("x"), P())(X)
    two = lambda x: {"u": lax.psum(x, "x"), "v": [x * 2]}
    for run in (lambda f: f(X), lambda f: jit(f)(X), lambda f: grad(lambda x: f(x)["u"].sum())(X)):
        with raises(ValueError, "the result of <lambda> at ['v'][0]", "'x', 'y'"):
            run(over(two, P("x", "y"), {"u": P("y"), "v": P()}))
    with raises(ValueError, "0 dimensions", "P('x',)", "scalar", "P()"):
        over(lambda x: x.sum(), P("x"), P("x"))(X)
    with raises(ValueError, "shard_map out_specs", "the result of double"):
        over(double, P("x"), (P("x"), P("x")))(X)
    equal(over(double, P("x"), P(), check_vma=False)(X).shape, (2, 6))
    with raises(ValueError, "'y'"):
        over(lambda x: x * lax.axis_index("y"), P("x"), P("x"))(X)


@checks
def forms() -> None:
    @shard_map(mesh=square(), in_specs=(P(), P("x")), out_specs=P("x"))
    def scaled(w: Any, x: Any) -> Any:
        """Scales."""
        return w * x

    equal(scaled(W, X), W * X)
    assert scaled.__doc__ == "Scales." and scaled.__name__ == "shard_map(scaled)"
    equal(over(lambda w, x: x, (None, P("x")), P("x"))(3, X), X)
    equal(over(double, None, P("x"))(X), 2 * np.concatenate([X, X]))
    equal(over(double, [P("x")], P("x"))(X), 2 * X)
    older = older_shard_map(lambda x: lax.psum(x, "x"), square(), P("x"), P())
    equal(older(X), X[:2] + X[2:])
    with raises(ValueError, "check_rep=False"):
        older_shard_map(double, square(), P("x"), P())(X)
    equal(
        older_shard_map(double, mesh=square(), in_specs=P("x"), out_specs=P(), check_rep=False)(X).shape,
        (2, 6),
    )


@checks
def without_jit() -> None:
    with anima.disable_jit():
        equal(
            over(lambda x: anp.sin(x) + lax.psum(x, "x"), P("x"), P("x"))(X),
            np.sin(X) + np.tile(X[:2] + X[2:], (2, 1)),
        )


test_on_four_devices = checks.test()

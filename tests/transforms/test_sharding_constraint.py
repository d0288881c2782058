"""`with_sharding_constraint`, eagerly and inside transformations; several devices in a process of their own."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.sharding import AxisType, NamedSharding, PartitionSpec as P, set_mesh

SEVERAL = """
import numpy as onp, anima, anima.numpy as np
from anima import lax
from anima.sharding import GSPMDSharding, NamedSharding, PartitionSpec as P, set_mesh
mesh = anima.make_mesh((2, 2), ("x", "y"))
host = onp.arange(32.0, dtype=onp.float32).reshape(8, 4)
x = anima.device_put(host, NamedSharding(mesh, P("x", "y")))
rows = NamedSharding(mesh, P("y"))
y = anima.jit(lambda v: lax.with_sharding_constraint(v * 2, rows))(x)
assert y.sharding.is_equivalent_to(rows, 2) and onp.array_equal(y, 2 * host)
e = lax.with_sharding_constraint(host, rows)
assert e.sharding.is_equivalent_to(rows, 2) and onp.array_equal(e, host)
g = anima.jit(anima.grad(lambda v: (lax.with_sharding_constraint(v, rows) ** 2).sum()))(x)
onp.testing.assert_allclose(g, 2 * host)
cols = NamedSharding(mesh, P("y"))
m = anima.jit(anima.vmap(lambda v: lax.with_sharding_constraint(v, cols)))(x)
assert onp.array_equal(m, host) and m.sharding.shard_shape(m.shape)[1] == 2
s = anima.jit(anima.vmap(lambda v: lax.with_sharding_constraint(v, cols), spmd_axis_name="x"))(x)
assert s.sharding.is_equivalent_to(NamedSharding(mesh, P("x", "y")), 2)
with set_mesh(mesh):
    t = anima.jit(lambda v: lax.with_sharding_constraint({"a": v, "b": v + 1}, P(None, "x")))(x)
assert t["b"].sharding.is_equivalent_to(NamedSharding(mesh, P(None, "x")), 2)
split = GSPMDSharding(mesh.flat_devices, rows.hlo(1))
try:
    anima.vmap(lambda v: lax.with_sharding_constraint(v, split))(host)
except anima.errors.ShardingError as error:
    assert "how the mapped axis is split" in str(error)
else:
    raise AssertionError("it is not known which axis is split")
"""


@pytest.mark.cpu
def test_several_devices(run_python: Any) -> None:
    run_python(SEVERAL, env={"JAX_NUM_CPU_DEVICES": "4"})


def test_inside_transformations() -> None:
    sharding = NamedSharding(anima.make_mesh((1,), ("x",)), P("x"))
    f = lambda x: (lax.with_sharding_constraint(x, sharding) ** 2).sum()
    x = onp.arange(3.0, dtype=onp.float32)
    onp.testing.assert_allclose(anima.grad(f)(x), 2 * x)
    onp.testing.assert_allclose(anima.jit(anima.grad(f))(x), 2 * x)
    onp.testing.assert_allclose(anima.hessian(f)(x), 2 * onp.eye(3))
    onp.testing.assert_allclose(anima.vmap(f)(np.ones((2, 3))), [3, 3])
    assert lax.with_sharding_constraint(x, sharding).committed
    names = [eqn.primitive for eqn in anima.make_jaxpr(anima.grad(f))(x).eqns]
    assert names.count(lax.sharding_constraint_p) == 2


def test_refuses() -> None:
    mesh = anima.make_mesh((1,), ("x",))
    constrain = lax.with_sharding_constraint
    with pytest.raises(RuntimeError, match="PartitionSpec needs a mesh"):
        constrain(np.ones(2), P("x"))
    with pytest.raises(ValueError, match="is None"):
        constrain({"a": np.ones(2)}, {"a": None})
    with pytest.raises(TypeError, match="must be Shardings"):
        constrain(np.ones(2), anima.devices()[0])
    with pytest.raises(ValueError, match="at least 1 dimensions"):
        constrain(1.0, NamedSharding(mesh, P("x")))
    explicit = anima.make_mesh((1,), ("x",), axis_types=AxisType.Explicit)
    with pytest.raises(ValueError, match="axes of type Explicit"):
        constrain(np.ones(2), NamedSharding(explicit, P("x")))
    with set_mesh(mesh):
        assert constrain(np.ones(2), P("x")).shape == (2,)

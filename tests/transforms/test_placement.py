"""`device_put` and its relatives, eagerly and inside transformations; several devices in a process of their own."""

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import device_get, device_put, grad, jit, vmap

SEVERAL = """
import numpy as onp, anima, anima.numpy as np
from anima.sharding import NamedSharding, PartitionSpec as P
mesh = anima.make_mesh((2, 2), ("x", "y"))
host = onp.arange(32.0, dtype=onp.float32).reshape(8, 4)
x = anima.device_put(host, NamedSharding(mesh, P("x", "y")))
assert x.sharding.spec == P("x", "y") and len(x.devices()) == 4
assert onp.array_equal(x, host)
f = anima.jit(lambda v: np.sin(v) @ v.T)
onp.testing.assert_allclose(f(x), onp.sin(host) @ host.T, rtol=1e-5)
y = anima.jit(lambda v: anima.device_put(v * 2, NamedSharding(mesh, P("y"))))(x)
assert y.sharding.is_equivalent_to(NamedSharding(mesh, P("y")), 2) and onp.array_equal(y, 2 * host)
g = anima.jit(lambda v: (v * 3).sum(0), in_shardings=NamedSharding(mesh, P("x")), out_shardings=NamedSharding(mesh, P("y")))
for given in (host, x, anima.device_put(host, NamedSharding(mesh, P("x")))):
    out = g(given)
    assert out.sharding.spec == P("y") and onp.array_equal(out, 3 * host.sum(0))
onp.testing.assert_allclose(anima.grad(lambda v: (v ** 2).sum())(x), 2 * host)
onp.testing.assert_allclose(x + x, 2 * host)
assert anima.vmap(lambda row: anima.device_put(row, NamedSharding(mesh, P("y"))))(x).shape == (8, 4)
try:
    anima.device_put(host[:3], NamedSharding(mesh, P("x")))
except anima.errors.ShardingError as error:
    assert "axis 0" in str(error)
else:
    raise AssertionError("a sharding that does not divide the axis was accepted")
z = anima.device_put(1.0, anima.devices()[3])
assert z.device is anima.devices()[3] and (z + 1).device is anima.devices()[3]
try:
    z + anima.device_put(1.0, anima.devices()[1])
except ValueError as error:
    assert "different devices" in str(error)
else:
    raise AssertionError("committed to different devices")
"""


def test_put_get_and_wait():
    tree = {"a": onp.arange(3), "b": (1.5, None)}
    put = device_put(tree, anima.devices()[0])
    assert put["a"].committed and put["a"].dtype == np.int32
    got = device_get(put)
    assert isinstance(got["a"], onp.ndarray) and float(got["b"][0]) == 1.5 and got["b"][1] is None
    assert anima.block_until_ready(put)["a"] is put["a"]
    assert not device_put(2.0).committed


def test_inside_transformations():
    device = anima.devices()[0]
    f = lambda x: (device_put(x, device) ** 2).sum()
    onp.testing.assert_allclose(grad(f)(np.arange(3.0)), [0, 2, 4])
    onp.testing.assert_allclose(jit(grad(f))(np.arange(3.0)), [0, 2, 4])
    onp.testing.assert_allclose(vmap(f)(np.ones((2, 3))), [3, 3])


@pytest.mark.cpu
def test_several_devices(run_python):
    run_python(SEVERAL, env={"JAX_NUM_CPU_DEVICES": "4"})

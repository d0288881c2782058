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


def pointer(x):
    return x.unsafe_buffer_pointer()


def test_a_result_that_may_not_share_memory_is_a_copy():
    device = anima.devices()[0]
    for x in (np.arange(3.0), np.asarray(2.5), np.ones(2, np.bfloat16)):
        for where in (None, device):
            y = device_put(x, where, may_alias=False)
            assert pointer(y) != pointer(x) and y.weak_type == x.weak_type
            assert y.committed == (where is not None)
            x_before = onp.asarray(x, float)
            y.delete()
            assert not x.is_deleted()
            onp.testing.assert_array_equal(onp.asarray(x, float), x_before)
        y = device_put(x, device, may_alias=False)
        expected = onp.asarray(x, float)
        x.delete()
        onp.testing.assert_array_equal(onp.asarray(y, float), expected)
    x = np.arange(3.0)
    for may_alias in (None, True):
        assert device_put(x, may_alias=may_alias) is x
        assert pointer(device_put(x, device, may_alias=may_alias)) == pointer(x)
    first, second = device_put((x, x), may_alias=(False, True))
    assert first is not x and second is x
    key = anima.random.key(3)
    copied = device_put(key, may_alias=False)
    key.delete()
    assert copied.dtype == anima.random.key(3).dtype and anima.random.bits(copied).shape == ()
    empty = np.zeros((0, 2))
    assert device_put(empty, may_alias=False).shape == (0, 2)


def test_a_donated_array_that_is_there_already_stays():
    device = anima.devices()[0]
    x = np.arange(3.0)
    for how in ({}, {"may_alias": False}):
        for where in (None, device):
            y = device_put(x, where, donate=True, **how)
            assert not x.is_deleted() and pointer(y) == pointer(x)
    host = onp.arange(3.0)
    y = device_put(host, donate=True)
    host[0] = 7.0
    onp.testing.assert_array_equal(y, [0, 1, 2])


def test_hints_of_device_put_inside_transformations():
    x = np.arange(1.0, 4.0)
    for how in ({"donate": True}, {"may_alias": False}, {"may_alias": True}):
        f = lambda v, how=how: device_put(v, **how) ** 2
        onp.testing.assert_allclose(jit(f)(x), [1, 4, 9])
        onp.testing.assert_allclose(vmap(f)(x), [1, 4, 9])
        onp.testing.assert_allclose(grad(lambda v, f=f: f(v).sum())(x), [2, 4, 6])
        onp.testing.assert_allclose(jit(lambda v, how=how: v + device_put(x, **how))(x), [2, 4, 6])
        assert not x.is_deleted()


def test_hints_of_device_put_that_do_not_fit():
    with pytest.raises(ValueError, match="set only one of them"):
        device_put(1.0, donate=True, may_alias=True)
    with pytest.raises(ValueError, match="device_put donate must be a tree prefix"):
        device_put((1.0, 2.0), donate=(True,))
    with pytest.raises(ValueError, match="device_put may_alias must be a tree prefix"):
        device_put((1.0, 2.0), may_alias=[True, False])


MOVED = """
import itertools, numpy as onp, anima, anima.numpy as np
from anima.sharding import NamedSharding, PartitionSpec as P
from anima import device_put
first, second = anima.devices()
mesh = anima.make_mesh((2,), ("x",))
split, same = NamedSharding(mesh, P("x")), NamedSharding(mesh, P())
stays = {(first, first), (first, same), (second, second), (same, first), (split, split), (same, same), (second, same)}
pointers = lambda x: {s.unsafe_buffer_pointer() for s in x.addressable_shards_data}
for a, b in itertools.product((first, second, split, same), repeat=2):
    x = device_put(onp.arange(4.0), a)
    y = device_put(x, b, donate=True)
    assert x.is_deleted() == ((a, b) not in stays), (a, b)
    onp.testing.assert_array_equal(y, onp.arange(4.0))
    x = device_put(onp.arange(4.0), a)
    y = device_put(x, b, may_alias=False)
    assert not pointers(x) & pointers(y)
    assert y.sharding == device_put(x, b).sharding
    y.delete()
    onp.testing.assert_array_equal(x, onp.arange(4.0))
x = np.arange(4.0)
twice = device_put((x, x), second, donate=True)
assert x.is_deleted() and all(onp.array_equal(v, onp.arange(4.0)) for v in twice)
x, z = np.arange(4.0), np.arange(2.0)
device_put((x, z), second, donate=(True, False))
assert x.is_deleted() and not z.is_deleted()
x = device_put(onp.arange(4.0), split)
y = np.array(x)
assert y is not x and y.sharding == split and not pointers(x) & pointers(y)
"""


@pytest.mark.cpu
def test_donated_arrays_that_move_are_deleted(run_python):
    run_python(MOVED, env={"JAX_NUM_CPU_DEVICES": "2"})


@pytest.mark.cpu
def test_several_devices(run_python):
    run_python(SEVERAL, env={"JAX_NUM_CPU_DEVICES": "4"})

"""Shardings over the same devices in different orders meet in one program."""

import pytest

ORDERS = """
import numpy as onp
import anima
from anima import jit
from anima.sharding import Mesh, NamedSharding, PartitionSpec as P
devices = anima.devices()
x = onp.arange(16.0, dtype=onp.float32).reshape(8, 2)
forward, backward, mixed = (
    NamedSharding(Mesh(onp.array([devices[i] for i in order]), ("a",)), P("a"))
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1))
)
A, B, C = (anima.device_put(x, s) for s in (forward, backward, mixed))
equal = onp.testing.assert_array_equal
minus = jit(lambda a, b: (a - b, b))
turned = jit(lambda a: a * 1, in_shardings=forward, out_shardings=backward)
both = jit(lambda a, b: a - b, in_shardings=(forward, backward))
given = jit(lambda a: {"y": a * 1}, out_shardings=mixed)
for _ in range(2):
    for p in (A, B, C):
        for q in (A, B, C):
            equal(p - q, 0 * x)
            equal(minus(p, q)[0], 0 * x)
            equal(minus(p, q)[1], x)
            equal(both(p, q), 0 * x)
        equal(given(p)["y"], x)
        for value in (x, p):
            got = turned(value)
            equal(got, x)
            assert got.sharding == backward, got.sharding
            equal(got + 1, x + 1)
            for device, shard in zip(backward.device_assignment, got.addressable_shards_data):
                assert shard.device is device
                equal(shard, x[backward.devices_indices_map(x.shape)[device]])
compiled = turned.lower(x).compile()
for value in (x, A, B, C):
    equal(compiled(value), x)
    assert compiled(value).sharding == backward
"""


@pytest.mark.cpu
def test_orders_of_devices(run_python):
    run_python(ORDERS, env={"JAX_NUM_CPU_DEVICES": "4"})

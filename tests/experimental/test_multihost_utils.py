"""What functions about several processes give in one, and how they work across the devices of one; `pjit`; `distributed`."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import NamedSharding, P, grad, jit
from anima.experimental import multihost_utils, pjit
from tests.parallel.several import Checks
from tests.parallel.support import raises

checks = Checks(__name__)
TREE = {"a": onp.arange(3), "b": 2.5, "c": [True, None]}


def same(found: Any, expected: Any) -> None:
    assert type(found) is onp.ndarray and found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tolist() == expected.tolist()


def test_one_process_gathers_what_it_has() -> None:
    found = multihost_utils.process_allgather(TREE)
    for x, own in zip(anima.tree.leaves(found), anima.tree.leaves(TREE)):
        same(x, onp.asarray(own)[None])
    for each in (
        multihost_utils.process_allgather(TREE, tiled=True),
        multihost_utils.broadcast_one_to_all(TREE),
    ):
        assert each["c"][1] is None
        for x, own in zip(anima.tree.leaves(each), anima.tree.leaves(TREE)):
            same(x, onp.asarray(own))
    same(multihost_utils.process_allgather(np.ones(2, np.bfloat16)), onp.ones((1, 2), np.bfloat16))
    multihost_utils.sync_global_devices("here")
    multihost_utils.assert_equal(TREE, "never")
    with pytest.raises(AssertionError, match="NaNs differ"):
        multihost_utils.assert_equal(onp.asarray([onp.nan]), "NaNs differ")
    assert multihost_utils.reached_preemption_sync_point(7) is False
    with pytest.raises(TypeError, match="name must be a string"):
        multihost_utils.sync_global_devices(3)  # type: ignore[arg-type]


@checks
def what_goes_over_devices_comes_back() -> None:
    for own in (onp.arange(6, dtype=onp.float32).reshape(2, 3), onp.int32(3), onp.asarray([True, False])):
        same(multihost_utils._over_processes(onp.asarray(own)), onp.asarray(own)[None])


@checks
def local_and_global_arrays() -> None:
    mesh = anima.make_mesh((2, 2), ("x", "y"))
    host = onp.arange(8, dtype=onp.float32).reshape(4, 2)
    specs = {"a": P("x", "y"), "b": P()}
    there = multihost_utils.host_local_array_to_global_array({"a": host, "b": host[0]}, mesh, specs)
    assert there["a"].sharding == NamedSharding(mesh, P("x", "y")) and there["b"].sharding.is_fully_replicated
    assert [s.data.shape for s in there["a"].addressable_shards] == [(2, 1)] * 4
    back = multihost_utils.global_array_to_host_local_array(there, mesh, specs)
    assert back["a"].sharding == there["a"].sharding
    for name, own in (("a", host), ("b", host[0])):
        assert there[name].tolist() == back[name].tolist() == own.tolist()
    rows = multihost_utils.global_array_to_host_local_array(there["a"], mesh, P("y"))
    assert rows.tolist() == host.tolist() and rows.addressable_shards[0].data.shape == (2, 2)
    total = lambda x: multihost_utils.host_local_array_to_global_array(x, mesh, P("x")).sum()
    assert grad(total)(host).tolist() == onp.ones_like(host).tolist()
    assert jit(total)(host) == host.sum()
    zeros = onp.zeros(4, anima.float0)
    assert multihost_utils.host_local_array_to_global_array(zeros, mesh, P("x")).dtype == bool
    for use in (
        multihost_utils.host_local_array_to_global_array,
        multihost_utils.global_array_to_host_local_array,
    ):
        with raises(ValueError, "pspecs", "None"):
            use(host, mesh, None)
        with raises(TypeError, "pspecs"):
            use(host, mesh, 3)
        with raises(ValueError, "axis 0", "size 3"):
            use(host[:3], mesh, P("x"))


test_on_four_devices = checks.test()


def test_pjit_is_jit() -> None:
    here = anima.sharding.SingleDeviceSharding(anima.devices()[0])
    with pytest.warns(DeprecationWarning, match="anima.jit"):
        f = pjit.pjit(lambda n, x: n * x, (here,), here, 0)
    out = f(3, onp.ones(2, onp.float32))
    assert out.tolist() == [3, 3] and out.sharding == here and out.committed


START = """
import anima
from anima import distributed
def refused(error, says, *args, **kwargs):
    try:
        distributed.initialize(*args, **kwargs)
    except error as e:
        assert says in str(e), e
    else:
        raise AssertionError("it was taken")
assert not distributed.is_initialized()
distributed.shutdown()
for given in ((), ("localhost:1",), ("localhost:1", 1)):
    refused(ValueError, "missing", *given)
refused(ValueError, "[0, num_processes)", "localhost:1", 1, 1)
refused(ValueError, "one process", "localhost:1", 2, 0)
distributed.initialize("localhost:1", num_processes=1, process_id=0, local_device_ids=[0, 2])
assert distributed.is_initialized() and anima.config.values["jax_cuda_visible_devices"] == "0,2"
refused(RuntimeError, "before", "localhost:1", 1, 0)
assert (anima.process_count(), anima.process_index()) == (1, 0)
distributed.shutdown()
assert not distributed.is_initialized()
refused(RuntimeError, "before a device is used", "localhost:1", 1, 0)
"""


@pytest.mark.cpu
def test_starting_a_program_of_one_process(run_python: Any) -> None:
    run_python(START)


def test_the_current_mesh_under_its_old_name() -> None:
    from anima.interpreters.pxla import thread_resources

    mesh = anima.make_mesh((1,), ("x",))
    assert thread_resources.env.physical_mesh.empty
    with anima.set_mesh(mesh):
        assert thread_resources.env.physical_mesh is mesh
    with mesh:
        assert thread_resources.env.physical_mesh is mesh
    assert thread_resources.env.physical_mesh.empty


def test_versions() -> None:
    from anima import version

    assert anima.__version_info__ == version.__version_info__ >= (0, 10)
    assert anima.__version__ == version.__version__

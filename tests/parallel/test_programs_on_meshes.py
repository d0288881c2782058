"""Programs that run on a mesh because of what is inside of them or what the current mesh says, not of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import NamedSharding, P, grad, jit, lax, vmap
from anima.errors import ShardingError
from tests.parallel.several import Checks

checks = Checks(__name__)
HOST = onp.arange(8, dtype=onp.float32)


def split() -> NamedSharding:
    return NamedSharding(anima.make_mesh((4,), ("x",)), P("x"))


def is_split(x: Any, expected: Any) -> None:
    """One dimension, the last, is over the four devices, and the values are as expected."""
    onp.testing.assert_allclose(onp.asarray(x), expected)
    sharding = NamedSharding(split().mesh, P(*[None] * (x.ndim - 1), "x"))
    assert x.sharding.is_equivalent_to(sharding, x.ndim), x.sharding
    assert x.addressable_shards[0].data.shape[-1] == x.shape[-1] // 4


@checks
def a_constraint_moves_a_program_to_its_mesh() -> None:
    s = split()
    constrained = lambda x: lax.with_sharding_constraint(x, s)
    is_split(jit(constrained)(HOST), HOST)
    is_split(jit(lambda: constrained(np.arange(8.0)) * 2)(), HOST * 2)
    is_split(jit(lambda x: constrained(x + 1))(np.asarray(HOST)), HOST + 1)
    is_split(jit(grad(lambda x: (constrained(x) ** 2).sum()))(HOST), 2 * HOST)
    is_split(
        jit(lambda x: lax.scan(lambda c, _: (constrained(c + 1), None), x, None, length=3)[0])(HOST), HOST + 3
    )
    is_split(jit(lambda x: lax.cond(x[1] > 0, constrained, lambda x: -x, x))(HOST), HOST)
    is_split(jit(vmap(constrained))(onp.stack([HOST, -HOST])), [HOST, -HOST])
    is_split(jit(constrained).lower(HOST).compile()(HOST), HOST)
    is_split(jit(lambda x: anima.device_put(x, s))(HOST), HOST)
    is_split(jit(anima.checkpoint(lambda x: constrained(x) * 2))(HOST), HOST * 2)


@checks
def jitted_functions_inside_keep_their_shardings() -> None:
    s = split()
    is_split(jit(lambda x: jit(lambda y: y + 1, out_shardings=s)(x))(HOST), HOST + 1)
    is_split(jit(lambda x: jit(lambda y: y + 1, in_shardings=s)(x))(HOST), HOST + 1)
    inner = jit(lambda x, y: {"a": x + y, "b": y}, in_shardings=(s, None), out_shardings={"a": s, "b": None})
    is_split(jit(lambda x: inner(x, x + 1))(HOST)["a"], 2 * HOST + 1)
    is_split(vmap(inner)(onp.stack([HOST, HOST]), onp.stack([HOST, HOST]))["a"], [2 * HOST] * 2)
    is_split(grad(lambda x: (inner(x, x)["a"] ** 2).sum())(HOST), 8 * HOST)
    # by name as well as by position: those have no sharding of their own
    is_split(
        jit(lambda x: jit(lambda y, *, z: y * z, in_shardings=s, out_shardings=s)(x, z=x))(HOST), HOST**2
    )


@checks
def a_spec_stands_for_a_sharding_over_the_current_mesh() -> None:
    mesh = split().mesh
    twice = jit(lambda x: x * 2, in_shardings=P("x"), out_shardings=P("x"))
    both = jit(lambda x, y: (x + y, y), in_shardings=(P("x"), None), out_shardings=(P(), P("x")))
    with anima.set_mesh(mesh):
        is_split(twice(HOST), HOST * 2)
        total, kept = both(HOST, HOST)
        assert total.sharding.is_fully_replicated and len(total.devices()) == 4
        is_split(kept, HOST)
        is_split(anima.device_put(HOST, P("x")), HOST)
        tree = anima.device_put({"a": HOST, "b": HOST}, {"a": P("x"), "b": P()})
        is_split(tree["a"], HOST)
        assert tree["b"].sharding.is_fully_replicated
        assert twice.lower(HOST).compile().input_shardings[0][0].spec == P("x")
        is_split(jit(lambda x: twice(x) + 1)(HOST), HOST * 2 + 1)
    for use, error in (
        (lambda: twice(HOST), RuntimeError),
        (lambda: anima.device_put(HOST, P("x")), ValueError),
    ):
        with pytest.raises(error, match="needs a mesh"):
            use()
    other = anima.make_mesh((2,), ("x",), devices=anima.devices()[:2])
    with anima.set_mesh(other):
        assert len(twice(HOST).devices()) == 2


@checks
def devices_that_do_not_fit_are_refused() -> None:
    s = split()
    constrained = jit(lambda x: lax.with_sharding_constraint(x, s))
    for device in anima.devices():
        with pytest.raises(ShardingError, match="committed"):
            constrained(anima.device_put(HOST, device))
    half = NamedSharding(anima.make_mesh((2,), ("x",), devices=anima.devices()[:2]), P("x"))
    with pytest.raises(ShardingError, match="one set of devices"):
        jit(lambda x: lax.with_sharding_constraint(x, s) + lax.with_sharding_constraint(x, half))(HOST)
    with pytest.raises(ShardingError, match="committed"):
        jit(lambda x: lax.with_sharding_constraint(x, half))(anima.device_put(HOST, s))


@checks
def a_constraint_to_one_device_is_none_on_several() -> None:
    here = anima.sharding.SingleDeviceSharding(anima.devices()[1])
    x = anima.device_put(HOST, split())
    is_split(jit(lambda x: lax.with_sharding_constraint(x, here) * 2)(x), HOST * 2)


test_on_four_devices = checks.test()

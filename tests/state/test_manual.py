"""References made in a `shard_map`: each device has its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as jnp
from anima import P, lax
from anima.errors import RefError

XS = np.arange(4, dtype=np.float32)


def over_devices(f: Any) -> Any:
    mesh = anima.make_mesh((1,), ("i",))
    return anima.shard_map(f, mesh=mesh, in_specs=P("i"), out_specs=P("i"))


@pytest.mark.parametrize("wrap", [lambda f: f, anima.jit], ids=["eager", "jit"])
def test_references_of_each_device(wrap: Any) -> None:
    def f(x: Any) -> Any:
        ref = anima.new_ref(jnp.zeros_like(x))
        ref[...] = x * 2
        lax.fori_loop(0, 3, lambda i, c: (ref.addupdate(x), c)[1], 0)
        lax.cond(x[0] > 5, lambda: None, lambda: ref.addupdate(1.0))
        anima.jit(lambda: ref.addupdate(x[1], 0))()
        return ref[...]

    want = XS * 5 + 1
    want[0] += XS[1]
    np.testing.assert_array_equal(wrap(over_devices(f))(XS), want)


def test_a_loop_starts_from_what_differs_between_devices() -> None:
    def f(x: Any, start: Any) -> Any:
        ref = anima.new_ref(jnp.zeros(()))
        ref[...] = start(ref[...])
        lax.fori_loop(0, 3, lambda i, c: (ref.addupdate(x.sum()), c)[1], 0)
        return ref[...][None]

    with pytest.raises(RefError, match="pcast"):
        over_devices(lambda x: f(x, lambda v: v))(XS)
    got = over_devices(lambda x: f(x, lambda v: lax.pcast(v, ("i",), to="varying")))(XS)
    np.testing.assert_array_equal(got, [18])


def test_references_from_outside_are_refused() -> None:
    ref = anima.new_ref(XS)
    with pytest.raises(RefError, match="takes none"):
        over_devices(lambda x: x + ref[...])(XS)
    with pytest.raises(RefError, match="shard_map does not take"):
        over_devices(lambda r: r[...])(ref)

"""The rows of `docs/differences.md` about `shard_map`: each check runs both libraries, in processes with four devices."""

from __future__ import annotations

from collections.abc import Callable

SHARD_MAPS = """
import numpy as np
import {0} as lib
from {0} import lax
P = lib.sharding.PartitionSpec
mesh = lib.sharding.Mesh(np.array(lib.devices()).reshape(2, 2), ("x", "y"))
def over(f, i, o, **options):
    return lib.shard_map(f, mesh=mesh, in_specs=i, out_specs=o, **options)
def kind(run):
    try:
        return np.asarray(run()).tolist()
    except Exception as error:
        return type(error).__name__
x = np.arange(4, dtype=np.float32)
"""


def printed(run_python, lib: str, program: str) -> str:
    env = {"JAX_NUM_CPU_DEVICES": "4"}
    return run_python(SHARD_MAPS.format(lib) + program, env=env).stdout.strip()


def shard_map_types(run_python, tmp_path) -> None:
    program = """
print(kind(lambda: over(lambda x: lax.scan(lambda c, r: (c + r, None), np.float32(0), x)[0][None], P("x"), P("x"))(x)))
step = lambda x: lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1] + x), (0, np.zeros(2, np.float32)))[1]
print(kind(lambda: over(step, P("x"), P("x"))(x)))
print(kind(lambda: over(lambda x: lax.psum(x, "x", axis_index_groups=[[0], [1]]), P("x"), P("x"))(x)))
print(kind(lambda: lib.grad(lambda x: over(lambda x: lax.pmax(x, "x"), P("x"), P())(x).sum())(x)))
"""
    assert printed(run_python, "jax", program).split() == [
        "TypeError", "TypeError", "NotImplementedError", "NotImplementedError",
    ]  # fmt: skip
    assert printed(run_python, "anima", program).splitlines() == [
        "[1.0, 5.0]", "[0.0, 2.0, 4.0, 6.0]", "[0.0, 1.0, 2.0, 3.0]", "[0.0, 0.0, 1.0, 1.0]",
    ]  # fmt: skip


def shard_map_calls(run_python, tmp_path) -> None:
    program = """
f = over(lambda x: (print("called"), x)[1], P("x"), P("x"))
f(x)
f(x)
"""
    assert printed(run_python, "jax", program).split() == ["called", "called"]
    assert printed(run_python, "anima", program).split() == ["called"]


def shard_map_axes(run_python, tmp_path) -> None:
    program = """
f = lib.jit(over(lambda x: (x @ x.T) @ x, P("x"), P("x"), axis_names={{"x"}}))
big = lib.device_put(np.ones((8, 64), np.float32), lib.sharding.NamedSharding(mesh, P("x", "y")))
print("f32[4,32]" in f.lower(big).compile().as_text(), np.asarray(f(big)).sum())
""".replace("{{", "{").replace("}}", "}")
    assert printed(run_python, "jax", program).split() == ["True", str(float(8 * 64 * 64 * 4))]
    assert printed(run_python, "anima", program).split()[1] == str(float(8 * 64 * 64 * 4))


def committed_arguments(run_python, tmp_path) -> None:
    program = """
put = lambda *axes: lib.device_put(x, lib.NamedSharding(mesh, P(*axes)))
program = lib.jit(lambda x: 2 * x, in_shardings=lib.NamedSharding(mesh, P("x")))
for given in (put("x"), put("y"), lib.device_put(x, lib.devices()[3])):
    print(kind(lambda: program(given)))
"""
    doubled = str([0.0, 2.0, 4.0, 6.0])
    assert printed(run_python, "jax", program).splitlines() == [doubled, "ValueError", "ValueError"]
    assert printed(run_python, "anima", program).splitlines() == [doubled] * 3


SHARD_MAP_CHECKS: dict[str, Callable[..., None]] = {
    "committed-arguments": committed_arguments,
    "shard-map-types": shard_map_types,
    "shard-map-calls": shard_map_calls,
    "shard-map-axes": shard_map_axes,
}

"""`debug.visualize_sharding` and `visualize_array_sharding`."""

from __future__ import annotations

from typing import Any

import pytest

import anima
import anima.numpy as np
from anima.debug import visualize_array_sharding, visualize_sharding
from anima.sharding import SingleDeviceSharding

PROGRAM = """
import anima, sys
from anima.sharding import NamedSharding, PartitionSpec as P
mesh = anima.make_mesh((2, 2), ("a", "b"))
for shape, spec in [((4, 4), P("b", "a")), ((4, 4), P(None, "a")), ((8,), P("a")), ((4, 64), P(("a", "b")))]:
    anima.debug.visualize_sharding(shape, NamedSharding(mesh, spec), scale=0.3, max_width=40)
x = anima.device_put(anima.numpy.ones((2, 2)), NamedSharding(mesh, P()))
anima.debug.visualize_array_sharding(x, scale=0.1)
sys.stdout.isatty = lambda: True
anima.debug.visualize_sharding((4,), NamedSharding(mesh, P("a")), max_width=10)
anima.debug.visualize_sharding((4,), NamedSharding(mesh, P("a")), max_width=10, color_map=lambda f: (f, 1.0, 0.0))
anima.debug.visualize_sharding((4,), NamedSharding(mesh, P("a")), max_width=10, color_map=lambda f: "#000102")
anima.debug.visualize_sharding((4,), NamedSharding(mesh, P("a")), max_width=10, use_color=False)
"""

EXPECTED = """\
+-------+-------+
| CPU 0 | CPU 2 |
+-------+-------+
| CPU 1 | CPU 3 |
+-------+-------+
+---------+---------+
|         |         |
| CPU 0,1 | CPU 2,3 |
|         |         |
+---------+---------+
+------------------+------------------+
|     CPU 0,1      |     CPU 2,3      |
+------------------+------------------+
+------------------------------+
|            CPU 0             |
+------------------------------+
|            CPU 1             |
+------------------------------+
|            CPU 2             |
+------------------------------+
|            CPU 3             |
+------------------------------+
+-------------+
| CPU 0,1,2,3 |
+-------------+
"""
EDGE = "+---------+---------+\n"


def colored(first: str, second: str) -> str:
    cells = [f"\x1b[{code}m {name} \x1b[0m|" for code, name in ((first, "CPU 0,1"), (second, "CPU 2,3"))]
    return f"{EDGE}|{''.join(cells)}\n{EDGE}"


def test_pictures(run_python: Any) -> None:
    done = run_python(PROGRAM, env={"XLA_FLAGS": "--xla_force_host_platform_device_count=4"})
    assert done.stdout == (
        EXPECTED
        + colored("30;48;5;117", "30;48;5;157")
        + colored("97;48;2;0;255;0", "30;48;2;158;255;0")
        + colored("97;48;2;0;1;2", "97;48;2;0;1;2")
        + f"{EDGE}| CPU 0,1 | CPU 2,3 |\n{EDGE}"
    )


def test_what_cannot_be_drawn() -> None:
    one = SingleDeviceSharding(anima.devices()[0])
    for shape in ((), (1, 2, 3)):
        with pytest.raises(ValueError, match="draws arrays of one or two dimensions"):
            visualize_sharding(shape, one)
    with pytest.raises(TypeError, match="sharding must be a Sharding, got 3"):
        visualize_sharding((2,), 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="visualize_array_sharding draws arrays, got int"):
        visualize_array_sharding(3)
    with pytest.raises(
        TypeError, match="where a value of a traced program lies is known when it is compiled"
    ):
        anima.jit(lambda x: visualize_array_sharding(x))(np.ones(3))

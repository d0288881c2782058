"""64-bit mode: off by default, where a request for 64 bits gives 32 and says so; on by every way, at any time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import config, enable_x64, jit, lax, random

KEY = random.PRNGKey(0)
WIDE = onp.float64
REQUESTS: dict[str, Callable[[Any], Any]] = {
    "uniform": lambda d: random.uniform(KEY, (5,), dtype=d),
    "normal": lambda d: random.normal(KEY, (5,), d),
    "zeros": lambda d: np.zeros(3, d),
    "ones": lambda d: np.ones(3, dtype=d),
    "full": lambda d: np.full(3, 1.0, d),
    "zeros_like": lambda d: np.zeros_like(np.ones(2), dtype=d),
    "array": lambda d: np.array([1.0], dtype=d),
    "asarray": lambda d: np.asarray([1, 2], dtype=d),
    "arange": lambda d: np.arange(3, dtype=d),
    "linspace": lambda d: np.linspace(0, 1, 3, dtype=d),
    "eye": lambda d: np.eye(2, dtype=d),
    "astype": lambda d: np.ones(3).astype(d),
    "sum": lambda d: np.sum(np.ones(3), dtype=d),
    "mean": lambda d: np.mean(np.ones(3), dtype=d),
    "cumsum": lambda d: np.cumsum(np.ones(3), dtype=d),
    "einsum": lambda d: np.einsum("i,i", np.ones(3), np.ones(3), preferred_element_type=d),
    "convert_element_type": lambda d: lax.convert_element_type(1, d),
    "zeros in jit": lambda d: jit(lambda: np.zeros(3, d))(),
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("spelling", [onp.float64, "float64", np.float64, onp.dtype("float64")], ids=repr)
def test_requests(name: str, spelling: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = REQUESTS[name](spelling)
    assert out.dtype == onp.float32
    assert len(caught) == 1 and caught[0].filename == __file__, [str(w.message) for w in caught]
    message = str(caught[0].message)
    assert message.startswith(f"Explicitly requested dtype float64 in {name.split()[0]} is not available")
    assert "truncated to dtype float32" in message and "jax_enable_x64" in message
    with enable_x64(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert REQUESTS[name](spelling).dtype == onp.float64


def test_a_line_says_so_once(run_python: Callable[..., Any]) -> None:
    program = """
import warnings
warnings.resetwarnings()
warnings.simplefilter("default")
import numpy as onp
import anima.numpy as np
from anima import random
for _ in range(5):
    x = random.uniform(random.PRNGKey(0), (1000,), dtype=onp.float64)
print(x.dtype, np.asarray(onp.ones(2)).dtype, np.zeros(2, float).dtype)
"""
    done = run_python(program)
    assert done.stdout == "float32 float32 float32\n"
    assert done.stderr.count("Explicitly requested dtype float64 in uniform") == 1, done.stderr


DOCUMENT = """
{before}
import anima as jax
{after}
from anima import numpy as np, random
x = random.uniform(random.PRNGKey(0), (1000,), dtype=np.float64)
print(x.dtype, np.arange(3).dtype, np.array(1.5).dtype)
"""
WAYS: dict[str, tuple[str, str, list[str], dict[str, str]]] = {
    "environment": ("", "", [], {"JAX_ENABLE_X64": "True"}),
    "own environment": ("", "", [], {"ANIMA_ENABLE_X64": "1"}),
    "set by the program": ("import os; os.environ['JAX_ENABLE_X64'] = 'True'", "", [], {}),
    "update": ("", "from anima.config import config; config.update('jax_enable_x64', True)", [], {}),
    "attribute": ("", "jax.config.update('jax_enable_x64', True)", [], {}),
    "flags": ("", "jax.config.parse_flags_with_absl()", ["--jax_enable_x64=1"], {}),
    "flag without a value": ("", "jax.config.parse_flags_with_absl()", ["--jax_enable_x64"], {}),
    "late": ("", "jax.numpy.ones(3) + 1; jax.config.update('jax_enable_x64', True)", [], {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways(run_python: Callable[..., Any], way: str) -> None:
    before, after, arguments, env = WAYS[way]
    done = run_python(DOCUMENT.format(before=before, after=after), *arguments, env=env)
    assert done.stdout == "float64 int64 float64\n"


def test_at_any_time() -> None:
    f = jit(lambda x: x / 3)
    third = lambda: f(np.asarray(onp.float64(1)))
    single = third()
    config.update("jax_enable_x64", True)
    try:
        double = third()
        assert double.dtype == onp.float64 and float(double) == 1 / 3
        assert (single + double).dtype == onp.float64
    finally:
        config.update("jax_enable_x64", False)
    assert third().dtype == single.dtype == onp.float32
    assert float(single) == float(onp.float32(1) / onp.float32(3))
    assert double.dtype == onp.float64 and (double * 2).dtype == onp.float64  # an array keeps its dtype


def test_by_block() -> None:
    def error_of_the_sum() -> float:
        x = np.linspace(0.0, 1.0, 1001)
        return abs(float((x**2).sum()) - 333.8335)

    outside = error_of_the_sum()
    with enable_x64():
        inside = error_of_the_sum()
        with enable_x64(False):
            assert error_of_the_sum() == outside
        slope = anima.grad(lambda x: x**3)(0.1)
        assert slope.dtype == onp.float64 and float(slope) == pytest.approx(0.03, rel=1e-15)
    assert inside < 1e-12 < outside
    seen = []
    with enable_x64():
        thread = threading.Thread(target=lambda: seen.append(np.zeros(1).dtype))
        thread.start()
        thread.join()
    assert seen == [onp.float32]  # a block is the thread's that entered it


def test_convolutions_have_64_bits() -> None:
    """The document's caveat: not every backend has them. This one has."""
    rng = onp.random.default_rng(0)
    image, kernel = rng.normal(size=(1, 1, 6, 7)), rng.normal(size=(1, 1, 3, 3))
    want = onp.zeros((4, 5))
    for i in range(3):
        for j in range(3):
            want += image[0, 0, i : i + 4, j : j + 5] * kernel[0, 0, i, j]
    with enable_x64():
        out = lax.conv(image, kernel, (1, 1), "VALID")
    assert out.dtype == onp.float64
    onp.testing.assert_allclose(out[0, 0], want, rtol=1e-13)

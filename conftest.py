"""The environment that every test and docstring example runs in.

Invariant: no setting and no cache of the user reaches a test. The variables are set before anima is imported, and the
processes of pytest-xdist inherit them; they share one fresh executable cache, which is removed at the end.
"""

from __future__ import annotations

import os
import shutil
import tempfile

# Which machine to test on is for the caller to say; everything else is as a new user has it.
_KEPT = {"ANIMA_PLATFORMS", "ANIMA_PJRT_PLUGIN_PATH", "ANIMA_PJRT_INCLUDE"}
_cache: str | None = None


def _prepare() -> str:
    """Set the environment; the folder of the cache."""
    for name in list(os.environ):
        if name.startswith(("ANIMA_", "JAX_", "XLA_")) and name not in _KEPT:
            del os.environ[name]
    cache = tempfile.mkdtemp(prefix="anima-tests-")
    os.environ["ANIMA_COMPILATION_CACHE_DIR"] = cache
    os.environ["ANIMA_ENABLE_CHECKS"] = "1"  # every jaxpr that is made is validated
    if os.environ.get("ANIMA_PLATFORMS", "cpu") != "cpu":
        os.environ["ANIMA_DEFAULT_MATMUL_PRECISION"] = "highest"  # GPUs round operands to 10 bits otherwise
    os.environ["MPLBACKEND"] = "Agg"
    return cache


# Once, in the process that starts the others. It cannot wait for `pytest_configure`: the file beside the tests that pytest
# is given, which imports anima, is read before that is called.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = _prepare()


def pytest_unconfigure() -> None:
    """Remove the cache."""
    if _cache is not None:
        shutil.rmtree(_cache, ignore_errors=True)

"""The C functions of SciPy are found without importing the package around them, which stays whole."""

from __future__ import annotations

ALONE = """
import sys
import anima.numpy as np
solved = np.linalg.solve(2.0 * np.eye(3), np.ones((3, 1)))
print([name for name in sys.modules if name.startswith("scipy.linalg")], solved.ravel().tolist())
"""

THEN_SCIPY = """
import anima.numpy as np
np.linalg.cholesky(np.eye(3))
import numpy, scipy.linalg, scipy.optimize
import scipy.linalg.cython_blas
from scipy.linalg import cython_lapack
print(scipy.linalg.cython_blas.__name__, "dgesv" in cython_lapack.__pyx_capi__, scipy.linalg.cython_lapack is cython_lapack)
print(scipy.linalg.solve(2 * numpy.eye(2), numpy.ones(2)).tolist())
print(np.linalg.eigvalsh(np.eye(2)).tolist())
"""

SCIPY_FIRST = """
import scipy.linalg
import anima.numpy as np
print(np.linalg.solve(2.0 * np.eye(2), np.ones((2, 1))).ravel().tolist())
"""


def test_the_package_is_not_imported(run_python) -> None:
    assert run_python(ALONE).stdout.strip() == "[] [0.5, 0.5, 0.5]"


def test_the_package_can_be_imported_later(run_python) -> None:
    assert run_python(THEN_SCIPY).stdout.splitlines() == [
        "scipy.linalg.cython_blas True True",
        "[0.5, 0.5]",
        "[1.0, 1.0]",
    ]


def test_the_package_may_have_been_imported_before(run_python) -> None:
    assert run_python(SCIPY_FIRST).stdout.strip() == "[0.5, 0.5]"

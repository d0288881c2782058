"""Binding LAPACK: only functions of the stated signature, and only what kernels call."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from anima import _native

pytestmark = pytest.mark.cpu


@pytest.fixture
def exported() -> dict[str, object]:
    from scipy.linalg import cython_lapack

    return cython_lapack.__pyx_capi__


def test_scipy_exports_all_that_kernels_call(exported: dict[str, object]) -> None:
    from scipy.linalg import cython_blas

    names = _native.lapack_names()
    assert names == sorted(set(names)) and "dgeqp3" in names
    for name in names:
        _native.bind_lapack(name, exported.get(name, cython_blas.__pyx_capi__.get(name)))


def test_a_function_of_another_signature_is_refused(exported: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"'dgeqp3' has the signature 'void \(int \*, int \*, .*expected"):
        _native.bind_lapack("dgeqp3", exported["dgetrf"])
    with pytest.raises(ValueError, match=r"'sgeqp3' has the signature"):
        _native.bind_lapack("sgeqp3", exported["dgeqp3"])


def test_a_function_that_no_kernel_calls_is_refused(exported: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no kernel calls 'dlaswp2'"):
        _native.bind_lapack("dlaswp2", exported["dlaswp"])


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a capsule"):
        _native.bind_lapack("dgeqp3", 1)
    with pytest.raises(ValueError, match="holds no function"):
        _native.bind_lapack("dgeqp3", datetime.datetime_CAPI)


def test_import_does_not_load_scipy(run_python: Callable[..., Any]) -> None:
    code = "import sys, anima.numpy as np; np.ones(3) + 1; assert not any(m.startswith('scipy') for m in sys.modules)"
    run_python(code)

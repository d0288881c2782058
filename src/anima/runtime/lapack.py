"""Calls of kernels that use LAPACK, whose functions SciPy hands out as C pointers.

Invariant: such a kernel is named in a program only by `call_lapack`, which first gives the kernels their functions, so SciPy
is loaded by the first program with linear algebra and by no other.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES

from anima import _native, startup
from anima.core.aval import AbstractValue
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel


def call_lapack(
    ctx: Context,
    name: str,
    operands: Sequence[Value],
    results: Sequence[AbstractValue],
    attributes: Mapping[str, int | bool] | None = None,
) -> list[Value]:
    """Emit a call of a kernel in `native/linalg`; the arguments are those of `call_kernel`."""
    _bind_functions()
    work = max([math.prod(v.shape) * max(v.shape[-2:], default=1) for v in operands])
    return call_kernel(ctx, name, operands, results, attributes, work=work)


@functools.cache
def _bind_functions() -> None:
    """Give the kernels all functions that they call and SciPy has; a kernel that calls another raises when it runs."""
    with startup.blas_threads_sleep_soon():
        exported = {**_exported("cython_blas"), **_exported("cython_lapack")}
    for name in _native.lapack_names():
        if name in exported:
            _native.bind_lapack(name, exported[name])


def _exported(module: str) -> Mapping[str, object]:
    """The C functions of a module of `scipy.linalg`, by their names.

    The module is loaded by itself, for `scipy.linalg` would import NumPy's tests and compilers of Fortran, 0.1 s; nobody
    sees it loaded, and a later import of that package finds what it expects.
    """
    name = f"scipy.linalg.{module}"
    if "scipy.linalg" not in sys.modules:
        folder = os.path.join(importlib.import_module("scipy").__path__[0], "linalg")
        paths = [os.path.join(folder, module + suffix) for suffix in EXTENSION_SUFFIXES]
        for path in filter(os.path.exists, paths):
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None and spec.loader is not None
            found = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found)
            sys.modules.pop(name, None)
            return found.__pyx_capi__  # type: ignore[no-any-return]
    return importlib.import_module(name).__pyx_capi__  # type: ignore[no-any-return]

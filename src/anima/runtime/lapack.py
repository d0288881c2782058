"""Calls of kernels that use LAPACK, whose functions SciPy hands out as C pointers.

Invariant: such a kernel is named in a program only by `call_lapack`, which first gives the kernels their functions, so SciPy
is imported (0.1 s) by the first program with linear algebra and by no other.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence

from anima import _native
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
    return call_kernel(ctx, name, operands, results, attributes)


@functools.cache
def _bind_functions() -> None:
    """Give the kernels all functions that they call and SciPy has; a kernel that calls another raises when it runs."""
    exported = {}
    for module in ("cython_blas", "cython_lapack"):
        exported.update(importlib.import_module(f"scipy.linalg.{module}").__pyx_capi__)
    for name in _native.lapack_names():
        if name in exported:
            _native.bind_lapack(name, exported[name])

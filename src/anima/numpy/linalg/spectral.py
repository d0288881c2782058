"""Eigenvalues, singular values, and what follows from them.

Invariant: matrices are the last two dimensions of an array, whose other dimensions are a stack of them; integers are taken for
floats.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as onp

from anima import dtypes
from anima.lax import linalg as factors
from anima.lax.linalg.eigen import eigvalsh as hermitian_values
from anima.numpy import reductions
from anima.numpy.arithmetic import abs as np_abs
from anima.numpy.calls import function
from anima.numpy.creation import asarray, zeros
from anima.numpy.linear import matmul
from anima.numpy.promotion import array_like, inexact
from anima.numpy.selection import where
from anima.numpy.shapes import matrix_transpose
from anima.numpy.sorting import argsort
from anima.numpy.taking import take_along_axis
from anima.transforms.custom_jvp import custom_jvp


class EigResult(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """The factors and singular values of `U @ diag(S) @ Vh`."""

    U: Any
    S: Any
    Vh: Any

"""Determinants and their logarithms.

Invariant: values come from the pivots of LU or QR factors, derivatives from formulas of their own: that of the logarithm from a
solution of equations, that of the determinant from cofactors, so it also holds for singular matrices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anima import dtypes, lax
from anima.lax.linalg.householder import householder_product
from anima.lax.linalg.matrices import ct, diagonal, eye, matmul, mt, permuted_rows, with_rows
from anima.lax.linalg.qr import geqp3, geqrf
from anima.lax.linalg.solving import solve, transposed_lu
from anima.numpy import reductions
from anima.numpy.arithmetic import abs as np_abs, real
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.elementary import log
from anima.numpy.linalg.products import trace
from anima.numpy.linalg.solving import square
from anima.numpy.promotion import strong_inexact
from anima.numpy.ranges import arange
from anima.numpy.selection import where
from anima.transforms.custom_jvp import custom_jvp

# --- what factors say -------------------------------------------------------------------------


def _sign_of_exchanges(pivots: Any) -> Any:
    """1 or -1 for an even or odd number of exchanges."""
    odd = reductions.sum(pivots != arange(pivots.shape[-1], dtype=pivots.dtype), axis=-1) % 2
    return 1 - 2 * odd


def _sign_of_permutation(places: Any) -> Any:
    """1 or -1 for an even or odd number of pairs that are out of order."""
    n = places.shape[-1]
    before = arange(n)[:, None] < arange(n)
    out_of_order = (places[..., :, None] > places[..., None, :]) & before
    return 1 - 2 * (reductions.sum(out_of_order, axis=(-2, -1)) % 2)


def _of_reflectors(taus: Any) -> Any:
    """The determinant of a product of reflectors: `-tau / conj(tau)` for each that does anything."""
    idle = taus == 0
    safe = where(idle, 1, taus)
    return reductions.prod(where(idle, 1, -safe / safe.conj()), axis=-1)


def _sign_and_log(numbers: Any, sign: Any) -> tuple[Any, Any]:
    """Sign and logarithm of the magnitude of `sign` times the product of the last dimension's numbers."""
    sizes = np_abs(numbers)
    if dtypes.is_complex(numbers.dtype):
        zero = sizes == 0
        sign = sign * reductions.prod(where(zero, 1, numbers / where(zero, 1, sizes)), axis=-1)
    else:
        negative = reductions.sum(numbers < 0, axis=-1) % 2
        sign = sign * (1 - 2 * negative)
    sign = where(reductions.any(sizes == 0, axis=-1), 0, sign.astype(numbers.dtype))
    return sign, reductions.sum(log(sizes), axis=-1)


# --- slogdet ----------------------------------------------------------------------------------


class SlogdetResult(NamedTuple):
    """The sign of a determinant, of magnitude 1 or zero, and the logarithm of its magnitude."""

    sign: Any
    logabsdet: Any


def _from_lu(factors: Any, pivots: Any) -> tuple[Any, Any]:
    return _sign_and_log(diagonal(factors), _sign_of_exchanges(pivots))


@custom_jvp
def _by_lu(a: Any) -> tuple[Any, Any]:
    return _from_lu(*transposed_lu(a))


@custom_jvp
def _by_qr(a: Any) -> tuple[Any, Any]:
    packed, taus = geqrf(a)
    return _sign_and_log(diagonal(packed), _of_reflectors(taus))


def _slopes(sign: Any, change: Any) -> tuple[Any, Any]:
    """The changes of sign and logarithm, from that of the complex logarithm of the determinant."""
    if not dtypes.is_complex(change.dtype):
        return sign * 0, change
    return (change - real(change)) * sign, real(change)


@_by_lu.defjvp
def _by_lu_jvp(primals: Any, tangents: Any) -> Any:
    (a,), (change,) = primals, tangents
    factors, pivots = transposed_lu(a)
    # The factors are constants for derivatives, which the sign of a complex determinant has.
    out = _by_lu(a) if dtypes.is_complex(a.dtype) else _from_lu(factors, pivots)
    return out, _slopes(out[0], trace(solve(a, change, (factors, pivots))))


@_by_qr.defjvp
def _by_qr_jvp(primals: Any, tangents: Any) -> Any:
    out = _by_qr(*primals)
    return out, _slopes(out[0], trace(solve(primals[0], tangents[0])))


@function(static=("method",), name="slogdet")
def _slogdet(a: Any, method: str | None) -> Any:
    a = asarray(strong_inexact("slogdet", a))
    square("slogdet", "a", a.aval)
    return (_by_qr if method == "qr" else _by_lu)(a)


def slogdet(a: Any, *, method: str | None = None) -> SlogdetResult:
    """The sign of the determinant of square matrices, and the logarithm of its magnitude, which neither over- nor underflows.

    Args:
      a: square matrices.
      method: "lu" (the default) or "qr": the factors to compute it from.
    Returns:
      A pair named `sign` and `logabsdet`: 0 and -inf for a singular matrix. The sign of a complex one has magnitude 1.
    Raises:
      ValueError: the matrices are not square, or there is no such method.

    >>> import anima.numpy as np
    >>> sign, logarithm = np.linalg.slogdet(np.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> print(sign, (sign * np.exp(logarithm)).round(3))
    -1.0 -6.0
    """
    if method not in (None, "lu", "qr"):
        raise ValueError(f"slogdet: method must be 'lu' or 'qr', got {method!r}")
    return SlogdetResult(*_slogdet(a, method))


# --- det --------------------------------------------------------------------------------------


def _by_formula(a: Any) -> Any:
    """The determinant of up to three rows, written out: its derivatives hold everywhere."""
    x = lambda i, j: a[..., i, j]
    n = a.shape[-1]
    if n == 0:
        return reductions.prod(a, axis=(-2, -1))
    if n == 1:
        return x(0, 0)
    if n == 2:
        return x(0, 0) * x(1, 1) - x(0, 1) * x(1, 0)
    minor = lambda i, j: x(1, i) * x(2, j) - x(1, j) * x(2, i)
    return x(0, 0) * minor(1, 2) - x(0, 1) * minor(0, 2) + x(0, 2) * minor(0, 1)


@custom_jvp
def _det(a: Any) -> Any:
    factors, pivots = transposed_lu(a)
    sign = _sign_of_exchanges(pivots).astype(a.dtype)
    return sign * reductions.prod(diagonal(factors), axis=-1)


@_det.defjvp
def _det_jvp(primals: Any, tangents: Any) -> Any:
    """The derivative is the trace of the product with the adjugate."""
    (a,), (change,) = primals, tangents
    return _det(a), reductions.sum(mt(_adjugate(a)) * change, axis=(-2, -1))


@custom_jvp
def _adjugate(a: Any) -> Any:
    """The transposes of the matrices of cofactors, also of singular matrices.

    From `a[:, places] == q r`, where only the last pivot is zero if the rank is less by one. With `r = [[r1, c], [0, s]]` its
    adjugate is `det(r1) [[s r1^-1, -r1^-1 c], [0, 1]]`; if the rank is less still, `det(r1)` is zero.
    """
    n = a.shape[-1]
    packed, places, taus = geqp3(lax.stop_gradient(a))
    adjoint = ct(householder_product(packed, taus))
    r1, c, s = packed[..., : n - 1, : n - 1], packed[..., : n - 1, n - 1 :], packed[..., n - 1 :, n - 1 :]
    pivots = diagonal(r1)
    size = reductions.prod(pivots, axis=-1) * _of_reflectors(taus) * _sign_of_permutation(places)
    regular = r1 + with_rows(eye(r1, n - 1, n - 1), (pivots == 0).astype(a.dtype))
    right = s * adjoint[..., : n - 1, :] - matmul(c, adjoint[..., n - 1 :, :])
    upper = lax.linalg.triangular_solve(regular, right, left_side=True)
    rows = lax.concatenate([upper, adjoint[..., n - 1 :, :]], a.ndim - 2)
    return size[..., None, None] * permuted_rows(rows, lax.sort_key_val(places, _counted(places))[1])


def _counted(places: Any) -> Any:
    return lax.broadcasted_iota("int32", places.shape, places.ndim - 1)


@_adjugate.defjvp
def _adjugate_jvp(primals: Any, tangents: Any) -> Any:
    """From `a adj(a) = det(a)`, so for regular matrices."""
    (a,), (change,) = primals, tangents
    adjugate = _adjugate(a)
    moved = matmul(adjugate, change)
    total = trace(moved)[..., None, None] * adjugate - matmul(moved, adjugate)
    return adjugate, total / _det(a)[..., None, None]


def determinant(name: str, a: Any) -> Any:
    """The determinants of square matrices, for the function `name`."""
    a = asarray(strong_inexact(name, a))
    square(name, "a", a.aval)
    return _by_formula(a) if a.shape[-1] <= 3 else _det(a)


@function
def det(a: Any) -> Any:
    """The determinant of square matrices.

    Raises:
      ValueError: the matrices are not square.

    Its derivative also holds for singular matrices, second derivatives for regular ones, or up to three rows.

    >>> import anima.numpy as np
    >>> print(np.linalg.det(np.array([[1.0, 2.0], [3.0, 4.0]])))
    -2.0
    """
    return determinant("det", a)

"""Square systems of equations, for derivatives that need them.

Invariant: matrices of one stack meet right-hand sides of the same stack.
"""

from __future__ import annotations

from typing import Any

from anima.lax.linalg.lu import lu
from anima.lax.linalg.matrices import permuted_rows
from anima.lax.linalg.triangular import triangular_solve


def solve_square(a: Any, b: Any) -> Any:
    """The solutions `x` of `a @ x == b`, by LU factors."""
    factors, _, permutation = lu(a)
    y = triangular_solve(
        factors, permuted_rows(b, permutation), left_side=True, lower=True, unit_diagonal=True
    )
    return triangular_solve(factors, y, left_side=True, lower=False)

"""Square systems of equations."""

from typing import Any

from anima.lax.arithmetic import div
from anima.lax.convert import convert_element_type
from anima.lax.create import full_like
from anima.lax.linalg.matrices import ct, matmul, with_columns
from anima.lax.linalg.singular import svd
from anima.lax.shape import dtype_of


def solve_square(a: Any, b: Any) -> Any:
    """The solutions `x` of `a @ x == b`."""
    u, s, vh = svd(a)
    inv = matmul(with_columns(ct(vh), convert_element_type(div(full_like(s, 1), s), dtype_of(a))), ct(u))
    return matmul(inv, b)

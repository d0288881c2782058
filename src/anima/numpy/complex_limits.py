"""What functions of complex numbers give where a part is infinite or NaN: the special cases of the array API standard.

Invariant: only results at such numbers are replaced, and by constants or parts of the operand, so derivatives elsewhere are
those of the operations. XLA's expansions of these functions, from which results come otherwise, work with products and
quotients that are NaN there. Signs of zeros are left as they come.
"""

from __future__ import annotations

import math
from typing import Any

from anima.lax import (
    abs as lax_abs,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    complex as lax_complex,
    eq,
    imag,
    is_finite,
    ne,
    neg,
    real,
    select,
)
from anima.lax.operands import constant, filled

_INF, _NAN = math.inf, math.nan

# Of each function: what the real and the imaginary part of an operand are, and what those of the result; "re" and "im"
# are the operand's own.
_Row = tuple[str, str, "float | str", "float | str"]
_LOGARITHM: list[_Row] = [("±inf", "nan", _INF, _NAN), ("nan", "±inf", _INF, _NAN)]
_LIMITS: dict[str, list[_Row]] = {
    "acos": [("0", "nan", math.pi / 2, _NAN)],
    "acosh": [("0", "nan", _NAN, math.pi / 2)],
    "asinh": [("nan", "0", _NAN, "im")],
    "atanh": [
        ("any", "nan", _NAN, _NAN), ("nan", "finite", _NAN, _NAN), ("0", "nan", "re", _NAN), ("±inf", "nan", 0.0, _NAN),
    ],
    "cosh": [("±inf", "unbounded", _INF, _NAN), ("0", "unbounded", _NAN, 0.0), ("nan", "0", _NAN, 0.0)],
    "exp": [("-inf", "unbounded", 0.0, 0.0), ("inf", "unbounded", _INF, _NAN)],
    "expm1": [("-inf", "unbounded", -1.0, 0.0), ("inf", "unbounded", _INF, _NAN)],
    "log": _LOGARITHM,
    "log1p": _LOGARITHM,
    "sinh": [("±inf", "unbounded", "re", _NAN), ("0", "unbounded", "re", _NAN)],
    "sqrt": [("nan", "±inf", _INF, "im"), ("-inf", "nan", _NAN, _INF), ("inf", "nan", _INF, _NAN)],
    "tanh": [("0", "unbounded", "re", _NAN)],
}  # fmt: skip

# sin(z) is -1j * sinh(1j * z), and so on; cos(z) is cosh(1j * z).
_TURNED = {"asin": "asinh", "atan": "atanh", "cos": "cosh", "sin": "sinh", "tan": "tanh"}


def _is(kind: str, part: Any) -> Any:
    """Where a part is of a kind."""
    if kind == "any":
        return filled(True, eq(part, part))
    if kind == "nan":
        return ne(part, part)
    if kind == "finite":
        return is_finite(part)
    if kind == "unbounded":
        return bitwise_not(is_finite(part))
    if kind == "±inf":
        return eq(lax_abs(part), constant(_INF, part))
    return eq(part, constant(float(kind), part))


def completed(name: str, z: Any, result: Any) -> Any:
    """The result of a function of complex numbers, right where a part of them is infinite or NaN, too."""
    if name in _TURNED:
        turned = lax_complex(neg(imag(z)), real(z))
        if name == "cos":
            return completed("cosh", turned, result)
        found = completed(_TURNED[name], turned, lax_complex(neg(imag(result)), real(result)))
        return lax_complex(imag(found), neg(real(found)))
    own = {"re": real(z), "im": imag(z)}
    parts = [real(result), imag(result)]
    for re, im, *wanted in _LIMITS[name]:
        where = bitwise_and(_is(re, own["re"]), _is(im, own["im"]))
        parts = [
            select(where, own[value] if isinstance(value, str) else filled(value, part), part)
            for value, part in zip(wanted, parts)
        ]
    return lax_complex(*parts)


def modulus(z: Any, result: Any) -> Any:
    """The absolute value of complex numbers: infinite where a part is, whatever the other is."""
    infinite = bitwise_or(_is("±inf", real(z)), _is("±inf", imag(z)))
    return select(infinite, filled(_INF, result), result)

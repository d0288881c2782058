"""The special cases of complex numbers in the array API standard 2024.12, in its words: what parts give what parts.

Invariant: a row stands for every pair of numbers that it names; "?" is a part, or a sign, that the standard leaves open.
"""

from __future__ import annotations

from math import inf, nan, pi

# What a row's parts stand for. Conjugates follow: f(conj(z)) is conj(f(z)).
MEANING: dict[str, tuple[float, ...]] = {
    "0": (0.0,),
    "-0": (-0.0,),
    "±0": (0.0, -0.0),
    "finite": (1.5, 0.0, -0.5),
    "nonzero": (1.5, -0.5),
    "positive": (0.5, 2.0),
    "inf": (inf,),
    "-inf": (-inf,),
    "±inf": (inf, -inf),
    "nan": (nan,),
    "any": (1.5, 0.0, inf, -inf, nan),
    "1": (1.0,),
    "-1": (-1.0,),
}

# (real part, imaginary part, real part of the result, its imaginary part); "cis" and "-cis" are multiples of cis(b).
Row = tuple[str, str, "float | str", "float | str"]

CASES: dict[str, list[Row]] = {
    "acos": [
        ("±0", "0", pi / 2, -0.0), ("±0", "nan", pi / 2, nan), ("finite", "inf", pi / 2, -inf), ("nonzero", "nan", nan, nan),
        ("-inf", "positive", pi, -inf), ("inf", "positive", 0.0, -inf), ("-inf", "inf", 3 * pi / 4, -inf),
        ("inf", "inf", pi / 4, -inf), ("±inf", "nan", nan, "±inf"), ("nan", "finite", nan, nan), ("nan", "inf", nan, -inf),
        ("nan", "nan", nan, nan),
    ],
    "acosh": [
        ("±0", "0", 0.0, pi / 2), ("finite", "inf", inf, pi / 2), ("nonzero", "nan", nan, nan), ("0", "nan", nan, "±pi/2"),
        ("-inf", "positive", inf, pi), ("inf", "positive", inf, 0.0), ("-inf", "inf", inf, 3 * pi / 4), ("inf", "inf", inf, pi / 4),
        ("±inf", "nan", inf, nan), ("nan", "finite", nan, nan), ("nan", "inf", inf, nan), ("nan", "nan", nan, nan),
    ],
    "asinh": [
        ("0", "0", 0.0, 0.0), ("positive", "inf", inf, pi / 2), ("finite", "nan", nan, nan), ("inf", "positive", inf, 0.0),
        ("inf", "inf", inf, pi / 4), ("nan", "0", nan, 0.0), ("nan", "nonzero", nan, nan), ("nan", "inf", "±inf", nan),
        ("nan", "nan", nan, nan),
    ],
    "atanh": [
        ("0", "0", 0.0, 0.0), ("0", "nan", 0.0, nan), ("1", "0", inf, 0.0), ("positive", "inf", 0.0, pi / 2),
        ("nonzero", "nan", nan, nan), ("inf", "positive", 0.0, pi / 2), ("inf", "inf", 0.0, pi / 2), ("inf", "nan", 0.0, nan),
        ("nan", "finite", nan, nan), ("nan", "inf", "±0", pi / 2), ("nan", "nan", nan, nan),
    ],
    "cosh": [
        ("0", "0", 1.0, 0.0), ("0", "inf", nan, "±0"), ("0", "nan", nan, "±0"), ("nonzero", "inf", nan, nan),
        ("nonzero", "nan", nan, nan), ("inf", "0", inf, 0.0), ("inf", "nonzero", "inf cis", "inf cis"), ("inf", "inf", "±inf", nan),
        ("inf", "nan", inf, nan), ("nan", "±0", nan, "±0"), ("nan", "nonzero", nan, nan), ("nan", "nan", nan, nan),
    ],
    "exp": [
        ("±0", "0", 1.0, 0.0), ("finite", "inf", nan, nan), ("finite", "nan", nan, nan), ("inf", "0", inf, 0.0),
        ("-inf", "finite", "0 cis", "0 cis"), ("inf", "nonzero", "inf cis", "inf cis"), ("-inf", "inf", "±0", "±0"),
        ("inf", "inf", "±inf", nan), ("-inf", "nan", "±0", "±0"), ("inf", "nan", "±inf", nan), ("nan", "0", nan, 0.0),
        ("nan", "nonzero", nan, nan), ("nan", "nan", nan, nan),
    ],
    "expm1": [
        ("±0", "0", "±0", 0.0), ("finite", "inf", nan, nan), ("finite", "nan", nan, nan), ("inf", "0", inf, 0.0),
        ("-inf", "finite", -1.0, "0 cis"), ("inf", "nonzero", "inf cis", "inf cis"), ("-inf", "inf", -1.0, "±0"),
        ("inf", "inf", "±inf", nan), ("-inf", "nan", -1.0, "±0"), ("inf", "nan", "±inf", nan), ("nan", "0", nan, 0.0),
        ("nan", "nonzero", nan, nan), ("nan", "nan", nan, nan),
    ],
    "log": [
        ("-0", "0", -inf, pi), ("0", "0", -inf, 0.0), ("finite", "inf", inf, pi / 2), ("finite", "nan", nan, nan),
        ("-inf", "positive", inf, pi), ("inf", "positive", inf, 0.0), ("-inf", "inf", inf, 3 * pi / 4), ("inf", "inf", inf, pi / 4),
        ("±inf", "nan", inf, nan), ("nan", "finite", nan, nan), ("nan", "inf", inf, nan), ("nan", "nan", nan, nan),
    ],
    "log1p": [
        ("-1", "0", -inf, 0.0), ("finite", "inf", inf, pi / 2), ("finite", "nan", nan, nan), ("-inf", "positive", inf, pi),
        ("inf", "positive", inf, 0.0), ("-inf", "inf", inf, 3 * pi / 4), ("inf", "inf", inf, pi / 4), ("±inf", "nan", inf, nan),
        ("nan", "finite", nan, nan), ("nan", "inf", inf, nan), ("nan", "nan", nan, nan),
    ],
    "sinh": [
        ("0", "0", 0.0, 0.0), ("0", "inf", "±0", nan), ("0", "nan", "±0", nan), ("positive", "inf", nan, nan),
        ("positive", "nan", nan, nan), ("inf", "0", inf, 0.0), ("inf", "positive", "inf cis", "inf cis"), ("inf", "inf", "±inf", nan),
        ("inf", "nan", "±inf", nan), ("nan", "0", nan, 0.0), ("nan", "nonzero", nan, nan), ("nan", "nan", nan, nan),
    ],
    # Of infinite real parts beside finite imaginary ones the text exchanges two rows; here is what it says of `sqrt` elsewhere:
    # the principal root, continuous from above the branch cut, as C99 has it.
    "sqrt": [
        ("±0", "0", 0.0, 0.0), ("any", "inf", inf, inf), ("finite", "nan", nan, nan), ("-inf", "positive", 0.0, inf),
        ("inf", "positive", inf, 0.0), ("-inf", "nan", nan, "±inf"), ("inf", "nan", inf, nan), ("nan", "finite", nan, nan),
        ("nan", "nan", nan, nan),
    ],
    "tanh": [
        ("0", "0", 0.0, 0.0), ("nonzero", "inf", nan, nan), ("0", "inf", 0.0, nan), ("nonzero", "nan", nan, nan),
        ("0", "nan", 0.0, nan), ("inf", "positive", 1.0, "±0"), ("inf", "inf", 1.0, "±0"), ("inf", "nan", 1.0, "±0"),
        ("nan", "0", nan, 0.0), ("nan", "nonzero", nan, nan), ("nan", "nan", nan, nan),
    ],
    "sign": [("±0", "±0", "±0", "±0"), ("nan", "any", nan, nan), ("any", "nan", nan, nan)],
}  # fmt: skip

# Functions that are others, turned: f(z) is -1j * g(z * 1j), or g(z * 1j).
TURNED = {"asin": "asinh", "atan": "atanh", "sin": "sinh", "tan": "tanh"}

"""Functions that choose: `if`, early returns, conditional expressions, logic, comparisons, `match`."""

# ruff: noqa: F841, SIM, PIE, RET, RUF015  (written as people write)

import anima.numpy as np


def piecewise(x):
    if x < 3:
        return 3.0 * x**2
    else:
        return -4 * x


def early_return(x):
    if x < 0:
        return 0.0
    return x * 2.0


def grades(score):
    if score >= 90:
        grade = 4
    elif score >= 80:
        grade = 3
    elif score >= 70:
        grade = 2
    else:
        grade = 0
    return grade


def nested(x, y):
    if x > 0:
        if y > 0:
            q = 1
        else:
            q = 4
    else:
        if y > 0:
            q = 2
        else:
            q = 3
    return q


def nested_returns(x, y):
    if x > 0:
        if y > 0:
            return x + y
        x = x * 10
    return x - y


def only_body(x):
    y = x
    if x > 10:
        y = y - 10
    return y


def clip(x, low, high):
    return low if x < low else high if x > high else x


def chain(x):
    if 0 < x < 3:
        return 1
    return 2


def logic(x, y):
    if (x > 0 and y > 0) or (x < -5 and not y > 3):
        return x
    return y


def membership(n):
    if n in (2, 3, 5, 7):
        return n * 10
    if n not in [1, 4]:
        return -n
    return n


def in_range(n):
    return 1 if n in range(0, 20, 5) else 0


def swap_if(x, y):
    if x > y:
        x, y = y, x
    return y - x


def fizzbuzz(n):
    if n % 15 == 0:
        return 15
    elif n % 3 == 0:
        return 3
    elif n % 5 == 0:
        return 5
    return 0


def matching(n):
    match n:
        case 0:
            r = 100
        case 1 | 2:
            r = 200
        case k if k > 10:
            r = 1
        case _:
            r = 300
    return r


def match_returns(n):
    match n:
        case 0:
            return 1.0
        case 1:
            return 2.5
    return 0.0


def array_branches(x):
    if x.sum() > 0:
        y = x * 2
    else:
        y = -x
    return y


def tuples(x):
    if x > 0:
        pair = (x, {"a": x + 1})
    else:
        pair = (-x, {"a": 0})
    return pair[0] * pair[1]["a"]


def static_flag(x, mode="double"):
    if mode == "double":
        x = x * 2
    if x > 4 and mode is not None:
        x = x - 1
    return x


def dead_string(x):
    if x > 0:
        label, sign = "positive", 1
    else:
        label, sign = "other", -1
    return sign * x


def defined_once(x):
    if x > 0:
        y = x
    z = x + 1
    if x > 0:
        z = z * 2
    return z


def minmax(x, y, z):
    return max(x, y, z) - min(x, y, z)


def absolute_sign(x):
    sign = 0
    if x > 0:
        sign = 1
    elif x < 0:
        sign = -1
    return sign, abs(x)


def promoted(x):
    if x > 0:
        r = 1
    else:
        r = x * 0.5
    return r


def any_all(x):
    if any(v > 3 for v in x):
        return 1
    if all(v > 0 for v in x):
        return 2
    return 3


def conversions(x):
    n = int(x)
    if bool(n):
        return float(n) / 2
    return 0.0


def with_block(x):
    import contextlib

    with contextlib.nullcontext(2) as k:
        if x > 0:
            return x * k
    return x


def leap(year):
    return (year % 4 == 0 and year % 100 != 0) or year % 400 == 0


def try_static(x):
    table = {"a": 2}
    try:
        k = table["b"]
    except KeyError:
        k = 3
    if x > k:
        return x - k
    return x


def deleted(x):
    t = x * 2
    if x > 0:
        x = t
    del t
    return x


def relu_grad_like(x):
    y = np.where(x > 0, x, 0.0)
    if y.max() > 2:
        y = y / y.max()
    return y


A = np.array
CASES = [
    (piecewise, [(2.0,), (4.0,)]),
    (early_return, [(-1.0,), (3.0,)]),
    (grades, [(95,), (85,), (75,), (10,)]),
    (nested, [(1, 1), (1, -1), (-1, 1), (-1, -1)]),
    (nested_returns, [(1.0, 2.0), (1.0, -2.0), (-1.0, 2.0)]),
    (only_body, [(3,), (13,)]),
    (clip, [(5.0, 0.0, 1.0), (-5.0, 0.0, 1.0), (0.5, 0.0, 1.0)]),
    (chain, [(1,), (0,), (5,)]),
    (logic, [(1, 1), (1, -1), (-6, 2), (-6, 5)]),
    (membership, [(3,), (4,), (9,)]),
    (in_range, [(10,), (11,), (20,), (-5,)]),
    (swap_if, [(1, 5), (5, 1)]),
    (fizzbuzz, [(15,), (9,), (10,), (7,)]),
    (matching, [(0,), (2,), (5,), (20,)]),
    (match_returns, [(0,), (1,), (7,)]),
    (array_branches, [(A([1.0, 2.0]),), (A([-1.0, -2.0]),)]),
    (tuples, [(2.0,), (-3.0,)]),
    (static_flag, [(1.0,), (5.0,)]),
    (dead_string, [(2,), (-2,)]),
    (defined_once, [(2,), (-2,)]),
    (minmax, [(1, 5, 3), (4, 2, 9)]),
    (absolute_sign, [(4,), (0,), (-4,)]),
    (promoted, [(1.0,), (-1.0,)]),
    (any_all, [(A([1, 2, 9]),), (A([1, 2, 3]),), (A([0, 1, 2]),)]),
    (conversions, [(3.7,), (0.2,), (-2.5,)]),
    (with_block, [(2.0,), (-2.0,)]),
    (leap, [(2000,), (1900,), (2024,), (2023,)]),
    (try_static, [(5,), (2,)]),
    (deleted, [(3,), (-3,)]),
    (relu_grad_like, [(A([1.0, 4.0]),), (A([-1.0, 1.0]),)]),
]

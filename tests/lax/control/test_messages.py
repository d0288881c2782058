"""Misuse of control flow: the messages name the argument or leaf, both types, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax

ROWS = np.arange(3.0)


def same(c: Any, x: Any) -> Any:
    return c, x


def generator(c: Any, x: Any) -> Any:
    yield c


CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # carries
    (
        lambda: lax.scan(lambda c, x: ({"x": c["x"].sum()}, x), {"x": np.zeros(3)}, ROWS),
        TypeError,
        r"output and input must have identical types; leaf \['x'\] of the carry is float32\[3\] but the body returns "
        r"float32\[\]\. Return an array of shape \(3,\), or start from init\['x'\] with shape \(\)",
    ),
    (
        lambda: lax.scan(lambda c, x: (c.astype(np.int32), x), np.zeros(3), ROWS),
        TypeError,
        r"the carry is float32\[3\] but the body returns int32\[3\]\. Convert the result with astype\('float32'\)",
    ),
    (
        lambda: lax.scan(lambda c, x: ({"y": c["x"]}, x), {"x": 0.0}, ROWS),
        TypeError,
        r"same pytree structure.*at init there is a dict with the keys \['x'\].*the keys \['y'\]",
    ),
    (
        lambda: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0], np.zeros(2)), (0, 1.0)),
        TypeError,
        r"while_loop: body_fun .*leaf \[1\] of the carry is float32\[\] but the body returns float32\[2\].*init_val\[1\]",
    ),
    (
        lambda: lax.while_loop(lambda x: x < 3, lambda x: (x, x), 0),
        TypeError,
        r"same pytree structure.*tuple of length 2",
    ),
    (
        lambda: lax.fori_loop(0, 3, lambda i, x: np.ones(2), 0.0),
        TypeError,
        r"fori_loop: body_fun .*float32\[2\]",
    ),
    (
        lambda: lax.scan(
            lambda c, x: ((c[0].astype(int), {"k": c[1]["k"][:1]}), x), (1.0, {"k": ROWS}), ROWS
        ),
        TypeError,
        r"identical types:\n  leaf \[0\] of the carry is float32\[\] but the body returns int32\[\]\. Convert .*\n"
        r"  leaf \[1\]\['k'\] of the carry is float32\[3\] but the body returns float32\[1\]\. Return an array of shape",
    ),
    (
        lambda: lax.scan(lambda c, x: ([v[:1] for v in c], x), [ROWS] * 12, ROWS),
        TypeError,
        r"leaf \[9\] of the carry .*\n  and 2 more$",
    ),
    (
        lambda: lax.scan(lambda c, x: ({"a": 1.0, "b": (1, 2)}, x), {"a": (1.0, 2), "b": 2.0}, ROWS),
        TypeError,
        r"at init\['a'\] there is a tuple of length 2, but .* there is a leaf.*; at init\['b'\] there is a leaf",
    ),
    # what scan loops over
    (lambda: lax.scan(lambda c, x: c, np.zeros(3), ROWS), TypeError, "must return a pair.*returns an array"),
    (lambda: lax.scan(lambda c, x: (c, x, x), 0.0, ROWS), TypeError, "must return a pair"),
    (
        lambda: lax.scan(same, 0.0, (ROWS, {"b": np.arange(4)})),
        ValueError,
        r"same number of rows, but xs\[0\] has 3, xs\[1\]\['b'\] has 4",
    ),
    (lambda: lax.scan(same, 0.0, {"k": 3.0}), ValueError, r"xs\['k'\] is a scalar"),
    (lambda: lax.scan(same, 0.0), ValueError, "length must be given"),
    (lambda: lax.scan(same, 0.0, ROWS, length=4), ValueError, "length is 4, but xs has 3 rows"),
    (lambda: lax.scan(same, 0.0, ROWS, length=3.5), TypeError, "length must be an integer"),
    (lambda: lax.scan(same, 0.0, length=-1), ValueError, "must not be negative"),
    (lambda: lax.scan(same, 0.0, ROWS, unroll=-1), ValueError, "unroll must not be negative"),
    (lambda: lax.scan(same, 0.0, ROWS, unroll=1.5), TypeError, "unroll must be a boolean or an integer"),
    (lambda: lax.scan(same, {"k": ["a"]}, ROWS), TypeError, r"init\['k'\]\[0\] has type str"),
    (lambda: lax.scan(generator, 0.0, ROWS), TypeError, "generator is a generator"),
    (lambda: lax.scan(3, 0.0, ROWS), TypeError, "f must be a function, got 3"),
    (lambda: lax.map(same, ROWS, batch_size=0), ValueError, "batch_size must be a positive integer"),
    # conditions and bounds
    (
        lambda: lax.while_loop(lambda x: np.array([True]), lambda x: x, 0),
        TypeError,
        r"boolean scalar.*bool\[1\]",
    ),
    (lambda: lax.while_loop(lambda x: x, lambda x: x, 0), TypeError, r"boolean scalar.*int32\[\]"),
    (lambda: lax.while_loop(lambda x: (x < 1,), lambda x: x, 0), TypeError, r"boolean scalar.*\(\*,\)"),
    (lambda: lax.while_loop(lambda x: None, lambda x: x, 0), TypeError, "boolean scalar.*None"),
    (lambda: lax.while_loop(1, lambda x: x, 0), TypeError, "cond_fun must be a function"),
    (
        lambda: lax.fori_loop(0, 1.5, lambda i, x: x, 0),
        TypeError,
        "upper must be an integer, got dtype float32",
    ),
    (
        lambda: lax.fori_loop(0, np.array([1]), lambda i, x: x, 0),
        TypeError,
        r"upper must be a scalar.*shape \(1,\)",
    ),
    (
        lambda: lax.fori_loop(np.int8(0), np.int32(3), lambda i, x: x, 0),
        TypeError,
        "equal dtypes, got int8 and int32",
    ),
    (
        lambda: lax.fori_loop(onp.int8(0), 500, lambda i, x: x, 0),
        OverflowError,
        "500, which does not fit into int8",
    ),
    (
        lambda: lax.fori_loop(onp.uint8(0), -1, lambda i, x: x, 0),
        OverflowError,
        "-1, which does not fit into uint8",
    ),
    (
        lambda: anima.jit(lambda n: lax.fori_loop(0, n, lambda i, x: x, 0, unroll=2))(3),
        ValueError,
        "unroll needs bounds that are known",
    ),
    # branches
    (
        lambda: lax.cond(np.array([True]), lambda: 1, lambda: 2),
        TypeError,
        r"pred must be a scalar.*shape \(1,\)",
    ),
    (lambda: lax.cond("a", lambda: 1, lambda: 2), TypeError, "pred must be a scalar, got 'a' of type str"),
    (lambda: lax.cond(1j, lambda: 1, lambda: 2), TypeError, "pred must be a boolean or a real number"),
    (lambda: lax.cond(True, 3.0, lambda: 2.0), TypeError, "true_fun must be a function, got 3.0"),
    (lambda: lax.cond(True, lambda x: x, lambda x: x, "a"), TypeError, r"operands\[0\] has type str"),
    (lambda: lax.cond(True, lambda x: x, lambda x: x, 1, operand=2), TypeError, "not both"),
    (
        lambda: lax.cond(True, lambda: {"a": 1.0}, lambda: {"a": np.zeros(3)}),
        TypeError,
        r"result\['a'\] of true_fun \(<lambda>\) is float32\[\], of false_fun \(<lambda>\) it is float32\[3\]",
    ),
    (
        lambda: lax.cond(True, lambda: 1, lambda: 2.0),
        TypeError,
        r"is int32\[\].*is float32\[\].*astype\('float32'\)",
    ),
    (lambda: lax.cond(True, lambda: (1, 2), lambda: [1, 2]), TypeError, "same pytree structure.*tuple.*list"),
    (
        lambda: lax.switch(1.5, [lambda: 1, lambda: 2]),
        TypeError,
        "index must be an integer, got dtype float32",
    ),
    (lambda: lax.switch(np.array([1]), [lambda: 1, lambda: 2]), TypeError, "index must be a scalar"),
    (lambda: lax.switch(0, [lambda: 1, 5]), TypeError, r"branches\[1\] must be a function"),
    (
        lambda: lax.switch(0, [lambda: 1, lambda: 2.0]),
        TypeError,
        r"branches\[0\] .*int32.*branches\[1\] .*float32",
    ),
    (
        lambda: lax.cond(True, lambda x: (x, {"a": x}), lambda x: (x.astype(int), {"a": x[0]}), ROWS),
        TypeError,
        r"identical types:\n  result\[0\] of true_fun .* is float32\[3\], of false_fun .* int32\[3\]\. Convert .*\n"
        r"  result\[1\]\['a'\] of true_fun .* is float32\[3\], of false_fun .* float32\[\]\. Broadcast",
    ),
    (
        lambda: lax.switch(0, [lambda x: x, lambda x: x.astype(int), lambda x: x, lambda x: x[0]], ROWS),
        TypeError,
        r"of branches\[0\] .*, of branches\[1\] .*\n.* of branches\[0\] .*, of branches\[3\] ",
    ),
    (lambda: lax.switch(0, lambda: 1), TypeError, "branches must be a sequence"),
    (lambda: lax.switch(0, []), ValueError, "branches is empty"),
    # associative_scan
    (
        lambda: lax.associative_scan(lambda a, b: a.sum(), ROWS),
        TypeError,
        r"elems of type float32\[1\] .*float32\[\]",
    ),
    (lambda: lax.associative_scan(lambda a, b: (a, b), ROWS), TypeError, "must return a pytree built as"),
    (
        lambda: lax.associative_scan(np.add, (ROWS, np.arange(4))),
        ValueError,
        r"elems\[0\] has 3, elems\[1\] has 4",
    ),
    (lambda: lax.associative_scan(np.add, ROWS, axis=1), ValueError, "axis 1 is out of"),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_message(number: int) -> None:
    call, error, pattern = CASES[number]
    with pytest.raises(error, match=pattern):
        call()

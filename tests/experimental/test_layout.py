"""Formats of arrays, formats that are asked for, and layouts of intermediate values."""

from __future__ import annotations

import re
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import grad, jit, vmap
from anima.experimental.layout import Format, Layout, with_layout_constraint
from anima.sharding import SingleDeviceSharding

X = onp.arange(6, dtype=onp.float32).reshape(2, 3)
COLUMNS = Layout((1, 0))


def here() -> SingleDeviceSharding:
    return SingleDeviceSharding(anima.devices()[0])


def test_values() -> None:
    assert Layout([1, 0], [[8, 128]]) == Layout((1, 0), ((8, 128),)) != Layout((1, 0))
    assert hash(Layout([1, 0])) == hash(COLUMNS) and repr(Layout.AUTO) == "AUTO"
    assert (
        repr(Format(None, None)) == "Format(layout=None, sharding=None)"
        and Format(COLUMNS, here()).layout is COLUMNS
    )
    with pytest.raises(ValueError, match="needs a sharding"):
        Format(COLUMNS)
    with pytest.raises(TypeError, match="layout must be"):
        Format(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sharding must be"):
        Format(None, 3)  # type: ignore[arg-type]


def test_the_format_of_an_array_is_accepted_wherever_one_is_asked_for() -> None:
    x = np.asarray(X)
    assert x.format == Format(Layout((0, 1), ()), here())
    for given in (
        x.format,
        Format(Layout((0, 1)), here()),
        Format(Layout.AUTO, here()),
        Format(None, here()),
    ):
        put = anima.device_put(X, given)
        assert put.committed and put.sharding == here() and put.tolist() == X.tolist()
        out = jit(lambda x: x.T * 2, in_shardings=given, out_shardings=given)(X)
        assert out.tolist() == (2 * X.T).tolist() and out.format == x.format
    for auto in (Format(Layout.AUTO), Format()):
        lowered = jit(lambda x: x.T @ x, in_shardings=(auto,), out_shardings=auto).lower(x)
        assert lowered.compile().input_formats[0][0].layout == x.format.layout
    keys = anima.random.split(anima.random.key(0), 3)
    assert (anima.device_put(keys, keys.format) == keys).all()


def test_an_order_that_arrays_never_have_is_refused() -> None:
    for use in (
        lambda f: anima.device_put(X, f),
        lambda f: jit(lambda x: x, in_shardings=f)(X),
        lambda f: jit(lambda x: x, out_shardings=f)(X),
    ):
        with pytest.raises(ValueError, match="last dimension contiguous"):
            use(Format(COLUMNS, here()))
        with pytest.raises(ValueError, match="is for 3 dimensions, the array has 2"):
            use(Format(Layout((0, 1, 2)), here()))


def orders(text: str) -> list[list[str]]:
    """The orders, fastest dimension first, that the constraints of a program ask for."""
    found = re.findall(r"LayoutConstraint.*?result_layouts = \[dense<\[([0-9, ]*)\]>", text)
    return [order.split(", ") for order in found]


def test_a_constraint_reaches_the_compiler_and_changes_no_number() -> None:
    f = lambda x: with_layout_constraint(onp.float32(2) * x, COLUMNS) + 1
    assert orders(jit(f).lower(X).as_text()) == [["0", "1"]]
    assert jit(f)(X).tolist() == f(X).tolist() == (2 * X + 1).tolist()
    assert onp.asarray(jit(f)(X)).flags.c_contiguous
    onp.testing.assert_array_equal(grad(lambda x: (f(x) ** 2).sum())(X), 4 * (2 * X + 1))
    back = jit(grad(lambda x: (f(x) ** 2).sum())).lower(X).as_text()
    assert orders(back) == [["0", "1"]] * 2  # the value and its cotangent
    stack = onp.stack([X, -X], axis=1)
    text = jit(vmap(f, in_axes=1, out_axes=1)).lower(stack).as_text()
    assert orders(text) == [["0", "2", "1"]]
    assert jit(vmap(f, in_axes=1, out_axes=1))(stack).tolist() == (2 * stack + 1).tolist()
    keys = anima.random.split(anima.random.key(0), 6).reshape(2, 3)
    assert (jit(lambda k: with_layout_constraint(k, COLUMNS))(keys) == keys).all()


@pytest.mark.parametrize(
    ("layouts", "error", "says"),
    [
        pytest.param(Layout((0,)), ValueError, "no order of the dimensions", id="rank"),
        pytest.param(Layout((0, 0)), ValueError, "no order of the dimensions", id="twice"),
        pytest.param(None, TypeError, "must be Layouts", id="none"),
        pytest.param(Format(), TypeError, "must be Layouts", id="format"),
    ],
)
def test_constraints_that_say_nothing(layouts: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        with_layout_constraint(X, layouts)

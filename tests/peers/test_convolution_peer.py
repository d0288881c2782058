"""Convolutions and reductions over windows compared with JAX's: values, dtypes, derivatives, mapped forms and refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima
from anima.dtypes.declared import BY_NAME

pytestmark = pytest.mark.peers

LIBRARIES = (anima, jax)
Call = Callable[..., Any]  # of a library's `lax` and arrays
PLANE, BACK = ("NHWC", "HWIO", "NHWC"), ("CHNW", "WOIH", "WNCH")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def conv(*params: Any, **named: Any) -> Call:
    return lambda lax, x, k: lax.conv_general_dilated(x, k, *params, **named)


X, K = numbers(2, 3, 6, 7), numbers(4, 3, 2, 3)
PAIRS = ((1, 2), (-1, 0))
# name: (call, operand, kernel)
CONVOLUTIONS: dict[str, tuple[Call, np.ndarray, np.ndarray]] = {
    **{f"padding {p}": (conv((1, 2), p), X, K) for p in ("SAME", "valid", "Same_Lower", PAIRS)},
    **{
        f"strides {s} dilations {ld} {rd}": (conv(s, PAIRS, ld, rd), X, K)
        for s, ld, rd in (
            ((2, 1), (1, 1), (1, 3)), ((1, 3), (2, 1), (1, 1)), ((2, 2), (2, 3), (2, 1)), ((3, 2), (1, 2), (2, 2)),
        )
    },
    "same dilated": (conv((2, 1), "SAME", None, (2, 1)), X, K),
    "channels last": (conv((1, 1), "SAME", dimension_numbers=PLANE), X.transpose(0, 2, 3, 1), K.transpose(2, 3, 1, 0)),
    "shuffled": (conv((2, 1), PAIRS, (1, 2), (2, 1), BACK), numbers(3, 5, 2, 6), numbers(2, 4, 3, 2)),
    "line": (conv((2,), "SAME"), X[0], numbers(4, 6, 3)),
    "point": (conv((), "VALID"), X[..., 0, 0], K[..., 0, 0]),
    "space": (conv((1, 2, 1), "SAME"), numbers(1, 2, 3, 4, 3), numbers(3, 2, 2, 1, 2)),
    "no window": (conv((1, 1), "VALID"), X[:, :, :2, :2], numbers(4, 3, 3, 2)),
    "no batch": (conv((1, 1), "SAME"), X[:0], K),
    "cut": (conv((1, 1), ((-2, -1), (-3, 0))), X, K),
    **{
        f"feature groups {g} {s}": (conv((1, s), PAIRS, (1, 2), (2, 1), None, g), numbers(2, 4, 5, 4), numbers(4, 4 // g, 2, 2))
        for g, s in ((2, 1), (4, 2))
    },
    "multiplied": (conv((1,), "SAME", feature_group_count=2), numbers(3, 2, 5), numbers(6, 1, 3)),
    **{
        f"batch groups {g}": (conv((2, 1), PAIRS, (1, 2), (2, 1), None, 1, g), numbers(4, 3, 5, 4), numbers(4, 3, 2, 2))
        for g in (2, 4)
    },
    "conv": (lambda lax, x, k: lax.conv(x, k, (2, 1), "SAME"), X, K),
    "general padding": (lambda lax, x, k: lax.conv_with_general_padding(x, k, (1, 1), ((2, 2), (2, 2)), (1, 1), (1, 1)), X, K),
    "precision": (conv((1, 1), "SAME", precision=("highest", "default")), X, K),
    **{
        f"transposed {p} {s} {d} {t} {c}": (
            lambda lax, x, k, p=p, s=s, d=d, t=t, c=c: lax.conv_transpose(
                x, k, (s,), p, (d,), transpose_kernel=t, use_consistent_padding=c
            ),
            numbers(2, 4, 3),
            numbers(3, 3, 3),
        )
        for p, s, d, t, c in (
            ("SAME", 2, 1, False, False), ("VALID", 3, 2, True, False), (((1, 2),), 2, 1, False, False),
            (((1, 0),), 2, 2, False, True),
        )
    },
    "transposed plane": (
        lambda lax, x, k: lax.conv_transpose(x, k, (2, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW")), X, K,
    ),
    "local": (
        lambda lax, x, k: lax.conv_general_dilated_local(x, k, (1, 2), "VALID", (2, 3), None, (1, 2), BACK),
        numbers(2, 6, 4, 7), numbers(6, 5, 12, 1),
    ),
}  # fmt: skip


def agree(ours: Any, theirs: Any) -> None:
    for a, b in zip(anima.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-4, atol=2e-4)


def every_form(lib: Any, call: Call, args: tuple[Any, ...], mapped: Any) -> Any:
    """The value, the gradients, and what `vmap` makes of the value and of the gradients, from one program."""

    def value(*xs: Any) -> Any:
        return call(lib.lax, *xs)

    def gradients(*xs: Any) -> Any:
        total = lambda *xs: lib.numpy.sum(lib.numpy.cos(value(*xs)))
        return lib.grad(total, tuple(range(len(xs))))(*xs)

    def run(*xs: Any) -> Any:
        pairs = [lib.numpy.stack([x, lib.numpy.cos(x)], axis=1) for x in xs]
        outs = [value(*xs), gradients(*xs)]
        for which in mapped:
            given = [pair if w else x for pair, x, w in zip(pairs, xs, which)]
            axes = [1 if w else None for w in which]
            outs += [lib.vmap(f, in_axes=axes)(*given) for f in (value, gradients)]
        return outs

    return lib.jit(run)(*args)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_agree(name: str) -> None:
    call, *args = CONVOLUTIONS[name]
    mapped = ((True, False), (False, True), (True, True))
    agree(*(every_form(lib, call, tuple(args), mapped) for lib in LIBRARIES))


@pytest.mark.parametrize(
    "name", ["batch groups 2", "feature groups 2 1", "shuffled", "strides (2, 2) dilations (2, 3) (2, 1)"]
)
def test_second_derivatives_agree(name: str) -> None:
    call, x, k = CONVOLUTIONS[name]

    def second(lib: Any) -> Any:
        total = lambda x, k: lib.numpy.sum(lib.numpy.sin(call(lib.lax, x, k)))
        inner = lambda x, k: sum(lib.numpy.sum(g**2) for g in lib.grad(total, (0, 1))(x, k))
        return lib.jit(lib.grad(inner, (0, 1)))(x, k)

    agree(*map(second, LIBRARIES))


PATCHES: list[tuple[Any, ...]] = [
    ((2, 3), (1, 2), "SAME"),
    ((2, 2), (2, 1), PAIRS, (1, 2), (2, 1)),
    ((3, 2), (1, 1), "VALID", None, (1, 2), ("NHCW", "WOIH", "CNWH")),
    ((5, 17), (1, 2), ((0, 1), (9, 9))),
    ((7, 8), (1, 1), "VALID"),
]


@pytest.mark.parametrize("params", PATCHES, ids=str)
def test_patches_agree(params: tuple[Any, ...]) -> None:
    call = lambda lax, x: lax.conv_general_dilated_patches(x, *params)
    agree(
        *(
            every_form(lib, call, (X.transpose(0, 2, 1, 3) if len(params) == 6 else X,), ((True,),))
            for lib in LIBRARIES
        )
    )


# --- windows ----------------------------------------------------------------------------------

LIES: dict[str, tuple[Any, ...]] = {
    "plain": ((2, 3),),
    "strides": ((2, 2), (2, 1), "SAME"),
    "lower": ((3, 2), (1, 2), "same_lower"),
    "pairs": ((3, 3), (2, 1), ((1, 1), (0, 2))),
    "holes": ((2, 2), (1, 2), ((1, 0), (1, 1)), (2, 1), (1, 1)),
    "dilated": ((2, 3), (2, 1), "VALID", (1, 1), (2, 2)),
    "cut": ((2, 2), (1, 1), ((-1, 0), (1, -2))),
    "long": ((1, 18), (1, 1), ((0, 0), (9, 9))),
}
POOLED = numbers(6, 7)
INITS: dict[str, float] = {"add": 0.0, "max": -np.inf, "min": np.inf}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("function", INITS)
def test_windows_agree(function: str, name: str) -> None:
    def call(lax: Any, x: Any) -> Any:
        return lax.reduce_window(x, INITS[function], getattr(lax, function), *LIES[name])

    if name in ("dilated", "cut") and function != "add":  # JAX has no derivatives there
        agree(*(call(lib.lax, POOLED) for lib in LIBRARIES))
    else:
        agree(*(every_form(lib, call, (POOLED,), ((True,),)) for lib in LIBRARIES))


WINDOWS_OF: dict[str, tuple[Any, Call]] = {
    "integers": (np.arange(42, dtype=np.int8).reshape(6, 7), lambda lax, x: lax.reduce_window(x, 0, lax.add, (2, 3))),
    "another start": (POOLED, lambda lax, x: lax.reduce_window(x, 1.5, lax.add, (2, 3), (1, 2), "SAME")),
    "a floor": (POOLED, lambda lax, x: lax.reduce_window(x, 0.5, lax.max, (2, 3), (1, 1), "SAME")),
    "products": (POOLED, lambda lax, x: lax.reduce_window(x, 1.0, lax.mul, (2, 3), (2, 1), "SAME", (1, 2), (2, 1))),
    "pairs": (
        POOLED,
        lambda lax, x: lax.reduce_window(
            (x, x + 1), (0.0, 1.0), lambda a, b: (a[0] + b[0], a[1] * b[1]), (2, 2), (1, 1), "VALID"
        ),
    ),
    "booleans": (POOLED > 0, lambda lax, x: lax.reduce_window(x, False, lax.bitwise_or, (2, 3))),
    "nothing": (POOLED[:0], lambda lax, x: lax.reduce_window(x, 0.0, lax.add, (2, 3), None, ((2, 1), (0, 0)))),
    "scalar": (np.float32(3), lambda lax, x: lax.reduce_window(x, 0.0, lax.add, ())),
    "start of another dtype": (POOLED, lambda lax, x: lax.reduce_window(x, np.int32(0), lax.add, (2, 3))),
    "nans": (np.where(POOLED > 1, np.nan, POOLED), lambda lax, x: lax.reduce_window(x, -np.inf, lax.max, (2, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", WINDOWS_OF)
def test_other_windows_agree(name: str) -> None:
    x, call = WINDOWS_OF[name]
    agree(*(call(lib.lax, x) for lib in LIBRARIES))
    if x.dtype == np.float32 and name != "nans":  # beside NaNs, JAX takes tangents from elsewhere

        def pushed(lib: Any) -> Any:
            return lib.jit(lambda x: lib.jvp(lambda x: call(lib.lax, x), (x,), (x,)))(x)

        agree(*map(pushed, LIBRARIES))


# --- dtypes, shapes and refusals --------------------------------------------------------------

TYPED: dict[str, Call] = {
    "conv": lambda lax, x: lax.conv(x, x, (1,), "SAME"),
    "patches": lambda lax, x: lax.conv_general_dilated_patches(x, (2,), (1,), "SAME"),
    "max": lambda lax, x: lax.reduce_window(x, np.zeros((), x.dtype), lax.max, (1, 1, 2)),
    "sum": lambda lax, x: lax.reduce_window(x, np.zeros((), x.dtype), lax.add, (1, 1, 2)),
    "product": lambda lax, x: lax.reduce_window(x, np.ones((), x.dtype), lax.mul, (1, 1, 2)),
    **{
        f"preferred {t}": lambda lax, x, t=t: lax.conv(x, x, (1,), "SAME", preferred_element_type=t)
        for t in ("bool", "int8", "int32", "uint8", "int64", "bfloat16", "float32", "float64", "complex64", "complex128")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", TYPED)
def test_the_same_dtypes_are_taken_and_given(name: str) -> None:
    def result(lib: Any, dtype: Any) -> str:
        try:
            out = lib.eval_shape(lambda x: TYPED[name](lib.lax, x), lib.ShapeDtypeStruct((2, 2, 2), dtype))
        except TypeError:
            return "refused"
        return f"{out.dtype}{out.shape}"

    with jax.enable_x64(True), anima.enable_x64(True):
        ours, theirs = ({name: result(lib, dtype) for name, dtype in BY_NAME.items()} for lib in LIBRARIES)
    assert ours == theirs


def outcome(lib: Any, call: Call) -> Any:
    """What a call gives, or the class of what it raises."""
    try:
        return call(lib.lax)
    except (TypeError, ValueError, RuntimeError) as error:
        return type(error)


SPECS = ("NHWC", "HWIO", "NHWC")
SHAPES: dict[str, Call] = {
    "pads": lambda lax: [lax.padtype_to_pads((5, 6, 0), (3, 4, 2), (2, 3, 1), p) for p in ("SAME", "same_lower", "VALID")],
    "unknown pads": lambda lax: lax.padtype_to_pads((5,), (3,), (1,), "FULL"),
    "numeric pads": lambda lax: lax.padtype_to_pads((5,), (3,), (1,), [(1, 1)]),
    "numbers": lambda lax: [tuple(lax.conv_dimension_numbers((0,) * len(d[0]), (0,) * len(d[0]), d)) for d in (SPECS, BACK, ("NC", "IO", "CN"))],
    "no numbers": lambda lax: tuple(lax.conv_dimension_numbers((1, 2, 3), (1, 2, 3), None)),
    "permutations": lambda lax: lax.conv_general_permutations(BACK),
    "shape": lambda lax: [lax.conv_shape_tuple((2, 3, 5, 6), (4, 3, 3, 2), (2, 1), p, 2) for p in ("SAME", PAIRS)],
    "general shape": lambda lax: lax.conv_general_shape_tuple((2, 5, 6, 3), (3, 2, 3, 4), (2, 1), "SAME", SPECS),
    **{
        f"transposed shape {p} {s} {k}": lambda lax, p=p, s=s, k=k: lax.conv_transpose_shape_tuple((2, 5, 6, 3), (k, k, 3, 4), (s, 1), p, SPECS)
        for p, s, k in itertools.product(("SAME", "VALID", PAIRS, "SAME_LOWER"), (1, 2, 3), (1, 2, 3))
    },
    "window shape": lambda lax: lax.reduce_window_shape_tuple((5, 6), (3, 3), (2, 2), ((0, 1), (1, 1)), (2, 1), (1, 2)),
    **{
        f"dimension numbers {d}": lambda lax, d=d: lax.conv_dimension_numbers((1,) * 4, (1,) * 4, d)
        for d in ("NCHW", SPECS[:2], ("NHHC", *SPECS[1:]), ("NHWC", "HWIX", "NHWC"), ("NHWC", "HWIO", "NHXC"), ("NHC", "HIO", "NHC"))
    },
    "ranks": lambda lax: lax.conv(X, K[0], (1, 1), "SAME"),
    "dtypes": lambda lax: lax.conv(X, K.astype(np.int32), (1, 1), "SAME"),
    "no padding of that name": lambda lax: lax.conv(X, K, (1, 1), "FULL"),
    "number of pairs": lambda lax: lax.conv(X, K, (1, 1), ((0, 0),)),
    "no pairs": lambda lax: lax.conv(X, K, (1, 1), (1, 1)),
    "padding too negative": lambda lax: lax.conv(X, K, (1, 1), ((-4, -4), (0, 0))),
    "name with dilation": lambda lax: lax.conv_general_dilated(X, K, (1, 1), "SAME", (2, 1)),
    "dilation of 0": lambda lax: lax.conv_general_dilated(X, K, (1, 1), PAIRS, None, (0, 1)),
    **{
        f"groups {f} {b}": lambda lax, f=f, b=b: lax.conv_general_dilated(X, K, (1, 1), "SAME", None, None, None, f, b)
        for f, b in ((0, 1), (1, 0), (2, 1), (3, 1), (1, 3), (1, 4))
    },
    "no precision": lambda lax: lax.conv(X, K, (1, 1), "SAME", "best"),
    "window ranks": lambda lax: lax.reduce_window(POOLED, 0.0, lax.add, (2,)),
    "window of 0": lambda lax: lax.reduce_window(POOLED, 0.0, lax.add, (0, 1)),
    "stride of 0": lambda lax: lax.reduce_window(POOLED, 0.0, lax.add, (1, 1), (0, 1)),
    "array start": lambda lax: lax.reduce_window(POOLED, POOLED, lax.add, (1, 1)),
    "structures": lambda lax: lax.reduce_window((POOLED,), 0.0, lax.add, (1, 1)),
    "no operands": lambda lax: lax.reduce_window((), (), lax.add, ()),
    "window padding": lambda lax: lax.reduce_window(POOLED, 0.0, lax.add, (1, 1), None, "FULL"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_and_refusals_agree(name: str) -> None:
    ours, theirs = (outcome(lib, SHAPES[name]) for lib in LIBRARIES)
    assert isinstance(ours, type) == isinstance(theirs, type)
    if isinstance(ours, type):
        assert issubclass(ours, theirs)
    else:
        assert repr(ours) == repr(jax.tree.map(int, theirs))

"""Checks of derivatives against finite differences, for tests of functions and of their rules.

Invariant: a check that passes has compared something: functions without differentiable arguments or results are refused. The
directions are random, and the same in every run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import tree_flatten, tree_unflatten
from anima.core.aval import array_aval
from anima.core.trace import aval_of
from anima.interpreters.flat import is_float0
from anima.runtime.arrays import as_array
from anima.transforms.arguments import check_callable, name_of
from anima.transforms.autodiff import jvp, vjp
from anima.tree_util import keystr, tree_leaves_with_path

# How exact derivatives are that are made of differences in these dtypes, and which steps are best for that: the cube root of
# the distance of neighbouring numbers, where the errors of rounding and of the formula are alike.
_TOLERANCE = {2: 5e-2, 4: 2e-3, 8: 1e-5}
_STEP = {1: 0.5, 2: 0.1, 4: 5e-3, 8: 6e-6}
_MODES = ("fwd", "rev")


def _real_bytes(dtype: Any) -> int:
    """The bytes of a real number of this dtype; bfloat16 counts as its accuracy is."""
    if dtypes.dtype_name(dtype) == "bfloat16" or np.dtype(dtype).itemsize == 1:
        return 1
    return int(np.dtype(dtype).itemsize) // (2 if np.dtype(dtype).kind == "c" else 1)


def _dtype(value: Any) -> Any:
    return array_aval(aval_of(value)).dtype


def _is_inexact(value: Any) -> bool:
    return not is_float0(value) and dtypes.is_inexact(_dtype(value))


def _wide(value: Any) -> np.ndarray[Any, Any]:
    """The value in double precision, on the host."""
    host = np.asarray(value)
    return host.astype(np.complex128 if host.dtype.kind == "c" else np.float64)


class _Random:
    """Directions, the same ones in every run."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(0)

    def like(self, tree: Any) -> Any:
        """A pytree of random arrays of the shapes and dtypes of `tree`; `float0` where there are no derivatives."""
        leaves, structure = tree_flatten(tree)
        return tree_unflatten(structure, [self._leaf(leaf) for leaf in leaves])

    def _leaf(self, leaf: Any) -> Any:
        if not _is_inexact(leaf):
            return np.zeros(np.shape(leaf), dtypes.float0)
        shape, dtype = np.shape(leaf), np.dtype(_dtype(leaf))
        values = self._generator.standard_normal(shape)
        if dtype.kind == "c":
            values = values + 1j * self._generator.standard_normal(shape)
        return as_array(np.asarray(values).astype(dtype))


def _derivative(f: Callable[..., Any], args: Sequence[Any], tangents: Any, eps: float | None) -> Any:
    """The derivative of `f` at `args` in a direction, by central differences; None where there is none."""
    leaves, structure = tree_flatten(tuple(args))
    directions = tree_flatten(tangents)[0]
    steps = [_STEP[_real_bytes(_dtype(leaf))] for leaf in leaves if _is_inexact(leaf)]
    step = max(steps) if eps is None else eps

    def moved(sign: int) -> list[Any]:
        shifted = [
            as_array((_wide(leaf) + sign * step * _wide(t)).astype(_dtype(leaf)))
            if _is_inexact(leaf)
            else leaf
            for leaf, t in zip(leaves, directions)
        ]
        return tree_flatten(f(*tree_unflatten(structure, shifted)))[0]

    out, outs = tree_flatten(f(*args)), [moved(1), moved(-1)]
    values = [(_wide(up) - _wide(down)) / (2 * step) if _is_inexact(up) else None for up, down in zip(*outs)]
    return values, out


def _check_step(name: str, eps: Any) -> None:
    if eps is not None and not eps > 0:
        raise ValueError(f"{name}: eps, the step of the differences, must be positive, got {eps!r}")


def _check_arguments(name: str, f: Any, args: Any) -> None:
    check_callable(f, f"test_util.{name}")
    if not isinstance(args, (tuple, list)):
        raise TypeError(
            f"{name}: args must be a tuple of the arguments of {name_of(f)}, got {type(args).__name__}: write ({args!r:.40},)"
        )
    if not any(_is_inexact(leaf) for leaf in tree_flatten(tuple(args))[0]):
        raise TypeError(
            f"{name}: no argument of {name_of(f)} is a float or complex number: there are no derivatives"
        )


def _close(
    what: str, f: Any, err_msg: str, found: Any, expected: Any, dtype: Any, atol: Any, rtol: Any
) -> None:
    least = _TOLERANCE.get(_real_bytes(dtype), 0.2)
    np.testing.assert_allclose(
        found, expected, rtol=least if rtol is None else rtol, atol=least if atol is None else atol,
        err_msg=" ".join(filter(None, [err_msg, f"{what} of {name_of(f)} against finite differences"])),
    )  # fmt: skip


def _compare_leaves(
    what: str, f: Any, err_msg: str, found: Any, expected: list[Any], atol: Any, rtol: Any, kinds: list[Any]
) -> None:
    paths = tree_leaves_with_path(found)
    if len(paths) != len(expected):
        raise AssertionError(
            f"{err_msg} {what} of {name_of(f)} has {len(paths)} leaves, its result has {len(expected)}".strip()
        )
    for (path, leaf), value, kind in zip(paths, expected, kinds):
        if value is not None:
            _close(f"{what}{keystr(path)}", f, err_msg, _wide(leaf), value, _dtype(kind), atol, rtol)


def check_jvp(
    f: Callable[..., Any],
    f_jvp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = 1e-4,
    err_msg: str = "",
) -> None:
    """Check a forward-mode derivative of a function against differences of its values.

    Args:
      f: a function of pytrees of arrays.
      f_jvp: what is checked: `f_jvp(args, tangents)` returns the result of `f` and its tangent, as `jvp` does.
      args: a tuple with the arguments at which it is checked. Those of integers are left as they are.
      atol, rtol: the absolute and the relative error that are allowed; by default what differences give in the result's dtype.
      eps: the step of the differences; None for the best one for the dtypes of the arguments.
      err_msg: what an error's message begins with.
    Raises:
      AssertionError: results or tangents differ. TypeError: there is nothing to differentiate by.

    >>> import anima
    >>> from functools import partial
    >>> f = anima.numpy.sin
    >>> anima.test_util.check_jvp(f, partial(anima.jvp, f), (1.0,))
    """
    _check_arguments("check_jvp", f, args)
    _check_step("check_jvp", eps)
    random = _Random()
    tangents = random.like(tuple(args))
    expected, (results, _) = _derivative(f, args, tangents, eps)
    _check_something(f, expected, "check_jvp")
    out, tangent = f_jvp(tuple(args), tangents)
    values = [_wide(r) if _is_inexact(r) else None for r in results]
    _compare_leaves("result", f, err_msg, out, values, atol, rtol, results)
    _compare_leaves("tangent", f, err_msg, tangent, expected, atol, rtol, results)


def _check_something(f: Any, derivatives: list[Any], name: str) -> None:
    if all(d is None for d in derivatives):
        raise AssertionError(
            f"{name}: {name_of(f)} returns no float or complex numbers: there are no derivatives to compare"
        )


def check_vjp(
    f: Callable[..., Any],
    f_vjp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = 1e-4,
    err_msg: str = "",
) -> None:
    """Check a reverse-mode derivative of a function against differences of its values.

    Args:
      f_vjp: what is checked: `f_vjp(*args)` returns the result of `f` and the function from its cotangent to those of the
        arguments, as `vjp` does.
      The other arguments are those of `check_jvp`.
    Raises:
      AssertionError: results differ, or the cotangents do not fit the differences. TypeError: as `check_jvp`.

    >>> import anima
    >>> from functools import partial
    >>> f = anima.numpy.sin
    >>> anima.test_util.check_vjp(f, partial(anima.vjp, f), (1.0,))
    """
    _check_arguments("check_vjp", f, args)
    _check_step("check_vjp", eps)
    random = _Random()
    tangents = random.like(tuple(args))
    expected, (results, structure) = _derivative(f, args, tangents, eps)
    _check_something(f, expected, "check_vjp")
    out, pullback = f_vjp(*args)
    values = [_wide(r) if _is_inexact(r) else None for r in results]
    _compare_leaves("result", f, err_msg, out, values, atol, rtol, results)
    cotangents = random.like(tree_unflatten(structure, results))
    gradients = pullback(cotangents)
    before = _inner(tree_flatten(cotangents)[0], expected)
    after = _inner(tree_flatten(gradients)[0], tree_flatten(tangents)[0])
    inexact = [r for r in (*results, *tree_flatten(tuple(args))[0]) if _is_inexact(r)]
    least = min(inexact, key=lambda leaf: _real_bytes(_dtype(leaf)))
    _close("cotangents", f, err_msg, after, before, _dtype(least), atol, rtol)


def _inner(left: list[Any], right: list[Any]) -> float:
    """The sum of the products of leaves; those without derivatives count nothing."""
    total = 0.0
    for a, b in zip(left, right):
        if b is not None and not is_float0(a) and not is_float0(b):
            total += float(np.real(np.sum(_wide(a) * _wide(b))))
    return total


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Iterable[str] = _MODES,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check the derivatives of a function, as `jvp` and `vjp` compute them, against differences.

    Args:
      f: a function of pytrees of arrays.
      args: a tuple with the arguments at which it is checked. Those of integers are left as they are.
      order: up to which order: at 2, the derivatives of derivatives too, forward and reverse mode in every sequence.
      modes: of "fwd" and "rev" those to be checked.
      atol, rtol: the errors that are allowed; by default what differences give in the dtypes of the results.
      eps: the step of the differences; by default the best one for the dtypes of the arguments.
    Raises:
      AssertionError: a derivative is wrong. ValueError: an unknown mode, or an order less than 1. TypeError: there is
        nothing to differentiate by.

    >>> import anima
    >>> anima.test_util.check_grads(lambda x, y: x * anima.numpy.exp(y), (2.0, 0.5), order=2)
    """
    wanted = (modes,) if isinstance(modes, str) else tuple(modes)
    unknown = [mode for mode in wanted if mode not in _MODES]
    if unknown or not wanted:
        raise ValueError(f"check_grads: modes must be of 'fwd' and 'rev', got {modes!r}")
    if order is True or operator.index(order) < 1:
        raise ValueError(f"check_grads: order must be an integer of at least 1, got {order!r}")
    _check_arguments("check_grads", f, args)
    _check_order(f, tuple(args), order, wanted, atol, rtol, eps, "")


def _check_order(
    f: Any,
    args: tuple[Any, ...],
    order: int,
    modes: tuple[str, ...],
    atol: Any,
    rtol: Any,
    eps: Any,
    done: str,
) -> None:
    """Check the first derivatives, and those of the derivatives as functions of the arguments; `done`: how `f` was made."""

    def forward(primals: Any, tangents: Any) -> Any:
        return jvp(f, primals, tangents)

    def backward(*primals: Any) -> Any:
        return vjp(f, *primals)

    if "fwd" in modes:
        said = f"{done}forward"
        check_jvp(f, forward, args, atol, rtol, eps, f"{said}:")
        if order > 1:
            tangents = _Random().like(args)

            def pushed(*primals: Any) -> Any:
                return jvp(f, primals, tangents)[1]

            pushed.__name__ = name_of(f)
            _check_order(pushed, args, order - 1, modes, atol, rtol, eps, f"{said}, then ")
    if "rev" in modes:
        said = f"{done}reverse"
        check_vjp(f, backward, args, atol, rtol, eps, f"{said}:")
        if order > 1:
            cotangents = _Random().like(f(*args))

            def pulled(*primals: Any) -> Any:
                return vjp(f, *primals)[1](cotangents)

            pulled.__name__ = name_of(f)
            _check_order(pulled, args, order - 1, modes, atol, rtol, eps, f"{said}, then ")

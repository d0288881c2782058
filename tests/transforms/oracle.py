"""What random programs mean: NumPy in extended precision, and the definition of each transformation.

Invariant: nothing of anima is used here. `jit` and `checkpoint` do nothing, `vmap` is a loop over examples, control flow is
Python's, and every derivative is a difference quotient: five points, in numbers of 64 bits of mantissa, so that a
derivative of a derivative still has ten digits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import reduce
from types import SimpleNamespace
from typing import Any

import numpy as np

FLOAT, COMPLEX, INT = np.longdouble, np.clongdouble, np.int64


class Settings:
    """How difference quotients are taken, and what they met."""

    step: float = 2.0**-12
    roughest: float = 0.0  # the largest jump of a slope, in units of the slope
    calls: int = 0


settings = Settings()


# --- structures: tuples and lists of arrays -----------------------------------------------------


def flatten(tree: Any) -> list[Any]:
    """The leaves of nested tuples and lists."""
    if isinstance(tree, (tuple, list)):
        return [leaf for item in tree for leaf in flatten(item)]
    return [] if tree is None else [tree]


def rebuild(tree: Any, leaves: Sequence[Any]) -> Any:
    """`tree` with other leaves."""
    given = iter(leaves)

    def build(node: Any) -> Any:
        if isinstance(node, (tuple, list)):
            return type(node)(build(item) for item in node)
        return None if node is None else next(given)

    return build(tree)


def stacked(trees: Sequence[Any], axes: Any = 0) -> Any:
    """One tree whose leaves have a further axis over the trees."""
    columns = list(zip(*map(flatten, trees)))
    where = axes if isinstance(axes, (tuple, list)) else [axes] * len(columns)
    return rebuild(trees[0], [np.stack(c, axis=a) for c, a in zip(columns, where)])


def plain(value: Any) -> np.ndarray:
    """A value as an array of a dtype of NumPy's own: one of bfloat16 as float32."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def inexact(value: Any) -> bool:
    """Whether a value has tangents."""
    return plain(value).dtype.kind in "fc"


def wide(value: Any) -> Any:
    """A value in extended precision."""
    array = plain(value)
    return array.astype({"f": FLOAT, "c": COMPLEX}.get(array.dtype.kind, array.dtype))


# --- derivatives --------------------------------------------------------------------------------


def along(fun: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of `fun`, and its derivative in a direction (tangents of None: not moved), zero for integers."""
    h = FLOAT(settings.step)
    settings.calls += 1

    def at(multiple: float) -> Any:
        moved = [a if t is None else wide(a) + multiple * h * wide(t) for a, t in zip(args, tangents)]
        return fun(*moved)

    value = at(0)
    points = [list(map(wide, flatten(at(m)))) for m in (-2, -1, 1, 2)]
    slopes = []
    for centre, far_left, left, right, far_right in zip(flatten(value), *points):
        if not inexact(centre):
            slopes.append(np.zeros(np.shape(centre)))
            continue
        slope = (8 * (right - left) - (far_right - far_left)) / (12 * h)
        if np.size(slope):
            jump = np.max(np.abs(right - 2 * wide(centre) + left)) / h
            settings.roughest = max(settings.roughest, float(jump / (1 + np.max(np.abs(slope)))))
        slopes.append(slope)
    return value, rebuild(value, slopes)


def _basis(shape: tuple[int, ...]) -> list[np.ndarray]:
    return [np.eye(1, size, k).reshape(shape) for size in [int(np.prod(shape))] for k in range(size)]


def pullback(fun: Callable[..., Any], args: Sequence[Any], which: Sequence[int]) -> tuple[Any, Callable]:
    """The value of `fun`, and what takes a cotangent to the cotangents of the arguments `which`."""

    def slope(index: int, direction: Any) -> list[Any]:
        return flatten(along(fun, args, [direction if i == index else None for i in range(len(args))])[1])

    return fun(*args), lambda cotangent: [_pulled(slope, args, index, flatten(cotangent)) for index in which]


def _pulled(slope: Callable[..., list[Any]], args: Sequence[Any], index: int, cts: Sequence[Any]) -> Any:
    """The cotangent of an argument, by the slopes along each of its elements."""
    shape = np.shape(args[index])

    def total(direction: Any) -> Any:
        return sum(np.sum(np.real(ct * s)) for ct, s in zip(cts, slope(index, direction)))

    found = np.array([total(e) for e in _basis(shape)], FLOAT).reshape(shape)
    if plain(args[index]).dtype.kind == "c":
        found = found - 1j * np.array([total(1j * e) for e in _basis(shape)], FLOAT).reshape(shape)
    return found


def jvp(fun: Any, primals: Any, tangents: Any) -> Any:
    return along(fun, primals, tangents)


def linearize(fun: Any, *primals: Any) -> Any:
    return fun(*primals), lambda *tangents: along(fun, primals, tangents)[1]


def vjp(fun: Any, *primals: Any) -> Any:
    value, pull = pullback(fun, primals, range(len(primals)))
    return value, lambda ct: tuple(pull(ct))


def linear_transpose(fun: Any, *primals: Any) -> Any:
    def slope(index: int, direction: Any) -> list[Any]:
        zeros = [np.zeros(np.shape(p)) for p in primals]
        return flatten(fun(*[direction if i == index else z for i, z in enumerate(zeros)]))

    return lambda ct: tuple(_pulled(slope, primals, i, flatten(ct)) for i in range(len(primals)))


def value_and_grad(fun: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    def both(*args: Any) -> Any:
        which = argnums if isinstance(argnums, tuple) else (argnums,)
        scalar = (lambda *xs: fun(*xs)[0]) if has_aux else fun
        grads = pullback(scalar, args, which)[1](1.0)
        return fun(*args), tuple(grads) if isinstance(argnums, tuple) else grads[0]

    return both


def grad(fun: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    def gradient(*args: Any) -> Any:
        value, grads = value_and_grad(fun, argnums, has_aux)(*args)
        return (grads, value[1]) if has_aux else grads

    return gradient


def jacobian(fun: Any) -> Any:
    def matrix(x: Any) -> Any:
        out = np.shape(fun(x))
        columns = [along(fun, [x], [e])[1] for e in _basis(np.shape(x))]
        stack = np.stack(columns, axis=-1) if columns else np.zeros((*out, 0))
        return stack.reshape((*out, *np.shape(x)))

    return matrix


def hessian(fun: Any) -> Any:
    return jacobian(lambda x: grad(fun)(x))


class _Custom:
    """A function with a derivative of its own, which programs define as the true one."""

    def __init__(self, fun: Any) -> None:
        self.fun = fun

    def __call__(self, *args: Any) -> Any:
        return self.fun(*args)

    def defjvp(self, rule: Any) -> None: ...

    def defvjp(self, forward: Any, backward: Any) -> None: ...

    def def_vmap(self, rule: Any) -> None: ...


def custom_linear_solve(
    matvec: Any, b: Any, solve: Any, transpose_solve: Any = None, symmetric: bool = False
) -> Any:
    return solve(matvec, b)


def custom_root(f: Any, initial_guess: Any, solve: Any, tangent_solve: Any) -> Any:
    return solve(f, initial_guess)


# --- batching and control flow ------------------------------------------------------------------


def vmap(
    fun: Any, in_axes: Any = 0, out_axes: Any = 0, axis_size: int | None = None, axis_name: str = ""
) -> Any:
    def mapped(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        sizes = [np.shape(a)[d] for a, d in zip(args, axes) if d is not None]
        size = sizes[0] if sizes else axis_size
        assert size is not None

        def example(i: int) -> Any:
            return fun(*[a if d is None else np.take(a, i, axis=d) for a, d in zip(args, axes)])

        if size == 0:
            shown = fun(*[
                a if d is None else np.ones(np.delete(np.shape(a), d), np.asarray(a).dtype)
                for a, d in zip(args, axes)
            ])  # fmt: skip
            empty = stacked([shown], out_axes)
            places = out_axes if isinstance(out_axes, tuple) else [out_axes] * len(flatten(empty))
            return rebuild(empty, [np.take(x, [], axis=d) for x, d in zip(flatten(empty), places)])
        return stacked([example(i) for i in range(size)], out_axes)

    return mapped


def scan(
    fun: Any, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: Any = 1
) -> Any:
    rows = flatten(xs)
    count = len(rows[0]) if rows else length
    assert count is not None
    carry, ys = init, []
    for i in range(count)[:: -1 if reverse else 1]:
        carry, y = fun(carry, rebuild(xs, [x[i] for x in rows]))
        ys.append(y)
    if not ys:
        shown = fun(init, rebuild(xs, [np.ones(np.shape(x)[1:], np.asarray(x).dtype) for x in rows]))[1]
        return init, rebuild(shown, [x[:0] for x in flatten(stacked([shown]))])
    return carry, stacked(ys[:: -1 if reverse else 1])


def cond(pred: Any, true_fun: Any, false_fun: Any, *operands: Any) -> Any:
    return (true_fun if pred else false_fun)(*operands)


def switch(index: Any, branches: Any, *operands: Any) -> Any:
    return branches[int(np.clip(index, 0, len(branches) - 1))](*operands)


def fori_loop(lower: Any, upper: Any, body: Any, init: Any, **how: Any) -> Any:
    for i in range(int(lower), int(upper)):
        init = body(np.asarray(i), init)
    return init


def while_loop(test: Any, body: Any, init: Any, **how: Any) -> Any:
    while test(init):
        init = body(init)
    return init


def map_(fun: Any, xs: Any, batch_size: int | None = None) -> Any:
    return vmap(fun)(xs)


def associative_scan(fun: Any, x: Any, reverse: bool = False, axis: int = 0) -> Any:
    rows = list(np.moveaxis(x, axis, 0))
    rows = rows[::-1] if reverse else rows
    done = list(itertools.accumulate(rows, lambda a, b: fun(a, b)))
    if not done:
        return x
    return np.moveaxis(np.stack(done[::-1] if reverse else done), 0, axis)


# --- operations that NumPy has under another name, or not at all ---------------------------------


def updated(x: Any, index: Any, how: str, value: Any) -> Any:
    result = np.array(x)
    value = np.asarray(value).astype(result.dtype)  # updates are cast before they are combined
    if how == "set":
        result[index] = value
    else:
        ufunc = {"add": np.add, "multiply": np.multiply, "max": np.maximum, "min": np.minimum}[how]
        ufunc.at(result, index, value)
    return result


def dot_general(a: Any, b: Any, numbers: Any) -> Any:
    (ac, bc), (ab, bb) = numbers
    left, right = list(range(np.ndim(a))), list(range(10, 10 + np.ndim(b)))
    for i, j in zip((*ac, *ab), (*bc, *bb)):
        if np.shape(a)[i] != np.shape(b)[j]:
            raise ValueError("dimensions differ")
        right[j] = left[i]
    out = [left[i] for i in ab]
    out += [n for i, n in enumerate(left) if i not in (*ac, *ab)]
    out += [n for i, n in enumerate(right) if i not in (*bc, *bb)]
    return np.einsum(a, left, b, right, out)


def _along(ufunc: Any) -> Callable[..., Any]:
    def accumulate(x: Any, axis: int = 0, reverse: bool = False) -> Any:
        turned = np.flip(x, axis) if reverse else x
        done = ufunc.accumulate(turned, axis=axis)
        return np.flip(done, axis) if reverse else done

    return accumulate


def _window(x: Any, starts: Sequence[int], sizes: Sequence[int]) -> tuple[slice, ...]:
    places = [int(np.clip(s, 0, n - size)) for s, n, size in zip(starts, np.shape(x), sizes)]
    return tuple(slice(p, p + size) for p, size in zip(places, sizes))


def dynamic_slice_in_dim(x: Any, start: Any, size: int, axis: int = 0) -> Any:
    sizes = [size if i == axis % np.ndim(x) else n for i, n in enumerate(np.shape(x))]
    if size > np.shape(x)[axis]:
        raise ValueError("the slice is larger than the array")
    start = int(start) + (np.shape(x)[axis] if start < 0 else 0)
    return x[_window(x, [start if i == axis % np.ndim(x) else 0 for i in range(np.ndim(x))], sizes)]


def dynamic_index_in_dim(x: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Any:
    row = dynamic_slice_in_dim(x, index, 1, axis)
    return row if keepdims else np.squeeze(row, axis)


def dynamic_update_slice(x: Any, update: Any, starts: Sequence[int]) -> Any:
    if np.ndim(update) != np.ndim(x) or any(u > n for u, n in zip(np.shape(update), np.shape(x))):
        raise ValueError("the update does not fit")
    result = np.array(x)
    result[_window(x, starts, np.shape(update))] = update
    return result


def dynamic_update_index_in_dim(x: Any, update: Any, index: Any, axis: int) -> Any:
    return updated(x, index, "set", update)


def slice_in_dim(x: Any, start: int, stop: int, axis: int = 0) -> Any:
    if stop > np.shape(x)[axis]:
        raise ValueError("the slice is larger than the array")
    return np.moveaxis(np.moveaxis(x, axis, 0)[start:stop], 0, axis)


def integer_pow(x: Any, y: int) -> Any:
    return reduce(np.multiply, [x] * y)


lax = SimpleNamespace(
    scan=scan, cond=cond, switch=switch, fori_loop=fori_loop, while_loop=while_loop, map=map_,
    associative_scan=associative_scan, custom_linear_solve=custom_linear_solve, custom_root=custom_root, dot_general=dot_general, integer_pow=integer_pow,
    dynamic_slice_in_dim=dynamic_slice_in_dim, dynamic_index_in_dim=dynamic_index_in_dim,
    dynamic_update_slice=dynamic_update_slice, dynamic_update_index_in_dim=dynamic_update_index_in_dim,
    cummax=_along(np.maximum), cummin=_along(np.minimum), cumsum=_along(np.add), cumlogsumexp=_along(np.logaddexp),
    logistic=lambda x: 1 / (1 + np.exp(-x)), rsqrt=lambda x: 1 / np.sqrt(x), complex=lambda x, y: x + 1j * y,
    sin=np.sin, tanh=np.tanh, neg=np.negative, square=np.square, exp=np.exp, mul=np.multiply,
    reduce_sum=lambda x, axes: np.sum(x, axis=axes), reduce_max=lambda x, axes: np.max(x, axis=axes),
    rev=lambda x, axes: np.flip(x, axes), expand_dims=np.expand_dims,
    slice_in_dim=slice_in_dim,
)  # fmt: skip


class _NumPy:
    """NumPy, with the arguments and checks that anima.numpy adds, and extended precision where NumPy has none."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def bincount(x: Any, length: int) -> Any:
        return np.bincount(x, minlength=length)[:length]

    @staticmethod
    def triu(x: Any) -> Any:
        if np.ndim(x) < 2:
            raise ValueError("triu needs two dimensions")
        return np.triu(x)

    @staticmethod
    def interp(x: Any, xp: Any, fp: Any) -> Any:
        k = np.clip(np.searchsorted(xp, x), 1, len(xp) - 1)
        inside = fp[k - 1] + (x - xp[k - 1]) * ((fp[k] - fp[k - 1]) / (xp[k] - xp[k - 1]))
        return np.where(x < xp[0], fp[0], np.where(x > xp[-1], fp[-1], inside))


class _Anything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> None:
        return None


NAMES: dict[str, Any] = dict(
    np=_NumPy(), lax=lax, Float=FLOAT, Int=INT, Complex=COMPLEX, Narrow=FLOAT, NarrowInt=INT, NarrowComplex=COMPLEX,
    updated=updated, jit=lambda f, **how: f, checkpoint=lambda f, **how: f, vmap=vmap, grad=grad,
    value_and_grad=value_and_grad, jvp=jvp, vjp=vjp, linearize=linearize, linear_transpose=linear_transpose, jacfwd=jacobian, jacrev=jacobian,
    hessian=hessian, custom_jvp=_Custom, custom_vjp=_Custom, custom_vmap=_Custom, sequential_vmap=lambda f: f,
    custom_gradient=lambda f: lambda *args: f(*args)[0], closure_convert=lambda f, *args: (f, []),
    checkpoint_policies=_Anything(),
)  # fmt: skip

"""`grad` and its like for functions of sparse arrays: derivatives in the values that are stored.

Invariant: the derivative in a sparse array is a sparse array with the same indices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima import numpy as np
from anima._native import tree_flatten, tree_unflatten
from anima.experimental.sparse.base import is_sparse
from anima.experimental.sparse.bcoo import BCOO
from anima.transforms import autodiff, jacobians
from anima.transforms.arguments import check_callable, normalize_argnums, public


def _values(x: Any) -> Any:
    return x.tree_flatten()[0][0] if is_sparse(x) else x


def _with_values(x: Any, data: Any) -> Any:
    if not is_sparse(x):
        return data
    buffers, static = x.tree_flatten()
    return type(x).tree_unflatten(static, (data, *buffers[1:]))


def _spread(x: Any, data: Any) -> Any:
    """A Jacobian in the values as an array: the output's dimensions are batches."""
    if not is_sparse(x):
        return data
    if not isinstance(x, BCOO):
        raise NotImplementedError(f"Jacobians in {type(x).__name__} arrays; use BCOO")
    outer = data.shape[: data.ndim - x.data.ndim]
    indices = np.broadcast_to(x.indices, (*outer, *x.indices.shape))
    return BCOO(
        (data, indices),
        shape=(*outer, *x.shape),
        indices_sorted=x.indices_sorted,
        unique_indices=x.unique_indices,
    )


def _flattened(
    transform: Callable[..., Any],
    name: str,
    fun: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    options: Any,
) -> Callable[..., Any]:
    """Runs `transform` of `fun` as a function of one list of arrays, the values of what is to be differentiated."""
    check_callable(fun, name)

    def derived(*args: Any, **kwargs: Any) -> tuple[Any, Callable[[Any, Any], Any]]:
        numbers, single = normalize_argnums(argnums, f"{name} argnums"), hasattr(argnums, "__index__")
        if any(not -len(args) <= i < len(args) for i in numbers):
            raise ValueError(
                f"{name}: argnums {argnums} is out of range for {len(args)} positional arguments"
            )
        leaves, tree = tree_flatten([args[i] for i in numbers], is_sparse)

        def of_values(values: Any) -> Any:
            given = list(args)
            chosen = tree_unflatten(tree, [_with_values(x, v) for x, v in zip(leaves, values)])
            for i, arg in zip(numbers, chosen):
                given[i] = arg
            return fun(*given, **kwargs)

        def packed(values: Any, wrap: Callable[[Any, Any], Any]) -> Any:
            parts = tree_unflatten(tree, [wrap(x, v) for x, v in zip(leaves, values)])
            return parts[0] if single else tuple(parts)

        out = transform(of_values, has_aux=has_aux, **options)([_values(x) for x in leaves])
        return out, packed

    return derived


def grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: Any = False, **kwargs: Any
) -> Callable[..., Any]:
    """As `anima.grad`, of a function of sparse arrays: the gradient is a sparse array with the same indices.

    >>> from anima.experimental import sparse
    >>> print(sparse.grad(lambda m: (m.todense() ** 3).sum())(sparse.eye(2)).data)
    [3. 3.]
    """
    run = _flattened(autodiff.grad, "grad", fun, argnums, has_aux, kwargs)

    def gradient(*args: Any, **kws: Any) -> Any:
        out, packed = run(*args, **kws)
        return (packed(out[0], _with_values), out[1]) if has_aux else packed(out, _with_values)

    return public(gradient, fun, "grad")


def value_and_grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: Any = False, **kwargs: Any
) -> Callable[..., tuple[Any, Any]]:
    """As `anima.value_and_grad`, of a function of sparse arrays.

    >>> from anima.experimental import sparse
    >>> value, gradient = sparse.value_and_grad(lambda m: (m.todense() ** 3).sum())(sparse.eye(2))
    >>> print(value, gradient)
    2.0 BCOO(float32[2, 2], nse=2)
    """
    run = _flattened(autodiff.value_and_grad, "value_and_grad", fun, argnums, has_aux, kwargs)

    def both(*args: Any, **kws: Any) -> Any:
        (value, gradient), packed = run(*args, **kws)
        return value, packed(gradient, _with_values)

    return public(both, fun, "value_and_grad")


def _jacobian(
    transform: Callable[..., Any], name: str, fun: Any, argnums: Any, has_aux: bool, kwargs: Any
) -> Any:
    run = _flattened(transform, name, fun, argnums, has_aux, kwargs)

    def jacobian_of(*args: Any, **kws: Any) -> Any:
        out, packed = run(*args, **kws)
        found, aux = out if has_aux else (out, None)
        # The tree of outputs has a list, one entry for each leaf of the arguments, in place of its own leaves.
        is_row = lambda x: isinstance(x, list) and all(hasattr(v, "dtype") for v in x)
        rows, tree = tree_flatten(found, is_row)
        made = tree_unflatten(tree, [packed(row, _spread) for row in rows])
        return (made, aux) if has_aux else made

    return public(jacobian_of, fun, name)


def jacfwd(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, **kwargs: Any
) -> Callable[..., Any]:
    """As `anima.jacfwd`, of a function of sparse arrays that returns dense ones: output dimensions are batches.

    >>> from anima.experimental import sparse
    >>> sparse.jacfwd(lambda m: m.todense().sum(0))(sparse.eye(2))
    BCOO(float32[2, 2, 2], nse=2, n_batch=1)
    """
    return _jacobian(jacobians.jacfwd, "jacfwd", fun, argnums, has_aux, kwargs)  # type: ignore[no-any-return]


def jacrev(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, **kwargs: Any
) -> Callable[..., Any]:
    """As `anima.jacrev`, of a function of sparse arrays that returns dense ones: output dimensions are batches.

    >>> from anima.experimental import sparse
    >>> sparse.jacrev(lambda m: m.todense().sum(0))(sparse.eye(2))
    BCOO(float32[2, 2, 2], nse=2, n_batch=1)
    """
    return _jacobian(jacobians.jacrev, "jacrev", fun, argnums, has_aux, kwargs)  # type: ignore[no-any-return]


jacobian = jacrev

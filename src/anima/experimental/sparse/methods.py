"""The methods and operators of BCOO and BCSR, which are functions of other modules.

Invariant: this module installs them when it is imported and is never called afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as onp

from anima import numpy as np
from anima.experimental.sparse.base import JAXSparse
from anima.experimental.sparse.bcoo import BCOO
from anima.experimental.sparse.bcoo_convert import (
    bcoo_fromdense,
    bcoo_sort_indices,
    bcoo_todense,
    bcoo_update_layout,
    from_scipy_sparse,
    sum_duplicates,
)
from anima.experimental.sparse.bcoo_shape import bcoo_transpose
from anima.experimental.sparse.bcsr import BCSR
from anima.experimental.sparse.transform import sparsify


def _fromdense(
    cls: type[BCOO],
    mat: Any,
    *,
    nse: int | None = None,
    index_dtype: Any = onp.int32,
    n_dense: int = 0,
    n_batch: int = 0,
) -> BCOO:
    """A dense array as BCOO; see `bcoo_fromdense`."""
    return bcoo_fromdense(mat, nse=nse, index_dtype=index_dtype, n_dense=n_dense, n_batch=n_batch)


def _from_scipy(
    cls: type[BCOO], mat: Any, *, index_dtype: Any = None, n_dense: int = 0, n_batch: int = 0
) -> BCOO:
    """A sparse array of SciPy as BCOO.

    >>> import scipy.sparse
    >>> from anima.experimental import sparse
    >>> sparse.BCOO.from_scipy_sparse(scipy.sparse.eye(3, format="csr", dtype="float32"))
    BCOO(float32[3, 3], nse=3)
    """
    return from_scipy_sparse(mat, index_dtype=index_dtype, n_dense=n_dense, n_batch=n_batch)


def _transpose(self: BCOO, axes: Sequence[int] | None = None) -> BCOO:
    """The array with its dimensions permuted, by default in reverse order."""
    return bcoo_transpose(self, permutation=range(self.ndim)[::-1] if axes is None else axes)


def _update_layout(
    self: BCOO, *, n_batch: int | None = None, n_dense: int | None = None, on_inefficient: str = "error"
) -> BCOO:
    """The same array with other numbers of batch and dense dimensions; see `bcoo_update_layout`."""
    return bcoo_update_layout(self, n_batch=n_batch, n_dense=n_dense, on_inefficient=on_inefficient)


def _todense(self: BCOO) -> Any:
    """The dense array."""
    return bcoo_todense(self)


def _sort_indices(self: BCOO) -> BCOO:
    """The same array with its elements in lexicographic order of their indices."""
    return bcoo_sort_indices(self)


def _iterate(self: Any) -> Iterator[Any]:
    if not self.ndim:
        raise TypeError("iteration over a 0-d sparse array")
    return iter([self[i] for i in range(self.shape[0])])


def _method(fun: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The method that is `fun` of the sparse array and other arrays or parameters."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return sparsify(lambda x: fun(x, *args, **kwargs))(self)

    return _named(method, name, fun)


def _binary(fun: Callable[..., Any], name: str, reflected: bool) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, (str, bytes, list, tuple, dict)) or other is None:
            return NotImplemented
        pair = (other, self) if reflected else (self, other)
        if any(isinstance(x, JAXSparse) and not isinstance(x, (BCOO, BCSR)) for x in pair):
            raise NotImplementedError(
                f"{type(self).__name__}.{name} with {type(other).__name__}; use BCOO for both"
            )
        if isinstance(
            other, (bool, int, float, complex)
        ):  # known, so that powers and weak types are what they are
            return sparsify(lambda x: fun(other, x) if reflected else fun(x, other))(self)
        if other is self:
            return sparsify(lambda x: fun(x, x))(self)
        return sparsify(fun)(*pair)

    return _named(method, name, fun)


def _named(method: Callable[..., Any], name: str, fun: Any) -> Callable[..., Any]:
    method.__name__ = name
    method.__doc__ = f"As `{getattr(fun, '__name__', name)}` of dense arrays, under `sparsify`."
    return method


def _get(x: Any, index: Any) -> Any:
    return x[index]


def _getitem(self: Any, index: Any) -> Any:
    """A part of the array, as of a dense one; indices must be static or arrays of integers."""
    return sparsify(lambda x: _get(x, index))(self)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "mul": np.multiply, "matmul": np.matmul, "add": np.add, "sub": np.subtract, "truediv": np.true_divide, "pow": np.power,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip


def _install() -> None:
    own: dict[str, Any] = {
        "fromdense": classmethod(_fromdense),
        "from_scipy_sparse": classmethod(_from_scipy),
        "transpose": _transpose,
        "update_layout": _update_layout,
        "todense": _todense,
        "sort_indices": _sort_indices,
        "sum_duplicates": sum_duplicates,
        "astype": _method(lambda x, *args, **kwargs: x.astype(*args, **kwargs), "astype"),
        "reshape": _method(lambda x, *args, **kwargs: x.reshape(*args, **kwargs), "reshape"),
        "sum": _method(np.sum, "sum"),
        "__neg__": _method(np.negative, "__neg__"),
        "__pos__": _method(np.positive, "__pos__"),
        "__abs__": _method(np.abs, "__abs__"),
        "__getitem__": _getitem,
        "__iter__": _iterate,
    }
    for name, fun in _OPERATORS.items():
        own[f"__{name}__"] = _binary(fun, f"__{name}__", False)
        own[f"__r{name}__"] = _binary(fun, f"__r{name}__", True)
    for name, fun in _COMPARISONS.items():
        own[f"__{name}__"] = _binary(fun, f"__{name}__", False)
    for name, value in own.items():
        setattr(BCOO, name, value)
    for name in ("__getitem__", "__matmul__", "__rmatmul__"):
        setattr(BCSR, name, own[name])


_install()

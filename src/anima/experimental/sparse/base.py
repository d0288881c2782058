"""What all sparse arrays have in common: a shape, buffers, and a class of their own for each format.

Invariant: a sparse array is a pytree whose leaves are its buffers, values first; everything else about it is static.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from anima import dtypes
from anima.core.trace import Tracer, shaped


class SparseEfficiencyError(ValueError):
    """An operation would store far more elements than its operand has."""


class SparseEfficiencyWarning(UserWarning):
    """An operation stores far more elements than its operand has."""


class CuSparseEfficiencyWarning(SparseEfficiencyWarning):
    """An operation has no fast form in NVIDIA's library for sparse arrays."""


class JAXSparse:
    """The base of all sparse arrays.

    Args:
      args: the buffers, values first.
      shape: the shape of the dense array that is meant.
    """

    data: Any
    shape: tuple[int, ...]
    nse: Any  # the number of stored elements (of each batch)
    dtype: Any
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy's arrays leave operators to this class
    __array_priority__ = 1000

    def __init__(self, args: tuple[Any, ...], *, shape: Sequence[int]) -> None:
        self.shape = tuple(int(d) for d in shape)

    @property
    def size(self) -> int:
        """How many elements the dense array has."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def T(self) -> Any:
        return self.transpose()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"len() of a {type(self).__name__} without dimensions")
        return self.shape[0]

    def __repr__(self) -> str:
        if not all(hasattr(b, "shape") for b in self.buffers()):
            return f"{type(self).__name__}(<invalid>)"
        extra = "".join(f", {k}={v}" for k, v in self.layout().items() if v)
        dims = ", ".join(map(str, self.shape))
        text = f"{type(self).__name__}({dtypes.dtype_name(self.dtype)}[{dims}], nse={self.nse}{extra})"
        tracers = [b for b in self.buffers() if isinstance(b, Tracer)]
        return f"{type(tracers[0]).__name__}[{text}]" if tracers else text

    def buffers(self) -> tuple[Any, ...]:
        """The arrays that hold the elements, values first."""
        children: tuple[Any, ...] = self.tree_flatten()[0]
        return children

    def layout(self) -> dict[str, int]:
        """The numbers of batch and dense dimensions, by name."""
        return {}

    def block_until_ready(self) -> Any:
        """Wait until the buffers are computed; returns the array itself."""
        for buffer in self.buffers():
            buffer.block_until_ready()
        return self

    def tree_flatten(self) -> Any:
        """The buffers, and what is static."""
        _refuse(self, "tree_flatten")

    @classmethod
    def tree_unflatten(cls, aux_data: Any, children: Any) -> Any:
        """The array of such buffers."""
        raise NotImplementedError(f"{cls.__name__}.tree_unflatten")

    def todense(self) -> Any:
        """The dense array."""
        _refuse(self, "todense")

    def transpose(self, axes: Any = None) -> Any:
        """The array with its dimensions permuted."""
        _refuse(self, "transpose")


def _refuse(array: JAXSparse, name: str) -> NoReturn:
    raise NotImplementedError(
        f"{type(array).__name__}.{name}: this format does not have it; BCOO has the most operations, and sparse.todense gives "
        "a dense array"
    )


def _refusing(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse(self, name)

    method.__name__ = name
    return method


OPERATORS = (
    "__getitem__", "__neg__", "__pos__", "__matmul__", "__rmatmul__", "__mul__", "__rmul__", "__add__", "__radd__", "__sub__",
    "__rsub__", "sum",
)  # fmt: skip
for _name in OPERATORS:
    setattr(JAXSparse, _name, _refusing(_name))


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse array."""
    return isinstance(value, JAXSparse)


def dtype_of(data: Any) -> Any:
    """The dtype of a buffer."""
    return data.dtype if hasattr(data, "dtype") else shaped(data).dtype

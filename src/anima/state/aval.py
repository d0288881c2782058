"""The type of a reference."""

from __future__ import annotations

from typing import Any

from anima.core.aval import AbstractValue, ShapedArray


class AbstractRef(AbstractValue):
    """The type of a reference to an array of type `inner_aval`.

    Args:
      inner_aval: the type of the array.
      memory_space: where the array lies; None for the memory of its device, and nothing else has a meaning here.
      kind: None, or "no_grad_no_remat", as `new_ref` was told.

    >>> import anima, anima.numpy as np
    >>> anima.new_ref(np.zeros((2, 3))).aval
    Ref{float32[2,3]}
    """

    __slots__ = ("inner_aval", "kind", "memory_space")

    def __init__(self, inner_aval: ShapedArray, memory_space: Any = None, kind: str | None = None) -> None:
        self.inner_aval = inner_aval
        self.memory_space = memory_space
        self.kind = kind

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner_aval.shape

    @property
    def dtype(self) -> Any:
        return self.inner_aval.dtype

    @property
    def ndim(self) -> int:
        return len(self.inner_aval.shape)

    @property
    def size(self) -> int:
        return self.inner_aval.size

    @property
    def weak_type(self) -> bool:
        return self.inner_aval.weak_type

    @property
    def sharding(self) -> Any:
        return self.inner_aval.sharding

    def tangent_aval(self) -> AbstractRef:
        return AbstractRef(self.inner_aval.tangent_aval(), self.memory_space, self.kind)

    def update(self, **changes: Any) -> AbstractRef:
        """A copy with some fields replaced."""
        fields = {"inner_aval": self.inner_aval, "memory_space": self.memory_space, "kind": self.kind}
        return AbstractRef(**(fields | changes))

    def strip_weak_type(self) -> AbstractRef:
        """The same type, of a strongly typed array."""
        return self.update(inner_aval=self.inner_aval.strip_weak_type())

    def str_short(self, short_dtypes: bool = True) -> str:
        return f"Ref{{{self.inner_aval.str_short(short_dtypes)}}}"

    def _key(self) -> tuple[Any, ...]:
        return self.inner_aval, self.memory_space, self.kind

    def __eq__(self, other: object) -> bool:
        return type(other) is AbstractRef and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((AbstractRef, *self._key()))

    def __repr__(self) -> str:
        return self.str_short(short_dtypes=False)

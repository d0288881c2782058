"""Where the arguments of a call come from: one description serves both the walk over dtypes and random draws.

Invariant: an entry of the table describes its arguments by asking a `Source`; what it asks for first in each
question is valid. `Plain` gives always the first answer, `Drawn` lets chance choose, and answers a question wrongly in
a third of the calls: one in each, for libraries may find several mistakes in different orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anima import dtypes
from anima.dtypes.declared import BY_NAME
from anima.lax import declare

BOOL, INTEGER, COMPLEX, ANY = declare.BOOL, declare.INTEGER, declare.COMPLEX, declare.ANY
FLOAT, INEXACT, NUMERIC = declare.FLOAT, declare.INEXACT, declare.NUMERIC
REAL = INTEGER + FLOAT
WIDE = ("bfloat16", "float16", "float32", "float64")
COMMON = ("bool", "int8", "int32", "int64", "uint8", "uint32", "bfloat16", "float16", "float32", "float64", "complex64", "complex128")  # fmt: skip

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Lax:
    """An argument that each library makes for itself: `make` of its `lax`."""

    make: Callable[[Any], Any]
    text: str = ""
    shape: Shape = ()

    def __repr__(self) -> str:
        return self.text or "Lax(...)"


@dataclass(frozen=True)
class Weak(Lax):
    """A weakly typed array of one number."""

    value: Any = 0

    __repr__ = Lax.__repr__

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that it has: of 64 bits in 64-bit mode."""
        return dtypes.canonical(np.dtype(type(self.value)))


def named(name: str, *args: Any, **more: Any) -> Lax:
    """An attribute of `lax`, called if there are arguments."""
    text = f"lax.{name}{args or ''}"
    return Lax(lambda lax: getattr(lax, name)(*args, **more) if args or more else getattr(lax, name), text)


def weak(value: Any, shape: Shape) -> Weak:
    """A weakly typed array."""
    return Weak(
        lambda lax: lax.broadcast(lax.full_like(value, value), shape), f"weak({value}, {shape})", shape, value
    )


def rank_of(value: Any) -> int:
    """The rank of an operand."""
    return len(value.shape) if isinstance(value, Lax) else np.ndim(value)


@dataclass
class Call:
    """A call of a function of `lax`, in words that both libraries understand."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        named = "".join(f", {k}={shown(v)}" for k, v in self.kwargs.items())
        return f"{self.name}({', '.join(map(shown, self.args))}{named})"


def shown(value: Any) -> str:
    """An argument in a message."""
    if isinstance(value, np.ndarray):
        text = np.array2string(value, threshold=12, separator=", ").replace("\n", "")
        return f"array({text}, {value.dtype}{value.shape})"
    if isinstance(value, np.generic):
        return f"{value.dtype}({value})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown, value))}]"
    return repr(value)


class Source:
    """What arguments are asked of."""

    x64 = True

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def pick(self, *right: Any, wrong: Sequence[Any] = ()) -> Any:
        """One of several values."""
        raise NotImplementedError

    def seed(self) -> int:
        """A number from which random ones are made."""
        raise NotImplementedError

    # ---- what is made of these ------------------------------------------------------------------------------

    def size(self) -> int:
        return int(self.pick(2, 3, 1, 4, 0))

    def shape(self, low: int = 0, high: int = 3) -> Shape:
        """Any shape of a rank in a range."""
        middle = min(max(low, 1), high)
        rank = self.pick(middle, *(r for r in range(low, high + 1) if r != middle))
        return tuple(self.size() for _ in range(rank))

    def other(self) -> str:
        """A dtype that may differ from that of the call."""
        return str(self.pick(self.dtype, wrong=COMMON))

    def axis(self, rank: int, wrong: bool = True) -> int:
        """An axis, perhaps a negative one."""
        right = [*range(rank), *range(-rank, 0)] or [0]
        return int(self.pick(*right, wrong=(rank, -rank - 1) if wrong else ()))

    def axes(self, rank: int, negative: bool = False) -> tuple[int, ...]:
        """Some of the axes."""
        chosen = [i for i in range(rank) if self.pick(True, False)]
        if negative:
            chosen = [i - rank if self.pick(False, True) else i for i in chosen]
        return tuple(self.pick(chosen, chosen[::-1], wrong=([*chosen, rank], [*chosen, *chosen[:1]], [*chosen, -1])))  # fmt: skip

    def permutation(self, rank: int) -> tuple[int, ...]:
        order = np.random.default_rng(self.seed()).permutation(rank).tolist()
        return tuple(self.pick(order, wrong=(order[:-1], [*order, rank], [-1, *order[1:]], [0] * rank)))

    def near(self, shape: Shape) -> Shape:
        """The shape, or one that does not fit."""
        larger = tuple(n + 1 for n in shape)
        return tuple(self.pick(shape, wrong=((*shape, 2), shape[1:], larger, (1,) * len(shape))))

    def numbers(self, shape: Shape, dtype: str | None = None, values: str = "any") -> np.ndarray:
        """An array. `values`: "any" with the corners of the dtype, "small" numbers, "positive" ones, "index"."""
        rng = np.random.default_rng(self.seed())
        return numbers(rng, shape, np.dtype(BY_NAME[dtype or self.dtype]), values)

    def array(self, shape: Shape | None = None, dtype: str | None = None, values: str = "any") -> Any:
        """An array: of any shape, and of the dtype of the call."""
        return self.numbers(self.shape() if shape is None else shape, dtype, values)

    def tensor(self, shape: Shape, dtype: str | None = None, values: str = "any") -> Any:
        """An array of this shape, perhaps a weakly typed one."""
        dtype = dtype or self.dtype
        number = {"bool": True, "int32": 2, "float32": 0.5, "complex64": 1j}.get(dtype)
        if number is not None and self.pick(False, False, False, True):
            return weak(number, shape)
        return self.numbers(shape, dtype, values)

    def operand(self, shape: Shape, dtype: str | None = None, values: str = "any") -> Any:
        """An array, or a number of some sort."""
        form = self.pick(*["array"] * 6, "numpy", "scalar", "python", "weak")
        dtype = dtype or self.dtype
        if form == "array":
            return self.numbers(shape, dtype, values)
        number = self.numbers((), dtype, values)
        if form == "scalar":
            return number
        if form == "numpy":
            return number[()]
        kind = dtypes.kind_of(BY_NAME[dtype])
        options = {"b": (True, 1), "i": (2, -1), "u": (1, 3), "f": (0.5, 2, -1.5), "c": (1j, 0.5, 2)}
        plain = self.pick(*options[kind or "f"], wrong=(True, 3, 1e10, 2j, -(2**40)))
        return plain if form == "python" else weak(plain, shape)


def numbers(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any], values: str) -> np.ndarray:
    """Random numbers of a dtype: no subnormal ones, which XLA takes for zeros in some programs and not in others."""
    kind = dtypes.kind_of(dtype)
    if values == "index":
        return rng.integers(0 if kind == "u" else -3, 5, shape).astype(dtype)
    if kind == "b":
        return np.asarray(rng.integers(0, 2, shape), bool)
    if kind in ("i", "u"):
        info = dtypes.iinfo(dtype)
        low, high = max(int(info.min), -9), min(int(info.max), 9)
        out = rng.integers(low, high, shape, endpoint=True)
        found = np.asarray(out, dtype)
        for end in (info.min, info.max):
            found[rng.random(shape) < (0.1 if values == "any" else 0)] = np.array(int(end), dtype)
        return found
    if kind == "c":
        part = np.dtype(np.float32 if dtype == np.complex64 else np.float64)
        both = [numbers(rng, shape, part, values) for _ in range(2)]
        out = np.empty(shape, dtype)
        out.real, out.imag = both
        return out
    out = rng.normal(size=shape) * 2
    if values == "positive" or dtype.name == "float8_e8m0fnu":
        out = np.abs(out) + 0.25
    if values == "any" and dtype.name != "float8_e8m0fnu":
        corners = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -2.0, np.inf, -np.inf, np.nan, 100.0, -37.5]
        out = np.where(rng.random(shape) < 0.25, rng.choice(corners, shape), out)
    tiny = float(dtypes.finfo(dtype).smallest_normal)
    with np.errstate(all="ignore"):
        return np.where(np.abs(out) < tiny, 0.0 * out + (dtype.name == "float8_e8m0fnu"), out).astype(dtype)


class Plain(Source):
    """The first answer to every question."""

    def pick(self, *right: Any, wrong: Sequence[Any] = ()) -> Any:
        return right[0]

    def seed(self) -> int:
        return 7

    def numbers(self, shape: Shape, dtype: str | None = None, values: str = "any") -> np.ndarray:
        return super().numbers(shape, dtype, "small" if values == "any" else values)


class Drawn(Source):
    """Answers that `choose` draws from lists of them."""

    def __init__(self, choose: Callable[[Sequence[Any]], Any], usual: Sequence[str]) -> None:
        self.choose = choose
        self.x64 = choose([True, False])
        self.mistaken = choose([False, False, True])
        dtype = choose([*usual, *ANY] if self.mistaken else usual)
        self.mistaken &= dtype in usual
        super().__init__(dtype)

    def pick(self, *right: Any, wrong: Sequence[Any] = ()) -> Any:
        if wrong and self.mistaken and self.choose([False, False, False, True]):
            self.mistaken = False
            return self.choose(wrong)
        return right[0] if len(right) == 1 else self.choose(right)

    def seed(self) -> int:
        return int(self.choose(range(256)))

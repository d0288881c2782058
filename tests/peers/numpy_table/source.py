"""Arguments of NumPy's functions, drawn: arrays of every kind, scalars, axes, and how they are written.

Invariant: what is drawn is text, to be evaluated where `np` is one of the two libraries and `A(values, dtype, shape)` makes
an array of it. Some of what is drawn is wrong: then both libraries must refuse it in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

BOOL = ("bool",)
INTEGERS = ("int32", "int8", "uint32", "uint8", "int16")
FLOATS = ("float32", "bfloat16", "float16")
COMPLEX = ("complex64",)
EXACT = INTEGERS + BOOL
REAL = ("float32", *EXACT, "bfloat16", "float16")
ANY = REAL + COMPLEX

SHAPES: tuple[tuple[int, ...], ...] = ((3,), (2, 3), (), (1, 3), (0,), (2, 1, 3), (2, 0), (1,))

_INTEGERS = (3, 0, 1, 2, 5, 1, 7, 2, 100, 4)
_SIGNED = (3, 0, -1, 2, -7, 1, 5, -2, 100, -128)
_FLOATS = (1.5, 0.0, -2.0, 0.25, 3.0, -0.5, 1.0, 2.5, 2.0, -1.0)
_WILD = (1.5, "nan", 0.0, "inf", -2.0, -0.0, "-inf", 1.0, 60000.0, -0.75)
_COMPLEX = ("1.5", "2-1j", "0", "-2j", "-1+3j", "0.5j", "1", "-0.25-0.5j")
_WILD_COMPLEX = ("inf+1j", "1.5", "nan+0j", "1-infj", "0", "nan-infj", "-inf+2j", "2+nanj")
_SCALARS = ("2", "-1", "0", "1.5", "True", "-0.5", "1j", "float('nan')", "float('inf')")


class Source:
    """Draws arguments.

    Args:
      pick: chooses one of some options; the first ones are the plainer.
    """

    def __init__(self, pick: Callable[[Sequence[Any]], Any]) -> None:
        self._pick = pick

    def pick(self, *options: Any) -> Any:
        """One of the options."""
        return self._pick(options)

    def options(self, *pairs: tuple[str, Sequence[Any]]) -> str:
        """Keyword arguments, most of them left out: `", name=value"` each."""
        return "".join(
            f", {name}={value}"
            for name, values in pairs
            if (value := self._pick((None, *values))) is not None
        )

    def numbers(self, dtype: str, size: int, wild: bool = True) -> list[Any]:
        """Numbers of a dtype; with infinities and NaN if they are `wild`, and there are any."""
        if dtype == "bool":
            pool: Sequence[Any] = (True, False, True, True, False)
        elif "int" in dtype:
            pool = _INTEGERS if dtype[0] == "u" else _SIGNED
        elif dtype == "complex64":
            pool = _WILD_COMPLEX if wild and self.pick(False, True) else _COMPLEX
        else:
            pool = _WILD if wild and self.pick(False, True) else _FLOATS
        start, step = self._pick(range(len(pool))), self.pick(1, 3, 0, 7) if size > 1 else 1
        return [pool[(start + step * i) % len(pool)] for i in range(size)]

    def array(
        self, dtypes: Sequence[str] = ANY, shapes: Sequence[tuple[int, ...]] = SHAPES, wild: bool = True
    ) -> str:
        """An array."""
        dtype, shape = self._pick(tuple(dtypes)), self._pick(tuple(shapes))
        size = 1
        for n in shape:
            size *= n
        return f"A({self.numbers(dtype, size, wild)}, '{dtype}', {shape})"

    def shaped(
        self, dtypes: Sequence[str] = ANY, wild: bool = True, shapes: Sequence[tuple[int, ...]] = SHAPES
    ) -> tuple[str, int]:
        """An array, and the number of its dimensions."""
        shape = self._pick(tuple(shapes))
        return self.array(dtypes, (shape,), wild), len(shape)

    def operand(
        self, dtypes: Sequence[str] = ANY, shapes: Sequence[tuple[int, ...]] = SHAPES, wild: bool = True
    ) -> str:
        """An array, or now and then a number of Python's, a weakly typed array or one of NumPy's scalars."""
        kind = self.pick("array", "array", "array", "number", "weak", "host")
        if kind == "array":
            return self.array(dtypes, shapes, wild)
        if kind == "host":
            return self.pick("numpy.float32(1.5)", "numpy.int8(3)", "numpy.uint32(7)", "numpy.bool_(True)")
        scalars = [s for s in _SCALARS if (wild or "float" not in s) and (COMPLEX[0] in dtypes or s != "1j")]
        number = self._pick(scalars)
        return number if kind == "number" else f"np.asarray({number})"

    def axis(self, rank: int, none: bool = True, several: bool = True) -> str:
        """An axis of an array of some rank, a tuple of them, or None; now and then one that it has not."""
        found: list[Any] = [-1, 0, *range(1, rank)] if rank else [0]
        found += [None] if none else []
        found += [(), (0, -1), (-2, 0)] if several else []
        return str(self._pick((*found, rank)))

    def places(self, rank: int, none: bool = True, several: bool = True) -> str:
        """`axis`, as a keyword argument that may be left out."""
        return f", axis={self.axis(rank, none, several)}" if self.pick(True, False) else ""

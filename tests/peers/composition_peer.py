"""A random program in JAX: its results must have the types, weak ones too, and the values that ours have.

Invariant: both libraries run the same text.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy
import numpy as np

import anima
from tests.transforms import checking, oracle
from tests.transforms.checking import Inconclusive, Mismatch, Point, function, names
from tests.transforms.composition import CHEAP
from tests.transforms.programs import Program


def features() -> frozenset[str]:
    """The structures that both libraries have."""
    return checking.features() & checking.features(jax)


def updated(x: Any, index: Any, how: str, value: Any) -> Any:
    """`x` with some elements changed."""
    return getattr(jax.numpy.asarray(x).at[index], how)(value)


def compare(program: Program, values: bool | None = None) -> None:
    """Compare a program's result types with JAX's, and its values (None: of one program in four).

    Raises:
      Mismatch: they differ. Inconclusive: JAX refuses the program.
    """
    with anima.enable_x64(program.wide), jax.enable_x64(program.wide), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = Point(program).args
        given = [
            a if isinstance(a, (int, float, complex)) else jax.numpy.asarray(np.asarray(a)) for a in args
        ]
        ours, theirs = _function(program, anima), _function(program, jax)
        shapes = anima.eval_shape(ours, *args)
        try:
            wanted = jax.eval_shape(theirs, *given)
        except Exception as error:
            raise Inconclusive(f"JAX: {type(error).__name__}: {str(error).splitlines()[0][:80]}") from error
        for index, (a, b) in enumerate(zip(shapes, wanted)):
            mine, other = _type(a, program.order == 0), _type(b, program.order == 0)
            if mine != other:
                raise Mismatch(f"result {index} is {mine}, in JAX {other}")
        if values if values is not None else program.choice % 4 == 0:
            _compare_values(program, ours, theirs, args, given)


def _function(program: Program, module: Any) -> Callable[..., list[Any]]:
    known = names(program.wide, module.jit, module)
    return function(program, {**known, "updated": updated} if module is jax else known, module.numpy.asarray)


def _type(struct: Any, weakness: bool) -> tuple[Any, ...]:
    # Whether a boolean is weakly typed has no consequence, and tangents are weakly typed more often than in JAX.
    weak = weakness and bool(struct.weak_type) and struct.dtype != bool
    return (tuple(struct.shape), str(struct.dtype), weak)


def _compare_values(program: Program, ours: Any, theirs: Any, args: list[Any], given: list[Any]) -> None:
    exact = program.wide and not program.mixed
    tolerance = 1e-9 if exact else 0.1 if program.mixed and not program.wide else 1e-3
    outs = anima.jit(ours, compiler_options=CHEAP)(*args)
    wanted = jax.jit(theirs)(*given)
    for index, (a, b) in enumerate(zip(map(oracle.plain, outs), map(oracle.plain, wanted))):
        finite = np.isfinite(b)
        scale = np.max(np.abs(np.where(finite, b, 0)), initial=1)
        with np.errstate(all="ignore"):
            good = (
                np.abs(np.where(finite, a.astype(b.dtype), 0) - np.where(finite, b, 0)) <= tolerance * scale
            )
        if not np.all(good) and b.dtype.kind != "b":
            raise Mismatch(f"result {index}:\n{a}\nin JAX\n{b}")

"""Shapes: broadcasting, reshaping, joining, padding, splitting; constants and counting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes, lax
from tests.lax.samples import C64, F32, I32, Sample, booleans, complexes, floats, integers

X, Y = floats((2, 3)), floats((2, 3, 4))


def moved(name: str, call: Callable[..., Any], oracle: Callable[..., Any], *args: np.ndarray) -> Sample:
    """A data movement: exact, for every dtype."""
    return Sample(primitive=name, call=call, args=args, oracle=oracle)


# --- broadcasting, reshaping, transposing -----------------------------------------------------

DIMENSIONS = [
    moved(
        "broadcast_in_dim",
        lambda x: lax.broadcast_in_dim(x, (5, 2, 4, 3), (1, 3)),
        lambda x: np.broadcast_to(x[None, :, None, :], (5, 2, 4, 3)),
        X,
    ),
    moved(
        "broadcast_in_dim",
        lambda x: lax.broadcast_in_dim(x, (3, 4, 2), (2, 0)),
        lambda x: np.broadcast_to(x.T[:, None, :], (3, 4, 2)),
        X,
    ),
    moved(
        "broadcast_in_dim",
        lambda x: lax.broadcast_in_dim(x, (1, 3, 4), (0, 2)),
        lambda x: np.broadcast_to(x[:, None, :], (1, 3, 4)),
        floats((1, 1)),
    ),
    moved(
        "broadcast_in_dim", lambda x: lax.broadcast(x, (2, 0)), lambda x: np.broadcast_to(x, (2, 0)), F32(1.5)
    ),
    moved("broadcast_in_dim", lambda x: lax.broadcast_to_rank(x, 4), lambda x: x[None, None], X),
    moved(
        "broadcast_in_dim",
        lambda x, y: lax.broadcast_like(x, y),
        lambda x, y: np.broadcast_to(x, y.shape),
        floats((4,)),
        Y,
    ),
    moved("broadcast_in_dim", lambda x: lax.expand_dims(x, (0, -2)), lambda x: x[None, :, None], X),
    moved("broadcast_in_dim", lambda x: lax.full_like(x, 2), lambda x: np.full_like(x, 2), X),
    moved(
        "broadcast_in_dim",
        lambda x: lax.full((2, 2), x, "float32"),
        lambda x: np.full((2, 2), x, F32),
        I32(7),
    ),
    moved("reshape", lambda x: lax.reshape(x, (3, 2)), lambda x: x.reshape(3, 2), X),
    moved(
        "reshape",
        lambda x: lax.reshape(x, (4, 6), (2, 0, 1)),
        lambda x: x.transpose(2, 0, 1).reshape(4, 6),
        Y,
    ),
    moved("reshape", lambda x: lax.reshape(x, ()), lambda x: x.reshape(()), floats((1, 1))),
    moved("reshape", lambda x: lax.collapse(x, 1), lambda x: x.reshape(2, 12), Y),
    moved("reshape", lambda x: lax.collapse(x, 0, -1), lambda x: x.reshape(6, 4), Y),
    moved("transpose", lambda x: lax.transpose(x, (1, 0)), lambda x: x.T, X),
    moved("transpose", lambda x: lax.transpose(x, (2, 0, 1)), lambda x: x.transpose(2, 0, 1), Y),
    moved("transpose", lambda x: lax.transpose(x, (1, 0)), lambda x: x.T, np.zeros((0, 3), F32)),
    moved("squeeze", lambda x: lax.squeeze(x, (0, -1)), lambda x: x[0, :, 0], floats((1, 3, 1))),
    moved("squeeze", lambda x: lax.squeeze(x, (1,)), lambda x: x[:, 0], complexes((2, 1, 2))),
    moved("rev", lambda x: lax.rev(x, (0, 2)), lambda x: x[::-1, :, ::-1], Y),
    moved("rev", lambda x: lax.rev(x, ()), lambda x: x, X),
]

# --- joining and padding ----------------------------------------------------------------------


def padded(x: np.ndarray, value: np.ndarray, config: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Interior padding, then padding at the edges, then cutting."""
    value = np.asarray(value, x.dtype)
    for axis, (low, high, interior) in enumerate(config):
        size = x.shape[axis]
        spaced = np.full((*x.shape[:axis], size + max(size - 1, 0) * interior, *x.shape[axis + 1 :]), value)
        places = [slice(None)] * x.ndim
        places[axis] = slice(None, None, interior + 1)
        spaced[tuple(places)] = x
        edges = [(max(low, 0), max(high, 0)) if d == axis else (0, 0) for d in range(x.ndim)]
        total = spaced.shape[axis] + low + high
        wide = np.full([n + sum(e) for n, e in zip(spaced.shape, edges)], value)
        wide[tuple(slice(e[0], e[0] + n) for e, n in zip(edges, spaced.shape))] = spaced
        x = np.take(wide, range(max(-low, 0), max(-low, 0) + total), axis)
    return x


def pad_sample(config: Sequence[tuple[int, int, int]], x: np.ndarray, value: Any = 9.0) -> Sample:
    return moved(
        "pad",
        lambda x, value: lax.pad(x, value, config),
        lambda x, value: padded(x, value, config),
        x,
        np.asarray(value, x.dtype),
    )


JOINING = [
    moved(
        "concatenate",
        lambda x, y: lax.concatenate([x, y, x], 1),
        lambda x, y: np.concatenate([x, y, x], 1),
        X,
        floats((2, 2)),
    ),
    moved(
        "concatenate",
        lambda x, y: lax.concatenate([x, y], 0),
        lambda x, y: np.concatenate([x, y], 0),
        np.zeros((0, 2), F32),
        floats((3, 2)),
    ),
    pad_sample([(1, 0, 2), (0, 1, 1)], X),
    pad_sample([(1, 2, 0), (0, 1, 0)], X),
    pad_sample([(-1, 2, 0), (0, -2, 0)], X),
    pad_sample([(-1, -1, 0), (0, -2, 0)], floats((3, 4))),
    pad_sample([(-1, 1, 2), (2, -1, 1)], X),
    pad_sample([(-4, 2, 0), (0, 0, 0)], X),
    pad_sample([(1, 1, 3)], np.zeros((0,), F32)),
    pad_sample([], np.float32(2)),
    pad_sample([(1, 1, 0)], integers((3,)), 4),
    moved("split", lambda x: lax.split(x, (1, 2), 1), lambda x: tuple(np.split(x, [1], 1)), X),
    moved("split", lambda x: lax.split(x, (0, 4), -1), lambda x: tuple(np.split(x, [0], -1)), Y),
    moved("stack", lambda x, y: lax.stack([x, y], 1), lambda x, y: np.stack([x, y], 1), X, -X),
    moved(
        "stack", lambda x, y: lax.stack([x, y, x], -1), lambda x, y: np.stack([x, y, x], -1), F32(1), F32(2)
    ),
    moved("unstack", lambda x: lax.unstack(x, 1), lambda x: tuple(np.moveaxis(x, 1, 0)), Y),
    moved("unstack", lambda x: lax.unstack(x, -1), lambda x: tuple(np.moveaxis(x, -1, 0)), X),
    moved("tile", lambda x: lax.tile(x, (3, 2)), lambda x: np.tile(x, (3, 2)), X),
    moved("tile", lambda x: lax.tile(x, (0, 2)), lambda x: np.tile(x, (0, 2)), X),
    moved(
        "optimization_barrier",
        lambda x, y: tuple(lax.optimization_barrier([x, y])),
        lambda x, y: (x, y),
        X,
        booleans((3,)),
    ),
]

# --- counting ---------------------------------------------------------------------------------


def counted(x: np.ndarray) -> np.ndarray:
    """The last index; narrow integers wrap around."""
    places = np.broadcast_to(np.arange(x.shape[1]), x.shape)
    if dtypes.is_int(x.dtype) and dtypes.itemsize_bits(x.dtype) < 64:
        places = places & ((1 << dtypes.itemsize_bits(x.dtype)) - 1)
        if dtypes.is_signed_int(x.dtype):
            top = 1 << (dtypes.itemsize_bits(x.dtype) - 1)
            places = (places ^ top) - top
    return places.astype(x.dtype)


COUNTING = [
    Sample(
        primitive="iota",
        call=lambda x: lax.broadcasted_iota(x.dtype, x.shape, 1),
        args=(X,),
        oracle=counted,
        differentiate=False,
    ),
    *(
        Sample(primitive="iota", call=call, args=(), oracle=oracle, mapped=False)
        for call, oracle in (
            (lambda: lax.iota("int32", 4), lambda: np.arange(4, dtype=I32)),
            (lambda: lax.iota("complex64", 3), lambda: np.arange(3).astype(C64)),
            (lambda: lax.iota("uint8", 300), lambda: np.arange(300).astype(np.uint8)),
            (
                lambda: lax.broadcasted_iota("float32", (3, 2), 0),
                lambda: np.array([[0, 0], [1, 1], [2, 2]], F32),
            ),
            (lambda: lax.iota("int32", 0), lambda: np.zeros((0,), I32)),
        )
    ),
]

SAMPLES = [*DIMENSIONS, *JOINING, *COUNTING]

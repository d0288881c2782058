"""A decoder of transformer blocks learns to predict the next token: one step of Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, going_on, integers, numbers, on

LAYERS, WIDTH, HEADS, TOKENS = 4, 128, 4, 512
BATCH, LENGTH = 4, 64


def loss_of(lib: Adapter) -> Callable[..., Any]:
    """The mean cross entropy of the next token."""
    np, lax, nn = lib.np, lib.lax, lib.nn

    def normalised(x: Any, scale: Any) -> Any:
        return x * lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale

    def attention(w: Any, x: Any) -> Any:
        q, k, v = np.moveaxis(np.reshape(x @ w["qkv"], (BATCH, -1, 3, HEADS, WIDTH // HEADS)), 2, 0)
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / (WIDTH // HEADS) ** 0.5
        seen = np.tril(np.ones(scores.shape[-2:], bool))
        mixed = np.einsum("bhqk,bkhd->bqhd", nn.softmax(np.where(seen, scores, -1e9), -1), v)
        return np.reshape(mixed, x.shape) @ w["out"]

    def block(w: Any, x: Any) -> Any:
        x = x + attention(w, normalised(x, w["scale1"]))
        return x + nn.gelu(normalised(x, w["scale2"]) @ w["up"]) @ w["down"]

    def loss(weights: Any, tokens: Any) -> Any:
        x = weights["tokens"][tokens[:, :-1]] + weights["places"]
        for w in weights["layers"]:
            x = block(w, x)
        scores = nn.log_softmax(x @ weights["tokens"].T, -1)
        return -np.take_along_axis(scores, tokens[:, 1:, None], -1).mean()

    return loss


def build(lib: Adapter) -> Run:
    np, tree_map, value_and_grad = lib.np, lib.tree.map, lib.value_and_grad
    assert value_and_grad is not None
    loss_and_slopes = value_and_grad(loss_of(lib))

    def update(weights: Any, means: Any, squares: Any, count: Any, _: Any, tokens: Any) -> Any:
        loss, slopes = loss_and_slopes(weights, tokens)
        count = count + 1
        means = tree_map(lambda m, g: 0.9 * m + 0.1 * g, means, slopes)
        squares = tree_map(lambda s, g: 0.999 * s + 0.001 * g * g, squares, slopes)
        rate = 1e-3 * np.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        weights = tree_map(lambda p, m, s: p - rate * m / (np.sqrt(s) + 1e-4), weights, means, squares)
        return weights, means, squares, count, loss

    weights = on(lib, parameters())
    zeros = [lib.tree.map(lambda p: p * 0, weights) for _ in range(2)]
    start = (weights, *zeros, *on(lib, (numpy.float32(0), numpy.float32(0))))
    tokens = on(lib, integers(BATCH, LENGTH + 1, below=TOKENS, seed=5))
    return Run(going_on(lib.jit(update), start, tokens))


def parameters() -> dict[str, Any]:
    """The weights of the decoder."""

    def matrix(rows: int, columns: int, seed: int) -> Any:
        return numbers(rows, columns, seed=seed, scale=rows**-0.5)

    def layer(seed: int) -> dict[str, Any]:
        shapes = {
            "qkv": (WIDTH, 3 * WIDTH),
            "out": (WIDTH, WIDTH),
            "up": (WIDTH, 4 * WIDTH),
            "down": (4 * WIDTH, WIDTH),
        }
        matrices = {name: matrix(*shape, seed + i) for i, (name, shape) in enumerate(shapes.items())}
        return {**matrices, **{name: numpy.ones(WIDTH, numpy.float32) for name in ("scale1", "scale2")}}

    tables = {"tokens": matrix(TOKENS, WIDTH, 1), "places": matrix(LENGTH, WIDTH, 2)}
    return {**tables, "layers": [layer(10 * i + 10) for i in range(LAYERS)]}

"""Programs that several benchmarks measure: how to make the function, and how to make its arguments.

Invariant: a function is made of new function objects at every call, inner ones too, so that no cache knows it and tracing
is never skipped; and it uses only what the adapters offer, so that every library runs the same program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bench.adapters import Adapter


class Workload(NamedTuple):
    """A program: `function(lib)` makes it anew, `arguments(lib)` what it is called with; whether it takes seconds to compile."""

    function: Callable[[Adapter], Callable[..., Any]]
    arguments: Callable[[Adapter], tuple[Any, ...]]
    slow: bool = True


LAYERS, WIDTH, HEADS, LENGTH, BATCH = 24, 64, 4, 16, 2
SINES = 10_000
LEAVES = 200


def transformer(lib: Adapter) -> Callable[..., Any]:
    """The gradient of a loss of 24 transformer blocks by their parameters."""
    np, lax, nn = lib.np, lib.lax, lib.nn

    def normalised(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred * lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * scale + shift

    def attention(layer: dict[str, Any], x: Any) -> Any:
        split = (BATCH, LENGTH, HEADS, WIDTH // HEADS)
        q, k, v = (np.reshape(x @ layer[name], split) for name in ("query", "key", "value"))
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / (WIDTH // HEADS) ** 0.5
        seen = np.tril(np.ones((LENGTH, LENGTH), bool))
        weights = nn.softmax(np.where(seen, scores, -1e9), axis=-1)
        mixed = np.einsum("bhqk,bkhd->bqhd", weights, v)
        return np.reshape(mixed, (BATCH, LENGTH, WIDTH)) @ layer["out"]

    def block(layer: dict[str, Any], x: Any) -> Any:
        x = x + attention(layer, normalised(x, layer["scale1"], layer["shift1"]))
        y = normalised(x, layer["scale2"], layer["shift2"])
        return x + nn.gelu(y @ layer["up"] + layer["bias"]) @ layer["down"]

    def loss(layers: list[dict[str, Any]], x: Any, y: Any) -> Any:
        for layer in layers:
            x = block(layer, x)
        return ((x - y) ** 2).mean()

    assert lib.grad is not None
    return lib.grad(loss)


def transformer_arguments(lib: Adapter) -> tuple[Any, ...]:
    np = lib.np

    def layer(number: int) -> dict[str, Any]:
        def matrix(seed: int, rows: int, columns: int) -> Any:
            values = np.sin(np.arange(rows * columns) * (1.3 + 0.1 * seed + number))
            return np.reshape(values, (rows, columns)) / rows**0.5

        square = {name: matrix(i, WIDTH, WIDTH) for i, name in enumerate(("query", "key", "value", "out"))}
        norms = {f"scale{i}": np.ones(WIDTH) for i in (1, 2)} | {f"shift{i}": np.zeros(WIDTH) for i in (1, 2)}
        up, down = matrix(5, WIDTH, 4 * WIDTH), matrix(6, 4 * WIDTH, WIDTH)
        return {**square, **norms, "up": up, "bias": np.zeros(4 * WIDTH), "down": down}

    x = np.reshape(np.cos(np.arange(BATCH * LENGTH * WIDTH) * 0.7), (BATCH, LENGTH, WIDTH))
    return [layer(i) for i in range(LAYERS)], x, np.zeros_like(x)


def chained_sines(lib: Adapter, count: int = SINES) -> Callable[..., Any]:
    """The sine of the sine of ..., so many times."""
    sin = lib.np.sin

    def chain(x: Any) -> Any:
        for _ in range(count):
            x = sin(x)
        return x

    return chain


def chained_sines_arguments(lib: Adapter) -> tuple[Any, ...]:
    return (lib.np.ones(8),)


def scan_of_scans(lib: Adapter) -> Callable[..., Any]:
    """A recurrent network over the rows of sequences, in a scan over sequences, in a scan over rounds."""
    np, lax = lib.np, lib.lax

    def step(carry: Any, row: Any) -> Any:
        hidden, weights = carry
        hidden = np.tanh(hidden @ weights + row)
        return (hidden, weights), hidden.sum()

    def sequence(carry: Any, rows: Any) -> Any:
        carry, sums = lax.scan(step, carry, rows)
        return carry, sums.mean()

    def round_(carry: Any, batch: Any) -> Any:
        carry, means = lax.scan(sequence, carry, batch)
        return carry, means * 2

    def run(hidden: Any, weights: Any, batches: Any) -> Any:
        (hidden, _), means = lax.scan(round_, (hidden, weights), batches)
        return hidden.sum() + means.sum()

    return run


def scan_of_scans_arguments(lib: Adapter) -> tuple[Any, ...]:
    np = lib.np
    rows = np.reshape(np.sin(np.arange(4 * 8 * 16 * 32) * 0.3), (4, 8, 16, 32))
    return np.zeros(32), np.eye(32) * 0.5, rows


def scan_of_scans_gradient(lib: Adapter) -> Callable[..., Any]:
    """The gradient of `scan_of_scans` by its state and its weights."""
    assert lib.grad is not None
    return lib.grad(scan_of_scans(lib), argnums=(0, 1))


def optimiser(lib: Adapter) -> Callable[..., Any]:
    """One step of Adam, with gradients clipped by their norm, for 200 arrays of parameters."""
    np, tree_map, leaves = lib.np, lib.tree.map, lib.tree.leaves

    def update(params: Any, grads: Any, means: Any, squares: Any, step: Any) -> Any:
        norm = np.sqrt(sum((g**2).sum() for g in leaves(grads)))
        grads = tree_map(lambda g: g * np.minimum(1.0, 1.0 / (norm + 1e-6)), grads)
        means = tree_map(lambda m, g: 0.9 * m + 0.1 * g, means, grads)
        squares = tree_map(lambda s, g: 0.999 * s + 0.001 * g**2, squares, grads)
        step = step + 1
        first, second = 1 - 0.9**step, 1 - 0.999**step

        def moved(p: Any, m: Any, s: Any) -> Any:
            return p - 1e-3 * (m / first) / (np.sqrt(s / second) + 1e-8) - 1e-5 * p

        return tree_map(moved, params, means, squares), means, squares, step

    return update


def optimiser_arguments(lib: Adapter) -> tuple[Any, ...]:
    np = lib.np
    shapes = [(16, 16), (16,), (4, 8), (32,)]
    params = {f"layer{i}": np.ones(shapes[i % 4]) for i in range(LEAVES)}
    zeros = lib.tree.map(np.zeros_like, params)
    return params, params, zeros, zeros, np.zeros((), np.int32)


WORKLOADS: dict[str, Workload] = {
    f"gradient of {LAYERS} transformer blocks": Workload(transformer, transformer_arguments),
    f"{SINES:,} chained sin": Workload(chained_sines, chained_sines_arguments),
    "scan of scans of scans": Workload(scan_of_scans, scan_of_scans_arguments, slow=False),
    "gradient of a scan of scans of scans": Workload(
        scan_of_scans_gradient, scan_of_scans_arguments, slow=False
    ),
    f"optimiser update of {LEAVES} leaves": Workload(optimiser, optimiser_arguments),
}

"""Train a classifier on scikit-learn's handwritten digits, and ask it which digits it found hardest.

Shows the main transformations at work: `jit` compiles the training step, `value_and_grad` differentiates the loss,
`vmap` of `grad` gives each example's own gradient. Run it with `make demo`; it takes a few seconds and writes
`examples/digits.png`.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")  # a file, not a window
import matplotlib.pyplot as plt
import numpy as onp
from sklearn.datasets import load_digits
from tqdm import tqdm

import anima
import anima.numpy as np
from anima import grad, jit, lax, nn, random, value_and_grad, vmap

LAYERS = (64, 128, 128, 10)
BATCH = 64
HELD_OUT = 360

Params = list[dict[str, Any]]


class Adam(NamedTuple):
    """The state of the Adam optimiser (Kingma and Ba, 2015): step count and running moments."""

    step: Any
    mean: Params
    square: Params


def init_params(key: Any) -> Params:
    """Weights drawn from a normal distribution scaled for ReLU (He et al., 2015); zero biases."""
    keys = random.split(key, len(LAYERS) - 1)
    return [
        {"w": random.normal(k, (m, n)) * np.sqrt(2.0 / m), "b": np.zeros(n)}
        for k, m, n in zip(keys, LAYERS[:-1], LAYERS[1:])
    ]


def logits(params: Params, image: Any) -> Any:
    """Unnormalised log-probabilities of the ten digits for images of shape (..., 64)."""
    x = image
    for layer in params[:-1]:
        x = nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(params: Params, image: Any, label: Any) -> Any:
    """Mean cross-entropy, with a little smoothing of the labels."""
    target = 0.95 * nn.one_hot(label, LAYERS[-1]) + 0.05 / LAYERS[-1]
    return -np.mean(np.sum(target * nn.log_softmax(logits(params, image)), axis=-1))


def jitter(key: Any, image: Any) -> Any:
    """Images shifted by up to one pixel at random and slightly noised, so that the network cannot learn them by heart."""
    shift_key, noise_key = random.split(key)
    shifts = random.randint(shift_key, (image.shape[0], 2), -1, 2)
    padded = lax.pad(image.reshape(-1, 8, 8), np.float32(0), ((0, 0, 0), (1, 1, 0), (1, 1, 0)))
    window = lambda picture, shift: lax.dynamic_slice(picture, (shift[0] + 1, shift[1] + 1), (8, 8))
    moved = vmap(window)(padded, shifts).reshape(image.shape)
    return moved + 0.05 * random.normal(noise_key, image.shape)


@partial(jit, donate_argnums=(0, 1))
def train_step(
    params: Params, adam: Adam, key: Any, image: Any, label: Any, rate: Any
) -> tuple[Params, Adam, Any]:
    """One step of Adam on one batch."""
    value, gradient = value_and_grad(loss)(params, jitter(key, image), label)
    step = adam.step + 1
    mean = anima.tree.map(lambda m, g: 0.9 * m + 0.1 * g, adam.mean, gradient)
    square = anima.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, adam.square, gradient)
    size = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    params = anima.tree.map(lambda p, m, s: p - size * m / (np.sqrt(s) + 1e-8), params, mean, square)
    return params, Adam(step, mean, square), value


@jit
def predict(params: Params, image: Any) -> Any:
    """The most probable digit for each image."""
    return np.argmax(logits(params, image), axis=-1)


@jit
def gradient_norms(params: Params, image: Any, label: Any) -> Any:
    """The length of each example's own gradient: how much it would still change the network."""

    def norm(picture: Any, digit: Any) -> Any:
        leaves = anima.tree.leaves(grad(loss)(params, picture, digit))
        return np.sqrt(sum(np.sum(leaf**2) for leaf in leaves))

    return vmap(norm)(image, label)


def load(key: Any) -> tuple[Any, Any, Any, Any]:
    """Images scaled to [0, 1] and labels, shuffled and split into training and held-out parts."""
    digits = load_digits()
    order = random.permutation(key, len(digits.target))
    images = np.asarray(digits.data / 16.0, dtype=np.float32)[order]
    labels = np.asarray(digits.target, dtype=np.int32)[order]
    return images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT]


def train(key: Any, images: Any, labels: Any, epochs: int) -> tuple[Params, list[float]]:
    """The trained parameters, and the loss at each step."""
    key, init_key = random.split(key)
    params = init_params(init_key)
    zeros = lambda: anima.tree.map(np.zeros_like, params)
    adam = Adam(np.zeros((), np.int32), zeros(), zeros())
    batches = len(labels) // BATCH
    history = []
    for epoch in tqdm(range(epochs), desc="training", unit="epoch"):
        key, order_key = random.split(key)
        order = random.permutation(order_key, len(labels))[: batches * BATCH].reshape(batches, BATCH)
        rate = 3e-3 * 0.5 * (1 + onp.cos(onp.pi * epoch / epochs))
        for batch in order:
            key, step_key = random.split(key)
            params, adam, value = train_step(params, adam, step_key, images[batch], labels[batch], rate)
            history.append(value)
    return params, [float(v) for v in history]


def draw(history: list[float], images: Any, labels: Any, guesses: Any, norms: Any, path: Path) -> None:
    """The loss curve, and the held-out digits with the largest gradients."""
    hardest = onp.argsort(-onp.asarray(norms))[:10]
    figure = plt.figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    axis = left.subplots()
    axis.plot(history, color="0.8", linewidth=0.8)
    smooth = onp.convolve(history, onp.ones(20) / 20, "valid")
    axis.plot(onp.arange(19, 19 + len(smooth)), smooth)
    axis.set(xlabel="step", ylabel="training loss", title="Loss")
    right.suptitle("Hardest held-out digits (gradient norm)")
    for cell, index in zip(right.subplots(2, 5).flat, hardest):
        cell.imshow(onp.asarray(images[int(index)]).reshape(8, 8), cmap="gray_r")
        wrong = int(guesses[int(index)]) != int(labels[int(index)])
        cell.set_title(
            f"{int(labels[int(index)])}→{int(guesses[int(index)])}  {float(norms[int(index)]):.1f}",
            color="tab:red" if wrong else "black",
        )
        cell.axis("off")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train, report, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("digits.png"))
    options = parser.parse_args()
    start = time.perf_counter()
    data_key, train_key = random.split(random.PRNGKey(options.seed))
    images, labels, test_images, test_labels = load(data_key)
    params, history = train(train_key, images, labels, options.epochs)
    guesses = predict(params, test_images)
    accuracy = float(np.mean(guesses == test_labels))
    norms = gradient_norms(params, test_images, test_labels)
    draw(history, test_images, test_labels, guesses, norms, options.out)
    print(f"devices: {anima.devices()}")
    print(f"held-out accuracy: {accuracy:.4f} on {len(test_labels)} digits")
    print(
        f"per-example gradient norms: median {float(onp.median(norms)):.3f}, largest {float(np.max(norms)):.3f}"
    )
    print(f"{len(history)} steps in {time.perf_counter() - start:.1f} s; figure in {options.out.name}")
    if accuracy < 0.97:
        raise SystemExit("the held-out accuracy is below 0.97")


if __name__ == "__main__":
    main()

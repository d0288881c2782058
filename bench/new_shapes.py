"""What everyday functions take at shapes that the process has not met: `python -m bench.new_shapes` lists each.

Invariant: both libraries go through the same list in the same order, each in a process of its own without a cache on the disk. A
function is called at one shape first, for what a library does once, and timed at the next few; each shape belongs to one function.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.fresh import printed_by

# The cases: a name, and an expression of the arrays `x` (n by m), `v` (n numbers), `s` (n by n, positive definite), the numbers
# `n` and `m`, and a random key.
NUMPY = {
    name: f"np.{expression}"
    for name, expression in (
        ("exp", "exp(x)"),
        ("hypot", "hypot(x, x)"),
        ("sum", "sum(x)"),
        ("mean of rows", "mean(x, axis=1)"),
        ("var", "var(x, axis=0)"),
        ("prod", "prod(v)"),
        ("prod of rows", "prod(x, axis=1)"),
        ("max", "max(x)"),
        ("argmax", "argmax(x, axis=1)"),
        ("median", "median(v)"),
        ("median of rows", "median(x, axis=1)"),
        ("percentile", "percentile(v, 30)"),
        ("quantile", "quantile(x, 0.3, axis=0)"),
        ("sort", "sort(v)"),
        ("argsort", "argsort(v)"),
        ("unique", "unique(v)"),
        ("cumsum", "cumsum(v)"),
        ("cumprod", "cumprod(v)"),
        ("diff", "diff(v)"),
        ("gradient", "gradient(v)"),
        ("trapezoid", "trapezoid(v)"),
        ("roll", "roll(v, 2)"),
        ("flip", "flip(v)"),
        ("tile", "tile(v, 2)"),
        ("repeat", "repeat(v, 2)"),
        ("pad", "pad(v, 2)"),
        ("concatenate", "concatenate([v, v])"),
        ("stack", "stack([v, v])"),
        ("outer", "outer(v, v)"),
        ("kron", "kron(v, v)"),
        ("dot", "dot(v, v)"),
        ("matmul", "matmul(x, x.T)"),
        ("einsum", "einsum('ij,kj->ik', x, x)"),
        ("tensordot", "tensordot(x, x, axes=((1,), (1,)))"),
        ("cov", "cov(x)"),
        ("corrcoef", "corrcoef(x)"),
        ("searchsorted", "searchsorted(v, v)"),
        ("digitize", "digitize(v, v)"),
        ("interp", "interp(v, v, v)"),
        ("histogram", "histogram(v, 10)"),
        ("bincount", "bincount(np.arange(n))"),
        ("convolve", "convolve(v, v[:3])"),
        ("correlate", "correlate(v, v[:3])"),
        ("polyval", "polyval(v[:5], v)"),
        ("cross", "cross(x[:, :3], x[:, :3])"),
        ("triu", "triu(x)"),
        ("eye", "eye(n)"),
        ("where", "where(x > 0, x, 0)"),
        ("clip", "clip(x, -1, 1)"),
        ("nonzero", "nonzero(v > 0)"),
        ("isclose", "isclose(x, x)"),
        ("allclose", "allclose(x, x)"),
        ("nan_to_num", "nan_to_num(x)"),
        ("nanmean", "nanmean(x)"),
        ("std", "std(x)"),
        ("linspace", "linspace(0, 1, n)"),
        ("meshgrid", "meshgrid(v, v)"),
        ("take_along_axis", "take_along_axis(x, np.argsort(x, axis=1), axis=1)"),
        ("exp of complex", "exp(x + 1j)"),
        ("abs of complex", "abs(x + 1j)"),
        ("vander", "vander(v, 3)"),
        ("average", "average(v, weights=v + 9)"),
    )
}
RANDOM = {
    name: f"jax.random.{expression}"
    for name, expression in (
        ("normal", "normal(key, (n,))"),
        ("normal of two dimensions", "normal(key, (n, m))"),
        ("uniform", "uniform(key, (n,))"),
        ("randint", "randint(key, (n,), 0, 10)"),
        ("bits", "bits(key, (n,))"),
        ("split", "split(key, n)"),
        ("permutation", "permutation(key, n)"),
        ("permutation of an array", "permutation(key, v)"),
        ("choice", "choice(key, n, (n,))"),
        ("choice without replacement", "choice(key, n, (5,), replace=False)"),
        ("bernoulli", "bernoulli(key, 0.3, (n,))"),
        ("exponential", "exponential(key, (n,))"),
        ("gumbel", "gumbel(key, (n,))"),
        ("laplace", "laplace(key, (n,))"),
        ("truncated_normal", "truncated_normal(key, -1, 1, (n,))"),
        ("categorical", "categorical(key, v)"),
        ("gamma", "gamma(key, 2.0, (n,))"),
        ("beta", "beta(key, 2.0, 3.0, (n,))"),
        ("poisson", "poisson(key, 2.0, (n,))"),
        ("dirichlet", "dirichlet(key, np.abs(v) + 1)"),
        ("multivariate_normal", "multivariate_normal(key, v, s)"),
    )
}
LINALG = {
    f"linalg.{name}": f"np.linalg.{expression}"
    for name, expression in (
        ("solve", "solve(s, v)"),
        ("inv", "inv(s)"),
        ("det", "det(s)"),
        ("slogdet", "slogdet(s)"),
        ("cholesky", "cholesky(s)"),
        ("qr", "qr(x)"),
        ("svd", "svd(x)"),
        ("eigh", "eigh(s)"),
        ("eigvalsh", "eigvalsh(s)"),
        ("eig", "eig(s)"),
        ("lstsq", "lstsq(x, v)"),
        ("pinv", "pinv(x)"),
        ("norm", "norm(x)"),
        ("norm of rows", "norm(x, axis=1)"),
        ("matrix_power", "matrix_power(s, 3)"),
        ("matrix_rank", "matrix_rank(x)"),
    )
}
FFT = {
    f"fft.{name}": f"np.fft.{expression}"
    for name, expression in (
        ("fft", "fft(v)"),
        ("rfft", "rfft(v)"),
        ("ifft", "ifft(v)"),
        ("irfft", "irfft(np.fft.rfft(v), n)"),
        ("fft2", "fft2(x)"),
        ("fftshift", "fftshift(v)"),
        ("fftfreq", "fftfreq(n)"),
    )
}
OTHERS = {
    "special.erf": "jax.scipy.special.erf(x)",
    "special.gammaln": "jax.scipy.special.gammaln(x)",
    "special.logsumexp": "jax.scipy.special.logsumexp(x, axis=1)",
    "special.digamma": "jax.scipy.special.digamma(x)",
    "special.expit": "jax.scipy.special.expit(x)",
    "special.xlogy": "jax.scipy.special.xlogy(x, x)",
    "nn.softmax": "jax.nn.softmax(x)",
    "nn.log_softmax": "jax.nn.log_softmax(x)",
    "nn.relu": "jax.nn.relu(x)",
    "nn.gelu": "jax.nn.gelu(x)",
    "nn.one_hot": "jax.nn.one_hot(np.arange(n), n)",
    "nn.standardize": "jax.nn.standardize(x)",
}
CASES = {**NUMPY, **RANDOM, **LINALG, **FFT, **OTHERS}

# Prints the seconds of each case, and of all of them at the end, those of the first shapes left out.
_SOURCE = """
import sys, time, warnings
import numpy
import {lib} as jax
import {lib}.numpy as np
import {lib}.scipy.special

warnings.simplefilter("ignore")
source = numpy.random.default_rng(0)
key = jax.block_until_ready(jax.random.key(0))
number = 0
took = 0.0
for name, expression in CASES:
    code = compile(expression, name, "eval")
    times = []
    for turn in range(4):
        number += 1
        n, m = 12 + number % 29 + number // 145, 11 + number % 5 + number // 145
        x, v, s = (np.asarray(source.normal(size=d).astype(numpy.float32)) for d in ((n, m), (n,), (n, n)))
        s = np.asarray(numpy.asarray(s) @ numpy.asarray(s).T + n * numpy.eye(n, dtype=numpy.float32))
        jax.block_until_ready((x, v, s))
        start = time.perf_counter()
        jax.block_until_ready(eval(code))
        times.append(time.perf_counter() - start)
    took += sum(times[1:])
    if LISTED:
        print(name, *times, sep=chr(9), flush=True)
"""


def source(cases: Mapping[str, str], listed: bool = False) -> str:
    """The program that measures some cases, for `fresh.number_from`.

    Args:
      cases: their names and expressions.
      listed: whether it prints a line for each.
    """
    return _SOURCE.replace("CASES", repr(list(cases.items()))).replace("LISTED", repr(listed))


def seconds(lib: str, cases: Mapping[str, str]) -> dict[str, float]:
    """What each case takes at a new shape, in a fresh process: the median."""
    with tempfile.TemporaryDirectory() as cache:
        printed = printed_by(
            source(cases, True).format(lib=lib), Path(cache), ANIMA_ENABLE_COMPILATION_CACHE="0"
        )
    rows = [line.split("\t") for line in printed.splitlines()]
    return {name: statistics.median(map(float, times[1:])) for name, *times in rows}


def main(chosen: Sequence[str]) -> None:
    """Print the ratio of each case to JAX, the worst ones first.

    Args:
      chosen: parts of the names of cases; none are all.
    """
    cases = {name: e for name, e in CASES.items() if not chosen or any(part in name for part in chosen)}
    ours, theirs = seconds("anima", cases), seconds("jax", cases)
    for name in sorted(cases, key=lambda name: -ours[name] / theirs[name]):
        print(
            f"{ours[name] / theirs[name]:6.3f}  {name}  ({ours[name] * 1e3:.2f} and {theirs[name] * 1e3:.2f} ms)"
        )
    ratios = [ours[name] / theirs[name] for name in cases]
    print(
        f"geometric mean {statistics.geometric_mean(ratios):.3f}; above 0.1: {sum(r > 0.1 for r in ratios)} of {len(ratios)}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])

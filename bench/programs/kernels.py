"""How long single operations run on arrays of the sizes that they are used at: the kernels behind the libraries.

Invariant: every library gets the same numbers and computes the same results, each in the layout of images that is its own
(channels last, or in PyTorch first); compiled where it compiles, PyTorch eagerly.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy

from bench.adapters import Adapter
from bench.case import Program

program = Program("Kernels", quick_cases=12)

Function = Callable[..., Any]
GOAL = {"jax": 1.1, "torch": 1.1}


def numbers(*shape: int, seed: int = 0) -> Any:
    """Normally distributed numbers."""
    return numpy.random.default_rng(seed).standard_normal(shape, numpy.float32)


def integers(count: int, below: int) -> Any:
    """Evenly distributed integers."""
    return numpy.random.default_rng(1).integers(0, below, count, numpy.int32)


def _tensor(torch: Any, value: Any) -> Any:
    if value.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(value.astype(numpy.float32)).bfloat16()
    return torch.from_numpy(value.astype(numpy.int64) if value.dtype == numpy.int32 else value)


def row(
    name: str,
    arguments: Callable[[], tuple[Any, ...]],
    ours: Callable[[Adapter], Function],
    theirs: Callable[[Any], Function] | None = None,
    limits: Mapping[str, float] | None = None,
    torch_arguments: Callable[[], tuple[Any, ...]] | None = None,
) -> None:
    """Declare a case.

    Args:
      arguments: makes what the function is called with, as NumPy arrays.
      ours: makes the function of a library like JAX.
      theirs: makes that of PyTorch; None: it has no such function.
      limits: the ratios that are wanted; default: at most 1.1 of either peer.
      torch_arguments: those of PyTorch, where they differ.
    """

    def prepare(lib: Adapter) -> Callable[[], Any]:
        if lib.name != "torch":
            compiled = lib.jit(ours(lib))
            arrays = [lib.np.asarray(value) for value in arguments()]
            return lambda: compiled(*arrays)
        torch = importlib.import_module("torch")
        assert theirs is not None
        function = theirs(torch)
        tensors = [_tensor(torch, value) for value in (torch_arguments or arguments)()]
        return lambda: function(*tensors)

    peers = ("jax",) if theirs is None else ("jax", "torch")
    wanted = GOAL if limits is None else limits
    program.timed(name, peers=peers, limits={p: wanted[p] for p in peers if p in wanted})(prepare)


# ---- products -------------------------------------------------------------------------------------------------------


def product(name: str, left: tuple[int, ...], right: tuple[int, ...], dtype: Any = numpy.float32) -> None:
    row(
        f"matmul, {name}",
        lambda: (numbers(*left).astype(dtype), numbers(*right, seed=1).astype(dtype)),
        lambda lib: lib.np.matmul,
        lambda torch: torch.matmul,
    )


product("float32, 1024", (1024, 1024), (1024, 1024))
product("bfloat16, 512", (512, 512), (512, 512), ml_dtypes.bfloat16)
product("64 of 128", (64, 128, 128), (64, 128, 128))
product("(65536, 32) by (32, 32)", (65536, 32), (32, 32))

# ---- convolutions ---------------------------------------------------------------------------------------------------


def convolution(
    name: str, batch: int, size: int, features: tuple[int, int], kernel: int, stride: int
) -> None:
    """The convolution of images, and its derivatives by images and filters; depthwise if it has no features out."""
    count, out = features
    groups = 1 if out else count
    images, filters = (batch, size, size, count), (kernel, kernel, count // groups, out or count)
    pad = kernel // 2

    def arguments() -> tuple[Any, ...]:
        return numbers(*images), numbers(*filters, seed=1)

    def with_cotangent() -> tuple[Any, ...]:
        places = (size + 2 * pad - kernel) // stride + 1
        return *arguments(), numbers(batch, places, places, out or count, seed=2)

    def channels_first(values: tuple[Any, ...]) -> tuple[Any, ...]:
        orders = (0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)
        return tuple(numpy.ascontiguousarray(x.transpose(order)) for x, order in zip(values, orders))

    def forward(lib: Adapter) -> Function:
        def convolve(x: Any, w: Any) -> Any:
            layout = ("NHWC", "HWIO", "NHWC")
            pads = [(pad, pad)] * 2
            return lib.lax.conv_general_dilated(
                x, w, (stride, stride), pads, dimension_numbers=layout, feature_group_count=groups
            )

        return convolve

    def backward(lib: Adapter) -> Function:
        assert lib.grad is not None
        convolve = forward(lib)
        # Linear in each, so that only the derivatives are computed.
        return lib.grad(lambda x, w, cotangent: (convolve(x, w) * cotangent).sum(), argnums=(0, 1))

    def torch_forward(torch: Any) -> Function:
        return lambda x, w: torch.nn.functional.conv2d(x, w, None, stride, pad, 1, groups)

    def torch_backward(torch: Any) -> Function:
        strides, pads, steps = [stride] * 2, [pad] * 2, [1, 1]
        return lambda x, w, cotangent: torch.ops.aten.convolution_backward(
            cotangent, x, w, None, strides, pads, steps, False, [0, 0], groups, [True, True, False]
        )

    row(
        f"convolution, {name}",
        arguments,
        forward,
        torch_forward,
        torch_arguments=lambda: channels_first(arguments()),
    )
    row(
        f"convolution's gradients, {name}",
        with_cotangent,
        backward,
        torch_backward,
        torch_arguments=lambda: channels_first(with_cotangent()),
    )


convolution("7x7, 3 to 64, 224, stride 2", 1, 224, (3, 64), 7, 2)
convolution("3x3, 64 to 64, 56", 2, 56, (64, 64), 3, 1)
convolution("1x1, 256 to 64, 56", 2, 56, (256, 64), 1, 1)
convolution("3x3, 128 to 128, 28, stride 2", 2, 28, (128, 128), 3, 2)
convolution("3x3, 512 to 512, 7", 2, 7, (512, 512), 3, 1)
convolution("3x3, depthwise, 128, 56", 2, 56, (128, 0), 3, 1)

# ---- pooling --------------------------------------------------------------------------------------------------------

LAST, FIRST = (8, 56, 56, 64), (8, 64, 56, 56)


def pooled(lib: Adapter, operation: str, first: bool) -> Function:
    """3x3 windows two apart, with channels last or first."""
    fill = -float("inf") if operation == "max" else 0.0
    combine = getattr(lib.lax, operation)

    def along(values: tuple[Any, Any]) -> tuple[Any, ...]:
        plain, window = values
        return (plain, plain, window, window) if first else (plain, window, window, plain)

    lie = along((1, 3)), along((1, 2)), along(((0, 0), (1, 1)))
    return lambda x: lib.lax.reduce_window(x, fill, combine, *lie)


def averaged(lib: Adapter, first: bool) -> Function:
    pool = pooled(lib, "add", first)
    return lambda x: pool(x) / 9


def max_gradient(lib: Adapter, first: bool) -> Function:
    assert lib.grad is not None
    pool = pooled(lib, "max", first)
    return lib.grad(lambda x: pool(x).sum())


def torch_max_gradient(torch: Any) -> Function:
    def gradient(x: Any) -> Any:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(torch.nn.functional.max_pool2d(x, 3, 2, 1).sum(), x)

    return gradient


def pooling(where: str, first: bool) -> None:
    arguments = lambda: (numbers(*(FIRST if first else LAST)),)
    torch_arguments = lambda: (numbers(*FIRST),)
    kinds: tuple[tuple[str, Callable[[Adapter], Function], Callable[[Any], Function]], ...] = (
        (
            "3x3 max pooling",
            lambda lib: pooled(lib, "max", first),
            lambda torch: lambda x: torch.nn.functional.max_pool2d(x, 3, 2, 1),
        ),
        (
            "3x3 average pooling",
            lambda lib: averaged(lib, first),
            lambda torch: lambda x: torch.nn.functional.avg_pool2d(x, 3, 2, 1),
        ),
        ("3x3 max pooling's gradient", lambda lib: max_gradient(lib, first), torch_max_gradient),
    )
    for name, ours, theirs in kinds:
        row(f"{name}, {where}", arguments, ours, theirs, {"jax": 0.3, "torch": 1.1}, torch_arguments)


pooling("channels last", first=False)
pooling("channels first", first=True)

# ---- layers of networks ---------------------------------------------------------------------------------------------

row(
    "softmax of rows, (1024, 1024)",
    lambda: (numbers(1024, 1024),),
    lambda lib: lib.nn.softmax,
    lambda torch: lambda x: torch.softmax(x, -1),
)


def layer_norm(lib: Adapter) -> Function:
    def normalised(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred * lib.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * scale + shift

    return normalised


row(
    "layer norm of rows, (1024, 1024)",
    lambda: (numbers(1024, 1024), numbers(1024), numbers(1024, seed=1)),
    layer_norm,
    lambda torch: lambda x, scale, shift: torch.nn.functional.layer_norm(x, (1024,), scale, shift),
)
row(
    "gelu, a million",
    lambda: (numbers(1_000_000),),
    lambda lib: lambda x: lib.nn.gelu(x, approximate=False),
    lambda torch: torch.nn.functional.gelu,
)


def attention(lib: Adapter) -> Function:
    def attended(q: Any, k: Any, v: Any) -> Any:
        weights = lib.nn.softmax(lib.np.einsum("hqd,hkd->hqk", q, k) / 8.0, axis=-1)
        return lib.np.einsum("hqk,hkd->hqd", weights, v)

    return attended


row(
    "attention, 8 heads, 512, 64",
    lambda: tuple(numbers(8, 512, 64, seed=i) for i in range(3)),
    attention,
    lambda torch: torch.nn.functional.scaled_dot_product_attention,
)

# ---- along dimensions -----------------------------------------------------------------------------------------------


def summed(of: str, axis: int | None) -> None:
    row(
        f"sum of {of}, (2048, 2048)",
        lambda: (numbers(2048, 2048),),
        lambda lib: lambda x: lib.np.sum(x, axis=axis),
        lambda torch: torch.sum if axis is None else lambda x: torch.sum(x, axis),
    )


summed("all", None)
summed("columns", 0)
summed("rows", 1)

SORTED = {"jax": 0.1, "torch": 1.1}
MILLION: Callable[[], tuple[Any, ...]] = lambda: (numbers(1_000_000),)
row("sort, a million", MILLION, lambda lib: lib.np.sort, lambda torch: torch.sort, SORTED)
row("argsort, a million", MILLION, lambda lib: lib.np.argsort, lambda torch: torch.argsort, SORTED)
row(
    "sort, 1000 rows of 100",
    lambda: (numbers(1000, 100),),
    lambda lib: lib.np.sort,
    lambda torch: torch.sort,
    {"jax": 0.2, "torch": 1.1},
)
row(
    "sort, 10 elements",
    lambda: (numbers(10),),
    lambda lib: lib.np.sort,
    lambda torch: torch.sort,
    {"jax": 0.5, "torch": 1.1},
)


def largest(k: int, of: str, shape: tuple[int, ...], limit: float = 0.1) -> None:
    row(
        f"top_k, {k} of {of}",
        lambda: (numbers(*shape),),
        lambda lib: lambda x: lib.lax.top_k(x, k),
        lambda torch: lambda x: torch.topk(x, k),
        {"jax": limit, "torch": 1.1},
    )


largest(10, "a million", (1_000_000,))
largest(1000, "a million", (1_000_000,))
largest(8, "1000 rows of 1000", (1000, 1000), 0.5)

RUNNING = {"jax": 0.15, "torch": 1.1}
row(
    "cumsum, a million",
    MILLION,
    lambda lib: lib.np.cumsum,
    lambda torch: lambda x: torch.cumsum(x, 0),
    RUNNING,
)
row(
    "cumprod, a million",
    MILLION,
    lambda lib: lib.np.cumprod,
    lambda torch: lambda x: torch.cumprod(x, 0),
    RUNNING,
)
row(
    "cummax, a million",
    MILLION,
    lambda lib: lib.lax.cummax,
    lambda torch: lambda x: torch.cummax(x, 0),
    RUNNING,
)
row(
    "cumlogsumexp, 100,000",
    lambda: (numbers(100_000),),
    lambda lib: lib.lax.cumlogsumexp,
    lambda torch: lambda x: torch.logcumsumexp(x, 0),
    RUNNING,
)


def summed_so_far(of: str, axis: int) -> None:
    row(
        f"cumsum of {of}, (1024, 1024)",
        lambda: (numbers(1024, 1024),),
        lambda lib: lambda x: lib.np.cumsum(x, axis=axis),
        lambda torch: lambda x: torch.cumsum(x, axis),
        RUNNING,
    )


summed_so_far("columns", 0)
summed_so_far("rows", 1)

# ---- at places ------------------------------------------------------------------------------------------------------

row(
    "gather, 50,000 rows of (100,000, 64)",
    lambda: (numbers(100_000, 64), integers(50_000, 100_000)),
    lambda lib: lambda x, at: x[at],
    lambda torch: lambda x, at: x[at],
)
row(
    "scatter-add, 50,000 rows to (10,000, 64)",
    lambda: (numbers(10_000, 64), integers(50_000, 10_000), numbers(50_000, 64, seed=1)),
    lambda lib: lambda x, at, rows: x.at[at].add(rows),
    lambda torch: lambda x, at, rows: torch.index_add(x, 0, at, rows),
)

# ---- transposes -----------------------------------------------------------------------------------------------------


def turned(name: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    row(
        f"transpose, {name}",
        lambda: (numbers(*shape),),
        lambda lib: lambda x: lib.np.transpose(x, axes),
        lambda torch: lambda x: x.permute(axes).contiguous(),
    )


turned("(4096, 1024)", (4096, 1024), (1, 0))
turned("channels last to first", LAST, (0, 3, 1, 2))
turned("channels first to last", FIRST, (0, 2, 3, 1))

# ---- Fourier transforms, linear algebra -----------------------------------------------------------------------------

row(
    "FFT, 16 of 65,536",
    lambda: (numbers(16, 65_536) + 1j * numbers(16, 65_536, seed=1),),
    lambda lib: lib.np.fft.fft,
    lambda torch: torch.fft.fft,
)
row(
    "real FFT in two dimensions, (1024, 1024)",
    lambda: (numbers(1024, 1024),),
    lambda lib: lib.np.fft.rfft2,
    lambda torch: torch.fft.rfft2,
)


def definite(n: int) -> Any:
    """A positive definite matrix."""
    x = numbers(n, n)
    return x @ x.T / n + numpy.eye(n, dtype=numpy.float32)


FACTORED = {"jax": 0.6, "torch": 1.1}
row(
    "cholesky, 512",
    lambda: (definite(512),),
    lambda lib: lib.np.linalg.cholesky,
    lambda torch: torch.linalg.cholesky,
    FACTORED,
)
row(
    "solve, 512, 16 right sides",
    lambda: (definite(512), numbers(512, 16)),
    lambda lib: lib.np.linalg.solve,
    lambda torch: torch.linalg.solve,
    FACTORED,
)
row(
    "QR, (512, 256)",
    lambda: (numbers(512, 256),),
    lambda lib: lib.np.linalg.qr,
    lambda torch: torch.linalg.qr,
)
row(
    "SVD, (256, 256)",
    lambda: (numbers(256, 256),),
    lambda lib: lambda x: lib.np.linalg.svd(x, full_matrices=False),
    lambda torch: lambda x: torch.linalg.svd(x, full_matrices=False),
)
row("eigh, 256", lambda: (definite(256),), lambda lib: lib.np.linalg.eigh, lambda torch: torch.linalg.eigh)

# ---- random numbers -------------------------------------------------------------------------------------------------

KEY: Callable[[], tuple[Any, ...]] = lambda: (numpy.array([0, 7], numpy.uint32),)
row("threefry bits, a million", KEY, lambda lib: lambda key: lib.random.bits(key, (1_000_000,)))
row(
    "normal numbers, a million",
    KEY,
    lambda lib: lambda key: lib.random.normal(key, (1_000_000,)),
    lambda torch: lambda: torch.randn(1_000_000),
    torch_arguments=lambda: (),
)

# ---- loops ----------------------------------------------------------------------------------------------------------


def recurrent(lib: Adapter) -> Function:
    def run(start: Any, weights: Any, rows: Any) -> Any:
        def step(hidden: Any, row: Any) -> tuple[Any, Any]:
            hidden = lib.np.tanh(hidden @ weights + row)
            return hidden, hidden

        return lib.lax.scan(step, start, rows)[1]

    return run


def torch_recurrent(torch: Any) -> Function:
    def run(hidden: Any, weights: Any, rows: Any) -> Any:
        found = []
        for row_ in rows:
            hidden = torch.tanh(hidden @ weights + row_)
            found.append(hidden)
        return torch.stack(found)

    return run


row(
    "recurrent network, 100 steps, (32, 128)",
    lambda: (numbers(32, 128), numbers(128, 128, seed=1) / 12, numbers(100, 32, 128, seed=2)),
    recurrent,
    torch_recurrent,
)


def newton(lib: Adapter) -> Function:
    def roots(x: Any) -> Any:
        step = lambda s: (s[0] + 1, 0.5 * (s[1] + x / s[1]))
        return lib.lax.while_loop(lambda s: s[0] < 1000, step, (0, x))[1]

    return roots


def torch_newton(torch: Any) -> Function:
    def roots(x: Any) -> Any:
        y = x
        for _ in range(1000):
            y = 0.5 * (y + x / y)
        return y

    return roots


row(
    "while loop, 1000 steps of 8 numbers",
    lambda: (numpy.arange(1.0, 9.0, dtype=numpy.float32),),
    newton,
    torch_newton,
)

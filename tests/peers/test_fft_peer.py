"""Fourier transforms, ragged products, random bits and approximate extrema compared with JAX's."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import jax
import jax.scipy.fft
import numpy as np
import pytest

import anima
import anima.scipy.fft

pytestmark = pytest.mark.peers
F32 = np.float32
RNG = np.random.default_rng(0)


def outcome(call: Any) -> Any:
    """What a call gives, in a form that can be compared; "raises" if it raises."""
    try:
        found = jax.tree.leaves(call())
    except Exception:  # of JAX's, some come from its compiler
        return "raises"
    return [(str(x.dtype), tuple(x.shape), np.asarray(x)) for x in found]


def assert_agree(ours: Any, theirs: Any, where: Any, tolerance: float = 1e-5) -> None:
    if ours == "raises" or theirs == "raises":
        assert ours == theirs, where
        return
    assert len(ours) == len(theirs), where
    for one, other in zip(ours, theirs):
        assert one[:2] == other[:2], where
        np.testing.assert_allclose(
            one[2].astype(complex),
            other[2].astype(complex),
            rtol=tolerance,
            atol=tolerance,
            err_msg=str(where),
        )


FFT = [
    *(f"fft.{name}(x{more})" for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft") for x in ("real",)
      for more in ("", ", 3", ", 9, 0", ", None, -2", ", 4, 1, 'ortho'", ", 4, 1, 'forward'", ", norm='backward'",
                   ", 0", ", -1", ", axis=5", ", norm='no'", ", 2.5", ", axis=(0,)")),
    *(f"fft.{name}(x{more})" for name in ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
      for more in ("", ", (3, 9)", ", (4, 2), (1, 0)", ", axes=(0, -1), norm='ortho'", ", axes=(0, 0)", ", (3,), (0, 1)",
                   ", axes=(0,)", ", axes=()", ", (0, 2)", ", (2, 3, 4, 5)")),
    "fft.fftfreq(7)", "fft.fftfreq(8, 0.1)", "fft.rfftfreq(7, 3)", "fft.fftfreq(4, dtype='float16')", "fft.fftfreq(0)",
    "fft.fftfreq(4, [1.0])", "fft.fftshift(x)", "fft.ifftshift(x, 0)", "fft.fftshift(x, (0, -1))", "fft.fftshift(x, 5)",
    "fft.fft(1.0)", "fft.fft([1.0, 2.0])",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int32", "float16"])
def test_numpy_fft(dtype: str) -> None:
    host = (RNG.standard_normal((4, 5)) * 3).astype("complex64" if dtype == "complex64" else F32)
    cases = FFT if dtype in ("float32", "complex64") else [c for c in FFT if c.count(",") < 2]
    for case in cases:
        results = [
            outcome(lambda: eval(case, {"fft": lib.numpy.fft, "x": lib.numpy.array(host, dtype)}))
            for lib in (anima, jax)
        ]
        assert_agree(*results, case)


@pytest.mark.parametrize("kind", ["fft", "IFFT", "rfft", "irfft", "no", 0])
def test_lax_fft(kind: Any) -> None:
    for x in (RNG.standard_normal((3, 4, 3)).astype(F32), RNG.standard_normal((3, 3)).astype("complex64")):
        for lengths in ((3,), (4,), (5,), (), (4, 3), (3, 5), (2, 2, 2, 2)):
            results = [outcome(lambda: lib.lax.fft(x, kind, lengths)) for lib in (anima, jax)]
            assert_agree(*results, (kind, x.shape, lengths))
            if results[0] == "raises" or np.iscomplexobj(results[0][0][2]) != np.iscomplexobj(x):
                continue
            slopes = [
                outcome(
                    lambda: lib.vjp(lambda x: lib.lax.fft(x, kind, lengths), x)[1](
                        lib.lax.fft(x, kind, lengths)
                    )
                )
                for lib in (anima, jax)
            ]
            assert_agree(*slopes, ("vjp", kind, x.shape, lengths))


@pytest.mark.parametrize("kind", ["rfft", "irfft"])
def test_cotangents_of_real_transforms(kind: str) -> None:
    x = RNG.standard_normal((2, 3, 4)).astype(F32)
    given = x if kind == "rfft" else (x + 1j).astype("complex64")
    for lengths in ((4,), (3, 4)) if kind == "rfft" else ((6,), (7,), (3, 6), (3, 7)):
        primal = jax.lax.fft(given, kind, lengths)
        ct = (RNG.standard_normal(primal.shape) + (1j if kind == "rfft" else 0)).astype(primal.dtype)
        ours, theirs = (
            lib.vjp(lambda x: lib.lax.fft(x, kind, lengths), given)[1](ct)[0] for lib in (anima, jax)
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_cosine_transforms() -> None:
    x = RNG.standard_normal((4, 5)).astype(F32)
    for name, options in [
        *((name, o) for name in ("dct", "idct") for o in ({}, {"norm": "ortho"}, {"n": 3}, {"n": 7, "axis": 0})),
        *((name, o) for name in ("dctn", "idctn") for o in ({}, {"norm": "ortho"}, {"s": (3, 6)}, {"axes": (1,)})),
        ("dct", {"axis": 2}), ("dct", {"norm": "no"}), ("dctn", {"axes": (0, 0)}),
    ]:  # fmt: skip
        results = [outcome(lambda: getattr(lib.scipy.fft, name)(x, **options)) for lib in (anima, jax)]
        assert_agree(*results, (name, options))


def test_random_bits() -> None:
    keys = [
        np.array([1, 2, 3, 4], np.uint32),
        np.array([7, 1 << 40], np.uint64),
        np.full(4, 2**32 - 1, np.uint32),
    ]
    with jax.enable_x64(True), anima.enable_x64(True):
        for algorithm in range(3):
            for dtype in ("uint8", "uint16", "uint32", "uint64"):
                for key in keys:
                    for shape in ((), (7,), (3, 5)):
                        ours, theirs = (
                            lib.lax.rng_bit_generator(key, shape, dtype, lib.lax.RandomAlgorithm(algorithm))
                            for lib in (anima, jax)
                        )
                        for one, other in zip(ours, theirs):
                            assert one.dtype == other.dtype
                            np.testing.assert_array_equal(one, other)
        stacked = np.stack([keys[0], keys[2]])
        ours, theirs = (
            lib.vmap(lambda k: lib.lax.rng_bit_generator(k, (3,)))(stacked) for lib in (anima, jax)
        )
        for one, other in zip(ours, theirs):
            np.testing.assert_array_equal(one, other)


def test_approximate_extrema() -> None:
    x = RNG.permutation(600).reshape(2, 300).astype(F32)
    for name in ("approx_max_k", "approx_min_k"):
        for args, options in [
            ((3,), {}), ((2, 0), {}), ((300,), {}), ((10,), {"recall_target": 0.5}), ((0,), {}), ((301,), {}),
        ]:  # fmt: skip
            results = [outcome(lambda: getattr(lib.lax, name)(x, *args, **options)) for lib in (anima, jax)]
            assert_agree(*results, (name, args, options))
        for k, recall, override in ((10, 0.95, -1), (50, 0.9, -1), (3, 0.5, 4000), (1, 0.95, -1)):
            x = RNG.standard_normal((1, 3000)).astype(F32)
            options = {
                "recall_target": recall,
                "reduction_input_size_override": override,
                "aggregate_to_topk": False,
            }
            sizes = [getattr(lib.lax, name)(x, k, **options)[0].shape for lib in (anima, jax)]
            assert sizes[0] == sizes[1]


def test_ragged_products() -> None:
    lhs, rhs = RNG.standard_normal((6, 4)).astype(F32), RNG.standard_normal((3, 4, 5)).astype(F32)
    for sizes in ([2, 1, 3], [2, 0, 2], [5, 5, 5], [0, 0, 0], [2, 1]):
        for dtype in ("float32", "bfloat16", "int8", "bool"):
            results = [
                outcome(
                    lambda: lib.lax.ragged_dot(
                        lib.numpy.array(lhs, dtype), lib.numpy.array(rhs, dtype), np.array(sizes)
                    )
                )
                for lib in (anima, jax)
            ]
            assert_agree(*results, (sizes, dtype), 0.05 if dtype == "bfloat16" else 1e-5)
    grads = [
        lib.grad(lambda x, y: (lib.lax.ragged_dot(x, y, np.array([2, 1, 2])) ** 2).sum(), (0, 1))(lhs, rhs)
        for lib in (anima, jax)
    ]
    for one, other in zip(*grads):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        *(f"numpy.fft.{n}" for n in ("fft", "ifftn", "rfft2", "hfft", "fftfreq", "fftshift")),
        *(f"scipy.fft.{n}" for n in ("dct", "idct", "dctn", "idctn")),
        *(
            f"lax.{n}"
            for n in ("fft", "ragged_dot", "ragged_dot_general", "scaled_dot", "approx_max_k", "approx_min_k")
        ),
        *(f"lax.{n}" for n in ("rng_uniform", "rng_bit_generator", "after_all", "create_token", "composite")),
        *(f"lax.{n}" for n in ("dce_sink", "stage", "shape_as_value", "with_sharding_constraint")),
    ],
)
def test_parameters_have_the_same_names(name: str) -> None:
    module, _, attribute = name.rpartition(".")

    def parameters(lib: str) -> list[Any]:
        found = inspect.signature(getattr(importlib.import_module(f"{lib}.{module}"), attribute))
        return [(p.name, p.kind) for p in found.parameters.values()]

    assert parameters("anima") == parameters("jax")

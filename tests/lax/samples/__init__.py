"""Sample applications of the operations: the one table that the walk over them is driven by.

Invariant: every primitive of `anima.core.primitive.primitives` has at least one `Sample` in a module of this
package, or a line in `ELSEWHERE`. A module is a list `SAMPLES`, and all modules are found by themselves; so an
operation is added by writing a few lines here:

    SAMPLES = [
        Sample(
            primitive="cumsum",
            call=lambda x: lax.cumsum(x, axis=1),
            args=(floats((3, 4)),),
            oracle=lambda x: np.cumsum(x, axis=1),
            ulps=4,
        ),
    ]

What `tests/lax/test_operations.py` does with them:

| check | which samples |
| --- | --- |
| eager = jit = oracle | all |
| vmap = each slice by itself, whatever the mapped arguments and axes | all but `mapped=False` |
| jvp and vjp against finite differences in float64, to second order | the differentiable, but `differentiate=False` |
| every dtype that the primitive declares: lowers, compiles, runs, equals the oracle | each primitive's first |
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import anima.parallel.shard_map  # noqa: F401  (an operation that is loaded on demand)
from anima import dtypes, lax
from anima.extend.core import primitives as every_operation
from tests.platforms import ON_CPU, bound


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One application of an operation, and what it must give.

    Attributes:
      primitive: the name of the primitive that is sampled; the jaxpr of `call` must contain it.
      call: applies the public function to the arrays of `args`; parameters are part of the closure. Returns an
        array or a tuple of arrays. It must also work on other dtypes, for the walk casts the arguments.
      args: NumPy arrays. Where one has 64 bits, the sample runs in 64-bit mode.
      oracle: the same function of NumPy arrays, by NumPy, SciPy or mpmath; returns the same structure. If `ulps` is 0
        it is given the arguments as they are, and dtypes and bits of the results must agree (a NaN is a NaN).
        Else it is given wider ones (float64 for up to 32 bits, longdouble for float64, complex alike), and its
        result is compared in units in the last place of the dtype that the operation returns.
      ulps: the bound on the error, for all dtypes or by name of the result's dtype, with "" for those not named.
      flush: whether the operation takes subnormal numbers for zeros, as arithmetic and comparisons do; implied by `ulps`.
      floor: where the true result is smaller than this, a unit in the last place is that of `floor`; for
        results that suffer cancellation near a root. Complex results are measured by their modulus.
      differentiate: whether to check derivatives at these arguments, or the positions of the arguments to
        differentiate. They are cast to 64 bits; the points must be some 0.1 away from kinks and jumps.
      mapped: False if the operation cannot be mapped over these arguments.
      typed: positions of the arguments whose dtype is the one that the primitive declares; None: those of the dtype of
        the first.
      cpu_only: whether the result is defined on CPU devices only: where several writes go to one place, say.
      only: dtypes to which the walk over declared dtypes is confined for this sample (None: all declared).
    """

    primitive: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    oracle: Callable[..., Any]
    ulps: float | Mapping[str, float] = 0.0
    flush: bool = False
    floor: float = 0.0
    differentiate: bool | tuple[int, ...] = True
    mapped: bool = True
    typed: tuple[int, ...] | None = None
    cpu_only: bool = False
    only: tuple[str, ...] | None = None

    def ulps_of(self, dtype: np.dtype[Any]) -> float:
        """The bound for results of `dtype`."""
        if isinstance(self.ulps, Mapping):
            return bound(self.ulps.get(dtype.name, self.ulps.get("", 0.0)))
        return bound(self.ulps)


# By dtype, the operations which XLA refuses in it ("*": all of them) or, on GPUs, compiles wrongly. They must lower
# nevertheless.
NOT_COMPILED: dict[str, tuple[str, ...]] = {}
WRONG_ON_GPU: dict[str, tuple[str, ...]] = {"int2": ("cummax",), "float8_e8m0fnu": ("reduce_precision",)}

# Primitives that do not fit the table, with the test file (below `tests/`) that walks them instead.
ELSEWHERE: dict[str, str] = {
    "call_exported": "export/test_export.py",
    "ffi_call": "ffi/test_calls.py",
    "betainc_density": "lax/special/test_incomplete.py",
    "betainc_higher": "lax/special/test_incomplete.py",
    "expn": "lax/special/test_functions.py",
    "hyp2f1": "lax/special/test_functions.py",
    "igamma_density": "lax/special/test_incomplete.py",
    "igamma_grad_a": "lax/special/test_incomplete.py",
    "igamma_higher": "lax/special/test_incomplete.py",
    "log_gamma": "lax/special/test_functions.py",
    "poch": "lax/special/test_functions.py",
    "random_gamma_grad": "lax/special/test_incomplete.py",
    "regularized_incomplete_beta": "lax/special/test_incomplete.py",
    "debug_callback": "transforms/test_effects.py",
    "io_callback": "transforms/test_callbacks.py",
    "layout_constraint": "experimental/test_layout.py",
    "after_all": "lax/test_composite.py",
    "all_gather": "lax/test_collectives.py",
    "all_to_all": "lax/test_collectives.py",
    "axis_index": "lax/test_collectives.py",
    "pbroadcast": "lax/test_collectives.py",
    "pmax": "lax/test_collectives.py",
    "pmin": "lax/test_collectives.py",
    "ppermute": "lax/test_collectives.py",
    "psum": "lax/test_collectives.py",
    "pvary": "parallel/test_collectives.py",
    "ragged_all_to_all": "parallel/test_collectives.py",
    "reduce_scatter": "lax/test_collectives.py",
    "check": "experimental/test_checkify.py",
    "checkpoint": "transforms/test_checkpoint.py",
    "composite": "lax/test_composite.py",
    "create_token": "lax/test_composite.py",
    "custom_jvp_call": "transforms/test_custom_jvp.py",
    "custom_lin": "transforms/test_custom_vjp.py",
    "custom_vjp_call": "transforms/test_custom_vjp.py",
    "custom_vmap_call": "transforms/test_custom_vmap.py",
    "dce_sink": "lax/test_composite.py",
    "computed_once": "lax/test_keeping.py",
    "device_put": "transforms/test_placement.py",
    "jit": "transforms/test_jit.py",
    "linear_call": "transforms/test_linear.py",
    "name": "transforms/test_checkpoint.py",
    "pure_callback": "transforms/test_callbacks.py",
    "random_bits": "random/test_typed_keys.py",
    "random_clone": "random/test_typed_keys.py",
    "random_fold_in": "random/test_typed_keys.py",
    "random_gamma": "random/test_gamma.py",
    "random_seed": "random/test_typed_keys.py",
    "random_split": "random/test_typed_keys.py",
    "random_unwrap": "random/test_typed_keys.py",
    "random_wrap": "random/test_typed_keys.py",
    "refuse_steps": "lax/control/test_max_steps.py",
    "remat_opt": "transforms/test_custom_vjp.py",
    "replay": "lax/control/test_max_steps.py",
    "rng_uniform": "lax/test_generators.py",
    "saving_while": "lax/control/test_max_steps.py",
    "shard_map": "parallel/test_shard_map.py",
    "sharding_constraint": "transforms/test_sharding_constraint.py",
    "shuffled_places": "random/test_shuffling.py",
    "stage": "lax/test_composite.py",
    "transfer": "transforms/test_checkpoint.py",
}


def by_element(fun: Callable[..., int]) -> Callable[..., np.ndarray]:
    """An oracle on integers of any width, from a function of Python integers; the result wraps around.

    If `fun` takes a keyword `bits`, it is given the width of the dtype.
    """
    code = getattr(fun, "__code__", None)  # built-in functions such as max have none
    wants_bits = code is not None and "bits" in code.co_varnames

    def oracle(*arrays: np.ndarray) -> np.ndarray:
        dtype = arrays[0].dtype
        bits = 1 if dtypes.is_bool(dtype) else dtypes.itemsize_bits(dtype)
        more = {"bits": bits} if wants_bits else {}
        whole = np.broadcast_arrays(*arrays)
        flat = [
            fun(*(int(v) for v in values), **more) & ((1 << bits) - 1)
            for values in zip(*(a.ravel() for a in whole))
        ]
        if dtypes.is_signed_int(dtype):
            flat = [v - (1 << bits) if v >> (bits - 1) else v for v in flat]
        return np.array(flat, object).astype(np.int64 if dtypes.is_signed_int(dtype) else np.uint64).astype(dtype).reshape(whole[0].shape)  # fmt: skip

    return oracle


def floats(
    shape: tuple[int, ...], low: float = -2.0, high: float = 2.0, dtype: Any = np.float32
) -> np.ndarray:
    """Distinct numbers spread evenly over an interval, in a scrambled order that is always the same."""
    size = int(np.prod(shape))
    steps = np.random.default_rng(size).permutation(size)
    return np.asarray((low + (high - low) * (steps + 0.5) / max(size, 1)).reshape(shape), dtype)


def complexes(shape: tuple[int, ...], radius: float = 2.0, dtype: Any = np.complex64) -> np.ndarray:
    """Distinct numbers all over a disc."""
    size = int(np.prod(shape))
    turns = np.arange(size) * 0.618034 * 2 * np.pi + 0.3
    return np.asarray(radius * np.sqrt((np.arange(size) + 0.7) / max(size, 1)) * np.exp(1j * turns), dtype).reshape(shape)  # fmt: skip


def integers(shape: tuple[int, ...], low: int = -9, high: int = 10, dtype: Any = np.int32) -> np.ndarray:
    """Integers from `low` up to, but not including, `high`."""
    size = int(np.prod(shape))
    return np.random.default_rng(size).integers(low, high, shape).astype(dtype)


def booleans(shape: tuple[int, ...]) -> np.ndarray:
    """True and False, mixed."""
    return integers(shape, 0, 2, bool)


F32, F64, C64, I32 = np.float32, np.float64, np.complex64, np.int32

# Numbers at which floating-point functions have their corners.
CORNERS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 2.0, -3.0, 1e30, -1e30, np.inf, -np.inf, np.nan]


def corners(dtype: Any = F32) -> np.ndarray:
    """Numbers at which floating-point functions have their corners, with the ends of the range of `dtype`."""
    info = dtypes.finfo(dtype)
    ends = [
        info.smallest_normal,
        -info.smallest_normal,
        info.smallest_subnormal,
        -info.smallest_subnormal * 2,
        info.max,
        -info.max,
    ]
    return np.array([*CORNERS, *map(float, ends)], dtype)


def corner_pairs(dtype: Any = F32) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of corners."""
    values = corners(dtype)
    x, y = np.meshgrid(values, values)
    return x.ravel(), y.ravel()


def normal_pairs(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of corners without subnormal numbers."""
    x, y = corner_pairs(dtype)
    normal = ~((np.abs(x) < dtypes.finfo(dtype).smallest_normal) & (x != 0))
    return x[normal], y[normal]


# Integers at which operations have their corners.
INTS = np.array([0, 1, -1, 2, -3, 5, 31, 32, 33, 2**31 - 1, -(2**31), 1 << 30, -100], np.int64)


def int_pairs(dtype: Any = I32) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of corners."""
    values = np.unique(INTS.astype(dtype))
    x, y = np.meshgrid(values, values)
    return x.ravel(), y.ravel()


def numeric(on_floats: Callable[..., Any], on_integers: Callable[..., int]) -> Callable[..., np.ndarray]:
    """An oracle with one function for Python integers and one for floating-point and complex arrays."""
    exact = by_element(on_integers)
    return lambda *arrays: exact(*arrays) if dtypes.is_int(arrays[0].dtype) else on_floats(*arrays)


def all_samples() -> Iterator[Sample]:
    """The samples of every module of this package for the platform, in order of the modules' names."""
    dir(every_operation)  # some operations are declared when they are first asked for
    for name in dir(lax):
        getattr(lax, name)
    for info in pkgutil.iter_modules(__path__):
        for sample in importlib.import_module(f"{__name__}.{info.name}").SAMPLES:
            if ON_CPU or not sample.cpu_only:
                yield sample

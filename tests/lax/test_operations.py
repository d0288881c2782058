"""The walk over all operations, driven by the table in `tests.lax.samples`."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import anima
from anima import dtypes, lax
from anima.core.jaxpr import subjaxprs
from anima.core.primitive import primitives
from anima.dtypes.declared import BY_NAME
from anima.errors import MissingRuleError
from tests.lax.agreement import assert_close, assert_same_bits, flushed, is_float, wide
from tests.lax.derivatives import check_derivatives
from tests.lax.samples import ELSEWHERE, NOT_COMPILED, WRONG_ON_GPU, Sample, all_samples
from tests.platforms import ON_CPU, bound

SAMPLES: dict[str, list[Sample]] = {}
for _sample in all_samples():
    SAMPLES.setdefault(_sample.primitive, []).append(_sample)

every_operation = pytest.mark.parametrize("name", sorted(SAMPLES))


def in_mode(*arrays: Any) -> AbstractContextManager[None]:
    """64-bit mode if an array needs it."""
    return anima.enable_x64(
        any(np.asarray(a).dtype in (np.int64, np.uint64, np.float64, np.complex128) for a in arrays)
    )


def outputs(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


class Expected:
    """What the oracle gives: in wide dtypes unless the comparison is exact.

    `flushed` is the result for arguments whose subnormal numbers are taken for zeros, `plain` that for the others if it
    may be right too: most of XLA's functions flush, a few do not.
    """

    def __init__(self, sample: Sample, args: Sequence[Any]) -> None:
        self.sample = sample
        plain = [np.asarray(a) for a in args]
        zeroed = [flushed(a) for a in plain] if sample.flush or sample.ulps else plain
        self.flushed = self._oracle(zeroed)
        differ = any(
            (a != z).any() for a, z in zip(plain, zeroed) if is_float(a.dtype) and not np.isnan(a).all()
        )
        self.plain = self._oracle(plain) if sample.ulps and differ else [None] * len(self.flushed)

    def _oracle(self, args: Sequence[np.ndarray]) -> list[Any]:
        with np.errstate(all="ignore"):
            given = map(wide, args) if self.sample.ulps else args
            return [np.asarray(out) for out in outputs(self.sample.oracle(*given))]

    def check(self, got: Any, where: str, bound: float | None = None) -> None:
        """Assert that `got` agrees, by default to the bound that the sample sets."""
        sample = self.sample
        results = [np.asarray(out) for out in outputs(got)]
        assert len(results) == len(self.flushed), f"{where}: {len(results)} results, not {len(self.flushed)}"
        for index, (result, want, other) in enumerate(zip(results, self.flushed, self.plain)):
            place = f"{where}, result {index}"
            ulps = sample.ulps_of(result.dtype) if bound is None else bound
            if ulps and is_float(result.dtype):
                assert_close(result, want, ulps, place, sample.floor, other)
            else:
                assert_same_bits(result, want, place, flush=sample.flush)


def where(name: str, index: int, what: str) -> str:
    return f"{name}, sample {index}, {what}"


@cache
def operations_in(sample: Sample) -> frozenset[str]:
    """The names of the primitives in the jaxpr of a sample's call, also inside inner jaxprs."""
    with in_mode(*sample.args):
        todo = [anima.make_jaxpr(sample.call)(*sample.args).jaxpr]
    found = set()
    while todo:
        for eqn in todo.pop().eqns:
            found.add(eqn.primitive.name)
            todo.extend(subjaxprs(eqn.params))
    return frozenset(found)


def test_every_operation_has_samples() -> None:
    for module in ("experimental.checkify", "experimental.layout", "export", "ffi"):  # they have operations
        importlib.import_module(f"anima.{module}")
    # Tests of kernels declare operations that call them wrongly.
    declared = {name for name in primitives if not name.startswith("malformed_")}
    missing = declared - set(SAMPLES) - set(ELSEWHERE)
    assert not missing, f"operations without samples: {sorted(missing)}"
    tests = Path(__file__).parents[1]
    for name, path in ELSEWHERE.items():
        assert name in primitives, f"{name} is no operation"
        assert name not in SAMPLES, f"{name} has samples: its line in ELSEWHERE can go"
        assert (tests / path).exists(), f"{name} is said to be tested in {path}"


@every_operation
def test_eager_jit_and_oracle_agree(name: str) -> None:
    for index, sample in enumerate(SAMPLES[name]):
        assert name in operations_in(sample), f"sample {index} does not use {name}"
        with in_mode(*sample.args):
            want = Expected(sample, sample.args)
            want.check(sample.call(*sample.args), where(name, index, "eager"))
            want.check(anima.jit(sample.call)(*sample.args), where(name, index, "jit"))


def variants(arg: np.ndarray, count: int = 3) -> list[np.ndarray]:
    """Arrays with the same elements in other places."""
    return [np.roll(np.ravel(arg), k).reshape(np.shape(arg)) for k in range(count)]


@every_operation
def test_vmap_is_each_slice_by_itself(name: str) -> None:
    for index, sample in enumerate(SAMPLES[name]):
        if sample.mapped:
            with in_mode(*sample.args):
                _check_vmap(sample, where(name, index, "vmap"))


def _check_vmap(sample: Sample, place: str) -> None:
    count = len(sample.args)
    stacks = [variants(np.asarray(a)) for a in sample.args]
    subsets = [c for n in range(1, count + 1) for c in itertools.combinations(range(count), n)]
    axes: list[tuple[Any, ...]] = [
        tuple(0 if i in subset else None for i in range(count)) for subset in subsets
    ]
    axes.append(tuple(0 if i == count - 1 else -1 for i in range(count)))

    def mapped(stacks: Sequence[Any], plain: Sequence[Any]) -> list[Any]:
        out = []
        for in_axes in axes:
            # The stacks have the mapped axis in front; put it where this call wants it.
            args = [
                p if a is None else lax.transpose(s, (*range(1, s.ndim), 0)) if a else s
                for s, p, a in zip(stacks, plain, in_axes)
            ]
            out.append(outputs(anima.vmap(sample.call, in_axes=in_axes)(*args)))
        return out

    results = anima.jit(mapped)([np.stack(s) for s in stacks], [s[0] for s in stacks])
    for in_axes, result in zip(axes, results):
        for k in range(3):
            args = [s[0] if a is None else s[k] for s, a in zip(stacks, in_axes)]
            Expected(sample, args).check([np.asarray(r)[k] for r in result], f"{place} {in_axes}, slice {k}")


def differentiable(sample: Sample) -> tuple[int, ...]:
    """The arguments to differentiate by."""
    if sample.differentiate is False:
        return ()
    inexact = tuple(i for i, a in enumerate(sample.args) if is_float(np.asarray(a).dtype))
    return inexact if sample.differentiate is True else sample.differentiate


@every_operation
def test_derivatives_to_second_order(name: str) -> None:
    for sample in SAMPLES[name]:
        with anima.enable_x64(True):
            try:
                check_derivatives(sample.call, [_in_64_bits(a) for a in sample.args], differentiable(sample))
            except MissingRuleError as error:  # a missing rule states its reason
                assert f"'{name}' has no forward derivative rule: " in str(error)


def _in_64_bits(arg: Any) -> np.ndarray:
    array = np.asarray(arg)
    if not is_float(array.dtype):
        return array
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def retyped(sample: Sample, dtype: np.dtype[Any]) -> list[np.ndarray]:
    """The arguments of a sample in another dtype, with values that it holds."""
    args = [np.asarray(a) for a in sample.args]
    typed = sample.typed
    if typed is None:
        typed = tuple(i for i, a in enumerate(args) if a.dtype == args[0].dtype)
    return [_cast(a, dtype) if i in typed else a for i, a in enumerate(args)]


def _cast(arg: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if arg.dtype.kind == "c" and not dtypes.is_complex(dtype):
        arg = arg.real
    if dtypes.is_int(dtype):
        info = dtypes.iinfo(dtype)
        arg = np.clip(arg if dtypes.is_signed_int(dtype) else np.abs(arg), int(info.min), int(info.max))
    if dtype.name == "float8_e8m0fnu":
        arg = np.where(arg == 0, 1, np.abs(arg))
    return arg.astype(dtype)


@pytest.mark.parametrize("name", sorted(n for n in SAMPLES if primitives[n].dtypes))
def test_every_declared_dtype(name: str) -> None:
    sample, primitive = SAMPLES[name][0], primitives[name]
    assert primitive.dtypes is not None
    names = [n for n in primitive.dtypes if n in BY_NAME and (sample.only is None or n in sample.only)]
    with anima.enable_x64(True):
        args = {n: retyped(sample, BY_NAME[n]) for n in names}
        for n in names:
            anima.jit(sample.call).lower(*args[n])
        refused = refused_dtypes(name)
        wrong = set() if ON_CPU else {n for n, found in WRONG_ON_GPU.items() if name in found}
        compiled = [n for n in names if n not in refused | wrong]
        results = anima.jit(lambda every: [sample.call(*a) for a in every])([args[n] for n in compiled])
        for n, got in zip(compiled, results):
            # The narrow ones are computed in float32 and rounded once more.
            narrow = sample.ulps and is_float(BY_NAME[n]) and BY_NAME[n].itemsize < 4
            Expected(sample, args[n]).check(got, f"{name} on {n}", bound(1.0) if narrow else None)
        for n in set(names) & refused:
            with pytest.raises(RuntimeError):
                np.asarray(anima.jit(sample.call)(*args[n]))


def refused_dtypes(name: str) -> set[str]:
    """The dtypes on which XLA is known to refuse an operation."""
    return {n for n, names in NOT_COMPILED.items() if name in names or "*" in names}

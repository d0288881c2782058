"""Reductions along the named axes of a `vmap`, also with axes of the array: what NumPy gives for all examples together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import scipy.special

import anima
import anima.numpy as np
from anima import errors, nn

A = numpy.random.default_rng(0).normal(size=(3, 4)).astype(numpy.float32)
MASK = A > 0
SPREAD = A - A.mean()

# fmt: off
CASES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "sum": (lambda x: np.sum(x, axis=(0, "i")), A.sum()),
    "one name": (lambda x: np.sum(x, "i"), A.sum(0)),
    "keepdims": (lambda x: np.sum(x, ("i", -1), keepdims=True), A.sum(keepdims=True)[0]),
    "initial": (lambda x: np.sum(x, "i", initial=2.0), A.sum(0) + 2),
    "method": (lambda x: x.mean(("i", 0)), A.mean()),
    "mean": (lambda x: np.mean(x, "i"), A.mean(0)),
    "counted mean": (lambda x: np.mean(x, (0, "i"), where=x > 0), A[MASK].mean()),
    "var": (lambda x: np.var(x, (0, "i")), A.var()),
    "std": (lambda x: np.std(x, "i", ddof=1), A.std(0, ddof=1)),
    "max": (lambda x: np.max(x, (0, "i")), A.max()),
    "min": (lambda x: np.min(x, "i", initial=-1.0), numpy.minimum(A.min(0), -1)),
    "count": (lambda x: np.count_nonzero(x > 0, "i"), MASK.sum(0)),
    "softmax": (lambda x: nn.softmax(x, (0, "i")), scipy.special.softmax(A)),
    "log_softmax": (lambda x: nn.log_softmax(x, "i"), scipy.special.log_softmax(A, 0)),
    "logsumexp": (lambda x: nn.logsumexp(x, ("i", 0)), scipy.special.logsumexp(A)),
    "standardize": (lambda x: nn.standardize(x, ("i", 0)), SPREAD / numpy.sqrt((SPREAD**2).mean() + 1e-5)),
    "one_hot": (lambda x: nn.one_hot(np.argmax(x), 3, axis="i"), numpy.arange(3) == A.argmax(1)),
    "gradient": (lambda x: anima.grad(lambda y: np.sum(nn.softmax(y, "i")))(x), numpy.zeros_like(A)),
}
# fmt: on


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("compiled", [False, True])
def test_what_all_examples_give_together(name: str, compiled: bool) -> None:
    call, wanted = CASES[name]
    mapped = anima.vmap(call, axis_name="i")
    found = numpy.asarray((anima.jit(mapped) if compiled else mapped)(A))
    assert found.ndim >= numpy.ndim(wanted)
    numpy.testing.assert_allclose(found, numpy.broadcast_to(wanted, found.shape), rtol=1e-5, atol=1e-6)


def test_names_that_mean_nothing_are_refused() -> None:
    for call in (np.sum, np.mean, np.max, np.var):
        with pytest.raises(errors.UnboundAxisNameError, match="unbound axis name: i"):
            call(A, "i")
    for call in (np.prod, np.any, np.cumsum, np.argmax):
        with pytest.raises(TypeError, match="axis must be an integer, got 'i'"):
            anima.vmap(lambda x, call=call: call(x, "i"), axis_name="i")(A)
    with pytest.raises(ValueError, match="num_classes must be 3, the size of axis 'i', got 4"):
        anima.vmap(lambda x: nn.one_hot(1, 4, axis="i"), axis_name="i")(A)

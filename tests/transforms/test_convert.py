"""`jit(..., control_flow="convert")`: a corpus of ordinary functions equals its unjitted results; the rest is refused."""

import functools
import traceback

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.errors import ConversionError, JaxRuntimeError, TracerBoolConversionError
from tests.transforms.convert_corpus import branches, iterations, refused, structures

CONVERTED = [*branches.CASES, *iterations.CASES, *structures.CASES]
convert = functools.partial(anima.jit, control_flow="convert")


def label(case):
    return getattr(case[0], "__name__", "function")


def equal(got, want):
    leaves, tree = anima.tree.flatten(got)
    others, other_tree = anima.tree.flatten(want)
    assert tree == other_tree
    for a, b in zip(leaves, others):
        onp.testing.assert_allclose(onp.asarray(a), onp.asarray(b), rtol=2e-5, atol=1e-6)


def test_size_of_the_corpus():
    assert len(CONVERTED) >= 60
    assert len({id(fun) for fun, _ in CONVERTED}) == len(CONVERTED)


@pytest.mark.parametrize("fun, inputs", CONVERTED, ids=map(label, CONVERTED))
def test_converted_equals_plain(fun, inputs):
    jitted = convert(fun)
    for args in inputs:
        equal(jitted(*args), fun(*args))


@pytest.mark.parametrize("fun, args, reason", refused.CASES, ids=map(label, refused.CASES))
def test_refused_with_the_reason(fun, args, reason):
    with pytest.raises(ConversionError) as caught:
        convert(fun)(*args)
    text = f"{caught.value}\n{chr(10).join(getattr(caught.value, '__notes__', []))}"
    assert reason in text
    assert "convert_corpus" in text  # the user's file and line

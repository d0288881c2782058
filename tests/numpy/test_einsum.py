"""Einstein summation."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import assert_same, check

rng = numpy.random.default_rng(0)


def array(*shape: int, dtype: str = "float32") -> numpy.ndarray:
    return rng.integers(-4, 5, shape).astype(dtype)


EXPRESSIONS = [
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,jk->ki", (2, 3), (3, 4)),
    ("ij , jk -> ijk", (2, 3), (3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,jk,kl,lm->mi", (2, 3), (3, 4), (4, 5), (5, 2)),
    ("bij,bjk->bik", (7, 2, 3), (7, 3, 4)),
    ("bij,bjk->ik", (7, 2, 3), (7, 3, 4)),
    ("...ij,...jk->...ik", (7, 2, 3), (7, 3, 4)),
    ("...ij,jk->...ik", (5, 7, 2, 3), (3, 4)),
    ("ij,...jk->...ik", (2, 3), (7, 3, 4)),
    ("...ab,...b->...a", (2, 1, 3, 4), (5, 4)),
    ("...i->i...", (2, 3, 4)),
    ("i...->...", (2, 3, 4)),
    ("...", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->ij", (3, 3, 2)),
    ("iijj->ij", (3, 3, 2, 2)),
    ("iii->i", (3, 3, 3)),
    ("ba", (2, 3)),
    ("ab->", (2, 3)),
    ("ab->b", (2, 3)),
    ("i,i", (3,), (3,)),
    ("i,j", (3,), (4,)),
    ("i,i->i", (3,), (3,)),
    (",ij", (), (2, 3)),
    ("->", ()),
    ("i,ii->", (3,), (3, 3)),
    ("aab,bcc->ac", (2, 2, 3), (3, 4, 4)),
    ("ij,kl->", (2, 3), (3, 4)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("ij,jk->ik", (2, 0), (0, 3)),
    ("ij->i", (2, 0)),
    ("abc,abd,ab->cd", (2, 3, 4), (2, 3, 5), (2, 3)),
    ("bqhd,bkhd->bhqk", (2, 3, 4, 5), (2, 6, 4, 5)),
    ("Ij,jK", (2, 3), (3, 4)),
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda e: e[0])
def test_expressions(expression) -> None:
    subscripts, *shapes = expression
    for dtype in ("float32", "int32"):
        operands = [array(*shape, dtype=dtype) for shape in shapes]
        check(lambda np, ops=operands: np.einsum(subscripts, *ops))


def test_interleaved_form() -> None:
    x, y = array(2, 3), array(3, 4)
    check(lambda np: np.einsum(x, [0, 1], y, [1, 2]))
    check(lambda np: np.einsum(x, [0, 1], y, [1, 2], [2, 0]))
    check(lambda np: np.einsum(array(3, 3) * 0, [5, 5]))
    check(lambda np: np.einsum(x[None], [Ellipsis, 0, 1], y, [1, 2], [2, Ellipsis, 0]))


def test_dtypes() -> None:
    small = np.array([[1, 2], [3, 4]], "int8")
    assert np.einsum("ij,jk", small, small).dtype == np.int8
    assert np.einsum("i->", small[0], preferred_element_type="int32").dtype == np.int32
    half = np.ones(5000, np.bfloat16)
    assert np.einsum("i->", half, preferred_element_type=np.float32) == 5000
    assert np.einsum("i,i", half, half, preferred_element_type=np.float32) == 5000
    assert np.einsum("ij,j", small, np.ones(2)).dtype == np.float32
    assert_same(np.einsum("ij,j", small > 1, small[0] > 1), numpy.array([True, True]))
    assert np.einsum("->", 3).weak_type
    assert_same(np.einsum("i,i", array(3) * 1j, array(3) * 0 + 1j).imag, numpy.float32(0))


@pytest.mark.parametrize(
    "optimize", [True, False, "auto", "greedy", "optimal", [(0, 1), (0, 1)], ["einsum_path", (1, 2), (0, 1)]]
)
def test_orders(optimize) -> None:
    operands = [array(2, 3), array(3, 4), array(4, 5)]
    expected = numpy.einsum("ij,jk,kl", *operands)
    assert_same(np.einsum("ij,jk,kl", *operands, optimize=optimize), expected)


def test_path() -> None:
    operands = [array(2, 3), array(3, 4), array(4, 5)]
    path, described = np.einsum_path("ij,jk,kl", *operands, optimize="greedy")
    assert path == [(1, 2), (0, 1)]
    assert "Complete contraction" in str(described)
    assert np.einsum_path("ij,jk", *operands[:2])[0] == [(0, 1)]


def test_transformations() -> None:
    x, y, z = array(2, 3), array(3, 4), array(4, 5)
    grad = anima.grad(lambda y: np.einsum("ij,jk,kl->", x, y, z))(np.array(y))
    numpy.testing.assert_allclose(grad, numpy.outer(x.sum(0), z.sum(1)), rtol=1e-6)
    mapped = anima.vmap(lambda x: np.einsum("ij,ij->i", x, x))(np.array(array(5, 2, 3)))
    assert mapped.shape == (5, 2)


def test_one_contraction_a_pair() -> None:
    jaxpr = str(
        anima.make_jaxpr(lambda x, y: np.einsum("bij,bjk->bik", x, y))(array(7, 2, 3), array(7, 3, 4))
    )
    assert jaxpr.count("dot_general") == 1
    assert "transpose" not in jaxpr


def test_own_product() -> None:
    calls = []

    def product(x, y, numbers, **settings):
        calls.append(numbers)
        return anima.lax.dot_general(x, y, numbers, **settings)

    x, y = array(2, 3), array(3, 4)
    assert_same(np.einsum("ij,jk", x, y, _dot_general=product), x @ y)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: np.einsum("ij,jk", array(2, 3), array(2, 3)),
            "label 'j' has size 2 in operand 1, but 3 before",
        ),
        (lambda: np.einsum("ij,jk->iq", array(2, 3), array(3, 4)), "'q' does not appear"),
        (lambda: np.einsum("ij->ii", array(2, 3)), "more than once"),
        (lambda: np.einsum("ij", array(2, 3), array(2, 3)), "1 operands, but 2"),
        (lambda: np.einsum("ijk", array(2, 3)), "do not fit operand 0"),
        (lambda: np.einsum("i$", array(2, 3)), "no valid label"),
        (lambda: np.einsum("...i...", array(2, 3)), "more than one ellipsis"),
        (lambda: np.einsum("ii", array(2, 3)), "label 'i'"),
        (lambda: np.einsum(""), "no operands"),
        (lambda: np.einsum("ij,jk,kl", *[array(3, 3)] * 3, optimize=[(0, 5)]), "does not fit"),
        (lambda: np.einsum("ij,jk,kl", *[array(3, 3)] * 3, optimize=[(0, 1)]), "leaves 2 operands"),
        (lambda: np.einsum("ij->", array(2, 3), out=array()), "out is not supported"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("$", r"\$")):
        call()


def test_lists_are_refused() -> None:
    with pytest.raises(TypeError, match="list at position 0"):
        np.einsum("i->", [1, 2])

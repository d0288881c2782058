"""References under `vmap`: examples are those of a loop over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as jnp
from anima import lax
from anima.errors import RefError

XS = np.arange(3, dtype=np.float32)


def starting_unmapped(x: Any) -> Any:
    ref = anima.new_ref(jnp.zeros(2))
    ref[0] = x
    ref.addupdate(x * 2, 1)
    ref[1] += 1
    return anima.freeze(ref)


def looping(x: Any) -> Any:
    ref = anima.new_ref(jnp.zeros(4))

    def body(i: Any, c: Any) -> Any:
        ref[i] = c * x
        return c + 1

    return lax.fori_loop(0, 4, body, 1.0), ref[...]


def looping_for_a_while(x: Any) -> Any:
    ref = anima.new_ref(0.0)

    def body(c: Any) -> Any:
        ref[...] += c
        return c + 1

    return lax.while_loop(lambda c: c < x, body, 0.0), ref[...]


def choosing(x: Any) -> Any:
    ref = anima.new_ref(x)
    lax.cond(x > 1, lambda: ref.addupdate(10.0), lambda: None)
    return ref[...]


def by_mapped_index(x: Any) -> Any:
    ref = anima.new_ref(jnp.arange(3.0))
    ref[x.astype("int32")] = 9.0
    return ref[...]


def with_jit_inside(x: Any) -> Any:
    ref = anima.new_ref(0.0)
    step = anima.jit(lambda y: ref.addupdate(y))
    step(x), step(x * 2)
    return ref[...]


PURE: dict[str, Callable[[Any], Any]] = {
    f.__name__: f
    for f in (
        starting_unmapped, looping, looping_for_a_while, choosing, by_mapped_index, with_jit_inside,
    )
}  # fmt: skip
WAYS: dict[str, Callable[[Any], Any]] = {
    "vmap": anima.vmap,
    "jit of vmap": lambda f: anima.jit(anima.vmap(f)),
    "vmap of jit": lambda f: anima.vmap(anima.jit(f)),
    "vmap in scan": lambda f: (
        lambda xs: anima.tree.map(
            lambda y: y[0], lax.scan(lambda c, _: (c, anima.vmap(f)(c)), xs, None, length=1)[1]
        )
    ),
}


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("way", WAYS)
def test_references_made_in_a_mapped_function(name: str, way: str) -> None:
    got = WAYS[way](PURE[name])(jnp.asarray(XS))
    each = [PURE[name](jnp.float32(x)) for x in XS]
    for a, *b in zip(anima.tree.leaves(got), *map(anima.tree.leaves, each)):
        np.testing.assert_array_equal(a, np.stack([np.asarray(x) for x in b]))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("jit", [lambda f: f, anima.jit], ids=["eager", "jit"])
def test_each_example_has_its_part_of_a_mapped_reference(axis: int, jit: Any) -> None:
    start = np.arange(6, dtype=np.float32).reshape((3, 2) if axis == 0 else (2, 3))
    ref, total = anima.new_ref(start), np.moveaxis(start.copy(), axis, 0)

    def f(r: Any, x: Any) -> Any:
        r[0] = r[1] * x
        r[...] += 1
        return r[...].sum()

    got = jit(anima.vmap(f, in_axes=(axis, 0)))(ref, XS)
    for row, x, y in zip(total, XS, got):
        row[0] = row[1] * x
        row += 1
        assert row.sum() == y
    np.testing.assert_array_equal(ref[...], np.moveaxis(total, 0, axis))


def test_maps_in_maps_take_references_apart() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    out = anima.new_ref(jnp.zeros((3, 3)))

    def distance(x: Any, y: Any, ref: Any) -> None:
        ref[...] = jnp.sum((x - y) ** 2)

    anima.vmap(anima.vmap(distance, (0, None, 0)), (None, 0, 0))(vectors, vectors, out)
    np.testing.assert_array_equal(out[...], ((vectors[:, None] - vectors[None]) ** 2).sum(-1))


def test_what_every_example_writes_alike_is_repeated() -> None:
    ref = anima.new_ref(jnp.zeros(3))
    anima.vmap(lambda r: r.__setitem__(..., 2.0))(ref)
    np.testing.assert_array_equal(ref[...], [2, 2, 2])


@pytest.mark.parametrize("wrap", [lambda f: f, anima.jit], ids=["plain", "jit"])
def test_others_are_read(wrap: Any) -> None:
    ref = anima.new_ref(jnp.arange(3.0))
    f = anima.vmap(wrap(lambda r, i: r[i] + ref[0] * 0), in_axes=(None, 0))
    other = anima.new_ref(jnp.arange(3.0) * 2)
    np.testing.assert_array_equal(f(other, jnp.arange(3)), [0, 2, 4])


REF = anima.new_ref(jnp.arange(3.0))
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "closed over": (lambda: anima.vmap(lambda x: REF.__setitem__(0, x))(XS), "closes over"),
    "closed over, the same for all": (lambda: anima.vmap(lambda x: REF.__setitem__(0, 1.0))(XS), "closes over"),
    "closed over by jit": (lambda: anima.vmap(anima.jit(lambda x: REF.addupdate(x, 0)))(XS), "closes over"),
    "closed over in jit": (lambda: anima.jit(anima.vmap(lambda x: REF.addupdate(x, 0)))(XS), "closes over"),
    "closed over by a loop": (
        lambda: anima.vmap(lambda x: lax.fori_loop(0, 2, lambda i, c: (REF.addupdate(c, 0), c)[1], x))(XS), "closes over",
    ),
    "by a mapped index": (lambda: anima.vmap(lambda i: REF.__setitem__(i, 1.0))(jnp.arange(3)), "closes over"),
    "not mapped": (
        lambda: anima.vmap(lambda r, x: r.__setitem__(0, x), in_axes=(None, 0))(REF, XS), "in_axes is None",
    ),
    "twice": (lambda: anima.vmap(lambda a, b: a[...])(REF, REF), "passed as two arguments"),
    "argument and closure": (lambda: anima.vmap(lambda a: a[...] + REF[0])(REF), "closed over"),
    "returned": (lambda: anima.vmap(anima.new_ref)(XS), "cannot be returned"),
    "frozen": (lambda: anima.vmap(lambda r: anima.freeze(r))(REF), "function that made it"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(RefError, match=words):
        call()
    np.testing.assert_array_equal(REF[...], [0, 1, 2])


def test_sizes_of_references_count() -> None:
    with pytest.raises(ValueError, match="argument `r` has shape"):
        anima.vmap(lambda r, x: None)(REF, jnp.zeros(4))
    with pytest.raises(ValueError, match="out of range for argument `r`"):
        anima.vmap(lambda r: None, in_axes=1)(REF)

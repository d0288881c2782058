"""Exported functions as bytes: what comes back, in this process and in another, and what is refused."""

from __future__ import annotations

import collections
import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima.export import (
    deserialize,
    export,
    register_namedtuple_serialization,
    register_pytree_node_serialization,
)

X = onp.array([0.5, -1.0, 2.0], onp.float32)
HEAD = struct.Struct("<8sIQ32s")


def stored(f: Any, *args: Any, order: int = 0, **kwargs: Any) -> bytearray:
    return export(anima.jit(f))(*args, **kwargs).serialize(vjp_order=order)


def test_what_comes_back() -> None:
    first = export(anima.jit(lambda x, y=2: np.sin(x) * y), platforms=["cpu", "cuda"])(X, y=3)
    second = deserialize(first.serialize())
    for name in (
        "fun_name", "in_tree", "out_tree", "in_avals", "out_avals", "platforms", "nr_devices", "unordered_effects",
        "disabled_safety_checks", "calling_convention_version", "module_kept_var_idx",
    ):  # fmt: skip
        assert getattr(first, name) == getattr(second, name), name
    assert first.mlir_module() == second.mlir_module()
    assert first.has_vjp() and not second.has_vjp()
    assert second.serialize() == first.serialize()
    assert (second.call(X, y=3) == first.call(X, y=3)).all()


@pytest.mark.parametrize("order", [0, 1, 2])
def test_derivatives_are_stored_as_far_as_is_wanted(order: int) -> None:
    function: Any = deserialize(stored(lambda x: (np.sin(x) ** 2).sum(), X, order=order)).call
    expected: Any = lambda x: (np.sin(x) ** 2).sum()
    for _ in range(order):
        function, expected = [
            (lambda f: lambda x: (anima.grad(f)(x) ** 2).sum())(f) for f in (function, expected)
        ]
        onp.testing.assert_allclose(function(X), expected(X), rtol=1e-5)
    with pytest.raises(ValueError, match="has no derivative"):
        anima.grad(function)(X)


def test_another_process_calls_it(run_python: Callable[..., Any], tmp_path: Any) -> None:
    path = tmp_path / "f.bin"
    path.write_bytes(stored(lambda x: {"y": np.cumsum(x)}, X, order=1))
    program = """
import sys, anima
exported = anima.export.deserialize(open(sys.argv[1], "rb").read())
x = anima.numpy.asarray([0.5, -1.0, 2.0])
print(exported.call(x)["y"].tolist(), anima.grad(lambda x: exported.call(x)["y"].sum())(x).tolist())
"""
    assert run_python(program, str(path)).stdout == "[0.5, -0.5, 1.5] [3.0, 2.0, 1.0]\n"


class Point(NamedTuple):
    x: Any
    y: Any


class Pair:
    def __init__(self, a: Any, b: Any, name: str) -> None:
        self.a, self.b, self.name = a, b, name


anima.tree_util.register_pytree_node(Pair, lambda p: ((p.a, p.b), p.name), lambda name, ab: Pair(*ab, name))
Unregistered = collections.namedtuple("Unregistered", "x")


@pytest.fixture(scope="module")
def classes() -> None:
    assert register_namedtuple_serialization(Point, serialized_name="tests.Point") is Point
    assert (
        register_pytree_node_serialization(
            Pair, serialized_name="tests.Pair", serialize_auxdata=str.encode, deserialize_auxdata=bytes.decode
        )
        is Pair
    )


@pytest.mark.usefixtures("classes")
def test_structures_come_back() -> None:
    trees = [
        (X, [X, None], {"b": X, "a": ()}),
        {1: X, 2: {True: X}},
        collections.OrderedDict([("z", X), ("a", X)]),
        Point(X, [X]),
        Pair(X, Point(X, X), "ü"),
    ]
    for tree in trees:
        again = deserialize(stored(lambda t: t, tree))
        assert again.in_tree == anima.tree.structure(((tree,), {}))
        assert again.out_tree == anima.tree.structure(tree)
        assert anima.tree.structure(again.call(tree)) == anima.tree.structure(tree)


@pytest.mark.usefixtures("classes")
def test_classes_are_registered_once() -> None:
    with pytest.raises(ValueError, match="registered already, as 'tests.Point'"):
        register_namedtuple_serialization(Point, serialized_name="other")
    with pytest.raises(ValueError, match="registered already, as 'tests.Point'"):
        register_namedtuple_serialization(Unregistered, serialized_name="tests.Point")
    with pytest.raises(ValueError, match="must be a class of named tuples"):
        register_namedtuple_serialization(Pair, serialized_name="x")
    with pytest.raises(ValueError, match="registered with tree_util"):
        register_pytree_node_serialization(
            int, serialized_name="x", serialize_auxdata=str.encode, deserialize_auxdata=bytes.decode
        )
    with pytest.raises(ValueError, match="register_namedtuple_serialization"):
        stored(lambda t: t, Unregistered(X))


def test_keys_come_back() -> None:
    key = anima.random.key(3, impl="rbg")
    again = deserialize(stored(lambda k: (anima.random.split(k), anima.random.bits(k)), key))
    assert again.in_avals[0].dtype == key.dtype
    assert again.call(key)[1] == anima.random.bits(key)


def test_orders_are_checked() -> None:
    with pytest.raises(ValueError, match="vjp_order must be 0 or more"):
        stored(np.sin, X, order=-1)
    with pytest.raises(TypeError):
        stored(np.sin, X, order=0.5)  # type: ignore[arg-type]


def test_other_bytes_are_refused() -> None:
    good = bytes(stored(np.sin, X))
    with pytest.raises(TypeError, match="blob must be bytes"):
        deserialize("ANIMAEXP")  # type: ignore[arg-type]
    for bad, message in (
        (b"", "not of an exported function"),
        (b"MLIR" + good, "not of an exported function"),
        (good[:20], "cut off"),
        (good[:-1], "damaged"),
        (good + b"x", "damaged"),
        (good[:8] + b"\x02" + good[9:], "form of version 2"),
    ):
        with pytest.raises(ValueError, match=f"deserialize: .*{message}"):
            deserialize(bad)


def test_every_byte_is_guarded() -> None:
    good = stored(np.sin, X)
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << (place % 8)
        with pytest.raises(ValueError, match="deserialize"):
            deserialize(bad)


def forged(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A file with another head and the right checksum."""
    good = bytes(stored(np.sin, X))
    rest = good[HEAD.size :]
    (size,) = struct.unpack_from("<Q", rest)
    head = json.loads(rest[8 : 8 + size])
    changed = change(head)
    text = json.dumps(head if changed is None else changed).encode()
    rest = struct.pack("<Q", len(text)) + text + rest[8 + size :]
    return HEAD.pack(b"ANIMAEXP", 1, len(rest), hashlib.sha256(rest).digest()) + rest


@pytest.mark.parametrize(
    "change",
    [
        lambda head: [],
        lambda head: head["function"].pop("name") and None,
        lambda head: head["function"].update(name=3),
        lambda head: head["function"].update(modules=[]),
        lambda head: head["function"].update(modules=[["cpu", 7, []]]),
        lambda head: head["function"].update(modules=[["cpu", 0, [0]]]),
        lambda head: head.update(texts=[[10**12, head["texts"][0][1]]]),
        lambda head: head["texts"][0].__setitem__(0, 5),
        lambda head: head.update(arrays=[["float32", 10**12]]),
        lambda head: head.update(arrays=[["float0", 1]]),
        lambda head: head.update(texts=[]),
        lambda head: head["function"].update(in_avals=[["float32", -1]]),
        lambda head: head["function"].update(in_avals=[["nothing", 3]]),
        lambda head: head["function"].update(in_avals=[["key:nothing"]]),
        lambda head: head["function"].update(in_avals=[]),
        lambda head: head["function"].update(in_tree=["class", "nothing", "", []]),
        lambda head: head["function"].update(in_tree=["set", []]),
        lambda head: head["function"].update(in_tree=3),
        lambda head: head["function"].update(convention=9),
        lambda head: head["function"].update(checks=["everything"]),
        lambda head: head["function"].update(vjp={}),
    ],
    ids=[
        "list", "no name", "number", "no module", "no text", "no array", "huge", "short", "long", "float0", "more", "negative", "dtype", "key", "leaves", "class", "set", "tree",
        "convention", "check", "derivative",
    ],
)  # fmt: skip
def test_heads_that_describe_nothing_are_refused(change: Any) -> None:
    with pytest.raises(ValueError, match="deserialize: "):
        deserialize(forged(change))


def test_a_text_is_not_longer_than_it_says() -> None:
    bomb = zlib.compress(b"\0" * 10_000_000)
    bad = forged(lambda head: head.update(texts=[[100, len(bomb)]]))
    rest = bad[HEAD.size :]
    (size,) = struct.unpack_from("<Q", rest)
    rest = rest[: 8 + size] + bomb
    with pytest.raises(ValueError, match="another length"):
        deserialize(HEAD.pack(b"ANIMAEXP", 1, len(rest), hashlib.sha256(rest).digest()) + rest)


def test_large_constants_are_stored_once() -> None:
    weights = np.asarray(onp.random.default_rng(0).standard_normal((60, 50)).astype(onp.float32))
    flags = np.asarray(onp.arange(600) % 3 == 0)
    x = onp.ones(60, onp.float32)
    f = lambda x: np.tanh(x @ weights).sum() * flags.sum()
    bytes_ = stored(f, x, order=2)
    assert weights.nbytes < len(bytes_) < 2 * weights.nbytes
    again = deserialize(bytes_)
    onp.testing.assert_allclose(again.call(x), f(x), rtol=1e-5)
    onp.testing.assert_allclose(anima.grad(again.call)(x), anima.grad(f)(x), rtol=1e-5)
    text = anima.jit(lambda x: again.call(x) + again.call(-x)).lower(x).as_text()
    assert len(text) < 10_000 < 2 * weights.nbytes < len(again.mlir_module())
    main = text.splitlines()[1]
    assert main.count("tensor<60x50xf32>") == 1  # a parameter of the program, which both calls share

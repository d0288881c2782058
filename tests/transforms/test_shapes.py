"""`ShapeDtypeStruct`, `eval_shape` and `make_jaxpr`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import ShapeDtypeStruct, eval_shape, jit, make_jaxpr
from anima.sharding import NamedSharding, PartitionSpec, set_mesh
from anima.sharding.formats import Format

S = ShapeDtypeStruct((2, 3), np.float32)


def test_attributes() -> None:
    assert (S.shape, S.dtype, S.ndim, S.size, len(S)) == ((2, 3), np.float32, 2, 6, 2)
    assert (S.weak_type, S.sharding, S.format, S.manual_axis_type) == (False, None, Format(None, None), None)
    assert ShapeDtypeStruct([2], "float32").shape == (2,)
    assert ShapeDtypeStruct((), float).size == 1
    with pytest.raises(TypeError, match="unsized"):
        len(ShapeDtypeStruct((), float))


def test_equality_and_hash() -> None:
    assert ShapeDtypeStruct([2, 3], "float32") == S and hash(S) == hash(ShapeDtypeStruct((2, 3), onp.float32))
    others = [S.update(shape=(2,)), S.update(dtype=np.int32), S.update(weak_type=True), 3]
    assert all(other != S for other in others)
    assert len({S, S.update(), *others[:3]}) == 4


def test_copies() -> None:
    assert S.update(shape=(4,), weak_type=True) == ShapeDtypeStruct((4,), np.float32, weak_type=True)
    assert pickle.loads(pickle.dumps(S)) == S == copy.deepcopy(S) and copy.copy(S) is S
    with pytest.raises(TypeError, match="foo"):
        S.update(foo=1)
    for change in (lambda: setattr(S, "shape", (1,)), lambda: delattr(S, "dtype")):
        with pytest.raises(RuntimeError, match="cannot be set; update"):
            change()
    assert S.shape == (2, 3)


def test_like() -> None:
    assert ShapeDtypeStruct.like(np.ones((2, 3))).update(sharding=None) == S
    assert ShapeDtypeStruct.like(S) == S and ShapeDtypeStruct.like(onp.ones((2, 3), onp.float32)) == S
    assert ShapeDtypeStruct.like(1.0).weak_type
    assert ShapeDtypeStruct.like(np.ones(2)).sharding == np.ones(2).sharding


def test_shardings() -> None:
    mesh = anima.make_mesh((1,), ("x",))
    sharding = NamedSharding(mesh, PartitionSpec("x"))
    struct = ShapeDtypeStruct((2,), np.float32, sharding=sharding)
    assert struct.sharding == sharding and struct.format == Format(None, sharding)
    assert struct.update(shape=(4,)).sharding == sharding and struct != struct.update(sharding=None)
    assert ShapeDtypeStruct((2,), np.float32, sharding=Format(None, sharding)) == struct
    with set_mesh(mesh):
        assert ShapeDtypeStruct((2,), np.float32, sharding=PartitionSpec("x")) == struct
    with pytest.raises(TypeError, match="needs a mesh"):
        ShapeDtypeStruct((2,), np.float32, sharding=PartitionSpec("x"))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: ShapeDtypeStruct((2,), None), ValueError, "dtype must be given"),
        (lambda: ShapeDtypeStruct((2.5,), float), TypeError, "shape must be integers"),
        (lambda: ShapeDtypeStruct((-1,), float), TypeError, "negative"),
        (lambda: ShapeDtypeStruct(None, float), TypeError, "shape must be"),
        (lambda: ShapeDtypeStruct((2,), float, sharding="x"), ValueError, "sharding must be"),
        (lambda: ShapeDtypeStruct((2,), "no"), TypeError, "no"),
    ],
)
def test_bad_structs(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_eval_shape() -> None:
    class Lazy:
        shape, dtype = (3, 4), onp.dtype("float32")

    def f(x: Any, y: Any, *, k: Any) -> Any:
        assert not isinstance(x, onp.ndarray)
        return {"xy": x @ y * k, "n": (y.sum().astype(int), None)}

    for g in (f, jit(f)):
        out = eval_shape(g, S, Lazy() if g is f else ShapeDtypeStruct((3, 4), "float32"), k=2.0)
        assert out == {"xy": S.update(shape=(2, 4)), "n": (ShapeDtypeStruct((), np.int32), None)}
    assert eval_shape(lambda: 1) == ShapeDtypeStruct((), np.int32, weak_type=True)
    assert eval_shape(lambda x: x, 1.0).weak_type and eval_shape(lambda x: x, None) is None
    assert eval_shape(lambda x: x + np.zeros((0, 3)), S.update(shape=(1, 3))).shape == (0, 3)
    seen: list[Any] = []
    eval_shape(lambda x: anima.debug.callback(seen.append, x), S)
    anima.effects_barrier()
    assert not seen


def test_eval_shape_misuse() -> None:
    with pytest.raises(TypeError, match="argument `x` of <lambda>, passed to eval_shape, has type str"):
        eval_shape(lambda x: x, "a")
    with pytest.raises(TypeError, match="returned a value of type str"):
        eval_shape(lambda x: "a", 1)
    with pytest.raises(TypeError, match="eval_shape expects a function"):
        eval_shape(3)


def test_make_jaxpr() -> None:
    closed, shape = make_jaxpr(lambda x, n: {"a": x * n}, static_argnums=1, return_shape=True)(2.0, 3)
    assert str(closed) == "{ lambda ; a:f32[]. let b:f32[] = mul a 3.0:f32[] in (b,) }"
    assert shape == {"a": ShapeDtypeStruct((), np.float32, weak_type=True)}
    negative = make_jaxpr(lambda x, s, m: x * len(s) * m, static_argnums=(-1, 1))(2.0, "abc", 4)
    assert len(negative.in_avals) == 1
    assert make_jaxpr(lambda x, k=1: x * k)(2.0, k=3.0).in_avals[1].weak_type
    assert make_jaxpr(lambda x: x)(S).in_avals[0].shape == (2, 3)
    named = make_jaxpr(np.sin)
    assert named.__name__ == "make_jaxpr(sin)"
    assert make_jaxpr(lambda x: x + onp.ones(3))(1.0).consts[0].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="static_argnums 4 is out of range: <lambda> is called with 1"):
        make_jaxpr(lambda x: x, static_argnums=4)(1.0)
    with pytest.raises(TypeError, match="make_jaxpr expects a function"):
        make_jaxpr(3)


def test_eval_shape_returns_the_structs_that_the_function_returned() -> None:
    weak = ShapeDtypeStruct((), np.float32, weak_type=True)
    found = eval_shape(lambda x: {"x": x, "given": [S, weak], "sum": np.sin(S)}, 1.0)
    assert found["given"][0] is S and found["given"][1] is weak
    assert found["x"] == weak and found["sum"] == S
    assert eval_shape(lambda: S) is S
    with pytest.raises(TypeError, match="ShapeDtypeStruct"):
        jit(lambda x: S)(1.0)

"""`vmap`: axes, sizes, nesting, misuse; every result against a Python loop."""

import collections
import dataclasses
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import grad, jit, jvp, lax, vmap


def loop(fun, *args):
    return onp.stack([onp.asarray(fun(*row)) for row in zip(*args)])


X = onp.arange(24, dtype=onp.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("out", [0, 1, -1])
def test_axes_in_and_out(axis, out):
    f = lambda x: np.sin(x) + x.T.sum()
    expected = onp.stack([onp.asarray(f(row)) for row in onp.moveaxis(X, axis, 0)], axis=out)
    onp.testing.assert_allclose(vmap(f, in_axes=axis, out_axes=out)(X), expected, rtol=1e-6)


def test_mixed_axes_and_pytrees():
    f = lambda p, x, y: {"a": p["w"] @ x + y, "b": p["b"]}
    p = {"w": onp.ones((5, 3, 2), onp.float32), "b": onp.arange(3.0, dtype=onp.float32)}
    x = onp.ones((2, 5), onp.float32)
    out = vmap(f, in_axes=({"w": 0, "b": None}, 1, None), out_axes={"a": 0, "b": None})(p, x, 1.0)
    assert out["a"].shape == (5, 3) and out["b"].shape == (3,)
    onp.testing.assert_allclose(out["a"], 3.0)


def test_examples_lie_side_by_side_in_what_is_stacked_of_them():
    """The axis stays the last of arrays that are stacked, so each of them is moved as a whole."""

    def stacked(x):
        first, second = x
        return np.stack([first - second, first * second, second]) * 2

    xs = onp.arange(10, dtype=onp.float32).reshape(5, 2)
    text = jit(vmap(stacked)).lower(xs).as_text()
    assert (
        "tensor<3x5xf32>" in text
        and "tensor<1x5xf32>" in text
        and "tensor<5x1x" not in text.split("concatenate")[1]
    )
    want = onp.stack([2 * (xs[:, 0] - xs[:, 1]), 2 * xs[:, 0] * xs[:, 1], 2 * xs[:, 1]], 1)
    assert onp.array_equal(vmap(stacked)(xs), want)
    assert onp.array_equal(vmap(stacked, out_axes=1)(xs), want.T)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("shape", [(4, 3, 5), (1, 1, 1), (0, 3, 2), (3, 0, 1)])
def test_new_dimensions_and_stacks_beside_numpy(shape, axis):
    x = onp.arange(onp.prod(shape), dtype=onp.float32).reshape(shape)
    y = onp.float32(100) + x
    example = lambda m, a, b: (
        m.concatenate([m.expand_dims(a, 0), m.expand_dims(b, 0), m.expand_dims(a * b, 0)], 0) + a
    )
    last = lambda m, a, b: (
        m.stack([a, b, a - b], -1) * m.expand_dims(b, -1) + m.expand_dims(m.expand_dims(a, 0), -1)
    )
    for fun in (example, last):
        rows = [fun(onp, *pair) for pair in zip(onp.moveaxis(x, axis, 0), onp.moveaxis(y, axis, 0))]
        found = vmap(lambda a, b, fun=fun: fun(np, a, b), axis)(x, y)
        assert found.shape[0] == x.shape[axis]
        if rows:
            assert onp.array_equal(found, onp.stack(rows))
        twice = vmap(lambda a, b, fun=fun: vmap(lambda c: fun(np, c, b))(np.stack([a, a + 1])), axis)(x, y)
        if rows:
            assert onp.array_equal(twice[:, 0], onp.stack(rows))


def test_nested_and_with_other_transformations():
    f = lambda x, y: np.sum(x * y) ** 2
    a, b = onp.random.default_rng(0).normal(size=(2, 5, 3)).astype(onp.float32)
    pairs = vmap(vmap(f, (None, 0)), (0, None))(a, b)
    onp.testing.assert_allclose(pairs, (a @ b.T) ** 2, rtol=1e-4)
    g = vmap(grad(f))(a, b)
    onp.testing.assert_allclose(g, loop(grad(f), a, b), rtol=1e-5)
    onp.testing.assert_allclose(jit(vmap(grad(f)))(a, b), g, rtol=1e-5)
    onp.testing.assert_allclose(grad(lambda a: vmap(f)(a, b).sum())(a), g, rtol=1e-5)


def test_constants_and_size_only():
    assert vmap(lambda: np.ones(2), axis_size=3)().shape == (3, 2)
    assert vmap(lambda x: 7)(onp.ones(4)).shape == (4,)
    assert vmap(lambda x: x, out_axes=-1)(onp.ones((4, 2))).shape == (2, 4)
    assert vmap(lambda x, k: x + k)(onp.ones(3), k=onp.ones(3)).shape == (3,)


def test_zero_size_batches():
    assert vmap(lambda x: np.sin(x).sum())(onp.ones((0, 3))).shape == (0,)


@anima.tree_util.register_pytree_node_class
class Strict:
    """A node that refuses children that are no arrays."""

    def __init__(self, w: Any, name: str) -> None:
        if isinstance(w, int):
            raise TypeError("a Strict holds arrays")
        self.w, self.name = w, name

    def tree_flatten(self) -> Any:
        return (self.w,), self.name

    @classmethod
    def tree_unflatten(cls, name: str, children: Any) -> "Strict":
        return cls(*children, name)


@anima.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    w: Any
    b: Any


Pair = collections.namedtuple("Pair", "x y")


def test_axes_are_prefixes_of_trees():
    a, b = onp.arange(6.0, dtype=onp.float32).reshape(2, 3), onp.arange(6.0, dtype=onp.float32).reshape(3, 2)
    f = lambda p, q: {"s": p.x * p.y["k"][0] + q, "t": (p.y["k"][1], None)}
    out = vmap(f, in_axes=(Pair(0, {"k": [1, None]}), None), out_axes={"s": -1, "t": (None, 0)})(
        Pair(a, {"k": [b, 7.0]}), 1.0
    )
    onp.testing.assert_array_equal(out["s"], (a * b.T + 1).T)
    assert out["t"] == (7.0, None)
    # One axis for a whole argument, in a tuple or in a list; None for an argument without leaves.
    g = lambda p, nothing: p["a"] + p["b"]
    for axes in ((-1, None), [-1, 0], (onp.int64(1), None)):
        onp.testing.assert_array_equal(vmap(g, in_axes=axes)({"a": a, "b": 2 * a}, None), 3 * a.T)


def test_custom_nodes_and_keywords():
    layer, x = (
        Layer(onp.ones((4, 3, 2), onp.float32), onp.arange(4.0, dtype=onp.float32)),
        onp.ones((3, 4), onp.float32),
    )
    f = lambda layer, x, *, scale: Layer(x @ layer.w * scale, layer.b)
    out = vmap(f, in_axes=(0, 1), out_axes=Layer(1, 0))(layer, x, scale=onp.arange(4.0, dtype=onp.float32))
    assert isinstance(out, Layer)
    onp.testing.assert_array_equal(out.w, 3 * onp.arange(4.0) * onp.ones((2, 1)))
    onp.testing.assert_array_equal(out.b, layer.b)
    out = vmap(f, in_axes=(Layer(0, None), 1))(layer, x, scale=onp.ones(4, onp.float32))
    assert out.b.shape == (4, 4)
    strict = vmap(lambda s: Strict(s.w + 1, s.name))(Strict(onp.ones((2, 3)), "n"))
    assert strict.name == "n" and strict.w.shape == (2, 3)
    assert vmap(lambda a, b: a + b)(b=onp.ones(3), a=onp.ones(3)).shape == (3,)


def test_outputs_without_the_axis():
    out = vmap(lambda x: {"a": 1.5, "b": onp.arange(2), "c": x}, out_axes={"a": None, "b": 1, "c": 0})(
        onp.ones(3)
    )
    assert out["a"].shape == () and out["b"].shape == (2, 3) and out["c"].shape == (3,)
    total = vmap(lambda x: (x, 2.0), out_axes=None, sum_match=True)(
        onp.arange(6.0, dtype=onp.float32).reshape(3, 2)
    )
    onp.testing.assert_array_equal(total[0], [6, 9])
    assert total[1] == 2.0
    weights = onp.arange(3, dtype=onp.float32)
    g = grad(lambda x: vmap(lambda x, w: x * w, out_axes=None, sum_match=True)(x, weights))(
        onp.ones(3, onp.float32)
    )
    onp.testing.assert_array_equal(g, weights)


DTYPES = [bool, np.int8, np.uint32, np.float16, np.bfloat16, np.float32, np.complex64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_stay(dtype):
    x = np.ones((2, 3), dtype)
    out, same = vmap(lambda x: (x[::-1], x), in_axes=1)(x)
    assert out.dtype == same.dtype == x.dtype and out.shape == (3, 2)
    assert vmap(lambda x: x * 2.0)(np.ones(3, np.bfloat16)).dtype == np.bfloat16
    assert vmap(lambda x: x + 1)(np.asarray([1, 2])).weak_type is False
    assert vmap(lambda x: 2.0, out_axes=None)(np.ones(2)).weak_type


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_empty_arrays(shape):
    x = onp.ones(shape, onp.float32)
    f = lambda x: (np.sin(x).sum(), x * 2, np.sort(x), lax.scan(lambda c, r: (c + r, r), 0.0, x)[0])
    got = vmap(f)(x)
    assert [g.shape for g in got] == [shape[:1], shape, shape, shape[:1]]
    assert vmap(grad(lambda x: (x**2).sum()))(x).shape == shape
    assert jit(vmap(lambda x: lax.cond(x.sum() > 0, np.sin, np.cos, x)))(x).shape == shape
    assert vmap(lambda: np.ones(2), axis_size=0)().shape == (0, 2)


def newton(x):
    return lax.while_loop(lambda y: np.abs(y * y - x) > 1e-3, lambda y: 0.5 * (y + x / y), x)


PROGRAMS = {
    "cond on an example": lambda x: lax.cond(x[0] > 0, np.sin, lambda x: x * x, x),
    "switch on an example": lambda x: lax.switch((x[0] > 0) * 2, [np.sin, np.cos, np.exp], x),
    "while on an example": lambda x: newton(np.abs(x[0]) + 0.5),
    "fori with mapped bounds": lambda x: lax.fori_loop(0, (x[0] > 0) * 2 + 1, lambda i, y: np.sin(y) + i, x),
    "scan": lambda x: lax.scan(lambda c, r: (c * r, c + r), x[0], x)[1],
    "scan with a carry that becomes mapped": lambda x: lax.scan(lambda c, r: (c + r, c), 0.0, x)[0],
    "jit": lambda x: jit(lambda x, y: x @ y)(x, x),
    "grad": lambda x: grad(lambda x: np.sin(x).prod())(x),
    "jvp": lambda x: jvp(np.tanh, (x,), (x,))[1],
    "grad of scan": lambda x: grad(lambda x: lax.scan(lambda c, r: (np.sin(c * r), None), x[0], x)[0])(x),
    "nested": lambda x: lax.scan(
        lambda c, r: (lax.cond(r > 0, np.sin, lambda c: c * r, c), jit(np.cos)(r)), x, x
    )[0],
    "sort": lambda x: np.sort(x),
    "indexing": lambda x: x[np.argmax(x)] + np.asarray(x).at[1].set(2.0),
    "associative_scan": lambda x: lax.associative_scan(np.multiply, x),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_every_kind_of_program(name, axis):
    f = PROGRAMS[name]
    x = onp.random.default_rng(1).normal(size=(5, 4)).astype(onp.float32)
    x[0, 0], x[1, 0] = 1.0, -1.0
    want = loop(f, x)
    for mapped in (vmap(f, in_axes=axis), jit(vmap(f, in_axes=axis)), vmap(jit(f), in_axes=axis)):
        onp.testing.assert_allclose(mapped(onp.moveaxis(x, 0, axis)), want, rtol=2e-5, atol=2e-5)
    twice = vmap(vmap(f, in_axes=axis), in_axes=2)(onp.stack([onp.moveaxis(x, 0, axis)] * 3, 2))
    onp.testing.assert_allclose(twice, onp.stack([want] * 3), rtol=2e-5, atol=2e-5)


def test_names_are_found_in_mapped_programs():
    x = onp.arange(3.0, dtype=onp.float32)
    f = lambda x: lax.scan(lambda c, _: (c + lax.psum(jit(np.sin)(x), "i"), None), 0.0, None, 2)[0]
    onp.testing.assert_allclose(vmap(f, axis_name="i")(x), [2 * onp.sin(x).sum()] * 3, rtol=1e-6)
    with pytest.raises(NameError, match="unbound axis name: i"):
        vmap(f)(x)


MESHES = """
import numpy as onp, anima, anima.numpy as np
from anima.sharding import NamedSharding, PartitionSpec as P
mesh = anima.make_mesh((2, 2), ("x", "y"))
x = anima.device_put(onp.arange(32.0, dtype=onp.float32).reshape(8, 4), NamedSharding(mesh, P("x")))
constrain = lambda row: anima.device_put(row * 2, NamedSharding(mesh, P("y")))
inner = lambda e: anima.device_put(e + 1, NamedSharding(mesh, P()))
for f, spec in (
    (anima.vmap(constrain, spmd_axis_name="x"), P("x", "y")),
    (anima.jit(anima.vmap(constrain, spmd_axis_name="x")), P("x", "y")),
    (anima.jit(anima.vmap(constrain)), P("x", "y")),  # the partitioner keeps what the argument has
    (anima.vmap(constrain), P(None, "y")),
    (anima.jit(anima.vmap(constrain, in_axes=1, out_axes=1, spmd_axis_name="x")), P("y", "x")),
):
    y = f(x)
    assert onp.array_equal(y, 2 * onp.asarray(x))
    assert y.sharding.is_equivalent_to(NamedSharding(mesh, spec), 2), (y.sharding, spec)
both = anima.jit(anima.vmap(anima.vmap(inner, spmd_axis_name="x"), spmd_axis_name="y"))(x)
assert both.sharding.is_equivalent_to(NamedSharding(mesh, P("y", "x")), 2), both.sharding
several = anima.jit(anima.vmap(lambda r: anima.device_put(r, NamedSharding(mesh, P())), spmd_axis_name=("x", "y")))(x)
assert several.sharding.is_equivalent_to(NamedSharding(mesh, P(("x", "y"))), 2), several.sharding
try:
    anima.vmap(constrain, spmd_axis_name="y")(x)
except anima.errors.ShardingError:
    pass
else:
    raise AssertionError("a mesh axis was used twice")
"""


@pytest.mark.cpu
def test_the_mapped_axis_over_a_mesh(run_python):
    run_python(MESHES, env={"JAX_NUM_CPU_DEVICES": "4"})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: vmap(np.add)(onp.ones(2), onp.ones(3)), ValueError, "inconsistent sizes"),
        (lambda: vmap(np.sin)(1.0), ValueError, "out of range"),
        (lambda: vmap(np.sin, in_axes=2)(onp.ones(3)), ValueError, "out of range"),
        (lambda: vmap(np.sin, in_axes=None)(onp.ones(3)), ValueError, "no argument is mapped"),
        (lambda: vmap(np.add, in_axes=(0,))(onp.ones(3), 1.0), ValueError, "in_axes"),
        (lambda: vmap(np.sin, in_axes="x")(onp.ones(3)), TypeError, "in_axes"),
        (lambda: vmap(lambda x: x, out_axes=None)(onp.ones(3)), ValueError, "out_axes is None"),
        (lambda: vmap(lambda x: x, out_axes=3)(onp.ones(3)), ValueError, "out_axes 3"),
        (lambda: vmap(lambda x: x)({"a": "b"}), TypeError, r"argument `x\['a'\]`"),
        (
            lambda: vmap(lambda p, q: p)({"a": onp.ones(2)}, [onp.ones(2), onp.ones((3, 1))]),
            ValueError,
            r"argument `p\['a'\]` has shape \(2,\) and size 2 along axis 0; .*`q\[1\]` has shape \(3, 1\) and size 3",
        ),
        (lambda: vmap(np.sin, axis_size=2)(onp.ones(3)), ValueError, "axis_size is 2; argument"),
        (lambda: vmap(lambda *, k: k)(k=1.0), ValueError, "argument `k` of <lambda>"),
        (lambda: vmap(lambda *a: a)(onp.ones(2), {"b": 1.0}), ValueError, r"argument number 1 at \['b'\]"),
        (
            lambda: vmap(lambda x: x, in_axes=({"a": 3},))({"a": onp.ones(2)}),
            ValueError,
            r"in_axes 3 .*`x\['a'\]`",
        ),
        (
            lambda: vmap(lambda x: x, in_axes=({"a": 0},))(onp.ones(2)),
            ValueError,
            r"at vmap in_axes\[0\] there is a dict",
        ),
        (
            lambda: vmap(lambda x: x, in_axes=({"a": "b"},)),
            TypeError,
            "in_axes entries must be integers or None, got 'b'",
        ),
        (
            lambda: vmap(lambda x: x, out_axes=(0, 1.5)),
            TypeError,
            "out_axes entries must be integers or None, got 1.5",
        ),
        (lambda: vmap(lambda x: x, in_axes=True), TypeError, "in_axes must be"),
        (lambda: vmap(lambda x: x, axis_size=-1), ValueError, "must not be negative"),
        (lambda: vmap(lambda x: x, axis_size=1.5), TypeError, "axis_size must be an integer"),
        (lambda: vmap(lambda x: x, axis_name=[1]), TypeError, "unhashable"),
        (
            lambda: vmap(lambda x: {"a": (x, x)}, out_axes={"a": (0, None)})(onp.ones(3)),
            ValueError,
            r"result of <lambda> at \['a'\]\[1\]",
        ),
        (
            lambda: vmap(lambda x: Strict(x, "n"), out_axes=Strict(None, "n"))(onp.ones(3)),
            ValueError,
            "out_axes is None",
        ),
        (
            lambda: vmap(lambda x: {"a": x}, out_axes=-2)(onp.ones(3)),
            ValueError,
            r"out_axes -2 .* at \['a'\], which has 1",
        ),
        (
            lambda: vmap(lambda x: (x, x), out_axes=(0,))(onp.ones(3)),
            ValueError,
            "vmap out_axes must be a tree prefix of the result",
        ),
        (lambda: vmap(np.add, in_axes=(0, 0, 0))(onp.ones(3), onp.ones(3)), ValueError, "has 3 entries"),
        (lambda: vmap(lambda: 1)(), ValueError, "give axis_size"),
        (lambda: vmap(lambda x: "a")(onp.ones(3)), TypeError, "returned a value of type str"),
        (lambda: vmap(3), TypeError, "expects a function"),
    ],
)
def test_misuse_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()

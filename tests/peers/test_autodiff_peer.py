"""Differentiation compared with JAX: values, dtypes, weak types, structures, and which exceptions misuse raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.custom_batching
import jax.custom_derivatives
import jax.experimental.jet
import numpy as np
import pytest

import anima
import anima.custom_derivatives
import anima.experimental.jet
import anima.numpy

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype"),
    pytest.mark.filterwarnings("ignore:.*implicitly convert.*float0"),
]


class Library:
    """One of the two libraries, by the names that the programs below use."""

    def __init__(self, package: Any, numpy: Any) -> None:
        self.np, self.lax, self.nn = numpy, package.lax, package.nn
        self.grad, self.value_and_grad, self.vjp, self.jvp = (
            package.grad,
            package.value_and_grad,
            package.vjp,
            package.jvp,
        )
        self.linearize, self.jacfwd, self.jacrev, self.hessian = (
            package.linearize,
            package.jacfwd,
            package.jacrev,
            package.hessian,
        )
        self.jit, self.vmap, self.linear_transpose = package.jit, package.vmap, package.linear_transpose
        self.fwd_and_bwd, self.struct = package.fwd_and_bwd, package.ShapeDtypeStruct
        self.linear_call = package.custom_derivatives.linear_call
        self.custom_vmap, self.sequential_vmap = (
            package.custom_batching.custom_vmap,
            package.custom_batching.sequential_vmap,
        )
        self.jet = package.experimental.jet.jet


OURS, THEIRS = Library(anima, anima.numpy), Library(jax, jax.numpy)
Program = Callable[[Library], Any]

F = np.float32
X = np.arange(1, 4, dtype=F)
Z = (X + 1j * X[::-1]).astype(np.complex64)
I = np.arange(3, dtype=np.int32)
W, D = F(2), {"a": X, "b": F(2)}


def float0(*shape: int) -> Any:
    return np.zeros(shape, jax.dtypes.float0)


def described(leaf: Any) -> tuple[Any, ...]:
    """Shape, dtype and weak type; numbers are weakly typed arrays, which we return in their place."""
    if isinstance(leaf, str):
        return (leaf,)
    number = isinstance(leaf, (bool, int, float, complex))
    aval = jax.numpy.asarray(leaf) if number else leaf
    name = "float0" if aval.dtype == jax.dtypes.float0 else str(aval.dtype)
    return tuple(aval.shape), name, bool(getattr(aval, "weak_type", False))


def outcome(program: Program, lib: Library) -> Any:
    """What a program returns, or the exception that it raises."""
    try:
        return program(lib)
    except Exception as error:
        return error


def check(program: Program, name: str) -> None:
    ours, theirs = outcome(program, OURS), outcome(program, THEIRS)
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception), f"{name}: JAX raises {type(theirs).__name__}: {theirs}"
        names = {cls.__name__ for cls in type(ours).__mro__}
        assert type(theirs).__name__ in names, f"{name}: {ours!r}, JAX raises {theirs!r}"
        return
    if isinstance(ours, Exception):
        raise ours
    leaves, tree = jax.tree.flatten(theirs)
    own, own_tree = anima.tree.flatten(ours)
    assert str(own_tree) == str(tree), name
    for a, b in zip(own, leaves):
        assert described(a) == described(b), f"{name}: {described(a)}, JAX has {described(b)}"
        if not isinstance(b, str) and described(b)[1] != "float0":
            np.testing.assert_allclose(
                np.asarray(a, complex), np.asarray(b, complex), rtol=2e-5, atol=1e-5, err_msg=name
            )


GRADIENTS: dict[str, Program] = {
    "of a number": lambda l: l.grad(lambda x: x * x)(3.0),
    "of a weak array": lambda l: l.grad(lambda x: x * x)(l.np.asarray(3.0)),
    "of a strong one": lambda l: l.grad(lambda x: 3.0 * x)(F(3)),
    "weak times strong": lambda l: l.grad(lambda x: x * W)(3.0),
    "weak plus strong": lambda l: l.grad(lambda x: x + W)(3.0),
    "weak with array": lambda l: l.grad(lambda x: ((x * X) @ X) + (l.np.ones(3) * x).sum())(3.0),
    "weak with integer": lambda l: l.grad(lambda x: x * I[1])(3.0),
    "constant": lambda l: [l.grad(lambda x: 3.0)(x) for x in (2.0, F(2))],
    "value and gradient": lambda l: l.value_and_grad(lambda x: x * x)(3.0),
    "value that is a number": lambda l: l.value_and_grad(lambda x: 3.0)(F(3)),
    "jit of grad": lambda l: l.jit(l.grad(lambda x: x * W))(3.0),
    "grad of jit": lambda l: l.grad(l.jit(lambda x: x * x))(3.0),
    "jit inside": lambda l: l.grad(lambda x: l.jit(lambda x, y: x * y)(x, W))(2.0),
    "grad of grad": lambda l: l.grad(l.grad(lambda x: x * x * x))(3.0),
    "vmap of grad": lambda l: l.vmap(l.grad(lambda x: x * x))(X),
    "grad of vmap": lambda l: l.grad(lambda x: l.vmap(lambda y: x * y)(X).sum())(2.0),
    "two uses": lambda l: l.grad(lambda x: x * x + l.np.sin(x) * W)(2.0),
    "cond": lambda l: l.grad(lambda x: l.lax.cond(x > 0, lambda x: x * x, lambda x: x, x))(3.0),
    "scan": lambda l: l.grad(lambda x: l.lax.scan(lambda c, _: (c * x, None), x, None, length=3)[0])(3.0),
    "where": lambda l: l.grad(lambda x: l.np.where(x > 0, x, W))(3.0),
    "clip": lambda l: l.grad(lambda x: l.np.clip(x, 0, 3))(2.0),
    "index": lambda l: l.grad(lambda x: (x * l.np.ones(3))[1])(2.0),
    "update": lambda l: l.grad(lambda x: l.np.ones(3).at[0].set(x).sum())(2.0),
    "stack": lambda l: l.grad(lambda x: l.np.stack([x, x, 2 * x]).sum())(2.0),
    "broadcast": lambda l: l.grad(lambda x: l.np.broadcast_to(x, (3,)).sum())(2.0),
    "reshape": lambda l: l.grad(lambda x: l.np.reshape(x, (1,)).sum())(2.0),
    "convert": lambda l: l.grad(lambda x: l.np.asarray(x, l.np.float16))(3.0),
    "real of complex": lambda l: l.grad(lambda x: l.np.real(x * (1 + 1j)))(2.0),
    **{name: (lambda l, n=name: l.grad(getattr(l.np, n))(2.0)) for name in ("sin", "exp", "log", "tanh", "sqrt", "abs", "cbrt")},
    **{name: (lambda l, n=name: l.grad(getattr(l.nn, n))(2.0)) for name in ("sigmoid", "softplus", "relu")},
    "powers": lambda l: [l.grad(lambda x, n=n: x**n)(2.0) for n in (2, 3, -1)],
    "tuple": lambda l: l.grad(lambda x, y: x * y, (0, 1))(3.0, W),
    "tuple of one": lambda l: l.grad(lambda x, y: x * y, (1,))(3.0, 4.0),
    "list": lambda l: l.grad(lambda x, y: x * y, [1, 0])(3.0, 4.0),
    "negative": lambda l: l.grad(lambda x, y: x * y, -1)(3.0, 4.0),
    "NumPy number": lambda l: l.grad(lambda x, y: x * y, np.int32(1))(3.0, 4.0),
    "unused": lambda l: l.grad(lambda x, y: x, (0, 1))(2.0, F(3)),
    "keywords": lambda l: l.grad(lambda x, y, z: x * y * (1 if z == "a" else 2))(3.0, y=4.0, z="a"),
    "not differentiated": lambda l: l.grad(lambda x, y: x * (1 if y == "a" else 2))(3.0, "a"),
    "auxiliary": lambda l: l.grad(lambda x: (x * x, {"a": x + 1, "b": 3, "s": "text"}), has_aux=True)(3.0),
    "value and auxiliary": lambda l: l.value_and_grad(lambda x: (x * x, l.np.arange(3)), has_aux=True)(3.0),
    "pair in a list": lambda l: l.grad(lambda x: [x * x, 1], has_aux=True)(3.0),
    "tree": lambda l: l.grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": X, "b": [2.0]}),
    "empty tree": lambda l: l.grad(lambda d: 1.0)(()),
    "empty array": lambda l: l.grad(lambda x: x.sum())(X[:0]),
    "narrow": lambda l: [l.grad(lambda x: x * x)(x) for x in (np.float16(3), l.np.asarray(3, l.np.bfloat16))],
    "integers": lambda l: l.grad(lambda x: (x * 2.0).sum(), allow_int=True)(I),
    "an integer": lambda l: l.value_and_grad(lambda x: x * W, allow_int=True)(3),
    "a boolean": lambda l: l.grad(lambda x: x * 2.0, allow_int=True)(True),
    "integers in a tree": lambda l: l.grad(lambda x: x["i"] * x["f"], allow_int=True)({"i": 3, "f": 2.0}),
    "modulus": lambda l: l.grad(lambda z: abs(z))(np.complex64(3 + 4j)),
    "real part": lambda l: l.grad(lambda z: l.np.real(z * z))(np.complex64(3 + 4j)),
    "imaginary part": lambda l: l.grad(lambda z: l.np.imag(z * z))(np.complex64(3 + 4j)),
    "conjugate": lambda l: l.grad(lambda z: l.np.real(l.np.conj(z) * z * z))(np.complex64(3 + 4j)),
    "holomorphic": lambda l: l.grad(lambda z: z * z, holomorphic=True)(3 + 4j),
    "holomorphic sine": lambda l: l.grad(l.np.sin, holomorphic=True)(np.complex64(1 + 2j)),
    "real through complex": lambda l: l.grad(lambda x: l.np.abs(x * (1 + 2j)) ** 2)(3.0),
    "stopped": lambda l: l.grad(lambda x: x * x * l.lax.stop_gradient(x))(3.0),
    "stopped complex": lambda l: l.grad(lambda z: l.np.real(z * l.lax.stop_gradient(z)))(np.complex64(3 + 1j)),
    "stopped tree": lambda l: l.lax.stop_gradient({"a": l.np.asarray(1), "b": [l.np.asarray(2.0), X], "n": None}),
    "stopped numbers": lambda l: [l.lax.stop_gradient(v) for v in (3, 3.0, 1j, np.int8(3))],
}  # fmt: skip


FORWARD: dict[str, Program] = {
    "weak types": lambda l: [l.jvp(lambda x: -x, (x,), (t,)) for x in (1.0, F(1)) for t in (2.0, F(2))],
    "sine": lambda l: [l.jvp(l.np.sin, (x,), (t,)) for x in (1.0, F(1)) for t in (2.0, F(2))],
    "constant": lambda l: l.jvp(lambda x: F(3), (F(1),), (2.0,)),
    "integers out": lambda l: l.jvp(lambda x: (x * 2, l.np.arange(3), x > 1), (F(1),), (2.0,)),
    "lists": lambda l: l.jvp(l.np.multiply, [1.0, 2.0], [2.0, 3.0]),
    "trees": lambda l: l.jvp(lambda d: {"y": d["a"] * d["b"]}, (D,), (D,)),
    "integer": lambda l: l.jvp(lambda x, y: x * y, (I, X), (float0(3), X)),
    "auxiliary": lambda l: l.jvp(lambda x: (x * 2, {"a": x, "b": 1}), (F(3),), (F(1),), has_aux=True),
    "complex": lambda l: l.jvp(lambda z: z * z, (Z,), (Z,)),
    "of modulus": lambda l: l.jvp(l.np.abs, (Z,), (Z,)),
    "of jit": lambda l: l.jvp(l.jit(lambda x: x * x), (2.0,), (2.0,)),
    "of scan": lambda l: l.jvp(lambda x: l.lax.scan(lambda c, _: (c * x, c), x, None, length=3), (2.0,), (2.0,)),
    "floor": lambda l: l.jvp(l.np.floor, (F(3.2),), (F(1),)),
    "linearized": lambda l: [l.linearize(l.np.sin, x)[1](t) for x in (1.0, F(1)) for t in (2.0, F(2))],
    "linearized tree": lambda l: l.linearize(lambda d: {"y": d["a"] * d["b"], "n": 3 * d["b"]}, D)[1](D),
    "linearized integer": lambda l: l.linearize(lambda x, y: x * y, I, X)[1](float0(3), X),
    "linearized integer out": lambda l: l.linearize(lambda x: (x * 2, l.np.arange(2)), F(3))[1](F(1)),
    "linearized constant": lambda l: l.linearize(lambda x: 3.0, F(3))[1](F(1)),
    "linearized auxiliary": lambda l: [l.linearize(lambda x: (x * 2, {"a": x, "b": 1}), F(3), has_aux=True)[i] for i in (0, 2)],
    "linearized complex": lambda l: l.linearize(lambda z: z * z, Z)[1](Z),
    "residuals of linearized": lambda l: l.jit(lambda f, t: f(t))(l.linearize(lambda x: l.np.sin(x) * X, X)[1], X),
}  # fmt: skip


REVERSE: dict[str, Program] = {
    "weak types": lambda l: [l.vjp(lambda x: -x, x)[1](t) for x in (1.0, F(1)) for t in (2.0, F(2))],
    "sine": lambda l: [l.vjp(l.np.sin, x)[1](t) for x in (1.0, F(1)) for t in (2.0, F(2))],
    "value": lambda l: l.vjp(l.np.sin, 1.0)[0],
    "tuple": lambda l: l.vjp(lambda x: (x, x * x), F(3))[1]((F(1), F(1))),
    "tree": lambda l: l.vjp(lambda d: {"y": d["a"] * 2}, {"a": X, "b": X})[1]({"y": X}),
    "integer out": lambda l: l.vjp(lambda x: (x * 2, I), F(3))[1]((F(1), float0(3))),
    "zeros for an integer out": lambda l: [l.vjp(lambda x: (x * 2, I), F(3))[1]((F(1), z)) for z in (I * 0, X * 0, I > 5)],
    "integer in": lambda l: l.vjp(lambda x, y: x * y, I, X)[1](X),
    "boolean in": lambda l: l.vjp(lambda x, y: x * y, X > 1, X)[1](X),
    "integer to integer": lambda l: l.vjp(lambda x: x * 2, I)[1](float0(3)),
    "auxiliary": lambda l: [l.vjp(lambda x: (x * 2, {"a": x, "b": 1}), F(3), has_aux=True)[i] for i in (0, 2)],
    "no arguments": lambda l: l.vjp(lambda: 3.0)[1](1.0),
    "constant": lambda l: [l.vjp(lambda x: 3.0, x)[1](1.0) for x in (3.0, F(3))],
    "complex": lambda l: l.vjp(lambda z: l.np.conj(z) * z * (2 + 1j), Z)[1](Z),
    "real to complex": lambda l: l.vjp(lambda x: x * (2 + 1j), X)[1](Z),
    "pullback as argument": lambda l: l.jit(lambda f, c: f(c))(l.vjp(lambda x: l.np.sin(x) * X, X)[1], X),
    "pullback as result": lambda l: l.jit(lambda x: l.vjp(l.np.sin, x)[1])(F(2))(F(1)),
    "passes": lambda l: (lambda f, b: b(f(X, W)[1], X))(*l.fwd_and_bwd(lambda x, w: l.np.sin(x) * w, (0, 1))),
    "one argument's pass": lambda l: (lambda f, b: b(f(X, W)[1], X))(*l.fwd_and_bwd(lambda x, w: (x * w, x), -1, has_aux=True)),
}  # fmt: skip


JACOBIANS: dict[str, Program] = {
    name: program
    for which in ("jacfwd", "jacrev")
    for name, program in {
        f"{which} of array": lambda l, w=which: getattr(l, w)(l.np.sin)(X),
        f"{which} of number": lambda l, w=which: [getattr(l, w)(f)(3.0) for f in (lambda x: x * x, lambda x: x, lambda x: x * W)],
        f"{which} of tree": lambda l, w=which: getattr(l, w)(lambda d: {"y": d["a"] * d["b"], "z": d["b"]})(D),
        f"{which} of two": lambda l, w=which: getattr(l, w)(l.np.outer, (1, 0))(X, X[:2]),
        f"{which} of the last": lambda l, w=which: getattr(l, w)(lambda x, y: x * y, -1)(X, X),
        f"{which} of matrix": lambda l, w=which: getattr(l, w)(lambda x: x.T @ x)(np.arange(6, dtype=F).reshape(3, 2)),
        f"{which} of nothing": lambda l, w=which: getattr(l, w)(lambda x: x * 2)(X[:0]),
        f"{which} with auxiliary": lambda l, w=which: getattr(l, w)(lambda x: (x * x, {"a": x.sum(), "b": 1}), has_aux=True)(X),
        f"{which} with keywords": lambda l, w=which: getattr(l, w)(lambda x, k: x * k)(X, k=2.0),
        f"{which} with constants": lambda l, w=which: getattr(l, w)(lambda x: [x, 3.0, l.np.ones(2)])(X),
        f"{which} of two dtypes": lambda l, w=which: getattr(l, w)(lambda x, y: (x * 2, y * 2), (0, 1))(F(2), np.float16(3)),
        f"{which} holomorphic": lambda l, w=which: getattr(l, w)(lambda z: z * z, holomorphic=True)(Z),
        f"{which} of modulus": lambda l, w=which: getattr(l, w)(l.np.abs)(Z if w == "jacrev" else X),
        f"{which} real to complex": lambda l, w=which: getattr(l, w)(lambda x: x * (1 + 2j))(X),
    }.items()
} | {
    "hessian": lambda l: l.hessian(lambda x: (x**3).sum())(X),
    "hessian of number": lambda l: l.hessian(lambda x: x**3)(2.0),
    "hessian of two": lambda l: l.hessian(lambda x, y: (x * y).sum(), (0, 1))(X, X),
    "hessian of tree": lambda l: l.hessian(lambda d: (d["a"] * d["b"]).sum())(D),
    "hessian with auxiliary": lambda l: l.hessian(lambda x: ((x * x).sum(), {"a": x.sum(), "b": 1}), has_aux=True)(X),
    "holomorphic hessian": lambda l: l.hessian(lambda z: (z * z * z).sum(), holomorphic=True)(Z),
}  # fmt: skip


LINEAR: dict[str, Program] = {
    "transpose": lambda l: l.linear_transpose(lambda x, y: 0.5 * x - 0.5 * y, l.struct((), F), l.struct((), F))(1.0),
    "transpose of weak": lambda l: [l.linear_transpose(lambda x: 2 * x, x)(t) for x in (1.0, l.struct((), F)) for t in (3.0, F(3))],
    "transpose of matmul": lambda l: l.linear_transpose(lambda x: x @ np.ones((3, 2), F), l.struct((2, 3), F))(np.ones((2, 2), F)),
    "transpose of unused": lambda l: l.linear_transpose(lambda x, y: 2 * x, l.struct((), F), l.struct((2,), F))(F(3)),
    "transpose of integers": lambda l: l.linear_transpose(lambda x: x * 2, l.struct((), np.int32))(3),
    "transpose to complex": lambda l: l.linear_transpose(lambda x: x * (1 + 2j), l.struct((), F))(np.complex64(1j)),
    "transpose from complex": lambda l: l.linear_transpose(l.np.real, l.struct((), np.complex64))(F(1)),
    "transpose of tree": lambda l: l.linear_transpose(lambda d: {"y": d["a"] * 2}, {"a": l.struct((), F), "b": X})({"y": F(2)}),
    "transpose of nothing": lambda l: l.linear_transpose(lambda: 1.0)(1.0),
    "transpose of scan": lambda l: l.linear_transpose(lambda x: l.lax.scan(lambda c, _: (c * 2, c), x, None, length=3), l.struct((), F))((F(1), X)),
    "transpose of bfloat16": lambda l: l.linear_transpose(lambda x: x.astype(F), l.struct((), l.np.bfloat16))(F(1)),
    "linear_call": lambda l: l.value_and_grad(lambda x: l.linear_call(lambda r, x: x / r, lambda r, t: t / r * 10, 3.0, x))(9.0),
    "linear_call in jit": lambda l: l.jit(l.grad(lambda x: l.linear_call(lambda r, x: x / r, lambda r, t: t / r * 10, F(3), x)))(F(9)),
    "linear_call twice": lambda l: l.linear_transpose(
        lambda y: l.linear_transpose(lambda x: l.linear_call(lambda r, x: x, lambda r, t: 7.0 * t, (), x), F(1))(y)[0], F(1))(F(1)),
    "linear_call on trees": lambda l: l.grad(lambda x: l.linear_call(
        lambda r, x: {"a": x[0] * r[0] + x[1]}, lambda r, t: (t["a"] * r[0], t["a"]), (3.0,), x)["a"])((2.0, 5.0)),
}  # fmt: skip


def batched(l: Library) -> Any:
    f = l.custom_vmap(lambda x, y: l.np.sin(x) * y)
    f.def_vmap(lambda size, mapped, x, y: (l.np.cos(x) * y, mapped[0] or mapped[1]))
    return f


BATCHED: dict[str, Program] = {
    "plain": lambda l: batched(l)(1.0, 2.0),
    "vmap": lambda l: l.vmap(batched(l))(X, X),
    "one argument": lambda l: l.vmap(batched(l), (0, None))(X, 2.0),
    "jit of vmap": lambda l: l.jit(l.vmap(batched(l)))(X, X),
    "vmap of jit": lambda l: l.vmap(l.jit(batched(l)))(X, X),
    "vmap of vmap": lambda l: l.vmap(l.vmap(batched(l), (0, None)), (None, 0))(X, X),
    "unmapped": lambda l: l.vmap(lambda a: batched(l)(1.0, 2.0) + a)(X),
    "jvp": lambda l: l.jvp(batched(l), (1.0, 2.0), (1.0, 0.0)),
    "vmap of jvp": lambda l: l.vmap(lambda a, b: l.jvp(batched(l), (a, b), (a, b)))(X, X),
    "jvp of vmap": lambda l: l.jvp(l.vmap(batched(l)), (X, X), (X, X)),
    "vmap of a constant tangent": lambda l: l.vmap(lambda a, b: l.jvp(batched(l), (a, b), (1.0, 0.0)))(X, X),
    "jacfwd of vmap": lambda l: l.jacfwd(lambda x: l.vmap(batched(l))(x, x))(X),
    "scan": lambda l: l.vmap(lambda a: l.lax.scan(lambda c, _: (batched(l)(c, c), None), a, None, length=2)[0])(X),
    "sequential": lambda l: l.vmap(l.sequential_vmap(lambda x, y: (x + y, y)), (0, None))(X, 1.0),
    "sequential of nothing": lambda l: l.vmap(l.sequential_vmap(lambda x: x + 1))(X[:0]),
    "sequential twice": lambda l: l.vmap(l.vmap(l.sequential_vmap(lambda x: x + 1)))(np.ones((2, 3), F)),
    "no rule": lambda l: l.custom_vmap(lambda x: x)(1.0),
    "no pair": lambda l: l.vmap((lambda f: (f.def_vmap(lambda n, b, x: x), f)[1])(l.custom_vmap(lambda x: x)))(X),
    "wrong flags": lambda l: l.vmap((lambda f: (f.def_vmap(lambda n, b, x: (x, [True])), f)[1])(l.custom_vmap(lambda x: x)))(X),
    "wrong structure": lambda l: l.vmap((lambda f: (f.def_vmap(lambda n, b, x: ((x, x), (True, True))), f)[1])(l.custom_vmap(lambda x: x)))(X),
}  # fmt: skip


LINE = (1.0, 0.0, 0.0)
SERIES: dict[str, Program] = {
    **{n: (lambda l, n=n: l.jet(getattr(l.np, n), (F(0.5),), ([F(1), F(0), F(0)],))) for n in ("sin", "cos", "exp", "log", "tanh", "sqrt", "log1p", "expm1", "arctanh", "arcsinh", "sinh", "cosh")},
    "not scaled": lambda l: l.jet(l.np.sin, (1.0,), (LINE,), factorial_scaled=False),
    "two arguments": lambda l: l.jet(l.np.multiply, (1.0, 2.0), (LINE, (0.5, 1.0, 2.0))),
    "structure": lambda l: l.jet(lambda x: (x, {"a": x * x}), (1.0,), (LINE,)),
    "constant": lambda l: l.jet(lambda x: 3.0, (1.0,), (LINE,)),
    "no terms": lambda l: l.jet(l.np.sin, (1.0,), ((),)),
    "arrays": lambda l: l.jet(lambda x: l.np.sin(x) * x, (X,), ([X, X * 0, X],)),
    "rows": lambda l: l.jet(lambda x: x * 2, (X,), (np.stack([X, X]),)),
    "matmul": lambda l: l.jet(lambda x: x @ x, (np.ones((2, 2), F),), ([np.ones((2, 2), F)] * 3,)),
    "division": lambda l: l.jet(lambda x: x / (1 + x * x), (F(0.5),), ([F(1), F(0), F(0)],)),
    "power": lambda l: l.jet(lambda x: x**3, (0.0,), (LINE,)),
    "maximum": lambda l: l.jet(lambda x: l.np.maximum(x, x * x), (1.0,), ((1.0, 1.0, 0.0),)),
    "where": lambda l: l.jet(lambda x: l.np.where(x > 0, x * x, x), (1.0,), ((1.0, 1.0, 0.0),)),
    "reduce_max": lambda l: l.jet(l.np.max, (X,), ([X, X],)),
    "cumsum": lambda l: l.jet(l.np.cumsum, (X,), ([X, X],)),
    "complex": lambda l: l.jet(l.np.sin, (1.0 + 1j,), ((1.0 + 0j, 0j),)),
    "of jit": lambda l: l.jet(l.jit(l.np.sin), (1.0,), (LINE,)),
    "in jit": lambda l: l.jit(lambda x: l.jet(l.np.sin, (x,), (LINE,)))(1.0),
    "in vmap": lambda l: l.vmap(lambda x: l.jet(l.np.sin, (x,), (LINE,)))(X),
    "lengths": lambda l: l.jet(l.np.multiply, (1.0, 2.0), ((1.0, 0.0), (1.0,))),
    "no arguments": lambda l: l.jet(lambda: 1.0, (), ()),
    "no sequence": lambda l: l.jet(lambda x: x * 2, (1.0,), (1.0,)),
    "dtype": lambda l: l.jet(lambda x: x * 2, (F(3),), ((np.float16(1), np.float16(0)),)),
    "no function": lambda l: l.jet(3, (1.0,), ((1.0,),)),
}  # fmt: skip


MISUSE: dict[str, Program] = {
    "too few arguments": lambda l: l.grad(lambda x, y: x * y, 2)(3.0, 4.0),
    "too low": lambda l: l.grad(lambda x, y: x * y, -3)(3.0, 4.0),
    "no positional one": lambda l: l.grad(lambda x: x)(x=3.0),
    "argnums of a float": lambda l: l.grad(lambda x: x, 1.0)(3.0),
    "argnums of a string": lambda l: l.grad(lambda x: x, "x")(3.0),
    "jacobian's argnums": lambda l: [l.jacfwd(lambda x: x, 3)(X), l.jacrev(lambda x: x, 3)(X)],
    "passes' argnums": lambda l: l.fwd_and_bwd(lambda x: x, 3)[0](X),
    "string": lambda l: l.grad(lambda x, y: 1.0, 1)(3.0, "a"),
    "no function": lambda l: l.grad(3),
    "no pair": lambda l: l.grad(lambda x: x * x, has_aux=True)(3.0),
    "three": lambda l: l.grad(lambda x: (x * x, 1, 2), has_aux=True)(3.0),
    **{f"output {i}": (lambda l, i=i: l.grad(lambda x: (x, [x], (x,), None, "a", 1, x > 0, x * 1j)[i])(X if i == 0 else 1.0)) for i in range(8)},
    "array of one": lambda l: l.grad(lambda x: x)(X[:1]),
    **{f"input {i}": (lambda l, i=i: l.grad(lambda x: (x * 2.0).sum())((np.int32(3), np.bool_(True), I)[i])) for i in range(3)},
    "jacobian of integers": lambda l: l.jacfwd(lambda x: x * 2.0)(I),
    "jacobian of integers, reverse": lambda l: l.jacrev(lambda x: x * 2.0)(I),
    "jacobian to integers": lambda l: l.jacrev(lambda x: (x * 2).astype(int))(X),
    "complex to complex": lambda l: l.grad(lambda z: z * z)(3 + 4j),
    "holomorphic of real": lambda l: l.grad(lambda z: z * 1j, holomorphic=True)(3.0),
    "holomorphic to real": lambda l: l.grad(l.np.real, holomorphic=True)(3 + 1j),
    "holomorphic of integer": lambda l: l.grad(lambda z: z * 1j, holomorphic=True)(3),
    **{f"jacobian {w} {i}": (lambda l, w=w, i=i: getattr(l, w)(
        (lambda z: z * z, l.np.real, lambda z: z * 1j)[i], holomorphic=i > 0)((Z, Z, X)[i]))
       for w in ("jacfwd", "jacrev") for i in range(3)},
    **{f"tangent {i}": (lambda l, i=i: l.jvp(lambda x: x * 2.0, (X,), ((I, X[:2], 1.0, X.astype(np.float16), float0(3), None, Z)[i],))) for i in range(7)},
    **{f"tangent of integer {i}": (lambda l, i=i: l.jvp(lambda x: x * 2.0, (I,), ((I, X, float0(2))[i],))) for i in range(3)},
    "tangent of number": lambda l: l.jvp(lambda x: x * 2.0, (3.0,), (1,)),
    "tangents in a list": lambda l: l.jvp(l.np.multiply, (1.0, 2.0), [2.0, 3.0]),
    "tangents in a tree": lambda l: l.jvp(lambda x: x["a"], ({"a": X},), ({"b": X},)),
    "number of tangents": lambda l: l.jvp(lambda x: x, (X, X), (X,)),
    "primals": lambda l: l.jvp(l.np.sin, 1.0, 2.0),
    "primals in an array": lambda l: l.jvp(l.np.multiply, X[:2], X[:2]),
    **{f"cotangent {i}": (lambda l, i=i: l.vjp(lambda x: x, X)[1]((I, X[:2], 1.0, X.astype(np.float16), float0(3), None, Z, [X])[i])) for i in range(8)},
    "cotangent of tuple": lambda l: l.vjp(lambda x: (x, x), F(3))[1]([F(1), F(1)]),
    "cotangent of integer": lambda l: l.vjp(lambda x: (x, I), F(3))[1]((F(1), float0(2))),
    "two cotangents": lambda l: l.vjp(lambda x: x, 3.0)[1](1.0, 2.0),
    **{f"linearized {i}": (lambda l, i=i: l.linearize(l.np.sin, X)[1](*((I,), (X[:2],), (X.astype(np.float16),), (float0(3),), (X, X), ({"a": X},))[i])) for i in range(6)},
    "linearized integer": lambda l: l.linearize(lambda x, y: x * y, I, X)[1](I, X),
    **{f"transpose {i}": (lambda l, i=i: l.linear_transpose(lambda x: (x, 2 * x), X)(((X, X[:2]), (X, I), [X, X], (X,), X)[i])) for i in range(5)},
    "transpose of sine": lambda l: l.linear_transpose(l.np.sin, X)(X),
    "transpose of mixed": lambda l: l.linear_transpose(lambda x, i: x * 2, X, I)(X),
    "transpose to mixed": lambda l: l.linear_transpose(lambda x: (x, 1), X),
    "transpose of string": lambda l: l.linear_transpose(lambda x: x, "a"),
    "stopped string": lambda l: l.lax.stop_gradient("a"),
    "linear_call's structure": lambda l: l.grad(lambda x: l.linear_call(lambda r, x: x[0] + x[1], lambda r, t: t, (), x))((2.0, 5.0)),
    "linear_call's shape": lambda l: l.grad(lambda x: l.linear_call(lambda r, x: x.sum(), lambda r, t: t, (), x))(X),
}  # fmt: skip

TABLES = {
    "gradients": GRADIENTS, "forward": FORWARD, "reverse": REVERSE, "jacobians": JACOBIANS, "linear": LINEAR,
    "batched": BATCHED, "series": SERIES, "misuse": MISUSE,
}  # fmt: skip


@pytest.mark.parametrize(("table", "name"), [(t, n) for t, programs in TABLES.items() for n in programs])
def test_programs(table: str, name: str) -> None:
    check(TABLES[table][name], f"{table}: {name}")


@pytest.mark.parametrize("name", ["pull", "push", "of jit", "in jit", "transposed"])
def test_functions_made_in_64_bit_mode_are_called_outside_it(name: str) -> None:
    def program(package: Any, numpy: Any) -> Any:
        f = lambda x: numpy.sin(x) * 2 + x**2 / 3
        with package.enable_x64(True):
            x, ones = numpy.arange(3.0), numpy.ones(3)
            functions = {
                "pull": package.vjp(f, x)[1],
                "push": package.linearize(f, x)[1],
                "of jit": package.vjp(package.jit(f), x)[1],
                "in jit": package.jit(package.vjp(f, x)[1]),
                "transposed": package.linear_transpose(lambda x: x * 2, x),
            }
        return functions[name](ones)

    [ours], [theirs] = (p.tree.leaves(program(p, n)) for p, n in ((anima, anima.numpy), (jax, jax.numpy)))
    assert ours.dtype == theirs.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, rtol=1e-14)

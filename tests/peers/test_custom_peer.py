"""Functions with derivative rules compared with JAX: values, derivatives, what rules are given, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima
import anima.numpy

pytestmark = pytest.mark.peers

Program = Callable[[Any], Any]
X = np.float32(0.7)
V = np.linspace(0.1, 0.9, 3, dtype=np.float32)


class Library:
    """One of the two libraries, by the names that the programs below use."""

    def __init__(self, package: Any, numpy: Any) -> None:
        self.package, self.np, self.lax = package, numpy, package.lax
        self.custom = package.custom_derivatives

    def __getattr__(self, name: str) -> Any:
        return getattr(self.package, name)

    def jvp_function(self, fun: Any, rule: Any, symbolic_zeros: bool = False, **options: Any) -> Any:
        f = self.custom_jvp(fun, **options)
        f.defjvp(rule, symbolic_zeros=symbolic_zeros)
        return f

    def vjp_function(self, fun: Any, fwd: Any, bwd: Any, symbolic_zeros: bool = False, **options: Any) -> Any:
        f = self.custom_vjp(fun, **options)
        f.defvjp(fwd, bwd, symbolic_zeros=symbolic_zeros)
        return f

    def sine(self) -> Any:
        """`sin` with ten times its derivative, by a forward rule."""
        return self.jvp_function(
            lambda x: self.np.sin(x), lambda p, t: (self.np.sin(p[0]), 10 * self.np.cos(p[0]) * t[0])
        )

    def reverse_sine(self) -> Any:
        """The same, by reverse rules."""
        return self.vjp_function(
            lambda x: self.np.sin(x),
            lambda x: (self.np.sin(x), x),
            lambda x, g: (10 * self.np.cos(x) * g,),
        )


OURS, THEIRS = Library(anima, anima.numpy), Library(jax, jax.numpy)


def assert_same(ours: Any, theirs: Any) -> None:
    leaves, tree = anima.tree.flatten(ours)
    others, other_tree = jax.tree.flatten(theirs)
    assert str(tree) == str(other_tree)
    for a, b in zip(leaves, others):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape and str(a.dtype) == str(b.dtype)
        if a.dtype.kind != "V":  # float0 arrays have no contents
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


WRAPPERS: dict[str, Callable[[Library, Any], Any]] = {
    "plain": lambda lib, f: f,
    "jit": lambda lib, f: lib.jit(f),
    "vmap": lambda lib, f: lambda x: lib.vmap(f)(lib.np.stack([x, 2 * x])),
    "jit of vmap": lambda lib, f: lib.jit(lib.vmap(lambda y: f(y * X))),
    "vmap of jit": lambda lib, f: lambda x: lib.vmap(lib.jit(f), 0, 0)(lib.np.stack([x, x + 1])),
    "scan": lambda lib, f: lambda x: lib.lax.scan(lambda c, w: (f(c) * w, c), x, V),
    "cond": lambda lib, f: lambda x: lib.lax.cond(x.sum() > 0, f, lambda x: x, x),
    "while": lambda lib, f: lambda x: lib.lax.fori_loop(0, 2, lambda _, c: f(c), x),
    "checkpoint": lambda lib, f: lib.checkpoint(lambda x: f(x) * f(x + 1)),
    "twice": lambda lib, f: lambda x: f(f(x)),
}
DERIVATIVES: dict[str, Callable[[Library, Any, Any], Any]] = {
    "value": lambda lib, f, x: f(x),
    "jacrev": lambda lib, f, x: lib.jacrev(f)(x),
    "jacfwd": lambda lib, f, x: lib.jacfwd(f)(x),
    "jacrev of jacrev": lambda lib, f, x: lib.jacrev(lib.jacrev(f))(x),
    "hessian": lambda lib, f, x: lib.hessian(f)(x),
    "jit of jacrev": lambda lib, f, x: lib.jit(lib.jacrev(f))(x),
    "linearize": lambda lib, f, x: lib.linearize(f, x)[1](x),
}


@pytest.mark.parametrize("mode", ["sine", "reverse_sine"])
@pytest.mark.parametrize("derive", DERIVATIVES)
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_derivatives(wrap: str, derive: str, mode: str) -> None:
    x = V if "jit of vmap" in wrap else X
    run = lambda lib: DERIVATIVES[derive](lib, WRAPPERS[wrap](lib, getattr(lib, mode)()), lib.np.asarray(x))
    try:
        theirs = run(THEIRS)
    except TypeError:
        assert mode == "reverse_sine" and derive in ("jacfwd", "linearize")
        with pytest.raises(TypeError, match="forward-mode"):
            run(OURS)
        return
    except ValueError as error:  # a loop has no reverse derivative there
        assert wrap == "while" and "Reverse-mode" in str(error)
        return
    assert_same(run(OURS), theirs)


# --- programs that return what they have seen ------------------------------------------------------


def describe(lib: Library, value: Any) -> Any:
    """What a rule was given, in words that are the same for both libraries."""
    if type(value) is lib.custom.SymbolicZero:
        return f"symbolic zero {tuple(value.shape)}"
    if type(value) is lib.custom.CustomVJPPrimal:
        return ("perturbed" if value.perturbed else "not perturbed", describe(lib, value.value))
    if isinstance(value, (tuple, list)):
        return tuple(describe(lib, v) for v in value)
    if isinstance(value, dict):
        return tuple((k, describe(lib, v)) for k, v in sorted(value.items()))
    if value is None:
        return None
    if getattr(value, "dtype", None) == lib.dtypes.float0:
        return f"float0 {tuple(value.shape)}"
    return f"array {tuple(np.shape(value))}"


def seen_by_jvp(symbolic_zeros: bool) -> Program:
    def program(lib: Library) -> Any:
        seen: list[Any] = []

        def rule(p: Any, t: Any) -> Any:
            seen.append(describe(lib, t))
            t = t[0] if type(t[0]) is not lib.custom.SymbolicZero else lib.np.zeros_like(p[0])
            return p[0] * p[1]["a"], t * p[1]["a"]

        f = lib.jvp_function(lambda x, tree, none: x * tree["a"], rule, symbolic_zeros)
        x, tree = lib.np.asarray(X), {"a": lib.np.asarray(V), "n": 3}
        use = lambda f: lambda x: f(x, tree, None).sum()
        return [
            lib.jvp(use(f), (x,), (x,)),
            lib.grad(use(f))(x),
            lib.grad(use(lib.jit(f)))(x),
            lib.jit(lib.grad(use(f)))(x),
            lib.grad(lambda a: f(x, {"a": a, "n": 3}, None).sum())(tree["a"]),
            lib.vmap(lib.grad(use(f)))(lib.np.stack([x, x])),
            lib.grad(lambda x: lib.vmap(lambda a: f(x, {"a": a, "n": 1}, None))(tree["a"]).sum())(x),
            lib.grad(lambda x: lib.jit(lib.vmap(lambda a: f(x, {"a": a, "n": 1}, None)))(tree["a"]).sum())(x),
        ], seen

    return program


def seen_by_vjp(symbolic_zeros: bool) -> Program:
    def program(lib: Library) -> Any:
        seen: list[Any] = []
        plain = lib.custom.custom_vjp_primal_tree_values

        def fwd(*args: Any) -> Any:
            seen.append(describe(lib, args))
            x, tree, _ = plain(args) if symbolic_zeros else args
            return {"y": x * tree["a"], "n": 3, "x": x}, (x, tree)

        def bwd(residuals: Any, ct: Any) -> Any:
            seen.append(describe(lib, ct))
            return (ct["y"] * residuals[1]["a"] * 5).sum(), None, None

        fun = lambda x, tree, none: {"y": x * tree["a"], "n": 3, "x": x}
        f = lib.vjp_function(fun, fwd, bwd, symbolic_zeros)
        x, tree = lib.np.asarray(X), {"a": lib.np.asarray(V), "n": 3}
        use = lambda f: lambda x: f(x, tree, None)["y"].sum()
        return [
            lib.grad(use(f))(x),
            lib.grad(use(lib.jit(f)))(x),
            lib.jit(lib.grad(use(f)))(x),
            lib.vmap(lib.grad(use(f)))(lib.np.stack([x, x])),
            lib.grad(lambda x: lib.vmap(use(f))(x).sum())(lib.np.stack([x, x])),
            lib.grad(lambda x: lib.jit(lib.vmap(use(f)))(x).sum())(lib.np.stack([x, x])),
        ], seen

    return program


# --- one program for each behaviour --------------------------------------------------------------


def nondiff(lib: Library) -> Any:
    f = lib.jvp_function(
        lambda f, x, n: f(x) * n, lambda f, n, p, t: (f(p[0]) * n, 5 * n * t[0]), nondiff_argnums=(0, 2)
    )
    g = lib.vjp_function(
        lambda f, x, n: f(x) * n, lambda f, x, n: (f(x) * n, x), lambda f, n, x, ct: (ct * f(x) * n,),
        nondiff_argnums=(0,), nondiff_argnames=("n",),
    )  # fmt: skip
    sin, x = lib.np.sin, lib.np.asarray(X)
    traced = lib.jit(lambda n: lib.grad(f, 1)(sin, x, n))(np.float32(3))
    stopped = lib.grad(lambda n: f(sin, n, n))(x)
    keyword = lib.grad(lambda x: f(n=2.0, x=x, f=sin))(x)
    mapped = lib.vmap(lambda n: lib.grad(f, 1)(sin, x, n))(lib.np.asarray(V))
    return (
        traced,
        stopped,
        keyword,
        mapped,
        lib.grad(g, 1)(sin, x, 2.0),
        lib.grad(lambda x: g(sin, x, n=2.0))(x),
    )


def defaults(lib: Library) -> Any:
    seen = []
    f = lib.jvp_function(
        lambda x, y=2.0, z=3.0: x * y, lambda p, t: (seen.append(len(p)), (p[0] * p[1], 5 * t[0]))[1]
    )
    return lib.grad(f)(X), lib.grad(lambda x: f(x, z=1.0))(X), lib.grad(lambda y: f(1.0, y=y))(X), seen


def captured(kind: str) -> Program:
    def program(lib: Library) -> Any:
        def make(w: Any) -> Any:
            if kind == "jvp":
                return lib.jvp_function(lambda x: w * x, lambda p, t: (w * p[0], 10 * w * t[0]))
            return lib.vjp_function(lambda x: w * x, lambda x: (w * x, None), lambda _, g: (10 * w * g,))

        run = lambda w, x: make(w)(x)
        x, v = lib.np.asarray(X), lib.np.asarray(V)
        return (
            lib.jit(run)(x, x),
            lib.jit(lib.grad(run, 1))(x, x),
            lib.vmap(run, (0, None))(v, x),
            lib.vmap(lib.grad(run, 1), (0, None))(v, x),
            lib.vmap(lib.jit(run))(v, v),
        )

    return program


def captured_further(lib: Library) -> Any:
    """What JAX does with forward rules only."""

    def run(w: Any, x: Any) -> Any:
        return lib.jvp_function(lambda x: w * x, lambda p, t: (w * p[0], 10 * t[0]))(x)

    def scanned(w: Any, x: Any) -> Any:
        return lib.lax.scan(lambda c, _: (run(w, c), None), x, None, length=2)[0]

    x, v = lib.np.asarray(X), lib.np.asarray(V)
    return (
        lib.grad(lambda x: lib.vmap(lambda w: run(w, x))(v).sum())(x),
        lib.jit(lambda w: lib.grad(lib.jit(lambda x: run(w, x)))(x))(x),
        lib.jit(lambda w: lib.grad(lambda x: scanned(w, x))(x))(x),
        lib.vmap(lambda w: lib.grad(lambda x: scanned(w, x))(x))(v),
    )


def unmapped(lib: Library) -> Any:
    f = lib.vjp_function(lambda x, y: x, lambda x, y: (x, y), lambda y, g: (g * y, None))
    g = lib.jvp_function(lambda x, y: x, lambda p, t: (p[0], p[1] * t[0]))
    over = lambda f, **options: lib.vmap(f, (None, 0), **options)
    v = lib.np.asarray(V)
    return (
        lib.grad(lambda x: over(f)(x, v).sum())(X),
        lib.grad(lambda x: lib.jit(over(f))(x, v).sum())(X),
        lib.grad(lambda x: over(f, out_axes=None)(x, v))(X),
        over(f, out_axes=None)(X, v),
        lib.jit(over(g, out_axes=None))(X, v),
        lib.grad(lambda x: over(g)(x, v).sum())(X),
    )


def control_flow(lib: Library) -> Any:
    f = lib.jvp_function(
        lambda x: x * 2 if x > 0 else x * 3, lambda p, t: (p[0], 20 * t[0]) if p[0] > 0 else (p[0], 30 * t[0])
    )
    g = lib.vjp_function(
        lambda x: x * 2 if x > 0 else x * 3,
        lambda x: (x * 2, (x, 20)) if x > 0 else (x * 3, (x, 30)),
        lambda r, g: (g * r[1],) if r[0] > 0 else (-g * r[1],),
    )
    out = [h(s * X) for h in (f, g, lib.grad(f), lib.grad(g)) for s in (1, -1)]
    return out, [lib.grad(lib.grad(lambda x: h(x) * x))(s * X) for h in (f, g) for s in (1, -1)]


def pushed_through_rules(lib: Library) -> Any:
    """A forward rule that pushes tangents through a function with reverse rules only."""
    f = lib.reverse_sine()
    g = lib.jvp_function(f, lambda p, t: lib.jvp(f, p, t))
    h = lib.jvp_function(f, lib.jit(lambda p, t: lib.jvp(f, p, t)))
    return (
        [lib.grad(k)(X) for k in (g, h, lib.jit(g), lib.jit(h))],
        lib.grad(lib.grad(g))(X),
        lib.vmap(lib.grad(h))(V),
    )


def scanned_rule(lib: Library) -> Any:
    def rule(p: Any, t: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            x, d = c
            return (lib.np.sin(x), lib.np.cos(x) * d), x

        (y, d), rows = lib.lax.scan(step, (p[0], t[0]), None, length=2)
        return y + 0 * rows.sum(), 3 * d

    f = lib.jvp_function(lambda x: lib.np.sin(lib.np.sin(x)), rule)
    return [lib.grad(g)(X) for g in (f, lib.jit(f))], lib.hessian(f)(X), lib.vmap(lib.grad(f))(V)


def constant_tangents(lib: Library) -> Any:
    f = lib.jvp_function(lambda x: x, lambda p, t: (p[0], 2.0))
    value, tangent = lib.jvp(f, (X,), (X,))
    return np.asarray(tangent, np.float32), lib.grad(f)(X), lib.grad(lib.jit(f))(X), lib.linearize(f, X)[1](X)


def integer_results(lib: Library) -> Any:
    zero = np.zeros((), lib.dtypes.float0)
    f = lib.jvp_function(lambda x, n: (x * n, n), lambda p, t: ((p[0] * p[1], p[1]), (7 * t[0], zero)))
    x, n = lib.np.asarray(X), lib.np.asarray(3)
    return lib.jvp(f, (x, n), (x, zero)), lib.grad(lambda x, n: f(x, n)[0], (0, 1), allow_int=True)(x, n)


def left_out_cotangents(lib: Library) -> Any:
    tree = ((X, X), {"b": X})
    of = lambda entry: lib.vjp_function(
        lambda t: t[0][0] * 2, lambda t: (t[0][0] * 2, None), lambda _, g: (entry(g),)
    )
    return [
        lib.grad(of(entry))(tree)
        for entry in (lambda g: None, lambda g: (None, {"b": g}), lambda g: ((g, None), None))
    ]


def defjvps(lib: Library) -> Any:
    f = lib.custom_jvp(lambda x, y: x * y)
    f.defjvps(None, lambda t, ans, x, y: 10 * t * ans)
    g = lib.custom_jvp(lambda x, y: (x * y, x))
    g.defjvps(lambda t, ans, x, y: (t * y, t), lambda t, ans, x, y: (t * x, 0 * t))
    return lib.grad(f, (0, 1))(X, X), lib.linearize(f, X, X)[1](X, X), lib.jacrev(g, (0, 1))(X, X)


def gradients(lib: Library) -> Any:
    f = lib.custom_gradient(lambda x: (x**2, lambda g: (g * x,)))
    g = lib.custom_gradient(lambda x: (lib.np.sin(x), lambda g: 3 * g * x))
    h = lib.custom_gradient(lambda x, y: ((x * y, x), lambda g: (g[0] * y + g[1], None)))
    return (
        f(X), lib.grad(f)(X), lib.grad(lib.grad(f))(X), lib.vmap(lib.grad(g))(V), lib.jit(lib.grad(g))(X),
        lib.jacrev(h, (0, 1))(X, X), lib.lax.scan(lambda c, x: (f(c) + x, None), X, V)[0],
    )  # fmt: skip


def closures(lib: Library) -> Any:
    counts = []

    def run(y: Any) -> Any:
        f, consts = lib.closure_convert(lambda x: (x * y * V).sum() * np.int32(2), X)
        counts.append(len(consts))
        return f(2 * X, *consts)

    v = lib.np.asarray(V)
    return run(X), lib.grad(run)(X), lib.jit(run)(X), lib.jit(lib.grad(run))(X), lib.vmap(run)(v), counts


def zeros(lib: Library) -> Any:
    values = (np.float32(1), 2, np.ones(3, np.float32), np.complex64(1j), True)
    symbolic = lib.custom.zero_from_primal(values, symbolic_zeros=True)
    return lib.custom.zero_from_primal(values), [describe(lib, z) for z in symbolic]


def no_arguments(lib: Library) -> Any:
    f = lib.jvp_function(lambda: np.float32(3), lambda p, t: (np.float32(3), np.float32(0)))
    g = lib.vjp_function(lambda: np.float32(3), lambda: (np.float32(3), None), lambda _, g: ())
    return [lib.grad(lambda x: x * h())(X) for h in (f, g, lib.jit(f), lib.jit(g))]


def methods_and_objects(lib: Library) -> Any:
    class Scale:
        def __call__(self, x: Any) -> Any:
            return 2 * x

        def method(self, x: Any) -> Any:
            return 3 * x

    rule = lambda p, t: (p[0], 11 * t[0])
    scale = Scale()
    return [lib.grad(lib.jvp_function(f, rule))(X) for f in (scale, scale.method, lambda x: x)]


def unused_tangents(lib: Library) -> Any:
    f = lib.reverse_sine()
    return lib.jit(lambda x: lib.jvp(lambda x: (f(x), 2 * x), (x,), (x,))[1][1])(X)


PROGRAMS: dict[str, Program] = {
    "seen by jvp": seen_by_jvp(False),
    "seen by jvp, symbolic": seen_by_jvp(True),
    "seen by vjp": seen_by_vjp(False),
    "seen by vjp, symbolic": seen_by_vjp(True),
    "captured by jvp": captured("jvp"),
    "captured by vjp": captured("vjp"),
} | {
    f.__name__: f
    for f in (
        nondiff, defaults, captured_further, unmapped, control_flow, pushed_through_rules, scanned_rule, constant_tangents,
        integer_results, left_out_cotangents, defjvps, gradients, closures, zeros, no_arguments, methods_and_objects,
        unused_tangents,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    ours, theirs = PROGRAMS[name](OURS), PROGRAMS[name](THEIRS)
    assert [x for x in anima.tree.leaves(ours) if isinstance(x, str)] == [x for x in jax.tree.leaves(theirs) if isinstance(x, str)]  # fmt: skip
    drop = lambda x: 0 if isinstance(x, str) else x
    assert_same(anima.tree.map(drop, ours), jax.tree.map(drop, theirs))


# --- what both refuse ---------------------------------------------------------------------------------


def by_jvp(rule: Any, fun: Any = lambda x: x, jit: bool = False) -> Program:
    def program(lib: Library) -> Any:
        f = lib.jvp_function(fun, lambda p, t: rule(lib, p, t))
        return lib.jvp(lib.jit(f) if jit else f, (X,), (X,))

    return program


def by_vjp(
    fwd: Any = lambda lib, x: (x, None), bwd: Any = lambda lib, r, g: (g,), jit: bool = False
) -> Program:
    def program(lib: Library) -> Any:
        f = lib.vjp_function(lambda x: x, lambda x: fwd(lib, x), lambda r, g: bwd(lib, r, g))
        return lib.grad(lib.jit(f) if jit else f)(X)

    return program


REFUSED: dict[str, Program] = {
    "no jvp rule": lambda lib: lib.custom_jvp(lambda x: x)(X),
    "no vjp rule": lambda lib: lib.custom_vjp(lambda x: x)(X),
    "jvp: no pair": by_jvp(lambda lib, p, t: p[0]),
    "jvp: three": by_jvp(lambda lib, p, t: (p[0], t[0], t[0])),
    "jvp: structure": by_jvp(lambda lib, p, t: (p[0], (t[0],))),
    "jvp: None": by_jvp(lambda lib, p, t: (p[0], None)),
    "jvp: shape": by_jvp(lambda lib, p, t: (p[0], lib.np.ones(2) * t[0])),
    "jvp: dtype": by_jvp(lambda lib, p, t: (p[0], lib.np.float16(1) * 0)),
    "jvp: integer": by_jvp(lambda lib, p, t: (p[0], 0)),
    "jvp: no float0": by_jvp(lambda lib, p, t: (3, t[0])),
    "jvp: other structure": by_jvp(lambda lib, p, t: ([p[0]], [t[0]]), jit=True),
    "jvp: other shape": by_jvp(lambda lib, p, t: (lib.np.ones(2), lib.np.ones(2)), jit=True),
    "jvp: other dtype": by_jvp(lambda lib, p, t: (p[0].astype("float16"), t[0].astype("float16")), jit=True),
    "vjp: no pair": by_vjp(lambda lib, x: x),
    "vjp: three": by_vjp(lambda lib, x: (x, x, x)),
    "vjp: text": by_vjp(lambda lib, x: (x, "text")),
    "vjp: other structure": by_vjp(lambda lib, x: ([x], None), jit=True),
    "vjp: other shape": by_vjp(lambda lib, x: (lib.np.ones(2), None), jit=True),
    "bwd: no tuple": by_vjp(bwd=lambda lib, r, g: g),
    "bwd: None": by_vjp(bwd=lambda lib, r, g: None),
    "bwd: too many": by_vjp(bwd=lambda lib, r, g: (g, g)),
    "bwd: structure": by_vjp(bwd=lambda lib, r, g: ({"a": g},)),
    "bwd: shape": by_vjp(bwd=lambda lib, r, g: (lib.np.ones(2) * g,)),
    "bwd: text": by_vjp(bwd=lambda lib, r, g: ("text",)),
    "forward mode": lambda lib: lib.jvp(lib.reverse_sine(), (X,), (X,)),
    "forward mode in jit": lambda lib: lib.jit(lambda x: lib.jvp(lib.reverse_sine(), (x,), (x,)))(X),
    "too many arguments": lambda lib: lib.sine()(X, X),
    "unknown argument": lambda lib: lib.sine()(X, y=X),
    "keyword-only": lambda lib: lib.jvp_function(lambda x, *, k: x, lambda p, t: (p[0], t[0]))(X, k=X),
    "text": lambda lib: lib.sine()("text"),
    "text returned": by_jvp(lambda lib, p, t: (p[0], t[0]), lambda x: "text", jit=True),
    "defjvps with nondiff": lambda lib: lib.custom_jvp(lambda x, n: x, nondiff_argnums=(1,)).defjvps(None),
    "traced nondiff": lambda lib: lib.jit(lib.vjp_function(lambda x, n: x, lambda x, n: (x, None), lambda n, r, g: (g,), nondiff_argnums=(1,)))(X, X),
    "closure": lambda lib: lib.closure_convert(lambda x: x, X)[0](X, X),
    "no primals": lambda lib: lib.custom.custom_vjp_primal_tree_values((1.0,)),
    "remat and zeros": lambda lib: lib.grad(remat_with_zeros(lib))(X),
    "differentiated capture": lambda lib: lib.grad(lambda w: lib.jvp_function(lambda x: w * x, lambda p, t: (w * p[0], t[0]))(w))(X),
    "differentiated capture, vjp": lambda lib: lib.grad(lambda w: lib.vjp_function(lambda x: w * x, lambda x: (w * x, None), lambda _, g: (g,))(X))(X),
}  # fmt: skip


def remat_with_zeros(lib: Library) -> Any:
    f = lib.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda r, g: (g,), symbolic_zeros=True, optimize_remat=True)
    return f


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    with pytest.raises(Exception) as theirs:
        REFUSED[name](THEIRS)
    with pytest.raises(Exception) as ours:
        REFUSED[name](OURS)
    assert type(ours.value).__name__ == type(theirs.value).__name__, f"{ours.value!r}\n{theirs.value!r}"
